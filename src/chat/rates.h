/* SPDX-License-Identifier: MIT */
/*
 * Rate limits: how much may be asked for, and how often passwords may be tried.  All shards share one
 * table of buckets (base/rate.h), so that it does not matter on which shard somebody is.
 *
 * Requests cost what they weigh: their session, their user and their address pay.  Attempts to log in
 * are paid for before a password is looked at, and paid back unless it was wrong:
 *   - by the address for that user: one source guesses slowly, whatever the user's other addresses do;
 *   - by the address, and by the user's name: guesses spread over users, or over addresses.
 * The last two are not asked of an address from which that user has logged in lately, so that nobody
 * can lock him out; a token is good in any case.  Names are not looked up: unknown ones cost the same.
 */
#ifndef CHAT_RATES_H
#define CHAT_RATES_H

#include "base/rate.h"
#include "chat/error.h"

struct shard;
struct peer;

/* Each has its bucket for each of whom it limits, and its counter (STAT_RATE_…). */
enum rate_scope {
	RATE_SESSION,
	RATE_USER,
	RATE_ADDRESS,
	RATE_LOGIN, /* wrong passwords: an address for a user */
	RATE_LOGIN_ADDRESS,
	RATE_LOGIN_USER,
	RATE_RESUME,   /* wrong tokens, by address */
	RATE_REGISTER, /* registrations, by address */
	RATE_SCOPES
};

/* What is paid from: at most three buckets. */
struct toll {
	uint8_t count, scopes[3];
	uint64_t keys[3];
};

/* Takes the cost from all of them.  ERR_OK; or RATE_LIMITED, and nothing was taken. */
struct fault toll_pay(struct shard *shard, const struct toll *toll, uint32_t cost);
/* Puts a cost of 1 back, and empties the toll, so that it is paid back once. */
void toll_refund(struct shard *shard, struct toll *toll);

/* What an attempt of this kind costs; nothing where the peer is not limited. */
struct toll toll_login(const struct peer *peer, slice name);
struct toll toll_password(const struct peer *peer, slice name);
struct toll toll_register(const struct peer *peer);
struct toll toll_resume(const struct peer *peer, slice token);
/* He is in: the address and the token are known for a while. */
void rates_remember(const struct peer *peer, slice name, slice token);

#endif
