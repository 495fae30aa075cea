/* SPDX-License-Identifier: MIT */
/*
 * The interactive mode: lines go to the current target, lines that begin with / are commands, and
 * what arrives is printed above the line that is being typed.
 */
#include "app.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "ask.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "line.h"
#include "show.h"

enum {
	OWN_MAX = 256,
	LABEL_MAX = 80,
	HISTORY_DEFAULT = 20,
	HISTORY_PAGE_MOST = 200,
	WHO_MOST = 100,
	QUIT_MS = 2000,
	UNSENT_PIPE_MAX = 64
};

struct talk {
	struct app *app;
	bool terminal;
	bool login_needed; /* the dialogue is due, outside of the client's step */
	bool ending;       /* the input has ended; what is unsent goes out before */
	char target[TARGET_MAX + 1];
	/* What this process sent: the person has typed it, and needs not see it again.  A ring. */
	char own[OWN_MAX][CMID_MAX + 1];
	unsigned own_count;
	struct map labels; /* cid -> char *, owned: how a person calls the conversation */
	struct buf out;
};

static struct talk *
talk_of(void *cookie)
{
	struct app *app = cookie;

	return app->own;
}

/* --- Saying things --- */

static void notice(struct talk *talk, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
notice(struct talk *talk, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_clear(&talk->out);
	buf_printf(&talk->out, "-- %s\n", text);
	line_print(buf_slice(&talk->out));
}

/* The same about something that others wrote. */
static void
notice_text(struct talk *talk, const char *before, slice text, const char *after)
{
	struct buf shown = {0};

	show_text(&shown, text, SHOW_ONE_LINE);
	notice(talk, "%s%.*s%s", before, SLICE_ARG(buf_slice(&shown)), after);
	buf_fini(&shown);
}

static void
prompt(struct talk *talk)
{
	char text[TARGET_MAX + 4];

	(void)snprintf(text, sizeof(text), "%s> ", talk->target);
	line_prompt(text);
}

static const char *
label_of(const struct talk *talk, uint64_t cid)
{
	const char *label = map_get(&talk->labels, cid);

	return label != NULL ? label : "a conversation";
}

/* --- What arrives --- */

static void
on_state(struct client *client, enum client_state state, void *cookie)
{
	struct talk *talk = talk_of(cookie);
	struct app *app = talk->app;

	if (app->done)
		return;
	if (state == CLIENT_READY) {
		if (!app->was_ready)
			notice(talk, "%.*s at %s; /help says what can be typed",
			    SLICE_ARG(client_user(client)), app->server_text);
		else if (app->told_trouble)
			notice(talk, "connected again");
		app->was_ready = true;
		app->told_trouble = false;
		app->give_up_ms = UINT64_MAX;
	} else if (state == CLIENT_WAITING && !app->told_trouble) {
		app->told_trouble = true;
		notice_text(talk, app->was_ready ? "the connection is lost (" : "can't connect (",
		    slice_str(client_trouble(client)),
		    app->was_ready ? "); trying again, what you write is kept"
				   : "); is confabd running? trying again");
	} else if (state == CLIENT_LOGIN_NEEDED && slice_given(client_token(client))) {
		/* Not because of the token: another login would end the same. */
		app_end(app, EXIT_REFUSED);
	} else if (state == CLIENT_LOGIN_NEEDED) {
		talk->login_needed = true;
	} else if (state == CLIENT_OFFLINE) {
		notice_text(talk, "", slice_str(client_trouble(client)), "; not trying again");
		app_end(app, EXIT_CONNECT);
	}
}

static void
on_conversation(struct client *client, const struct client_conversation *told, void *cookie)
{
	struct talk *talk = talk_of(cookie);
	struct buf shown = {0};

	(void)client;
	if (told->peer.len > 0) {
		buf_put(&shown, S("@"));
		show_text(&shown, told->peer, SHOW_ONE_LINE);
	} else if (told->handle.len > 0) {
		buf_put(&shown, S("#"));
		show_text(&shown, told->handle, SHOW_ONE_LINE);
	} else {
		buf_printf(&shown, "%" PRIu64 " ", told->cid);
		show_text(&shown, told->title, SHOW_ONE_LINE);
	}
	if (slice_eq(told->change, S("removed"))) {
		notice(talk, "you are no member of %s any more", label_of(talk, told->cid));
		mem_free(map_remove(&talk->labels, told->cid));
	} else {
		mem_free(map_remove(&talk->labels, told->cid));
		map_put(&talk->labels, told->cid, mem_dup(buf_slice(&shown)));
	}
	buf_fini(&shown);
}

static bool
typed_here(const struct talk *talk, slice cmid)
{
	unsigned count = talk->own_count < OWN_MAX ? talk->own_count : OWN_MAX;

	for (unsigned i = 0; slice_given(cmid) && i < count; i++)
		if (slice_eq(slice_str(talk->own[i]), cmid))
			return true;
	return false;
}

static bool
on_entry(struct client *client, const struct client_entry *entry, void *cookie)
{
	struct talk *talk = talk_of(cookie);
	bool mine = slice_eq(entry->from, client_user(client));

	if (!(mine && talk->terminal && typed_here(talk, entry->cmid))) {
		buf_clear(&talk->out);
		show_entry(&talk->out, entry, client_user(client), false, SHOW_INDENTED);
		line_print(buf_slice(&talk->out));
	}
	client_mark(client, entry->cid, talk->terminal ? entry->seq : 0, entry->seq);
	return true;
}

static bool
on_gap(struct client *client, uint64_t cid, uint64_t from, uint64_t to, bool gone, void *cookie)
{
	struct talk *talk = talk_of(cookie);

	(void)client;
	if (gone)
		notice(talk, "%s: %" PRIu64 " messages can't be had any more", label_of(talk, cid),
		    to - from + 1);
	else
		notice(talk,
		    "%s: %" PRIu64 " older messages are left out; /to and /history show them",
		    label_of(talk, cid), to - from + 1);
	return true;
}

static void
on_reset(struct client *client, void *cookie)
{
	(void)client;
	notice(talk_of(cookie),
	    "the server was set back to an earlier state; some messages may come again");
}

static void
on_sent(struct client *client, const struct client_sent *sent, void *cookie)
{
	struct talk *talk = talk_of(cookie);
	struct buf to = {0};

	(void)client;
	show_text(&to, sent->to, SHOW_ONE_LINE);
	buf_append(&to, "", 1);
	if (sent->error != NULL) {
		notice_text(talk, "not sent: ", sent->error->message, "");
		talk->app->exit_code = EXIT_REFUSED;
	} else if (sent->earlier) {
		notice(talk, "a message to %s that was kept from before is sent", buf_head(&to));
	}
	buf_fini(&to);
}

static void
on_login_failed(struct client *client, const struct client_error *error, void *cookie)
{
	struct talk *talk = talk_of(cookie);

	(void)client;
	notice_text(talk, "", error->message.len > 0 ? error->message : error->name, "");
}

static const struct client_hooks hooks = {.state = on_state,
    .login_failed = on_login_failed,
    .conversation = on_conversation,
    .entry = on_entry,
    .gap = on_gap,
    .reset = on_reset,
    .sent = on_sent};

/* --- Commands --- */

static void
help(struct talk *talk, slice rest)
{
	(void)rest;
	line_print(
	    S("-- a line is a message to the current target; a line that begins with // is one "
	      "with a /\n"
	      "-- /to TARGET      choose whom to write to: @bob, #ops, or a conversation's number\n"
	      "-- /who [TARGET]   who is online, or in a group\n"
	      "-- /history [N]    the last N messages with the target\n"
	      "-- /list           your conversations\n"
	      "-- /me             who and where you are\n"
	      "-- /quit           end; so does the end of the input (Ctrl-D)\n"));
	(void)talk;
}

/* Both answers that can show whether a target is there. */
static void
target_checked(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct talk *talk = cookie;
	struct json users, one;
	struct json_iter it;

	(void)client;
	if (answer->error != NULL)
		return;
	users = inbound_member(answer->result, S("users"), JSON_ARRAY);
	if (!slice_given(users.text))
		return;
	json_iter_init(&it, users);
	if (!json_next_element(&it, &one))
		notice(talk, "there is no user of that name");
}

static bool
target_fits(struct talk *talk, slice text)
{
	if (app_is_target(text))
		return true;
	notice_text(talk, "\"", text, "\" is no target: @USER, #GROUP, or a conversation's number");
	return false;
}

static void
choose_target(struct talk *talk, slice rest)
{
	struct buf params = {0};

	if (!target_fits(talk, rest))
		return;
	memcpy(talk->target, rest.ptr, rest.len);
	talk->target[rest.len] = '\0';
	prompt(talk);
	if (talk->target[0] != '@')
		return;
	buf_put(&params, S("{\"users\":["));
	json_put_string(&params, slice_str(talk->target + 1));
	buf_put(&params, S("]}"));
	(void)!client_call(
	    talk->app->client, "profile.get", buf_slice(&params), target_checked, talk);
	buf_fini(&params);
}

static void
who_answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct talk *talk = cookie;
	struct json users, one;
	struct json_iter it;
	struct buf out = {0}, scratch = {0};

	(void)client;
	if (answer->error != NULL) {
		notice_text(talk, "", answer->error->message, "");
		return;
	}
	users = inbound_member(answer->result, S("users"), JSON_ARRAY);
	if (slice_given(users.text))
		json_iter_init(&it, users);
	else
		json_iter_init(&it, (struct json){S("[]")});
	while (json_next_element(&it, &one)) {
		buf_clear(&scratch);
		(void)buf_reserve(&scratch, one.text.len + 1);
		buf_put(&out, buf_len(&out) == 0 ? S("-- ") : S(", "));
		show_text(&out, inbound_text(one, S("user"), &scratch), SHOW_ONE_LINE);
		if (!slice_eq(inbound_text(one, S("state"), &scratch), S("online"))) {
			buf_put(&out, S(" ("));
			show_text(&out, inbound_text(one, S("state"), &scratch), SHOW_ONE_LINE);
			buf_put(&out, S(")"));
		}
	}
	buf_put(&out, inbound_true(answer->result, S("more")) ? S(" and more\n") : S("\n"));
	line_print(buf_slice(&out));
	buf_fini(&scratch);
	buf_fini(&out);
}

static void
not_now(struct talk *talk, int refusal)
{
	if (refusal < 0)
		notice(talk, "not now: there is no connection");
}

static void
who(struct talk *talk, slice rest)
{
	struct buf params = {0};

	if (rest.len > 0 && !target_fits(talk, rest))
		return;
	buf_put(&params, S("{"));
	app_put_target(&params, "scope", rest.len > 0 ? rest : S("all"));
	json_uint(&params, "limit", WHO_MOST);
	buf_put(&params, S("}"));
	not_now(
	    talk, client_call(talk->app->client, "who", buf_slice(&params), who_answered, talk));
	buf_fini(&params);
}

static void
history_answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct talk *talk = cookie;
	struct buf out = {0}, scratch = {0};
	struct json messages, one;
	struct client_entry entry;
	struct json_iter it;

	if (answer->error != NULL) {
		notice_text(talk, "", answer->error->message, "");
		return;
	}
	messages = inbound_member(answer->result, S("messages"), JSON_ARRAY);
	if (!slice_given(messages.text))
		return;
	json_iter_init(&it, messages);
	while (json_next_element(&it, &one)) {
		buf_clear(&scratch);
		(void)buf_reserve(&scratch, one.text.len + 1);
		if (inbound_entry(one, &scratch, &entry))
			show_entry(&out, &entry, client_user(client), false, SHOW_INDENTED);
	}
	line_print(buf_len(&out) > 0 ? buf_slice(&out) : S("-- there are no messages\n"));
	buf_fini(&scratch);
	buf_fini(&out);
}

static void
history(struct talk *talk, slice rest)
{
	unsigned long limit = rest.len > 0 ? 0 : HISTORY_DEFAULT;
	struct buf params = {0};

	for (size_t i = 0;
	     i < rest.len && rest.len <= 3 && rest.ptr[i] >= '0' && rest.ptr[i] <= '9'; i++)
		limit = limit * 10 + (unsigned long)(rest.ptr[i] - '0');
	if (limit == 0 || limit > HISTORY_PAGE_MOST) {
		notice(talk, "/history takes a number from 1 to %d", HISTORY_PAGE_MOST);
		return;
	}
	if (talk->target[0] == '\0') {
		notice(talk, "choose whose history first: /to @bob");
		return;
	}
	buf_put(&params, S("{"));
	app_put_target(&params, "cid", slice_str(talk->target));
	json_uint(&params, "limit", limit);
	buf_put(&params, S("}"));
	not_now(talk,
	    client_call(talk->app->client, "history", buf_slice(&params), history_answered, talk));
	buf_fini(&params);
}

static void
list(struct talk *talk, slice rest)
{
	const char *label;
	size_t at = 0;

	(void)rest;
	if (talk->labels.count == 0)
		notice(talk, "there are no conversations yet");
	while ((label = map_next(&talk->labels, &at)) != NULL)
		notice(talk, "%s", label);
}

static void
me(struct talk *talk, slice rest)
{
	static const char *const states[] = {"offline", "waiting to connect again", "connecting",
	    "logging in", "not logged in", "connected"};
	const struct client *client = talk->app->client;

	(void)rest;
	notice(talk, "%.*s at %s, %s; %zu messages wait for their answer",
	    SLICE_ARG(client_user(client)), talk->app->server_text, states[client_state(client)],
	    client_unsent(client));
}

static void
quit(struct talk *talk, slice rest)
{
	(void)rest;
	talk->ending = true;
}

static const struct {
	const char *name;
	void (*run)(struct talk *talk, slice rest);
} commands[] = {{"/help", help}, {"/to", choose_target}, {"/who", who}, {"/history", history},
    {"/list", list}, {"/me", me}, {"/quit", quit}};

static slice
trimmed(slice s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static void
command(struct talk *talk, slice line)
{
	const char *space = memchr(line.ptr, ' ', line.len);
	size_t len = space != NULL ? (size_t)(space - line.ptr) : line.len;
	slice name = slice_of(line.ptr, len),
	      rest = trimmed(slice_of(line.ptr + len, line.len - len));

	for (size_t i = 0; i < LEN(commands); i++)
		if (slice_eq(name, slice_str(commands[i].name))) {
			commands[i].run(talk, rest);
			return;
		}
	notice_text(talk, "there is no ", name, "; /help says what there is");
}

/* A pipe can give more than the outbox takes, and before there is a connection. */
static void
hold_pipe(struct talk *talk)
{
	const struct app *app = talk->app;

	if (!talk->terminal)
		line_hold(!app->was_ready || client_unsent(app->client) >= UNSENT_PIPE_MAX);
}

static void
say(struct talk *talk, slice text)
{
	static const char *const whys[] = {[-CLIENT_FULL] = "too many messages wait already",
	    [-CLIENT_BAD_TEXT] = "this is not UTF-8",
	    [-CLIENT_TOO_LARGE] = "this is too long",
	    [-CLIENT_NOT_KEPT] = "it can't be kept on disk",
	    [-CLIENT_NOT_READY] = "not now"};
	const struct client_message message = {.to = slice_str(talk->target), .body = text};
	int rc;

	if (talk->target[0] == '\0') {
		notice(talk, "choose whom to write to first: /to @bob");
		if (!talk->terminal)
			talk->app->exit_code = EXIT_USAGE;
		return;
	}
	rc = client_send(talk->app->client, &message, talk->own[talk->own_count % OWN_MAX]);
	if (rc == 0) {
		talk->own_count++;
		hold_pipe(talk);
	} else {
		notice(talk, "not sent: %s", whys[-rc]);
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
	else if (slice_starts(line, S("//")))
		say(talk, slice_of(line.ptr + 1, line.len - 1));
	else if (slice_starts(line, S("/")))
		command(talk, line);
	else if (trimmed(line).len > 0)
		say(talk, line);
}

/* --- Logging in --- */

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

/* The vault of the user, with a token in it, by asking if needed and possible. */
static bool
enter(struct app *app)
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

/* --- The loop --- */

static void
labels_fini(struct talk *talk)
{
	size_t at = 0;
	char *label;

	while ((label = map_next(&talk->labels, &at)) != NULL)
		mem_free(label);
	map_fini(&talk->labels);
}

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
	if (ready ? client_idle(app->client) : talk->terminal && client_unsent(app->client) == 0)
		app_end(app, app->exit_code);
	else if (clock_mono_ms() >= app->give_up_ms)
		app_end(
		    app, !ready || client_unsent(app->client) > 0 ? EXIT_CONNECT : app->exit_code);
}

static bool
turn(struct talk *talk)
{
	struct app *app = talk->app;

	hold_pipe(talk);
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
	if (vault_lock(app->vault) < 0)
		app_say("another confab of %.*s keeps the place; this one will not remember what "
			"it has shown",
		    SLICE_ARG(vault_user(app->vault)));
	if (!app_make_client(app, true, &hooks))
		return;
	line_start(talk->terminal, got_line, talk);
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
	do {
		if (!enter(app))
			break;
		stay(&talk);
		if (talk.login_needed && !talk.terminal)
			app_end(app, EXIT_LOGIN);
	} while (talk.login_needed && talk.terminal && app_signal() == 0);
	client_destroy(&app->client);
	labels_fini(&talk);
	buf_fini(&talk.out);
	return app->exit_code;
}
