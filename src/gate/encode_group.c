/* SPDX-License-Identifier: MIT */
/* Groups as answers show them. */
#include "gate/encode_internal.h"

static void
put_persons(struct encoding *e, const char *key, const struct op_person *items, size_t count)
{
	open_member(e->to, key, "[");
	for (size_t i = 0; i < count; i++) {
		json_comma(e->to);
		json_put_string(e->to, items[i].name);
	}
	buf_put(e->to, S("]"));
}

/* Who could not be added, and the stable name of the reason. */
static void
put_failed(struct encoding *e, const struct op_group *group)
{
	open_member(e->to, "failed", "{");
	for (size_t i = 0; i < group->failed_count; i++) {
		json_comma(e->to);
		json_put_string(e->to, group->failed[i].name);
		buf_put(e->to, S(":"));
		json_put_string(e->to, slice_str(gate_error_name(group->failed[i].err)));
	}
	buf_put(e->to, S("}"));
}

void
put_group(struct encoding *e)
{
	const struct answer *a = e->answer;
	enum group_change what = a->group.what;

	if (what == GROUP_CREATE || what == GROUP_JOIN)
		json_uint(e->to, "cid", a->group.cid);
	if (what != GROUP_UNBAN)
		put_positive(e->to, "seq", a->group.seq);
	if (what == GROUP_INVITE)
		put_persons(e, "added", a->group.of->added, a->group.of->added_count);
	if (what == GROUP_CREATE || what == GROUP_INVITE)
		put_failed(e, a->group.of);
}

static void
put_who_may(struct buf *to, const char *key, bool admins)
{
	put_word(to, key, admins ? "admins" : "all");
}

void
put_group_info(struct encoding *e)
{
	const struct op_group_info *info = e->answer->group_info.of;

	json_uint(e->to, "cid", e->answer->group_info.cid);
	json_str(e->to, "title", info->title);
	json_str(e->to, "topic", info->topic);
	json_str(e->to, "handle", e->answer->group_info.handle);
	json_bool(e->to, "open", info->open);
	json_bool(e->to, "history", info->history);
	put_who_may(e->to, "post", info->admins_post);
	put_who_may(e->to, "invite", info->admins_invite);
	json_uint(e->to, "members", info->members);
	json_uint(e->to, "online", e->answer->group_info.online);
	json_uint(e->to, "created", info->created);
	put_persons(e, "owners", info->owners, info->owner_count);
	if (info->role != ROLE_NONE)
		put_word(e->to, "role", role_name(info->role));
}

static void
put_member(struct encoding *e, size_t i)
{
	const struct op_member *member = &e->answer->members.of->items[i];
	bool banned = e->answer->members.of->banned;

	json_str(e->to, "user", member->name);
	json_str(e->to, "display", member->display);
	put_word(e->to, "role", banned ? "banned" : role_name(member->role));
	json_bool(e->to, "online", e->answer->members.online[i]);
}

void
put_members(struct encoding *e)
{
	const struct op_members *page = e->answer->members.of;
	size_t put = put_list(e, "members", page->count, put_member);

	json_bool(e->to, "more", page->more || put < page->count);
}

static void
put_listed(struct encoding *e, size_t i)
{
	const struct op_group_listed *group = &e->answer->groups->items[i];

	json_uint(e->to, "cid", group->cid);
	json_str(e->to, "title", group->title);
	json_str(e->to, "topic", group->topic);
	json_str(e->to, "handle", group->handle);
	json_uint(e->to, "members", group->members);
}

void
put_groups(struct encoding *e)
{
	const struct op_groups *page = e->answer->groups;
	size_t put = put_list(e, "groups", page->count, put_listed);

	json_bool(e->to, "more", page->more || put < page->count);
}
