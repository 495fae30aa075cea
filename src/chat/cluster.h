/* SPDX-License-Identifier: MIT */
/*
 * One node among several.  The store is the truth; what others ring is a hint that may be lost, late
 * or told twice.
 *   cluster.c: what travels, and what is read from the store where rings may have been missed;
 *   afar.c:    users who are connected to other nodes.
 * Where there is one node shard->cluster is NULL, and all of this does nothing.
 */
#ifndef CHAT_CLUSTER_H
#define CHAT_CLUSTER_H

#include "chat/home_user.h"
#include "chat/ring.h"

enum {
	SLOW_POLL_MIN_MS = 14000, /* so often everything is looked at, whatever the bus says */
	SLOW_POLL_SPREAD_MS = 12000,
	LIMIT_CHECKS = 300,       /* users whose memberships are read again in a second */
	LIMIT_CHECKS_AT_REST = 2, /* the same, while nothing was missed as far as is known */
	LIMIT_CONTACTS_HEARD = 1024,
	CONTACT_HEARD_MS = 60 * 1000, /* longer nothing is on its way */
};

/* From the bus. */
struct ring_mail {
	struct mail mail;
	enum ring_scope scope;
	bool up; /* RING_NODE */
	uint64_t id;
	char node[NODE_NAME_BYTES];
	size_t len;
	char bytes[];
};

struct cluster {
	struct map polls; /* by cid: conversations whose heads are to be read; values say nothing */
	bool polling, poll_failed; /* a reading is on its way; the next waits for the tick */
	bool lost;                 /* rings were missed: at the next tick everything is looked at */
	uint64_t lost_ns;          /* when that was heard last */
	uint64_t slow_ms;          /* when that happens in any case */
	struct map checks;         /* by user: whose memberships are to be read again; enum check */
	size_t rota;     /* of users who are checked at rest: a place in shard->home_users */
	struct buf ring; /* what is being rung */
	struct afar_table *afar; /* owned */
	/*
	 * What users heard of others lately, in places by hash: the later of two takes it.  After a
	 * while the order does not count: it is of a clock that may have been set back since.
	 */
	struct contact_heard {
		uint64_t user, other, order, at_ms;
	} contacts[LIMIT_CONTACTS_HEARD];
};

void cluster_create(struct shard *shard);
void cluster_destroy(struct shard *shard);
/* At a turn's end, and at a tick. */
void cluster_turn(struct shard *shard);
void cluster_tick(struct shard *shard);

/* Another change of the two users, made after this one, was told already. */
bool cluster_contact_is_old(struct shard *shard, uint64_t user, uint64_t other, uint64_t order);

/* --- Telling --- */

/* Tells the other nodes; the mail stays the caller's. */
void cluster_ring(struct shard *shard, enum ring_scope scope, uint64_t id, const struct mail *mail);
/* To the home of a conversation or user here, and to those on other nodes. */
void cluster_tell(struct shard *shard, enum ring_scope scope, uint64_t id, struct mail *mail);
void cluster_interest(struct shard *shard, enum ring_scope scope, uint64_t id, bool wanted);

/* --- What comes --- */

void cluster_heard(struct shard *shard, struct ring_mail *mail);
void cluster_opened(struct shard *shard, struct ring_mail *mail);
void cluster_lost(struct shard *shard, struct ring_mail *mail);
void cluster_node(struct shard *shard, struct ring_mail *mail);
void cluster_polled(struct shard *shard, struct op *op);
/* Whether a login that began then may have read of a session that ended unheard of since. */
bool cluster_doubts(const struct shard *shard, uint64_t at_ns);
/* What he shows, and what he is a member of, is read again soon. */
void cluster_check(struct shard *shard, uint64_t user);

/* --- Users on other nodes (afar.c) --- */

void afar_create(struct shard *shard);
void afar_destroy(struct shard *shard);
void afar_turn(struct shard *shard);
void afar_tick(struct shard *shard);
void afar_heard(struct shard *shard, struct afar_mail *mail);
void afar_asked(struct shard *shard, struct tell_mail *mail);
/* A node came or went: what was known of its users is void; one that came is told of those here. */
void afar_node(struct shard *shard, slice node, bool up);
/* Something of what the user's connections here show is another. */
void afar_news(struct shard *shard, uint64_t user);
/* The best of what he shows here and elsewhere. */
enum presence afar_shows(const struct shard *shard, uint64_t user, enum presence here);
/* Is a connection of his synced elsewhere? */
bool afar_is_there(const struct shard *shard, uint64_t user);
/* Has he any connection elsewhere? */
bool afar_has(const struct shard *shard, uint64_t user);
/* The sessions of his connections elsewhere: how many, and into ret (if that is not NULL). */
size_t afar_sessions(const struct shard *shard, uint64_t user, uint64_t *ret);

#endif
