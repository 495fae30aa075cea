/* SPDX-License-Identifier: MIT */
#include "wire/detect.h"

static const struct {
	slice word;
	enum wire_protocol protocol;
} words[] = {
    {S("\x16"), WIRE_TLS},
    {S("GET "), WIRE_HTTP},
    {S("POST "), WIRE_HTTP},
    {S("HEAD "), WIRE_HTTP},
    {S("OPTIONS "), WIRE_HTTP},
    {S("PUT "), WIRE_HTTP},
    {S("DELETE "), WIRE_HTTP},
    {S("PATCH "), WIRE_HTTP},
    {S("TRACE "), WIRE_HTTP},
    {S("CONNECT "), WIRE_HTTP},
    {S("PRI "), WIRE_HTTP},
    {S("CAP "), WIRE_OTHER},
    {S("NICK "), WIRE_OTHER},
    {S("PASS "), WIRE_OTHER},
    {S("USER "), WIRE_OTHER},
    {S("\x10"), WIRE_OTHER},
};

enum wire_protocol
wire_detect(slice first)
{
	enum wire_protocol found = WIRE_LINES;

	if (first.len == 0)
		return WIRE_MORE;
	for (size_t i = 0; i < LEN(words); i++) {
		if (slice_starts(first, words[i].word))
			return words[i].protocol;
		if (slice_starts(words[i].word, first))
			found = WIRE_MORE;
	}
	return found;
}
