/* SPDX-License-Identifier: MIT */
#include "server/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/slice.h"

enum { FIRST_FD = 3, PID_DIGITS = 10 };

extern char **environ;

/* --- Taking over --- */

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

/* Takes the n-th of the names off the front of the text; NULL: there are no more. */
static const char *
next_name(const char *names, char ret_name[HANDOVER_NAME_BYTES])
{
	size_t len = names != NULL ? strcspn(names, ":") : 0;

	ret_name[0] = '\0';
	if (names == NULL)
		return NULL;
	(void)snprintf(ret_name, HANDOVER_NAME_BYTES, "%.*s", (int)len, names);
	return names[len] == ':' ? names + len + 1 : NULL;
}

void
handover_take(struct handover *ret_handover)
{
	long count = number_in("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");

	*ret_handover = (struct handover){0};
	if (number_in("LISTEN_PID") != (long)getpid() || count < 1 || count > LIMIT_HANDOVER)
		count = 0;
	for (int i = 0; i < (int)count; i++) {
		struct handover_item *item = &ret_handover->items[ret_handover->count++];

		item->fd = FIRST_FD + i;
		names = next_name(names, item->name);
		(void)fcntl(item->fd, F_SETFD, FD_CLOEXEC);
	}
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDNAMES");
}

int
handover_claim(struct handover *handover, const char *name)
{
	for (size_t i = 0; i < handover->count; i++) {
		struct handover_item *item = &handover->items[i];
		int fd = item->fd;

		if (fd < 0 || strcmp(item->name, name) != 0)
			continue;
		item->fd = -1;
		return fd;
	}
	return -1;
}

#define LISTEN_PREFIX "confab-listen="

bool
handover_is_own(const struct handover *handover)
{
	for (size_t i = 0; i < handover->count; i++)
		if (slice_starts(slice_str(handover->items[i].name), S(LISTEN_PREFIX)))
			return true;
	return false;
}

void
handover_close(struct handover *handover)
{
	for (size_t i = 0; i < handover->count; i++)
		if (handover->items[i].fd >= 0)
			(void)close(handover->items[i].fd);
	handover->count = 0;
}

void
handover_listen_name(const char *address, char ret_name[HANDOVER_NAME_BYTES])
{
	(void)snprintf(ret_name, HANDOVER_NAME_BYTES, LISTEN_PREFIX "%s", address);
	/* A colon stands between two names. */
	for (char *c = ret_name; (c = strchr(c, ':')) != NULL;)
		*c = ',';
}

/* --- Handing over --- */

int
handover_add(struct handover *handover, int fd, const char *name)
{
	struct handover_item *item;
	int copy;

	assert(handover->count < LIMIT_HANDOVER);
	/* Above all that they are to become. */
	copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + LIMIT_HANDOVER);
	if (copy < 0)
		return -1;
	item = &handover->items[handover->count++];
	item->fd = copy;
	(void)snprintf(item->name, sizeof(item->name), "%s", name);
	return 0;
}

static char *
text_of(struct buf *text)
{
	char *copy = mem_dup(buf_slice(text));

	buf_fini(text);
	return copy;
}

void
handover_env_init(struct handover_env *env, const struct handover *handover)
{
	struct buf fds = {0}, names = {0}, pid = {0};
	size_t count = 0;

	while (environ[count] != NULL)
		count++;
	env->vars = mem_zalloc((count + 4) * sizeof(env->vars[0]));
	memcpy(env->vars, environ, count * sizeof(env->vars[0]));
	env->first_own = count;
	buf_printf(&fds, "LISTEN_FDS=%zu", handover->count);
	buf_printf(&names, "LISTEN_FDNAMES=");
	for (size_t i = 0; i < handover->count; i++)
		buf_printf(&names, "%s%s", i > 0 ? ":" : "", handover->items[i].name);
	buf_printf(&pid, "LISTEN_PID=%0*d", PID_DIGITS, 0);
	env->vars[count] = text_of(&fds);
	env->vars[count + 1] = text_of(&names);
	env->vars[count + 2] = text_of(&pid);
	env->pid = strchr(env->vars[count + 2], '=') + 1;
}

void
handover_env_fini(struct handover_env *env)
{
	for (size_t i = env->first_own; env->vars != NULL && env->vars[i] != NULL; i++)
		mem_free(env->vars[i]);
	mem_free(env->vars);
	env->vars = NULL;
}

void
handover_exec(const struct handover *handover, const struct handover_env *env, const char *program,
    char *const *argv)
{
	pid_t pid = getpid();

	for (size_t i = 0; i < handover->count; i++)
		if (dup2(handover->items[i].fd, FIRST_FD + (int)i) < 0)
			return;
	for (int i = PID_DIGITS - 1; i >= 0; i--, pid /= 10)
		env->pid[i] = (char)('0' + pid % 10);
	(void)execve(program, argv, env->vars);
}

void
handover_program(char *ret_path, size_t size)
{
	/* The cast is the interface's: a pointer that comes as a number. */
	const char *path = (const char *)getauxval(AT_EXECFN);
	char here[PATH_MAX] = "";
	int used = 0;

	if (path != NULL && (path[0] == '/' || getcwd(here, sizeof(here)) != NULL))
		used = snprintf(ret_path, size, "%s%s%s", here, here[0] != '\0' ? "/" : "", path);
	if (used <= 0 || (size_t)used >= size)
		ret_path[0] = '\0';
}
