/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "base/panic.h"
#include "store/fold.h"
#include "store/sql_db.h"

static slice
hash_slice(const unsigned char *hash)
{
	return slice_of((const char *)hash, SECRET_HASH_BYTES);
}

/* --- Register and log in --- */

static int
token_add(struct sql_store *s, const struct op *op, uint64_t user)
{
	return stmt_run(&s->writer, STMT_TOKEN_ADD, "biissi", hash_slice(op->session.token_hash),
	    op->session.session, user, op->session.device, op->session.ip, s->now_ms);
}

static int
user_register(struct sql_store *s, struct op *op)
{
	slice display = slice_given(op->session.display) ? op->session.display : op->session.name;
	slice folded;
	int rc;

	text_fold(display, &folded);
	rc = stmt_run(&s->writer, STMT_USER_ADD, "ssssi", op->session.name, display, folded,
	    op->session.password_hash, s->now_ms);
	text_fold_free(&folded);
	if (sql_is_duplicate(&s->writer, rc)) {
		op_fail(op, ERR_NAME_TAKEN, NULL);
		return SQL_OK;
	}
	if (rc != SQL_OK)
		return rc;
	op->session.uid = sql_last_id(&s->writer);
	return token_add(s, op, op->session.uid);
}

int
account_hash_is(struct sql_store *s, uint64_t user, slice hash, bool *ret_is)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_USER_HASH, "i", user);

	*ret_is = rc == SQL_ROW && slice_eq(column_slice(c, STMT_USER_HASH, 0), hash);
	stmt_end(c, STMT_USER_HASH);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

static bool
is_online(const struct op *op, uint64_t session)
{
	for (size_t i = 0; i < op->session.online_count; i++)
		if (op->session.online[i] == session)
			return true;
	return false;
}

/*
 * How many sessions he has, and which of those without a connection is unused the longest (0:
 * none). What was seen lately may not be written yet.
 */
static int
sessions_count(struct sql_store *s, struct op *op, uint64_t *ret_count, uint64_t *ret_oldest)
{
	struct sql_conn *c = &s->writer;
	uint64_t oldest_seen = UINT64_MAX;
	int rc = stmt_start(c, STMT_TOKENS, "ii", op->session.uid, (uint64_t)LIMIT_SESSIONS);

	*ret_count = *ret_oldest = 0;
	for (; rc == SQL_ROW; rc = stmt_next(c, STMT_TOKENS)) {
		struct op_session session = {.session = column_u64(c, STMT_TOKENS, 0),
		    .seen = column_u64(c, STMT_TOKENS, 4)};

		(*ret_count)++;
		touches_overlay(s, op, op->session.uid, &session);
		if (session.seen >= oldest_seen || is_online(op, session.session))
			continue;
		*ret_oldest = session.session;
		oldest_seen = session.seen;
	}
	stmt_end(c, STMT_TOKENS);
	return rc == SQL_DONE ? SQL_OK : rc;
}

/* Ends a session if there are as many as he may have. */
static int
session_make_room(struct sql_store *s, struct op *op)
{
	uint64_t count, oldest;
	int rc = sessions_count(s, op, &count, &oldest);

	if (rc != SQL_OK || count < op->session.sessions_max)
		return rc;
	if (oldest == 0) {
		op->fault = (struct fault){.err = ERR_LIMIT, .max = op->session.sessions_max};
		return SQL_OK;
	}
	op->session.evicted = oldest;
	return stmt_run(&s->writer, STMT_TOKEN_DROP, "ii", oldest, op->session.uid);
}

static int
user_login(struct sql_store *s, struct op *op)
{
	bool right;
	int rc = account_hash_is(s, op->session.uid, op->session.password_hash, &right);

	op->session.evicted = 0;
	if (rc != SQL_OK)
		return rc;
	if (!right) {
		op_fail(op, ERR_BAD_CREDENTIALS, NULL);
		return SQL_OK;
	}
	if (op->session.oldest_seen != 0)
		rc = stmt_run(
		    &s->writer, STMT_TOKENS_EXPIRE, "ii", op->session.uid, op->session.oldest_seen);
	if (rc == SQL_OK)
		rc = session_make_room(s, op);
	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	return token_add(s, op, op->session.uid);
}

/* --- What a user does to his account --- */

static int
sessions_revoke(struct sql_store *s, struct op *op)
{
	int rc;

	if (op->revoke.session == 0)
		return stmt_run(
		    &s->writer, STMT_TOKENS_DROP_BUT, "ii", op->user, op->revoke.except);
	rc = stmt_run(&s->writer, STMT_TOKEN_DROP, "ii", op->revoke.session, op->user);
	if (rc == SQL_OK && sql_changes(&s->writer) == 0)
		op_fail(op, ERR_NOT_FOUND, NULL);
	return rc;
}

static int
password_change(struct sql_store *s, struct op *op)
{
	bool right;
	int rc = account_hash_is(s, op->user, op->password.old_hash, &right);

	if (rc == SQL_OK && !right)
		op_fail(op, ERR_BAD_CREDENTIALS, NULL);
	if (rc != SQL_OK || !right)
		return rc;
	rc = stmt_run(&s->writer, STMT_USER_SET_HASH, "is", op->user, op->password.new_hash);
	if (rc == SQL_OK)
		rc =
		    stmt_run(&s->writer, STMT_TOKENS_DROP_BUT, "ii", op->user, op->password.except);
	return rc;
}

static int
profile_set(struct sql_store *s, struct op *op)
{
	slice folded = SLICE_NONE;
	int rc;

	if (slice_given(op->profile_set.display))
		text_fold(op->profile_set.display, &folded);
	rc = stmt_run(&s->writer, STMT_USER_SET_PROFILE,
	    op->profile_set.accept >= 0 ? "isssi" : "isssn", op->user, op->profile_set.display,
	    folded, op->profile_set.status, (uint64_t)(op->profile_set.accept == 1));
	text_fold_free(&folded);
	if (rc == SQL_OK && sql_changes(&s->writer) == 0)
		op_fail(op, ERR_NOT_FOUND, NULL);
	return rc;
}

/* What the user shows by now. */
static int
presence_read(struct sql_store *s, struct op *op)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_PRESENCE, "i", op->user);

	if (rc == SQL_ROW) {
		op->presence.now = (enum presence)column_u64(c, STMT_PRESENCE, 0);
		op->presence.now_text = op_copy(op, column_slice(c, STMT_PRESENCE, 1));
	} else if (rc == SQL_DONE) {
		op_fail(op, ERR_NOT_FOUND, NULL);
	}
	stmt_end(c, STMT_PRESENCE);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

static int
presence_set(struct sql_store *s, struct op *op)
{
	int rc;

	if (op->presence.state >= 0)
		rc = stmt_run(&s->writer, STMT_PRESENCE_SET, "iis", op->user,
		    (uint64_t)op->presence.state, op->presence.text);
	else
		rc = stmt_run(&s->writer, STMT_PRESENCE_SET, "ins", op->user, op->presence.text);
	return rc == SQL_OK ? presence_read(s, op) : rc;
}

int
sql_account(struct sql_store *s, struct op *op)
{
	op->fault = (struct fault){0};
	switch ((enum op_kind)op->kind) {
	case OP_REGISTER:
		return user_register(s, op);
	case OP_LOGIN:
		return user_login(s, op);
	case OP_REVOKE:
		return sessions_revoke(s, op);
	case OP_PASSWORD:
		return password_change(s, op);
	case OP_PROFILE_SET:
		return profile_set(s, op);
	case OP_CONTACT:
		return sql_contact(s, op);
	case OP_CLOSE:
		return sql_close_account(s, op);
	case OP_PRESENCE_SET:
		return presence_set(s, op);
	default:
		panic("store: %s is not a write", op_name(op->kind));
	}
}

/* --- Is the effect there? --- */

static int
revoke_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	uint64_t left = 0;
	int rc;

	if (op->revoke.session != 0)
		rc = stmt_number(
		    &s->writer, &left, STMT_TOKEN_OF, "ii", op->revoke.session, op->user);
	else
		rc = stmt_number(
		    &s->writer, &left, STMT_TOKEN_OTHERS, "ii", op->user, op->revoke.except);
	*ret_there = left == 0;
	return rc;
}

static bool
is_set(slice wanted, slice stored)
{
	return !slice_given(wanted) || slice_eq(wanted, stored);
}

static int
profile_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_USER_PROFILE, "i", op->user);

	*ret_there = rc == SQL_ROW &&
		     is_set(op->profile_set.display, column_slice(c, STMT_USER_PROFILE, 0)) &&
		     is_set(op->profile_set.status, column_slice(c, STMT_USER_PROFILE, 1)) &&
		     (op->profile_set.accept < 0 ||
			 column_u64(c, STMT_USER_PROFILE, 2) == (uint64_t)op->profile_set.accept);
	stmt_end(c, STMT_USER_PROFILE);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

static int
presence_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	struct sql_conn *c = &s->writer;
	slice wanted = op->presence.text;
	int rc = stmt_start(c, STMT_PRESENCE, "i", op->user);
	slice text = column_slice(c, STMT_PRESENCE, 1);

	*ret_there = rc == SQL_ROW &&
		     (op->presence.state < 0 ||
			 column_u64(c, STMT_PRESENCE, 0) == (uint64_t)op->presence.state) &&
		     (!slice_given(wanted) ||
			 (wanted.len == 0 ? !slice_given(text) : slice_eq(wanted, text)));
	stmt_end(c, STMT_PRESENCE);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

int
sql_account_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	uint64_t user = 0;
	int rc;

	switch ((enum op_kind)op->kind) {
	case OP_REGISTER:
	case OP_LOGIN:
		rc = stmt_number(
		    &s->writer, &user, STMT_TOKEN_USER, "b", hash_slice(op->session.token_hash));
		*ret_there = user != 0 && user == op->session.uid;
		return rc;
	case OP_PASSWORD:
		return account_hash_is(s, op->user, op->password.new_hash, ret_there);
	case OP_REVOKE:
		return revoke_there(s, op, ret_there);
	case OP_CONTACT:
		return sql_contact_there(s, op, ret_there);
	case OP_CLOSE:
		return sql_close_there(s, op, ret_there);
	case OP_PRESENCE_SET:
		return presence_there(s, op, ret_there);
	default:
		return profile_there(s, op, ret_there);
	}
}
