/* SPDX-License-Identifier: MIT */
/*
 * Everything at once on several nodes: who comes, goes, writes, is removed, moves to another node or
 * is logged out, while nodes die and the bus loses what it carries.  At rest each connection is held
 * against the log, what is shown against who is there, and sessions against the store.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/mem.h"
#include "chat/cluster_world.h"
#include "chat/heard.h"
#include "store/driver.h"

enum { USERS = 5, GROUPS = 3, LINKS = 44, TOKENS = 6 };

struct seat {
	struct link *link; /* NULL: none, or its node is dead */
	unsigned node;
	bool synced;
	uint64_t heads[GROUPS]; /* when its sync was answered */
};

struct fray {
	struct cluster_sim sim;
	char names[USERS][8], tokens[USERS][TOKENS][TOKEN_TEXT_BYTES + 1];
	unsigned token_count[USERS];
	struct group_log groups[GROUPS];
	struct seat seats[LINKS];
	size_t seat_count;
	unsigned down_ms; /* steps until a dead node starts */
	unsigned dead;
	bool wild;
};

/* --- Chance that comes again with its seed --- */

static uint64_t chance;

static uint32_t
chance_word(void)
{
	chance = chance * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(chance >> 32);
}

static void
chance_bytes(void *const ret, const size_t len)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)ret)[i] = (unsigned char)chance_word();
}

static const char *
chance_name(void)
{
	return "seeded";
}

static struct randombytes_implementation chance_numbers = {
    .implementation_name = chance_name, .random = chance_word, .buf = chance_bytes};

static struct seat *
seat_open(struct fray *f, unsigned user, unsigned node)
{
	struct seat *seat = &f->seats[f->seat_count];

	if (f->seat_count == LINKS || !f->sim.nodes[node].up ||
	    f->sim.nodes[node].w.link_count == LINKS_MAX)
		return NULL;
	f->seat_count++;
	*seat = (struct seat){.node = node};
	seat->link = sim_link(&f->sim, node, sim_pick(&f->sim, 8));
	seat->link->user = user;
	return seat;
}

static unsigned
change(struct link *link, struct group_command *cmd)
{
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_group(link->peer, &t, cmd);
	return n;
}

static void
token_keep(struct fray *f, const struct link *link)
{
	unsigned user = link->user;

	if (link->token[0] != '\0' && f->token_count[user] < TOKENS)
		memcpy(f->tokens[user][f->token_count[user]++], link->token, sizeof(link->token));
}

static void
fray_open(struct fray *f, uint32_t seed)
{
	struct cluster_sim *sim = &f->sim;
	slice names[USERS];

	*f = (struct fray){.wild = seed % 3 == 2};
	sim_open(sim, seed, 2 + seed % 2);
	for (unsigned i = 0; i < USERS; i++) {
		struct seat *seat = seat_open(f, i, i % sim->count);

		(void)snprintf(f->names[i], sizeof(f->names[i]), "user%u", i);
		names[i] = slice_str(f->names[i]);
		assert_int_equal(do_register(seat->link, f->names[i], false), ERR_OK);
		token_keep(f, seat->link);
	}
	for (unsigned g = 0; g < GROUPS; g++) {
		struct group_command cmd = {.what = GROUP_CREATE,
		    .set = {.title = S("fray"), .open = 1, .admins_post = -1, .admins_invite = 0},
		    .users = names + 1,
		    .user_count = g};
		struct link *first = f->seats[0].link;
		unsigned n = change(first, &cmd);

		assert_int_equal(sim_answered(sim, first, n), ERR_OK);
		f->groups[g].cid = answer_to(first, n)->cid;
	}
	sim->loses = seed % 2 == 1 ? 6 : 0;
	sim->silent = f->wild ? 8 : 0;
	sim->repeats = seed % 4 == 3 ? 5 : 0;
	sim->mixes = seed % 4 >= 2;
	for (unsigned i = 0; i < sim->count; i++)
		sim->nodes[i].w.reorders = true;
}

/* --- What happens --- */

/* Everybody has one of these. */
static const slice passwords[] = {S("open sesame"), S("close sesame")};

static void
fray_change(struct fray *f, struct link *link)
{
	struct cluster_sim *sim = &f->sim;
	slice name = slice_str(f->names[sim_pick(sim, USERS)]);
	struct group_command cmd = {.users = &name, .user_count = 1, .role = ROLE_ADMIN};
	static const enum group_change whats[] = {GROUP_INVITE, GROUP_INVITE, GROUP_JOIN,
	    GROUP_JOIN, GROUP_LEAVE, GROUP_LEAVE, GROUP_REMOVE, GROUP_ROLE};

	cmd.group = cid(f->groups[sim_pick(sim, GROUPS)].cid);
	cmd.what = whats[sim_pick(sim, LEN(whats))];
	(void)change(link, &cmd);
}

static void
fray_enter(struct fray *f)
{
	struct cluster_sim *sim = &f->sim;
	unsigned user = sim_pick(sim, USERS), n;
	struct seat *seat = seat_open(f, user, sim_pick(sim, sim->count));
	struct sync_command sync = {
	    .given = sim_pick(sim, 2) == 0, .backlog = sim_pick(sim, 2) ? 500 : 3};
	struct call_tag t;

	if (seat == NULL)
		return;
	t = tag(seat->link->world, &n);
	if (sim_pick(sim, 4) == 0) {
		struct login_command cmd = {.user = slice_str(f->names[user]),
		    .password = passwords[sim_pick(sim, 2)],
		    .sync = sync};

		chat_login(seat->link->peer, &t, &cmd);
	} else {
		unsigned which = sim_pick(sim, f->token_count[user]);
		struct resume_command cmd = {
		    .token = slice_str(f->tokens[user][which]), .sync = sync};

		chat_resume(seat->link->peer, &t, &cmd);
	}
}

/* One of his sessions ends, or all others. */
static void
fray_revoke(struct fray *f, struct link *link)
{
	struct cluster_sim *sim = &f->sim;
	const struct seat *other = &f->seats[sim_pick(sim, (unsigned)f->seat_count)];
	unsigned n, old = sim_pick(sim, 2);
	struct call_tag t = tag(link->world, &n);

	if (sim_pick(sim, 4) == 0)
		chat_password_change(link->peer, &t, passwords[old], passwords[1 - old]);
	else if (other->link != NULL && other->link->user == link->user)
		chat_session_revoke(link->peer, &t, slice_str(other->link->session));
}

static void
fray_show(struct fray *f, struct link *link)
{
	static const enum presence states[] = {
	    PRESENCE_ONLINE, PRESENCE_BUSY, PRESENCE_INVISIBLE, PRESENCE_AWAY};
	struct presence_command cmd = {.state = states[sim_pick(&f->sim, LEN(states))]};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	if (sim_pick(&f->sim, 2) == 0)
		cmd.text = sim_pick(&f->sim, 2) ? S("at sea") : S("");
	chat_presence_set(link->peer, &t, &cmd);
}

static void
fray_watch(struct fray *f, struct link *link)
{
	slice names[USERS];
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	for (unsigned i = 0; i < USERS; i++)
		names[i] = slice_str(f->names[i]);
	chat_presence_watch(link->peer, &t, names, 1 + sim_pick(&f->sim, USERS));
}

static void
fray_mark(struct fray *f, struct link *link, uint64_t conv)
{
	struct mark_command cmd = {.conv = cid(conv), .read = 1 + sim_pick(&f->sim, 30)};
	unsigned n;
	struct call_tag t = tag(link->world, &n);

	chat_mark(link->peer, &t, &cmd);
}

static void
fray_kill(struct fray *f)
{
	struct cluster_sim *sim = &f->sim;
	unsigned dead = sim_pick(sim, sim->count);

	if (f->down_ms > 0 || f->seat_count < 10)
		return;
	for (size_t i = 0; i < f->seat_count; i++)
		if (f->seats[i].node == dead)
			f->seats[i].link = NULL;
	sim_kill(sim, dead);
	f->dead = dead;
	f->down_ms = 1 + sim_pick(sim, 200);
}

static void
fray_nodes(struct fray *f)
{
	if (f->down_ms > 0 && --f->down_ms == 0) {
		sim_start(&f->sim, f->dead);
		f->sim.nodes[f->dead].w.reorders = true;
	}
	if (f->sim.cut && sim_pick(&f->sim, 60) == 0)
		sim_cut(&f->sim, false);
}

static void
fray_act(struct fray *f)
{
	struct cluster_sim *sim = &f->sim;
	struct seat *seat = &f->seats[sim_pick(sim, (unsigned)f->seat_count)];
	uint64_t conv = f->groups[sim_pick(sim, GROUPS)].cid;
	struct link *link = seat->link;
	unsigned what = sim_pick(sim, 40);

	if (what < 2) {
		fray_enter(f);
	} else if (what == 2) {
		sim->real_ms += 700;
		for (unsigned i = 0; i < sim->count; i++)
			if (sim->nodes[i].up)
				world_pass(&sim->nodes[i].w, 700);
	} else if (what == 3 && sim_pick(sim, 12) == 0) {
		fray_kill(f);
	} else if (what == 3 && sim_pick(sim, 12) == 0 && !sim->cut) {
		sim_cut(sim, true);
	} else if (link == NULL || link->told == NULL) {
		return;
	} else if (what == 4 && (link->closed || sim_pick(sim, 3) == 0)) {
		token_keep(f, link);
		link_close(link);
		seat->link = NULL;
	} else if (what < 7) {
		(void)start_sync(link, sim_pick(sim, 3) ? conv : 0, sim_pick(sim, 20),
		    sim_pick(sim, 2) ? 500 : 2);
	} else if (what < 9) {
		link->full = !link->full;
		if (!link->full)
			peer_drained(link->peer);
	} else if (what < 20) {
		(void)start_send(link, cid(conv), "x", NULL);
	} else if (what < 22) {
		fray_revoke(f, link);
	} else if (what < 25) {
		fray_show(f, link);
	} else if (what < 27) {
		fray_watch(f, link);
	} else if (what < 29) {
		fray_mark(f, link, conv);
	} else {
		fray_change(f, link);
	}
}

static void
note_syncs(struct fray *f)
{
	for (size_t i = 0; i < f->seat_count; i++) {
		struct seat *seat = &f->seats[i];

		if (seat->synced || seat->link == NULL || !seat->link->synced)
			continue;
		seat->synced = true;
		for (unsigned g = 0; g < GROUPS; g++)
			seat->heads[g] = group_log_head(f->sim.store, f->groups[g].cid);
	}
}

/* --- What a connection was told --- */

/* A membership that lasts is known and followed to its end; of those that are over, nothing but
 * entries of theirs was told. */
static void
check_group(const struct fray *f, const struct seat *seat, unsigned g)
{
	const struct link *link = seat->link;
	const struct group_log *group = &f->groups[g];
	unsigned bit = 1u << link->user;
	uint64_t joined = 0;
	struct heard h;

	heard_by(link, group, &h);
	for (uint64_t seq = 1; seq <= group->head; seq++) {
		if (group->joins[seq] & bit)
			joined = seq;
		if (joined == 0)
			assert_false(h.seen[seq]);
		if (group->ends[seq] & bit)
			joined = 0;
	}
	if (joined == 0) {
		assert_true(!h.follows || (h.past && h.next > h.end));
		return;
	}
	if (!h.follows || h.past || h.next != group->head + 1)
		fail_msg("user %u on n%u in group %u: follows %d, next %" PRIu64 " of %" PRIu64,
		    link->user, seat->node, g, h.follows, h.next, group->head);
	/* Told of it late, he begins behind what he has read elsewhere. */
	if (joined < h.from)
		joined = h.from;
	for (uint64_t seq = joined; joined > seat->heads[g] && seq <= group->head; seq++)
		assert_true(h.seen[seq]);
}

/* --- Sessions and presence --- */

static bool
session_lives(struct fray *f, const struct link *link)
{
	uint64_t session = strtoull(link->session, NULL, 10);
	struct op *op = op_create(OP_LIVE);
	bool lives;

	op->live.sessions = &session;
	op->live.want = 1;
	f->sim.store->type->read(f->sim.store, 0, op);
	lives = op->live.count == 0;
	op_destroy(&op);
	return lives;
}

static bool
is_in(const struct seat *seat)
{
	return seat->link != NULL && seat->link->session[0] != '\0' && !seat->link->closed;
}

/* What the user is to show: what he set, if a connection of his is synced. */
static enum presence
truth(struct fray *f, unsigned user)
{
	enum presence state;
	struct op *op;
	bool here = false;

	for (size_t i = 0; i < f->seat_count; i++)
		here = here || (is_in(&f->seats[i]) && f->seats[i].link->synced &&
				   f->seats[i].link->user == user);
	if (!here)
		return PRESENCE_OFFLINE;
	op = op_create(OP_PRESENCE_SET);
	op->user = user + 1;
	op->presence.state = -1;
	f->sim.store->type->write(f->sim.store, (struct op *[]){op}, 1);
	assert_int_equal(op->fault.err, ERR_OK);
	state = op->presence.now == PRESENCE_INVISIBLE ? PRESENCE_OFFLINE : op->presence.now;
	op_destroy(&op);
	return state;
}

static void
check_presence(struct fray *f, const struct seat *seat)
{
	for (unsigned user = 0; user < USERS; user++) {
		enum presence is = truth(f, user), shown;
		slice name = slice_str(f->names[user]);
		unsigned n;
		struct call_tag t = tag(seat->link->world, &n);

		chat_presence_get(seat->link->peer, &t, &name, 1);
		assert_int_equal(sim_answered(&f->sim, seat->link, n), ERR_OK);
		shown = (enum presence)answer_to(seat->link, n)->seq;
		if (shown == PRESENCE_AWAY)
			shown = PRESENCE_ONLINE; /* what a connection adds */
		if (shown != is)
			fail_msg("n%u shows user %u as %d, who is %d", seat->node, user, shown, is);
	}
}

static void
fray_ends(struct fray *f)
{
	struct cluster_sim *sim = &f->sim;

	sim->loses = sim->silent = sim->repeats = 0;
	if (sim->cut)
		sim_cut(sim, false);
	if (f->down_ms > 0)
		sim_start(sim, f->dead);
	f->down_ms = 0;
	for (unsigned i = 0; i < sim->count; i++)
		sim->nodes[i].w.reorders = false;
	for (size_t i = 0; i < f->seat_count; i++) {
		if (f->seats[i].link == NULL)
			continue;
		f->seats[i].link->full = false;
		peer_drained(f->seats[i].link->peer);
	}
	/* What was lost and not told of waits for the readings that come in any case. */
	sim_pass(sim, f->wild ? 40 : 12);
	note_syncs(f);
}

static void
fray_check(struct fray *f)
{
	for (unsigned g = 0; g < GROUPS; g++)
		group_log_read(f->sim.store, f->names, USERS, &f->groups[g]);
	for (size_t i = 0; i < f->seat_count; i++) {
		struct seat *seat = &f->seats[i];

		if (seat->link == NULL)
			continue;
		if (seat->link->session[0] != '\0')
			assert_int_equal(session_lives(f, seat->link), !seat->link->closed);
		if (!seat->link->closed)
			continue;
		link_close(seat->link);
		seat->link = NULL;
	}
	sim_pass(&f->sim, 8);
	for (size_t i = 0; i < f->seat_count; i++) {
		if (!is_in(&f->seats[i]) || !f->seats[i].synced)
			continue;
		for (unsigned g = 0; g < GROUPS; g++)
			check_group(f, &f->seats[i], g);
		check_presence(f, &f->seats[i]);
	}
	for (unsigned i = 0; i < f->sim.count; i++)
		for (unsigned k = 0; k < f->sim.nodes[i].w.shard_count; k++)
			assert_int_equal(shard_calls(f->sim.nodes[i].w.shards[k]), 0);
}

static void
everything_at_once(void **state)
{
	const char *seeds = getenv("CONFAB_SEEDS"), *from = getenv("CONFAB_SEED");
	uint32_t count = seeds != NULL ? (uint32_t)strtoul(seeds, NULL, 10) : 24;
	uint32_t start = from != NULL ? (uint32_t)strtoul(from, NULL, 10) : 0;
	static struct fray f;

	(void)state;
	for (uint32_t seed = start; seed < start + count; seed++) {
		if (from != NULL)
			print_message("seed %u\n", seed);
		chance = seed;
		fray_open(&f, seed);
		for (unsigned i = 0; i < 2500; i++) {
			if (sim_pick(&f.sim, 4) == 0)
				fray_act(&f);
			fray_nodes(&f);
			sim_step(&f.sim);
			sim_step(&f.sim);
			note_syncs(&f);
		}
		fray_ends(&f);
		fray_check(&f);
		sim_close(&f.sim);
	}
}

int
main(void)
{
	assert_int_equal(randombytes_set_implementation(&chance_numbers), 0);
	(void)hash_u64(1); /* its secret is made of the first of them */
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everything_at_once),
	};

	return cmocka_run_group_tests_name("cluster_race", tests, NULL, NULL);
}
