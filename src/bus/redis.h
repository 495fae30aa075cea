/* SPDX-License-Identifier: MIT */
/*
 * The bus over Redis's publish/subscribe; the contracts are those of bus.h.  What its files share:
 * redis.c has the queue that other threads fill and the thread, redis_talk.c the connections,
 * redis_say.c what is published.
 *
 *   bus_ring ─ queue (bounded, one lock) ─ thread: envelopes, signed ─ connection `publish` ─ Redis
 *   heard() ─ thread: who, whole, genuine? ─ connection `subscribe` ─ Redis
 */
#ifndef BUS_REDIS_H
#define BUS_REDIS_H

#include <pthread.h>

#include "bus/bus.h"
#include "bus/channels.h"
#include "bus/envelope.h"
#include "bus/finder.h"
#include "bus/link.h"
#include "bus/peers.h"

enum {
	LIMIT_BUS_QUEUE_BYTES = 8 * 1024 * 1024, /* rings that wait for the thread */
	BUS_LOOP_MS = 3000,                      /* the own beacon must come back within */
	BUS_WEDGED_MS = 6000,                    /* without it for so long: begin anew */
	BUS_HOLD_MS = 2000,                      /* rings wait for so long for a connection */
	BUS_RETRY_MIN_MS = 50,
	BUS_RETRY_MAX_MS = 2000,
	BUS_WATCH_MS = 5000,   /* is that still the master? */
	BUS_LOST_MS = 250,     /* between two lost() */
	BUS_GOOD_BYE_MS = 500, /* for the last words */
};

enum bus_phase {
	PHASE_WAIT, /* until retry_ms */
	PHASE_FIND, /* Sentinels are asked */
	PHASE_CONNECT,
	PHASE_UP,
};

/* In the queue, before each ring's bytes. */
struct queued_ring {
	uint64_t id;
	uint32_t len;
	enum ring_scope scope;
};

struct redis_bus {
	uint32_t magic;
	struct bus_options options; /* url is not kept */
	char *node;                 /* owned; options.node */
	struct redis_url url;
	int wake_fd;
	pthread_t thread;

	pthread_mutex_t lock; /* of what follows, up to the next empty line */
	struct channels channels;
	struct buf queue;
	uint64_t queued_rings;
	uint64_t drops; /* how often rings were, or may have been, dropped: beacons say it */
	char epoch[40];
	struct bus_health health;
	bool woken, stopping, epoch_changed;

	/* The thread's own: */
	struct envelope_self self;
	struct peers peers;
	struct finder finder;
	enum bus_phase phase;
	struct link publish, subscribe;
	struct place master;
	unsigned attempt;
	uint64_t retry_ms, backoff_ms;
	uint64_t down_ms; /* not UP: since */
	uint64_t up_ms, looped_ms, beacon_ms, watch_ms, lost_ms;
	uint64_t beacon_seq, publish_seq;
	bool everyone;    /* the channel of all nodes is heard */
	bool subscribing; /* after a reconnect: not everything is heard yet */
	bool looped;
	const char *why;      /* it is not UP */
	const char *told_why; /* in the log */
	struct buf work, scratch, opened;
};

struct redis_bus *redis_bus_open(
    const struct bus_options *options, char *ret_error, size_t error_size);
void redis_bus_close(struct redis_bus **bus);
void redis_bus_ring(struct redis_bus *bus, enum ring_scope scope, uint64_t id, slice bytes);
void redis_bus_interest(struct redis_bus *bus, enum ring_scope scope, uint64_t id, bool wanted);
void redis_bus_set_epoch(struct redis_bus *bus, slice epoch);
struct bus_health redis_bus_health(struct redis_bus *bus);

/* --- redis_talk.c; the thread --- */

/* All that time brings: connecting, beacons, subscriptions, deadlines. */
void talk_turn(struct redis_bus *bus, uint64_t now_ms);
/* What poll() returned for the connection. */
void talk_ready(struct redis_bus *bus, struct link *link, short events, uint64_t now_ms);
/* How long poll() may wait. */
int talk_timeout_ms(const struct redis_bus *bus, uint64_t now_ms);
/* Gives the connections up for good; or tries again later. */
void talk_end(struct redis_bus *bus);
void talk_fail(struct redis_bus *bus, const char *why, uint64_t now_ms);

/* --- redis_say.c; the thread --- */

void say_beacon(struct redis_bus *bus, enum envelope_kind kind);
/* Publishes what waits in the queue; while Redis does not take it, it stays there, whose bound holds. */
void say_queue(struct redis_bus *bus);
/* Drops it: Redis is away for too long. */
void say_nothing(struct redis_bus *bus);
/* Publishes what waits and a good-bye.  False if there is nobody to say it to. */
bool say_good_bye(struct redis_bus *bus);

#endif
