/* SPDX-License-Identifier: MIT */
/* Several nodes: what is said on one is heard on the others, whatever the bus does. */
#include "base/mem.h"
#include "chat/cluster_world.h"

enum { NODES = 3 };

struct people {
	struct cluster_sim sim;
	struct link *alice, *bob; /* on nodes 0 and 1 */
	uint64_t conv;
};

static void
people_open(struct people *p, uint32_t seed)
{
	unsigned n;

	sim_open(&p->sim, seed, NODES);
	p->alice = sim_link(&p->sim, 0, seed);
	p->bob = sim_link(&p->sim, 1, seed / 3);
	assert_int_equal(sim_register(&p->sim, p->alice, "alice"), ERR_OK);
	assert_int_equal(sim_register(&p->sim, p->bob, "bob"), ERR_OK);
	sim_pass(&p->sim, 2);
	n = start_send(p->alice, at("bob"), "hello", NULL);
	assert_int_equal(sim_answered(&p->sim, p->alice, n), ERR_OK);
	p->conv = answer_to(p->alice, n)->cid;
}

static void
nodes_exchange_messages(void **state)
{
	static struct people p;

	(void)state;
	for (uint32_t seed = 0; seed < 20; seed++) {
		people_open(&p, seed);
		assert_stream(p.alice, p.conv, 1, 1);
		assert_stream(p.bob, p.conv, 1, 1);
		for (unsigned i = 0; i < 20; i++) {
			(void)start_send(i % 2 ? p.alice : p.bob, cid(p.conv), "x", NULL);
			for (unsigned k = sim_pick(&p.sim, 12); k > 0; k--)
				sim_step(&p.sim);
		}
		sim_settle(&p.sim);
		assert_stream(p.alice, p.conv, 1, 21);
		assert_stream(p.bob, p.conv, 1, 21);
		sim_close(&p.sim);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nodes_exchange_messages),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
