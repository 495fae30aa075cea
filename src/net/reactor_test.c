/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <signal.h>

#include "net/net_fixture.h"

enum { LETTERS = 20000 };

struct letter {
	struct mail mail;
	unsigned number;
};

/* A reactor on a thread that posts to another and writes down what it gets. */
struct office {
	struct reactor *reactor;
	struct reactor_mailbox in;
	struct office *other;
	pthread_t thread;
	unsigned sent, got;
	bool in_order;
};

static void
office_deliver(void *cookie, struct mail *first)
{
	struct office *o = cookie;

	assert_true(reactor_current == o->reactor);
	while (first != NULL) {
		struct letter *letter = container_of(first, struct letter, mail);

		first = first->next;
		o->in_order = o->in_order && letter->number == o->got;
		o->got++;
		mem_free(letter);
	}
	if (o->got == LETTERS && o->sent == LETTERS) {
		reactor_stop(o->reactor);
		reactor_wake(o->other->reactor);
	}
}

/* Some at a time, asking to be called again: the waits between must not block. */
static bool
office_turn(void *cookie)
{
	struct office *o = cookie;

	for (int i = 0; i < 50 && o->sent < LETTERS; i++) {
		struct letter *letter = mem_zalloc(sizeof(*letter));

		letter->number = o->sent++;
		mail_post(&o->other->in.box, &letter->mail);
	}
	if (o->got == LETTERS && o->sent == LETTERS)
		reactor_stop(o->reactor);
	return o->sent < LETTERS;
}

static void *
office_main(void *cookie)
{
	struct office *o = cookie;

	reactor_run(o->reactor);
	return NULL;
}

static void
two_reactors_write_to_each_other_in_order(void **state)
{
	struct office offices[2] = { { .in_order = true }, { .in_order = true } };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct office *o = &offices[i];

		o->reactor = reactor_create(i);
		o->other = &offices[1 - i];
		reactor_add_mailbox(o->reactor, &o->in, office_deliver, o);
		reactor_on_turn(o->reactor, office_turn, o);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&offices[i].thread, NULL, office_main, &offices[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		(void)pthread_join(offices[i].thread, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(offices[i].got, LETTERS);
		assert_true(offices[i].in_order);
		reactor_destroy(&offices[i].reactor);
	}
}

static unsigned self_mails, hook_calls, wake_calls;

static void
self_deliver(void *cookie, struct mail *first)
{
	struct reactor_mailbox *box = cookie;

	assert_null(first->next);
	if (++self_mails < 100)
		mail_post(&box->box, first);
	else
		reactor_stop(container_of(box, struct office, in)->reactor);
}

static bool
hook_three_times(void *cookie)
{
	(void)cookie;
	return ++hook_calls < 3;
}

/* The beginning of a turn comes before its end. */
static void
count_wake(void *cookie)
{
	(void)cookie;
	wake_calls++;
	assert_true(wake_calls > hook_calls);
}

static void
mail_to_oneself_and_hooks_keep_it_awake(void **state)
{
	struct office o = {0};
	struct mail mail;

	(void)state;
	o.reactor = reactor_create(0);
	reactor_add_mailbox(o.reactor, &o.in, self_deliver, &o.in);
	reactor_on_turn(o.reactor, hook_three_times, NULL);
	reactor_on_wake(o.reactor, count_wake, NULL);
	mail_post(&o.in.box, &mail);
	reactor_run(o.reactor); /* would hang if anything waited for an event */
	assert_int_equal(self_mails, 100);
	assert_true(hook_calls >= 3);
	assert_int_equal(wake_calls, hook_calls);
	reactor_destroy(&o.reactor);
	assert_null(o.reactor);
}

static void
a_stop_before_the_run_counts(void **state)
{
	struct reactor *r = reactor_create(7);

	(void)state;
	assert_int_equal(reactor_index(r), 7);
	reactor_stop(r);
	reactor_run(r);
	reactor_destroy(&r);
	reactor_destroy(&r);
}

static struct reactor *signalled;
static volatile sig_atomic_t woken;

static void
on_signal(int number)
{
	(void)number;
	woken = 1;
	reactor_wake(signalled);
}

static bool
stop_when_woken(void *cookie)
{
	if (woken != 0)
		reactor_stop(cookie);
	return false;
}

static void *
kill_main(void *cookie)
{
	assert_int_equal(pthread_kill(*(pthread_t *)cookie, SIGUSR1), 0);
	return NULL;
}

static void
a_signal_handler_may_wake_it(void **state)
{
	struct sigaction action = { .sa_handler = on_signal }, before;
	pthread_t self = pthread_self(), killer;

	(void)state;
	signalled = reactor_create(0);
	reactor_on_turn(signalled, stop_when_woken, signalled);
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	assert_int_equal(pthread_create(&killer, NULL, kill_main, &self), 0);
	reactor_run(signalled);
	(void)pthread_join(killer, NULL);
	assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
	reactor_destroy(&signalled);
}

static struct probe timed;
static struct reactor *timed_reactor;

static void
timed_out(struct timer *timer)
{
	(void)timer;
	reactor_stop(timed_reactor);
}

static void
timers_fire_and_the_run_closes_what_is_open(void **state)
{
	struct timer timer = {0};
	uint64_t began;
	int client;

	(void)state;
	timed_reactor = reactor_create(0);
	client = tcp_probe(timed_reactor, &timed);
	began = reactor_now_ms(timed_reactor);
	timer_set(timed_reactor, &timer, began + 50, timed_out);
	reactor_run(timed_reactor);
	assert_true(reactor_now_ms(timed_reactor) >= began + 50);
	assert_int_equal(timed.closed, 1);
	assert_int_equal(timed.reason, CLOSE_SHUTDOWN);
	assert_int_equal(reactor_conn_count(timed_reactor), 0);
	reactor_destroy(&timed_reactor);
	(void)close(client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_reactors_write_to_each_other_in_order),
		cmocka_unit_test(mail_to_oneself_and_hooks_keep_it_awake),
		cmocka_unit_test(a_stop_before_the_run_counts),
		cmocka_unit_test(a_signal_handler_may_wake_it),
		cmocka_unit_test(timers_fire_and_the_run_closes_what_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
