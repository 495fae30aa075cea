/* SPDX-License-Identifier: MIT */
/*
 * A long random walk through everything a store does, in batches, on the memory store and on
 * SQLite, whose commits fail now and then: both must give the same answers, and what SQLite counts
 * must be what is there.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/sqlite_db.h"
#include "store/test_vfs.h"
#include "store/test_world.h"

enum {
	STEPS = 800,
	BATCH = 6,
	PEOPLE = 6,
	CONVS = 6,
	RECENT = 3,
	USERS_MAX = 200,
	CIDS_MAX = 20000
};

struct walk {
	struct world memory, sqlite;
	uint64_t dice, newest;
	char names[USERS_MAX][16]; /* by id */
	uint64_t people[PEOPLE], users;
	bool failing;
	/* Where they got something done, by the place of the user in people. */
	struct spot {
		uint64_t cid, seq;
	} recent[PEOPLE][RECENT];
	/* What a shard would keep: by the place of the user in people. */
	uint64_t acl_ver[PEOPLE][CIDS_MAX], min_seq[PEOPLE][CIDS_MAX];
};

/* What an operation is made of: the same for both. */
struct recipe {
	enum op_kind kind;
	size_t who;
	uint64_t dice, user, cid, seq; /* seq: one that may be his */
};

static unsigned
roll(uint64_t *dice, unsigned sides)
{
	*dice = *dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*dice >> 33) % sides;
}

static uint64_t
some_conv(const struct walk *t, uint64_t *dice)
{
	uint64_t back = roll(dice, CONVS);

	return t->newest > back ? t->newest - back : t->newest;
}

static slice
some_name(const struct walk *t, uint64_t *dice)
{
	if (roll(dice, 12) == 0)
		return S("nobody");
	if (roll(dice, 12) == 0) /* one of all that ever were */
		return slice_str(t->names[1 + roll(dice, (unsigned)t->users)]);
	return slice_str(t->names[t->people[roll(dice, PEOPLE)]]);
}

/* --- Operations --- */

static void
fill_group(const struct walk *t, struct op *op, const struct recipe *r, uint64_t *dice)
{
	static const char *const handles[] = {NULL, NULL, "one", "two", ""};
	static const enum group_change often[] = {
	    GROUP_JOIN, GROUP_JOIN, GROUP_INVITE, GROUP_INVITE, GROUP_ROLE, GROUP_SET};
	struct op_group *g = &op->in.group;
	struct op_person *users = op_alloc(op, 3 * sizeof(*users));

	op->in.target.cid = r->cid;
	g->what = roll(dice, 3) != 0 ? often[roll(dice, LEN(often))]
				     : (enum group_change)roll(dice, GROUP_DISMISS + 1);
	if ((g->what == GROUP_DISMISS || g->what == GROUP_CREATE) && roll(dice, 3) != 0)
		g->what = GROUP_INVITE;
	g->from = op_copy(op, slice_str(t->names[r->user]));
	g->user_count = g->what == GROUP_CREATE || g->what == GROUP_INVITE ? 3 : 1;
	for (size_t i = 0; i < 3; i++)
		users[i].name = op_copy(op, some_name(t, dice));
	g->users = users;
	g->set = (struct group_settings){
	    .title = g->what == GROUP_CREATE || roll(dice, 2) != 0 ? S("Tea \"\\\"") : SLICE_NONE,
	    .topic = roll(dice, 2) != 0 ? S("x") : S(""),
	    .handle = slice_str(handles[roll(dice, LEN(handles))]),
	    .open = (int)roll(dice, 3) - 1,
	    .admins_post = roll(dice, 6) == 0 ? 1 : (int)roll(dice, 2) - 1,
	    .admins_invite = (int)roll(dice, 3) - 1,
	    .history = roll(dice, 2) != 0,
	};
	if (g->what == GROUP_CREATE && g->set.handle.len == 0)
		g->set.handle = SLICE_NONE;
	g->role = (enum role)(ROLE_MEMBER + roll(dice, 3));
	g->until = roll(dice, 2) * (t->memory.now_ms + roll(dice, 3000));
	g->ban = roll(dice, 3) == 0;
	g->groups_max = 8;
	g->members_max = 5;
	g->conversations_max = 12;
}

static void
fill_append(const struct walk *t, struct op *op, const struct recipe *r, uint64_t *dice)
{
	unsigned what = roll(dice, 6);
	bool person = roll(dice, 4) == 0, stamped = roll(dice, 2) != 0;
	char cmid[24];

	op->append.what = what < 3 ? APPEND_MESSAGE : what < 5 ? APPEND_EDIT : APPEND_DELETE;
	op->append.target.cid = r->cid;
	if (person)
		op->append.target = (struct op_target){.user = op_copy(op, some_name(t, dice))};
	if (stamped && !person) {
		op->append.acl_ver = t->acl_ver[r->who][r->cid];
		op->append.min_seq = t->min_seq[r->who][r->cid];
	}
	if (roll(dice, 10) == 0)
		op->fault.err = ERR_FORBIDDEN;
	op->append.conversations_max = 12;
	op->append.want_facts = true;
	(void)snprintf(cmid, sizeof(cmid), "c%u", roll(dice, 30));
	op->append.entry = entry_create(&(struct entry_parts){
	    .sender = r->user,
	    .re =
		op->append.what == APPEND_MESSAGE ? roll(dice, 3) * roll(dice, 8) : roll(dice, 25),
	    .kind = op->append.what == APPEND_MESSAGE ? S("text")
		    : op->append.what == APPEND_EDIT  ? S("edit")
						      : S("delete"),
	    .from = slice_str(t->names[r->user]),
	    .cmid = op->append.what == APPEND_DELETE || roll(dice, 2) != 0 ? SLICE_NONE
									   : slice_str(cmid),
	    .body = op->append.what == APPEND_DELETE ? SLICE_NONE
		    : roll(dice, 3) != 0             ? S("hello")
						     : S(""),
	    .data = op->append.what == APPEND_DELETE || roll(dice, 2) != 0 ? SLICE_NONE
									   : S("{\"a\":1}"),
	});
}

static void
fill_contact(const struct walk *t, struct op *op, uint64_t *dice)
{
	op->contact.what = (enum contact_change)roll(dice, CONTACT_UNBLOCK + 1);
	if (op->contact.what == CONTACT_BLOCK && roll(dice, 3) != 0)
		op->contact.what = CONTACT_ADD;
	op->contact.name = op_copy(op, some_name(t, dice));
	op->contact.note = roll(dice, 2) != 0 ? S("note") : SLICE_NONE;
	op->contact.contacts_max = 4;
}

static void
fill_write(const struct walk *t, struct op *op, const struct recipe *r, uint64_t *dice)
{
	switch (r->kind) {
	case OP_GROUP:
		fill_group(t, op, r, dice);
		return;
	case OP_APPEND:
		fill_append(t, op, r, dice);
		return;
	case OP_CONTACT:
		fill_contact(t, op, dice);
		return;
	case OP_PRESENCE_SET:
		op->presence.state = (int)roll(dice, 4) - 1;
		op->presence.text = roll(dice, 2) != 0 ? S("busy with it") : SLICE_NONE;
		return;
	case OP_PROFILE_SET:
		op->profile_set.display = roll(dice, 2) != 0 ? S("Someone") : SLICE_NONE;
		op->profile_set.status = roll(dice, 2) != 0 ? S("there") : SLICE_NONE;
		op->profile_set.accept = (int)roll(dice, 3) - 1;
		return;
	case OP_CLOSE:
		op->close.name = op_copy(op, slice_str(t->names[r->user]));
		op->close.password_hash = S("hash");
		return;
	case OP_MARK:
		op->mark.target.cid = r->cid;
		op->mark.read = r->seq + roll(dice, 5);
		op->mark.delivered = roll(dice, 40);
		return;
	default:
		op->in.target.cid = r->cid;
		op->in.receipts.seq = roll(dice, 2) != 0 ? r->seq : 1 + roll(dice, 40);
		op->in.receipts.page.limit = roll(dice, 5);
		op->in.receipts.page.after = roll(dice, 2) != 0 ? some_name(t, dice) : SLICE_NONE;
		return;
	}
}

static void
fill_read(const struct walk *t, struct op *op, const struct recipe *r, uint64_t *dice)
{
	struct op_cursor *cursors = op_alloc(op, CONVS * sizeof(*cursors));
	slice *names = op_alloc(op, sizeof(*names));

	switch (r->kind) {
	case OP_SYNC:
		for (size_t i = 0; i < CONVS; i++)
			cursors[i].cid = r->cid + i;
		op->sync.cursors = cursors;
		op->sync.cursor_count = CONVS;
		op->sync.preview = true;
		op->sync.only = roll(dice, 3) == 0 ? r->cid : 0;
		return;
	case OP_PAGE:
		op->page.target.cid = r->cid;
		op->page.limit = 1 + roll(dice, 60);
		op->page.newest = roll(dice, 2) != 0;
		op->page.after = roll(dice, 10);
		op->page.before = roll(dice, 2) * (20 + roll(dice, 60));
		op->page.max_bytes = 1000 + roll(dice, 10000);
		op->page.want_facts = true;
		return;
	case OP_CHECK:
		op->check.target.cid = r->cid;
		return;
	case OP_PROFILES:
		names[0] = op_copy(op, some_name(t, dice));
		op->profiles.names = names;
		op->profiles.want = 1;
		return;
	case OP_FIND:
		op->find.query = roll(dice, 2) != 0 ? S("some") : S("p");
		op->find.limit = 200;
		return;
	case OP_CONTACTS:
		op->contacts.target.cid = roll(dice, 2) * r->cid;
		return;
	case OP_CONTACT_LIST:
		op->contact_list.limit = 1 + roll(dice, 5);
		return;
	case OP_GROUPS:
		op->groups.query = roll(dice, 2) != 0 ? S("t") : SLICE_NONE;
		op->groups.limit = 1 + roll(dice, 5);
		return;
	case OP_MEMBERS:
		op->in.target.cid = r->cid;
		op->in.members.limit = 1 + roll(dice, 5);
		op->in.members.banned = roll(dice, 3) == 0;
		op->in.members.role = op->in.members.banned ? ROLE_NONE : (enum role)roll(dice, 4);
		return;
	default:
		op->in.target.cid = r->cid;
		return;
	}
}

static struct op *
cook(const struct walk *t, const struct recipe *r)
{
	struct op *op = op_create(r->kind);
	uint64_t dice = r->dice;

	op->user = r->user;
	if (op_writes(r->kind))
		fill_write(t, op, r, &dice);
	else
		fill_read(t, op, r, &dice);
	return op;
}

/* --- What they said --- */

static void
put_slice(struct buf *to, slice s)
{
	buf_printf(
	    to, " '%.*s'%s", (int)s.len, s.ptr != NULL ? s.ptr : "", slice_given(s) ? "" : "-");
}

static void
put_number(struct buf *to, uint64_t n)
{
	buf_printf(to, " %" PRIu64, n);
}

static void
put_entry(struct buf *to, const struct entry *e)
{
	if (e == NULL)
		return;
	buf_printf(to,
	    "\n  entry %" PRIu64 "/%" PRIu64 " ts=%" PRIu64 " by=%" PRIu64 " re=%" PRIu64
	    " ends=%" PRIu64 " edited=%" PRIu64 " deleted=%" PRIu64,
	    e->cid, e->seq, e->ts, e->sender, e->re, e->ends, e->edited, e->deleted);
	put_slice(to, e->kind);
	put_slice(to, e->from);
	put_slice(to, e->cmid);
	put_slice(to, e->body);
	put_slice(to, e->data);
}

static void
put_facts(struct buf *to, const struct conv_facts *facts)
{
	buf_printf(to, "\n  facts %d %" PRIu64 " %" PRIu64, (int)facts->kind, facts->lo, facts->hi);
	put_slice(to, facts->lo_name);
	put_slice(to, facts->hi_name);
	put_slice(to, facts->handle);
}

static void
put_people(struct buf *to, const struct op_person *people, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_printf(to, "\n  person %" PRIu64 " %d", people[i].uid, (int)people[i].err);
		put_slice(to, people[i].name);
	}
}

static void
put_members(struct buf *to, const struct op_members *page)
{
	put_number(to, page->more);
	for (size_t i = 0; i < page->count; i++) {
		const struct op_member *m = &page->items[i];

		buf_printf(to, "\n  member %" PRIu64 " role=%d %" PRIu64 " %" PRIu64, m->uid,
		    (int)m->role, m->read, m->delivered);
		put_slice(to, m->name);
		put_slice(to, m->display);
	}
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
put_set(struct buf *to, const uint64_t *numbers, size_t count)
{
	uint64_t sorted[USERS_MAX];

	assert_true(count <= LEN(sorted));
	buf_printf(to, " [");
	if (count > 0) {
		memcpy(sorted, numbers, count * sizeof(*numbers));
		qsort(sorted, count, sizeof(*sorted), by_number);
	}
	for (size_t i = 0; i < count; i++)
		put_number(to, sorted[i]);
	buf_printf(to, " ]");
}

static void
put_conv(struct buf *to, const struct op_conv *c)
{
	buf_printf(to,
	    "\n  conv %" PRIu64 " role=%d min=%" PRIu64 " head=%" PRIu64 " ts=%" PRIu64
	    " read=%" PRIu64 "/%" PRIu64 " peer=%" PRIu64 "/%" PRIu64 " muted=%" PRIu64,
	    c->cid, (int)c->role, c->min_seq, c->head, c->ts, c->read, c->delivered, c->peer_read,
	    c->peer_delivered, c->muted_until);
	put_slice(to, c->title);
	put_slice(to, c->peer_name);
	put_facts(to, &c->facts);
	if (c->last == NULL)
		return;
	buf_printf(to, "\n  last %" PRIu64 " ts=%" PRIu64 " edited=%" PRIu64 " deleted=%" PRIu64,
	    c->last->seq, c->last->ts, c->last->edited, c->last->deleted);
	put_slice(to, c->last->kind);
	put_slice(to, c->last->from);
	put_slice(to, c->last->body);
	put_slice(to, c->last->data);
}

static void
put_users(struct buf *to, const struct op_user *users, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct op_user *u = &users[i];

		buf_printf(to, "\n  user %" PRIu64 " %d%d%d%d%d", u->uid, u->related, u->contact,
		    u->hides, u->apart, u->invisible);
		put_slice(to, u->name);
		put_slice(to, u->display);
		put_slice(to, u->status);
	}
}

static void
put_append(struct buf *to, const struct op *op)
{
	buf_printf(to, " what=%d re=%" PRIu64, (int)op->append.what, op->append.entry->re);
	put_slice(to, op->append.entry->cmid);
	put_slice(to, op->append.target.user);
	if (op->fault.err != ERR_OK)
		return;
	buf_printf(to, " cid=%" PRIu64 " seq=%" PRIu64 " ts=%" PRIu64 " dup=%d created=%d",
	    op->append.target.cid, op->append.seq, op->append.ts, op->append.dup,
	    op->append.created);
	if (!op->append.dup)
		buf_printf(to, " acl=%" PRIu64, op->append.acl_ver);
	put_facts(to, &op->append.facts);
}

static void
put_group(struct buf *to, const struct op *op)
{
	const struct op_group *g = &op->in.group;

	buf_printf(to, " what=%d renamed=%d", (int)g->what, g->renamed);
	put_entry(to, g->entry);
	if (op->fault.err != ERR_OK)
		return;
	put_people(to, g->added, g->added_count);
	put_people(to, g->failed, g->failed_count);
	put_facts(to, &op->in.facts);
}

static void
put_info(struct buf *to, const struct op *op)
{
	const struct op_group_info *i = &op->in.info;

	buf_printf(to, " %d%d%d%d members=%" PRIu64 " created=%" PRIu64 " role=%d", i->open,
	    i->history, i->admins_post, i->admins_invite, i->members, i->created, (int)i->role);
	put_slice(to, i->title);
	put_slice(to, i->topic);
	put_people(to, i->owners, i->owner_count);
	put_facts(to, &op->in.facts);
}

static void
put_contacts(struct buf *to, const struct op_contacts_page *page)
{
	put_number(to, page->more);
	for (size_t i = 0; i < page->count; i++) {
		const struct op_contact_listed *c = &page->items[i];

		buf_printf(to, "\n  contact %" PRIu64 " %d", c->uid, (int)c->state);
		put_slice(to, c->name);
		put_slice(to, c->display);
		put_slice(to, c->note);
	}
}

static void
put_groups(struct buf *to, const struct op_groups *groups)
{
	put_number(to, groups->more);
	for (size_t i = 0; i < groups->count; i++) {
		const struct op_group_listed *g = &groups->items[i];

		buf_printf(to, "\n  group %" PRIu64 " %" PRIu64, g->cid, g->members);
		put_slice(to, g->title);
		put_slice(to, g->handle);
		/* An empty topic is none. */
		put_slice(to, g->topic.len > 0 ? g->topic : S(""));
	}
}

static void
put_write(struct buf *to, const struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		put_append(to, op);
		return;
	case OP_GROUP:
		put_group(to, op);
		return;
	case OP_CONTACT:
		if (op->fault.err == ERR_OK)
			buf_printf(to, " %" PRIu64 " state=%d %d %d", op->contact.peer,
			    (int)op->contact.state, (int)op->contact.mine, (int)op->contact.theirs);
		put_slice(to, op->contact.shown_note);
		return;
	case OP_CLOSE:
		for (size_t i = 0; i < op->close.count; i++)
			put_entry(to, op->close.entries[i]);
		put_set(to, op->close.contacts, op->close.contact_count);
		return;
	case OP_MARK:
		if (op->fault.err == ERR_OK)
			buf_printf(to, " read=%" PRIu64 "/%" PRIu64 " %d peer=%" PRIu64,
			    op->mark.read, op->mark.delivered, op->mark.changed,
			    op->mark.target.peer);
		return;
	case OP_RECEIPTS:
		if (op->fault.err == ERR_OK)
			buf_printf(to, " read=%" PRIu64 " delivered=%" PRIu64 " of=%" PRIu64,
			    op->in.receipts.read, op->in.receipts.delivered,
			    op->in.receipts.members);
		put_members(to, &op->in.receipts.page);
		return;
	case OP_PRESENCE_SET:
		if (op->fault.err == ERR_OK)
			put_number(to, op->presence.now);
		put_slice(to, op->presence.now_text);
		return;
	default:
		return;
	}
}

static void
put_read(struct buf *to, const struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_SYNC:
		for (size_t i = 0; i < op->sync.count; i++)
			put_conv(to, &op->sync.items[i]);
		put_set(to, op->sync.around.contacts, op->sync.around.count);
		put_number(to, op->sync.around.presence);
		put_slice(to, op->sync.around.text);
		return;
	case OP_PAGE:
		buf_printf(to, " %" PRIu64 "…%" PRIu64 " more=%d", op->page.min_seq, op->page.head,
		    op->page.more);
		for (size_t i = 0; i < op->page.count; i++)
			put_entry(to, op->page.items[i]);
		put_facts(to, &op->page.facts);
		return;
	case OP_CHECK:
		put_number(to, op->fault.err == ERR_OK ? op->check.acl_ver : 0);
		return;
	case OP_PROFILES:
		put_users(to, op->profiles.items, op->profiles.count);
		return;
	case OP_FIND:
		put_users(to, op->find.items, op->find.count);
		return;
	case OP_CONTACTS:
		put_set(to, op->contacts.uids, op->contacts.count);
		put_set(to, op->contacts.hiding, op->contacts.hiding_count);
		return;
	case OP_CONTACT_LIST:
		put_contacts(to, &op->contact_list);
		return;
	case OP_GROUPS:
		put_groups(to, &op->groups);
		return;
	case OP_MEMBERS:
		put_members(to, &op->in.members);
		return;
	default:
		put_info(to, op);
		return;
	}
}

static char *
told(const struct op *op)
{
	struct buf text = {0};
	char *copy;

	buf_printf(&text, "%s err=%d max=%" PRIu64, op_name((enum op_kind)op->kind),
	    (int)op->fault.err, op->fault.max);
	if (op_writes((enum op_kind)op->kind))
		put_write(&text, op);
	else if (op->fault.err == ERR_OK)
		put_read(&text, op);
	copy = mem_dup(buf_slice(&text));
	buf_fini(&text);
	return copy;
}

static void
assert_same(const struct walk *t, const struct recipe *r, const struct op *a, const struct op *b)
{
	char *x = told(a), *y = told(b);

	if (strcmp(x, y) != 0)
		fail_msg("user %" PRIu64 " (%s) cid %" PRIu64 "\nmemory: %s\nsqlite: %s", r->user,
		    t->names[r->user], r->cid, x, y);
	mem_free(x);
	mem_free(y);
}

/* --- Steps --- */

static struct recipe
recipe_for(struct walk *t, enum op_kind kind)
{
	struct recipe r = {.kind = kind, .who = roll(&t->dice, PEOPLE)};

	r.user = t->people[r.who];
	r.cid = some_conv(t, &t->dice);
	if (roll(&t->dice, 4) != 0) {
		const struct spot *place = &t->recent[r.who][roll(&t->dice, RECENT)];

		r.cid = place->cid;
		r.seq = place->seq;
	}
	r.dice = t->dice += 12345;
	return r;
}

static enum op_kind
some_write(struct walk *t)
{
	unsigned number = roll(&t->dice, 100);

	return number < 40   ? OP_GROUP
	       : number < 75 ? OP_APPEND
	       : number < 95 ? OP_CONTACT
	       : number < 97 ? OP_PRESENCE_SET
			     : OP_PROFILE_SET;
}

/* SQLite reports what its hook says, though the commit has happened. */
static int
commit_reports_error(void *cookie, sqlite3 *db, const char *name, int pages)
{
	(void)cookie;
	(void)db;
	(void)name;
	(void)pages;
	return SQLITE_IOERR;
}

/* The next commit fails: its record is not whole, or only what was said of it was wrong. */
static void
make_fail(struct walk *t)
{
	struct sqlite *s = container_of(t->sqlite.driver, struct sqlite, base);

	if (roll(&t->dice, 2) == 0)
		atomic_store(&test_vfs.sync_wal, 1);
	else if (s->sql.writer.db != NULL)
		(void)sqlite3_wal_hook(s->sql.writer.db, commit_reports_error, NULL);
}

/* What was not stored is asked for once more, in the old order. */
static void
write_until_done(struct walk *t, const struct recipe *recipes, struct op **ops, size_t count)
{
	struct op *again[BATCH];
	size_t left;

	for (int tries = 0; tries < 20; tries++) {
		left = 0;
		for (size_t i = 0; i < count; i++) {
			if (tries > 0 && ops[i]->fault.err != ERR_UNAVAILABLE)
				continue;
			if (tries > 0) {
				op_destroy(&ops[i]);
				ops[i] = cook(t, &recipes[i]);
			}
			again[left++] = ops[i];
		}
		if (left == 0)
			return;
		t->sqlite.driver->type->write(t->sqlite.driver, again, left);
		test_vfs_heal();
	}
	fail_msg("unavailable for good");
}

static void
was_there(struct walk *t, size_t who, uint64_t cid, uint64_t seq)
{
	t->recent[who][roll(&t->dice, RECENT)] = (struct spot){cid, seq};
}

static void
all_were_there(struct walk *t, const struct op *op)
{
	const struct op_group *g = &op->in.group;

	for (size_t i = 0; g->entry != NULL && i < g->added_count; i++)
		for (size_t who = 0; who < PEOPLE; who++)
			if (t->people[who] == g->added[i].uid)
				was_there(t, who, op->in.target.cid, g->entry->seq);
}

static void
learn(struct walk *t, const struct recipe *r, const struct op *op)
{
	if (op->fault.err != ERR_OK)
		return;
	if (op->kind == OP_APPEND) {
		assert_true(op->append.target.cid < CIDS_MAX);
		t->acl_ver[r->who][op->append.target.cid] = op->append.dup ? 0 : op->append.acl_ver;
		t->min_seq[r->who][op->append.target.cid] = op->append.min_seq;
		if (op->append.target.cid > t->newest)
			t->newest = op->append.target.cid;
		was_there(t, r->who, op->append.target.cid, op->append.seq);
	} else if (op->kind == OP_GROUP) {
		if (op->in.target.cid > t->newest)
			t->newest = op->in.target.cid;
		all_were_there(t, op);
	}
}

static void
write_both(struct walk *t, const struct recipe *recipes, size_t count)
{
	struct op *a[BATCH], *b[BATCH];

	for (size_t i = 0; i < count; i++) {
		a[i] = cook(t, &recipes[i]);
		b[i] = cook(t, &recipes[i]);
	}
	t->memory.driver->type->write(t->memory.driver, a, count);
	if (t->failing && roll(&t->dice, 8) == 0)
		make_fail(t);
	write_until_done(t, recipes, b, count);
	for (size_t i = 0; i < count; i++) {
		assert_same(t, &recipes[i], a[i], b[i]);
		learn(t, &recipes[i], a[i]);
		op_destroy(&a[i]);
		op_destroy(&b[i]);
	}
}

static void
batch_step(struct walk *t)
{
	struct recipe recipes[BATCH];
	size_t count = 1 + roll(&t->dice, BATCH);

	for (size_t i = 0; i < count; i++)
		recipes[i] = recipe_for(t, some_write(t));
	if (count == BATCH && !t->failing) /* after the others in any case */
		recipes[BATCH - 1].kind = roll(&t->dice, 2) != 0 ? OP_MARK : OP_RECEIPTS;
	write_both(t, recipes, count);
}

static void
late_step(struct walk *t)
{
	struct recipe r = recipe_for(t, OP_MARK);

	write_both(t, &r, 1);
	r = recipe_for(t, OP_RECEIPTS);
	write_both(t, &r, 1);
}

static void
read_step(struct walk *t)
{
	static const enum op_kind kinds[] = {OP_SYNC, OP_PAGE, OP_PAGE, OP_CHECK, OP_PROFILES,
	    OP_FIND, OP_CONTACTS, OP_CONTACT_LIST, OP_GROUPS, OP_MEMBERS, OP_GROUP_INFO};
	struct recipe r = recipe_for(t, kinds[roll(&t->dice, LEN(kinds))]);
	struct op *a = cook(t, &r), *b = cook(t, &r);

	world_read(&t->memory, a);
	world_read(&t->sqlite, b);
	assert_same(t, &r, a, b);
	op_destroy(&a);
	op_destroy(&b);
}

/* --- People come and go --- */

static void
join_world(struct walk *t, size_t who)
{
	char name[16];
	uint64_t uid;

	(void)snprintf(name, sizeof(name), "p%u", (unsigned)t->users + 1);
	uid = world_user(&t->memory, name);
	assert_int_equal(world_user(&t->sqlite, name), uid);
	assert_true(uid < USERS_MAX);
	(void)snprintf(t->names[uid], sizeof(t->names[uid]), "%s", name);
	t->users = uid;
	t->people[who] = uid;
	memset(t->recent[who], 0, sizeof(t->recent[who]));
	memset(t->acl_ver[who], 0, sizeof(t->acl_ver[who]));
	memset(t->min_seq[who], 0, sizeof(t->min_seq[who]));
}

/* Together with what he had asked for before and what comes too late. */
static void
close_step(struct walk *t)
{
	struct recipe recipes[BATCH];
	size_t who = roll(&t->dice, PEOPLE);

	for (size_t i = 0; i < BATCH; i++) {
		recipes[i] = recipe_for(t, i == 2 ? OP_CLOSE : some_write(t));
		recipes[i].who = who;
		recipes[i].user = t->people[who];
	}
	write_both(t, recipes, BATCH);
	join_world(t, who);
}

/* --- What the file must say whatever happened --- */

#define LEVELS "(SELECT 0 AS level UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4)"
#define MARKS                                                                                      \
	"(SELECT m.cid, m.read_seq AS mark, 1 AS read, 0 AS delivered FROM member m JOIN conv c "  \
	"ON c.cid = m.cid WHERE c.kind = 2 AND c.ended IS NULL AND m.leave_seq IS NULL UNION ALL " \
	"SELECT m.cid, m.delivered_seq, 0, 1 FROM member m JOIN conv c ON c.cid = m.cid "          \
	"WHERE c.kind = 2 AND c.ended IS NULL AND m.leave_seq IS NULL)"
#define COUNTED                                                                                    \
	"SELECT cid, level, mark >> (6 * level), sum(read), sum(delivered) FROM " MARKS            \
	", " LEVELS " GROUP BY 1, 2, 3"
#define TALLIED                                                                                    \
	"SELECT cid, level, place, read, delivered FROM tally WHERE (read <> 0 OR "                \
	"delivered <> 0) AND cid NOT IN (SELECT cid FROM conv WHERE ended IS NOT NULL)"

static void
assert_true_in_file(struct world *w)
{
	static const char *const none[] = {
	    "SELECT count(*) FROM (" TALLIED " EXCEPT " COUNTED ")",
	    "SELECT count(*) FROM (" COUNTED " EXCEPT " TALLIED ")",
	    "SELECT count(*) FROM tally WHERE read < 0 OR delivered < 0",
	    "SELECT count(*) FROM conv c WHERE kind = 2 AND members <> (SELECT count(*) FROM "
	    "member WHERE cid = c.cid AND leave_seq IS NULL AND c.ended IS NULL)",
	    "SELECT count(*) FROM conv c WHERE kind = 2 AND ended IS NULL AND NOT EXISTS "
	    "(SELECT 1 FROM member WHERE cid = c.cid AND role = 3 AND leave_seq IS NULL)",
	    "SELECT count(*) FROM member WHERE banned = 1 AND leave_seq IS NULL",
	    "SELECT count(*) FROM user WHERE disabled = 2 AND (display <> '' OR status <> '' OR "
	    "folded <> '' OR presence <> 0 OR presence_text IS NOT NULL OR accept <> 0)",
	    "SELECT count(*) FROM contact k JOIN user u ON u.disabled = 2 AND "
	    "(u.id = k.user OR u.id = k.peer)",
	    "SELECT count(*) FROM member m JOIN user u ON u.id = m.user JOIN conv c ON "
	    "c.cid = m.cid WHERE u.disabled = 2 AND c.kind = 2 AND (m.leave_seq IS NULL AND "
	    "c.ended IS NULL OR m.banned = 1)",
	    "SELECT count(*) FROM contact k WHERE state <> 4 AND NOT EXISTS (SELECT 1 FROM "
	    "contact WHERE user = k.peer AND peer = k.user AND state = "
	    "CASE k.state WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE 3 END)",
	    "SELECT count(*) FROM msg d JOIN msg m ON m.cid = d.cid AND (m.seq = d.re OR "
	    "m.kind = 'edit' AND m.re = d.re) WHERE d.kind = 'delete' AND "
	    "(trim(m.body) <> '' OR trim(m.data) <> '')",
	    "SELECT count(*) FROM (SELECT cid, re FROM msg WHERE kind = 'delete' GROUP BY 1, 2 "
	    "HAVING count(*) > 1)",
	    "SELECT count(*) FROM (SELECT cid FROM msg GROUP BY cid HAVING max(seq) <> count(*))",
	    "SELECT count(*) FROM msg m WHERE id <= (SELECT indexed FROM meta) AND NOT EXISTS "
	    "(SELECT 1 FROM msg_index WHERE cid = m.cid AND seq = m.seq AND id = m.id)",
	    "SELECT count(*) FROM msg_index i WHERE NOT EXISTS "
	    "(SELECT 1 FROM msg WHERE id = i.id AND cid = i.cid AND seq = i.seq)",
	    "SELECT count(*) FROM msg WHERE data IS NOT NULL AND kind NOT IN ('text', 'edit') "
	    "AND NOT json_valid(data)",
	};

	for (size_t i = 0; i < LEN(none); i++)
		if (world_ask(w, "%s", none[i]) != 0)
			fail_msg("%s", none[i]);
}

/* --- The walk --- */

static void
step(struct walk *t, unsigned number)
{
	t->sqlite.now_ms = t->memory.now_ms += roll(&t->dice, 300);
	batch_step(t);
	batch_step(t);
	late_step(t);
	for (int i = 0; i < 4; i++)
		read_step(t);
	if (roll(&t->dice, 25) == 0)
		close_step(t);
	if (number % 100 == 99) {
		world_reopen(&t->sqlite); /* writes the marks that wait */
		assert_true_in_file(&t->sqlite);
	}
}

static void
walk(uint64_t seed, bool failing)
{
	struct walk *t = mem_zalloc(sizeof(*t));

	t->dice = seed;
	t->failing = failing;
	world_init(&t->memory, WORLD_MEMORY);
	world_init(&t->sqlite, WORLD_SQLITE);
	for (size_t i = 0; i < PEOPLE; i++)
		join_world(t, i);
	for (unsigned i = 0; i < STEPS; i++)
		step(t, i);
	world_fini(&t->memory);
	world_fini(&t->sqlite);
	mem_free(t);
}

static void
two_stores_say_the_same(void **state)
{
	(void)state;
	walk(4711, false);
}

static void
whatever_fails(void **state)
{
	(void)state;
	walk(815, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(two_stores_say_the_same),
	    cmocka_unit_test(whatever_fails),
	};

	test_vfs_install();
	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
