/* SPDX-License-Identifier: MIT */
/*
 * JSON judged by others: by the JSON test suite, where its files are beside the tree, and by jansson, which
 * reads each of those and many made texts along with us and must see the same.
 */
#include "wire/json.h"

#include <dirent.h>
#include <stdio.h>

#include "judge.h"
#include "wire/split_test.h"

#define SUITE CONFAB_SOURCE_DIR "/../shared/data/json-test-suite/test_parsing"

enum { MEMBERS_MAX = 64, MADE_TEXTS = 30000, MUTATIONS_MAX = 3 };

/* --- What we see, as judge.h has it --- */

struct member {
	slice name;
	struct json value;
};

static void dump(struct json value, struct buf *to);

static void
dump_string(struct json string, struct buf *to)
{
	struct buf scratch = {0};
	slice text = json_string(string, &scratch);

	assert_true(json_string_is(string, text));
	buf_printf(to, "s%zu:", text.len);
	buf_put(to, text);
	buf_fini(&scratch);
}

static int
member_order(const void *a, const void *b)
{
	return slice_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static void
dump_object(struct json object, struct buf *to)
{
	struct member members[MEMBERS_MAX];
	struct buf scratch = {0};
	struct json key, value;
	struct json_iter it;
	size_t count = 0;

	(void)buf_reserve(&scratch, object.text.len);
	json_iter_init(&it, object);
	while (json_next_member(&it, &key, &value)) {
		slice name = json_string(key, &scratch);

		/* The last of several counts. */
		if (json_member(object, name).text.ptr != value.text.ptr)
			continue;
		assert_true(count < MEMBERS_MAX);
		members[count++] = (struct member){name, value};
	}
	qsort(members, count, sizeof(members[0]), member_order);
	buf_append(to, "{", 1);
	for (size_t i = 0; i < count; i++) {
		buf_printf(to, "s%zu:", members[i].name.len);
		buf_put(to, members[i].name);
		dump(members[i].value, to);
	}
	buf_append(to, "}", 1);
	buf_fini(&scratch);
}

static void
dump_array(struct json array, struct buf *to)
{
	struct json value;
	struct json_iter it;

	buf_append(to, "[", 1);
	json_iter_init(&it, array);
	while (json_next_element(&it, &value))
		dump(value, to);
	buf_append(to, "]", 1);
}

static void
dump_number(struct json number, struct buf *to)
{
	int64_t value;

	if (json_integer(number, &value))
		buf_printf(to, "i%lld;", (long long)value);
	else
		buf_put(to, S("r;"));
}

static void
dump(struct json value, struct buf *to)
{
	switch (json_type(value)) {
	case JSON_OBJECT:
		dump_object(value, to);
		break;
	case JSON_ARRAY:
		dump_array(value, to);
		break;
	case JSON_STRING:
		dump_string(value, to);
		break;
	case JSON_NUMBER:
		dump_number(value, to);
		break;
	default:
		assert_true(value.text.len == (value.text.ptr[0] == 'f' ? 5 : 4));
		buf_append(to, value.text.ptr, 1);
	}
}

/* Strings and punctuation written anew by our own writer. */
static void
rewrite(struct json value, struct buf *to)
{
	struct buf scratch = {0};
	struct json key, part;
	struct json_iter it;

	switch (json_type(value)) {
	case JSON_OBJECT:
		buf_append(to, "{", 1);
		json_iter_init(&it, value);
		while (json_next_member(&it, &key, &part)) {
			json_comma(to);
			json_put_string(to, json_string(key, &scratch));
			buf_append(to, ":", 1);
			rewrite(part, to);
		}
		buf_append(to, "}", 1);
		break;
	case JSON_ARRAY:
		buf_append(to, "[", 1);
		json_iter_init(&it, value);
		while (json_next_element(&it, &part)) {
			json_comma(to);
			rewrite(part, to);
		}
		buf_append(to, "]", 1);
		break;
	case JSON_STRING:
		json_put_string(to, json_string(value, &scratch));
		break;
	default:
		buf_put(to, value.text);
	}
	buf_fini(&scratch);
}

/* --- The judgement --- */

/* Depth as brackets outside of strings tell it: too deep is ours alone to refuse. */
static bool
too_deep(slice text)
{
	int depth = 0, most = 0;
	bool inside = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (inside && c == '\\')
			i++;
		else if (c == '"')
			inside = !inside;
		else if (!inside && (c == '[' || c == '{') && ++depth > most)
			most = depth;
		else if (!inside && (c == ']' || c == '}'))
			depth--;
	}
	return most > JSON_DEPTH_MAX;
}

static void
judge_says(slice text, slice want)
{
	struct buf theirs = {0};

	if (judge_read(text, &theirs) != JUDGE_TAKES || !slice_eq(buf_slice(&theirs), want))
		fail_msg("%.*s is not %.*s", SLICE_ARG(text), SLICE_ARG(want));
	buf_fini(&theirs);
}

/* Compares what both see in one text; returns whether we take it. */
static bool
compare(slice text)
{
	struct buf theirs = {0}, ours = {0}, again = {0};
	char *copy = exact_copy(text);
	enum judgement judgement = judge_read(text, &theirs);
	struct json value = {0};
	bool takes = json_check(slice_of(copy, text.len), &value);

	if (judgement != JUDGE_CANNOT && takes != (judgement == JUDGE_TAKES) && !too_deep(text))
		fail_msg("%s by us alone: %.*s", takes ? "taken" : "refused", SLICE_ARG(text));
	if (takes && judgement == JUDGE_TAKES) {
		dump(value, &ours);
		assert_true(slice_eq(buf_slice(&ours), buf_slice(&theirs)));
		json_minify(value, &again);
		judge_says(buf_slice(&again), buf_slice(&ours));
		buf_clear(&again);
		rewrite(value, &again);
		judge_says(buf_slice(&again), buf_slice(&ours));
	}
	mem_free(copy);
	buf_fini(&theirs);
	buf_fini(&ours);
	buf_fini(&again);
	return takes;
}

/* --- The suite --- */

static void
read_file(const char *name, struct buf *to)
{
	char path[4096];
	FILE *file;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", SUITE, name);
	file = fopen(path, "r");
	assert_non_null(file);
	while ((n = fread(buf_reserve(to, 4096), 1, 4096, file)) > 0)
		buf_grew(to, n);
	(void)fclose(file);
}

/* y_ must be taken, n_ refused, i_ is as you like; all of it as jansson has it. */
static void
suite(void **state)
{
	DIR *dir = opendir(SUITE);
	struct dirent *entry;
	struct buf text = {0};
	unsigned files = 0;

	(void)state;
	if (dir == NULL) {
		print_message(
		    "the JSON test suite is not at %s: its files were NOT tested\n", SUITE);
		skip();
	}
	while ((entry = readdir(dir)) != NULL) {
		char kind = entry->d_name[0];
		bool takes;

		if (kind == '.')
			continue;
		buf_clear(&text);
		read_file(entry->d_name, &text);
		takes = compare(buf_slice(&text));
		if ((kind == 'y' && !takes && !too_deep(buf_slice(&text))) ||
		    (kind == 'n' && takes))
			fail_msg("%s: %s", entry->d_name, takes ? "taken" : "refused");
		files++;
	}
	assert_true(files > 300);
	print_message("%u files of the JSON test suite\n", files);
	(void)closedir(dir);
	buf_fini(&text);
}

/* --- Made texts --- */

/* xorshift64 with a fixed seed: every run makes the same texts. */
struct maker {
	uint64_t seed;
	struct buf text;
};

static uint32_t
below(struct maker *m, uint32_t bound)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (uint32_t)(m->seed >> 33) % bound;
}

static void
make_piece(struct maker *m, const slice *pieces, uint32_t count)
{
	buf_put(&m->text, pieces[below(m, count)]);
}

static void
make_space(struct maker *m)
{
	static const slice spaces[] = {S(""), S(""), S(""), S(" "), S("\n"), S("\t\r ")};

	make_piece(m, spaces, LEN(spaces));
}

static void
make_string(struct maker *m)
{
	static const slice pieces[] = {
	    S("a"),
	    S("b"),
	    S("plain text"),
	    S("\\\""),
	    S("\\\\"),
	    S("\\/"),
	    S("\\n"),
	    S("\\u0041"),
	    S("\\u00e9"),
	    S("\\uFfFd"),
	    S("\\ud83d\\ude00"),
	    S("\xC3\xA9"),
	    S("\xE2\x82\xAC"),
	    S("\xF0\x9F\x98\x80"),
	    S("\x7F"),
	    S("[{"),
	    S("]},:"),
	    S("\xE2\x80\xA8"),
	    S("\\b\\f\\r\\t"),
	};

	buf_put(&m->text, S("\""));
	for (uint32_t n = below(m, 6); n > 0; n--)
		make_piece(m, pieces, LEN(pieces));
	if (below(m, 200) == 0)
		buf_put(&m->text, S("\\u0000"));
	buf_put(&m->text, S("\""));
}

static void
make_number(struct maker *m)
{
	static const slice heads[] = {
	    S("0"),
	    S("1"),
	    S("-0"),
	    S("-17"),
	    S("9007199254740991"),
	    S("9007199254740992"),
	    S("-9007199254740993"),
	    S("9223372036854775807"),
	    S("9223372036854775808"),
	    S("42"),
	};
	static const slice tails[] = {
	    S(""), S(""), S(""), S(".5"), S("e2"), S("E-2"), S(".25e+1"), S("e400")};

	make_piece(m, heads, LEN(heads));
	make_piece(m, tails, LEN(tails));
}

static void
make_value(struct maker *m, unsigned depth)
{
	static const slice words[] = {S("null"), S("true"), S("false")};
	uint32_t kind = below(m, depth > 0 ? 8 : 5);
	bool object = kind > 6;

	make_space(m);
	if (kind < 2)
		make_string(m);
	else if (kind < 4)
		make_number(m);
	else if (kind < 5)
		make_piece(m, words, LEN(words));
	else {
		buf_put(&m->text, object ? S("{") : S("["));
		for (uint32_t n = below(m, 4); n > 0; n--) {
			make_space(m);
			if (object) {
				make_string(m);
				make_space(m);
				buf_put(&m->text, S(":"));
			}
			make_value(m, depth - 1);
			if (n > 1)
				buf_put(&m->text, S(","));
		}
		make_space(m);
		buf_put(&m->text, object ? S("}") : S("]"));
	}
	make_space(m);
}

/* Changes, drops or doubles a byte. */
static void
mutate(struct maker *m)
{
	static const char likely[] = "\"\\{}[],:0123456789.eE+-tfnu "
				     "\t\n\x00\x01\x1F\x7F\x80\xBF\xC0\xC3\xE2\xED\xF0\xF4\xFF";
	size_t len = buf_len(&m->text);
	char *at;

	if (len == 0)
		return;
	(void)buf_reserve(&m->text, 1);
	at = m->text.bytes + m->text.start + below(m, (uint32_t)len);
	switch (below(m, 3)) {
	case 0:
		*at = likely[below(m, sizeof(likely))];
		break;
	case 1:
		memmove(at, at + 1, (size_t)(m->text.bytes + m->text.end - at - 1));
		m->text.end--;
		break;
	default:
		memmove(at + 1, at, (size_t)(m->text.bytes + m->text.end - at));
		m->text.end++;
	}
}

static void
made_texts(void **state)
{
	struct maker m = {.seed = 0x9E3779B97F4A7C15u};
	unsigned taken = 0;

	(void)state;
	for (int i = 0; i < MADE_TEXTS; i++) {
		buf_clear(&m.text);
		make_value(&m, 5);
		assert_true(compare(buf_slice(&m.text)));
		for (uint32_t n = 1 + below(&m, MUTATIONS_MAX); n > 0; n--)
			mutate(&m);
		taken += compare(buf_slice(&m.text));
	}
	/* Changed texts of both sorts, or the changes test nothing. */
	assert_in_range(taken, MADE_TEXTS / 20, MADE_TEXTS - MADE_TEXTS / 20);
	buf_fini(&m.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(suite),
	    cmocka_unit_test(made_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
