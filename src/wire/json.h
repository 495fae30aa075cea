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

/* A value within a checked text, without white space around it; ptr NULL: absent. */
struct json {
	slice text;
};

enum { JSON_DEPTH_MAX = 32 };

/*
 * True if text is one JSON value in well-formed UTF-8 (no overlong forms, no surrogates; a \u escape of a
 * lone surrogate is refused too), nested at most JSON_DEPTH_MAX arrays and objects deep, with nothing but
 * white space around it; *ret_value is that value.
 */
bool json_check(slice text, struct json *ret_value);

enum json_type json_type(struct json value);

/*
 * Members of an object, or elements of an array: set up, then call next until it is false.  An absent
 * container has none.
 */
struct json_iter {
	const char *at, *end;
};
void json_iter_init(struct json_iter *it, struct json container);
/* *ret_key is the key's string value (a JSON_STRING). */
bool json_next_member(struct json_iter *it, struct json *ret_key, struct json *ret_value);
bool json_next_element(struct json_iter *it, struct json *ret_value);
/* The member of that name (the last of several), or an absent value. */
struct json json_member(struct json object, slice name);

/* Whether a string's decoded value is `text`. */
bool json_string_is(struct json string, slice text);
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
