/* SPDX-License-Identifier: MIT */
/* IRC: everybody joins one channel; the author is in it too, but hears others only. */
#include <string.h>

#include "base/panic.h"
#include "drive.h"

static void
irc_hello(struct client *c, size_t number)
{
	buf_printf(&c->out, "NICK %s%zu\r\nUSER u 0 * :u\r\n", order.group, number);
}

/* The word after the prefix: `:server 001 …`. */
static bool
is(const char *line, size_t len, const char *word)
{
	const char *space = *line == ':' ? memchr(line, ' ', len) : line - 1;

	return space != NULL && len - (size_t)(space + 1 - line) > strlen(word) &&
	       memcmp(space + 1, word, strlen(word)) == 0 && space[1 + strlen(word)] == ' ';
}

static void
irc_line(struct client *c, const char *line, size_t len)
{
	const char *at;

	if (is(line, len, "PRIVMSG")) {
		(void)number_after(line, len, " :", &at);
		took_text(c, at, len - (size_t)(at - line));
	} else if (is(line, len, "PING")) {
		buf_printf(&c->out, "PONG %.*s\r\n", (int)(len - 5), line + 5);
	} else if (is(line, len, "001")) {
		buf_printf(&c->out, "JOIN #%s\r\n", order.group);
	} else if (is(line, len, "366")) { /* the end of the names: he is in */
		login_done();
	} else if (is(line, len, "ERROR") || is(line, len, "404") || is(line, len, "433")) {
		panic("%.*s", (int)len, line);
	}
}

static size_t
irc_take(struct client *c, const char *bytes, size_t len)
{
	return lines_take(c, bytes, len, irc_line);
}

static void
irc_say_to_all(struct client *c)
{
	char text[BODY_BYTES + 1];

	text_print(c, text, BODY_BYTES);
	buf_printf(&c->out, "PRIVMSG #%s :%s\r\n", order.group, text);
}

const struct protocol protocol_irc = {.name = "irc",
    .author_apart = true,
    .hello = irc_hello,
    .take = irc_take,
    .say_to_all = irc_say_to_all};
