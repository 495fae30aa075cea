/* SPDX-License-Identifier: MIT */
/*
 * A strict parser for the head of an HTTP/1.1 request (RFC 9112), and the writer of small answers.  What
 * could be read two ways is refused: bare CR or LF, obs-fold, white space before a colon, several or
 * conflicting lengths, chunked bodies (501), more than HTTP_HEADERS_MAX fields.
 */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include "base/buf.h"
#include "base/slice.h"

enum { HTTP_HEAD_MAX = 8192, HTTP_HEADERS_MAX = 64 };

struct http_header {
	slice name, value; /* value without white space around */
};

struct http_request {
	slice method;
	slice target;   /* origin-form, as sent */
	slice path;     /* the target up to '?' */
	slice query;    /* behind '?', ptr NULL if none */
	unsigned minor; /* HTTP/1.minor: 0 or 1 */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t header_count;
	uint64_t content_length; /* 0 if none was given */
	bool has_length;
	bool keep_alive;
};

/*
 * Parses a request's head at the front of `in`: > 0 bytes used (the body follows), 0 more needed, < 0 the
 * negated status to answer with before closing: 400, 413, 414, 431, 501, 505.  Slices point into `in`.  A line
 * that is wrong is told as soon as it is whole.  Two of a field that says one thing (Host, Content-Length,
 * Authorization, Sec-WebSocket-Key…) are refused.
 */
int http_parse(slice in, struct http_request *ret_request);
/* The first field of that name (case does not matter), or an absent slice. */
slice http_header(const struct http_request *request, slice name);
/* Whether a comma-separated field has that token (case does not matter). */
bool http_has_token(slice field, slice token);
/* The first such parameter of a query, decoded and appended to `to`; false if it is not there or malformed. */
bool http_query(slice query, slice name, struct buf *to);

/*
 * Appends a whole answer.  extra: further header lines, each ended by CRLF, or none; with 101 its Upgrade and
 * Connection, which are not written otherwise.  1xx, 204 and 304 have no body.  HEAD answers carry the
 * length and no body.
 */
void http_put_answer(struct buf *to, unsigned status, slice content_type, slice extra, slice body,
    bool head_only, bool keep_alive);
const char *http_reason(unsigned status);

#endif
