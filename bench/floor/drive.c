/* SPDX-License-Identifier: MIT */
/*
 * One generator for confabd, the floors and Redis, so that they are read by the same hand.  Checks every delivery
 * for its place and content, stops at the first that is wrong, and prints one line of JSON with the server's CPU
 * time (user and system, all threads) between the end of the warm-up and the last delivery.
 *
 *   floor_drive fanout STYLE PORT PID TOKENS MEMBERS BURST ROUNDS           to the group with cid 1
 *   floor_drive direct STYLE PORT PID TOKENS PAIRS WINDOW MESSAGES RATE     RATE 0: closed loop
 *   floor_drive ingest STYLE PORT PID TOKENS SENDERS WINDOW MESSAGES        to cid 1, without listeners
 *   floor_drive resume STYLE PORT PID TOKENS USERS WINDOW RESUMES
 *   floor_drive idle   STYLE PORT PID TOKENS            then on stdin: open N | say USER CID COUNT | wait DELIVERIES
 *
 * STYLE: confab, floor, redis (fanout only).  TOKENS: a file of lines `name token`, or - where nobody logs in.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "common.h"

enum { EVENTS = 256, READ_BYTES = 256 * 1024, BODY_BYTES = 200 };
#define PATIENCE 20000000000ULL /* in ns: a server that is silent for so long has lost something */
enum style { CONFAB, FLOOR, REDIS };

struct user {
	char name[40], token[64];
};

struct client {
	int fd;
	struct buf in, out;
	uint64_t next, sent, answers; /* next: the number that the next message must have; 0: any */
};

static enum style style;
static const char *pid;
static uint16_t port;
static struct user *users;
static size_t user_count;
static struct client *clients;
static size_t client_count;
static int epoll_fd;
static bool in_order = true, with_sync = true;
static uint64_t answers, deliveries, logins, closed;
static char body[BODY_BYTES + 1];

/* --- The mark: CPU and wall time, and what the answers took --- */

static struct {
	double cpu_s;
	uint64_t at_ns;
} mark;
static uint64_t *latencies, latency_count, open_start_ns, open_rate, open_from, open_pairs;

static double
server_cpu_s(void)
{
	char path[64], text[1024];
	unsigned long user, sys;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if ((f = fopen(path, "r")) == NULL || fgets(text, sizeof(text), f) == NULL)
		panic("%s: %s", path, strerror(errno));
	(void)fclose(f);
	if (sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
		panic("%s is not as expected", path);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void
mark_set(void)
{
	mark.cpu_s = server_cpu_s();
	mark.at_ns = clock_mono_ns();
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
report(uint64_t units, uint64_t verified)
{
	double cpu = server_cpu_s() - mark.cpu_s, wall = (double)(clock_mono_ns() - mark.at_ns) / 1e9;

	printf("{\"units\":%llu,\"verified\":%llu,\"server_cpu_s\":%.2f,\"wall_s\":%.3f,\"cpu_us_per_unit\":%.4f,"
	       "\"units_per_s\":%.0f",
	    (unsigned long long)units, (unsigned long long)verified, cpu, wall, cpu * 1e6 / (double)units,
	    (double)units / wall);
	if (latency_count > 0) {
		qsort(latencies, latency_count, sizeof(*latencies), by_size);
		printf(",\"p50_us\":%llu,\"p99_us\":%llu", (unsigned long long)latencies[latency_count / 2] / 1000,
		    (unsigned long long)latencies[latency_count * 99 / 100] / 1000);
	}
	puts("}");
}

/* --- Clients --- */

static void
client_flush(struct client *c)
{
	ssize_t n;

	while (buf_len(&c->out) > 0) {
		if ((n = send(c->fd, buf_head(&c->out), buf_len(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT)) >= 0)
			buf_consume(&c->out, (size_t)n);
		else if (errno != EAGAIN || poll(&(struct pollfd){.fd = c->fd, .events = POLLOUT}, 1, 0) < 0)
			panic("send: %s", strerror(errno));
		else
			return; /* the rest goes when something comes */
	}
}

static void
client_connect(struct client *c)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int one = 1;

	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)(void *)&to, sizeof(to)) != 0)
		panic("connect: %s", strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
		panic("epoll_ctl: %s", strerror(errno));
}

static void
client_login(struct client *c, size_t user)
{
	if (style == CONFAB)
		buf_printf(&c->out, "{\"id\":0,\"method\":\"resume\",\"params\":{\"token\":\"%s\"%s}}\n", users[user].token,
		    with_sync ? ",\"sync\":{\"backlog\":0}" : "");
	else if (style == REDIS)
		buf_printf(&c->out, "SUBSCRIBE c\r\n");
	else
		logins++;
	client_flush(c);
}

static void
took_answer(struct client *c, uint64_t id)
{
	uint64_t number = (id - 1) * open_pairs + (size_t)(c - clients) / 2;

	c->answers++;
	answers++;
	if (open_rate > 0 && number >= open_from)
		latencies[latency_count++] =
		    clock_mono_ns() - (open_start_ns + (uint64_t)((double)number * 1e9 / (double)open_rate));
}

static void
took_message(struct client *c, uint64_t number, const char *text, size_t len)
{
	if (in_order && c->next != 0 && number != c->next)
		panic("message %llu where %llu was due", (unsigned long long)number, (unsigned long long)c->next);
	if (len < BODY_BYTES / 2 || memcmp(text, body, len < BODY_BYTES ? len : BODY_BYTES) != 0)
		panic("an altered message: %.*s", (int)len, text);
	c->next = number + 1;
	deliveries++;
}

static uint64_t
number_after(const char *line, size_t len, const char *key, const char **ret_at)
{
	const char *at = memmem(line, len, key, strlen(key));

	if (at == NULL)
		panic("no %s in %.*s", key, (int)len, line);
	*ret_at = at + strlen(key);
	return strtoull(*ret_at, NULL, 10);
}

static void
confab_line(struct client *c, const char *line, size_t len)
{
	const char *at;

	if (len > 24 && memcmp(line + 17, "\"method\":\"message\"", 18) == 0) {
		uint64_t seq = number_after(line + 35, len - 35, "\"seq\":", &at);

		(void)number_after(at, len - (size_t)(at - line), "\"body\":\"", &at);
		took_message(c, seq, at, len - (size_t)(at - line));
	} else if (memmem(line, len, "\"error\":", 8) != NULL) {
		panic("%.*s", (int)len, line);
	} else if (memmem(line, len, "\"epoch\":", 8) != NULL) {
		logins++;
	} else if (len > 22 && memcmp(line + 17, "\"id\":", 5) == 0) {
		took_answer(c, strtoull(line + 22, NULL, 10));
	}
}

/* `N xxx` is a message of the fan-outs, `A N` an answer and `M N LINE` a message of floor D. */
static void
bare_line(struct client *c, const char *line, size_t len)
{
	const char *at;

	if (*line == 'A') {
		took_answer(c, strtoull(line + 2, NULL, 10));
	} else if (*line == 'M') {
		(void)number_after(line, len, "\"body\":\"", &at);
		took_message(c, strtoull(line + 2, NULL, 10), at, len - (size_t)(at - line));
	} else if (*line == '0') {
		took_message(c, strtoull(line, NULL, 10), line + 12, 187);
		if (len != (style == FLOOR ? BODY_BYTES - 1 : BODY_BYTES + 1))
			panic("a message of %zu bytes", len);
	} else if (memcmp(line, "subscribe", len < 9 ? len : 9) == 0) {
		logins++;
	}
}

static void
client_read(struct client *c)
{
	static char bytes[READ_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	const char *end, *at = bytes;
	size_t len;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != ECONNRESET)) {
		closed++;
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
		return;
	}
	if (n < 0)
		return;
	len = (size_t)n;
	if (buf_len(&c->in) > 0) {
		buf_append(&c->in, bytes, len);
		at = buf_head(&c->in);
		len = buf_len(&c->in);
	}
	for (; len > 0 && (end = memchr(at, '\n', len)) != NULL; at = end + 1) {
		if (end > at)
			(style == CONFAB ? confab_line : bare_line)(c, at, (size_t)(end - at));
		len -= (size_t)(end + 1 - at);
	}
	if (buf_len(&c->in) > 0)
		buf_consume(&c->in, buf_len(&c->in) - len);
	else if (len > 0)
		buf_append(&c->in, at, len);
	if (buf_len(&c->in) == 0 && c->in.bytes != NULL)
		buf_fini(&c->in);
}

/* Waits for input once; each client that got some is handed to `then`. */
static void
turn(void (*then)(struct client *c), uint64_t patience_ns)
{
	struct timespec patience = {
	    .tv_sec = (time_t)(patience_ns / 1000000000), .tv_nsec = (long)(patience_ns % 1000000000)};
	struct epoll_event events[EVENTS];
	int n = epoll_pwait2(epoll_fd, events, EVENTS, &patience, NULL);

	if (n == 0 && patience_ns == PATIENCE)
		panic("nothing came for %llu seconds: %llu answers, %llu deliveries", PATIENCE / 1000000000ULL,
		    (unsigned long long)answers, (unsigned long long)deliveries);
	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;

		client_read(c);
		if (buf_len(&c->out) > 0)
			client_flush(c);
		if (then != NULL)
			then(c);
	}
}

static void
open_up_to(size_t count)
{
	if (style == CONFAB && count > user_count)
		panic("%zu users are wanted, the file has %zu", count, user_count);
	for (; client_count < count; client_count++) {
		client_connect(&clients[client_count]);
		client_login(&clients[client_count], client_count);
		while (client_count > logins + 200)
			turn(NULL, PATIENCE);
	}
	while (logins < count)
		turn(NULL, PATIENCE);
}

/* --- What they say --- */

/* `to` is JSON; the cmid is time-ordered and unique in this run. */
static void
say(struct client *c, const char *to)
{
	c->sent++;
	buf_printf(&c->out, "{\"id\":%llu,\"method\":\"send\",\"params\":{\"to\":%s,\"cmid\":\"%013llx-%zu\",\"body\":\"%s\"}}\n",
	    (unsigned long long)c->sent, to, (unsigned long long)clock_mono_ns(), (size_t)(c - clients), body);
}

static void
say_to_all(struct client *c)
{
	unsigned long long number = c->sent + 1;

	if (style == CONFAB) {
		say(c, "1");
		return;
	}
	c->sent++;
	if (style == FLOOR)
		buf_printf(&c->out, "%011llu %.187s\n", number, body);
	else
		buf_printf(&c->out, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$200\r\n%011llu %.188s\r\n", number, body);
}

static void
fanout(size_t members, unsigned burst, unsigned rounds)
{
	unsigned warm = rounds / 10 + 1;
	struct client *author = &clients[0];
	uint64_t want;

	open_up_to(members);
	if (style == REDIS)
		client_connect(author = &clients[members]);
	for (unsigned round = 0; round < rounds + warm; round++) {
		if (round == warm)
			mark_set();
		want = deliveries + (uint64_t)burst * members;
		for (unsigned i = 0; i < burst; i++)
			say_to_all(author);
		client_flush(author);
		while (deliveries < want)
			turn(NULL, PATIENCE);
	}
	report((uint64_t)burst * rounds * members, deliveries);
}

static unsigned window;
static uint64_t said, limit;

static void
pair_refill(struct client *c)
{
	size_t i = (size_t)(c - clients);
	char to[48];

	if (i % 2 != 0)
		return;
	(void)snprintf(to, sizeof(to), "\"@%s\"", style == CONFAB ? users[i + 1].name : "user000000");
	for (; c->sent - c->answers < window && said < limit; said++)
		say(c, to);
	client_flush(c);
}

static void
pairs_say(uint64_t messages)
{
	uint64_t copies = style == CONFAB ? 2 : 1; /* confabd gives the author his own message too */

	limit = said + messages;
	for (size_t i = 0; i < client_count; i++)
		pair_refill(&clients[i]);
	while (answers < limit || deliveries < copies * limit)
		turn(pair_refill, PATIENCE);
}

/* Message number n is due at n / rate seconds, whatever became of those before, and goes to pair n mod pairs. */
static void
pairs_say_at(uint64_t messages)
{
	open_start_ns = clock_mono_ns();
	for (uint64_t n = 0; answers < messages;) {
		uint64_t due = (clock_mono_ns() - open_start_ns) / 1000 * open_rate / 1000000;
		size_t i;

		for (; n < due && n < messages; n++) {
			char to[48];

			i = n % open_pairs * 2;
			(void)snprintf(to, sizeof(to), "\"@%s\"", style == CONFAB ? users[i + 1].name : "user000000");
			say(&clients[i], to);
			client_flush(&clients[i]);
			if (n == open_from)
				mark_set();
		}
		turn(NULL, n < messages ? 1000000000 / open_rate : PATIENCE);
	}
}

static void
direct(size_t pairs, uint64_t messages, uint64_t rate)
{
	uint64_t warm = messages / 10 + pairs;

	open_up_to(2 * pairs);
	open_pairs = pairs;
	if (rate == 0) {
		pairs_say(warm);
		mark_set();
		pairs_say(messages);
	} else {
		open_rate = rate;
		open_from = warm;
		latencies = mem_zalloc((messages + 1) * sizeof(*latencies));
		pairs_say_at(messages + warm);
	}
	report(messages, deliveries);
}

static void
group_refill(struct client *c)
{
	for (; c->sent - c->answers < window && said < limit; said++)
		say(c, "1");
	client_flush(c);
}

static void
ingest(size_t senders, uint64_t messages)
{
	with_sync = false;
	open_up_to(senders);
	for (unsigned phase = 0; phase < 2; phase++) {
		limit = said + (phase == 0 ? messages / 10 : messages);
		if (phase == 1)
			mark_set();
		for (size_t i = 0; i < client_count; i++)
			group_refill(&clients[i]);
		while (answers < limit)
			turn(group_refill, PATIENCE);
	}
	report(messages, answers);
}

/* --- Coming and going --- */

static size_t next_user, resume_users;

static void
resume_next(struct client *c)
{
	size_t user = next_user++ % resume_users;

	client_connect(c);
	if (style == CONFAB) {
		client_login(c, user);
	} else {
		buf_printf(&c->out, "%zu\n", user + 1);
		client_flush(c);
	}
}

static void
resume_done(struct client *c)
{
	static uint64_t seen_logins, seen_closed;

	if (style == CONFAB ? logins == seen_logins : closed == seen_closed)
		return;
	seen_logins = logins;
	seen_closed = closed;
	said++;
	(void)close(c->fd);
	buf_fini(&c->in);
	c->fd = -1;
	if (next_user < limit)
		resume_next(c);
}

static void
resume(size_t people, uint64_t resumes)
{
	uint64_t warm = resumes / 10;

	resume_users = people;
	limit = resumes + warm;
	for (client_count = 0; client_count < window; client_count++)
		resume_next(&clients[client_count]);
	while (said < limit) {
		turn(resume_done, PATIENCE);
		if (mark.at_ns == 0 && said >= warm) {
			warm = said;
			mark_set();
		}
	}
	report(said - warm, said);
}

static void
idle(void)
{
	unsigned long long a, count;
	char line[128];
	unsigned cid;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "open %llu", &a) == 1) {
			open_up_to(a);
		} else if (sscanf(line, "say %llu %u %llu", &a, &cid, &count) == 3) {
			(void)snprintf(line, sizeof(line), "%u", cid);
			for (; count > 0; count--)
				say(&clients[a], line);
			client_flush(&clients[a]);
			continue;
		} else if (sscanf(line, "wait %llu", &a) == 1) {
			while (deliveries < a)
				turn(NULL, PATIENCE);
		}
		puts("ok");
		(void)fflush(stdout);
	}
}

static void
users_load(const char *path)
{
	FILE *f = strcmp(path, "-") != 0 ? fopen(path, "r") : NULL;
	struct user u;

	if (f == NULL)
		return;
	while (fscanf(f, "%39s %63s", u.name, u.token) == 2) {
		users = mem_resize(users, user_count + 1, sizeof(*users));
		users[user_count++] = u;
	}
	(void)fclose(f);
}

static uint64_t
number(int argc, char **argv, int i)
{
	if (i >= argc)
		panic("too few arguments: see the top of drive.c");
	return strtoull(argv[i], NULL, 10);
}

#define ARG(i) number(argc, argv, (i))

int
main(int argc, char **argv)
{
	const char *what = argc > 5 ? argv[1] : "";

	memset(body, 'x', BODY_BYTES);
	floor_descriptors();
	epoll_fd = epoll_create1(0);
	port = (uint16_t)ARG(3);
	style = strcmp(argv[2], "confab") == 0 ? CONFAB : strcmp(argv[2], "redis") == 0 ? REDIS : FLOOR;
	pid = argv[4];
	users_load(argc > 5 ? argv[5] : "-");
	clients = mem_zalloc(20000 * sizeof(*clients));
	if (strcmp(what, "fanout") == 0) {
		fanout(ARG(6), (unsigned)ARG(7), (unsigned)ARG(8));
	} else if (strcmp(what, "direct") == 0) {
		window = (unsigned)ARG(7);
		direct(ARG(6), ARG(8), ARG(9));
	} else if (strcmp(what, "ingest") == 0) {
		window = (unsigned)ARG(7);
		ingest(ARG(6), ARG(8));
	} else if (strcmp(what, "resume") == 0) {
		window = (unsigned)ARG(7);
		resume(ARG(6), ARG(8));
	} else if (strcmp(what, "idle") == 0) {
		in_order = false;
		idle();
	} else {
		panic("no such scenario: %s", what);
	}
	return 0;
}
