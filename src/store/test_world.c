/* SPDX-License-Identifier: MIT */
#include "store/test_world.h"

#include <ftw.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/fold.h"
#include "store/flaky.h"
#include "store/mysql_conn.h"
#include "store/memory.h"
#include "store/sqlite_db.h"

enum { MERGED_SOON = 8 }; /* so that tests meet entries before, while and after they are merged */

static uint64_t
world_now(void *cookie)
{
	const struct world *w = cookie;

	return w->now_ms;
}

struct driver *
world_open_at(struct world *w, const char *path, void (*epoch_changed)(void *cookie, slice epoch))
{
	char why[512] = "";
	const struct driver_options options = {.path = path,
	    .readers = 1,
	    .now_ms = world_now,
	    .epoch_changed = epoch_changed,
	    .cookie = w};
	const struct store_driver *type = w->kind == WORLD_MEMORY  ? &memory_driver
					  : w->kind == WORLD_MYSQL ? &mysql_driver
								   : &sqlite_driver;
	struct driver *driver = type->open(&options, why, sizeof(why));

	if (driver == NULL)
		fail_msg("%s", why);
	if (type == &sqlite_driver)
		container_of(driver, struct sqlite, base)->merge_at = MERGED_SOON;
	return driver;
}

static void
open_driver(struct world *w)
{
	w->driver = w->inner =
	    world_open_at(w, w->kind == WORLD_MYSQL ? w->address : w->path, NULL);
	if (w->kind == WORLD_FLAKY)
		w->driver = flaky_wrap(w->inner, &(struct flaky_options){.fail_every = 3});
}

/* --- A database of its own --- */

/* The file names the directory in which the server was started (scripts/lib/mariadb). */
static void
server_socket(char *ret_path, size_t size)
{
	const char *file = getenv("CONFAB_TEST_MARIADB");
	char directory[101] = "";
	FILE *f = file != NULL ? fopen(file, "r") : NULL;

	if (f == NULL || fscanf(f, "%100s", directory) != 1)
		fail_msg("CONFAB_TEST_MARIADB names no file that says where MariaDB runs");
	(void)fclose(f);
	(void)snprintf(ret_path, size, "%s/sock", directory);
}

static struct mysql_conn *
connect_beside(struct world *w, const char *database)
{
	struct mysql_address address = {.user = "root", .host = "localhost"};
	struct mysql_conn *conn = NULL;
	char why[512];

	(void)w;
	server_socket(address.socket, sizeof(address.socket));
	(void)snprintf(address.database, sizeof(address.database), "%s", database);
	if (mysql_conn_open(&address, false, &conn, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	return conn;
}

static void
database_turn(struct world *w, const char *verb)
{
	struct mysql_conn *conn = connect_beside(w, "information_schema");
	char sql[128];

	(void)snprintf(sql, sizeof(sql), "%s DATABASE %s", verb, w->database);
	if (mysql_conn_exec(conn, sql) != 0)
		fail_msg("%s: %s", sql, conn->why);
	mysql_conn_close(&conn);
}

static void
database_make(struct world *w)
{
	static unsigned count;
	char path[108];

	server_socket(path, sizeof(path));
	(void)snprintf(w->database, sizeof(w->database), "w_%d_%u", (int)getpid(), ++count);
	(void)snprintf(w->address, sizeof(w->address), "root@localhost/%s?pool=2&socket=%s",
	    w->database, path);
	database_turn(w, "CREATE");
}

void
world_init(struct world *w, enum world_kind kind)
{
	*w = (struct world){.kind = kind, .now_ms = 1000000};
	(void)snprintf(w->directory, sizeof(w->directory), "/tmp/confab-store-XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	(void)snprintf(w->path, sizeof(w->path), "%s/store.db", w->directory);
	if (kind == WORLD_MYSQL)
		database_make(w);
	open_driver(w);
}

void
world_reopen(struct world *w)
{
	if (w->driver != NULL)
		w->driver->type->close(&w->driver);
	open_driver(w);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void
world_remove(struct world *w)
{
	char path[128];

	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", w->path,
		    i == 0   ? ""
		    : i == 1 ? "-wal"
			     : "-shm");
		(void)unlink(path);
	}
}

void
world_fini(struct world *w)
{
	if (w->driver != NULL)
		w->driver->type->close(&w->driver);
	if (w->kind == WORLD_MYSQL)
		database_turn(w, "DROP");
	(void)nftw(w->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void
world_write(struct world *w, struct op *op)
{
	struct fault refused = op->fault;

	for (int tries = 0; tries < 5; tries++) {
		op->fault = refused;
		w->driver->type->write(w->driver, &op, 1);
		if (w->kind != WORLD_FLAKY || op->fault.err != ERR_UNAVAILABLE)
			return;
	}
}

void
world_read(struct world *w, struct op *op)
{
	w->driver->type->read(w->driver, 0, op);
}

uint64_t
world_user(struct world *w, const char *name)
{
	struct op *op = op_create(OP_REGISTER);
	uint64_t uid;

	op->session.name = slice_str(name);
	op->session.password_hash = S("hash");
	op->session.session = ++w->session;
	secret_hash(
	    slice_of((const char *)&w->session, sizeof(w->session)), op->session.token_hash);
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	uid = op->session.uid;
	op_destroy(&op);
	return uid;
}

static slice
text_or(const char *text, const char *otherwise)
{
	return slice_str(text != NULL ? text : otherwise);
}

struct op *
letter_op(const struct letter *letter)
{
	static const char *const kinds[] = {"text", "edit", "delete"};
	struct op *op = op_create(OP_APPEND);

	op->user = letter->from;
	op->fault.err = letter->refused;
	op->append.target = (struct op_target){
	    .cid = letter->to,
	    .user = slice_str(letter->to_user),
	    .handle = slice_str(letter->to_handle),
	    .peer = letter->peer,
	};
	op->append.what = letter->what;
	op->append.acl_ver = letter->acl_ver;
	op->append.min_seq = letter->min_seq;
	op->append.conversations_max =
	    letter->conversations_max > 0 ? letter->conversations_max : UINT64_MAX;
	op->append.entry = entry_create(&(struct entry_parts){
	    .sender = letter->from,
	    .re = letter->re,
	    .kind = text_or(letter->kind, kinds[letter->what]),
	    .from = S("x"),
	    .cmid = slice_str(letter->cmid),
	    .body = letter->what == APPEND_DELETE ? SLICE_NONE : text_or(letter->body, "hello"),
	    .data = slice_str(letter->data),
	});
	return op;
}

struct sent
letter_result(const struct op *op)
{
	return (struct sent){
	    .fault = op->fault,
	    .cid = op->append.target.cid,
	    .seq = op->append.seq,
	    .ts = op->append.ts,
	    .acl_ver = op->append.acl_ver,
	    .min_seq = op->append.min_seq,
	    .dup = op->append.dup,
	    .created = op->append.created,
	};
}

struct sent
world_send(struct world *w, const struct letter *letter)
{
	struct op *op = letter_op(letter);
	struct sent sent;

	world_write(w, op);
	sent = letter_result(op);
	op_destroy(&op);
	return sent;
}

/* --- SQL beside it --- */

static sqlite3 *
open_beside(struct world *w)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 5000);
	return db;
}

static int
take_number(void *cookie, int count, char **values, char **names)
{
	uint64_t *number = cookie;

	(void)names;
	if (count > 0 && values[0] != NULL)
		*number = strtoull(values[0], NULL, 10);
	return 0;
}

static uint64_t
run_mysql(struct world *w, const char *format, va_list ap)
{
	struct mysql_conn *conn = connect_beside(w, w->database);
	char *sql = sqlite3_vmprintf(format, ap), text[64] = "";
	bool asks = strncmp(sql, "SELECT", 6) == 0;
	int rc = asks ? mysql_conn_ask(conn, sql, text, sizeof(text)) : mysql_conn_exec(conn, sql);

	if (rc != 0)
		fail_msg("%s: %s", sql, conn->why);
	sqlite3_free(sql);
	mysql_conn_close(&conn);
	return strtoull(text, NULL, 10);
}

static uint64_t
run_sqlite(struct world *w, const char *format, va_list ap)
{
	sqlite3 *db = open_beside(w);
	char *sql = sqlite3_vmprintf(format, ap), *why = NULL;
	uint64_t number = 0;

	if (sqlite3_exec(db, sql, take_number, &number, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
	sqlite3_free(sql);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return number;
}

static uint64_t
run_sql(struct world *w, const char *format, va_list ap)
{
	if (w->kind == WORLD_MYSQL)
		return run_mysql(w, format, ap);
	return run_sqlite(w, format, ap);
}

void
world_sql(struct world *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)run_sql(w, format, ap);
	va_end(ap);
}

uint64_t
world_ask(struct world *w, const char *format, ...)
{
	va_list ap;
	uint64_t number;

	va_start(ap, format);
	number = run_sql(w, format, ap);
	va_end(ap);
	return number;
}

/* --- What no method makes yet --- */

uint64_t
world_group(struct world *w, const struct conv_row *row, const char *title)
{
	static const char upsert[] =
	    "ON CONFLICT (cid) DO UPDATE SET title = excluded.title, handle = excluded.handle, "
	    "open = excluded.open, history = excluded.history, post = excluded.post, "
	    "acl_ver = excluded.acl_ver";
	static const char mysql_upsert[] =
	    "ON DUPLICATE KEY UPDATE title = VALUES(title), handle = VALUES(handle), "
	    "open = VALUES(open), history = VALUES(history), post = VALUES(post), "
	    "acl_ver = VALUES(acl_ver)";
	uint64_t cid;
	char handle[40] = "NULL";

	if (w->kind == WORLD_MEMORY)
		return memory_put_conv(w->driver, row, slice_str(title));
	cid = row->cid != 0 ? row->cid : 1000 + ++w->cid;
	if (row->handle.len > 0)
		(void)snprintf(handle, sizeof(handle), "'%.*s'", row->handle.len, row->handle.text);
	world_sql(w,
	    "INSERT INTO conv (cid, kind, title, handle, open, history, post, min_seq, acl_ver) "
	    "VALUES (%llu, 2, '%s', %s, %d, %d, %d, %llu, %llu) %s",
	    (unsigned long long)cid, title, handle, row->open, row->history, row->admins_post,
	    (unsigned long long)row->min_seq, (unsigned long long)row->acl_ver,
	    w->kind == WORLD_MYSQL ? mysql_upsert : upsert);
	return cid;
}

void
world_member(struct world *w, uint64_t cid, uint64_t user, const struct member_row *row)
{
	char leave[32] = "NULL";

	if (w->kind == WORLD_MEMORY) {
		memory_put_member(w->driver, cid, user, row);
		return;
	}
	if (row->left)
		(void)snprintf(leave, sizeof(leave), "%llu", (unsigned long long)row->leave_seq);
	world_sql(w,
	    "REPLACE INTO member (user, cid, role, join_seq, leave_seq, read_seq, "
	    "delivered_seq, muted_until, banned) VALUES (%llu, %llu, %d, %llu, %s, %llu, %llu, "
	    "%llu, %d)",
	    (unsigned long long)user, (unsigned long long)cid, (int)row->role,
	    (unsigned long long)row->join_seq, leave, (unsigned long long)row->read,
	    (unsigned long long)row->delivered, (unsigned long long)row->muted_until, row->banned);
	world_sql(w,
	    "UPDATE member SET name = (SELECT name FROM user WHERE id = member.user) "
	    "WHERE user = %llu AND cid IN (SELECT cid FROM conv WHERE cid = %llu AND kind = 2)",
	    (unsigned long long)user, (unsigned long long)cid);
	world_sql(w,
	    "UPDATE conv SET members = (SELECT count(*) FROM member WHERE cid = conv.cid "
	    "AND leave_seq IS NULL) WHERE cid = %llu AND kind = 2",
	    (unsigned long long)cid);
	world_sql(w, "DELETE FROM tally WHERE cid = %llu", (unsigned long long)cid);
	world_sql(w,
	    "INSERT INTO tally WITH levels (level) AS (SELECT 0 UNION ALL SELECT 1 "
	    "UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4), "
	    "marks (mark, r, d) AS (SELECT read_seq, 1, 0 FROM member "
	    "WHERE cid = %llu AND name IS NOT NULL AND leave_seq IS NULL UNION ALL "
	    "SELECT delivered_seq, 0, 1 FROM member "
	    "WHERE cid = %llu AND name IS NOT NULL AND leave_seq IS NULL) "
	    "SELECT %llu, level, mark >> (6 * level), sum(r), sum(d) "
	    "FROM marks, levels GROUP BY 2, 3",
	    (unsigned long long)cid, (unsigned long long)cid, (unsigned long long)cid);
}

void
world_contact(struct world *w, uint64_t user, uint64_t peer, enum contact_state state)
{
	if (w->kind == WORLD_MEMORY)
		memory_put_contact(w->driver, user, peer, state);
	else
		world_sql(w, "REPLACE INTO contact (user, peer, state) VALUES (%llu, %llu, %d)",
		    (unsigned long long)user, (unsigned long long)peer, (int)state);
}

void
world_account(struct world *w, uint64_t user, enum account account)
{
	if (w->kind == WORLD_MEMORY)
		memory_put_account(w->driver, user, account);
	else
		world_sql(w, "UPDATE user SET disabled = %d WHERE id = %llu", (int)account,
		    (unsigned long long)user);
}

struct op *
world_page(struct world *w, uint64_t user, uint64_t cid, uint64_t after, uint64_t before,
    uint32_t limit, bool newest)
{
	struct op *op = op_create(OP_PAGE);

	op->user = user;
	op->page.target.cid = cid;
	op->page.after = after;
	op->page.before = before;
	op->page.limit = limit;
	op->page.max_bytes = 1 << 20;
	op->page.newest = newest;
	world_read(w, op);
	return op;
}
