/* SPDX-License-Identifier: MIT */
/* The tables of group_change.h in SQL, inside the writer's transaction. */
#include "base/panic.h"
#include "store/fold.h"
#include "store/group_change.h"
#include "store/sql_db.h"

struct sql_work {
	struct group_work base;
	struct sql_store *s;
	struct cached_conv *conv; /* NULL before CREATE */
};

static struct sql_work *
work_of(struct group_work *w)
{
	return container_of(w, struct sql_work, base);
}

static struct sql_conn *
conn_of(struct group_work *w)
{
	return &work_of(w)->s->writer;
}

/* What a statement that may find a row came to. */
static int
row_or_none(int rc)
{
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

/* --- Reading --- */

static int
table_person(struct group_work *w, slice name, struct group_person *ret)
{
	struct sql_conn *c = conn_of(w);
	int rc = stmt_start(c, STMT_GROUP_PERSON, "s", name);

	*ret = (struct group_person){0};
	if (rc == SQL_ROW) {
		ret->uid = column_u64(c, STMT_GROUP_PERSON, 0);
		ret->active = column_u64(c, STMT_GROUP_PERSON, 1) == ACCOUNT_ACTIVE;
	}
	stmt_end(c, STMT_GROUP_PERSON);
	return row_or_none(rc);
}

static int
table_peer(struct group_work *w, uint64_t uid, struct peer_row *ret)
{
	return peer_load(conn_of(w), w->op->user, uid, ret);
}

static int
table_member(struct group_work *w, uint64_t uid, struct member_row *ret)
{
	return member_load(conn_of(w), uid, w->conv->cid, ret);
}

static int
table_owners(struct group_work *w, uint64_t *ret)
{
	return stmt_number(conn_of(w), ret, STMT_GROUP_OWNERS, "i", w->conv->cid);
}

static int
table_memberships(struct group_work *w, uint64_t uid, uint64_t *ret)
{
	return stmt_number(conn_of(w), ret, STMT_MEMBER_COUNT, "i", uid);
}

static int
table_owned(struct group_work *w, uint64_t uid, uint64_t *ret)
{
	return stmt_number(conn_of(w), ret, STMT_GROUPS_OWNED, "i", uid);
}

static int
table_by_handle(struct group_work *w, slice handle, uint64_t *ret_cid)
{
	return stmt_number(conn_of(w), ret_cid, STMT_CONV_BY_HANDLE, "s", handle);
}

static int
table_texts(struct group_work *w, slice *ret_title, slice *ret_topic)
{
	struct sql_conn *c = conn_of(w);
	int rc = stmt_start(c, STMT_GROUP_TEXTS, "i", w->conv->cid);

	*ret_title = *ret_topic = SLICE_NONE;
	if (rc == SQL_ROW) {
		*ret_title = op_copy(w->op, column_slice(c, STMT_GROUP_TEXTS, 0));
		*ret_topic = op_copy(w->op, column_slice(c, STMT_GROUP_TEXTS, 1));
	}
	stmt_end(c, STMT_GROUP_TEXTS);
	return row_or_none(rc);
}

static int
heir_by(struct group_work *w, enum stmt stmt, struct op_person *ret)
{
	struct sql_conn *c = conn_of(w);
	int rc = stmt_start(c, stmt, "ii", w->conv->cid, w->op->user);

	*ret = (struct op_person){0};
	if (rc == SQL_ROW)
		*ret = (struct op_person){
		    .uid = column_u64(c, stmt, 0),
		    .name = op_copy(w->op, column_slice(c, stmt, 1)),
		};
	stmt_end(c, stmt);
	return row_or_none(rc);
}

static int
table_heir(struct group_work *w, struct op_person *ret)
{
	int rc = heir_by(w, STMT_GROUP_HEIR_ADMIN, ret);

	return rc == SQL_OK && ret->uid == 0 ? heir_by(w, STMT_GROUP_HEIR, ret) : rc;
}

/* --- Writing --- */

static int
table_create(struct group_work *w, const struct conv_row *row, const struct group_settings *set)
{
	struct sql_work *work = work_of(w);
	slice folded;
	int rc;

	text_fold(set->title, &folded);
	rc = stmt_run(conn_of(w), STMT_GROUP_ADD, "ssssiiiiii", set->title, folded, set->topic,
	    short_name_slice(&row->handle), (uint64_t)row->open, (uint64_t)row->history,
	    (uint64_t)row->admins_post, (uint64_t)row->admins_invite, row->members, w->now_ms);
	text_fold_free(&folded);
	if (rc == SQL_OK)
		rc = convs_get(work->s, sql_last_id(&work->s->writer), &work->conv);
	if (rc == SQL_OK)
		w->conv = &work->conv->row;
	return rc;
}

static int
settings_save(struct group_work *w, const struct conv_row *row, const struct group_settings *set)
{
	slice title = set != NULL ? set->title : SLICE_NONE;
	slice topic = set != NULL ? set->topic : SLICE_NONE;
	slice folded = SLICE_NONE;
	int rc;

	if (slice_given(title))
		text_fold(title, &folded);
	rc = stmt_run(conn_of(w), STMT_GROUP_SET, "issssiii", row->cid, title, folded, topic,
	    short_name_slice(&row->handle), (uint64_t)row->open, (uint64_t)row->admins_post,
	    (uint64_t)row->admins_invite);
	text_fold_free(&folded);
	return rc;
}

/* The row's columns with indexes are written only where they may have changed. */
static int
table_save(struct group_work *w, const struct conv_row *row, const struct group_settings *set)
{
	int rc = stmt_run(
	    conn_of(w), STMT_GROUP_SAVE, "iiii", row->cid, row->acl_ver, row->members, row->ended);

	if (rc == SQL_OK && (set != NULL || row->ended != 0))
		rc = settings_save(w, row, set);
	if (rc == SQL_OK)
		*w->conv = *row;
	return rc;
}

static int
table_join(struct group_work *w, const struct op_person *who, enum role role, uint64_t seq)
{
	struct member_row old;
	int rc = member_lock(work_of(w)->s, who->uid, w->conv->cid);

	if (rc == SQL_OK)
		rc = member_load(conn_of(w), who->uid, w->conv->cid, &old);
	if (rc != SQL_OK)
		return rc;
	tally_join(work_of(w)->s, w->conv->cid, old.read > seq - 1 ? old.read : seq - 1,
	    old.delivered > seq - 1 ? old.delivered : seq - 1);
	return stmt_run(conn_of(w), STMT_GROUP_JOIN, "iiiis", who->uid, w->conv->cid,
	    (uint64_t)role, seq, who->name);
}

static int
table_leave(struct group_work *w, uint64_t uid, uint64_t seq, bool banned)
{
	struct member_row old;
	int rc = member_lock(work_of(w)->s, uid, w->conv->cid);

	if (rc == SQL_OK)
		rc = member_load(conn_of(w), uid, w->conv->cid, &old);
	if (rc != SQL_OK)
		return rc;
	tally_leave(work_of(w)->s, w->conv->cid, old.read, old.delivered);
	return stmt_run(
	    conn_of(w), STMT_GROUP_LEAVE, "iiii", uid, w->conv->cid, seq, (uint64_t)banned);
}

static int
table_ban(struct group_work *w, const struct op_person *who, bool banned)
{
	if (!banned)
		return stmt_run(conn_of(w), STMT_GROUP_UNBAN, "ii", who->uid, w->conv->cid);
	return stmt_run(conn_of(w), STMT_GROUP_BAN, "iis", who->uid, w->conv->cid, who->name);
}

static int
table_set_role(struct group_work *w, uint64_t uid, enum role role)
{
	return stmt_run(conn_of(w), STMT_GROUP_ROLE, "iii", uid, w->conv->cid, (uint64_t)role);
}

static int
table_set_muted(struct group_work *w, uint64_t uid, uint64_t until)
{
	return stmt_run(conn_of(w), STMT_GROUP_MUTE, "iii", uid, w->conv->cid, until);
}

static int
table_push(struct group_work *w, struct entry *entry)
{
	int rc = stmt_run(conn_of(w), STMT_CHANGE_ADD, "iiiissi", entry->cid, entry->seq,
	    entry->sender, entry->ts, entry->kind, entry->data, entry->ends);

	if (rc == SQL_OK)
		rc = sql_entry_added(work_of(w)->s, entry->cid, entry->seq);
	if (rc != SQL_OK)
		return rc;
	convs_advance(work_of(w)->conv, entry->seq, entry->ts);
	return SQL_OK;
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

static struct sql_work
work_start(struct sql_store *s, struct op *op, slice from)
{
	return (struct sql_work){
	    .s = s, .base = {.tables = &tables, .op = op, .from = from, .now_ms = s->now_ms}};
}

/* Read anew: what its rows say must go together with its head. */
static int
work_take(struct sql_work *work, struct cached_conv *conv)
{
	work->conv = conv;
	work->base.conv = &conv->row;
	return convs_reload(work->s, conv);
}

int
sql_group(struct sql_store *s, struct op *op)
{
	struct sql_work work = work_start(s, op, op->in.group.from);
	struct cached_conv *conv;
	int rc;

	op->fault = (struct fault){0};
	group_outputs_reset(op);
	if (op->in.group.what == GROUP_CREATE)
		return group_change(&work.base);
	rc = sql_resolve(s, op, &op->in.target, &conv, &op->fault);
	if (rc != SQL_OK)
		return rc;
	if (conv == NULL || conv->row.kind != CONV_GROUP)
		op_fail(op, ERR_NOT_FOUND, NULL);
	if (op->fault.err != ERR_OK)
		return SQL_OK;
	if ((rc = work_take(&work, conv)) != SQL_OK)
		return rc;
	return group_change(&work.base);
}

/* The cids are read before anything changes. */
static int
groups_of(struct sql_store *s, struct op *op, uint64_t **ret_cids, size_t *ret_count)
{
	struct sql_conn *c = &s->writer;
	uint64_t total = 0;
	int rc = stmt_number(c, &total, STMT_MEMBER_COUNT, "i", op->user);

	*ret_cids = op_alloc(op, (size_t)total * sizeof(**ret_cids));
	*ret_count = 0;
	if (rc != SQL_OK)
		return rc;
	rc = stmt_start(c, STMT_GROUPS_OF, "i", op->user);
	for (; rc == SQL_ROW && *ret_count < total; rc = stmt_next(c, STMT_GROUPS_OF))
		(*ret_cids)[(*ret_count)++] = column_u64(c, STMT_GROUPS_OF, 0);
	stmt_end(c, STMT_GROUPS_OF);
	return row_or_none(rc);
}

int
sql_groups_leave(struct sql_store *s, struct op *op, slice from)
{
	struct sql_work work = work_start(s, op, from);
	uint64_t *cids;
	size_t count, capacity = 0;
	int rc = groups_of(s, op, &cids, &count);

	for (size_t i = 0; rc == SQL_OK && i < count; i++) {
		struct cached_conv *conv;

		rc = convs_get(s, cids[i], &conv);
		if (rc == SQL_OK)
			rc = work_take(&work, conv);
		if (rc == SQL_OK)
			rc = group_abandon(&work.base, &capacity);
	}
	return rc;
}

/* --- Is the effect there? --- */

static int
ban_gone(struct sql_store *s, const struct op *op, bool *ret_there)
{
	struct member_row row;
	uint64_t uid = 0;
	int rc = stmt_number(&s->writer, &uid, STMT_USER_ID, "s", op->in.group.users[0].name);

	if (rc == SQL_OK)
		rc = member_load(&s->writer, uid, op->in.target.cid, &row);
	*ret_there = rc == SQL_OK && !row.banned;
	return rc;
}

int
sql_group_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	const struct entry *e = op->in.group.entry;
	uint64_t found = 0;
	int rc;

	if (op->in.group.what == GROUP_UNBAN)
		return ban_gone(s, op, ret_there);
	*ret_there = true;
	if (e == NULL)
		return SQL_OK; /* nothing was to be changed */
	rc = stmt_number(&s->writer, &found, STMT_CHANGE_THERE, "iiiiss", e->cid, e->seq, e->sender,
	    e->ts, e->kind, e->data);
	*ret_there = found != 0;
	return rc;
}
