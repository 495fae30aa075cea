/* SPDX-License-Identifier: MIT */
#include "chat/entry.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"

/* Copies s to *at and moves on; absent stays absent, and empty stays given. */
static slice
place(char **at, slice s)
{
	char *to = *at;

	if (!slice_given(s))
		return SLICE_NONE;
	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	*at += s.len;
	return slice_of(to, s.len);
}

static int64_t
entry_bytes(const struct entry *e)
{
	return (int64_t)(sizeof(*e) + e->kind.len + e->from.len + e->cmid.len + e->body.len +
			 e->data.len);
}

struct entry *
entry_create(const struct entry_parts *parts)
{
	size_t text =
	    parts->kind.len + parts->from.len + parts->cmid.len + parts->body.len + parts->data.len;
	struct entry *entry = mem_alloc(sizeof(*entry) + text);
	char *at = (char *)(entry + 1);

	*entry = (struct entry){
	    .sender = parts->sender,
	    .re = parts->re,
	    .ends = parts->ends,
	    .kind = place(&at, parts->kind),
	    .from = place(&at, parts->from),
	    .cmid = place(&at, parts->cmid),
	    .body = place(&at, parts->body),
	    .data = place(&at, parts->data),
	};
	atomic_init(&entry->refs, 1);
	gauge_add(GAUGE_HELD_ENTRIES, entry_bytes(entry));
	return entry;
}

struct entry *
entry_ref(struct entry *entry)
{
	uint32_t before = atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);

	assert(before > 0);
	return entry;
}

void
entry_unref(struct entry *entry)
{
	uint32_t before = atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel);

	assert(before > 0);
	if (before > 1)
		return;
	gauge_add(GAUGE_HELD_ENTRIES, -entry_bytes(entry));
	mem_free(entry);
}

static bool
same(slice a, slice b)
{
	return slice_given(a) == slice_given(b) && slice_eq(a, b);
}

bool
entry_same_content(const struct entry *a, const struct entry *b)
{
	return a->re == b->re && same(a->kind, b->kind) && same(a->body, b->body) &&
	       same(a->data, b->data);
}
