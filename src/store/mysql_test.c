/* SPDX-License-Identifier: MIT */
/* What only a store that several nodes share must do. */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/mysql_db.h"
#include "store/mysql_error.h"
#include "store/test_group.h"

static struct world world;

static int
set_up(void **state)
{
	world_init(&world, WORLD_MYSQL);
	*state = &world;
	return 0;
}

static int
tear_down(void **state)
{
	world_fini(*state);
	return 0;
}

static struct sent
send_on(struct driver *driver, const struct letter *letter)
{
	struct op *op = letter_op(letter);
	struct sent sent;

	driver->type->write(driver, &op, 1);
	sent = letter_result(op);
	op_destroy(&op);
	return sent;
}

/* --- Nodes beside each other --- */

enum { NODES = 3, ROUNDS = 20, BATCH = 8 };

struct node {
	struct driver *driver;
	uint64_t from;
	const char *to;
	struct sent sent[ROUNDS * BATCH];
	pthread_t thread;
};

static void *
node_main(void *cookie)
{
	struct node *node = cookie;

	for (int round = 0; round < ROUNDS; round++) {
		struct op *ops[BATCH];

		for (int i = 0; i < BATCH; i++)
			ops[i] =
			    letter_op(&(struct letter){.from = node->from, .to_user = node->to});
		node->driver->type->write(node->driver, ops, BATCH);
		for (int i = 0; i < BATCH; i++) {
			node->sent[round * BATCH + i] = letter_result(ops[i]);
			op_destroy(&ops[i]);
		}
	}
	return NULL;
}

/* All write to one conversation, which none of them has yet. */
static void
nodes_share_a_conversation(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct node *nodes = mem_zalloc(NODES * sizeof(*nodes));
	unsigned char *taken = mem_zalloc(NODES * ROUNDS * BATCH + 1);

	for (int i = 0; i < NODES; i++) {
		nodes[i].driver = world_open_at(w, w->address, NULL);
		nodes[i].from = i % 2 == 0 ? ann : bob;
		nodes[i].to = i % 2 == 0 ? "bob" : "ann";
	}
	for (int i = 0; i < NODES; i++)
		assert_int_equal(pthread_create(&nodes[i].thread, NULL, node_main, &nodes[i]), 0);
	for (int i = 0; i < NODES; i++)
		assert_int_equal(pthread_join(nodes[i].thread, NULL), 0);
	for (int i = 0; i < NODES; i++)
		for (int k = 0; k < ROUNDS * BATCH; k++) {
			const struct sent *sent = &nodes[i].sent[k];

			assert_int_equal(sent->fault.err, ERR_OK);
			assert_in_range(sent->seq, 1, NODES * ROUNDS * BATCH);
			assert_int_equal(taken[sent->seq]++, 0);
			assert_true(k == 0 || sent->seq > nodes[i].sent[k - 1].seq);
			assert_int_equal(sent->cid, nodes[0].sent[0].cid);
		}
	assert_int_equal(world_ask(w, "SELECT count(*) FROM conv"), 1);
	assert_int_equal(world_ask(w, "SELECT last_seq FROM conv"), NODES * ROUNDS * BATCH);
	for (int i = 0; i < NODES; i++)
		nodes[i].driver->type->close(&nodes[i].driver);
	mem_free(taken);
	mem_free(nodes);
}

static void
a_cmid_is_one_message_on_all_nodes(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct driver *other = world_open_at(w, w->address, NULL);
	struct letter letter = {.from = ann, .to_user = "bob", .cmid = "c-1"};
	struct sent first = world_send(w, &letter), again = send_on(other, &letter);

	(void)bob;
	assert_int_equal(again.fault.err, ERR_OK);
	assert_true(again.dup && again.seq == first.seq && again.ts == first.ts);
	assert_int_equal(world_ask(w, "SELECT count(*) FROM msg"), 1);
	other->type->close(&other);
}

/* What one node takes away counts at once on another, whatever that one remembers. */
static void
rights_end_on_all_nodes(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob");
	struct driver *other = world_open_at(w, w->address, NULL);
	struct sent sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
	struct op *block = op_create(OP_CONTACT);

	block->user = bob;
	block->contact.what = CONTACT_BLOCK;
	block->contact.name = S("ann");
	block->contact.contacts_max = 10;
	other->type->write(other, &block, 1);
	assert_int_equal(block->fault.err, ERR_OK);
	op_destroy(&block);
	sent =
	    world_send(w, &(struct letter){.from = ann, .to = sent.cid, .acl_ver = sent.acl_ver});
	assert_int_not_equal(sent.fault.err, ERR_OK);
	other->type->close(&other);
}

static void
mark_on(struct driver *driver, uint64_t user, uint64_t cid, uint64_t read, uint64_t want)
{
	struct op *op = op_create(OP_MARK);

	op->user = user;
	op->mark.target.cid = cid;
	op->mark.read = read;
	driver->type->write(driver, &op, 1);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->mark.read, want);
	op_destroy(&op);
}

static void
marks_of_all_nodes_only_grow(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), cid;
	struct driver *other;

	(void)world_user(w, "bob");
	for (int i = 0; i < 9; i++)
		cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	other = world_open_at(w, w->address, NULL);
	mark_on(w->driver, ann, cid, 7, 7);
	mark_on(other, ann, cid, 4, 4);
	world_reopen(w);            /* writes 7 */
	other->type->close(&other); /* writes 4, which is less */
	assert_int_equal(
	    world_ask(w, "SELECT read_seq FROM member WHERE user = %llu", (unsigned long long)ann),
	    7);
	mark_on(w->driver, ann, cid, 5, 7);
}

static void
hear_on(struct driver *driver, uint64_t user, uint64_t to, uint64_t cid, uint64_t read,
    uint64_t want, bool news)
{
	struct op *op = op_create(OP_MARK);

	op->user = user;
	op->mark.target.cid = cid;
	op->mark.read = read;
	op->mark.heard_by = to;
	driver->type->write(driver, &op, 1);
	assert_int_equal(op->fault.err, ERR_OK);
	assert_int_equal(op->mark.read, want);
	assert_int_equal(op->mark.changed, news);
	op_destroy(&op);
}

/* What somebody was told on a node is never more than the node answers, shows and tells later. */
static void
marks_of_other_nodes_are_known_when_they_are_heard(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), bob = world_user(w, "bob"), cid;

	for (int i = 0; i < 9; i++)
		cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	hear_on(w->driver, bob, bob, cid, 5, 5, true);
	hear_on(w->driver, bob, ann, cid, 5, 5, true);
	hear_on(w->driver, bob, ann, cid, 4, 5, false);
	mark_on(w->driver, bob, cid, 3, 5);
	mark_on(w->driver, bob, cid, 8, 8);
	hear_on(w->driver, bob, ann, cid, 7, 8, false);
	hear_on(w->driver, bob, bob, cid, 9, 9, true);
	mark_on(w->driver, bob, cid, 1, 9);
	world_reopen(w); /* 9 is left to the node that said so */
	assert_int_equal(world_ask(w, "SELECT read_seq >= 8 FROM member WHERE user = %llu",
			     (unsigned long long)bob),
	    1);
}

/* A row that somebody holds delays what needs it, and nothing else. */
static void
what_is_held_waits_alone(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), held, other;
	struct mysql_address address;
	struct mysql_conn *holder = NULL;
	struct op *ops[3];
	char why[256], sql[96];

	(void)world_user(w, "bob");
	(void)world_user(w, "cid");
	held = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	other = world_send(w, &(struct letter){.from = ann, .to_user = "cid"}).cid;
	assert_true(mysql_address_parse(slice_str(w->address), &address, why, sizeof(why)));
	assert_int_equal(mysql_conn_open(&address, false, &holder, why, sizeof(why)), 0);
	(void)snprintf(sql, sizeof(sql), "UPDATE conv SET topic = 'held' WHERE cid = %llu",
	    (unsigned long long)held);
	assert_int_equal(mysql_conn_exec(holder, "START TRANSACTION"), 0);
	assert_int_equal(mysql_conn_exec(holder, sql), 0);
	ops[0] = letter_op(&(struct letter){.from = ann, .to = other});
	ops[1] = letter_op(&(struct letter){.from = ann, .to = held});
	ops[2] = letter_op(&(struct letter){.from = ann, .to = other});
	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		struct sent sent = letter_result(ops[i]);

		if (sent.cid == held) {
			assert_int_equal(sent.fault.err, ERR_UNAVAILABLE);
		} else {
			assert_int_equal(sent.fault.err, ERR_OK);
			assert_in_range(sent.seq, 2, 3);
		}
		op_destroy(&ops[i]);
	}
	mysql_conn_close(&holder);
	assert_int_equal(world_send(w, &(struct letter){.from = ann, .to = held}).seq, 2);
}

static void
lock_both(struct mysql_conn *conn, const uint64_t ids[2], int want)
{
	assert_int_equal(mysql_conn_exec(conn, "START TRANSACTION"), 0);
	assert_int_equal(mysql_lock_many(conn, MANY_LOCK_CONVS, ids, 2, NULL, NULL), want);
	assert_int_equal(mysql_conn_exec(conn, "ROLLBACK"), 0);
}

/* The error comes when the first row has come: the statement can be run again all the same. */
static void
a_time_out_amid_rows_leaves_the_connection_whole(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann"), ids[2];
	struct mysql_address address;
	struct mysql_conn *holder = NULL, *conn = NULL;
	char why[256], sql[96];

	(void)world_user(w, "bob");
	(void)world_user(w, "cid");
	ids[0] = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	ids[1] = world_send(w, &(struct letter){.from = ann, .to_user = "cid"}).cid;
	assert_true(ids[0] < ids[1]);
	assert_true(mysql_address_parse(slice_str(w->address), &address, why, sizeof(why)));
	assert_int_equal(mysql_conn_open(&address, false, &holder, why, sizeof(why)), 0);
	assert_int_equal(mysql_conn_open(&address, false, &conn, why, sizeof(why)), 0);
	(void)snprintf(sql, sizeof(sql), "UPDATE conv SET topic = 'held' WHERE cid = %llu",
	    (unsigned long long)ids[1]);
	assert_int_equal(mysql_conn_exec(holder, "START TRANSACTION"), 0);
	assert_int_equal(mysql_conn_exec(holder, sql), 0);
	lock_both(conn, ids, MYSQL_ERROR_LOCK_TIMEOUT);
	assert_int_equal(mysql_conn_exec(holder, "ROLLBACK"), 0);
	lock_both(conn, ids, SQL_OK);
	mysql_conn_close(&holder);
	mysql_conn_close(&conn);
}

/* What one operation adds to the log the next one of the same transaction knows. */
static void
a_group_changes_amid_its_messages(void **state)
{
	struct world *w = *state;
	uint64_t cid = group_of_three(w);
	struct op *ops[] = {
	    letter_op(&(struct letter){.from = ANN, .to = cid}),
	    change_op(
		&(struct change){.by = ANN, .cid = cid, .what = GROUP_REMOVE, .users = {"bob"}}),
	    letter_op(&(struct letter){.from = ANN, .to = cid}),
	    change_op(
		&(struct change){.by = ANN, .cid = cid, .what = GROUP_INVITE, .users = {"bob"}}),
	    change_op(&(struct change){.by = CAT, .cid = cid, .what = GROUP_LEAVE}),
	    letter_op(&(struct letter){.from = ANN, .to = cid}),
	};

	w->driver->type->write(w->driver, ops, LEN(ops));
	for (size_t i = 0; i < LEN(ops); i++) {
		assert_int_equal(ops[i]->fault.err, ERR_OK);
		op_destroy(&ops[i]);
	}
	assert_int_equal(world_ask(w, "SELECT last_seq FROM conv"), 1 + LEN(ops));
	assert_int_equal(world_ask(w, "SELECT max(seq) FROM msg"), 1 + LEN(ops));
	assert_int_equal(world_send(w, &(struct letter){.from = ANN, .to = cid}).seq, 2 + LEN(ops));
}

/* --- What a log that has grown costs --- */

/* How many rows that connection has read so far, of whatever table or index. */
static uint64_t
rows_read(struct mysql_conn *conn)
{
	char text[32];

	assert_int_equal(mysql_conn_ask(conn,
			     "SELECT sum(variable_value) FROM information_schema.session_status "
			     "WHERE variable_name IN ('HANDLER_READ_NEXT', 'HANDLER_READ_PREV')",
			     text, sizeof(text)),
	    0);
	return strtoull(text, NULL, 10);
}

static void
sync_of(struct world *w, uint64_t user)
{
	struct op *op = op_create(OP_SYNC);

	op->user = user;
	op->sync.preview = true;
	world_read(w, op);
	assert_int_equal(op->fault.err, ERR_OK);
	op_destroy(&op);
}

static void
page_of(struct world *w, uint64_t user, uint64_t cid)
{
	struct op *op = world_page(w, user, cid, 0, UINT64_MAX, 5, true);

	assert_int_equal(op->fault.err, ERR_OK);
	op_destroy(&op);
}

/* Neither a send nor a sync nor a page reads what was said before, were it all replies. */
static void
a_long_log_is_not_read(void **state)
{
	enum { COUNT = 300, FEW = 40 };
	struct world *w = *state;
	struct mysql *m = container_of(w->driver, struct mysql, base);
	uint64_t ann = world_user(w, "ann"), before, cid;
	struct op *ops[COUNT];

	(void)world_user(w, "bob");
	cid = world_send(w, &(struct letter){.from = ann, .to_user = "bob"}).cid;
	for (int i = 0; i < COUNT; i++)
		ops[i] = letter_op(&(struct letter){.from = ann, .to = cid, .re = 1});
	w->driver->type->write(w->driver, ops, COUNT);
	for (int i = 0; i < COUNT; i++)
		op_destroy(&ops[i]);
	assert_int_equal(world_ask(w, "SELECT last_seq FROM conv"), COUNT + 1);
	before = rows_read(m->writers[0].sql.writer.mysql);
	assert_int_equal(world_send(w, &(struct letter){.from = ann, .to = cid}).fault.err, ERR_OK);
	assert_in_range(rows_read(m->writers[0].sql.writer.mysql) - before, 0, FEW);
	sync_of(w, ann);
	before = rows_read(m->readers[0].conn.mysql);
	sync_of(w, ann);
	assert_in_range(rows_read(m->readers[0].conn.mysql) - before, 0, FEW);
	page_of(w, ann, cid);
	before = rows_read(m->readers[0].conn.mysql);
	page_of(w, ann, cid);
	assert_in_range(rows_read(m->readers[0].conn.mysql) - before, 0, FEW);
}

/* --- A connection that ends --- */

static void
killed_connections_are_opened_anew(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct sent sent;

	(void)world_user(w, "bob");
	for (int i = 0; i < 3; i++) {
		uint64_t id;

		while ((id = world_ask(w,
			    "SELECT id FROM information_schema.processlist WHERE db = '%s' "
			    "AND id <> connection_id()",
			    w->database)) != 0)
			world_sql(w, "KILL %llu", (unsigned long long)id);
		sent = world_send(w, &(struct letter){.from = ann, .to_user = "bob"});
		assert_int_equal(sent.fault.err, ERR_OK);
		assert_int_equal(sent.seq, (uint64_t)i + 1);
	}
}

static char told[EPOCH_BYTES];

static void
life_told(void *cookie, slice epoch)
{
	(void)cookie;
	(void)snprintf(told, sizeof(told), "%.*s", SLICE_ARG(epoch));
}

/* What was asked for in one life is not done in another. */
static void
another_life_is_noticed(void **state)
{
	struct world *w = *state;
	uint64_t ann = world_user(w, "ann");
	struct driver *node = world_open_at(w, w->address, life_told);
	struct letter letter = {.from = ann, .to_user = "bob"};

	(void)world_user(w, "bob");
	assert_int_equal(send_on(node, &letter).seq, 1);
	world_sql(w, "UPDATE meta SET epoch = 'another'");
	assert_int_equal(send_on(node, &letter).fault.err, ERR_UNAVAILABLE);
	assert_string_equal(told, "another");
	assert_int_equal(send_on(node, &letter).seq, 2);
	node->type->close(&node);
}

/* --- A COMMIT without an answer --- */

enum cut { CUT_NOT, CUT_BEFORE, CUT_AFTER };

/* Stands between a node and the server, and ends a connection around its next COMMIT. */
struct wire {
	char path[108], server[108];
	int listener;
	enum cut cut;
	pthread_t thread;
};

static int
unix_socket(const char *path, bool listens)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (listens)
		assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(
	    listens ? listen(fd, 8) : connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* False at the end of the connection. */
static bool
pass(int from, int to, bool drop)
{
	char bytes[65536];
	ssize_t n = read(from, bytes, sizeof(bytes));

	return n > 0 && (drop || write(to, bytes, (size_t)n) == n);
}

static bool
carries_commit(int fd)
{
	char bytes[64];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK);

	return n > 6 && memmem(bytes, (size_t)n, "COMMIT", 6) != NULL;
}

static void
wire_pass(struct wire *wire, int client)
{
	int server = unix_socket(wire->server, false);
	struct pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
	bool open = true;

	while (open && poll(fds, 2, -1) > 0) {
		enum cut cut = CUT_NOT;

		if (fds[0].revents != 0 && wire->cut != CUT_NOT && carries_commit(client)) {
			cut = wire->cut;
			wire->cut = CUT_NOT;
		}
		if (fds[0].revents != 0)
			open = cut != CUT_BEFORE && pass(client, server, false);
		if (cut == CUT_AFTER) /* its answer is not told */
			open = pass(server, client, true) && false;
		else if (open && fds[1].revents != 0)
			open = pass(server, client, false);
	}
	(void)close(server);
	(void)close(client);
}

static void *
wire_main(void *cookie)
{
	struct wire *wire = cookie;
	int client;

	while ((client = accept(wire->listener, NULL, NULL)) >= 0)
		wire_pass(wire, client);
	return NULL;
}

static void
wire_open(struct wire *wire, struct world *w)
{
	const char *socket = strstr(w->address, "socket=");

	*wire = (struct wire){0};
	assert_non_null(socket);
	(void)snprintf(wire->server, sizeof(wire->server), "%s", socket + strlen("socket="));
	(void)snprintf(wire->path, sizeof(wire->path), "%s/wire", w->directory);
	wire->listener = unix_socket(wire->path, true);
	assert_int_equal(pthread_create(&wire->thread, NULL, wire_main, wire), 0);
}

static void
wire_close(struct wire *wire)
{
	(void)shutdown(wire->listener, SHUT_RDWR);
	assert_int_equal(pthread_join(wire->thread, NULL), 0);
	(void)close(wire->listener);
}

static void
commit_cut(struct world *w, enum cut cut, enum err want, uint64_t stored)
{
	uint64_t ann = world_user(w, "ann");
	struct letter letter = {.from = ann, .to_user = "bob", .cmid = "c-1"};
	struct driver *node;
	struct wire wire;
	char address[256];
	struct sent sent;

	(void)world_user(w, "bob");
	wire_open(&wire, w);
	(void)snprintf(
	    address, sizeof(address), "root@localhost/%s?pool=1&socket=%s", w->database, wire.path);
	node = world_open_at(w, address, NULL);
	wire.cut = cut;
	sent = send_on(node, &letter);
	assert_int_equal(sent.fault.err, want);
	assert_int_equal(world_ask(w, "SELECT count(*) FROM msg"), stored);
	sent = send_on(node, &letter);
	assert_int_equal(sent.fault.err, ERR_OK);
	assert_int_equal(sent.seq, 1);
	assert_int_equal(sent.dup, stored == 1);
	node->type->close(&node);
	wire_close(&wire);
}

static void
a_commit_that_never_arrived_is_unavailable(void **state)
{
	commit_cut(*state, CUT_BEFORE, ERR_UNAVAILABLE, 0);
}

static void
a_commit_whose_answer_is_lost_is_found(void **state)
{
	commit_cut(*state, CUT_AFTER, ERR_OK, 1);
}

int
main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(nodes_share_a_conversation),
	    T(a_cmid_is_one_message_on_all_nodes),
	    T(rights_end_on_all_nodes),
	    T(marks_of_all_nodes_only_grow),
	    T(marks_of_other_nodes_are_known_when_they_are_heard),
	    T(what_is_held_waits_alone),
	    T(a_time_out_amid_rows_leaves_the_connection_whole),
	    T(a_group_changes_amid_its_messages),
	    T(a_long_log_is_not_read),
	    T(killed_connections_are_opened_anew),
	    T(another_life_is_noticed),
	    T(a_commit_that_never_arrived_is_unavailable),
	    T(a_commit_whose_answer_is_lost_is_found),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
