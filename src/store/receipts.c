/* SPDX-License-Identifier: MIT */
/*
 * How far the members of a conversation have come.  A group is answered from its tally, which every
 * transaction that moves marks, lets join or lets leave keeps with them; the two of a direct
 * conversation are looked at.
 */
#include "base/panic.h"
#include "store/sql_db.h"

/* --- Keeping the tally --- */

static void
move_both(struct sql_store *s, uint64_t cid, const uint64_t from[2], const uint64_t to[2])
{
	tally_move(&s->tally, cid, TALLY_READ, from[0], to[0]);
	tally_move(&s->tally, cid, TALLY_DELIVERED, from[1], to[1]);
}

void
tally_join(struct sql_store *s, uint64_t cid, uint64_t read, uint64_t delivered)
{
	move_both(s, cid, (uint64_t[]){TALLY_OUT, TALLY_OUT}, (uint64_t[]){read, delivered});
}

void
tally_leave(struct sql_store *s, uint64_t cid, uint64_t read, uint64_t delivered)
{
	move_both(s, cid, (uint64_t[]){read, delivered}, (uint64_t[]){TALLY_OUT, TALLY_OUT});
}

/* A node that may count nobody any more goes. */
static int
change_write(struct sql_store *s, const struct tally_change *change)
{
	const uint64_t *key = change->key;
	int64_t read = change->by[TALLY_READ], delivered = change->by[TALLY_DELIVERED];
	int rc;

	if (read == 0 && delivered == 0)
		return SQL_OK;
	rc = stmt_run(&s->writer, STMT_TALLY_ADD, "iiiii", key[0], key[1], key[2], (uint64_t)read,
	    (uint64_t)delivered);
	if (rc == SQL_OK && (read < 0 || delivered < 0))
		rc = stmt_run(&s->writer, STMT_TALLY_DROP, "iii", key[0], key[1], key[2]);
	return rc;
}

int
tally_write(struct sql_store *s)
{
	const struct tally_change *change;
	int rc = SQL_OK;

	for (size_t at = 0; rc == SQL_OK && (change = tally_next(&s->tally, &at)) != NULL;)
		rc = change_write(s, change);
	tally_clear(&s->tally);
	return rc;
}

/* --- Counting --- */

/* How many of a group's members have come to seq; all of them with 0. */
static int
tally_count(
    struct sql_store *s, uint64_t cid, uint64_t seq, uint64_t *ret_read, uint64_t *ret_delivered)
{
	struct sql_conn *c = &s->writer;
	int rc = SQL_OK;

	*ret_read = *ret_delivered = 0;
	for (unsigned level = 0; rc == SQL_OK && level < TALLY_LEVELS; level++) {
		uint64_t first, last;

		tally_range(seq, level, &first, &last);
		if (first > last)
			continue;
		rc = stmt_start(c, STMT_TALLY_SUM, "iiii", cid, (uint64_t)level, first, last);
		if (rc == SQL_ROW) {
			*ret_read += column_u64(c, STMT_TALLY_SUM, 0);
			*ret_delivered += column_u64(c, STMT_TALLY_SUM, 1);
			rc = SQL_OK;
		}
		stmt_end(c, STMT_TALLY_SUM);
	}
	return rc;
}

static int
group_count(struct sql_store *s, uint64_t cid, uint64_t author, struct op_receipts *of)
{
	struct member_row member;
	uint64_t unused;
	int rc = tally_count(s, cid, of->seq, &of->read, &of->delivered);

	if (rc == SQL_OK)
		rc = tally_count(s, cid, 0, &of->members, &unused);
	if (rc == SQL_OK)
		rc = member_load(&s->writer, author, cid, &member);
	if (rc == SQL_OK && member_standing(&member) == STANDING_MEMBER)
		receipts_without(of, &member);
	return rc;
}

static int
group_page(struct sql_store *s, struct op *op, uint64_t author)
{
	struct op_members *page = &op->in.receipts.page;
	struct sql_conn *c = &s->writer;
	slice after = slice_given(page->after) ? page->after : S("");
	uint64_t limit = page->limit < LIMIT_RECEIPTS ? page->limit : LIMIT_RECEIPTS;
	int rc = stmt_start(c, STMT_RECEIPTS, "isii", op->in.target.cid, after, author, limit + 1);

	page->items = op_alloc(op, (limit + 1) * sizeof(*page->items));
	for (; rc == SQL_ROW && page->count < limit; rc = stmt_next(c, STMT_RECEIPTS))
		page->items[page->count++] = (struct op_member){
		    .uid = column_u64(c, STMT_RECEIPTS, 0),
		    .name = op_copy(op, column_slice(c, STMT_RECEIPTS, 1)),
		    .read = column_u64(c, STMT_RECEIPTS, 2),
		    .delivered = column_u64(c, STMT_RECEIPTS, 3),
		};
	page->more = rc == SQL_ROW;
	stmt_end(c, STMT_RECEIPTS);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

/* The other one of a direct conversation than the author. */
static int
direct_receipts(struct sql_store *s, struct op *op, const struct conv_row *conv, uint64_t author)
{
	uint64_t user = conv_other(conv, author);
	struct sql_conn *c = &s->writer;
	struct op_member member = {.uid = user};
	struct peer_row peer = {0};
	int rc = SQL_OK;

	if (user != op->user) /* no mark passes a block */
		rc = peer_load(c, op->user, user, &peer);
	if (rc != SQL_OK)
		return rc;
	rc = stmt_start(c, STMT_RECEIPT, "ii", user, conv->cid);
	if (rc == SQL_ROW) {
		member.name = op_copy(op, column_slice(c, STMT_RECEIPT, 0));
		member.read = peer.blocked ? 0 : column_u64(c, STMT_RECEIPT, 1);
		member.delivered = peer.blocked ? 0 : column_u64(c, STMT_RECEIPT, 2);
		receipts_of_one(op, &member);
	}
	stmt_end(c, STMT_RECEIPT);
	return rc == SQL_ROW || rc == SQL_DONE ? SQL_OK : rc;
}

static int
receipts_in(struct sql_store *s, struct op *op, const struct conv_row *conv)
{
	struct op_receipts *of = &op->in.receipts;
	struct member_row member;
	uint64_t author = 0;
	int rc = member_load(&s->writer, op->user, conv->cid, &member);

	if (rc != SQL_OK)
		return rc;
	op->fault = receipts_allowed(op, conv, &member);
	if (op->fault.err != ERR_OK)
		return SQL_OK;
	rc = stmt_number(&s->writer, &author, STMT_MSG_SENDER, "ii", conv->cid, of->seq);
	if (rc != SQL_OK)
		return rc;
	conv_facts_fill(op, conv, &op->in.facts);
	if (conv->kind == CONV_DIRECT)
		return direct_receipts(s, op, conv, author);
	rc = group_count(s, conv->cid, author, of);
	return rc == SQL_OK ? group_page(s, op, author) : rc;
}

int
sql_receipts(struct sql_store *s, struct op *op)
{
	struct cached_conv *conv;
	int rc = sql_resolve(s, op, &op->in.target, &conv, &op->fault);

	if (rc != SQL_OK || op->fault.err != ERR_OK)
		return rc;
	if (conv == NULL) {
		op_fail(op, ERR_NOT_FOUND, NULL);
		return SQL_OK;
	}
	return receipts_in(s, op, &conv->row);
}
