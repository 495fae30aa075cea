/* SPDX-License-Identifier: MIT */
/* What is accepted can be walked, by notes and without; minified or written anew it is accepted and means the same. */
#include "fuzz.h"
#include "wire/json.h"

static void walk(struct json value, struct buf *scratch, struct buf *to);

static void
walk_string(struct json string, struct buf *scratch, struct buf *to)
{
	size_t start = buf_len(to);
	slice text = json_string(string, scratch), again;
	struct json written;
	bool fine;

	assert(text.len <= string.text.len - 2 && json_string_is(string, text));
	json_put_string(to, text);
	fine = json_check(slice_of(buf_head(to) + start, buf_len(to) - start), &written);
	assert(fine);
	again = json_string(written, scratch);
	assert(slice_eq(text, again));
}

static void
walk_members(struct json object, struct buf *scratch, struct buf *to)
{
	struct json_iter it;
	struct json key, value;

	json_iter_init(&it, object);
	buf_put(to, S("{"));
	while (json_next_member(&it, &key, &value)) {
		json_comma(to);
		walk_string(key, scratch, to);
		buf_put(to, S(":"));
		walk(value, scratch, to);
	}
	buf_put(to, S("}"));
}

static void
walk_elements(struct json array, struct buf *scratch, struct buf *to)
{
	struct json_iter it;
	struct json value;

	json_iter_init(&it, array);
	buf_put(to, S("["));
	while (json_next_element(&it, &value)) {
		json_comma(to);
		walk(value, scratch, to);
	}
	buf_put(to, S("]"));
}

static void
walk(struct json value, struct buf *scratch, struct buf *to)
{
	int64_t integer;

	if (json_type(value) == JSON_OBJECT)
		walk_members(value, scratch, to);
	else if (json_type(value) == JSON_ARRAY)
		walk_elements(value, scratch, to);
	else if (json_type(value) == JSON_STRING)
		walk_string(value, scratch, to);
	else if (json_integer(value, &integer))
		json_put_int(to, integer);
	else
		buf_put(to, value.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf scratch = {0}, minified = {0}, written = {0}, again = {0};
	struct json_notes notes;
	struct json value;

	if (!json_check_noting(slice_of((const char *)bytes, len), &value, &notes))
		return 0;
	/* Each string twice, as it came and as it was written. */
	(void)buf_reserve(&scratch, len * 4 + 64);
	walk(value, &scratch, &written);
	json_minify(value, &minified);
	bool fine = json_check(buf_slice(&minified), &value);
	assert(fine && slice_eq(value.text, buf_slice(&minified)));
	buf_clear(&scratch);
	walk(value, &scratch, &again);
	assert(slice_eq(buf_slice(&written), buf_slice(&again)));
	buf_fini(&scratch);
	buf_fini(&minified);
	buf_fini(&written);
	buf_fini(&again);
	return 0;
}
