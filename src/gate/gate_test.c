/* SPDX-License-Identifier: MIT */
/* Connections: detection, framing, what is in flight, limits, and all the ways in which they end.
 */
#include "gate/gate_fake.h"

#include "base/mem.h"

#define PING(id) "{\"id\":" id ",\"method\":\"ping\"}\n"
#define SEND(id) "{\"id\":" id ",\"method\":\"send\",\"params\":{\"to\":1,\"body\":\"b\"}}\n"
#define HISTORY(id) "{\"id\":" id ",\"method\":\"history\",\"params\":{\"cid\":1}}\n"
#define LOGIN(id)                                                                                  \
	"{\"id\":" id ",\"method\":\"login\",\"params\":{\"user\":\"al\",\"password\":\"p\"}}\n"
#define SENT "send to=1 kind=text body=b"

static int
begin(void **state)
{
	(void)state;
	world_begin();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

static void
expect_finished(enum close_reason reason)
{
	assert_true(world.conn->finishing);
	assert_string_equal(close_reason_name(world.conn->reason), close_reason_name(reason));
}

static void
expect_closed(enum close_reason reason)
{
	assert_true(world.conn->closing);
	assert_string_equal(close_reason_name(world.conn->reason), close_reason_name(reason));
}

static void
expect_goaway(const char *reason)
{
	json_t *json = take_line(), *params = json_object_get(json, "params");

	assert_string_equal(json_string_value(json_object_get(json, "method")), "goaway");
	assert_string_equal(json_string_value(json_object_get(params, "reason")), reason);
	json_decref(json);
}

/* --- Framing over lines --- */

static void
lines_come_whole_and_in_pieces(void **state)
{
	static const char text[] =
	    " \r\n" PING("1") "\n\t\n{\"id\":\"a\",\"method\":\"ping\"}\r\n" PING("3");

	(void)state;
	for (size_t at = 0; at < sizeof(text); at++) {
		dial("127.0.0.1");
		feed(slice_of(text, at));
		feed(slice_of(text + at, sizeof(text) - 1 - at));
		expect_result("1");
		expect_result("\"a\"");
		expect_result("3");
		expect_silence();
		assert_string_equal(world.peer->ip, "127.0.0.1");
		assert_int_equal(world.peer->form, 0);
	}
	dial("::ffff:10.0.0.7");
	for (size_t at = 0; at + 1 < sizeof(text); at++)
		feed(slice_of(text + at, 1));
	expect_result("1");
	expect_result("\"a\"");
	expect_result("3");
	assert_string_equal(world.peer->ip, "10.0.0.7");
}

static void
what_is_no_request(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_text("{\n");
	expect_error("null", "parse_error", NULL, 0);
	feed_text("{\"id\":1,\"method\":\"p\xff\"}\n");
	expect_error("null", "parse_error", NULL, 0);
	feed_text("[]\n{\"id\":1.5,\"method\":\"ping\"}\n{\"id\":4}\n");
	expect_error("null", "invalid_request", NULL, 0);
	expect_error("null", "invalid_request", NULL, 0);
	expect_error("4", "invalid_request", NULL, 0);
	feed_text("{\"id\":5,\"method\":\"hello\",\"params\":[]}\n");
	expect_error("5", "invalid_params", NULL, 0);
	feed_text("{\"method\":\"hello\",\"params\":[]}\n{\"method\":\"no.such\"}\n{\"method\":"
		  "\"send\"}\n");
	expect_silence();
	feed_text(PING("9007199254740991"));
	expect_result("9007199254740991");
	feed_text("{\"id\":\""
		  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		  "\",\"method\":\"ping\"}\n");
	expect_result("\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"");
	assert_false(world.conn->finishing);
}

static void
the_tenth_parse_error_closes(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_text("[]\n[]\n");
	expect_error("null", "invalid_request", NULL, 0);
	expect_error("null", "invalid_request", NULL, 0);
	for (int i = 0; i < 9; i++) {
		feed_text("{\n" PING("1"));
		expect_error("null", "parse_error", NULL, 0);
		expect_result("1");
	}
	assert_false(world.conn->finishing);
	feed_text("{\n" PING("1"));
	expect_error("null", "parse_error", NULL, 0);
	expect_goaway("errors");
	expect_silence();
	expect_finished(CLOSE_ERRORS);
}

/* A ping of exactly so many bytes before the line's end. */
static void
feed_padded(size_t size, bool with_end)
{
	struct buf line = {0};

	buf_put(&line, S("{\"id\":1,\"method\":\"ping\",\"pad\":\""));
	while (buf_len(&line) < size - 2)
		buf_put(&line, S("x"));
	buf_put(&line, S("\"}"));
	if (with_end)
		buf_put(&line, S("\n"));
	feed(buf_slice(&line));
	buf_fini(&line);
}

static void
frames_have_a_limit(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_padded(4096, true);
	expect_result("1");
	feed_padded(4097, true);
	expect_error("null", "too_large", NULL, 4096);
	expect_silence();
	expect_finished(CLOSE_TOO_LARGE);

	dial("127.0.0.1");
	feed_padded(4100, false);
	expect_error("null", "too_large", NULL, 4096);
	expect_finished(CLOSE_TOO_LARGE);

	dial_logged_in();
	feed_padded(65536, true);
	expect_result("1");
	feed_padded(65537, true);
	expect_error("null", "too_large", NULL, 65536);
	expect_finished(CLOSE_TOO_LARGE);
}

/* --- In flight --- */

static void
nothing_behind_a_login_is_looked_at(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_text(LOGIN("1") SEND("2") PING("3"));
	expect_told("login user=al password=p");
	expect_silence();
	assert_true(world.conn->paused);
	world.peer->logged_in = true;
	answer_empty();
	expect_result("1");
	expect_told(SENT);
	expect_result("3");
	assert_false(world.conn->paused);
	answer_empty();
	expect_result("2");
}

static void
the_small_frame_holds_until_the_login_is_answered(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_text(LOGIN("1"));
	feed_padded(5000, true);
	expect_silence();
	world.peer->logged_in = true;
	answer_empty();
	expect_result("1");
	expect_result("1");

	dial("127.0.0.1");
	feed_text(LOGIN("1"));
	feed_padded(5000, true);
	(void)answer_pending(
	    0, &(struct answer){.kind = ANSWER_FAULT, .fault = {.err = ERR_BAD_CREDENTIALS}});
	expect_error("1", "bad_credentials", NULL, 0);
	expect_error("null", "too_large", NULL, 4096);
	expect_finished(CLOSE_TOO_LARGE);
}

static void
logins_that_are_answered_at_once(void **state)
{
	(void)state;
	world.auto_answer = true;
	dial("127.0.0.1");
	feed_text(LOGIN("1") LOGIN("2") PING("3"));
	expect_result("1");
	expect_result("2");
	expect_result("3");
	assert_false(world.conn->paused);
}

static void
so_much_is_in_flight_and_no_more(void **state)
{
	(void)state;
	dial_logged_in();
	for (int i = 0; i < 100; i++)
		feed_text(SEND("1"));
	assert_int_equal(world.pending_count, LIMIT_IN_FLIGHT);
	assert_true(world.conn->paused);
	while (world.pending_count > 0)
		answer_empty();
	assert_false(world.conn->paused);
	for (int i = 0; i < 100; i++)
		expect_result("1");
	expect_silence();

	feed_text(HISTORY("1") HISTORY("2") HISTORY("3") HISTORY("4") HISTORY("5") SEND("6"));
	assert_int_equal(world.pending_count, 4);
	answer_pending(2, &(struct answer){.kind = ANSWER_EMPTY});
	expect_result("3");
	assert_int_equal(world.pending_count, 4);
	answer_empty();
	expect_result("1");
	assert_int_equal(world.pending_count, 4);
	assert_false(world.conn->paused);
}

static void
requests_without_id_count_too(void **state)
{
	(void)state;
	dial_logged_in();
	for (int i = 0; i < 70; i++)
		feed_text("{\"method\":\"send\",\"params\":{\"to\":1,\"body\":\"b\"}}\n");
	assert_int_equal(world.pending_count, LIMIT_IN_FLIGHT);
	(void)answer_pending(0, &(struct answer){.kind = ANSWER_FAULT, .fault = {.err = ERR_BUSY}});
	while (world.pending_count > 0)
		answer_empty();
	expect_silence();
	feed_text(PING("1"));
	expect_result("1");
}

static void
who_does_not_read_is_not_read(void **state)
{
	(void)state;
	dial_logged_in();
	world.conn->stuck = LIMIT_OUT_SOFT_BYTES + 1;
	feed_text(PING("1"));
	expect_silence();
	assert_true(world.conn->paused && world.conn->want_drained);
	drain();
	expect_result("1");
	assert_int_equal(world.peer->drained, 1);
	assert_false(world.conn->paused);
	/* An answer that comes later stops the reading just so. */
	feed_text(SEND("2"));
	world.conn->stuck = LIMIT_OUT_SOFT_BYTES + 1;
	answer_empty();
	assert_true(world.conn->paused);
	drain();
	assert_false(world.conn->paused);
}

static void
runs_are_refused_when_the_queue_is_full(void **state)
{
	struct run *run = run_copy(S("abcdef\n"));
	const struct chat_out *out;

	(void)state;
	dial_logged_in();
	out = &world.chat_out;
	assert_int_equal(out->queue(world.peer->out, run, 2, 3, false), CHAT_QUEUED);
	world.conn->stuck = LIMIT_OUT_SOFT_BYTES;
	assert_int_equal(out->queue(world.peer->out, run, 0, 3, false), CHAT_FULL);
	assert_true(world.conn->paused);
	assert_int_equal(out->queue(world.peer->out, run, 0, 7, true), CHAT_QUEUED);
	drain();
	assert_false(world.conn->paused);
	assert_int_equal(world.peer->drained, 1);
	out->goaway(world.peer->out, GOAWAY_SHUTDOWN, 10);
	assert_int_equal(out->queue(world.peer->out, run, 0, 7, true), CHAT_QUEUED);
	assert_int_equal(out->queue(world.peer->out, run, 0, 7, false), CHAT_FULL);
	run_unref(run);
}

/* --- Endings --- */

static void
a_half_closed_client_gets_its_answers(void **state)
{
	(void)state;
	dial_logged_in();
	feed_text(SEND("1") SEND("2") "{\"id\":3,\"method\":\"ping\"}");
	feed_eof();
	expect_result("3");
	assert_false(world.conn->finishing);
	answer_pending(1, &(struct answer){.kind = ANSWER_EMPTY});
	expect_result("2");
	assert_false(world.conn->finishing);
	answer_empty();
	expect_result("1");
	expect_finished(CLOSE_DONE);

	dial("127.0.0.1");
	feed_text(PING("1"));
	feed_eof();
	expect_result("1");
	expect_finished(CLOSE_DONE);

	dial("127.0.0.1");
	feed_eof();
	expect_silence();
	expect_finished(CLOSE_DONE);
}

static void
a_last_line_may_decide_what_is_spoken(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_text("PO");
	feed_eof();
	expect_error("null", "parse_error", NULL, 0);
	expect_finished(CLOSE_DONE);
	dial("127.0.0.1");
	feed_text(
	    "{\"id\":1,\"method\":\"login\",\"params\":{\"user\":\"al\",\"password\":\"p\"}}");
	feed_eof();
	expect_told("login user=al password=p");
	assert_false(world.conn->finishing);
	answer_empty();
	expect_result("1");
	expect_finished(CLOSE_DONE);
}

static void
logout_closes_when_all_is_answered(void **state)
{
	(void)state;
	dial_logged_in();
	feed_text(
	    SEND("1") "{\"id\":2,\"method\":\"logout\",\"params\":{\"all\":true}}\n" PING("3"));
	expect_told(SENT "\nlogout all=1");
	answer_pending(1, &(struct answer){.kind = ANSWER_EMPTY});
	world.chat_out.goaway(world.peer->out, GOAWAY_LOGOUT, 0);
	expect_result("2");
	assert_false(world.conn->finishing);
	answer_empty();
	expect_result("1");
	expect_silence();
	expect_finished(CLOSE_DONE);

	dial_logged_in();
	feed_text("{\"id\":2,\"method\":\"logout\"}\n" PING("3"));
	(void)answer_pending(
	    0, &(struct answer){.kind = ANSWER_FAULT, .fault = {.err = ERR_UNAVAILABLE}});
	expect_error("2", "unavailable", NULL, 0);
	expect_result("3");
	assert_false(world.conn->finishing);
}

static void
goaway_says_why(void **state)
{
	static const struct {
		enum goaway reason;
		const char *text;
		enum close_reason close;
	} table[] = {
	    {GOAWAY_EPOCH, "epoch", CLOSE_EPOCH},
	    {GOAWAY_IDLE, "idle", CLOSE_IDLE},
	    {GOAWAY_SLOW, "slow", CLOSE_SLOW},
	    {GOAWAY_BUSY, "busy", CLOSE_BUSY},
	    {GOAWAY_ERRORS, "errors", CLOSE_ERRORS},
	    {GOAWAY_REVOKED, "session_revoked", CLOSE_REVOKED},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		dial_logged_in();
		feed_text(SEND("1"));
		world.chat_out.goaway(world.peer->out, table[i].reason, 0);
		expect_goaway(table[i].text);
		expect_finished(table[i].close);
		answer_empty();
		world.chat_out.goaway(world.peer->out, GOAWAY_LOGOUT, 0);
		expect_silence();
	}
}

/* As text, and as the last words of somebody who shut his sending side. */
static void
who_comes_while_the_server_goes_is_told_so(void **state)
{
	(void)state;
	dial("127.0.0.1");
	gate_goaway(world.gate, 300);
	feed_text("{\"id\":1,\"method\":\"hello\"}\n");
	expect_goaway("shutdown");
	expect_silence();
	expect_finished(CLOSE_SHUTDOWN);
	dial("127.0.0.1");
	feed_text("P");
	feed_eof();
	expect_goaway("shutdown");
	expect_finished(CLOSE_SHUTDOWN);
	dial("127.0.0.1");
	feed_text("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_false(world.conn->finishing);
}

static void
a_shutdown_answers_what_is_in_flight(void **state)
{
	(void)state;
	dial_logged_in();
	feed_text(SEND("1"));
	world.chat_out.goaway(world.peer->out, GOAWAY_SHUTDOWN, 300);
	expect_goaway("shutdown");
	assert_false(world.conn->finishing);
	feed_text(PING("2"));
	expect_silence();
	answer_empty();
	expect_result("1");
	expect_finished(CLOSE_SHUTDOWN);

	dial_logged_in();
	world.chat_out.goaway(world.peer->out, GOAWAY_SHUTDOWN, 300);
	expect_goaway("shutdown");
	expect_finished(CLOSE_SHUTDOWN);
}

static void
who_does_not_log_in_is_closed(void **state)
{
	(void)state;
	dial("127.0.0.1");
	pass_ms(29999);
	assert_false(world.conn->finishing);
	pass_ms(1);
	expect_finished(CLOSE_LOGIN);

	dial("127.0.0.1");
	pass_ms(20000);
	feed_text(PING("1"));
	expect_result("1");
	pass_ms(9999);
	feed_text(LOGIN("2"));
	pass_ms(9000);
	assert_false(world.conn->finishing);
	(void)answer_pending(
	    0, &(struct answer){.kind = ANSWER_FAULT, .fault = {.err = ERR_BAD_CREDENTIALS}});
	expect_error("2", "bad_credentials", NULL, 0);
	pass_ms(29999);
	feed_text(PING("3"));
	expect_result("3");
	assert_false(world.conn->finishing);
	pass_ms(1);
	expect_silence();
	expect_finished(CLOSE_LOGIN);
}

static void
who_is_silent_is_told_to_go(void **state)
{
	(void)state;
	dial_logged_in();
	for (int i = 0; i < 10; i++) {
		pass_ms(30000);
		feed_text("\n");
	}
	assert_false(world.conn->finishing);
	for (int i = 0; i < 74; i++)
		pass_ms(1000);
	assert_false(world.conn->finishing);
	pass_ms(1000);
	expect_goaway("idle");
	expect_finished(CLOSE_IDLE);

	/* Whom we do not read is not silent. */
	dial_logged_in();
	world.conn->stuck = LIMIT_OUT_SOFT_BYTES + 1;
	feed_text(PING("1"));
	for (int i = 0; i < 200; i++)
		pass_ms(1000);
	assert_false(world.conn->finishing);
	drain();
	expect_result("1");
	for (int i = 0; i < 76; i++)
		pass_ms(1000);
	expect_goaway("idle");
}

static void
faults_of_the_server_have_a_trace(void **state)
{
	json_t *json, *error;

	(void)state;
	dial_logged_in();
	feed_text(SEND("1") SEND("2"));
	(void)answer_pending(
	    0, &(struct answer){.kind = ANSWER_FAULT, .fault = {.err = ERR_INTERNAL}});
	json = take_line();
	error = json_object_get(json, "error");
	assert_int_equal(json_integer_value(json_object_get(error, "code")), -32603);
	assert_int_equal(
	    strlen(json_string_value(json_object_get(json_object_get(error, "data"), "trace"))),
	    16);
	json_decref(json);
	(void)answer_pending(0, &(struct answer){.kind = ANSWER_FAULT,
				    .fault = {.err = ERR_RATE_LIMITED, .retry_after_ms = 1500}});
	json = take_line();
	error = json_object_get(json, "error");
	assert_true(json_is_true(json_object_get(json_object_get(error, "data"), "retry")));
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(error, "data"), "retry_after_ms")),
	    1500);
	assert_null(json_object_get(json_object_get(error, "data"), "trace"));
	json_decref(json);
}

/* --- PROXY and TLS --- */

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static void
proxy_headers_where_they_are_due(void **state)
{
	static const char *const proxies[] = {"10.0.0.0/8", NULL};
	static const char v2[] =
	    V2 "\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\1\x10\0\x1b\x58" PING("1");
	static const char v1[] = "PROXY TCP4 192.0.2.7 127.0.0.1 4096 7000\r\n" PING("1");
	static const char local[] = "PROXY UNKNOWN\r\n" PING("1");
	slice texts[] = {slice_of(v1, sizeof(v1) - 1), slice_of(v2, sizeof(v2) - 1),
	    slice_of(local, sizeof(local) - 1)};

	(void)state;
	world.listener.options.proxy = true;
	world.config.proxies = proxies;
	for (size_t i = 0; i < LEN(texts); i++) {
		for (size_t at = 0; at <= texts[i].len; at++) {
			dial("10.0.0.1");
			feed(slice_of(texts[i].ptr, at));
			feed(slice_of(texts[i].ptr + at, texts[i].len - at));
			expect_result("1");
			assert_string_equal(world.peer->ip, i < 2 ? "192.0.2.7" : "10.0.0.1");
		}
	}
	dial("11.0.0.1");
	expect_closed(CLOSE_PROTOCOL);
	dial("10.0.0.1");
	feed_text(PING("1"));
	expect_closed(CLOSE_PROTOCOL);
	expect_silence();
	world.config.proxies = NULL;
	dial("127.0.0.1");
	expect_closed(CLOSE_PROTOCOL);
}

static void
proxy_headers_elsewhere_are_an_error(void **state)
{
	static const char v2[] = V2;

	(void)state;
	dial("127.0.0.1");
	feed_text("PROX");
	assert_false(world.conn->closing);
	feed_text("Y TCP4 1.2.3.4");
	expect_closed(CLOSE_PROTOCOL);
	expect_silence();
	dial("127.0.0.1");
	feed(slice_of(v2, sizeof(v2) - 1));
	expect_closed(CLOSE_PROTOCOL);
	expect_silence();
	/* Empty lines begin like one. */
	dial("127.0.0.1");
	feed_text("\r\n\r\n" PING("1"));
	expect_result("1");
}

static void
tls_where_there_is_a_certificate(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_text("\x16\x03\x01");
	expect_closed(CLOSE_TLS);
	world.listener.options.tls = (struct tls_context *)(void *)&world;
	dial("127.0.0.1");
	feed_text("\x16\x03\x01");
	assert_true(world.conn->tls);
	feed_text(PING("1"));
	expect_result("1");
	dial("127.0.0.1");
	feed_text("\x16\x03\x01");
	feed_text("\x16\x03\x01");
	expect_closed(CLOSE_TLS);
}

/* --- What comes from nowhere --- */

static uint32_t
random_step(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Requests with some bytes changed, cut and doubled: each line gets one answer at most, and all
 * stays whole. */
static void
damaged_requests(void **state)
{
	static const char *const seeds[] = {
	    SEND("1"),
	    HISTORY("\"abc\""),
	    LOGIN("3"),
	    "{\"id\":4,\"method\":\"sync\",\"params\":{\"epoch\":\"e\",\"cursors\":{\"12\":3,\"9\":"
	    "4},"
	    "\"backlog\":5,\"preview\":true}}\n",
	    "{\"id\":5,\"method\":\"who\",\"params\":{\"scope\":\"#ops\",\"after\":\"bob\","
	    "\"limit\":3}}\n",
	    "{\"id\":6,\"method\":\"profile.get\",\"params\":{\"users\":[\"bob\",\"\\u0061l\"]}}\n",
	    "{\"id\":7,\"method\":\"send\",\"params\":{\"to\":\"@b\\u006fb\",\"body\":"
	    "\"\\ud83d\\ude00\","
	    "\"data\":{\"a\":[{},\"\\\\\"]},\"re\":4}}\n",
	};
	uint32_t chance = 2463534242u;

	(void)state;
	world.auto_answer = true;
	for (int round = 0; round < 20000; round++) {
		char text[512];
		size_t len = strlen(seeds[(unsigned)round % LEN(seeds)]), lines = 0, answers = 0;

		if (world.conn == NULL || world.conn->finishing || world.conn->closing) {
			dial_logged_in();
			world.peer->logged_in = (random_step(&chance) & 1) != 0;
		}
		memcpy(text, seeds[(unsigned)round % LEN(seeds)], len);
		for (unsigned i = random_step(&chance) % 4; i > 0; i--)
			text[random_step(&chance) % len] = (char)random_step(&chance);
		if (random_step(&chance) % 8 == 0)
			len = random_step(&chance) % len;
		text[len++] = '\n';
		for (size_t i = 0; i < len; i++)
			lines += text[i] == '\n';
		feed(slice_of(text, len));
		buf_clear(&world.told);
		for (; buf_len(&world.conn->out) > 0; answers++)
			json_decref(take_line());
		/* A goaway is one more. */
		assert_true(answers <= lines + world.conn->finishing);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(lines_come_whole_and_in_pieces),
	    TEST(what_is_no_request),
	    TEST(the_tenth_parse_error_closes),
	    TEST(frames_have_a_limit),
	    TEST(nothing_behind_a_login_is_looked_at),
	    TEST(the_small_frame_holds_until_the_login_is_answered),
	    TEST(logins_that_are_answered_at_once),
	    TEST(so_much_is_in_flight_and_no_more),
	    TEST(requests_without_id_count_too),
	    TEST(who_does_not_read_is_not_read),
	    TEST(runs_are_refused_when_the_queue_is_full),
	    TEST(a_half_closed_client_gets_its_answers),
	    TEST(a_last_line_may_decide_what_is_spoken),
	    TEST(logout_closes_when_all_is_answered),
	    TEST(goaway_says_why),
	    TEST(who_comes_while_the_server_goes_is_told_so),
	    TEST(a_shutdown_answers_what_is_in_flight),
	    TEST(who_does_not_log_in_is_closed),
	    TEST(who_is_silent_is_told_to_go),
	    TEST(faults_of_the_server_have_a_trace),
	    TEST(proxy_headers_where_they_are_due),
	    TEST(proxy_headers_elsewhere_are_an_error),
	    TEST(tls_where_there_is_a_certificate),
	    TEST(damaged_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
