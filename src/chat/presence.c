/* SPDX-License-Identifier: MIT */
/* presence.set, and what of presence comes back from the store. */
#include "chat/names.h"
#include "chat/watch.h"

bool
presence_op_stores(const struct op *op)
{
	return op->presence.state >= 0 || slice_given(op->presence.text);
}

void
chat_presence_set(struct peer *peer, const struct call_tag *tag, const struct presence_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	struct shard *shard = peer->shard;
	struct op *op;

	if (!peer_check(call))
		return;
	assert(cmd->state != PRESENCE_OFFLINE);
	if (slice_given(cmd->text) && !text_valid(cmd->text, 0, PRESENCE_MAX_CHARS)) {
		call_fail_param(call, ERR_INVALID_PARAMS, "text");
		return;
	}
	op = op_create(OP_PRESENCE_SET);
	op->call = call->id;
	op->user = peer->user;
	op->origin = (uint16_t)shard->config.index;
	op->presence.peer = peer->id;
	op->presence.away = cmd->state == PRESENCE_AWAY;
	op->presence.state = op->presence.away ? -1 : (int)cmd->state;
	op->presence.text = op_copy(op, cmd->text);
	/* Done, it comes to the user's home, there in the order in which the store did it. */
	op->mail.kind = MAIL_PRESENCE_SET;
	op->shard = (uint16_t)shard_of(shard, op->user);
	if (presence_op_stores(op))
		shard->config.ports.submit(shard->config.ports.cookie, op);
	else
		shard_post(shard, op->shard, &op->mail);
}

void
presence_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (op->kind != OP_PRESENCE_SET && op->fault.err != ERR_OK) {
		shard_retry(shard, op);
		return;
	}
	if (op->kind != OP_PRESENCE_SET)
		relation_op_done(shard, op);
	else if (call != NULL && op->fault.err != ERR_OK)
		call_fault(call, op->fault);
	else if (call != NULL)
		call_done(call);
	op_destroy(&op);
}
