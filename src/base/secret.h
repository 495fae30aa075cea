/* SPDX-License-Identifier: MIT */
/* Random numbers, tokens and their hashes, on libsodium.  Any thread. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/slice.h"

enum {
	TOKEN_TEXT_BYTES = 43,  /* 256 random bits in base64url without padding (RFC 4648 §5) */
	SECRET_HASH_BYTES = 32, /* BLAKE2b-256 */
	SECRET_KEY_BYTES = 32,
	SECRET_MAC_BYTES = 16,
};

void random_bytes(void *ret, size_t len);
/* Uniform in 1 … 2^53 - 1: an identifier that every client can hold in a double. */
uint64_t random_id(void);
/* Uniform in 0 … bound - 1; bound > 0. */
uint32_t random_below(uint32_t bound);
/* A new token; not terminated. */
void token_make(char ret_text[TOKEN_TEXT_BYTES]);
/* What is stored instead of a token or key. */
void secret_hash(slice secret, unsigned char ret_hash[SECRET_HASH_BYTES]);
/* Proves to whoever has the key that the bytes come from one who has it (BLAKE2b, keyed). */
void secret_mac(slice bytes, const unsigned char key[SECRET_KEY_BYTES],
    unsigned char ret_mac[SECRET_MAC_BYTES]);
/* Compares in a time that does not tell where they differ. */
bool secret_equal(const void *a, const void *b, size_t len);
/* Overwrites what is no longer needed. */
void secret_wipe(void *bytes, size_t len);

#endif
