/* SPDX-License-Identifier: MIT */
/* Who writes to whom, and the groups that this needs: made if they are not there. */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stddef.h>

struct client;

/* In the order of their turns; a client that writes to several targets is there once. */
struct writer {
	struct client *client;
	unsigned slot;
};
extern struct writer *writers;
extern size_t writer_count;

/* How many users the scenario needs. */
unsigned plan_users(void);
/* When all are connected: makes groups, and sets `writers`. */
void plan_writers(void);

#endif
