/* SPDX-License-Identifier: MIT */
/* Edits and deletions among sends: their order, and what is read while they happen. */
#include "chat/chat_world.h"

static unsigned
start_edit(struct link *link, struct target conv, uint64_t seq, const char *body)
{
	struct edit_command cmd = {.conv = conv, .seq = seq, .body = slice_str(body)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_edit(link->peer, &t, &cmd);
	return n;
}

static unsigned
start_delete(struct link *link, struct target conv, uint64_t seq, enum err refused)
{
	struct delete_command cmd = {.conv = conv, .seq = seq, .refused = {.err = refused}};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_delete(link->peer, &t, &cmd);
	return n;
}

static unsigned
start_receipts(struct link *link, struct target conv, uint64_t seq)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_receipts(
	    link->peer, &t, &(struct receipts_command){.conv = conv, .seq = seq, .limit = 10});
	return n;
}

struct pair {
	struct world w;
	struct link *alice, *bob;
	uint64_t conv;
};

/* alice and bob, with one message of bob's. */
static void
pair_open(struct pair *p, uint32_t seed)
{
	unsigned n;

	world_open(&p->w, seed);
	p->alice = link_open(&p->w, 0);
	p->bob = link_open(&p->w, 1);
	assert_int_equal(do_register(p->alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(p->bob, "bob", true), ERR_OK);
	n = start_send(p->bob, at("alice"), "x", NULL);
	assert_int_equal(answered(p->bob, n), ERR_OK);
	p->conv = answer_to(p->bob, n)->cid;
}

/* The numbers of the answers in the order of their coming are those of the requests. */
static void
assert_answered_in_order(const struct link *link, const unsigned *tags, size_t count)
{
	size_t next = 0;

	for (size_t i = 0; i < link->count && next < count; i++)
		if (link->told[i].what == TOLD_ANSWER && link->told[i].tag >= tags[0])
			assert_int_equal(link->told[i].tag, tags[next++]);
	assert_int_equal(next, count);
}

/* By name and by cid in turn, refused before and refused by the store. */
static void
mixed_appends_keep_their_order(void **state)
{
	enum { ROUNDS = 12, KINDS = 6 };
	struct pair p;
	unsigned tags[ROUNDS * KINDS];

	(void)state;
	for (uint32_t seed = 0; seed < 40; seed++) {
		pair_open(&p, seed);
		for (unsigned i = 0; i < ROUNDS; i++) {
			struct target to = i % 3 == 1 ? at("bob") : cid(p.conv);
			struct target other = i % 2 == 0 ? at("bob") : cid(p.conv);
			uint64_t seq = 2 + 3 * i;
			unsigned *next = &tags[i * KINDS];

			next[0] = start_send(p.alice, to, "y", NULL);
			next[1] = start_edit(p.alice, other, seq, "z");
			next[2] = start_edit(p.alice, to, 1, "not mine");
			next[3] = start_delete(p.alice, other, 0, ERR_INVALID_PARAMS);
			next[4] = start_delete(p.alice, to, seq, ERR_OK);
			next[5] = start_edit(p.alice, other, seq, "too late");
			while (pick(&p.w, 8) != 0)
				step(&p.w);
		}
		settle(&p.w);
		assert_answered_in_order(p.alice, tags, LEN(tags));
		for (unsigned i = 0; i < ROUNDS; i++) {
			const unsigned *next = &tags[i * KINDS];

			assert_int_equal(answer_to(p.alice, next[0])->seq, 2 + 3 * i);
			assert_int_equal(answer_to(p.alice, next[1])->seq, 3 + 3 * i);
			assert_int_equal(answer_to(p.alice, next[2])->err, ERR_FORBIDDEN);
			assert_int_equal(answer_to(p.alice, next[3])->err, ERR_INVALID_PARAMS);
			assert_int_equal(answer_to(p.alice, next[4])->seq, 4 + 3 * i);
			assert_int_equal(answer_to(p.alice, next[5])->err, ERR_NOT_FOUND);
		}
		assert_stream(p.bob, p.conv, 1, 1 + 3 * ROUNDS);
		assert_stream(p.alice, p.conv, 1, 1 + 3 * ROUNDS);
		world_close(&p.w);
	}
}

static void
nobody_edits_what_is_not_there(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 1);
	assert_int_equal(do_register(link_open(&p.w, 2), "carol", true), ERR_OK);
	assert_int_equal(
	    answered(p.alice, start_edit(p.alice, at("carol"), 1, "x")), ERR_NOT_FOUND);
	assert_int_equal(
	    answered(p.alice, start_delete(p.alice, at("carol"), 1, ERR_OK)), ERR_NOT_FOUND);
	assert_int_equal(
	    answered(p.alice, start_edit(p.alice, at("alice"), 1, "x")), ERR_INVALID_PARAMS);
	assert_int_equal(
	    answered(p.alice, start_delete(p.alice, cid(99), 1, ERR_OK)), ERR_NOT_FOUND);
	assert_int_equal(count_told(p.alice, TOLD_CONV, p.conv + 1), 0);
	world_close(&p.w);
}

/* Who was allowed to delete was not found to be allowed to send. */
static void
to_delete_gives_no_right_to_send(void **state)
{
	struct pair p;
	struct call_tag block;
	unsigned n;

	(void)state;
	pair_open(&p, 2);
	n = start_send(p.alice, cid(p.conv), "y", NULL);
	assert_int_equal(answered(p.alice, n), ERR_OK);
	block = tag(&p.w, &n);
	chat_contact(p.bob->peer, &block,
	    &(struct contact_command){.what = CONTACT_BLOCK, .user = S("alice")});
	assert_int_equal(answered(p.bob, n), ERR_OK);
	assert_int_equal(
	    answered(p.alice, start_delete(p.alice, cid(p.conv), 2, ERR_OK)), ERR_OK);
	assert_int_equal(
	    answered(p.alice, start_send(p.alice, cid(p.conv), "z", NULL)), ERR_BLOCKED);
	world_close(&p.w);
}

static void
receipts_are_asked_of_the_store(void **state)
{
	struct pair p;
	unsigned n;

	(void)state;
	pair_open(&p, 3);
	n = start_receipts(p.bob, cid(p.conv), 1);
	assert_int_equal(answered(p.bob, n), ERR_OK);
	assert_int_equal(answer_to(p.bob, n)->answer, ANSWER_RECEIPTS);
	assert_int_equal(answered(p.bob, start_receipts(p.bob, at("alice"), 2)), ERR_NOT_FOUND);
	assert_int_equal(answered(p.bob, start_receipts(p.bob, cid(99), 1)), ERR_NOT_FOUND);
	assert_int_equal(answered(p.bob, start_receipts(p.bob, at("bob"), 1)), ERR_INVALID_PARAMS);
	/* Not waited for: its connection is gone before the answer. */
	(void)start_receipts(p.bob, cid(p.conv), 1);
	link_close(p.bob);
	settle(&p.w);
	world_close(&p.w);
}

/* --- Deletions beside those who read --- */

enum { MESSAGES = 100, READERS = 8 };

struct reader {
	struct link *link;
	bool gone[MESSAGES + 1]; /* deleted, and that was answered, when his sync began */
};

static void
note_answers(const struct link *link, const unsigned *deletes, bool *gone)
{
	for (unsigned seq = 1; seq <= MESSAGES; seq++)
		if (deletes[seq] != 0 && answer_to(link, deletes[seq]) != NULL &&
		    answer_to(link, deletes[seq])->err == ERR_OK)
			gone[seq] = true;
}

static void
assert_unseen(const struct reader *reader, uint64_t conv)
{
	for (size_t i = 0; i < reader->link->count; i++) {
		const struct told *told = &reader->link->told[i];

		if (told->what == TOLD_ENTRY && told->cid == conv && told->seq <= MESSAGES &&
		    reader->gone[told->seq])
			assert_string_equal(told->text, "alice:");
	}
}

/* Whoever begins to sync after a deletion was answered is fed no words, whatever the shards hold. */
static void
after_the_answer_nobody_is_fed_the_words(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t seed = 0; seed < 30; seed++) {
		unsigned deletes[MESSAGES + 1] = {0}, synced = 1, n;
		struct reader readers[READERS] = {0};
		struct link *alice;
		uint64_t conv = 0;

		world_open(&w, seed);
		w.reorders = seed % 2 == 1;
		alice = link_open(&w, 0);
		readers[0].link = link_open(&w, 1);
		assert_int_equal(do_register(alice, "alice", true), ERR_OK);
		assert_int_equal(do_register(readers[0].link, "bob", true), ERR_OK);
		for (unsigned i = 1; i < READERS; i++) {
			readers[i].link = link_open(&w, i % 3);
			assert_int_equal(
			    do_resume(readers[i].link, readers[0].link->token), ERR_OK);
		}
		for (unsigned i = 0; i < MESSAGES; i++) {
			n = start_send(alice, at("bob"), "x", NULL);
			assert_int_equal(answered(alice, n), ERR_OK);
			conv = answer_to(alice, n)->cid;
		}
		while (synced < READERS) {
			unsigned seq = 1 + pick(&w, MESSAGES);

			if (deletes[seq] == 0)
				deletes[seq] = start_delete(alice, cid(conv), seq, ERR_OK);
			for (unsigned steps = pick(&w, 12); steps > 0; steps--)
				step(&w);
			if (pick(&w, 4) != 0)
				continue;
			note_answers(alice, deletes, readers[synced].gone);
			(void)start_sync(readers[synced++].link, conv, 0, 500);
		}
		settle(&w);
		for (unsigned i = 1; i < READERS; i++)
			assert_unseen(&readers[i], conv);
		world_close(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mixed_appends_keep_their_order),
	    cmocka_unit_test(nobody_edits_what_is_not_there),
	    cmocka_unit_test(to_delete_gives_no_right_to_send),
	    cmocka_unit_test(receipts_are_asked_of_the_store),
	    cmocka_unit_test(after_the_answer_nobody_is_fed_the_words),
	};

	return cmocka_run_group_tests_name("edit", tests, NULL, NULL);
}
