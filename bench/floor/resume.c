/* SPDX-License-Identifier: MIT */
/*
 * Floor H: what a reconnect costs at least.  Accepts, reads a line with a user's number, asks the database five
 * prepared questions (his session, his account, his conversations, the epoch, his contacts), writes 3 kB and closes.
 *
 *   floor_resume PATH     PATH: the database of a confabd that is not running
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/panic.h"
#include "base/slice.h"
#include "common.h"

enum { EVENTS = 256, ANSWER_BYTES = 3000 };

static const char *const questions[] = {
    "SELECT session, device, created FROM token WHERE user = ?",
    "SELECT name, display, status FROM user WHERE id = ?",
    "SELECT cid, role, join_seq, read_seq, delivered_seq FROM member WHERE user = ?",
    "SELECT epoch FROM meta WHERE id = 1 AND ? > 0",
    "SELECT peer, state FROM contact WHERE user = ?",
};
static sqlite3_stmt *asked[LEN(questions)];

static size_t
ask(sqlite3_int64 user)
{
	size_t rows = 0;

	for (size_t i = 0; i < LEN(questions); i++) {
		(void)sqlite3_bind_int64(asked[i], 1, user);
		while (sqlite3_step(asked[i]) == SQLITE_ROW)
			rows++;
		(void)sqlite3_reset(asked[i]);
	}
	return rows;
}

static void
serve(int fd)
{
	static char answer[ANSWER_BYTES];
	char line[512];
	ssize_t n = recv(fd, line, sizeof(line) - 1, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0 && line[n - 1] == '\n') {
		line[n] = '\0';
		memset(answer, 'x', sizeof(answer));
		(void)snprintf(answer, sizeof(answer), "%zu rows", ask(strtoll(line, NULL, 10)));
		answer[sizeof(answer) - 1] = '\n';
		(void)send(fd, answer, sizeof(answer), MSG_NOSIGNAL);
	}
	(void)close(fd);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int epoll_fd = epoll_create1(0), listener, fd, n;
	sqlite3 *db;

	if (argc != 2) {
		fputs("usage: floor_resume PATH\n", stderr);
		return 2;
	}
	floor_descriptors();
	db = floor_db(argv[1]);
	for (size_t i = 0; i < LEN(questions); i++)
		asked[i] = floor_prepare(db, questions[i]);
	listener = floor_listen();
	floor_watch(epoll_fd, listener, 0);
	while ((n = epoll_wait(epoll_fd, events, EVENTS, -1)) >= 0 || errno == EINTR)
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 != 0)
				serve((int)events[i].data.u64);
			else
				while ((fd = floor_accept(listener)) >= 0)
					floor_watch(epoll_fd, fd, (uint64_t)fd);
		}
	panic("epoll_wait: %s", strerror(errno));
}
