/* SPDX-License-Identifier: MIT */
/*
 * A ring is a byte for the version, a byte for its kind, and the fields of the mail in a fixed
 * order: numbers in groups of seven bits, the lowest first, in the fewest bytes; texts as their
 * length plus one and their bytes, absent as 0.  There is one way to say a thing, and whatever does
 * not end where it should is no ring.
 */
#include "chat/ring.h"

#include "chat/names.h"

enum { RING_VERSION = 1, SEQ_MAX_BITS = 53, KIND_MAX = 64 };

/* number on the wire, mail, what it is a struct of, scope */
#define RINGS(X)                                                                                   \
	X(1, COMMITTED, conv_mail, CONV)                                                           \
	X(2, SIGNAL, signal_mail, CONV)                                                            \
	X(3, ANNOUNCE, user_mail, USER)                                                            \
	X(4, MARK, mark_mail, USER)                                                                \
	X(5, CONTACT, contact_mail, USER)                                                          \
	X(6, REVOKE, user_mail, USER)                                                              \
	X(7, VERIFY, user_mail, USER)                                                              \
	X(8, RENAME, user_mail, USER)                                                              \
	X(9, PRESENCE_NEWS, user_mail, USER)                                                       \
	X(10, GONE, user_mail, ALL)                                                                \
	X(11, AFAR, afar_mail, ALL)                                                                \
	X(12, TELL, tell_mail, ALL)

/* --- Bytes --- */

static void
put_number(struct buf *to, uint64_t value)
{
	char bytes[10];
	size_t len = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[len++] = (char)(unsigned char)(value | 0x80);
	bytes[len++] = (char)value;
	buf_append(to, bytes, len);
}

static void
put_text(struct buf *to, slice text)
{
	put_number(to, slice_given(text) ? (uint64_t)text.len + 1 : 0);
	if (text.len > 0)
		buf_put(to, text);
}

struct reader {
	const char *at, *end;
	bool bad;
};

static uint64_t
reader_fail(struct reader *r)
{
	r->bad = true;
	r->at = r->end;
	return 0;
}

static uint64_t
get_number(struct reader *r)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
		unsigned char byte = (unsigned char)*r->at++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) != 0)
			continue;
		if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1))
			break;
		return value;
	}
	return reader_fail(r);
}

static uint64_t
get_up_to(struct reader *r, uint64_t max)
{
	uint64_t value = get_number(r);

	return value <= max ? value : reader_fail(r);
}

static uint64_t
get_seq(struct reader *r)
{
	return get_up_to(r, ((uint64_t)1 << SEQ_MAX_BITS) - 1);
}

/* Borrowed from the ring. */
static slice
get_text(struct reader *r, size_t max)
{
	uint64_t len = get_number(r);
	slice text;

	if (len == 0)
		return SLICE_NONE;
	if (--len > max || len > (size_t)(r->end - r->at)) {
		(void)reader_fail(r);
		return SLICE_NONE;
	}
	text = slice_of(r->at, (size_t)len);
	r->at += len;
	return text;
}

/* The same, with an end; NULL where it is absent. */
static char *
get_string(struct reader *r, size_t max)
{
	slice text = get_text(r, max);

	return slice_given(text) ? mem_dup(text) : NULL;
}

/* Into an array; must be there. */
static void
get_name(struct reader *r, char *ret, size_t size)
{
	slice text = get_text(r, size - 1);

	if (!slice_given(text))
		(void)reader_fail(r);
	else
		(void)snprintf(ret, size, "%.*s", SLICE_ARG(text));
}

/* --- Entries --- */

static void
put_entry(struct buf *to, const struct entry *entry)
{
	const uint64_t numbers[] = {entry->seq, entry->ts, entry->sender, entry->re, entry->ends,
	    entry->edited, entry->deleted};
	const slice texts[] = {entry->kind, entry->from, entry->cmid, entry->body, entry->data};

	for (size_t i = 0; i < LEN(numbers); i++)
		put_number(to, numbers[i]);
	for (size_t i = 0; i < LEN(texts); i++)
		put_text(to, texts[i]);
}

static struct entry *
get_entry(struct reader *r, uint64_t cid, uint64_t head)
{
	uint64_t seq = get_up_to(r, head), ts = get_number(r), edited, deleted;
	struct entry_parts parts = {0};
	struct entry *entry;

	parts.sender = get_number(r);
	parts.re = get_seq(r);
	parts.ends = get_number(r);
	edited = get_seq(r);
	deleted = get_seq(r);
	parts.kind = get_text(r, KIND_MAX);
	parts.from = get_text(r, NAME_MAX_BYTES);
	parts.cmid = get_text(r, CMID_MAX_BYTES);
	parts.body = get_text(r, LIMIT_RING_MAX);
	parts.data = get_text(r, LIMIT_RING_MAX);
	if (!slice_given(parts.kind) || !slice_given(parts.from))
		(void)reader_fail(r);
	if (r->bad)
		return NULL;
	entry = entry_create(&parts);
	entry->cid = cid;
	entry->seq = seq;
	entry->ts = ts;
	entry->edited = edited;
	entry->deleted = deleted;
	entry->heard = true;
	return entry;
}

static void
put_COMMITTED(struct buf *to, const struct conv_mail *mail)
{
	bool group = mail->facts.kind == CONV_GROUP;

	put_number(to, mail->cid);
	put_number(to, mail->head);
	put_number(to, group);
	if (group) {
		put_number(to, mail->facts_seq);
		put_text(to, mail->facts.handle);
	}
	put_number(to, mail->count);
	for (size_t i = 0; i < mail->count; i++)
		put_entry(to, mail->entries[i]);
}

/* Rising, at most the head; in the mail as far as they were read. */
static void
get_entries(struct reader *r, struct conv_mail *mail, size_t count)
{
	uint64_t last = 0;

	for (size_t i = 0; i < count && !r->bad; i++) {
		struct entry *entry = get_entry(r, mail->cid, mail->head);

		if (entry == NULL)
			return;
		mail->entries[mail->count++] = entry;
		if (entry->seq <= last)
			(void)reader_fail(r);
		last = entry->seq;
	}
}

static struct conv_mail *
get_COMMITTED(struct reader *r, uint64_t *ret_id)
{
	uint64_t cid = get_number(r), head = get_seq(r), facts_seq = 0;
	struct conv_facts facts = {0};
	struct conv_mail *mail;
	size_t count;

	if (get_up_to(r, 1) == 1) {
		facts.kind = CONV_GROUP;
		facts_seq = get_seq(r);
		facts.handle = get_text(r, NAME_MAX_BYTES);
	}
	count = (size_t)get_up_to(r, LIMIT_RING_ENTRIES);
	if (r->bad)
		return NULL;
	mail = mem_zalloc(sizeof(*mail) + count * sizeof(struct entry *));
	mail->cid = *ret_id = cid;
	mail->head = head;
	mail->heard = true;
	mail->facts_seq = facts_seq;
	if (facts.kind != 0)
		mail->facts = facts_copy(&facts, &mail->text);
	get_entries(r, mail, count);
	return mail;
}

/* --- Signals, marks, contacts --- */

static void
put_SIGNAL(struct buf *to, const struct signal_mail *mail)
{
	put_number(to, mail->cid);
	put_number(to, mail->author);
	put_text(to, slice_str(mail->from));
	put_text(to, slice_str(mail->kind));
	put_text(to, slice_str(mail->data));
}

static struct signal_mail *
get_SIGNAL(struct reader *r, uint64_t *ret_id)
{
	struct signal_mail *mail = mem_zalloc(sizeof(*mail));

	mail->cid = *ret_id = get_number(r);
	mail->author = get_number(r);
	mail->from = get_string(r, NAME_MAX_BYTES);
	mail->kind = get_string(r, KIND_MAX);
	mail->data = get_string(r, LIMIT_RING_MAX);
	if (mail->from == NULL || mail->kind == NULL)
		(void)reader_fail(r);
	return mail;
}

/* The connection that marks is named to this node alone. */
static void
put_MARK(struct buf *to, const struct mark_mail *mail)
{
	put_number(to, mail->to.user);
	put_number(to, mail->cid);
	put_number(to, mail->read);
	put_number(to, mail->delivered);
	put_number(to, mail->by);
	put_text(to, slice_str(mail->user));
}

static struct mark_mail *
get_MARK(struct reader *r, uint64_t *ret_id)
{
	struct mark_mail *mail = mem_zalloc(sizeof(*mail));

	mail->to.user = *ret_id = get_number(r);
	mail->cid = get_number(r);
	mail->read = get_seq(r);
	mail->delivered = get_seq(r);
	mail->by = get_number(r);
	mail->except_shard = SHARDS_MAX;
	get_name(r, mail->user, sizeof(mail->user));
	return mail;
}

static void
put_CONTACT(struct buf *to, const struct contact_mail *mail)
{
	put_number(to, mail->to.user);
	put_number(to, mail->other);
	put_number(to, mail->order);
	put_number(to, mail->news);
	put_text(to, slice_str(mail->user));
	put_text(to, mail->noted ? slice_str(mail->note) : SLICE_NONE);
}

static struct contact_mail *
get_CONTACT(struct reader *r, uint64_t *ret_id)
{
	struct contact_mail *mail = mem_zalloc(sizeof(*mail));
	slice note;

	mail->to.user = *ret_id = get_number(r);
	mail->other = get_number(r);
	mail->order = get_number(r);
	mail->news = (enum contact_news)get_up_to(r, NEWS_UNBLOCKED);
	get_name(r, mail->user, sizeof(mail->user));
	note = get_text(r, sizeof(mail->note) - 1);
	mail->noted = slice_given(note);
	(void)snprintf(mail->note, sizeof(mail->note), "%.*s", SLICE_ARG(note));
	return mail;
}

/* --- Of one user --- */

static void
put_user(struct buf *to, const struct user_mail *mail)
{
	const uint64_t numbers[] = {mail->user, mail->session, mail->except, mail->cid, mail->seq};

	for (size_t i = 0; i < LEN(numbers); i++)
		put_number(to, numbers[i]);
	put_text(to, slice_str(mail->display));
}

static struct user_mail *
get_user(struct reader *r, uint64_t *ret_id)
{
	struct user_mail *mail = mem_zalloc(sizeof(*mail));

	mail->user = *ret_id = get_number(r);
	mail->session = get_number(r);
	mail->except = get_number(r);
	mail->cid = get_number(r);
	mail->seq = get_seq(r);
	mail->display = get_string(r, 4 * DISPLAY_MAX_CHARS);
	mail->heard = true;
	return mail;
}

#define put_ANNOUNCE put_user
#define put_REVOKE put_user
#define put_VERIFY put_user
#define put_RENAME put_user
#define put_PRESENCE_NEWS put_user
#define put_GONE put_user
#define get_ANNOUNCE get_user
#define get_REVOKE get_user
#define get_VERIFY get_user
#define get_PRESENCE_NEWS get_user
#define get_GONE get_user

static struct user_mail *
get_RENAME(struct reader *r, uint64_t *ret_id)
{
	struct user_mail *mail = get_user(r, ret_id);

	if (mail->display == NULL)
		(void)reader_fail(r);
	return mail;
}

/* --- Presence --- */

static void
put_AFAR(struct buf *to, const struct afar_mail *mail)
{
	put_number(to, mail->life);
	put_number(to, mail->number);
	put_number(to, mail->part);
	put_number(to, mail->flags);
	put_number(to, mail->count);
	for (size_t i = 0; i < mail->count; i++) {
		const struct afar_user *user = &mail->users[i];

		put_number(to, user->user);
		put_number(to, user->session_count);
		for (size_t k = 0; k < user->session_count; k++)
			put_number(to, user->sessions[k]);
		if (user->session_count == 0)
			continue;
		put_number(to, user->state);
		put_text(to, user->name);
		put_text(to, user->display);
		put_text(to, user->text);
	}
}

/* Where what a user's record points to goes; sized by the ring. */
struct afar_room {
	uint64_t *sessions;
	char *text;
};

static slice
room_text(struct afar_room *room, slice text)
{
	char *at = room->text;

	if (!slice_given(text))
		return SLICE_NONE;
	if (text.len > 0)
		memcpy(at, text.ptr, text.len);
	room->text += text.len;
	return slice_of(at, text.len);
}

static void
get_afar_user(struct reader *r, struct afar_room *room, struct afar_user *user)
{
	user->user = get_number(r);
	user->session_count = (size_t)get_up_to(r, LIMIT_RING_SESSIONS);
	user->state = PRESENCE_OFFLINE;
	user->sessions = room->sessions;
	for (size_t k = 0; k < user->session_count && !r->bad; k++)
		*room->sessions++ = get_number(r);
	if (user->session_count == 0)
		return;
	user->state = (enum presence)get_up_to(r, PRESENCE_OFFLINE);
	user->name = room_text(room, get_text(r, NAME_MAX_BYTES));
	user->display = room_text(room, get_text(r, 4 * DISPLAY_MAX_CHARS));
	user->text = room_text(room, get_text(r, 4 * PRESENCE_MAX_CHARS));
	if (!slice_given(user->name) || !slice_given(user->display))
		(void)reader_fail(r);
}

static struct afar_mail *
get_AFAR(struct reader *r, uint64_t *ret_id)
{
	uint64_t life = get_number(r), number = get_number(r);
	uint32_t part = (uint32_t)get_up_to(r, SHARDS_MAX - 1);
	uint8_t flags = (uint8_t)get_up_to(r, AFAR_BEGINS | AFAR_ENDS);
	size_t count = (size_t)get_up_to(r, LIMIT_RING_USERS), left = (size_t)(r->end - r->at);
	struct afar_mail *mail;
	struct afar_room room;

	if (r->bad || number == 0)
		return NULL;
	mail = mem_zalloc(sizeof(*mail));
	mail->life = life;
	mail->number = number;
	mail->part = part;
	mail->flags = flags;
	/* A session takes a byte at least, as a text's does. */
	mail->users =
	    mem_zalloc((count + 1) * sizeof(*mail->users) + left * (sizeof(uint64_t) + 1));
	room.sessions = (uint64_t *)(void *)(mail->users + count + 1);
	room.text = (char *)(room.sessions + left);
	for (size_t i = 0; i < count && !r->bad; i++)
		get_afar_user(r, &room, &mail->users[mail->count++]);
	*ret_id = 0;
	return mail;
}

void
afar_mail_destroy(struct afar_mail *mail)
{
	mem_free(mail->users);
	mem_free(mail);
}

static void
put_TELL(struct buf *to, const struct tell_mail *mail)
{
	put_text(to, slice_str(mail->node));
	put_number(to, mail->part);
}

static struct tell_mail *
get_TELL(struct reader *r, uint64_t *ret_id)
{
	struct tell_mail *mail = mem_zalloc(sizeof(*mail));

	get_name(r, mail->node, sizeof(mail->node));
	mail->part = (uint32_t)get_up_to(r, SHARDS_MAX);
	*ret_id = 0;
	return mail;
}

/* --- All of them --- */

#define RING_AS_PUT(n, kind, type, scope)                                                          \
	case MAIL_##kind:                                                                          \
		put_number(to, n);                                                                 \
		put_##kind(to, (const struct type *)(const void *)mail);                           \
		return;

void
ring_encode(struct buf *to, const struct mail *mail)
{
	put_number(to, RING_VERSION);
	switch (mail->kind) {
		RINGS(RING_AS_PUT)
	default:
		panic("mail of kind %u does not travel", mail->kind);
	}
}

#define RING_AS_GET(n, name, type, of)                                                             \
	case n:                                                                                    \
		mail = (struct mail *)(void *)get_##name(&r, &id_in);                              \
		kind = MAIL_##name;                                                                \
		scope_of = RING_##of;                                                              \
		break;

struct mail *
ring_decode(enum ring_scope scope, uint64_t id, slice bytes)
{
	struct reader r = {.at = bytes.ptr, .end = bytes.ptr + bytes.len};
	enum ring_scope scope_of = RING_ALL;
	struct mail *mail = NULL;
	unsigned kind = 0;
	uint64_t id_in = 0;

	if (bytes.len > LIMIT_RING_MAX || get_number(&r) != RING_VERSION)
		return NULL;
	switch (get_number(&r)) {
		RINGS(RING_AS_GET)
	default:
		return NULL;
	}
	if (mail == NULL)
		return NULL;
	mail->kind = kind;
	if (!r.bad && r.at == r.end && scope == scope_of && (scope == RING_ALL || id == id_in))
		return mail;
	ring_mail_destroy(mail);
	return NULL;
}

void
ring_mail_destroy(struct mail *mail)
{
	switch (mail->kind) {
	case MAIL_COMMITTED:
		conv_mail_destroy((struct conv_mail *)(void *)mail);
		return;
	case MAIL_SIGNAL:
		signal_mail_destroy((struct signal_mail *)(void *)mail);
		return;
	case MAIL_MARK:
	case MAIL_CONTACT:
	case MAIL_TELL:
		mem_free(mail);
		return;
	case MAIL_AFAR:
		afar_mail_destroy((struct afar_mail *)(void *)mail);
		return;
	default:
		user_mail_destroy((struct user_mail *)(void *)mail);
		return;
	}
}
