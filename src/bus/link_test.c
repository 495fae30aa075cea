/* SPDX-License-Identifier: MIT */
/* A connection against what Redis should not say: to a listener that says the same to everybody. */
#include "bus/link.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"

struct fake {
	int listener;
	struct place place;
	slice says;
	bool hangs_up; /* when that is said */
	pthread_t thread;
};

/* Says it to one client, as far as he listens; then waits for him to go. */
static void *
fake_main(void *cookie)
{
	struct fake *fake = cookie;
	slice rest = fake->says;
	char heard[4096];
	int fd = accept(fake->listener, NULL, NULL);

	/* Whoever hangs up with something unheard takes back what he said. */
	if (fd >= 0)
		(void)recv(fd, heard, sizeof(heard), 0);
	while (fd >= 0 && rest.len > 0) {
		ssize_t n = send(fd, rest.ptr, rest.len, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		rest = slice_of(rest.ptr + n, rest.len - (size_t)n);
	}
	while (fd >= 0 && !fake->hangs_up && recv(fd, heard, sizeof(heard), 0) > 0)
		;
	if (fd >= 0)
		(void)close(fd);
	return NULL;
}

static void
fake_open(struct fake *fake, slice says, bool hangs_up)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	*fake = (struct fake){.says = says, .hangs_up = hangs_up};
	fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fake->listener, 1), 0);
	assert_int_equal(getsockname(fake->listener, (struct sockaddr *)&address, &len), 0);
	(void)snprintf(fake->place.host, sizeof(fake->place.host), "127.0.0.1");
	(void)snprintf(fake->place.port, sizeof(fake->place.port), "%d", ntohs(address.sin_port));
	assert_int_equal(pthread_create(&fake->thread, NULL, fake_main, fake), 0);
}

static void
fake_close(struct fake *fake)
{
	(void)pthread_join(fake->thread, NULL);
	(void)close(fake->listener);
}

static const struct link_login plain = {.user = "", .password = "", .role = true};

/* Turns until the connection is up or over; then why. */
static const char *
meet(struct link *link, const struct fake *fake, const struct link_login *login)
{
	const char *why = link_open(link, &fake->place, 0, login, clock_mono_ms());

	while (why == NULL && link->state != LINK_UP) {
		struct pollfd fd = {.fd = link->fd, .events = link_wants(link)};

		(void)poll(&fd, 1, 50);
		why = link_ready(link, fd.revents, clock_mono_ms());
	}
	return why;
}

/* All answers of a connection that is up, until it is over: why. */
static const char *
listen_to(struct link *link, size_t *ret_answers)
{
	const char *why = NULL;

	*ret_answers = 0;
	while (why == NULL) {
		struct pollfd fd = {.fd = link->fd, .events = link_wants(link)};
		redisReply *reply;

		/* Some came with its role. */
		while (why == NULL && (reply = link_answer(link, &why)) != NULL) {
			freeReplyObject(reply);
			++*ret_answers;
		}
		(void)poll(&fd, 1, 50);
		if (why == NULL)
			why = link_ready(link, fd.revents, clock_mono_ms());
	}
	return why;
}

static void
says(slice what, const char *why)
{
	struct link link = {.fd = -1};
	struct fake fake;
	const char *got;

	fake_open(&fake, what, false);
	got = meet(&link, &fake, &plain);
	link_close(&link);
	fake_close(&fake);
	assert_string_equal(got, why);
}

#define MASTER "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

static void
what_is_said_at_the_door(void **state)
{
	(void)state;
	says(S("220 mail.example.org ESMTP\r\n"), "Redis sent what can't be read");
	says(S("-ERR max number of clients reached\r\n"), "Redis has too many clients");
	says(S("-LOADING Redis is loading the dataset in memory\r\n"), "Redis is loading its data");
	says(S("-NOAUTH Authentication required.\r\n"), "Redis wants a password");
	says(S("-WHATEVER\r\n"), "Redis refuses");
	says(S("+OK\r\n"), "Redis answers strangely");
	says(S("*0\r\n"), "Redis answers strangely");
	says(S("*1\r\n:1\r\n"), "Redis answers strangely");
	says(S("*5\r\n$5\r\nslave\r\n$1\r\nx\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"),
	    "that Redis is a replica");
}

static void
silence_has_a_deadline(void **state)
{
	(void)state;
	says(S(""), "Redis does not answer");
	says(S("*3\r\n$6\r\nmas"), "Redis does not answer");
}

static void
nobody_is_there(void **state)
{
	struct link link = {.fd = -1};
	struct fake fake;
	const char *why;

	(void)state;
	fake_open(&fake, S(MASTER), true);
	assert_null(meet(&link, &fake, &plain));
	link_close(&link);
	fake_close(&fake);
	/* The port is free again. */
	why = meet(&link, &fake, &plain);
	link_close(&link);
	assert_string_equal(why, "Redis can't be reached");
	(void)snprintf(fake.place.host, sizeof(fake.place.host), "no-such-host.invalid");
	why = meet(&link, &fake, &plain);
	assert_string_equal(why, "the name of Redis's host is not known");
	assert_int_equal(link.state, LINK_DOWN);
}

static void
its_role_may_be_secret(void **state)
{
	static const slice secret = S("-NOPERM this user has no permissions to run 'role'\r\n");
	struct link_login strict = plain;
	struct link link = {.fd = -1};
	struct fake fake;
	const char *why;

	(void)state;
	fake_open(&fake, secret, false);
	assert_null(meet(&link, &fake, &plain));
	assert_true(link.role_denied);
	link_close(&link);
	fake_close(&fake);
	strict.need_master = true;
	fake_open(&fake, secret, false);
	why = meet(&link, &fake, &strict);
	link_close(&link);
	fake_close(&fake);
	assert_string_equal(why, "the user may not ask Redis for its ROLE");
}

static void
answers_come_until_it_hangs_up(void **state)
{
	struct link link = {.fd = -1};
	struct fake fake;
	size_t answers;

	(void)state;
	fake_open(&fake, S(MASTER ":1\r\n:2\r\n$3\r\nabc\r\n*1\r\n:1\r\n$9\r\ncut"), true);
	assert_null(meet(&link, &fake, &plain));
	assert_string_equal(listen_to(&link, &answers), "Redis closed the connection");
	assert_true(answers == 4);
	link_close(&link);
	fake_close(&fake);
}

static void
an_answer_without_end_is_not_kept(void **state)
{
	enum { HUGE_BYTES = 8 * 1024 * 1024 };
	static const char head[] = MASTER "$500000000\r\n";
	char *huge = mem_zalloc(HUGE_BYTES);
	struct link link = {.fd = -1};
	struct fake fake;
	size_t answers;

	(void)state;
	memset(huge, 'x', HUGE_BYTES);
	memcpy(huge, head, sizeof(head) - 1);
	fake_open(&fake, slice_of(huge, HUGE_BYTES), false);
	assert_null(meet(&link, &fake, &plain));
	assert_string_equal(listen_to(&link, &answers), "Redis sent more than there should be");
	assert_true(answers == 0);
	link_close(&link);
	fake_close(&fake);
	mem_free(huge);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_said_at_the_door),
	    cmocka_unit_test(silence_has_a_deadline),
	    cmocka_unit_test(nobody_is_there),
	    cmocka_unit_test(its_role_may_be_secret),
	    cmocka_unit_test(answers_come_until_it_hangs_up),
	    cmocka_unit_test(an_answer_without_end_is_not_kept),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
