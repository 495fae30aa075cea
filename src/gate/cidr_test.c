/* SPDX-License-Identifier: MIT */
#include "gate/cidr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static struct sockaddr_storage
address_of(const char *text)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(&address, &in, sizeof(in));
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
		memcpy(&address, &in6, sizeof(in6));
	}
	return address;
}

static void
blocks_hold_what_lies_in_them(void **state)
{
	static const struct {
		const char *block, *address;
		bool in;
	} table[] = {
	    {"10.1.2.3", "10.1.2.3", true},
	    {"10.1.2.3", "10.1.2.4", false},
	    {"10.0.0.0/8", "10.255.0.1", true},
	    {"10.0.0.0/8", "11.0.0.1", false},
	    {"192.168.4.0/22", "192.168.7.255", true},
	    {"192.168.4.0/22", "192.168.8.0", false},
	    {"0.0.0.0/0", "8.8.8.8", true},
	    {"0.0.0.0/0", "fe80::1", false},
	    {"::/0", "fe80::1", true},
	    {"fd00::/8", "fd12::1", true},
	    {"fd00::/8", "fc12::1", false},
	    {"2001:db8::/33", "2001:db8:7fff::", true},
	    {"2001:db8::/33", "2001:db8:8000::", false},
	    {"::1", "::1", true},
	    {"10.0.0.0/8", "::ffff:10.2.3.4", true},
	    {"::ffff:10.0.0.0/104", "10.2.3.4", true},
	    {"::ffff:10.0.0.0/104", "11.2.3.4", false},
	    {"10.0.0.0/33", "10.0.0.0", false},
	    {"10.0.0.0/", "10.0.0.0", false},
	    {"10.0.0.0/-1", "10.0.0.0", false},
	    {"nonsense", "10.0.0.0", false},
	    {"", "10.0.0.0", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *const list[] = {"127.0.0.9", table[i].block, NULL};
		struct sockaddr_storage address = address_of(table[i].address);

		if (cidr_any(list, &address) != table[i].in)
			fail_msg("%s and %s", table[i].block, table[i].address);
	}
}

static void
no_list_holds_none(void **state)
{
	const char *const empty[] = {NULL}, *const all[] = {"0.0.0.0/0", "::/0", NULL};
	struct sockaddr_storage address = address_of("127.0.0.1"), local = {.ss_family = AF_UNIX};

	(void)state;
	assert_false(cidr_any(NULL, &address));
	assert_false(cidr_any(empty, &address));
	assert_false(cidr_any(all, &local));
}

static void
loopback_in_all_its_forms(void **state)
{
	static const char *const yes[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};
	static const char *const no[] = {"128.0.0.1", "10.0.0.1", "::2", "::ffff:10.0.0.1"};
	struct sockaddr_storage local = {.ss_family = AF_UNIX};

	(void)state;
	assert_true(cidr_loopback(&local));
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		struct sockaddr_storage address = address_of(yes[i]);
		assert_true(cidr_loopback(&address));
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		struct sockaddr_storage address = address_of(no[i]);
		assert_false(cidr_loopback(&address));
	}
}

static void
text_and_validity(void **state)
{
	struct sockaddr_storage mapped = address_of("::ffff:10.2.3.4"),
				six = address_of("2001:DB8:0::1"), local = {.ss_family = AF_UNIX};
	char text[CIDR_TEXT_BYTES];

	(void)state;
	assert_string_equal(cidr_text(&mapped, text), "10.2.3.4");
	assert_string_equal(cidr_text(&six, text), "2001:db8::1");
	assert_string_equal(cidr_text(&local, text), "local");
	assert_true(cidr_valid("10.0.0.0/8") && cidr_valid("::1") && cidr_valid("fd00::/8"));
	assert_false(cidr_valid("10.0.0.0/8x") || cidr_valid("::1/129") || cidr_valid("10.0.0/8"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blocks_hold_what_lies_in_them),
	    cmocka_unit_test(no_list_holds_none),
	    cmocka_unit_test(loopback_in_all_its_forms),
	    cmocka_unit_test(text_and_validity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
