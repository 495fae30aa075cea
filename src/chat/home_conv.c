/* SPDX-License-Identifier: MIT */
/*
 * The home of conversations: the one place of a node through which a conversation's entries pass,
 * so that their order needs no lock.  It stamps appends with what it knows of the author's rights,
 * and gathers what was committed, here or by way of other nodes, for home_publish.c.
 *
 * A home conversation is made by the first append or listener and forgotten a minute after the last
 * use; it holds nothing that the store doesn't.
 */
#include "chat/home_conv.h"

struct home_conv *
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
	mem_free(home->joined);
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

static bool
home_unused(const struct home_conv *home)
{
	return home->listeners == 0 && home->in_flight == 0 && home->count == 0 &&
	       home->joined_count == 0;
}

static void
home_forget(struct shard *shard, struct home_conv *home)
{
	if (home->wanted)
		cluster_interest(shard, RING_CONV, home->cid, false);
	(void)map_remove(&shard->home_convs, home->cid);
	home_conv_destroy(home);
}

/* Asks how far a log is and whose it is; the caller says which. */
static struct op *
look_op(void)
{
	struct op *op = op_create(OP_PAGE);

	op->page.newest = true;
	op->page.limit = 1;
	op->page.want_facts = true;
	return op;
}

/*
 * An entry of unknown outcome may be in the log, and nobody else would tell those who listen: the
 * store is asked how far the log is.
 */
static void
home_look(struct shard *shard, struct home_conv *home)
{
	struct op *op;

	home->look = true;
	if (home->looking)
		return;
	home->look = false;
	home->looking = true;
	op = look_op();
	op->page.target.cid = home->cid;
	shard_submit(shard, op);
}

void
home_convs_tick(struct shard *shard)
{
	struct home_conv *home, *idle[1024];
	size_t count = 0;

	for (size_t at = 0; (home = map_next(&shard->home_convs, &at)) != NULL;) {
		if (home->look)
			home_look(shard, home);
		if (count < LEN(idle) && home_unused(home) &&
		    shard->mono_ms - home->used_ms > LIMIT_HOME_IDLE_MS)
			idle[count++] = home;
	}
	while (count > 0)
		home_forget(shard, idle[--count]);
}

void
home_convs_forget(struct shard *shard)
{
	struct home_conv *home;

	for (size_t at = 0; (home = map_next(&shard->home_convs, &at)) != NULL;) {
		home->head = 0;
		home->facts_seq = 0;
		home->author_count = 0;
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
			/* Forget one at the place that the newcomer's id picks: no bookkeeping on
			 * the hot path. */
			author = &home->authors[op->user % LIMIT_AUTHORS];
		} else {
			home->authors = mem_resize(
			    home->authors, home->author_count + 1, sizeof(*home->authors));
			author = &home->authors[home->author_count++];
		}
	}
	*author = (struct author){op->user, op->append.acl_ver, op->append.min_seq};
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

void
home_announce_to(struct shard *shard, uint64_t user, uint64_t cid, uint64_t seq)
{
	struct user_mail *mail = user_mail_create(shard, MAIL_ANNOUNCE, user);

	mail->cid = cid;
	mail->seq = seq;
	cluster_tell(shard, RING_USER, user, &mail->mail);
}

/* A direct conversation that may be new to its two users: their homes ask their peers. */
static void
home_announce(struct shard *shard, struct home_conv *home)
{
	if (home->announced || home->facts.kind != CONV_DIRECT)
		return;
	home->announced = true;
	home_announce_to(shard, home->facts.lo, home->cid, 0);
	home_announce_to(shard, home->facts.hi, home->cid, 0);
}

/* Of groups; whoever listens has them. */
static bool
facts_same(const struct conv_facts *a, const struct conv_facts *b)
{
	return a->kind == CONV_GROUP && b->kind == CONV_GROUP &&
	       slice_given(a->handle) == slice_given(b->handle) && slice_eq(a->handle, b->handle);
}

/* A group's facts change; those of an earlier moment may be heard of later. */
static void
home_learn(
    struct shard *shard, struct home_conv *home, const struct conv_facts *facts, uint64_t facts_seq)
{
	char *old = home->text;

	if (facts_same(&home->facts, facts)) {
		if (facts_seq > home->facts_seq)
			home->facts_seq = facts_seq;
		return;
	}
	if (facts->kind == CONV_GROUP ? facts_seq >= home->facts_seq
				      : facts->kind != 0 && home->facts.kind == 0) {
		home->facts = facts_copy(facts, &home->text);
		home->facts_seq = facts_seq;
		home->tell_facts = facts->kind == CONV_GROUP;
		mem_free(old);
	}
	home_announce(shard, home);
}

/*
 * Entries come late or twice where they were stored without this home, or told by other nodes: they
 * are kept in order.
 */
static void
home_publish_soon(struct shard *shard, struct home_conv *home, struct entry *entry)
{
	size_t at = home->count;

	while (at > 0 && home->entries[at - 1]->seq > entry->seq)
		at--;
	if (at > 0 && home->entries[at - 1]->seq == entry->seq)
		return;
	if (home->count == home->capacity) {
		home->capacity = home->capacity > 0 ? home->capacity * 2 : 4;
		home->entries = mem_resize(home->entries, home->capacity, sizeof(*home->entries));
	}
	memmove(home->entries + at + 1, home->entries + at,
	    (home->count - at) * sizeof(struct entry *));
	home->entries[at] = entry_ref(entry);
	home->count++;
	home_dirty(shard, home);
}

static void
home_commit(struct shard *shard, uint64_t cid, struct entry *entry, const struct conv_facts *facts)
{
	struct home_conv *home = home_conv(shard, cid);

	home_learn(shard, home, facts, entry->seq);
	home_publish_soon(shard, home, entry);
}

/* The log is that far, and those who listen may not know. */
static void
home_reach(struct shard *shard, struct home_conv *home, uint64_t head)
{
	if (head <= home->head && !home->tell_facts)
		return;
	if (head > home->head)
		home->head = head;
	home_dirty(shard, home);
}

/*
 * A duplicate whose first commit was perhaps never heard of here: the log may be further than its
 * listeners know, and the conversation new to its users.
 */
static void
home_heard(struct shard *shard, uint64_t cid, uint64_t seq, const struct conv_facts *facts)
{
	struct home_conv *home = map_get(&shard->home_convs, cid);

	if (home == NULL && facts->kind == 0)
		return;
	home = home_conv(shard, cid);
	home_learn(shard, home, facts, seq);
	/* Nor may anybody on other nodes. */
	home->tell_head = home->tell_head || seq > home->head;
	home_reach(shard, home, seq);
}

/*
 * Another node says what was committed by way of it.  What follows on what is known goes on to those
 * who listen; whoever misses something in between is behind, and is fed from the store.
 */
static void
home_rung(struct shard *shard, const struct conv_mail *mail)
{
	struct home_conv *home = map_get(&shard->home_convs, mail->cid);

	if (home == NULL)
		return;
	home_learn(shard, home, &mail->facts, mail->facts_seq);
	for (size_t i = 0; home->listeners != 0 && i < mail->count; i++)
		if (mail->entries[i]->seq > home->head)
			home_publish_soon(shard, home, mail->entries[i]);
	if (mail->count == 0 || home->listeners == 0)
		home_reach(shard, home, mail->head);
}

void
home_polled(struct shard *shard, const struct op *op)
{
	for (size_t i = 0; i < op->heads.count; i++) {
		const struct op_head *item = &op->heads.items[i];
		struct home_conv *home = map_get(&shard->home_convs, item->cid);
		struct conv_facts facts = {.kind = CONV_GROUP, .handle = item->handle};

		if (home == NULL)
			continue;
		if (item->group)
			home_learn(shard, home, &facts, item->seq);
		home_reach(shard, home, item->seq);
	}
}

void
home_convs_heard(struct shard *shard, void (*each)(struct shard *shard, uint64_t cid))
{
	const struct home_conv *home;

	for (size_t at = 0; (home = map_next(&shard->home_convs, &at)) != NULL;)
		if (home->wanted)
			each(shard, home->cid);
}

struct conv_mail *
committed_mail(uint64_t cid, uint64_t head, const struct conv_facts *facts)
{
	struct conv_mail *mail = mem_zalloc(sizeof(*mail) + sizeof(struct entry *));

	mail->mail.kind = MAIL_COMMITTED;
	mail->cid = cid;
	mail->head = mail->facts_seq = head;
	if (facts->kind != 0)
		mail->facts = facts_copy(facts, &mail->text);
	return mail;
}

void
conv_mail_destroy(struct conv_mail *mail)
{
	for (size_t i = 0; i < mail->count; i++)
		entry_unref(mail->entries[i]);
	mem_free(mail->joined);
	mem_free(mail->text);
	mem_free(mail);
}

/* To the home, from a shard that is not it or does not know. */
static void
commit_send(struct shard *shard, unsigned to, struct op *op)
{
	struct conv_mail *mail =
	    committed_mail(op->append.target.cid, op->append.seq, &op->append.facts);

	if (!op->append.dup) {
		mail->entries[0] = entry_ref(op->append.entry);
		mail->count = 1;
	}
	shard_post(shard, to, &mail->mail);
}

void
home_place_look(struct shard *shard, uint64_t user, const struct op_target *target)
{
	struct op *op = look_op();

	op->user = user;
	op->page.target.user = op_copy(op, target->user);
	op->page.target.handle = op_copy(op, target->handle);
	shard_submit(shard, op);
}

void
home_look_again(struct shard *shard, struct op *op)
{
	home_place_look(shard, op->user, &op->page.target);
}

static void
place_looked(struct shard *shard, struct op *op)
{
	uint64_t cid = op->page.target.cid;

	if (op->fault.err == ERR_UNAVAILABLE || op->fault.err == ERR_BUSY) {
		shard_retry(shard, op);
		return;
	}
	if (op->fault.err == ERR_OK)
		shard_post(shard, shard_of(shard, cid),
		    &committed_mail(cid, op->page.head, &op->page.facts)->mail);
	op_destroy(&op);
}

void
home_looked(struct shard *shard, struct op *op)
{
	struct home_conv *home;

	if (op->user != 0) {
		place_looked(shard, op);
		return;
	}
	home = map_get(&shard->home_convs, op->page.target.cid);
	if (home != NULL && home->looking) {
		home->looking = false;
		if (op->fault.err != ERR_OK)
			home->look = true; /* at the next tick */
		else
			home_heard(shard, home->cid, op->page.head, &op->page.facts);
		if (op->fault.err == ERR_OK && home->look)
			home_look(shard, home);
	}
	op_destroy(&op);
}

/* They are told when it is published, so that an end that comes before it is seen before it. */
static void
home_joined(struct shard *shard, const struct conv_mail *mail)
{
	struct home_conv *home = home_conv(shard, mail->cid);

	if (mail->joined_count == 0)
		return;
	home->joined = mem_resize(
	    home->joined, home->joined_count + mail->joined_count, sizeof(*home->joined));
	for (size_t i = 0; i < mail->joined_count; i++)
		home->joined[home->joined_count++] = (struct joining){mail->joined[i], mail->head};
	home_dirty(shard, home);
}

void
home_committed(struct shard *shard, struct conv_mail *mail)
{
	if (mail->heard)
		home_rung(shard, mail);
	else if (mail->look)
		home_look(shard, home_conv(shard, mail->cid));
	else if (mail->count > 0)
		home_commit(shard, mail->cid, mail->entries[0], &mail->facts);
	else
		home_heard(shard, mail->cid, mail->head, &mail->facts);
	home_joined(shard, mail);
	conv_mail_destroy(mail);
}

void
home_ahead(const struct shard *shard, const struct op *op, unsigned step)
{
	uint64_t cid = op->append.target.cid;
	const struct home_conv *home;

	if (step == 0) {
		map_ahead(&shard->home_convs, cid);
		map_ahead(&shard->calls_by_id, op->call);
		__builtin_prefetch(op->append.entry);
		return;
	}
	if ((home = map_get(&shard->home_convs, cid)) == NULL)
		return;
	if (step == 1) {
		mem_ahead(home, sizeof(*home));
		__builtin_prefetch(map_get(&shard->calls_by_id, op->call));
	} else {
		__builtin_prefetch(home->authors);
		__builtin_prefetch(home->entries);
	}
}

static void
home_returned(struct shard *shard, struct home_conv *home, const struct op *op)
{
	assert(home->in_flight > 0);
	home->in_flight--;
	home->used_ms = shard->mono_ms;
	if (op->fault.err == ERR_OK && op->append.target.cid == home->cid)
		author_learn(home, op);
	else if (op->fault.err == ERR_UNKNOWN_OUTCOME)
		home_look(shard, home);
	else if (home->facts.kind == 0 && home_unused(home))
		home_forget(shard, home); /* anybody can name conversations that are not there */
}

/*
 * Back from the store, on the shard that submitted it: the conversation's home, or the author's
 * shard where the conversation was not known before.
 */
void
home_append_done(struct shard *shard, struct op *op)
{
	uint64_t cid = op->append.target.cid;
	struct home_conv *submitted =
	    op->context != 0 ? map_get(&shard->home_convs, op->context) : NULL;

	if (submitted != NULL)
		home_returned(shard, submitted, op);
	else if (op->fault.err == ERR_UNKNOWN_OUTCOME)
		home_place_look(shard, op->user, &op->append.target);
	if (op->fault.err == ERR_OK) {
		unsigned at = shard_of(shard, cid);

		if (at != shard->config.index)
			commit_send(shard, at, op);
		else if (op->append.dup)
			home_heard(shard, cid, op->append.seq, &op->append.facts);
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
