/* SPDX-License-Identifier: MIT */
/*
 * Who watches whom on this shard.  Each user that somebody here watches has one record of what was
 * heard of him last; his home tells this shard of changes, and each is encoded once for all who
 * watch.
 *
 *   presence.watch, sync, contact begins → WATCH to the home → WATCHED: what he shows → SHOWN …
 *
 * What stands between two users (contact, block) is read from the store, always after the change and
 * again if another change came meanwhile, so that whoever reads last knows it as it is.
 */
#include "chat/presence.h"

#include <stdlib.h>

#include "chat/names.h"

/* A user who is watched by peers of this shard. */
struct watched {
	uint64_t user;
	struct list watches;
	uint64_t seen;
	char *text; /* owned; NULL: none */
	uint32_t serial;
	bool waiting; /* for WATCHED; what comes before that is older */
	uint8_t state;
	char name[33]; /* once he showed himself */
};

enum {
	WATCH_CONTACT = 1, /* because he is a contact */
	WATCH_LISTED = 2,  /* because the peer's list names him */
	WATCH_RELATED = 4, /* is seen also with a closed directory */
	WATCH_APART = 8,   /* a block stands between the two */
	WATCH_MISSED = 16, /* what was told last did not reach the peer */
};

struct watch {
	struct list of_watched, of_peer;
	struct watched *watched; /* borrowed; it lives as long as it is watched */
	struct peer *peer;       /* borrowed; it ends its watches before itself */
	uint8_t flags;
};

struct watching {
	struct list watches;
	uint32_t changes;           /* of what stands between the user and others */
	bool reread;                /* all contacts once more, after the sync */
	struct relation *relations; /* owned; those that are being read */
	uint32_t relation_count;
};

/* What stands between a peer's user and another is being read. */
struct relation {
	uint64_t other;
	uint32_t serial; /* of its reading */
	bool again;      /* it changed since: what is read may be too old */
};

/* What a reading was for; the operation's. */
struct reading {
	uint64_t peer;
	uint32_t changes; /* as they were when it began */
	uint32_t serial;
	uint64_t other; /* 0: all contacts */
};

/* A user that a peer is to watch, and how. */
struct wanted {
	uint64_t user;
	uint8_t flags;
	bool there;
};

static const struct reading *
reading_of(const struct op *op)
{
	return (const struct reading *)(uintptr_t)op->context;
}

static struct watching *
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

static struct watch *
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

/* --- Contacts --- */

static void
contacts_watch(struct peer *peer, const uint64_t *uids, size_t count)
{
	struct wanted *wanted = mem_zalloc((count + 1) * sizeof(*wanted));

	for (size_t i = 0; i < count; i++)
		wanted[i] = (struct wanted){.user = uids[i], .flags = WATCH_RELATED};
	watch_replace(peer, WATCH_CONTACT, wanted, count);
	mem_free(wanted);
}

/* other 0: all contacts. */
static void
reading_submit(struct peer *peer, uint64_t other, uint32_t serial)
{
	struct op *op = op_create(other != 0 ? OP_PROFILES : OP_CONTACTS);
	struct reading *reading = op_alloc(op, sizeof(*reading));

	*reading = (struct reading){.peer = peer->id,
	    .changes = watching_of(peer)->changes,
	    .serial = serial,
	    .other = other};
	op->user = peer->user;
	op->context = (uint64_t)(uintptr_t)reading;
	if (other != 0) {
		op->profiles.uids = &reading->other;
		op->profiles.want = 1;
	}
	shard_submit(peer->shard, op);
}

static struct relation *
relation_find(const struct peer *peer, uint64_t other)
{
	struct watching *watching = peer->watching;

	for (uint32_t i = 0; watching != NULL && i < watching->relation_count; i++)
		if (watching->relations[i].other == other)
			return &watching->relations[i];
	return NULL;
}

/* One reading for each other at a time, so that many changes at once cost no more than one each. */
static void
relation_read(struct peer *peer, uint64_t other)
{
	struct watching *watching = watching_of(peer);
	struct relation *relation = relation_find(peer, other);

	if (relation != NULL) {
		relation->again = true;
		return;
	}
	watching->relations = mem_resize(
	    watching->relations, watching->relation_count + 1, sizeof(*watching->relations));
	relation = &watching->relations[watching->relation_count++];
	*relation = (struct relation){.other = other, .serial = ++peer->shard->watch_serial};
	reading_submit(peer, other, relation->serial);
}

/* The relation that this reading is for; NULL: nobody waits for it any more. */
static struct relation *
relation_of(const struct peer *peer, const struct reading *reading)
{
	struct relation *relation = relation_find(peer, reading->other);

	return relation != NULL && relation->serial == reading->serial ? relation : NULL;
}

static void
relation_end(struct peer *peer, struct relation *relation)
{
	struct watching *watching = peer->watching;

	*relation = watching->relations[--watching->relation_count];
}

void
presence_synced(struct peer *peer, const struct op_around *around)
{
	if (peer->watching != NULL && peer->watching->reread) {
		peer->watching->reread = false;
		reading_submit(peer, 0, 0);
	} else if (around->count > 0) {
		contacts_watch(peer, around->contacts, around->count);
	}
	presence_catch_up(peer);
}

void
presence_relation(struct peer *peer, uint64_t other)
{
	if (peer->state < PEER_READY || peer->revoked)
		return;
	watching_of(peer)->changes++;
	if (peer->state == PEER_SYNCING)
		peer->watching->reread = true;
	relation_read(peer, other);
}

void
presence_met(struct peer *peer, uint64_t other)
{
	if (!peer->shard->config.limits.directory_open && watch_find(peer, other) != NULL)
		presence_relation(peer, other);
}

uint64_t
presence_mark(const struct peer *peer)
{
	return peer->watching != NULL ? peer->watching->changes : 0;
}

static uint8_t
relation_flags(const struct op_user *user)
{
	return (uint8_t)((user->related ? WATCH_RELATED : 0) | (user->apart ? WATCH_APART : 0));
}

/* A user who is watched already stands to this one as was read now. */
static void
watch_relate(struct watch *watch, const struct op_user *user, bool listens)
{
	watch->flags &= (uint8_t)~WATCH_CONTACT;
	if (user->contact && listens)
		watch->flags |= WATCH_CONTACT;
	watch_stand(watch, relation_flags(user));
}

static void
relation_apply(struct peer *peer, const struct op_user *user)
{
	struct watch *watch = watch_find(peer, user->uid);
	bool listens = peer->state == PEER_SYNCED;
	struct changes changes;

	changes_begin(peer->shard, &changes, 1, 1);
	if (watch != NULL)
		watch_relate(watch, user, listens);
	if (watch == NULL && user->contact && listens)
		watch_begins(watch_begin(
		    peer, user->uid, WATCH_CONTACT | WATCH_RELATED | WATCH_MISSED, &changes));
	else if (watch != NULL && (watch->flags & (WATCH_CONTACT | WATCH_LISTED)) == 0)
		watch_end(watch, &changes);
	changes_tell(peer->shard, &changes);
}

static void
contacts_read(struct peer *peer, const struct op *op)
{
	if (reading_of(op)->changes != watching_of(peer)->changes)
		reading_submit(peer, 0, 0);
	else
		contacts_watch(peer, op->contacts.uids, op->contacts.count);
}

static void
relation_done(struct peer *peer, const struct op *op)
{
	const struct reading *reading = reading_of(op);
	struct op_user nobody = {.uid = reading->other};
	struct relation *relation = relation_of(peer, reading);
	struct watch *watch;

	if (relation == NULL)
		return;
	if (relation->again) {
		relation->again = false;
		reading_submit(peer, relation->other, relation->serial);
		return;
	}
	relation_end(peer, relation);
	if (op->profiles.count > 0) {
		relation_apply(peer, &op->profiles.items[0]);
	} else if ((watch = watch_find(peer, reading->other)) != NULL) {
		nobody.related = (watch->flags & WATCH_RELATED) != 0; /* his account has ended */
		relation_apply(peer, &nobody);
	}
}

/* NULL: whom the reading was for is gone. */
static struct peer *
reading_peer(struct shard *shard, const struct op *op)
{
	struct peer *peer = peer_find(shard, reading_of(op)->peer);

	if (peer == NULL || peer->state < PEER_READY || peer->revoked || peer->user != op->user)
		return NULL;
	return peer;
}

static void
reading_done(struct shard *shard, const struct op *op)
{
	struct peer *peer = reading_peer(shard, op);

	if (peer != NULL && op->kind == OP_CONTACTS)
		contacts_read(peer, op);
	else if (peer != NULL)
		relation_done(peer, op);
}

void
presence_again(struct shard *shard, struct op *op)
{
	const struct reading *reading = reading_of(op);
	struct peer *peer = reading_peer(shard, op);

	if (peer != NULL && (reading->other == 0 || relation_of(peer, reading) != NULL))
		reading_submit(peer, reading->other, reading->serial);
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

/* --- presence.set --- */

bool
presence_op_stores(const struct op *op)
{
	return op->presence.state >= 0 || slice_given(op->presence.text);
}

void
chat_presence_set(struct peer *peer, const struct call_tag *tag, const struct presence_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	struct shard *shard = peer->shard;
	struct op *op;

	if (!peer_check(call))
		return;
	assert(cmd->state != PRESENCE_OFFLINE);
	if (slice_given(cmd->text) && !text_valid(cmd->text, 0, PRESENCE_MAX_CHARS)) {
		call_fail_param(call, ERR_INVALID_PARAMS, "text");
		return;
	}
	op = op_create(OP_PRESENCE_SET);
	op->call = call->id;
	op->user = peer->user;
	op->origin = (uint16_t)shard->config.index;
	op->presence.peer = peer->id;
	op->presence.away = cmd->state == PRESENCE_AWAY;
	op->presence.state = op->presence.away ? -1 : (int)cmd->state;
	op->presence.text = op_copy(op, cmd->text);
	/* Done, it comes to the user's home, there in the order in which the store did it. */
	op->mail.kind = MAIL_PRESENCE_SET;
	op->shard = (uint16_t)shard_of(shard, op->user);
	if (presence_op_stores(op))
		shard->config.ports.submit(shard->config.ports.cookie, op);
	else
		shard_post(shard, op->shard, &op->mail);
}

void
presence_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (op->kind != OP_PRESENCE_SET && op->fault.err != ERR_OK) {
		shard_retry(shard, op);
		return;
	}
	if (op->kind != OP_PRESENCE_SET)
		reading_done(shard, op);
	else if (call != NULL && op->fault.err != ERR_OK)
		call_fault(call, op->fault);
	else if (call != NULL)
		call_done(call);
	op_destroy(&op);
}
