/* SPDX-License-Identifier: MIT */
/*
 * What a change of contacts makes of the two rows it concerns: a pure function, the same for every
 * driver.  A request stands in both lists (requested, incoming), a contact too; a block stands in
 * the list of him who blocks alone, and the other is told no more than that the contact ended.
 */
#ifndef STORE_CONTACT_RULES_H
#define STORE_CONTACT_RULES_H

#include "chat/op.h"

struct contact_pair {
	enum contact_state mine, theirs; /* in the list of who asks, of the other */
};

struct contact_outcome {
	struct contact_pair after;
	enum contact_news mine, theirs;
	bool rights; /* what the two may do to each other is another: acl_ver */
};

/* ERR_OK, or what is wrong with it; nothing changes then. */
enum err contact_decide(
    enum contact_change what, struct contact_pair now, struct contact_outcome *ret_outcome);

/* Whether a list gets a row that counts: contacts and requests count together, blocks by themselves,
 * so that nobody can be kept from blocking by a flood of requests. */
bool contact_adds(enum contact_state was, enum contact_state state);
/* Forgets what a transaction that failed had found. */
void contact_reset(struct op *op);

#endif
