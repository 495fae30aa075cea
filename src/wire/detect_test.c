/* SPDX-License-Identifier: MIT */
#include "wire/detect.h"

#include "wire/split_test.h"

static const struct {
	slice first;
	enum wire_protocol protocol;
} table[] = {
    {S(""), WIRE_MORE},
    {S("G"), WIRE_MORE},
    {S("GET"), WIRE_MORE},
    {S("GET /ws HTTP/1.1"), WIRE_HTTP},
    {S("POST /"), WIRE_HTTP},
    {S("HEAD /"), WIRE_HTTP},
    {S("PUT /"), WIRE_HTTP},
    {S("DELETE /"), WIRE_HTTP},
    {S("OPTIONS "), WIRE_HTTP},
    {S("OPTIONS"), WIRE_MORE},
    {S("CONNECT "), WIRE_HTTP},
    {S("PRI * HTTP/2.0"), WIRE_HTTP},
    {S("GETX"), WIRE_LINES},
    {S("get / HT"), WIRE_LINES},
    {S("OPTIONSX"), WIRE_LINES},
    {S("{"), WIRE_LINES},
    {S(" {"), WIRE_LINES},
    {S("\r\n{"), WIRE_LINES},
    {S("["), WIRE_LINES},
    {S("\n"), WIRE_LINES},
    {S("\0"), WIRE_LINES},
    {S("\xFF"), WIRE_LINES},
    {S("\x16"), WIRE_TLS},
    {S("\x16\x03\x01"), WIRE_TLS},
    {S("\x10"), WIRE_OTHER},
    {S("CAP LS 302\r\n"), WIRE_OTHER},
    {S("NICK x"), WIRE_OTHER},
    {S("PASS x"), WIRE_OTHER},
    {S("USER x"), WIRE_OTHER},
    {S("P"), WIRE_MORE},
    {S("PA"), WIRE_MORE},
    {S("PASSWORD"), WIRE_LINES},
};

static void
first_bytes_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		slice first = table[i].first;

		assert_int_equal(wire_detect(first), table[i].protocol);
		for (size_t len = 0; len < first.len; len++) {
			enum wire_protocol early = wire_detect(slice_of(first.ptr, len));

			assert_true(early == WIRE_MORE || early == table[i].protocol);
		}
	}
}

static void
eight_bytes_are_enough(void **state)
{
	char eight[8];

	(void)state;
	for (size_t i = 0; i < LEN(table); i++) {
		memset(eight, 'x', sizeof(eight));
		memcpy(eight, table[i].first.ptr, table[i].first.len < 8 ? table[i].first.len : 8);
		assert_int_not_equal(wire_detect(slice_of(eight, 8)), WIRE_MORE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(first_bytes_decide),
	    cmocka_unit_test(eight_bytes_are_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
