/* SPDX-License-Identifier: MIT */
/* What goes wrong in between: stores that fail, connections that go, conversations that were left.
 */
#include <stdlib.h>

#include "chat/chat_world.h"

/* A group of users 1 to `members`, in which user 1 has written `entries` messages. */
static uint64_t
put_group(struct world *w, struct link *author, uint64_t members, unsigned entries)
{
	struct conv_row row = {.kind = CONV_GROUP, .acl_ver = 1, .min_seq = 1};
	struct member_row member = {.exists = true, .role = ROLE_MEMBER, .join_seq = 1};
	uint64_t conv = memory_put_conv(w->store, &row, S("group"));

	for (uint64_t user = 1; user <= members; user++)
		memory_put_member(w->store, conv, user, &member);
	for (unsigned i = 0; i < entries; i++)
		assert_int_equal(
		    answered(author, start_send(author, cid(conv), "x", NULL)), ERR_OK);
	return conv;
}

static void
put_left(struct world *w, uint64_t conv, uint64_t user, uint64_t leave_seq)
{
	struct member_row member = {.exists = true,
	    .left = true,
	    .role = ROLE_MEMBER,
	    .join_seq = 1,
	    .leave_seq = leave_seq};

	memory_put_member(w->store, conv, user, &member);
}

static unsigned
start_sync_all(struct link *link, const struct op_cursor *cursors, size_t count)
{
	struct sync_command cmd = {
	    .given = true, .backlog = 500, .cursors = cursors, .cursor_count = count};
	char epoch[40];
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	link->world->store->type->epoch(link->world->store, epoch);
	cmd.epoch = slice_str(epoch);
	chat_sync(link->peer, &t, &cmd);
	return n;
}

/* Who left several groups gets the rest of each, also when their pages come at the same moment. */
static void
left_groups_are_read_to_their_ends(void **state)
{
	struct world w;
	struct link *alice, *bob;
	struct op_cursor cursors[5];

	(void)state;
	world_open(&w, 1);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", false), ERR_OK);
	for (size_t i = 0; i < LEN(cursors); i++) {
		cursors[i] = (struct op_cursor){put_group(&w, alice, 2, 4), 1};
		put_left(&w, cursors[i].cid, 2, 3);
	}
	(void)start_sync_all(bob, cursors, LEN(cursors));
	for (size_t i = 0; i < 3; i++) {
		(void)shard_step(&w, 1);
		while (store_step(&w))
			;
	}
	settle(&w);
	for (size_t i = 0; i < LEN(cursors); i++)
		assert_stream(bob, cursors[i].cid, 2, 3);
	world_close(&w);
}

/* The outcome of the first message was unknown: its repetition makes the conversation known to
 * both. */
static void
repeated_first_message_is_announced(void **state)
{
	struct world w;
	struct link *alice, *bob;
	unsigned n;

	(void)state;
	for (uint32_t seed = 0; seed < 10; seed++) {
		world_open(&w, seed);
		alice = link_open(&w, seed % 3);
		bob = link_open(&w, 1);
		assert_int_equal(do_register(alice, "alice", true), ERR_OK);
		assert_int_equal(do_register(bob, "bob", true), ERR_OK);
		w.next_write = ERR_UNKNOWN_OUTCOME;
		n = start_send(alice, at("bob"), "x", "c1");
		assert_int_equal(answered(alice, n), ERR_UNKNOWN_OUTCOME);
		n = start_send(alice, at("bob"), "x", "c1");
		assert_int_equal(answered(alice, n), ERR_OK);
		assert_true(answer_to(alice, n)->dup);
		assert_int_equal(count_told(bob, TOLD_CONV, answer_to(alice, n)->cid), 1);
		assert_stream(bob, answer_to(alice, n)->cid, 1, 1);
		assert_stream(alice, answer_to(alice, n)->cid, 1, 1);
		world_close(&w);
	}
}

/* An entry of unknown outcome reaches those who listen, whether or not anybody asks again. */
static void
unknown_entry_is_handed_on(void **state)
{
	struct world w;
	struct link *alice, *bob, *late;
	uint64_t conv;
	unsigned n;

	(void)state;
	for (uint32_t seed = 0; seed < 10; seed++) {
		world_open(&w, seed);
		alice = link_open(&w, seed % 3);
		bob = link_open(&w, 1);
		late = link_open(&w, 1);
		assert_int_equal(do_register(alice, "alice", true), ERR_OK);
		assert_int_equal(do_register(bob, "bob", true), ERR_OK);
		assert_int_equal(do_resume(late, bob->token), ERR_OK);
		assert_int_equal(
		    answered(alice, n = start_send(alice, at("bob"), "x", NULL)), ERR_OK);
		conv = answer_to(alice, n)->cid;
		w.next_write = ERR_UNKNOWN_OUTCOME;
		w.fail_reads = seed % 2;
		n = start_send(alice, cid(conv), "x", "c1");
		assert_int_equal(answered(alice, n), ERR_UNKNOWN_OUTCOME);
		if (seed % 4 >= 2) {
			/* This shard now knows a higher head than the home does. */
			assert_int_equal(answered(late, start_sync(late, conv, 0, 50)), ERR_OK);
			n = start_send(alice, cid(conv), "x", "c1");
			assert_int_equal(answered(alice, n), ERR_OK);
		}
		for (unsigned i = 0; i < 3; i++) {
			world_pass(&w, 1000);
			settle(&w);
		}
		assert_stream(alice, conv, 1, 2);
		assert_stream(bob, conv, 1, 2);
		world_close(&w);
	}
}

/* The store does not say what a new conversation is: it is asked again. */
static void
announced_conversation_survives_a_failing_store(void **state)
{
	struct world w;
	struct link *alice, *bob;
	unsigned n;

	(void)state;
	world_open(&w, 3);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	w.fail_reads = 3;
	assert_int_equal(answered(alice, n = start_send(alice, at("bob"), "x", NULL)), ERR_OK);
	for (unsigned i = 0; i < 3; i++) {
		world_pass(&w, 1000);
		settle(&w);
	}
	assert_stream(bob, answer_to(alice, n)->cid, 1, 1);
	assert_stream(alice, answer_to(alice, n)->cid, 1, 1);
	world_close(&w);
}

/* Whoever ends sessions need not stay to see them end; and what is unknown is looked up. */
static void
sessions_end_though_the_asker_is_gone(void **state)
{
	struct world w;

	(void)state;
	for (unsigned how = 0; how < 6; how++) {
		struct link *a, *b;
		struct call_tag t;
		unsigned n;

		world_open(&w, how);
		a = link_open(&w, 0);
		b = link_open(&w, 1);
		assert_int_equal(do_register(a, "alice", true), ERR_OK);
		assert_int_equal(do_login(b, "alice", "open sesame", true), ERR_OK);
		w.next_write = how % 2 ? ERR_UNKNOWN_OUTCOME : ERR_OK;
		t = tag(&w, &n);
		if (how / 2 == 0)
			chat_session_revoke(a->peer, &t, slice_str(b->session));
		else if (how / 2 == 1)
			chat_logout(a->peer, &t, true);
		else
			chat_password_change(a->peer, &t, S("open sesame"), S("another one"));
		/* Until the operation is on its way. */
		for (unsigned i = 0; how / 2 == 2 && i < 3; i++) {
			(void)shard_step(&w, 0);
			if (i == 0)
				assert_true(store_step(&w));
		}
		link_close(a);
		settle(&w);
		assert_true(b->closed);
		world_close(&w);
	}
}

/* The log begins behind the start of its first page. */
static void
purged_beginning_is_no_endless_reading(void **state)
{
	struct world w;
	struct link *alice, *bob;
	struct conv_row row = {.kind = CONV_GROUP, .acl_ver = 1, .min_seq = 10};
	struct member_row member = {.exists = true, .role = ROLE_MEMBER, .join_seq = 10, .read = 9};
	uint64_t conv;

	(void)state;
	world_open(&w, 5);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", false), ERR_OK);
	conv = memory_put_conv(w.store, &row, S("old"));
	memory_put_member(w.store, conv, 1, &member);
	memory_put_member(w.store, conv, 2, &member);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(answered(alice, start_send(alice, cid(conv), "x", NULL)), ERR_OK);
	assert_int_equal(answered(bob, start_sync(bob, 0, 0, 500)), ERR_OK);
	assert_stream(bob, conv, 10, 109);
	world_close(&w);
}

/* Committed in one order, heard of in another, while somebody begins to listen. */
static void
late_news_of_an_earlier_entry(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t seed = 0; seed < 40; seed++) {
		struct link *alice[3], *bob, *late;
		uint64_t conv;
		unsigned n;

		world_open(&w, seed);
		bob = link_open(&w, 1);
		late = link_open(&w, 2);
		assert_int_equal(do_register(bob, "bob", false), ERR_OK);
		assert_int_equal(do_resume(late, bob->token), ERR_OK);
		for (unsigned i = 0; i < 3; i++) {
			alice[i] = link_open(&w, i);
			assert_int_equal(i == 0 ? do_register(alice[i], "alice", false)
						: do_login(alice[i], "alice", "open sesame", false),
			    ERR_OK);
		}
		assert_int_equal(
		    answered(alice[0], n = start_send(alice[0], at("bob"), "x", NULL)), ERR_OK);
		conv = answer_to(alice[0], n)->cid;
		assert_int_equal(answered(bob, start_sync(bob, 0, 0, 50)), ERR_OK);
		/* By name, and so past the home, from shards that do not know the place; and
		 * through it. */
		for (unsigned i = 0; i < 3; i++)
			(void)start_send(alice[i], i == 0 ? cid(conv) : at("bob"), "y", NULL);
		for (unsigned k = pick(&w, 12); k > 0; k--)
			step(&w);
		(void)start_sync(late, 0, 0, 50);
		for (unsigned k = 60; k > 0; k--)
			step(&w);
		settle(&w);
		assert_stream(bob, conv, 1, 4);
		assert_stream(late, conv, 1, 4);
		world_close(&w);
	}
}

/* A user at the limit of connections does not lose sessions by trying. */
static void
refused_login_ends_no_session(void **state)
{
	struct world w;
	struct link *links[8], *more;
	char token[TOKEN_TEXT_BYTES + 1];

	(void)state;
	world_open(&w, 7);
	links[0] = link_open(&w, 0);
	assert_int_equal(do_register(links[0], "alice", false), ERR_OK);
	more = link_open(&w, 1);
	assert_int_equal(do_login(more, "alice", "open sesame", false), ERR_OK);
	memcpy(token, more->token, sizeof(token));
	link_close(more);
	for (unsigned i = 1; i < LEN(links); i++) {
		links[i] = link_open(&w, i % 3);
		assert_int_equal(do_resume(links[i], links[0]->token), ERR_OK);
	}
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(
		    do_login(link_open(&w, 2), "alice", "open sesame", false), ERR_LIMIT);
	link_close(links[1]);
	settle(&w);
	assert_int_equal(do_resume(link_open(&w, 0), token), ERR_OK);
	world_close(&w);
}

/* A session that had to make room has no connection, also none that was just coming. */
static void
evicted_session_is_not_resumed(void **state)
{
	struct world w;

	(void)state;
	for (uint32_t seed = 0; seed < 60; seed++) {
		struct link *links[3], *old, *fresh;
		struct resume_command resume = {.token = {0}};
		struct login_command login = {.user = S("alice"), .password = S("open sesame")};
		struct call_tag t;
		unsigned n, m;

		world_open(&w, seed);
		links[0] = link_open(&w, 0);
		assert_int_equal(do_register(links[0], "alice", false), ERR_OK);
		for (unsigned i = 1; i < 3; i++) {
			links[i] = link_open(&w, i);
			assert_int_equal(do_login(links[i], "alice", "open sesame", false), ERR_OK);
		}
		old = link_open(&w, 1);
		fresh = link_open(&w, 2);
		resume.token = slice_str(links[2]->token);
		t = tag(&w, &n);
		peer_destroy(&links[2]->peer);
		settle(&w);
		chat_resume(old->peer, &t, &resume);
		for (unsigned k = pick(&w, 6); k > 0; k--)
			step(&w);
		t = tag(&w, &m);
		chat_login(fresh->peer, &t, &login);
		for (unsigned k = 200; k > 0; k--)
			step(&w);
		settle(&w);
		if (answer_to(old, n)->err == ERR_OK && answer_to(fresh, m)->err == ERR_OK)
			assert_true(old->closed);
		world_close(&w);
	}
}

/* Page by page, everybody who is online is there once, whichever shards know them. */
static void
who_is_told_in_pages(void **state)
{
	struct world w;
	struct link *links[20], *asks;
	char name[8], after[64];
	struct call_tag t;
	uint64_t conv;
	unsigned n;

	(void)state;
	world_open(&w, 11);
	for (unsigned i = 0; i < LEN(links); i++) {
		links[i] = link_open(&w, i % WORLD_SHARDS);
		(void)snprintf(name, sizeof(name), "user%02u", i);
		assert_int_equal(do_register(links[i], name, false), ERR_OK);
	}
	conv = put_group(&w, links[0], 17, 1);
	for (unsigned i = 0; i < LEN(links); i++)
		assert_int_equal(answered(links[i], start_sync(links[i], 0, 0, 50)), ERR_OK);
	asks = links[3];
	for (unsigned all = 0; all < 2; all++) {
		unsigned seen = 0, wanted = all ? 20 : 17;
		bool more = true;

		for (after[0] = '\0'; more; seen += (unsigned)answer_to(asks, n)->seq) {
			struct who_command who = {.limit = 3, .after = slice_str(after)};

			who.scope = all ? WHO_ALL : WHO_CONV;
			who.conv = cid(conv);
			t = tag(&w, &n);
			chat_who(asks->peer, &t, &who);
			assert_int_equal(answered(asks, n), ERR_OK);
			assert_int_equal(asks->online, wanted);
			more = answer_to(asks, n)->to != 0;
			assert_int_equal(answer_to(asks, n)->seq, more ? 3 : (wanted - 1) % 3 + 1);
			(void)snprintf(after, sizeof(after), "%s", answer_to(asks, n)->text);
		}
		assert_int_equal(seen, wanted);
	}
	world_close(&w);
}

/* What waited behind others until its time was over is not sent when nobody reckons with it any
 * more. */
static void
late_sends_do_not_pile_up(void **state)
{
	struct world w;
	struct link *alice, *bob;
	unsigned n;

	(void)state;
	world_open(&w, 12);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	assert_int_equal(do_register(link_open(&w, 2), "carol", true), ERR_OK);
	w.store_stopped = true;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 8; i++)
			n = start_send(alice, at(i % 2 ? "carol" : "bob"), "x", NULL);
		world_pass(&w, CALL_DEADLINE_MS);
		assert_int_equal(answer_to(alice, n)->err, ERR_UNKNOWN_OUTCOME);
	}
	w.store_stopped = false;
	settle(&w);
	assert_int_equal(count_told(bob, TOLD_CONV, 1), 1);
	/* The first of each round was on its way to the store; all others waited behind it. */
	assert_int_equal(count_told(bob, TOLD_ENTRY, 1), 3);
	world_close(&w);
}

/* A page that was read before a deletion serves nobody who syncs after it. */
static void
deleted_bodies_are_in_no_page(void **state)
{
	struct world w;
	struct link *alice, *readers[6];
	uint64_t conv;

	(void)state;
	world_open(&w, 13);
	alice = link_open(&w, 0);
	readers[0] = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(readers[0], "bob", false), ERR_OK);
	conv = put_group(&w, alice, 2, 8);
	for (unsigned i = 0; i < LEN(readers); i++) {
		if (i > 0) {
			readers[i] = link_open(&w, 1);
			assert_int_equal(do_resume(readers[i], readers[0]->token), ERR_OK);
			memory_put_change(w.store, conv, i, 0, 8 + i);
			assert_int_equal(
			    answered(alice, start_send(alice, cid(conv), "d", NULL)), ERR_OK);
		}
		assert_int_equal(answered(readers[i], start_sync(readers[i], 0, 0, 50)), ERR_OK);
		assert_stream(readers[i], conv, 1, 8 + i);
		for (size_t k = 0; k < readers[i]->count; k++) {
			const struct told *told = &readers[i]->told[k];

			if (told->what == TOLD_ENTRY && told->seq <= 8)
				assert_string_equal(
				    told->text, told->seq <= i ? "alice:" : "alice:x");
		}
	}
	world_close(&w);
}

/* --- Everything at once --- */

enum { STORM_USERS = 4, STORM_GROUPS = 2, STORM_LINKS = 40 };

struct storm {
	struct world w;
	char names[STORM_USERS][8];
	char tokens[STORM_USERS][TOKEN_TEXT_BYTES + 1];
	uint64_t groups[STORM_GROUPS];
	unsigned cmid;
};

static void
storm_open(struct storm *s, uint32_t seed)
{
	struct link *first = NULL;

	world_open(&s->w, seed);
	s->cmid = 0;
	for (unsigned i = 0; i < STORM_USERS; i++) {
		struct link *link = link_open(&s->w, i % WORLD_SHARDS);

		(void)snprintf(s->names[i], sizeof(s->names[i]), "user%u", i);
		assert_int_equal(do_register(link, s->names[i], false), ERR_OK);
		memcpy(s->tokens[i], link->token, sizeof(s->tokens[i]));
		link->user = i;
		first = i == 0 ? link : first;
	}
	for (unsigned i = 0; i < STORM_GROUPS; i++) {
		s->groups[i] = put_group(&s->w, first, STORM_USERS, 70);
		put_left(&s->w, s->groups[i], STORM_USERS, 68);
	}
	s->w.reorders = true;
	s->w.read_faults = 8;
	s->w.write_faults = 8;
}

static void
storm_send(struct storm *s, struct link *link)
{
	char cmid[16];
	unsigned n = pick(&s->w, 6);
	bool fresh = pick(&s->w, 4) != 0;

	s->cmid += fresh;
	(void)snprintf(cmid, sizeof(cmid), "c%u", s->cmid);
	(void)start_send(link, n < STORM_GROUPS ? cid(s->groups[n]) : at(s->names[n % STORM_USERS]),
	    "storm", pick(&s->w, 3) != 0 ? cmid : NULL);
}

static void
storm_enter(struct storm *s)
{
	unsigned user = pick(&s->w, STORM_USERS), n;
	struct link *link = link_open(&s->w, pick(&s->w, WORLD_SHARDS));
	struct resume_command resume = {.token = slice_str(s->tokens[user])};
	struct login_command login = {
	    .user = slice_str(s->names[user]), .password = S("open sesame")};
	struct sync_command sync = {
	    .given = pick(&s->w, 2) == 0, .backlog = pick(&s->w, 2) ? 500 : 3};
	struct call_tag t = tag(&s->w, &n);

	link->user = user;
	resume.sync = login.sync = sync;
	if (pick(&s->w, 3) == 0)
		chat_login(link->peer, &t, &login);
	else
		chat_resume(link->peer, &t, &resume);
}

static void
storm_revoke(struct storm *s, struct link *link)
{
	const struct link *other = &s->w.links[pick(&s->w, (unsigned)s->w.link_count)];
	struct call_tag t;
	unsigned n;

	/* The sessions of the first links stay: others resume them. */
	if (pick(&s->w, 4) != 0 || other->user != link->user ||
	    strcmp(other->token, s->tokens[link->user]) == 0)
		return;
	t = tag(&s->w, &n);
	if (pick(&s->w, 2) == 0)
		chat_session_revoke(link->peer, &t, slice_str(other->session));
	else if (strcmp(link->token, s->tokens[link->user]) != 0)
		chat_logout(link->peer, &t, false);
}

static void
storm_ask(struct storm *s, struct link *link)
{
	struct call_tag t;
	unsigned n;

	t = tag(&s->w, &n);
	switch (pick(&s->w, 5)) {
	case 0:
		chat_who(link->peer, &t, &(struct who_command){.scope = WHO_ALL, .limit = 2});
		break;
	case 1:
		chat_who(link->peer, &t,
		    &(struct who_command){
			.scope = WHO_CONV, .conv = cid(s->groups[0]), .limit = 100});
		break;
	case 2:
		chat_presence_get(
		    link->peer, &t, (slice[]){S("user1"), S("user2"), S("nobody")}, 3);
		break;
	case 3:
		chat_mark(link->peer, &t,
		    &(struct mark_command){.conv = cid(s->groups[1]), .read = pick(&s->w, 99)});
		break;
	default:
		chat_session_list(link->peer, &t);
		break;
	}
}

static void
storm_act(struct storm *s)
{
	struct world *w = &s->w;
	struct link *link = &w->links[pick(w, (unsigned)w->link_count)];
	unsigned what = pick(w, 20);

	if (what == 0 && w->link_count < STORM_LINKS) {
		storm_enter(s);
	} else if (what == 1) {
		world_pass(w, pick(w, 8) == 0 ? CALL_DEADLINE_MS : 700);
	} else if (link->told == NULL) {
		return;
	} else if (what == 2 && (link->closed || pick(w, 3) == 0)) {
		link_close(link);
	} else if (what == 3) {
		(void)start_sync(
		    link, pick(w, 2) ? s->groups[0] : 0, pick(w, 70), pick(w, 2) ? 500 : 5);
	} else if (what == 4) {
		link->full = !link->full;
		if (!link->full)
			peer_drained(link->peer);
	} else if (what == 5) {
		storm_revoke(s, link);
	} else if (what < 8) {
		storm_ask(s, link);
	} else {
		storm_send(s, link);
	}
}

/* The store is well again, everybody reads, and time passes. */
static void
storm_ends(struct storm *s)
{
	struct world *w = &s->w;

	w->read_faults = w->write_faults = 0;
	w->store_stopped = w->reorders = false;
	for (size_t i = 0; i < w->link_count; i++) {
		w->links[i].full = false;
		if (w->links[i].told != NULL)
			peer_drained(w->links[i].peer);
	}
	for (unsigned i = 0; i < 14; i++) {
		settle(w);
		world_pass(w, 1000);
	}
	settle(w);
	for (unsigned i = 0; i < WORLD_SHARDS; i++)
		assert_int_equal(shard_calls(w->shards[i]), 0);
}

static uint64_t
log_head(struct world *w, uint64_t conv)
{
	struct op *op = op_create(OP_PAGE);
	uint64_t head;

	op->page.target.cid = conv;
	op->page.limit = 1;
	w->store->type->read(w->store, 0, op);
	assert_int_equal(op->fault.err, ERR_OK);
	head = op->page.head;
	op_destroy(&op);
	return head;
}

/* No hole and no repeat, up to the head of the log, in all that the connection follows. */
static void
storm_check_streams(struct storm *s, const struct link *link)
{
	for (size_t i = 0; i < link->conv_count; i++) {
		bool left = !link->convs[i].member;

		assert_stream(link, link->convs[i].cid, link->convs[i].next,
		    left ? link->convs[i].head : log_head(&s->w, link->convs[i].cid));
	}
	for (size_t i = 0; i < link->count; i++)
		if (link->told[i].what == TOLD_CONV && link->told[i].change == CONV_ADDED) {
			assert_int_equal(count_told(link, TOLD_CONV, link->told[i].cid), 1);
			assert_stream(link, link->told[i].cid, link->told[i].seq,
			    log_head(&s->w, link->told[i].cid));
		}
}

/* Each request at most once answered; sends that succeeded in the order they were made. */
static void
storm_check_answers(const struct link *link)
{
	for (size_t i = 0; i < link->count; i++) {
		const struct told *told = &link->told[i];

		if (told->what != TOLD_ANSWER)
			continue;
		assert_ptr_equal(answer_to(link, told->tag), told);
		if (told->answer != ANSWER_SEND)
			continue;
		for (size_t k = 0; k < i && !told->dup; k++) {
			const struct told *before = &link->told[k];

			if (before->what == TOLD_ANSWER && before->answer == ANSWER_SEND &&
			    !before->dup && before->cid == told->cid) {
				assert_true(before->tag < told->tag);
				assert_true(before->seq < told->seq);
			}
		}
	}
}

/* A member who is synced follows every conversation of his that has an entry. */
static void
storm_check_complete(struct storm *s, const struct link *link)
{
	struct op *op = op_create(OP_SYNC);

	op->user = link->user + 1;
	s->w.store->type->read(s->w.store, 0, op);
	for (size_t i = 0; i < op->sync.count; i++) {
		bool told = count_told(link, TOLD_CONV, op->sync.items[i].cid) > 0;

		for (size_t k = 0; k < link->conv_count; k++)
			told = told || link->convs[k].cid == op->sync.items[i].cid;
		assert_true(told);
	}
	op_destroy(&op);
}

static void
everything_at_once(void **state)
{
	const char *seeds = getenv("CONFAB_SEEDS");
	uint32_t count = seeds != NULL ? (uint32_t)strtoul(seeds, NULL, 10) : 40;
	const char *from = getenv("CONFAB_SEED");
	uint32_t start = from != NULL ? (uint32_t)strtoul(from, NULL, 10) : 0;
	static struct storm s;

	(void)state;
	for (uint32_t seed = start; seed < start + count; seed++) {
		if (from != NULL)
			print_message("seed %u\n", seed);
		storm_open(&s, seed);
		for (unsigned i = 0; i < 1500; i++) {
			if (pick(&s.w, 3) == 0)
				storm_act(&s);
			s.w.store_stopped =
			    pick(&s.w, 200) == 0 ? !s.w.store_stopped : s.w.store_stopped;
			step(&s.w);
		}
		storm_ends(&s);
		for (size_t i = 0; i < s.w.link_count; i++) {
			const struct link *link = &s.w.links[i];

			if (link->told == NULL)
				continue;
			storm_check_answers(link);
			if (link->closed || !link->synced || peer_revoked(link->peer))
				continue;
			storm_check_streams(&s, link);
			storm_check_complete(&s, link);
		}
		world_close(&s.w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(left_groups_are_read_to_their_ends),
	    cmocka_unit_test(repeated_first_message_is_announced),
	    cmocka_unit_test(unknown_entry_is_handed_on),
	    cmocka_unit_test(announced_conversation_survives_a_failing_store),
	    cmocka_unit_test(sessions_end_though_the_asker_is_gone),
	    cmocka_unit_test(purged_beginning_is_no_endless_reading),
	    cmocka_unit_test(late_news_of_an_earlier_entry),
	    cmocka_unit_test(refused_login_ends_no_session),
	    cmocka_unit_test(evicted_session_is_not_resumed),
	    cmocka_unit_test(who_is_told_in_pages),
	    cmocka_unit_test(late_sends_do_not_pile_up),
	    cmocka_unit_test(deleted_bodies_are_in_no_page),
	    cmocka_unit_test(everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
