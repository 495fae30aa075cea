/* SPDX-License-Identifier: MIT */
/*
 * The state of a store on SQL, whichever database it is, for the files that work on it.  What is
 * the writer's is touched by the thread that calls write() and tick() alone; marks and state have a
 * lock of their own each, none of which is held while another is taken.
 */
#ifndef STORE_SQL_DB_H
#define STORE_SQL_DB_H

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "store/driver.h"
#include "store/rows.h"
#include "store/sql.h"
#include "store/sql_error.h"
#include "store/tally.h"

enum {
	LIMIT_CONVS_CACHED = 131072, /* the least recently used goes */
	LIMIT_MARKS_PENDING = 65536, /* coalesced marks and touches; more are written at once */
	LIMIT_MARKS_RECENT = 8192, /* written ones that are kept for who reads an older snapshot */
	LIMIT_MARKS_BATCH = 2048,  /* written with one transaction */
	LIMIT_MARKS_ALONE = 128,   /* the same where messages would have to wait behind it */
	LIMIT_MARKS_RIDE = 16,     /* with a transaction of messages */
	MARKS_RIDE_MS = 1000,      /* as old as this they ride with the next transaction */
	MARKS_ALONE_MS = 2000,     /* as old as this they get one of their own */
	POLL_MS = 1000, /* how often an idle writer looks around: did others write, can it again? */
	SETTLE_MS = 5000, /* how long a batch of unknown outcome is looked into */
};

/* --- Cached conversations: the writer's --- */

struct cached_conv {
	struct conv_row row;
	bool moved; /* its head, in the transaction under way */
	bool stale; /* but for its head it is to be read anew */
	struct list used;
	uint64_t pair[2]; /* key of by_pair for a direct one */
};

struct conv_cache {
	size_t limit;
	struct map by_cid;
	struct smap by_pair;
	struct list used; /* least recently first */
};

/* --- Coalesced marks and touches --- */

struct mark_row {
	struct list link; /* of pending or recent */
	uint64_t key[2];  /* user, cid */
	uint64_t read, delivered, acl_ver, dirty_ms;
	/* What his own connections were told last, and those of his peer. */
	struct mark_told {
		uint64_t read, delivered;
	} told[2];
	bool pending;
	bool blocked; /* at acl_ver: one of a direct conversation's two blocks the other */
};

struct touch_row {
	struct list link;
	uint64_t key[2]; /* session (0: only the user was seen), user */
	uint64_t seen, dirty_ms;
	char *ip; /* owned; NULL: stays */
};

struct marks {
	pthread_mutex_t lock; /* readers look up, the writer changes; the writer reads without it */
	struct smap rows;     /* mark_row by key */
	struct list pending, recent; /* oldest first */
	size_t pending_count, recent_count;
	struct smap touches; /* touch_row by key */
	struct list touched; /* oldest first */
	/* The first ones, which the transaction under way holds. */
	size_t writing_rows, writing_touches;
};

struct saved_input {
	struct fault fault;
	struct op_target target;
	uint64_t acl_ver, min_seq;
};

struct sql_store;

/* Where an entry goes. */
struct place {
	uint64_t cid, seq, ts;
	uint64_t ts_before; /* of the entry before it */
};

/* What a database does in its own way. */
struct sql_engine {
	/* There is a connection to write with; opens it if it is closed and the time has come. */
	bool (*ready)(struct sql_store *s);
	/* The transaction has begun: looks what others did, locks what the operations need. */
	int (*begun)(struct sql_store *s, struct op *const *ops, size_t count);
	/* Everything else is written: the rest before COMMIT. */
	int (*ending)(struct sql_store *s);
	/* It was committed; NULL: that is all. */
	void (*committed)(struct sql_store *s);
	/* An error before COMMIT: rolls back, closes the connection if another may do better. */
	enum sql_class (*failed)(struct sql_store *s, int code);
	/*
	 * After a COMMIT that failed with code: opens anew and fills in the faults, see
	 * outcome_ask(); 0 when every operation has its outcome, or an error: once more.
	 */
	int (*settle)(struct sql_store *s, struct op **ops, size_t count, int code);
	void (*close)(struct sql_store *s);
	/* After a batch, committed or not. */
	void (*rest)(struct sql_store *s);
	/* Something is erased. */
	void (*erased)(struct sql_store *s);
	/*
	 * An entry may wait to be written with others by the end of the transaction; false: it is
	 * to be written at once.  Should one turn out to be there already, the transaction is
	 * begun again, or the operations from it on are, and then all are.
	 */
	bool (*later)(struct sql_store *s, struct op *op, const struct place *place);
	/* An entry was written at once, by the statement before; 0 or an error.  NULL: that is all. */
	int (*added)(struct sql_store *s, uint64_t cid, uint64_t seq);
	bool marks_ride; /* marks that are due are written by the transaction of a batch */
	/*
	 * Before somebody reads the log in the same transaction, or changes who may write:
	 * writes what waits.
	 */
	int (*now)(struct sql_store *s);
	/* After CLASS_DIVIDE: those that need not wait first; how many they are. */
	size_t (*divide)(struct sql_store *s, struct op **ops, size_t count);
	/*
	 * Others write at the same time: rows that a decision hangs on are locked when they are
	 * read, and nothing that may change is remembered from one transaction to the next.
	 */
	bool shared;
};

struct sql_store {
	const struct sql_engine *engine;
	struct driver_options options;
	struct sql_conn writer; /* closed while it can't be opened */
	struct conv_cache convs;
	struct saved_input saved[512]; /* of the batch under way */
	uint64_t now_ms;               /* real time of the batch */
	bool patient;                  /* waits for what others hold, after CLASS_DIVIDE */
	bool locks;                    /* convs_get() locks: in a transaction, where shared */
	uint64_t settle_ms;            /* SETTLE_MS */
	uint64_t next_flush_ms;        /* monotonic */
	struct tally tally;            /* changes of the transaction under way */
	struct marks marks;
	struct sql_store **writers; /* of a pool: whose marks may be the newest, too */
	size_t writer_count;        /* 0: it is alone */

	pthread_mutex_t state_lock;
	char epoch[EPOCH_BYTES];
	uint64_t admin_revision;
	const char *why; /* not writable; NULL: it is */
};

/* transact.c */
/* Before the log is read in a transaction. */
int sql_settle_log(struct sql_store *s);
/* An entry was written by the statement before. */
int sql_entry_added(struct sql_store *s, uint64_t cid, uint64_t seq);
void sql_store_init(
    struct sql_store *s, const struct sql_engine *engine, const struct driver_options *options);
/* Its connection is closed before or after. */
void sql_store_fini(struct sql_store *s);
/* The driver's write(). */
void sql_write(struct sql_store *s, struct op **ops, size_t count);
/* When marks want a transaction of their own; writes them if that is now. */
uint64_t sql_flush_due_ms(const struct sql_store *s);
void sql_flush(struct sql_store *s);
/* All of them, as far as they can be written. */
void sql_flush_all(struct sql_store *s);
void sql_set_why(struct sql_store *s, const char *why);
bool sql_writable(struct sql_store *s, const char **ret_why);
void sql_epoch(struct sql_store *s, char ret_epoch[EPOCH_BYTES]);
uint64_t sql_admin_revision(struct sql_store *s);

/* outcome.c */
enum outcome { OUTCOME_NONE, OUTCOME_LOST, OUTCOME_STORED };
/* A COMMIT failed with code: finds out what became of the batch and fills in the faults. */
void sql_settle(struct sql_store *s, struct op **ops, size_t count, int code);
/* The batch is one transaction: one witness speaks for all.  OUTCOME_NONE: there is none. */
int outcome_ask(
    struct sql_store *s, struct op *const *ops, size_t count, enum outcome *ret_outcome);
/* Without a witness each is asked for itself. */
int outcome_apply(struct sql_store *s, struct op **ops, size_t count, enum outcome outcome);

struct meta {
	char epoch[EPOCH_BYTES]; /* empty: none */
	uint64_t admin_revision, schema_version;
};

/* SQL_DONE: there is no such row. */
int meta_load(struct sql_conn *conn, struct meta *ret);
/* Makes the store's state that of the database; tells of another life. */
void meta_adopt(struct sql_store *s, const struct meta *meta);

/* conv_cache.c */
void convs_init(struct conv_cache *cache);
void convs_clear(struct conv_cache *cache);
/* A row of conv with its head; ret->cid 0 where there is none.  Any connection. */
int conv_load(struct sql_conn *conn, uint64_t cid, struct conv_row *ret);
/* Cached or loaded; *ret NULL where there is none.  Valid until the next call. */
int convs_get(struct sql_store *s, uint64_t cid, struct cached_conv **ret);
/* What was just read of one that is not in the cache; its head as the row has it. */
void convs_put(struct sql_store *s, struct conv_row *row);
/* Loads many that are not in the cache, in one question. */
int convs_get_all(struct sql_store *s, const uint64_t *cids, size_t count);
int convs_direct(struct sql_store *s, uint64_t a, uint64_t b, struct cached_conv **ret);
/* An entry is its newest from now on. */
void convs_advance(struct cached_conv *conv, uint64_t seq, uint64_t ts);
/* What is known of it is not true any more. */
void convs_forget(struct sql_store *s, uint64_t cid);
/* Loads it again: its head was not what the log has. */
int convs_reload(struct sql_store *s, struct cached_conv *conv);

/* rights.c: what is read to decide; any connection */
/* Where others write too: what is read of this row from now on stays so until the end. */
int member_lock(struct sql_store *s, uint64_t user, uint64_t cid);
int member_load(struct sql_conn *conn, uint64_t user, uint64_t cid, struct member_row *ret);
int peer_load(struct sql_conn *conn, uint64_t user, uint64_t peer, struct peer_row *ret);
/*
 * Sets *ret_err by rights_direct() or rights_group(); conv NULL: a conversation with peer would be
 * created.
 */
int rights_load(struct sql_conn *conn, uint64_t user, uint64_t peer, const struct conv_row *conv,
    uint64_t now_ms, struct member_row *ret_member, enum err *ret_err);

/* append.c, accounts.c: inside the writer's transaction; 0 or an error that ends the transaction */
int sql_append(struct sql_store *s, struct op *op);
int sql_account(struct sql_store *s, struct op *op);
/*
 * edit.c, the same: what an edit or a deletion names, and the end of what it says; of the batch
 * under way or before.
 */
int msg_load(struct sql_store *s, uint64_t cid, uint64_t seq, struct msg_row *ret);
/* Writes over the bodies and data of a message and of its edits, on disk too within a minute. */
int msg_erase(struct sql_store *s, uint64_t cid, uint64_t seq);
/* contact.c, close.c: the same */
int sql_contact(struct sql_store *s, struct op *op);
int sql_close_account(struct sql_store *s, struct op *op);
/* Is this the stored hash, of an account that is active? */
int account_hash_is(struct sql_store *s, uint64_t user, slice hash, bool *ret_is);
/* Completes a target; ret_fault->err and *ret_conv as mem_resolve() says. */
int sql_resolve(struct sql_store *s, const struct op *op, struct op_target *target,
    struct cached_conv **ret_conv, struct fault *ret_fault);
/* Does the log hold what a batch of unknown outcome wrote for this operation? */
int sql_append_there(struct sql_store *s, const struct op *op, bool *ret_there);
int sql_account_there(struct sql_store *s, const struct op *op, bool *ret_there);
int sql_contact_there(struct sql_store *s, const struct op *op, bool *ret_there);
int sql_close_there(struct sql_store *s, const struct op *op, bool *ret_there);

/* marks.c */
void marks_init(struct marks *marks);
void marks_fini(struct marks *marks);
int sql_mark(struct sql_store *s, struct op *op);
/* OP_MARK with heard_by: known from now on, and left to the node that said so to be written. */
void sql_mark_heard(struct sql_store *s, struct op *op);
void sql_touch(struct sql_store *s, const struct op *op);
/* Writes the oldest ones, those that are old enough or (all) any, inside a transaction; fewer if it is one of
 * messages (rides). */
int marks_write(struct sql_store *s, bool all, bool rides);
/* The transaction was committed. */
void marks_written(struct sql_store *s);
/* Monotonic time at which something must be written; UINT64_MAX: nothing waits. */
uint64_t marks_due_ms(const struct sql_store *s);
/* Another process wrote: forgets what is only kept. */
void marks_forget_recent(struct sql_store *s);
/* Any thread: raises what was read by what is not written yet. */
void marks_overlay(
    struct sql_store *s, uint64_t user, uint64_t cid, uint64_t *read, uint64_t *delivered);
/* The same for a session's last use, and its address. */
void touches_overlay(struct sql_store *s, struct op *op, uint64_t user, struct op_session *session);

/* receipts.c */
/*
 * Inside the writer's transaction: a member of a group is counted with these marks (the row's) from
 * now on, or is counted no more.
 */
void tally_join(struct sql_store *s, uint64_t cid, uint64_t read, uint64_t delivered);
void tally_leave(struct sql_store *s, uint64_t cid, uint64_t read, uint64_t delivered);
/* At the end of the transaction: writes what came together. */
int tally_write(struct sql_store *s);
/* OP_RECEIPTS, after the transaction that wrote the marks that waited. */
int sql_receipts(struct sql_store *s, struct op *op);

/* contact.c: any connection */
int sql_contact_list(struct sql_conn *conn, struct op *op);

/* group.c: inside the writer's transaction */
int sql_group(struct sql_store *s, struct op *op);
int sql_group_there(struct sql_store *s, const struct op *op, bool *ret_there);
/*
 * Account deletion: op->user leaves all of his groups, see group_abandon(); from is his name as the
 * entries have it.
 */
int sql_groups_leave(struct sql_store *s, struct op *op, slice from);

/* group_read.c: INFO, MEMBERS and GROUPS */
int sql_group_read(struct sql_conn *conn, struct op *op);

/* read.c */
void sql_read_op(struct sql_store *s, struct sql_conn *conn, struct op *op);
/*
 * Fills target and, if there is a conversation, row (else row->cid is 0); op->fault where there can
 * be none.
 */
int sql_read_target(
    struct sql_conn *conn, struct op *op, struct op_target *target, struct conv_row *row);
/* The first text that is not led by prefix any more. */
slice prefix_end(struct op *op, slice prefix);

#endif
