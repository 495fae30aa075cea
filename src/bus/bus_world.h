/* SPDX-License-Identifier: MIT */
/*
 * For tests of the bus: Redis servers and Sentinels of their own on free ports, and nodes that note
 * what they are told.  Nothing is waited for by time alone: a wait ends when it came true, or fails
 * the test when its deadline is over.
 */
#ifndef BUS_BUS_WORLD_H
#define BUS_BUS_WORLD_H

#include <pthread.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/stat.h"
#include "bus/bus.h"

enum { WAIT_MS = 30 * 1000 };

/* --- Redis --- */

struct redis_server {
	char dir[64];
	char extra[1024]; /* options behind those that all have */
	int port;
	pid_t pid;
	bool sentinel;
};

/* A free port, and a directory. */
void redis_prepare(struct redis_server *server);
/* Waits until it answers. */
void redis_start(struct redis_server *server);
void redis_kill(struct redis_server *server, int signal);
/* Ends it and removes its directory. */
void redis_end(struct redis_server *server);
#define REDIS(server, ...) redis_say(server, (const char *const[]){__VA_ARGS__, NULL})
/* A command by words, NULL at the end, whose answer is of no interest but must be no error. */
void redis_say(const struct redis_server *server, const char *const *words);
/* Rings as a node publishes them that the others know nothing else of. */
void redis_ring_as(const struct redis_server *server, const char *node, enum ring_scope scope,
    uint64_t id, const char *bytes);

/* Until the answer has so many elements, or a text with that in it. */
void redis_wait_elements(const struct redis_server *server, size_t count, const char *const *words);
void redis_wait_text(const struct redis_server *server, const char *part, const char *const *words);
/* For cmocka: *state is a server, started or only prepared. */
int redis_setup(void **state);
int redis_setup_absent(void **state);
int redis_teardown(void **state);

/* --- Nodes --- */

#define NODE_URL "redis://127.0.0.1:%d"

struct note {
	char what; /* h(eard) o(pened) l(ost) u(p) d(own) */
	enum ring_scope scope;
	uint64_t id, boot;
	char node[40];
	char bytes[64];
	size_t len;
};

struct node {
	struct bus *bus;
	pthread_mutex_t lock;
	pthread_cond_t told;
	struct note *notes; /* owned; grows */
	size_t count, size;
};

/* url: with %d for the server's port. */
void node_open(struct node *node, const char *name, const char *url, int port);
/* With another key, epoch or boot than all the others have; NULL or 0: theirs. */
void node_open_as(struct node *node, const char *name, const char *url, int port, const char *epoch,
    const char *key);
void node_close(struct node *node);

/* "a" and "b", which hear each other. */
void node_pair(const struct redis_server *server, struct node *a, struct node *b);
/* Interest, and its opening. */
void node_want(struct node *node, enum ring_scope scope, uint64_t id);

/* How many notes of that kind there are. */
size_t node_count(struct node *node, char what);
/* Waits for more than `before` notes of that kind. */
void node_wait_more(struct node *node, char what, size_t before);
/* Waits for a note; name NULL: of any node. */
void node_wait_opened(struct node *node, enum ring_scope scope, uint64_t id);
void node_wait_heard(struct node *node, enum ring_scope scope, uint64_t id, const char *bytes);
void node_wait_up(struct node *node, const char *name);
void node_wait_down(struct node *node, const char *name);
bool node_heard(struct node *node, const char *bytes);
void node_forget(struct node *node);
/* Waits until it hears itself, or does not, and as many others. */
void node_wait_health(struct node *node, bool looped, unsigned peers);
/* Until the node's health says that why, or a part of it. */
void node_wait_why(struct node *node, const char *part);
/* Rings until the other hears it, which it does only then. */
void node_ring_until_heard(
    struct node *from, struct node *to, enum ring_scope scope, uint64_t id, const char *bytes);

uint64_t counted(enum stat_counter which);
void wait_counted(enum stat_counter which, uint64_t more_than);
void nap(void);

#endif
