/* SPDX-License-Identifier: MIT */
/* What is measured: the CPU time of the server and of all processes it started, wall time, latencies. */
#ifndef BENCH_DRIVE_MARK_H
#define BENCH_DRIVE_MARK_H

#include <stdbool.h>
#include <stdint.h>

/* The servers, by process ids with commas between them; their children are counted with them. */
void mark_init(const char *pids);
/* The server has nothing to do just now: lets it go to sleep, which brings its clocks up to date. */
void mark_settle(void);
/* From here on. */
void mark_set(void);
bool mark_is_set(void);
/* One line of JSON: what happened since the mark, per unit; verified: what was checked in the whole run. */
void mark_report(uint64_t units, uint64_t verified);

/* p50_us and so on, and delivery_p50_us. */
enum latency { LATENCY_ANSWER, LATENCY_DELIVERY, LATENCY_MAX };

/* Room for so many latencies of each kind; without it none are taken. */
void latencies_init(uint64_t most);
void latency_add(enum latency which, uint64_t ns);

#endif
