/* SPDX-License-Identifier: MIT */
/*
 * Floor D: what a durable direct message costs at least.  Connections 0 and 1 are a pair, 2 and 3 the next, as they
 * come in.  A line is stored as it is, in a table without an index, by a thread that commits (WAL, FULL) what has
 * gathered meanwhile; then its sender gets `A n` and his peer `M n LINE`, one send per connection and turn.
 *
 *   floor_direct PATH
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/panic.h"
#include "common.h"

enum { EVENTS = 256, READ_BYTES = 64 * 1024, LISTENER = -1, COMMITTED = -2 };

struct conn {
	int fd;
	struct buf in, out;
	uint64_t answers, messages;
	bool dirty;
};

struct line {
	size_t from, start, len; /* of bytes in the batch */
};

/* Lines one behind the other, and where each begins. */
struct batch {
	struct buf bytes;
	struct line *lines;
	size_t count, room;
};

static struct conn **conns;
static size_t conn_count;
static struct conn **dirty;
static size_t dirty_count;
static int epoll_fd;

static struct batch batches[2];
static struct batch *filling = &batches[0], *writing = &batches[1];
static bool busy, finished; /* a batch is with the thread; it came back; under the lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static int done_fd;
static sqlite3 *db;

/* --- The thread of the log --- */

static void
step(sqlite3_stmt *s)
{
	if (sqlite3_step(s) != SQLITE_DONE)
		panic("%s", sqlite3_errmsg(db));
	(void)sqlite3_reset(s);
}

static void
batch_write(struct batch *b, sqlite3_stmt *begin, sqlite3_stmt *insert, sqlite3_stmt *commit)
{
	step(begin);
	for (size_t i = 0; i < b->count; i++) {
		(void)sqlite3_bind_int64(insert, 1, (sqlite3_int64)b->lines[i].from);
		(void)sqlite3_bind_text(
		    insert, 2, buf_head(&b->bytes) + b->lines[i].start, (int)b->lines[i].len, SQLITE_STATIC);
		step(insert);
	}
	step(commit);
}

static void *
log_thread(void *cookie)
{
	sqlite3_stmt *begin = floor_prepare(db, "BEGIN IMMEDIATE"), *commit = floor_prepare(db, "COMMIT");
	sqlite3_stmt *insert = floor_prepare(db, "INSERT INTO log (sender, line) VALUES (?,?)");
	uint64_t one = 1;

	for (;;) {
		(void)pthread_mutex_lock(&lock);
		while (!busy || finished)
			(void)pthread_cond_wait(&work, &lock);
		(void)pthread_mutex_unlock(&lock);
		batch_write(writing, begin, insert, commit);
		(void)pthread_mutex_lock(&lock);
		finished = true;
		(void)pthread_mutex_unlock(&lock);
		if (write(done_fd, &one, sizeof(one)) != sizeof(one))
			panic("eventfd: %s", strerror(errno));
	}
	return cookie;
}

/* --- The loop --- */

static void
conn_queue(struct conn *c, char kind, uint64_t number, const char *line, size_t len)
{
	buf_printf(&c->out, "%c %llu", kind, (unsigned long long)number);
	if (len > 0) {
		buf_append(&c->out, " ", 1);
		buf_append(&c->out, line, len);
	}
	buf_append(&c->out, "\n", 1);
	if (!c->dirty)
		dirty[dirty_count++] = c;
	c->dirty = true;
}

static void
batch_start(void)
{
	struct batch *b = filling;

	if (busy || b->count == 0)
		return;
	filling = writing;
	writing = b;
	(void)pthread_mutex_lock(&lock);
	busy = true;
	(void)pthread_cond_signal(&work);
	(void)pthread_mutex_unlock(&lock);
}

static void
batch_answer(void)
{
	uint64_t count;

	if (read(done_fd, &count, sizeof(count)) != sizeof(count))
		panic("eventfd: %s", strerror(errno));
	for (size_t i = 0; i < writing->count; i++) {
		struct line *l = &writing->lines[i];
		struct conn *from = conns[l->from];
		size_t to = l->from ^ 1;

		conn_queue(from, 'A', ++from->answers, NULL, 0);
		if (to < conn_count)
			conn_queue(conns[to], 'M', ++conns[to]->messages, buf_head(&writing->bytes) + l->start, l->len);
	}
	writing->count = 0;
	buf_clear(&writing->bytes);
	(void)pthread_mutex_lock(&lock);
	busy = finished = false;
	(void)pthread_mutex_unlock(&lock);
}

static void
conn_flush(struct conn *c)
{
	ssize_t n;

	c->dirty = false;
	while (buf_len(&c->out) > 0 && (n = send(c->fd, buf_head(&c->out), buf_len(&c->out), MSG_NOSIGNAL)) > 0)
		buf_consume(&c->out, (size_t)n);
	if (buf_len(&c->out) == 0)
		buf_clear(&c->out);
}

static void
line_take(size_t from, const char *line, size_t len)
{
	struct batch *b = filling;

	if (b->count == b->room) {
		b->room = b->room == 0 ? 1024 : 2 * b->room;
		b->lines = mem_resize(b->lines, b->room, sizeof(*b->lines));
	}
	b->lines[b->count++] = (struct line){from, buf_len(&b->bytes), len};
	buf_append(&b->bytes, line, len);
}

/* Everybody leaves before the next come: a run begins with an empty table of connections. */
static void
conn_gone(struct conn *c)
{
	static size_t gone;

	(void)close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	c->fd = -1;
	if (++gone == conn_count)
		conn_count = gone = 0;
}

/* Takes the whole lines; returns how many bytes they were. */
static size_t
lines_take(size_t from, const char *bytes, size_t len)
{
	size_t taken = 0;
	const char *end;

	while (taken < len && (end = memchr(bytes + taken, '\n', len - taken)) != NULL) {
		size_t line_len = (size_t)(end - (bytes + taken));

		line_take(from, bytes + taken, line_len);
		taken += line_len + 1;
	}
	return taken;
}

static void
conn_readable(size_t index)
{
	static char bytes[READ_BYTES];
	struct conn *c = conns[index];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			conn_gone(c);
	} else if (buf_len(&c->in) == 0) {
		size_t taken = lines_take(index, bytes, (size_t)n);

		if (taken < (size_t)n)
			buf_append(&c->in, bytes + taken, (size_t)n - taken);
	} else {
		buf_append(&c->in, bytes, (size_t)n);
		buf_consume(&c->in, lines_take(index, buf_head(&c->in), buf_len(&c->in)));
	}
}

static void
conns_accept(int listener)
{
	static size_t room;
	int fd;

	while ((fd = floor_accept(listener)) >= 0) {
		if (conn_count == room) {
			conns = mem_resize(conns, room + 1, sizeof(struct conn *));
			dirty = mem_resize(dirty, room + 1, sizeof(struct conn *));
			conns[room++] = mem_zalloc(sizeof(struct conn));
		}
		*conns[conn_count] = (struct conn){.fd = fd};
		floor_watch(epoll_fd, fd, conn_count++);
	}
}

static void
turn(const struct epoll_event *events, int n, int listener)
{
	for (int i = 0; i < n; i++) {
		if (events[i].data.u64 == (uint64_t)LISTENER)
			conns_accept(listener);
		else if (events[i].data.u64 == (uint64_t)COMMITTED)
			batch_answer();
		else
			conn_readable((size_t)events[i].data.u64);
	}
	batch_start();
	for (size_t i = 0; i < dirty_count; i++)
		conn_flush(dirty[i]);
	dirty_count = 0;
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	pthread_t thread;
	int listener, n;

	if (argc != 2) {
		fputs("usage: floor_direct PATH\n", stderr);
		return 2;
	}
	floor_descriptors();
	db = floor_db(argv[1]);
	floor_sql(db, "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, sender INTEGER, line TEXT)");
	epoll_fd = epoll_create1(0);
	done_fd = eventfd(0, 0);
	floor_watch(epoll_fd, done_fd, (uint64_t)COMMITTED);
	if (pthread_create(&thread, NULL, log_thread, NULL) != 0)
		panic("pthread_create");
	listener = floor_listen();
	floor_watch(epoll_fd, listener, (uint64_t)LISTENER);
	while ((n = epoll_wait(epoll_fd, events, EVENTS, -1)) >= 0 || errno == EINTR)
		turn(events, n, listener);
	panic("epoll_wait: %s", strerror(errno));
}
