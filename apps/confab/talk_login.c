/* SPDX-License-Identifier: MIT */
/* Who it is, before there is anything to talk about: name, password, or a new user. */
#include "talk.h"

#include <stdio.h>

#include "ask.h"
#include "show.h"

static bool
ask_name(struct app *app, struct buf *name)
{
	(void)printf("Nobody is logged in at %s yet.\n", app->server_text);
	return ask_line("Your name (an existing one, or a new one): ", name) && buf_len(name) > 0;
}

static bool
yes(const char *question)
{
	struct buf answer = {0};
	bool is_yes = ask_line(question, &answer) && buf_len(&answer) > 0 &&
		      (buf_head(&answer)[0] == 'y' || buf_head(&answer)[0] == 'Y');

	buf_fini(&answer);
	return is_yes;
}

static void
probe_state(struct client *client, enum client_state state, void *cookie)
{
	struct app *app = cookie;
	struct buf why = {0};

	if (state == CLIENT_LOGIN_NEEDED) {
		app_end(app, EXIT_DONE);
	} else if (state == CLIENT_WAITING) {
		show_text(&why, slice_str(client_trouble(client)), SHOW_ONE_LINE);
		app_say(
		    "can't connect to %s: %.*s; is confabd running there? Another server is chosen "
		    "by -s HOST:PORT or CONFAB_SERVER",
		    app->server_text, SLICE_ARG(buf_slice(&why)));
		app_end(app, EXIT_CONNECT);
	}
	buf_fini(&why);
}

/* Nobody should type a password only to hear that there is no server. */
static bool
server_there(struct app *app)
{
	static const struct client_hooks probe = {.state = probe_state};
	bool there;

	app->done = false;
	there = app_make_client(app, false, &probe) && app_run(app) == EXIT_DONE;
	client_destroy(&app->client);
	return there;
}

enum { TRY_AGAIN = -1 };

/* A client that logs in or registers, of its own loop: the answer decides what is asked next. */
static int
try_login(struct app *app, slice password, bool is_register)
{
	struct client_hooks quiet;

	app_hooks(&quiet);
	app->done = app->was_ready = app->told_trouble = false;
	app->exit_code = EXIT_DONE;
	app->ready = NULL;
	if (!app_make_client(app, false, &quiet))
		return app->exit_code;
	if (is_register)
		client_register(app->client, vault_user(app->vault), password, SLICE_NONE);
	else
		client_login(app->client, vault_user(app->vault), password);
	app->ready = app_login_ready;
	return app_run(app);
}

/* From a name to a token; false: it can't be, exit_code says why. */
static bool
log_in(struct app *app)
{
	struct buf password = {0}, again = {0};
	char question[96];
	int rc = TRY_AGAIN;

	(void)snprintf(
	    question, sizeof(question), "Password of %.*s: ", SLICE_ARG(vault_user(app->vault)));
	while (rc == TRY_AGAIN) {
		ask_forget(&password);
		if (!ask_secret(question, &password) || buf_len(&password) == 0) {
			rc = EXIT_LOGIN;
			break;
		}
		rc = try_login(app, buf_slice(&password), false);
		if (rc != EXIT_LOGIN || app_signal() != 0)
			break;
		(void)snprintf(question, sizeof(question), "Register %.*s as a new user? [y/N] ",
		    SLICE_ARG(vault_user(app->vault)));
		if (yes(question)) {
			bool same = ask_secret("The password once more: ", &again) &&
				    slice_eq(buf_slice(&again), buf_slice(&password));

			ask_forget(&again);
			if (same)
				rc = try_login(app, buf_slice(&password), true);
			else
				app_say("the two passwords are not the same");
		}
		if (rc == EXIT_LOGIN || rc == EXIT_REFUSED)
			rc = TRY_AGAIN;
		(void)snprintf(question, sizeof(question),
		    "Password of %.*s (empty: quit): ", SLICE_ARG(vault_user(app->vault)));
	}
	ask_forget(&password);
	app->exit_code = rc;
	return rc == EXIT_DONE;
}

bool
talk_enter(struct app *app)
{
	struct buf name = {0}, token = {0};
	bool known, fine;

	if (!ask_possible())
		return app_open_logged_in(app);
	known = app_choose_user(app, &name);
	fine = (known || (server_there(app) && ask_name(app, &name))) &&
	       app_open_vault(app, buf_slice(&name));
	if (!fine && app->exit_code == EXIT_DONE)
		app->exit_code = EXIT_LOGIN;
	if (fine && vault_token_load(app->vault, &token) < 0)
		fine = (!known || server_there(app)) && log_in(app);
	ask_forget(&token);
	buf_fini(&name);
	return fine;
}
