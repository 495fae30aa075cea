/* SPDX-License-Identifier: MIT */
#include "bus/channels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static const struct channel_key seven = {RING_CONV, 7}, user = {RING_USER, 7};

struct fixture {
	struct channels channels;
	struct buf out, opened;
	uint64_t now_ms;
};

static int
setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.now_ms = 1000};
	channels_init(&f.channels, S("main"));
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	channels_fini(&f->channels);
	buf_fini(&f->out);
	buf_fini(&f->opened);
	return 0;
}

static void
want(struct fixture *f, struct channel_key key, bool wanted)
{
	(void)channels_interest(&f->channels, key, wanted, f->now_ms);
}

/* All that a turn sends. */
static void
sends(struct fixture *f, const char *commands)
{
	buf_clear(&f->out);
	buf_clear(&f->opened);
	assert_false(channels_turn(&f->channels, f->now_ms, &f->out, &f->opened));
	buf_append(&f->out, "", 1);
	assert_string_equal(buf_head(&f->out), commands);
}

#define SUBSCRIBE_7 "*2\r\n$9\r\nSUBSCRIBE\r\n$15\r\nconfab:main:c:7\r\n"
#define UNSUBSCRIBE_7 "*2\r\n$11\r\nUNSUBSCRIBE\r\n$15\r\nconfab:main:c:7\r\n"

static bool
answered(struct fixture *f, bool subscribed)
{
	return channels_confirm(&f->channels, seven, subscribed);
}

static size_t
opened(struct fixture *f)
{
	return buf_len(&f->opened) / sizeof(struct channel_key);
}

static void
the_first_subscribes_and_the_last_unsubscribes_later(void **state)
{
	struct fixture *f = *state;

	want(f, seven, true);
	want(f, seven, true);
	sends(f, SUBSCRIBE_7);
	assert_int_equal(f->channels.unconfirmed, 1);
	assert_true(answered(f, true));
	assert_int_equal(f->channels.unconfirmed, 0);
	want(f, seven, false);
	want(f, seven, false);
	sends(f, "");
	f->now_ms += CHANNEL_LINGER_MS - 1;
	sends(f, "");
	f->now_ms += 1;
	assert_int_equal(channels_due_ms(&f->channels), f->now_ms);
	sends(f, UNSUBSCRIBE_7);
	assert_int_equal(channels_count(&f->channels), 1);
	assert_false(answered(f, false));
	assert_int_equal(channels_count(&f->channels), 0);
}

static void
who_comes_later_hears_that_it_is_open(void **state)
{
	struct fixture *f = *state;

	want(f, seven, true);
	sends(f, SUBSCRIBE_7);
	/* Before the answer: that is for both. */
	want(f, seven, true);
	sends(f, "");
	assert_int_equal(opened(f), 0);
	assert_true(answered(f, true));
	sends(f, "");
	want(f, seven, true);
	sends(f, "");
	assert_int_equal(opened(f), 1);
}

static void
who_returns_soon_costs_nothing(void **state)
{
	struct fixture *f = *state;

	want(f, seven, true);
	sends(f, SUBSCRIBE_7);
	(void)answered(f, true);
	want(f, seven, false);
	f->now_ms += CHANNEL_LINGER_MS / 2;
	want(f, seven, true);
	sends(f, "");
	assert_int_equal(opened(f), 1);
	f->now_ms += CHANNEL_LINGER_MS * 2;
	sends(f, "");
}

static void
who_returns_while_it_ends_waits_for_the_last_answer(void **state)
{
	struct fixture *f = *state;

	want(f, seven, true);
	sends(f, SUBSCRIBE_7);
	(void)answered(f, true);
	want(f, seven, false);
	f->now_ms += CHANNEL_LINGER_MS;
	sends(f, UNSUBSCRIBE_7);
	want(f, seven, true);
	sends(f, SUBSCRIBE_7);
	assert_false(answered(f, false));
	assert_true(answered(f, true));
}

static void
who_left_before_it_began_is_not_told(void **state)
{
	struct fixture *f = *state;

	want(f, seven, true);
	want(f, seven, false);
	sends(f, "");
	f->now_ms += CHANNEL_LINGER_MS;
	sends(f, "");
	assert_int_equal(channels_count(&f->channels), 0);
}

static void
after_a_reset_all_is_asked_for_again(void **state)
{
	struct fixture *f = *state;

	want(f, seven, true);
	sends(f, SUBSCRIBE_7);
	(void)answered(f, true);
	want(f, user, true);
	want(f, user, false); /* lingers: nobody needs it again */
	channels_reset(&f->channels);
	assert_int_equal(channels_count(&f->channels), 1);
	sends(f, SUBSCRIBE_7);
	/* Everybody was told; that some news are missing is told by lost(). */
	assert_false(answered(f, true));
	want(f, seven, false);
	f->now_ms += CHANNEL_LINGER_MS;
	sends(f, UNSUBSCRIBE_7);
	/* Its answer never comes. */
	channels_reset(&f->channels);
	sends(f, "");
	assert_int_equal(channels_count(&f->channels), 0);
}

static void
many_go_in_one_command_up_to_a_bound(void **state)
{
	struct fixture *f = *state;

	for (uint64_t id = 1; id <= LIMIT_CHANNELS_COMMAND + 1; id++)
		want(f, (struct channel_key){RING_USER, id}, true);
	assert_true(channels_turn(&f->channels, f->now_ms, &f->out, &f->opened));
	assert_memory_equal(buf_head(&f->out), "*513\r\n$9\r\nSUBSCRIBE", 19);
	sends(f, "*2\r\n$9\r\nSUBSCRIBE\r\n$17\r\nconfab:main:u:513\r\n");
	assert_int_equal(f->channels.unconfirmed, LIMIT_CHANNELS_COMMAND + 1);
}

static void
answers_that_nobody_waits_for_change_nothing(void **state)
{
	struct fixture *f = *state;

	assert_false(answered(f, true));
	assert_false(answered(f, false));
	assert_false(channels_confirm(&f->channels, (struct channel_key){RING_ALL, 0}, true));
	want(f, seven, true);
	assert_false(answered(f, false));
	sends(f, SUBSCRIBE_7);
}

static void
names_and_keys_are_the_same_thing(void **state)
{
	struct fixture *f = *state;
	const struct channel_key keys[] = {
	    seven, user, {RING_ALL, 0}, {RING_CONV, UINT64_MAX}, {RING_USER, 0}};
	static const char *const wrong[] = {"",
	    "confab:main:", "confab:main:c:", "confab:main:c:07", "confab:main:c:7x",
	    "confab:main:x:7", "confab:main:nn", "confab:other:c:7",
	    "confab:main:c:18446744073709551616", "confab:main:c:-7", "confab:main:u",
	    "confab:main:c:99999999999999999999999"};
	char name[CHANNEL_NAME_BYTES];
	struct channel_key key;

	for (size_t i = 0; i < LEN(keys); i++) {
		assert_true(
		    channel_of(&f->channels, channel_name(&f->channels, keys[i], name), &key));
		assert_true(key.scope == keys[i].scope && key.id == keys[i].id);
	}
	for (size_t i = 0; i < LEN(wrong); i++)
		assert_false(channel_of(&f->channels, slice_str(wrong[i]), &key));
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(the_first_subscribes_and_the_last_unsubscribes_later),
	    T(who_comes_later_hears_that_it_is_open),
	    T(who_returns_soon_costs_nothing),
	    T(who_returns_while_it_ends_waits_for_the_last_answer),
	    T(who_left_before_it_began_is_not_told),
	    T(after_a_reset_all_is_asked_for_again),
	    T(many_go_in_one_command_up_to_a_bound),
	    T(answers_that_nobody_waits_for_change_nothing),
	    T(names_and_keys_are_the_same_thing),
	};

	return cmocka_run_group_tests_name("channels", tests, NULL, NULL);
}
