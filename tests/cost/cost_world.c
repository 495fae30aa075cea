/* SPDX-License-Identifier: MIT */
/*
 * What stands between the gate and the world here: net's functions on connections that count, and a
 * shard's ports on the memory store.  The time of a turn is the same for all that happens in it.
 */
#include "cost.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/panic.h"
#include "base/rate.h"
#include "chat/shard.h"
#include "gate/gate.h"

enum { RATE_AMOUNT = 100000, RATE_BURST = 1000000, STORE_BATCH = 512 };

struct reactor {
	uint64_t now_ms;
};

struct listener {
	struct listener_options options;
};

struct conn {
	struct reactor *reactor;
	const struct conn_ops *ops;
	void *cookie;
	struct listener *listener;
	struct sockaddr_storage address;
	struct buf in, out;
	uint64_t bytes;
	bool paused, offer, closing;
};

struct cost_conn {
	struct conn conn;
	struct cost_world *world;
	struct cost_conn *next;
};

struct cost_world {
	struct reactor reactor;
	struct listener listener;
	struct gate *gate, *gates[1];
	struct shard *shard;
	struct driver *store;
	struct rate_table *buckets, *known;
	struct quota_table *quota;
	uint64_t real_ms;
	struct {
		struct mail *first, **last;
	} box, queue;
	bool offers; /* some connection is to be offered its input again */
	struct cost_conn *conns;
};

static struct cost_world *
world_of(struct conn *conn)
{
	return container_of(conn, struct cost_conn, conn)->world;
}

/* --- Net --- */

#define CLOSE_AS_NAME(name, label) label,
const char *
close_reason_name(enum close_reason reason)
{
	static const char *const names[] = {CLOSE_REASONS(CLOSE_AS_NAME)};

	return names[reason];
}

/* Nobody stands in line here. */
struct conn *
conn_find(struct reactor *reactor, uint64_t id)
{
	(void)reactor;
	(void)id;
	return NULL;
}

uint64_t
conn_id(const struct conn *conn)
{
	(void)conn;
	return 1;
}

struct reactor *
conn_reactor(const struct conn *conn)
{
	return conn->reactor;
}

void *
conn_cookie(const struct conn *conn)
{
	return conn->cookie;
}

void
conn_set_cookie(struct conn *conn, void *cookie)
{
	conn->cookie = cookie;
}

void
conn_set_ops(struct conn *conn, const struct conn_ops *ops)
{
	conn->ops = ops;
}

const struct listener *
conn_listener(const struct conn *conn)
{
	return conn->listener;
}

const struct listener_options *
listener_options(const struct listener *listener)
{
	return &listener->options;
}

const struct sockaddr_storage *
conn_address(const struct conn *conn, struct sockaddr_storage *ret_address)
{
	*ret_address = conn->address;
	return ret_address;
}

void
conn_set_address(struct conn *conn, const struct sockaddr_storage *address)
{
	conn->address = *address;
}

bool
conn_is_tls(const struct conn *conn)
{
	(void)conn;
	return false;
}

uint64_t
conn_last_input_ms(const struct conn *conn)
{
	return conn->reactor->now_ms;
}

size_t
conn_out_bytes(const struct conn *conn)
{
	(void)conn;
	return 0;
}

void
conn_want_drained(struct conn *conn)
{
	(void)conn;
	panic("a connection that takes everything is full");
}

enum queued
conn_queue(struct conn *conn, struct run *run, uint32_t offset, uint32_t len, enum on_full on_full)
{
	(void)run;
	(void)offset;
	(void)on_full;
	conn->bytes += len;
	return QUEUED;
}

void
conn_write(struct conn *conn, slice bytes)
{
	buf_put(&conn->out, bytes);
	conn->bytes += bytes.len;
}

slice
conn_unread(const struct conn *conn)
{
	return buf_slice(&conn->in);
}

void
conn_pause(struct conn *conn)
{
	conn->paused = true;
}

void
conn_resume(struct conn *conn)
{
	conn->paused = false;
	conn->offer = true;
	world_of(conn)->offers = true;
}

void
conn_set_deadline(struct conn *conn, uint64_t at_ms)
{
	(void)conn;
	(void)at_ms;
}

void
conn_close(struct conn *conn, enum close_reason reason)
{
	(void)conn;
	panic("a connection is closed: %s", close_reason_name(reason));
}

void
conn_finish(struct conn *conn, enum close_reason reason)
{
	conn_close(conn, reason);
}

int
conn_start_tls(struct conn *conn, slice seen)
{
	(void)conn;
	(void)seen;
	return -1;
}

unsigned
reactor_index(const struct reactor *reactor)
{
	(void)reactor;
	return 0;
}

uint64_t
reactor_now_ms(const struct reactor *reactor)
{
	return reactor->now_ms;
}

/* --- The shard's ports --- */

static void
world_post(void *cookie, unsigned to, struct mail *mail)
{
	struct cost_world *w = cookie;

	(void)to;
	mail->next = NULL;
	*w->box.last = mail;
	w->box.last = &mail->next;
}

static void
world_submit(void *cookie, struct op *op)
{
	struct cost_world *w = cookie;

	op->mail.next = NULL;
	*w->queue.last = &op->mail;
	w->queue.last = &op->mail.next;
}

static void
world_hash(void *cookie, struct hash_job *job)
{
	job->verified = true;
	(void)snprintf(job->hash, sizeof(job->hash), "$none");
	world_post(cookie, 0, &job->mail);
}

static uint64_t
world_now(void *cookie)
{
	struct cost_world *w = cookie;

	return w->real_ms;
}

/* What was queued, in its order; neighbouring writes are one batch. */
static bool
store_turn(struct cost_world *w)
{
	struct mail *mail = w->queue.first;
	bool any = mail != NULL;

	w->queue.first = NULL;
	w->queue.last = &w->queue.first;
	while (mail != NULL) {
		struct op *writes[STORE_BATCH];
		size_t count = 0;

		for (; mail != NULL && count < STORE_BATCH; mail = mail->next) {
			struct op *op = container_of(mail, struct op, mail);

			if (!op_writes(op->kind))
				break;
			writes[count++] = op;
		}
		if (count > 0)
			w->store->type->write(w->store, writes, count);
		for (size_t i = 0; i < count; i++)
			world_post(w, 0, &writes[i]->mail);
		while (mail != NULL && !op_writes(container_of(mail, struct op, mail)->kind)) {
			struct op *op = container_of(mail, struct op, mail);

			mail = mail->next;
			w->store->type->read(w->store, 0, op);
			world_post(w, 0, &op->mail);
		}
	}
	return any;
}

static void
set_time(struct cost_world *w)
{
	shard_set_time(w->shard, w->reactor.now_ms, w->real_ms, w->reactor.now_ms * 1000000);
}

static bool
shard_step(struct cost_world *w)
{
	struct mail *first = w->box.first;

	w->box.first = NULL;
	w->box.last = &w->box.first;
	set_time(w);
	shard_deliver(w->shard, first);
	return shard_turn(w->shard) || first != NULL || w->box.first != NULL;
}

/* --- Connections --- */

static void
offer(struct conn *c)
{
	do {
		c->offer = false;
		if (c->paused || buf_len(&c->in) == 0)
			return;
		buf_consume(&c->in, c->ops->input(c, c->in.bytes + c->in.start, buf_len(&c->in)));
	} while (c->offer);
}

static bool
offer_again(struct cost_world *w)
{
	if (!w->offers)
		return false;
	w->offers = false;
	for (struct cost_conn *c = w->conns; c != NULL; c = c->next)
		if (c->conn.offer)
			offer(&c->conn);
	return true;
}

struct cost_conn *
cost_dial(struct cost_world *w, bool limited)
{
	struct cost_conn *c = mem_zalloc(sizeof(*c));
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(4242)};

	address.sin_addr.s_addr = htonl(limited ? 0x0a000001 : INADDR_LOOPBACK);
	memcpy(&c->conn.address, &address, sizeof(address));
	c->conn.reactor = &w->reactor;
	c->conn.listener = &w->listener;
	c->world = w;
	c->next = w->conns;
	w->conns = c;
	gate_opened(&c->conn);
	return c;
}

void
cost_hang_up(struct cost_conn **conn)
{
	struct cost_conn *c = *conn, **link = &c->world->conns;

	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	c->conn.ops->closed(&c->conn, CLOSE_PEER);
	buf_fini(&c->conn.in);
	buf_fini(&c->conn.out);
	mem_free(c);
	*conn = NULL;
}

void
cost_feed(struct cost_conn *conn, slice bytes)
{
	buf_put(&conn->conn.in, bytes);
	offer(&conn->conn);
}

const char *
cost_answer(struct cost_conn *conn)
{
	struct buf *out = &conn->conn.out;
	const char *text;

	buf_append(out, "", 1);
	text = buf_head(out);
	buf_clear(out);
	return text;
}

uint64_t
cost_bytes(const struct cost_conn *conn)
{
	return conn->conn.bytes;
}

/* --- The world --- */

void
cost_settle(struct cost_world *w)
{
	bool moved;

	do {
		moved = shard_step(w);
		moved = store_turn(w) || moved;
		moved = offer_again(w) || moved;
	} while (moved);
}

void
cost_pass_ms(struct cost_world *w, uint64_t ms)
{
	w->reactor.now_ms += ms;
	w->real_ms += ms;
	set_time(w);
	shard_tick(w->shard);
	(void)w->store->type->tick(w->store);
	cost_settle(w);
}

struct driver *
cost_world_store(struct cost_world *w)
{
	return w->store;
}

static bool
always_ready(void *cookie, const char **ret_why)
{
	(void)cookie;
	(void)ret_why;
	return true;
}

static void
open_gate(struct cost_world *w)
{
	static const char *const exempt[] = {"127.0.0.0/8", "::1", NULL};
	struct gate_config config = {
	    .node = "n1",
	    .version = "0",
	    .durability = "local",
	    .idle_ms = 75000,
	    .login_ms = 30000,
	    .body = 16384,
	    .data = 16384,
	    .signal_data = 1024,
	    .conversations = 2000,
	    .groups = 1000,
	    .members = 100000,
	    .contacts = 1000,
	    .sessions = 20,
	    .connections = 100,
	    .registration_open = true,
	    .directory_open = true,
	    .exempt = exempt,
	    .connections_per_address = 10000,
	    .quota = w->quota,
	    .ready = always_ready,
	};

	w->gate = gate_create(&w->reactor, &config);
	w->gates[0] = w->gate;
	w->listener.options.cookie = w->gates;
}

static void
open_shard(struct cost_world *w)
{
	struct chat_config config = {
	    .count = 1,
	    .ports = {.cookie = w, .submit = world_submit, .hash = world_hash, .post = world_post},
	    .limits =
		{
		    .conversations = 2000,
		    .groups = 1000,
		    .members = 100000,
		    .contacts = 1000,
		    .sessions = 20,
		    .connections = 100,
		    .registration_open = true,
		    .directory_open = true,
		    .token_ms = 30ull * 86400 * 1000,
		    .leave_ms = 5000,
		},
	    .buckets = w->buckets,
	    .known = w->known,
	};

	for (unsigned i = 0; i < RATE_SCOPES; i++)
		config.limits.rates[i] = (struct rate){RATE_AMOUNT, RATE_BURST, 1000};
	gate_chat_out(w->gate, &config.out);
	w->store->type->epoch(w->store, config.epoch);
	w->shard = shard_create(&config);
	gate_set_shard(w->gate, w->shard);
	set_time(w);
}

struct cost_world *
cost_world_create(void)
{
	struct cost_world *w = mem_zalloc(sizeof(*w));
	struct driver_options options = {
	    .path = "", .readers = 1, .now_ms = world_now, .cookie = w};
	char why[200];

	w->reactor.now_ms = 1000000;
	w->real_ms = 1700000000000u;
	w->box.last = &w->box.first;
	w->queue.last = &w->queue.first;
	w->buckets = rate_table_create();
	w->known = rate_table_create();
	w->quota = quota_table_create();
	w->store = memory_driver.open(&options, why, sizeof(why));
	open_gate(w);
	open_shard(w);
	return w;
}

void
cost_world_destroy(struct cost_world **world)
{
	struct cost_world *w = *world;

	while (w->conns != NULL) {
		struct cost_conn *c = w->conns;

		cost_hang_up(&c);
	}
	cost_settle(w);
	shard_destroy(&w->shard);
	gate_destroy(&w->gate);
	w->store->type->close(&w->store);
	rate_table_destroy(&w->buckets);
	rate_table_destroy(&w->known);
	quota_table_destroy(&w->quota);
	mem_free(w);
	*world = NULL;
}
