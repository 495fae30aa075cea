/* SPDX-License-Identifier: MIT */
/* A ring of slices of runs, in the order of sending; freed, or kept for the next connection, when empty. */
#include "base/mem.h"
#include "net/net_internal.h"

enum { OUTQ_SLICES = 8, CHUNK_MIN = 512, CHUNK_MAX = 16 * 1024 };

static struct outq *
outq_alloc(uint32_t capacity)
{
	struct outq *q = mem_alloc(sizeof(*q) + capacity * sizeof(q->slices[0]));

	*q = (struct outq){.capacity = capacity};
	return q;
}

struct outq *
outq_take(struct reactor *reactor)
{
	struct outq *q = reactor->outq_kept;

	if (q == NULL) {
		q = outq_alloc(OUTQ_SLICES);
	} else {
		reactor->outq_kept = q->next_kept;
		if (--reactor->outq_kept_count < reactor->outq_unused)
			reactor->outq_unused = reactor->outq_kept_count;
		*q = (struct outq){.capacity = q->capacity};
	}
	q->accepted_ms = reactor->now_ms;
	return q;
}

static struct out_slice *
slice_at(struct outq *q, uint32_t i)
{
	return &q->slices[(q->head + i) & (q->capacity - 1)];
}

void
outq_give(struct reactor *reactor, struct outq *q)
{
	for (uint32_t i = 0; i < q->count; i++)
		run_unref(slice_at(q, i)->run);
	if (q->capacity > OUTQ_SLICES || reactor->outq_kept_count >= LIMIT_OUTQ_KEPT) {
		mem_free(q);
		return;
	}
	q->next_kept = reactor->outq_kept;
	reactor->outq_kept = q;
	reactor->outq_kept_count++;
}

static void
outq_free_some(struct reactor *reactor, unsigned left)
{
	while (reactor->outq_kept_count > left) {
		struct outq *q = reactor->outq_kept;

		reactor->outq_kept = q->next_kept;
		reactor->outq_kept_count--;
		mem_free(q);
	}
}

void
outq_free_kept(struct reactor *reactor)
{
	outq_free_some(reactor, 0);
}

void
outq_trim(struct reactor *reactor)
{
	if (reactor->now_ms < reactor->outq_trim_ms)
		return;
	if (reactor->outq_unused > OUTQ_SPARE)
		outq_free_some(reactor, reactor->outq_kept_count - reactor->outq_unused + OUTQ_SPARE);
	reactor->outq_unused = reactor->outq_kept_count;
	reactor->outq_trim_ms = reactor->now_ms + OUTQ_KEPT_MS;
}

static void
outq_grow(struct outq **q)
{
	struct outq *old = *q, *new = outq_alloc(old->capacity * 2);

	new->accepted_ms = old->accepted_ms;
	new->bytes = old->bytes;
	new->count = old->count;
	new->chunk = old->chunk;
	for (uint32_t i = 0; i < old->count; i++)
		new->slices[i] = *slice_at(old, i);
	mem_free(old);
	*q = new;
}

/* Takes the caller's reference over. */
static void
outq_push_owned(struct outq **q, struct run *run, uint32_t offset, uint32_t len)
{
	if ((*q)->count == (*q)->capacity)
		outq_grow(q);
	*slice_at(*q, (*q)->count++) = (struct out_slice){run, offset, len};
	(*q)->bytes += len;
}

void
outq_push(struct outq **q, struct run *run, uint32_t offset, uint32_t len)
{
	if ((*q)->count > 0) {
		struct out_slice *tail = slice_at(*q, (*q)->count - 1);

		if (tail->run == run && tail->offset + tail->len == offset) {
			tail->len += len;
			(*q)->bytes += len;
			return;
		}
	}
	outq_push_owned(q, run_ref(run), offset, len);
}

/* Only the holder of the one reference may append, and only where nothing of the run lies behind. */
static size_t
tail_append(struct outq *q, slice bytes)
{
	struct out_slice *tail;
	size_t room;

	if (q->count == 0)
		return 0;
	tail = slice_at(q, q->count - 1);
	if (tail->run->refs != 1 || tail->offset + tail->len != tail->run->len)
		return 0;
	room = tail->run->capacity - tail->run->len;
	if (room > bytes.len)
		room = bytes.len;
	memcpy(tail->run->bytes + tail->run->len, bytes.ptr, room);
	tail->run->len += (uint32_t)room;
	tail->len += (uint32_t)room;
	q->bytes += room;
	return room;
}

void
outq_write(struct outq **q, slice bytes)
{
	size_t used = tail_append(*q, bytes), rest = bytes.len - used;
	uint32_t chunk = (*q)->chunk * 2;
	struct run *run;

	if (rest == 0)
		return;
	if (chunk < CHUNK_MIN)
		chunk = CHUNK_MIN;
	(*q)->chunk = chunk < CHUNK_MAX ? chunk : CHUNK_MAX;
	run = run_create(rest > (*q)->chunk ? rest : (*q)->chunk);
	memcpy(run->bytes, bytes.ptr + used, rest);
	run->len = (uint32_t)rest;
	outq_push_owned(q, run, 0, (uint32_t)rest);
}

unsigned
outq_peek(const struct outq *q, struct iovec *iov, unsigned max, size_t *ret_bytes)
{
	unsigned n = q->count < max ? q->count : max;

	*ret_bytes = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct out_slice *s = &q->slices[(q->head + i) & (q->capacity - 1)];

		iov[i] = (struct iovec){.iov_base = s->run->bytes + s->offset, .iov_len = s->len};
		*ret_bytes += s->len;
	}
	return n;
}

static size_t
outq_gather(const struct outq *q, char *to, size_t size)
{
	size_t len = 0;

	for (uint32_t i = 0; i < q->count && len < size; i++) {
		const struct out_slice *s = &q->slices[(q->head + i) & (q->capacity - 1)];
		size_t n = s->len < size - len ? s->len : size - len;

		memcpy(to + len, s->run->bytes + s->offset, n);
		len += n;
	}
	return len;
}

slice
outq_front(const struct outq *q, char *scratch, size_t size)
{
	const struct out_slice *first = &q->slices[q->head];

	if (q->count > 1 && first->len < size)
		return slice_of(scratch, outq_gather(q, scratch, size));
	return slice_of(first->run->bytes + first->offset, first->len < size ? first->len : size);
}

void
outq_consume(struct outq *q, size_t bytes)
{
	assert(bytes <= q->bytes);
	q->bytes -= bytes;
	while (bytes > 0) {
		struct out_slice *first = slice_at(q, 0);

		if (bytes < first->len) {
			first->offset += (uint32_t)bytes;
			first->len -= (uint32_t)bytes;
			return;
		}
		bytes -= first->len;
		run_unref(first->run);
		q->head = (q->head + 1) & (q->capacity - 1);
		q->count--;
	}
}
