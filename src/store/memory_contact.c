/* SPDX-License-Identifier: MIT */
/* Contacts and the end of accounts in the memory store. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/panic.h"
#include "store/contact_rules.h"
#include "store/fold.h"
#include "store/memory_db.h"

/* --- Rows --- */

void
mem_contact_set(
    struct memory *m, uint64_t user, uint64_t peer, enum contact_state state, slice note)
{
	struct mem_user *owner = mem_user_get(m, user), *other = mem_user_get(m, peer);
	struct mem_contact *contact = map_get(&owner->contacts, peer);

	if (contact == NULL && state != CONTACT_NONE) {
		contact = mem_zalloc(sizeof(*contact));
		contact->peer = peer;
		map_put(&owner->contacts, peer, contact);
	}
	if (state == CONTACT_BLOCKED)
		map_put(&other->hiding, user, owner);
	else
		(void)map_remove(&other->hiding, user);
	if (contact == NULL)
		return;
	contact->state = state;
	mem_own_set(&contact->note, note);
	if (state == CONTACT_NONE) {
		(void)map_remove(&owner->contacts, peer);
		mem_free(contact);
	}
}

bool
mem_blocked(struct memory *m, uint64_t a, uint64_t b)
{
	return mem_contact_state(m, a, b) == CONTACT_BLOCKED ||
	       mem_contact_state(m, b, a) == CONTACT_BLOCKED;
}

static uint64_t
contacts_count(struct memory *m, uint64_t user, bool blocked)
{
	const struct mem_user *owner = mem_user_get(m, user);
	const struct mem_contact *contact;
	uint64_t count = 0;

	for (size_t at = 0; (contact = map_next(&owner->contacts, &at)) != NULL;)
		count += (contact->state == CONTACT_BLOCKED) == blocked;
	return count;
}

/* --- A change --- */

static enum err
find_peer(struct memory *m, struct op *op)
{
	const struct mem_user *asker = mem_user_get(m, op->user);
	const struct mem_user *peer = mem_user_named(m, op->contact.name);

	if (asker == NULL || asker->account == ACCOUNT_DELETED)
		return ERR_SESSION_REVOKED;
	if (peer == NULL)
		return ERR_NOT_FOUND;
	op->contact.peer = peer->id;
	return peer == asker ? ERR_INVALID_PARAMS : ERR_OK;
}

static bool
has_room(struct memory *m, struct op *op, uint64_t user, enum contact_state was,
    enum contact_state state)
{
	uint64_t max = op->contact.contacts_max;

	if (!contact_adds(was, state) || contacts_count(m, user, state == CONTACT_BLOCKED) < max)
		return true;
	op->fault = (struct fault){.err = ERR_LIMIT, .max = max};
	return false;
}

static void
outcome_write(struct memory *m, struct op *op, const struct contact_pair *was,
    const struct contact_outcome *outcome)
{
	slice note = outcome->theirs == NEWS_INCOMING ? op->contact.note : SLICE_NONE;
	struct mem_conv *conv = mem_direct(m, op->user, op->contact.peer);

	if (outcome->after.mine != was->mine)
		mem_contact_set(m, op->user, op->contact.peer, outcome->after.mine, SLICE_NONE);
	if (outcome->after.theirs != was->theirs)
		mem_contact_set(m, op->contact.peer, op->user, outcome->after.theirs, note);
	if (outcome->rights && conv != NULL)
		conv->row.acl_ver++;
	op->contact.state = outcome->after.mine;
	op->contact.mine = outcome->mine;
	op->contact.theirs = outcome->theirs;
	op->contact.shown_note = note;
}

void
mem_contact(struct memory *m, struct op *op)
{
	struct contact_outcome outcome;
	struct contact_pair now;
	enum err err;

	contact_reset(op);
	if ((err = find_peer(m, op)) != ERR_OK) {
		op_fail(op, err, err == ERR_INVALID_PARAMS ? "user" : NULL);
		return;
	}
	now.mine = mem_contact_state(m, op->user, op->contact.peer);
	now.theirs = mem_contact_state(m, op->contact.peer, op->user);
	op_fail(op, contact_decide(op->contact.what, now, &outcome), NULL);
	if (op->fault.err == ERR_OK && has_room(m, op, op->user, now.mine, outcome.after.mine) &&
	    has_room(m, op, op->contact.peer, now.theirs, outcome.after.theirs)) {
		op->contact.order = ++m->contact_order;
		outcome_write(m, op, &now, &outcome);
	}
}

/* --- Reading --- */

static int
name_order(const void *a, const void *b)
{
	const struct op_contact_listed *x = a, *y = b;

	return slice_cmp(x->name, y->name);
}

static struct op_contact_listed
contact_view(struct op *op, const struct mem_contact *contact, const struct mem_user *peer)
{
	return (struct op_contact_listed){
	    .uid = peer->id,
	    .name = op_copy(op, peer->name),
	    .display = op_copy(op, peer->display),
	    .state = contact->state,
	    .note = op_copy(op, contact->note),
	    .seen = peer->presence == PRESENCE_INVISIBLE ? 0 : peer->seen,
	};
}

void
mem_contact_list(struct memory *m, struct op *op)
{
	struct op_contacts_page *page = &op->contact_list;
	const struct mem_user *user = mem_user_get(m, op->user);
	const struct mem_contact *contact;

	if (user == NULL)
		return;
	page->items = op_alloc(op, user->contacts.count * sizeof(*page->items));
	for (size_t at = 0; (contact = map_next(&user->contacts, &at)) != NULL;) {
		const struct mem_user *peer = mem_user_get(m, contact->peer);

		if (peer->account != ACCOUNT_DELETED &&
		    (!slice_given(page->after) || slice_cmp(peer->name, page->after) > 0))
			page->items[page->count++] = contact_view(op, contact, peer);
	}
	if (page->count > 0)
		qsort(page->items, page->count, sizeof(*page->items), name_order);
	page->more = page->count > page->limit;
	if (page->more)
		page->count = page->limit;
}

void
mem_contacts_hiding(struct op *op, const struct mem_user *user)
{
	const struct mem_user *other;
	const struct mem_contact *contact;

	op->contacts.hiding = op_alloc(
	    op, (user->hiding.count + user->contacts.count) * sizeof(*op->contacts.hiding));
	for (size_t at = 0; (contact = map_next(&user->contacts, &at)) != NULL;)
		if (contact->state == CONTACT_BLOCKED)
			op->contacts.hiding[op->contacts.hiding_count++] = contact->peer;
	for (size_t at = 0; (other = map_next(&user->hiding, &at)) != NULL;) {
		contact = map_get(&user->contacts, other->id);
		if (contact != NULL && contact->state == CONTACT_BLOCKED)
			continue; /* each blocks the other */
		if (op->contacts.hiding_count < LIMIT_CONTACTS)
			op->contacts.hiding[op->contacts.hiding_count++] = other->id;
	}
}

/* --- The end of an account --- */

/* Takes one row out of a map that is not walked meanwhile; 0: there is none left. */
static uint64_t
first_contact(const struct mem_user *user)
{
	size_t at = 0;
	const struct mem_contact *contact = map_next(&user->contacts, &at);

	return contact != NULL ? contact->peer : 0;
}

static void
contacts_end(struct memory *m, struct op *op, struct mem_user *user)
{
	const struct mem_user *other;
	uint64_t peer;
	size_t at;

	op->close.contacts = op_alloc(op, user->contacts.count * sizeof(*op->close.contacts));
	while ((peer = first_contact(user)) != 0) {
		enum contact_state theirs = mem_contact_state(m, peer, user->id);

		if (theirs != CONTACT_NONE && theirs != CONTACT_BLOCKED)
			op->close.contacts[op->close.contact_count++] = peer;
		mem_contact_set(m, peer, user->id, CONTACT_NONE, SLICE_NONE);
		mem_contact_set(m, user->id, peer, CONTACT_NONE, SLICE_NONE);
	}
	while (at = 0, (other = map_next(&user->hiding, &at)) != NULL)
		mem_contact_set(m, other->id, user->id, CONTACT_NONE, SLICE_NONE);
}

static void
bans_end(const struct mem_user *user)
{
	struct mem_member *member;

	for (size_t at = 0; (member = map_next(&user->members, &at)) != NULL;)
		member->row.banned = false;
}

static void
directs_end(struct memory *m, const struct mem_user *user)
{
	const struct mem_member *member;

	for (size_t at = 0; (member = map_next(&user->members, &at)) != NULL;) {
		struct mem_conv *conv = map_get(&m->convs, member->cid);

		if (conv->row.kind != CONV_DIRECT)
			continue;
		conv->row.acl_ver++;
		*(conv->row.lo == user->id ? &conv->row.lo_name : &conv->row.hi_name) =
		    short_name_of(S("deleted"));
	}
}

void
mem_close_account(struct memory *m, struct op *op, uint64_t now_ms)
{
	struct mem_user *user = mem_user_get(m, op->user);

	close_reset(op);
	if (user == NULL || user->account != ACCOUNT_ACTIVE ||
	    !slice_eq(user->password_hash, op->close.password_hash)) {
		op_fail(op, ERR_BAD_CREDENTIALS, NULL);
		return;
	}
	mem_groups_leave(m, op, op->close.name, now_ms);
	bans_end(user);
	contacts_end(m, op, user);
	mem_tokens_drop_but(m, user, 0);
	user->account = ACCOUNT_DELETED; /* its name stays taken */
	mem_own_set(&user->password_hash, S(""));
	mem_own_set(&user->display, S(""));
	mem_own_set(&user->folded, S(""));
	mem_own_set(&user->status, S(""));
	mem_own_set(&user->presence_text, SLICE_NONE);
	user->presence = PRESENCE_ONLINE;
	user->contacts_only = false;
	directs_end(m, user);
}
