/* SPDX-License-Identifier: MIT */
/*
 * What users show, at their homes: out of what they set and how their connections are.  Shards that
 * have somebody who watches are told of changes only; of a leaving some time late, so that a
 * reconnect is not seen, unless somebody asks meanwhile: nobody hears a state that is older than
 * what he was told.
 */
#include <stdlib.h>

#include "chat/cluster.h"

enum presence
home_shows_here(const struct home_user *home)
{
	uint32_t away = 0;

	if (home->synced == 0 || home->presence == PRESENCE_INVISIBLE)
		return PRESENCE_OFFLINE;
	if (home->presence == PRESENCE_BUSY)
		return PRESENCE_BUSY;
	for (uint32_t i = 0; i < home->count; i++)
		away += home_nth(home, i)->synced && home_nth(home, i)->away;
	return away == home->synced ? PRESENCE_AWAY : PRESENCE_ONLINE;
}

enum presence
home_shows(const struct shard *shard, const struct home_user *home)
{
	return afar_shows(shard, home->user, home_shows_here(home));
}

void
home_presence(struct home_user *home, enum presence presence, slice text)
{
	home->known = true;
	home->presence = presence & 15;
	if (slice_eq(text, home_text(home)))
		return;
	home_say(home, home_display(home), text);
	home->text_news = true;
}

/* --- Telling --- */

static void
shown_of(const struct home_user *home, enum presence state, uint64_t seen, struct shown *ret)
{
	*ret = (struct shown){.user = home->user, .state = state, .seen = seen};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", home->name);
	if (state != PRESENCE_OFFLINE && slice_given(home_text(home)))
		ret->text = mem_dup(home_text(home));
}

static uint64_t
watching_shards(const struct shard *shard, uint64_t user)
{
	return (uint64_t)(uintptr_t)map_get(&shard->home_watched, user);
}

static void
home_tell(struct shard *shard, struct home_user *home, enum presence state, uint64_t seen)
{
	uint64_t shards = watching_shards(shard, home->user);

	home->told = state & 15;
	if (state != PRESENCE_OFFLINE)
		home->text_news = false;
	for (unsigned to = 0; to < shard->config.count; to++) {
		struct shown_mail *mail;

		if ((shards >> to & 1) == 0)
			continue;
		mail = mem_zalloc(sizeof(*mail));
		mail->mail.kind = MAIL_SHOWN;
		shown_of(home, state, seen, &mail->shown);
		shard_post(shard, to, &mail->mail);
	}
}

static void
leaving_begin(struct shard *shard, const struct home_user *home)
{
	struct leaving *leaving = mem_zalloc(sizeof(*leaving));

	leaving->user = home->user;
	leaving->due_ms = shard->mono_ms + shard->config.limits.leave_ms;
	leaving->seen = shard->real_ms;
	list_push_back(&shard->leavings, &leaving->link);
	map_put(&shard->leavings_by_user, home->user, leaving);
}

static void
leaving_end(struct shard *shard, struct leaving *leaving)
{
	(void)map_remove(&shard->leavings_by_user, leaving->user);
	list_remove(&leaving->link);
	mem_free(leaving);
}

void
home_show(struct shard *shard, struct home_user *home)
{
	enum presence now = home_shows(shard, home);
	bool here = home->synced > 0 || afar_is_there(shard, home->user);
	struct leaving *leaving = map_get(&shard->leavings_by_user, home->user);

	if (!here && home->told != PRESENCE_OFFLINE) {
		if (leaving == NULL && watching_shards(shard, home->user) != 0)
			leaving_begin(shard, home);
		else if (leaving == NULL)
			home->told = PRESENCE_OFFLINE;
		return;
	}
	if (leaving != NULL)
		leaving_end(shard, leaving);
	if (now != home->told || (home->text_news && now != PRESENCE_OFFLINE))
		home_tell(shard, home, now, 0);
}

void
home_user_release(struct shard *shard, struct home_user *home)
{
	if (home->count > 0 || afar_has(shard, home->user) ||
	    map_get(&shard->leavings_by_user, home->user) != NULL)
		return;
	(void)map_remove(&shard->home_users, home->user);
	home_user_destroy(home);
}

/* Those who watch learn it now. */
static void
leaving_tell(struct shard *shard, struct leaving *leaving)
{
	struct home_user *home = map_get(&shard->home_users, leaving->user);
	/* Who is invisible was not here. */
	uint64_t seen = home->presence != PRESENCE_INVISIBLE ? leaving->seen : 0;

	leaving_end(shard, leaving);
	home_tell(shard, home, PRESENCE_OFFLINE, seen);
	home_user_release(shard, home);
}

static void
leaving_tell_of(struct shard *shard, uint64_t user)
{
	struct leaving *leaving = map_get(&shard->leavings_by_user, user);

	if (leaving != NULL)
		leaving_tell(shard, leaving);
}

void
home_leavings_tick(struct shard *shard)
{
	while (!list_empty(&shard->leavings)) {
		struct leaving *leaving = container_of(shard->leavings.next, struct leaving, link);

		if (leaving->due_ms > shard->mono_ms)
			return;
		leaving_tell(shard, leaving);
	}
}

void
home_leavings_destroy(struct shard *shard)
{
	while (!list_empty(&shard->leavings))
		leaving_end(shard, container_of(shard->leavings.next, struct leaving, link));
	map_fini(&shard->leavings_by_user);
	map_fini(&shard->home_watched);
}

/* --- presence.set: on its way back from the store --- */

/* Which of two is the last the store alone knows, so others are told to read it. */
static void
presence_ring(struct shard *shard, uint64_t user)
{
	struct user_mail *mail;

	if (shard->cluster == NULL)
		return;
	mail = user_mail_create(shard, MAIL_PRESENCE_NEWS, user);
	cluster_ring(shard, RING_USER, user, &mail->mail);
	user_mail_destroy(mail);
}

/* To set nothing is to read, and comes back in the order in which the store did it. */
void
user_presence_news(struct shard *shard, struct user_mail *mail)
{
	const struct home_user *home = map_get(&shard->home_users, mail->user);
	struct op *op;

	if (home != NULL && home->count > 0) {
		op = op_create(OP_PRESENCE_SET);
		op->user = mail->user;
		op->origin = op->shard = (uint16_t)shard->config.index;
		op->presence.state = -1;
		op->mail.kind = MAIL_PRESENCE_SET;
		shard->config.ports.submit(shard->config.ports.cookie, op);
	}
	user_mail_destroy(mail);
}

void
user_presence(struct shard *shard, struct op *op)
{
	struct home_user *home = map_get(&shard->home_users, op->user);
	struct attached *attached;

	if (home != NULL && op->fault.err == ERR_UNKNOWN_OUTCOME) {
		home->known = false; /* if not before, the next connection that syncs has read it */
		if (op->call != 0)
			user_presence_news(
			    shard, user_mail_create(shard, MAIL_PRESENCE_NEWS, op->user));
	}
	if (home != NULL && op->fault.err == ERR_OK) {
		if (op->call == 0 || presence_op_stores(op))
			home_presence(home, op->presence.now, op->presence.now_text);
		attached =
		    op->call != 0 ? home_attached(home, op->origin, op->presence.peer, 0) : NULL;
		if (attached != NULL)
			attached->away = op->presence.away;
		afar_news(shard, home->user);
		home_show(shard, home);
	}
	if (op->call == 0 && op->fault.err != ERR_OK && shard->cluster != NULL)
		cluster_check(shard, op->user);
	else if (op->call != 0 && presence_op_stores(op))
		presence_ring(shard, op->user);
	op->mail.kind = MAIL_OP_DONE;
	op->shard = op->origin;
	shard_post(shard, op->origin, &op->mail);
}

/* --- Who watches --- */

static void
watch_one(struct shard *shard, struct watch_mail *mail, uint64_t user)
{
	uint64_t shards = watching_shards(shard, user) | (uint64_t)1 << mail->from;
	const struct home_user *home;

	leaving_tell_of(shard, user);
	map_put(&shard->home_watched, user, (void *)(uintptr_t)shards);
	home = map_get(&shard->home_users, user);
	if (home != NULL && home->told != PRESENCE_OFFLINE)
		shown_of(home, (enum presence)home->told, 0, &mail->shown[mail->shown_count++]);
}

static void
unwatch_one(struct shard *shard, const struct watch_mail *mail, uint64_t user)
{
	uint64_t shards = watching_shards(shard, user) & ~((uint64_t)1 << mail->from);

	if (shards != 0)
		map_put(&shard->home_watched, user, (void *)(uintptr_t)shards);
	else
		(void)map_remove(&shard->home_watched, user);
}

void
user_watch(struct shard *shard, struct watch_mail *mail)
{
	mail->shown = mem_alloc((mail->count + 1) * sizeof(*mail->shown));
	for (size_t i = 0; i < mail->count; i++)
		watch_one(shard, mail, mail->users[i]);
	mail->mail.kind = MAIL_WATCHED;
	shard_post(shard, mail->from, &mail->mail);
}

void
user_unwatch(struct shard *shard, struct watch_mail *mail)
{
	for (size_t i = 0; i < mail->count; i++)
		unwatch_one(shard, mail, mail->users[i]);
	watch_mail_destroy(mail);
}

/* --- Questions --- */

static int
name_order(const void *a, const void *b)
{
	const struct online_record *x = a, *y = b;

	return slice_cmp(slice_str(x->name), slice_str(y->name));
}

static void
record_free(struct online_record *record)
{
	mem_free(record->display);
	mem_free(record->text);
}

/*
 * Keeps the first `limit` + 1 names behind `after`, or everyone: gathers up to twice as many, then
 * sorts and cuts.  Every match counts as online.
 */
static void
query_found(struct shard *shard, struct query_mail *mail, const struct home_user *home)
{
	size_t keep = mail->everyone ? mail->user_count : (size_t)mail->limit + 1;
	struct online_record *item;

	mail->online++;
	if (mail->counts)
		return;
	if (!mail->everyone && slice_cmp(slice_str(home->name), slice_str(mail->after)) <= 0)
		return;
	if (mail->items == NULL)
		mail->items = mem_alloc(2 * keep * sizeof(*mail->items));
	if (mail->count == 2 * keep) {
		qsort(mail->items, mail->count, sizeof(*mail->items), name_order);
		while (mail->count > keep)
			record_free(&mail->items[--mail->count]);
	}
	item = &mail->items[mail->count++];
	*item = (struct online_record){.user = home->user, .state = home_shows(shard, home)};
	(void)snprintf(item->name, sizeof(item->name), "%s", home->name);
	item->display = mem_dup(home_display(home));
	item->text = slice_given(home_text(home)) ? mem_dup(home_text(home)) : NULL;
}

static int
id_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Users that follow a conversation on this shard, each once. */
static void
query_conv(struct shard *shard, struct query_mail *mail)
{
	const struct topic *topic = topic_find(shard, mail->cid);
	size_t count = 0;

	if (topic == NULL)
		return;
	mail->users = mem_alloc(topic->stream_count * sizeof(*mail->users));
	for (uint32_t i = 0; i < topic->stream_count; i++)
		mail->users[i] = topic_peer(shard, topic, i)->user;
	qsort(mail->users, topic->stream_count, sizeof(*mail->users), id_order);
	for (uint32_t i = 0; i < topic->stream_count; i++)
		if (count == 0 || mail->users[i] != mail->users[count - 1])
			mail->users[count++] = mail->users[i];
	mail->user_count = count;
}

static void
query_all(struct shard *shard, struct query_mail *mail)
{
	const struct home_user *home;

	for (size_t at = 0; (home = map_next(&shard->home_users, &at)) != NULL;)
		if (home_shows(shard, home) != PRESENCE_OFFLINE &&
		    !uids_have(mail->users, mail->user_count, home->user))
			query_found(shard, mail, home);
}

static void
query_users(struct shard *shard, struct query_mail *mail)
{
	for (size_t i = 0; i < mail->user_count; i++) {
		const struct home_user *home;

		if (mail->everyone)
			leaving_tell_of(shard, mail->users[i]);
		home = map_get(&shard->home_users, mail->users[i]);
		if (home != NULL && home_shows(shard, home) != PRESENCE_OFFLINE)
			query_found(shard, mail, home);
	}
}

void
user_query(struct shard *shard, struct query_mail *mail)
{
	switch (mail->what) {
	case QUERY_ALL:
		query_all(shard, mail);
		break;
	case QUERY_CONV:
		query_conv(shard, mail);
		break;
	case QUERY_USERS:
		query_users(shard, mail);
		break;
	}
	mail->mail.kind = MAIL_RESULT;
	shard_post(shard, mail->from, &mail->mail);
}

void
query_mail_destroy(struct query_mail *mail)
{
	for (size_t i = 0; i < mail->count; i++)
		record_free(&mail->items[i]);
	mem_free(mail->items);
	mem_free(mail->users);
	mem_free(mail);
}
