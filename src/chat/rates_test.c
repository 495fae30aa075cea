/* SPDX-License-Identifier: MIT */
/* Who pays for what, in the seeded world of chat_world.h, with buckets that hold little. */
#include "chat/chat_world.h"

#include "base/panic.h"

enum { HERE = 1001, THERE = 1002, ELSEWHERE = 1003 };

static const struct rate few = {.amount = 1, .burst = 3, .period_ms = 60 * 1000};

static void
limit(struct world *w, enum rate_scope scope, const struct rate *rate)
{
	w->limits.rates[scope] = *rate;
	for (unsigned i = 0; i < WORLD_SHARDS; i++)
		shard_set_limits(w->shards[i], &w->limits);
}

static struct link *
come(struct world *w, unsigned shard, uint64_t source)
{
	struct link *link = link_open(w, shard);

	peer_set_source(link->peer, source);
	return link;
}

static enum err
try_once(struct world *w, uint64_t source, const char *name, const char *password)
{
	struct link *link = come(w, pick(w, WORLD_SHARDS), source);
	enum err err = do_login(link, name, password, false);

	link_close(link);
	return err;
}

static unsigned
spend(struct link *link, unsigned most)
{
	unsigned done = 0;

	while (done < most && chat_spend(link->peer, 1).err == ERR_OK)
		done++;
	return done;
}

static void
session_user_and_address_pay(void **state)
{
	struct world w;
	struct link *a, *b, *c, *d;
	struct fault fault;

	(void)state;
	world_open(&w, 1);
	a = come(&w, 0, HERE);
	b = come(&w, 1, HERE);
	c = come(&w, 2, HERE);
	d = come(&w, 2, HERE);
	assert_int_equal(do_register(a, "alice", false), ERR_OK);
	assert_int_equal(do_resume(b, a->token), ERR_OK);
	assert_int_equal(do_login(c, "alice", "open sesame", false), ERR_OK);
	assert_int_equal(do_register(d, "bob", false), ERR_OK);
	assert_int_equal(spend(a, 1000), 1000);
	limit(&w, RATE_SESSION, &(struct rate){.amount = 1, .burst = 5, .period_ms = 1000});
	limit(&w, RATE_USER, &(struct rate){.amount = 1, .burst = 8, .period_ms = 1000});
	limit(&w, RATE_ADDRESS, &(struct rate){.amount = 1, .burst = 10, .period_ms = 1000});
	assert_int_equal(spend(a, 3), 3);
	assert_int_equal(spend(b, 1000), 2);
	/* What was refused cost nobody anything. */
	assert_int_equal(spend(a, 1000), 0);
	assert_int_equal(spend(c, 1000), 3);
	assert_int_equal(spend(d, 1000), 2);
	fault = chat_spend(d->peer, 1);
	assert_int_equal(fault.err, ERR_RATE_LIMITED);
	assert_int_equal(fault.retry_after_ms, 1000);
	assert_int_equal(chat_spend_source(w.shards[1], HERE, 1).err, ERR_RATE_LIMITED);
	assert_int_equal(chat_spend_source(w.shards[1], THERE, 1).err, ERR_OK);
	/* The longest wait is told. */
	fault = chat_spend(a->peer, 4);
	assert_int_equal(fault.retry_after_ms, 4000);
	/* Who is exempt pays nothing. */
	peer_set_source(a->peer, 0);
	assert_int_equal(spend(a, 1000), 1000);
	assert_int_equal(chat_spend_source(w.shards[0], 0, 1).err, ERR_OK);
	world_pass(&w, 1000);
	peer_set_source(a->peer, HERE);
	assert_int_equal(spend(a, 1000), 1);
	world_close(&w);
}

static void
a_wrong_password_costs_and_a_right_one_does_not(void **state)
{
	struct world w;
	struct link *owner;

	(void)state;
	world_open(&w, 1);
	owner = come(&w, 0, ELSEWHERE);
	assert_int_equal(do_register(owner, "alice", false), ERR_OK);
	limit(&w, RATE_LOGIN, &few);
	for (int i = 0; i < 10; i++)
		assert_int_equal(try_once(&w, HERE, "alice", "open sesame"), ERR_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(try_once(&w, HERE, "alice", "wrong"), ERR_BAD_CREDENTIALS);
	assert_int_equal(try_once(&w, HERE, "alice", "wrong"), ERR_RATE_LIMITED);
	assert_int_equal(try_once(&w, HERE, "ALICE", "open sesame"), ERR_RATE_LIMITED);
	assert_int_equal(try_once(&w, THERE, "alice", "open sesame"), ERR_OK);
	assert_int_equal(try_once(&w, HERE, "bob", "wrong"), ERR_BAD_CREDENTIALS);
	world_pass(&w, 60 * 1000);
	assert_int_equal(try_once(&w, HERE, "alice", "open sesame"), ERR_OK);
	world_close(&w);
}

/* Many at once are no more than one after another: each is paid for before it is looked at. */
static void
attempts_at_once_are_paid_for_beforehand(void **state)
{
	struct world w;
	struct link *links[20];
	unsigned tags[20], looked_at = 0;

	(void)state;
	world_open(&w, 1);
	limit(&w, RATE_LOGIN, &few);
	for (size_t i = 0; i < LEN(links); i++) {
		struct login_command cmd = {.user = S("alice"), .password = S("wrong")};
		struct call_tag t = tag(&w, &tags[i]);

		links[i] = come(&w, (unsigned)i % WORLD_SHARDS, HERE);
		chat_login(links[i]->peer, &t, &cmd);
	}
	/* Who hangs up has paid as well. */
	link_close(links[0]);
	settle(&w);
	for (size_t i = 1; i < LEN(links); i++)
		looked_at += answered(links[i], tags[i]) == ERR_BAD_CREDENTIALS;
	assert_int_equal(looked_at, 2);
	world_close(&w);
}

static void
what_was_our_fault_is_paid_back(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	limit(&w, RATE_LOGIN, &few);
	limit(&w, RATE_REGISTER, &few);
	for (int i = 0; i < 10; i++) {
		w.fail_reads = 1;
		assert_int_equal(try_once(&w, HERE, "alice", "wrong"), ERR_UNAVAILABLE);
	}
	assert_int_equal(try_once(&w, HERE, "alice", "wrong"), ERR_BAD_CREDENTIALS);
	for (int i = 0; i < 10; i++) {
		struct link *link = come(&w, 0, HERE);

		w.next_write = ERR_UNAVAILABLE;
		assert_int_equal(do_register(link, "alice", false), ERR_UNAVAILABLE);
		link_close(link);
	}
	assert_int_equal(do_register(come(&w, 0, HERE), "alice", false), ERR_OK);
	/* A name that is taken is an attempt, or names could be tried out. */
	assert_int_equal(do_register(come(&w, 0, HERE), "alice", false), ERR_NAME_TAKEN);
	assert_int_equal(do_register(come(&w, 0, HERE), "alice", false), ERR_NAME_TAKEN);
	assert_int_equal(do_register(come(&w, 0, HERE), "bob", false), ERR_RATE_LIMITED);
	assert_int_equal(do_register(come(&w, 0, THERE), "bob", false), ERR_OK);
	world_close(&w);
}

static void
nobody_locks_the_owner_out(void **state)
{
	struct world w;
	struct link *owner, *other;

	(void)state;
	world_open(&w, 1);
	owner = come(&w, 0, ELSEWHERE);
	assert_int_equal(do_register(owner, "alice", false), ERR_OK);
	limit(&w, RATE_LOGIN_USER, &few);
	limit(&w, RATE_LOGIN_ADDRESS, &few);
	for (uint64_t source = 1; source <= 3; source++)
		assert_int_equal(try_once(&w, source, "alice", "wrong"), ERR_BAD_CREDENTIALS);
	for (uint64_t source = 1; source <= 9; source++)
		assert_int_equal(try_once(&w, source, "alice", "wrong"), ERR_RATE_LIMITED);
	/* New to her: not even with the right password.  Known: as ever.  With a token: everywhere. */
	assert_int_equal(try_once(&w, THERE, "alice", "open sesame"), ERR_RATE_LIMITED);
	assert_int_equal(try_once(&w, ELSEWHERE, "alice", "open sesame"), ERR_OK);
	other = come(&w, 1, HERE);
	assert_int_equal(do_resume(other, owner->token), ERR_OK);
	assert_int_equal(try_once(&w, HERE, "alice", "open sesame"), ERR_OK);
	/* A name without a user is treated alike. */
	for (uint64_t source = 11; source <= 13; source++)
		assert_int_equal(try_once(&w, source, "nobody", "wrong"), ERR_BAD_CREDENTIALS);
	assert_int_equal(try_once(&w, 14, "nobody", "wrong"), ERR_RATE_LIMITED);
	/* After a while an address is new again. */
	world_pass(&w, 31ull * 86400 * 1000);
	for (uint64_t source = 1; source <= 3; source++)
		assert_int_equal(try_once(&w, source, "alice", "wrong"), ERR_BAD_CREDENTIALS);
	assert_int_equal(try_once(&w, ELSEWHERE, "alice", "open sesame"), ERR_RATE_LIMITED);
	world_close(&w);
}

static void
wrong_tokens_are_paid_for(void **state)
{
	struct world w;
	struct link *owner;

	(void)state;
	world_open(&w, 1);
	owner = come(&w, 0, ELSEWHERE);
	assert_int_equal(do_register(owner, "alice", false), ERR_OK);
	limit(&w, RATE_RESUME, &few);
	for (int i = 0; i < 6; i++) {
		struct link *link = come(&w, 1, HERE);

		assert_int_equal(do_resume(link, owner->token), ERR_OK);
		link_close(link);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(do_resume(come(&w, 1, HERE), "wrong"), ERR_TOKEN_INVALID);
	assert_int_equal(do_resume(come(&w, 1, HERE), "wrong"), ERR_RATE_LIMITED);
	/* One that was good lately. */
	assert_int_equal(do_resume(come(&w, 1, HERE), owner->token), ERR_OK);
	world_close(&w);
}

static void
the_old_password_is_paid_for(void **state)
{
	struct world w;
	struct link *a;
	struct call_tag t;
	unsigned n;

	(void)state;
	world_open(&w, 1);
	a = come(&w, 0, HERE);
	assert_int_equal(do_register(a, "alice", false), ERR_OK);
	limit(&w, RATE_LOGIN, &few);
	for (int i = 0; i < 5; i++) {
		t = tag(&w, &n);
		chat_password_change(a->peer, &t, S("open sesame"), S("open sesame"));
		assert_int_equal(answered(a, n), ERR_OK);
	}
	for (int i = 0; i < 4; i++) {
		t = tag(&w, &n);
		chat_password_change(a->peer, &t, S("wrong"), S("another good one"));
		assert_int_equal(answered(a, n), i < 3 ? ERR_BAD_CREDENTIALS : ERR_RATE_LIMITED);
	}
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(session_user_and_address_pay),
	    cmocka_unit_test(a_wrong_password_costs_and_a_right_one_does_not),
	    cmocka_unit_test(attempts_at_once_are_paid_for_beforehand),
	    cmocka_unit_test(what_was_our_fault_is_paid_back),
	    cmocka_unit_test(nobody_locks_the_owner_out),
	    cmocka_unit_test(wrong_tokens_are_paid_for),
	    cmocka_unit_test(the_old_password_is_paid_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
