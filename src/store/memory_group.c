/* SPDX-License-Identifier: MIT */
/* The tables of group_change.h in memory, and what is read of groups. */
#include "base/panic.h"
#include "store/fold.h"
#include "store/group_change.h"
#include "store/memory_db.h"

struct mem_work {
	struct group_work base;
	struct memory *m;
	struct mem_conv *conv; /* NULL before CREATE */
};

static struct mem_work *
work_of(struct group_work *w)
{
	return container_of(w, struct mem_work, base);
}

static struct mem_conv *
conv_of(struct group_work *w)
{
	return work_of(w)->conv;
}

/* --- Reading --- */

static int
table_person(struct group_work *w, slice name, struct group_person *ret)
{
	const struct mem_user *user = mem_user_named(work_of(w)->m, name);

	*ret = (struct group_person){0};
	if (user != NULL) {
		ret->uid = user->id;
		ret->active = user->account == ACCOUNT_ACTIVE;
	}
	return 0;
}

static int
table_peer(struct group_work *w, uint64_t uid, struct peer_row *ret)
{
	*ret = mem_peer_row(work_of(w)->m, w->op->user, uid);
	return 0;
}

static int
table_member(struct group_work *w, uint64_t uid, struct member_row *ret)
{
	*ret = mem_member_row(conv_of(w), uid);
	return 0;
}

static bool
is_in(const struct mem_conv *conv, const struct mem_member *member)
{
	struct member_row row = mem_member_now(conv, member);

	return member_standing(&row) == STANDING_MEMBER;
}

static int
table_owners(struct group_work *w, uint64_t *ret)
{
	const struct mem_member *member;

	*ret = 0;
	for (size_t at = 0; (member = map_next(&conv_of(w)->members, &at)) != NULL;)
		*ret += member->row.role == ROLE_OWNER && is_in(conv_of(w), member);
	return 0;
}

static int
table_memberships(struct group_work *w, uint64_t uid, uint64_t *ret)
{
	*ret = mem_memberships(work_of(w)->m, uid);
	return 0;
}

static int
table_owned(struct group_work *w, uint64_t uid, uint64_t *ret)
{
	struct memory *m = work_of(w)->m;
	const struct mem_member *member;

	*ret = 0;
	for (size_t at = 0; (member = map_next(&mem_user_get(m, uid)->members, &at)) != NULL;)
		*ret += member->row.role == ROLE_OWNER &&
			is_in(map_get(&m->convs, member->cid), member);
	return 0;
}

static int
table_by_handle(struct group_work *w, slice handle, uint64_t *ret_cid)
{
	const struct mem_conv *conv = smap_get(&work_of(w)->m->handles, handle);

	*ret_cid = conv != NULL ? conv->row.cid : 0;
	return 0;
}

static int
table_texts(struct group_work *w, slice *ret_title, slice *ret_topic)
{
	*ret_title = op_copy(w->op, conv_of(w)->title);
	*ret_topic = op_copy(w->op, conv_of(w)->topic);
	return 0;
}

static bool
comes_first(const struct mem_member *a, const struct mem_member *b)
{
	if (b == NULL || a->row.role != b->row.role)
		return b == NULL || a->row.role > b->row.role;
	if (a->row.join_seq != b->row.join_seq)
		return a->row.join_seq < b->row.join_seq;
	return a->user < b->user;
}

static int
table_heir(struct group_work *w, struct op_person *ret)
{
	const struct mem_member *member, *heir = NULL;

	for (size_t at = 0; (member = map_next(&conv_of(w)->members, &at)) != NULL;)
		if (member->user != w->op->user && is_in(conv_of(w), member) &&
		    comes_first(member, heir))
			heir = member;
	*ret = (struct op_person){0};
	if (heir != NULL)
		*ret = (struct op_person){.uid = heir->user,
		    .name = op_copy(w->op, mem_user_name(work_of(w)->m, heir->user))};
	return 0;
}

/* --- Writing --- */

static int
table_create(struct group_work *w, const struct conv_row *row, const struct group_settings *set)
{
	struct mem_work *work = work_of(w);

	work->conv = mem_conv_add(work->m, row, set->title);
	mem_own_set(&work->conv->topic, set->topic);
	work->conv->created = w->now_ms;
	w->conv = &work->conv->row;
	return 0;
}

static int
table_save(struct group_work *w, const struct conv_row *row, const struct group_settings *set)
{
	struct mem_conv *conv = conv_of(w);
	struct short_name handle = row->handle;

	if (!slice_eq(short_name_slice(&handle), short_name_slice(&conv->row.handle)))
		mem_handle_set(work_of(w)->m, conv, &handle);
	conv->row = *row;
	if (set != NULL && slice_given(set->title))
		mem_own_set(&conv->title, set->title);
	if (set != NULL && slice_given(set->topic))
		mem_own_set(&conv->topic, set->topic);
	return 0;
}

static int
table_join(struct group_work *w, const struct op_person *who, enum role role, uint64_t seq)
{
	struct member_row *row = &mem_member_put(work_of(w)->m, conv_of(w), who->uid)->row;

	row->role = role;
	row->join_seq = seq;
	row->left = false;
	row->leave_seq = 0;
	row->read = row->delivered = seq - 1;
	return 0;
}

static int
table_leave(struct group_work *w, uint64_t uid, uint64_t seq, bool banned)
{
	struct member_row *row = &mem_member_put(work_of(w)->m, conv_of(w), uid)->row;

	row->left = true;
	row->leave_seq = seq;
	row->banned = banned;
	return 0;
}

static int
table_ban(struct group_work *w, const struct op_person *who, bool banned)
{
	bool is_new = map_get(&conv_of(w)->members, who->uid) == NULL;
	struct member_row *row = &mem_member_put(work_of(w)->m, conv_of(w), who->uid)->row;

	row->left = row->left || is_new;
	row->banned = banned;
	return 0;
}

static int
table_set_role(struct group_work *w, uint64_t uid, enum role role)
{
	mem_member_put(work_of(w)->m, conv_of(w), uid)->row.role = role;
	return 0;
}

static int
table_set_muted(struct group_work *w, uint64_t uid, uint64_t until)
{
	mem_member_put(work_of(w)->m, conv_of(w), uid)->row.muted_until = until;
	return 0;
}

static int
table_push(struct group_work *w, struct entry *entry)
{
	mem_log_push(conv_of(w), entry);
	return 0;
}

static const struct group_tables tables = {
    .person = table_person,
    .peer = table_peer,
    .member = table_member,
    .owners = table_owners,
    .memberships = table_memberships,
    .owned = table_owned,
    .by_handle = table_by_handle,
    .texts = table_texts,
    .heir = table_heir,
    .create = table_create,
    .save = table_save,
    .join = table_join,
    .leave = table_leave,
    .ban = table_ban,
    .set_role = table_set_role,
    .set_muted = table_set_muted,
    .push = table_push,
};

/* --- The operations --- */

static struct mem_work
work_start(struct memory *m, struct op *op, slice from, uint64_t now_ms)
{
	return (struct mem_work){
	    .m = m, .base = {.tables = &tables, .op = op, .from = from, .now_ms = now_ms}};
}

static void
work_take(struct mem_work *work, struct mem_conv *conv)
{
	work->conv = conv;
	work->base.conv = &conv->row;
}

/* The group that the operation means; false: refused. */
static bool
find_group(struct memory *m, struct op *op, struct mem_conv **ret_conv)
{
	const char *param;
	enum err err = mem_resolve(m, op, &op->in.target, ret_conv, &param);

	if (*ret_conv == NULL || (*ret_conv)->row.kind != CONV_GROUP)
		err = ERR_NOT_FOUND;
	op_fail(op, err, NULL);
	return err == ERR_OK;
}

void
mem_group(struct memory *m, struct op *op, uint64_t now_ms)
{
	struct mem_work work = work_start(m, op, op->in.group.from, now_ms);
	struct mem_conv *conv;

	op->fault = (struct fault){0};
	group_outputs_reset(op);
	if (op->in.group.what != GROUP_CREATE) {
		if (!find_group(m, op, &conv))
			return;
		work_take(&work, conv);
	}
	(void)group_change(&work.base);
}

static int
by_cid(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void
mem_groups_leave(struct memory *m, struct op *op, slice from, uint64_t now_ms)
{
	struct mem_work work = work_start(m, op, from, now_ms);
	const struct map *members = &mem_user_get(m, op->user)->members;
	uint64_t *cids = op_alloc(op, (members->count + 1) * sizeof(*cids));
	const struct mem_member *member;
	size_t count = 0, capacity = 0;

	for (size_t at = 0; (member = map_next(members, &at)) != NULL;) {
		const struct mem_conv *conv = map_get(&m->convs, member->cid);

		if (conv->row.kind == CONV_GROUP)
			cids[count++] = member->cid;
	}
	qsort(cids, count, sizeof(*cids), by_cid);
	for (size_t i = 0; i < count; i++) {
		work_take(&work, map_get(&m->convs, cids[i]));
		(void)group_abandon(&work.base, &capacity);
	}
}

/* --- What is shown --- */

static bool
page_wants(const struct op_members *page, const struct mem_conv *conv,
    const struct mem_member *member, slice name)
{
	if (slice_given(page->after) && slice_cmp(name, page->after) <= 0)
		return false;
	if (page->banned)
		return member->row.banned;
	return is_in(conv, member) && (page->role == ROLE_NONE || member->row.role == page->role);
}

static int
by_name(const void *a, const void *b)
{
	const struct op_member *x = a, *y = b;

	return slice_cmp(x->name, y->name);
}

static void
members_fill(struct memory *m, struct op *op, const struct mem_conv *conv, struct op_members *page)
{
	size_t limit = page->limit < LIMIT_FOUND ? page->limit : LIMIT_FOUND;
	const struct mem_member *member;

	page->items = op_alloc(op, conv->members.count * sizeof(*page->items));
	for (size_t at = 0; (member = map_next(&conv->members, &at)) != NULL;) {
		const struct mem_user *user = mem_user_get(m, member->user);

		if (user->account == ACCOUNT_DELETED || !page_wants(page, conv, member, user->name))
			continue;
		page->items[page->count++] = (struct op_member){
		    .uid = user->id,
		    .name = op_copy(op, user->name),
		    .display = op_copy(op, user->display),
		    .role = page->banned ? ROLE_NONE : member->row.role,
		};
	}
	if (page->count > 0)
		qsort(page->items, page->count, sizeof(*page->items), by_name);
	page->more = page->count > limit;
	if (page->more)
		page->count = limit;
}

static void
info_read(struct memory *m, struct op *op, const struct mem_conv *conv, const struct member_row *me)
{
	struct op_group_info *info = &op->in.info;
	struct op_members page = {.role = ROLE_OWNER, .limit = LIMIT_OWNERS_SHOWN};

	info_fill(info, &conv->row, me);
	info->title = op_copy(op, conv->title);
	info->topic = op_copy(op, conv->topic);
	info->created = conv->created;
	members_fill(m, op, conv, &page);
	info->owners = op_alloc(op, page.count * sizeof(*info->owners));
	for (size_t i = 0; i < page.count; i++)
		info->owners[i] =
		    (struct op_person){.uid = page.items[i].uid, .name = page.items[i].name};
	info->owner_count = page.count;
}

static void
one_read(struct memory *m, struct op *op)
{
	struct mem_conv *conv;
	struct member_row me;
	bool info = op->kind == OP_GROUP_INFO;

	if (!find_group(m, op, &conv))
		return;
	me = mem_member_row(conv, op->user);
	op_fail(op,
	    info ? rights_info(&conv->row, &me)
		 : rights_members(&conv->row, &me, op->in.members.banned),
	    NULL);
	if (op->fault.err != ERR_OK)
		return;
	conv_facts_fill(op, &conv->row, &op->in.facts);
	if (info)
		info_read(m, op, conv, &me);
	else
		members_fill(m, op, conv, &op->in.members);
}

static bool
is_listed(const struct mem_conv *conv, uint64_t after, slice folded)
{
	slice title;
	bool found;

	if (!conv->row.open || conv->row.cid <= after)
		return false;
	text_fold(conv->title, &title);
	found = slice_starts(title, folded) ||
		slice_starts(short_name_slice(&conv->row.handle), folded);
	text_fold_free(&title);
	return found;
}

static int
listed_by_cid(const void *a, const void *b)
{
	const struct op_group_listed *x = a, *y = b;

	return x->cid < y->cid ? -1 : x->cid > y->cid;
}

static void
groups_read(struct memory *m, struct op *op)
{
	size_t limit = op->groups.limit < LIMIT_FOUND ? op->groups.limit : LIMIT_FOUND;
	const struct mem_conv *conv;
	slice folded = SLICE_NONE;

	if (op->groups.query.len > 0)
		text_fold(op->groups.query, &folded);
	op->groups.items = op_alloc(op, m->convs.count * sizeof(*op->groups.items));
	for (size_t at = 0; (conv = map_next(&m->convs, &at)) != NULL;)
		if (is_listed(conv, op->groups.after, folded))
			op->groups.items[op->groups.count++] = (struct op_group_listed){
			    .cid = conv->row.cid,
			    .members = conv->row.members,
			    .title = op_copy(op, conv->title),
			    .topic = op_copy(op, conv->topic),
			    .handle = op_copy(op, short_name_slice(&conv->row.handle)),
			};
	text_fold_free(&folded);
	if (op->groups.count > 0)
		qsort(op->groups.items, op->groups.count, sizeof(*op->groups.items), listed_by_cid);
	op->groups.more = op->groups.count > limit;
	if (op->groups.more)
		op->groups.count = limit;
}

void
mem_group_read(struct memory *m, struct op *op)
{
	if (op->kind == OP_GROUPS)
		groups_read(m, op);
	else
		one_read(m, op);
}
