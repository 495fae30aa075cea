/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/secret.h"
#include "wire/json.h"

/* Ids of requests: a message's number and slot, or one of these. */
enum {
	ID_SLOTS = 64,
	ID_GROUP = 54,
	ID_PRESENCE = 55,
	ID_WATCH = 56,
	ID_HELLO = 57,
	ID_HISTORY = 58,
	ID_MARK = 59,
	ID_LOGIN = 60,
	ID_SYNC = 61,
	ID_PING = 62,
	LOGIN_BYTES = 4000, /* a longer frame is refused before the login */
	HISTORY_LIMIT = 200,
};

#define PING_AFTER_NS (25 * UINT64_C(1000000000))
#define REOPEN_NS (100 * UINT64_C(1000000))

void (*client_answered)(struct client *c, unsigned slot);

/* Messages that were refused for a while. */
static struct retry {
	struct client *client;
	uint64_t number, at_ns;
	unsigned slot;
} * retries;
static size_t retry_count, reopening;
static struct buf text;

void
client_init(struct client *c, const char *name, const char *token)
{
	c->fd = -1;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	(void)snprintf(c->token, sizeof(c->token), "%s", token != NULL ? token : "");
	c->registering = token == NULL;
}

void
client_open(struct client *c)
{
	assert(c->state == CLIENT_CLOSED);
	if (c->opened_ns == 0)
		c->opened_ns = bench.now_ns;
	if (c->reopen_ns != 0)
		reopening--;
	c->reopen_ns = 0;
	c->expects_close = false;
	c->hint = 0;
	bench.opening++;
	link_open(c);
}

static void
closed(struct client *c)
{
	if (c->state == CLIENT_CLOSED)
		return;
	if (c->state == CLIENT_READY)
		bench.ready--;
	else
		bench.opening--;
	link_close(c);
}

void
client_abort(struct client *c)
{
	link_cut(c);
	closed(c);
}

void
client_reopen(struct client *c, uint64_t at_ns)
{
	if (c->reopen_ns == 0)
		reopening++;
	c->reopen_ns = at_ns;
}

void
client_gone(struct client *c)
{
	bool expected = c->expects_close || c->was_slow;

	closed(c);
	bench.totals.closed++;
	if (bench.stopped)
		return;
	if (bench.setting_up && !expected)
		cannot("the server closed the connection of %s before it was set up", c->name);
	if (!expected)
		violation(VIOLATION_CLOSED, c, 0, 0, "the server closed the connection");
	c->opened_ns = 0;
	if (c->reopen_ns == 0)
		client_reopen(c, bench.now_ns + REOPEN_NS);
}

/* --- Login and sync --- */

static void
put_sync(const struct client *c)
{
	if (c->epoch[0] == '\0') {
		buf_put(&text, S("{\"backlog\":0}"));
		return;
	}
	buf_printf(&text, "{\"backlog\":%u,\"epoch\":\"%s\",\"cursors\":{", bench.options.backlog,
	    c->epoch);
	for (uint32_t i = 0; i < c->stream_count; i++)
		buf_printf(&text, "%s\"%" PRIu64 "\":%" PRIu64, i > 0 ? "," : "",
		    c->streams[i].conv->cid, c->streams[i].next - 1);
	buf_put(&text, S("}}"));
}

static void
put_text(struct client *c)
{
	link_put(c, buf_slice(&text));
	buf_clear(&text);
}

static void
sync_alone(struct client *c)
{
	buf_printf(&text, "{\"id\":%d,\"method\":\"sync\",\"params\":", ID_SYNC);
	put_sync(c);
	buf_put(&text, S("}"));
	put_text(c);
	c->state = CLIENT_SYNC;
}

void
client_connected(struct client *c)
{
	int id = c->unsynced ? ID_LOGIN : ID_SYNC;

	buf_printf(&text, "{\"id\":%d,\"method\":\"%s\",\"params\":{", id,
	    c->registering ? "register" : "resume");
	if (c->registering)
		buf_printf(&text, "\"user\":\"%s\",\"password\":\"%s-%s-password\"", c->name,
		    bench.run, c->name);
	else
		buf_printf(&text, "\"token\":\"%s\"", c->token);
	if (!c->unsynced) {
		buf_put(&text, S(",\"sync\":"));
		put_sync(c);
		if (buf_len(&text) > LOGIN_BYTES) {
			buf_clear(&text);
			buf_printf(&text,
			    "{\"id\":%d,\"method\":\"resume\",\"params\":{\"token\":\"%s\"",
			    ID_LOGIN, c->token);
		}
	}
	buf_put(&text, S("}}"));
	put_text(c);
	c->state = CLIENT_LOGIN;
	link_flush(c);
}

/* The request of a message, the first time or again. */
static void
put_send(struct client *c, unsigned slot, const struct sent *sent)
{
	char cmid[32], body[BODY_MAX];
	size_t len = bench.options.body;

	cmid_write(cmid, c->index, slot, sent);
	body_write(body, len, c->index, slot, sent);
	buf_printf(&text,
	    "{\"id\":%" PRIu64
	    ",\"method\":\"send\",\"params\":{\"to\":%s,\"cmid\":\"%s\",\"body\":\"",
	    sent->number * ID_SLOTS + slot, c->authors[slot].to, cmid);
	buf_append(&text, body, len);
	buf_put(&text, S("\"}}"));
	put_text(c);
	c->dirty = true;
}

static void
ask_history(struct client *c)
{
	const struct hole *hole = &c->holes[0];

	buf_printf(&text,
	    "{\"id\":%d,\"method\":\"history\",\"params\":{\"cid\":%" PRIu64 ",\"after\":%" PRIu64
	    ",\"before\":%" PRIu64 ",\"limit\":%d}}",
	    ID_HISTORY, hole->cid, hole->from - 1, hole->to + 1, HISTORY_LIMIT);
	put_text(c);
	c->dirty = true;
}

void
client_history(struct client *c, uint64_t cid, uint64_t from, uint64_t to)
{
	c->holes = mem_resize(c->holes, c->hole_count + 1, sizeof(*c->holes));
	c->holes[c->hole_count++] = (struct hole){.cid = cid, .from = from, .to = to};
	if (c->hole_count == 1 && c->state == CLIENT_READY)
		ask_history(c);
}

static void
ask_watch(struct client *c)
{
	buf_printf(
	    &text, "{\"id\":%d,\"method\":\"presence.watch\",\"params\":{\"users\":[", ID_WATCH);
	for (uint32_t i = 1; i <= c->watches && i < bench.client_count; i++)
		buf_printf(&text, "%s\"%s\"", i > 1 ? "," : "",
		    bench.clients[(c->index + i) % bench.client_count].name);
	buf_put(&text, S("]}}"));
	put_text(c);
	c->dirty = true;
}

static void
is_ready(struct client *c)
{
	c->state = CLIENT_READY;
	bench.opening--;
	bench.ready++;
	hist_add(&bench.resume, bench.now_ns - c->opened_ns);
	bench.totals.resumes++;
	c->opened_ns = 0;
	c->away = false;
	/* What has no answer goes out again, in the old order and under its old cmid. */
	for (unsigned slot = 0; slot < c->author_count; slot++) {
		const struct author *author = &c->authors[slot];

		for (uint64_t number = author->first; number < author->next; number++) {
			const struct sent *sent = &author->ring[number & bench.ring_mask];

			if (sent->answered == 0 && !sent->refused) {
				put_send(c, slot, sent);
				bench.totals.retried++;
			}
		}
	}
	if (c->hole_count > 0)
		ask_history(c);
	if (c->watches > 0)
		ask_watch(c);
	if (c->dirty)
		link_flush(c);
}

static slice
string_of(struct json object, slice name)
{
	static struct buf scratch;
	struct json value = json_member(object, name);

	if (!slice_given(value.text) || json_type(value) != JSON_STRING)
		return S("");
	buf_clear(&scratch);
	(void)buf_reserve(&scratch, value.text.len);
	return json_string(value, &scratch);
}

static uint64_t
integer_of(struct json object, slice name)
{
	struct json value = json_member(object, name);
	int64_t number = 0;

	if (slice_given(value.text) && json_type(value) == JSON_NUMBER)
		(void)json_integer(value, &number);
	return number > 0 ? (uint64_t)number : 0;
}

static void
take_conversation(struct client *c, struct json view)
{
	stream_begin(c, integer_of(view, S("cid")), integer_of(view, S("next")),
	    slice_eq(string_of(view, S("kind")), S("group")));
}

static void
keep(char *to, size_t size, slice value)
{
	(void)snprintf(to, size, "%.*s", SLICE_ARG(value));
}

static struct json
parsed(slice frame, slice member)
{
	struct json whole;

	if (!json_check(frame, &whole))
		cannot("the server sent what is no JSON: %.*s",
		    frame.len > 200 ? 200 : (int)frame.len, frame.ptr);
	return json_member(whole, member);
}

static void
take_login(struct client *c, slice frame, uint64_t id)
{
	struct json result = parsed(frame, S("result")), view;
	struct json_iter it;

	if (id == ID_LOGIN && !c->unsynced) {
		sync_alone(c);
		c->dirty = true;
		return;
	}
	if (c->registering) {
		keep(c->token, sizeof(c->token), string_of(result, S("token")));
		c->registering = false;
	}
	if (!c->unsynced) {
		keep(c->epoch, sizeof(c->epoch), string_of(result, S("epoch")));
		if (json_type(json_member(result, S("reset"))) == JSON_TRUE)
			violation(VIOLATION_LOST, c, 0, 0, "the server doesn't know our cursors");
		json_iter_init(&it, json_member(result, S("conversations")));
		while (json_next_element(&it, &view))
			take_conversation(c, view);
	}
	is_ready(c);
}

/* --- Messages --- */

unsigned
client_author(struct client *c, const char *to, struct client *peer)
{
	struct author *author;

	assert(c->author_count < SLOTS_MAX);
	c->authors = mem_resize(c->authors, c->author_count + 1, sizeof(*c->authors));
	author = &c->authors[c->author_count];
	*author = (struct author){.first = 1, .next = 1, .peer = peer};
	(void)snprintf(author->to, sizeof(author->to), "%s", to);
	author->ring = mem_zalloc((bench.ring_mask + 1) * sizeof(*author->ring));
	return c->author_count++;
}

bool
client_may_send(const struct client *c, unsigned slot, unsigned window)
{
	const struct author *author = &c->authors[slot];

	return author->unanswered < window && author->next - author->first <= bench.ring_mask;
}

void
client_send(struct client *c, unsigned slot, uint64_t sched_ns)
{
	struct author *author = &c->authors[slot];
	struct sent *sent = &author->ring[author->next & bench.ring_mask];

	*sent =
	    (struct sent){.number = author->next++, .sched_ns = sched_ns, .ms = clock_real_ms()};
	author->unanswered++;
	bench.totals.sends++;
	/* Written while the connection is away, it goes out when that is back. */
	if (c->state == CLIENT_READY)
		put_send(c, slot, sent);
}

void
client_mark(struct client *c)
{
	const struct stream *stream;

	if (c->stream_count == 0 || c->state != CLIENT_READY)
		return;
	stream = &c->streams[c->hint < c->stream_count ? c->hint : 0];
	buf_printf(&text,
	    "{\"id\":%d,\"method\":\"mark\",\"params\":{\"cid\":%" PRIu64 ",\"read\":%" PRIu64 "}}",
	    ID_MARK, stream->conv->cid, stream->next - 1);
	put_text(c);
	link_flush(c);
}

void
client_hello(struct client *c)
{
	buf_printf(&text, "{\"id\":%d,\"method\":\"hello\"}", ID_HELLO);
	put_text(c);
	link_flush(c);
}

void
client_signal(struct client *c, unsigned slot)
{
	if (c->state != CLIENT_READY)
		return;
	buf_printf(&text, "{\"method\":\"signal\",\"params\":{\"to\":%s,\"kind\":\"typing\"}}",
	    c->authors[slot].to);
	put_text(c);
	link_flush(c);
}

void
client_watch(struct client *c, uint32_t count)
{
	c->watches = count;
	if (c->state != CLIENT_READY)
		return;
	ask_watch(c);
	link_flush(c);
}

void
client_presence(struct client *c)
{
	if (c->state != CLIENT_READY)
		return;
	c->away = !c->away;
	buf_printf(&text, "{\"id\":%d,\"method\":\"presence.set\",\"params\":{\"state\":\"%s\"}}",
	    ID_PRESENCE, c->away ? "away" : "online");
	put_text(c);
	link_flush(c);
}

void
client_group(struct client *c, uint64_t cid, struct client *const *members, unsigned count)
{
	if (cid == 0)
		buf_printf(&text,
		    "{\"id\":%d,\"method\":\"group.create\",\"params\":{\"title\":\"bench "
		    "%s\",\"members\":[",
		    ID_GROUP, bench.run);
	else
		buf_printf(&text,
		    "{\"id\":%d,\"method\":\"group.invite\",\"params\":{\"cid\":%" PRIu64
		    ",\"users\":[",
		    ID_GROUP, cid);
	for (unsigned i = 0; i < count; i++)
		buf_printf(&text, "%s\"%s\"", i > 0 ? "," : "", members[i]->name);
	buf_put(&text, S("]}}"));
	put_text(c);
	link_flush(c);
	c->asked = GROUP_ASKED;
}

static struct sent *
sent_of(struct client *c, uint64_t id)
{
	unsigned slot = (unsigned)(id % ID_SLOTS);
	struct sent *sent;

	if (slot >= c->author_count)
		return NULL;
	sent = &c->authors[slot].ring[id / ID_SLOTS & bench.ring_mask];
	return sent->number == id / ID_SLOTS ? sent : NULL;
}

static uint64_t
number_after(slice frame, slice key)
{
	const char *at = memmem(frame.ptr, frame.len, key.ptr, key.len),
		   *end = frame.ptr + frame.len;
	uint64_t value = 0;

	for (at = at != NULL ? at + key.len : end; at < end && *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

static void
take_send_answer(struct client *c, slice frame, uint64_t id)
{
	unsigned slot = (unsigned)(id % ID_SLOTS);
	struct sent *sent = sent_of(c, id);
	struct author *author;

	/* Sent again after `unknown_outcome`, it can be answered twice. */
	if ((sent == NULL || sent->answered != 0) && slot < c->author_count &&
	    c->authors[slot].disordered)
		return;
	if (sent == NULL || sent->answered != 0) {
		violation(VIOLATION_UNANSWERED, c, 0, 0, "an answer that nothing waits for: %.*s",
		    SLICE_ARG(frame));
		return;
	}
	author = &c->authors[slot];
	author->unanswered--;
	bench.totals.answers++;
	bench.totals.dups += memmem(frame.ptr, frame.len, "\"dup\":true", 10) != NULL;
	hist_add(&bench.ack, bench.now_ns - sent->sched_ns);
	check_answer(c, author, sent, number_after(frame, S("\"cid\":")),
	    number_after(frame, S("\"seq\":")));
	if (client_answered != NULL)
		client_answered(c, slot);
}

static void
take_history(struct client *c, slice frame)
{
	struct json result = parsed(frame, S("result")), element;
	struct hole *hole = &c->holes[0];
	struct json_iter it;
	uint64_t seq;

	if (c->hole_count == 0)
		return;
	json_iter_init(&it, json_member(result, S("messages")));
	for (seq = hole->from; json_next_element(&it, &element); seq++) {
		if (integer_of(element, S("seq")) != seq) {
			violation(VIOLATION_LOST, c, hole->cid, seq,
			    "history gives %" PRIu64 " there", integer_of(element, S("seq")));
			seq = integer_of(element, S("seq"));
		}
		check_entry(c, element.text);
	}
	if (seq == hole->from) {
		violation(VIOLATION_LOST, c, hole->cid, seq,
		    "history ends there, %" PRIu64 " was due", hole->to);
		seq = hole->to + 1;
	}
	hole->from = seq;
	if (hole->from > hole->to)
		memmove(hole, hole + 1, --c->hole_count * sizeof(*hole));
	if (c->hole_count > 0)
		ask_history(c);
}

/* --- What comes --- */

static void
retry_later(struct client *c, uint64_t id, uint64_t after_ms)
{
	retries = mem_resize(retries, retry_count + 1, sizeof(*retries));
	retries[retry_count++] = (struct retry){
	    .client = c,
	    .number = id / ID_SLOTS,
	    .slot = (unsigned)(id % ID_SLOTS),
	    .at_ns = bench.now_ns + (after_ms > 0 ? after_ms : 100) * 1000000,
	};
	c->authors[id % ID_SLOTS].disordered = true;
	bench.totals.refused++;
}

static void
take_error(struct client *c, slice frame, uint64_t id)
{
	bool retry = memmem(frame.ptr, frame.len, "\"retry\":true", 12) != NULL;
	uint64_t after_ms = number_after(frame, S("\"retry_after_ms\":"));
	struct sent *sent = id >= ID_SLOTS ? sent_of(c, id) : NULL;

	if (sent != NULL && retry) {
		retry_later(c, id, after_ms);
	} else if (sent != NULL) {
		violation(VIOLATION_REFUSED, c, 0, 0, "%.*s", SLICE_ARG(frame));
		c->authors[id % ID_SLOTS].unanswered--;
		sent->refused = true;
	} else if (c->state < CLIENT_READY && retry) {
		bench.totals.refused++;
		closed(c);
		client_reopen(c, bench.now_ns + (after_ms > 0 ? after_ms : 500) * 1000000);
	} else if (c->state < CLIENT_READY) {
		cannot("%s can't log in: %.*s", c->name, SLICE_ARG(frame));
	} else if (id == ID_GROUP && !retry) {
		cannot("%s can't make a group: %.*s", c->name, SLICE_ARG(frame));
	} else if (!retry) {
		violation(VIOLATION_REFUSED, c, 0, 0, "%.*s", SLICE_ARG(frame));
	} else if (id == ID_HISTORY) {
		ask_history(c);
	} else if (id == ID_GROUP) {
		c->asked = GROUP_AGAIN;
	}
}

static void
take_group(struct client *c, slice frame)
{
	struct json result = parsed(frame, S("result")), failed = json_member(result, S("failed"));

	if (slice_given(failed.text) && failed.text.len > 2)
		cannot("not all could become members of a group: %.*s", SLICE_ARG(frame));
	if (integer_of(result, S("cid")) != 0)
		c->made = integer_of(result, S("cid"));
	c->asked = GROUP_DONE;
}

static void
take_answer(struct client *c, slice frame)
{
	uint64_t id = number_after(frame, S("\"id\":"));
	slice head = slice_of(frame.ptr, frame.len < 64 ? frame.len : 64);

	if (memmem(head.ptr, head.len, "\"error\":", 8) != NULL)
		take_error(c, frame, id);
	else if (id >= ID_SLOTS)
		take_send_answer(c, frame, id);
	else if (id == ID_LOGIN || id == ID_SYNC)
		take_login(c, frame, id);
	else if (id == ID_HISTORY)
		take_history(c, frame);
	else if (id == ID_HELLO)
		keep(bench.server_version, sizeof(bench.server_version),
		    string_of(parsed(frame, S("result")), S("version")));
	else if (id == ID_GROUP)
		take_group(c, frame);
	else if (id == ID_MARK)
		bench.totals.marks++;
}

static void
take_goaway(struct client *c, slice frame)
{
	struct json params = parsed(frame, S("params"));
	uint64_t wait_ms = integer_of(params, S("reconnect_ms"));

	bench.totals.goaways++;
	c->expects_close = slice_given(json_member(params, S("reconnect_ms")).text) || c->was_slow;
	if (c->expects_close && !bench.stopped)
		client_reopen(c, bench.now_ns + (wait_ms + 1) * 1000000);
}

static void
take_other(struct client *c, slice frame, slice method)
{
	struct json params;

	if (slice_eq(method, S("conversation"))) {
		params = parsed(frame, S("params"));
		if (!slice_eq(string_of(params, S("change")), S("removed")))
			take_conversation(c, params);
	} else if (slice_eq(method, S("gap"))) {
		params = parsed(frame, S("params"));
		check_gap(c, integer_of(params, S("cid")), integer_of(params, S("from")),
		    integer_of(params, S("to")));
	} else if (slice_eq(method, S("goaway"))) {
		take_goaway(c, frame);
	} else if (slice_eq(method, S("signal"))) {
		bench.totals.signals++;
	} else if (slice_eq(method, S("mark"))) {
		bench.totals.marks++;
	} else if (slice_eq(method, S("presence"))) {
		bench.totals.presences++;
	} else if (!slice_eq(method, S("contact"))) {
		violation(VIOLATION_ALTERED, c, 0, 0, "a notification that there is not: %.*s",
		    frame.len > 160 ? 160 : (int)frame.len, frame.ptr);
	}
}

void
client_frame(struct client *c, slice frame)
{
	static const char start[] = "{\"jsonrpc\":\"2.0\",\"",
			  notification[] = "{\"jsonrpc\":\"2.0\",\"method\":\"";
	const char *end;

	if (slice_starts(frame, slice_str(notification))) {
		slice rest = slice_of(
		    frame.ptr + sizeof(notification) - 1, frame.len - (sizeof(notification) - 1));

		if (slice_starts(rest, S("message\"")))
			check_message(c, frame);
		else if ((end = memchr(rest.ptr, '"', rest.len)) != NULL)
			take_other(c, frame, slice_of(rest.ptr, (size_t)(end - rest.ptr)));
	} else if (slice_starts(frame, slice_str(start))) {
		take_answer(c, frame);
	} else {
		violation(VIOLATION_ALTERED, c, 0, 0, "not of the protocol: %.*s",
		    frame.len > 160 ? 160 : (int)frame.len, frame.ptr);
	}
}

/* --- What is due --- */

static void
retries_tick(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < retry_count; i++) {
		struct retry *retry = &retries[i];
		struct sent *sent = sent_of(retry->client, retry->number * ID_SLOTS + retry->slot);

		if (retry->at_ns > bench.now_ns) {
			retries[kept++] = *retry;
		} else if (sent != NULL && retry->client->state == CLIENT_READY) {
			bench.totals.retried++;
			put_send(retry->client, retry->slot, sent);
			link_flush(retry->client);
		}
	}
	retry_count = kept;
}

static void
client_tick(struct client *c, bool pings)
{
	if (c->reopen_ns != 0 && bench.now_ns >= c->reopen_ns) {
		closed(c);
		client_open(c);
	}
	if (pings && c->state == CLIENT_READY && !c->paused &&
	    bench.now_ns - c->written_ns > PING_AFTER_NS) {
		buf_printf(&text, "{\"id\":%d,\"method\":\"ping\"}", ID_PING);
		put_text(c);
		link_flush(c);
	}
}

void
clients_tick(void)
{
	static uint64_t pinged_ns;
	bool pings = bench.now_ns - pinged_ns > 1000000000;

	retries_tick();
	if (pings)
		pinged_ns = bench.now_ns;
	for (uint32_t i = 0; (pings || reopening > 0) && i < bench.client_count; i++)
		client_tick(&bench.clients[i], pings);
}
