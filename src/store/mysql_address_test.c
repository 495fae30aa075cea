/* SPDX-License-Identifier: MIT */
#include "store/mysql_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct mysql_address
parsed(const char *url)
{
	struct mysql_address a;
	char why[256] = "";

	if (!mysql_address_parse(slice_str(url), &a, why, sizeof(why)))
		fail_msg("%s: %s", url, why);
	return a;
}

static void
all_parts_are_taken(void **state)
{
	struct mysql_address a = parsed("mysql://ann:p%40ss:w%2F@db.example.org:3307/chat"
					"?tls=on&ca=/etc/ca%20s.pem&pool=7&durability=replicated");

	(void)state;
	assert_string_equal(a.user, "ann");
	assert_string_equal(a.password, "p@ss:w/");
	assert_string_equal(a.host, "db.example.org");
	assert_int_equal(a.port, 3307);
	assert_string_equal(a.database, "chat");
	assert_int_equal(a.tls, MYSQL_TLS_ON);
	assert_string_equal(a.ca, "/etc/ca s.pem");
	assert_int_equal(a.writers, 7);
	assert_int_equal(a.durability, MYSQL_DURABLE_REPLICATED);
}

static void
what_is_left_out_is_safe(void **state)
{
	struct mysql_address a = parsed("mysql://ann@db/chat");

	(void)state;
	assert_string_equal(a.password, "");
	assert_int_equal(a.port, 3306);
	assert_int_equal(a.tls, MYSQL_TLS_VERIFY);
	assert_int_equal(a.writers, MYSQL_WRITERS_DEFAULT);
	assert_int_equal(a.durability, MYSQL_DURABLE_LOCAL);
	assert_int_equal(parsed("ann@localhost/chat").tls, MYSQL_TLS_OFF);
	assert_int_equal(parsed("ann@127.0.0.1:33/chat").tls, MYSQL_TLS_OFF);
	assert_int_equal(parsed("ann@[::1]/chat").tls, MYSQL_TLS_OFF);
	assert_int_equal(parsed("ann@127.example.org/chat").tls, MYSQL_TLS_VERIFY);
	assert_int_equal(parsed("ann@[2001:db8::1]:99/chat").port, 99);
	assert_string_equal(parsed("ann@localhost/chat?socket=/run/m.sock").socket, "/run/m.sock");
}

static void
what_is_wrong_is_said_without_the_password(void **state)
{
	static const char *const wrong[] = {
	    "mysql://",
	    "mysql://localhost/chat",
	    "mysql://ann:hush@db",
	    "mysql://ann:hush@db/",
	    "mysql://:hush@db/chat",
	    "mysql://ann:hush@/chat",
	    "mysql://ann:hush@db:0/chat",
	    "mysql://ann:hush@db:65536/chat",
	    "mysql://ann:hush@db:x/chat",
	    "mysql://ann:hush@[::1/chat",
	    "mysql://ann:hush@[::1]x/chat",
	    "mysql://ann:hush%4@db/chat",
	    "mysql://ann:hush%00@db/chat",
	    "mysql://ann:hush@db/chat?tls=maybe",
	    "mysql://ann:hush@db/chat?pool=0",
	    "mysql://ann:hush@db/chat?pool=17",
	    "mysql://ann:hush@db/chat?durability=much",
	    "mysql://ann:hush@db/chat?hush=1",
	};

	(void)state;
	for (size_t i = 0; i < LEN(wrong); i++) {
		struct mysql_address a;
		char why[256] = "";

		assert_false(mysql_address_parse(slice_str(wrong[i]), &a, why, sizeof(why)));
		assert_true(strlen(why) > 10);
		assert_null(strstr(why, "hush"));
	}
}

static void
no_password_is_shown(void **state)
{
	struct mysql_address a = parsed("mysql://ann:hush@db/chat");
	char text[128];

	(void)state;
	mysql_address_text(&a, text, sizeof(text));
	assert_string_equal(text, "ann@db:3306/chat");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_parts_are_taken),
	    cmocka_unit_test(what_is_left_out_is_safe),
	    cmocka_unit_test(what_is_wrong_is_said_without_the_password),
	    cmocka_unit_test(no_password_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
