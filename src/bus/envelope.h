/* SPDX-License-Identifier: MIT */
/*
 * What nodes publish, as bytes: rings of one channel, a beacon ("I am here, and so much I had to
 * drop"), a good-bye.  All of it is signed with a key that only the nodes of one store have, so that
 * whoever else can publish in the same Redis is not heard.  Pure functions.
 *
 *   version 1 | kind 1 | scope 1 | length of node 1 | epoch 8 | boot 8 | seq 8 | id 8 | node
 *   rings:  { length 4, bytes }…      beacon: drops 8, sent_ns 8      bye: nothing
 *   mac 16, of all before it                                    (numbers are little-endian)
 */
#ifndef BUS_ENVELOPE_H
#define BUS_ENVELOPE_H

#include "base/buf.h"
#include "base/secret.h"
#include "chat/shard.h"

enum {
	LIMIT_BUS_RING_BYTES = 256 * 1024, /* one ring */
	LIMIT_ENVELOPE_BYTES = 128 * 1024, /* rings in one envelope, about */
	NODE_NAME_MAX_BYTES = 32,
};

enum envelope_kind { ENVELOPE_RINGS = 1, ENVELOPE_BEACON, ENVELOPE_BYE };

struct envelope {
	enum envelope_kind kind;
	enum ring_scope scope;
	uint64_t id;
	slice node;
	uint64_t boot;
	uint64_t seq;     /* RINGS: how many its node published; BEACON: how many of these */
	uint64_t drops;   /* BEACON: how often its node dropped rings, or may have */
	uint64_t sent_ns; /* BEACON: by its node's clock */
	slice frames;     /* RINGS: for envelope_next() */
};

enum envelope_verdict {
	ENVELOPE_GOOD,
	ENVELOPE_OWN, /* of this very process; RINGS are not examined further, and not to be heard */
	ENVELOPE_DAMAGED, /* no envelope, or cut short */
	ENVELOPE_VERSION, /* of a newer confab */
	ENVELOPE_EPOCH,   /* of a node whose store lives another life */
	ENVELOPE_FORGED,
};

/* Who signs, and whose signature is taken. */
struct envelope_self {
	slice node; /* borrowed */
	uint64_t boot;
	unsigned char epoch[8];
	unsigned char key[SECRET_KEY_BYTES];
};

/* The epoch's text becomes self->epoch. */
void envelope_set_epoch(struct envelope_self *self, slice epoch);
/* Appends all but frames and signature; node and boot are self's. */
void envelope_begin(
    struct buf *to, const struct envelope_self *self, const struct envelope *envelope);
void envelope_frame(struct buf *to, slice ring);
/* Signs what begins at byte `start` of the buffer. */
void envelope_end(struct buf *to, size_t start, const struct envelope_self *self);
/* ret_envelope borrows from bytes; it is written if the verdict is GOOD or OWN. */
enum envelope_verdict envelope_open(
    slice bytes, const struct envelope_self *self, struct envelope *ret_envelope);
/* Takes the next ring out of the frames; false at the end. */
bool envelope_next(slice *frames, slice *ret_ring);

#endif
