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

/* --- Completion --- */

/* What the word may become, while the key is handled; the strings are given to readline. */
static char *candidates[LINE_CANDIDATES_MAX];
static size_t candidate_count, candidate_next;

static void
editor_candidate(slice text)
{
	char *copy;

	if (candidate_count == LEN(candidates) || (copy = malloc(text.len + 1)) == NULL)
		return;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	candidates[candidate_count++] = copy;
}

static char *
next_candidate(const char *word, int state)
{
	(void)word;
	(void)state;
	return candidate_next < candidate_count ? candidates[candidate_next++] : NULL;
}

static char **
complete(const char *word, int start, int end)
{
	(void)end;
	rl_attempted_completion_over = 1; /* a name is no file */
	candidate_count = candidate_next = 0;
	line_ask_candidates(slice_of(rl_line_buffer, (size_t)start), slice_str(word));
	return rl_completion_matches(word, next_candidate);
}

static int
page_up(int count, int key)
{
	(void)count;
	(void)key;
	line_page_up();
	return 0;
}

/* --- The driver --- */

static void
editor_start(void)
{
	rl_catch_signals = 0;
	rl_readline_name = "confab";
	rl_attempted_completion_function = complete;
	rl_completer_word_break_characters = " \t";
	rl_completer_quote_characters = "";
	/* They would read the terminal themselves, and everything else would wait. */
	rl_completion_query_items = -1;
	(void)rl_variable_bind("page-completions", "off");
	(void)rl_bind_keyseq("\\e[5~", page_up);
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
	static const struct line_driver editor = {editor_start, editor_prompt,
	    rl_callback_read_char, editor_print, editor_candidate, editor_stop};

	return &editor;
}
