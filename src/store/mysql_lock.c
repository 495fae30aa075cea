/* SPDX-License-Identifier: MIT */
/*
 * Which rows a batch must hold before it decides.  Names are looked up without locks, since a name
 * is one person's for good; what may have changed is looked at again by the operations themselves,
 * and what they need beyond this they lock late: then two may wait for each other, and one of them
 * is begun again.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/panic.h"
#include "store/mysql_db.h"
#include "store/store.h"

struct ids {
	uint64_t *items; /* owned */
	size_t count, capacity;
};

struct wanted {
	struct sql_store *s;
	struct ids users, convs;
};

static void
ids_add(struct ids *ids, uint64_t id)
{
	if (id == 0)
		return;
	if (ids->count == ids->capacity) {
		ids->capacity = ids->capacity > 0 ? ids->capacity * 2 : 64;
		ids->items = mem_resize(ids->items, ids->capacity, sizeof(*ids->items));
	}
	ids->items[ids->count++] = id;
}

static int
by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
ids_sort(struct ids *ids)
{
	size_t kept = 0;

	if (ids->count > 0)
		qsort(ids->items, ids->count, sizeof(*ids->items), by_size);
	for (size_t i = 0; i < ids->count; i++)
		if (kept == 0 || ids->items[i] != ids->items[kept - 1])
			ids->items[kept++] = ids->items[i];
	ids->count = kept;
}

/* --- What an operation needs --- */

static int
want_person(struct wanted *w, slice name, uint64_t *ret_uid)
{
	int rc = stmt_number(&w->s->writer, ret_uid, STMT_USER_ID, "s", name);

	if (rc == SQL_OK)
		ids_add(&w->users, *ret_uid);
	return rc;
}

/* Their conversation, if there is one. */
static int
want_pair(struct wanted *w, uint64_t a, uint64_t b, uint64_t *ret_cid)
{
	uint64_t lo = a < b ? a : b, hi = a < b ? b : a;
	int rc = stmt_number(&w->s->writer, ret_cid, STMT_DIRECT, "ii", lo, hi);

	if (rc == SQL_OK)
		ids_add(&w->convs, *ret_cid);
	return rc;
}

/* Who begins a conversation locks both people: there must not be two of it. */
static int
want_target(struct wanted *w, const struct op *op, const struct op_target *target)
{
	uint64_t peer = target->peer, cid = 0;
	int rc = SQL_OK;

	if (slice_given(target->handle)) {
		rc = stmt_number(&w->s->writer, &cid, STMT_CONV_BY_HANDLE, "s", target->handle);
		ids_add(&w->convs, cid);
		return rc;
	}
	ids_add(&w->convs, target->cid);
	if (!slice_given(target->user) || target->cid != 0)
		return SQL_OK;
	if (peer == 0)
		rc = stmt_number(&w->s->writer, &peer, STMT_USER_ID, "s", target->user);
	if (rc == SQL_OK && peer != 0)
		rc = want_pair(w, op->user, peer, &cid);
	if (rc != SQL_OK || cid != 0 || peer == 0)
		return rc;
	ids_add(&w->users, op->user);
	ids_add(&w->users, peer);
	return SQL_OK;
}

/* Who comes in must not end his account meanwhile. */
static int
want_group(struct wanted *w, const struct op *op)
{
	const struct op_group *g = &op->in.group;
	uint64_t uid;
	int rc = SQL_OK;

	ids_add(&w->users, op->user);
	if (g->entry != NULL)
		ids_add(&w->convs, g->entry->cid);
	if (g->what == GROUP_CREATE || g->what == GROUP_INVITE)
		for (size_t i = 0; rc == SQL_OK && i < g->user_count; i++)
			rc = want_person(w, g->users[i].name, &uid);
	if (rc == SQL_OK && g->what != GROUP_CREATE)
		rc = want_target(w, op, &op->in.target);
	return rc;
}

static int
want_contact(struct wanted *w, const struct op *op)
{
	uint64_t peer = 0, cid;
	int rc;

	ids_add(&w->users, op->user);
	rc = want_person(w, op->contact.name, &peer);
	return rc == SQL_OK && peer != 0 ? want_pair(w, op->user, peer, &cid) : rc;
}

static int
want_listed(struct wanted *w, enum stmt stmt, uint64_t user)
{
	struct sql_conn *c = &w->s->writer;
	int rc = stmt_start(c, stmt, "i", user);

	for (; rc == SQL_ROW; rc = stmt_next(c, stmt))
		ids_add(&w->convs, column_u64(c, stmt, 0));
	stmt_end(c, stmt);
	return rc == SQL_DONE ? SQL_OK : rc;
}

static int
want_close(struct wanted *w, const struct op *op)
{
	int rc;

	ids_add(&w->users, op->user);
	rc = want_listed(w, STMT_GROUPS_OF, op->user);
	return rc == SQL_OK ? want_listed(w, STMT_CLOSE_DIRECTS, op->user) : rc;
}

static int
want(struct wanted *w, const struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		return want_target(w, op, &op->append.target);
	case OP_GROUP:
		return want_group(w, op);
	case OP_CONTACT:
		return want_contact(w, op);
	case OP_CLOSE:
		return want_close(w, op);
	case OP_REGISTER:
		return SQL_OK;
	case OP_LOGIN:
		ids_add(&w->users, op->session.uid);
		return SQL_OK;
	default:
		ids_add(&w->users, op->user);
		return SQL_OK;
	}
}

/* --- Locking --- */

static int
lock_users(struct wanted *w)
{
	return mysql_lock_many(
	    w->s->writer.mysql, MANY_LOCK_USERS, w->users.items, w->users.count, NULL, NULL);
}

/* Rows of conv that are locked, as far as they are told of in them: without names. */
struct locked {
	struct conv_row *rows; /* owned */
	size_t count;
};

static void
take_row(const struct mysql_statement *row, void *cookie)
{
	struct locked *locked = cookie;

	locked->rows[locked->count++] = (struct conv_row){
	    .cid = mysql_statement_u64(row, 0),
	    .kind = (enum conv_kind)mysql_statement_u64(row, 1),
	    .lo = mysql_statement_u64(row, 2),
	    .hi = mysql_statement_u64(row, 3),
	    .acl_ver = mysql_statement_u64(row, 4),
	    .min_seq = mysql_statement_u64(row, 5),
	    .open = mysql_statement_u64(row, 6) != 0,
	    .history = mysql_statement_u64(row, 7) != 0,
	    .admins_post = mysql_statement_u64(row, 8) != 0,
	    .admins_invite = mysql_statement_u64(row, 9) != 0,
	    .handle = short_name_of(mysql_statement_slice(row, 10)),
	    .head = mysql_statement_u64(row, 11),
	    .ts = mysql_statement_u64(row, 12),
	    .ended = mysql_statement_u64(row, 13),
	    .members = mysql_statement_u64(row, 14),
	};
}

/* What is there and was not locked is held by somebody else. */
static int
find_held(struct wanted *w, const struct locked *locked)
{
	struct mysql_writer *writer = mysql_writer_of(w->s);
	int rc = SQL_OK;

	writer->held_count = 0;
	for (size_t i = 0, at = 0; rc == SQL_OK && i < w->convs.count; i++) {
		struct conv_row row;

		if (at < locked->count && locked->rows[at].cid == w->convs.items[i]) {
			at++;
			continue;
		}
		rc = conv_load(&w->s->writer, w->convs.items[i], &row);
		if (rc == SQL_OK && row.cid != 0 && writer->held_count < LEN(writer->held))
			writer->held[writer->held_count++] = row.cid;
	}
	return rc == SQL_OK && writer->held_count > 0 ? SQL_HELD : rc;
}

/* The rows into the cache; those whose names are not known are read whole, and remembered. */
static int
take_convs(struct wanted *w, struct locked *locked)
{
	struct mysql_names *names = &mysql_writer_of(w->s)->names;
	struct ids unnamed = {0};
	int rc;

	for (size_t i = 0; i < locked->count; i++) {
		struct conv_row *row = &locked->rows[i];

		if (row->kind == CONV_DIRECT && !mysql_names_get(names, row))
			ids_add(&unnamed, row->cid);
		else
			convs_put(w->s, row);
	}
	rc = convs_get_all(w->s, unnamed.items, unnamed.count);
	for (size_t i = 0; rc == SQL_OK && i < unnamed.count; i++) {
		const struct cached_conv *conv = map_get(&w->s->convs.by_cid, unnamed.items[i]);

		if (conv != NULL)
			mysql_names_put(names, &conv->row);
	}
	mem_free(unnamed.items);
	return rc;
}

/* A batch does not wait for what others hold; who is alone with it, or patient, does. */
static int
lock_convs(struct wanted *w, bool waits)
{
	struct locked locked = {.rows = mem_alloc((w->convs.count + 1) * sizeof(*locked.rows))};
	int rc = mysql_lock_many(w->s->writer.mysql, waits ? MANY_LOCK_CONVS : MANY_LOCK_FREE,
	    w->convs.items, w->convs.count, take_row, &locked);

	if (rc == SQL_OK && !waits && locked.count < w->convs.count)
		rc = find_held(w, &locked);
	if (rc == SQL_OK)
		rc = take_convs(w, &locked);
	mem_free(locked.rows);
	return rc;
}

static void
wanted_fini(struct wanted *w)
{
	mem_free(w->users.items);
	mem_free(w->convs.items);
}

int
mysql_lock_rows(struct sql_store *s, struct op *const *ops, size_t count)
{
	struct wanted w = {.s = s};
	int rc = SQL_OK;

	for (size_t i = 0; rc == SQL_OK && i < count; i++)
		rc = want(&w, ops[i]);
	ids_sort(&w.users);
	ids_sort(&w.convs);
	if (rc == SQL_OK)
		rc = lock_users(&w);
	if (rc == SQL_OK)
		rc = lock_convs(&w, s->patient || w.convs.count < 2);
	wanted_fini(&w);
	return rc;
}

/* --- Dividing --- */

static bool
needs_held(struct mysql_writer *writer, const struct op *op)
{
	struct wanted w = {.s = &writer->sql};
	bool needs = want(&w, op) != SQL_OK;

	for (size_t i = 0; i < w.convs.count; i++)
		for (size_t k = 0; k < writer->held_count; k++)
			needs = needs || w.convs.items[i] == writer->held[k];
	wanted_fini(&w);
	return needs;
}

size_t
mysql_divide(struct sql_store *s, struct op **ops, size_t count)
{
	struct mysql_writer *writer = mysql_writer_of(s);
	struct op *held[LIMIT_STORE_BATCH];
	size_t free_count = 0, held_count = 0;

	assert(count <= LEN(held));
	for (size_t i = 0; i < count; i++)
		if (needs_held(writer, ops[i]))
			held[held_count++] = ops[i];
		else
			ops[free_count++] = ops[i];
	memcpy(&ops[free_count], held, held_count * sizeof(held[0]));
	return free_count;
}
