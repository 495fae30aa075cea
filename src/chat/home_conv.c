/* SPDX-License-Identifier: MIT */
/*
 * The home of conversations: the one place of a node through which a conversation's entries pass, so that
 * their order needs no lock.  It stamps appends with what it knows of the author's rights, and hands on what
 * was committed: at a turn's end one mail for each shard that listens, however many entries there are.
 *
 * A home conversation is made by the first append or listener and forgotten a minute after the last use; it
 * holds nothing that the store doesn't.
 */
#include "chat/mail.h"

struct author {
	uint64_t user, acl_ver, min_seq;
};

struct home_conv {
	uint64_t cid;
	uint64_t head;		  /* highest seq heard of; 0: none since this was made */
	uint64_t listeners;	  /* a bit for each shard */
	uint64_t used_ms;
	uint32_t in_flight;
	bool announced;		  /* a direct conversation's two users were told of it */
	struct conv_facts facts;  /* kind 0: not known yet */
	char *text;		  /* owned */
	struct author *authors;	  /* owned; who was last found to be allowed to send */
	uint32_t author_count;
	struct list dirty_link;	  /* in shard->dirty_convs */
	struct entry **entries;	  /* owned references: committed, to be published */
	size_t count, capacity;
};

static_assert(SHARDS_MAX <= 64, "listeners is a bit set");

static struct home_conv *
home_conv(struct shard *shard, uint64_t cid)
{
	struct home_conv *home = map_get(&shard->home_convs, cid);

	assert(shard_of(shard, cid) == shard->config.index);
	if (home == NULL) {
		home = mem_zalloc(sizeof(*home));
		home->cid = cid;
		map_put(&shard->home_convs, cid, home);
	}
	home->used_ms = shard->mono_ms;
	return home;
}

static void
home_conv_destroy(struct home_conv *home)
{
	list_remove(&home->dirty_link);
	for (size_t i = 0; i < home->count; i++)
		entry_unref(home->entries[i]);
	mem_free(home->entries);
	mem_free(home->authors);
	mem_free(home->text);
	mem_free(home);
}

void
home_convs_destroy(struct shard *shard)
{
	struct home_conv *home;

	for (size_t at = 0; (home = map_next(&shard->home_convs, &at)) != NULL;)
		home_conv_destroy(home);
	map_fini(&shard->home_convs);
}

void
home_convs_tick(struct shard *shard)
{
	struct home_conv *home, *idle[64];
	size_t count = 0;

	for (size_t at = 0; count < LEN(idle) && (home = map_next(&shard->home_convs, &at)) != NULL;)
		if (home->listeners == 0 && home->in_flight == 0 && home->count == 0 &&
		    shard->mono_ms - home->used_ms > LIMIT_HOME_IDLE_MS)
			idle[count++] = home;
	while (count > 0) {
		home = idle[--count];
		(void)map_remove(&shard->home_convs, home->cid);
		home_conv_destroy(home);
	}
}

/* --- Appends --- */

static struct author *
author_find(const struct home_conv *home, uint64_t user)
{
	for (uint32_t i = 0; i < home->author_count; i++)
		if (home->authors[i].user == user)
			return &home->authors[i];
	return NULL;
}

static void
author_learn(struct home_conv *home, const struct op *op)
{
	struct author *author = author_find(home, op->user);

	if (op->append.acl_ver == 0)
		return;
	if (author == NULL) {
		if (home->author_count == LIMIT_AUTHORS) {
			/* Forget one at the place that the newcomer's id picks: no bookkeeping on the hot path. */
			author = &home->authors[op->user % LIMIT_AUTHORS];
		} else {
			home->authors =
			    mem_resize(home->authors, home->author_count + 1, sizeof(*home->authors));
			author = &home->authors[home->author_count++];
		}
	}
	*author = (struct author) {op->user, op->append.acl_ver, op->append.min_seq};
}

void
home_append(struct shard *shard, struct op *op)
{
	struct home_conv *home = home_conv(shard, op->append.target.cid);
	const struct author *author = author_find(home, op->user);

	if (author != NULL) {
		op->append.acl_ver = author->acl_ver;
		op->append.min_seq = author->min_seq;
	}
	op->append.want_facts = home->facts.kind == 0;
	op->context = home->cid;
	home->in_flight++;
	shard_submit(shard, op);
}

static void
home_dirty(struct shard *shard, struct home_conv *home)
{
	if (!list_linked(&home->dirty_link))
		list_push_back(&shard->dirty_convs, &home->dirty_link);
}

/* A direct conversation that may be new to its two users: their homes ask their peers. */
static void
home_announce(struct shard *shard, struct home_conv *home)
{
	const uint64_t users[] = {home->facts.lo, home->facts.hi};

	if (home->announced || home->facts.kind != CONV_DIRECT)
		return;
	home->announced = true;
	for (size_t i = 0; i < LEN(users); i++) {
		struct user_mail *mail = user_mail_create(shard, MAIL_ANNOUNCE, users[i]);

		mail->cid = home->cid;
		shard_post(shard, shard_of(shard, users[i]), &mail->mail);
	}
}

static void
home_commit(struct shard *shard, uint64_t cid, struct entry *entry, const struct conv_facts *facts)
{
	struct home_conv *home = home_conv(shard, cid);

	if (home->facts.kind == 0 && facts->kind != 0)
		home->facts = facts_copy(facts, &home->text);
	home_announce(shard, home);
	if (home->count == home->capacity) {
		home->capacity = home->capacity > 0 ? home->capacity * 2 : 4;
		home->entries = mem_resize(home->entries, home->capacity, sizeof(*home->entries));
	}
	home->entries[home->count++] = entry_ref(entry);
	home_dirty(shard, home);
}

/* A duplicate whose first commit was never heard of here: the log is further than its listeners know. */
static void
home_heard(struct shard *shard, uint64_t cid, uint64_t seq)
{
	struct home_conv *home = map_get(&shard->home_convs, cid);

	if (home == NULL || seq <= home->head)
		return;
	home->head = seq;
	home_dirty(shard, home);
}

static void
commit_send(struct shard *shard, unsigned to, struct op *op)
{
	struct conv_mail *mail = mem_zalloc(sizeof(*mail) + sizeof(struct entry *));

	mail->mail.kind = MAIL_COMMITTED;
	mail->cid = op->append.target.cid;
	mail->head = op->append.seq;
	if (op->append.facts.kind != 0)
		mail->facts = facts_copy(&op->append.facts, &mail->text);
	if (!op->append.dup) {
		mail->entries[0] = entry_ref(op->append.entry);
		mail->count = 1;
	}
	shard_post(shard, to, &mail->mail);
}

void
home_committed(struct shard *shard, struct conv_mail *mail)
{
	if (mail->count > 0) {
		home_commit(shard, mail->cid, mail->entries[0], &mail->facts);
		entry_unref(mail->entries[0]);
	} else {
		home_heard(shard, mail->cid, mail->head);
	}
	mem_free(mail->text);
	mem_free(mail);
}

/*
 * Back from the store, on the shard that submitted it: the conversation's home, or the author's shard where
 * the conversation was not known before.
 */
void
home_append_done(struct shard *shard, struct op *op)
{
	uint64_t cid = op->append.target.cid;
	struct home_conv *submitted = op->context != 0 ? map_get(&shard->home_convs, op->context) : NULL;

	if (submitted != NULL) {
		assert(submitted->in_flight > 0);
		submitted->in_flight--;
		submitted->used_ms = shard->mono_ms;
		if (op->fault.err == ERR_OK && cid == submitted->cid)
			author_learn(submitted, op);
	}
	if (op->fault.err == ERR_OK) {
		unsigned at = shard_of(shard, cid);

		if (at != shard->config.index)
			commit_send(shard, at, op);
		else if (op->append.dup)
			home_heard(shard, cid, op->append.seq);
		else
			home_commit(shard, cid, op->append.entry, &op->append.facts);
		stat_add(op->append.dup ? STAT_DUPS : STAT_SENDS, 1);
	}
	if (op->origin == shard->config.index) {
		send_appended(shard, op);
		return;
	}
	op->mail.kind = MAIL_APPENDED;
	shard_post(shard, op->origin, &op->mail);
}

/* --- Listeners --- */

static struct conv_mail *
publish_mail(const struct home_conv *home)
{
	struct conv_mail *mail = mem_alloc(sizeof(*mail) + home->count * sizeof(struct entry *));

	*mail = (struct conv_mail) {.cid = home->cid, .head = home->head, .count = home->count};
	mail->mail.kind = MAIL_PUBLISH;
	for (size_t i = 0; i < home->count; i++)
		mail->entries[i] = entry_ref(home->entries[i]);
	return mail;
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
		topic_publish(shard, home->cid, home->entries, home->count, home->head);
	for (size_t i = 0; i < home->count; i++)
		entry_unref(home->entries[i]);
	home->count = 0;
	if (home->capacity > 4) {
		mem_free(home->entries);
		home->entries = NULL;
		home->capacity = 0;
	}
}

void
home_publish(struct shard *shard)
{
	struct list *link;

	while ((link = list_pop(&shard->dirty_convs)) != NULL)
		home_conv_publish(shard, container_of(link, struct home_conv, dirty_link));
}

void
home_subscribe(struct shard *shard, struct conv_mail *mail)
{
	struct home_conv *home = home_conv(shard, mail->cid);

	/* What is committed and not yet published goes to this listener too. */
	home->listeners |= (uint64_t)1 << mail->from;
	mail->mail.kind = MAIL_SUBSCRIBED;
	mail->head = home->head;
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

static void
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
