/* SPDX-License-Identifier: MIT */
/*
 * The log (PATH-wal) grows with every commit until all of it was copied into the database and a
 * commit finds that nobody reads it: then it starts anew.  A helper copies nearly all beside the
 * load; the writer copies the little that came meanwhile, while nobody else can add to it.  If
 * readers keep it from starting anew the two try again some pages later, and in the end the writer
 * waits for the readers.
 *
 * What a deletion erases is gone from the database with the next copying, but the log keeps the
 * bytes of old until it is cut to nothing.  That is done a while after a deletion, so that many
 * share it, and tried until it succeeds.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/sqlite_db.h"

static int
on_commit(void *cookie, sqlite3 *db, const char *name, int pages)
{
	struct sqlite *s = cookie;

	(void)db;
	(void)name;
	s->checkpoint.pages = pages;
	return SQLITE_OK;
}

void
checkpoint_attach(struct sqlite *s)
{
	(void)sqlite3_wal_hook(s->sql.writer.db, on_commit, s);
	s->checkpoint.pages = 0;
	s->checkpoint.trigger = CHECKPOINT_PAGES;
	checkpoint_erase(s); /* there may have been something to do when the last life ended */
}

void
checkpoint_erase(struct sqlite *s)
{
	struct checkpoint *cp = &s->checkpoint;

	if (cp->erase_due_ms == 0)
		cp->erase_due_ms = clock_mono_ms() + cp->erase_ms;
}

static bool
erase_is_due(const struct checkpoint *cp)
{
	return cp->erase_due_ms != 0 && clock_mono_ms() >= cp->erase_due_ms;
}

static void
set_state(struct checkpoint *cp, enum checkpoint_state state)
{
	(void)pthread_mutex_lock(&cp->lock);
	cp->state = state;
	(void)pthread_mutex_unlock(&cp->lock);
	(void)pthread_cond_signal(&cp->wake);
}

static enum checkpoint_state
get_state(struct checkpoint *cp)
{
	enum checkpoint_state state;

	(void)pthread_mutex_lock(&cp->lock);
	state = cp->state;
	(void)pthread_mutex_unlock(&cp->lock);
	return state;
}

/* --- The helper --- */

/* Reading once ties it to the log. */
static int
helper_open(struct sqlite *s, char *ret_error, size_t error_size)
{
	struct sql_conn *conn = &s->checkpoint.conn;
	int rc = sql_open(conn, s->path, SQL_READ, ret_error, error_size);

	if (rc != SQLITE_OK)
		return rc;
	rc = sql_exec(conn, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
			    "SELECT schema_version FROM meta;");
	if (rc != SQLITE_OK) {
		(void)snprintf(ret_error, error_size, "%s can't be read: %s", s->path,
		    sqlite3_errmsg(conn->db));
		sql_close(conn);
	}
	return rc;
}

/* Another file stands at the path by now. */
static bool
has_moved(struct sql_conn *conn)
{
	int moved = 0;

	return sqlite3_file_control(conn->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
		   SQLITE_OK &&
	       moved != 0;
}

static void
help(struct sqlite *s)
{
	struct sql_conn *conn = &s->checkpoint.conn;
	char why[512];

	if (conn->db != NULL && has_moved(conn))
		sql_close(conn);
	if (conn->db == NULL && helper_open(s, why, sizeof(why)) != SQLITE_OK) {
		log_warn("store", "checkpoint_helper", "why=\"%s\"", why);
		return;
	}
	(void)sqlite3_wal_checkpoint_v2(conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* False at the end. */
static bool
wait_wanted(struct checkpoint *cp)
{
	bool stopping;

	(void)pthread_mutex_lock(&cp->lock);
	while (cp->state != CHECKPOINT_WANTED && !cp->stopping)
		(void)pthread_cond_wait(&cp->wake, &cp->lock);
	stopping = cp->stopping;
	(void)pthread_mutex_unlock(&cp->lock);
	return !stopping;
}

static void *
helper_main(void *cookie)
{
	struct sqlite *s = cookie;

	assert(s->base.type == &sqlite_driver);
	while (wait_wanted(&s->checkpoint)) {
		help(s);
		set_state(&s->checkpoint, CHECKPOINT_HELPED);
	}
	return NULL;
}

int
checkpoint_start(struct sqlite *s, char *ret_error, size_t error_size)
{
	struct checkpoint *cp = &s->checkpoint;
	int rc;

	if ((rc = helper_open(s, ret_error, error_size)) != SQLITE_OK)
		return rc;
	(void)pthread_mutex_init(&cp->lock, NULL);
	(void)pthread_cond_init(&cp->wake, NULL);
	if ((rc = pthread_create(&cp->thread, NULL, helper_main, s)) != 0)
		panic("store: no thread: %s", strerror(rc));
	return SQLITE_OK;
}

void
checkpoint_stop(struct sqlite *s)
{
	struct checkpoint *cp = &s->checkpoint;

	(void)pthread_mutex_lock(&cp->lock);
	cp->stopping = true;
	(void)pthread_mutex_unlock(&cp->lock);
	(void)pthread_cond_signal(&cp->wake);
	(void)pthread_join(cp->thread, NULL);
	sql_close(&cp->conn);
	(void)pthread_cond_destroy(&cp->wake);
	(void)pthread_mutex_destroy(&cp->lock);
}

/* --- The writer --- */

/* Cuts the log to nothing, unless somebody reads it. */
static void
empty(struct sqlite *s)
{
	struct checkpoint *cp = &s->checkpoint;
	int rc;

	(void)sqlite3_busy_timeout(s->sql.writer.db, ERASE_WAIT_MS);
	rc = sqlite3_wal_checkpoint_v2(s->sql.writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	(void)sqlite3_busy_timeout(s->sql.writer.db, SQL_BUSY_MS);
	stat_add(rc == SQLITE_OK ? STAT_STORE_ERASED : STAT_STORE_ERASE_HELD, 1);
	if (rc == SQLITE_OK) {
		cp->pages = 0;
		cp->trigger = CHECKPOINT_PAGES;
		cp->erase_due_ms = 0;
		return;
	}
	cp->erase_due_ms = clock_mono_ms() + ERASE_AGAIN_MS;
	if (rc != SQLITE_BUSY)
		log_warn("store", "erase_failed", "code=%d why=\"%s\"", rc, sqlite3_errstr(rc));
}

static void
finish(struct sqlite *s)
{
	struct checkpoint *cp = &s->checkpoint;
	bool wait = cp->pages >= CHECKPOINT_WAIT_PAGES;
	int rc = sqlite3_wal_checkpoint_v2(s->sql.writer.db, NULL,
	    wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		log_warn(
		    "store", "checkpoint_failed", "code=%d why=\"%s\"", rc, sqlite3_errstr(rc));
	stat_add(STAT_STORE_CHECKPOINTS, 1);
	cp->trigger = cp->pages + CHECKPOINT_AGAIN_PAGES;
}

void
checkpoint_turn(struct sqlite *s)
{
	struct checkpoint *cp = &s->checkpoint;

	if (s->sql.writer.db == NULL)
		return;
	if (cp->pages < CHECKPOINT_PAGES && !erase_is_due(cp)) {
		cp->trigger = CHECKPOINT_PAGES; /* it started anew */
		if (get_state(cp) == CHECKPOINT_HELPED)
			set_state(cp, CHECKPOINT_IDLE);
		return;
	}
	switch (get_state(cp)) {
	case CHECKPOINT_IDLE:
		if (cp->pages >= cp->trigger || erase_is_due(cp))
			set_state(cp, CHECKPOINT_WANTED);
		break;
	case CHECKPOINT_HELPED:
		if (erase_is_due(cp))
			empty(s);
		else
			finish(s);
		set_state(cp, CHECKPOINT_IDLE);
		break;
	case CHECKPOINT_WANTED:
		break;
	}
}
