/* SPDX-License-Identifier: MIT */
/*
 * One place accepts, on the first reactor, and deals: so balance, the number of connections and what
 * happens without descriptors are decided once.
 *
 *   accept -> room? -> the reactor with the fewest -> (mail) -> conn_open -> opened()
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/stat.h"
#include "net/net_internal.h"

struct listener {
	struct watch watch;	/* on reactors[0] */
	unsigned refs;		/* atomic: the opener, each connection, each deal under way */
	bool accepting, paused;
	int spare_fd;		/* given up to accept and refuse one when there are no others; -1: lost */
	struct timer pause;
	struct reactor **reactors; /* owned array of borrowed */
	unsigned reactor_count, last_dealt;
	struct listener_options options;
	void (*opened)(struct conn *conn);
	char address[80];
};

/* A connection on its way to its reactor. */
struct deal {
	struct mail mail;
	struct listener *listener; /* a reference is held */
	int fd;
	struct peer peer;
};

enum accepted { ACCEPTED_ONE, ACCEPTED_NONE, ACCEPTED_BROKEN };

static unsigned max_connections = ~0u; /* atomic */

void
listener_set_max(unsigned max)
{
	__atomic_store_n(&max_connections, max, __ATOMIC_RELAXED);
}

struct listener *
listener_ref(struct listener *l)
{
	(void)__atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
	return l;
}

void
listener_unref(struct listener *l)
{
	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	mem_free(l->reactors);
	mem_free(l);
}

/* --- Dealing --- */

static void
deal_open(struct reactor *r, struct listener *l, int fd, const struct peer *peer)
{
	if (conn_open(r, fd, l, peer, l->opened) == 0)
		return;
	(void)__atomic_sub_fetch(&r->conns, 1, __ATOMIC_RELAXED);
	stat_add(STAT_REFUSED_FD, 1);
	log_warn("net", "refused", "reason=epoll listen=%s", l->address);
}

void
listener_deliver(void *cookie, struct mail *first)
{
	struct reactor *r = cookie;

	while (first != NULL) {
		struct deal *deal = container_of(first, struct deal, mail);

		first = first->next;
		deal_open(r, deal->listener, deal->fd, &deal->peer);
		listener_unref(deal->listener);
		mem_free(deal);
	}
}

void
listener_discard(struct mail *first)
{
	while (first != NULL) {
		struct deal *deal = container_of(first, struct deal, mail);

		first = first->next;
		(void)close(deal->fd);
		listener_unref(deal->listener);
		mem_free(deal);
	}
}

/* The one with the fewest; of equals the one whose turn it is. */
static struct reactor *
deal_choose(struct listener *l)
{
	unsigned best = 0, fewest = ~0u;

	for (unsigned i = 1; i <= l->reactor_count; i++) {
		unsigned at = (l->last_dealt + i) % l->reactor_count;
		unsigned conns = reactor_conn_count(l->reactors[at]);

		if (conns < fewest) {
			fewest = conns;
			best = at;
		}
	}
	l->last_dealt = best;
	return l->reactors[best];
}

static void
deal_send(struct listener *l, int fd, const struct peer *peer)
{
	struct reactor *r = deal_choose(l);
	struct deal *deal;

	(void)__atomic_add_fetch(&r->conns, 1, __ATOMIC_RELAXED);
	if (r == l->reactors[0]) {
		deal_open(r, l, fd, peer);
		return;
	}
	deal = mem_zalloc(sizeof(*deal));
	*deal = (struct deal) { .listener = listener_ref(l), .fd = fd, .peer = *peer };
	mail_post(&r->deals.box, &deal->mail);
}

/* --- Accepting --- */

static bool
is_full(const struct listener *l)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < l->reactor_count; i++)
		sum += reactor_conn_count(l->reactors[i]);
	return sum >= __atomic_load_n(&max_connections, __ATOMIC_RELAXED);
}

static void
admit(struct listener *l, int fd, const struct sockaddr_storage *address)
{
	struct peer peer;
	int on = 1;

	stat_add(STAT_ACCEPTED, 1);
	if (is_full(l)) {
		stat_add(STAT_REFUSED_FULL, 1);
		log_warn("net", "refused", "reason=full listen=%s", l->address);
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	peer_set(&peer, address);
	deal_send(l, fd, &peer);
}

static int
spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Without a free descriptor the backlog would stay readable for ever: the spare one lets us refuse. */
static enum accepted
refuse_one(struct listener *l)
{
	int fd, why;

	if (l->spare_fd < 0)
		return ACCEPTED_BROKEN;
	(void)close(l->spare_fd);
	fd = accept4(l->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	why = errno;
	if (fd >= 0) {
		(void)close(fd);
		stat_add(STAT_REFUSED_FD, 1);
		log_warn("net", "refused", "reason=fd listen=%s", l->address);
	}
	l->spare_fd = spare_open();
	if (l->spare_fd < 0)
		return ACCEPTED_BROKEN;
	if (fd >= 0)
		return ACCEPTED_ONE;
	return why == EAGAIN ? ACCEPTED_NONE : ACCEPTED_BROKEN;
}

static enum accepted
accept_one(struct listener *l)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	/* The cast is the interface's: sockaddr is a view of any family's struct. */
	int fd = accept4(l->watch.fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		admit(l, fd, &address);
		return ACCEPTED_ONE;
	}
	switch (errno) {
	case EAGAIN:
		return ACCEPTED_NONE;
	case EMFILE:
	case ENFILE:
		return refuse_one(l);
	case ENOBUFS:
	case ENOMEM:
	case EBADF:
	case EINVAL:
		return ACCEPTED_BROKEN;
	default: /* that one connection's trouble */
		return ACCEPTED_ONE;
	}
}

static void pause_over(struct timer *timer);

static void
accept_pause(struct listener *l)
{
	struct reactor *r = l->reactors[0];

	if (!l->paused)
		watch_remove(r, &l->watch);
	l->paused = true;
	timer_set(r, &l->pause, reactor_now_ms(r) + ACCEPT_PAUSE_MS, pause_over);
	log_warn("net", "accept_paused", "listen=%s ms=%d", l->address, ACCEPT_PAUSE_MS);
}

static void
pause_over(struct timer *timer)
{
	struct listener *l = container_of(timer, struct listener, pause);

	if (l->spare_fd < 0)
		l->spare_fd = spare_open();
	if (watch_add(l->reactors[0], &l->watch) < 0)
		accept_pause(l);
	else
		l->paused = false;
}

static void
listener_ready(struct watch *watch)
{
	struct listener *l = container_of(watch, struct listener, watch);
	enum accepted accepted = ACCEPTED_ONE;

	for (int i = 0; i < LIMIT_ACCEPTS && accepted == ACCEPTED_ONE; i++)
		accepted = accept_one(l);
	if (accepted == ACCEPTED_BROKEN)
		accept_pause(l);
}

/* --- Opening --- */

static int
socket_listen(int family, const struct sockaddr_storage *address, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0, saved;

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

/* "*" on a machine without IPv6 is all of IPv4. */
static int
listen_on(const char *text)
{
	struct sockaddr_storage address;
	socklen_t len;
	char any4[16];
	int fd;

	if (address_parse(text, &address, &len) < 0)
		return -1;
	fd = socket_listen(address.ss_family, &address, len);
	if (fd >= 0 || text[0] != '*' || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return fd;
	(void)snprintf(any4, sizeof(any4), "0.0.0.0%s", text + 1);
	if (address_parse(any4, &address, &len) < 0)
		return -1;
	return socket_listen(AF_INET, &address, len);
}

/* A listening stream socket that was open when we were started. */
static int
listen_inherited(const char *number)
{
	char *end;
	long fd = strtol(number, &end, 10);
	int listening = 0, type = 0, flags;
	socklen_t len = sizeof(int);

	if (*number < '0' || *number > '9' || *end != '\0' || fd > 65535) {
		errno = EINVAL;
		return -1;
	}
	if (getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return -1;
	if (type != SOCK_STREAM || listening == 0) {
		errno = EINVAL;
		return -1;
	}
	if ((flags = fcntl((int)fd, F_GETFL)) < 0 || fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -1;
	return (int)fd;
}

static void
address_of(int fd, char *ret_text, size_t size)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);

	(void)getsockname(fd, (struct sockaddr *)&address, &len);
	address_print(&address, ret_text, size);
}

int
listener_open(struct reactor *const *reactors, unsigned reactor_count, const char *address,
    const struct listener_options *options, void (*opened)(struct conn *conn), struct listener **ret_listener)
{
	bool inherited = strncmp(address, "fd:", 3) == 0;
	int fd = inherited ? listen_inherited(address + 3) : listen_on(address);
	struct listener *l;
	int saved;

	assert(reactor_count > 0);
	if (fd < 0)
		return -1;
	l = mem_zalloc(sizeof(*l));
	l->refs = 1;
	l->watch = (struct watch) { .fd = fd, .ready = listener_ready };
	l->reactors = mem_alloc(reactor_count * sizeof(l->reactors[0]));
	memcpy(l->reactors, reactors, reactor_count * sizeof(l->reactors[0]));
	l->reactor_count = reactor_count;
	l->last_dealt = reactor_count - 1;
	l->options = *options;
	l->opened = opened;
	address_of(fd, l->address, sizeof(l->address));
	if ((l->spare_fd = spare_open()) < 0)
		goto err0;
	if (watch_add(l->reactors[0], &l->watch) < 0)
		goto err1;
	l->accepting = true;
	*ret_listener = l;
	return 0;

err1:
	saved = errno;
	(void)close(l->spare_fd);
	errno = saved;
err0:
	saved = errno;
	(void)close(fd);
	listener_unref(l);
	errno = saved;
	return -1;
}

int
listener_try(const char *address)
{
	int fd = listen_on(address);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0 ? 0 : -1;
}

const char *
listener_address(const struct listener *l)
{
	return l->address;
}

int
listener_fd(const struct listener *l)
{
	return l->watch.fd;
}

const struct listener_options *
listener_options(const struct listener *l)
{
	return &l->options;
}

void
listener_stop(struct listener *l)
{
	if (!l->accepting)
		return;
	if (!l->paused)
		watch_remove(l->reactors[0], &l->watch);
	timer_clear(&l->pause);
	l->accepting = l->paused = false;
}

void
listener_close(struct listener **listener)
{
	struct listener *l = *listener;

	if (l == NULL)
		return;
	listener_stop(l);
	(void)close(l->watch.fd);
	if (l->spare_fd >= 0)
		(void)close(l->spare_fd);
	l->watch.fd = l->spare_fd = -1;
	listener_unref(l);
	*listener = NULL;
}
