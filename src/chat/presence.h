/* SPDX-License-Identifier: MIT */
/*
 * Presence.  A user's home (home_user.c) knows what he shows; a shard knows which of its peers watch
 * whom (presence.c) and tells the homes that it wants to hear of changes; who.c asks what users show
 * at one moment.
 */
#ifndef CHAT_PRESENCE_H
#define CHAT_PRESENCE_H

#include "chat/mail.h"

/*
 * Contact or block between the peer's user and another began or ended: what of him may be seen is
 * read again, and he is watched or not from then on.  For each peer of either user, whether or not
 * there is anything to tell.
 */
void presence_relation(struct peer *peer, uint64_t other);

/* --- What users show at one moment (who.c) --- */

/* What came back: one record for each user who shows himself, sorted by uid. */
struct gathered {
	const struct online_record *items;
	size_t count;
	const struct op *op;
};

/*
 * Asks the homes of these users; then `done` answers the call, unless it is gone.  The operation is
 * kept until then.
 */
void gather_users(struct call *call, struct op *op, const uint64_t *users, size_t count,
    void (*done)(struct call *call, const struct gathered *gathered));
/* The same of those who follow a conversation at the moment. */
void gather_conv(struct call *call, struct op *op, uint64_t cid,
    void (*done)(struct call *call, const struct gathered *gathered));
/* NULL: he looks offline. */
const struct online_record *gathered_find(const struct gathered *gathered, uint64_t user);

#endif
