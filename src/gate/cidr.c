/* SPDX-License-Identifier: MIT */
#include "gate/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/rate.h"

/* An address as bytes in network order: 4 or 16; bits is how many of them a block fixes. */
struct block {
	unsigned char bytes[16];
	unsigned len, bits;
};

static void
unmap(struct block *b)
{
	static const unsigned char prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (b->len != 16 || b->bits < 96 || memcmp(b->bytes, prefix, sizeof(prefix)) != 0)
		return;
	memmove(b->bytes, b->bytes + 12, 4);
	b->len = 4;
	b->bits -= 96;
}

static bool
parse_bits(const char *text, unsigned max, unsigned *ret_bits)
{
	unsigned bits = 0;

	if (*text == '\0' || strlen(text) > 3)
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		bits = bits * 10 + (unsigned)(*text - '0');
	}
	*ret_bits = bits;
	return bits <= max;
}

static bool
parse_block(const char *text, struct block *ret_block)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct block b = {0};

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, b.bytes) == 1)
		b.len = 4;
	else if (inet_pton(AF_INET6, address, b.bytes) == 1)
		b.len = 16;
	else
		return false;
	b.bits = b.len * 8;
	if (slash != NULL && !parse_bits(slash + 1, b.len * 8, &b.bits))
		return false;
	unmap(&b);
	*ret_block = b;
	return true;
}

static bool
from_address(const struct sockaddr_storage *address, struct block *ret_block)
{
	struct block b = {0};

	if (address->ss_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, address, sizeof(in));
		memcpy(b.bytes, &in.sin_addr, 4);
		b.len = 4;
	} else if (address->ss_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, address, sizeof(in6));
		memcpy(b.bytes, &in6.sin6_addr, 16);
		b.len = 16;
	} else {
		return false;
	}
	b.bits = b.len * 8;
	unmap(&b);
	*ret_block = b;
	return true;
}

static bool
contains(const struct block *block, const struct block *address)
{
	unsigned whole = block->bits / 8, rest = block->bits % 8;

	if (block->len != address->len || memcmp(block->bytes, address->bytes, whole) != 0)
		return false;
	return rest == 0 || (block->bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

bool
cidr_valid(const char *block)
{
	struct block b;

	return parse_block(block, &b);
}

bool
cidr_any(const char *const *blocks, const struct sockaddr_storage *address)
{
	struct block block, is;

	if (blocks == NULL || !from_address(address, &is))
		return false;
	for (; *blocks != NULL; blocks++)
		if (parse_block(*blocks, &block) && contains(&block, &is))
			return true;
	return false;
}

bool
cidr_loopback(const struct sockaddr_storage *address)
{
	static const char *const loopback[] = {"127.0.0.0/8", "::1", NULL};

	return address->ss_family == AF_UNIX || cidr_any(loopback, address);
}

uint64_t
cidr_source(const struct sockaddr_storage *address)
{
	struct block is;

	if (!from_address(address, &is))
		return 0;
	return rate_key(is.len, slice_of((const char *)is.bytes, is.len == 4 ? 4 : 8));
}

const char *
cidr_text(const struct sockaddr_storage *address, char ret_text[CIDR_TEXT_BYTES])
{
	struct block b;

	if (!from_address(address, &b) ||
	    inet_ntop(b.len == 4 ? AF_INET : AF_INET6, b.bytes, ret_text, CIDR_TEXT_BYTES) == NULL)
		memcpy(ret_text, "local", sizeof("local"));
	return ret_text;
}
