/* SPDX-License-Identifier: MIT */
/* Redis and NATS: subscriptions to one channel. */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "drive.h"

/* --- Redis --- */

static void
redis_hello(struct client *c, size_t number)
{
	if (number < order.members)
		buf_printf(&c->out, "SUBSCRIBE %s\r\n", order.group);
	else
		login_done();
}

static void
redis_line(struct client *c, const char *line, size_t len)
{
	if (*line == '0' && len == BODY_BYTES)
		took_text(c, line, len);
	else if (len == 9 && memcmp(line, "subscribe", 9) == 0)
		login_done();
	else if (*line == '-')
		panic("%.*s", (int)len, line);
}

static size_t
redis_take(struct client *c, const char *bytes, size_t len)
{
	return lines_take(c, bytes, len, redis_line);
}

static void
redis_say_to_all(struct client *c)
{
	char text[BODY_BYTES + 1];

	text_print(c, text, BODY_BYTES);
	buf_printf(&c->out, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n",
	    strlen(order.group), order.group, BODY_BYTES, text);
}

/* A connection that has subscribed may not publish. */
const struct protocol protocol_redis = {.name = "redis",
    .author_apart = true,
    .hello = redis_hello,
    .take = redis_take,
    .say_to_all = redis_say_to_all};

/* --- NATS --- */

static void
nats_hello(struct client *c, size_t number)
{
	(void)number;
	buf_printf(&c->out,
	    "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB %s 1\r\nPING\r\n", order.group);
}

/* The text of a message is a line of its own, after `MSG subject sid 200`. */
static void
nats_line(struct client *c, const char *line, size_t len)
{
	if (*line == '0' && len == BODY_BYTES)
		took_text(c, line, len);
	else if (len >= 4 && memcmp(line, "PING", 4) == 0)
		buf_printf(&c->out, "PONG\r\n");
	else if (len >= 4 && memcmp(line, "PONG", 4) == 0)
		login_done();
	else if (*line == '-')
		panic("%.*s", (int)len, line);
}

static size_t
nats_take(struct client *c, const char *bytes, size_t len)
{
	return lines_take(c, bytes, len, nats_line);
}

static void
nats_say_to_all(struct client *c)
{
	char text[BODY_BYTES + 1];

	text_print(c, text, BODY_BYTES);
	buf_printf(&c->out, "PUB %s %d\r\n%s\r\n", order.group, BODY_BYTES, text);
}

const struct protocol protocol_nats = {
    .name = "nats", .hello = nats_hello, .take = nats_take, .say_to_all = nats_say_to_all};
