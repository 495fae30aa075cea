/* SPDX-License-Identifier: MIT */
#include "bus/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

/* Time is told, and starts here. */
enum { START_MS = 100000 };

struct fixture {
	struct bus_options options;
	struct peers peers;
	char told[200]; /* "+b " for up, "-b " for down */
	uint64_t now_ms;
};

static void
tell(struct fixture *f, char what, slice node)
{
	size_t len = strlen(f->told);

	(void)snprintf(f->told + len, sizeof(f->told) - len, "%c%.*s ", what, SLICE_ARG(node));
}

static void
on_up(void *cookie, slice node, uint64_t boot)
{
	(void)boot;
	tell(cookie, '+', node);
}

static void
on_down(void *cookie, slice node)
{
	tell(cookie, '-', node);
}

static int
setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.now_ms = START_MS};
	f.options = (struct bus_options){
	    .node = "a", .boot = 1, .cookie = &f, .node_up = on_up, .node_down = on_down};
	peers_init(&f.peers, &f.options, f.now_ms);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	peers_fini(&f->peers);
	return 0;
}

static void
beacon(struct fixture *f, const char *node, uint64_t boot, uint64_t seq, uint64_t drops)
{
	struct envelope e = {.kind = ENVELOPE_BEACON,
	    .scope = RING_ALL,
	    .node = slice_str(node),
	    .boot = boot,
	    .seq = seq,
	    .drops = drops};

	peers_hear(&f->peers, &e, f->now_ms);
}

static bool
rings(struct fixture *f, const char *node, uint64_t boot, uint64_t seq)
{
	struct envelope e = {.kind = ENVELOPE_RINGS,
	    .scope = RING_ALL,
	    .node = slice_str(node),
	    .boot = boot,
	    .seq = seq};

	return peers_rings(&f->peers, &e, f->now_ms);
}

static bool
missed(struct fixture *f)
{
	bool was = f->peers.missed;

	f->peers.missed = false;
	return was;
}

static void
pass(struct fixture *f, uint64_t ms, bool sees)
{
	f->now_ms += ms;
	peers_tick(&f->peers, sees, f->now_ms);
}

static void
beacons_in_a_row_are_no_news(void **state)
{
	struct fixture *f = *state;

	beacon(f, "b", 5, 10, 0);
	assert_string_equal(f->told, "+b ");
	assert_true(missed(f));
	for (uint64_t seq = 11; seq < 40; seq++) {
		pass(f, BEACON_PERIOD_MS, true);
		beacon(f, "b", 5, seq, 0);
	}
	assert_false(missed(f));
	assert_string_equal(f->told, "+b ");
	assert_int_equal(peers_count(&f->peers), 1);
}

static void
a_gap_or_a_drop_means_that_news_are_missing(void **state)
{
	struct fixture *f = *state;

	beacon(f, "b", 5, 10, 0);
	(void)missed(f);
	beacon(f, "b", 5, 12, 0);
	assert_true(missed(f));
	beacon(f, "b", 5, 13, 1);
	assert_true(missed(f));
	/* What was heard before comes once more. */
	beacon(f, "b", 5, 12, 0);
	assert_false(missed(f));
	beacon(f, "b", 5, 14, 1);
	assert_false(missed(f));
}

static void
another_boot_is_told(void **state)
{
	struct fixture *f = *state;

	beacon(f, "b", 5, 10, 0);
	(void)missed(f);
	beacon(f, "b", 6, 1, 0);
	assert_true(missed(f));
	assert_string_equal(f->told, "+b +b ");
}

static void
silence_is_suspicious_and_then_the_end(void **state)
{
	struct fixture *f = *state;

	beacon(f, "b", 5, 10, 0);
	(void)missed(f);
	pass(f, PEER_SILENT_MS - 1, true);
	assert_false(missed(f));
	pass(f, 1, true);
	assert_true(missed(f));
	pass(f, 1, true);
	assert_false(missed(f));
	pass(f, PEER_LEASE_MS - PEER_SILENT_MS - 1, true);
	assert_true(missed(f));
	assert_string_equal(f->told, "+b -b ");
	assert_int_equal(peers_count(&f->peers), 0);
}

static void
who_only_rang_is_missed_too(void **state)
{
	struct fixture *f = *state;

	assert_true(rings(f, "b", 5, 40));
	assert_string_equal(f->told, "+b ");
	assert_true(missed(f));
	pass(f, PEER_LEASE_MS - 1, true);
	/* They don't stand for beacons, and are no news of one that is known. */
	assert_true(rings(f, "b", 5, 41));
	assert_string_equal(f->told, "+b ");
	pass(f, 1, true);
	assert_string_equal(f->told, "+b -b ");
	assert_int_equal(peers_count(&f->peers), 0);
	/* It only stood still. */
	assert_true(rings(f, "b", 5, 42));
	assert_string_equal(f->told, "+b -b +b ");
}

static void
the_first_beacon_of_who_rang_before(void **state)
{
	struct fixture *f = *state;

	/* Its very first: nothing was dropped before it. */
	(void)rings(f, "b", 5, 40);
	(void)missed(f);
	beacon(f, "b", 5, 1, 0);
	assert_false(missed(f));
	/* What it dropped, and when, is not known. */
	(void)rings(f, "c", 5, 40);
	(void)missed(f);
	beacon(f, "c", 5, 7, 0);
	assert_true(missed(f));
	beacon(f, "c", 5, 8, 0);
	assert_false(missed(f));
	(void)rings(f, "d", 5, 40);
	(void)missed(f);
	beacon(f, "d", 5, 1, 1);
	assert_true(missed(f));
	assert_string_equal(f->told, "+b +c +d ");
	assert_int_equal(peers_count(&f->peers), 3);
}

static void
rings_of_another_boot_are_heard(void **state)
{
	struct fixture *f = *state;

	beacon(f, "b", 5, 10, 0);
	assert_true(rings(f, "b", 6, 1));
	assert_string_equal(f->told, "+b ");
	beacon(f, "b", 6, 1, 0);
	assert_string_equal(f->told, "+b +b ");
	/* A twin's are nobody's who could come or go. */
	assert_true(rings(f, "a", 2, 1));
	assert_false(peers_twin(&f->peers, f->now_ms));
	assert_int_equal(peers_count(&f->peers), 1);
}

static void
rings_behind_a_good_bye_come_from_one_that_ends(void **state)
{
	struct fixture *f = *state;
	struct envelope bye = {.kind = ENVELOPE_BYE, .scope = RING_ALL, .node = S("b"), .boot = 5};

	beacon(f, "b", 5, 10, 0);
	peers_hear(&f->peers, &bye, f->now_ms);
	/* Over a connection that it had left before. */
	assert_true(rings(f, "b", 5, 9));
	pass(f, PEER_LEASE_MS, true);
	assert_string_equal(f->told, "+b -b +b -b ");
}

static void
who_is_heard_stays_however_deaf_to_himself_one_is(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3 * PEERS_BLIND_MS / 1000; i++) {
		beacon(f, "b", 5, (uint64_t)i + 1, 0);
		assert_true(rings(f, "b", 5, (uint64_t)i + 1));
		pass(f, 1000, false);
	}
	assert_string_equal(f->told, "+b ");
	pass(f, PEER_LEASE_MS, false);
	assert_string_equal(f->told, "+b -b ");
}

static void
who_hears_not_even_himself_does_not_judge_at_once(void **state)
{
	struct fixture *f = *state;

	beacon(f, "b", 5, 10, 0);
	for (int i = 0; i < PEERS_BLIND_MS / 1000 - 1; i++)
		pass(f, 1000, false);
	pass(f, 10, true);
	pass(f, PEER_LEASE_MS - 20, true);
	assert_string_equal(f->told, "+b ");
	for (int i = 0; i < PEERS_BLIND_MS / 1000; i++)
		pass(f, 1000, false);
	assert_string_equal(f->told, "+b -b ");
}

static void
a_good_bye_is_the_end_at_once(void **state)
{
	struct fixture *f = *state;
	struct envelope bye = {.kind = ENVELOPE_BYE, .scope = RING_ALL, .node = S("b"), .boot = 5};

	beacon(f, "b", 6, 10, 0);
	/* Of its life before: it is here again. */
	peers_hear(&f->peers, &bye, f->now_ms);
	assert_string_equal(f->told, "+b ");
	bye.boot = 6;
	peers_hear(&f->peers, &bye, f->now_ms);
	peers_hear(&f->peers, &bye, f->now_ms);
	assert_string_equal(f->told, "+b -b ");
}

static void
a_twin_is_noticed_until_it_is_silent(void **state)
{
	struct fixture *f = *state;

	assert_false(peers_twin(&f->peers, f->now_ms));
	beacon(f, "a", 2, 10, 0);
	assert_true(peers_twin(&f->peers, f->now_ms));
	assert_true(peers_twin(&f->peers, f->now_ms + PEER_LEASE_MS - 1));
	assert_false(peers_twin(&f->peers, f->now_ms + PEER_LEASE_MS));
	assert_string_equal(f->told, "");
}

static void
there_is_a_bound(void **state)
{
	struct fixture *f = *state;
	char name[16];

	for (int i = 0; i < LIMIT_PEERS + 5; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		f->told[0] = '\0';
		if (i % 2 == 0)
			beacon(f, name, 5, 10, 0);
		else
			assert_int_equal(rings(f, name, 5, 10), i < LIMIT_PEERS);
	}
	assert_string_equal(f->told, "");
	/* Those that are known are heard as ever. */
	assert_true(rings(f, "n0", 5, 11));
	assert_int_equal(peers_count(&f->peers), LIMIT_PEERS);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(beacons_in_a_row_are_no_news),
	    T(a_gap_or_a_drop_means_that_news_are_missing),
	    T(another_boot_is_told),
	    T(silence_is_suspicious_and_then_the_end),
	    T(who_only_rang_is_missed_too),
	    T(the_first_beacon_of_who_rang_before),
	    T(rings_of_another_boot_are_heard),
	    T(rings_behind_a_good_bye_come_from_one_that_ends),
	    T(who_is_heard_stays_however_deaf_to_himself_one_is),
	    T(who_hears_not_even_himself_does_not_judge_at_once),
	    T(a_good_bye_is_the_end_at_once),
	    T(a_twin_is_noticed_until_it_is_silent),
	    T(there_is_a_bound),
	};

	return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
