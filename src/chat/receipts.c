/* SPDX-License-Identifier: MIT */
/* How many have come how far. */
#include "chat/mail.h"

void
receipts_op_done(struct shard *shard, struct op *op)
{
	(void)shard;
	op_destroy(&op);
}
