/* SPDX-License-Identifier: MIT */
#include "chat/rates.h"

#include "chat/internal.h"

enum {
	SCOPE_KNOWN_ADDRESS = RATE_SCOPES, /* in the memory */
	SCOPE_KNOWN_TOKEN,
	KNOWN_DAYS = 30,
};
#define DAY_NS ((uint64_t)24 * 3600 * 1000000000)

static_assert(
    STAT_RATE_REGISTER - STAT_RATE_SESSION == RATE_SCOPES - 1, "a counter for each scope");

static void
toll_add(struct toll *toll, enum rate_scope scope, uint64_t key)
{
	assert(toll->count < LEN(toll->keys));
	toll->scopes[toll->count] = (uint8_t)scope;
	toll->keys[toll->count++] = key;
}

static void
give_back(struct shard *shard, const struct toll *toll, unsigned count, uint32_t cost)
{
	for (unsigned i = 0; i < count; i++)
		rate_give(shard->config.buckets, &shard->config.limits.rates[toll->scopes[i]],
		    toll->keys[i], cost, shard->mono_ns);
}

/* The bucket `at` does not hold enough, those before it did: the one that keeps waiting longest is told. */
static struct fault
refused(struct shard *shard, const struct toll *toll, unsigned at, uint32_t cost, uint32_t wait)
{
	const struct rate *rates = shard->config.limits.rates;
	unsigned scope = toll->scopes[at];

	give_back(shard, toll, at, cost);
	for (unsigned i = at + 1; i < toll->count; i++) {
		uint32_t another = rate_wait(shard->config.buckets, &rates[toll->scopes[i]],
		    toll->keys[i], cost, shard->mono_ns);

		if (another > wait) {
			wait = another;
			scope = toll->scopes[i];
		}
	}
	stat_add((enum stat_counter)(STAT_RATE_SESSION + scope), 1);
	return (struct fault){.err = ERR_RATE_LIMITED, .retry_after_ms = wait};
}

struct fault
toll_pay(struct shard *shard, const struct toll *toll, uint32_t cost)
{
	assert(cost <= LIMIT_RATE_DEBT);
	for (unsigned i = 0; i < toll->count; i++) {
		uint32_t wait =
		    rate_take(shard->config.buckets, &shard->config.limits.rates[toll->scopes[i]],
			toll->keys[i], cost, shard->mono_ns);

		if (wait > 0)
			return refused(shard, toll, i, cost, wait);
	}
	return (struct fault){0};
}

void
toll_refund(struct shard *shard, struct toll *toll)
{
	give_back(shard, toll, toll->count, 1);
	toll->count = 0;
}

static bool
is_limited(const struct shard *shard, uint64_t source)
{
	return source != 0 && shard->config.buckets != NULL;
}

/* --- Requests --- */

void
peer_set_source(struct peer *peer, uint64_t source)
{
	peer->source = source;
}

struct fault
chat_spend(struct peer *peer, uint32_t cost)
{
	struct toll toll = {0};

	if (!is_limited(peer->shard, peer->source))
		return (struct fault){0};
	toll_add(&toll, RATE_ADDRESS, rate_key_u64(RATE_ADDRESS, peer->source));
	if (peer_logged_in(peer)) {
		toll_add(&toll, RATE_USER, rate_key_u64(RATE_USER, peer->user));
		toll_add(&toll, RATE_SESSION, rate_key_u64(RATE_SESSION, peer->session));
	}
	return toll_pay(peer->shard, &toll, cost);
}

struct fault
chat_spend_source(struct shard *shard, uint64_t source, uint32_t cost)
{
	struct toll toll = {0};

	if (is_limited(shard, source))
		toll_add(&toll, RATE_ADDRESS, rate_key_u64(RATE_ADDRESS, source));
	return toll_pay(shard, &toll, cost);
}

/* --- Logins --- */

/* The address and the user together. */
static uint64_t
pair_key(unsigned scope, uint64_t source, slice name)
{
	uint64_t words[2] = {source, rate_key(scope, name)};

	return rate_key(scope, slice_of((const char *)words, sizeof(words)));
}

struct toll
toll_password(const struct peer *peer, slice name)
{
	struct toll toll = {0};

	if (is_limited(peer->shard, peer->source))
		toll_add(&toll, RATE_LOGIN, pair_key(RATE_LOGIN, peer->source, name));
	return toll;
}

struct toll
toll_login(const struct peer *peer, slice name)
{
	const struct shard *shard = peer->shard;
	struct toll toll = toll_password(peer, name);
	uint64_t known = pair_key(SCOPE_KNOWN_ADDRESS, peer->source, name);

	if (toll.count == 0 || rate_remembers(shard->config.known, known, shard->mono_ns))
		return toll;
	toll_add(&toll, RATE_LOGIN_ADDRESS, rate_key_u64(RATE_LOGIN_ADDRESS, peer->source));
	toll_add(&toll, RATE_LOGIN_USER, rate_key(RATE_LOGIN_USER, name));
	return toll;
}

struct toll
toll_resume(const struct peer *peer, slice token)
{
	const struct shard *shard = peer->shard;
	struct toll toll = {0};

	if (is_limited(shard, peer->source) &&
	    !rate_remembers(
		shard->config.known, rate_key(SCOPE_KNOWN_TOKEN, token), shard->mono_ns))
		toll_add(&toll, RATE_RESUME, rate_key_u64(RATE_RESUME, peer->source));
	return toll;
}

struct toll
toll_register(const struct peer *peer)
{
	struct toll toll = {0};

	if (is_limited(peer->shard, peer->source))
		toll_add(&toll, RATE_REGISTER, rate_key_u64(RATE_REGISTER, peer->source));
	return toll;
}

void
rates_remember(const struct peer *peer, slice name, slice token)
{
	const struct shard *shard = peer->shard;
	uint64_t until = shard->mono_ns + KNOWN_DAYS * DAY_NS;

	if (!is_limited(shard, peer->source))
		return;
	rate_remember(
	    shard->config.known, pair_key(SCOPE_KNOWN_ADDRESS, peer->source, name), until);
	rate_remember(shard->config.known, rate_key(SCOPE_KNOWN_TOKEN, token), until);
}
