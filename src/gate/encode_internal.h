/* SPDX-License-Identifier: MIT */
/*
 * What the files that encode share.  encode.c has the answers and events of sessions, messages and
 * streams, and the table of all; encode_people.c and encode_group.c have their own.
 */
#ifndef GATE_ENCODE_INTERNAL_H
#define GATE_ENCODE_INTERNAL_H

#include "base/json_put.h"
#include "base/panic.h"
#include "gate/encode.h"

/* What an answer has left for its tail: closing brackets, `more`, the line's end or a WebSocket
 * header. */
enum { TAIL_BYTES = 256 };

static inline void
put_given(struct buf *to, const char *key, slice value)
{
	if (slice_given(value))
		json_str(to, key, value);
}

static inline void
put_positive(struct buf *to, const char *key, uint64_t value)
{
	if (value > 0)
		json_uint(to, key, value);
}

static inline void
put_word(struct buf *to, const char *key, const char *word)
{
	json_str(to, key, slice_str(word));
}

/* `"key":` and an opening bracket, behind what stands there. */
static inline void
open_member(struct buf *to, const char *key, const char *bracket)
{
	json_key(to, key);
	buf_append(to, bracket, 1);
}

static inline void
open_result(struct buf *to, const struct rpc_id *id)
{
	rpc_put_head(to, id);
	buf_put(to, S("\"result\":{"));
}

static inline void
close_result(struct buf *to)
{
	buf_put(to, S("}}"));
}

static inline void
open_notification(struct buf *to, const char *method)
{
	buf_put(to, S("{\"jsonrpc\":\"2.0\",\"method\":\""));
	buf_put(to, slice_str(method));
	buf_put(to, S("\",\"params\":{"));
}

static inline void
cut_back(struct buf *to, size_t len)
{
	assert(len <= buf_len(to));
	to->end = to->start + len;
}

struct encoding {
	struct buf *to;
	const struct gate_config *config;
	const struct answer *answer;
	size_t full; /* a list stops where the buffer would grow beyond this */
	unsigned flags;
	size_t used;
};

/*
 * A list's elements, as many as fit: put(e, i) writes the members of element i between its braces.
 * Returns how many there are.
 */
size_t put_list(
    struct encoding *e, const char *key, size_t count, void (*put)(struct encoding *, size_t));
/* "none", "member"… */
const char *role_name(enum role role);

/* encode_people.c */
void put_profiles(struct encoding *e);
void put_found(struct encoding *e);
void put_who(struct encoding *e);
void put_presence(struct encoding *e);
void put_contact(struct encoding *e);
void put_contacts(struct encoding *e);
void put_contact_event(struct buf *to, const struct event *event);
void put_presence_event(struct buf *to, const struct event *event);
/* encode_group.c */
void put_group(struct encoding *e);
void put_group_info(struct encoding *e);
void put_members(struct encoding *e);
void put_groups(struct encoding *e);

#endif
