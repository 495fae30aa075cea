/* SPDX-License-Identifier: MIT */
/* HTTP, the upgrade, and confab over WebSocket. */
#include "gate/gate_fake.h"

#include "base/mem.h"
#include "wire/ws.h"

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ASK "Host: chat.example:7000\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define UPGRADE(more) "GET /ws HTTP/1.1\r\n" ASK KEY "Sec-WebSocket-Version: 13\r\n" more "\r\n"
#define PING(id) "{\"id\":" id ",\"method\":\"ping\"}"
#define SEND(id) "{\"id\":" id ",\"method\":\"send\",\"params\":{\"to\":1,\"body\":\"b\"}}"

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

/* --- HTTP --- */

/* What is written begins with that status; `holds` is in it.  Takes it all. */
static void
expect_http(const char *status, const char *holds)
{
	char *text = take_out();

	if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, status, strlen(status)) != 0 ||
	    strstr(text, holds) == NULL)
		fail_msg("not %s with %s: %s", status, holds, text);
	mem_free(text);
}

static void
paths_and_methods(void **state)
{
	static const struct {
		const char *request, *status, *holds;
	} table[] = {
	    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "200", "WebSocket("},
	    {"GET /?x=1 HTTP/1.1\r\nHost: h\r\n\r\n", "200", "text/html"},
	    {"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "200", "ok\n"},
	    {"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n", "200", "ready\n"},
	    {"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", "200", "confab_up 1\n"},
	    {"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", "404", ""},
	    {"GET /healthz/ HTTP/1.1\r\nHost: h\r\n\r\n", "404", ""},
	    {"DELETE /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "405", "Allow: GET, HEAD\r\n"},
	    {"OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n", "405", "Allow: GET, HEAD\r\n"},
	    {"POST /ws HTTP/1.1\r\nHost: h\r\n\r\n", "405", "Allow: GET\r\n"},
	    {"HEAD /ws HTTP/1.1\r\nHost: h\r\n\r\n", "405", "Allow: GET\r\n"},
	    {"POST /api/v1/send HTTP/1.1\r\nHost: h\r\n\r\n", "404", ""},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		size_t len = strlen(table[i].request);

		dial("127.0.0.1");
		feed_text(table[i].request);
		expect_http(table[i].status, table[i].holds);
		assert_false(world.conn->finishing);
		assert_null(world.peer);
		for (size_t at = 0; at < len; at++) {
			expect_silence();
			feed(slice_of(table[i].request + at, 1));
		}
		expect_http(table[i].status, table[i].holds);
	}
}

static void
several_requests_on_one_connection(void **state)
{
	char *text;

	(void)state;
	dial("127.0.0.1");
	feed_text(
	    "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nHEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
	    "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: "
	    "h\r\n\r\n");
	text = take_out();
	assert_non_null(strstr(text, "ok\n"));
	assert_non_null(strstr(strstr(text, "ok\n"), "Content-Length: 3\r\n"));
	assert_null(strstr(text, "html"));
	mem_free(text);
	assert_true(world.conn->finishing);
}

static void
what_is_no_request_ends_the_connection(void **state)
{
	static const struct {
		const char *request, *status;
	} table[] = {
	    {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"},
	    {"GET / HTTP/2.7\r\nHost: h\r\n\r\n", "505"},
	    {"POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "405"},
	    {"GET / HTTP/1.0\r\n\r\n", "200"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		dial("127.0.0.1");
		feed_text(table[i].request);
		expect_http(table[i].status, "");
		assert_true(world.conn->finishing);
	}
}

static void
a_slow_head_has_its_time(void **state)
{
	(void)state;
	dial("127.0.0.1");
	feed_text("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_http("200", "");
	pass_ms(29000);
	feed_text("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /heal");
	expect_http("200", "");
	pass_ms(29000);
	feed_text("thz");
	assert_false(world.conn->finishing);
	pass_ms(1000);
	assert_true(world.conn->finishing);
	assert_int_equal(world.conn->reason, CLOSE_LOGIN);
}

static void
metrics_and_reasons_are_for_some(void **state)
{
	static const char *const monitors[] = {"10.0.0.0/8", NULL};

	(void)state;
	world.config.monitors = monitors;
	world.ready = false;
	world.why = "the store is read-only";
	dial("192.0.2.1");
	feed_text("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_http("403", "loopback");
	feed_text("GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_http("503", "not ready\n");
	dial("10.2.3.4");
	feed_text("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_http("200", "confab_up");
	feed_text("GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_http("503", "not ready: the store is read-only\n");
	dial("::1");
	feed_text("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_http("200", "confab_up");
}

/* --- The upgrade --- */

static void
upgrades_and_refusals(void **state)
{
	static const char *const origins[] = {"https://app.example", NULL};
	static const struct {
		const char *request, *status, *holds;
	} table[] = {
	    {UPGRADE(""), "101", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"},
	    {UPGRADE("Origin: http://chat.example:7000\r\n"), "101", ""},
	    {UPGRADE("Origin: https://Chat.Example:7000\r\n"), "101", ""},
	    {UPGRADE("Origin: https://app.example\r\n"), "101", ""},
	    {UPGRADE("Origin: https://app.example.evil\r\n"), "403", ""},
	    {UPGRADE("Origin: http://chat.example\r\n"), "403", ""},
	    {UPGRADE("Origin: http://chat.example:7000.evil\r\n"), "403", ""},
	    {UPGRADE("Origin: null\r\n"), "403", ""},
	    {UPGRADE("Origin: \r\n"), "403", ""},
	    {UPGRADE("Sec-WebSocket-Protocol: confab.v1\r\n"), "101",
		"\r\nSec-WebSocket-Protocol: confab.v1\r\n"},
	    {UPGRADE("Sec-WebSocket-Protocol: mqtt, confab.v1\r\n"), "101",
		"Protocol: confab.v1\r\n"},
	    {UPGRADE("Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: confab.v1\r\n"),
		"101", "confab.v1"},
	    {UPGRADE("Sec-WebSocket-Protocol: mqtt\r\n"), "400", ""},
	    {UPGRADE("Sec-WebSocket-Protocol: CONFAB.V1\r\n"), "400", ""},
	    {UPGRADE("Sec-WebSocket-Protocol: \r\n"), "400", ""},
	    {UPGRADE("Sec-WebSocket-Protocol: a,,\tconfab.v1 ,b\r\n"), "101",
		"Protocol: confab.v1"},
	    {UPGRADE("Sec-WebSocket-Protocol: confab.v10\r\n"), "400", ""},
	    {"GET /ws HTTP/1.1\r\n" ASK KEY "Sec-WebSocket-Version: 8\r\n\r\n", "426",
		"Sec-WebSocket-Version: 13\r\n"},
	    {"GET /ws HTTP/1.1\r\n" ASK KEY "\r\n", "426", "Sec-WebSocket-Version: 13\r\n"},
	    {"GET /ws HTTP/1.1\r\n" ASK "Sec-WebSocket-Version: 13\r\n\r\n", "400", ""},
	    {"GET /ws HTTP/1.1\r\n" ASK
	     "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
		"400", ""},
	    {"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", "426", "Upgrade: websocket\r\n"},
	    {"GET /ws HTTP/1.0\r\n" ASK KEY "Sec-WebSocket-Version: 13\r\n\r\n", "426", ""},
	    {"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nUpgrade: h2c\r\n"
	     "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY
	     "Sec-WebSocket-Version: 13\r\n\r\n",
		"101", ""},
	    {UPGRADE("Content-Length: 0\r\n"), "101", ""},
	    {UPGRADE("Content-Length: 5\r\n") "hello", "400", ""},
	};

	(void)state;
	world.config.origins = origins;
	for (size_t i = 0; i < LEN(table); i++) {
		bool upgraded = strcmp(table[i].status, "101") == 0;

		dial("127.0.0.1");
		feed_text(table[i].request);
		expect_http(table[i].status, table[i].holds);
		assert_int_equal(world.peer != NULL, upgraded);
		assert_int_equal(world.conn->finishing, !upgraded);
	}
}

/* --- Confab over WebSocket --- */

static void
dial_ws(void)
{
	dial("127.0.0.1");
	feed_text(UPGRADE("Sec-WebSocket-Protocol: confab.v1\r\n"));
	expect_http("101", "");
	assert_int_equal(world.peer->form, 1);
}

static void
put_masked(struct buf *to, unsigned opcode, slice payload)
{
	ws_put_masked(to, opcode, payload, (const unsigned char *)"\x11\x22\xf3\x04");
}

static void
feed_frame(unsigned opcode, slice payload)
{
	struct buf frame = {0};

	put_masked(&frame, opcode, payload);
	feed(buf_slice(&frame));
	buf_fini(&frame);
}

static void
feed_message(const char *text)
{
	feed_frame(WS_OP_TEXT, slice_str(text));
}

/* The next frame that was written; the caller frees the payload. */
static unsigned
take_frame(char **ret_payload)
{
	struct buf *out = &world.conn->out;
	slice in = buf_slice(out);
	const unsigned char *b = (const unsigned char *)in.ptr;
	size_t head = 2, len;
	unsigned opcode;

	assert_true(in.len >= 2 && (b[0] & 0x80) != 0 && (b[1] & 0x80) == 0);
	opcode = b[0] & 0x0fu;
	len = b[1];
	if (len >= 126) {
		size_t bytes = len == 126 ? 2 : 8;
		len = 0;
		for (size_t i = 0; i < bytes; i++)
			len = len << 8 | b[2 + i];
		head += bytes;
	}
	assert_true(in.len >= head + len);
	*ret_payload = mem_dup(slice_of(in.ptr + head, len));
	buf_consume(out, head + len);
	return opcode;
}

static json_t *
take_message(void)
{
	char *payload;
	json_t *json;

	assert_int_equal(take_frame(&payload), WS_OP_TEXT);
	json = json_loads(payload, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	mem_free(payload);
	return json;
}

static void
expect_answer(int id)
{
	json_t *json = take_message();

	assert_non_null(json_object_get(json, "result"));
	assert_int_equal(json_integer_value(json_object_get(json, "id")), id);
	json_decref(json);
}

static void
expect_message_error(const char *name)
{
	json_t *json = take_message();
	const char *have = json_string_value(
	    json_object_get(json_object_get(json_object_get(json, "error"), "data"), "name"));

	assert_string_equal(have, name);
	json_decref(json);
}

/* The last frame: a close with that code, 0 for none. */
static void
expect_ws_close(unsigned code)
{
	char *payload;
	const unsigned char *b;

	assert_true(world.conn->finishing);
	assert_int_equal(take_frame(&payload), WS_OP_CLOSE);
	b = (const unsigned char *)payload;
	assert_int_equal(b[0] << 8 | (b[0] != 0 ? b[1] : 0), code);
	mem_free(payload);
	expect_silence();
}

static void
messages_whole_and_in_pieces(void **state)
{
	struct buf text = {0};
	slice all;

	(void)state;
	buf_put(&text, S(UPGRADE("")));
	put_masked(&text, WS_OP_TEXT, S(PING("1")));
	put_masked(&text, WS_OP_PING, S("are you there"));
	put_masked(&text, WS_OP_TEXT, S(" "));
	put_masked(&text, WS_OP_PONG, S(""));
	put_masked(&text, WS_OP_TEXT, S(PING("2")));
	all = buf_slice(&text);
	for (size_t at = 0; at <= all.len; at++) {
		char *out, *pong;

		dial("127.0.0.1");
		feed(slice_of(all.ptr, at));
		feed(slice_of(all.ptr + at, all.len - at));
		assert_non_null(world.peer);
		out = strstr(buf_head(&world.conn->out), "\r\n\r\n");
		assert_non_null(out);
		buf_consume(&world.conn->out, (size_t)(out + 4 - buf_head(&world.conn->out)));
		expect_answer(1);
		assert_int_equal(take_frame(&pong), WS_OP_PONG);
		assert_string_equal(pong, "are you there");
		mem_free(pong);
		expect_answer(2);
		expect_silence();
	}
	buf_fini(&text);
}

static void
a_message_in_fragments(void **state)
{
	static const char text[] = PING("1");
	struct buf frames = {0};
	size_t at;

	(void)state;
	dial_ws();
	/* Each byte a frame, with a ping in the middle; the first without FIN, as the rest but the
	 * last. */
	for (at = 0; at + 1 < sizeof(text); at++) {
		size_t start = buf_len(&frames);
		put_masked(
		    &frames, at == 0 ? WS_OP_TEXT : WS_OP_CONTINUATION, slice_of(text + at, 1));
		if (at + 2 < sizeof(text))
			frames.bytes[frames.start + start] &= 0x7f;
		if (at == 3)
			put_masked(&frames, WS_OP_PING, S(""));
	}
	for (at = 0; at < buf_len(&frames); at++)
		feed(slice_of(buf_head(&frames) + at, 1));
	buf_fini(&frames);
	{
		char *pong;
		assert_int_equal(take_frame(&pong), WS_OP_PONG);
		mem_free(pong);
	}
	expect_answer(1);
	/* One is left in the middle of a message. */
	put_masked(&frames, WS_OP_TEXT, S("{\"id\":"));
	frames.bytes[frames.start] &= 0x7f;
	feed(buf_slice(&frames));
	buf_fini(&frames);
}

static void
logins_block_here_too(void **state)
{
	struct buf frames = {0};

	(void)state;
	dial_ws();
	put_masked(&frames, WS_OP_TEXT,
	    S("{\"id\":1,\"method\":\"resume\",\"params\":{\"token\":\"t\"}}"));
	put_masked(&frames, WS_OP_TEXT, S(SEND("2")));
	put_masked(&frames, WS_OP_TEXT, S(PING("3")));
	feed(buf_slice(&frames));
	buf_fini(&frames);
	expect_told("resume token=t");
	expect_silence();
	world.peer->logged_in = true;
	answer_empty();
	expect_answer(1);
	expect_answer(3);
	answer_empty();
	expect_answer(2);
}

static void
failures_have_their_codes(void **state)
{
	struct buf frame = {0};

	(void)state;
	dial_ws();
	feed_frame(WS_OP_BINARY, S("{}"));
	expect_ws_close(1003);
	dial_ws();
	feed_frame(WS_OP_TEXT, S("\xff\xfe"));
	expect_ws_close(1007);
	dial_ws();
	feed_frame(3, S("x"));
	expect_ws_close(1002);
	dial_ws();
	ws_put_frame(&frame, WS_OP_TEXT, S("not masked"));
	feed(buf_slice(&frame));
	expect_ws_close(1002);
	buf_clear(&frame);
	while (buf_len(&frame) < 4097)
		buf_put(&frame, S(" "));
	dial_ws();
	feed_frame(WS_OP_TEXT, buf_slice(&frame));
	expect_message_error("too_large");
	expect_ws_close(1009);
	dial_ws();
	world.peer->logged_in = true;
	feed_frame(WS_OP_TEXT, buf_slice(&frame));
	feed_message(PING("1"));
	expect_answer(1);
	buf_fini(&frame);
	dial_ws();
	for (int i = 0; i < 10; i++) {
		feed_message("{");
		expect_message_error("parse_error");
	}
	json_decref(take_message());
	expect_ws_close(1008);
}

static void
closing_waits_for_the_answers(void **state)
{
	(void)state;
	dial_ws();
	world.peer->logged_in = true;
	feed_message(SEND("1"));
	feed_frame(WS_OP_CLOSE, S("\x0b\xb8"
				  "bye"));
	feed_message(PING("2"));
	assert_false(world.conn->finishing);
	answer_empty();
	expect_answer(1);
	expect_ws_close(3000);
	assert_int_equal(world.conn->reason, CLOSE_PEER);
	dial_ws();
	feed_frame(WS_OP_CLOSE, S(""));
	expect_ws_close(0);
	dial_ws();
	feed_frame(WS_OP_CLOSE, S("\x03\xe8"));
	expect_ws_close(1000);
	dial_ws();
	feed_frame(WS_OP_CLOSE, S("\x03\xed"));
	expect_ws_close(1002);
}

/* All comes at once: the upgrade, why it is of no use, and the end. */
static void
an_upgrade_while_the_server_goes(void **state)
{
	struct buf *out;
	const char *frames;

	(void)state;
	gate_goaway(world.gate, 250);
	dial("127.0.0.1");
	feed_text(UPGRADE(""));
	out = &world.conn->out;
	assert_true(slice_starts(buf_slice(out), S("HTTP/1.1 101 ")));
	frames = memmem(buf_head(out), buf_len(out), "\r\n\r\n", 4);
	assert_non_null(frames);
	buf_consume(out, (size_t)(frames + 4 - buf_head(out)));
	json_decref(take_message());
	expect_ws_close(1001);
}

static void
goaway_and_its_codes(void **state)
{
	(void)state;
	dial_ws();
	world.chat_out.goaway(world.peer->out, GOAWAY_SHUTDOWN, 250);
	{
		json_t *json = take_message(), *params = json_object_get(json, "params");
		assert_int_equal(json_integer_value(json_object_get(params, "reconnect_ms")), 250);
		json_decref(json);
	}
	expect_ws_close(1001);
	dial_ws();
	world.chat_out.goaway(world.peer->out, GOAWAY_REVOKED, 0);
	json_decref(take_message());
	expect_ws_close(1008);
	dial_ws();
	world.peer->logged_in = true;
	feed_message("{\"id\":1,\"method\":\"logout\"}");
	answer_empty();
	expect_answer(1);
	expect_ws_close(1000);
	dial_ws();
	pass_ms(30000);
	expect_ws_close(1008);
	dial_ws();
	feed_eof();
	assert_true(world.conn->finishing);
}

static void
answers_of_every_length_of_header(void **state)
{
	static const size_t lengths[] = {0, 10, 90, 100, 125, 126, 127, 16384};

	(void)state;
	dial_ws();
	world.peer->logged_in = true;
	for (size_t i = 0; i < LEN(lengths); i++) {
		struct buf cmid = {0};
		json_t *json;

		while (buf_len(&cmid) < lengths[i])
			buf_put(&cmid, S("c"));
		for (int times = 0; times < 5; times++) {
			feed_message(SEND("1"));
			(void)answer_pending(0,
			    &(struct answer){.kind = ANSWER_SEND,
				.send = {.cid = 1, .seq = 2, .ts = 3, .cmid = buf_slice(&cmid)}});
			json = take_message();
			assert_int_equal(json_string_length(json_object_get(
					     json_object_get(json, "result"), "cmid")),
			    lengths[i]);
			json_decref(json);
		}
		buf_fini(&cmid);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(paths_and_methods),
	    TEST(several_requests_on_one_connection),
	    TEST(what_is_no_request_ends_the_connection),
	    TEST(a_slow_head_has_its_time),
	    TEST(metrics_and_reasons_are_for_some),
	    TEST(upgrades_and_refusals),
	    TEST(messages_whole_and_in_pieces),
	    TEST(a_message_in_fragments),
	    TEST(logins_block_here_too),
	    TEST(failures_have_their_codes),
	    TEST(closing_waits_for_the_answers),
	    TEST(goaway_and_its_codes),
	    TEST(an_upgrade_while_the_server_goes),
	    TEST(answers_of_every_length_of_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
