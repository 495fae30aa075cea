/* SPDX-License-Identifier: MIT */
/* What every store must do: one suite, run against each driver. */
#include "store/test_world.h"

#include "base/clock.h"

static enum world_kind kind_under_test;

static int
set_up(void **state)
{
	static struct world world;

	world_init(&world, kind_under_test);
	*state = &world;
	return 0;
}

static int
tear_down(void **state)
{
	world_fini(*state);
	return 0;
}

#define assert_slice(actual, expected)                                                             \
	assert_true(slice_eq((actual), slice_str(expected)) && slice_given(actual))
#define assert_none(actual) assert_false(slice_given(actual))

/* --- Accounts and sessions --- */

static enum err
run_and_drop(struct world *w, struct op *op)
{
	enum err err;

	if (op_writes((enum op_kind)op->kind))
		world_write(w, op);
	else
		world_read(w, op);
	err = op->fault.err;
	op_destroy(&op);
	return err;
}

static struct op *
auth_op(const char *name, uint64_t uid)
{
	struct op *op = op_create(OP_AUTH);

	op->auth.name = slice_str(name);
	op->auth.uid = uid;
	return op;
}

static void
a_name_is_registered_once(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct op *op = op_create(OP_REGISTER);

	assert_true(ann > 0 && bob > ann);
	op->session.name = S("ann");
	op->session.password_hash = S("other");
	op->session.session = 77;
	assert_int_equal(run_and_drop(w, op), ERR_NAME_TAKEN);

	op = auth_op("ann", 0);
	world_read(w, op);
	assert_true(op->fault.err == ERR_OK && op->auth.found && op->auth.uid == ann);
	assert_slice(op->auth.password_hash, "hash");
	assert_slice(op->auth.display, "ann");
	op_destroy(&op);
	op = auth_op(NULL, bob);
	world_read(w, op);
	assert_true(op->auth.found);
	assert_slice(op->auth.name, "bob");
	op_destroy(&op);
}

static bool
is_found(struct world *w, const char *name)
{
	struct op *op = auth_op(name, 0);
	bool found;

	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	found = op->auth.found;
	op_destroy(&op);
	return found;
}

static void
who_is_disabled_or_deleted_is_not_found(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct op *op;

	assert_false(is_found(w, "nobody"));
	world_account(w, ann, ACCOUNT_DISABLED);
	world_account(w, bob, ACCOUNT_DELETED);
	assert_false(is_found(w, "ann"));
	assert_false(is_found(w, "bob"));
	op = op_create(OP_REGISTER);
	op->session.name = S("bob");
	op->session.password_hash = S("h");
	op->session.session = 78;
	assert_int_equal(run_and_drop(w, op), ERR_NAME_TAKEN);
}

static struct op *
login_op(uint64_t uid, uint64_t session)
{
	struct op *op = op_create(OP_LOGIN);

	op->session.uid = uid;
	op->session.password_hash = S("hash");
	op->session.session = session;
	secret_hash(slice_of((const char *)&session, sizeof(session)), op->session.token_hash);
	op->session.device = S("phone");
	op->session.ip = S("::1");
	op->session.sessions_max = 3;
	return op;
}

static enum err
log_in(struct world *w, uint64_t uid, uint64_t session)
{
	return run_and_drop(w, login_op(uid, session));
}

static enum err
resume(struct world *w, uint64_t session, uint64_t oldest_seen, uint64_t *ret_uid)
{
	struct op *op = op_create(OP_RESUME);
	enum err err;

	secret_hash(slice_of((const char *)&session, sizeof(session)), op->resume.token_hash);
	op->resume.oldest_seen = oldest_seen;
	world_read(w, op);
	err = op->fault.err;
	if (err == ERR_OK) {
		*ret_uid = op->resume.uid;
		assert_true(op->resume.session == session);
		assert_slice(op->resume.name, "ann");
	}
	op_destroy(&op);
	return err;
}

static void
a_login_needs_the_hash_that_is_stored(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), uid = 0;
	struct op *op = login_op(ann, 500);

	op->session.password_hash = S("stale");
	assert_int_equal(run_and_drop(w, op), ERR_BAD_CREDENTIALS);
	assert_int_equal(resume(w, 500, 0, &uid), ERR_TOKEN_INVALID);
	assert_int_equal(log_in(w, ann, 500), ERR_OK);
	assert_int_equal(resume(w, 500, 0, &uid), ERR_OK);
	assert_true(uid == ann);
	assert_int_equal(log_in(w, 999, 501), ERR_BAD_CREDENTIALS);
	world_account(w, ann, ACCOUNT_DISABLED);
	assert_int_equal(log_in(w, ann, 502), ERR_BAD_CREDENTIALS);
	assert_int_equal(resume(w, 500, 0, &uid), ERR_TOKEN_INVALID);
}

static void
a_token_expires(void **state)
{
	struct world *w = *state;
	uint64_t ann, uid = 0;
	struct op *op;

	ann = world_user(w, "ann"); /* session 1 */
	w->now_ms += 1000;
	assert_int_equal(log_in(w, ann, 500), ERR_OK);
	assert_int_equal(resume(w, 500, w->now_ms, &uid), ERR_OK);
	assert_int_equal(resume(w, 500, w->now_ms + 1, &uid), ERR_TOKEN_INVALID);
	w->now_ms += 1000;
	op = login_op(ann, 501);
	op->session.oldest_seen = w->now_ms - 1500;
	assert_int_equal(run_and_drop(w, op), ERR_OK);
	assert_int_equal(resume(w, 1, 0, &uid), ERR_TOKEN_INVALID);
	assert_int_equal(resume(w, 500, 0, &uid), ERR_OK);
}

static void
a_login_too_many_ends_the_one_unused_the_longest(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), uid = 0; /* session 1 */
	const uint64_t online[] = {1}, all[] = {1, 501, 502};
	struct op *op;

	w->now_ms += 1000;
	assert_int_equal(log_in(w, ann, 500), ERR_OK);
	w->now_ms += 1000;
	assert_int_equal(log_in(w, ann, 501), ERR_OK);
	op = login_op(ann, 502);
	op->session.online = online;
	op->session.online_count = 1;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->session.evicted == 500);
	op_destroy(&op);
	assert_int_equal(resume(w, 500, 0, &uid), ERR_TOKEN_INVALID);
	assert_int_equal(resume(w, 1, 0, &uid), ERR_OK);

	op = login_op(ann, 503);
	op->session.online = all;
	op->session.online_count = 3;
	world_write(w, op);
	assert_true(op->fault.err == ERR_LIMIT && op->fault.max == 3);
	op_destroy(&op);
	assert_int_equal(resume(w, 503, 0, &uid), ERR_TOKEN_INVALID);
}

static void
who_was_seen_is_not_unused(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"); /* session 1 */
	struct op *op;

	w->now_ms += 1000;
	assert_int_equal(log_in(w, ann, 500), ERR_OK);
	w->now_ms += 1000;
	assert_int_equal(log_in(w, ann, 501), ERR_OK);
	op = op_create(OP_TOUCH);
	op->touch.session = 1;
	op->touch.user = ann;
	op->touch.seen = w->now_ms + 5;
	op->touch.ip = S("10.0.0.9");
	assert_int_equal(run_and_drop(w, op), ERR_OK);
	op = login_op(ann, 502);
	world_write(w, op);
	assert_true(op->session.evicted == 500);
	op_destroy(&op);
}

static const struct op_session *
session_in(const struct op *op, uint64_t session)
{
	for (size_t i = 0; i < op->sessions.count; i++)
		if (op->sessions.items[i].session == session)
			return &op->sessions.items[i];
	return NULL;
}

static struct op *
sessions_of(struct world *w, uint64_t uid)
{
	struct op *op = op_create(OP_SESSIONS);

	op->user = uid;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	return op;
}

static void
sessions_are_listed_as_they_were_last_seen(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	const struct op_session *item;
	struct op *op;

	assert_int_equal(log_in(w, ann, 500), ERR_OK);
	op = op_create(OP_TOUCH);
	op->touch.session = 500;
	op->touch.user = ann;
	op->touch.seen = w->now_ms + 9;
	op->touch.ip = S("10.0.0.9");
	assert_int_equal(run_and_drop(w, op), ERR_OK);
	op = sessions_of(w, ann);
	assert_int_equal(op->sessions.count, 2);
	assert_non_null(session_in(op, 1));
	assert_non_null(item = session_in(op, 500));
	assert_slice(item->device, "phone");
	assert_slice(item->ip, "10.0.0.9");
	assert_true(item->created == w->now_ms && item->seen == w->now_ms + 9);
	op_destroy(&op);
	op = sessions_of(w, 4711);
	assert_int_equal(op->sessions.count, 0);
	op_destroy(&op);
}

static enum err
revoke(struct world *w, uint64_t user, uint64_t session, uint64_t except)
{
	struct op *op = op_create(OP_REVOKE);

	op->user = user;
	op->revoke.session = session;
	op->revoke.except = except;
	return run_and_drop(w, op);
}

static void
sessions_end(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), uid = 0;
	const uint64_t asked[] = {1, 500, 501, 9};
	struct op *op;

	assert_int_equal(log_in(w, ann, 500), ERR_OK);
	assert_int_equal(log_in(w, ann, 501), ERR_OK);
	assert_int_equal(revoke(w, bob, 500, 0), ERR_NOT_FOUND);
	assert_int_equal(revoke(w, ann, 500, 0), ERR_OK);
	assert_int_equal(revoke(w, ann, 500, 0), ERR_NOT_FOUND);
	assert_int_equal(resume(w, 500, 0, &uid), ERR_TOKEN_INVALID);
	assert_int_equal(revoke(w, ann, 0, 501), ERR_OK);

	op = op_create(OP_LIVE);
	op->live.sessions = asked;
	op->live.want = LEN(asked);
	world_read(w, op);
	assert_int_equal(op->live.count, 3);
	assert_true(op->live.gone[0] == 1 && op->live.gone[1] == 500 && op->live.gone[2] == 9);
	op_destroy(&op);
	assert_int_equal(revoke(w, ann, 0, 0), ERR_OK);
	assert_int_equal(resume(w, 501, 0, &uid), ERR_TOKEN_INVALID);
}

static void
heads_are_told_of_many(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	uint64_t first, second;
	struct op *op;

	(void)world_user(w, "bob");
	(void)world_user(w, "cid");
	first = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	(void)world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	second = world_send(w, &(struct letter){.from = ann, .to_user = "cid"}).cid;
	op = op_create(OP_HEADS);
	op->heads.cids = (const uint64_t[]){first, 12345, second};
	op->heads.want = 3;
	world_read(w, op);
	assert_int_equal(op->heads.count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct op_head *item = &op->heads.items[i];

		assert_true(item->cid == first || item->cid == second);
		assert_int_equal(item->seq, item->cid == first ? 2 : 1);
		assert_true(!item->group && !slice_given(item->handle));
	}
	op_destroy(&op);
}

static void
a_new_password_ends_the_other_sessions(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), uid = 0;
	struct op *op = op_create(OP_PASSWORD);

	assert_int_equal(log_in(w, ann, 500), ERR_OK);
	op->user = ann;
	op->password.old_hash = S("wrong");
	op->password.new_hash = S("fresh");
	op->password.except = 500;
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_BAD_CREDENTIALS);
	op->password.old_hash = S("hash");
	op->fault = (struct fault){0};
	assert_int_equal(run_and_drop(w, op), ERR_OK);
	assert_int_equal(resume(w, 1, 0, &uid), ERR_TOKEN_INVALID);
	assert_int_equal(resume(w, 500, 0, &uid), ERR_OK);
	assert_int_equal(log_in(w, ann, 501), ERR_BAD_CREDENTIALS);
}

static void
profile(struct world *w, uint64_t user, const char *display, const char *status, int accept)
{
	struct op *op = op_create(OP_PROFILE_SET);

	op->user = user;
	op->profile_set.display = slice_str(display);
	op->profile_set.status = slice_str(status);
	op->profile_set.accept = accept;
	assert_int_equal(run_and_drop(w, op), ERR_OK);
}

/* -1: stays, NULL: stays. */
static void
assert_shows(struct world *w, uint64_t user, int set, const char *text, enum presence now,
    const char *now_text)
{
	struct op *op = op_create(OP_PRESENCE_SET);

	op->user = user;
	op->presence.state = set;
	op->presence.text = slice_str(text);
	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->presence.now, now);
	assert_true(slice_eq(op->presence.now_text, slice_str(now_text)));
	op_destroy(&op);
	op = op_create(OP_SYNC); /* and a sync reads it */
	op->user = user;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->sync.around.presence, now);
	assert_true(slice_eq(op->sync.around.text, slice_str(now_text)));
	op_destroy(&op);
}

static void
presence_is_kept(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");

	assert_shows(w, ann, PRESENCE_BUSY, NULL, PRESENCE_BUSY, NULL);
	assert_shows(w, ann, -1, "lunch", PRESENCE_BUSY, "lunch");
	assert_shows(w, ann, PRESENCE_INVISIBLE, NULL, PRESENCE_INVISIBLE, "lunch");
	assert_shows(w, ann, PRESENCE_ONLINE, "", PRESENCE_ONLINE, NULL);
}

static void
what_stands_between_two_is_read(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	const uint64_t uids[] = {bob, eve, ann};
	struct op *op = op_create(OP_PROFILES);

	world_contact(w, ann, bob, CONTACT_BOTH);
	world_contact(w, bob, ann, CONTACT_BOTH);
	world_contact(w, ann, eve, CONTACT_BLOCKED);
	assert_shows(w, bob, PRESENCE_INVISIBLE, NULL, PRESENCE_INVISIBLE, NULL);
	op->user = ann;
	op->profiles.uids = uids;
	op->profiles.want = 3;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->profiles.items[0].contact && op->profiles.items[0].invisible);
	assert_false(op->profiles.items[0].apart || op->profiles.items[2].apart);
	assert_true(op->profiles.items[1].apart && !op->profiles.items[1].hides);
	op_destroy(&op);
	op = op_create(OP_PROFILES);
	op->user = eve;
	op->profiles.uids = &uids[2];
	op->profiles.want = 1;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->profiles.items[0].apart && op->profiles.items[0].hides);
	op_destroy(&op);
}

static void
profiles_are_set_and_read(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	const slice names[] = {S("eve"), S("nobody"), S("ann"), S("bob")};
	const uint64_t uids[] = {bob, 4711};
	struct op *op = op_create(OP_PROFILES);

	profile(w, ann, "Ännchen", NULL, -1);
	profile(w, ann, NULL, "away", -1);
	profile(w, ann, NULL, NULL, -1);
	world_contact(w, bob, ann, CONTACT_BOTH);
	world_account(w, eve, ACCOUNT_DELETED);
	op->user = bob;
	op->profiles.names = names;
	op->profiles.want = LEN(names);
	world_read(w, op);
	assert_int_equal(op->profiles.count, 2);
	assert_true(op->profiles.items[0].uid == ann && op->profiles.items[0].related);
	assert_slice(op->profiles.items[0].display, "Ännchen");
	assert_slice(op->profiles.items[0].status, "away");
	assert_true(op->profiles.items[0].created == w->now_ms);
	assert_true(op->profiles.items[1].uid == bob && !op->profiles.items[1].related);
	op_destroy(&op);

	assert_true(world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).created);
	op = op_create(OP_PROFILES);
	op->user = ann;
	op->profiles.uids = uids;
	op->profiles.want = LEN(uids);
	world_read(w, op);
	assert_int_equal(op->profiles.count, 1);
	assert_slice(op->profiles.items[0].name, "bob");
	assert_true(op->profiles.items[0].related);
	op_destroy(&op);
}

static void
check_found(struct world *w, const char *query, uint32_t limit, bool exact, const char *names)
{
	struct op *op = op_create(OP_FIND);
	char found[200] = "";
	size_t len = 0;

	op->user = 1;
	op->find.query = slice_str(query);
	op->find.limit = limit;
	op->find.exact = exact;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	for (size_t i = 0; i < op->find.count; i++)
		len += (size_t)snprintf(
		    found + len, sizeof(found) - len, "%.*s ", SLICE_ARG(op->find.items[i].name));
	assert_string_equal(found, names);
	op_destroy(&op);
}

static void
users_are_found_by_prefix(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), gone;

	(void)world_user(w, "anton");
	(void)world_user(w, "a_b");
	(void)world_user(w, "bob");
	gone = world_user(w, "andy");
	world_account(w, gone, ACCOUNT_DELETED);
	profile(w, ann, "Ärmel Straße", NULL, -1);
	check_found(w, "an", 10, false, "ann anton ");
	check_found(w, "AN", 10, false, "ann anton ");
	check_found(w, "a", 10, false, "a_b ann anton ");
	check_found(w, "a", 2, false, "a_b ann ");
	check_found(w, "a", 0, false, "");
	check_found(w, "ä", 10, false, "ann ");
	check_found(w, "ÄRMEL STRASSE", 10, false, "ann ");
	check_found(w, "a%", 10, false, "");
	check_found(w, "a_", 10, false, "a_b ");
	check_found(w, "zz", 10, false, "");
	check_found(w, "ann", 10, true, "ann ");
	check_found(w, "Ann", 10, true, "ann ");
	check_found(w, "an", 10, true, "");
}

static void
contacts_are_those_of_both_sides(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	struct op *op = op_create(OP_CONTACTS);

	world_contact(w, ann, bob, CONTACT_BOTH);
	world_contact(w, ann, eve, CONTACT_REQUESTED);
	op->user = ann;
	world_read(w, op);
	assert_int_equal(op->contacts.count, 1);
	assert_true(op->contacts.uids[0] == bob);
	op_destroy(&op);
}

/* --- Direct conversations --- */

static void
the_first_message_creates_the_conversation(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct op *op = letter_op(&(struct letter){.from = bob, .to_user = "ann"});
	struct sent first, second;

	world_write(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->append.created && op->append.facts.kind == CONV_DIRECT);
	assert_true(op->append.facts.lo == ann && op->append.facts.hi == bob);
	assert_slice(op->append.facts.lo_name, "ann");
	assert_slice(op->append.facts.hi_name, "bob");
	assert_none(op->append.facts.handle);
	assert_true(op->append.target.peer == ann && op->append.min_seq == 1);
	first = letter_result(op);
	assert_true(
	    first.seq == 1 && first.cid != 0 && first.ts == w->now_ms && first.acl_ver != 0);
	assert_true(op->append.entry->cid == first.cid && op->append.entry->seq == 1 &&
		    op->append.entry->ts == first.ts);
	op_destroy(&op);

	second = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	assert_true(second.fault.err == ERR_OK && !second.created);
	assert_true(second.cid == first.cid && second.seq == 2);
	second = world_send(w, &(struct letter){.from = ann, .to = first.cid});
	assert_true(second.fault.err == ERR_OK && second.seq == 3);
	second = world_send(w, &(struct letter){.from = ann, .to = first.cid, .to_user = "bob"});
	assert_true(second.fault.err == ERR_OK && second.seq == 4);
}

static void
facts_come_when_wanted(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct op *op;

	(void)world_user(w, "bob");
	(void)world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	op = letter_op(&(struct letter){.from = ann, .to_user = "bob"});
	world_write(w, op);
	assert_int_equal(op->append.facts.kind, 0);
	op_destroy(&op);
	op = letter_op(&(struct letter){.from = ann, .to_user = "bob"});
	op->append.want_facts = true;
	world_write(w, op);
	assert_slice(op->append.facts.hi_name, "bob");
	op_destroy(&op);
}

static void
a_wrong_guess_is_not_believed(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob, eve = world_user(w, "eve");
	struct sent to_bob, to_eve, sent;

	bob = world_user(w, "bob");
	to_bob = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	to_eve = world_send(w, &(struct letter){.from = ann, .to_user = "eve"});
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .to = to_eve.cid});
	assert_true(sent.fault.err == ERR_OK && sent.cid == to_bob.cid && sent.seq == 2);
	sent = world_send(w, &(struct letter){.from = bob, .to_user = "eve", .to = to_eve.cid});
	assert_true(sent.fault.err == ERR_OK && sent.cid != to_eve.cid && sent.created);
	sent =
	    world_send(w, &(struct letter){.from = bob, .to_user = "eve", .peer = eve, .to = 4711});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 2);
}

static void
who_may_not_write_is_told_why(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	struct sent sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	uint64_t cid = sent.cid;

	sent = world_send(w, &(struct letter){.from = ann, .to_user = "ann"});
	assert_true(sent.fault.err == ERR_INVALID_PARAMS && strcmp(sent.fault.param, "to") == 0);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "nobody"});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);
	sent = world_send(w, &(struct letter){.from = ann, .to = 4711});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);
	sent = world_send(w, &(struct letter){.from = eve, .to = cid});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);
	sent = world_send(w, &(struct letter){.from = ann, .to_handle = "ops"});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);

	world_contact(w, bob, ann, CONTACT_BLOCKED);
	assert_int_equal(
	    world_send(w, &(struct letter){.from = ann, .to = cid}).fault.err, ERR_BLOCKED);
	assert_int_equal(
	    world_send(w, &(struct letter){.from = bob, .to = cid}).fault.err, ERR_BLOCKED);
	world_contact(w, bob, ann, CONTACT_NONE);
	assert_int_equal(world_send(w, &(struct letter){.from = ann, .to = cid}).fault.err, ERR_OK);

	profile(w, eve, NULL, NULL, 1);
	profile(w, bob, NULL, NULL, 1);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "eve"});
	assert_int_equal(sent.fault.err, ERR_FORBIDDEN);
	assert_int_equal(world_send(w, &(struct letter){.from = ann, .to = cid}).fault.err, ERR_OK);
	world_contact(w, eve, ann, CONTACT_BOTH);
	assert_true(world_send(w, &(struct letter){.from = ann, .to_user = "eve"}).created);

	world_account(w, bob, ACCOUNT_DELETED);
	assert_int_equal(
	    world_send(w, &(struct letter){.from = ann, .to = cid}).fault.err, ERR_NOT_FOUND);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);
}

/* --- The same cmid --- */

static void
the_same_cmid_is_one_message(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;
	struct letter letter = {
	    .from = ann, .to_user = "bob", .cmid = "c1", .body = "hi", .data = "{\"a\":1}"};
	struct sent first = world_send(w, &letter), again;

	cid = first.cid;
	w->now_ms += 5000;
	again = world_send(w, &letter);
	assert_true(again.fault.err == ERR_OK && again.dup && !again.created);
	assert_true(again.cid == cid && again.seq == first.seq && again.ts == first.ts);

	assert_int_equal(
	    world_send(w,
		&(struct letter){
		    .from = ann, .to = cid, .cmid = "c1", .body = "ho", .data = "{\"a\":1}"})
		.fault.err,
	    ERR_CONFLICT);
	assert_int_equal(
	    world_send(w, &(struct letter){.from = ann, .to = cid, .cmid = "c1", .body = "hi"})
		.fault.err,
	    ERR_CONFLICT);
	assert_int_equal(world_send(w, &(struct letter){.from = ann,
					   .to = cid,
					   .cmid = "c1",
					   .body = "hi",
					   .data = "{\"a\":1}",
					   .kind = "x-a"})
			     .fault.err,
	    ERR_CONFLICT);
	assert_int_equal(world_send(w, &(struct letter){.from = ann,
					   .to = cid,
					   .cmid = "c1",
					   .body = "hi",
					   .data = "{\"a\":1}",
					   .re = 1})
			     .fault.err,
	    ERR_CONFLICT);

	/* Another sender's, another conversation's and no cmid are others. */
	again = world_send(w, &(struct letter){.from = bob, .to = cid, .cmid = "c1", .body = "hi"});
	assert_true(again.fault.err == ERR_OK && !again.dup && again.seq == 2);
	(void)world_user(w, "eve");
	again = world_send(
	    w, &(struct letter){.from = ann, .to_user = "eve", .cmid = "c1", .body = "hi"});
	assert_true(again.fault.err == ERR_OK && !again.dup && again.created);
	assert_true(world_send(w, &(struct letter){.from = ann, .to = cid}).seq == 3);
	assert_true(world_send(w, &(struct letter){.from = ann, .to = cid}).seq == 4);
	assert_true(world_send(w, &letter).seq == 1);
}

static void
an_edited_message_is_no_conflict(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct sent sent;

	(void)world_user(w, "bob");
	sent = world_send(
	    w, &(struct letter){.from = ann, .to_user = "bob", .cmid = "c1", .body = "a"});
	(void)world_send(
	    w, &(struct letter){.from = ann, .to = sent.cid, .cmid = "c2", .body = "a"});
	(void)world_send(
	    w, &(struct letter){.what = APPEND_EDIT, .from = ann, .to = sent.cid, .re = 1});
	(void)world_send(
	    w, &(struct letter){.what = APPEND_DELETE, .from = ann, .to = sent.cid, .re = 2});
	sent =
	    world_send(w, &(struct letter){.from = ann, .to = sent.cid, .cmid = "c1", .body = "b"});
	assert_true(sent.fault.err == ERR_OK && sent.dup && sent.seq == 1);
	sent =
	    world_send(w, &(struct letter){.from = ann, .to = sent.cid, .cmid = "c2", .body = "b"});
	assert_true(sent.fault.err == ERR_OK && sent.dup && sent.seq == 2);
}

static void
what_would_be_refused_may_be_a_duplicate(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct letter letter = {.from = ann, .to_user = "bob", .cmid = "c1"};
	struct sent first = world_send(w, &letter), sent;

	letter.refused = ERR_RATE_LIMITED;
	sent = world_send(w, &letter);
	assert_true(sent.fault.err == ERR_OK && sent.dup && sent.seq == first.seq);
	letter.cmid = "c2";
	assert_int_equal(world_send(w, &letter).fault.err, ERR_RATE_LIMITED);
	letter.cmid = NULL;
	assert_int_equal(world_send(w, &letter).fault.err, ERR_RATE_LIMITED);
	letter.to_user = "nobody";
	letter.cmid = "c1";
	assert_int_equal(world_send(w, &letter).fault.err, ERR_RATE_LIMITED);
	/* A refusal creates nothing. */
	(void)world_user(w, "eve");
	letter.to_user = "eve";
	assert_int_equal(world_send(w, &letter).fault.err, ERR_RATE_LIMITED);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "eve"});
	assert_true(sent.created && sent.seq == 1);

	/* He has lost the right since. */
	world_contact(w, bob, ann, CONTACT_BLOCKED);
	sent = world_send(w, &(struct letter){.from = ann, .to = first.cid, .cmid = "c1"});
	assert_true(sent.fault.err == ERR_OK && sent.dup && sent.seq == first.seq);
	sent = world_send(
	    w, &(struct letter){.from = ann, .to = first.cid, .cmid = "c1", .body = "other"});
	assert_int_equal(sent.fault.err, ERR_CONFLICT);
	sent = world_send(w, &(struct letter){.from = ann, .to = first.cid, .cmid = "c9"});
	assert_int_equal(sent.fault.err, ERR_BLOCKED);
}

static void
duplicates_in_one_batch_are_found(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct op *ops[4];
	enum err err = ERR_UNAVAILABLE;

	(void)world_user(w, "bob");
	for (size_t i = 0; i < LEN(ops); i++)
		ops[i] = letter_op(&(struct letter){.from = ann,
		    .to_user = "bob",
		    .cmid = i == 3 ? "c2" : "c1",
		    .body = i == 2 ? "x" : "y"});
	while (err == ERR_UNAVAILABLE) {
		for (size_t i = 0; i < LEN(ops); i++)
			ops[i]->fault = (struct fault){0};
		w->driver->type->write(w->driver, ops, LEN(ops));
		err = ops[0]->fault.err;
	}
	assert_int_equal(err, ERR_OK);
	assert_true(ops[0]->append.created && ops[0]->append.seq == 1 && !ops[0]->append.dup);
	assert_true(ops[1]->append.dup && ops[1]->append.seq == 1 && !ops[1]->append.created);
	assert_int_equal(ops[2]->fault.err, ERR_CONFLICT);
	assert_true(ops[3]->append.seq == 2 && !ops[3]->append.dup);
	assert_true(ops[3]->append.target.cid == ops[0]->append.target.cid);
	for (size_t i = 0; i < LEN(ops); i++)
		op_destroy(&ops[i]);
}

/* --- Groups --- */

static struct conv_row
group_row(void)
{
	return (struct conv_row){.kind = CONV_GROUP, .acl_ver = 1, .min_seq = 1};
}

static struct member_row
member_since(uint64_t join_seq)
{
	return (struct member_row){.exists = true,
	    .role = ROLE_MEMBER,
	    .join_seq = join_seq,
	    .read = join_seq - 1,
	    .delivered = join_seq - 1};
}

static void
who_may_write_to_a_group(void **state)
{
	struct world *w = *state;
	static const struct {
		bool open, admins_post, exists, left, banned;
		enum role role;
		uint64_t leave_seq, muted_for;
		enum err err;
	} rows[] = {
	    {.exists = true, .role = ROLE_MEMBER, .err = ERR_OK},
	    {.exists = true, .role = ROLE_OWNER, .admins_post = true, .err = ERR_OK},
	    {.exists = true, .role = ROLE_ADMIN, .admins_post = true, .err = ERR_OK},
	    {.exists = true, .role = ROLE_MEMBER, .admins_post = true, .err = ERR_FORBIDDEN},
	    {.exists = true, .role = ROLE_MEMBER, .muted_for = 10, .err = ERR_FORBIDDEN},
	    {.exists = false, .err = ERR_NOT_FOUND},
	    {.exists = false, .open = true, .err = ERR_NOT_MEMBER},
	    {.exists = true, .left = true, .leave_seq = 3, .err = ERR_NOT_MEMBER},
	    {.exists = true, .left = true, .leave_seq = 3, .open = true, .err = ERR_NOT_MEMBER},
	    {.exists = true, .left = true, .leave_seq = 0, .banned = true, .err = ERR_NOT_FOUND},
	    {.exists = true,
		.left = true,
		.leave_seq = 0,
		.banned = true,
		.open = true,
		.err = ERR_NOT_MEMBER},
	};
	uint64_t ann = world_user(w, "ann");

	for (size_t i = 0; i < LEN(rows); i++) {
		struct conv_row group = group_row();
		struct member_row member = {.exists = true,
		    .role = rows[i].role,
		    .join_seq = 1,
		    .left = rows[i].left,
		    .leave_seq = rows[i].leave_seq,
		    .banned = rows[i].banned,
		    .muted_until = rows[i].muted_for != 0 ? w->now_ms + rows[i].muted_for : 0};
		uint64_t cid;
		struct op *check = op_create(OP_CHECK);
		struct sent sent;

		group.open = rows[i].open;
		group.admins_post = rows[i].admins_post;
		cid = world_group(w, &group, "Group");
		if (rows[i].exists)
			world_member(w, cid, ann, &member);
		check->user = ann;
		check->check.target.cid = cid;
		world_read(w, check);
		sent = world_send(w, &(struct letter){.from = ann, .to = cid});
		if (check->fault.err != rows[i].err || sent.fault.err != rows[i].err)
			fail_msg("row %zu: check %d send %d", i, check->fault.err, sent.fault.err);
		assert_true(sent.fault.err != ERR_OK || check->check.acl_ver == sent.acl_ver);
		op_destroy(&check);
	}
}

static void
rights_are_read_when_their_version_changed(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct conv_row group = group_row();
	struct member_row member = member_since(1);
	struct sent sent;
	uint64_t cid = world_group(w, &group, "Group");

	world_member(w, cid, ann, &member);
	sent = world_send(w, &(struct letter){.from = ann, .to = cid});
	assert_true(sent.fault.err == ERR_OK && sent.acl_ver == 1);
	/* A mute without a new version is not looked at: whoever takes something away makes one. */
	member.muted_until = w->now_ms + 1000;
	world_member(w, cid, ann, &member);
	sent = world_send(w, &(struct letter){.from = ann, .to = cid, .acl_ver = 1, .min_seq = 1});
	assert_int_equal(sent.fault.err, ERR_OK);
	group.cid = cid;
	group.acl_ver = 2;
	(void)world_group(w, &group, "Group");
	sent = world_send(w, &(struct letter){.from = ann, .to = cid, .acl_ver = 1, .min_seq = 1});
	assert_int_equal(sent.fault.err, ERR_FORBIDDEN);
	w->now_ms += 2000;
	sent = world_send(w, &(struct letter){.from = ann, .to = cid, .acl_ver = 1, .min_seq = 1});
	assert_true(sent.fault.err == ERR_OK && sent.acl_ver == 2);
}

static void
a_group_is_found_by_its_handle(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), ops, dev;
	struct conv_row group = group_row();
	struct member_row member = member_since(1);
	struct sent sent;
	struct op *op;

	group.handle = short_name_of(S("ops"));
	ops = world_group(w, &group, "Operators");
	group.handle = short_name_of(S("dev"));
	dev = world_group(w, &group, "Developers");
	world_member(w, ops, ann, &member);
	world_member(w, dev, ann, &member);
	assert_true(world_send(w, &(struct letter){.from = ann, .to_handle = "ops"}).cid == ops);
	sent = world_send(w, &(struct letter){.from = ann, .to_handle = "ops", .to = dev});
	assert_true(sent.cid == ops && sent.seq == 2);
	op = letter_op(&(struct letter){.from = ann, .to_handle = "dev", .to = dev});
	op->append.want_facts = true;
	world_write(w, op);
	assert_true(op->append.target.cid == dev && op->append.facts.kind == CONV_GROUP);
	assert_slice(op->append.facts.handle, "dev");
	assert_none(op->append.facts.lo_name);
	op_destroy(&op);
	/* The handle moves on. */
	group.cid = dev;
	group.handle = short_name_of(S("programmers"));
	(void)world_group(w, &group, "Developers");
	sent = world_send(w, &(struct letter){.from = ann, .to_handle = "dev", .to = dev});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);
	sent = world_send(w, &(struct letter){.from = ann, .to_handle = "programmers"});
	assert_true(sent.cid == dev && sent.seq == 2);
}

/* What was found of his rights elsewhere says nothing of where the name leads, even at the same version. */
static void
rights_where_a_name_led_are_none_where_it_leads(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), dev;
	struct conv_row group = group_row();
	struct member_row member = member_since(1);
	struct letter letter = {.from = ann, .to_handle = "ops", .acl_ver = 1, .min_seq = 1};
	struct sent sent;

	group.handle = short_name_of(S("dev"));
	dev = letter.to = world_group(w, &group, "Developers");
	group.handle = short_name_of(S("ops"));
	(void)world_group(w, &group, "Operators");
	world_member(w, dev, ann, &member);
	sent = world_send(w, &(struct letter){.from = ann, .to = dev});
	assert_true(sent.fault.err == ERR_OK && sent.acl_ver == 1);
	assert_int_equal(world_send(w, &letter).fault.err, ERR_NOT_FOUND);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	assert_true(sent.fault.err == ERR_OK && sent.acl_ver == 1);
	world_contact(w, bob, ann, CONTACT_BLOCKED);
	letter.to_handle = NULL;
	letter.to_user = "bob";
	assert_int_equal(world_send(w, &letter).fault.err, ERR_BLOCKED);
}

static void
an_answer_names_what_its_author_may_see(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;
	struct conv_row group = group_row();
	struct member_row member = member_since(1);
	struct sent sent;

	cid = world_group(w, &group, "Group");
	world_member(w, cid, ann, &member);
	for (int i = 0; i < 5; i++)
		(void)world_send(w, &(struct letter){.from = ann, .to = cid});
	member = member_since(4);
	world_member(w, cid, bob, &member);
	sent = world_send(w, &(struct letter){.from = bob, .to = cid, .re = 3});
	assert_true(sent.fault.err == ERR_NOT_FOUND && strcmp(sent.fault.param, "re") == 0);
	sent = world_send(w, &(struct letter){.from = bob, .to = cid, .re = 6});
	assert_true(sent.fault.err == ERR_NOT_FOUND && strcmp(sent.fault.param, "re") == 0);
	sent = world_send(w, &(struct letter){.from = bob, .to = cid, .re = 4});
	assert_true(sent.fault.err == ERR_OK && sent.seq == 6 && sent.min_seq == 4);
	sent = world_send(
	    w, &(struct letter){.from = bob, .to = cid, .re = 3, .acl_ver = 1, .min_seq = 4});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .re = 1});
	assert_int_equal(sent.fault.err, ERR_NOT_FOUND);
	assert_true(world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).created);
}

static void
time_never_goes_back(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), ts;
	struct sent sent;

	(void)world_user(w, "bob");
	sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	ts = sent.ts;
	w->now_ms -= 5000;
	sent = world_send(w, &(struct letter){.from = ann, .to = sent.cid});
	assert_true(sent.seq == 2 && sent.ts == ts);
	w->now_ms += 6000;
	assert_true(world_send(w, &(struct letter){.from = ann, .to = sent.cid}).ts == ts + 1000);
}

/* --- Pages --- */

static void
check_page(struct world *w, uint64_t user, uint64_t cid, const uint64_t ask[3], bool newest,
    uint64_t first, uint64_t last, bool more)
{
	struct op *op = world_page(w, user, cid, ask[0], ask[1], (uint32_t)ask[2], newest);

	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->page.count, last + 1 - first);
	for (size_t i = 0; i < op->page.count; i++)
		assert_int_equal(op->page.items[i]->seq, first + i);
	assert_int_equal(op->page.more, more);
	op_destroy(&op);
}

static uint64_t
ten_messages(struct world *w, uint64_t ann)
{
	uint64_t cid = 0;

	for (int i = 0; i < 10; i++) {
		char body[20];

		(void)snprintf(body, sizeof(body), "message %d", i + 1);
		cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob", .body = body})
			  .cid;
	}
	return cid;
}

static void
pages_lie_between(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), cid;

	(void)world_user(w, "bob");
	cid = ten_messages(w, ann);
	check_page(w, ann, cid, (uint64_t[]){0, 0, 50}, true, 1, 10, false);
	check_page(w, ann, cid, (uint64_t[]){0, 0, 3}, true, 8, 10, true);
	check_page(w, ann, cid, (uint64_t[]){0, 0, 3}, false, 1, 3, true);
	check_page(w, ann, cid, (uint64_t[]){4, 0, 3}, false, 5, 7, true);
	check_page(w, ann, cid, (uint64_t[]){7, 0, 3}, false, 8, 10, false);
	check_page(w, ann, cid, (uint64_t[]){0, 5, 3}, true, 2, 4, true);
	check_page(w, ann, cid, (uint64_t[]){2, 6, 10}, true, 3, 5, false);
	check_page(w, ann, cid, (uint64_t[]){2, 6, 2}, false, 3, 4, true);
	check_page(w, ann, cid, (uint64_t[]){10, 0, 10}, false, 1, 0, false);
	check_page(w, ann, cid, (uint64_t[]){0, 1, 10}, true, 1, 0, false);
	check_page(w, ann, cid, (uint64_t[]){99, 0, 10}, false, 1, 0, false);
	check_page(w, ann, cid, (uint64_t[]){0, 99, 2}, true, 9, 10, true);
	check_page(w, 0, cid, (uint64_t[]){3, 0, 2}, false, 4, 5, true);
}

static void
a_page_holds_so_many_bytes_but_always_one(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), cid;
	struct op *op;

	(void)world_user(w, "bob");
	cid = ten_messages(w, ann);
	for (int newest = 0; newest < 2; newest++) {
		op = op_create(OP_PAGE);
		op->page.target.cid = cid;
		op->page.limit = 10;
		op->page.max_bytes =
		    2 * ENTRY_OVERHEAD_BYTES + 18; /* bodies of 9, the last of 10 */
		op->page.newest = newest;
		world_read(w, op);
		assert_true(op->page.count == (newest ? 1 : 2) && op->page.more);
		assert_true(op->page.items[0]->seq == (newest ? 10 : 1));
		op_destroy(&op);
		op = op_create(OP_PAGE);
		op->page.target.cid = cid;
		op->page.limit = 10;
		op->page.max_bytes = 1;
		op->page.newest = newest;
		world_read(w, op);
		assert_true(op->page.count == 1 && op->page.more);
		op_destroy(&op);
	}
}

static void
entries_come_back_as_they_went(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct sent sent = world_send(w, &(struct letter){.from = ann,
					     .to_user = "bob",
					     .cmid = "c1",
					     .body = "",
					     .data = "{\"k\":\"\\u0000\"}",
					     .kind = "x-note"});
	const struct entry *e;
	struct op *op;

	(void)world_send(w, &(struct letter){.from = bob, .to = sent.cid, .re = 1, .body = "ü€😀"});
	op = op_create(OP_PAGE);
	op->user = bob;
	op->page.target.cid = sent.cid;
	op->page.limit = 10;
	op->page.max_bytes = 10000;
	op->page.want_facts = true;
	world_read(w, op);
	assert_true(op->page.count == 2 && op->page.head == 2 && op->page.min_seq == 1);
	assert_slice(op->page.facts.lo_name, "ann");
	e = op->page.items[0];
	assert_true(e->sender == ann && e->ts == sent.ts && e->cid == sent.cid && e->re == 0);
	assert_true(e->edited == 0 && e->deleted == 0);
	assert_slice(e->kind, "x-note");
	assert_slice(e->body, "");
	assert_slice(e->data, "{\"k\":\"\\u0000\"}");
	assert_slice(e->cmid, "c1");
	e = op->page.items[1];
	assert_slice(e->body, "ü€😀");
	assert_none(e->data);
	assert_none(e->cmid);
	assert_true(e->re == 1);
	op_destroy(&op);
}

static void
what_was_deleted_has_no_body(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;
	struct op *op;

	cid = ten_messages(w, ann);
	(void)world_send(w, &(struct letter){.what = APPEND_EDIT, .from = ann, .to = cid, .re = 2});
	(void)world_send(
	    w, &(struct letter){.what = APPEND_DELETE, .from = ann, .to = cid, .re = 3});
	world_account(w, ann, ACCOUNT_DELETED);
	op = world_page(w, bob, cid, 1, 4, 10, false);
	assert_int_equal(op->page.count, 2);
	assert_true(op->page.items[0]->edited == 11 && slice_given(op->page.items[0]->body));
	assert_true(op->page.items[1]->deleted == 12);
	assert_none(op->page.items[1]->body);
	assert_none(op->page.items[1]->data);
	assert_slice(op->page.items[0]->from, "deleted");
	op_destroy(&op);
}

static void
check_seen(
    struct world *w, uint64_t user, uint64_t cid, enum err err, uint64_t min_seq, uint64_t head)
{
	struct op *op = world_page(w, user, cid, 0, 0, 100, true);

	assert_int_equal(op->fault.err, err);
	if (err == ERR_OK) {
		assert_int_equal(op->page.min_seq, min_seq);
		assert_int_equal(op->page.head, head);
		assert_int_equal(op->page.count, head + 1 - min_seq);
	}
	op_destroy(&op);
}

static void
who_may_read_and_how_far(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	struct conv_row group = group_row();
	struct member_row member = member_since(1);
	uint64_t direct, cid;

	direct = ten_messages(w, ann);
	check_seen(w, bob, direct, ERR_OK, 1, 10);
	check_seen(w, eve, direct, ERR_NOT_FOUND, 0, 0);
	check_seen(w, ann, 4711, ERR_NOT_FOUND, 0, 0);

	cid = group.cid = world_group(w, &group, "Group");
	world_member(w, cid, ann, &member);
	for (int i = 0; i < 9; i++)
		assert_int_equal(
		    world_send(w, &(struct letter){.from = ann, .to = cid}).fault.err, ERR_OK);
	check_seen(w, 0, cid, ERR_OK, 1, 9);
	check_seen(w, bob, cid, ERR_NOT_FOUND, 0, 0);
	member = member_since(4);
	world_member(w, cid, bob, &member);
	check_seen(w, bob, cid, ERR_OK, 4, 9);
	member.left = true;
	member.leave_seq = 6;
	world_member(w, cid, bob, &member);
	check_seen(w, bob, cid, ERR_OK, 4, 6);
	group.open = group.history = true;
	(void)world_group(w, &group, "Group");
	check_seen(w, bob, cid, ERR_OK, 1, 6);
	check_seen(w, eve, cid, ERR_NOT_MEMBER, 0, 0);
}

/* --- Marks --- */

struct marked {
	enum err err;
	uint64_t read, delivered;
	bool changed;
};

static struct marked
mark(struct world *w, uint64_t user, uint64_t cid, uint64_t read, uint64_t delivered)
{
	struct op *op = op_create(OP_MARK);
	struct marked marked;

	op->user = user;
	op->mark.target.cid = cid;
	op->mark.read = read;
	op->mark.delivered = delivered;
	world_write(w, op);
	marked =
	    (struct marked){op->fault.err, op->mark.read, op->mark.delivered, op->mark.changed};
	op_destroy(&op);
	return marked;
}

static void
check_marked(struct marked marked, uint64_t read, uint64_t delivered, bool changed)
{
	assert_int_equal(marked.err, ERR_OK);
	assert_int_equal(marked.read, read);
	assert_int_equal(marked.delivered, delivered);
	assert_int_equal(marked.changed, changed);
}

static void
marks_only_grow(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;
	struct op *op;

	cid = ten_messages(w, ann);
	check_marked(mark(w, bob, cid, 0, 0), 0, 0, false);
	check_marked(mark(w, bob, cid, 0, 4), 0, 4, true);
	check_marked(mark(w, bob, cid, 6, 0), 6, 6, true);
	check_marked(mark(w, bob, cid, 3, 5), 6, 6, false);
	check_marked(mark(w, bob, cid, 7, 9), 7, 9, true);
	check_marked(mark(w, bob, cid, 99, 0), 10, 10, true);
	check_marked(mark(w, ann, cid, 0, 0), 0, 0, false);
	op = op_create(OP_MARK);
	op->user = ann;
	op->mark.target.user = S("bob");
	op->mark.read = 2;
	world_write(w, op);
	assert_true(op->fault.err == ERR_OK && op->mark.target.cid == cid && op->mark.read == 2);
	op_destroy(&op);
}

static void
who_may_mark(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	struct conv_row group = group_row();
	struct member_row member = member_since(1);
	uint64_t cid;

	assert_int_equal(mark(w, eve, ten_messages(w, ann), 1, 0).err, ERR_NOT_FOUND);
	assert_int_equal(mark(w, ann, 4711, 1, 0).err, ERR_NOT_FOUND);
	cid = world_group(w, &group, "Group");
	world_member(w, cid, ann, &member);
	(void)world_send(w, &(struct letter){.from = ann, .to = cid});
	check_marked(mark(w, ann, cid, 1, 0), 1, 1, true);
	assert_int_equal(mark(w, bob, cid, 1, 0).err, ERR_NOT_FOUND);
	member.left = true;
	member.leave_seq = 1;
	world_member(w, cid, bob, &member);
	assert_int_equal(mark(w, bob, cid, 1, 0).err, ERR_NOT_MEMBER);
}

/* --- Sync --- */

static struct op *
sync_of(struct world *w, uint64_t user, const struct op_cursor *cursors, size_t count, bool preview)
{
	struct op *op = op_create(OP_SYNC);

	op->user = user;
	op->sync.cursors = cursors;
	op->sync.cursor_count = count;
	op->sync.preview = preview;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_true(op->sync.epoch.len > 0);
	return op;
}

static void
sync_lists_the_newest_first(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), eve = world_user(w, "eve");
	uint64_t with_bob, with_eve;
	const struct op_conv *item;
	struct op *op;

	with_bob = ten_messages(w, ann);
	w->now_ms += 1000;
	with_eve = world_send(w, &(struct letter){.from = eve, .to_user = "ann", .body = "hi"}).cid;
	profile(w, bob, "Bob B.", NULL, -1);
	check_marked(mark(w, ann, with_bob, 7, 8), 7, 8, true);
	check_marked(mark(w, bob, with_bob, 3, 4), 3, 4, true);
	op = sync_of(w, ann, NULL, 0, false);
	assert_int_equal(op->sync.count, 2);
	assert_true(op->sync.items[0].cid == with_eve && op->sync.items[0].ts == w->now_ms);
	item = &op->sync.items[1];
	assert_true(item->cid == with_bob && item->facts.kind == CONV_DIRECT);
	assert_true(item->facts.lo == ann && item->facts.hi == bob);
	assert_slice(item->facts.lo_name, "ann");
	assert_slice(item->peer_name, "bob");
	assert_slice(item->title, "Bob B.");
	assert_true(item->role == ROLE_MEMBER && item->min_seq == 1 && item->head == 10);
	assert_true(item->ts == w->now_ms - 1000 && item->last == NULL);
	assert_true(item->read == 7 && item->delivered == 8);
	assert_true(item->peer_read == 3 && item->peer_delivered == 4);
	op_destroy(&op);

	world_account(w, bob, ACCOUNT_DELETED);
	op = op_create(OP_SYNC);
	op->user = ann;
	op->sync.only = with_bob;
	world_read(w, op);
	assert_true(op->sync.count == 1 && op->sync.items[0].cid == with_bob);
	assert_slice(op->sync.items[0].peer_name, "deleted");
	assert_slice(op->sync.items[0].title, "deleted");
	op_destroy(&op);
}

static void
sync_previews_the_last_entry(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	char body[400];
	const struct entry *last;
	struct op *op;

	(void)world_user(w, "bob");
	memset(body, 'a', sizeof(body));
	memcpy(body + 255, "ü", 2);
	body[sizeof(body) - 1] = '\0';
	(void)world_send(
	    w, &(struct letter){
		   .from = ann, .to_user = "bob", .body = body, .data = "{}", .cmid = "c1"});
	op = sync_of(w, ann, NULL, 0, true);
	assert_int_equal(op->sync.count, 1);
	assert_non_null(last = op->sync.items[0].last);
	assert_true(last->seq == 1 && last->sender == ann && last->body.len == 255);
	assert_none(last->data);
	assert_slice(last->from, "ann");
	assert_slice(last->kind, "text");
	assert_slice(last->cmid, "c1");
	op_destroy(&op);
}

static void
sync_lists_who_left_what_he_names(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid, other;
	struct conv_row group = group_row();
	struct member_row member = member_since(1);
	struct op_cursor cursors[3] = {{.cid = 1}, {.cid = 2}, {.cid = 999999}};
	struct op *op;

	group.handle = short_name_of(S("ops"));
	cid = world_group(w, &group, "Operators");
	group.handle = (struct short_name){0};
	other = world_group(w, &group, "Other");
	world_member(w, cid, ann, &member);
	world_member(w, other, ann, &member);
	for (int i = 0; i < 5; i++)
		(void)world_send(w, &(struct letter){.from = ann, .to = cid});
	member.left = true;
	member.leave_seq = 0;
	member.banned = true;
	world_member(w, other, bob, &member);
	member = member_since(2);
	member.muted_until = 4711;
	world_member(w, cid, bob, &member);
	op = sync_of(w, bob, NULL, 0, true);
	assert_int_equal(op->sync.count, 1);
	assert_true(
	    op->sync.items[0].facts.kind == CONV_GROUP && op->sync.items[0].muted_until == 4711);
	assert_slice(op->sync.items[0].facts.handle, "ops");
	assert_slice(op->sync.items[0].title, "Operators");
	assert_true(op->sync.items[0].min_seq == 2 && op->sync.items[0].head == 5);
	op_destroy(&op);

	member.left = true;
	member.leave_seq = 3;
	world_member(w, cid, bob, &member);
	cursors[0].cid = cid < other ? cid : other;
	cursors[1].cid = cid < other ? other : cid;
	op = sync_of(w, bob, NULL, 0, false);
	assert_int_equal(op->sync.count, 0);
	op_destroy(&op);
	op = sync_of(w, bob, cursors, LEN(cursors), true);
	assert_int_equal(op->sync.count, 1);
	assert_true(op->sync.items[0].role == ROLE_NONE && op->sync.items[0].head == 3);
	assert_true(op->sync.items[0].last != NULL && op->sync.items[0].last->seq == 3);
	op_destroy(&op);
	/* A group without an entry is listed too. */
	op = sync_of(w, ann, NULL, 0, true);
	assert_true(op->sync.count == 2 && op->sync.items[1].cid == other);
	assert_true(op->sync.items[1].head == 0 && op->sync.items[1].last == NULL);
	op_destroy(&op);
}

/* --- Check --- */

static struct op *
check_to(struct world *w, uint64_t user, const char *to)
{
	struct op *op = op_create(OP_CHECK);

	op->user = user;
	op->check.target.user = slice_str(to);
	world_read(w, op);
	return op;
}

static void
check_says_what_a_message_would_meet(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;
	struct op *op = check_to(w, ann, "bob");

	assert_true(
	    op->fault.err == ERR_OK && op->check.target.cid == 0 && op->check.target.peer == bob);
	op_destroy(&op);
	cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	op = check_to(w, ann, "bob");
	assert_true(
	    op->fault.err == ERR_OK && op->check.target.cid == cid && op->check.acl_ver == 1);
	op_destroy(&op);
	op = check_to(w, ann, "ann");
	assert_true(op->fault.err == ERR_INVALID_PARAMS && strcmp(op->fault.param, "to") == 0);
	op_destroy(&op);
	op = check_to(w, ann, "nobody");
	assert_int_equal(op->fault.err, ERR_NOT_FOUND);
	op_destroy(&op);
	world_contact(w, ann, bob, CONTACT_BLOCKED);
	op = check_to(w, bob, "ann");
	assert_int_equal(op->fault.err, ERR_BLOCKED);
	op_destroy(&op);
}

static void
conversations_of_a_user_are_limited(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct sent sent;

	(void)world_user(w, "bob");
	(void)world_user(w, "cid");
	(void)world_user(w, "dan");
	sent =
	    world_send(w, &(struct letter){.from = ann, .to_user = "bob", .conversations_max = 2});
	assert_int_equal(sent.fault.err, ERR_OK);
	sent =
	    world_send(w, &(struct letter){.from = ann, .to_user = "cid", .conversations_max = 2});
	assert_int_equal(sent.fault.err, ERR_OK);
	sent =
	    world_send(w, &(struct letter){.from = ann, .to_user = "dan", .conversations_max = 2});
	assert_int_equal(sent.fault.err, ERR_LIMIT);
	assert_true(sent.fault.max == 2);
	/* Those that there are can be written to. */
	sent =
	    world_send(w, &(struct letter){.from = ann, .to_user = "bob", .conversations_max = 2});
	assert_int_equal(sent.fault.err, ERR_OK);
}

static int
run_suite(const char *name, enum world_kind kind)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_name_is_registered_once),
	    T(who_is_disabled_or_deleted_is_not_found),
	    T(a_login_needs_the_hash_that_is_stored),
	    T(a_token_expires),
	    T(a_login_too_many_ends_the_one_unused_the_longest),
	    T(who_was_seen_is_not_unused),
	    T(sessions_are_listed_as_they_were_last_seen),
	    T(sessions_end),
	    T(heads_are_told_of_many),
	    T(a_new_password_ends_the_other_sessions),
	    T(profiles_are_set_and_read),
	    T(presence_is_kept),
	    T(what_stands_between_two_is_read),
	    T(users_are_found_by_prefix),
	    T(contacts_are_those_of_both_sides),
	    T(the_first_message_creates_the_conversation),
	    T(facts_come_when_wanted),
	    T(conversations_of_a_user_are_limited),
	    T(a_wrong_guess_is_not_believed),
	    T(who_may_not_write_is_told_why),
	    T(the_same_cmid_is_one_message),
	    T(an_edited_message_is_no_conflict),
	    T(what_would_be_refused_may_be_a_duplicate),
	    T(duplicates_in_one_batch_are_found),
	    T(who_may_write_to_a_group),
	    T(rights_are_read_when_their_version_changed),
	    T(a_group_is_found_by_its_handle),
	    T(rights_where_a_name_led_are_none_where_it_leads),
	    T(an_answer_names_what_its_author_may_see),
	    T(time_never_goes_back),
	    T(pages_lie_between),
	    T(a_page_holds_so_many_bytes_but_always_one),
	    T(entries_come_back_as_they_went),
	    T(what_was_deleted_has_no_body),
	    T(who_may_read_and_how_far),
	    T(marks_only_grow),
	    T(who_may_mark),
	    T(sync_lists_the_newest_first),
	    T(sync_previews_the_last_entry),
	    T(sync_lists_who_left_what_he_names),
	    T(check_says_what_a_message_would_meet),
	};
#undef T

	kind_under_test = kind;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int
main(void)
{
	int failed = run_suite("memory", WORLD_MEMORY);

	failed += run_suite("sqlite", WORLD_SQLITE);
	failed += run_suite("flaky", WORLD_FLAKY);
	failed += run_suite("mysql", WORLD_MYSQL);
	return failed;
}
