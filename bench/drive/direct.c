/* SPDX-License-Identifier: MIT */
/*
 * Pairs of connections: client 2i writes, 2i + 1 reads.  With spread=S the writer's messages go to S readers in
 * turn, each time another conversation; the pairs are then as many writers and readers.
 */
#include <stdio.h>

#include "base/clock.h"
#include "drive.h"
#include "mark.h"

uint64_t answers;

static uint64_t said, limit;
static uint64_t open_start_ns, open_from;

/* In open loop number n of all is number (n / pairs + 1) of pair n mod pairs; what it took since it was due. */
static void
latency_take(enum latency which, const struct client *c, uint64_t number)
{
	uint64_t n = (number - 1) * order.pairs + (size_t)(c - clients) / 2;

	if (order.rate > 0 && n >= open_from)
		latency_add(
		    which, clock_mono_ns() -
			       (open_start_ns + (uint64_t)((double)n * 1e9 / (double)order.rate)));
}

void
took_answer(struct client *c, uint64_t number)
{
	c->answers++;
	answers++;
	latency_take(LATENCY_ANSWER, c, number);
}

/* A reader's; the author has his own by the answer. */
void
took_delivery(struct client *c, uint64_t number)
{
	if ((c - clients) % 2 != 0)
		latency_take(LATENCY_DELIVERY, c, number);
}

/*
 * The writer's next conversation.  Writers move through theirs at different places, so that those of a turn are far
 * from each other.
 */
static size_t
reader_of(const struct client *c)
{
	size_t writer = (size_t)(c - clients) / 2;
	uint64_t turn = order.spread > 1 ? (c->sent * 31 + writer * 17) % order.spread : 0;

	return 2 * ((writer + turn) % order.pairs) + 1;
}

static void
say(struct client *c)
{
	char to[48];

	(void)snprintf(to, sizeof(to), "\"@%s\"",
	    protocol == &protocol_confab ? users[reader_of(c)].name : "user000000");
	confab_say(c, to);
}

static void
pair_refill(struct client *c)
{
	if ((c - clients) % 2 != 0)
		return;
	for (; c->sent - c->answers < order.window && said < limit; said++)
		say(c);
	client_flush(c);
}

/* confabd gives the author his own message too. */
static uint64_t
copies(void)
{
	return protocol == &protocol_confab ? 2 : 1;
}

static void
closed_loop(uint64_t messages)
{
	limit = said + messages;
	for (size_t i = 0; i < client_count; i++)
		pair_refill(&clients[i]);
	while (answers < limit || deliveries < copies() * limit)
		clients_turn(pair_refill, PATIENCE);
}

/* Message number n is due at n / rate seconds, whatever became of those before, and goes to pair n mod pairs. */
static void
open_loop(uint64_t messages)
{
	open_start_ns = clock_mono_ns();
	for (uint64_t n = 0; answers < messages || deliveries < copies() * messages;) {
		uint64_t due = (clock_mono_ns() - open_start_ns) / 1000 * order.rate / 1000000;

		for (; n < due && n < messages; n++) {
			struct client *c = &clients[n % order.pairs * 2];

			say(c);
			client_flush(c);
			if (n == open_from)
				mark_set();
		}
		clients_turn(NULL, n < messages ? 1000000000 / order.rate : PATIENCE);
	}
}

void
scenario_direct(void)
{
	uint64_t warm = order.messages / 10 + order.pairs;

	clients_open(2 * order.pairs);
	if (order.rate == 0) {
		closed_loop(warm);
		mark_settle();
		mark_set();
		closed_loop(order.messages);
	} else {
		open_from = warm;
		latencies_init(order.messages + 1);
		open_loop(order.messages + warm);
	}
	mark_report(order.messages, deliveries);
}
