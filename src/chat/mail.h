/* SPDX-License-Identifier: MIT */
/* Mail of the chat core: what shards say to each other.  Whoever receives it frees it. */
#ifndef CHAT_MAIL_H
#define CHAT_MAIL_H

#include "chat/internal.h"
#include "chat/topic.h"

/* struct op and struct hash_job are mail too. */
enum mail_kind {
	MAIL_OP_DONE,	    /* op: back from the store */
	MAIL_HASH_DONE,	    /* hash_job: back from the pool */
	MAIL_APPEND,	    /* op: to the conversation's home */
	MAIL_APPENDED,	    /* op: back to the author's shard */
	MAIL_COMMITTED,	    /* conv: an entry that was stored without its home */
	MAIL_SUBSCRIBE,	    /* conv: a shard begins to listen */
	MAIL_UNSUBSCRIBE,   /* conv */
	MAIL_SUBSCRIBED,    /* conv: the answer, with the head */
	MAIL_PUBLISH,	    /* conv: entries, or only a head */
	MAIL_SIGNAL,	    /* signal: to the home, then to the listeners */
	MAIL_SIGNALLED,
	MAIL_ATTACH,	    /* user: a connection logged in */
	MAIL_ATTACHED,	    /* user: the answer */
	MAIL_DETACH,	    /* user */
	MAIL_SYNCED,	    /* user: he is online */
	MAIL_REVOKE,	    /* user: sessions ended */
	MAIL_VERIFY,	    /* user: sessions may have ended; the store knows */
	MAIL_KILL,	    /* peers: to their shard */
	MAIL_RENAME,	    /* user: a new display name */
	MAIL_WITH_ONLINE,   /* op: passes the user's home to learn which sessions have a connection */
	MAIL_ANNOUNCE,	    /* user: he has a conversation that his peers may not follow yet */
	MAIL_ANNOUNCED,	    /* peers */
	MAIL_MARK,	    /* mark: to the user's home */
	MAIL_MARKED,	    /* mark: to the shards of his peers */
	MAIL_QUERY,	    /* query: who is online */
	MAIL_RESULT,	    /* query: the answer */
};

struct conv_mail {
	struct mail mail;
	uint64_t cid, head;
	unsigned from;		    /* shard */
	struct conv_facts facts;    /* slices into text; kind 0: not given */
	char *text;		    /* owned */
	size_t count;
	struct entry *entries[];    /* owned references */
};

struct user_mail {
	struct mail mail;
	uint64_t user, peer, session, except, call, cid;
	uint64_t at_ns;		    /* ATTACH: when the request came; REVOKE: when it was done */
	unsigned from;
	struct fault fault;
	char *name, *display;	    /* owned, may be NULL */
};

/* To peers of one user on one shard. */
struct peers_mail {
	struct mail mail;
	uint64_t user, cid;
	size_t count;
	uint64_t peers[];
};

struct mark_mail {
	struct mail mail;
	uint64_t to, cid, read, delivered; /* to: the user whose peers hear of it */
	uint64_t except;		   /* a peer of shard except_shard */
	unsigned except_shard;
	char user[33];			   /* whose marks */
	size_t count;
	uint64_t peers[];
};

struct signal_mail {
	struct mail mail;
	uint64_t cid, author;
	char *from, *kind, *data;	   /* owned; data may be NULL */
};

struct online_record {
	uint64_t user;
	char name[33];
	char *display;			   /* owned */
};

struct query_mail {
	struct mail mail;
	enum { QUERY_ALL, QUERY_CONV, QUERY_USERS } what;
	uint64_t gather, cid;
	unsigned from;
	bool everyone;			   /* not only those behind `after`, up to `limit` */
	uint32_t limit;
	char after[33];
	uint64_t *users;		   /* owned: asked for by QUERY_USERS (each home its own), found by QUERY_CONV */
	size_t user_count;
	size_t online;			   /* found */
	struct online_record *items;	   /* owned; found, in no order, those that make the first limit + 1 among them */
	size_t count;
};

/* home_conv.c */
void home_append(struct shard *shard, struct op *op);
void home_append_done(struct shard *shard, struct op *op);
void home_committed(struct shard *shard, struct conv_mail *mail);
void home_subscribe(struct shard *shard, struct conv_mail *mail);
void home_unsubscribe(struct shard *shard, struct conv_mail *mail);
void home_signal(struct shard *shard, struct signal_mail *mail);
void home_publish(struct shard *shard);
void home_looked(struct shard *shard, struct op *op);
void home_look_again(struct shard *shard, struct op *op);
void home_convs_tick(struct shard *shard);
void home_convs_forget(struct shard *shard);
void home_convs_destroy(struct shard *shard);
/* home_user.c */
void user_attach(struct shard *shard, struct user_mail *mail);
void user_detach(struct shard *shard, struct user_mail *mail);
void user_synced(struct shard *shard, struct user_mail *mail);
void user_revoke(struct shard *shard, struct user_mail *mail);
void user_verify(struct shard *shard, struct user_mail *mail);
void user_rename(struct shard *shard, struct user_mail *mail);
void user_with_online(struct shard *shard, struct op *op);
/* The last moment that he was seen, at one of his sessions; the store writes it when it suits. */
void user_touch(struct shard *shard, uint64_t user, uint64_t session);
void user_announce(struct shard *shard, struct user_mail *mail);
void user_mark(struct shard *shard, struct mark_mail *mail);
void user_query(struct shard *shard, struct query_mail *mail);
void home_users_destroy(struct shard *shard);
struct user_mail *user_mail_create(struct shard *shard, enum mail_kind kind, uint64_t user);
void user_mail_destroy(struct user_mail *mail);
void query_mail_destroy(struct query_mail *mail);
/* login.c, sync.c, send.c, read.c, people.c: what comes back */
void login_op_done(struct shard *shard, struct op *op);
void login_again(struct shard *shard, struct op *op);
void sessions_check(struct shard *shard);
void login_hash_done(struct shard *shard, struct hash_job *job);
void login_attached(struct shard *shard, struct user_mail *mail);
void login_answer_synced(struct call *call, const struct sync_answer *sync, size_t *ret_used);
void sync_begin(struct call *call, const struct sync_command *cmd);
void sync_op_done(struct shard *shard, struct op *op);
void sync_again(struct shard *shard, struct op *op);
void sync_announced(struct shard *shard, struct peers_mail *mail);
void send_appended(struct shard *shard, struct op *op);
void send_abandon(struct peer *peer);
/* The call was answered; if its operation still waits for its turn it never goes. */
void send_forget(struct peer *peer, uint64_t call);
void read_op_done(struct shard *shard, struct op *op);
void read_marked(struct shard *shard, struct mark_mail *mail);
void people_op_done(struct shard *shard, struct op *op);
void people_result(struct shard *shard, struct query_mail *mail);
void gathers_destroy(struct shard *shard);
/* Nobody has a conversation with himself: such a call is answered, `param` names the offending member. */
bool target_valid(struct call *call, const struct target *target, const char *param);
struct op_target target_copy(struct op *op, const struct target *target);

#endif
