/* SPDX-License-Identifier: MIT */
/* MQTT 3.1.1, quality of service 0 and 1: a subscription to one topic, the author's too. */
#include <string.h>

#include "base/panic.h"
#include "drive.h"

enum {
	CONNECT = 0x10,
	CONNACK = 0x20,
	PUBLISH = 0x30,
	PUBACK = 0x40,
	SUBSCRIBE = 0x82,
	SUBACK = 0x90,
	QOS1 = 0x02
};

static void
put_length(struct buf *out, size_t len)
{
	do {
		char byte = (char)(len % 128 | (len >= 128 ? 128 : 0));

		buf_append(out, &byte, 1);
		len /= 128;
	} while (len > 0);
}

static void
put_u16(struct buf *out, size_t n)
{
	buf_append(out, (char[]){(char)(n >> 8), (char)n}, 2);
}

static void
put_string(struct buf *out, const char *text)
{
	put_u16(out, strlen(text));
	buf_append(out, text, strlen(text));
}

static void
put_packet(struct client *c, unsigned char kind, const struct buf *rest)
{
	buf_append(&c->out, &kind, 1);
	put_length(&c->out, buf_len(rest));
	buf_append(&c->out, buf_head(rest), buf_len(rest));
}

static void
hello(struct client *c, size_t number, unsigned char qos)
{
	struct buf rest = {0};

	put_string(&rest, "MQTT");
	buf_append(&rest, "\x04\x02\x00\x00", 4); /* 3.1.1, a clean session, no pings */
	put_u16(&rest, strlen(order.group) + 8);
	buf_printf(&rest, "%s%08zu", order.group, number);
	put_packet(c, CONNECT, &rest);
	buf_clear(&rest);
	put_u16(&rest, 1);
	put_string(&rest, order.group);
	buf_append(&rest, &qos, 1);
	put_packet(c, SUBSCRIBE, &rest);
	buf_fini(&rest);
}

static void
mqtt0_hello(struct client *c, size_t number)
{
	hello(c, number, 0);
}

static void
mqtt1_hello(struct client *c, size_t number)
{
	hello(c, number, 1);
}

static void
took_publish(struct client *c, unsigned char kind, const unsigned char *at, size_t len)
{
	size_t head = 2 + ((size_t)at[0] << 8 | at[1]);

	if ((kind & QOS1) != 0) {
		buf_append(&c->out, (char[]){PUBACK, 2, (char)at[head], (char)at[head + 1]}, 4);
		head += 2;
	}
	if (len != head + BODY_BYTES)
		panic("a message of %zu bytes", len - head);
	took_text(c, (const char *)at + head, BODY_BYTES);
}

static void
took_packet(struct client *c, unsigned char kind, const unsigned char *at, size_t len)
{
	if ((kind & 0xf0) == PUBLISH)
		took_publish(c, kind, at, len);
	else if (kind == SUBACK)
		login_done();
	else if (kind == CONNACK && at[1] != 0)
		panic("refused: %u", at[1]);
}

static size_t
mqtt_take(struct client *c, const char *bytes, size_t len)
{
	const unsigned char *at = (const unsigned char *)bytes, *end = at + len;

	for (;;) {
		size_t size = 0, i = 1;

		do {
			if (at + i >= end)
				return (size_t)(at - (const unsigned char *)bytes);
			size |= (size_t)(at[i] & 127) << (7 * (i - 1));
		} while ((at[i++] & 128) != 0 && i <= 4);
		if ((size_t)(end - at) < i + size)
			return (size_t)(at - (const unsigned char *)bytes);
		took_packet(c, at[0], at + i, size);
		at += i + size;
	}
}

static void
say(struct client *c, unsigned char kind)
{
	char text[BODY_BYTES + 1];
	struct buf rest = {0};

	text_print(c, text, BODY_BYTES);
	put_string(&rest, order.group);
	if ((kind & QOS1) != 0)
		put_u16(&rest, c->sent % 65535 + 1);
	buf_append(&rest, text, BODY_BYTES);
	put_packet(c, kind, &rest);
	buf_fini(&rest);
}

static void
mqtt0_say_to_all(struct client *c)
{
	say(c, PUBLISH);
}

static void
mqtt1_say_to_all(struct client *c)
{
	say(c, PUBLISH | QOS1);
}

const struct protocol protocol_mqtt0 = {
    .name = "mqtt0", .hello = mqtt0_hello, .take = mqtt_take, .say_to_all = mqtt0_say_to_all};
const struct protocol protocol_mqtt1 = {
    .name = "mqtt1", .hello = mqtt1_hello, .take = mqtt_take, .say_to_all = mqtt1_say_to_all};
