/* SPDX-License-Identifier: MIT */
/* SQLite's store without its threads: messages in batches, pages, and a sync. */
#include "cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/panic.h"
#include "store/sqlite_db.h"

enum {
	CONVERSATIONS = 20, /* of user 1, with users 2 … 21 */
	BATCH = 32,
	BATCHES = 8,
	PAGE = 50,
	ROUNDS = 8,
	FIRST_MESSAGES = 10 * CONVERSATIONS * BATCH, /* that are there before */
	WARM_MESSAGES = 2 * BATCHES * BATCH,         /* since it was opened */
	MERGED = WARM_MESSAGES, /* so that entries are merged while it is measured */
};

struct bench {
	struct driver *driver;
	char directory[40];
	uint64_t uids[CONVERSATIONS + 1], cids[CONVERSATIONS];
	uint64_t messages;
	struct op *ops[BATCHES * BATCH]; /* prepared */
	char body[200];
};

static uint64_t
bench_now(void *cookie)
{
	struct bench *b = cookie;

	return 1700000000000u + b->messages;
}

static void
write_all(struct bench *b, struct op **ops, size_t count)
{
	b->driver->type->write(b->driver, ops, count);
	for (size_t i = 0; i < count; i++)
		if (ops[i]->fault.err != ERR_OK)
			panic("the store refused: error %d", ops[i]->fault.err);
}

static void
read_one(struct bench *b, struct op *op)
{
	b->driver->type->read(b->driver, 0, op);
	if (op->fault.err != ERR_OK)
		panic("the store refused: error %d", op->fault.err);
}

static void
put_user(struct bench *b, unsigned number)
{
	struct op *op = op_create(OP_REGISTER);
	char name[32];

	(void)snprintf(name, sizeof(name), "user%u", number);
	op->session.name = op_copy(op, slice_str(name));
	op->session.password_hash = S("none");
	op->session.session = number + 1;
	op->session.token_hash[0] = (unsigned char)number;
	write_all(b, &op, 1);
	b->uids[number] = op->session.uid;
	op_destroy(&op);
}

static struct op *
message_op(struct bench *b, unsigned conv)
{
	struct op *op = op_create(OP_APPEND);
	uint64_t number = b->messages++;
	char cmid[40], name[32];

	(void)snprintf(cmid, sizeof(cmid), "%012llx-7%03x-8000-%012llx",
	    (unsigned long long)(1700000000000u + number), (unsigned)(number & 0xfff),
	    (unsigned long long)(number * 0x9e3779b97f4aull & 0xffffffffffffull));
	op->user = b->uids[0];
	op->append.conversations_max = UINT64_MAX;
	op->append.target.cid = b->cids[conv];
	if (b->cids[conv] == 0) {
		(void)snprintf(name, sizeof(name), "user%u", conv + 1);
		op->append.target.user = op_copy(op, slice_str(name));
	} else {
		op->append.acl_ver = 1;
		op->append.min_seq = 1;
	}
	op->append.entry = entry_create(&(struct entry_parts){
	    .sender = b->uids[0],
	    .kind = S("text"),
	    .from = S("user0"),
	    .cmid = slice_str(cmid),
	    .body = slice_of(b->body, sizeof(b->body)),
	});
	return op;
}

static void
prepare_batches(void *cookie)
{
	struct bench *b = cookie;

	for (unsigned i = 0; i < LEN(b->ops); i++)
		b->ops[i] = message_op(b, (unsigned)(b->messages * 7 % CONVERSATIONS));
}

static void
write_batches(void *cookie)
{
	struct bench *b = cookie;

	for (unsigned i = 0; i < BATCHES; i++)
		write_all(b, &b->ops[i * BATCH], BATCH);
	for (unsigned i = 0; i < LEN(b->ops); i++)
		op_destroy(&b->ops[i]);
}

static void
read_pages(void *cookie)
{
	struct bench *b = cookie;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct op *op = op_create(OP_PAGE);

		op->user = b->uids[0];
		op->page.target.cid = b->cids[i];
		op->page.limit = PAGE;
		op->page.max_bytes = 128 * 1024;
		op->page.newest = true;
		read_one(b, op);
		if (op->page.count != PAGE)
			panic("a page of %zu", op->page.count);
		op_destroy(&op);
	}
}

static void
sync_all(struct bench *b, bool preview)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct op *op = op_create(OP_SYNC);

		op->user = b->uids[0];
		op->sync.preview = preview;
		read_one(b, op);
		if (op->sync.count != CONVERSATIONS)
			panic("a sync of %zu", op->sync.count);
		op_destroy(&op);
	}
}

static void
sync_plainly(void *cookie)
{
	sync_all(cookie, false);
}

static void
sync_with_previews(void *cookie)
{
	sync_all(cookie, true);
}

static void
bench_open(struct bench *b)
{
	struct driver_options options = {.readers = 1, .now_ms = bench_now, .cookie = b};
	char path[64], why[512] = "";

	(void)snprintf(path, sizeof(path), "%s/db", b->directory);
	options.path = path;
	if ((b->driver = sqlite_driver.open(&options, why, sizeof(why))) == NULL)
		panic("%s", why);
	container_of(b->driver, struct sqlite, base)->merge_at = MERGED;
}

static void
write_until(struct bench *b, uint64_t messages)
{
	while (b->messages < messages) {
		prepare_batches(b);
		write_batches(b);
	}
}

static void
bench_begin(struct bench *b)
{
	(void)snprintf(b->directory, sizeof(b->directory), "/tmp/confab-cost-XXXXXX");
	if (mkdtemp(b->directory) == NULL)
		panic("no directory in /tmp");
	bench_open(b);
	memset(b->body, 'x', sizeof(b->body));
	for (unsigned i = 0; i <= CONVERSATIONS; i++)
		put_user(b, i);
	for (unsigned i = 0; i < CONVERSATIONS; i++) {
		struct op *op = message_op(b, i);

		write_all(b, &op, 1);
		b->cids[i] = op->append.target.cid;
		op_destroy(&op);
	}
	write_until(b, FIRST_MESSAGES);
	/* So the log is empty: when its checkpoint comes is a matter of luck, and must not be while it is measured. */
	b->driver->type->close(&b->driver);
	bench_open(b);
	write_until(b, FIRST_MESSAGES + WARM_MESSAGES);
}

static void
bench_end(struct bench *b)
{
	static const char *const files[] = {"db", "db-wal", "db-shm"};
	char path[64];

	b->driver->type->close(&b->driver);
	for (size_t i = 0; i < LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", b->directory, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(b->directory);
}

void
cost_store(void)
{
	struct bench b = {0};

	bench_begin(&b);
	cost_of("sqlite.send", (uint64_t)BATCH * BATCHES, prepare_batches, write_batches, &b);
	cost_of("sqlite.page", ROUNDS, NULL, read_pages, &b);
	cost_of("sqlite.sync", ROUNDS, NULL, sync_plainly, &b);
	cost_of("sqlite.sync.preview", ROUNDS, NULL, sync_with_previews, &b);
	bench_end(&b);
}
