/* SPDX-License-Identifier: MIT */
/* Presence between shards, in the seeded world of chat_world.h: who watches and who is watched are never
 * on the same one. */
#include "chat/chat_world.h"

static unsigned
start_set(struct link *link, enum presence state, const char *text)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_presence_set(
	    link->peer, &t, &(struct presence_command){.state = state, .text = slice_str(text)});
	return n;
}

static void
set(struct link *link, enum presence state, const char *text)
{
	assert_int_equal(answered(link, start_set(link, state, text)), ERR_OK);
}

static unsigned
start_watch(struct link *link, const char *name)
{
	slice names[] = {slice_str(name)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_presence_watch(link->peer, &t, names, name != NULL ? 1 : 0);
	return n;
}

static const struct told *
get(struct link *link, const char *name)
{
	slice names[] = {slice_str(name)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_presence_get(link->peer, &t, names, 1);
	assert_int_equal(answered(link, n), ERR_OK);
	return answer_to(link, n);
}

static const struct told *
watch(struct link *link, const char *name)
{
	unsigned n = start_watch(link, name);

	assert_int_equal(answered(link, n), ERR_OK);
	return answer_to(link, n);
}

static void
contact(struct link *link, enum contact_change what, const char *user)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_contact(
	    link->peer, &t, &(struct contact_command){.what = what, .user = slice_str(user)});
	assert_int_equal(answered(link, n), ERR_OK);
}

/* The last event about anyone; NULL: there was none. */
static const struct told *
last_event(const struct link *link)
{
	for (size_t i = link->count; i-- > 0;)
		if (link->told[i].what == TOLD_PRESENCE)
			return &link->told[i];
	return NULL;
}

static size_t
events(const struct link *link)
{
	return count_told(link, TOLD_PRESENCE, 0);
}

static void
assert_event(const struct link *link, size_t count, enum presence state, const char *text)
{
	assert_int_equal(events(link), count);
	assert_int_equal(last_event(link)->seq, state);
	assert_string_equal(last_event(link)->text, text);
}

struct pair {
	struct world w;
	struct link *bob, *eye;
};

/* Bob is online on one shard, and eye on another. */
static void
pair_open(struct pair *p)
{
	world_open(&p->w, 7);
	p->bob = link_open(&p->w, 0);
	p->eye = link_open(&p->w, 1);
	assert_int_equal(do_register(p->bob, "bob", true), ERR_OK);
	assert_int_equal(do_register(p->eye, "eye", true), ERR_OK);
}

static struct link *
again(struct pair *p, unsigned shard)
{
	struct link *link = link_open(&p->w, shard);

	assert_int_equal(do_resume(link, p->bob->token), ERR_OK);
	return link;
}

static struct link *
synced_again(struct pair *p, unsigned shard)
{
	struct link *link = again(p, shard);

	assert_int_equal(answered(link, start_sync(link, 0, 0, 50)), ERR_OK);
	return link;
}

static void
changes_are_told_once(void **state)
{
	static struct pair p;

	(void)state;
	pair_open(&p);
	assert_int_equal(watch(p.eye, "bob")->seq, PRESENCE_ONLINE);
	set(p.bob, PRESENCE_BUSY, "at work");
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_BUSY, "bob:at work");
	set(p.bob, PRESENCE_BUSY, NULL);
	settle(&p.w);
	assert_int_equal(events(p.eye), 1);
	set(p.bob, PRESENCE_BUSY, "");
	settle(&p.w);
	assert_event(p.eye, 2, PRESENCE_BUSY, "bob");
	(void)watch(p.eye, NULL);
	set(p.bob, PRESENCE_ONLINE, NULL);
	settle(&p.w);
	assert_int_equal(events(p.eye), 2);
	world_close(&p.w);
}

static void
a_reconnect_is_not_seen(void **state)
{
	static struct pair p;

	(void)state;
	pair_open(&p);
	(void)watch(p.eye, "bob");
	for (unsigned i = 0; i < 5; i++) {
		link_close(p.bob);
		settle(&p.w);
		world_pass(&p.w, 3000);
		p.bob = synced_again(&p, i % 2 == 0 ? 2 : 0);
		world_pass(&p.w, 3000);
		settle(&p.w);
	}
	assert_int_equal(events(p.eye), 0);
	link_close(p.bob);
	settle(&p.w);
	world_pass(&p.w, 4000);
	settle(&p.w);
	assert_int_equal(events(p.eye), 0);
	world_pass(&p.w, 2000);
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_OFFLINE, "bob");
	assert_int_equal(last_event(p.eye)->to, p.w.real_ms - 6000);
	world_close(&p.w);
}

/* Whoever asked knows that he left; so he must hear of the return. */
static void
a_leaving_that_was_asked_for_is_told(void **state)
{
	static struct pair p;
	struct link *asks;

	(void)state;
	pair_open(&p);
	asks = link_open(&p.w, 2);
	assert_int_equal(do_register(asks, "asks", true), ERR_OK);
	(void)watch(p.eye, "bob");
	link_close(p.bob);
	settle(&p.w);
	assert_int_equal(get(asks, "bob")->seq, PRESENCE_OFFLINE);
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_OFFLINE, "bob");
	(void)synced_again(&p, 0);
	settle(&p.w);
	assert_event(p.eye, 2, PRESENCE_ONLINE, "bob");
	world_close(&p.w);
}

static void
away_are_all_of_his_devices(void **state)
{
	static struct pair p;
	struct link *phone;

	(void)state;
	pair_open(&p);
	phone = synced_again(&p, 2);
	(void)watch(p.eye, "bob");
	set(p.bob, PRESENCE_AWAY, NULL);
	settle(&p.w);
	assert_int_equal(events(p.eye), 0);
	set(phone, PRESENCE_AWAY, "lunch");
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_AWAY, "bob:lunch");
	set(phone, PRESENCE_BUSY, NULL);
	settle(&p.w);
	assert_event(p.eye, 2, PRESENCE_BUSY, "bob:lunch");
	set(phone, PRESENCE_ONLINE, "");
	settle(&p.w);
	assert_event(p.eye, 3, PRESENCE_ONLINE, "bob");
	link_close(phone); /* the one that is left is away still */
	settle(&p.w);
	assert_event(p.eye, 4, PRESENCE_AWAY, "bob");
	world_close(&p.w);
}

/* What was perhaps stored is read again. */
static void
what_was_set_is_told_though_nobody_knew_whether_it_was(void **state)
{
	static struct pair p;

	(void)state;
	pair_open(&p);
	(void)watch(p.eye, "bob");
	p.w.next_write = ERR_UNKNOWN_OUTCOME;
	assert_int_equal(
	    answered(p.bob, start_set(p.bob, PRESENCE_BUSY, "at work")), ERR_UNKNOWN_OUTCOME);
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_BUSY, "bob:at work");
	world_close(&p.w);
}

static void
who_is_invisible_looks_offline(void **state)
{
	static struct pair p;

	(void)state;
	pair_open(&p);
	(void)watch(p.eye, "bob");
	set(p.bob, PRESENCE_INVISIBLE, "hidden");
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_OFFLINE, "bob");
	assert_int_equal(last_event(p.eye)->to, 0);
	assert_int_equal(get(p.eye, "bob")->seq, PRESENCE_OFFLINE);
	assert_int_equal(get(p.eye, "bob")->to, 0);
	link_close(p.bob); /* of his going nothing is told */
	settle(&p.w);
	world_pass(&p.w, 10000);
	settle(&p.w);
	assert_int_equal(get(p.eye, "bob")->to, 0);
	p.bob = synced_again(&p, 2); /* and he is so still */
	settle(&p.w);
	assert_int_equal(events(p.eye), 1);
	set(p.bob, PRESENCE_ONLINE, NULL);
	settle(&p.w);
	assert_event(p.eye, 2, PRESENCE_ONLINE, "bob:hidden");
	world_close(&p.w);
}

static void
contacts_are_watched(void **state)
{
	static struct pair p;

	(void)state;
	pair_open(&p);
	contact(p.eye, CONTACT_ADD, "bob");
	settle(&p.w);
	assert_int_equal(events(p.eye), 0);
	contact(p.bob, CONTACT_ACCEPT, "eye");
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_ONLINE, "bob");
	assert_event(p.bob, 1, PRESENCE_ONLINE, "eye");
	(void)watch(p.eye, NULL); /* the list is another matter */
	set(p.bob, PRESENCE_BUSY, NULL);
	settle(&p.w);
	assert_event(p.eye, 2, PRESENCE_BUSY, "bob");
	p.bob = synced_again(&p, 2); /* a new connection watches from its sync on */
	set(p.eye, PRESENCE_AWAY, NULL);
	settle(&p.w);
	assert_event(p.bob, 1, PRESENCE_AWAY, "eye");
	contact(p.eye, CONTACT_REMOVE, "bob");
	set(p.bob, PRESENCE_ONLINE, NULL);
	settle(&p.w);
	assert_int_equal(events(p.eye), 2);
	world_close(&p.w);
}

static void
a_block_hides_at_once(void **state)
{
	static struct pair p;

	(void)state;
	pair_open(&p);
	(void)watch(p.eye, "bob");
	(void)watch(p.bob, "eye");
	contact(p.bob, CONTACT_BLOCK, "eye");
	settle(&p.w);
	assert_event(p.eye, 1, PRESENCE_OFFLINE, "bob");
	assert_int_equal(last_event(p.eye)->to, 0);
	assert_event(p.bob, 1, PRESENCE_OFFLINE, "eye");
	set(p.bob, PRESENCE_BUSY, NULL);
	set(p.eye, PRESENCE_BUSY, NULL);
	settle(&p.w);
	assert_int_equal(events(p.eye), 1);
	assert_int_equal(events(p.bob), 1);
	assert_int_equal(get(p.eye, "bob")->seq, PRESENCE_OFFLINE);
	assert_int_equal(get(p.eye, "bob")->to, 0);
	assert_int_equal(watch(p.eye, "bob")->seq, PRESENCE_OFFLINE);
	contact(p.bob, CONTACT_UNBLOCK, "eye");
	settle(&p.w);
	assert_int_equal(watch(p.eye, "bob")->seq, PRESENCE_BUSY);
	world_close(&p.w);
}

static unsigned
start_contact(struct link *link, enum contact_change what, const char *user)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_contact(
	    link->peer, &t, &(struct contact_command){.what = what, .user = slice_str(user)});
	return n;
}

/* Whom many want to know, at once: each of those whose relation changed reads it, and no more. */
static void
many_changes_cost_a_reading_each(void **state)
{
	enum { FANS = 4 };
	static struct pair p;
	struct link *fans[FANS];
	char name[8];
	unsigned before;

	(void)state;
	pair_open(&p);
	for (unsigned i = 0; i < FANS; i++) {
		(void)snprintf(name, sizeof(name), "fan%u", i);
		fans[i] = link_open(&p.w, i % WORLD_SHARDS);
		assert_int_equal(do_register(fans[i], name, true), ERR_OK);
	}
	before = p.w.reads;
	for (unsigned i = 0; i < FANS; i++)
		contact(fans[i], CONTACT_ADD, "bob");
	settle(&p.w);
	assert_int_equal(p.w.reads, before); /* who asks is no nearer than before */
	for (unsigned i = 0; i < FANS; i++) {
		(void)snprintf(name, sizeof(name), "fan%u", i);
		(void)start_contact(p.bob, CONTACT_ACCEPT, name);
	}
	settle(&p.w);
	assert_int_equal(p.w.reads, before + 2 * FANS);
	assert_int_equal(events(p.bob), FANS);
	/* Again and again with one: while it is read it is not read once more. */
	before = p.w.reads;
	for (unsigned i = 0; i < 2 * FANS; i++)
		(void)start_contact(p.bob, i % 2 ? CONTACT_UNBLOCK : CONTACT_BLOCK, "eye");
	(void)start_contact(p.bob, CONTACT_ADD, "eye");
	contact(p.eye, CONTACT_ACCEPT, "bob");
	settle(&p.w);
	assert_true(p.w.reads - before <= 2 * FANS);
	assert_event(p.eye, 1, PRESENCE_ONLINE, "bob");
	world_close(&p.w);
}

static void
slow_readers_catch_up(void **state)
{
	static struct pair p;

	(void)state;
	pair_open(&p);
	(void)watch(p.eye, "bob");
	p.eye->full = true;
	set(p.bob, PRESENCE_BUSY, NULL);
	set(p.bob, PRESENCE_AWAY, NULL);
	set(p.bob, PRESENCE_ONLINE, "back");
	settle(&p.w);
	assert_int_equal(events(p.eye), 0);
	p.eye->full = false;
	peer_drained(p.eye->peer);
	assert_event(p.eye, 1, PRESENCE_ONLINE, "bob:back");
	peer_drained(p.eye->peer);
	assert_int_equal(events(p.eye), 1);
	world_close(&p.w);
}

/* --- Whatever overtakes what: at rest everybody knows how it is --- */

enum { STORM_STEPS = 300, WATCHERS = 4 };

struct storm {
	struct world w;
	struct link *bob[2];
	struct link *eyes[WATCHERS];
	struct link *judge;
	char token[TOKEN_TEXT_BYTES + 1];
};

static const char *const eye_names[WATCHERS] = {"eye0", "eye1", "eye2", "eye3"};

static void
bob_reconnects(struct storm *s, unsigned i)
{
	struct world *w = &s->w;
	struct sync_command sync = {.given = true};
	unsigned n;
	struct call_tag t = tag(w, &n);

	if (w->link_count >= LINKS_MAX - 1)
		return;
	if (s->bob[i] != NULL)
		link_close(s->bob[i]);
	s->bob[i] = NULL;
	if (pick(w, 3) == 0)
		return;
	s->bob[i] = link_open(w, pick(w, WORLD_SHARDS));
	chat_resume(s->bob[i]->peer, &t,
	    &(struct resume_command){.token = slice_str(s->token), .sync = sync});
}

static void
bob_acts(struct storm *s)
{
	static const enum presence states[] = {
	    PRESENCE_ONLINE, PRESENCE_BUSY, PRESENCE_AWAY, PRESENCE_INVISIBLE};
	static const enum contact_change changes[] = {
	    CONTACT_BLOCK, CONTACT_UNBLOCK, CONTACT_ADD, CONTACT_REMOVE};
	struct world *w = &s->w;
	struct link *bob = s->bob[pick(w, 2)];
	unsigned n;
	struct call_tag t;

	if (bob == NULL || bob->token[0] == '\0')
		return;
	if (pick(w, 2) == 0) {
		(void)start_set(bob, states[pick(w, 4)], pick(w, 2) ? "x" : NULL);
		return;
	}
	t = tag(w, &n);
	chat_contact(bob->peer, &t,
	    &(struct contact_command){
		.what = changes[pick(w, 4)], .user = slice_str(eye_names[pick(w, WATCHERS)])});
}

static void
eye_acts(struct storm *s, unsigned i)
{
	struct world *w = &s->w;
	unsigned n;
	struct call_tag t;

	if (pick(w, 2) == 0) {
		(void)start_watch(s->eyes[i], "bob");
		return;
	}
	t = tag(w, &n);
	chat_contact(s->eyes[i]->peer, &t,
	    &(struct contact_command){
		.what = pick(w, 2) ? CONTACT_ADD : CONTACT_REMOVE, .user = S("bob")});
}

/* What an eye was told of bob last, by an event or an answer. */
static enum presence
knows(const struct link *link)
{
	for (size_t i = link->count; i-- > 0;)
		if (link->told[i].what == TOLD_PRESENCE ||
		    (link->told[i].what == TOLD_ANSWER && link->told[i].answer == ANSWER_PRESENCE &&
			link->told[i].err == ERR_OK))
			return (enum presence)link->told[i].seq;
	return PRESENCE_OFFLINE;
}

/* As one sees it who has never watched: another connection of the eye's user. */
static enum presence
truth(struct storm *s, unsigned i)
{
	struct link *fresh = link_open(&s->w, pick(&s->w, WORLD_SHARDS));

	assert_int_equal(do_resume(fresh, s->eyes[i]->token), ERR_OK);
	return (enum presence)get(fresh, "bob")->seq;
}

static void
storm(uint32_t seed)
{
	static struct storm s;
	struct world *w = &s.w;

	s = (struct storm){0};
	world_open(w, seed);
	s.bob[0] = link_open(w, 0);
	assert_int_equal(do_register(s.bob[0], "bob", true), ERR_OK);
	memcpy(s.token, s.bob[0]->token, sizeof(s.token));
	for (unsigned i = 0; i < WATCHERS; i++) {
		s.eyes[i] = link_open(w, 1 + i % (WORLD_SHARDS - 1));
		assert_int_equal(do_register(s.eyes[i], eye_names[i], true), ERR_OK);
		(void)watch(s.eyes[i], "bob");
	}
	w->reorders = true;
	for (unsigned i = 0; i < STORM_STEPS; i++) {
		switch (pick(w, 12)) {
		case 0:
			bob_reconnects(&s, pick(w, 2));
			break;
		case 1:
		case 2:
			bob_acts(&s);
			break;
		case 3:
			eye_acts(&s, pick(w, WATCHERS));
			break;
		case 4:
			world_pass(w, 500 + pick(w, 4000));
			break;
		default:
			step(w);
		}
	}
	w->reorders = false;
	settle(w);
	world_pass(w, 6000);
	settle(w);
	for (unsigned i = 0; i < WATCHERS; i++)
		if (!s.eyes[i]->closed)
			assert_int_equal(knows(s.eyes[i]), truth(&s, i));
	world_close(w);
}

static void
the_last_word_is_the_truth(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 600; seed++) {
		storm(seed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(changes_are_told_once),
	    cmocka_unit_test(a_reconnect_is_not_seen),
	    cmocka_unit_test(a_leaving_that_was_asked_for_is_told),
	    cmocka_unit_test(away_are_all_of_his_devices),
	    cmocka_unit_test(what_was_set_is_told_though_nobody_knew_whether_it_was),
	    cmocka_unit_test(who_is_invisible_looks_offline),
	    cmocka_unit_test(contacts_are_watched),
	    cmocka_unit_test(a_block_hides_at_once),
	    cmocka_unit_test(many_changes_cost_a_reading_each),
	    cmocka_unit_test(slow_readers_catch_up),
	    cmocka_unit_test(the_last_word_is_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
