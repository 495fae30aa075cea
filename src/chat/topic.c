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
	topic->head = conv->head;
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

static void
stream_behind(struct shard *shard, struct topic *topic, struct stream *stream)
{
	struct peer *peer = shard->peers[stream->peer];

	assert((stream->cursor & STREAM_BEHIND) == 0);
	stream->cursor |= STREAM_BEHIND;
	topic->behind_count++;
	peer->behind_count++;
	stat_add(STAT_BEHIND, 1);
	feed_peer_soon(peer);
}

static void
streams_grow(struct topic *topic)
{
	if (topic->stream_count < topic->stream_capacity)
		return;
	topic->stream_capacity += topic->stream_capacity / 4 + 2;
	topic->streams =
	    mem_resize(topic->streams, topic->stream_capacity, sizeof(*topic->streams));
}

static void
subs_resize(struct peer *peer, uint32_t capacity)
{
	peer->subs = mem_resize(peer->subs, capacity, sizeof(*peer->subs));
	if (peer->fresh != NULL) {
		peer->fresh = mem_resize(peer->fresh, capacity, sizeof(*peer->fresh));
		for (uint32_t i = peer->sub_capacity; i < capacity; i++)
			peer->fresh[i] = 0;
	}
	peer->sub_capacity = capacity;
}

static void
subs_grow(struct peer *peer, uint32_t count)
{
	if (count > peer->sub_capacity)
		subs_resize(peer, peer->sub_capacity + peer->sub_capacity / 4 + 1);
}

/* The client was told of a log that goes up to `head`: what was read before that is too old for it.
 */
static void
peer_needs(struct peer *peer, uint32_t sub, uint64_t fresh)
{
	if (peer->fresh == NULL)
		peer->fresh = mem_zalloc(peer->sub_capacity * sizeof(*peer->fresh));
	peer->fresh[sub] = fresh;
}

void
topic_expect(struct peer *peer, uint32_t count)
{
	subs_resize(peer, peer->sub_count + count);
}

void
topic_follow(struct peer *peer, const struct op_conv *conv, uint64_t cursor, bool ends)
{
	struct shard *shard = peer->shard;
	struct topic *topic = conv->role == ROLE_NONE ? NULL : topic_find(shard, conv->cid);
	struct stream *stream;

	if (topic == NULL)
		topic = topic_create(shard, conv);
	/* The reader saw the log later than this shard heard of it. */
	if (conv->head > topic->head)
		topic->head = conv->head;
	topic_learn(topic, &conv->facts, conv->head);
	streams_grow(topic);
	subs_grow(peer, peer->sub_count + 1);
	stream = &topic->streams[topic->stream_count];
	*stream =
	    (struct stream){.peer = (uint32_t)peer->id, .sub = peer->sub_count, .cursor = cursor};
	peer->subs[peer->sub_count] = (struct sub){.topic = topic->slot, .at = topic->stream_count};
	topic->stream_count++;
	peer->sub_count++;
	topic->forms[peer->form]++;
	gauge_add(GAUGE_STREAMS, 1);
	if (cursor < topic->head) {
		peer_needs(peer, peer->sub_count - 1, conv->head | (ends ? FRESH_ENDS : 0));
		stream_behind(shard, topic, stream);
	}
}

const struct stream *
topic_followed(const struct peer *peer, uint64_t cid)
{
	for (uint32_t i = 0; i < peer->sub_count; i++) {
		const struct topic *topic = peer->shard->topics[peer->subs[i].topic];

		if (topic->cid == cid)
			return &topic->streams[peer->subs[i].at];
	}
	return NULL;
}

void
topic_leave(struct peer *peer, uint32_t sub)
{
	struct shard *shard = peer->shard;
	struct topic *topic = shard->topics[peer->subs[sub].topic];
	uint32_t at = peer->subs[sub].at;

	OBJ_CHECK(topic, TOPIC_MAGIC);
	if (topic->streams[at].cursor & STREAM_BEHIND) {
		topic->behind_count--;
		peer->behind_count--;
	}
	topic->forms[peer->form]--;
	gauge_add(GAUGE_STREAMS, -1);
	/* The last of each array moves into the gap, and its other half is told. */
	topic->streams[at] = topic->streams[--topic->stream_count];
	if (at < topic->stream_count)
		shard->peers[topic->streams[at].peer]->subs[topic->streams[at].sub].at = at;
	peer->subs[sub] = peer->subs[--peer->sub_count];
	if (peer->fresh != NULL) {
		peer->fresh[sub] = peer->fresh[peer->sub_count];
		peer->fresh[peer->sub_count] = 0;
	}
	if (sub < peer->sub_count) {
		struct sub *moved = &peer->subs[sub];

		shard->topics[moved->topic]->streams[moved->at].sub = sub;
	}
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
	struct run *runs[FORM_MAX];
	uint32_t *ends[FORM_MAX];
};

/* True if the stream has just got to the end of it. */
static bool
stream_publish(
    struct shard *shard, struct topic *topic, struct stream *stream, const struct published *p)
{
	struct peer *peer = shard->peers[stream->peer];
	struct run *run = p->runs[peer->form];
	uint32_t offset = 0;

	if (stream->cursor >= p->last) /* behind too: that bit is above every seq */
		return false;
	if (stream->cursor + 1 < p->first) {
		stream_behind(shard, topic, stream);
		return false;
	}
	if (stream->cursor + 1 > p->first)
		offset = p->ends[peer->form][stream->cursor - p->first];
	if (shard->config.out.queue(peer->out, run, offset, run->len - offset, false) ==
	    CHAT_FULL) {
		stream_behind(shard, topic, stream);
		return false;
	}
	stat_add(STAT_DELIVERIES, p->last - stream->cursor);
	stream->cursor = p->last;
	return true;
}

/* Hands on a run; whose membership ends with its last entry gets no more. */
static void
streams_publish(
    struct shard *shard, struct topic *topic, const struct published *p, const struct entry *last)
{
	for (uint32_t i = 0; i < topic->stream_count;) {
		struct stream *stream = &topic->streams[i];
		struct peer *peer = shard->peers[stream->peer];

		if (stream_publish(shard, topic, stream, p) && last->ends != 0 &&
		    entry_ends(last, peer->user))
			sync_ended(peer, stream->sub, last); /* another one is at i now */
		else
			i++;
	}
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
	for (uint32_t i = 0; i < topic->stream_count; i++)
		if (topic->streams[i].cursor < head)
			stream_behind(shard, topic, &topic->streams[i]);
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

void
topic_signal(struct shard *shard, uint64_t cid, uint64_t author, const struct event *event)
{
	struct topic *topic = topic_find(shard, cid);
	const struct chat_out *out = &shard->config.out;
	struct run *runs[FORM_MAX] = {0};

	if (topic == NULL)
		return;
	for (uint32_t i = 0; i < topic->stream_count; i++) {
		struct peer *peer = shard->peers[topic->streams[i].peer];

		if (peer->user == author)
			continue;
		/* Perhaps he is no member any more, and has yet to read so. */
		if (topic->facts.kind == CONV_GROUP &&
		    (topic->streams[i].cursor & STREAM_BEHIND) != 0) {
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
