/* SPDX-License-Identifier: MIT */
#include "bus/bus_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* cmocka wants these before it. */
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bus/channels.h"
#include "bus/envelope.h"

/* What all nodes have, but those that are to have another. */
#define WORLD_EPOCH "e1"
#define WORLD_KEY "secret"

/* Between two looks at something that tells nobody when it changes. */
void
nap(void)
{
	const struct timespec while_ = {.tv_nsec = 5 * 1000 * 1000};

	(void)nanosleep(&while_, NULL);
}

/* --- Redis --- */

static int
free_port(void)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)close(fd);
	return ntohs(address.sin_port);
}

void
redis_prepare(struct redis_server *server)
{
	(void)snprintf(server->dir, sizeof(server->dir), "/tmp/confab-bus-XXXXXX");
	assert_non_null(mkdtemp(server->dir));
	server->port = free_port();
}

static void
write_config(const struct redis_server *server, const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	(void)fprintf(file,
	    "port %d\nbind 127.0.0.1\ndir %s\ndaemonize no\nlogfile %s/log\nprotected-mode no\n",
	    server->port, server->dir, server->dir);
	if (!server->sentinel)
		(void)fprintf(file, "save \"\"\nappendonly no\nenable-debug-command yes\n"
				    "repl-diskless-sync-delay 0\n");
	(void)fprintf(file, "%s\n", server->extra);
	assert_int_equal(fclose(file), 0);
}

static bool
answers(const struct redis_server *server)
{
	redisContext *context = redisConnect("127.0.0.1", server->port);
	redisReply *reply = NULL;

	if (context != NULL && context->err == 0)
		reply = redisCommand(context, "PING");
	if (reply != NULL)
		freeReplyObject(reply);
	if (context != NULL)
		redisFree(context);
	return reply != NULL;
}

void
redis_start(struct redis_server *server)
{
	uint64_t until_ms = clock_mono_ms() + WAIT_MS;
	char path[80];

	(void)snprintf(path, sizeof(path), "%s/conf", server->dir);
	write_config(server, path);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execlp("redis-server", "redis-server", path,
		    server->sentinel ? "--sentinel" : NULL, (char *)NULL);
		_exit(127);
	}
	while (!answers(server)) {
		assert_int_equal(waitpid(server->pid, NULL, WNOHANG), 0);
		assert_true(clock_mono_ms() < until_ms);
		nap();
	}
}

void
redis_kill(struct redis_server *server, int signal)
{
	assert_int_equal(kill(server->pid, signal), 0);
	if (signal == SIGSTOP || signal == SIGCONT)
		return;
	assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
	server->pid = 0;
}

void
redis_end(struct redis_server *server)
{
	static const char *const files[] = {"conf", "log", "dump.rdb"};
	char path[96];

	if (server->pid != 0)
		redis_kill(server, SIGKILL);
	for (size_t i = 0; i < LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", server->dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(server->dir);
}

/* The answer is the caller's. */
static redisReply *
ask(const struct redis_server *server, const char *const *words)
{
	redisContext *context = redisConnect("127.0.0.1", server->port);
	redisReply *reply;
	const char *argv[64];
	int count = 0;

	for (; words[count] != NULL; count++)
		argv[count] = words[count];
	assert_non_null(context);
	reply = redisCommandArgv(context, count, argv, NULL);
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		print_message("%s: %s\n", words[0], reply->str);
	assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
	redisFree(context);
	return reply;
}

void
redis_say(const struct redis_server *server, const char *const *words)
{
	freeReplyObject(ask(server, words));
}

void
redis_ring_as(const struct redis_server *server, const char *node, enum ring_scope scope,
    uint64_t id, const char *bytes)
{
	struct envelope_self self = {.node = slice_str(node), .boot = 7, .key = WORLD_KEY};
	struct envelope e = {.kind = ENVELOPE_RINGS, .scope = scope, .id = id, .seq = 1};
	redisContext *context = redisConnect("127.0.0.1", server->port);
	struct channels channels;
	char name[CHANNEL_NAME_BYTES];
	struct buf payload = {0};
	redisReply *reply;
	slice channel;

	envelope_set_epoch(&self, S(WORLD_EPOCH));
	envelope_begin(&payload, &self, &e);
	envelope_frame(&payload, slice_str(bytes));
	envelope_end(&payload, 0, &self);
	channels_init(&channels, S("main"));
	channel = channel_name(&channels, (struct channel_key){scope, id}, name);
	assert_non_null(context);
	reply = redisCommand(context, "PUBLISH %b %b", channel.ptr, channel.len,
	    buf_slice(&payload).ptr, buf_slice(&payload).len);
	assert_non_null(reply);
	assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
	freeReplyObject(reply);
	redisFree(context);
	channels_fini(&channels);
	buf_fini(&payload);
}

void
redis_wait_elements(const struct redis_server *server, size_t count, const char *const *words)
{
	uint64_t until_ms = clock_mono_ms() + WAIT_MS;

	for (;;) {
		redisReply *reply = ask(server, words);
		size_t elements = reply->elements;

		freeReplyObject(reply);
		if (elements == count)
			return;
		assert_true(clock_mono_ms() < until_ms);
		nap();
	}
}

void
redis_wait_text(const struct redis_server *server, const char *part, const char *const *words)
{
	uint64_t until_ms = clock_mono_ms() + WAIT_MS;

	for (;;) {
		redisReply *reply = ask(server, words);
		bool found = reply->str != NULL && strstr(reply->str, part) != NULL;

		freeReplyObject(reply);
		if (found)
			return;
		assert_true(clock_mono_ms() < until_ms);
		nap();
	}
}

int
redis_setup_absent(void **state)
{
	struct redis_server *server = mem_zalloc(sizeof(*server));

	redis_prepare(server);
	*state = server;
	return 0;
}

int
redis_setup(void **state)
{
	(void)redis_setup_absent(state);
	redis_start(*state);
	return 0;
}

int
redis_teardown(void **state)
{
	redis_end(*state);
	mem_free(*state);
	return 0;
}

/* --- Nodes --- */

static void
note(struct node *node, const struct note *one)
{
	(void)pthread_mutex_lock(&node->lock);
	if (node->count == node->size) {
		node->size = node->size * 2 + 16;
		node->notes = mem_resize(node->notes, node->size, sizeof(*node->notes));
	}
	node->notes[node->count++] = *one;
	(void)pthread_cond_broadcast(&node->told);
	(void)pthread_mutex_unlock(&node->lock);
}

static void
note_node(struct note *one, slice node)
{
	assert_true(node.len < sizeof(one->node));
	memcpy(one->node, node.ptr, node.len);
}

static void
on_heard(void *cookie, enum ring_scope scope, uint64_t id, slice node, slice bytes)
{
	struct note one = {.what = 'h', .scope = scope, .id = id, .len = bytes.len};

	note_node(&one, node);
	memcpy(one.bytes, bytes.ptr,
	    bytes.len < sizeof(one.bytes) - 1 ? bytes.len : sizeof(one.bytes) - 1);
	note(cookie, &one);
}

static void
on_opened(void *cookie, enum ring_scope scope, uint64_t id)
{
	note(cookie, &(struct note){.what = 'o', .scope = scope, .id = id});
}

static void
on_lost(void *cookie)
{
	note(cookie, &(struct note){.what = 'l'});
}

static void
on_up(void *cookie, slice node, uint64_t boot)
{
	struct note one = {.what = 'u', .boot = boot};

	note_node(&one, node);
	note(cookie, &one);
}

static void
on_down(void *cookie, slice node)
{
	struct note one = {.what = 'd'};

	note_node(&one, node);
	note(cookie, &one);
}

void
node_open_as(struct node *node, const char *name, const char *url, int port, const char *epoch,
    const char *key)
{
	static uint64_t boots = 1000;
	char text[512], error[256] = "";
	struct bus_options options = {
	    .url = text,
	    .node = name,
	    .boot = ++boots,
	    .cookie = node,
	    .heard = on_heard,
	    .opened = on_opened,
	    .lost = on_lost,
	    .node_up = on_up,
	    .node_down = on_down,
	};
	pthread_condattr_t attr;
	const char *hole = strstr(url, "%d");

	assert_non_null(hole);
	(void)snprintf(text, sizeof(text), "%.*s%d%s", (int)(hole - url), url, port, hole + 2);
	(void)snprintf(
	    options.epoch, sizeof(options.epoch), "%s", epoch != NULL ? epoch : WORLD_EPOCH);
	(void)snprintf(
	    (char *)options.key, sizeof(options.key), "%s", key != NULL ? key : WORLD_KEY);
	*node = (struct node){0};
	(void)pthread_mutex_init(&node->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&node->told, &attr);
	(void)pthread_condattr_destroy(&attr);
	node->bus = bus_open(&options, error, sizeof(error));
	assert_string_equal(error, "");
	assert_non_null(node->bus);
}

void
node_open(struct node *node, const char *name, const char *url, int port)
{
	node_open_as(node, name, url, port, NULL, NULL);
}

void
node_close(struct node *node)
{
	bus_close(&node->bus);
	assert_null(node->bus);
	(void)pthread_cond_destroy(&node->told);
	(void)pthread_mutex_destroy(&node->lock);
	mem_free(node->notes);
}

void
node_pair(const struct redis_server *server, struct node *a, struct node *b)
{
	node_open(a, "a", NODE_URL, server->port);
	node_open(b, "b", NODE_URL, server->port);
	node_wait_health(a, true, 1);
	node_wait_health(b, true, 1);
}

void
node_want(struct node *node, enum ring_scope scope, uint64_t id)
{
	bus_interest(node->bus, scope, id, true);
	node_wait_opened(node, scope, id);
}

/* --- What they were told --- */

struct wanted {
	char what;
	enum ring_scope scope;
	uint64_t id;
	const char *node, *bytes; /* NULL: any */
};

static bool
is_wanted(const struct note *one, const struct wanted *wanted)
{
	return one->what == wanted->what && one->scope == wanted->scope && one->id == wanted->id &&
	       (wanted->node == NULL || strcmp(one->node, wanted->node) == 0) &&
	       (wanted->bytes == NULL || strcmp(one->bytes, wanted->bytes) == 0);
}

static bool
has(const struct node *node, const struct wanted *wanted)
{
	for (size_t i = 0; i < node->count; i++)
		if (is_wanted(&node->notes[i], wanted))
			return true;
	return false;
}

static size_t
count_locked(const struct node *node, char what)
{
	size_t count = 0;

	for (size_t i = 0; i < node->count; i++)
		count += node->notes[i].what == what;
	return count;
}

static struct timespec
after_ms(uint64_t ms)
{
	uint64_t ns = clock_mono_ns() + ms * 1000000u;

	return (struct timespec){
	    .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

static void
wait_for(struct node *node, const struct wanted *wanted)
{
	struct timespec until = after_ms(WAIT_MS);
	int rc = 0;

	(void)pthread_mutex_lock(&node->lock);
	while (!has(node, wanted) && rc == 0)
		rc = pthread_cond_timedwait(&node->told, &node->lock, &until);
	(void)pthread_mutex_unlock(&node->lock);
	if (rc != 0)
		print_message("waited for %c scope=%d id=%llu node=%s bytes=%s\n", wanted->what,
		    (int)wanted->scope, (unsigned long long)wanted->id,
		    wanted->node != NULL ? wanted->node : "-",
		    wanted->bytes != NULL ? wanted->bytes : "-");
	assert_int_equal(rc, 0);
}

size_t
node_count(struct node *node, char what)
{
	size_t count;

	(void)pthread_mutex_lock(&node->lock);
	count = count_locked(node, what);
	(void)pthread_mutex_unlock(&node->lock);
	return count;
}

void
node_wait_more(struct node *node, char what, size_t before)
{
	struct timespec until = after_ms(WAIT_MS);
	int rc = 0;

	(void)pthread_mutex_lock(&node->lock);
	while (count_locked(node, what) <= before && rc == 0)
		rc = pthread_cond_timedwait(&node->told, &node->lock, &until);
	(void)pthread_mutex_unlock(&node->lock);
	assert_int_equal(rc, 0);
}

void
node_wait_opened(struct node *node, enum ring_scope scope, uint64_t id)
{
	wait_for(node, &(struct wanted){.what = 'o', .scope = scope, .id = id});
}

void
node_wait_heard(struct node *node, enum ring_scope scope, uint64_t id, const char *bytes)
{
	wait_for(node, &(struct wanted){.what = 'h', .scope = scope, .id = id, .bytes = bytes});
}

void
node_wait_up(struct node *node, const char *name)
{
	wait_for(node, &(struct wanted){.what = 'u', .node = name});
}

void
node_wait_down(struct node *node, const char *name)
{
	wait_for(node, &(struct wanted){.what = 'd', .node = name});
}

bool
node_heard(struct node *node, const char *bytes)
{
	bool found = false;

	(void)pthread_mutex_lock(&node->lock);
	for (size_t i = 0; i < node->count; i++)
		found |= node->notes[i].what == 'h' && strcmp(node->notes[i].bytes, bytes) == 0;
	(void)pthread_mutex_unlock(&node->lock);
	return found;
}

void
node_forget(struct node *node)
{
	(void)pthread_mutex_lock(&node->lock);
	node->count = 0;
	(void)pthread_mutex_unlock(&node->lock);
}

void
node_wait_health(struct node *node, bool looped, unsigned peers)
{
	uint64_t until_ms = clock_mono_ms() + WAIT_MS;
	struct bus_health health;

	while ((health = bus_health(node->bus)).looped != looped || health.peers != peers) {
		if (clock_mono_ms() >= until_ms)
			print_message("looped=%d peers=%u why=%s\n", health.looped, health.peers,
			    health.why != NULL ? health.why : "-");
		assert_true(clock_mono_ms() < until_ms);
		nap();
	}
}

void
node_wait_why(struct node *node, const char *part)
{
	uint64_t until_ms = clock_mono_ms() + WAIT_MS;
	const char *why;

	while ((why = bus_health(node->bus).why) == NULL || strstr(why, part) == NULL) {
		if (clock_mono_ms() >= until_ms)
			print_message("why=%s\n", why != NULL ? why : "-");
		assert_true(clock_mono_ms() < until_ms);
		nap();
	}
}

void
node_ring_until_heard(
    struct node *from, struct node *to, enum ring_scope scope, uint64_t id, const char *bytes)
{
	uint64_t until_ms = clock_mono_ms() + WAIT_MS;

	while (!node_heard(to, bytes)) {
		assert_true(clock_mono_ms() < until_ms);
		bus_ring(from->bus, scope, id, slice_str(bytes));
		for (int i = 0; i < 20 && !node_heard(to, bytes); i++)
			nap();
	}
}

/* --- Counters --- */

uint64_t
counted(enum stat_counter which)
{
	struct stats sum;

	stats_sum(&sum);
	return sum.counters[which];
}

void
wait_counted(enum stat_counter which, uint64_t more_than)
{
	uint64_t until_ms = clock_mono_ms() + WAIT_MS;

	while (counted(which) <= more_than) {
		assert_true(clock_mono_ms() < until_ms);
		nap();
	}
}
