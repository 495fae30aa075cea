/* SPDX-License-Identifier: MIT */
/* Contacts, blocks and the end of accounts, in the seeded world of chat_world.h. */
#include "chat/chat_world.h"

static unsigned
start_contact(struct link *link, enum contact_change what, const char *user, const char *note)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_contact(link->peer, &t,
	    &(struct contact_command){
		.what = what, .user = slice_str(user), .note = slice_str(note)});
	return n;
}

static enum err
contact(struct link *link, enum contact_change what, const char *user)
{
	return answered(link, start_contact(link, what, user, NULL));
}

static const struct told *
list(struct link *link, const char *after, uint32_t limit)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_contact_list(link->peer, &t, slice_str(after), limit);
	assert_int_equal(answered(link, n), ERR_OK);
	return answer_to(link, n);
}

static const char *
listed(struct link *link)
{
	return list(link, NULL, 1000)->text;
}

static unsigned
start_delete(struct link *link, const char *password)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_account_delete(link->peer, &t, slice_str(password));
	return n;
}

static unsigned
start_signal(struct link *link, const char *to)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_signal(link->peer, &t, &(struct signal_command){.to = at(to), .kind = S("typing")});
	return n;
}

static unsigned
start_mark(struct link *link, const char *to, uint64_t read)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_mark(link->peer, &t, &(struct mark_command){.conv = at(to), .read = read});
	return n;
}

/* How often it was told that news of that user. */
static size_t
told_news(const struct link *link, enum contact_news news, const char *user)
{
	size_t count = 0;

	for (size_t i = 0; i < link->count; i++)
		count += link->told[i].what == TOLD_CONTACT && link->told[i].seq == news &&
			 strcmp(link->told[i].text, user) == 0;
	return count;
}

static size_t
told_all(const struct link *link, int what)
{
	size_t count = 0;

	for (size_t i = 0; i < link->count; i++)
		count += link->told[i].what == (unsigned)what;
	return count;
}

static struct link *
newcomer(struct world *w, unsigned shard, const char *name)
{
	struct link *link = link_open(w, shard);

	assert_int_equal(do_register(link, name, true), ERR_OK);
	return link;
}

static struct link *
device(struct world *w, unsigned shard, const char *name)
{
	struct link *link = link_open(w, shard);

	assert_int_equal(do_login(link, name, "open sesame", true), ERR_OK);
	return link;
}

static void
a_request_is_accepted(void **state)
{
	struct world w;
	struct link *alice, *bob, *phone, *unsynced;
	unsigned n;

	(void)state;
	world_open(&w, 1);
	alice = newcomer(&w, 0, "alice");
	bob = newcomer(&w, 1, "bob");
	phone = device(&w, 2, "bob");
	unsynced = link_open(&w, 0);
	assert_int_equal(do_login(unsynced, "alice", "open sesame", false), ERR_OK);
	n = start_contact(alice, CONTACT_ADD, "bob", "it's me");
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(answer_to(alice, n)->answer, ANSWER_CONTACT);
	assert_int_equal(told_news(alice, NEWS_REQUESTED, "bob"), 1);
	assert_int_equal(told_news(bob, NEWS_INCOMING, "alice"), 1);
	assert_int_equal(told_news(phone, NEWS_INCOMING, "alice"), 1);
	assert_int_equal(told_all(unsynced, TOLD_CONTACT), 0);
	assert_string_equal(listed(alice), "bob=requested");
	assert_string_equal(listed(bob), "alice=incoming");
	assert_int_equal(contact(alice, CONTACT_ADD, "bob"), ERR_ALREADY);
	assert_int_equal(contact(alice, CONTACT_ACCEPT, "bob"), ERR_NOT_FOUND);
	assert_int_equal(contact(bob, CONTACT_REMOVE, "alice"), ERR_NOT_FOUND);
	assert_int_equal(contact(phone, CONTACT_ACCEPT, "alice"), ERR_OK);
	assert_int_equal(told_news(alice, NEWS_CONTACT, "bob"), 1);
	assert_int_equal(told_news(bob, NEWS_CONTACT, "alice"), 1);
	assert_int_equal(told_news(phone, NEWS_CONTACT, "alice"), 1);
	assert_string_equal(listed(alice), "bob=contact/online");
	assert_string_equal(listed(unsynced), "bob=contact/online");
	assert_int_equal(contact(bob, CONTACT_ACCEPT, "alice"), ERR_ALREADY);
	assert_int_equal(contact(bob, CONTACT_ADD, "alice"), ERR_ALREADY);
	assert_int_equal(contact(bob, CONTACT_REJECT, "alice"), ERR_NOT_FOUND);
	link_close(bob);
	link_close(phone);
	settle(&w);
	world_pass(&w, 60000);
	settle(&w);
	assert_string_equal(listed(alice), "bob=contact");
	assert_int_equal(contact(alice, CONTACT_REMOVE, "bob"), ERR_OK);
	assert_int_equal(told_news(alice, NEWS_REMOVED, "bob"), 1);
	assert_string_equal(listed(alice), "");
	world_close(&w);
}

static void
a_request_is_rejected_or_withdrawn(void **state)
{
	struct world w;
	struct link *alice, *bob;

	(void)state;
	world_open(&w, 2);
	alice = newcomer(&w, 0, "alice");
	bob = newcomer(&w, 1, "bob");
	assert_int_equal(contact(alice, CONTACT_ADD, "bob"), ERR_OK);
	assert_int_equal(contact(bob, CONTACT_REJECT, "alice"), ERR_OK);
	assert_int_equal(told_news(alice, NEWS_REJECTED, "bob"), 1);
	assert_int_equal(told_news(bob, NEWS_REJECTED, "alice"), 1);
	assert_string_equal(listed(alice), "");
	assert_int_equal(contact(alice, CONTACT_ADD, "bob"), ERR_OK);
	assert_int_equal(contact(alice, CONTACT_REMOVE, "bob"), ERR_OK);
	assert_int_equal(told_news(bob, NEWS_REMOVED, "alice"), 1);
	assert_string_equal(listed(bob), "");
	assert_int_equal(contact(bob, CONTACT_ACCEPT, "alice"), ERR_NOT_FOUND);
	assert_int_equal(contact(bob, CONTACT_UNBLOCK, "alice"), ERR_NOT_FOUND);
	assert_int_equal(contact(bob, CONTACT_ADD, "bob"), ERR_INVALID_PARAMS);
	assert_int_equal(contact(bob, CONTACT_ADD, "nobody"), ERR_NOT_FOUND);
	assert_int_equal(contact(bob, CONTACT_BLOCK, "nobody"), ERR_NOT_FOUND);
	world_close(&w);
}

/* Both ask at the same time: whoever is second makes them contacts. */
static void
requests_cross(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct world w;
		struct link *alice, *bob;
		unsigned a, b;

		world_open(&w, seed);
		alice = newcomer(&w, 0, "alice");
		bob = newcomer(&w, 1, "bob");
		a = start_contact(alice, CONTACT_ADD, "bob", "from alice");
		for (unsigned i = pick(&w, 8); i > 0; i--)
			step(&w);
		b = start_contact(bob, CONTACT_ADD, "alice", "from bob");
		assert_int_equal(answered(alice, a), ERR_OK);
		assert_int_equal(answered(bob, b), ERR_OK);
		assert_string_equal(listed(alice), "bob=contact/online");
		assert_string_equal(listed(bob), "alice=contact/online");
		assert_int_equal(told_news(alice, NEWS_CONTACT, "bob"), 1);
		assert_int_equal(told_news(bob, NEWS_CONTACT, "alice"), 1);
		world_close(&w);
	}
}

/* One accepts while the other blocks: whatever comes first, they are no contacts. */
static void
accept_and_block_race(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct world w;
		struct link *alice, *bob;
		unsigned a, b;
		enum err accepted;

		world_open(&w, seed);
		alice = newcomer(&w, 0, "alice");
		bob = newcomer(&w, 1, "bob");
		assert_int_equal(contact(alice, CONTACT_ADD, "bob"), ERR_OK);
		a = start_contact(bob, CONTACT_ACCEPT, "alice", NULL);
		for (unsigned i = pick(&w, 8); i > 0; i--)
			step(&w);
		b = start_contact(alice, CONTACT_BLOCK, "bob", NULL);
		accepted = answered(bob, a);
		assert_true(accepted == ERR_OK || accepted == ERR_NOT_FOUND);
		assert_int_equal(answered(alice, b), ERR_OK);
		assert_string_equal(listed(alice), "bob=blocked");
		assert_string_equal(listed(bob), "");
		assert_int_equal(told_news(bob, NEWS_REMOVED, "alice"), 1);
		assert_int_equal(told_news(bob, NEWS_BLOCKED, "alice"), 0);
		world_close(&w);
	}
}

static void
nothing_passes_a_block(void **state)
{
	struct world w;
	struct link *alice, *bob, *phone;
	size_t marks;

	(void)state;
	world_open(&w, 3);
	alice = newcomer(&w, 0, "alice");
	bob = newcomer(&w, 1, "bob");
	phone = device(&w, 2, "alice");
	assert_int_equal(answered(alice, start_send(alice, at("bob"), "one", "c1")), ERR_OK);
	assert_int_equal(answered(bob, start_send(bob, at("alice"), "two", "c2")), ERR_OK);
	assert_int_equal(answered(bob, start_mark(bob, "alice", 1)), ERR_OK);
	assert_int_equal(told_all(alice, TOLD_MARK), 1);
	assert_int_equal(answered(bob, start_signal(bob, "alice")), ERR_OK);
	assert_int_equal(told_all(alice, TOLD_SIGNAL), 1);

	assert_int_equal(contact(alice, CONTACT_BLOCK, "bob"), ERR_OK);
	assert_int_equal(contact(alice, CONTACT_BLOCK, "bob"), ERR_ALREADY);
	assert_int_equal(told_news(phone, NEWS_BLOCKED, "bob"), 1);
	assert_int_equal(told_all(bob, TOLD_CONTACT), 0); /* he was nothing to her */
	for (int i = 0; i < 2; i++) {
		struct link *link = i == 0 ? alice : bob;
		const char *other = i == 0 ? "bob" : "alice";

		assert_int_equal(
		    answered(link, start_send(link, at(other), "x", NULL)), ERR_BLOCKED);
		assert_int_equal(answered(link, start_signal(link, other)), ERR_BLOCKED);
		assert_int_equal(contact(link, CONTACT_ADD, other), ERR_BLOCKED);
	}
	/* What was sent before is answered as it was. */
	assert_int_equal(answered(bob, start_send(bob, at("alice"), "two", "c2")), ERR_OK);
	marks = told_all(alice, TOLD_MARK);
	assert_int_equal(answered(bob, start_mark(bob, "alice", 2)), ERR_OK);
	assert_int_equal(told_all(alice, TOLD_MARK), marks);
	marks = told_all(bob, TOLD_MARK);
	assert_int_equal(answered(alice, start_mark(alice, "bob", 2)), ERR_OK);
	assert_int_equal(told_all(bob, TOLD_MARK), marks);
	assert_int_equal(told_all(phone, TOLD_MARK), 2); /* her own, and his of before */

	/* Both may block; each ends his own. */
	assert_int_equal(contact(bob, CONTACT_BLOCK, "alice"), ERR_OK);
	assert_int_equal(contact(alice, CONTACT_UNBLOCK, "bob"), ERR_OK);
	assert_int_equal(told_news(phone, NEWS_UNBLOCKED, "bob"), 1);
	assert_int_equal(answered(alice, start_send(alice, at("bob"), "x", NULL)), ERR_BLOCKED);
	assert_int_equal(contact(bob, CONTACT_UNBLOCK, "alice"), ERR_OK);
	assert_int_equal(answered(alice, start_send(alice, at("bob"), "x", NULL)), ERR_OK);
	marks = told_all(alice, TOLD_MARK);
	assert_int_equal(answered(bob, start_mark(bob, "alice", 3)), ERR_OK);
	assert_int_equal(told_all(alice, TOLD_MARK), marks + 1);
	world_close(&w);
}

/* After the block is answered nothing of the other is stored, whatever was on its way. */
static void
a_block_meets_sends(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct world w;
		struct link *alice, *bob;
		unsigned sends[6], b;
		uint64_t conv, stored = 1;

		world_open(&w, seed);
		alice = newcomer(&w, 0, "alice");
		bob = newcomer(&w, 1, "bob");
		b = start_send(bob, at("alice"), "first", NULL);
		assert_int_equal(answered(bob, b), ERR_OK);
		conv = answer_to(bob, b)->cid;
		for (size_t i = 0; i < LEN(sends); i++) {
			sends[i] = start_send(bob, cid(conv), "x", NULL);
			if (i == 2)
				b = start_contact(alice, CONTACT_BLOCK, "bob", NULL);
			step(&w);
		}
		while (answer_to(alice, b) == NULL)
			step(&w);
		assert_int_equal(answered(alice, b), ERR_OK);
		for (size_t i = 0; i < LEN(sends); i++) {
			enum err err = answered(bob, sends[i]);

			assert_true(err == ERR_OK || err == ERR_BLOCKED);
			stored += err == ERR_OK;
		}
		assert_int_equal(answered(bob, start_send(bob, cid(conv), "x", NULL)), ERR_BLOCKED);
		assert_stream(alice, conv, 1, stored);
		world_close(&w);
	}
}

static void
lists_are_bounded_and_paged(void **state)
{
	static const char *const names[] = {"u1", "u2", "u3", "u4", "u5", "u6"};
	struct world w;
	struct link *alice, *others[LEN(names)];
	const struct told *page;

	(void)state;
	world_open(&w, 4);
	alice = newcomer(&w, 0, "alice");
	for (size_t i = 0; i < LEN(names); i++)
		others[i] = newcomer(&w, (unsigned)i % WORLD_SHARDS, names[i]);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(contact(others[i], CONTACT_ADD, "alice"), ERR_OK);
	/* Her list is full: of him who asks, and of her. */
	assert_int_equal(contact(others[5], CONTACT_ADD, "alice"), ERR_LIMIT);
	assert_int_equal(contact(alice, CONTACT_ADD, "u6"), ERR_LIMIT);
	page = list(alice, "u1", 2);
	assert_string_equal(page->text, "u2=incoming u3=incoming");
	assert_int_equal(page->to, 1);
	page = list(alice, "u3", 2);
	assert_string_equal(page->text, "u4=incoming u5=incoming");
	assert_int_equal(page->to, 0);
	/* She can block nevertheless, who asked and who did not, and that makes room. */
	assert_int_equal(contact(alice, CONTACT_BLOCK, "u6"), ERR_OK);
	assert_int_equal(contact(alice, CONTACT_BLOCK, "u1"), ERR_OK);
	assert_int_equal(told_news(others[0], NEWS_REMOVED, "alice"), 1);
	assert_int_equal(contact(alice, CONTACT_UNBLOCK, "u6"), ERR_OK);
	assert_int_equal(contact(alice, CONTACT_ADD, "u6"), ERR_OK);
	world_close(&w);
}

static void
an_account_ends(void **state)
{
	struct world w;
	struct link *alice, *phone, *bob, *carol, *again;
	unsigned n;

	(void)state;
	world_open(&w, 5);
	alice = newcomer(&w, 0, "alice");
	phone = device(&w, 2, "alice");
	bob = newcomer(&w, 1, "bob");
	carol = newcomer(&w, 0, "carol");
	n = start_send(alice, at("bob"), "hi", "c1");
	assert_int_equal(answered(alice, n), ERR_OK);
	uint64_t conv = answer_to(alice, n)->cid;
	assert_int_equal(contact(alice, CONTACT_ADD, "bob"), ERR_OK);
	assert_int_equal(contact(bob, CONTACT_ACCEPT, "alice"), ERR_OK);
	assert_int_equal(contact(carol, CONTACT_BLOCK, "alice"), ERR_OK);
	assert_int_equal(answered(alice, start_delete(alice, "wrong")), ERR_BAD_CREDENTIALS);
	assert_false(alice->closed);
	n = start_delete(alice, "open sesame");
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_true(alice->closed && phone->closed);
	assert_int_equal(told_all(alice, TOLD_GOAWAY), 1);
	assert_int_equal(alice->told[alice->count - 1].what, TOLD_GOAWAY);
	assert_int_equal(phone->told[phone->count - 1].seq, GOAWAY_REVOKED);
	assert_int_equal(told_news(bob, NEWS_REMOVED, "alice"), 1);
	assert_int_equal(told_all(carol, TOLD_CONTACT), 1); /* her own block, and no more */
	assert_string_equal(listed(bob), "");
	assert_string_equal(listed(carol), "");
	assert_int_equal(answered(alice, start_delete(alice, "open sesame")), ERR_SESSION_REVOKED);
	assert_int_equal(contact(phone, CONTACT_ADD, "bob"), ERR_SESSION_REVOKED);
	/* It can be read, not written. */
	assert_int_equal(answered(bob, start_send(bob, cid(conv), "x", NULL)), ERR_NOT_FOUND);
	assert_int_equal(answered(bob, start_send(bob, at("alice"), "x", NULL)), ERR_NOT_FOUND);
	assert_int_equal(contact(bob, CONTACT_ADD, "alice"), ERR_NOT_FOUND);
	again = device(&w, 2, "bob");
	assert_int_equal(again->conv_count, 1);
	link_close(again);
	again = link_open(&w, 1);
	assert_int_equal(do_login(again, "alice", "open sesame", false), ERR_BAD_CREDENTIALS);
	assert_int_equal(do_resume(again, alice->token), ERR_TOKEN_INVALID);
	assert_int_equal(do_register(again, "alice", false), ERR_NAME_TAKEN);
	world_close(&w);
}

/* Who reads it anew finds no name of his, though others follow it since before. */
static void
what_he_wrote_is_of_deleted(void **state)
{
	struct world w;
	struct link *alice, *again;
	bool found = false;

	(void)state;
	world_open(&w, 6);
	alice = newcomer(&w, 0, "alice");
	(void)newcomer(&w, 1, "bob");
	assert_int_equal(answered(alice, start_send(alice, at("bob"), "hi", "c1")), ERR_OK);
	assert_int_equal(answered(alice, start_delete(alice, "open sesame")), ERR_OK);
	again = device(&w, 1, "bob");
	for (size_t i = 0; i < again->count; i++)
		found |= again->told[i].what == TOLD_ENTRY &&
			 strcmp(again->told[i].text, "deleted:hi") == 0;
	assert_true(found);
	world_close(&w);
}

/* From two devices at once, with a message on its way: it ends once, and nothing comes after. */
static void
endings_race(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct world w;
		struct link *alice, *phone, *bob;
		unsigned a, b, sent, answer;
		uint64_t conv;
		enum err first, second;

		world_open(&w, seed);
		alice = newcomer(&w, 0, "alice");
		phone = device(&w, 2, "alice");
		bob = newcomer(&w, 1, "bob");
		sent = start_send(alice, at("bob"), "hi", "c1");
		assert_int_equal(answered(alice, sent), ERR_OK);
		conv = answer_to(alice, sent)->cid;
		a = start_delete(alice, "open sesame");
		for (unsigned i = pick(&w, 10); i > 0; i--)
			step(&w);
		b = start_delete(phone, "open sesame");
		answer = start_send(bob, cid(conv), "ho", NULL);
		sent = start_send(phone, cid(conv), "last", NULL);
		first = answered(alice, a);
		second = answered(phone, b);
		assert_true((first == ERR_OK) != (second == ERR_OK));
		if (second != ERR_OK)
			assert_true(second == ERR_BAD_CREDENTIALS || second == ERR_SESSION_REVOKED);
		assert_true(alice->closed && phone->closed);
		assert_int_equal(told_all(bob, TOLD_CONTACT), 0);
		first = answered(bob, answer);
		assert_true(first == ERR_OK || first == ERR_NOT_FOUND);
		second = answered(phone, sent);
		assert_true(second == ERR_OK || second == ERR_SESSION_REVOKED);
		assert_stream(bob, conv, 1, 1u + (first == ERR_OK) + (second == ERR_OK));
		world_close(&w);
	}
}

/* Whether it was done is not known: the sessions tell. */
static void
an_ending_of_unknown_outcome(void **state)
{
	struct world w;
	struct link *alice, *phone;
	unsigned n;

	(void)state;
	world_open(&w, 7);
	alice = newcomer(&w, 0, "alice");
	phone = device(&w, 2, "alice");
	n = start_delete(alice, "open sesame");
	w.next_write = ERR_UNKNOWN_OUTCOME;
	assert_int_equal(answered(alice, n), ERR_UNKNOWN_OUTCOME);
	settle(&w);
	assert_true(phone->closed && alice->closed);
	world_close(&w);
}

/* accept "contacts": who is none can't begin, who is can. */
static void
only_contacts_may_begin(void **state)
{
	struct world w;
	struct link *alice, *bob;
	unsigned n;

	(void)state;
	world_open(&w, 8);
	alice = newcomer(&w, 0, "alice");
	bob = newcomer(&w, 1, "bob");
	struct call_tag t = tag(&w, &n);
	chat_profile_set(alice->peer, &t, &(struct profile_command){.accept = 1});
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(answered(bob, start_send(bob, at("alice"), "x", NULL)), ERR_FORBIDDEN);
	assert_int_equal(contact(bob, CONTACT_ADD, "alice"), ERR_OK);
	assert_int_equal(answered(bob, start_send(bob, at("alice"), "x", NULL)), ERR_FORBIDDEN);
	assert_int_equal(contact(alice, CONTACT_ACCEPT, "bob"), ERR_OK);
	assert_int_equal(answered(bob, start_send(bob, at("alice"), "x", NULL)), ERR_OK);
	/* What was begun goes on. */
	assert_int_equal(contact(alice, CONTACT_REMOVE, "bob"), ERR_OK);
	assert_int_equal(answered(bob, start_send(bob, at("alice"), "x", NULL)), ERR_OK);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_request_is_accepted),
	    cmocka_unit_test(a_request_is_rejected_or_withdrawn),
	    cmocka_unit_test(requests_cross),
	    cmocka_unit_test(accept_and_block_race),
	    cmocka_unit_test(nothing_passes_a_block),
	    cmocka_unit_test(a_block_meets_sends),
	    cmocka_unit_test(lists_are_bounded_and_paged),
	    cmocka_unit_test(an_account_ends),
	    cmocka_unit_test(what_he_wrote_is_of_deleted),
	    cmocka_unit_test(endings_race),
	    cmocka_unit_test(an_ending_of_unknown_outcome),
	    cmocka_unit_test(only_contacts_may_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
