/* SPDX-License-Identifier: MIT */
/*
 * Groups: their changes, what they are, who is in them.
 *
 * A change is one operation of the store.  It completes at the conversation's home where that is
 * known, so that its entry takes its place among the others there; the answer goes back to the
 * asker by mail.  Whoever is a member from the entry on is announced when it has been published;
 * whose membership ends with it reads so in the log (sync.c).
 */
#include "chat/mail.h"
#include "chat/names.h"

/* --- Changes --- */

static const char *
settings_fault(const struct group_settings *set, bool create)
{
	if ((create || slice_given(set->title)) && !text_valid(set->title, 1, TITLE_MAX_CHARS))
		return "title";
	if (slice_given(set->topic) && !text_valid(set->topic, 0, TOPIC_MAX_CHARS))
		return "topic";
	return NULL;
}

/* False: the call is answered. */
static bool
group_checked(struct call *call, const struct group_command *cmd)
{
	bool create = cmd->what == GROUP_CREATE;
	const char *wrong = NULL;

	if (!peer_check(call) || (!create && !target_valid(call, &cmd->group, "cid")))
		return false;
	if (create || cmd->what == GROUP_SET)
		wrong = settings_fault(&cmd->set, create);
	if (wrong != NULL) {
		call_fail_param(call, ERR_INVALID_PARAMS, wrong);
		return false;
	}
	if (slice_given(cmd->set.handle) && name_reserved(cmd->set.handle)) {
		call_fail_param(call, ERR_NAME_TAKEN, "handle");
		return false;
	}
	return !call_shed(call, PRESSURE_SEND);
}

static bool
is_among(const struct op_person *users, size_t count, slice name)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(users[i].name, name))
			return true;
	return false;
}

static void
group_fill(struct op *op, const struct group_command *cmd)
{
	struct op_group *group = &op->in.group;
	struct op_person *users = op_alloc(op, (cmd->user_count + 1) * sizeof(*users));

	/* Who is named twice is one. */
	for (size_t i = 0; i < cmd->user_count; i++)
		if (!is_among(users, group->user_count, cmd->users[i]))
			users[group->user_count++].name = op_copy(op, cmd->users[i]);
	group->what = cmd->what;
	group->set = cmd->set;
	group->set.title = op_copy(op, cmd->set.title);
	group->set.topic = op_copy(op, cmd->set.topic);
	group->set.handle = op_copy(op, cmd->set.handle);
	group->users = users;
	group->role = cmd->role;
	group->ban = cmd->ban;
}

/* So long from now, as far as numbers go. */
static uint64_t
mute_until(const struct shard *shard, uint64_t seconds)
{
	uint64_t most = (ENTRY_ENDS_ALL - shard->real_ms) / 1000;

	if (seconds == 0)
		return 0;
	return shard->real_ms + (seconds < most ? seconds : most) * 1000;
}

/* To the store, to complete at the conversation's home if that is known. */
static void
group_submit(struct shard *shard, struct op *op)
{
	struct op_target *target = &op->in.target;

	if (slice_given(target->handle))
		target->cid = place_find(shard, op->user, target);
	op->origin = (uint16_t)shard->config.index;
	op->mail.kind = MAIL_OP_DONE;
	op->shard = target->cid != 0 ? (uint16_t)shard_of(shard, target->cid) : op->origin;
	shard->config.ports.submit(shard->config.ports.cookie, op);
}

void
chat_group(struct peer *peer, const struct call_tag *tag, const struct group_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	const struct chat_limits *limits = &peer->shard->config.limits;
	struct op *op;

	if (!group_checked(call, cmd))
		return;
	op = op_create(OP_GROUP);
	op->call = call->id;
	op->user = peer->user;
	if (cmd->what != GROUP_CREATE)
		op->in.target = target_copy(op, &cmd->group);
	group_fill(op, cmd);
	op->in.group.from = op_copy(op, peer_name(peer));
	op->in.group.until = mute_until(peer->shard, cmd->seconds);
	op->in.group.groups_max = limits->groups;
	op->in.group.members_max = limits->members;
	op->in.group.conversations_max = limits->conversations;
	op->in.group.started_ns = peer->shard->mono_ns;
	group_submit(peer->shard, op);
}

static void
group_committed(struct shard *shard, const struct op *op)
{
	const struct op_group *group = &op->in.group;
	uint64_t cid = op->in.target.cid;
	struct conv_mail *mail = committed_mail(cid, group->entry->seq, &op->in.facts);

	mail->entries[0] = entry_ref(group->entry);
	mail->count = 1;
	if (group->added_count > 0)
		mail->joined = mem_alloc(group->added_count * sizeof(*mail->joined));
	for (size_t i = 0; i < group->added_count; i++)
		mail->joined[mail->joined_count++] = group->added[i].uid;
	if (shard_of(shard, cid) == shard->config.index)
		home_committed(shard, mail);
	else
		shard_post(shard, shard_of(shard, cid), &mail->mail);
}

/* Asks who they are: for group_named(). */
static void
names_ask(
    struct shard *shard, uint64_t user, uint64_t cid, const struct op_person *users, size_t count)
{
	struct op *op = op_create(OP_PROFILES);
	slice *names = op_alloc(op, (count + 1) * sizeof(*names));

	for (size_t i = 0; i < count; i++)
		names[i] = op_copy(op, users[i].name);
	op->user = user;
	op->context = cid;
	op->profiles.names = names;
	op->profiles.want = count;
	shard_submit(shard, op);
}

/*
 * The change may be in the log, and nobody else would tell those who listen, nor those who are new:
 * the home asks the store how far the log is, and everyone who may have been added asks for
 * himself.
 */
static void
group_unknown(struct shard *shard, struct op *op)
{
	const struct op_group *group = &op->in.group;
	uint64_t cid = op->in.target.cid;

	if (cid != 0) {
		struct conv_mail *mail = committed_mail(cid, 0, &(struct conv_facts){0});

		mail->look = true;
		shard_post(shard, shard_of(shard, cid), &mail->mail);
	} else if (group->what != GROUP_CREATE) {
		home_place_look(shard, op->user, &op->in.target);
	}
	if (group->what == GROUP_CREATE || group->what == GROUP_JOIN)
		home_announce_to(shard, op->user, cid, 0);
	if ((group->what != GROUP_CREATE && group->what != GROUP_INVITE) || group->user_count == 0)
		return;
	names_ask(shard, op->user, cid, group->users, group->user_count);
}

void
group_named_again(struct shard *shard, struct op *op)
{
	struct op_person *users = op_alloc(op, (op->profiles.want + 1) * sizeof(*users));

	for (size_t i = 0; i < op->profiles.want; i++)
		users[i].name = op->profiles.names[i];
	names_ask(shard, op->user, op->context, users, op->profiles.want);
}

void
group_named(struct shard *shard, struct op *op)
{
	if (op->fault.err != ERR_OK) {
		shard_retry(shard, op);
		return;
	}
	for (size_t i = 0; i < op->profiles.count; i++)
		home_announce_to(shard, op->profiles.items[i].uid, op->context, 0);
	op_destroy(&op);
}

/* Whether or not the asker is still there. */
static void
group_changed(struct shard *shard, struct op *op)
{
	if (op->fault.err == ERR_UNKNOWN_OUTCOME)
		group_unknown(shard, op);
	else if (op->fault.err == ERR_OK && op->in.group.entry != NULL)
		group_committed(shard, op);
	op->mail.kind = MAIL_GROUPED;
	shard_post(shard, op->origin, &op->mail);
}

void
group_answer(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);
	const struct entry *entry = op->in.group.entry;

	if (op->fault.err == ERR_OK && slice_given(op->in.target.handle) && op->in.target.cid != 0)
		place_learn(shard, op->user, &op->in.target);
	if (call != NULL && op->fault.err != ERR_OK) {
		call_fault(call, op->fault);
	} else if (call != NULL) {
		struct answer answer = {.kind = ANSWER_GROUP};

		answer.group.what = op->in.group.what;
		answer.group.cid = op->in.target.cid;
		answer.group.seq = entry != NULL ? entry->seq : 0;
		answer.group.of = &op->in.group;
		call_answer(call, &answer);
	}
	op_destroy(&op);
}

/* --- What groups are --- */

void
chat_group_info(struct peer *peer, const struct call_tag *tag, const struct target *group)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call) || !target_valid(call, group, "cid"))
		return;
	op = op_create(OP_GROUP_INFO);
	op->call = call->id;
	op->user = peer->user;
	op->in.target = target_copy(op, group);
	shard_submit(peer->shard, op);
}

void
chat_group_members(struct peer *peer, const struct call_tag *tag, const struct members_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call) || !target_valid(call, &cmd->group, "cid"))
		return;
	op = op_create(OP_MEMBERS);
	op->call = call->id;
	op->user = peer->user;
	op->in.target = target_copy(op, &cmd->group);
	op->in.members.after = op_copy(op, cmd->after);
	op->in.members.role = cmd->role;
	op->in.members.banned = cmd->banned;
	op->in.members.limit = cmd->limit;
	shard_submit(peer->shard, op);
}

void
chat_group_list(struct peer *peer, const struct call_tag *tag, const struct groups_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call))
		return;
	op = op_create(OP_GROUPS);
	op->call = call->id;
	op->user = peer->user;
	op->groups.query = op_copy(op, cmd->query);
	op->groups.after = cmd->after;
	op->groups.limit = cmd->limit;
	shard_submit(peer->shard, op);
}

void
group_op_done(struct shard *shard, struct op *op)
{
	struct call *call;

	if (op->kind == OP_GROUP) {
		group_changed(shard, op);
		return;
	}
	call = call_find(shard, op->call);
	if (call != NULL && op->fault.err != ERR_OK) {
		call_fault(call, op->fault);
	} else if (call != NULL && op->kind == OP_GROUPS) {
		struct answer answer = {.kind = ANSWER_GROUPS, .groups = &op->groups};

		call_answer(call, &answer);
	} else if (call != NULL) {
		people_online(call, op); /* keeps it */
		return;
	}
	op_destroy(&op);
}
