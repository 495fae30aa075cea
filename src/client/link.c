/* SPDX-License-Identifier: MIT */
#include "client/link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"

void
link_init(struct link *link)
{
	*link = (struct link){.fd = -1};
}

void
link_fini(struct link *link)
{
	link_close(link);
	SSL_CTX_free(link->tls_context);
	link->tls_context = NULL;
}

void
link_close(struct link *link)
{
	if (link->tls_session != NULL) {
		if (link->state == LINK_OPEN)
			(void)SSL_shutdown(link->tls_session);
		SSL_free(link->tls_session);
		ERR_clear_error();
	}
	if (link->fd >= 0)
		(void)close(link->fd);
	if (link->found != NULL)
		freeaddrinfo(link->found);
	link->tls_session = NULL;
	link->found = link->at = NULL;
	link->fd = -1;
	link->wants = 0;
	link->state = LINK_CLOSED;
}

static int
trouble(struct link *link, const char *what)
{
	(void)snprintf(link->trouble, sizeof(link->trouble), "%s", what);
	return -1;
}

static int
trouble_errno(struct link *link, int error)
{
	char text[128];

	return trouble(link, strerror_r(error, text, sizeof(text)));
}

/* Says what OpenSSL or the system below it complained about. */
static int
trouble_tls(struct link *link, int rc)
{
	int kind = SSL_get_error(link->tls_session, rc), saved = errno;
	long verify = SSL_get_verify_result(link->tls_session);
	char text[160];

	if (verify != X509_V_OK) {
		(void)snprintf(text, sizeof(text), "its certificate is not trusted: %s",
		    X509_verify_cert_error_string(verify));
		return trouble(link, text);
	}
	if (kind == SSL_ERROR_SYSCALL && saved != 0)
		return trouble_errno(link, saved);
	if (kind == SSL_ERROR_SSL) {
		const char *reason = ERR_reason_error_string(ERR_peek_error());

		(void)snprintf(text, sizeof(text), "TLS: %s", reason != NULL ? reason : "failed");
		return trouble(link, text);
	}
	return trouble(link, "the server closed the connection");
}

static bool
is_number(const char *host)
{
	unsigned char bits[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, bits) == 1 || inet_pton(AF_INET6, host, bits) == 1;
}

static int
tls_context(struct link *link)
{
	if (link->tls_context != NULL)
		return 0;
	link->tls_context = SSL_CTX_new(TLS_client_method());
	if (link->tls_context == NULL)
		return trouble(link, "OpenSSL does not start");
	SSL_CTX_set_verify(link->tls_context, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_min_proto_version(link->tls_context, TLS1_2_VERSION);
	(void)SSL_CTX_set_default_verify_paths(link->tls_context);
	(void)SSL_CTX_set_mode(
	    link->tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return 0;
}

static int
tls_begin(struct link *link)
{
	X509_VERIFY_PARAM *check;
	int ok;

	link->tls_session = SSL_new(link->tls_context);
	if (link->tls_session == NULL || SSL_set_fd(link->tls_session, link->fd) != 1)
		return trouble(link, "OpenSSL does not start");
	check = SSL_get0_param(link->tls_session);
	if (is_number(link->host)) {
		ok = X509_VERIFY_PARAM_set1_ip_asc(check, link->host);
	} else {
		ok = X509_VERIFY_PARAM_set1_host(check, link->host, 0) &&
		     SSL_ctrl(link->tls_session, SSL_CTRL_SET_TLSEXT_HOSTNAME,
			 TLSEXT_NAMETYPE_host_name, link->host) == 1;
	}
	if (!ok)
		return trouble(link, "this host name can't be checked against a certificate");
	SSL_set_connect_state(link->tls_session);
	link->state = LINK_SHAKING;
	return 0;
}

/* Begins with the next address of those found; < 0 if there is none. */
static int
dial_next(struct link *link, uint64_t now_ms)
{
	int one = 1;

	for (; link->at != NULL; link->at = link->at->ai_next) {
		const struct addrinfo *at = link->at;

		link->fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (link->fd < 0) {
			(void)trouble_errno(link, errno);
			continue;
		}
		(void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(link->fd, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS) {
			link->state = LINK_CONNECTING;
			link->give_up_ms = now_ms + LINK_ADDRESS_MS;
			return 0;
		}
		(void)trouble_errno(link, errno);
		(void)close(link->fd);
		link->fd = -1;
	}
	link_close(link);
	return -1;
}

static int
dial_failed(struct link *link, uint64_t now_ms)
{
	SSL_free(link->tls_session);
	link->tls_session = NULL;
	ERR_clear_error();
	(void)close(link->fd);
	link->fd = -1;
	if (link->at == NULL) { /* adopted */
		link_close(link);
		return -1;
	}
	link->at = link->at->ai_next;
	return dial_next(link, now_ms);
}

int
link_open(struct link *link, const struct address *address, uint64_t now_ms)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	int rc;

	assert(link->state == LINK_CLOSED);
	link->tls = address->tls;
	memcpy(link->host, address->host, sizeof(link->host));
	if (link->tls && tls_context(link) < 0)
		return -1;
	if (is_number(address->host))
		hints.ai_flags = AI_NUMERICHOST;
	rc = getaddrinfo(address->host, address->port, &hints, &link->found);
	if (rc != 0) {
		link->found = NULL;
		return rc == EAI_SYSTEM ? trouble_errno(link, errno)
					: trouble(link, gai_strerror(rc));
	}
	link->at = link->found;
	return dial_next(link, now_ms);
}

void
link_adopt(struct link *link, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	assert(link->state == LINK_CLOSED && flags >= 0);
	(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	link->fd = fd;
	link->tls = false;
	link->state = LINK_OPEN;
}

/* 0 while a TLS operation waits, < 0 if it never will. */
static int
tls_waits(struct link *link, int rc)
{
	int kind = SSL_get_error(link->tls_session, rc);

	if (kind == SSL_ERROR_WANT_READ)
		link->wants = POLLIN;
	else if (kind == SSL_ERROR_WANT_WRITE)
		link->wants = POLLOUT;
	else
		return trouble_tls(link, rc);
	return 0;
}

static int
connected(struct link *link)
{
	struct pollfd p = {.fd = link->fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int error = 0;

	if (poll(&p, 1, 0) <= 0)
		return 0;
	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		return trouble_errno(link, error);
	if (link->tls)
		return tls_begin(link) < 0 ? -1 : 1;
	link->state = LINK_OPEN;
	return 1;
}

static int
shake(struct link *link)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(link->tls_session);
	if (rc != 1)
		return tls_waits(link, rc);
	link->state = LINK_OPEN;
	link->wants = 0;
	return 1;
}

int
link_step(struct link *link, uint64_t now_ms)
{
	int rc = 1;

	while (rc > 0 && link->state != LINK_OPEN)
		rc = link->state == LINK_CONNECTING ? connected(link) : shake(link);
	if (rc == 0 && now_ms >= link->give_up_ms)
		rc = trouble(link, "no answer");
	if (rc < 0)
		return dial_failed(link, now_ms);
	return rc;
}

short
link_wants(const struct link *link, bool output)
{
	if (link->state == LINK_CONNECTING)
		return POLLOUT;
	if (link->state == LINK_SHAKING)
		return link->wants;
	return (short)(POLLIN | link->wants | (output ? POLLOUT : 0));
}

static ssize_t
tls_read(struct link *link, char *to, size_t room)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read(link->tls_session, to, room > INT_MAX ? INT_MAX : (int)room);
	link->wants = 0;
	return rc > 0 ? rc : tls_waits(link, rc);
}

ssize_t
link_read(struct link *link, char *to, size_t room)
{
	ssize_t n;

	if (link->tls_session != NULL)
		return tls_read(link, to, room);
	n = recv(link->fd, to, room, 0);
	if (n > 0)
		return n;
	if (n == 0)
		return trouble(link, "the server closed the connection");
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return trouble_errno(link, errno);
}

static ssize_t
tls_write(struct link *link, slice bytes)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc =
	    SSL_write(link->tls_session, bytes.ptr, bytes.len > INT_MAX ? INT_MAX : (int)bytes.len);
	link->wants = 0;
	return rc > 0 ? rc : tls_waits(link, rc);
}

ssize_t
link_write(struct link *link, slice bytes)
{
	ssize_t n;

	if (bytes.len == 0)
		return 0;
	if (link->tls_session != NULL)
		return tls_write(link, bytes);
	n = send(link->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return trouble_errno(link, errno);
}
