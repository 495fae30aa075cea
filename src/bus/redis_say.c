/* SPDX-License-Identifier: MIT */
/* What a node says: the queue's rings as envelopes, beacons, a good-bye. */
#include "bus/redis.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/stat.h"
#include "bus/resp.h"

enum {
	OUT_ROOM_BYTES = 1024 * 1024, /* more is published only when Redis has taken that much */
};

/* The envelope from `start` of the scratch buffer on is signed and sent. */
static void
publish(struct redis_bus *bus, struct channel_key key)
{
	char name[CHANNEL_NAME_BYTES];

	envelope_end(&bus->scratch, 0, &bus->self);
	resp_array(&bus->publish.out, 3);
	resp_bulk(&bus->publish.out, S("PUBLISH"));
	resp_bulk(&bus->publish.out, channel_name(&bus->channels, key, name));
	resp_bulk(&bus->publish.out, buf_slice(&bus->scratch));
	buf_clear(&bus->scratch);
	bus->publish.owed++;
	stat_add(STAT_BUS_PUBLISHES, 1);
}

void
say_beacon(struct redis_bus *bus, enum envelope_kind kind)
{
	struct envelope e = {
	    .kind = kind,
	    .scope = RING_ALL,
	    .seq = ++bus->beacon_seq,
	    .sent_ns = clock_mono_ns(),
	};

	(void)pthread_mutex_lock(&bus->lock);
	e.drops = bus->drops;
	(void)pthread_mutex_unlock(&bus->lock);
	envelope_begin(&bus->scratch, &bus->self, &e);
	publish(bus, (struct channel_key){RING_ALL, 0});
}

/* The next of the rings that were taken; false at the end. */
static bool
work_next(struct buf *work, struct queued_ring *ret_head, slice *ret_bytes)
{
	slice all = buf_slice(work);

	if (all.len == 0)
		return false;
	assert(all.len >= sizeof(*ret_head));
	memcpy(ret_head, all.ptr, sizeof(*ret_head));
	*ret_bytes = slice_of(all.ptr + sizeof(*ret_head), ret_head->len);
	assert(sizeof(*ret_head) + ret_head->len <= all.len);
	buf_consume(work, sizeof(*ret_head) + ret_head->len);
	return true;
}

static bool
same_channel(const struct queued_ring *ring, struct channel_key key)
{
	return ring->scope == key.scope && ring->id == key.id;
}

/* Rings of one channel that follow each other go in one envelope. */
static void
publish_work(struct redis_bus *bus)
{
	struct channel_key key = {RING_ALL, 0};
	struct queued_ring ring;
	bool begun = false;
	slice bytes;

	while (work_next(&bus->work, &ring, &bytes)) {
		if (begun && (!same_channel(&ring, key) ||
				 buf_len(&bus->scratch) + bytes.len > LIMIT_ENVELOPE_BYTES)) {
			publish(bus, key);
			begun = false;
		}
		if (!begun) {
			struct envelope e = {.kind = ENVELOPE_RINGS,
			    .scope = ring.scope,
			    .id = ring.id,
			    .seq = ++bus->publish_seq};

			key = (struct channel_key){ring.scope, ring.id};
			envelope_begin(&bus->scratch, &bus->self, &e);
			begun = true;
		}
		envelope_frame(&bus->scratch, bytes);
		stat_add(STAT_BUS_OUT, 1);
	}
	if (begun)
		publish(bus, key);
}

/* Takes the queue's content as work; how many rings. */
static uint64_t
take_queue(struct redis_bus *bus)
{
	struct buf empty = bus->work;
	uint64_t rings;

	assert(buf_len(&bus->work) == 0);
	buf_clear(&empty);
	(void)pthread_mutex_lock(&bus->lock);
	bus->work = bus->queue;
	bus->queue = empty;
	rings = bus->queued_rings;
	bus->queued_rings = 0;
	(void)pthread_mutex_unlock(&bus->lock);
	return rings;
}

void
say_nothing(struct redis_bus *bus)
{
	uint64_t rings = take_queue(bus);

	buf_fini(&bus->work);
	if (rings == 0)
		return;
	stat_add(STAT_BUS_DROP_DOWN, rings);
	(void)pthread_mutex_lock(&bus->lock);
	bus->drops++;
	(void)pthread_mutex_unlock(&bus->lock);
}

void
say_queue(struct redis_bus *bus)
{
	if (buf_len(&bus->publish.out) >= OUT_ROOM_BYTES)
		return;
	(void)take_queue(bus);
	publish_work(bus);
	if (bus->work.capacity > OUT_ROOM_BYTES)
		buf_fini(&bus->work);
}

bool
say_good_bye(struct redis_bus *bus)
{
	if (bus->phase != PHASE_UP)
		return false;
	(void)take_queue(bus);
	publish_work(bus);
	say_beacon(bus, ENVELOPE_BYE);
	return link_flush(&bus->publish) == NULL;
}
