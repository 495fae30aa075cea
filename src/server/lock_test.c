/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/lock.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/slice.h"

static char top[64];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/lock_test-XXXXXX");
	return mkdtemp(top) == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(top);
}

static void
test_make(void **state)
{
	char dir[128], error[512] = "";
	struct stat st;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/a/b", top);
	assert_int_equal(data_dir_make(dir, error, sizeof(error)), 0);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(data_dir_make(dir, error, sizeof(error)), 0);
	assert_int_equal(data_dir_check(dir, error, sizeof(error)), 0);
	assert_string_equal(error, "");
	assert_int_equal(rmdir(dir), 0);
	(void)snprintf(dir, sizeof(dir), "%s/a", top);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_cannot_make(void **state)
{
	char error[512] = "";

	(void)state;
	assert_int_equal(data_dir_make("/proc/nobody/can", error, sizeof(error)), -1);
	assert_string_equal(error, "cannot make the data directory /proc/nobody/can: No such file "
				   "or directory; choose another with "
				   "--data DIR");
	assert_int_equal(data_dir_make("/dev/null", error, sizeof(error)), -1);
	assert_string_equal(error,
	    "the data directory /dev/null is not a directory; choose another with --data DIR");
	assert_int_equal(data_dir_make("", error, sizeof(error)), -1);
	assert_int_equal(data_dir_check("/proc", error, sizeof(error)), -1);
	assert_non_null(strstr(error, "cannot write to the data directory /proc: "));
}

static void
test_second(void **state)
{
	char path[128], error[512] = "", want[512];
	int fd, again;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/lock", top);
	fd = lock_take(path, "the data directory /d", error, sizeof(error));
	assert_true(fd >= 0);
	/* Locks of flock() belong to the open file, so a second opening is like a second process.
	 */
	again = lock_take(path, "the data directory /d", error, sizeof(error));
	assert_int_equal(again, -1);
	(void)snprintf(want, sizeof(want),
	    "the data directory /d is in use by another confabd (pid %ld); stop that one first, or "
	    "start this one "
	    "with a --data (and --store) of its own",
	    (long)getpid());
	assert_string_equal(error, want);
	assert_int_equal(close(fd), 0);
	fd = lock_take(path, "the data directory /d", error, sizeof(error));
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
}

/* A lock that is held already is kept, if it is this one. */
static void
test_keep(void **state)
{
	char path[128], other[128], error[512] = "";
	int fd, again;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/lock", top);
	(void)snprintf(other, sizeof(other), "%s/other", top);
	fd = lock_take(path, "it", error, sizeof(error));
	assert_true(fd >= 0);
	assert_int_equal(lock_keep(fd, path, "it", error, sizeof(error)), fd);
	assert_int_equal(lock_keep(-1, path, "it", error, sizeof(error)), -1);
	again = lock_keep(fd, other, "it", error, sizeof(error));
	assert_true(again >= 0);
	fd = lock_keep(-1, path, "it", error, sizeof(error));
	assert_true(fd >= 0);
	(void)close(fd);
	(void)close(again);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(other), 0);
}

/* The kernel lets go of the lock of a process that was killed. */
static void
test_killed(void **state)
{
	char path[128], error[512] = "";
	int fd, status, ready[2];
	pid_t child;
	char byte;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/lock", top);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		if (lock_take(path, "it", error, sizeof(error)) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_true(child > 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(lock_take(path, "it", error, sizeof(error)), -1);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	fd = lock_take(path, "it", error, sizeof(error));
	assert_true(fd >= 0);
	(void)close(fd);
	(void)close(ready[0]);
	(void)close(ready[1]);
	assert_int_equal(unlink(path), 0);
}

static void
test_unwritable(void **state)
{
	char error[512] = "";

	(void)state;
	assert_int_equal(
	    lock_take("/proc/version/lock", "the data directory /proc", error, sizeof(error)), -1);
	assert_string_equal(error, "cannot write to the data directory /proc: /proc/version/lock: "
				   "Not a directory; choose another with "
				   "--data DIR");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_make, setup, teardown),
	    cmocka_unit_test(test_cannot_make),
	    cmocka_unit_test_setup_teardown(test_second, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
	    cmocka_unit_test(test_unwritable),
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
