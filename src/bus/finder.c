/* SPDX-License-Identifier: MIT */
#include "bus/finder.h"

#include "base/panic.h"
#include "bus/resp.h"

void
finder_init(struct finder *finder, const struct redis_url *url)
{
	*finder = (struct finder){.url = url, .link = {.fd = -1}};
}

void
finder_stop(struct finder *finder)
{
	link_close(&finder->link);
	finder->state = FINDER_IDLE;
}

static void
ask_next(struct finder *finder, uint64_t now_ms)
{
	struct link_login login = {
	    .user = finder->url->sentinel_user,
	    .password = finder->url->sentinel_password,
	};

	link_close(&finder->link);
	while (finder->tried++ < finder->url->place_count) {
		finder->at = (finder->at + 1) % finder->url->place_count;
		finder->asked = false;
		finder->why =
		    link_open(&finder->link, &finder->url->places[finder->at], 0, &login, now_ms);
		finder->link.until_ms = now_ms + FINDER_ASK_MS;
		if (finder->why == NULL)
			return;
	}
	finder->state = FINDER_FAILED;
	if (finder->why == NULL)
		finder->why = "no Sentinel can be reached";
}

void
finder_begin(struct finder *finder, uint64_t now_ms)
{
	assert(finder->state != FINDER_ASKING);
	finder->state = FINDER_ASKING;
	finder->tried = 0;
	/* The one that knew it last is asked first. */
	finder->at += finder->url->place_count - 1;
	ask_next(finder, now_ms);
}

static bool
text_copy(const redisReply *from, char *to, size_t size)
{
	if (from->type != REDIS_REPLY_STRING || from->len == 0 || from->len >= size)
		return false;
	memcpy(to, from->str, from->len + 1);
	return true;
}

static const char *
take(struct finder *finder, const redisReply *reply)
{
	struct place found = {0};

	if (reply->type == REDIS_REPLY_ERROR)
		return "Sentinel refuses";
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return "Sentinel knows no master of that name";
	if (!text_copy(reply->element[0], found.host, sizeof(found.host)) ||
	    !text_copy(reply->element[1], found.port, sizeof(found.port)))
		return "Sentinel answers strangely";
	finder->found = found;
	finder->state = FINDER_FOUND;
	return NULL;
}

static const char *
talk(struct finder *finder)
{
	const char *const question[] = {
	    "SENTINEL", "get-master-addr-by-name", finder->url->sentinel, NULL};
	const char *why = NULL;
	redisReply *reply;

	if (finder->link.state != LINK_UP)
		return NULL;
	if (!finder->asked) {
		finder->asked = true;
		resp_command(&finder->link.out, question);
		return link_flush(&finder->link);
	}
	if ((reply = link_answer(&finder->link, &why)) == NULL)
		return why;
	why = take(finder, reply);
	freeReplyObject(reply);
	return why;
}

void
finder_ready(struct finder *finder, short events, uint64_t now_ms)
{
	const char *why;

	if (finder->state != FINDER_ASKING)
		return;
	why = link_ready(&finder->link, events, now_ms);
	if (why == NULL)
		why = talk(finder);
	if (finder->state == FINDER_FOUND) {
		link_close(&finder->link);
		return;
	}
	if (why == NULL && now_ms >= finder->link.until_ms)
		why = "no Sentinel can be reached";
	if (why == NULL)
		return;
	finder->why = why;
	ask_next(finder, now_ms);
	if (finder->state == FINDER_FAILED)
		finder->why = why;
}
