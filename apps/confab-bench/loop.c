/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include "report.h"

#define SECOND_NS UINT64_C(1000000000)

void
loop_turn(uint64_t until_ns)
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
	if (bench.now_ns - bench.started_ns > seconds_ns(bench.options.deadline))
		cannot("not done after %.0f s (--deadline)", bench.options.deadline);
}

bool
loop_stalled(void)
{
	static uint64_t seen, since_ns;
	const struct totals *t = &bench.totals;
	uint64_t now = t->sends + t->answers + t->deliveries + t->resumes + t->retried +
		       t->missing + bench.ready + bench.opening;

	if (now != seen) {
		seen = now;
		since_ns = bench.now_ns;
	}
	return bench.now_ns - since_ns > seconds_ns(bench.options.stall);
}

void
loop_open(uint32_t count)
{
	uint32_t most = bench.options.opening;

	if (bench.options.registers && most > 64)
		most = 64; /* passwords are hashed on few threads, with a short queue */
	for (uint32_t i = 0; i < count; i++) {
		if (bench.clients[i].state != CLIENT_CLOSED)
			continue;
		while (bench.opening >= most) {
			loop_turn(bench.now_ns + TICK_NS);
			if (loop_stalled())
				cannot("connections stay without an answer");
		}
		client_open(&bench.clients[i]);
	}
	while (bench.ready < count) {
		loop_turn(bench.now_ns + TICK_NS);
		if (loop_stalled())
			cannot("%u of %u connections stay without an answer", count - bench.ready,
			    count);
	}
}

void
loop_rest(double seconds)
{
	uint64_t until = bench.now_ns + seconds_ns(seconds);

	while (bench.now_ns < until)
		loop_turn(until);
}
