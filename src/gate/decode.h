/* SPDX-License-Identifier: MIT */
/*
 * A request's params, checked against a table: what is missing, of the wrong type or not of the
 * grammar is invalid_params with the name of the parameter, what is too long too_large with the
 * maximum.  Unknown members are passed over, null counts as left out.  Pure but for the memory of
 * struct decoder, which the slices of the values point into until the next decode_begin().
 */
#ifndef GATE_DECODE_H
#define GATE_DECODE_H

#include "base/buf.h"
#include "chat/api.h"
#include "chat/names.h"
#include "wire/json.h"

enum {
	PARAMS_MAX = 8,
	LIMIT_USERS = 100, /* names in a list */
	LIMIT_WATCHED = 1000, /* names in the longest one */
	LIMIT_EPOCH_BYTES = 64,
	LIMIT_BACKLOG = 500,
	PRESET_BACKLOG = 50,
};

enum param_type {
	PARAM_BYTES, /* a string of min to max bytes */
	PARAM_TEXT, /* a string of min to max characters without control characters */
	PARAM_BODY, /* a string up to the limit of bodies: more is too_large */
	PARAM_DATA, /* an object up to the limit of data, minified */
	PARAM_SIGNAL_DATA, /* the same for signals */
	PARAM_INTEGER, /* at least min */
	PARAM_LIMIT, /* at least min; more than max counts as max */
	PARAM_BOOL,
	PARAM_CHOICE, /* one of words; number is which */
	PARAM_USER, /* a user's name, folded */
	PARAM_USERS, /* an array of at most max of them */
	PARAM_HANDLE, /* a group's, folded; with min 0 "" too */
	PARAM_TARGET,
	PARAM_SCOPE, /* of `who`: "contacts", "all" or a target */
	PARAM_MESSAGE_KIND,
	PARAM_SIGNAL_KIND,
	PARAM_CURSORS,
	PARAM_SYNC, /* true, or an object for decode_sync(); flag says whether it is wanted */
};

/* A table ends with a row without a name. */
struct param {
	const char *name;
	enum param_type type;
	bool required;
	uint32_t min, max;
	uint32_t preset; /* number if it is left out */
	const char *const *words;
};

struct value {
	bool given; /* and well-formed */
	bool flag;
	uint64_t number;
	slice text; /* ptr NULL if not given */
	struct target target;
	struct json json;
	char folded[NAME_MAX_BYTES];
};

/* One a gate, reused by every request. */
struct decoder {
	uint32_t body, data, signal_data, conversations; /* limits */
	struct buf
	    scratch; /* decoded strings; reserved whole before, so it never moves under them */
	size_t user_count;
	slice users[LIMIT_WATCHED];
	char user_names[LIMIT_WATCHED][NAME_MAX_BYTES];
	struct op_cursor *cursors; /* owned */
	size_t cursor_count;
};

/* Before each request, with its frame's length: forgets what the last one left. */
void decode_begin(struct decoder *d, size_t frame_len);
void decoder_fini(struct decoder *d);
/*
 * Fills ret_values, one a row of the table (at most PARAMS_MAX).  params may be absent.  The first
 * thing wrong, in the order of the table, is returned; what is well-formed is filled in
 * nevertheless.
 */
struct fault decode_params(
    struct decoder *d, const struct param *table, struct json params, struct value *ret_values);
/* The params of `sync`, its object given to PARAM_SYNC, or an absent value for the presets. */
struct fault decode_sync(struct decoder *d, struct json params, struct sync_command *ret_sync);

#endif
