/* SPDX-License-Identifier: MIT */
/*
 * Which channels this node wants to hear, and which it does: interest is counted, the first one
 * subscribes, the last one's going unsubscribes after a while, so that a reconnecting user costs
 * nothing.  The commands go to one connection, which answers them in order.  No clock, no socket, no
 * lock: the caller's.
 */
#ifndef BUS_CHANNELS_H
#define BUS_CHANNELS_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "chat/shard.h"

enum {
	CHANNEL_LINGER_MS = 30 * 1000,
	LIMIT_CHANNELS_COMMAND = 512, /* channels in one command */
	CHANNEL_NAME_BYTES = 128,
};

struct channel_key {
	enum ring_scope scope;
	uint64_t id;
};

struct channels {
	char prefix[CHANNEL_NAME_BYTES - 32]; /* "confab:<cluster>:" */
	struct map by_id[RING_ALL];           /* owned struct channel, by scope */
	struct list todo, idle;
	size_t unconfirmed; /* commands' channels that were not answered yet */
};

void channels_init(struct channels *channels, slice cluster);
void channels_fini(struct channels *channels);
/* Whether the thread that owns the connection has something to do. */
bool channels_interest(
    struct channels *channels, struct channel_key key, bool wanted, uint64_t now_ms);
/*
 * Writes the next commands, at most LIMIT_CHANNELS_COMMAND channels of each kind; the keys of those
 * that are heard already go to ret_opened, an array of struct channel_key.  False if nothing is left.
 */
bool channels_turn(
    struct channels *channels, uint64_t now_ms, struct buf *out, struct buf *ret_opened);
/* The connection answered; true if the channel is heard from now on and somebody asked for it. */
bool channels_confirm(struct channels *channels, struct channel_key key, bool subscribed);
/* The connection is gone: everything that is wanted is to be asked for again. */
void channels_reset(struct channels *channels);
/* When channels_turn() has to be called for those that nobody wants; UINT64_MAX: not. */
uint64_t channels_due_ms(const struct channels *channels);
size_t channels_count(const struct channels *channels);

/* The name of a channel, terminated; and back.  RING_ALL has id 0. */
slice channel_name(
    const struct channels *channels, struct channel_key key, char ret_name[CHANNEL_NAME_BYTES]);
bool channel_of(const struct channels *channels, slice name, struct channel_key *ret_key);

#endif
