/* SPDX-License-Identifier: MIT */
#include "bus/channels.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"
#include "bus/resp.h"

/*
 * wanted (interest > 0) and asked (the last command was SUBSCRIBE) are brought together by commands;
 * a channel is heard when it is asked for and no answer is owed.
 */
struct channel {
	struct list todo; /* in channels->todo: to be looked at */
	struct list idle; /* in channels->idle since the last interest went, oldest first */
	struct channel_key key;
	uint32_t interest;
	uint32_t unconfirmed;
	bool asked;
	bool tell; /* somebody waits to hear that it is heard */
	uint64_t idle_ms;
};

void
channels_init(struct channels *channels, slice cluster)
{
	*channels = (struct channels){0};
	(void)snprintf(
	    channels->prefix, sizeof(channels->prefix), "confab:%.*s:", SLICE_ARG(cluster));
	list_init(&channels->todo);
	list_init(&channels->idle);
}

static void
channel_forget(struct channels *channels, struct channel *channel)
{
	assert(channel->interest == 0);
	list_remove(&channel->todo);
	list_remove(&channel->idle);
	(void)map_remove(&channels->by_id[channel->key.scope], channel->key.id);
	mem_free(channel);
	gauge_add(GAUGE_BUS_CHANNELS, -1);
}

void
channels_fini(struct channels *channels)
{
	for (unsigned scope = 0; scope < RING_ALL; scope++) {
		size_t at = 0;

		gauge_add(GAUGE_BUS_CHANNELS, -(int64_t)channels->by_id[scope].count);
		for (struct channel *c; (c = map_next(&channels->by_id[scope], &at)) != NULL;)
			mem_free(c);
		map_fini(&channels->by_id[scope]);
	}
}

size_t
channels_count(const struct channels *channels)
{
	return channels->by_id[RING_CONV].count + channels->by_id[RING_USER].count;
}

/* --- Names --- */

slice
channel_name(
    const struct channels *channels, struct channel_key key, char ret_name[CHANNEL_NAME_BYTES])
{
	static const char letters[] = {[RING_CONV] = 'c', [RING_USER] = 'u', [RING_ALL] = 'n'};
	int len;

	if (key.scope == RING_ALL)
		len = snprintf(ret_name, CHANNEL_NAME_BYTES, "%sn", channels->prefix);
	else
		len = snprintf(ret_name, CHANNEL_NAME_BYTES, "%s%c:%" PRIu64, channels->prefix,
		    letters[key.scope], key.id);
	assert(len > 0 && len < CHANNEL_NAME_BYTES);
	return slice_of(ret_name, (size_t)len);
}

bool
channel_of(const struct channels *channels, slice name, struct channel_key *ret_key)
{
	struct channel_key key = {RING_ALL, 0};
	char again[CHANNEL_NAME_BYTES];
	slice rest;

	if (!slice_starts(name, slice_str(channels->prefix)))
		return false;
	rest = slice_of(name.ptr + strlen(channels->prefix), name.len - strlen(channels->prefix));
	if (slice_starts(rest, S("c:")))
		key.scope = RING_CONV;
	else if (slice_starts(rest, S("u:")))
		key.scope = RING_USER;
	for (size_t i = 2; i < rest.len && i < 22; i++)
		key.id = key.id * 10 + (uint64_t)(unsigned char)(rest.ptr[i] - '0');
	/* Whatever that made of it, only a name that we would write is one. */
	if (!slice_eq(channel_name(channels, key, again), name))
		return false;
	*ret_key = key;
	return true;
}

/* --- Interest --- */

static void
look_at(struct channels *channels, struct channel *channel)
{
	if (!list_linked(&channel->todo))
		list_push_back(&channels->todo, &channel->todo);
}

static void
idle_at(struct channels *channels, struct channel *channel, uint64_t now_ms)
{
	channel->idle_ms = now_ms;
	channel->tell = false;
	list_push_back(&channels->idle, &channel->idle);
}

bool
channels_interest(struct channels *channels, struct channel_key key, bool wanted, uint64_t now_ms)
{
	struct channel *channel;

	assert(key.scope < RING_ALL);
	channel = map_get(&channels->by_id[key.scope], key.id);
	if (channel == NULL) {
		assert(wanted);
		channel = mem_zalloc(sizeof(*channel));
		channel->key = key;
		map_put(&channels->by_id[key.scope], key.id, channel);
		gauge_add(GAUGE_BUS_CHANNELS, 1);
	}
	if (wanted) {
		channel->interest++;
		channel->tell = true;
		list_remove(&channel->idle);
		look_at(channels, channel);
		return true;
	}
	assert(channel->interest > 0);
	if (--channel->interest == 0)
		idle_at(channels, channel, now_ms);
	return false;
}

static void
put_command(const struct channels *channels, slice verb, struct channel *const *which, size_t count,
    struct buf *out)
{
	char name[CHANNEL_NAME_BYTES];

	if (count == 0)
		return;
	resp_array(out, count + 1);
	resp_bulk(out, verb);
	for (size_t i = 0; i < count; i++)
		resp_bulk(out, channel_name(channels, which[i]->key, name));
}

static void
ask(struct channels *channels, struct channel *channel, bool subscribe)
{
	channel->asked = subscribe;
	channel->unconfirmed++;
	channels->unconfirmed++;
}

static void
subscribe_some(struct channels *channels, struct buf *out, struct buf *ret_opened)
{
	struct channel *which[LIMIT_CHANNELS_COMMAND];
	size_t count = 0;
	struct list *element;

	while (count < LEN(which) && (element = list_pop(&channels->todo)) != NULL) {
		struct channel *c = container_of(element, struct channel, todo);

		if (c->interest == 0)
			continue;
		if (!c->asked) {
			ask(channels, c, true);
			which[count++] = c;
		} else if (c->unconfirmed == 0 && c->tell) {
			c->tell = false;
			buf_append(ret_opened, &c->key, sizeof(c->key));
		}
	}
	put_command(channels, S("SUBSCRIBE"), which, count, out);
}

static struct channel *
first_idle(const struct channels *channels)
{
	return list_empty(&channels->idle)
		   ? NULL
		   : container_of(channels->idle.next, struct channel, idle);
}

uint64_t
channels_due_ms(const struct channels *channels)
{
	const struct channel *first = first_idle(channels);

	return first != NULL ? first->idle_ms + CHANNEL_LINGER_MS : UINT64_MAX;
}

static void
unsubscribe_some(struct channels *channels, uint64_t now_ms, struct buf *out)
{
	struct channel *which[LIMIT_CHANNELS_COMMAND];
	size_t count = 0;

	while (count < LEN(which) && channels_due_ms(channels) <= now_ms) {
		struct channel *c = first_idle(channels);

		list_remove(&c->idle);
		if (c->asked) {
			ask(channels, c, false);
			which[count++] = c;
		} else if (c->unconfirmed == 0) {
			channel_forget(channels, c);
		}
	}
	put_command(channels, S("UNSUBSCRIBE"), which, count, out);
}

bool
channels_turn(struct channels *channels, uint64_t now_ms, struct buf *out, struct buf *ret_opened)
{
	subscribe_some(channels, out, ret_opened);
	unsubscribe_some(channels, now_ms, out);
	return !list_empty(&channels->todo) || channels_due_ms(channels) <= now_ms;
}

bool
channels_confirm(struct channels *channels, struct channel_key key, bool subscribed)
{
	struct channel *c =
	    key.scope < RING_ALL ? map_get(&channels->by_id[key.scope], key.id) : NULL;
	bool tell;

	if (c == NULL || c->unconfirmed == 0)
		return false;
	c->unconfirmed--;
	channels->unconfirmed--;
	if (c->unconfirmed > 0)
		return false;
	if (!c->asked && c->interest == 0 && !list_linked(&c->idle)) {
		channel_forget(channels, c);
		return false;
	}
	tell = subscribed && c->asked && c->tell;
	if (tell)
		c->tell = false;
	return tell;
}

void
channels_reset(struct channels *channels)
{
	struct list *element;

	channels->unconfirmed = 0;
	while ((element = list_pop(&channels->idle)) != NULL)
		channel_forget(channels, container_of(element, struct channel, idle));
	for (unsigned scope = 0; scope < RING_ALL; scope++) {
		size_t at = 0;

		for (struct channel *c; (c = map_next(&channels->by_id[scope], &at)) != NULL;) {
			c->asked = false;
			c->unconfirmed = 0;
			if (c->interest > 0)
				look_at(channels, c);
			else /* its unsubscription was not answered: forgotten next turn */
				idle_at(channels, c, 0);
		}
	}
}
