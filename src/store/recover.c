/* SPDX-License-Identifier: MIT */
/*
 * Opening the writer's connection, and what follows a failed COMMIT.
 *
 * A commit that failed in fsync may stand whole in the log, where this process does not see it but
 * a recovery after a crash would; and what a recovery shows may never have reached the disk.  So
 * before anything is said about it the log is put right (harden): all of it is copied into the
 * database and synced there, which takes what is committed out of doubt, and then begun anew with a
 * commit, which makes what is not committed invalid.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/schema.h"
#include "store/sql_error.h"
#include "store/sqlite_db.h"

enum { BACKOFF_FIRST_MS = 20, BACKOFF_MAX_MS = 1000 };

void
sqlite_set_why(struct sqlite *s, const char *why)
{
	(void)pthread_mutex_lock(&s->state_lock);
	s->why = why;
	(void)pthread_mutex_unlock(&s->state_lock);
}

/* --- Opening --- */

struct meta {
	char epoch[EPOCH_BYTES];
	uint64_t admin_revision, schema_version;
};

static int
meta_load(struct sql_conn *conn, struct meta *ret)
{
	int rc = stmt_start(conn, STMT_META, "");
	slice epoch;

	*ret = (struct meta){0};
	if (rc == SQLITE_ROW) {
		epoch = column_slice(conn, STMT_META, 0);
		if (epoch.len < sizeof(ret->epoch) && epoch.len > 0)
			memcpy(ret->epoch, epoch.ptr, epoch.len);
		ret->admin_revision = column_u64(conn, STMT_META, 1);
		ret->schema_version = column_u64(conn, STMT_META, 2);
	}
	stmt_end(conn, STMT_META);
	return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

/* Makes the store's state that of the file; tells of another life. */
static int
meta_take_over(struct sqlite *s)
{
	struct meta meta;
	bool other_life;
	int rc = meta_load(&s->writer, &meta);

	if (rc == SQLITE_OK)
		rc = stmt_number(&s->writer, &s->data_version, STMT_DATA_VERSION, "");
	if (rc != SQLITE_OK)
		return rc;
	(void)pthread_mutex_lock(&s->state_lock);
	other_life = s->epoch[0] != '\0' && strcmp(s->epoch, meta.epoch) != 0;
	memcpy(s->epoch, meta.epoch, sizeof(s->epoch));
	s->admin_revision = meta.admin_revision;
	(void)pthread_mutex_unlock(&s->state_lock);
	if (other_life && s->options.epoch_changed != NULL)
		s->options.epoch_changed(s->options.cookie, slice_str(meta.epoch));
	return SQLITE_OK;
}

int
writer_look(struct sqlite *s)
{
	uint64_t version = 0;
	int rc = stmt_number(&s->writer, &version, STMT_DATA_VERSION, "");

	if (rc != SQLITE_OK || version == s->data_version)
		return rc;
	convs_clear(&s->convs);
	marks_forget_recent(s);
	return meta_take_over(s);
}

/*
 * A commit that changes next to nothing; gives a store without an epoch a new one.  What was lost
 * with the old life may have had conversations: a client that still means one of them by its number
 * must not find another there, so those numbers are passed over.
 */
static int
commit_small(struct sqlite *s)
{
	char epoch[EPOCH_BYTES];
	int rc = stmt_run(&s->writer, STMT_CIDS_SKIP, "");

	if (rc != SQLITE_OK)
		return rc;
	epoch_make(epoch);
	return stmt_run(&s->writer, STMT_META_OPENED, "s", slice_str(epoch));
}

/*
 * must_restart: all of the log has to be copied; otherwise readers of other processes may be in the
 * way.
 */
static int
harden(struct sqlite *s, bool must_restart)
{
	int rc =
	    sqlite3_wal_checkpoint_v2(s->writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	if (rc == SQLITE_BUSY && !must_restart)
		rc = SQLITE_OK;
	if (rc != SQLITE_OK)
		return rc;
	if ((rc = commit_small(s)) != SQLITE_OK)
		return rc;
	sqlite_set_why(s, NULL);
	return meta_take_over(s);
}

static void
writer_close(struct sqlite *s)
{
	sql_close(&s->writer);
	convs_clear(&s->convs);
}

static bool
writer_connect(struct sqlite *s, bool create, char *ret_error, size_t error_size)
{
	writer_close(s);
	if (!schema_open(&s->writer, s->path, create, ret_error, error_size))
		return false;
	(void)sql_exec(&s->writer, "PRAGMA cache_size = -16384");
	s->writer.counts = true;
	checkpoint_attach(s);
	(void)pthread_mutex_lock(&s->state_lock);
	s->generation++; /* the readers open theirs anew, too */
	(void)pthread_mutex_unlock(&s->state_lock);
	return true;
}

int
writer_open(struct sqlite *s, bool create, char *ret_error, size_t error_size)
{
	int rc;

	if (!writer_connect(s, create, ret_error, error_size))
		return SQLITE_CANTOPEN;
	if ((rc = harden(s, false)) == SQLITE_OK)
		return SQLITE_OK;
	(void)snprintf(ret_error, error_size, "%s can't be written: %s", s->path,
	    sqlite3_errmsg(s->writer.db));
	writer_close(s);
	return rc;
}

void
writer_failed(struct sqlite *s, int code)
{
	if (sql_error_reopen(code) || sqlite3_get_autocommit(s->writer.db) == 0)
		writer_close(s);
	else
		convs_clear(&s->convs);
}

bool
writer_ready(struct sqlite *s)
{
	uint64_t now = clock_mono_ms();
	char why[512];

	if (s->writer.db != NULL)
		return true;
	if (now < s->next_open_ms)
		return false;
	if (writer_connect(s, false, why, sizeof(why)) && harden(s, true) == SQLITE_OK) {
		log_info("store", "reopened", "path=\"%s\"", s->path);
		s->open_backoff_ms = 0;
		return true;
	}
	writer_close(s);
	s->open_backoff_ms = s->open_backoff_ms == 0 ? BACKOFF_FIRST_MS : s->open_backoff_ms * 2;
	if (s->open_backoff_ms > BACKOFF_MAX_MS)
		s->open_backoff_ms = BACKOFF_MAX_MS;
	s->next_open_ms = clock_mono_ms() + s->open_backoff_ms;
	return false;
}

/* --- What became of a batch --- */

enum outcome { OUTCOME_NONE, OUTCOME_LOST, OUTCOME_STORED };

/* An operation whose effect nothing else can have made. */
static bool
is_witness(const struct op *op)
{
	if (op->fault.err != ERR_OK)
		return false;
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		return !op->append.dup;
	case OP_GROUP:
		return op->in.group.entry != NULL;
	case OP_REGISTER:
	case OP_LOGIN:
	case OP_PASSWORD:
	case OP_CLOSE:
		return true;
	default:
		return false;
	}
}

static int
effect_there(struct sqlite *s, const struct op *op, bool *ret_there)
{
	if (op->kind == OP_APPEND)
		return sqlite_append_there(s, op, ret_there);
	if (op->kind == OP_GROUP)
		return sqlite_group_there(s, op, ret_there);
	return sqlite_account_there(s, op, ret_there);
}

/* The batch is one transaction: one witness speaks for all.  OUTCOME_NONE: there is none. */
static int
ask_witness(struct sqlite *s, struct op *const *ops, size_t count, enum outcome *ret)
{
	bool there = false;
	int rc;

	*ret = OUTCOME_NONE;
	for (size_t i = 0; i < count; i++) {
		if (!is_witness(ops[i]))
			continue;
		rc = effect_there(s, ops[i], &there);
		*ret = there ? OUTCOME_STORED : OUTCOME_LOST;
		return rc;
	}
	return SQLITE_OK;
}

static void
all_lost(struct op **ops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		op_unavailable(ops[i]);
}

/*
 * Without a witness each is asked for itself; what was refused was so in any case, or can be asked
 * again.
 */
static int
each_for_itself(struct sqlite *s, struct op **ops, size_t count)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < count; i++) {
		bool there = false;

		if (ops[i]->fault.err != ERR_OK || ops[i]->kind == OP_APPEND)
			continue; /* an append that is no witness repeats a stored one */
		rc = effect_there(s, ops[i], &there);
		if (rc == SQLITE_OK && !there)
			op_unavailable(ops[i]);
	}
	return rc;
}

static int
settle_by(struct sqlite *s, struct op **ops, size_t count, enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_STORED:
		return SQLITE_OK; /* what the transaction found stands */
	case OUTCOME_LOST:
		all_lost(ops, count);
		return SQLITE_OK;
	default:
		return each_for_itself(s, ops, count);
	}
}

/* One attempt; 0 when every operation has its outcome. */
static int
settle_once(struct sqlite *s, struct op **ops, size_t count, int code)
{
	enum outcome outcome;
	char why[512];
	int rc;

	if (!writer_connect(s, false, why, sizeof(why)))
		return SQLITE_CANTOPEN;
	if ((rc = ask_witness(s, ops, count, &outcome)) != SQLITE_OK)
		return rc;
	/*
	 * The record was never whole: nothing can bring it back, and a full disk would not let us
	 * harden.
	 */
	if (outcome == OUTCOME_LOST && sql_error_not_whole(code)) {
		all_lost(ops, count);
		return meta_take_over(s);
	}
	if ((rc = harden(s, true)) != SQLITE_OK)
		return rc;
	if ((rc = ask_witness(s, ops, count, &outcome)) != SQLITE_OK)
		return rc;
	return settle_by(s, ops, count, outcome);
}

static void
pause_ms(uint64_t ms)
{
	struct timespec left = {
	    .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

void
sqlite_settle(struct sqlite *s, struct op **ops, size_t count, int code)
{
	uint64_t deadline = clock_mono_ms() + s->settle_ms, backoff_ms = BACKOFF_FIRST_MS;

	stat_add(STAT_STORE_UNKNOWN, 1);
	sqlite_set_why(s, "the last commit failed");
	while (settle_once(s, ops, count, code) != SQLITE_OK) {
		writer_close(s);
		if (clock_mono_ms() + backoff_ms > deadline) {
			for (size_t i = 0; i < count; i++)
				op_fail(ops[i], ERR_UNKNOWN_OUTCOME, NULL);
			log_error("store", "outcome_unknown", "operations=%zu", count);
			return;
		}
		pause_ms(backoff_ms);
		backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
	}
	log_info("store", "outcome_settled", "operations=%zu", count);
}
