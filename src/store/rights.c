/* SPDX-License-Identifier: MIT */
#include "store/sql_db.h"

static void
member_columns(struct sql_conn *conn, struct member_row *ret)
{
	*ret = (struct member_row){
	    .exists = true,
	    .role = (enum role)column_u64(conn, STMT_MEMBER, 0),
	    .join_seq = column_u64(conn, STMT_MEMBER, 1),
	    .left = !column_null(conn, STMT_MEMBER, 2),
	    .leave_seq = column_u64(conn, STMT_MEMBER, 2),
	    .read = column_u64(conn, STMT_MEMBER, 3),
	    .delivered = column_u64(conn, STMT_MEMBER, 4),
	    .muted_until = column_u64(conn, STMT_MEMBER, 5),
	    .banned = column_u64(conn, STMT_MEMBER, 6) != 0,
	};
}

int
member_load(struct sql_conn *conn, uint64_t user, uint64_t cid, struct member_row *ret)
{
	int rc = stmt_start(conn, STMT_MEMBER, "ii", user, cid);

	if (rc == SQL_ROW)
		member_columns(conn, ret);
	else
		*ret = (struct member_row){0};
	stmt_end(conn, STMT_MEMBER);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

int
member_lock(struct sql_store *s, uint64_t user, uint64_t cid)
{
	uint64_t found;

	if (!s->engine->shared)
		return SQL_OK;
	return stmt_number(&s->writer, &found, STMT_LOCK_MEMBER, "ii", user, cid);
}

int
peer_load(struct sql_conn *conn, uint64_t user, uint64_t peer, struct peer_row *ret)
{
	int rc = stmt_start(conn, STMT_PEER, "ii", user, peer);

	*ret = (struct peer_row){0};
	if (rc == SQL_ROW)
		*ret = (struct peer_row){
		    .exists = true,
		    .contacts_only = column_u64(conn, STMT_PEER, 0) != 0,
		    .blocked = column_u64(conn, STMT_PEER, 1) != 0,
		    .is_contact = column_u64(conn, STMT_PEER, 2) != 0,
		    .asker_gone = column_u64(conn, STMT_PEER, 3) == 0,
		};
	stmt_end(conn, STMT_PEER);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

int
rights_load(struct sql_conn *conn, uint64_t user, uint64_t peer, const struct conv_row *conv,
    uint64_t now_ms, struct member_row *ret_member, enum err *ret_err)
{
	struct peer_row row;
	int rc;

	*ret_member = (struct member_row){0};
	if (conv != NULL && conv->kind == CONV_GROUP) {
		rc = member_load(conn, user, conv->cid, ret_member);
		*ret_err = rights_group(conv, ret_member, now_ms);
		return rc;
	}
	if (conv != NULL && !conv_has(conv, user)) {
		*ret_err = ERR_NOT_FOUND;
		return SQL_OK;
	}
	rc = peer_load(conn, user, conv != NULL ? conv_other(conv, user) : peer, &row);
	*ret_err = rights_direct(&row, conv == NULL);
	return rc;
}
