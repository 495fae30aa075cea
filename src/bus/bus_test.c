/* SPDX-License-Identifier: MIT */
/* Nodes over a real Redis: what they hear, and what they say of what they may have missed. */
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

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/bus_world.h"

#define URL "redis://127.0.0.1:%d"

static int
with_redis(void **state)
{
	struct redis_server *server = mem_zalloc(sizeof(*server));

	redis_prepare(server);
	redis_start(server);
	*state = server;
	return 0;
}

static int
without_redis(void **state)
{
	struct redis_server *server = mem_zalloc(sizeof(*server));

	redis_prepare(server);
	*state = server;
	return 0;
}

static int
end_redis(void **state)
{
	redis_end(*state);
	mem_free(*state);
	return 0;
}

static void
two_nodes(const struct redis_server *server, struct node *a, struct node *b)
{
	node_open(a, "a", URL, server->port);
	node_open(b, "b", URL, server->port);
	node_wait_health(a, true, 1);
	node_wait_health(b, true, 1);
}

static void
want(struct node *node, enum ring_scope scope, uint64_t id)
{
	bus_interest(node->bus, scope, id, true);
	node_wait_opened(node, scope, id);
}

/* --- Hearing --- */

static void
who_is_interested_hears(void **state)
{
	struct node a, b, c;

	two_nodes(*state, &a, &b);
	node_open(&c, "c", URL, ((struct redis_server *)*state)->port);
	node_wait_health(&c, true, 2);
	want(&b, RING_CONV, 7);
	want(&c, RING_USER, 7);
	bus_ring(a.bus, RING_CONV, 7, S("conversation"));
	bus_ring(a.bus, RING_USER, 7, S("user"));
	bus_ring(a.bus, RING_CONV, 8, S("nobody"));
	bus_ring(a.bus, RING_ALL, 0, S("all"));
	node_wait_heard(&b, RING_CONV, 7, "conversation");
	node_wait_heard(&b, RING_ALL, 0, "all");
	node_wait_heard(&c, RING_USER, 7, "user");
	node_wait_heard(&c, RING_ALL, 0, "all");
	assert_false(node_heard(&b, "user") || node_heard(&c, "conversation"));
	assert_false(node_heard(&b, "nobody") || node_heard(&c, "nobody"));
	/* Nobody hears himself. */
	assert_int_equal(node_count(&a, 'h'), 0);
	node_close(&c);
	node_wait_down(&a, "c");
	node_close(&b);
	node_close(&a);
}

static void
rings_keep_their_order(void **state)
{
	enum { RINGS = 2000 };
	uint64_t publishes = counted(STAT_BUS_PUBLISHES);
	struct node a, b;
	char text[16];

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 1);
	node_forget(&b);
	for (int i = 0; i < RINGS; i++) {
		(void)snprintf(text, sizeof(text), "%d", i);
		bus_ring(a.bus, RING_CONV, 1, slice_str(text));
	}
	node_wait_more(&b, 'h', RINGS - 1);
	for (int i = 0, at = 0; i < RINGS; i++, at++) {
		while (b.notes[at].what != 'h')
			at++;
		(void)snprintf(text, sizeof(text), "%d", i);
		assert_string_equal(b.notes[at].bytes, text);
	}
	/* What waited together went together. */
	assert_true(counted(STAT_BUS_PUBLISHES) - publishes < RINGS);
	node_close(&b);
	node_close(&a);
}

static void
a_large_ring_arrives_and_a_larger_one_is_told_of(void **state)
{
	char *bytes = mem_zalloc(256 * 1024 + 1);
	uint64_t dropped = counted(STAT_BUS_DROP_SIZE);
	struct node a, b;
	size_t lost;

	memset(bytes, 'x', 256 * 1024);
	two_nodes(*state, &a, &b);
	bus_ring(a.bus, RING_ALL, 0, slice_of(bytes, 256 * 1024));
	node_wait_more(&b, 'h', 0);
	lost = node_count(&b, 'l');
	bus_ring(a.bus, RING_ALL, 0, slice_of(bytes, 256 * 1024 + 1));
	assert_int_equal(counted(STAT_BUS_DROP_SIZE), dropped + 1);
	node_wait_more(&b, 'l', lost);
	node_close(&b);
	node_close(&a);
	mem_free(bytes);
}

static void
interest_is_counted(void **state)
{
	struct node a, b;
	size_t opened;

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 5);
	opened = node_count(&b, 'o');
	bus_interest(b.bus, RING_CONV, 5, true);
	node_wait_more(&b, 'o', opened);
	bus_interest(b.bus, RING_CONV, 5, false);
	bus_ring(a.bus, RING_CONV, 5, S("one is left"));
	node_wait_heard(&b, RING_CONV, 5, "one is left");
	bus_interest(b.bus, RING_CONV, 5, false);
	opened = node_count(&b, 'o');
	bus_interest(b.bus, RING_CONV, 5, true);
	node_wait_more(&b, 'o', opened);
	node_close(&b);
	node_close(&a);
}

static void
many_channels_are_heard(void **state)
{
	enum { CHANNELS = 20000 };
	struct node a, b;

	two_nodes(*state, &a, &b);
	for (uint64_t id = 1; id <= CHANNELS; id++)
		bus_interest(b.bus, RING_CONV, id, true);
	node_wait_more(&b, 'o', CHANNELS - 1);
	bus_ring(a.bus, RING_CONV, CHANNELS, S("last"));
	node_wait_heard(&b, RING_CONV, CHANNELS, "last");
	node_close(&b);
	node_close(&a);
}

/* --- Strangers --- */

static void
what_is_not_of_this_cluster_is_not_heard(void **state)
{
	const struct redis_server *server = *state;
	struct node a, b, epoch, key, cluster;
	uint64_t of_epoch = counted(STAT_BUS_REJECT_EPOCH),
		 forged = counted(STAT_BUS_REJECT_FORGED),
		 damaged = counted(STAT_BUS_REJECT_DAMAGED);

	two_nodes(server, &a, &b);
	node_open_as(&epoch, "x", URL, server->port, "e2", NULL);
	node_open_as(&key, "y", URL, server->port, NULL, "guessed");
	node_open(&cluster, "z", URL "?cluster=other", server->port);
	bus_ring(epoch.bus, RING_ALL, 0, S("of another life"));
	bus_ring(key.bus, RING_ALL, 0, S("with another key"));
	bus_ring(cluster.bus, RING_ALL, 0, S("on other channels"));
	REDIS(server, "PUBLISH", "confab:main:n", "\1garbage that is longer than a head and a mac is, so that all is looked at");
	REDIS(server, "PUBLISH", "confab:main:n", "");
	wait_counted(STAT_BUS_REJECT_EPOCH, of_epoch);
	wait_counted(STAT_BUS_REJECT_FORGED, forged);
	wait_counted(STAT_BUS_REJECT_DAMAGED, damaged + 1);
	node_ring_until_heard(&a, &b, RING_ALL, 0, "genuine");
	assert_false(node_heard(&b, "of another life") || node_heard(&b, "with another key") ||
		     node_heard(&b, "on other channels"));
	assert_int_equal(bus_health(b.bus).peers, 1);
	/* Whose store is brought to the same life belongs to it. */
	bus_set_epoch(epoch.bus, S("e1"));
	node_wait_up(&b, "x");
	node_close(&cluster);
	node_close(&key);
	node_close(&epoch);
	node_close(&b);
	node_close(&a);
}

static void
two_of_one_name_are_noticed(void **state)
{
	const struct redis_server *server = *state;
	struct node a, twin;

	node_open(&a, "a", URL, server->port);
	node_wait_health(&a, true, 0);
	node_open(&twin, "a", URL, server->port);
	node_wait_why(&a, "same name");
	node_wait_why(&twin, "same name");
	node_close(&twin);
	while (bus_health(a.bus).why != NULL)
		nap();
	node_close(&a);
}

/* --- Faults --- */

static void
flushed_redis_loses_nothing(void **state)
{
	struct node a, b;

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 1);
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

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 1);
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

/* The publisher's connection alone breaks: the hearer must learn of it, whose own is well. */
static void
what_a_publisher_lost_is_told_to_the_others(void **state)
{
	struct node a, b;
	size_t lost;

	two_nodes(*state, &a, &b);
	lost = node_count(&b, 'l');
	for (int i = 0; i < 5000; i++)
		bus_ring(a.bus, RING_USER, 3, S("many"));
	REDIS(*state, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
	node_wait_more(&b, 'l', lost);
	node_wait_health(&b, true, 1);
	node_close(&b);
	node_close(&a);
}

static void
a_subscriber_that_reads_too_slowly_is_told(void **state)
{
	struct node a, b;
	char *bytes = mem_zalloc(64 * 1024);
	size_t lost;

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 1);
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

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 1);
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

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 1);
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

	two_nodes(*state, &a, &b);
	want(&b, RING_CONV, 1);
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

	two_nodes(server, &a, &b);
	want(&b, RING_CONV, 1);
	want(&b, RING_USER, 1);
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

	node_open(&a, "a", URL, server->port);
	node_open(&b, "b", URL, server->port);
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
	node_open(&a, "a", URL, ((struct redis_server *)*state)->port);
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
	node_open(&node, "b", URL, port);
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

	node_open(&a, "a", URL, server->port);
	(void)snprintf(port, sizeof(port), "%d", server->port);
	child = fork();
	if (child == 0) {
		(void)execl("/proc/self/exe", "bus_test", port, (char *)NULL);
		_exit(127);
	}
	node_wait_up(&a, "b");
	(void)kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	node_wait_down(&a, "b");
	node_close(&a);
}

/* --- Rights --- */

static void
an_acl_user_with_the_least_rights_is_enough(void **state)
{
	const struct redis_server *server = *state;
	struct node a, b, wrong, deaf;

	REDIS(server, "ACL", "SETUSER", "confab", "reset", "on", ">s3cret/@:", "resetchannels",
	    "&confab:main:*", "-@all", "+publish", "+subscribe", "+unsubscribe", "+role");
	REDIS(server, "ACL", "SETUSER", "deaf", "reset", "on", ">deaf", "resetchannels",
	    "-@all", "+publish", "+subscribe");
	node_open(&a, "a", "redis://confab:s3cret%2F%40%3A@127.0.0.1:%d", server->port);
	node_open(&b, "b", "redis://confab:s3cret%2F%40%3A@127.0.0.1:%d", server->port);
	node_wait_health(&a, true, 1);
	want(&b, RING_CONV, 1);
	bus_ring(a.bus, RING_CONV, 1, S("allowed"));
	node_wait_heard(&b, RING_CONV, 1, "allowed");
	node_open(&wrong, "c", "redis://confab:wrong@127.0.0.1:%d", server->port);
	node_wait_why(&wrong, "refuses the user or password");
	node_open(&deaf, "d", "redis://deaf:deaf@127.0.0.1:%d", server->port);
	node_wait_why(&deaf, "does not let the user subscribe");
	node_close(&deaf);
	node_close(&wrong);
	node_close(&b);
	node_close(&a);
}

static void
a_password_alone_is_enough(void **state)
{
	const struct redis_server *server = *state;
	struct node a, none;

	REDIS(server, "CONFIG", "SET", "requirepass", "sesame");
	node_open(&a, "a", "redis://:sesame@127.0.0.1:%d", server->port);
	node_wait_health(&a, true, 0);
	node_open(&none, "b", URL, server->port);
	node_wait_why(&none, "wants a password");
	node_close(&none);
	node_close(&a);
}

static void
a_replica_is_refused(void **state)
{
	struct redis_server *server = *state;
	struct node a;
	char port[8];

	node_open(&a, "a", URL, server->port);
	node_wait_health(&a, true, 0);
	(void)snprintf(port, sizeof(port), "%d", server->port);
	REDIS(server, "REPLICAOF", "127.0.0.1", port);
	node_wait_why(&a, "replica");
	REDIS(server, "REPLICAOF", "NO", "ONE");
	node_wait_health(&a, true, 0);
	node_close(&a);
}

/* --- One node --- */

static void
a_local_bus_is_well_and_silent(void **state)
{
	struct bus_options options = {.url = "local:", .node = "n1"};
	char error[64] = "";
	struct bus *bus = bus_open(&options, error, sizeof(error));

	(void)state;
	bus_interest(bus, RING_CONV, 1, true);
	bus_ring(bus, RING_CONV, 1, S("x"));
	bus_set_epoch(bus, S("e2"));
	assert_true(bus_health(bus).connected && bus_health(bus).looped);
	assert_null(bus_health(bus).why);
	bus_close(&bus);
}

#define R(test) cmocka_unit_test_setup_teardown(test, with_redis, end_redis)
#define N(test) cmocka_unit_test_setup_teardown(test, without_redis, end_redis)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_local_bus_is_well_and_silent),
	    R(who_is_interested_hears),
	    R(rings_keep_their_order),
	    R(a_large_ring_arrives_and_a_larger_one_is_told_of),
	    R(interest_is_counted),
	    R(many_channels_are_heard),
	    R(what_is_not_of_this_cluster_is_not_heard),
	    R(two_of_one_name_are_noticed),
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
	    R(an_acl_user_with_the_least_rights_is_enough),
	    R(a_password_alone_is_enough),
	    R(a_replica_is_refused),
	};

	if (argc > 1)
		be_a_node((int)strtol(argv[1], NULL, 10));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
