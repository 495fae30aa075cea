/* SPDX-License-Identifier: MIT */
/* What Prometheus reads: every table of counters in its text format, and a few facts of the
 * process. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/buf.h"
#include "base/stat.h"

struct metrics_process {
	const char *version, *node;
	uint64_t started_ms; /* since 1970 */
	uint64_t log_dropped;
	unsigned workers;
	/* Of the process; 0 where it can't be found out. */
	uint64_t resident_bytes, virtual_bytes, open_fds, max_fds, threads;
	double cpu_seconds;
	bool ready, store_writable, bus_configured;
};

/* Asks the kernel about this process; the rest is the caller's to fill. */
void metrics_process_read(struct metrics_process *ret_process);
/* Appends the whole page.  A pure function. */
void metrics_put(struct buf *to, const struct stats *sum, const struct metrics_process *process);

#endif
