/* SPDX-License-Identifier: MIT */
/*
 * The chat core as a gate sees it: commands in, answers and events out.  No word of any protocol.
 *
 * A shard is one reactor's share of the chat.  A peer is one connection that a gate brought; the
 * gate makes it when the connection is recognised and ends it when the connection closes.  Every
 * command is answered exactly once through out->answer (at once or in a later turn), unless the
 * peer is gone by then.  All slices of a command are borrowed until the call returns; all of an
 * answer or event until the callback returns.  Everything happens on the shard's thread.
 */
#ifndef CHAT_API_H
#define CHAT_API_H

#include "base/run.h"
#include "chat/answer.h"

struct shard;
struct peer;

enum { FORM_MAX = 4 }; /* wire forms that gates may use, numbered by them from 0 */

/* A request's name by value, given back with its answer; opaque here. */
struct call_tag {
	uint8_t bytes[80];
};

enum target_kind { TARGET_CID, TARGET_USER, TARGET_GROUP };
struct target {
	enum target_kind kind;
	uint64_t cid;
	slice name; /* without sign, folded to lower case */
};

/* --- Commands --- */

struct sync_command {
	bool given;  /* for the sync inside login and the like */
	slice epoch; /* ptr NULL if not given */
	const struct op_cursor *cursors;
	size_t cursor_count;
	uint32_t backlog; /* 0 to 500 */
	bool preview;
};

struct register_command {
	slice user, password, display, device; /* display, device: ptr NULL if not given */
	struct sync_command sync;
};
struct login_command {
	slice user, password, device;
	struct sync_command sync;
};
struct resume_command {
	slice token;
	struct sync_command sync;
};
struct send_command {
	struct target to;
	slice kind, body, data, cmid; /* ptr NULL if not given; data minified */
	uint64_t re;                  /* 0: none */
	struct fault refused; /* what the gate found wrong: answered in its place of the order */
};
struct edit_command {
	struct target conv;
	uint64_t seq;
	slice body, data, cmid; /* ptr NULL if not given; data left out stays */
	struct fault refused;
};
struct delete_command {
	struct target conv;
	uint64_t seq;
	struct fault refused;
};
struct receipts_command {
	struct target conv;
	uint64_t seq;
	slice after; /* ptr NULL: from the start */
	uint32_t limit;
};
struct history_command {
	struct target conv;
	uint64_t before, after;
	bool has_before, has_after;
	uint32_t limit;
};
struct mark_command {
	struct target conv;
	uint64_t read, delivered; /* 0: not given */
};
struct signal_command {
	struct target to;
	slice kind, data;
};
struct profile_command {
	slice display, status; /* ptr NULL: stays */
	int accept;            /* -1 stays, 0 all, 1 contacts */
};
struct who_command {
	enum { WHO_CONTACTS, WHO_ALL, WHO_CONV } scope;
	struct target conv;
	slice after; /* ptr NULL: from the start */
	uint32_t limit;
};

struct group_command {
	enum group_change what;
	struct target group;       /* not CREATE */
	struct group_settings set; /* CREATE, SET */
	const slice *users;        /* CREATE, INVITE; of the others that name one the first */
	size_t user_count;
	enum role role;
	uint64_t seconds; /* MUTE; 0 ends it */
	bool ban;
};
struct members_command {
	struct target group;
	enum role role; /* ROLE_NONE: all */
	bool banned;
	slice after;
	uint32_t limit;
};
struct groups_command {
	slice query; /* ptr NULL: all */
	uint64_t after;
	uint32_t limit;
};
struct contact_command {
	enum contact_change what;
	slice user, note;
};
struct presence_command {
	enum presence state;
	slice text; /* ptr NULL: stays */
};

void chat_register(
    struct peer *peer, const struct call_tag *tag, const struct register_command *cmd);
void chat_login(struct peer *peer, const struct call_tag *tag, const struct login_command *cmd);
void chat_resume(struct peer *peer, const struct call_tag *tag, const struct resume_command *cmd);
void chat_logout(struct peer *peer, const struct call_tag *tag, bool all);
void chat_sync(struct peer *peer, const struct call_tag *tag, const struct sync_command *cmd);
void chat_session_list(struct peer *peer, const struct call_tag *tag);
void chat_session_revoke(struct peer *peer, const struct call_tag *tag, slice session);
void chat_password_change(struct peer *peer, const struct call_tag *tag, slice old, slice fresh);
void chat_send(struct peer *peer, const struct call_tag *tag, const struct send_command *cmd);
void chat_edit(struct peer *peer, const struct call_tag *tag, const struct edit_command *cmd);
void chat_delete(struct peer *peer, const struct call_tag *tag, const struct delete_command *cmd);
void chat_receipts(
    struct peer *peer, const struct call_tag *tag, const struct receipts_command *cmd);
void chat_history(struct peer *peer, const struct call_tag *tag, const struct history_command *cmd);
void chat_mark(struct peer *peer, const struct call_tag *tag, const struct mark_command *cmd);
void chat_signal(struct peer *peer, const struct call_tag *tag, const struct signal_command *cmd);
void chat_profile_set(
    struct peer *peer, const struct call_tag *tag, const struct profile_command *cmd);
void chat_profile_get(
    struct peer *peer, const struct call_tag *tag, const slice *names, size_t count);
void chat_user_find(struct peer *peer, const struct call_tag *tag, slice query, uint32_t limit);
void chat_who(struct peer *peer, const struct call_tag *tag, const struct who_command *cmd);
void chat_presence_get(
    struct peer *peer, const struct call_tag *tag, const slice *names, size_t count);
void chat_presence_set(
    struct peer *peer, const struct call_tag *tag, const struct presence_command *cmd);
void chat_presence_watch(
    struct peer *peer, const struct call_tag *tag, const slice *names, size_t count);
void chat_group(struct peer *peer, const struct call_tag *tag, const struct group_command *cmd);
void chat_group_info(struct peer *peer, const struct call_tag *tag, const struct target *group);
void chat_group_members(
    struct peer *peer, const struct call_tag *tag, const struct members_command *cmd);
void chat_group_list(
    struct peer *peer, const struct call_tag *tag, const struct groups_command *cmd);
void chat_contact(struct peer *peer, const struct call_tag *tag, const struct contact_command *cmd);
void chat_contact_list(struct peer *peer, const struct call_tag *tag, slice after, uint32_t limit);
void chat_account_delete(struct peer *peer, const struct call_tag *tag, slice password);

/* --- The way out --- */

enum goaway {
	GOAWAY_SHUTDOWN,
	GOAWAY_EPOCH,
	GOAWAY_IDLE,
	GOAWAY_SLOW,
	GOAWAY_BUSY,
	GOAWAY_ERRORS,
	GOAWAY_REVOKED,
	GOAWAY_LOGOUT, /* nothing is said: the answer to logout was enough */
};

enum chat_queued { CHAT_QUEUED, CHAT_FULL };

/*
 * The way out, implemented by the gates.  `out` is what the gate gave to peer_create(): its
 * connection, alive as long as the peer is.
 */
struct chat_out {
	/* For ANSWER_SYNC and ANSWER_SESSION with sync, *ret_used (never NULL) is how many items
	 * went into the frame. */
	void (*answer)(
	    void *out, const struct call_tag *tag, const struct answer *answer, size_t *ret_used);
	/* One event in one wire form; the caller owns the reference. */
	struct run *(*encode)(void *gate, unsigned form, const struct event *event);
	/*
	 * A run of entries of one conversation in one wire form; ends[i] is where entry i ends in
	 * it.  count >= 1.
	 */
	struct run *(*encode_entries)(void *gate, unsigned form, uint64_t cid,
	    const struct conv_facts *facts, struct entry *const *entries, size_t count,
	    uint32_t *ends);
	/* must: queue in any case.  Otherwise CHAT_FULL over the soft limit; peer_drained()
	 * follows. */
	enum chat_queued (*queue)(
	    void *out, struct run *run, uint32_t offset, uint32_t len, bool must);
	/* Says goaway, writes what is queued, closes.  reconnect_ms 0: don't come back by yourself.
	 */
	void (*goaway)(void *out, enum goaway reason, uint32_t reconnect_ms);
	void *gate; /* cookie of encode */
};

/* --- Peers --- */

/* form: the wire form of its events; ip: the address in text.  Owned by the shard until
 * peer_destroy(). */
struct peer *peer_create(struct shard *shard, void *out, unsigned form, slice ip);
/* The connection is gone: requests in flight are carried out, their answers skipped. */
void peer_destroy(struct peer **peer);
/* The key of its address for rate limits; 0, as at first: it is not limited. */
void peer_set_source(struct peer *peer, uint64_t source);
/* What a request costs, at most LIMIT_RATE_DEBT.  ERR_OK; or RATE_LIMITED: it must not be carried out. */
struct fault chat_spend(struct peer *peer, uint32_t cost);
/* The same for what has no peer. */
struct fault chat_spend_source(struct shard *shard, uint64_t source, uint32_t cost);
/* The connection's queue has drained to the low mark after CHAT_FULL. */
void peer_drained(struct peer *peer);
bool peer_logged_in(const struct peer *peer);
/*
 * How many more may begin to log in now, so that what a crowd of them has to read doesn't hold up those who are
 * here; 0: none, ask again at a turn's end.  It is a wish: who comes all the same is served.
 */
unsigned chat_room(const struct shard *shard);
/* The session was ended: answers are SESSION_REVOKED until the connection is closed. */
bool peer_revoked(const struct peer *peer);

#endif
