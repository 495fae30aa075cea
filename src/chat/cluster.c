/* SPDX-License-Identifier: MIT */
/*
 * What nodes tell each other: the homes of conversations and users say to the same homes elsewhere
 * what they are told themselves.
 *
 *   home ─ cluster_ring ─ bus ─ (another node) ─ RING to the same home ─ handled as if said here
 *
 * A channel that is opened, a bus that lost something, and every now and then, lead to the store:
 * the heads of the conversations that somebody listens to are read (many at once, one reading under
 * way), sessions are looked at, and of users the memberships read again, so many in a second.
 */
#include "chat/cluster.h"

enum check { CHECK_MEMBER = 1, CHECK_SESSIONS = 2 };

void
cluster_create(struct shard *shard)
{
	struct cluster *cluster = mem_zalloc(sizeof(*cluster));

	shard->cluster = cluster;
	afar_create(shard);
}

void
cluster_destroy(struct shard *shard)
{
	struct cluster *cluster = shard->cluster;

	if (cluster == NULL)
		return;
	afar_destroy(shard);
	map_fini(&cluster->polls);
	map_fini(&cluster->checks);
	buf_fini(&cluster->ring);
	mem_free(cluster);
	shard->cluster = NULL;
}

static void
map_mark(struct map *map, uint64_t key, uintptr_t value)
{
	map_put(map, key, (void *)((uintptr_t)map_get(map, key) | value));
}

/* --- Telling --- */

void
cluster_ring(struct shard *shard, enum ring_scope scope, uint64_t id, const struct mail *mail)
{
	struct cluster *cluster = shard->cluster;

	if (cluster == NULL)
		return;
	buf_clear(&cluster->ring);
	ring_encode(&cluster->ring, mail);
	shard->config.ports.ring(shard->config.ports.cookie, scope, id, buf_slice(&cluster->ring));
	if (cluster->ring.capacity > 2 * LIMIT_RING_BYTES)
		buf_fini(&cluster->ring);
}

void
cluster_tell(struct shard *shard, enum ring_scope scope, uint64_t id, struct mail *mail)
{
	cluster_ring(shard, scope, id, mail);
	shard_post(shard, shard_of(shard, id), mail);
}

void
cluster_interest(struct shard *shard, enum ring_scope scope, uint64_t id, bool wanted)
{
	if (shard->cluster != NULL)
		shard->config.ports.interest(shard->config.ports.cookie, scope, id, wanted);
}

bool
cluster_contact_is_old(struct shard *shard, uint64_t user, uint64_t other, uint64_t order)
{
	struct contact_heard *heard;

	if (shard->cluster == NULL || order == 0)
		return false;
	heard = &shard->cluster->contacts[hash_u64(user ^ hash_u64(other)) % LIMIT_CONTACTS_HEARD];
	if (heard->user == user && heard->other == other && heard->order > order &&
	    shard->mono_ms - heard->at_ms < CONTACT_HEARD_MS)
		return true;
	*heard = (struct contact_heard){user, other, order, shard->mono_ms};
	return false;
}

/* --- Mail from the bus --- */

static struct ring_mail *
ring_mail(enum mail_kind kind, slice node, slice bytes)
{
	struct ring_mail *mail = mem_alloc(sizeof(*mail) + bytes.len);

	*mail = (struct ring_mail){.mail.kind = kind, .len = bytes.len};
	(void)snprintf(mail->node, sizeof(mail->node), "%.*s", SLICE_ARG(node));
	if (bytes.len > 0)
		memcpy(mail->bytes, bytes.ptr, bytes.len);
	return mail;
}

struct mail *
ring_heard(enum ring_scope scope, uint64_t id, slice node, slice bytes)
{
	struct ring_mail *mail = ring_mail(MAIL_RING, node, bytes);

	mail->scope = scope;
	mail->id = id;
	return &mail->mail;
}

struct mail *
ring_opened(enum ring_scope scope, uint64_t id)
{
	struct ring_mail *mail = ring_mail(MAIL_RING_OPENED, SLICE_NONE, SLICE_NONE);

	mail->scope = scope;
	mail->id = id;
	return &mail->mail;
}

struct mail *
ring_lost(void)
{
	return &ring_mail(MAIL_RING_LOST, SLICE_NONE, SLICE_NONE)->mail;
}

struct mail *
ring_node(slice node, bool up)
{
	struct ring_mail *mail = ring_mail(MAIL_RING_NODE, node, SLICE_NONE);

	mail->up = up;
	return &mail->mail;
}

void
cluster_heard(struct shard *shard, struct ring_mail *ring)
{
	struct mail *mail = NULL;

	if (shard->cluster != NULL)
		mail = ring_decode(ring->scope, ring->id, slice_of(ring->bytes, ring->len));
	if (mail != NULL && mail->kind == MAIL_AFAR)
		memcpy(((struct afar_mail *)(void *)mail)->node, ring->node, sizeof(ring->node));
	if (mail != NULL && mail->kind == MAIL_REVOKE)
		((struct user_mail *)(void *)mail)->at_ns = shard->mono_ns;
	mem_free(ring);
	if (mail == NULL) {
		stat_add(STAT_RINGS_BAD, 1);
		return;
	}
	mail->next = NULL;
	if (mail->kind == MAIL_MARK) {
		read_mark_heard(shard, (struct mark_mail *)(void *)mail);
		mem_free(mail);
	} else {
		shard_deliver(shard, mail);
	}
}

void
cluster_opened(struct shard *shard, struct ring_mail *ring)
{
	struct cluster *cluster = shard->cluster;

	if (cluster != NULL && ring->scope == RING_CONV)
		map_mark(&cluster->polls, ring->id, 1);
	else if (cluster != NULL && ring->scope == RING_USER)
		map_mark(&cluster->checks, ring->id, CHECK_MEMBER | CHECK_SESSIONS);
	mem_free(ring);
}

static void
lost_note(struct shard *shard)
{
	shard->cluster->lost = true;
	shard->cluster->lost_ns = shard->mono_ns;
}

void
cluster_lost(struct shard *shard, struct ring_mail *ring)
{
	if (shard->cluster != NULL)
		lost_note(shard);
	mem_free(ring);
}

bool
cluster_doubts(const struct shard *shard, uint64_t at_ns)
{
	return shard->cluster != NULL && at_ns <= shard->cluster->lost_ns;
}

void
cluster_node(struct shard *shard, struct ring_mail *ring)
{
	if (shard->cluster != NULL) {
		/* What it committed last it may not have told. */
		if (!ring->up)
			lost_note(shard);
		afar_node(shard, slice_str(ring->node), ring->up);
	}
	mem_free(ring);
}

/* --- Heads --- */

static void
poll_want(struct shard *shard, uint64_t cid)
{
	map_mark(&shard->cluster->polls, cid, 1);
}

/* The map's keys, up to `max`, into memory of the operation; they are taken out of the map. */
static size_t
keys_take(struct map *map, uint64_t *keys, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < map->capacity && count < max; i++)
		if (map->slots[i].value != NULL)
			keys[count++] = map->slots[i].key;
	for (size_t i = 0; i < count; i++)
		(void)map_remove(map, keys[i]);
	return count;
}

static void
polls_submit(struct shard *shard)
{
	struct cluster *cluster = shard->cluster;
	size_t want = cluster->polls.count < LIMIT_HEADS ? cluster->polls.count : LIMIT_HEADS;
	uint64_t *cids;
	struct op *op;

	if (want == 0 || cluster->polling || cluster->poll_failed)
		return;
	op = op_create(OP_HEADS);
	cids = op_alloc(op, want * sizeof(*cids));
	op->heads.cids = cids;
	op->heads.want = keys_take(&cluster->polls, cids, want);
	cluster->polling = true;
	stat_add(STAT_HEADS_POLLED, op->heads.want);
	shard_submit(shard, op);
}

void
cluster_polled(struct shard *shard, struct op *op)
{
	struct cluster *cluster = shard->cluster;

	cluster->polling = false;
	cluster->poll_failed = op->fault.err != ERR_OK;
	for (size_t i = 0; cluster->poll_failed && i < op->heads.want; i++)
		poll_want(shard, op->heads.cids[i]);
	if (!cluster->poll_failed)
		home_polled(shard, op);
	op_destroy(&op);
}

/* --- Users --- */

void
cluster_check(struct shard *shard, uint64_t user)
{
	map_mark(&shard->cluster->checks, user, CHECK_MEMBER);
}

/* What he set is read with his memberships. */
static void
user_check(struct shard *shard, uint64_t user, uintptr_t check)
{
	struct home_user *home = map_get(&shard->home_users, user);
	struct user_mail *mail;

	if (home == NULL || home->count == 0)
		return;
	home->known = false;
	if ((check & CHECK_SESSIONS) != 0) {
		mail = user_mail_create(shard, MAIL_VERIFY, user);
		shard_post(shard, shard->config.index, &mail->mail);
	}
	mail = user_mail_create(shard, MAIL_ANNOUNCE, user);
	shard_post(shard, shard->config.index, &mail->mail);
}

static void
checks_run(struct shard *shard)
{
	struct map *checks = &shard->cluster->checks;
	uint64_t users[LIMIT_CHECKS];
	uintptr_t what[LIMIT_CHECKS];
	size_t count = 0;

	for (size_t i = 0; i < checks->capacity && count < LEN(users); i++) {
		if (checks->slots[i].value == NULL)
			continue;
		what[count] = (uintptr_t)checks->slots[i].value;
		users[count++] = checks->slots[i].key;
	}
	for (size_t i = 0; i < count; i++) {
		(void)map_remove(checks, users[i]);
		user_check(shard, users[i], what[i]);
	}
}

/* Some each second in turn, against what was lost without anybody's knowing. */
static void
rota_run(struct shard *shard)
{
	for (unsigned i = 0; i < LIMIT_CHECKS_AT_REST; i++) {
		struct home_user *home = map_next(&shard->home_users, &shard->cluster->rota);

		if (home == NULL)
			shard->cluster->rota = 0;
		else
			user_check(shard, home->user, CHECK_MEMBER);
	}
}

static void
users_check_all(struct shard *shard)
{
	const struct home_user *home;

	for (size_t at = 0; (home = map_next(&shard->home_users, &at)) != NULL;)
		if (home->count > 0)
			cluster_check(shard, home->user);
}

/* --- The clock --- */

void
cluster_turn(struct shard *shard)
{
	polls_submit(shard);
	afar_turn(shard);
}

void
cluster_tick(struct shard *shard)
{
	struct cluster *cluster = shard->cluster;
	bool slow = shard->mono_ms >= cluster->slow_ms;

	cluster->poll_failed = false;
	if (cluster->lost || slow) {
		home_convs_heard(shard, poll_want);
		/* And once more, for logins that are on their way. */
		shard_check_sessions(shard);
		cluster->slow_ms =
		    shard->mono_ms + SLOW_POLL_MIN_MS + random_below(SLOW_POLL_SPREAD_MS);
	}
	if (cluster->lost)
		users_check_all(shard);
	cluster->lost = false;
	if (cluster->checks.count > 0)
		checks_run(shard);
	else
		rota_run(shard);
	afar_tick(shard);
}
