/* SPDX-License-Identifier: MIT */
/*
 * confabd, built to spoil one delivery in so many: the linker leads the gate's conn_queue() through here.
 *
 *	CONFAB_PLANT=drop|repeat|swap|alter  CONFAB_PLANT_EVERY=10000  confabd_planted ...
 *
 * What it does to a message of the stream, on whatever transport, it says on stderr: `planted WHAT cid=N seq=N`.
 * The others who get the same message get it as it is.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/panic.h"
#include "base/run.h"
#include "net/net.h"

enum { SLICE_MESSAGES_MAX = 4096 };

enum queued __real_conn_queue(
    struct conn *conn, struct run *run, uint32_t offset, uint32_t len, enum on_full on_full);
enum queued __wrap_conn_queue(
    struct conn *conn, struct run *run, uint32_t offset, uint32_t len, enum on_full on_full);

/* Deliveries of all reactors so far. */
static atomic_uint_fast64_t delivered;

/* A frame: a line with its end, or a WebSocket frame of the server's, which is not masked; 0: none begins here. */
static size_t
frame_len(slice at)
{
	const unsigned char *b = (const unsigned char *)at.ptr;
	const char *end;

	if (at.len < 10)
		return 0;
	if (b[0] == '{')
		return (end = memchr(at.ptr, '\n', at.len)) != NULL ? (size_t)(end - at.ptr) + 1
								    : 0;
	if (b[1] < 126)
		return 2u + b[1];
	if (b[1] == 126)
		return 4u + ((size_t)b[2] << 8 | b[3]);
	return 10u + ((size_t)b[6] << 24 | (size_t)b[7] << 16 | (size_t)b[8] << 8 | b[9]);
}

static bool
is_message(slice frame)
{
	static const char method[] = "\"method\":\"message\"", text[] = "\"kind\":\"text\"";

	return memmem(frame.ptr, frame.len < 64 ? frame.len : 64, method, sizeof(method) - 1) !=
		   NULL &&
	       memmem(frame.ptr, frame.len, text, sizeof(text) - 1) != NULL;
}

static uint64_t
number_of(slice frame, const char *key)
{
	const char *at = memmem(frame.ptr, frame.len, key, strlen(key));

	return at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* The messages in a slice; returns how many. */
static size_t
messages_in(slice bytes, slice ret[SLICE_MESSAGES_MAX])
{
	size_t count = 0, len;

	while ((len = frame_len(bytes)) > 0 && len <= bytes.len && count < SLICE_MESSAGES_MAX) {
		if (is_message(slice_of(bytes.ptr, len)))
			ret[count++] = slice_of(bytes.ptr, len);
		bytes = slice_of(bytes.ptr + len, bytes.len - len);
	}
	return count;
}

static void
put_altered(struct buf *to, slice message)
{
	static const char key[] = "\"body\":\"";
	char *bytes = buf_reserve(to, message.len), *body;

	memcpy(bytes, message.ptr, message.len);
	body = memmem(bytes, message.len, key, sizeof(key) - 1);
	assert(body != NULL);
	body[sizeof(key) - 1 + 63] ^= 1; /* of what follows the head of a body of confab-bench's */
	buf_grew(to, message.len);
}

/* The slice with the fault in it, at `first`; `second` is the message behind it. */
static void
put_spoilt(struct buf *to, const char *what, slice bytes, slice first, slice second)
{
	const char *rest = first.ptr + first.len, *end = bytes.ptr + bytes.len;

	buf_append(to, bytes.ptr, (size_t)(first.ptr - bytes.ptr));
	if (strcmp(what, "repeat") == 0) {
		buf_put(to, first);
		buf_put(to, first);
	} else if (strcmp(what, "alter") == 0) {
		put_altered(to, first);
	} else if (strcmp(what, "swap") == 0) {
		buf_put(to, second);
		buf_append(to, rest, (size_t)(second.ptr - rest));
		buf_put(to, first);
		rest = second.ptr + second.len;
	} else {
		assert(strcmp(what, "drop") == 0);
	}
	buf_append(to, rest, (size_t)(end - rest));
}

/* Which of them is spoilt, if it is the turn of one: SIZE_MAX if not. */
static size_t
chosen(const char *what, const slice *messages, size_t count)
{
	static _Thread_local bool owed;
	const char *every_text = getenv("CONFAB_PLANT_EVERY");
	uint64_t every = every_text != NULL ? strtoull(every_text, NULL, 10) : 10000,
		 before = atomic_fetch_add(&delivered, count), at = before % every + count;

	if (at < every && !owed)
		return SIZE_MAX;
	at = owed ? 0 : every - 1 - before % every;
	if (strcmp(what, "swap") != 0)
		return at;
	/* It takes two of one conversation: those, or the next that come together. */
	if (at + 1 == count && count > 1)
		at--;
	owed = count < 2 ||
	       number_of(messages[at], "\"cid\":") != number_of(messages[at + 1], "\"cid\":");
	return owed ? SIZE_MAX : at;
}

enum queued
__wrap_conn_queue(
    struct conn *conn, struct run *run, uint32_t offset, uint32_t len, enum on_full on_full)
{
	const char *what = getenv("CONFAB_PLANT");
	slice bytes = slice_of(run->bytes + offset, len), messages[SLICE_MESSAGES_MAX + 1];
	struct buf spoilt = {0};
	enum queued queued;
	struct run *copy;
	size_t count, at;

	if (what == NULL || (count = messages_in(bytes, messages)) == 0 ||
	    (at = chosen(what, messages, count)) == SIZE_MAX)
		return __real_conn_queue(conn, run, offset, len, on_full);
	messages[count] = SLICE_NONE;
	put_spoilt(&spoilt, what, bytes, messages[at], messages[at + 1]);
	copy = run_copy(buf_slice(&spoilt));
	buf_fini(&spoilt);
	queued = __real_conn_queue(conn, copy, 0, copy->len, on_full);
	if (queued == QUEUED)
		(void)fprintf(stderr, "planted %s cid=%" PRIu64 " seq=%" PRIu64 "\n", what,
		    number_of(messages[at], "\"cid\":"), number_of(messages[at], "\"seq\":"));
	run_unref(copy);
	return queued;
}
