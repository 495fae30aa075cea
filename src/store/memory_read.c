/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/fold.h"
#include "store/memory_db.h"

/* --- Accounts --- */

static void
read_auth(struct memory *m, struct op *op)
{
	const struct mem_user *user = slice_given(op->auth.name) ? mem_user_named(m, op->auth.name)
								 : mem_user_get(m, op->auth.uid);

	op->auth.found = user != NULL && user->account == ACCOUNT_ACTIVE;
	if (!op->auth.found)
		return;
	op->auth.uid = user->id;
	op->auth.name = op_copy(op, user->name);
	op->auth.display = op_copy(op, user->display);
	op->auth.password_hash = op_copy(op, user->password_hash);
}

static void
read_resume(struct memory *m, struct op *op)
{
	const struct mem_token *token =
	    smap_get(&m->tokens, slice_of((const char *)op->resume.token_hash, SECRET_HASH_BYTES));
	const struct mem_user *user = token != NULL ? mem_user_get(m, token->user) : NULL;

	if (user == NULL || user->account != ACCOUNT_ACTIVE ||
	    token->seen < op->resume.oldest_seen) {
		op_fail(op, ERR_TOKEN_INVALID, NULL);
		return;
	}
	op->resume.uid = user->id;
	op->resume.session = token->session;
	op->resume.name = op_copy(op, user->name);
	op->resume.display = op_copy(op, user->display);
}

static void
read_sessions(struct memory *m, struct op *op)
{
	const struct mem_user *user = mem_user_get(m, op->user);
	size_t count = 0;

	if (user == NULL)
		return;
	for (const struct list *at = user->tokens.next; at != &user->tokens; at = at->next)
		count++;
	if (count > LIMIT_SESSIONS)
		count = LIMIT_SESSIONS;
	op->sessions.items = op_alloc(op, count * sizeof(*op->sessions.items));
	for (struct list *at = user->tokens.next; op->sessions.count < count; at = at->next) {
		const struct mem_token *token = container_of(at, struct mem_token, of_user);

		op->sessions.items[op->sessions.count++] = (struct op_session){
		    .session = token->session,
		    .device = op_copy(op, token->device),
		    .ip = op_copy(op, token->ip),
		    .created = token->created,
		    .seen = token->seen,
		};
	}
}

static void
read_live(struct memory *m, struct op *op)
{
	op->live.gone = op_alloc(op, op->live.want * sizeof(*op->live.gone));
	for (size_t i = 0; i < op->live.want; i++) {
		const struct mem_token *token = map_get(&m->sessions, op->live.sessions[i]);
		const struct mem_user *user = token != NULL ? mem_user_get(m, token->user) : NULL;

		if (user == NULL || user->account != ACCOUNT_ACTIVE)
			op->live.gone[op->live.count++] = op->live.sessions[i];
	}
}

static void
read_heads(struct memory *m, struct op *op)
{
	op->heads.items = op_alloc(op, op->heads.want * sizeof(*op->heads.items));
	for (size_t i = 0; i < op->heads.want; i++) {
		const struct mem_conv *conv = map_get(&m->convs, op->heads.cids[i]);
		struct conv_facts facts;

		if (conv == NULL)
			continue;
		conv_facts_fill(op, &conv->row, &facts);
		op->heads.items[op->heads.count++] = (struct op_head){.cid = conv->row.cid,
		    .seq = conv->row.head,
		    .group = facts.kind == CONV_GROUP,
		    .handle = facts.handle};
	}
}

static bool
mem_apart(struct memory *m, uint64_t a, uint64_t b)
{
	return mem_contact_state(m, a, b) == CONTACT_BLOCKED ||
	       mem_contact_state(m, b, a) == CONTACT_BLOCKED;
}

static uint64_t *
contact_uids(struct op *op, const struct mem_user *user, size_t *ret_count)
{
	const struct mem_contact *contact;
	uint64_t *uids = op_alloc(op, user->contacts.count * sizeof(*uids));
	size_t count = 0;

	for (size_t at = 0; (contact = map_next(&user->contacts, &at)) != NULL;)
		if (contact->state == CONTACT_BOTH && count < LIMIT_CONTACTS)
			uids[count++] = contact->peer;
	*ret_count = count;
	return uids;
}

/* Is he in there now?  Who may not write at the moment may look around all the same. */
static enum err
check_inside(struct memory *m, const struct op *op, struct op_target *target)
{
	struct mem_conv *conv;
	struct member_row member;
	const char *param;
	enum err err = mem_resolve(m, op, target, &conv, &param);

	if (err != ERR_OK || conv == NULL)
		return err != ERR_OK ? err : ERR_NOT_FOUND;
	member = mem_member_row(conv, op->user);
	return op->contacts.outside && conv->row.kind == CONV_GROUP
		   ? rights_info(&conv->row, &member)
		   : rights_see(&conv->row, op->user, &member, true);
}

static bool
is_target(const struct op_target *target)
{
	return target->cid != 0 || slice_given(target->user) || slice_given(target->handle);
}

static void
read_member_ids(struct op *op, const struct mem_conv *conv)
{
	size_t max = op->contacts.members_max;
	const struct mem_member *member;

	if (max > conv->members.count)
		max = conv->members.count;
	op->contacts.members = op_alloc(op, (max + 1) * sizeof(*op->contacts.members));
	for (size_t at = 0; (member = map_next(&conv->members, &at)) != NULL;)
		if (op->contacts.member_count < max && member->row.exists && !member->row.left)
			op->contacts.members[op->contacts.member_count++] = member->user;
}

static void
read_contacts(struct memory *m, struct op *op)
{
	const struct mem_user *user = mem_user_get(m, op->user);
	enum err err = ERR_OK;

	if (is_target(&op->contacts.target))
		err = check_inside(m, op, &op->contacts.target);
	if (err != ERR_OK || user == NULL) {
		op_fail(op, err, NULL);
		return;
	}
	op->contacts.uids = contact_uids(op, user, &op->contacts.count);
	mem_contacts_hiding(op, user);
	if (op->contacts.members_max > 0 && op->contacts.target.peer == 0)
		read_member_ids(op, map_get(&m->convs, op->contacts.target.cid));
}

static struct op_user
user_view(struct memory *m, struct op *op, const struct mem_user *user)
{
	return (struct op_user){
	    .uid = user->id,
	    .name = op_copy(op, user->name),
	    .display = op_copy(op, user->display),
	    .status = op_copy(op, user->status),
	    .created = user->created,
	    .seen = user->seen,
	    .related = mem_contact_state(m, op->user, user->id) == CONTACT_BOTH ||
		       mem_direct(m, op->user, user->id) != NULL,
	    .contact = mem_contact_state(m, op->user, user->id) == CONTACT_BOTH,
	    .hides = mem_contact_state(m, user->id, op->user) == CONTACT_BLOCKED,
	    .apart = mem_apart(m, op->user, user->id),
	    .invisible = user->presence == PRESENCE_INVISIBLE,
	};
}

static void
read_profiles(struct memory *m, struct op *op)
{
	op->profiles.items = op_alloc(op, op->profiles.want * sizeof(*op->profiles.items));
	for (size_t i = 0; i < op->profiles.want; i++) {
		const struct mem_user *user = op->profiles.names != NULL
						  ? mem_user_named(m, op->profiles.names[i])
						  : mem_user_get(m, op->profiles.uids[i]);

		if (user != NULL && user->account != ACCOUNT_DELETED)
			op->profiles.items[op->profiles.count++] = user_view(m, op, user);
	}
}

static bool
found_by(const struct op *op, const struct mem_user *user, slice folded)
{
	if (user->account != ACCOUNT_ACTIVE)
		return false;
	if (op->find.exact)
		return slice_eq(user->name, folded);
	return slice_starts(user->name, folded) || slice_starts(user->folded, folded);
}

/* Keeps the first names in order, at most the limit of them. */
static void
found_insert(struct op *op, uint32_t limit, const struct op_user *view)
{
	size_t at = op->find.count;

	if (at == limit && slice_cmp(op->find.items[at - 1].name, view->name) <= 0)
		return;
	if (at == limit)
		at--;
	else
		op->find.count++;
	for (; at > 0 && slice_cmp(op->find.items[at - 1].name, view->name) > 0; at--)
		op->find.items[at] = op->find.items[at - 1];
	op->find.items[at] = *view;
}

static void
read_find(struct memory *m, struct op *op)
{
	uint32_t limit = op->find.limit < LIMIT_FOUND ? op->find.limit : LIMIT_FOUND;
	const struct mem_user *user;
	slice folded;

	text_fold(op->find.query, &folded);
	op->find.items = op_alloc(op, limit * sizeof(*op->find.items));
	for (size_t at = 0; limit > 0 && (user = map_next(&m->users, &at)) != NULL;) {
		struct op_user view;

		if (!found_by(op, user, folded))
			continue;
		view = user_view(m, op, user);
		found_insert(op, limit, &view);
	}
	mem_own_set(&folded, SLICE_NONE);
}

/* --- Conversations --- */

static struct entry *
entry_copy(struct memory *m, const struct entry *entry, slice body, slice data)
{
	struct entry *copy = entry_create(&(struct entry_parts){
	    .sender = entry->sender,
	    .re = entry->re,
	    .ends = entry->ends,
	    .kind = entry->kind,
	    .from = mem_user_name(m, entry->sender),
	    .cmid = entry->cmid,
	    .body = body,
	    .data = data,
	});

	copy->cid = entry->cid;
	copy->seq = entry->seq;
	copy->ts = entry->ts;
	copy->edited = entry->edited;
	copy->deleted = entry->deleted;
	return copy;
}

/* The stored entry itself, unless its author's name is not what it was. */
static struct entry *
entry_read(struct memory *m, struct entry *entry)
{
	if (slice_eq(entry->from, mem_user_name(m, entry->sender)))
		return entry_ref(entry);
	return entry_copy(m, entry, entry->body, entry->data);
}

/* As it read when the log ended at head, for who sees no further. */
static struct entry *
entry_read_then(struct memory *m, const struct mem_conv *conv, struct entry *entry, uint64_t head)
{
	struct entry *then;
	uint64_t edited;
	slice body, data;

	if (entry->edited <= head)
		return entry_read(m, entry);
	edited = mem_edit_then(conv, entry, head, &body, &data);
	then = entry_copy(m, entry, body, data);
	then->edited = edited;
	return then;
}

static size_t
page_cost(const struct entry *entry)
{
	return entry->body.len + entry->data.len + ENTRY_OVERHEAD_BYTES;
}

/* How many rows of from…to, counted from the end that is wanted, fit the page. */
static size_t
page_fit(const struct op *op, const struct mem_conv *conv, uint64_t from, uint64_t to)
{
	size_t count = 0, bytes = 0;

	while (count < op->page.limit && count <= to - from) {
		const struct entry *entry =
		    mem_entry_at(conv, op->page.newest ? to - count : from + count);

		bytes += page_cost(entry);
		if (count > 0 && bytes > op->page.max_bytes)
			break;
		count++;
	}
	return count;
}

static void
page_fill(struct memory *m, struct op *op, const struct mem_conv *conv)
{
	uint64_t from, to, first;
	size_t count;

	page_range(op, &from, &to);
	if (from > to)
		return;
	count = page_fit(op, conv, from, to);
	first = op->page.newest ? to + 1 - count : from;
	op->page.more = count <= to - from;
	op->page.items = op_alloc(op, count * sizeof(struct entry *));
	for (size_t i = 0; i < count; i++)
		op->page.items[op->page.count++] =
		    entry_read_then(m, conv, mem_entry_at(conv, first + i), page_until(op));
}

static void
read_page(struct memory *m, struct op *op)
{
	struct mem_conv *conv;
	struct member_row member = {0};
	const char *param;
	enum err err = mem_resolve(m, op, &op->page.target, &conv, &param);

	if (err == ERR_OK && conv == NULL)
		err = ERR_NOT_FOUND;
	if (err == ERR_OK && op->user != 0) {
		member = mem_member_row(conv, op->user);
		err = rights_see(&conv->row, op->user, &member, false);
	}
	op_fail(op, err, param);
	if (err != ERR_OK)
		return;
	op->page.min_seq = op->user != 0 ? member_min_seq(&conv->row, &member) : conv->row.min_seq;
	op->page.head = member_head(&conv->row, &member);
	page_fill(m, op, conv);
	if (op->page.want_facts)
		conv_facts_fill(op, &conv->row, &op->page.facts);
}

static void
read_check(struct memory *m, struct op *op)
{
	struct mem_conv *conv;
	const char *param;
	enum err err = mem_resolve(m, op, &op->check.target, &conv, &param);

	if (err == ERR_OK)
		err = mem_rights_send(m, op, &op->check.target, conv);
	op_fail(op, err, param);
	if (err == ERR_OK && conv != NULL)
		op->check.acl_ver = conv->row.acl_ver;
}

static void
sync_peer(struct memory *m, struct op *op, const struct mem_conv *conv, struct op_conv *view)
{
	uint64_t peer_id = conv_other(&conv->row, op->user);
	const struct mem_user *peer = mem_user_get(m, peer_id);
	struct member_row marks = mem_member_row(conv, peer_id);
	bool gone = peer == NULL || peer->account == ACCOUNT_DELETED;

	view->peer_name = op_copy(op, mem_user_name(m, peer_id));
	view->title = gone ? view->peer_name : op_copy(op, peer->display);
	if (mem_blocked(m, op->user, peer_id))
		return;
	view->peer_read = marks.read;
	view->peer_delivered = marks.delivered;
}

static struct op_conv
sync_view(struct memory *m, struct op *op, const struct mem_member *member)
{
	const struct mem_conv *conv = map_get(&m->convs, member->cid);
	const struct member_row row = mem_member_now(conv, member);
	struct op_conv view = {
	    .cid = member->cid,
	    .role = row.left ? ROLE_NONE : row.role,
	    .min_seq = member_min_seq(&conv->row, &row),
	    .head = member_head(&conv->row, &row),
	    .read = row.read,
	    .delivered = row.delivered,
	    .muted_until = row.muted_until,
	};
	const struct entry *last = mem_entry_at(conv, view.head);

	conv_facts_fill(op, &conv->row, &view.facts);
	if (conv->row.kind == CONV_DIRECT)
		sync_peer(m, op, conv, &view);
	else
		view.title = op_copy(op, conv->title);
	if (last != NULL)
		view.ts = last->ts;
	if (last != NULL && op->sync.preview)
		view.last = entry_copy(m, last, text_cut(last->body, PREVIEW_BYTES), SLICE_NONE);
	return view;
}

static bool
sync_lists(struct memory *m, const struct op *op, const struct mem_member *member)
{
	struct member_row row = mem_member_now(map_get(&m->convs, member->cid), member);

	if (op->sync.only != 0 && member->cid != op->sync.only)
		return false;
	switch (member_standing(&row)) {
	case STANDING_MEMBER:
		return true;
	case STANDING_LEFT:
		return cursors_name(op->sync.cursors, op->sync.cursor_count, member->cid);
	default:
		return false;
	}
}

static void
read_sync(struct memory *m, struct op *op)
{
	const struct mem_user *user = mem_user_get(m, op->user);
	const struct mem_member *member;

	op->sync.epoch = op_copy(op, slice_str(m->epoch));
	if (user == NULL)
		return;
	if (op->sync.only == 0) {
		op->sync.around.presence = user->presence;
		op->sync.around.text = op_copy(op, user->presence_text);
		op->sync.around.contacts = contact_uids(op, user, &op->sync.around.count);
	}
	op->sync.items = op_alloc(op, user->members.count * sizeof(*op->sync.items));
	for (size_t at = 0; (member = map_next(&user->members, &at)) != NULL;)
		if (sync_lists(m, op, member))
			op->sync.items[op->sync.count++] = sync_view(m, op, member);
	sync_newest_first(op);
}

void
mem_read(struct memory *m, struct op *op)
{
	op->fault = (struct fault){0};
	switch ((enum op_kind)op->kind) {
	case OP_AUTH:
		read_auth(m, op);
		break;
	case OP_RESUME:
		read_resume(m, op);
		break;
	case OP_SESSIONS:
		read_sessions(m, op);
		break;
	case OP_CHECK:
		read_check(m, op);
		break;
	case OP_SYNC:
		read_sync(m, op);
		break;
	case OP_PAGE:
		read_page(m, op);
		break;
	case OP_PROFILES:
		read_profiles(m, op);
		break;
	case OP_FIND:
		read_find(m, op);
		break;
	case OP_CONTACTS:
		read_contacts(m, op);
		break;
	case OP_CONTACT_LIST:
		mem_contact_list(m, op);
		break;
	case OP_LIVE:
		read_live(m, op);
		break;
	case OP_HEADS:
		read_heads(m, op);
		break;
	case OP_GROUP_INFO:
	case OP_MEMBERS:
	case OP_GROUPS:
		mem_group_read(m, op);
		break;
	default:
		panic("store: %s is not a read", op_name(op->kind));
	}
	stat_add(STAT_STORE_READS, 1);
}
