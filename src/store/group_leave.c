/* SPDX-License-Identifier: MIT */
#include "base/panic.h"
#include "store/change.h"
#include "store/group_change.h"

/* --- One goes --- */

/* A member's row ends with the next entry. */
static int
member_end(struct group_work *w, uint64_t uid, bool banned)
{
	struct conv_row next = *w->conv;
	int rc = w->tables->leave(w, uid, group_next_seq(w), banned);

	assert(next.members > 0);
	next.members--;
	next.acl_ver++;
	return rc == 0 ? w->tables->save(w, &next, NULL) : rc;
}

static int
leave_store(struct group_work *w, struct entry **ret_entry)
{
	int rc = member_end(w, w->op->user, false);

	return rc == 0 ? group_log(w, GROUP_LEAVE, w->op->user, NULL, ret_entry) : rc;
}

static int
is_last_owner(struct group_work *w, const struct member_row *me, bool *ret_is)
{
	uint64_t owners = 0;
	int rc = me->role == ROLE_OWNER ? w->tables->owners(w, &owners) : 0;

	*ret_is = me->role == ROLE_OWNER && owners < 2;
	return rc;
}

int
group_leave(struct group_work *w, const struct member_row *me)
{
	struct op_group *g = &w->op->in.group;
	bool last_owner;
	int rc;

	if (w->conv->members <= 1)
		return group_dismiss(w, &g->entry);
	if ((rc = is_last_owner(w, me, &last_owner)) != 0)
		return rc;
	if (last_owner)
		return group_refuse(w, ERR_FORBIDDEN, NULL);
	return leave_store(w, &g->entry);
}

int
group_dismiss(struct group_work *w, struct entry **ret_entry)
{
	struct conv_row next = *w->conv;
	bool had_handle = next.handle.len > 0;
	int rc;

	next.ended = group_next_seq(w);
	next.handle = (struct short_name){0};
	next.open = false;
	next.members = 0;
	next.acl_ver++;
	if ((rc = w->tables->save(w, &next, NULL)) != 0)
		return rc;
	if (w->op->kind == OP_GROUP)
		w->op->in.group.renamed = had_handle;
	return group_log(w, GROUP_DISMISS, ENTRY_ENDS_ALL, NULL, ret_entry);
}

/* --- One is made to go --- */

static int
remove_store(struct group_work *w, const struct op_person *who, bool was_member)
{
	struct op_group *g = &w->op->in.group;
	struct buf data = {0};
	int rc = was_member ? member_end(w, who->uid, g->ban) : w->tables->ban(w, who, true);

	if (rc != 0)
		return rc;
	change_put_remove(&data, who->name, g->ban);
	return group_log(w, GROUP_REMOVE, was_member ? who->uid : 0, &data, &g->entry);
}

int
group_remove(struct group_work *w, const struct member_row *me)
{
	const struct op_group *g = &w->op->in.group;
	struct op_person who;
	struct member_row row;
	bool is_member;
	int rc = group_subject(w, &who, &row);

	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	if (who.uid == w->op->user)
		return group_refuse(w, ERR_INVALID_PARAMS, "user");
	is_member = member_standing(&row) == STANDING_MEMBER;
	if (!is_member && !g->ban)
		return group_refuse(w, ERR_NOT_FOUND, "user");
	if (!is_member && row.banned)
		return group_refuse(w, ERR_ALREADY, NULL);
	if (is_member && row.role >= me->role)
		return group_refuse(w, ERR_FORBIDDEN, NULL);
	return remove_store(w, &who, is_member);
}

int
group_unban(struct group_work *w)
{
	struct op_person who;
	struct member_row row;
	int rc = group_subject(w, &who, &row);

	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	if (!row.banned)
		return group_refuse(w, ERR_NOT_FOUND, "user");
	return w->tables->ban(w, &who, false);
}

/* --- The end of an account --- */

static void
entries_push(struct op *op, struct entry *entry, size_t *capacity)
{
	struct entry **larger;

	if (op->close.count == *capacity) {
		*capacity = *capacity > 0 ? *capacity * 2 : 8;
		larger = op_alloc(op, *capacity * sizeof(struct entry *));
		if (op->close.count > 0)
			memcpy(larger, op->close.entries, op->close.count * sizeof(struct entry *));
		op->close.entries = larger;
	}
	op->close.entries[op->close.count++] = entry;
}

static int
hand_over(struct group_work *w, size_t *capacity)
{
	struct op_person heir = {0};
	struct buf data = {0};
	struct entry *entry;
	int rc = w->tables->heir(w, &heir);

	if (rc != 0)
		return rc;
	assert(heir.uid != 0);
	if ((rc = w->tables->set_role(w, heir.uid, ROLE_OWNER)) != 0)
		return rc;
	change_put_role(&data, heir.name, ROLE_OWNER);
	if ((rc = group_log(w, GROUP_ROLE, 0, &data, &entry)) == 0)
		entries_push(w->op, entry, capacity);
	return rc;
}

int
group_abandon(struct group_work *w, size_t *capacity)
{
	struct member_row me;
	struct entry *entry;
	bool last_owner;
	int rc = w->tables->member(w, w->op->user, &me);

	assert(w->op->kind == OP_CLOSE);
	if (rc != 0 || member_standing(&me) != STANDING_MEMBER)
		return rc;
	if ((rc = is_last_owner(w, &me, &last_owner)) != 0)
		return rc;
	if (last_owner && w->conv->members > 1 && (rc = hand_over(w, capacity)) != 0)
		return rc;
	rc = w->conv->members <= 1 ? group_dismiss(w, &entry) : leave_store(w, &entry);
	if (rc == 0)
		entries_push(w->op, entry, capacity);
	return rc;
}
