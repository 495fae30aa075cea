/* SPDX-License-Identifier: MIT */
/*
 * The memory store: the same answers as sqlite.c, kept in maps, gone when it is closed.  It has no
 * thread of its own; one lock makes it fit for the worker threads.
 */
#include "store/memory.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/memory_db.h"

static struct memory *
memory_of(struct driver *driver)
{
	assert(driver->type == &memory_driver);
	return container_of(driver, struct memory, base);
}

static struct driver *
memory_open(const struct driver_options *options, char *ret_error, size_t error_size)
{
	struct memory *m = mem_zalloc(sizeof(*m));

	(void)ret_error;
	(void)error_size;
	m->base.type = &memory_driver;
	m->options = *options;
	epoch_make(m->epoch);
	(void)pthread_mutex_init(&m->lock, NULL);
	return &m->base;
}

static void
user_free(struct mem_user *user)
{
	struct mem_contact *contact;

	for (size_t at = 0; (contact = map_next(&user->contacts, &at)) != NULL;) {
		mem_own_set(&contact->note, SLICE_NONE);
		mem_free(contact);
	}
	map_fini(&user->contacts);
	map_fini(&user->hiding);
	map_fini(&user->members);
	mem_own_set(&user->name, SLICE_NONE);
	mem_own_set(&user->display, SLICE_NONE);
	mem_own_set(&user->folded, SLICE_NONE);
	mem_own_set(&user->status, SLICE_NONE);
	mem_own_set(&user->presence_text, SLICE_NONE);
	mem_own_set(&user->password_hash, SLICE_NONE);
	mem_free(user);
}

static void
conv_free(struct mem_conv *conv)
{
	struct mem_member *member;
	struct mem_sent *sent;
	struct entry *written;

	for (size_t i = 0; i < conv->log_count; i++)
		entry_unref(conv->log[i]);
	for (size_t at = 0; (written = map_next(&conv->written, &at)) != NULL;)
		entry_unref(written);
	map_fini(&conv->written);
	for (size_t at = 0; (sent = smap_next(&conv->sent, &at)) != NULL;)
		mem_free(sent);
	for (size_t at = 0; (member = map_next(&conv->members, &at)) != NULL;)
		mem_free(member);
	smap_fini(&conv->sent);
	map_fini(&conv->members);
	mem_free(conv->log);
	mem_own_set(&conv->title, SLICE_NONE);
	mem_own_set(&conv->topic, SLICE_NONE);
	mem_free(conv);
}

static void
token_free(struct mem_token *token)
{
	mem_own_set(&token->device, SLICE_NONE);
	mem_own_set(&token->ip, SLICE_NONE);
	mem_free(token);
}

static void
memory_close(struct driver **driver)
{
	struct memory *m = memory_of(*driver);
	struct mem_user *user;
	struct mem_conv *conv;
	struct mem_token *token;

	for (size_t at = 0; (token = map_next(&m->sessions, &at)) != NULL;)
		token_free(token);
	for (size_t at = 0; (user = map_next(&m->users, &at)) != NULL;)
		user_free(user);
	for (size_t at = 0; (conv = map_next(&m->convs, &at)) != NULL;)
		conv_free(conv);
	map_fini(&m->users);
	map_fini(&m->sessions);
	map_fini(&m->convs);
	smap_fini(&m->names);
	smap_fini(&m->tokens);
	smap_fini(&m->handles);
	smap_fini(&m->directs);
	(void)pthread_mutex_destroy(&m->lock);
	mem_free(m);
	*driver = NULL;
}

/* --- Tables --- */

slice
mem_own(slice s)
{
	return slice_given(s) ? slice_of(mem_dup(s), s.len) : SLICE_NONE;
}

void
mem_own_set(slice *field, slice s)
{
	const char *old = field->ptr;

	*field = mem_own(s);
	mem_free((void *)(uintptr_t)old);
}

struct mem_user *
mem_user_get(struct memory *m, uint64_t id)
{
	return map_get(&m->users, id);
}

struct mem_user *
mem_user_named(struct memory *m, slice name)
{
	struct mem_user *user = smap_get(&m->names, name);

	return user != NULL && user->account != ACCOUNT_DELETED ? user : NULL;
}

slice
mem_user_name(struct memory *m, uint64_t id)
{
	const struct mem_user *user = mem_user_get(m, id);

	return user != NULL && user->account != ACCOUNT_DELETED ? user->name : S("deleted");
}

static slice
pair_key(const struct mem_pair *pair)
{
	return slice_of((const char *)pair, sizeof(*pair));
}

struct mem_conv *
mem_direct(struct memory *m, uint64_t a, uint64_t b)
{
	struct mem_pair pair = {a < b ? a : b, a < b ? b : a};

	return smap_get(&m->directs, pair_key(&pair));
}

void
mem_handle_set(struct memory *m, struct mem_conv *conv, const struct short_name *handle)
{
	if (conv->row.handle.len > 0)
		(void)smap_remove(&m->handles, short_name_slice(&conv->row.handle));
	conv->row.handle = *handle;
	if (handle->len > 0)
		smap_put(&m->handles, short_name_slice(&conv->row.handle), conv);
}

struct mem_conv *
mem_conv_add(struct memory *m, const struct conv_row *row, slice title)
{
	struct mem_conv *conv = mem_zalloc(sizeof(*conv));

	conv->row = *row;
	conv->row.handle = (struct short_name){0};
	conv->row.cid = ++m->last_cid;
	conv->row.head = row->min_seq - 1;
	conv->log_base = row->min_seq;
	conv->title = mem_own(title);
	map_put(&m->convs, conv->row.cid, conv);
	mem_handle_set(m, conv, &row->handle);
	if (row->kind == CONV_DIRECT) {
		conv->pair = (struct mem_pair){row->lo, row->hi};
		smap_put(&m->directs, pair_key(&conv->pair), conv);
	}
	return conv;
}

struct mem_member *
mem_member_put(struct memory *m, struct mem_conv *conv, uint64_t user)
{
	struct mem_member *member = map_get(&conv->members, user);

	if (member != NULL)
		return member;
	member = mem_zalloc(sizeof(*member));
	member->cid = conv->row.cid;
	member->user = user;
	member->row.exists = true;
	member->row.role = ROLE_MEMBER;
	map_put(&conv->members, user, member);
	map_put(&mem_user_get(m, user)->members, conv->row.cid, member);
	return member;
}

struct member_row
mem_member_row(const struct mem_conv *conv, uint64_t user)
{
	const struct mem_member *member = map_get(&conv->members, user);

	return member != NULL ? mem_member_now(conv, member) : (struct member_row){0};
}

struct member_row
mem_member_now(const struct mem_conv *conv, const struct mem_member *member)
{
	struct member_row row = member->row;

	if (conv->row.ended != 0 && !row.left) {
		row.left = true;
		row.leave_seq = conv->row.ended;
	}
	return row;
}

struct entry *
mem_entry_at(const struct mem_conv *conv, uint64_t seq)
{
	if (seq < conv->log_base || seq - conv->log_base >= conv->log_count)
		return NULL;
	return conv->log[seq - conv->log_base];
}

enum contact_state
mem_contact_state(struct memory *m, uint64_t user, uint64_t peer)
{
	const struct mem_user *owner = mem_user_get(m, user);
	const struct mem_contact *contact = owner != NULL ? map_get(&owner->contacts, peer) : NULL;

	return contact != NULL ? contact->state : CONTACT_NONE;
}

void
mem_token_drop(struct memory *m, struct mem_token *token)
{
	(void)map_remove(&m->sessions, token->session);
	(void)smap_remove(&m->tokens, slice_of((const char *)token->hash, sizeof(token->hash)));
	list_remove(&token->of_user);
	token_free(token);
}

/* --- What a target means, and who may write there --- */

static enum err
resolve_person(
    struct memory *m, uint64_t asking, struct op_target *target, struct mem_conv **ret_conv)
{
	const struct mem_user *user = mem_user_named(m, target->user);

	if (user == NULL)
		return ERR_NOT_FOUND;
	target->peer = user->id;
	if (user->id == asking)
		return ERR_INVALID_PARAMS;
	*ret_conv = mem_direct(m, asking, user->id);
	target->cid = *ret_conv != NULL ? (*ret_conv)->row.cid : 0;
	return ERR_OK;
}

enum err
mem_resolve(struct memory *m, const struct op *op, struct op_target *target,
    struct mem_conv **ret_conv, const char **ret_param)
{
	enum err err;

	*ret_conv = NULL;
	*ret_param = NULL;
	if (slice_given(target->user)) {
		err = resolve_person(m, op->user, target, ret_conv);
		*ret_param = err == ERR_INVALID_PARAMS ? "to" : NULL;
		return err;
	}
	*ret_conv = slice_given(target->handle) ? smap_get(&m->handles, target->handle)
						: map_get(&m->convs, target->cid);
	if (*ret_conv == NULL)
		return ERR_NOT_FOUND;
	target->cid = (*ret_conv)->row.cid;
	if ((*ret_conv)->row.kind == CONV_DIRECT && conv_has(&(*ret_conv)->row, op->user))
		target->peer = conv_other(&(*ret_conv)->row, op->user);
	return ERR_OK;
}

struct peer_row
mem_peer_row(struct memory *m, uint64_t asking, uint64_t peer)
{
	const struct mem_user *user = mem_user_get(m, peer), *asker = mem_user_get(m, asking);

	if (user == NULL || user->account == ACCOUNT_DELETED)
		return (struct peer_row){0};
	return (struct peer_row){
	    .exists = true,
	    .blocked = mem_blocked(m, asking, peer),
	    .asker_gone = asker == NULL || asker->account == ACCOUNT_DELETED,
	    .contacts_only = user->contacts_only,
	    .is_contact = mem_contact_state(m, peer, asking) == CONTACT_BOTH,
	};
}

enum err
mem_rights_send(struct memory *m, const struct op *op, const struct op_target *target,
    const struct mem_conv *conv)
{
	struct member_row member;
	struct peer_row peer;

	if (conv != NULL && conv->row.kind == CONV_GROUP) {
		member = mem_member_row(conv, op->user);
		return rights_group(&conv->row, &member, driver_now_ms(&m->options));
	}
	if (conv != NULL && !conv_has(&conv->row, op->user))
		return ERR_NOT_FOUND;
	peer = mem_peer_row(m, op->user, target->peer);
	return rights_direct(&peer, conv == NULL);
}

/* --- The driver's functions --- */

static void
write_one(struct memory *m, struct op *op)
{
	uint64_t now_ms = driver_now_ms(&m->options);

	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		mem_append(m, op, now_ms);
		break;
	case OP_MARK:
		mem_mark(m, op);
		break;
	case OP_RECEIPTS:
		mem_receipts(m, op);
		break;
	case OP_GROUP:
		mem_group(m, op, now_ms);
		break;
	default:
		mem_account(m, op, now_ms);
		break;
	}
}

static void
memory_write(struct driver *driver, struct op **ops, size_t count)
{
	struct memory *m = memory_of(driver);

	(void)pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < count; i++)
		write_one(m, ops[i]);
	(void)pthread_mutex_unlock(&m->lock);
	stat_add(STAT_STORE_BATCHES, 1);
	stat_add(STAT_STORE_ROWS, count);
}

static void
memory_read(struct driver *driver, unsigned reader, struct op *op)
{
	struct memory *m = memory_of(driver);

	(void)reader;
	(void)pthread_mutex_lock(&m->lock);
	mem_read(m, op);
	(void)pthread_mutex_unlock(&m->lock);
}

static uint32_t
memory_tick(struct driver *driver)
{
	(void)driver;
	return 60000;
}

static void
memory_epoch(struct driver *driver, char ret_epoch[EPOCH_BYTES])
{
	memcpy(ret_epoch, memory_of(driver)->epoch, EPOCH_BYTES);
}

static bool
memory_writable(struct driver *driver, const char **ret_why)
{
	(void)driver;
	(void)ret_why;
	return true;
}

static uint64_t
memory_admin_revision(struct driver *driver)
{
	(void)driver;
	return 0;
}

const struct store_driver memory_driver = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .write = memory_write,
    .tick = memory_tick,
    .read = memory_read,
    .epoch = memory_epoch,
    .writable = memory_writable,
    .admin_revision = memory_admin_revision,
};

/* --- For tests --- */

uint64_t
memory_put_conv(struct driver *driver, const struct conv_row *row, slice title)
{
	struct memory *m = memory_of(driver);
	struct mem_conv *conv;
	uint64_t cid;

	(void)pthread_mutex_lock(&m->lock);
	conv = map_get(&m->convs, row->cid);
	if (conv == NULL) {
		conv = mem_conv_add(m, row, title);
	} else {
		struct conv_row old = conv->row;

		conv->row = *row;
		conv->row.head = old.head;
		conv->row.ts = old.ts;
		conv->row.members = old.members;
		conv->row.handle = old.handle;
		mem_handle_set(m, conv, &row->handle);
		mem_own_set(&conv->title, title);
	}
	cid = conv->row.cid;
	(void)pthread_mutex_unlock(&m->lock);
	return cid;
}

void
memory_put_member(struct driver *driver, uint64_t cid, uint64_t user, const struct member_row *row)
{
	struct memory *m = memory_of(driver);
	const struct mem_member *member;
	struct mem_conv *conv;

	(void)pthread_mutex_lock(&m->lock);
	conv = map_get(&m->convs, cid);
	mem_member_put(m, conv, user)->row = *row;
	conv->row.members = 0;
	for (size_t at = 0; (member = map_next(&conv->members, &at)) != NULL;)
		conv->row.members += !member->row.left;
	(void)pthread_mutex_unlock(&m->lock);
}

void
memory_put_contact(struct driver *driver, uint64_t user, uint64_t peer, enum contact_state state)
{
	struct memory *m = memory_of(driver);

	(void)pthread_mutex_lock(&m->lock);
	mem_contact_set(m, user, peer, state, SLICE_NONE);
	(void)pthread_mutex_unlock(&m->lock);
}

void
memory_put_account(struct driver *driver, uint64_t user, enum account account)
{
	struct memory *m = memory_of(driver);

	(void)pthread_mutex_lock(&m->lock);
	mem_user_get(m, user)->account = account;
	(void)pthread_mutex_unlock(&m->lock);
}

void
memory_put_change(
    struct driver *driver, uint64_t cid, uint64_t seq, uint64_t edited, uint64_t deleted)
{
	struct memory *m = memory_of(driver);
	struct entry *entry;

	(void)pthread_mutex_lock(&m->lock);
	entry = mem_entry_at(map_get(&m->convs, cid), seq);
	entry->edited = edited;
	entry->deleted = deleted;
	if (deleted != 0)
		entry->body = entry->data = SLICE_NONE;
	(void)pthread_mutex_unlock(&m->lock);
}
