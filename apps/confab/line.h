/* SPDX-License-Identifier: MIT */
/*
 * Lines typed by a person while other lines appear above: by readline on a terminal, where it was
 * built in, otherwise plainly.  There is one standard input, so there is one of these.
 */
#ifndef CONFAB_LINE_H
#define CONFAB_LINE_H

#include "base/slice.h"

/* Called with a line without its end, or with none at the end of the input. */
typedef void line_got(slice line, void *cookie);

/*
 * Called when what is typed shall be completed: word is the part before the cursor that may be replaced,
 * before what stands in front of it.  It gives each text that the word may become to line_candidate().
 */
typedef void line_complete(slice before, slice word, void *cookie);
enum { LINE_CANDIDATES_MAX = 200 /* further ones are not offered */ };

/* One way of reading lines. */
struct line_driver {
	void (*start)(void);
	void (*prompt)(const char *prompt);
	void (*ready)(void); /* stdin can be read: gives each whole line to line_deliver() */
	void (*print)(slice text);
	void (*candidate)(slice text);
	void (*stop)(void);
};

/* Readline's, or NULL where it is not built in. */
const struct line_driver *line_editor(void);
/* For the drivers. */
void line_deliver(slice line);
/* The key was pressed, while a line is being typed. */
void line_page_up(void);
void line_ask_candidates(slice before, slice word);

/* complete may be NULL; the key for a page up delivers the line `page_up`. */
void line_start(
    bool terminal, line_got *got, line_complete *complete, const char *page_up, void *cookie);
/* Only called by line_complete. */
void line_candidate(slice text);
/* What stands before the line that is typed; a terminal only. */
void line_prompt(const char *prompt);
/* Call it when stdin is readable. */
void line_ready(void);
/*
 * Delivers no line until it is called with false; what has been read waits.  For a pipe: a
 * terminal's lines always come.
 */
void line_hold(bool hold);
/* Whether stdin should be polled. */
bool line_wanted(void);
/* Whole lines of text, above the one that is typed. */
void line_print(slice text);
/* The terminal is as it was. */
void line_stop(void);

#endif
