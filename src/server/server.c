/* SPDX-License-Identifier: MIT */
/* Building the server from its parts, and taking it apart. */
#include "server/server.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/rate.h"
#include "server/lock.h"
#include "server/notify.h"
#include "server/server_internal.h"
#include "server/wiring.h"

enum {
	FDS_KEPT = 64,        /* for the store, logs, event loops: never given to connections */
	FDS_MAX = 1 << 20,    /* more is not asked for: the kernel keeps a table for them */
	SETTLE_ROUNDS = 1000, /* mail answering mail, when the threads have ended */
	ERROR_BYTES = 1024,
};

static int
failed(const char *why)
{
	(void)fprintf(stderr, "confabd: %s\n", why);
	return 1;
}

/* --- Limits of the process --- */

static uint64_t
raise_fd_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1024;
	if (files.rlim_cur < files.rlim_max && files.rlim_cur < FDS_MAX) {
		struct rlimit more = files;

		more.rlim_cur = files.rlim_max < FDS_MAX ? files.rlim_max : FDS_MAX;
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			files = more;
	}
	return files.rlim_cur < FDS_MAX ? files.rlim_cur : FDS_MAX;
}

unsigned
server_max_connections(const struct server *server)
{
	uint64_t most = server->fd_limit > FDS_KEPT + 1 ? server->fd_limit - FDS_KEPT : 1;
	uint64_t wanted = server->config->max_connections;

	return (unsigned)(wanted == 0 || wanted > most ? most : wanted);
}

static unsigned
cores(void)
{
	cpu_set_t set;
	int count;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	count = CPU_COUNT(&set);
	return count < 1 ? 1 : count > SHARDS_MAX ? SHARDS_MAX : (unsigned)count;
}

/* --- Data and store --- */

/* Where the store is a file: its path. */
static const char *
store_path(const struct config *config)
{
	const struct wiring *row = wiring_find(WIRING_STORE, slice_str(config->store));

	assert(row != NULL);
	return row->on_disk ? config->store + strlen(row->scheme) : NULL;
}

/*
 * The data directory, and also a store that is kept elsewhere: never two processes on one file.  A
 * store in memory needs neither.
 */
static int
lock_data(struct server *server, char *error, size_t size)
{
	const struct config *config = server->started;
	const char *path = store_path(config);
	char lock[4096], what[4200];

	if (path == NULL)
		return 0;
	if (data_dir_make(config->data, error, size) < 0)
		return -1;
	(void)snprintf(lock, sizeof(lock), "%s/confabd.lock", config->data);
	(void)snprintf(what, sizeof(what), "the data directory %s", config->data);
	server->lock_fd = lock_take(lock, what, error, size);
	if (server->lock_fd < 0)
		return -1;
	if (slice_starts(slice_str(path), slice_str(config->data)) &&
	    path[strlen(config->data)] == '/')
		return 0;
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	(void)snprintf(what, sizeof(what), "the store %s", path);
	server->store_lock_fd = lock_take(lock, what, error, size);
	return server->store_lock_fd < 0 ? -1 : 0;
}

static void
store_done(void *cookie, struct op *op)
{
	struct server *server = cookie;

	assert(op->shard < server->slot_count);
	mail_post(&server->slots[op->shard].chat.box, &op->mail);
}

static void
store_reborn(void *cookie, slice epoch)
{
	struct server *server = cookie;
	struct order order = {.kind = ORDER_EPOCH};

	log_warn("store", "epoch", "epoch=%.*s", SLICE_ARG(epoch));
	assert(epoch.len < sizeof(order.epoch));
	memcpy(order.epoch, epoch.ptr, epoch.len);
	for (unsigned i = 0; i < server->slots_running; i++)
		slot_order(&server->slots[i], &order);
}

static void
hash_done(void *cookie, struct hash_job *job)
{
	struct server *server = cookie;

	assert(job->shard < server->slot_count);
	mail_post(&server->slots[job->shard].chat.box, &job->mail);
}

static int
open_store(struct server *server, char *error, size_t size)
{
	const struct config *config = server->started;
	struct store_options store = {
	    .url = config->store,
	    .readers = (unsigned)config->store_readers,
	    .done = store_done,
	    .epoch_changed = store_reborn,
	    .cookie = server,
	};
	struct pwpool_options pool = {
	    .threads = (unsigned)config->hash_threads,
	    .mem_kib = config->password_mem_kib,
	    .passes = config->password_passes,
	    .done = hash_done,
	    .cookie = server,
	};

	server->store = store_open(&store, error, size);
	if (server->store == NULL)
		return -1;
	if (pool.threads == 0)
		pool.threads = (cores() + 1) / 2;
	pool.queue_max = pool.threads * (unsigned)config->hash_queue;
	server->pool = pwpool_create(&pool);
	return 0;
}

/* --- Slots --- */

static int
make_slots(struct server *server, char *error, size_t size)
{
	server->buckets = rate_table_create();
	server->known = rate_table_create();
	server->quota = quota_table_create();
	server->slots = mem_zalloc(server->slot_count * sizeof(*server->slots));
	server->reactors = mem_zalloc(server->slot_count * sizeof(*server->reactors));
	server->gates = mem_zalloc(server->slot_count * sizeof(*server->gates));
	for (unsigned i = 0; i < server->slot_count; i++) {
		if (slot_init(&server->slots[i], server, i) < 0) {
			(void)snprintf(
			    error, size, "cannot make an event loop: %s", strerror(errno));
			return -1;
		}
		server->reactors[i] = server->slots[i].reactor;
		server->gates[i] = server->slots[i].gate;
		server->slots_running = i + 1;
	}
	return 0;
}

static int
start_slots(struct server *server, char *error, size_t size)
{
	for (unsigned i = 0; i < server->slot_count; i++) {
		int rc = slot_start(&server->slots[i]);

		if (rc != 0) {
			(void)snprintf(error, size, "cannot start a thread: %s", strerror(rc));
			return -1;
		}
	}
	return 0;
}

/* --- Listeners --- */

static const char *
listen_advice(int err)
{
	switch (err) {
	case EADDRINUSE:
		return "; another program, perhaps another confabd, has this port: stop it, or "
		       "choose another with "
		       "--listen ADDR:PORT";
	case EADDRNOTAVAIL:
		return "; this machine has no such address: choose one that `ip address` shows, or "
		       "* for all";
	case EACCES:
	case EPERM:
		return "; ports below 1024 are root's: choose another, or grant "
		       "CAP_NET_BIND_SERVICE";
	default:
		return "";
	}
}

static int
open_listener(struct server *server, const struct config_listener *wanted, char *error, size_t size)
{
	struct listener_options options = {
	    .proxy = wanted->proxy,
	    .tls_only = wanted->tls,
	    .tls = server->tls,
	    .cookie = server->gates,
	};
	struct listener *listener;

	if (listener_open(server->reactors, server->slot_count, wanted->address, &options,
		gate_opened, &listener) < 0) {
		(void)snprintf(error, size, "cannot listen on %s: %s%s", wanted->address,
		    strerror(errno), listen_advice(errno));
		return -1;
	}
	server->listeners[server->listener_count++] = listener;
	if (!wanted->tls && !server->started->allow_plain &&
	    !address_is_loopback(listener_address(listener))) {
		(void)snprintf(error, size,
		    "the inherited socket %s can be reached from other machines without TLS; add "
		    "\",tls\" to its "
		    "listen key, or set allow_plain = yes",
		    listener_address(listener));
		return -1;
	}
	return 0;
}

/* Sockets that were handed over stand for the addresses; the n-th takes the flags of the n-th
 * listen key. */
static int
open_listeners(struct server *server, unsigned inherited, char *error, size_t size)
{
	const struct config *config = server->started;
	size_t count = inherited > 0 ? inherited : config->listen_count;

	assert(count <= LIMIT_CONFIG_LIST);
	for (size_t i = 0; i < count; i++) {
		struct config_listener one = {0};
		char fd[16];

		if (i < config->listen_count)
			one = config->listen[i];
		(void)snprintf(fd, sizeof(fd), "fd:%zu", 3 + i);
		if (inherited > 0)
			one.address = fd;
		if (open_listener(server, &one, error, size) < 0)
			return -1;
	}
	listener_set_max(server_max_connections(server));
	return 0;
}

static int
make_tls(struct server *server, char *error, size_t size)
{
	const struct config *config = server->started;

	if (config->tls_cert[0] == '\0')
		return 0;
	server->tls = tls_context_create(config->tls_cert, config->tls_key, error, size);
	return server->tls == NULL ? -1 : 0;
}

/* --- Up and down --- */

/* One line on stdout once it serves: whoever started us reads the ports there. */
static void
say_ready(const struct server *server)
{
	char store[512];

	store_url_text(server->started->store, store, sizeof(store));
	printf("ready");
	for (size_t i = 0; i < server->listener_count; i++) {
		printf(" listen=%s", listener_address(server->listeners[i]));
		log_info(
		    "server", "listening", "address=%s", listener_address(server->listeners[i]));
	}
	printf(" node=%s\n", server->started->node);
	(void)fflush(stdout);
	notify_send("READY=1");
	log_info("server", "ready", "node=%s version=%s store=%s workers=%u max_connections=%u",
	    server->started->node, CONFAB_VERSION, store, server->slot_count,
	    server_max_connections(server));
}

static int
build(struct server *server, unsigned inherited, char *error, size_t size)
{
	if (make_tls(server, error, size) < 0 || lock_data(server, error, size) < 0 ||
	    open_store(server, error, size) < 0 || make_slots(server, error, size) < 0 ||
	    nodes_open(server, error, size) < 0 ||
	    open_listeners(server, inherited, error, size) < 0)
		return -1;
	return start_slots(server, error, size);
}

/* Mail answers mail: until a whole round brings none. */
static void
settle(struct server *server)
{
	bool any = true;

	for (unsigned round = 0; any && round < SETTLE_ROUNDS; round++) {
		any = false;
		for (unsigned i = 0; i < server->slots_running; i++)
			any |= slot_settle(&server->slots[i]);
	}
}

static void
take_apart(struct server *server)
{
	for (size_t i = 0; i < server->listener_count; i++)
		listener_close(&server->listeners[i]);
	/* What the clients' going leaves to be written reaches the store before it closes. */
	settle(server);
	nodes_close(server);
	pwpool_destroy(&server->pool);
	settle(server);
	store_close(&server->store);
	settle(server);
	for (unsigned i = 0; server->slots != NULL && i < server->slot_count; i++)
		slot_fini(&server->slots[i]);
	rate_table_destroy(&server->buckets);
	rate_table_destroy(&server->known);
	quota_table_destroy(&server->quota);
	tls_context_destroy(&server->tls);
	control_fini(server);
	if (server->store_lock_fd >= 0)
		(void)close(server->store_lock_fd);
	if (server->lock_fd >= 0)
		(void)close(server->lock_fd);
	mem_free(server->slots);
	mem_free(server->reactors);
	mem_free(server->gates);
	if (server->config != server->started)
		config_destroy(&server->config);
	config_destroy(&server->started);
}

static void
stop_slots(struct server *server)
{
	for (unsigned i = 0; i < server->slots_running; i++)
		if (server->slots[i].started)
			slot_order(&server->slots[i], &(struct order){.kind = ORDER_END});
	for (unsigned i = 0; i < server->slots_running; i++)
		if (server->slots[i].started)
			(void)pthread_join(server->slots[i].thread, NULL);
}

int
server_serve(struct config *config, const struct config_sources *sources)
{
	struct server server = {
	    .started = config,
	    .config = config,
	    .sources = sources,
	    .started_ms = clock_real_ms(),
	    .lock_fd = -1,
	    .store_lock_fd = -1,
	    .slot_count = config->workers > 0 ? (unsigned)config->workers : cores(),
	};
	const char *log_file = config->log_file[0] != '\0' ? config->log_file : NULL;
	unsigned inherited = notify_inherited();
	char error[ERROR_BYTES] = "";
	int rc = 0;

	(void)umask(077);
	server.fd_limit = raise_fd_limit();
	if (control_init(&server) < 0) {
		(void)snprintf(
		    error, sizeof(error), "cannot wait for signals: %s", strerror(errno));
	} else if (log_start(log_file, (enum log_level)config->log_level) < 0) {
		(void)snprintf(error, sizeof(error),
		    "cannot write the log file %s: %s; choose another with --log-file",
		    config->log_file, strerror(errno));
	} else if (build(&server, inherited, error, sizeof(error)) == 0) {
		say_ready(&server);
		control_run(&server);
	}
	stop_slots(&server);
	take_apart(&server);
	if (error[0] == '\0')
		log_info("server", "ended", "%s", "");
	log_stop();
	if (error[0] != '\0')
		rc = failed(error);
	return rc;
}
