/* SPDX-License-Identifier: MIT */
#include "wire/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/panic.h"

enum {
	V1_MAX = 107, /* with its CRLF */
	V2_FIXED = 16,
	V2_IPV4_BYTES = 12,
	V2_IPV6_BYTES = 36,
	V2_LOCAL = 0x20, /* version and command */
	V2_PROXY = 0x21,
	V2_TCP4 = 0x11, /* family and transport */
	V2_TCP6 = 0x21,
};

static void
source_v4(const void *address, unsigned port, struct sockaddr_storage *ret_source)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	memcpy(&sin.sin_addr, address, sizeof(sin.sin_addr));
	*ret_source = (struct sockaddr_storage){0};
	memcpy(ret_source, &sin, sizeof(sin));
}

static void
source_v6(const void *address, unsigned port, struct sockaddr_storage *ret_source)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	memcpy(&sin6.sin6_addr, address, sizeof(sin6.sin6_addr));
	*ret_source = (struct sockaddr_storage){0};
	memcpy(ret_source, &sin6, sizeof(sin6));
}

/* --- Version 1: a line of text --- */

/* The word up to the next space or the end, taken off with that space; false if it is empty. */
static bool
word_take(slice *rest, slice *ret_word)
{
	const char *space = rest->len > 0 ? memchr(rest->ptr, ' ', rest->len) : NULL;
	size_t len = space != NULL ? (size_t)(space - rest->ptr) : rest->len;

	*ret_word = slice_of(rest->ptr, len);
	len += space != NULL;
	*rest = slice_of(rest->ptr + len, rest->len - len);
	return ret_word->len > 0;
}

static bool
port_read(slice text, unsigned *ret_port)
{
	unsigned port = 0;

	if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		port = port * 10 + (unsigned)(text.ptr[i] - '0');
	}
	*ret_port = port;
	return port <= UINT16_MAX;
}

static bool
address_read(int family, slice text, void *ret_address)
{
	char terminated[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(terminated) || memchr(text.ptr, '\0', text.len) != NULL)
		return false;
	memcpy(terminated, text.ptr, text.len);
	terminated[text.len] = '\0';
	return inet_pton(family, terminated, ret_address) == 1;
}

/* Behind "PROXY ", without the CRLF. */
static bool
v1_line(slice line, struct proxy_header *ret_header)
{
	struct proxy_header header = {0};
	struct in6_addr source, destination;
	slice word, from, to, from_port, to_port;
	unsigned port, unused;
	int family;

	if (!word_take(&line, &word))
		return false;
	if (slice_eq(word, S("UNKNOWN"))) {
		*ret_header = (struct proxy_header){.local = true};
		return true;
	}
	if (!slice_eq(word, S("TCP4")) && !slice_eq(word, S("TCP6")))
		return false;
	family = slice_eq(word, S("TCP4")) ? AF_INET : AF_INET6;
	/* The last word is what is left, so that a space behind it is part of it and refused. */
	if (!word_take(&line, &from) || !word_take(&line, &to) || !word_take(&line, &from_port))
		return false;
	to_port = line;
	if (!address_read(family, from, &source) || !address_read(family, to, &destination) ||
	    !port_read(from_port, &port) || !port_read(to_port, &unused))
		return false;
	if (family == AF_INET)
		source_v4(&source, port, &header.source);
	else
		source_v6(&source, port, &header.source);
	*ret_header = header;
	return true;
}

static int
v1_parse(slice in, struct proxy_header *ret_header)
{
	size_t window = in.len < V1_MAX ? in.len : V1_MAX;
	const char *newline = memchr(in.ptr, '\n', window);
	size_t prefix = S("PROXY ").len, len;

	if (newline == NULL)
		return in.len < V1_MAX ? 0 : PROXY_BAD;
	len = (size_t)(newline - in.ptr);
	if (newline[-1] != '\r' ||
	    !v1_line(slice_of(in.ptr + prefix, len - 1 - prefix), ret_header))
		return PROXY_BAD;
	return (int)len + 1;
}

/* --- Version 2: binary --- */

static bool
v2_source(
    unsigned family, const unsigned char *addresses, size_t len, struct proxy_header *ret_header)
{
	struct proxy_header header = {0};

	if (family == V2_TCP4 && len >= V2_IPV4_BYTES)
		source_v4(addresses, (unsigned)addresses[8] << 8 | addresses[9], &header.source);
	else if (family == V2_TCP6 && len >= V2_IPV6_BYTES)
		source_v6(addresses, (unsigned)addresses[32] << 8 | addresses[33], &header.source);
	else
		return false;
	*ret_header = header;
	return true;
}

/* The byte of family and transport: each half is 0 to 3, 0 to 2; others are not to be accepted. */
static bool
v2_family_known(unsigned family)
{
	return family >> 4 <= 3 && (family & 15) <= 2;
}

static int
v2_parse(slice in, struct proxy_header *ret_header)
{
	const unsigned char *at = (const unsigned char *)in.ptr;
	size_t len;

	if (in.len > 12 && at[12] != V2_LOCAL && at[12] != V2_PROXY)
		return PROXY_BAD;
	if (in.len > 13 && !v2_family_known(at[13]))
		return PROXY_BAD;
	if (in.len < V2_FIXED)
		return 0;
	len = (size_t)at[14] << 8 | at[15];
	if (V2_FIXED + len > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (in.len < V2_FIXED + len)
		return 0;
	/* Unix sockets, UDP and what is unspecified don't say where a TCP connection came from. */
	if (at[12] == V2_LOCAL || (at[13] != V2_TCP4 && at[13] != V2_TCP6))
		*ret_header = (struct proxy_header){.local = true};
	else if (!v2_source(at[13], at + V2_FIXED, len, ret_header))
		return PROXY_BAD;
	return (int)(V2_FIXED + len);
}

int
proxy_parse(slice in, struct proxy_header *ret_header)
{
	slice v1 = S("PROXY "), v2 = S("\r\n\r\n\0\r\nQUIT\n");

	if (slice_starts(in, v1))
		return v1_parse(in, ret_header);
	if (slice_starts(in, v2))
		return v2_parse(in, ret_header);
	return slice_starts(v1, in) || slice_starts(v2, in) ? 0 : PROXY_BAD;
}
