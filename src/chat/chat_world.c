/* SPDX-License-Identifier: MIT */
#include "chat/chat_world.h"

#include "base/mem.h"
#include "base/panic.h"
#include "store/driver.h"

/* --- The world's machinery --- */

unsigned
pick(struct world *w, unsigned bound)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return (w->seed >> 8) % bound;
}

void
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
		(void)snprintf(job->hash, sizeof(job->hash), "$%s",
		    job->fresh != NULL ? job->fresh : job->password);
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
	link->told[link->count] = (struct told){0};
	return &link->told[link->count++];
}

/* "bob=contact/online carol=blocked", as far as there is room. */
static void
tell_contacts(struct told *told, const struct answer *answer)
{
	static const char *const states[] = {"", "requested", "incoming", "contact", "blocked"};
	const struct op_contacts_page *page = answer->contacts.of;
	size_t len = 0;

	told->seq = page->count;
	told->to = page->more;
	for (size_t i = 0; i < page->count && len < sizeof(told->text); i++)
		len += (size_t)snprintf(told->text + len, sizeof(told->text) - len, "%s%.*s=%s%s",
		    i > 0 ? " " : "", SLICE_ARG(page->items[i].name), states[page->items[i].state],
		    answer->contacts.presence[i].state == PRESENCE_ONLINE ? "/online" : "");
}

/* What is shown of a user: seq is the state, to when he was seen, text his name and what he says. */
static void
shown_of(struct told *told, const struct online_user *user)
{
	told->seq = user->state;
	told->to = user->seen;
	(void)snprintf(told->text, sizeof(told->text), "%.*s%s%.*s", SLICE_ARG(user->name),
	    slice_given(user->text) ? ":" : "", SLICE_ARG(user->text));
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
	if (answer->kind == ANSWER_GROUP) {
		told->cid = answer->group.cid;
		told->seq = answer->group.seq;
	}
	if (answer->kind == ANSWER_GROUP_INFO)
		link->online = answer->group_info.online;
	if (answer->kind == ANSWER_MARK)
		told->seq = answer->mark.read;
	if (answer->kind == ANSWER_HISTORY)
		told->seq = answer->history.count;
	if (answer->kind == ANSWER_WHO) {
		link->online = answer->who.online;
		told->seq = answer->who.count;
		told->to = answer->who.more;
		if (answer->who.count > 0)
			(void)snprintf(told->text, sizeof(told->text), "%.*s",
			    SLICE_ARG(answer->who.items[answer->who.count - 1].name));
	}
	if (answer->kind == ANSWER_SESSIONS) {
		told->seq = answer->sessions.count;
		link->online = answer->sessions.online_count;
	}
	if (answer->kind == ANSWER_CONTACTS)
		tell_contacts(told, answer);
	if (answer->kind == ANSWER_PRESENCE && answer->presence.count > 0)
		shown_of(told, &answer->presence.items[0]);
	if (answer->kind == ANSWER_PRESENCE)
		for (size_t i = link->online = 0; i < answer->presence.count; i++)
			link->online += answer->presence.items[i].state != PRESENCE_OFFLINE;
	if (answer->kind == ANSWER_SESSION) {
		memcpy(link->token, answer->session.token.ptr, answer->session.token.len);
		(void)snprintf(link->session, sizeof(link->session), "%.*s",
		    SLICE_ARG(answer->session.session));
		sync = answer->session.sync;
	}
	if (sync == NULL)
		return;
	link->synced = true;
	link->reset = sync->reset;
	link->conv_count = 0;
	for (size_t i = 0; i < sync->count && i < LEN(link->convs); i++) {
		const struct conv_view *view = &sync->items[i];

		link->convs[link->conv_count].cid = view->conv->cid;
		link->convs[link->conv_count].next = view->next;
		link->convs[link->conv_count].member = view->conv->role != ROLE_NONE;
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
		(void)snprintf(told.text, sizeof(told.text), "%.*s",
		    SLICE_ARG(event->conversation.view.conv->title));
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
	case EVENT_PRESENCE:
		told.what = TOLD_PRESENCE;
		shown_of(&told, &event->presence);
		break;
	case EVENT_CONTACT:
		told.what = TOLD_CONTACT;
		told.seq = event->contact.news;
		(void)snprintf(
		    told.text, sizeof(told.text), "%.*s", SLICE_ARG(event->contact.user));
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
		struct told told = {.what = TOLD_ENTRY,
		    .cid = cid,
		    .seq = entries[i]->seq,
		    .to = entries[i]->edited};

		(void)snprintf(told.text, sizeof(told.text), "%.*s:%.*s",
		    SLICE_ARG(entries[i]->from), SLICE_ARG(entries[i]->body));
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

/* Ports of a node have its own cookie. */
static void
world_ring(void *cookie, enum ring_scope scope, uint64_t id, slice bytes)
{
	struct world *w = cookie;

	w->node.ring(w->node.cookie, scope, id, bytes);
}

static void
world_interest(void *cookie, enum ring_scope scope, uint64_t id, bool wanted)
{
	struct world *w = cookie;

	w->node.interest(w->node.cookie, scope, id, wanted);
}

void
world_open(struct world *w, uint32_t seed)
{
	struct driver_options options = {
	    .path = "", .readers = 1, .now_ms = world_now, .cookie = w};
	struct world_node node = {.shards = WORLD_SHARDS};
	char error[200];

	node.store = memory_driver.open(&options, error, sizeof(error));
	assert_non_null(node.store);
	world_open_node(w, seed, &node);
}

void
world_open_node(struct world *w, uint32_t seed, const struct world_node *node)
{
	*w = (struct world){.seed = seed,
	    .mono_ms = 1000,
	    .real_ms = 1700000000000u,
	    .store = node->store,
	    .shard_count = node->shards,
	    .node = *node};
	w->store_queue.last = &w->store_queue.first;
	w->limits = (struct chat_limits){
	    .conversations = 2000,
	    .groups = 1000,
	    .members = 100000,
	    .contacts = 5,
	    .sessions = 3,
	    .connections = 8,
	    .registration_open = true,
	    .directory_open = true,
	    .token_ms = 30ull * 86400 * 1000,
	    .leave_ms = 5000,
	};
	w->buckets = rate_table_create();
	w->known = rate_table_create();
	for (unsigned i = 0; i < w->shard_count; i++) {
		struct chat_config config = {
		    .index = i,
		    .count = w->shard_count,
		    .ports = {w, world_submit, world_hash, world_post,
			node->ring != NULL ? world_ring : NULL,
			node->ring != NULL ? world_interest : NULL},
		    .out = {world_answer, world_encode, world_encode_entries, world_queue,
			world_goaway, w},
		    .limits = w->limits,
		    .entering = WORLD_ENTERING,
		    .entering_beside = WORLD_ENTERING_BESIDE,
		    .buckets = w->buckets,
		    .known = w->known,
		};

		if (node->name != NULL)
			(void)snprintf(config.node, sizeof(config.node), "%s", node->name);
		w->store->type->epoch(w->store, config.epoch);
		w->boxes[i].last = &w->boxes[i].first;
		w->shards[i] = shard_create(&config);
	}
}

static void
store_read(struct world *w, struct op *op)
{
	bool fails = w->read_faults != 0 && pick(w, w->read_faults) == 0;

	w->reads++;
	if (w->fail_reads > 0) {
		w->fail_reads--;
		fails = true;
	}
	if (fails || w->dead)
		op->fault = (struct fault){.err = ERR_UNAVAILABLE};
	else
		w->store->type->read(w->store, 0, op);
	if (w->reorders && w->kept_back == NULL && pick(w, 2) == 0)
		w->kept_back = op;
	else
		world_post(w, op->shard, &op->mail);
}

static void
store_write(struct world *w, struct op **ops, size_t count)
{
	enum err err = w->dead ? ERR_UNAVAILABLE : w->next_write;

	w->next_write = ERR_OK;
	if (err == ERR_OK && w->write_faults != 0 && pick(w, w->write_faults) == 0)
		err = pick(w, 2) ? ERR_UNKNOWN_OUTCOME : ERR_UNAVAILABLE;
	if (err != ERR_UNAVAILABLE)
		w->store->type->write(w->store, ops, count);
	for (size_t i = 0; i < count; i++) {
		if (err != ERR_OK && (err == ERR_UNAVAILABLE || ops[i]->fault.err == ERR_OK))
			ops[i]->fault = (struct fault){.err = err};
		/* Of a group that is perhaps there nobody knows which it is. */
		if (ops[i]->kind == OP_GROUP && ops[i]->in.group.what == GROUP_CREATE &&
		    ops[i]->fault.err == ERR_UNKNOWN_OUTCOME)
			ops[i]->in.target.cid = 0;
		world_post(w, ops[i]->shard, &ops[i]->mail);
	}
}

/* Another reader is quicker than those who came before: a read from the middle of the queue. */
static bool
store_overtake(struct world *w)
{
	struct mail **link = &w->store_queue.first;

	for (unsigned skip = pick(w, 8); *link != NULL; link = &(*link)->next) {
		struct op *op = container_of(*link, struct op, mail);

		if (op_writes(op->kind) || skip-- > 0)
			continue;
		*link = op->mail.next;
		if (w->store_queue.last == &op->mail.next)
			w->store_queue.last = link;
		store_read(w, op);
		return true;
	}
	return false;
}

bool
store_step(struct world *w)
{
	struct op *writes[32], *kept = w->kept_back;
	size_t count = 0, batch = 1 + pick(w, LEN(writes));

	if (kept != NULL && pick(w, 2) == 0) {
		w->kept_back = NULL;
		world_post(w, kept->shard, &kept->mail);
	}
	if (w->store_stopped || w->store_queue.first == NULL)
		return kept != NULL;
	if (w->reorders && pick(w, 2) == 0 && store_overtake(w))
		return true;
	while (count < batch && w->store_queue.first != NULL) {
		struct op *op = container_of(w->store_queue.first, struct op, mail);

		if (!op_writes(op->kind) && count > 0)
			break;
		w->store_queue.first = op->mail.next;
		if (w->store_queue.first == NULL)
			w->store_queue.last = &w->store_queue.first;
		if (!op_writes(op->kind)) {
			store_read(w, op);
			break;
		}
		writes[count++] = op;
	}
	if (count > 0)
		store_write(w, writes, count);
	return true;
}

bool
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

void
step(struct world *w)
{
	unsigned which = pick(w, w->shard_count + 1);

	if (which == w->shard_count)
		(void)store_step(w);
	else
		(void)shard_step(w, which);
}

bool
world_round(struct world *w)
{
	bool moved = store_step(w);

	for (unsigned i = 0; i < w->shard_count; i++)
		moved = shard_step(w, i) || moved;
	for (unsigned i = 0; i < w->shard_count; i++)
		moved = moved || w->boxes[i].first != NULL;
	return moved || (w->store_queue.first != NULL && !w->store_stopped);
}

void
settle(struct world *w)
{
	for (unsigned turns = 0; world_round(w); turns++)
		assert_true(turns < 100000);
}

struct link *
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

void
link_close(struct link *link)
{
	peer_destroy(&link->peer);
	mem_free(link->told);
	link->told = NULL;
}

void
world_pass(struct world *w, uint64_t ms)
{
	w->mono_ms += ms;
	w->real_ms += ms;
	for (unsigned i = 0; i < w->shard_count; i++) {
		shard_set_time(w->shards[i], w->mono_ms, w->real_ms, w->mono_ms * 1000000);
		shard_tick(w->shards[i]);
	}
}

void
world_close(struct world *w)
{
	w->store_stopped = false;
	w->read_faults = w->write_faults = w->fail_reads = 0;
	settle(w);
	for (size_t i = 0; i < w->link_count; i++)
		if (w->links[i].told != NULL)
			link_close(&w->links[i]);
	settle(w);
	for (unsigned i = 0; i < w->shard_count; i++)
		shard_destroy(&w->shards[i]);
	rate_table_destroy(&w->buckets);
	rate_table_destroy(&w->known);
	if (w->node.ring == NULL)
		w->store->type->close(&w->store);
}

/* --- What the tests say --- */

struct call_tag
tag(struct world *w, unsigned *ret_tag)
{
	struct call_tag t = {0};

	*ret_tag = ++w->next_tag;
	memcpy(t.bytes, ret_tag, sizeof(*ret_tag));
	return t;
}

const struct told *
answer_to(const struct link *link, unsigned wanted)
{
	for (size_t i = 0; i < link->count; i++)
		if (link->told[i].what == TOLD_ANSWER && link->told[i].tag == wanted)
			return &link->told[i];
	return NULL;
}

enum err
answered(struct link *link, unsigned wanted)
{
	const struct told *told;

	settle(link->world);
	told = answer_to(link, wanted);
	assert_non_null(told);
	return told->err;
}

enum err
do_register(struct link *link, const char *name, bool sync)
{
	struct register_command cmd = {.user = slice_str(name), .password = S("open sesame")};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	cmd.sync = (struct sync_command){.given = sync, .backlog = 50};
	chat_register(link->peer, &t, &cmd);
	return answered(link, n);
}

enum err
do_login(struct link *link, const char *name, const char *password, bool sync)
{
	struct login_command cmd = {.user = slice_str(name), .password = slice_str(password)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	cmd.sync = (struct sync_command){.given = sync, .backlog = 50};
	chat_login(link->peer, &t, &cmd);
	return answered(link, n);
}

enum err
do_resume(struct link *link, const char *token)
{
	struct resume_command cmd = {.token = slice_str(token)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_resume(link->peer, &t, &cmd);
	return answered(link, n);
}

unsigned
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

unsigned
start_send(struct link *link, struct target to, const char *body, const char *cmid)
{
	struct send_command cmd = {.to = to, .body = slice_str(body), .cmid = slice_str(cmid)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_send(link->peer, &t, &cmd);
	return n;
}

struct target
at(const char *name)
{
	return (struct target){.kind = TARGET_USER, .name = slice_str(name)};
}

struct target
cid(uint64_t n)
{
	return (struct target){.kind = TARGET_CID, .cid = n};
}

size_t
count_told(const struct link *link, int what, uint64_t conv)
{
	size_t count = 0;

	for (size_t i = 0; i < link->count; i++)
		count += link->told[i].what == (unsigned)what && link->told[i].cid == conv;
	return count;
}

void
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
