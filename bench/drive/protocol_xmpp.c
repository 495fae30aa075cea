/* SPDX-License-Identifier: MIT */
/*
 * XMPP: anonymous users of `localhost` in one room of `muc.localhost`.  A server's stanzas are not parsed but
 * searched: each step of the login waits for the one mark that ends it, and then only messages matter.
 */
#include <string.h>

#include "base/panic.h"
#include "drive.h"

static const char stream[] =
    "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xml:lang='en' "
    "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

static void
xmpp_hello(struct client *c, size_t number)
{
	(void)number;
	buf_printf(&c->out, "%s", stream);
}

static void
step_auth(struct client *c)
{
	buf_printf(
	    &c->out, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>");
}

static void
step_again(struct client *c)
{
	buf_printf(&c->out, "%s", stream);
}

static void
step_bind(struct client *c)
{
	buf_printf(&c->out,
	    "<iq type='set' id='b'><bind "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>");
}

static void
step_session(struct client *c)
{
	buf_printf(&c->out, "<iq type='set' id='s'><session "
			    "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq><presence/>");
}

static void
step_join(struct client *c)
{
	buf_printf(&c->out,
	    "<presence to='%s@muc.localhost/%zu'><x xmlns='http://jabber.org/protocol/muc'>"
	    "<history maxstanzas='0'/></x></presence>",
	    order.group, (size_t)(c - clients));
}

static void
step_in(struct client *c)
{
	(void)c;
	login_done();
}

static const struct {
	const char *mark;
	void (*then)(struct client *c);
} steps[] = {
    {"</stream:features>", step_auth}, {"<success", step_again}, {"</stream:features>", step_bind},
    {"</bind>", step_session}, {"</iq>", step_join}, /* of bind */
    {"<subject", step_in}, /* the room's subject comes last when one enters */
};

static void
took_stanza(struct client *c, const char *at, size_t len)
{
	const char *text = memmem(at, len, "<body>", 6), *end;

	if (memmem(at, len, "type='error'", 12) != NULL ||
	    memmem(at, len, "type=\"error\"", 12) != NULL)
		panic("%.*s", (int)len, at);
	if (text == NULL || text[6] != '0')
		return; /* a subject, or what the room says about itself */
	text += 6;
	if ((end = memmem(text, len - (size_t)(text - at), "</body>", 7)) == NULL)
		panic("no end of %.*s", (int)len, at);
	took_text(c, text, (size_t)(end - text));
}

static size_t
take_messages(struct client *c, const char *bytes, size_t len)
{
	const char *at = bytes, *end = bytes + len, *from, *to;

	while ((from = memmem(at, (size_t)(end - at), "<message", 8)) != NULL) {
		if ((to = memmem(from, (size_t)(end - from), "</message>", 10)) == NULL)
			return (size_t)(from - bytes);
		took_stanza(c, from, (size_t)(to - from));
		at = to + 10;
	}
	/* The beginning of a message may be among the last bytes. */
	return (size_t)(end - at) > 8 ? len - 8 : (size_t)(at - bytes);
}

static size_t
xmpp_take(struct client *c, const char *bytes, size_t len)
{
	const char *at = bytes, *found;

	for (; c->stage < LEN(steps); c->stage++) {
		size_t left = len - (size_t)(at - bytes);

		if (memmem(at, left, "<failure", 8) != NULL ||
		    memmem(at, left, "<stream:error", 13) != NULL)
			panic("%.*s", (int)left, at);
		if ((found = memmem(
			 at, left, steps[c->stage].mark, strlen(steps[c->stage].mark))) == NULL)
			return (size_t)(at - bytes);
		at = found + strlen(steps[c->stage].mark);
		steps[c->stage].then(c);
	}
	return (size_t)(at - bytes) + take_messages(c, at, len - (size_t)(at - bytes));
}

static void
xmpp_say_to_all(struct client *c)
{
	char text[BODY_BYTES + 1];

	text_print(c, text, BODY_BYTES);
	buf_printf(&c->out,
	    "<message to='%s@muc.localhost' type='groupchat' id='%llu'><body>%s</body></message>",
	    order.group, (unsigned long long)c->sent, text);
}

const struct protocol protocol_xmpp = {
    .name = "xmpp", .hello = xmpp_hello, .take = xmpp_take, .say_to_all = xmpp_say_to_all};
