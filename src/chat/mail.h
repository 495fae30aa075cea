/* SPDX-License-Identifier: MIT */
/* Mail of the chat core: what shards say to each other.  Whoever receives it frees it. */
#ifndef CHAT_MAIL_H
#define CHAT_MAIL_H

#include "chat/internal.h"
#include "chat/names.h"
#include "chat/home.h"
#include "chat/topic.h"

/* name, what it is a struct of, who takes and frees it; struct op and struct hash_job are mail too
 */
#define MAILS(X)                                                                                   \
	X(OP_DONE, op, op_done)                 /* an operation is back from the store */          \
	X(HASH_DONE, hash_job, login_hash_done) /* a password is back from the pool */             \
	X(APPEND, op, home_append)              /* to the conversation's home */                   \
	X(APPENDED, op, send_appended)          /* back to the author's shard */                   \
	X(COMMITTED, conv_mail, home_committed) /* an entry was stored without its home */         \
	X(GROUPED, op, group_answer)            /* a group was changed: back to the asker */       \
	X(TOLD, op, op_told)                    /* others know of the change: back to the asker */ \
	X(SUBSCRIBE, conv_mail, home_subscribe) /* a shard begins to listen */                     \
	X(UNSUBSCRIBE, conv_mail, home_unsubscribe)                                                \
	X(SUBSCRIBED, conv_mail, topic_mail)   /* the answer, with the head */                     \
	X(PUBLISH, conv_mail, topic_mail)      /* entries, or only a head */                       \
	X(SIGNAL, signal_mail, home_signal)    /* to the home */                                   \
	X(SIGNALLED, signal_mail, home_signal) /* to the listeners */                              \
	X(ATTACH, user_mail, user_attach)      /* a connection logged in */                        \
	X(ATTACHED, user_mail, login_attached) /* the answer */                                    \
	X(DETACH, user_mail, user_detach)                                                          \
	X(SYNCED, user_mail, user_synced) /* he is online */                                       \
	X(REVOKE, user_mail, user_revoke) /* sessions ended */                                     \
	X(KILL, peers_mail, peers_kill)   /* to the shard of their connections */                  \
	X(VERIFY, user_mail, user_verify) /* sessions may have ended; the store knows */           \
	X(RENAME, user_mail, user_rename) /* a new display name */                                 \
	X(WITH_ONLINE, op,                                                                         \
	    user_with_online) /* passes the user's home to learn which sessions     \
						have a connection */              \
	X(ANNOUNCE, user_mail,                                                                     \
	    user_announce) /* he has a conversation that his peers may not follow yet */           \
	X(ANNOUNCED, peers_mail, sync_announced)       /* to the shards of his peers */            \
	X(MARK, mark_mail, user_mark)                  /* to the user's home */                    \
	X(MARKED, mark_mail, read_marked)              /* to the shards of his peers */            \
	X(CONTACT, contact_mail, user_contact)         /* to the user's home */                    \
	X(CONTACTED, contact_mail, contact_told_peers) /* to the shards of his peers */            \
	X(GONE, user_mail, account_gone)               /* an account ended: to every shard */      \
	X(CLOSE_HASHED, hash_job, account_hashed) /* a password is back, for account.delete */     \
	X(PRESENCE_SET, op, user_presence)        /* is stored; at the user's home */              \
	X(WATCH, watch_mail, user_watch)          /* a shard wants to hear of users */             \
	X(WATCHED, watch_mail, presence_watched)  /* the answer, with what they show */            \
	X(UNWATCH, watch_mail, user_unwatch)                                                       \
	X(SHOWN, shown_mail, presence_shown) /* a user shows something else */                     \
	X(QUERY, query_mail, user_query)     /* who is online */                                   \
	X(RESULT, query_mail, who_result)    /* the answer */                                      \
	X(RING, ring_mail, cluster_heard)    /* another node has rung */                           \
	X(RING_OPENED, ring_mail, cluster_opened)                                                  \
	X(RING_LOST, ring_mail, cluster_lost)                                                      \
	X(RING_NODE, ring_mail, cluster_node)                                                      \
	X(PRESENCE_NEWS, user_mail, user_presence_news) /* he set what he shows, elsewhere */      \
	X(AFAR, afar_mail, afar_heard)                  /* users of another node */                \
	X(TELL, tell_mail, afar_asked)                  /* another node asks for those of this */

#define MAIL_AS_ENUM(name, type, take) MAIL_##name,
enum mail_kind { MAILS(MAIL_AS_ENUM) };

struct gather;
struct ring_mail;
struct afar_mail;
struct tell_mail;

struct conv_mail {
	struct mail mail;
	uint64_t cid, head;
	unsigned from;           /* shard */
	bool look;               /* COMMITTED: or perhaps not; the store is to be asked */
	bool heard;              /* COMMITTED: through another node */
	struct conv_facts facts; /* slices into text; kind 0: not given */
	uint64_t facts_seq;      /* how far the log was when they were so */
	char *text;              /* owned */
	uint64_t *joined;        /* owned; COMMITTED: who is a member from its entry on */
	size_t joined_count;
	size_t count;
	struct entry *entries[]; /* owned references */
};

struct user_mail {
	struct mail mail;
	uint64_t user, peer, session, except, call, cid;
	uint64_t seq;   /* ANNOUNCE: of his joining; 0: not known */
	uint64_t at_ns; /* ATTACH: when the request came; REVOKE: when it was done */
	unsigned from;
	bool heard; /* of another node */
	struct fault fault;
	char *name, *display; /* owned, may be NULL */
	char *text;           /* SYNCED: what he shows; owned, may be NULL */
	enum presence presence;
};

/* To peers of one user on one shard; by way of his home, which tells each shard of its own. */
struct peers {
	struct mail mail;
	uint64_t user;
	size_t count;
	uint64_t *ids; /* in the same block */
};

/* KILL, ANNOUNCED */
struct peers_mail {
	struct peers to;
	uint64_t cid, seq; /* ANNOUNCED; cid 0: some conversation */
};

struct mark_mail {
	struct peers to;
	uint64_t cid, read, delivered;
	uint64_t except; /* a peer of shard except_shard */
	uint64_t by;     /* whose marks */
	char user[33];   /* his name */
	uint16_t except_shard;
};
/* What calloc() is asked for beyond that comes of slower bins of glibc: 500 instructions more for each mark. */
static_assert(sizeof(struct mark_mail) <= 120, "it stays in the fast bins");

/* What became of a contact, for one of the two. */
struct contact_mail {
	struct peers to;
	uint64_t other;
	uint64_t order; /* op_contact's */
	enum contact_news news;
	char user[33]; /* the other's name */
	bool noted;
	char note[4 * NOTE_MAX_CHARS + 1];
};

struct signal_mail {
	struct mail mail;
	uint64_t cid, author;
	char *from, *kind, *data; /* owned; data may be NULL */
};

struct watch_mail;
struct shown_mail;
struct query_mail;

/* shard.c */
void op_done(struct shard *shard, struct op *op);
void op_told(struct shard *shard, struct op *op);
void peers_kill(struct shard *shard, struct peers_mail *mail);
/* topic.c */
void topic_mail(struct shard *shard, struct conv_mail *mail);
struct user_mail *user_mail_create(struct shard *shard, enum mail_kind kind, uint64_t user);
void user_mail_destroy(struct user_mail *mail);
/* watch.c, relation.c, who.c */
void presence_watched(struct shard *shard, struct watch_mail *mail);
void presence_shown(struct shard *shard, struct shown_mail *mail);
void presence_again(struct shard *shard, struct op *op);
void who_result(struct shard *shard, struct query_mail *mail);
void who_op_done(struct shard *shard, struct op *op);
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
/* A stream came to the end of its user's membership, that entry: it is no more, and he is told. */
void sync_ended(struct peer *peer, uint32_t sub, const struct entry *end);
/* What was left before the sync was read to its end. */
void sync_past_read(struct peer *peer, uint32_t sub);
void asks_destroy(struct peer *peer);
void send_appended(struct shard *shard, struct op *op);
/* What this shard remembers of where a name leads: a guess that the store checks. */
uint64_t place_find(struct shard *shard, uint64_t user, const struct op_target *target);
void place_learn(struct shard *shard, uint64_t user, const struct op_target *target);
void send_abandon(struct peer *peer);
/* The call was answered; if its operation still waits for its turn it never goes. */
void send_forget(struct peer *peer, uint64_t call);
void read_op_done(struct shard *shard, struct op *op);
void read_mark_done(struct shard *shard, struct op *op);
void read_mark_told(struct shard *shard, struct op *op);
/* From another node: the store learns of it before anybody is told. */
void read_mark_heard(struct shard *shard, const struct mark_mail *mail);
void read_marked(struct shard *shard, struct mark_mail *mail);
void people_op_done(struct shard *shard, struct op *op);
/* group.c, receipts.c, contact.c, presence.c, account.c: the same */
void group_op_done(struct shard *shard, struct op *op);
void group_answer(struct shard *shard, struct op *op);
/* The names of those who may have been added have their ids. */
void group_named(struct shard *shard, struct op *op);
void group_named_again(struct shard *shard, struct op *op);
void receipts_op_done(struct shard *shard, struct op *op);
void contact_op_done(struct shard *shard, struct op *op);
void contact_answer(struct shard *shard, struct op *op);
void contact_told_peers(struct shard *shard, struct contact_mail *mail);
struct contact_told {
	uint64_t uid;
	slice user, note; /* the other */
	enum contact_news news;
	uint64_t order; /* op_contact's */
};
/* One of the two is told, on all of his connections; NEWS_NONE: only they hear of it. */
void contact_tell(struct shard *shard, uint64_t to, const struct contact_told *told);
void contact_list_answer(struct call *call, const struct op *op, const struct gather *gather);
void presence_op_done(struct shard *shard, struct op *op);
void account_op_done(struct shard *shard, struct op *op);
void account_hashed(struct shard *shard, struct hash_job *job);
void account_gone(struct shard *shard, struct user_mail *mail);
/* Answers GROUP_INFO, MEMBERS and CONTACT_LIST with how many, who and what is shown of those in it;
 * owns the operation. */
void people_online(struct call *call, struct op *op);
void gathers_destroy(struct shard *shard);
/* What the asker may see of a user; seen: when the store last heard of him. */
void gather_show(
    const struct gather *gather, uint64_t user, uint64_t seen, struct online_user *ret_shown);
/* Nobody has a conversation with himself: such a call is answered, `param` names the offending
 * member. */
bool target_valid(struct call *call, const struct target *target, const char *param);
struct op_target target_copy(struct op *op, const struct target *target);

#endif
