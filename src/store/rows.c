/* SPDX-License-Identifier: MIT */
#include "store/rows.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/panic.h"
#include "store/driver.h"

enum { RETRY_AFTER_MS = 1000 };

uint64_t
driver_now_ms(const struct driver_options *options)
{
	return options->now_ms != NULL ? options->now_ms(options->cookie) : clock_real_ms();
}

void
epoch_make(char ret_epoch[EPOCH_BYTES])
{
	unsigned char bits[12];

	random_bytes(bits, sizeof(bits));
	for (size_t i = 0; i < sizeof(bits); i++)
		(void)snprintf(ret_epoch + 2 * i, 3, "%02x", bits[i]);
}

struct short_name
short_name_of(slice name)
{
	struct short_name copy = {0};

	assert(name.len <= sizeof(copy.text));
	if (name.len > 0)
		memcpy(copy.text, name.ptr, name.len);
	copy.len = (uint8_t)name.len;
	return copy;
}

slice
short_name_slice(const struct short_name *name)
{
	return name->len > 0 ? slice_of(name->text, name->len) : SLICE_NONE;
}

bool
conv_has(const struct conv_row *conv, uint64_t user)
{
	assert(conv->kind == CONV_DIRECT);
	return conv->lo == user || conv->hi == user;
}

uint64_t
conv_other(const struct conv_row *conv, uint64_t user)
{
	return conv->lo == user ? conv->hi : conv->lo;
}

void
conv_facts_fill(struct op *op, const struct conv_row *conv, struct conv_facts *ret_facts)
{
	*ret_facts = (struct conv_facts){
	    .kind = conv->kind,
	    .lo = conv->lo,
	    .hi = conv->hi,
	    .lo_name = op_copy(op, short_name_slice(&conv->lo_name)),
	    .hi_name = op_copy(op, short_name_slice(&conv->hi_name)),
	    .handle = op_copy(op, short_name_slice(&conv->handle)),
	};
}

enum standing
member_standing(const struct member_row *member)
{
	if (!member->exists || (member->left && member->leave_seq == 0))
		return STANDING_NONE;
	return member->left ? STANDING_LEFT : STANDING_MEMBER;
}

uint64_t
member_min_seq(const struct conv_row *conv, const struct member_row *member)
{
	if (conv->kind == CONV_DIRECT || conv->history || member->join_seq < conv->min_seq)
		return conv->min_seq;
	return member->join_seq;
}

uint64_t
member_head(const struct conv_row *conv, const struct member_row *member)
{
	if (member->left && member->leave_seq < conv->head)
		return member->leave_seq;
	return conv->head;
}

enum err
rights_direct(const struct peer_row *peer, bool creating)
{
	if (peer->asker_gone)
		return ERR_SESSION_REVOKED;
	if (!peer->exists)
		return ERR_NOT_FOUND;
	if (peer->blocked)
		return ERR_BLOCKED;
	if (creating && peer->contacts_only && !peer->is_contact)
		return ERR_FORBIDDEN;
	return ERR_OK;
}

/* Who has no business there learns of an open group only. */
static enum err
not_member(const struct conv_row *conv, const struct member_row *member)
{
	if (member_standing(member) == STANDING_LEFT || conv->open)
		return ERR_NOT_MEMBER;
	return ERR_NOT_FOUND;
}

enum err
rights_group(const struct conv_row *conv, const struct member_row *member, uint64_t now_ms)
{
	assert(conv->kind == CONV_GROUP);
	if (member_standing(member) != STANDING_MEMBER)
		return not_member(conv, member);
	if (member->muted_until > now_ms)
		return ERR_FORBIDDEN;
	if (conv->admins_post && member->role < ROLE_ADMIN)
		return ERR_FORBIDDEN;
	return ERR_OK;
}

enum err
rights_see(
    const struct conv_row *conv, uint64_t user, const struct member_row *member, bool be_member)
{
	enum standing standing;

	if (conv->kind == CONV_DIRECT)
		return conv_has(conv, user) ? ERR_OK : ERR_NOT_FOUND;
	standing = member_standing(member);
	if (standing == STANDING_NONE || (be_member && standing == STANDING_LEFT))
		return not_member(conv, member);
	return ERR_OK;
}

enum err
rights_info(const struct conv_row *conv, const struct member_row *member)
{
	if (member_standing(member) == STANDING_MEMBER || conv->open)
		return ERR_OK;
	return not_member(conv, member);
}

enum err
rights_members(const struct conv_row *conv, const struct member_row *member, bool banned)
{
	if (member_standing(member) != STANDING_MEMBER)
		return not_member(conv, member);
	return banned && member->role < ROLE_ADMIN ? ERR_FORBIDDEN : ERR_OK;
}

void
info_fill(struct op_group_info *info, const struct conv_row *conv, const struct member_row *member)
{
	info->open = conv->open;
	info->history = conv->history;
	info->admins_post = conv->admins_post;
	info->admins_invite = conv->admins_invite;
	info->members = conv->members;
	info->role = member_standing(member) == STANDING_MEMBER ? member->role : ROLE_NONE;
}

/* --- Edits and deletions --- */

bool
kind_is_message(slice kind)
{
	return slice_eq(kind, S("text")) || slice_starts(kind, S("x-"));
}

static bool
msg_is_there(const struct op *op, const struct msg_row *msg)
{
	return msg->exists && msg->is_message && op->append.entry->re >= op->append.min_seq;
}

struct fault
rights_edit(const struct op *op, const struct msg_row *msg)
{
	const struct entry *entry = op->append.entry;

	if (!msg_is_there(op, msg) || msg->deleted != 0)
		return (struct fault){.err = ERR_NOT_FOUND, .param = "seq"};
	if (msg->sender != op->user)
		return (struct fault){.err = ERR_FORBIDDEN};
	if (msg->edits >= LIMIT_EDITS)
		return (struct fault){.err = ERR_LIMIT, .max = LIMIT_EDITS};
	if (entry->body.len == 0 && !slice_given(entry->data) && !msg->has_data)
		return (struct fault){.err = ERR_INVALID_PARAMS, .param = "body"};
	return (struct fault){0};
}

static enum err
rights_delete_there(const struct op *op, const struct conv_row *conv,
    const struct member_row *member, const struct peer_row *peer)
{
	if (conv->kind == CONV_GROUP)
		return member_standing(member) == STANDING_MEMBER ? ERR_OK
								  : not_member(conv, member);
	if (peer->asker_gone)
		return ERR_SESSION_REVOKED;
	return conv_has(conv, op->user) && peer->exists ? ERR_OK : ERR_NOT_FOUND;
}

struct fault
rights_delete(const struct op *op, const struct conv_row *conv, const struct member_row *member,
    const struct peer_row *peer, const struct msg_row *msg)
{
	enum err err = rights_delete_there(op, conv, member, peer);

	if (err != ERR_OK)
		return (struct fault){.err = err};
	if (!msg_is_there(op, msg))
		return (struct fault){.err = ERR_NOT_FOUND, .param = "seq"};
	if (msg->sender == op->user || (conv->kind == CONV_GROUP && member->role >= ROLE_ADMIN))
		return (struct fault){0};
	return (struct fault){.err = ERR_FORBIDDEN};
}

/* --- Receipts --- */

struct fault
receipts_allowed(const struct op *op, const struct conv_row *conv, const struct member_row *member)
{
	uint64_t seq = op->in.receipts.seq;
	enum err err = rights_see(conv, op->user, member, true);

	if (err != ERR_OK)
		return (struct fault){.err = err};
	if (seq < member_min_seq(conv, member) || seq > conv->head)
		return (struct fault){.err = ERR_NOT_FOUND, .param = "seq"};
	return (struct fault){0};
}

/* What a file says that somebody else wrote to may not add up: then it is not made worse. */
static void
take_one(uint64_t *count, bool counted)
{
	if (counted && *count > 0)
		(*count)--;
}

void
receipts_without(struct op_receipts *of, const struct member_row *author)
{
	take_one(&of->members, true);
	take_one(&of->read, author->read >= of->seq);
	take_one(&of->delivered, author->delivered >= of->seq);
}

void
receipts_of_one(struct op *op, const struct op_member *member)
{
	struct op_receipts *of = &op->in.receipts;

	of->members = 1;
	of->read = member->read >= of->seq;
	of->delivered = member->delivered >= of->seq;
	if (of->page.limit == 0 ||
	    (slice_given(of->page.after) && slice_cmp(member->name, of->page.after) <= 0))
		return;
	of->page.items = op_alloc(op, sizeof(*of->page.items));
	of->page.items[0] = *member;
	of->page.count = 1;
}

/* --- Marks --- */

static uint64_t
grown(uint64_t now, uint64_t wanted, uint64_t head)
{
	if (wanted > head)
		wanted = head;
	return wanted > now ? wanted : now;
}

bool
marks_grow(struct op *op, uint64_t head, uint64_t *read, uint64_t *delivered)
{
	uint64_t new_read = grown(*read, op->mark.read, head);
	uint64_t new_delivered = grown(*delivered, op->mark.delivered, head);

	if (new_delivered < new_read)
		new_delivered = new_read;
	op->mark.changed = new_read != *read || new_delivered != *delivered;
	op->mark.read = *read = new_read;
	op->mark.delivered = *delivered = new_delivered;
	return op->mark.changed;
}

void
append_found(struct op *op, const struct entry *found)
{
	const struct entry *entry = op->append.entry;
	bool changed = found->edited != 0 || found->deleted != 0;

	if ((!changed && !entry_same_content(found, entry)) ||
	    kind_is_message(found->kind) != kind_is_message(entry->kind)) {
		op_fail(op, ERR_CONFLICT, NULL);
		return;
	}
	op->fault = (struct fault){0};
	op->append.dup = true;
	op->append.created = false;
	op->append.seq = op->append.entry->seq = found->seq;
	op->append.ts = op->append.entry->ts = found->ts;
	op->append.entry->cid = found->cid;
}

void
append_deleted(struct op *op, const struct conv_row *conv, const struct msg_row *msg)
{
	op->fault = (struct fault){0};
	op->append.dup = true;
	op->append.acl_ver = 0;
	op->append.seq = op->append.entry->seq = msg->deleted;
	op->append.ts = op->append.entry->ts = msg->deleted_ts;
	op->append.entry->cid = conv->cid;
}

void
append_done(struct op *op, const struct conv_row *conv, uint64_t seq, uint64_t ts)
{
	op->fault = (struct fault){0};
	op->append.dup = false;
	op->append.acl_ver = conv->acl_ver;
	op->append.seq = op->append.entry->seq = seq;
	op->append.ts = op->append.entry->ts = ts;
	op->append.entry->cid = conv->cid;
}

uint64_t
page_until(const struct op *op)
{
	uint64_t until = op->page.until;

	return until != 0 && until < op->page.head ? until : op->page.head;
}

void
page_range(const struct op *op, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t from = op->page.min_seq, to = page_until(op);

	if (op->page.after >= from)
		from = op->page.after + 1;
	if (op->page.before != 0 && op->page.before - 1 < to)
		to = op->page.before - 1;
	*ret_from = from;
	*ret_to = to;
}

slice
text_cut(slice s, size_t max)
{
	if (s.len <= max)
		return s;
	s.len = max;
	while (s.len > 0 && ((unsigned char)s.ptr[s.len] & 0xc0) == 0x80)
		s.len--;
	return s;
}

void
op_fail(struct op *op, enum err err, const char *param)
{
	op->fault = (struct fault){.err = err, .param = param};
}

void
close_reset(struct op *op)
{
	for (size_t i = 0; i < op->close.count; i++)
		entry_unref(op->close.entries[i]);
	op->close.entries = NULL;
	op->close.contacts = NULL;
	op->close.count = op->close.contact_count = 0;
	op->fault = (struct fault){0};
}

void
op_unavailable(struct op *op)
{
	op->fault = (struct fault){.err = ERR_UNAVAILABLE, .retry_after_ms = RETRY_AFTER_MS};
}

bool
cursors_name(const struct op_cursor *cursors, size_t count, uint64_t cid)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cursors[middle].cid < cid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && cursors[low].cid == cid;
}

static int
newer_first(const void *a, const void *b)
{
	const struct op_conv *x = a, *y = b;

	if (x->ts != y->ts)
		return x->ts < y->ts ? 1 : -1;
	return x->cid < y->cid ? 1 : x->cid > y->cid ? -1 : 0;
}

void
sync_newest_first(struct op *op)
{
	if (op->sync.count > 1)
		qsort(op->sync.items, op->sync.count, sizeof(*op->sync.items), newer_first);
	while (op->sync.count > LIMIT_SYNC_CONVS) {
		struct op_conv *oldest = &op->sync.items[--op->sync.count];

		if (oldest->last != NULL)
			entry_unref(oldest->last);
		oldest->last = NULL;
	}
}
