/* SPDX-License-Identifier: MIT */
/* What requests cost and who pays; refusals, and what follows them; the cap of an address. */
#include "gate/gate_fake.h"

#include <netinet/in.h>

#include "base/mem.h"
#include "base/rate.h"
#include "base/stat.h"
#include "gate/cidr.h"

#define PING(id) "{\"id\":" id ",\"method\":\"ping\"}\n"
#define SEND(id) "{\"id\":" id ",\"method\":\"send\",\"params\":{\"to\":1,\"body\":\"b\"}}\n"

static int
begin(void **state)
{
	(void)state;
	world_begin();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_end();
	quota_table_destroy(&world.config.quota);
	return 0;
}

static uint64_t
counted(enum stat_counter which)
{
	return stats_self()->counters[which];
}

static void
expect_limited(const char *id, json_int_t wait_ms)
{
	json_t *json = take_line(), *data = json_object_get(json_object_get(json, "error"), "data");
	char *dumped = json_dumps(json_object_get(json, "id"), JSON_ENCODE_ANY);

	assert_string_equal(dumped, id);
	assert_string_equal(json_string_value(json_object_get(data, "name")), "rate_limited");
	assert_true(json_is_true(json_object_get(data, "retry")));
	assert_int_equal(json_integer_value(json_object_get(data, "retry_after_ms")), wait_ms);
	free(dumped);
	json_decref(json);
}

static uint64_t
cost_of(const char *text)
{
	uint64_t before = world.spent;

	feed_text(text);
	return world.spent - before;
}

static void
requests_cost_what_they_weigh(void **state)
{
	char *body = mem_zalloc(9000);

	(void)state;
	dial_logged_in();
	world.auto_answer = true;
	assert_int_equal(cost_of(PING("1")), 1);
	assert_int_equal(cost_of("{\"id\":2,\"method\":\"hello\"}\n"), 1);
	assert_int_equal(cost_of(SEND("3")), 1);
	assert_int_equal(cost_of("{\"id\":4,\"method\":\"history\",\"params\":{\"cid\":1}}\n"), 16);
	assert_int_equal(cost_of("{\"id\":5,\"method\":\"no.such\"}\n"), 1);
	assert_int_equal(cost_of("{\"id\":[],\"method\":\"ping\"}\n"), 1);
	assert_int_equal(cost_of("{\n"), 1);
	assert_int_equal(cost_of("\n  \n"), 0);
	memset(body, 'x', 8999);
	feed_text("{\"id\":6,\"method\":\"send\",\"params\":{\"to\":1,\"body\":\"");
	feed_text(body);
	assert_int_equal(cost_of("\"}}\n"), 3);
	mem_free(body);
}

static void
what_is_too_fast_is_not_carried_out(void **state)
{
	(void)state;
	dial_logged_in();
	world.wait_ms = 70;
	feed_text(PING("1") "{\"id\":\"x\",\"method\":\"history\",\"params\":{\"cid\":1}}\n");
	expect_limited("1", 70);
	expect_limited("\"x\"", 70);
	feed_text("{\"id\":2,\"method\":\"no.such\"}\n{\"id\":[],\"method\":\"ping\"}\n");
	expect_limited("2", 70);
	expect_limited("null", 70);
	feed_text("{\"method\":\"mark\",\"params\":{\"cid\":1,\"read\":1}}\n");
	expect_silence();
	/* What can't be read at all is told so. */
	feed_text("{\n");
	expect_error("null", "parse_error", NULL, 0);
	expect_told("");
	world.wait_ms = 0;
	feed_text(PING("3"));
	expect_result("3");
}

static void
a_send_that_is_too_fast_keeps_its_place(void **state)
{
	char *text;

	(void)state;
	dial_logged_in();
	world.wait_ms = 70;
	feed_text(SEND("1"));
	expect_silence();
	text = take_told();
	assert_non_null(strstr(text, "refused=rate_limited"));
	mem_free(text);
	world.wait_ms = 2000;
	pass_ms(1000);
	/* What does not say where to has none, and one that may not send at all is not told to wait. */
	feed_text("{\"id\":2,\"method\":\"send\"}\n");
	expect_limited("2", 2000);
	world.peer->logged_in = false;
	feed_text(SEND("3"));
	expect_limited("3", 2000);
	expect_told("");
}

/* Each send is told of with how long it has to wait. */
static void
expect_refused_send(bool refused)
{
	char *text;

	feed_text(SEND("1"));
	text = take_told();
	assert_int_equal(strstr(text, "refused=rate_limited") != NULL, refused);
	mem_free(text);
	if (!refused)
		answer_empty();
	expect_silence();
}

static void
what_was_sent_behind_it_does_not_overtake_it(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		dial_logged_in();
		/* At every place of the clock that the session keeps, and where it begins anew. */
		world.reactor.now_ms = 655360 * 3 - 1005 + (uint64_t)round * 400;
		world.conn->last_input_ms = world.reactor.now_ms;
		world.wait_ms = 70;
		expect_refused_send(true);
		world.wait_ms = 0;
		expect_refused_send(true);
		feed_text(PING("1"));
		expect_result("1");
		world.reactor.now_ms += 900;
		expect_refused_send(true);
		world.reactor.now_ms += 100;
		world.auto_answer = true;
		feed_text(SEND("7"));
		expect_result("7");
		mem_free(take_told());
		world.auto_answer = false;
		/* Forgotten at the next request, not only at the next send. */
		world.wait_ms = 70;
		expect_refused_send(true);
		world.wait_ms = 0;
		world.reactor.now_ms += 1100;
		feed_text(PING("2"));
		expect_result("2");
		world.reactor.now_ms += 655360 - 600;
		world.auto_answer = true;
		feed_text(SEND("8"));
		expect_result("8");
		mem_free(take_told());
		world.auto_answer = false;
	}
}

static void
who_goes_on_is_not_read_for_a_while(void **state)
{
	uint64_t before = counted(STAT_RATE_HELD);

	(void)state;
	dial_logged_in();
	world.wait_ms = 5;
	for (int i = 0; i < 127; i++)
		feed_text(PING("1"));
	assert_false(world.conn->paused);
	feed_text(PING("1") PING("2"));
	assert_true(world.conn->paused);
	assert_int_equal(counted(STAT_RATE_HELD) - before, 1);
	for (int i = 0; i < 128; i++)
		expect_limited("1", 5);
	expect_silence();
	pass_ms(639);
	assert_true(world.conn->paused);
	world.wait_ms = 0;
	pass_ms(1);
	assert_false(world.conn->paused);
	expect_result("2");
	/* The other deadlines hold as before. */
	pass_ms(74000);
	assert_false(world.conn->finishing);
	pass_ms(1000);
	assert_true(world.conn->finishing);
	assert_int_equal(world.conn->reason, CLOSE_IDLE);
}

static void
a_long_wait_is_not_sat_out(void **state)
{
	(void)state;
	dial_logged_in();
	world.wait_ms = 3600 * 1000;
	for (int i = 0; i < 128; i++)
		feed_text(PING("1"));
	assert_true(world.conn->paused);
	pass_ms(1000);
	assert_false(world.conn->paused);
	/* One that is carried out in between, and the count begins anew. */
	for (int i = 0; i < 500; i++) {
		world.wait_ms = i % 128 == 127 ? 0 : 20;
		feed_text(PING("1"));
	}
	assert_false(world.conn->paused);
}

static void
websocket_pings_are_paid_for(void **state)
{
	static const char ping[] = {(char)0x89, (char)0x80, 0, 0, 0, 0};
	char *text;

	(void)state;
	dial("203.0.113.7");
	feed_text(
	    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	text = take_out();
	assert_non_null(strstr(text, " 101 "));
	mem_free(text);
	feed(slice_of(ping, sizeof(ping)));
	text = take_out();
	assert_int_equal((unsigned char)text[0], 0x8a);
	mem_free(text);
	world.wait_ms = 20;
	feed(slice_of(ping, sizeof(ping)));
	expect_silence();
}

static void
http_is_told_to_come_back(void **state)
{
	char *text;

	(void)state;
	dial("203.0.113.7");
	world.wait_ms = 1500;
	feed_text("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	text = take_out();
	assert_non_null(strstr(text, "HTTP/1.1 429 Too Many Requests\r\n"));
	assert_non_null(strstr(text, "\r\nRetry-After: 2\r\n"));
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	mem_free(text);
	assert_true(world.conn->finishing);
}

static uint64_t
source(const char *address)
{
	dial(address);
	feed_text(PING("1"));
	expect_result("1");
	return world.peer->source;
}

static void
the_source_is_the_address_or_its_network(void **state)
{
	(void)state;
	assert_int_not_equal(source("203.0.113.7"), 0);
	assert_int_equal(source("203.0.113.7"), source("::ffff:203.0.113.7"));
	assert_int_not_equal(source("203.0.113.7"), source("203.0.113.8"));
	assert_int_equal(source("2001:db8::1"), source("2001:db8::ffff:ffff:ffff:ffff"));
	assert_int_not_equal(source("2001:db8::1"), source("2001:db8:0:1::1"));
}

static void
who_is_exempt_has_no_source(void **state)
{
	static const char *const exempt[] = {"203.0.113.0/24", NULL};

	(void)state;
	world.config.exempt = exempt;
	assert_int_equal(source("203.0.113.7"), 0);
	assert_int_not_equal(source("198.51.100.7"), 0);
	/* A changed configuration counts from the next request on. */
	world.config.exempt = NULL;
	assert_int_equal(source("203.0.113.7") == 0, false);
	world.config.exempt = exempt;
	gate_set_config(world.gate, &world.config);
	feed_text(PING("1"));
	expect_result("1");
	assert_int_equal(world.peer->source, 0);
}

static void
an_address_has_so_many_connections(void **state)
{
	static const char *const exempt[] = {"198.51.100.0/24", NULL};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_storage address = {0};
	uint64_t before = counted(STAT_REFUSED_ADDRESS), key;

	(void)state;
	world.config.quota = quota_table_create();
	world.config.connections_per_address = 2;
	world.config.exempt = exempt;
	in.sin_addr.s_addr = htonl(0xcb007107); /* 203.0.113.7 */
	memcpy(&address, &in, sizeof(in));
	key = cidr_source(&address);
	/* Connections that are taken away again leave nothing behind. */
	for (int i = 0; i < 10; i++)
		dial("203.0.113.7");
	assert_true(quota_take(world.config.quota, key, 2));
	dial("203.0.113.8");
	assert_true(quota_take(world.config.quota, key, 2));
	for (int i = 0; i < 3; i++) {
		dial("203.0.113.7");
		assert_true(world.conn->closing);
		assert_int_equal(world.conn->reason, CLOSE_BUSY);
	}
	assert_int_equal(counted(STAT_REFUSED_ADDRESS) - before, 3);
	dial("203.0.113.8");
	assert_false(world.conn->closing);
	dial("198.51.100.7");
	assert_false(world.conn->closing);
	quota_give(world.config.quota, key);
	dial("203.0.113.7");
	assert_false(world.conn->closing);
	/* Whoever became exempt meanwhile is still taken off the count. */
	world.config.exempt = (const char *const[]){"203.0.113.0/24", NULL};
	gate_set_config(world.gate, &world.config);
	world.config.exempt = NULL;
	dial("203.0.113.9");
	assert_true(quota_take(world.config.quota, key, 2));
}

static void
behind_a_proxy_the_header_says_whose_it_is(void **state)
{
	static const char *const proxies[] = {"192.0.2.1", NULL};

	(void)state;
	world.config.quota = quota_table_create();
	world.config.connections_per_address = 1;
	world.config.proxies = proxies;
	world.listener.options.proxy = true;
	dial("192.0.2.1");
	feed_text("PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n" PING("1"));
	expect_result("1");
	assert_false(quota_take(world.config.quota, world.peer->source, 1));
	dial("192.0.2.1");
	feed_text("PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n" PING("1"));
	expect_result("1");
	assert_true(quota_take(world.config.quota, world.peer->source, 2));
	dial("192.0.2.1");
	feed_text("PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n" PING("1"));
	assert_true(world.conn->closing);
	expect_silence();
}

static void
connections_are_paid_for(void **state)
{
	uint64_t before = counted(STAT_REFUSED_RATE);

	(void)state;
	world.wait_ms = 20;
	dial("203.0.113.7");
	assert_true(world.conn->closing);
	assert_int_equal(counted(STAT_REFUSED_RATE) - before, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(requests_cost_what_they_weigh),
	    TEST(what_is_too_fast_is_not_carried_out),
	    TEST(a_send_that_is_too_fast_keeps_its_place),
	    TEST(what_was_sent_behind_it_does_not_overtake_it),
	    TEST(who_goes_on_is_not_read_for_a_while),
	    TEST(a_long_wait_is_not_sat_out),
	    TEST(websocket_pings_are_paid_for),
	    TEST(http_is_told_to_come_back),
	    TEST(the_source_is_the_address_or_its_network),
	    TEST(who_is_exempt_has_no_source),
	    TEST(an_address_has_so_many_connections),
	    TEST(behind_a_proxy_the_header_says_whose_it_is),
	    TEST(connections_are_paid_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
