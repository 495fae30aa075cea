/* SPDX-License-Identifier: MIT */
/*
 * Floor L: what fan-out costs at least.  Whatever one connection sends is given to every connection, its sender
 * too, straight from the one buffer it was read into: one read per burst, one send per member and turn.  It parses
 * nothing, stores nothing, and waits for a member whose socket is full.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/panic.h"
#include "common.h"

enum { EVENTS = 256, READ_BYTES = 64 * 1024, LISTENER = 0 };

static int *members;
static size_t member_count;

static void
member_drop(int fd)
{
	for (size_t i = 0; i < member_count; i++)
		if (members[i] == fd)
			members[i] = members[--member_count];
	(void)close(fd);
}

static void
members_accept(int epoll_fd, int listener)
{
	int fd;

	while ((fd = floor_accept(listener)) >= 0) {
		members = mem_resize(members, member_count + 1, sizeof(*members));
		members[member_count++] = fd;
		floor_watch(epoll_fd, fd, (uint64_t)fd);
	}
}

static void
member_readable(int fd)
{
	static char bytes[READ_BYTES];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			member_drop(fd);
		return;
	}
	for (size_t i = 0; i < member_count; i++)
		floor_send(members[i], bytes, (size_t)n);
}

int
main(void)
{
	struct epoll_event events[EVENTS];
	int epoll_fd = epoll_create1(0), listener, n;

	floor_descriptors();
	listener = floor_listen();
	floor_watch(epoll_fd, listener, LISTENER);
	while ((n = epoll_wait(epoll_fd, events, EVENTS, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == LISTENER)
				members_accept(epoll_fd, listener);
			else
				member_readable((int)events[i].data.u64);
		}
	panic("epoll_wait: %s", strerror(errno));
}
