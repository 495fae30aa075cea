/* SPDX-License-Identifier: MIT */
/* A slot: one reactor with its shard and its gate, and its thread. */
#include "server/server_internal.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "server/metrics.h"

enum { TICK_PERIOD_MS = 1000, TICKS_PER_CHECK = 2, SECOND_MS = 1000, MINUTE_MS = 60 * 1000, DAY_MS = 24 * 3600 * 1000 };

enum { ENTERING_OF_READER = 8, ENTERING_LEAST = 4, ENTERING_BESIDE = 2 };

/* --- What HTTP answers with --- */

static bool
slot_ready(void *cookie, const char **ret_why)
{
	const struct slot *slot = cookie;

	if (slot->draining) {
		*ret_why = "shutting down";
		return false;
	}
	if (!store_writable(slot->server->store, ret_why))
		return false;
	*ret_why = bus_health(slot->server->bus).why;
	return *ret_why == NULL;
}

static void
slot_metrics(void *cookie, struct buf *to)
{
	const struct slot *slot = cookie;
	const struct server *server = slot->server;
	const char *why;
	struct stats sum;
	struct metrics_process process = {
	    .version = CONFAB_VERSION,
	    .node = server->started->node,
	    .started_ms = server->started_ms,
	    .log_dropped = log_dropped(),
	    .workers = server->slot_count,
	    .ready = slot_ready(cookie, &why),
	    .store_writable = store_writable(server->store, &why),
	    .bus_configured = nodes_wanted(server),
	};

	metrics_process_read(&process);
	stats_sum(&sum);
	metrics_put(to, &sum, &process);
}

/* --- The configuration of its parts --- */

static const char *const *
texts(const struct config_list *list)
{
	return (const char *const *)list->items;
}

static struct gate_config
gate_config_of(struct slot *slot)
{
	const struct config *c = slot->server->config;

	return (struct gate_config){
	    .node = slot->server->started->node,
	    .version = CONFAB_VERSION,
	    .durability = store_durability(slot->server->store),
	    .idle_ms = (uint32_t)c->idle_ms,
	    .login_ms = (uint32_t)c->login_ms,
	    .body = (uint32_t)c->limit_body,
	    .data = (uint32_t)c->limit_data,
	    .signal_data = (uint32_t)c->limit_signal_data,
	    .conversations = (uint32_t)c->limit_conversations,
	    .groups = (uint32_t)c->limit_groups,
	    .members = (uint32_t)c->limit_members,
	    .contacts = (uint32_t)c->limit_contacts,
	    .sessions = (uint32_t)c->limit_sessions,
	    .connections = (uint32_t)c->limit_connections,
	    .registration_open = c->registration_open,
	    .directory_open = c->directory_open,
	    .origins = texts(&c->origins),
	    .proxies = texts(&c->proxies),
	    .monitors = texts(&c->monitors),
	    .exempt = texts(&c->rate_exempt),
	    .connections_per_address = (uint32_t)c->connections_per_address,
	    .quota = slot->server->quota,
	    .metrics = slot_metrics,
	    .ready = slot_ready,
	    .cookie = slot,
	};
}

static struct rate
rate_of(const struct config_rate *rate, uint32_t period_ms)
{
	return (struct rate){
	    .amount = (uint32_t)rate->rate,
	    .burst = (uint32_t)rate->burst,
	    .period_ms = period_ms,
	};
}

static struct chat_limits
chat_limits_of(const struct config *c)
{
	return (struct chat_limits){
	    .conversations = (uint32_t)c->limit_conversations,
	    .groups = (uint32_t)c->limit_groups,
	    .members = (uint32_t)c->limit_members,
	    .contacts = (uint32_t)c->limit_contacts,
	    .sessions = (uint32_t)c->limit_sessions,
	    .connections = (uint32_t)c->limit_connections,
	    .registration_open = c->registration_open,
	    .directory_open = c->directory_open,
	    .token_ms = c->token_days * DAY_MS,
	    .leave_ms = (uint32_t)c->presence_leave_ms,
	    .rates =
		{
		    [RATE_SESSION] = rate_of(&c->rates.session, SECOND_MS),
		    [RATE_USER] = rate_of(&c->rates.user, SECOND_MS),
		    [RATE_ADDRESS] = rate_of(&c->rates.address, SECOND_MS),
		    [RATE_LOGIN] = rate_of(&c->rates.login, MINUTE_MS),
		    [RATE_LOGIN_ADDRESS] = rate_of(&c->rates.login_address, MINUTE_MS),
		    [RATE_LOGIN_USER] = rate_of(&c->rates.login_user, MINUTE_MS),
		    [RATE_RESUME] = rate_of(&c->rates.login_address, MINUTE_MS),
		    [RATE_REGISTER] = rate_of(&c->rates.registration, MINUTE_MS),
		},
	};
}

/* --- The shard's ports --- */

static void
port_submit(void *cookie, struct op *op)
{
	struct slot *slot = cookie;

	if (slot->server->store == NULL) { /* the last mail of a server that ends */
		op->fault = (struct fault){.err = ERR_UNAVAILABLE};
		mail_post(&slot->chat.box, &op->mail);
	} else if (op_writes((enum op_kind)op->kind)) {
		op->mail.next = NULL;
		*slot->writes_end = &op->mail;
		slot->writes_end = &op->mail.next;
	} else {
		store_submit(slot->server->store, op);
	}
}

/*
 * What a turn writes goes to the store at once: a writer that the first of many wakes may get the core before the
 * others are there, and then commits it alone.  After the turn's hooks net only calls what makes another turn follow.
 */
static void
submit_writes(struct slot *slot)
{
	if (slot->writes != NULL)
		store_submit_writes(slot->server->store, slot->writes);
	slot->writes = NULL;
	slot->writes_end = &slot->writes;
}

static void
port_hash(void *cookie, struct hash_job *job)
{
	struct slot *slot = cookie;

	if (slot->server->pool != NULL) {
		pwpool_submit(slot->server->pool, job);
		return;
	}
	job->busy = true;
	mail_post(&slot->chat.box, &job->mail);
}

static void
port_post(void *cookie, unsigned shard, struct mail *mail)
{
	struct slot *slot = cookie;

	assert(shard < slot->server->slot_count);
	mail_post(&slot->server->slots[shard].chat.box, mail);
}

static void
port_ring(void *cookie, enum ring_scope scope, uint64_t id, slice bytes)
{
	struct slot *slot = cookie;

	if (slot->server->bus != NULL)
		bus_ring(slot->server->bus, scope, id, bytes);
}

static void
port_interest(void *cookie, enum ring_scope scope, uint64_t id, bool wanted)
{
	struct slot *slot = cookie;

	if (slot->server->bus != NULL)
		bus_interest(slot->server->bus, scope, id, wanted);
}

/* --- A turn --- */

static void
slot_wake(void *cookie)
{
	struct slot *slot = cookie;

	shard_set_time(
	    slot->shard, reactor_now_ms(slot->reactor), clock_real_ms(), clock_mono_ns());
}

static bool
slot_turn(void *cookie)
{
	struct slot *slot = cookie;
	bool more = shard_turn(slot->shard);

	more |= gate_turn(slot->gate);
	submit_writes(slot);
	return more;
}

static void
slot_deliver(void *cookie, struct mail *first)
{
	struct slot *slot = cookie;

	/* What came back is older than this moment: sessions that ended are compared by it (was_revoked). */
	slot_wake(slot);
	shard_deliver(slot->shard, first);
}

/* What messages on their way hold, against the budget: from 60 % on a step each 10 %. */
static enum pressure
pressure_now(uint64_t budget)
{
	static const struct { unsigned percent; enum pressure pressure; } steps[] = {
	    {100, PRESSURE_RESUME}, {90, PRESSURE_SEND}, {80, PRESSURE_SIGNAL}, {70, PRESSURE_LOGIN},
	    {60, PRESSURE_REGISTER}};
	struct stats sum;
	int64_t held;

	stats_sum(&sum);
	held = sum.gauges[GAUGE_HELD_RUNS] + sum.gauges[GAUGE_HELD_ENTRIES] + sum.gauges[GAUGE_HELD_INPUT];
	for (size_t i = 0; i < LEN(steps); i++)
		if (held >= (int64_t)(budget / 100 * steps[i].percent))
			return steps[i].pressure;
	return PRESSURE_NONE;
}

static void
slot_tick(struct timer *timer)
{
	struct slot *slot = container_of(timer, struct slot, tick);

	timer_set(slot->reactor, timer, reactor_now_ms(slot->reactor) + TICK_PERIOD_MS, slot_tick);
	shard_set_pressure(slot->shard, pressure_now(slot->memory_budget));
	shard_tick(slot->shard);
	if (++slot->ticks % TICKS_PER_CHECK == 0) {
		uint64_t revision = store_admin_revision(slot->server->store);

		if (revision != slot->admin_revision)
			shard_check_sessions(slot->shard);
		slot->admin_revision = revision;
	}
}

/* --- Orders --- */

static void
each_finish(struct conn *conn, void *cookie)
{
	(void)cookie;
	conn_finish(conn, CLOSE_SHUTDOWN);
}

static void
slot_report(struct slot *slot, enum order_kind about)
{
	struct report *report = mem_zalloc(sizeof(*report));

	report->about = about;
	report->calls = shard_calls(slot->shard);
	report->conns = reactor_conn_count(slot->reactor);
	mail_post(&slot->server->control, &report->mail);
}

static void
slot_configure(struct slot *slot)
{
	struct gate_config gate = gate_config_of(slot);
	struct chat_limits limits = chat_limits_of(slot->server->config);

	gate_set_config(slot->gate, &gate);
	shard_set_limits(slot->shard, &limits);
	slot->memory_budget = slot->server->config->memory_budget_mib * 1024 * 1024;
}

static void
slot_obey(struct slot *slot, const struct order *order)
{
	switch (order->kind) {
	case ORDER_CONFIG:
		slot_configure(slot);
		slot_report(slot, ORDER_CONFIG);
		return;
	case ORDER_EPOCH:
		shard_set_epoch(slot->shard, slice_str(order->epoch));
		if (reactor_index(slot->reactor) == 0)
			bus_set_epoch(slot->server->bus, slice_str(order->epoch));
		return;
	case ORDER_UNLISTEN:
		for (size_t i = 0; i < slot->server->listener_count; i++)
			listener_stop(slot->server->listeners[i]);
		return;
	case ORDER_UNBIND:
		for (size_t i = 0; i < slot->server->listener_count; i++)
			listener_close(&slot->server->listeners[i]);
		return;
	case ORDER_GOAWAY:
		slot->draining = true;
		gate_goaway(slot->gate, order->reconnect_ms);
		shard_goaway_wave(slot->shard, order->wave, order->waves, order->reconnect_ms);
		return;
	case ORDER_FINISH:
		reactor_each_conn(slot->reactor, each_finish, NULL);
		return;
	case ORDER_REPORT:
		slot_report(slot, ORDER_REPORT);
		return;
	case ORDER_END:
		reactor_stop(slot->reactor);
		return;
	}
	panic("an order of unknown kind %d", (int)order->kind);
}

static void
slot_orders(void *cookie, struct mail *first)
{
	struct slot *slot = cookie;

	while (first != NULL) {
		struct order *order = container_of(first, struct order, mail);

		first = first->next;
		slot_obey(slot, order);
		mem_free(order);
	}
}

void
slot_order(struct slot *slot, const struct order *order)
{
	struct order *copy = mem_alloc(sizeof(*copy));

	*copy = *order;
	mail_post(&slot->orders.box, &copy->mail);
}

/* --- Its life --- */

/* Enough that no reader waits for the next; for messages that wait for the writer they are too many. */
static unsigned
entering_of(const struct server *server)
{
	unsigned each = ENTERING_OF_READER * store_readers(server->store) / server->slot_count;

	return each > ENTERING_LEAST ? each : ENTERING_LEAST;
}

int
slot_init(struct slot *slot, struct server *server, unsigned index)
{
	struct gate_config gate;
	struct chat_config chat = {
	    .index = index,
	    .count = server->slot_count,
	    .ports = {.cookie = slot, .submit = port_submit, .hash = port_hash, .post = port_post},
	    .limits = chat_limits_of(server->config),
	    .buckets = server->buckets,
	    .known = server->known,
	    .entering = entering_of(server),
	    .entering_beside = ENTERING_BESIDE,
	};

	if (nodes_wanted(server)) {
		chat.ports.ring = port_ring;
		chat.ports.interest = port_interest;
		(void)snprintf(chat.node, sizeof(chat.node), "%s", server->started->node);
	}
	slot->server = server;
	slot->writes_end = &slot->writes;
	slot->reactor = reactor_create(index);
	if (slot->reactor == NULL)
		return -1;
	gate = gate_config_of(slot);
	slot->gate = gate_create(slot->reactor, &gate);
	gate_chat_out(slot->gate, &chat.out);
	store_epoch(server->store, chat.epoch);
	slot->admin_revision = store_admin_revision(server->store);
	slot->shard = shard_create(&chat);
	slot->memory_budget = server->config->memory_budget_mib * 1024 * 1024;
	gate_set_shard(slot->gate, slot->shard);
	reactor_on_wake(slot->reactor, slot_wake, slot);
	reactor_on_turn(slot->reactor, slot_turn, slot);
	reactor_add_mailbox(slot->reactor, &slot->chat, slot_deliver, slot);
	reactor_add_mailbox(slot->reactor, &slot->orders, slot_orders, slot);
	return 0;
}

static void *
slot_thread(void *cookie)
{
	struct slot *slot = cookie;
	char name[16];

	(void)snprintf(name, sizeof(name), "reactor-%u", reactor_index(slot->reactor));
	(void)pthread_setname_np(pthread_self(), name);
	timer_set(slot->reactor, &slot->tick, clock_mono_ms() + TICK_PERIOD_MS, slot_tick);
	reactor_run(slot->reactor);
	return NULL;
}

int
slot_start(struct slot *slot)
{
	int rc = pthread_create(&slot->thread, NULL, slot_thread, slot);

	slot->started = rc == 0;
	return rc;
}

bool
slot_settle(struct slot *slot)
{
	struct mail *mail = mail_take(&slot->chat.box);
	bool any = mail != NULL;

	slot_wake(slot);
	shard_deliver(slot->shard, mail);
	any |= shard_turn(slot->shard);
	submit_writes(slot);
	return any;
}

void
slot_fini(struct slot *slot)
{
	struct mail *order = slot->reactor != NULL ? mail_take(&slot->orders.box) : NULL;

	while (order != NULL) {
		struct mail *next = order->next;

		mem_free(container_of(order, struct order, mail));
		order = next;
	}
	timer_clear(&slot->tick);
	shard_destroy(&slot->shard);
	gate_destroy(&slot->gate);
	reactor_destroy(&slot->reactor);
}
