/* SPDX-License-Identifier: MIT */
/* The client's small parts: addresses, waiting times, ids, and the files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/panic.h"
#include "client/address.h"
#include "client/cmid.h"
#include "client/retry.h"
#include "client/vault.h"

static void
test_addresses(void **state)
{
	static const struct {
		const char *text, *host, *port, *again;
		bool tls;
	} good[] = {
	    {"localhost", "localhost", "7000", "localhost:7000", false},
	    {"127.0.0.1:7001", "127.0.0.1", "7001", "127.0.0.1:7001", false},
	    {"[::1]:80", "::1", "80", "[::1]:80", false},
	    {"[::1]", "::1", "7000", "[::1]:7000", false},
	    {"confab://chat.example:7000/", "chat.example", "7000", "chat.example:7000", false},
	    {"confabs://chat.example", "chat.example", "7000", "confabs://chat.example:7000", true},
	};
	static const char *const bad[] = {"", ":", ":7000", "host:", "host:0", "host:65536",
	    "host:7x", "a b:1", "[::1", "[::1]7000", "[]:1", "::1", "host/x:1", "user@host:1",
	    "confabs://", "http://x:80", "host:000001"};
	char text[ADDRESS_TEXT_MAX];
	struct address a;

	(void)state;
	for (size_t i = 0; i < LEN(good); i++) {
		assert_true(address_parse(slice_str(good[i].text), &a));
		assert_string_equal(a.host, good[i].host);
		assert_string_equal(a.port, good[i].port);
		assert_int_equal(a.tls, good[i].tls);
		address_text(&a, text);
		assert_string_equal(text, good[i].again);
	}
	for (size_t i = 0; i < LEN(bad); i++)
		if (address_parse(slice_str(bad[i]), &a))
			fail_msg("\"%s\" was taken for an address", bad[i]);
}

static void
test_waiting_times(void **state)
{
	static const uint32_t windows[] = {
	    500, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

	(void)state;
	for (unsigned i = 0; i < LEN(windows); i++) {
		assert_int_equal(retry_window_ms(i), windows[i]);
		assert_int_equal(retry_delay_ms(i, 0, 0), 0);
		assert_int_equal(retry_delay_ms(i, UINT32_MAX, 0), windows[i]);
		assert_in_range(
		    retry_delay_ms(i, UINT32_MAX / 2, 0), windows[i] / 2 - 1, windows[i] / 2 + 1);
		assert_int_equal(retry_delay_ms(i, 0, 100), 100);
	}
	assert_int_equal(retry_window_ms(UINT32_MAX), 60000);
	assert_int_equal(retry_delay_ms(1, 0, UINT64_MAX), RETRY_ASKED_MOST_MS);
}

static void
test_cmids(void **state)
{
	struct cmid_source source = {0};
	char last[CMID_TEXT_BYTES + 1] = "", next[CMID_TEXT_BYTES + 1];
	uint64_t ms = 1700000000000;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		if (i % 7000 == 0)
			ms += 3;
		if (i == 15000)
			ms -= 1000000; /* the clock was set back */
		cmid_make(&source, ms, next);
		assert_true(strcmp(next, last) > 0);
		assert_int_equal(strlen(next), 36);
		assert_int_equal(next[14], '7');
		assert_non_null(strchr("89ab", next[19]));
		assert_true(cmid_plain(slice_str(next)));
		memcpy(last, next, sizeof(last));
	}
	cmid_make(&(struct cmid_source){0}, 0x0191f3a87c1d, next);
	assert_memory_equal(next, "0191f3a8-7c1d-7", 15);
	assert_false(cmid_plain(S("")));
	assert_false(cmid_plain(S(".x")));
	assert_false(cmid_plain(S("a/b")));
	assert_false(cmid_plain(S("a b")));
}

/* --- Files --- */

static char home[64];
static const struct address server = {.host = "chat.example", .port = "7000"};

static int
set_up(void **state)
{
	struct vault *v = NULL;

	(void)snprintf(home, sizeof(home), "/tmp/confab-vault-test-XXXXXX");
	assert_non_null(mkdtemp(home));
	assert_int_equal(vault_open(slice_str(home), &server, S("alice"), &v), 0);
	*state = v;
	return 0;
}

static int
tear_down(void **state)
{
	struct vault *v = *state;
	pid_t pid;

	vault_close(&v);
	pid = fork();
	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", "--", home, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static unsigned
mode_of(const char *name)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/chat.example:7000/%s", home, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
test_files_are_for_their_owner_only(void **state)
{
	struct vault *v = *state, *again = NULL;
	char path[256];
	struct buf token = {0};

	(void)umask(0);
	assert_int_equal(vault_token_store(v, S("secret")), 0);
	assert_int_equal(vault_default_store(v), 0);
	assert_int_equal(vault_lock(v), 0);
	assert_int_equal(vault_cursors_store(v, S("{}")), 0);
	assert_int_equal(vault_outbox_put(v, S("c1"), S("{}")), 0);
	assert_int_equal(mode_of("alice/token"), 0600);
	assert_int_equal(mode_of("alice/cursors"), 0600);
	assert_int_equal(mode_of("alice/outbox/c1"), 0600);
	assert_int_equal(mode_of("alice"), 0700);
	assert_int_equal(mode_of("alice/outbox"), 0700);
	assert_int_equal(mode_of(""), 0700);
	/* What somebody opened up is closed again. */
	(void)snprintf(path, sizeof(path), "%s/chat.example:7000/alice/token", home);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(home, 0755), 0);
	assert_int_equal(vault_open(slice_str(home), &server, S("alice"), &again), 0);
	assert_int_equal(vault_token_load(again, &token), 0);
	assert_true(slice_eq(buf_slice(&token), S("secret")));
	assert_int_equal(mode_of("alice/token"), 0600);
	assert_int_equal(mode_of(".."), 0700);
	vault_close(&again);
	buf_fini(&token);
}

static void
test_users_and_servers_are_apart(void **state)
{
	static const struct address others[] = {{.host = "chat.example", .port = "7001"},
	    {.host = "chat.example", .port = "7000", .tls = true},
	    {.host = "other.example", .port = "7000"}};
	struct vault *v = *state, *other = NULL;
	struct buf text = {0};

	assert_int_equal(vault_token_store(v, S("secret")), 0);
	assert_int_equal(vault_default_store(v), 0);
	for (size_t i = 0; i < LEN(others); i++) {
		assert_int_equal(vault_open(slice_str(home), &others[i], S("alice"), &other), 0);
		assert_int_equal(vault_token_load(other, &text), -ENOENT);
		vault_close(&other);
		assert_int_equal(vault_default_load(slice_str(home), &others[i], &text), -ENOENT);
	}
	assert_int_equal(vault_open(slice_str(home), &server, S("bob"), &other), 0);
	assert_int_equal(vault_token_load(other, &text), -ENOENT);
	vault_close(&other);
	assert_int_equal(vault_default_load(slice_str(home), &server, &text), 0);
	assert_true(slice_eq(buf_slice(&text), S("alice")));
	buf_fini(&text);
	assert_false(vault_name_valid(S("..")));
	assert_false(vault_name_valid(S("a/b")));
	assert_false(vault_name_valid(S("A1")));
	assert_false(vault_name_valid(S("a")));
	assert_true(vault_name_valid(S("a.b-c_9")));
}

static void
test_only_the_same_token_is_dropped(void **state)
{
	struct vault *v = *state;
	struct buf token = {0};

	assert_int_equal(vault_token_store(v, S("new")), 0);
	assert_int_equal(vault_token_drop(v, S("old")), 0);
	assert_int_equal(vault_token_load(v, &token), 0);
	assert_int_equal(vault_token_drop(v, S("new")), 0);
	assert_int_equal(vault_token_load(v, &token), -ENOENT);
	assert_int_equal(vault_token_drop(v, S("new")), 0);
	buf_fini(&token);
}

/* Writes in a loop until it is killed; whatever moment that is, the file is one of the two. */
static void
test_a_kill_leaves_the_old_file_or_the_new(void **state)
{
	static char texts[2][60000];
	struct vault *v = *state;

	memset(texts[0], 'a', sizeof(texts[0]));
	memset(texts[1], 'b', sizeof(texts[1]));
	assert_int_equal(vault_lock(v), 0);
	assert_int_equal(vault_cursors_store(v, slice_of(texts[0], sizeof(texts[0]))), 0);
	for (unsigned round = 0; round < 12; round++) {
		struct timespec pause = {.tv_nsec = 300000 * (long)round};
		struct buf got = {0};
		pid_t pid = fork();

		if (pid == 0)
			for (unsigned i = 0;; i++)
				(void)vault_cursors_store(
				    v, slice_of(texts[i % 2], sizeof(texts[0])));
		(void)nanosleep(&pause, NULL); /* any moment will do */
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(vault_cursors_load(v, &got), 0);
		assert_int_equal(buf_len(&got), sizeof(texts[0]));
		assert_memory_equal(
		    buf_head(&got), texts[buf_head(&got)[0] == 'b'], sizeof(texts[0]));
		buf_fini(&got);
	}
}

static void
count_one(slice cmid, slice json, void *cookie)
{
	struct buf *seen = cookie;

	buf_printf(seen, "%.*s=%.*s ", SLICE_ARG(cmid), SLICE_ARG(json));
}

static void
outbox_is(struct vault *v, const char *text)
{
	struct buf seen = {0};

	assert_int_equal(vault_outbox_load(v, count_one, &seen), 0);
	buf_append(&seen, "", 1);
	assert_string_equal(buf_head(&seen), text);
	buf_fini(&seen);
}

static void
test_outbox(void **state)
{
	struct vault *v = *state;
	uint64_t now = clock_real_ms();

	assert_int_equal(vault_outbox_put(v, S("c2"), S("two")), 0);
	assert_int_equal(vault_outbox_put(v, S("c1"), S("one")), 0);
	assert_int_equal(vault_outbox_put(v, S("c3"), S("three")), 0);
	outbox_is(v, "c1=one c2=two c3=three ");
	vault_outbox_sent(v, S("c1"));
	vault_outbox_drop(v, S("c2"));
	vault_outbox_drop(v, S("c2"));
	outbox_is(v, "c3=three ");
	vault_outbox_tidy(v, now);
	assert_int_equal(vault_outbox_revive(v, now + 2u * VAULT_SENT_MS), 0);
	assert_int_equal(vault_outbox_revive(v, now), 1);
	outbox_is(v, "c1=one c3=three ");
	vault_outbox_sent(v, S("c1"));
	vault_outbox_tidy(v, now + 2u * VAULT_SENT_MS);
	assert_int_equal(vault_outbox_revive(v, now), 0);
	outbox_is(v, "c3=three ");
}

static void
test_a_home_that_can_not_be_written(void **state)
{
	struct vault *v = NULL;

	(void)state;
	assert_int_equal(vault_open(S("/proc/no/such"), &server, S("alice"), &v), -ENOENT);
	assert_null(v);
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_waiting_times),
	    cmocka_unit_test(test_cmids),
	    FILE_TEST(test_files_are_for_their_owner_only),
	    FILE_TEST(test_users_and_servers_are_apart),
	    FILE_TEST(test_only_the_same_token_is_dropped),
	    FILE_TEST(test_a_kill_leaves_the_old_file_or_the_new),
	    FILE_TEST(test_outbox),
	    FILE_TEST(test_a_home_that_can_not_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
