/* SPDX-License-Identifier: MIT */
/*
 * People: profiles, search, presence, who, signals.  Who is online is spread over the shards (each
 * is home of some users), so those questions are put to all and their answers gathered.
 */
#include <stdlib.h>

#include "chat/mail.h"
#include "chat/names.h"

/* A question put to all shards, and what has come back. */
struct gather {
	uint64_t id, call;
	unsigned pending;
	bool ids_first; /* the first round finds who follows a conversation */
	uint32_t limit;
	char after[33];
	bool everyone;   /* everybody asked for, in the order of op */
	struct op *op;   /* owned: PROFILES of presence.get; GROUP_INFO, MEMBERS, CONTACT_LIST */
	uint64_t *users; /* owned: of the first round */
	size_t user_count;
	size_t online;
	struct online_record *items; /* owned */
	size_t count;
};

static void
gather_destroy(struct gather *gather)
{
	for (size_t i = 0; i < gather->count; i++)
		mem_free(gather->items[i].display);
	mem_free(gather->items);
	mem_free(gather->users);
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

static struct gather *
gather_begin(struct shard *shard, uint64_t call)
{
	struct gather *gather = mem_zalloc(sizeof(*gather));

	gather->id = shard->next_gather++;
	gather->call = call;
	map_put(&shard->gathers, gather->id, gather);
	return gather;
}

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

/* Puts a question to every shard, about the users that it is home of. */
static void
gather_ask(struct shard *shard, struct gather *gather, const struct query_mail *question)
{
	gather->pending = shard->config.count;
	for (unsigned to = 0; to < shard->config.count; to++) {
		struct query_mail *mail = mem_zalloc(sizeof(*mail));

		*mail = *question;
		mail->mail.kind = MAIL_QUERY;
		mail->gather = gather->id;
		mail->from = shard->config.index;
		mail->limit = gather->limit;
		memcpy(mail->after, gather->after, sizeof(mail->after));
		mail->everyone = gather->everyone;
		users_of(shard, to, question, mail);
		shard_post(shard, to, &mail->mail);
	}
}

static void
gather_take(struct gather *gather, struct query_mail *mail)
{
	gather->online += mail->online;
	if (gather->ids_first) {
		gather->users = mem_resize(gather->users, gather->user_count + mail->user_count + 1,
		    sizeof(*gather->users));
		if (mail->user_count > 0)
			memcpy(gather->users + gather->user_count, mail->users,
			    mail->user_count * sizeof(*gather->users));
		gather->user_count += mail->user_count;
	}
	gather->items =
	    mem_resize(gather->items, gather->count + mail->count + 1, sizeof(*gather->items));
	for (size_t i = 0; i < mail->count; i++)
		gather->items[gather->count++] = mail->items[i];
	mail->count = 0; /* the texts are the gather's now */
}

static int
name_order(const void *a, const void *b)
{
	const struct online_record *x = a, *y = b;

	return slice_cmp(slice_str(x->name), slice_str(y->name));
}

static int
user_order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int
record_order(const void *a, const void *b)
{
	const struct online_record *x = a, *y = b;

	return x->user < y->user ? -1 : x->user > y->user;
}

/* For gather_user(). */
static void
gather_sort(struct gather *gather)
{
	if (gather->count > 0)
		qsort(gather->items, gather->count, sizeof(*gather->items), record_order);
}

static const struct online_record *
gather_user(const struct gather *gather, uint64_t user)
{
	struct online_record key = {.user = user};

	if (gather->count == 0)
		return NULL;
	return bsearch(&key, gather->items, gather->count, sizeof(key), record_order);
}

void
gather_show(
    const struct gather *gather, uint64_t user, uint64_t seen, struct online_user *ret_shown)
{
	bool here = gather_user(gather, user) != NULL;

	ret_shown->state = here ? PRESENCE_ONLINE : PRESENCE_OFFLINE;
	ret_shown->seen = here ? 0 : seen;
}

static void
presence_answer(struct call *call, const struct gather *gather)
{
	const struct op *op = gather->op;
	bool open = call->peer->shard->config.limits.directory_open;
	struct online_user *users = mem_alloc((op->profiles.count + 1) * sizeof(*users));
	struct answer answer = {.kind = ANSWER_PRESENCE};

	for (size_t i = 0; i < op->profiles.count; i++) {
		const struct op_user *user = &op->profiles.items[i];
		bool shown = open || user->related || user->uid == call->peer->user;

		users[i] = (struct online_user){.name = user->name, .display = user->display};
		users[i].state = shown && gather_user(gather, user->uid) != NULL ? PRESENCE_ONLINE
										 : PRESENCE_OFFLINE;
		users[i].seen = shown && users[i].state == PRESENCE_OFFLINE ? user->seen : 0;
	}
	answer.presence.items = users;
	answer.presence.count = op->profiles.count;
	call_answer(call, &answer);
	mem_free(users);
}

static void
who_answer(struct call *call, struct gather *gather)
{
	struct answer answer = {.kind = ANSWER_WHO};
	struct online_user *users = mem_alloc((gather->limit + 1) * sizeof(*users));
	size_t count = 0;

	if (gather->count > 0)
		qsort(gather->items, gather->count, sizeof(*gather->items), name_order);
	for (size_t i = 0; i < gather->count; i++) {
		const struct online_record *item = &gather->items[i];

		if (slice_cmp(slice_str(item->name), slice_str(gather->after)) <= 0)
			continue;
		if (count == gather->limit) {
			answer.who.more = true;
			break;
		}
		users[count++] = (struct online_user){.name = slice_str(item->name),
		    .display = slice_str(item->display),
		    .state = PRESENCE_ONLINE};
	}
	answer.who.online = gather->online;
	answer.who.items = users;
	answer.who.count = count;
	call_answer(call, &answer);
	mem_free(users);
}

static void
members_answer(struct call *call, struct gather *gather)
{
	const struct op_members *members = &gather->op->in.members;
	struct answer answer = {.kind = ANSWER_MEMBERS};
	bool *online = mem_zalloc(members->count + 1);

	for (size_t i = 0; i < members->count; i++)
		online[i] = gather_user(gather, members->items[i].uid) != NULL;
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
	if (gather->everyone)
		gather_sort(gather);
	if (gather->op == NULL)
		who_answer(call, gather);
	else if (gather->op->kind == OP_MEMBERS)
		members_answer(call, gather);
	else if (gather->op->kind == OP_CONTACT_LIST)
		contact_list_answer(call, gather->op, gather);
	else if (gather->op->kind == OP_GROUP_INFO)
		group_info_answer(call, gather);
	else
		presence_answer(call, gather);
}

/* The first round found who follows the conversation; the second asks their homes who they are. */
static void
gather_second_round(struct shard *shard, struct gather *gather)
{
	struct query_mail question = {.what = QUERY_USERS};
	size_t count = 0;

	if (gather->user_count > 0)
		qsort(gather->users, gather->user_count, sizeof(*gather->users), user_order);
	for (size_t i = 0; i < gather->user_count; i++)
		if (count == 0 || gather->users[i] != gather->users[count - 1])
			gather->users[count++] = gather->users[i];
	question.users = gather->users;
	question.user_count = count;
	gather->ids_first = false;
	gather_ask(shard, gather, &question);
}

void
people_result(struct shard *shard, struct query_mail *mail)
{
	struct gather *gather = map_get(&shard->gathers, mail->gather);
	struct call *call;

	assert(gather != NULL && gather->pending > 0);
	gather_take(gather, mail);
	query_mail_destroy(mail);
	if (--gather->pending > 0)
		return;
	if (gather->ids_first) {
		gather_second_round(shard, gather);
		return;
	}
	call = call_find(shard, gather->call);
	if (call != NULL)
		gather_answer(call, gather);
	(void)map_remove(&shard->gathers, gather->id);
	gather_destroy(gather);
}

/* --- who, presence.get --- */

/* What `who` asked, kept while the store is asked first. */
struct who {
	uint32_t limit;
	char after[33];
};

static struct gather *
who_gather(struct shard *shard, struct call *call)
{
	const struct who *who = call->context;
	struct gather *gather = gather_begin(shard, call->id);

	gather->limit = who->limit;
	memcpy(gather->after, who->after, sizeof(gather->after));
	return gather;
}

static void
who_keep(struct call *call, const struct who_command *cmd)
{
	struct who *who = mem_zalloc(sizeof(*who));

	who->limit = cmd->limit;
	(void)snprintf(who->after, sizeof(who->after), "%.*s", SLICE_ARG(cmd->after));
	call->context = who;
	call->context_free = mem_free;
}

void
chat_who(struct peer *peer, const struct call_tag *tag, const struct who_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);
	struct shard *shard = peer->shard;
	struct op *op;

	if (!peer_check(call) ||
	    (cmd->scope == WHO_CONV && !target_valid(call, &cmd->conv, "scope")))
		return;
	who_keep(call, cmd);
	if (cmd->scope == WHO_ALL) {
		if (!shard->config.limits.directory_open)
			call_fail(call, ERR_FORBIDDEN);
		else
			gather_ask(shard, who_gather(shard, call),
			    &(struct query_mail){.what = QUERY_ALL});
		return;
	}
	op = op_create(cmd->scope == WHO_CONTACTS ? OP_CONTACTS : OP_CHECK);
	op->call = call->id;
	op->user = peer->user;
	if (op->kind == OP_CHECK) {
		op->check.target = target_copy(op, &cmd->conv);
		op->context = OP_CHECK;
	}
	shard_submit(shard, op);
}

static void
contacts_done(struct call *call, const struct op *op)
{
	struct shard *shard = call->peer->shard;
	struct query_mail question = {.what = QUERY_USERS};

	question.users = op->contacts.uids;
	question.user_count = op->contacts.count;
	gather_ask(shard, who_gather(shard, call), &question);
}

static void
who_checked(struct call *call, const struct op *op)
{
	struct shard *shard = call->peer->shard;
	struct gather *gather = who_gather(shard, call);

	gather->ids_first = true;
	gather_ask(
	    shard, gather, &(struct query_mail){.what = QUERY_CONV, .cid = op->check.target.cid});
}

void
people_online(struct call *call, struct op *op)
{
	struct shard *shard = call->peer->shard;
	struct gather *gather = gather_begin(shard, call->id);
	struct query_mail question = {.what = QUERY_USERS};

	gather->op = op;
	gather->everyone = op->kind != OP_GROUP_INFO;
	gather->ids_first = op->kind == OP_GROUP_INFO;
	if (op->kind == OP_MEMBERS) {
		const struct op_members *members = &op->in.members;

		question.users = op_alloc(op, (members->count + 1) * sizeof(uint64_t));
		for (size_t i = 0; i < members->count; i++)
			question.users[question.user_count++] = members->items[i].uid;
	} else if (op->kind == OP_CONTACT_LIST) {
		const struct op_contacts_page *page = &op->contact_list;

		question.users = op_alloc(op, (page->count + 1) * sizeof(uint64_t));
		for (size_t i = 0; i < page->count; i++)
			if (page->items[i].state == CONTACT_BOTH)
				question.users[question.user_count++] = page->items[i].uid;
	} else {
		question.what = QUERY_CONV;
		question.cid = op->in.target.cid;
	}
	gather_ask(shard, gather, &question);
}

/* Names folded; what is no name is asked for all the same, and not found. */
static struct op *
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
chat_presence_get(struct peer *peer, const struct call_tag *tag, const slice *names, size_t count)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call))
		return;
	op = profiles_op(call, names, count);
	op->context = 1; /* presence wanted */
	shard_submit(peer->shard, op);
}

static void
presence_profiles_done(struct call *call, struct op *op)
{
	struct shard *shard = call->peer->shard;
	struct gather *gather = gather_begin(shard, call->id);
	struct query_mail question = {.what = QUERY_USERS};

	question.users = op_alloc(op, (op->profiles.count + 1) * sizeof(uint64_t));
	for (size_t i = 0; i < op->profiles.count; i++)
		question.users[i] = op->profiles.items[i].uid;
	question.user_count = op->profiles.count;
	gather->everyone = true;
	gather->op = op;
	gather_ask(shard, gather, &question);
}

/* --- Profiles --- */

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
	shard_post(shard, shard_of(shard, op->user), &mail->mail);
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
	shard_post(shard, shard_of(shard, mail->cid), &mail->mail);
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
		if (op->context != 0) {
			presence_profiles_done(call, op);
			return true;
		}
		users_done(call, ANSWER_PROFILES, op->profiles.items, op->profiles.count);
		return false;
	case OP_FIND:
		users_done(call, ANSWER_FOUND, op->find.items, op->find.count);
		return false;
	case OP_CONTACTS:
		contacts_done(call, op);
		return false;
	case OP_CHECK:
		if (op->context == OP_CHECK)
			who_checked(call, op);
		else
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
	/* Who may not write at the moment may still see who is there. */
	bool who_muted =
	    op->kind == OP_CHECK && op->context == OP_CHECK && op->fault.err == ERR_FORBIDDEN;

	if (op->kind == OP_PROFILE_SET)
		rename_tell(shard, op);
	if (call != NULL && op->fault.err != ERR_OK && !who_muted)
		call_fault(call, op->fault);
	else if (call != NULL && people_done(call, op))
		return;
	op_destroy(&op);
}
