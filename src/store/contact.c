/* SPDX-License-Identifier: MIT */
/* Contacts: two rows a pair, one in the list of each. */
#include "base/panic.h"
#include "store/contact_rules.h"
#include "store/sql_db.h"

/* --- A change --- */

/* Who asks is still there, and whom he means is another. */
static int
find_peer(struct sql_store *s, struct op *op)
{
	uint64_t there = 0;
	int rc = stmt_number(&s->writer, &there, STMT_USER_THERE, "i", op->user);

	if (rc == SQL_OK)
		rc =
		    stmt_number(&s->writer, &op->contact.peer, STMT_USER_ID, "s", op->contact.name);
	if (rc != SQL_OK)
		return rc;
	if (there == 0)
		op_fail(op, ERR_SESSION_REVOKED, NULL);
	else if (op->contact.peer == 0)
		op_fail(op, ERR_NOT_FOUND, NULL);
	else if (op->contact.peer == op->user)
		op_fail(op, ERR_INVALID_PARAMS, "user");
	return SQL_OK;
}

static int
pair_load(struct sql_store *s, uint64_t user, uint64_t peer, struct contact_pair *ret)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_CONTACT_PAIR, "ii", user, peer);

	*ret = (struct contact_pair){0};
	if (rc == SQL_ROW) {
		ret->mine = (enum contact_state)column_u64(c, STMT_CONTACT_PAIR, 0);
		ret->theirs = (enum contact_state)column_u64(c, STMT_CONTACT_PAIR, 1);
	}
	stmt_end(c, STMT_CONTACT_PAIR);
	return rc == SQL_ROW ? SQL_OK : rc;
}

static int
row_set(struct sql_store *s, const uint64_t pair[2], enum contact_state was,
    enum contact_state state, slice note)
{
	if (state == was)
		return SQL_OK;
	if (state == CONTACT_NONE)
		return stmt_run(&s->writer, STMT_CONTACT_DROP, "ii", pair[0], pair[1]);
	return stmt_run(
	    &s->writer, STMT_CONTACT_PUT, "iiis", pair[0], pair[1], (uint64_t)state, note);
}

/* Whether a list that gets a row has room for it. */
static int
check_room(struct sql_store *s, struct op *op, uint64_t user, enum contact_state was,
    enum contact_state state)
{
	uint64_t count = 0;
	int rc;

	if (!contact_adds(was, state))
		return SQL_OK;
	rc = stmt_number(&s->writer, &count, STMT_CONTACT_COUNT, "ii", user,
	    (uint64_t)(state == CONTACT_BLOCKED));
	if (rc == SQL_OK && count >= op->contact.contacts_max)
		op->fault = (struct fault){.err = ERR_LIMIT, .max = op->contact.contacts_max};
	return rc;
}

/* What is on its way between the two is looked at again. */
static int
rights_changed(struct sql_store *s, const struct op *op)
{
	struct cached_conv *conv;
	int rc = convs_direct(s, op->user, op->contact.peer, &conv);

	if (rc != SQL_OK || conv == NULL)
		return rc;
	conv->row.acl_ver++;
	return stmt_run(&s->writer, STMT_CONV_ACL, "i", conv->row.cid);
}

static int
outcome_write(struct sql_store *s, struct op *op, const struct contact_pair *was,
    const struct contact_outcome *outcome)
{
	const uint64_t mine[2] = {op->user, op->contact.peer};
	const uint64_t theirs[2] = {op->contact.peer, op->user};
	slice note = outcome->theirs == NEWS_INCOMING ? op->contact.note : SLICE_NONE;
	int rc = row_set(s, mine, was->mine, outcome->after.mine, SLICE_NONE);

	if (rc == SQL_OK)
		rc = row_set(s, theirs, was->theirs, outcome->after.theirs, note);
	if (rc == SQL_OK && outcome->rights)
		rc = rights_changed(s, op);
	op->contact.state = outcome->after.mine;
	op->contact.mine = outcome->mine;
	op->contact.theirs = outcome->theirs;
	op->contact.shown_note = note;
	return rc;
}

int
sql_contact(struct sql_store *s, struct op *op)
{
	struct contact_outcome outcome;
	struct contact_pair now;
	int rc;

	contact_reset(op);
	if ((rc = find_peer(s, op)) != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	if ((rc = pair_load(s, op->user, op->contact.peer, &now)) != SQL_OK)
		return rc;
	op_fail(op, contact_decide(op->contact.what, now, &outcome), NULL);
	if (op->fault.err == ERR_OK)
		rc = check_room(s, op, op->user, now.mine, outcome.after.mine);
	if (rc == SQL_OK && op->fault.err == ERR_OK)
		rc = check_room(s, op, op->contact.peer, now.theirs, outcome.after.theirs);
	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	/* Both users are locked, so that who comes later reads the database's clock later. */
	if (s->engine->shared)
		rc = stmt_number(&s->writer, &op->contact.order, STMT_CONTACT_ORDER, "");
	return rc == SQL_OK ? outcome_write(s, op, &now, &outcome) : rc;
}

int
sql_contact_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	struct contact_pair now;
	int rc = pair_load(s, op->user, op->contact.peer, &now);

	*ret_there = rc == SQL_OK && now.mine == op->contact.state;
	return rc;
}

/* --- Reading --- */

int
sql_contact_list(struct sql_conn *conn, struct op *op)
{
	struct op_contacts_page *page = &op->contact_list;
	uint64_t limit = page->limit < LIMIT_CONTACTS ? page->limit : LIMIT_CONTACTS;
	slice after = slice_given(page->after) ? page->after : S("");
	int rc = stmt_start(conn, STMT_CONTACT_LIST, "isi", op->user, after, limit + 1);

	page->items = op_alloc(op, limit * sizeof(*page->items));
	for (; rc == SQL_ROW && page->count < limit; rc = stmt_next(conn, STMT_CONTACT_LIST))
		page->items[page->count++] = (struct op_contact_listed){
		    .uid = column_u64(conn, STMT_CONTACT_LIST, 0),
		    .name = op_copy(op, column_slice(conn, STMT_CONTACT_LIST, 1)),
		    .display = op_copy(op, column_slice(conn, STMT_CONTACT_LIST, 2)),
		    .state = (enum contact_state)column_u64(conn, STMT_CONTACT_LIST, 3),
		    .note = op_copy(op, column_slice(conn, STMT_CONTACT_LIST, 4)),
		    .seen = column_u64(conn, STMT_CONTACT_LIST, 5),
		};
	page->more = rc == SQL_ROW;
	stmt_end(conn, STMT_CONTACT_LIST);
	return rc;
}
