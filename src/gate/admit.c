/* SPDX-License-Identifier: MIT */
/*
 * Who may come in, and how much he may ask: the cap of connections of an address, the rate limits of
 * the chat, and what happens to those who go on when they were refused.
 */
#include "gate/session.h"

#include "base/log.h"
#include "base/rate.h"
#include "base/stat.h"
#include "gate/cidr.h"

enum {
	COST_OF_CONNECTION = 1,
	BYTES_OF_COST = 4096, /* a frame costs one more for each */
	LIMIT_REFUSED = 128,  /* refusals in a row: then nothing is read for a while */
	LIMIT_HOLD_MS = 1000,
	ORDER_MS = 1000, /* a send was refused: so are those behind it, at least so long */
	LIMIT_ORDER_MS = 30 * 1000,
	TICK_MS = 10,
};

static uint64_t
source_of(const struct session *s)
{
	struct sockaddr_storage address;

	return cidr_source(conn_address(s->conn, &address));
}

/* The key of where it comes from; 0: it is not limited. */
static uint64_t
limited_source(const struct session *s)
{
	struct sockaddr_storage address;

	if (cidr_any(s->gate->config.exempt, conn_address(s->conn, &address)))
		return 0;
	return cidr_source(&address);
}

static void
refuse(struct session *s, enum stat_counter why, const char *reason)
{
	struct sockaddr_storage address;
	char ip[CIDR_TEXT_BYTES];

	stat_add(why, 1);
	log_info("gate", "refused", "reason=%s ip=%s", reason,
	    cidr_text(conn_address(s->conn, &address), ip));
	conn_close(s->conn, CLOSE_BUSY);
}

bool
session_admit(struct session *s)
{
	uint64_t source = limited_source(s);

	if (source == 0)
		return true;
	if (s->gate->config.quota != NULL) {
		if (!quota_take(
			s->gate->config.quota, source, s->gate->config.connections_per_address)) {
			refuse(s, STAT_REFUSED_ADDRESS, "address");
			return false;
		}
		s->counted = true;
	}
	if (chat_spend_source(s->gate->shard, source, COST_OF_CONNECTION).err != ERR_OK) {
		refuse(s, STAT_REFUSED_RATE, "rate");
		return false;
	}
	return true;
}

void
session_dismiss(struct session *s)
{
	if (s->counted)
		quota_give(s->gate->config.quota, source_of(s));
	s->counted = false;
}

/*
 * Whoever goes on without waiting waits all the same, about as long as that many requests take at his
 * rate: refusing costs more than not reading.
 */
static void
hold(struct session *s, uint32_t wait_ms)
{
	uint64_t ms = (uint64_t)wait_ms * LIMIT_REFUSED;

	s->refused = 0;
	s->held = true;
	stat_add(STAT_RATE_HELD, 1);
	conn_set_deadline(
	    s->conn, reactor_now_ms(s->gate->reactor) + (ms < LIMIT_HOLD_MS ? ms : LIMIT_HOLD_MS));
}

/* --- Sends behind one that was refused --- */

static uint16_t
tick(const struct session *s)
{
	return (uint16_t)(reactor_now_ms(s->gate->reactor) / TICK_MS);
}

/* How long sends are still to be refused; 0: no longer. */
static uint32_t
order_wait(struct session *s)
{
	unsigned left = (uint16_t)(s->sends_from - tick(s));

	if (s->sends_from == 0)
		return 0;
	if (left == 0 || left > LIMIT_ORDER_MS / TICK_MS) {
		s->sends_from = 0;
		return 0;
	}
	return left * TICK_MS;
}

/* What was written behind it would overtake it: the client has to hear of it first. */
static void
order_begin(struct session *s, struct fault *fault)
{
	uint32_t ms = fault->retry_after_ms > ORDER_MS ? fault->retry_after_ms : ORDER_MS;
	unsigned ticks = (ms < LIMIT_ORDER_MS ? ms : LIMIT_ORDER_MS) / TICK_MS;

	s->sends_from = (uint16_t)(tick(s) + ticks);
	if (s->sends_from == 0)
		s->sends_from = 1;
	fault->retry_after_ms = ms;
}

/* --- Requests --- */

static struct fault
pay(struct session *s, uint32_t cost)
{
	if (s->peer == NULL)
		return chat_spend_source(s->gate->shard, limited_source(s), cost);
	if (s->revision != s->gate->revision)
		peer_set_source(s->peer, limited_source(s));
	s->revision = s->gate->revision;
	return chat_spend(s->peer, cost);
}

struct fault
session_spend(struct session *s, unsigned weight, size_t bytes, bool in_order)
{
	uint32_t cost = (weight > 0 ? weight : 1) + (uint32_t)(bytes / BYTES_OF_COST);
	uint32_t wait = order_wait(s);
	struct fault fault;

	if (in_order && wait > 0) {
		stat_add(STAT_RATE_ORDER, 1);
		fault = (struct fault){.err = ERR_RATE_LIMITED, .retry_after_ms = wait};
	} else {
		fault = pay(s, cost);
		if (in_order && fault.err != ERR_OK)
			order_begin(s, &fault);
	}
	if (fault.err == ERR_OK)
		s->refused = 0;
	else if (++s->refused == LIMIT_REFUSED)
		hold(s, fault.retry_after_ms);
	return fault;
}
