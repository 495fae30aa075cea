/* SPDX-License-Identifier: MIT */
/*
 * Entering and leaving: register, login, resume, logout, sessions, passwords.
 *
 *   register: hash → REGISTER → attach           login: AUTH → verify → LOGIN → attach
 *   resume:   RESUME → attach                    password.change: AUTH → verify and hash → PASSWORD
 *
 * attach tells the user's home of the connection; only when that has agreed is the login answered,
 * so that an ending session finds every connection that was ever told it is logged in.
 */
#include "chat/cluster.h"
#include "chat/names.h"

/* What a login carries from step to step; the call's context. */
struct login {
	bool registers, changes;     /* register, password.change; otherwise login or resume */
	char *password, *fresh;      /* owned, wiped at the end; fresh: of password.change */
	slice name, display, device; /* in text */
	char *old_hash;              /* owned */
	uint64_t user, session;
	char token[128];
	size_t token_len;
	struct toll toll;         /* what was paid for the attempt */
	struct buf text;          /* what the slices point into; never grows after the start */
	struct sync_command sync; /* owned copies within text and cursors */
	struct op_cursor *cursors;
};

static void
wipe(char *secret)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, strlen(secret));
	mem_free(secret);
}

static void
login_free(void *context)
{
	struct login *login = context;

	wipe(login->password);
	wipe(login->fresh);
	mem_free(login->old_hash);
	explicit_bzero(login->token, sizeof(login->token));
	buf_fini(&login->text);
	mem_free(login->cursors);
	mem_free(login);
}

static slice
login_keep(struct login *login, slice s)
{
	slice kept = SLICE_NONE;

	if (slice_given(s)) {
		kept = slice_of(buf_reserve(&login->text, s.len), s.len);
		buf_append(&login->text, s.ptr, s.len);
	}
	return kept;
}

static struct login *
login_begin(struct call *call, const struct sync_command *sync, size_t text_bytes)
{
	struct login *login = mem_zalloc(sizeof(*login));

	call->context = login;
	call->context_free = login_free;
	/* One block that never moves, so that slices into it stay good. */
	(void)buf_reserve(&login->text, text_bytes + sync->epoch.len + 64);
	login->sync = *sync;
	login->sync.epoch = login_keep(login, sync->epoch);
	if (sync->cursor_count > 0) {
		login->cursors = mem_resize(NULL, sync->cursor_count, sizeof(*login->cursors));
		memcpy(login->cursors, sync->cursors, sync->cursor_count * sizeof(*login->cursors));
	}
	login->sync.cursors = login->cursors;
	return login;
}

/* The connection is as if nothing had been tried. */
static void
login_fault(struct call *call, struct fault fault)
{
	struct login *login = call->context;

	/* What was no fault of the attempt is paid back. */
	if (login != NULL && (fault.err == ERR_BUSY || fault.err == ERR_UNAVAILABLE ||
				 fault.err == ERR_LIMIT || fault.err == ERR_INTERNAL))
		toll_refund(call->peer->shard, &login->toll);
	if (call->id == peer_entering(call->peer))
		peer_retreat(call->peer);
	call_fault(call, fault);
}

static void
login_fail(struct call *call, enum err err)
{
	login_fault(call, (struct fault){.err = err});
}

static bool
may_enter(struct call *call)
{
	if (call->peer->state == PEER_NEW && !call->peer->revoked)
		return true;
	call_fail(call, call->peer->revoked ? ERR_SESSION_REVOKED : ERR_ALREADY_LOGGED_IN);
	return false;
}

static bool
device_valid(struct call *call, slice device)
{
	if (!slice_given(device) || text_valid(device, 0, DEVICE_MAX_CHARS))
		return true;
	call_fail_param(call, ERR_INVALID_PARAMS, "device");
	return false;
}

static bool
password_valid(struct call *call, slice password, const char *param)
{
	struct fault fault = {.err = ERR_TOO_LARGE, .param = param, .max = PASSWORD_MAX_BYTES};

	if (password.len <= PASSWORD_MAX_BYTES)
		return true;
	call_fault(call, fault);
	return false;
}

/* --- Hashing --- */

static void
hash_begin(struct call *call, const char *verify, bool want_hash)
{
	struct login *login = call->context;
	struct shard *shard = call->peer->shard;
	struct hash_job *job = mem_zalloc(sizeof(*job));

	job->mail.kind = MAIL_HASH_DONE;
	job->shard = (uint16_t)shard->config.index;
	job->call = call->id;
	job->password = mem_dup(slice_str(login->password));
	job->password_len = strlen(login->password);
	if (login->fresh != NULL) {
		job->fresh = mem_dup(slice_str(login->fresh));
		job->fresh_len = strlen(login->fresh);
	}
	assert(strlen(verify) < sizeof(job->verify));
	memcpy(job->verify, verify, strlen(verify) + 1);
	job->want_hash = want_hash;
	shard->config.ports.hash(shard->config.ports.cookie, job);
}

/* Sessions that were not used since then are expired. */
static uint64_t
oldest_seen(const struct shard *shard)
{
	uint64_t token_ms = shard->config.limits.token_ms;

	return shard->real_ms > token_ms ? shard->real_ms - token_ms : 0;
}

/* The operation that makes a session, with all that REGISTER and LOGIN have in common. */
static struct op *
session_op(struct call *call, enum op_kind kind, const char *password_hash)
{
	struct login *login = call->context;
	struct op *op = op_create(kind);

	token_make(login->token);
	login->token_len = TOKEN_TEXT_BYTES;
	login->session = random_id();
	op->call = call->id;
	op->user = op->session.uid = login->user;
	op->session.name = op_copy(op, login->name);
	op->session.display = op_copy(op, login->display);
	op->session.device = op_copy(op, slice_given(login->device) ? login->device : S(""));
	op->session.ip = op_copy(op, slice_str(call->peer->busy->ip));
	op->session.password_hash = op_copy(op, slice_str(password_hash));
	op->session.session = login->session;
	op->session.sessions_max = call->peer->shard->config.limits.sessions;
	op->session.oldest_seen = oldest_seen(call->peer->shard);
	secret_hash(slice_of(login->token, login->token_len), op->session.token_hash);
	return op;
}

static void
register_hashed(struct call *call, const struct hash_job *job)
{
	shard_submit(call->peer->shard, session_op(call, OP_REGISTER, job->hash));
}

static void
login_verified(struct call *call, const struct hash_job *job)
{
	struct shard *shard = call->peer->shard;
	struct login *login = call->context;
	struct op *op;

	if (!job->verified || job->verify[0] == '\0') {
		login_fail(call, ERR_BAD_CREDENTIALS);
		return;
	}
	toll_refund(shard, &login->toll);
	op = session_op(call, OP_LOGIN, job->verify);
	op->mail.kind = MAIL_WITH_ONLINE;
	op->origin = (uint16_t)shard->config.index;
	shard_post(shard, shard_of(shard, op->user), &op->mail);
}

static void
password_verified(struct call *call, const struct hash_job *job)
{
	struct login *login = call->context;
	struct op *op;

	if (!job->verified) {
		call_fail(call, ERR_BAD_CREDENTIALS);
		return;
	}
	toll_refund(call->peer->shard, &login->toll);
	op = op_create(OP_PASSWORD);
	op->call = call->id;
	op->user = call->peer->user;
	op->password.old_hash = op_copy(op, slice_str(job->verify));
	op->password.new_hash = op_copy(op, slice_str(job->hash));
	op->password.except = call->peer->session;
	shard_submit(call->peer->shard, op);
}

void
login_hash_done(struct shard *shard, struct hash_job *job)
{
	struct call *call = call_find(shard, job->call);

	if (call != NULL && job->busy) {
		stat_add(STAT_HASH_BUSY, 1);
		login_fault(call, (struct fault){.err = ERR_BUSY, .retry_after_ms = 1000});
	} else if (call != NULL) {
		const struct login *login = call->context;

		if (login->registers)
			register_hashed(call, job);
		else if (login->changes)
			password_verified(call, job);
		else
			login_verified(call, job);
	}
	wipe(job->password);
	wipe(job->fresh);
	mem_free(job);
}

/* --- The three ways in --- */

/* False, and the call is answered, if such attempts come too fast. */
static bool
may_try(struct call *call, const struct toll *toll)
{
	struct fault fault = toll_pay(call->peer->shard, toll, 1);

	if (fault.err == ERR_OK)
		return true;
	call_fault(call, fault);
	return false;
}

static bool
register_valid(
    struct call *call, const struct register_command *cmd, char name[NAME_MAX_BYTES], slice *folded)
{
	const struct chat_limits *limits = &call->peer->shard->config.limits;

	if (!limits->registration_open)
		call_fail(call, ERR_FORBIDDEN);
	else if (!name_fold(cmd->user, name, folded))
		call_fail_param(call, ERR_INVALID_PARAMS, "user");
	else if (name_reserved(*folded))
		call_fail_param(call, ERR_NAME_TAKEN, "user");
	else if (slice_given(cmd->display) && !text_valid(cmd->display, 1, DISPLAY_MAX_CHARS))
		call_fail_param(call, ERR_INVALID_PARAMS, "display");
	else if (password_valid(call, cmd->password, "password") &&
		 device_valid(call, cmd->device)) {
		if (password_strong(cmd->password))
			return true;
		call_fail_param(call, ERR_WEAK_PASSWORD, "password");
	}
	return false;
}

void
chat_register(struct peer *peer, const struct call_tag *tag, const struct register_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	char name[NAME_MAX_BYTES];
	struct toll toll = toll_register(peer);
	struct login *login;
	slice folded;

	if (!may_enter(call) || call_shed(call, PRESSURE_REGISTER) ||
	    !register_valid(call, cmd, name, &folded) || !may_try(call, &toll))
		return;
	peer->state = PEER_ENTERING;
	peer_busy(peer)->entering = call->id;
	login = login_begin(call, &cmd->sync, 2 * folded.len + cmd->display.len + cmd->device.len);
	login->registers = true;
	login->toll = toll;
	login->name = login_keep(login, folded);
	login->display = login_keep(login, slice_given(cmd->display) ? cmd->display : folded);
	login->device = login_keep(login, cmd->device);
	login->password = mem_dup(cmd->password);
	hash_begin(call, "", true);
}

static void
auth_begin(struct call *call)
{
	const struct login *login = call->context;
	struct op *op = op_create(OP_AUTH);

	op->call = call->id;
	op->auth.name = op_copy(op, login->name);
	op->auth.uid = login->changes ? call->peer->user : 0;
	shard_submit(call->peer->shard, op);
}

void
chat_login(struct peer *peer, const struct call_tag *tag, const struct login_command *cmd)
{
	struct call *call = call_begin(peer, tag, true);
	char name[NAME_MAX_BYTES];
	struct login *login;
	struct toll toll;
	slice folded;

	if (!may_enter(call) || call_shed(call, PRESSURE_LOGIN))
		return;
	if (!name_fold(cmd->user, name, &folded)) {
		call_fail_param(call, ERR_INVALID_PARAMS, "user");
		return;
	}
	toll = toll_login(peer, folded);
	if (!password_valid(call, cmd->password, "password") || !device_valid(call, cmd->device) ||
	    !may_try(call, &toll))
		return;
	peer->state = PEER_ENTERING;
	peer_busy(peer)->entering = call->id;
	/* The display name comes with AUTH. */
	login = login_begin(call, &cmd->sync, folded.len + cmd->device.len + 4 * DISPLAY_MAX_CHARS);
	login->toll = toll;
	login->name = login_keep(login, folded);
	login->device = login_keep(login, cmd->device);
	login->password = mem_dup(cmd->password);
	auth_begin(call);
}

void
chat_resume(struct peer *peer, const struct call_tag *tag, const struct resume_command *cmd)
{
	struct call *call = call_begin(peer, tag, false);
	struct shard *shard = peer->shard;
	struct toll toll = toll_resume(peer, cmd->token);
	struct login *login;
	struct op *op;

	if (!may_enter(call) || call_shed(call, PRESSURE_RESUME) || !may_try(call, &toll))
		return;
	login = login_begin(call, &cmd->sync, NAME_MAX_BYTES + 4 * DISPLAY_MAX_CHARS);
	login->toll = toll;
	if (cmd->token.len == 0 || cmd->token.len > sizeof(login->token)) {
		call_fail(call, ERR_TOKEN_INVALID);
		return;
	}
	peer->state = PEER_ENTERING;
	peer_busy(peer)->entering = call->id;
	memcpy(login->token, cmd->token.ptr, cmd->token.len);
	login->token_len = cmd->token.len;
	op = op_create(OP_RESUME);
	op->call = call->id;
	op->resume.oldest_seen = oldest_seen(shard);
	secret_hash(cmd->token, op->resume.token_hash);
	shard_submit(shard, op);
}

static void
auth_done(struct call *call, struct op *op)
{
	struct login *login = call->context;

	if (op->auth.found) {
		login->user = op->auth.uid;
		login->display = login_keep(login, op->auth.display);
		login->old_hash = mem_dup(op->auth.password_hash);
		hash_begin(call, login->old_hash, login->changes);
		return;
	}
	/* An unknown user costs what a known one does: a hash that nothing is compared with. */
	hash_begin(call, "", true);
}

/* --- Attaching --- */

static void
attach_begin(struct call *call)
{
	struct login *login = call->context;
	struct shard *shard = call->peer->shard;
	struct user_mail *mail = user_mail_create(shard, MAIL_ATTACH, login->user);

	mail->call = call->id;
	mail->peer = call->peer->id;
	mail->session = login->session;
	mail->at_ns = call->started_ns;
	mail->name = mem_dup(login->name);
	mail->display = mem_dup(login->display);
	shard_post(shard, shard_of(shard, login->user), &mail->mail);
}

static void
session_answer(struct call *call, const struct sync_answer *sync, size_t *ret_used)
{
	const struct login *login = call->context;
	struct peer *peer = call->peer;
	struct answer answer = {.kind = ANSWER_SESSION};
	char session[24];

	mem_free(peer->busy->ip); /* not needed any more */
	peer->busy->ip = NULL;
	peer_settle_soon(peer);
	(void)snprintf(session, sizeof(session), "%" PRIu64, peer->session);
	answer.session.uid = peer->user;
	answer.session.user = peer_name(peer);
	answer.session.display = login->display;
	answer.session.token = slice_of(login->token, login->token_len);
	answer.session.session = slice_str(session);
	answer.session.epoch = slice_str(peer->shard->config.epoch);
	answer.session.sync = sync;
	peer->shard->config.out.answer(peer->out, &call->tag, &answer, ret_used);
	call_drop(call);
}

void
login_answer_synced(struct call *call, const struct sync_answer *sync, size_t *ret_used)
{
	session_answer(call, sync, ret_used);
}

/* The home has a connection that is gone, or that gave up. */
static void
attach_undo(struct shard *shard, struct user_mail *mail)
{
	mail->mail.kind = MAIL_DETACH;
	mail->from = shard->config.index;
	shard_post(shard, shard_of(shard, mail->user), &mail->mail);
}

void
login_attached(struct shard *shard, struct user_mail *mail)
{
	struct call *call = call_find(shard, mail->call);
	struct peer *peer = call != NULL ? call->peer : NULL;
	struct login *login;
	size_t used = 0;

	if (call == NULL) {
		if (mail->fault.err == ERR_OK)
			attach_undo(shard, mail);
		else
			user_mail_destroy(mail);
		return;
	}
	if (mail->fault.err != ERR_OK) {
		login_fault(call, mail->fault);
		user_mail_destroy(mail);
		return;
	}
	login = call->context;
	peer->attached = true;
	peer->state = PEER_READY;
	peer->user = mail->user;
	peer->session = mail->session;
	peer_set_name(peer, slice_str(mail->name));
	gauge_add(GAUGE_SESSIONS, 1);
	rates_remember(peer, peer_name(peer), slice_of(login->token, login->token_len));
	user_mail_destroy(mail);
	if (login->sync.given)
		sync_begin(call, &login->sync);
	else
		session_answer(call, NULL, &used);
}

/* --- What comes back from the store --- */

/* Tells the user's home which sessions ended; session 0: all but `except`.  asker: is not closed by
 * this; or NULL. */
static void
revoke_tell(
    struct shard *shard, uint64_t user, const struct peer *asker, uint64_t session, uint64_t except)
{
	struct user_mail *mail = user_mail_create(shard, MAIL_REVOKE, user);

	mail->session = session;
	mail->except = except;
	mail->at_ns = shard->mono_ns;
	mail->peer = asker != NULL ? asker->id : 0;
	cluster_tell(shard, RING_USER, user, &mail->mail);
}

/* Whether or not the connection that asked is still there. */
static void
ended_tell(struct shard *shard, const struct call *call, const struct op *op)
{
	const struct peer *asker = call != NULL ? call->peer : NULL;

	if (op->fault.err == ERR_UNKNOWN_OUTCOME) {
		struct user_mail *mail = user_mail_create(shard, MAIL_VERIFY, op->user);

		cluster_tell(shard, RING_USER, op->user, &mail->mail);
	} else if (op->fault.err == ERR_OK) {
		if (op->kind == OP_REVOKE)
			revoke_tell(shard, op->user, asker, op->revoke.session, op->revoke.except);
		else
			revoke_tell(shard, op->user, asker, 0, op->password.except);
	}
}

static void
revoke_done(struct call *call, struct op *op)
{
	struct peer *peer = call->peer;
	bool own = op->revoke.session == peer->session;

	call_done(call);
	/* logout says no more; who revokes his own session hears of it like everybody else. */
	if (op->context != 0)
		peer_end(peer);
	else if (own)
		peer_kill(peer, GOAWAY_REVOKED);
}

static void
session_made(struct call *call, struct op *op)
{
	struct login *login = call->context;

	login->user = op->session.uid;
	stat_add(op->kind == OP_REGISTER ? STAT_REGISTERS : STAT_LOGINS, 1);
	attach_begin(call);
}

static void
resume_done(struct call *call, struct op *op)
{
	struct login *login = call->context;
	struct op *touch = op_create(OP_TOUCH);

	toll_refund(call->peer->shard, &login->toll);
	login->user = op->resume.uid;
	login->session = op->resume.session;
	login->name = login_keep(login, op->resume.name);
	login->display = login_keep(login, op->resume.display);
	touch->touch.session = login->session;
	touch->touch.ip = op_copy(touch, slice_str(call->peer->busy->ip));
	touch->touch.seen = call->peer->shard->real_ms;
	shard_submit(call->peer->shard, touch);
	stat_add(STAT_RESUMES, 1);
	attach_begin(call);
}

static void
sessions_done(struct call *call, struct op *op)
{
	struct answer answer = {.kind = ANSWER_SESSIONS};
	uint64_t oldest = oldest_seen(call->peer->shard);
	size_t kept = 0;

	for (size_t i = 0; i < op->sessions.count; i++)
		if (op->sessions.items[i].seen >= oldest)
			op->sessions.items[kept++] = op->sessions.items[i];
	answer.sessions.items = op->sessions.items;
	answer.sessions.count = kept;
	answer.sessions.current = call->peer->session;
	answer.sessions.online = op->sessions.online;
	answer.sessions.online_count = op->sessions.online_count;
	call_answer(call, &answer);
}

static void
live_done(struct shard *shard, const struct op *op)
{
	if (op->user != 0) { /* one user's, on his home */
		for (size_t k = 0; k < op->live.count; k++)
			revoke_tell(shard, op->user, NULL, op->live.gone[k], 0);
		return;
	}
	for (uint32_t i = 0; i < shard->peer_capacity && op->live.count > 0; i++) {
		struct peer *peer = peer_there(shard, i);

		for (size_t k = 0; peer != NULL && peer->attached && k < op->live.count; k++)
			if (peer->session == op->live.gone[k])
				peer_kill(peer, GOAWAY_REVOKED);
	}
}

void
login_op_done(struct shard *shard, struct op *op)
{
	struct call *call = call_find(shard, op->call);

	if (op->kind == OP_LIVE && op->fault.err != ERR_OK) {
		shard_retry(shard, op);
		return;
	}
	if (op->kind == OP_LIVE)
		live_done(shard, op);
	if (op->kind == OP_REVOKE || op->kind == OP_PASSWORD)
		ended_tell(shard, call, op);
	if (op->kind == OP_LOGIN && op->fault.err == ERR_OK && op->session.evicted != 0)
		revoke_tell(shard, op->user, NULL, op->session.evicted, 0);
	if (call != NULL && op->fault.err != ERR_OK) {
		login_fault(call, op->fault);
	} else if (call != NULL) {
		switch ((enum op_kind)op->kind) {
		case OP_AUTH:
			auth_done(call, op);
			break;
		case OP_REGISTER:
		case OP_LOGIN:
			session_made(call, op);
			break;
		case OP_RESUME:
			resume_done(call, op);
			break;
		case OP_REVOKE:
			revoke_done(call, op);
			break;
		case OP_PASSWORD:
			call_done(call);
			break;
		case OP_SESSIONS:
			sessions_done(call, op);
			break;
		default:
			panic("operation %s is not one of logins", op_name(op->kind));
		}
	}
	op_destroy(&op);
}

/* --- Leaving, sessions, passwords --- */

static void
revoke_begin(struct call *call, uint64_t session, bool logout)
{
	struct op *op = op_create(OP_REVOKE);

	op->call = call->id;
	op->user = call->peer->user;
	op->revoke.session = session;
	op->context = logout;
	shard_submit(call->peer->shard, op);
}

void
chat_logout(struct peer *peer, const struct call_tag *tag, bool all)
{
	struct call *call = call_begin(peer, tag, true);

	if (peer_check(call))
		revoke_begin(call, all ? 0 : peer->session, true);
}

void
chat_session_revoke(struct peer *peer, const struct call_tag *tag, slice session)
{
	struct call *call = call_begin(peer, tag, true);
	uint64_t id = 0;

	if (!peer_check(call))
		return;
	for (size_t i = 0; i < session.len && session.len <= 16; i++) {
		if (session.ptr[i] < '0' || session.ptr[i] > '9') {
			id = 0;
			break;
		}
		id = id * 10 + (uint64_t)(session.ptr[i] - '0');
	}
	if (id == 0)
		call_fail_param(call, ERR_NOT_FOUND, "session");
	else
		revoke_begin(call, id, false);
}

void
chat_session_list(struct peer *peer, const struct call_tag *tag)
{
	struct call *call = call_begin(peer, tag, false);
	struct op *op;

	if (!peer_check(call))
		return;
	op = op_create(OP_SESSIONS);
	op->call = call->id;
	op->user = peer->user;
	op->mail.kind = MAIL_WITH_ONLINE;
	op->origin = (uint16_t)peer->shard->config.index;
	shard_post(peer->shard, shard_of(peer->shard, peer->user), &op->mail);
}

void
chat_password_change(struct peer *peer, const struct call_tag *tag, slice old, slice fresh)
{
	struct call *call = call_begin(peer, tag, true);
	struct toll toll;
	struct login *login;

	if (!peer_check(call) || !password_valid(call, old, "old") ||
	    !password_valid(call, fresh, "new"))
		return;
	if (!password_strong(fresh)) {
		call_fail_param(call, ERR_WEAK_PASSWORD, "new");
		return;
	}
	toll = toll_password(peer, peer_name(peer));
	if (!may_try(call, &toll))
		return;
	login = login_begin(call, &(struct sync_command){0}, 4 * DISPLAY_MAX_CHARS);
	login->changes = true;
	login->toll = toll;
	login->password = mem_dup(old);
	login->fresh = mem_dup(fresh);
	auth_begin(call);
}

void
sessions_check(struct shard *shard)
{
	struct op *op = op_create(OP_LIVE);
	uint64_t *sessions = op_alloc(op, (shard->peer_count + 1) * sizeof(*sessions));
	size_t count = 0;

	for (uint32_t i = 0; i < shard->peer_capacity; i++)
		if (peer_at(shard, i)->attached)
			sessions[count++] = peer_at(shard, i)->session;
	op->live.sessions = sessions;
	op->live.want = count;
	if (count > 0)
		shard_submit(shard, op);
	else
		op_destroy(&op);
}

void
shard_check_sessions(struct shard *shard)
{
	sessions_check(shard);
	/* Once more for logins that are on their way now, and saw the store as it was. */
	shard->check_ms = shard->mono_ms + CALL_DEADLINE_MS;
}

void
login_again(struct shard *shard, struct op *op)
{
	assert(op->kind == OP_LIVE);
	if (op->user != 0)
		user_verify(shard, user_mail_create(shard, MAIL_VERIFY, op->user));
	else
		sessions_check(shard);
}
