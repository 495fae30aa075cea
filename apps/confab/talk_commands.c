/* SPDX-License-Identifier: MIT */
/* What a typed line means, what /help says, and what the key for completion offers. */
#include "talk.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/panic.h"
#include "deed.h"
#include "line.h"
#include "sheet.h"

enum { HELP_COLUMN = 30 };

static void help(struct talk *talk, slice rest);

static slice
trimmed(slice s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* --- Choosing whom to write to --- */

static void
user_checked(struct client *client, const struct client_answer *answer, void *cookie)
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
		talk_notice(talk, "there is no user of that name; /find looks for one");
}

static void
group_checked(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct talk *talk = cookie;
	struct buf text = {0};

	(void)client;
	if (answer->error != NULL && slice_eq(answer->error->name, S("not_found")))
		talk_notice(talk,
		    "there is no group of that name that you can see; /groups lists the "
		    "open ones");
	if (answer->error != NULL)
		return;
	sheet_form(&text, "{title}  ({members|member})[: {topic}]", answer->result);
	talk_notice(talk, "%.*s", SLICE_ARG(buf_slice(&text)));
	if (!slice_given(inbound_member(answer->result, S("role"), JSON_STRING).text))
		talk_notice(talk, "you are no member: /join it first");
	buf_fini(&text);
}

/* A name that nobody has is told at once, not when the first message comes back. */
static void
check_target(struct talk *talk)
{
	bool user = talk->target[0] == '@';
	struct buf params = {0};

	if (!user && talk->target[0] != '#')
		return;
	buf_put(&params, user ? S("{\"users\":[") : S("{\"cid\":"));
	json_put_string(&params, slice_str(talk->target + (user ? 1 : 0)));
	buf_put(&params, user ? S("]}") : S("}"));
	(void)!client_call(talk->app->client, user ? "profile.get" : "group.info",
	    buf_slice(&params), user ? user_checked : group_checked, talk);
	buf_fini(&params);
}

static void
choose(struct talk *talk, slice rest)
{
	if (!app_is_target(rest)) {
		talk_notice_text(
		    talk, "\"", rest, "\" is no target: @USER, #GROUP, or a conversation's number");
		return;
	}
	talk_choose(talk, rest);
	check_target(talk);
}

/* --- Small ones --- */

static void
more(struct talk *talk, slice rest)
{
	(void)rest;
	if (talk->more == MORE_LIST)
		talk_deeds_more(talk);
	else if (talk->more == MORE_HISTORY)
		talk_history_more(talk);
	else
		talk_history(talk, S(""));
}

static void
reply(struct talk *talk, slice rest)
{
	size_t digits = 0;
	uint64_t re = 0;
	slice text;

	while (
	    digits < rest.len && digits < 15 && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9')
		re = re * 10 + (uint64_t)(rest.ptr[digits++] - '0');
	text = trimmed(slice_of(rest.ptr + digits, rest.len - digits));
	if (re == 0 || text.len == 0 || text.ptr == rest.ptr + digits)
		talk_notice(
		    talk, "usage: /reply SEQ TEXT; SEQ is the number in [ ] before a message");
	else
		talk_say(talk, text, re);
}

static void
list(struct talk *talk, slice rest)
{
	const char *label;
	size_t at = 0;

	(void)rest;
	if (talk->labels.count == 0)
		talk_notice(talk, "there are no conversations yet");
	while ((label = map_next(&talk->labels, &at)) != NULL)
		talk_notice(talk, "%s", label);
}

static void
me(struct talk *talk, slice rest)
{
	static const char *const states[] = {"offline", "waiting to connect again", "connecting",
	    "logging in", "not logged in", "connected"};
	const struct client *client = talk->app->client;

	(void)rest;
	talk_notice(talk, "%.*s at %s, %s; %zu messages wait for their answer",
	    SLICE_ARG(client_user(client)), talk->app->server_text, states[client_state(client)],
	    client_unsent(client));
}

static void
quit(struct talk *talk, slice rest)
{
	(void)rest;
	talk->ending = true;
}

/* --- The commands --- */

static const struct {
	const char *name, *operands, *help;
	void (*run)(struct talk *talk, slice rest);
} commands[] = {
    {"/to", "TARGET", "choose whom to write to: @bob, #ops, or a conversation's number", choose},
    {"/list", "", "your conversations", list},
    {"/history", "[N]", "the last N messages here, with their numbers", talk_history},
    {"/more", "", "go further back, or on in a list; so does the key Page Up", more},
    {"/reply", "SEQ TEXT", "answer a message", reply},
    {"/me", "", "who and where you are", me},
    {"/help", "[WORD]", "what can be typed; with a word, only what has it", help},
    {"/quit", "", "end; so does the end of the input (Ctrl-D)", quit},
};

static bool
has(slice text, slice word)
{
	return word.len == 0 ||
	       (word.len <= text.len && memmem(text.ptr, text.len, word.ptr, word.len) != NULL);
}

static void
help_line(struct buf *out, slice usage, const char *what, slice word)
{
	if (!has(usage, word) && !has(slice_str(what), word))
		return;
	buf_printf(out, "-- %-*.*s", HELP_COLUMN, SLICE_ARG(usage));
	if (usage.len >= HELP_COLUMN)
		buf_printf(out, "\n-- %*s", HELP_COLUMN, "");
	buf_printf(out, " %s\n", what);
}

static void
help(struct talk *talk, slice rest)
{
	struct buf out = {0}, usage = {0};

	if (rest.len == 0)
		buf_put(&out, S("-- a line is a message to the current target; a line that begins "
				"with // is one with a /\n"));
	for (size_t i = 0; i < LEN(commands); i++) {
		buf_clear(&usage);
		buf_printf(&usage, "%s %s", commands[i].name, commands[i].operands);
		help_line(&out, buf_slice(&usage), commands[i].help, rest);
	}
	for (const struct deed *deed = NULL; (deed = deed_after(deed)) != NULL;) {
		buf_clear(&usage);
		deed_usage(deed, true, &usage);
		help_line(&out, buf_slice(&usage), deed->help, rest);
	}
	if (buf_len(&out) == 0)
		talk_notice_text(
		    talk, "nothing that can be typed has \"", rest, "\"; /help lists all");
	line_print(buf_slice(&out));
	buf_fini(&usage);
	buf_fini(&out);
}

static void
command(struct talk *talk, slice line)
{
	const char *space = memchr(line.ptr, ' ', line.len);
	size_t len = space != NULL ? (size_t)(space - line.ptr) : line.len;
	slice name = slice_of(line.ptr, len),
	      rest = trimmed(slice_of(line.ptr + len, line.len - len));
	const struct deed *deed;

	for (size_t i = 0; i < LEN(commands); i++)
		if (slice_eq(name, slice_str(commands[i].name))) {
			commands[i].run(talk, rest);
			return;
		}
	deed = deed_typed(trimmed(line), &rest);
	if (deed != NULL)
		talk_deed(talk, deed, trimmed(rest));
	else
		talk_notice_text(talk, "there is no ", name, "; /help says what there is");
}

void
talk_line(struct talk *talk, slice line)
{
	if (slice_starts(line, S("//")))
		talk_say(talk, slice_of(line.ptr + 1, line.len - 1), 0);
	else if (slice_starts(line, S("/")))
		command(talk, line);
	else if (trimmed(line).len > 0)
		talk_say(talk, line, 0);
}

/* --- Completion --- */

static void
offer(slice text, void *cookie)
{
	(void)cookie;
	line_candidate(text);
}

static void
offer_if(const char *text, slice begin)
{
	if (slice_starts(slice_str(text), begin))
		line_candidate(slice_str(text));
}

static void
offer_commands(slice word)
{
	for (size_t i = 0; i < LEN(commands); i++)
		offer_if(commands[i].name, word);
	for (const struct deed *deed = NULL; (deed = deed_after(deed)) != NULL;) {
		char name[40];

		(void)snprintf(
		    name, sizeof(name), "/%.*s", (int)strcspn(deed->words, " "), deed->words);
		offer_if(name, word);
		if (deed->typed != NULL && strcmp(deed->typed, name) != 0)
			offer_if(deed->typed, word);
	}
}

/* "create", "kick"... behind "/group". */
static void
offer_second(slice first, slice word)
{
	for (const struct deed *deed = NULL; (deed = deed_after(deed)) != NULL;) {
		const char *blank = strchr(deed->words, ' ');

		if (blank != NULL &&
		    slice_eq(slice_of(deed->words, (size_t)(blank - deed->words)), first))
			offer_if(blank + 1, word);
	}
}

static void
offer_choices(const char *choices, slice word)
{
	char choice[40];

	for (const char *at = choices; *at != '\0'; at += *at == '|') {
		size_t len = strcspn(at, "|");

		(void)snprintf(choice, sizeof(choice), "%.*s", (int)len, at);
		offer_if(choice, word);
		at += len;
	}
}

/* The fixed words that a command takes at some place. */
static void
offer_words_of(const struct deed *deed, slice before, slice word)
{
	for (size_t i = 0; i < DEED_ARGS; i++)
		if (deed->args[i].choices != NULL && before.len > 0)
			offer_choices(deed->args[i].choices, word);
}

void
talk_complete(slice before, slice word, void *cookie)
{
	struct talk *talk = cookie;
	const struct deed *deed = NULL;
	slice rest;

	before = trimmed(before);
	if (before.len == 0 && slice_starts(word, S("/"))) {
		offer_commands(word);
		return;
	}
	if (before.len > 1 && before.ptr[0] == '/')
		offer_second(slice_of(before.ptr + 1, before.len - 1), word);
	if (before.len > 1 && before.ptr[0] == '/' && (deed = deed_typed(before, &rest)) != NULL)
		offer_words_of(deed, before, word);
	/* Behind a command that takes no names there are none to offer. */
	if (before.len > 1 && before.ptr[0] == '/' && deed != NULL && !deed_takes_names(deed))
		return;
	/* A word of a message is no name without its sign. */
	if (word.len > 0 && (before.ptr[0] == '/' || word.ptr[0] == '@' || word.ptr[0] == '#'))
		names_each(&talk->names, word, offer, NULL);
	else if (word.len == 0 && before.len > 1 && before.ptr[0] == '/')
		names_each(&talk->names, S("@"), offer, NULL);
}
