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
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/schema.h"
#include "store/sql_error.h"
#include "store/sqlite_db.h"

enum { BACKOFF_FIRST_MS = 20, BACKOFF_MAX_MS = 1000 };

/* --- Opening --- */

/* Makes the store's state that of the file; tells of another life. */
static int
meta_take_over(struct sqlite *s)
{
	struct meta meta;
	int rc = meta_load(&s->sql.writer, &meta);

	if (rc == SQLITE_OK)
		rc = stmt_number(&s->sql.writer, &s->data_version, STMT_DATA_VERSION, "");
	if (rc != SQLITE_OK)
		return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
	meta_adopt(&s->sql, &meta);
	return SQLITE_OK;
}

int
writer_look(struct sqlite *s)
{
	uint64_t version = 0;
	int rc = stmt_number(&s->sql.writer, &version, STMT_DATA_VERSION, "");

	if (rc != SQLITE_OK || version == s->data_version)
		return rc;
	convs_clear(&s->sql.convs);
	marks_forget_recent(&s->sql);
	if ((rc = sqlite_index_load(s)) != SQLITE_OK)
		return rc;
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
	int rc = stmt_run(&s->sql.writer, STMT_CIDS_SKIP, "");

	if (rc != SQLITE_OK)
		return rc;
	epoch_make(epoch);
	return stmt_run(&s->sql.writer, STMT_META_OPENED, "s", slice_str(epoch));
}

/*
 * must_restart: all of the log has to be copied; otherwise readers of other processes may be in the
 * way.
 */
static int
harden(struct sqlite *s, bool must_restart)
{
	int rc = sqlite3_wal_checkpoint_v2(
	    s->sql.writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	if (rc == SQLITE_BUSY && !must_restart)
		rc = SQLITE_OK;
	if (rc != SQLITE_OK)
		return rc;
	if ((rc = commit_small(s)) != SQLITE_OK)
		return rc;
	sql_set_why(&s->sql, NULL);
	return meta_take_over(s);
}

void
writer_close(struct sql_store *s)
{
	sql_close(&s->writer);
	convs_clear(&s->convs);
}

static bool
writer_connect(struct sqlite *s, bool create, char *ret_error, size_t error_size)
{
	char set[40];
	int rc;

	writer_close(&s->sql);
	if (!schema_open(&s->sql.writer, s->path, create, ret_error, error_size))
		return false;
	if ((rc = sqlite_later_attach(s)) == SQLITE_OK)
		rc = sqlite_index_open(s);
	if (rc != SQLITE_OK) {
		(void)snprintf(
		    ret_error, error_size, "%s can't be used: %s", s->path, sqlite3_errstr(rc));
		writer_close(&s->sql);
		return false;
	}
	(void)snprintf(set, sizeof(set), "PRAGMA cache_size = -%d", WRITER_CACHE_KIB);
	(void)sql_exec(&s->sql.writer, set);
	s->sql.writer.counts = true;
	checkpoint_attach(s);
	(void)pthread_mutex_lock(&s->sql.state_lock);
	s->generation++; /* the readers open theirs anew, too */
	(void)pthread_mutex_unlock(&s->sql.state_lock);
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
	    sqlite3_errmsg(s->sql.writer.db));
	writer_close(&s->sql);
	return rc;
}

enum sql_class
writer_failed(struct sql_store *s, int code)
{
	if (sqlite3_get_autocommit(s->writer.db) == 0)
		(void)stmt_run(&s->writer, STMT_ROLLBACK, "");
	sqlite_index_failed(sqlite_of(s));
	if (sql_error_reopen(code) || sqlite3_get_autocommit(s->writer.db) == 0)
		writer_close(s);
	else
		convs_clear(&s->convs);
	return sql_error_class(code, PHASE_BEFORE_COMMIT);
}

bool
writer_ready(struct sql_store *store)
{
	struct sqlite *s = sqlite_of(store);
	uint64_t now = clock_mono_ms();
	char why[512];

	if (s->sql.writer.db != NULL)
		return true;
	if (now < s->next_open_ms)
		return false;
	if (writer_connect(s, false, why, sizeof(why)) && harden(s, true) == SQLITE_OK) {
		log_info("store", "reopened", "path=\"%s\"", s->path);
		s->open_backoff_ms = 0;
		return true;
	}
	writer_close(&s->sql);
	s->open_backoff_ms = s->open_backoff_ms == 0 ? BACKOFF_FIRST_MS : s->open_backoff_ms * 2;
	if (s->open_backoff_ms > BACKOFF_MAX_MS)
		s->open_backoff_ms = BACKOFF_MAX_MS;
	s->next_open_ms = clock_mono_ms() + s->open_backoff_ms;
	return false;
}

/* --- What became of a batch --- */

int
writer_settle(struct sql_store *store, struct op **ops, size_t count, int code)
{
	struct sqlite *s = sqlite_of(store);
	enum outcome outcome;
	char why[512];
	int rc;

	if (!writer_connect(s, false, why, sizeof(why)))
		return SQLITE_CANTOPEN;
	if ((rc = outcome_ask(store, ops, count, &outcome)) != SQLITE_OK)
		return rc;
	/*
	 * The record was never whole: nothing can bring it back, and a full disk would not let us
	 * harden.
	 */
	if (outcome == OUTCOME_LOST && sql_error_not_whole(code)) {
		(void)outcome_apply(store, ops, count, outcome);
		return meta_take_over(s);
	}
	if ((rc = harden(s, true)) != SQLITE_OK)
		return rc;
	if ((rc = outcome_ask(store, ops, count, &outcome)) != SQLITE_OK)
		return rc;
	return outcome_apply(store, ops, count, outcome);
}
