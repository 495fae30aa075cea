/* SPDX-License-Identifier: MIT */
/*
 * The interactive mode: lines go to the current target, lines that begin with / are commands, and
 * what arrives is printed above the line that is being typed.
 *
 *	stdin -> line.c -> talk_commands.c -> talk_say(), talk_history.c, talk_deeds.c -> client
 *	client -> talk_arrivals.c and the answers -> line_print()
 */
#include "talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "ask.h"
#include "base/clock.h"
#include "base/mem.h"
#include "line.h"
#include "show.h"

enum { QUIT_MS = 2000, UNSENT_PIPE_MAX = 64 };

struct talk *
talk_of(void *cookie)
{
	struct app *app = cookie;

	return app->own;
}

/* --- Saying things --- */

void
talk_notice(struct talk *talk, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_clear(&talk->out);
	buf_printf(&talk->out, "-- %s\n", text);
	line_print(buf_slice(&talk->out));
}

void
talk_notice_text(struct talk *talk, const char *before, slice text, const char *after)
{
	struct buf shown = {0};

	show_text(&shown, text, SHOW_ONE_LINE);
	talk_notice(talk, "%s%.*s%s", before, SLICE_ARG(buf_slice(&shown)), after);
	buf_fini(&shown);
}

void
talk_refused(struct talk *talk, const char *about, const struct client_error *error)
{
	struct buf why = {0};

	app_put_error(&why, error);
	talk_notice(talk, "%s: %.*s", about, SLICE_ARG(buf_slice(&why)));
	buf_fini(&why);
	if (!talk->terminal)
		talk->app->exit_code = EXIT_REFUSED;
}

bool
talk_asked(struct talk *talk, int refusal)
{
	if (refusal == CLIENT_TOO_LARGE)
		talk_notice(talk, "this is longer than the server takes");
	else if (refusal == CLIENT_FULL)
		talk_notice(talk, "too many requests wait already");
	else if (refusal < 0)
		talk_notice(talk, "not now: there is no connection");
	if (refusal < 0 && !talk->terminal)
		talk->app->exit_code = EXIT_REFUSED;
	return refusal == 0;
}

static void
prompt(struct talk *talk)
{
	char text[TARGET_MAX + 4];

	(void)snprintf(text, sizeof(text), "%s> ", talk->target);
	line_prompt(text);
}

void
talk_choose(struct talk *talk, slice target)
{
	(void)snprintf(talk->target, sizeof(talk->target), "%.*s", SLICE_ARG(target));
	prompt(talk);
}

/* --- What is typed --- */

/* A pipe can give more than the outbox takes, and before there is a connection. */
void
talk_hold_pipe(struct talk *talk)
{
	const struct app *app = talk->app;

	if (!talk->terminal)
		line_hold(!app->was_ready || client_unsent(app->client) >= UNSENT_PIPE_MAX ||
			  !list_empty(&talk->asks) || talk->back.asked);
}

void
talk_say(struct talk *talk, slice text, uint64_t re)
{
	static const char *const whys[] = {[-CLIENT_FULL] = "too many messages wait already",
	    [-CLIENT_BAD_TEXT] = "this is not UTF-8",
	    [-CLIENT_TOO_LARGE] = "this is too long",
	    [-CLIENT_NOT_KEPT] = "it can't be kept on disk",
	    [-CLIENT_NOT_READY] = "not now"};
	const struct client_message message = {
	    .to = slice_str(talk->target), .body = text, .re = re};
	int rc;

	if (talk->target[0] == '\0') {
		talk_notice(talk, "choose whom to write to first: /to @bob or /to #ops");
		if (!talk->terminal)
			talk->app->exit_code = EXIT_USAGE;
		return;
	}
	rc = client_send(talk->app->client, &message, talk->own[talk->own_count % OWN_MAX]);
	if (rc == 0) {
		talk->own_count++;
		talk_hold_pipe(talk);
	} else {
		talk_notice(talk, "not sent: %s", whys[-rc]);
		talk->app->exit_code = EXIT_REFUSED;
	}
}

static void
got_line(slice line, void *cookie)
{
	struct talk *talk = cookie;

	if (talk->ending)
		return;
	if (!slice_given(line))
		talk->ending = true;
	else
		talk_line(talk, line);
}

/* --- The loop --- */

/* What was typed has its answer before the end, if that is soon. */
static void
maybe_end(struct talk *talk)
{
	struct app *app = talk->app;
	bool ready = client_state(app->client) == CLIENT_READY;

	if (app->give_up_ms == UINT64_MAX) {
		app->give_up_ms =
		    clock_mono_ms() + (talk->terminal ? QUIT_MS : app->opt->timeout_ms);
		client_hurry(app->client);
	}
	if (ready ? client_idle(app->client) && list_empty(&talk->asks)
		  : talk->terminal && client_unsent(app->client) == 0)
		app_end(app, app->exit_code);
	else if (clock_mono_ms() >= app->give_up_ms)
		app_end(
		    app, !ready || client_unsent(app->client) > 0 ? EXIT_CONNECT : app->exit_code);
}

static bool
turn(struct talk *talk)
{
	struct app *app = talk->app;

	talk_deeds_step(talk);
	talk_hold_pipe(talk);
	if (app_turn(app, !talk->ending && line_wanted() ? STDIN_FILENO : -1))
		line_ready();
	if (app_signal() != 0)
		app_end(app, EXIT_SIGNAL + app_signal());
	else if (talk->ending)
		maybe_end(talk);
	else if (clock_mono_ms() >= app->give_up_ms)
		app_give_up(app);
	return !app->done && !talk->login_needed;
}

/* One stay: until the end, or until there must be a login. */
static void
stay(struct talk *talk)
{
	struct app *app = talk->app;

	app->done = app->was_ready = app->told_trouble = false;
	app->exit_code = EXIT_DONE;
	app->give_up_ms = talk->terminal ? UINT64_MAX : clock_mono_ms() + app->opt->timeout_ms;
	app->own = talk;
	talk->login_needed = talk->ending = false;
	talk->back = (struct back){.asked = false};
	talk->more = MORE_NOTHING;
	if (vault_lock(app->vault) < 0)
		app_say("another confab of %.*s keeps the place; this one will not remember what "
			"it has shown",
		    SLICE_ARG(vault_user(app->vault)));
	if (!app_make_client(app, true, &talk_hooks))
		return;
	line_start(talk->terminal, got_line, talk_complete, "/more", talk);
	prompt(talk);
	client_start(app->client, clock_mono_ms());
	while (turn(talk))
		;
	line_stop();
	if (talk->terminal)
		(void)fputs("\n", stdout);
	if (client_unsent(app->client) > 0)
		app_say("%zu messages have no answer yet; they are kept, and go out with the next "
			"confab of %.*s",
		    client_unsent(app->client), SLICE_ARG(vault_user(app->vault)));
	/* No answer comes any more to those that wait for one. */
	client_destroy(&app->client);
	talk_deeds_fini(talk);
}

int
command_talk(struct app *app)
{
	struct talk talk = {.app = app, .terminal = ask_possible()};
	slice target;

	if (app->opt->operand_count > 0) {
		if (!app_target(app, app->opt->operands[0], &target))
			return app->exit_code;
		(void)snprintf(talk.target, sizeof(talk.target), "%.*s", SLICE_ARG(target));
	}
	list_init(&talk.asks);
	do {
		if (!talk_enter(app))
			break;
		stay(&talk);
		if (talk.login_needed && !talk.terminal)
			app_end(app, EXIT_LOGIN);
	} while (talk.login_needed && talk.terminal && app_signal() == 0);
	client_destroy(&app->client);
	talk_labels_fini(&talk);
	names_fini(&talk.names);
	mem_free(talk.state_again);
	buf_fini(&talk.out);
	return app->exit_code;
}
