/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/metrics.h"

#include <ctype.h>

static const char *
page(struct buf *text, const struct stats *sum)
{
	struct metrics_process process = {.version = "1.2.3",
	    .node = "n7",
	    .started_ms = 1500,
	    .workers = 3,
	    .resident_bytes = 4096,
	    .cpu_seconds = 0.25,
	    .ready = true};

	metrics_put(text, sum, &process);
	buf_append(text, "", 1);
	return buf_head(text);
}

static void
has(const char *text, const char *line)
{
	if (strstr(text, line) == NULL)
		fail_msg("not there: %s", line);
}

static void
test_values(void **state)
{
	struct buf text = {0};
	struct stats sum = {0};
	const char *at;

	(void)state;
	sum.counters[STAT_ACCEPTED] = 18446744073709551615u;
	sum.counters[STAT_REFUSED_FD] = 2;
	sum.gauges[GAUGE_CONNS] = 5;
	sum.gauges[GAUGE_SESSIONS] = -1;
	sum.errors[1] = 9;
	sum.closes[2] = 8;
	sum.histograms[HISTOGRAM_COMMIT][0] = 1;
	sum.histograms[HISTOGRAM_COMMIT][10] = 2;
	sum.histograms[HISTOGRAM_COMMIT][HISTOGRAM_BUCKETS - 1] = 4;
	sum.histogram_sum_ns[HISTOGRAM_COMMIT] = 1500000000;
	at = page(&text, &sum);
	has(at, "\nconfab_connections_accepted_total 18446744073709551615\n");
	has(at, "\nconfab_connections_refused_total{reason=\"fd\"} 2\n");
	has(at, "\nconfab_connections 5\n");
	has(at, "\nconfab_sessions 0\n");
	has(at, "\nconfab_errors_total{name=\"parse_error\"} 9\n");
	has(at, "\nconfab_connections_closed_total{reason=\"slow\"} 8\n");
	has(at, "\nconfab_store_commit_seconds_bucket{le=\"1.024e-06\"} 1\n");
	has(at, "\nconfab_store_commit_seconds_bucket{le=\"0.001048576\"} 3\n");
	has(at, "\nconfab_store_commit_seconds_bucket{le=\"+Inf\"} 7\n");
	has(at, "\nconfab_store_commit_seconds_sum 1.500000000\n");
	has(at, "\nconfab_store_commit_seconds_count 7\n");
	has(at, "\nconfab_build_info{version=\"1.2.3\",node=\"n7\"} 1\n");
	has(at, "\nconfab_ready 1\n");
	has(at, "\nprocess_resident_memory_bytes 4096\n");
	has(at, "\nprocess_start_time_seconds 1.500\n");
	buf_fini(&text);
}

/* Name of the metric at the front of a line, without the ending of a histogram's series. */
static size_t
name_len(const char *line)
{
	size_t n = 0;

	while (isalnum((unsigned char)line[n]) || line[n] == '_')
		n++;
	return n;
}

/* Each metric is introduced once, by HELP and TYPE, right before all of its samples. */
static void
test_format(void **state)
{
	struct buf text = {0}, seen = {0};
	struct stats sum = {0};
	char current[128] = "", mark[140];
	size_t samples = 0;

	(void)state;
	buf_append(&seen, "", 1);
	for (const char *at = page(&text, &sum), *end; *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		assert_non_null(end);
		if (strncmp(at, "# HELP ", 7) == 0) {
			(void)snprintf(
			    current, sizeof(current), "%.*s", (int)name_len(at + 7), at + 7);
			(void)snprintf(mark, sizeof(mark), "\n%s\n", current);
			if (strstr(buf_head(&seen), mark) != NULL)
				fail_msg("%s is introduced twice", current);
			seen.end--;
			buf_append(&seen, mark, strlen(mark) + 1);
			assert_true(
			    at[7 + strlen(current)] == ' ' && at + 8 + strlen(current) < end);
		} else if (strncmp(at, "# TYPE ", 7) == 0) {
			assert_int_equal(strncmp(at + 7, current, strlen(current)), 0);
		} else {
			samples++;
			assert_int_equal(strncmp(at, current, strlen(current)), 0);
			assert_true(name_len(at) == strlen(current) || at[strlen(current)] == '_');
			assert_true(memchr(at, ' ', (size_t)(end - at)) != NULL &&
				    isdigit((unsigned char)end[-1]));
		}
	}
	assert_true(samples > 100);
	buf_fini(&text);
	buf_fini(&seen);
}

static void
test_process(void **state)
{
	struct metrics_process p = {0};

	(void)state;
	metrics_process_read(&p);
	assert_true(p.resident_bytes > 0 && p.resident_bytes < p.virtual_bytes);
	assert_in_range(p.open_fds, 3, 64);
	assert_true(p.max_fds >= p.open_fds);
	assert_true(p.threads >= 1);
	assert_true(p.cpu_seconds > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_format),
	    cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
