/* SPDX-License-Identifier: MIT */
#include "bus/redis.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"

#define REDIS_BUS_MAGIC 0x2ed15b05u

/* --- From any thread --- */

static void
wake(struct redis_bus *bus)
{
	uint64_t one = 1;

	/* It can only fail by being full, and then the thread wakes up all the same. */
	(void)!write(bus->wake_fd, &one, sizeof(one));
}

void
redis_bus_ring(struct redis_bus *bus, enum ring_scope scope, uint64_t id, slice bytes)
{
	struct queued_ring head = {.id = id, .len = (uint32_t)bytes.len, .scope = scope};
	bool fits = bytes.len <= LIMIT_BUS_RING_BYTES, full = false, asleep = false;

	OBJ_CHECK(bus, REDIS_BUS_MAGIC);
	(void)pthread_mutex_lock(&bus->lock);
	full = buf_len(&bus->queue) + sizeof(head) + bytes.len > LIMIT_BUS_QUEUE_BYTES;
	if (fits && !full) {
		buf_append(&bus->queue, &head, sizeof(head));
		buf_put(&bus->queue, bytes);
		bus->queued_rings++;
		asleep = !bus->woken;
		bus->woken = true;
	} else {
		bus->drops++;
	}
	(void)pthread_mutex_unlock(&bus->lock);
	if (asleep)
		wake(bus);
	if (!fits || full)
		stat_add(fits ? STAT_BUS_DROP_FULL : STAT_BUS_DROP_SIZE, 1);
}

void
redis_bus_interest(struct redis_bus *bus, enum ring_scope scope, uint64_t id, bool wanted)
{
	struct channel_key key = {scope, id};
	bool asleep = false;

	OBJ_CHECK(bus, REDIS_BUS_MAGIC);
	(void)pthread_mutex_lock(&bus->lock);
	if (channels_interest(&bus->channels, key, wanted, clock_mono_ms())) {
		asleep = !bus->woken;
		bus->woken = true;
	}
	(void)pthread_mutex_unlock(&bus->lock);
	if (asleep)
		wake(bus);
}

void
redis_bus_set_epoch(struct redis_bus *bus, slice epoch)
{
	OBJ_CHECK(bus, REDIS_BUS_MAGIC);
	assert(epoch.len < sizeof(bus->epoch));
	(void)pthread_mutex_lock(&bus->lock);
	memset(bus->epoch, 0, sizeof(bus->epoch));
	memcpy(bus->epoch, epoch.ptr, epoch.len);
	bus->epoch_changed = true;
	(void)pthread_mutex_unlock(&bus->lock);
	wake(bus);
}

struct bus_health
redis_bus_health(struct redis_bus *bus)
{
	struct bus_health health;

	OBJ_CHECK(bus, REDIS_BUS_MAGIC);
	(void)pthread_mutex_lock(&bus->lock);
	health = bus->health;
	(void)pthread_mutex_unlock(&bus->lock);
	return health;
}

/* --- The thread --- */

/* What others ask for; false: to end. */
static bool
take_orders(struct redis_bus *bus)
{
	uint64_t count;
	bool stopping;

	(void)!read(bus->wake_fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&bus->lock);
	bus->woken = false;
	stopping = bus->stopping;
	if (bus->epoch_changed)
		envelope_set_epoch(&bus->self, slice_str(bus->epoch));
	bus->epoch_changed = false;
	(void)pthread_mutex_unlock(&bus->lock);
	return !stopping;
}

static const char *
health_why(const struct redis_bus *bus, uint64_t now_ms)
{
	if (bus->phase != PHASE_UP)
		return bus->why;
	if (!bus->looped)
		return "what this node publishes does not come back from Redis";
	if (peers_twin(&bus->peers, now_ms))
		return "another node has the same name";
	return NULL;
}

static void
tell_health(struct redis_bus *bus, uint64_t now_ms)
{
	struct bus_health health = {
	    .connected = bus->phase == PHASE_UP,
	    .looped = bus->looped,
	    .peers = peers_count(&bus->peers),
	    .why = health_why(bus, now_ms),
	};

	(void)pthread_mutex_lock(&bus->lock);
	bus->health = health;
	(void)pthread_mutex_unlock(&bus->lock);
}

static void
wait_and_hear(struct redis_bus *bus)
{
	struct link *links[] = {&bus->publish, &bus->subscribe, &bus->finder.link};
	struct pollfd fds[LEN(links) + 1] = {{.fd = bus->wake_fd, .events = POLLIN}};
	uint64_t now_ms = clock_mono_ms();

	for (size_t i = 0; i < LEN(links); i++)
		fds[i + 1] = (struct pollfd){
		    .fd = links[i]->state != LINK_DOWN ? links[i]->fd : -1,
		    .events = link_wants(links[i]),
		};
	(void)poll(fds, LEN(fds), talk_timeout_ms(bus, now_ms));
	now_ms = clock_mono_ms();
	for (size_t i = 0; i < 2; i++)
		talk_ready(bus, links[i], fds[i + 1].fd >= 0 ? fds[i + 1].revents : 0, now_ms);
	finder_ready(&bus->finder, fds[3].fd >= 0 ? fds[3].revents : 0, now_ms);
}

/* So that the others need not wait for the lease. */
static void
good_bye(struct redis_bus *bus)
{
	uint64_t until_ms = clock_mono_ms() + BUS_GOOD_BYE_MS;

	if (!say_good_bye(bus))
		return;
	while (bus->phase == PHASE_UP && bus->publish.owed > 0 && clock_mono_ms() < until_ms) {
		struct pollfd fd = {.fd = bus->publish.fd, .events = link_wants(&bus->publish)};

		(void)poll(&fd, 1, BUS_GOOD_BYE_MS / 10);
		talk_ready(bus, &bus->publish, fd.revents, clock_mono_ms());
	}
}

static void *
redis_main(void *cookie)
{
	struct redis_bus *bus = cookie;

	OBJ_CHECK(bus, REDIS_BUS_MAGIC);
	(void)pthread_setname_np(pthread_self(), "bus");
	while (take_orders(bus)) {
		uint64_t now_ms = clock_mono_ms();

		talk_turn(bus, now_ms);
		tell_health(bus, now_ms);
		wait_and_hear(bus);
	}
	good_bye(bus);
	talk_end(bus);
	return NULL;
}

/* --- Life --- */

static void
redis_bus_free(struct redis_bus *bus)
{
	finder_stop(&bus->finder);
	peers_fini(&bus->peers);
	channels_fini(&bus->channels);
	buf_fini(&bus->queue);
	buf_fini(&bus->work);
	buf_fini(&bus->scratch);
	buf_fini(&bus->opened);
	(void)pthread_mutex_destroy(&bus->lock);
	if (bus->wake_fd >= 0)
		(void)close(bus->wake_fd);
	mem_free(bus->node);
	secret_wipe(bus, sizeof(*bus));
	mem_free(bus);
}

static void
redis_bus_init(struct redis_bus *bus, const struct bus_options *options)
{
	uint64_t now_ms = clock_mono_ms();

	bus->magic = REDIS_BUS_MAGIC;
	bus->node = mem_dup(slice_str(options->node));
	bus->options = *options;
	bus->options.url = NULL;
	bus->options.node = bus->node;
	bus->self = (struct envelope_self){.node = slice_str(bus->node), .boot = options->boot};
	memcpy(bus->self.key, options->key, sizeof(bus->self.key));
	envelope_set_epoch(&bus->self, slice_str(options->epoch));
	(void)pthread_mutex_init(&bus->lock, NULL);
	channels_init(&bus->channels, slice_str(bus->url.cluster));
	peers_init(&bus->peers, &bus->options, now_ms);
	finder_init(&bus->finder, &bus->url);
	bus->publish.fd = bus->subscribe.fd = -1;
	bus->why = "Redis was not reached yet";
	bus->health.why = bus->why;
	bus->retry_ms = bus->down_ms = now_ms;
	bus->backoff_ms = BUS_RETRY_MIN_MS;
}

struct redis_bus *
redis_bus_open(const struct bus_options *options, char *ret_error, size_t error_size)
{
	struct redis_bus *bus = mem_zalloc(sizeof(*bus));
	int rc;

	if (url_parse(options->url, &bus->url, ret_error, error_size) < 0) {
		mem_free(bus);
		return NULL;
	}
	redis_bus_init(bus, options);
	bus->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = bus->wake_fd < 0 ? -1 : pthread_create(&bus->thread, NULL, redis_main, bus);
	if (rc != 0) {
		(void)snprintf(ret_error, error_size, "cannot start the thread of the bus");
		redis_bus_free(bus);
		return NULL;
	}
	return bus;
}

void
redis_bus_close(struct redis_bus **bus)
{
	struct redis_bus *b = *bus;

	OBJ_CHECK(b, REDIS_BUS_MAGIC);
	(void)pthread_mutex_lock(&b->lock);
	b->stopping = true;
	(void)pthread_mutex_unlock(&b->lock);
	wake(b);
	(void)pthread_join(b->thread, NULL);
	redis_bus_free(b);
	*bus = NULL;
}
