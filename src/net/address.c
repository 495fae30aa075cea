/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "net/net_internal.h"

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* sockaddr_storage is copied out and in, never cast: no question of aliasing arises. */
void
peer_set(struct peer *peer, const struct sockaddr_storage *address)
{
	*peer = (struct peer) {0};
	if (address->ss_family == AF_INET) {
		struct sockaddr_in in4;

		memcpy(&in4, address, sizeof(in4));
		memcpy(peer->ip, &in4.sin_addr, 4);
		peer->port = ntohs(in4.sin_port);
		peer->version = 4;
	} else if (address->ss_family == AF_INET6) {
		struct sockaddr_in6 in6;
		bool mapped;

		memcpy(&in6, address, sizeof(in6));
		/* A socket on "*" gives IPv4 peers as ::ffff:a.b.c.d; nobody else shall have to know. */
		mapped = memcmp(&in6.sin6_addr, mapped_prefix, sizeof(mapped_prefix)) == 0;
		if (mapped)
			memcpy(peer->ip, in6.sin6_addr.s6_addr + 12, 4);
		else
			memcpy(peer->ip, &in6.sin6_addr, 16);
		peer->port = ntohs(in6.sin6_port);
		peer->version = mapped ? 4 : 6;
	}
}

void
peer_get(const struct peer *peer, struct sockaddr_storage *ret_address)
{
	*ret_address = (struct sockaddr_storage) { .ss_family = AF_UNSPEC };
	if (peer->version == 4) {
		struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(peer->port) };

		memcpy(&in4.sin_addr, peer->ip, 4);
		memcpy(ret_address, &in4, sizeof(in4));
	} else if (peer->version == 6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(peer->port) };

		memcpy(&in6.sin6_addr, peer->ip, 16);
		memcpy(ret_address, &in6, sizeof(in6));
	}
}

static int
port_parse(const char *text, in_port_t *ret_port)
{
	unsigned port = 0;
	size_t digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
		port = port * 10 + (unsigned)(text[digits] - '0');
	if (digits == 0 || text[digits] != '\0' || port > 65535)
		return -1;
	*ret_port = htons((uint16_t)port);
	return 0;
}

static int
host_parse(const char *host, struct sockaddr_in *ret_in4, struct sockaddr_in6 *ret_in6)
{
	size_t len = strlen(host);
	char inner[INET6_ADDRSTRLEN];

	*ret_in4 = (struct sockaddr_in) { .sin_family = AF_INET };
	*ret_in6 = (struct sockaddr_in6) { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	if (strcmp(host, "*") == 0)
		return AF_INET6;
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &ret_in4->sin_addr) == 1)
		return AF_INET;
	if (len < 4 || host[0] != '[' || host[len - 1] != ']' || len - 2 >= sizeof(inner))
		return AF_UNSPEC;
	memcpy(inner, host + 1, len - 2);
	inner[len - 2] = '\0';
	return inet_pton(AF_INET6, inner, &ret_in6->sin6_addr) == 1 ? AF_INET6 : AF_UNSPEC;
}

int
address_parse(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	in_port_t port;
	int family = AF_UNSPEC;

	if (colon != NULL && (size_t)(colon - text) < sizeof(host) &&
	    port_parse(colon + 1, &port) == 0) {
		memcpy(host, text, (size_t)(colon - text));
		host[colon - text] = '\0';
		family = host_parse(host, &in4, &in6);
	}
	*ret_address = (struct sockaddr_storage) {0};
	if (family == AF_INET) {
		in4.sin_port = port;
		memcpy(ret_address, &in4, *ret_len = sizeof(in4));
	} else if (family == AF_INET6) {
		in6.sin6_port = port;
		memcpy(ret_address, &in6, *ret_len = sizeof(in6));
	} else {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

void
address_print(const struct sockaddr_storage *address, char *ret_text, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (address->ss_family == AF_INET) {
		memcpy(&in4, address, sizeof(in4));
		(void)inet_ntop(AF_INET, &in4.sin_addr, ip, sizeof(ip));
		(void)snprintf(ret_text, size, "%s:%u", ip, ntohs(in4.sin_port));
	} else if (address->ss_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		(void)inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof(ip));
		if (memcmp(&in6.sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0)
			(void)snprintf(ret_text, size, "*:%u", ntohs(in6.sin6_port));
		else
			(void)snprintf(ret_text, size, "[%s]:%u", ip, ntohs(in6.sin6_port));
	} else {
		(void)snprintf(ret_text, size, "?");
	}
}
