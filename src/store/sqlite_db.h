/* SPDX-License-Identifier: MIT */
/* What the SQLite store has beside what every store on SQL has. */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include "store/memtable.h"
#include "store/sql_db.h"
#include "store/sqlite_list.h"
#include "store/store.h"

enum {
	SQLITE_READERS_MAX = 16,
	/*
	 * Pages that the writer keeps, at most, as it comes to need them; the least recently used
	 * go.  In an index of a million messages each lands on another page.
	 */
	WRITER_CACHE_KIB = 65536,
	CHECKPOINT_PAGES = 500, /* of the log */
	CHECKPOINT_AGAIN_PAGES =
	    250, /* further ones, if a reader kept the log from starting anew */
	CHECKPOINT_WAIT_PAGES = 16000, /* then the writer waits for the readers */
	LIMIT_MEMTABLE = 65536,        /* entries that come together before they are merged */
	ERASE_MS = 20000,              /* after a deletion the log is emptied */
	ERASE_AGAIN_MS = 5000,         /* if a reader was in the way, once more after that */
	ERASE_WAIT_MS = 100,           /* so long the writer waits for readers to empty it */
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
	int pages;             /* in the log after the last commit */
	int trigger;           /* at how many it is wanted */
	uint64_t erase_ms;     /* ERASE_MS */
	uint64_t erase_due_ms; /* monotonic: what was erased is to leave the log; 0: nothing */
};

struct sqlite_reader {
	struct sql_conn conn;
	uint64_t generation; /* at which it was opened */
};

/* A message that waits to be inserted with others. */
struct later {
	struct op *op;
	struct place at;
};

struct memtable_order {
	struct memtable *memtable;
	bool newest_first;
};

struct sqlite {
	struct driver base;
	struct sql_store sql;
	char *path; /* owned */
	uint64_t data_version;
	uint64_t next_poll_ms, next_open_ms, open_backoff_ms; /* monotonic */
	struct checkpoint checkpoint;
	struct sqlite_reader readers[SQLITE_READERS_MAX];
	struct later later[LIMIT_STORE_BATCH];
	size_t later_count;
	struct sqlite_list later_list;
	bool at_once; /* none waits */
	struct memtable memtable;
	struct memtable_order oldest, newest;
	size_t merge_at;  /* LIMIT_MEMTABLE */
	size_t lag_told;  /* GAUGE_STORE_LAG */
	size_t merge_due; /* entries that are to be merged */
	size_t merging;   /* so many are, by the statement under way */
	struct sqlite_list merging_list;
	uint64_t generation; /* how often the writer was opened; under sql.state_lock */
};

static inline struct sqlite *
sqlite_of(struct sql_store *s)
{
	return container_of(s, struct sqlite, sql);
}

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

/* sqlite_batch.c */
/* The writer's connection was opened; 0 or an error. */
int sqlite_later_attach(struct sqlite *s);
void sqlite_later_clear(struct sqlite *s);
/* The engine's later(), now() and ending(). */
bool sqlite_later(struct sql_store *s, struct op *op, const struct place *place);
int sqlite_later_write(struct sql_store *s);

/* sqlite_memtable.c: statements of this connection can ask the memtable; 0 or an error */
int sqlite_memtable_attach(struct sqlite *s, struct sql_conn *conn);

/* sqlite_index.c */
void sqlite_index_init(struct sqlite *s);
void sqlite_index_fini(struct sqlite *s);
/* The writer's connection was opened; 0 or an error. */
int sqlite_index_open(struct sqlite *s);
/* What the index lacks is read from the log: another process wrote. */
int sqlite_index_load(struct sqlite *s);
/* A transaction begins; it is about to end, and all is written; it was rolled back. */
void sqlite_index_begun(struct sqlite *s);
int sqlite_index_ending(struct sqlite *s);
void sqlite_index_failed(struct sqlite *s);
/* The engine's committed() and added(). */
void sqlite_index_committed(struct sql_store *s);
int sqlite_index_added(struct sql_store *s, uint64_t cid, uint64_t seq);
/* The store is closed: nothing is left out of the index, if it can be written. */
void sqlite_index_finish(struct sqlite *s);

/* recover.c: the engine's functions */
/* Opens the writer's connection anew; 0, or an error with a message in ret_error. */
int writer_open(struct sqlite *s, bool create, char *ret_error, size_t error_size);
enum sql_class writer_failed(struct sql_store *s, int code);
bool writer_ready(struct sql_store *s);
void writer_close(struct sql_store *s);
int writer_settle(struct sql_store *s, struct op **ops, size_t count, int code);
/* Notices what another process wrote; in a transaction or not. */
int writer_look(struct sqlite *s);

#endif
