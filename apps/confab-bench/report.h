/* SPDX-License-Identifier: MIT */
/* What is reported: the costs between two marks, as JSON, and a line while it runs. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench.h"

/* The costs between two marks. */
struct mark {
	uint64_t at_ns;
	struct totals totals;
	struct proc_cpu cpu;
	struct proc_memory memory;
	double own_cpu_s;
	uint32_t connections;
};
enum { MARK_EMPTY, MARK_OPEN_FROM, MARK_OPEN, MARK_START, MARK_END, MARK_MAX };
extern struct mark marks[MARK_MAX];
void mark_set(unsigned which);
void report_progress(void);
void report_print(int argc, char **argv);

#endif
