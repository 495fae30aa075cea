/* SPDX-License-Identifier: MIT */
/* From an open connection to READY: register, login or resume, then sync. */
#include "client/client.h"

#include <stdio.h>

#include "base/mem.h"
#include "client/inside.h"

static void
wipe(char **secret)
{
	if (*secret != NULL)
		explicit_bzero(*secret, strlen(*secret));
	mem_free(*secret);
	*secret = NULL;
}

void
client_login_forget(struct client *c)
{
	wipe(&c->login.password);
	mem_free(c->login.user);
	mem_free(c->login.display);
	c->login = (struct client_credentials){0};
}

static void
ready(struct client *c)
{
	c->ready_since_ms = c->now_ms;
	c->sends_hold_ms = 0;
	if (c->vault != NULL)
		client_sends_load(c);
	client_set_state(c, CLIENT_READY);
}

/* There is no session to go on with; the connection may stay for a login. */
static void
login_needed(struct client *c, const struct client_error *error)
{
	client_login_forget(c);
	if (error != NULL) {
		client_set_trouble(c, error->message);
		if (c->config.hooks->login_failed != NULL)
			c->config.hooks->login_failed(c, error, c->config.cookie);
	}
	/* The hook may have begun another login. */
	if (c->login.kind == LOGIN_NONE && c->state != CLIENT_OFFLINE)
		client_set_state(c, CLIENT_LOGIN_NEEDED);
}

void
client_session_void(struct client *c)
{
	client_forget_token(c);
	login_needed(c, NULL);
}

static void
sync_answered(struct client *c, const struct client_answer *answer, void *cookie)
{
	(void)cookie;
	if (answer->error != NULL) {
		if (answer->error->code != 0)
			client_fail(c, answer->error->message, answer->error->retry_after_ms);
		return;
	}
	client_stream_synced(c, answer->result);
	ready(c);
}

static void
sync_alone(struct client *c)
{
	struct buf params = {0};

	client_stream_put_sync(c, &params);
	if (client_request(c, "sync", buf_slice(&params), sync_answered, NULL, NULL) < 0)
		client_fail(c, S("the cursors do not fit a request"), 0);
	buf_fini(&params);
}

static void
keep_login(struct client *c, struct json result, slice user, slice token)
{
	struct json limits = inbound_member(result, S("limits"), JSON_OBJECT);

	if (slice_given(limits.text)) {
		uint64_t frame = inbound_uint(limits, S("frame"), CLIENT_FRAME_OUT_MAX);

		c->frame_max =
		    frame >= 4096 && frame <= CLIENT_OUT_MAX ? frame : CLIENT_FRAME_OUT_MAX;
	}
	if (c->user == NULL || !slice_eq(slice_str(c->user), user)) {
		mem_free(c->user);
		c->user = mem_dup(user);
	}
	if (c->token == NULL || !slice_eq(slice_str(c->token), token)) {
		client_use_token(c, token);
		if (c->vault != NULL && vault_token_store(c->vault, token) < 0)
			client_set_trouble(c, S("the token could not be written to disk"));
	}
}

/* One user's files are not for another, whatever the server says. */
static bool
user_fits(const struct client *c, slice user)
{
	if (c->vault != NULL)
		return slice_eq(vault_user(c->vault), user);
	return vault_name_valid(user);
}

static void
logged_in(struct client *c, struct json result)
{
	bool is_object = slice_given(result.text) && json_type(result) == JSON_OBJECT;
	slice user = is_object ? inbound_text(result, S("user"), &c->scratch) : SLICE_NONE;
	slice token = is_object ? inbound_text(result, S("token"), &c->scratch) : SLICE_NONE;

	if (!slice_given(user) || !slice_given(token) || token.len == 0 || token.len > 128 ||
	    !user_fits(c, user)) {
		client_fail(c, S("the server's answer to the login makes no sense"), 0);
		return;
	}
	keep_login(c, result, user, token);
	client_login_forget(c);
	if (!c->config.follow) {
		client_stream_epoch(c, result);
		ready(c);
	} else if (slice_given(json_member(result, S("conversations")).text)) {
		client_stream_synced(c, result);
		ready(c);
	} else {
		sync_alone(c);
	}
}

static void login_request(struct client *c);

static void
login_refused(struct client *c, const struct client_error *error)
{
	struct client_credentials *login = &c->login;

	if (error->retry) {
		if (login->kind == LOGIN_REGISTER && slice_eq(error->name, S("unknown_outcome")))
			login->unsure = true;
		client_fail(c, error->message, error->retry_after_ms);
		return;
	}
	if (login->kind == LOGIN_REGISTER && login->unsure &&
	    slice_eq(error->name, S("name_taken"))) {
		login->kind = LOGIN_PASSWORD; /* perhaps by ourselves, just before */
		login_request(c);
		return;
	}
	if (login->kind == LOGIN_NONE && slice_eq(error->name, S("token_invalid")))
		client_forget_token(c);
	login_needed(c, error);
}

static void
login_answered(struct client *c, const struct client_answer *answer, void *cookie)
{
	(void)cookie;
	if (answer->error == NULL)
		logged_in(c, answer->result);
	else if (answer->error->code != 0)
		login_refused(c, answer->error);
	else if (c->login.kind == LOGIN_REGISTER)
		c->login.unsure = true;
}

static void
put_sync(struct client *c, struct buf *params)
{
	struct buf sync = {0};

	client_stream_put_sync(c, &sync);
	if (buf_len(&sync) <= CLIENT_SYNC_INLINE_MAX)
		json_raw(params, "sync", buf_slice(&sync));
	buf_fini(&sync);
}

static void
login_request(struct client *c)
{
	static const char *const methods[] = {
	    [LOGIN_NONE] = "resume", [LOGIN_PASSWORD] = "login", [LOGIN_REGISTER] = "register"};
	const struct client_credentials *login = &c->login;
	struct buf params = {0};

	buf_put(&params, S("{"));
	if (login->kind == LOGIN_NONE) {
		json_str(&params, "token", slice_str(c->token));
	} else {
		json_str(&params, "user", slice_str(login->user));
		json_str(&params, "password", slice_str(login->password));
		if (login->kind == LOGIN_REGISTER && login->display != NULL)
			json_str(&params, "display", slice_str(login->display));
		if (slice_given(c->config.device))
			json_str(&params, "device", c->config.device);
	}
	if (c->config.follow)
		put_sync(c, &params);
	buf_put(&params, S("}"));
	if (client_request(
		c, methods[login->kind], buf_slice(&params), login_answered, NULL, NULL) < 0)
		client_fail(c, S("the login does not fit a request"), 0);
	explicit_bzero(params.bytes, params.capacity);
	buf_fini(&params);
	client_set_state(c, CLIENT_LOGGING_IN);
}

void
client_login_begin(struct client *c)
{
	if (c->login.kind != LOGIN_NONE || c->token != NULL)
		login_request(c);
	else
		login_needed(c, NULL);
}

static void
use_credentials(struct client *c, struct client_credentials login)
{
	OBJ_CHECK(c, CLIENT_MAGIC);
	assert(c->state == CLIENT_OFFLINE || c->state == CLIENT_LOGIN_NEEDED ||
	       c->state == CLIENT_LOGGING_IN);
	client_login_forget(c);
	c->login = login;
	if (c->state == CLIENT_OFFLINE)
		return;
	if (c->link.state == LINK_OPEN && !c->closing) {
		login_request(c);
	} else {
		c->retry_at_ms = c->now_ms;
		client_set_state(c, CLIENT_WAITING);
	}
}

void
client_login(struct client *c, slice user, slice password)
{
	use_credentials(
	    c, (struct client_credentials){
		   .kind = LOGIN_PASSWORD, .user = mem_dup(user), .password = mem_dup(password)});
}

void
client_register(struct client *c, slice user, slice password, slice display)
{
	use_credentials(c, (struct client_credentials){.kind = LOGIN_REGISTER,
			       .user = mem_dup(user),
			       .password = mem_dup(password),
			       .display = slice_given(display) ? mem_dup(display) : NULL});
}
