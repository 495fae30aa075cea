/* SPDX-License-Identifier: MIT */
/* The shard itself: its mail, its turn, its clock. */
#include "chat/cluster.h"

struct shard *
shard_create(const struct chat_config *config)
{
	struct shard *shard = mem_zalloc(sizeof(*shard));

	assert(config->count >= 1 && config->count <= SHARDS_MAX && config->index < config->count);
	shard->config = *config;
	list_init(&shard->calls);
	list_init(&shard->feed);
	list_init(&shard->busy);
	list_init(&shard->settling);
	list_init(&shard->pages);
	list_init(&shard->dirty_convs);
	list_init(&shard->leavings);
	shard->local_last = &shard->local_first;
	shard->next_call = shard->next_gather = 1;
	if (config->ports.ring != NULL)
		cluster_create(shard);
	return shard;
}

static void
mail_drop(struct shard *shard)
{
	struct mail *mail;

	/* Only what was posted to itself in the last turn; its owner has let the peers go by now.
	 */
	while ((mail = shard->local_first) != NULL) {
		shard->local_first = mail->next;
		if (mail->kind == MAIL_DETACH)
			user_mail_destroy((struct user_mail *)(void *)mail);
		else
			mem_free(mail);
	}
}

static struct op *
failed_pop(struct op **failed)
{
	struct op *op = *failed;

	if (op != NULL)
		*failed =
		    op->mail.next != NULL ? container_of(op->mail.next, struct op, mail) : NULL;
	return op;
}

void
shard_destroy(struct shard **shard_ptr)
{
	struct shard *shard = *shard_ptr;
	struct op *failed;

	if (shard == NULL)
		return;
	assert(shard->peer_count == 0);
	topics_destroy(shard);
	mail_drop(shard);
	home_convs_destroy(shard);
	home_users_destroy(shard);
	cluster_destroy(shard);
	gathers_destroy(shard);
	while ((failed = failed_pop(&shard->failed)) != NULL)
		op_destroy(&failed);
	places_fini(&shard->places);
	map_fini(&shard->calls_by_id);
	assert(shard->watched.count == 0);
	map_fini(&shard->watched);
	map_fini(&shard->topics_by_cid);
	peers_destroy(shard);
	mem_free(shard->topics);
	mem_free(shard->free_topics);
	mem_free(shard);
	*shard_ptr = NULL;
}

void
shard_set_time(struct shard *shard, uint64_t mono_ms, uint64_t real_ms, uint64_t mono_ns)
{
	shard->mono_ms = mono_ms;
	shard->real_ms = real_ms;
	shard->mono_ns = mono_ns;
}

void
shard_set_limits(struct shard *shard, const struct chat_limits *limits)
{
	shard->config.limits = *limits;
}

void
shard_set_pressure(struct shard *shard, enum pressure pressure)
{
	shard->pressure = pressure;
}

unsigned
shard_home(uint64_t id, unsigned count)
{
	/* The low half places the id in a map: of one shard's ids it must not have a pattern. */
	return (unsigned)((hash_u64(id) >> 32) % count);
}

unsigned
shard_of(const struct shard *shard, uint64_t id)
{
	return shard_home(id, shard->config.count);
}

void
shard_post(struct shard *shard, unsigned to, struct mail *mail)
{
	if (to != shard->config.index) {
		shard->config.ports.post(shard->config.ports.cookie, to, mail);
		return;
	}
	mail->next = NULL;
	*shard->local_last = mail;
	shard->local_last = &mail->next;
}

/* Whether it is one of the readings that a login and its sync consist of. */
static bool
op_enters(const struct op *op)
{
	return op->kind == OP_AUTH || op->kind == OP_RESUME || op->kind == OP_SYNC;
}

unsigned
chat_room(const struct shard *shard)
{
	const struct chat_config *config = &shard->config;
	unsigned most = shard->appending > 0 ? config->entering_beside : config->entering;

	if (config->entering == 0)
		return UINT32_MAX;
	return shard->entering < most ? most - shard->entering : 0;
}

void
shard_submit(struct shard *shard, struct op *op)
{
	if (op_enters(op))
		shard->entering++;
	if (op->kind == OP_APPEND)
		shard->appending++;
	op->mail.kind = MAIL_OP_DONE;
	op->shard = (uint16_t)shard->config.index;
	shard->config.ports.submit(shard->config.ports.cookie, op);
}

void
shard_submit_by(struct shard *shard, unsigned by, struct op *op)
{
	op->mail.kind = MAIL_OP_DONE;
	op->origin = (uint16_t)shard->config.index;
	op->shard = (uint16_t)by;
	shard->config.ports.submit(shard->config.ports.cookie, op);
}

void
op_told(struct shard *shard, struct op *op)
{
	assert(op->origin == shard->config.index);
	if (op->kind == OP_MARK)
		read_mark_told(shard, op);
	else
		contact_answer(shard, op);
}

void
op_done(struct shard *shard, struct op *op)
{
	if (op_enters(op)) {
		assert(shard->entering > 0);
		shard->entering--;
	}
	if (op->kind == OP_APPEND) {
		assert(shard->appending > 0);
		shard->appending--;
	}
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		home_append_done(shard, op);
		return;
	case OP_REGISTER:
	case OP_LOGIN:
	case OP_AUTH:
		if (op->context != 0)
			account_op_done(shard, op);
		else
			login_op_done(shard, op);
		return;
	case OP_RESUME:
	case OP_REVOKE:
	case OP_PASSWORD:
	case OP_SESSIONS:
	case OP_LIVE:
		login_op_done(shard, op);
		return;
	case OP_SYNC:
		sync_op_done(shard, op);
		return;
	case OP_PAGE:
		if (op->call == 0) {
			if (op->page.newest)
				home_looked(shard, op);
			else
				feed_page_done(shard, op);
			return;
		}
		read_op_done(shard, op);
		return;
	case OP_MARK:
		read_mark_done(shard, op);
		return;
	case OP_PROFILES:
		if (op->call != 0)
			people_op_done(shard, op);
		else if (op->profiles.names != NULL)
			group_named(shard, op);
		else
			presence_op_done(shard, op);
		return;
	case OP_CONTACTS:
		if (op->call != 0)
			who_op_done(shard, op);
		else
			presence_op_done(shard, op);
		return;
	case OP_PROFILE_SET:
	case OP_FIND:
	case OP_CHECK:
		people_op_done(shard, op);
		return;
	case OP_GROUP:
	case OP_GROUP_INFO:
	case OP_MEMBERS:
	case OP_GROUPS:
		group_op_done(shard, op);
		return;
	case OP_RECEIPTS:
		receipts_op_done(shard, op);
		return;
	case OP_CONTACT:
	case OP_CONTACT_LIST:
		contact_op_done(shard, op);
		return;
	case OP_PRESENCE_SET:
		presence_op_done(shard, op);
		return;
	case OP_CLOSE:
		account_op_done(shard, op);
		return;
	case OP_TOUCH:
		op_destroy(&op);
		return;
	case OP_HEADS:
		cluster_polled(shard, op);
		return;
	case OP_MAX:
		break;
	}
	panic("an operation of unknown kind %u came back", op->kind);
}

/* A connection that has another user by now is not meant. */
static void
shard_kill(struct shard *shard, uint64_t peer_id, uint64_t user)
{
	struct peer *peer = peer_find(shard, peer_id);

	if (peer != NULL && peer->user == user)
		peer_kill(peer, GOAWAY_REVOKED);
}

void
peers_kill(struct shard *shard, struct peers_mail *mail)
{
	for (size_t i = 0; i < mail->to.count; i++)
		shard_kill(shard, mail->to.ids[i], mail->to.user);
	mem_free(mail);
}

#define MAIL_AS_CASE(name, type, take)                                                             \
	case MAIL_##name:                                                                          \
		take(shard, (struct type *)(void *)mail);                                          \
		break;

static void
shard_mail(struct shard *shard, struct mail *mail)
{
	switch ((enum mail_kind)mail->kind) {
		MAILS(MAIL_AS_CASE)
	}
}

/*
 * Operations on conversations come back by hundreds, each to another place in memory.  Those that are
 * some mails further are looked at in three steps, so that nobody waits for what they touch.
 */
struct ahead {
	struct mail *at[AHEAD_STEPS]; /* never behind what is delivered */
	unsigned begun;
};

static void
mail_ahead(const struct shard *shard, struct mail *mail, unsigned step)
{
	const struct op *op = container_of(mail, struct op, mail);

	if (mail->kind == MAIL_APPEND || (mail->kind == MAIL_OP_DONE && op->kind == OP_APPEND))
		home_ahead(shard, op, step);
}

static void
ahead_go(const struct shard *shard, struct ahead *ahead)
{
	for (unsigned step = 0; step < AHEAD_STEPS && ahead->begun >= step * AHEAD; step++) {
		if (ahead->at[step] == NULL)
			continue;
		mail_ahead(shard, ahead->at[step], step);
		ahead->at[step] = ahead->at[step]->next;
	}
	ahead->begun++;
}

static bool
is_long(const struct mail *mail)
{
	for (unsigned i = 0; i < AHEAD_STEPS * AHEAD && mail != NULL; i++)
		mail = mail->next;
	return mail != NULL;
}

void
shard_deliver(struct shard *shard, struct mail *first)
{
	struct ahead ahead = {0};

	if (is_long(first))
		ahead = (struct ahead){.at = {first, first, first}};
	while (ahead.begun < AHEAD_STEPS * AHEAD && ahead.at[AHEAD_STEPS - 1] != NULL)
		ahead_go(shard, &ahead);
	while (first != NULL) {
		struct mail *next = first->next;

		if (ahead.at[AHEAD_STEPS - 1] != NULL)
			ahead_go(shard, &ahead);
		shard_mail(shard, first);
		first = next;
	}
}

static void
shard_local_mail(struct shard *shard)
{
	while (shard->local_first != NULL) {
		struct mail *first = shard->local_first;

		shard->local_first = NULL;
		shard->local_last = &shard->local_first;
		shard_deliver(shard, first);
	}
}

bool
shard_turn(struct shard *shard)
{
	bool more;

	shard_local_mail(shard);
	home_publish(shard);
	more = feed_turn(shard);
	shard_local_mail(shard);
	if (shard->cluster != NULL)
		cluster_turn(shard);
	peers_settle(shard);
	return more || !list_empty(&shard->dirty_convs);
}

void
shard_retry(struct shard *shard, struct op *op)
{
	op->mail.next = shard->failed != NULL ? &shard->failed->mail : NULL;
	shard->failed = op;
}

static void
failed_tick(struct shard *shard)
{
	struct op *failed = shard->failed, *op;

	shard->failed = NULL;
	while ((op = failed_pop(&failed)) != NULL) {
		if (op->kind == OP_SYNC)
			sync_again(shard, op);
		else if (op->kind == OP_PAGE)
			home_look_again(shard, op);
		else if (op->kind == OP_PROFILES && op->profiles.names != NULL)
			group_named_again(shard, op);
		else if (op->kind == OP_PROFILES || op->kind == OP_CONTACTS)
			presence_again(shard, op);
		else
			login_again(shard, op);
		op_destroy(&op);
	}
}

/* Sessions of connections that stay open for long do not expire. */
static void
shard_seen(struct shard *shard)
{
	shard->seen_ms = shard->mono_ms;
	for (uint32_t i = 0; i < shard->peer_capacity; i++)
		if (peer_at(shard, i)->attached)
			user_touch(shard, peer_at(shard, i)->user, peer_at(shard, i)->session);
}

void
shard_tick(struct shard *shard)
{
	calls_tick(shard);
	failed_tick(shard);
	if (shard->check_ms != 0 && shard->check_ms <= shard->mono_ms) {
		shard->check_ms = 0;
		sessions_check(shard);
	}
	if (shard->mono_ms - shard->seen_ms >= SEEN_EVERY_MS)
		shard_seen(shard);
	home_convs_tick(shard);
	home_leavings_tick(shard);
	feed_tick(shard);
	peers_settle_all(shard);
	if (shard->cluster != NULL)
		cluster_tick(shard);
}

static void
shard_each_peer(struct shard *shard, void (*each)(struct peer *peer, uint32_t n), uint32_t n)
{
	for (uint32_t i = 0; i < shard->peer_capacity; i++)
		if (peer_there(shard, i) != NULL)
			each(peer_at(shard, i), n);
}

static void
peer_shutdown(struct peer *peer, uint32_t reconnect_ms)
{
	uint32_t spread = reconnect_ms > 0 ? random_below(reconnect_ms) : 0;

	peer->shard->config.out.goaway(peer->out, GOAWAY_SHUTDOWN, reconnect_ms + spread);
}

static void
peer_void_epoch(struct peer *peer, uint32_t reconnect_ms)
{
	peer->shard->config.out.goaway(peer->out, GOAWAY_EPOCH, 1 + random_below(reconnect_ms));
}

void
shard_goaway_wave(struct shard *shard, unsigned wave, unsigned waves, uint32_t reconnect_ms)
{
	assert(wave < waves);
	for (uint32_t i = wave; i < shard->peer_capacity; i += waves)
		if (peer_there(shard, i) != NULL)
			peer_shutdown(peer_at(shard, i), reconnect_ms);
}

void
shard_set_epoch(struct shard *shard, slice epoch)
{
	assert(epoch.len < sizeof(shard->config.epoch));
	if (slice_eq(epoch, slice_str(shard->config.epoch)))
		return;
	memcpy(shard->config.epoch, epoch.ptr, epoch.len);
	shard->config.epoch[epoch.len] = '\0';
	feed_forget(shard);
	home_convs_forget(shard);
	shard_each_peer(shard, peer_void_epoch, 1000);
}

size_t
shard_calls(const struct shard *shard)
{
	return shard->calls_by_id.count;
}

size_t
shard_peers(const struct shard *shard)
{
	return shard->peer_count;
}
