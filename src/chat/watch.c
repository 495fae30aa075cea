/* SPDX-License-Identifier: MIT */
/*
 * Who watches whom on this shard.  Each user that somebody here watches has one record of what was
 * heard of him last; his home tells this shard of changes, and each is encoded once for all who
 * watch.
 *
 *   presence.watch, sync, contact begins → WATCH to the home → WATCHED: what he shows → SHOWN …
 */
#include "chat/watch.h"

#include <stdlib.h>

/* A user that a peer is to watch, and how. */
struct wanted {
	uint64_t user;
	uint8_t flags;
	bool there;
};

struct watching *
watching_of(struct peer *peer)
{
	if (peer->watching == NULL) {
		peer->watching = mem_zalloc(sizeof(*peer->watching));
		list_init(&peer->watching->watches);
	}
	return peer->watching;
}

/* --- Telling peers --- */

static bool
watch_sees(const struct watch *watch)
{
	const struct peer *peer = watch->peer;

	if ((watch->flags & WATCH_APART) != 0)
		return false;
	return peer->shard->config.limits.directory_open || (watch->flags & WATCH_RELATED) != 0 ||
	       watch->watched->user == peer->user;
}

static struct event
event_of(const struct watched *watched, bool hidden)
{
	struct event event = {.kind = EVENT_PRESENCE};

	event.presence.name = slice_str(watched->name);
	event.presence.state = hidden ? PRESENCE_OFFLINE : (enum presence)watched->state;
	if (event.presence.state != PRESENCE_OFFLINE)
		event.presence.text = watched->text != NULL ? slice_str(watched->text) : SLICE_NONE;
	else if (!hidden)
		event.presence.seen = watched->seen;
	return event;
}

/* runs: for each wire form, made when the first needs it. */
static void
watch_tell(struct watch *watch, const struct event *event, struct run **runs)
{
	struct peer *peer = watch->peer;
	const struct chat_out *out = &peer->shard->config.out;

	watch->flags |= WATCH_MISSED;
	if (peer->state != PEER_SYNCED || peer->revoked)
		return;
	if (runs[peer->form] == NULL)
		runs[peer->form] = out->encode(out->gate, peer->form, event);
	if (out->queue(peer->out, runs[peer->form], 0, runs[peer->form]->len, false) == CHAT_FULL)
		stat_add(STAT_DROP_PRESENCE, 1);
	else
		watch->flags &= (uint8_t)~WATCH_MISSED;
}

static void
runs_unref(struct run **runs)
{
	for (unsigned form = 0; form < FORM_MAX; form++)
		if (runs[form] != NULL)
			run_unref(runs[form]);
}

static void
watched_tell(struct watched *watched)
{
	struct event event = event_of(watched, false);
	struct run *runs[FORM_MAX] = {0};

	for (struct list *at = watched->watches.next; at != &watched->watches; at = at->next) {
		struct watch *watch = container_of(at, struct watch, of_watched);

		if (watch_sees(watch))
			watch_tell(watch, &event, runs);
	}
	runs_unref(runs);
}

static void
watch_tell_alone(struct watch *watch, bool hidden)
{
	struct event event = event_of(watch->watched, hidden);
	struct run *runs[FORM_MAX] = {0};

	watch_tell(watch, &event, runs);
	runs_unref(runs);
}

void
presence_catch_up(struct peer *peer)
{
	struct list *head = peer->watching != NULL ? &peer->watching->watches : NULL;

	for (struct list *at = head != NULL ? head->next : NULL; at != head; at = at->next) {
		struct watch *watch = container_of(at, struct watch, of_peer);

		if ((watch->flags & WATCH_MISSED) == 0 || watch->watched->waiting)
			continue;
		watch_tell_alone(watch, !watch_sees(watch));
		if ((watch->flags & WATCH_MISSED) != 0)
			return;
	}
}

/* --- What homes say --- */

static void
watched_take(struct watched *watched, struct shown *shown)
{
	watched->state = (uint8_t)shown->state;
	watched->seen = shown->seen;
	memcpy(watched->name, shown->name, sizeof(watched->name));
	mem_free(watched->text);
	watched->text = shown->text;
	shown->text = NULL;
}

void
presence_shown(struct shard *shard, struct shown_mail *mail)
{
	struct watched *watched = map_get(&shard->watched, mail->shown.user);

	if (watched != NULL && !watched->waiting) {
		watched_take(watched, &mail->shown);
		watched_tell(watched);
	}
	mem_free(mail->shown.text);
	mem_free(mail);
}

void
watch_mail_destroy(struct watch_mail *mail)
{
	for (size_t i = 0; i < mail->shown_count; i++)
		mem_free(mail->shown[i].text);
	mem_free(mail->shown);
	mem_free(mail);
}

/* It is known what he shows: is the peer to be told of that, if he shows himself at all? */
static void
watch_begins(struct watch *watch)
{
	if (watch->watched->waiting || (watch->flags & WATCH_MISSED) == 0)
		return;
	watch->flags &= (uint8_t)~WATCH_MISSED;
	if (watch->watched->state != PRESENCE_OFFLINE && watch_sees(watch))
		watch_tell_alone(watch, false);
}

static void
watched_begins(struct watched *watched)
{
	watched->waiting = false;
	for (struct list *at = watched->watches.next; at != &watched->watches; at = at->next)
		watch_begins(container_of(at, struct watch, of_watched));
}

void
presence_watched(struct shard *shard, struct watch_mail *mail)
{
	struct watched *watched;

	for (size_t i = 0; i < mail->shown_count; i++) {
		watched = map_get(&shard->watched, mail->shown[i].user);
		if (watched != NULL && watched->serial == mail->serial)
			watched_take(watched, &mail->shown[i]);
	}
	for (size_t i = 0; i < mail->count; i++) {
		watched = map_get(&shard->watched, mail->users[i]);
		if (watched != NULL && watched->serial == mail->serial)
			watched_begins(watched);
	}
	watch_mail_destroy(mail);
}

/* --- Watches --- */

/* Users whose homes are to be told, gathered while a peer's watches change. */
struct changes {
	uint64_t *begun, *ended; /* owned */
	size_t begun_count, ended_count;
};

static void
homes_tell(struct shard *shard, enum mail_kind kind, const uint64_t *users, size_t count)
{
	for (unsigned to = 0; count > 0 && to < shard->config.count; to++) {
		struct watch_mail *mail;
		size_t his = 0;

		for (size_t i = 0; i < count; i++)
			his += shard_of(shard, users[i]) == to;
		if (his == 0)
			continue;
		mail = mem_zalloc(sizeof(*mail) + his * sizeof(mail->users[0]));
		mail->mail.kind = kind;
		mail->from = shard->config.index;
		mail->serial = shard->watch_serial;
		for (size_t i = 0; i < count; i++)
			if (shard_of(shard, users[i]) == to)
				mail->users[mail->count++] = users[i];
		shard_post(shard, to, &mail->mail);
	}
}

static void
changes_tell(struct shard *shard, struct changes *changes)
{
	homes_tell(shard, MAIL_UNWATCH, changes->ended, changes->ended_count);
	homes_tell(shard, MAIL_WATCH, changes->begun, changes->begun_count);
	mem_free(changes->ended);
	mem_free(changes->begun);
}

static void
changes_begin(struct shard *shard, struct changes *changes, size_t begun_max, size_t ended_max)
{
	shard->watch_serial++;
	*changes = (struct changes){.begun = mem_alloc((begun_max + 1) * sizeof(uint64_t)),
	    .ended = mem_alloc((ended_max + 1) * sizeof(uint64_t))};
}

static struct watched *
watched_find(struct shard *shard, uint64_t user, struct changes *changes)
{
	struct watched *watched = map_get(&shard->watched, user);

	if (watched != NULL)
		return watched;
	watched = mem_zalloc(sizeof(*watched));
	watched->user = user;
	watched->state = PRESENCE_OFFLINE;
	watched->waiting = true;
	watched->serial = shard->watch_serial;
	list_init(&watched->watches);
	map_put(&shard->watched, user, watched);
	changes->begun[changes->begun_count++] = user;
	return watched;
}

static struct watch *
watch_begin(struct peer *peer, uint64_t user, uint8_t flags, struct changes *changes)
{
	struct watch *watch = mem_zalloc(sizeof(*watch));

	watch->peer = peer;
	watch->flags = flags;
	watch->watched = watched_find(peer->shard, user, changes);
	list_push_back(&watch->watched->watches, &watch->of_watched);
	list_push_back(&watching_of(peer)->watches, &watch->of_peer);
	return watch;
}

static void
watch_end(struct watch *watch, struct changes *changes)
{
	struct shard *shard = watch->peer->shard;
	struct watched *watched = watch->watched;

	list_remove(&watch->of_watched);
	list_remove(&watch->of_peer);
	mem_free(watch);
	if (!list_empty(&watched->watches))
		return;
	changes->ended[changes->ended_count++] = watched->user;
	(void)map_remove(&shard->watched, watched->user);
	mem_free(watched->text);
	mem_free(watched);
}

struct watch *
watch_find(const struct peer *peer, uint64_t user)
{
	const struct list *head = peer->watching != NULL ? &peer->watching->watches : NULL;

	for (struct list *at = head != NULL ? head->next : NULL; at != head; at = at->next) {
		struct watch *watch = container_of(at, struct watch, of_peer);

		if (watch->watched->user == user)
			return watch;
	}
	return NULL;
}

static size_t
watch_count(const struct peer *peer)
{
	const struct list *head = peer->watching != NULL ? &peer->watching->watches : NULL;
	size_t count = 0;

	for (struct list *at = head != NULL ? head->next : NULL; at != head; at = at->next)
		count++;
	return count;
}

void
presence_forget(struct peer *peer)
{
	struct watching *watching = peer->watching;
	struct changes changes;

	if (watching == NULL)
		return;
	changes_begin(peer->shard, &changes, 0, watch_count(peer));
	while (!list_empty(&watching->watches))
		watch_end(container_of(watching->watches.next, struct watch, of_peer), &changes);
	changes_tell(peer->shard, &changes);
	mem_free(watching->relations);
	mem_free(watching);
	peer->watching = NULL;
}

static int
wanted_order(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return x->user < y->user ? -1 : x->user > y->user;
}

/* Sorted, each once. */
static size_t
wanted_sort(struct wanted *wanted, size_t count)
{
	size_t used = 0;

	if (count > 0)
		qsort(wanted, count, sizeof(*wanted), wanted_order);
	for (size_t i = 0; i < count; i++)
		if (used == 0 || wanted[i].user != wanted[used - 1].user)
			wanted[used++] = wanted[i];
	return used;
}

/* How the two stand to each other now; if that changes what is seen the peer is told. */
static void
watch_stand(struct watch *watch, uint8_t flags)
{
	bool saw = watch_sees(watch);

	watch->flags &= (uint8_t) ~(WATCH_RELATED | WATCH_APART);
	watch->flags |= flags;
	if (saw != watch_sees(watch) && watch->watched->state != PRESENCE_OFFLINE)
		watch_tell_alone(watch, saw);
}

/* For this reason the peer watches these users, and no others. */
static void
watch_replace(struct peer *peer, uint8_t reason, struct wanted *wanted, size_t count)
{
	struct list *head = &watching_of(peer)->watches;
	struct changes changes;

	count = wanted_sort(wanted, count);
	changes_begin(peer->shard, &changes, count, watch_count(peer));
	for (struct list *at = head->next, *next; at != head; at = next) {
		struct watch *watch = container_of(at, struct watch, of_peer);
		struct wanted key = {.user = watch->watched->user}, *found = NULL;

		next = at->next;
		if (count > 0)
			found = bsearch(&key, wanted, count, sizeof(*wanted), wanted_order);
		watch->flags &= (uint8_t)~reason;
		if (found != NULL) {
			watch_stand(watch, found->flags);
			watch->flags |= reason;
			found->there = true;
		} else if ((watch->flags & (WATCH_CONTACT | WATCH_LISTED)) == 0) {
			watch_end(watch, &changes);
		}
	}
	for (size_t i = 0; i < count; i++)
		if (!wanted[i].there)
			(void)watch_begin(peer, wanted[i].user, reason | wanted[i].flags, &changes);
	changes_tell(peer->shard, &changes);
}

/* --- What stands between two users --- */

void
watch_contacts(struct peer *peer, const uint64_t *uids, size_t count)
{
	struct wanted *wanted = mem_zalloc((count + 1) * sizeof(*wanted));

	for (size_t i = 0; i < count; i++)
		wanted[i] = (struct wanted){.user = uids[i], .flags = WATCH_RELATED};
	watch_replace(peer, WATCH_CONTACT, wanted, count);
	mem_free(wanted);
}

static uint8_t
relation_flags(const struct op_user *user)
{
	return (uint8_t)((user->related ? WATCH_RELATED : 0) | (user->apart ? WATCH_APART : 0));
}

/* A user who is watched already stands to this one as was read now. */
static void
watch_again(struct watch *watch, const struct op_user *user, bool listens)
{
	watch->flags &= (uint8_t)~WATCH_CONTACT;
	if (user->contact && listens)
		watch->flags |= WATCH_CONTACT;
	watch_stand(watch, relation_flags(user));
}

void
watch_relate(struct peer *peer, const struct op_user *user)
{
	struct watch *watch = watch_find(peer, user->uid);
	bool listens = peer->state == PEER_SYNCED;
	struct changes changes;

	changes_begin(peer->shard, &changes, 1, 1);
	if (watch != NULL)
		watch_again(watch, user, listens);
	if (watch == NULL && user->contact && listens)
		watch_begins(watch_begin(
		    peer, user->uid, WATCH_CONTACT | WATCH_RELATED | WATCH_MISSED, &changes));
	else if (watch != NULL && (watch->flags & (WATCH_CONTACT | WATCH_LISTED)) == 0)
		watch_end(watch, &changes);
	changes_tell(peer->shard, &changes);
}

/* --- presence.watch --- */

bool
presence_watch_set(struct peer *peer, const struct op *op, uint64_t mark)
{
	struct wanted *wanted;

	if (mark != presence_mark(peer))
		return false;
	wanted = mem_zalloc((op->profiles.count + 1) * sizeof(*wanted));
	for (size_t i = 0; i < op->profiles.count; i++) {
		const struct op_user *user = &op->profiles.items[i];

		wanted[i] = (struct wanted){.user = user->uid, .flags = relation_flags(user)};
	}
	watch_replace(peer, WATCH_LISTED, wanted, op->profiles.count);
	mem_free(wanted);
	return true;
}

static int
watch_order(const void *a, const void *b)
{
	const struct watch *x = *(struct watch *const *)a, *y = *(struct watch *const *)b;

	return x->watched->user < y->watched->user ? -1 : x->watched->user > y->watched->user;
}

/* The peer's watches by user; *ret_count of them. */
static struct watch **
watches_sorted(const struct peer *peer, size_t *ret_count)
{
	size_t count = watch_count(peer), used = 0;
	struct watch **sorted = mem_alloc((count + 1) * sizeof(struct watch *));

	for (struct list *at = count > 0 ? peer->watching->watches.next : NULL; used < count;
	     at = at->next)
		sorted[used++] = container_of(at, struct watch, of_peer);
	if (count > 0)
		qsort(sorted, count, sizeof(struct watch *), watch_order);
	*ret_count = count;
	return sorted;
}

static void
overlay_one(const struct watch *watch, struct online_user *user)
{
	const struct watched *watched = watch->watched;

	if (watched->waiting)
		return;
	user->state = watch_sees(watch) ? (enum presence)watched->state : PRESENCE_OFFLINE;
	user->text = SLICE_NONE;
	if (user->state != PRESENCE_OFFLINE) {
		user->seen = 0;
		if (watched->text != NULL)
			user->text = slice_str(watched->text);
	} else if (!watch_sees(watch)) {
		user->seen = 0;
	}
}

void
presence_overlay(struct peer *peer, const uint64_t *uids, size_t count, struct online_user *users)
{
	size_t watch_total;
	struct watch **sorted;

	if (peer->watching == NULL)
		return;
	sorted = watches_sorted(peer, &watch_total);
	for (size_t i = 0; watch_total > 0 && i < count; i++) {
		struct watched key_user = {.user = uids[i]};
		struct watch key = {.watched = &key_user}, *key_at = &key;
		struct watch **found =
		    bsearch(&key_at, sorted, watch_total, sizeof(struct watch *), watch_order);

		if (found != NULL)
			overlay_one(*found, &users[i]);
	}
	mem_free(sorted);
}
