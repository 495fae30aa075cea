/* SPDX-License-Identifier: MIT */
/*
 * Members of a JSON object as text.  In a form, {name} is replaced by that member, {name|word} is a
 * number with its word ("1 member", "2 members"), and what stands between [ and ] is left out if one of
 * its members is not there: "@{user}[, {online}]".  A member that is true is its own name; false, null
 * and "" are not there; a moment is shown as local time.  What comes from outside is made safe for a
 * terminal.
 */
#ifndef CONFAB_SHEET_H
#define CONFAB_SHEET_H

#include "base/buf.h"
#include "wire/json.h"

void sheet_form(struct buf *to, const char *form, struct json object);
/* The members named, with a tab between and a line's end; moments as milliseconds. */
void sheet_columns(struct buf *to, const char *names, struct json object);
/* A line for each member that is there: its name, a tab, its value. */
void sheet_pairs(struct buf *to, const char *names, struct json object);
/* The same as one JSON value, as it came. */
void sheet_json(struct buf *to, struct json value);

#endif
