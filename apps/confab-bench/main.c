/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "plan.h"
#include "report.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"

struct bench bench;

static const char *const scenario_names[SCENARIO_MAX] = {
#define SCENARIO_AS_NAME(id, name) [SCENARIO_##id] = name,
    SCENARIOS(SCENARIO_AS_NAME)};

enum kind { FLAG, UNSIGNED, LARGE, REAL, TEXT, TRANSPORT, SERVER };

#define AT(member) offsetof(struct options, member)
static const struct {
	const char *name;
	enum kind kind;
	size_t at;
	const char *arg, *help;
} table[] = {
    {"server", SERVER, 0, "HOST:PORT", "where the server listens (127.0.0.1:7000)"},
    {"transport", TRANSPORT, 0, "tcp|ws|tls|wss", "how to connect (tcp)"},
    {"pid", UNSIGNED, AT(pid), "PID",
	"the server's process, here: its CPU and memory are reported"},
    {"tokens", TEXT, AT(tokens), "FILE", "users, a line each: name and token"},
    {"register", FLAG, AT(registers), NULL,
	"register the users that FILE lacks, and append them to it"},
    {"connections", UNSIGNED, AT(connections), "N",
	"idle, mixed; resume-storm: beside the pairs (1000)"},
    {"from", UNSIGNED, AT(from), "N",
	"measure the memory of a connection from N connections on (0)"},
    {"members", UNSIGNED, AT(members), "N", "fanout, slow-readers: listeners (100)"},
    {"authors", UNSIGNED, AT(authors), "N", "fanout, slow-readers, ingest: who writes (1)"},
    {"pairs", UNSIGNED, AT(pairs), "N",
	"direct: who write to whom; resume-storm: who stay and write (500)"},
    {"cid", LARGE, AT(cid), "CID",
	"the group; otherwise one that all are in, made if there is none"},
    {"window", UNSIGNED, AT(window), "N",
	"closed loop: unanswered messages of an author (16; fanout: rounds)"},
    {"burst", UNSIGNED, AT(burst), "N", "messages at a time (fanout 32, otherwise 1)"},
    {"rounds", LARGE, AT(rounds), "N", "fanout: bursts; resume-storm: storms"},
    {"rate", REAL, AT(rate), "N",
	"open loop: messages a second, late ones counted from their time"},
    {"messages", LARGE, AT(messages), "N", "how many to send"},
    {"seconds", REAL, AT(seconds), "S", "how long to send (10, unless --messages)"},
    {"warmup", REAL, AT(warmup), "S", "before it is measured (a tenth)"},
    {"hold", REAL, AT(hold), "S", "idle: how long (5)"},
    {"rest", REAL, AT(rest), "S", "after connecting, before memory is measured (0; idle 2)"},
    {"slow", UNSIGNED, AT(slow), "N", "slow-readers: how many stop reading (10)"},
    {"pause", REAL, AT(pause), "S", "slow-readers: for how long (3)"},
    {"away", REAL, AT(away), "S", "resume-storm: before those cut off come back (0)"},
    {"body", UNSIGNED, AT(body), "BYTES", "of a message (200)"},
    {"opening", UNSIGNED, AT(opening), "N", "connections that are opened at the same time (256)"},
    {"backlog", UNSIGNED, AT(backlog), "N",
	"missed messages that a stream brings after a reconnect, others come "
	"as history (500)"},
    {"small", UNSIGNED, AT(small), "N", "mixed: members of the small groups that it makes (8)"},
    {"large", UNSIGNED, AT(large), "N", "mixed: members of the large ones (200)"},
    {"watch", UNSIGNED, AT(watch), "N", "mixed: whose presence each hears of (10)"},
    {"stall", REAL, AT(stall), "S", "what hasn't come any nearer for so long is lost (10)"},
    {"deadline", REAL, AT(deadline), "S", "give up after so long (600)"},
    {"seed", LARGE, AT(seed), "N", "of what is random (1)"},
    {"progress", FLAG, AT(progress), NULL,
	"a line each second on stderr, also if it is no terminal"},
    {"histogram", FLAG, AT(histogram), NULL, "latencies in full too: [up to, how many], ..."},
    {"help", FLAG, 0, NULL, "this text"},
};

void
cannot(const char *format, ...)
{
	va_list args;

	(void)fputs("confab-bench: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
	exit(EXIT_CANNOT);
}

static void
usage(FILE *to)
{
	(void)fputs("usage: confab-bench SCENARIO --tokens FILE [options]\nscenarios:", to);
	for (unsigned i = 0; i < SCENARIO_MAX; i++)
		(void)fprintf(to, " %s", scenario_names[i]);
	(void)fputc('\n', to);
	for (size_t i = 0; i < LEN(table); i++) {
		char left[40];

		(void)snprintf(left, sizeof(left), "--%s%s%s", table[i].name,
		    table[i].arg != NULL ? " " : "", table[i].arg != NULL ? table[i].arg : "");
		(void)fprintf(to, "  %-26s %s\n", left, table[i].help);
	}
}

_Noreturn static void
misused(const char *what, const char *value)
{
	(void)fprintf(stderr, "confab-bench: %s: %s\ntry confab-bench --help\n", what, value);
	exit(EXIT_USAGE);
}

static double
number(const char *name, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || value < 0 || value > 9e15)
		misused(name, "is not a number that makes sense");
	return value;
}

static void
set_server(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct options *o = &bench.options;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(o->host) ||
	    strlen(colon + 1) >= sizeof(o->port))
		misused("--server", "HOST:PORT is wanted");
	(void)snprintf(o->host, sizeof(o->host), "%.*s", (int)(colon - text), text);
	(void)snprintf(o->port, sizeof(o->port), "%s", colon + 1);
}

static void
set_transport(const char *text)
{
	struct options *o = &bench.options;

	o->ws = strcmp(text, "ws") == 0 || strcmp(text, "wss") == 0;
	o->tls = strcmp(text, "tls") == 0 || strcmp(text, "wss") == 0;
	if (!o->ws && !o->tls && strcmp(text, "tcp") != 0)
		misused("--transport", "is tcp, ws, tls or wss");
}

static void
set_option(size_t i, char *value)
{
	char *to = (char *)&bench.options + table[i].at;

	switch (table[i].kind) {
	case FLAG:
		*(bool *)(void *)to = true;
		break;
	case UNSIGNED:
		if (number(table[i].name, value) > 10e6)
			misused(table[i].name, "is too large");
		*(unsigned *)(void *)to = (unsigned)number(table[i].name, value);
		break;
	case LARGE:
		*(uint64_t *)(void *)to = (uint64_t)number(table[i].name, value);
		break;
	case REAL:
		*(double *)(void *)to = number(table[i].name, value);
		break;
	case TEXT:
		*(const char **)(void *)to = value;
		break;
	case TRANSPORT:
		set_transport(value);
		break;
	case SERVER:
		set_server(value);
		break;
	}
}

static uint32_t
power_of_two(uint32_t least)
{
	uint32_t size = 16;

	while (size < least)
		size *= 2;
	return size;
}

/* What wasn't given, by scenario. */
static void
complete(void)
{
	struct options *o = &bench.options;
	bool to_group = o->scenario == SCENARIO_fanout || o->scenario == SCENARIO_slow_readers ||
			o->scenario == SCENARIO_ingest;
	uint32_t window;

	if (o->tokens == NULL)
		misused("--tokens", "a file is needed");
	if (o->body < BODY_MIN || o->body > BODY_MAX)
		misused("--body", "must be from 64 to 16384");
	if (o->burst == 0)
		o->burst = o->scenario == SCENARIO_fanout ? 32 : 1;
	if (o->scenario == SCENARIO_fanout && o->rounds > 0)
		o->messages = o->rounds * o->burst;
	if (o->window == 0 && o->scenario != SCENARIO_fanout)
		o->window = 16;
	if (o->rate <= 0 && o->scenario == SCENARIO_mixed)
		o->rate = 1000;
	if (o->rate <= 0 && o->scenario == SCENARIO_slow_readers)
		o->rate = 500;
	if (o->rate <= 0 && o->scenario == SCENARIO_resume_storm)
		o->rate = 200;
	if (o->seconds <= 0 && o->messages == 0)
		o->seconds = o->scenario == SCENARIO_slow_readers ? o->pause + 2 : 10;
	if (o->small < 2 || o->large < 2)
		misused("--small, --large", "a group has at least two members");
	if (o->watch > 1000)
		misused("--watch", "is at most 1000");
	if (o->scenario == SCENARIO_slow_readers && o->slow >= o->members)
		misused("--slow", "must be fewer than --members");
	if (o->rest < 0)
		o->rest = o->scenario == SCENARIO_idle ? 2 : 0;
	window = o->window > o->burst ? o->window : o->burst;
	if (window > 1 << 16)
		misused("--window", "is too large");
	bench.lines_mask = (o->rate > 0 ? to_group ? 4096 : 64
					: power_of_two(to_group ? 8 * window : 2 * window)) -
			   1;
	bench.ring_mask = (o->rate > 0 ? to_group ? 8192 : 256
				       : power_of_two(to_group ? 8 * window : 4 * window)) -
			  1;
}

static void
options_read(int argc, char **argv)
{
	struct option options[LEN(table) + 1] = {0};
	int at;

	bench.options = (struct options){.connections = 1000,
	    .members = 100,
	    .authors = 1,
	    .pairs = 500,
	    .slow = 10,
	    .pause = 3,
	    .hold = 5,
	    .rest = -1,
	    .warmup = -1,
	    .body = 200,
	    .opening = 256,
	    .backlog = 500,
	    .small = 8,
	    .large = 200,
	    .watch = 10,
	    .stall = 10,
	    .deadline = 600,
	    .seed = 1,
	    .progress = isatty(STDERR_FILENO) != 0,
	    .host = "127.0.0.1",
	    .port = "7000"};
	for (size_t i = 0; i < LEN(table); i++)
		options[i] = (struct option){table[i].name,
		    table[i].kind == FLAG ? no_argument : required_argument, NULL, 1};
	while ((at = -1, true)) {
		int got = getopt_long(argc, argv, "", options, &at);

		if (got == -1)
			break;
		if (got == '?')
			exit(EXIT_USAGE);
		if (strcmp(table[at].name, "help") == 0) {
			usage(stdout);
			exit(0);
		}
		set_option((size_t)at, optarg);
	}
	if (optind + 1 != argc) {
		usage(stderr);
		exit(EXIT_USAGE);
	}
	bench.options.scenario_name = argv[optind];
	while (bench.options.scenario < SCENARIO_MAX &&
	       strcmp(scenario_names[bench.options.scenario], argv[optind]) != 0)
		bench.options.scenario++;
	if (bench.options.scenario == SCENARIO_MAX)
		misused(argv[optind], "there is no such scenario");
	complete();
}

/* Users of the file; what it lacks is made up, to be registered. */
static void
users_load(void)
{
	char name[NAME_BYTES], token[TOKEN_BYTES];
	FILE *f = fopen(bench.options.tokens, "r");
	uint32_t count = plan_users(), known = 0;

	if (f == NULL && !(bench.options.registers && errno == ENOENT))
		cannot("%s: %s", bench.options.tokens, strerror(errno));
	if (count == 0)
		misused("users", "at least one is needed");
	bench.clients = mem_zalloc(count * sizeof(*bench.clients));
	bench.client_count = count;
	while (f != NULL && known < count && fscanf(f, "%39s %135s", name, token) == 2)
		client_init(&bench.clients[known++], name, token);
	if (f != NULL)
		(void)fclose(f);
	if (known < count && !bench.options.registers)
		cannot("%s has %u users, %u are needed (--register makes new ones)",
		    bench.options.tokens, known, count);
	bench.options.registers = known < count;
	for (; known < count; known++) {
		(void)snprintf(name, sizeof(name), "bench-%s-%u", bench.run, known);
		client_init(&bench.clients[known], name, NULL);
	}
	for (uint32_t i = 0; i < count; i++)
		bench.clients[i].index = i;
}

/* All that the file should hold, at once and for its owner's eyes. */
static void
users_save(void)
{
	FILE *f = fopen(bench.options.tokens, "w");

	if (f == NULL)
		cannot("%s: %s", bench.options.tokens, strerror(errno));
	for (uint32_t i = 0; i < bench.client_count; i++)
		(void)fprintf(f, "%s %s\n", bench.clients[i].name, bench.clients[i].token);
	if (fclose(f) != 0)
		cannot("%s: %s", bench.options.tokens, strerror(errno));
}

static void
descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < bench.client_count + 32)
		cannot("%u connections need more descriptors than %llu", bench.client_count,
		    (unsigned long long)limit.rlim_cur);
}

int
main(int argc, char **argv)
{
	unsigned char random[4];
	bool registers;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(077);
	options_read(argc, argv);
	random_bytes(random, sizeof(random));
	for (unsigned i = 0; i < 4; i++)
		(void)snprintf(bench.run + 2 * i, 3, "%02x", random[i]);
	users_load();
	registers = bench.options.registers;
	descriptors_raise();
	link_init();
	scenario_run();
	if (registers)
		users_save();
	report_print(argc, argv);
	return violations() > 0 ? EXIT_VIOLATION : 0;
}
