/* SPDX-License-Identifier: MIT */
/*
 * The methods: what each takes, who may call it, what it weighs, and how it becomes a command of
 * the chat. A row of METHODS is a method; its table of params is <name>_params, its function
 * run_<name>.
 */
#include "gate/session.h"

#include "base/clock.h"
#include "base/panic.h"
#include "gate/encode.h"

enum {
	WEIGHT_HEAVY = 16, /* its answer may be a frame of the largest size */
	LIMIT_PAGE = 1000,
	LIMIT_FOUND = 100,
	LIMIT_HISTORY = 200,
	LIMIT_TOKEN_BYTES = 128,
	LIMIT_SESSION_BYTES = 64,
	LIMIT_CLIENT_CHARS = 128,
};

#define ANY_SEQ PARAM_INTEGER, .min = 0
#define SOME_SEQ PARAM_INTEGER, .min = 1
#define PASSWORD PARAM_BYTES, .max = PASSWORD_MAX_BYTES

static slice
given_or(const struct value *v, slice otherwise)
{
	return v->given ? v->text : otherwise;
}

/* The `sync` of register, login and resume. */
static struct fault
sync_wish(struct call *c, const struct value *v, struct sync_command *ret_sync)
{
	struct json params = v->json;

	*ret_sync = (struct sync_command){0};
	if (!v->given || !v->flag)
		return (struct fault){0};
	if (json_type(params) == JSON_TRUE)
		params = (struct json){SLICE_NONE};
	return decode_sync(&c->session->gate->decoder, params, ret_sync);
}

/* --- Before login --- */

static const struct param no_params[] = {{0}};

enum { HELLO_CLIENT };
static const struct param hello_params[] = {
    [HELLO_CLIENT] = {"client", PARAM_TEXT, .max = LIMIT_CLIENT_CHARS},
    {0},
};

static struct fault
run_hello(struct call *c)
{
	if (c->id->kind != RPC_ID_NONE) {
		encode_hello(session_frame(c->session), c->id, &c->session->gate->config);
		session_send_frame(c->session);
	}
	return (struct fault){0};
}

static struct fault
run_ping(struct call *c)
{
	if (c->id->kind != RPC_ID_NONE) {
		encode_pong(session_frame(c->session), c->id, clock_real_ms());
		session_send_frame(c->session);
	}
	return (struct fault){0};
}

enum { REGISTER_USER, REGISTER_PASSWORD, REGISTER_DISPLAY, REGISTER_DEVICE, REGISTER_SYNC };
static const struct param register_params[] = {
    [REGISTER_USER] = {"user", PARAM_USER, .required = true},
    [REGISTER_PASSWORD] = {"password", PASSWORD, .required = true},
    [REGISTER_DISPLAY] = {"display", PARAM_TEXT, .min = 1, .max = DISPLAY_MAX_CHARS},
    [REGISTER_DEVICE] = {"device", PARAM_TEXT, .max = DEVICE_MAX_CHARS},
    [REGISTER_SYNC] = {.name = "sync", .type = PARAM_SYNC},
    {0},
};

static struct fault
run_register(struct call *c)
{
	struct register_command cmd = {
	    .user = c->v[REGISTER_USER].text,
	    .password = c->v[REGISTER_PASSWORD].text,
	    .display = c->v[REGISTER_DISPLAY].text,
	    .device = c->v[REGISTER_DEVICE].text,
	};
	struct fault fault = sync_wish(c, &c->v[REGISTER_SYNC], &cmd.sync);

	if (fault.err == ERR_OK)
		chat_register(c->session->peer, &c->tag, &cmd);
	return fault;
}

enum { LOGIN_USER, LOGIN_PASSWORD, LOGIN_DEVICE, LOGIN_SYNC };
static const struct param login_params[] = {
    [LOGIN_USER] = {"user", PARAM_USER, .required = true},
    [LOGIN_PASSWORD] = {"password", PASSWORD, .required = true},
    [LOGIN_DEVICE] = {"device", PARAM_TEXT, .max = DEVICE_MAX_CHARS},
    [LOGIN_SYNC] = {.name = "sync", .type = PARAM_SYNC},
    {0},
};

static struct fault
run_login(struct call *c)
{
	struct login_command cmd = {
	    .user = c->v[LOGIN_USER].text,
	    .password = c->v[LOGIN_PASSWORD].text,
	    .device = c->v[LOGIN_DEVICE].text,
	};
	struct fault fault = sync_wish(c, &c->v[LOGIN_SYNC], &cmd.sync);

	if (fault.err == ERR_OK)
		chat_login(c->session->peer, &c->tag, &cmd);
	return fault;
}

enum { RESUME_TOKEN, RESUME_SYNC };
static const struct param resume_params[] = {
    [RESUME_TOKEN] = {"token", PARAM_BYTES, .required = true, .max = LIMIT_TOKEN_BYTES},
    [RESUME_SYNC] = {.name = "sync", .type = PARAM_SYNC},
    {0},
};

static struct fault
run_resume(struct call *c)
{
	struct resume_command cmd = {.token = c->v[RESUME_TOKEN].text};
	struct fault fault = sync_wish(c, &c->v[RESUME_SYNC], &cmd.sync);

	if (fault.err == ERR_OK)
		chat_resume(c->session->peer, &c->tag, &cmd);
	return fault;
}

/* --- Session --- */

/* decode_sync() reads them. */
static struct fault
run_sync(struct call *c)
{
	struct sync_command cmd;
	struct fault fault = decode_sync(&c->session->gate->decoder, c->params, &cmd);

	if (fault.err == ERR_OK)
		chat_sync(c->session->peer, &c->tag, &cmd);
	return fault;
}

enum { LOGOUT_ALL };
static const struct param logout_params[] = {
    [LOGOUT_ALL] = {.name = "all", .type = PARAM_BOOL},
    {0},
};

static struct fault
run_logout(struct call *c)
{
	chat_logout(c->session->peer, &c->tag, c->v[LOGOUT_ALL].flag);
	return (struct fault){0};
}

static struct fault
run_session_list(struct call *c)
{
	chat_session_list(c->session->peer, &c->tag);
	return (struct fault){0};
}

enum { REVOKE_SESSION };
static const struct param session_revoke_params[] = {
    [REVOKE_SESSION] = {"session", PARAM_BYTES, .required = true, .min = 1,
	.max = LIMIT_SESSION_BYTES},
    {0},
};

static struct fault
run_session_revoke(struct call *c)
{
	chat_session_revoke(c->session->peer, &c->tag, c->v[REVOKE_SESSION].text);
	return (struct fault){0};
}

enum { CHANGE_OLD, CHANGE_NEW };
static const struct param password_change_params[] = {
    [CHANGE_OLD] = {"old", PASSWORD, .required = true},
    [CHANGE_NEW] = {"new", PASSWORD, .required = true},
    {0},
};

static struct fault
run_password_change(struct call *c)
{
	chat_password_change(
	    c->session->peer, &c->tag, c->v[CHANGE_OLD].text, c->v[CHANGE_NEW].text);
	return (struct fault){0};
}

enum { PROFILE_DISPLAY, PROFILE_STATUS, PROFILE_ACCEPT };
static const char *const accept_words[] = {"all", "contacts", NULL};
static const struct param profile_set_params[] = {
    [PROFILE_DISPLAY] = {"display", PARAM_TEXT, .min = 1, .max = DISPLAY_MAX_CHARS},
    [PROFILE_STATUS] = {"status", PARAM_TEXT, .max = STATUS_MAX_CHARS},
    [PROFILE_ACCEPT] = {"accept", PARAM_CHOICE, .words = accept_words},
    {0},
};

static struct fault
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
static const struct param users_params[] = {
    [USERS_USERS] = {"users", PARAM_USERS, .required = true, .max = LIMIT_USERS},
    {0},
};

static struct fault
run_profile_get(struct call *c)
{
	const struct decoder *d = &c->session->gate->decoder;

	chat_profile_get(c->session->peer, &c->tag, d->users, d->user_count);
	return (struct fault){0};
}

static struct fault
run_presence_get(struct call *c)
{
	const struct decoder *d = &c->session->gate->decoder;

	chat_presence_get(c->session->peer, &c->tag, d->users, d->user_count);
	return (struct fault){0};
}

enum { FIND_QUERY, FIND_LIMIT };
static const struct param user_find_params[] = {
    [FIND_QUERY] = {"query", PARAM_TEXT, .required = true, .min = 2, .max = 64},
    [FIND_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_FOUND, .preset = 20},
    {0},
};

static struct fault
run_user_find(struct call *c)
{
	chat_user_find(
	    c->session->peer, &c->tag, c->v[FIND_QUERY].text, (uint32_t)c->v[FIND_LIMIT].number);
	return (struct fault){0};
}

enum { WHO_SCOPE, WHO_AFTER, WHO_LIMIT };
static const struct param who_params[] = {
    [WHO_SCOPE] = {"scope", PARAM_SCOPE, .required = true},
    [WHO_AFTER] = {.name = "after", .type = PARAM_USER},
    [WHO_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_PAGE, .preset = 100},
    {0},
};

static struct fault
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

/* --- Messages --- */

enum { SEND_TO, SEND_BODY, SEND_KIND, SEND_DATA, SEND_CMID, SEND_RE };
static const struct param send_params[] = {
    [SEND_TO] = {"to", PARAM_TARGET, .required = true},
    [SEND_BODY] = {"body", PARAM_BODY, .required = true},
    [SEND_KIND] = {.name = "kind", .type = PARAM_MESSAGE_KIND},
    [SEND_DATA] = {.name = "data", .type = PARAM_DATA},
    [SEND_CMID] = {"cmid", PARAM_BYTES, .min = 1, .max = CMID_MAX_BYTES},
    [SEND_RE] = {"re", SOME_SEQ},
    {0},
};

/*
 * Sends to one conversation are answered in their order, refused ones too: what is wrong with this
 * one goes to the chat with it, unless it does not even say where to.
 */
static struct fault
run_send(struct call *c)
{
	const struct value *v = c->v;
	struct send_command cmd = {
	    .to = v[SEND_TO].target,
	    .kind = given_or(&v[SEND_KIND], S("text")),
	    .body = given_or(&v[SEND_BODY], S("")),
	    .data = v[SEND_DATA].text,
	    .cmid = v[SEND_CMID].text,
	    .re = v[SEND_RE].given ? v[SEND_RE].number : 0,
	    .refused = c->fault,
	};

	if (!v[SEND_TO].given)
		return c->fault;
	if (cmd.refused.err == ERR_OK && cmd.body.len == 0 && !slice_given(cmd.data))
		cmd.refused = (struct fault){.err = ERR_INVALID_PARAMS, .param = "body"};
	chat_send(c->session->peer, &c->tag, &cmd);
	return (struct fault){0};
}

enum { HISTORY_CID, HISTORY_BEFORE, HISTORY_AFTER, HISTORY_LIMIT };
static const struct param history_params[] = {
    [HISTORY_CID] = {"cid", PARAM_TARGET, .required = true},
    [HISTORY_BEFORE] = {"before", ANY_SEQ},
    [HISTORY_AFTER] = {"after", ANY_SEQ},
    [HISTORY_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_HISTORY, .preset = 50},
    {0},
};

static struct fault
run_history(struct call *c)
{
	const struct value *v = c->v;

	if (v[HISTORY_AFTER].given)
		confab_tag_flags(&c->tag, ENCODE_OLDEST);
	chat_history(c->session->peer, &c->tag,
	    &(struct history_command){
		.conv = v[HISTORY_CID].target,
		.before = v[HISTORY_BEFORE].number,
		.after = v[HISTORY_AFTER].number,
		.has_before = v[HISTORY_BEFORE].given,
		.has_after = v[HISTORY_AFTER].given,
		.limit = (uint32_t)v[HISTORY_LIMIT].number,
	    });
	return (struct fault){0};
}

enum { MARK_CID, MARK_READ, MARK_DELIVERED };
static const struct param mark_params[] = {
    [MARK_CID] = {"cid", PARAM_TARGET, .required = true},
    [MARK_READ] = {"read", ANY_SEQ},
    [MARK_DELIVERED] = {"delivered", ANY_SEQ},
    {0},
};

static struct fault
run_mark(struct call *c)
{
	chat_mark(c->session->peer, &c->tag,
	    &(struct mark_command){
		.conv = c->v[MARK_CID].target,
		.read = c->v[MARK_READ].number,
		.delivered = c->v[MARK_DELIVERED].number,
	    });
	return (struct fault){0};
}

enum { SIGNAL_TO, SIGNAL_KIND, SIGNAL_DATA };
static const struct param signal_params[] = {
    [SIGNAL_TO] = {"to", PARAM_TARGET, .required = true},
    [SIGNAL_KIND] = {"kind", PARAM_SIGNAL_KIND, .required = true},
    [SIGNAL_DATA] = {.name = "data", .type = PARAM_SIGNAL_DATA},
    {0},
};

static struct fault
run_signal(struct call *c)
{
	chat_signal(c->session->peer, &c->tag,
	    &(struct signal_command){
		.to = c->v[SIGNAL_TO].target,
		.kind = c->v[SIGNAL_KIND].text,
		.data = c->v[SIGNAL_DATA].text,
	    });
	return (struct fault){0};
}

/* --- The table --- */

/* name on the wire, function run_…, params, who may call it, weight, flags; the frequent ones first
 */
#define METHODS(X)                                                                                 \
	X("send", send, send_params, NEED_SESSION, 1, .keeps_fault = true)                         \
	X("mark", mark, mark_params, NEED_SESSION, 1, )                                            \
	X("signal", signal, signal_params, NEED_SESSION, 1, )                                      \
	X("ping", ping, no_params, NEED_NOTHING, 0, )                                              \
	X("history", history, history_params, NEED_SESSION, WEIGHT_HEAVY, )                        \
	X("hello", hello, hello_params, NEED_NOTHING, 0, )                                         \
	X("resume", resume, resume_params, NEED_NO_SESSION, WEIGHT_HEAVY, .blocking = true)        \
	X("login", login, login_params, NEED_NO_SESSION, WEIGHT_HEAVY, .blocking = true)           \
	X("register", register, register_params, NEED_NO_SESSION, WEIGHT_HEAVY, .blocking = true)  \
	X("sync", sync, no_params, NEED_SESSION, WEIGHT_HEAVY, .blocking = true)                   \
	X("logout", logout, logout_params, NEED_SESSION, 1, .blocking = true, .ends = true)        \
	X("presence.get", presence_get, users_params, NEED_SESSION, 4, )                           \
	X("profile.get", profile_get, users_params, NEED_SESSION, WEIGHT_HEAVY, )                  \
	X("profile.set", profile_set, profile_set_params, NEED_SESSION, 1, )                       \
	X("user.find", user_find, user_find_params, NEED_SESSION, 4, )                             \
	X("who", who, who_params, NEED_SESSION, WEIGHT_HEAVY, )                                    \
	X("session.list", session_list, no_params, NEED_SESSION, 4, )                              \
	X("session.revoke", session_revoke, session_revoke_params, NEED_SESSION, 1, )              \
	X("password.change", password_change, password_change_params, NEED_SESSION, 1, )

static const struct method methods[] = {
#define METHOD_AS_ROW(text, run_name, table, who, heavy, ...)                                      \
	{.name = "" text,                                                                          \
	    .name_len = sizeof(text) - 1,                                                          \
	    .run = run_##run_name,                                                                 \
	    .params = table,                                                                       \
	    .need = who,                                                                           \
	    .weight = heavy,                                                                       \
	    __VA_ARGS__},
    METHODS(METHOD_AS_ROW)};
static_assert(LEN(methods) <= UINT8_MAX, "a tag holds the index in a byte");

const struct method *
method_find(slice name)
{
	for (size_t i = 0; i < LEN(methods); i++)
		if (methods[i].name_len == name.len &&
		    memcmp(methods[i].name, name.ptr, name.len) == 0)
			return &methods[i];
	return NULL;
}

unsigned
method_index(const struct method *method)
{
	return (unsigned)(method - methods);
}

const struct method *
method_at(unsigned index)
{
	assert(index < LEN(methods));
	return &methods[index];
}
