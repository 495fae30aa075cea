/* SPDX-License-Identifier: MIT */
/*
 * A load generator for one confabd over TCP: many connections from one thread, closed loop, every delivery
 * counted and checked for its place.  Prints one JSON line with the server's CPU time between two marks, taken
 * from /proc.  Used by bench/figures, which prepares users and groups.
 *
 *   load idle   PORT PID TOKENS COUNT             connect, resume, sync; then wait for a line on stdin
 *   load fanout PORT PID TOKENS MEMBERS CID BURST ROUNDS
 *   load direct PORT PID TOKENS PAIRS WINDOW MESSAGES
 *
 * TOKENS: a file of lines `name token`.  fanout: the first MEMBERS are members of the group CID, the first of
 * them writes.  direct: user 2i writes to user 2i+1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"

enum { EVENTS = 256, READ_BYTES = 256 * 1024, BODY_BYTES = 200 };

struct user {
	char name[40], token[64];
};

struct client {
	int fd;
	struct buf in, out;
	uint64_t next_seq;	/* the place that the next message must have; 0: any */
	uint64_t answers, deliveries, sent;
	bool synced;
};

static struct user *users;
static size_t user_count;
static struct client *clients;
static size_t client_count;
static int epoll_fd;
static uint64_t total_answers, total_deliveries, total_synced;
static char body[BODY_BYTES + 1];

static void
users_load(const char *path)
{
	FILE *f = fopen(path, "r");
	struct user u;

	if (f == NULL)
		panic("%s: %s", path, strerror(errno));
	while (fscanf(f, "%39s %63s", u.name, u.token) == 2) {
		users = mem_resize(users, user_count + 1, sizeof(*users));
		users[user_count++] = u;
	}
	(void)fclose(f);
}

/* User and system time of all of a process's threads. */
static double
process_cpu_s(const char *pid)
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
client_flush(struct client *c)
{
	ssize_t n;

	while (buf_len(&c->out) > 0) {
		n = send(c->fd, buf_head(&c->out), buf_len(&c->out), MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			panic("send: %s", strerror(errno));
		buf_consume(&c->out, (size_t)n);
	}
}

static void
client_open(struct client *c, const struct user *user, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)(void *)&to, sizeof(to)) != 0)
		panic("connect: %s", strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
		panic("epoll_ctl: %s", strerror(errno));
	buf_printf(&c->out,
	    "{\"id\":0,\"method\":\"resume\",\"params\":{\"token\":\"%s\",\"sync\":{\"backlog\":0}}}\n", user->token);
	client_flush(c);
}

static uint64_t
number_after(slice line, const char *key)
{
	const char *at = memmem(line.ptr, line.len, key, strlen(key));

	return at != NULL ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static void
client_line(struct client *c, slice line)
{
	static const char message[] = "\"method\":\"message\"";

	if (memmem(line.ptr, line.len < 60 ? line.len : 60, message, sizeof(message) - 1) != NULL) {
		uint64_t seq = number_after(line, "\"seq\":");

		if (c->next_seq != 0 && seq != c->next_seq)
			panic("message %llu where %llu was due", (unsigned long long)seq,
			    (unsigned long long)c->next_seq);
		c->next_seq = seq + 1;
		c->deliveries++;
		total_deliveries++;
	} else if (memmem(line.ptr, line.len, "\"error\":", 8) != NULL) {
		panic("%.*s", SLICE_ARG(line));
	} else if (memmem(line.ptr, line.len, "\"epoch\":", 8) != NULL) {
		c->synced = true;
		total_synced++;
	} else if (memmem(line.ptr, line.len, "\"result\":", 9) != NULL) {
		c->answers++;
		total_answers++;
	}
}

static void
client_read(struct client *c)
{
	ssize_t n = recv(c->fd, buf_reserve(&c->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
	const char *end;

	if (n == 0 || (n < 0 && errno != EAGAIN))
		panic("a connection was closed: %s", n < 0 ? strerror(errno) : "end of file");
	if (n < 0)
		return;
	buf_grew(&c->in, (size_t)n);
	while ((end = memchr(buf_head(&c->in), '\n', buf_len(&c->in))) != NULL) {
		size_t len = (size_t)(end - buf_head(&c->in));

		client_line(c, slice_of(buf_head(&c->in), len));
		buf_consume(&c->in, len + 1);
		if (buf_len(&c->in) == 0)
			break;
	}
	if (buf_len(&c->in) == 0)
		buf_fini(&c->in);
}

/* Waits for input once; each client that got some is handed to `then`. */
static void
turn(void (*then)(struct client *c))
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epoll_fd, events, EVENTS, 10000);

	if (n == 0)
		panic("nothing came for ten seconds");
	for (int i = 0; i < n; i++) {
		struct client *c = events[i].data.ptr;

		client_read(c);
		if (then != NULL)
			then(c);
	}
}

static void
open_all(size_t count, uint16_t port)
{
	if (count > user_count)
		panic("%zu users are wanted, the file has %zu", count, user_count);
	clients = mem_zalloc(count * sizeof(*clients));
	client_count = count;
	for (size_t i = 0; i < count; i++) {
		client_open(&clients[i], &users[i], port);
		while (i > total_synced + 200)
			turn(NULL);
	}
	while (total_synced < count)
		turn(NULL);
}

static void
report(const char *what, double cpu_s, double wall_s, uint64_t sends, uint64_t deliveries)
{
	printf("{\"scenario\":\"%s\",\"connections\":%zu,\"sends\":%llu,\"deliveries\":%llu,\"server_cpu_s\":%.2f,"
	       "\"wall_s\":%.2f,\"cpu_us_per_send\":%.2f,\"cpu_us_per_delivery\":%.3f,\"sends_per_cpu_s\":%.0f,"
	       "\"deliveries_per_cpu_s\":%.0f,\"sends_per_s\":%.0f}\n",
	    what, client_count, (unsigned long long)sends, (unsigned long long)deliveries, cpu_s, wall_s,
	    cpu_s * 1e6 / (double)sends, cpu_s * 1e6 / (double)deliveries, (double)sends / cpu_s,
	    (double)deliveries / cpu_s, (double)sends / wall_s);
}

static void
send_message(struct client *c, const char *to, uint64_t id)
{
	/* A time-ordered cmid, unique in this run. */
	buf_printf(&c->out,
	    "{\"id\":%llu,\"method\":\"send\",\"params\":{\"to\":%s,\"cmid\":\"%013llx-%u\",\"body\":\"%s\"}}\n",
	    (unsigned long long)id, to, (unsigned long long)clock_mono_ns(), (unsigned)id, body);
	c->sent++;
}

static void
fanout(const char *pid, const char *cid, unsigned burst, unsigned rounds)
{
	struct client *author = &clients[0];
	uint64_t warm = rounds / 10 + 1, started = 0;
	double cpu = 0;

	for (unsigned round = 0; round < rounds + warm; round++) {
		uint64_t want = total_deliveries + (uint64_t)burst * client_count;

		if (round == warm) {
			cpu = process_cpu_s(pid);
			started = clock_mono_ns();
		}
		for (unsigned i = 0; i < burst; i++)
			send_message(author, cid, i + 1);
		client_flush(author);
		while (total_deliveries < want)
			turn(NULL);
	}
	report("fanout", process_cpu_s(pid) - cpu, (double)(clock_mono_ns() - started) / 1e9,
	    (uint64_t)rounds * burst, (uint64_t)rounds * burst * client_count);
}

static unsigned direct_window;
static uint64_t direct_limit, direct_sent;

static void
direct_refill(struct client *c)
{
	size_t i = (size_t)(c - clients);
	char to[48];

	if (i % 2 != 0)
		return;
	(void)snprintf(to, sizeof(to), "\"@%s\"", users[i + 1].name);
	while (c->sent - c->answers < direct_window && direct_sent < direct_limit) {
		send_message(c, to, c->sent + 1);
		direct_sent++;
	}
	client_flush(c);
}

/* Each message is delivered to both sides. */
static void
direct_phase(uint64_t messages)
{
	direct_limit = direct_sent + messages;
	for (size_t i = 0; i < client_count; i += 2)
		direct_refill(&clients[i]);
	while (total_answers < direct_limit || total_deliveries < 2 * direct_limit)
		turn(direct_refill);
}

static void
direct(const char *pid, unsigned window, uint64_t messages)
{
	uint64_t started;
	double cpu;

	direct_window = window;
	direct_phase(messages / 10 + client_count);
	cpu = process_cpu_s(pid);
	started = clock_mono_ns();
	direct_phase(messages);
	report("direct", process_cpu_s(pid) - cpu, (double)(clock_mono_ns() - started) / 1e9, messages, 2 * messages);
}

static unsigned
number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

int
main(int argc, char **argv)
{
	if (argc < 6) {
		fputs("usage: load idle|fanout|direct PORT PID TOKENS COUNT ...; see the top of bench/load.c\n", stderr);
		return 2;
	}
	memset(body, 'x', BODY_BYTES);
	epoll_fd = epoll_create1(0);
	users_load(argv[4]);
	if (strcmp(argv[1], "idle") == 0 && argc == 6) {
		open_all(number(argv[5]), (uint16_t)number(argv[2]));
		puts("ready");
		(void)fflush(stdout);
		return getchar() == EOF;
	}
	if (strcmp(argv[1], "fanout") == 0 && argc == 9) {
		open_all(number(argv[5]), (uint16_t)number(argv[2]));
		fanout(argv[3], argv[6], number(argv[7]), number(argv[8]));
		return 0;
	}
	if (strcmp(argv[1], "direct") == 0 && argc == 8) {
		open_all(2 * (size_t)number(argv[5]), (uint16_t)number(argv[2]));
		direct(argv[3], number(argv[6]), number(argv[7]));
		return 0;
	}
	fputs("load: wrong number of arguments; see the top of bench/load.c\n", stderr);
	return 2;
}
