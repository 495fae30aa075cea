/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/fold.h"
#include "store/memory_db.h"

/* --- Entries --- */

static struct mem_sent *
sent_create(const struct entry *entry)
{
	struct mem_sent *sent = mem_zalloc(sizeof(*sent) + sizeof(entry->sender) + entry->cmid.len);

	sent->len = sizeof(entry->sender) + entry->cmid.len;
	memcpy(sent->key, &entry->sender, sizeof(entry->sender));
	if (entry->cmid.len > 0)
		memcpy(sent->key + sizeof(entry->sender), entry->cmid.ptr, entry->cmid.len);
	return sent;
}

struct mem_sent *
mem_sent_of(const struct mem_conv *conv, const struct entry *entry)
{
	struct mem_sent *probe, *found;

	if (!slice_given(entry->cmid))
		return NULL;
	probe = sent_create(entry);
	found = smap_get(&conv->sent, slice_of(probe->key, probe->len));
	mem_free(probe);
	return found;
}

static struct entry *
find_sent(const struct mem_conv *conv, const struct entry *entry)
{
	const struct mem_sent *found = conv != NULL ? mem_sent_of(conv, entry) : NULL;

	return found != NULL ? found->entry : NULL;
}

static struct mem_conv *
direct_create(struct memory *m, const struct op *op)
{
	uint64_t peer = op->append.target.peer;
	uint64_t lo = op->user < peer ? op->user : peer, hi = op->user < peer ? peer : op->user;
	struct conv_row row = {
	    .kind = CONV_DIRECT,
	    .lo = lo,
	    .hi = hi,
	    .acl_ver = 1,
	    .min_seq = 1,
	    .lo_name = short_name_of(mem_user_name(m, lo)),
	    .hi_name = short_name_of(mem_user_name(m, hi)),
	};
	struct mem_conv *conv = mem_conv_add(m, &row, SLICE_NONE);

	mem_member_put(m, conv, lo)->row.join_seq = 1;
	mem_member_put(m, conv, hi)->row.join_seq = 1;
	return conv;
}

void
mem_log_push(struct mem_conv *conv, struct entry *entry)
{
	struct mem_sent *sent;

	assert(entry->seq == conv->row.head + 1);
	if (conv->log_count == conv->log_capacity) {
		conv->log_capacity = conv->log_capacity > 0 ? conv->log_capacity * 2 : 8;
		conv->log = mem_resize(conv->log, conv->log_capacity, sizeof(struct entry *));
	}
	conv->row.head = entry->seq;
	conv->row.ts = entry->ts;
	conv->log[conv->log_count++] = entry_ref(entry);
	if (slice_given(entry->cmid)) {
		sent = sent_create(entry);
		sent->entry = entry;
		smap_put(&conv->sent, slice_of(sent->key, sent->len), sent);
	}
	stat_add(STAT_STORE_APPENDS, 1);
}

static void
append_push(struct mem_conv *conv, struct op *op, uint64_t now_ms)
{
	uint64_t ts = now_ms > conv->row.ts ? now_ms : conv->row.ts;

	append_done(op, &conv->row, conv->row.head + 1, ts);
	mem_log_push(conv, op->append.entry);
}

/* Reads the rights if they may have changed since the sender was found to be allowed. */
static enum err
append_rights(struct memory *m, struct op *op, const struct mem_conv *conv)
{
	struct member_row member;
	enum err err;

	if (conv != NULL && op->append.acl_ver != 0 && op->append.acl_ver == conv->row.acl_ver)
		return ERR_OK;
	if ((err = mem_rights_send(m, op, &op->append.target, conv)) != ERR_OK)
		return err;
	op->append.min_seq = 1;
	if (conv != NULL) {
		member = mem_member_row(conv, op->user);
		op->append.min_seq = member_min_seq(&conv->row, &member);
	}
	return ERR_OK;
}

size_t
mem_memberships(struct memory *m, uint64_t user)
{
	const struct mem_member *member;
	size_t count = 0;

	for (size_t at = 0; (member = map_next(&mem_user_get(m, user)->members, &at)) != NULL;) {
		struct member_row row = mem_member_now(map_get(&m->convs, member->cid), member);

		count += member_standing(&row) == STANDING_MEMBER;
	}
	return count;
}

static bool
append_allowed(struct memory *m, struct op *op, const struct mem_conv *conv)
{
	uint64_t re = op->append.entry->re;
	struct msg_row msg;
	enum err err;

	if (op->fault.err != ERR_OK)
		return false;
	if ((err = append_rights(m, op, conv)) != ERR_OK) {
		op_fail(op, err, NULL);
	} else if (op->append.what == APPEND_EDIT) {
		msg = mem_msg_row(conv, re);
		op->fault = rights_edit(op, &msg);
	} else if (re != 0 && (conv == NULL || re < op->append.min_seq || re > conv->row.head)) {
		op_fail(op, ERR_NOT_FOUND, "re");
	} else if (conv == NULL && mem_memberships(m, op->user) >= op->append.conversations_max) {
		op->fault = (struct fault){.err = ERR_LIMIT, .max = op->append.conversations_max};
	}
	return op->fault.err == ERR_OK;
}

static void
append_to(struct memory *m, struct op *op, struct mem_conv **conv, uint64_t now_ms)
{
	struct entry *found = find_sent(*conv, op->append.entry);

	if (found != NULL) {
		append_found(op, found);
		return;
	}
	if (!append_allowed(m, op, *conv))
		return;
	op->append.created = *conv == NULL;
	if (*conv == NULL)
		*conv = direct_create(m, op);
	op->append.target.cid = (*conv)->row.cid;
	append_push(*conv, op, now_ms);
	if (op->append.what == APPEND_EDIT)
		mem_edit_apply(*conv, op->append.entry);
}

static struct fault
delete_rights(
    struct memory *m, struct op *op, const struct mem_conv *conv, const struct msg_row *msg)
{
	struct member_row member = mem_member_row(conv, op->user);
	struct peer_row peer = {0};

	if (conv->row.kind == CONV_DIRECT && conv_has(&conv->row, op->user))
		peer = mem_peer_row(m, op->user, conv_other(&conv->row, op->user));
	op->append.min_seq = member_min_seq(&conv->row, &member);
	return rights_delete(op, &conv->row, &member, &peer, msg);
}

static void
delete_from(struct memory *m, struct op *op, struct mem_conv *conv, uint64_t now_ms)
{
	uint64_t seq = op->append.entry->re;
	struct msg_row msg = mem_msg_row(conv, seq);
	bool again = msg.deleted != 0 && msg.deleter == op->user;

	if (op->fault.err == ERR_OK && !again)
		op->fault = delete_rights(m, op, conv, &msg);
	if (again || (op->fault.err == ERR_OK && msg.deleted != 0)) {
		append_deleted(op, &conv->row, &msg);
	} else if (op->fault.err == ERR_OK) {
		append_push(conv, op, now_ms);
		mem_delete_apply(conv, seq, op->append.seq);
		op->append.acl_ver = 0; /* who may delete may not be allowed to send */
	}
}

void
mem_append(struct memory *m, struct op *op, uint64_t now_ms)
{
	uint64_t guess = op->append.target.cid;
	struct mem_conv *conv;
	const char *param;
	enum err err = mem_resolve(m, op, &op->append.target, &conv, &param);

	if (op->append.target.cid != guess)
		op->append.acl_ver = 0; /* that was of another conversation */
	op->append.created = op->append.dup = false;
	if (err == ERR_OK && conv == NULL && op->append.what != APPEND_MESSAGE)
		err = ERR_NOT_FOUND;
	if (err != ERR_OK) {
		if (op->fault.err == ERR_OK)
			op_fail(op, err, param);
		return;
	}
	if (op->append.what == APPEND_DELETE)
		delete_from(m, op, conv, now_ms);
	else
		append_to(m, op, &conv, now_ms);
	if (op->fault.err == ERR_OK && (op->append.created || op->append.want_facts))
		conv_facts_fill(op, &conv->row, &op->append.facts);
}

void
mem_mark(struct memory *m, struct op *op)
{
	struct mem_conv *conv;
	struct mem_member *member;
	struct member_row row = {0};
	const char *param;
	enum err err;

	if (op->mark.heard_by != 0) { /* it knows what all nodes wrote */
		op->mark.changed = true;
		return;
	}
	err = mem_resolve(m, op, &op->mark.target, &conv, &param);

	if (err == ERR_OK && conv == NULL)
		err = ERR_NOT_FOUND;
	if (err == ERR_OK) {
		row = mem_member_row(conv, op->user);
		err = rights_see(&conv->row, op->user, &row, true);
	}
	op_fail(op, err, param);
	if (err != ERR_OK)
		return;
	member = mem_member_put(m, conv, op->user);
	(void)marks_grow(op, conv->row.head, &member->row.read, &member->row.delivered);
	if (conv->row.kind == CONV_DIRECT && mem_blocked(m, op->user, op->mark.target.peer))
		op->mark.target.peer = 0; /* he is not told */
}

/* --- Accounts and sessions --- */

static void
token_add(struct memory *m, struct op *op, struct mem_user *user, uint64_t now_ms)
{
	struct mem_token *token = mem_zalloc(sizeof(*token));

	memcpy(token->hash, op->session.token_hash, sizeof(token->hash));
	token->session = op->session.session;
	token->user = user->id;
	token->device = mem_own(op->session.device);
	token->ip = mem_own(op->session.ip);
	token->created = token->seen = now_ms;
	list_push_back(&user->tokens, &token->of_user);
	map_put(&m->sessions, token->session, token);
	smap_put(&m->tokens, slice_of((const char *)token->hash, sizeof(token->hash)), token);
}

static void
user_register(struct memory *m, struct op *op, uint64_t now_ms)
{
	struct mem_user *user;

	if (smap_get(&m->names, op->session.name) != NULL) {
		op_fail(op, ERR_NAME_TAKEN, NULL);
		return;
	}
	user = mem_zalloc(sizeof(*user));
	user->id = op->session.uid = ++m->last_user;
	user->name = mem_own(op->session.name);
	user->display =
	    mem_own(slice_given(op->session.display) ? op->session.display : op->session.name);
	text_fold(user->display, &user->folded);
	user->status = mem_own(S(""));
	user->password_hash = mem_own(op->session.password_hash);
	user->created = user->seen = now_ms;
	list_init(&user->tokens);
	map_put(&m->users, user->id, user);
	smap_put(&m->names, user->name, user);
	token_add(m, op, user, now_ms);
}

static bool
is_online(const struct op *op, uint64_t session)
{
	for (size_t i = 0; i < op->session.online_count; i++)
		if (op->session.online[i] == session)
			return true;
	return false;
}

static struct mem_token *
next_token(const struct mem_user *user, struct mem_token *token)
{
	struct list *next = token != NULL ? token->of_user.next : user->tokens.next;

	return next != &user->tokens ? container_of(next, struct mem_token, of_user) : NULL;
}

static void
tokens_expire(struct memory *m, struct mem_user *user, uint64_t oldest_seen)
{
	for (struct mem_token *token = next_token(user, NULL), *next; token != NULL; token = next) {
		next = next_token(user, token);
		if (token->seen < oldest_seen)
			mem_token_drop(m, token);
	}
}

/* Makes room for one more session; false if all have a connection. */
static bool
tokens_make_room(struct memory *m, struct op *op, struct mem_user *user)
{
	struct mem_token *oldest = NULL;
	uint64_t count = 0;

	for (struct mem_token *token = next_token(user, NULL); token != NULL;
	     token = next_token(user, token)) {
		count++;
		if (!is_online(op, token->session) &&
		    (oldest == NULL || token->seen < oldest->seen))
			oldest = token;
	}
	if (count < op->session.sessions_max)
		return true;
	if (oldest == NULL)
		return false;
	op->session.evicted = oldest->session;
	mem_token_drop(m, oldest);
	return true;
}

static void
user_login(struct memory *m, struct op *op, uint64_t now_ms)
{
	struct mem_user *user = mem_user_get(m, op->session.uid);

	if (user == NULL || user->account != ACCOUNT_ACTIVE ||
	    !slice_eq(user->password_hash, op->session.password_hash)) {
		op_fail(op, ERR_BAD_CREDENTIALS, NULL);
		return;
	}
	tokens_expire(m, user, op->session.oldest_seen);
	if (!tokens_make_room(m, op, user)) {
		op->fault = (struct fault){.err = ERR_LIMIT, .max = op->session.sessions_max};
		return;
	}
	token_add(m, op, user, now_ms);
}

void
mem_tokens_drop_but(struct memory *m, struct mem_user *user, uint64_t except)
{
	for (struct mem_token *token = next_token(user, NULL), *next; token != NULL; token = next) {
		next = next_token(user, token);
		if (token->session != except)
			mem_token_drop(m, token);
	}
}

static void
sessions_revoke(struct memory *m, struct op *op)
{
	struct mem_user *user = mem_user_get(m, op->user);
	struct mem_token *token = map_get(&m->sessions, op->revoke.session);

	if (op->revoke.session == 0) {
		if (user != NULL)
			mem_tokens_drop_but(m, user, op->revoke.except);
	} else if (token == NULL || token->user != op->user) {
		op_fail(op, ERR_NOT_FOUND, NULL);
	} else {
		mem_token_drop(m, token);
	}
}

static void
password_change(struct memory *m, struct op *op)
{
	struct mem_user *user = mem_user_get(m, op->user);

	if (user == NULL || user->account != ACCOUNT_ACTIVE ||
	    !slice_eq(user->password_hash, op->password.old_hash)) {
		op_fail(op, ERR_BAD_CREDENTIALS, NULL);
		return;
	}
	mem_own_set(&user->password_hash, op->password.new_hash);
	mem_tokens_drop_but(m, user, op->password.except);
}

static void
profile_set(struct memory *m, struct op *op)
{
	struct mem_user *user = mem_user_get(m, op->user);

	if (user == NULL || user->account == ACCOUNT_DELETED) {
		op_fail(op, ERR_NOT_FOUND, NULL);
		return;
	}
	if (slice_given(op->profile_set.display)) {
		mem_own_set(&user->display, op->profile_set.display);
		mem_own_set(&user->folded, SLICE_NONE);
		text_fold(user->display, &user->folded);
	}
	if (slice_given(op->profile_set.status))
		mem_own_set(&user->status, op->profile_set.status);
	if (op->profile_set.accept >= 0)
		user->contacts_only = op->profile_set.accept == 1;
}

static void
presence_set(struct memory *m, struct op *op)
{
	struct mem_user *user = mem_user_get(m, op->user);

	if (user == NULL || user->account == ACCOUNT_DELETED) {
		op_fail(op, ERR_NOT_FOUND, NULL);
		return;
	}
	if (op->presence.state >= 0)
		user->presence = (enum presence)op->presence.state;
	if (slice_given(op->presence.text))
		mem_own_set(&user->presence_text,
		    op->presence.text.len > 0 ? op->presence.text : SLICE_NONE);
	op->presence.now = user->presence;
	op->presence.now_text = op_copy(op, user->presence_text);
}

static void
touch(struct memory *m, const struct op *op)
{
	struct mem_user *user = mem_user_get(m, op->touch.user);
	struct mem_token *token = map_get(&m->sessions, op->touch.session);

	if (user != NULL && op->touch.seen > user->seen)
		user->seen = op->touch.seen;
	if (token == NULL)
		return;
	if (op->touch.seen > token->seen)
		token->seen = op->touch.seen;
	if (slice_given(op->touch.ip))
		mem_own_set(&token->ip, op->touch.ip);
}

void
mem_account(struct memory *m, struct op *op, uint64_t now_ms)
{
	op->fault = (struct fault){0};
	switch ((enum op_kind)op->kind) {
	case OP_REGISTER:
		user_register(m, op, now_ms);
		break;
	case OP_LOGIN:
		user_login(m, op, now_ms);
		break;
	case OP_REVOKE:
		sessions_revoke(m, op);
		break;
	case OP_PASSWORD:
		password_change(m, op);
		break;
	case OP_PROFILE_SET:
		profile_set(m, op);
		break;
	case OP_PRESENCE_SET:
		presence_set(m, op);
		break;
	case OP_TOUCH:
		touch(m, op);
		break;
	case OP_CONTACT:
		mem_contact(m, op);
		break;
	case OP_CLOSE:
		mem_close_account(m, op, now_ms);
		break;
	default:
		panic("store: %s is not a write", op_name(op->kind));
	}
}
