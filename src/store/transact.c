/* SPDX-License-Identifier: MIT */
/*
 * A batch of operations is one transaction, in whichever database:
 *
 *   BEGIN -> what others did, locks -> marks that are due -> each operation -> COMMIT
 *     |                                                          |               |
 *     +----- error: ROLLBACK; by its class once more, -----------+       error: outcome.c
 *            one by one (a bug), or all UNAVAILABLE
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/group_change.h"
#include "store/sql_db.h"
#include "store/store.h"

enum { TRIES_MAX = 3, FLUSH_AGAIN_MS = POLL_MS };

enum attempt {
	ATTEMPT_DONE,
	ATTEMPT_RETRY,
	ATTEMPT_UNAVAILABLE,
	ATTEMPT_BUG,
	ATTEMPT_UNKNOWN,
	ATTEMPT_DIVIDE
};

/* --- What a failed attempt must not leave behind --- */

static_assert(LEN(((struct sql_store *)0)->saved) == LIMIT_STORE_BATCH, "room for a batch");

static void
inputs_save(struct sql_store *s, struct op *const *ops, size_t count)
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
inputs_restore(struct sql_store *s, struct op **ops, size_t count)
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
say_failed(struct sql_store *s, int code, const char *phase)
{
	stat_add(STAT_STORE_ERRORS, 1);
	log_warn("store", "transaction_failed", "phase=%s code=%d why=\"%s\"", phase, code,
	    sql_why(&s->writer));
}

static enum attempt
attempt_failed(struct sql_store *s, int code)
{
	static const enum attempt attempts[] = {
	    [CLASS_RETRY] = ATTEMPT_RETRY,
	    [CLASS_UNAVAILABLE] = ATTEMPT_UNAVAILABLE,
	    [CLASS_UNKNOWN] = ATTEMPT_UNKNOWN,
	    [CLASS_BUG] = ATTEMPT_BUG,
	    [CLASS_DIVIDE] = ATTEMPT_DIVIDE,
	};
	/* Nothing is wrong where rows are held or an entry of others stands there already. */
	bool expected =
	    code == SQL_HELD || (s->engine->shared && sql_is_duplicate(&s->writer, code));

	if (!expected)
		say_failed(s, code, "before_commit");
	return attempts[s->engine->failed(s, code)];
}

int
sql_settle_log(struct sql_store *s)
{
	return s->engine->now(s);
}

int
sql_entry_added(struct sql_store *s, uint64_t cid, uint64_t seq)
{
	return s->engine->added != NULL ? s->engine->added(s, cid, seq) : SQL_OK;
}

/* What is no message of his own kind reads the log, or changes who may write to it. */
static bool
needs_log(const struct op *op)
{
	return op->kind == OP_GROUP || op->kind == OP_CLOSE || op->kind == OP_CONTACT ||
	       (op->kind == OP_APPEND && op->append.what != APPEND_MESSAGE);
}

static int
run_one(struct sql_store *s, struct op *op)
{
	int rc = needs_log(op) ? sql_settle_log(s) : SQL_OK;

	if (rc != SQL_OK)
		return rc;
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		return sql_append(s, op);
	case OP_GROUP:
		return sql_group(s, op);
	default:
		return sql_account(s, op);
	}
}

/* marks: those of any age, not only those that are due to ride. */
static int
run_all(struct sql_store *s, struct op **ops, size_t count, bool marks)
{
	int rc = stmt_run(&s->writer, STMT_BEGIN, "");

	tally_clear(&s->tally); /* of an attempt that failed */
	if (rc == SQL_OK)
		rc = s->engine->begun(s, ops, count);
	if (rc == SQL_OK && (count == 0 || s->engine->marks_ride))
		rc = marks_write(s, marks, count > 0);
	for (size_t i = 0; rc == SQL_OK && i < count; i++)
		rc = run_one(s, ops[i]);
	if (rc == SQL_OK)
		rc = tally_write(s);
	return rc == SQL_OK ? s->engine->ending(s) : rc;
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
attempt(struct sql_store *s, struct op **ops, size_t count, bool marks, int *ret_code)
{
	uint64_t changes = sql_total_changes(&s->writer);
	int rc;

	s->now_ms = driver_now_ms(&s->options);
	if ((rc = run_all(s, ops, count, marks)) != SQL_OK)
		return attempt_failed(s, rc);
	if ((rc = stmt_run(&s->writer, STMT_COMMIT, "")) != SQL_OK) {
		say_failed(s, rc, "commit");
		*ret_code = rc;
		return ATTEMPT_UNKNOWN;
	}
	if (s->engine->committed != NULL)
		s->engine->committed(s);
	marks_written(s);
	count_stored(ops, count);
	if (sql_total_changes(&s->writer) != changes) /* otherwise nothing was proven */
		sql_set_why(s, NULL);
	return ATTEMPT_DONE;
}

static void
all_unavailable(struct sql_store *s, struct op **ops, size_t count)
{
	inputs_restore(s, ops, count);
	for (size_t i = 0; i < count; i++)
		op_unavailable(ops[i]);
	sql_set_why(s, "the last transaction failed");
}

static void
settle(struct sql_store *s, struct op **ops, size_t count, int code)
{
	sql_settle(s, ops, count, code);
	for (size_t i = 0; i < count; i++)
		if (ops[i]->kind == OP_GROUP && ops[i]->fault.err != ERR_OK)
			group_outputs_reset(ops[i]);
}

/* Tries again what may succeed at once; the outcome is final but for BUG. */
static enum attempt
transact(struct sql_store *s, struct op **ops, size_t count, bool marks)
{
	enum attempt outcome = ATTEMPT_RETRY;
	int code = 0;

	inputs_save(s, ops, count);
	for (int tries = 0; outcome == ATTEMPT_RETRY && tries < TRIES_MAX; tries++) {
		inputs_restore(s, ops, count);
		outcome = s->engine->ready(s) ? attempt(s, ops, count, marks, &code)
					      : ATTEMPT_UNAVAILABLE;
	}
	if (outcome == ATTEMPT_BUG || outcome == ATTEMPT_DIVIDE)
		inputs_restore(s, ops, count);
	else if (outcome == ATTEMPT_UNKNOWN)
		settle(s, ops, count, code);
	else if (outcome != ATTEMPT_DONE)
		all_unavailable(s, ops, count);
	return outcome;
}

/* A transaction that is wrong in itself: whose fault is it?  The others must not suffer. */
static void
transact_each(struct sql_store *s, struct op **ops, size_t count)
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
transact_patiently(struct sql_store *s, struct op **ops, size_t count)
{
	if (count > 0 && transact(s, ops, count, false) == ATTEMPT_BUG)
		transact_each(s, ops, count);
}

/* Others hold something: who needs nothing of it goes first, and the rest waits by itself. */
static void
transact_divided(struct sql_store *s, struct op **ops, size_t count)
{
	size_t free_count = s->engine->divide(s, ops, count);

	s->patient = true;
	transact_patiently(s, ops, free_count);
	transact_patiently(s, ops + free_count, count - free_count);
	s->patient = false;
}

static void
transact_timed(struct sql_store *s, struct op **ops, size_t count)
{
	uint64_t start = clock_mono_ns();
	enum attempt outcome = transact(s, ops, count, false);

	s->patient = outcome == ATTEMPT_BUG;
	if (outcome == ATTEMPT_BUG)
		transact_each(s, ops, count);
	else if (outcome == ATTEMPT_DIVIDE)
		transact_divided(s, ops, count);
	s->patient = false;
	histogram_add(HISTOGRAM_COMMIT, clock_mono_ns() - start);
	s->engine->rest(s);
}

/* --- What is answered beside the transaction --- */

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
flush_marks(struct sql_store *s, struct op *const *ops, size_t count)
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
run_later(struct sql_store *s, struct op *op)
{
	int rc = SQL_OK;

	op->fault = (struct fault){0};
	if (op->kind == OP_TOUCH)
		sql_touch(s, op);
	else if (op->kind == OP_MARK && op->mark.heard_by != 0)
		sql_mark_heard(s, op);
	else if (!sql_is_open(&s->writer))
		op_unavailable(op);
	else if (op->kind == OP_MARK)
		rc = sql_mark(s, op);
	else
		rc = sql_receipts(s, op);
	if (rc == SQL_OK)
		return;
	say_failed(s, rc, op_name((enum op_kind)op->kind));
	op_unavailable(op);
}

void
sql_write(struct sql_store *s, struct op **ops, size_t count)
{
	struct op *now[LIMIT_STORE_BATCH];
	size_t now_count = 0;
	bool flushed;

	assert(count <= LIMIT_STORE_BATCH);
	if (s->engine->shared)
		convs_clear(&s->convs);
	for (size_t i = 0; i < count; i++)
		if (!is_later(ops[i]))
			now[now_count++] = ops[i];
	(void)s->engine->ready(s);
	flushed = flush_marks(s, ops, count);
	if (now_count > 0)
		transact_timed(s, now, now_count);
	for (size_t i = 0; i < count; i++)
		if (ops[i]->kind == OP_RECEIPTS && !flushed)
			op_unavailable(ops[i]);
		else if (is_later(ops[i]))
			run_later(s, ops[i]);
}

/* Not at once again after it failed. */
uint64_t
sql_flush_due_ms(const struct sql_store *s)
{
	uint64_t due = marks_due_ms(s);

	return due < s->next_flush_ms ? s->next_flush_ms : due;
}

void
sql_flush(struct sql_store *s)
{
	uint64_t now = clock_mono_ms();

	if (sql_flush_due_ms(s) <= now && transact(s, NULL, 0, false) != ATTEMPT_DONE)
		s->next_flush_ms = now + FLUSH_AGAIN_MS;
}

void
sql_flush_all(struct sql_store *s)
{
	while (sql_is_open(&s->writer) && marks_due_ms(s) != UINT64_MAX)
		if (transact(s, NULL, 0, true) != ATTEMPT_DONE)
			break;
}

/* --- The state that others ask for --- */

void
sql_store_init(
    struct sql_store *s, const struct sql_engine *engine, const struct driver_options *options)
{
	s->engine = engine;
	s->options = *options;
	s->settle_ms = SETTLE_MS;
	convs_init(&s->convs);
	marks_init(&s->marks);
	(void)pthread_mutex_init(&s->state_lock, NULL);
}

void
sql_store_fini(struct sql_store *s)
{
	convs_clear(&s->convs);
	marks_fini(&s->marks);
	tally_clear(&s->tally);
	(void)pthread_mutex_destroy(&s->state_lock);
}

void
sql_set_why(struct sql_store *s, const char *why)
{
	(void)pthread_mutex_lock(&s->state_lock);
	s->why = why;
	(void)pthread_mutex_unlock(&s->state_lock);
}

bool
sql_writable(struct sql_store *s, const char **ret_why)
{
	const char *why;

	(void)pthread_mutex_lock(&s->state_lock);
	why = s->why;
	(void)pthread_mutex_unlock(&s->state_lock);
	if (why != NULL)
		*ret_why = why;
	return why == NULL;
}

void
sql_epoch(struct sql_store *s, char ret_epoch[EPOCH_BYTES])
{
	(void)pthread_mutex_lock(&s->state_lock);
	memcpy(ret_epoch, s->epoch, EPOCH_BYTES);
	(void)pthread_mutex_unlock(&s->state_lock);
}

uint64_t
sql_admin_revision(struct sql_store *s)
{
	uint64_t revision;

	(void)pthread_mutex_lock(&s->state_lock);
	revision = s->admin_revision;
	(void)pthread_mutex_unlock(&s->state_lock);
	return revision;
}
