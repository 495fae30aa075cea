/* SPDX-License-Identifier: MIT */
#include "server/metrics.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/panic.h"
#include "chat/error.h"
#include "gate/gate.h"
#include "net/net.h"

struct row {
	const char *metric, *label, *help;
};

#define ROW(name, metric, label, help) {metric, label, help},
static const struct row counters[] = {STAT_COUNTERS(ROW)};
static const struct row gauges[] = {STAT_GAUGES(ROW)};
static const struct row histograms[] = {STAT_HISTOGRAMS(ROW)};

static_assert((int)ERR_MAX <= STAT_CODES && (int)CLOSE_MAX <= STAT_CODES,
    "every error and reason has its counter");

/* --- The process --- */

/* Reads a small file of /proc; it is no disk, and answers at once. */
static bool
read_proc(const char *path, char *ret_text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, ret_text, size - 1);
	(void)close(fd);
	if (n < 0)
		return false;
	ret_text[n] = '\0';
	return true;
}

/* Linux says the number as the directory's size since 6.2; before, it has to be counted. */
static uint64_t
count_fds(void)
{
	struct stat st;
	uint64_t count = 0;
	DIR *dir;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	if ((dir = opendir("/proc/self/fd")) == NULL)
		return 0;
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		count += isdigit((unsigned char)entry->d_name[0]) != 0;
	(void)closedir(dir);
	return count > 0 ? count - 1 : 0;
}

/* The number behind "Threads:" in /proc/self/status. */
static uint64_t
count_threads(void)
{
	char text[4096];
	const char *at;
	uint64_t count = 0;

	if (!read_proc("/proc/self/status", text, sizeof(text)) ||
	    (at = strstr(text, "\nThreads:")) == NULL)
		return 0;
	return sscanf(at, "\nThreads: %" SCNu64, &count) == 1 ? count : 0;
}

void
metrics_process_read(struct metrics_process *ret_process)
{
	uint64_t pages_all, pages_here, page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct rusage usage;
	struct rlimit files;
	char text[256];

	if (read_proc("/proc/self/statm", text, sizeof(text)) &&
	    sscanf(text, "%" SCNu64 " %" SCNu64, &pages_all, &pages_here) == 2) {
		ret_process->virtual_bytes = pages_all * page;
		ret_process->resident_bytes = pages_here * page;
	}
	ret_process->open_fds = count_fds();
	ret_process->threads = count_threads();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		ret_process->max_fds = files.rlim_cur;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		ret_process->cpu_seconds =
		    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- The page --- */

/* Said once a metric: rows of one metric stand together. */
static void
put_head(struct buf *to, const struct row *rows, size_t i, const char *type)
{
	if (i > 0 && strcmp(rows[i].metric, rows[i - 1].metric) == 0)
		return;
	buf_printf(
	    to, "# HELP %s %s\n# TYPE %s %s\n", rows[i].metric, rows[i].help, rows[i].metric, type);
}

static void
put_name(struct buf *to, const struct row *row)
{
	if (row->label[0] != '\0')
		buf_printf(to, "%s{%s} ", row->metric, row->label);
	else
		buf_printf(to, "%s ", row->metric);
}

static void
put_counters(struct buf *to, const struct stats *sum)
{
	for (size_t i = 0; i < LEN(counters); i++) {
		put_head(to, counters, i, "counter");
		put_name(to, &counters[i]);
		buf_printf(to, "%" PRIu64 "\n", sum->counters[i]);
	}
}

static void
put_gauges(struct buf *to, const struct stats *sum)
{
	for (size_t i = 0; i < LEN(gauges); i++) {
		put_head(to, gauges, i, "gauge");
		put_name(to, &gauges[i]);
		/* Threads are read one after the other: a sum can be off by what moved meanwhile.
		 */
		buf_printf(to, "%" PRId64 "\n", sum->gauges[i] > 0 ? sum->gauges[i] : 0);
	}
}

static void
put_histograms(struct buf *to, const struct stats *sum)
{
	for (size_t i = 0; i < LEN(histograms); i++) {
		const char *metric = histograms[i].metric;
		uint64_t count = 0;

		put_head(to, histograms, i, "histogram");
		for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
			count += sum->histograms[i][b];
			if (b < HISTOGRAM_BUCKETS - 1)
				buf_printf(to, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", metric,
				    (double)((uint64_t)1024 << b) / 1e9, count);
			else
				buf_printf(
				    to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", metric, count);
		}
		buf_printf(to, "%s_sum %.9f\n", metric, (double)sum->histogram_sum_ns[i] / 1e9);
		buf_printf(to, "%s_count %" PRIu64 "\n", metric, count);
	}
}

static void
put_named(struct buf *to, const struct stats *sum)
{
	buf_printf(to, "# HELP confab_errors_total Requests answered with an error\n"
		       "# TYPE confab_errors_total counter\n");
	for (unsigned err = ERR_OK + 1; err < ERR_MAX; err++)
		buf_printf(to, "confab_errors_total{name=\"%s\"} %" PRIu64 "\n",
		    gate_error_name((enum err)err), sum->errors[err]);
	buf_printf(to, "# HELP confab_connections_closed_total Connections closed\n"
		       "# TYPE confab_connections_closed_total counter\n");
	for (unsigned reason = 0; reason < CLOSE_MAX; reason++)
		buf_printf(to, "confab_connections_closed_total{reason=\"%s\"} %" PRIu64 "\n",
		    close_reason_name((enum close_reason)reason), sum->closes[reason]);
}

static void
put_number(struct buf *to, const char *metric, const char *type, const char *help, uint64_t number)
{
	buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", metric, help, metric, type,
	    metric, number);
}

static void
put_process(struct buf *to, const struct metrics_process *p)
{
	buf_printf(to,
	    "# HELP confab_build_info What runs here\n# TYPE confab_build_info gauge\n"
	    "confab_build_info{version=\"%s\",node=\"%s\"} 1\n",
	    p->version, p->node);
	put_number(to, "confab_ready", "gauge", "Whether it can serve", p->ready);
	put_number(to, "confab_store_writable", "gauge",
	    "Whether the last attempt to write to the store succeeded, and none hangs",
	    p->store_writable);
	put_number(to, "confab_bus_configured", "gauge",
	    "Whether this node hears of others over Redis", p->bus_configured);
	put_number(to, "confab_workers", "gauge", "Event loops", p->workers);
	put_number(to, "confab_log_dropped_total", "counter",
	    "Log lines dropped because the ring was full", p->log_dropped);
	put_number(
	    to, "process_resident_memory_bytes", "gauge", "Resident memory", p->resident_bytes);
	put_number(to, "process_virtual_memory_bytes", "gauge", "Virtual memory", p->virtual_bytes);
	put_number(to, "process_open_fds", "gauge", "Open file descriptors", p->open_fds);
	put_number(to, "process_max_fds", "gauge", "Most descriptors that may be open", p->max_fds);
	put_number(to, "process_threads", "gauge", "Threads", p->threads);
	buf_printf(to,
	    "# HELP process_start_time_seconds When it started, since 1970\n"
	    "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f\n"
	    "# HELP process_cpu_seconds_total User and system time\n"
	    "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.6f\n",
	    (double)p->started_ms / 1e3, p->cpu_seconds);
}

void
metrics_put(struct buf *to, const struct stats *sum, const struct metrics_process *process)
{
	put_counters(to, sum);
	put_gauges(to, sum);
	put_histograms(to, sum);
	put_named(to, sum);
	put_process(to, process);
}
