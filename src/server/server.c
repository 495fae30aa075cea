/* SPDX-License-Identifier: MIT */
/* Building the server from its parts, and taking it apart. */
#include "server/server.h"

#include <errno.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/rate.h"
#include "server/listen.h"
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
	server->lock_fd = lock_keep(handover_claim(&server->handed, HANDOVER_LOCK_DATA), lock, what,
	    error, size);
	if (server->lock_fd < 0)
		return -1;
	if (slice_starts(slice_str(path), slice_str(config->data)) &&
	    path[strlen(config->data)] == '/')
		return 0;
	(void)snprintf(lock, sizeof(lock), "%s.lock", path);
	(void)snprintf(what, sizeof(what), "the store %s", path);
	server->store_lock_fd = lock_keep(handover_claim(&server->handed, HANDOVER_LOCK_STORE), lock,
	    what, error, size);
	return server->store_lock_fd < 0 ? -1 : 0;
}

static void
store_done(void *cookie, struct op *op)
{
	struct server *server = cookie;

	assert(op->shard < server->slot_count);
	mail_post(&server->slots[op->shard].chat.box, &op->mail);
}

/* Takes those of one shard out and posts them; the others stay ours to look at. */
static void
post_done(struct slot *slot, unsigned shard, struct op **ops, size_t count)
{
	struct mail *newest = NULL, *oldest = NULL;

	for (size_t i = 0; i < count; i++) {
		if (ops[i] == NULL || ops[i]->shard != shard)
			continue;
		ops[i]->mail.next = newest;
		newest = &ops[i]->mail;
		if (oldest == NULL)
			oldest = newest;
		ops[i] = NULL;
	}
	if (newest != NULL)
		mail_post_all(&slot->chat.box, newest, oldest);
}

/* A shard hears of a batch in one turn, so that its entries go out in one write and one ring. */
static void
store_done_all(void *cookie, struct op **ops, size_t count)
{
	struct server *server = cookie;

	for (unsigned i = 0; i < server->slot_count; i++)
		post_done(&server->slots[i], i, ops, count);
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
	    .done_all = store_done_all,
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

/* --- TLS --- */

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
build(struct server *server, char *error, size_t size)
{
	if (make_tls(server, error, size) < 0 || lock_data(server, error, size) < 0 ||
	    open_store(server, error, size) < 0 || make_slots(server, error, size) < 0 ||
	    nodes_open(server, error, size) < 0 || listen_open(server, error, size) < 0)
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
	handover_close(&server->handed);
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

/* --- Restart --- */

/* What the next program needs stays open when this one is taken apart. */
static bool
hand_over(const struct server *server, struct handover *handover)
{
	if (!server->restarting)
		return false;
	if (listen_hand_over(server, handover) == 0 &&
	    (server->lock_fd < 0 || handover_add(handover, server->lock_fd, HANDOVER_LOCK_DATA) == 0) &&
	    (server->store_lock_fd < 0 ||
		handover_add(handover, server->store_lock_fd, HANDOVER_LOCK_STORE) == 0))
		return true;
	log_error("server", "restart_without_sockets", "why=\"%s\"", strerror(errno));
	handover_close(handover);
	return true;
}

/* The program that was started; if that cannot be executed any more, this one goes on. */
static int
become_successor(
    const char *program, const struct config_sources *sources, const struct handover *handover)
{
	struct handover_env env;
	char why[ERROR_BYTES];

	handover_env_init(&env, handover);
	handover_exec(handover, &env, program, sources->argv);
	(void)snprintf(why, sizeof(why), "cannot execute %s: %s", program, strerror(errno));
	handover_exec(handover, &env, "/proc/self/exe", sources->argv);
	handover_env_fini(&env);
	return failed(why);
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
	char error[ERROR_BYTES] = "", program[PATH_MAX] = "";
	struct handover next = {0};
	bool follows;
	int rc = 0;

	handover_program(program, sizeof(program));
	server.program = program;
	(void)umask(077);
	handover_take(&server.handed);
	server.fd_limit = raise_fd_limit();
	if (control_init(&server) < 0) {
		(void)snprintf(
		    error, sizeof(error), "cannot wait for signals: %s", strerror(errno));
	} else if (log_start(log_file, (enum log_level)config->log_level) < 0) {
		(void)snprintf(error, sizeof(error),
		    "cannot write the log file %s: %s; choose another with --log-file",
		    config->log_file, strerror(errno));
	} else if (build(&server, error, sizeof(error)) == 0) {
		say_ready(&server);
		control_run(&server);
	}
	stop_slots(&server);
	follows = error[0] == '\0' && hand_over(&server, &next);
	take_apart(&server);
	if (error[0] == '\0')
		log_info("server", follows ? "restarting" : "ended", "%s", "");
	log_stop();
	if (error[0] != '\0')
		rc = failed(error);
	else if (follows)
		rc = become_successor(program, sources, &next);
	return rc;
}
