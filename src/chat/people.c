/* SPDX-License-Identifier: MIT */
/* People: profiles, search, signals. */
#include "chat/cluster.h"
#include "chat/names.h"

/* --- Profiles --- */

/* Names folded; what is no name is asked for all the same, and not found. */
struct op *
profiles_op(struct call *call, const slice *names, size_t count)
{
	struct op *op = op_create(OP_PROFILES);
	slice *copies = op_alloc(op, (count + 1) * sizeof(*copies));
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		char name[NAME_MAX_BYTES];
		slice folded;

		if (name_fold(names[i], name, &folded))
			copies[used++] = op_copy(op, folded);
	}
	op->call = call->id;
	op->user = call->peer->user;
	op->profiles.names = copies;
	op->profiles.want = used;
	return op;
}

void
chat_profile_get(struct peer *peer, const struct call_tag *tag, const slice *names, size_t count)
{
	struct call *call = call_begin(peer, tag, false);

	if (peer_check(call))
		shard_submit(peer->shard, profiles_op(call, names, count));
}

void
chat_profile_set(struct peer *peer, const struct call_tag *tag, const struct profile_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	struct op *op;

	if (!peer_check(call))
		return;
	if (slice_given(cmd->display) && !text_valid(cmd->display, 1, DISPLAY_MAX_CHARS)) {
		call_fail_param(call, ERR_INVALID_PARAMS, "display");
		return;
	}
	if (slice_given(cmd->status) && !text_valid(cmd->status, 0, STATUS_MAX_CHARS)) {
		call_fail_param(call, ERR_INVALID_PARAMS, "status");
		return;
	}
	op = op_create(OP_PROFILE_SET);
	op->call = call->id;
	op->user = peer->user;
	op->profile_set.display = op_copy(op, cmd->display);
	op->profile_set.status = op_copy(op, cmd->status);
	op->profile_set.accept = cmd->accept;
	shard_submit(peer->shard, op);
}

/* Whether or not he who asked is still there. */
static void
rename_tell(struct shard *shard, const struct op *op)
{
	struct user_mail *mail;

	if (op->fault.err != ERR_OK || !slice_given(op->profile_set.display))
		return;
	mail = user_mail_create(shard, MAIL_RENAME, op->user);
	mail->display = mem_dup(op->profile_set.display);
	cluster_tell(shard, RING_USER, op->user, &mail->mail);
}

void
chat_user_find(struct peer *peer, const struct call_tag *tag, slice query, uint32_t limit)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call))
		return;
	op = op_create(OP_FIND);
	op->call = call->id;
	op->user = peer->user;
	op->find.query = op_copy(op, query);
	op->find.limit = limit;
	op->find.exact = !peer->shard->config.limits.directory_open;
	shard_submit(peer->shard, op);
}

static void
users_done(struct call *call, enum answer_kind kind, const struct op_user *items, size_t count)
{
	struct answer answer = {.kind = kind};

	answer.profiles.items = items;
	answer.profiles.count = count;
	call_answer(call, &answer);
}

/* --- Signals --- */

/* What a signal says, kept while the store is asked whether it may. */
struct signal_text {
	char *kind, *data;
};

static void
signal_text_free(void *context)
{
	struct signal_text *text = context;

	mem_free(text->kind);
	mem_free(text->data);
	mem_free(text);
}

void
chat_signal(struct peer *peer, const struct call_tag *tag, const struct signal_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);
	struct signal_text *text;
	struct op *op;

	if (!peer_check(call))
		return;
	if (call_shed(call, PRESSURE_SIGNAL) || !target_valid(call, &cmd->to, "to"))
		return;
	if (!kind_valid_signal(cmd->kind)) {
		call_fail_param(call, ERR_INVALID_PARAMS, "kind");
		return;
	}
	text = mem_zalloc(sizeof(*text));
	text->kind = mem_dup(cmd->kind);
	text->data = slice_given(cmd->data) ? mem_dup(cmd->data) : NULL;
	call->context = text;
	call->context_free = signal_text_free;
	op = op_create(OP_CHECK);
	op->call = call->id;
	op->user = peer->user;
	op->check.target = target_copy(op, &cmd->to);
	shard_submit(peer->shard, op);
}

static void
signal_checked(struct call *call, const struct op *op)
{
	struct shard *shard = call->peer->shard;
	struct signal_text *text = call->context;
	struct signal_mail *mail = mem_zalloc(sizeof(*mail));

	mail->mail.kind = MAIL_SIGNAL;
	mail->cid = op->check.target.cid;
	mail->author = call->peer->user;
	mail->from = mem_dup(peer_name(call->peer));
	mail->kind = text->kind;
	mail->data = text->data;
	text->kind = text->data = NULL;
	cluster_tell(shard, RING_CONV, mail->cid, &mail->mail);
	call_done(call);
}

/* --- What comes back from the store --- */

/* True if the operation was kept. */
static bool
people_done(struct call *call, struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_PROFILE_SET:
		call_done(call);
		return false;
	case OP_PROFILES:
		if (call->context != NULL) {
			who_presence(call, op);
			return true;
		}
		users_done(call, ANSWER_PROFILES, op->profiles.items, op->profiles.count);
		return false;
	case OP_FIND:
		users_done(call, ANSWER_FOUND, op->find.items, op->find.count);
		return false;
	case OP_CHECK:
		signal_checked(call, op);
		return false;
	default:
		panic("operation %s is not one of people", op_name(op->kind));
	}
}

void
people_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (op->kind == OP_PROFILE_SET)
		rename_tell(shard, op);
	if (call != NULL && op->fault.err != ERR_OK)
		call_fault(call, op->fault);
	else if (call != NULL && people_done(call, op))
		return;
	op_destroy(&op);
}
