/* SPDX-License-Identifier: MIT */
/* Nodes over a real Redis: what they hear and do not hear, and who may. */
#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "bus/bus_world.h"

/* --- Hearing --- */

static void
who_is_interested_hears(void **state)
{
	struct node a, b, c;

	node_pair(*state, &a, &b);
	node_open(&c, "c", NODE_URL, ((struct redis_server *)*state)->port);
	node_wait_health(&c, true, 2);
	node_want(&b, RING_CONV, 7);
	node_want(&c, RING_USER, 7);
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

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 1);
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
	node_pair(*state, &a, &b);
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

	node_pair(*state, &a, &b);
	node_want(&b, RING_CONV, 5);
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

	node_pair(*state, &a, &b);
	for (uint64_t id = 1; id <= CHANNELS; id++)
		bus_interest(b.bus, RING_CONV, id, true);
	node_wait_more(&b, 'o', CHANNELS - 1);
	bus_ring(a.bus, RING_CONV, CHANNELS, S("last"));
	node_wait_heard(&b, RING_CONV, CHANNELS, "last");
	node_close(&b);
	node_close(&a);
}

static void
the_last_words_are_heard(void **state)
{
	struct node a, b;

	node_pair(*state, &a, &b);
	bus_ring(a.bus, RING_ALL, 0, S("last"));
	node_close(&a);
	node_wait_heard(&b, RING_ALL, 0, "last");
	node_wait_down(&b, "a");
	assert_int_equal(bus_health(b.bus).peers, 0);
	node_close(&b);
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

	node_pair(server, &a, &b);
	node_open_as(&epoch, "x", NODE_URL, server->port, "e2", NULL);
	node_open_as(&key, "y", NODE_URL, server->port, NULL, "guessed");
	node_open(&cluster, "z", NODE_URL "?cluster=other", server->port);
	bus_ring(epoch.bus, RING_ALL, 0, S("of another life"));
	bus_ring(key.bus, RING_ALL, 0, S("with another key"));
	bus_ring(cluster.bus, RING_ALL, 0, S("on other channels"));
	REDIS(server, "PUBLISH", "confab:main:n",
	    "\1garbage that is longer than a head and a mac is, so that all is looked at");
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

	node_open(&a, "a", NODE_URL, server->port);
	node_wait_health(&a, true, 0);
	node_open(&twin, "a", NODE_URL, server->port);
	node_wait_why(&a, "same name");
	node_wait_why(&twin, "same name");
	node_close(&twin);
	while (bus_health(a.bus).why != NULL)
		nap();
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
	REDIS(server, "ACL", "SETUSER", "deaf", "reset", "on", ">deaf", "resetchannels", "-@all",
	    "+publish", "+subscribe");
	node_open(&a, "a", "redis://confab:s3cret%2F%40%3A@127.0.0.1:%d", server->port);
	node_open(&b, "b", "redis://confab:s3cret%2F%40%3A@127.0.0.1:%d", server->port);
	node_wait_health(&a, true, 1);
	node_want(&b, RING_CONV, 1);
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
	node_open(&none, "b", NODE_URL, server->port);
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

	node_open(&a, "a", NODE_URL, server->port);
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

#define R(test) cmocka_unit_test_setup_teardown(test, redis_setup, redis_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_local_bus_is_well_and_silent),
	    R(who_is_interested_hears),
	    R(rings_keep_their_order),
	    R(a_large_ring_arrives_and_a_larger_one_is_told_of),
	    R(interest_is_counted),
	    R(many_channels_are_heard),
	    R(the_last_words_are_heard),
	    R(what_is_not_of_this_cluster_is_not_heard),
	    R(two_of_one_name_are_noticed),
	    R(an_acl_user_with_the_least_rights_is_enough),
	    R(a_password_alone_is_enough),
	    R(a_replica_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
