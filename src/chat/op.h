/* SPDX-License-Identifier: MIT */
/*
 * An operation is the one store transaction of a method: `begin` fills it on a shard, a store
 * worker runs it and fills in what came of it, and it comes back to op->shard by mail, in a later
 * turn, with op->err set. The shard owns it before and after, the store in between.  Whatever it
 * points to belongs to it (op_copy, op_alloc) and is freed with it; entries are counted.
 */
#ifndef CHAT_OP_H
#define CHAT_OP_H

#include "base/mail.h"
#include "base/secret.h"
#include "chat/entry.h"
#include "chat/error.h"
#include "chat/op_group.h"
#include "chat/op_people.h"

/* name, its text for logs, does it write */
#define OPS(X)                                                                                     \
	X(REGISTER, "register", 1) /* a new user and his first session */                          \
	X(LOGIN, "login", 1)       /* a new session */                                             \
	X(REVOKE, "revoke", 1)     /* sessions end */                                              \
	X(PASSWORD, "password", 1) /* a new password; every other session ends */                  \
	X(PROFILE_SET, "profile_set", 1)                                                           \
	X(APPEND, "append", 1) /* a message, edit or deletion at the end of a conversation */      \
	X(GROUP, "group", 1)   /* a change of a group */                                           \
	X(CONTACT, "contact", 1)                                                                   \
	X(PRESENCE_SET, "presence_set", 1)                                                         \
	X(CLOSE, "close", 1)   /* the end of an account */                                         \
	X(MARK, "mark", 1)     /* marks grow; written later, at most 2 s */                        \
	X(TOUCH, "touch", 1)   /* a session or user was seen; written later, no answer */          \
	X(AUTH, "auth", 0)     /* a user's password hash */                                        \
	X(RESUME, "resume", 0) /* a session by its token */                                        \
	X(SESSIONS, "sessions", 0)                                                                 \
	X(CHECK, "check", 0) /* may he send there? */                                              \
	X(SYNC, "sync", 0)   /* memberships and heads, in one reading */                           \
	X(PAGE, "page", 0)   /* entries of a conversation */                                       \
	X(PROFILES, "profiles", 0)                                                                 \
	X(FIND, "find", 0)                                                                         \
	X(CONTACTS, "contacts", 0) /* ids of a user's contacts */                                  \
	X(LIVE, "live", 0)         /* which of these sessions still exist? */                      \
	X(HEADS, "heads", 0)       /* how far these conversations are */                           \
	X(GROUP_INFO, "group_info", 0)                                                             \
	X(MEMBERS, "members", 0)                                                                   \
	X(GROUPS, "groups", 0)                                                                     \
	X(RECEIPTS, "receipts", 1) /* reads, but beside the marks that are not written yet */      \
	X(CONTACT_LIST, "contact_list", 0)

#define OP_AS_ENUM(name, text, writes) OP_##name,
enum op_kind { OPS(OP_AS_ENUM) OP_MAX };

enum conv_kind { CONV_DIRECT = 1, CONV_GROUP = 2 };

enum append_what { APPEND_MESSAGE, APPEND_EDIT, APPEND_DELETE };

/* Whom or what a request names; the store completes it. */
struct op_target {
	uint64_t cid;  /* in: given, or a cached guess for handle; out: found.  0: unknown */
	slice user;    /* in: "@alice" without the sign, ptr NULL if not */
	slice handle;  /* in: "#ops" without the sign */
	uint64_t peer; /* in: user's id if known; out for a direct conversation: the other's id */
};

/* What an entry's notification needs to know of its conversation; immutable names for a direct one.
 */
struct conv_facts {
	enum conv_kind kind;
	uint64_t lo, hi; /* direct: the two users, lo < hi */
	slice lo_name, hi_name;
	slice handle; /* group: ptr NULL if it has none */
};

struct op_session {
	uint64_t session;
	slice device, ip;
	uint64_t created, seen;
};

struct op_user {
	uint64_t uid;
	slice name, display, status;
	uint64_t created, seen;
	bool related;   /* a contact, or partner of a direct conversation, of the viewer */
	bool contact;   /* a contact of the viewer */
	bool hides;     /* he blocks the viewer */
	bool apart;     /* one of the two blocks the other */
	bool invisible; /* what he shows, set for all of his connections */
};

/* A conversation as sync lists it. */
struct op_conv {
	uint64_t cid;
	struct conv_facts facts;
	slice title;     /* group: its title; direct: the other's display name */
	slice peer_name; /* direct */
	enum role role;  /* ROLE_NONE: he left; head is his leaving */
	uint64_t min_seq, head, ts;
	uint64_t read, delivered, peer_read, peer_delivered;
	uint64_t muted_until;
	struct entry
	    *last; /* with preview: the entry at head, body cut to 256 bytes, no data; owned */
};

struct op_cursor {
	uint64_t cid, seq;
};

struct op_block;

struct op {
	struct mail mail;
	uint8_t kind;       /* enum op_kind */
	uint16_t shard;     /* where it completes */
	uint16_t origin;    /* the shard of the connection, for operations that pass a home shard */
	struct fault fault; /* in: APPEND may come refused (see there); out: what came of it */
	uint64_t call;      /* the request that waits for it; 0: none */
	uint64_t user;      /* who asks; 0: the server itself */
	uint64_t context;   /* the shard's own note */
	uint64_t queued_ns; /* the store's: when it was submitted */
	struct op_block *blocks;
	union {
		struct {
			slice name, display, password_hash, device, ip;
			unsigned char token_hash[SECRET_HASH_BYTES];
			uint64_t session;       /* in: the new session's id */
			uint64_t uid;           /* in, LOGIN; out, REGISTER */
			const uint64_t *online; /* LOGIN: sessions that have a connection */
			size_t online_count;
			uint64_t sessions_max;
			uint64_t oldest_seen; /* LOGIN: older tokens go; 0: none */
			uint64_t evicted; /* out, LOGIN: a session that had to make room; 0: none */
		} session; /* REGISTER (NAME_TAKEN), LOGIN (BAD_CREDENTIALS if password_hash is not
			      the stored one any more, LIMIT) */
		struct {
			slice name; /* in; or uid */
			uint64_t uid;
			bool found;                   /* out; a disabled user is not found */
			slice display, password_hash; /* out, and name */
		} auth;
		struct {
			unsigned char token_hash[SECRET_HASH_BYTES];
			uint64_t oldest_seen;  /* in: tokens not used since are expired */
			uint64_t uid, session; /* out */
			slice name, display;   /* out; TOKEN_INVALID otherwise */
		} resume;
		struct {
			uint64_t session; /* in: this one; 0: all but except */
			uint64_t except;
		} revoke; /* NOT_FOUND if op->user has no such session */
		struct {
			slice old_hash, new_hash;
			uint64_t except; /* the session that stays */
		} password; /* BAD_CREDENTIALS if old_hash is not the stored one any more */
		struct {
			slice display, status; /* ptr NULL: stays */
			int accept;            /* -1 stays, 0 all, 1 contacts */
		} profile_set;
		struct {
			/*
			 * The entry is stored at the next seq of the target; by user name, the
			 * direct conversation is created if there is none.  Dedupe by (cmid, cid,
			 * sender) comes before any refusal; a refusal that was decided before
			 * (op->fault.err set) is looked up for a duplicate too, and otherwise
			 * stays.  acl_ver: the version at which the sender was last found to be
			 * allowed, 0 if never; if it is not the conversation's the rights are read
			 * in the transaction.  An EDIT or DELETE names its message by entry->re; it
			 * changes that row with the same transaction.
			 */
			enum append_what what;
			struct op_target target;
			struct entry *entry;        /* owned; cid, seq and ts are set on success */
			uint64_t acl_ver;           /* in and out */
			uint64_t conversations_max; /* LIMIT if it would be created and the sender
						       has so many */
			uint64_t
			    min_seq; /* in and out: the lowest seq the sender may see, for `re` */
			uint64_t seq, ts;        /* out, also of a duplicate */
			bool dup, created;       /* out; created: the direct conversation is new */
			struct conv_facts facts; /* out if want_facts or created */
			bool want_facts;
			uint64_t started_ns; /* the shard's, for the histogram */
			uint64_t peer;       /* the shard's: the connection that sends */
		} append;
		struct {
			struct op_target target;
			uint64_t acl_ver; /* out */
		} check;
		struct {
			struct op_target target;
			uint64_t read, delivered; /* in: 0 not given; out: as they are now */
			bool changed;             /* out */
			/*
			 * heard_by: in: another node said so to this user, op->user or his peer;
			 * it is not to be written; changed: he was not told as much here.
			 * asker: the shard's: the connection that marks.
			 */
			uint64_t heard_by, asker;
			slice name; /* the shard's: its user's */
		} mark;
		struct {
			uint64_t session, user;
			slice ip; /* ptr NULL: stays */
			uint64_t seen;
		} touch;
		struct {
			const uint64_t *online; /* not the store's */
			size_t online_count;
			struct op_session *items; /* out */
			size_t count;
		} sessions;
		struct {
			const struct op_cursor *cursors; /* in: sorted by cid; those of
							    conversations he left are listed */
			size_t cursor_count;
			bool preview;
			uint64_t only;         /* in: only this conversation; 0: all */
			slice given_epoch;     /* the shard's own note */
			slice epoch;           /* out */
			struct op_conv *items; /* out: newest activity first */
			size_t count;
			struct op_around around; /* out, unless only one is asked for */
		} sync;
		struct {
			struct op_target target;
			/*
			 * after and before are excluded; before 0: no upper end.  until: as it read
			 * when that was the head, but for deletions; 0: as it does now.
			 */
			uint64_t after, before, until;
			uint32_t limit;
			uint32_t
			    max_bytes; /* of bodies, data and 100 a piece, but always one entry */
			bool newest;   /* take the newest of them, otherwise the oldest */
			bool want_facts;
			uint64_t head,
			    min_seq; /* out: as op->user may see them; for user 0 the log's */
			struct entry **items; /* out: rising seq, one reference each */
			size_t count;
			bool more;               /* out: others lie between */
			struct conv_facts facts; /* out if want_facts */
		} page; /* user 0: the server reads for its streams, no rights are asked */
		struct {
			const slice *names; /* in; or uids */
			const uint64_t *uids;
			size_t want;
			struct op_user *items; /* out: those that exist, in order of names */
			size_t count;
		} profiles;
		struct {
			slice query; /* prefix of name or display name, case folded */
			uint32_t limit;
			bool exact; /* whole names only */
			struct op_user *items;
			size_t count;
		} find;
		struct {
			struct op_target target; /* in: whether he is in there is asked too; all
						    absent: not */
			bool outside;   /* in: it is enough that he may know of that group */
			uint64_t *uids; /* out */
			size_t count;
			size_t members_max; /* in: so many members of a group are read too */
			uint64_t *members;  /* out */
			size_t member_count;
			uint64_t *hiding; /* out: users who block op->user, or whom he blocks */
			size_t hiding_count;
		} contacts;
		struct {
			const uint64_t *sessions; /* in */
			size_t want;
			uint64_t *gone; /* out: those that do not exist */
			size_t count;
		} live;
		/* Of one conversation, found by its target: */
		struct {
			struct op_target target;
			struct conv_facts facts; /* out */
			union {
				struct op_group group;
				struct op_group_info info;
				struct op_members members;
				struct op_receipts receipts;
			};
		} in;
		struct op_groups groups;
		struct op_contact contact;
		struct op_contacts_page contact_list;
		struct op_presence presence;
		struct op_close close;
		struct op_heads heads;
	};
};

bool op_writes(enum op_kind kind);
/* The name in lower case, for logs. */
const char *op_name(enum op_kind kind);
struct op *op_create(enum op_kind kind);
/* With entries and blocks; NULL is allowed. */
void op_destroy(struct op **op);
/* Memory that lives as long as the operation; zeroed. */
void *op_alloc(struct op *op, size_t size);
/* A copy that lives as long as the operation; absent stays absent. */
slice op_copy(struct op *op, slice s);

#endif
