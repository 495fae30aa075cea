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
	put_given(e->to, "text", user->text);
	put_positive(e->to, "seen", user->seen);
}

void
put_presence(struct encoding *e)
{
	if (put_list(e, "users", e->answer->presence.count, put_presence_user) <
	    e->answer->presence.count)
		json_bool(e->to, "more", true);
}

/* --- Contacts --- */

static const char *
contact_state_name(enum contact_state state)
{
	static const char *const names[] = {
	    [CONTACT_REQUESTED] = "requested",
	    [CONTACT_INCOMING] = "incoming",
	    [CONTACT_BOTH] = "contact",
	    [CONTACT_BLOCKED] = "blocked",
	};

	assert((size_t)state < LEN(names) && names[state] != NULL);
	return names[state];
}

void
put_contact(struct encoding *e)
{
	put_word(e->to, "state", contact_state_name(e->answer->contact.state));
}

static void
put_contact_listed(struct encoding *e, size_t i)
{
	const struct op_contact_listed *item = &e->answer->contacts.of->items[i];
	const struct online_user *presence = &e->answer->contacts.presence[i];

	json_str(e->to, "user", item->name);
	json_str(e->to, "display", item->display);
	put_word(e->to, "state", contact_state_name(item->state));
	put_given(e->to, "note", item->note);
	put_word(e->to, "presence", presence_name(presence->state));
	put_positive(e->to, "seen", presence->seen);
}

void
put_contacts(struct encoding *e)
{
	const struct op_contacts_page *page = e->answer->contacts.of;
	size_t put = put_list(e, "contacts", page->count, put_contact_listed);

	json_bool(e->to, "more", page->more || put < page->count);
}

void
put_contact_event(struct buf *to, const struct event *event)
{
	static const char *const states[] = {
	    [NEWS_REQUESTED] = "requested",
	    [NEWS_INCOMING] = "incoming",
	    [NEWS_CONTACT] = "contact",
	    [NEWS_REJECTED] = "rejected",
	    [NEWS_REMOVED] = "removed",
	    [NEWS_BLOCKED] = "blocked",
	    [NEWS_UNBLOCKED] = "unblocked",
	};
	enum contact_news news = event->contact.news;

	assert((size_t)news < LEN(states) && states[news] != NULL);
	open_notification(to, "contact");
	json_str(to, "user", event->contact.user);
	put_word(to, "state", states[news]);
	put_given(to, "note", event->contact.note);
}

void
put_presence_event(struct buf *to, const struct event *event)
{
	const struct online_user *user = &event->presence;

	open_notification(to, "presence");
	json_str(to, "user", user->name);
	put_word(to, "state", presence_name(user->state));
	put_given(to, "text", user->text);
	put_positive(to, "seen", user->seen);
}
