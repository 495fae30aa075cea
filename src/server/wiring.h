/* SPDX-License-Identifier: MIT */
/* Which stores, buses and protocols this build has: one table in wiring.c, nothing registers
 * itself. */
#ifndef SERVER_WIRING_H
#define SERVER_WIRING_H

#include "base/slice.h"

enum wiring_kind { WIRING_STORE, WIRING_BUS, WIRING_PROTOCOL };

struct wiring {
	enum wiring_kind kind;
	const char *scheme; /* how its address begins */
	const char *missing; /* why this build does not have it, and what to do; NULL: it has it */
	bool needs_path; /* something must follow the scheme */
	bool on_disk; /* lives in the data directory */
};

/* The row whose scheme the address begins with, or NULL. */
const struct wiring *wiring_find(enum wiring_kind kind, slice address);
/* Walks the rows of a kind: start with NULL; NULL at the end. */
const struct wiring *wiring_next(enum wiring_kind kind, const struct wiring *after);

#endif
