/* SPDX-License-Identifier: MIT */
/*
 * The outbox: messages in the order they were given, sent again under their cmid until each has its
 * answer. Its files are {"created":MS,"params":{…}}; params is what goes to the server, so that a
 * later run sends exactly the same.
 */
#include "client/client.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/secret.h"
#include "client/inside.h"
#include "client/retry.h"
#include "wire/utf8.h"

/* What stands around params in a frame: id, method, braces. */
enum { FRAME_AROUND = 96, HOLD_FULL_MS = 50 };

static struct client_outgoing *
find(const struct client *c, slice cmid)
{
	for (struct list *at = c->outbox.next; at != &c->outbox; at = at->next) {
		struct client_outgoing *item = container_of(at, struct client_outgoing, all);

		if (slice_eq(slice_str(item->cmid), cmid))
			return item;
	}
	return NULL;
}

static void
drop(struct client *c, struct client_outgoing *item)
{
	list_remove(&item->all);
	c->outbox_count--;
	mem_free(item->params);
	mem_free(item);
}

/* Behind all that are not younger. */
static void
insert(struct client *c, struct client_outgoing *item)
{
	struct list *at = c->outbox.prev;

	while (at != &c->outbox &&
	       container_of(at, struct client_outgoing, all)->created_ms > item->created_ms)
		at = at->prev;
	item->all.next = at->next;
	item->all.prev = at;
	at->next->prev = &item->all;
	at->next = &item->all;
	c->outbox_count++;
}

/* --- Taking a message --- */

static bool
all_digits(slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len > 0 && s.len <= 15;
}

static bool
text_fine(slice text)
{
	return text.len == 0 || (utf8_valid(text) && memchr(text.ptr, '\0', text.len) == NULL);
}

static bool
message_fine(const struct client_message *m)
{
	struct json data;

	if (slice_given(m->data) && (!json_check(m->data, &data) || json_type(data) != JSON_OBJECT))
		return false;
	return text_fine(m->to) && text_fine(m->body) && text_fine(m->kind) &&
	       (!slice_given(m->cmid) || cmid_plain(m->cmid));
}

static void
put_params(struct buf *to, const struct client_message *m, const char *cmid)
{
	buf_put(to, S("{"));
	if (all_digits(m->to))
		json_raw(to, "to", m->to);
	else
		json_str(to, "to", m->to);
	json_str(to, "cmid", slice_str(cmid));
	if (slice_given(m->kind))
		json_str(to, "kind", m->kind);
	if (m->re != 0)
		json_uint(to, "re", m->re);
	json_str(to, "body", slice_given(m->body) ? m->body : S(""));
	if (slice_given(m->data))
		json_raw(to, "data", m->data);
	buf_put(to, S("}"));
}

static int
keep(struct client *c, const struct client_outgoing *item)
{
	struct buf file = {0};
	int rc;

	if (c->vault == NULL)
		return 0;
	buf_put(&file, S("{"));
	json_uint(&file, "created", item->created_ms);
	json_raw(&file, "params", slice_str(item->params));
	buf_put(&file, S("}\n"));
	rc = vault_outbox_put(c->vault, slice_str(item->cmid), buf_slice(&file));
	buf_fini(&file);
	if (rc < 0)
		errno = -rc;
	return rc < 0 ? CLIENT_NOT_KEPT : 0;
}

static struct client_outgoing *
outgoing_create(struct client *c, const struct client_message *m)
{
	struct client_outgoing *item = mem_zalloc(sizeof(*item));
	struct buf params = {0};

	item->created_ms = clock_real_ms();
	if (slice_given(m->cmid))
		(void)snprintf(item->cmid, sizeof(item->cmid), "%.*s", SLICE_ARG(m->cmid));
	else
		cmid_make(&c->cmids, item->created_ms, item->cmid);
	put_params(&params, m, item->cmid);
	item->params = mem_dup(buf_slice(&params));
	buf_fini(&params);
	return item;
}

int
client_send(struct client *c, const struct client_message *m, char ret_cmid[CMID_MAX + 1])
{
	struct client_outgoing *item;
	int rc = 0;

	OBJ_CHECK(c, CLIENT_MAGIC);
	if (!message_fine(m))
		return CLIENT_BAD_TEXT;
	if (c->outbox_count >= VAULT_OUTBOX_MAX)
		return CLIENT_FULL;
	if (slice_given(m->cmid) && (item = find(c, m->cmid)) != NULL) {
		/* It waits already, from an earlier run: what came of it is told as of this one's.
		 */
		item->earlier = false;
		memcpy(ret_cmid, item->cmid, sizeof(item->cmid));
		return 0;
	}
	item = outgoing_create(c, m);
	if (strlen(item->params) + FRAME_AROUND > c->frame_max)
		rc = CLIENT_TOO_LARGE;
	if (rc == 0)
		rc = keep(c, item);
	if (rc < 0) {
		mem_free(item->params);
		mem_free(item);
		return rc;
	}
	memcpy(ret_cmid, item->cmid, sizeof(item->cmid));
	insert(c, item);
	c->counts.sends++;
	if (!c->stepping && c->state == CLIENT_READY)
		client_sends_flush(c);
	return 0;
}

size_t
client_unsent(const struct client *c)
{
	return c->outbox_count;
}

/* --- What an earlier run, or another process, left --- */

static void
load_one(slice cmid, slice text, void *cookie)
{
	struct client *c = cookie;
	struct client_outgoing *item;
	struct json file, params, named;

	OBJ_CHECK(c, CLIENT_MAGIC);
	if (c->outbox_count >= VAULT_OUTBOX_MAX || find(c, cmid) != NULL)
		return;
	if (!json_check(text, &file) || json_type(file) != JSON_OBJECT)
		return;
	params = inbound_member(file, S("params"), JSON_OBJECT);
	named = inbound_member(params, S("cmid"), JSON_STRING);
	if (!slice_given(named.text) || !json_string_is(named, cmid) ||
	    params.text.len + FRAME_AROUND > c->frame_max)
		return;
	item = mem_zalloc(sizeof(*item));
	(void)snprintf(item->cmid, sizeof(item->cmid), "%.*s", SLICE_ARG(cmid));
	item->created_ms = inbound_uint(file, S("created"), 0);
	item->params = mem_dup(params.text);
	item->earlier = true;
	insert(c, item);
}

void
client_sends_load(struct client *c)
{
	(void)vault_outbox_load(c->vault, load_one, c);
}

void
client_sends_revive(struct client *c)
{
	if (c->vault != NULL && vault_outbox_revive(c->vault, clock_real_ms()) > 0)
		client_sends_load(c);
}

/* --- Sending --- */

/* The message belongs to the session, not to this one: it waits for the next. */
static bool
of_the_session(const struct client_error *error)
{
	return slice_eq(error->name, S("session_revoked")) ||
	       slice_eq(error->name, S("not_logged_in"));
}

static void
settled(struct client *c, struct client_outgoing *item, const struct client_answer *answer)
{
	const struct client_hooks *hooks = c->config.hooks;
	struct client_sent sent = {
	    .cmid = slice_str(item->cmid), .earlier = item->earlier, .error = answer->error};
	struct buf scratch = {0};
	struct json params, to;

	if (answer->error == NULL) {
		sent.raw = answer->result;
		sent.cid = inbound_uint(answer->result, S("cid"), 0);
		sent.seq = inbound_uint(answer->result, S("seq"), 0);
		sent.ts_ms = inbound_uint(answer->result, S("ts"), 0);
		sent.dup = inbound_true(answer->result, S("dup"));
	}
	if (c->vault != NULL && answer->error == NULL)
		vault_outbox_sent(c->vault, sent.cmid);
	else if (c->vault != NULL)
		vault_outbox_drop(c->vault, sent.cmid);
	if (json_check(slice_str(item->params), &params)) {
		to = json_member(params, S("to"));
		sent.to = slice_given(to.text) && json_type(to) == JSON_STRING
			      ? json_string(to, &scratch)
			      : to.text;
	}
	/* The hook may send another message: this one is out of the list before. */
	list_remove(&item->all);
	c->outbox_count--;
	if (hooks->sent != NULL)
		hooks->sent(c, &sent, c->config.cookie);
	buf_fini(&scratch);
	mem_free(item->params);
	mem_free(item);
}

static void
hold(struct client *c, uint64_t asked_ms)
{
	uint32_t random;

	random_bytes(&random, sizeof(random));
	c->sends_refused++;
	c->sends_hold_ms = c->now_ms + retry_delay_ms(c->sends_refused, random, asked_ms);
}

static void
send_answered(struct client *c, const struct client_answer *answer, void *cookie)
{
	struct client_outgoing *item = cookie;

	assert(item->call != 0 && c->sends_flying > 0);
	item->call = 0;
	c->sends_flying--;
	if (answer->error != NULL && answer->error->code == 0)
		return; /* the connection is lost: again on the next one */
	if (answer->error != NULL && of_the_session(answer->error)) {
		client_fail(c, answer->error->message, 0);
		return;
	}
	if (answer->error != NULL && answer->error->retry) {
		hold(c, answer->error->retry_after_ms);
		return;
	}
	c->sends_refused = 0;
	settled(c, item, answer);
}

/* The next one that is not in flight, or NULL. */
static struct client_outgoing *
next_idle(const struct client *c)
{
	for (struct list *at = c->outbox.next; at != &c->outbox; at = at->next) {
		struct client_outgoing *item = container_of(at, struct client_outgoing, all);

		if (item->call == 0)
			return item;
	}
	return NULL;
}

/* The server's limit is lower than what was allowed when the message was taken. */
static void
refuse_too_large(struct client *c, struct client_outgoing *item)
{
	static const struct client_error too_large = {.code = 1016,
	    .name = {"too_large", 9},
	    .message = {"this is longer than the server takes", 36}};
	const struct client_answer answer = {.error = &too_large};

	settled(c, item, &answer);
}

void
client_sends_flush(struct client *c)
{
	struct client_outgoing *item;

	if (c->leave_at_ms != 0 || c->now_ms < c->sends_hold_ms)
		return;
	while (
	    !c->closing && c->sends_flying < c->config.sends_max && (item = next_idle(c)) != NULL) {
		int rc = client_request(
		    c, "send", slice_str(item->params), send_answered, item, &item->call);

		if (rc == CLIENT_TOO_LARGE) {
			refuse_too_large(c, item);
			continue;
		}
		if (rc < 0) {
			c->sends_hold_ms = c->now_ms + HOLD_FULL_MS;
			return;
		}
		c->sends_flying++;
		c->counts.resends += item->tried;
		item->tried = true;
	}
}

uint64_t
client_sends_deadline(const struct client *c)
{
	bool idle = c->sends_flying < c->config.sends_max && c->sends_flying < c->outbox_count;

	if (!idle || c->leave_at_ms != 0)
		return UINT64_MAX;
	return c->sends_hold_ms;
}

void
client_sends_fini(struct client *c)
{
	while (!list_empty(&c->outbox))
		drop(c, container_of(c->outbox.next, struct client_outgoing, all));
}
