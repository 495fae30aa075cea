/* SPDX-License-Identifier: MIT */
/*
 * json_check() goes over the bytes once and is the only place that doubts them; what stands behind
 * it walks text that is known to be well formed.
 */
#include "wire/json.h"

#include "base/json_plain.h"
#include "base/panic.h"
#include "wire/utf8.h"

enum { SURROGATE_HIGH = 0xD800, SURROGATE_LOW = 0xDC00, SURROGATE_END = 0xE000 };

static const int64_t INTEGER_MAX = ((int64_t)1 << 53) - 1;

struct checker {
	const char *at, *end;
	unsigned depth;
	uint32_t objects; /* bit i: the container at depth i is an object, not an array */
	bool escaped;     /* the string that was passed last has a backslash */
	bool plain;       /* no string has */
	struct json_note *note,
	    *last_note; /* the next one, and behind the last; NULL: none are taken */
	struct json_note
	    *open[JSON_NOTES_DEPTH]; /* whose values are under way, by depth; NULL: not noted */
};
static_assert(JSON_DEPTH_MAX == 32, "a bit of checker.objects for each level");

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
skip_space(struct checker *c)
{
	while (c->at < c->end && is_space(*c->at))
		c->at++;
}

/* --- Proving --- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits behind \u, or -1. */
static int32_t
hex_four(const char *at, const char *end)
{
	int32_t code = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);

		if (digit < 0)
			return -1;
		code = code << 4 | digit;
	}
	return code;
}

/* Behind \u: a code point of the plane that four digits reach, or a pair of surrogates. */
static bool
check_unicode(struct checker *c)
{
	int32_t code = hex_four(c->at, c->end);

	if (code < 0 || (code >= SURROGATE_LOW && code < SURROGATE_END))
		return false;
	c->at += 4;
	if (code < SURROGATE_HIGH || code >= SURROGATE_END)
		return true;
	if (c->end - c->at < 6 || c->at[0] != '\\' || c->at[1] != 'u')
		return false;
	code = hex_four(c->at + 2, c->end);
	c->at += 6;
	return code >= SURROGATE_LOW && code < SURROGATE_END;
}

/* Behind a backslash. */
static bool
check_escape(struct checker *c)
{
	if (c->at == c->end)
		return false;
	switch (*c->at++) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return true;
	case 'u':
		return check_unicode(c);
	default:
		return false;
	}
}

/* Sequences above ASCII come in rows, so they have a loop of their own. */
static bool
check_sequences(struct checker *c)
{
	do {
		size_t len = utf8_sequence(slice_of(c->at, (size_t)(c->end - c->at)));

		if (len == 0)
			return false;
		c->at += len;
	} while (c->at < c->end && (unsigned char)*c->at >= 0x80);
	return true;
}

/* At the opening quote. */
static bool
check_string(struct checker *c)
{
	c->at++;
	c->escaped = false;
	for (;;) {
		c->at = json_plain_end(c->at, c->end);
		if (c->at == c->end || (unsigned char)*c->at < 0x20)
			return false;
		if (*c->at == '"') {
			c->at++;
			return true;
		}
		if (*c->at == '\\') {
			c->at++;
			c->escaped = true;
			c->plain = false;
			if (!check_escape(c))
				return false;
		} else if (!check_sequences(c))
			return false;
	}
}

static bool
check_digits(struct checker *c)
{
	const char *start = c->at;

	while (c->at < c->end && is_digit(*c->at))
		c->at++;
	return c->at > start;
}

static bool
check_number(struct checker *c)
{
	if (*c->at == '-')
		c->at++;
	if (c->at < c->end && *c->at == '0')
		c->at++;
	else if (!check_digits(c))
		return false;
	if (c->at < c->end && *c->at == '.') {
		c->at++;
		if (!check_digits(c))
			return false;
	}
	if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
		c->at++;
		if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
			c->at++;
		return check_digits(c);
	}
	return true;
}

static bool
check_word(struct checker *c, slice word)
{
	if (!slice_starts(slice_of(c->at, (size_t)(c->end - c->at)), word))
		return false;
	c->at += word.len;
	return true;
}

static bool
check_scalar(struct checker *c)
{
	switch (*c->at) {
	case '"':
		return check_string(c);
	case 't':
		return check_word(c, S("true"));
	case 'f':
		return check_word(c, S("false"));
	case 'n':
		return check_word(c, S("null"));
	case '-':
		return check_number(c);
	default:
		return is_digit(*c->at) && check_number(c);
	}
}

static bool
in_object(const struct checker *c)
{
	return c->depth > 0 && (c->objects >> (c->depth - 1) & 1) != 0;
}

/* --- Taking notes --- */

/* A member's name was passed, which began there. */
static void
note_key(struct checker *c, const char *key)
{
	struct json_note *note = c->note;

	if (note == NULL || c->depth > JSON_NOTES_DEPTH)
		return;
	c->open[c->depth - 1] = NULL;
	if (note == c->last_note)
		return;
	note->key = key;
	note->key_len = (uint32_t)(c->at - key);
	note->key_plain = !c->escaped;
	note->depth = (uint8_t)c->depth;
	c->open[c->depth - 1] = note;
	c->note++;
}

/* The member whose value begins or ends here; NULL: it is not noted. */
static struct json_note *
note_open(const struct checker *c)
{
	return c->note != NULL && c->depth <= JSON_NOTES_DEPTH && in_object(c)
		   ? c->open[c->depth - 1]
		   : NULL;
}

static void
note_value(const struct checker *c)
{
	struct json_note *note = note_open(c);

	if (note != NULL)
		note->value = c->at;
}

static void
note_end(const struct checker *c, bool plain)
{
	struct json_note *note = note_open(c);

	if (note == NULL)
		return;
	note->value_len = (uint32_t)(c->at - note->value);
	note->value_plain = plain;
}

/* --- Proving containers --- */

/* A member's name and its colon. */
static bool
check_key(struct checker *c)
{
	const char *key;

	skip_space(c);
	key = c->at;
	if (c->at == c->end || *c->at != '"' || !check_string(c))
		return false;
	note_key(c, key);
	skip_space(c);
	if (c->at == c->end || *c->at != ':')
		return false;
	c->at++;
	return true;
}

/* Opens containers and passes one value that is none, or an empty container's end. */
static bool
check_down(struct checker *c)
{
	for (;;) {
		bool object;

		skip_space(c);
		if (c->at == c->end)
			return false;
		note_value(c);
		if (*c->at != '{' && *c->at != '[') {
			bool good = check_scalar(c);

			note_end(c, !c->escaped);
			return good;
		}
		if (c->depth == JSON_DEPTH_MAX)
			return false;
		object = *c->at++ == '{';
		c->objects &= ~((uint32_t)1 << c->depth);
		c->objects |= (uint32_t)object << c->depth;
		c->depth++;
		skip_space(c);
		if (c->at < c->end && *c->at == (object ? '}' : ']')) {
			c->at++;
			c->depth--;
			note_end(c, false);
			return true;
		}
		if (object && !check_key(c))
			return false;
	}
}

/* Closes containers behind a value; *ret_more: a comma came, and another value must follow. */
static bool
check_up(struct checker *c, bool *ret_more)
{
	while (c->depth > 0) {
		bool object = in_object(c);

		skip_space(c);
		if (c->at == c->end)
			return false;
		if (*c->at == ',') {
			c->at++;
			*ret_more = true;
			return !object || check_key(c);
		}
		if (*c->at != (object ? '}' : ']'))
			return false;
		c->at++;
		c->depth--;
		note_end(c, false);
	}
	*ret_more = false;
	return true;
}

static bool
check_text(slice text, struct json *ret_value, struct json_notes *notes)
{
	struct checker c = {.at = text.ptr, .end = text.ptr + text.len, .plain = true};
	const char *start;
	bool more = true;

	if (text.len == 0)
		return false;
	if (notes != NULL) {
		c.note = notes->members;
		c.last_note = notes->members + JSON_NOTES_MAX;
	}
	skip_space(&c);
	start = c.at;
	while (more)
		if (!check_down(&c) || !check_up(&c, &more))
			return false;
	*ret_value =
	    (struct json){.text = slice_of(start, (size_t)(c.at - start)), .plain = c.plain};
	if (notes != NULL) {
		c.note->depth = 0;
		ret_value->notes = notes->members->depth > 0 ? notes->members : NULL;
	}
	skip_space(&c);
	return c.at == c.end;
}

bool
json_check(slice text, struct json *ret_value)
{
	return check_text(text, ret_value, NULL);
}

bool
json_check_noting(slice text, struct json *ret_value, struct json_notes *ret_notes)
{
	assert(text.len <= UINT32_MAX);
	return check_text(text, ret_value, ret_notes);
}

/* --- Reading --- */

enum json_type
json_type(struct json value)
{
	assert(value.text.len > 0);
	switch (value.text.ptr[0]) {
	case 'n':
		return JSON_NULL;
	case 'f':
		return JSON_FALSE;
	case 't':
		return JSON_TRUE;
	case '"':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	default:
		return JSON_NUMBER;
	}
}

/* To behind the closing quote: the one that no odd number of backslashes precedes. */
static const char *
string_end(const char *at, const char *end)
{
	const char *quote = at;

	for (;;) {
		const char *back;

		quote = memchr(quote + 1, '"', (size_t)(end - quote - 1));
		assert(quote != NULL);
		for (back = quote; back[-1] == '\\'; back--)
			;
		if ((quote - back) % 2 == 0)
			return quote + 1;
	}
}

static const char *
container_end(const char *at, const char *end)
{
	unsigned depth = 0;

	do {
		assert(at < end);
		if (*at == '"') {
			at = string_end(at, end);
			continue;
		}
		if (*at == '{' || *at == '[')
			depth++;
		else if (*at == '}' || *at == ']')
			depth--;
		at++;
	} while (depth > 0);
	return at;
}

static const char *
value_end(const char *at, const char *end)
{
	assert(at < end);
	if (*at == '"')
		return string_end(at, end);
	if (*at == '{' || *at == '[')
		return container_end(at, end);
	while (at < end && *at != ',' && *at != ']' && *at != '}' && !is_space(*at))
		at++;
	return at;
}

void
json_iter_init(struct json_iter *it, struct json container)
{
	if (!slice_given(container.text)) {
		*it = (struct json_iter){0};
		return;
	}
	assert(json_type(container) == JSON_OBJECT || json_type(container) == JSON_ARRAY);
	it->at = container.text.ptr + 1;
	it->end = container.text.ptr + container.text.len - 1;
	it->note = container.notes;
	it->depth = container.notes != NULL ? container.notes->depth : 0;
}

/* Passes white space and one sort of punctuation; false at the end. */
static bool
iter_pass(struct json_iter *it, char mark)
{
	while (it->at < it->end && (is_space(*it->at) || *it->at == mark))
		it->at++;
	return it->at < it->end;
}

static struct json
iter_value(struct json_iter *it)
{
	const char *start = it->at;

	it->at = value_end(start, it->end);
	return (struct json){.text = slice_of(start, (size_t)(it->at - start))};
}

/* The next member, if it is noted. */
static bool
iter_note(struct json_iter *it, struct json *ret_key, struct json *ret_value)
{
	const struct json_note *note = it->note;

	while (note->depth > it->depth)
		note++;
	if (note->depth < it->depth) {
		it->note = NULL; /* there is none, or notes were full */
		return false;
	}
	*ret_key =
	    (struct json){.text = slice_of(note->key, note->key_len), .plain = note->key_plain};
	*ret_value = (struct json){
	    .text = slice_of(note->value, note->value_len), .plain = note->value_plain};
	it->at = note->value + note->value_len;
	it->note = ++note;
	if (note->depth > it->depth && *ret_value->text.ptr == '{')
		ret_value->notes = note;
	return true;
}

bool
json_next_member(struct json_iter *it, struct json *ret_key, struct json *ret_value)
{
	bool colon;

	if (it->note != NULL && iter_note(it, ret_key, ret_value))
		return true;
	if (!iter_pass(it, ','))
		return false;
	*ret_key = iter_value(it);
	colon = iter_pass(it, ':');
	assert(colon);
	*ret_value = iter_value(it);
	return true;
}

bool
json_next_element(struct json_iter *it, struct json *ret_value)
{
	if (!iter_pass(it, ','))
		return false;
	*ret_value = iter_value(it);
	return true;
}

struct json
json_member(struct json object, slice name)
{
	struct json key, value, found = {0};
	struct json_iter it;

	json_iter_init(&it, object);
	while (json_next_member(&it, &key, &value))
		if (json_string_is(key, name))
			found = value;
	return found;
}

static size_t
put_code(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xC0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xE0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3F));
		out[2] = (char)(0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3F));
	out[2] = (char)(0x80 | (code >> 6 & 0x3F));
	out[3] = (char)(0x80 | (code & 0x3F));
	return 4;
}

/* Decodes the escape at *at and passes it; returns the bytes of UTF-8 it stands for. */
static size_t
decode_escape(const char **at, char out[4])
{
	const char *escape = *at;
	uint32_t code;

	*at += 2;
	switch (escape[1]) {
	case 'b':
		return put_code('\b', out);
	case 'f':
		return put_code('\f', out);
	case 'n':
		return put_code('\n', out);
	case 'r':
		return put_code('\r', out);
	case 't':
		return put_code('\t', out);
	case 'u':
		break;
	default:
		return put_code((unsigned char)escape[1], out);
	}
	code = (uint32_t)hex_four(escape + 2, escape + 6);
	*at += 4;
	if (code >= SURROGATE_HIGH && code < SURROGATE_LOW) {
		uint32_t low = (uint32_t)hex_four(escape + 8, escape + 12);

		code = 0x10000 + ((code - SURROGATE_HIGH) << 10) + (low - SURROGATE_LOW);
		*at += 6;
	}
	return put_code(code, out);
}

/* What stands between the quotes, as written. */
static slice
string_inside(struct json string)
{
	assert(json_type(string) == JSON_STRING && string.text.len >= 2);
	return slice_of(string.text.ptr + 1, string.text.len - 2);
}

static const char *
escape_in(const char *at, const char *end)
{
	const char *found = memchr(at, '\\', (size_t)(end - at));

	return found != NULL ? found : end;
}

/* Takes the piece off the front of rest, if it is there. */
static bool
take(slice *rest, slice piece)
{
	if (!slice_starts(*rest, piece))
		return false;
	rest->ptr += piece.len;
	rest->len -= piece.len;
	return true;
}

bool
json_string_decodes_to(struct json string, slice text)
{
	slice inside = string_inside(string), rest = text;
	const char *at = inside.ptr, *end = at + inside.len;
	char out[4];

	/* What has escapes is longer than what it stands for. */
	if (text.len == inside.len)
		return slice_eq(text, inside) && escape_in(at, end) == end;
	if (text.len > inside.len || (text.len > 0 && *at != '\\' && *at != *text.ptr))
		return false;
	for (;;) {
		const char *escape = escape_in(at, end);

		if (escape > at && !take(&rest, slice_of(at, (size_t)(escape - at))))
			return false;
		if ((at = escape) == end)
			return rest.len == 0;
		if (!take(&rest, slice_of(out, decode_escape(&at, out))))
			return false;
	}
}

slice
json_string(struct json string, struct buf *scratch)
{
	slice inside = string_inside(string);
	const char *at = inside.ptr, *end = at + inside.len;
	const char *escape = string.plain ? end : escape_in(at, end);
	char *start, *to;

	if (escape == end)
		return inside;
	start = to = buf_reserve(scratch, inside.len);
	for (;;) {
		memcpy(to, at, (size_t)(escape - at));
		to += escape - at;
		if ((at = escape) == end)
			break;
		to += decode_escape(&at, to);
		escape = escape_in(at, end);
	}
	buf_grew(scratch, (size_t)(to - start));
	return slice_of(start, (size_t)(to - start));
}

bool
json_integer(struct json number, int64_t *ret_value)
{
	slice text = number.text;
	bool negative;
	int64_t value = 0;

	if (json_type(number) != JSON_NUMBER)
		return false;
	negative = text.ptr[0] == '-';
	for (size_t i = negative; i < text.len; i++) {
		if (!is_digit(text.ptr[i]))
			return false;
		value = value * 10 + (text.ptr[i] - '0');
		if (value > INTEGER_MAX)
			return false;
	}
	*ret_value = negative ? -value : value;
	return true;
}

void
json_minify(struct json value, struct buf *to)
{
	const char *at = value.text.ptr, *end = at + value.text.len;
	char *start = buf_reserve(to, value.text.len), *out = start;

	while (at < end) {
		if (*at == '"') {
			size_t len = (size_t)(string_end(at, end) - at);

			memcpy(out, at, len);
			at += len;
			out += len;
			continue;
		}
		if (!is_space(*at))
			*out++ = *at;
		at++;
	}
	buf_grew(to, (size_t)(out - start));
}
