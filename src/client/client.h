/* SPDX-License-Identifier: MIT */
/*
 * A client of a confab server that loses nothing: it connects, logs in by token, gets what it
 *missed, keeps its place in every conversation, comes back by itself after a failure, and sends
 *what it was given again under the same cmid until there is an answer.
 *
 * It has one thread and never waits: its owner polls client_fd() for client_wants(), together with
 *whatever else it polls, at most until client_deadline(), and then calls client_step().  Hooks and
 *answers are called from client_step() only (and from client_start(), client_login(), client_stop()
 *for a change of state).  They may call everything here but client_step() and client_destroy().
 *Slices given to them are borrowed for the call.  SIGPIPE must be ignored.
 *
 *	OFFLINE → CONNECTING → LOGGING_IN → READY
 *	             ↑   ↓          ↓  ↑ client_login(), client_register()
 *	            WAITING    LOGIN_NEEDED
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "client/address.h"
#include "client/cmid.h"
#include "client/inbound.h"
#include "client/vault.h"

struct client;

enum client_state {
	CLIENT_OFFLINE, /* not started, stopped, or sent away by the server for good */
	CLIENT_WAITING, /* between two tries to connect */
	CLIENT_CONNECTING,
	CLIENT_LOGGING_IN,   /* and getting in step */
	CLIENT_LOGIN_NEEDED, /* there is no token that the server knows */
	CLIENT_READY,        /* logged in, and synced if it follows */
};

enum {
	CLIENT_CALLS_MAX = 1024,      /* requests in flight; more are refused */
	CLIENT_CONVS_MAX = 20000,     /* of one user; a server that names more is left */
	CLIENT_OUT_MAX = 1024 * 1024, /* bytes waiting for the socket; further calls are refused */
	CLIENT_FRAME_IN_MAX = 256 * 1024,  /* a longer line ends the connection */
	CLIENT_FRAME_OUT_MAX = 64 * 1024,  /* until the server says another limit */
	CLIENT_SYNC_INLINE_MAX = 3 * 1024, /* larger sets of cursors go in a sync of their own */
	CLIENT_CURSORS_MAX = 60 * 1024,    /* those beyond this many bytes begin at the read mark */
	CLIENT_PING_MS = 30 * 1000,
	CLIENT_DEAD_MS = 60 * 1000,
	CLIENT_ANSWER_MS =
	    30 * 1000, /* a request without an answer: the connection is taken for dead */
	CLIENT_STEADY_MS =
	    10 * 1000, /* logged in for so long: earlier failures don't count any more */
	CLIENT_LEAVE_MS = 5 * 1000, /* after a goaway the connection is closed from here */
	CLIENT_MARK_MS = 500,       /* marks of a conversation are gathered for so long */
	CLIENT_SAVE_MS = 250,       /* cursors are written at most once in so long */
};

/* What client_send() and client_call() refuse; negative. */
enum client_refusal {
	CLIENT_FULL = -1,     /* too much is waiting */
	CLIENT_BAD_TEXT = -2, /* not UTF-8, a zero byte, or a cmid that is none */
	CLIENT_TOO_LARGE = -3,
	CLIENT_NOT_KEPT = -4, /* it could not be written to disk: errno */
	CLIENT_NOT_READY = -5,
};

struct client_message {
	slice to; /* "@bob", "#ops" or a cid in digits */
	slice body;
	slice kind;  /* none: text */
	slice data;  /* a JSON object, or none */
	slice cmid;  /* none: one is made */
	uint64_t re; /* 0: none */
};

/* What came of a message. */
struct client_sent {
	slice cmid, to;
	bool earlier;                     /* it was left over from an earlier run */
	const struct client_error *error; /* NULL: it is stored, at this place */
	uint64_t cid, seq, ts_ms;
	bool dup;
	struct json raw; /* the answer */
};

/* Any of them may be NULL; cookie is the configuration's. */
struct client_hooks {
	void (*state)(struct client *client, enum client_state state, void *cookie);
	/* login, register or resume was refused for good. */
	void (*login_failed)(struct client *client, const struct client_error *error, void *cookie);
	/* Listed, added or removed, before its first or after its last entry. */
	void (*conversation)(
	    struct client *client, const struct client_conversation *conversation, void *cookie);
	/*
	 * The next entry of a conversation, none twice.  True: it is dealt with, and the cursor on
	 * disk may move past it; false: a later run shall get it again.  Without this hook all are
	 * dealt with.
	 */
	bool (*entry)(struct client *client, const struct client_entry *entry, void *cookie);
	/* from … to don't come; history has them, unless they are gone for good.  True as above. */
	bool (*gap)(struct client *client, uint64_t cid, uint64_t from, uint64_t to, bool gone,
	    void *cookie);
	/* The store lost its newest writes: what was known of entries is void. */
	void (*reset)(struct client *client, void *cookie);
	void (*sent)(struct client *client, const struct client_sent *sent, void *cookie);
	void (*mark)(struct client *client, uint64_t cid, slice user, uint64_t read,
	    uint64_t delivered, void *cookie);
	void (*signal)(struct client *client, uint64_t cid, slice from, slice kind, void *cookie);
	/* reconnect_ms < 0: it will not reconnect by itself. */
	void (*goaway)(struct client *client, slice reason, int64_t reconnect_ms, void *cookie);
	/* Notifications that it does not know itself. */
	void (*other)(struct client *client, slice method, struct json params, void *cookie);
};

struct client_config {
	struct address server;
	slice device;     /* copied; a name of this device for people */
	bool follow;      /* sync after the login and get the stream */
	unsigned backlog; /* entries per conversation before a gap; 0 to 500 */
	unsigned
	    sends_max; /* in flight at a time; 1 keeps the order even when one must be repeated */
	const struct client_hooks *hooks; /* borrowed while the client lives */
	void *cookie;
	/* For tests: gives a connected descriptor instead of connecting, or < 0. */
	int (*dial)(void *cookie);
};

struct client_counts {
	uint64_t connects, entries, duplicates, holes, gaps, resets, sends, resends;
};

struct client_answer {
	const struct client_error *error; /* NULL: result is given */
	struct json result;
};
typedef void client_answered(
    struct client *client, const struct client_answer *answer, void *cookie);

struct client *client_create(const struct client_config *config);
/* Writes the cursors and closes; calls nothing back.  NULL is allowed; leaves NULL. */
void client_destroy(struct client **client);

/*
 * Whose files to use (borrowed until the client is destroyed), before client_start() or in
 * LOGIN_NEEDED: token, cursors and messages without an answer are read from there.  Without a vault
 * nothing outlives the client.  0 or a negative errno.
 */
int client_use_vault(struct client *client, struct vault *vault)
    __attribute__((warn_unused_result));
/* A token from elsewhere, before client_start(). */
void client_use_token(struct client *client, slice token);

/* Begins to connect, and goes on until client_stop(). */
void client_start(struct client *client, uint64_t now_ms);
/* Closes the connection and stays so. */
void client_stop(struct client *client);
/* In LOGIN_NEEDED or before client_start(); the answer is READY or login_failed. */
void client_login(struct client *client, slice user, slice password);
/* display may be none. */
void client_register(struct client *client, slice user, slice password, slice display);
/* Forgets the token, here and on disk. */
void client_forget_token(struct client *client);

int client_fd(const struct client *client); /* -1: there is none now */
short client_wants(const struct client *client);
/* When client_step() must be called at the latest; UINT64_MAX: not before the descriptor is ready.
 */
uint64_t client_deadline(const struct client *client);
void client_step(struct client *client, uint64_t now_ms);

enum client_state client_state(const struct client *client);
/* Why it is not READY, or "". */
const char *client_trouble(const struct client *client);
slice client_user(const struct client *client); /* empty before the first login */
slice client_token(const struct client *client);
void client_counts(const struct client *client, struct client_counts *ret_counts);
/* True if every conversation that there was at the login has been followed to its head. */
bool client_up_to_date(const struct client *client);

/*
 * Takes a message: from here on it is sent, in the order given and as often as it takes, until
 * `sent` tells what came of it.  With a vault it is on disk before this returns.  In any state.  0
 * and its cmid, or enum client_refusal.
 */
int client_send(struct client *client, const struct client_message *message,
    char ret_cmid[CMID_MAX + 1]) __attribute__((warn_unused_result));
/* Messages that have no answer yet. */
size_t client_unsent(const struct client *client);
/* Another request, in READY only; params is a JSON object, or none.  answered is called once. */
int client_call(struct client *client, const char *method, slice params, client_answered *answered,
    void *cookie) __attribute__((warn_unused_result));
/* True if nothing waits for an answer: no message, no request, no mark. */
bool client_idle(const struct client *client);
/* Sends at the next step what would be gathered for some time more. */
void client_hurry(struct client *client);
/* Moves one's marks: gathered, sent when there is a connection.  0: leave it. */
void client_mark(struct client *client, uint64_t cid, uint64_t read, uint64_t delivered);

#endif
