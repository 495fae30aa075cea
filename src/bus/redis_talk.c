/* SPDX-License-Identifier: MIT */
/*
 * The two connections of the bus, as one: when either fails both are made anew.
 *
 *   WAIT ─ (FIND: ask Sentinels) ─ CONNECT: both sign in ─ UP ─ any failure: back, jittered
 *
 * UP: the channel of all nodes is subscribed first, and once it is heard the beacons begin; then the
 * channels that are wanted, a command of many at a time.  When all are heard, lost() is told, once.
 */
#include "bus/redis.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/stat.h"
#include "bus/resp.h"

enum {
	SUBSCRIBE_ROOM_BYTES = 128 * 1024,
};

/* --- Down and up --- */

static bool
has_sentinels(const struct redis_bus *bus)
{
	return bus->url.sentinel[0] != '\0';
}

/* Said once, until it is another reason or it worked meanwhile. */
static void
log_failure(struct redis_bus *bus, const char *why)
{
	const struct place *place =
	    bus->phase == PHASE_FIND ? &bus->url.places[bus->finder.at] : &bus->master;

	if (bus->told_why == why)
		return;
	bus->told_why = why;
	log_warn("bus", bus->phase == PHASE_UP ? "disconnected" : "unreachable",
	    "host=%s port=%s why=\"%s\"", place->host, place->port, why);
}

static void
set_looped(struct redis_bus *bus, bool looped)
{
	if (bus->looped == looped)
		return;
	bus->looped = looped;
	gauge_add(GAUGE_BUS_LOOPED, looped ? 1 : -1);
}

/* What is on its way may never arrive: the others are told by the next beacon. */
static void
count_broken(struct redis_bus *bus)
{
	if (bus->publish.owed == 0)
		return;
	stat_add(STAT_BUS_DROP_BROKEN, bus->publish.owed);
	(void)pthread_mutex_lock(&bus->lock);
	bus->drops++;
	(void)pthread_mutex_unlock(&bus->lock);
}

static void
disconnect(struct redis_bus *bus)
{
	if (bus->phase == PHASE_UP) {
		gauge_add(GAUGE_BUS_CONNECTED, -1);
		count_broken(bus);
		(void)pthread_mutex_lock(&bus->lock);
		channels_reset(&bus->channels);
		(void)pthread_mutex_unlock(&bus->lock);
	}
	link_close(&bus->publish);
	link_close(&bus->subscribe);
	finder_stop(&bus->finder);
	set_looped(bus, false);
	bus->everyone = false;
}

void
talk_end(struct redis_bus *bus)
{
	disconnect(bus);
	bus->phase = PHASE_WAIT;
}

void
talk_fail(struct redis_bus *bus, const char *why, uint64_t now_ms)
{
	log_failure(bus, why);
	stat_add(STAT_BUS_DISCONNECTS, 1);
	if (bus->phase == PHASE_UP)
		bus->down_ms = now_ms;
	disconnect(bus);
	bus->phase = PHASE_WAIT;
	bus->why = why;
	bus->attempt++;
	bus->retry_ms = now_ms + bus->backoff_ms / 2 + random_below((uint32_t)bus->backoff_ms);
	bus->backoff_ms =
	    bus->backoff_ms * 2 < BUS_RETRY_MAX_MS ? bus->backoff_ms * 2 : BUS_RETRY_MAX_MS;
}

static void
connect_both(struct redis_bus *bus, uint64_t now_ms)
{
	struct link_login login = {
	    .user = bus->url.user,
	    .password = bus->url.password,
	    .role = true,
	    .need_master = has_sentinels(bus),
	};
	const char *why;

	bus->phase = PHASE_CONNECT;
	why = link_open(&bus->publish, &bus->master, bus->attempt, &login, now_ms);
	if (why == NULL)
		why = link_open(&bus->subscribe, &bus->master, bus->attempt, &login, now_ms);
	if (why != NULL)
		talk_fail(bus, why, now_ms);
}

static void
begin(struct redis_bus *bus, uint64_t now_ms)
{
	if (has_sentinels(bus)) {
		bus->phase = PHASE_FIND;
		finder_begin(&bus->finder, now_ms);
		return;
	}
	bus->master = bus->url.places[0];
	connect_both(bus, now_ms);
}

static void
found(struct redis_bus *bus, uint64_t now_ms)
{
	if (bus->finder.state == FINDER_FAILED) {
		talk_fail(bus, bus->finder.why, now_ms);
	} else if (bus->finder.state == FINDER_FOUND) {
		bus->master = bus->finder.found;
		finder_stop(&bus->finder);
		connect_both(bus, now_ms);
	}
}

static void
up(struct redis_bus *bus, uint64_t now_ms)
{
	char name[CHANNEL_NAME_BYTES];

	bus->phase = PHASE_UP;
	bus->up_ms = bus->looped_ms = bus->watch_ms = now_ms;
	bus->beacon_ms = UINT64_MAX;
	bus->subscribing = true;
	bus->publish.owed = bus->subscribe.owed = 0;
	stat_add(STAT_BUS_CONNECTS, 1);
	gauge_add(GAUGE_BUS_CONNECTED, 1);
	(void)channel_name(&bus->channels, (struct channel_key){RING_ALL, 0}, name);
	resp_command(&bus->subscribe.out, (const char *const[]){"SUBSCRIBE", name, NULL});
}

/* --- Hearing --- */

static void
tell_opened(struct redis_bus *bus)
{
	slice keys = buf_slice(&bus->opened);

	for (size_t at = 0; at < keys.len; at += sizeof(struct channel_key)) {
		struct channel_key key;

		memcpy(&key, keys.ptr + at, sizeof(key));
		bus->options.opened(bus->options.cookie, key.scope, key.id);
	}
	buf_clear(&bus->opened);
}

static void
subscribe_turn(struct redis_bus *bus, uint64_t now_ms)
{
	bool more = true, done = false;

	if (!bus->everyone)
		return;
	while (more && buf_len(&bus->subscribe.out) < SUBSCRIBE_ROOM_BYTES) {
		(void)pthread_mutex_lock(&bus->lock);
		more = channels_turn(&bus->channels, now_ms, &bus->subscribe.out, &bus->opened);
		done = !more && bus->channels.unconfirmed == 0;
		(void)pthread_mutex_unlock(&bus->lock);
		tell_opened(bus);
	}
	if (bus->subscribing && !more && done) {
		bus->subscribing = false;
		bus->peers.missed = true;
	}
}

static void
confirmed(struct redis_bus *bus, struct channel_key key, bool subscribed, uint64_t now_ms)
{
	bool opened;

	if (key.scope == RING_ALL) {
		bus->everyone = true;
		bus->beacon_ms = now_ms;
		return;
	}
	(void)pthread_mutex_lock(&bus->lock);
	opened = channels_confirm(&bus->channels, key, subscribed);
	(void)pthread_mutex_unlock(&bus->lock);
	if (opened)
		bus->options.opened(bus->options.cookie, key.scope, key.id);
}

static void
beacon_came_back(struct redis_bus *bus, const struct envelope *e, uint64_t now_ms)
{
	histogram_add(HISTOGRAM_BUS_LOOP, clock_mono_ns() - e->sent_ns);
	if (!bus->looped) {
		bus->peers.missed = true;
		bus->told_why = NULL;
		log_info("bus", "connected", "host=%s port=%s after_ms=%llu", bus->master.host,
		    bus->master.port, (unsigned long long)(now_ms - bus->down_ms));
	}
	bus->looped_ms = now_ms;
	bus->backoff_ms = BUS_RETRY_MIN_MS;
	set_looped(bus, true);
}

static void
hear_rings(struct redis_bus *bus, struct envelope *e)
{
	slice ring;

	while (envelope_next(&e->frames, &ring)) {
		stat_add(STAT_BUS_IN, 1);
		bus->options.heard(bus->options.cookie, e->scope, e->id, e->node, ring);
	}
}

static void
hear(struct redis_bus *bus, struct channel_key key, slice payload, uint64_t now_ms)
{
	struct envelope e;
	enum envelope_verdict verdict = envelope_open(payload, &bus->self, &e);
	bool good = verdict == ENVELOPE_GOOD || verdict == ENVELOPE_OWN;
	static const enum stat_counter counters[] = {
	    [ENVELOPE_DAMAGED] = STAT_BUS_REJECT_DAMAGED,
	    [ENVELOPE_VERSION] = STAT_BUS_REJECT_VERSION,
	    [ENVELOPE_EPOCH] = STAT_BUS_REJECT_EPOCH,
	    [ENVELOPE_FORGED] = STAT_BUS_REJECT_FORGED,
	};
	static const char *const names[] = {
	    [ENVELOPE_DAMAGED] = "damaged",
	    [ENVELOPE_VERSION] = "version",
	    [ENVELOPE_EPOCH] = "epoch",
	    [ENVELOPE_FORGED] = "forged",
	};

	/* Genuine, but put on another channel. */
	if (good && (e.scope != key.scope || e.id != key.id)) {
		verdict = ENVELOPE_FORGED;
		good = false;
	}
	if (!good) {
		stat_add(counters[verdict], 1);
		log_warn("bus", "rejected", "why=%s", names[verdict]);
	} else if (verdict == ENVELOPE_OWN) {
		if (e.kind == ENVELOPE_BEACON)
			beacon_came_back(bus, &e, now_ms);
		else if (e.kind == ENVELOPE_RINGS)
			stat_add(STAT_BUS_OWN, 1);
	} else if (e.kind == ENVELOPE_RINGS) {
		if (peers_rings(&bus->peers, &e, now_ms))
			hear_rings(bus, &e);
	} else if (e.scope == RING_ALL) {
		peers_hear(&bus->peers, &e, now_ms);
	}
}

/* --- Answers --- */

static slice
text_of(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING ? slice_of(reply->str, reply->len) : SLICE_NONE;
}

static const char *
subscriber_took(struct redis_bus *bus, const redisReply *reply, uint64_t now_ms)
{
	struct channel_key key;
	slice verb;

	if (reply->type == REDIS_REPLY_ERROR)
		return "Redis does not let the user subscribe";
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
		return "Redis answers strangely";
	verb = text_of(reply->element[0]);
	if (!channel_of(&bus->channels, text_of(reply->element[1]), &key))
		return "Redis answers strangely";
	if (slice_eq(verb, S("message")))
		hear(bus, key, text_of(reply->element[2]), now_ms);
	else
		confirmed(bus, key, slice_eq(verb, S("subscribe")), now_ms);
	return NULL;
}

static const char *
publisher_took(struct redis_bus *bus, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ARRAY) /* to ROLE */
		return reply->elements > 0 && slice_eq(text_of(reply->element[0]), S("master"))
			   ? NULL
			   : "that Redis is a replica now";
	if (bus->publish.owed > 0)
		bus->publish.owed--;
	if (reply->type != REDIS_REPLY_ERROR)
		return NULL;
	stat_add(STAT_BUS_DROP_REFUSED, 1);
	return slice_starts(slice_of(reply->str, reply->len), S("NOPERM"))
		   ? "Redis does not let the user publish"
		   : "Redis refuses what is published";
}

static const char *
answers(struct redis_bus *bus, struct link *link, uint64_t now_ms)
{
	const char *why = NULL;
	redisReply *reply;

	while (why == NULL && (reply = link_answer(link, &why)) != NULL) {
		why = link == &bus->publish ? publisher_took(bus, reply)
					    : subscriber_took(bus, reply, now_ms);
		freeReplyObject(reply);
	}
	return why;
}

void
talk_ready(struct redis_bus *bus, struct link *link, short events, uint64_t now_ms)
{
	const char *why = link_ready(link, events, now_ms);

	if (why == NULL && bus->phase == PHASE_UP && events != 0)
		why = answers(bus, link, now_ms);
	if (why != NULL)
		talk_fail(bus, why, now_ms);
}

/* --- Time --- */

/* That Redis may have become a replica, or Sentinels may have chosen another one. */
static void
watch(struct redis_bus *bus, uint64_t now_ms)
{
	struct finder *finder = &bus->finder;

	if (finder->state == FINDER_FOUND &&
	    (strcmp(finder->found.host, bus->master.host) != 0 ||
		strcmp(finder->found.port, bus->master.port) != 0)) {
		talk_fail(bus, "Sentinel names another master", now_ms);
		return;
	}
	if (finder->state == FINDER_FOUND || finder->state == FINDER_FAILED)
		finder_stop(finder);
	if (now_ms - bus->watch_ms < BUS_WATCH_MS)
		return;
	bus->watch_ms = now_ms;
	if (!bus->publish.role_denied)
		resp_command(&bus->publish.out, (const char *const[]){"ROLE", NULL});
	if (has_sentinels(bus) && finder->state == FINDER_IDLE)
		finder_begin(finder, now_ms);
}

static void
beacon_turn(struct redis_bus *bus, uint64_t now_ms)
{
	if (now_ms >= bus->beacon_ms) {
		say_beacon(bus, ENVELOPE_BEACON);
		bus->beacon_ms = now_ms + BEACON_PERIOD_MS;
	}
	if (bus->looped && now_ms - bus->looped_ms >= BUS_LOOP_MS) {
		log_warn(
		    "bus", "not_looped", "host=%s port=%s", bus->master.host, bus->master.port);
		set_looped(bus, false);
		bus->down_ms = bus->looped_ms;
		bus->peers.missed = true;
	}
}

static void
up_turn(struct redis_bus *bus, uint64_t now_ms)
{
	const char *why;

	subscribe_turn(bus, now_ms);
	say_queue(bus);
	beacon_turn(bus, now_ms);
	if ((why = link_flush(&bus->publish)) == NULL)
		why = link_flush(&bus->subscribe);
	if (why == NULL && now_ms - bus->looped_ms >= BUS_WEDGED_MS)
		why = "Redis does not answer";
	if (why != NULL)
		talk_fail(bus, why, now_ms);
	else
		watch(bus, now_ms);
}

static void
tell_lost(struct redis_bus *bus, uint64_t now_ms)
{
	if (!bus->peers.missed || bus->phase != PHASE_UP || bus->subscribing ||
	    now_ms - bus->lost_ms < BUS_LOST_MS)
		return;
	bus->peers.missed = false;
	bus->lost_ms = now_ms;
	stat_add(STAT_BUS_LOST, 1);
	bus->options.lost(bus->options.cookie);
}

void
talk_turn(struct redis_bus *bus, uint64_t now_ms)
{
	if (bus->phase == PHASE_WAIT && now_ms >= bus->retry_ms)
		begin(bus, now_ms);
	if (bus->phase == PHASE_FIND)
		found(bus, now_ms);
	if (bus->phase == PHASE_CONNECT && bus->publish.state == LINK_UP &&
	    bus->subscribe.state == LINK_UP)
		up(bus, now_ms);
	if (bus->phase == PHASE_UP)
		up_turn(bus, now_ms);
	if (bus->phase != PHASE_UP && now_ms - bus->down_ms >= BUS_HOLD_MS)
		say_nothing(bus);
	peers_tick(&bus->peers, bus->looped, now_ms);
	tell_lost(bus, now_ms);
}

int
talk_timeout_ms(const struct redis_bus *bus, uint64_t now_ms)
{
	uint64_t until_ms = now_ms + BEACON_PERIOD_MS;

	if (bus->phase == PHASE_WAIT && bus->retry_ms < until_ms)
		until_ms = bus->retry_ms;
	if (bus->phase == PHASE_UP && bus->beacon_ms < until_ms)
		until_ms = bus->beacon_ms;
	if (bus->phase == PHASE_UP && !bus->subscribing && bus->peers.missed &&
	    bus->lost_ms + BUS_LOST_MS < until_ms)
		until_ms = bus->lost_ms + BUS_LOST_MS;
	if (bus->phase == PHASE_FIND && bus->finder.state != FINDER_ASKING)
		return 0;
	return until_ms > now_ms ? (int)(until_ms - now_ms) : 0;
}
