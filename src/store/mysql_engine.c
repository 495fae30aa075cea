/* SPDX-License-Identifier: MIT */
/*
 * What a writer on MariaDB or MySQL does around its transactions:
 *
 *   START TRANSACTION -> rows locked in order -> is it our life? -> operations -> heads -> COMMIT
 *
 * READ COMMITTED: after a lock a statement sees what was committed before it.  Whatever others may
 * change is read in the transaction that decides on it; no head outlives one.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "store/mysql_db.h"
#include "store/mysql_error.h"
#include "store/mysql_schema.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 1000 };

/* --- Lives --- */

void
mysql_adopt(struct mysql *m, const struct meta *meta)
{
	(void)pthread_mutex_lock(&m->adopt_lock);
	meta_adopt(&m->front, meta);
	(void)pthread_mutex_unlock(&m->adopt_lock);
}

static void
take_over(struct mysql_writer *w, const struct meta *meta)
{
	memcpy(w->sql.epoch, meta->epoch, sizeof(w->sql.epoch));
	mysql_adopt(w->store, meta);
}

int
mysql_writer_look(struct mysql_writer *w)
{
	struct meta meta;
	int rc = meta_load(&w->sql.writer, &meta);
	bool same = strcmp(meta.epoch, w->sql.epoch) == 0;

	if (rc != SQL_OK)
		return rc == SQL_DONE ? MYSQL_OTHER_LIFE : rc;
	if (meta.epoch[0] != '\0')
		take_over(w, &meta);
	if (!same) {
		mysql_names_clear(&w->names);
		(void)snprintf(w->sql.writer.mysql->why, sizeof(w->sql.writer.mysql->why),
		    "the store lives another life");
	}
	return same ? SQL_OK : MYSQL_OTHER_LIFE;
}

/* --- Connecting --- */

static void
set_why(struct mysql_writer *w, const char *why)
{
	sql_set_why(&w->sql, why);
}

static void
writer_close(struct sql_store *s)
{
	sql_close(&s->writer);
	convs_clear(&s->convs);
	mysql_names_clear(&mysql_writer_of(s)->names);
	s->locks = false;
}

int
mysql_writer_connect(struct mysql_writer *w, char *ret_error, size_t error_size)
{
	const char *warning = NULL;
	struct mysql_conn *conn = NULL;
	struct meta meta;
	int rc;

	writer_close(&w->sql);
	rc = mysql_conn_open(&w->store->address, false, &conn, ret_error, error_size);
	if (rc != 0)
		return rc;
	w->sql.writer.mysql = conn;
	w->sql.writer.counts = true;
	if (!mysql_server_check(
		conn, w->store->address.durability, &warning, ret_error, error_size)) {
		writer_close(&w->sql);
		return MYSQL_ERROR_READ_ONLY_OPTION;
	}
	rc = meta_load(&w->sql.writer, &meta);
	if (rc == SQL_OK && meta.epoch[0] != '\0')
		take_over(w, &meta);
	if (rc == SQL_OK)
		return SQL_OK;
	(void)snprintf(ret_error, error_size, "the tables can't be read: %s", conn->why);
	writer_close(&w->sql);
	return rc;
}

static bool
writer_ready(struct sql_store *s)
{
	struct mysql_writer *w = mysql_writer_of(s);
	char why[512];

	if (s->writer.mysql != NULL)
		return true;
	if (clock_mono_ms() < w->next_open_ms)
		return false;
	if (mysql_writer_connect(w, why, sizeof(why)) == SQL_OK) {
		if (w->open_backoff_ms > 0)
			log_info("store", "reconnected", "database=%s", w->store->address.database);
		w->open_backoff_ms = 0;
		set_why(w, NULL);
		return true;
	}
	log_warn("store", "connection_failed", "why=\"%s\"", why);
	set_why(w, "the database can't be reached");
	w->open_backoff_ms = w->open_backoff_ms == 0 ? BACKOFF_FIRST_MS : w->open_backoff_ms * 2;
	if (w->open_backoff_ms > BACKOFF_MAX_MS)
		w->open_backoff_ms = BACKOFF_MAX_MS;
	w->next_open_ms = clock_mono_ms() + w->open_backoff_ms;
	return false;
}

/* --- Around the operations --- */

static int
begun(struct sql_store *s, struct op *const *ops, size_t count)
{
	struct mysql_writer *w = mysql_writer_of(s);
	int rc;

	convs_clear(&s->convs);
	w->later_count = 0;
	s->locks = false;
	rc = mysql_lock_rows(s, ops, count);
	if (rc == SQL_OK)
		rc = mysql_writer_look(w);
	s->locks = count > 0;
	return rc;
}

static int
ending(struct sql_store *s)
{
	int rc = mysql_later_write(s);

	s->locks = false;
	return rc == SQL_OK ? mysql_heads_write(s) : rc;
}

static enum sql_class
failed(struct sql_store *s, int code)
{
	bool ours = code == MYSQL_OTHER_LIFE || code == SQL_HELD;

	s->locks = false;
	mysql_writer_of(s)->later_count = 0;
	convs_clear(&s->convs);
	if (ours || !mysql_error_reopen(code))
		if (stmt_run(&s->writer, STMT_ROLLBACK, "") != SQL_OK)
			writer_close(s);
	if (ours)
		return code == SQL_HELD ? CLASS_DIVIDE : CLASS_UNAVAILABLE;
	if (mysql_error_reopen(code))
		writer_close(s);
	return mysql_error_class(code, PHASE_BEFORE_COMMIT);
}

/* --- What became of a batch --- */

/*
 * The lost connection's transaction may still be under way: its rows are locked until it ended.
 * Who locks them knows the outcome.
 */
static int
wait_for_end(struct sql_store *s, struct op *const *ops, size_t count)
{
	int rc = mysql_lock_rows(s, ops, count);

	for (size_t i = 0; rc == SQL_OK && i < count; i++) {
		uint64_t found;

		if (ops[i]->kind == OP_REGISTER)
			rc = stmt_number(&s->writer, &found, STMT_LOCK_TOKEN, "b",
			    slice_of((const char *)ops[i]->session.token_hash, SECRET_HASH_BYTES));
	}
	return rc;
}

static int
ask(struct sql_store *s, struct op **ops, size_t count)
{
	enum outcome outcome;
	int rc = stmt_run(&s->writer, STMT_BEGIN, "");

	if (rc == SQL_OK)
		rc = wait_for_end(s, ops, count);
	if (rc == SQL_OK)
		rc = outcome_ask(s, ops, count, &outcome);
	if (rc == SQL_OK)
		rc = outcome_apply(s, ops, count, outcome);
	if (rc == SQL_OK)
		(void)stmt_run(&s->writer, STMT_ROLLBACK, "");
	return rc;
}

static int
settle(struct sql_store *s, struct op **ops, size_t count, int code)
{
	struct mysql_writer *w = mysql_writer_of(s);
	char why[512];
	int rc;

	(void)code;
	if ((rc = mysql_writer_connect(w, why, sizeof(why))) != SQL_OK)
		return rc;
	if ((rc = ask(s, ops, count)) == SQL_OK)
		set_why(w, NULL);
	return rc;
}

static void
rest(struct sql_store *s)
{
	mysql_writer_of(s)->at_once = false;
}

static void
nothing(struct sql_store *s)
{
	(void)s;
}

const struct sql_engine mysql_engine = {
    .ready = writer_ready,
    .begun = begun,
    .ending = ending,
    .failed = failed,
    .settle = settle,
    .close = writer_close,
    .rest = rest,
    .erased = nothing,
    .later = mysql_later,
    .now = mysql_later_write,
    .divide = mysql_divide,
    .shared = true,
};
