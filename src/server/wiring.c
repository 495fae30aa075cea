/* SPDX-License-Identifier: MIT */
#include "server/wiring.h"

static const struct wiring table[] = {
    {WIRING_STORE, "sqlite:", NULL, true, true},
    {WIRING_STORE, "memory:", NULL, false, false},
    {WIRING_STORE, "mysql://", NULL, true, false},
    {WIRING_BUS, "local:", NULL, false, false},
    {WIRING_BUS, "redis://", NULL, true, false},
    /* One listening address speaks all of these; the first bytes decide (wire/detect.h, gate/). */
    {WIRING_PROTOCOL, "json-lines", NULL, false, false},
    {WIRING_PROTOCOL, "websocket", NULL, false, false},
    {WIRING_PROTOCOL, "http", NULL, false, false},
};

const struct wiring *
wiring_find(enum wiring_kind kind, slice address)
{
	for (const struct wiring *row = NULL; (row = wiring_next(kind, row)) != NULL;)
		if (slice_starts(address, slice_str(row->scheme)))
			return row;
	return NULL;
}

const struct wiring *
wiring_next(enum wiring_kind kind, const struct wiring *after)
{
	for (const struct wiring *row = after == NULL ? table : after + 1; row < table + LEN(table);
	     row++)
		if (row->kind == kind)
			return row;
	return NULL;
}
