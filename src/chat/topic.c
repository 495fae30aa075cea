/* SPDX-License-Identifier: MIT */
/* Topics: who follows a conversation here, and the handing on of what is published. */
#include "chat/mail.h"

/* --- Making and ending --- */

struct conv_facts
facts_copy(const struct conv_facts *facts, char **ret_text)
{
	const slice *from[] = {&facts->lo_name, &facts->hi_name, &facts->handle};
	struct conv_facts copy = *facts;
	slice *to[] = {&copy.lo_name, &copy.hi_name, &copy.handle};
	char *at;

	at = *ret_text = mem_alloc(facts->lo_name.len + facts->hi_name.len + facts->handle.len);
	for (size_t i = 0; i < LEN(from); i++) {
		if (!slice_given(*from[i]))
			continue;
		memcpy(at, from[i]->ptr, from[i]->len);
		*to[i] = slice_of(at, from[i]->len);
		at += from[i]->len;
	}
	return copy;
}

static uint32_t
topic_slot(struct shard *shard)
{
	if (shard->free_topic_count == 0) {
		uint32_t old = shard->topic_capacity, capacity = old > 0 ? old * 2 : 64;

		shard->topics = mem_resize(shard->topics, capacity, sizeof(struct topic *));
		shard->free_topics = mem_resize(shard->free_topics, capacity, sizeof(uint32_t));
		for (uint32_t i = capacity; i-- > old;) {
			shard->topics[i] = NULL;
			shard->free_topics[shard->free_topic_count++] = i;
		}
		shard->topic_capacity = capacity;
	}
	return shard->free_topics[--shard->free_topic_count];
}

static void
topic_subscribe(struct shard *shard, uint64_t cid, enum mail_kind kind)
{
	struct conv_mail *mail = mem_zalloc(sizeof(*mail));

	mail->mail.kind = kind;
	mail->cid = cid;
	mail->from = shard->config.index;
	shard_post(shard, shard_of(shard, cid), &mail->mail);
}

static struct topic *
topic_create(struct shard *shard, const struct op_conv *conv)
{
	struct topic *topic = mem_zalloc(sizeof(*topic));

	topic->magic = TOPIC_MAGIC;
	topic->slot = topic_slot(shard);
	topic->cid = conv->cid;
	topic->head = topic->live = conv->head;
	topic->facts = facts_copy(&conv->facts, &topic->text);
	topic->facts_seq = conv->head;
	topic->ended = conv->role == ROLE_NONE;
	list_init(&topic->pages);
	shard->topics[topic->slot] = topic;
	if (!topic->ended) {
		map_put(&shard->topics_by_cid, topic->cid, topic);
		topic_subscribe(shard, topic->cid, MAIL_SUBSCRIBE);
	}
	return topic;
}

static void
topic_destroy(struct shard *shard, struct topic *topic)
{
	assert(topic->stream_count == 0 && topic->behind_count == 0);
	while (!list_empty(&topic->pages))
		page_destroy(shard, container_of(topic->pages.next, struct page, of_topic));
	if (!topic->ended) {
		(void)map_remove(&shard->topics_by_cid, topic->cid);
		topic_subscribe(shard, topic->cid, MAIL_UNSUBSCRIBE);
	}
	shard->topics[topic->slot] = NULL;
	shard->free_topics[shard->free_topic_count++] = topic->slot;
	mem_free(topic->streams);
	mem_free(topic->text);
	topic->magic = 0;
	mem_free(topic);
}

struct topic *
topic_find(struct shard *shard, uint64_t cid)
{
	return map_get(&shard->topics_by_cid, cid);
}

void
topic_ahead(const struct shard *shard, uint64_t cid, unsigned step)
{
	const struct topic *topic;

	if (step == 0) {
		map_ahead(&shard->topics_by_cid, cid);
		return;
	}
	if ((topic = map_get(&shard->topics_by_cid, cid)) == NULL)
		return;
	if (step == 1) {
		mem_ahead(topic, sizeof(*topic));
	} else {
		__builtin_prefetch(topic->streams);
		__builtin_prefetch(topic->facts.lo_name.ptr);
	}
}

void
topic_learn(struct topic *topic, const struct conv_facts *facts, uint64_t facts_seq)
{
	bool same = slice_given(facts->handle) == slice_given(topic->facts.handle) &&
		    slice_eq(facts->handle, topic->facts.handle);
	char *old = topic->text;

	if (facts->kind != CONV_GROUP || facts_seq < topic->facts_seq)
		return;
	topic->facts_seq = facts_seq;
	if (same)
		return;
	topic->facts = facts_copy(facts, &topic->text);
	mem_free(old);
	for (struct list *at = topic->pages.next; at != &topic->pages; at = at->next)
		page_forget_runs(container_of(at, struct page, of_topic));
}

/* --- Streams --- */

uint32_t
topic_sub(const struct topic *topic, const struct peer *peer)
{
	uint32_t sub = 0;

	while (peer->subs[sub].topic != topic->slot)
		sub++;
	assert(sub < peer->sub_count);
	return sub;
}

/* From now on it has a cursor of its own. */
static void
stream_part(struct topic *topic, struct peer *peer, uint32_t sub, uint64_t cursor)
{
	uint32_t *stream = &topic->streams[peer->subs[sub].at];
	struct busy *busy = peer_busy(peer);

	if (busy->aparts == NULL)
		busy->aparts = mem_zalloc(peer->sub_capacity * sizeof(*busy->aparts));
	topic->apart_count += (*stream & STREAM_APART) == 0;
	busy->apart_count += (*stream & STREAM_APART) == 0;
	*stream |= STREAM_APART;
	busy->aparts[sub].cursor = cursor;
}

/* It goes where the others are, or it leaves. */
static void
stream_join(struct topic *topic, struct peer *peer, uint32_t sub)
{
	struct busy *busy = peer->busy;

	assert((busy->aparts[sub].cursor & APART_BEHIND) == 0);
	topic->streams[peer->subs[sub].at] &= ~STREAM_APART;
	topic->apart_count--;
	busy->aparts[sub] = (struct apart){0};
	if (--busy->apart_count > 0)
		return;
	mem_free(busy->aparts);
	busy->aparts = NULL;
	peer_settle_soon(peer);
}

static void
stream_behind(struct topic *topic, struct peer *peer, uint32_t sub, uint64_t cursor)
{
	assert((cursor & APART_BEHIND) == 0);
	stream_part(topic, peer, sub, cursor | APART_BEHIND);
	topic->behind_count++;
	peer->busy->behind_count++;
	stat_add(STAT_BEHIND, 1);
	feed_peer_soon(peer);
}

static void
stream_behind_no_more(struct topic *topic, struct peer *peer, uint32_t sub)
{
	peer->busy->aparts[sub].cursor &= ~APART_BEHIND;
	topic->behind_count--;
	peer->busy->behind_count--;
}

void
topic_caught_up(struct topic *topic, struct peer *peer, uint32_t sub)
{
	uint64_t cursor = peer->busy->aparts[sub].cursor & ~APART_BEHIND;

	stream_behind_no_more(topic, peer, sub);
	if (topic->apart_count == topic->stream_count)
		topic->live = cursor; /* nobody is there */
	if (topic->live == cursor)
		stream_join(topic, peer, sub);
}

static void
streams_grow(struct topic *topic)
{
	if (topic->stream_count < topic->stream_capacity)
		return;
	topic->stream_capacity += topic->stream_capacity / 8 + 2;
	topic->streams =
	    mem_resize(topic->streams, topic->stream_capacity, sizeof(*topic->streams));
}

static void
subs_resize(struct peer *peer, uint32_t capacity)
{
	struct busy *busy = peer->busy;

	peer->subs = mem_resize(peer->subs, capacity, sizeof(*peer->subs));
	if (busy != NULL && busy->aparts != NULL) {
		busy->aparts = mem_resize(busy->aparts, capacity, sizeof(*busy->aparts));
		for (uint32_t i = peer->sub_capacity; i < capacity; i++)
			busy->aparts[i] = (struct apart){0};
	}
	peer->sub_capacity = capacity;
}

static void
subs_grow(struct peer *peer, uint32_t count)
{
	if (count > peer->sub_capacity)
		subs_resize(peer, peer->sub_capacity + peer->sub_capacity / 4 + 1);
}

void
topic_expect(struct peer *peer, uint32_t count)
{
	if (count > 0)
		subs_resize(peer, peer->sub_count + count);
}

/* Where the new one stands, the last of the peer and of the topic. */
static void
stream_place(
    struct topic *topic, struct peer *peer, const struct op_conv *conv, uint64_t cursor, bool ends)
{
	uint32_t sub = peer->sub_count - 1;

	if (cursor < topic->head) {
		/* The client was told of a log that goes up to the head: what was read before that
		 * is too old for it. */
		stream_behind(topic, peer, sub, cursor);
		peer->busy->aparts[sub].fresh = conv->head | (ends ? FRESH_ENDS : 0);
	} else if (topic->stream_count - 1 == topic->apart_count) {
		topic->live = cursor;
	} else if (cursor != topic->live) {
		stream_part(topic, peer, sub, cursor);
	}
}

void
topic_follow(struct peer *peer, const struct op_conv *conv, uint64_t cursor, bool ends)
{
	struct shard *shard = peer->shard;
	struct topic *topic = conv->role == ROLE_NONE ? NULL : topic_find(shard, conv->cid);

	if (topic == NULL)
		topic = topic_create(shard, conv);
	assert(!topic->publishing);
	/* The reader saw the log later than this shard heard of it. */
	if (conv->head > topic->head)
		topic->head = conv->head;
	topic_learn(topic, &conv->facts, conv->head);
	streams_grow(topic);
	subs_grow(peer, peer->sub_count + 1);
	peer->subs[peer->sub_count++] =
	    (struct sub){.topic = topic->slot, .at = topic->stream_count};
	topic->streams[topic->stream_count++] = (uint32_t)peer->id;
	topic->forms[peer->form]++;
	gauge_add(GAUGE_STREAMS, 1);
	stream_place(topic, peer, conv, cursor, ends);
}

bool
topic_followed(const struct peer *peer, uint64_t cid, uint64_t *ret_cursor)
{
	for (uint32_t i = 0; i < peer->sub_count; i++) {
		const struct topic *topic = peer->shard->topics[peer->subs[i].topic];

		if (topic->cid != cid)
			continue;
		if (ret_cursor != NULL && (topic->streams[peer->subs[i].at] & STREAM_APART) != 0)
			*ret_cursor = peer->busy->aparts[i].cursor & ~APART_BEHIND;
		else if (ret_cursor != NULL)
			*ret_cursor = topic->live;
		return true;
	}
	return false;
}

/* The last of each array moves into the gap, and its other half is told. */
static void
stream_remove(struct shard *shard, struct topic *topic, uint32_t at)
{
	const struct peer *moved;

	topic->streams[at] = topic->streams[--topic->stream_count];
	if (at == topic->stream_count)
		return;
	moved = topic_peer(shard, topic, at);
	moved->subs[topic_sub(topic, moved)].at = at;
}

static void
sub_remove(struct peer *peer, uint32_t sub)
{
	struct apart *aparts = peer->busy != NULL ? peer->busy->aparts : NULL;

	peer->subs[sub] = peer->subs[--peer->sub_count];
	if (aparts == NULL)
		return;
	aparts[sub] = aparts[peer->sub_count];
	aparts[peer->sub_count] = (struct apart){0};
}

void
topic_leave(struct peer *peer, uint32_t sub)
{
	struct shard *shard = peer->shard;
	struct topic *topic = shard->topics[peer->subs[sub].topic];
	uint32_t at = peer->subs[sub].at;

	OBJ_CHECK(topic, TOPIC_MAGIC);
	if ((topic->streams[at] & STREAM_APART) != 0) {
		if ((peer->busy->aparts[sub].cursor & APART_BEHIND) != 0)
			stream_behind_no_more(topic, peer, sub);
		stream_join(topic, peer, sub);
	}
	topic->forms[peer->form]--;
	gauge_add(GAUGE_STREAMS, -1);
	stream_remove(shard, topic, at);
	sub_remove(peer, sub);
	topic_release(shard, topic);
}

void
topic_release(struct shard *shard, struct topic *topic)
{
	if (topic->stream_count == 0 && !topic->reading && !topic->publishing)
		topic_destroy(shard, topic);
}

void
topics_destroy(struct shard *shard)
{
	for (uint32_t i = 0; i < shard->topic_capacity; i++)
		if (shard->topics[i] != NULL)
			topic_destroy(shard, shard->topics[i]);
}

/* --- Handing on --- */

/* Consecutive entries, encoded once for each wire form that somebody listens in. */
struct published {
	uint64_t first, last;
	size_t count;
	uint64_t live; /* where the streams that are not apart were before */
	uint64_t delivered;
	struct run *runs[FORM_MAX];
	uint32_t *ends[FORM_MAX];
	uint32_t offsets[FORM_MAX], lens[FORM_MAX]; /* of what the streams that are not apart get */
};

/* For whom has all up to `cursor`.  False: there is a hole before it, or its queue is full. */
static bool
run_queue(struct peer *peer, uint64_t cursor, struct published *p)
{
	const struct chat_out *out = &peer->shard->config.out;
	struct run *run = p->runs[peer->form];
	uint32_t offset = 0;

	if (cursor + 1 < p->first)
		return false;
	if (cursor + 1 > p->first)
		offset = p->ends[peer->form][cursor - p->first];
	if (out->queue(peer->out, run, offset, run->len - offset, false) == CHAT_FULL)
		return false;
	p->delivered += p->last - cursor;
	return true;
}

/* True if the stream has just got to the end of it. */
static bool
apart_publish(struct topic *topic, struct peer *peer, struct published *p)
{
	uint32_t sub = topic_sub(topic, peer);
	struct apart *apart = &peer->busy->aparts[sub];

	if (apart->cursor >= p->last) /* behind too: that bit is above every seq */
		return false;
	if (!run_queue(peer, apart->cursor, p)) {
		stream_behind(topic, peer, sub, apart->cursor);
		return false;
	}
	apart->cursor = p->last;
	if (apart->cursor == topic->live)
		stream_join(topic, peer, sub);
	return true;
}

/* What those get who are where the topic says: nothing where all of it is old, or a hole comes before it. */
static void
published_live(struct topic *topic, struct published *p)
{
	p->live = topic->live;
	if (p->last <= p->live)
		return;
	topic->live = p->last; /* who does not get there does not stay either */
	for (unsigned form = 0; form < FORM_MAX && p->live + 1 >= p->first; form++) {
		if (p->runs[form] == NULL)
			continue;
		if (p->live + 1 > p->first)
			p->offsets[form] = p->ends[form][p->live - p->first];
		p->lens[form] = p->runs[form]->len - p->offsets[form];
	}
}

/* Where many listen, each is out of the caches by his turn: he comes in while those before him get theirs. */
static void
streams_ahead(struct shard *shard, const struct topic *topic, uint32_t i)
{
	if (i + 2 * AHEAD >= topic->stream_count)
		return;
	__builtin_prefetch(topic_peer(shard, topic, i + 2 * AHEAD));
	__builtin_prefetch(topic_peer(shard, topic, i + AHEAD)->out);
}

/* Hands on a run; whose membership ends with its last entry gets no more. */
static void
streams_publish(
    struct shard *shard, struct topic *topic, struct published *p, const struct entry *last)
{
	enum chat_queued (*queue)(void *, struct run *, uint32_t, uint32_t, bool) =
	    shard->config.out.queue;

	published_live(topic, p);
	for (uint32_t i = 0; i < topic->stream_count;) {
		struct peer *peer = topic_peer(shard, topic, i);
		bool got = false;

		streams_ahead(shard, topic, i);
		if (__builtin_expect((topic->streams[i] & STREAM_APART) != 0, 0)) {
			got = apart_publish(topic, peer, p);
		} else if (p->live < p->last) {
			uint32_t len = p->lens[peer->form];

			got = len > 0 && queue(peer->out, p->runs[peer->form],
					     p->offsets[peer->form], len, false) != CHAT_FULL;
			p->delivered += got ? p->last - p->live : 0;
			if (!got)
				stream_behind(topic, peer, topic_sub(topic, peer), p->live);
		}
		if (got && last->ends != 0 && entry_ends(last, peer->user))
			sync_ended(peer, topic_sub(topic, peer), last); /* another is at i now */
		else
			i++;
	}
	stat_add(STAT_DELIVERIES, p->delivered);
}

static void
topic_publish_run(
    struct shard *shard, struct topic *topic, struct entry *const *entries, size_t count)
{
	struct published p = {
	    .first = entries[0]->seq, .last = entries[count - 1]->seq, .count = count};
	const struct chat_out *out = &shard->config.out;

	assert(p.last - p.first + 1 == count);
	for (unsigned form = 0; form < FORM_MAX; form++) {
		if (topic->forms[form] == 0)
			continue;
		p.ends[form] = mem_alloc(count * sizeof(uint32_t));
		p.runs[form] = out->encode_entries(
		    out->gate, form, topic->cid, &topic->facts, entries, count, p.ends[form]);
	}
	if (p.last > topic->head)
		topic->head = p.last;
	streams_publish(shard, topic, &p, entries[count - 1]);
	for (unsigned form = 0; form < FORM_MAX; form++) {
		if (p.runs[form] == NULL)
			continue;
		run_unref(p.runs[form]);
		mem_free(p.ends[form]);
	}
}

/* The log went on without our hearing of it: whoever is live and has not seen that is behind. */
static void
topic_reach(struct shard *shard, struct topic *topic, uint64_t head)
{
	if (head > topic->head)
		topic->head = head;
	for (uint32_t i = 0; i < topic->stream_count; i++) {
		struct peer *peer = topic_peer(shard, topic, i);
		uint32_t sub = topic_sub(topic, peer);
		uint64_t cursor = topic->live;

		if ((topic->streams[i] & STREAM_APART) != 0)
			cursor = peer->busy->aparts[sub].cursor;
		if (cursor < head)
			stream_behind(topic, peer, sub, cursor);
	}
	if (topic->live < head)
		topic->live = head; /* where nobody is now */
}

void
topic_publish(
    struct shard *shard, uint64_t cid, struct entry *const *entries, size_t count, uint64_t head)
{
	struct topic *topic = topic_find(shard, cid);
	size_t start = 0;

	if (topic == NULL)
		return;
	OBJ_CHECK(topic, TOPIC_MAGIC);
	topic->publishing = true;
	for (size_t i = 1; i <= count; i++) {
		if (i < count && entries[i]->seq == entries[i - 1]->seq + 1 &&
		    entries[i - 1]->ends == 0)
			continue;
		topic_publish_run(shard, topic, entries + start, i - start);
		start = i;
	}
	if (head > topic->head || count == 0)
		topic_reach(shard, topic, head);
	topic->publishing = false;
	topic_release(shard, topic);
}

void
topic_mail(struct shard *shard, struct conv_mail *mail)
{
	struct topic *topic = topic_find(shard, mail->cid);

	if (topic != NULL)
		topic_learn(topic, &mail->facts, mail->facts_seq);
	topic_publish(shard, mail->cid, mail->entries, mail->count, mail->head);
	conv_mail_destroy(mail);
}

static bool
stream_is_behind(const struct topic *topic, uint32_t stream, const struct peer *peer)
{
	if ((topic->streams[stream] & STREAM_APART) == 0)
		return false;
	return (peer->busy->aparts[topic_sub(topic, peer)].cursor & APART_BEHIND) != 0;
}

void
topic_signal(struct shard *shard, uint64_t cid, uint64_t author, const struct event *event)
{
	struct topic *topic = topic_find(shard, cid);
	const struct chat_out *out = &shard->config.out;
	struct run *runs[FORM_MAX] = {0};

	if (topic == NULL)
		return;
	for (uint32_t i = 0; i < topic->stream_count; i++) {
		struct peer *peer = topic_peer(shard, topic, i);

		if (peer->user == author)
			continue;
		/* Perhaps he is no member any more, and has yet to read so. */
		if (topic->facts.kind == CONV_GROUP && stream_is_behind(topic, i, peer)) {
			stat_add(STAT_DROP_SIGNAL, 1);
			continue;
		}
		if (runs[peer->form] == NULL)
			runs[peer->form] = out->encode(out->gate, peer->form, event);
		if (out->queue(peer->out, runs[peer->form], 0, runs[peer->form]->len, false) ==
		    CHAT_FULL)
			stat_add(STAT_DROP_SIGNAL, 1);
	}
	for (unsigned form = 0; form < FORM_MAX; form++)
		if (runs[form] != NULL)
			run_unref(runs[form]);
}
