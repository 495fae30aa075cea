/* SPDX-License-Identifier: MIT */
/* How long to wait before the next try: a pure function, so that its bounds can be tested. */
#ifndef CLIENT_RETRY_H
#define CLIENT_RETRY_H

#include <stdint.h>

enum {
	RETRY_FIRST_MS = 500,
	RETRY_MOST_MS = 60 * 1000,
	RETRY_ASKED_MOST_MS = 60 * 60 * 1000, /* a server that asks for more is not believed */
};

/* The longest wait after that many failures in a row: 0.5 s, doubled by each after the first, 60 s.
 */
uint32_t retry_window_ms(unsigned failures);
/*
 * The wait: `random` (any number, uniformly chosen) dealt over 0 … window, and not less than
 * asked_ms, which is what the server asked for (0: nothing).
 */
uint32_t retry_delay_ms(unsigned failures, uint32_t random, uint64_t asked_ms);

#endif
