/* SPDX-License-Identifier: MIT */
/* Connections over loopback TCP and socket pairs, on one reactor that the test turns by hand. */
#include "net/net_fixture.h"

static struct reactor *r;
static struct probe p;
static int client;

static int
setup(void **state)
{
	(void)state;
	fake_now_ms = 1000000;
	p = (struct probe) {0};
	r = reactor_create(3);
	assert_non_null(r);
	client = tcp_probe(r, &p);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (client >= 0)
		(void)close(client);
	reactor_destroy(&r);
	assert_int_equal(p.closed, 1);
	probe_fini(&p);
	assert_int_equal(gauge(GAUGE_CONNS), 0);
	assert_int_equal(gauge(GAUGE_OUT_BYTES), 0);
	return 0;
}

static void
client_close(void)
{
	(void)close(client);
	client = -1;
}

static void
client_reset(void)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	client_close();
}

static void
got_is(const char *text)
{
	assert_int_equal(buf_len(&p.got), strlen(text));
	assert_memory_equal(buf_slice(&p.got).ptr, text, strlen(text));
}

/* So that little output blocks; a receive buffer below loopback's segment size would only make it slow. */
static void
small_buffers(void)
{
	int small = 16384;

	(void)setsockopt(p.conn->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
}

static void
use_fake_clock(void)
{
	r->clock_ms = fake_clock_ms;
	fake_now_ms = r->now_ms;
}

static void
pass(uint64_t ms)
{
	fake_now_ms += ms;
	turns_settle(r);
}

/* --- Input --- */

static void
echoes_and_owns_nothing_afterwards(void **state)
{
	struct buf back = {0};
	uint64_t in = counter(STAT_BYTES_IN), out = counter(STAT_BYTES_OUT);
	bool ended;
	int error;

	(void)state;
	p.echo = true;
	put_text(client, "hello");
	assert_int_equal(take_all(r, client, &back, 5, &ended, &error), 5);
	assert_memory_equal(back.bytes, "hello", 5);
	assert_null(p.conn->in);
	assert_null(p.conn->out);
	assert_int_equal(counter(STAT_BYTES_IN) - in, 5);
	assert_int_equal(counter(STAT_BYTES_OUT) - out, 5);
	buf_fini(&back);
}

static void
keeps_and_offers_again_what_is_left(void **state)
{
	(void)state;
	p.lines = true;
	put_text(client, "ab");
	turns_until(r, p.inputs == 1);
	got_is("");
	assert_true(slice_eq(conn_unread(p.conn), S("ab")));
	put_text(client, "c\nde");
	turns_until(r, p.inputs == 2);
	got_is("abc\n");
	assert_true(slice_eq(conn_unread(p.conn), S("de")));
	put_text(client, "f\n");
	turns_until(r, p.inputs == 3);
	got_is("abc\ndef\n");
	assert_null(p.conn->in);
}

static void
unconsumed_input_is_bounded(void **state)
{
	static char line[LIMIT_IN_BYTES];
	size_t sent = 0;

	(void)state;
	p.lines = true;
	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 5000 && p.closed == 0; i++) {
		ssize_t n = send(client, line, sizeof(line), MSG_DONTWAIT | MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		reactor_turn(r, 1);
	}
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_TOO_LARGE);
	assert_true(sent > LIMIT_IN_BYTES);
}

static void
at_most_64_KiB_a_turn(void **state)
{
	static char bytes[200000];
	struct buf all = {0};
	size_t sent = 0;

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	while (sent < sizeof(bytes)) {
		ssize_t n = send(client, bytes + sent, sizeof(bytes) - sent, MSG_DONTWAIT);
		size_t before = buf_len(&p.got);

		sent += n > 0 ? (size_t)n : 0;
		reactor_turn(r, 1);
		assert_true(buf_len(&p.got) - before <= LIMIT_READ_BYTES);
	}
	turns_until(r, buf_len(&p.got) == sizeof(bytes));
	buf_fini(&all);
}

static void
pause_keeps_the_rest_until_resume(void **state)
{
	(void)state;
	p.lines = true;
	p.pause_after = 1;
	put_text(client, "one\ntwo\nthr");
	turns_until(r, p.inputs == 1);
	put_text(client, "ee\n");
	turns_settle(r);
	got_is("one\n");
	assert_int_equal(p.inputs, 1);

	p.pause_after = 2;
	conn_resume(p.conn);
	turns_until(r, p.inputs == 2);
	turns_settle(r);
	got_is("one\ntwo\n");

	p.pause_after = 0;
	conn_resume(p.conn);
	turns_until(r, p.line_count == 3);
	got_is("one\ntwo\nthree\n");
}

static size_t
upper_input(struct conn *conn, char *bytes, size_t len)
{
	struct probe *probe = conn_cookie(conn);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(bytes[i] & ~0x20);
	buf_append(&probe->got, bytes, len);
	return len;
}

static const struct conn_ops upper_ops = { .input = upper_input, .closed = probe_closed };

static size_t
hand_over_input(struct conn *conn, char *bytes, size_t len)
{
	(void)bytes;
	assert_true(len >= 2);
	conn_set_ops(conn, &upper_ops);
	return 2;
}

static const struct conn_ops hand_over_ops = { .input = hand_over_input, .closed = probe_closed };

static void
new_ops_are_offered_the_rest(void **state)
{
	(void)state;
	conn_set_ops(p.conn, &hand_over_ops);
	put_text(client, "xxabc");
	turns_until(r, buf_len(&p.got) > 0);
	got_is("ABC");
	assert_null(p.conn->in);
}

/* --- The end of input --- */

static void
answers_after_a_half_close(void **state)
{
	struct buf back = {0};
	bool ended;
	int error;

	(void)state;
	p.lines = p.echo = true;
	put_text(client, "question\n");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	turns_until(r, p.eofs == 1);
	got_is("question\n");
	conn_write(p.conn, S("later\n"));
	conn_finish(p.conn, CLOSE_DONE);
	assert_null(conn_find(r, p.id));
	(void)take_all(r, client, &back, 1000, &ended, &error);
	assert_true(ended);
	assert_int_equal(error, 0);
	assert_int_equal(buf_len(&back), 15);
	assert_memory_equal(back.bytes, "question\nlater\n", 15);
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_DONE);
	assert_int_equal(p.eofs, 1);
	buf_fini(&back);
}

static void
a_half_close_waits_for_a_pause_and_does_not_spin(void **state)
{
	struct epoll_event event;

	(void)state;
	p.lines = true;
	p.pause_after = 1;
	put_text(client, "one\ntwo\n");
	turns_until(r, p.line_count == 1);
	put_text(client, "three\n");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	turns_until(r, conn_is(p.conn, CONN_PEER_SHUT));
	turns_settle(r);
	assert_int_equal(epoll_wait(r->epoll_fd, &event, 1, 0), 0);
	assert_int_equal(p.eofs, 0);

	p.pause_after = 2;
	conn_resume(p.conn);
	turns_until(r, p.line_count == 2);
	turns_settle(r);
	assert_int_equal(p.eofs, 0);

	p.pause_after = 0;
	conn_resume(p.conn);
	turns_until(r, p.eofs == 1);
	got_is("one\ntwo\nthree\n");
	turns_settle(r);
	assert_int_equal(epoll_wait(r->epoll_fd, &event, 1, 0), 0);
	assert_int_equal(p.closed, 0);
}

static bool
resume_in_hook(void *cookie)
{
	(void)cookie;
	if (p.conn != NULL && conn_is(p.conn, CONN_PAUSED)) {
		p.pause_after++;
		conn_resume(p.conn);
	}
	return false;
}

static void
note_lines(struct conn *conn)
{
	assert_int_equal(p.line_count, 4);
	probe_eof(conn);
}

static const struct conn_ops noting_ops = { .input = probe_input, .eof = note_lines, .closed = probe_closed };

/* Resumed late in a turn: the next one finds both kept lines and the end, and they keep their order. */
static void
kept_input_comes_before_the_end(void **state)
{
	(void)state;
	conn_set_ops(p.conn, &noting_ops);
	p.lines = true;
	p.pause_after = 1;
	reactor_on_turn(r, resume_in_hook, NULL);
	put_text(client, "one\ntwo\nthree\nfour\n");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	turns_until(r, p.eofs == 1);
	got_is("one\ntwo\nthree\nfour\n");
}

static void
what_was_not_consumed_is_unread_at_eof(void **state)
{
	(void)state;
	p.lines = true;
	put_text(client, "one\ntwo");
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	turns_until(r, p.eofs == 1);
	assert_true(slice_eq(conn_unread(p.conn), S("two")));
}

static void
a_reset_is_noticed_while_paused(void **state)
{
	(void)state;
	conn_pause(p.conn);
	turns_settle(r);
	client_reset();
	turns_until(r, p.closed == 1);
	assert_int_equal(p.reason, CLOSE_PEER);
}

static void
a_reset_is_noticed_while_reading(void **state)
{
	(void)state;
	client_reset();
	turns_until(r, p.closed == 1);
	assert_int_equal(p.reason, CLOSE_PEER);
	assert_int_equal(p.eofs, 0);
}

static unsigned gone;

static void
count_gone(struct probe *probe)
{
	(void)probe;
	gone++;
}

/* Who is still here is read between them, and epoll tells of each of them once. */
static void
a_crowd_goes_a_few_a_turn(void **state)
{
	enum { CROWD = 3 * LIMIT_REAPS + 1 };
	struct probe crowd[CROWD] = {0};
	struct linger linger = { .l_onoff = 1 };
	struct epoll_event events[CROWD];

	(void)state;
	gone = 0;
	for (int i = 0; i < CROWD; i++) {
		int fd = tcp_probe(r, &crowd[i]);

		crowd[i].on_closed = count_gone;
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
		(void)close(fd);
	}
	while (epoll_wait(r->epoll_fd, events, CROWD, -1) < CROWD)
		;
	put_text(client, "still here");
	for (unsigned left = CROWD; left > 0; left -= left < LIMIT_REAPS ? left : LIMIT_REAPS) {
		assert_int_equal(gone, CROWD - left);
		reactor_turn(r, 0);
	}
	assert_int_equal(gone, CROWD);
	turns_until(r, buf_len(&p.got) == 10);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(crowd[i].reason, CLOSE_PEER);
		probe_fini(&crowd[i]);
	}
}

/* A socket pair hangs up where TCP would only half-close: the input before it still counts. */
static void
a_hang_up_while_paused_keeps_the_input(void **state)
{
	struct probe q = { .lines = true, .pause_after = 1 };
	struct epoll_event event;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	probe_open(r, &q, ends[1]);
	put_text(ends[0], "one\n");
	turns_until(r, q.line_count == 1);
	put_text(ends[0], "two\n");
	(void)close(ends[0]);
	turns_until(r, conn_is(q.conn, CONN_DETACHED));
	turns_settle(r);
	assert_int_equal(epoll_wait(r->epoll_fd, &event, 1, 0), 0);
	conn_resume(q.conn);
	turns_until(r, q.eofs == 1);
	assert_int_equal(q.line_count, 2);
	turns_until(r, q.closed == 1); /* hung up in both directions: nobody is left to answer */
	probe_fini(&q);
}

/* --- Output --- */

static unsigned next_number;

/* Queues numbered lines until refused. */
static unsigned
queue_numbers(struct probe *probe)
{
	unsigned queued = 0;

	for (;;) {
		struct run *run = run_create(64);

		run->len = (uint32_t)snprintf(run->bytes, 64, "%010u %048d\n", next_number, 0);
		if (conn_queue(probe->conn, run, 0, run->len, ON_FULL_REFUSE) == QUEUED_NOT) {
			run_unref(run);
			return queued;
		}
		run_unref(run);
		next_number++;
		queued++;
	}
}

static void
queue_numbers_again(struct probe *probe)
{
	assert_true(conn_out_bytes(probe->conn) <= LIMIT_OUT_LOW_BYTES);
	if (next_number < 100000)
		(void)queue_numbers(probe);
}

static void
a_slow_reader_is_refused_then_drained_in_order(void **state)
{
	struct buf back = {0};
	bool ended;
	int error;

	(void)state;
	small_buffers();
	next_number = 0;
	(void)queue_numbers(&p);
	assert_true(conn_out_bytes(p.conn) >= LIMIT_OUT_SOFT_BYTES);
	assert_true(conn_out_bytes(p.conn) < LIMIT_OUT_SOFT_BYTES + 64);
	turns_settle(r);
	assert_int_equal(gauge(GAUGE_OUT_BYTES), conn_out_bytes(p.conn));
	assert_int_equal(p.drained, 0);
	p.on_drained = queue_numbers_again;
	turns_settle(r);
	while (next_number < 100000)
		(void)take_all(r, client, &back, buf_len(&back) + 1, &ended, &error);
	(void)take_all(r, client, &back, (size_t)next_number * 60, &ended, &error);
	assert_int_equal(buf_len(&back), (size_t)next_number * 60);
	for (unsigned i = 0; i < next_number; i++)
		assert_int_equal(strtoul(back.bytes + (size_t)i * 60, NULL, 10), i);
	turns_settle(r);
	assert_true(p.drained > 10);
	assert_null(p.conn->out);
	buf_fini(&back);
}

static void
drained_comes_once_when_wanted(void **state)
{
	(void)state;
	conn_want_drained(p.conn);
	assert_int_equal(p.drained, 0);
	turns_settle(r);
	assert_int_equal(p.drained, 1);
}

static void
adjacent_slices_are_one(void **state)
{
	struct run *run = run_copy(S("0123456789"));
	uint64_t writes;
	struct buf back = {0};
	bool ended;
	int error;

	(void)state;
	turns_settle(r);
	writes = counter(STAT_WRITES);
	assert_int_equal(conn_queue(p.conn, run, 0, 3, ON_FULL_KEEP), QUEUED);
	assert_int_equal(conn_queue(p.conn, run, 3, 4, ON_FULL_KEEP), QUEUED);
	assert_int_equal(p.conn->out->count, 1);
	assert_int_equal(run->refs, 2);
	assert_int_equal(conn_queue(p.conn, run, 8, 2, ON_FULL_KEEP), QUEUED);
	assert_int_equal(p.conn->out->count, 2);
	assert_int_equal(run->refs, 3);
	assert_int_equal(conn_queue(p.conn, run, 0, 0, ON_FULL_KEEP), QUEUED);
	assert_int_equal(conn_out_bytes(p.conn), 9);
	(void)take_all(r, client, &back, 9, &ended, &error);
	assert_memory_equal(back.bytes, "012345689", 9);
	assert_int_equal(run->refs, 1);
	assert_int_equal(counter(STAT_WRITES) - writes, 1);
	run_unref(run);
	buf_fini(&back);
}

static void
many_slices_go_64_a_write(void **state)
{
	struct run *a = run_copy(S("ab")), *b = run_copy(S("cd"));
	uint64_t writes = counter(STAT_WRITES);
	struct buf back = {0};
	bool ended;
	int error;

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(conn_queue(p.conn, i % 2 == 0 ? a : b, 0, 2, ON_FULL_KEEP), QUEUED);
	assert_int_equal(take_all(r, client, &back, 400, &ended, &error), 400);
	for (int i = 0; i < 100; i++)
		assert_memory_equal(back.bytes + i * 4, "abcd", 4);
	turns_settle(r);
	assert_int_equal(counter(STAT_WRITES) - writes, 4);
	assert_int_equal(a->refs, 1);
	run_unref(a);
	run_unref(b);
	buf_fini(&back);
}

static void
small_writes_share_a_run_and_keep_their_place(void **state)
{
	struct run *run = run_copy(S("<run>"));
	struct buf back = {0}, want = {0};
	bool ended;
	int error;

	(void)state;
	for (int i = 0; i < 40; i++) {
		conn_write(p.conn, S("answer;"));
		buf_put(&want, S("answer;"));
	}
	assert_int_equal(p.conn->out->count, 1);
	(void)conn_queue(p.conn, run, 0, 5, ON_FULL_KEEP);
	buf_put(&want, S("<run>"));
	for (int i = 0; i < 4000; i++) {
		conn_write(p.conn, S("more;"));
		buf_put(&want, S("more;"));
	}
	assert_true(p.conn->out->count < 10);
	assert_int_equal(run->len, 5);
	(void)take_all(r, client, &back, buf_len(&want), &ended, &error);
	assert_int_equal(buf_len(&back), buf_len(&want));
	assert_memory_equal(back.bytes, want.bytes, buf_len(&want));
	run_unref(run);
	buf_fini(&back);
	buf_fini(&want);
}

static void
answers_beyond_the_hard_limit_close(void **state)
{
	static char answer[100000];

	(void)state;
	for (int i = 0; i < 41; i++)
		conn_write(p.conn, slice_of(answer, sizeof(answer)));
	assert_non_null(conn_find(r, p.id));
	conn_write(p.conn, slice_of(answer, sizeof(answer)));
	assert_null(conn_find(r, p.id));
	conn_write(p.conn, S("ignored"));
	turns_settle(r);
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_SLOW);
}

static void
many_tiny_slices_count_against_the_hard_limit(void **state)
{
	struct run *a = run_copy(S("a")), *b = run_copy(S("b"));
	unsigned n = 0;

	(void)state;
	while (conn_queue(p.conn, n % 2 == 0 ? a : b, 0, 1, ON_FULL_KEEP) == QUEUED)
		assert_true(++n < 300000);
	turns_settle(r);
	assert_int_equal(p.reason, CLOSE_SLOW);
	run_unref(a);
	run_unref(b);
}

/* --- Finishing --- */

static void
finish_writes_all_first(void **state)
{
	static char answer[1000000];
	struct buf back = {0};
	bool ended;
	int error;

	(void)state;
	small_buffers();
	memset(answer, 'z', sizeof(answer));
	conn_write(p.conn, slice_of(answer, sizeof(answer)));
	conn_finish(p.conn, CLOSE_DONE);
	turns_settle(r);
	assert_int_equal(p.closed, 0);
	(void)take_all(r, client, &back, sizeof(answer) + 1, &ended, &error);
	assert_true(ended);
	assert_int_equal(buf_len(&back), sizeof(answer));
	client_close();
	turns_until(r, p.closed == 1);
	assert_int_equal(p.reason, CLOSE_DONE);
	buf_fini(&back);
}

/* Without the wait for the peer's end, unread input would turn our end into a reset. */
static void
finish_survives_unread_input(void **state)
{
	static char noise[300000];
	struct buf back = {0};
	bool ended;
	int error;

	(void)state;
	memset(noise, 'n', sizeof(noise));
	conn_write(p.conn, S("too_large\n"));
	conn_finish(p.conn, CLOSE_TOO_LARGE);
	for (size_t sent = 0; sent < sizeof(noise);) {
		size_t rest = sizeof(noise) - sent;
		ssize_t n = send(client, noise + sent, rest, MSG_DONTWAIT | MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		reactor_turn(r, 1);
	}
	(void)take_all(r, client, &back, 100, &ended, &error);
	assert_true(ended);
	assert_int_equal(error, 0);
	assert_int_equal(buf_len(&back), 10);
	assert_int_equal(p.inputs, 0);
	client_close();
	turns_until(r, p.closed == 1);
	assert_int_equal(p.reason, CLOSE_TOO_LARGE);
	buf_fini(&back);
}

static void
finish_ends_after_its_time(void **state)
{
	static char answer[3000000];

	(void)state;
	use_fake_clock();
	small_buffers();
	conn_write(p.conn, slice_of(answer, sizeof(answer)));
	conn_finish(p.conn, CLOSE_REVOKED);
	conn_close(p.conn, CLOSE_REVOKED);
	turns_settle(r);
	assert_int_equal(p.closed, 1);

	p = (struct probe) {0};
	client_close();
	client = tcp_probe(r, &p);
	small_buffers();
	conn_write(p.conn, slice_of(answer, sizeof(answer)));
	conn_finish(p.conn, CLOSE_REVOKED);
	pass(LIMIT_FINISH_MS - 100);
	assert_int_equal(p.closed, 0);
	pass(200);
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_REVOKED);
}

/* --- Time --- */

static void
deadlines_fire_once_and_can_be_moved(void **state)
{
	(void)state;
	use_fake_clock();
	conn_set_deadline(p.conn, fake_now_ms + 1000);
	pass(900);
	assert_int_equal(p.deadlines, 0);
	conn_set_deadline(p.conn, fake_now_ms + 1000);
	pass(500);
	assert_int_equal(p.deadlines, 0);
	pass(600);
	assert_int_equal(p.deadlines, 1);
	pass(100000);
	assert_int_equal(p.deadlines, 1);

	conn_set_deadline(p.conn, fake_now_ms + 100000);
	conn_set_deadline(p.conn, fake_now_ms + 50);
	pass(100);
	assert_int_equal(p.deadlines, 2);
	conn_set_deadline(p.conn, fake_now_ms + 50);
	conn_set_deadline(p.conn, 0);
	pass(100);
	assert_int_equal(p.deadlines, 2);
	/* Further away than a round of the wheel. */
	conn_set_deadline(p.conn, fake_now_ms + 200000);
	pass(199900);
	assert_int_equal(p.deadlines, 2);
	pass(200);
	assert_int_equal(p.deadlines, 3);
}

static void
a_stalled_reader_is_closed(void **state)
{
	static char answer[3000000], some[2000000];
	int error;
	ssize_t n;

	(void)state;
	use_fake_clock();
	small_buffers();
	conn_write(p.conn, slice_of(answer, sizeof(answer)));
	pass(LIMIT_STALL_MS - 1000);
	assert_int_equal(p.closed, 0);
	/* Reading something begins the time anew. */
	n = (ssize_t)conn_out_bytes(p.conn);
	assert_true(n > 0);
	while ((ssize_t)conn_out_bytes(p.conn) == n) {
		assert_true(take_some(client, some, sizeof(some), &error) >= 0);
		reactor_turn(r, 1);
	}
	turns_settle(r);
	pass(LIMIT_STALL_MS - 1000);
	assert_int_equal(p.closed, 0);
	pass(1100);
	assert_int_equal(p.closed, 1);
	assert_int_equal(p.reason, CLOSE_SLOW);
}

/* --- Names, lists, addresses --- */

static void
ids_go_stale(void **state)
{
	uint64_t id = p.id;
	struct probe *probes = mem_zalloc(2 * CHUNK_CONNS * sizeof(*probes));

	(void)state;
	assert_int_equal(id >> 56, 3);
	assert_ptr_equal(conn_find(r, id), p.conn);
	assert_null(conn_find(r, id ^ (uint64_t)1 << 56));
	assert_null(conn_find(r, id ^ (uint64_t)1 << 32));
	assert_null(conn_find(r, id + 1));
	assert_null(conn_find(r, id + 100000));
	conn_close(p.conn, CLOSE_IDLE);
	assert_null(conn_find(r, id));
	turns_settle(r);
	assert_null(conn_find(r, id));
	assert_int_equal(p.reason, CLOSE_IDLE);
	/* The slot comes round again, under another name. */
	for (int i = 0; i < 2 * CHUNK_CONNS; i++) {
		int far = tcp_probe(r, &probes[i]);

		assert_true(probes[i].id != id);
		conn_close(probes[i].conn, CLOSE_DONE);
		turns_settle(r);
		assert_int_equal(probes[i].closed, 1);
		(void)close(far);
	}
	assert_int_equal(r->chunk_count, 1);
	assert_null(conn_find(r, id));
	mem_free(probes);
}

static struct probe *victim;

static void
close_victim(struct probe *probe)
{
	(void)probe;
	if (victim->conn != NULL)
		conn_close(victim->conn, CLOSE_REVOKED);
}

static void
a_handler_may_close_others_in_the_same_batch(void **state)
{
	struct probe q = {0}, s = {0};
	int far_q = tcp_probe(r, &q), far_s = tcp_probe(r, &s);

	(void)state;
	victim = &q;
	p.on_input = close_victim;
	q.on_closed = close_victim;
	put_text(client, "x");
	put_text(far_q, "x");
	turns_until(r, q.closed == 1);
	assert_int_equal(q.reason, CLOSE_REVOKED);
	/* And its own last word may close the next. */
	victim = &s;
	p.on_input = NULL;
	p.on_closed = close_victim;
	conn_close(p.conn, CLOSE_DONE);
	reactor_turn(r, 0);
	assert_int_equal(p.closed, 1);
	assert_int_equal(s.closed, 1);
	(void)close(far_q);
	(void)close(far_s);
	probe_fini(&q);
}

static void
count_conn(struct conn *conn, void *cookie)
{
	unsigned *n = cookie;

	assert_non_null(conn_cookie(conn));
	(*n)++;
}

static void
each_conn_and_the_count(void **state)
{
	struct probe q = {0};
	int far = tcp_probe(r, &q);
	unsigned n = 0;

	(void)state;
	assert_int_equal(reactor_conn_count(r), 2);
	reactor_each_conn(r, count_conn, &n);
	assert_int_equal(n, 2);
	conn_close(q.conn, CLOSE_DONE);
	reactor_each_conn(r, count_conn, &n);
	assert_int_equal(n, 3);
	turns_settle(r);
	assert_int_equal(reactor_conn_count(r), 1);
	(void)close(far);
}

static void
an_address_can_be_overridden(void **state)
{
	struct sockaddr_storage address = {0}, back;
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(4711) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(99) };

	(void)state;
	assert_int_equal(conn_address(p.conn, &back)->ss_family, AF_UNSPEC);
	in4.sin_addr.s_addr = htonl(0xc0000207);
	memcpy(&address, &in4, sizeof(in4));
	conn_set_address(p.conn, &address);
	assert_ptr_equal(conn_address(p.conn, &back), &back);
	assert_memory_equal(&back, &in4, sizeof(in4));

	in6.sin6_addr = in6addr_loopback;
	memcpy(&address, &in6, sizeof(in6));
	conn_set_address(p.conn, &address);
	(void)conn_address(p.conn, &back);
	assert_memory_equal(&back, &in6, sizeof(in6));

	/* IPv4 in IPv6's clothes. */
	in6.sin6_addr = (struct in6_addr) {0};
	in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(in6.sin6_addr.s6_addr + 12, &in4.sin_addr, 4);
	in6.sin6_port = htons(4711);
	memcpy(&address, &in6, sizeof(in6));
	conn_set_address(p.conn, &address);
	(void)conn_address(p.conn, &back);
	assert_memory_equal(&back, &in4, sizeof(in4));
}

static void
queues_that_nobody_needed_for_a_while_go(void **state)
{
	struct outq *queues[OUTQ_SPARE + 100];

	(void)state;
	use_fake_clock();
	pass(OUTQ_KEPT_MS);
	for (unsigned i = 0; i < LEN(queues); i++)
		queues[i] = outq_take(r);
	for (unsigned i = 0; i < LEN(queues); i++)
		outq_give(r, queues[i]);
	assert_int_equal(r->outq_kept_count, LEN(queues));
	pass(OUTQ_KEPT_MS); /* all of them were in use meanwhile */
	assert_int_equal(r->outq_kept_count, LEN(queues));
	pass(OUTQ_KEPT_MS);
	assert_int_equal(r->outq_kept_count, OUTQ_SPARE);
	/* And now some fewer were needed. */
	for (unsigned i = 0; i < 10; i++)
		queues[i] = outq_take(r);
	for (unsigned i = 0; i < 10; i++)
		outq_give(r, queues[i]);
	pass(OUTQ_KEPT_MS);
	assert_int_equal(r->outq_kept_count, OUTQ_SPARE);
}

static void
every_reason_has_a_name(void **state)
{
	(void)state;
	assert_string_equal(close_reason_name(CLOSE_PEER), "peer");
	assert_string_equal(close_reason_name(CLOSE_SHUTDOWN), "shutdown");
	assert_string_equal(close_reason_name(CLOSE_MAX), "?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(echoes_and_owns_nothing_afterwards),
		TEST(keeps_and_offers_again_what_is_left),
		TEST(unconsumed_input_is_bounded),
		TEST(at_most_64_KiB_a_turn),
		TEST(pause_keeps_the_rest_until_resume),
		TEST(new_ops_are_offered_the_rest),
		TEST(answers_after_a_half_close),
		TEST(a_half_close_waits_for_a_pause_and_does_not_spin),
		TEST(kept_input_comes_before_the_end),
		TEST(what_was_not_consumed_is_unread_at_eof),
		TEST(a_reset_is_noticed_while_paused),
		TEST(a_crowd_goes_a_few_a_turn),
		TEST(a_reset_is_noticed_while_reading),
		TEST(a_hang_up_while_paused_keeps_the_input),
		TEST(a_slow_reader_is_refused_then_drained_in_order),
		TEST(drained_comes_once_when_wanted),
		TEST(adjacent_slices_are_one),
		TEST(many_slices_go_64_a_write),
		TEST(small_writes_share_a_run_and_keep_their_place),
		TEST(answers_beyond_the_hard_limit_close),
		TEST(many_tiny_slices_count_against_the_hard_limit),
		TEST(finish_writes_all_first),
		TEST(finish_survives_unread_input),
		TEST(finish_ends_after_its_time),
		TEST(deadlines_fire_once_and_can_be_moved),
		TEST(a_stalled_reader_is_closed),
		TEST(ids_go_stale),
		TEST(a_handler_may_close_others_in_the_same_batch),
		TEST(each_conn_and_the_count),
		TEST(an_address_can_be_overridden),
		TEST(queues_that_nobody_needed_for_a_while_go),
		TEST(every_reason_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
