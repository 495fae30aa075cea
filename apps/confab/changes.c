/* SPDX-License-Identifier: MIT */
/* The changes of a log as sentences.  A message can't look like one: names don't begin with *. */
#include "show.h"

enum { NAMES_SHOWN = 10 };

/* What a sentence is made of. */
struct change {
	const struct client_entry *entry;
	slice me;
	struct buf scratch; /* for what is decoded; never grows */
};

static void
put_name(struct buf *to, const struct change *c, slice name)
{
	if (c->me.len > 0 && slice_eq(name, c->me))
		buf_put(to, S("you"));
	else
		show_text(to, name, SHOW_ONE_LINE);
}

/* Whom it was done to. */
static void
put_whom(struct buf *to, const struct change *c, slice name)
{
	if (c->me.len > 0 && slice_eq(name, c->me) && slice_eq(c->entry->from, c->me))
		buf_put(to, S("yourself"));
	else
		put_name(to, c, name);
}

static slice
text_of(struct change *c, slice name)
{
	return inbound_text(c->entry->data, name, &c->scratch);
}

static void
put_quoted(struct buf *to, slice text)
{
	buf_put(to, S("\""));
	show_text(to, text, SHOW_ONE_LINE);
	buf_put(to, S("\""));
}

/* The users less `but`; returns how many there are. */
static size_t
put_users(struct buf *to, struct change *c, slice but)
{
	struct json_iter it;
	struct json one;
	size_t count = 0;

	json_iter_init(&it, inbound_member(c->entry->data, S("users"), JSON_ARRAY));
	while (json_next_element(&it, &one)) {
		slice name;

		if (json_type(one) != JSON_STRING)
			continue;
		name = json_string(one, &c->scratch);
		if (slice_eq(name, but))
			continue;
		if (count++ >= NAMES_SHOWN)
			continue;
		if (count > 1)
			buf_put(to, S(", "));
		put_name(to, c, name);
	}
	if (count > NAMES_SHOWN)
		buf_printf(to, " and %zu more", count - NAMES_SHOWN);
	return count;
}

static void
put_create(struct buf *to, struct change *c)
{
	struct buf users = {0};

	buf_put(to, S(" made the group "));
	put_quoted(to, text_of(c, S("title")));
	if (put_users(&users, c, c->entry->from) > 0)
		buf_printf(to, " with %.*s", SLICE_ARG(buf_slice(&users)));
	buf_fini(&users);
}

static void
put_join(struct buf *to, struct change *c)
{
	struct buf users = {0};

	if (put_users(&users, c, c->entry->from) > 0)
		buf_printf(to, " brought in %.*s", SLICE_ARG(buf_slice(&users)));
	else
		buf_put(to, S(" joined"));
	buf_fini(&users);
}

static void
put_leave(struct buf *to, struct change *c)
{
	(void)c;
	buf_put(to, S(" left"));
}

static void
put_dismiss(struct buf *to, struct change *c)
{
	(void)c;
	buf_put(to, S(" dismissed the group"));
}

static void
put_remove(struct buf *to, struct change *c)
{
	buf_put(to, inbound_true(c->entry->data, S("ban")) ? S(" banned ") : S(" removed "));
	put_whom(to, c, text_of(c, S("user")));
}

static void
put_role(struct buf *to, struct change *c)
{
	slice role = text_of(c, S("role"));

	buf_put(to, S(" made "));
	put_whom(to, c, text_of(c, S("user")));
	if (slice_eq(role, S("owner")) || slice_eq(role, S("admin")))
		buf_put(to, S(" an "));
	else
		buf_put(to, S(" a plain "));
	show_text(to, role, SHOW_ONE_LINE);
}

static void
put_mute(struct buf *to, struct change *c)
{
	uint64_t until_ms = inbound_uint(c->entry->data, S("until"), 0);

	buf_put(to, until_ms > 0 ? S(" muted ") : S(" let "));
	put_whom(to, c, text_of(c, S("user")));
	if (until_ms > 0) {
		buf_put(to, S(" until "));
		show_time(to, until_ms, false);
	} else {
		buf_put(to, S(" write again"));
	}
}

static void
put_one_setting(struct buf *to, struct change *c, slice key, struct json value)
{
	slice text = json_type(value) == JSON_STRING ? json_string(value, &c->scratch) : SLICE_NONE;

	if (slice_eq(key, S("open"))) {
		buf_put(to, json_type(value) == JSON_TRUE ? S(" opened the group to all")
							  : S(" closed the group"));
	} else if (slice_eq(key, S("post")) || slice_eq(key, S("invite"))) {
		buf_put(to, slice_eq(text, S("admins")) ? S(" let only admins ") : S(" let all "));
		buf_put(to, slice_eq(key, S("post")) ? S("write") : S("invite"));
	} else if (slice_given(text) && text.len == 0) {
		buf_put(to, S(" took the "));
		show_text(to, key, SHOW_ONE_LINE);
		buf_put(to, S(" away"));
	} else {
		buf_put(to, S(" set the "));
		show_text(to, key, SHOW_ONE_LINE);
		buf_put(to, S(" to "));
		if (slice_eq(key, S("handle")))
			buf_put(to, S("#"));
		if (slice_eq(key, S("handle")))
			show_text(to, text, SHOW_ONE_LINE);
		else if (slice_given(text))
			put_quoted(to, text);
		else
			show_json(to, value.text);
	}
}

static void
put_set(struct buf *to, struct change *c)
{
	struct json data = c->entry->data, key, value;
	struct json_iter it;
	bool first = true;

	if (!slice_given(data.text) || json_type(data) != JSON_OBJECT)
		return;
	json_iter_init(&it, data);
	while (json_next_member(&it, &key, &value)) {
		buf_put(to, first ? S("") : S(","));
		put_one_setting(to, c, json_string(key, &c->scratch), value);
		first = false;
	}
}

static void
put_delete(struct buf *to, struct change *c)
{
	buf_printf(to, " deleted message %llu", (unsigned long long)c->entry->re);
}

static const struct {
	slice kind;
	void (*put)(struct buf *to, struct change *change);
} kinds[] = {
    {{"create", 6}, put_create},
    {{"join", 4}, put_join},
    {{"leave", 5}, put_leave},
    {{"dismiss", 7}, put_dismiss},
    {{"remove", 6}, put_remove},
    {{"role", 4}, put_role},
    {{"mute", 4}, put_mute},
    {{"set", 3}, put_set},
    {{"delete", 6}, put_delete},
};

bool
show_change(struct buf *to, const struct client_entry *entry, slice me)
{
	struct change change = {.entry = entry, .me = me};
	slice place = entry->to;

	for (size_t i = 0; i < LEN(kinds); i++) {
		if (!slice_eq(entry->kind, kinds[i].kind))
			continue;
		(void)buf_reserve(&change.scratch, entry->data.text.len + 1);
		buf_put(to, S("* "));
		if (place.len > 0 && place.ptr[0] != '@') {
			show_text(to, place, SHOW_ONE_LINE);
			buf_put(to, S(": "));
		}
		put_name(to, &change, entry->from);
		kinds[i].put(to, &change);
		buf_fini(&change.scratch);
		return true;
	}
	return false;
}
