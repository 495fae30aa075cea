/* SPDX-License-Identifier: MIT */
/*
 * What the commands of the terminal client share: the options, whose files and which server, the
 * loop that drives the client, and what is said when something goes wrong.
 */
#ifndef CONFAB_APP_H
#define CONFAB_APP_H

#include "client/client.h"

/* Documented in confab(1). */
enum exit_code { EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, EXIT_LOGIN, EXIT_CONNECT, EXIT_SIGNAL = 128 };

struct deed;

enum { HISTORY_MOST = 10000, HISTORY_DEFAULT = 20, TARGET_MAX = 40 };

struct options {
	const char *server, *user; /* NULL: from the environment, or the default */
	const char *command;       /* NULL: interactive */
	const struct deed *deed;   /* what the command does, if it is one of deed.h */
	char **operands;           /* borrowed from main's arguments */
	int operand_count;
	uint64_t timeout_ms; /* how long to try to reach the server and get the answer */
	bool json, all, missed, password_stdin, open, history;
	unsigned long count, limit, re, before; /* 0: not given */
	int backlog;
	const char *cmid, *kind, *data, *display;
};

struct app {
	const struct options *opt;
	struct address server;
	char server_text[ADDRESS_TEXT_MAX];
	struct buf root;       /* where the state of all servers is */
	struct vault *vault;   /* owned */
	struct client *client; /* owned */
	bool keep_trying; /* after the first success a lost connection is no reason to give up */
	bool was_ready, told_trouble;
	uint64_t give_up_ms; /* UINT64_MAX: never */
	uint64_t wake_ms;    /* the loop turns then at the latest; 0: not set */
	bool done;
	int exit_code;
	/* What to do when logged in; NULL: nothing. */
	void (*ready)(struct app *app);
	/* After every turn of the loop; NULL: nothing. */
	void (*turned)(struct app *app);
	void *own; /* the command's */
};

/* Server and directories from options and environment.  false: it has said why, exit_code is set.
 */
bool app_init(struct app *app, const struct options *opt);
void app_fini(struct app *app);
/*
 * A name as its user's vault: folded to lower case, and opened.  false: it has said why, exit_code
 * is set.
 */
bool app_open_vault(struct app *app, slice name);
/* The vault of the user chosen by option, environment or the last login. */
bool app_choose_user(struct app *app, struct buf *ret_name);
/* The same, and he must have a token here. */
bool app_open_logged_in(struct app *app);
/* Hooks may be NULL for those that do nothing beyond the common ones. */
bool app_make_client(struct app *app, bool follow, const struct client_hooks *hooks);
/* The hooks that every command begins with: state and login_failed. */
void app_hooks(struct client_hooks *ret_hooks);
/* Waits once for the client, and for `fd` to be readable if >= 0; steps the client.  True if fd is.
 */
bool app_turn(struct app *app, int fd);
/* Turns until done, a signal, or no success in time; returns the exit code. */
int app_run(struct app *app);
/* Makes a client and runs it; the exit code. */
int app_run_client(struct app *app, bool follow, const struct client_hooks *hooks);
/* For `ready` of what logs in: keeps the login, makes the user the default, ends the loop. */
void app_login_ready(struct app *app);
/* Says that there was no success in time, and ends the loop. */
void app_give_up(struct app *app);
/* A few turns more for marks to go out, at most a second. */
void app_linger(struct app *app);
/* The signal that wants the program to end, or 0. */
int app_signal(void);
void app_catch_signals(void);

/* Says how a command is used; EXIT_USAGE. */
int app_usage(const char *how);
/* Ends the loop. */
void app_end(struct app *app, int exit_code);
/* What the server refused, for people: one line, safe to show. */
void app_put_error(struct buf *to, const struct client_error *error);
/* Says what the server refused, about what, and ends the loop. */
void app_refused(struct app *app, const char *about, const struct client_error *error);
/* A line on stderr, "confab: …".  Anything from outside must have been through show_text(). */
void app_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool app_is_target(slice text);
/* "@bob", "#ops" or digits; otherwise it says what a target looks like, EXIT_USAGE. */
bool app_target(struct app *app, const char *text, slice *ret_target);
/* The target as a JSON value. */
void app_put_target(struct buf *to, const char *key, slice target);

/* Each runs to its end and returns the exit code.  accounts.c: */
int command_register(struct app *app);
int command_login(struct app *app);
int command_logout(struct app *app);
int command_whoami(struct app *app);
int command_password(struct app *app);
int command_account(struct app *app);
/* commands.c */
int command_send(struct app *app);
int command_tail(struct app *app);
int command_history(struct app *app);
/* talk.c */
int command_talk(struct app *app);

#endif
