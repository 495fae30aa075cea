/* SPDX-License-Identifier: MIT */
/*
 * Floor L over TLS: what one connection sends is given to every connection, its sender too, one SSL_write per member
 * and turn from the one buffer it was read into.  It parses nothing and stores nothing; a member whose socket is full
 * is waited for.
 *
 *	floor_fan_tls CERTIFICATE KEY
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/panic.h"
#include "common.h"

enum { EVENTS = 256, READ_BYTES = 16 * 1024 };

struct member {
	int fd;
	SSL *tls;
};

static struct member **members;
static size_t member_count, member_room;
static SSL_CTX *context;

static void
context_make(const char *certificate, const char *key)
{
	if ((context = SSL_CTX_new(TLS_server_method())) == NULL ||
	    SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		panic("%s: %s", certificate, ERR_reason_error_string(ERR_get_error()));
	(void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

static void
member_drop(struct member *m)
{
	for (size_t i = 0; i < member_count; i++)
		if (members[i] == m)
			members[i] = members[--member_count];
	SSL_free(m->tls);
	(void)close(m->fd);
	mem_free(m);
}

static void
member_wait(const struct member *m, int result)
{
	short what = SSL_get_error(m->tls, result) == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;

	(void)poll(&(struct pollfd){.fd = m->fd, .events = what}, 1, 1000);
}

/* OpenSSL wants the same call again when it had to wait. */
static void
member_send(struct member *m, const char *bytes, int len)
{
	int n;

	for (;;) {
		ERR_clear_error();
		if ((n = SSL_write(m->tls, bytes, len)) > 0)
			return;
		if (SSL_get_error(m->tls, n) != SSL_ERROR_WANT_WRITE)
			return; /* he is gone: his end of file comes next */
		member_wait(m, n);
	}
}

static void
members_accept(int epoll_fd, int listener)
{
	int fd, n;

	while ((fd = floor_accept(listener)) >= 0) {
		struct member *m = mem_zalloc(sizeof(*m));

		m->fd = fd;
		if ((m->tls = SSL_new(context)) == NULL || SSL_set_fd(m->tls, fd) != 1)
			panic("SSL_new");
		/* Nobody is served meanwhile: they all come before anything is measured. */
		while ((n = SSL_accept(m->tls)) != 1 &&
		       SSL_get_error(m->tls, n) == SSL_ERROR_WANT_READ)
			member_wait(m, n);
		if (n != 1) {
			member_drop(m);
			continue;
		}
		if (member_count == member_room)
			members = mem_resize(
			    members, member_room = 2 * member_room + 64, sizeof(struct member *));
		members[member_count++] = m;
		floor_watch(epoll_fd, fd, (uint64_t)(uintptr_t)m);
	}
}

/* One read gives one record at most: those of a turn are gathered, as the bare L has them in one buffer. */
static void
member_readable(struct member *m)
{
	static char bytes[READ_BYTES];
	int len = 0, n;

	ERR_clear_error();
	while (len < READ_BYTES && (n = SSL_read(m->tls, bytes + len, READ_BYTES - len)) > 0)
		len += n;
	if (len < READ_BYTES && SSL_get_error(m->tls, n) != SSL_ERROR_WANT_READ) {
		member_drop(m);
		return;
	}
	for (size_t i = 0; len > 0 && i < member_count; i++)
		member_send(members[i], bytes, len);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int epoll_fd = epoll_create1(0), listener, n;

	if (argc != 3) {
		fputs("usage: floor_fan_tls CERTIFICATE KEY\n", stderr);
		return 2;
	}
	floor_descriptors();
	context_make(argv[1], argv[2]);
	listener = floor_listen();
	floor_watch(epoll_fd, listener, 0);
	while ((n = epoll_wait(epoll_fd, events, EVENTS, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == 0)
				members_accept(epoll_fd, listener);
			else
				member_readable((struct member *)(uintptr_t)events[i].data.u64);
		}
	panic("epoll_wait: %s", strerror(errno));
}
