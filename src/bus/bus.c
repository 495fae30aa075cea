/* SPDX-License-Identifier: MIT */
/* Which bus it is; a bus of one node has nobody to talk to. */
#include "bus/bus.h"

#include "base/mem.h"
#include "base/panic.h"
#include "bus/envelope.h"
#include "bus/redis.h"
#include "bus/url.h"

#define BUS_MAGIC 0xb0551337u

struct bus {
	uint32_t magic;
	struct redis_bus *redis; /* owned; NULL: local: */
};

static bool
is_local(const char *url)
{
	return slice_starts(slice_str(url), S("local:"));
}

int
bus_check(const char *url, char *ret_error, size_t error_size)
{
	struct redis_url parsed;

	if (is_local(url))
		return 0;
	if (url_parse(url, &parsed, ret_error, error_size) < 0)
		return -1;
	secret_wipe(&parsed, sizeof(parsed));
	return 0;
}

struct bus *
bus_open(const struct bus_options *options, char *ret_error, size_t error_size)
{
	struct bus *bus = mem_zalloc(sizeof(*bus));
	size_t node_len = strlen(options->node);

	assert(node_len >= 1 && node_len <= NODE_NAME_MAX_BYTES);
	bus->magic = BUS_MAGIC;
	if (is_local(options->url))
		return bus;
	bus->redis = redis_bus_open(options, ret_error, error_size);
	if (bus->redis == NULL) {
		mem_free(bus);
		return NULL;
	}
	return bus;
}

void
bus_close(struct bus **bus)
{
	struct bus *b = *bus;

	if (b == NULL)
		return;
	OBJ_CHECK(b, BUS_MAGIC);
	if (b->redis != NULL)
		redis_bus_close(&b->redis);
	b->magic = 0;
	mem_free(b);
	*bus = NULL;
}

void
bus_ring(struct bus *bus, enum ring_scope scope, uint64_t id, slice bytes)
{
	OBJ_CHECK(bus, BUS_MAGIC);
	if (bus->redis != NULL)
		redis_bus_ring(bus->redis, scope, scope == RING_ALL ? 0 : id, bytes);
}

void
bus_interest(struct bus *bus, enum ring_scope scope, uint64_t id, bool wanted)
{
	OBJ_CHECK(bus, BUS_MAGIC);
	/* Everybody hears what is for all. */
	if (bus->redis != NULL && scope != RING_ALL)
		redis_bus_interest(bus->redis, scope, id, wanted);
}

void
bus_set_epoch(struct bus *bus, slice epoch)
{
	OBJ_CHECK(bus, BUS_MAGIC);
	if (bus->redis != NULL)
		redis_bus_set_epoch(bus->redis, epoch);
}

struct bus_health
bus_health(struct bus *bus)
{
	OBJ_CHECK(bus, BUS_MAGIC);
	if (bus->redis != NULL)
		return redis_bus_health(bus->redis);
	return (struct bus_health){.connected = true, .looped = true};
}
