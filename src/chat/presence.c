/* SPDX-License-Identifier: MIT */
/* Presence: what users show, and who watches. */
#include "chat/presence.h"

void
presence_relation(struct peer *peer, uint64_t other)
{
	(void)peer;
	(void)other;
}

void
presence_op_done(struct shard *shard, struct op *op)
{
	(void)shard;
	op_destroy(&op);
}
