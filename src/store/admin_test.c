/* SPDX-License-Identifier: MIT */
#include "store/admin.h"

#include <sys/stat.h>
#include <unistd.h>

#include "store/test_world.h"

struct place {
	struct world w; /* as a server that runs beside it */
	char url[160], copy[120];
	struct admin_error error;
};

static int
set_up(void **state)
{
	static struct place place;

	place = (struct place){0};
	world_init(&place.w, WORLD_SQLITE);
	(void)snprintf(place.url, sizeof(place.url), "sqlite:%s", place.w.path);
	(void)snprintf(place.copy, sizeof(place.copy), "%s/copy.db", place.w.directory);
	*state = &place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	world_fini(&place->w);
	return 0;
}

/* A second of the server's. */
static uint64_t
revision_now(struct place *place)
{
	struct driver *driver = place->w.driver;
	struct op *op = op_create(OP_PROFILE_SET); /* a transaction looks around, too */

	op->user = 1;
	op->profile_set.accept = -1;
	world_write(&place->w, op);
	op_destroy(&op);
	return driver->type->admin_revision(driver);
}

static bool
found(struct world *w, const char *name, const char *hash)
{
	struct op *op = op_create(OP_AUTH);
	bool is_found;

	op->auth.name = slice_str(name);
	world_read(w, op);
	is_found = op->auth.found && slice_eq(op->auth.password_hash, slice_str(hash));
	op_destroy(&op);
	return is_found;
}

static void
a_user_is_added_beside_the_server(void **state)
{
	struct place *p = *state;

	assert_int_equal(admin_user_add(p->url, S("ann"), S("Ann"), S("h1"), &p->error), 0);
	assert_true(found(&p->w, "ann", "h1"));
	assert_int_equal(admin_user_add(p->url, S("ann"), SLICE_NONE, S("h2"), &p->error), -1);
	assert_non_null(strstr(p->error.text, "taken"));
	assert_int_equal(admin_user_add(p->url, S("bob"), SLICE_NONE, S("h2"), &p->error), 0);
	assert_true(world_user(&p->w, "eve") == 3);
}

static void
a_user_is_added_before_the_first_start(void **state)
{
	struct place *p = *state;

	p->w.driver->type->close(&p->w.driver);
	assert_int_equal(unlink(p->w.path), 0);
	assert_int_equal(admin_user_passwd(p->url, S("ann"), S("h"), &p->error), -1);
	assert_int_equal(admin_user_add(p->url, S("ann"), SLICE_NONE, S("h1"), &p->error), 0);
	world_reopen(&p->w);
	assert_true(found(&p->w, "ann", "h1"));
}

static void
a_new_password_ends_the_sessions(void **state)
{
	struct place *p = *state;
	uint64_t before;

	(void)world_user(&p->w, "ann");
	before = revision_now(p);
	assert_int_equal(admin_user_passwd(p->url, S("nobody"), S("h"), &p->error), -1);
	assert_non_null(strstr(p->error.text, "nobody"));
	assert_true(revision_now(p) == before);
	assert_int_equal(admin_user_passwd(p->url, S("ann"), S("fresh"), &p->error), 0);
	assert_true(found(&p->w, "ann", "fresh"));
	assert_true(revision_now(p) == before + 1);
	assert_true(world_ask(&p->w, "SELECT count(*) FROM token") == 0);
}

static void
a_disabled_user_is_locked_out(void **state)
{
	struct place *p = *state;
	uint64_t before;

	(void)world_user(&p->w, "ann");
	(void)world_user(&p->w, "bob");
	before = revision_now(p);
	assert_int_equal(admin_user_disable(p->url, S("bob"), &p->error), 0);
	assert_true(revision_now(p) == before + 1);
	assert_false(found(&p->w, "bob", "hash"));
	assert_true(found(&p->w, "ann", "hash"));
	assert_true(world_ask(&p->w, "SELECT count(*) FROM token") == 1);
}

static void
a_backup_is_another_life(void **state)
{
	struct place *p = *state;
	struct world copy;
	struct sent sent;
	char epoch[EPOCH_BYTES], other[EPOCH_BYTES];
	struct stat st;

	(void)world_user(&p->w, "ann");
	(void)world_user(&p->w, "bob");
	assert_true(world_send(&p->w, &(struct letter){.from = 1, .to_user = "bob"}).seq == 1);
	p->w.driver->type->epoch(p->w.driver, epoch);
	assert_int_equal(admin_backup(p->url, p->copy, &p->error), 0);
	assert_int_equal(stat(p->copy, &st), 0);
	assert_true((st.st_mode & 077) == 0);
	assert_int_equal(admin_backup(p->url, p->copy, &p->error), -1);
	assert_non_null(strstr(p->error.text, "there already"));

	copy = p->w;
	(void)snprintf(copy.path, sizeof(copy.path), "%s/copy.db", p->w.directory);
	assert_true(world_ask(&copy, "SELECT epoch IS NULL FROM meta") == 1);
	assert_true(world_ask(&copy, "SELECT count(*) FROM msg") == 1);
	copy.driver = NULL;
	world_reopen(&copy);
	copy.driver->type->epoch(copy.driver, other);
	assert_string_not_equal(epoch, other);
	assert_true(world_send(&copy, &(struct letter){.from = 1, .to_user = "bob"}).seq == 2);
	/* A conversation that only the lost part of the log had keeps its number to itself. */
	(void)world_user(&copy, "eve");
	sent = world_send(&copy, &(struct letter){.from = 1, .to_user = "eve"});
	assert_int_equal(sent.fault.err, ERR_OK);
	assert_true(sent.cid > 1000);
	copy.driver->type->close(&copy.driver);
	p->w.driver->type->epoch(p->w.driver, other);
	assert_string_equal(epoch, other);
	assert_true(world_send(&p->w, &(struct letter){.from = 1, .to_user = "bob"}).seq == 2);
}

static void
a_backup_leaves_nothing_half_made(void **state)
{
	struct place *p = *state;
	char command[200];

	assert_int_equal(admin_backup(p->url, "/nowhere/at/all/copy.db", &p->error), -1);
	assert_non_null(strstr(p->error.text, "/nowhere/at/all/copy.db"));
	assert_int_equal(admin_backup("memory:", p->copy, &p->error), -1);
	assert_non_null(strstr(p->error.text, "sqlite:PATH"));
	assert_int_equal(admin_backup("sqlite:/nowhere/store.db", p->copy, &p->error), -1);
	assert_int_equal(access(p->copy, F_OK), -1);
	assert_int_equal(admin_backup(p->url, p->copy, &p->error), 0);
	(void)snprintf(
	    command, sizeof(command), "test $(ls %s | grep -c partial) = 0", p->w.directory);
	assert_int_equal(system(command), 0);
}

static void
a_check_changes_nothing(void **state)
{
	struct place *p = *state;

	assert_int_equal(admin_check_store(p->url, &p->error), 0);
	assert_int_equal(admin_backup(p->url, p->copy, &p->error), 0);
	(void)snprintf(p->url, sizeof(p->url), "sqlite:%s", p->copy);
	assert_int_equal(admin_check_store(p->url, &p->error), 0);
	(void)snprintf(p->w.path, sizeof(p->w.path), "%s/copy.db", p->w.directory);
	assert_true(
	    world_ask(&p->w,
		"SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'delete'") == 1);
	assert_true(world_ask(&p->w, "SELECT epoch IS NULL FROM meta") == 1);
	world_sql(&p->w, "UPDATE meta SET schema_version = 99");
	assert_int_equal(admin_check_store(p->url, &p->error), -1);
	assert_non_null(strstr(p->error.text, "newer"));
	assert_int_equal(admin_check_store("sqlite:/nowhere/store.db", &p->error), -1);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_user_is_added_beside_the_server),
	    T(a_user_is_added_before_the_first_start),
	    T(a_new_password_ends_the_sessions),
	    T(a_disabled_user_is_locked_out),
	    T(a_backup_is_another_life),
	    T(a_backup_leaves_nothing_half_made),
	    T(a_check_changes_nothing),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
