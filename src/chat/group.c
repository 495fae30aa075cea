/* SPDX-License-Identifier: MIT */
/* Groups: their changes, what they are, who is in them. */
#include "chat/mail.h"

void
group_op_done(struct shard *shard, struct op *op)
{
	(void)shard;
	op_destroy(&op);
}
