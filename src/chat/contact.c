/* SPDX-License-Identifier: MIT */
/*
 * Contacts: requests, friends, blocks.  A change is one operation of the store; what it means to
 * each of the two goes to his home, and from there to all of his connections, the asking one too.
 */
#include "chat/cluster.h"

/* --- Changes --- */

/* Where what two users do to each other is told: the same shard for both. */
static unsigned
told_by(const struct shard *shard, slice one, slice other)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < one.len; i++)
		sum += (unsigned char)one.ptr[i];
	for (size_t i = 0; i < other.len; i++)
		sum += (unsigned char)other.ptr[i];
	return shard_of(shard, sum);
}

void
chat_contact(struct peer *peer, const struct call_tag *tag, const struct contact_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	struct op *op;

	if (!peer_check(call))
		return;
	if (slice_eq(cmd->user, peer_name(peer))) {
		call_fail_param(call, ERR_INVALID_PARAMS, "user");
		return;
	}
	if (slice_given(cmd->note) && !text_valid(cmd->note, 0, NOTE_MAX_CHARS)) {
		call_fail_param(call, ERR_INVALID_PARAMS, "note");
		return;
	}
	op = op_create(OP_CONTACT);
	op->call = call->id;
	op->user = peer->user;
	op->contact.what = cmd->what;
	op->contact.name = op_copy(op, cmd->user);
	/* An empty note says nothing. */
	op->contact.note = cmd->note.len > 0 ? op_copy(op, cmd->note) : SLICE_NONE;
	op->contact.from = op_copy(op, peer_name(peer));
	op->contact.contacts_max = peer->shard->config.limits.contacts;
	shard_submit_by(peer->shard, told_by(peer->shard, op->contact.name, op->contact.from), op);
}

void
contact_tell(struct shard *shard, uint64_t to, const struct contact_told *told)
{
	struct contact_mail *mail;

	assert(told->user.len < sizeof(mail->user) && told->note.len < sizeof(mail->note));
	mail = mem_zalloc(sizeof(*mail));
	mail->to.mail.kind = MAIL_CONTACT;
	mail->to.user = to;
	mail->other = told->uid;
	mail->news = told->news;
	mail->order = told->order;
	mail->noted = slice_given(told->note);
	(void)snprintf(mail->user, sizeof(mail->user), "%.*s", SLICE_ARG(told->user));
	(void)snprintf(mail->note, sizeof(mail->note), "%.*s", SLICE_ARG(told->note));
	cluster_tell(shard, RING_USER, to, &mail->to.mail);
}

/* Whether or not he who asked is still there. */
static void
change_tell(struct shard *shard, const struct op *op)
{
	const struct op_contact *contact = &op->contact;

	contact_tell(shard, op->user,
	    &(struct contact_told){.uid = contact->peer,
		.user = contact->name,
		.news = contact->mine,
		.order = contact->order});
	contact_tell(shard, contact->peer,
	    &(struct contact_told){.uid = op->user,
		.user = contact->from,
		.news = contact->theirs,
		.note = contact->shown_note,
		.order = contact->order});
}

/* Who asks another is no nearer to him than before. */
static bool
news_relate(enum contact_news news)
{
	return news != NEWS_REQUESTED && news != NEWS_INCOMING && news != NEWS_REJECTED;
}

void
contact_told_peers(struct shard *shard, struct contact_mail *mail)
{
	struct event event = {.kind = EVENT_CONTACT};

	event.contact.user = slice_str(mail->user);
	event.contact.news = mail->news;
	event.contact.note = mail->noted ? slice_str(mail->note) : SLICE_NONE;
	for (size_t i = 0; i < mail->to.count; i++) {
		struct peer *peer = peer_find(shard, mail->to.ids[i]);

		if (peer == NULL || peer->revoked)
			continue;
		if (peer->state == PEER_SYNCED && mail->news != NEWS_NONE)
			(void)peer_event(peer, &event, true);
		if (news_relate(mail->news))
			presence_relation(peer, mail->other);
	}
	mem_free(mail);
}

static void
change_answer(struct call *call, const struct op *op)
{
	struct answer answer = {.kind = ANSWER_CONTACT};

	if (op->contact.what != CONTACT_ADD) {
		call_done(call);
		return;
	}
	answer.contact.state = op->contact.state;
	call_answer(call, &answer);
}

/* --- The list --- */

void
chat_contact_list(struct peer *peer, const struct call_tag *tag, slice after, uint32_t limit)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call))
		return;
	op = op_create(OP_CONTACT_LIST);
	op->call = call->id;
	op->user = peer->user;
	op->contact_list.after = op_copy(op, after);
	op->contact_list.limit = limit;
	shard_submit(peer->shard, op);
}

void
contact_list_answer(struct call *call, const struct op *op, const struct gather *gather)
{
	const struct op_contacts_page *page = &op->contact_list;
	struct online_user *presence = mem_zalloc((page->count + 1) * sizeof(*presence));
	uint64_t *uids = mem_zalloc((page->count + 1) * sizeof(*uids));
	struct answer answer = {.kind = ANSWER_CONTACTS};

	for (size_t i = 0; i < page->count; i++) {
		const struct op_contact_listed *item = &page->items[i];

		/* Of others than contacts nothing is shown. */
		presence[i].state = PRESENCE_OFFLINE;
		if (item->state == CONTACT_BOTH) {
			uids[i] = item->uid;
			gather_show(gather, item->uid, item->seen, &presence[i]);
		}
		presence[i].name = item->name;
		presence[i].display = item->display;
	}
	presence_overlay(call->peer, uids, page->count, presence);
	answer.contacts.of = page;
	answer.contacts.presence = presence;
	call_answer(call, &answer);
	mem_free(uids);
	mem_free(presence);
}

/* --- What comes back from the store --- */

static void
list_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (call != NULL && op->fault.err == ERR_OK) {
		people_online(call, op); /* keeps it */
		return;
	}
	if (call != NULL)
		call_fault(call, op->fault);
	op_destroy(&op);
}

void
contact_op_done(struct shard *shard, struct op *op)
{
	if (op->kind == OP_CONTACT_LIST) {
		list_op_done(shard, op);
		return;
	}
	if (op->fault.err == ERR_OK)
		change_tell(shard, op);
	op->mail.kind = MAIL_TOLD;
	shard_post(shard, op->origin, &op->mail);
}

void
contact_answer(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (call != NULL && op->fault.err != ERR_OK)
		call_fault(call, op->fault);
	else if (call != NULL)
		change_answer(call, op);
	op_destroy(&op);
}
