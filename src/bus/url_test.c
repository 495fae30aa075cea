/* SPDX-License-Identifier: MIT */
#include "bus/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static struct redis_url
parsed(const char *text)
{
	struct redis_url url;
	char error[256] = "";

	assert_int_equal(url_parse(text, &url, error, sizeof(error)), 0);
	assert_string_equal(error, "");
	return url;
}

static void
refused(const char *text, const char *part)
{
	struct redis_url url;
	char error[256] = "";

	if (url_parse(text, &url, error, sizeof(error)) == 0)
		print_message("%s was taken\n", text);
	assert_int_equal(url_parse(text, &url, error, sizeof(error)), -1);
	if (strstr(error, part) == NULL)
		print_message("%s: %s\n", text, error);
	assert_non_null(strstr(error, part));
	assert_null(strstr(error, "s3cret"));
}

static void
the_usual_ones(void **state)
{
	struct redis_url url = parsed("redis://127.0.0.1:6380");

	(void)state;
	assert_int_equal(url.place_count, 1);
	assert_string_equal(url.places[0].host, "127.0.0.1");
	assert_string_equal(url.places[0].port, "6380");
	assert_string_equal(url.user, "");
	assert_string_equal(url.password, "");
	assert_string_equal(url.sentinel, "");
	assert_string_equal(url.cluster, "main");
	url = parsed("redis://bell/");
	assert_string_equal(url.places[0].host, "bell");
	assert_string_equal(url.places[0].port, "6379");
	url = parsed("redis://[::1]:7/0");
	assert_string_equal(url.places[0].host, "::1");
	assert_string_equal(url.places[0].port, "7");
	assert_string_equal(parsed("redis://[fe80::2]").places[0].port, "6379");
}

static void
users_and_passwords(void **state)
{
	struct redis_url url = parsed("redis://confab:a:b%40%2f@h");

	(void)state;
	assert_string_equal(url.user, "confab");
	assert_string_equal(url.password, "a:b@/");
	url = parsed("redis://:s3cret@h");
	assert_string_equal(url.user, "");
	assert_string_equal(url.password, "s3cret");
	assert_string_equal(parsed("redis://u:a@b@h").password, "a@b");
}

static void
sentinels(void **state)
{
	struct redis_url url = parsed("redis://u:p@s1,s2:7,[::3]:8?sentinel=mymaster&cluster=blue&"
				      "sentinel_user=su&sentinel_password=s%26p");

	(void)state;
	assert_int_equal(url.place_count, 3);
	assert_string_equal(url.places[0].port, "26379");
	assert_string_equal(url.places[1].port, "7");
	assert_string_equal(url.places[2].host, "::3");
	assert_string_equal(url.sentinel, "mymaster");
	assert_string_equal(url.sentinel_user, "su");
	assert_string_equal(url.sentinel_password, "s&p");
	assert_string_equal(url.cluster, "blue");
}

static void
wrong_ones(void **state)
{
	char longer[600];

	(void)state;
	refused("rediss://h", "redis://");
	refused("redis://", "no host");
	refused("redis://u:s3cret@", "no host");
	refused("redis://u@h", "no password");
	refused("redis://u:@h", "no password");
	refused("redis://u:s3cret%4@h", "two hex digits");
	refused("redis://u:s3cret%00@h", "two hex digits");
	refused("redis://h:0", "HOST:PORT");
	refused("redis://h:65536", "HOST:PORT");
	refused("redis://h:123456", "HOST:PORT");
	refused("redis://h:", "HOST:PORT");
	refused("redis://:6379", "HOST:PORT");
	refused("redis://h:x", "HOST:PORT");
	refused("redis://[::1", "HOST:PORT");
	refused("redis://[::1]x", "HOST:PORT");
	refused("redis://h,", "HOST:PORT");
	refused("redis://h,i", "several hosts");
	refused("redis://h/2", "database");
	refused("redis://h?cluster=", "other than");
	refused("redis://h?nonsense=1", "other than");
	refused("redis://h?cluster=a*", "cluster");
	refused("redis://h?cluster=aaaaaaaaaabbbbbbbbbbccccccccccddd", "cluster");
	refused("redis://1,2,3,4,5,6,7,8,9?sentinel=x", "more than 8");
	(void)snprintf(longer, sizeof(longer), "redis://u:%0500d@h", 1);
	refused(longer, "too long");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_usual_ones),
	    cmocka_unit_test(users_and_passwords),
	    cmocka_unit_test(sentinels),
	    cmocka_unit_test(wrong_ones),
	};

	return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
