/* SPDX-License-Identifier: MIT */
/* The listening sockets: opened, taken over from whoever was here before, handed on. */
#include "server/listen.h"

#include <errno.h>
#include <unistd.h>

#include "base/panic.h"
#include "server/server_internal.h"

static const char *
listen_advice(int err)
{
	switch (err) {
	case EADDRINUSE:
		return "; another program, perhaps another confabd, has this port: stop it, or "
		       "choose another with "
		       "--listen ADDR:PORT";
	case EADDRNOTAVAIL:
		return "; this machine has no such address: choose one that `ip address` shows, or "
		       "* for all";
	case EACCES:
	case EPERM:
		return "; ports below 1024 are root's: choose another, or grant "
		       "CAP_NET_BIND_SERVICE";
	default:
		return "";
	}
}

static int
cannot(const char *address, char *ret_error, size_t error_size)
{
	(void)snprintf(ret_error, error_size, "cannot listen on %s: %s%s", address, strerror(errno),
	    listen_advice(errno));
	return -1;
}

/* fd: a socket that was handed over, or -1: one is opened. */
static int
open_listener(struct server *server, const struct config_listener *wanted, int fd, char *ret_error,
    size_t error_size)
{
	struct listener_options options = {
	    .proxy = wanted->proxy,
	    .tls_only = wanted->tls,
	    .tls = server->tls,
	    .cookie = server->gates,
	};
	struct listener *listener;
	char number[16];

	(void)snprintf(number, sizeof(number), "fd:%d", fd);
	if (listener_open(server->reactors, server->slot_count, fd >= 0 ? number : wanted->address,
		&options, gate_opened, &listener) < 0)
		return cannot(fd >= 0 ? number : wanted->address, ret_error, error_size);
	server->listeners[server->listener_count++] = listener;
	if (!wanted->tls && !server->started->allow_plain &&
	    !address_is_loopback(listener_address(listener))) {
		(void)snprintf(ret_error, error_size,
		    "the inherited socket %s can be reached from other machines without TLS; add "
		    "\",tls\" to its "
		    "listen key, or set allow_plain = yes",
		    listener_address(listener));
		return -1;
	}
	return 0;
}

/* systemd's sockets stand for the addresses; the n-th takes the flags of the n-th listen key. */
static int
take_over_by_order(struct server *server, char *ret_error, size_t error_size)
{
	const struct config *config = server->started;
	struct handover *handed = &server->handed;

	for (size_t i = 0; i < handed->count; i++) {
		struct config_listener one = {0};
		int fd = handed->items[i].fd;

		if (fd < 0)
			continue;
		if (server->listener_count >= LIMIT_CONFIG_LIST) {
			(void)snprintf(ret_error, error_size,
			    "more than %d sockets were handed over", LIMIT_CONFIG_LIST);
			return -1;
		}
		if (server->listener_count < config->listen_count)
			one = config->listen[server->listener_count];
		(void)snprintf(server->listen_names[server->listener_count], HANDOVER_NAME_BYTES,
		    "%s", handed->items[i].name);
		handed->items[i].fd = -1;
		if (open_listener(server, &one, fd, ret_error, error_size) < 0)
			return -1;
	}
	return 0;
}

int
listen_open(struct server *server, char *ret_error, size_t error_size)
{
	const struct config *config = server->started;
	bool by_order = !handover_is_own(&server->handed) && server->handed.count > 0;

	assert(config->listen_count <= LIMIT_CONFIG_LIST);
	if (by_order && take_over_by_order(server, ret_error, error_size) < 0)
		return -1;
	for (size_t i = 0; i < config->listen_count && !by_order; i++) {
		char *name = server->listen_names[server->listener_count];

		handover_listen_name(config->listen[i].address, name);
		if (open_listener(server, &config->listen[i], handover_claim(&server->handed, name),
			ret_error, error_size) < 0)
			return -1;
	}
	/* Of addresses that are not wanted any more. */
	handover_close(&server->handed);
	listener_set_max(server_max_connections(server));
	return 0;
}

int
listen_hand_over(const struct server *server, struct handover *handover)
{
	for (size_t i = 0; i < server->listener_count; i++)
		if (server->listeners[i] != NULL &&
		    handover_add(
			handover, listener_fd(server->listeners[i]), server->listen_names[i]) < 0)
			return -1;
	return 0;
}

int
listen_check(const struct config *config, char *ret_error, size_t error_size)
{
	struct handover handed;
	int rc = 0;

	handover_take(&handed);
	/* Elsewhere it may well be the server that runs that has the port. */
	if (!handover_is_own(&handed))
		return 0;
	for (size_t i = 0; i < config->listen_count && rc == 0; i++) {
		char name[HANDOVER_NAME_BYTES];

		handover_listen_name(config->listen[i].address, name);
		if (handover_claim(&handed, name) < 0 &&
		    listener_try(config->listen[i].address) < 0)
			rc = cannot(config->listen[i].address, ret_error, error_size);
	}
	return rc;
}
