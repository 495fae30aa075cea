/* SPDX-License-Identifier: MIT */
/*
 * Deeds in the interactive mode: asked, and what comes is told.  Changes of a group or of contacts are
 * not told here: they come to all devices by themselves.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/panic.h"
#include "deed.h"
#include "line.h"
#include "sheet.h"
#include "show.h"
#include "talk.h"

enum { LIST_PAGE = 100, OWN_LOOKED_THROUGH = 200 };

struct ask {
	struct list all; /* of talk.asks; not linked: it is talk.rest */
	struct talk *talk;
	const struct deed *deed;
	struct deed_call call;
	char after[TARGET_MAX + 1]; /* the key of the last row; "" at first */
	bool waits;                 /* for the messages typed before it */
};

static void
ask_free(struct ask *ask)
{
	list_remove(&ask->all);
	buf_fini(&ask->call.params);
	mem_free(ask);
}

void
talk_deeds_fini(struct talk *talk)
{
	for (struct list *at; (at = list_pop(&talk->asks)) != NULL;)
		ask_free(container_of(at, struct ask, all));
	if (talk->rest != NULL)
		ask_free(talk->rest);
	talk->rest = NULL;
	talk->more = MORE_NOTHING;
}

/* "/kick" for what the person typed. */
static const char *
name_of(const struct ask *ask, char scratch[48])
{
	if (ask->deed->typed != NULL)
		return ask->deed->typed;
	(void)snprintf(scratch, 48, "/%s", ask->deed->words != NULL ? ask->deed->words : "whois");
	return scratch;
}

static void
told_usage(struct talk *talk, const struct deed *deed)
{
	struct buf usage = {0};

	deed_usage(deed, true, &usage);
	talk_notice(talk, "usage: %.*s", SLICE_ARG(buf_slice(&usage)));
	buf_fini(&usage);
}

/* --- Answers --- */

static void
note_names(struct talk *talk, struct json row)
{
	struct buf scratch = {0};

	(void)buf_reserve(&scratch, row.text.len + 1);
	names_note(&talk->names, '@', inbound_text(row, S("user"), &scratch));
	names_note(&talk->names, '#', inbound_text(row, S("handle"), &scratch));
	buf_fini(&scratch);
}

static void
keep_key(struct ask *ask, struct json row)
{
	struct json key = json_member(row, slice_str(ask->deed->after));
	struct buf scratch = {0};
	slice text = key.text;

	if (!slice_given(text))
		return;
	(void)buf_reserve(&scratch, text.len + 1);
	if (json_type(key) == JSON_STRING)
		text = json_string(key, &scratch);
	(void)snprintf(ask->after, sizeof(ask->after), "%.*s", SLICE_ARG(text));
	buf_fini(&scratch);
}

static void
put_line(struct buf *out, const char *form, struct json object)
{
	buf_put(out, S("-- "));
	sheet_form(out, form, object);
	buf_put(out, S("\n"));
}

/* True if there is more of the list. */
static bool
put_list(struct ask *ask, struct json result, struct buf *out)
{
	const struct deed *deed = ask->deed;
	bool first = ask->after[0] == '\0', any = false;
	struct json_iter it;
	struct json row;

	if (first && deed->head != NULL)
		put_line(out, deed->head, result);
	json_iter_init(&it, inbound_member(result, slice_str(deed->list), JSON_ARRAY));
	while (json_next_element(&it, &row)) {
		if (json_type(row) != JSON_OBJECT)
			continue;
		any = true;
		note_names(ask->talk, row);
		put_line(out, deed->person, row);
		if (deed->after != NULL)
			keep_key(ask, row);
	}
	if (!any && first && deed->none != NULL)
		buf_printf(out, "-- %s\n", deed->none);
	return any && deed->after != NULL && inbound_true(result, S("more"));
}

static void
failed(const char *user, const char *why, void *cookie)
{
	struct talk *talk = cookie;

	talk_notice(talk, "@%s: %s", user, why);
	if (!talk->terminal)
		talk->app->exit_code = EXIT_REFUSED;
}

static void
enter(struct talk *talk, const struct ask *ask, struct json result)
{
	char number[24];

	if (ask->call.target[0] == '#') {
		talk_choose(talk, slice_str(ask->call.target));
		return;
	}
	(void)snprintf(number, sizeof(number), "%" PRIu64, inbound_uint(result, S("cid"), 0));
	talk_choose(talk, slice_str(number));
}

static void
keep_state(struct talk *talk, const struct ask *ask)
{
	struct buf params = {0};

	mem_free(talk->state_again);
	talk->state_again = NULL;
	buf_put(&params, buf_slice(&ask->call.params));
	buf_put(&params, S("}"));
	/* The others outlive the connection anyway. */
	if (memmem(buf_head(&params), buf_len(&params), "\"away\"", 6) != NULL)
		talk->state_again = mem_dup(buf_slice(&params));
	buf_fini(&params);
}

static void
then(struct talk *talk, const struct ask *ask, struct json result)
{
	switch (ask->deed->then) {
	case THEN_ENTER:
		enter(talk, ask, result);
		break;
	case THEN_LEAVE:
		if (strcmp(ask->call.target, talk->target) == 0)
			talk_choose(talk, S(""));
		break;
	case THEN_STATE:
		keep_state(talk, ask);
		break;
	case THEN_NOTHING:
		break;
	}
}

static void
put_done(const struct ask *ask, struct json result, struct buf *out)
{
	bool changes = strncmp(ask->deed->method, "group.", 6) == 0 && !ask->deed->repeatable;

	if (ask->deed->person != NULL)
		put_line(out, ask->deed->person, result);
	else if (changes && !slice_given(inbound_member(result, S("seq"), JSON_NUMBER).text) &&
		 !slice_given(inbound_member(result, S("failed"), JSON_OBJECT).text))
		buf_put(out, S("-- it was so already\n"));
}

static void go(struct ask *ask);

static void
refused(struct ask *ask, const struct client_error *error)
{
	struct talk *talk = ask->talk;
	struct client_error explained = *error;
	char scratch[48];

	deed_explain(ask->deed, &explained);
	if (error->code == 0 && !ask->deed->repeatable)
		talk_notice(talk,
		    "%s: the connection was lost before the answer came; look whether it was done",
		    name_of(ask, scratch));
	else if (error->code == 0)
		talk_notice(
		    talk, "%s: the connection was lost; type it again", name_of(ask, scratch));
	else
		talk_refused(talk, name_of(ask, scratch), &explained);
}

/* What the list goes on with; there is one at a time. */
static void
keep_rest(struct talk *talk, struct ask *ask)
{
	if (talk->rest != NULL)
		ask_free(talk->rest);
	list_remove(&ask->all);
	talk->rest = ask;
	talk->more = MORE_LIST;
}

static void
answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct ask *ask = cookie;
	struct talk *talk = ask->talk;
	struct buf out = {0};
	bool more = false;

	(void)client;
	if (answer->error != NULL) {
		refused(ask, answer->error);
		ask_free(ask);
		return;
	}
	if (ask->deed->list != NULL)
		more = put_list(ask, answer->result, &out);
	else
		put_done(ask, answer->result, &out);
	if (more)
		buf_put(&out, S("-- /more goes on\n"));
	line_print(buf_slice(&out));
	buf_fini(&out);
	(void)deed_each_failed(answer->result, failed, talk);
	then(talk, ask, answer->result);
	if (more) {
		keep_rest(talk, ask);
	} else if (ask->deed->next != NULL) {
		ask->deed = ask->deed->next;
		go(ask);
	} else {
		ask_free(ask);
	}
}

/* --- Asking --- */

static void
go(struct ask *ask)
{
	struct talk *talk = ask->talk;
	struct buf params = {0};
	bool asked;

	buf_put(&params, buf_slice(&ask->call.params));
	if (ask->deed->list != NULL && ask->deed->page > 0)
		json_uint(&params, "limit", LIST_PAGE);
	if (ask->after[0] != '\0' && strcmp(ask->deed->after, "cid") == 0)
		json_raw(&params, "after", slice_str(ask->after));
	else if (ask->after[0] != '\0')
		json_str(&params, "after", slice_str(ask->after));
	buf_put(&params, S("}"));
	asked = talk_asked(talk,
	    client_call(talk->app->client, ask->deed->method, buf_slice(&params), answered, ask));
	buf_fini(&params);
	if (!asked)
		ask_free(ask);
	talk_hold_pipe(talk);
}

/* The newest message of one's own on that page; 0: there is none. */
static uint64_t
newest_own(struct json messages, slice me)
{
	struct buf scratch = {0};
	struct client_entry entry;
	struct json_iter it;
	struct json one;
	uint64_t seq = 0;

	json_iter_init(&it, messages);
	while (json_next_element(&it, &one)) {
		buf_clear(&scratch);
		(void)buf_reserve(&scratch, one.text.len + 1);
		if (inbound_entry(one, &scratch, &entry) && entry.deleted == 0 &&
		    slice_eq(entry.from, me) &&
		    (slice_eq(entry.kind, S("text")) || slice_starts(entry.kind, S("x-"))))
			seq = entry.seq;
	}
	buf_fini(&scratch);
	return seq;
}

static void
own_found(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct ask *ask = cookie;
	uint64_t seq = 0;

	if (answer->error != NULL) {
		refused(ask, answer->error);
		ask_free(ask);
		return;
	}
	seq = newest_own(
	    inbound_member(answer->result, S("messages"), JSON_ARRAY), client_user(client));
	if (seq == 0) {
		talk_notice(ask->talk, "none of the newest messages here is yours; name one by its "
				       "number, which /history shows");
		ask_free(ask);
		return;
	}
	json_uint(&ask->call.params, "seq", seq);
	go(ask);
}

/* Which message is one's own last is known when all that was typed has its place. */
static void
find_own(struct ask *ask)
{
	struct talk *talk = ask->talk;
	struct buf params = {0};

	ask->waits = client_unsent(talk->app->client) > 0;
	if (ask->waits)
		return;
	buf_put(&params, S("{"));
	app_put_target(&params, "cid", slice_str(ask->call.target));
	json_uint(&params, "limit", OWN_LOOKED_THROUGH);
	buf_put(&params, S("}"));
	if (!talk_asked(talk,
		client_call(talk->app->client, "history", buf_slice(&params), own_found, ask)))
		ask_free(ask);
	buf_fini(&params);
}

void
talk_deed(struct talk *talk, const struct deed *deed, slice rest)
{
	struct ask *ask = mem_zalloc(sizeof(*ask));
	struct words words;
	const char *why;

	ask->talk = talk;
	ask->deed = deed;
	words_typed(&words, rest);
	why = deed_fill(deed, &words, slice_str(talk->target), &ask->call);
	if (why != NULL) {
		if (why[0] != '\0')
			talk_notice(talk, "%s", why);
		else
			told_usage(talk, deed);
		ask_free(ask);
		return;
	}
	list_push_back(&talk->asks, &ask->all);
	if (ask->call.own_last)
		find_own(ask);
	else
		go(ask);
	talk_hold_pipe(talk);
}

void
talk_deeds_more(struct talk *talk)
{
	struct ask *ask = talk->rest;

	if (ask == NULL) {
		talk_notice(talk, "this was all");
		return;
	}
	if (client_state(talk->app->client) != CLIENT_READY) {
		(void)talk_asked(talk, CLIENT_NOT_READY);
		return;
	}
	talk->rest = NULL;
	list_push_back(&talk->asks, &ask->all);
	go(ask);
}

void
talk_deeds_step(struct talk *talk)
{
	for (struct list *at = talk->asks.next, *next; at != &talk->asks; at = next) {
		struct ask *ask = container_of(at, struct ask, all);

		next = at->next;
		if (ask->waits)
			find_own(ask);
	}
}

void
talk_deeds_connected(struct talk *talk)
{
	if (talk->state_again != NULL)
		(void)!client_call(
		    talk->app->client, "presence.set", slice_str(talk->state_again), NULL, NULL);
}
