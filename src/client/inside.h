/* SPDX-License-Identifier: MIT */
/* What the files of the client share; nobody else includes it. */
#ifndef CLIENT_INSIDE_H
#define CLIENT_INSIDE_H

#include "base/list.h"
#include "base/map.h"
#include "base/panic.h"
#include "client/client.h"
#include "client/link.h"

#define CLIENT_MAGIC 0xc11e0001u

struct client_call {
	struct list all; /* of client.calls, oldest first */
	uint64_t id, give_up_ms;
	client_answered *answered;
	void *cookie;
};

/* A message without an answer. */
struct client_outgoing {
	struct list all; /* of client.outbox, in the order to be sent */
	char *params;    /* owned; JSON */
	uint64_t created_ms;
	uint64_t call; /* in flight under this id; 0: not */
	bool earlier, tried;
	char cmid[CMID_MAX + 1];
};

struct client_conv {
	struct list all; /* of client.convs */
	uint64_t cid;
	uint64_t cursor; /* up to here it came; valid if known */
	uint64_t kept;   /* up to here it was dealt with; on disk if stored */
	uint64_t head;
	bool known, stored;
	bool left; /* the user is no member any more */
	bool mark_wanted, mark_asked;
	uint64_t read, delivered; /* marks wanted */
};

enum login_kind { LOGIN_NONE, LOGIN_PASSWORD, LOGIN_REGISTER };

struct client_credentials {
	enum login_kind kind;
	bool unsure; /* a register had no answer: the name may be ours already */
	char *user, *password, *display; /* owned; display may be NULL */
};

struct client {
	uint32_t magic;
	struct client_config config; /* slices in it are owned copies */
	struct vault *vault;         /* borrowed; NULL: none */
	enum client_state state;
	char trouble[LINK_TROUBLE_MAX + 64];
	struct client_counts counts;

	/* The connection. */
	struct link link;
	struct buf in, out, scratch;
	bool stepping, more_input;
	uint64_t now_ms, heard_ms, sent_ms, pinged_ms;
	unsigned failures;
	uint64_t retry_at_ms; /* WAITING until then */
	uint64_t ready_since_ms;

	/* Why the connection ends at the end of the step, and what then. */
	bool closing, no_return, token_void;
	uint64_t asked_ms;
	uint64_t leave_at_ms; /* after a goaway; 0: none came */
	bool polite;          /* the goaway said when to come back: no failure */

	/* Who. */
	struct client_credentials login;
	char *token, *user; /* owned or NULL */
	size_t frame_max;

	/* Requests. */
	struct list calls;
	struct map calls_by_id; /* struct client_call, owned */
	uint64_t last_id;

	/* Conversations. */
	struct list convs;
	struct map convs_by_cid; /* struct client_conv, owned */
	char *epoch;             /* owned or NULL */
	bool synced;
	uint64_t listed, total;
	bool cursors_dirty;
	uint64_t saved_ms, marks_at_ms;

	/* Messages. */
	struct list outbox; /* struct client_outgoing, owned */
	size_t outbox_count;
	unsigned sends_flying;
	uint64_t sends_hold_ms; /* none before then */
	unsigned sends_refused; /* in a row, with retry */
	struct cmid_source cmids;
};

/* client.c */
void client_set_state(struct client *client, enum client_state state);
void client_set_trouble(struct client *client, slice why);
/* Ends the connection when the step is over; the next one not before asked_ms from then. */
void client_fail(struct client *client, slice why, uint64_t asked_ms);
/* A request in any state with a connection; 0 or enum client_refusal. */
int client_request(struct client *client, const char *method, slice params,
    client_answered *answered, void *cookie, uint64_t *ret_id);

/* client_login.c */
void client_login_begin(struct client *client);
void client_login_forget(struct client *client); /* wipes the password */
void client_session_void(struct client *client);

/* client_stream.c */
/* Writes `"epoch":…,"cursors":{…},"backlog":…` as an object. */
void client_stream_put_sync(struct client *client, struct buf *to);
/* For a client that does not follow: the login's answer names the epoch. */
void client_stream_epoch(struct client *client, struct json result);
void client_stream_synced(struct client *client, struct json result);
/* True if the notification is of the stream. */
bool client_stream_notice(struct client *client, const struct inbound *in);
void client_stream_load(struct client *client);
void client_stream_save(struct client *client);
void client_stream_lost(struct client *client); /* the connection is gone */
void client_stream_marks(struct client *client);
void client_stream_fini(struct client *client);

/* client_sends.c */
void client_sends_load(struct client *client);
void client_sends_flush(struct client *client);
uint64_t client_sends_deadline(const struct client *client);
void client_sends_revive(struct client *client);
void client_sends_fini(struct client *client);

#endif
