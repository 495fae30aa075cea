/* SPDX-License-Identifier: MIT */
/* Presence: what users show, and who watches. */
#include "chat/mail.h"

void
presence_op_done(struct shard *shard, struct op *op)
{
	(void)shard;
	op_destroy(&op);
}
