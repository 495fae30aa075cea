/* SPDX-License-Identifier: MIT */
#include "line.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

enum { HISTORY_LINES = 500, PROMPT_MAX = 64 };

static char current[PROMPT_MAX] = "> ";
/* A line has just been accepted: the cursor stands on an empty one, and readline draws the next
 * prompt. */
static bool between_lines;

static void
got_line(char *line)
{
	if (line != NULL && line[0] != '\0')
		add_history(line);
	between_lines = true;
	line_deliver(line != NULL ? slice_str(line) : SLICE_NONE);
	between_lines = false;
	free(line);
}

static void
editor_start(void)
{
	rl_catch_signals = 0;
	rl_readline_name = "confab";
	/* A name is no file: the key inserts itself. */
	(void)rl_bind_key('\t', rl_insert);
	stifle_history(HISTORY_LINES);
	rl_callback_handler_install(current, got_line);
}

static void
editor_prompt(const char *prompt)
{
	(void)snprintf(current, sizeof(current), "%s", prompt);
	(void)rl_set_prompt(current);
	if (!between_lines)
		rl_redisplay();
}

static void
editor_print(slice text)
{
	if (!between_lines)
		(void)rl_clear_visible_line();
	(void)fwrite(text.ptr, 1, text.len, stdout);
	(void)fflush(stdout);
	if (between_lines)
		return;
	(void)rl_on_new_line();
	rl_redisplay();
}

static void
editor_stop(void)
{
	(void)rl_clear_visible_line();
	rl_callback_handler_remove();
	clear_history();
}

const struct line_driver *
line_editor(void)
{
	static const struct line_driver editor = {
	    editor_start, editor_prompt, rl_callback_read_char, editor_print, editor_stop};

	return &editor;
}
