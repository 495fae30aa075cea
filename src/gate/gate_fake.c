/* SPDX-License-Identifier: MIT */
#include "gate/gate_fake.h"

#include <limits.h>
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>

#include "base/mem.h"

struct world world;

/* --- Net --- */

#define CLOSE_AS_NAME(name, label) label,
const char *
close_reason_name(enum close_reason reason)
{
	static const char *const names[] = {CLOSE_REASONS(CLOSE_AS_NAME)};

	return names[reason];
}

uint64_t
conn_id(const struct conn *conn)
{
	return conn->id;
}

struct conn *
conn_find(struct reactor *reactor, uint64_t id)
{
	struct conn *conn = world.conn;

	assert_ptr_equal(reactor, &world.reactor);
	return conn != NULL && conn->id == id && !conn->closing && !conn->finishing ? conn : NULL;
}

struct reactor *
conn_reactor(const struct conn *conn)
{
	return conn->reactor;
}

void *
conn_cookie(const struct conn *conn)
{
	return conn->cookie;
}

void
conn_set_cookie(struct conn *conn, void *cookie)
{
	conn->cookie = cookie;
}

void
conn_set_ops(struct conn *conn, const struct conn_ops *ops)
{
	conn->ops = ops;
}

const struct listener *
conn_listener(const struct conn *conn)
{
	return conn->listener;
}

const struct listener_options *
listener_options(const struct listener *listener)
{
	return &listener->options;
}

const struct sockaddr_storage *
conn_address(const struct conn *conn, struct sockaddr_storage *ret_address)
{
	*ret_address = conn->address;
	return ret_address;
}

void
conn_set_address(struct conn *conn, const struct sockaddr_storage *address)
{
	conn->address = *address;
}

bool
conn_is_tls(const struct conn *conn)
{
	return conn->tls;
}

uint64_t
conn_last_input_ms(const struct conn *conn)
{
	return conn->last_input_ms;
}

size_t
conn_out_bytes(const struct conn *conn)
{
	return buf_len(&conn->out) + conn->stuck;
}

void
conn_want_drained(struct conn *conn)
{
	conn->want_drained = true;
}

enum queued
conn_queue(struct conn *conn, struct run *run, uint32_t offset, uint32_t len, enum on_full on_full)
{
	if (conn->closing || conn->finishing)
		return QUEUED_NOT;
	if (on_full == ON_FULL_REFUSE && conn_out_bytes(conn) + len > LIMIT_OUT_SOFT_BYTES) {
		conn->want_drained = true;
		return QUEUED_NOT;
	}
	buf_append(&conn->out, run->bytes + offset, len);
	return QUEUED;
}

void
conn_write(struct conn *conn, slice bytes)
{
	assert_false(conn->finishing);
	if (!conn->closing)
		buf_put(&conn->out, bytes);
}

slice
conn_unread(const struct conn *conn)
{
	return buf_slice(&conn->in);
}

void
conn_pause(struct conn *conn)
{
	assert_false(conn->paused);
	conn->paused = true;
}

void
conn_resume(struct conn *conn)
{
	assert_true(conn->paused);
	conn->paused = false;
	conn->offer = true;
}

void
conn_set_deadline(struct conn *conn, uint64_t at_ms)
{
	conn->deadline_ms = at_ms;
}

void
conn_close(struct conn *conn, enum close_reason reason)
{
	if (!conn->closing)
		conn->reason = reason;
	conn->closing = true;
}

void
conn_finish(struct conn *conn, enum close_reason reason)
{
	if (!conn->closing && !conn->finishing)
		conn->reason = reason;
	conn->finishing = true;
}

int
conn_start_tls(struct conn *conn, slice seen)
{
	assert_true(seen.len > 0);
	if (conn->listener->options.tls == NULL)
		return -1;
	conn->tls = true;
	return 0;
}

unsigned
reactor_index(const struct reactor *reactor)
{
	(void)reactor;
	return 0;
}

uint64_t
reactor_now_ms(const struct reactor *reactor)
{
	return reactor->now_ms;
}

/* --- Chat --- */

struct peer *
peer_create(struct shard *shard, void *out, unsigned form, slice ip)
{
	struct peer *peer = mem_zalloc(sizeof(*peer));

	(void)shard;
	assert_true(ip.len < sizeof(peer->ip));
	memcpy(peer->ip, ip.ptr, ip.len);
	peer->out = out;
	peer->form = form;
	world.peer = peer;
	return peer;
}

void
peer_destroy(struct peer **peer)
{
	mem_free(*peer);
	*peer = NULL;
	world.peer = NULL;
}

void
peer_drained(struct peer *peer)
{
	peer->drained++;
}

bool
peer_logged_in(const struct peer *peer)
{
	return peer->logged_in;
}

unsigned
chat_room(const struct shard *shard)
{
	(void)shard;
	return world.room;
}

bool
peer_revoked(const struct peer *peer)
{
	return peer->revoked;
}

void
peer_set_source(struct peer *peer, uint64_t source)
{
	peer->source = source;
}

struct fault
chat_spend_source(struct shard *shard, uint64_t source, uint32_t cost)
{
	(void)shard;
	world.spent += cost;
	if (source == 0 || world.wait_ms == 0)
		return (struct fault){0};
	return (struct fault){.err = ERR_RATE_LIMITED, .retry_after_ms = world.wait_ms};
}

struct fault
chat_spend(struct peer *peer, uint32_t cost)
{
	return chat_spend_source(NULL, peer->source, cost);
}

static void
tell(const char *key, slice value)
{
	if (slice_given(value))
		buf_printf(&world.told, " %s=%.*s", key, SLICE_ARG(value));
}

static void
tell_target(const char *key, const struct target *target)
{
	if (target->kind == TARGET_CID)
		buf_printf(&world.told, " %s=%" PRIu64, key, target->cid);
	else
		buf_printf(&world.told, " %s=%c%.*s", key, target->kind == TARGET_USER ? '@' : '#',
		    SLICE_ARG(target->name));
}

static void
tell_sync(const struct sync_command *sync)
{
	if (!sync->given)
		return;
	buf_printf(&world.told, " sync backlog=%u preview=%d", sync->backlog, sync->preview);
	tell("epoch", sync->epoch);
	for (size_t i = 0; i < sync->cursor_count; i++)
		buf_printf(&world.told, " %" PRIu64 ":%" PRIu64, sync->cursors[i].cid,
		    sync->cursors[i].seq);
}

/* Ends the line of a command; it is answered now or waits. */
static void
told(struct peer *peer, const struct call_tag *tag)
{
	size_t used;

	buf_put(&world.told, S("\n"));
	if (world.auto_answer) {
		world.chat_out.answer(
		    peer->out, tag, &(struct answer){.kind = ANSWER_EMPTY}, &used);
		return;
	}
	assert_true(world.pending_count < FAKE_PENDING);
	world.pending[world.pending_count++] = *tag;
}

void
chat_register(struct peer *peer, const struct call_tag *tag, const struct register_command *cmd)
{
	buf_put(&world.told, S("register"));
	tell("user", cmd->user);
	tell("password", cmd->password);
	tell("display", cmd->display);
	tell("device", cmd->device);
	tell_sync(&cmd->sync);
	told(peer, tag);
}

void
chat_login(struct peer *peer, const struct call_tag *tag, const struct login_command *cmd)
{
	buf_put(&world.told, S("login"));
	tell("user", cmd->user);
	tell("password", cmd->password);
	tell("device", cmd->device);
	tell_sync(&cmd->sync);
	told(peer, tag);
}

void
chat_resume(struct peer *peer, const struct call_tag *tag, const struct resume_command *cmd)
{
	buf_put(&world.told, S("resume"));
	tell("token", cmd->token);
	tell_sync(&cmd->sync);
	told(peer, tag);
}

void
chat_logout(struct peer *peer, const struct call_tag *tag, bool all)
{
	buf_printf(&world.told, "logout all=%d", all);
	told(peer, tag);
}

void
chat_sync(struct peer *peer, const struct call_tag *tag, const struct sync_command *cmd)
{
	buf_put(&world.told, S("->"));
	tell_sync(cmd);
	told(peer, tag);
}

void
chat_session_list(struct peer *peer, const struct call_tag *tag)
{
	buf_put(&world.told, S("session.list"));
	told(peer, tag);
}

void
chat_session_revoke(struct peer *peer, const struct call_tag *tag, slice session)
{
	buf_put(&world.told, S("session.revoke"));
	tell("session", session);
	told(peer, tag);
}

void
chat_password_change(struct peer *peer, const struct call_tag *tag, slice old, slice fresh)
{
	buf_put(&world.told, S("password.change"));
	tell("old", old);
	tell("new", fresh);
	told(peer, tag);
}

void
chat_send(struct peer *peer, const struct call_tag *tag, const struct send_command *cmd)
{
	buf_put(&world.told, S("send"));
	tell_target("to", &cmd->to);
	tell("kind", cmd->kind);
	tell("body", cmd->body);
	tell("data", cmd->data);
	tell("cmid", cmd->cmid);
	if (cmd->re > 0)
		buf_printf(&world.told, " re=%" PRIu64, cmd->re);
	if (cmd->refused.err != ERR_OK)
		buf_printf(&world.told, " refused=%s,%s,%" PRIu64,
		    gate_error_name(cmd->refused.err), cmd->refused.param, cmd->refused.max);
	told(peer, tag);
}

static void
tell_refused(struct fault refused)
{
	if (refused.err != ERR_OK)
		buf_printf(&world.told, " refused=%s,%s,%" PRIu64, gate_error_name(refused.err),
		    refused.param, refused.max);
}

void
chat_edit(struct peer *peer, const struct call_tag *tag, const struct edit_command *cmd)
{
	buf_put(&world.told, S("edit"));
	tell_target("cid", &cmd->conv);
	buf_printf(&world.told, " seq=%" PRIu64, cmd->seq);
	tell("body", cmd->body);
	tell("data", cmd->data);
	tell("cmid", cmd->cmid);
	tell_refused(cmd->refused);
	told(peer, tag);
}

void
chat_delete(struct peer *peer, const struct call_tag *tag, const struct delete_command *cmd)
{
	buf_put(&world.told, S("delete"));
	tell_target("cid", &cmd->conv);
	buf_printf(&world.told, " seq=%" PRIu64, cmd->seq);
	tell_refused(cmd->refused);
	told(peer, tag);
}

void
chat_receipts(struct peer *peer, const struct call_tag *tag, const struct receipts_command *cmd)
{
	buf_put(&world.told, S("receipts"));
	tell_target("cid", &cmd->conv);
	buf_printf(&world.told, " seq=%" PRIu64 " limit=%u", cmd->seq, cmd->limit);
	tell("after", cmd->after);
	told(peer, tag);
}

void
chat_history(struct peer *peer, const struct call_tag *tag, const struct history_command *cmd)
{
	buf_put(&world.told, S("history"));
	tell_target("cid", &cmd->conv);
	if (cmd->has_before)
		buf_printf(&world.told, " before=%" PRIu64, cmd->before);
	if (cmd->has_after)
		buf_printf(&world.told, " after=%" PRIu64, cmd->after);
	buf_printf(&world.told, " limit=%u", cmd->limit);
	told(peer, tag);
}

void
chat_mark(struct peer *peer, const struct call_tag *tag, const struct mark_command *cmd)
{
	buf_put(&world.told, S("mark"));
	tell_target("cid", &cmd->conv);
	buf_printf(&world.told, " read=%" PRIu64 " delivered=%" PRIu64, cmd->read, cmd->delivered);
	told(peer, tag);
}

void
chat_signal(struct peer *peer, const struct call_tag *tag, const struct signal_command *cmd)
{
	buf_put(&world.told, S("signal"));
	tell_target("to", &cmd->to);
	tell("kind", cmd->kind);
	tell("data", cmd->data);
	told(peer, tag);
}

void
chat_profile_set(struct peer *peer, const struct call_tag *tag, const struct profile_command *cmd)
{
	buf_put(&world.told, S("profile.set"));
	tell("display", cmd->display);
	tell("status", cmd->status);
	buf_printf(&world.told, " accept=%d", cmd->accept);
	told(peer, tag);
}

static void
tell_names(const char *method, const slice *names, size_t count)
{
	buf_put(&world.told, slice_str(method));
	for (size_t i = 0; i < count; i++)
		buf_printf(&world.told, " %.*s", SLICE_ARG(names[i]));
}

void
chat_profile_get(struct peer *peer, const struct call_tag *tag, const slice *names, size_t count)
{
	tell_names("profile.get", names, count);
	told(peer, tag);
}

void
chat_user_find(struct peer *peer, const struct call_tag *tag, slice query, uint32_t limit)
{
	buf_put(&world.told, S("user.find"));
	tell("query", query);
	buf_printf(&world.told, " limit=%u", limit);
	told(peer, tag);
}

void
chat_who(struct peer *peer, const struct call_tag *tag, const struct who_command *cmd)
{
	static const char *const scopes[] = {
	    [WHO_CONTACTS] = "contacts", [WHO_ALL] = "all", [WHO_CONV] = "conv"};

	buf_printf(&world.told, "who %s", scopes[cmd->scope]);
	if (cmd->scope == WHO_CONV)
		tell_target("cid", &cmd->conv);
	tell("after", cmd->after);
	buf_printf(&world.told, " limit=%u", cmd->limit);
	told(peer, tag);
}

void
chat_presence_get(struct peer *peer, const struct call_tag *tag, const slice *names, size_t count)
{
	tell_names("presence.get", names, count);
	told(peer, tag);
}

void
chat_presence_watch(struct peer *peer, const struct call_tag *tag, const slice *names, size_t count)
{
	tell_names("presence.watch", names, count);
	told(peer, tag);
}

void
chat_presence_set(struct peer *peer, const struct call_tag *tag, const struct presence_command *cmd)
{
	static const char *const states[] = {[PRESENCE_ONLINE] = "online",
	    [PRESENCE_BUSY] = "busy",
	    [PRESENCE_INVISIBLE] = "invisible",
	    [PRESENCE_AWAY] = "away"};

	buf_printf(&world.told, "presence.set %s", states[cmd->state]);
	tell("text", cmd->text);
	told(peer, tag);
}

/* --- Contacts --- */

void
chat_contact(struct peer *peer, const struct call_tag *tag, const struct contact_command *cmd)
{
	static const char *const names[] = {
	    [CONTACT_ADD] = "add",
	    [CONTACT_ACCEPT] = "accept",
	    [CONTACT_REJECT] = "reject",
	    [CONTACT_REMOVE] = "remove",
	    [CONTACT_BLOCK] = "block",
	    [CONTACT_UNBLOCK] = "unblock",
	};

	buf_printf(&world.told, "contact.%s %.*s", names[cmd->what], SLICE_ARG(cmd->user));
	tell("note", cmd->note);
	told(peer, tag);
}

void
chat_contact_list(struct peer *peer, const struct call_tag *tag, slice after, uint32_t limit)
{
	buf_put(&world.told, S("contact.list"));
	tell("after", after);
	buf_printf(&world.told, " limit=%u", limit);
	told(peer, tag);
}

void
chat_account_delete(struct peer *peer, const struct call_tag *tag, slice password)
{
	buf_put(&world.told, S("account.delete"));
	tell("password", password);
	told(peer, tag);
}

/* --- Groups --- */

static void
tell_flag(const char *key, int value)
{
	if (value >= 0)
		buf_printf(&world.told, " %s=%d", key, value);
}

void
chat_group(struct peer *peer, const struct call_tag *tag, const struct group_command *cmd)
{
	static const char *const names[] = {
#define CHANGE_AS_NAME(name, kind) [GROUP_##name] = #name,
	    GROUP_CHANGES(CHANGE_AS_NAME)};
	bool set = cmd->what == GROUP_CREATE || cmd->what == GROUP_SET;

	tell_names(names[cmd->what], cmd->users, cmd->user_count);
	if (cmd->what != GROUP_CREATE)
		tell_target("cid", &cmd->group);
	tell("title", cmd->set.title);
	tell("topic", cmd->set.topic);
	tell("handle", cmd->set.handle);
	if (set)
		tell_flag("open", cmd->set.open);
	if (cmd->what == GROUP_SET) {
		tell_flag("post", cmd->set.admins_post);
		tell_flag("invite", cmd->set.admins_invite);
	}
	if (cmd->set.history)
		tell_flag("history", 1);
	if (cmd->what == GROUP_ROLE)
		tell_flag("role", (int)cmd->role);
	if (cmd->what == GROUP_MUTE)
		buf_printf(&world.told, " seconds=%" PRIu64, cmd->seconds);
	if (cmd->ban)
		tell_flag("ban", 1);
	told(peer, tag);
}

void
chat_group_info(struct peer *peer, const struct call_tag *tag, const struct target *group)
{
	buf_printf(&world.told, "group.info");
	tell_target("cid", group);
	told(peer, tag);
}

void
chat_group_members(struct peer *peer, const struct call_tag *tag, const struct members_command *cmd)
{
	buf_printf(&world.told, "group.members");
	tell_target("cid", &cmd->group);
	tell("after", cmd->after);
	buf_printf(
	    &world.told, " role=%d banned=%d limit=%u", (int)cmd->role, cmd->banned, cmd->limit);
	told(peer, tag);
}

void
chat_group_list(struct peer *peer, const struct call_tag *tag, const struct groups_command *cmd)
{
	buf_printf(&world.told, "group.list");
	tell("query", cmd->query);
	buf_printf(&world.told, " after=%" PRIu64 " limit=%u", cmd->after, cmd->limit);
	told(peer, tag);
}

/* --- The world --- */

static bool
fake_ready(void *cookie, const char **ret_why)
{
	(void)cookie;
	*ret_why = world.why;
	return world.ready;
}

static void
fake_metrics(void *cookie, struct buf *to)
{
	(void)cookie;
	buf_put(to, S("confab_up 1\n"));
}

void
world_begin(void)
{
	world = (struct world){.ready = true, .room = UINT_MAX};
	world.reactor.now_ms = 1000000;
	world.config = (struct gate_config){
	    .node = "n1",
	    .version = "0.1.0",
	    .durability = "local",
	    .idle_ms = 75000,
	    .login_ms = 30000,
	    .body = 16384,
	    .data = 16384,
	    .signal_data = 1024,
	    .conversations = 2000,
	    .groups = 1000,
	    .members = 100000,
	    .contacts = 1000,
	    .sessions = 20,
	    .connections = 100,
	    .registration_open = true,
	    .ready = fake_ready,
	    .metrics = fake_metrics,
	};
	world.gate = gate_create(&world.reactor, &world.config);
	world.gates[0] = world.gate;
	world.listener.options.cookie = world.gates;
	gate_chat_out(world.gate, &world.chat_out);
}

static void
hang_up(void)
{
	struct conn *c = world.conn;

	if (c == NULL)
		return;
	c->ops->closed(c, c->reason);
	buf_fini(&c->in);
	buf_fini(&c->out);
	mem_free(c);
	world.conn = NULL;
	world.pending_count = 0;
}

void
world_end(void)
{
	hang_up();
	buf_fini(&world.told);
	gate_destroy(&world.gate);
}

static void
set_address(struct conn *conn, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4242)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(4242)};

	if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
		memcpy(&conn->address, &in, sizeof(in));
	else if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
		memcpy(&conn->address, &in6, sizeof(in6));
	else
		fail_msg("no address: %s", address);
}

void
dial(const char *address)
{
	hang_up();
	gate_set_config(world.gate, &world.config);
	world.conn = mem_zalloc(sizeof(*world.conn));
	world.conn->id = ++world.dialled;
	world.conn->reactor = &world.reactor;
	world.conn->listener = &world.listener;
	world.conn->last_input_ms = world.reactor.now_ms;
	set_address(world.conn, address);
	gate_opened(world.conn);
}

/* The bytes lie in memory of their own, so that the sanitizer sees who reads past them. */
static void
offer(struct conn *c)
{
	size_t len = buf_len(&c->in), used;
	char *copy;

	c->offer = false;
	if (c->paused || c->closing || c->finishing || len == 0)
		return;
	copy = mem_alloc(len);
	memcpy(copy, buf_head(&c->in), len);
	used = c->ops->input(c, copy, len);
	assert_true(used <= len);
	mem_free(copy);
	buf_consume(&c->in, used);
}

static void
settle(void)
{
	while (world.conn->offer)
		offer(world.conn);
}

void
feed(slice bytes)
{
	world.conn->last_input_ms = world.reactor.now_ms;
	buf_put(&world.conn->in, bytes);
	offer(world.conn);
	settle();
}

void
feed_text(const char *text)
{
	feed(slice_str(text));
}

void
dial_logged_in(void)
{
	dial("127.0.0.1");
	feed_text("{\"id\":0,\"method\":\"ping\"}\n");
	expect_result("0");
	world.peer->logged_in = true;
}

void
turn(void)
{
	(void)gate_turn(world.gate);
	settle();
}

void
feed_eof(void)
{
	assert_false(world.conn->paused);
	if (!world.conn->closing && !world.conn->finishing)
		world.conn->ops->eof(world.conn);
	settle();
}

void
drain(void)
{
	struct conn *c = world.conn;

	buf_clear(&c->out);
	c->stuck = 0;
	if (c->want_drained) {
		c->want_drained = false;
		c->ops->drained(c);
	}
	settle();
}

void
pass_ms(uint64_t ms)
{
	struct conn *c = world.conn;

	world.reactor.now_ms += ms;
	if (c->deadline_ms != 0 && c->deadline_ms <= world.reactor.now_ms) {
		c->deadline_ms = 0;
		c->ops->deadline(c);
	}
	settle();
}

char *
take_out(void)
{
	char *text = mem_dup(buf_slice(&world.conn->out));

	buf_clear(&world.conn->out);
	return text;
}

json_t *
take_line(void)
{
	slice out = buf_slice(&world.conn->out);
	const char *end = out.len > 0 ? memchr(out.ptr, '\n', out.len) : NULL;
	json_error_t error;
	json_t *json;

	assert_non_null(end);
	json = json_loadb(out.ptr, (size_t)(end - out.ptr), JSON_REJECT_DUPLICATES, &error);
	if (json == NULL)
		fail_msg("%s in %.*s", error.text, (int)(end - out.ptr), out.ptr);
	buf_consume(&world.conn->out, (size_t)(end + 1 - out.ptr));
	assert_string_equal(json_string_value(json_object_get(json, "jsonrpc")), "2.0");
	return json;
}

void
expect_silence(void)
{
	assert_int_equal(buf_len(&world.conn->out), 0);
}

char *
take_told(void)
{
	slice told_text = buf_slice(&world.told);
	char *text;

	if (told_text.len > 0)
		told_text.len--;
	text = mem_dup(told_text);
	buf_clear(&world.told);
	return text;
}

void
expect_told(const char *text)
{
	char *have = take_told();

	assert_string_equal(have, text);
	mem_free(have);
}

static void
expect_id(const json_t *json, const char *id)
{
	char *have = json_dumps(json_object_get(json, "id"), JSON_ENCODE_ANY | JSON_COMPACT);

	assert_string_equal(have, id);
	free(have);
}

void
expect_error(const char *id, const char *name, const char *param, uint64_t max)
{
	json_t *json = take_line(), *data;

	expect_id(json, id);
	data = json_object_get(json_object_get(json, "error"), "data");
	assert_non_null(data);
	assert_string_equal(json_string_value(json_object_get(data, "name")), name);
	if (param == NULL)
		assert_null(json_object_get(data, "param"));
	else
		assert_string_equal(json_string_value(json_object_get(data, "param")), param);
	assert_int_equal(json_integer_value(json_object_get(data, "max")), max);
	json_decref(json);
}

void
expect_result(const char *id)
{
	json_t *json = take_line();

	expect_id(json, id);
	assert_true(json_is_object(json_object_get(json, "result")));
	json_decref(json);
}

size_t
answer_pending(size_t index, const struct answer *answer)
{
	struct call_tag tag = world.pending[index];
	size_t used = SIZE_MAX;

	assert_true(index < world.pending_count);
	world.pending_count--;
	memmove(&world.pending[index], &world.pending[index + 1],
	    (world.pending_count - index) * sizeof(world.pending[0]));
	world.chat_out.answer(world.peer->out, &tag, answer, &used);
	settle();
	return used;
}

void
answer_empty(void)
{
	(void)answer_pending(0, &(struct answer){.kind = ANSWER_EMPTY});
}
