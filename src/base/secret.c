/* SPDX-License-Identifier: MIT */
#include "base/secret.h"

#include <sodium.h>

#include "base/panic.h"

static void
sodium_ready(void)
{
	if (sodium_init() < 0)
		panic("libsodium does not start");
}

void
random_bytes(void *ret, size_t len)
{
	sodium_ready();
	randombytes_buf(ret, len);
}

uint64_t
random_id(void)
{
	uint64_t id;

	do {
		random_bytes(&id, sizeof(id));
		id >>= 11;
	} while (id == 0);
	return id;
}

uint32_t
random_below(uint32_t bound)
{
	assert(bound > 0);
	sodium_ready();
	return randombytes_uniform(bound);
}

void
token_make(char ret_text[TOKEN_TEXT_BYTES])
{
	unsigned char bits[32];
	char text[TOKEN_TEXT_BYTES + 1];

	random_bytes(bits, sizeof(bits));
	if (sodium_bin2base64(text, sizeof(text), bits, sizeof(bits),
		sodium_base64_VARIANT_URLSAFE_NO_PADDING) == NULL)
		panic("a token does not fit its text");
	memcpy(ret_text, text, TOKEN_TEXT_BYTES);
}

void
secret_hash(slice secret, unsigned char ret_hash[SECRET_HASH_BYTES])
{
	sodium_ready();
	(void)crypto_generichash(
	    ret_hash, SECRET_HASH_BYTES, (const unsigned char *)secret.ptr, secret.len, NULL, 0);
}

void
secret_mac(
    slice bytes, const unsigned char key[SECRET_KEY_BYTES], unsigned char ret_mac[SECRET_MAC_BYTES])
{
	sodium_ready();
	(void)crypto_generichash(ret_mac, SECRET_MAC_BYTES, (const unsigned char *)bytes.ptr,
	    bytes.len, key, SECRET_KEY_BYTES);
}

bool
secret_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

void
secret_wipe(void *bytes, size_t len)
{
	sodium_memzero(bytes, len);
}
