/* SPDX-License-Identifier: MIT */
/* How many have come how far: one question to the store. */
#include "chat/mail.h"

void
chat_receipts(struct peer *peer, const struct call_tag *tag, const struct receipts_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call) || !target_valid(call, &cmd->conv, "cid"))
		return;
	op = op_create(OP_RECEIPTS);
	op->call = call->id;
	op->user = peer->user;
	op->in.target = target_copy(op, &cmd->conv);
	op->in.receipts.seq = cmd->seq;
	op->in.receipts.page.after = op_copy(op, cmd->after);
	op->in.receipts.page.limit = cmd->limit;
	shard_submit(peer->shard, op);
}

void
receipts_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);
	struct answer answer = {.kind = ANSWER_RECEIPTS};

	answer.receipts.of = &op->in.receipts;
	if (call != NULL && op->fault.err != ERR_OK)
		call_fault(call, op->fault);
	else if (call != NULL)
		call_answer(call, &answer);
	op_destroy(&op);
}
