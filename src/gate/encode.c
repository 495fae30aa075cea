/* SPDX-License-Identifier: MIT */
#include "gate/encode.h"

#include <stdio.h>

#include "gate/encode_internal.h"

static const struct {
	int code;
	const char *name, *text;
	bool retry;
} errors[] = {
#define ERR_AS_ROW(id, wire_code, wire_name, may_retry, for_people)                                \
	[ERR_##id] = {wire_code, wire_name, for_people, may_retry},
    ERRORS(ERR_AS_ROW)};

const char *
gate_error_name(enum err err)
{
	return err > ERR_OK && err < ERR_MAX ? errors[err].name : "ok";
}

/* --- Faults --- */

static void
put_fault_text(struct buf *to, const struct fault *fault)
{
	char text[160];
	int n;

	if (fault->param == NULL) {
		put_word(to, "message", errors[fault->err].text);
		return;
	}
	n = snprintf(text, sizeof(text), "%s (%s)", errors[fault->err].text, fault->param);
	assert(n > 0 && (size_t)n < sizeof(text));
	put_word(to, "message", text);
}

void
encode_fault(struct buf *to, const struct rpc_id *id, const struct fault *fault, const char *trace)
{
	assert(fault->err > ERR_OK && fault->err < ERR_MAX);
	rpc_put_head(to, id);
	buf_put(to, S("\"error\":{\"code\":"));
	json_put_int(to, errors[fault->err].code);
	put_fault_text(to, fault);
	open_member(to, "data", "{");
	put_word(to, "name", errors[fault->err].name);
	if (errors[fault->err].retry)
		json_bool(to, "retry", true);
	put_positive(to, "retry_after_ms", fault->retry_after_ms);
	if (fault->err == ERR_TOO_LARGE || fault->err == ERR_LIMIT)
		put_positive(to, "max", fault->max);
	if (fault->param != NULL)
		put_word(to, "param", fault->param);
	if (trace != NULL)
		put_word(to, "trace", trace);
	buf_put(to, S("}}}"));
}

/* --- Entries --- */

static void
put_to(struct buf *to, uint64_t cid, const struct conv_facts *facts, const struct entry *entry)
{
	slice other = entry->sender == facts->lo ? facts->hi_name : facts->lo_name;

	if (facts->kind == CONV_GROUP && !slice_given(facts->handle)) {
		json_uint(to, "to", cid);
		return;
	}
	/* Names and handles hold no character that JSON would escape. */
	json_key(to, "to");
	buf_put(to, facts->kind == CONV_GROUP ? S("\"#") : S("\"@"));
	buf_put(to, facts->kind == CONV_GROUP ? facts->handle : other);
	buf_put(to, S("\""));
}

static void
put_entry(struct buf *to, uint64_t cid, const struct conv_facts *facts, const struct entry *entry)
{
	json_uint(to, "cid", cid);
	json_uint(to, "seq", entry->seq);
	json_str(to, "from", entry->from);
	put_to(to, cid, facts, entry);
	json_uint(to, "ts", entry->ts);
	json_str(to, "kind", entry->kind);
	put_given(to, "body", entry->body);
	if (slice_given(entry->data))
		json_raw(to, "data", entry->data);
	put_given(to, "cmid", entry->cmid);
	put_positive(to, "re", entry->re);
	put_positive(to, "edited", entry->edited);
	put_positive(to, "deleted", entry->deleted);
}

void
encode_entry(
    struct buf *to, uint64_t cid, const struct conv_facts *facts, const struct entry *entry)
{
	open_notification(to, "message");
	put_entry(to, cid, facts, entry);
	buf_put(to, S("}}"));
}

/* --- Conversations --- */

const char *
role_name(enum role role)
{
	static const char *const names[] = {
	    [ROLE_NONE] = "none",
	    [ROLE_MEMBER] = "member",
	    [ROLE_ADMIN] = "admin",
	    [ROLE_OWNER] = "owner",
	};

	assert((size_t)role < LEN(names));
	return names[role];
}

static void
put_conv_names(struct buf *to, const struct op_conv *conv)
{
	bool direct = conv->facts.kind == CONV_DIRECT;

	json_uint(to, "cid", conv->cid);
	put_word(to, "kind", direct ? "direct" : "group");
	json_str(to, "title", conv->title);
	if (direct)
		json_str(to, "peer", conv->peer_name);
	else
		put_given(to, "handle", conv->facts.handle);
	put_word(to, "role", role_name(conv->role));
}

/* The members of sync's list, with cid in front. */
static void
put_conv(struct buf *to, const struct conv_view *view)
{
	const struct op_conv *conv = view->conv;

	put_conv_names(to, conv);
	json_uint(to, "min_seq", conv->min_seq);
	json_uint(to, "next", view->next);
	json_uint(to, "head", conv->head);
	json_uint(to, "ts", conv->ts);
	json_uint(to, "read", conv->read);
	json_uint(to, "delivered", conv->delivered);
	json_uint(to, "unread", view->unread);
	if (conv->facts.kind == CONV_DIRECT) {
		json_uint(to, "peer_read", conv->peer_read);
		json_uint(to, "peer_delivered", conv->peer_delivered);
	}
	if (conv->role != ROLE_NONE)
		put_positive(to, "muted_until", conv->muted_until);
	if (conv->last != NULL) {
		open_member(to, "last", "{");
		put_entry(to, conv->cid, &conv->facts, conv->last);
		buf_put(to, S("}"));
	}
}

/* --- Answers --- */

size_t
put_list(struct encoding *e, const char *key, size_t count, void (*put)(struct encoding *, size_t))
{
	size_t i;

	open_member(e->to, key, "[");
	for (i = 0; i < count; i++) {
		size_t before = buf_len(e->to);
		json_comma(e->to);
		buf_put(e->to, S("{"));
		put(e, i);
		buf_put(e->to, S("}"));
		if (buf_len(e->to) > e->full) {
			cut_back(e->to, before);
			break;
		}
	}
	buf_put(e->to, S("]"));
	return i;
}

static void
put_limits(struct buf *to, const struct gate_config *config)
{
	open_member(to, "limits", "{");
	json_uint(to, "frame", LIMIT_FRAME_BYTES);
	json_uint(to, "body", config->body);
	json_uint(to, "data", config->data);
	json_uint(to, "conversations", config->conversations);
	json_uint(to, "groups", config->groups);
	json_uint(to, "members", config->members);
	json_uint(to, "contacts", config->contacts);
	json_uint(to, "sessions", config->sessions);
	json_uint(to, "connections", config->connections);
	json_uint(to, "idle_ms", config->idle_ms);
	buf_put(to, S("}"));
}

static const struct sync_answer *
sync_of(const struct answer *answer)
{
	return answer->kind == ANSWER_SYNC ? &answer->sync : answer->session.sync;
}

static void
put_sync_item(struct encoding *e, size_t i)
{
	put_conv(e->to, &sync_of(e->answer)->items[i]);
}

static void
put_sync(struct encoding *e, const struct sync_answer *sync)
{
	json_bool(e->to, "reset", sync->reset);
	json_uint(e->to, "total", sync->total);
	open_member(e->to, "gone", "[");
	for (size_t i = 0; i < sync->gone_count; i++) {
		json_comma(e->to);
		json_put_uint(e->to, sync->gone[i]);
	}
	buf_put(e->to, S("]"));
	e->used = put_list(e, "conversations", sync->count, put_sync_item);
}

static void
put_empty(struct encoding *e)
{
	(void)e;
}

static void
put_session_answer(struct encoding *e)
{
	const struct answer *a = e->answer;

	json_str(e->to, "user", a->session.user);
	json_uint(e->to, "user_id", a->session.uid);
	json_str(e->to, "display", a->session.display);
	json_str(e->to, "token", a->session.token);
	json_str(e->to, "session", a->session.session);
	put_word(e->to, "server", e->config->node);
	json_str(e->to, "epoch", a->session.epoch);
	put_limits(e->to, e->config);
	if (a->session.sync != NULL)
		put_sync(e, a->session.sync);
}

static void
put_sync_answer(struct encoding *e)
{
	json_str(e->to, "epoch", e->answer->sync.epoch);
	put_sync(e, &e->answer->sync);
}

static bool
session_is_online(const struct answer *a, uint64_t session)
{
	for (size_t i = 0; i < a->sessions.online_count; i++)
		if (a->sessions.online[i] == session)
			return true;
	return false;
}

static void
put_session(struct encoding *e, size_t i)
{
	const struct op_session *session = &e->answer->sessions.items[i];

	/* Text, because a client is to give it back, not to count with it. */
	json_key(e->to, "session");
	buf_put(e->to, S("\""));
	json_put_uint(e->to, session->session);
	buf_put(e->to, S("\""));
	json_str(e->to, "device", session->device);
	json_uint(e->to, "created", session->created);
	json_uint(e->to, "seen", session->seen);
	json_str(e->to, "ip", session->ip);
	json_bool(e->to, "online", session_is_online(e->answer, session->session));
	json_bool(e->to, "current", session->session == e->answer->sessions.current);
}

static void
put_sessions(struct encoding *e)
{
	(void)put_list(e, "sessions", e->answer->sessions.count, put_session);
}

static void
put_send(struct encoding *e)
{
	json_uint(e->to, "cid", e->answer->send.cid);
	json_uint(e->to, "seq", e->answer->send.seq);
	json_uint(e->to, "ts", e->answer->send.ts);
	put_given(e->to, "cmid", e->answer->send.cmid);
	if (e->answer->send.dup)
		json_bool(e->to, "dup", true);
}

static void
put_history_item(struct encoding *e, size_t i)
{
	const struct answer *a = e->answer;

	put_entry(e->to, a->history.cid, a->history.facts, a->history.items[i]);
}

/* How many of the newest entries fit: they are written from the newest on, measured and taken back.
 */
static size_t
newest_that_fit(struct encoding *e)
{
	size_t start = buf_len(e->to), sum = start, n;

	for (n = 0; n < e->answer->history.count; n++) {
		put_history_item(e, e->answer->history.count - 1 - n);
		sum += buf_len(e->to) - start + 3;
		cut_back(e->to, start);
		if (sum > e->full)
			break;
	}
	return n;
}

static bool
history_may_not_fit(const struct answer *a)
{
	size_t worst = 0;

	/* An escape is six bytes for one; 512 is more than names and numbers take. */
	for (size_t i = 0; i < a->history.count; i++) {
		const struct entry *entry = a->history.items[i];
		worst += 6 * (entry->body.len + entry->cmid.len) + entry->data.len + 512;
	}
	return worst > LIMIT_ANSWER_BYTES - 2 * TAIL_BYTES;
}

static void
put_history(struct encoding *e)
{
	const struct answer *whole = e->answer;
	struct answer part = *whole;
	size_t put;

	json_uint(e->to, "cid", part.history.cid);
	json_uint(e->to, "head", part.history.head);
	json_uint(e->to, "min_seq", part.history.min_seq);
	if ((e->flags & ENCODE_OLDEST) == 0 && history_may_not_fit(&part)) {
		size_t n = newest_that_fit(e);
		part.history.items += part.history.count - n;
		part.history.more = part.history.more || n < part.history.count;
		part.history.count = n;
	}
	e->answer = &part;
	put = put_list(e, "messages", part.history.count, put_history_item);
	json_bool(e->to, "more", part.history.more || put < part.history.count);
	e->answer = whole;
}

static void
put_receipt(struct encoding *e, size_t i)
{
	const struct op_member *member = &e->answer->receipts.of->page.items[i];

	json_str(e->to, "user", member->name);
	json_uint(e->to, "read", member->read);
	json_uint(e->to, "delivered", member->delivered);
}

static void
put_receipts(struct encoding *e)
{
	const struct op_receipts *of = e->answer->receipts.of;
	size_t put;

	json_uint(e->to, "read", of->read);
	json_uint(e->to, "delivered", of->delivered);
	json_uint(e->to, "members", of->members);
	put = put_list(e, "users", of->page.count, put_receipt);
	json_bool(e->to, "more", of->page.more || put < of->page.count);
}

static void
put_marks(struct encoding *e)
{
	json_uint(e->to, "read", e->answer->mark.read);
	json_uint(e->to, "delivered", e->answer->mark.delivered);
}

void
encode_answer(struct buf *to, const struct rpc_id *id, const struct gate_config *config,
    const struct answer *answer, unsigned flags, size_t *ret_used)
{
	static void (*const puts[])(struct encoding *) = {
	    [ANSWER_EMPTY] = put_empty,
	    [ANSWER_SESSION] = put_session_answer,
	    [ANSWER_SYNC] = put_sync_answer,
	    [ANSWER_SESSIONS] = put_sessions,
	    [ANSWER_SEND] = put_send,
	    [ANSWER_HISTORY] = put_history,
	    [ANSWER_MARK] = put_marks,
	    [ANSWER_RECEIPTS] = put_receipts,
	    [ANSWER_PROFILES] = put_profiles,
	    [ANSWER_FOUND] = put_found,
	    [ANSWER_WHO] = put_who,
	    [ANSWER_PRESENCE] = put_presence,
	    [ANSWER_CONTACT] = put_contact,
	    [ANSWER_CONTACTS] = put_contacts,
	    [ANSWER_GROUP] = put_group,
	    [ANSWER_GROUP_INFO] = put_group_info,
	    [ANSWER_MEMBERS] = put_members,
	    [ANSWER_GROUPS] = put_groups,
	};
	struct encoding e = {
	    .to = to,
	    .config = config,
	    .answer = answer,
	    .full = buf_len(to) + LIMIT_ANSWER_BYTES - TAIL_BYTES,
	    .flags = flags,
	};

	assert((size_t)answer->kind < LEN(puts) && puts[answer->kind] != NULL);
	open_result(to, id);
	puts[answer->kind](&e);
	close_result(to);
	*ret_used = e.used;
}

void
encode_hello(struct buf *to, const struct rpc_id *id, const struct gate_config *config)
{
	open_result(to, id);
	put_word(to, "server", config->node);
	put_word(to, "version", config->version);
	json_uint(to, "protocol", 1);
	put_word(to, "durability", config->durability);
	put_limits(to, config);
	json_raw(to, "auth", S("[\"password\",\"token\"]"));
	put_word(to, "registration", config->registration_open ? "open" : "closed");
	put_word(to, "directory", config->directory_open ? "open" : "closed");
	close_result(to);
}

void
encode_pong(struct buf *to, const struct rpc_id *id, uint64_t ts)
{
	open_result(to, id);
	json_uint(to, "ts", ts);
	close_result(to);
}

/* --- Events --- */

static void
put_conversation_event(struct buf *to, const struct event *event)
{
	static const char *const changes[] = {
	    [CONV_ADDED] = "added",
	    [CONV_LISTED] = "listed",
	    [CONV_REMOVED] = "removed",
	};
	enum conv_change change = event->conversation.change;

	assert((size_t)change < LEN(changes));
	open_notification(to, "conversation");
	if (change == CONV_REMOVED)
		json_uint(to, "cid", event->conversation.view.conv->cid);
	else
		put_conv(to, &event->conversation.view);
	put_word(to, "change", changes[change]);
}

static void
put_gap_event(struct buf *to, const struct event *event)
{
	open_notification(to, "gap");
	json_uint(to, "cid", event->gap.cid);
	json_uint(to, "from", event->gap.from);
	json_uint(to, "to", event->gap.to);
}

static void
put_mark_event(struct buf *to, const struct event *event)
{
	open_notification(to, "mark");
	json_uint(to, "cid", event->mark.cid);
	json_str(to, "user", event->mark.user);
	json_uint(to, "read", event->mark.read);
	json_uint(to, "delivered", event->mark.delivered);
}

static void
put_signal_event(struct buf *to, const struct event *event)
{
	open_notification(to, "signal");
	put_positive(to, "cid", event->signal.cid);
	json_str(to, "from", event->signal.from);
	json_str(to, "kind", event->signal.kind);
	put_given(to, "body", event->signal.body);
	if (slice_given(event->signal.data))
		json_raw(to, "data", event->signal.data);
}

void
encode_event(struct buf *to, const struct event *event)
{
	static void (*const puts[])(struct buf *, const struct event *) = {
	    [EVENT_CONVERSATION] = put_conversation_event,
	    [EVENT_GAP] = put_gap_event,
	    [EVENT_MARK] = put_mark_event,
	    [EVENT_SIGNAL] = put_signal_event,
	    [EVENT_CONTACT] = put_contact_event,
	    [EVENT_PRESENCE] = put_presence_event,
	};

	assert((size_t)event->kind < LEN(puts) && puts[event->kind] != NULL);
	puts[event->kind](to, event);
	buf_put(to, S("}}"));
}

void
encode_goaway(struct buf *to, enum goaway reason, uint32_t reconnect_ms)
{
	static const char *const reasons[] = {
	    [GOAWAY_SHUTDOWN] = "shutdown",
	    [GOAWAY_EPOCH] = "epoch",
	    [GOAWAY_IDLE] = "idle",
	    [GOAWAY_SLOW] = "slow",
	    [GOAWAY_BUSY] = "busy",
	    [GOAWAY_ERRORS] = "errors",
	    [GOAWAY_REVOKED] = "session_revoked",
	};

	assert((size_t)reason < LEN(reasons));
	open_notification(to, "goaway");
	put_word(to, "reason", reasons[reason]);
	put_positive(to, "reconnect_ms", reconnect_ms);
	buf_put(to, S("}}"));
}
