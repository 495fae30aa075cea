/* SPDX-License-Identifier: MIT */
#include "client/retry.h"

uint32_t
retry_window_ms(unsigned failures)
{
	unsigned doublings = failures > 0 ? failures - 1 : 0;

	if (doublings >= 7)
		return RETRY_MOST_MS;
	return (uint32_t)RETRY_FIRST_MS << doublings;
}

uint32_t
retry_delay_ms(unsigned failures, uint32_t random, uint64_t asked_ms)
{
	uint32_t delay = (uint32_t)(((uint64_t)random * (retry_window_ms(failures) + 1)) >> 32);

	if (asked_ms > RETRY_ASKED_MOST_MS)
		asked_ms = RETRY_ASKED_MOST_MS;
	return asked_ms > delay ? (uint32_t)asked_ms : delay;
}
