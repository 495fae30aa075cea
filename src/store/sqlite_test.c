/* SPDX-License-Identifier: MIT */
/* What only the SQLite store has: a file, a log, errors of a disk. */
#include <errno.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/stat.h"
#include "store/schema.h"
#include "store/sqlite_db.h"
#include "store/store.h"
#include "store/test_vfs.h"
#include "store/test_world.h"

static int
set_up(void **state)
{
	static struct world world;

	world_init(&world, WORLD_SQLITE);
	*state = &world;
	return 0;
}

static int
tear_down(void **state)
{
	test_vfs_heal();
	world_fini(*state);
	return 0;
}

static struct sqlite *
inside(struct world *w)
{
	return container_of(w->driver, struct sqlite, base);
}

static uint64_t
counter(enum stat_counter which)
{
	struct stats sum;

	stats_sum(&sum);
	return sum.counters[which];
}

static bool
writable(struct world *w)
{
	const char *why = NULL;

	return w->driver->type->writable(w->driver, &why);
}

/* Ticks until it can write again; the file's time-out is the test's. */
static void
wait_writable(struct world *w)
{
	uint64_t give_up = clock_mono_ms() + 20000;

	while (!writable(w)) {
		uint32_t ms = w->driver->type->tick(w->driver);
		struct timespec pause = {.tv_nsec = (long)(ms < 20 ? ms : 20) * 1000000};

		assert_true(clock_mono_ms() < give_up);
		(void)nanosleep(&pause, NULL);
	}
}

/* --- Opening --- */

static struct driver *
try_open(const char *path, char *why, size_t size)
{
	return sqlite_driver.open(&(struct driver_options){.path = path, .readers = 1}, why, size);
}

static void
check_refused(struct world *w, const char *words)
{
	char why[512] = "";
	struct driver *driver = try_open(w->path, why, sizeof(why));

	assert_null(driver);
	if (strstr(why, words) == NULL)
		fail_msg("'%s' does not say '%s'", why, words);
	assert_non_null(strstr(why, w->path));
}

static void
a_newer_schema_is_refused(void **state)
{
	struct world *w = *state;

	w->driver->type->close(&w->driver);
	world_sql(w, "UPDATE meta SET schema_version = %d", SCHEMA_VERSION + 1);
	check_refused(w, "newer confabd");
	world_sql(w, "UPDATE meta SET schema_version = %d", SCHEMA_VERSION);
	world_reopen(w);
}

static void
a_file_of_another_program_is_refused(void **state)
{
	struct world *w = *state;
	FILE *file;

	w->driver->type->close(&w->driver);
	assert_int_equal(unlink(w->path), 0);
	world_sql(w, "CREATE TABLE cats (name TEXT)");
	check_refused(w, "not a store of confab");
	assert_true(world_ask(w, "SELECT count(*) FROM sqlite_schema") == 1);
	assert_int_equal(unlink(w->path), 0);
	assert_non_null(file = fopen(w->path, "w"));
	for (int i = 0; i < 1000; i++)
		(void)fputs("this is a diary, not a database\n", file);
	assert_int_equal(fclose(file), 0);
	check_refused(w, "not a database");
}

static void
a_missing_directory_is_told(void **state)
{
	struct world *w = *state;

	w->driver->type->close(&w->driver);
	(void)snprintf(w->path, sizeof(w->path), "%s/missing/store.db", w->directory);
	check_refused(w, "make the directory first");
}

/* As somebody who owns nothing here; tells what the child's attempt to open said. */
static void
say_as_nobody(struct world *w, char *why, size_t size)
{
	int pipe_ends[2];
	ssize_t len;
	pid_t child;

	assert_int_equal(pipe(pipe_ends), 0);
	if ((child = fork()) == 0) {
		char said[512] = "";

		if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0))
			_exit(2);
		if (try_open(w->path, said, sizeof(said)) != NULL)
			(void)snprintf(said, sizeof(said), "opened");
		_exit(write(pipe_ends[1], said, strlen(said)) > 0 ? 0 : 1);
	}
	assert_true(child > 0);
	len = read(pipe_ends[0], why, size - 1);
	why[len > 0 ? len : 0] = '\0';
	assert_true(waitpid(child, NULL, 0) == child);
	(void)close(pipe_ends[0]);
	(void)close(pipe_ends[1]);
}

static void
what_may_not_be_written_is_told(void **state)
{
	struct world *w = *state;
	char why[512];

	w->driver->type->close(&w->driver);
	assert_int_equal(chmod(w->directory, 0755), 0);
	assert_int_equal(chmod(w->path, 0444), 0);
	say_as_nobody(w, why, sizeof(why));
	assert_non_null(strstr(why, "read-only"));
	assert_int_equal(chmod(w->path, 0666), 0);
	assert_int_equal(chmod(w->directory, 0555), 0);
	say_as_nobody(w, why, sizeof(why));
	assert_non_null(strstr(why, "must be allowed to write the directory"));
	assert_int_equal(chmod(w->directory, 0755), 0);
	assert_int_equal(unlink(w->path), 0);
	assert_int_equal(chmod(w->directory, 0555), 0);
	say_as_nobody(w, why, sizeof(why));
	assert_non_null(strstr(why, "can't be opened"));
	assert_int_equal(chmod(w->directory, 0755), 0);
}

static void
an_epoch_lasts_until_it_is_taken_away(void **state)
{
	struct world *w = *state;
	char first[EPOCH_BYTES], again[EPOCH_BYTES];

	w->driver->type->epoch(w->driver, first);
	assert_true(strlen(first) >= 16);
	world_reopen(w);
	w->driver->type->epoch(w->driver, again);
	assert_string_equal(first, again);
	w->driver->type->close(&w->driver);
	world_sql(w, "UPDATE meta SET epoch = NULL");
	world_reopen(w);
	w->driver->type->epoch(w->driver, again);
	assert_string_not_equal(first, again);
	assert_true(strlen(again) >= 16);
}

static void
what_is_stored_outlives_the_process(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct sent sent;

	(void)world_user(w, "bob");
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	world_reopen(w);
	assert_true(
	    world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"}).dup);
	sent = world_send(w, &(struct letter){.from = ann, .to = sent.cid});
	assert_true(sent.seq == 2 && world_user(w, "eve") == 3);
}

/* --- The cache and other writers --- */

static void
what_another_process_wrote_is_noticed(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), revision;
	struct sent sent;

	(void)world_user(w, "bob");
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	world_sql(w,
	    "INSERT INTO msg (cid, seq, sender, ts, kind, body) VALUES (%llu, 2, 1, 9000000, "
	    "'text', 'x')",
	    (unsigned long long)sent.cid);
	sent = world_send(w, &(struct letter){.from = ann, .to = sent.cid});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 3 && sent.ts == 9000000);

	revision = w->driver->type->admin_revision(w->driver);
	world_sql(w, "UPDATE meta SET admin_revision = admin_revision + 1");
	inside(w)->next_poll_ms = 0;
	(void)w->driver->type->tick(w->driver);
	assert_true(w->driver->type->admin_revision(w->driver) == revision + 1);
}

static void
a_stale_head_is_read_again(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct cached_conv *conv;
	struct sent sent;

	(void)world_user(w, "bob");
	(void)world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	assert_int_equal(convs_get(&inside(w)->sql, sent.cid, &conv), SQLITE_OK);
	conv->row.head = 0;
	sent = world_send(w, &(struct letter){.from = ann, .to = sent.cid, .cmid = "c1"});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 3);
}

static void
the_cache_of_conversations_is_bounded(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	const char *names[] = {"bob", "eve", "joe", "sue"};

	for (size_t i = 0; i < LEN(names); i++)
		(void)world_user(w, names[i]);
	inside(w)->sql.convs.limit = 2;
	for (uint64_t round = 1; round <= 3; round++) {
		for (size_t i = 0; i < LEN(names); i++) {
			struct sent sent =
			    world_send(w, &(struct letter){.from = ann, .to_user = names[i]});

			assert_true(sent.fault.err == ERR_OK && sent.seq == round);
			assert_true(inside(w)->sql.convs.by_cid.count <= 2);
			assert_true(inside(w)->sql.convs.by_pair.count <= 2);
		}
	}
}

static void
a_message_costs_few_statements(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), before, cid;
	struct op *ops[16];

	(void)world_user(w, "bob");
	cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	for (int i = 0; i < 16; i++) {
		char cmid[20];

		(void)snprintf(cmid, sizeof(cmid), "c%d", i);
		ops[i] = letter_op(&(struct letter){
		    .from = ann, .to = cid, .cmid = cmid, .acl_ver = 1, .min_seq = 1});
	}
	before = counter(STAT_STORE_STATEMENTS);
	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(counter(STAT_STORE_STATEMENTS) - before <= 20);
	for (size_t i = 0; i < LEN(ops); i++) {
		assert_true(ops[i]->fault.err == ERR_OK && ops[i]->append.seq == i + 2);
		op_destroy(&ops[i]);
	}
}

/* --- Marks --- */

static void
mark(struct world *w, uint64_t user, uint64_t cid, uint64_t read)
{
	struct op *op = op_create(OP_MARK);

	op->user = user;
	op->mark.target.cid = cid;
	op->mark.read = read;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->mark.read == read);
	op_destroy(&op);
}

static uint64_t
stored_mark(struct world *w, uint64_t user, uint64_t cid)
{
	return world_ask(w, "SELECT read_seq FROM member WHERE user = %llu AND cid = %llu",
	    (unsigned long long)user, (unsigned long long)cid);
}

/* As if the time had passed. */
static void
age_marks(struct world *w, uint64_t ms)
{
	struct marks *marks = &inside(w)->sql.marks;

	for (struct list *at = marks->pending.next; at != &marks->pending; at = at->next)
		container_of(at, struct mark_row, link)->dirty_ms -= ms;
	for (struct list *at = marks->touched.next; at != &marks->touched; at = at->next)
		container_of(at, struct touch_row, link)->dirty_ms -= ms;
}

static uint64_t
three_messages(struct world *w, uint64_t ann)
{
	uint64_t cid = 0;

	for (int i = 0; i < 3; i++)
		cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	return cid;
}

static void
marks_are_written_once_and_late(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid, batches;

	cid = three_messages(w, ann);
	mark(w, bob, cid, 1);
	mark(w, bob, cid, 2);
	batches = counter(STAT_STORE_STATEMENTS);
	mark(w, bob, cid, 3);
	assert_true(counter(STAT_STORE_STATEMENTS) == batches);
	assert_true(w->driver->type->tick(w->driver) > 0);
	assert_true(stored_mark(w, bob, cid) == 0);
	age_marks(w, MARKS_RIDE_MS);
	(void)world_send(w, &(struct letter){.from = ann, .to = cid});
	assert_true(stored_mark(w, bob, cid) == 3);

	mark(w, bob, cid, 4);
	age_marks(w, MARKS_RIDE_MS);
	(void)w->driver->type->tick(w->driver);
	assert_true(stored_mark(w, bob, cid) == 3);
	age_marks(w, MARKS_ALONE_MS - MARKS_RIDE_MS);
	(void)w->driver->type->tick(w->driver);
	assert_true(stored_mark(w, bob, cid) == 4);
	assert_true(inside(w)->sql.marks.pending_count == 0);
}

static void
closing_writes_the_marks(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;

	cid = three_messages(w, ann);
	mark(w, bob, cid, 3);
	w->driver->type->close(&w->driver);
	assert_true(stored_mark(w, bob, cid) == 3);
	world_reopen(w);
}

static void
touches_are_written_late(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct op *op;

	for (uint64_t i = 1; i <= 3; i++) {
		op = op_create(OP_TOUCH);
		op->touch.session = 1;
		op->touch.user = ann;
		op->touch.seen = w->now_ms + i;
		op->touch.ip = i == 2 ? S("10.0.0.2") : SLICE_NONE;
		world_write(w, op);
		op_destroy(&op);
	}
	op = op_create(OP_TOUCH); /* without a session: the user alone */
	op->touch.user = ann;
	op->touch.seen = w->now_ms + 4;
	world_write(w, op);
	op_destroy(&op);
	age_marks(w, MARKS_ALONE_MS);
	(void)w->driver->type->tick(w->driver);
	assert_true(world_ask(w, "SELECT seen FROM token WHERE ip = '10.0.0.2'") == w->now_ms + 3);
	assert_true(world_ask(w, "SELECT seen FROM user") == w->now_ms + 4);
	assert_true(inside(w)->sql.marks.touches.count == 0);
}

static size_t
touches_left(struct world *w)
{
	return inside(w)->sql.marks.touches.count;
}

/* Messages wait for those that ride with them, and only for more if they get old. */
static void
of_many_touches_few_ride(void **state)
{
	enum { COUNT = 2 * LIMIT_MARKS_ALONE };
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;

	cid = three_messages(w, ann);
	for (uint64_t i = 1; i <= COUNT; i++) {
		struct op *op = op_create(OP_TOUCH);

		op->touch.session = 100 + i;
		op->touch.user = bob;
		op->touch.seen = w->now_ms + i;
		world_write(w, op);
		op_destroy(&op);
	}
	age_marks(w, MARKS_RIDE_MS);
	(void)world_send(w, &(struct letter){.from = ann, .to = cid});
	assert_int_equal(touches_left(w), COUNT - LIMIT_MARKS_RIDE);
	age_marks(w, MARKS_ALONE_MS);
	(void)world_send(w, &(struct letter){.from = ann, .to = cid});
	assert_int_equal(touches_left(w), COUNT - LIMIT_MARKS_RIDE - LIMIT_MARKS_ALONE);
	(void)w->driver->type->tick(w->driver);
	assert_int_equal(touches_left(w), 0);
	assert_true(world_ask(w, "SELECT seen FROM user WHERE name = 'bob'") == w->now_ms + COUNT);
}

/* --- Errors --- */

/* What would be there after a crash at this moment: the files as they are, opened elsewhere. */
static uint64_t
rows_after_crash(struct world *w)
{
	char command[800];
	struct world copy = *w;

	(void)snprintf(copy.path, sizeof(copy.path), "%s/crash.db", w->directory);
	(void)snprintf(command, sizeof(command), "rm -f %s* && cp %s %s && cp %s-wal %s-wal",
	    copy.path, w->path, copy.path, w->path, copy.path);
	assert_int_equal(system(command), 0);
	return world_ask(&copy, "SELECT count(*) FROM msg");
}

static void
a_full_disk_is_unavailable(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct sent sent;

	(void)world_user(w, "bob");
	atomic_store(&test_vfs.write_wal, 1000000);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_true(sent.fault.err == ERR_UNAVAILABLE && sent.fault.retry_after_ms > 0);
	assert_false(writable(w));
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_int_equal(sent.fault.err, ERR_UNAVAILABLE);
	assert_int_equal(rows_after_crash(w), 0);
	test_vfs_heal();
	wait_writable(w);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 1 && !sent.dup && sent.created);
}

/* How many messages are acknowledged until one is not; that one must be UNAVAILABLE. */
static uint64_t
send_until_refused(struct world *w, uint64_t from)
{
	char *body = mem_zalloc(8001);
	struct sent sent = {0};
	uint64_t acked = 0;

	memset(body, 'x', 8000);
	for (int i = 0; i < 1000; i++) {
		sent =
		    world_send(w, &(struct letter){.from = from, .to_user = "bob", .body = body});
		if (sent.fault.err != ERR_OK)
			break;
		assert_true(sent.seq == ++acked);
	}
	mem_free(body);
	assert_int_equal(sent.fault.err, ERR_UNAVAILABLE);
	return acked;
}

/* A disk of so many bytes, or where that is not allowed a limit to the size of files. */
static bool
disk_resize(const char *disk, bool again, rlim_t bytes)
{
	struct rlimit limit;
	char size[40];

	(void)snprintf(size, sizeof(size), "size=%llu", (unsigned long long)bytes);
	if (mount("tmpfs", disk, "tmpfs", again ? MS_REMOUNT : 0, size) == 0)
		return true;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return false;
}

static void
a_small_disk_fills_up(void **state)
{
	struct world *w = *state;
	char disk[80];
	uint64_t ann, acked;
	struct op *page;
	bool mounted;

	(void)snprintf(disk, sizeof(disk), "%s/disk", w->directory);
	assert_int_equal(mkdir(disk, 0700), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	mounted = disk_resize(disk, false, 1 << 20);
	w->driver->type->close(&w->driver);
	(void)snprintf(w->path, sizeof(w->path), "%s/store.db", disk);
	world_reopen(w);
	ann = world_user(w, "ann");
	(void)world_user(w, "bob");
	acked = send_until_refused(w, ann);
	assert_true(acked > 10 && !writable(w));
	page = world_page(w, ann, 1, 0, 0, 1, true);
	assert_true(page->fault.err == ERR_OK && page->page.head == acked);
	op_destroy(&page);
	(void)disk_resize(disk, true, mounted ? 16 << 20 : RLIM_INFINITY);
	wait_writable(w);
	assert_true(
	    world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).seq == acked + 1);
	w->driver->type->close(&w->driver);
	assert_true(!mounted || umount(disk) == 0);
}

static void
a_sync_that_fails_once_is_settled(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), unknown;
	struct sent sent;

	(void)world_user(w, "bob");
	(void)world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	unknown = counter(STAT_STORE_UNKNOWN);
	atomic_store(&test_vfs.sync_wal, 1);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_int_equal(sent.fault.err, ERR_UNAVAILABLE);
	assert_true(counter(STAT_STORE_UNKNOWN) == unknown + 1);
	assert_true(writable(w));
	/* It said that nothing was stored: then a recovery must not bring it back. */
	assert_int_equal(rows_after_crash(w), 1);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 2 && !sent.dup);
	assert_int_equal(rows_after_crash(w), 2);
}

static void
a_lasting_sync_error_is_an_unknown_outcome(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct sent sent;
	struct op *op;

	(void)world_user(w, "bob");
	(void)world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	inside(w)->sql.settle_ms = 200;
	atomic_store(&test_vfs.sync_any, 1000000);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_int_equal(sent.fault.err, ERR_UNKNOWN_OUTCOME);
	assert_false(writable(w));
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c2"});
	assert_int_equal(sent.fault.err, ERR_UNAVAILABLE);
	op = world_page(w, ann, sent.cid != 0 ? sent.cid : 1, 0, 0, 10, true);
	assert_true(op->fault.err == ERR_OK && op->page.head == 1);
	op_destroy(&op);
	test_vfs_heal();
	wait_writable(w);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 2);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	assert_true(sent.dup && sent.seq == 2);
}

/* SQLite reports what its hook says, though the commit has happened. */
static int
commit_reports_error(void *cookie, sqlite3 *db, const char *name, int pages)
{
	(void)cookie;
	(void)db;
	(void)name;
	(void)pages;
	return SQLITE_IOERR;
}

static void
fail_after_commit(struct world *w)
{
	(void)sqlite3_wal_hook(inside(w)->sql.writer.db, commit_reports_error, NULL);
}

static void
what_was_committed_despite_an_error_is_acked(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct op *ops[3];

	(void)world_user(w, "bob");
	ops[0] = letter_op(&(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	ops[1] = letter_op(&(struct letter){.from = ann, .to_user = "bob"});
	ops[2] = letter_op(&(struct letter){.from = ann, .to_user = "nobody"});
	fail_after_commit(w);
	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(
	    ops[0]->fault.err == ERR_OK && ops[0]->append.seq == 1 && ops[0]->append.created);
	assert_true(ops[1]->fault.err == ERR_OK && ops[1]->append.seq == 2);
	assert_int_equal(ops[2]->fault.err, ERR_NOT_FOUND);
	assert_true(writable(w));
	for (size_t i = 0; i < LEN(ops); i++)
		op_destroy(&ops[i]);
	assert_true(world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).seq == 3);
	assert_int_equal(rows_after_crash(w), 3);
}

static struct op *
account_op(enum op_kind kind, uint64_t ann)
{
	struct op *op = op_create(kind);
	uint64_t session = 900 + (uint64_t)kind;

	op->user = ann;
	switch (kind) {
	case OP_REGISTER:
		op->session.name = S("joe");
		op->session.password_hash = S("hash");
		op->session.session = session;
		secret_hash(
		    slice_of((const char *)&session, sizeof(session)), op->session.token_hash);
		break;
	case OP_LOGIN:
		op->session.uid = ann;
		op->session.password_hash = S("hash");
		op->session.sessions_max = 10;
		op->session.session = session;
		secret_hash(
		    slice_of((const char *)&session, sizeof(session)), op->session.token_hash);
		break;
	case OP_REVOKE:
		op->revoke.session = 1;
		break;
	case OP_PASSWORD:
		op->password.old_hash = S("hash");
		op->password.new_hash = S("fresh");
		break;
	case OP_CONTACT:
		op->contact.what = CONTACT_BLOCK;
		op->contact.name = S("bob");
		op->contact.contacts_max = 10;
		break;
	case OP_CLOSE:
		op->close.name = S("ann");
		op->close.password_hash = S("hash");
		break;
	default:
		op->profile_set.display = S("Ann");
		op->profile_set.status = S("here");
		op->profile_set.accept = 1;
		break;
	}
	return op;
}

static void
every_kind_of_write_is_settled(void **state)
{
	static const enum op_kind kinds[] = {
	    OP_REGISTER, OP_LOGIN, OP_PROFILE_SET, OP_REVOKE, OP_PASSWORD};
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), joe;

	for (size_t i = 0; i < LEN(kinds); i++) {
		struct op *op = account_op(kinds[i], ann);

		atomic_store(&test_vfs.sync_wal, 1);
		world_write(w, op);
		assert_int_equal(op->fault.err, ERR_UNAVAILABLE);
		op->fault = (struct fault){0};
		fail_after_commit(w);
		world_write(w, op);
		assert_int_equal(op->fault.err, ERR_OK);
		op_destroy(&op);
	}
	joe = world_ask(w, "SELECT id FROM user WHERE name = 'joe'");
	assert_true(joe > ann);
	assert_true(world_ask(w, "SELECT count(*) FROM token WHERE user = %llu",
			(unsigned long long)joe) == 1);
	assert_true(world_ask(w, "SELECT count(*) FROM token WHERE user = %llu",
			(unsigned long long)ann) == 0);
	assert_true(
	    world_ask(
		w, "SELECT count(*) FROM user WHERE password_hash = 'fresh' AND status = 'here'") ==
	    1);
}

static void
blocks_and_endings_are_settled(void **state)
{
	static const enum op_kind kinds[] = {OP_CONTACT, OP_CLOSE};
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct sent sent = world_send(w, &(struct letter){.from = bob, .to_user = "ann"});
	struct letter stamped = {
	    .from = bob, .to = sent.cid, .acl_ver = sent.acl_ver, .min_seq = 1};
	static const enum err then[] = {ERR_BLOCKED, ERR_NOT_FOUND};

	for (size_t i = 0; i < LEN(kinds); i++) {
		struct op *op = account_op(kinds[i], ann);

		atomic_store(&test_vfs.sync_wal, 1);
		world_write(w, op);
		assert_int_equal(op->fault.err, ERR_UNAVAILABLE);
		/* What was not committed does not count, in memory either. */
		assert_int_equal(world_send(w, &stamped).fault.err, i == 0 ? ERR_OK : ERR_BLOCKED);
		op->fault = (struct fault){0};
		fail_after_commit(w);
		world_write(w, op);
		assert_int_equal(op->fault.err, ERR_OK);
		if (kinds[i] == OP_CONTACT)
			assert_int_equal(op->contact.mine, NEWS_BLOCKED);
		op_destroy(&op);
		assert_int_equal(world_send(w, &stamped).fault.err, then[i]);
	}
	assert_int_equal(
	    world_ask(w, "SELECT disabled FROM user WHERE id = %llu", (unsigned long long)ann),
	    ACCOUNT_DELETED);
}

/* What became of a batch is not judged by what later operations of it undid. */
static void
what_was_undone_in_the_same_batch_was_done(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cat = world_user(w, "cat");
	struct op *first[3], *then[2];

	first[0] = account_op(OP_LOGIN, ann);
	first[1] = letter_op(&(struct letter){.from = cat, .to_user = "bob"});
	first[2] = account_op(OP_CLOSE, ann);
	fail_after_commit(w);
	w->driver->type->write(w->driver, first, LEN(first));
	for (size_t i = 0; i < LEN(first); i++) {
		assert_int_equal(first[i]->fault.err, ERR_OK);
		op_destroy(&first[i]);
	}
	assert_true(world_ask(w, "SELECT count(*) FROM msg") == 1);

	then[0] = account_op(OP_CONTACT, cat);
	then[0]->contact.what = CONTACT_ADD;
	then[1] = account_op(OP_CONTACT, bob);
	then[1]->contact.what = CONTACT_ACCEPT;
	then[1]->contact.name = S("cat");
	fail_after_commit(w);
	w->driver->type->write(w->driver, then, LEN(then));
	for (size_t i = 0; i < LEN(then); i++) {
		assert_int_equal(then[i]->fault.err, ERR_OK);
		op_destroy(&then[i]);
	}
	assert_true(world_ask(w, "SELECT count(*) FROM contact WHERE state = 3") == 2);

	for (size_t i = 0; i < LEN(then); i++) {
		then[i] = op_create(OP_PRESENCE_SET);
		then[i]->user = bob;
		then[i]->presence.state = i == 0 ? PRESENCE_BUSY : PRESENCE_INVISIBLE;
	}
	then[0]->presence.text = S("not now");
	fail_after_commit(w);
	w->driver->type->write(w->driver, then, LEN(then));
	for (size_t i = 0; i < LEN(then); i++) {
		assert_int_equal(then[i]->fault.err, ERR_OK);
		op_destroy(&then[i]);
	}
}

static void
one_impossible_operation_does_not_hurt_the_others(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"); /* session 1 */
	struct op *ops[3];

	(void)world_user(w, "bob");
	ops[0] = letter_op(&(struct letter){.from = ann, .to_user = "bob", .cmid = "c1"});
	ops[1] = account_op(OP_REGISTER, 0);
	ops[1]->session.session = 1; /* taken: no operation of ours can ask for that */
	ops[2] = letter_op(&(struct letter){.from = ann, .to_user = "bob", .cmid = "c2"});
	w->driver->type->write(w->driver, ops, LEN(ops));
	assert_true(ops[0]->fault.err == ERR_OK && ops[0]->append.seq == 1 && !ops[0]->append.dup);
	assert_int_equal(ops[1]->fault.err, ERR_INTERNAL);
	assert_true(ops[2]->fault.err == ERR_OK && ops[2]->append.seq == 2 && !ops[2]->append.dup);
	for (size_t i = 0; i < LEN(ops); i++)
		op_destroy(&ops[i]);
	assert_true(world_ask(w, "SELECT count(*) FROM user WHERE name = 'joe'") == 0);
}

static void
a_read_error_is_unavailable(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct op *op;

	(void)world_user(w, "bob");
	(void)three_messages(w, ann);
	world_reopen(w); /* so that the rows stand in the database, not in the log */
	atomic_store(&test_vfs.read_db, 1000000);
	op = world_page(w, ann, 1, 0, 0, 10, true);
	assert_int_equal(op->fault.err, ERR_UNAVAILABLE);
	op_destroy(&op);
	test_vfs_heal();
	op = world_page(w, ann, 1, 0, 0, 10, true);
	assert_true(op->fault.err == ERR_OK && op->page.count == 3);
	op_destroy(&op);
}

static void
another_life_is_told(void *cookie, slice epoch)
{
	char *told = cookie;

	(void)snprintf(told, EPOCH_BYTES, "%.*s", SLICE_ARG(epoch));
}

static void
another_life_is_noticed(void **state)
{
	struct world *w = *state;
	char told[EPOCH_BYTES] = "";

	inside(w)->sql.options.epoch_changed = another_life_is_told;
	inside(w)->sql.options.now_ms = NULL;
	inside(w)->sql.options.cookie = told;
	world_sql(w, "UPDATE meta SET epoch = 'another'");
	(void)world_user(w, "ann");
	assert_string_equal(told, "another");
	w->driver->type->epoch(w->driver, told);
	assert_string_equal(told, "another");
}

/* --- The log stays small --- */

static uint64_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void
big_batch(struct world *w, uint64_t ann, char *body)
{
	struct op *ops[64];

	for (size_t i = 0; i < LEN(ops); i++)
		ops[i] = letter_op(&(struct letter){.from = ann, .to_user = "bob", .body = body});
	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		assert_int_equal(ops[i]->fault.err, ERR_OK);
		op_destroy(&ops[i]);
	}
}

static void
the_log_is_begun_anew_under_load(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), largest = 0,
		 checkpoints = counter(STAT_STORE_CHECKPOINTS);
	char wal[120], *body = mem_zalloc(16001);

	(void)world_user(w, "bob");
	(void)snprintf(wal, sizeof(wal), "%s-wal", w->path);
	memset(body, 'x', 16000);
	for (int batch = 0; batch < 160; batch++) { /* about 41,000 pages */
		struct op *page;

		big_batch(w, ann, body);
		page = world_page(w, ann, 1, 0, 0, 10, true);
		assert_true(page->page.head == (uint64_t)(batch + 1) * 64);
		op_destroy(&page);
		largest = size_of(wal) > largest ? size_of(wal) : largest;
	}
	assert_true(counter(STAT_STORE_CHECKPOINTS) > checkpoints);
	/* A batch may go beyond before the writer waits. */
	assert_true(largest < ((uint64_t)CHECKPOINT_WAIT_PAGES + 1000) * 4096);
	mem_free(body);
}

/* --- Death --- */

enum { DEATH_SENDERS = 8, DEATH_IN_FLIGHT = 64 };

struct ack {
	uint64_t cid, seq;
	uint32_t sender, number;
};

struct death {
	struct store *store;
	int out; /* acks go here */
};

static struct op *
death_op(uint32_t sender, uint32_t number)
{
	char cmid[32], name[8];
	struct op *op;

	(void)snprintf(cmid, sizeof(cmid), "%u-%u", sender, number);
	(void)snprintf(name, sizeof(name), "u%u", sender + 1);
	op = letter_op(&(struct letter){.from = 1, .to_user = name, .cmid = cmid, .body = cmid});
	op->append.target.user = op_copy(op, op->append.target.user);
	op->call = (uint64_t)sender << 32 | number;
	return op;
}

/* On the writer's thread: tells the ack, then sends the next. */
static void
death_done(void *cookie, struct op *op)
{
	struct death *death = cookie;
	struct ack ack = {.cid = op->append.target.cid,
	    .seq = op->append.seq,
	    .sender = (uint32_t)(op->call >> 32),
	    .number = (uint32_t)op->call};

	if (op->kind != OP_APPEND || op->fault.err != ERR_OK ||
	    write(death->out, &ack, sizeof(ack)) != (ssize_t)sizeof(ack))
		_exit(3);
	op_destroy(&op);
	store_submit(death->store, death_op(ack.sender, ack.number + DEATH_IN_FLIGHT));
}

static _Noreturn void
death_child(struct world *w, uint32_t first, int out)
{
	struct death death = {.out = out};
	char url[120], why[512];
	sigset_t none;

	(void)snprintf(url, sizeof(url), "sqlite:%s", w->path);
	death.store =
	    store_open(&(struct store_options){.url = url, .done = death_done, .cookie = &death},
		why, sizeof(why));
	if (death.store == NULL)
		_exit(4);
	for (uint32_t sender = 0; sender < DEATH_SENDERS; sender++)
		for (uint32_t number = 0; number < DEATH_IN_FLIGHT; number++)
			store_submit(death.store, death_op(sender, first + number));
	(void)sigemptyset(&none);
	for (;;)
		(void)sigsuspend(&none);
}

static void
check_acks(struct world *w, const struct ack *acks, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_true(world_ask(w,
				"SELECT count(*) FROM msg WHERE cid = %llu AND seq = %llu AND cmid "
				"= '%u-%u'",
				(unsigned long long)acks[i].cid, (unsigned long long)acks[i].seq,
				acks[i].sender, acks[i].number) == 1);
}

static void
one_death(struct world *w, uint32_t first, unsigned acks_wanted)
{
	struct ack *acks = mem_zalloc(acks_wanted * sizeof(*acks));
	int ends[2];
	size_t len = 0;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	if ((child = fork()) == 0) {
		(void)close(ends[0]);
		death_child(w, first, ends[1]);
	}
	(void)close(ends[1]);
	while (len < acks_wanted * sizeof(*acks)) {
		ssize_t got = read(ends[0], (char *)acks + len, acks_wanted * sizeof(*acks) - len);

		assert_true(got > 0);
		len += (size_t)got;
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_true(waitpid(child, NULL, 0) == child);
	(void)close(ends[0]);
	check_acks(w, acks, acks_wanted);
	mem_free(acks);
	assert_true(world_ask(w, "SELECT count(*) FROM (SELECT cid FROM msg GROUP BY cid "
				 "HAVING max(seq) <> count(*) OR min(seq) <> 1)") == 0);
	assert_true(
	    world_ask(w,
		"SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
}

static void
death_under_load_loses_nothing(void **state)
{
	struct world *w = *state;
	char before[EPOCH_BYTES], after[EPOCH_BYTES], name[8];

	for (uint32_t i = 0; i <= DEATH_SENDERS; i++) {
		(void)snprintf(name, sizeof(name), "u%u", i);
		(void)world_user(w, name);
	}
	w->driver->type->epoch(w->driver, before);
	w->driver->type->close(&w->driver);
	for (unsigned round = 0; round < 5; round++)
		one_death(w, round * 1000000, 300 + round * 97);
	world_reopen(w);
	w->driver->type->epoch(w->driver, after);
	assert_string_equal(before, after);
	assert_int_equal(
	    world_send(w, &(struct letter){.from = 1, .to_user = "u1"}).fault.err, ERR_OK);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_newer_schema_is_refused),
	    T(a_file_of_another_program_is_refused),
	    T(a_missing_directory_is_told),
	    T(what_may_not_be_written_is_told),
	    T(an_epoch_lasts_until_it_is_taken_away),
	    T(what_is_stored_outlives_the_process),
	    T(what_another_process_wrote_is_noticed),
	    T(a_stale_head_is_read_again),
	    T(the_cache_of_conversations_is_bounded),
	    T(a_message_costs_few_statements),
	    T(marks_are_written_once_and_late),
	    T(closing_writes_the_marks),
	    T(touches_are_written_late),
	    T(of_many_touches_few_ride),
	    T(a_full_disk_is_unavailable),
	    T(a_small_disk_fills_up),
	    T(a_sync_that_fails_once_is_settled),
	    T(a_lasting_sync_error_is_an_unknown_outcome),
	    T(what_was_committed_despite_an_error_is_acked),
	    T(every_kind_of_write_is_settled),
	    T(blocks_and_endings_are_settled),
	    T(what_was_undone_in_the_same_batch_was_done),
	    T(one_impossible_operation_does_not_hurt_the_others),
	    T(a_read_error_is_unavailable),
	    T(another_life_is_noticed),
	    T(the_log_is_begun_anew_under_load),
	    T(death_under_load_loses_nothing),
	};
#undef T

	test_vfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
