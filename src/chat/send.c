/* SPDX-License-Identifier: MIT */
/*
 * Sending, editing and deleting, on the author's shard: from a command to an operation on its way,
 * and from what came back to the answer.
 *
 * An append goes through its conversation's home.  Where the shard does not know the conversation
 * of a name yet, the append goes to the store directly, which finds or makes it ("unplaced").  So
 * that one connection's entries keep their order, its appends are either all placed or all unplaced
 * to one name; what does not fit waits until those in flight are answered.  That happens once for a
 * name: then the shard remembers it.
 */
#include "chat/mail.h"
#include "chat/names.h"

/* A direct conversation depends on who asks; a handle does not. */
static uint64_t
place_hash(uint64_t user, const struct op_target *target)
{
	slice name = slice_given(target->user) ? target->user : target->handle;
	char key[8 + 1 + NAME_MAX_BYTES];

	if (slice_given(target->handle))
		user = 0;
	assert(name.len <= NAME_MAX_BYTES);
	memcpy(key, &user, 8);
	key[8] = slice_given(target->user) ? '@' : '#';
	memcpy(key + 9, name.ptr, name.len);
	return hash_bytes(slice_of(key, 9 + name.len));
}

uint64_t
place_find(struct shard *shard, uint64_t user, const struct op_target *target)
{
	return places_find(&shard->places, place_hash(user, target));
}

void
place_learn(struct shard *shard, uint64_t user, const struct op_target *target)
{
	places_learn(&shard->places, place_hash(user, target), target->cid);
}

struct op_target
target_copy(struct op *op, const struct target *target)
{
	struct op_target copy = {0};

	switch (target->kind) {
	case TARGET_CID:
		copy.cid = target->cid;
		break;
	case TARGET_USER:
		copy.user = op_copy(op, target->name);
		break;
	case TARGET_GROUP:
		copy.handle = op_copy(op, target->name);
		break;
	}
	return copy;
}

bool
target_valid(struct call *call, const struct target *target, const char *param)
{
	if (target->kind != TARGET_USER || !slice_eq(target->name, peer_name(call->peer)))
		return true;
	call_fail_param(call, ERR_INVALID_PARAMS, param);
	return false;
}

/* --- Placed and unplaced --- */

static bool
target_named(const struct op_target *target)
{
	return slice_given(target->user) || slice_given(target->handle);
}

static void
target_text(const struct op_target *target, char ret_text[1 + 32 + 1])
{
	slice name = slice_given(target->user) ? target->user : target->handle;

	(void)snprintf(
	    ret_text, 1 + 32 + 1, "%c%.*s", slice_given(target->user) ? '@' : '#', SLICE_ARG(name));
}

/* Whether it may go while those in flight are not answered. */
static bool
may_go(const struct sending *sending, bool placed, const struct op_target *target)
{
	char text[sizeof(sending->target)];

	if (sending->in_flight == 0)
		return true;
	if (placed || !sending->unplaced)
		return placed == !sending->unplaced;
	target_text(target, text);
	return strcmp(text, sending->target) == 0;
}

static void
send_go(struct peer *peer, struct op *op, bool placed)
{
	struct shard *shard = peer->shard;
	struct sending *sending = peer->sending;

	sending->in_flight++;
	sending->unplaced = !placed;
	op->origin = (uint16_t)shard->config.index;
	if (placed) {
		op->mail.kind = MAIL_APPEND;
		shard_post(shard, shard_of(shard, op->append.target.cid), &op->mail);
		return;
	}
	target_text(&op->append.target, sending->target);
	op->append.want_facts = true;
	shard_submit(shard, op);
}

/* True if the operation went, false if it must wait. */
static bool
send_try(struct peer *peer, struct op *op)
{
	struct op_target *target = &op->append.target;
	bool placed = true;

	if (target_named(target)) {
		target->cid = place_find(peer->shard, peer->user, target);
		placed = target->cid != 0;
	}
	if (!may_go(peer->sending, placed, target))
		return false;
	send_go(peer, op, placed);
	return true;
}

static void
send_release(struct peer *peer)
{
	struct sending *sending = peer->sending;

	while (sending->held != NULL) {
		struct op *op = sending->held;
		struct mail *next = op->mail.next;

		if (!send_try(peer, op))
			return;
		sending->held = next != NULL ? container_of(next, struct op, mail) : NULL;
		if (sending->held == NULL)
			sending->held_last = NULL;
	}
	if (sending->in_flight == 0) {
		mem_free(sending);
		peer->sending = NULL;
	}
}

static void
send_start(struct peer *peer, struct op *op)
{
	struct sending *sending = peer->sending;

	if (sending == NULL)
		sending = peer->sending = mem_zalloc(sizeof(*sending));
	if (sending->held == NULL && send_try(peer, op))
		return;
	op->mail.next = NULL;
	if (sending->held_last != NULL)
		sending->held_last->mail.next = &op->mail;
	else
		sending->held = op;
	sending->held_last = op;
}

void
send_forget(struct peer *peer, uint64_t call)
{
	struct sending *sending = peer->sending;
	struct op *before = NULL, *op = sending != NULL ? sending->held : NULL;

	while (op != NULL && op->call != call) {
		before = op;
		op = op->mail.next != NULL ? container_of(op->mail.next, struct op, mail) : NULL;
	}
	if (op == NULL)
		return;
	if (before != NULL)
		before->mail.next = op->mail.next;
	else
		sending->held =
		    op->mail.next != NULL ? container_of(op->mail.next, struct op, mail) : NULL;
	if (sending->held_last == op)
		sending->held_last = before;
	op_destroy(&op);
}

void
send_abandon(struct peer *peer)
{
	if (peer->sending == NULL)
		return;
	while (peer->sending->held != NULL) {
		struct op *op = peer->sending->held;

		peer->sending->held =
		    op->mail.next != NULL ? container_of(op->mail.next, struct op, mail) : NULL;
		op_destroy(&op);
	}
	mem_free(peer->sending);
	peer->sending = NULL;
}

/* --- The methods --- */

/* What is to be appended, and where. */
struct draft {
	enum append_what what;
	const struct target *to;
	const char *to_param; /* what the request calls it */
	struct fault refused;
	struct entry_parts parts; /* without its author */
};

static void
append_start(struct peer *peer, const struct call_tag *tag, const struct draft *draft)
{
	struct call *call = call_begin(peer, tag, true);
	struct entry_parts parts = draft->parts;
	struct op *op;

	if (!peer_check(call) || !target_valid(call, draft->to, draft->to_param))
		return;
	parts.sender = peer->user;
	parts.from = peer_name(peer);
	op = op_create(OP_APPEND);
	op->call = call->id;
	op->user = peer->user;
	/* Refused in its place of the order, before it is told from a duplicate: it may be tried
	 * again. */
	op->fault = pressure_fault(peer->shard, PRESSURE_SEND);
	if (op->fault.err == ERR_OK)
		op->fault = draft->refused;
	op->append.what = draft->what;
	op->append.target = target_copy(op, draft->to);
	op->append.entry = entry_create(&parts);
	op->append.conversations_max = peer->shard->config.limits.conversations;
	op->append.started_ns = peer->shard->mono_ns;
	op->append.peer = peer->id;
	send_start(peer, op);
}

void
chat_send(struct peer *peer, const struct call_tag *tag, const struct send_command *cmd)
{
	append_start(peer, tag,
	    &(struct draft){
		.what = APPEND_MESSAGE,
		.to = &cmd->to,
		.to_param = "to",
		.refused = cmd->refused,
		.parts =
		    {
			.re = cmd->re,
			.kind = slice_given(cmd->kind) ? cmd->kind : S("text"),
			.cmid = cmd->cmid,
			.body = cmd->body,
			.data = cmd->data,
		    },
	    });
}

void
chat_edit(struct peer *peer, const struct call_tag *tag, const struct edit_command *cmd)
{
	append_start(peer, tag,
	    &(struct draft){
		.what = APPEND_EDIT,
		.to = &cmd->conv,
		.to_param = "cid",
		.refused = cmd->refused,
		.parts =
		    {
			.re = cmd->seq,
			.kind = S("edit"),
			.cmid = cmd->cmid,
			.body = cmd->body,
			.data = cmd->data,
		    },
	    });
}

void
chat_delete(struct peer *peer, const struct call_tag *tag, const struct delete_command *cmd)
{
	append_start(peer, tag,
	    &(struct draft){
		.what = APPEND_DELETE,
		.to = &cmd->conv,
		.to_param = "cid",
		.refused = cmd->refused,
		.parts = {.re = cmd->seq, .kind = S("delete")},
	    });
}

void
send_appended(struct shard *shard, struct op *op)
{
	struct peer *peer = peer_find(shard, op->append.peer);
	struct call *call = call_find(shard, op->call);
	const struct entry *entry = op->append.entry;

	/* Where it went by way of the right home the guess was right. */
	if (op->fault.err == ERR_OK && target_named(&op->append.target) &&
	    op->context != op->append.target.cid)
		place_learn(shard, op->user, &op->append.target);
	if (call != NULL && op->fault.err != ERR_OK) {
		call_fault(call, op->fault);
	} else if (call != NULL) {
		struct answer answer = {.kind = ANSWER_SEND};

		answer.send.cid = op->append.target.cid;
		answer.send.seq = op->append.seq;
		answer.send.ts = op->append.ts;
		answer.send.cmid = entry->cmid;
		answer.send.dup = op->append.dup;
		histogram_add(HISTOGRAM_ACK, shard->mono_ns - op->append.started_ns);
		call_answer(call, &answer);
	}
	if (peer != NULL && peer->sending != NULL) {
		assert(peer->sending->in_flight > 0);
		peer->sending->in_flight--;
		send_release(peer);
	}
	op_destroy(&op);
}
