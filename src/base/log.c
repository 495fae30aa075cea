/* SPDX-License-Identifier: MIT */
/*
 * Lines go into a ring of bytes under a lock that is held for one memcpy; the writer thread writes
 * straight out of the ring's filled part without the lock, since callers only touch the free part.
 *
 *   log_event -> format -> limit -> ring -> writer -> poll, write
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"

enum {
	LIMIT_RING_BYTES = 256 * 1024, /* full: the line is dropped and counted */
	LIMIT_LINE_BYTES = 1024,       /* longer lines are cut */
	LIMIT_REPEATS = 10,            /* lines of one event in one window */
	LIMIT_EVENTS = 512,            /* kinds told apart; those beyond share one allowance */
	WINDOW_MS = 1000,
	STOP_WAIT_MS =
	    1000, /* a reader of our stderr that has stopped holds up log_stop() so long */
};

/* One kind of event, told apart by its hash: no pointer is kept. */
struct allowance {
	uint64_t hash;
	uint64_t since_ms;
	uint32_t written, suppressed;
};

static struct {
	pthread_mutex_t lock; /* a leaf: nothing else is locked while it is held */
	pthread_cond_t filled;
	pthread_t writer;
	bool running, stopping, reopen;
	int fd;
	char *path; /* owned; NULL: stderr */
	char *ring; /* owned */
	size_t start, len;
	bool within_line; /* the writer's: where the last byte that was written stands */
	bool torn; /* the writer's: a line's end is to come first */
	uint64_t dropped, dropped_told;
	struct allowance allowances[LIMIT_EVENTS + 1];
} self = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .fd = STDERR_FILENO};

static int level_max = LOG_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static uint64_t
event_hash(const char *module, const char *event)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (const char *p = module; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
	hash = (hash ^ '.') * 0x100000001b3u;
	for (const char *p = event; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
	return hash | 1;
}

static struct allowance *
allowance_find(uint64_t hash)
{
	for (size_t i = 0; i < LIMIT_EVENTS; i++) {
		struct allowance *a = &self.allowances[(hash + i) % LIMIT_EVENTS];

		if (a->hash == hash)
			return a;
		if (a->hash == 0) {
			a->hash = hash;
			return a;
		}
	}
	return &self.allowances[LIMIT_EVENTS];
}

/* May this line be written?  Then *ret_suppressed says how many before it were not. */
static bool
allowed(uint64_t hash, uint32_t *ret_suppressed)
{
	struct allowance *a = allowance_find(hash);
	uint64_t now_ms = clock_mono_ms();

	if (a->written == 0 || now_ms - a->since_ms >= WINDOW_MS) {
		a->since_ms = now_ms;
		a->written = 0;
	}
	if (a->written >= LIMIT_REPEATS) {
		a->suppressed++;
		return false;
	}
	a->written++;
	*ret_suppressed = a->suppressed;
	a->suppressed = 0;
	return true;
}

static size_t
line_start(char *line, enum log_level level, const char *module, const char *event)
{
	uint64_t now_ms = clock_real_ms();
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;
	int n;

	(void)gmtime_r(&now, &tm);
	n = snprintf(line, LIMIT_LINE_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s %s",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    (int)(now_ms % 1000), level_names[level], module, event);
	assert(n > 0 && n < LIMIT_LINE_BYTES / 2);
	return (size_t)n;
}

__attribute__((format(printf, 3, 0))) static size_t
line_add(char *line, size_t len, const char *format, va_list ap)
{
	int n = vsnprintf(line + len, LIMIT_LINE_BYTES - len, format, ap);

	return n < 0 ? len : len + (size_t)n;
}

/* Cuts, makes one line of it and ends it. */
static size_t
line_end(char *line, size_t len)
{
	if (len > LIMIT_LINE_BYTES - 2) {
		len = LIMIT_LINE_BYTES - 2;
		memset(line + len - 3, '.', 3);
	}
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[len] = '\n';
	return len + 1;
}

static void
ring_add(const char *line, size_t len)
{
	size_t at = (self.start + self.len) % LIMIT_RING_BYTES;
	size_t first = LIMIT_RING_BYTES - at < len ? LIMIT_RING_BYTES - at : len;

	if (len > LIMIT_RING_BYTES - self.len) {
		self.dropped++;
		return;
	}
	memcpy(self.ring + at, line, first);
	memcpy(self.ring, line + first, len - first);
	if (self.len == 0)
		(void)pthread_cond_signal(&self.filled);
	self.len += len;
}

static void
line_give(const char *line, size_t len)
{
	if (self.running)
		ring_add(line, len);
	else
		(void)!write(STDERR_FILENO, line, len);
}

void
log_event(enum log_level level, const char *module, const char *event, const char *format, ...)
{
	char line[LIMIT_LINE_BYTES];
	uint32_t suppressed = 0;
	size_t len;
	va_list ap;

	if ((int)level > __atomic_load_n(&level_max, __ATOMIC_RELAXED))
		return;
	(void)pthread_mutex_lock(&self.lock);
	if (!allowed(event_hash(module, event), &suppressed)) {
		(void)pthread_mutex_unlock(&self.lock);
		return;
	}
	(void)pthread_mutex_unlock(&self.lock);

	len = line_start(line, level, module, event);
	if (suppressed > 0)
		len +=
		    (size_t)snprintf(line + len, sizeof(line) - len, " suppressed=%u", suppressed);
	if (format[0] != '\0') {
		line[len++] = ' ';
		va_start(ap, format);
		len = line_add(line, len, format, ap);
		va_end(ap);
	}
	len = line_end(line, len);

	(void)pthread_mutex_lock(&self.lock);
	line_give(line, len);
	(void)pthread_mutex_unlock(&self.lock);
}

/* --- The writer --- */

static int
path_open(const char *path)
{
	if (path == NULL)
		return STDERR_FILENO;
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static bool
is_stopping(void)
{
	bool stopping;

	(void)pthread_mutex_lock(&self.lock);
	stopping = self.stopping;
	(void)pthread_mutex_unlock(&self.lock);
	return stopping;
}

/* A pipe that polls writable takes PIPE_BUF bytes without blocking, so that stopping never hangs.
 */
static bool
wait_writable(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	int n;

	while ((n = poll(&pfd, 1, STOP_WAIT_MS)) <= 0)
		if ((n < 0 && errno != EINTR) || (n == 0 && is_stopping()))
			return false;
	return true;
}

/* Returns how many bytes it could write. */
static size_t
write_all(int fd, const char *bytes, size_t len)
{
	struct stat st;
	size_t most = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? len : 4096, done = 0;

	while (done < len && wait_writable(fd)) {
		size_t rest = len - done;
		ssize_t n = write(fd, bytes + done, rest < most ? rest : most);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			break;
		if (n > 0)
			done += (size_t)n;
	}
	return done;
}

static uint64_t
count_lines(const char *bytes, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	return lines;
}

static void
writer_reopen(void)
{
	int fd = path_open(self.path);
	int why = errno;

	if (fd < 0) {
		(void)pthread_mutex_unlock(&self.lock);
		log_error("log", "reopen_failed", "errno=%d", why);
		(void)pthread_mutex_lock(&self.lock);
	} else if (self.path != NULL) {
		(void)close(self.fd);
		self.fd = fd;
		self.within_line = self.torn = false;
	}
}

static void
tell_dropped(void)
{
	uint64_t lines = self.dropped - self.dropped_told;
	char line[LIMIT_LINE_BYTES];
	size_t len;

	if (lines == 0)
		return;
	self.dropped_told = self.dropped;
	len = line_start(line, LOG_WARN, "log", "dropped");
	len += (size_t)snprintf(
	    line + len, sizeof(line) - len, " lines=%llu", (unsigned long long)lines);
	ring_add(line, line_end(line, len));
}

/* Bytes out of the ring, with what ends a line that was cut off before; true if all of them are written. */
static bool
write_bytes(const char *bytes, size_t len, size_t *ret_done)
{
	*ret_done = 0;
	if (self.torn && write_all(self.fd, "\n", 1) == 0)
		return false;
	if (self.torn)
		self.torn = self.within_line = false;
	*ret_done = write_all(self.fd, bytes, len);
	if (*ret_done > 0)
		self.within_line = bytes[*ret_done - 1] != '\n';
	self.torn = *ret_done < len && self.within_line;
	return *ret_done == len;
}

/* Of the first `len` bytes only `done` could be written: the rest goes, to the end of its last line. */
static void
drop_rest(size_t done, size_t *len)
{
	self.dropped += count_lines(self.ring + self.start + done, *len - done);
	if (self.ring[self.start + *len - 1] == '\n')
		return;
	self.dropped++;
	while (self.ring[(self.start + (*len)++) % LIMIT_RING_BYTES] != '\n')
		;
}

/* Called with the lock, which is let go while writing. */
static void
write_some(void)
{
	size_t len = self.len, start = self.start, done;
	bool written;

	if (len > LIMIT_RING_BYTES - start)
		len = LIMIT_RING_BYTES - start;
	(void)pthread_mutex_unlock(&self.lock);
	written = write_bytes(self.ring + start, len, &done);
	(void)pthread_mutex_lock(&self.lock);
	if (!written)
		drop_rest(done, &len);
	self.start = (start + len) % LIMIT_RING_BYTES;
	self.len -= len;
	if (written)
		tell_dropped();
}

static void *
writer_main(void *cookie)
{
	(void)cookie;
	(void)pthread_mutex_lock(&self.lock);
	while (self.len > 0 || !self.stopping) {
		/* A line that goes on at the ring's begin is not spread over two files. */
		if (self.reopen && (self.torn || !self.within_line)) {
			self.reopen = false;
			writer_reopen();
		} else if (self.len > 0) {
			write_some();
		} else {
			(void)pthread_cond_wait(&self.filled, &self.lock);
		}
	}
	self.running = false; /* in the same hold as the last look: nothing is left behind */
	(void)pthread_mutex_unlock(&self.lock);
	return NULL;
}

int
log_start(const char *path, enum log_level level)
{
	sigset_t all, before;
	int fd;

	assert(!self.running);
	if ((fd = path_open(path)) < 0)
		return -1;
	(void)pthread_mutex_lock(&self.lock);
	self.fd = fd;
	self.path = path != NULL ? mem_dup(slice_str(path)) : NULL;
	self.ring = mem_alloc(LIMIT_RING_BYTES);
	self.start = self.len = 0;
	self.stopping = self.reopen = self.within_line = self.torn = false;
	self.running = true;
	(void)pthread_mutex_unlock(&self.lock);
	__atomic_store_n(&level_max, (int)level, __ATOMIC_RELAXED);

	/* Signals are the main thread's business. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&self.writer, NULL, writer_main, NULL) != 0)
		panic("the log's thread does not start");
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return 0;
}

void
log_reopen(enum log_level level)
{
	__atomic_store_n(&level_max, (int)level, __ATOMIC_RELAXED);
	(void)pthread_mutex_lock(&self.lock);
	self.reopen = self.running;
	(void)pthread_cond_signal(&self.filled);
	(void)pthread_mutex_unlock(&self.lock);
}

void
log_stop(void)
{
	(void)pthread_mutex_lock(&self.lock);
	if (!self.running) {
		(void)pthread_mutex_unlock(&self.lock);
		return;
	}
	self.stopping = true;
	(void)pthread_cond_signal(&self.filled);
	(void)pthread_mutex_unlock(&self.lock);
	(void)pthread_join(self.writer, NULL);

	(void)pthread_mutex_lock(&self.lock);
	if (self.path != NULL)
		(void)close(self.fd);
	mem_free(self.path);
	mem_free(self.ring);
	self.path = self.ring = NULL;
	self.fd = STDERR_FILENO;
	(void)pthread_mutex_unlock(&self.lock);
}

uint64_t
log_dropped(void)
{
	uint64_t dropped;

	(void)pthread_mutex_lock(&self.lock);
	dropped = self.dropped;
	(void)pthread_mutex_unlock(&self.lock);
	return dropped;
}

/* --- Peer's text --- */

static size_t
escape(unsigned char byte, char ret[4])
{
	static const char hex[] = "0123456789abcdef";

	if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
		ret[0] = (char)byte;
		return 1;
	}
	ret[0] = '\\';
	if (byte == '"' || byte == '\\' || byte == '\n') {
		ret[1] = byte == '\n' ? 'n' : (char)byte;
		return 2;
	}
	ret[1] = 'x';
	ret[2] = hex[byte >> 4];
	ret[3] = hex[byte & 15];
	return 4;
}

const char *
log_text(slice text, char *ret_text, size_t size)
{
	size_t len = 0, all = 0, room;
	char as[4];

	assert(size >= 8);
	for (size_t i = 0; i < text.len && all < size; i++)
		all += escape((unsigned char)text.ptr[i], as);
	room = all + 3 <= size ? size - 3 : size - 6;
	ret_text[len++] = '"';
	for (size_t i = 0; i < text.len; i++) {
		size_t n = escape((unsigned char)text.ptr[i], as);

		if (len - 1 + n > room) {
			memcpy(ret_text + len, "...", 3);
			len += 3;
			break;
		}
		memcpy(ret_text + len, as, n);
		len += n;
	}
	ret_text[len++] = '"';
	ret_text[len] = '\0';
	return ret_text;
}
