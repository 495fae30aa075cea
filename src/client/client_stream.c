/* SPDX-License-Identifier: MIT */
/*
 * The place in every conversation.  The cursor follows the stream; `kept` follows what the owner
 * has dealt with and never jumps over what he has not; only that goes to disk.
 */
#include "client/client.h"

#include <stdio.h>

#include "base/mem.h"
#include "client/inside.h"

enum { MARKS_AT_ONCE = 32 };

/* NULL if there are too many: the connection ends. */
static struct client_conv *
conv_get(struct client *c, uint64_t cid)
{
	struct client_conv *conv = map_get(&c->convs_by_cid, cid);

	if (conv != NULL)
		return conv;
	if (c->convs_by_cid.count >= CLIENT_CONVS_MAX) {
		client_fail(c, S("the server names more conversations than there can be"), 0);
		return NULL;
	}
	conv = mem_zalloc(sizeof(*conv));
	conv->cid = cid;
	map_put(&c->convs_by_cid, cid, conv);
	list_push_back(&c->convs, &conv->all);
	return conv;
}

static void
conv_forget(struct client *c, struct client_conv *conv)
{
	if (conv->stored)
		c->cursors_dirty = true;
	(void)map_remove(&c->convs_by_cid, conv->cid);
	list_remove(&conv->all);
	mem_free(conv);
}

static void
convs_forget(struct client *c)
{
	while (!list_empty(&c->convs))
		conv_forget(c, container_of(c->convs.next, struct client_conv, all));
}

/* Nothing that begins at `from` is missing up to `to` any more. */
static void
advance(struct client *c, struct client_conv *conv, uint64_t from, uint64_t to, bool dealt_with)
{
	if (dealt_with && conv->kept + 1 >= from && to > conv->kept) {
		conv->kept = to;
		conv->stored = true;
		c->cursors_dirty = true;
	}
	conv->cursor = to;
	if (conv->head < to)
		conv->head = to;
}

static void
skip(struct client *c, struct client_conv *conv, uint64_t to, bool gone)
{
	uint64_t from = conv->cursor + 1;
	bool dealt_with = true;

	if (to < from)
		return;
	c->counts.gaps++;
	if (c->config.hooks->gap != NULL)
		dealt_with = c->config.hooks->gap(c, conv->cid, from, to, gone, c->config.cookie);
	advance(c, conv, from, to, dealt_with);
}

/* A conversation that one has left ends where all of it has come. */
static void
maybe_over(struct client *c, struct client_conv *conv)
{
	if (conv->left && conv->cursor >= conv->head && (!conv->stored || conv->kept >= conv->head))
		conv_forget(c, conv);
}

/* --- Sync --- */

void
client_stream_put_sync(struct client *c, struct buf *to)
{
	buf_put(to, S("{"));
	if (c->epoch != NULL)
		json_str(to, "epoch", slice_str(c->epoch));
	if (c->epoch != NULL && c->convs_by_cid.count > 0) {
		json_key(to, "cursors");
		buf_put(to, S("{"));
		for (struct list *at = c->convs.next; at != &c->convs; at = at->next) {
			const struct client_conv *conv = container_of(at, struct client_conv, all);
			char key[24];

			(void)snprintf(key, sizeof(key), "%llu", (unsigned long long)conv->cid);
			if (conv->known && buf_len(to) < CLIENT_CURSORS_MAX)
				json_uint(to, key, conv->cursor);
		}
		buf_put(to, S("}"));
	}
	json_uint(to, "backlog", c->config.backlog);
	buf_put(to, S("}"));
}

static void
conversation_arrived(struct client *c, struct json object)
{
	struct client_conversation told;
	struct client_conv *conv;

	if (!inbound_conversation(object, &c->scratch, &told))
		return;
	if (slice_eq(told.change, S("removed"))) {
		if (c->config.hooks->conversation != NULL)
			c->config.hooks->conversation(c, &told, c->config.cookie);
		conv = map_get(&c->convs_by_cid, told.cid);
		if (conv != NULL)
			conv_forget(c, conv);
		return;
	}
	conv = conv_get(c, told.cid);
	if (conv == NULL)
		return;
	if (!slice_given(told.change) || slice_eq(told.change, S("listed")))
		c->listed++;
	if (c->config.hooks->conversation != NULL)
		c->config.hooks->conversation(c, &told, c->config.cookie);
	conv->head = told.head;
	conv->left = slice_eq(told.role, S("none"));
	if (told.next == 0)
		told.next = told.head + 1;
	if (!conv->known) {
		conv->known = true;
		conv->cursor = conv->kept = told.next - 1;
	} else {
		skip(c, conv, told.next - 1, true);
	}
	maybe_over(c, conv);
}

static void
gone_arrived(struct client *c, struct json gone)
{
	struct json_iter it;
	struct json cid;
	int64_t number;

	if (!slice_given(gone.text) || json_type(gone) != JSON_ARRAY)
		return;
	json_iter_init(&it, gone);
	while (json_next_element(&it, &cid)) {
		struct client_conv *conv = NULL;

		if (json_type(cid) == JSON_NUMBER && json_integer(cid, &number) && number > 0)
			conv = map_get(&c->convs_by_cid, (uint64_t)number);
		if (conv != NULL)
			conv_forget(c, conv);
	}
}

static void
epoch_becomes(struct client *c, slice epoch, bool reset)
{
	if (reset) {
		c->counts.resets++;
		convs_forget(c);
		client_sends_revive(c);
	}
	if (slice_given(epoch) && (c->epoch == NULL || !slice_eq(slice_str(c->epoch), epoch))) {
		mem_free(c->epoch);
		c->epoch = mem_dup(epoch);
		c->cursors_dirty = true;
	}
	if (reset && c->config.hooks->reset != NULL)
		c->config.hooks->reset(c, c->config.cookie);
}

void
client_stream_epoch(struct client *c, struct json result)
{
	slice epoch = inbound_text(result, S("epoch"), &c->scratch);
	bool same = c->epoch != NULL && slice_eq(slice_str(c->epoch), epoch), held;

	if (!slice_given(epoch) || same || c->vault == NULL)
		return;
	/* Another process that holds the place sees the change itself. */
	held = vault_locked(c->vault);
	if (vault_lock(c->vault) < 0)
		return;
	epoch_becomes(c, epoch, c->epoch != NULL);
	client_stream_save(c);
	if (!held)
		vault_unlock(c->vault);
}

void
client_stream_synced(struct client *c, struct json result)
{
	struct json conversations, one;
	struct json_iter it;

	if (!slice_given(result.text) || json_type(result) != JSON_OBJECT) {
		client_fail(c, S("the server's answer to sync makes no sense"), 0);
		return;
	}
	c->synced = true;
	c->listed = 0;
	c->total = inbound_uint(result, S("total"), 0);
	epoch_becomes(
	    c, inbound_text(result, S("epoch"), &c->scratch), inbound_true(result, S("reset")));
	gone_arrived(c, json_member(result, S("gone")));
	conversations = json_member(result, S("conversations"));
	if (!slice_given(conversations.text) || json_type(conversations) != JSON_ARRAY)
		return;
	json_iter_init(&it, conversations);
	while (!c->closing && json_next_element(&it, &one))
		conversation_arrived(c, one);
}

/* --- The stream --- */

static void
entry_arrived(struct client *c, struct json params)
{
	struct client_entry entry;
	struct client_conv *conv;
	bool dealt_with = true;

	if (!inbound_entry(params, &c->scratch, &entry)) {
		client_fail(c, S("a message of the server makes no sense"), 0);
		return;
	}
	conv = conv_get(c, entry.cid);
	if (conv == NULL)
		return;
	if (!conv->known) {
		conv->known = true;
		conv->cursor = conv->kept = entry.seq - 1;
	}
	if (entry.seq <= conv->cursor) {
		c->counts.duplicates++;
		return;
	}
	if (entry.seq != conv->cursor + 1) {
		/* Nothing may be missing without a word: asked again with our cursor, the server
		 * must tell. */
		c->counts.holes++;
		client_fail(c, S("the server left something out"), 0);
		return;
	}
	c->counts.entries++;
	if (c->config.hooks->entry != NULL)
		dealt_with = c->config.hooks->entry(c, &entry, c->config.cookie);
	advance(c, conv, entry.seq, entry.seq, dealt_with);
	maybe_over(c, conv);
}

static void
gap_arrived(struct client *c, struct json params)
{
	uint64_t cid = inbound_uint(params, S("cid"), 0), from = inbound_uint(params, S("from"), 0),
		 to = inbound_uint(params, S("to"), 0);
	struct client_conv *conv;

	if (cid == 0 || from == 0 || to < from)
		return;
	conv = conv_get(c, cid);
	if (conv == NULL)
		return;
	if (!conv->known) {
		conv->known = true;
		conv->cursor = conv->kept = from - 1;
	}
	if (from > conv->cursor + 1) {
		c->counts.holes++;
		client_fail(c, S("the server left something out"), 0);
		return;
	}
	skip(c, conv, to, false);
}

static void
mark_arrived(struct client *c, struct json params)
{
	if (c->config.hooks->mark != NULL)
		c->config.hooks->mark(c, inbound_uint(params, S("cid"), 0),
		    inbound_text(params, S("user"), &c->scratch),
		    inbound_uint(params, S("read"), 0), inbound_uint(params, S("delivered"), 0),
		    c->config.cookie);
}

static void
signal_arrived(struct client *c, struct json params)
{
	if (c->config.hooks->signal != NULL)
		c->config.hooks->signal(c, inbound_uint(params, S("cid"), 0),
		    inbound_text(params, S("from"), &c->scratch),
		    inbound_text(params, S("kind"), &c->scratch), c->config.cookie);
}

static const struct {
	slice method;
	void (*arrived)(struct client *client, struct json params);
} notices[] = {
    {{"message", 7}, entry_arrived},
    {{"conversation", 12}, conversation_arrived},
    {{"gap", 3}, gap_arrived},
    {{"mark", 4}, mark_arrived},
    {{"signal", 6}, signal_arrived},
};

bool
client_stream_notice(struct client *c, const struct inbound *in)
{
	for (size_t i = 0; i < LEN(notices); i++)
		if (slice_eq(in->method, notices[i].method)) {
			if (c->synced)
				notices[i].arrived(c, in->params);
			return true;
		}
	return false;
}

bool
client_up_to_date(const struct client *c)
{
	if (c->state != CLIENT_READY || !c->synced || c->listed < c->total)
		return false;
	for (struct list *at = c->convs.next; at != &c->convs; at = at->next) {
		const struct client_conv *conv = container_of(at, struct client_conv, all);

		if (conv->cursor < conv->head)
			return false;
	}
	return true;
}

/* --- Marks --- */

static void
mark_answered(struct client *c, const struct client_answer *answer, void *cookie)
{
	uint64_t cid = (uint64_t)(uintptr_t)cookie;
	struct client_conv *conv = map_get(&c->convs_by_cid, cid);

	if (conv == NULL)
		return;
	conv->mark_asked = false;
	/* A mark that is refused for good is not worth a retry; the next one draws it along. */
	if (answer->error != NULL && answer->error->retry) {
		conv->mark_wanted = true;
		if (c->marks_at_ms == 0)
			c->marks_at_ms = c->now_ms + 4 * CLIENT_MARK_MS;
	}
}

static int
mark_request(struct client *c, struct client_conv *conv)
{
	struct buf params = {0};
	int rc;

	buf_put(&params, S("{"));
	json_uint(&params, "cid", conv->cid);
	if (conv->read > 0)
		json_uint(&params, "read", conv->read);
	if (conv->delivered > conv->read)
		json_uint(&params, "delivered", conv->delivered);
	buf_put(&params, S("}"));
	rc = client_request(
	    c, "mark", buf_slice(&params), mark_answered, (void *)(uintptr_t)conv->cid, NULL);
	buf_fini(&params);
	return rc;
}

void
client_stream_marks(struct client *c)
{
	unsigned asked = 0;

	if (c->marks_at_ms == 0 || c->now_ms < c->marks_at_ms || c->leave_at_ms != 0)
		return;
	c->marks_at_ms = 0;
	for (struct list *at = c->convs.next; at != &c->convs; at = at->next) {
		struct client_conv *conv = container_of(at, struct client_conv, all);

		if (!conv->mark_wanted || conv->mark_asked)
			continue;
		if (asked++ >= MARKS_AT_ONCE || mark_request(c, conv) < 0) {
			c->marks_at_ms = c->now_ms + CLIENT_MARK_MS;
			return;
		}
		conv->mark_wanted = false;
		conv->mark_asked = true;
	}
}

void
client_mark(struct client *c, uint64_t cid, uint64_t read, uint64_t delivered)
{
	struct client_conv *conv;

	OBJ_CHECK(c, CLIENT_MAGIC);
	conv = map_get(&c->convs_by_cid, cid);
	if (conv == NULL || (read <= conv->read && delivered <= conv->delivered))
		return;
	if (read > conv->read)
		conv->read = read;
	if (delivered > conv->delivered)
		conv->delivered = delivered;
	conv->mark_wanted = true;
	if (c->marks_at_ms == 0)
		c->marks_at_ms = c->now_ms + CLIENT_MARK_MS;
}

void
client_stream_lost(struct client *c)
{
	c->synced = false;
	for (struct list *at = c->convs.next; at != &c->convs; at = at->next) {
		struct client_conv *conv = container_of(at, struct client_conv, all);

		if (conv->mark_asked) {
			conv->mark_asked = false;
			conv->mark_wanted = true;
			c->marks_at_ms = c->now_ms + CLIENT_MARK_MS;
		}
	}
}

/* --- On disk --- */

static void
cursors_read(struct client *c, struct json object)
{
	struct json cursors = json_member(object, S("cursors")), key, value;
	struct json_iter it;
	int64_t seq;

	if (!slice_given(cursors.text) || json_type(cursors) != JSON_OBJECT)
		return;
	json_iter_init(&it, cursors);
	while (json_next_member(&it, &key, &value)) {
		struct json number = {.text = json_string(key, &c->scratch)};
		struct client_conv *conv;
		int64_t cid;

		if (!json_check(number.text, &number) || json_type(number) != JSON_NUMBER ||
		    !json_integer(number, &cid) || cid <= 0 || json_type(value) != JSON_NUMBER ||
		    !json_integer(value, &seq) || seq < 0)
			continue;
		conv = conv_get(c, (uint64_t)cid);
		if (conv == NULL)
			return;
		conv->known = conv->stored = true;
		conv->cursor = conv->kept = conv->head = (uint64_t)seq;
	}
}

void
client_stream_load(struct client *c)
{
	struct buf text = {0};
	struct json object;
	slice epoch;

	convs_forget(c);
	buf_clear(&c->scratch);
	if (vault_cursors_load(c->vault, &text) == 0) {
		(void)buf_reserve(&c->scratch, buf_len(&text) + 1);
		if (json_check(buf_slice(&text), &object) && json_type(object) == JSON_OBJECT) {
			epoch = inbound_text(object, S("epoch"), &c->scratch);
			mem_free(c->epoch);
			c->epoch = slice_given(epoch) ? mem_dup(epoch) : NULL;
			cursors_read(c, object);
		}
	}
	buf_fini(&text);
	c->cursors_dirty = false;
}

void
client_stream_save(struct client *c)
{
	struct buf text = {0};

	if (!c->cursors_dirty || c->vault == NULL || c->epoch == NULL || !vault_locked(c->vault))
		return;
	buf_put(&text, S("{"));
	json_str(&text, "epoch", slice_str(c->epoch));
	json_key(&text, "cursors");
	buf_put(&text, S("{"));
	for (struct list *at = c->convs.next; at != &c->convs; at = at->next) {
		const struct client_conv *conv = container_of(at, struct client_conv, all);
		char key[24];

		(void)snprintf(key, sizeof(key), "%llu", (unsigned long long)conv->cid);
		if (conv->stored)
			json_uint(&text, key, conv->kept);
	}
	buf_put(&text, S("}}\n"));
	/* If the disk takes it not, the next run shows some messages again. */
	if (vault_cursors_store(c->vault, buf_slice(&text)) == 0)
		c->cursors_dirty = false;
	c->saved_ms = c->now_ms;
	buf_fini(&text);
}

void
client_stream_fini(struct client *c)
{
	convs_forget(c);
	map_fini(&c->convs_by_cid);
}
