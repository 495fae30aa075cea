/* SPDX-License-Identifier: MIT */
/*
 * What the home of a conversation hands on: at a turn's end one mail for each shard that listens and
 * a ring for the other nodes, however many entries there are; and signals, at once.
 */
#include "chat/home_conv.h"

enum {
	ENTRY_RING_BYTES = 160, /* in a ring, beside body and data */
	LIMIT_RINGS = 8,        /* of one conversation in one turn */
};

/* --- Listeners --- */

static struct conv_mail *
publish_mail(const struct home_conv *home)
{
	struct conv_mail *mail = mem_alloc(sizeof(*mail) + home->count * sizeof(struct entry *));

	*mail = (struct conv_mail){.cid = home->cid, .head = home->head, .count = home->count};
	mail->mail.kind = MAIL_PUBLISH;
	for (size_t i = 0; i < home->count; i++)
		mail->entries[i] = entry_ref(home->entries[i]);
	if (home->tell_facts) {
		mail->facts = facts_copy(&home->facts, &mail->text);
		mail->facts_seq = home->facts_seq;
	}
	return mail;
}

static void
home_publish_here(struct shard *shard, struct home_conv *home)
{
	struct topic *topic = topic_find(shard, home->cid);

	if (topic != NULL && home->tell_facts)
		topic_learn(topic, &home->facts, home->facts_seq);
	topic_publish(shard, home->cid, home->entries, home->count, home->head);
}

/* Facts go with the first of them. */
static void
home_ring_out(struct shard *shard, const struct home_conv *home, struct conv_mail *mail)
{
	cluster_ring(shard, RING_CONV, home->cid, &mail->mail);
	mail->facts.kind = 0;
	mail->count = 0;
}

/*
 * To the other nodes, what was committed by way of this one, in rings of a bounded size; of what does
 * not go into so many they only learn how far the log is, and read it.
 */
static void
home_ring(struct shard *shard, const struct home_conv *home)
{
	struct conv_mail *mail = mem_alloc(sizeof(*mail) + home->count * sizeof(struct entry *));
	size_t bytes = 0, rings = 0;

	*mail =
	    (struct conv_mail){.mail.kind = MAIL_COMMITTED, .cid = home->cid, .head = home->head};
	if (home->tell_facts) {
		mail->facts = home->facts;
		mail->facts_seq = home->facts_seq;
	}
	for (size_t i = 0; i < home->count && rings < LIMIT_RINGS; i++) {
		struct entry *entry = home->entries[i];
		size_t more = entry->body.len + entry->data.len + ENTRY_RING_BYTES;

		if (entry->heard)
			continue;
		if (mail->count > 0 &&
		    (bytes + more > LIMIT_RING_BYTES || mail->count == LIMIT_RING_ENTRIES)) {
			home_ring_out(shard, home, mail);
			rings++;
			bytes = 0;
		}
		mail->entries[mail->count++] = entry; /* borrowed */
		bytes += more;
	}
	if (rings == LIMIT_RINGS)
		mail->count = 0;
	if (mail->count > 0 || rings == LIMIT_RINGS || home->tell_head)
		home_ring_out(shard, home, mail);
	mem_free(mail);
}

static void
home_published(struct shard *shard, struct home_conv *home)
{
	for (size_t i = 0; i < home->joined_count; i++)
		home_announce_to(shard, home->joined[i].user, home->cid, home->joined[i].seq);
	mem_free(home->joined);
	home->joined = NULL;
	home->joined_count = 0;
	home->tell_facts = home->tell_head = false;
	for (size_t i = 0; i < home->count; i++)
		entry_unref(home->entries[i]);
	home->count = 0;
	if (home->capacity > 4) {
		mem_free(home->entries);
		home->entries = NULL;
		home->capacity = 0;
	}
}

static void
home_conv_publish(struct shard *shard, struct home_conv *home)
{
	unsigned self = shard->config.index;

	if (home->count > 0 && home->entries[home->count - 1]->seq > home->head)
		home->head = home->entries[home->count - 1]->seq;
	for (unsigned to = 0; to < shard->config.count; to++)
		if (to != self && (home->listeners >> to & 1) != 0)
			shard_post(shard, to, &publish_mail(home)->mail);
	if ((home->listeners >> self & 1) != 0)
		home_publish_here(shard, home);
	if (shard->cluster != NULL)
		home_ring(shard, home);
	home_published(shard, home);
}

/* The topics of those that are some places further come into the caches, in three steps. */
static void
publish_ahead(struct shard *shard, struct list *at[AHEAD_STEPS], unsigned begun)
{
	for (unsigned step = 0; step < AHEAD_STEPS && begun >= step * AHEAD; step++) {
		const struct home_conv *home = container_of(at[step], struct home_conv, dirty_link);

		if (at[step] == &shard->dirty_convs)
			continue;
		topic_ahead(shard, home->cid, step);
		at[step] = at[step]->next;
	}
}

/* The end where there are only a few. */
static struct list *
ahead_begin(struct shard *shard)
{
	struct list *at = &shard->dirty_convs;

	for (unsigned i = 0; i < AHEAD_STEPS * AHEAD; i++)
		if ((at = at->next) == &shard->dirty_convs)
			return at;
	return shard->dirty_convs.next;
}

void
home_publish(struct shard *shard)
{
	struct list *first = ahead_begin(shard), *at[AHEAD_STEPS] = {first, first, first};
	unsigned begun = 0;

	while (begun < AHEAD_STEPS * AHEAD && at[AHEAD_STEPS - 1] != &shard->dirty_convs)
		publish_ahead(shard, at, begun++);
	for (;;) {
		if (at[AHEAD_STEPS - 1] != &shard->dirty_convs)
			publish_ahead(shard, at, begun);
		if ((first = list_pop(&shard->dirty_convs)) == NULL)
			return;
		home_conv_publish(shard, container_of(first, struct home_conv, dirty_link));
	}
}

void
home_subscribe(struct shard *shard, struct conv_mail *mail)
{
	struct home_conv *home = home_conv(shard, mail->cid);

	/* What is committed and not yet published goes to this listener too. */
	home->listeners |= (uint64_t)1 << mail->from;
	if (!home->wanted) {
		home->wanted = true;
		cluster_interest(shard, RING_CONV, home->cid, true);
	}
	mail->mail.kind = MAIL_SUBSCRIBED;
	mail->head = home->head;
	if (home->facts.kind == CONV_GROUP) {
		mail->facts = facts_copy(&home->facts, &mail->text);
		mail->facts_seq = home->facts_seq;
	}
	shard_post(shard, mail->from, &mail->mail);
}

void
home_unsubscribe(struct shard *shard, struct conv_mail *mail)
{
	struct home_conv *home = home_conv(shard, mail->cid);

	home->listeners &= ~((uint64_t)1 << mail->from);
	mem_free(mail);
}

/* --- Signals --- */

void
signal_mail_destroy(struct signal_mail *mail)
{
	mem_free(mail->from);
	mem_free(mail->kind);
	mem_free(mail->data);
	mem_free(mail);
}

static void
signal_hand_on(struct shard *shard, const struct signal_mail *mail)
{
	struct event event = {.kind = EVENT_SIGNAL};

	event.signal.cid = mail->cid;
	event.signal.from = slice_str(mail->from);
	event.signal.kind = slice_str(mail->kind);
	event.signal.data = slice_str(mail->data);
	topic_signal(shard, mail->cid, mail->author, &event);
}

void
home_signal(struct shard *shard, struct signal_mail *mail)
{
	unsigned self = shard->config.index;
	const struct home_conv *home = map_get(&shard->home_convs, mail->cid);

	if (mail->mail.kind == MAIL_SIGNALLED) {
		signal_hand_on(shard, mail);
	} else if (home != NULL) {
		for (unsigned to = 0; to < shard->config.count; to++) {
			struct signal_mail *copy;

			if (to == self || (home->listeners >> to & 1) == 0)
				continue;
			copy = mem_zalloc(sizeof(*copy));
			*copy = *mail;
			copy->mail.kind = MAIL_SIGNALLED;
			copy->from = mem_dup(slice_str(mail->from));
			copy->kind = mem_dup(slice_str(mail->kind));
			copy->data = mail->data != NULL ? mem_dup(slice_str(mail->data)) : NULL;
			shard_post(shard, to, &copy->mail);
		}
		signal_hand_on(shard, mail);
	}
	signal_mail_destroy(mail);
}
