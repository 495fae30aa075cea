/* SPDX-License-Identifier: MIT */
#include "bus/peers.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"

struct peer {
	char node[NODE_NAME_MAX_BYTES];
	size_t node_len;
	uint64_t boot;
	uint64_t seq, drops; /* of its last beacon; 0 before the first */
	uint64_t heard_ms;
	bool silent; /* told of as missed already */
};

void
peers_init(struct peers *peers, const struct bus_options *options, uint64_t now_ms)
{
	*peers = (struct peers){.options = options, .seeing_ms = now_ms, .saw = true};
}

void
peers_fini(struct peers *peers)
{
	size_t at = 0;

	gauge_add(GAUGE_BUS_PEERS, -(int64_t)peers->by_node.count);
	for (struct peer *p; (p = smap_next(&peers->by_node, &at)) != NULL;)
		mem_free(p);
	smap_fini(&peers->by_node);
}

unsigned
peers_count(const struct peers *peers)
{
	return (unsigned)peers->by_node.count;
}

bool
peers_twin(const struct peers *peers, uint64_t now_ms)
{
	return peers->twin_ms != 0 && now_ms - peers->twin_ms < PEER_LEASE_MS;
}

static slice
peer_name(const struct peer *peer)
{
	return slice_of(peer->node, peer->node_len);
}

static void
peer_up(struct peers *peers, const struct peer *peer)
{
	log_info("bus", "node_up", "peer=%.*s boot=%016llx", SLICE_ARG(peer_name(peer)),
	    (unsigned long long)peer->boot);
	peers->missed = true;
	peers->options->node_up(peers->options->cookie, peer_name(peer), peer->boot);
}

/* What it said last may not have been heard either. */
static void
peer_down(struct peers *peers, struct peer *peer, enum log_level level, const char *why)
{
	(void)smap_remove(&peers->by_node, peer_name(peer));
	gauge_add(GAUGE_BUS_PEERS, -1);
	log_event(level, "bus", "node_down", "peer=%.*s why=%s", SLICE_ARG(peer_name(peer)), why);
	peers->missed = true;
	peers->options->node_down(peers->options->cookie, peer_name(peer));
	mem_free(peer);
}

/* False if there are too many. */
static bool
peer_begin(struct peers *peers, const struct envelope *e, uint64_t now_ms)
{
	struct peer *peer;

	if (peers->by_node.count >= LIMIT_PEERS) {
		stat_add(STAT_BUS_REJECT_PEERS, 1);
		return false;
	}
	peer = mem_zalloc(sizeof(*peer));
	memcpy(peer->node, e->node.ptr, e->node.len);
	peer->node_len = e->node.len;
	peer->boot = e->boot;
	if (e->kind == ENVELOPE_BEACON) {
		peer->seq = e->seq;
		peer->drops = e->drops;
	}
	peer->heard_ms = now_ms;
	smap_put(&peers->by_node, peer_name(peer), peer);
	gauge_add(GAUGE_BUS_PEERS, 1);
	peer_up(peers, peer);
	return true;
}

static void
peer_beacon(struct peers *peers, struct peer *peer, const struct envelope *e, uint64_t now_ms)
{
	bool other = peer->boot != e->boot;

	if (!other && e->seq <= peer->seq)
		return; /* old news */
	if (!other && (e->seq != peer->seq + 1 || e->drops != peer->drops))
		peers->missed = true;
	peer->boot = e->boot;
	peer->seq = e->seq;
	peer->drops = e->drops;
	peer->heard_ms = now_ms;
	peer->silent = false;
	if (other)
		peer_up(peers, peer);
}

static bool
is_own_name(const struct peers *peers, slice node)
{
	return slice_eq(node, slice_str(peers->options->node));
}

void
peers_hear(struct peers *peers, const struct envelope *e, uint64_t now_ms)
{
	struct peer *peer;

	if (is_own_name(peers, e->node)) {
		if (e->kind == ENVELOPE_BEACON && !peers_twin(peers, now_ms))
			log_error("bus", "same_name",
			    "node=%s boot=%016llx advice=\"another confabd has this name: give "
			    "each its own with --node\"",
			    peers->options->node, (unsigned long long)e->boot);
		peers->twin_ms = e->kind == ENVELOPE_BEACON ? now_ms : 0;
		return;
	}
	peer = smap_get(&peers->by_node, e->node);
	if (e->kind == ENVELOPE_BYE && peer != NULL && peer->boot == e->boot)
		peer_down(peers, peer, LOG_INFO, "good-bye");
	else if (e->kind == ENVELOPE_BEACON && peer == NULL)
		(void)peer_begin(peers, e, now_ms);
	else if (e->kind == ENVELOPE_BEACON)
		peer_beacon(peers, peer, e, now_ms);
}

bool
peers_rings(struct peers *peers, const struct envelope *e, uint64_t now_ms)
{
	return is_own_name(peers, e->node) || smap_get(&peers->by_node, e->node) != NULL ||
	       peer_begin(peers, e, now_ms);
}

/* Not to be judged yet: it could not be heard. */
static void
all_excused(struct peers *peers, uint64_t now_ms)
{
	size_t at = 0;

	for (struct peer *p; (p = smap_next(&peers->by_node, &at)) != NULL;)
		p->heard_ms = now_ms;
}

/* One whose lease has ended; marks those that are silent.  NULL: none. */
static struct peer *
next_ended(struct peers *peers, uint64_t now_ms)
{
	size_t at = 0;

	for (struct peer *p; (p = smap_next(&peers->by_node, &at)) != NULL;) {
		uint64_t silent_ms = now_ms - p->heard_ms;

		if (silent_ms >= PEER_LEASE_MS)
			return p;
		if (silent_ms >= PEER_SILENT_MS && !p->silent) {
			p->silent = true;
			peers->missed = true;
		}
	}
	return NULL;
}

void
peers_tick(struct peers *peers, bool sees, uint64_t now_ms)
{
	bool blind = !sees && now_ms - peers->seeing_ms > PEERS_BLIND_MS - PEER_LEASE_MS;
	struct peer *peer;

	if (!blind && !(sees && peers->saw))
		all_excused(peers, now_ms);
	peers->saw = sees;
	if (sees)
		peers->seeing_ms = now_ms;
	while ((peer = next_ended(peers, now_ms)) != NULL)
		peer_down(peers, peer, LOG_WARN, blind ? "\"nobody can be heard\"" : "silent");
}
