/* SPDX-License-Identifier: MIT */
/* What readers tell of groups; whatever the size of a group, a page costs what the page is. */
#include "base/panic.h"
#include "store/fold.h"
#include "store/group_change.h"
#include "store/sql_db.h"

static slice
keep(struct op *op, struct sql_conn *conn, enum stmt stmt, int column)
{
	return op_copy(op, column_slice(conn, stmt, column));
}

/* --- Members --- */

static enum stmt
members_stmt(const struct op_members *page)
{
	if (page->banned)
		return STMT_GROUP_MEMBERS_BANNED;
	return page->role > ROLE_MEMBER ? STMT_GROUP_MEMBERS_ROLE : STMT_GROUP_MEMBERS;
}

/* Fills items with at most limit rows; one more than that is there says more. */
static int
members_rows(struct sql_conn *conn, struct op *op, uint64_t cid, struct op_members *page)
{
	enum stmt stmt = members_stmt(page);
	uint64_t limit = page->limit < LIMIT_FOUND ? page->limit : LIMIT_FOUND;
	slice after = slice_given(page->after) ? page->after : S("");
	int rc = page->banned
		     ? stmt_start(conn, stmt, "isi", cid, after, limit + 1)
		     : stmt_start(conn, stmt, "isii", cid, after, limit + 1, (uint64_t)page->role);

	page->items = op_alloc(op, limit * sizeof(*page->items));
	for (; rc == SQL_ROW && page->count < limit; rc = stmt_next(conn, stmt))
		page->items[page->count++] = (struct op_member){
		    .uid = column_u64(conn, stmt, 0),
		    .name = keep(op, conn, stmt, 1),
		    .display = keep(op, conn, stmt, 2),
		    .role = page->banned ? ROLE_NONE : (enum role)column_u64(conn, stmt, 3),
		};
	page->more = rc == SQL_ROW;
	stmt_end(conn, stmt);
	return rc;
}

static int
read_members(
    struct sql_conn *conn, struct op *op, const struct conv_row *row, const struct member_row *me)
{
	op_fail(op, rights_members(row, me, op->in.members.banned), NULL);
	if (op->fault.err != ERR_OK)
		return SQL_OK;
	return members_rows(conn, op, row->cid, &op->in.members);
}

/* --- Info --- */

static int
info_texts(struct sql_conn *conn, struct op *op, uint64_t cid)
{
	struct op_group_info *info = &op->in.info;
	int rc = stmt_start(conn, STMT_GROUP_TEXTS, "i", cid);

	if (rc == SQL_ROW) {
		info->title = keep(op, conn, STMT_GROUP_TEXTS, 0);
		info->topic = keep(op, conn, STMT_GROUP_TEXTS, 1);
		info->created = column_u64(conn, STMT_GROUP_TEXTS, 2);
	}
	stmt_end(conn, STMT_GROUP_TEXTS);
	return rc;
}

static int
info_owners(struct sql_conn *conn, struct op *op, uint64_t cid)
{
	struct op_members page = {.role = ROLE_OWNER, .limit = LIMIT_OWNERS_SHOWN};
	int rc = members_rows(conn, op, cid, &page);

	op->in.info.owners = op_alloc(op, page.count * sizeof(*op->in.info.owners));
	for (size_t i = 0; i < page.count; i++)
		op->in.info.owners[i] =
		    (struct op_person){.uid = page.items[i].uid, .name = page.items[i].name};
	op->in.info.owner_count = page.count;
	return rc;
}

static int
read_info(
    struct sql_conn *conn, struct op *op, const struct conv_row *row, const struct member_row *me)
{
	int rc;

	op_fail(op, rights_info(row, me), NULL);
	if (op->fault.err != ERR_OK)
		return SQL_OK;
	info_fill(&op->in.info, row, me);
	rc = info_texts(conn, op, row->cid);
	return rc == SQL_ROW ? info_owners(conn, op, row->cid) : rc;
}

/* --- Of one group --- */

static int
read_one(struct sql_conn *conn, struct op *op)
{
	struct conv_row row;
	struct member_row me;
	int rc = sql_read_target(conn, op, &op->in.target, &row);

	if (rc == SQL_OK && row.kind != CONV_GROUP)
		op_fail(op, ERR_NOT_FOUND, NULL);
	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	if ((rc = member_load(conn, op->user, row.cid, &me)) != SQL_OK)
		return rc;
	conv_facts_fill(op, &row, &op->in.facts);
	return op->kind == OP_MEMBERS ? read_members(conn, op, &row, &me)
				      : read_info(conn, op, &row, &me);
}

/* --- Open groups --- */

static void
listed_row(struct sql_conn *conn, struct op *op, enum stmt stmt)
{
	op->groups.items[op->groups.count++] = (struct op_group_listed){
	    .cid = column_u64(conn, stmt, 0),
	    .members = column_u64(conn, stmt, 1),
	    .title = keep(op, conn, stmt, 2),
	    .topic = keep(op, conn, stmt, 3),
	    .handle = keep(op, conn, stmt, 4),
	};
}

static int
read_groups(struct sql_conn *conn, struct op *op)
{
	enum stmt stmt = op->groups.query.len > 0 ? STMT_GROUPS_FIND : STMT_GROUPS_ALL;
	uint64_t limit = op->groups.limit < LIMIT_FOUND ? op->groups.limit : LIMIT_FOUND;
	slice folded = SLICE_NONE;
	int rc;

	if (op->groups.query.len > 0)
		text_fold(op->groups.query, &folded);
	if (folded.len == 0)
		stmt = STMT_GROUPS_ALL;
	op->groups.items = op_alloc(op, limit * sizeof(*op->groups.items));
	rc = stmt == STMT_GROUPS_ALL ? stmt_start(conn, stmt, "ii", op->groups.after, limit + 1)
				     : stmt_start(conn, stmt, "iiss", op->groups.after, limit + 1,
					   folded, prefix_end(op, folded));
	for (; rc == SQL_ROW && op->groups.count < limit; rc = stmt_next(conn, stmt))
		listed_row(conn, op, stmt);
	op->groups.more = rc == SQL_ROW;
	stmt_end(conn, stmt);
	text_fold_free(&folded);
	return rc;
}

int
sql_group_read(struct sql_conn *conn, struct op *op)
{
	return op->kind == OP_GROUPS ? read_groups(conn, op) : read_one(conn, op);
}
