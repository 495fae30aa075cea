/* SPDX-License-Identifier: MIT */
/*
 * Sessions from the first byte to the last: PROXY header, TLS, detection; the moments at which a
 * connection has idled too long; the way out of the shard.
 */
#include "gate/session.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/secret.h"
#include "base/stat.h"
#include "gate/cidr.h"
#include "gate/encode.h"
#include "wire/detect.h"
#include "wire/proxy.h"

enum {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_POLICY = 1008,
	IDLE_RECONNECT_MS = 1000,
	SCRATCH_KEEP_BYTES = 512 * 1024, /* a buffer that grew larger is given back */
};

#define GATE_MAGIC 0x6a7e0001u
#define SESSION_MAGIC 0x6a7e5e55u

static struct session *
session_of(struct conn *conn)
{
	struct session *s = conn_cookie(conn);

	OBJ_CHECK(s, SESSION_MAGIC);
	return s;
}

static uint64_t
now_ms(const struct session *s)
{
	return reactor_now_ms(s->gate->reactor);
}

/* --- Frames on the way out --- */

struct buf *
session_frame(struct session *s)
{
	struct buf *out = &s->gate->out;

	buf_clear(out);
	if (s->phase == PHASE_WS)
		buf_append(out, (char[WS_HEADER_MAX]){0}, WS_HEADER_MAX);
	return out;
}

static void
trim(struct buf *b)
{
	if (b->capacity > SCRATCH_KEEP_BYTES)
		buf_fini(b);
}

/* The header goes right in front of the payload, at the end of the room that was left for it. */
static slice
with_header(struct buf *out)
{
	char header[WS_HEADER_MAX];
	size_t len = ws_header(header, WS_OP_TEXT, buf_len(out) - WS_HEADER_MAX);

	memcpy(out->bytes + out->start + WS_HEADER_MAX - len, header, len);
	buf_consume(out, WS_HEADER_MAX - len);
	return buf_slice(out);
}

void
session_send_frame(struct session *s)
{
	struct buf *out = &s->gate->out;

	if (s->phase == PHASE_WS) {
		conn_write(s->conn, with_header(out));
	} else {
		buf_put(out, S("\n"));
		conn_write(s->conn, buf_slice(out));
	}
	buf_clear(out);
	trim(out);
}

/* --- When to read, when to end --- */

bool
session_may_read(struct session *s)
{
	if (!s->out_full && conn_out_bytes(s->conn) > LIMIT_OUT_SOFT_BYTES) {
		s->out_full = true;
		conn_want_drained(s->conn);
	}
	return !s->blocked && !s->held && !s->waiting && !s->out_full && !s->leaving &&
	       !s->finishing && s->in_flight < LIMIT_IN_FLIGHT;
}

void
session_settle(struct session *s)
{
	bool read;

	if (s->in_input || s->finishing)
		return;
	if (s->leaving && s->in_flight == 0) {
		session_finish(s, s->close_code, s->close_reason);
		return;
	}
	read = session_may_read(s);
	if (read != s->paused)
		return;
	s->paused = !read;
	if (read)
		conn_resume(s->conn);
	else
		conn_pause(s->conn);
}

void
session_leave(struct session *s, uint16_t close_code, enum close_reason reason)
{
	if (s->leaving || s->finishing)
		return;
	s->leaving = true;
	s->close_code = close_code;
	s->close_reason = (uint8_t)reason;
	session_settle(s);
}

void
session_finish(struct session *s, uint16_t close_code, enum close_reason reason)
{
	if (s->finishing)
		return;
	s->finishing = true;
	if (s->phase == PHASE_WS) {
		struct buf *out = &s->gate->out;
		buf_clear(out);
		ws_put_close(out, close_code, SLICE_NONE);
		conn_write(s->conn, buf_slice(out));
		buf_clear(out);
	}
	conn_set_deadline(s->conn, 0);
	conn_finish(s->conn, reason);
}

void
session_goaway(struct session *s, enum goaway reason, uint32_t reconnect_ms)
{
	static const enum close_reason reasons[] = {
	    [GOAWAY_SHUTDOWN] = CLOSE_SHUTDOWN,
	    [GOAWAY_EPOCH] = CLOSE_EPOCH,
	    [GOAWAY_IDLE] = CLOSE_IDLE,
	    [GOAWAY_SLOW] = CLOSE_SLOW,
	    [GOAWAY_BUSY] = CLOSE_BUSY,
	    [GOAWAY_ERRORS] = CLOSE_ERRORS,
	    [GOAWAY_REVOKED] = CLOSE_REVOKED,
	    [GOAWAY_LOGOUT] = CLOSE_DONE,
	};

	assert((size_t)reason < LEN(reasons));
	if (s->finishing)
		return;
	if (reason == GOAWAY_LOGOUT) {
		session_leave(s, WS_CLOSE_NORMAL, CLOSE_DONE);
		return;
	}
	encode_goaway(session_frame(s), reason, reconnect_ms);
	session_send_frame(s);
	/* A server that goes answers what it was asked; its drain waits for that. */
	if (reason == GOAWAY_SHUTDOWN)
		session_leave(s, WS_CLOSE_GOING_AWAY, CLOSE_SHUTDOWN);
	else
		session_finish(
		    s, reconnect_ms > 0 ? WS_CLOSE_GOING_AWAY : WS_CLOSE_POLICY, reasons[reason]);
}

void
session_await(struct session *s)
{
	if (s->finishing)
		return;
	s->since_ms = now_ms(s);
	conn_set_deadline(s->conn,
	    s->since_ms + (s->peer != NULL && peer_logged_in(s->peer) ? s->gate->config.idle_ms
								     : s->gate->config.login_ms));
}

/* --- What a connection speaks --- */

void
session_meet(struct session *s, enum phase phase)
{
	struct sockaddr_storage address;
	char ip[CIDR_TEXT_BYTES];

	s->phase = (uint8_t)phase;
	s->revision = 0; /* the peer hears at its first request where it comes from */
	cidr_text(conn_address(s->conn, &address), ip);
	s->peer =
	    peer_create(s->gate->shard, s, phase == PHASE_WS ? FORM_WS : FORM_LINES, slice_str(ip));
	assert(s->peer != NULL);
	if (phase == PHASE_WS)
		gauge_add(GAUGE_CONNS_WS, 1);
	if (s->gate->goaway_ms > 0)
		session_goaway(
		    s, GOAWAY_SHUTDOWN, s->gate->goaway_ms + random_below(s->gate->goaway_ms));
}

static size_t
input_proxy(struct session *s, char *bytes, size_t len)
{
	struct proxy_header header;
	int used = proxy_parse(slice_of(bytes, len), &header);

	if (used == 0 && len <= PROXY_HEADER_MAX)
		return 0;
	if (used <= 0) {
		stat_add(STAT_REFUSED_PROXY, 1);
		conn_close(s->conn, CLOSE_PROTOCOL);
		return len;
	}
	if (!header.local)
		conn_set_address(s->conn, &header.source);
	s->phase = PHASE_DETECT;
	if (!session_admit(s))
		return len;
	return (size_t)used;
}

/* A PROXY header where none was asked for: someone claims an address.  Also true of a beginning of
 * one. */
static bool
like_proxy(slice in, bool *ret_whole)
{
	static const char v2[] = "\r\n\r\n\0\r\nQUIT\n";
	slice headers[] = {S("PROXY "), slice_of(v2, sizeof(v2) - 1)};

	for (size_t i = 0; i < LEN(headers); i++) {
		size_t n = in.len < headers[i].len ? in.len : headers[i].len;
		if (n > 0 && memcmp(in.ptr, headers[i].ptr, n) == 0) {
			*ret_whole = n == headers[i].len;
			return true;
		}
	}
	return false;
}

static size_t
input_tls(struct session *s, char *bytes, size_t len)
{
	if (conn_is_tls(s->conn) || conn_start_tls(s->conn, slice_of(bytes, len)) != 0)
		conn_close(s->conn, CLOSE_TLS);
	return len;
}

static size_t
input_detect(struct session *s, char *bytes, size_t len)
{
	bool whole;

	if (like_proxy(slice_of(bytes, len), &whole)) {
		if (!whole)
			return 0;
		stat_add(STAT_REFUSED_PROXY, 1);
		conn_close(s->conn, CLOSE_PROTOCOL);
		return len;
	}
	switch (wire_detect(slice_of(bytes, len))) {
	case WIRE_MORE:
		break;
	case WIRE_TLS:
		return input_tls(s, bytes, len);
	case WIRE_HTTP:
		s->phase = PHASE_HTTP;
		break;
	case WIRE_LINES:
	case WIRE_OTHER:
		session_meet(s, PHASE_LINES);
		break;
	}
	return 0;
}

static size_t
input_phase(struct session *s, char *bytes, size_t len)
{
	switch ((enum phase)s->phase) {
	case PHASE_PROXY:
		return input_proxy(s, bytes, len);
	case PHASE_DETECT:
		return input_detect(s, bytes, len);
	case PHASE_LINES:
		return confab_input_lines(s, bytes, len);
	case PHASE_WS:
		return confab_input_ws(s, bytes, len);
	case PHASE_HTTP:
		return web_input(s, bytes, len);
	}
	return len;
}

/* Goes on as long as a phase hands over to the next one. */
static size_t
on_input(struct conn *conn, char *bytes, size_t len)
{
	struct session *s = session_of(conn);
	size_t used = 0;
	uint8_t phase;

	s->in_input = true;
	do {
		phase = s->phase;
		used += input_phase(s, bytes + used, len - used);
		assert(used <= len);
	} while (s->phase != phase && used < len);
	s->in_input = false;
	session_settle(s);
	return used;
}

/* --- The other moments of a connection --- */

static void
on_eof(struct conn *conn)
{
	struct session *s = session_of(conn);
	slice rest = conn_unread(conn);

	if (s->finishing)
		return;
	if (s->phase == PHASE_DETECT && rest.len > 0)
		session_meet(s, PHASE_LINES);
	if (s->phase == PHASE_LINES && !s->leaving) {
		s->in_input = true;
		confab_frame(s, rest);
		s->in_input = false;
	}
	session_leave(s, WS_CLOSE_NORMAL, CLOSE_DONE);
	session_settle(s);
}

static void
on_drained(struct conn *conn)
{
	struct session *s = session_of(conn);

	s->out_full = false;
	if (s->finishing)
		return;
	if (s->peer != NULL)
		peer_drained(s->peer);
	session_settle(s);
}

/* Whether a login, or over HTTP a request, is still waited for. */
static bool
login_is_due(const struct session *s)
{
	return !s->blocked && !s->waiting && (s->peer == NULL || !peer_logged_in(s->peer));
}

static void
on_deadline(struct conn *conn)
{
	struct session *s = session_of(conn);
	const struct gate_config *config = &s->gate->config;
	uint64_t now = now_ms(s), due = conn_last_input_ms(conn) + config->idle_ms;

	if (s->finishing)
		return;
	if (s->held) {
		s->held = false;
		session_settle(s);
		if (s->finishing)
			return;
	}
	if (login_is_due(s)) {
		due = s->since_ms + config->login_ms;
		if (now >= due) {
			session_finish(s, WS_CLOSE_POLICY, CLOSE_LOGIN);
			return;
		}
	} else if (s->paused) {
		/* It is we who do not read. */
		due = now + config->idle_ms;
	} else if (now >= due) {
		/* Its machine may only have slept: whoever wakes up may come back. */
		session_goaway(s, GOAWAY_IDLE, IDLE_RECONNECT_MS);
		return;
	}
	conn_set_deadline(conn, due);
}

static void
on_closed(struct conn *conn, enum close_reason reason)
{
	struct session *s = session_of(conn);

	log_debug("gate", "closed", "conn=%" PRIx64 " reason=%s", conn_id(conn),
	    close_reason_name(reason));
	session_leave_line(s);
	session_dismiss(s);
	peer_destroy(&s->peer);
	if (s->decoder != NULL)
		ws_decoder_fini(s->decoder);
	mem_free(s->decoder);
	if (s->phase == PHASE_WS)
		gauge_add(GAUGE_CONNS_WS, -1);
	s->magic = 0;
	mem_free(s);
}

static const struct conn_ops ops = {
    .input = on_input,
    .eof = on_eof,
    .drained = on_drained,
    .deadline = on_deadline,
    .closed = on_closed,
};

void
gate_opened(struct conn *conn)
{
	const struct listener_options *options = listener_options(conn_listener(conn));
	struct gate *const *gates = options->cookie;
	struct gate *gate = gates[reactor_index(conn_reactor(conn))];
	struct session *s = mem_zalloc(sizeof(*s));
	struct sockaddr_storage address;

	OBJ_CHECK(gate, GATE_MAGIC);
	s->magic = SESSION_MAGIC;
	s->gate = gate;
	s->conn = conn;
	s->phase = options->proxy ? PHASE_PROXY : PHASE_DETECT;
	conn_set_cookie(conn, s);
	conn_set_ops(conn, &ops);
	session_await(s);
	if (options->proxy && !cidr_any(gate->config.proxies, conn_address(conn, &address))) {
		stat_add(STAT_REFUSED_PROXY, 1);
		conn_close(conn, CLOSE_PROTOCOL);
	} else if (!options->proxy) {
		(void)session_admit(s);
	}
}

/* --- The way out of the shard --- */

static void
out_answer(void *out, const struct call_tag *tag, const struct answer *answer, size_t *ret_used)
{
	struct session *s = out;

	OBJ_CHECK(s, SESSION_MAGIC);
	confab_answer(s, tag, answer, ret_used);
}

/* One frame in the buffer, of `form`: the JSON from `start` on gets its header or line's end. */
static void
close_frame(struct buf *b, unsigned form, size_t start)
{
	char header[WS_HEADER_MAX];
	size_t payload = buf_len(b) - start, len;

	if (form == FORM_LINES) {
		buf_put(b, S("\n"));
		return;
	}
	len = ws_header(header, WS_OP_TEXT, payload);
	(void)buf_reserve(b, len);
	memmove(b->bytes + b->start + start + len, b->bytes + b->start + start, payload);
	memcpy(b->bytes + b->start + start, header, len);
	buf_grew(b, len);
}

static struct run *
out_encode(void *cookie, unsigned form, const struct event *event)
{
	struct gate *gate = cookie;
	struct run *run;

	OBJ_CHECK(gate, GATE_MAGIC);
	buf_clear(&gate->out);
	encode_event(&gate->out, event);
	close_frame(&gate->out, form, 0);
	run = run_copy(buf_slice(&gate->out));
	buf_clear(&gate->out);
	return run;
}

static struct run *
out_encode_entries(void *cookie, unsigned form, uint64_t cid, const struct conv_facts *facts,
    struct entry *const *entries, size_t count, uint32_t *ends)
{
	struct gate *gate = cookie;
	struct buf *out = &gate->out;
	struct run *run;

	OBJ_CHECK(gate, GATE_MAGIC);
	assert(count > 0);
	buf_clear(out);
	for (size_t i = 0; i < count; i++) {
		size_t start = buf_len(out);
		encode_entry(out, cid, facts, entries[i]);
		close_frame(out, form, start);
		ends[i] = (uint32_t)buf_len(out);
	}
	run = run_copy(buf_slice(out));
	buf_clear(out);
	trim(out);
	return run;
}

static enum chat_queued
out_queue(void *out, struct run *run, uint32_t offset, uint32_t len, bool must)
{
	struct session *s = out;

	OBJ_CHECK(s, SESSION_MAGIC);
	if (s->finishing)
		return must ? CHAT_QUEUED : CHAT_FULL;
	if (conn_queue(s->conn, run, offset, len, must ? ON_FULL_KEEP : ON_FULL_REFUSE) == QUEUED)
		return CHAT_QUEUED;
	if (must)
		return CHAT_QUEUED;
	/* A slow reader is not read from either, until it has drained. */
	s->out_full = true;
	session_settle(s);
	return CHAT_FULL;
}

static void
out_goaway(void *out, enum goaway reason, uint32_t reconnect_ms)
{
	struct session *s = out;

	OBJ_CHECK(s, SESSION_MAGIC);
	session_goaway(s, reason, reconnect_ms);
}

void
gate_chat_out(struct gate *gate, struct chat_out *ret_out)
{
	OBJ_CHECK(gate, GATE_MAGIC);
	*ret_out = (struct chat_out){
	    .answer = out_answer,
	    .encode = out_encode,
	    .encode_entries = out_encode_entries,
	    .queue = out_queue,
	    .goaway = out_goaway,
	    .gate = gate,
	};
}

/* --- The gate --- */

struct gate *
gate_create(struct reactor *reactor, const struct gate_config *config)
{
	struct gate *gate = mem_zalloc(sizeof(*gate));

	gate->magic = GATE_MAGIC;
	gate->reactor = reactor;
	gate_set_config(gate, config);
	return gate;
}

void
gate_destroy(struct gate **gate)
{
	if (*gate == NULL)
		return;
	OBJ_CHECK(*gate, GATE_MAGIC);
	decoder_fini(&(*gate)->decoder);
	buf_fini(&(*gate)->out);
	mem_free((*gate)->line.ids);
	(*gate)->magic = 0;
	mem_free(*gate);
	*gate = NULL;
}

void
gate_set_shard(struct gate *gate, struct shard *shard)
{
	OBJ_CHECK(gate, GATE_MAGIC);
	gate->shard = shard;
}

void
gate_goaway(struct gate *gate, uint32_t reconnect_ms)
{
	OBJ_CHECK(gate, GATE_MAGIC);
	gate->goaway_ms = reconnect_ms > 0 ? reconnect_ms : 1;
}

void
gate_set_config(struct gate *gate, const struct gate_config *config)
{
	OBJ_CHECK(gate, GATE_MAGIC);
	gate->config = *config;
	if (++gate->revision == 0)
		gate->revision = 1;
	gate->decoder.body = config->body;
	gate->decoder.data = config->data;
	gate->decoder.signal_data = config->signal_data;
	gate->decoder.conversations = config->conversations;
}
