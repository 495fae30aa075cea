/* SPDX-License-Identifier: MIT */
/* For the tests of groups: a change in one line. */
#ifndef STORE_TEST_GROUP_H
#define STORE_TEST_GROUP_H

#include "store/test_world.h"

/* Their ids, in the order in which people() registers ann, bob… */
enum { ANN = 1, BOB, CAT, DAN, EVE };

struct change {
	uint64_t by;
	uint64_t cid;
	enum group_change what;
	const char *handle_of; /* the target instead of cid */
	const char *users[5];
	const char *title, *topic, *handle;
	int open, post, invite; /* 0: stays, 1: true or admins, -1: false or all */
	bool history, ban;
	enum role role;
	uint64_t until;
	uint64_t groups_max, members_max, conversations_max; /* 0: none */
};

struct changed {
	enum err err;
	uint64_t cid, seq, ends; /* seq 0: nothing changed */
	bool renamed;
};

struct op *change_op(const struct change *c);
/* Run by the world. */
struct op *change(struct world *w, const struct change *c);
/* Holds what follows from it, and destroys it. */
struct changed outcome_of(struct op *op);
#define DO(world, ...) outcome_of(change((world), &(struct change){__VA_ARGS__}))

void people(struct world *w);
/* Everyone, and a group "Tea" of Ann's with Bob and Cat. */
uint64_t group_of_three(struct world *w);

#endif
