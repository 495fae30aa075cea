/* SPDX-License-Identifier: MIT */
/*
 * The end of an account.  The row of the user stays without anything that he wrote about himself:
 * it keeps the name from passing to another, and his messages their author, who is "deleted" from
 * now on.
 */
#include "base/mem.h"
#include "base/panic.h"
#include "store/sql_db.h"

/* Those in whose lists he is, but those who block him: they are told. */
static int
contacts_find(struct sql_store *s, struct op *op)
{
	struct sql_conn *c = &s->writer;
	uint64_t count = 0;
	int rc = stmt_number(c, &count, STMT_CONTACT_COUNT, "ii", op->user, (uint64_t)0);

	if (rc != SQL_OK)
		return rc;
	op->close.contacts = op_alloc(op, count * sizeof(*op->close.contacts));
	rc = stmt_start(c, STMT_CLOSE_CONTACTS, "i", op->user);
	for (; rc == SQL_ROW && op->close.contact_count < count;
	     rc = stmt_next(c, STMT_CLOSE_CONTACTS))
		op->close.contacts[op->close.contact_count++] =
		    column_u64(c, STMT_CLOSE_CONTACTS, 0);
	stmt_end(c, STMT_CLOSE_CONTACTS);
	return rc == SQL_DONE || rc == SQL_ROW ? SQL_OK : rc;
}

static int
contacts_end(struct sql_store *s, struct op *op)
{
	struct sql_conn *c = &s->writer;
	int rc = contacts_find(s, op);

	if (rc == SQL_OK)
		rc = stmt_run(c, STMT_CLOSE_LISTED, "i", op->user);
	if (rc == SQL_OK)
		rc = stmt_run(c, STMT_CLOSE_BLOCKED, "i", op->user);
	if (rc == SQL_OK)
		rc = stmt_run(c, STMT_CLOSE_LIST, "i", op->user);
	return rc;
}

/* Whoever sends there is looked at again; the names are read again. */
static int
directs_end(struct sql_store *s, const struct op *op)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_run(c, STMT_CLOSE_DIRECTS_ACL, "i", op->user);

	if (rc != SQL_OK)
		return rc;
	rc = stmt_start(c, STMT_CLOSE_DIRECTS, "i", op->user);
	for (; rc == SQL_ROW; rc = stmt_next(c, STMT_CLOSE_DIRECTS))
		convs_forget(s, column_u64(c, STMT_CLOSE_DIRECTS, 0));
	stmt_end(c, STMT_CLOSE_DIRECTS);
	return rc == SQL_DONE ? SQL_OK : rc;
}

int
sql_close_account(struct sql_store *s, struct op *op)
{
	bool right;
	int rc = account_hash_is(s, op->user, op->close.password_hash, &right);

	close_reset(op);
	if (rc != SQL_OK)
		return rc;
	if (!right) {
		op_fail(op, ERR_BAD_CREDENTIALS, NULL);
		return SQL_OK;
	}
	rc = sql_groups_leave(s, op, op->close.name);
	if (rc == SQL_OK) /* a ban that nobody can end any more */
		rc = stmt_run(&s->writer, STMT_CLOSE_BANS, "i", op->user);
	if (rc == SQL_OK)
		rc = contacts_end(s, op);
	if (rc == SQL_OK)
		rc = stmt_run(&s->writer, STMT_TOKENS_DROP_BUT, "ii", op->user, (uint64_t)0);
	if (rc == SQL_OK)
		rc = stmt_run(&s->writer, STMT_CLOSE_USER, "i", op->user);
	if (rc == SQL_OK)
		rc = directs_end(s, op);
	return rc;
}

int
sql_close_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	uint64_t active = 0;
	int rc = stmt_number(&s->writer, &active, STMT_USER_THERE, "i", op->user);

	*ret_there = rc == SQL_OK && active == 0;
	return rc;
}
