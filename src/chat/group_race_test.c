/* SPDX-License-Identifier: MIT */
/*
 * Who comes and goes while others write, sync, reconnect and read slowly: each connection is held
 * against what the log says of its user's memberships.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "chat/heard.h"

enum { USERS = 5, GROUPS = 3, LINKS = 40, TURNS_UP = 2100 };

struct fray {
	struct world w;
	char names[USERS][8], tokens[USERS][TOKEN_TEXT_BYTES + 1];
	struct group_log groups[GROUPS];
	bool history[GROUPS];
	uint64_t heads[LINKS_MAX][GROUPS]; /* when the link's sync was answered */
	bool synced[LINKS_MAX];
	bool faults;
};

static unsigned
change(struct fray *f, struct link *link, struct group_command *cmd)
{
	unsigned n;
	struct call_tag t = tag(&f->w, &n);

	chat_group(link->peer, &t, cmd);
	return n;
}

static void
fray_open(struct fray *f, uint32_t seed)
{
	slice names[USERS];
	struct link *first = NULL;

	*f = (struct fray){.faults = seed % 2 == 1};
	world_open(&f->w, seed);
	for (unsigned i = 0; i < USERS; i++) {
		struct link *link = link_open(&f->w, i % WORLD_SHARDS);

		(void)snprintf(f->names[i], sizeof(f->names[i]), "user%u", i);
		names[i] = slice_str(f->names[i]);
		assert_int_equal(do_register(link, f->names[i], false), ERR_OK);
		memcpy(f->tokens[i], link->token, sizeof(f->tokens[i]));
		link->user = i;
		first = i == 0 ? link : first;
	}
	for (unsigned g = 0; g < GROUPS; g++) {
		struct group_command cmd = {.what = GROUP_CREATE,
		    .set = {.title = S("fray"),
			.open = 1,
			.admins_post = -1,
			.admins_invite = 0,
			.history = g == 1},
		    .users = names + 1,
		    .user_count = g};
		unsigned n = change(f, first, &cmd);

		assert_int_equal(answered(first, n), ERR_OK);
		f->groups[g].cid = answer_to(first, n)->cid;
		f->history[g] = g == 1;
	}
	f->w.reorders = true;
	f->w.read_faults = f->faults ? 8 : 0;
	f->w.write_faults = f->faults ? 8 : 0;
}

static void
fray_change(struct fray *f, struct link *link)
{
	struct world *w = &f->w;
	slice name = slice_str(f->names[pick(w, USERS)]);
	struct group_command cmd = {.users = &name, .user_count = 1, .role = ROLE_ADMIN};

	cmd.group = cid(f->groups[pick(w, GROUPS)].cid);
	switch (pick(w, 8)) {
	case 0:
	case 1:
		cmd.what = GROUP_INVITE;
		break;
	case 2:
	case 3:
		cmd.what = GROUP_JOIN;
		break;
	case 4:
	case 5:
		cmd.what = GROUP_LEAVE;
		break;
	case 6:
		cmd.what = GROUP_REMOVE;
		break;
	default:
		cmd.what = pick(w, 30) == 0 ? GROUP_DISMISS : GROUP_ROLE;
		break;
	}
	(void)change(f, link, &cmd);
}

/* Of a message that is perhaps his own, new or old. */
static void
fray_edit(struct fray *f, struct link *link, unsigned group)
{
	struct world *w = &f->w;
	uint64_t head = group_log_head(w->store, f->groups[group].cid);
	struct edit_command cmd = {
	    .conv = cid(f->groups[group].cid), .seq = 1 + pick(w, (unsigned)head), .body = S("y")};
	unsigned n;
	struct call_tag t = tag(w, &n);

	chat_edit(link->peer, &t, &cmd);
}

static void
fray_enter(struct fray *f)
{
	unsigned user = pick(&f->w, USERS), n;
	struct link *link = link_open(&f->w, pick(&f->w, WORLD_SHARDS));
	struct resume_command resume = {.token = slice_str(f->tokens[user])};
	struct call_tag t = tag(&f->w, &n);

	link->user = user;
	resume.sync = (struct sync_command){
	    .given = pick(&f->w, 2) == 0, .backlog = pick(&f->w, 2) ? 500 : 3};
	chat_resume(link->peer, &t, &resume);
}

static void
fray_act(struct fray *f)
{
	struct world *w = &f->w;
	struct link *link = &w->links[pick(w, (unsigned)w->link_count)];
	unsigned group = pick(w, GROUPS);
	uint64_t conv = f->groups[group].cid;
	unsigned what = pick(w, 28);

	if (what == 0 && w->link_count < LINKS) {
		fray_enter(f);
	} else if (what == 1) {
		world_pass(w, 700);
	} else if (link->told == NULL) {
		return;
	} else if (what == 2 && (link->closed || pick(w, 3) == 0)) {
		link_close(link);
	} else if (what < 5) {
		(void)start_sync(link, pick(w, 3) ? conv : 0, pick(w, 20), pick(w, 2) ? 500 : 2);
	} else if (what < 7) {
		link->full = !link->full;
		if (!link->full)
			peer_drained(link->peer);
	} else if (what < 12) {
		(void)start_send(link, cid(conv), "x", NULL);
	} else if (what < 16) {
		fray_edit(f, link, group);
	} else {
		fray_change(f, link);
	}
}

static void
note_syncs(struct fray *f)
{
	for (size_t i = 0; i < f->w.link_count; i++) {
		if (f->synced[i] || f->w.links[i].told == NULL || !f->w.links[i].synced)
			continue;
		f->synced[i] = true;
		for (unsigned g = 0; g < GROUPS; g++)
			f->heads[i][g] = group_log_head(f->w.store, f->groups[g].cid);
	}
}

/* --- What a connection was told --- */

/* Holds what was heard against each membership: joined..ended, ended 0: a member still. */
static void
check_membership(const struct fray *f, size_t link, unsigned g, const struct heard *h,
    uint64_t joined, uint64_t ended)
{
	const struct group_log *group = &f->groups[g];
	uint64_t last = ended != 0 ? ended : group->head;

	if (ended == 0) {
		assert_true(h->follows && !h->past);
		assert_int_equal(h->next, group->head + 1);
	}
	if (joined <= f->heads[link][g] || (f->faults && ended != 0))
		return;
	for (uint64_t seq = joined; seq <= last; seq++)
		if (!h->seen[seq])
			fail_msg("link %zu of user %u in group %u: %" PRIu64 " of %" PRIu64
				 "..%" PRIu64 " is missing; synced at %" PRIu64,
			    link, f->w.links[link].user, g, seq, joined, last, f->heads[link][g]);
}

static void
check_group(const struct fray *f, size_t at, unsigned g)
{
	const struct link *link = &f->w.links[at];
	const struct group_log *group = &f->groups[g];
	unsigned bit = 1u << link->user;
	uint64_t joined = 0, first = 0;
	struct heard h;

	heard_by(link, group, &h);
	for (uint64_t seq = 1; seq <= group->head; seq++) {
		if (group->joins[seq] & bit) {
			assert_true(joined == 0);
			joined = seq;
			first = first != 0 ? first : seq;
		}
		/* Nothing of a time when he was no member; from the start, if the group shows it. */
		if (joined == 0 && !(f->history[g] && seq < first))
			assert_true(!h.seen[seq] || f->history[g]);
		if (joined != 0 && (group->ends[seq] & bit)) {
			check_membership(f, at, g, &h, joined, seq);
			joined = 0;
		}
	}
	if (joined != 0)
		check_membership(f, at, g, &h, joined, 0);
	else
		assert_true(!h.follows || (h.past && h.next > h.end));
}

static void
fray_ends(struct fray *f)
{
	struct world *w = &f->w;

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

static void
in_and_out(void **state)
{
	const char *seeds = getenv("CONFAB_SEEDS"), *from = getenv("CONFAB_SEED");
	uint32_t count = seeds != NULL ? (uint32_t)strtoul(seeds, NULL, 10) : 40;
	uint32_t start = from != NULL ? (uint32_t)strtoul(from, NULL, 10) : 0;
	static struct fray f;

	(void)state;
	for (uint32_t seed = start; seed < start + count; seed++) {
		if (from != NULL)
			print_message("seed %u\n", seed);
		fray_open(&f, seed);
		for (unsigned i = 0; i < 1500; i++) {
			if (pick(&f.w, 3) == 0)
				fray_act(&f);
			step(&f.w);
			note_syncs(&f);
		}
		fray_ends(&f);
		for (unsigned g = 0; g < GROUPS; g++)
			group_log_read(f.w.store, f.names, USERS, &f.groups[g]);
		for (size_t i = 0; i < f.w.link_count; i++)
			for (unsigned g = 0; g < GROUPS && f.w.links[i].told != NULL; g++)
				if (f.synced[i] && !f.w.links[i].closed)
					check_group(&f, i, g);
		world_close(&f.w);
	}
}

/* The outcome is unknown: those who listen hear of it all the same, and those who are new. */
static void
unknown_changes_are_heard_of(void **state)
{
	static struct fray f;
	struct link *link[3];

	(void)state;
	for (uint32_t seed = 0; seed < 12; seed++) {
		struct world *w = &f.w;
		slice bob = S("bob"), carol = S("carol");
		struct group_command cmd = {.what = GROUP_CREATE,
		    .set = {.title = S("t"),
			.handle = S("ops"),
			.open = 1,
			.admins_post = -1,
			.admins_invite = -1},
		    .users = &bob,
		    .user_count = 1};
		unsigned n;

		f = (struct fray){0};
		world_open(w, seed);
		for (unsigned i = 0; i < 3; i++)
			link[i] = link_open(w, (seed + i) % WORLD_SHARDS);
		assert_int_equal(do_register(link[0], "alice", true), ERR_OK);
		assert_int_equal(do_register(link[1], "bob", true), ERR_OK);
		assert_int_equal(do_register(link[2], "carol", true), ERR_OK);
		w->next_write = ERR_UNKNOWN_OUTCOME;
		w->fail_reads = seed % 3;
		n = change(&f, link[0], &cmd);
		assert_int_equal(answered(link[0], n), ERR_UNKNOWN_OUTCOME);
		world_pass(w, 1000);
		settle(w);
		world_pass(w, 1000);
		settle(w);
		assert_stream(link[0], 1, 1, 1);
		assert_stream(link[1], 1, 1, 1);
		/* By a name that this shard has not seen yet, or by its number. */
		cmd.what = GROUP_INVITE;
		cmd.users = &carol;
		cmd.group =
		    seed % 2 ? cid(1) : (struct target){.kind = TARGET_GROUP, .name = S("ops")};
		w->next_write = ERR_UNKNOWN_OUTCOME;
		n = change(&f, link[0], &cmd);
		assert_int_equal(answered(link[0], n), ERR_UNKNOWN_OUTCOME);
		cmd.what = GROUP_DISMISS;
		w->next_write = ERR_UNKNOWN_OUTCOME;
		n = change(&f, link[0], &cmd);
		assert_int_equal(answered(link[0], n), ERR_UNKNOWN_OUTCOME);
		world_pass(w, 1000);
		settle(w);
		assert_stream(link[0], 1, 1, 3);
		assert_stream(link[1], 1, 1, 3);
		assert_stream(link[2], 1, 2, 3);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(count_told(link[i], TOLD_CONV, 1), 2);
			assert_int_equal(link[i]->told[link[i]->count - 1].change, CONV_REMOVED);
		}
		world_close(w);
	}
}

/* A membership ends while the store is asked about all conversations. */
static void
an_end_among_questions(void **state)
{
	static struct fray f;
	struct world *w = &f.w;
	slice bob = S("bob");
	struct group_command cmd = {.what = GROUP_CREATE,
	    .set = {.title = S("t"), .open = 1, .admins_post = -1, .admins_invite = -1},
	    .users = &bob,
	    .user_count = 1};
	struct link *alice, *link;
	unsigned n;

	(void)state;
	f = (struct fray){0};
	world_open(w, 1);
	alice = link_open(w, 0);
	link = link_open(w, 1);
	assert_int_equal(do_register(alice, "alice", true), ERR_OK);
	assert_int_equal(do_register(link, "bob", false), ERR_OK);
	n = change(&f, alice, &cmd);
	assert_int_equal(answered(alice, n), ERR_OK);
	assert_int_equal(answered(link, start_sync(link, 0, 0, 500)), ERR_OK);
	/* He reads slowly: what is waiting for him has been read from the log. */
	link->full = true;
	cmd.what = GROUP_REMOVE;
	cmd.group = cid(1);
	n = change(&f, alice, &cmd);
	assert_int_equal(answered(alice, n), ERR_OK);
	/* Of unknown outcome, so that all that he has is looked at. */
	cmd = (struct group_command){.what = GROUP_CREATE, .set = cmd.set};
	w->next_write = ERR_UNKNOWN_OUTCOME;
	n = change(&f, link, &cmd);
	while (w->next_write != ERR_OK)
		if (!store_step(w))
			for (unsigned i = 0; i < WORLD_SHARDS; i++)
				(void)shard_step(w, i);
	w->store_stopped = true;
	settle(w);
	link->full = false;
	peer_drained(link->peer);
	settle(w);
	assert_int_equal(count_told(link, TOLD_CONV, 1), 1);
	w->store_stopped = false;
	settle(w);
	assert_int_equal(answered(link, n), ERR_UNKNOWN_OUTCOME);
	assert_stream(link, 1, 1, 2);
	assert_stream(link, 2, 1, 1);
	world_close(w);
}

/* While one syncs so much turns up that not all of it is remembered: then all is looked at. */
static void
more_turns_up_than_a_sync_remembers(void **state)
{
	static struct fray f;
	struct world *w = &f.w;
	slice bob = S("bob");
	struct group_command cmd = {.what = GROUP_CREATE,
	    .set = {.title = S("t"), .open = 1, .admins_post = -1, .admins_invite = -1},
	    .users = &bob,
	    .user_count = 1};
	struct link *alice, *link;
	struct op *sync;
	unsigned n;

	(void)state;
	f = (struct fray){0};
	world_open(w, 1);
	alice = link_open(w, 0);
	link = link_open(w, 1);
	assert_int_equal(do_register(alice, "alice", false), ERR_OK);
	assert_int_equal(do_register(link, "bob", false), ERR_OK);
	n = change(&f, alice, &cmd);
	assert_int_equal(answered(alice, n), ERR_OK);
	w->store_stopped = true;
	n = start_sync(link, 0, 0, 500);
	settle(w);
	sync = container_of(w->store_queue.first, struct op, mail);
	assert_true(sync->kind == OP_SYNC && sync->mail.next == NULL);
	w->store_queue.first = NULL;
	w->store_queue.last = &w->store_queue.first;
	w->store->type->read(w->store, 0, sync);
	w->store_stopped = false;
	for (unsigned i = 0; i < 2 * TURNS_UP; i++) {
		struct group_command more = {.what = i % 2 ? GROUP_INVITE : GROUP_REMOVE,
		    .group = cid(1),
		    .users = &bob,
		    .user_count = 1};
		unsigned m = change(&f, alice, &more);

		assert_int_equal(answered(alice, m), ERR_OK);
	}
	assert_int_equal(answered(alice, change(&f, alice, &cmd)), ERR_OK);
	w->kept_back = sync; /* it comes at last */
	assert_int_equal(answered(link, n), ERR_OK);
	assert_stream(link, 2, 1, 1);
	world_close(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_end_among_questions),
	    cmocka_unit_test(more_turns_up_than_a_sync_remembers),
	    cmocka_unit_test(unknown_changes_are_heard_of),
	    cmocka_unit_test(in_and_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
