/* SPDX-License-Identifier: MIT */
/*
 * The SQLite store: one writer's connection, one for each reader, and the engine of SQLite for what
 * is the same in every store on SQL (transact.c).
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/sqlite_db.h"

static_assert((int)MEMTABLE_READERS == (int)SQLITE_READERS_MAX, "each has a place in both");

static struct sqlite *
of(struct driver *driver)
{
	assert(driver->type == &sqlite_driver);
	return container_of(driver, struct sqlite, base);
}

/*
 * What is to be done without an operation: see whether others wrote, and whether it can be written
 * again.
 */
static void
look_around(struct sqlite *s)
{
	const char *why;
	bool can_write = sql_writable(&s->sql, &why);
	int rc = can_write ? writer_look(s) : stmt_run(&s->sql.writer, STMT_META_OPENED, "n");

	if (rc != SQLITE_OK) {
		sql_set_why(
		    &s->sql, can_write ? "the store can't be read" : "the store can't be written");
		(void)writer_failed(&s->sql, rc);
	} else if (!can_write) {
		sql_set_why(&s->sql, NULL);
	}
}

static uint32_t
ms_until(uint64_t when, uint64_t now)
{
	return when <= now ? 0 : when - now < POLL_MS ? (uint32_t)(when - now) : POLL_MS;
}

static uint32_t
sqlite_tick(struct driver *driver)
{
	struct sqlite *s = of(driver);
	uint64_t now = clock_mono_ms();

	if (!writer_ready(&s->sql))
		return ms_until(s->next_open_ms, clock_mono_ms());
	sql_flush(&s->sql);
	checkpoint_turn(s);
	if (now >= s->next_poll_ms && s->sql.writer.db != NULL) {
		look_around(s);
		s->next_poll_ms = now + POLL_MS;
	}
	if (s->next_poll_ms < sql_flush_due_ms(&s->sql))
		return ms_until(s->next_poll_ms, now);
	return ms_until(sql_flush_due_ms(&s->sql), now);
}

static bool
reader_ready(struct sqlite *s, struct sqlite_reader *reader)
{
	char why[512];
	uint64_t generation;

	(void)pthread_mutex_lock(&s->sql.state_lock);
	generation = s->generation;
	(void)pthread_mutex_unlock(&s->sql.state_lock);
	if (reader->conn.db != NULL && reader->generation == generation)
		return true;
	sql_close(&reader->conn);
	if (sql_open(&reader->conn, s->path, SQL_READ, why, sizeof(why)) != SQLITE_OK) {
		log_warn("store", "reader_failed", "why=\"%s\"", why);
		return false;
	}
	reader->generation = generation;
	if (sqlite_memtable_attach(s, &reader->conn) == SQLITE_OK &&
	    sql_exec(&reader->conn,
		"PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -512;") ==
		SQLITE_OK)
		return true;
	sql_close(&reader->conn);
	return false;
}

static void
sqlite_read(struct driver *driver, unsigned index, struct op *op)
{
	struct sqlite *s = of(driver);
	struct sqlite_reader *reader = &s->readers[index];

	assert(index < LEN(s->readers));
	stat_add(STAT_STORE_READS, 1);
	if (!reader_ready(s, reader)) {
		op_unavailable(op);
		return;
	}
	memtable_enter(&s->memtable, index);
	sql_read_op(&s->sql, &reader->conn, op);
	memtable_leave(&s->memtable, index);
	if (op->fault.err == ERR_UNAVAILABLE)
		sql_close(&reader->conn);
}

static void
sqlite_epoch(struct driver *driver, char ret_epoch[EPOCH_BYTES])
{
	sql_epoch(&of(driver)->sql, ret_epoch);
}

static bool
sqlite_writable(struct driver *driver, const char **ret_why)
{
	return sql_writable(&of(driver)->sql, ret_why);
}

static uint64_t
sqlite_admin_revision(struct driver *driver)
{
	return sql_admin_revision(&of(driver)->sql);
}

static void
sqlite_write(struct driver *driver, struct op **ops, size_t count)
{
	sql_write(&of(driver)->sql, ops, count);
}

/* --- The engine --- */

static int
begun(struct sql_store *s, struct op *const *ops, size_t count)
{
	(void)ops;
	(void)count;
	sqlite_later_clear(sqlite_of(s)); /* of an attempt that failed */
	sqlite_index_begun(sqlite_of(s));
	return writer_look(sqlite_of(s));
}

static int
ending(struct sql_store *s)
{
	int rc = sqlite_later_write(s);

	return rc == SQLITE_OK ? sqlite_index_ending(sqlite_of(s)) : rc;
}

static void
rest(struct sql_store *s)
{
	checkpoint_turn(sqlite_of(s));
}

static void
erased(struct sql_store *s)
{
	checkpoint_erase(sqlite_of(s));
}

static const struct sql_engine engine = {
    .ready = writer_ready,
    .begun = begun,
    .ending = ending,
    .committed = sqlite_index_committed,
    .failed = writer_failed,
    .settle = writer_settle,
    .close = writer_close,
    .rest = rest,
    .erased = erased,
    .later = sqlite_later,
    .now = sqlite_later_write,
    .added = sqlite_index_added,
    .marks_ride = true,
};

/* --- Life --- */

static void
release(struct sqlite *s)
{
	for (size_t i = 0; i < LEN(s->readers); i++)
		sql_close(&s->readers[i].conn);
	sql_close(&s->sql.writer); /* the last one: SQLite copies the log into the database */
	sqlite_index_fini(s);
	sql_store_fini(&s->sql);
	mem_free(s->path);
	mem_free(s);
}

static struct driver *
sqlite_open(const struct driver_options *options, char *ret_error, size_t error_size)
{
	struct sqlite *s = mem_zalloc(sizeof(*s));

	s->base.type = &sqlite_driver;
	sql_store_init(&s->sql, &engine, options);
	sqlite_index_init(s);
	s->path = mem_dup(slice_str(options->path));
	s->checkpoint.erase_ms = ERASE_MS;
	if (writer_open(s, true, ret_error, error_size) != SQLITE_OK ||
	    checkpoint_start(s, ret_error, error_size) != SQLITE_OK) {
		release(s);
		return NULL;
	}
	return &s->base;
}

static void
sqlite_close(struct driver **driver)
{
	struct sqlite *s = of(*driver);

	checkpoint_stop(s);
	sql_flush_all(&s->sql);
	sqlite_index_finish(s);
	release(s);
	*driver = NULL;
}

const struct store_driver sqlite_driver = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .write = sqlite_write,
    .tick = sqlite_tick,
    .read = sqlite_read,
    .epoch = sqlite_epoch,
    .writable = sqlite_writable,
    .admin_revision = sqlite_admin_revision,
};
