/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/panic.h"

enum { NAMED_MAX = 10, MISSING_MAX = 4096, SUM_END = 48, SCHED_SHIFT = 10, HEAD_BYTES = 60 };

const char *const violation_names[VIOLATION_MAX] = {
    [VIOLATION_LOST] = "lost",
    [VIOLATION_TWICE] = "twice",
    [VIOLATION_ORDER] = "out of order",
    [VIOLATION_ALTERED] = "altered",
    [VIOLATION_MISPLACED] = "misplaced",
    [VIOLATION_UNANSWERED] = "unanswered",
    [VIOLATION_CLOSED] = "closed",
    [VIOLATION_REFUSED] = "refused",
};
uint64_t violation_counts[VIOLATION_MAX];

/* Places that were passed over: what comes there later was out of order, what never comes is lost. */
static struct {
	const struct client *client;
	uint64_t cid, seq;
} missing[MISSING_MAX];
static size_t missing_count;

void
violation(enum violation what, const struct client *c, uint64_t cid, uint64_t seq,
    const char *format, ...)
{
	char why[256];
	va_list args;

	violation_counts[what]++;
	if (violations() > NAMED_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	(void)fprintf(stderr,
	    "violation: %s: to %s, conversation %" PRIu64 ", seq %" PRIu64 ": %s\n",
	    violation_names[what], c->name, cid, seq, why);
}

uint64_t
violations(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < VIOLATION_MAX; i++)
		sum += violation_counts[i];
	return sum;
}

/* --- What is sent --- */

static void
put_hex(char *to, unsigned digits, uint64_t value)
{
	for (unsigned i = digits; i-- > 0; value >>= 4)
		to[i] = "0123456789abcdef"[value & 15];
}

static uint64_t
hex(const char *at, unsigned digits)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < digits; i++) {
		unsigned digit = (unsigned char)at[i];

		value = value << 4 | ((digit & 15) + (digit > '9' ? 9 : 0));
	}
	return value;
}

/* Of all but the checksum's own place: `cbRRRRRRRR SSSSSS.TT.NNNNNNNNNN XXXXXXXXXXXXXXXX HHHHHHHHHH filler`. */
static uint64_t
body_sum(const char *body, size_t len)
{
	uint64_t sum = len, word;
	size_t at = 0;

	for (; at < 32; at += 8) {
		memcpy(&word, body + at, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	for (at = SUM_END; at + 8 <= len; at += 8) {
		memcpy(&word, body + at, 8);
		sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 29;
	}
	for (; at < len; at++)
		sum = (sum ^ (unsigned char)body[at]) * 0x100000001b3u;
	return sum ^ sum >> 32;
}

void
body_write(char *ret, size_t len, uint32_t sender, unsigned slot, const struct sent *sent)
{
	assert(len >= BODY_MIN);
	memcpy(ret, "cb", 2);
	memcpy(ret + 2, bench.run, 8);
	ret[10] = ret[31] = ret[48] = ret[59] = ' ';
	put_hex(ret + 11, 6, sender);
	ret[17] = ret[20] = '.';
	put_hex(ret + 18, 2, slot);
	put_hex(ret + 21, 10, sent->number);
	put_hex(ret + 49, 10, (sent->sched_ns - bench.started_ns) >> SCHED_SHIFT);
	memset(ret + HEAD_BYTES, 'a' + (int)(sent->number % 26), len - HEAD_BYTES);
	put_hex(ret + 32, 16, body_sum(ret, len));
}

/* When it was to be sent. */
static uint64_t
body_sched_ns(slice body)
{
	return bench.started_ns + (hex(body.ptr + 49, 10) << SCHED_SHIFT);
}

/* Led by the time, which costs a store the least; the same when it is sent again. */
void
cmid_write(char ret[32], uint32_t sender, unsigned slot, const struct sent *sent)
{
	put_hex(ret, 12, sent->ms);
	ret[12] = '-';
	put_hex(ret + 13, 6, sender);
	put_hex(ret + 19, 2, slot);
	put_hex(ret + 21, 10, sent->number);
	ret[31] = '\0';
}

/* --- Where it belongs --- */

struct conv *
conv_of(uint64_t cid)
{
	struct conv *conv = map_get(&bench.convs, cid);

	if (conv != NULL)
		return conv;
	conv = mem_zalloc(sizeof(*conv));
	conv->cid = cid;
	conv->lines = mem_zalloc((bench.lines_mask + 1) * sizeof(*conv->lines));
	map_put(&bench.convs, cid, conv);
	return conv;
}

struct stream *
stream_of(struct client *c, uint64_t cid)
{
	if (c->hint < c->stream_count && c->streams[c->hint].conv->cid == cid)
		return &c->streams[c->hint];
	for (uint32_t i = 0; i < c->stream_count; i++) {
		if (c->streams[i].conv->cid == cid) {
			c->hint = i;
			return &c->streams[i];
		}
	}
	return NULL;
}

void
stream_begin(struct client *c, uint64_t cid, uint64_t next, bool group)
{
	struct stream *stream = stream_of(c, cid);

	if (stream == NULL) {
		c->streams = mem_resize(c->streams, c->stream_count + 1, sizeof(*c->streams));
		stream = &c->streams[c->stream_count++];
		*stream = (struct stream){.conv = conv_of(cid), .next = next};
		stream->conv->group = group;
		stream->conv->here++;
	} else if (next != stream->next) {
		violation(next < stream->next ? VIOLATION_TWICE : VIOLATION_LOST, c, cid, next,
		    "the stream begins at %" PRIu64 " where %" PRIu64 " is due", next,
		    stream->next);
		stream->next = next;
	}
}

/* --- What came --- */

static bool
after(const char **at, const char *end, slice key)
{
	const char *found = memmem(*at, (size_t)(end - *at), key.ptr, key.len);

	if (found == NULL)
		return false;
	*at = found + key.len;
	return true;
}

/* The text up to the closing quote; what we look for has no escapes. */
static slice
until_quote(const char **at, const char *end)
{
	const char *start = *at, *stop = memchr(start, '"', (size_t)(end - start));

	if (stop == NULL)
		return SLICE_NONE;
	*at = stop + 1;
	return slice_of(start, (size_t)(stop - start));
}

static uint64_t
digits(const char **at, const char *end)
{
	uint64_t value = 0;

	while (*at < end && **at >= '0' && **at <= '9')
		value = value * 10 + (uint64_t)(*(*at)++ - '0');
	return value;
}

/* Members in the order in which the server writes them. */
struct fields {
	uint64_t cid, seq;
	slice from, to, kind, body, cmid;
};

static bool
fields_read(slice frame, struct fields *ret)
{
	const char *at = frame.ptr, *end = frame.ptr + frame.len;

	*ret = (struct fields){0};
	if (!after(&at, end, S("\"cid\":")))
		return false;
	ret->cid = digits(&at, end);
	if (!after(&at, end, S("\"seq\":")))
		return false;
	ret->seq = digits(&at, end);
	if (!after(&at, end, S("\"from\":\"")))
		return false;
	ret->from = until_quote(&at, end);
	if (!after(&at, end, S("\"to\":")))
		return false;
	ret->to.ptr = at;
	if (!after(&at, end, S(",\"ts\":")))
		return false;
	ret->to.len = (size_t)(at - ret->to.ptr) - (sizeof(",\"ts\":") - 1);
	if (!after(&at, end, S("\"kind\":\"")))
		return false;
	ret->kind = until_quote(&at, end);
	if (after(&at, end, S("\"body\":\"")))
		ret->body = until_quote(&at, end);
	if (after(&at, end, S("\"cmid\":\"")))
		ret->cmid = until_quote(&at, end);
	return ret->cid > 0 && ret->seq > 0;
}

static struct author *
author_of(slice body)
{
	uint64_t sender, slot;

	if (body.len < BODY_MIN || memcmp(body.ptr, "cb", 2) != 0 ||
	    memcmp(body.ptr + 2, bench.run, 8) != 0)
		return NULL;
	if (hex(body.ptr + 32, 16) != body_sum(body.ptr, body.len))
		return NULL;
	sender = hex(body.ptr + 11, 6);
	slot = hex(body.ptr + 18, 2);
	if (sender >= bench.client_count || slot >= bench.clients[sender].author_count)
		return NULL;
	return &bench.clients[sender].authors[slot];
}

/* The first that is seen of a message: its number follows the author's last one. */
static void
check_first(const struct client *c, struct author *author, const struct fields *f, uint64_t number)
{
	bool dense = f->seq == author->conv->newest + 1;

	if (number <= author->last_seen && !author->disordered)
		violation(VIOLATION_TWICE, c, f->cid, f->seq,
		    "message %" PRIu64 " of %.*s was there before", number, SLICE_ARG(f->from));
	else if (number > author->last_seen + 1 && dense && !author->disordered)
		violation(VIOLATION_ORDER, c, f->cid, f->seq,
		    "message %" PRIu64 " of %.*s, before %" PRIu64, number, SLICE_ARG(f->from),
		    author->last_seen + 1);
	if (number > author->last_seen)
		author->last_seen = number;
}

/* A direct message goes to whom it was sent to; a group's has always the same number, or handle. */
static void
check_to(const struct client *c, const struct author *author, const struct fields *f)
{
	struct conv *conv = author->conv;
	bool direct = author->peer != NULL;

	if (!direct && conv->to[0] == '\0' && f->to.len < sizeof(conv->to))
		memcpy(conv->to, f->to.ptr, f->to.len);
	if (!slice_eq(f->to, slice_str(direct ? author->to : conv->to)))
		violation(VIOLATION_ALTERED, c, f->cid, f->seq, "to %.*s, but it was sent to %s",
		    SLICE_ARG(f->to), direct ? author->to : conv->to);
}

/* Checks content and author; returns when it was to be sent, 0 if nobody here sent it. */
static uint64_t
check_content(const struct client *c, const struct fields *f, bool first)
{
	struct author *author = author_of(f->body);
	const struct client *sender;
	struct sent *sent;
	char cmid[32];
	uint64_t number;

	if (author == NULL) {
		if (slice_eq(f->kind, S("text")))
			violation(VIOLATION_ALTERED, c, f->cid, f->seq,
			    "\"%.*s\" is not as it was sent",
			    f->body.len > 80 ? 80 : (int)f->body.len,
			    f->body.ptr != NULL ? f->body.ptr : "");
		return 0;
	}
	sender = &bench.clients[hex(f->body.ptr + 11, 6)];
	number = hex(f->body.ptr + 21, 10);
	if (!slice_eq(f->from, slice_str(sender->name)))
		violation(VIOLATION_ALTERED, c, f->cid, f->seq, "from %.*s, but %s wrote it",
		    SLICE_ARG(f->from), sender->name);
	if (author->conv == NULL)
		author->conv = conv_of(f->cid);
	if (author->conv->cid != f->cid)
		violation(VIOLATION_MISPLACED, c, f->cid, f->seq,
		    "it was sent to conversation %" PRIu64, author->conv->cid);
	else if (first)
		check_first(c, author, f, number);
	if (author->conv->cid == f->cid)
		check_to(c, author, f);
	sent = &author->ring[number & bench.ring_mask];
	if (sent->number != number)
		return body_sched_ns(f->body); /* everybody else has had it long ago */
	cmid_write(cmid, sender->index, (unsigned)(author - sender->authors), sent);
	if (!slice_eq(f->cmid, slice_str(cmid)))
		violation(VIOLATION_ALTERED, c, f->cid, f->seq, "its cmid is \"%.*s\", not \"%s\"",
		    SLICE_ARG(f->cmid), cmid);
	if (sent->answered != 0 && sent->answered != f->seq)
		violation(VIOLATION_MISPLACED, c, f->cid, f->seq, "answered with seq %" PRIu64,
		    sent->answered);
	if (sent->seen != 0 && sent->seen != f->seq)
		violation(VIOLATION_TWICE, c, f->cid, f->seq, "it came at seq %" PRIu64 " before",
		    sent->seen);
	sent->seen = f->seq;
	while (author->first < author->next) {
		const struct sent *s = &author->ring[author->first & bench.ring_mask];

		if (s->answered == 0 || s->seen == 0)
			break;
		author->first++;
	}
	return body_sched_ns(f->body);
}

static void
line_keep(struct line *line, slice frame, uint64_t seq, uint64_t sched_ns)
{
	if (frame.len + 1 > line->room) {
		line->room = (uint32_t)(frame.len + 1 + 63) & ~63u;
		line->bytes = mem_resize(line->bytes, line->room, 1);
	}
	memcpy(line->bytes, frame.ptr, frame.len);
	line->bytes[frame.len] = '\n';
	line->len = (uint32_t)frame.len;
	line->seq = seq;
	line->sched_ns = sched_ns;
}

/* The place in the stream; false: it was there before, and is not to be looked at. */
static bool
check_place(struct client *c, struct stream *stream, uint64_t seq)
{
	uint64_t cid = stream->conv->cid;

	if (seq == stream->next) {
		stream->next++;
		return true;
	}
	if (seq < stream->next) {
		for (size_t i = 0; i < missing_count; i++) {
			if (missing[i].client == c && missing[i].cid == cid &&
			    missing[i].seq == seq) {
				missing[i] = missing[--missing_count];
				bench.totals.missing--;
				violation(VIOLATION_ORDER, c, cid, seq, "it came after %" PRIu64,
				    stream->next - 1);
				return true;
			}
		}
		violation(VIOLATION_TWICE, c, cid, seq, "the next is %" PRIu64, stream->next);
		return false;
	}
	for (uint64_t at = stream->next; at < seq; at++) {
		bench.totals.missing++;
		if (missing_count < MISSING_MAX) {
			missing[missing_count].client = c;
			missing[missing_count].cid = cid;
			missing[missing_count++].seq = at;
		}
	}
	stream->next = seq + 1;
	return true;
}

/* Content, compared with what came first, or as what comes first. */
static void
check_same(struct client *c, struct conv *conv, slice frame, const struct fields *f)
{
	struct line *line = &conv->lines[f->seq & bench.lines_mask];
	bool first = f->seq > conv->newest;
	uint64_t sched_ns, wrong = violations();

	if (line->seq == f->seq) {
		if (frame.len != line->len || memcmp(frame.ptr, line->bytes, frame.len) != 0)
			violation(VIOLATION_ALTERED, c, conv->cid, f->seq,
			    "it differs from what others got: %.*s",
			    frame.len > 160 ? 160 : (int)frame.len, frame.ptr);
		sched_ns = line->sched_ns;
	} else {
		sched_ns = check_content(c, f, first);
		if (line->seq < f->seq && violations() == wrong)
			line_keep(line, frame, f->seq, sched_ns);
	}
	if (first && violations() == wrong)
		conv->newest = f->seq;
	bench.totals.deliveries++;
	if (sched_ns != 0)
		hist_add(&bench.delivery, bench.now_ns - sched_ns);
}

void
check_message(struct client *c, slice frame)
{
	struct stream *stream;
	struct fields f;

	if (!fields_read(frame, &f)) {
		violation(VIOLATION_ALTERED, c, f.cid, f.seq, "not a message: %.*s",
		    frame.len > 160 ? 160 : (int)frame.len, frame.ptr);
		return;
	}
	if ((stream = stream_of(c, f.cid)) == NULL) {
		violation(VIOLATION_MISPLACED, c, f.cid, f.seq, "he knows of no such conversation");
		return;
	}
	if (check_place(c, stream, f.seq))
		check_same(c, stream->conv, frame, &f);
}

void
check_entry(struct client *c, slice entry)
{
	uint64_t sched_ns;
	struct fields f;

	if (!fields_read(entry, &f)) {
		violation(VIOLATION_ALTERED, c, f.cid, f.seq, "not an entry: %.*s",
		    entry.len > 160 ? 160 : (int)entry.len, entry.ptr);
		return;
	}
	sched_ns = check_content(c, &f, false);
	bench.totals.deliveries++;
	if (sched_ns != 0 && !c->auditor)
		hist_add(&bench.delivery, bench.now_ns - sched_ns);
	bench.totals.history++;
}

void
check_gap(struct client *c, uint64_t cid, uint64_t from, uint64_t to)
{
	struct stream *stream = stream_of(c, cid);

	if (stream == NULL || from != stream->next || to < from) {
		violation(VIOLATION_LOST, c, cid, from,
		    "a gap up to %" PRIu64 " is announced where %" PRIu64 " is due", to,
		    stream != NULL ? stream->next : 0);
		return;
	}
	stream->next = to + 1;
	bench.totals.gaps++;
	if (!bench.setting_up)
		client_history(c, cid, from, to);
}

void
check_answer(struct client *c, struct author *author, struct sent *sent, uint64_t cid, uint64_t seq)
{
	if (author->conv == NULL)
		author->conv = conv_of(cid);
	if (author->conv->cid != cid || seq == 0)
		violation(VIOLATION_MISPLACED, c, cid, seq,
		    "answered so, sent to conversation %" PRIu64, author->conv->cid);
	if (sent->seen != 0 && sent->seen != seq)
		violation(VIOLATION_MISPLACED, c, cid, seq,
		    "answered so, but it came at seq %" PRIu64, sent->seen);
	sent->answered = seq;
	if (!bench.listening)
		sent->seen = seq;
	if (seq > author->conv->answered)
		author->conv->answered = seq;
	if (author->conv->answered_first == 0 || seq < author->conv->answered_first)
		author->conv->answered_first = seq;
	while (author->first < author->next) {
		const struct sent *s = &author->ring[author->first & bench.ring_mask];

		if (s->answered == 0 || s->seen == 0)
			break;
		author->first++;
	}
}

/* --- At the end --- */

static bool
author_complete(const struct client *c, const struct author *author)
{
	return author->unanswered == 0 &&
	       (!bench.listening || author->conv == NULL || author->peer == NULL ||
		   (stream_of(author->peer, author->conv->cid) != NULL &&
		       stream_of(&bench.clients[c->index], author->conv->cid) != NULL));
}

bool
check_complete(void)
{
	for (uint32_t i = 0; i < bench.client_count; i++) {
		const struct client *c = &bench.clients[i];

		if (c->hole_count > 0 ||
		    (c->state != CLIENT_READY && c->author_count + c->stream_count > 0))
			return false;
		for (uint32_t s = 0; s < c->stream_count; s++) {
			if (c->streams[s].next <= c->streams[s].conv->answered)
				return false;
		}
		for (uint32_t a = 0; a < c->author_count; a++) {
			if (!author_complete(c, &c->authors[a]))
				return false;
		}
	}
	return true;
}

static void
author_end(struct client *c, const struct author *author)
{
	for (uint64_t number = author->first; number < author->next; number++) {
		const struct sent *sent = &author->ring[number & bench.ring_mask];

		if (sent->answered == 0 && !sent->refused)
			violation(VIOLATION_UNANSWERED, c,
			    author->conv != NULL ? author->conv->cid : 0, sent->seen,
			    "message %" PRIu64 " to %s", number, author->to);
	}
	if (bench.listening && author->conv != NULL && author->peer != NULL &&
	    stream_of(author->peer, author->conv->cid) == NULL)
		violation(VIOLATION_LOST, author->peer, author->conv->cid, 1,
		    "he was told nothing of the conversation");
}

void
check_end(void)
{
	for (size_t i = 0; i < missing_count; i++)
		violation(VIOLATION_LOST, missing[i].client, missing[i].cid, missing[i].seq,
		    "it was passed over");
	for (uint32_t i = 0; i < bench.client_count; i++) {
		struct client *c = &bench.clients[i];

		for (uint32_t s = 0; s < c->stream_count; s++) {
			if (c->streams[s].next <= c->streams[s].conv->answered)
				violation(VIOLATION_LOST, c, c->streams[s].conv->cid,
				    c->streams[s].next, "nothing came from there up to %" PRIu64,
				    c->streams[s].conv->answered);
		}
		for (uint32_t h = 0; h < c->hole_count; h++)
			violation(VIOLATION_LOST, c, c->holes[h].cid, c->holes[h].from,
			    "history did not give it up to %" PRIu64, c->holes[h].to);
		for (uint32_t a = 0; a < c->author_count; a++)
			author_end(c, &c->authors[a]);
	}
}
