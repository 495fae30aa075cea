/* SPDX-License-Identifier: MIT */
/* Peers: connections that a gate brought, by slot and generation. */
#include "chat/presence.h"

static void
peers_grow(struct shard *shard)
{
	uint32_t old = shard->peer_capacity, capacity = old > 0 ? old * 2 : 64;

	shard->peers = mem_resize(shard->peers, capacity, sizeof(*shard->peers));
	shard->generations = mem_resize(shard->generations, capacity, sizeof(*shard->generations));
	shard->free_slots = mem_resize(shard->free_slots, capacity, sizeof(*shard->free_slots));
	for (uint32_t i = capacity; i-- > old;) {
		shard->peers[i] = NULL;
		shard->generations[i] = 0;
		shard->free_slots[shard->free_count++] = i;
	}
	shard->peer_capacity = capacity;
}

struct peer *
peer_create(struct shard *shard, void *out, unsigned form, slice ip)
{
	struct peer *peer = mem_zalloc(sizeof(*peer));
	uint32_t slot;

	assert(form < FORM_MAX);
	if (shard->free_count == 0)
		peers_grow(shard);
	slot = shard->free_slots[--shard->free_count];
	peer->magic = PEER_MAGIC;
	peer->shard = shard;
	peer->out = out;
	peer->form = (uint8_t)form;
	peer->ip = mem_dup(ip);
	peer->id = (uint64_t)++shard->generations[slot] << 32 | slot;
	list_init(&peer->calls);
	shard->peers[slot] = peer;
	shard->peer_count++;
	return peer;
}

struct peer *
peer_find(struct shard *shard, uint64_t id)
{
	uint32_t slot = (uint32_t)id;
	struct peer *peer = slot < shard->peer_capacity ? shard->peers[slot] : NULL;

	return peer != NULL && peer->id == id ? peer : NULL;
}

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
	while (!list_empty(&peer->calls))
		call_drop(container_of(peer->calls.next, struct call, of_peer));
	send_abandon(peer);
	while (peer->sub_count > 0)
		topic_leave(peer, peer->sub_count - 1);
	presence_forget(peer);
	peer_detach(peer);
	list_remove(&peer->feed_link);
	shard->peers[(uint32_t)peer->id] = NULL;
	shard->free_slots[shard->free_count++] = (uint32_t)peer->id;
	shard->peer_count--;
	mem_free(peer->held);
	asks_destroy(peer);
	mem_free(peer->fresh);
	mem_free(peer->subs);
	mem_free(peer->name);
	mem_free(peer->ip);
	peer->magic = 0;
	mem_free(peer);
	*peer_ptr = NULL;
}

void
peer_retreat(struct peer *peer)
{
	const struct call *call = call_find(peer->shard, peer->entering);

	if (peer->state == PEER_SYNCING && (call == NULL || call->context == NULL)) {
		peer->state = PEER_READY;
		return;
	}
	if (peer->attached) {
		peer_detach(peer);
		mem_free(peer->name);
		peer->name = NULL;
	}
	presence_forget(peer);
	mem_free(peer->held);
	peer->held = NULL;
	peer->state = PEER_NEW;
	peer->user = peer->session = 0;
}

void
peer_drained(struct peer *peer)
{
	OBJ_CHECK(peer, PEER_MAGIC);
	if (peer->behind_count > 0)
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
