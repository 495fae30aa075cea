/* SPDX-License-Identifier: MIT */
/*
 * Edits, deletions and receipts of the memory store.  An entry that was handed out is read-only: a
 * message that changes is another entry at its place of the log.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/panic.h"
#include "store/memory_db.h"

/* --- Edits and deletions --- */

struct msg_row
mem_msg_row(const struct mem_conv *conv, uint64_t seq)
{
	const struct entry *entry = mem_entry_at(conv, seq), *deletion;
	struct msg_row msg = {0};

	if (entry == NULL)
		return msg;
	msg.exists = true;
	msg.is_message = kind_is_message(entry->kind);
	msg.has_data = slice_given(entry->data);
	msg.sender = entry->sender;
	for (uint64_t at = seq + 1; at <= conv->row.head; at++) {
		const struct entry *edit = mem_entry_at(conv, at);

		msg.edits += edit->re == seq && slice_eq(edit->kind, S("edit"));
	}
	/* The edits of a deleted message have its deletion too, but none of their own. */
	deletion =
	    msg.is_message && entry->deleted != 0 ? mem_entry_at(conv, entry->deleted) : NULL;
	if (deletion != NULL) {
		msg.deleted = deletion->seq;
		msg.deleter = deletion->sender;
		msg.deleted_ts = deletion->ts;
	}
	return msg;
}

/* Another entry takes the place of the one at seq. */
static void
replace(
    struct mem_conv *conv, uint64_t seq, slice body, slice data, uint64_t edited, uint64_t deleted)
{
	struct entry **place = &conv->log[seq - conv->log_base], *old = *place, *fresh;
	struct mem_sent *sent = mem_sent_of(conv, old);

	fresh = entry_create(&(struct entry_parts){
	    .sender = old->sender,
	    .re = old->re,
	    .ends = old->ends,
	    .kind = old->kind,
	    .from = old->from,
	    .cmid = old->cmid,
	    .body = body,
	    .data = data,
	});
	fresh->cid = old->cid;
	fresh->seq = old->seq;
	fresh->ts = old->ts;
	fresh->edited = edited;
	fresh->deleted = deleted;
	if (sent != NULL)
		sent->entry = fresh;
	*place = fresh;
	entry_unref(old);
}

void
mem_edit_apply(struct mem_conv *conv, const struct entry *edit)
{
	struct entry *message = mem_entry_at(conv, edit->re);

	if (map_get(&conv->written, edit->re) == NULL)
		map_put(&conv->written, edit->re, entry_ref(message));
	replace(conv, edit->re, edit->body, slice_given(edit->data) ? edit->data : message->data,
	    edit->seq, 0);
}

uint64_t
mem_edit_then(const struct mem_conv *conv, const struct entry *message, uint64_t head,
    slice *ret_body, slice *ret_data)
{
	const struct entry *written = map_get(&conv->written, message->seq);
	uint64_t edited = 0;

	*ret_body = written != NULL ? written->body : message->body;
	*ret_data = written != NULL ? written->data : message->data;
	for (uint64_t at = message->seq + 1; at <= head; at++) {
		const struct entry *edit = mem_entry_at(conv, at);

		if (edit->re != message->seq || !slice_eq(edit->kind, S("edit")))
			continue;
		edited = at;
		*ret_body = edit->body;
		if (slice_given(edit->data))
			*ret_data = edit->data;
	}
	return edited;
}

void
mem_delete_apply(struct mem_conv *conv, uint64_t seq, uint64_t deletion)
{
	struct entry *written = map_remove(&conv->written, seq);

	if (written != NULL)
		entry_unref(written);
	for (uint64_t at = seq; at < deletion; at++) {
		const struct entry *entry = mem_entry_at(conv, at);

		if (at == seq || (entry->re == seq && slice_eq(entry->kind, S("edit"))))
			replace(conv, at, SLICE_NONE, SLICE_NONE, entry->edited, deletion);
	}
}

/* --- Receipts --- */

static int
by_name(const void *a, const void *b)
{
	const struct op_member *x = a, *y = b;

	return slice_cmp(x->name, y->name);
}

/* Marks are counted one by one. */
static void
group_receipts(struct memory *m, struct op *op, const struct mem_conv *conv, uint64_t author)
{
	struct op_receipts *of = &op->in.receipts;
	struct op_member *all = op_alloc(op, (conv->members.count + 1) * sizeof(*all));
	struct op_members *page = &of->page;
	const struct mem_member *member;
	size_t count = 0;

	for (size_t at = 0; (member = map_next(&conv->members, &at)) != NULL;) {
		slice name = mem_user_name(m, member->user);
		struct member_row row = mem_member_row(conv, member->user);

		if (member->user == author || member_standing(&row) != STANDING_MEMBER)
			continue;
		of->members++;
		of->read += row.read >= of->seq;
		of->delivered += row.delivered >= of->seq;
		if (!slice_given(page->after) || slice_cmp(name, page->after) > 0)
			all[count++] = (struct op_member){.uid = member->user,
			    .name = op_copy(op, name),
			    .read = row.read,
			    .delivered = row.delivered};
	}
	if (count > 0)
		qsort(all, count, sizeof(*all), by_name);
	page->items = all;
	page->count = count;
	if (page->count > page->limit)
		page->count = page->limit;
	if (page->count > LIMIT_RECEIPTS)
		page->count = LIMIT_RECEIPTS;
	page->more = page->count < count;
}

static void
direct_receipts(struct memory *m, struct op *op, const struct mem_conv *conv, uint64_t author)
{
	uint64_t user = conv_other(&conv->row, author);
	struct member_row row = mem_member_row(conv, user);
	/* No mark passes a block. */
	bool hidden = user != op->user && mem_blocked(m, op->user, user);
	const struct op_member member = {
	    .uid = user,
	    .name = op_copy(op, mem_user_name(m, user)),
	    .read = hidden ? 0 : row.read,
	    .delivered = hidden ? 0 : row.delivered,
	};

	receipts_of_one(op, &member);
}

void
mem_receipts(struct memory *m, struct op *op)
{
	struct mem_conv *conv;
	struct member_row member;
	const struct entry *entry;
	const char *param;
	enum err err = mem_resolve(m, op, &op->in.target, &conv, &param);

	if (err == ERR_OK && conv == NULL)
		err = ERR_NOT_FOUND;
	op_fail(op, err, param);
	if (err != ERR_OK)
		return;
	member = mem_member_row(conv, op->user);
	op->fault = receipts_allowed(op, &conv->row, &member);
	if (op->fault.err != ERR_OK)
		return;
	entry = mem_entry_at(conv, op->in.receipts.seq);
	conv_facts_fill(op, &conv->row, &op->in.facts);
	if (conv->row.kind == CONV_DIRECT)
		direct_receipts(m, op, conv, entry->sender);
	else
		group_receipts(m, op, conv, entry->sender);
}
