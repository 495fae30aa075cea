/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define DIM "\033[2m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

bool
show_colours(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0 &&
	       isatty(STDOUT_FILENO) == 1;
}

/* The code point at the front of well-formed UTF-8, and its length. */
static uint32_t
code_point(slice text, size_t *ret_len)
{
	const unsigned char *b = (const unsigned char *)text.ptr;
	size_t len = b[0] < 0x80 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
	uint32_t code = len == 1 ? b[0] : b[0] & (0x7fu >> len);

	if (len > text.len)
		len = text.len;
	for (size_t i = 1; i < len; i++)
		code = code << 6 | (b[i] & 0x3fu);
	*ret_len = len;
	return code;
}

/* Moves the cursor, changes modes, turns text around, or hides. */
static bool
dangerous(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200e && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
	       code == 0x061c || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
	       (code >= 0xe0000 && code <= 0xe007f);
}

static void
put_escape(struct buf *to, uint32_t code)
{
	if (code == '\n')
		buf_put(to, S("\\n"));
	else if (code == '\t')
		buf_put(to, S("\\t"));
	else if (code < 0x100)
		buf_printf(to, "\\x%02x", code);
	else
		buf_printf(to, "\\u%04x", code);
}

void
show_text(struct buf *to, slice text, enum show_lines lines)
{
	while (text.len > 0) {
		size_t len;
		uint32_t code = code_point(text, &len);

		if (code == '\n' && lines == SHOW_INDENTED)
			buf_put(to, S("\n      "));
		else if (code == '\t' && lines == SHOW_INDENTED)
			buf_put(to, S("\t"));
		else if (dangerous(code))
			put_escape(to, code);
		else
			buf_append(to, text.ptr, len);
		text = slice_of(text.ptr + len, text.len - len);
	}
}

void
show_json(struct buf *to, slice json)
{
	while (json.len > 0) {
		size_t len;
		uint32_t code = code_point(json, &len);

		/* White space between values is no danger; inside strings JSON has no control below
		 * 0x20. */
		if (code < 0x20 || !dangerous(code))
			buf_append(to, json.ptr, len);
		else if (code < 0x10000)
			buf_printf(to, "\\u%04x", code);
		else
			buf_printf(to, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10),
			    0xdc00 + ((code - 0x10000) & 0x3ff));
		json = slice_of(json.ptr + len, json.len - len);
	}
}

void
show_time(struct buf *to, uint64_t ts_ms, bool dated)
{
	time_t then = (time_t)(ts_ms / 1000u), now = (time_t)(clock_real_ms() / 1000u);
	struct tm tm = {0}, today = {0};
	char text[64];
	size_t len;

	(void)localtime_r(&then, &tm);
	(void)localtime_r(&now, &today);
	dated = dated || tm.tm_yday != today.tm_yday || tm.tm_year != today.tm_year;
	len = strftime(text, sizeof(text), dated ? "%Y-%m-%d %H:%M" : "%H:%M", &tm);
	buf_append(to, text, len);
}

static void
put_who(struct buf *to, const struct client_entry *e, slice me)
{
	const char *on = show_colours() ? BOLD : "", *off = show_colours() ? PLAIN : "";
	bool mine = slice_eq(e->from, me), to_me;

	buf_put(to, slice_str(on));
	show_text(to, mine ? S("me") : e->from, SHOW_ONE_LINE);
	buf_put(to, slice_str(off));
	to_me = e->to.len == me.len + 1 && me.len > 0 && e->to.ptr[0] == '@' &&
		slice_eq(slice_of(e->to.ptr + 1, me.len), me);
	if (to_me)
		return;
	buf_put(to, S(" -> "));
	show_text(to, e->to, SHOW_ONE_LINE);
}

static void
put_change(struct buf *to, const struct client_entry *e, enum show_lines lines)
{
	buf_put(to, S(" ("));
	show_text(to, e->kind, SHOW_ONE_LINE);
	if (e->re != 0)
		buf_printf(to, " of %llu", (unsigned long long)e->re);
	if (slice_given(e->data.text)) {
		buf_put(to, S(" "));
		show_json(to, e->data.text);
	}
	buf_put(to, S(")"));
	if (e->body.len > 0) {
		buf_put(to, S(": "));
		show_text(to, e->body, lines);
	}
}

static void
put_message(struct buf *to, const struct client_entry *e, slice me, enum show_lines lines)
{
	bool plain = slice_eq(e->kind, S("text"));

	put_who(to, e, me);
	if (plain && e->re != 0)
		buf_printf(to, " (answers %llu)", (unsigned long long)e->re);
	if (e->deleted != 0) {
		buf_put(to, S(": (deleted)"));
	} else if (plain) {
		buf_put(to, S(": "));
		show_text(to, e->body, lines);
	} else {
		put_change(to, e, lines);
	}
	if (e->deleted == 0 && e->edited != 0)
		buf_put(to, S(" (edited)"));
}

void
show_entry(
    struct buf *to, const struct client_entry *e, slice me, bool dated, enum show_lines lines)
{
	bool colours = show_colours();

	if (colours)
		buf_put(to, S(DIM));
	show_time(to, e->ts_ms, dated);
	buf_printf(to, " [%llu]", (unsigned long long)e->seq);
	buf_put(to, colours ? S(PLAIN " ") : S(" "));
	if (!show_change(to, e, me))
		put_message(to, e, me, lines);
	buf_put(to, S("\n"));
}

bool
show_out(struct buf *text)
{
	bool fine = fwrite(buf_slice(text).ptr, 1, buf_len(text), stdout) == buf_len(text) &&
		    fflush(stdout) == 0;

	buf_clear(text);
	return fine;
}
