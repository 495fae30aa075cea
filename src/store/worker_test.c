/* SPDX-License-Identifier: MIT */
/* The threads and queues before a driver. */
#include "store/store.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/stat.h"
#include "store/test_world.h"

/* --- A driver that waits --- */

struct gated {
	struct driver base;
	sem_t may_write, may_read;
	_Atomic size_t batches, largest;
};

static void
gated_close(struct driver **driver)
{
	*driver = NULL;
}

static void
gated_write(struct driver *driver, struct op **ops, size_t count)
{
	struct gated *g = container_of(driver, struct gated, base);

	while (sem_wait(&g->may_write) != 0)
		;
	(void)sem_post(&g->may_write);
	g->batches++;
	if (count > g->largest)
		g->largest = count;
	for (size_t i = 0; i < count; i++)
		ops[i]->fault = (struct fault){0};
}

static void
gated_read(struct driver *driver, unsigned reader, struct op *op)
{
	struct gated *g = container_of(driver, struct gated, base);

	(void)reader;
	while (sem_wait(&g->may_read) != 0)
		;
	(void)sem_post(&g->may_read);
	op->fault = (struct fault){0};
}

static bool
gated_writable(struct driver *driver, const char **ret_why)
{
	(void)driver;
	(void)ret_why;
	return true;
}

static uint32_t
gated_tick(struct driver *driver)
{
	(void)driver;
	return 1000;
}

static const struct store_driver gated_driver = {
    .name = "gated",
    .close = gated_close,
    .write = gated_write,
    .read = gated_read,
    .tick = gated_tick,
    .writable = gated_writable,
};

static void
gated_init(struct gated *g)
{
	*g = (struct gated){.base = {.type = &gated_driver}};
	assert_int_equal(sem_init(&g->may_write, 0, 0), 0);
	assert_int_equal(sem_init(&g->may_read, 0, 0), 0);
}

/* --- Who gets the operations back --- */

struct tally {
	pthread_t submitter;
	_Atomic size_t ok, busy, other, inside;
	_Atomic uint64_t next; /* the call that must come next, where order is looked at */
	_Atomic size_t disorder;
	_Atomic size_t told; /* calls of done_all() */
	bool all_in_order;   /* refused ones too */
	sem_t done;
};

static void
tally_done(void *cookie, struct op *op)
{
	struct tally *t = cookie;

	t->inside += pthread_equal(pthread_self(), t->submitter) != 0;
	if (op->fault.err == ERR_OK)
		t->ok++;
	else if (op->fault.err == ERR_BUSY && op->fault.retry_after_ms > 0)
		t->busy++;
	else
		t->other++;
	if ((op->fault.err == ERR_OK || t->all_in_order) && op->call != 0)
		t->disorder += op->call != ++t->next;
	op_destroy(&op);
	(void)sem_post(&t->done);
}

static void
tally_init(struct tally *t)
{
	*t = (struct tally){.submitter = pthread_self()};
	assert_int_equal(sem_init(&t->done, 0, 0), 0);
}

static void
tally_wait(struct tally *t, size_t count)
{
	for (size_t i = 0; i < count; i++)
		while (sem_wait(&t->done) != 0)
			;
}

static void
a_full_queue_is_busy(void **state)
{
	enum { TOO_MANY = 50 };
	struct gated gated;
	struct tally tally;
	struct store *store;
	size_t writes = LIMIT_STORE_WRITES + LIMIT_STORE_BATCH + TOO_MANY;
	size_t reads = LIMIT_STORE_READS + TOO_MANY;

	(void)state;
	gated_init(&gated);
	tally_init(&tally);
	store =
	    store_start(&(struct store_options){.readers = 1, .done = tally_done, .cookie = &tally},
		&gated.base);
	for (size_t i = 0; i < writes; i++)
		store_submit(store, op_create(OP_TOUCH));
	/* The writer may have taken a batch of any size before it stood still. */
	tally_wait(&tally, TOO_MANY);
	assert_true(tally.busy >= TOO_MANY && tally.ok == 0 && tally.other == 0);
	(void)sem_post(&gated.may_write);
	tally_wait(&tally, writes - TOO_MANY);
	assert_true(tally.ok + tally.busy == writes && tally.ok >= LIMIT_STORE_WRITES);
	assert_true(gated.largest == LIMIT_STORE_BATCH);

	for (size_t i = 0; i < reads; i++)
		store_submit(store, op_create(OP_AUTH));
	/* The only reader stands still; what is refused now waits for it, too. */
	(void)sem_post(&gated.may_read);
	tally_wait(&tally, reads);
	assert_true(tally.ok + tally.busy == writes + reads && tally.other == 0);
	assert_true(tally.inside == 0);
	store_close(&store);
	assert_null(store);
}

/* Appends are answered in their order, also where some of them are refused. */
static void
refused_appends_keep_their_place(void **state)
{
	enum { TOO_MANY = 50 };
	size_t writes = LIMIT_STORE_WRITES + LIMIT_STORE_BATCH + TOO_MANY;
	struct gated gated;
	struct tally tally;
	struct store *store;

	(void)state;
	gated_init(&gated);
	tally_init(&tally);
	tally.all_in_order = true;
	store =
	    store_start(&(struct store_options){.done = tally_done, .cookie = &tally}, &gated.base);
	for (size_t i = 1; i <= writes; i++) {
		struct op *op = op_create(OP_APPEND);

		op->call = i;
		store_submit(store, op);
	}
	(void)sem_post(&gated.may_write);
	tally_wait(&tally, writes);
	assert_true(tally.busy >= TOO_MANY && tally.ok >= LIMIT_STORE_WRITES && tally.other == 0);
	assert_int_equal(tally.disorder, 0);
	store_close(&store);
}

/* Whether it can be written is said while the writer stands still in its driver, and again after. */
static void
a_writer_that_hangs_is_noticed(void **state)
{
	struct gated gated;
	struct tally tally;
	struct store *store;
	const char *why = NULL;

	(void)state;
	gated_init(&gated);
	tally_init(&tally);
	store =
	    store_start(&(struct store_options){.done = tally_done, .cookie = &tally}, &gated.base);
	store_submit(store, op_create(OP_TOUCH));
	while (store_writable(store, &why))
		(void)usleep(10000);
	assert_string_equal(why, "the store has not answered for 3 s");
	assert_int_equal(tally.ok, 0);
	(void)sem_post(&gated.may_write);
	tally_wait(&tally, 1);
	while (!store_writable(store, &why))
		(void)usleep(10000);
	store_close(&store);
}

static void
what_waits_goes_in_one_batch_in_order(void **state)
{
	struct gated gated;
	struct tally tally;
	struct store *store;

	(void)state;
	gated_init(&gated);
	tally_init(&tally);
	store =
	    store_start(&(struct store_options){.done = tally_done, .cookie = &tally}, &gated.base);
	for (uint64_t call = 1; call <= 400; call++) {
		struct op *op = op_create(OP_TOUCH);

		op->call = call;
		store_submit(store, op);
	}
	(void)sem_post(&gated.may_write);
	tally_wait(&tally, 400);
	assert_true(tally.ok == 400 && tally.disorder == 0);
	assert_true(gated.batches <= 2); /* what it had taken before it stood still, and the rest */
	store_close(&store);
}

/* Linked, with calls from 1 on. */
static struct mail *
linked(enum op_kind kind, size_t count)
{
	struct mail *first = NULL;

	for (size_t call = count; call > 0; call--) {
		struct op *op = op_create(kind);

		op->call = call;
		op->mail.next = first;
		first = &op->mail;
	}
	return first;
}

/* However early the writer is awake. */
static void
what_is_submitted_together_is_one_batch(void **state)
{
	struct gated gated;
	struct tally tally;
	struct store *store;

	(void)state;
	gated_init(&gated);
	tally_init(&tally);
	(void)sem_post(&gated.may_write);
	store =
	    store_start(&(struct store_options){.done = tally_done, .cookie = &tally}, &gated.base);
	store_submit_writes(store, linked(OP_TOUCH, 400));
	tally_wait(&tally, 400);
	assert_true(tally.ok == 400 && tally.disorder == 0 && tally.inside == 0);
	assert_true(gated.batches == 1 && gated.largest == 400);
	store_close(&store);
}

static void
of_too_many_together_the_last_are_busy(void **state)
{
	enum { TOO_MANY = 50 };
	static const enum op_kind kinds[] = {OP_TOUCH, OP_APPEND};
	size_t writes = LIMIT_STORE_WRITES + TOO_MANY;

	(void)state;
	for (size_t i = 0; i < LEN(kinds); i++) {
		struct gated gated;
		struct tally tally;
		struct store *store;

		gated_init(&gated);
		tally_init(&tally);
		tally.all_in_order = kinds[i] == OP_APPEND;
		store = store_start(
		    &(struct store_options){.done = tally_done, .cookie = &tally}, &gated.base);
		store_submit_writes(store, linked(kinds[i], writes));
		(void)sem_post(&gated.may_write);
		tally_wait(&tally, writes);
		assert_true(tally.ok == LIMIT_STORE_WRITES && tally.busy == TOO_MANY);
		assert_true(tally.other == 0 && tally.disorder == 0 && tally.inside == 0);
		store_close(&store);
	}
}

static void
tally_done_all(void *cookie, struct op **ops, size_t count)
{
	struct tally *t = cookie;

	t->told++;
	for (size_t i = 0; i < count; i++)
		tally_done(t, ops[i]);
}

static void
a_batch_is_told_together(void **state)
{
	struct gated gated;
	struct tally tally;
	struct store *store;

	(void)state;
	gated_init(&gated);
	tally_init(&tally);
	store = store_start(
	    &(struct store_options){
		.done = tally_done, .done_all = tally_done_all, .cookie = &tally},
	    &gated.base);
	for (uint64_t call = 1; call <= 400; call++) {
		struct op *op = op_create(OP_TOUCH);

		op->call = call;
		store_submit(store, op);
	}
	(void)sem_post(&gated.may_write);
	tally_wait(&tally, 400);
	assert_true(tally.ok == 400 && tally.disorder == 0);
	store_close(&store);
	assert_int_equal(tally.told, gated.batches);
}

static void
closing_finishes_what_was_submitted(void **state)
{
	struct gated gated;
	struct tally tally;
	struct store *store;

	(void)state;
	gated_init(&gated);
	tally_init(&tally);
	(void)sem_post(&gated.may_write);
	(void)sem_post(&gated.may_read);
	store =
	    store_start(&(struct store_options){.done = tally_done, .cookie = &tally}, &gated.base);
	for (int i = 0; i < 1000; i++) {
		store_submit(store, op_create(OP_TOUCH));
		store_submit(store, op_create(OP_AUTH));
	}
	store_close(&store);
	assert_true(tally.ok == 2000);
}

/* --- Many at once, on a real store --- */

enum { SENDERS = 64, IN_FLIGHT = 16, EACH = 100 };

struct crowd {
	struct store *store;
	struct sender {
		struct crowd *crowd;
		pthread_t thread;
		uint64_t uid, peer;
		sem_t may_send;
		_Atomic uint64_t last_seq; /* of its conversation with the peer */
		_Atomic size_t failed;
	} senders[SENDERS];
};

static void
crowd_done(void *cookie, struct op *op)
{
	struct crowd *crowd = cookie;
	struct sender *sender = &crowd->senders[op->call];

	if (op->fault.err != ERR_OK || (op->kind == OP_SYNC && op->sync.count != 1))
		sender->failed++;
	if (op->kind == OP_MARK && op->mark.read == 0)
		sender->failed++;
	if (op->kind == OP_APPEND) {
		/* One sender's messages are stored in the order sent. */
		if (op->append.seq != sender->last_seq + 1)
			sender->failed++;
		sender->last_seq = op->append.seq;
	}
	op_destroy(&op);
	(void)sem_post(&sender->may_send);
}

static void
sender_submit(struct sender *sender, size_t number)
{
	char cmid[32], peer[16];
	struct op *op;

	(void)snprintf(cmid, sizeof(cmid), "%zu", number);
	(void)snprintf(peer, sizeof(peer), "peer%llu", (unsigned long long)sender->uid);
	op = letter_op(&(struct letter){.from = sender->uid, .to_user = peer, .cmid = cmid});
	op->append.target.user = op_copy(op, op->append.target.user);
	op->call = (uint64_t)(sender - sender->crowd->senders);
	store_submit(sender->crowd->store, op);
}

/* Reads and marks beside the messages. */
static void
sender_look(struct sender *sender, enum op_kind kind)
{
	struct op *op = op_create(kind);
	char peer[16];

	op->user = sender->uid;
	op->call = (uint64_t)(sender - sender->crowd->senders);
	if (kind == OP_MARK) {
		(void)snprintf(peer, sizeof(peer), "peer%llu", (unsigned long long)sender->uid);
		op->mark.target.user = op_copy(op, slice_str(peer));
		op->mark.read = sender->last_seq;
	}
	store_submit(sender->crowd->store, op);
}

static void *
sender_main(void *cookie)
{
	struct sender *sender = cookie;

	for (size_t i = 0; i < EACH; i++) {
		while (sem_wait(&sender->may_send) != 0)
			;
		sender_submit(sender, i);
		if (i % 5 != 4 || sender->last_seq == 0)
			continue;
		for (enum op_kind kind = OP_MARK; kind <= OP_SYNC; kind += OP_SYNC - OP_MARK) {
			while (sem_wait(&sender->may_send) != 0)
				;
			sender_look(sender, kind);
		}
	}
	for (size_t i = 0; i < IN_FLIGHT; i++)
		while (sem_wait(&sender->may_send) != 0)
			;
	return NULL;
}

static void
crowd_start(struct crowd *crowd, struct world *w)
{
	char name[16];

	for (size_t i = 0; i < SENDERS; i++) {
		struct sender *sender = &crowd->senders[i];

		sender->crowd = crowd;
		(void)snprintf(name, sizeof(name), "sender%zu", i);
		sender->uid = world_user(w, name);
		(void)snprintf(name, sizeof(name), "peer%llu", (unsigned long long)sender->uid);
		sender->peer = world_user(w, name);
		assert_int_equal(sem_init(&sender->may_send, 0, IN_FLIGHT), 0);
	}
}

static void
run_crowd(enum world_kind kind, double *ret_mean)
{
	struct world w;
	struct crowd *crowd = mem_zalloc(sizeof(*crowd));
	struct stats before, after;

	world_init(&w, kind);
	crowd_start(crowd, &w);
	stats_sum(&before);
	crowd->store =
	    store_start(&(struct store_options){.done = crowd_done, .cookie = crowd}, w.driver);
	for (size_t i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&crowd->senders[i].thread, NULL, sender_main,
				     &crowd->senders[i]),
		    0);
	for (size_t i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(crowd->senders[i].thread, NULL), 0);
	store_close(&crowd->store);
	stats_sum(&after);
	for (size_t i = 0; i < SENDERS; i++)
		assert_true(crowd->senders[i].last_seq == EACH && crowd->senders[i].failed == 0);
	assert_true(after.counters[STAT_STORE_APPENDS] - before.counters[STAT_STORE_APPENDS] ==
		    SENDERS * EACH);
	assert_true(after.gauges[GAUGE_STORE_QUEUE] == 0 && after.gauges[GAUGE_READ_QUEUE] == 0);
	*ret_mean = (double)(SENDERS * EACH) / (double)(after.counters[STAT_STORE_BATCHES] -
							before.counters[STAT_STORE_BATCHES]);
	w.driver = NULL; /* it was the store's */
	world_fini(&w);
	mem_free(crowd);
}

static void
a_crowd_shares_commits(void **state)
{
	double mean;

	(void)state;
	run_crowd(WORLD_SQLITE, &mean);
	assert_true(mean >= 8);
}

static void
a_crowd_on_the_memory_store(void **state)
{
	double mean;

	(void)state;
	run_crowd(WORLD_MEMORY, &mean);
}

static void
a_store_that_is_not_there_is_told(void **state)
{
	char why[200] = "";
	struct store_options options = {.url = "oracle://localhost/x", .done = tally_done};

	(void)state;
	assert_null(store_open(&options, why, sizeof(why)));
	assert_non_null(strstr(why, "sqlite:PATH"));
	options.url = "sqlite:/nowhere/at/all/store.db";
	assert_null(store_open(&options, why, sizeof(why)));
	assert_non_null(strstr(why, "/nowhere/at/all/store.db"));
}

static void
a_store_opens_by_its_url(void **state)
{
	char epoch[40], why[200] = "";
	const char *not_writable = NULL;
	struct tally tally;
	struct store_options options = {.url = "memory:", .done = tally_done, .cookie = &tally};
	struct store *store = store_open(&options, why, sizeof(why));

	(void)state;
	tally_init(&tally);
	assert_non_null(store);
	store_epoch(store, epoch);
	assert_true(strlen(epoch) >= 16 && store_writable(store, &not_writable));
	assert_true(store_admin_revision(store) == store_admin_revision(store));
	store_submit(store, op_create(OP_AUTH));
	tally_wait(&tally, 1);
	store_close(&store);
	store_close(&store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_full_queue_is_busy),
	    cmocka_unit_test(refused_appends_keep_their_place),
	    cmocka_unit_test(a_writer_that_hangs_is_noticed),
	    cmocka_unit_test(what_waits_goes_in_one_batch_in_order),
	    cmocka_unit_test(what_is_submitted_together_is_one_batch),
	    cmocka_unit_test(of_too_many_together_the_last_are_busy),
	    cmocka_unit_test(a_batch_is_told_together),
	    cmocka_unit_test(closing_finishes_what_was_submitted),
	    cmocka_unit_test(a_crowd_shares_commits),
	    cmocka_unit_test(a_crowd_on_the_memory_store),
	    cmocka_unit_test(a_store_that_is_not_there_is_told),
	    cmocka_unit_test(a_store_opens_by_its_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
