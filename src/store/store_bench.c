/* SPDX-License-Identifier: MIT */
/*
 * What a message costs in the store alone: store_bench URL [messages [conversations [batch]]]
 * appends 200-byte messages with time-ordered cmids, batch by batch, and prints one line of JSON.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/panic.h"
#include "store/driver.h"
#include "store/store.h"

struct bench {
	struct driver *driver;
	uint64_t messages, conversations, batch;
	uint64_t *cids, random;
	char body[200];
};

static double
cpu_seconds(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* A number from 1 … conversations; xorshift (Marsaglia 2003), so that runs are alike. */
static uint64_t
pick(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random % b->conversations;
}

static void
write_all(struct bench *b, struct op **ops, size_t count)
{
	if (count > 0)
		b->driver->type->write(b->driver, ops, count);
	for (size_t i = 0; i < count; i++) {
		if (ops[i]->fault.err != ERR_OK)
			panic("the store refused: error %d", ops[i]->fault.err);
		if (ops[i]->kind == OP_APPEND && ops[i]->append.created)
			b->cids[ops[i]->call] = ops[i]->append.target.cid;
		op_destroy(&ops[i]);
	}
}

static struct op *
user_op(uint64_t number)
{
	struct op *op = op_create(OP_REGISTER);
	char name[32];

	(void)snprintf(name, sizeof(name), "user%llu", (unsigned long long)number);
	op->session.name = op_copy(op, slice_str(name));
	op->session.password_hash = S("none");
	op->session.session = number;
	random_bytes(op->session.token_hash, sizeof(op->session.token_hash));
	return op;
}

/* User 1 writes to user 2 + conv. */
static struct op *
message_op(struct bench *b, uint64_t conv, uint64_t number)
{
	struct op *op = op_create(OP_APPEND);
	char cmid[40], name[32];

	(void)snprintf(cmid, sizeof(cmid), "%012llx-7%03x-8000-%012llx",
	    (unsigned long long)clock_real_ms(), (unsigned)(number & 0xfff),
	    (unsigned long long)(number * 0x9e3779b97f4aull & 0xffffffffffffull));
	op->user = 1;
	op->call = conv;
	op->append.conversations_max = UINT64_MAX;
	op->append.target.cid = b->cids[conv];
	if (b->cids[conv] == 0) {
		(void)snprintf(name, sizeof(name), "user%llu", (unsigned long long)conv + 2);
		op->append.target.user = op_copy(op, slice_str(name));
	} else {
		op->append.acl_ver = 1;
		op->append.min_seq = 1;
	}
	op->append.entry = entry_create(&(struct entry_parts){
	    .sender = 1,
	    .kind = S("text"),
	    .from = S("user1"),
	    .cmid = slice_str(cmid),
	    .body = slice_of(b->body, sizeof(b->body)),
	});
	return op;
}

/* The n-th operation of one of the three parts. */
enum part { PART_USERS, PART_CONVERSATIONS, PART_MESSAGES };

static void
run_part(struct bench *b, enum part part, uint64_t total)
{
	struct op *ops[LIMIT_STORE_BATCH];
	size_t count = 0;

	for (uint64_t n = 0; n < total; n++) {
		if (part == PART_USERS)
			ops[count++] = user_op(n + 1);
		else
			ops[count++] = message_op(b, part == PART_CONVERSATIONS ? n : pick(b), n);
		if (count == b->batch) {
			write_all(b, ops, count);
			(void)b->driver->type->tick(b->driver);
			count = 0;
		}
	}
	write_all(b, ops, count);
}

static void
report(const struct bench *b, double cpu, double wall)
{
	double messages = (double)b->messages;

	printf("{\"store\":\"%s\",\"messages\":%llu,\"conversations\":%llu,\"batch\":%llu,"
	       "\"per_cpu_second\":%.0f,\"cpu_us\":%.2f,\"per_second\":%.0f}\n",
	    b->driver->type->name, (unsigned long long)b->messages,
	    (unsigned long long)b->conversations, (unsigned long long)b->batch, messages / cpu,
	    cpu * 1e6 / messages, messages / wall);
}

static uint64_t
number_arg(int argc, char **argv, int at, uint64_t otherwise, uint64_t max)
{
	uint64_t number = argc > at ? strtoull(argv[at], NULL, 10) : otherwise;

	return number < 1 ? 1 : number > max ? max : number;
}

int
main(int argc, char **argv)
{
	struct bench b = {.random = 88172645463325252u};
	struct driver_options options = {.readers = 1};
	const struct store_driver *type = &memory_driver;
	char why[512] = "";
	double cpu;
	uint64_t start;

	if (argc < 2)
		panic("usage: store_bench sqlite:PATH|memory: [messages [conversations [batch]]]");
	b.messages = number_arg(argc, argv, 2, 100000, 1000000000);
	b.conversations = number_arg(argc, argv, 3, 1000, 10000000);
	b.batch = number_arg(argc, argv, 4, 100, LIMIT_STORE_BATCH);
	if (slice_starts(slice_str(argv[1]), S("sqlite:"))) {
		type = &sqlite_driver;
		options.path = argv[1] + strlen("sqlite:");
	}
	if ((b.driver = type->open(&options, why, sizeof(why))) == NULL)
		panic("%s", why);
	b.cids = mem_zalloc(b.conversations * sizeof(*b.cids));
	memset(b.body, 'x', sizeof(b.body));
	run_part(&b, PART_USERS, b.conversations + 1);
	run_part(&b, PART_CONVERSATIONS, b.conversations);
	cpu = cpu_seconds();
	start = clock_mono_ns();
	run_part(&b, PART_MESSAGES, b.messages);
	report(&b, cpu_seconds() - cpu, (double)(clock_mono_ns() - start) / 1e9);
	b.driver->type->close(&b.driver);
	mem_free(b.cids);
	return 0;
}
