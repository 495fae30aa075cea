/* SPDX-License-Identifier: MIT */
/*
 * The life of the connection: connecting, waiting, timers, frames in and out, requests and their
 * answers. Handlers only mark a connection as closing; client_drop() at the end of a step is the
 * one place that ends it.
 */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "client/inside.h"
#include "client/retry.h"
#include "wire/lines.h"

enum { READ_BYTES = 32 * 1024, STEP_BYTES = 512 * 1024 };

struct client *
client_create(const struct client_config *config)
{
	struct client *c = mem_zalloc(sizeof(*c));

	c->magic = CLIENT_MAGIC;
	c->config = *config;
	c->config.device = slice_given(config->device)
			       ? slice_of(mem_dup(config->device), config->device.len)
			       : SLICE_NONE;
	assert(config->sends_max > 0 && config->sends_max < CLIENT_CALLS_MAX);
	c->frame_max = CLIENT_FRAME_OUT_MAX;
	link_init(&c->link);
	list_init(&c->calls);
	list_init(&c->convs);
	list_init(&c->outbox);
	return c;
}

static void
calls_forget(struct client *c)
{
	for (struct list *at; (at = list_pop(&c->calls)) != NULL;)
		mem_free(container_of(at, struct client_call, all));
	map_fini(&c->calls_by_id);
}

static void
wipe(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	mem_free(secret);
}

void
client_destroy(struct client **client)
{
	struct client *c = *client;

	if (c == NULL)
		return;
	OBJ_CHECK(c, CLIENT_MAGIC);
	assert(!c->stepping);
	client_stream_save(c);
	calls_forget(c);
	client_stream_fini(c);
	client_sends_fini(c);
	client_login_forget(c);
	link_fini(&c->link);
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->scratch);
	wipe(c->token);
	mem_free(c->user);
	mem_free(c->epoch);
	mem_free((char *)(uintptr_t)c->config.device.ptr);
	mem_free(c);
	*client = NULL;
}

void
client_set_state(struct client *c, enum client_state state)
{
	if (c->state == state)
		return;
	c->state = state;
	if (c->config.hooks->state != NULL)
		c->config.hooks->state(c, state, c->config.cookie);
}

void
client_set_trouble(struct client *c, slice why)
{
	(void)snprintf(c->trouble, sizeof(c->trouble), "%.*s", SLICE_ARG(why));
}

void
client_fail(struct client *c, slice why, uint64_t asked_ms)
{
	if (c->closing)
		return;
	c->closing = true;
	if (asked_ms > c->asked_ms)
		c->asked_ms = asked_ms;
	client_set_trouble(c, why);
}

int
client_use_vault(struct client *c, struct vault *vault)
{
	struct buf token = {0};
	int rc;

	assert(c->vault == NULL && (c->state == CLIENT_OFFLINE || c->state == CLIENT_LOGIN_NEEDED));
	rc = vault_token_load(vault, &token);
	if (rc < 0 && rc != -ENOENT) {
		buf_fini(&token);
		return rc;
	}
	c->vault = vault;
	if (rc == 0)
		client_use_token(c, buf_slice(&token));
	if (token.bytes != NULL)
		explicit_bzero(token.bytes, token.capacity);
	buf_fini(&token);
	client_stream_load(c);
	client_sends_load(c);
	vault_outbox_tidy(vault, clock_real_ms());
	return 0;
}

void
client_use_token(struct client *c, slice token)
{
	wipe(c->token);
	c->token = mem_dup(token);
}

void
client_forget_token(struct client *c)
{
	if (c->token == NULL)
		return;
	if (c->vault != NULL)
		(void)vault_token_drop(c->vault, slice_str(c->token));
	wipe(c->token);
	c->token = NULL;
}

/* --- Connecting and ending --- */

static void
wait_for_retry(struct client *c, bool failure, uint64_t asked_ms)
{
	uint32_t random;

	random_bytes(&random, sizeof(random));
	if (failure)
		c->failures++;
	c->retry_at_ms = c->now_ms + (failure ? retry_delay_ms(c->failures, random, asked_ms)
					      : retry_delay_ms(1, 0, asked_ms));
	client_set_state(c, CLIENT_WAITING);
}

static void
link_is_open(struct client *c)
{
	c->heard_ms = c->sent_ms = c->pinged_ms = c->now_ms;
	c->counts.connects++;
	client_login_begin(c);
}

static void
connect_begin(struct client *c)
{
	int rc;

	client_set_state(c, CLIENT_CONNECTING);
	if (c->state != CLIENT_CONNECTING) /* the hook stopped it */
		return;
	if (c->config.dial != NULL) {
		rc = c->config.dial(c->config.cookie);
		if (rc >= 0)
			link_adopt(&c->link, rc);
	} else {
		rc = link_open(&c->link, &c->config.server, c->now_ms);
	}
	if (rc < 0) {
		client_set_trouble(c, slice_str(c->link.trouble));
		wait_for_retry(c, true, 0);
	}
}

void
client_start(struct client *c, uint64_t now_ms)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	c->now_ms = now_ms;
	c->trouble[0] = '\0';
	if (c->state == CLIENT_OFFLINE || c->state == CLIENT_WAITING)
		connect_begin(c);
}

/* The answers that will not come any more. */
static void
calls_lost(struct client *c)
{
	static const struct client_error lost = {.name = {"connection_lost", 15},
	    .message = {"the connection was lost", 23},
	    .retry = true};
	const struct client_answer answer = {.error = &lost};
	struct list gone;

	/* Those that an answer's function adds are not of this connection: they are refused, as it
	 * is closed. */
	list_init(&gone);
	for (struct list *at; (at = list_pop(&c->calls)) != NULL;)
		list_push_back(&gone, at);
	map_fini(&c->calls_by_id);
	for (struct list *at; (at = list_pop(&gone)) != NULL;) {
		struct client_call *call = container_of(at, struct client_call, all);

		if (call->answered != NULL)
			call->answered(c, &answer, call->cookie);
		mem_free(call);
	}
}

static void
close_link(struct client *c)
{
	link_close(&c->link);
	buf_fini(&c->in);
	buf_fini(&c->out);
	c->more_input = false;
	c->leave_at_ms = 0;
	client_stream_lost(c);
	calls_lost(c);
}

/* The only place that ends a connection by itself. */
static void
client_drop(struct client *c)
{
	bool steady = c->state == CLIENT_READY && c->now_ms - c->ready_since_ms >= CLIENT_STEADY_MS;
	bool polite = c->polite, idle = c->state == CLIENT_LOGIN_NEEDED;
	bool token_void = c->token_void, no_return = c->no_return;
	uint64_t asked_ms = c->asked_ms;

	if (steady || polite)
		c->failures = 0;
	close_link(c);
	c->closing = c->polite = c->token_void = c->no_return = false;
	c->asked_ms = 0;
	if (c->state == CLIENT_OFFLINE)
		return;
	if (token_void) {
		client_session_void(c);
	} else if (no_return) {
		client_set_state(c, CLIENT_OFFLINE);
	} else if (!idle) {
		wait_for_retry(c, !polite, asked_ms);
	}
}

void
client_stop(struct client *c)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	if (c->link.state == LINK_OPEN)
		(void)link_write(&c->link, buf_slice(&c->out));
	client_stream_save(c);
	client_set_state(c, CLIENT_OFFLINE);
	if (c->stepping)
		client_fail(c, S("stopped"), 0);
	else
		close_link(c);
	c->trouble[0] = '\0';
}

/* --- Requests --- */

int
client_request(struct client *c, const char *method, slice params, client_answered *answered,
    void *cookie, uint64_t *ret_id)
{
	struct client_call *call;
	size_t before = buf_len(&c->out);

	if (c->link.state != LINK_OPEN || c->closing)
		return CLIENT_NOT_READY;
	if (c->calls_by_id.count >= CLIENT_CALLS_MAX || before >= CLIENT_OUT_MAX)
		return CLIENT_FULL;
	buf_printf(&c->out, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"%s\"",
	    (unsigned long long)(c->last_id + 1), method);
	if (slice_given(params))
		json_raw(&c->out, "params", params);
	buf_put(&c->out, S("}\n"));
	if (buf_len(&c->out) - before > c->frame_max) {
		c->out.end -= buf_len(&c->out) - before;
		return CLIENT_TOO_LARGE;
	}
	call = mem_zalloc(sizeof(*call));
	call->id = ++c->last_id;
	call->answered = answered;
	call->cookie = cookie;
	list_push_back(&c->calls, &call->all);
	map_put(&c->calls_by_id, call->id, call);
	if (ret_id != NULL)
		*ret_id = call->id;
	return 0;
}

int
client_call(
    struct client *c, const char *method, slice params, client_answered *answered, void *cookie)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	if (c->state != CLIENT_READY || c->leave_at_ms != 0)
		return CLIENT_NOT_READY;
	return client_request(c, method, params, answered, cookie, NULL);
}

static void
answer_arrived(struct client *c, const struct inbound *in)
{
	struct client_call *call = map_remove(&c->calls_by_id, in->id);
	struct client_answer answer = {.result = in->result};

	if (call == NULL) {
		/* To no request that could be told: the server did not understand a line of ours.
		 */
		if (in->kind == INBOUND_ERROR && in->id == 0)
			client_set_trouble(c, in->error.message);
		return;
	}
	if (in->kind == INBOUND_ERROR) {
		answer.error = &in->error;
		if (slice_eq(in->error.name, S("session_revoked")))
			c->token_void = true;
	}
	list_remove(&call->all);
	if (call->answered != NULL)
		call->answered(c, &answer, call->cookie);
	mem_free(call);
	if (c->token_void)
		client_fail(c, in->error.message, 0);
}

/* --- Frames --- */

static void
goaway_arrived(struct client *c, const struct inbound *in)
{
	slice reason = inbound_text(in->params, S("reason"), &c->scratch);
	uint64_t asked_ms = inbound_uint(in->params, S("reconnect_ms"), UINT64_MAX);

	c->leave_at_ms = c->now_ms + CLIENT_LEAVE_MS;
	c->polite = asked_ms != UINT64_MAX;
	c->no_return = !c->polite;
	c->asked_ms = c->polite ? asked_ms : 0;
	if (slice_eq(reason, S("session_revoked")))
		c->token_void = true;
	(void)snprintf(c->trouble, sizeof(c->trouble), "the server ended the connection (%.*s)",
	    SLICE_ARG(reason));
	if (c->config.hooks->goaway != NULL)
		c->config.hooks->goaway(
		    c, reason, c->polite ? (int64_t)asked_ms : -1, c->config.cookie);
}

static void
line_arrived(struct client *c, slice line)
{
	struct inbound in;

	if (line.len == 0)
		return;
	if (!inbound_parse(line, &c->scratch, &in)) {
		client_fail(
		    c, S("this is no confab server: it said something else than JSON-RPC"), 0);
		return;
	}
	if (in.kind != INBOUND_NOTICE)
		answer_arrived(c, &in);
	else if (slice_eq(in.method, S("goaway")))
		goaway_arrived(c, &in);
	else if (!client_stream_notice(c, &in) && c->config.hooks->other != NULL)
		c->config.hooks->other(c, in.method, in.params, c->config.cookie);
}

static void
lines_arrived(struct client *c)
{
	slice line;
	int used = 0;

	while (
	    !c->closing && (used = lines_next(buf_slice(&c->in), CLIENT_FRAME_IN_MAX, &line)) > 0) {
		line_arrived(c, line);
		buf_consume(&c->in, (size_t)used);
	}
	if (used < 0)
		client_fail(c, S("this is no confab server: its line is too long"), 0);
}

/* The end came from below: after a goaway it was announced, and what that said holds. */
static void
link_ended(struct client *c)
{
	if (c->leave_at_ms != 0)
		c->closing = true;
	else
		client_fail(c, slice_str(c->link.trouble), 0);
}

static void
read_some(struct client *c)
{
	size_t total = 0;
	ssize_t n = 1;

	while (!c->closing && total < STEP_BYTES) {
		n = link_read(&c->link, buf_reserve(&c->in, READ_BYTES), READ_BYTES);
		if (n <= 0)
			break;
		buf_grew(&c->in, (size_t)n);
		total += (size_t)n;
		c->heard_ms = c->now_ms;
		lines_arrived(c);
	}
	c->more_input = n > 0 && !c->closing;
	if (n < 0)
		link_ended(c);
	if (buf_len(&c->in) == 0)
		buf_fini(&c->in);
}

static void
write_some(struct client *c)
{
	ssize_t n = 1;

	while (!c->closing && n > 0 && buf_len(&c->out) > 0) {
		n = link_write(&c->link, buf_slice(&c->out));
		if (n > 0) {
			buf_consume(&c->out, (size_t)n);
			c->sent_ms = c->now_ms;
		}
	}
	if (n < 0)
		link_ended(c);
	if (buf_len(&c->out) > 0 || c->out.bytes == NULL)
		return;
	if (c->state == CLIENT_LOGGING_IN) /* a password or token was in it */
		explicit_bzero(c->out.bytes, c->out.capacity);
	buf_fini(&c->out);
}

/* --- Time --- */

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
ping_at(const struct client *c)
{
	uint64_t heard = c->heard_ms > c->pinged_ms ? c->heard_ms : c->pinged_ms;

	return earlier(c->sent_ms, heard) + CLIENT_PING_MS;
}

static struct client_call *
oldest_call(const struct client *c)
{
	return list_empty(&c->calls) ? NULL : container_of(c->calls.next, struct client_call, all);
}

/* A request may have been made long after the last step: its time begins with the step that
 * follows. */
static void
start_clocks(struct client *c)
{
	for (struct list *at = c->calls.prev; at != &c->calls; at = at->prev) {
		struct client_call *call = container_of(at, struct client_call, all);

		if (call->give_up_ms != 0)
			return;
		call->give_up_ms = c->now_ms + CLIENT_ANSWER_MS;
	}
}

static void
timers(struct client *c)
{
	const struct client_call *oldest;

	start_clocks(c);
	oldest = oldest_call(c);
	if (c->leave_at_ms != 0 && c->now_ms >= c->leave_at_ms) {
		c->closing = true;
	} else if (c->now_ms >= c->heard_ms + CLIENT_DEAD_MS) {
		client_fail(c, S("nothing came from the server for a minute"), 0);
	} else if (oldest != NULL && c->now_ms >= oldest->give_up_ms) {
		client_fail(c, S("the server does not answer"), 0);
	} else if (c->state == CLIENT_READY && c->now_ms >= ping_at(c)) {
		c->pinged_ms = c->sent_ms = c->now_ms;
		(void)client_request(c, "ping", SLICE_NONE, NULL, NULL, NULL);
	}
}

uint64_t
client_deadline(const struct client *c)
{
	uint64_t at = UINT64_MAX;

	OBJ_CHECK(c, CLIENT_MAGIC);
	if (c->cursors_dirty && c->vault != NULL && vault_locked(c->vault))
		at = c->saved_ms + CLIENT_SAVE_MS;
	if (c->state == CLIENT_WAITING)
		return earlier(at, c->retry_at_ms);
	if (c->link.state == LINK_CLOSED)
		return at;
	if (c->more_input || c->closing)
		return 0;
	if (c->link.state != LINK_OPEN)
		return earlier(at, c->link.give_up_ms);
	if (c->state == CLIENT_CONNECTING)
		return 0; /* adopted: the login has not begun */
	at = earlier(at, c->heard_ms + CLIENT_DEAD_MS);
	if (c->leave_at_ms != 0)
		at = earlier(at, c->leave_at_ms);
	if (oldest_call(c) != NULL) {
		uint64_t give_up_ms = oldest_call(c)->give_up_ms;

		at = earlier(at, give_up_ms != 0 ? give_up_ms : c->now_ms + CLIENT_ANSWER_MS);
	}
	if (c->state == CLIENT_READY) {
		at = earlier(at, ping_at(c));
		at = earlier(at, client_sends_deadline(c));
		if (c->marks_at_ms != 0)
			at = earlier(at, c->marks_at_ms);
	}
	return at;
}

/* --- The step --- */

static void
step_connecting(struct client *c)
{
	int rc = c->link.state == LINK_OPEN ? 1 : link_step(&c->link, c->now_ms);

	if (rc > 0) {
		link_is_open(c);
	} else if (rc < 0) {
		client_set_trouble(c, slice_str(c->link.trouble));
		wait_for_retry(c, true, 0);
	}
}

static void
step_open(struct client *c)
{
	read_some(c);
	if (!c->closing)
		timers(c);
	if (!c->closing && c->state == CLIENT_READY) {
		client_sends_flush(c);
		client_stream_marks(c);
	}
	write_some(c);
}

void
client_step(struct client *c, uint64_t now_ms)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	assert(!c->stepping);
	c->stepping = true;
	if (now_ms > c->now_ms)
		c->now_ms = now_ms;
	if (c->state == CLIENT_WAITING && c->now_ms >= c->retry_at_ms)
		connect_begin(c);
	if (c->state == CLIENT_CONNECTING)
		step_connecting(c);
	if (c->link.state == LINK_OPEN)
		step_open(c);
	if (c->closing)
		client_drop(c);
	if (c->cursors_dirty && c->now_ms >= c->saved_ms + CLIENT_SAVE_MS)
		client_stream_save(c);
	c->stepping = false;
}

int
client_fd(const struct client *c)
{
	return c->link.fd;
}

short
client_wants(const struct client *c)
{
	return c->link.fd < 0 ? 0 : link_wants(&c->link, buf_len(&c->out) > 0);
}

enum client_state
client_state(const struct client *c)
{
	return c->state;
}

const char *
client_trouble(const struct client *c)
{
	return c->state == CLIENT_READY ? "" : c->trouble;
}

slice
client_user(const struct client *c)
{
	return c->user != NULL ? slice_str(c->user) : S("");
}

slice
client_token(const struct client *c)
{
	return c->token != NULL ? slice_str(c->token) : SLICE_NONE;
}

bool
client_idle(const struct client *c)
{
	return c->outbox_count == 0 && c->marks_at_ms == 0 && list_empty(&c->calls);
}

void
client_hurry(struct client *c)
{
	if (c->marks_at_ms != 0)
		c->marks_at_ms = 1;
}

void
client_counts(const struct client *c, struct client_counts *ret_counts)
{
	*ret_counts = c->counts;
}
