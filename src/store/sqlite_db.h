/* SPDX-License-Identifier: MIT */
/*
 * The state of the SQLite store, for the files that work on it.  What is the writer's is touched by
 * the thread that calls write() and tick() alone; marks, state and checkpoint have a lock of their
 * own each, none of which is held while another is taken.
 */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "store/driver.h"
#include "store/rows.h"
#include "store/sql.h"
#include "store/tally.h"

enum {
	SQLITE_READERS_MAX = 16,
	LIMIT_CONVS_CACHED = 131072, /* the least recently used goes */
	LIMIT_MARKS_PENDING = 65536, /* coalesced marks and touches; more are written at once */
	LIMIT_MARKS_RECENT = 8192, /* written ones that are kept for who reads an older snapshot */
	LIMIT_MARKS_BATCH = 2048,  /* written with one transaction */
	MARKS_RIDE_MS = 1000,      /* as old as this they ride with the next transaction */
	MARKS_ALONE_MS = 2000,     /* as old as this they get one of their own */
	CHECKPOINT_PAGES = 4000,   /* of the log */
	CHECKPOINT_AGAIN_PAGES =
	    1000, /* further ones, if a reader kept the log from starting anew */
	CHECKPOINT_WAIT_PAGES = 16000, /* then the writer waits for the readers */
	ERASE_MS = 20000,      /* after a deletion the log is emptied */
	ERASE_AGAIN_MS = 5000, /* if a reader was in the way, once more after that */
	ERASE_WAIT_MS = 100,   /* so long the writer waits for readers to empty it */
	POLL_MS = 1000, /* how often an idle writer looks around: did others write, can it again? */
	SETTLE_MS = 5000, /* how long a batch of unknown outcome is looked into */
};

/* --- Cached conversations: the writer's --- */

struct cached_conv {
	struct conv_row row;
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

/* --- Checkpoints --- */

enum checkpoint_state { CHECKPOINT_IDLE, CHECKPOINT_WANTED, CHECKPOINT_HELPED };

struct checkpoint {
	struct sql_conn conn; /* the helper's; open as long as the store, see checkpoint_start() */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	enum checkpoint_state state;
	bool stopping;
	/* The writer's: */
	int pages;   /* in the log after the last commit */
	int trigger; /* at how many it is wanted */
	uint64_t erase_ms;     /* ERASE_MS */
	uint64_t erase_due_ms; /* monotonic: what was erased is to leave the log; 0: nothing */
};

struct saved_input {
	struct fault fault;
	struct op_target target;
	uint64_t acl_ver, min_seq;
};

struct sqlite_reader {
	struct sql_conn conn;
	uint64_t generation; /* at which it was opened */
};

struct sqlite {
	struct driver base;
	struct driver_options options;
	char *path; /* owned */

	struct sql_conn writer; /* closed while it can't be opened */
	uint64_t data_version;
	struct conv_cache convs;
	struct saved_input saved[512]; /* of the batch under way */
	uint64_t now_ms;               /* real time of the batch */
	uint64_t settle_ms;            /* SETTLE_MS */
	uint64_t next_poll_ms, next_flush_ms, next_open_ms, open_backoff_ms; /* monotonic */

	struct tally tally; /* changes of the transaction under way */
	struct marks marks;
	struct checkpoint checkpoint;
	struct sqlite_reader readers[SQLITE_READERS_MAX];

	pthread_mutex_t state_lock;
	char epoch[EPOCH_BYTES];
	uint64_t admin_revision, generation; /* generation: how often the writer was opened */
	const char *why;                     /* not writable; NULL: it is */
};

/* conv_cache.c */
void convs_init(struct conv_cache *cache);
void convs_clear(struct conv_cache *cache);
/* A row of conv with its head; ret->cid 0 where there is none.  Any connection. */
int conv_load(struct sql_conn *conn, uint64_t cid, struct conv_row *ret);
/* Cached or loaded; *ret NULL where there is none.  Valid until the next call. */
int convs_get(struct sqlite *s, uint64_t cid, struct cached_conv **ret);
int convs_direct(struct sqlite *s, uint64_t a, uint64_t b, struct cached_conv **ret);
/* What is known of it is not true any more. */
void convs_forget(struct sqlite *s, uint64_t cid);
/* Loads it again: its head was not what the log has. */
int convs_reload(struct sqlite *s, struct cached_conv *conv);

/* rights.c: what is read to decide; any connection */
int member_load(struct sql_conn *conn, uint64_t user, uint64_t cid, struct member_row *ret);
int peer_load(struct sql_conn *conn, uint64_t user, uint64_t peer, struct peer_row *ret);
/*
 * Sets *ret_err by rights_direct() or rights_group(); conv NULL: a conversation with peer would be
 * created.
 */
int rights_load(struct sql_conn *conn, uint64_t user, uint64_t peer, const struct conv_row *conv,
    uint64_t now_ms, struct member_row *ret_member, enum err *ret_err);

/* append.c, accounts.c: inside the writer's transaction; 0 or an error that ends the transaction */
int sqlite_append(struct sqlite *s, struct op *op);
int sqlite_account(struct sqlite *s, struct op *op);
/*
 * edit.c, the same: what an edit or a deletion names, and the end of what it says; of the batch
 * under way or before.
 */
int msg_load(struct sqlite *s, uint64_t cid, uint64_t seq, struct msg_row *ret);
/* Writes over the bodies and data of a message and of its edits, on disk too within a minute. */
int msg_erase(struct sqlite *s, uint64_t cid, uint64_t seq);
/* contact.c, close.c: the same */
int sqlite_contact(struct sqlite *s, struct op *op);
int sqlite_close_account(struct sqlite *s, struct op *op);
/* Is this the stored hash, of an account that is active? */
int account_hash_is(struct sqlite *s, uint64_t user, slice hash, bool *ret_is);
/* Completes a target; ret_fault->err and *ret_conv as mem_resolve() says. */
int sqlite_resolve(struct sqlite *s, const struct op *op, struct op_target *target,
    struct cached_conv **ret_conv, struct fault *ret_fault);
/* Does the log hold what a batch of unknown outcome wrote for this operation? */
int sqlite_append_there(struct sqlite *s, const struct op *op, bool *ret_there);
int sqlite_account_there(struct sqlite *s, const struct op *op, bool *ret_there);
int sqlite_contact_there(struct sqlite *s, const struct op *op, bool *ret_there);
int sqlite_close_there(struct sqlite *s, const struct op *op, bool *ret_there);

/* marks.c */
void marks_init(struct marks *marks);
void marks_fini(struct marks *marks);
int sqlite_mark(struct sqlite *s, struct op *op);
void sqlite_touch(struct sqlite *s, const struct op *op);
/* Writes the oldest ones, those that are old enough or (all) any, inside a transaction. */
int marks_write(struct sqlite *s, bool all);
/* The transaction was committed. */
void marks_written(struct sqlite *s);
/* Monotonic time at which something must be written; UINT64_MAX: nothing waits. */
uint64_t marks_due_ms(const struct sqlite *s);
/* Another process wrote: forgets what is only kept. */
void marks_forget_recent(struct sqlite *s);
/* Any thread: raises what was read by what is not written yet. */
void marks_overlay(
    struct sqlite *s, uint64_t user, uint64_t cid, uint64_t *read, uint64_t *delivered);
/* The same for a session's last use, and its address. */
void touches_overlay(struct sqlite *s, struct op *op, uint64_t user, struct op_session *session);

/* receipts.c */
/*
 * Inside the writer's transaction: a member of a group is counted with these marks (the row's) from
 * now on, or is counted no more.
 */
void tally_join(struct sqlite *s, uint64_t cid, uint64_t read, uint64_t delivered);
void tally_leave(struct sqlite *s, uint64_t cid, uint64_t read, uint64_t delivered);
/* At the end of the transaction: writes what came together. */
int tally_write(struct sqlite *s);
/* OP_RECEIPTS, after the transaction that wrote the marks that waited. */
int sqlite_receipts(struct sqlite *s, struct op *op);

/* checkpoint.c */
/*
 * The helper's connection is there from start to end, whatever happens to the others: as long as it
 * is, what a failed commit left in the log stays unseen, and no closing or opening recovers it.
 */
int checkpoint_start(struct sqlite *s, char *ret_error, size_t error_size);
void checkpoint_stop(struct sqlite *s);
/* The writer's connection was opened. */
void checkpoint_attach(struct sqlite *s);
/* Something is erased: the log, which still has it, is to be emptied soon. */
void checkpoint_erase(struct sqlite *s);
/* After a commit or when idle: asks the helper, or does the rest after it. */
void checkpoint_turn(struct sqlite *s);

/* recover.c */
/* Opens the writer's connection anew; 0, or an error with a message in ret_error. */
int writer_open(struct sqlite *s, bool create, char *ret_error, size_t error_size);
/* A commit failed with code: finds out what became of the batch and fills in the faults. */
void sqlite_settle(struct sqlite *s, struct op **ops, size_t count, int code);
/* An error before COMMIT, rolled back: closes the connection if another one may do better. */
void writer_failed(struct sqlite *s, int code);
/* Opens it if it is closed and the time has come.  False: there is no writer. */
bool writer_ready(struct sqlite *s);
/* Notices what another process wrote; in a transaction or not. */
int writer_look(struct sqlite *s);
void sqlite_set_why(struct sqlite *s, const char *why);

/* contact.c: any connection */
int sqlite_contact_list(struct sql_conn *conn, struct op *op);

/* group.c: inside the writer's transaction */
int sqlite_group(struct sqlite *s, struct op *op);
int sqlite_group_there(struct sqlite *s, const struct op *op, bool *ret_there);
/*
 * Account deletion: op->user leaves all of his groups, see group_abandon(); from is his name as the
 * entries have it.
 */
int sqlite_groups_leave(struct sqlite *s, struct op *op, slice from);

/* group_read.c: INFO, MEMBERS and GROUPS */
int sqlite_group_read(struct sql_conn *conn, struct op *op);

/* read.c */
void sqlite_read_op(struct sqlite *s, struct sql_conn *conn, struct op *op);
/*
 * Fills target and, if there is a conversation, row (else row->cid is 0); op->fault where there can
 * be none.
 */
int sqlite_read_target(
    struct sql_conn *conn, struct op *op, struct op_target *target, struct conv_row *row);
/* The first text that is not led by prefix any more. */
slice prefix_end(struct op *op, slice prefix);

#endif
