/* SPDX-License-Identifier: MIT */
/*
 * A message, an edit or a deletion at the end of its conversation:
 *
 *   resolve the target -> rights, if they may have changed -> re -> INSERT at head + 1
 *                               |                                 |
 *                    refused: a duplicate?          constraint: a duplicate?  Otherwise the
 *                                                   cached head was old: once more
 */
#include "base/panic.h"
#include "base/stat.h"
#include "store/sql_db.h"

/* --- The target --- */

/* The guess of who asks, where its names prove it: a name belongs to one person for good. */
static struct cached_conv *
guess_if_right(struct cached_conv *guess, const struct op *op, const struct op_target *target)
{
	const struct short_name *other;

	if (guess == NULL || guess->row.kind != CONV_DIRECT || !conv_has(&guess->row, op->user))
		return NULL;
	other = guess->row.lo == op->user ? &guess->row.hi_name : &guess->row.lo_name;
	return slice_eq(short_name_slice(other), target->user) ? guess : NULL;
}

static int
resolve_person(struct sql_store *s, const struct op *op, struct op_target *target,
    struct cached_conv **ret_conv, struct fault *ret_fault)
{
	int rc = SQL_OK;

	if (target->cid != 0 && (rc = convs_get(s, target->cid, ret_conv)) != SQL_OK)
		return rc;
	*ret_conv = guess_if_right(*ret_conv, op, target);
	if (*ret_conv != NULL) {
		target->peer = conv_other(&(*ret_conv)->row, op->user);
		return SQL_OK;
	}
	if (target->peer == 0)
		rc = stmt_number(&s->writer, &target->peer, STMT_USER_ID, "s", target->user);
	if (rc != SQL_OK)
		return rc;
	if (target->peer == 0) {
		ret_fault->err = ERR_NOT_FOUND;
		return SQL_OK;
	}
	if (target->peer == op->user) {
		*ret_fault = (struct fault){.err = ERR_INVALID_PARAMS, .param = "to"};
		return SQL_OK;
	}
	rc = convs_direct(s, op->user, target->peer, ret_conv);
	target->cid = *ret_conv != NULL ? (*ret_conv)->row.cid : 0;
	return rc;
}

static int
resolve_handle(struct sql_store *s, struct op_target *target, struct cached_conv **ret_conv)
{
	uint64_t cid = target->cid;
	int rc = SQL_OK;

	if (cid != 0 && (rc = convs_get(s, cid, ret_conv)) != SQL_OK)
		return rc;
	if (*ret_conv != NULL &&
	    slice_eq(short_name_slice(&(*ret_conv)->row.handle), target->handle))
		return SQL_OK;
	*ret_conv = NULL;
	rc = stmt_number(&s->writer, &cid, STMT_CONV_BY_HANDLE, "s", target->handle);
	if (rc == SQL_OK && cid != 0)
		rc = convs_get(s, cid, ret_conv);
	return rc;
}

int
sql_resolve(struct sql_store *s, const struct op *op, struct op_target *target,
    struct cached_conv **ret_conv, struct fault *ret_fault)
{
	int rc;

	*ret_conv = NULL;
	*ret_fault = (struct fault){0};
	if (slice_given(target->user))
		return resolve_person(s, op, target, ret_conv, ret_fault);
	rc = slice_given(target->handle) ? resolve_handle(s, target, ret_conv)
					 : convs_get(s, target->cid, ret_conv);
	if (rc != SQL_OK)
		return rc;
	if (*ret_conv == NULL) {
		ret_fault->err = ERR_NOT_FOUND;
		return SQL_OK;
	}
	target->cid = (*ret_conv)->row.cid;
	if ((*ret_conv)->row.kind == CONV_DIRECT && conv_has(&(*ret_conv)->row, op->user))
		target->peer = conv_other(&(*ret_conv)->row, op->user);
	return SQL_OK;
}

/* --- Duplicates --- */

/* Settles the operation if its cmid stands in the log already; *ret_found says whether. */
static int
find_sent(struct sql_store *s, struct op *op, const struct cached_conv *conv, bool *ret_found)
{
	struct sql_conn *c = &s->writer;
	int rc;

	*ret_found = false;
	if (conv == NULL || !slice_given(op->append.entry->cmid))
		return SQL_OK;
	rc = stmt_start(c, STMT_MSG_BY_CMID, "sii", op->append.entry->cmid, conv->row.cid,
	    op->append.entry->sender);
	if (rc == SQL_ROW) {
		struct entry found = {
		    .cid = conv->row.cid,
		    .seq = column_u64(c, STMT_MSG_BY_CMID, 0),
		    .ts = column_u64(c, STMT_MSG_BY_CMID, 1),
		    .re = column_u64(c, STMT_MSG_BY_CMID, 2),
		    .edited = column_u64(c, STMT_MSG_BY_CMID, 3),
		    .deleted = column_u64(c, STMT_MSG_BY_CMID, 4),
		    .kind = column_slice(c, STMT_MSG_BY_CMID, 5),
		    .body = column_slice(c, STMT_MSG_BY_CMID, 6),
		    .data = column_slice(c, STMT_MSG_BY_CMID, 7),
		};

		append_found(op, &found);
		*ret_found = true;
	}
	stmt_end(c, STMT_MSG_BY_CMID);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

/* --- Rights --- */

/*
 * Whether he may, into ret_fault; reads only where something may have changed since he was found to
 * be allowed.
 */
static int
append_rights(
    struct sql_store *s, struct op *op, const struct cached_conv *conv, struct fault *ret_fault)
{
	const struct conv_row *row = conv != NULL ? &conv->row : NULL;
	uint64_t re = op->append.entry->re;
	struct member_row member;
	struct msg_row msg;
	int rc = SQL_OK;

	if (row == NULL || op->append.acl_ver == 0 || op->append.acl_ver != row->acl_ver) {
		rc = rights_load(&s->writer, op->user, op->append.target.peer, row, s->now_ms,
		    &member, &ret_fault->err);
		op->append.min_seq = row != NULL ? member_min_seq(row, &member) : 1;
	}
	if (rc != SQL_OK || ret_fault->err != ERR_OK)
		return rc;
	if (op->append.what == APPEND_EDIT) {
		assert(row != NULL);
		if ((rc = msg_load(s, row->cid, re, &msg)) == SQL_OK)
			*ret_fault = rights_edit(op, &msg);
		return rc;
	}
	if (re == 0)
		return SQL_OK;
	if (row == NULL || re < op->append.min_seq || re > row->head)
		*ret_fault = (struct fault){.err = ERR_NOT_FOUND, .param = "re"};
	return rc;
}

/* --- Writing --- */

/* Nobody has more conversations than the limit says. */
static int
check_room(struct sql_store *s, const struct op *op, struct fault *ret_fault)
{
	uint64_t max = op->append.conversations_max, count = 0;
	int rc = stmt_number(&s->writer, &count, STMT_MEMBER_COUNT, "i", op->user);

	if (rc == SQL_OK && count >= max)
		*ret_fault = (struct fault){.err = ERR_LIMIT, .max = max};
	return rc;
}

static int
direct_create(struct sql_store *s, struct op *op, struct cached_conv **ret_conv)
{
	uint64_t peer = op->append.target.peer, cid;
	uint64_t lo = op->user < peer ? op->user : peer, hi = op->user < peer ? peer : op->user;
	struct sql_conn *c = &s->writer;
	int rc = stmt_run(c, STMT_CONV_ADD, "iii", lo, hi, s->now_ms);

	cid = sql_last_id(c);
	if (rc == SQL_OK)
		rc = stmt_run(c, STMT_DIRECT_ADD, "iii", lo, hi, cid);
	if (rc == SQL_OK)
		rc = stmt_run(c, STMT_MEMBER_ADD, "ii", lo, cid);
	if (rc == SQL_OK)
		rc = stmt_run(c, STMT_MEMBER_ADD, "ii", hi, cid);
	if (rc == SQL_OK)
		rc = convs_get(s, cid, ret_conv);
	op->append.target.cid = cid;
	op->append.created = rc == SQL_OK;
	return rc;
}

static int
insert_at_head(struct sql_store *s, struct op *op, struct cached_conv *conv)
{
	const struct entry *e = op->append.entry;
	uint64_t seq = conv->row.head + 1;
	uint64_t ts = s->now_ms > conv->row.ts ? s->now_ms : conv->row.ts;
	const struct place place = {conv->row.cid, seq, ts, conv->row.ts};
	int rc = SQL_OK;

	if (!s->engine->later(s, op, &place)) {
		rc = stmt_run(&s->writer, STMT_MSG_ADD, "iiisisssi", conv->row.cid, seq, e->sender,
		    e->cmid, ts, e->kind, e->data, e->body, e->re);
		if (rc == SQL_OK)
			rc = sql_entry_added(s, conv->row.cid, seq);
	}
	if (rc != SQL_OK)
		return rc;
	convs_advance(conv, seq, ts);
	append_done(op, &conv->row, seq, ts);
	return SQL_OK;
}

static int
insert(struct sql_store *s, struct op *op, struct cached_conv *conv)
{
	bool found;
	int rc = insert_at_head(s, op, conv);

	if (!sql_is_duplicate(&s->writer, rc))
		return rc;
	if ((rc = find_sent(s, op, conv, &found)) != SQL_OK || found)
		return rc;
	if ((rc = convs_reload(s, conv)) != SQL_OK)
		return rc;
	return insert_at_head(s, op, conv);
}

/* What would be refused may have been stored before, or wait to be. */
static int
refuse(struct sql_store *s, struct op *op, struct cached_conv **conv, struct fault fault)
{
	bool found;
	int rc = sql_settle_log(s);

	if (rc == SQL_OK && *conv != NULL)
		rc = convs_get(s, op->append.target.cid, conv);
	if (rc == SQL_OK)
		rc = find_sent(s, op, *conv, &found);
	if (rc == SQL_OK && !found)
		op->fault = fault;
	return rc;
}

static int
append_to(struct sql_store *s, struct op *op, struct cached_conv **conv)
{
	struct fault fault = op->fault;
	int rc = SQL_OK;

	if (fault.err == ERR_OK)
		rc = append_rights(s, op, *conv, &fault);
	if (rc == SQL_OK && fault.err == ERR_OK && *conv == NULL)
		rc = check_room(s, op, &fault);
	if (rc == SQL_OK && fault.err != ERR_OK)
		return refuse(s, op, conv, fault);
	if (rc == SQL_OK && *conv == NULL)
		rc = direct_create(s, op, conv);
	if (rc != SQL_OK)
		return rc;
	return insert(s, op, *conv);
}

/* --- Deletions --- */

static int
delete_rights(struct sql_store *s, struct op *op, const struct conv_row *conv,
    const struct msg_row *msg, struct fault *ret_fault)
{
	struct member_row member;
	struct peer_row peer = {0};
	int rc = member_load(&s->writer, op->user, conv->cid, &member);

	if (rc == SQL_OK && conv->kind == CONV_DIRECT && conv_has(conv, op->user))
		rc = peer_load(&s->writer, op->user, conv_other(conv, op->user), &peer);
	op->append.min_seq = member_min_seq(conv, &member);
	*ret_fault = rights_delete(op, conv, &member, &peer, msg);
	return rc;
}

/* What he deleted himself is answered the same for good; then come his rights. */
static int
delete_from(struct sql_store *s, struct op *op, struct cached_conv *conv)
{
	struct fault fault = op->fault;
	struct msg_row msg;
	uint64_t seq = op->append.entry->re;
	int rc = msg_load(s, conv->row.cid, seq, &msg);

	if (rc == SQL_OK && fault.err == ERR_OK && (msg.deleted == 0 || msg.deleter != op->user))
		rc = delete_rights(s, op, &conv->row, &msg, &fault);
	if (rc != SQL_OK)
		return rc;
	if (msg.deleted != 0 && (fault.err == ERR_OK || msg.deleter == op->user)) {
		append_deleted(op, &conv->row, &msg);
		return SQL_OK;
	}
	if (fault.err != ERR_OK) {
		op->fault = fault;
		return SQL_OK;
	}
	if ((rc = insert(s, op, conv)) == SQL_OK)
		rc = msg_erase(s, conv->row.cid, seq);
	op->append.acl_ver = 0; /* who may delete may not be allowed to send */
	return rc;
}

/* --- All of them --- */

static int
append_any(struct sql_store *s, struct op *op, struct cached_conv **conv)
{
	if (op->append.what != APPEND_MESSAGE && *conv == NULL) {
		if (op->fault.err == ERR_OK)
			op_fail(op, ERR_NOT_FOUND, NULL);
		return SQL_OK;
	}
	if (op->append.what == APPEND_DELETE)
		return delete_from(s, op, *conv);
	return append_to(s, op, conv);
}

/* Whether what was refused already may be a repetition all the same. */
static bool
may_repeat(const struct op *op)
{
	return slice_given(op->append.entry->cmid) || op->append.what == APPEND_DELETE;
}

int
sql_append(struct sql_store *s, struct op *op)
{
	uint64_t guess = op->append.target.cid;
	struct cached_conv *conv;
	struct fault fault;
	int rc;

	op->append.created = op->append.dup = false;
	if (op->fault.err != ERR_OK && !may_repeat(op))
		return SQL_OK;
	if ((rc = sql_resolve(s, op, &op->append.target, &conv, &fault)) != SQL_OK)
		return rc;
	if (op->append.target.cid != guess)
		op->append.acl_ver = 0; /* that was of another conversation */
	if (fault.err != ERR_OK) {
		if (op->fault.err == ERR_OK)
			op->fault = fault;
		return SQL_OK;
	}
	rc = append_any(s, op, &conv);
	if (rc == SQL_OK && op->fault.err == ERR_OK &&
	    (op->append.created || op->append.want_facts))
		conv_facts_fill(op, &conv->row, &op->append.facts);
	return rc;
}

int
sql_append_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	const struct entry *e = op->append.entry;
	struct sql_conn *c = &s->writer;
	int rc = stmt_start(c, STMT_MSG_BY_SEQ, "ii", op->append.target.cid, op->append.seq);

	*ret_there = false;
	if (rc == SQL_ROW) {
		slice cmid = column_slice(c, STMT_MSG_BY_SEQ, 2);
		bool erased = column_u64(c, STMT_MSG_BY_SEQ, 6) != 0; /* by the same batch */

		*ret_there = column_u64(c, STMT_MSG_BY_SEQ, 0) == e->sender &&
			     column_u64(c, STMT_MSG_BY_SEQ, 1) == op->append.ts &&
			     slice_given(cmid) == slice_given(e->cmid) && slice_eq(cmid, e->cmid) &&
			     slice_eq(column_slice(c, STMT_MSG_BY_SEQ, 4), e->kind) &&
			     column_u64(c, STMT_MSG_BY_SEQ, 5) == e->re &&
			     (erased || slice_eq(column_slice(c, STMT_MSG_BY_SEQ, 3), e->body));
	}
	stmt_end(c, STMT_MSG_BY_SEQ);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}
