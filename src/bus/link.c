/* SPDX-License-Identifier: MIT */
#include "bus/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"
#include "bus/resp.h"

enum { READ_BYTES = 64 * 1024, KEPT_BYTES = 1024 * 1024 };

static const char cannot_connect[] = "Redis can't be reached";
static const char gone[] = "Redis closed the connection";

/* --- Connecting --- */

static int
connect_to(const struct addrinfo *address)
{
	int one = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS)
		return fd;
	(void)close(fd);
	return -1;
}

static void
say_hello(struct link *link, const struct link_login *login)
{
	const char *with_user[] = {"AUTH", login->user, login->password, NULL};
	const char *without[] = {"AUTH", login->password, NULL};
	const char *role[] = {"ROLE", NULL};

	link->auth = login->password[0] != '\0';
	link->role = login->role;
	link->need_master = login->need_master;
	link->owed = (unsigned)link->auth + (unsigned)link->role;
	if (link->auth)
		resp_command(&link->out, login->user[0] != '\0' ? with_user : without);
	if (link->role)
		resp_command(&link->out, role);
}

const char *
link_open(struct link *link, const struct place *place, unsigned attempt,
    const struct link_login *login, uint64_t now_ms)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *all, *one;
	unsigned count = 0;

	assert(link->state == LINK_DOWN);
	if (getaddrinfo(place->host, place->port, &hints, &all) != 0)
		return "the name of Redis's host is not known";
	for (one = all; one != NULL; one = one->ai_next)
		count++;
	one = all;
	for (attempt %= count; attempt > 0; attempt--)
		one = one->ai_next;
	link->fd = connect_to(one);
	freeaddrinfo(all);
	if (link->fd < 0)
		return cannot_connect;
	link->reader = redisReaderCreate();
	if (link->reader == NULL)
		panic("no memory for a reader of Redis's answers");
	link->state = LINK_CONNECTING;
	link->until_ms = now_ms + LINK_HELLO_MS;
	buf_clear(&link->out);
	say_hello(link, login);
	return NULL;
}

void
link_close(struct link *link)
{
	if (link->state == LINK_DOWN)
		return;
	(void)close(link->fd);
	redisReaderFree(link->reader);
	buf_fini(&link->out);
	*link = (struct link){.fd = -1};
}

/* --- In and out --- */

short
link_wants(const struct link *link)
{
	if (link->state == LINK_DOWN)
		return 0;
	if (link->state == LINK_CONNECTING)
		return POLLOUT;
	return (short)(POLLIN | (buf_len(&link->out) > 0 ? POLLOUT : 0));
}

const char *
link_flush(struct link *link)
{
	while (link->state >= LINK_HELLO && buf_len(&link->out) > 0) {
		ssize_t n = send(link->fd, buf_head(&link->out), buf_len(&link->out), MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return NULL;
		if (n < 0 && errno != EINTR)
			return gone;
		if (n > 0)
			buf_consume(&link->out, (size_t)n);
	}
	if (buf_len(&link->out) == 0 && link->out.capacity > KEPT_BYTES)
		buf_fini(&link->out);
	return NULL;
}

static const char *
connected(struct link *link)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err != 0)
		return cannot_connect;
	link->state = link->owed > 0 ? LINK_HELLO : LINK_UP;
	return link_flush(link);
}

/* Takes in what is there, a bounded share of it. */
static const char *
take_in(struct link *link)
{
	char bytes[READ_BYTES];
	ssize_t n = recv(link->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return NULL;
	if (n <= 0)
		return gone;
	if (link->reader->len - link->reader->pos > LIMIT_LINK_ANSWER_BYTES)
		return "Redis sent more than there should be";
	if (redisReaderFeed(link->reader, bytes, (size_t)n) != REDIS_OK)
		return "Redis sent what can't be read";
	return NULL;
}

redisReply *
link_answer(struct link *link, const char **ret_why)
{
	void *reply = NULL;

	if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
		*ret_why = "Redis sent what can't be read";
		return NULL;
	}
	return reply;
}

/* --- Signing in --- */

static bool
begins(const redisReply *reply, const char *with)
{
	return slice_starts(slice_of(reply->str, reply->len), slice_str(with));
}

static const char *
hello_error(const redisReply *reply)
{
	if (begins(reply, "WRONGPASS") || begins(reply, "ERR AUTH") ||
	    begins(reply, "ERR invalid password") || begins(reply, "ERR Client sent AUTH"))
		return "Redis refuses the user or password";
	if (begins(reply, "NOAUTH"))
		return "Redis wants a password";
	if (begins(reply, "LOADING"))
		return "Redis is loading its data";
	if (begins(reply, "ERR max number of clients"))
		return "Redis has too many clients";
	return "Redis refuses";
}

static const char *
role_taken(struct link *link, const redisReply *reply)
{
	link->role_denied = reply->type == REDIS_REPLY_ERROR && begins(reply, "NOPERM");
	if (link->role_denied)
		return link->need_master ? "the user may not ask Redis for its ROLE" : NULL;
	if (reply->type == REDIS_REPLY_ERROR)
		return hello_error(reply);
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
	    reply->element[0]->type != REDIS_REPLY_STRING)
		return "Redis answers strangely";
	if (!begins(reply->element[0], "master"))
		return "that Redis is a replica";
	return NULL;
}

static const char *
hello_taken(struct link *link, const redisReply *reply)
{
	if (link->auth) {
		link->auth = false;
		return reply->type == REDIS_REPLY_ERROR ? hello_error(reply) : NULL;
	}
	return role_taken(link, reply);
}

static const char *
hello(struct link *link)
{
	while (link->owed > 0) {
		const char *why = NULL;
		redisReply *reply = link_answer(link, &why);

		if (reply == NULL)
			return why;
		why = hello_taken(link, reply);
		freeReplyObject(reply);
		if (why != NULL)
			return why;
		link->owed--;
	}
	link->state = LINK_UP;
	return NULL;
}

const char *
link_ready(struct link *link, short events, uint64_t now_ms)
{
	const char *why = NULL;

	if (link->state == LINK_DOWN)
		return NULL;
	if (link->state == LINK_CONNECTING && events != 0)
		why = connected(link);
	else if (link->state >= LINK_HELLO && (events & (POLLIN | POLLERR | POLLHUP)) != 0)
		why = take_in(link);
	if (why == NULL && link->state == LINK_HELLO)
		why = hello(link);
	if (why == NULL && link->state >= LINK_HELLO)
		why = link_flush(link);
	if (why == NULL && link->state < LINK_UP && now_ms >= link->until_ms)
		why = link->state == LINK_CONNECTING ? cannot_connect : "Redis does not answer";
	return why;
}
