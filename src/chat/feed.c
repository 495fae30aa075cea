/* SPDX-License-Identifier: MIT */
/*
 * Feeding: a peer with streams that are behind gets what it misses, in order, at most
 * LIMIT_FEED_BYTES a turn, and only while its queue has room.  Pages of the log are read aligned,
 * shared by all who are in the same place, encoded once for a wire form, and kept for a moment: a
 * thousand returning members of a group cost one reading.
 *
 * Who is behind in a group may be no member any more, which he has yet to read: an edit that was made
 * since then is not for him.  A page that shows one beyond the last place at which he is known to have
 * been a member is read once more for him, and for all who are like him, as it was there; the edit
 * itself follows those who are still members.
 */
#include "chat/mail.h"

/* --- Pages --- */

void
page_forget_runs(struct page *page)
{
	for (unsigned form = 0; form < FORM_MAX; form++) {
		if (page->runs[form] != NULL)
			run_unref(page->runs[form]);
		mem_free(page->ends[form]);
		page->runs[form] = NULL;
		page->ends[form] = NULL;
	}
}

void
page_destroy(struct shard *shard, struct page *page)
{
	list_remove(&page->of_topic);
	list_remove(&page->by_use);
	shard->page_bytes -= page->bytes;
	for (size_t i = 0; i < page->count; i++)
		entry_unref(page->entries[i]);
	page_forget_runs(page);
	mem_free(page->entries);
	mem_free(page);
}

static void
pages_shrink(struct shard *shard, size_t bytes_max)
{
	while (shard->page_bytes > bytes_max)
		page_destroy(shard, container_of(shard->pages.next, struct page, by_use));
}

static struct page *
page_create(struct shard *shard, struct topic *topic, struct op *op)
{
	struct page *page = mem_zalloc(sizeof(*page));

	page->topic = topic;
	page->count = op->page.count;
	page->entries = mem_alloc(page->count * sizeof(struct entry *));
	page->bytes = sizeof(*page);
	for (size_t i = 0; i < page->count; i++) {
		struct entry *entry = op->page.items[i];

		page->entries[i] = entry_ref(entry);
		page->leavings = page->leavings || entry->ends != 0;
		page->edited = page->edited > entry->edited ? page->edited : entry->edited;
		/* Kept as an entry, and encoded once or twice. */
		page->bytes += sizeof(*entry) + 3 * (entry->body.len + entry->data.len + 150);
	}
	page->asked = op->page.after + 1;
	page->first = page->entries[0]->seq;
	page->last = page->entries[page->count - 1]->seq;
	page->as_of = page->until = op->page.head;
	if (op->page.until != 0 && op->page.until < page->until)
		page->until = op->page.until;
	page->used_ms = shard->mono_ms;
	pages_shrink(shard, LIMIT_PAGE_CACHE_BYTES);
	list_push_back(&topic->pages, &page->of_topic);
	list_push_back(&shard->pages, &page->by_use);
	shard->page_bytes += page->bytes;
	return page;
}

/*
 * Where the user's membership ends in entries start to end - 1 of a page: right behind that entry; otherwise at
 * `end`.  What ended up to `past` does not count any more.
 */
static size_t
page_membership(const struct page *page, size_t start, size_t end, uint64_t user, uint64_t past)
{
	for (size_t i = start; page->leavings && i < end; i++)
		if (page->entries[i]->ends != 0 && page->entries[i]->seq > past &&
		    entry_ends(page->entries[i], user))
			return i + 1;
	return end;
}

/* What a stream needs of a page. */
struct need {
	uint64_t seq, user;
	uint64_t fresh; /* it was read when the log was here, or further */
	uint64_t past;  /* he was a member when the log was here */
};

/* How far he is known to have been a member, with what the page says. */
static uint64_t
need_known(const struct need *need, const struct page *page)
{
	size_t start = need->seq > page->first ? need->seq - page->first : 0;
	size_t end = page_membership(page, start, page->count, need->user, need->past);
	uint64_t known = page->entries[end - 1]->seq;

	if (known < need->past)
		known = need->past;
	/* What has ended ended at its head, or before. */
	return page->topic->ended && known > page->topic->head ? page->topic->head : known;
}

/* Where a page should be read from, and as it read when which seq was the head (0: as it does now). */
struct reading {
	uint64_t from, until;
};

/*
 * The page that has what is needed; or NULL and what should be read: from the aligned place, or
 * right behind a page that was cut short by its size.
 */
static struct page *
page_find(struct topic *topic, const struct need *need, struct reading *ret_read)
{
	uint64_t from = (need->seq - 1) / LIMIT_PAGE_ENTRIES * LIMIT_PAGE_ENTRIES + 1, until = 0;
	struct list *link = topic->pages.next;

	while (link != &topic->pages) {
		struct page *page = container_of(link, struct page, of_topic);
		uint64_t known;

		link = link->next;
		if (page->as_of < need->fresh || page->until < need->past || page->asked > from ||
		    page->last < from)
			continue;
		if (page->last < need->seq) {
			from = page->last + 1;
			link = topic->pages.next;
			continue;
		}
		known = need_known(need, page);
		if (page->edited <= known || topic->facts.kind == CONV_DIRECT)
			return page;
		until = until == 0 || known < until ? known : until;
	}
	*ret_read = (struct reading){.from = from, .until = until};
	return NULL;
}

/* False if too many are under way. */
static bool
page_read(struct shard *shard, struct topic *topic, const struct reading *read)
{
	struct op *op;

	if (topic->reading || topic->retry_ms > shard->mono_ms)
		return true;
	if (shard->page_reads >= LIMIT_PAGE_READS)
		return false;
	op = op_create(OP_PAGE);
	op->page.target.cid = topic->cid;
	op->page.after = read->from - 1;
	op->page.until = read->until;
	op->page.limit = (uint32_t)(LIMIT_PAGE_ENTRIES - op->page.after % LIMIT_PAGE_ENTRIES);
	op->page.max_bytes = LIMIT_PAGE_BYTES;
	op->context = topic->slot;
	topic->reading = true;
	shard->page_reads++;
	shard_submit(shard, op);
	return true;
}

static struct run *
page_run(struct shard *shard, struct page *page, unsigned form)
{
	const struct chat_out *out = &shard->config.out;
	const struct topic *topic = page->topic;

	if (page->runs[form] == NULL) {
		page->ends[form] = mem_alloc(page->count * sizeof(uint32_t));
		page->runs[form] = out->encode_entries(out->gate, form, topic->cid, &topic->facts,
		    page->entries, page->count, page->ends[form]);
	}
	page->used_ms = shard->mono_ms;
	list_remove(&page->by_use);
	list_push_back(&shard->pages, &page->by_use);
	return page->runs[form];
}

/* --- Peers --- */

void
feed_peer_soon(struct peer *peer)
{
	struct busy *busy = peer_busy(peer);

	if (!list_linked(&busy->feed_link))
		list_push_back(&peer->shard->feed, &busy->feed_link);
}

enum fed {
	FED_ALL,     /* this stream is at the head */
	FED_SOME,    /* there is more, and room for it */
	FED_WAITS,   /* for a page */
	FED_STARVED, /* for a page that can't even be asked for now */
	FED_FULL,    /* the peer's queue is full */
	FED_LEFT,    /* the last entry was the end of its user's membership: it is no more */
};

/* The log does not go back as far as that any more. */
static void
feed_gap(struct peer *peer, const struct topic *topic, struct apart *stream, uint64_t first)
{
	struct event event = {.kind = EVENT_GAP};

	event.gap.cid = topic->cid;
	event.gap.from = (stream->cursor & ~APART_BEHIND) + 1;
	event.gap.to = first - 1;
	(void)peer_event(peer, &event, true);
	stat_add(STAT_GAPS, 1);
	stream->cursor = (first - 1) | APART_BEHIND;
}

/* Hands on what one page has for one stream, at most *budget bytes (but one entry). */
static enum fed
feed_stream(struct peer *peer, struct topic *topic, uint32_t sub, size_t *budget)
{
	struct shard *shard = peer->shard;
	struct apart *stream = &peer->busy->aparts[sub];
	uint64_t next = (stream->cursor & ~APART_BEHIND) + 1;
	uint64_t told = stream->fresh, past = told & FRESH_ENDS ? 0 : told;
	const struct need need = {
	    .seq = next, .user = peer->user, .fresh = told & ~FRESH_ENDS, .past = past};
	struct reading read;
	uint32_t offset, *ends;
	struct page *page;
	struct run *run;
	size_t i, start, end;

	if (next > topic->head) {
		topic_caught_up(topic, peer, sub);
		return FED_ALL;
	}
	if ((page = page_find(topic, &need, &read)) == NULL)
		return page_read(shard, topic, &read) ? FED_WAITS : FED_STARVED;
	if (next < page->first) {
		feed_gap(peer, topic, stream, page->first);
		return FED_SOME;
	}
	run = page_run(shard, page, peer->form);
	ends = page->ends[peer->form];
	start = i = next - page->first;
	offset = start > 0 ? ends[start - 1] : 0;
	end = page_membership(page, start, page->count, peer->user, past);
	while (i < end && page->entries[i]->seq <= topic->head &&
	       (i == start || ends[i] - offset <= *budget))
		i++;
	if (i == start) /* the log went beyond what this topic may show */
		return FED_WAITS;
	if (shard->config.out.queue(peer->out, run, offset, ends[i - 1] - offset, false) ==
	    CHAT_FULL)
		return FED_FULL;
	*budget -= *budget < ends[i - 1] - offset ? *budget : ends[i - 1] - offset;
	stream->cursor = page->entries[i - 1]->seq | APART_BEHIND;
	stat_add(STAT_DELIVERIES, i - start);
	stat_add(STAT_FED, i - start);
	if (page->entries[i - 1]->ends != 0 && page->entries[i - 1]->seq > past &&
	    entry_ends(page->entries[i - 1], peer->user)) {
		sync_ended(peer, sub, page->entries[i - 1]);
		return FED_LEFT;
	}
	return FED_SOME;
}

/*
 * Feeds one peer as far as it goes now.  True if it is to come again at once; one that waits for a
 * page is called when it comes, one whose queue is full when that has drained.
 */
static bool
feed_peer(struct peer *peer)
{
	struct shard *shard = peer->shard;
	struct busy *busy = peer->busy;
	size_t budget = LIMIT_FEED_BYTES;
	bool starved = false;

	for (uint32_t tried = 0; tried < peer->sub_count && busy->behind_count > 0;) {
		uint32_t at = busy->feed_at % peer->sub_count;
		struct topic *topic = shard->topics[peer->subs[at].topic];
		enum fed fed = FED_ALL;

		if (busy->aparts[at].cursor & APART_BEHIND) {
			do
				fed = feed_stream(peer, topic, at, &budget);
			while (fed == FED_SOME && budget > 0);
		}
		if (fed == FED_FULL)
			return false;
		if (fed == FED_SOME)
			return true;
		starved = starved || fed == FED_STARVED;
		if (fed == FED_LEFT)
			continue; /* another one is at its place now */
		if (fed == FED_ALL && topic->ended) {
			sync_past_read(peer, at);
			continue;
		}
		busy->feed_at = at + 1;
		tried++;
	}
	return starved;
}

bool
feed_turn(struct shard *shard)
{
	struct list again;
	unsigned fed = 0;
	bool more;

	list_init(&again);
	for (; fed < LIMIT_FEED_PEERS && !list_empty(&shard->feed); fed++) {
		struct busy *busy = container_of(list_pop(&shard->feed), struct busy, feed_link);

		OBJ_CHECK(busy->peer, PEER_MAGIC);
		if (busy->behind_count > 0 && feed_peer(busy->peer))
			list_push_back(&again, &busy->feed_link);
	}
	/* More at once only if somebody can go on without a page. */
	more = !list_empty(&shard->feed) ||
	       (!list_empty(&again) && shard->page_reads < LIMIT_PAGE_READS);
	while (!list_empty(&again))
		list_push_back(&shard->feed, list_pop(&again));
	return more;
}

static void
topic_wake(struct shard *shard, struct topic *topic)
{
	for (uint32_t i = 0; i < topic->stream_count && topic->behind_count > 0; i++)
		if (topic->streams[i] & STREAM_APART)
			feed_peer_soon(topic_peer(shard, topic, i));
}

void
feed_page_done(struct shard *shard, struct op *op)
{
	struct topic *topic = shard->topics[op->context];

	OBJ_CHECK(topic, TOPIC_MAGIC);
	assert(topic->reading && topic->cid == op->page.target.cid);
	topic->reading = false;
	shard->page_reads--;
	if (op->fault.err != ERR_OK || op->page.count == 0) {
		/* The store is ill: whoever waits tries again when a second has passed. */
		topic->retry_ms = shard->mono_ms + 1000;
	} else {
		(void)page_create(shard, topic, op);
		topic_wake(shard, topic);
	}
	op_destroy(&op);
	topic_release(shard, topic);
}

void
feed_forget(struct shard *shard)
{
	pages_shrink(shard, 0);
	for (uint32_t i = 0; i < shard->topic_capacity; i++)
		if (shard->topics[i] != NULL)
			shard->topics[i]->head = 0;
}

void
feed_tick(struct shard *shard)
{
	for (uint32_t i = 0; i < shard->topic_capacity; i++) {
		struct topic *topic = shard->topics[i];

		if (topic != NULL && topic->retry_ms != 0 && topic->retry_ms <= shard->mono_ms) {
			topic->retry_ms = 0;
			topic_wake(shard, topic);
		}
	}
	while (!list_empty(&shard->pages)) {
		struct page *page = container_of(shard->pages.next, struct page, by_use);

		if (shard->mono_ms - page->used_ms < LIMIT_PAGE_IDLE_MS)
			return;
		page_destroy(shard, page);
	}
}
