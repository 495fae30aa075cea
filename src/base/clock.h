/* SPDX-License-Identifier: MIT */
/* The two clocks.  Only the ends of the program read them; the chat core is told the time. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Since some start, never backwards (CLOCK_MONOTONIC). */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* Milliseconds since 1970 in UTC; can jump. */
uint64_t clock_real_ms(void);

#endif
