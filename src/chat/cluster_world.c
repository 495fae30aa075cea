/* SPDX-License-Identifier: MIT */
#include "chat/cluster_world.h"

#include "base/mem.h"
#include "store/driver.h"

struct flight {
	struct list link;
	unsigned from, to;
	enum { FLIGHT_RING, FLIGHT_OPENED, FLIGHT_LOST, FLIGHT_UP, FLIGHT_DOWN } what;
	enum ring_scope scope;
	uint64_t id;
	slice bytes; /* owned */
};

unsigned
sim_pick(struct cluster_sim *sim, unsigned bound)
{
	sim->seed = sim->seed * 1664525u + 1013904223u;
	return (sim->seed >> 8) % bound;
}

static uint64_t
sim_now(void *cookie)
{
	const struct cluster_sim *sim = cookie;

	return sim->real_ms;
}

static struct flight *
flight_add(struct cluster_sim *sim, unsigned from, unsigned to)
{
	struct flight *flight = mem_zalloc(sizeof(*flight));

	flight->from = from;
	flight->to = to;
	list_push_back(&sim->flights, &flight->link);
	sim->flight_count++;
	return flight;
}

static void
flight_end(struct cluster_sim *sim, struct flight *flight)
{
	list_remove(&flight->link);
	mem_free((void *)(uintptr_t)flight->bytes.ptr);
	mem_free(flight);
	sim->flight_count--;
}

/* --- What nodes give to the bus --- */

static void
ring_to(struct node *from, struct node *to, enum ring_scope scope, uint64_t id, slice bytes)
{
	struct cluster_sim *sim = from->sim;
	bool lost = sim->cut || (sim->loses != 0 && sim_pick(sim, sim->loses) == 0);
	unsigned copies = 1;

	if (lost) {
		to->owed = true;
		return;
	}
	if (sim->silent != 0 && sim_pick(sim, sim->silent) == 0)
		return;
	if (sim->repeats != 0 && sim_pick(sim, sim->repeats) == 0)
		copies = 2;
	while (copies-- > 0) {
		struct flight *flight = flight_add(sim, from->number, to->number);
		char *copy = mem_alloc(bytes.len + 1);

		memcpy(copy, bytes.ptr, bytes.len);
		flight->scope = scope;
		flight->id = id;
		flight->bytes = slice_of(copy, bytes.len);
	}
}

static void
node_ring(void *cookie, enum ring_scope scope, uint64_t id, slice bytes)
{
	struct node *from = cookie;

	assert_true(bytes.len > 0);
	for (unsigned i = 0; from->up && i < from->sim->count; i++) {
		struct node *to = &from->sim->nodes[i];

		if (to != from && to->up &&
		    (scope == RING_ALL || map_get(&to->open[scope], id) != NULL))
			ring_to(from, to, scope, id, bytes);
	}
}

static void
node_interest(void *cookie, enum ring_scope scope, uint64_t id, bool wanted)
{
	struct node *node = cookie;
	uintptr_t count = (uintptr_t)map_get(&node->wanted[scope], id);
	struct flight *flight;

	if (!node->up)
		return;
	if (count == 0)
		count = 1;
	assert_true(wanted || count > 1);
	count = wanted ? count + 1 : count - 1;
	map_put(&node->wanted[scope], id, (void *)count);
	if (wanted) {
		flight = flight_add(node->sim, node->number, node->number);
		flight->what = FLIGHT_OPENED;
		flight->scope = scope;
		flight->id = id;
	} else if (count == 1 && sim_pick(node->sim, 2) == 0) {
		(void)map_remove(&node->open[scope], id);
	}
}

/* --- What the bus gives to nodes --- */

static void
post_all(
    struct node *node, struct mail *(*make)(const struct flight *), const struct flight *flight)
{
	for (unsigned i = 0; i < node->w.shard_count; i++)
		world_post(&node->w, i, make(flight));
}

static struct mail *
make_heard(const struct flight *flight)
{
	char name[8];

	(void)snprintf(name, sizeof(name), "n%u", flight->from);
	return ring_heard(flight->scope, flight->id, slice_str(name), flight->bytes);
}

static struct mail *
make_lost(const struct flight *flight)
{
	(void)flight;
	return ring_lost();
}

static struct mail *
make_node(const struct flight *flight)
{
	char name[8];

	(void)snprintf(name, sizeof(name), "n%u", flight->from);
	return ring_node(slice_str(name), flight->what == FLIGHT_UP);
}

static void
node_take(struct node *node, const struct flight *flight)
{
	unsigned home = shard_home(flight->id, node->w.shard_count);

	switch (flight->what) {
	case FLIGHT_RING:
		if (flight->scope == RING_ALL)
			post_all(node, make_heard, flight);
		else
			world_post(&node->w, home, make_heard(flight));
		break;
	case FLIGHT_OPENED:
		if ((uintptr_t)map_get(&node->wanted[flight->scope], flight->id) < 2)
			break;
		map_put(&node->open[flight->scope], flight->id, node);
		world_post(&node->w, home, ring_opened(flight->scope, flight->id));
		break;
	case FLIGHT_LOST:
		node->owed = false;
		post_all(node, make_lost, flight);
		break;
	case FLIGHT_UP:
	case FLIGHT_DOWN:
		post_all(node, make_node, flight);
		break;
	}
}

/* The oldest of one pair of nodes, or any one if they mix. */
static struct flight *
flight_pick(struct cluster_sim *sim)
{
	struct list *at = sim->flights.next;
	struct flight *picked, *flight;

	for (unsigned skip = sim_pick(sim, (unsigned)sim->flight_count); skip > 0; skip--)
		at = at->next;
	picked = container_of(at, struct flight, link);
	for (at = sim->flights.next; !sim->mixes; at = at->next) {
		flight = container_of(at, struct flight, link);
		if (flight->from == picked->from && flight->to == picked->to)
			return flight;
	}
	return picked;
}

/* False: nothing was on its way. */
static bool
bus_step(struct cluster_sim *sim)
{
	struct flight *flight;

	for (unsigned i = 0; i < sim->count && !sim->cut; i++)
		if (sim->nodes[i].owed && sim->nodes[i].up && sim_pick(sim, 50) == 0) {
			flight = flight_add(sim, i, i);
			flight->what = FLIGHT_LOST;
			sim->nodes[i].owed = false;
		}
	if (sim->flight_count == 0)
		return false;
	flight = flight_pick(sim);
	if (sim->nodes[flight->to].up)
		node_take(&sim->nodes[flight->to], flight);
	flight_end(sim, flight);
	return true;
}

static void
nodes_meet(struct cluster_sim *sim, unsigned number, bool up)
{
	for (unsigned i = 0; i < sim->count; i++) {
		if (i == number || !sim->nodes[i].up)
			continue;
		flight_add(sim, number, i)->what = up ? FLIGHT_UP : FLIGHT_DOWN;
		if (up && sim->nodes[number].up)
			flight_add(sim, i, number)->what = FLIGHT_UP;
	}
}

void
sim_cut(struct cluster_sim *sim, bool cut)
{
	sim->cut = cut;
	for (unsigned i = 0; i < sim->count; i++)
		for (unsigned k = 0; k < sim->count; k++)
			if (i != k && sim->nodes[i].up && sim->nodes[k].up)
				flight_add(sim, i, k)->what = cut ? FLIGHT_DOWN : FLIGHT_UP;
	for (unsigned i = 0; i < sim->count; i++)
		sim->nodes[i].owed = true;
}

/* --- Nodes --- */

void
sim_start(struct cluster_sim *sim, unsigned number)
{
	struct node *node = &sim->nodes[number];
	struct world_node world = {.store = sim->store,
	    .name = node->name,
	    .shards = WORLD_SHARDS - number % WORLD_SHARDS,
	    .cookie = node,
	    .ring = node_ring,
	    .interest = node_interest};

	node->sim = sim;
	node->number = number;
	(void)snprintf(node->name, sizeof(node->name), "n%u", number);
	world_open_node(&node->w, sim->seed + number, &world);
	node->w.mono_ms = 1000 + 100000 * number; /* clocks have nothing to do with each other */
	node->w.real_ms = sim->real_ms;
	node->up = true;
	nodes_meet(sim, number, true);
}

static void
node_forget(struct node *node)
{
	for (unsigned scope = 0; scope < LEN(node->wanted); scope++) {
		map_fini(&node->wanted[scope]);
		map_fini(&node->open[scope]);
	}
}

void
sim_kill(struct cluster_sim *sim, unsigned number)
{
	struct node *node = &sim->nodes[number];

	for (unsigned steps = sim_pick(sim, 3); steps > 0; steps--)
		(void)store_step(&node->w); /* committed, and nobody knows */
	node->up = false;
	node->w.dead = true;
	nodes_meet(sim, number, false);
	world_close(&node->w);
	node_forget(node);
}

void
sim_open(struct cluster_sim *sim, uint32_t seed, unsigned count)
{
	struct driver_options options = {
	    .path = "", .readers = 1, .now_ms = sim_now, .cookie = sim};
	char error[200];

	*sim = (struct cluster_sim){.seed = seed, .count = count, .real_ms = 1700000000000u};
	list_init(&sim->flights);
	sim->store = memory_driver.open(&options, error, sizeof(error));
	assert_non_null(sim->store);
	for (unsigned i = 0; i < count; i++)
		sim_start(sim, i);
	sim_pass(sim, 3);
}

void
sim_close(struct cluster_sim *sim)
{
	for (unsigned i = 0; i < sim->count; i++)
		if (sim->nodes[i].up) {
			world_close(&sim->nodes[i].w);
			node_forget(&sim->nodes[i]);
		}
	while (!list_empty(&sim->flights))
		flight_end(sim, container_of(sim->flights.next, struct flight, link));
	sim->store->type->close(&sim->store);
}

void
sim_step(struct cluster_sim *sim)
{
	unsigned which = sim_pick(sim, sim->count + 1);

	if (which == sim->count)
		(void)bus_step(sim);
	else if (sim->nodes[which].up)
		step(&sim->nodes[which].w);
}

void
sim_settle(struct cluster_sim *sim)
{
	bool moved = true;

	for (unsigned turns = 0; moved; turns++) {
		assert_true(turns < 200000);
		moved = bus_step(sim);
		for (unsigned i = 0; i < sim->count; i++)
			if (sim->nodes[i].up)
				moved = world_round(&sim->nodes[i].w) || moved;
		moved = moved || sim->flight_count > 0;
	}
}

void
sim_pass(struct cluster_sim *sim, unsigned seconds)
{
	sim_settle(sim);
	for (; seconds > 0; seconds--) {
		sim->real_ms += 1000;
		for (unsigned i = 0; i < sim->count; i++) {
			if (!sim->nodes[i].up)
				continue;
			if (sim->nodes[i].owed && !sim->cut)
				flight_add(sim, i, i)->what = FLIGHT_LOST;
			world_pass(&sim->nodes[i].w, 1000);
		}
		sim_settle(sim);
	}
}

struct link *
sim_link(struct cluster_sim *sim, unsigned node, unsigned shard)
{
	struct world *w = &sim->nodes[node].w;

	return link_open(w, shard % w->shard_count);
}

enum err
sim_answered(struct cluster_sim *sim, struct link *link, unsigned wanted)
{
	const struct told *told;

	sim_settle(sim);
	told = answer_to(link, wanted);
	assert_non_null(told);
	return told->err;
}

enum err
sim_register(struct cluster_sim *sim, struct link *link, const char *name)
{
	enum err err = do_register(link, name, true);

	sim_settle(sim);
	return err;
}

enum err
sim_resume(struct cluster_sim *sim, struct link *link, const char *token)
{
	struct resume_command cmd = {.token = slice_str(token)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	cmd.sync = (struct sync_command){.given = true, .backlog = 500};
	chat_resume(link->peer, &t, &cmd);
	return sim_answered(sim, link, n);
}
