/* SPDX-License-Identifier: MIT */
#include "wire/ws.h"

#include <stdio.h>

#include "wire/split_test.h"

enum { MAX = 300 };

static const unsigned char rfc_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Writes a unit as a word: "M(text)", "C1000(bye)", "F1002". */
static void
note(struct buf *to, const struct ws_unit *unit)
{
	switch (unit->kind) {
	case WS_MESSAGE:
		buf_printf(to, "M(%.*s)", SLICE_ARG(unit->payload));
		break;
	case WS_PING:
		buf_printf(to, "P(%.*s)", SLICE_ARG(unit->payload));
		break;
	case WS_PONG:
		buf_printf(to, "Q(%.*s)", SLICE_ARG(unit->payload));
		break;
	case WS_CLOSE:
		buf_printf(to, "C%u(%.*s)", unit->close_code, SLICE_ARG(unit->payload));
		break;
	case WS_FAIL:
		buf_printf(to, "F%u", unit->close_code);
		break;
	}
}

/* Decodes what has come so far; true at an end. */
static bool
decode(struct ws_decoder *d, struct buf *in, struct buf *notes)
{
	for (;;) {
		size_t len = buf_len(in), used;
		char *copy = exact_copy(buf_slice(in));
		struct ws_unit unit = {0};
		bool has_unit;

		used = ws_next(d, copy, len, MAX, &has_unit, &unit);
		assert_true(used <= len && (used > 0 || !has_unit));
		if (has_unit)
			note(notes, &unit);
		mem_free(copy);
		buf_consume(in, used);
		if (has_unit && (unit.kind == WS_FAIL || unit.kind == WS_CLOSE))
			return true;
		if (used == 0)
			return false;
	}
}

/* Gives the bytes in two parts, or, for step > 0, in parts of that size; compares what came out. */
static void
run(slice bytes, size_t first, size_t step, const char *want)
{
	struct ws_decoder d = {0};
	struct buf in = {0}, notes = {0};
	size_t at = 0, part = first;
	bool ended = false;

	while (!ended && at < bytes.len) {
		if (part > bytes.len - at)
			part = bytes.len - at;
		buf_append(&in, bytes.ptr + at, part);
		at += part;
		part = step > 0 ? step : bytes.len;
		ended = decode(&d, &in, &notes);
		if (!d.in_message)
			assert_null(d.message.bytes);
	}
	if (!slice_eq(buf_slice(&notes), slice_str(want)))
		fail_msg("got %.*s, want %s", SLICE_ARG(buf_slice(&notes)), want);
	buf_fini(&in);
	buf_fini(&notes);
	ws_decoder_fini(&d);
}

static void
run_split(slice bytes, const char *want)
{
	run(bytes, bytes.len, 0, want);
	run(bytes, 1, 1, want);
	for (size_t cut = 1; cut < bytes.len; cut++)
		run(bytes, cut, 0, want);
}

/* A mask of zeros keeps the payloads legible; the masking itself has tests of its own. */
#define ZERO "\0\0\0\0"

static const struct {
	slice in;
	const char *units;
} table[] = {
    /* RFC 6455 §5.7, the frames of a client. */
    {S("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "M(Hello)"},
    {S("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "Q(Hello)"},
    {S("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "P(Hello)"},
    /* The same as a server sends them: unmasked. */
    {S("\x81\x05Hello"), "F1002"},
    {S("\x01\x03Hel"), "F1002"},
    {S("\x89\x05Hello"), "F1002"},

    {S("\x81\x80" ZERO), "M()"},
    {S("\x81\x82" ZERO "{}"
       "\x81\x82" ZERO "[]"),
	"M({})M([])"},
    {S("\x89\x80" ZERO), "P()"},
    /* Fragments, with control frames between them. */
    {S("\x01\x83" ZERO "Hel"
       "\x80\x82" ZERO "lo"),
	"M(Hello)"},
    {S("\x01\x83" ZERO "Hel"
       "\x00\x80" ZERO "\x00\x81" ZERO "l"
       "\x80\x81" ZERO "o"),
	"M(Hello)"},
    {S("\x01\x80" ZERO "\x80\x80" ZERO), "M()"},
    {S("\x01\x83" ZERO "Hel"
       "\x89\x81" ZERO "?"
       "\x80\x82" ZERO "lo"),
	"P(?)M(Hello)"},
    {S("\x01\x81" ZERO "a"
       "\x80\x81" ZERO "b"
       "\x81\x81" ZERO "c"
       "\x01\x81" ZERO "d"
       "\x80\x80" ZERO),
	"M(ab)M(c)M(d)"},
    {S("\x01\x81" ZERO "a"
       "\x88\x80" ZERO),
	"C1005()"},
    {S("\x80\x81" ZERO "a"), "F1002"},
    {S("\x00\x81" ZERO "a"), "F1002"},
    {S("\x81\x81" ZERO "a"
       "\x80\x81" ZERO "b"),
	"M(a)F1002"},
    {S("\x01\x81" ZERO "a"
       "\x81\x81" ZERO "b"),
	"F1002"},
    {S("\x01\x81" ZERO "a"
       "\x01\x81" ZERO "b"),
	"F1002"},
    {S("\x01\x81" ZERO "a"
       "\x82\x81" ZERO "b"),
	"F1002"},
    /* Binary. */
    {S("\x82\x81" ZERO "a"), "F1003"},
    {S("\x02\x81" ZERO "a"), "F1003"},
    /* Reserved bits and opcodes. */
    {S("\xC1\x80" ZERO), "F1002"},
    {S("\xA1\x80" ZERO), "F1002"},
    {S("\x91\x80" ZERO), "F1002"},
    {S("\x83\x80" ZERO), "F1002"},
    {S("\x84\x80" ZERO), "F1002"},
    {S("\x87\x80" ZERO), "F1002"},
    {S("\x8B\x80" ZERO), "F1002"},
    {S("\x8F\x80" ZERO), "F1002"},
    /* Control frames in parts, or too long. */
    {S("\x09\x80" ZERO), "F1002"},
    {S("\x0A\x80" ZERO), "F1002"},
    {S("\x08\x80" ZERO), "F1002"},
    {S("\x89\xFE\x00\x7E" ZERO), "F1002"},
    {S("\x88\xFF\x00\x00\x00\x00\x00\x01\x00\x00" ZERO), "F1002"},
    /* Lengths: not the shortest form, the top bit, over the bound. */
    {S("\x81\xFE\x00\x7D" ZERO), "F1002"},
    {S("\x81\xFE\x00\x00" ZERO), "F1002"},
    {S("\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF" ZERO), "F1002"},
    {S("\x81\xFF\x80\x00\x00\x00\x00\x00\x00\x00" ZERO), "F1002"},
    {S("\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF" ZERO), "F1002"},
    {S("\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF" ZERO), "F1009"},
    {S("\x81\xFF\x00\x00\x00\x00\x00\x01\x00\x00" ZERO), "F1009"},
    {S("\x81\xFE\x01\x2D" ZERO), "F1009"},
    {S("\x01\x81" ZERO "a"
       "\x80\xFE\x01\x2C"),
	"F1009"},
    {S("\x01\x81" ZERO "a"
       "\x00\xFE\x01\x2C"),
	"F1009"},
    /* Close. */
    {S("\x88\x80" ZERO), "C1005()"},
    {S("\x88\x81" ZERO "\x03"), "F1002"},
    {S("\x88\x82" ZERO "\x03\xE8"), "C1000()"},
    {S("\x88\x85" ZERO "\x03\xE9"
       "bye"),
	"C1001(bye)"},
    {S("\x88\x82" ZERO "\x0B\xB8"), "C3000()"},
    {S("\x88\x82" ZERO "\x13\x87"), "C4999()"},
    {S("\x88\x82" ZERO "\x03\xF6"), "C1014()"},
    {S("\x88\x84" ZERO "\x03\xE8\xC3\xA9"), "C1000(\xC3\xA9)"},
    {S("\x88\x83" ZERO "\x03\xE8\xFF"), "F1007"},
    {S("\x88\x83" ZERO "\x03\xE8\xC3"), "F1007"},
    {S("\x88\x82" ZERO "\x00\x00"), "F1002"},
    {S("\x88\x82" ZERO "\x03\xE7"), "F1002"},
    {S("\x88\x82" ZERO "\x03\xEC"), "F1002"},
    {S("\x88\x82" ZERO "\x03\xED"), "F1002"},
    {S("\x88\x82" ZERO "\x03\xEE"), "F1002"},
    {S("\x88\x82" ZERO "\x03\xF7"), "F1002"},
    {S("\x88\x82" ZERO "\x03\xF8"), "F1002"},
    {S("\x88\x82" ZERO "\x07\xD0"), "F1002"},
    {S("\x88\x82" ZERO "\x13\x88"), "F1002"},
    {S("\x88\x82" ZERO "\xFF\xFF"), "F1002"},
    /* UTF-8, whole, cut by a frame's end, and across fragments. */
    {S("\x81\x83" ZERO "\xE2\x82\xAC"), "M(\xE2\x82\xAC)"},
    {S("\x01\x81" ZERO "\xE2"
       "\x00\x81" ZERO "\x82"
       "\x89\x80" ZERO "\x80\x81" ZERO "\xAC"),
	"P()M(\xE2\x82\xAC)"},
    {S("\x81\x82" ZERO "\xE2\x82"), "F1007"},
    {S("\x81\x82" ZERO "\xC0\x80"), "F1007"},
    {S("\x81\x83" ZERO "\xED\xA0\x80"), "F1007"},
    {S("\x01\x82" ZERO "\xE2\x82"
       "\x80\x80" ZERO),
	"F1007"},
    {S("\x01\x82" ZERO "\xE2\x82"
       "\x80\x81" ZERO "a"),
	"F1007"},
    /* At once, not at the message's end; and a pong in another's middle has bytes of any kind. */
    {S("\x01\x82" ZERO "\xF4\x90"), "F1007"},
    {S("\x01\x81" ZERO "\xE2"
       "\x8A\x81" ZERO "\xFF"),
	"Q(\xFF)"},
    {S("\x01\x81" ZERO "\xE2"
       "\x8A\x81" ZERO "\xFF"
       "\x80\x82" ZERO "\x82\xAC"),
	"Q(\xFF)M(\xE2\x82\xAC)"},
};

static void
units(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(table); i++)
		run_split(table[i].in, table[i].units);
}

/* What a header's first bytes show fails before the rest has come. */
static void
fails_by_the_header(void **state)
{
	static const struct {
		slice in;
		const char *units;
	} early[] = {
	    {S("\xC1"), "F1002"},
	    {S("\x80"), "F1002"},
	    {S("\x82"), "F1003"},
	    {S("\x09"), "F1002"},
	    {S("\x81\x05"), "F1002"},
	    {S("\x89\xFE"), "F1002"},
	    {S("\x81\xFE\x01\x2D"), "F1009"},
	    {S("\x81\xFE\x00\x7D"), "F1002"},
	    {S("\x81"), ""},
	    {S("\x81\x81" ZERO), ""},
	    {S("\x81\xFE\x01\x2C" ZERO), ""},
	};

	(void)state;
	for (size_t i = 0; i < LEN(early); i++)
		run_split(early[i].in, early[i].units);
}

/* Every length up to the bound, masked, after a frame that shifts its alignment. */
static void
lengths_and_masks(void **state)
{
	char text[MAX];

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t len = 0; len <= MAX; len++) {
		struct buf bytes = {0}, want = {0};

		ws_put_masked(&bytes, WS_OP_PING, slice_of(text, len % 9), rfc_mask);
		ws_put_masked(&bytes, WS_OP_TEXT, slice_of(text, len), rfc_mask);
		buf_printf(&want, "P(%.*s)M(%.*s)", (int)(len % 9), text, (int)len, text);
		buf_append(&want, "", 1);
		run(buf_slice(&bytes), buf_len(&bytes), 0, buf_head(&want));
		run(buf_slice(&bytes), 3, 5, buf_head(&want));
		buf_fini(&bytes);
		buf_fini(&want);
	}
}

static void
fragments_up_to_the_bound(void **state)
{
	struct buf bytes = {0}, want = {0};
	char text[MAX];
	unsigned char *opcodes;

	(void)state;
	memset(text, 'y', sizeof(text));
	ws_put_masked(&bytes, WS_OP_TEXT, slice_of(text, 100), rfc_mask);
	opcodes = (unsigned char *)bytes.bytes;
	opcodes[0] = WS_OP_TEXT;
	ws_put_masked(&bytes, WS_OP_CONTINUATION, slice_of(text, MAX - 100), rfc_mask);
	buf_printf(&want, "M(%.*s)", MAX, text);
	buf_append(&want, "", 1);
	run_split(buf_slice(&bytes), buf_head(&want));
	buf_fini(&bytes);
	buf_fini(&want);
}

/* The bound falls below what a message already has: it fails with its next frame. */
static void
bound_shrinks(void **state)
{
	char first[] = "\x01\x83" ZERO "abc", last[] = "\x80\x80" ZERO;
	struct ws_decoder d = {0};
	struct ws_unit unit;
	bool has_unit;

	(void)state;
	assert_int_equal(
	    ws_next(&d, first, sizeof(first) - 1, MAX, &has_unit, &unit), sizeof(first) - 1);
	assert_false(has_unit);
	assert_int_equal(
	    ws_next(&d, last, sizeof(last) - 1, 2, &has_unit, &unit), sizeof(last) - 1);
	assert_true(has_unit && unit.kind == WS_FAIL && unit.close_code == 1009);
	ws_decoder_fini(&d);
}

/* RFC 6455 §5.7, the frames of a server. */
static void
headers(void **state)
{
	static const struct {
		unsigned opcode;
		size_t len;
		slice header;
	} want[] = {
	    {WS_OP_TEXT, 5, S("\x81\x05")},
	    {WS_OP_PING, 5, S("\x89\x05")},
	    {WS_OP_PONG, 0, S("\x8A\x00")},
	    {WS_OP_TEXT, 125, S("\x81\x7D")},
	    {WS_OP_TEXT, 126, S("\x81\x7E\x00\x7E")},
	    {WS_OP_BINARY, 256, S("\x82\x7E\x01\x00")},
	    {WS_OP_TEXT, 65535, S("\x81\x7E\xFF\xFF")},
	    {WS_OP_BINARY, 65536, S("\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00")},
	};

	(void)state;
	for (size_t i = 0; i < LEN(want); i++) {
		char header[WS_HEADER_MAX];
		size_t len = ws_header(header, want[i].opcode, want[i].len);

		assert_true(slice_eq(slice_of(header, len), want[i].header));
	}
}

static void
frames(void **state)
{
	struct buf b = {0};

	(void)state;
	ws_put_frame(&b, WS_OP_TEXT, S("Hello"));
	assert_true(slice_eq(buf_slice(&b), S("\x81\x05Hello")));
	buf_clear(&b);
	ws_put_masked(&b, WS_OP_TEXT, S("Hello"), rfc_mask);
	assert_true(slice_eq(buf_slice(&b), S("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")));
	buf_clear(&b);
	ws_put_close(&b, 0, S("not said"));
	assert_true(slice_eq(buf_slice(&b), S("\x88\x00")));
	buf_clear(&b);
	ws_put_close(&b, 1001, S("bye"));
	assert_true(slice_eq(buf_slice(&b), S("\x88\x05\x03\xE9"
					      "bye")));
	buf_fini(&b);
}

/* A reason is cut where a control frame ends, but within no sequence. */
static void
long_reason(void **state)
{
	struct buf b = {0}, reason = {0};

	(void)state;
	for (int i = 0; i < 100; i++)
		buf_put(&reason, S("\xC3\xA9"));
	ws_put_close(&b, 1008, buf_slice(&reason));
	assert_int_equal(buf_len(&b), 2 + 2 + 122);
	assert_int_equal(buf_head(&b)[1], 124);
	buf_fini(&b);
	buf_fini(&reason);
}

static void
handshake(void **state)
{
	char accept[WS_ACCEPT_BYTES];

	(void)state;
	ws_accept_key(S("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_BYTES);
	assert_true(ws_key_valid(S("dGhlIHNhbXBsZSBub25jZQ==")));
	assert_true(ws_key_valid(S("AAAAAAAAAAAAAAAAAAAA+/==")));
	assert_false(ws_key_valid(S("")));
	assert_false(ws_key_valid(SLICE_NONE));
	assert_false(ws_key_valid(S("dGhlIHNhbXBsZSBub25jZQ=")));
	assert_false(ws_key_valid(S("dGhlIHNhbXBsZSBub25jZQ===")));
	assert_false(ws_key_valid(S("dGhlIHNhbXBsZSBub25jZQQ=")));
	assert_false(ws_key_valid(S("dGhlIHNhbXBsZSBub25jZQQQ")));
	assert_false(ws_key_valid(S("dGhlIHNhbXBsZSBub25jZ-==")));
	assert_false(ws_key_valid(S("dGhlIHNhbXBsZSBub25j Q==")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(units),
	    cmocka_unit_test(fails_by_the_header),
	    cmocka_unit_test(lengths_and_masks),
	    cmocka_unit_test(fragments_up_to_the_bound),
	    cmocka_unit_test(bound_shrinks),
	    cmocka_unit_test(headers),
	    cmocka_unit_test(frames),
	    cmocka_unit_test(long_reason),
	    cmocka_unit_test(handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
