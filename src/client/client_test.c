/* SPDX-License-Identifier: MIT */
/* The client against a server that the test plays itself, over a socket pair and with a clock of
 * its own. */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "wire/lines.h"

struct test {
	struct client *client;
	struct client_hooks hooks;
	int fd; /* the server's end; -1: none */
	unsigned dials;
	bool refuse;  /* the next connection fails */
	bool decline; /* entries are not dealt with */
	struct buf in, log, scratch;
	uint64_t now_ms, id;
	char method[32];
	struct buf params; /* of the request read last */
	struct vault *vault;
	char home[64];
};

/* --- What the hooks saw, as text --- */

static void
on_state(struct client *client, enum client_state state, void *cookie)
{
	static const char *const names[] = {
	    "offline", "waiting", "connecting", "logging-in", "login-needed", "ready"};
	struct test *t = cookie;

	(void)client;
	buf_printf(&t->log, "[%s]", names[state]);
}

static void
on_login_failed(struct client *client, const struct client_error *error, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	buf_printf(&t->log, "[failed %.*s]", SLICE_ARG(error->name));
}

static void
on_conversation(struct client *client, const struct client_conversation *told, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	buf_printf(&t->log, "[conv %d %.*s next %d head %d]", (int)told->cid,
	    SLICE_ARG(told->change), (int)told->next, (int)told->head);
}

static bool
on_entry(struct client *client, const struct client_entry *entry, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	buf_printf(&t->log, "[%d:%d %.*s>%.*s %.*s]", (int)entry->cid, (int)entry->seq,
	    SLICE_ARG(entry->from), SLICE_ARG(entry->to), SLICE_ARG(entry->body));
	return !t->decline;
}

static bool
on_gap(struct client *client, uint64_t cid, uint64_t from, uint64_t to, bool gone, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	buf_printf(&t->log, "[gap %d:%d-%d%s]", (int)cid, (int)from, (int)to, gone ? " gone" : "");
	return !t->decline;
}

static void
on_reset(struct client *client, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	buf_printf(&t->log, "[reset]");
}

static void
on_sent(struct client *client, const struct client_sent *sent, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	if (sent->error != NULL)
		buf_printf(&t->log, "[refused %.*s]", SLICE_ARG(sent->error->name));
	else
		buf_printf(&t->log, "[sent %.*s %d:%d%s%s]", SLICE_ARG(sent->to), (int)sent->cid,
		    (int)sent->seq, sent->dup ? " dup" : "", sent->earlier ? " earlier" : "");
}

static void
on_goaway(struct client *client, slice reason, int64_t reconnect_ms, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	buf_printf(&t->log, "[goaway %.*s %d]", SLICE_ARG(reason), (int)reconnect_ms);
}

static void
on_answer(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct test *t = cookie;

	(void)client;
	if (answer->error != NULL)
		buf_printf(&t->log, "[answer %.*s]", SLICE_ARG(answer->error->name));
	else
		buf_printf(&t->log, "[answer %.*s]", SLICE_ARG(answer->result.text));
}

#define LOGGED(t, text) logged(t, text, __LINE__)
static void
logged(struct test *t, const char *text, int line)
{
	buf_append(&t->log, "", 1);
	if (strcmp(buf_head(&t->log), text) != 0)
		print_message("line %d: %s\n", line, buf_head(&t->log));
	assert_string_equal(buf_head(&t->log), text);
	buf_clear(&t->log);
}

/* --- The server's side --- */

static int
dial(void *cookie)
{
	struct test *t = cookie;
	int ends[2];

	t->dials++;
	if (t->refuse)
		return -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = ends[0];
	assert_int_equal(fcntl(t->fd, F_SETFL, O_NONBLOCK), 0);
	buf_clear(&t->in);
	return ends[1];
}

static void
step(struct test *t, uint64_t ms)
{
	t->now_ms += ms;
	client_step(t->client, t->now_ms);
}

/* One line of what the client wrote; false if there is none. */
static bool
take(struct test *t)
{
	char bytes[4096];
	struct json frame, id, params;
	int64_t number = 0;
	slice line, method;
	ssize_t n;
	int used;

	while (t->fd >= 0 && (n = read(t->fd, bytes, sizeof(bytes))) > 0)
		buf_append(&t->in, bytes, (size_t)n);
	used = lines_next(buf_slice(&t->in), 1u << 20, &line);
	if (used <= 0)
		return false;
	buf_clear(&t->scratch);
	(void)buf_reserve(&t->scratch, line.len + 1);
	assert_true(json_check(line, &frame));
	id = json_member(frame, S("id"));
	assert_true(json_integer(id, &number));
	t->id = (uint64_t)number;
	method = json_string(json_member(frame, S("method")), &t->scratch);
	(void)snprintf(t->method, sizeof(t->method), "%.*s", SLICE_ARG(method));
	params = json_member(frame, S("params"));
	buf_clear(&t->params);
	buf_put(&t->params, params.text);
	buf_append(&t->params, "", 1);
	buf_consume(&t->in, (size_t)used);
	return true;
}

#define EXPECT(t, method) expect(t, method, __LINE__)
static void
expect(struct test *t, const char *method, int line)
{
	if (!take(t))
		fail_msg("line %d: no %s came", line, method);
	if (strcmp(t->method, method) != 0)
		print_message("line %d: %s\n", line, t->method);
	assert_string_equal(t->method, method);
}

static void
params_have(const struct test *t, const char *text)
{
	if (strstr(buf_head(&t->params), text) == NULL)
		fail_msg("%s is not in %s", text, buf_head(&t->params));
}

static void
say_raw(struct test *t, slice bytes)
{
	assert_int_equal(write(t->fd, bytes.ptr, bytes.len), bytes.len);
}

static void say(struct test *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct test *t, const char *format, ...)
{
	char text[8192];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	say_raw(t, slice_of(text, (size_t)n));
	step(t, 0);
}

#define LIMITS "\"limits\":{\"frame\":65536}"
#define LOGIN "\"user\":\"alice\",\"token\":\"tok-1\",\"session\":\"s\"," LIMITS

static void
say_result(struct test *t, const char *result)
{
	say(t, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":%s}\n", (int)t->id, result);
}

static void
say_error(struct test *t, int code, const char *name, const char *more)
{
	say(t,
	    "{\"jsonrpc\":\"2.0\",\"id\":%d,\"error\":{\"code\":%d,\"message\":\"because %s\","
	    "\"data\":{\"name\":\"%s\"%s}}}\n",
	    (int)t->id, code, name, name, more);
}

static void
say_entry(struct test *t, int cid, int seq)
{
	say(t,
	    "{\"jsonrpc\":\"2.0\",\"method\":\"message\",\"params\":{\"cid\":%d,\"seq\":%d,"
	    "\"from\":\"bob\","
	    "\"to\":\"@alice\",\"ts\":1,\"kind\":\"text\",\"body\":\"m%d\"}}\n",
	    cid, seq, seq);
}

/* --- Setting up --- */

static struct client *
make_client(struct test *t, bool follow)
{
	const struct client_config config = {.follow = follow,
	    .backlog = 50,
	    .sends_max = 1,
	    .device = S("a test"),
	    .hooks = &t->hooks,
	    .cookie = t,
	    .dial = dial};

	return client_create(&config);
}

static int
set_up(void **state)
{
	struct test *t = mem_zalloc(sizeof(*t));

	t->fd = -1;
	t->now_ms = 1000000;
	t->hooks = (struct client_hooks){on_state, on_login_failed, on_conversation, on_entry,
	    on_gap, on_reset, on_sent, NULL, NULL, on_goaway, NULL};
	(void)snprintf(t->home, sizeof(t->home), "/tmp/confab-client-test-XXXXXX");
	assert_non_null(mkdtemp(t->home));
	t->client = make_client(t, true);
	*state = t;
	return 0;
}

static void
remove_tree(const char *path)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int
tear_down(void **state)
{
	struct test *t = *state;

	client_destroy(&t->client);
	vault_close(&t->vault);
	if (t->fd >= 0)
		(void)close(t->fd);
	remove_tree(t->home);
	buf_fini(&t->in);
	buf_fini(&t->log);
	buf_fini(&t->scratch);
	buf_fini(&t->params);
	mem_free(t);
	return 0;
}

static const struct address server = {.host = "chat.example", .port = "7000"};

static void
use_vault(struct test *t)
{
	assert_int_equal(vault_open(slice_str(t->home), &server, S("alice"), &t->vault), 0);
	(void)vault_lock(t->vault);
	assert_int_equal(client_use_vault(t->client, t->vault), 0);
}

/* Another run of the program: nothing but the disk is left. */
static void
run_again(struct test *t, bool follow)
{
	client_destroy(&t->client);
	vault_close(&t->vault);
	t->client = make_client(t, follow);
	use_vault(t);
}

static void
start(struct test *t)
{
	client_start(t->client, t->now_ms);
	step(t, 0);
}

/* Up to READY with conversation 7, whose stream begins at next. */
static void
start_synced(struct test *t, int next, int head)
{
	char result[512];

	client_use_token(t->client, S("tok-1"));
	start(t);
	EXPECT(t, "resume");
	(void)snprintf(result, sizeof(result),
	    "{" LOGIN ",\"epoch\":\"e1\",\"reset\":false,\"total\":1,\"gone\":[],\"conversations\":"
	    "[{\"cid\":7,"
	    "\"kind\":\"direct\",\"title\":\"Bob\",\"peer\":\"bob\",\"role\":\"member\",\"min_"
	    "seq\":1,"
	    "\"next\":%d,\"head\":%d,\"ts\":1,\"read\":0,\"delivered\":0,\"unread\":0}]}",
	    next, head);
	say_result(t, result);
	assert_int_equal(client_state(t->client), CLIENT_READY);
	buf_clear(&t->log);
}

/* The server closes; the client waits and comes back. */
static void
reconnect(struct test *t)
{
	(void)close(t->fd);
	t->fd = -1;
	step(t, 0);
	assert_int_equal(client_state(t->client), CLIENT_WAITING);
	assert_true(client_deadline(t->client) <= t->now_ms + 60000);
	step(t, 60000);
	assert_true(t->fd >= 0);
	buf_clear(&t->log);
}

static void
send_text(struct test *t, const char *to, const char *body)
{
	const struct client_message m = {.to = slice_str(to), .body = slice_str(body)};
	char cmid[CMID_MAX + 1];

	assert_int_equal(client_send(t->client, &m, cmid), 0);
	assert_int_equal(strlen(cmid), CMID_TEXT_BYTES);
	step(t, 0);
}

/* --- Logging in --- */

static void
test_resume_and_sync(void **state)
{
	struct test *t = *state;

	client_use_token(t->client, S("tok-1"));
	start(t);
	LOGGED(t, "[connecting][logging-in]");
	EXPECT(t, "resume");
	params_have(t, "\"token\":\"tok-1\"");
	params_have(t, "\"sync\":{\"backlog\":50}");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":2,\"gone\":[],\"conversations\":["
	    "{\"cid\":7,\"role\":\"member\",\"next\":3,\"head\":4}]}");
	LOGGED(t, "[conv 7  next 3 head 4][ready]");
	assert_true(slice_eq(client_user(t->client), S("alice")));
	assert_false(client_up_to_date(t->client));
	say_entry(t, 7, 3);
	say_entry(t, 7, 4);
	assert_false(client_up_to_date(t->client)); /* one is not listed yet */
	say(t, "{\"method\":\"conversation\",\"params\":{\"cid\":9,\"change\":\"listed\",\"next\":"
	       "2,\"head\":1}}\n");
	LOGGED(t, "[7:3 bob>@alice m3][7:4 bob>@alice m4][conv 9 listed next 2 head 1]");
	assert_true(client_up_to_date(t->client));
	reconnect(t);
	EXPECT(t, "resume");
	params_have(t, "\"sync\":{\"epoch\":\"e1\",\"cursors\":{\"7\":4,\"9\":1},\"backlog\":50}");
}

static void
test_duplicates_are_dropped_and_holes_asked_for_again(void **state)
{
	struct test *t = *state;
	struct client_counts counts;

	start_synced(t, 1, 0);
	say_entry(t, 7, 1);
	say_entry(t, 7, 1);
	say_entry(t, 7, 2);
	say_entry(t, 7, 1);
	LOGGED(t, "[7:1 bob>@alice m1][7:2 bob>@alice m2]");
	say_entry(t, 7, 4);
	LOGGED(t, "[waiting]");
	client_counts(t->client, &counts);
	assert_int_equal(counts.duplicates, 2);
	assert_int_equal(counts.holes, 1);
	step(t, 60000);
	EXPECT(t, "resume");
	params_have(t, "\"cursors\":{\"7\":2}");
}

static void
test_gap_and_next(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 20);
	say(t, "{\"method\":\"gap\",\"params\":{\"cid\":7,\"from\":1,\"to\":9}}\n");
	say_entry(t, 7, 10);
	LOGGED(t, "[gap 7:1-9][7:10 bob>@alice m10]");
	reconnect(t);
	EXPECT(t, "resume");
	params_have(t, "\"cursors\":{\"7\":10}");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":1,\"gone\":[],\"conversations\":["
	    "{\"cid\":7,\"role\":\"member\",\"next\":15,\"head\":20}]}");
	LOGGED(t, "[conv 7  next 15 head 20][gap 7:11-14 gone][ready]");
	say_entry(t, 7, 15);
	LOGGED(t, "[7:15 bob>@alice m15]");
}

static void
test_removed_and_gone_are_forgotten(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 1);
	say_entry(t, 7, 1);
	say(t, "{\"method\":\"conversation\",\"params\":{\"cid\":8,\"change\":\"added\",\"role\":"
	       "\"member\","
	       "\"next\":5,\"head\":4}}\n");
	say_entry(t, 8, 5);
	say(t, "{\"method\":\"conversation\",\"params\":{\"cid\":8,\"change\":\"removed\"}}\n");
	LOGGED(t, "[7:1 bob>@alice m1][conv 8 added next 5 head 4][8:5 bob>@alice m5]"
		  "[conv 8 removed next 0 head 0]");
	reconnect(t);
	EXPECT(t, "resume");
	params_have(t, "\"cursors\":{\"7\":1},");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":0,\"gone\":[7],\"conversations\":[]}");
	reconnect(t);
	EXPECT(t, "resume");
	params_have(t, "\"sync\":{\"epoch\":\"e1\",\"backlog\":50}");
}

static void
test_a_conversation_that_was_left_is_followed_to_its_end(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 1);
	say_entry(t, 7, 1);
	reconnect(t);
	EXPECT(t, "resume");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":1,\"gone\":[],\"conversations\":["
	    "{\"cid\":7,\"role\":\"none\",\"next\":2,\"head\":3}]}");
	say_entry(t, 7, 2);
	reconnect(t);
	EXPECT(t, "resume");
	params_have(t, "\"cursors\":{\"7\":2}");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":1,\"gone\":[],\"conversations\":["
	    "{\"cid\":7,\"role\":\"none\",\"next\":3,\"head\":3}]}");
	say_entry(t, 7, 3);
	reconnect(t);
	EXPECT(t, "resume");
	assert_null(strstr(buf_head(&t->params), "cursors"));
}

static void
test_large_cursor_sets_go_in_a_sync_of_their_own(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 0);
	for (int cid = 1000; cid < 1400; cid++)
		say(t,
		    "{\"method\":\"conversation\",\"params\":{\"cid\":%d,\"change\":\"added\","
		    "\"next\":1,\"head\":0}}\n",
		    cid);
	reconnect(t);
	EXPECT(t, "resume");
	assert_null(strstr(buf_head(&t->params), "sync"));
	assert_false(take(t));
	say_result(t, "{" LOGIN ",\"epoch\":\"e1\"}");
	EXPECT(t, "sync");
	params_have(t, "\"epoch\":\"e1\",\"cursors\":{");
	params_have(t, "\"1399\":0");
	assert_int_equal(client_state(t->client), CLIENT_LOGGING_IN);
	say_result(
	    t, "{\"epoch\":\"e1\",\"reset\":false,\"total\":0,\"gone\":[],\"conversations\":[]}");
	assert_int_equal(client_state(t->client), CLIENT_READY);
}

static void
test_token_invalid_asks_for_a_login(void **state)
{
	struct test *t = *state;

	use_vault(t);
	assert_int_equal(vault_token_store(t->vault, S("old")), 0);
	run_again(t, true);
	start(t);
	EXPECT(t, "resume");
	params_have(t, "\"token\":\"old\"");
	say_error(t, 1004, "token_invalid", "");
	LOGGED(t, "[connecting][logging-in][failed token_invalid][login-needed]");
	assert_int_equal(vault_token_load(t->vault, &t->scratch), -ENOENT);
	client_login(t->client, S("alice"), S("correct horse"));
	step(t, 0);
	EXPECT(t, "login");
	params_have(t, "\"password\":\"correct horse\"");
	params_have(t, "\"device\":\"a test\"");
	say_error(t, 1001, "bad_credentials", "");
	LOGGED(t, "[logging-in][failed bad_credentials][login-needed]");
	client_login(t->client, S("alice"), S("better horse"));
	step(t, 0);
	EXPECT(t, "login");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":0,\"gone\":[],\"conversations\":[]}");
	LOGGED(t, "[logging-in][ready]");
	buf_clear(&t->scratch);
	assert_int_equal(vault_token_load(t->vault, &t->scratch), 0);
	assert_true(slice_eq(buf_slice(&t->scratch), S("tok-1")));
}

static void
test_a_login_after_the_server_has_closed_connects_again(void **state)
{
	struct test *t = *state;

	start(t);
	LOGGED(t, "[connecting][login-needed]");
	(void)close(t->fd);
	t->fd = -1;
	step(t, 30000);
	assert_int_equal(client_state(t->client), CLIENT_LOGIN_NEEDED);
	assert_int_equal(client_fd(t->client), -1);
	assert_true(client_deadline(t->client) == UINT64_MAX);
	client_login(t->client, S("alice"), S("secret secret"));
	step(t, 0);
	EXPECT(t, "login");
	assert_int_equal(t->dials, 2);
}

static void
test_a_register_without_an_answer_is_settled(void **state)
{
	struct test *t = *state;

	start(t);
	client_register(t->client, S("alice"), S("correct horse"), S("Alice"));
	step(t, 0);
	EXPECT(t, "register");
	params_have(t, "\"display\":\"Alice\"");
	reconnect(t);
	EXPECT(t, "register");
	say_error(t, 1002, "name_taken", "");
	EXPECT(t, "login");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":0,\"gone\":[],\"conversations\":[]}");
	assert_int_equal(client_state(t->client), CLIENT_READY);
	assert_true(slice_eq(client_token(t->client), S("tok-1")));
}

static void
test_busy_is_obeyed(void **state)
{
	struct test *t = *state;

	client_use_token(t->client, S("tok-1"));
	start(t);
	EXPECT(t, "resume");
	say_error(t, 1021, "busy", ",\"retry\":true,\"retry_after_ms\":7000");
	assert_int_equal(client_state(t->client), CLIENT_WAITING);
	assert_true(client_deadline(t->client) == t->now_ms + 7000);
	step(t, 6999);
	assert_int_equal(t->dials, 1);
	step(t, 1);
	assert_int_equal(t->dials, 2);
	EXPECT(t, "resume");
}

static void
test_another_users_answer_is_refused(void **state)
{
	struct test *t = *state;

	use_vault(t);
	client_use_token(t->client, S("tok-1"));
	start(t);
	EXPECT(t, "resume");
	say_result(t, "{\"user\":\"../bob\",\"token\":\"x\",\"epoch\":\"e1\"}");
	assert_int_equal(client_state(t->client), CLIENT_WAITING);
}

/* --- Coming back --- */

static void
test_backoff(void **state)
{
	struct test *t = *state;
	uint64_t window = 500, waited;

	t->refuse = true;
	client_use_token(t->client, S("tok-1"));
	client_start(t->client, t->now_ms);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(client_state(t->client), CLIENT_WAITING);
		waited = client_deadline(t->client) - t->now_ms;
		assert_true(waited <= window);
		window = window * 2 > 60000 ? 60000 : window * 2;
		step(t, waited);
		assert_int_equal(t->dials, i + 2);
	}
}

static void
test_goaway(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 0);
	say(t,
	    "{\"method\":\"goaway\",\"params\":{\"reason\":\"shutdown\",\"reconnect_ms\":1234}}\n");
	LOGGED(t, "[goaway shutdown 1234]");
	(void)close(t->fd);
	t->fd = -1;
	step(t, 0);
	assert_int_equal(client_state(t->client), CLIENT_WAITING);
	assert_true(client_deadline(t->client) == t->now_ms + 1234);
	step(t, 1234);
	EXPECT(t, "resume");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":0,\"gone\":[],\"conversations\":[]}");
	buf_clear(&t->log);
	say(t, "{\"method\":\"goaway\",\"params\":{\"reason\":\"errors\"}}\n");
	step(t, 5000); /* the server forgets to close */
	LOGGED(t, "[goaway errors -1][offline]");
	assert_int_equal(client_fd(t->client), -1);
	assert_true(client_deadline(t->client) == UINT64_MAX);
}

static void
test_a_revoked_session_ends_the_token(void **state)
{
	struct test *t = *state;

	use_vault(t);
	assert_int_equal(vault_token_store(t->vault, S("tok-1")), 0);
	start_synced(t, 1, 0);
	say(t, "{\"method\":\"goaway\",\"params\":{\"reason\":\"session_revoked\"}}\n");
	(void)close(t->fd);
	t->fd = -1;
	step(t, 0);
	LOGGED(t, "[goaway session_revoked -1][login-needed]");
	assert_int_equal(vault_token_load(t->vault, &t->scratch), -ENOENT);
	assert_false(slice_given(client_token(t->client)));
}

static void
test_ping_and_death(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 0);
	assert_true(client_deadline(t->client) == t->now_ms + 30000);
	step(t, 29999);
	assert_false(take(t));
	step(t, 1);
	EXPECT(t, "ping");
	say_result(t, "{\"ts\":1}");
	step(t, 30000);
	EXPECT(t, "ping");
	step(t, 29999);
	assert_int_equal(client_state(t->client), CLIENT_READY);
	step(t, 1);
	assert_int_equal(client_state(t->client), CLIENT_WAITING);
}

static void
test_a_client_that_is_fed_pings_too(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 0);
	for (int seq = 1; seq <= 2; seq++) {
		step(t, 15000);
		say_entry(t, 7, seq);
	}
	step(t, 0);
	EXPECT(t, "ping");
}

static void
test_reset_forgets_and_sends_again(void **state)
{
	struct test *t = *state;
	char cmid[CMID_MAX + 1];
	const struct client_message m = {.to = S("@bob"), .body = S("hi")};

	use_vault(t);
	start_synced(t, 1, 0);
	assert_int_equal(client_send(t->client, &m, cmid), 0);
	step(t, 0);
	EXPECT(t, "send");
	say_result(t, "{\"cid\":7,\"seq\":1,\"ts\":1}");
	LOGGED(t, "[sent @bob 7:1]");
	assert_int_equal(client_unsent(t->client), 0);
	reconnect(t);
	EXPECT(t, "resume");
	say_result(t,
	    "{" LOGIN ",\"epoch\":\"e2\",\"reset\":true,\"total\":1,\"gone\":[],\"conversations\":["
	    "{\"cid\":7,\"role\":\"member\",\"next\":1,\"head\":0}]}");
	LOGGED(t, "[reset][conv 7  next 1 head 0][ready]");
	EXPECT(t, "send");
	params_have(t, cmid);
	params_have(t, "\"body\":\"hi\"");
	say_result(t, "{\"cid\":7,\"seq\":1,\"ts\":1,\"dup\":true}");
	LOGGED(t, "[sent @bob 7:1 dup earlier]");
	reconnect(t);
	EXPECT(t, "resume");
	params_have(t, "\"epoch\":\"e2\"");
	params_have(t, "\"7\":0");
}

static void
test_a_reset_is_seen_by_a_client_that_only_sends(void **state)
{
	struct test *t = *state;

	use_vault(t);
	assert_int_equal(vault_token_store(t->vault, S("tok-1")), 0);
	start_synced(t, 1, 0);
	say_entry(t, 7, 1);
	send_text(t, "@bob", "hi");
	EXPECT(t, "send");
	say_result(t, "{\"cid\":7,\"seq\":2,\"ts\":1}");
	run_again(t, false);
	vault_unlock(t->vault);
	start(t);
	EXPECT(t, "resume");
	say_result(t, "{" LOGIN ",\"epoch\":\"e2\"}");
	EXPECT(t, "send");
	params_have(t, "\"body\":\"hi\"");
	say_result(t, "{\"cid\":7,\"seq\":1,\"ts\":1}");
	assert_false(vault_locked(t->vault));
	run_again(t, true); /* the cursors of the old epoch are gone */
	start(t);
	EXPECT(t, "resume");
	params_have(t, "\"sync\":{\"epoch\":\"e2\",\"backlog\":50}");
}

static void
test_conversations_are_bounded(void **state)
{
	struct test *t = *state;
	int cid = 100;

	start_synced(t, 1, 0);
	while (client_state(t->client) == CLIENT_READY && cid < 2 * CLIENT_CONVS_MAX)
		say(t,
		    "{\"method\":\"conversation\",\"params\":{\"cid\":%d,\"change\":\"added\","
		    "\"next\":1,\"head\":0}}\n",
		    cid++);
	assert_int_equal(cid - 100, CLIENT_CONVS_MAX);
	assert_int_equal(client_state(t->client), CLIENT_WAITING);
}

/* --- Sending --- */

static void
test_unanswered_messages_go_again_in_order(void **state)
{
	struct test *t = *state;
	struct buf one = {0}, two = {0};

	send_text(t, "@bob", "one"); /* before there is a connection */
	start_synced(t, 1, 0);
	EXPECT(t, "send");
	buf_put(&one, buf_slice(&t->params));
	params_have(t, "\"to\":\"@bob\"");
	params_have(t, "\"body\":\"one\"");
	send_text(t, "7", "two");
	send_text(t, "#ops", "three");
	assert_false(take(t)); /* one at a time */
	reconnect(t);
	EXPECT(t, "resume");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":0,\"gone\":[],\"conversations\":[]}");
	EXPECT(t, "send");
	assert_string_equal(buf_head(&t->params), buf_head(&one));
	say_result(t, "{\"cid\":7,\"seq\":1,\"ts\":1,\"dup\":true}");
	EXPECT(t, "send");
	params_have(t, "\"to\":7");
	buf_put(&two, buf_slice(&t->params));
	say_error(t, 1022, "unavailable", ",\"retry\":true,\"retry_after_ms\":3000");
	assert_false(take(t)); /* the third waits behind the second */
	assert_true(client_deadline(t->client) == t->now_ms + 3000);
	step(t, 3000);
	EXPECT(t, "send");
	assert_string_equal(buf_head(&t->params), buf_head(&two));
	say_error(t, 1023, "unknown_outcome", ",\"retry\":true");
	step(t, 1000); /* the second failure in a row waits a second at most */
	EXPECT(t, "send");
	assert_string_equal(buf_head(&t->params), buf_head(&two));
	say_result(t, "{\"cid\":7,\"seq\":2,\"ts\":1}");
	EXPECT(t, "send");
	params_have(t, "\"body\":\"three\"");
	say_error(t, 1010, "not_found", "");
	LOGGED(t, "[ready][sent @bob 7:1 dup][sent 7 7:2][refused not_found]");
	assert_int_equal(client_unsent(t->client), 0);
	buf_fini(&one);
	buf_fini(&two);
}

static void
test_a_killed_run_is_finished_by_the_next(void **state)
{
	struct test *t = *state;
	char cmids[3][CMID_MAX + 1], bodies[3][16];

	use_vault(t);
	assert_int_equal(vault_token_store(t->vault, S("tok-1")), 0);
	for (int i = 0; i < 3; i++) {
		struct client_message m = {.to = S("@bob")};

		(void)snprintf(bodies[i], sizeof(bodies[i]), "body %d", i);
		m.body = slice_str(bodies[i]);
		assert_int_equal(client_send(t->client, &m, cmids[i]), 0);
	}
	for (int run = 0; run < 3; run++) {
		run_again(t, false);
		assert_int_equal(client_unsent(t->client), 3 - run);
		start(t);
		EXPECT(t, "resume");
		assert_null(strstr(buf_head(&t->params), "sync"));
		say_result(t, "{" LOGIN ",\"epoch\":\"e1\"}");
		EXPECT(t, "send");
		params_have(t, cmids[run]);
		params_have(t, bodies[run]);
		say_result(t, "{\"cid\":7,\"seq\":1,\"ts\":1}");
		buf_clear(&t->log);
	}
	run_again(t, false);
	assert_int_equal(client_unsent(t->client), 0);
}

static void
test_what_can_not_be_sent_is_refused_at_once(void **state)
{
	struct test *t = *state;
	struct buf big = {0};
	char cmid[CMID_MAX + 1];
	struct client_message m = {.to = S("@bob"), .body = S("\xff")};

	assert_int_equal(client_send(t->client, &m, cmid), CLIENT_BAD_TEXT);
	m.body = slice_of("a\0b", 3);
	assert_int_equal(client_send(t->client, &m, cmid), CLIENT_BAD_TEXT);
	m.body = S("x");
	m.cmid = S("../x");
	assert_int_equal(client_send(t->client, &m, cmid), CLIENT_BAD_TEXT);
	m.cmid = SLICE_NONE;
	m.data = S("[]");
	assert_int_equal(client_send(t->client, &m, cmid), CLIENT_BAD_TEXT);
	m.data = SLICE_NONE;
	for (int i = 0; i < 16384; i++)
		buf_append(&big, "\x01", 1); /* six bytes each on the wire */
	m.body = buf_slice(&big);
	assert_int_equal(client_send(t->client, &m, cmid), CLIENT_TOO_LARGE);
	m.body = S("x");
	for (int i = 0; i < VAULT_OUTBOX_MAX; i++)
		assert_int_equal(client_send(t->client, &m, cmid), 0);
	assert_int_equal(client_send(t->client, &m, cmid), CLIENT_FULL);
	buf_fini(&big);
}

static void
test_calls(void **state)
{
	struct test *t = *state;

	assert_int_equal(client_call(t->client, "who", S("{}"), on_answer, t), CLIENT_NOT_READY);
	start_synced(t, 1, 0);
	assert_int_equal(client_call(t->client, "who", S("{\"scope\":\"all\"}"), on_answer, t), 0);
	step(t, 0);
	EXPECT(t, "who");
	params_have(t, "{\"scope\":\"all\"}");
	say_result(t, "{\"online\":1}");
	assert_int_equal(client_call(t->client, "history", SLICE_NONE, on_answer, t), 0);
	step(t, 0);
	EXPECT(t, "history");
	say_error(t, 1010, "not_found", "");
	assert_int_equal(client_call(t->client, "who", SLICE_NONE, on_answer, t), 0);
	(void)close(t->fd);
	t->fd = -1;
	step(t, 0);
	LOGGED(t, "[answer {\"online\":1}][answer not_found][answer connection_lost][waiting]");
}

static void
test_a_call_made_long_after_the_last_step_has_its_time(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 0);
	t->now_ms += 29000; /* nobody stepped */
	assert_int_equal(client_call(t->client, "who", SLICE_NONE, on_answer, t), 0);
	step(t, 0);
	EXPECT(t, "who");
	step(t, 29999);
	assert_int_equal(client_state(t->client), CLIENT_READY);
	step(t, 1);
	LOGGED(t, "[answer connection_lost][waiting]");
}

static void
test_marks_are_gathered(void **state)
{
	struct test *t = *state;

	start_synced(t, 1, 0);
	for (int seq = 1; seq <= 5; seq++) {
		say_entry(t, 7, seq);
		client_mark(t->client, 7, seq == 2 ? 2 : 0, (uint64_t)seq);
	}
	step(t, 499);
	assert_false(take(t));
	step(t, 1);
	EXPECT(t, "mark");
	assert_string_equal(buf_head(&t->params), "{\"cid\":7,\"read\":2,\"delivered\":5}");
	assert_false(take(t));
	client_mark(t->client, 7, 1, 1); /* marks only grow */
	step(t, 1000);
	assert_false(take(t));
	reconnect(t); /* without an answer */
	EXPECT(t, "resume");
	say_result(t,
	    "{" LOGIN
	    ",\"epoch\":\"e1\",\"reset\":false,\"total\":0,\"gone\":[],\"conversations\":[]}");
	step(t, 500);
	EXPECT(t, "mark");
	params_have(t, "\"delivered\":5");
}

/* --- Bytes --- */

/* What a server says to the login, and then to the message that was sent after it. */
static const char script[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{" LOGIN
    ",\"epoch\":\"e1\",\"reset\":false,\"total\":1,\"gone\":[],"
    "\"conversations\":[{\"cid\":7,\"role\":\"member\",\"next\":1,\"head\":3}]}}\r\n"
    "\n"
    "{\"jsonrpc\":\"2.0\",\"method\":\"message\",\"params\":{\"cid\":7,\"seq\":1,\"from\":\"bob\","
    "\"to\":"
    "\"@alice\",\"ts\":5,\"kind\":\"text\",\"body\":\"gr\\u00fc\\u00df \\\"x\\\" "
    "\xf0\x9f\x8e\x88\"}}\n"
    "{\"jsonrpc\":\"2.0\",\"method\":\"from.the.future\",\"params\":{}}\n"
    "{\"jsonrpc\":\"2.0\",\"method\":\"gap\",\"params\":{\"cid\":7,\"from\":2,\"to\":2}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"cid\":7,\"seq\":3,\"ts\":6}}\n"
    "{\"jsonrpc\":\"2.0\",\"method\":\"message\",\"params\":{\"cid\":7,\"seq\":3,\"from\":"
    "\"alice\",\"to\":"
    "\"@bob\",\"ts\":6,\"kind\":\"text\",\"body\":\"yes\"}}\n";
#define SCRIPT_LOG                                                                                 \
	"[connecting][logging-in][conv 7  next 1 head 3][ready][7:1 bob>@alice "                   \
	"gr\xc3\xbc\xc3\x9f \"x\" "                                                                \
	"\xf0\x9f\x8e\x88][gap 7:2-2][sent @bob 7:3][7:3 alice>@bob yes]"

static void
say_split(struct test *t, slice text, size_t split)
{
	if (split > text.len)
		split = text.len;
	say_raw(t, slice_of(text.ptr, split));
	step(t, 0);
	say_raw(t, slice_of(text.ptr + split, text.len - split));
	step(t, 0);
}

static void
test_input_split_at_every_byte(void **state)
{
	struct test *t = *state;
	const size_t len = sizeof(script) - 1,
		     first = (size_t)(strstr(script, "{\"jsonrpc\":\"2.0\",\"id\":2") - script);

	for (size_t split = 0; split <= first || split <= len - first; split++) {
		client_destroy(&t->client);
		t->client = make_client(t, true);
		client_use_token(t->client, S("tok-1"));
		send_text(t, "@bob", "yes");
		start(t);
		say_split(t, slice_of(script, first), split);
		say_split(t, slice_of(script + first, len - first), split);
		LOGGED(t, SCRIPT_LOG);
	}
}

static void
test_input_byte_by_byte(void **state)
{
	struct test *t = *state;

	client_use_token(t->client, S("tok-1"));
	send_text(t, "@bob", "yes");
	start(t);
	for (size_t i = 0; i < sizeof(script) - 1; i++) {
		say_raw(t, slice_of(script + i, 1));
		step(t, 0);
	}
	LOGGED(t, SCRIPT_LOG);
}

static void
test_nonsense_ends_the_connection(void **state)
{
	static const char *const lines[] = {"HTTP/1.1 400 Bad Request\r\n", "{\"id\":1\n", "[]\n",
	    "{}\n", "{\"id\":1,\"result\":{\"user\":7}}\n", "{\"id\":1,\"result\":7}\n",
	    "\"\xff\"\n", "{\"method\":\"message\",\"params\":[]}\n"};
	struct test *t = *state;

	for (size_t i = 0; i < LEN(lines); i++) {
		client_destroy(&t->client);
		t->client = make_client(t, true);
		client_use_token(t->client, S("tok-1"));
		start(t);
		say(t, "%s", lines[i]);
		assert_int_equal(client_state(t->client), CLIENT_WAITING);
		assert_true(strlen(client_trouble(t->client)) > 0);
	}
}

static void
test_a_line_without_end_is_bounded(void **state)
{
	struct test *t = *state;
	static char spaces[4096];
	size_t total = 0;

	client_use_token(t->client, S("tok-1"));
	start(t);
	memset(spaces, ' ', sizeof(spaces));
	while (client_state(t->client) == CLIENT_LOGGING_IN) {
		say_raw(t, slice_of(spaces, sizeof(spaces)));
		step(t, 0);
		total += sizeof(spaces);
		assert_true(total < 2 * CLIENT_FRAME_IN_MAX);
	}
	assert_true(total > CLIENT_FRAME_IN_MAX);
	assert_int_equal(client_state(t->client), CLIENT_WAITING);
}

/* --- The place, on disk --- */

static void
test_cursors_survive(void **state)
{
	struct test *t = *state;

	use_vault(t);
	start_synced(t, 1, 0);
	say_entry(t, 7, 1);
	say_entry(t, 7, 2);
	step(t, 250);
	t->decline = true; /* what is not dealt with comes again */
	say_entry(t, 7, 3);
	t->decline = false;
	say_entry(t, 7, 4);
	run_again(t, true);
	client_use_token(t->client, S("tok-1"));
	start(t);
	EXPECT(t, "resume");
	params_have(t, "\"sync\":{\"epoch\":\"e1\",\"cursors\":{\"7\":2},");
}

static void
test_only_one_process_moves_the_cursors(void **state)
{
	struct test *t = *state;
	struct vault *other = NULL;

	assert_int_equal(vault_open(slice_str(t->home), &server, S("alice"), &other), 0);
	assert_int_equal(vault_lock(other), 0);
	assert_int_equal(
	    vault_cursors_store(other, S("{\"epoch\":\"e1\",\"cursors\":{\"7\":9}}")), 0);
	use_vault(t); /* does not get the lock */
	assert_false(vault_locked(t->vault));
	start_synced(t, 10, 9);
	say_entry(t, 7, 10);
	step(t, 1000);
	client_destroy(&t->client);
	buf_clear(&t->scratch);
	assert_int_equal(vault_cursors_load(other, &t->scratch), 0);
	assert_true(
	    slice_eq(buf_slice(&t->scratch), S("{\"epoch\":\"e1\",\"cursors\":{\"7\":9}}")));
	vault_close(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_resume_and_sync),
	    TEST(test_duplicates_are_dropped_and_holes_asked_for_again),
	    TEST(test_gap_and_next),
	    TEST(test_removed_and_gone_are_forgotten),
	    TEST(test_a_conversation_that_was_left_is_followed_to_its_end),
	    TEST(test_large_cursor_sets_go_in_a_sync_of_their_own),
	    TEST(test_token_invalid_asks_for_a_login),
	    TEST(test_a_login_after_the_server_has_closed_connects_again),
	    TEST(test_a_register_without_an_answer_is_settled),
	    TEST(test_busy_is_obeyed),
	    TEST(test_another_users_answer_is_refused),
	    TEST(test_backoff),
	    TEST(test_goaway),
	    TEST(test_a_revoked_session_ends_the_token),
	    TEST(test_ping_and_death),
	    TEST(test_a_client_that_is_fed_pings_too),
	    TEST(test_reset_forgets_and_sends_again),
	    TEST(test_a_reset_is_seen_by_a_client_that_only_sends),
	    TEST(test_conversations_are_bounded),
	    TEST(test_unanswered_messages_go_again_in_order),
	    TEST(test_a_killed_run_is_finished_by_the_next),
	    TEST(test_what_can_not_be_sent_is_refused_at_once),
	    TEST(test_calls),
	    TEST(test_a_call_made_long_after_the_last_step_has_its_time),
	    TEST(test_marks_are_gathered),
	    TEST(test_input_split_at_every_byte),
	    TEST(test_input_byte_by_byte),
	    TEST(test_nonsense_ends_the_connection),
	    TEST(test_a_line_without_end_is_bounded),
	    TEST(test_cursors_survive),
	    TEST(test_only_one_process_moves_the_cursors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
