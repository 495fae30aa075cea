/* SPDX-License-Identifier: MIT */
/*
 * The other nodes, by what their beacons say.  Tells of their coming and going, and notices what
 * says that rings may have been missed: a beacon that is missing between two, a node that had to
 * drop rings, one that began anew, one that is silent.  No clock, no socket; the bus's thread.
 *
 *   heard of ─ node_up ─ 3 s silent: rings may be missing ─ 5 s: node_down, forgotten
 *
 * Rings make a node known as well as a beacon does, since what they say is to end with it; but only
 * beacons say that it is still there.
 *
 * While this node does not even hear itself it can't judge others: their silence counts from when
 * it hears again.  After 30 s of that those that are not heard are down all the same.
 */
#ifndef BUS_PEERS_H
#define BUS_PEERS_H

#include "base/map.h"
#include "bus/bus.h"
#include "bus/envelope.h"

enum {
	BEACON_PERIOD_MS = 500,
	PEER_SILENT_MS = 3000,
	PEER_LEASE_MS = 5000,
	PEERS_BLIND_MS = 30000,
	LIMIT_PEERS = 1024, /* nodes more than these are not heard, and counted */
};

struct peers {
	const struct bus_options *options; /* borrowed: whom to tell */
	struct smap by_node;               /* owned struct peer */
	uint64_t seeing_ms;                /* when this node last heard itself */
	uint64_t twin_ms; /* when another process with this node's name was last heard */
	bool saw;         /* at the last tick */
	bool missed;      /* rings may be missing; whoever tells of it resets it */
};

void peers_init(struct peers *peers, const struct bus_options *options, uint64_t now_ms);
void peers_fini(struct peers *peers);
/* A beacon or a good-bye of another process. */
void peers_hear(struct peers *peers, const struct envelope *envelope, uint64_t now_ms);
/* Rings of another process, before anybody is told of them.  False: they are not to be heard. */
bool peers_rings(struct peers *peers, const struct envelope *envelope, uint64_t now_ms);
/* Often: ends leases.  sees: this node hears itself. */
void peers_tick(struct peers *peers, bool sees, uint64_t now_ms);
unsigned peers_count(const struct peers *peers);
/* Another process with this node's name is there. */
bool peers_twin(const struct peers *peers, uint64_t now_ms);

#endif
