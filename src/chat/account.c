/* SPDX-License-Identifier: MIT */
/* The end of an account. */
#include "chat/mail.h"

void
account_op_done(struct shard *shard, struct op *op)
{
	(void)shard;
	op_destroy(&op);
}
