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

enum { SERVERS_MAX = 8, PROCESSES_MAX = 256 };

static struct server {
	long pids[PROCESSES_MAX]; /* it, and all that descend from it */
	size_t count;
	double marked_s;
} servers[SERVERS_MAX];
static size_t server_count;
static struct {
	uint64_t at_ns, bytes_in, deliveries;
} mark;
static struct {
	uint64_t *items, count;
} latencies[LATENCY_MAX];
static uint64_t latencies_max;

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
server_cpu_s(struct server *server)
{
	double sum = 0;

	if (server->count == 1)
		for (size_t i = 0; i < server->count; i++)
			server->count = children_add(server->pids[i], server->pids, server->count);
	for (size_t i = 0; i < server->count; i++)
		sum += process_cpu_s(server->pids[i]) + reaped_cpu_s(server->pids[i]);
	return sum;
}

void
mark_init(const char *pids)
{
	char *end;

	for (; server_count < SERVERS_MAX && *pids != '\0'; pids = *end == ',' ? end + 1 : end) {
		servers[server_count] =
		    (struct server){.pids = {strtol(pids, &end, 10)}, .count = 1};
		if (end == pids || process_cpu_s(servers[server_count].pids[0]) <= 0)
			panic("no process %s", pids);
		server_count++;
	}
	if (server_count == 0 || *pids != '\0')
		panic("a number of processes from 1 to %d is wanted", SERVERS_MAX);
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
	for (size_t i = 0; i < LATENCY_MAX; i++)
		latencies[i].count = 0;
	for (size_t i = 0; i < server_count; i++)
		servers[i].marked_s = server_cpu_s(&servers[i]);
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
	for (size_t i = 0; i < LATENCY_MAX; i++)
		latencies[i].items = mem_zalloc(most * sizeof(*latencies[i].items));
	latencies_max = most;
}

void
latency_add(enum latency which, uint64_t ns)
{
	if (latencies[which].count < latencies_max)
		latencies[which].items[latencies[which].count++] = ns;
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
report_latencies(enum latency which, const char *prefix)
{
	static const struct {
		const char *name;
		uint64_t per_mille;
	} points[] = {{"p50_us", 500}, {"p90_us", 900}, {"p99_us", 990}, {"p999_us", 999}};
	uint64_t *items = latencies[which].items, count = latencies[which].count;

	if (count == 0)
		return;
	qsort(items, count, sizeof(*items), by_size);
	for (size_t i = 0; i < LEN(points); i++)
		printf(",\"%s%s\":%.1f", prefix, points[i].name,
		    (double)items[count * points[i].per_mille / 1000] / 1000);
}

/* Each server's own, in the order of their ids. */
static double
report_servers(void)
{
	double sum = 0;

	printf("{\"servers_cpu_s\":[");
	for (size_t i = 0; i < server_count; i++) {
		double spent = server_cpu_s(&servers[i]) - servers[i].marked_s;

		printf("%s%.6f", i > 0 ? "," : "", spent);
		sum += spent;
	}
	printf("]");
	return sum;
}

void
mark_report(uint64_t units, uint64_t verified)
{
	double wall = (double)(clock_mono_ns() - mark.at_ns) / 1e9, cpu;
	uint64_t received = deliveries - mark.deliveries;

	mark_settle();
	cpu = report_servers();
	printf(",\"units\":%llu,\"verified\":%llu,\"server_cpu_s\":%.6f,\"wall_s\":%.3f,"
	       "\"cpu_us_per_unit\":%.4f,\"units_per_s\":%.0f,\"bytes_per_delivery\":%.1f",
	    (unsigned long long)units, (unsigned long long)verified, cpu, wall,
	    cpu * 1e6 / (double)units, (double)units / wall,
	    received > 0 ? (double)(bytes_in - mark.bytes_in) / (double)received : 0.0);
	report_latencies(LATENCY_ANSWER, "");
	report_latencies(LATENCY_DELIVERY, "delivery_");
	puts("}");
	(void)fflush(stdout);
}
