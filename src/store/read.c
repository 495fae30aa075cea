/* SPDX-License-Identifier: MIT */
/* What the readers do: each operation sees one snapshot. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/fold.h"
#include "store/sql_db.h"

static slice
keep(struct op *op, struct sql_conn *conn, enum stmt stmt, int column)
{
	return op_copy(op, column_slice(conn, stmt, column));
}

/* An array of the operation's that grows; count is its fill. */
static void *
grown(struct op *op, void *items, size_t count, size_t *capacity, size_t element_size)
{
	void *larger;

	if (count < *capacity)
		return items;
	*capacity = *capacity > 0 ? *capacity * 2 : 8;
	larger = op_alloc(op, *capacity * element_size);
	if (count > 0)
		memcpy(larger, items, count * element_size);
	return larger;
}

/* --- Accounts and sessions --- */

static int
read_auth(struct sql_conn *conn, struct op *op)
{
	bool by_name = slice_given(op->auth.name);
	enum stmt stmt = by_name ? STMT_AUTH_NAME : STMT_AUTH_ID;
	int rc = by_name ? stmt_start(conn, stmt, "s", op->auth.name)
			 : stmt_start(conn, stmt, "i", op->auth.uid);

	op->auth.found = rc == SQL_ROW;
	if (op->auth.found) {
		op->auth.uid = column_u64(conn, stmt, 0);
		op->auth.name = keep(op, conn, stmt, 1);
		op->auth.display = keep(op, conn, stmt, 2);
		op->auth.password_hash = keep(op, conn, stmt, 3);
	}
	stmt_end(conn, stmt);
	return rc;
}

static int
read_resume(struct sql_conn *conn, struct op *op)
{
	slice hash = slice_of((const char *)op->resume.token_hash, SECRET_HASH_BYTES);
	int rc = stmt_start(conn, STMT_TOKEN, "bi", hash, op->resume.oldest_seen);

	if (rc == SQL_ROW) {
		op->resume.uid = column_u64(conn, STMT_TOKEN, 0);
		op->resume.session = column_u64(conn, STMT_TOKEN, 1);
		op->resume.name = keep(op, conn, STMT_TOKEN, 2);
		op->resume.display = keep(op, conn, STMT_TOKEN, 3);
	} else if (rc == SQL_DONE) {
		op_fail(op, ERR_TOKEN_INVALID, NULL);
	}
	stmt_end(conn, STMT_TOKEN);
	return rc;
}

static int
read_sessions(struct sql_store *s, struct sql_conn *conn, struct op *op)
{
	size_t capacity = 0, count = 0;
	int rc = stmt_start(conn, STMT_TOKENS, "ii", op->user, (uint64_t)LIMIT_SESSIONS);

	for (; rc == SQL_ROW; rc = stmt_next(conn, STMT_TOKENS)) {
		op->sessions.items =
		    grown(op, op->sessions.items, count, &capacity, sizeof(*op->sessions.items));
		op->sessions.items[count] = (struct op_session){
		    .session = column_u64(conn, STMT_TOKENS, 0),
		    .device = keep(op, conn, STMT_TOKENS, 1),
		    .ip = keep(op, conn, STMT_TOKENS, 2),
		    .created = column_u64(conn, STMT_TOKENS, 3),
		    .seen = column_u64(conn, STMT_TOKENS, 4),
		};
		touches_overlay(s, op, op->user, &op->sessions.items[count]);
		op->sessions.count = ++count;
	}
	stmt_end(conn, STMT_TOKENS);
	return rc;
}

/* "[1,2,3]", for statements that take many ids. */
static void
ids_put(struct buf *json, const uint64_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_printf(json, "%c%llu", i == 0 ? '[' : ',', (unsigned long long)ids[i]);
	buf_put(json, count == 0 ? S("[]") : S("]"));
}

static int
id_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Of `count` sessions, which are there, in ret_there; *ret_count of them. */
static int
sessions_there(struct sql_conn *conn, const uint64_t *sessions, size_t count, uint64_t *ret_there,
    size_t *ret_count)
{
	struct buf json = {0};
	size_t found = 0;
	int rc;

	ids_put(&json, sessions, count);
	rc = stmt_start(conn, STMT_TOKENS_LIVE, "s", buf_slice(&json));
	for (; rc == SQL_ROW && found < count; rc = stmt_next(conn, STMT_TOKENS_LIVE))
		ret_there[found++] = column_u64(conn, STMT_TOKENS_LIVE, 0);
	stmt_end(conn, STMT_TOKENS_LIVE);
	buf_fini(&json);
	if (found > 0)
		qsort(ret_there, found, sizeof(*ret_there), id_order);
	*ret_count = found;
	return rc;
}

static int
read_live(struct sql_conn *conn, struct op *op)
{
	uint64_t there[1000];
	size_t want = op->live.want, found, count;
	int rc = SQL_DONE;

	op->live.gone = op_alloc(op, want * sizeof(*op->live.gone));
	for (size_t at = 0; at < want && rc == SQL_DONE; at += count) {
		const uint64_t *sessions = op->live.sessions + at;

		count = want - at < LEN(there) ? want - at : LEN(there);
		rc = sessions_there(conn, sessions, count, there, &found);
		for (size_t i = 0; rc == SQL_DONE && i < count; i++)
			if (bsearch(&sessions[i], there, found, sizeof(there[0]), id_order) == NULL)
				op->live.gone[op->live.count++] = sessions[i];
	}
	return rc;
}

static int
read_hiding(struct sql_conn *conn, struct op *op)
{
	size_t capacity = 0;
	int rc = stmt_start(conn, STMT_CONTACTS_HIDING, "ii", op->user, (uint64_t)LIMIT_CONTACTS);

	for (; rc == SQL_ROW; rc = stmt_next(conn, STMT_CONTACTS_HIDING)) {
		op->contacts.hiding = grown(op, op->contacts.hiding, op->contacts.hiding_count,
		    &capacity, sizeof(*op->contacts.hiding));
		op->contacts.hiding[op->contacts.hiding_count++] =
		    column_u64(conn, STMT_CONTACTS_HIDING, 0);
	}
	stmt_end(conn, STMT_CONTACTS_HIDING);
	return rc;
}

static int
read_contacts(struct sql_conn *conn, struct op *op)
{
	size_t capacity = 0;
	int rc = stmt_start(conn, STMT_CONTACTS, "ii", op->user, (uint64_t)LIMIT_CONTACTS);

	for (; rc == SQL_ROW; rc = stmt_next(conn, STMT_CONTACTS)) {
		op->contacts.uids = grown(op, op->contacts.uids, op->contacts.count, &capacity,
		    sizeof(*op->contacts.uids));
		op->contacts.uids[op->contacts.count++] = column_u64(conn, STMT_CONTACTS, 0);
	}
	stmt_end(conn, STMT_CONTACTS);
	return rc == SQL_DONE ? read_hiding(conn, op) : rc;
}

static struct op_user
user_columns(struct op *op, struct sql_conn *conn, enum stmt stmt)
{
	uint64_t state = column_u64(conn, stmt, 8);
	bool hides = column_u64(conn, stmt, 7) != 0;

	return (struct op_user){
	    .uid = column_u64(conn, stmt, 0),
	    .name = keep(op, conn, stmt, 1),
	    .display = keep(op, conn, stmt, 2),
	    .status = keep(op, conn, stmt, 3),
	    .created = column_u64(conn, stmt, 4),
	    .seen = column_u64(conn, stmt, 5),
	    .related = column_u64(conn, stmt, 6) != 0,
	    .hides = hides,
	    .contact = state == CONTACT_BOTH,
	    .apart = hides || state == CONTACT_BLOCKED,
	    .invisible = column_u64(conn, stmt, 9) != 0,
	};
}

static int
read_profiles(struct sql_conn *conn, struct op *op)
{
	enum stmt stmt = op->profiles.names != NULL ? STMT_PROFILE_NAME : STMT_PROFILE_ID;

	op->profiles.items = op_alloc(op, op->profiles.want * sizeof(*op->profiles.items));
	for (size_t i = 0; i < op->profiles.want; i++) {
		int rc = op->profiles.names != NULL
			     ? stmt_start(conn, stmt, "is", op->user, op->profiles.names[i])
			     : stmt_start(conn, stmt, "ii", op->user, op->profiles.uids[i]);

		if (rc == SQL_ROW)
			op->profiles.items[op->profiles.count++] = user_columns(op, conn, stmt);
		stmt_end(conn, stmt);
		if (rc != SQL_ROW && rc != SQL_DONE)
			return rc;
	}
	return SQL_OK;
}

/* Its last byte plus one (UTF-8 has no 0xff). */
slice
prefix_end(struct op *op, slice prefix)
{
	char *end = op_alloc(op, prefix.len);

	memcpy(end, prefix.ptr, prefix.len);
	end[prefix.len - 1] = (char)((unsigned char)end[prefix.len - 1] + 1);
	return slice_of(end, prefix.len);
}

static int
find_start(struct sql_conn *conn, struct op *op, slice folded, uint64_t limit)
{
	if (op->find.exact)
		return stmt_start(conn, STMT_FIND_EXACT, "is", op->user, folded);
	return stmt_start(conn, STMT_FIND, "issi", op->user, folded, prefix_end(op, folded), limit);
}

static int
read_find(struct sql_conn *conn, struct op *op)
{
	enum stmt stmt = op->find.exact ? STMT_FIND_EXACT : STMT_FIND;
	uint64_t limit = op->find.limit < LIMIT_FOUND ? op->find.limit : LIMIT_FOUND;
	slice folded;
	int rc = SQL_DONE;

	text_fold(op->find.query, &folded);
	op->find.items = op_alloc(op, (limit + 1) * sizeof(*op->find.items));
	if (folded.len > 0 && limit > 0) {
		rc = find_start(conn, op, folded, limit);
		for (; rc == SQL_ROW && op->find.count < limit; rc = stmt_next(conn, stmt))
			op->find.items[op->find.count++] = user_columns(op, conn, stmt);
		stmt_end(conn, stmt);
	}
	text_fold_free(&folded);
	return rc;
}

/* --- What a target means --- */

static int
resolve_person(struct sql_conn *conn, struct op *op, struct op_target *target)
{
	uint64_t lo, hi;
	int rc = stmt_number(conn, &target->peer, STMT_USER_ID, "s", target->user);

	target->cid = 0;
	if (rc != SQL_OK)
		return rc;
	if (target->peer == 0 || target->peer == op->user) {
		op_fail(op, target->peer == 0 ? ERR_NOT_FOUND : ERR_INVALID_PARAMS,
		    target->peer == 0 ? NULL : "to");
		return SQL_OK;
	}
	lo = op->user < target->peer ? op->user : target->peer;
	hi = op->user < target->peer ? target->peer : op->user;
	return stmt_number(conn, &target->cid, STMT_DIRECT, "ii", lo, hi);
}

int
sql_read_target(
    struct sql_conn *conn, struct op *op, struct op_target *target, struct conv_row *row)
{
	int rc = SQL_OK;

	*row = (struct conv_row){0};
	if (slice_given(target->user))
		rc = resolve_person(conn, op, target);
	else if (slice_given(target->handle))
		rc = stmt_number(conn, &target->cid, STMT_CONV_BY_HANDLE, "s", target->handle);
	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	if (target->cid != 0)
		rc = conv_load(conn, target->cid, row);
	if (rc == SQL_OK && row->cid == 0 && !slice_given(target->user))
		op_fail(op, ERR_NOT_FOUND, NULL);
	if (row->kind == CONV_DIRECT && conv_has(row, op->user))
		target->peer = conv_other(row, op->user);
	return rc;
}

static int
read_check(struct sql_store *s, struct sql_conn *conn, struct op *op)
{
	struct conv_row row;
	struct member_row member;
	int rc = sql_read_target(conn, op, &op->check.target, &row);

	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	op->check.acl_ver = row.acl_ver;
	return rights_load(conn, op->user, op->check.target.peer, row.cid != 0 ? &row : NULL,
	    driver_now_ms(&s->options), &member, &op->fault.err);
}

/* Is he in there now?  Who may not write at the moment may look around all the same. */
static int
check_inside(struct sql_conn *conn, struct op *op, struct op_target *target)
{
	struct conv_row row;
	struct member_row member = {0};
	int rc = sql_read_target(conn, op, target, &row);

	if (rc == SQL_OK && op->fault.err == ERR_OK && row.cid == 0)
		op_fail(op, ERR_NOT_FOUND, NULL);
	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	if (row.kind == CONV_GROUP)
		rc = member_load(conn, op->user, row.cid, &member);
	if (rc == SQL_OK)
		op_fail(op,
		    op->contacts.outside && row.kind == CONV_GROUP
			? rights_info(&row, &member)
			: rights_see(&row, op->user, &member, true),
		    NULL);
	return rc;
}

static int
read_member_ids(struct sql_conn *conn, struct op *op)
{
	size_t capacity = 0;
	int rc = stmt_start(conn, STMT_GROUP_MEMBER_IDS, "ii", op->contacts.target.cid,
	    (uint64_t)op->contacts.members_max);

	for (; rc == SQL_ROW; rc = stmt_next(conn, STMT_GROUP_MEMBER_IDS)) {
		op->contacts.members = grown(op, op->contacts.members, op->contacts.member_count,
		    &capacity, sizeof(*op->contacts.members));
		op->contacts.members[op->contacts.member_count++] =
		    column_u64(conn, STMT_GROUP_MEMBER_IDS, 0);
	}
	stmt_end(conn, STMT_GROUP_MEMBER_IDS);
	return rc == SQL_DONE ? SQL_OK : rc;
}

static int
read_around(struct sql_conn *conn, struct op *op)
{
	const struct op_target *target = &op->contacts.target;
	int rc = SQL_OK;

	if (target->cid != 0 || slice_given(target->user) || slice_given(target->handle))
		rc = check_inside(conn, op, &op->contacts.target);
	if (rc == SQL_OK && op->fault.err == ERR_OK && op->contacts.members_max > 0 &&
	    target->peer == 0)
		rc = read_member_ids(conn, op);
	return rc == SQL_OK && op->fault.err == ERR_OK ? read_contacts(conn, op) : rc;
}

/* --- Entries --- */

struct entry_columns {
	enum stmt stmt;
	int kind, from, cmid, body, data; /* data -1: not wanted */
	int sender, re, edited, deleted, seq, ts;
	int ends; /* -1: not wanted */
};

static struct entry *
entry_read(struct sql_conn *conn, uint64_t cid, const struct entry_columns *at)
{
	bool deleted = column_u64(conn, at->stmt, at->deleted) != 0;
	slice body = deleted ? SLICE_NONE : column_slice(conn, at->stmt, at->body);
	struct entry *entry = entry_create(&(struct entry_parts){
	    .sender = column_u64(conn, at->stmt, at->sender),
	    .re = column_u64(conn, at->stmt, at->re),
	    .ends = at->ends < 0 ? 0 : column_u64(conn, at->stmt, at->ends),
	    .kind = column_slice(conn, at->stmt, at->kind),
	    .from = column_slice(conn, at->stmt, at->from),
	    .cmid = column_slice(conn, at->stmt, at->cmid),
	    .body = at->data < 0 ? text_cut(body, PREVIEW_BYTES) : body,
	    .data = at->data < 0 || deleted ? SLICE_NONE : column_slice(conn, at->stmt, at->data),
	});

	entry->cid = cid;
	entry->seq = column_u64(conn, at->stmt, at->seq);
	entry->ts = column_u64(conn, at->stmt, at->ts);
	entry->edited = column_u64(conn, at->stmt, at->edited);
	entry->deleted = column_u64(conn, at->stmt, at->deleted);
	return entry;
}

static void
reverse(struct entry **items, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		struct entry *other = items[count - 1 - i];

		items[count - 1 - i] = items[i];
		items[i] = other;
	}
}

/* True if the row still fits the page. */
static bool
page_take(struct sql_conn *conn, struct op *op, const struct entry_columns *at, size_t *bytes)
{
	*bytes += ENTRY_OVERHEAD_BYTES;
	if (column_u64(conn, at->stmt, at->deleted) == 0)
		*bytes += column_slice(conn, at->stmt, at->body).len +
			  column_slice(conn, at->stmt, at->data).len;
	if (op->page.count > 0 && *bytes > op->page.max_bytes)
		return false;
	op->page.items[op->page.count++] = entry_read(conn, op->page.target.cid, at);
	return true;
}

static int
page_rows(struct sql_conn *conn, struct op *op, uint64_t from, uint64_t to)
{
	const struct entry_columns at = {
	    .stmt = op->page.newest ? STMT_PAGE_NEWEST : STMT_PAGE_OLDEST,
	    .seq = 0,
	    .ts = 1,
	    .sender = 2,
	    .re = 3,
	    .edited = 4,
	    .deleted = 5,
	    .kind = 6,
	    .from = 7,
	    .cmid = 8,
	    .body = 9,
	    .data = 10,
	    .ends = 11,
	};
	size_t limit = op->page.limit < LIMIT_PAGE_ENTRIES ? op->page.limit : LIMIT_PAGE_ENTRIES;
	size_t bytes = 0;
	int rc;

	if (limit > to - from + 1)
		limit = (size_t)(to - from + 1);
	op->page.items = op_alloc(op, limit * sizeof(struct entry *));
	rc = stmt_start(
	    conn, at.stmt, "iiiii", op->page.target.cid, from, to, (uint64_t)limit, page_until(op));
	for (; rc == SQL_ROW; rc = stmt_next(conn, at.stmt))
		if (!page_take(conn, op, &at, &bytes))
			break;
	stmt_end(conn, at.stmt);
	if (op->page.newest)
		reverse(op->page.items, op->page.count);
	op->page.more = op->page.count < to - from + 1;
	return rc;
}

static int
read_page(struct sql_conn *conn, struct op *op)
{
	struct conv_row row;
	struct member_row member = {0};
	uint64_t from, to;
	int rc = sql_read_target(conn, op, &op->page.target, &row);

	if (rc == SQL_OK && op->fault.err == ERR_OK && row.cid == 0)
		op_fail(op, ERR_NOT_FOUND, NULL);
	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	if (op->user != 0) {
		if (row.kind == CONV_GROUP)
			rc = member_load(conn, op->user, row.cid, &member);
		op_fail(op, rights_see(&row, op->user, &member, false), NULL);
	}
	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	op->page.min_seq = op->user != 0 ? member_min_seq(&row, &member) : row.min_seq;
	op->page.head = member_head(&row, &member);
	if (op->page.want_facts)
		conv_facts_fill(op, &row, &op->page.facts);
	page_range(op, &from, &to);
	return from <= to && op->page.limit > 0 ? page_rows(conn, op, from, to) : SQL_OK;
}

/* --- Sync --- */

enum sync_column {
	SYNC_CID,
	SYNC_KIND,
	SYNC_LO,
	SYNC_HI,
	SYNC_MIN_SEQ,
	SYNC_HISTORY,
	SYNC_HANDLE,
	SYNC_TITLE,
	SYNC_OTHER_NAME,
	SYNC_OTHER_DISPLAY,
	SYNC_ROLE,
	SYNC_JOIN,
	SYNC_LEAVE,
	SYNC_READ,
	SYNC_DELIVERED,
	SYNC_MUTED,
	SYNC_PEER_READ,
	SYNC_PEER_DELIVERED,
	SYNC_HEAD,
	SYNC_TS,
	SYNC_SENDER,
	SYNC_RE,
	SYNC_EDITED,
	SYNC_DELETED,
	SYNC_ENTRY_KIND,
	SYNC_FROM,
	SYNC_CMID,
	SYNC_BODY,
};

static struct entry *
sync_last(struct sql_conn *conn, enum stmt stmt)
{
	const struct entry_columns at = {
	    .stmt = stmt,
	    .seq = SYNC_HEAD,
	    .ts = SYNC_TS,
	    .sender = SYNC_SENDER,
	    .re = SYNC_RE,
	    .edited = SYNC_EDITED,
	    .deleted = SYNC_DELETED,
	    .kind = SYNC_ENTRY_KIND,
	    .from = SYNC_FROM,
	    .cmid = SYNC_CMID,
	    .body = SYNC_BODY,
	    .data = -1,
	    .ends = -1,
	};

	return entry_read(conn, column_u64(conn, stmt, SYNC_CID), &at);
}

static void
sync_seqs(struct sql_conn *conn, enum stmt stmt, struct op_conv *view)
{
	struct conv_row row = {
	    .kind = view->facts.kind,
	    .min_seq = column_u64(conn, stmt, SYNC_MIN_SEQ),
	    .history = column_u64(conn, stmt, SYNC_HISTORY) != 0,
	    .head = column_u64(conn, stmt, SYNC_HEAD),
	};
	struct member_row member = {
	    .exists = true,
	    .join_seq = column_u64(conn, stmt, SYNC_JOIN),
	    .left = !column_null(conn, stmt, SYNC_LEAVE),
	    .leave_seq = column_u64(conn, stmt, SYNC_LEAVE),
	};

	if (row.head + 1 < row.min_seq)
		row.head = row.min_seq - 1;
	view->role = member.left ? ROLE_NONE : (enum role)column_u64(conn, stmt, SYNC_ROLE);
	view->min_seq = member_min_seq(&row, &member);
	view->head = member_head(&row, &member);
}

static void
sync_peer(struct sql_store *s, struct sql_conn *conn, struct op *op, enum stmt stmt, slice own_name,
    struct op_conv *view)
{
	bool is_lo = view->facts.lo == op->user;
	uint64_t peer = is_lo ? view->facts.hi : view->facts.lo;

	view->peer_name = keep(op, conn, stmt, SYNC_OTHER_NAME);
	view->facts.lo_name = is_lo ? own_name : view->peer_name;
	view->facts.hi_name = is_lo ? view->peer_name : own_name;
	view->title = slice_eq(view->peer_name, S("deleted"))
			  ? view->peer_name
			  : keep(op, conn, stmt, SYNC_OTHER_DISPLAY);
	view->peer_read = column_u64(conn, stmt, SYNC_PEER_READ);
	view->peer_delivered = column_u64(conn, stmt, SYNC_PEER_DELIVERED);
	if (!column_null(conn, stmt, SYNC_PEER_READ)) /* otherwise one blocks the other */
		marks_overlay(s, peer, view->cid, &view->peer_read, &view->peer_delivered);
}

static void
sync_row(struct sql_store *s, struct sql_conn *conn, struct op *op, enum stmt stmt, slice own_name,
    struct op_conv *view)
{
	*view = (struct op_conv){
	    .cid = column_u64(conn, stmt, SYNC_CID),
	    .facts =
		{
		    .kind = (enum conv_kind)column_u64(conn, stmt, SYNC_KIND),
		    .lo = column_u64(conn, stmt, SYNC_LO),
		    .hi = column_u64(conn, stmt, SYNC_HI),
		    .handle = keep(op, conn, stmt, SYNC_HANDLE),
		},
	    .ts = column_u64(conn, stmt, SYNC_TS),
	    .read = column_u64(conn, stmt, SYNC_READ),
	    .delivered = column_u64(conn, stmt, SYNC_DELIVERED),
	    .muted_until = column_u64(conn, stmt, SYNC_MUTED),
	};
	sync_seqs(conn, stmt, view);
	marks_overlay(s, op->user, view->cid, &view->read, &view->delivered);
	if (view->facts.kind == CONV_DIRECT)
		sync_peer(s, conn, op, stmt, own_name, view);
	else
		view->title = keep(op, conn, stmt, SYNC_TITLE);
	if (op->sync.preview && !column_null(conn, stmt, SYNC_HEAD))
		view->last = sync_last(conn, stmt);
}

/*
 * The named conversations as JSON, for json_each(): those that he left are listed only if they are
 * named.
 */
static slice
cursors_json(struct op *op)
{
	struct buf json = {0};
	slice text;

	for (size_t i = 0; i < op->sync.cursor_count; i++)
		buf_printf(&json, "%c%llu", i == 0 ? '[' : ',',
		    (unsigned long long)op->sync.cursors[i].cid);
	buf_put(&json, op->sync.cursor_count == 0 ? S("[]") : S("]"));
	text = op_copy(op, buf_slice(&json));
	buf_fini(&json);
	return text;
}

/* How far conversations are, whoever asks: the server does. */
static int
read_heads(struct sql_conn *conn, struct op *op)
{
	struct buf json = {0};
	int rc;

	op->heads.items = op_alloc(op, op->heads.want * sizeof(*op->heads.items));
	ids_put(&json, op->heads.cids, op->heads.want);
	rc = stmt_start(conn, STMT_HEADS, "s", buf_slice(&json));
	for (; rc == SQL_ROW && op->heads.count < op->heads.want;
	     rc = stmt_next(conn, STMT_HEADS)) {
		struct op_head *item = &op->heads.items[op->heads.count++];

		item->cid = column_u64(conn, STMT_HEADS, 0);
		item->group = column_u64(conn, STMT_HEADS, 1) == CONV_GROUP;
		item->handle = keep(op, conn, STMT_HEADS, 2);
		item->seq = column_u64(conn, STMT_HEADS, 3);
	}
	stmt_end(conn, STMT_HEADS);
	buf_fini(&json);
	return rc;
}

static int
sync_around(struct sql_conn *conn, struct op *op)
{
	struct op_around *around = &op->sync.around;
	size_t capacity = 0;
	int rc = stmt_start(conn, STMT_AROUND, "ii", op->user, (uint64_t)LIMIT_CONTACTS);

	for (; rc == SQL_ROW; rc = stmt_next(conn, STMT_AROUND)) {
		uint64_t uid = column_u64(conn, STMT_AROUND, 0);

		if (uid == 0) {
			around->presence = (enum presence)column_u64(conn, STMT_AROUND, 1);
			around->text = keep(op, conn, STMT_AROUND, 2);
			continue;
		}
		around->contacts = grown(
		    op, around->contacts, around->count, &capacity, sizeof(*around->contacts));
		around->contacts[around->count++] = uid;
	}
	stmt_end(conn, STMT_AROUND);
	return rc;
}

/* Of the same snapshot, where others may begin another life.  SQL_DONE or an error. */
static int
sync_epoch(struct sql_store *s, struct sql_conn *conn, struct op *op)
{
	struct meta meta;
	int rc = SQL_OK;

	if (s->engine->shared)
		rc = meta_load(conn, &meta);
	else
		sql_epoch(s, meta.epoch);
	if (rc == SQL_OK)
		op->sync.epoch = op_copy(op, slice_str(meta.epoch));
	return rc == SQL_OK ? SQL_DONE : rc;
}

/* The one who asks is in every direct conversation: his name is read once. */
static int
sync_own_name(struct sql_conn *conn, struct op *op, slice *ret)
{
	int rc = stmt_start(conn, STMT_USER_NAME, "i", op->user);

	*ret = rc == SQL_ROW ? keep(op, conn, STMT_USER_NAME, 0) : SLICE_NONE;
	stmt_end(conn, STMT_USER_NAME);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

static int
sync_start(struct sql_conn *conn, const struct op *op, slice cursors)
{
	uint64_t preview = op->sync.preview;

	return op->sync.only != 0 ? stmt_start(conn, STMT_SYNC_ONE, "iisi", op->user, preview,
					cursors, op->sync.only)
				  : stmt_start(conn, STMT_SYNC, "iis", op->user, preview, cursors);
}

static int
read_sync(struct sql_store *s, struct sql_conn *conn, struct op *op)
{
	enum stmt stmt = op->sync.only != 0 ? STMT_SYNC_ONE : STMT_SYNC;
	size_t capacity = 0;
	slice own_name;
	int rc = sync_own_name(conn, op, &own_name);

	if (rc != SQL_OK)
		return rc;
	rc = sync_start(conn, op, cursors_json(op));
	for (; rc == SQL_ROW; rc = stmt_next(conn, stmt)) {
		op->sync.items =
		    grown(op, op->sync.items, op->sync.count, &capacity, sizeof(*op->sync.items));
		sync_row(s, conn, op, stmt, own_name, &op->sync.items[op->sync.count]);
		op->sync.count++;
	}
	stmt_end(conn, stmt);
	sync_newest_first(op);
	if (rc == SQL_DONE)
		rc = sync_epoch(s, conn, op);
	return rc == SQL_DONE && op->sync.only == 0 ? sync_around(conn, op) : rc;
}

/* --- All of them --- */

static int
run(struct sql_store *s, struct sql_conn *conn, struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_AUTH:
		return read_auth(conn, op);
	case OP_RESUME:
		return read_resume(conn, op);
	case OP_SESSIONS:
		return read_sessions(s, conn, op);
	case OP_CHECK:
		return read_check(s, conn, op);
	case OP_SYNC:
		return read_sync(s, conn, op);
	case OP_PAGE:
		return read_page(conn, op);
	case OP_PROFILES:
		return read_profiles(conn, op);
	case OP_FIND:
		return read_find(conn, op);
	case OP_CONTACTS:
		return read_around(conn, op);
	case OP_CONTACT_LIST:
		return sql_contact_list(conn, op);
	case OP_LIVE:
		return read_live(conn, op);
	case OP_HEADS:
		return read_heads(conn, op);
	case OP_GROUP_INFO:
	case OP_MEMBERS:
	case OP_GROUPS:
		return sql_group_read(conn, op);
	default:
		panic("store: %s is not a read", op_name(op->kind));
	}
}

/* Some need several statements; the others are a snapshot by themselves. */
static bool
needs_transaction(const struct sql_store *s, enum op_kind kind)
{
	if (kind == OP_SYNC)
		return s->engine->shared;
	return kind == OP_PAGE || kind == OP_CHECK || kind == OP_PROFILES || kind == OP_LIVE ||
	       kind == OP_CONTACTS || kind == OP_GROUP_INFO || kind == OP_MEMBERS;
}

void
sql_read_op(struct sql_store *s, struct sql_conn *conn, struct op *op)
{
	bool transaction = needs_transaction(s, (enum op_kind)op->kind);
	int rc = SQL_OK;

	op->fault = (struct fault){0};
	if (transaction)
		rc = stmt_run(conn, STMT_BEGIN_READ, "");
	if (rc == SQL_OK)
		rc = run(s, conn, op);
	if (transaction)
		(void)stmt_run(conn, STMT_COMMIT, "");
	if (rc == SQL_OK || rc == SQL_ROW || rc == SQL_DONE)
		return;
	stat_add(STAT_STORE_ERRORS, 1);
	log_warn("store", "read_failed", "op=%s code=%d why=\"%s\"",
	    op_name((enum op_kind)op->kind), rc, sql_why(conn));
	op_unavailable(op);
}
