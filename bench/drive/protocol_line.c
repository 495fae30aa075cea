/* SPDX-License-Identifier: MIT */
/* confab over lines (of JSON), and the floors. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/panic.h"
#include "drive.h"

bool with_sync = true;

/* --- confab --- */

static void
confab_hello(struct client *c, size_t number)
{
	if (number >= user_count)
		panic("user %zu is wanted, the file has %zu", number + 1, user_count);
	buf_printf(&c->out, "{\"id\":0,\"method\":\"resume\",\"params\":{\"token\":\"%s\"%s}}\n",
	    users[number].token, with_sync ? ",\"sync\":{\"backlog\":0}" : "");
}

/* With many conversations on a connection, each has an order of its own, on either side. */
static void
confab_order(struct client *c, const char *line, size_t len)
{
	static uint64_t *next, room;
	const char *at;
	uint64_t place = 2 * number_after(line, len, "\"cid\":", &at) + (size_t)(c - clients) % 2;

	if (room == 0) {
		room = 2 * (order.pairs * order.spread + 2);
		if ((next = calloc(room, sizeof(*next))) == NULL)
			panic("no memory");
	}
	if (place >= room)
		panic("an unknown conversation: %.*s", (int)len, line);
	c->next = next[place];
	next[place] = number_after(line, len, "\"seq\":", &at) + 1;
}

static void
confab_line(struct client *c, const char *line, size_t len)
{
	const char *at;

	if (len > 24 && memcmp(line + 17, "\"method\":\"message\"", 18) == 0) {
		uint64_t seq = number_after(line + 35, len - 35, "\"seq\":", &at);

		if (order.spread > 0)
			confab_order(c, line, len);
		(void)number_after(at, len - (size_t)(at - line), "\"body\":\"", &at);
		took_message(c, seq, at, len - (size_t)(at - line));
	} else if (memmem(line, len, "\"error\":", 8) != NULL) {
		panic("%.*s", (int)len, line);
	} else if (memmem(line, len, "\"epoch\":", 8) != NULL) {
		login_done();
	} else if (len > 22 && memcmp(line + 17, "\"id\":", 5) == 0) {
		took_answer(c, strtoull(line + 22, NULL, 10));
	}
}

static size_t
confab_take(struct client *c, const char *bytes, size_t len)
{
	return lines_take(c, bytes, len, confab_line);
}

void
confab_say(struct client *c, const char *to)
{
	c->sent++;
	buf_printf(&c->out,
	    "{\"id\":%llu,\"method\":\"send\",\"params\":{\"to\":%s,\"cmid\":\"%013llx-%zu\","
	    "\"body\":\"%s\"}}\n",
	    (unsigned long long)c->sent, to, (unsigned long long)clock_mono_ns(),
	    (size_t)(c - clients), body);
}

static void
confab_say_to_all(struct client *c)
{
	confab_say(c, order.group);
}

const struct protocol protocol_confab = {
    .name = "confab", .hello = confab_hello, .take = confab_take, .say_to_all = confab_say_to_all};

/* --- The floors: `N xxx` to all, `A N` an answer, `M N LINE` a message to one --- */

static void
floor_hello(struct client *c, size_t number)
{
	(void)c;
	(void)number;
	login_done();
}

static void
floor_line(struct client *c, const char *line, size_t len)
{
	const char *at;

	if (*line == 'A') {
		took_answer(c, strtoull(line + 2, NULL, 10));
	} else if (*line == 'M') {
		(void)number_after(line, len, "\"body\":\"", &at);
		took_message(c, strtoull(line + 2, NULL, 10), at, len - (size_t)(at - line));
	} else if (*line == '0') {
		if (len + 1 != order.frame)
			panic("a message of %zu bytes", len);
		took_text(c, line, len < BODY_BYTES ? len : BODY_BYTES);
	} /* else: what floor H sends */
}

static size_t
floor_take(struct client *c, const char *bytes, size_t len)
{
	return lines_take(c, bytes, len, floor_line);
}

static void
floor_say_to_all(struct client *c)
{
	char text[BODY_BYTES + 1];
	size_t len = order.frame - 1 < BODY_BYTES ? order.frame - 1 : BODY_BYTES;

	text_print(c, text, len);
	buf_append(&c->out, text, len);
	for (; len + 1 < order.frame; len++)
		buf_append(&c->out, "y", 1);
	buf_append(&c->out, "\n", 1);
}

const struct protocol protocol_floor = {
    .name = "floor", .hello = floor_hello, .take = floor_take, .say_to_all = floor_say_to_all};
