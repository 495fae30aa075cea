/* SPDX-License-Identifier: MIT */
/* Redis that dies, is wedged, slow, late, or another one by now; and nodes that die. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "bus/bus_world.h"

static void
flushed_redis_loses_nothing(void **state)
{
	struct node a, b;

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 1);
	REDIS(*state, "FLUSHALL");
	bus_ring(a.bus, RING_CONV, 1, S("after"));
	node_wait_heard(&b, RING_CONV, 1, "after");
	assert_true(bus_health(b.bus).looped);
	node_close(&b);
	node_close(&a);
}

static void
a_killed_subscription_is_made_anew_and_told(void **state)
{
	uint64_t connects;
	struct node a, b;
	size_t lost;

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 1);
	lost = node_count(&b, 'l');
	connects = counted(STAT_BUS_CONNECTS);
	REDIS(*state, "CLIENT", "KILL", "TYPE", "pubsub");
	wait_counted(STAT_BUS_CONNECTS, connects + 1);
	node_wait_more(&b, 'l', lost);
	node_wait_health(&a, true, 1);
	node_wait_health(&b, true, 1);
	/* Without being asked for again. */
	bus_ring(a.bus, RING_CONV, 1, S("again"));
	node_wait_heard(&b, RING_CONV, 1, "again");
	assert_int_equal(node_count(&b, 'd'), 0);
	node_close(&b);
	node_close(&a);
}

/* The publisher's connections alone break: the other must learn of it, whose own are well. */
static void
what_a_publisher_lost_is_told_to_the_others(void **state)
{
	const struct redis_server *server = *state;
	char *bytes = mem_zalloc(60000);
	struct node a, b;
	size_t lost;

	REDIS(server, "ACL", "SETUSER", "pa", "on", ">x", "&*", "~*", "+@all");
	node_open(&a, "a", "redis://pa:x@127.0.0.1:%d", server->port);
	node_open(&b, "b", NODE_URL, server->port);
	node_wait_health(&a, true, 1);
	node_wait_health(&b, true, 1);
	node_ring_until_heard(&b, &a, RING_ALL, 0, "settled");
	lost = node_count(&b, 'l');
	/* Until it is cut while something is on its way. */
	while (node_count(&b, 'l') == lost) {
		for (int i = 0; i < 100; i++)
			bus_ring(a.bus, RING_USER, 3, slice_of(bytes, 60000));
		REDIS(server, "CLIENT", "KILL", "USER", "pa");
		node_wait_health(&a, true, 1);
		node_ring_until_heard(&a, &b, RING_ALL, 0, "again");
		node_forget(&a);
	}
	assert_true(counted(STAT_BUS_DROP_BROKEN) > 0);
	assert_int_equal(node_count(&b, 'd'), 0);
	node_close(&b);
	node_close(&a);
	mem_free(bytes);
}

static void
a_subscriber_that_reads_too_slowly_is_told(void **state)
{
	struct node a, b;
	char *bytes = mem_zalloc(64 * 1024);
	size_t lost;

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 1);
	/* Redis closes whoever has more than that waiting. */
	REDIS(*state, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 64kb 1");
	lost = node_count(&b, 'l');
	memset(bytes, 'x', 64 * 1024);
	while (node_count(&b, 'l') == lost) {
		for (int i = 0; i < 32; i++)
			bus_ring(a.bus, RING_CONV, 1, slice_of(bytes, 60000));
		nap();
	}
	REDIS(*state, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60");
	node_ring_until_heard(&a, &b, RING_CONV, 1, "well again");
	node_close(&b);
	node_close(&a);
	mem_free(bytes);
}

static void
a_pause_is_survived(void **state)
{
	struct node a, b;

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 1);
	REDIS(*state, "CLIENT", "PAUSE", "3000", "ALL");
	bus_ring(a.bus, RING_CONV, 1, S("paused"));
	node_wait_heard(&b, RING_CONV, 1, "paused");
	node_wait_health(&a, true, 1);
	/* Nobody was taken for dead. */
	assert_int_equal(node_count(&b, 'd'), 0);
	node_close(&b);
	node_close(&a);
}

static void
a_slow_redis_is_visible_and_survived(void **state)
{
	struct node a, b;

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 1);
	REDIS(*state, "DEBUG", "SLEEP", "4");
	node_wait_health(&a, true, 1);
	node_ring_until_heard(&a, &b, RING_CONV, 1, "awake");
	assert_int_equal(node_count(&b, 'd'), 0);
	node_close(&b);
	node_close(&a);
}

static void
a_wedged_redis_is_visible_and_left(void **state)
{
	struct node a, b;
	size_t lost;

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 1);
	redis_kill(*state, SIGSTOP);
	lost = node_count(&b, 'l');
	node_wait_why(&b, "does not come back");
	node_wait_more(&b, 'l', lost);
	node_wait_why(&b, "does not answer");
	assert_false(bus_health(b.bus).connected);
	lost = node_count(&b, 'l');
	redis_kill(*state, SIGCONT);
	node_wait_health(&a, true, 1);
	node_wait_health(&b, true, 1);
	node_wait_more(&b, 'l', lost);
	node_ring_until_heard(&a, &b, RING_CONV, 1, "back");
	node_close(&b);
	node_close(&a);
}

static void
a_restarted_redis_is_found_again(void **state)
{
	struct redis_server *server = *state;
	struct node a, b;
	size_t lost;

	node_pair(server, &a, &b);
	node_want(&b, RING_CONV, 1);
	node_want(&b, RING_USER, 1);
	redis_kill(server, SIGKILL);
	node_wait_health(&b, false, 1);
	assert_non_null(bus_health(b.bus).why);
	/* Interest that comes meanwhile is not forgotten. */
	bus_interest(b.bus, RING_CONV, 2, true);
	lost = node_count(&b, 'l');
	redis_start(server);
	node_wait_health(&a, true, 1);
	node_wait_health(&b, true, 1);
	node_wait_more(&b, 'l', lost);
	node_wait_opened(&b, RING_CONV, 2);
	bus_ring(a.bus, RING_CONV, 1, S("one"));
	bus_ring(a.bus, RING_CONV, 2, S("two"));
	bus_ring(a.bus, RING_USER, 1, S("three"));
	node_wait_heard(&b, RING_CONV, 1, "one");
	node_wait_heard(&b, RING_CONV, 2, "two");
	node_wait_heard(&b, RING_USER, 1, "three");
	node_close(&b);
	node_close(&a);
}

static void
redis_may_come_later(void **state)
{
	struct redis_server *server = *state;
	uint64_t dropped = counted(STAT_BUS_DROP_DOWN);
	struct node a, b;

	node_open(&a, "a", NODE_URL, server->port);
	node_open(&b, "b", NODE_URL, server->port);
	bus_interest(b.bus, RING_CONV, 9, true);
	node_wait_why(&a, "can't be reached");
	/* What waits too long is dropped. */
	bus_ring(a.bus, RING_CONV, 9, S("too early"));
	wait_counted(STAT_BUS_DROP_DOWN, dropped);
	redis_start(server);
	node_wait_health(&a, true, 1);
	node_wait_opened(&b, RING_CONV, 9);
	node_ring_until_heard(&a, &b, RING_CONV, 9, "there");
	assert_false(node_heard(&b, "too early"));
	node_close(&b);
	node_close(&a);
}

static void
the_queue_is_bounded(void **state)
{
	uint64_t dropped = counted(STAT_BUS_DROP_FULL);
	char *bytes = mem_zalloc(64 * 1024);
	struct node a;

	/* Nothing takes it: there is no Redis. */
	node_open(&a, "a", NODE_URL, ((struct redis_server *)*state)->port);
	for (int i = 0; i < 200; i++)
		bus_ring(a.bus, RING_ALL, 0, slice_of(bytes, 64 * 1024));
	assert_true(counted(STAT_BUS_DROP_FULL) > dropped);
	node_close(&a);
	mem_free(bytes);
}

/* What the program is when it has an argument: a node that ends with its parent, or before. */
static _Noreturn void
be_a_node(int port)
{
	struct node node;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	node_open(&node, "b", NODE_URL, port);
	for (;;)
		(void)pause();
}

static void
a_node_that_dies_is_down_when_its_lease_ends(void **state)
{
	const struct redis_server *server = *state;
	struct node a;
	char port[8];
	pid_t child;

	node_open(&a, "a", NODE_URL, server->port);
	(void)snprintf(port, sizeof(port), "%d", server->port);
	child = fork();
	if (child == 0) {
		(void)execl("/proc/self/exe", "bus_fault_test", port, (char *)NULL);
		_exit(127);
	}
	node_wait_up(&a, "b");
	(void)kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	node_wait_down(&a, "b");
	node_close(&a);
}

/* Whatever a node is told of one, it is told of its end: nothing that was learned from it is kept. */
static void
a_node_that_only_rang_is_down_when_its_lease_ends(void **state)
{
	const struct redis_server *server = *state;
	struct node a;
	size_t at = 0;

	node_open(&a, "a", NODE_URL, server->port);
	node_wait_health(&a, true, 0);
	redis_ring_as(server, "b", RING_ALL, 0, "who is here");
	node_wait_heard(&a, RING_ALL, 0, "who is here");
	node_wait_down(&a, "b");
	/* First that it is there, then what it says. */
	while (a.notes[at].what != 'u' && a.notes[at].what != 'h')
		at++;
	assert_int_equal(a.notes[at].what, 'u');
	assert_string_equal(a.notes[at].node, "b");
	node_wait_health(&a, true, 0);
	node_close(&a);
}

/* --- Sentinel --- */

/* A replica, and a Sentinel that watches the master. */
static void
start_sentinel(
    const struct redis_server *master, struct redis_server *replica, struct redis_server *sentinel)
{
	redis_prepare(replica);
	(void)snprintf(replica->extra, sizeof(replica->extra),
	    "replicaof 127.0.0.1 %d\n"
	    "repl-ping-replica-period 1",
	    master->port);
	redis_start(replica);
	redis_prepare(sentinel);
	sentinel->sentinel = true;
	(void)snprintf(sentinel->extra, sizeof(sentinel->extra),
	    "sentinel monitor confab 127.0.0.1 %d 1\n"
	    "sentinel down-after-milliseconds confab 1000\n"
	    "sentinel failover-timeout confab 5000",
	    master->port);
	redis_start(sentinel);
	redis_wait_elements(
	    sentinel, 1, (const char *const[]){"SENTINEL", "REPLICAS", "confab", NULL});
	/* Until the replica has what the master has it may not take over. */
	redis_wait_text(
	    replica, "master_link_status:up", (const char *const[]){"INFO", "replication", NULL});
}

static void
sentinels_say_where_the_master_is(void **state)
{
	struct redis_server *master = *state, replica = {0}, sentinel = {0};
	const char *url = "redis://127.0.0.1:1,127.0.0.1:%d?sentinel=confab";
	struct node a, b;
	size_t lost;

	start_sentinel(master, &replica, &sentinel);
	node_open(&a, "a", url, sentinel.port);
	node_open(&b, "b", url, sentinel.port);
	node_wait_health(&a, true, 1);
	node_wait_health(&b, true, 1);
	node_want(&b, RING_CONV, 1);
	lost = node_count(&b, 'l');
	redis_kill(master, SIGKILL);
	node_wait_health(&b, false, 1);
	node_wait_health(&b, true, 1);
	node_wait_health(&a, true, 1);
	node_wait_more(&b, 'l', lost);
	bus_ring(a.bus, RING_CONV, 1, S("from the new master"));
	node_wait_heard(&b, RING_CONV, 1, "from the new master");
	assert_int_equal(node_count(&b, 'd'), 0);
	node_close(&b);
	node_close(&a);
	redis_end(&sentinel);
	redis_end(&replica);
}

static void
sentinels_that_know_no_such_master_are_no_help(void **state)
{
	const struct redis_server *master = *state;
	struct redis_server sentinel = {.sentinel = true};
	struct node a, b;

	redis_prepare(&sentinel);
	(void)snprintf(sentinel.extra, sizeof(sentinel.extra),
	    "sentinel monitor other 127.0.0.1 %d 1", master->port);
	node_open(&a, "a", "redis://127.0.0.1:%d?sentinel=confab", sentinel.port);
	node_open(&b, "b", "redis://127.0.0.1:%d?sentinel=other", sentinel.port);
	node_wait_why(&a, "can't be reached");
	redis_start(&sentinel);
	node_wait_why(&a, "knows no master");
	node_wait_health(&b, true, 0);
	node_close(&b);
	node_close(&a);
	redis_end(&sentinel);
}

#define R(test) cmocka_unit_test_setup_teardown(test, redis_setup, redis_teardown)
#define N(test) cmocka_unit_test_setup_teardown(test, redis_setup_absent, redis_teardown)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    R(flushed_redis_loses_nothing),
	    R(a_killed_subscription_is_made_anew_and_told),
	    R(what_a_publisher_lost_is_told_to_the_others),
	    R(a_subscriber_that_reads_too_slowly_is_told),
	    R(a_pause_is_survived),
	    R(a_slow_redis_is_visible_and_survived),
	    R(a_wedged_redis_is_visible_and_left),
	    R(a_restarted_redis_is_found_again),
	    N(redis_may_come_later),
	    N(the_queue_is_bounded),
	    R(a_node_that_dies_is_down_when_its_lease_ends),
	    R(a_node_that_only_rang_is_down_when_its_lease_ends),
	    R(sentinels_say_where_the_master_is),
	    R(sentinels_that_know_no_such_master_are_no_help),
	};

	if (argc > 1)
		be_a_node((int)strtol(argv[1], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
