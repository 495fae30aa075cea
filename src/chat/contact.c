/* SPDX-License-Identifier: MIT */
/* Contacts: requests, friends, blocks. */
#include "chat/mail.h"

void
contact_op_done(struct shard *shard, struct op *op)
{
	(void)shard;
	op_destroy(&op);
}
