/* SPDX-License-Identifier: MIT */
/*
 * How things look on a terminal or in a pipe.  What others wrote never reaches a terminal as it is:
 * control characters, and those that turn the direction of text around, are shown as escapes.
 */
#ifndef CONFAB_SHOW_H
#define CONFAB_SHOW_H

#include "base/buf.h"
#include "client/inbound.h"

enum show_lines {
	SHOW_ONE_LINE, /* a line's end is shown as \n */
	SHOW_INDENTED, /* it is kept, and the next line indented */
};

/* Colours on stdout: it is a terminal, and NO_COLOR and TERM=dumb are not set. */
bool show_colours(void);
void show_text(struct buf *to, slice text, enum show_lines lines);
/* JSON as it was written, with the same characters as \u escapes: it stays the same value. */
void show_json(struct buf *to, slice json);
/* "2024-05-01 10:32", local time; the date only if it is not today's or `dated`. */
void show_time(struct buf *to, uint64_t ts_ms, bool dated);
/*
 * A change of the membership or the like as a sentence, "* #ops: bob joined"; false, and nothing, if
 * it is none.
 * me: who is called "you", or empty.
 */
bool show_change(struct buf *to, const struct client_entry *entry, slice me);
/* One entry as a line, with its place in the log and the line's end.  me: whose own messages are shown as "me", or empty. */
void show_entry(
    struct buf *to, const struct client_entry *entry, slice me, bool dated, enum show_lines lines);
/* Writes it to stdout; false if nobody reads there any more. */
bool show_out(struct buf *text);

#endif
