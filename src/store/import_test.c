/* SPDX-License-Identifier: MIT */
/* That an import takes everything, and nothing that is half. */
#include "store/import.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "store/import_ends.h"
#include "store/mysql_schema.h"
#include "store/schema.h"
#include "store/test_world.h"

struct pair {
	struct world from, to;
	char from_url[160], to_url[300];
	struct import_result result;
	struct admin_error error;
};

static int
set_up(void **state)
{
	static struct pair pair;

	pair = (struct pair){0};
	world_init(&pair.from, WORLD_SQLITE);
	world_init(&pair.to, WORLD_MYSQL);
	pair.to.driver->type->close(&pair.to.driver);
	(void)snprintf(pair.from_url, sizeof(pair.from_url), "sqlite:%s", pair.from.path);
	(void)snprintf(pair.to_url, sizeof(pair.to_url), "mysql://%s", pair.to.address);
	*state = &pair;
	return 0;
}

static int
tear_down(void **state)
{
	struct pair *pair = *state;

	world_fini(&pair->from);
	world_fini(&pair->to);
	return 0;
}

static int
import(struct pair *pair)
{
	const struct import_options options = {.from = pair->from_url, .to = pair->to_url};

	if (pair->from.driver != NULL)
		pair->from.driver->type->close(&pair->from.driver);
	return import_store(&options, &pair->result, &pair->error);
}

static void
import_done(struct pair *pair)
{
	if (import(pair) != 0)
		fail_msg("%s", pair->error.text);
}

static void
import_refused(struct pair *pair, const char *why)
{
	assert_int_equal(import(pair), -1);
	if (strstr(pair->error.text, why) == NULL)
		fail_msg("%s", pair->error.text);
}

/* --- The list --- */

static const struct import_table *
table_named(const char *name)
{
	for (size_t i = 0; i < import_table_count; i++)
		if (strcmp(import_tables[i].name, name) == 0)
			return &import_tables[i];
	return strcmp(name, import_meta.name) == 0 ? &import_meta : NULL;
}

static bool
is_left_out(const struct import_table *table, const char *column)
{
	for (const char *const *out = table->left_out; *out != NULL; out++)
		if (strcmp(*out, column) == 0)
			return true;
	return false;
}

static const struct import_column *
column_named(const struct import_table *table, const char *name)
{
	for (const struct import_column *c = table->columns; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* "table.column" lines, one for each; every one must be in the list. */
static size_t
all_known(slice lines, bool here)
{
	size_t count = 0;

	while (lines.len > 0) {
		char name[128], *dot;
		const char *end = memchr(lines.ptr, '\n', lines.len);
		size_t len = end != NULL ? (size_t)(end - lines.ptr) : lines.len;
		const struct import_table *table;
		const struct import_column *column;

		(void)snprintf(name, sizeof(name), "%.*s", (int)len, lines.ptr);
		lines = slice_of(
		    lines.ptr + len + (end != NULL), lines.len - len - (size_t)(end != NULL));
		assert_non_null(dot = strchr(name, '.'));
		*dot = '\0';
		if ((table = table_named(name)) == NULL)
			fail_msg("an import knows no table %s: import_table.c", name);
		column = column_named(table, dot + 1);
		if (column == NULL && !is_left_out(table, dot + 1))
			fail_msg("an import takes no %s.%s: import_table.c", name, dot + 1);
		count += column != NULL && (!here || column->from == NULL);
	}
	return count;
}

/* How many the list has that are there (here: of that name). */
static size_t
all_listed(bool here)
{
	size_t count = 0;

	for (size_t i = 0; i <= import_table_count; i++) {
		const struct import_table *table =
		    i < import_table_count ? &import_tables[i] : &import_meta;

		for (const struct import_column *c = table->columns; c->name != NULL; c++)
			count += !here || c->from == NULL;
	}
	return count;
}

static void
every_column_is_taken(void **state)
{
	struct pair *pair = *state;
	struct mysql_address address;
	struct mysql_conn *conn = NULL;
	char there[8192], why[512];
	sqlite3_stmt *rows = NULL;
	sqlite3 *db = NULL;
	struct buf here = {0};

	assert_int_equal(sqlite3_open(pair->from.path, &db), SQLITE_OK);
	assert_int_equal(
	    sqlite3_prepare_v2(db,
		"SELECT group_concat(t.name || '.' || c.name, char(10)) FROM sqlite_schema t, "
		"pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' "
		"AND t.name <> 'msg_index'", /* there it is an index */
		-1, &rows, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(rows), SQLITE_ROW);
	buf_put(&here, slice_str((const char *)sqlite3_column_text(rows, 0)));
	assert_int_equal(all_known(buf_slice(&here), true), all_listed(true));
	buf_fini(&here);
	(void)sqlite3_finalize(rows);
	(void)sqlite3_close(db);

	assert_true(mysql_address_parse(slice_str(pair->to_url), &address, why, sizeof(why)));
	assert_int_equal(mysql_conn_open(&address, false, &conn, why, sizeof(why)), 0);
	assert_int_equal(mysql_conn_exec(conn, "SET SESSION group_concat_max_len = 8192"), 0);
	assert_int_equal(
	    mysql_conn_ask(conn,
		"SELECT group_concat(table_name, '.', column_name SEPARATOR '\\n') FROM "
		"information_schema.columns WHERE table_schema = database()",
		there, sizeof(there)),
	    0);
	assert_int_equal(all_known(slice_str(there), false), all_listed(false));
	mysql_conn_close(&conn);
}

/* --- Rows --- */

/* Texts of every length around the size of a statement, none, empty ones, and all of Unicode. */
static void
rows_of_every_kind(void **state)
{
	static const char *const texts[] = {
	    NULL, "", "a", "\xf0\x9f\x98\x80 \xc3\xa9 \\ ' \" %", "\xf4\x8f\xbf\xbf"};
	struct pair *pair = *state;
	uint64_t ann = world_user(&pair->from, "ann");

	(void)world_user(&pair->from, "bob");
	for (int i = 0; i < 700; i++) {
		char cmid[16];

		(void)snprintf(cmid, sizeof(cmid), "c-%d", i);
		assert_int_equal(world_send(&pair->from,
				     &(struct letter){.from = ann,
					 .to_user = "bob",
					 .cmid = cmid,
					 .body = texts[(size_t)i % LEN(texts)] != NULL
						     ? texts[(size_t)i % LEN(texts)]
						     : "x",
					 .data = i % 7 == 0 ? "{\"a\":[1,\"\xc3\xa4\"]}" : NULL})
				     .fault.err,
		    ERR_OK);
	}
	for (int seq = 1; seq <= 500; seq += 3)
		world_sql(&pair->from, "UPDATE msg SET body = hex(zeroblob(%d)) WHERE seq = %d",
		    seq * seq / 8, seq);
	world_sql(&pair->from, "UPDATE msg SET body = hex(zeroblob(300 * 1024)) WHERE seq = 17");
	world_sql(&pair->from, "UPDATE sqlite_sequence SET seq = 1000777 WHERE name = 'conv'");
	world_sql(&pair->from, "UPDATE meta SET bus_key = x'00'");
	import_done(pair);
	assert_int_equal(pair->result.rows[0], 2);
	assert_int_equal(pair->result.rows[2], 700);
	assert_int_equal(world_ask(&pair->to, "SELECT last_seq FROM conv WHERE cid = 1"), 700);
	assert_int_equal(world_ask(&pair->to, "SELECT count(*) FROM msg WHERE cmid = 'c-33'"), 1);
	assert_int_equal(
	    world_ask(&pair->to, "SELECT length(body) FROM msg WHERE seq = 17"), 600 * 1024);
	/* What nodes sign their news with is not brought along. */
	assert_int_equal(world_ask(&pair->to, "SELECT length(bus_key) FROM meta"), 32);
	/* No number is given twice, also of those that are gone. */
	world_sql(&pair->to, "INSERT INTO conv (kind) VALUES (2)");
	assert_int_equal(world_ask(&pair->to, "SELECT max(cid) FROM conv"), 1000778);
	/* The life goes on there, and the source is a copy. */
	assert_int_equal(
	    world_ask(&pair->from, "SELECT count(*) FROM meta WHERE epoch IS NULL"), 1);
	assert_int_equal(
	    world_ask(&pair->to, "SELECT count(*) FROM meta WHERE epoch IS NOT NULL"), 1);
	assert_false(pair->result.other_life);
}

static void
what_is_not_as_it_should_be_is_refused(void **state)
{
	struct pair *pair = *state;
	char right[160];

	(void)world_user(&pair->from, "ann");
	assert_int_equal(
	    import_store(&(struct import_options){.from = pair->from_url, .to = pair->to_url},
		&pair->result, &pair->error),
	    -1);
	assert_non_null(strstr(pair->error.text, "is in use"));
	memcpy(right, pair->from_url, sizeof(right));
	(void)snprintf(pair->from_url, sizeof(pair->from_url), "sqlite:/nowhere/x.db");
	import_refused(pair, "No such file");
	(void)snprintf(pair->from_url, sizeof(pair->from_url), "mysql://root:hush@localhost/x");
	import_refused(pair, "sqlite:PATH");
	assert_null(strstr(pair->error.text, "hush"));
	memcpy(pair->from_url, right, sizeof(right));
	world_sql(&pair->from, "UPDATE meta SET schema_version = %d", 1);
	import_refused(pair, "older confabd");
	world_sql(&pair->from, "UPDATE meta SET schema_version = %d", 99);
	import_refused(pair, "newer confabd");
	world_sql(&pair->from, "UPDATE meta SET schema_version = %d", SCHEMA_VERSION);
	world_sql(&pair->to, "UPDATE meta SET schema_version = 99 WHERE id = 1");
	import_refused(pair, "newer confabd");
	world_sql(
	    &pair->to, "UPDATE meta SET schema_version = %d WHERE id = 1", MYSQL_SCHEMA_VERSION);
	world_sql(&pair->to, "INSERT INTO direct (lo, hi, cid) VALUES (1, 2, 3)");
	import_refused(pair, "not empty");
	world_sql(&pair->to, "DELETE FROM direct WHERE lo = 1");
	import_done(pair);
	import_refused(pair, "not empty");
}

static void
nodes_at_work_are_seen(void **state)
{
	struct pair *pair = *state;

	world_reopen(&pair->to);
	import_refused(pair, "in use by");
	pair->to.driver->type->close(&pair->to.driver);
	import_done(pair);
}

/* Numbers that a lost life may have given are passed over, also where they were beyond all rows. */
static void
a_backup_s_numbers_are_passed_over(void **state)
{
	struct pair *pair = *state;

	(void)world_user(&pair->from, "ann");
	pair->from.driver->type->close(&pair->from.driver);
	world_sql(&pair->from, "UPDATE meta SET epoch = NULL");
	world_sql(&pair->from, "INSERT INTO conv (kind, title) VALUES (2, 'x')");
	world_sql(&pair->from, "UPDATE sqlite_sequence SET seq = 5000000 WHERE name = 'conv'");
	import_done(pair);
	assert_true(pair->result.other_life);
	world_reopen(&pair->to);
	world_sql(&pair->to, "INSERT INTO conv (kind) VALUES (2)");
	assert_in_range(world_ask(&pair->to, "SELECT max(cid) FROM conv"), 6000000, 6000010);
}

/* --- Half of it --- */

static void
half_an_import_is_no_store(void **state)
{
	struct pair *pair = *state;

	(void)world_user(&pair->from, "ann");
	/* As if it had been killed after some rows. */
	world_sql(&pair->to, "UPDATE meta SET schema_version = %d, epoch = NULL WHERE id = 1",
	    MYSQL_SCHEMA_IMPORTING);
	world_sql(&pair->to, "INSERT INTO direct (lo, hi, cid) VALUES (1, 2, 3)");
	assert_int_equal(admin_check_store(pair->to_url, &pair->error), -1);
	assert_non_null(strstr(pair->error.text, "interrupted"));
	assert_int_equal(
	    admin_user_add(pair->to_url, S("eve"), SLICE_NONE, S("!"), &pair->error), -1);
	assert_non_null(strstr(pair->error.text, "--import"));
	import_done(pair);
	assert_true(pair->result.anew);
	assert_int_equal(world_ask(&pair->to, "SELECT count(*) FROM direct"), 0);
	assert_int_equal(admin_check_store(pair->to_url, &pair->error), 0);
}

/* What a database does to what it is given is noticed. */
static void
what_reads_back_otherwise_is_refused(void **state)
{
	struct pair *pair = *state;

	(void)world_user(&pair->from, "ann");
	world_sql(&pair->to, "CREATE TRIGGER t BEFORE INSERT ON user FOR EACH ROW "
			     "SET NEW.display = upper(NEW.display)");
	import_refused(pair, "does not read back");
	assert_non_null(strstr(pair->error.text, "display"));
	assert_non_null(strstr(pair->error.text, "begins anew"));
	assert_int_equal(admin_check_store(pair->to_url, &pair->error), -1);
	world_sql(&pair->to, "DROP TRIGGER t");
	import_done(pair);
	assert_true(pair->result.anew);
}

int
main(void)
{
#define IMPORT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    IMPORT_TEST(every_column_is_taken),
	    IMPORT_TEST(rows_of_every_kind),
	    IMPORT_TEST(what_is_not_as_it_should_be_is_refused),
	    IMPORT_TEST(nodes_at_work_are_seen),
	    IMPORT_TEST(a_backup_s_numbers_are_passed_over),
	    IMPORT_TEST(half_an_import_is_no_store),
	    IMPORT_TEST(what_reads_back_otherwise_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
