/* SPDX-License-Identifier: MIT */
/* A turn of everything: input, what is due, the progress line; and what is waited for in turns. */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define TICK_NS (10 * UINT64_C(1000000))

static inline uint64_t
seconds_ns(double seconds)
{
	return (uint64_t)(seconds * 1e9);
}

/* Waits for input until then, a tick at most; ends the program when --deadline is over. */
void loop_turn(uint64_t until_ns);
/* Whether what is awaited has not come any nearer for --stall seconds. */
bool loop_stalled(void);
void loop_rest(double seconds);
/* Connects the first `count` clients that are not, and waits until all of them are ready. */
void loop_open(uint32_t count);

#endif
