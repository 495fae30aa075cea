/* SPDX-License-Identifier: MIT */
#include "server/notify.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/slice.h"

enum { FIRST_INHERITED = 3, LIMIT_INHERITED = 64 };

void
notify_send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
	    (len = strlen(path)) >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, len);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)(void *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}

static long
number_in(const char *variable)
{
	const char *text = getenv(variable);
	char *end;
	long number;

	if (text == NULL || text[0] == '\0')
		return -1;
	number = strtol(text, &end, 10);
	return *end == '\0' ? number : -1;
}

unsigned
notify_inherited(void)
{
	long count = number_in("LISTEN_FDS");

	if (number_in("LISTEN_PID") != (long)getpid() || count < 1 || count > LIMIT_INHERITED)
		count = 0;
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDNAMES");
	for (int fd = FIRST_INHERITED; fd < FIRST_INHERITED + (int)count; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return (unsigned)count;
}
