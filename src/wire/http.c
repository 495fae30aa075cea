/* SPDX-License-Identifier: MIT */
/*
 * Line by line: a line that is whole is judged at once, so that what is wrong is answered without
 * waiting for the end of the head; what all lines together mean is judged behind the last.
 */
#include "wire/http.h"

#include <strings.h>

#include "base/panic.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* tchar of RFC 9110 §5.6.2. */
static bool
is_token_char(char c)
{
	return is_alnum(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
}

static bool
is_token(slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_token_char(text.ptr[i]))
			return false;
	return text.len > 0;
}

static bool
eq_ignoring_case(slice a, slice b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

static slice
trim(slice text)
{
	while (text.len > 0 && is_one_of(text.ptr[0], " \t"))
		text = slice_of(text.ptr + 1, text.len - 1);
	while (text.len > 0 && is_one_of(text.ptr[text.len - 1], " \t"))
		text.len--;
	return text;
}

static int
hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Whether a percent sign at `at` begins a whole escape. */
static bool
is_escape(slice text, size_t at)
{
	return text.len - at >= 3 && hex_digit(text.ptr[at + 1]) >= 0 &&
	       hex_digit(text.ptr[at + 2]) >= 0;
}

/* --- The request line --- */

/* Origin-form: characters of RFC 3986's path and query only. */
static bool
target_valid(slice target)
{
	if (target.len == 0 || target.ptr[0] != '/')
		return false;
	for (size_t i = 0; i < target.len; i++) {
		char c = target.ptr[i];

		if (c == '%' ? !is_escape(target, i)
			     : !is_alnum(c) && !is_one_of(c, "-._~!$&'()*+,;=:@/?"))
			return false;
	}
	return true;
}

/* 0 or the status. */
static int
read_version(slice version, struct http_request *r)
{
	if (version.len != 8 || !slice_starts(version, S("HTTP/")) || !is_digit(version.ptr[5]) ||
	    version.ptr[6] != '.' || !is_digit(version.ptr[7]))
		return 400;
	if (version.ptr[5] != '1' || version.ptr[7] > '1')
		return 505;
	r->minor = (unsigned)(version.ptr[7] - '0');
	return 0;
}

static void
split_target(struct http_request *r)
{
	const char *mark = memchr(r->target.ptr, '?', r->target.len);

	r->path = r->target;
	if (mark == NULL)
		return;
	r->path.len = (size_t)(mark - r->target.ptr);
	r->query = slice_of(mark + 1, r->target.len - r->path.len - 1);
}

static int
read_request_line(slice line, struct http_request *r)
{
	const char *end = line.ptr + line.len, *first, *second;
	int status;

	first = memchr(line.ptr, ' ', line.len);
	second = first != NULL ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
	if (second == NULL)
		return 400;
	r->method = slice_of(line.ptr, (size_t)(first - line.ptr));
	r->target = slice_of(first + 1, (size_t)(second - first - 1));
	if (!is_token(r->method))
		return 400;
	if ((status = read_version(slice_of(second + 1, (size_t)(end - second - 1)), r)) != 0)
		return status;
	if (!target_valid(r->target))
		return 400;
	split_target(r);
	return 0;
}

/* --- Fields --- */

static bool
value_valid(slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char byte = (unsigned char)value.ptr[i];

		if ((byte < 0x20 && byte != '\t') || byte == 0x7F)
			return false;
	}
	return true;
}

static int
read_field(slice line, struct http_request *r)
{
	const char *colon = memchr(line.ptr, ':', line.len);
	struct http_header header;

	if (colon == NULL)
		return 400;
	header.name = slice_of(line.ptr, (size_t)(colon - line.ptr));
	header.value = trim(slice_of(colon + 1, line.len - header.name.len - 1));
	/* What goes on with the line before, or has a space before its colon, is no token either.
	 */
	if (!is_token(header.name) || !value_valid(header.value))
		return 400;
	if (r->header_count == HTTP_HEADERS_MAX)
		return 431;
	r->headers[r->header_count++] = header;
	return 0;
}

static size_t
count_fields(const struct http_request *r, slice name)
{
	size_t count = 0;

	for (size_t i = 0; i < r->header_count; i++)
		count += eq_ignoring_case(r->headers[i].name, name);
	return count;
}

static bool
host_valid(slice host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!is_alnum(host.ptr[i]) && !is_one_of(host.ptr[i], "-._~!$&'()*+,;=:[]%"))
			return false;
	return true;
}

/* Fields that mean one thing: whoever sends two hopes that two readers take a different one. */
static bool
singles_valid(const struct http_request *r)
{
	static const slice singles[] = {
	    S("Authorization"),
	    S("Content-Length"),
	    S("Content-Type"),
	    S("Host"),
	    S("Origin"),
	    S("Sec-WebSocket-Key"),
	    S("Sec-WebSocket-Version"),
	    S("Transfer-Encoding"),
	};

	for (size_t i = 0; i < LEN(singles); i++)
		if (count_fields(r, singles[i]) > 1)
			return false;
	return host_valid(http_header(r, S("Host")));
}

/* 0 or the status. */
static int
read_length(struct http_request *r)
{
	slice text = http_header(r, S("Content-Length"));

	if (!slice_given(text))
		return 0;
	if (text.len == 0)
		return 400;
	for (size_t i = 0; i < text.len; i++)
		if (!is_digit(text.ptr[i]))
			return 400;
	for (size_t i = 0; i < text.len; i++)
		if (__builtin_mul_overflow(r->content_length, 10, &r->content_length) ||
		    __builtin_add_overflow(
			r->content_length, (uint64_t)(text.ptr[i] - '0'), &r->content_length))
			return 413;
	r->has_length = true;
	return 0;
}

static bool
any_has_token(const struct http_request *r, slice name, slice token)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (eq_ignoring_case(r->headers[i].name, name) &&
		    http_has_token(r->headers[i].value, token))
			return true;
	return false;
}

/* What the fields mean together: 0 or the status. */
static int
conclude(struct http_request *r)
{
	if (!singles_valid(r))
		return 400;
	if (r->minor == 1 && !slice_given(http_header(r, S("Host"))))
		return 400;
	if (slice_given(http_header(r, S("Transfer-Encoding"))))
		return r->minor == 0 || slice_given(http_header(r, S("Content-Length"))) ? 400
											 : 501;
	r->keep_alive = !any_has_token(r, S("Connection"), S("close")) &&
			(r->minor == 1 || any_has_token(r, S("Connection"), S("keep-alive")));
	return read_length(r);
}

/* Takes a line with its CRLF off the front: 1, 0 where it is not whole, or the negated status. */
static int
line_take(slice *rest, slice *ret_line)
{
	const char *newline = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
	size_t len;

	if (newline == NULL)
		return 0;
	len = (size_t)(newline - rest->ptr);
	if (len == 0 || newline[-1] != '\r' || memchr(rest->ptr, '\r', len - 1) != NULL)
		return -400;
	*ret_line = slice_of(rest->ptr, len - 1);
	*rest = slice_of(newline + 1, rest->len - len - 1);
	return 1;
}

int
http_parse(slice in, struct http_request *ret_request)
{
	slice rest = slice_of(in.ptr, in.len < HTTP_HEAD_MAX ? in.len : HTTP_HEAD_MAX), line;
	struct http_request r = {0};
	size_t window = rest.len;
	int status = 0, took;

	/* One empty line in front is a habit of old clients (RFC 9112 §2.2). */
	if (slice_starts(rest, S("\r\n")))
		rest = slice_of(rest.ptr + 2, rest.len - 2);
	while ((took = line_take(&rest, &line)) > 0) {
		if (r.method.len == 0)
			status = read_request_line(line, &r);
		else if (line.len > 0)
			status = read_field(line, &r);
		else
			break;
		if (status != 0)
			return -status;
	}
	if (took < 0)
		return took;
	if (took == 0) {
		if (window < HTTP_HEAD_MAX)
			return 0;
		return r.method.len == 0 ? -414 : -431;
	}
	if ((status = conclude(&r)) != 0)
		return -status;
	*ret_request = r;
	return (int)(window - rest.len);
}

slice
http_header(const struct http_request *request, slice name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (eq_ignoring_case(request->headers[i].name, name))
			return request->headers[i].value;
	return SLICE_NONE;
}

bool
http_has_token(slice field, slice token)
{
	while (field.len > 0) {
		const char *comma = memchr(field.ptr, ',', field.len);
		size_t len = comma != NULL ? (size_t)(comma - field.ptr) : field.len;

		if (eq_ignoring_case(trim(slice_of(field.ptr, len)), token))
			return true;
		len += comma != NULL;
		field = slice_of(field.ptr + len, field.len - len);
	}
	return false;
}

/* Decodes what a form has encoded (percent escapes, + for a space); false if that is broken. */
static bool
form_decode(slice text, struct buf *to)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '%') {
			if (!is_escape(text, i))
				return false;
			c = (char)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2]));
			i += 2;
		} else if (c == '+')
			c = ' ';
		buf_append(to, &c, 1);
	}
	return true;
}

/* Whether encoded text is `plain`; `room` is used on the way and left as it was. */
static bool
form_is(slice encoded, slice plain, struct buf *room)
{
	size_t before = buf_len(room);
	bool same;

	if (!form_decode(encoded, room))
		same = false;
	else
		same =
		    slice_eq(slice_of(buf_slice(room).ptr + before, buf_len(room) - before), plain);
	room->end = room->start + before;
	return same;
}

bool
http_query(slice query, slice name, struct buf *to)
{
	size_t before = buf_len(to);

	while (query.len > 0) {
		const char *amp = memchr(query.ptr, '&', query.len);
		size_t len = amp != NULL ? (size_t)(amp - query.ptr) : query.len;
		const char *equals = len > 0 ? memchr(query.ptr, '=', len) : NULL;
		size_t name_len = equals != NULL ? (size_t)(equals - query.ptr) : len;

		if (form_is(slice_of(query.ptr, name_len), name, to)) {
			size_t skip = name_len + (equals != NULL);

			if (form_decode(slice_of(query.ptr + skip, len - skip), to))
				return true;
			to->end = to->start + before;
			return false;
		}
		len += amp != NULL;
		query = slice_of(query.ptr + len, query.len - len);
	}
	return false;
}

/* --- Answers --- */

static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *
http_reason(unsigned status)
{
	for (size_t i = 0; i < LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

/* RFC 9110 §8.6: these have no content, and 1xx and 204 must not speak of a length. */
static bool
has_content(unsigned status)
{
	return status >= 200 && status != 204 && status != 304;
}

void
http_put_answer(struct buf *to, unsigned status, slice content_type, slice extra, slice body,
    bool head_only, bool keep_alive)
{
	assert(has_content(status) || body.len == 0);
	buf_printf(to, "HTTP/1.1 %u %s\r\n", status, http_reason(status));
	if (has_content(status)) {
		if (content_type.len > 0)
			buf_printf(to, "Content-Type: %.*s\r\n", SLICE_ARG(content_type));
		buf_printf(to, "Content-Length: %zu\r\n", body.len);
	}
	/* The switch to another protocol has a Connection field of its own. */
	if (status >= 200)
		buf_put(
		    to, keep_alive ? S("Connection: keep-alive\r\n") : S("Connection: close\r\n"));
	buf_put(to, extra);
	buf_put(to, S("\r\n"));
	if (!head_only)
		buf_put(to, body);
}
