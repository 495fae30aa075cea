/* SPDX-License-Identifier: MIT */
#include "mark.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "drive.h"

enum { PROCESSES_MAX = 256 };

static long server_pid;
static struct {
	double cpu_s;
	uint64_t at_ns, bytes_in, deliveries;
} mark;
static uint64_t *latencies, latency_count, latencies_max;

/* Finer than the ticks of /proc/PID/stat: all threads, those that have ended too, in ns. */
static double
process_cpu_s(long pid)
{
	struct timespec spent;
	clockid_t clock;

	if (clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &spent) != 0)
		return 0; /* it has just ended */
	return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

/* What children took that ended and were waited for, of which no clock is left. */
static double
reaped_cpu_s(long pid)
{
	char path[64], text[1024];
	unsigned long user = 0, sys = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if ((f = fopen(path, "r")) == NULL)
		return 0;
	if (fgets(text, sizeof(text), f) != NULL && strrchr(text, ')') != NULL)
		(void)sscanf(strrchr(text, ')') + 2,
		    "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
	(void)fclose(f);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

/* Adds the children of any thread of pid; returns the new count. */
static size_t
children_add(long pid, long pids[PROCESSES_MAX], size_t count)
{
	char command[128];
	FILE *f;

	(void)snprintf(command, sizeof(command), "cat /proc/%ld/task/*/children 2>/dev/null", pid);
	if ((f = popen(command, "r")) == NULL)
		panic("popen: %s", strerror(errno));
	while (count < PROCESSES_MAX && fscanf(f, "%ld", &pids[count]) == 1)
		count++;
	(void)pclose(f);
	return count;
}

static double
server_cpu_s(void)
{
	static long pids[PROCESSES_MAX];
	static size_t count;
	double sum = 0;

	if (count == 0)
		for (size_t i = 0, n = count = 1; i < n; i++) {
			pids[0] = server_pid;
			n = count = children_add(pids[i], pids, count);
		}
	for (size_t i = 0; i < count; i++)
		sum += process_cpu_s(pids[i]) + reaped_cpu_s(pids[i]);
	return sum;
}

void
mark_init(long pid)
{
	server_pid = pid;
	if (process_cpu_s(pid) <= 0)
		panic("no process %ld", pid);
}

/* The kernel adds to a running thread's time at every tick only, to a sleeping one's at once. */
void
mark_settle(void)
{
	static const struct timespec a_while = {.tv_nsec = 3000000};

	(void)nanosleep(&a_while, NULL);
}

void
mark_set(void)
{
	latency_count = 0;
	mark.cpu_s = server_cpu_s();
	mark.bytes_in = bytes_in;
	mark.deliveries = deliveries;
	mark.at_ns = clock_mono_ns();
}

bool
mark_is_set(void)
{
	return mark.at_ns != 0;
}

void
latencies_init(uint64_t most)
{
	latencies = mem_zalloc(most * sizeof(*latencies));
	latencies_max = most;
}

void
latency_add(uint64_t ns)
{
	if (latency_count < latencies_max)
		latencies[latency_count++] = ns;
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
report_latencies(void)
{
	static const struct {
		const char *name;
		uint64_t per_mille;
	} points[] = {{"p50_us", 500}, {"p90_us", 900}, {"p99_us", 990}, {"p999_us", 999}};

	if (latency_count == 0)
		return;
	qsort(latencies, latency_count, sizeof(*latencies), by_size);
	for (size_t i = 0; i < LEN(points); i++)
		printf(",\"%s\":%.1f", points[i].name,
		    (double)latencies[latency_count * points[i].per_mille / 1000] / 1000);
}

void
mark_report(uint64_t units, uint64_t verified)
{
	double wall = (double)(clock_mono_ns() - mark.at_ns) / 1e9, cpu;
	uint64_t received = deliveries - mark.deliveries;

	mark_settle();
	cpu = server_cpu_s() - mark.cpu_s;
	printf("{\"units\":%llu,\"verified\":%llu,\"server_cpu_s\":%.6f,\"wall_s\":%.3f,"
	       "\"cpu_us_per_unit\":%.4f,\"units_per_s\":%.0f,\"bytes_per_delivery\":%.1f",
	    (unsigned long long)units, (unsigned long long)verified, cpu, wall,
	    cpu * 1e6 / (double)units, (double)units / wall,
	    received > 0 ? (double)(bytes_in - mark.bytes_in) / (double)received : 0.0);
	report_latencies();
	puts("}");
	(void)fflush(stdout);
}
