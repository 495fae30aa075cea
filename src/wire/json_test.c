/* SPDX-License-Identifier: MIT */
#include "wire/json.h"

#include "wire/split_test.h"

static bool
accepts(slice text)
{
	char *copy = exact_copy(text);
	struct json value;
	bool fine = json_check(slice_of(copy, text.len), &value);

	mem_free(copy);
	return fine;
}

/* --- Acceptance --- */

static const slice good[] = {
    S("null"),
    S("true"),
    S("false"),
    S("0"),
    S("-0"),
    S("-1"),
    S("10"),
    S("0.5"),
    S("1e5"),
    S("1E+5"),
    S("-1.25e-10"),
    S("1e99999"),
    S("123456789012345678901234567890"),
    S("\"\""),
    S("\"a\""),
    S("[]"),
    S("{}"),
    S("[ ]"),
    S("{ }"),
    S(" \t\r\n[ 1 , 2 ] \n"),
    S("[[],{},[[{}]]]"),
    S("{\"a\":1}"),
    S("{\"a\":1,\"a\":2}"),
    S("{\"\":{\"\":[null]}}"),
    S("{ \"a\" : [ ] , \"b\" : { } }"),
    S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\""),
    S("\"\\u0000\""),
    S("\"\\ud83d\\ude00\""),
    S("\"\\uD83D\\uDE00\""),
    S("\"\\uffff\\uFFFE\""),
    S("\"\\ud7ff\\ue000\""),
    S("\"\x7F\""),
    S("\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""),
    S("\"\xF4\x8F\xBF\xBF\""),
    S("\"\xEF\xBB\xBF\""),
    S("\"\xE2\x80\xA8\""),
};

static const slice bad[] = {
    S(""),
    S(" "),
    S("nul"),
    S("nulll"),
    S("True"),
    S("tru"),
    S("NaN"),
    S("Infinity"),
    S("-"),
    S("+1"),
    S("01"),
    S("-01"),
    S("00"),
    S("1."),
    S(".5"),
    S("1.e5"),
    S("1e"),
    S("1e+"),
    S("1e5.5"),
    S("0x1"),
    S("1_0"),
    S("--1"),
    S("- 1"),
    S("1 2"),
    S("1,"),
    S(","),
    S("\""),
    S("\"a"),
    S("'a'"),
    S("a"),
    S("["),
    S("]"),
    S("[1"),
    S("[1,"),
    S("[1,]"),
    S("[,1]"),
    S("[,]"),
    S("[1 2]"),
    S("[1]]"),
    S("[1}"),
    S("{"),
    S("}"),
    S("{]"),
    S("{\"a\""),
    S("{\"a\":"),
    S("{\"a\":}"),
    S("{\"a\" 1}"),
    S("{\"a\":1,}"),
    S("{,}"),
    S("{a:1}"),
    S("{1:1}"),
    S("{\"a\":1 \"b\":2}"),
    S("{\"a\":1]"),
    S("{\"a\",1}"),
    S("[\"a\":1]"),
    S("{\"a\"::1}"),
    S("{\"a\":1:2}"),
    S("{null:1}"),
    S("{[]:1}"),
    S("[1]x"),
    S("{}{}"),
    S("//\n1"),
    S("/**/1"),
    S("[1/**/]"),
    S("\"\t\""),
    S("\"\n\""),
    S("\"\0\""),
    S("\"\x1F\""),
    S("\"\\"),
    S("\"\\\""),
    S("\"\\a\""),
    S("\"\\'\""),
    S("\"\\x41\""),
    S("\"\\U0041\""),
    S("\"\\u\""),
    S("\"\\u004\""),
    S("\"\\u004g\""),
    S("\"\\u+041\""),
    S("\"\\u 041\""),
    S("\"\\ud800\""),
    S("\"\\udc00\""),
    S("\"\\ud800x\""),
    S("\"\\ud800\\n\""),
    S("\"\\ud800\\ud800\""),
    S("\"\\udc00\\ud800\""),
    S("\"\\ud800\\u0041\""),
    S("\"\\ud800\\ue000\""),
    S("\"\\ud83d\\ude0\""),
    S("\"\x80\""),
    S("\"\xFF\""),
    S("\"\xC0\x80\""),
    S("\"\xC3\""),
    S("\"\xC3"),
    S("\"\xE0\x80\x80\""),
    S("\"\xED\xA0\x80\""),
    S("\"\xF4\x90\x80\x80\""),
    S("\"\xF0\x9F\x98\""),
    S("\xEF\xBB\xBF{}"),
    S("{}\0"),
    S("\0"),
    S("[\xA0]"),
    S("[\x0B]"),
    S("[\x0C]"),
    S("\xC2\xA0{}"),
    S("1\xE2\x80\xA8"),
    S("\"a\"\"b\""),
    S("truefalse"),
};

static void
tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(good); i++)
		if (!accepts(good[i]))
			fail_msg("refused: %.*s", SLICE_ARG(good[i]));
	for (size_t i = 0; i < LEN(bad); i++)
		if (accepts(bad[i]))
			fail_msg("accepted: %.*s", SLICE_ARG(bad[i]));
}

/* A text in brackets is none before its last byte. */
static void
no_prefix_is_accepted(void **state)
{
	slice text = S("{\"a\\u00e9\\ud83d\\ude00\":[1,-2.5e3,true,null,\"\xF0\x9F\x98\x80\",{}],"
		       "\"b\":{\"c\":[]}}");

	(void)state;
	for (size_t len = 0; len <= text.len; len++)
		assert_int_equal(accepts(slice_of(text.ptr, len)), len == text.len);
}

/* Each byte at each place of a string, so that no path, eight bytes wide or one, sees less than another. */
static void
every_byte_everywhere(void **state)
{
	char text[26];

	(void)state;
	for (size_t at = 1; at < sizeof(text) - 1; at++) {
		memset(text, 'x', sizeof(text));
		text[0] = text[sizeof(text) - 1] = '"';
		for (unsigned byte = 0; byte < 256; byte++) {
			text[at] = (char)byte;
			assert_int_equal(accepts(slice_of(text, sizeof(text))),
			    byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\');
		}
	}
}

static void
depth(void **state)
{
	struct buf b = {0};

	(void)state;
	for (unsigned deep = 1; deep <= JSON_DEPTH_MAX + 2; deep++) {
		for (unsigned kind = 0; kind < 3; kind++) {
			buf_clear(&b);
			for (unsigned i = 0; i < deep; i++)
				buf_put(&b,
				    kind == 0 || (kind == 2 && i % 2 == 0) ? S("[") : S("{\"a\":"));
			buf_put(&b, S("1"));
			for (unsigned i = deep; i-- > 0;)
				buf_put(
				    &b, kind == 0 || (kind == 2 && i % 2 == 0) ? S("]") : S("}"));
			assert_int_equal(accepts(buf_slice(&b)), deep <= JSON_DEPTH_MAX);
		}
	}
	/* It is depth that counts, not how many there are. */
	buf_clear(&b);
	buf_put(&b, S("["));
	for (int i = 0; i < 1000; i++)
		buf_put(&b, S("[[]],{\"a\":{}},"));
	buf_put(&b, S("0]"));
	assert_true(accepts(buf_slice(&b)));
	buf_fini(&b);
}

/* --- Reading --- */

static struct json
checked(slice text)
{
	struct json value;

	assert_true(json_check(text, &value));
	return value;
}

static void
values_and_types(void **state)
{
	static const struct {
		const char *text;
		enum json_type type;
	} want[] = {
	    {"null", JSON_NULL},
	    {"false", JSON_FALSE},
	    {"true", JSON_TRUE},
	    {"-1", JSON_NUMBER},
	    {"0", JSON_NUMBER},
	    {"\"]\\\"}\\\\\"", JSON_STRING},
	    {"[[1],[2]]", JSON_ARRAY},
	    {"{ \"x\\\\\" : {\"]\":[ ]} }", JSON_OBJECT},
	};
	struct buf b = {0};
	struct json element, array;
	struct json_iter it;
	size_t i = 0;

	(void)state;
	buf_put(&b, S(" [ "));
	for (size_t j = 0; j < LEN(want); j++)
		buf_printf(&b, "%s%s", j > 0 ? " ,\n" : "", want[j].text);
	buf_put(&b, S(" ] "));
	array = checked(buf_slice(&b));
	assert_int_equal(array.text.len, buf_len(&b) - 2);
	json_iter_init(&it, array);
	for (; json_next_element(&it, &element); i++) {
		assert_int_equal(json_type(element), want[i].type);
		assert_true(slice_eq(element.text, slice_str(want[i].text)));
	}
	assert_int_equal(i, LEN(want));
	assert_false(json_next_element(&it, &element));
	buf_fini(&b);
}

static void
members(void **state)
{
	struct json object =
	    checked(S("{ \"a\" : 1, \"b\":{\"a\":2},\"\\u0061\" :3,\"\":4,\"c\\n\":5 }"));
	struct json key, value;
	struct json_iter it;
	int count = 0;

	(void)state;
	json_iter_init(&it, object);
	for (; json_next_member(&it, &key, &value); count++)
		assert_int_equal(json_type(key), JSON_STRING);
	assert_int_equal(count, 5);
	assert_true(slice_eq(json_member(object, S("a")).text, S("3")));
	assert_true(slice_eq(json_member(object, S("")).text, S("4")));
	assert_true(slice_eq(json_member(object, S("c\n")).text, S("5")));
	assert_true(slice_eq(json_member(json_member(object, S("b")), S("a")).text, S("2")));
	assert_false(slice_given(json_member(object, S("c")).text));
	assert_false(slice_given(json_member(checked(S("{}")), S("a")).text));
	assert_false(slice_given(json_member((struct json){0}, S("a")).text));
}

/* --- Notes --- */

/* Every key and value below, in order, each in angle brackets. */
static void
trace(struct json value, struct buf *to)
{
	struct json_iter it;
	struct json key, inner;

	buf_put(to, S("<"));
	if (json_type(value) == JSON_OBJECT) {
		json_iter_init(&it, value);
		while (json_next_member(&it, &key, &inner)) {
			assert_true(!key.plain || memchr(key.text.ptr, '\\', key.text.len) == NULL);
			assert_true(
			    !inner.plain || memchr(inner.text.ptr, '\\', inner.text.len) == NULL);
			buf_put(to, key.text);
			trace(inner, to);
		}
	} else if (json_type(value) == JSON_ARRAY) {
		json_iter_init(&it, value);
		while (json_next_element(&it, &inner))
			trace(inner, to);
	} else {
		buf_put(to, value.text);
	}
	buf_put(to, S(">"));
}

static void
traced_alike(slice text)
{
	struct buf plain = {0}, noted = {0};
	struct json_notes notes;
	struct json value;

	assert_true(json_check(text, &value));
	trace(value, &plain);
	assert_true(json_check_noting(text, &value, &notes));
	assert_int_equal(value.plain, memchr(text.ptr, '\\', text.len) == NULL);
	trace(value, &noted);
	assert_true(slice_eq(buf_slice(&plain), buf_slice(&noted)));
	buf_fini(&plain);
	buf_fini(&noted);
}

/* `outer` members, the one at `at` an object of `inner`, of objects with an array each. */
static void
nest(struct buf *to, unsigned outer, unsigned at, unsigned inner)
{
	buf_clear(to);
	buf_put(to, S("{ "));
	for (unsigned i = 0; i < outer; i++) {
		buf_printf(to, "%s\"o%u\" : ", i > 0 ? " , " : "", i);
		if (i != at) {
			buf_printf(to, i % 2 == 0 ? "%u" : "\"\\u0041%u\"", i);
			continue;
		}
		buf_put(to, S("{"));
		for (unsigned j = 0; j < inner; j++)
			buf_printf(
			    to, "%s\"i\\n%u\":{\"x\":[{\"y\":%u},{}]}", j > 0 ? "," : "", j, j);
		buf_put(to, S(" }"));
	}
	buf_put(to, S(" }"));
}

static void
notes_say_what_is_there(void **state)
{
	static const slice texts[] = {
	    S("{\"a\":{},\"b\":{\"c\":1},\"d\":{ },\"e\":[{\"f\":2}],\"g\":{\"h\":{\"i\":3}}}"),
	    S("[{\"a\":{\"b\":1}},{\"c\":2}]"),
	    S("{\"a\":[[{\"b\":{\"c\":1}}]],\"d\":{\"e\":[{\"f\":1}],\"g\":\"\\\"\"}}"),
	    S("{\"\\\\\":\"\\\\\",\"a\":\"b\"}"),
	};
	struct buf text = {0};

	(void)state;
	for (size_t i = 0; i < LEN(good); i++)
		traced_alike(good[i]);
	for (size_t i = 0; i < LEN(texts); i++)
		traced_alike(texts[i]);
	/* As many as are noted, some fewer, and more, of both depths. */
	for (unsigned outer = 0; outer < JSON_NOTES_MAX + 3; outer++)
		for (unsigned at = 0; at <= outer; at += 3)
			for (unsigned inner = 0; inner < JSON_NOTES_MAX + 3; inner += 2) {
				nest(&text, outer, at, inner);
				traced_alike(buf_slice(&text));
			}
	buf_fini(&text);
}

static void
strings(void **state)
{
	static const struct {
		slice text, value;
	} want[] = {
	    {S("\"\""), S("")},
	    {S("\"plain\""), S("plain")},
	    {S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), S("\"\\/\b\f\n\r\t")},
	    {S("\"\\u0000\""), S("\0")},
	    {S("\"a\\u00e9b\\u20aC\""), S("a\xC3\xA9"
					  "b\xE2\x82\xAC")},
	    {S("\"\\ud83d\\uDE00!\""), S("\xF0\x9F\x98\x80!")},
	    {S("\"\\udbff\\udfff\\ud800\\udc00\""), S("\xF4\x8F\xBF\xBF\xF0\x90\x80\x80")},
	    {S("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\""),
		S("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF")},
	    {S("\"\xC3\xA9\\n\xC3\xA9\""), S("\xC3\xA9\n\xC3\xA9")},
	};

	(void)state;
	for (size_t i = 0; i < LEN(want); i++) {
		struct json string = checked(want[i].text);
		struct buf scratch = {0};
		slice value = json_string(string, &scratch);
		bool escaped = memchr(string.text.ptr, '\\', string.text.len) != NULL;

		assert_true(slice_eq(value, want[i].value));
		assert_true(json_string_is(string, want[i].value));
		assert_false(json_string_is(string, S("other")));
		assert_int_equal(buf_len(&scratch), escaped ? value.len : 0);
		if (!escaped)
			assert_ptr_equal(value.ptr, string.text.ptr + 1);
		for (size_t len = 0; len < value.len; len++)
			assert_false(json_string_is(string, slice_of(value.ptr, len)));
		buf_fini(&scratch);
	}
	assert_false(json_string_is(checked(S("\"abc\"")), S("abcd")));
	assert_false(json_string_is(checked(S("\"\\u0061\"")), S("ab")));
}

static void
integers(void **state)
{
	static const struct {
		const char *text;
		bool fits;
		int64_t value;
	} want[] = {
	    {"0", true, 0},
	    {"-0", true, 0},
	    {"7", true, 7},
	    {"-7", true, -7},
	    {"9007199254740991", true, 9007199254740991},
	    {"-9007199254740991", true, -9007199254740991},
	    {"9007199254740992", false, 0},
	    {"-9007199254740992", false, 0},
	    {"18446744073709551617", false, 0},
	    {"99999999999999999999999999999999", false, 0},
	    {"1.0", false, 0},
	    {"1e3", false, 0},
	    {"0.0", false, 0},
	    {"0e0", false, 0},
	    {"\"1\"", false, 0},
	    {"null", false, 0},
	    {"[1]", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < LEN(want); i++) {
		int64_t value = 77;

		assert_int_equal(
		    json_integer(checked(slice_str(want[i].text)), &value), want[i].fits);
		assert_int_equal(value, want[i].fits ? want[i].value : 77);
	}
}

static void
minify(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_put(&b, S("x="));
	json_minify(
	    checked(S(" { \"a b\\\"\" : [ 1 , 2.50 ,\t{ } ] , \"c\\\\\" : \" \" , \"\":null}\r\n")),
	    &b);
	assert_true(
	    slice_eq(buf_slice(&b), S("x={\"a b\\\"\":[1,2.50,{}],\"c\\\\\":\" \",\"\":null}")));
	buf_fini(&b);
}

/* --- Writing --- */

static void
writing_strings(void **state)
{
	static const struct {
		slice text, json;
	} want[] = {
	    {S(""), S("\"\"")},
	    {SLICE_NONE, S("\"\"")},
	    {S("plain, and more than eight"), S("\"plain, and more than eight\"")},
	    {S("\"\\/"), S("\"\\\"\\\\/\"")},
	    {S("\b\f\n\r\t\0\x1F\x7F"), S("\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7F\"")},
	    {S("caf\xC3\xA9 \xF0\x9F\x98\x80"), S("\"caf\xC3\xA9 \xF0\x9F\x98\x80\"")},
	    {S("\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA"),
		S("\"\xE2\x80\xA7\\u2028\\u2029\xE2\x80\xAA\"")},
	    {S("a\xE2\x80\xA8"), S("\"a\\u2028\"")},
	};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < LEN(want); i++) {
		buf_clear(&b);
		json_put_string(&b, want[i].text);
		assert_true(slice_eq(buf_slice(&b), want[i].json));
	}
	buf_fini(&b);
}

static void
writing_objects(void **state)
{
	struct buf b = {0};

	(void)state;
	json_comma(&b);
	buf_put(&b, S("{"));
	json_str(&b, "a", S("["));
	json_uint(&b, "b", UINT64_MAX);
	json_bool(&b, "c", true);
	json_bool(&b, "d", false);
	json_raw(&b, "e", S("{}"));
	json_key(&b, "f");
	buf_put(&b, S("["));
	for (int64_t i = -1; i < 2; i++) {
		json_comma(&b);
		json_put_int(&b, i);
	}
	json_comma(&b);
	json_put_int(&b, INT64_MIN);
	json_comma(&b);
	json_put_int(&b, INT64_MAX);
	buf_put(&b, S("]}"));
	assert_true(slice_eq(buf_slice(&b),
	    S("{\"a\":\"[\",\"b\":18446744073709551615,\"c\":true,\"d\":false,\"e\":{},"
	      "\"f\":[-1,0,1,-9223372036854775808,9223372036854775807]}")));
	assert_true(accepts(buf_slice(&b)));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tables),
	    cmocka_unit_test(no_prefix_is_accepted),
	    cmocka_unit_test(every_byte_everywhere),
	    cmocka_unit_test(depth),
	    cmocka_unit_test(values_and_types),
	    cmocka_unit_test(members),
	    cmocka_unit_test(notes_say_what_is_there),
	    cmocka_unit_test(strings),
	    cmocka_unit_test(integers),
	    cmocka_unit_test(minify),
	    cmocka_unit_test(writing_strings),
	    cmocka_unit_test(writing_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
