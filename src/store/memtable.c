/* SPDX-License-Identifier: MIT */
#include "store/memtable.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/panic.h"

void
memtable_init(struct memtable *m)
{
	*m = (struct memtable){.clock = 1};
	(void)pthread_mutex_init(&m->lock, NULL);
}

void
memtable_fini(struct memtable *m)
{
	memtable_filling_fini(&m->filling);
	mem_free(m->sorted);
	(void)pthread_mutex_destroy(&m->lock);
}

/* --- Runs --- */

static struct memtable_entry *
entries_of(struct memtable_run *run)
{
	return run->capacity == 0 ? &run->first : run->more;
}

static void
run_grow(struct memtable_run *run)
{
	struct memtable_entry first = run->first;

	run->more = mem_resize(
	    run->more, run->capacity == 0 ? 4 : (size_t)run->capacity * 2, sizeof(*run->more));
	if (run->capacity == 0)
		run->more[0] = first;
	run->capacity = run->capacity == 0 ? 4 : run->capacity * 2;
}

static void
run_add(struct memtable_run *run, const struct memtable_entry *entry)
{
	if (run->count == (run->capacity == 0 ? 1 : run->capacity))
		run_grow(run);
	entries_of(run)[run->count++] = *entry;
}

static bool
run_ends_before(struct memtable_run *run, uint64_t seq)
{
	return run->count == 0 || entries_of(run)[run->count - 1].seq < seq;
}

/* The first run is number 1. */
static struct memtable_run *
run_of(const struct memtable_filling *f, uint64_t cid)
{
	uintptr_t number = (uintptr_t)map_get(&f->by_cid, cid);

	return number == 0 ? NULL : &f->runs[number - 1];
}

static struct memtable_run *
run_make(struct memtable_filling *f, uint64_t cid)
{
	struct memtable_run *run;

	if (f->run_count == f->run_capacity) {
		f->run_capacity = f->run_capacity == 0 ? 64 : f->run_capacity * 2;
		f->runs = mem_resize(f->runs, f->run_capacity, sizeof(*f->runs));
	}
	run = &f->runs[f->run_count++];
	*run = (struct memtable_run){0};
	map_put(&f->by_cid, cid, (void *)(uintptr_t)f->run_count);
	return run;
}

bool
memtable_fill(struct memtable_filling *f, const struct memtable_entry *entry)
{
	struct memtable_run *run = run_of(f, entry->cid);

	assert(entry->id > f->last_id);
	if (run == NULL)
		run = run_make(f, entry->cid);
	if (!run_ends_before(run, entry->seq))
		return false;
	run_add(run, entry);
	f->last_id = entry->id;
	f->count++;
	return true;
}

void
memtable_filling_fini(struct memtable_filling *f)
{
	for (size_t i = 0; i < f->run_count; i++)
		mem_free(f->runs[i].more);
	map_fini(&f->by_cid);
	mem_free(f->runs);
	*f = (struct memtable_filling){0};
}

/* --- The writer --- */

/* The first of these, in their order, that is not before this place. */
static size_t
entries_from(const struct memtable_entry *entries, size_t count, uint64_t cid, uint64_t seq)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct memtable_entry *entry = &entries[middle];

		if (entry->cid < cid || (entry->cid == cid && entry->seq < seq))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
sorted_ends_before(const struct memtable *m, uint64_t cid, uint64_t seq)
{
	size_t at = entries_from(m->sorted, m->sorted_count, cid, seq);

	return at == m->sorted_count || m->sorted[at].cid != cid;
}

bool
memtable_add(struct memtable *m, uint64_t cid, uint64_t seq, uint64_t id)
{
	bool added;

	if (!sorted_ends_before(m, cid, seq))
		return false;
	(void)pthread_mutex_lock(&m->lock);
	added = memtable_fill(&m->filling, &(struct memtable_entry){cid, seq, id});
	(void)pthread_mutex_unlock(&m->lock);
	return added;
}

size_t
memtable_added(const struct memtable *m)
{
	return m->filling.count - m->count_sure;
}

/* Those that are merged are in the index of every snapshot that is read. */
static bool
all_see_index(const struct memtable *m)
{
	for (size_t i = 0; i < LEN(m->reading); i++)
		if (m->reading[i] != 0 && m->reading[i] < m->clock)
			return false;
	return true;
}

static void
forget_merged(struct memtable *m)
{
	if (m->sorted == NULL || m->merged_sure < m->sorted_count || !all_see_index(m))
		return;
	mem_free(m->sorted);
	m->sorted = NULL;
	m->sorted_count = m->merged = m->merged_sure = 0;
	m->first_id = m->sorted_last_id + 1;
}

void
memtable_committed(struct memtable *m)
{
	(void)pthread_mutex_lock(&m->lock);
	m->sure_id = m->filling.last_id;
	m->count_sure = m->filling.count;
	if (m->merged_sure < m->sorted_count && m->merged == m->sorted_count)
		m->clock++;
	m->merged_sure = m->merged;
	forget_merged(m);
	(void)pthread_mutex_unlock(&m->lock);
}

static void
run_take_back(struct memtable_run *run, uint64_t last_id)
{
	const struct memtable_entry *entries = entries_of(run);

	while (run->count > 0 && entries[run->count - 1].id > last_id)
		run->count--;
}

void
memtable_rolled_back(struct memtable *m)
{
	struct memtable_filling *f = &m->filling;

	(void)pthread_mutex_lock(&m->lock);
	for (size_t i = 0; f->last_id > m->sure_id && i < f->run_count; i++)
		run_take_back(&f->runs[i], m->sure_id);
	f->last_id = m->sure_id;
	f->count = m->count_sure;
	m->merged = m->merged_sure;
	(void)pthread_mutex_unlock(&m->lock);
}

static int
compare_entries(const void *a, const void *b)
{
	const struct memtable_entry *one = a, *other = b;

	if (one->cid != other->cid)
		return one->cid < other->cid ? -1 : 1;
	return (one->seq > other->seq) - (one->seq < other->seq);
}

static struct memtable_entry *
sort(const struct memtable_filling *f)
{
	struct memtable_entry *sorted = mem_resize(NULL, f->count, sizeof(*sorted));
	size_t at = 0;

	for (size_t i = 0; i < f->run_count; i++) {
		struct memtable_run *run = &f->runs[i];

		memcpy(sorted + at, entries_of(run), run->count * sizeof(*sorted));
		at += run->count;
	}
	assert(at == f->count);
	qsort(sorted, at, sizeof(*sorted), compare_entries);
	return sorted;
}

/* Readers look things up meanwhile, until one takes the place of the other. */
void
memtable_freeze(struct memtable *m, size_t at_least)
{
	struct memtable_filling old = m->filling;
	struct memtable_entry *sorted;

	assert(old.last_id == m->sure_id);
	if (m->sorted != NULL || old.count == 0 || old.count < at_least)
		return;
	sorted = sort(&old);
	(void)pthread_mutex_lock(&m->lock);
	m->sorted = sorted;
	m->sorted_count = old.count;
	m->sorted_last_id = old.last_id;
	m->filling = (struct memtable_filling){.last_id = old.last_id};
	m->count_sure = 0;
	(void)pthread_mutex_unlock(&m->lock);
	memtable_filling_fini(&old);
}

const struct memtable_entry *
memtable_next(const struct memtable *m, size_t most, size_t *ret_count)
{
	size_t left = m->sorted_count - m->merged;

	*ret_count = left < most ? left : most;
	return m->sorted + m->merged;
}

bool
memtable_merged(struct memtable *m, size_t count, uint64_t *ret_id)
{
	assert(count <= m->sorted_count - m->merged);
	m->merged += count;
	*ret_id = m->sorted_last_id;
	return count > 0 && m->merged == m->sorted_count;
}

size_t
memtable_count(const struct memtable *m)
{
	return m->sorted_count + m->filling.count;
}

void
memtable_replace(struct memtable *m, struct memtable_filling *filling, uint64_t first_id)
{
	(void)pthread_mutex_lock(&m->lock);
	memtable_filling_fini(&m->filling);
	mem_free(m->sorted);
	m->sorted = NULL;
	m->sorted_count = m->merged = m->merged_sure = 0;
	m->filling = *filling;
	m->first_id = first_id;
	m->sure_id = filling->last_id;
	m->count_sure = filling->count;
	(void)pthread_mutex_unlock(&m->lock);
	*filling = (struct memtable_filling){0};
}

/* --- Readers --- */

void
memtable_enter(struct memtable *m, unsigned reader)
{
	assert(reader < LEN(m->reading));
	(void)pthread_mutex_lock(&m->lock);
	m->reading[reader] = m->clock;
	(void)pthread_mutex_unlock(&m->lock);
}

void
memtable_leave(struct memtable *m, unsigned reader)
{
	(void)pthread_mutex_lock(&m->lock);
	m->reading[reader] = 0;
	(void)pthread_mutex_unlock(&m->lock);
}

/* What was found so far, and where it goes. */
struct found {
	const struct memtable_query *query;
	struct memtable_entry *entries;
	size_t count, most;
};

/* False if it is one too many or the snapshot does not have it: then neither what follows. */
static bool
found_add(struct found *found, const struct memtable_entry *entry)
{
	bool visible = entry->id <= found->query->visible_id;

	if (found->count == found->most)
		return false;
	if (visible)
		found->entries[found->count++] = *entry;
	return visible || found->query->newest_first;
}

/* Numbers up to UINT64_MAX - 1: there is one behind each. */
static void
find_in(struct found *found, const struct memtable_entry *entries, size_t count)
{
	const struct memtable_query *q = found->query;
	size_t from = entries_from(entries, count, q->cid, q->from);
	size_t to = entries_from(entries, count, q->cid, q->to + 1);
	bool more = true;

	for (size_t i = from; more && !q->newest_first && i < to; i++)
		more = found_add(found, &entries[i]);
	for (size_t i = to; more && q->newest_first && i > from; i--)
		more = found_add(found, &entries[i - 1]);
}

static void
find_filling(const struct memtable *m, struct found *found)
{
	struct memtable_run *run = run_of(&m->filling, found->query->cid);

	if (run != NULL)
		find_in(found, entries_of(run), run->count);
}

size_t
memtable_find(
    struct memtable *m, const struct memtable_query *query, struct memtable_entry *ret, size_t most)
{
	struct found found = {.query = query, .entries = ret, .most = most};

	assert(query->to < UINT64_MAX);
	if (query->from > query->to)
		return 0;
	(void)pthread_mutex_lock(&m->lock);
	if (query->newest_first)
		find_filling(m, &found);
	find_in(&found, m->sorted, m->sorted_count);
	if (!query->newest_first)
		find_filling(m, &found);
	(void)pthread_mutex_unlock(&m->lock);
	return found.count;
}
