/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/mem.h"
#include "base/panic.h"
#include "store/sql_db.h"

void
convs_init(struct conv_cache *cache)
{
	*cache = (struct conv_cache){.limit = LIMIT_CONVS_CACHED};
	list_init(&cache->used);
}

static slice
pair_key(const struct cached_conv *conv)
{
	return slice_of((const char *)conv->pair, sizeof(conv->pair));
}

static void
drop(struct conv_cache *cache, struct cached_conv *conv)
{
	(void)map_remove(&cache->by_cid, conv->row.cid);
	if (conv->row.kind == CONV_DIRECT)
		(void)smap_remove(&cache->by_pair, pair_key(conv));
	list_remove(&conv->used);
	mem_free(conv);
}

void
convs_clear(struct conv_cache *cache)
{
	struct list *oldest;

	while ((oldest = list_pop(&cache->used)) != NULL)
		mem_free(container_of(oldest, struct cached_conv, used));
	map_fini(&cache->by_cid);
	smap_fini(&cache->by_pair);
}

static struct cached_conv *
keep(struct conv_cache *cache, const struct conv_row *row)
{
	struct cached_conv *conv = mem_zalloc(sizeof(*conv));

	if (cache->by_cid.count >= cache->limit)
		drop(cache, container_of(cache->used.next, struct cached_conv, used));
	conv->row = *row;
	conv->pair[0] = row->lo;
	conv->pair[1] = row->hi;
	map_put(&cache->by_cid, row->cid, conv);
	if (row->kind == CONV_DIRECT)
		smap_put(&cache->by_pair, pair_key(conv), conv);
	list_push_back(&cache->used, &conv->used);
	return conv;
}

/* Nothing there, or nothing any more. */
static void
head_settle(struct conv_row *row)
{
	if (row->head + 1 < row->min_seq)
		row->head = row->min_seq - 1;
}

static void
conv_columns(struct sql_conn *conn, enum stmt stmt, struct conv_row *ret)
{
	*ret = (struct conv_row){
	    .cid = column_u64(conn, stmt, 16),
	    .kind = (enum conv_kind)column_u64(conn, stmt, 0),
	    .lo = column_u64(conn, stmt, 1),
	    .hi = column_u64(conn, stmt, 2),
	    .acl_ver = column_u64(conn, stmt, 3),
	    .min_seq = column_u64(conn, stmt, 4),
	    .open = column_u64(conn, stmt, 5) != 0,
	    .history = column_u64(conn, stmt, 6) != 0,
	    .admins_post = column_u64(conn, stmt, 7) != 0,
	    .handle = short_name_of(column_slice(conn, stmt, 8)),
	    .lo_name = short_name_of(column_slice(conn, stmt, 9)),
	    .hi_name = short_name_of(column_slice(conn, stmt, 10)),
	    .head = column_u64(conn, stmt, 11),
	    .ts = column_u64(conn, stmt, 12),
	    .ended = column_u64(conn, stmt, 13),
	    .members = column_u64(conn, stmt, 14),
	    .admins_invite = column_u64(conn, stmt, 15) != 0,
	};
	head_settle(ret);
}

int
conv_load(struct sql_conn *conn, uint64_t cid, struct conv_row *ret)
{
	int rc = stmt_start(conn, STMT_CONV, "i", cid);

	if (rc == SQL_ROW)
		conv_columns(conn, STMT_CONV, ret);
	else
		*ret = (struct conv_row){0};
	stmt_end(conn, STMT_CONV);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

/* First locked, then read: a statement sees what was committed before it began. */
static int
row_lock(struct sql_store *s, uint64_t cid)
{
	uint64_t found;

	return s->locks ? stmt_number(&s->writer, &found, STMT_LOCK_CONV, "i", cid) : SQL_OK;
}

int
convs_get(struct sql_store *s, uint64_t cid, struct cached_conv **ret)
{
	struct conv_row row;
	int rc;

	*ret = map_get(&s->convs.by_cid, cid);
	if (*ret != NULL) {
		list_remove(&(*ret)->used);
		list_push_back(&s->convs.used, &(*ret)->used);
		return (*ret)->stale ? convs_reload(s, *ret) : SQL_OK;
	}
	if ((rc = row_lock(s, cid)) == SQL_OK)
		rc = conv_load(&s->writer, cid, &row);
	if (rc == SQL_OK && row.cid != 0)
		*ret = keep(&s->convs, &row);
	return rc;
}

void
convs_put(struct sql_store *s, struct conv_row *row)
{
	head_settle(row);
	(void)keep(&s->convs, row);
}

int
convs_get_all(struct sql_store *s, const uint64_t *cids, size_t count)
{
	struct sql_conn *c = &s->writer;
	struct buf json = {0};
	int rc;

	if (count == 0)
		return SQL_OK;
	for (size_t i = 0; i < count; i++)
		buf_printf(&json, "%c%llu", i == 0 ? '[' : ',', (unsigned long long)cids[i]);
	buf_put(&json, S("]"));
	rc = stmt_start(c, STMT_CONVS, "s", buf_slice(&json));
	for (; rc == SQL_ROW; rc = stmt_next(c, STMT_CONVS)) {
		struct conv_row row;

		conv_columns(c, STMT_CONVS, &row);
		(void)keep(&s->convs, &row);
	}
	stmt_end(c, STMT_CONVS);
	buf_fini(&json);
	return rc == SQL_DONE ? SQL_OK : rc;
}

int
convs_direct(struct sql_store *s, uint64_t a, uint64_t b, struct cached_conv **ret)
{
	uint64_t pair[2] = {a < b ? a : b, a < b ? b : a}, cid = 0;
	const struct cached_conv *cached =
	    smap_get(&s->convs.by_pair, slice_of((const char *)pair, sizeof(pair)));
	int rc = SQL_OK;

	*ret = NULL;
	if (cached != NULL)
		cid = cached->row.cid;
	else
		rc = stmt_number(&s->writer, &cid, STMT_DIRECT, "ii", pair[0], pair[1]);
	if (rc == SQL_OK && cid != 0)
		rc = convs_get(s, cid, ret);
	return rc;
}

void
convs_advance(struct cached_conv *conv, uint64_t seq, uint64_t ts)
{
	conv->row.head = seq;
	conv->row.ts = ts;
	conv->moved = true;
}

/* Heads are saved at the end of the transaction: until then the row in the database has an old one. */
static bool
keeps_head(const struct sql_store *s, const struct cached_conv *conv)
{
	return s->engine->shared && conv->moved;
}

void
convs_forget(struct sql_store *s, uint64_t cid)
{
	struct cached_conv *conv = map_get(&s->convs.by_cid, cid);

	if (conv != NULL && keeps_head(s, conv))
		conv->stale = true;
	else if (conv != NULL)
		drop(&s->convs, conv);
}

int
convs_reload(struct sql_store *s, struct cached_conv *conv)
{
	struct conv_row row;
	int rc = conv_load(&s->writer, conv->row.cid, &row);

	if (rc == SQL_OK && row.cid != 0) {
		assert(row.kind == conv->row.kind);
		if (keeps_head(s, conv)) {
			row.head = conv->row.head;
			row.ts = conv->row.ts;
		}
		conv->row = row;
		conv->stale = false;
	}
	return rc;
}
