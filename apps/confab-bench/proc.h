/* SPDX-License-Identifier: MIT */
/* What Linux says of a process and of the machine: CPU time by thread, memory. */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include "base/buf.h"

enum { PROC_THREADS_MAX = 256 };

struct proc_thread {
	int tid;
	char name[32];
	double cpu_s;
};

/* User and system time of a process, all threads, those that ended too. */
struct proc_cpu {
	double cpu_s;
	unsigned count;
	struct proc_thread threads[PROC_THREADS_MAX];
};

struct proc_memory {
	uint64_t rss, private_dirty; /* bytes */
};

/* False if there is no such process, or it may not be looked at. */
bool proc_cpu_read(int pid, struct proc_cpu *ret);
bool proc_memory_read(int pid, struct proc_memory *ret);
/* This process's own user and system time in seconds. */
double proc_own_cpu_s(void);
/* Appends `"machine":{…}`'s value: model of the CPU, cores, kernel, memory. */
void proc_put_machine(struct buf *to);

#endif
