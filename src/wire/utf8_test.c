/* SPDX-License-Identifier: MIT */
#include "wire/utf8.h"

#include "wire/split_test.h"

/* Decodes by arithmetic alone and encodes back: a second opinion on what is well formed. */
static size_t
encode(uint32_t code, unsigned char out[4])
{
	static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
	size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = len; i > 1; i--, code >>= 6)
		out[i - 1] = (unsigned char)(0x80 | (code & 0x3F));
	out[0] = (unsigned char)(len == 1 ? code : leads[len] | code);
	return len;
}

static bool
valid_by_arithmetic(const unsigned char *at, size_t len)
{
	while (len > 0) {
		size_t n = *at < 0x80   ? 1
			   : *at < 0xC0 ? 0
			   : *at < 0xE0 ? 2
			   : *at < 0xF0 ? 3
			   : *at < 0xF8 ? 4
					: 0;
		unsigned char again[4];
		uint32_t code;

		if (n == 0 || n > len)
			return false;
		code = n == 1 ? *at : *at & (0x7Fu >> n);
		for (size_t i = 1; i < n; i++) {
			if (at[i] >> 6 != 2)
				return false;
			code = code << 6 | (at[i] & 0x3Fu);
		}
		if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ||
		    encode(code, again) != n)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

static slice
bytes_slice(const unsigned char *bytes, size_t len)
{
	return slice_of((const char *)bytes, len);
}

static void
every_code_point(void **state)
{
	(void)state;
	for (uint32_t code = 0; code <= 0x110000; code++) {
		unsigned char bytes[4];
		size_t len = encode(code, bytes);
		bool want = code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
		bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);

		assert_true(utf8_valid(bytes_slice(bytes, len)) == want);
		assert_int_equal(utf8_sequence(bytes_slice(bytes, len)), want ? len : 0);
		if (!want)
			continue;
		assert_int_equal(utf8_count(bytes_slice(bytes, len)), 1);
		assert_true(utf8_has_control(bytes_slice(bytes, len)) == control);
		for (size_t cut = 1; cut < len; cut++) {
			assert_false(utf8_valid(bytes_slice(bytes, cut)));
			assert_int_equal(utf8_sequence(bytes_slice(bytes, cut)), 0);
		}
	}
}

static void
every_three_bytes(void **state)
{
	static const unsigned char ends[] = {0, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
	unsigned char b[4];

	(void)state;
	for (unsigned i = 0; i < 0x10000 * LEN(ends); i++) {
		b[0] = (unsigned char)(i & 0xFF);
		b[1] = (unsigned char)(i >> 8 & 0xFF);
		b[2] = ends[i >> 16];
		assert_true(utf8_valid(bytes_slice(b, 2)) == valid_by_arithmetic(b, 2));
		assert_true(utf8_valid(bytes_slice(b, 3)) == valid_by_arithmetic(b, 3));
		for (size_t j = 0; b[0] >= 0xF0 && j < LEN(ends); j++) {
			b[3] = ends[j];
			assert_true(utf8_valid(bytes_slice(b, 4)) == valid_by_arithmetic(b, 4));
		}
	}
}

static const struct {
	slice text;
	bool valid;
} table[] = {
    {S(""), true},
    {S("plain ascii, longer than eight bytes"), true},
    {S("na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x98\x80 \xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D"), true},
    {S("\xEF\xBB\xBF with a byte order mark"), true},
    {S("a\0b"), true},
    {S("\xF4\x8F\xBF\xBF\xEF\xBF\xBF\xED\x9F\xBF\xEE\x80\x80"), true},
    {S("12345678\xFF"), false},
    {S("\xC0\x80"), false},
    {S("\xE0\x80\x80"), false},
    {S("\xF0\x80\x80\x80"), false},
    {S("\xED\xA0\x80\xED\xB0\x80"), false},
    {S("\xF4\x90\x80\x80"), false},
    {S("\xF8\x88\x80\x80\x80"), false},
    {S("\x80"), false},
    {S("\xE2\x82"), false},
    {S("\xE2\x82"
       "a"),
	false},
};

static bool
valid_in_parts(slice text, size_t part)
{
	struct utf8_state s = {0};

	for (size_t at = 0; at < text.len; at += part) {
		size_t len = text.len - at < part ? text.len - at : part;
		char *copy = exact_copy(slice_of(text.ptr + at, len));
		bool fits = utf8_feed(&s, slice_of(copy, len));

		mem_free(copy);
		if (!fits)
			return false;
	}
	return utf8_done(&s);
}

static void
fragments(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		slice text = table[i].text;

		assert_true(utf8_valid(text) == table[i].valid);
		for (size_t part = 1; part <= text.len + 1; part++)
			assert_true(valid_in_parts(text, part) == table[i].valid);
	}
	assert_true(utf8_valid(SLICE_NONE));
}

static void
fails_at_once(void **state)
{
	struct utf8_state s = {0};

	(void)state;
	assert_true(utf8_feed(&s, S("\xF4")));
	assert_false(utf8_done(&s));
	assert_false(utf8_feed(&s, S("\x90")));
}

static void
cutting(void **state)
{
	slice text = S("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z");
	const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};

	(void)state;
	for (size_t cut = 0; cut < LEN(want); cut++)
		assert_int_equal(utf8_cut(text, cut).len, want[cut]);
	assert_int_equal(utf8_count(text), 5);
	assert_int_equal(utf8_count(S("")), 0);
	assert_int_equal(utf8_cut(S(""), 0).len, 0);
}

static void
controls(void **state)
{
	(void)state;
	assert_false(utf8_has_control(S("")));
	assert_false(utf8_has_control(S("tea \xC2\xA0 caf\xC3\xA9")));
	assert_true(utf8_has_control(S("a\tb")));
	assert_true(utf8_has_control(S("a\0")));
	assert_true(utf8_has_control(S("\x7F")));
	assert_true(utf8_has_control(S("a\xC2\x85")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_code_point),
	    cmocka_unit_test(every_three_bytes),
	    cmocka_unit_test(fragments),
	    cmocka_unit_test(fails_at_once),
	    cmocka_unit_test(cutting),
	    cmocka_unit_test(controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
