/* SPDX-License-Identifier: MIT */
/* Peers: connections that a gate brought, by slot and generation. */
#include "chat/presence.h"

static void
peers_grow(struct shard *shard)
{
	uint32_t chunks = shard->peer_capacity / PEERS_OF_CHUNK;
	struct peer_chunk *chunk = mem_zalloc(sizeof(*chunk));

	shard->peers = mem_resize(shard->peers, chunks + 1, sizeof(struct peer_chunk *));
	shard->peers[chunks] = chunk;
	for (uint32_t i = PEERS_OF_CHUNK; i-- > 0;) {
		chunk->peers[i].id = shard->peer_capacity + i;
		chunk->peers[i].out = shard->free_peers;
		shard->free_peers = &chunk->peers[i];
	}
	shard->peer_capacity += PEERS_OF_CHUNK;
}

void
peers_destroy(struct shard *shard)
{
	for (uint32_t i = 0; i < shard->peer_capacity / PEERS_OF_CHUNK; i++)
		mem_free(shard->peers[i]);
	mem_free(shard->peers);
}

struct peer *
peer_create(struct shard *shard, void *out, unsigned form, slice ip)
{
	struct peer *peer;

	assert(form < FORM_MAX);
	if (shard->free_peers == NULL)
		peers_grow(shard);
	peer = shard->free_peers;
	shard->free_peers = peer->out;
	*peer = (struct peer){
	    .magic = PEER_MAGIC,
	    .shard = shard,
	    .out = out,
	    .form = (uint8_t)form,
	    .id = peer->id + ((uint64_t)1 << 32),
	};
	peer_busy(peer)->ip = mem_dup(ip);
	shard->peer_count++;
	return peer;
}

struct peer *
peer_find(struct shard *shard, uint64_t id)
{
	uint32_t slot = (uint32_t)id;
	struct peer *peer = slot < shard->peer_capacity ? peer_there(shard, slot) : NULL;

	return peer != NULL && peer->id == id ? peer : NULL;
}

void
peer_set_name(struct peer *peer, slice name)
{
	if (peer->name_far)
		mem_free(peer->name.far);
	peer->name_far = name.len >= sizeof(peer->name.near);
	if (peer->name_far) {
		peer->name.far = mem_dup(name);
	} else {
		memset(peer->name.near, 0, sizeof(peer->name.near));
		memcpy(peer->name.near, name.ptr, name.len);
	}
}

/* --- What it needs while it is not idle --- */

struct busy *
peer_busy(struct peer *peer)
{
	struct busy *busy = peer->busy;

	if (busy != NULL)
		return busy;
	busy = peer->busy = mem_zalloc(sizeof(*busy));
	busy->peer = peer;
	list_push_back(&peer->shard->busy, &busy->link);
	return busy;
}

static bool
is_idle(const struct busy *busy)
{
	return (busy->peer->state == PEER_READY || busy->peer->state == PEER_SYNCED) &&
	       busy->ip == NULL && busy->apart_count == 0 && !list_linked(&busy->feed_link) &&
	       busy->ask_count == 0 && busy->held == NULL;
}

static void
busy_destroy(struct peer *peer)
{
	struct busy *busy = peer->busy;

	if (busy == NULL)
		return;
	mem_free(busy->held);
	asks_destroy(peer);
	list_remove(&busy->link);
	list_remove(&busy->feed_link);
	mem_free(busy->aparts);
	mem_free(busy->ip);
	mem_free(busy);
	peer->busy = NULL;
}

void
peer_settle_soon(struct peer *peer)
{
	if (peer->busy == NULL)
		return;
	list_remove(&peer->busy->link);
	list_push_back(&peer->shard->settling, &peer->busy->link);
}

void
peers_settle(struct shard *shard)
{
	struct list *link;

	while ((link = list_pop(&shard->settling)) != NULL) {
		struct busy *busy = container_of(link, struct busy, link);

		list_push_back(&shard->busy, link);
		if (is_idle(busy))
			busy_destroy(busy->peer);
	}
}

void
peers_settle_all(struct shard *shard)
{
	for (struct list *at = shard->busy.next, *next; at != &shard->busy; at = next) {
		next = at->next;
		peer_settle_soon(container_of(at, struct busy, link)->peer);
	}
	peers_settle(shard);
}

/* --- Their end --- */

static void
peer_detach(struct peer *peer)
{
	struct user_mail *mail;

	if (!peer->attached)
		return;
	mail = user_mail_create(peer->shard, MAIL_DETACH, peer->user);
	mail->peer = peer->id;
	mail->session = peer->session;
	shard_post(peer->shard, shard_of(peer->shard, peer->user), &mail->mail);
	peer->attached = false;
	gauge_add(GAUGE_SESSIONS, -1);
}

void
peer_destroy(struct peer **peer_ptr)
{
	struct peer *peer = *peer_ptr;
	struct shard *shard;

	if (peer == NULL)
		return;
	OBJ_CHECK(peer, PEER_MAGIC);
	shard = peer->shard;
	while (peer->calls != NULL)
		call_drop(peer->calls);
	send_abandon(peer);
	while (peer->sub_count > 0)
		topic_leave(peer, peer->sub_count - 1);
	presence_forget(peer);
	peer_detach(peer);
	busy_destroy(peer);
	mem_free(peer->subs);
	peer_set_name(peer, S(""));
	peer->magic = 0;
	peer->out = shard->free_peers;
	shard->free_peers = peer;
	shard->peer_count--;
	*peer_ptr = NULL;
}

void
peer_retreat(struct peer *peer)
{
	const struct call *call = call_find(peer->shard, peer_entering(peer));

	if (peer->state == PEER_SYNCING && (call == NULL || call->context == NULL)) {
		peer->state = PEER_READY;
		return;
	}
	if (peer->attached) {
		peer_detach(peer);
		peer_set_name(peer, S(""));
	}
	presence_forget(peer);
	if (peer->busy != NULL) {
		mem_free(peer->busy->held);
		peer->busy->held = NULL;
	}
	peer->state = PEER_NEW;
	peer->user = peer->session = 0;
}

void
peer_drained(struct peer *peer)
{
	OBJ_CHECK(peer, PEER_MAGIC);
	if (peer->busy != NULL && peer->busy->behind_count > 0)
		feed_peer_soon(peer);
	presence_catch_up(peer);
}

bool
peer_logged_in(const struct peer *peer)
{
	return peer->state >= PEER_READY;
}

bool
peer_revoked(const struct peer *peer)
{
	return peer->revoked;
}

bool
peer_check(struct call *call)
{
	struct peer *peer = call->peer;

	if (peer->revoked)
		call_fail(call, ERR_SESSION_REVOKED);
	else if (!peer_logged_in(peer))
		call_fail(call, ERR_NOT_LOGGED_IN);
	else
		return true;
	return false;
}

void
peer_end(struct peer *peer)
{
	peer->revoked = true;
	while (peer->sub_count > 0)
		topic_leave(peer, peer->sub_count - 1);
	presence_forget(peer);
}

void
peer_kill(struct peer *peer, enum goaway reason)
{
	if (peer->revoked)
		return;
	peer_end(peer);
	peer->shard->config.out.goaway(peer->out, reason, 0);
}

bool
peer_event(struct peer *peer, const struct event *event, bool must)
{
	const struct chat_out *out = &peer->shard->config.out;
	struct run *run = out->encode(out->gate, peer->form, event);
	enum chat_queued queued = out->queue(peer->out, run, 0, run->len, must);

	run_unref(run);
	return queued == CHAT_QUEUED;
}
