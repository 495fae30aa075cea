/* SPDX-License-Identifier: MIT */
#include "app.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/panic.h"
#include "show.h"

enum { LINGER_MS = 1000 };

/* Signal handlers have nothing else to reach. */
static volatile sig_atomic_t caught;
static sigset_t waiting_mask;

static void
on_signal(int number)
{
	caught = number;
}

void
app_catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};

	(void)sigprocmask(SIG_SETMASK, NULL, &waiting_mask);
	for (size_t i = 0; i < LEN(numbers); i++)
		(void)sigaction(numbers[i], &action, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

int
app_signal(void)
{
	return (int)caught;
}

void
app_say(const char *format, ...)
{
	char line[2048];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n < 0)
		return;
	(void)fflush(stdout);
	(void)fprintf(stderr, "confab: %s\n", line);
}

void
app_end(struct app *app, int exit_code)
{
	if (!app->done)
		app->exit_code = exit_code;
	app->done = true;
}

/* --- Who and where --- */

bool
app_init(struct app *app, const struct options *opt)
{
	const char *server = opt->server != NULL ? opt->server : getenv("CONFAB_SERVER");

	*app = (struct app){.opt = opt, .give_up_ms = UINT64_MAX};
	if (server == NULL || server[0] == '\0')
		server = "127.0.0.1:" ADDRESS_PORT_DEFAULT;
	if (!address_parse(slice_str(server), &app->server)) {
		app_say("\"%s\" is no server's address; write HOST:PORT, or confabs://HOST:PORT "
			"for TLS",
		    server);
		app->exit_code = EXIT_USAGE;
		return false;
	}
	address_text(&app->server, app->server_text);
	if (!vault_root(&app->root)) {
		app_say("there is no place for the login: set HOME or XDG_STATE_HOME");
		app->exit_code = EXIT_LOGIN;
		return false;
	}
	return true;
}

void
app_fini(struct app *app)
{
	client_destroy(&app->client);
	vault_close(&app->vault);
	buf_fini(&app->root);
}

bool
app_open_vault(struct app *app, slice name)
{
	char folded[VAULT_NAME_MAX + 1] = "";
	int rc;

	if (slice_starts(name, S("@")))
		name = slice_of(name.ptr + 1, name.len - 1);
	for (size_t i = 0; i < name.len && i < VAULT_NAME_MAX; i++)
		folded[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32
									    : name.ptr[i]);
	if (name.len > VAULT_NAME_MAX || !vault_name_valid(slice_str(folded))) {
		app_say("that is no user's name: it has 2 to 32 of a-z 0-9 _ . - and begins with a "
			"letter or digit");
		app->exit_code = EXIT_USAGE;
		return false;
	}
	client_destroy(&app->client);
	vault_close(&app->vault);
	rc = vault_open(buf_slice(&app->root), &app->server, slice_str(folded), &app->vault);
	if (rc < 0) {
		app_say("%.*s: %s; the login and what is not sent yet are kept there",
		    SLICE_ARG(buf_slice(&app->root)), strerror(-rc));
		app->exit_code = EXIT_LOGIN;
		return false;
	}
	return true;
}

bool
app_choose_user(struct app *app, struct buf *ret_name)
{
	const char *name = app->opt->user != NULL ? app->opt->user : getenv("CONFAB_USER");

	if (name != NULL && name[0] != '\0') {
		buf_put(ret_name, slice_str(name));
		return true;
	}
	return vault_default_load(buf_slice(&app->root), &app->server, ret_name) == 0;
}

bool
app_open_logged_in(struct app *app)
{
	struct buf name = {0}, token = {0};
	bool fine = false;

	app->exit_code = EXIT_LOGIN;
	if (!app_choose_user(app, &name)) {
		app_say(
		    "nobody is logged in at %s; run: confab login NAME (or: confab register NAME)",
		    app->server_text);
	} else if (app_open_vault(app, buf_slice(&name))) {
		fine = vault_token_load(app->vault, &token) == 0;
		if (!fine)
			app_say("%.*s is not logged in at %s; run: confab login %.*s",
			    SLICE_ARG(vault_user(app->vault)), app->server_text,
			    SLICE_ARG(vault_user(app->vault)));
	}
	if (token.bytes != NULL)
		explicit_bzero(token.bytes, token.capacity);
	buf_fini(&token);
	buf_fini(&name);
	return fine;
}

/* --- The client and its loop --- */

static void
put_trouble(struct app *app, struct buf *to)
{
	show_text(to, slice_str(client_trouble(app->client)), SHOW_ONE_LINE);
	buf_append(to, "", 1);
}

/* Once per outage, so that a person knows why it takes so long. */
static void
tell_trouble(struct app *app)
{
	struct buf why = {0};

	if (app->told_trouble)
		return;
	app->told_trouble = true;
	put_trouble(app, &why);
	if (app->was_ready)
		app_say("the connection to %s is lost (%s); trying again", app->server_text,
		    buf_head(&why));
	else
		app_say("can't connect to %s: %s; trying again", app->server_text, buf_head(&why));
	buf_fini(&why);
}

static void
sent_away(struct app *app)
{
	struct buf why = {0};

	put_trouble(app, &why);
	app_say("%s; not trying again", buf_head(&why));
	buf_fini(&why);
	app_end(app, EXIT_CONNECT);
}

static void
session_ended(struct app *app)
{
	app_say("the session has ended; log in again: confab login %.*s",
	    SLICE_ARG(vault_user(app->vault)));
	app_end(app, EXIT_LOGIN);
}

static void
on_state(struct client *client, enum client_state state, void *cookie)
{
	struct app *app = cookie;

	(void)client;
	if (app->done)
		return;
	if (state == CLIENT_WAITING) {
		tell_trouble(app);
	} else if (state == CLIENT_OFFLINE) {
		sent_away(app);
	} else if (state == CLIENT_READY) {
		if (app->was_ready && app->told_trouble)
			app_say("connected again");
		app->was_ready = true;
		app->told_trouble = false;
		if (app->keep_trying)
			app->give_up_ms = UINT64_MAX;
		if (app->ready != NULL)
			app->ready(app);
	} else if (state == CLIENT_LOGIN_NEEDED) {
		session_ended(app);
	}
}

static void
on_login_failed(struct client *client, const struct client_error *error, void *cookie)
{
	struct app *app = cookie;

	(void)client;
	if (slice_eq(error->name, S("token_invalid")))
		session_ended(app);
	else
		app_refused(app, NULL, error);
}

void
app_hooks(struct client_hooks *ret_hooks)
{
	*ret_hooks = (struct client_hooks){.state = on_state, .login_failed = on_login_failed};
}

bool
app_make_client(struct app *app, bool follow, const struct client_hooks *hooks)
{
	char host[65] = "", device[96];
	struct client_config config = {.server = app->server,
	    .follow = follow,
	    .sends_max = 1,
	    .backlog = app->opt->backlog >= 0 ? (unsigned)app->opt->backlog : 50,
	    .hooks = hooks,
	    .cookie = app};
	struct buf shown = {0};
	int rc = 0;

	(void)gethostname(host, sizeof(host) - 1);
	show_text(&shown, slice_str(host), SHOW_ONE_LINE);
	(void)snprintf(device, sizeof(device), "confab on %.50s",
	    buf_len(&shown) == strlen(host) ? host : "this machine");
	buf_fini(&shown);
	config.device = slice_str(device);
	client_destroy(&app->client);
	app->client = client_create(&config);
	if (app->vault != NULL)
		rc = client_use_vault(app->client, app->vault);
	if (rc < 0) {
		app_say("the login in %.*s can't be read: %s", SLICE_ARG(buf_slice(&app->root)),
		    strerror(-rc));
		app->exit_code = EXIT_LOGIN;
	}
	return rc == 0;
}

static uint64_t
wait_until(const struct app *app)
{
	uint64_t at = client_deadline(app->client);

	if (app->wake_ms != 0 && app->wake_ms < at)
		at = app->wake_ms;
	return at < app->give_up_ms ? at : app->give_up_ms;
}

bool
app_turn(struct app *app, int fd)
{
	struct pollfd fds[2] = {{.fd = client_fd(app->client), .events = client_wants(app->client)},
	    {.fd = fd, .events = POLLIN}};
	uint64_t now_ms = clock_mono_ms(), until = wait_until(app);
	struct timespec wait = {0};
	sigset_t blocked;
	int n;

	if (until > now_ms) {
		uint64_t ms = until - now_ms < 3600000 ? until - now_ms : 3600000;

		wait = (struct timespec){
		    .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	}
	/* A signal between the look at `caught` and the wait must end the wait. */
	(void)sigfillset(&blocked);
	(void)sigprocmask(SIG_SETMASK, &blocked, NULL);
	n = caught != 0 ? -1 : ppoll(fds, 2, &wait, &waiting_mask);
	(void)sigprocmask(SIG_SETMASK, &waiting_mask, NULL);
	client_step(app->client, clock_mono_ms());
	return n > 0 && (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
}

void
app_give_up(struct app *app)
{
	struct buf why = {0};

	put_trouble(app, &why);
	if (app->was_ready)
		app_say("no answer from %s within %" PRIu64 " s", app->server_text,
		    app->opt->timeout_ms / 1000);
	else
		app_say("gave up on %s after %" PRIu64 " s (%s); is confabd running there? "
			"Another server is chosen by -s HOST:PORT or CONFAB_SERVER",
		    app->server_text, app->opt->timeout_ms / 1000, buf_head(&why));
	buf_fini(&why);
	app_end(app, EXIT_CONNECT);
}

int
app_run(struct app *app)
{
	uint64_t now_ms = clock_mono_ms();

	app->give_up_ms = now_ms + app->opt->timeout_ms;
	client_start(app->client, now_ms);
	while (!app->done) {
		(void)app_turn(app, -1);
		if (app->turned != NULL)
			app->turned(app);
		if (app_signal() != 0)
			app_end(app, EXIT_SIGNAL + app_signal());
		else if (!app->done && clock_mono_ms() >= app->give_up_ms)
			app_give_up(app);
	}
	return app->exit_code;
}

int
app_run_client(struct app *app, bool follow, const struct client_hooks *hooks)
{
	return app_make_client(app, follow, hooks) ? app_run(app) : app->exit_code;
}

void
app_linger(struct app *app)
{
	uint64_t end_ms = clock_mono_ms() + LINGER_MS;

	client_hurry(app->client);
	app->give_up_ms = end_ms;
	while (client_state(app->client) == CLIENT_READY && !client_idle(app->client) &&
	       clock_mono_ms() < end_ms && app_signal() == 0)
		(void)app_turn(app, -1);
}

void
app_login_ready(struct app *app)
{
	int rc = vault_token_store(app->vault, client_token(app->client));

	if (rc == 0)
		rc = vault_default_store(app->vault);
	if (rc < 0) {
		app_say("logged in, but the login could not be kept in %.*s: %s",
		    SLICE_ARG(buf_slice(&app->root)), strerror(-rc));
		app_end(app, EXIT_LOGIN);
		return;
	}
	if (app->opt->command != NULL)
		app_say("logged in as %.*s at %s", SLICE_ARG(client_user(app->client)),
		    app->server_text);
	app_end(app, EXIT_DONE);
}

/* --- Words --- */

int
app_usage(const char *how)
{
	app_say("usage: confab %s; confab --help says more", how);
	return EXIT_USAGE;
}

void
app_put_error(struct buf *to, const struct client_error *error)
{
	if (slice_eq(error->name, S("unknown_method"))) {
		buf_put(to, S("the server can't do this: it is older than this program"));
		return;
	}
	show_text(to, error->message.len > 0 ? error->message : error->name, SHOW_ONE_LINE);
	if (error->param.len > 0) {
		buf_put(to, S(": "));
		show_text(to, error->param, SHOW_ONE_LINE);
	}
	if (error->retry_after_ms > 0)
		buf_printf(
		    to, "; try again in %" PRIu64 " s", (error->retry_after_ms + 999) / 1000);
}

void
app_refused(struct app *app, const char *about, const struct client_error *error)
{
	static const struct {
		slice name;
		int exit_code;
	} codes[] = {{{"bad_credentials", 15}, EXIT_LOGIN}, {{"token_invalid", 13}, EXIT_LOGIN},
	    {{"session_revoked", 15}, EXIT_LOGIN}, {{"not_logged_in", 13}, EXIT_LOGIN},
	    {{"connection_lost", 15}, EXIT_CONNECT}};
	struct buf why = {0};
	int exit_code = EXIT_REFUSED;

	for (size_t i = 0; i < LEN(codes); i++)
		if (slice_eq(error->name, codes[i].name))
			exit_code = codes[i].exit_code;
	app_put_error(&why, error);
	buf_append(&why, "", 1);
	app_say("%s%s%s", about != NULL ? about : "", about != NULL ? ": " : "", buf_head(&why));
	buf_fini(&why);
	app_end(app, exit_code);
}

static bool
all_digits(slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len > 0 && s.len <= 15;
}

bool
app_is_target(slice t)
{
	bool named = t.len >= 2 && t.len <= TARGET_MAX && (t.ptr[0] == '@' || t.ptr[0] == '#');

	for (size_t i = 0; named && i < t.len; i++)
		named = t.ptr[i] > ' ' && t.ptr[i] < 0x7f;
	return named || all_digits(t);
}

bool
app_target(struct app *app, const char *text, slice *ret_target)
{
	if (!app_is_target(slice_str(text))) {
		app_say("\"%s\" is no target: write @USER, '#GROUP' (in quotes, as # begins a "
			"comment), or a "
			"conversation's number",
		    text);
		app->exit_code = EXIT_USAGE;
		return false;
	}
	*ret_target = slice_str(text);
	return true;
}

void
app_put_target(struct buf *to, const char *key, slice target)
{
	if (all_digits(target))
		json_raw(to, key, target);
	else
		json_str(to, key, target);
}
