/* SPDX-License-Identifier: MIT */
/*
 * What server.c (building and taking apart), slot.c (one reactor's share) and control.c (signals,
 * reload, drain) have in common.
 *
 *   main thread   control_run(): signals and reports        --- orders --->  slots
 *   slot          reactor + shard + gate on a thread        --- operations, jobs --->  store,
 * password pool their threads                                           --- mail back --->  slots
 */
#ifndef SERVER_SERVER_INTERNAL_H
#define SERVER_SERVER_INTERNAL_H

#include <pthread.h>

#include "bus/bus.h"
#include "chat/shard.h"
#include "gate/gate.h"
#include "net/net.h"
#include "server/config.h"
#include "server/handover.h"
#include "server/pwpool.h"
#include "store/store.h"

struct server;

/* From the main thread to a slot. */
enum order_kind {
	ORDER_CONFIG, /* take over server->config; answered by a report */
	ORDER_EPOCH, /* the store lives another life */
	ORDER_UNLISTEN, /* stop accepting; who connects waits; for slot 0 */
	ORDER_UNBIND, /* close the listening sockets: who connects is refused; for slot 0 */
	ORDER_GOAWAY, /* ask one wave of the clients to go, and all who begin to speak from now on */
	ORDER_FINISH, /* let those that are left take what is queued, and close */
	ORDER_REPORT, /* how much is left? */
	ORDER_END, /* close everything, and end the thread */
};

struct order {
	struct mail mail;
	enum order_kind kind;
	uint32_t reconnect_ms;
	unsigned wave, waves;
	char epoch[40];
};

/* Back to the main thread. */
struct report {
	struct mail mail;
	enum order_kind about;
	size_t calls, conns;
};

struct slot {
	struct server *server; /* borrowed */
	struct reactor *reactor; /* owned, as are they */
	struct shard *shard;
	struct gate *gate;
	struct reactor_mailbox chat; /* operations, hash jobs, mail of other shards */
	struct reactor_mailbox orders;
	struct mail *writes, **writes_end; /* owned: for the store, when the turn ends */
	struct timer tick;
	unsigned ticks;
	uint64_t admin_revision;
	uint64_t memory_budget; /* bytes */
	bool draining;
	bool started; /* the thread runs, or ran */
	pthread_t thread;
};

struct server {
	struct config *started; /* owned: what it began with, for all that is not live */
	struct config
	    *config; /* owned: what holds now; the same as started until the first reload */
	const struct config_sources *sources; /* borrowed */
	uint64_t started_ms;
	uint64_t fd_limit;
	int lock_fd, store_lock_fd; /* -1: none */
	struct store *store; /* owned, as are they; NULL while there is none */
	struct pwpool *pool;
	struct bus *bus;
	struct rate_table *buckets, *known; /* of all shards */
	struct quota_table *quota; /* of all gates: connections by address */
	struct slot *slots; /* by reactor index */
	struct reactor **reactors;
	struct gate **gates;
	unsigned slot_count, slots_running;
	struct listener *listeners[LIMIT_CONFIG_LIST];
	char listen_names[LIMIT_CONFIG_LIST][HANDOVER_NAME_BYTES]; /* what they are handed over as */
	size_t listener_count;
	struct handover handed; /* what was handed over to us and nobody has claimed yet */
	const char *program; /* borrowed: the path it was started with; "": unknown */
	bool restarting; /* when it is over, the program is executed again */
	struct tls_context *tls;

	struct mailbox control; /* to the main thread; posting writes control_fd */
	int control_fd, signal_fd;
};

/* --- slot.c --- */

/* Makes the reactor's share; the store and the pool must be there.  0, or -1 with errno. */
int slot_init(struct slot *slot, struct server *server, unsigned index)
    __attribute__((warn_unused_result));
/* 0, or an error number. */
int slot_start(struct slot *slot) __attribute__((warn_unused_result));
/* With its thread ended: takes in what was posted meanwhile.  True if there was something. */
bool slot_settle(struct slot *slot);
void slot_fini(struct slot *slot);
void slot_order(struct slot *slot, const struct order *order);

/* --- control.c --- */

/* Blocks the signals that control_run() waits for, before any thread; 0, or -1 with errno. */
int control_init(struct server *server) __attribute__((warn_unused_result));
/* Returns when the drain is over; the slots still run. */
void control_run(struct server *server);
void control_fini(struct server *server);

/* --- nodes.c --- */

/* Begins to listen to the other nodes, if there can be any; the slots must be there.  0, or -1 with
 * a message for people. */
int nodes_open(struct server *server, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));
/* With the slots' threads ended. */
void nodes_close(struct server *server);
/* Whether there can be other nodes. */
bool nodes_wanted(const struct server *server);

/* --- server.c --- */

/* Connections at a time, by the configuration and the limit of descriptors. */
unsigned server_max_connections(const struct server *server);

#endif
