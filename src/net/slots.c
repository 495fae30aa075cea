/* SPDX-License-Identifier: MIT */
/* The table of a reactor's connections: chunks that stay where they are, so that pointers do too. */
#include "base/mem.h"
#include "net/net_internal.h"

enum { GENERATION_BITS = 24 };

static void
slots_grow(struct reactor *r)
{
	struct chunk *chunk = mem_zalloc(sizeof(*chunk));
	uint64_t first = (uint64_t)r->chunk_count * CHUNK_CONNS;

	r->chunks = mem_resize(r->chunks, r->chunk_count + 1, sizeof(struct chunk *));
	r->chunks[r->chunk_count++] = chunk;
	for (uint64_t i = 0; i < CHUNK_CONNS; i++) {
		chunk->conns[i].id = (uint64_t)r->index << 56 | (first + i);
		list_push_back(&r->free_slots, &chunk->conns[i].work);
	}
}

/* The slot that is free the longest, so that generations last. */
struct conn *
slots_take(struct reactor *r)
{
	const uint64_t mask = (((uint64_t)1 << GENERATION_BITS) - 1) << 32;
	struct conn *conn;
	uint64_t id;

	if (list_empty(&r->free_slots))
		slots_grow(r);
	conn = container_of(list_pop(&r->free_slots), struct conn, work);
	id = conn->id;
	do
		id = (id & ~mask) | ((id + ((uint64_t)1 << 32)) & mask);
	while ((id & mask) == 0);
	*conn = (struct conn) { .magic = CONN_MAGIC, .fd = -1, .id = id, .reactor = r, .flags = CONN_OPEN };
	return conn;
}

void
slots_give(struct conn *conn)
{
	struct reactor *r = conn->reactor;

	conn->flags = 0;
	conn->magic = 0;
	list_push_back(&r->free_slots, &conn->work);
}

struct conn *
slots_find(const struct reactor *r, uint64_t id)
{
	uint32_t slot = (uint32_t)id;
	struct conn *conn;

	if (slot / CHUNK_CONNS >= r->chunk_count)
		return NULL;
	conn = &r->chunks[slot / CHUNK_CONNS]->conns[slot % CHUNK_CONNS];
	return conn->id == id && conn_is(conn, CONN_OPEN) ? conn : NULL;
}

void
reactor_each_conn(struct reactor *r, void (*each)(struct conn *conn, void *cookie), void *cookie)
{
	reactor_assert(r);
	for (uint32_t i = 0; i < r->chunk_count; i++)
		for (uint32_t j = 0; j < CHUNK_CONNS; j++) {
			struct conn *conn = &r->chunks[i]->conns[j];

			if (conn_is(conn, CONN_OPEN) && !conn_is(conn, CONN_CLOSING))
				each(conn, cookie);
		}
}

void
slots_fini(struct reactor *r)
{
	for (uint32_t i = 0; i < r->chunk_count; i++)
		mem_free(r->chunks[i]);
	mem_free(r->chunks);
	r->chunks = NULL;
	r->chunk_count = 0;
}
