/* SPDX-License-Identifier: MIT */
/* Users who write to one another, through gate, shard and memory store. */
#include "cost.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/panic.h"
#include "store/memory.h"

enum {
	BODY_BYTES = 200,
	WINDOW = 16, /* messages in flight of a direct conversation */
	BURST = 32,  /* of a group */
	ROUNDS = 8,
	SMALL_GROUP = 100,
	LARGE_GROUP = 1000,
	FRIENDS = 20, /* whom the one who resumes writes with */
	WATCHERS = 100,
	PAGE = 50,
};

struct user {
	struct cost_conn *conn;
	uint64_t uid, before; /* before: bytes that he had been handed at the start */
	char name[16];
	char token[64];
};

struct scene {
	struct cost_world *world;
	struct user *users; /* owned */
	struct user *author;
	char to[40]; /* where the messages go */
	unsigned burst, rounds;
	uint64_t next_id;
	char body[BODY_BYTES];
	struct buf requests[ROUNDS];
};

/* --- Users and what they ask --- */

static void __attribute__((format(printf, 2, 3))) ask(struct user *user, const char *format, ...)
{
	char text[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert(len > 0 && (size_t)len < sizeof(text));
	cost_feed(user->conn, slice_of(text, (size_t)len));
}

/* What follows that word in the answer. */
static const char *
after(const char *answer, const char *word)
{
	const char *at = strstr(answer, word);

	if (at == NULL)
		panic("no %s in %s", word, answer);
	return at + strlen(word);
}

static uint64_t
uid_of(struct scene *s, const char *name)
{
	struct driver *store = cost_world_store(s->world);
	struct op *op = op_create(OP_AUTH);
	uint64_t uid;

	op->auth.name = op_copy(op, slice_str(name));
	store->type->read(store, 0, op);
	uid = op->auth.uid;
	op_destroy(&op);
	return uid;
}

static void
begin_user(struct scene *s, struct user *user, const char *prefix, unsigned number, bool limited)
{
	const char *token;

	(void)snprintf(user->name, sizeof(user->name), "%s%u", prefix, number);
	user->conn = cost_dial(s->world, limited);
	ask(user,
	    "{\"id\":1,\"method\":\"register\",\"params\":{\"user\":\"%s\",\"password\":\"open "
	    "sesame\"}}\n",
	    user->name);
	cost_settle(s->world);
	token = after(cost_answer(user->conn), "\"token\":\"");
	(void)snprintf(user->token, sizeof(user->token), "%.*s", (int)strcspn(token, "\""), token);
	user->uid = uid_of(s, user->name);
}

static void
sync_user(struct scene *s, struct user *user)
{
	ask(user, "{\"id\":2,\"method\":\"sync\",\"params\":{}}\n");
	cost_settle(s->world);
	(void)after(cost_answer(user->conn), "\"epoch\":\"");
}

static struct scene *
scene_create(unsigned users, const char *prefix, bool limited)
{
	struct scene *s = mem_zalloc(sizeof(*s));

	s->world = cost_world_create();
	s->users = mem_zalloc(users * sizeof(*s->users));
	memset(s->body, 'x', sizeof(s->body));
	for (unsigned i = 0; i < users; i++)
		begin_user(s, &s->users[i], prefix, i, limited);
	s->author = &s->users[0];
	return s;
}

static void
scene_destroy(struct scene *s)
{
	cost_world_destroy(&s->world);
	for (unsigned i = 0; i < ROUNDS; i++)
		buf_fini(&s->requests[i]);
	mem_free(s->users);
	mem_free(s);
}

/* --- Messages --- */

static void
put_message(struct scene *s, struct buf *to)
{
	uint64_t id = ++s->next_id;

	buf_printf(to,
	    "{\"jsonrpc\":\"2.0\",\"id\":%" PRIu64 ",\"method\":\"send\",\"params\":{\"to\":%s,"
	    "\"body\":\"%.*s\",\"cmid\":\"018f3a2b-%04x-7000-8000-%012" PRIx64 "\"}}\n",
	    id, s->to, BODY_BYTES, s->body, (unsigned)(id & 0xffff), id);
}

static void
put_bursts(void *cookie)
{
	struct scene *s = cookie;

	for (unsigned round = 0; round < s->rounds; round++) {
		buf_clear(&s->requests[round]);
		for (unsigned i = 0; i < s->burst; i++)
			put_message(s, &s->requests[round]);
	}
}

static void
send_bursts(void *cookie)
{
	struct scene *s = cookie;

	for (unsigned round = 0; round < s->rounds; round++) {
		cost_feed(s->author->conn, buf_slice(&s->requests[round]));
		cost_settle(s->world);
		if (strstr(cost_answer(s->author->conn), "\"error\"") != NULL)
			panic("a message was refused");
	}
}

static uint64_t
sends(struct scene *s, const char *to, unsigned burst, unsigned rounds)
{
	(void)snprintf(s->to, sizeof(s->to), "%s", to);
	s->burst = burst;
	s->rounds = rounds;
	return (uint64_t)burst * rounds;
}

/* --- Two who write to one another --- */

static void
ask_pages(void *cookie)
{
	struct scene *s = cookie;

	for (unsigned i = 0; i < ROUNDS; i++) {
		ask(s->author,
		    "{\"id\":3,\"method\":\"history\",\"params\":{\"cid\":\"@%s\",\"limit\":%d}}\n",
		    s->users[1].name, PAGE);
		cost_settle(s->world);
		(void)after(cost_answer(s->author->conn), "\"body\"");
	}
}

static void
ask_marks(void *cookie)
{
	struct scene *s = cookie;

	for (unsigned i = 0; i < ROUNDS; i++) {
		ask(&s->users[1],
		    "{\"id\":4,\"method\":\"mark\",\"params\":{\"cid\":\"@%s\",\"read\":%" PRIu64
		    "}}\n",
		    s->author->name, ++s->next_id);
		cost_settle(s->world);
		(void)after(cost_answer(s->users[1].conn), "\"read\"");
	}
}

static void
ask_pings(void *cookie)
{
	struct scene *s = cookie;

	for (unsigned i = 0; i < ROUNDS; i++) {
		ask(s->author, "{\"id\":5,\"method\":\"ping\"}\n");
		cost_settle(s->world);
		(void)after(cost_answer(s->author->conn), "\"result\"");
	}
}

static void
two_users(const char *prefix, bool limited)
{
	struct scene *s = scene_create(2, prefix, limited);
	uint64_t count;

	sync_user(s, &s->users[0]);
	sync_user(s, &s->users[1]);
	count = sends(s, limited ? "\"@limited1\"" : "\"@direct1\"", WINDOW, ROUNDS);
	if (limited) {
		cost_of("direct.limited", count, put_bursts, send_bursts, s);
		scene_destroy(s);
		return;
	}
	cost_of("direct", count, put_bursts, send_bursts, s);
	cost_of("history", ROUNDS, NULL, ask_pages, s);
	s->next_id = 0;
	cost_of("mark", ROUNDS, NULL, ask_marks, s);
	cost_of("ping", ROUNDS, NULL, ask_pings, s);
	scene_destroy(s);
}

/* --- A group --- */

static uint64_t
make_group(struct scene *s, unsigned members)
{
	struct conv_row row = {
	    .kind = CONV_GROUP, .acl_ver = 1, .min_seq = 1, .open = true, .members = members};
	struct driver *store = cost_world_store(s->world);
	uint64_t cid = memory_put_conv(store, &row, S("group"));

	for (unsigned i = 0; i < members; i++) {
		struct member_row member = {
		    .exists = true, .role = i == 0 ? ROLE_OWNER : ROLE_MEMBER, .join_seq = 1};

		memory_put_member(store, cid, s->users[i].uid, &member);
	}
	return cid;
}

static uint64_t
handed(const struct user *user)
{
	return cost_bytes(user->conn) - user->before;
}

/* Everybody was handed the same. */
static void
check_listeners(const struct scene *s, unsigned members)
{
	uint64_t first = handed(&s->users[1]);

	for (unsigned i = 2; i < members; i++)
		if (handed(&s->users[i]) != first)
			panic("listener %u was handed something else", i);
	if (first < (uint64_t)BODY_BYTES * s->next_id)
		panic("%" PRIu64 " bytes are too few", first);
}

static void
group_of(unsigned members, const char *bursts, const char *one)
{
	struct scene *s = scene_create(members, "member", false);
	char to[24];

	(void)snprintf(to, sizeof(to), "%" PRIu64, make_group(s, members));
	for (unsigned i = 0; i < members; i++)
		sync_user(s, &s->users[i]);
	for (unsigned i = 0; i < members; i++)
		s->users[i].before = cost_bytes(s->users[i].conn);
	cost_of(bursts, sends(s, to, BURST, 2) * members, put_bursts, send_bursts, s);
	cost_of(one, sends(s, to, 1, ROUNDS) * members, put_bursts, send_bursts, s);
	check_listeners(s, members);
	scene_destroy(s);
}

static void
group_without_listeners(void)
{
	struct scene *s = scene_create(1, "lonely", false);
	char to[24];

	(void)snprintf(to, sizeof(to), "%" PRIu64, make_group(s, 1));
	cost_of("ingest", sends(s, to, BURST, ROUNDS), put_bursts, send_bursts, s);
	scene_destroy(s);
}

/* --- Who returns --- */

struct returning {
	struct scene *scene;
	struct buf request;
};

/* The cursors that the answer of sync says: a conversation's cid and head. */
static void
put_cursors(struct buf *to, const char *answer)
{
	const char *epoch = after(answer, "\"epoch\":\"");
	const char *at = after(epoch, "\"conversations\":[");

	buf_printf(to, "{\"epoch\":\"%.*s\",\"cursors\":{", (int)strcspn(epoch, "\""), epoch);
	for (unsigned i = 0; i < FRIENDS; i++) {
		unsigned long long cid, head;
		char *end;

		cid = strtoull(after(at, "\"cid\":"), &end, 10);
		at = after(end, "\"head\":");
		head = strtoull(at, NULL, 10);
		buf_printf(to, "%s\"%llu\":%llu", i > 0 ? "," : "", cid, head);
	}
	buf_put(to, S("}}"));
}

static void
return_once(void *cookie)
{
	struct returning *r = cookie;
	struct user *user = r->scene->author;

	for (unsigned i = 0; i < ROUNDS; i++) {
		user->conn = cost_dial(r->scene->world, false);
		cost_feed(user->conn, buf_slice(&r->request));
		cost_settle(r->scene->world);
		(void)after(cost_answer(user->conn), "\"conversations\":[{");
		cost_hang_up(&user->conn);
		cost_settle(r->scene->world);
	}
}

static void
resume_and_sync(void)
{
	struct scene *s = scene_create(FRIENDS + 1, "friend", false);
	struct returning r = {.scene = s};

	for (unsigned i = 1; i <= FRIENDS; i++) {
		char to[24];

		(void)snprintf(to, sizeof(to), "\"@%s\"", s->users[i].name);
		(void)sends(s, to, 2, 1);
		put_bursts(s);
		send_bursts(s);
	}
	ask(s->author, "{\"id\":2,\"method\":\"sync\",\"params\":{\"backlog\":0}}\n");
	cost_settle(s->world);
	buf_printf(&r.request,
	    "{\"id\":1,\"method\":\"resume\",\"params\":{\"token\":\"%s\",\"sync\":",
	    s->author->token);
	put_cursors(&r.request, cost_answer(s->author->conn));
	buf_put(&r.request, S("}}\n"));
	cost_hang_up(&s->author->conn);
	cost_settle(s->world);
	cost_of("resume", ROUNDS, NULL, return_once, &r);
	buf_fini(&r.request);
	scene_destroy(s);
}

/* --- Who is watched --- */

static void
change_presence(void *cookie)
{
	struct scene *s = cookie;

	for (unsigned i = 0; i < ROUNDS; i++) {
		ask(s->author,
		    "{\"id\":6,\"method\":\"presence.set\",\"params\":{\"state\":\"%s\"}}\n",
		    i % 2 == 0 ? "busy" : "online");
		cost_settle(s->world);
		(void)after(cost_answer(s->author->conn), "\"result\"");
	}
}

static void
watched(void)
{
	struct scene *s = scene_create(WATCHERS + 1, "watcher", false);
	uint64_t before;

	for (unsigned i = 0; i <= WATCHERS; i++)
		sync_user(s, &s->users[i]);
	for (unsigned i = 1; i <= WATCHERS; i++)
		ask(&s->users[i],
		    "{\"id\":7,\"method\":\"presence.watch\",\"params\":{\"users\":[\"%s\"]}}\n",
		    s->author->name);
	cost_settle(s->world);
	before = cost_bytes(s->users[WATCHERS].conn);
	cost_of("presence", ROUNDS, NULL, change_presence, s);
	if (cost_bytes(s->users[WATCHERS].conn) < before + 2 * ROUNDS)
		panic("nobody watches");
	scene_destroy(s);
}

void
cost_chat(void)
{
	two_users("direct", false);
	two_users("limited", true);
	group_without_listeners();
	group_of(SMALL_GROUP, "group100", "group100.one");
	group_of(LARGE_GROUP, "group1000", "group1000.one");
	resume_and_sync();
	watched();
}
