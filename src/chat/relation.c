/* SPDX-License-Identifier: MIT */
/*
 * What stands between two users (contact, block) as those who watch need it: read from the store, always
 * after the change and again if another change came meanwhile, so that whoever reads last knows it as it
 * is.
 */
#include "chat/watch.h"

/* What a reading was for; the operation's. */
struct reading {
	uint64_t peer;
	uint32_t changes; /* as they were when it began */
	uint32_t serial;
	uint64_t other; /* 0: all contacts */
};

static const struct reading *
reading_of(const struct op *op)
{
	return (const struct reading *)(uintptr_t)op->context;
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
		watch_contacts(peer, around->contacts, around->count);
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

static void
contacts_read(struct peer *peer, const struct op *op)
{
	if (reading_of(op)->changes != watching_of(peer)->changes)
		reading_submit(peer, 0, 0);
	else
		watch_contacts(peer, op->contacts.uids, op->contacts.count);
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
		watch_relate(peer, &op->profiles.items[0]);
	} else if ((watch = watch_find(peer, reading->other)) != NULL) {
		nobody.related = (watch->flags & WATCH_RELATED) != 0; /* his account has ended */
		watch_relate(peer, &nobody);
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

void
relation_op_done(struct shard *shard, const struct op *op)
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
