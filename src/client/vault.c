/* SPDX-License-Identifier: MIT */
#include "client/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/panic.h"
#include "client/cmid.h"

#define VAULT_MAGIC 0x7a017f11u

enum { NAME_BYTES = 256, STALE_MS = 60 * 60 * 1000 };

struct vault {
	uint32_t magic;
	int server_fd, fd, outbox_fd, sent_fd; /* owned: directories */
	int lock_fd;                           /* owned; -1 without the lock */
	char user[VAULT_NAME_MAX + 1];
};

bool
vault_root(struct buf *ret_path)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state != NULL && state[0] == '/')
		buf_printf(ret_path, "%s/confab", state);
	else if (home != NULL && home[0] == '/')
		buf_printf(ret_path, "%s/.local/state/confab", home);
	else
		return false;
	return true;
}

bool
vault_name_valid(slice user)
{
	if (user.len < 2 || user.len > VAULT_NAME_MAX)
		return false;
	for (size_t i = 0; i < user.len; i++) {
		char c = user.ptr[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!plain && (i == 0 || (c != '_' && c != '.' && c != '-')))
			return false;
	}
	return true;
}

/* The name of a server's directory. */
static void
server_name(const struct address *server, char ret_name[NAME_BYTES + ADDRESS_HOST_MAX])
{
	(void)snprintf(ret_name, NAME_BYTES + ADDRESS_HOST_MAX, "%s:%s%s", server->host,
	    server->port, server->tls ? "+tls" : "");
	for (char *c = ret_name; *c != '\0'; c++)
		if (*c == '/' || (c == ret_name && *c == '.'))
			*c = '_';
}

/* Makes a directory and those above it, each for its owner only. */
static int
make_path(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST) {
			int error = -errno;

			*slash = '/';
			return error;
		}
		*slash = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int
open_directory(int at, const char *name)
{
	int fd;

	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* The directory of all servers, closed to others even if it was made with a wider mode. */
static int
open_root(slice root)
{
	char *path = mem_dup(root);
	int fd = make_path(path);
	struct stat st;

	if (fd == 0) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	mem_free(path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && (st.st_mode & 077) != 0 && fchmod(fd, 0700) < 0) {
		(void)close(fd);
		return -EPERM;
	}
	return fd;
}

static int
open_server(slice root, const struct address *server)
{
	char name[NAME_BYTES + ADDRESS_HOST_MAX];
	int root_fd = open_root(root), fd;

	if (root_fd < 0)
		return root_fd;
	server_name(server, name);
	fd = open_directory(root_fd, name);
	(void)close(root_fd);
	return fd;
}

int
vault_open(slice root, const struct address *server, slice user, struct vault **ret_vault)
{
	struct vault *v = mem_zalloc(sizeof(*v));
	int rc;

	assert(vault_name_valid(user));
	v->magic = VAULT_MAGIC;
	v->fd = v->outbox_fd = v->sent_fd = v->lock_fd = -1;
	memcpy(v->user, user.ptr, user.len);
	rc = v->server_fd = open_server(root, server);
	if (rc >= 0)
		rc = v->fd = open_directory(v->server_fd, v->user);
	if (rc >= 0)
		rc = v->outbox_fd = open_directory(v->fd, "outbox");
	if (rc >= 0)
		rc = v->sent_fd = open_directory(v->fd, "sent");
	if (rc < 0) {
		vault_close(&v);
		return rc;
	}
	*ret_vault = v;
	return 0;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void
vault_close(struct vault **vault)
{
	struct vault *v = *vault;

	if (v == NULL)
		return;
	OBJ_CHECK(v, VAULT_MAGIC);
	close_fd(v->lock_fd);
	close_fd(v->sent_fd);
	close_fd(v->outbox_fd);
	close_fd(v->fd);
	close_fd(v->server_fd);
	mem_free(v);
	*vault = NULL;
}

slice
vault_user(const struct vault *vault)
{
	return slice_str(vault->user);
}

int
vault_lock(struct vault *vault)
{
	int fd;

	if (vault->lock_fd >= 0)
		return 0;
	fd = openat(vault->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int error = errno == EWOULDBLOCK ? -EAGAIN : -errno;

		(void)close(fd);
		return error;
	}
	vault->lock_fd = fd;
	return 0;
}

void
vault_unlock(struct vault *vault)
{
	if (vault->lock_fd >= 0)
		(void)close(vault->lock_fd);
	vault->lock_fd = -1;
}

bool
vault_locked(const struct vault *vault)
{
	return vault->lock_fd >= 0;
}

static int
write_all(int fd, slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes = slice_of(bytes.ptr + n, bytes.len - (size_t)n);
	}
	return 0;
}

/* Beside, synced, renamed, and the directory synced: the old file or the new one, never a part. */
static int
write_file(int dir, const char *name, slice bytes)
{
	char beside[NAME_BYTES];
	int fd, rc;

	(void)snprintf(beside, sizeof(beside), ".%s.%ld.tmp", name, (long)getpid());
	fd = openat(dir, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, bytes);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && renameat(dir, beside, dir, name) < 0)
		rc = -errno;
	if (rc < 0)
		(void)unlinkat(dir, beside, 0);
	else if (fsync(dir) < 0)
		rc = -errno;
	return rc;
}

static int
read_open(int fd, struct buf *to)
{
	size_t before = buf_len(to);

	for (;;) {
		ssize_t n = read(fd, buf_reserve(to, 4096), 4096);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		buf_grew(to, (size_t)n);
		if (buf_len(to) - before > VAULT_FILE_MAX)
			return -EFBIG;
	}
}

static int
read_file(int dir, const char *name, struct buf *to)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), rc;

	if (fd < 0)
		return -errno;
	rc = read_open(fd, to);
	(void)close(fd);
	return rc;
}

/* Reads a file of one line, without its end. */
static int
read_line(int dir, const char *name, struct buf *to)
{
	size_t before = buf_len(to);
	int rc = read_file(dir, name, to);

	while (rc == 0 && buf_len(to) > before && to->bytes[to->end - 1] == '\n')
		to->end--;
	return rc == 0 && buf_len(to) == before ? -ENOENT : rc;
}

static int
write_line(int dir, const char *name, slice text)
{
	struct buf line = {0};
	int rc;

	buf_put(&line, text);
	buf_put(&line, S("\n"));
	rc = write_file(dir, name, buf_slice(&line));
	explicit_bzero(line.bytes, line.capacity);
	buf_fini(&line);
	return rc;
}

int
vault_default_load(slice root, const struct address *server, struct buf *ret_user)
{
	size_t before = buf_len(ret_user);
	int fd = open_server(root, server), rc;
	slice user;

	if (fd < 0)
		return fd;
	rc = read_line(fd, "default", ret_user);
	(void)close(fd);
	user = buf_slice(ret_user);
	user = slice_of(user.ptr + before, user.len - before);
	return rc == 0 && !vault_name_valid(user) ? -ENOENT : rc;
}

int
vault_default_store(const struct vault *vault)
{
	return write_line(vault->server_fd, "default", vault_user(vault));
}

int
vault_token_load(const struct vault *vault, struct buf *ret_token)
{
	if (fchmodat(vault->fd, "token", 0600, 0) < 0)
		return -errno;
	return read_line(vault->fd, "token", ret_token);
}

int
vault_token_store(const struct vault *vault, slice token)
{
	return write_line(vault->fd, "token", token);
}

int
vault_token_drop(const struct vault *vault, slice token)
{
	struct buf there = {0};
	int rc = vault_token_load(vault, &there);

	if (rc == 0 && slice_eq(buf_slice(&there), token) && unlinkat(vault->fd, "token", 0) < 0)
		rc = -errno;
	buf_fini(&there);
	return rc == -ENOENT ? 0 : rc;
}

int
vault_cursors_load(const struct vault *vault, struct buf *ret_json)
{
	return read_file(vault->fd, "cursors", ret_json);
}

int
vault_cursors_store(const struct vault *vault, slice json)
{
	return vault_locked(vault) ? write_file(vault->fd, "cursors", json) : -EPERM;
}

/* --- The outbox --- */

struct listed {
	char name[CMID_MAX + 1];
};

struct names {
	struct listed *items; /* owned */
	size_t count, capacity;
};

static int
name_order(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

/* What a killed process left half-written. */
static void
remove_stale(int dir, const char *name)
{
	struct stat st;
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    now.tv_sec - st.st_mtim.tv_sec > STALE_MS / 1000)
		(void)unlinkat(dir, name, 0);
}

static void
names_add(struct names *names, const char *name)
{
	if (names->count == names->capacity) {
		names->capacity = names->capacity > 0 ? names->capacity * 2 : 16;
		names->items = mem_resize(names->items, names->capacity, sizeof(names->items[0]));
	}
	(void)snprintf(names->items[names->count].name, sizeof(names->items[0].name), "%s", name);
	names->count++;
}

/* The messages in a directory in the order of their names; the caller frees items. */
static int
list_names(int dir, struct names *ret_names)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *open_dir = fd < 0 ? NULL : fdopendir(fd);

	*ret_names = (struct names){0};
	if (open_dir == NULL) {
		int error = -errno;

		close_fd(fd);
		return error;
	}
	for (const struct dirent *e; (e = readdir(open_dir)) != NULL;) {
		if (cmid_plain(slice_str(e->d_name)))
			names_add(ret_names, e->d_name);
		else if (e->d_name[0] == '.' && strstr(e->d_name, ".tmp") != NULL)
			remove_stale(dir, e->d_name);
	}
	(void)closedir(open_dir);
	if (ret_names->count > 0)
		qsort(ret_names->items, ret_names->count, sizeof(ret_names->items[0]), name_order);
	return 0;
}

static void
cmid_name(slice cmid, char ret_name[CMID_MAX + 1])
{
	assert(cmid_plain(cmid));
	memcpy(ret_name, cmid.ptr, cmid.len);
	ret_name[cmid.len] = '\0';
}

int
vault_outbox_put(const struct vault *vault, slice cmid, slice json)
{
	char name[CMID_MAX + 1];

	cmid_name(cmid, name);
	return write_file(vault->outbox_fd, name, json);
}

void
vault_outbox_sent(const struct vault *vault, slice cmid)
{
	char name[CMID_MAX + 1];

	cmid_name(cmid, name);
	(void)renameat(vault->outbox_fd, name, vault->sent_fd, name);
}

void
vault_outbox_drop(const struct vault *vault, slice cmid)
{
	char name[CMID_MAX + 1];

	cmid_name(cmid, name);
	(void)unlinkat(vault->outbox_fd, name, 0);
}

int
vault_outbox_load(
    const struct vault *vault, void (*each)(slice cmid, slice json, void *cookie), void *cookie)
{
	struct buf json = {0};
	struct names names;
	int rc = list_names(vault->outbox_fd, &names);

	for (size_t i = 0; rc == 0 && i < names.count && i < VAULT_OUTBOX_MAX; i++) {
		buf_clear(&json);
		if (read_file(vault->outbox_fd, names.items[i].name, &json) == 0)
			each(slice_str(names.items[i].name), buf_slice(&json), cookie);
	}
	mem_free(names.items);
	buf_fini(&json);
	return rc;
}

/* A file keeps the time it was written; renaming leaves it. */
static bool
recent(int dir, const char *name, uint64_t real_ms)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (uint64_t)st.st_mtim.tv_sec * 1000u + VAULT_SENT_MS >= real_ms;
}

int
vault_outbox_revive(const struct vault *vault, uint64_t real_ms)
{
	struct names names;
	int count = list_names(vault->sent_fd, &names);

	for (size_t i = 0; count >= 0 && i < names.count; i++) {
		const char *name = names.items[i].name;

		if (recent(vault->sent_fd, name, real_ms) &&
		    renameat(vault->sent_fd, name, vault->outbox_fd, name) == 0)
			count++;
	}
	mem_free(names.items);
	return count;
}

void
vault_outbox_tidy(const struct vault *vault, uint64_t real_ms)
{
	struct names names;

	/* What a kill left half-written beside token and cursors goes by listing. */
	if (list_names(vault->fd, &names) == 0)
		mem_free(names.items);
	if (list_names(vault->sent_fd, &names) < 0)
		return;
	for (size_t i = 0; i < names.count; i++)
		if (names.count - i > VAULT_SENT_MAX ||
		    !recent(vault->sent_fd, names.items[i].name, real_ms))
			(void)unlinkat(vault->sent_fd, names.items[i].name, 0);
	mem_free(names.items);
}
