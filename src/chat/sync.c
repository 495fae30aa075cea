/* SPDX-License-Identifier: MIT */
/*
 * sync: what a user has, and from where its streams go on.
 *
 * The user's home knows the connection since its login, so news of further conversations reach the
 * peer from then on; then memberships and heads are read from the store in one reading, which alone
 * says what the head is; then each conversation's topic is followed.  What is committed between the
 * reading and the moment the home takes the shard on as a listener shows as a higher head in the
 * home's answer, or as a hole before the next run: either way the stream is behind, and is fed.
 */
#include <stdlib.h>

#include "chat/presence.h"

/* Copies that live as long as the operation, for what its answer needs. */
struct plan {
	struct sync_answer answer;
	struct conv_view *views;
	uint32_t backlog;
	uint64_t total; /* entries that wait, so far */
};

static int
cursor_order(const void *a, const void *b)
{
	const struct op_cursor *x = a, *y = b;

	return x->cid < y->cid ? -1 : x->cid > y->cid;
}

static const struct op_cursor *
cursor_of(const struct op *op, uint64_t cid)
{
	struct op_cursor key = {.cid = cid};

	if (op->sync.cursor_count == 0)
		return NULL;
	return bsearch(&key, op->sync.cursors, op->sync.cursor_count, sizeof(key), cursor_order);
}

void
sync_begin(struct call *call, const struct sync_command *cmd)
{
	struct peer *peer = call->peer;
	struct op *op = op_create(OP_SYNC);
	struct op_cursor *cursors;

	assert(peer->state == PEER_READY);
	peer->state = PEER_SYNCING;
	peer_busy(peer)->entering = call->id;
	op->call = call->id;
	op->user = peer->user;
	op->sync.preview = cmd->preview;
	op->sync.given_epoch = op_copy(op, cmd->epoch);
	if (cmd->cursor_count > 0) {
		cursors = op_alloc(op, cmd->cursor_count * sizeof(*cursors));
		memcpy(cursors, cmd->cursors, cmd->cursor_count * sizeof(*cursors));
		qsort(cursors, cmd->cursor_count, sizeof(*cursors), cursor_order);
		op->sync.cursors = cursors;
		op->sync.cursor_count = cmd->cursor_count;
	}
	op->context = cmd->backlog;
	call->writes = false;
	shard_submit(peer->shard, op);
}

void
chat_sync(struct peer *peer, const struct call_tag *tag, const struct sync_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);

	if (!peer_check(call))
		return;
	if (peer->state != PEER_READY)
		call_fail(call, ERR_ALREADY);
	else
		sync_begin(call, cmd);
}

/* --- What the client is told --- */

static bool
must_reset(const struct op *op, slice epoch_given, const char *epoch)
{
	if (slice_given(epoch_given) && !slice_eq(epoch_given, slice_str(epoch)))
		return true;
	for (size_t i = 0; i < op->sync.count; i++) {
		const struct op_conv *conv = &op->sync.items[i];
		const struct op_cursor *cursor = cursor_of(op, conv->cid);

		if (cursor != NULL && cursor->seq > conv->head && conv->role != ROLE_NONE)
			return true;
	}
	return false;
}

static struct conv_view
conv_view(const struct op_conv *conv, const struct op_cursor *cursor)
{
	uint64_t next = (cursor != NULL ? cursor->seq : conv->read) + 1;
	uint64_t seen = conv->read;

	if (next < conv->min_seq)
		next = conv->min_seq;
	if (next > conv->head + 1)
		next = conv->head + 1;
	if (seen + 1 < conv->min_seq)
		seen = conv->min_seq - 1;
	return (struct conv_view){
	    .conv = conv, .next = next, .unread = conv->head > seen ? conv->head - seen : 0};
}

static void
plan_gone(struct plan *plan, struct op *op)
{
	uint64_t *gone = op_alloc(op, (op->sync.cursor_count + 1) * sizeof(*gone));
	struct op_cursor *listed = op_alloc(op, (op->sync.count + 1) * sizeof(*listed));
	size_t count = 0;

	for (size_t i = 0; i < op->sync.count; i++)
		listed[i].cid = op->sync.items[i].cid;
	qsort(listed, op->sync.count, sizeof(*listed), cursor_order);
	for (size_t i = 0; i < op->sync.cursor_count; i++)
		if (bsearch(&op->sync.cursors[i], listed, op->sync.count, sizeof(*listed),
			cursor_order) == NULL)
			gone[count++] = op->sync.cursors[i].cid;
	plan->answer.gone = gone;
	plan->answer.gone_count = count;
}

static void
plan_make(struct plan *plan, struct op *op, slice epoch_given, const char *epoch)
{
	bool reset = must_reset(op, epoch_given, epoch);

	*plan = (struct plan){.backlog = (uint32_t)op->context};
	plan_gone(plan, op);
	plan->views = op_alloc(op, (op->sync.count + 1) * sizeof(*plan->views));
	for (size_t i = 0; i < op->sync.count; i++)
		plan->views[i] = conv_view(
		    &op->sync.items[i], reset ? NULL : cursor_of(op, op->sync.items[i].cid));
	plan->answer.epoch = slice_str(epoch);
	plan->answer.reset = reset;
	plan->answer.total = op->sync.count;
	plan->answer.items = plan->views;
	plan->answer.count = op->sync.count < LIMIT_SYNC_LIST ? op->sync.count : LIMIT_SYNC_LIST;
}

/* --- What follows --- */

static void
send_listed(struct peer *peer, const struct conv_view *view, enum conv_change change)
{
	struct event event = {.kind = EVENT_CONVERSATION};

	event.conversation.change = change;
	event.conversation.view = *view;
	(void)peer_event(peer, &event, true);
}

/* Announces what lies beyond the backlog, and follows the conversation from there. */
static void
stream_begin(struct peer *peer, struct plan *plan, const struct conv_view *view, bool ends)
{
	const struct op_conv *conv = view->conv;
	uint64_t cursor = view->next - 1;
	uint64_t waiting = conv->head - cursor;
	uint64_t allowed = plan->total >= LIMIT_SYNC_ENTRIES ? 0 : plan->backlog;

	if (waiting > allowed) {
		struct event event = {.kind = EVENT_GAP};

		event.gap.cid = conv->cid;
		event.gap.from = cursor + 1;
		event.gap.to = cursor = conv->head - allowed;
		(void)peer_event(peer, &event, true);
		stat_add(STAT_GAPS, 1);
		waiting = allowed;
	}
	plan->total += waiting;
	if (conv->role != ROLE_NONE || waiting > 0)
		topic_follow(peer, conv, cursor, ends);
}

static void
peer_online(struct peer *peer, const struct op_around *around)
{
	struct user_mail *mail = user_mail_create(peer->shard, MAIL_SYNCED, peer->user);

	mail->peer = peer->id;
	mail->session = peer->session;
	mail->presence = around->presence;
	if (slice_given(around->text))
		mail->text = mem_dup(around->text);
	shard_post(peer->shard, shard_of(peer->shard, peer->user), &mail->mail);
}

/* --- Conversations that turn up, or come back --- */

static struct ask *
ask_find(struct peer *peer, uint64_t cid)
{
	const struct busy *busy = peer->busy;

	for (uint32_t i = 0; busy != NULL && i < busy->ask_count; i++)
		if (busy->asks[i].cid == cid)
			return &busy->asks[i];
	return NULL;
}

static void
ask_drop(struct peer *peer, struct ask *ask)
{
	struct busy *busy = peer->busy;

	mem_free(ask->joinings);
	busy->ask_count--;
	memmove(ask, ask + 1, (size_t)(busy->asks + busy->ask_count - ask) * sizeof(*ask));
	peer_settle_soon(peer);
}

void
asks_destroy(struct peer *peer)
{
	while (peer->busy->ask_count > 0)
		ask_drop(peer, &peer->busy->asks[peer->busy->ask_count - 1]);
	mem_free(peer->busy->asks);
}

/* The oldest are forgotten: they matter only against news that were long on their way. */
static void
asks_shrink(struct peer *peer)
{
	const struct busy *busy = peer->busy;

	for (uint32_t i = 0; busy->ask_count >= LIMIT_LEFT && i < busy->ask_count; i++)
		if (!busy->asks[i].asking && busy->asks[i].joining_count == 0) {
			ask_drop(peer, &busy->asks[i]);
			return;
		}
}

static struct ask *
ask_make(struct peer *peer, uint64_t cid)
{
	struct ask *ask = ask_find(peer, cid);
	struct busy *busy = peer_busy(peer);

	if (ask != NULL)
		return ask;
	asks_shrink(peer);
	busy->asks = mem_resize(busy->asks, busy->ask_count + 1, sizeof(*busy->asks));
	ask = &busy->asks[busy->ask_count++];
	*ask = (struct ask){.cid = cid};
	return ask;
}

/* The client was told of all memberships up to there. */
static void
ask_know(struct ask *ask, uint64_t seq)
{
	uint8_t kept = 0;

	if (seq > ask->known)
		ask->known = seq;
	for (uint8_t i = 0; i < ask->joining_count; i++)
		if (ask->joinings[i] > ask->known)
			ask->joinings[kept++] = ask->joinings[i];
	ask->joining_count = kept;
	if (kept == 0) {
		mem_free(ask->joinings);
		ask->joinings = NULL;
	}
}

static void
ask_expect(struct ask *ask, uint64_t joined)
{
	uint8_t at;

	if (joined <= ask->known)
		return;
	if (ask->joinings == NULL)
		ask->joinings = mem_alloc(LIMIT_JOININGS * sizeof(*ask->joinings));
	if (ask->joining_count == LIMIT_JOININGS)
		memmove(ask->joinings, ask->joinings + 1,
		    --ask->joining_count * sizeof(*ask->joinings));
	for (at = ask->joining_count++; at > 0 && ask->joinings[at - 1] > joined; at--)
		ask->joinings[at] = ask->joinings[at - 1];
	ask->joinings[at] = joined;
}

static void
ask_submit(struct peer *peer, const struct ask *ask)
{
	struct op *op = op_create(OP_SYNC);
	struct op_cursor *cursor = op_alloc(op, sizeof(*cursor));

	op->user = peer->user;
	op->sync.only = ask->cid;
	if (ask->joining_count > 0) {
		/* Named, it is listed also if he has left meanwhile. */
		cursor->cid = ask->cid;
		op->sync.cursors = cursor;
		op->sync.cursor_count = 1;
	}
	op->context = peer->id;
	shard_submit(peer->shard, op);
}

/*
 * Asks the store for one conversation (0: for all) that the peer may have to follow.  If something
 * else happened since it was read, and nothing came of it, it is asked again.
 */
static void
conv_ask(struct peer *peer, uint64_t cid)
{
	struct ask *ask = ask_make(peer, cid);

	ask->again = ask->asking;
	if (ask->asking)
		return;
	ask->asking = true;
	ask_submit(peer, ask);
}

/* joined: the seq of his joining, 0 if it is not known. */
static void
conv_announced(struct peer *peer, uint64_t cid, uint64_t joined)
{
	uint64_t cursor = 0;
	bool follows = cid != 0 && topic_followed(peer, cid, &cursor);

	/* What he follows may end before that joining; then the store is asked. */
	if (joined != 0 && (!follows || joined > cursor))
		ask_expect(ask_make(peer, cid), joined);
	if (!follows)
		conv_ask(peer, cid);
}

static void
tell_removed(struct peer *peer, uint64_t cid)
{
	struct op_conv conv = {.cid = cid};
	struct event event = {.kind = EVENT_CONVERSATION};

	event.conversation.change = CONV_REMOVED;
	event.conversation.view.conv = &conv;
	(void)peer_event(peer, &event, true);
}

void
sync_ended(struct peer *peer, uint32_t sub, const struct entry *end)
{
	uint64_t cid = peer->shard->topics[peer->subs[sub].topic]->cid, seq = end->seq;
	bool for_all = end->ends == ENTRY_ENDS_ALL;
	struct ask *all;

	tell_removed(peer, cid);
	topic_leave(peer, sub); /* the entry may go with its topic */
	ask_know(ask_make(peer, cid), seq);
	if ((all = ask_find(peer, 0)) != NULL) /* the making may have moved it */
		all->again = all->asking;
	/* He may be a member again; of what was dismissed nobody is. */
	if (!for_all)
		conv_ask(peer, cid);
}

void
sync_past_read(struct peer *peer, uint32_t sub)
{
	uint64_t cid = peer->shard->topics[peer->subs[sub].topic]->cid;

	topic_leave(peer, sub);
	conv_ask(peer, cid);
}

static void
sync_done(struct call *call, struct op *op, slice epoch_given)
{
	struct peer *peer = call->peer;
	struct held_convs *held = peer_busy(peer)->held;
	bool alone = call->context == NULL;
	struct plan plan;
	size_t used = 0;

	plan_make(&plan, op, epoch_given, peer->shard->config.epoch);
	peer->state = PEER_SYNCED;
	if (alone) {
		struct answer answer = {.kind = ANSWER_SYNC, .sync = plan.answer};

		peer->shard->config.out.answer(peer->out, &call->tag, &answer, &used);
		call_drop(call);
	} else {
		login_answer_synced(call, &plan.answer, &used);
	}
	for (size_t i = used; i < op->sync.count; i++)
		send_listed(peer, &plan.views[i], CONV_LISTED);
	topic_expect(peer, (uint32_t)op->sync.count);
	for (size_t i = 0; i < op->sync.count; i++) {
		stream_begin(peer, &plan, &plan.views[i], false);
		if (op->sync.items[i].role == ROLE_NONE)
			ask_know(ask_make(peer, op->sync.items[i].cid), op->sync.items[i].head);
	}
	peer_online(peer, &op->sync.around);
	presence_synced(peer, &op->sync.around);
	peer_busy(peer)->held = NULL;
	for (size_t i = 0; held != NULL && i < held->count; i++)
		conv_announced(peer, held->convs[i].cid, held->convs[i].joined);
	mem_free(held);
	peer_settle_soon(peer);
}

/*
 * A joining that is not told yet may be of a membership that is over: its stream begins there
 * nevertheless, and ends with it; then this comes again.
 */
static void
conv_turned_up(struct peer *peer, const struct op_conv *found)
{
	struct op_conv conv = *found;
	struct plan plan = {.backlog = 500};
	struct ask *ask = ask_find(peer, conv.cid);
	uint64_t joined = ask != NULL && ask->joining_count > 0 ? ask->joinings[0] : 0;
	struct conv_view view;

	if (topic_followed(peer, conv.cid, NULL) || joined > conv.head ||
	    (joined == 0 && conv.role == ROLE_NONE))
		return;
	view = conv_view(&conv, NULL);
	if (joined != 0 && joined < view.next) {
		conv.min_seq = conv.min_seq < joined ? conv.min_seq : joined;
		conv.read = conv.delivered = joined - 1;
		view = conv_view(&conv, NULL);
	}
	if (joined == 0 && ask != NULL && view.next <= ask->known)
		return; /* as it was before what he was told of since */
	if (joined != 0)
		plan.backlog = UINT32_MAX; /* an end may stand among them */
	if (ask != NULL)
		ask_know(ask, joined);
	send_listed(peer, &view, CONV_ADDED);
	stream_begin(peer, &plan, &view, true);
	if (conv.facts.kind == CONV_DIRECT)
		presence_met(peer, conv.facts.lo == peer->user ? conv.facts.hi : conv.facts.lo);
}

/* What is not followed now was never his, or is no more: nothing more will be told of it. */
static void
ask_settle(struct peer *peer, uint64_t cid)
{
	struct ask *ask = ask_find(peer, cid);

	if (!topic_followed(peer, cid, NULL) && ask->joining_count > 0)
		ask_know(ask, ask->joinings[ask->joining_count - 1]);
	if (ask->known == 0 && ask->joining_count == 0)
		ask_drop(peer, ask);
}

static void
conv_done(struct shard *shard, struct op *op)
{
	struct peer *peer = peer_find(shard, op->context);
	struct ask *ask = peer != NULL ? ask_find(peer, op->sync.only) : NULL;
	bool again;

	if (peer == NULL || peer->state != PEER_SYNCED || peer->revoked)
		return;
	assert(ask != NULL && ask->asking);
	again = ask->again;
	ask->asking = ask->again = false;
	for (size_t i = 0; i < op->sync.count; i++)
		conv_turned_up(peer, &op->sync.items[i]);
	if (op->sync.only == 0)
		peer_online(peer, &op->sync.around); /* what he set was read too */
	if (again && !topic_followed(peer, op->sync.only, NULL))
		conv_ask(peer, op->sync.only);
	else
		ask_settle(peer, op->sync.only);
}

void
sync_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (op->call == 0) {
		if (op->fault.err != ERR_OK) {
			shard_retry(shard, op);
			return;
		}
		conv_done(shard, op);
	} else if (call != NULL && op->fault.err != ERR_OK) {
		peer_retreat(call->peer);
		call_fault(call, op->fault);
	} else if (call != NULL && call->peer->revoked) {
		call_fail(call, ERR_SESSION_REVOKED);
	} else if (call != NULL) {
		sync_done(call, op, op->sync.given_epoch);
	}
	op_destroy(&op);
}

void
sync_again(struct shard *shard, struct op *op)
{
	struct peer *peer = peer_find(shard, op->context);
	struct ask *ask = peer != NULL ? ask_find(peer, op->sync.only) : NULL;

	if (peer == NULL || peer->state != PEER_SYNCED || peer->revoked)
		return;
	ask->again = false;
	ask_submit(peer, ask);
}

/* If it is too much to be remembered, all that he has is looked at. */
static void
held_add(struct peer *peer, uint64_t cid, uint64_t joined)
{
	struct busy *busy = peer_busy(peer);
	struct held_convs *held = busy->held;

	if (held == NULL)
		held = busy->held = mem_zalloc(sizeof(*held));
	if (held->count < LIMIT_HELD_CONVS)
		held->convs[held->count++] = (struct held_conv){cid, joined};
	else
		held->convs[LIMIT_HELD_CONVS - 1] = (struct held_conv){0};
}

void
sync_announced(struct shard *shard, struct peers_mail *mail)
{
	for (size_t i = 0; i < mail->to.count; i++) {
		struct peer *peer = peer_find(shard, mail->to.ids[i]);

		if (peer == NULL || peer->revoked)
			continue;
		if (peer->state == PEER_SYNCED) {
			conv_announced(peer, mail->cid, mail->seq);
		} else if (peer->state == PEER_SYNCING) {
			held_add(peer, mail->cid, mail->seq);
		}
	}
	mem_free(mail);
}
