/* SPDX-License-Identifier: MIT */
/* What the chat core does for people, in the seeded world of chat_world.h. */
#include "chat/chat_world.h"

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
	assert_int_equal(
	    answered(alice, start_send(alice, at("alice"), "x", NULL)), ERR_INVALID_PARAMS);
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

/* How many shards have room for so many more. */
static unsigned
with_room(const struct world *w, unsigned room)
{
	unsigned count = 0;

	for (unsigned i = 0; i < w->shard_count; i++)
		count += chat_room(w->shards[i]) == room;
	return count;
}

static void
a_login_takes_room_and_a_message_leaves_less(void **state)
{
	struct world w;
	struct link *a, *b, *c;
	struct call_tag t;
	unsigned sent, resumed;

	(void)state;
	world_open(&w, 12);
	a = link_open(&w, 0);
	b = link_open(&w, 1);
	c = link_open(&w, 1);
	assert_int_equal(do_register(a, "alice", true), ERR_OK);
	assert_int_equal(do_register(b, "bob", true), ERR_OK);
	assert_int_equal(answered(a, start_send(a, at("bob"), "x", NULL)), ERR_OK);
	assert_int_equal(with_room(&w, WORLD_ENTERING), w.shard_count);

	w.store_stopped = true;
	sent = start_send(a, at("bob"), "y", NULL);
	settle(&w);
	assert_int_equal(with_room(&w, WORLD_ENTERING_BESIDE), 1);
	assert_int_equal(with_room(&w, WORLD_ENTERING), w.shard_count - 1);
	w.store_stopped = false;
	assert_int_equal(answered(a, sent), ERR_OK);
	assert_int_equal(with_room(&w, WORLD_ENTERING), w.shard_count);

	w.store_stopped = true;
	t = tag(&w, &resumed);
	chat_resume(c->peer, &t, &(struct resume_command){.token = slice_str(a->token)});
	settle(&w);
	assert_int_equal(chat_room(w.shards[1]), WORLD_ENTERING - 1);
	w.store_stopped = false;
	assert_int_equal(answered(c, resumed), ERR_OK);
	assert_int_equal(with_room(&w, WORLD_ENTERING), w.shard_count);
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
		assert_int_equal(
		    answered(bob, first = start_send(bob, at("alice"), "x", NULL)), ERR_OK);
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
		assert_int_equal(
		    answered(links[0], start_send(links[0], cid(conv), "twice", "the-cmid")),
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
			assert_int_equal(
			    do_resume(late[i], i < 3 ? alice->token : bob->token), ERR_OK);
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
	chat_mark(alice->peer, &t, &(struct mark_command){.conv = cid(conv), .read = 99});
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(answer_to(alice, n)->seq, 1);
	assert_int_equal(count_told(alice, TOLD_MARK, conv), 0);
	assert_int_equal(count_told(phone, TOLD_MARK, conv), 1);
	assert_int_equal(count_told(bob, TOLD_MARK, conv), 1);
	t = tag(&w, &n);
	chat_mark(phone->peer, &t, &(struct mark_command){.conv = cid(conv), .read = 1});
	assert_int_equal(answered(phone, n), ERR_OK);
	assert_int_equal(count_told(bob, TOLD_MARK, conv), 1);
	t = tag(&w, &n);
	chat_signal(
	    alice->peer, &t, &(struct signal_command){.to = at("bob"), .kind = S("typing")});
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(count_told(bob, TOLD_SIGNAL, conv), 1);
	assert_int_equal(count_told(phone, TOLD_SIGNAL, conv), 0);
	t = tag(&w, &n);
	chat_who(bob->peer, &t, &(struct who_command){.scope = WHO_ALL, .limit = 100});
	assert_int_equal(answered(bob, n), ERR_OK);
	assert_int_equal(bob->online, 2);
	t = tag(&w, &n);
	chat_who(bob->peer, &t,
	    &(struct who_command){.scope = WHO_CONV, .conv = cid(conv), .limit = 100});
	assert_int_equal(answered(bob, n), ERR_OK);
	assert_int_equal(bob->online, 2);
	link_close(alice);
	link_close(phone);
	t = tag(&w, &n);
	chat_presence_get(bob->peer, &t, (slice[]){S("alice"), S("bob"), S("nobody")}, 3);
	assert_int_equal(answered(bob, n), ERR_OK);
	assert_int_equal(bob->online, 1);
	world_close(&w);
}

/* The store does not answer: the request is answered in time, and what it stored later is still
 * handed on. */
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

/* The connection that marks is gone before the store has answered: the others hear of it all the
 * same. */
static void
marks_outlive_their_connection(void **state)
{
	struct world w;
	struct link *alice, *bob;
	struct call_tag t;
	uint64_t conv;
	unsigned n;

	(void)state;
	world_open(&w, 9);
	alice = link_open(&w, 0);
	bob = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	assert_int_equal(answered(bob, n = start_send(bob, at("alice"), "x", NULL)), ERR_OK);
	conv = answer_to(bob, n)->cid;
	t = tag(&w, &n);
	chat_mark(alice->peer, &t, &(struct mark_command){.conv = cid(conv), .read = 1});
	link_close(alice);
	settle(&w);
	assert_int_equal(count_told(bob, TOLD_MARK, conv), 1);
	world_close(&w);
}

/* A connection that has been open for longer than a token lasts was use of it. */
static void
open_connections_keep_their_session(void **state)
{
	struct world w;
	struct link *alice, *phone, *again;

	(void)state;
	world_open(&w, 10);
	alice = link_open(&w, 0);
	phone = link_open(&w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_login(phone, "alice", "open sesame", true), ERR_OK);
	link_close(phone);
	settle(&w);
	for (unsigned day = 0; day < 40; day++) {
		world_pass(&w, 86400ull * 1000);
		settle(&w);
	}
	again = link_open(&w, 2);
	assert_int_equal(do_resume(again, phone->token), ERR_TOKEN_INVALID);
	assert_int_equal(do_resume(again, alice->token), ERR_OK);
	world_close(&w);
}

/* Short of memory: one thing after the other is refused, and what was going on goes on. */
static void
load_is_shed_in_order(void **state)
{
	struct world w;
	struct link *alice, *bob, *late;
	struct call_tag t;
	unsigned n;

	(void)state;
	world_open(&w, 11);
	alice = link_open(&w, 0);
	bob = link_open(&w, 0);
	late = link_open(&w, 0);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(bob, "bob", true), ERR_OK);
	shard_set_pressure(w.shards[0], PRESSURE_REGISTER);
	assert_int_equal(do_register(late, "carol", false), ERR_BUSY);
	shard_set_pressure(w.shards[0], PRESSURE_LOGIN);
	assert_int_equal(do_login(late, "alice", "open sesame", false), ERR_BUSY);
	t = tag(&w, &n);
	chat_signal(
	    alice->peer, &t, &(struct signal_command){.to = at("bob"), .kind = S("typing")});
	assert_int_equal(answered(alice, n), ERR_OK);
	shard_set_pressure(w.shards[0], PRESSURE_SIGNAL);
	t = tag(&w, &n);
	chat_signal(
	    alice->peer, &t, &(struct signal_command){.to = at("bob"), .kind = S("typing")});
	assert_int_equal(answered(alice, n), ERR_BUSY);
	assert_int_equal(answered(alice, start_send(alice, at("bob"), "x", "c1")), ERR_OK);
	shard_set_pressure(w.shards[0], PRESSURE_SEND);
	assert_int_equal(answered(alice, start_send(alice, at("bob"), "y", "c2")), ERR_BUSY);
	assert_int_equal(do_resume(late, alice->token), ERR_OK);
	shard_set_pressure(w.shards[0], PRESSURE_NONE);
	assert_int_equal(answered(alice, n = start_send(alice, at("bob"), "y", "c2")), ERR_OK);
	assert_false(answer_to(alice, n)->dup);
	assert_stream(bob, answer_to(alice, n)->cid, 1, 2);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(two_people_talk),
	    cmocka_unit_test(entering_and_its_errors),
	    cmocka_unit_test(a_login_takes_room_and_a_message_leaves_less),
	    cmocka_unit_test(sessions_end_everywhere),
	    cmocka_unit_test(sends_keep_their_order),
	    cmocka_unit_test(mixed_targets_keep_their_order),
	    cmocka_unit_test(one_cmid_is_one_message),
	    cmocka_unit_test(sync_races_with_traffic),
	    cmocka_unit_test(backlog_gap_and_reset),
	    cmocka_unit_test(slow_readers_are_fed),
	    cmocka_unit_test(marks_signals_and_presence),
	    cmocka_unit_test(marks_outlive_their_connection),
	    cmocka_unit_test(open_connections_keep_their_session),
	    cmocka_unit_test(load_is_shed_in_order),
	    cmocka_unit_test(late_store_is_no_lie),
	    cmocka_unit_test(answers_to_nobody_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
