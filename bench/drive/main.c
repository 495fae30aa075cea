/* SPDX-License-Identifier: MIT */
/*
 *	bench_drive SCENARIO STYLE port=N pid=N [tokens=FILE] [carrier=tcp|ws|tls] [group=CID] ...
 *
 *	fanout members= burst= rounds=     to all of a group; rounds=0: `ok`, then on stdin lines `run ROUNDS`
 *	direct pairs= window= messages= rate= spread=     rate=0: closed loop; spread: conversations of each writer
 *	ingest senders= window= messages=  to a group, nobody listens
 *	resume users= window= resumes=
 *	idle                               then on stdin: open N | say USER CID COUNT | wait DELIVERIES
 *
 * STYLE: confab, floor (frame= bytes a message), redis, nats, mqtt0, mqtt1, irc, xmpp; all but the first two know
 * fanout and idle only.  tokens: lines `name token` of users who log in; at_once= so many at a time.  Prints a line of
 * JSON with the CPU time of process pid and its children between the end of the warm-up and the last delivery.
 *
 * Of a cluster: port=A,B,... are its nodes.  The author of a fan-out is on the first, all others on the last; writers of
 * direct messages are on each in turn, and their readers `apart` nodes further.  pid=P,Q,...: servers_cpu_s has each.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../floor/common.h"
#include "base/mem.h"
#include "base/panic.h"
#include "drive.h"
#include "mark.h"

struct order order = {
    .carrier = "tcp", .group = "1", .port = "", .pid = "", .frame = BODY_BYTES, .at_once = 100};
const struct protocol *protocol;
struct user *users;
size_t user_count;

static const struct protocol *const protocols[] = {&protocol_confab, &protocol_floor,
    &protocol_redis, &protocol_nats, &protocol_mqtt0, &protocol_mqtt1, &protocol_irc,
    &protocol_xmpp};

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {{"fanout", scenario_fanout}, {"direct", scenario_direct},
    {"ingest", scenario_ingest}, {"resume", scenario_resume}, {"idle", scenario_idle}};

static const struct {
	const char *name;
	const char **text;
	uint64_t *number;
} options[] = {{"tokens", &order.tokens, NULL}, {"carrier", &order.carrier, NULL},
    {"group", &order.group, NULL}, {"port", &order.port, NULL}, {"pid", &order.pid, NULL},
    {"members", NULL, &order.members}, {"burst", NULL, &order.burst},
    {"rounds", NULL, &order.rounds}, {"pairs", NULL, &order.pairs}, {"spread", NULL, &order.spread},
    {"window", NULL, &order.window}, {"messages", NULL, &order.messages},
    {"rate", NULL, &order.rate}, {"senders", NULL, &order.senders}, {"users", NULL, &order.users},
    {"resumes", NULL, &order.resumes}, {"frame", NULL, &order.frame},
    {"at_once", NULL, &order.at_once}, {"apart", NULL, &order.apart}};

static void
users_load(const char *path)
{
	FILE *f = fopen(path, "r");
	struct user u;

	if (f == NULL)
		panic("%s can't be read", path);
	while (fscanf(f, "%39s %63s", u.name, u.token) == 2) {
		users = mem_resize(users, user_count + 1, sizeof(*users));
		users[user_count++] = u;
	}
	(void)fclose(f);
}

static void
option_take(const char *word)
{
	const char *value = strchr(word, '=');

	for (size_t i = 0; value != NULL && i < LEN(options); i++)
		if (strncmp(options[i].name, word, (size_t)(value - word)) == 0 &&
		    strlen(options[i].name) == (size_t)(value - word)) {
			if (options[i].text != NULL)
				*options[i].text = value + 1;
			else
				*options[i].number = strtoull(value + 1, NULL, 10);
			return;
		}
	panic("not understood: %s", word);
}

int
main(int argc, char **argv)
{
	if (argc < 5) {
		fputs("usage: bench_drive SCENARIO STYLE port=N pid=N ...\n", stderr);
		return 2;
	}
	for (int i = 3; i < argc; i++)
		option_take(argv[i]);
	for (size_t i = 0; i < LEN(protocols); i++)
		if (strcmp(protocols[i]->name, argv[2]) == 0)
			protocol = protocols[i];
	if (protocol == NULL)
		panic("no such style: %s", argv[2]);
	if (order.frame < BODY_BYTES / 2 + TEXT_HEAD + 1 || order.frame > 16384 ||
	    order.at_once == 0)
		panic("a frame of %llu bytes, %llu at once", (unsigned long long)order.frame,
		    (unsigned long long)order.at_once);
	(void)signal(SIGPIPE, SIG_IGN);
	floor_descriptors();
	mark_init(order.pid);
	if (order.tokens != NULL)
		users_load(order.tokens);
	clients_init();
	for (size_t i = 0; i < LEN(scenarios); i++)
		if (strcmp(scenarios[i].name, argv[1]) == 0) {
			scenarios[i].run();
			return 0;
		}
	panic("no such scenario: %s", argv[1]);
}
