/* SPDX-License-Identifier: MIT */
#include "wire/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "wire/split_test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xC0\x00\x02\x01\xC6\x33\x64\x02\xDC\x04\x1B\x58"
#define V6_A "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define V6_B "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"

static int
codec(slice in)
{
	struct proxy_header header;

	return proxy_parse(in, &header);
}

/* used: the whole of it where `who` is given. */
static const struct {
	slice in;
	const char *who; /* "local", address and port, NULL: bad */
} table[] = {
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 56324 7000\r\n"), "192.0.2.1 56324"},
    {S("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255 65535"},
    {S("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0 0"},
    {S("PROXY TCP6 2001:db8::1 2001:db8::2 4124 443\r\n"), "2001:db8::1 4124"},
    {S("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535"},
    {S("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "::ffff:192.0.2.1 1"},
    {S("PROXY UNKNOWN\r\n"), "local"},
    {S("PROXY UNKNOWN ffff::f ffff::f 65535 65535\r\n"), "local"},
    {S("PROXY \r\n"), NULL},
    {S("PROXY TCP4\r\n"), NULL},
    {S("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY UNKNOWNX\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"), NULL},
    {S("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 1 99999\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 100000 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"), NULL},
    {S("PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), NULL},
    {S("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"), NULL},
    {S("PROXY TCP6 1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1111 ::1 1 2\r\n"), NULL},
    {S("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890"
       "1234567890123456789012\r\n"),
	NULL},
    {S("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890"
       "123456789012345678901\r\n"),
	"local"},
    {S("PROXY\tTCP4 192.0.2.1 198.51.100.2 1 2\r\n"), NULL},
    {S("GET / HTTP/1.1\r\n"), NULL},
    {S("{}\n"), NULL},
    {S("\r\n\r\n{}"), NULL},
    {S(SIGNATURE "\x21\x11\0\x0C" V4), "192.0.2.1 56324"},
    {S(SIGNATURE "\x21\x11\0\x10" V4 "\x04\0\x01x"), "192.0.2.1 56324"},
    {S(SIGNATURE "\x21\x21\0\x24" V6_A V6_B "\x10\x1C\x01\xBB"), "2001:db8::1 4124"},
    {S(SIGNATURE "\x20\0\0\0"), "local"},
    {S(SIGNATURE "\x20\x11\0\x0C" V4), "local"},
    {S(SIGNATURE "\x20\0\0\x05"
		 "12345"),
	"local"},
    {S(SIGNATURE "\x21\0\0\0"), "local"},
    {S(SIGNATURE "\x21\x12\0\x0C" V4), "local"},
    {S(SIGNATURE "\x21\x11\0\x0B" V4), NULL},
    {S(SIGNATURE "\x21\x11\0\0"), NULL},
    {S(SIGNATURE "\x21\x21\0\x23" V6_A V6_B "\x10\x1C\x01\xBB"), NULL},
    {S(SIGNATURE "\x11\x11\0\x0C" V4), NULL},
    {S(SIGNATURE "\x31\x11\0\x0C" V4), NULL},
    {S(SIGNATURE "\x22\x11\0\x0C" V4), NULL},
    {S(SIGNATURE "\x21\x41\0\x0C" V4), NULL},
    {S(SIGNATURE "\x21\x13\0\x0C" V4), NULL},
    {S(SIGNATURE "\x21\x11\x02\x09"), NULL},
    {S(SIGNATURE "\x21\x11\xFF\xFF"), NULL},
};

static void
describe(const struct proxy_header *header, char *text, size_t size)
{
	char address[INET6_ADDRSTRLEN];
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	memcpy(&sin, &header->source, sizeof(sin));
	memcpy(&sin6, &header->source, sizeof(sin6));
	if (header->local)
		snprintf(text, size, "local");
	else if (header->source.ss_family == AF_INET)
		snprintf(text, size, "%s %u",
		    inet_ntop(AF_INET, &sin.sin_addr, address, sizeof(address)),
		    ntohs(sin.sin_port));
	else
		snprintf(text, size, "%s %u",
		    inet_ntop(AF_INET6, &sin6.sin6_addr, address, sizeof(address)),
		    ntohs(sin6.sin6_port));
}

static void
headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		struct proxy_header header = {0};
		char text[80];
		int result = run_prefixes(codec, table[i].in);

		if (table[i].who == NULL) {
			assert_int_equal(result, PROXY_BAD);
			continue;
		}
		assert_int_equal(result, table[i].in.len);
		assert_int_equal(proxy_parse(table[i].in, &header), result);
		describe(&header, text, sizeof(text));
		assert_string_equal(text, table[i].who);
	}
}

static void
what_follows_is_left(void **state)
{
	struct proxy_header header;

	(void)state;
	assert_int_equal(proxy_parse(S("PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"), &header), 15);
	assert_int_equal(proxy_parse(S(SIGNATURE "\x20\0\0\0GET /"), &header), 16);
	assert_int_equal(proxy_parse(S(""), &header), 0);
}

static void
longest_header(void **state)
{
	char bytes[PROXY_HEADER_MAX] = SIGNATURE "\x21\x11\x02\x08" V4;
	struct proxy_header header;

	(void)state;
	assert_int_equal(proxy_parse(slice_of(bytes, sizeof(bytes) - 1), &header), 0);
	assert_int_equal(proxy_parse(slice_of(bytes, sizeof(bytes)), &header), PROXY_HEADER_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(headers),
	    cmocka_unit_test(what_follows_is_left),
	    cmocka_unit_test(longest_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
