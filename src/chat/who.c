/* SPDX-License-Identifier: MIT */
/*
 * What users show at this moment: who, presence.get, and what lists of people say of it.  Every
 * shard is home of some users, so a question is put to all of them and their answers gathered:
 *
 *   who, group.members, group.info, contact.list: CONTACTS (who is hidden) → QUERY → RESULT
 *   presence.get, presence.watch:                 PROFILES (who they are)  → QUERY → RESULT
 *
 * Of a conversation it is asked first which users follow it, then what those show.
 */
#include <stdlib.h>

#include "chat/names.h"
#include "chat/presence.h"

enum { LIMIT_WHO_MEMBERS = 10000 }; /* of a conversation that other nodes follow too */

/* A question, and what has come back. */
struct gather {
	uint64_t id, call;
	unsigned pending;
	struct query_mail question; /* its users are borrowed from an operation or from `users` */
	struct op *op;              /* owned: what is answered with it; NULL for who */
	struct op *around;          /* owned: CONTACTS */
	uint64_t *users;            /* owned: of the first round */
	size_t user_count;
	size_t online;
	struct online_record *items; /* owned */
	size_t count;
};

static void
gather_destroy(struct gather *gather)
{
	for (size_t i = 0; i < gather->count; i++) {
		mem_free(gather->items[i].display);
		mem_free(gather->items[i].text);
	}
	mem_free(gather->items);
	mem_free(gather->users);
	op_destroy(&gather->around);
	op_destroy(&gather->op);
	mem_free(gather);
}

void
gathers_destroy(struct shard *shard)
{
	struct gather *gather;

	for (size_t at = 0; (gather = map_next(&shard->gathers, &at)) != NULL;)
		gather_destroy(gather);
	map_fini(&shard->gathers);
}

static void
gather_end(struct shard *shard, struct gather *gather)
{
	(void)map_remove(&shard->gathers, gather->id);
	gather_destroy(gather);
}

/* op: kept until the answer; may be NULL. */
static struct gather *
gather_begin(struct call *call, struct op *op)
{
	struct shard *shard = call->peer->shard;
	struct gather *gather = mem_zalloc(sizeof(*gather));

	gather->id = shard->next_gather++;
	gather->call = call->id;
	gather->op = op;
	map_put(&shard->gathers, gather->id, gather);
	return gather;
}

/* --- Lists of ids --- */

static int
uid_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void
uids_sort(uint64_t *uids, size_t count)
{
	if (count > 0)
		qsort(uids, count, sizeof(*uids), uid_order);
}

bool
uids_have(const uint64_t *sorted, size_t count, uint64_t uid)
{
	return count > 0 && bsearch(&uid, sorted, count, sizeof(uid), uid_order) != NULL;
}

static bool
is_hidden(const struct gather *gather, uint64_t user)
{
	return gather->around != NULL && uids_have(gather->around->contacts.hiding,
					     gather->around->contacts.hiding_count, user);
}

/* --- Question and answers --- */

/* Those of the users whose home is that shard. */
static void
users_of(
    struct shard *shard, unsigned home, const struct query_mail *question, struct query_mail *mail)
{
	mail->users = NULL; /* each mail owns its list */
	mail->user_count = 0;
	for (size_t i = 0; i < question->user_count; i++)
		mail->user_count += shard_of(shard, question->users[i]) == home;
	if (mail->user_count == 0)
		return;
	mail->users = mem_resize(NULL, mail->user_count, sizeof(*mail->users));
	mail->user_count = 0;
	for (size_t i = 0; i < question->user_count; i++)
		if (shard_of(shard, question->users[i]) == home)
			mail->users[mail->user_count++] = question->users[i];
}

/* To every shard, about the users that it is home of. */
static void
gather_ask(struct shard *shard, struct gather *gather)
{
	gather->pending = shard->config.count;
	for (unsigned to = 0; to < shard->config.count; to++) {
		struct query_mail *mail = mem_zalloc(sizeof(*mail));

		*mail = gather->question;
		mail->mail.kind = MAIL_QUERY;
		mail->gather = gather->id;
		mail->from = shard->config.index;
		users_of(shard, to, &gather->question, mail);
		shard_post(shard, to, &mail->mail);
	}
}

static void
gather_take(struct gather *gather, struct query_mail *mail)
{
	gather->online += mail->online;
	if (mail->what == QUERY_CONV && mail->user_count > 0) {
		gather->users = mem_resize(
		    gather->users, gather->user_count + mail->user_count, sizeof(*gather->users));
		memcpy(gather->users + gather->user_count, mail->users,
		    mail->user_count * sizeof(*gather->users));
		gather->user_count += mail->user_count;
	}
	if (mail->count == 0)
		return;
	gather->items =
	    mem_resize(gather->items, gather->count + mail->count, sizeof(*gather->items));
	memcpy(gather->items + gather->count, mail->items, mail->count * sizeof(*gather->items));
	gather->count += mail->count;
	mail->count = 0; /* the texts are the gather's now */
}

/* The first round found who follows the conversation; the second asks their homes. */
static void
gather_second_round(struct shard *shard, struct gather *gather)
{
	size_t count = 0;

	uids_sort(gather->users, gather->user_count);
	for (size_t i = 0; i < gather->user_count; i++)
		if ((count == 0 || gather->users[i] != gather->users[count - 1]) &&
		    !is_hidden(gather, gather->users[i]))
			gather->users[count++] = gather->users[i];
	gather->question.what = QUERY_USERS;
	gather->question.users = gather->users;
	gather->question.user_count = count;
	gather_ask(shard, gather);
}

static int
record_order(const void *a, const void *b)
{
	const struct online_record *x = a, *y = b;

	return x->user < y->user ? -1 : x->user > y->user;
}

static int
name_order(const void *a, const void *b)
{
	const struct online_record *x = a, *y = b;

	return slice_cmp(slice_str(x->name), slice_str(y->name));
}

static void
gather_sort(struct gather *gather, int (*order)(const void *, const void *))
{
	if (gather->count > 0)
		qsort(gather->items, gather->count, sizeof(*gather->items), order);
}

/* In what is sorted by record_order(); NULL: he shows himself to nobody. */
static const struct online_record *
gather_user(const struct gather *gather, uint64_t user)
{
	struct online_record key = {.user = user};

	if (gather->count == 0)
		return NULL;
	return bsearch(&key, gather->items, gather->count, sizeof(key), record_order);
}

/* --- Answers --- */

void
gather_show(
    const struct gather *gather, uint64_t user, uint64_t seen, struct online_user *ret_shown)
{
	const struct online_record *record = gather_user(gather, user);

	ret_shown->state = record != NULL ? record->state : PRESENCE_OFFLINE;
	ret_shown->text =
	    record != NULL && record->text != NULL ? slice_str(record->text) : SLICE_NONE;
	ret_shown->seen = record != NULL ? 0 : seen;
}

static void
presence_answer(struct call *call, const struct gather *gather)
{
	const struct op *op = gather->op;
	bool open = call->peer->shard->config.limits.directory_open;
	struct online_user *users = mem_zalloc((op->profiles.count + 1) * sizeof(*users));
	struct answer answer = {.kind = ANSWER_PRESENCE};

	for (size_t i = 0; i < op->profiles.count; i++) {
		const struct op_user *user = &op->profiles.items[i];
		bool sees =
		    (open || user->related || user->uid == call->peer->user) && !user->apart;

		users[i] = (struct online_user){
		    .name = user->name, .display = user->display, .state = PRESENCE_OFFLINE};
		if (sees)
			gather_show(gather, user->uid, user->invisible ? 0 : user->seen, &users[i]);
	}
	presence_overlay(call->peer, gather->question.users, op->profiles.count, users);
	answer.presence.items = users;
	answer.presence.count = op->profiles.count;
	call_answer(call, &answer);
	mem_free(users);
}

static void
who_answer(struct call *call, const struct gather *gather)
{
	struct answer answer = {.kind = ANSWER_WHO};
	uint32_t limit = gather->question.limit;
	struct online_user *users = mem_alloc((limit + 1) * sizeof(*users));
	size_t count = 0;

	for (size_t i = 0; i < gather->count; i++) {
		const struct online_record *item = &gather->items[i];

		if (slice_cmp(slice_str(item->name), slice_str(gather->question.after)) <= 0)
			continue;
		if (count == limit) {
			answer.who.more = true;
			break;
		}
		users[count++] = (struct online_user){.name = slice_str(item->name),
		    .display = slice_str(item->display),
		    .state = item->state};
	}
	answer.who.online = gather->online;
	answer.who.items = users;
	answer.who.count = count;
	call_answer(call, &answer);
	mem_free(users);
}

static void
members_answer(struct call *call, const struct gather *gather)
{
	const struct op_members *members = &gather->op->in.members;
	struct answer answer = {.kind = ANSWER_MEMBERS};
	bool *online = mem_zalloc(members->count + 1);
	/* Members see each other; who is banned is none, and may never have been one. */
	bool seen = !members->banned || call->peer->shard->config.limits.directory_open;

	for (size_t i = 0; i < members->count; i++)
		online[i] = seen && gather_user(gather, members->items[i].uid) != NULL &&
			    !is_hidden(gather, members->items[i].uid);
	answer.members.of = members;
	answer.members.online = online;
	call_answer(call, &answer);
	mem_free(online);
}

static void
group_info_answer(struct call *call, const struct gather *gather)
{
	const struct op *op = gather->op;
	struct answer answer = {.kind = ANSWER_GROUP_INFO};

	answer.group_info.cid = op->in.target.cid;
	answer.group_info.handle = op->in.facts.handle;
	answer.group_info.online = gather->online;
	answer.group_info.of = &op->in.info;
	call_answer(call, &answer);
}

static void
gather_answer(struct call *call, struct gather *gather)
{
	gather_sort(gather, gather->op != NULL ? record_order : name_order);
	if (gather->op == NULL)
		who_answer(call, gather);
	else if (gather->op->kind == OP_MEMBERS)
		members_answer(call, gather);
	else if (gather->op->kind == OP_GROUP_INFO)
		group_info_answer(call, gather);
	else if (gather->op->kind == OP_CONTACT_LIST)
		contact_list_answer(call, gather->op, gather);
	else
		presence_answer(call, gather);
}

void
who_result(struct shard *shard, struct query_mail *mail)
{
	struct gather *gather = map_get(&shard->gathers, mail->gather);
	struct call *call;

	assert(gather != NULL && gather->pending > 0);
	gather_take(gather, mail);
	query_mail_destroy(mail);
	if (--gather->pending > 0)
		return;
	call = call_find(shard, gather->call);
	if (call != NULL && gather->question.what == QUERY_CONV) {
		gather_second_round(shard, gather);
		return;
	}
	if (call != NULL)
		gather_answer(call, gather);
	gather_end(shard, gather);
}

/* --- who, and what lists of people say --- */

/* Asks first from whom the user is hidden; target: whether he is in that conversation, too. */
static void
around_ask(struct call *call, struct gather *gather, const struct target *conv)
{
	struct shard *shard = call->peer->shard;
	struct op *op = op_create(OP_CONTACTS);

	op->call = call->id;
	op->user = call->peer->user;
	op->context = gather->id;
	if (conv != NULL)
		op->contacts.target = target_copy(op, conv);
	if (gather->question.what == QUERY_CONV && shard->cluster != NULL) {
		if (conv == NULL)
			op->contacts.target.cid = gather->question.cid;
		op->contacts.outside = conv == NULL;
		op->contacts.members_max = LIMIT_WHO_MEMBERS + 1;
	}
	shard_submit(shard, op);
}

/*
 * Where there are other nodes, nobody here knows who follows a conversation there: its members are
 * asked about instead.  False: they are too many, and those who follow it here must do.
 */
static bool
conv_members(struct gather *gather)
{
	const struct op *op = gather->around;
	uint64_t pair[] = {op->user, op->contacts.target.peer};
	bool direct = op->contacts.target.peer != 0;
	size_t count = direct ? LEN(pair) : op->contacts.member_count;

	if (op->contacts.members_max == 0 || count >= op->contacts.members_max)
		return false;
	gather->users = mem_resize(NULL, count + 1, sizeof(*gather->users));
	if (count > 0)
		memcpy(gather->users, direct ? pair : op->contacts.members,
		    count * sizeof(*gather->users));
	gather->user_count = count;
	return true;
}

void
who_op_done(struct shard *shard, struct op *op)
{
	struct gather *gather = map_get(&shard->gathers, op->context);
	struct call *call = call_find(shard, op->call);
	struct query_mail *question = &gather->question;

	if (call == NULL || op->fault.err != ERR_OK) {
		if (call != NULL)
			call_fault(call, op->fault);
		gather_end(shard, gather);
		op_destroy(&op);
		return;
	}
	gather->around = op;
	uids_sort(op->contacts.hiding, op->contacts.hiding_count);
	if (question->what == QUERY_ALL) {
		question->users = op->contacts.hiding;
		question->user_count = op->contacts.hiding_count;
	} else if (question->what == QUERY_CONV && question->cid == 0) {
		question->cid = op->contacts.target.cid;
	} else if (gather->op == NULL && question->what == QUERY_USERS) {
		question->users = op->contacts.uids;
		question->user_count = op->contacts.count;
	}
	if (question->what == QUERY_CONV && conv_members(gather))
		gather_second_round(shard, gather);
	else
		gather_ask(shard, gather);
}

void
chat_who(struct peer *peer, const struct call_tag *tag, const struct who_command *cmd)
{
	static const int asks[] = {
	    [WHO_CONTACTS] = QUERY_USERS, [WHO_ALL] = QUERY_ALL, [WHO_CONV] = QUERY_CONV};
	struct call *call = call_begin(peer, tag, false);
	struct gather *gather;

	if (!peer_check(call) ||
	    (cmd->scope == WHO_CONV && !target_valid(call, &cmd->conv, "scope")))
		return;
	if (cmd->scope == WHO_ALL && !peer->shard->config.limits.directory_open) {
		call_fail(call, ERR_FORBIDDEN);
		return;
	}
	gather = gather_begin(call, NULL);
	gather->question.what = asks[cmd->scope];
	gather->question.limit = cmd->limit;
	(void)snprintf(
	    gather->question.after, sizeof(gather->question.after), "%.*s", SLICE_ARG(cmd->after));
	around_ask(call, gather, cmd->scope == WHO_CONV ? &cmd->conv : NULL);
}

/* The users that an operation listed, so that each is asked about. */
static uint64_t *
listed_users(struct op *op, size_t *ret_count)
{
	bool members = op->kind == OP_MEMBERS;
	size_t count = members ? op->in.members.count : op->contact_list.count;
	uint64_t *users = op_alloc(op, (count + 1) * sizeof(*users));

	for (size_t i = 0; i < count; i++)
		users[i] = members ? op->in.members.items[i].uid : op->contact_list.items[i].uid;
	*ret_count = count;
	return users;
}

void
people_online(struct call *call, struct op *op)
{
	struct gather *gather = gather_begin(call, op);
	struct query_mail *question = &gather->question;

	if (op->kind == OP_GROUP_INFO) {
		question->what = QUERY_CONV;
		question->counts = true;
		question->cid = op->in.target.cid;
	} else {
		question->what = QUERY_USERS;
		question->everyone = true;
		question->users = listed_users(op, &question->user_count);
	}
	if (op->kind == OP_CONTACT_LIST) /* contacts are hidden from nobody */
		gather_ask(call->peer->shard, gather);
	else
		around_ask(call, gather, NULL);
}

/* --- presence.get, presence.watch --- */

/* What the call is, kept while the store is asked. */
struct presence_call {
	bool watches;
	uint64_t mark;
};

static void
presence_ask(struct call *call, const slice *names, size_t count)
{
	struct presence_call *asked = call->context;

	asked->mark = presence_mark(call->peer);
	shard_submit(call->peer->shard, profiles_op(call, names, count));
}

static void
presence_begin(struct call *call, bool watches, const slice *names, size_t count)
{
	struct presence_call *asked;

	if (!peer_check(call))
		return;
	asked = mem_zalloc(sizeof(*asked));
	asked->watches = watches;
	call->context = asked;
	call->context_free = mem_free;
	presence_ask(call, names, count);
}

void
chat_presence_get(struct peer *peer, const struct call_tag *tag, const slice *names, size_t count)
{
	presence_begin(call_begin(peer, tag, false), false, names, count);
}

void
chat_presence_watch(struct peer *peer, const struct call_tag *tag, const slice *names, size_t count)
{
	presence_begin(call_begin(peer, tag, false), true, names, count);
}

void
who_presence(struct call *call, struct op *op)
{
	const struct presence_call *asked = call->context;
	struct gather *gather;

	if (asked->watches && !presence_watch_set(call->peer, op, asked->mark)) {
		presence_ask(call, op->profiles.names, op->profiles.want);
		op_destroy(&op);
		return;
	}
	gather = gather_begin(call, op);
	gather->question.what = QUERY_USERS;
	gather->question.everyone = true;
	gather->question.users = op_alloc(op, (op->profiles.count + 1) * sizeof(uint64_t));
	gather->question.user_count = op->profiles.count;
	for (size_t i = 0; i < op->profiles.count; i++)
		gather->question.users[i] = op->profiles.items[i].uid;
	gather_ask(call->peer->shard, gather);
}
