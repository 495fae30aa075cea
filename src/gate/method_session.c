/* SPDX-License-Identifier: MIT */
/* Methods before login, and of one's own session. */
#include "base/clock.h"
#include "gate/encode.h"
#include "gate/method.h"

/* The `sync` of register, login and resume. */
static struct fault
sync_wish(struct call *c, const struct value *v, struct sync_command *ret_sync)
{
	struct json params = v->json;

	*ret_sync = (struct sync_command){0};
	if (!v->given || !v->flag)
		return (struct fault){0};
	if (json_type(params) == JSON_TRUE)
		params = (struct json){0};
	return decode_sync(&c->session->gate->decoder, params, ret_sync);
}

/* --- Before login --- */

const struct param no_params[] = {{0}};

enum { HELLO_CLIENT };
const struct param hello_params[] = {
    [HELLO_CLIENT] = {"client", PARAM_TEXT, .max = LIMIT_CLIENT_CHARS},
    {0},
};

struct fault
run_hello(struct call *c)
{
	if (c->id->kind != RPC_ID_NONE) {
		encode_hello(session_frame(c->session), c->id, &c->session->gate->config);
		session_send_frame(c->session);
	}
	return (struct fault){0};
}

struct fault
run_ping(struct call *c)
{
	if (c->id->kind != RPC_ID_NONE) {
		encode_pong(session_frame(c->session), c->id, clock_real_ms());
		session_send_frame(c->session);
	}
	return (struct fault){0};
}

enum { REGISTER_USER, REGISTER_PASSWORD, REGISTER_DISPLAY, REGISTER_DEVICE, REGISTER_SYNC };
const struct param register_params[] = {
    [REGISTER_USER] = {"user", PARAM_USER, .required = true},
    [REGISTER_PASSWORD] = {"password", PASSWORD, .required = true},
    [REGISTER_DISPLAY] = {"display", PARAM_TEXT, .min = 1, .max = DISPLAY_MAX_CHARS},
    [REGISTER_DEVICE] = {"device", PARAM_TEXT, .max = DEVICE_MAX_CHARS},
    [REGISTER_SYNC] = {.name = "sync", .type = PARAM_SYNC},
    {0},
};

struct fault
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
const struct param login_params[] = {
    [LOGIN_USER] = {"user", PARAM_USER, .required = true},
    [LOGIN_PASSWORD] = {"password", PASSWORD, .required = true},
    [LOGIN_DEVICE] = {"device", PARAM_TEXT, .max = DEVICE_MAX_CHARS},
    [LOGIN_SYNC] = {.name = "sync", .type = PARAM_SYNC},
    {0},
};

struct fault
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
const struct param resume_params[] = {
    [RESUME_TOKEN] = {"token", PARAM_BYTES, .required = true, .max = LIMIT_TOKEN_BYTES},
    [RESUME_SYNC] = {.name = "sync", .type = PARAM_SYNC},
    {0},
};

struct fault
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
struct fault
run_sync(struct call *c)
{
	struct sync_command cmd;
	struct fault fault = decode_sync(&c->session->gate->decoder, c->params, &cmd);

	if (fault.err == ERR_OK)
		chat_sync(c->session->peer, &c->tag, &cmd);
	return fault;
}

enum { LOGOUT_ALL };
const struct param logout_params[] = {
    [LOGOUT_ALL] = {.name = "all", .type = PARAM_BOOL},
    {0},
};

struct fault
run_logout(struct call *c)
{
	chat_logout(c->session->peer, &c->tag, c->v[LOGOUT_ALL].flag);
	return (struct fault){0};
}

struct fault
run_session_list(struct call *c)
{
	chat_session_list(c->session->peer, &c->tag);
	return (struct fault){0};
}

enum { REVOKE_SESSION };
const struct param session_revoke_params[] = {
    [REVOKE_SESSION] = {"session", PARAM_BYTES, .required = true, .min = 1,
	.max = LIMIT_SESSION_BYTES},
    {0},
};

struct fault
run_session_revoke(struct call *c)
{
	chat_session_revoke(c->session->peer, &c->tag, c->v[REVOKE_SESSION].text);
	return (struct fault){0};
}

enum { CHANGE_OLD, CHANGE_NEW };
const struct param password_change_params[] = {
    [CHANGE_OLD] = {"old", PASSWORD, .required = true},
    [CHANGE_NEW] = {"new", PASSWORD, .required = true},
    {0},
};

struct fault
run_password_change(struct call *c)
{
	chat_password_change(
	    c->session->peer, &c->tag, c->v[CHANGE_OLD].text, c->v[CHANGE_NEW].text);
	return (struct fault){0};
}
