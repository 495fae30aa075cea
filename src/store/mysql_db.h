/* SPDX-License-Identifier: MIT */
/*
 * The state of the store on MariaDB or MySQL: a pool of writers, each a store on SQL of its own
 * with a connection, and a connection for each reader.  Operations of one conversation go to one
 * writer, so that they keep their order and no node waits for itself; between nodes, and for what
 * concerns several conversations, the database's row locks decide.
 */
#ifndef STORE_MYSQL_DB_H
#define STORE_MYSQL_DB_H

#include "store/mysql_conn.h"
#include "store/sql_db.h"

enum { MYSQL_READERS_MAX = 16 };

enum { MSG_COLUMNS = 9, HEAD_COLUMNS = 3, PACKET_BYTES = 512 * 1024 };

enum { LIMIT_NAMES = 16384 };

struct mysql;

/*
 * What direct conversations' two are called.  A name is one person's for good, and ends with his
 * account, which raises acl_ver: at that acl_ver, in the same life, they are the same.
 */
struct mysql_names {
	struct map by_cid; /* owned blocks; all go when there are LIMIT_NAMES */
};

/* An entry that waits to be written. */
struct mysql_later {
	const struct entry *entry; /* borrowed from its operation */
	struct place at;
};

struct mysql_writer {
	struct driver base; /* of a type that only writes, see driver.h's writer() */
	struct sql_store sql;
	struct mysql *store;
	uint64_t next_poll_ms, next_open_ms, open_backoff_ms; /* monotonic */
	struct mysql_later later[512];                        /* of the transaction under way */
	size_t later_count;
	bool at_once;       /* one of the batch's entries is there already: none waits */
	uint64_t held[512]; /* conversations that another node holds, after SQL_HELD */
	size_t held_count;
	struct mysql_names names;
};

struct mysql_reader {
	struct sql_conn conn;
	uint64_t used_ms, next_open_ms; /* monotonic */
};

struct mysql {
	struct driver base;
	struct mysql_address address;
	struct sql_store front; /* what readers and others see: no connection, the state */
	struct mysql_writer writers[MYSQL_WRITERS_MAX];
	struct sql_store *stores[MYSQL_WRITERS_MAX];
	unsigned writer_count;
	struct mysql_reader readers[MYSQL_READERS_MAX];
	unsigned char bus_key[BUS_KEY_BYTES];
	pthread_mutex_t adopt_lock; /* one life after the other; taken before front's */
};

extern const struct sql_engine mysql_engine;

/* mysql_lock.c */
/*
 * Inside a transaction: locks all rows of users and conversations that the operations decide on,
 * each kind in the order of their ids, so that no two transactions wait for each other.
 */
int mysql_lock_rows(struct sql_store *s, struct op *const *ops, size_t count);
/* After SQL_HELD: those that need nothing of what is held first; how many they are. */
size_t mysql_divide(struct sql_store *s, struct op **ops, size_t count);

/* mysql_names.c */
/* Into a row that has none, but is locked; false where they are not known. */
bool mysql_names_get(const struct mysql_names *names, struct conv_row *row);
/* Those of a row that was read whole while it was locked. */
void mysql_names_put(struct mysql_names *names, const struct conv_row *row);
void mysql_names_clear(struct mysql_names *names);

/* mysql_batch.c */
/* Locks rows of one kind, and hands those that it locked to take, which may be NULL. */
typedef void mysql_take(const struct mysql_statement *row, void *cookie);
int mysql_lock_many(struct mysql_conn *conn, enum mysql_many many, const uint64_t *ids,
    size_t count, mysql_take *take, void *cookie);
/* The engine's later() and now(). */
bool mysql_later(struct sql_store *s, struct op *op, const struct place *place);
int mysql_later_write(struct sql_store *s);
int mysql_heads_write(struct sql_store *s);

/* mysql_engine.c */
/* Connects the writer, makes the tables where create says so; 0, or a code and a message. */
int mysql_writer_connect(struct mysql_writer *w, char *ret_error, size_t error_size);
/* Sees what others changed: lives, accounts.  MYSQL_OTHER_LIFE if it is not the writer's life. */
int mysql_writer_look(struct mysql_writer *w);
/* Takes a life for the store's; tells of it once. */
void mysql_adopt(struct mysql *m, const struct meta *meta);

/* A result code of our own, beside the server's. */
enum { MYSQL_OTHER_LIFE = 199 };

static inline struct mysql_writer *
mysql_writer_of(struct sql_store *s)
{
	return container_of(s, struct mysql_writer, sql);
}

#endif
