/* SPDX-License-Identifier: MIT */
/* Methods about people: profiles, search, who is here. */
#include "gate/method.h"

enum { PROFILE_DISPLAY, PROFILE_STATUS, PROFILE_ACCEPT };
static const char *const accept_words[] = {"all", "contacts", NULL};
const struct param profile_set_params[] = {
    [PROFILE_DISPLAY] = {"display", PARAM_TEXT, .min = 1, .max = DISPLAY_MAX_CHARS},
    [PROFILE_STATUS] = {"status", PARAM_TEXT, .max = STATUS_MAX_CHARS},
    [PROFILE_ACCEPT] = {"accept", PARAM_CHOICE, .words = accept_words},
    {0},
};

struct fault
run_profile_set(struct call *c)
{
	const struct value *accept = &c->v[PROFILE_ACCEPT];

	chat_profile_set(c->session->peer, &c->tag,
	    &(struct profile_command){
		.display = c->v[PROFILE_DISPLAY].text,
		.status = c->v[PROFILE_STATUS].text,
		.accept = accept->given ? (int)accept->number : -1,
	    });
	return (struct fault){0};
}

enum { USERS_USERS };
const struct param users_params[] = {
    [USERS_USERS] = {"users", PARAM_USERS, .required = true, .max = LIMIT_USERS},
    {0},
};

struct fault
run_profile_get(struct call *c)
{
	const struct decoder *d = &c->session->gate->decoder;

	chat_profile_get(c->session->peer, &c->tag, d->users, d->user_count);
	return (struct fault){0};
}

struct fault
run_presence_get(struct call *c)
{
	const struct decoder *d = &c->session->gate->decoder;

	chat_presence_get(c->session->peer, &c->tag, d->users, d->user_count);
	return (struct fault){0};
}

enum { PRESENCE_STATE, PRESENCE_TEXT };
static const char *const state_words[] = {"online", "busy", "invisible", "away", NULL};
const struct param presence_set_params[] = {
    [PRESENCE_STATE] = {"state", PARAM_CHOICE, .required = true, .words = state_words},
    [PRESENCE_TEXT] = {"text", PARAM_TEXT, .max = PRESENCE_MAX_CHARS},
    {0},
};

struct fault
run_presence_set(struct call *c)
{
	static const enum presence states[] = {
	    PRESENCE_ONLINE, PRESENCE_BUSY, PRESENCE_INVISIBLE, PRESENCE_AWAY};

	static_assert(LEN(states) + 1 == LEN(state_words), "a state for each word");
	chat_presence_set(c->session->peer, &c->tag,
	    &(struct presence_command){
		.state = states[c->v[PRESENCE_STATE].number],
		.text = c->v[PRESENCE_TEXT].text,
	    });
	return (struct fault){0};
}

const struct param presence_watch_params[] = {
    [USERS_USERS] = {"users", PARAM_USERS, .required = true, .max = LIMIT_WATCHED},
    {0},
};

struct fault
run_presence_watch(struct call *c)
{
	const struct decoder *d = &c->session->gate->decoder;

	chat_presence_watch(c->session->peer, &c->tag, d->users, d->user_count);
	return (struct fault){0};
}

enum { FIND_QUERY, FIND_LIMIT };
const struct param user_find_params[] = {
    [FIND_QUERY] = {"query", PARAM_TEXT, .required = true, .min = 2, .max = 64},
    [FIND_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_FOUND, .preset = 20},
    {0},
};

struct fault
run_user_find(struct call *c)
{
	chat_user_find(
	    c->session->peer, &c->tag, c->v[FIND_QUERY].text, (uint32_t)c->v[FIND_LIMIT].number);
	return (struct fault){0};
}

enum { WHO_SCOPE, WHO_AFTER, WHO_LIMIT };
const struct param who_params[] = {
    [WHO_SCOPE] = {"scope", PARAM_SCOPE, .required = true},
    [WHO_AFTER] = {.name = "after", .type = PARAM_USER},
    [WHO_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_PAGE, .preset = 100},
    {0},
};

struct fault
run_who(struct call *c)
{
	struct who_command cmd = {
	    .conv = c->v[WHO_SCOPE].target,
	    .after = c->v[WHO_AFTER].text,
	    .limit = (uint32_t)c->v[WHO_LIMIT].number,
	};

	cmd.scope = c->v[WHO_SCOPE].number == WHO_CONTACTS ? WHO_CONTACTS
		    : c->v[WHO_SCOPE].number == WHO_ALL    ? WHO_ALL
							   : WHO_CONV;
	chat_who(c->session->peer, &c->tag, &cmd);
	return (struct fault){0};
}
