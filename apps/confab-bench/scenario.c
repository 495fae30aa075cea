/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"

enum { VIOLATIONS_MAX = 100 };

#define TICK_NS (10 * UINT64_C(1000000))
#define SECOND_NS UINT64_C(1000000000)
#define RECONNECT_NS (50 * UINT64_C(1000000))

/* Who writes, in the order of their turns. */
static struct writer {
	struct client *client;
	unsigned slot;
} * writers;
static size_t writer_count;

/* One load: warming up, or what is measured. */
static struct {
	uint64_t left, until_ns;  /* messages to send; when to stop sending */
	uint64_t due_ns, step_ns; /* open loop: the next burst's scheduled time */
	uint64_t round_want;      /* rounds: deliveries that end this one */
	size_t turn;
	bool on, over;
} run;

static uint64_t random_state;

static uint32_t
random_up_to(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 32) * bound >> 32);
}

static uint64_t
ns(double seconds)
{
	return (uint64_t)(seconds * 1e9);
}

static bool
in_rounds(void)
{
	return bench.options.scenario == SCENARIO_fanout && bench.options.rate <= 0 &&
	       bench.options.window == 0;
}

/* --- The loop --- */

static void
one_turn(uint64_t until_ns)
{
	static uint64_t ticked_ns, told_ns;

	link_turn(until_ns < bench.now_ns + TICK_NS ? until_ns : bench.now_ns + TICK_NS);
	if (bench.now_ns - ticked_ns >= TICK_NS) {
		ticked_ns = bench.now_ns;
		clients_tick();
	}
	if (bench.now_ns - told_ns >= SECOND_NS) {
		if (bench.options.progress && told_ns != 0)
			report_progress();
		told_ns = bench.now_ns;
	}
	if (bench.now_ns - bench.started_ns > ns(bench.options.deadline))
		cannot("not done after %.0f s (--deadline)", bench.options.deadline);
}

/* Whether what is awaited has not come any nearer for --stall seconds. */
static bool
stalled(void)
{
	static uint64_t seen, since_ns;
	const struct totals *t = &bench.totals;
	uint64_t now = t->sends + t->answers + t->deliveries + t->resumes + t->retried +
		       t->missing + bench.ready + bench.opening;

	if (now != seen) {
		seen = now;
		since_ns = bench.now_ns;
	}
	return bench.now_ns - since_ns > ns(bench.options.stall);
}

static void
open_up_to(uint32_t count)
{
	uint32_t most = bench.options.opening;

	if (bench.options.registers && most > 64)
		most = 64; /* passwords are hashed on few threads, with a short queue */
	for (uint32_t i = 0; i < count; i++) {
		if (bench.clients[i].state != CLIENT_CLOSED)
			continue;
		while (bench.opening >= most) {
			one_turn(bench.now_ns + TICK_NS);
			if (stalled())
				cannot("connections stay without an answer");
		}
		client_open(&bench.clients[i]);
	}
	while (bench.ready < count) {
		one_turn(bench.now_ns + TICK_NS);
		if (stalled())
			cannot("%u of %u connections stay without an answer", count - bench.ready,
			    count);
	}
}

static void
rest(double seconds)
{
	uint64_t until = bench.now_ns + ns(seconds);

	while (bench.now_ns < until)
		one_turn(until);
}

/* --- Writing --- */

static bool
may_go_on(void)
{
	return run.on && run.left > 0 && bench.now_ns < run.until_ns;
}

static void
write_one(const struct writer *w, uint64_t sched_ns)
{
	client_send(w->client, w->slot, sched_ns);
	run.left--;
}

/* Closed loop: as many as the window takes. */
static void
refill(struct client *c, unsigned slot)
{
	struct writer w = {c, slot};

	while (may_go_on() && client_may_send(c, slot, bench.options.window))
		write_one(&w, bench.now_ns);
}

static void
refill_all(void)
{
	for (size_t i = 0; i < writer_count; i++) {
		refill(writers[i].client, writers[i].slot);
		if (writers[i].client->dirty)
			link_flush(writers[i].client);
	}
}

/* Everybody has everything: the next burst. */
static void
next_round(void)
{
	const struct writer *w = &writers[run.turn % writer_count];

	if (bench.totals.deliveries + bench.totals.missing < run.round_want ||
	    w->client->state != CLIENT_READY)
		return;
	run.turn++;
	for (unsigned i = 0; i < bench.options.burst && run.left > 0; i++) {
		write_one(w, bench.now_ns);
		run.round_want += bench.client_count;
	}
	link_flush(w->client);
}

/* A day's other things: typing, reading, going and coming back. */
static void
mixed_beside(struct client *c, unsigned slot)
{
	uint32_t what = random_up_to(1000);

	if (what < 200)
		client_signal(c, slot);
	else if (what < 500)
		client_mark(c);
	else if (what < 505 && c->state == CLIENT_READY) {
		client_abort(c);
		client_reopen(c, bench.now_ns + RECONNECT_NS);
	}
}

static const struct writer *
next_writer(void)
{
	if (bench.options.scenario == SCENARIO_mixed) {
		struct writer *w = &writers[random_up_to((uint32_t)writer_count)];

		/* Most of what people write is to one other. */
		w->slot = w->client->author_count > 1 && random_up_to(5) == 0
			      ? 1 + random_up_to(w->client->author_count - 1)
			      : 0;
		mixed_beside(w->client, w->slot);
		return w;
	}
	return &writers[run.turn++ % writer_count];
}

/* Open loop: what is due is sent, or waits here; it counts from its time either way. */
static void
send_due(void)
{
	static const struct writer *next;
	static unsigned in_burst;

	while (may_go_on() && run.due_ns <= bench.now_ns) {
		if (next == NULL)
			next = next_writer();
		if (!client_may_send(next->client, next->slot, UINT32_MAX))
			return;
		write_one(next, run.due_ns);
		if (++in_burst < bench.options.burst)
			continue;
		link_flush(next->client);
		in_burst = 0;
		next = NULL;
		run.due_ns += run.step_ns;
	}
}

static void
pump(void)
{
	static uint64_t refilled_ns;

	if (bench.options.rate > 0) {
		send_due();
	} else if (in_rounds()) {
		if (may_go_on())
			next_round();
	} else if (bench.now_ns - refilled_ns > TICK_NS) {
		refilled_ns = bench.now_ns;
		refill_all();
	}
}

/* --- What some scenarios do beside writing --- */

static struct {
	uint32_t at, first;
	uint64_t rounds, until_ns;
	bool going;
} beside;

static void
storm_begin(void)
{
	for (uint32_t i = 0; i < bench.client_count; i++) {
		struct client *c = &bench.clients[i];

		if (i < 2 * bench.options.pairs && i % 2 == 0)
			continue; /* who stays, and writes */
		client_abort(c);
		c->opened_ns = bench.now_ns;
	}
	beside.going = true;
	beside.at = 0;
}

static void
storm_step(void)
{
	for (; beside.at < bench.client_count && bench.opening < bench.options.opening;
	     beside.at++) {
		if (bench.clients[beside.at].state == CLIENT_CLOSED &&
		    bench.clients[beside.at].reopen_ns == 0)
			client_open(&bench.clients[beside.at]);
	}
	if (!beside.going || beside.at < bench.client_count || bench.ready < bench.client_count)
		return;
	if (--beside.rounds > 0) {
		storm_begin();
		return;
	}
	beside.going = false;
	run.over = true;
}

static void
slow_begin(void)
{
	beside.first = bench.client_count - bench.options.slow;
	for (uint32_t i = beside.first; i < bench.client_count; i++)
		link_pause(&bench.clients[i], true);
	beside.going = true;
	beside.until_ns = bench.now_ns + ns(bench.options.pause);
}

static void
slow_step(void)
{
	if (!beside.going || bench.now_ns < beside.until_ns)
		return;
	beside.going = false;
	for (uint32_t i = beside.first; i < bench.client_count; i++)
		link_pause(&bench.clients[i], false);
}

static void
begin_beside(void)
{
	beside.rounds = bench.options.rounds > 0 ? bench.options.rounds : 1;
	if (bench.options.scenario == SCENARIO_resume_storm)
		storm_begin();
	else if (bench.options.scenario == SCENARIO_slow_readers)
		slow_begin();
}

static void
step_beside(void)
{
	if (bench.options.scenario == SCENARIO_resume_storm)
		storm_step();
	else if (bench.options.scenario == SCENARIO_slow_readers)
		slow_step();
}

/* --- A load --- */

static bool
load_over(void)
{
	bool storm = bench.options.scenario == SCENARIO_resume_storm && beside.going;

	if (violations() > VIOLATIONS_MAX || run.over)
		return true;
	if (run.left == 0 || (bench.now_ns >= run.until_ns && !storm))
		return true;
	return stalled();
}

static void
load(uint64_t messages, double seconds)
{
	bench.now_ns = clock_mono_ns();
	run.left = messages > 0 ? messages : UINT64_MAX;
	run.until_ns = seconds > 0 ? bench.now_ns + ns(seconds) : UINT64_MAX;
	if (bench.options.scenario == SCENARIO_resume_storm && beside.going)
		run.until_ns = UINT64_MAX;
	run.due_ns = bench.now_ns;
	run.round_want = bench.totals.deliveries + bench.totals.missing;
	run.on = true;
	run.over = false;
	if (bench.options.rate <= 0 && !in_rounds())
		refill_all();
	while (!load_over()) {
		pump();
		step_beside();
		one_turn(bench.options.rate > 0 && run.due_ns > bench.now_ns
			     ? run.due_ns
			     : bench.now_ns + TICK_NS);
	}
	run.on = false;
}

/* Until all has come that was answered, or nothing comes any more. */
static void
drain(void)
{
	uint64_t looked_ns = 0;

	for (;;) {
		step_beside();
		if (bench.totals.answers == bench.totals.sends ||
		    bench.now_ns - looked_ns > TICK_NS) {
			looked_ns = bench.now_ns;
			if (check_complete())
				return;
		}
		one_turn(bench.now_ns + TICK_NS / 5);
		if (stalled() || violations() > VIOLATIONS_MAX)
			return;
	}
}

static void
measured_load(void)
{
	const struct options *o = &bench.options;
	double warm = o->warmup >= 0 ? o->warmup : o->seconds > 0 ? o->seconds / 10 : 0;

	if (o->messages > 0 && o->warmup < 0)
		load(o->messages / 10 + o->burst, warm);
	else if (warm > 0)
		load(0, warm);
	drain();
	bench.ack_before = bench.ack;
	hist_clear(&bench.ack);
	hist_clear(&bench.delivery);
	hist_clear(&bench.resume);
	mark_set(MARK_START);
	begin_beside();
	load(o->messages, o->seconds);
	/* Where messages are counted, all of their deliveries belong to them. */
	if (o->messages > 0)
		drain();
	mark_set(MARK_END);
	drain();
}

/* Reads again, as history, all that nobody listened to. */
static void
audit(void)
{
	static struct client auditor;
	const struct conv *conv = bench.clients[0].authors[0].conv;

	if (conv == NULL)
		return;
	client_init(&auditor, bench.clients[0].name, bench.clients[0].token);
	auditor.unsynced = auditor.auditor = true;
	client_open(&auditor);
	client_history(&auditor, conv->cid, conv->answered_first, conv->answered);
	while (auditor.hole_count > 0 && violations() <= VIOLATIONS_MAX) {
		one_turn(bench.now_ns + TICK_NS);
		if (stalled()) {
			violation(VIOLATION_LOST, &auditor, conv->cid, auditor.holes[0].from,
			    "history doesn't answer");
			break;
		}
	}
	bench.stopped = true;
	client_abort(&auditor);
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

/* The group that is asked for, or the first that the author is in. */
static uint64_t
group_of(const struct client *c)
{
	if (bench.options.cid != 0)
		return bench.options.cid;
	for (uint32_t i = 0; i < c->stream_count; i++) {
		if (c->streams[i].conv->group)
			return c->streams[i].conv->cid;
	}
	cannot("%s is in no group: name one with --cid", c->name);
}

static void
plan_group(unsigned authors)
{
	uint64_t cid = group_of(&bench.clients[0]);

	for (uint32_t i = 0; bench.listening && i < bench.client_count; i++) {
		if (stream_of(&bench.clients[i], cid) == NULL)
			cannot("%s is not in group %" PRIu64, bench.clients[i].name, cid);
	}
	for (unsigned i = 0; i < authors && i < bench.client_count; i++)
		write_group(&bench.clients[i], cid);
}

static void
plan_mixed(void)
{
	for (uint32_t i = 0; i < bench.client_count; i++) {
		struct client *c = &bench.clients[i];

		write_direct(c, &bench.clients[i ^ 1]);
		for (uint32_t s = 0; s < c->stream_count && c->author_count < SLOTS_MAX; s++) {
			if (c->streams[s].conv->group)
				write_group(c, c->streams[s].conv->cid);
		}
	}
}

static void
plan(void)
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
scenario_users(void)
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

/* --- A run --- */

static void
set_up(void)
{
	const struct options *o = &bench.options;

	random_state = o->seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
	if (o->rate > 0)
		run.step_ns = ns(o->burst / o->rate);
	for (uint32_t i = 0; i < bench.client_count; i++) {
		bench.clients[i].unsynced = !bench.listening;
		bench.clients[i].was_slow =
		    o->scenario == SCENARIO_slow_readers && i >= bench.client_count - o->slow;
	}
	bench.setting_up = true;
	mark_set(MARK_EMPTY);
	if (o->from > 0 && o->from < bench.client_count) {
		open_up_to(o->from);
		rest(o->rest);
		mark_set(MARK_OPEN_FROM);
	}
	open_up_to(bench.client_count);
	client_hello(&bench.clients[0]);
	rest(o->rest);
	mark_set(MARK_OPEN);
	bench.setting_up = false;
	plan();
}

void
scenario_run(void)
{
	const struct options *o = &bench.options;

	bench.listening = o->scenario != SCENARIO_ingest;
	bench.started_ns = bench.now_ns = clock_mono_ns();
	set_up();
	if (o->rate <= 0 && !in_rounds())
		client_answered = refill;
	if (o->scenario == SCENARIO_idle) {
		mark_set(MARK_START);
		rest(o->hold);
		mark_set(MARK_END);
	} else {
		measured_load();
	}
	check_end();
	if (o->scenario == SCENARIO_ingest && violations() == 0)
		audit();
	bench.stopped = true;
}
