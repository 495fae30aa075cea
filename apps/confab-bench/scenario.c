/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "loop.h"
#include "plan.h"
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/panic.h"

enum { VIOLATIONS_MAX = 100, STORM_STEP = 8 };

#define RECONNECT_NS (50 * UINT64_C(1000000))

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

static bool
in_rounds(void)
{
	return bench.options.scenario == SCENARIO_fanout && bench.options.rate <= 0 &&
	       bench.options.window == 0;
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

/* A day's other things: typing, reading, going away, leaving and coming back. */
static void
mixed_beside(struct client *c, unsigned slot)
{
	uint32_t what = random_up_to(1000);

	if (what < 200)
		client_signal(c, slot);
	else if (what < 500)
		client_mark(c);
	else if (what < 520)
		client_presence(c);
	else if (what < 525 && c->state == CLIENT_READY) {
		client_abort(c);
		client_reopen(c, bench.now_ns + RECONNECT_NS);
	}
}

/* To whom: of a hundred messages 55 go to one other, 43 to small groups, 2 to large ones. */
static unsigned
mixed_slot(const struct client *c)
{
	uint32_t what = random_up_to(100);
	unsigned groups = c->author_count - 1, first;

	if (what < 55 || groups == 0)
		return 0;
	first = random_up_to(groups);
	for (unsigned i = 0; i < groups; i++) {
		unsigned slot = 1 + (first + i) % groups;

		if (c->authors[slot].large == (what >= 98))
			return slot;
	}
	return 0;
}

static const struct writer *
next_writer(void)
{
	if (bench.options.scenario == SCENARIO_mixed) {
		struct writer *w = &writers[random_up_to((uint32_t)writer_count)];

		w->slot = mixed_slot(w->client);
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
	bool going, cutting;
} beside;

static void
storm_begin(void)
{
	beside.going = beside.cutting = true;
	beside.at = 0;
}

/* Some at a time: those who stay are looked at in between. */
static void
storm_step(void)
{
	unsigned some = STORM_STEP;

	for (; beside.cutting && beside.at < bench.client_count && some > 0; beside.at++) {
		struct client *c = &bench.clients[beside.at];

		if (c->prompt)
			continue;
		client_abort(c);
		c->opened_ns = bench.now_ns;
		some--;
	}
	if (beside.cutting && beside.at == bench.client_count) {
		beside.cutting = false;
		beside.at = 0;
		beside.until_ns = bench.now_ns + seconds_ns(bench.options.away);
	}
	if (!beside.cutting && bench.now_ns < beside.until_ns)
		return;
	for (; !beside.cutting && beside.at < bench.client_count && some > 0 &&
	       bench.opening < bench.options.opening;
	     beside.at++) {
		const struct client *c = &bench.clients[beside.at];

		if (c->state != CLIENT_CLOSED || c->reopen_ns != 0)
			continue;
		client_open(&bench.clients[beside.at]);
		some--;
	}
	if (!beside.going || beside.cutting || beside.at < bench.client_count ||
	    bench.ready < bench.client_count)
		return;
	if (--beside.rounds > 0) {
		storm_begin();
		return;
	}
	beside.going = false;
	run.over = true;
}

/* There is more to be cut or opened at once. */
static bool
storm_hurries(void)
{
	return beside.going && bench.options.scenario == SCENARIO_resume_storm &&
	       (beside.cutting ||
		   (bench.now_ns >= beside.until_ns && beside.at < bench.client_count &&
		       bench.opening < bench.options.opening));
}

static void
slow_begin(void)
{
	beside.first = bench.client_count - bench.options.slow;
	for (uint32_t i = beside.first; i < bench.client_count; i++)
		link_pause(&bench.clients[i], true);
	beside.going = true;
	beside.until_ns = bench.now_ns + seconds_ns(bench.options.pause);
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
	return loop_stalled();
}

static void
load(uint64_t messages, double seconds)
{
	bench.now_ns = clock_mono_ns();
	run.left = messages > 0 ? messages : UINT64_MAX;
	run.until_ns = seconds > 0 ? bench.now_ns + seconds_ns(seconds) : UINT64_MAX;
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
		loop_turn(storm_hurries() ? bench.now_ns
			  : bench.options.rate > 0 && run.due_ns > bench.now_ns
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
		loop_turn(bench.now_ns + TICK_NS / 5);
		if (loop_stalled() || violations() > VIOLATIONS_MAX)
			return;
	}
}

static void
measured_load(void)
{
	const struct options *o = &bench.options;
	double warm = o->warmup >= 0 ? o->warmup : o->seconds > 0 ? o->seconds / 10 : 0;

	if (o->scenario == SCENARIO_resume_storm) {
		/* The first message of a pair costs more than any other: it is not what the storm is compared with. */
		load(o->pairs, 0);
		drain();
		hist_clear(&bench.ack);
	}
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
		loop_turn(bench.now_ns + TICK_NS);
		if (loop_stalled()) {
			violation(VIOLATION_LOST, &auditor, conv->cid, auditor.holes[0].from,
			    "history doesn't answer");
			break;
		}
	}
	bench.stopped = true;
	client_abort(&auditor);
}

/* --- A run --- */

static void
set_up(void)
{
	const struct options *o = &bench.options;

	random_state = o->seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
	if (o->rate > 0)
		run.step_ns = seconds_ns(o->burst / o->rate);
	for (uint32_t i = 0; i < bench.client_count; i++) {
		bench.clients[i].unsynced = !bench.listening;
		bench.clients[i].was_slow =
		    o->scenario == SCENARIO_slow_readers && i >= bench.client_count - o->slow;
		/* Of a storm: who stays, and writes. */
		bench.clients[i].prompt =
		    o->scenario == SCENARIO_resume_storm && i < 2 * o->pairs && i % 2 == 0;
	}
	bench.setting_up = true;
	mark_set(MARK_EMPTY);
	if (o->from > 0 && o->from < bench.client_count) {
		loop_open(o->from);
		loop_rest(o->rest);
		mark_set(MARK_OPEN_FROM);
	}
	loop_open(bench.client_count);
	client_hello(&bench.clients[0]);
	loop_rest(o->rest);
	mark_set(MARK_OPEN);
	bench.setting_up = false;
	plan_writers();
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
		loop_rest(o->hold);
		mark_set(MARK_END);
	} else {
		measured_load();
	}
	check_end();
	if (o->scenario == SCENARIO_ingest && violations() == 0)
		audit();
	bench.stopped = true;
}
