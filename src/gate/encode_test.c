/* SPDX-License-Identifier: MIT */
/* Answers and events as JSON: read back by jansson, an implementation that is not ours. */
#include "gate/gate_fake.h"

#include "base/mem.h"

enum { FRAME_MAX = LIMIT_ANSWER_BYTES };

static int
begin(void **state)
{
	(void)state;
	world_begin();
	dial_logged_in();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

/* Both as JSON, whatever the order of members; the first is let go of. */
static void
expect_json(json_t *have, const char *want_text)
{
	json_error_t error;
	json_t *want = json_loads(want_text, JSON_REJECT_DUPLICATES, &error);

	if (want == NULL)
		fail_msg("the test's own JSON: %s", error.text);
	if (!json_equal(have, want)) {
		char *text = json_dumps(have, JSON_INDENT(1));
		print_error("%s\n", text);
		free(text);
		fail_msg("is not %s", want_text);
	}
	json_decref(want);
	json_decref(have);
}

static void
ask(const char *method)
{
	struct buf line = {0};

	buf_printf(&line,
	    "{\"id\":1,\"method\":\"%s\",\"params\":{\"cid\":1,\"seq\":1,\"session\":\"1\","
	    "\"users\":[],"
	    "\"title\":\"t\",\"user\":\"bob\","
	    "\"query\":\"qq\","
	    "\"scope\":\"all\",\"to\":1,\"body\":\"b\",\"token\":\"t\"}}\n",
	    method);
	feed(buf_slice(&line));
	buf_fini(&line);
}

static json_t *
take_result(void)
{
	json_t *json = take_line(), *result = json_incref(json_object_get(json, "result"));

	assert_non_null(result);
	json_decref(json);
	return result;
}

static size_t
answered(const char *method, const struct answer *answer, const char *want)
{
	size_t used;

	ask(method);
	used = answer_pending(0, answer);
	expect_json(take_result(), want);
	expect_silence();
	return used;
}

static const struct conv_facts direct = {
    .kind = CONV_DIRECT, .lo = 3, .hi = 8, .lo_name = {"alice", 5}, .hi_name = {"bob", 3}};
static const struct conv_facts group = {.kind = CONV_GROUP, .handle = {"ops", 3}};
static const struct conv_facts closed_group = {.kind = CONV_GROUP};

static struct entry
entry_of(uint64_t seq, uint64_t sender, slice body)
{
	return (struct entry){
	    .cid = 4,
	    .seq = seq,
	    .ts = 1700000000000 + seq,
	    .sender = sender,
	    .kind = S("text"),
	    .from = sender == 3 ? S("alice") : S("bob"),
	    .body = body,
	};
}

static void
small_answers(void **state)
{
	(void)state;
	answered("logout", &(struct answer){.kind = ANSWER_EMPTY}, "{}");
	dial_logged_in();
	answered("send",
	    &(struct answer){.kind = ANSWER_SEND,
		.send = {.cid = 4, .seq = 9007199254740991, .ts = 5, .cmid = S("a\"\n")}},
	    "{\"cid\":4,\"seq\":9007199254740991,\"ts\":5,\"cmid\":\"a\\\"\\n\"}");
	answered("send",
	    &(struct answer){
		.kind = ANSWER_SEND, .send = {.cid = 4, .seq = 1, .ts = 5, .dup = true}},
	    "{\"cid\":4,\"seq\":1,\"ts\":5,\"dup\":true}");
	answered("mark", &(struct answer){.kind = ANSWER_MARK, .mark = {.read = 0, .delivered = 3}},
	    "{\"read\":0,\"delivered\":3}");
}

static void
receipts_are_counts_and_a_page(void **state)
{
	struct op_member items[] = {
	    {.uid = 3, .name = S("ann"), .read = 4, .delivered = 5},
	    {.uid = 1, .name = S("bob"), .read = 0, .delivered = 9007199254740991},
	};
	struct op_receipts of = {.seq = 4, .read = 1, .delivered = 2, .members = 7};
	const struct answer answer = {.kind = ANSWER_RECEIPTS, .receipts.of = &of};

	(void)state;
	dial_logged_in();
	answered("receipts", &answer,
	    "{\"read\":1,\"delivered\":2,\"members\":7,\"users\":[],\"more\":false}");
	of.page = (struct op_members){.items = items, .count = LEN(items), .more = true};
	answered("receipts", &answer,
	    "{\"read\":1,\"delivered\":2,\"members\":7,\"users\":["
	    "{\"user\":\"ann\",\"read\":4,\"delivered\":5},"
	    "{\"user\":\"bob\",\"read\":0,\"delivered\":9007199254740991}],\"more\":true}");
}

static void
answers_about_people(void **state)
{
	static const struct op_user users[] = {
	    {.uid = 3,
		.name = {"alice", 5},
		.display = {"Al \xc3\xbc\n", 6},
		.status = {"", 0},
		.created = 7},
	    {.uid = 8, .name = {"bob", 3}, .display = {"B", 1}, .status = {"hi", 2}, .created = 9},
	};
	static const struct online_user online[] = {
	    {.name = {"alice", 5}, .display = {"A", 1}},
	    {.name = {"bob", 3}, .display = {"B", 1}, .seen = 99, .state = PRESENCE_OFFLINE},
	    {.name = {"eve", 3}, .display = {"E", 1}, .text = {"\"x\"", 3}, .state = PRESENCE_BUSY},
	};

	(void)state;
	answered("profile.get", &(struct answer){.kind = ANSWER_PROFILES, .profiles = {users, 2}},
	    "{\"users\":[{\"user\":\"alice\",\"user_id\":3,\"display\":\"Al "
	    "ü\\n\",\"status\":\"\",\"created\":7},"
	    "{\"user\":\"bob\",\"user_id\":8,\"display\":\"B\",\"status\":\"hi\",\"created\":9}]}");
	answered("profile.get", &(struct answer){.kind = ANSWER_PROFILES}, "{\"users\":[]}");
	answered("user.find", &(struct answer){.kind = ANSWER_FOUND, .profiles = {users + 1, 1}},
	    "{\"users\":[{\"user\":\"bob\",\"display\":\"B\"}]}");
	answered("who",
	    &(struct answer){.kind = ANSWER_WHO,
		.who = {.online = 7, .items = online, .count = 2, .more = true}},
	    "{\"online\":7,\"users\":[{\"user\":\"alice\",\"display\":\"A\",\"state\":\"online\"},"
	    "{\"user\":\"bob\",\"display\":\"B\",\"state\":\"offline\"}],\"more\":true}");
	answered("presence.get", &(struct answer){.kind = ANSWER_PRESENCE, .presence = {online, 3}},
	    "{\"users\":[{\"user\":\"alice\",\"state\":\"online\"},"
	    "{\"user\":\"bob\",\"state\":\"offline\",\"seen\":99},"
	    "{\"user\":\"eve\",\"state\":\"busy\",\"text\":\"\\\"x\\\"\"}]}");
}

static void
answers_about_contacts(void **state)
{
	static struct op_contact_listed items[] = {
	    {.uid = 1,
		.seen = 99,
		.name = {"alice", 5},
		.display = {"A", 1},
		.state = CONTACT_BOTH},
	    {.uid = 2,
		.name = {"bob", 3},
		.display = {"B", 1},
		.note = {"hi", 2},
		.state = CONTACT_INCOMING},
	};
	static const struct op_contacts_page page = {.items = items, .count = 2};
	static const struct online_user presence[] = {
	    {.seen = 99, .state = PRESENCE_OFFLINE}, {.state = PRESENCE_OFFLINE}};

	(void)state;
	answered("contact.add",
	    &(struct answer){.kind = ANSWER_CONTACT, .contact = {CONTACT_REQUESTED}},
	    "{\"state\":\"requested\"}");
	answered("contact.list",
	    &(struct answer){.kind = ANSWER_CONTACTS, .contacts = {&page, presence}},
	    "{\"contacts\":[{\"user\":\"alice\",\"display\":\"A\",\"state\":\"contact\","
	    "\"presence\":\"offline\",\"seen\":99},"
	    "{\"user\":\"bob\",\"display\":\"B\",\"state\":\"incoming\",\"note\":\"hi\","
	    "\"presence\":\"offline\"}],\"more\":false}");
}

static void
answers_about_groups(void **state)
{
	static struct op_person people[] = {
	    {.uid = 1, .name = {"alice", 5}}, {.uid = 2, .name = {"bob", 3}}};
	static struct op_person failed[] = {{.name = {"carol", 5}, .err = ERR_NOT_FOUND},
	    {.name = {"dave", 4}, .err = ERR_ALREADY}};
	static const struct op_group change = {
	    .added = people, .added_count = 2, .failed = failed, .failed_count = 2};
	static const struct op_group_info info = {.title = {"T", 1},
	    .topic = {"", 0},
	    .open = true,
	    .admins_post = true,
	    .members = 3,
	    .created = 9,
	    .owners = people,
	    .owner_count = 1,
	    .role = ROLE_ADMIN};
	static struct op_member members[] = {
	    {.uid = 1, .name = {"alice", 5}, .display = {"A", 1}, .role = ROLE_OWNER},
	    {.uid = 2, .name = {"bob", 3}, .display = {"B", 1}, .role = ROLE_MEMBER}};
	static const struct op_members page = {.items = members, .count = 2, .more = true};
	static const struct op_members banned = {.banned = true, .items = members + 1, .count = 1};
	static struct op_group_listed listed[] = {
	    {.cid = 4, .members = 2, .title = {"T", 1}, .handle = {"ops", 3}}};
	static const struct op_groups groups = {.items = listed, .count = 1};
	static const bool online[] = {true, false};
	struct answer answer = {.kind = ANSWER_GROUP, .group = {GROUP_CREATE, 4, 1, &change}};

	(void)state;
	answered("group.create", &answer,
	    "{\"cid\":4,\"seq\":1,\"failed\":{\"carol\":\"not_found\",\"dave\":\"already\"}}");
	answer.group.what = GROUP_JOIN;
	answered("group.join", &answer, "{\"cid\":4,\"seq\":1}");
	answer.group.what = GROUP_LEAVE;
	answered("group.leave", &answer, "{\"seq\":1}");
	answer.group.what = GROUP_INVITE;
	answered("group.invite", &answer,
	    "{\"seq\":1,\"added\":[\"alice\",\"bob\"],"
	    "\"failed\":{\"carol\":\"not_found\",\"dave\":\"already\"}}");
	answer.group.seq = 0;
	answer.group.what = GROUP_SET;
	answered("group.set", &answer, "{}");
	answer.group.what = GROUP_UNBAN;
	answered("group.unban", &answer, "{}");
	answered("group.info",
	    &(struct answer){.kind = ANSWER_GROUP_INFO,
		.group_info = {.cid = 4, .handle = S("ops"), .online = 2, .of = &info}},
	    "{\"cid\":4,\"title\":\"T\",\"topic\":\"\",\"handle\":\"ops\",\"open\":true,"
	    "\"history\":false,\"post\":\"admins\",\"invite\":\"all\",\"members\":3,\"online\":2,"
	    "\"created\":9,\"owners\":[\"alice\"],\"role\":\"admin\"}");
	answered("group.members",
	    &(struct answer){.kind = ANSWER_MEMBERS, .members = {&page, online}},
	    "{\"members\":[{\"user\":\"alice\",\"display\":\"A\",\"role\":\"owner\",\"online\":"
	    "true},"
	    "{\"user\":\"bob\",\"display\":\"B\",\"role\":\"member\",\"online\":false}],\"more\":"
	    "true}");
	answered("group.members",
	    &(struct answer){.kind = ANSWER_MEMBERS, .members = {&banned, online}},
	    "{\"members\":[{\"user\":\"bob\",\"display\":\"B\",\"role\":\"banned\",\"online\":true}"
	    "],"
	    "\"more\":false}");
	answered("group.list", &(struct answer){.kind = ANSWER_GROUPS, .groups = &groups},
	    "{\"groups\":[{\"cid\":4,\"title\":\"T\",\"topic\":\"\",\"handle\":\"ops\",\"members\":"
	    "2}],"
	    "\"more\":false}");
}

static void
answers_about_sessions(void **state)
{
	static const struct op_session sessions[] = {
	    {.session = 9007199254740991,
		.device = {"phone", 5},
		.ip = {"::1", 3},
		.created = 1,
		.seen = 2},
	    {.session = 12, .device = {"", 0}, .ip = {"10.0.0.1", 8}, .created = 3, .seen = 4},
	};
	static const uint64_t online[] = {12};
	struct sync_answer sync = {.epoch = S("e1"), .reset = true, .total = 0};

	(void)state;
	answered("session.list",
	    &(struct answer){.kind = ANSWER_SESSIONS,
		.sessions = {.items = sessions,
		    .count = 2,
		    .current = 12,
		    .online = online,
		    .online_count = 1}},
	    "{\"sessions\":[{\"session\":\"9007199254740991\",\"device\":\"phone\",\"created\":1,"
	    "\"seen\":2,"
	    "\"ip\":\"::1\",\"online\":false,\"current\":false},{\"session\":\"12\",\"device\":"
	    "\"\",\"created\":3,"
	    "\"seen\":4,\"ip\":\"10.0.0.1\",\"online\":true,\"current\":true}]}");
#define LIMITS                                                                                     \
	"\"limits\":{\"frame\":65536,\"body\":16384,\"data\":16384,\"conversations\":2000,"        \
	"\"groups\":1000,"                                                                         \
	"\"members\":100000,\"contacts\":1000,\"sessions\":20,\"connections\":100,\"idle_ms\":"    \
	"75000}"
#define SESSION                                                                                    \
	"\"user\":\"alice\",\"user_id\":3,\"display\":\"A\",\"token\":\"t\",\"session\":\"12\","   \
	"\"server\":\"n1\","                                                                       \
	"\"epoch\":\"e1\"," LIMITS
	world.peer->logged_in = false;
	answered("resume",
	    &(struct answer){.kind = ANSWER_SESSION,
		.session = {.uid = 3,
		    .user = S("alice"),
		    .display = S("A"),
		    .token = S("t"),
		    .session = S("12"),
		    .epoch = S("e1")}},
	    "{" SESSION "}");
	answered("resume",
	    &(struct answer){.kind = ANSWER_SESSION,
		.session = {.uid = 3,
		    .user = S("alice"),
		    .display = S("A"),
		    .token = S("t"),
		    .session = S("12"),
		    .epoch = S("e1"),
		    .sync = &sync}},
	    "{" SESSION ",\"reset\":true,\"total\":0,\"gone\":[],\"conversations\":[]}");
}

static void
conversations_in_sync(void **state)
{
	static const uint64_t gone[] = {77, 78};
	struct entry last = entry_of(9, 8, S("preview"));
	struct op_conv convs[] = {
	    {.cid = 4,
		.facts = direct,
		.title = S("Bob \"B\""),
		.peer_name = S("bob"),
		.role = ROLE_MEMBER,
		.min_seq = 1,
		.head = 9,
		.ts = 5,
		.read = 6,
		.delivered = 7,
		.peer_read = 2,
		.peer_delivered = 3,
		.last = &last},
	    {.cid = 5,
		.facts = group,
		.title = S("Ops"),
		.role = ROLE_OWNER,
		.min_seq = 3,
		.head = 4,
		.ts = 6,
		.muted_until = 99},
	    {.cid = 6,
		.facts = closed_group,
		.title = S("T"),
		.role = ROLE_NONE,
		.min_seq = 3,
		.head = 4},
	};
	struct conv_view views[] = {{&convs[0], 7, 3}, {&convs[1], 1, 0}, {&convs[2], 1, 0}};

	(void)state;
	assert_int_equal(
	    answered("sync",
		&(struct answer){.kind = ANSWER_SYNC,
		    .sync = {.epoch = S("e1"),
			.total = 9,
			.gone = gone,
			.gone_count = 2,
			.items = views,
			.count = 3}},
		"{\"epoch\":\"e1\",\"reset\":false,\"total\":9,\"gone\":[77,78],\"conversations\":["
		"{\"cid\":4,\"kind\":\"direct\",\"title\":\"Bob "
		"\\\"B\\\"\",\"peer\":\"bob\",\"role\":\"member\","
		"\"min_seq\":1,\"next\":7,\"head\":9,\"ts\":5,\"read\":6,\"delivered\":7,"
		"\"unread\":3,\"peer_read\":2,"
		"\"peer_delivered\":3,\"last\":{\"cid\":4,\"seq\":9,\"from\":\"bob\",\"to\":\"@"
		"alice\","
		"\"ts\":1700000000009,\"kind\":\"text\",\"body\":\"preview\"}},"
		"{\"cid\":5,\"kind\":\"group\",\"title\":\"Ops\",\"handle\":\"ops\",\"role\":"
		"\"owner\",\"min_seq\":3,"
		"\"next\":1,\"head\":4,\"ts\":6,\"read\":0,\"delivered\":0,\"unread\":0,\"muted_"
		"until\":99},"
		"{\"cid\":6,\"kind\":\"group\",\"title\":\"T\",\"role\":\"none\",\"min_seq\":3,"
		"\"next\":1,\"head\":4,"
		"\"ts\":0,\"read\":0,\"delivered\":0,\"unread\":0}]}"),
	    3);
}

static void
a_sync_stops_where_the_frame_is_full(void **state)
{
	enum { COUNT = 200 };
	static struct op_conv convs[COUNT];
	static struct conv_view views[COUNT];
	static char title[1500];
	size_t used;
	json_t *result;

	(void)state;
	memset(title, '"', sizeof(title));
	for (size_t i = 0; i < COUNT; i++) {
		convs[i] = (struct op_conv){.cid = i + 1,
		    .facts = group,
		    .title = slice_of(title, sizeof(title)),
		    .role = ROLE_MEMBER};
		views[i] = (struct conv_view){&convs[i], 1, 0};
	}
	ask("sync");
	used = answer_pending(
	    0, &(struct answer){.kind = ANSWER_SYNC,
		   .sync = {.epoch = S("e1"), .total = COUNT, .items = views, .count = COUNT}});
	assert_true(buf_len(&world.conn->out) <= FRAME_MAX);
	assert_true(buf_len(&world.conn->out) > FRAME_MAX - 4000);
	result = take_result();
	assert_true(used > 0 && used < COUNT);
	assert_int_equal(json_array_size(json_object_get(result, "conversations")), used);
	json_decref(result);
	/* To a request without id nothing goes, so that nothing was used. */
	feed_text("{\"method\":\"sync\"}\n");
	assert_int_equal(
	    answer_pending(
		0, &(struct answer){.kind = ANSWER_SYNC,
		       .sync = {.epoch = S("e1"), .total = COUNT, .items = views, .count = COUNT}}),
	    0);
	expect_silence();
}

/* --- Entries --- */

static json_t *
notification(const struct conv_facts *facts, struct entry *entry)
{
	struct entry *const entries[] = {entry};
	uint32_t ends[1];
	struct run *run =
	    world.chat_out.encode_entries(world.chat_out.gate, 0, 4, facts, entries, 1, ends);
	json_t *json, *params;

	assert_int_equal(ends[0], run->len);
	assert_int_equal(run->bytes[run->len - 1], '\n');
	json = json_loadb(run->bytes, run->len, JSON_REJECT_DUPLICATES, NULL);
	assert_string_equal(json_string_value(json_object_get(json, "method")), "message");
	assert_string_equal(json_string_value(json_object_get(json, "jsonrpc")), "2.0");
	params = json_incref(json_object_get(json, "params"));
	json_decref(json);
	run_unref(run);
	return params;
}

static void
entries_as_messages(void **state)
{
	struct entry e = entry_of(1, 3, S("hi"));

	(void)state;
	expect_json(notification(&direct, &e),
	    "{\"cid\":4,\"seq\":1,\"from\":\"alice\",\"to\":\"@bob\","
	    "\"ts\":1700000000001,\"kind\":\"text\",\"body\":\"hi\"}");
	e = entry_of(2, 8, S(""));
	e.data = S("{\"a\":1.0}");
	e.cmid = S("c-1");
	e.re = 1;
	e.edited = 5;
	expect_json(notification(&direct, &e),
	    "{\"cid\":4,\"seq\":2,\"from\":\"bob\",\"to\":\"@alice\",\"ts\":1700000000002,\"kind\":"
	    "\"text\",\"body\":\"\","
	    "\"data\":{\"a\":1.0},\"cmid\":\"c-1\",\"re\":1,\"edited\":5}");
	e = entry_of(3, 8, SLICE_NONE);
	e.deleted = 7;
	expect_json(notification(&group, &e),
	    "{\"cid\":4,\"seq\":3,\"from\":\"bob\",\"to\":\"#ops\","
	    "\"ts\":1700000000003,\"kind\":\"text\",\"deleted\":7}");
	e.kind = S("join");
	e.deleted = 0;
	expect_json(notification(&closed_group, &e), "{\"cid\":4,\"seq\":3,\"from\":\"bob\",\"to\":"
						     "4,\"ts\":1700000000003,\"kind\":\"join\"}");
}

static void
bodies_of_every_kind(void **state)
{
	static const char *const bodies[] = {"\"quoted\" \\back\\ /slash/",
	    "\b\f\n\r\t\x01\x1f\x7f", "\xc2\x80\xe2\x80\xa8\xe2\x80\xa9",
	    "\xf0\x9f\x8e\x88\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf",
	    "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "{}", "null", "%s%n", "a\\u0041"};

	(void)state;
	for (size_t i = 0; i < LEN(bodies); i++) {
		struct entry e = entry_of(1, 3, slice_str(bodies[i]));
		json_t *json = notification(&direct, &e);
		assert_string_equal(json_string_value(json_object_get(json, "body")), bodies[i]);
		json_decref(json);
	}
}

/* A run of many entries in both forms: each end is where one frame ends. */
static void
runs_of_entries(void **state)
{
	enum { COUNT = 300 };
	static struct entry entries[COUNT];
	static struct entry *list[COUNT];
	static char body[70000];
	static uint32_t line_ends[COUNT], ws_ends[COUNT];
	struct run *lines, *ws;
	uint32_t line_at = 0, ws_at = 0;

	(void)state;
	memset(body, 'b', sizeof(body));
	for (size_t i = 0; i < COUNT; i++) {
		entries[i] = entry_of(i + 1, 3, slice_of(body, i == 7 ? sizeof(body) : i));
		list[i] = &entries[i];
	}
	lines = world.chat_out.encode_entries(
	    world.chat_out.gate, 0, 4, &group, list, COUNT, line_ends);
	ws = world.chat_out.encode_entries(world.chat_out.gate, 1, 4, &group, list, COUNT, ws_ends);
	for (size_t i = 0; i < COUNT; i++) {
		uint32_t payload = line_ends[i] - line_at - 1, header = payload < 126     ? 2
									: payload < 65536 ? 4
											  : 10;

		assert_int_equal((unsigned char)ws->bytes[ws_at], 0x81);
		assert_int_equal((unsigned char)ws->bytes[ws_at + 1], header == 2   ? payload
								      : header == 4 ? 126
										    : 127);
		assert_int_equal(ws_ends[i] - ws_at, payload + header);
		assert_memory_equal(ws->bytes + ws_at + header, lines->bytes + line_at, payload);
		assert_int_equal(lines->bytes[line_ends[i] - 1], '\n');
		line_at = line_ends[i];
		ws_at = ws_ends[i];
	}
	assert_int_equal(line_at, lines->len);
	assert_int_equal(ws_at, ws->len);
	run_unref(lines);
	run_unref(ws);
}

static void
history_pages(void **state)
{
	struct entry one = entry_of(8, 3, S("a")), two = entry_of(9, 8, S("b"));
	struct entry *items[] = {&one, &two};

	(void)state;
	answered("history",
	    &(struct answer){.kind = ANSWER_HISTORY,
		.history = {.cid = 4,
		    .head = 12,
		    .min_seq = 2,
		    .facts = &direct,
		    .items = items,
		    .count = 2,
		    .more = true}},
	    "{\"cid\":4,\"head\":12,\"min_seq\":2,\"messages\":[{\"cid\":4,\"seq\":8,\"from\":"
	    "\"alice\",\"to\":\"@bob\","
	    "\"ts\":1700000000008,\"kind\":\"text\",\"body\":\"a\"},{\"cid\":4,\"seq\":9,\"from\":"
	    "\"bob\",\"to\":\"@alice\","
	    "\"ts\":1700000000009,\"kind\":\"text\",\"body\":\"b\"}],\"more\":true}");
	answered("history",
	    &(struct answer){.kind = ANSWER_HISTORY,
		.history = {.cid = 4, .head = 0, .min_seq = 1, .facts = &direct}},
	    "{\"cid\":4,\"head\":0,\"min_seq\":1,\"messages\":[],\"more\":false}");
}

/* Entries that do not fit into one answer: which ones stay depends on where the page began. */
static void
history_keeps_the_proper_end(void **state)
{
	enum { COUNT = 200 };
	static struct entry entries[COUNT];
	static struct entry *list[COUNT];
	static char body[16384];

	(void)state;
	memset(body, '\x01', sizeof(body));
	for (size_t i = 0; i < COUNT; i++) {
		entries[i] = entry_of(i + 1, 3, slice_of(body, i % 2 == 0 ? sizeof(body) : 5));
		list[i] = &entries[i];
	}
	for (int after = 0; after <= 1; after++) {
		json_t *result, *messages;
		size_t count;

		if (after)
			feed_text("{\"id\":1,\"method\":\"history\",\"params\":{\"cid\":4,"
				  "\"after\":0}}\n");
		else
			feed_text("{\"id\":1,\"method\":\"history\",\"params\":{\"cid\":4}}\n");
		(void)answer_pending(0, &(struct answer){.kind = ANSWER_HISTORY,
					    .history = {.cid = 4,
						.head = COUNT,
						.min_seq = 1,
						.facts = &direct,
						.items = list,
						.count = COUNT}});
		assert_true(buf_len(&world.conn->out) <= FRAME_MAX);
		result = take_result();
		assert_true(json_is_true(json_object_get(result, "more")));
		messages = json_object_get(result, "messages");
		count = json_array_size(messages);
		assert_true(count >= 4 && count <= 6);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(
			    json_integer_value(json_object_get(json_array_get(messages, i), "seq")),
			    after ? i + 1 : COUNT - count + i + 1);
		json_decref(result);
	}
}

static void
of_whom_it_does_not_hold_it_says_that_there_are_more(void **state)
{
	enum { COUNT = 1000 };
	static struct online_user users[COUNT];
	static char text[512];
	json_t *result;
	size_t count;

	(void)state;
	memset(text, 't', sizeof(text));
	for (size_t i = 0; i < COUNT; i++)
		users[i] = (struct online_user){.name = S("somebody"),
		    .state = PRESENCE_ONLINE,
		    .text = slice_of(text, sizeof(text))};
	ask("presence.watch");
	(void)answer_pending(
	    0, &(struct answer){.kind = ANSWER_PRESENCE, .presence = {users, COUNT}});
	assert_true(buf_len(&world.conn->out) <= FRAME_MAX);
	result = take_result();
	count = json_array_size(json_object_get(result, "users"));
	assert_true(count > 400 && count < COUNT);
	assert_true(json_is_true(json_object_get(result, "more")));
	json_decref(result);
}

static void
one_entry_always_fits(void **state)
{
	static char body[16384], data[16384];
	struct entry e;
	struct entry *items[] = {&e};
	json_t *result;

	(void)state;
	memset(body, '\x01', sizeof(body));
	memset(data, 'd', sizeof(data));
	memcpy(data, "{\"d\":\"", 6);
	memcpy(data + sizeof(data) - 2, "\"}", 2);
	e = entry_of(1, 3, slice_of(body, sizeof(body)));
	e.data = slice_of(data, sizeof(data));
	ask("history");
	(void)answer_pending(
	    0, &(struct answer){.kind = ANSWER_HISTORY,
		   .history = {.cid = 4, .facts = &direct, .items = items, .count = 1}});
	result = take_result();
	assert_int_equal(json_array_size(json_object_get(result, "messages")), 1);
	json_decref(result);
}

/* --- Events --- */

static void
expect_event(const struct event *event, const char *method, const char *want)
{
	for (unsigned form = 0; form <= 1; form++) {
		struct run *run = world.chat_out.encode(world.chat_out.gate, form, event);
		uint32_t header = form == 0 ? 0 : run->len < 128 ? 2 : 4;
		json_t *json = json_loadb(
		    run->bytes + header, run->len - header, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(json);
		assert_int_equal(run->bytes[run->len - 1] == '\n', form == 0);
		assert_string_equal(json_string_value(json_object_get(json, "method")), method);
		expect_json(json_incref(json_object_get(json, "params")), want);
		json_decref(json);
		run_unref(run);
	}
}

static void
events(void **state)
{
	struct op_conv conv = {.cid = 4,
	    .facts = direct,
	    .title = S("Bob"),
	    .peer_name = S("bob"),
	    .role = ROLE_MEMBER,
	    .min_seq = 1};
	static const char *const changes[] = {"added", "listed"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct buf want = {0};

		buf_printf(&want,
		    "{\"cid\":4,\"change\":\"%s\",\"kind\":\"direct\",\"title\":\"Bob\",\"peer\":"
		    "\"bob\",\"role\":\"member\","
		    "\"min_seq\":1,\"next\":1,\"head\":0,\"ts\":0,\"read\":0,\"delivered\":0,"
		    "\"unread\":0,\"peer_read\":0,"
		    "\"peer_delivered\":0}",
		    changes[i]);
		expect_event(&(struct event){.kind = EVENT_CONVERSATION,
				 .conversation = {.change = i == 0 ? CONV_ADDED : CONV_LISTED,
				     .view = {&conv, 1, 0}}},
		    "conversation", buf_head(&want));
		buf_fini(&want);
	}
	expect_event(&(struct event){.kind = EVENT_CONVERSATION,
			 .conversation = {.change = CONV_REMOVED, .view = {.conv = &conv}}},
	    "conversation", "{\"cid\":4,\"change\":\"removed\"}");
	expect_event(&(struct event){.kind = EVENT_GAP, .gap = {4, 5, 6}}, "gap",
	    "{\"cid\":4,\"from\":5,\"to\":6}");
	expect_event(&(struct event){.kind = EVENT_MARK,
			 .mark = {.cid = 4, .read = 0, .delivered = 6, .user = S("bob")}},
	    "mark", "{\"cid\":4,\"user\":\"bob\",\"read\":0,\"delivered\":6}");
	expect_event(&(struct event){.kind = EVENT_SIGNAL,
			 .signal = {.cid = 4, .from = S("bob"), .kind = S("typing")}},
	    "signal", "{\"cid\":4,\"from\":\"bob\",\"kind\":\"typing\"}");
	expect_event(&(struct event){.kind = EVENT_SIGNAL,
			 .signal = {.from = S("bot"),
			     .kind = S("x-a"),
			     .body = S("b"),
			     .data = S("{\"a\":[]}")}},
	    "signal", "{\"from\":\"bot\",\"kind\":\"x-a\",\"body\":\"b\",\"data\":{\"a\":[]}}");
	expect_event(&(struct event){.kind = EVENT_CONTACT,
			 .contact = {.user = S("bob"), .note = S("hi"), .news = NEWS_INCOMING}},
	    "contact", "{\"user\":\"bob\",\"state\":\"incoming\",\"note\":\"hi\"}");
	expect_event(&(struct event){.kind = EVENT_CONTACT,
			 .contact = {.user = S("bob"), .news = NEWS_REMOVED}},
	    "contact", "{\"user\":\"bob\",\"state\":\"removed\"}");
	expect_event(
	    &(struct event){.kind = EVENT_PRESENCE,
		.presence = {.name = S("bob"), .state = PRESENCE_AWAY, .text = S("lunch")}},
	    "presence", "{\"user\":\"bob\",\"state\":\"away\",\"text\":\"lunch\"}");
	expect_event(&(struct event){.kind = EVENT_PRESENCE,
			 .presence = {.name = S("bob"), .state = PRESENCE_OFFLINE, .seen = 7}},
	    "presence", "{\"user\":\"bob\",\"state\":\"offline\",\"seen\":7}");
}

/* --- Faults --- */

static void
every_fault_as_the_table_says(void **state)
{
	static const struct {
		int code;
		const char *name;
		bool retry;
	} table[] = {
#define AS_ROW(id, code, name, retry, text) [ERR_##id] = {code, name, retry},
	    ERRORS(AS_ROW)};

	(void)state;
	for (int err = ERR_OK + 1; err < ERR_MAX; err++) {
		struct fault fault = {
		    .err = (enum err)err, .param = "to", .max = 5, .retry_after_ms = 6};
		json_t *json, *error, *data;

		ask("send");
		(void)answer_pending(0, &(struct answer){.kind = ANSWER_FAULT, .fault = fault});
		json = take_line();
		error = json_object_get(json, "error");
		data = json_object_get(error, "data");
		assert_string_equal(gate_error_name((enum err)err), table[err].name);
		assert_int_equal(
		    json_integer_value(json_object_get(error, "code")), table[err].code);
		assert_string_equal(
		    json_string_value(json_object_get(data, "name")), table[err].name);
		assert_int_equal(json_is_true(json_object_get(data, "retry")), table[err].retry);
		assert_int_equal(json_object_get(data, "retry") != NULL, table[err].retry);
		assert_int_equal(
		    json_object_get(data, "max") != NULL, err == ERR_TOO_LARGE || err == ERR_LIMIT);
		assert_int_equal(json_object_get(data, "trace") != NULL, err == ERR_INTERNAL);
		assert_int_equal(json_integer_value(json_object_get(data, "retry_after_ms")), 6);
		assert_string_equal(json_string_value(json_object_get(data, "param")), "to");
		assert_true(strlen(json_string_value(json_object_get(error, "message"))) > 10);
		json_decref(json);
	}
	assert_string_equal(gate_error_name(ERR_OK), "ok");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(small_answers),
	    TEST(receipts_are_counts_and_a_page),
	    TEST(answers_about_people),
	    TEST(answers_about_sessions),
	    TEST(answers_about_groups),
	    TEST(answers_about_contacts),
	    TEST(conversations_in_sync),
	    TEST(a_sync_stops_where_the_frame_is_full),
	    TEST(entries_as_messages),
	    TEST(bodies_of_every_kind),
	    TEST(runs_of_entries),
	    TEST(history_pages),
	    TEST(history_keeps_the_proper_end),
	    TEST(of_whom_it_does_not_hold_it_says_that_there_are_more),
	    TEST(one_entry_always_fits),
	    TEST(events),
	    TEST(every_fault_as_the_table_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
