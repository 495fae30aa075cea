/* SPDX-License-Identifier: MIT */
#include "wire/http.h"

#include "wire/split_test.h"

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"

static int
codec(slice in)
{
	struct http_request request;

	return http_parse(in, &request);
}

/* Heads that are refused, and with what. */
static const struct {
	slice in;
	int status;
} refused[] = {
    /* The request line. */
    {S("\r\n\r\n" GET HOST "\r\n"), 400},
    {S("\n" GET HOST "\r\n"), 400},
    {S("GET /\r\n"), 400},
    {S("GET / \r\n"), 400},
    {S("GET  / HTTP/1.1\r\n"), 400},
    {S("GET /  HTTP/1.1\r\n"), 400},
    {S("GET / HTTP/1.1 \r\n"), 400},
    {S(" GET / HTTP/1.1\r\n"), 400},
    {S("GET\t/ HTTP/1.1\r\n"), 400},
    {S("GET / x HTTP/1.1\r\n"), 400},
    {S("G(T / HTTP/1.1\r\n"), 400},
    {S("G\0T / HTTP/1.1\r\n"), 400},
    {S("GET x HTTP/1.1\r\n"), 400},
    {S("GET * HTTP/1.1\r\n"), 400},
    {S("GET http://a/ HTTP/1.1\r\n"), 400},
    {S("CONNECT a:443 HTTP/1.1\r\n"), 400},
    {S("GET /a#b HTTP/1.1\r\n"), 400},
    {S("GET /a\\b HTTP/1.1\r\n"), 400},
    {S("GET /<> HTTP/1.1\r\n"), 400},
    {S("GET /% HTTP/1.1\r\n"), 400},
    {S("GET /%4 HTTP/1.1\r\n"), 400},
    {S("GET /%zz HTTP/1.1\r\n"), 400},
    {S("GET /\xC3\xA9 HTTP/1.1\r\n"), 400},
    {S("GET /a\0b HTTP/1.1\r\n"), 400},
    {S("GET /a\rb HTTP/1.1\r\n"), 400},
    {S("GET / HTTP/1.1\n"), 400},
    {S("GET / HTTP/1.1\r\r\n"), 400},
    {S("GET / http/1.1\r\n"), 400},
    {S("GET / HTTP/11\r\n"), 400},
    {S("GET / HTTP/1.10\r\n"), 400},
    {S("GET / HTTP/1,1\r\n"), 400},
    {S("GET / HTTP/+1.1\r\n"), 400},
    {S("GET / HTTP/1.2\r\n"), 505},
    {S("GET / HTTP/0.9\r\n"), 505},
    {S("GET / HTTP/2.0\r\n"), 505},
    {S("PRI * HTTP/2.0\r\n"), 505},
    /* Fields. */
    {S(GET "Host : a\r\n"), 400},
    {S(GET "Host\t: a\r\n"), 400},
    {S(GET " Host: a\r\n"), 400},
    {S(GET HOST "X: 1\r\n folded\r\n"), 400},
    {S(GET HOST "X: 1\r\n\tfolded\r\n"), 400},
    {S(GET HOST " \r\n"), 400},
    {S(GET ": a\r\n"), 400},
    {S(GET "Host\r\n"), 400},
    {S(GET "Ho st: a\r\n"), 400},
    {S(GET "H\xC3\xB6st: a\r\n"), 400},
    {S(GET "H\0st: a\r\n"), 400},
    {S(GET HOST "X: a\0b\r\n"), 400},
    {S(GET HOST "X: a\x01"
		"b\r\n"),
	400},
    {S(GET HOST "X: a\x7F\r\n"), 400},
    {S(GET HOST "X: a\rb\r\n"), 400},
    {S(GET HOST "X: a\nY: b\r\n"), 400},
    {S(GET HOST "X: a\r\r\n"), 400},
    {S(GET HOST "\n"), 400},
    {S(GET HOST "\r\r\n"), 400},
    /* Host. */
    {S(GET "\r\n"), 400},
    {S(GET HOST HOST "\r\n"), 400},
    {S(GET "Host: a\r\nhOST: b\r\n\r\n"), 400},
    {S(GET "Host: a b\r\n\r\n"), 400},
    {S(GET "Host: a, b\r\nHost: c\r\n\r\n"), 400},
    {S(GET "Host: a/b\r\n\r\n"), 400},
    {S(GET "Host: user@a\r\n\r\n"), 400},
    /* Lengths: what a proxy in front might have read otherwise. */
    {S(GET HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: 5, 5\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: +5\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: -5\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: 0x5\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: 5 5\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: 5a\r\n\r\n"), 400},
    {S(GET HOST "Content-Length:\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: \x0b"
		"5\r\n\r\n"),
	400},
    {S(GET HOST "Content-Length: 18446744073709551616\r\n\r\n"), 413},
    {S(GET HOST "Content-Length: 99999999999999999999999999\r\n\r\n"), 413},
    {S(GET HOST "Transfer-Encoding: chunked\r\n\r\n"), 501},
    {S(GET HOST "Transfer-Encoding: identity\r\n\r\n"), 501},
    {S(GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501},
    {S(GET HOST "Transfer-Encoding: xchunked\r\n\r\n"), 501},
    {S(GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"), 400},
    {S(GET HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {S(GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), 400},
    {S(GET HOST "Transfer-Encoding : chunked\r\n\r\n"), 400},
    {S(GET HOST "Transfer-Encoding\x0b: chunked\r\n\r\n"), 400},
    {S(GET HOST "X: a\r\n Transfer-Encoding: chunked\r\n\r\n"), 400},
    {S("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    /* Others of which there is one. */
    {S(GET HOST "Authorization: a\r\nAuthorization: b\r\n\r\n"), 400},
    {S(GET HOST "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: b\r\n\r\n"), 400},
    {S(GET HOST "Origin: a\r\nOrigin: b\r\n\r\n"), 400},
};

static void
strictness(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(refused); i++) {
		int result = run_prefixes(codec, refused[i].in);

		if (result != -refused[i].status)
			fail_msg("%.*s gives %d", SLICE_ARG(refused[i].in), result);
	}
}

/* Heads that are taken, each whole. */
static const struct {
	slice in, method, path, query;
	unsigned minor;
	bool keep_alive, has_length;
	uint64_t content_length;
} taken[] = {
    {S(GET HOST "\r\n"), S("GET"), S("/"), SLICE_NONE, 1, true, false, 0},
    {S("\r\n" GET HOST "\r\n"), S("GET"), S("/"), SLICE_NONE, 1, true, false, 0},
    {S("GET / HTTP/1.1\r\nHost:\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 1, true, false, 0},
    {S("GET / HTTP/1.1\r\nHost:[::1]:7000\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 1, true, false,
	0},
    {S("GET /ws?a=b&c HTTP/1.1\r\n" HOST "\r\n"), S("GET"), S("/ws"), S("a=b&c"), 1, true, false,
	0},
    {S("GET /? HTTP/1.1\r\n" HOST "\r\n"), S("GET"), S("/"), S(""), 1, true, false, 0},
    {S("GET //a/../%2e%2E/%00;x=1@:!$'()*+,~ HTTP/1.1\r\n" HOST "\r\n"), S("GET"),
	S("//a/../%2e%2E/%00;x=1@:!$'()*+,~"), SLICE_NONE, 1, true, false, 0},
    {S("FROB-IT / HTTP/1.1\r\n" HOST "\r\n"), S("FROB-IT"), S("/"), SLICE_NONE, 1, true, false, 0},
    {S("GET / HTTP/1.0\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 0, false, false, 0},
    {S("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 0, true,
	false, 0},
    {S(GET HOST "Connection: close\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 1, false, false, 0},
    {S(GET HOST "Connection: x\r\nconnection: y , CLOSE\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 1,
	false, false, 0},
    {S(GET HOST "Connection: closed\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 1, true, false, 0},
    {S("POST /p HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"), S("POST"), S("/p"), SLICE_NONE, 1,
	true, true, 0},
    {S("POST /p HTTP/1.1\r\n" HOST "content-length:\t 12 \r\n\r\n"), S("POST"), S("/p"), SLICE_NONE,
	1, true, true, 12},
    {S("POST /p HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n"), S("POST"),
	S("/p"), SLICE_NONE, 1, true, true, UINT64_MAX},
    {S(GET HOST "X:\r\nY: \t \r\nZ: \xE9\xFF \"q\" \t z\r\n\r\n"), S("GET"), S("/"), SLICE_NONE, 1,
	true, false, 0},
};

static void
requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(taken); i++) {
		struct http_request r;
		int result = run_prefixes(codec, taken[i].in);

		if (result != (int)taken[i].in.len)
			fail_msg("%.*s gives %d", SLICE_ARG(taken[i].in), result);
		(void)http_parse(taken[i].in, &r);
		assert_true(slice_eq(r.method, taken[i].method));
		assert_true(slice_eq(r.path, taken[i].path));
		assert_true(slice_given(r.query) == slice_given(taken[i].query));
		assert_true(slice_eq(r.query, taken[i].query));
		assert_int_equal(r.minor, taken[i].minor);
		assert_int_equal(r.keep_alive, taken[i].keep_alive);
		assert_int_equal(r.has_length, taken[i].has_length);
		assert_int_equal(r.content_length, taken[i].content_length);
	}
}

/* The handshake of RFC 6455 §1.2, and what comes behind a head. */
static void
upgrade(void **state)
{
	slice in = S("GET /chat HTTP/1.1\r\n"
		     "Host: server.example.com\r\n"
		     "Upgrade: websocket\r\n"
		     "Connection: keep-alive, Upgrade\r\n"
		     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		     "Origin: http://example.com\r\n"
		     "Sec-WebSocket-Protocol: chat, superchat\r\n"
		     "Sec-WebSocket-Version: 13\r\n"
		     "\r\n"
		     "\x81\x85");
	struct http_request r;

	(void)state;
	assert_int_equal(http_parse(in, &r), in.len - 2);
	assert_int_equal(r.header_count, 7);
	assert_true(
	    slice_eq(http_header(&r, S("sec-websocket-KEY")), S("dGhlIHNhbXBsZSBub25jZQ==")));
	assert_true(http_has_token(http_header(&r, S("Connection")), S("upgrade")));
	assert_true(http_has_token(http_header(&r, S("Upgrade")), S("WebSocket")));
	assert_true(http_has_token(http_header(&r, S("Sec-WebSocket-Protocol")), S("superchat")));
	assert_false(http_has_token(http_header(&r, S("Sec-WebSocket-Protocol")), S("super")));
	assert_false(http_has_token(http_header(&r, S("Sec-WebSocket-Extensions")), S("x")));
	assert_false(slice_given(http_header(&r, S("Sec-WebSocket-Extensions"))));
}

static void
put_fields(struct buf *b, size_t count)
{
	buf_put(b, S(GET HOST));
	for (size_t i = 1; i < count; i++)
		buf_put(b, S("X: y\r\n"));
	buf_put(b, S("\r\n"));
}

static void
bounds(void **state)
{
	struct http_request r;
	struct buf b = {0};

	(void)state;
	put_fields(&b, HTTP_HEADERS_MAX);
	assert_int_equal(http_parse(buf_slice(&b), &r), buf_len(&b));
	buf_clear(&b);
	put_fields(&b, HTTP_HEADERS_MAX + 1);
	assert_int_equal(run_prefixes(codec, buf_slice(&b)), -431);
	buf_clear(&b);

	/* A line without an end: the first is a target too long, another a field too long. */
	buf_put(&b, S("GET /"));
	while (buf_len(&b) < HTTP_HEAD_MAX)
		buf_put(&b, S("a"));
	assert_int_equal(http_parse(slice_of(buf_head(&b), HTTP_HEAD_MAX - 1), &r), 0);
	assert_int_equal(http_parse(buf_slice(&b), &r), -414);
	buf_clear(&b);
	buf_put(&b, S(GET HOST "X: "));
	while (buf_len(&b) < HTTP_HEAD_MAX - 4)
		buf_put(&b, S("a"));
	buf_put(&b, S("\r\n\r\n"));
	assert_int_equal(http_parse(buf_slice(&b), &r), HTTP_HEAD_MAX);
	b.end -= 4;
	buf_put(&b, S("a\r\n\r\n"));
	assert_int_equal(http_parse(buf_slice(&b), &r), -431);
	buf_fini(&b);
}

static void
tokens(void **state)
{
	(void)state;
	assert_true(http_has_token(S("a"), S("a")));
	assert_true(http_has_token(S(",, \tA ,b"), S("a")));
	assert_true(http_has_token(S("x, b"), S("B")));
	assert_false(http_has_token(S("ab, c"), S("a")));
	assert_false(http_has_token(S("a b"), S("a")));
	assert_false(http_has_token(S(""), S("a")));
}

static void
queries(void **state)
{
	static const struct {
		slice query, name;
		const char *value; /* NULL: none */
	} cases[] = {
	    {S("a=b"), S("a"), "b"},
	    {S("a=b&c=d"), S("c"), "d"},
	    {S("a=b&a=c"), S("a"), "b"},
	    {S("a"), S("a"), ""},
	    {S("a="), S("a"), ""},
	    {S("a=b=c"), S("a"), "b=c"},
	    {S("&&a=b&"), S("a"), "b"},
	    {S("a=x+y%20%C3%A9%2b"), S("a"), "x y \xC3\xA9+"},
	    {S("%61=b"), S("a"), "b"},
	    {S("aa=1&a=2"), S("a"), "2"},
	    {S("%zz=1&a=2"), S("a"), "2"},
	    {S(""), S("a"), NULL},
	    {SLICE_NONE, S("a"), NULL},
	    {S("b=a"), S("a"), NULL},
	    {S("A=b"), S("a"), NULL},
	    {S("a=%"), S("a"), NULL},
	    {S("a=%4"), S("a"), NULL},
	    {S("a=x%4&b=1"), S("a"), NULL},
	    {S("a=%g0"), S("a"), NULL},
	};
	struct buf b = {0};

	(void)state;
	buf_put(&b, S("12"));
	buf_consume(&b, 1);
	for (size_t i = 0; i < LEN(cases); i++) {
		char *copy = exact_copy(cases[i].query);
		slice query =
		    slice_of(slice_given(cases[i].query) ? copy : NULL, cases[i].query.len);
		bool found = http_query(query, cases[i].name, &b);

		assert_int_equal(found, cases[i].value != NULL);
		assert_int_equal(buf_head(&b)[0], '2');
		assert_true(slice_eq(
		    slice_of(buf_head(&b) + 1, buf_len(&b) - 1), slice_str(cases[i].value)));
		b.end = b.start + 1;
		mem_free(copy);
	}
	buf_fini(&b);
}

static void
answers(void **state)
{
	struct buf b = {0};

	(void)state;
	http_put_answer(&b, 200, S("text/plain"), S("Date: x\r\n"), S("hello"), false, true);
	assert_true(slice_eq(
	    buf_slice(&b), S("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
			     "Connection: keep-alive\r\nDate: x\r\n\r\nhello")));
	buf_clear(&b);
	http_put_answer(&b, 404, S("text/plain"), S(""), S("hello"), true, false);
	assert_true(slice_eq(buf_slice(&b),
	    S("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
	      "Connection: close\r\n\r\n")));
	buf_clear(&b);
	http_put_answer(&b, 204, S(""), SLICE_NONE, S(""), false, true);
	assert_true(slice_eq(
	    buf_slice(&b), S("HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n")));
	buf_clear(&b);
	http_put_answer(
	    &b, 101, S(""), S("Upgrade: websocket\r\nConnection: Upgrade\r\n"), S(""), false, true);
	assert_true(slice_eq(buf_slice(&b), S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: "
					      "websocket\r\nConnection: Upgrade\r\n\r\n")));
	buf_fini(&b);
	assert_string_equal(http_reason(431), "Request Header Fields Too Large");
	assert_string_equal(http_reason(799), "Unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(strictness),
	    cmocka_unit_test(requests),
	    cmocka_unit_test(upgrade),
	    cmocka_unit_test(bounds),
	    cmocka_unit_test(tokens),
	    cmocka_unit_test(queries),
	    cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
