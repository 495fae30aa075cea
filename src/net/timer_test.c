/* SPDX-License-Identifier: MIT */
#include "net/net_fixture.h"

struct alarm {
	struct timer timer;
	unsigned fired;
	uint64_t again_ms;	/* re-armed for then by its own firing */
	struct alarm *clears;	/* cleared by its firing */
};

static struct wheel wheel;

static void
alarm_fired(struct timer *timer)
{
	struct alarm *a = container_of(timer, struct alarm, timer);

	assert_int_equal(timer->due_ms, 0);
	a->fired++;
	if (a->again_ms != 0)
		wheel_set(&wheel, timer, a->again_ms, alarm_fired);
	if (a->clears != NULL)
		timer_clear(&a->clears->timer);
}

static int
setup(void **state)
{
	(void)state;
	wheel = (struct wheel) {0};
	wheel_init(&wheel, 5003);
	return 0;
}

static void
fires_when_due_and_not_before(void **state)
{
	(void)state;
	for (uint64_t delay = 0; delay < 300000; delay += 1 + delay / 3) {
		struct alarm a = {0};
		uint64_t now = wheel.tick * TICK_MS, due = now + delay;

		wheel_set(&wheel, &a.timer, due, alarm_fired);
		for (; now < due; now += 16 + delay / 50) {
			wheel_run(&wheel, now);
			assert_int_equal(a.fired, 0);
		}
		wheel_run(&wheel, due + 2 * TICK_MS);
		assert_int_equal(a.fired, 1);
		wheel_run(&wheel, due + 100000);
		assert_int_equal(a.fired, 1);
	}
}

static void
the_wait_leads_to_the_moment(void **state)
{
	struct alarm a = {0};
	uint64_t now = 5003, due = now + 150000;

	(void)state;
	assert_int_equal(wheel_wait_ms(&wheel, now), -1);
	wheel_set(&wheel, &a.timer, due, alarm_fired);
	for (int waits = 0; a.fired == 0; waits++) {
		int wait_ms = wheel_wait_ms(&wheel, now);

		assert_true(wait_ms >= 0);
		assert_true(waits < 8); /* a look every round of the wheel, no more */
		now += (uint64_t)wait_ms;
		wheel_run(&wheel, now);
	}
	assert_true(now >= due && now <= due + 2 * TICK_MS);
	assert_int_equal(wheel_wait_ms(&wheel, now), -1);
}

static void
may_be_cleared_and_set_anew(void **state)
{
	struct alarm a = {0};

	(void)state;
	timer_clear(&a.timer);
	wheel_set(&wheel, &a.timer, 6000, alarm_fired);
	timer_clear(&a.timer);
	wheel_run(&wheel, 7000);
	assert_int_equal(a.fired, 0);
	wheel_set(&wheel, &a.timer, 8000, alarm_fired);
	wheel_set(&wheel, &a.timer, 9000, alarm_fired);
	wheel_run(&wheel, 8500);
	assert_int_equal(a.fired, 0);
	wheel_run(&wheel, 9100);
	assert_int_equal(a.fired, 1);
}

static void
firing_may_change_timers(void **state)
{
	struct alarm a = {0}, b = {0};

	(void)state;
	a.again_ms = 1; /* long past: the next turn */
	a.clears = &b;
	wheel_set(&wheel, &a.timer, 6000, alarm_fired);
	wheel_set(&wheel, &b.timer, 6000, alarm_fired);
	wheel_run(&wheel, 6100);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
	a.again_ms = 0;
	wheel_run(&wheel, 6200);
	assert_int_equal(a.fired, 2);
}

static void
what_is_armed_at_the_end_is_let_go(void **state)
{
	struct alarm a = {0};

	(void)state;
	wheel_set(&wheel, &a.timer, 6000, alarm_fired);
	wheel_fini(&wheel);
	assert_false(list_linked(&a.timer.link));
	timer_clear(&a.timer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fires_when_due_and_not_before, setup),
		cmocka_unit_test_setup(the_wait_leads_to_the_moment, setup),
		cmocka_unit_test_setup(may_be_cleared_and_set_anew, setup),
		cmocka_unit_test_setup(firing_may_change_timers, setup),
		cmocka_unit_test_setup(what_is_armed_at_the_end_is_let_go, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
