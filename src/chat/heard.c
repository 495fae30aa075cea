/* SPDX-License-Identifier: MIT */
#include "chat/heard.h"

#include "chat/op.h"
#include "store/driver.h"

/* --- What the log says --- */

static struct op *
log_page(struct driver *store, uint64_t cid)
{
	struct op *op = op_create(OP_PAGE);

	op->page.target.cid = cid;
	op->page.limit = HEARD_ENTRIES;
	op->page.max_bytes = UINT32_MAX;
	store->type->read(store, 0, op);
	assert_int_equal(op->fault.err, ERR_OK);
	return op;
}

static unsigned
joins_of(const char (*names)[8], unsigned users, const struct entry *entry)
{
	unsigned mask = 0;
	char name[16];

	if (!slice_eq(entry->kind, S("create")) && !slice_eq(entry->kind, S("join")))
		return 0;
	for (unsigned i = 0; i < users; i++) {
		(void)snprintf(name, sizeof(name), "\"%s\"", names[i]);
		mask |=
		    (unsigned)(memmem(entry->data.ptr, entry->data.len, name, strlen(name)) != NULL)
		    << i;
	}
	return mask;
}

static unsigned
ends_of(unsigned users, const struct entry *entry)
{
	if (entry->ends == ENTRY_ENDS_ALL)
		return (1u << users) - 1;
	return entry->ends != 0 ? 1u << (entry->ends - 1) : 0;
}

void
group_log_read(struct driver *store, const char (*names)[8], unsigned users, struct group_log *ret)
{
	struct op *op = log_page(store, ret->cid);

	ret->head = op->page.head;
	assert_true(ret->head <= HEARD_ENTRIES && op->page.count == ret->head);
	for (size_t i = 0; i < op->page.count; i++) {
		const struct entry *entry = op->page.items[i];

		ret->joins[entry->seq] = joins_of(names, users, entry);
		ret->ends[entry->seq] = ends_of(users, entry);
	}
	op_destroy(&op);
}

uint64_t
group_log_head(struct driver *store, uint64_t cid)
{
	struct op *op = log_page(store, cid);
	uint64_t head = op->page.head;

	op_destroy(&op);
	return head;
}

/* --- What a connection was told --- */

static void
hear(const struct group_log *group, unsigned user, struct heard *h, const struct told *t)
{
	uint64_t to = t->what == TOLD_GAP ? t->to : t->seq;

	if (t->what == TOLD_CONV && t->change == CONV_REMOVED) {
		/* Right behind an entry that ended a membership of his. */
		assert_true(h->follows && !h->past && h->next > 1);
		assert_true(group->ends[h->next - 1] & (1u << user));
		assert_true(h->edited < h->next); /* what was edited since is not for him */
		h->follows = false;
	} else if (t->what == TOLD_CONV) {
		assert_true(!h->follows || (h->past && h->next > h->end));
		assert_true(t->seq >= h->next); /* nothing comes twice */
		h->follows = true;
		h->past = false;
		h->next = h->from = t->seq;
		h->edited = 0;
	} else if (t->what == TOLD_ENTRY || t->what == TOLD_GAP) {
		assert_true(h->follows);
		assert_int_equal(t->seq, h->next);
		for (uint64_t seq = t->seq; seq <= to; seq++)
			h->seen[seq] = true;
		h->next = to + 1;
		if (t->what == TOLD_ENTRY && t->to > h->edited)
			h->edited = t->to;
		assert_true(!h->past || (to <= h->end && h->edited <= h->end));
	}
}

void
heard_by(const struct link *link, const struct group_log *group, struct heard *ret)
{
	*ret = (struct heard){0};
	for (size_t i = 0; i < link->conv_count; i++)
		if (link->convs[i].cid == group->cid) {
			ret->follows = true;
			ret->past = !link->convs[i].member;
			ret->next = link->convs[i].next;
			ret->end = link->convs[i].head;
		}
	for (size_t i = 0; i < link->count; i++)
		if (link->told[i].cid == group->cid)
			hear(group, link->user, ret, &link->told[i]);
}
