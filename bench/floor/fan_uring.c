/* SPDX-License-Identifier: MIT */
/*
 * Floor L on io_uring: as fan.c, but the sends of a turn are one batch of the ring and one system call. They are made
 * when they are submitted (MSG_DONTWAIT), so that nothing of the buffer is needed afterwards; descriptors and the
 * ring's own are registered, and a send that took all tells nothing. What a full socket left over is sent as fan.c
 * does. Epoll waits: a turn has one read.
 */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/panic.h"
#include "common.h"

enum { EVENTS = 256, READ_BYTES = 64 * 1024, LISTENER = 0, BATCH = 4096, FILES = 16384 };

static int *members;
static size_t member_count;
static struct io_uring ring;

static void
ring_file(int place, int fd)
{
	if (io_uring_register_files_update(&ring, (unsigned)place, &fd, 1) != 1)
		panic("descriptor %d does not fit among %d", place, FILES);
}

static void
ring_open(void)
{
	struct io_uring_params how = {.flags = IORING_SETUP_SINGLE_ISSUER |
					       IORING_SETUP_DEFER_TASKRUN |
					       IORING_SETUP_SUBMIT_ALL};
	int error = io_uring_queue_init_params(BATCH, &ring, &how);

	if (error < 0)
		panic("io_uring: %s", strerror(-error));
	if (io_uring_register_ring_fd(&ring) != 1)
		panic("io_uring takes no registered ring");
	if ((error = io_uring_register_files_sparse(&ring, FILES)) < 0)
		panic("io_uring takes no %d descriptors: %s", FILES, strerror(-error));
}

static void
member_drop(int fd)
{
	for (size_t i = 0; i < member_count; i++)
		if (members[i] == fd)
			members[i] = members[--member_count];
	ring_file(fd, -1);
	(void)close(fd);
}

static void
members_accept(int epoll_fd, int listener)
{
	int fd;

	while ((fd = floor_accept(listener)) >= 0) {
		members = mem_resize(members, member_count + 1, sizeof(*members));
		members[member_count++] = fd;
		ring_file(fd, fd);
		floor_watch(epoll_fd, fd, (uint64_t)fd);
	}
}

static void
batch_add(int fd, const char *bytes, size_t len)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&ring);

	/* MSG_WAITALL: less than all counts as a failure, which is told. */
	io_uring_prep_send(entry, fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
	entry->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data64(entry, (__u64)fd);
}

static void
batch_send(const char *bytes, size_t len)
{
	struct io_uring_cqe *told;
	unsigned head, count = 0;
	int error = io_uring_submit_and_get_events(&ring);

	if (error < 0)
		panic("io_uring_submit: %s", strerror(-error));
	io_uring_for_each_cqe(&ring, head, told)
	{
		size_t sent = told->res > 0 ? (size_t)told->res : 0;

		count++;
		if (told->res >= 0 || told->res == -EAGAIN)
			floor_send((int)told->user_data, bytes + sent, len - sent);
	}
	io_uring_cq_advance(&ring, count);
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
	for (size_t i = 0; i < member_count; i++) {
		batch_add(members[i], bytes, (size_t)n);
		if ((i + 1) % BATCH == 0 || i + 1 == member_count)
			batch_send(bytes, (size_t)n);
	}
}

int
main(void)
{
	struct epoll_event events[EVENTS];
	int epoll_fd = epoll_create1(0), listener, n;

	floor_descriptors();
	ring_open();
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
