/* SPDX-License-Identifier: MIT */
/*
 * Several nodes in a world without threads and clocks: each is a world of shards (chat_world.h) with
 * connections of its own, all on one memory store, joined by a bus that brings rings late, in another
 * order among senders, twice or never, and says most of what it lost.  A seed picks the order of
 * everything.
 */
#ifndef CHAT_CLUSTER_WORLD_H
#define CHAT_CLUSTER_WORLD_H

#include "base/list.h"
#include "base/map.h"
#include "chat/chat_world.h"

enum { NODES_MAX = 3 };

struct node {
	struct world w;
	struct cluster_sim *sim;
	char name[8];
	unsigned number;
	bool up;
	struct map wanted[3]; /* by scope: how often each channel is wanted, plus one */
	struct map open[3];   /* those that are heard */
	bool owed;            /* something was lost, and this node does not know yet */
};

struct cluster_sim {
	struct driver *store;
	struct node nodes[NODES_MAX];
	unsigned count;
	uint32_t seed;
	uint64_t real_ms;
	struct list flights; /* what is on its way, oldest first */
	size_t flight_count;
	unsigned loses;   /* one ring in so many is lost, and that is said; 0: none */
	unsigned silent;  /* the same, and never said */
	unsigned repeats; /* one in so many comes twice */
	bool mixes;       /* rings of one sender change places */
	bool cut;         /* the bus is away: all is lost */
};

unsigned sim_pick(struct cluster_sim *sim, unsigned bound);
void sim_open(struct cluster_sim *sim, uint32_t seed, unsigned count);
void sim_close(struct cluster_sim *sim);
/* One step of one node, or of the bus. */
void sim_step(struct cluster_sim *sim);
/* Until nothing moves; no time passes. */
void sim_settle(struct cluster_sim *sim);
/* Time passes for everybody, a second at a time, and all settles. */
void sim_pass(struct cluster_sim *sim, unsigned seconds);
/* A node dies: what waits for the store is done or not, and nobody hears.  Its links are gone. */
void sim_kill(struct cluster_sim *sim, unsigned number);
void sim_start(struct cluster_sim *sim, unsigned number);
/* The bus comes back, or goes. */
void sim_cut(struct cluster_sim *sim, bool cut);
/* A link on a shard that the number picks. */
struct link *sim_link(struct cluster_sim *sim, unsigned node, unsigned shard);
/* Settles, and what the request was answered. */
enum err sim_answered(struct cluster_sim *sim, struct link *link, unsigned wanted);
enum err sim_register(struct cluster_sim *sim, struct link *link, const char *name);
enum err sim_resume(struct cluster_sim *sim, struct link *link, const char *token);

#endif
