/* SPDX-License-Identifier: MIT */
/*
 * Asks Sentinels, one after the other, where the master is.  Each has a second; the first that
 * knows is believed, and the master's ROLE proves it or not.
 */
#ifndef BUS_FINDER_H
#define BUS_FINDER_H

#include "bus/link.h"

enum { FINDER_ASK_MS = 1000 };

enum finder_state { FINDER_IDLE, FINDER_ASKING, FINDER_FOUND, FINDER_FAILED };

struct finder {
	const struct redis_url *url; /* borrowed */
	enum finder_state state;
	struct link link;
	size_t at;    /* which Sentinel */
	size_t tried; /* how many of them this time */
	bool asked;
	const char *why;    /* FAILED: a constant */
	struct place found; /* FOUND */
};

void finder_init(struct finder *finder, const struct redis_url *url);
void finder_begin(struct finder *finder, uint64_t now_ms);
/* With what poll() returned for finder->link, or 0. */
void finder_ready(struct finder *finder, short events, uint64_t now_ms);
/* IDLE again. */
void finder_stop(struct finder *finder);

#endif
