/* SPDX-License-Identifier: MIT */
#include "base/panic.h"
#include "store/change.h"
#include "store/group_change.h"

/* --- Who may be added --- */

static uint64_t
members_now(const struct group_work *w)
{
	return (w->conv != NULL ? w->conv->members : 0) + w->op->in.group.added_count;
}

static bool
is_added(const struct op_group *g, uint64_t uid)
{
	for (size_t i = 0; i < g->added_count; i++)
		if (g->added[i].uid == uid)
			return true;
	return false;
}

/* May op->user bring in this person?  ERR_OK, or what the list of failures says. */
static int
may_add(struct group_work *w, const struct group_person *person, enum err *ret_err)
{
	const struct op_group *g = &w->op->in.group;
	struct member_row row = {0};
	struct peer_row peer;
	uint64_t count;
	int rc;

	*ret_err = ERR_NOT_FOUND;
	if (!person->active)
		return 0;
	*ret_err = ERR_ALREADY;
	if (person->uid == w->op->user)
		return 0;
	if (w->conv != NULL && (rc = w->tables->member(w, person->uid, &row)) != 0)
		return rc;
	if (member_standing(&row) == STANDING_MEMBER)
		return 0;
	if ((rc = w->tables->peer(w, person->uid, &peer)) != 0)
		return rc;
	*ret_err = rights_direct(&peer, true);
	if (*ret_err == ERR_OK && row.banned)
		*ret_err = ERR_FORBIDDEN;
	if (*ret_err != ERR_OK)
		return 0;
	if ((rc = w->tables->memberships(w, person->uid, &count)) != 0)
		return rc;
	if (count >= g->conversations_max || members_now(w) >= g->members_max)
		*ret_err = ERR_LIMIT;
	return 0;
}

/* Deals the named users to added and failed; one who is named twice counts once. */
static int
people_sort(struct group_work *w)
{
	struct op_group *g = &w->op->in.group;
	int rc = 0;

	g->failed = op_alloc(w->op, g->user_count * sizeof(*g->failed));
	for (size_t i = 0; rc == 0 && i < g->user_count; i++) {
		struct op_person who = {.name = g->users[i].name};
		struct group_person person;

		if ((rc = w->tables->person(w, who.name, &person)) != 0)
			break;
		who.uid = person.uid;
		if (person.uid != 0 && person.uid != w->op->user && is_added(g, person.uid))
			continue;
		rc = may_add(w, &person, &who.err);
		if (rc == 0 && who.err == ERR_OK)
			g->added[g->added_count++] = who;
		else if (rc == 0)
			g->failed[g->failed_count++] = who;
	}
	return rc;
}

/* Is the account that asks still one?  Its end may stand right before in the same transaction. */
static int
check_asker(struct group_work *w)
{
	struct group_person me;
	int rc = w->tables->person(w, w->from, &me);

	if (rc == 0 && me.uid != w->op->user)
		return group_refuse(w, ERR_SESSION_REVOKED, NULL);
	return rc;
}

static int
check_conversations(struct group_work *w)
{
	uint64_t count, max = w->op->in.group.conversations_max;
	int rc = w->tables->memberships(w, w->op->user, &count);

	return rc == 0 && count >= max ? group_refuse_limit(w, max) : rc;
}

static int
members_store(struct group_work *w)
{
	struct op_group *g = &w->op->in.group;
	uint64_t seq = group_next_seq(w);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < g->added_count; i++)
		rc = w->tables->join(w, &g->added[i],
		    g->what == GROUP_CREATE && i == 0 ? ROLE_OWNER : ROLE_MEMBER, seq);
	return rc;
}

/* --- The three ways --- */

static int
check_create(struct group_work *w)
{
	const struct op_group *g = &w->op->in.group;
	uint64_t owned;
	int rc = check_asker(w);

	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	if ((rc = w->tables->owned(w, w->op->user, &owned)) != 0)
		return rc;
	if (owned >= g->groups_max)
		return group_refuse_limit(w, g->groups_max);
	rc = check_conversations(w);
	if (rc == 0 && w->op->fault.err == ERR_OK && g->set.handle.len > 0)
		rc = group_check_handle(w, g->set.handle);
	return rc;
}

int
group_create(struct group_work *w)
{
	struct op_group *g = &w->op->in.group;
	struct buf data = {0};
	struct conv_row row = {
	    .kind = CONV_GROUP,
	    .acl_ver = 1,
	    .min_seq = 1,
	    .open = g->set.open > 0,
	    .history = g->set.history,
	    .admins_post = g->set.admins_post > 0,
	    .admins_invite = g->set.admins_invite != 0,
	    .handle = short_name_of(g->set.handle),
	};
	int rc = check_create(w);

	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	g->added = op_alloc(w->op, (g->user_count + 1) * sizeof(*g->added));
	g->added[g->added_count++] =
	    (struct op_person){.uid = w->op->user, .name = op_copy(w->op, w->from)};
	if ((rc = people_sort(w)) != 0)
		return rc;
	row.members = g->added_count;
	if ((rc = w->tables->create(w, &row, &g->set)) != 0 || (rc = members_store(w)) != 0)
		return rc;
	change_put_people(&data, g->added, g->added_count, g->set.title);
	return group_log(w, GROUP_CREATE, 0, &data, &g->entry);
}

/* Adds those who stand in added already. */
static int
add_all(struct group_work *w)
{
	struct op_group *g = &w->op->in.group;
	struct conv_row next = *w->conv;
	struct buf data = {0};
	int rc = members_store(w);

	next.members += g->added_count;
	if (rc == 0)
		rc = w->tables->save(w, &next, NULL);
	if (rc != 0)
		return rc;
	change_put_people(&data, g->added, g->added_count, SLICE_NONE);
	return group_log(w, g->what, 0, &data, &g->entry);
}

static enum err
may_join(const struct conv_row *conv, const struct member_row *me)
{
	enum standing standing = member_standing(me);

	if (standing == STANDING_MEMBER)
		return ERR_ALREADY;
	if (conv->ended != 0 || (!conv->open && standing == STANDING_NONE))
		return ERR_NOT_FOUND;
	return conv->open && !me->banned ? ERR_OK : ERR_FORBIDDEN;
}

int
group_join(struct group_work *w)
{
	struct op_group *g = &w->op->in.group;
	struct member_row me;
	enum err err;
	int rc = w->tables->member(w, w->op->user, &me);

	if (rc != 0)
		return rc;
	if ((err = may_join(w->conv, &me)) != ERR_OK)
		return group_refuse(w, err, NULL);
	if ((rc = check_asker(w)) == 0 && w->op->fault.err == ERR_OK)
		rc = check_conversations(w);
	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	if (members_now(w) >= g->members_max)
		return group_refuse_limit(w, g->members_max);
	g->added = op_alloc(w->op, sizeof(*g->added));
	g->added[g->added_count++] =
	    (struct op_person){.uid = w->op->user, .name = op_copy(w->op, w->from)};
	return add_all(w);
}

int
group_invite(struct group_work *w)
{
	struct op_group *g = &w->op->in.group;
	int rc;

	g->added = op_alloc(w->op, g->user_count * sizeof(*g->added));
	rc = people_sort(w);
	return rc == 0 && g->added_count > 0 ? add_all(w) : rc;
}
