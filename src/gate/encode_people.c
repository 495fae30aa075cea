/* SPDX-License-Identifier: MIT */
/* People as answers and events show them. */
#include "gate/encode_internal.h"

static const char *
presence_name(enum presence state)
{
	static const char *const names[] = {
	    [PRESENCE_ONLINE] = "online",
	    [PRESENCE_BUSY] = "busy",
	    [PRESENCE_INVISIBLE] = "invisible",
	    [PRESENCE_AWAY] = "away",
	    [PRESENCE_OFFLINE] = "offline",
	};

	assert((size_t)state < LEN(names));
	return names[state];
}

static void
put_profile(struct encoding *e, size_t i)
{
	const struct op_user *user = &e->answer->profiles.items[i];

	json_str(e->to, "user", user->name);
	json_uint(e->to, "user_id", user->uid);
	json_str(e->to, "display", user->display);
	json_str(e->to, "status", user->status);
	json_uint(e->to, "created", user->created);
}

void
put_profiles(struct encoding *e)
{
	(void)put_list(e, "users", e->answer->profiles.count, put_profile);
}

static void
put_found_user(struct encoding *e, size_t i)
{
	json_str(e->to, "user", e->answer->profiles.items[i].name);
	json_str(e->to, "display", e->answer->profiles.items[i].display);
}

void
put_found(struct encoding *e)
{
	(void)put_list(e, "users", e->answer->profiles.count, put_found_user);
}

static void
put_who_user(struct encoding *e, size_t i)
{
	const struct online_user *user = &e->answer->who.items[i];

	json_str(e->to, "user", user->name);
	json_str(e->to, "display", user->display);
	put_word(e->to, "state", presence_name(user->state));
}

void
put_who(struct encoding *e)
{
	size_t put;

	json_uint(e->to, "online", e->answer->who.online);
	put = put_list(e, "users", e->answer->who.count, put_who_user);
	json_bool(e->to, "more", e->answer->who.more || put < e->answer->who.count);
}

static void
put_presence_user(struct encoding *e, size_t i)
{
	const struct online_user *user = &e->answer->presence.items[i];

	json_str(e->to, "user", user->name);
	put_word(e->to, "state", presence_name(user->state));
	put_positive(e->to, "seen", user->seen);
}

void
put_presence(struct encoding *e)
{
	(void)put_list(e, "users", e->answer->presence.count, put_presence_user);
}
