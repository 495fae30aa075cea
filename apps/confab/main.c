/* SPDX-License-Identifier: MIT */
/* confab: the terminal client.  Options, and which command runs. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "deed.h"

enum { TIMEOUT_S = 10, TIMEOUT_MOST_S = 3600, BACKLOG_MOST = 500, HELP_COLUMN = 33 };

static const char help_begin[] =
    "confab - talk to others through a confab server\n"
    "\n"
    "  confab [TARGET]                  interactive: lines are messages, /help lists commands\n"
    "  confab register NAME             make a new user and log in\n"
    "  confab login NAME                log in; the login is kept\n"
    "  confab logout [--all]            end this login, or all of the user's\n"
    "  confab whoami                    who is logged in, checked with the server\n"
    "  confab password                  change the password; other logins end\n"
    "  confab account delete            end the account for good\n"
    "  confab send TARGET [TEXT...]     send a message; without TEXT, the standard input\n"
    "  confab tail [TARGET]             print what was missed, then what arrives\n"
    "  confab history TARGET            print the newest messages of a conversation\n"
    "\n";

static const char help_end[] =
    "\n"
    "TARGET is @USER, '#GROUP' or a conversation's number.\n"
    "\n"
    "  -s, --server HOST:PORT   the server (CONFAB_SERVER; 127.0.0.1:7000); confabs://HOST:PORT "
    "for TLS\n"
    "  -u, --user NAME          which of several users (CONFAB_USER; who logged in last)\n"
    "      --json               one JSON value a line instead of text\n"
    "      --timeout SECONDS    how long to try (10)\n"
    "      --password-stdin     the password is the first line of the standard input (or "
    "CONFAB_PASSWORD)\n"
    "      --display NAME       register: the name that others see\n"
    "      --cmid ID            send, edit: your own id of the message; sent twice, it is there "
    "once\n"
    "      --kind KIND, --data JSON, --re SEQ    send: other parts of a message\n"
    "      --count N            tail: end after N messages\n"
    "      --missed             tail: end when all that was missed is printed\n"
    "      --backlog N          tail: at most N of a conversation that were missed (50)\n"
    "      --all                tail: one's own messages too; logout: every login\n"
    "  -n, --limit N            history: how many (20); lists: at most so many (all)\n"
    "      --before SEQ         history: those before this one\n"
    "      --open, --history    group create: all can find and join it; later members read all\n"
    "  -h, --help    -V, --version\n"
    "\n"
    "Exit: 0 done; 1 refused by the server; 2 wrong usage; 3 not logged in, or wrong password;\n"
    "4 no connection or no answer in time. More: man confab\n";

enum {
	OPT_JSON = 256,
	OPT_TIMEOUT,
	OPT_PASSWORD_STDIN,
	OPT_DISPLAY,
	OPT_CMID,
	OPT_KIND,
	OPT_DATA,
	OPT_RE,
	OPT_COUNT,
	OPT_MISSED,
	OPT_BACKLOG,
	OPT_ALL,
	OPT_BEFORE,
	OPT_OPEN,
	OPT_HISTORY
};

static const struct option long_options[] = {
    {"server", required_argument, NULL, 's'},
    {"user", required_argument, NULL, 'u'},
    {"json", no_argument, NULL, OPT_JSON},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"password-stdin", no_argument, NULL, OPT_PASSWORD_STDIN},
    {"display", required_argument, NULL, OPT_DISPLAY},
    {"cmid", required_argument, NULL, OPT_CMID},
    {"kind", required_argument, NULL, OPT_KIND},
    {"data", required_argument, NULL, OPT_DATA},
    {"re", required_argument, NULL, OPT_RE},
    {"count", required_argument, NULL, OPT_COUNT},
    {"missed", no_argument, NULL, OPT_MISSED},
    {"backlog", required_argument, NULL, OPT_BACKLOG},
    {"all", no_argument, NULL, OPT_ALL},
    {"limit", required_argument, NULL, 'n'},
    {"before", required_argument, NULL, OPT_BEFORE},
    {"open", no_argument, NULL, OPT_OPEN},
    {"history", no_argument, NULL, OPT_HISTORY},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const struct {
	const char *name;
	int (*run)(struct app *app);
} commands[] = {
    {"register", command_register},
    {"login", command_login},
    {"logout", command_logout},
    {"whoami", command_whoami},
    {"password", command_password},
    {"account", command_account},
    {"send", command_send},
    {"tail", command_tail},
    {"history", command_history},
};

/* A whole number from least to most. */
static bool
number(
    const char *what, const char *text, unsigned long least, unsigned long most, unsigned long *ret)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || value < least ||
	    value > most) {
		app_say("%s takes a number from %lu to %lu, not \"%s\"", what, least, most, text);
		return false;
	}
	*ret = value;
	return true;
}

static bool
take_number(struct options *opt, int option, const char *text)
{
	const unsigned long most = 9007199254740991;
	unsigned long value = 0;
	bool fine;

	if (option == OPT_TIMEOUT) {
		fine = number("--timeout", text, 1, TIMEOUT_MOST_S, &value);
		opt->timeout_ms = value * 1000;
	} else if (option == OPT_BACKLOG) {
		fine = number("--backlog", text, 0, BACKLOG_MOST, &value);
		opt->backlog = (int)value;
	} else if (option == OPT_COUNT) {
		fine = number("--count", text, 1, most, &opt->count);
	} else if (option == OPT_RE) {
		fine = number("--re", text, 1, most, &opt->re);
	} else if (option == OPT_BEFORE) {
		fine = number("--before", text, 1, most, &opt->before);
	} else {
		fine = number("-n", text, 1, HISTORY_MOST, &opt->limit);
	}
	return fine;
}

static bool
take_option(struct options *opt, int option, const char *text)
{
	switch (option) {
	case 's':
		opt->server = text;
		return true;
	case 'u':
		opt->user = text;
		return true;
	case OPT_JSON:
		opt->json = true;
		return true;
	case OPT_PASSWORD_STDIN:
		opt->password_stdin = true;
		return true;
	case OPT_DISPLAY:
		opt->display = text;
		return true;
	case OPT_CMID:
		opt->cmid = text;
		return true;
	case OPT_KIND:
		opt->kind = text;
		return true;
	case OPT_DATA:
		opt->data = text;
		return true;
	case OPT_MISSED:
		opt->missed = true;
		return true;
	case OPT_ALL:
		opt->all = true;
		return true;
	case OPT_OPEN:
		opt->open = true;
		return true;
	case OPT_HISTORY:
		opt->history = true;
		return true;
	case '?':
		app_say(
		    "confab --help lists the options; -- ends them, for a text that begins with -");
		return false;
	default:
		return take_number(opt, option, text);
	}
}

/* How many words at the front name a command. */
static int
take_command(struct options *opt, char **words, int count)
{
	int used = deed_named(words, count, &opt->deed);

	for (size_t i = 0; used == 0 && i < LEN(commands); i++)
		used = strcmp(words[0], commands[i].name) == 0;
	if (used > 0)
		opt->command = words[0];
	return used;
}

static void
help(void)
{
	struct buf usage = {0};

	(void)fputs(help_begin, stdout);
	for (const struct deed *deed = NULL; (deed = deed_after(deed)) != NULL;) {
		buf_clear(&usage);
		deed_usage(deed, false, &usage);
		(void)printf("  %-*.*s", HELP_COLUMN, SLICE_ARG(buf_slice(&usage)));
		if (buf_len(&usage) >= HELP_COLUMN)
			(void)printf("\n  %*s", HELP_COLUMN, "");
		(void)printf("%s\n", deed->help);
	}
	(void)fputs(help_end, stdout);
	buf_fini(&usage);
}

/* One stretch of options.  stop_at_word: what follows the first word is not looked at. */
static int
take_options(struct options *opt, int argc, char **argv, bool stop_at_word)
{
	const char *shorts = stop_at_word ? "+s:u:n:hV" : "s:u:n:hV";
	int option;

	optind = 0; /* begins anew, with the word after argv[0] */
	while ((option = getopt_long(argc, argv, shorts, long_options, NULL)) != -1) {
		if (option == 'h') {
			help();
			return EXIT_DONE;
		}
		if (option == 'V') {
			(void)printf("confab %s\n", CONFAB_VERSION);
			return EXIT_DONE;
		}
		if (!take_option(opt, option, optarg))
			return EXIT_USAGE;
	}
	return -1;
}

/* No word that is a command: it must be whom to talk to. */
static int
take_target(struct options *opt, int count, char **words)
{
	bool theme = strcmp(words[0], "group") == 0 || strcmp(words[0], "contact") == 0 ||
		     strcmp(words[0], "session") == 0;

	if (theme && count == 1) {
		app_say("%s what? confab --help lists the commands", words[0]);
		return EXIT_USAGE;
	}
	if (strchr("@#0123456789", words[0][0]) == NULL || count > 1) {
		app_say("there is no command \"%s%s%s\"; confab --help lists them", words[0],
		    theme && count > 1 ? " " : "", theme && count > 1 ? words[1] : "");
		return EXIT_USAGE;
	}
	opt->operands = words;
	opt->operand_count = 1;
	return -1;
}

/* -1: run the command; otherwise the exit code. */
static int
take_arguments(struct options *opt, int argc, char **argv)
{
	int rc = take_options(opt, argc, argv, true);
	int at = optind, used;
	bool text;

	if (rc >= 0 || at >= argc)
		return rc;
	used = take_command(opt, argv + at, argc - at);
	if (used == 0)
		return take_target(opt, argc - at, argv + at);
	at += used - 1;
	/* A message's words are not looked at for options; those of send stand before its target.
	 */
	text = opt->deed != NULL ? deed_takes_text(opt->deed) : strcmp(opt->command, "send") == 0;
	rc = take_options(opt, argc - at, argv + at, text);
	opt->operands = argv + at + optind;
	opt->operand_count = argc - at - optind;
	return rc;
}

static int
run(struct app *app)
{
	if (app->opt->command == NULL)
		return command_talk(app);
	if (app->opt->deed != NULL)
		return command_deed(app, app->opt->deed);
	for (size_t i = 0; i < LEN(commands); i++)
		if (strcmp(app->opt->command, commands[i].name) == 0)
			return commands[i].run(app);
	return EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	struct options opt = {.timeout_ms = TIMEOUT_S * 1000, .backlog = -1};
	struct app app;
	int exit_code = take_arguments(&opt, argc, argv);

	if (exit_code >= 0)
		return exit_code;
	app_catch_signals();
	exit_code = app_init(&app, &opt) ? run(&app) : app.exit_code;
	app_fini(&app);
	return exit_code;
}
