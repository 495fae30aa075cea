/* SPDX-License-Identifier: MIT */
/*
 * The chat core in a world without sockets, files, threads and clocks: shards that exchange mail, the memory
 * store behind a queue, and connections that write down what they were told.  The world moves one step at a
 * time, in an order that a seed picks, so that races happen as often as anything else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/panic.h"
#include "chat/shard.h"
#include "store/driver.h"
#include "store/memory.h"

enum { WORLD_SHARDS = 2, LINKS_MAX = 64, TOLD_MAX = 20000 };

/* What a connection was told of one entry, gap or answer. */
struct told {
	enum { TOLD_ENTRY, TOLD_GAP, TOLD_CONV, TOLD_MARK, TOLD_SIGNAL, TOLD_ANSWER, TOLD_GOAWAY } what;
	uint64_t cid, seq, to; /* gap: seq to to; answer: seq */
	enum err err;
	unsigned tag;
	bool dup;
	enum answer_kind answer;
	enum conv_change change;
	char text[64];
};

struct link {
	struct world *world;
	struct peer *peer;
	unsigned shard;
	bool full; /* refuses what may be refused */
	bool closed;
	char token[TOKEN_TEXT_BYTES + 1];
	char session[24];
	struct told *told;
	size_t count;
	struct { uint64_t cid, next, head, read, unread; } convs[16];
	size_t conv_count, listed;
	bool reset;
	size_t online;
};

struct pending_mail {
	struct mail *mail;
	unsigned to;
};

struct world {
	struct driver *store;
	struct shard *shards[WORLD_SHARDS];
	struct { struct mail *first, **last; } boxes[WORLD_SHARDS], store_queue;
	struct link links[LINKS_MAX];
	size_t link_count;
	uint64_t mono_ms, real_ms;
	uint32_t seed;
	bool store_stopped;
	unsigned next_tag;
};

/* --- The world's machinery --- */

static unsigned
pick(struct world *w, unsigned bound)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return (w->seed >> 8) % bound;
}

static void
world_post(void *cookie, unsigned to, struct mail *mail)
{
	struct world *w = cookie;

	mail->next = NULL;
	*w->boxes[to].last = mail;
	w->boxes[to].last = &mail->next;
}

static void
world_submit(void *cookie, struct op *op)
{
	struct world *w = cookie;

	op->mail.next = NULL;
	*w->store_queue.last = &op->mail;
	w->store_queue.last = &op->mail.next;
}

static void
world_hash(void *cookie, struct hash_job *job)
{
	if (job->verify[0] != '\0')
		job->verified = strncmp(job->verify + 1, job->password, job->password_len) == 0;
	if (job->want_hash)
		(void)snprintf(job->hash, sizeof(job->hash), "$%s", job->fresh != NULL ? job->fresh : job->password);
	world_post(cookie, job->shard, &job->mail);
}

static uint64_t
world_now(void *cookie)
{
	struct world *w = cookie;

	return w->real_ms;
}

static struct told *
tell(struct link *link)
{
	assert_true(link->count < TOLD_MAX);
	link->told[link->count] = (struct told) {0};
	return &link->told[link->count++];
}

/* Runs of this gate are arrays of struct told. */
static void
world_answer(void *out, const struct call_tag *tag, const struct answer *answer, size_t *ret_used)
{
	struct link *link = out;
	struct told *told = tell(link);
	const struct sync_answer *sync = answer->kind == ANSWER_SYNC ? &answer->sync : NULL;

	told->what = TOLD_ANSWER;
	told->answer = answer->kind;
	told->err = answer->kind == ANSWER_FAULT ? answer->fault.err : ERR_OK;
	memcpy(&told->tag, tag->bytes, sizeof(told->tag));
	if (answer->kind == ANSWER_SEND) {
		told->cid = answer->send.cid;
		told->seq = answer->send.seq;
		told->dup = answer->send.dup;
	}
	if (answer->kind == ANSWER_MARK)
		told->seq = answer->mark.read;
	if (answer->kind == ANSWER_HISTORY)
		told->seq = answer->history.count;
	if (answer->kind == ANSWER_WHO)
		link->online = answer->who.online;
	if (answer->kind == ANSWER_PRESENCE)
		for (size_t i = link->online = 0; i < answer->presence.count; i++)
			link->online += answer->presence.items[i].online;
	if (answer->kind == ANSWER_SESSION) {
		memcpy(link->token, answer->session.token.ptr, answer->session.token.len);
		(void)snprintf(link->session, sizeof(link->session), "%.*s", SLICE_ARG(answer->session.session));
		sync = answer->session.sync;
	}
	if (sync == NULL)
		return;
	link->reset = sync->reset;
	link->conv_count = 0;
	for (size_t i = 0; i < sync->count && i < LEN(link->convs); i++) {
		const struct conv_view *view = &sync->items[i];

		link->convs[link->conv_count].cid = view->conv->cid;
		link->convs[link->conv_count].next = view->next;
		link->convs[link->conv_count].head = view->conv->head;
		link->convs[link->conv_count].read = view->conv->read;
		link->convs[link->conv_count++].unread = view->unread;
	}
	*ret_used = sync->count;
}

static struct run *
world_encode(void *gate, unsigned form, const struct event *event)
{
	struct told told = {0};

	(void)gate;
	(void)form;
	switch (event->kind) {
	case EVENT_CONVERSATION:
		told.what = TOLD_CONV;
		told.cid = event->conversation.view.conv->cid;
		told.seq = event->conversation.view.next;
		told.change = event->conversation.change;
		(void)snprintf(told.text, sizeof(told.text), "%.*s", SLICE_ARG(event->conversation.view.conv->title));
		break;
	case EVENT_GAP:
		told.what = TOLD_GAP;
		told.cid = event->gap.cid;
		told.seq = event->gap.from;
		told.to = event->gap.to;
		break;
	case EVENT_MARK:
		told.what = TOLD_MARK;
		told.cid = event->mark.cid;
		told.seq = event->mark.read;
		(void)snprintf(told.text, sizeof(told.text), "%.*s", SLICE_ARG(event->mark.user));
		break;
	case EVENT_SIGNAL:
		told.what = TOLD_SIGNAL;
		told.cid = event->signal.cid;
		(void)snprintf(told.text, sizeof(told.text), "%.*s", SLICE_ARG(event->signal.from));
		break;
	}
	return run_copy(slice_of((const char *)&told, sizeof(told)));
}

static struct run *
world_encode_entries(void *gate, unsigned form, uint64_t cid, const struct conv_facts *facts,
    struct entry *const *entries, size_t count, uint32_t *ends)
{
	struct run *run = run_create(count * sizeof(struct told));

	(void)gate;
	(void)form;
	assert_true(facts->kind == CONV_DIRECT || facts->kind == CONV_GROUP);
	for (size_t i = 0; i < count; i++) {
		struct told told = {.what = TOLD_ENTRY, .cid = cid, .seq = entries[i]->seq};

		(void)snprintf(told.text, sizeof(told.text), "%.*s:%.*s", SLICE_ARG(entries[i]->from),
		    SLICE_ARG(entries[i]->body));
		memcpy(run->bytes + run->len, &told, sizeof(told));
		run->len += (uint32_t)sizeof(told);
		ends[i] = run->len;
	}
	return run;
}

static enum chat_queued
world_queue(void *out, struct run *run, uint32_t offset, uint32_t len, bool must)
{
	struct link *link = out;

	if (link->full && !must)
		return CHAT_FULL;
	assert_int_equal(offset % sizeof(struct told), 0);
	assert_int_equal(len % sizeof(struct told), 0);
	for (uint32_t at = 0; at < len; at += (uint32_t)sizeof(struct told))
		memcpy(tell(link), run->bytes + offset + at, sizeof(struct told));
	return CHAT_QUEUED;
}

static size_t
world_queued_bytes(void *out)
{
	(void)out;
	return 0;
}

static void
world_goaway(void *out, enum goaway reason, uint32_t reconnect_ms)
{
	struct link *link = out;
	struct told *told = tell(link);

	told->what = TOLD_GOAWAY;
	told->seq = reason;
	told->to = reconnect_ms;
	link->closed = true;
}

static void
world_open(struct world *w, uint32_t seed)
{
	struct driver_options options = {.path = "", .readers = 1, .now_ms = world_now, .cookie = w};
	char error[200];

	*w = (struct world) {.seed = seed, .mono_ms = 1000, .real_ms = 1700000000000u};
	w->store = memory_driver.open(&options, error, sizeof(error));
	assert_non_null(w->store);
	w->store_queue.last = &w->store_queue.first;
	for (unsigned i = 0; i < WORLD_SHARDS; i++) {
		struct chat_config config = {
		    .index = i,
		    .count = WORLD_SHARDS,
		    .ports = {w, world_submit, world_hash, world_post},
		    .out = {world_answer, world_encode, world_encode_entries, world_queue, world_queued_bytes,
		        world_goaway, w},
		    .limits = {.body = 16384, .data = 16384, .conversations = 2000, .sessions = 3, .connections = 8,
		        .signal_data = 1024, .registration_open = true, .directory_open = true,
		        .token_ms = 30ull * 86400 * 1000},
		    .node = "test",
		};

		w->store->type->epoch(w->store, config.epoch);
		w->boxes[i].last = &w->boxes[i].first;
		w->shards[i] = shard_create(&config);
	}
}

/* The store takes one batch off its queue: writes in one transaction, reads one by one. */
static bool
store_step(struct world *w)
{
	struct op *writes[32];
	size_t count = 0, batch = 1 + pick(w, LEN(writes));

	if (w->store_stopped || w->store_queue.first == NULL)
		return false;
	while (count < batch && w->store_queue.first != NULL) {
		struct op *op = container_of(w->store_queue.first, struct op, mail);

		w->store_queue.first = op->mail.next;
		if (op_writes(op->kind)) {
			writes[count++] = op;
			continue;
		}
		w->store->type->read(w->store, 0, op);
		world_post(w, op->shard, &op->mail);
		break;
	}
	if (w->store_queue.first == NULL)
		w->store_queue.last = &w->store_queue.first;
	if (count > 0)
		w->store->type->write(w->store, writes, count);
	for (size_t i = 0; i < count; i++)
		world_post(w, writes[i]->shard, &writes[i]->mail);
	return true;
}

static bool
shard_step(struct world *w, unsigned i)
{
	struct mail *first = w->boxes[i].first;
	bool more;

	shard_set_time(w->shards[i], w->mono_ms, w->real_ms, w->mono_ms * 1000000);
	w->boxes[i].first = NULL;
	w->boxes[i].last = &w->boxes[i].first;
	shard_deliver(w->shards[i], first);
	more = shard_turn(w->shards[i]);
	return more || first != NULL;
}

static void
step(struct world *w)
{
	unsigned which = pick(w, WORLD_SHARDS + 1);

	if (which == WORLD_SHARDS)
		(void)store_step(w);
	else
		(void)shard_step(w, which);
}

/* Until nothing moves any more. */
static void
settle(struct world *w)
{
	bool moved = true;

	for (unsigned turns = 0; moved; turns++) {
		assert_true(turns < 100000);
		moved = store_step(w);
		for (unsigned i = 0; i < WORLD_SHARDS; i++)
			moved = shard_step(w, i) || moved;
		for (unsigned i = 0; i < WORLD_SHARDS; i++)
			moved = moved || w->boxes[i].first != NULL;
		moved = moved || (w->store_queue.first != NULL && !w->store_stopped);
	}
}

static struct link *
link_open(struct world *w, unsigned shard)
{
	struct link *link = &w->links[w->link_count++];

	assert_true(w->link_count <= LINKS_MAX);
	link->world = w;
	link->shard = shard;
	link->told = mem_alloc(TOLD_MAX * sizeof(*link->told));
	link->peer = peer_create(w->shards[shard], link, shard % 2, S("127.0.0.1"));
	return link;
}

static void
link_close(struct link *link)
{
	peer_destroy(&link->peer);
	mem_free(link->told);
	link->told = NULL;
}

static void
world_close(struct world *w)
{
	w->store_stopped = false;
	settle(w);
	for (size_t i = 0; i < w->link_count; i++)
		if (w->links[i].told != NULL)
			link_close(&w->links[i]);
	settle(w);
	for (unsigned i = 0; i < WORLD_SHARDS; i++)
		shard_destroy(&w->shards[i]);
	w->store->type->close(&w->store);
}

/* --- What the tests say --- */

static struct call_tag
tag(struct world *w, unsigned *ret_tag)
{
	struct call_tag t = {0};

	*ret_tag = ++w->next_tag;
	memcpy(t.bytes, ret_tag, sizeof(*ret_tag));
	return t;
}

static const struct told *
answer_to(const struct link *link, unsigned wanted)
{
	for (size_t i = 0; i < link->count; i++)
		if (link->told[i].what == TOLD_ANSWER && link->told[i].tag == wanted)
			return &link->told[i];
	return NULL;
}

static enum err
answered(struct link *link, unsigned wanted)
{
	const struct told *told;

	settle(link->world);
	told = answer_to(link, wanted);
	assert_non_null(told);
	return told->err;
}

static enum err
do_register(struct link *link, const char *name, bool sync)
{
	struct register_command cmd = {.user = slice_str(name), .password = S("open sesame")};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	cmd.sync = (struct sync_command) {.given = sync, .backlog = 50};
	chat_register(link->peer, &t, &cmd);
	return answered(link, n);
}

static enum err
do_login(struct link *link, const char *name, const char *password, bool sync)
{
	struct login_command cmd = {.user = slice_str(name), .password = slice_str(password)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	cmd.sync = (struct sync_command) {.given = sync, .backlog = 50};
	chat_login(link->peer, &t, &cmd);
	return answered(link, n);
}

static enum err
do_resume(struct link *link, const char *token)
{
	struct resume_command cmd = {.token = slice_str(token)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_resume(link->peer, &t, &cmd);
	return answered(link, n);
}

static unsigned
start_sync(struct link *link, uint64_t cid, uint64_t cursor, uint32_t backlog)
{
	struct op_cursor cursors[] = {{cid, cursor}};
	struct sync_command cmd = {.given = true, .backlog = backlog};
	char epoch[EPOCH_BYTES];
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	link->world->store->type->epoch(link->world->store, epoch);
	if (cid != 0) {
		cmd.epoch = slice_str(epoch);
		cmd.cursors = cursors;
		cmd.cursor_count = 1;
	}
	chat_sync(link->peer, &t, &cmd);
	return n;
}

static unsigned
start_send(struct link *link, struct target to, const char *body, const char *cmid)
{
	struct send_command cmd = {.to = to, .body = slice_str(body), .cmid = slice_str(cmid)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_send(link->peer, &t, &cmd);
	return n;
}

static struct target
at(const char *name)
{
	return (struct target) {.kind = TARGET_USER, .name = slice_str(name)};
}

static struct target
cid(uint64_t n)
{
	return (struct target) {.kind = TARGET_CID, .cid = n};
}

static size_t
count_told(const struct link *link, int what, uint64_t conv)
{
	size_t count = 0;

	for (size_t i = 0; i < link->count; i++)
		count += link->told[i].what == (unsigned)what && link->told[i].cid == conv;
	return count;
}

/* The stream of a conversation goes from `next` to `head` without a hole or repeat, gaps included. */
static void
assert_stream(const struct link *link, uint64_t conv, uint64_t next, uint64_t head)
{
	for (size_t i = 0; i < link->count; i++) {
		const struct told *t = &link->told[i];

		if (t->cid != conv || (t->what != TOLD_ENTRY && t->what != TOLD_GAP))
			continue;
		assert_int_equal(t->seq, next);
		next = (t->what == TOLD_GAP ? t->to : t->seq) + 1;
	}
	assert_int_equal(next, head + 1);
}

/* --- Tests --- */

static void
two_people_talk(void **state)
{
	struct world w;
	struct link *alice, *bob;
	unsigned n;

	(void)state;
	world_open(&w, 1);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	n = start_send(alice, at("bob"), "hi", "c1");
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(answer_to(alice, n)->seq, 1);
	uint64_t conv = answer_to(alice, n)->cid;
	n = start_send(bob, at("alice"), "ho", NULL);
	assert_int_equal(answered(bob, n), ERR_OK);
	assert_int_equal(answer_to(bob, n)->cid, conv);
	assert_int_equal(answer_to(bob, n)->seq, 2);
	assert_stream(alice, conv, 1, 2);
	assert_stream(bob, conv, 1, 2);
	assert_int_equal(count_told(alice, TOLD_CONV, conv), 1);
	assert_int_equal(count_told(bob, TOLD_CONV, conv), 1);
	for (size_t i = 0; i < bob->count; i++)
		if (bob->told[i].what == TOLD_CONV) {
			assert_string_equal(bob->told[i].text, "alice");
			assert_int_equal(bob->told[i].change, CONV_ADDED);
			assert_int_equal(bob->told[i].seq, 1);
		}
	/* To oneself, to nobody, to a stranger's conversation. */
	assert_int_equal(answered(alice, start_send(alice, at("alice"), "x", NULL)), ERR_INVALID_PARAMS);
	assert_int_equal(answered(alice, start_send(alice, at("carol"), "x", NULL)), ERR_NOT_FOUND);
	assert_int_equal(answered(alice, start_send(alice, cid(4711), "x", NULL)), ERR_NOT_FOUND);
	world_close(&w);
}

static void
entering_and_its_errors(void **state)
{
	struct world w;
	struct link *a, *b, *c;

	(void)state;
	world_open(&w, 2);
	a = link_open(&w, 0);
	b = link_open(&w, 1);
	c = link_open(&w, 1);
	assert_int_equal(do_register(a, "Alice", false), ERR_OK);
	assert_int_equal(do_register(a, "alice2", false), ERR_ALREADY_LOGGED_IN);
	assert_int_equal(do_register(b, "ALICE", false), ERR_NAME_TAKEN);
	assert_int_equal(do_register(b, "server", false), ERR_NAME_TAKEN);
	assert_int_equal(do_register(b, "a", false), ERR_INVALID_PARAMS);
	assert_int_equal(do_login(b, "alice", "wrong", false), ERR_BAD_CREDENTIALS);
	assert_int_equal(do_login(b, "nobody", "open sesame", false), ERR_BAD_CREDENTIALS);
	assert_int_equal(do_login(b, "alice", "open sesame", false), ERR_OK);
	assert_int_equal(do_resume(c, "nonsense"), ERR_TOKEN_INVALID);
	assert_int_equal(do_resume(c, a->token), ERR_OK);
	assert_string_equal(c->session, a->session);
	assert_string_not_equal(b->session, a->session);
	world_close(&w);
}

static void
sessions_end_everywhere(void **state)
{
	struct world w;
	struct link *a, *b, *c;
	struct call_tag t;
	unsigned n;

	(void)state;
	world_open(&w, 3);
	a = link_open(&w, 0);
	b = link_open(&w, 1);
	c = link_open(&w, 1);
	assert_int_equal(do_register(a, "alice", true), ERR_OK);
	assert_int_equal(do_login(b, "alice", "open sesame", true), ERR_OK);
	t = tag(&w, &n);
	chat_session_revoke(a->peer, &t, slice_str(b->session));
	assert_int_equal(answered(a, n), ERR_OK);
	assert_true(b->closed && !a->closed);
	assert_int_equal(answered(b, start_send(b, at("alice"), "x", NULL)), ERR_SESSION_REVOKED);
	assert_int_equal(do_resume(c, b->token), ERR_TOKEN_INVALID);
	t = tag(&w, &n);
	chat_password_change(a->peer, &t, S("nope nope"), S("another one"));
	assert_int_equal(answered(a, n), ERR_BAD_CREDENTIALS);
	t = tag(&w, &n);
	chat_password_change(a->peer, &t, S("open sesame"), S("another one"));
	assert_int_equal(answered(a, n), ERR_OK);
	assert_int_equal(do_login(c, "alice", "open sesame", false), ERR_BAD_CREDENTIALS);
	assert_int_equal(do_login(c, "alice", "another one", false), ERR_OK);
	t = tag(&w, &n);
	chat_logout(c->peer, &t, true);
	assert_int_equal(answered(c, n), ERR_OK);
	assert_true(a->closed);
	world_close(&w);
}

/* A thousand sends written in one go, the first of them to a conversation that is not there yet. */
static void
sends_keep_their_order(void **state)
{
	struct world w;
	struct link *alice, *bob;
	unsigned tags[1000], last = 0;
	uint64_t seq = 0;

	(void)state;
	for (uint32_t seed = 0; seed < 20; seed++) {
		world_open(&w, seed);
		alice = link_open(&w, 0);
		bob = link_open(&w, 1);
		assert_int_equal(do_register(alice, "alice", true), ERR_OK);
		assert_int_equal(do_register(bob, "bob", true), ERR_OK);
		for (unsigned i = 0; i < LEN(tags); i++) {
			tags[i] = start_send(alice, at("bob"), "x", NULL);
			if (i % 7 == seed % 7)
				step(&w);
		}
		settle(&w);
		last = 0;
		seq = 0;
		for (size_t i = 0; i < alice->count; i++) {
			const struct told *told = &alice->told[i];

			if (told->what != TOLD_ANSWER || told->answer != ANSWER_SEND)
				continue;
			assert_true(told->tag > last);
			assert_int_equal(told->seq, ++seq);
			last = told->tag;
		}
		assert_int_equal(seq, LEN(tags));
		assert_int_equal(last, tags[LEN(tags) - 1]);
		assert_stream(bob, alice->told[alice->count - 1].cid, 1, seq);
		assert_stream(alice, alice->told[alice->count - 1].cid, 1, seq);
		world_close(&w);
	}
}

/* Named by cid and by name in turn, with the name unknown to the shard: still in order. */
static void
mixed_targets_keep_their_order(void **state)
{
	struct world w;
	struct link *bob, *alice;
	uint64_t conv, seq = 1;
	unsigned first;

	(void)state;
	for (uint32_t seed = 0; seed < 30; seed++) {
		world_open(&w, seed);
		bob = link_open(&w, 1);
		alice = link_open(&w, 0);
		assert_int_equal(do_register(bob, "bob", true), ERR_OK);
		assert_int_equal(do_register(alice, "alice", true), ERR_OK);
		assert_int_equal(answered(bob, first = start_send(bob, at("alice"), "x", NULL)), ERR_OK);
		conv = answer_to(bob, first)->cid;
		seq = 1;
		first = w.next_tag;
		for (unsigned i = 0; i < 20; i++)
			(void)start_send(alice, i % 3 == 1 ? at("bob") : cid(conv), "y", NULL);
		while (pick(&w, 50) != 0)
			step(&w);
		settle(&w);
		for (unsigned i = 1; i <= 20; i++)
			assert_int_equal(answer_to(alice, first + i)->seq, ++seq);
		world_close(&w);
	}
}

static void
one_cmid_is_one_message(void **state)
{
	struct world w;
	struct link *links[3], *bob;
	uint64_t conv;
	unsigned dups;

	(void)state;
	for (uint32_t seed = 0; seed < 30; seed++) {
		unsigned tags[3];

		world_open(&w, seed);
		bob = link_open(&w, 1);
		assert_int_equal(do_register(bob, "bob", true), ERR_OK);
		for (unsigned i = 0; i < 3; i++) {
			links[i] = link_open(&w, i % 2);
			assert_int_equal(i == 0 ? do_register(links[i], "alice", true)
			                        : do_login(links[i], "alice", "open sesame", true),
			    ERR_OK);
		}
		for (unsigned i = 0; i < 3; i++)
			tags[i] = start_send(links[i], at("bob"), "once", "the-cmid");
		while (pick(&w, 20) != 0)
			step(&w);
		settle(&w);
		dups = 0;
		conv = answer_to(links[0], tags[0])->cid;
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(answer_to(links[i], tags[i])->err, ERR_OK);
			assert_int_equal(answer_to(links[i], tags[i])->seq, 1);
			dups += answer_to(links[i], tags[i])->dup;
			assert_stream(links[i], conv, 1, 1);
			assert_int_equal(count_told(links[i], TOLD_CONV, conv), 1);
		}
		assert_int_equal(dups, 2);
		assert_stream(bob, conv, 1, 1);
		assert_int_equal(answered(links[0], start_send(links[0], cid(conv), "twice", "the-cmid")),
		    ERR_CONFLICT);
		world_close(&w);
	}
}

/* Connections come, sync and go while others write: nobody sees a hole or anything twice. */
static void
sync_races_with_traffic(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t seed = 0; seed < 60; seed++) {
		struct link *alice, *bob, *late[6];
		uint64_t conv, cursors[6];
		unsigned n, sent = 1;

		world_open(&w, seed);
		alice = link_open(&w, 0);
		bob = link_open(&w, 1);
		assert_int_equal(do_register(alice, "alice", true), ERR_OK);
		assert_int_equal(do_register(bob, "bob", true), ERR_OK);
		n = start_send(alice, at("bob"), "first", NULL);
		assert_int_equal(answered(alice, n), ERR_OK);
		conv = answer_to(alice, n)->cid;
		for (unsigned i = 0; i < LEN(late); i++) {
			late[i] = link_open(&w, i % 2);
			assert_int_equal(do_resume(late[i], i < 3 ? alice->token : bob->token), ERR_OK);
		}
		for (unsigned i = 0; i < LEN(late); i++) {
			for (unsigned k = pick(&w, 200); k > 0; k--) {
				if (pick(&w, 3) == 0 && sent < 300) {
					(void)start_send(pick(&w, 2) ? alice : bob,
					    pick(&w, 2) ? cid(conv) : at("bob"), "live", NULL);
					sent++;
				}
				late[pick(&w, LEN(late))]->full = pick(&w, 4) == 0;
				step(&w);
			}
			cursors[i] = pick(&w, 2);
			(void)start_sync(late[i], conv, cursors[i], pick(&w, 2) ? 500 : 5);
		}
		settle(&w);
		for (unsigned i = 0; i < LEN(late); i++) {
			late[i]->full = false;
			peer_drained(late[i]->peer);
		}
		settle(&w);
		/* What bob sent to himself by name was refused. */
		sent = 0;
		for (size_t i = 0; i < alice->count; i++)
			sent += alice->told[i].what == TOLD_ENTRY;
		assert_stream(alice, conv, 1, sent);
		assert_stream(bob, conv, 1, sent);
		for (unsigned i = 0; i < LEN(late); i++)
			assert_stream(late[i], conv, cursors[i] + 1, sent);
		world_close(&w);
	}
}

static void
backlog_gap_and_reset(void **state)
{
	struct world w;
	struct link *alice, *late;
	uint64_t conv;
	unsigned n;

	(void)state;
	world_open(&w, 5);
	alice = link_open(&w, 0);
	late = link_open(&w, 1);
	assert_int_equal(do_register(late, "bob", false), ERR_OK);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	for (unsigned i = 0; i < 100; i++)
		n = start_send(alice, at("bob"), "x", NULL);
	assert_int_equal(answered(alice, n), ERR_OK);
	conv = answer_to(alice, n)->cid;
	assert_int_equal(answered(late, start_sync(late, 0, 0, 10)), ERR_OK);
	assert_int_equal(late->conv_count, 1);
	assert_int_equal(late->convs[0].next, 1);
	assert_int_equal(late->convs[0].head, 100);
	assert_int_equal(late->convs[0].unread, 100);
	assert_int_equal(count_told(late, TOLD_GAP, conv), 1);
	assert_int_equal(count_told(late, TOLD_ENTRY, conv), 10);
	assert_stream(late, conv, 1, 100);
	assert_int_equal(answered(late, start_sync(late, 0, 0, 10)), ERR_ALREADY);
	/* A cursor above head voids all of them. */
	struct link *again = link_open(&w, 0);
	assert_int_equal(do_resume(again, late->token), ERR_OK);
	assert_int_equal(answered(again, start_sync(again, conv, 101, 500)), ERR_OK);
	assert_true(again->reset);
	assert_stream(again, conv, 1, 100);
	world_close(&w);
}

static void
slow_readers_are_fed(void **state)
{
	struct world w;
	struct link *alice, *bob;
	uint64_t conv;
	unsigned n;

	(void)state;
	world_open(&w, 6);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	assert_int_equal(answered(alice, n = start_send(alice, at("bob"), "x", NULL)), ERR_OK);
	conv = answer_to(alice, n)->cid;
	bob->full = true;
	for (unsigned i = 0; i < 1000; i++)
		n = start_send(alice, cid(conv), "x", NULL);
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(count_told(bob, TOLD_ENTRY, conv), 1);
	bob->full = false;
	peer_drained(bob->peer);
	(void)start_send(alice, cid(conv), "and one more", NULL);
	settle(&w);
	assert_stream(bob, conv, 1, 1002);
	assert_int_equal(count_told(bob, TOLD_GAP, conv), 0);
	world_close(&w);
}

static void
marks_signals_and_presence(void **state)
{
	struct world w;
	struct link *alice, *phone, *bob;
	struct call_tag t;
	uint64_t conv;
	unsigned n;

	(void)state;
	world_open(&w, 7);
	alice = link_open(&w, 0);
	phone = link_open(&w, 1);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_login(phone, "alice", "open sesame", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	assert_int_equal(answered(bob, n = start_send(bob, at("alice"), "x", NULL)), ERR_OK);
	conv = answer_to(bob, n)->cid;
	t = tag(&w, &n);
	chat_mark(alice->peer, &t, &(struct mark_command) {.conv = cid(conv), .read = 99});
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(answer_to(alice, n)->seq, 1);
	assert_int_equal(count_told(alice, TOLD_MARK, conv), 0);
	assert_int_equal(count_told(phone, TOLD_MARK, conv), 1);
	assert_int_equal(count_told(bob, TOLD_MARK, conv), 1);
	t = tag(&w, &n);
	chat_mark(phone->peer, &t, &(struct mark_command) {.conv = cid(conv), .read = 1});
	assert_int_equal(answered(phone, n), ERR_OK);
	assert_int_equal(count_told(bob, TOLD_MARK, conv), 1);
	t = tag(&w, &n);
	chat_signal(alice->peer, &t, &(struct signal_command) {.to = at("bob"), .kind = S("typing")});
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(count_told(bob, TOLD_SIGNAL, conv), 1);
	assert_int_equal(count_told(phone, TOLD_SIGNAL, conv), 0);
	t = tag(&w, &n);
	chat_who(bob->peer, &t, &(struct who_command) {.scope = WHO_ALL, .limit = 100});
	assert_int_equal(answered(bob, n), ERR_OK);
	assert_int_equal(bob->online, 2);
	t = tag(&w, &n);
	chat_who(bob->peer, &t, &(struct who_command) {.scope = WHO_CONV, .conv = cid(conv), .limit = 100});
	assert_int_equal(answered(bob, n), ERR_OK);
	assert_int_equal(bob->online, 2);
	link_close(alice);
	link_close(phone);
	t = tag(&w, &n);
	chat_presence_get(bob->peer, &t, (slice[]) {S("alice"), S("bob"), S("nobody")}, 3);
	assert_int_equal(answered(bob, n), ERR_OK);
	assert_int_equal(bob->online, 1);
	world_close(&w);
}

/* The store does not answer: the request is answered in time, and what it stored later is still handed on. */
static void
late_store_is_no_lie(void **state)
{
	struct world w;
	struct link *alice, *bob;
	uint64_t conv;
	unsigned n;

	(void)state;
	world_open(&w, 8);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	assert_int_equal(answered(alice, n = start_send(alice, at("bob"), "x", NULL)), ERR_OK);
	conv = answer_to(alice, n)->cid;
	w.store_stopped = true;
	n = start_send(alice, cid(conv), "late", "c2");
	settle(&w);
	assert_null(answer_to(alice, n));
	w.mono_ms += CALL_DEADLINE_MS;
	settle(&w);
	shard_tick(w.shards[0]);
	assert_non_null(answer_to(alice, n));
	assert_int_equal(answer_to(alice, n)->err, ERR_UNKNOWN_OUTCOME);
	w.store_stopped = false;
	settle(&w);
	assert_stream(bob, conv, 1, 2);
	assert_int_equal(answered(alice, n = start_send(alice, cid(conv), "late", "c2")), ERR_OK);
	assert_true(answer_to(alice, n)->dup);
	assert_int_equal(answer_to(alice, n)->seq, 2);
	world_close(&w);
}

/* The connection is gone while its requests are under way. */
static void
answers_to_nobody_are_skipped(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t seed = 0; seed < 40; seed++) {
		struct link *alice, *bob;

		world_open(&w, seed);
		alice = link_open(&w, 0);
		bob = link_open(&w, 1);
		assert_int_equal(do_register(bob, "bob", true), ERR_OK);
		assert_int_equal(do_register(alice, "alice", false), ERR_OK);
		(void)start_sync(alice, 0, 0, 50);
		for (unsigned i = 0; i < 20; i++)
			(void)start_send(alice, at("bob"), "x", NULL);
		for (unsigned k = pick(&w, 30); k > 0; k--)
			step(&w);
		link_close(alice);
		settle(&w);
		for (unsigned i = 0; i < WORLD_SHARDS; i++)
			assert_int_equal(shard_calls(w.shards[i]), 0);
		world_close(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(two_people_talk),
	    cmocka_unit_test(entering_and_its_errors),
	    cmocka_unit_test(sessions_end_everywhere),
	    cmocka_unit_test(sends_keep_their_order),
	    cmocka_unit_test(mixed_targets_keep_their_order),
	    cmocka_unit_test(one_cmid_is_one_message),
	    cmocka_unit_test(sync_races_with_traffic),
	    cmocka_unit_test(backlog_gap_and_reset),
	    cmocka_unit_test(slow_readers_are_fed),
	    cmocka_unit_test(marks_signals_and_presence),
	    cmocka_unit_test(late_store_is_no_lie),
	    cmocka_unit_test(answers_to_nobody_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
