/* SPDX-License-Identifier: MIT */
/* Who waits for room to log in, and who doesn't. */
#include "gate/gate_fake.h"

#include "base/mem.h"
#include "base/stat.h"

#define RESUME(id) "{\"id\":" id ",\"method\":\"resume\",\"params\":{\"token\":\"t" id "\"}}\n"
#define PING(id) "{\"id\":" id ",\"method\":\"ping\"}\n"

static int
begin(void **state)
{
	(void)state;
	world_begin();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_end();
	assert_int_equal(stats_self()->gauges[GAUGE_LOGINS_WAITING], 0);
	return 0;
}

static uint64_t
waited(void)
{
	return stats_self()->counters[STAT_LOGINS_WAITED];
}

static int64_t
waiting(void)
{
	return stats_self()->gauges[GAUGE_LOGINS_WAITING];
}

static void
who_logs_in_waits_for_room(void **state)
{
	uint64_t before = waited();

	(void)state;
	world.room = 0;
	dial("127.0.0.1");
	feed_text(RESUME("1"));
	expect_told("");
	assert_true(world.conn->paused);
	assert_int_equal(waited() - before, 1);
	assert_int_equal(waiting(), 1);
	turn();
	expect_told("");
	assert_true(world.conn->paused);

	world.room = 1;
	turn();
	expect_told("resume token=t1");
	assert_int_equal(waiting(), 0);
	assert_int_equal(waited() - before, 1);
	world.room = 0; /* it is taken, and what follows waits for the answer alone */
	answer_empty();
	expect_result("1");
}

static void
with_room_nobody_waits(void **state)
{
	uint64_t before = waited();

	(void)state;
	world.room = 1;
	dial("127.0.0.1");
	feed_text(RESUME("1"));
	expect_told("resume token=t1");
	assert_int_equal(waited(), before);
}

static void
who_is_logged_in_is_not_held_up(void **state)
{
	(void)state;
	dial_logged_in();
	world.room = 0;
	feed_text(PING("7"));
	expect_result("7");
	assert_false(world.conn->paused);
}

static void
who_says_nothing_takes_no_room(void **state)
{
	uint64_t before = waited();

	(void)state;
	world.room = 0;
	dial("127.0.0.1");
	assert_int_equal(waited(), before);
	assert_false(world.conn->paused);
	/* Half a request: it has its turn, and the room is left for others. */
	feed_text("{\"id\":1,");
	assert_int_equal(waiting(), 1);
	world.room = 1;
	turn();
	assert_int_equal(waiting(), 0);
	expect_told("");
	feed_text("\"method\":\"resume\",\"params\":{\"token\":\"t\"}}\n");
	expect_told("resume token=t");
}

static void
web_requests_do_not_wait(void **state)
{
	char *out;

	(void)state;
	world.room = 0;
	dial("127.0.0.1");
	feed_text("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
	out = take_out();
	assert_non_null(strstr(out, "200 OK"));
	mem_free(out);
}

static void
time_stands_still_in_line(void **state)
{
	(void)state;
	world.room = 0;
	world.config.login_ms = 5000;
	dial("127.0.0.1");
	pass_ms(4000);
	feed_text(RESUME("1"));
	pass_ms(9000);
	assert_false(world.conn->finishing);
	/* Called, it has what was left of its time: he sent something that is no login. */
	world.room = 1;
	turn();
	expect_told("resume token=t1");
	answer_empty();
	expect_result("1");
	assert_false(world.conn->finishing);
}

static void
time_goes_on_after_the_line(void **state)
{
	(void)state;
	world.room = 0;
	world.config.login_ms = 5000;
	dial("127.0.0.1");
	pass_ms(4000);
	feed_text(PING("1"));
	pass_ms(9000);
	world.room = 1;
	turn();
	expect_result("1");
	pass_ms(900);
	assert_false(world.conn->finishing);
	pass_ms(200);
	assert_true(world.conn->finishing);
	assert_int_equal(world.conn->reason, CLOSE_LOGIN);
}

static void
nobody_waits_for_ever(void **state)
{
	(void)state;
	world.room = 0;
	dial("127.0.0.1");
	feed_text(RESUME("1"));
	pass_ms(LIMIT_LINE_MS - 1);
	turn();
	expect_told("");
	pass_ms(1);
	turn();
	expect_told("resume token=t1");
}

/* Those who are gone are passed over, however many, and cost no room. */
static void
who_is_gone_is_passed_over(void **state)
{
	(void)state;
	world.room = 0;
	for (int i = 0; i < 1000; i++) {
		dial("127.0.0.1");
		feed_text(RESUME("1"));
		assert_int_equal(waiting(), 1);
	}
	expect_told("");
	world.room = 1;
	turn();
	expect_told("resume token=t1");
}

static void
first_come_first_served(void **state)
{
	(void)state;
	world.room = 0;
	dial("127.0.0.1");
	feed_text(RESUME("1"));
	/* There is room again, but others stand in line. */
	world.room = 1;
	dial("127.0.0.2");
	feed_text(RESUME("2"));
	expect_told("");
	assert_int_equal(waiting(), 1);
	turn();
	expect_told("resume token=t2");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(who_logs_in_waits_for_room, begin, end),
	    cmocka_unit_test_setup_teardown(with_room_nobody_waits, begin, end),
	    cmocka_unit_test_setup_teardown(who_is_logged_in_is_not_held_up, begin, end),
	    cmocka_unit_test_setup_teardown(who_says_nothing_takes_no_room, begin, end),
	    cmocka_unit_test_setup_teardown(web_requests_do_not_wait, begin, end),
	    cmocka_unit_test_setup_teardown(time_stands_still_in_line, begin, end),
	    cmocka_unit_test_setup_teardown(time_goes_on_after_the_line, begin, end),
	    cmocka_unit_test_setup_teardown(nobody_waits_for_ever, begin, end),
	    cmocka_unit_test_setup_teardown(who_is_gone_is_passed_over, begin, end),
	    cmocka_unit_test_setup_teardown(first_come_first_served, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
