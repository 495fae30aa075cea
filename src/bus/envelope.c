/* SPDX-License-Identifier: MIT */
#include "bus/envelope.h"

#include "base/panic.h"

enum {
	VERSION = 1,
	AT_KIND = 1,
	AT_SCOPE = 2,
	AT_NODE_LEN = 3,
	AT_EPOCH = 4,
	AT_BOOT = 12,
	AT_SEQ = 20,
	AT_ID = 28,
	HEAD_BYTES = 36,
	FRAME_HEAD_BYTES = 4,
	BEACON_BYTES = 16,
};

static void
put_number(struct buf *to, uint64_t number, size_t bytes)
{
	unsigned char *at = (unsigned char *)buf_reserve(to, bytes);

	for (size_t i = 0; i < bytes; i++)
		at[i] = (unsigned char)(number >> (8 * i));
	buf_grew(to, bytes);
}

static uint64_t
number_at(slice bytes, size_t at, size_t len)
{
	uint64_t number = 0;

	assert(at + len <= bytes.len);
	for (size_t i = 0; i < len; i++)
		number |= (uint64_t)(unsigned char)bytes.ptr[at + i] << (8 * i);
	return number;
}

void
envelope_set_epoch(struct envelope_self *self, slice epoch)
{
	unsigned char hash[SECRET_HASH_BYTES];

	secret_hash(epoch, hash);
	memcpy(self->epoch, hash, sizeof(self->epoch));
}

void
envelope_begin(struct buf *to, const struct envelope_self *self, const struct envelope *envelope)
{
	assert(self->node.len >= 1 && self->node.len <= NODE_NAME_MAX_BYTES);
	put_number(to, VERSION, 1);
	put_number(to, envelope->kind, 1);
	put_number(to, envelope->scope, 1);
	put_number(to, self->node.len, 1);
	buf_append(to, self->epoch, sizeof(self->epoch));
	put_number(to, self->boot, 8);
	put_number(to, envelope->seq, 8);
	put_number(to, envelope->id, 8);
	buf_put(to, self->node);
	if (envelope->kind == ENVELOPE_BEACON) {
		put_number(to, envelope->drops, 8);
		put_number(to, envelope->sent_ns, 8);
	}
}

void
envelope_frame(struct buf *to, slice ring)
{
	assert(ring.len <= LIMIT_BUS_RING_BYTES);
	put_number(to, ring.len, FRAME_HEAD_BYTES);
	buf_put(to, ring);
}

void
envelope_end(struct buf *to, size_t start, const struct envelope_self *self)
{
	slice all = buf_slice(to);
	unsigned char mac[SECRET_MAC_BYTES];

	assert(start < all.len);
	secret_mac(slice_of(all.ptr + start, all.len - start), self->key, mac);
	buf_append(to, mac, sizeof(mac));
}

/* Whether the lengths add up to what is there. */
static bool
content_fits(enum envelope_kind kind, slice content)
{
	slice ring;

	switch (kind) {
	case ENVELOPE_RINGS:
		while (envelope_next(&content, &ring))
			;
		return content.len == 0;
	case ENVELOPE_BEACON:
		return content.len == BEACON_BYTES;
	case ENVELOPE_BYE:
		return content.len == 0;
	}
	return false;
}

/* What stands before the content; false if that is cut. */
static bool
head_take(slice signed_part, struct envelope *e)
{
	size_t node_len;

	if (signed_part.len < HEAD_BYTES)
		return false;
	node_len = (size_t)number_at(signed_part, AT_NODE_LEN, 1);
	if (node_len < 1 || node_len > NODE_NAME_MAX_BYTES ||
	    HEAD_BYTES + node_len > signed_part.len)
		return false;
	*e = (struct envelope){
	    .kind = (enum envelope_kind)number_at(signed_part, AT_KIND, 1),
	    .scope = (enum ring_scope)number_at(signed_part, AT_SCOPE, 1),
	    .node = slice_of(signed_part.ptr + HEAD_BYTES, node_len),
	    .boot = number_at(signed_part, AT_BOOT, 8),
	    .seq = number_at(signed_part, AT_SEQ, 8),
	    .id = number_at(signed_part, AT_ID, 8),
	    .frames = slice_of(
		signed_part.ptr + HEAD_BYTES + node_len, signed_part.len - HEAD_BYTES - node_len),
	};
	return true;
}

static bool
is_genuine(slice bytes, slice signed_part, const struct envelope_self *self)
{
	unsigned char mac[SECRET_MAC_BYTES];

	secret_mac(signed_part, self->key, mac);
	return secret_equal(mac, bytes.ptr + signed_part.len, sizeof(mac));
}

enum envelope_verdict
envelope_open(slice bytes, const struct envelope_self *self, struct envelope *ret_envelope)
{
	struct envelope e;
	slice signed_part;
	bool own;

	if (bytes.len >= 1 && bytes.ptr[0] != VERSION)
		return ENVELOPE_VERSION;
	if (bytes.len < SECRET_MAC_BYTES)
		return ENVELOPE_DAMAGED;
	signed_part = slice_of(bytes.ptr, bytes.len - SECRET_MAC_BYTES);
	if (!head_take(signed_part, &e))
		return ENVELOPE_DAMAGED;
	own = e.boot == self->boot && slice_eq(e.node, self->node);
	/* They come back by the thousand, and nobody does anything with them. */
	if (own && e.kind == ENVELOPE_RINGS) {
		*ret_envelope = e;
		return ENVELOPE_OWN;
	}
	if (memcmp(bytes.ptr + AT_EPOCH, self->epoch, sizeof(self->epoch)) != 0)
		return ENVELOPE_EPOCH;
	if (!is_genuine(bytes, signed_part, self))
		return ENVELOPE_FORGED;
	if (e.scope > RING_ALL || !content_fits(e.kind, e.frames))
		return ENVELOPE_DAMAGED;
	if (e.kind == ENVELOPE_BEACON) {
		e.drops = number_at(e.frames, 0, 8);
		e.sent_ns = number_at(e.frames, 8, 8);
	}
	*ret_envelope = e;
	return own ? ENVELOPE_OWN : ENVELOPE_GOOD;
}

bool
envelope_next(slice *frames, slice *ret_ring)
{
	size_t len;

	if (frames->len < FRAME_HEAD_BYTES)
		return false;
	len = (size_t)number_at(*frames, 0, FRAME_HEAD_BYTES);
	if (len > LIMIT_BUS_RING_BYTES || len > frames->len - FRAME_HEAD_BYTES)
		return false;
	*ret_ring = slice_of(frames->ptr + FRAME_HEAD_BYTES, len);
	*frames =
	    slice_of(frames->ptr + FRAME_HEAD_BYTES + len, frames->len - FRAME_HEAD_BYTES - len);
	return true;
}
