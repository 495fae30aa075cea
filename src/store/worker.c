/* SPDX-License-Identifier: MIT */
/*
 * The threads of the store and the queues before them:
 *
 *   store_submit -> queue of writes -> a writer: all that waits, in batches -> driver write -> done()
 *                -> queue of reads  -> a reader: one at a time                -> driver read  -> done()
 *                -> refused (a queue was full, fault BUSY)  -> a reader                       -> done()
 *
 * An append that is refused keeps its place among the writes all the same, because appends are
 * answered in their order; it costs the writer nothing.
 *
 * While the writer commits, the next batch collects: the busier, the larger.  Locks: one per queue,
 * held for a few instructions, never two at once.
 */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/secret.h"
#include "base/stat.h"
#include "store/deal.h"
#include "store/driver.h"
#include "store/mysql_address.h"

#define STORE_MAGIC 0x57013a11u

enum { READERS_DEFAULT = 2, READERS_MAX = 16, WRITERS_MAX = 16, BUSY_RETRY_MS = 500 };
/* A writer that has been in its driver for so long hangs: that is for others to notice. */
enum { WRITER_HANGS_MS = 3000 };

/* Operations in the order submitted, linked by their mail. */
struct op_list {
	struct mail *first, *last;
	size_t count, bytes;
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct op_list ops;
	struct op_list refused; /* of the readers' queue only */
	unsigned waiting;       /* threads that sleep */
	bool stopping;
};

/* Most stores have one; of a pool each takes the operations that are dealt to it (deal.h). */
struct writer {
	struct store *store;
	struct driver *driver; /* its own part of the store's, or the store's itself */
	struct queue queue;
	_Atomic uint64_t began_ns; /* when it went into its driver; 0: it is not in there */
	pthread_t thread;
};

struct reader {
	struct store *store;
	unsigned index;
	pthread_t thread;
};

struct store {
	uint32_t magic;
	struct store_options options;
	struct driver *driver;                /* owned */
	unsigned char bus_key[BUS_KEY_BYTES]; /* where the driver has none */
	struct queue reads;
	struct writer writers[WRITERS_MAX];
	unsigned writer_count;
	struct reader readers[READERS_MAX];
	unsigned reader_count;
};

/* What an operation holds, about. */
static size_t
op_bytes(const struct op *op)
{
	const struct entry *entry = op->kind == OP_APPEND ? op->append.entry : NULL;

	return sizeof(*op) + (entry != NULL ? entry->body.len + entry->data.len : 0);
}

static void
list_add(struct op_list *ops, struct op *op)
{
	op->mail.next = NULL;
	ops->bytes += op_bytes(op);
	if (ops->last != NULL)
		ops->last->next = &op->mail;
	else
		ops->first = &op->mail;
	ops->last = &op->mail;
	ops->count++;
}

static struct op *
list_take(struct op_list *ops)
{
	struct mail *mail = ops->first;

	if (mail == NULL)
		return NULL;
	ops->first = mail->next;
	if (ops->first == NULL)
		ops->last = NULL;
	ops->count--;
	mail->next = NULL;
	ops->bytes -= op_bytes(container_of(mail, struct op, mail));
	return container_of(mail, struct op, mail);
}

static void
queue_init(struct queue *queue)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&queue->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&queue->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static void
queue_fini(struct queue *queue)
{
	assert(queue->ops.first == NULL && queue->refused.first == NULL);
	(void)pthread_cond_destroy(&queue->wake);
	(void)pthread_mutex_destroy(&queue->lock);
}

static void
refuse(struct op *op)
{
	op->fault = (struct fault){.err = ERR_BUSY, .retry_after_ms = BUSY_RETRY_MS};
	stat_add(STAT_STORE_BUSY, 1);
}

/*
 * Under one lock, so that who takes them finds all.  Those for which there is no room go to `refused`,
 * but for appends.
 */
static void
queue_add(struct queue *queue, struct op_list *ops, size_t limit, struct op_list *refused)
{
	struct op *op;
	bool asleep;

	(void)pthread_mutex_lock(&queue->lock);
	assert(!queue->stopping);
	while ((op = list_take(ops)) != NULL) {
		bool full = queue->ops.count >= limit || queue->ops.bytes >= LIMIT_STORE_BYTES;

		if (full)
			refuse(op);
		list_add(full && op->kind != OP_APPEND ? refused : &queue->ops, op);
	}
	asleep = queue->ops.first != NULL && queue->waiting > 0;
	(void)pthread_mutex_unlock(&queue->lock);
	if (asleep)
		(void)pthread_cond_signal(&queue->wake);
}

static void
queue_stop(struct queue *queue)
{
	(void)pthread_mutex_lock(&queue->lock);
	queue->stopping = true;
	(void)pthread_mutex_unlock(&queue->lock);
	(void)pthread_cond_broadcast(&queue->wake);
}

static void
store_done(struct store *store, struct op *op)
{
	store->options.done(store->options.cookie, op);
}

static void
store_done_all(struct store *store, struct op **ops, size_t count)
{
	if (store->options.done_all != NULL) {
		store->options.done_all(store->options.cookie, ops, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		store_done(store, ops[i]);
}

/* --- The writer --- */

static struct timespec
deadline_after(uint32_t ms)
{
	uint64_t ns = clock_mono_ns() + (uint64_t)ms * 1000000u;

	return (struct timespec){
	    .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

/*
 * The next batch: what waits, at most LIMIT_STORE_BATCH.  0 after wait_ms or, with *ret_stop, at
 * the end.
 */
static size_t
batch_take(struct queue *queue, uint32_t wait_ms, struct op **batch, bool *ret_stop)
{
	struct timespec until = deadline_after(wait_ms);
	size_t count = 0;
	int rc = 0;

	(void)pthread_mutex_lock(&queue->lock);
	while (queue->ops.first == NULL && !queue->stopping && rc != ETIMEDOUT) {
		queue->waiting++;
		rc = pthread_cond_timedwait(&queue->wake, &queue->lock, &until);
		queue->waiting--;
	}
	while (count < LIMIT_STORE_BATCH && queue->ops.first != NULL)
		batch[count++] = list_take(&queue->ops);
	*ret_stop = count == 0 && queue->stopping;
	(void)pthread_mutex_unlock(&queue->lock);
	return count;
}

/* 0: it has come back. */
static void
writer_enters(struct writer *writer, uint64_t now_ns)
{
	atomic_store_explicit(&writer->began_ns, now_ns, memory_order_relaxed);
}

static bool
writer_hangs(const struct writer *writer)
{
	uint64_t began = atomic_load_explicit(&writer->began_ns, memory_order_relaxed);
	uint64_t now = clock_mono_ns();

	return began != 0 && now > began && (now - began) / 1000000u >= WRITER_HANGS_MS;
}

static void
batch_run(struct writer *writer, struct op **batch, size_t count)
{
	struct op *taken[LIMIT_STORE_BATCH];
	uint64_t now = clock_mono_ns();
	size_t taken_count = 0;

	writer_enters(writer, now);
	gauge_add(GAUGE_STORE_QUEUE, -(int64_t)count);
	for (size_t i = 0; i < count; i++) {
		histogram_add(HISTOGRAM_QUEUED, now - batch[i]->queued_ns);
		if (batch[i]->fault.err != ERR_BUSY)
			taken[taken_count++] = batch[i];
	}
	if (taken_count > 0)
		writer->driver->type->write(writer->driver, taken, taken_count);
	writer_enters(writer, 0);
	store_done_all(writer->store, batch, count);
}

static void *
writer_main(void *cookie)
{
	struct writer *writer = cookie;
	struct op *batch[LIMIT_STORE_BATCH];
	bool stop = false;

	OBJ_CHECK(writer->store, STORE_MAGIC);
	while (!stop) {
		uint32_t wait_ms;
		size_t count;

		writer_enters(writer, clock_mono_ns());
		wait_ms = writer->driver->type->tick(writer->driver);
		writer_enters(writer, 0);
		count = batch_take(&writer->queue, wait_ms, batch, &stop);
		if (count > 0)
			batch_run(writer, batch, count);
	}
	return NULL;
}

/* --- The readers --- */

/* NULL at the end. */
static struct op *
read_take(struct queue *queue, bool *ret_refused)
{
	struct op *op;

	(void)pthread_mutex_lock(&queue->lock);
	while (queue->ops.first == NULL && queue->refused.first == NULL && !queue->stopping) {
		queue->waiting++;
		(void)pthread_cond_wait(&queue->wake, &queue->lock);
		queue->waiting--;
	}
	op = list_take(&queue->refused);
	*ret_refused = op != NULL;
	if (op == NULL)
		op = list_take(&queue->ops);
	(void)pthread_mutex_unlock(&queue->lock);
	return op;
}

static void *
reader_main(void *cookie)
{
	struct reader *reader = cookie;
	struct store *store = reader->store;
	struct op *op;
	bool refused;

	OBJ_CHECK(store, STORE_MAGIC);
	while ((op = read_take(&store->reads, &refused)) != NULL) {
		if (!refused) {
			gauge_add(GAUGE_READ_QUEUE, -1);
			store->driver->type->read(store->driver, reader->index, op);
		}
		store_done(store, op);
	}
	return NULL;
}

/*
 * A full queue refuses; a reader says so, because done() is never called inside the submitter's
 * call.
 */
static void
submit_refused(struct store *store, struct op_list *refused)
{
	struct queue *queue = &store->reads;
	struct op *op;

	(void)pthread_mutex_lock(&queue->lock);
	while ((op = list_take(refused)) != NULL)
		list_add(&queue->refused, op);
	(void)pthread_mutex_unlock(&queue->lock);
	(void)pthread_cond_signal(&queue->wake);
}

static void
submit(struct store *store, struct queue *queue, struct op_list *ops)
{
	bool reads = queue == &store->reads;
	enum stat_gauge gauge = reads ? GAUGE_READ_QUEUE : GAUGE_STORE_QUEUE;
	size_t limit = reads ? LIMIT_STORE_READS : LIMIT_STORE_WRITES / store->writer_count;
	struct op_list refused = {0};

	/* Counted before they are visible, so that the sum is never below zero. */
	gauge_add(gauge, (int64_t)ops->count);
	queue_add(queue, ops, limit, &refused);
	if (refused.count == 0)
		return;
	gauge_add(gauge, -(int64_t)refused.count);
	submit_refused(store, &refused);
}

static unsigned
writer_of(const struct store *store, const struct op *op)
{
	return store->writer_count > 1 ? (unsigned)(deal_key(op) % store->writer_count) : 0;
}

void
store_submit(struct store *store, struct op *op)
{
	struct op_list ops = {0};

	OBJ_CHECK(store, STORE_MAGIC);
	op->queued_ns = clock_mono_ns();
	list_add(&ops, op);
	if (op_writes((enum op_kind)op->kind))
		submit(store, &store->writers[writer_of(store, op)].queue, &ops);
	else
		submit(store, &store->reads, &ops);
}

void
store_submit_writes(struct store *store, struct mail *first)
{
	struct op_list dealt[WRITERS_MAX] = {0};
	uint64_t now_ns = clock_mono_ns();

	OBJ_CHECK(store, STORE_MAGIC);
	while (first != NULL) {
		struct op *op = container_of(first, struct op, mail);

		first = first->next;
		assert(op_writes((enum op_kind)op->kind));
		op->queued_ns = now_ns;
		list_add(&dealt[writer_of(store, op)], op);
	}
	for (unsigned i = 0; i < store->writer_count; i++)
		if (dealt[i].count > 0)
			submit(store, &store->writers[i].queue, &dealt[i]);
}

/* --- Life --- */

static void
thread_start(pthread_t *thread, void *(*run)(void *), void *cookie)
{
	int rc = pthread_create(thread, NULL, run, cookie);

	if (rc != 0)
		panic("store: no thread: %s", strerror(rc));
}

static unsigned
reader_count(const struct store_options *options)
{
	if (options->readers == 0)
		return READERS_DEFAULT;
	return options->readers < READERS_MAX ? options->readers : READERS_MAX;
}

static void
writers_find(struct store *store)
{
	struct driver *driver = store->driver;

	do {
		struct writer *writer = &store->writers[store->writer_count];

		writer->store = store;
		writer->driver = driver;
		queue_init(&writer->queue);
		store->writer_count++;
		driver = store->driver->type->writer == NULL
			     ? NULL
			     : store->driver->type->writer(store->driver, store->writer_count);
	} while (driver != NULL && store->writer_count < WRITERS_MAX);
}

struct store *
store_start(const struct store_options *options, struct driver *driver)
{
	struct store *store = mem_zalloc(sizeof(*store));

	assert(options->done != NULL);
	store->magic = STORE_MAGIC;
	store->options = *options;
	store->driver = driver;
	random_bytes(store->bus_key, sizeof(store->bus_key));
	store->reader_count = reader_count(options);
	queue_init(&store->reads);
	writers_find(store);
	for (unsigned i = 0; i < store->writer_count; i++)
		thread_start(&store->writers[i].thread, writer_main, &store->writers[i]);
	for (unsigned i = 0; i < store->reader_count; i++) {
		store->readers[i] = (struct reader){.store = store, .index = i};
		thread_start(&store->readers[i].thread, reader_main, &store->readers[i]);
	}
	return store;
}

static const struct store_driver *
driver_of(const char *url, const char **ret_path)
{
	static const struct {
		const char *scheme;
		const struct store_driver *driver;
	} schemes[] = {
	    {"memory:", &memory_driver}, {"sqlite:", &sqlite_driver}, {"mysql://", &mysql_driver}};

	for (size_t i = 0; i < LEN(schemes); i++) {
		if (!slice_starts(slice_str(url), slice_str(schemes[i].scheme)))
			continue;
		*ret_path = url + strlen(schemes[i].scheme);
		return schemes[i].driver;
	}
	return NULL;
}

struct store *
store_open(const struct store_options *options, char *ret_error, size_t error_size)
{
	struct driver_options driver_options = {
	    .readers = reader_count(options),
	    .epoch_changed = options->epoch_changed,
	    .cookie = options->cookie,
	};
	const struct store_driver *type = driver_of(options->url, &driver_options.path);
	struct driver *driver;

	if (type == NULL) {
		(void)snprintf(ret_error, error_size,
		    "%s names no store that there is: give sqlite:PATH, mysql://USER@HOST/DATABASE "
		    "or memory:",
		    options->url);
		return NULL;
	}
	if ((driver = type->open(&driver_options, ret_error, error_size)) == NULL)
		return NULL;
	return store_start(options, driver);
}

void
store_close(struct store **store)
{
	struct store *s = *store;

	if (s == NULL)
		return;
	OBJ_CHECK(s, STORE_MAGIC);
	for (unsigned i = 0; i < s->writer_count; i++)
		queue_stop(&s->writers[i].queue);
	for (unsigned i = 0; i < s->writer_count; i++)
		(void)pthread_join(s->writers[i].thread, NULL);
	queue_stop(&s->reads);
	for (unsigned i = 0; i < s->reader_count; i++)
		(void)pthread_join(s->readers[i].thread, NULL);
	s->driver->type->close(&s->driver);
	for (unsigned i = 0; i < s->writer_count; i++)
		queue_fini(&s->writers[i].queue);
	queue_fini(&s->reads);
	s->magic = 0;
	mem_free(s);
	*store = NULL;
}

unsigned
store_readers(const struct store *store)
{
	return store->reader_count;
}

void
store_epoch(struct store *store, char ret_epoch[40])
{
	store->driver->type->epoch(store->driver, ret_epoch);
}

const char *
store_durability(struct store *store)
{
	if (store->driver->type->durability == NULL)
		return "local";
	return store->driver->type->durability(store->driver);
}

void
store_url_text(const char *url, char *ret_text, size_t text_size)
{
	struct mysql_address address;
	char where[512], why[8];

	if (!slice_starts(slice_str(url), S("mysql://"))) {
		(void)snprintf(ret_text, text_size, "%s", url);
		return;
	}
	where[0] = '\0';
	if (mysql_address_parse(slice_str(url), &address, why, sizeof(why)))
		mysql_address_text(&address, where, sizeof(where));
	(void)snprintf(ret_text, text_size, "mysql://%s", where);
}

void
store_bus_key(struct store *store, unsigned char ret_key[BUS_KEY_BYTES])
{
	if (store->driver->type->bus_key != NULL)
		store->driver->type->bus_key(store->driver, ret_key);
	else
		memcpy(ret_key, store->bus_key, BUS_KEY_BYTES);
}

bool
store_writable(struct store *store, const char **ret_why)
{
	if (!store->driver->type->writable(store->driver, ret_why))
		return false;
	for (unsigned i = 0; i < store->writer_count; i++)
		if (writer_hangs(&store->writers[i])) {
			*ret_why = "the store has not answered for 3 s";
			return false;
		}
	return true;
}

uint64_t
store_admin_revision(struct store *store)
{
	return store->driver->type->admin_revision(store->driver);
}
