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
	LIMIT_REFUSED = 32,   /* refusals in a row: then nothing is read for a while */
	LIMIT_HOLD_MS = 1000,
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

struct fault
session_spend(struct session *s, unsigned weight, size_t bytes)
{
	uint32_t cost = (weight > 0 ? weight : 1) + (uint32_t)(bytes / BYTES_OF_COST);
	struct fault fault;

	if (s->peer == NULL) {
		fault = chat_spend_source(s->gate->shard, limited_source(s), cost);
	} else {
		if (s->revision != s->gate->revision)
			peer_set_source(s->peer, limited_source(s));
		s->revision = s->gate->revision;
		fault = chat_spend(s->peer, cost);
	}
	if (fault.err == ERR_OK)
		s->refused = 0;
	else if (++s->refused == LIMIT_REFUSED)
		hold(s, fault.retry_after_ms);
	return fault;
}
