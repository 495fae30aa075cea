/* SPDX-License-Identifier: MIT */
/*
 * The SQLite store.  write() is one transaction:
 *
 *   BEGIN IMMEDIATE -> did another process write? -> each operation -> marks that are due -> COMMIT
 *        |                                               |                                  |
 *        +---- error: ROLLBACK; by its class once more, -+                        error: recover.c
 *              one by one (a bug), or all UNAVAILABLE
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/group_change.h"
#include "store/sql_error.h"
#include "store/sqlite_db.h"
#include "store/store.h"

enum { TRIES_MAX = 3 };

enum attempt { ATTEMPT_DONE, ATTEMPT_RETRY, ATTEMPT_UNAVAILABLE, ATTEMPT_BUG, ATTEMPT_UNKNOWN };

static struct sqlite *
sqlite_of(struct driver *driver)
{
	assert(driver->type == &sqlite_driver);
	return container_of(driver, struct sqlite, base);
}

/* --- What a failed attempt must not leave behind --- */

static_assert(LEN(((struct sqlite *)0)->saved) == LIMIT_STORE_BATCH, "room for a batch");

static void
inputs_save(struct sqlite *s, struct op *const *ops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		s->saved[i].fault = ops[i]->fault;
		if (ops[i]->kind == OP_GROUP)
			s->saved[i].target = ops[i]->in.target;
		if (ops[i]->kind != OP_APPEND)
			continue;
		s->saved[i].target = ops[i]->append.target;
		s->saved[i].acl_ver = ops[i]->append.acl_ver;
		s->saved[i].min_seq = ops[i]->append.min_seq;
	}
}

static void
inputs_restore(struct sqlite *s, struct op **ops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ops[i]->fault = s->saved[i].fault;
		if (ops[i]->kind == OP_CLOSE)
			close_reset(ops[i]);
		if (ops[i]->kind == OP_GROUP) {
			ops[i]->in.target = s->saved[i].target;
			group_outputs_reset(ops[i]);
		}
		if (ops[i]->kind != OP_APPEND)
			continue;
		ops[i]->append.target = s->saved[i].target;
		ops[i]->append.acl_ver = s->saved[i].acl_ver;
		ops[i]->append.min_seq = s->saved[i].min_seq;
	}
}

/* --- One attempt at a transaction --- */

static void
say_failed(struct sqlite *s, int code, const char *phase)
{
	stat_add(STAT_STORE_ERRORS, 1);
	log_warn("store", "transaction_failed", "phase=%s code=%d why=\"%s\"", phase, code,
	    sqlite3_errmsg(s->writer.db));
}

static enum attempt
attempt_failed(struct sqlite *s, int code)
{
	static const enum attempt attempts[] = {
	    [CLASS_RETRY] = ATTEMPT_RETRY,
	    [CLASS_UNAVAILABLE] = ATTEMPT_UNAVAILABLE,
	    [CLASS_UNKNOWN] = ATTEMPT_UNKNOWN,
	    [CLASS_BUG] = ATTEMPT_BUG,
	};

	say_failed(s, code, "before_commit");
	if (sqlite3_get_autocommit(s->writer.db) == 0)
		(void)stmt_run(&s->writer, STMT_ROLLBACK, "");
	writer_failed(s, code);
	return attempts[sql_error_class(code, PHASE_BEFORE_COMMIT)];
}

static int
run_one(struct sqlite *s, struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		return sqlite_append(s, op);
	case OP_GROUP:
		return sqlite_group(s, op);
	default:
		return sqlite_account(s, op);
	}
}

/* marks: those of any age, not only those that are due to ride. */
static int
run_all(struct sqlite *s, struct op **ops, size_t count, bool marks)
{
	int rc = stmt_run(&s->writer, STMT_BEGIN, "");

	tally_clear(&s->tally); /* of an attempt that failed */
	if (rc == SQLITE_OK)
		rc = writer_look(s);
	if (rc == SQLITE_OK)
		rc = marks_write(s, marks);
	for (size_t i = 0; rc == SQLITE_OK && i < count; i++)
		rc = run_one(s, ops[i]);
	return rc == SQLITE_OK ? tally_write(s) : rc;
}

static uint64_t
entries_of(const struct op *op)
{
	if (op->fault.err != ERR_OK)
		return 0;
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		return !op->append.dup;
	case OP_GROUP:
		return op->in.group.entry != NULL;
	case OP_CLOSE:
		return op->close.count;
	default:
		return 0;
	}
}

static void
count_stored(struct op *const *ops, size_t count)
{
	uint64_t appends = 0;

	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		appends += entries_of(ops[i]);
	stat_add(STAT_STORE_APPENDS, appends);
	stat_add(STAT_STORE_BATCHES, 1);
	stat_add(STAT_STORE_ROWS, count);
}

static enum attempt
attempt(struct sqlite *s, struct op **ops, size_t count, bool marks, int *ret_code)
{
	int rc, changes = sqlite3_total_changes(s->writer.db);

	s->now_ms = driver_now_ms(&s->options);
	if ((rc = run_all(s, ops, count, marks)) != SQLITE_OK)
		return attempt_failed(s, rc);
	if ((rc = stmt_run(&s->writer, STMT_COMMIT, "")) != SQLITE_OK) {
		say_failed(s, rc, "commit");
		*ret_code = rc;
		return ATTEMPT_UNKNOWN;
	}
	marks_written(s);
	count_stored(ops, count);
	if (sqlite3_total_changes(s->writer.db) != changes) /* otherwise nothing was proven */
		sqlite_set_why(s, NULL);
	return ATTEMPT_DONE;
}

static void
all_unavailable(struct sqlite *s, struct op **ops, size_t count)
{
	inputs_restore(s, ops, count);
	for (size_t i = 0; i < count; i++)
		op_unavailable(ops[i]);
	sqlite_set_why(s, "the last transaction failed");
}

static void
settle(struct sqlite *s, struct op **ops, size_t count, int code)
{
	sqlite_settle(s, ops, count, code);
	for (size_t i = 0; i < count; i++)
		if (ops[i]->kind == OP_GROUP && ops[i]->fault.err != ERR_OK)
			group_outputs_reset(ops[i]);
}

/* Tries again what may succeed at once; the outcome is final but for BUG. */
static enum attempt
transact(struct sqlite *s, struct op **ops, size_t count, bool marks)
{
	enum attempt outcome = ATTEMPT_RETRY;
	int code = 0;

	inputs_save(s, ops, count);
	for (int tries = 0; outcome == ATTEMPT_RETRY && tries < TRIES_MAX; tries++) {
		inputs_restore(s, ops, count);
		outcome = s->writer.db != NULL ? attempt(s, ops, count, marks, &code)
					       : ATTEMPT_UNAVAILABLE;
	}
	if (outcome == ATTEMPT_BUG)
		inputs_restore(s, ops, count);
	else if (outcome == ATTEMPT_UNKNOWN)
		settle(s, ops, count, code);
	else if (outcome != ATTEMPT_DONE)
		all_unavailable(s, ops, count);
	return outcome;
}

/* A transaction that is wrong in itself: whose fault is it?  The others must not suffer. */
static void
transact_each(struct sqlite *s, struct op **ops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (transact(s, &ops[i], 1, false) != ATTEMPT_BUG)
			continue;
		log_error("store", "operation_impossible", "op=%s user=%llu",
		    op_name((enum op_kind)ops[i]->kind), (unsigned long long)ops[i]->user);
		op_fail(ops[i], ERR_INTERNAL, NULL);
	}
}

static void
transact_timed(struct sqlite *s, struct op **ops, size_t count)
{
	uint64_t start = clock_mono_ns();

	if (transact(s, ops, count, false) == ATTEMPT_BUG)
		transact_each(s, ops, count);
	histogram_add(HISTOGRAM_COMMIT, clock_mono_ns() - start);
	checkpoint_turn(s);
}

/* --- The driver's functions --- */

static bool
is_later(const struct op *op)
{
	return op->kind == OP_MARK || op->kind == OP_TOUCH || op->kind == OP_RECEIPTS;
}

/*
 * Receipts count what stands on disk: if some are wanted the marks that wait are written first.
 * False if they could not be.
 */
static bool
flush_marks(struct sqlite *s, struct op *const *ops, size_t count)
{
	bool wanted = false;

	for (size_t i = 0; i < count; i++)
		wanted = wanted || ops[i]->kind == OP_RECEIPTS;
	while (wanted && s->marks.pending_count > 0)
		if (transact(s, NULL, 0, true) != ATTEMPT_DONE)
			return false;
	return true;
}

/* After the transaction: heads are those that were committed. */
static void
run_later(struct sqlite *s, struct op *op)
{
	int rc = SQLITE_OK;

	op->fault = (struct fault){0};
	if (op->kind == OP_TOUCH)
		sqlite_touch(s, op);
	else if (s->writer.db == NULL)
		op_unavailable(op);
	else if (op->kind == OP_MARK)
		rc = sqlite_mark(s, op);
	else
		rc = sqlite_receipts(s, op);
	if (rc == SQLITE_OK)
		return;
	say_failed(s, rc, op_name((enum op_kind)op->kind));
	op_unavailable(op);
}

static void
sqlite_write(struct driver *driver, struct op **ops, size_t count)
{
	struct sqlite *s = sqlite_of(driver);
	struct op *now[LIMIT_STORE_BATCH];
	size_t now_count = 0;
	bool flushed;

	assert(count <= LIMIT_STORE_BATCH);
	for (size_t i = 0; i < count; i++)
		if (!is_later(ops[i]))
			now[now_count++] = ops[i];
	(void)writer_ready(s);
	flushed = flush_marks(s, ops, count);
	if (now_count > 0)
		transact_timed(s, now, now_count);
	for (size_t i = 0; i < count; i++)
		if (ops[i]->kind == OP_RECEIPTS && !flushed)
			op_unavailable(ops[i]);
		else if (is_later(ops[i]))
			run_later(s, ops[i]);
}

/*
 * What is to be done without an operation: see whether others wrote, and whether it can be written
 * again.
 */
static void
look_around(struct sqlite *s)
{
	const char *why;
	bool can_write = sqlite_driver.writable(&s->base, &why);
	int rc = can_write ? writer_look(s) : stmt_run(&s->writer, STMT_META_OPENED, "n");

	if (rc != SQLITE_OK) {
		sqlite_set_why(
		    s, can_write ? "the store can't be read" : "the store can't be written");
		writer_failed(s, rc);
	} else if (!can_write) {
		sqlite_set_why(s, NULL);
	}
}

static uint32_t
ms_until(uint64_t when, uint64_t now)
{
	return when <= now ? 0 : when - now < POLL_MS ? (uint32_t)(when - now) : POLL_MS;
}

/* When the marks want a transaction of their own; not at once again after one failed. */
static uint64_t
flush_due_ms(const struct sqlite *s)
{
	uint64_t due = marks_due_ms(s);

	return due < s->next_flush_ms ? s->next_flush_ms : due;
}

static uint32_t
sqlite_tick(struct driver *driver)
{
	struct sqlite *s = sqlite_of(driver);
	uint64_t now = clock_mono_ms();

	if (!writer_ready(s))
		return ms_until(s->next_open_ms, clock_mono_ms());
	if (flush_due_ms(s) <= now && transact(s, NULL, 0, false) != ATTEMPT_DONE)
		s->next_flush_ms = now + POLL_MS;
	checkpoint_turn(s);
	if (now >= s->next_poll_ms && s->writer.db != NULL) {
		look_around(s);
		s->next_poll_ms = now + POLL_MS;
	}
	if (s->next_poll_ms < flush_due_ms(s))
		return ms_until(s->next_poll_ms, now);
	return ms_until(flush_due_ms(s), now);
}

static bool
reader_ready(struct sqlite *s, struct sqlite_reader *reader)
{
	char why[512];
	uint64_t generation;

	(void)pthread_mutex_lock(&s->state_lock);
	generation = s->generation;
	(void)pthread_mutex_unlock(&s->state_lock);
	if (reader->conn.db != NULL && reader->generation == generation)
		return true;
	sql_close(&reader->conn);
	if (sql_open(&reader->conn, s->path, SQL_READ, why, sizeof(why)) != SQLITE_OK) {
		log_warn("store", "reader_failed", "why=\"%s\"", why);
		return false;
	}
	reader->generation = generation;
	if (sql_exec(&reader->conn,
		"PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -512;") ==
	    SQLITE_OK)
		return true;
	sql_close(&reader->conn);
	return false;
}

static void
sqlite_read(struct driver *driver, unsigned index, struct op *op)
{
	struct sqlite *s = sqlite_of(driver);
	struct sqlite_reader *reader = &s->readers[index];

	assert(index < LEN(s->readers));
	stat_add(STAT_STORE_READS, 1);
	if (!reader_ready(s, reader)) {
		op_unavailable(op);
		return;
	}
	sqlite_read_op(s, &reader->conn, op);
	if (op->fault.err == ERR_UNAVAILABLE)
		sql_close(&reader->conn);
}

static void
sqlite_epoch(struct driver *driver, char ret_epoch[EPOCH_BYTES])
{
	struct sqlite *s = sqlite_of(driver);

	(void)pthread_mutex_lock(&s->state_lock);
	memcpy(ret_epoch, s->epoch, EPOCH_BYTES);
	(void)pthread_mutex_unlock(&s->state_lock);
}

static bool
sqlite_writable(struct driver *driver, const char **ret_why)
{
	struct sqlite *s = sqlite_of(driver);
	const char *why;

	(void)pthread_mutex_lock(&s->state_lock);
	why = s->why;
	(void)pthread_mutex_unlock(&s->state_lock);
	if (why != NULL)
		*ret_why = why;
	return why == NULL;
}

static uint64_t
sqlite_admin_revision(struct driver *driver)
{
	struct sqlite *s = sqlite_of(driver);
	uint64_t revision;

	(void)pthread_mutex_lock(&s->state_lock);
	revision = s->admin_revision;
	(void)pthread_mutex_unlock(&s->state_lock);
	return revision;
}

/* --- Life --- */

static void
release(struct sqlite *s)
{
	for (size_t i = 0; i < LEN(s->readers); i++)
		sql_close(&s->readers[i].conn);
	convs_clear(&s->convs);
	sql_close(&s->writer); /* the last one: SQLite copies the log into the database */
	marks_fini(&s->marks);
	tally_clear(&s->tally);
	(void)pthread_mutex_destroy(&s->state_lock);
	mem_free(s->path);
	mem_free(s);
}

static struct driver *
sqlite_open(const struct driver_options *options, char *ret_error, size_t error_size)
{
	struct sqlite *s = mem_zalloc(sizeof(*s));

	s->base.type = &sqlite_driver;
	s->options = *options;
	s->path = mem_dup(slice_str(options->path));
	s->settle_ms = SETTLE_MS;
	s->checkpoint.erase_ms = ERASE_MS;
	convs_init(&s->convs);
	marks_init(&s->marks);
	(void)pthread_mutex_init(&s->state_lock, NULL);
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
	struct sqlite *s = sqlite_of(*driver);

	checkpoint_stop(s);
	while (s->writer.db != NULL && marks_due_ms(s) != UINT64_MAX)
		if (transact(s, NULL, 0, true) != ATTEMPT_DONE)
			break;
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
