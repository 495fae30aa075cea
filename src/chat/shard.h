/* SPDX-License-Identifier: MIT */
/*
 * A shard as the server sees it: made with its surroundings, fed with mail and turns.  No thread,
 * clock, file or socket here: what the shard needs of the world it asks of `struct chat_ports`.
 */
#ifndef CHAT_SHARD_H
#define CHAT_SHARD_H

#include "base/mail.h"
#include "chat/api.h"
#include "chat/rates.h"

enum { SHARDS_MAX = 64, CALL_DEADLINE_MS = 9500 };

/* A password to hash or to check, done elsewhere in a bounded pool; comes back to job->shard by
 * mail. */
struct hash_job {
	struct mail mail;
	uint16_t shard;
	uint64_t call;
	char *password; /* owned; wiped when done */
	size_t password_len;
	char verify[128]; /* in: the stored hash to check against; "" if only a new one is wanted */
	bool want_hash;   /* in: make a new hash (of fresh if that is given) */
	char *fresh;      /* owned, may be NULL */
	size_t fresh_len;
	bool busy;      /* out: the pool's queue was full */
	bool verified;  /* out */
	char hash[128]; /* out */
};

/* Whom a ring concerns: who follows a conversation, a user's connections and watchers, every node. */
enum ring_scope { RING_CONV, RING_USER, RING_ALL };

struct chat_ports {
	void *cookie;
	/* Any completes by mail to op->shard in a later turn, never inside the call. */
	void (*submit)(void *cookie, struct op *op);
	void (*hash)(void *cookie, struct hash_job *job);
	/* Mail to another shard's mailbox (or to this one's). */
	void (*post)(void *cookie, unsigned shard, struct mail *mail);
	/*
	 * News for the same home on other nodes, by way of a bus that may lose them; bytes are copied.
	 * interest: this node wants to hear of it, or no more; counted.  NULL: there is one node.
	 */
	void (*ring)(void *cookie, enum ring_scope scope, uint64_t id, slice bytes);
	void (*interest)(void *cookie, enum ring_scope scope, uint64_t id, bool wanted);
};

struct chat_limits {
	uint32_t conversations, groups, members, contacts, sessions, connections;
	bool registration_open, directory_open;
	uint64_t token_ms; /* validity from the last use */
	uint32_t leave_ms; /* so late a user's leaving is told */
	struct rate rates[RATE_SCOPES];
};

struct chat_config {
	unsigned index, count; /* this shard, of how many */
	struct chat_ports ports;
	struct chat_out out;
	struct chat_limits limits;
	struct rate_table *buckets, *known; /* borrowed, of all shards; NULL: nobody is limited */
	unsigned entering; /* readings for logins that are to be under way at once; 0: any number */
	unsigned entering_beside; /* the same while messages are being stored */
	char epoch[40];
	char node[64]; /* this node's name, where there are others */
};

/* How short memory is, and what is refused with BUSY from then on; resumes last, so that who was
 * here returns. */
enum pressure {
	PRESSURE_NONE,
	PRESSURE_REGISTER,
	PRESSURE_LOGIN,
	PRESSURE_SIGNAL,
	PRESSURE_SEND,
	PRESSURE_RESUME,
};

struct shard *shard_create(const struct chat_config *config);
void shard_destroy(struct shard **shard);
/* Once a turn, before anything else: the two clocks. */
void shard_set_time(struct shard *shard, uint64_t mono_ms, uint64_t real_ms, uint64_t mono_ns);
/* Mail of any kind of chat's, oldest first: operations, hash jobs, other shards' mail. */
void shard_deliver(struct shard *shard, struct mail *first);
/*
 * At a turn's end, before the flush: publishes what was committed and feeds those who are behind.
 * True if there is work left that must not wait.
 */
bool shard_turn(struct shard *shard);
/* About once a second: deadlines and evictions. */
void shard_tick(struct shard *shard);
/* Takes over changed limits (SIGHUP). */
void shard_set_limits(struct shard *shard, const struct chat_limits *limits);
/* From now on, until it is told otherwise. */
void shard_set_pressure(struct shard *shard, enum pressure pressure);
/* Asks every waves-th peer to go, to come back after reconnect_ms … 2 × reconnect_ms; all waves, 0 to waves - 1, are all peers. */
void shard_goaway_wave(struct shard *shard, unsigned wave, unsigned waves, uint32_t reconnect_ms);
/* The store began another life: every connection goes. */
void shard_set_epoch(struct shard *shard, slice epoch);
/* Asks the store which of the live sessions still exist, and ends the others. */
void shard_check_sessions(struct shard *shard);
/* Requests not yet answered, peers, home conversations and so on, for the drain and the metrics. */
size_t shard_calls(const struct shard *shard);
size_t shard_peers(const struct shard *shard);

/* --- What a bus hears, as mail for shards --- */

/* The shard that is home of a conversation or user, of so many. */
unsigned shard_home(uint64_t id, unsigned count);
/* To the home of id; RING_ALL: a mail to each shard. */
struct mail *ring_heard(enum ring_scope scope, uint64_t id, slice node, slice bytes);
struct mail *ring_opened(enum ring_scope scope, uint64_t id);
/* To each shard. */
struct mail *ring_lost(void);
struct mail *ring_node(slice node, bool up);

#endif
