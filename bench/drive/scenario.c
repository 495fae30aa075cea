/* SPDX-License-Identifier: MIT */
/* Fan-out, ingest, and connections that come, go, or do nothing. */
#include <stdio.h>
#include <string.h>

#include "base/panic.h"
#include "drive.h"
#include "mark.h"

static uint64_t said, limit;

/* --- Fan-out --- */

static void
bursts(struct client *author, uint64_t rounds)
{
	for (uint64_t round = 0; round < rounds; round++) {
		uint64_t want = deliveries + order.burst * order.members;

		for (uint64_t i = 0; i < order.burst; i++)
			protocol->say_to_all(author);
		client_flush(author);
		while (deliveries < want)
			clients_turn(NULL, PATIENCE);
	}
}

static void
measured_bursts(struct client *author, uint64_t rounds)
{
	bursts(author, rounds / 10 + 1);
	mark_settle();
	mark_set();
	bursts(author, rounds);
	mark_report(order.burst * rounds * order.members, deliveries);
}

/* What came meanwhile is taken, so that nobody is kept waiting until the next run: a ping, or others' comings. */
static void
drain(void)
{
	clients_turn(NULL, 20000000);
}

void
scenario_fanout(void)
{
	struct client *author = &clients[protocol->author_apart ? order.members : 0];
	unsigned long long rounds;
	char line[64];

	clients_open(order.members + (protocol->author_apart ? 1 : 0));
	if (order.rounds > 0) {
		measured_bursts(author, order.rounds);
		return;
	}
	puts("ok");
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "run %llu", &rounds) != 1)
			panic("not understood: %s", line);
		drain();
		measured_bursts(author, rounds);
	}
}

/* --- Ingest --- */

static void
group_refill(struct client *c)
{
	for (; c->sent - c->answers < order.window && said < limit; said++)
		protocol->say_to_all(c);
	client_flush(c);
}

void
scenario_ingest(void)
{
	with_sync = false;
	clients_open(order.senders);
	for (unsigned phase = 0; phase < 2; phase++) {
		limit = said + (phase == 0 ? order.messages / 10 : order.messages);
		if (phase == 1) {
			mark_settle();
			mark_set();
		}
		for (size_t i = 0; i < client_count; i++)
			group_refill(&clients[i]);
		while (answers < limit)
			clients_turn(group_refill, PATIENCE);
	}
	mark_report(order.messages, answers);
}

/* --- Coming and going --- */

static size_t next_user;

static void
resume_next(struct client *c)
{
	size_t user = next_user++ % order.users;

	client_connect(c);
	if (protocol == &protocol_confab)
		protocol->hello(c, user);
	else
		buf_printf(&c->out, "%zu\n", user + 1);
	client_flush(c);
}

static void
resume_done(struct client *c)
{
	static uint64_t seen_logins, seen_closed;

	if (protocol == &protocol_confab ? logins == seen_logins : closed == seen_closed)
		return;
	seen_logins = logins;
	seen_closed = closed;
	said++;
	client_close(c);
	if (next_user < limit)
		resume_next(c);
}

void
scenario_resume(void)
{
	uint64_t warm = order.resumes / 10;

	limit = order.resumes + warm;
	for (client_count = 0; client_count < order.window; client_count++)
		resume_next(&clients[client_count]);
	while (said < limit) {
		clients_turn(resume_done, PATIENCE);
		if (!mark_is_set() && said >= warm) {
			warm = said;
			mark_set();
		}
	}
	mark_report(said - warm, said);
}

/* --- Nothing, or what stdin says: open N | say USER CID COUNT | wait DELIVERIES --- */

void
scenario_idle(void)
{
	unsigned long long a, count;
	char line[128];
	unsigned cid;

	in_order = false;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "open %llu", &a) == 1) {
			clients_open(a);
		} else if (sscanf(line, "say %llu %u %llu", &a, &cid, &count) == 3) {
			(void)snprintf(line, sizeof(line), "%u", cid);
			for (; count > 0; count--)
				confab_say(&clients[a], line);
			client_flush(&clients[a]);
			continue;
		} else if (sscanf(line, "wait %llu", &a) == 1) {
			while (deliveries < a)
				clients_turn(NULL, PATIENCE);
		}
		puts("ok");
		(void)fflush(stdout);
	}
}
