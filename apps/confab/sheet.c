/* SPDX-License-Identifier: MIT */
#include "sheet.h"

#include <inttypes.h>

#include "client/inbound.h"
#include "show.h"

/* Members that are moments. */
static bool
is_moment(slice name)
{
	return slice_eq(name, S("seen")) || slice_eq(name, S("created")) ||
	       slice_eq(name, S("until"));
}

static void
put_string(struct buf *to, struct json string)
{
	struct buf scratch = {0};

	(void)buf_reserve(&scratch, string.text.len + 1);
	show_text(to, json_string(string, &scratch), SHOW_ONE_LINE);
	buf_fini(&scratch);
}

static void
put_list(struct buf *to, struct json list)
{
	struct json_iter it;
	struct json one;
	bool first = true;

	json_iter_init(&it, list);
	while (json_next_element(&it, &one)) {
		if (json_type(one) != JSON_STRING)
			continue;
		if (!first)
			buf_put(to, S(","));
		put_string(to, one);
		first = false;
	}
}

static void
put_number(struct buf *to, slice name, struct json number, bool people)
{
	int64_t value;

	if (!json_integer(number, &value) || value < 0)
		return;
	if (!people || !is_moment(name))
		buf_printf(to, "%" PRId64, value);
	else if (value > 0)
		show_time(to, (uint64_t)value, false);
}

/* True if it was there. */
static bool
put_value(struct buf *to, slice name, struct json object, bool people)
{
	struct json value = json_member(object, name);
	size_t before = buf_len(to);

	if (!slice_given(value.text))
		return false;
	switch (json_type(value)) {
	case JSON_TRUE:
		buf_put(to, people ? name : S("yes"));
		break;
	case JSON_FALSE:
		buf_put(to, people ? S("") : S("no"));
		break;
	case JSON_STRING:
		put_string(to, value);
		break;
	case JSON_NUMBER:
		put_number(to, name, value, people);
		break;
	case JSON_ARRAY:
		put_list(to, value);
		break;
	default:
		break;
	}
	return buf_len(to) > before;
}

/* What stands between { and }. */
static bool
put_field(struct buf *to, slice field, struct json object)
{
	const char *bar = memchr(field.ptr, '|', field.len);
	slice name = bar != NULL ? slice_of(field.ptr, (size_t)(bar - field.ptr)) : field;

	if (!put_value(to, name, object, true))
		return false;
	if (bar != NULL)
		buf_printf(to, " %.*s%s", (int)(field.len - name.len - 1), bar + 1,
		    inbound_uint(object, name, 0) == 1 ? "" : "s");
	return true;
}

void
sheet_form(struct buf *to, const char *form, struct json object)
{
	size_t optional_at = 0;
	bool optional = false, there = true;

	if (json_type(object) != JSON_OBJECT)
		return;
	for (const char *at = form; *at != '\0'; at++) {
		const char *close = *at == '{' ? strchr(at, '}') : NULL;

		if (close != NULL) {
			if (!put_field(to, slice_of(at + 1, (size_t)(close - at - 1)), object))
				there = false;
			at = close;
		} else if (*at == '[') {
			optional = true;
			there = true;
			optional_at = buf_len(to);
		} else if (*at == ']' && optional) {
			if (!there)
				to->end -= buf_len(to) - optional_at;
			optional = false;
		} else {
			buf_append(to, at, 1);
		}
	}
}

/* The next of some names with blanks between; false at the end. */
static bool
next_name(const char **at, slice *ret_name)
{
	const char *p = *at + strspn(*at, " ");
	size_t len = strcspn(p, " ");

	*ret_name = slice_of(p, len);
	*at = p + len;
	return len > 0;
}

void
sheet_columns(struct buf *to, const char *names, struct json object)
{
	const char *at = names;
	slice name;
	bool first = true;

	if (json_type(object) != JSON_OBJECT)
		return;
	while (next_name(&at, &name)) {
		if (!first)
			buf_put(to, S("\t"));
		(void)put_value(to, name, object, false);
		first = false;
	}
	buf_put(to, S("\n"));
}

void
sheet_pairs(struct buf *to, const char *names, struct json object)
{
	const char *at = names;
	struct buf value = {0};
	slice name;

	while (json_type(object) == JSON_OBJECT && next_name(&at, &name)) {
		buf_clear(&value);
		if (put_value(&value, name, object, false))
			buf_printf(
			    to, "%.*s\t%.*s\n", SLICE_ARG(name), SLICE_ARG(buf_slice(&value)));
	}
	buf_fini(&value);
}

void
sheet_json(struct buf *to, struct json value)
{
	show_json(to, value.text);
	buf_put(to, S("\n"));
}
