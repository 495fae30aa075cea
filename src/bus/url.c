/* SPDX-License-Identifier: MIT */
#include "bus/url.h"

#include <ctype.h>
#include <stdio.h>

#include "base/secret.h"

static slice
cut(slice *rest, const char *end)
{
	slice part = slice_of(rest->ptr, (size_t)(end - rest->ptr));

	*rest = slice_of(end + 1, rest->len - part.len - 1);
	return part;
}

/* The part before the next `at`, which goes, or all that is left. */
static slice
cut_at(slice *rest, char at)
{
	const char *end = rest->len > 0 ? memchr(rest->ptr, at, rest->len) : NULL;
	slice all = *rest;

	if (end != NULL)
		return cut(rest, end);
	*rest = slice_of("", 0);
	return all;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A text with its %XX undone and a zero behind it; false if it is too long or has a wrong one. */
static bool
text_take(slice from, char *ret_text, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < from.len; i++) {
		int c = (unsigned char)from.ptr[i];

		if (c == '%') {
			if (i + 2 >= from.len || hex(from.ptr[i + 1]) < 0 ||
			    hex(from.ptr[i + 2]) < 0)
				return false;
			c = hex(from.ptr[i + 1]) * 16 + hex(from.ptr[i + 2]);
			i += 2;
		}
		if (c == '\0' || len + 1 >= size)
			return false;
		ret_text[len++] = (char)c;
	}
	ret_text[len] = '\0';
	return true;
}

static bool
port_valid(slice port)
{
	unsigned number = 0;

	for (size_t i = 0; i < port.len; i++) {
		if (!isdigit((unsigned char)port.ptr[i]) || i >= 5)
			return false;
		number = number * 10 + (unsigned)(port.ptr[i] - '0');
	}
	return number >= 1 && number <= 65535;
}

/* host, host:port, [::1]:port */
static bool
place_take(slice text, const char *default_port, struct place *ret_place)
{
	const char *bracket =
	    text.len > 0 && text.ptr[0] == '[' ? memchr(text.ptr, ']', text.len) : NULL;
	slice host, port = slice_str(default_port);
	const char *colon;

	if (bracket != NULL) {
		host = slice_of(text.ptr + 1, (size_t)(bracket - text.ptr) - 1);
		text = slice_of(bracket + 1, text.len - host.len - 2);
		if (text.len > 0 && text.ptr[0] != ':')
			return false;
		if (text.len > 0)
			port = slice_of(text.ptr + 1, text.len - 1);
	} else {
		colon = text.len > 0 ? memchr(text.ptr, ':', text.len) : NULL;
		host = slice_of(text.ptr, colon != NULL ? (size_t)(colon - text.ptr) : text.len);
		if (colon != NULL)
			port = slice_of(colon + 1, text.len - host.len - 1);
	}
	return host.len > 0 && text_take(host, ret_place->host, sizeof(ret_place->host)) &&
	       port_valid(port) && text_take(port, ret_place->port, sizeof(ret_place->port));
}

static bool
cluster_valid(const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
			return false;
	return name[0] != '\0' && strlen(name) <= 32;
}

static bool
option_take(struct redis_url *url, slice option)
{
	slice value = option, name = cut_at(&value, '=');
	const struct {
		slice name;
		char *to;
		size_t size;
	} options[] = {
	    {S("sentinel"), url->sentinel, sizeof(url->sentinel)},
	    {S("sentinel_user"), url->sentinel_user, sizeof(url->sentinel_user)},
	    {S("sentinel_password"), url->sentinel_password, sizeof(url->sentinel_password)},
	    {S("cluster"), url->cluster, sizeof(url->cluster)},
	};

	for (size_t i = 0; i < LEN(options); i++)
		if (slice_eq(name, options[i].name))
			return value.len > 0 && text_take(value, options[i].to, options[i].size);
	return false;
}

static const char *
options_take(struct redis_url *url, slice options)
{
	while (options.len > 0)
		if (!option_take(url, cut_at(&options, '&')))
			return "has behind \"?\" something other than sentinel=NAME, "
			       "sentinel_user=, "
			       "sentinel_password= and cluster=NAME, with & between them";
	if (!cluster_valid(url->cluster))
		return "has a cluster that is not 1 to 32 letters, digits, '.', '_' and '-'";
	return NULL;
}

static const char *
user_take(struct redis_url *url, slice who)
{
	slice password = who, user = cut_at(&password, ':');

	if (password.len == 0)
		return "has no password between \":\" and \"@\"; give user:password@";
	if (!text_take(user, url->user, sizeof(url->user)) ||
	    !text_take(password, url->password, sizeof(url->password)))
		return "has a user or password that is too long, or a % without two hex digits";
	return NULL;
}

static const char *
places_take(struct redis_url *url, slice places)
{
	const char *port = url->sentinel[0] != '\0' ? "26379" : "6379";

	if (places.len > 0 && places.ptr[places.len - 1] == ',')
		return "has no HOST:PORT behind the last comma";
	while (places.len > 0) {
		if (url->place_count == LIMIT_URL_PLACES)
			return "names more than 8 hosts";
		if (!place_take(cut_at(&places, ','), port, &url->places[url->place_count++]))
			return "has no HOST:PORT where one has to be";
	}
	if (url->place_count == 0)
		return "names no host: give redis://HOST:PORT";
	if (url->place_count > 1 && url->sentinel[0] == '\0')
		return "names several hosts: that is for Sentinels, with ?sentinel=NAME";
	return NULL;
}

/* NULL, or what is wrong. */
static const char *
parse(const char *text, struct redis_url *url)
{
	slice options = slice_str(text), rest, path;
	const char *at, *why;

	if (!slice_starts(options, S("redis://")))
		return "does not begin with redis://";
	options = slice_of(options.ptr + 8, options.len - 8);
	rest = cut_at(&options, '?');
	if ((why = options_take(url, options)) != NULL)
		return why;
	at = rest.len > 0 ? memrchr(rest.ptr, '@', rest.len) : NULL;
	if (at != NULL && (why = user_take(url, cut(&rest, at))) != NULL)
		return why;
	path = rest;
	rest = cut_at(&path, '/');
	if (path.len > 0 && !slice_eq(path, S("0")))
		return "names a database, but publish/subscribe knows none: keep clusters apart "
		       "with "
		       "?cluster=NAME";
	return places_take(url, rest);
}

int
url_parse(const char *text, struct redis_url *ret_url, char *ret_error, size_t error_size)
{
	struct redis_url url = {.cluster = "main"};
	const char *why = parse(text, &url);

	if (why != NULL)
		(void)snprintf(ret_error, error_size, "the address of the bus %s", why);
	else
		*ret_url = url;
	secret_wipe(&url, sizeof(url));
	return why != NULL ? -1 : 0;
}
