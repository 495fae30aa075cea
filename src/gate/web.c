/* SPDX-License-Identifier: MIT */
/* HTTP on the same port: a page, the three paths that machines ask for, and the upgrade to
 * WebSocket. */
#include "gate/session.h"

#include <strings.h>

#include "base/stat.h"
#include "gate/cidr.h"
#include "wire/http.h"

#define TEXT S("text/plain; charset=utf-8")

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>confab</title>\n"
    "<style>\n"
    "body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 "
    "1rem;\n"
    "  color-scheme: light dark }\n"
    "pre { background: #8882; padding: .8rem 1rem; overflow-x: auto; border-radius: 6px }\n"
    "</style>\n"
    "<h1>confab</h1>\n"
    "<p>This is a chat server, and it is listening. One port speaks everything; here are three "
    "ways in.\n"
    "<h2>In a terminal</h2>\n"
    "<pre>confab --server <span class=\"host\">127.0.0.1:7000</span></pre>\n"
    "<h2>With nothing but nc</h2>\n"
    "<p>One JSON object a line. Type these, or others of the protocol:\n"
    "<pre>nc <span class=\"host split\">127.0.0.1 7000</span>\n"
    "{\"id\":1,\"method\":\"register\",\"params\":{\"user\":\"alice\",\"password\":\"correct "
    "horse\",\"sync\":true}}\n"
    "{\"id\":2,\"method\":\"send\",\"params\":{\"to\":\"@bob\",\"body\":\"hi\"}}</pre>\n"
    "<h2>From a browser</h2>\n"
    "<p>The same objects, one a message, over WebSocket:\n"
    "<pre>const ws = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws', 'confab.v1');\n"
    "ws.onmessage = event =&gt; console.log(JSON.parse(event.data));\n"
    "ws.onopen = () =&gt; ws.send(JSON.stringify({id: 1, method: 'hello'}));</pre>\n"
    "<p>Machines ask <a href=\"/healthz\">/healthz</a>, <a href=\"/readyz\">/readyz</a> and\n"
    "<a href=\"/metrics\">/metrics</a>.\n"
    "<script>\n"
    "for (const e of document.querySelectorAll('.host'))\n"
    "  e.textContent = location.hostname + (e.classList.contains('split') ? ' ' : ':') +\n"
    "    (location.port || (location.protocol == 'https:' ? 443 : 80));\n"
    "</script>\n";

/* One request and how it is answered. */
struct visit {
	struct session *session;
	const struct http_request *request;
	bool head;
	bool keep_alive;
};

static void
answer(const struct visit *v, unsigned status, slice type, slice extra, slice body)
{
	struct buf to = {0};

	http_put_answer(&to, status, type, extra, body, v->head, v->keep_alive);
	conn_write(v->session->conn, buf_slice(&to));
	buf_fini(&to);
}

/* A reason in one line, for whoever looks at it with curl. */
static void
answer_text(const struct visit *v, unsigned status, slice text)
{
	answer(v, status, TEXT, S("Cache-Control: no-store\r\n"), text);
}

static bool
is_monitor(const struct session *s)
{
	struct sockaddr_storage address;

	conn_address(s->conn, &address);
	return cidr_loopback(&address) || cidr_any(s->gate->config.monitors, &address);
}

static void
show_page(struct visit *v)
{
	answer(v, 200, S("text/html; charset=utf-8"),
	    S("Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: "
	      "no-referrer\r\n"),
	    slice_of(page, sizeof(page) - 1));
}

static void
show_health(struct visit *v)
{
	answer_text(v, 200, S("ok\n"));
}

static void
show_ready(struct visit *v)
{
	const struct gate_config *config = &v->session->gate->config;
	const char *why = NULL;
	struct buf text = {0};

	if (config->ready == NULL || config->ready(config->cookie, &why)) {
		answer_text(v, 200, S("ready\n"));
		return;
	}
	buf_put(&text, S("not ready"));
	if (why != NULL && is_monitor(v->session)) {
		buf_put(&text, S(": "));
		buf_put(&text, slice_str(why));
	}
	buf_put(&text, S("\n"));
	answer_text(v, 503, buf_slice(&text));
	buf_fini(&text);
}

static void
show_metrics(struct visit *v)
{
	const struct gate_config *config = &v->session->gate->config;
	struct buf text = {0};

	if (!is_monitor(v->session)) {
		answer_text(v, 403, S("metrics are for loopback and configured addresses\n"));
		return;
	}
	if (config->metrics != NULL)
		config->metrics(config->cookie, &text);
	answer(v, 200, S("text/plain; version=0.0.4; charset=utf-8"),
	    S("Cache-Control: no-store\r\n"), buf_slice(&text));
	buf_fini(&text);
}

/* --- The upgrade --- */

static bool
same_text(slice a, slice b)
{
	return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

/* Pages of this host and of configured ones may connect; programs that are no browser send no
 * Origin. */
static bool
origin_allowed(const struct visit *v)
{
	slice origin = http_header(v->request, S("Origin")),
	      host = http_header(v->request, S("Host"));
	const char *const *allowed = v->session->gate->config.origins;
	slice schemes[] = {S("http://"), S("https://")};

	if (!slice_given(origin))
		return true;
	for (size_t i = 0; slice_given(host) && host.len > 0 && i < LEN(schemes); i++)
		if (origin.len > schemes[i].len &&
		    same_text(slice_of(origin.ptr, schemes[i].len), schemes[i]) &&
		    same_text(
			slice_of(origin.ptr + schemes[i].len, origin.len - schemes[i].len), host))
			return true;
	for (; allowed != NULL && *allowed != NULL; allowed++)
		if (same_text(origin, slice_str(*allowed)))
			return true;
	return false;
}

enum offer { OFFER_NONE, OFFER_OURS, OFFER_OTHERS };

/* Unlike the tokens of HTTP, names of subprotocols have a case. */
static bool
offers(slice field, slice name)
{
	const char *at = field.ptr, *end = field.ptr + field.len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma != NULL ? comma : end, *next = stop + 1;

		while (at < stop && (*at == ' ' || *at == '\t'))
			at++;
		while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
		if (slice_eq(slice_of(at, (size_t)(stop - at)), name))
			return true;
		if (comma == NULL)
			return false;
		at = next;
	}
	return false;
}

/* The field may come several times. */
static enum offer
subprotocol_offer(const struct http_request *request)
{
	enum offer offer = OFFER_NONE;

	for (size_t i = 0; i < request->header_count; i++) {
		if (!same_text(request->headers[i].name, S("Sec-WebSocket-Protocol")))
			continue;
		if (offers(request->headers[i].value, S("confab.v1")))
			return OFFER_OURS;
		offer = OFFER_OTHERS;
	}
	return offer;
}

/* A list may be spread over several fields of its name; proxies do that. */
static bool
has_token(const struct http_request *request, slice name, slice token)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (same_text(request->headers[i].name, name) &&
		    http_has_token(request->headers[i].value, token))
			return true;
	return false;
}

static bool
asks_upgrade(const struct http_request *request)
{
	return request->minor >= 1 && has_token(request, S("Upgrade"), S("websocket")) &&
	       has_token(request, S("Connection"), S("upgrade"));
}

static void
accept_upgrade(struct visit *v, slice key, enum offer offer)
{
	char accept[WS_ACCEPT_BYTES];
	struct buf to = {0};

	ws_accept_key(key, accept);
	buf_put(&to,
	    S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
	buf_put(&to, S("Sec-WebSocket-Accept: "));
	buf_append(&to, accept, sizeof(accept));
	if (offer == OFFER_OURS)
		buf_put(&to, S("\r\nSec-WebSocket-Protocol: confab.v1"));
	buf_put(&to, S("\r\n\r\n"));
	conn_write(v->session->conn, buf_slice(&to));
	buf_fini(&to);
	session_meet(v->session, PHASE_WS);
}

static void
upgrade(struct visit *v)
{
	slice key = http_header(v->request, S("Sec-WebSocket-Key"));
	slice version = http_header(v->request, S("Sec-WebSocket-Version"));
	enum offer offer = subprotocol_offer(v->request);

	v->keep_alive = false;
	if (!asks_upgrade(v->request))
		answer(v, 426, TEXT, S("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
		    S("this path speaks WebSocket\n"));
	else if (!slice_given(version) || !slice_eq(version, S("13")))
		answer(v, 426, TEXT, S("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
		    S("version 13 of WebSocket is spoken here\n"));
	else if (!slice_given(key) || !ws_key_valid(key))
		answer_text(v, 400, S("Sec-WebSocket-Key is to be the base64 of 16 bytes\n"));
	else if (v->request->content_length > 0)
		answer_text(v, 400, S("a body has no place before WebSocket\n"));
	else if (offer == OFFER_OTHERS)
		answer_text(v, 400, S("the subprotocol here is confab.v1\n"));
	else if (!origin_allowed(v))
		answer_text(v, 403,
		    S("pages of this origin may not connect; the server's configuration lists who "
		      "may\n"));
	else
		accept_upgrade(v, key, offer);
}

/* --- Requests --- */

static const struct route {
	const char *path, *allow;
	bool head; /* HEAD is answered as GET without the body */
	void (*show)(struct visit *v);
} routes[] = {
    {"/", "Allow: GET, HEAD\r\n", true, show_page},
    {"/healthz", "Allow: GET, HEAD\r\n", true, show_health},
    {"/readyz", "Allow: GET, HEAD\r\n", true, show_ready},
    {"/metrics", "Allow: GET, HEAD\r\n", true, show_metrics},
    {"/ws", "Allow: GET\r\n", false, upgrade},
};

static const struct route *
route_find(slice path)
{
	for (size_t i = 0; i < LEN(routes); i++)
		if (slice_eq(path, slice_str(routes[i].path)))
			return &routes[i];
	return NULL;
}

static void
serve(struct visit *v)
{
	const struct route *route = route_find(v->request->path);

	if (route == NULL)
		answer_text(v, 404, S("there is nothing here\n"));
	else if (slice_eq(v->request->method, S("GET")) || (v->head && route->head))
		route->show(v);
	else
		answer(
		    v, 405, TEXT, slice_str(route->allow), S("this method has no meaning here\n"));
}

static void
refuse(struct visit *v, uint32_t wait_ms)
{
	char extra[64];
	int len = snprintf(extra, sizeof(extra), "Retry-After: %u\r\n", wait_ms / 1000 + 1);

	v->keep_alive = false;
	answer(v, 429, TEXT, slice_of(extra, (size_t)len), S("too fast; try again later\n"));
}

/* One request; how many bytes it took, 0 if it is not whole. */
static size_t
visit(struct session *s, slice in)
{
	struct http_request request;
	int used = http_parse(in, &request);
	struct visit v = {.session = s, .request = &request};
	struct fault limited;

	if (used == 0)
		return 0;
	stat_add(STAT_HTTP_REQUESTS, 1);
	session_await(s);
	if (used < 0) {
		answer_text(
		    &v, (unsigned)-used, S("this is not a request that is understood here\n"));
		session_finish(s, 0, CLOSE_PROTOCOL);
		return in.len;
	}
	v.head = slice_eq(request.method, S("HEAD"));
	/* No path takes a body: what comes with one is answered and not read. */
	v.keep_alive = request.keep_alive && request.content_length == 0;
	limited = session_spend(s, 0, (size_t)used, false);
	if (limited.err == ERR_OK)
		serve(&v);
	else
		refuse(&v, limited.retry_after_ms);
	if (s->phase == PHASE_HTTP && !v.keep_alive)
		session_finish(s, 0, CLOSE_DONE);
	return s->finishing ? in.len : (size_t)used;
}

size_t
web_input(struct session *s, char *bytes, size_t len)
{
	size_t used = 0, n;

	while (used < len && s->phase == PHASE_HTTP && session_may_read(s)) {
		if ((n = visit(s, slice_of(bytes + used, len - used))) == 0)
			break;
		used += n;
	}
	return used;
}
