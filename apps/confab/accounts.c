/* SPDX-License-Identifier: MIT */
/* Accounts for scripts: registering, logging in and out, the password, the end. */
#include "app.h"

#include <stdio.h>
#include <unistd.h>

#include "ask.h"
#include "show.h"
#include "wire/utf8.h"

/* A password has at most 1024 bytes: a longer one is left to the server to refuse. */
enum { PASSWORD_READ_MAX = 1100 };

/* --- register, login --- */

static bool
read_password(struct buf *ret_password)
{
	char c;
	ssize_t n;

	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n' &&
	       buf_len(ret_password) <= PASSWORD_READ_MAX)
		buf_append(ret_password, &c, 1);
	if (buf_len(ret_password) > 0 && ret_password->bytes[ret_password->end - 1] == '\r')
		ret_password->end--;
	return n >= 0 && buf_len(ret_password) > 0;
}

static bool
no_terminal(void)
{
	app_say("there is no terminal to ask for the password: use --password-stdin or "
		"CONFAB_PASSWORD");
	return false;
}

static bool
get_password(struct app *app, const char *question, struct buf *ret_password)
{
	const char *from_environment = getenv("CONFAB_PASSWORD");

	if (app->opt->password_stdin) {
		if (read_password(ret_password))
			return true;
		app_say("there was no password on the standard input");
		return false;
	}
	if (from_environment != NULL) {
		buf_put(ret_password, slice_str(from_environment));
		return true;
	}
	return ask_secret(question, ret_password) || no_terminal();
}

/* One that a person typed, a second time. */
static bool
ask_again(const struct buf *password)
{
	struct buf again = {0};
	bool same =
	    ask_secret("Once more: ", &again) && slice_eq(buf_slice(&again), buf_slice(password));

	if (!same)
		app_say("the two passwords are not the same");
	ask_forget(&again);
	return same;
}

static bool
is_typed(const struct app *app)
{
	return !app->opt->password_stdin && getenv("CONFAB_PASSWORD") == NULL;
}

/* The one that shall hold from now on: the second line of the standard input, or asked for. */
static bool
get_new_password(struct app *app, struct buf *ret_password)
{
	if (app->opt->password_stdin)
		return get_password(app, NULL, ret_password);
	return (ask_secret("New password: ", ret_password) || no_terminal()) &&
	       ask_again(ret_password);
}

static int
enter(struct app *app, bool is_register)
{
	const char *display = app->opt->display;
	struct buf password = {0};
	struct client_hooks hooks;
	int exit_code = EXIT_LOGIN;

	if (app->opt->operand_count != 1)
		return app_usage(is_register ? "register NAME [--display NAME]" : "login NAME");
	if (!app_open_vault(app, slice_str(app->opt->operands[0])))
		return app->exit_code;
	app_hooks(&hooks);
	app->ready = app_login_ready;
	if (get_password(app, "Password: ", &password) &&
	    (!is_register || !is_typed(app) || ask_again(&password)) &&
	    app_make_client(app, false, &hooks)) {
		if (is_register)
			client_register(app->client, vault_user(app->vault), buf_slice(&password),
			    display != NULL ? slice_str(display) : SLICE_NONE);
		else
			client_login(app->client, vault_user(app->vault), buf_slice(&password));
		ask_forget(&password);
		exit_code = app_run(app);
	}
	ask_forget(&password);
	return exit_code;
}

int
command_register(struct app *app)
{
	return enter(app, true);
}

int
command_login(struct app *app)
{
	return enter(app, false);
}

/* --- logout, whoami --- */

static void
logout_answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct app *app = cookie;

	if (answer->error != NULL) {
		app_refused(app, NULL, answer->error);
		return;
	}
	client_forget_token(client);
	app_say("%.*s is logged out at %s", SLICE_ARG(vault_user(app->vault)), app->server_text);
	app_end(app, EXIT_DONE);
}

static void
logout_ready(struct app *app)
{
	if (client_call(app->client, "logout", app->opt->all ? S("{\"all\":true}") : SLICE_NONE,
		logout_answered, app) < 0)
		app_end(app, EXIT_CONNECT);
}

int
command_logout(struct app *app)
{
	struct client_hooks hooks;

	if (app->opt->operand_count != 0)
		return app_usage("logout [--all]");
	if (!app_open_logged_in(app))
		return app->exit_code;
	app_hooks(&hooks);
	app->ready = logout_ready;
	return app_run_client(app, false, &hooks);
}

static void
whoami_ready(struct app *app)
{
	struct buf out = {0};

	if (app->opt->json) {
		buf_put(&out, S("{"));
		json_str(&out, "user", client_user(app->client));
		json_str(&out, "server", slice_str(app->server_text));
		json_uint(&out, "unsent", client_unsent(app->client));
		buf_put(&out, S("}\n"));
	} else {
		buf_printf(
		    &out, "%.*s at %s\n", SLICE_ARG(client_user(app->client)), app->server_text);
	}
	app_end(app, show_out(&out) ? EXIT_DONE : EXIT_REFUSED);
	buf_fini(&out);
}

int
command_whoami(struct app *app)
{
	struct client_hooks hooks;

	if (app->opt->operand_count != 0)
		return app_usage("whoami");
	if (!app_open_logged_in(app))
		return app->exit_code;
	app_hooks(&hooks);
	app->ready = whoami_ready;
	return app_run_client(app, false, &hooks);
}

/* --- password, account delete --- */

/* What is asked of the server; it holds a password. */
struct secret_call {
	const char *method, *done;
	struct buf params;
	bool ends; /* there is no login afterwards */
};

static void
secret_answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct app *app = cookie;
	const struct secret_call *call = app->own;

	if (answer->error != NULL && answer->error->code == 0) {
		app_say(
		    "the connection was lost before the answer came: it may be done or not; see "
		    "whether you can log in");
		app_end(app, EXIT_CONNECT);
	} else if (answer->error != NULL) {
		app_refused(app, NULL, answer->error);
	} else {
		if (call->ends)
			client_forget_token(client);
		app_say("%s", call->done);
		app_end(app, EXIT_DONE);
	}
}

static void
secret_ready(struct app *app)
{
	const struct secret_call *call = app->own;

	if (client_call(app->client, call->method, buf_slice(&call->params), secret_answered, app) <
	    0)
		app_end(app, EXIT_CONNECT);
}

/* False: what is wrong has been said. */
static bool
put_secret(struct buf *params, const char *name, const struct buf *secret)
{
	if (!utf8_valid(buf_slice(secret))) {
		app_say("the password is not UTF-8");
		return false;
	}
	/* Room for the worst escapes, so that no copy of it is left behind. */
	(void)buf_reserve(params, 6 * buf_len(secret) + 64);
	json_str(params, name, buf_slice(secret));
	return true;
}

static int
run_secret(struct app *app, struct secret_call *call)
{
	struct client_hooks hooks;
	int exit_code;

	app_hooks(&hooks);
	app->ready = secret_ready;
	app->own = call;
	exit_code = app_run_client(app, false, &hooks);
	app->own = NULL;
	return exit_code;
}

int
command_password(struct app *app)
{
	struct secret_call call = {.method = "password.change",
	    .done = "the password is changed; all other logins have ended"};
	struct buf old = {0}, fresh = {0};
	int exit_code = EXIT_LOGIN;

	if (app->opt->operand_count != 0)
		return app_usage("password");
	if (!app_open_logged_in(app))
		return app->exit_code;
	buf_put(&call.params, S("{"));
	if (get_password(app, "Password: ", &old) && get_new_password(app, &fresh) &&
	    put_secret(&call.params, "old", &old) && put_secret(&call.params, "new", &fresh)) {
		buf_put(&call.params, S("}"));
		exit_code = run_secret(app, &call);
	}
	ask_forget(&call.params);
	ask_forget(&fresh);
	ask_forget(&old);
	return exit_code;
}

int
command_account(struct app *app)
{
	struct secret_call call = {.method = "account.delete",
	    .done = "the account is deleted; what was written stays, without the name",
	    .ends = true};
	struct buf password = {0};
	int exit_code = EXIT_LOGIN;

	if (app->opt->operand_count != 1 || strcmp(app->opt->operands[0], "delete") != 0)
		return app_usage("account delete");
	if (!app_open_logged_in(app))
		return app->exit_code;
	buf_put(&call.params, S("{"));
	if (get_password(app, "Password, to delete the account for good: ", &password) &&
	    put_secret(&call.params, "password", &password)) {
		buf_put(&call.params, S("}"));
		exit_code = run_secret(app, &call);
	}
	ask_forget(&call.params);
	ask_forget(&password);
	return exit_code;
}
