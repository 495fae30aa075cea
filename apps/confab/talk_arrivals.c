/* SPDX-License-Identifier: MIT */
/* What the server says by itself, as lines above the one that is typed. */
#include "talk.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "line.h"
#include "sheet.h"
#include "show.h"

const char *
talk_label(const struct talk *talk, uint64_t cid)
{
	const char *label = map_get(&talk->labels, cid);

	return label != NULL ? label : "a conversation";
}

static void
on_state(struct client *client, enum client_state state, void *cookie)
{
	struct talk *talk = talk_of(cookie);
	struct app *app = talk->app;

	if (app->done)
		return;
	if (state == CLIENT_READY) {
		if (!app->was_ready)
			talk_notice(talk, "%.*s at %s; /help says what can be typed",
			    SLICE_ARG(client_user(client)), app->server_text);
		else if (app->told_trouble)
			talk_notice(talk, "connected again");
		app->was_ready = true;
		app->told_trouble = false;
		app->give_up_ms = UINT64_MAX;
		talk_deeds_connected(talk);
	} else if (state == CLIENT_WAITING && !app->told_trouble) {
		app->told_trouble = true;
		talk_notice_text(talk,
		    app->was_ready ? "the connection is lost (" : "can't connect (",
		    slice_str(client_trouble(client)),
		    app->was_ready ? "); trying again, what you write is kept"
				   : "); is confabd running? trying again");
	} else if (state == CLIENT_LOGIN_NEEDED && slice_given(client_token(client))) {
		/* Not because of the token: another login would end the same. */
		app_end(app, EXIT_REFUSED);
	} else if (state == CLIENT_LOGIN_NEEDED) {
		talk->login_needed = true;
	} else if (state == CLIENT_OFFLINE) {
		talk_notice_text(talk, "", slice_str(client_trouble(client)), "; not trying again");
		app_end(app, EXIT_CONNECT);
	}
}

/* How a person calls it: "@bob", "#ops", or the number and the title. */
static void
put_label(struct buf *to, const struct client_conversation *told)
{
	if (told->peer.len > 0) {
		buf_put(to, S("@"));
		show_text(to, told->peer, SHOW_ONE_LINE);
	} else if (told->handle.len > 0) {
		buf_put(to, S("#"));
		show_text(to, told->handle, SHOW_ONE_LINE);
	} else {
		buf_printf(to, "%" PRIu64 " ", told->cid);
		show_text(to, told->title, SHOW_ONE_LINE);
	}
}

static void
label_becomes(struct talk *talk, uint64_t cid, slice label)
{
	mem_free(map_remove(&talk->labels, cid));
	map_put(&talk->labels, cid, mem_dup(label));
}

static void
removed(struct talk *talk, uint64_t cid)
{
	talk_notice(talk, "you are no member of %s any more", talk_label(talk, cid));
	mem_free(map_remove(&talk->labels, cid));
}

static void
told_group(struct talk *talk, slice title, slice label)
{
	const char *blank = memchr(label.ptr, ' ', label.len);
	struct buf text = {0};

	show_text(&text, title, SHOW_ONE_LINE);
	talk_notice(talk, "you are in the group %.*s; to write there: /to %.*s",
	    SLICE_ARG(buf_slice(&text)),
	    (int)(blank != NULL ? (size_t)(blank - label.ptr) : label.len), label.ptr);
	buf_fini(&text);
}

static void
on_conversation(struct client *client, const struct client_conversation *told, void *cookie)
{
	struct talk *talk = talk_of(cookie);
	struct buf shown = {0};

	(void)client;
	if (slice_eq(told->change, S("removed"))) {
		removed(talk, told->cid);
		return;
	}
	names_note(&talk->names, '@', told->peer);
	names_note(&talk->names, '#', told->handle);
	put_label(&shown, told);
	label_becomes(talk, told->cid, buf_slice(&shown));
	if (slice_eq(told->change, S("added")) && slice_eq(told->kind, S("group")))
		told_group(talk, told->title, buf_slice(&shown));
	buf_fini(&shown);
}

/* A handle that changed: the label and the current target follow. */
static void
handle_changed(struct talk *talk, const struct client_entry *entry)
{
	struct buf scratch = {0}, label = {0};
	char number[24];
	slice handle;

	(void)buf_reserve(&scratch, entry->data.text.len + 1);
	handle = inbound_text(entry->data, S("handle"), &scratch);
	if (slice_given(handle)) {
		(void)snprintf(number, sizeof(number), "%" PRIu64, entry->cid);
		buf_put(&label, handle.len > 0 ? S("#") : S(""));
		show_text(&label, handle.len > 0 ? handle : slice_str(number), SHOW_ONE_LINE);
		if (talk->target[0] == '#' &&
		    strcmp(talk->target, talk_label(talk, entry->cid)) == 0)
			talk_choose(talk, app_is_target(buf_slice(&label)) ? buf_slice(&label)
									   : slice_str(number));
		names_note(&talk->names, '#', handle);
		label_becomes(talk, entry->cid, buf_slice(&label));
	}
	buf_fini(&label);
	buf_fini(&scratch);
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

	names_note(&talk->names, '@', entry->from);
	if (slice_eq(entry->kind, S("set")))
		handle_changed(talk, entry);
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
		talk_notice(talk, "%s: %" PRIu64 " messages can't be had any more",
		    talk_label(talk, cid), to - from + 1);
	else
		talk_notice(talk,
		    "%s: %" PRIu64 " older messages are left out; /to and /history show them",
		    talk_label(talk, cid), to - from + 1);
	return true;
}

static void
on_reset(struct client *client, void *cookie)
{
	(void)client;
	talk_notice(talk_of(cookie),
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
		talk_notice_text(talk, "not sent: ", sent->error->message, "");
		talk->app->exit_code = EXIT_REFUSED;
	} else if (sent->earlier) {
		talk_notice(
		    talk, "a message to %s that was kept from before is sent", buf_head(&to));
	}
	buf_fini(&to);
}

static void
on_login_failed(struct client *client, const struct client_error *error, void *cookie)
{
	struct talk *talk = talk_of(cookie);

	(void)client;
	talk_notice_text(talk, "", error->message.len > 0 ? error->message : error->name, "");
}

/* --- News of people, quietly --- */

static void
quietly(struct talk *talk, const char *form, struct json params)
{
	bool colours = show_colours();

	buf_clear(&talk->out);
	buf_put(&talk->out, colours ? S("\033[2m-- ") : S("-- "));
	sheet_form(&talk->out, form, params);
	buf_put(&talk->out, colours ? S("\033[0m\n") : S("\n"));
	line_print(buf_slice(&talk->out));
}

static void
presence_arrived(struct talk *talk, struct json params)
{
	quietly(talk, "@{user} is {state}[: {text}]", params);
}

static void
contact_arrived(struct talk *talk, struct json params)
{
	static const struct {
		slice state;
		const char *form;
	} states[] = {
	    {{"requested", 9}, "you asked @{user} to be your contact"},
	    {{"incoming", 8},
		"@{user} asks to be your contact[: {note}]; /accept @{user} or /reject "
		"@{user}"},
	    {{"contact", 7}, "@{user} and you are contacts now"},
	    {{"rejected", 8}, "the request between @{user} and you is rejected"},
	    {{"removed", 7}, "@{user} and you are no contacts any more"},
	    {{"blocked", 7}, "@{user} is blocked; /unblock @{user} ends that"},
	    {{"unblocked", 9}, "@{user} is not blocked any more"},
	};
	struct json state = inbound_member(params, S("state"), JSON_STRING);

	for (size_t i = 0; slice_given(state.text) && i < LEN(states); i++)
		if (json_string_is(state, states[i].state)) {
			quietly(talk, states[i].form, params);
			return;
		}
	quietly(talk, "@{user}: {state}", params);
}

static void
on_other(struct client *client, slice method, struct json params, void *cookie)
{
	struct talk *talk = talk_of(cookie);
	struct json user = inbound_member(params, S("user"), JSON_STRING);
	struct buf scratch = {0};

	(void)client;
	if (!slice_given(user.text))
		return;
	(void)buf_reserve(&scratch, user.text.len + 1);
	names_note(&talk->names, '@', json_string(user, &scratch));
	buf_fini(&scratch);
	if (slice_eq(method, S("presence")))
		presence_arrived(talk, params);
	else if (slice_eq(method, S("contact")))
		contact_arrived(talk, params);
}

const struct client_hooks talk_hooks = {.state = on_state,
    .login_failed = on_login_failed,
    .conversation = on_conversation,
    .entry = on_entry,
    .gap = on_gap,
    .reset = on_reset,
    .sent = on_sent,
    .other = on_other};

void
talk_labels_fini(struct talk *talk)
{
	size_t at = 0;
	char *label;

	while ((label = map_next(&talk->labels, &at)) != NULL)
		mem_free(label);
	map_fini(&talk->labels);
}
