/* SPDX-License-Identifier: MIT */
#include "store/group_change.h"

#include "base/panic.h"
#include "chat/names.h"
#include "store/change.h"

/* --- What all of them use --- */

uint64_t
group_next_seq(const struct group_work *w)
{
	return w->conv->head + 1;
}

int
group_log(struct group_work *w, enum group_change what, uint64_t ends, struct buf *data,
    struct entry **ret_entry)
{
	struct entry *entry = entry_create(&(struct entry_parts){
	    .sender = w->op->user,
	    .ends = ends,
	    .kind = change_kind(what),
	    .from = w->from,
	    .data = data != NULL ? buf_slice(data) : SLICE_NONE,
	});
	int rc;

	if (data != NULL)
		buf_fini(data);
	entry->cid = w->conv->cid;
	entry->seq = group_next_seq(w);
	entry->ts = w->now_ms > w->conv->ts ? w->now_ms : w->conv->ts;
	if ((rc = w->tables->push(w, entry)) != 0) {
		entry_unref(entry);
		return rc;
	}
	assert(w->conv->head == entry->seq);
	*ret_entry = entry;
	return 0;
}

int
group_refuse(struct group_work *w, enum err err, const char *param)
{
	op_fail(w->op, err, param);
	return 0;
}

int
group_refuse_limit(struct group_work *w, uint64_t max)
{
	w->op->fault = (struct fault){.err = ERR_LIMIT, .max = max};
	return 0;
}

int
group_subject(struct group_work *w, struct op_person *ret_who, struct member_row *ret_row)
{
	struct group_person person;
	int rc;

	assert(w->op->in.group.user_count == 1);
	*ret_who = w->op->in.group.users[0];
	if ((rc = w->tables->person(w, ret_who->name, &person)) != 0)
		return rc;
	if (person.uid == 0)
		return group_refuse(w, ERR_NOT_FOUND, "user");
	ret_who->uid = person.uid;
	return w->tables->member(w, person.uid, ret_row);
}

int
group_check_handle(struct group_work *w, slice handle)
{
	uint64_t cid = 0;
	int rc = 0;

	if (!name_reserved(handle))
		rc = w->tables->by_handle(w, handle, &cid);
	if (rc == 0 &&
	    (name_reserved(handle) || (cid != 0 && (w->conv == NULL || cid != w->conv->cid))))
		return group_refuse(w, ERR_NAME_TAKEN, "handle");
	return rc;
}

void
group_outputs_reset(struct op *op)
{
	struct op_group *g = &op->in.group;

	assert(op->kind == OP_GROUP);
	if (g->entry != NULL)
		entry_unref(g->entry);
	g->entry = NULL;
	g->added = g->failed = NULL;
	g->added_count = g->failed_count = 0;
	g->renamed = false;
	op->in.facts = (struct conv_facts){0};
}

/* --- Roles --- */

static bool
is_member(const struct member_row *row)
{
	return member_standing(row) == STANDING_MEMBER;
}

static int
role_store(struct group_work *w, const struct op_person *who, enum role old, enum role new,
    struct entry **ret_entry)
{
	struct conv_row next = *w->conv;
	struct buf data = {0};
	int rc = w->tables->set_role(w, who->uid, new);

	next.acl_ver++;
	if (rc == 0 && new < old)
		rc = w->tables->save(w, &next, NULL);
	if (rc != 0)
		return rc;
	change_put_role(&data, who->name, new);
	return group_log(w, GROUP_ROLE, 0, &data, ret_entry);
}

static int
group_role(struct group_work *w)
{
	struct op_group *g = &w->op->in.group;
	struct op_person who;
	struct member_row row;
	uint64_t owners = 0;
	int rc = group_subject(w, &who, &row);

	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	if (!is_member(&row))
		return group_refuse(w, ERR_NOT_FOUND, "user");
	if (row.role == g->role)
		return 0;
	if (row.role == ROLE_OWNER && (rc = w->tables->owners(w, &owners)) != 0)
		return rc;
	if (row.role == ROLE_OWNER && owners < 2)
		return group_refuse(w, ERR_FORBIDDEN, NULL);
	return role_store(w, &who, row.role, g->role, &g->entry);
}

static int
mute_store(struct group_work *w, const struct op_person *who, uint64_t until)
{
	struct conv_row next = *w->conv;
	struct buf data = {0};
	int rc = w->tables->set_muted(w, who->uid, until);

	next.acl_ver++;
	if (rc == 0 && until != 0)
		rc = w->tables->save(w, &next, NULL);
	if (rc != 0)
		return rc;
	change_put_mute(&data, who->name, until);
	return group_log(w, GROUP_MUTE, 0, &data, &w->op->in.group.entry);
}

static int
group_mute(struct group_work *w, const struct member_row *me)
{
	struct op_person who;
	struct member_row row;
	uint64_t until = w->op->in.group.until > w->now_ms ? w->op->in.group.until : 0;
	int rc = group_subject(w, &who, &row);

	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	if (!is_member(&row))
		return group_refuse(w, ERR_NOT_FOUND, "user");
	if (row.role >= me->role)
		return group_refuse(w, ERR_FORBIDDEN, NULL);
	if (until == (row.muted_until > w->now_ms ? row.muted_until : 0))
		return 0;
	return mute_store(w, &who, until);
}

/* --- Settings --- */

static void
drop_same(slice *wanted, slice now)
{
	if (slice_given(*wanted) && slice_eq(*wanted, now))
		*wanted = SLICE_NONE;
}

static void
drop_same_flag(int *wanted, bool now)
{
	if (*wanted >= 0 && (*wanted != 0) == now)
		*wanted = -1;
}

static bool
says_nothing(const struct group_settings *set)
{
	return !slice_given(set->title) && !slice_given(set->topic) && !slice_given(set->handle) &&
	       set->open < 0 && set->admins_post < 0 && set->admins_invite < 0;
}

static struct conv_row
row_with(const struct conv_row *row, const struct group_settings *set)
{
	struct conv_row next = *row;

	if (slice_given(set->handle))
		next.handle = short_name_of(set->handle);
	if (set->open >= 0)
		next.open = set->open != 0;
	if (set->admins_post >= 0)
		next.admins_post = set->admins_post != 0;
	if (set->admins_invite >= 0)
		next.admins_invite = set->admins_invite != 0;
	if (next.admins_post && !row->admins_post)
		next.acl_ver++;
	return next;
}

static int
settings_store(struct group_work *w, const struct group_settings *set)
{
	struct conv_row next = row_with(w->conv, set);
	struct buf data = {0};
	int rc = w->tables->save(w, &next, set);

	if (rc != 0)
		return rc;
	w->op->in.group.renamed = slice_given(set->handle);
	change_put_settings(&data, set);
	return group_log(w, GROUP_SET, 0, &data, &w->op->in.group.entry);
}

static int
group_set(struct group_work *w, const struct member_row *me)
{
	struct group_settings set = w->op->in.group.set;
	slice title, topic;
	int rc;

	if ((slice_given(set.handle) || set.open >= 0) && me->role < ROLE_OWNER)
		return group_refuse(w, ERR_FORBIDDEN, slice_given(set.handle) ? "handle" : "open");
	if ((rc = w->tables->texts(w, &title, &topic)) != 0)
		return rc;
	drop_same(&set.title, title);
	drop_same(&set.topic, topic);
	drop_same(&set.handle, short_name_slice(&w->conv->handle));
	drop_same_flag(&set.open, w->conv->open);
	drop_same_flag(&set.admins_post, w->conv->admins_post);
	drop_same_flag(&set.admins_invite, w->conv->admins_invite);
	if (says_nothing(&set))
		return 0;
	if (set.handle.len > 0)
		rc = group_check_handle(w, set.handle);
	if (rc != 0 || w->op->fault.err != ERR_OK)
		return rc;
	return settings_store(w, &set);
}

/* --- All of them --- */

static enum role
role_needed(enum group_change what, const struct conv_row *conv)
{
	switch (what) {
	case GROUP_INVITE:
		return conv->admins_invite ? ROLE_ADMIN : ROLE_MEMBER;
	case GROUP_REMOVE:
	case GROUP_UNBAN:
	case GROUP_MUTE:
	case GROUP_SET:
		return ROLE_ADMIN;
	case GROUP_ROLE:
	case GROUP_DISMISS:
		return ROLE_OWNER;
	default:
		return ROLE_MEMBER;
	}
}

/* By a member who has the role for it. */
static int
change_by(struct group_work *w, const struct member_row *me)
{
	switch (w->op->in.group.what) {
	case GROUP_INVITE:
		return group_invite(w);
	case GROUP_LEAVE:
		return group_leave(w, me);
	case GROUP_REMOVE:
		return group_remove(w, me);
	case GROUP_UNBAN:
		return group_unban(w);
	case GROUP_ROLE:
		return group_role(w);
	case GROUP_MUTE:
		return group_mute(w, me);
	case GROUP_SET:
		return group_set(w, me);
	case GROUP_DISMISS:
		return group_dismiss(w, &w->op->in.group.entry);
	default:
		panic("store: no such change of a group: %d", (int)w->op->in.group.what);
	}
}

static int
change_existing(struct group_work *w)
{
	enum group_change what = w->op->in.group.what;
	struct member_row me;
	enum err err;
	int rc;

	if (what == GROUP_JOIN)
		return group_join(w);
	if ((rc = w->tables->member(w, w->op->user, &me)) != 0)
		return rc;
	if ((err = rights_see(w->conv, w->op->user, &me, true)) != ERR_OK)
		return group_refuse(w, err, NULL);
	if (me.role < role_needed(what, w->conv))
		return group_refuse(w, ERR_FORBIDDEN, NULL);
	return change_by(w, &me);
}

int
group_change(struct group_work *w)
{
	int rc = w->op->in.group.what == GROUP_CREATE ? group_create(w) : change_existing(w);

	if (rc == 0 && w->op->fault.err == ERR_OK) {
		w->op->in.target.cid = w->conv->cid;
		conv_facts_fill(w->op, w->conv, &w->op->in.facts);
	}
	return rc;
}
