/* SPDX-License-Identifier: MIT */
#include "server/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"

/* Who we are, for "give it to": a name, or the number. */
static const char *
who_am_i(char *ret_name, size_t size)
{
	char room[1024];
	struct passwd entry, *found = NULL;

	if (getpwuid_r(geteuid(), &entry, room, sizeof(room), &found) == 0 && found != NULL)
		(void)snprintf(ret_name, size, "%s", found->pw_name);
	else
		(void)snprintf(ret_name, size, "uid %u", (unsigned)geteuid());
	return ret_name;
}

/* What to do about it, as the end of a sentence. */
static const char *
advice(int err, char *ret_text, size_t size)
{
	char name[64];

	if (err == EACCES || err == EPERM)
		(void)snprintf(ret_text, size,
		    "give it to user %s, or choose another with --data DIR",
		    who_am_i(name, sizeof(name)));
	else if (err == EROFS)
		(void)snprintf(
		    ret_text, size, "mount it for writing, or choose another with --data DIR");
	else if (err == ENOSPC || err == EDQUOT)
		(void)snprintf(
		    ret_text, size, "free some space, or choose another with --data DIR");
	else
		(void)snprintf(ret_text, size, "choose another with --data DIR");
	return ret_text;
}

int
data_dir_make(const char *dir, char *ret_error, size_t error_size)
{
	char path[PATH_MAX], next[160];
	size_t len = strlen(dir);
	struct stat st;

	if (len == 0 || len >= sizeof(path)) {
		(void)snprintf(
		    ret_error, error_size, "the data directory's name is empty or too long");
		return -1;
	}
	for (size_t i = 1; i <= len; i++) {
		if (dir[i] != '/' && dir[i] != '\0')
			continue;
		memcpy(path, dir, i);
		path[i] = '\0';
		if (mkdir(path, 0700) < 0) {
			int err = errno;

			if (err == EEXIST || stat(path, &st) == 0)
				continue;
			(void)snprintf(ret_error, error_size,
			    "cannot make the data directory %s: %s; %s", dir, strerror(err),
			    advice(err, next, sizeof(next)));
			return -1;
		}
	}
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
		(void)snprintf(ret_error, error_size,
		    "the data directory %s is not a directory; choose another with --data DIR",
		    dir);
		return -1;
	}
	return 0;
}

int
data_dir_check(const char *dir, char *ret_error, size_t error_size)
{
	char path[PATH_MAX], next[160];
	int fd;

	(void)snprintf(path, sizeof(path), "%.4000s/.confabd-check", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		(void)snprintf(ret_error, error_size,
		    "cannot write to the data directory %s: %s; %s", dir, strerror(errno),
		    advice(errno, next, sizeof(next)));
		return -1;
	}
	(void)close(fd);
	(void)unlink(path);
	return 0;
}

static void
holder(int fd, char *ret_text, size_t size)
{
	char pid[24];
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	ret_text[0] = '\0';
	if (n <= 0)
		return;
	pid[n] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	if (pid[0] != '\0' && pid[strspn(pid, "0123456789")] == '\0')
		(void)snprintf(ret_text, size, " (pid %s)", pid);
}

int
lock_take(const char *path, const char *what, char *ret_error, size_t error_size)
{
	char text[32], next[160];
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		(void)snprintf(ret_error, error_size, "cannot write to %s: %s: %s; %s", what, path,
		    strerror(errno), advice(errno, next, sizeof(next)));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		holder(fd, text, sizeof(text));
		(void)snprintf(ret_error, error_size,
		    "%s is in use by another confabd%s; stop that one first, or start this one "
		    "with a --data (and --store) of its own",
		    what, text);
		(void)close(fd);
		return -1;
	}
	(void)snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0) {
		(void)snprintf(ret_error, error_size, "cannot write to %s: %s: %s; %s", what, path,
		    strerror(errno), advice(errno, next, sizeof(next)));
		(void)close(fd);
		return -1;
	}
	return fd;
}

int
lock_keep(int fd, const char *path, const char *what, char *ret_error, size_t error_size)
{
	struct stat held, wanted;

	if (fd >= 0 && fstat(fd, &held) == 0 && stat(path, &wanted) == 0 &&
	    held.st_dev == wanted.st_dev && held.st_ino == wanted.st_ino &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return lock_take(path, what, ret_error, error_size);
}
