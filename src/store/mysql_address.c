/* SPDX-License-Identifier: MIT */
#include "store/mysql_address.h"

#include <stdio.h>
#include <string.h>

static slice
cut_front(slice s, size_t n)
{
	return slice_of(s.ptr + n, s.len - n);
}

/* What stands before the first sign; the rest behind it.  False, and all of it, where it has none. */
static bool
cut(slice s, char sign, slice *ret_before, slice *ret_after)
{
	const char *at = s.len > 0 ? memchr(s.ptr, sign, s.len) : NULL;

	*ret_before = at != NULL ? slice_of(s.ptr, (size_t)(at - s.ptr)) : s;
	*ret_after = at != NULL ? cut_front(s, (size_t)(at - s.ptr) + 1) : SLICE_NONE;
	return at != NULL;
}

static int
hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* False if it does not fit or is no percent-encoding; no byte of it may be zero. */
static bool
decode(slice s, char *to, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];

		if (c == '%') {
			int high = i + 2 < s.len ? hex_of(s.ptr[i + 1]) : -1;
			int low = high >= 0 ? hex_of(s.ptr[i + 2]) : -1;

			if (low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0' || used + 1 >= size)
			return false;
		to[used++] = c;
	}
	to[used] = '\0';
	return true;
}

static bool
number(slice s, unsigned min, unsigned max, unsigned *ret)
{
	unsigned n = 0;

	if (s.len == 0 || s.len > 5)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		n = n * 10 + (unsigned)(s.ptr[i] - '0');
	}
	*ret = n;
	return n >= min && n <= max;
}

/* Which of the words it is; -1: none. */
static int
word(slice s, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(s, slice_str(words[i])))
			return (int)i;
	return -1;
}

static bool
take_tls(struct mysql_address *a, slice value)
{
	static const char *const words[] = {"off", "on", "verify"};
	int found = word(value, words, LEN(words));

	a->tls = found < 0 ? MYSQL_TLS_VERIFY : (enum mysql_tls)found;
	return found >= 0;
}

static bool
take_durability(struct mysql_address *a, slice value)
{
	static const char *const words[] = {"local", "replicated", "relaxed"};
	int found = word(value, words, LEN(words));

	a->durability = found < 0 ? MYSQL_DURABLE_LOCAL : (enum mysql_durability)found;
	return found >= 0;
}

static bool
take_ca(struct mysql_address *a, slice value)
{
	return decode(value, a->ca, sizeof(a->ca));
}

static bool
take_socket(struct mysql_address *a, slice value)
{
	return decode(value, a->socket, sizeof(a->socket));
}

static bool
take_pool(struct mysql_address *a, slice value)
{
	return number(value, 1, MYSQL_WRITERS_MAX, &a->writers);
}

static bool
take_option(struct mysql_address *a, slice key, slice value, const char **ret_rule)
{
	static const struct {
		const char *key, *rule;
		bool (*take)(struct mysql_address *a, slice value);
	} options[] = {
	    {"tls", "tls is off, on or verify", take_tls},
	    {"ca", "ca is a file", take_ca},
	    {"socket", "socket is a path of at most 107 bytes", take_socket},
	    {"pool", "pool is a number from 1 to 16", take_pool},
	    {"durability", "durability is local, replicated or relaxed", take_durability},
	};

	for (size_t i = 0; i < LEN(options); i++) {
		if (!slice_eq(key, slice_str(options[i].key)))
			continue;
		*ret_rule = options[i].rule;
		return options[i].take(a, value);
	}
	*ret_rule = "the options are tls, ca, socket, pool and durability";
	return false;
}

static bool
take_options(struct mysql_address *a, slice rest, const char **ret_rule)
{
	while (rest.len > 0) {
		slice one, key, value;

		(void)cut(rest, '&', &one, &rest);
		(void)cut(one, '=', &key, &value);
		if (!take_option(a, key, value, ret_rule))
			return false;
	}
	return true;
}

/*
 * The user is shown to people, and the server shows it too.  A sign that separates something else
 * may be a slip in what was to separate the password: in a name it must be percent-encoded.
 */
static bool
is_plain(slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (memchr("@;,=/|&\\#", name.ptr[i], 9) != NULL)
			return false;
	return true;
}

static bool
take_user(struct mysql_address *a, slice user)
{
	slice name, password;

	(void)cut(user, ':', &name, &password);
	return name.len > 0 && is_plain(name) && decode(name, a->user, sizeof(a->user)) &&
	       decode(password, a->password, sizeof(a->password));
}

/* [::1]:3306 too. */
static bool
take_host(struct mysql_address *a, slice where)
{
	slice host, rest = where;

	a->port = MYSQL_PORT_DEFAULT;
	if (where.len > 0 && where.ptr[0] == '[') {
		if (!cut(cut_front(where, 1), ']', &host, &rest))
			return false;
		if (rest.len > 0 && rest.ptr[0] != ':')
			return false;
	} else {
		if (!cut(where, ':', &host, &rest))
			rest = SLICE_NONE;
		else
			rest = slice_of(rest.ptr - 1, rest.len + 1);
	}
	if (rest.len > 0 && !number(cut_front(rest, 1), 1, 65535, &a->port))
		return false;
	return host.len > 0 && decode(host, a->host, sizeof(a->host));
}

static bool
is_here(const char *host)
{
	return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	       (strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host));
}

static const char *
parse(slice url, struct mysql_address *a)
{
	slice scheme = S("mysql://"), at, where, rest, options, user;
	const char *last = NULL, *rule = NULL;

	if (slice_starts(url, scheme))
		url = cut_front(url, scheme.len);
	(void)cut(url, '?', &at, &options);
	for (size_t i = 0; i < at.len; i++)
		if (at.ptr[i] == '@')
			last = at.ptr + i;
	if (last == NULL)
		return "it names no user: mysql://USER:PASSWORD@HOST:PORT/DATABASE";
	user = slice_of(at.ptr, (size_t)(last - at.ptr));
	if (!cut(cut_front(at, user.len + 1), '/', &where, &rest) || rest.len == 0)
		return "it names no database: mysql://USER:PASSWORD@HOST:PORT/DATABASE";
	if (!take_user(a, user))
		return "its user or password is empty, too long or badly encoded (%40 is @)";
	if (!take_host(a, where))
		return "its host or port is none";
	if (!decode(rest, a->database, sizeof(a->database)))
		return "its database's name is too long or badly encoded";
	a->tls = is_here(a->host) ? MYSQL_TLS_OFF : MYSQL_TLS_VERIFY;
	return take_options(a, options, &rule) ? NULL : rule;
}

bool
mysql_address_parse(
    slice url, struct mysql_address *ret_address, char *ret_error, size_t error_size)
{
	struct mysql_address a = {.writers = MYSQL_WRITERS_DEFAULT};
	const char *why = parse(url, &a);

	if (why != NULL) {
		(void)snprintf(
		    ret_error, error_size, "the address of the database is wrong: %s", why);
		return false;
	}
	*ret_address = a;
	return true;
}

void
mysql_address_text(const struct mysql_address *address, char *ret_text, size_t text_size)
{
	if (address->socket[0] != '\0')
		(void)snprintf(ret_text, text_size, "%s@%s/%s", address->user, address->socket,
		    address->database);
	else
		(void)snprintf(ret_text, text_size, "%s@%s:%u/%s", address->user, address->host,
		    address->port, address->database);
}
