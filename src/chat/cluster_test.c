/* SPDX-License-Identifier: MIT */
/* Several nodes: what is said on one is heard on the others, whatever the bus does. */
#include "base/mem.h"
#include "chat/cluster_world.h"

enum { NODES = 3 };

struct people {
	struct cluster_sim sim;
	struct link *alice, *bob; /* on nodes 0 and 1 */
	uint64_t conv;
};

static void
people_open(struct people *p, uint32_t seed)
{
	unsigned n;

	sim_open(&p->sim, seed, NODES);
	p->alice = sim_link(&p->sim, 0, seed);
	p->bob = sim_link(&p->sim, 1, seed / 3);
	assert_int_equal(sim_register(&p->sim, p->alice, "alice"), ERR_OK);
	assert_int_equal(sim_register(&p->sim, p->bob, "bob"), ERR_OK);
	sim_pass(&p->sim, 2);
	n = start_send(p->alice, at("bob"), "hello", NULL);
	assert_int_equal(sim_answered(&p->sim, p->alice, n), ERR_OK);
	p->conv = answer_to(p->alice, n)->cid;
}

static void
nodes_exchange_messages(void **state)
{
	static struct people p;

	(void)state;
	for (uint32_t seed = 0; seed < 20; seed++) {
		people_open(&p, seed);
		assert_stream(p.alice, p.conv, 1, 1);
		assert_stream(p.bob, p.conv, 1, 1);
		for (unsigned i = 0; i < 20; i++) {
			(void)start_send(i % 2 ? p.alice : p.bob, cid(p.conv), "x", NULL);
			for (unsigned k = sim_pick(&p.sim, 12); k > 0; k--)
				sim_step(&p.sim);
		}
		sim_settle(&p.sim);
		assert_stream(p.alice, p.conv, 1, 21);
		assert_stream(p.bob, p.conv, 1, 21);
		sim_close(&p.sim);
	}
}

/* --- What is lost --- */

static void
send_and_pass(struct people *p, unsigned seconds)
{
	unsigned n = start_send(p->alice, cid(p->conv), "x", NULL);

	assert_int_equal(sim_answered(&p->sim, p->alice, n), ERR_OK);
	sim_pass(&p->sim, seconds);
}

/* The bus says that it lost something: the log is read, soon. */
static void
what_is_lost_is_read(void **state)
{
	static struct people p;

	(void)state;
	for (uint32_t seed = 0; seed < 10; seed++) {
		people_open(&p, seed);
		p.sim.loses = 1;
		send_and_pass(&p, 1);
		p.sim.loses = 0;
		sim_pass(&p.sim, 2);
		assert_stream(p.bob, p.conv, 1, 2);
		sim_close(&p.sim);
	}
}

/* Nobody says that something was lost. */
static void
what_nobody_misses_is_read_too(void **state)
{
	static struct people p;

	(void)state;
	people_open(&p, 1);
	p.sim.silent = 1;
	send_and_pass(&p, 30);
	assert_stream(p.bob, p.conv, 1, 2);
	sim_close(&p.sim);
}

/* What was committed by a node that died at once was told to nobody. */
static void
the_last_words_of_a_node_are_read(void **state)
{
	static struct people p;

	(void)state;
	for (uint32_t seed = 0; seed < 10; seed++) {
		people_open(&p, seed);
		(void)start_send(p.alice, cid(p.conv), "last", NULL);
		while (store_step(&p.sim.nodes[0].w) || shard_step(&p.sim.nodes[0].w, 0) ||
		       shard_step(&p.sim.nodes[0].w, 1) || shard_step(&p.sim.nodes[0].w, 2))
			if (sim_pick(&p.sim, 6) == 0)
				break;
		sim_kill(&p.sim, 0);
		sim_pass(&p.sim, 3);
		/* Stored or not, he knows. */
		p.alice = sim_link(&p.sim, 2, seed);
		assert_int_equal(do_login(p.alice, "alice", "open sesame", true), ERR_OK);
		sim_settle(&p.sim);
		for (size_t i = 0; i < p.alice->conv_count; i++)
			assert_stream(p.bob, p.conv, 1, p.alice->convs[i].head);
		sim_close(&p.sim);
	}
}

static void
a_repeated_send_tells_what_a_dead_node_did_not(void **state)
{
	static struct people p;
	unsigned n;

	(void)state;
	people_open(&p, 3);
	p.sim.silent = 1;
	n = start_send(p.alice, cid(p.conv), "x", "same");
	assert_int_equal(sim_answered(&p.sim, p.alice, n), ERR_OK);
	p.sim.silent = 0;
	assert_stream(p.bob, p.conv, 1, 1);
	p.alice = sim_link(&p.sim, 2, 0);
	assert_int_equal(do_login(p.alice, "alice", "open sesame", true), ERR_OK);
	n = start_send(p.alice, cid(p.conv), "x", "same");
	assert_int_equal(sim_answered(&p.sim, p.alice, n), ERR_OK);
	assert_true(answer_to(p.alice, n)->dup);
	assert_stream(p.bob, p.conv, 1, 2);
	sim_close(&p.sim);
}

/* --- Groups --- */

static unsigned
start_group(struct link *link, const struct group_command *cmd)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_group(link->peer, &t, cmd);
	return n;
}

static uint64_t
group_make(struct people *p, const char *handle)
{
	slice bob = S("bob");
	struct group_command cmd = {.what = GROUP_CREATE,
	    .set = {.title = S("t"),
		.handle = slice_str(handle),
		.open = 1,
		.admins_post = -1,
		.admins_invite = -1},
	    .users = &bob,
	    .user_count = 1};
	unsigned n = start_group(p->alice, &cmd);

	assert_int_equal(sim_answered(&p->sim, p->alice, n), ERR_OK);
	return answer_to(p->alice, n)->cid;
}

static void
members_come_and_go(void **state)
{
	static struct people p;
	struct link *sleeper;
	uint64_t group;
	unsigned n;
	slice bob = S("bob");

	(void)state;
	for (uint32_t seed = 0; seed < 10; seed++) {
		people_open(&p, seed);
		sleeper = sim_link(&p.sim, 2, seed);
		assert_int_equal(sim_resume(&p.sim, sleeper, p.bob->token), ERR_OK);
		sim_pass(&p.sim, 2);
		p.sim.loses = seed % 2 ? 1 : 0;
		group = group_make(&p, NULL);
		sim_pass(&p.sim, 3);
		assert_stream(p.bob, group, 1, 1);
		assert_stream(sleeper, group, 1, 1);
		n = start_group(p.alice,
		    &(struct group_command){
			.what = GROUP_REMOVE, .group = cid(group), .users = &bob, .user_count = 1});
		assert_int_equal(sim_answered(&p.sim, p.alice, n), ERR_OK);
		n = start_send(p.alice, cid(group), "not for bob", NULL);
		sim_pass(&p.sim, 3);
		assert_stream(p.bob, group, 1, 2);
		assert_stream(sleeper, group, 1, 2);
		assert_int_equal(count_told(p.bob, TOLD_CONV, group), 2);
		n = start_send(p.bob, cid(group), "still here?", NULL);
		assert_int_equal(sim_answered(&p.sim, p.bob, n), ERR_NOT_MEMBER);
		sim_close(&p.sim);
	}
}

static void
who_is_in_a_group_is_counted_on_all_nodes(void **state)
{
	static struct people p;
	uint64_t group;
	unsigned n;
	struct call_tag t;
	struct link *asks[2];

	(void)state;
	people_open(&p, 4);
	group = group_make(&p, NULL);
	asks[0] = p.alice;
	asks[1] = sim_link(&p.sim, 2, 0); /* it is open: who is no member may ask, too */
	assert_int_equal(sim_register(&p.sim, asks[1], "eve"), ERR_OK);
	sim_pass(&p.sim, 1);
	for (unsigned i = 0; i < LEN(asks); i++) {
		t = tag(asks[i]->world, &n);
		chat_group_info(
		    asks[i]->peer, &t, &(struct target){.kind = TARGET_CID, .cid = group});
		assert_int_equal(sim_answered(&p.sim, asks[i], n), ERR_OK);
		assert_int_equal(asks[i]->online, 2);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct who_command who = {
		    .scope = WHO_CONV, .conv = cid(i == 0 ? group : p.conv), .limit = 10};

		t = tag(p.bob->world, &n);
		chat_who(p.bob->peer, &t, &who);
		assert_int_equal(sim_answered(&p.sim, p.bob, n), ERR_OK);
		assert_int_equal(answer_to(p.bob, n)->seq, 2);
	}
	sim_close(&p.sim);
}

/* --- Sessions --- */

static void
an_ended_session_ends_everywhere(void **state)
{
	static struct people p;
	struct link *other, *third;
	unsigned n;
	struct call_tag t;

	(void)state;
	for (uint32_t seed = 0; seed < 12; seed++) {
		people_open(&p, seed);
		other = sim_link(&p.sim, 0, seed);
		third = sim_link(&p.sim, 2, seed);
		assert_int_equal(do_login(other, "bob", "open sesame", true), ERR_OK);
		assert_int_equal(do_login(third, "bob", "open sesame", true), ERR_OK);
		sim_pass(&p.sim, 2);
		if (seed % 3 == 1)
			p.sim.loses = 1;
		if (seed % 3 == 2)
			sim_cut(&p.sim, true);
		t = tag(other->world, &n);
		if (seed % 2 == 0)
			chat_session_revoke(other->peer, &t, slice_str(p.bob->session));
		else
			chat_password_change(other->peer, &t, S("open sesame"), S("close sesame"));
		assert_int_equal(sim_answered(&p.sim, other, n), ERR_OK);
		sim_pass(&p.sim, seed % 3 == 2 ? 30 : 3);
		assert_true(p.bob->closed);
		assert_int_equal(third->closed, seed % 2 == 1);
		assert_false(other->closed);
		sim_close(&p.sim);
	}
}

/* His token was read before it ended, and he arrives after all sessions were looked at. */
static void
a_login_on_its_way_while_news_are_lost(void **state)
{
	static struct people p;
	struct world *w = &p.sim.nodes[1].w;
	struct link *other, *late;
	unsigned n, home;
	struct call_tag t;

	(void)state;
	people_open(&p, 9);
	other = sim_link(&p.sim, 0, 0);
	assert_int_equal(do_login(other, "bob", "open sesame", true), ERR_OK);
	sim_pass(&p.sim, 6);                  /* until no reading that comes in any case is near */
	home = shard_home(2, w->shard_count); /* bob's */
	late = sim_link(&p.sim, 1, home + 1);
	assert_int_not_equal(late->shard, home);
	t = tag(w, &n);
	chat_resume(late->peer, &t, &(struct resume_command){.token = slice_str(p.bob->token)});
	while (store_step(w))
		;
	p.sim.silent = 1;
	t = tag(other->world, &n);
	chat_session_revoke(other->peer, &t, slice_str(p.bob->session));
	assert_int_equal(answered(other, n), ERR_OK);
	p.sim.silent = 0;
	world_post(w, home, ring_lost());
	(void)shard_step(w, home);
	world_pass(w, 1000);
	while (store_step(w))
		;
	sim_pass(&p.sim, 2);
	assert_true(late->closed && p.bob->closed);
	sim_close(&p.sim);
}

static void
sessions_are_online_wherever_they_are(void **state)
{
	static struct people p;
	struct link *other;
	unsigned n;
	struct call_tag t;

	(void)state;
	people_open(&p, 5);
	other = sim_link(&p.sim, 2, 1);
	assert_int_equal(do_login(other, "bob", "open sesame", true), ERR_OK);
	sim_pass(&p.sim, 1);
	t = tag(other->world, &n);
	chat_session_list(other->peer, &t);
	assert_int_equal(sim_answered(&p.sim, other, n), ERR_OK);
	assert_int_equal(answer_to(other, n)->seq, 2);
	assert_int_equal(other->online, 2);
	sim_close(&p.sim);
}

/* --- Presence --- */

static enum presence
shown(struct people *p, struct link *link, const char *name)
{
	slice names[] = {slice_str(name)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_presence_get(link->peer, &t, names, 1);
	assert_int_equal(sim_answered(&p->sim, link, n), ERR_OK);
	return (enum presence)answer_to(link, n)->seq;
}

static void
bob_is_watched(struct people *p)
{
	slice names[] = {S("bob")};
	unsigned n;
	struct call_tag t = tag(p->alice->world, &n);

	chat_presence_watch(p->alice->peer, &t, names, 1);
	assert_int_equal(sim_answered(&p->sim, p->alice, n), ERR_OK);
}

static void
set(struct people *p, struct link *link, enum presence state, const char *text)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_presence_set(
	    link->peer, &t, &(struct presence_command){.state = state, .text = slice_str(text)});
	assert_int_equal(sim_answered(&p->sim, link, n), ERR_OK);
}

static void
who_is_on_another_node_is_seen(void **state)
{
	static struct people p;
	struct link *other;
	unsigned n;
	struct call_tag t;

	(void)state;
	people_open(&p, 6);
	assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_ONLINE);
	t = tag(p.alice->world, &n);
	chat_who(p.alice->peer, &t, &(struct who_command){.scope = WHO_ALL, .limit = 10});
	assert_int_equal(sim_answered(&p.sim, p.alice, n), ERR_OK);
	assert_int_equal(p.alice->online, 2);
	bob_is_watched(&p);
	set(&p, p.bob, PRESENCE_BUSY, "deep");
	assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_BUSY);
	/* On two nodes it is what he set last, wherever that was. */
	other = sim_link(&p.sim, 2, 0);
	assert_int_equal(sim_resume(&p.sim, other, p.bob->token), ERR_OK);
	set(&p, other, PRESENCE_ONLINE, "");
	assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_ONLINE);
	set(&p, p.bob, PRESENCE_AWAY, NULL);
	assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_ONLINE);
	set(&p, other, PRESENCE_AWAY, NULL);
	assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_AWAY);
	set(&p, other, PRESENCE_INVISIBLE, NULL);
	assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_OFFLINE);
	sim_close(&p.sim);
}

static void
who_changes_nodes_does_not_flap(void **state)
{
	static struct people p;
	char token[sizeof(p.bob->token)];

	(void)state;
	for (uint32_t seed = 0; seed < 8; seed++) {
		size_t told;

		people_open(&p, seed);
		bob_is_watched(&p);
		told = count_told(p.alice, TOLD_PRESENCE, 0);
		memcpy(token, p.bob->token, sizeof(token));
		if (seed % 2 == 0) {
			link_close(p.bob);
			sim_pass(&p.sim, 2);
		} else {
			sim_kill(&p.sim, 1);
			sim_pass(&p.sim, 2);
		}
		p.bob = sim_link(&p.sim, 2, seed);
		assert_int_equal(sim_resume(&p.sim, p.bob, token), ERR_OK);
		sim_pass(&p.sim, 10);
		assert_int_equal(count_told(p.alice, TOLD_PRESENCE, 0), told);
		assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_ONLINE);
		sim_close(&p.sim);
	}
}

static void
users_of_a_dead_node_leave(void **state)
{
	static struct people p;

	(void)state;
	people_open(&p, 7);
	bob_is_watched(&p);
	sim_kill(&p.sim, 1);
	sim_pass(&p.sim, 7);
	assert_int_equal(p.alice->told[p.alice->count - 1].what, TOLD_PRESENCE);
	assert_int_equal(p.alice->told[p.alice->count - 1].seq, PRESENCE_OFFLINE);
	assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_OFFLINE);
	/* One that starts again learns who is there. */
	sim_start(&p.sim, 1);
	sim_pass(&p.sim, 5);
	p.bob = sim_link(&p.sim, 1, 2);
	assert_int_equal(do_login(p.bob, "bob", "open sesame", true), ERR_OK);
	assert_int_equal(shown(&p, p.bob, "alice"), PRESENCE_ONLINE);
	sim_close(&p.sim);
}

static void
presence_that_is_lost_is_told_again(void **state)
{
	static struct people p;

	(void)state;
	for (uint32_t seed = 0; seed < 8; seed++) {
		people_open(&p, seed);
		p.sim.silent = seed % 2 ? 1 : 0;
		p.sim.loses = seed % 2 ? 0 : 1;
		set(&p, p.bob, PRESENCE_BUSY, NULL);
		link_close(p.alice);
		sim_settle(&p.sim);
		p.sim.silent = p.sim.loses = 0;
		sim_pass(&p.sim, 10);
		p.alice = sim_link(&p.sim, 2, seed);
		assert_int_equal(do_login(p.alice, "alice", "open sesame", true), ERR_OK);
		assert_int_equal(shown(&p, p.alice, "bob"), PRESENCE_BUSY);
		assert_int_equal(shown(&p, p.bob, "alice"), PRESENCE_ONLINE);
		sim_close(&p.sim);
	}
}

/* --- What else is told --- */

static void
marks_signals_and_contacts_are_heard(void **state)
{
	static struct people p;
	unsigned n;
	struct call_tag t;

	(void)state;
	people_open(&p, 8);
	t = tag(p.bob->world, &n);
	chat_mark(p.bob->peer, &t, &(struct mark_command){.conv = cid(p.conv), .read = 1});
	assert_int_equal(sim_answered(&p.sim, p.bob, n), ERR_OK);
	assert_int_equal(count_told(p.alice, TOLD_MARK, p.conv), 1);
	t = tag(p.bob->world, &n);
	chat_signal(p.bob->peer, &t,
	    &(struct signal_command){.to = cid(p.conv), .kind = S("typing"), .data = S("1")});
	assert_int_equal(sim_answered(&p.sim, p.bob, n), ERR_OK);
	assert_int_equal(count_told(p.alice, TOLD_SIGNAL, p.conv), 1);
	t = tag(p.bob->world, &n);
	chat_contact(p.bob->peer, &t,
	    &(struct contact_command){.what = CONTACT_ADD, .user = S("alice"), .note = S("me")});
	assert_int_equal(sim_answered(&p.sim, p.bob, n), ERR_OK);
	assert_int_equal(count_told(p.alice, TOLD_CONTACT, 0), 1);
	assert_int_equal(p.alice->told[p.alice->count - 1].seq, NEWS_INCOMING);
	sim_close(&p.sim);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nodes_exchange_messages),
	    cmocka_unit_test(what_is_lost_is_read),
	    cmocka_unit_test(what_nobody_misses_is_read_too),
	    cmocka_unit_test(the_last_words_of_a_node_are_read),
	    cmocka_unit_test(a_repeated_send_tells_what_a_dead_node_did_not),
	    cmocka_unit_test(members_come_and_go),
	    cmocka_unit_test(who_is_in_a_group_is_counted_on_all_nodes),
	    cmocka_unit_test(an_ended_session_ends_everywhere),
	    cmocka_unit_test(a_login_on_its_way_while_news_are_lost),
	    cmocka_unit_test(sessions_are_online_wherever_they_are),
	    cmocka_unit_test(who_is_on_another_node_is_seen),
	    cmocka_unit_test(who_changes_nodes_does_not_flap),
	    cmocka_unit_test(users_of_a_dead_node_leave),
	    cmocka_unit_test(presence_that_is_lost_is_told_again),
	    cmocka_unit_test(marks_signals_and_contacts_are_heard),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
