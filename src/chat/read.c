/* SPDX-License-Identifier: MIT */
/* Reading on: history and marks. */
#include "chat/cluster.h"

void
chat_history(struct peer *peer, const struct call_tag *tag, const struct history_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call) || !target_valid(call, &cmd->conv, "cid"))
		return;
	op = op_create(OP_PAGE);
	op->call = call->id;
	op->user = peer->user;
	op->page.target = target_copy(op, &cmd->conv);
	op->page.after = cmd->has_after ? cmd->after : 0;
	if (cmd->has_before)
		op->page.before =
		    cmd->before > 0 ? cmd->before : 1; /* below either there is nothing */
	op->page.limit = cmd->limit;
	op->page.max_bytes = 240 * 1024; /* what an answer can hold, about */
	op->page.newest = !cmd->has_after;
	op->page.want_facts = true;
	shard_submit(peer->shard, op);
}

static void
history_done(struct call *call, const struct op *op)
{
	struct answer answer = {.kind = ANSWER_HISTORY};

	answer.history.cid = op->page.target.cid;
	answer.history.head = op->page.head;
	answer.history.min_seq = op->page.min_seq;
	answer.history.facts = &op->page.facts;
	answer.history.items = op->page.items;
	answer.history.count = op->page.count;
	answer.history.more = op->page.more;
	call_answer(call, &answer);
}

void
chat_mark(struct peer *peer, const struct call_tag *tag, const struct mark_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	struct op *op;

	if (!peer_check(call) || !target_valid(call, &cmd->conv, "cid"))
		return;
	op = op_create(OP_MARK);
	op->call = call->id;
	op->user = peer->user;
	op->mark.target = target_copy(op, &cmd->conv);
	op->mark.read = cmd->read;
	op->mark.delivered = cmd->delivered;
	op->mark.asker = peer->id;
	op->mark.name = op_copy(op, peer_name(peer));
	/* By his home: of marks from two devices the later ones are told later. */
	shard_submit_by(peer->shard, shard_of(peer->shard, peer->user), op);
}

/* To one user's connections, by his home. */
static void
mark_tell(struct shard *shard, uint64_t to, const struct op *op)
{
	struct mark_mail *mail = mem_zalloc(sizeof(*mail));

	mail->to.mail.kind = MAIL_MARK;
	mail->to.user = to;
	mail->cid = op->mark.target.cid;
	mail->read = op->mark.read;
	mail->delivered = op->mark.delivered;
	mail->except = op->mark.asker;
	mail->except_shard = op->origin;
	mail->by = op->user;
	(void)snprintf(mail->user, sizeof(mail->user), "%.*s", SLICE_ARG(op->mark.name));
	if (op->mark.heard_by == 0)
		cluster_ring(shard, RING_USER, to, &mail->to.mail);
	shard_post(shard, shard_of(shard, to), &mail->to.mail);
}

/*
 * By the home of him who marks, like marks that are set here: whoever is told later is told more,
 * and a mark that is set after somebody was told takes it into account.
 */
void
read_mark_heard(struct shard *shard, const struct mark_mail *mail)
{
	struct op *op = op_create(OP_MARK);

	op->user = mail->by;
	op->mark.heard_by = mail->to.user;
	op->mark.target.cid = mail->cid;
	op->mark.read = mail->read;
	op->mark.delivered = mail->delivered;
	op->mark.name = op_copy(op, slice_str(mail->user));
	shard_submit_by(shard, shard_of(shard, mail->by), op);
}

/* The others hear of it also if the connection that marked is gone. */
void
read_mark_done(struct shard *shard, struct op *op)
{
	if (op->mark.heard_by != 0) {
		/* A store that is too busy to learn of it keeps it from nobody. */
		op->origin = SHARDS_MAX; /* nobody here has marked */
		if (op->fault.err != ERR_OK || op->mark.changed)
			mark_tell(shard, op->mark.heard_by, op);
		op_destroy(&op);
		return;
	}
	if (op->fault.err == ERR_OK && op->mark.changed) {
		mark_tell(shard, op->user, op);
		if (op->mark.target.peer != 0)
			mark_tell(shard, op->mark.target.peer, op);
	}
	op->mail.kind = MAIL_TOLD;
	shard_post(shard, op->origin, &op->mail);
}

void
read_mark_told(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);
	struct answer answer = {.kind = ANSWER_MARK};

	answer.mark.read = op->mark.read;
	answer.mark.delivered = op->mark.delivered;
	if (call != NULL && op->fault.err != ERR_OK)
		call_fault(call, op->fault);
	else if (call != NULL)
		call_answer(call, &answer);
	op_destroy(&op);
}

void
read_marked(struct shard *shard, struct mark_mail *mail)
{
	struct event event = {.kind = EVENT_MARK};

	event.mark.cid = mail->cid;
	event.mark.read = mail->read;
	event.mark.delivered = mail->delivered;
	event.mark.user = slice_str(mail->user);
	for (size_t i = 0; i < mail->to.count; i++) {
		struct peer *peer = peer_find(shard, mail->to.ids[i]);

		if (peer == NULL || peer->state != PEER_SYNCED ||
		    (mail->to.ids[i] == mail->except && shard->config.index == mail->except_shard))
			continue;
		if (!peer_event(peer, &event, false))
			stat_add(STAT_DROP_MARK, 1);
	}
	mem_free(mail);
}

void
read_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (call != NULL && op->fault.err != ERR_OK)
		call_fault(call, op->fault);
	else if (call != NULL)
		history_done(call, op);
	op_destroy(&op);
}
