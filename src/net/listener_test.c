/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "net/net_fixture.h"

enum { REACTORS = 3 };

static const struct listener_options plain = {0};

/* --- Addresses --- */

static void
addresses_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int family;
		const char *printed;
	} good[] = {
		{ "127.0.0.1:7000", AF_INET, "127.0.0.1:7000" },
		{ "0.0.0.0:1", AF_INET, "0.0.0.0:1" },
		{ "localhost:65535", AF_INET, "127.0.0.1:65535" },
		{ "[::1]:80", AF_INET6, "[::1]:80" },
		{ "*:7000", AF_INET6, "*:7000" },
	};
	static const char *const bad[] = { "", ":", "7000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
		"127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x", "example.org:80", "::1:80", "[::1:80",
		"[]:80", "[::1]80", "300.0.0.1:80", "*", "fd:", "fd:x",
		"[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]:1" };
	struct sockaddr_storage address;
	char text[80];
	socklen_t len;

	(void)state;
	for (size_t i = 0; i < LEN(good); i++) {
		assert_int_equal(address_parse(good[i].text, &address, &len), 0);
		assert_int_equal(address.ss_family, good[i].family);
		address_print(&address, text, sizeof(text));
		assert_string_equal(text, good[i].printed);
	}
	for (size_t i = 0; i < LEN(bad); i++) {
		errno = 0;
		assert_int_equal(address_parse(bad[i], &address, &len), -1);
		assert_int_equal(errno, EINVAL);
	}
}

static int
dial(const char *address)
{
	struct sockaddr_storage to;
	socklen_t len;
	int fd;

	if (address[0] == '*')
		address++;
	if (address[0] == ':') {
		char text[32];

		(void)snprintf(text, sizeof(text), "127.0.0.1%s", address);
		assert_int_equal(address_parse(text, &to, &len), 0);
	} else {
		assert_int_equal(address_parse(address, &to, &len), 0);
	}
	if ((fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
		return -1;
	assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
	return fd;
}

/* --- One reactor --- */

static void
opens_accepts_and_knows_the_peer(void **state)
{
	static const char *const addresses[] = { "127.0.0.1:0", "localhost:0", "*:0", "[::1]:0" };

	(void)state;
	for (size_t i = 0; i < LEN(addresses); i++) {
		struct reactor *r = reactor_create(0);
		struct listener_options options = { .cookie = &options };
		struct sockaddr_storage peer, own;
		socklen_t len = sizeof(own);
		struct listener *l, *second;
		struct probe p = {0};
		uint64_t accepted = counter(STAT_ACCEPTED);
		int client;

		if (listener_open(&r, 1, addresses[i], &options, probe_opened, &l) < 0) {
			assert_true(addresses[i][0] == '['); /* a machine without IPv6 */
			reactor_destroy(&r);
			continue;
		}
		errno = 0;
		assert_int_equal(listener_open(&r, 1, listener_address(l), &plain, probe_opened, &second), -1);
		assert_int_equal(errno, EADDRINUSE);

		probe_opening = &p;
		client = dial(listener_address(l));
		turns_until(r, p.conn != NULL);
		assert_ptr_equal(conn_listener(p.conn), l);
		assert_ptr_equal(listener_options(conn_listener(p.conn))->cookie, &options);
		assert_int_equal(getsockname(client, (struct sockaddr *)&own, &len), 0);
		assert_memory_equal(conn_address(p.conn, &peer), &own, len);
		put_text(client, "hi");
		turns_until(r, buf_len(&p.got) == 2);
		assert_int_equal(counter(STAT_ACCEPTED) - accepted, 1);
		/* The listener may go before its connections. */
		listener_close(&l);
		assert_null(l);
		assert_ptr_equal(listener_options(conn_listener(p.conn))->cookie, &options);
		(void)close(client);
		turns_until(r, p.eofs == 1);
		reactor_destroy(&r);
		probe_fini(&p);
	}
}

static void
bad_addresses_are_refused(void **state)
{
	struct reactor *r = reactor_create(0);
	struct listener *l;

	(void)state;
	assert_int_equal(listener_open(&r, 1, "example.org:80", &plain, probe_opened, &l), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(listener_open(&r, 1, "203.0.113.1:0", &plain, probe_opened, &l), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(listener_open(&r, 1, "fd:9999", &plain, probe_opened, &l), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(listener_open(&r, 1, "fd:1", &plain, probe_opened, &l), -1);
	assert_true(errno == ENOTSOCK || errno == EINVAL);
	reactor_destroy(&r);
}

static void
takes_an_inherited_descriptor_over(void **state)
{
	struct reactor *r = reactor_create(0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), client;
	struct probe p = {0};
	struct listener *l;
	char name[16];

	(void)state;
	(void)snprintf(name, sizeof(name), "fd:%d", fd);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listener_open(&r, 1, name, &plain, probe_opened, &l), -1); /* listens not yet */
	assert_int_equal(errno, EINVAL);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(listener_open(&r, 1, name, &plain, probe_opened, &l), 0);
	assert_int_equal(listener_fd(l), fd);
	probe_opening = &p;
	client = dial(listener_address(l));
	turns_until(r, p.conn != NULL);
	(void)close(client);
	listener_close(&l);
	reactor_destroy(&r);
}

static bool
ended(int fd)
{
	char byte;
	int error;

	return take_some(fd, &byte, 1, &error) < 0;
}

static void
connections_over_the_maximum_are_refused(void **state)
{
	struct reactor *r = reactor_create(0);
	uint64_t refused = counter(STAT_REFUSED_FULL);
	struct probe p[3] = {0};
	struct listener *l;
	int clients[3];

	(void)state;
	listener_set_max(2);
	assert_int_equal(listener_open(&r, 1, "127.0.0.1:0", &plain, probe_opened, &l), 0);
	for (int i = 0; i < 2; i++) {
		probe_opening = &p[i];
		clients[i] = dial(listener_address(l));
		turns_until(r, p[i].conn != NULL);
	}
	clients[2] = dial(listener_address(l));
	turns_until(r, ended(clients[2]));
	(void)close(clients[2]);
	assert_int_equal(counter(STAT_REFUSED_FULL) - refused, 1);
	assert_int_equal(reactor_conn_count(r), 2);
	/* Room again. */
	conn_close(p[0].conn, CLOSE_DONE);
	turns_settle(r);
	probe_opening = &p[2];
	clients[2] = dial(listener_address(l));
	turns_until(r, p[2].conn != NULL);
	listener_set_max(~0u);
	for (int i = 0; i < 3; i++)
		(void)close(clients[i]);
	listener_close(&l);
	reactor_destroy(&r);
}

static void
a_stopped_listener_leaves_the_backlog_alone(void **state)
{
	struct reactor *r = reactor_create(0);
	struct probe p = {0};
	struct listener *l;
	int first, second;

	(void)state;
	assert_int_equal(listener_open(&r, 1, "127.0.0.1:0", &plain, probe_opened, &l), 0);
	probe_opening = &p;
	first = dial(listener_address(l));
	turns_until(r, p.conn != NULL);
	listener_stop(l);
	listener_stop(l);
	second = dial(listener_address(l));
	turns_settle(r);
	assert_int_equal(reactor_conn_count(r), 1);
	put_text(first, "still");
	turns_until(r, buf_len(&p.got) == 5);
	listener_close(&l);
	reactor_destroy(&r);
	(void)close(first);
	(void)close(second);
	probe_fini(&p);
}

/* --- No descriptors: in a child, whose limit is its own --- */

enum { FD_CLIENTS = 20 };

static void
take_all_descriptors(int *fds, unsigned max, unsigned *ret_count)
{
	unsigned n = 0;
	int fd;

	while (n < max && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		fds[n++] = fd;
	assert_int_equal(errno, EMFILE);
	*ret_count = n;
}

/* Refused one by one while the old connection lives on; once there are descriptors again all is well. */
static void
run_out_of_descriptors(void)
{
	struct rlimit limit = { 64, 64 };
	struct reactor *r = reactor_create(0);
	struct probe old = { .echo = true }, new = {0};
	int fds[64], waiting[FD_CLIENTS], first, last;
	struct listener *l;
	unsigned held;
	struct buf back = {0};
	bool stopped;
	int error;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(listener_open(&r, 1, "127.0.0.1:0", &plain, probe_opened, &l), 0);
	probe_opening = &old;
	first = dial(listener_address(l));
	turns_until(r, old.conn != NULL);
	for (int i = 0; i < FD_CLIENTS; i++)
		waiting[i] = dial(listener_address(l));
	take_all_descriptors(fds, LEN(fds), &held);
	turns_until(r, counter(STAT_REFUSED_FD) == FD_CLIENTS);
	for (int i = 0; i < FD_CLIENTS; i++)
		turns_until(r, ended(waiting[i]));
	put_text(first, "alive");
	assert_int_equal(take_all(r, first, &back, 5, &stopped, &error), 5);

	while (held > 0)
		(void)close(fds[--held]);
	probe_opening = &new;
	last = dial(listener_address(l));
	turns_until(r, new.conn != NULL);
	(void)close(last);
	(void)close(first);
	listener_close(&l);
	reactor_destroy(&r);
	buf_fini(&back);
	probe_fini(&old);
}

/* Somebody else took the spare one too: the backlog waits, without a spin, until there are some again. */
static void
run_out_of_the_spare_one(void)
{
	struct rlimit limit = { 64, 64 };
	struct reactor *r = reactor_create(0);
	struct probe p = {0};
	int fds[64], client, waiting;
	struct listener *l;
	unsigned held;
	uint64_t turns;

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(listener_open(&r, 1, "127.0.0.1:0", &plain, probe_opened, &l), 0);
	r->clock_ms = fake_clock_ms;
	fake_now_ms = r->now_ms;
	take_all_descriptors(fds, LEN(fds), &held);
	(void)close(fds[--held]);
	client = dial(listener_address(l));
	/* A lower limit does to the spare one what another thread might. */
	limit.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	turns_settle(r);
	turns = counter(STAT_TURNS);
	for (int i = 0; i < 10; i++) {
		fake_now_ms += ACCEPT_PAUSE_MS + TICK_MS;
		reactor_turn(r, 0);
	}
	assert_int_equal(counter(STAT_TURNS) - turns, 10);
	assert_null(p.conn);

	limit.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (held > 0)
		(void)close(fds[--held]);
	probe_opening = &p;
	waiting = dial(listener_address(l));
	for (int i = 0; i < 100 && p.conn == NULL; i++) {
		fake_now_ms += TICK_MS;
		reactor_turn(r, 1);
	}
	assert_non_null(p.conn);
	(void)close(waiting);
	(void)close(client);
	listener_close(&l);
	reactor_destroy(&r);
	probe_fini(&p);
}

/* A failed assertion of cmocka's jumps; in the child it must end the process instead. */
static void
in_child(void (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		run();
		_exit(42);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

static void
without_descriptors_new_ones_are_refused_and_old_ones_live(void **state)
{
	(void)state;
	in_child(run_out_of_descriptors);
}

static void
without_the_spare_one_accepting_pauses(void **state)
{
	(void)state;
	in_child(run_out_of_the_spare_one);
}

/* --- Three reactors on threads --- */

static struct reactor *reactors[REACTORS];
static unsigned opened_on[REACTORS]; /* atomic */

static size_t
tell_input(struct conn *conn, char *bytes, size_t len)
{
	char text[4];

	(void)bytes;
	assert_true(reactor_current == conn_reactor(conn));
	(void)snprintf(text, sizeof(text), "%u", reactor_index(conn_reactor(conn)));
	conn_write(conn, slice_of(text, 1));
	return len;
}

static void
tell_eof(struct conn *conn)
{
	conn_finish(conn, CLOSE_PEER);
}

static const struct conn_ops tell_ops = { .input = tell_input, .eof = tell_eof };

static void
tell_opened(struct conn *conn)
{
	assert_true(reactor_current == conn_reactor(conn));
	conn_set_ops(conn, &tell_ops);
	(void)__atomic_add_fetch(&opened_on[reactor_index(conn_reactor(conn))], 1, __ATOMIC_RELAXED);
}

static void *
reactor_main(void *cookie)
{
	reactor_run(cookie);
	return NULL;
}

/* Which reactor a connection lives on, by its own word. */
static unsigned
ask(int fd)
{
	char answer = '?';

	put_text(fd, "?");
	assert_int_equal(recv(fd, &answer, 1, MSG_WAITALL), 1);
	return (unsigned)(answer - '0');
}

static void
deals_to_the_reactor_with_the_fewest(void **state)
{
	pthread_t threads[REACTORS];
	struct listener *l;
	int clients[30];
	unsigned on[REACTORS] = {0}, lonely = REACTORS;

	(void)state;
	for (unsigned i = 0; i < REACTORS; i++)
		reactors[i] = reactor_create(i);
	assert_int_equal(listener_open(reactors, REACTORS, "127.0.0.1:0", &plain, tell_opened, &l), 0);
	for (unsigned i = 0; i < REACTORS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reactor_main, reactors[i]), 0);
	for (size_t i = 0; i < LEN(clients); i++)
		clients[i] = dial(listener_address(l));
	for (size_t i = 0; i < LEN(clients); i++)
		on[ask(clients[i])]++;
	for (unsigned i = 0; i < REACTORS; i++)
		assert_int_equal(on[i], LEN(clients) / REACTORS);

	/* One reactor's connections go: the next ones are all its. */
	lonely = ask(clients[0]);
	for (size_t i = 0; i < LEN(clients); i++)
		if (ask(clients[i]) == lonely) {
			(void)close(clients[i]);
			clients[i] = -1;
		}
	while (reactor_conn_count(reactors[lonely]) > 0)
		(void)sched_yield();
	for (size_t i = 0; i < LEN(clients); i++)
		if (clients[i] < 0) {
			clients[i] = dial(listener_address(l));
			assert_int_equal(ask(clients[i]), lonely);
		}
	for (unsigned i = 0; i < REACTORS; i++)
		reactor_stop(reactors[i]);
	for (unsigned i = 0; i < REACTORS; i++)
		(void)pthread_join(threads[i], NULL);
	listener_close(&l);
	for (unsigned i = 0; i < REACTORS; i++)
		reactor_destroy(&reactors[i]);
	for (size_t i = 0; i < LEN(clients); i++)
		(void)close(clients[i]);
	assert_int_equal(gauge(GAUGE_CONNS), 0);
}

/* Dealt to a reactor that never ran: nothing leaks. */
static void
deals_under_way_are_discarded(void **state)
{
	struct reactor *two[2] = { reactor_create(0), reactor_create(1) };
	struct probe p = {0};
	struct listener *l;
	int clients[4];

	(void)state;
	assert_int_equal(listener_open(two, 2, "127.0.0.1:0", &plain, probe_opened, &l), 0);
	probe_opening = &p;
	for (int i = 0; i < 4; i++)
		clients[i] = dial(listener_address(l));
	turns_until(two[0], reactor_conn_count(two[0]) + reactor_conn_count(two[1]) == 4);
	assert_int_equal(reactor_conn_count(two[1]), 2);
	listener_close(&l);
	reactor_destroy(&two[0]);
	reactor_destroy(&two[1]);
	for (int i = 0; i < 4; i++) {
		assert_true(ended(clients[i]));
		(void)close(clients[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_parsed),
		cmocka_unit_test(opens_accepts_and_knows_the_peer),
		cmocka_unit_test(bad_addresses_are_refused),
		cmocka_unit_test(takes_an_inherited_descriptor_over),
		cmocka_unit_test(connections_over_the_maximum_are_refused),
		cmocka_unit_test(a_stopped_listener_leaves_the_backlog_alone),
		cmocka_unit_test(without_descriptors_new_ones_are_refused_and_old_ones_live),
		cmocka_unit_test(without_the_spare_one_accepting_pauses),
		cmocka_unit_test(deals_to_the_reactor_with_the_fewest),
		cmocka_unit_test(deals_under_way_are_discarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
