/* SPDX-License-Identifier: MIT */
/* The bus, and what it hears as mail for the shards; its thread calls these. */
#include "server/server_internal.h"

#include "base/log.h"
#include "base/panic.h"
#include "base/secret.h"
#include "server/wiring.h"

static void
post(struct server *server, unsigned shard, struct mail *mail)
{
	if (mail != NULL)
		mail_post(&server->slots[shard].chat.box, mail);
}

static unsigned
home(const struct server *server, uint64_t id)
{
	return shard_home(id, server->slot_count);
}

static void
on_heard(void *cookie, enum ring_scope scope, uint64_t id, slice node, slice bytes)
{
	struct server *server = cookie;

	if (scope != RING_ALL) {
		post(server, home(server, id), ring_heard(scope, id, node, bytes));
		return;
	}
	for (unsigned i = 0; i < server->slot_count; i++)
		post(server, i, ring_heard(scope, id, node, bytes));
}

static void
on_opened(void *cookie, enum ring_scope scope, uint64_t id)
{
	struct server *server = cookie;

	post(server, home(server, id), ring_opened(scope, id));
}

static void
on_lost(void *cookie)
{
	struct server *server = cookie;

	for (unsigned i = 0; i < server->slot_count; i++)
		post(server, i, ring_lost());
}

static void
on_node_up(void *cookie, slice node, uint64_t boot)
{
	struct server *server = cookie;

	(void)boot;
	for (unsigned i = 0; i < server->slot_count; i++)
		post(server, i, ring_node(node, true));
}

static void
on_node_down(void *cookie, slice node)
{
	struct server *server = cookie;

	for (unsigned i = 0; i < server->slot_count; i++)
		post(server, i, ring_node(node, false));
}

bool
nodes_wanted(const struct server *server)
{
	return !slice_starts(slice_str(server->started->bus), S("local:"));
}

int
nodes_open(struct server *server, char *ret_error, size_t error_size)
{
	const struct wiring *row = wiring_find(WIRING_STORE, slice_str(server->started->store));
	struct bus_options options = {
	    .url = server->started->bus,
	    .node = server->started->node,
	    .boot = random_id(),
	    .cookie = server,
	    .heard = on_heard,
	    .opened = on_opened,
	    .lost = on_lost,
	    .node_up = on_node_up,
	    .node_down = on_node_down,
	};

	store_epoch(server->store, options.epoch);
	store_bus_key(server->store, options.key);
	assert(row != NULL);
	if (nodes_wanted(server) && (row->on_disk || !row->needs_path))
		log_warn("bus", "alone", "store=%s why=\"no other node can share this store\"",
		    row->scheme);
	server->bus = bus_open(&options, ret_error, error_size);
	secret_wipe(options.key, sizeof(options.key));
	return server->bus == NULL ? -1 : 0;
}

void
nodes_close(struct server *server)
{
	bus_close(&server->bus);
}
