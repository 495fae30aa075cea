/* SPDX-License-Identifier: MIT */
/* Edits and deletions: what every store must do, and that nothing is left on disk. */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/stat.h"
#include "store/sqlite_db.h"
#include "store/test_vfs.h"
#include "store/test_world.h"

static enum world_kind kind_under_test;

static int
set_up(void **state)
{
	static struct world world;

	world_init(&world, kind_under_test);
	*state = &world;
	return 0;
}

static int
tear_down(void **state)
{
	world_fini(*state);
	return 0;
}

static struct sent
edit(struct world *w, uint64_t from, uint64_t cid, uint64_t seq, const char *body, const char *data,
    const char *cmid)
{
	return world_send(w, &(struct letter){.what = APPEND_EDIT,
				 .from = from,
				 .to = cid,
				 .re = seq,
				 .body = body,
				 .data = data,
				 .cmid = cmid});
}

static struct sent
erase(struct world *w, uint64_t from, uint64_t cid, uint64_t seq)
{
	return world_send(
	    w, &(struct letter){.what = APPEND_DELETE, .from = from, .to = cid, .re = seq});
}

static struct sent
say(struct world *w, uint64_t from, uint64_t cid, const char *body, const char *data)
{
	return world_send(w, &(struct letter){.from = from, .to = cid, .body = body, .data = data});
}

static bool
reads(slice actual, const char *expected)
{
	return slice_given(actual) == (expected != NULL) && slice_eq(actual, slice_str(expected));
}

/* How the entry at seq reads to anyone. */
static void
check_entry(struct world *w, uint64_t cid, uint64_t seq, const char *body, const char *data,
    uint64_t edited, uint64_t deleted)
{
	struct op *op = world_page(w, 0, cid, seq - 1, seq + 1, 10, false);
	const struct entry *entry;

	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->page.count, 1);
	entry = op->page.items[0];
	if (!reads(entry->body, body) || !reads(entry->data, data) || entry->edited != edited ||
	    entry->deleted != deleted)
		fail_msg("%d reads '%.*s' '%.*s' edited %d deleted %d", (int)seq,
		    SLICE_ARG(entry->body), SLICE_ARG(entry->data), (int)entry->edited,
		    (int)entry->deleted);
	op_destroy(&op);
}

static void
check_fault(const struct sent sent, enum err err, const char *param)
{
	assert_int_equal(sent.fault.err, err);
	assert_true(param == NULL ? sent.fault.param == NULL
				  : sent.fault.param != NULL &&
					slice_eq(slice_str(sent.fault.param), slice_str(param)));
}

struct pair {
	uint64_t ann, bob, eve, cid;
};

/* Two who talk, and one who doesn't; seq 1 is ann's, 2 bob's. */
static struct pair
pair_of(struct world *w)
{
	struct pair p = {.ann = world_user(w, "ann"), .bob = world_user(w, "bob")};

	p.eve = world_user(w, "eve");
	p.cid = world_send(w,
	    &(struct letter){
		.from = p.ann, .to_user = "bob", .body = "one", .cmid = "c1", .data = "{\"a\":1}"})
		    .cid;
	(void)say(w, p.bob, p.cid, "two", NULL);
	return p;
}

static void
an_edited_message_reads_as_edited(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct sent sent = edit(w, p.ann, p.cid, 1, "uno", NULL, "e1");

	check_fault(sent, ERR_OK, NULL);
	assert_true(sent.seq == 3 && sent.cid == p.cid && !sent.dup && sent.ts > 0);
	check_entry(w, p.cid, 1, "uno", "{\"a\":1}", 3, 0);
	check_entry(w, p.cid, 3, "uno", NULL, 0, 0);
	assert_true(edit(w, p.ann, p.cid, 1, "", "{\"b\":2}", NULL).seq == 4);
	assert_true(edit(w, p.ann, p.cid, 1, "eins", NULL, NULL).seq == 5);
	check_entry(w, p.cid, 1, "eins", "{\"b\":2}", 5, 0);
	check_entry(w, p.cid, 3, "uno", NULL, 0, 0);
	check_entry(w, p.cid, 4, "", "{\"b\":2}", 0, 0);
	check_entry(w, p.cid, 2, "two", NULL, 0, 0);
}

static void
an_edit_is_deduplicated(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct sent first = edit(w, p.ann, p.cid, 1, "uno", NULL, "e1"), again;

	world_contact(w, p.bob, p.ann, CONTACT_BLOCKED);
	again = edit(w, p.ann, p.cid, 1, "uno", NULL, "e1");
	assert_true(again.fault.err == ERR_OK && again.dup && again.seq == first.seq &&
		    again.ts == first.ts);
	check_fault(edit(w, p.ann, p.cid, 1, "dos", NULL, "e1"), ERR_CONFLICT, NULL);
	check_fault(edit(w, p.ann, p.cid, 1, "uno", "{}", "e1"), ERR_CONFLICT, NULL);
	/* The ids of messages and edits are of one space, whatever became of the message. */
	check_fault(edit(w, p.ann, p.cid, 1, "one", NULL, "c1"), ERR_CONFLICT, NULL);
	check_fault(
	    world_send(w,
		&(struct letter){.from = p.ann, .to = p.cid, .cmid = "e1", .body = "uno", .re = 1}),
	    ERR_CONFLICT, NULL);
	again = world_send(w, &(struct letter){.from = p.ann, .to = p.cid, .cmid = "c1"});
	assert_true(again.fault.err == ERR_OK && again.dup && again.seq == 1);
	/* Refused beforehand, it is looked up all the same. */
	again = world_send(w, &(struct letter){.what = APPEND_EDIT,
				  .from = p.ann,
				  .to = p.cid,
				  .re = 1,
				  .body = "uno",
				  .cmid = "e1",
				  .refused = ERR_BUSY});
	assert_true(again.fault.err == ERR_OK && again.dup && again.seq == first.seq);
}

static void
who_may_not_edit_is_told_why(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);

	check_fault(edit(w, p.bob, p.cid, 1, "x", NULL, NULL), ERR_FORBIDDEN, NULL);
	check_fault(edit(w, p.eve, p.cid, 1, "x", NULL, NULL), ERR_NOT_FOUND, NULL);
	check_fault(edit(w, p.ann, p.cid, 99, "x", NULL, NULL), ERR_NOT_FOUND, "seq");
	check_fault(edit(w, p.ann, p.cid + 99, 1, "x", NULL, NULL), ERR_NOT_FOUND, NULL);
	check_fault(edit(w, p.bob, p.cid, 2, "", NULL, NULL), ERR_INVALID_PARAMS, "body");
	check_fault(
	    world_send(
		w, &(struct letter){.what = APPEND_EDIT, .from = p.ann, .to_user = "eve", .re = 1}),
	    ERR_NOT_FOUND, NULL);
	assert_true(edit(w, p.ann, p.cid, 1, "uno", NULL, NULL).seq == 3);
	check_fault(edit(w, p.ann, p.cid, 3, "x", NULL, NULL), ERR_NOT_FOUND, "seq");
	assert_true(erase(w, p.ann, p.cid, 1).seq == 4);
	check_fault(edit(w, p.ann, p.cid, 1, "x", NULL, NULL), ERR_NOT_FOUND, "seq");
	check_fault(edit(w, p.ann, p.cid, 4, "x", NULL, NULL), ERR_NOT_FOUND, "seq");
	world_contact(w, p.ann, p.bob, CONTACT_BLOCKED);
	check_fault(edit(w, p.bob, p.cid, 2, "x", NULL, NULL), ERR_BLOCKED, NULL);
	check_entry(w, p.cid, 2, "two", NULL, 0, 0);
}

static void
a_deleted_message_has_no_body(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct sent sent, again;

	(void)edit(w, p.ann, p.cid, 1, "uno", NULL, "e1");
	(void)edit(w, p.bob, p.cid, 2, "dos", NULL, NULL);
	(void)edit(w, p.ann, p.cid, 1, "eins", "{\"x\":1}", NULL);
	sent = erase(w, p.ann, p.cid, 1);
	assert_true(sent.fault.err == ERR_OK && sent.seq == 6 && !sent.dup && sent.acl_ver == 0);
	check_entry(w, p.cid, 1, NULL, NULL, 5, 6);
	check_entry(w, p.cid, 3, NULL, NULL, 0, 6);
	check_entry(w, p.cid, 5, NULL, NULL, 0, 6);
	check_entry(w, p.cid, 2, "dos", NULL, 4, 0);
	check_entry(w, p.cid, 6, NULL, NULL, 0, 0);
	again = erase(w, p.ann, p.cid, 1);
	assert_true(
	    again.fault.err == ERR_OK && again.dup && again.seq == 6 && again.ts == sent.ts);
	check_fault(erase(w, p.ann, p.cid, 3), ERR_NOT_FOUND, "seq"); /* an edit is no message */
	again =
	    world_send(w, &(struct letter){.from = p.ann, .to = p.cid, .cmid = "c1", .body = "?"});
	assert_true(again.fault.err == ERR_OK && again.dup && again.seq == 1);
	again = edit(w, p.ann, p.cid, 1, "uno", NULL, "e1");
	assert_true(again.fault.err == ERR_OK && again.dup && again.seq == 3);
	/* A message may be deleted that names a deleted one. */
	sent = world_send(w, &(struct letter){.from = p.bob, .to = p.cid, .re = 1, .body = "re"});
	check_fault(sent, ERR_OK, NULL);
	check_entry(w, p.cid, sent.seq, "re", NULL, 0, 0);
}

static void
who_may_not_delete_is_told_why(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct sent sent;

	check_fault(erase(w, p.bob, p.cid, 1), ERR_FORBIDDEN, NULL);
	check_fault(erase(w, p.eve, p.cid, 1), ERR_NOT_FOUND, NULL);
	check_fault(erase(w, p.ann, p.cid, 99), ERR_NOT_FOUND, "seq");
	check_fault(erase(w, p.ann, p.cid + 99, 1), ERR_NOT_FOUND, NULL);
	world_contact(w, p.bob, p.ann, CONTACT_BLOCKED);
	sent = erase(w, p.ann, p.cid, 1);
	assert_true(sent.fault.err == ERR_OK && sent.seq == 3); /* blocked or not */
	check_fault(erase(w, p.ann, p.cid, 3), ERR_NOT_FOUND, "seq");
	world_account(w, p.ann, ACCOUNT_DELETED);
	check_fault(erase(w, p.bob, p.cid, 2), ERR_NOT_FOUND, NULL);
	check_entry(w, p.cid, 2, "two", NULL, 0, 0);
}

static void
in_a_group_admins_delete_too(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), adm = world_user(w, "adm");
	const struct conv_row row = {.kind = CONV_GROUP, .acl_ver = 1, .min_seq = 1};
	struct member_row member = {.exists = true, .role = ROLE_MEMBER, .join_seq = 1};
	uint64_t cid = world_group(w, &row, "g"), later;
	struct sent sent;

	world_member(w, cid, ann, &member);
	world_member(w, cid, bob, &member);
	member.role = ROLE_ADMIN;
	world_member(w, cid, adm, &member);
	for (int i = 0; i < 6; i++)
		check_fault(say(w, ann, cid, "words", NULL), ERR_OK, NULL);
	check_fault(erase(w, bob, cid, 1), ERR_FORBIDDEN, NULL);
	check_fault(edit(w, adm, cid, 1, "x", NULL, NULL), ERR_FORBIDDEN, NULL);
	sent = erase(w, adm, cid, 1);
	assert_true(sent.fault.err == ERR_OK && sent.seq == 7);
	assert_true(erase(w, ann, cid, 1).dup);
	check_fault(erase(w, bob, cid, 1), ERR_FORBIDDEN, NULL);
	/* Who did it is told so also when he may not any more; muted ones take their words back. */
	member = (struct member_row){
	    .exists = true, .left = true, .leave_seq = 7, .join_seq = 1, .role = ROLE_ADMIN};
	world_member(w, cid, adm, &member);
	sent = erase(w, adm, cid, 1);
	assert_true(sent.fault.err == ERR_OK && sent.dup && sent.seq == 7);
	check_fault(erase(w, adm, cid, 2), ERR_NOT_MEMBER, NULL);
	member = (struct member_row){
	    .exists = true, .role = ROLE_MEMBER, .join_seq = 1, .muted_until = w->now_ms + 1000};
	world_member(w, cid, ann, &member);
	check_fault(edit(w, ann, cid, 2, "x", NULL, NULL), ERR_FORBIDDEN, NULL);
	sent = erase(w, ann, cid, 2);
	assert_true(sent.fault.err == ERR_OK && sent.seq == 8 && sent.acl_ver == 0);
	/* What lies before his joining is not there for him. */
	member = (struct member_row){.exists = true, .role = ROLE_ADMIN, .join_seq = 5};
	world_member(w, cid, ann, &member);
	check_fault(erase(w, ann, cid, 4), ERR_NOT_FOUND, "seq");
	check_fault(edit(w, ann, cid, 4, "x", NULL, NULL), ERR_NOT_FOUND, "seq");
	check_fault(erase(w, ann, cid, 5), ERR_OK, NULL);
	later = world_user(w, "new");
	check_fault(erase(w, later, cid, 6), ERR_NOT_FOUND, NULL);
}

/* How the entry at seq reads to that user. */
static void
check_entry_for(struct world *w, uint64_t user, uint64_t cid, uint64_t seq, const char *body,
    const char *data, uint64_t edited)
{
	struct op *op = world_page(w, user, cid, seq - 1, seq + 1, 10, false);
	const struct entry *entry;

	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->page.count, 1);
	entry = op->page.items[0];
	assert_true(reads(entry->body, body) && reads(entry->data, data));
	assert_int_equal(entry->edited, edited);
	op_destroy(&op);
}

/* As the log read for the server when `until` was its head: the first two, and their last edit. */
static void
check_until(
    struct world *w, uint64_t cid, uint64_t until, const char *const bodies[2], uint64_t edited)
{
	struct op *op = op_create(OP_PAGE);
	uint64_t last = 0;

	op->page.target.cid = cid;
	op->page.limit = 10;
	op->page.max_bytes = 1 << 20;
	op->page.until = until;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->page.count == (until < op->page.head ? until : op->page.head));
	for (size_t i = 0; i < 2; i++) {
		const struct entry *entry = op->page.items[i];

		assert_true(reads(entry->body, bodies[i]));
		last = entry->edited > last ? entry->edited : last;
	}
	assert_int_equal(last, edited);
	op_destroy(&op);
}

/* An edit is an entry: who had left before it doesn't read its words, wherever they are put. */
static void
who_left_reads_what_was_said_then(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	const struct conv_row row = {.kind = CONV_GROUP, .acl_ver = 1, .min_seq = 1};
	struct member_row member = {.exists = true, .role = ROLE_MEMBER, .join_seq = 1};
	uint64_t cid = world_group(w, &row, "g");

	world_member(w, cid, ann, &member);
	world_member(w, cid, bob, &member);
	check_fault(say(w, ann, cid, "one", "{\"a\":1}"), ERR_OK, NULL);
	check_fault(say(w, ann, cid, "two", NULL), ERR_OK, NULL);
	assert_true(edit(w, ann, cid, 2, "dos", "{\"b\":2}", NULL).seq == 3);
	check_fault(say(w, ann, cid, "four", NULL), ERR_OK, NULL);
	member = (struct member_row){
	    .exists = true, .left = true, .leave_seq = 4, .join_seq = 1, .role = ROLE_MEMBER};
	world_member(w, cid, bob, &member);
	assert_true(edit(w, ann, cid, 1, "uno", "{}", NULL).seq == 5);
	assert_true(edit(w, ann, cid, 2, "zwei", NULL, NULL).seq == 6);
	check_entry_for(w, ann, cid, 1, "uno", "{}", 5);
	check_entry_for(w, ann, cid, 2, "zwei", "{\"b\":2}", 6);
	check_entry_for(w, bob, cid, 1, "one", "{\"a\":1}", 0);
	check_entry_for(w, bob, cid, 2, "dos", "{\"b\":2}", 3);
	check_entry_for(w, bob, cid, 4, "four", NULL, 0);
	check_until(w, cid, 4, (const char *[]){"one", "dos"}, 3);
	check_until(w, cid, 2, (const char *[]){"one", "two"}, 0);
	check_until(w, cid, 5, (const char *[]){"uno", "dos"}, 5);
	check_until(w, cid, 99, (const char *[]){"uno", "zwei"}, 6);
	/* What is deleted is deleted for all. */
	assert_true(erase(w, ann, cid, 1).seq == 7);
	check_until(w, cid, 4, (const char *[]){NULL, "dos"}, 3);
	check_entry_for(w, bob, cid, 1, NULL, NULL, 0);
	check_entry_for(w, ann, cid, 1, NULL, NULL, 5);
}

/* In one transaction. */
static void
edit_often(struct world *w, const struct pair *p, size_t count)
{
	struct op *ops[256];

	assert_true(count <= LEN(ops));
	for (size_t i = 0; i < count; i++)
		ops[i] = letter_op(&(struct letter){
		    .what = APPEND_EDIT, .from = p->ann, .to = p->cid, .re = 1, .body = "again"});
	w->driver->type->write(w->driver, ops, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(ops[i]->fault.err, ERR_OK);
		op_destroy(&ops[i]);
	}
}

static void
edits_of_a_message_are_limited(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct sent sent;

	if (w->kind == WORLD_FLAKY)
		return;
	for (int i = 0; i < LIMIT_EDITS / 250; i++)
		edit_often(w, &p, 250);
	sent = edit(w, p.ann, p.cid, 1, "again", NULL, NULL);
	check_fault(sent, ERR_LIMIT, NULL);
	assert_true(sent.fault.max == LIMIT_EDITS);
	check_fault(erase(w, p.ann, p.cid, 1), ERR_OK, NULL);
	check_entry(w, p.cid, LIMIT_EDITS + 2, NULL, NULL, 0, LIMIT_EDITS + 3);
}

static void
one_batch_does_it_all(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	const struct letter letters[] = {
	    {.from = p.ann, .to = p.cid, .body = "three"},
	    {.what = APPEND_EDIT, .from = p.ann, .to = p.cid, .re = 3, .body = "drei"},
	    {.what = APPEND_DELETE, .from = p.ann, .to = p.cid, .re = 3},
	    {.what = APPEND_EDIT, .from = p.ann, .to = p.cid, .re = 3, .body = "trois"},
	    {.what = APPEND_DELETE, .from = p.ann, .to = p.cid, .re = 3},
	    {.from = p.ann, .to = p.cid, .body = "six"},
	};
	struct op *ops[LEN(letters)];

	if (w->kind == WORLD_FLAKY)
		return;
	for (size_t i = 0; i < LEN(letters); i++)
		ops[i] = letter_op(&letters[i]);
	w->driver->type->write(w->driver, ops, LEN(letters));
	assert_true(ops[0]->append.seq == 3 && ops[1]->append.seq == 4 && ops[2]->append.seq == 5);
	assert_int_equal(ops[3]->fault.err, ERR_NOT_FOUND);
	assert_true(ops[4]->append.dup && ops[4]->append.seq == 5);
	assert_true(ops[5]->append.seq == 6);
	for (size_t i = 0; i < LEN(letters); i++)
		op_destroy(&ops[i]);
	check_entry(w, p.cid, 3, NULL, NULL, 4, 5);
	check_entry(w, p.cid, 4, NULL, NULL, 0, 5);
}

static struct entry *
preview(struct world *w, uint64_t user, struct op **ret_op)
{
	struct op *op = *ret_op = op_create(OP_SYNC);

	op->user = user;
	op->sync.preview = true;
	world_read(w, op);
	assert_int_equal(op->sync.count, 1);
	return op->sync.items[0].last;
}

static void
a_preview_shows_no_deleted_words(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct entry *last;
	struct op *op;

	(void)edit(w, p.bob, p.cid, 2, "dos", NULL, NULL);
	last = preview(w, p.ann, &op);
	assert_true(last->seq == 3 && reads(last->body, "dos") && last->re == 2);
	op_destroy(&op);
	(void)erase(w, p.bob, p.cid, 2);
	last = preview(w, p.ann, &op);
	assert_true(last->seq == 4 && last->re == 2 && !slice_given(last->body));
	assert_true(slice_eq(last->kind, S("delete")));
	op_destroy(&op);
}

/* --- Only on disk --- */

static bool
file_has(const char *path, const char *words)
{
	struct stat st;
	FILE *file = fopen(path, "r");
	char *bytes;
	bool has;

	if (file == NULL)
		return false;
	assert_int_equal(fstat(fileno(file), &st), 0);
	bytes = mem_alloc((size_t)st.st_size + 1);
	assert_int_equal(fread(bytes, 1, (size_t)st.st_size, file), st.st_size);
	(void)fclose(file);
	has = memmem(bytes, (size_t)st.st_size, words, strlen(words)) != NULL;
	mem_free(bytes);
	return has;
}

static bool
on_disk(const struct world *w, const char *words)
{
	char wal[128];

	(void)snprintf(wal, sizeof(wal), "%s-wal", w->path);
	return file_has(w->path, words) || file_has(wal, words);
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

/* Ticks until the counter moves; the file's time-out is the test's. */
static void
tick_until(struct world *w, enum stat_counter which, uint64_t before)
{
	while (counter(which) == before) {
		struct timespec pause = {.tv_nsec = 1000000};

		(void)w->driver->type->tick(w->driver);
		(void)nanosleep(&pause, NULL);
	}
}

static void
erased(struct world *w)
{
	uint64_t before = counter(STAT_STORE_ERASED);

	inside(w)->checkpoint.erase_due_ms = clock_mono_ms();
	tick_until(w, STAT_STORE_ERASED, before);
}

static void
what_is_deleted_leaves_the_disk(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	static char large[16 * 1024 + 1];
	uint64_t seq;

	memset(large, 'y', sizeof(large) - 1);
	memcpy(large + 12000, "hidden-far-in", 13);
	memcpy(large + sizeof(large) - 14, "hidden-at-end", 13);
	seq = say(w, p.ann, p.cid, "secret-one", "{\"k\":\"secret-data\"}").seq;
	(void)edit(w, p.ann, p.cid, seq, "secret-two", "{\"k\":\"other-data\"}", NULL);
	(void)edit(w, p.ann, p.cid, seq, large, NULL, NULL);
	assert_true(on_disk(w, "secret-one") && on_disk(w, "hidden-far-in"));
	erased(w);
	assert_true(on_disk(w, "secret-one") && on_disk(w, "hidden-at-end"));
	(void)erase(w, p.ann, p.cid, seq);
	assert_true(inside(w)->checkpoint.erase_due_ms <= clock_mono_ms() + ERASE_MS);
	erased(w);
	assert_false(on_disk(w, "secret") || on_disk(w, "hidden") || on_disk(w, "other-data"));
	assert_true(on_disk(w, "two"));
	assert_true(inside(w)->checkpoint.erase_due_ms == 0);
}

static void
a_reader_only_delays_it(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct sql_conn reader = {0};
	char why[256];
	uint64_t held = counter(STAT_STORE_ERASE_HELD);

	(void)say(w, p.ann, p.cid, "secret", NULL);
	assert_int_equal(sql_open(&reader, w->path, SQL_READ, why, sizeof(why)), SQLITE_OK);
	assert_int_equal(sql_exec(&reader, "BEGIN; SELECT count(*) FROM msg;"), SQLITE_OK);
	(void)erase(w, p.ann, p.cid, 3);
	inside(w)->checkpoint.erase_due_ms = clock_mono_ms();
	tick_until(w, STAT_STORE_ERASE_HELD, held);
	assert_true(inside(w)->checkpoint.erase_due_ms != 0);
	sql_close(&reader);
	erased(w);
	assert_false(on_disk(w, "secret"));
}

static void
a_reopened_store_empties_its_log_too(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);

	(void)say(w, p.ann, p.cid, "secret", NULL);
	(void)erase(w, p.ann, p.cid, 3);
	world_reopen(w);
	assert_true(inside(w)->checkpoint.erase_due_ms != 0);
	check_entry(w, p.cid, 3, NULL, NULL, 0, 4);
	assert_true(erase(w, p.ann, p.cid, 3).dup);
	erased(w);
	assert_false(on_disk(w, "secret"));
}

/* A word that no other text holds. */
static const char *
word(unsigned n)
{
	static char text[32];

	(void)snprintf(text, sizeof(text), "<word-%u>", n);
	return text;
}

static char *
speech(unsigned n)
{
	static const size_t sizes[] = {0, 20, 200, 900, 5000};
	static char text[6000];
	size_t at = (size_t)snprintf(text, sizeof(text), "%s", word(n));
	size_t more = sizes[(size_t)random() % LEN(sizes)];

	memset(text + at, 'z', more);
	(void)snprintf(text + at + more, sizeof(text) - at - more, "%s", word(n));
	return text;
}

/*
 * Messages and edits of all sizes, a third of them deleted: no copy stays behind that the moving of
 * neighbours on a page would leave.
 */
static void
nothing_is_left_between_the_rows(void **state)
{
	enum { TURNS = 1500 };
	static uint64_t message_of[TURNS]; /* which message a word belongs to */
	static bool gone[TURNS * 2], is_message[TURNS * 2];
	struct world *w = *state;
	struct pair p = pair_of(w);
	unsigned words = 0;

	srandom(11);
	for (unsigned turn = 0; turn < TURNS && words < TURNS; turn++) {
		uint64_t head = 2 + turn, at = 3 + (uint64_t)random() % (turn + 1);
		struct sent sent = {0};

		if (random() % 10 < 6 || at >= head || !is_message[at] || gone[at]) {
			sent = say(w, p.ann, p.cid, speech(words), NULL);
			is_message[sent.seq] = true;
			message_of[words++] = sent.seq;
		} else if (random() % 2 == 0) {
			sent = edit(w, p.ann, p.cid, at, speech(words), NULL, NULL);
			message_of[words++] = at;
		} else {
			sent = erase(w, p.ann, p.cid, at);
			gone[at] = true;
		}
		check_fault(sent, ERR_OK, NULL);
	}
	erased(w);
	for (unsigned n = 0; n < words; n += 1 + (unsigned)random() % 3)
		if (on_disk(w, word(n)) == gone[message_of[n]])
			fail_msg("%s is %s", word(n), gone[message_of[n]] ? "there" : "lost");
}

/* --- Commits that fail --- */

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

/* A commit that comes to nothing, then one that is whole but for what was said about it. */
static struct sent
the_hard_way(struct world *w, const struct letter *letter)
{
	atomic_store(&test_vfs.sync_wal, 1);
	assert_int_equal(world_send(w, letter).fault.err, ERR_UNAVAILABLE);
	(void)sqlite3_wal_hook(inside(w)->sql.writer.db, commit_reports_error, NULL);
	return world_send(w, letter);
}

static void
what_became_of_it_is_found_out(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct sent sent;

	sent = the_hard_way(w, &(struct letter){.what = APPEND_EDIT,
				   .from = p.ann,
				   .to = p.cid,
				   .re = 1,
				   .body = "uno",
				   .cmid = "e1"});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 3 && !sent.dup);
	check_entry(w, p.cid, 1, "uno", "{\"a\":1}", 3, 0);
	sent = the_hard_way(
	    w, &(struct letter){.what = APPEND_DELETE, .from = p.ann, .to = p.cid, .re = 1});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 4 && !sent.dup);
	check_entry(w, p.cid, 1, NULL, NULL, 3, 4);
	assert_true(erase(w, p.ann, p.cid, 1).dup);
	assert_true(edit(w, p.ann, p.cid, 1, "uno", NULL, "e1").dup);
}

/* What the batch itself erased is no proof against it. */
static void
a_batch_that_erases_its_own_words_is_settled(void **state)
{
	struct world *w = *state;
	struct pair p = pair_of(w);
	struct op *ops[] = {
	    letter_op(&(struct letter){.from = p.ann, .to = p.cid, .body = "three"}),
	    letter_op(&(struct letter){.what = APPEND_DELETE, .from = p.ann, .to = p.cid, .re = 3}),
	};

	(void)sqlite3_wal_hook(inside(w)->sql.writer.db, commit_reports_error, NULL);
	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		assert_true(ops[i]->fault.err == ERR_OK && ops[i]->append.seq == 3 + i);
		op_destroy(&ops[i]);
	}
	check_entry(w, p.cid, 3, NULL, NULL, 0, 4);
}

/* --- Indexes --- */

#define STATEMENT_AS_TEXT(name, text) [STMT_##name] = text,
static const char *const texts[] = {STATEMENTS(STATEMENT_AS_TEXT)};

static void
assert_plan(struct world *w, enum stmt stmt)
{
	char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", texts[stmt]);
	sqlite3 *db = inside(w)->sql.writer.db;
	sqlite3_stmt *prepared;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &prepared, NULL), SQLITE_OK);
	while (sqlite3_step(prepared) == SQLITE_ROW) {
		const char *step = (const char *)sqlite3_column_text(prepared, 3);

		bool named = strstr(step, "SEARCH e ") != NULL || strstr(step, "SEARCH d ") != NULL;
		bool by_index = strstr(step, "INDEX msg_edits") != NULL ||
				strstr(step, "INDEX msg_deletes") != NULL;

		bool in_memory =
		    strncmp(step, "SCAN memtable_", 14) == 0 || strcmp(step, "SCAN i") == 0;

		if ((strncmp(step, "SCAN", 4) == 0 && !in_memory) ||
		    strstr(step, "TEMP B-TREE") != NULL || (named && !by_index))
			fail_msg("%s: %s", texts[stmt], step);
	}
	assert_int_equal(sqlite3_finalize(prepared), SQLITE_OK);
	sqlite3_free(sql);
}

static void
what_names_a_message_is_found_by_index(void **state)
{
	static const enum stmt stmts[] = {
	    STMT_PAGE_OLDEST, STMT_PAGE_NEWEST, STMT_MSG_BY_CMID, STMT_MSG_BY_SEQ, STMT_MSG_NAMED};

	for (size_t i = 0; i < LEN(stmts); i++)
		assert_plan(*state, stmts[i]);
}

static int
tear_down_healed(void **state)
{
	test_vfs_heal();
	return tear_down(state);
}

static int
run_suite(const char *name, enum world_kind kind)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define H(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down_healed)
	const struct CMUnitTest tests[] = {
	    T(an_edited_message_reads_as_edited),
	    T(an_edit_is_deduplicated),
	    T(who_may_not_edit_is_told_why),
	    T(a_deleted_message_has_no_body),
	    T(who_may_not_delete_is_told_why),
	    T(in_a_group_admins_delete_too),
	    T(who_left_reads_what_was_said_then),
	    T(edits_of_a_message_are_limited),
	    T(one_batch_does_it_all),
	    T(a_preview_shows_no_deleted_words),
	};
	const struct CMUnitTest on_disk_only[] = {
	    T(what_is_deleted_leaves_the_disk),
	    T(a_reader_only_delays_it),
	    T(a_reopened_store_empties_its_log_too),
	    T(nothing_is_left_between_the_rows),
	    T(what_names_a_message_is_found_by_index),
	    H(what_became_of_it_is_found_out),
	    H(a_batch_that_erases_its_own_words_is_settled),
	};
#undef H
#undef T
	int failed;

	kind_under_test = kind;
	failed = cmocka_run_group_tests_name(name, tests, NULL, NULL);
	if (kind == WORLD_SQLITE)
		failed += cmocka_run_group_tests_name("on disk", on_disk_only, NULL, NULL);
	return failed;
}

int
main(void)
{
	int failed;

	test_vfs_install();
	failed = run_suite("memory", WORLD_MEMORY);

	failed += run_suite("sqlite", WORLD_SQLITE);
	failed += run_suite("flaky", WORLD_FLAKY);
	failed += run_suite("mysql", WORLD_MYSQL);
	return failed;
}
