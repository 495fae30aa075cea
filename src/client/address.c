/* SPDX-License-Identifier: MIT */
#include "client/address.h"

#include <stdio.h>

static bool
host_valid(slice host)
{
	if (host.len == 0 || host.len > ADDRESS_HOST_MAX)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		unsigned char c = (unsigned char)host.ptr[i];

		if (c <= ' ' || c >= 0x7f || strchr("/[]@?#\\", c) != NULL)
			return false;
	}
	return true;
}

static bool
port_valid(slice port)
{
	unsigned value = 0;

	if (port.len == 0 || port.len > ADDRESS_PORT_MAX)
		return false;
	for (size_t i = 0; i < port.len; i++) {
		if (port.ptr[i] < '0' || port.ptr[i] > '9')
			return false;
		value = value * 10 + (unsigned)(port.ptr[i] - '0');
	}
	return value >= 1 && value <= 65535;
}

/* Takes what stands before `at` off the front and that byte with it. */
static slice
rest_after(slice s, size_t at)
{
	return slice_of(s.ptr + at + 1, s.len - at - 1);
}

static bool
split(slice text, slice *ret_host, slice *ret_port)
{
	const char *mark;
	slice after;

	*ret_port = S(ADDRESS_PORT_DEFAULT);
	if (slice_starts(text, S("["))) {
		mark = memchr(text.ptr, ']', text.len);
		if (mark == NULL)
			return false;
		*ret_host = slice_of(text.ptr + 1, (size_t)(mark - text.ptr) - 1);
		after = rest_after(text, (size_t)(mark - text.ptr));
		if (after.len == 0)
			return true;
		*ret_port = rest_after(after, 0);
		return after.ptr[0] == ':';
	}
	mark = memchr(text.ptr, ':', text.len);
	*ret_host = text;
	if (mark == NULL)
		return true;
	*ret_host = slice_of(text.ptr, (size_t)(mark - text.ptr));
	*ret_port = rest_after(text, (size_t)(mark - text.ptr));
	return true;
}

bool
address_parse(slice text, struct address *ret_address)
{
	struct address a = {.tls = false};
	slice host, port;

	if (slice_starts(text, S("confabs://"))) {
		a.tls = true;
		text = slice_of(text.ptr + 10, text.len - 10);
	} else if (slice_starts(text, S("confab://"))) {
		text = slice_of(text.ptr + 9, text.len - 9);
	}
	if (text.len > 0 && text.ptr[text.len - 1] == '/')
		text.len--;
	if (text.len == 0 || !split(text, &host, &port) || !host_valid(host) || !port_valid(port))
		return false;
	memcpy(a.host, host.ptr, host.len);
	memcpy(a.port, port.ptr, port.len);
	*ret_address = a;
	return true;
}

void
address_text(const struct address *a, char ret_text[ADDRESS_TEXT_MAX])
{
	bool v6 = strchr(a->host, ':') != NULL;

	(void)snprintf(ret_text, ADDRESS_TEXT_MAX, "%s%s%s%s:%s", a->tls ? "confabs://" : "",
	    v6 ? "[" : "", a->host, v6 ? "]" : "", a->port);
}
