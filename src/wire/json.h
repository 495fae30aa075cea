/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259), strict, without a tree: json_check() proves a text once, then values are slices of
 * that text and iterators walk objects and arrays of it.  Nothing is copied but strings with escapes.
 * Reading any value that json_check() has not accepted is a bug of the caller.  Pure functions.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/buf.h"
#include "base/json_put.h"
#include "base/slice.h"

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

struct json_note;

/* A value within a checked text, without white space around it; ptr NULL: absent. */
struct json {
	slice text;
	bool plain;                    /* known to hold no backslash */
	const struct json_note *notes; /* of an object's members; NULL: none were taken */
};

enum { JSON_DEPTH_MAX = 32, JSON_NOTES_MAX = 24, JSON_NOTES_DEPTH = 2 };

/* Where a member lies, as json_check_noting() met it. */
struct json_note {
	const char *key, *value; /* with their quotes */
	uint32_t key_len, value_len;
	uint8_t depth; /* of the object around it, the outermost is 1; 0: behind the last note */
	bool key_plain, value_plain;
};

/* The first members of the outermost object and of those that are its members, in their order. */
struct json_notes {
	struct json_note members[JSON_NOTES_MAX + 1];
};

/*
 * True if text is one JSON value in well-formed UTF-8 (no overlong forms, no surrogates; a \u escape of a
 * lone surrogate is refused too), nested at most JSON_DEPTH_MAX arrays and objects deep, with nothing but
 * white space around it; *ret_value is that value.
 */
bool json_check(slice text, struct json *ret_value);
/*
 * The same, and what it meets is noted, so that iterators over *ret_value and over objects in it need not look for
 * the members again.  The notes are the caller's, and must live as long as these values are used.  A text has to
 * be shorter than 4 GiB.
 */
bool json_check_noting(slice text, struct json *ret_value, struct json_notes *ret_notes);

enum json_type json_type(struct json value);

/*
 * Members of an object, or elements of an array: set up, then call next until it is false.  An absent
 * container has none.
 */
struct json_iter {
	const char *at, *end;
	const struct json_note *note; /* the next one, or NULL: from here on the text is read */
	uint8_t depth;                /* of the notes that are meant */
};
void json_iter_init(struct json_iter *it, struct json container);
/* *ret_key is the key's string value (a JSON_STRING). */
bool json_next_member(struct json_iter *it, struct json *ret_key, struct json *ret_value);
bool json_next_element(struct json_iter *it, struct json *ret_value);
/* The member of that name (the last of several), or an absent value. */
struct json json_member(struct json object, slice name);

/* json_string_is() where there may be escapes. */
bool json_string_decodes_to(struct json string, slice text);
/* Whether a string's decoded value is `text`. */
static inline bool
json_string_is(struct json string, slice text)
{
	if (!string.plain)
		return json_string_decodes_to(string, text);
	return string.text.len == text.len + 2 && string.text.ptr[0] == '"' &&
	       memcmp(string.text.ptr + 1, text.ptr, text.len) == 0;
}
/*
 * The decoded value of a string: a slice of the text itself if it has no escapes, otherwise decoded to the
 * end of scratch (whose memory must not move while slices into it are used: reserve before).  The decoded
 * form is never longer than the text.
 */
slice json_string(struct json string, struct buf *scratch);
/* An integer in ±(2^53 - 1), written without fraction and exponent; false for any other number. */
bool json_integer(struct json number, int64_t *ret_value);
/* Appends the value as it was written less the white space between its parts. */
void json_minify(struct json value, struct buf *to);

#endif
