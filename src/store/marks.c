/* SPDX-License-Identifier: MIT */
/*
 * Marks and last-seen times are answered at once and written later: one row in memory for each row
 * on disk, however often it changes.  A row waits in `pending` until a transaction took it along,
 * then stays a while in `recent`, for readers whose snapshot is older.  Values only grow, so that
 * the higher of the two is right.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "store/sql_db.h"

void
marks_init(struct marks *marks)
{
	*marks = (struct marks){0};
	(void)pthread_mutex_init(&marks->lock, NULL);
	list_init(&marks->pending);
	list_init(&marks->recent);
	list_init(&marks->touched);
}

static struct mark_row *
row_of(struct list *link)
{
	return container_of(link, struct mark_row, link);
}

static slice
row_key(const uint64_t key[2])
{
	return slice_of((const char *)key, 2 * sizeof(*key));
}

static void
row_drop(struct marks *marks, struct mark_row *row)
{
	(void)smap_remove(&marks->rows, row_key(row->key));
	list_remove(&row->link);
	*(row->pending ? &marks->pending_count : &marks->recent_count) -= 1;
	mem_free(row);
}

static void
touch_drop(struct marks *marks, struct touch_row *touch)
{
	(void)smap_remove(&marks->touches, row_key(touch->key));
	list_remove(&touch->link);
	mem_free(touch->ip);
	mem_free(touch);
}

void
marks_fini(struct marks *marks)
{
	while (!list_empty(&marks->pending))
		row_drop(marks, row_of(marks->pending.next));
	while (!list_empty(&marks->recent))
		row_drop(marks, row_of(marks->recent.next));
	while (!list_empty(&marks->touched))
		touch_drop(marks, container_of(marks->touched.next, struct touch_row, link));
	smap_fini(&marks->rows);
	smap_fini(&marks->touches);
	(void)pthread_mutex_destroy(&marks->lock);
}

void
marks_forget_recent(struct sql_store *s)
{
	(void)pthread_mutex_lock(&s->marks.lock);
	while (!list_empty(&s->marks.recent))
		row_drop(&s->marks, row_of(s->marks.recent.next));
	(void)pthread_mutex_unlock(&s->marks.lock);
}

/* --- Growing --- */

/* Into recent: it becomes pending when something grows. */
static struct mark_row *
row_add(struct marks *marks, uint64_t user, uint64_t cid, const struct member_row *member)
{
	struct mark_row *row = mem_zalloc(sizeof(*row));

	row->key[0] = user;
	row->key[1] = cid;
	row->read = member->read;
	row->delivered = member->delivered;
	smap_put(&marks->rows, row_key(row->key), row);
	list_push_back(&marks->recent, &row->link);
	marks->recent_count++;
	if (marks->recent_count > LIMIT_MARKS_RECENT)
		row_drop(marks, row_of(marks->recent.next));
	return row;
}

static void
row_make_pending(struct marks *marks, struct mark_row *row)
{
	if (row->pending)
		return;
	list_remove(&row->link);
	marks->recent_count--;
	row->pending = true;
	row->dirty_ms = clock_mono_ms();
	list_push_back(&marks->pending, &row->link);
	marks->pending_count++;
}

/*
 * The row of a member, from memory if his rights are as they were when it was read; where others
 * write too, they may have moved the marks since.
 */
static int
row_find(struct sql_store *s, const struct op *op, const struct conv_row *conv,
    struct mark_row **ret_row, enum err *ret_err)
{
	uint64_t key[2] = {op->user, conv->cid};
	struct member_row member;
	struct peer_row peer = {0};
	int rc;

	*ret_err = ERR_OK;
	*ret_row = smap_get(&s->marks.rows, row_key(key));
	if (*ret_row != NULL && (*ret_row)->acl_ver == conv->acl_ver && !s->engine->shared)
		return SQL_OK;
	if ((rc = member_load(&s->writer, op->user, conv->cid, &member)) != SQL_OK)
		return rc;
	if ((*ret_err = rights_see(conv, op->user, &member, true)) != ERR_OK)
		return SQL_OK;
	if (conv->kind == CONV_DIRECT)
		rc = peer_load(&s->writer, op->user, conv_other(conv, op->user), &peer);
	if (rc != SQL_OK)
		return rc;
	(void)pthread_mutex_lock(&s->marks.lock);
	if (*ret_row == NULL)
		*ret_row = row_add(&s->marks, op->user, conv->cid, &member);
	/* Who came back begins right before his new joining. */
	if ((*ret_row)->read < member.read)
		(*ret_row)->read = member.read;
	if ((*ret_row)->delivered < member.delivered)
		(*ret_row)->delivered = member.delivered;
	(*ret_row)->acl_ver = conv->acl_ver;
	(*ret_row)->blocked = peer.blocked;
	(void)pthread_mutex_unlock(&s->marks.lock);
	return SQL_OK;
}

/* What another writer of the pool was told of the same member. */
static void
row_raise(struct sql_store *s, struct mark_row *row)
{
	uint64_t read = 0, delivered = 0;

	if (s->writer_count == 0)
		return;
	marks_overlay(s, row->key[0], row->key[1], &read, &delivered);
	(void)pthread_mutex_lock(&s->marks.lock);
	row->read = read;
	row->delivered = delivered;
	(void)pthread_mutex_unlock(&s->marks.lock);
}

int
sql_mark(struct sql_store *s, struct op *op)
{
	struct cached_conv *conv;
	struct mark_row *row;
	int rc = sql_resolve(s, op, &op->mark.target, &conv, &op->fault);

	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	if (conv == NULL) {
		op_fail(op, ERR_NOT_FOUND, NULL);
		return SQL_OK;
	}
	if ((rc = row_find(s, op, &conv->row, &row, &op->fault.err)) != SQL_OK ||
	    op->fault.err != ERR_OK)
		return rc;
	row_raise(s, row);
	(void)pthread_mutex_lock(&s->marks.lock);
	if (marks_grow(op, conv->row.head, &row->read, &row->delivered))
		row_make_pending(&s->marks, row);
	if (op->mark.changed)
		row->told[0] = row->told[1] = (struct mark_told){row->read, row->delivered};
	if (row->blocked)
		op->mark.target.peer = 0; /* he is not told */
	(void)pthread_mutex_unlock(&s->marks.lock);
	return SQL_OK;
}

void
sql_mark_heard(struct sql_store *s, struct op *op)
{
	const uint64_t key[2] = {op->user, op->mark.target.cid};
	struct mark_told *told;
	struct mark_row *row;

	(void)pthread_mutex_lock(&s->marks.lock);
	if ((row = smap_get(&s->marks.rows, row_key(key))) == NULL)
		row = row_add(&s->marks, key[0], key[1], &(struct member_row){0});
	(void)pthread_mutex_unlock(&s->marks.lock);
	row_raise(s, row);
	(void)pthread_mutex_lock(&s->marks.lock);
	(void)marks_grow(op, UINT64_MAX, &row->read, &row->delivered);
	told = &row->told[op->mark.heard_by != op->user];
	op->mark.changed = row->read > told->read || row->delivered > told->delivered;
	*told = (struct mark_told){row->read, row->delivered};
	(void)pthread_mutex_unlock(&s->marks.lock);
}

void
sql_touch(struct sql_store *s, const struct op *op)
{
	struct marks *marks = &s->marks;
	uint64_t key[2] = {op->touch.session, op->touch.user};
	struct touch_row *touch;

	(void)pthread_mutex_lock(&marks->lock);
	if ((touch = smap_get(&marks->touches, row_key(key))) == NULL) {
		touch = mem_zalloc(sizeof(*touch));
		memcpy(touch->key, key, sizeof(key));
		touch->dirty_ms = clock_mono_ms();
		smap_put(&marks->touches, row_key(touch->key), touch);
		list_push_back(&marks->touched, &touch->link);
	}
	if (op->touch.seen > touch->seen)
		touch->seen = op->touch.seen;
	if (slice_given(op->touch.ip)) {
		mem_free(touch->ip);
		touch->ip = mem_dup(op->touch.ip);
	}
	(void)pthread_mutex_unlock(&marks->lock);
}

/* --- Writing --- */

static bool
old_enough(uint64_t dirty_ms, bool all)
{
	return all || clock_mono_ms() - dirty_ms >= MARKS_RIDE_MS;
}

/*
 * Where they ride, messages wait for them, so they are few; but more once that is not enough to have
 * all written in time, and a great many if there are too many, or somebody waits for all.
 */
static size_t
at_once(const struct sql_store *s, bool all, bool rides)
{
	if (!s->engine->marks_ride || (all && !rides) ||
	    s->marks.pending_count + s->marks.touches.count >= LIMIT_MARKS_PENDING)
		return LIMIT_MARKS_BATCH;
	return rides && marks_due_ms(s) > clock_mono_ms() ? LIMIT_MARKS_RIDE : LIMIT_MARKS_ALONE;
}

/* A member's marks as they are on disk are part of his group's tally. */
static int
row_tally(struct sql_store *s, const struct mark_row *row)
{
	uint64_t user = row->key[0], cid = row->key[1];
	struct cached_conv *conv;
	struct member_row old;
	int rc = convs_get(s, cid, &conv);

	if (rc != SQL_OK || conv == NULL || conv->row.kind != CONV_GROUP)
		return rc;
	if ((rc = member_lock(s, user, cid)) != SQL_OK ||
	    (rc = member_load(&s->writer, user, cid, &old)) != SQL_OK ||
	    member_standing(&old) != STANDING_MEMBER)
		return rc;
	if (row->read > old.read)
		tally_move(&s->tally, cid, TALLY_READ, old.read, row->read);
	if (row->delivered > old.delivered)
		tally_move(&s->tally, cid, TALLY_DELIVERED, old.delivered, row->delivered);
	return SQL_OK;
}

static int
row_write(struct sql_store *s, const struct mark_row *row)
{
	int rc = row_tally(s, row);

	if (rc == SQL_OK)
		rc = stmt_run(&s->writer, STMT_MEMBER_MARKS, "iiii", row->key[0], row->key[1],
		    row->read, row->delivered);
	return rc;
}

static int
rows_write(struct sql_store *s, bool all, size_t most)
{
	struct marks *marks = &s->marks;
	int rc = SQL_OK;

	for (struct list *at = marks->pending.next;
	     rc == SQL_OK && at != &marks->pending && marks->writing_rows < most; at = at->next) {
		const struct mark_row *row = row_of(at);

		if (!old_enough(row->dirty_ms, all))
			break;
		rc = row_write(s, row);
		marks->writing_rows++;
	}
	return rc;
}

static int
touches_write(struct sql_store *s, bool all, size_t most)
{
	struct marks *marks = &s->marks;
	int rc = SQL_OK;

	for (struct list *at = marks->touched.next;
	     rc == SQL_OK && at != &marks->touched && marks->writing_touches < most;
	     at = at->next) {
		const struct touch_row *touch = container_of(at, struct touch_row, link);

		if (!old_enough(touch->dirty_ms, all))
			break;
		rc = stmt_run(&s->writer, STMT_TOKEN_SEEN, "iis", touch->key[0], touch->seen,
		    slice_str(touch->ip));
		if (rc == SQL_OK)
			rc = stmt_run(&s->writer, STMT_USER_SEEN, "ii", touch->key[1], touch->seen);
		marks->writing_touches++;
	}
	return rc;
}

int
marks_write(struct sql_store *s, bool all, bool rides)
{
	size_t most = at_once(s, all, rides);
	int rc;

	s->marks.writing_rows = s->marks.writing_touches = 0;
	if ((rc = touches_write(s, all, most)) == SQL_OK)
		rc = rows_write(s, all, most);
	return rc;
}

void
marks_written(struct sql_store *s)
{
	struct marks *marks = &s->marks;

	(void)pthread_mutex_lock(&marks->lock);
	for (; marks->writing_rows > 0; marks->writing_rows--) {
		struct mark_row *row = row_of(marks->pending.next);

		list_remove(&row->link);
		marks->pending_count--;
		row->pending = false;
		list_push_back(&marks->recent, &row->link);
		marks->recent_count++;
	}
	while (marks->recent_count > LIMIT_MARKS_RECENT)
		row_drop(marks, row_of(marks->recent.next));
	for (; marks->writing_touches > 0; marks->writing_touches--)
		touch_drop(marks, container_of(marks->touched.next, struct touch_row, link));
	(void)pthread_mutex_unlock(&marks->lock);
}

uint64_t
marks_due_ms(const struct sql_store *s)
{
	const struct marks *marks = &s->marks;
	uint64_t due = UINT64_MAX;

	if (marks->pending_count + marks->touches.count >= LIMIT_MARKS_PENDING)
		return 0;
	if (!list_empty(&marks->pending))
		due = row_of(marks->pending.next)->dirty_ms + MARKS_ALONE_MS;
	if (!list_empty(&marks->touched)) {
		uint64_t touch_due =
		    container_of(marks->touched.next, struct touch_row, link)->dirty_ms +
		    MARKS_ALONE_MS;

		due = touch_due < due ? touch_due : due;
	}
	return due;
}

/* --- Readers --- */

static void
mark_raise(struct marks *marks, const uint64_t key[2], uint64_t *read, uint64_t *delivered)
{
	const struct mark_row *row;

	(void)pthread_mutex_lock(&marks->lock);
	row = smap_get(&marks->rows, row_key(key));
	if (row != NULL && row->read > *read)
		*read = row->read;
	if (row != NULL && row->delivered > *delivered)
		*delivered = row->delivered;
	(void)pthread_mutex_unlock(&marks->lock);
}

void
marks_overlay(struct sql_store *s, uint64_t user, uint64_t cid, uint64_t *read, uint64_t *delivered)
{
	const uint64_t key[2] = {user, cid};

	if (s->writer_count == 0)
		mark_raise(&s->marks, key, read, delivered);
	for (size_t i = 0; i < s->writer_count; i++)
		mark_raise(&s->writers[i]->marks, key, read, delivered);
}

static void
touch_raise(struct marks *marks, const uint64_t key[2], struct op *op, struct op_session *session)
{
	const struct touch_row *touch;

	(void)pthread_mutex_lock(&marks->lock);
	touch = smap_get(&marks->touches, row_key(key));
	if (touch != NULL && touch->seen > session->seen)
		session->seen = touch->seen;
	if (touch != NULL && touch->ip != NULL)
		session->ip = op_copy(op, slice_str(touch->ip));
	(void)pthread_mutex_unlock(&marks->lock);
}

void
touches_overlay(struct sql_store *s, struct op *op, uint64_t user, struct op_session *session)
{
	const uint64_t key[2] = {session->session, user};

	if (s->writer_count == 0)
		touch_raise(&s->marks, key, op, session);
	for (size_t i = 0; i < s->writer_count; i++)
		touch_raise(&s->writers[i]->marks, key, op, session);
}
