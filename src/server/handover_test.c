/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/slice.h"

static void
say(const char *pid, const char *fds, const char *names)
{
	assert_int_equal(setenv("LISTEN_PID", pid, 1), 0);
	assert_int_equal(setenv("LISTEN_FDS", fds, 1), 0);
	assert_int_equal(
	    names != NULL ? setenv("LISTEN_FDNAMES", names, 1) : unsetenv("LISTEN_FDNAMES"), 0);
}

static void
test_take(void **state)
{
	static const struct {
		const char *fds, *names;
		size_t count;
		const char *first, *last;
	} table[] = {
	    {"1", NULL, 1, "", ""},
	    {"1", "web", 1, "web", "web"},
	    {"2", "web", 2, "web", ""},
	    {"3", "a::b", 3, "a", "b"},
	    {"2", "a:b:too:many", 2, "a", "b"},
	    {"72", "", 72, "", ""},
	    {"0", "a", 0, NULL, NULL},
	    {"-1", "a", 0, NULL, NULL},
	    {"73", "a", 0, NULL, NULL},
	    {"1x", "a", 0, NULL, NULL},
	    {"", "a", 0, NULL, NULL},
	};
	struct handover handover;
	char pid[24];

	(void)state;
	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	for (size_t i = 0; i < LEN(table); i++) {
		say(pid, table[i].fds, table[i].names);
		handover_take(&handover);
		assert_int_equal(handover.count, table[i].count);
		if (table[i].count > 0) {
			assert_string_equal(handover.items[0].name, table[i].first);
			assert_string_equal(handover.items[handover.count - 1].name, table[i].last);
			assert_int_equal(handover.items[handover.count - 1].fd, 2 + handover.count);
		}
		assert_null(getenv("LISTEN_PID"));
		assert_null(getenv("LISTEN_FDS"));
		assert_null(getenv("LISTEN_FDNAMES"));
	}
	say("1", "1", "a");
	handover_take(&handover);
	assert_int_equal(handover.count, 0);
	assert_null(getenv("LISTEN_FDS"));
}

static void
test_claim(void **state)
{
	struct handover handover = {
	    .count = 3, .items = {{10, "confab-listen=127.0.0.1,0"}, {11, "x"}, {12, "x"}}};
	char name[HANDOVER_NAME_BYTES];

	(void)state;
	handover_listen_name("127.0.0.1:0", name);
	assert_string_equal(name, "confab-listen=127.0.0.1,0");
	assert_true(handover_is_own(&handover));
	assert_int_equal(handover_claim(&handover, "nothing"), -1);
	assert_int_equal(handover_claim(&handover, "x"), 11);
	assert_int_equal(handover_claim(&handover, "x"), 12);
	assert_int_equal(handover_claim(&handover, "x"), -1);
	assert_int_equal(handover_claim(&handover, name), 10);
	assert_int_equal(handover_claim(&handover, name), -1);
	assert_true(handover_is_own(&handover));
	handover = (struct handover){.count = 1, .items = {{10, "confabd.socket"}}};
	assert_false(handover_is_own(&handover));
}

/* The next program finds them, in their order, and knows that they are meant for it. */
static void
test_exec(void **state)
{
	static char script[] = "test \"$LISTEN_FDS $LISTEN_FDNAMES\" = '2 second:first' && test "
			       "\"$LISTEN_PID\" -eq $$ && "
			       "read one <&3 && read two <&4 && test \"$one $two\" = 'B A' && ! "
			       "test -e /proc/self/fd/5";
	static char shell[] = "sh", option[] = "-c";
	char *const argv[] = {shell, option, script, NULL};
	struct handover handover = {0};
	struct handover_env env;
	int status, pipes[2][2];
	pid_t child;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
		assert_int_equal(write(pipes[i][1], i == 0 ? "A\n" : "B\n", 2), 2);
	}
	assert_int_equal(handover_add(&handover, pipes[1][0], "second"), 0);
	assert_int_equal(handover_add(&handover, pipes[0][0], "first"), 0);
	assert_int_equal(handover_add(&handover, -1, "none"), -1);
	assert_int_equal(errno, EBADF);
	for (int i = 0; i < 2; i++)
		(void)close(pipes[i][0]);
	handover_env_init(&env, &handover);
	child = fork();
	if (child == 0) {
		handover_exec(&handover, &env, "/bin/sh", argv);
		_exit(100);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	handover_env_fini(&env);
	handover_close(&handover);
	for (int i = 0; i < 2; i++)
		(void)close(pipes[i][1]);
}

static void
test_program(void **state)
{
	char path[PATH_MAX], small[4];
	struct stat named, run;

	(void)state;
	handover_program(path, sizeof(path));
	assert_int_equal(path[0], '/');
	assert_int_equal(stat(path, &named), 0);
	assert_int_equal(stat("/proc/self/exe", &run), 0);
	assert_int_equal(named.st_ino, run.st_ino);
	handover_program(small, sizeof(small));
	assert_string_equal(small, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_take),
	    cmocka_unit_test(test_claim),
	    cmocka_unit_test(test_exec),
	    cmocka_unit_test(test_program),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
