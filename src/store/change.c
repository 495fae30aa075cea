/* SPDX-License-Identifier: MIT */
#include "store/change.h"

#include "base/json_put.h"
#include "base/panic.h"

slice
change_kind(enum group_change what)
{
#define CHANGE_AS_KIND(name, kind) [GROUP_##name] = S(kind),
	static const slice kinds[] = {GROUP_CHANGES(CHANGE_AS_KIND)};

	assert(what < LEN(kinds) && kinds[what].len > 0);
	return kinds[what];
}

void
change_put_people(struct buf *to, const struct op_person *people, size_t count, slice title)
{
	buf_put(to, S("{"));
	json_key(to, "users");
	buf_put(to, S("["));
	for (size_t i = 0; i < count; i++) {
		json_comma(to);
		json_put_string(to, people[i].name);
	}
	buf_put(to, S("]"));
	if (slice_given(title))
		json_str(to, "title", title);
	buf_put(to, S("}"));
}

void
change_put_remove(struct buf *to, slice user, bool ban)
{
	buf_put(to, S("{"));
	json_str(to, "user", user);
	json_bool(to, "ban", ban);
	buf_put(to, S("}"));
}

void
change_put_role(struct buf *to, slice user, enum role role)
{
	static const slice names[] = {
	    [ROLE_MEMBER] = S("member"), [ROLE_ADMIN] = S("admin"), [ROLE_OWNER] = S("owner")};

	assert(role >= ROLE_MEMBER && role <= ROLE_OWNER);
	buf_put(to, S("{"));
	json_str(to, "user", user);
	json_str(to, "role", names[role]);
	buf_put(to, S("}"));
}

void
change_put_mute(struct buf *to, slice user, uint64_t until)
{
	buf_put(to, S("{"));
	json_str(to, "user", user);
	json_uint(to, "until", until);
	buf_put(to, S("}"));
}

static void
text_given(struct buf *to, const char *key, slice text)
{
	if (slice_given(text))
		json_str(to, key, text);
}

static void
who_given(struct buf *to, const char *key, int admins)
{
	if (admins >= 0)
		json_str(to, key, admins != 0 ? S("admins") : S("all"));
}

void
change_put_settings(struct buf *to, const struct group_settings *set)
{
	buf_put(to, S("{"));
	text_given(to, "title", set->title);
	text_given(to, "topic", set->topic);
	text_given(to, "handle", set->handle);
	if (set->open >= 0)
		json_bool(to, "open", set->open != 0);
	who_given(to, "post", set->admins_post);
	who_given(to, "invite", set->admins_invite);
	buf_put(to, S("}"));
}
