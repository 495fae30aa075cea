/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "bench.h"
#include "loop.h"

enum { CALL_MEMBERS = 100, LARGE_FROM = 50 };

struct writer *writers;
size_t writer_count;

/* --- Groups --- */

/* One request for a group, again while the server is too busy for it. */
static void
group_ask(struct client *owner, uint64_t cid, struct client *const *members, unsigned count)
{
	do {
		if (owner->asked == GROUP_AGAIN)
			loop_rest(0.1);
		client_group(owner, cid, members, count);
		while (owner->asked == GROUP_ASKED) {
			loop_turn(bench.now_ns + TICK_NS);
			if (loop_stalled())
				cannot("%s gets no answer about a group", owner->name);
		}
	} while (owner->asked == GROUP_AGAIN);
}

static bool
all_follow(uint64_t cid, struct client *const *members, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (stream_of(members[i], cid) == NULL)
			return false;
	}
	return true;
}

/* A group of these, which the first of them owns; all of them follow it when this returns. */
static uint64_t
group_make(struct client *const *members, uint32_t count)
{
	struct client *owner = members[0];
	uint64_t cid = 0;

	for (uint32_t at = 1; at < count || cid == 0;) {
		uint32_t some = count - at < CALL_MEMBERS ? count - at : CALL_MEMBERS;

		group_ask(owner, cid, members + at, some);
		cid = owner->made;
		at += some;
	}
	while (bench.listening && !all_follow(cid, members, count)) {
		loop_turn(bench.now_ns + TICK_NS);
		if (loop_stalled())
			cannot("not all are told of the group %" PRIu64 " that was made", cid);
	}
	return cid;
}

/* Groups of so many: everybody becomes a member of one, next to next or far from each other. */
static void
groups_make(uint32_t size, bool mixed_up)
{
	uint32_t count = bench.client_count, groups = (count + size - 1) / size;
	struct client **members = mem_zalloc((size + groups) * sizeof(struct client *));

	for (uint32_t g = 0; g < groups; g++) {
		uint32_t n = 0;

		for (uint32_t i = 0; i < count; i++) {
			if ((mixed_up ? i % groups : i / size) == g)
				members[n++] = &bench.clients[i];
		}
		(void)group_make(members, n);
	}
	mem_free(members);
}

/* --- Who writes to whom --- */

static void
writer_add(struct client *c, const char *to, struct client *peer)
{
	unsigned slot = client_author(c, to, peer);

	if (slot > 0)
		return; /* picked among the slots of one writer */
	writers = mem_resize(writers, writer_count + 1, sizeof(*writers));
	writers[writer_count++] = (struct writer){c, slot};
}

static void
write_direct(struct client *c, struct client *peer)
{
	char to[NAME_BYTES + 4];

	(void)snprintf(to, sizeof(to), "\"@%s\"", peer->name);
	writer_add(c, to, peer);
}

static void
write_group(struct client *c, uint64_t cid)
{
	char to[NAME_BYTES + 4];

	(void)snprintf(to, sizeof(to), "%" PRIu64, cid);
	writer_add(c, to, NULL);
}

/* The group that is asked for, or one that all are in; otherwise it is made. */
static uint64_t
group_of_all(void)
{
	const struct client *c = &bench.clients[0];
	struct client **all;
	uint64_t cid;

	if (bench.options.cid != 0)
		return bench.options.cid;
	for (uint32_t i = 0; i < c->stream_count; i++) {
		if (c->streams[i].conv->group && c->streams[i].conv->here == bench.client_count)
			return c->streams[i].conv->cid;
	}
	all = mem_zalloc(bench.client_count * sizeof(*all));
	for (uint32_t i = 0; i < bench.client_count; i++)
		all[i] = &bench.clients[i];
	cid = group_make(all, bench.client_count);
	mem_free(all);
	return cid;
}

static void
plan_group(unsigned authors)
{
	uint64_t cid = group_of_all();

	for (uint32_t i = 0; bench.listening && i < bench.client_count; i++) {
		if (stream_of(&bench.clients[i], cid) == NULL)
			cannot("%s is not in group %" PRIu64, bench.clients[i].name, cid);
	}
	for (unsigned i = 0; i < authors && i < bench.client_count; i++)
		write_group(&bench.clients[i], cid);
}

static bool
anybody_in_a_group(void)
{
	for (uint32_t i = 0; i < bench.client_count; i++) {
		const struct client *c = &bench.clients[i];

		for (uint32_t s = 0; s < c->stream_count; s++) {
			if (c->streams[s].conv->group)
				return true;
		}
	}
	return false;
}

static void
plan_mixed(void)
{
	const struct options *o = &bench.options;

	if (!anybody_in_a_group()) {
		groups_make(o->small, false);
		groups_make(o->large, true);
	}
	for (uint32_t i = 0; i < bench.client_count; i++) {
		struct client *c = &bench.clients[i];

		client_watch(c, o->watch);
		write_direct(c, &bench.clients[i ^ 1]);
		for (uint32_t s = 0; s < c->stream_count && c->author_count < SLOTS_MAX; s++) {
			const struct conv *conv = c->streams[s].conv;

			if (!conv->group)
				continue;
			write_group(c, conv->cid);
			c->authors[c->author_count - 1].large = conv->here >= LARGE_FROM;
		}
	}
}

void
plan_writers(void)
{
	switch (bench.options.scenario) {
	case SCENARIO_fanout:
	case SCENARIO_slow_readers:
	case SCENARIO_ingest:
		plan_group(bench.options.authors);
		break;
	case SCENARIO_direct:
	case SCENARIO_resume_storm:
		for (uint32_t i = 0; i < 2 * bench.options.pairs; i += 2)
			write_direct(&bench.clients[i], &bench.clients[i + 1]);
		break;
	case SCENARIO_mixed:
		plan_mixed();
		break;
	case SCENARIO_idle:
	case SCENARIO_MAX:
		break;
	}
}

unsigned
plan_users(void)
{
	const struct options *o = &bench.options;

	switch (o->scenario) {
	case SCENARIO_fanout:
	case SCENARIO_slow_readers:
		return o->members;
	case SCENARIO_direct:
		return 2 * o->pairs;
	case SCENARIO_ingest:
		return o->authors;
	case SCENARIO_resume_storm:
		return 2 * o->pairs + o->connections;
	case SCENARIO_mixed:
		return o->connections & ~1u;
	case SCENARIO_idle:
	case SCENARIO_MAX:
		break;
	}
	return o->connections;
}
