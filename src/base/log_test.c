/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static char dir[64];
static char path[96];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/confab-log-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)rmdir(dir);
	return 0;
}

static char *
read_file(const char *from)
{
	static char text[4 * 1024 * 1024];
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	(void)close(fd);
	return text;
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
lines_have_time_level_module_event(void **state)
{
	const char *text;
	int year, hour, ms;

	(void)state;
	assert_int_equal(log_start(path, LOG_INFO), 0);
	log_info("test", "begin", "%s", "");
	log_warn("test", "thing", "conn=%d why=%s", 7, "x");
	log_debug("test", "hidden", "a=%d", 1);
	log_error("test", "two\nlines", "text=%s", "a\nb\x1b[31m");
	log_stop();

	text = read_file(path);
	assert_int_equal(
	    sscanf(text, "%d-%*d-%*dT%d:%*d:%*d.%dZ info test begin", &year, &hour, &ms), 3);
	assert_non_null(strstr(text, "Z warn test thing conn=7 why=x\n"));
	assert_non_null(strstr(text, "Z error test two lines text=a b [31m\n"));
	assert_null(strstr(text, "hidden"));
	assert_int_equal(count(text, "\n"), 3);
}

static void
long_lines_are_cut(void **state)
{
	static char body[3000];
	char *text;

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	assert_int_equal(log_start(path, LOG_INFO), 0);
	log_info("test", "long", "body=%s", body);
	log_stop();
	text = read_file(path);
	assert_true(strlen(text) < 1100);
	assert_string_equal(text + strlen(text) - 4, "...\n");
}

static void
repeats_are_limited_and_told(void **state)
{
	uint64_t began = clock_mono_ms();
	char *text;

	(void)state;
	assert_int_equal(log_start(path, LOG_INFO), 0);
	for (int i = 0; i < 25; i++) {
		log_info("test", "repeat", "i=%d", i);
		log_info("test", "other", "i=%d", i);
	}
	/* The window is a second of the real clock: the time itself is what is tested here. */
	while (clock_mono_ms() - began < 1100)
		(void)usleep(20000);
	log_info("test", "repeat", "i=%d", 99);
	log_stop();
	text = read_file(path);
	assert_int_equal(count(text, " test repeat "), 11);
	assert_int_equal(count(text, " test other "), 10);
	assert_non_null(strstr(text, "info test repeat suppressed=15 i=99\n"));
}

static void
reopen_starts_a_new_file(void **state)
{
	char moved[128];

	(void)state;
	(void)snprintf(moved, sizeof(moved), "%s/log.1", dir);
	assert_int_equal(log_start(path, LOG_INFO), 0);
	log_info("test", "old", "n=%d", 1);
	while (strstr(read_file(path), "old") == NULL)
		(void)usleep(1000);
	assert_int_equal(rename(path, moved), 0);
	log_reopen(LOG_DEBUG);
	while (access(path, F_OK) != 0)
		(void)usleep(1000);
	log_debug("test", "new", "n=%d", 2);
	log_stop();
	assert_int_equal(count(read_file(moved), "\n"), 1);
	assert_int_equal(count(read_file(path), "debug test new n=2\n"), 1);
	(void)unlink(moved);
}

/* What a full disk cuts off ends there: the lines that fit later stand for themselves. */
static void
a_full_disk_leaves_no_mixed_lines(void **state)
{
	struct rlimit before, small;
	struct sigaction ignore = {.sa_handler = SIG_IGN}, was;
	char *text;

	(void)state;
	assert_int_equal(sigaction(SIGXFSZ, &ignore, &was), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){.rlim_cur = 100, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(log_start(path, LOG_INFO), 0);
	log_info("disk", "one", "%s", "fits");
	log_info("disk", "two", "does=not padding=%060d", 2);
	log_info("disk", "three", "%s", "");
	while (log_dropped() < 2)
		(void)usleep(1000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	log_info("disk", "four", "%s", "again");
	log_stop();
	assert_int_equal(sigaction(SIGXFSZ, &was, NULL), 0);
	text = read_file(path);
	assert_int_equal(count(text, "\n"), 4);
	assert_int_equal(count(text, "Z info disk one fits\n"), 1);
	assert_int_equal(count(text, "Z info disk two does=not"), 1);
	assert_int_equal(count(text, "three"), 0);
	assert_int_equal(count(text, "Z info disk four again\n"), 1);
	assert_int_equal(count(text, "log dropped lines=2\n"), 1);
	for (char *at = text; (at = strchr(at, '\n')) != NULL && at[1] != '\0'; at++)
		assert_memory_equal(at + 1, "20", 2);
}

static void
an_unopenable_file_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(log_start("/nonexistent/dir/log", LOG_INFO), -1);
	log_stop();
}

static void *
drain_pipe(void *cookie)
{
	static char text[4 * 1024 * 1024];
	const int *fd = cookie;
	size_t len = 0;
	ssize_t n;

	while ((n = read(*fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

/* A pipe that nobody reads stops the writer; callers go on, lines beyond the ring are counted. */
static void
a_full_ring_drops_and_counts(void **state)
{
	uint64_t before = log_dropped();
	static char pad[900];
	unsigned written = 0;
	pthread_t reader;
	void *text;
	int fds[2], saved = dup(STDERR_FILENO);

	(void)state;
	memset(pad, 'p', sizeof(pad) - 1);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(fds[1]);
	assert_int_equal(log_start(NULL, LOG_INFO), 0);
	for (int kind = 0; log_dropped() == before; kind++) {
		char event[16];

		assert_true(kind < 500);
		(void)snprintf(event, sizeof(event), "kind%d", kind);
		for (int i = 0; i < 10; i++, written++)
			log_info("full", event, "%s", pad);
	}
	assert_int_equal(pthread_create(&reader, NULL, drain_pipe, &fds[0]), 0);
	log_stop();
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved);
	(void)pthread_join(reader, &text);
	(void)close(fds[0]);
	assert_int_equal(count(text, " info full kind") + (log_dropped() - before), written);
	assert_int_equal(count(text, " warn log dropped lines="), 1);
}

static void *
shout(void *cookie)
{
	for (int i = 0; i < 10; i++)
		log_info("threads", cookie, "i=%d", i);
	return NULL;
}

static void
threads_share_the_ring(void **state)
{
	static char names[][8] = {"a", "b", "c", "d"};
	pthread_t threads[LEN(names)];

	(void)state;
	assert_int_equal(log_start(path, LOG_INFO), 0);
	for (size_t i = 0; i < LEN(names); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, shout, names[i]), 0);
	for (size_t i = 0; i < LEN(names); i++)
		(void)pthread_join(threads[i], NULL);
	log_stop();
	assert_int_equal(count(read_file(path), " info threads "), 40);
}

static void
text_is_quoted_and_cut(void **state)
{
	char text[16];

	(void)state;
	assert_string_equal(log_text(S("bob"), text, sizeof(text)), "\"bob\"");
	assert_string_equal(log_text(S("a\"\\\n"), text, sizeof(text)), "\"a\\\"\\\\\\n\"");
	assert_string_equal(log_text(S("\x1b\xff"), text, sizeof(text)), "\"\\x1b\\xff\"");
	assert_string_equal(log_text(S("1234567890123"), text, sizeof(text)), "\"1234567890123\"");
	assert_string_equal(log_text(S("12345678901234"), text, sizeof(text)), "\"1234567890...\"");
	assert_string_equal(log_text(SLICE_NONE, text, sizeof(text)), "\"\"");
	assert_string_equal(log_text(S("\x01\x02\x03"), text, 8), "\"...\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(lines_have_time_level_module_event, setup, teardown),
	    cmocka_unit_test_setup_teardown(long_lines_are_cut, setup, teardown),
	    cmocka_unit_test_setup_teardown(repeats_are_limited_and_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(reopen_starts_a_new_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_full_disk_leaves_no_mixed_lines, setup, teardown),
	    cmocka_unit_test(an_unopenable_file_is_an_error),
	    cmocka_unit_test_setup_teardown(a_full_ring_drops_and_counts, setup, teardown),
	    cmocka_unit_test_setup_teardown(threads_share_the_ring, setup, teardown),
	    cmocka_unit_test(text_is_quoted_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
