/* SPDX-License-Identifier: MIT */
/* The store on MariaDB or MySQL: a pool of writers and readers before one database. */
#include "store/mysql_db.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/secret.h"
#include "base/stat.h"
#include "store/mysql_schema.h"

enum { PING_MS = 1000, READER_BACKOFF_MS = 200 };

static struct mysql *
of(struct driver *driver)
{
	assert(driver->type == &mysql_driver);
	return container_of(driver, struct mysql, base);
}

/* --- Writers --- */

static const struct store_driver writer_driver;

static struct mysql_writer *
writer_of(struct driver *driver)
{
	assert(driver->type == &writer_driver);
	return container_of(driver, struct mysql_writer, base);
}

static struct driver *
mysql_writer(struct driver *driver, unsigned index)
{
	struct mysql *m = of(driver);

	return index < m->writer_count ? &m->writers[index].base : NULL;
}

static void
writer_write(struct driver *driver, struct op **ops, size_t count)
{
	sql_write(&writer_of(driver)->sql, ops, count);
}

/* Notices what others did to the store while nothing is written. */
static void
look_around(struct mysql_writer *w)
{
	int rc = mysql_writer_look(w);

	if (rc == SQL_OK || rc == MYSQL_OTHER_LIFE) {
		sql_set_why(&w->sql, NULL);
		return;
	}
	log_warn("store", "look_failed", "code=%d why=\"%s\"", rc, sql_why(&w->sql.writer));
	(void)w->sql.engine->failed(&w->sql, rc);
	sql_set_why(&w->sql, "the database can't be read");
}

static uint32_t
ms_until(uint64_t when, uint64_t now)
{
	return when <= now ? 0 : when - now < POLL_MS ? (uint32_t)(when - now) : POLL_MS;
}

static uint32_t
writer_tick(struct driver *driver)
{
	struct mysql_writer *w = writer_of(driver);
	uint64_t now = clock_mono_ms(), due;

	if (!w->sql.engine->ready(&w->sql))
		return ms_until(w->next_open_ms, clock_mono_ms());
	sql_flush(&w->sql);
	if (now >= w->next_poll_ms && sql_is_open(&w->sql.writer)) {
		look_around(w);
		w->next_poll_ms = now + POLL_MS;
	}
	due = sql_flush_due_ms(&w->sql);
	return ms_until(due < w->next_poll_ms ? due : w->next_poll_ms, now);
}

static const struct store_driver writer_driver = {
    .name = "mysql",
    .write = writer_write,
    .tick = writer_tick,
};

static void
mysql_write(struct driver *driver, struct op **ops, size_t count)
{
	writer_write(&of(driver)->writers[0].base, ops, count);
}

static uint32_t
mysql_tick(struct driver *driver)
{
	return writer_tick(&of(driver)->writers[0].base);
}

/* --- Readers --- */

/* What lay idle may have been closed by the server. */
static bool
is_alive(struct mysql_reader *reader, uint64_t now)
{
	if (reader->conn.mysql == NULL)
		return false;
	if (now - reader->used_ms < PING_MS || mysql_conn_ping(reader->conn.mysql))
		return true;
	sql_close(&reader->conn);
	return false;
}

static bool
reader_ready(struct mysql *m, struct mysql_reader *reader)
{
	uint64_t now = clock_mono_ms();
	struct mysql_conn *conn = NULL;
	char why[512];

	if (is_alive(reader, now))
		return true;
	if (now < reader->next_open_ms)
		return false;
	if (mysql_conn_open(&m->address, true, &conn, why, sizeof(why)) == 0) {
		reader->conn.mysql = conn;
		return true;
	}
	log_warn("store", "reader_failed", "why=\"%s\"", why);
	reader->next_open_ms = clock_mono_ms() + READER_BACKOFF_MS;
	return false;
}

static void
mysql_read(struct driver *driver, unsigned index, struct op *op)
{
	struct mysql *m = of(driver);
	struct mysql_reader *reader = &m->readers[index];

	assert(index < LEN(m->readers));
	stat_add(STAT_STORE_READS, 1);
	if (!reader_ready(m, reader)) {
		op_unavailable(op);
		return;
	}
	sql_read_op(&m->front, &reader->conn, op);
	reader->used_ms = clock_mono_ms();
	if (op->fault.err == ERR_UNAVAILABLE)
		sql_close(&reader->conn);
}

/* --- What others ask --- */

static void
mysql_epoch(struct driver *driver, char ret_epoch[EPOCH_BYTES])
{
	sql_epoch(&of(driver)->front, ret_epoch);
}

static bool
mysql_writable(struct driver *driver, const char **ret_why)
{
	struct mysql *m = of(driver);

	for (unsigned i = 0; i < m->writer_count; i++)
		if (!sql_writable(&m->writers[i].sql, ret_why))
			return false;
	return true;
}

static uint64_t
mysql_admin_revision(struct driver *driver)
{
	return sql_admin_revision(&of(driver)->front);
}

static const char *
mysql_durability_word(struct driver *driver)
{
	static const char *const words[] = {
	    [MYSQL_DURABLE_LOCAL] = "local",
	    [MYSQL_DURABLE_REPLICATED] = "replicated",
	    [MYSQL_DURABLE_RELAXED] = "relaxed",
	};

	return words[of(driver)->address.durability];
}

static void
mysql_bus_key(struct driver *driver, unsigned char ret_key[BUS_KEY_BYTES])
{
	memcpy(ret_key, of(driver)->bus_key, BUS_KEY_BYTES);
}

/* --- Life --- */

static void
release(struct mysql *m)
{
	for (size_t i = 0; i < LEN(m->readers); i++)
		sql_close(&m->readers[i].conn);
	for (unsigned i = 0; i < m->writer_count; i++) {
		sql_close(&m->writers[i].sql.writer);
		mysql_names_clear(&m->writers[i].names);
		sql_store_fini(&m->writers[i].sql);
	}
	sql_store_fini(&m->front);
	(void)pthread_mutex_destroy(&m->adopt_lock);
	mem_free(m);
}

/*
 * The numbers of conversations that were lost with an old life are passed over, see recover.c: those
 * behind the last row, and behind the last number that is known to have been given.  A
 * NULL epoch is a restored backup's, or a new database's.
 */
static int
life_begin(struct mysql_conn *conn, struct sql_conn *sql)
{
	char epoch[EPOCH_BYTES], text[64], skip[120];
	int rc = mysql_conn_ask(
	    conn, "SELECT epoch IS NULL AND opened > 0 FROM meta WHERE id = 1", text, sizeof(text));
	bool reborn = rc == 0 && strcmp(text, "1") == 0;

	if (reborn)
		rc = mysql_conn_ask(conn,
		    "SELECT greatest(coalesce((SELECT max(cid) FROM conv), 0), "
		    "coalesce((SELECT auto_increment FROM information_schema.tables "
		    "WHERE table_schema = database() AND table_name = 'conv'), 0)) + 1000000",
		    text, sizeof(text));
	(void)snprintf(skip, sizeof(skip), "ALTER TABLE conv AUTO_INCREMENT = %s", text);
	if (rc == 0 && reborn)
		rc = mysql_conn_exec(conn, skip);
	if (rc != 0)
		return rc;
	epoch_make(epoch);
	return stmt_run(sql, STMT_META_OPENED, "s", slice_str(epoch));
}

/* The first node that comes makes it. */
static int
key_load(struct mysql *m, struct sql_conn *sql)
{
	unsigned char fresh[BUS_KEY_BYTES];
	slice key;
	int rc;

	random_bytes(fresh, sizeof(fresh));
	rc = stmt_run(sql, STMT_BUS_KEY_MAKE, "b", slice_of((const char *)fresh, sizeof(fresh)));
	secret_wipe(fresh, sizeof(fresh));
	if (rc != SQL_OK)
		return rc;
	rc = stmt_start(sql, STMT_BUS_KEY, "");
	key = rc == SQL_ROW ? column_slice(sql, STMT_BUS_KEY, 0) : SLICE_NONE;
	if (key.len == sizeof(m->bus_key))
		memcpy(m->bus_key, key.ptr, key.len);
	stmt_end(sql, STMT_BUS_KEY);
	return key.len == sizeof(m->bus_key) ? SQL_OK : rc;
}

/* Once, before any writer: the tables and the life. */
static bool
prepare(struct mysql *m, char *ret_error, size_t error_size)
{
	struct sql_conn sql = {0};
	const char *warning = NULL;
	bool done = false;

	if (mysql_conn_open(&m->address, false, &sql.mysql, ret_error, error_size) != 0)
		return false;
	if (mysql_server_check(sql.mysql, m->address.durability, &warning, ret_error, error_size) &&
	    mysql_schema_open(sql.mysql, ret_error, error_size)) {
		if (warning != NULL)
			log_warn("store", "database", "note=\"%s\"", warning);
		done = life_begin(sql.mysql, &sql) == SQL_OK && key_load(m, &sql) == SQL_OK;
		if (!done)
			(void)snprintf(ret_error, error_size, "the database can't be written: %s",
			    sql.mysql->why);
	}
	sql_close(&sql);
	return done;
}

static void
writers_init(struct mysql *m, const struct driver_options *options)
{
	m->writer_count = m->address.writers;
	for (unsigned i = 0; i < m->writer_count; i++) {
		m->writers[i].base.type = &writer_driver;
		m->writers[i].store = m;
		sql_store_init(&m->writers[i].sql, &mysql_engine, options);
		m->stores[i] = &m->writers[i].sql;
	}
	for (unsigned i = 0; i < m->writer_count; i++) {
		m->writers[i].sql.writers = m->stores;
		m->writers[i].sql.writer_count = m->writer_count;
	}
	m->front.writers = m->stores;
	m->front.writer_count = m->writer_count;
}

static struct driver *
mysql_open(const struct driver_options *options, char *ret_error, size_t error_size)
{
	struct mysql_address address;
	struct mysql *m;

	if (!mysql_address_parse(slice_str(options->path), &address, ret_error, error_size))
		return NULL;
	m = mem_zalloc(sizeof(*m));
	m->base.type = &mysql_driver;
	m->address = address;
	(void)pthread_mutex_init(&m->adopt_lock, NULL);
	sql_store_init(&m->front, &mysql_engine, options);
	writers_init(m, options);
	if (prepare(m, ret_error, error_size) &&
	    mysql_writer_connect(&m->writers[0], ret_error, error_size) == SQL_OK)
		return &m->base;
	release(m);
	return NULL;
}

static void
mysql_driver_close(struct driver **driver)
{
	struct mysql *m = of(*driver);

	for (unsigned i = 0; i < m->writer_count; i++)
		sql_flush_all(&m->writers[i].sql);
	release(m);
	*driver = NULL;
}

const struct store_driver mysql_driver = {
    .name = "mysql",
    .open = mysql_open,
    .close = mysql_driver_close,
    .writer = mysql_writer,
    .write = mysql_write,
    .tick = mysql_tick,
    .read = mysql_read,
    .epoch = mysql_epoch,
    .writable = mysql_writable,
    .admin_revision = mysql_admin_revision,
    .durability = mysql_durability_word,
    .bus_key = mysql_bus_key,
};
