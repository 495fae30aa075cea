/* SPDX-License-Identifier: MIT */
#include "judge.h"

/* The build renames our functions of these names; here are jansson's. */
#undef json_integer
#undef json_string
#include <jansson.h>

#include "base/mem.h"
#include "base/panic.h"

struct member {
	slice name;
	json_t *value;
};

static void dump(json_t *value, struct buf *to);

static void
dump_string(slice text, struct buf *to)
{
	buf_printf(to, "s%zu:", text.len);
	buf_put(to, text);
}

static int
member_order(const void *a, const void *b)
{
	return slice_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static void
dump_object(json_t *object, struct buf *to)
{
	size_t size = json_object_size(object), count = 0;
	struct member *members = mem_alloc(size * sizeof(*members));

	for (void *it = json_object_iter(object); it != NULL;
	     it = json_object_iter_next(object, it)) {
		assert(count < size);
		members[count].name =
		    slice_of(json_object_iter_key(it), json_object_iter_key_len(it));
		members[count++].value = json_object_iter_value(it);
	}
	qsort(members, count, sizeof(members[0]), member_order);
	buf_append(to, "{", 1);
	for (size_t i = 0; i < count; i++) {
		dump_string(members[i].name, to);
		dump(members[i].value, to);
	}
	buf_append(to, "}", 1);
	mem_free(members);
}

static void
dump_array(json_t *array, struct buf *to)
{
	buf_append(to, "[", 1);
	for (size_t i = 0; i < json_array_size(array); i++)
		dump(json_array_get(array, i), to);
	buf_append(to, "]", 1);
}

static void
dump_integer(json_int_t value, struct buf *to)
{
	json_int_t max = ((json_int_t)1 << 53) - 1;

	if (value > max || value < -max)
		buf_put(to, S("r;"));
	else
		buf_printf(to, "i%lld;", value);
}

static void
dump(json_t *value, struct buf *to)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		dump_object(value, to);
		break;
	case JSON_ARRAY:
		dump_array(value, to);
		break;
	case JSON_STRING:
		dump_string(slice_of(json_string_value(value), json_string_length(value)), to);
		break;
	case JSON_INTEGER:
		dump_integer(json_integer_value(value), to);
		break;
	case JSON_REAL:
		buf_put(to, S("r;"));
		break;
	case JSON_TRUE:
		buf_append(to, "t", 1);
		break;
	case JSON_FALSE:
		buf_append(to, "f", 1);
		break;
	case JSON_NULL:
		buf_append(to, "n", 1);
		break;
	}
}

enum judgement
judge_read(slice text, struct buf *to)
{
	json_error_t error;
	json_t *value;

	/* No JSON has a zero byte, but jansson loses one that stands behind a number. */
	if (text.len == 0 || memchr(text.ptr, '\0', text.len) != NULL)
		return JUDGE_REFUSES;
	value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (value != NULL) {
		dump(value, to);
		json_decref(value);
		return JUDGE_TAKES;
	}
	switch (json_error_code(&error)) {
	case json_error_numeric_overflow:
	case json_error_null_byte_in_key:
		return JUDGE_CANNOT;
	default:
		return JUDGE_REFUSES;
	}
}
