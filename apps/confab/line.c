/* SPDX-License-Identifier: MIT */
#include "line.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "wire/lines.h"

enum { LINE_MAX_BYTES = 64 * 1024, READ_BYTES = 4096 };

/* There is one standard input. */
static struct {
	const struct line_driver *driver;
	line_got *got;
	line_complete *complete;
	const char *page_up;
	void *cookie;
	struct buf typed;
	bool ended, skipping, held, at_end;
} reader;

void
line_deliver(slice line)
{
	if (reader.ended)
		return;
	reader.ended = !slice_given(line);
	reader.got(line, reader.cookie);
}

void
line_page_up(void)
{
	if (!reader.ended && reader.page_up != NULL)
		reader.got(slice_str(reader.page_up), reader.cookie);
}

void
line_ask_candidates(slice before, slice word)
{
	if (!reader.ended && reader.complete != NULL)
		reader.complete(before, word, reader.cookie);
}

void
line_candidate(slice text)
{
	reader.driver->candidate(text);
}

static void
nothing(void)
{
}

static void
no_candidate(slice text)
{
	(void)text;
}

static void
no_prompt(const char *prompt)
{
	(void)prompt;
}

/* A line that is too long is dropped as a whole: half of it would be another message. */
static void
drop_too_long(void)
{
	if (!reader.skipping)
		(void)fprintf(
		    stderr, "confab: a line of more than %d bytes is left out\n", LINE_MAX_BYTES);
	reader.skipping = true;
	buf_clear(&reader.typed);
}

static void
plain_lines(void)
{
	slice line;
	int used = 0;

	while (!reader.held &&
	       (used = lines_next(buf_slice(&reader.typed), LINE_MAX_BYTES, &line)) > 0) {
		if (!reader.skipping)
			line_deliver(line);
		reader.skipping = false;
		buf_consume(&reader.typed, (size_t)used);
	}
	if (used < 0)
		drop_too_long();
	if (!reader.at_end || reader.held)
		return;
	if (buf_len(&reader.typed) > 0 && !reader.skipping)
		line_deliver(buf_slice(&reader.typed));
	buf_clear(&reader.typed);
	line_deliver(SLICE_NONE);
}

static void
plain_ready(void)
{
	ssize_t n = read(STDIN_FILENO, buf_reserve(&reader.typed, READ_BYTES), READ_BYTES);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0)
		buf_grew(&reader.typed, (size_t)n);
	else
		reader.at_end = true;
	plain_lines();
}

static void
plain_print(slice text)
{
	(void)fwrite(text.ptr, 1, text.len, stdout);
	(void)fflush(stdout);
}

static const struct line_driver plain = {
    nothing, no_prompt, plain_ready, plain_print, no_candidate, nothing};

void
line_start(bool terminal, line_got *got, line_complete *complete, const char *page_up, void *cookie)
{
	const struct line_driver *editor = terminal ? line_editor() : NULL;

	reader.driver = editor != NULL ? editor : &plain;
	reader.got = got;
	reader.complete = complete;
	reader.page_up = page_up;
	reader.cookie = cookie;
	reader.driver->start();
}

void
line_prompt(const char *prompt)
{
	reader.driver->prompt(prompt);
}

void
line_ready(void)
{
	if (!reader.ended)
		reader.driver->ready();
}

void
line_hold(bool hold)
{
	bool released = reader.held && !hold;

	if (reader.driver != &plain)
		return;
	reader.held = hold;
	if (released && !reader.ended)
		plain_lines();
}

bool
line_wanted(void)
{
	return !reader.held && !reader.at_end && !reader.ended;
}

void
line_print(slice text)
{
	if (text.len > 0 && reader.driver != NULL)
		reader.driver->print(text);
	else if (text.len > 0)
		plain_print(text);
}

void
line_stop(void)
{
	if (reader.driver != NULL)
		reader.driver->stop();
	reader.driver = NULL;
	buf_fini(&reader.typed);
}
