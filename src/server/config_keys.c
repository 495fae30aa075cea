/* SPDX-License-Identifier: MIT */
#include "server/config_keys.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "server/nearest.h"
#include "server/wiring.h"

static const char *const levels[] = {"error", "warn", "info", "debug"};
static_assert(LOG_ERROR == 0 && LOG_DEBUG == 3, "levels are numbered as named");

static void *
member(struct config *config, const struct config_key *key)
{
	return (char *)config + key->offset;
}

const struct config_key *
config_key_find(slice name)
{
	for (size_t k = 0; k < config_key_count; k++) {
		const char *known = config_keys[k].name;
		size_t i = 0;

		while (i < name.len && known[i] != '\0' &&
		       (name.ptr[i] == '-' ? '_' : name.ptr[i]) == known[i])
			i++;
		if (i == name.len && known[i] == '\0')
			return &config_keys[k];
	}
	return NULL;
}

bool
config_key_is_list(const struct config_key *key)
{
	return key->type >= CONFIG_LISTEN;
}

bool
config_key_is_text(const struct config_key *key)
{
	return key->type == CONFIG_TEXT || key->type == CONFIG_NODE || key->type == CONFIG_STORE ||
	       key->type == CONFIG_BUS;
}

static int
why(struct buf *to, const char *text)
{
	buf_printf(to, "%s", text);
	return -1;
}

static void
set_text(struct config *config, const struct config_key *key, slice value)
{
	char **at = member(config, key);

	mem_free(*at);
	*at = mem_dup(value);
}

static int
set_number(struct config *config, const struct config_key *key, slice value, struct buf *ret_why)
{
	uint64_t number = 0;

	for (size_t i = 0; i < value.len; i++) {
		if (!isdigit((unsigned char)value.ptr[i]) || i >= 18)
			return why(ret_why, "is not a whole number");
		number = number * 10 + (uint64_t)(value.ptr[i] - '0');
	}
	if (value.len == 0)
		return why(ret_why, "is not a whole number");
	if (number < key->min || number > key->max) {
		buf_printf(ret_why, "is not between %" PRIu64 " and %" PRIu64, key->min, key->max);
		return -1;
	}
	*(uint64_t *)member(config, key) = number;
	return 0;
}

static int
set_choice(struct config *config, const struct config_key *key, slice value, const char *yes,
    const char *no, struct buf *ret_why)
{
	bool is_yes = slice_eq(value, slice_str(yes));

	if (!is_yes && !slice_eq(value, slice_str(no))) {
		buf_printf(ret_why, "is neither \"%s\" nor \"%s\"", yes, no);
		return -1;
	}
	*(bool *)member(config, key) = is_yes;
	return 0;
}

static int
set_level(struct config *config, const struct config_key *key, slice value, struct buf *ret_why)
{
	struct nearest best = {0};

	for (size_t i = 0; i < LEN(levels); i++) {
		if (slice_eq(value, slice_str(levels[i]))) {
			*(uint64_t *)member(config, key) = i;
			return 0;
		}
		nearest_offer(&best, value, levels[i]);
	}
	buf_printf(ret_why, "is not a level: error, warn, info or debug");
	if (best.word != NULL)
		buf_printf(ret_why, "; did you mean \"%s\"?", best.word);
	return -1;
}

static int
set_node(struct config *config, const struct config_key *key, slice value, struct buf *ret_why)
{
	bool good = value.len >= 1 && value.len <= 32;

	for (size_t i = 0; good && i < value.len; i++)
		good =
		    isalnum((unsigned char)value.ptr[i]) || memchr("._-", value.ptr[i], 3) != NULL;
	if (!good)
		return why(
		    ret_why, "is not a node's name: 1 to 32 letters, digits, '.', '_' and '-'");
	set_text(config, key, value);
	return 0;
}

static int
set_wired(struct config *config, const struct config_key *key, enum wiring_kind kind, slice value,
    struct buf *ret_why)
{
	const struct wiring *row = wiring_find(kind, value);
	const char *between = "";

	if (row == NULL) {
		buf_printf(ret_why, "begins with none of");
		while ((row = wiring_next(kind, row)) != NULL) {
			buf_printf(ret_why, "%s %s", between, row->scheme);
			between = ",";
		}
		return -1;
	}
	if (row->missing != NULL)
		return why(ret_why, row->missing);
	if (row->needs_path != (value.len > strlen(row->scheme))) {
		buf_printf(ret_why,
		    row->needs_path ? "has nothing behind \"%s\"" : "has something behind \"%s\"",
		    row->scheme);
		return -1;
	}
	set_text(config, key, value);
	return 0;
}

/* One to five digits up to max. */
static bool
small_number(slice digits, unsigned max)
{
	unsigned number = 0;

	for (size_t i = 0; i < digits.len; i++) {
		if (!isdigit((unsigned char)digits.ptr[i]) || i >= 5)
			return false;
		number = number * 10 + (unsigned)(digits.ptr[i] - '0');
	}
	return digits.len > 0 && number <= max;
}

static bool
port_valid(slice port)
{
	return small_number(port, 65535);
}

/* An address without port or brackets. */
static bool
ip_valid(slice ip, int *ret_family)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char bytes[sizeof(struct in6_addr)];

	if (ip.len >= sizeof(text) || ip.len == 0)
		return false;
	memcpy(text, ip.ptr, ip.len);
	text[ip.len] = '\0';
	*ret_family = memchr(text, ':', ip.len) != NULL ? AF_INET6 : AF_INET;
	return inet_pton(*ret_family, text, bytes) == 1;
}

static bool
address_valid(slice address)
{
	const char *colon = memrchr(address.ptr, ':', address.len);
	slice host, port;
	int family;

	if (slice_starts(address, S("fd:")))
		return port_valid(slice_of(address.ptr + 3, address.len - 3));
	if (colon == NULL)
		return false;
	host = slice_of(address.ptr, (size_t)(colon - address.ptr));
	port = slice_of(colon + 1, address.len - host.len - 1);
	if (!port_valid(port))
		return false;
	if (slice_eq(host, S("*")))
		return true;
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		return ip_valid(slice_of(host.ptr + 1, host.len - 2), &family) &&
		       family == AF_INET6;
	return ip_valid(host, &family) && family == AF_INET;
}

static slice
cut_at(slice *rest, char at)
{
	const char *end = memchr(rest->ptr, at, rest->len);
	slice part = slice_of(rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len);

	*rest = end != NULL ? slice_of(end + 1, rest->len - part.len - 1) : SLICE_NONE;
	return part;
}

static int
add_listener(struct config *config, slice value, struct buf *ret_why)
{
	slice rest = value, address = cut_at(&rest, ',');
	struct config_listener one = {0};

	if (slice_starts(address, S("localhost:")))
		buf_printf(ret_why, "names no address: write 127.0.0.1 for this machine");
	else if (!address_valid(address))
		buf_printf(ret_why, "is not ADDR:PORT, like 127.0.0.1:7000, [::1]:7000 or *:7000");
	while (slice_given(rest) && buf_len(ret_why) == 0) {
		slice flag = cut_at(&rest, ',');

		if (slice_eq(flag, S("proxy")))
			one.proxy = true;
		else if (slice_eq(flag, S("tls")))
			one.tls = true;
		else
			buf_printf(ret_why,
			    "has \"%.*s\" behind the address; there is `proxy` and `tls`",
			    SLICE_ARG(flag));
	}
	if (buf_len(ret_why) == 0 && config->listen_count == LIMIT_CONFIG_LIST)
		buf_printf(ret_why, "is one too many: at most %d", LIMIT_CONFIG_LIST);
	if (buf_len(ret_why) > 0)
		return -1;
	one.address = mem_dup(address);
	config->listen =
	    mem_resize(config->listen, config->listen_count + 1, sizeof(*config->listen));
	config->listen[config->listen_count++] = one;
	return 0;
}

static bool
block_valid(slice block)
{
	slice rest = block, ip = cut_at(&rest, '/');
	int family;

	if (!ip_valid(ip, &family))
		return false;
	return !slice_given(rest) || small_number(rest, family == AF_INET ? 32 : 128);
}

/* scheme://host[:port] */
static bool
origin_valid(slice origin)
{
	size_t skip = slice_starts(origin, S("https://"))  ? 8
		      : slice_starts(origin, S("http://")) ? 7
							   : 0;

	if (skip == 0 || origin.len == skip)
		return false;
	for (size_t i = skip; i < origin.len; i++)
		if (!isalnum((unsigned char)origin.ptr[i]) &&
		    memchr(".-:[]_", origin.ptr[i], 6) == NULL)
			return false;
	return true;
}

static int
add_item(struct config *config, const struct config_key *key, slice item, struct buf *ret_why)
{
	struct config_list *list = member(config, key);

	if (key->type == CONFIG_BLOCKS && !block_valid(item))
		return why(ret_why, "is no address or block, like 10.0.0.7 or 10.0.0.0/8");
	if (key->type == CONFIG_ORIGINS && !origin_valid(item))
		return why(ret_why, "is no origin: write scheme://host[:port], without a path");
	if (list->count == LIMIT_CONFIG_LIST) {
		buf_printf(ret_why, "is one too many: at most %d", LIMIT_CONFIG_LIST);
		return -1;
	}
	list->items = mem_resize(list->items, list->count + 2, sizeof(*list->items));
	list->items[list->count++] = mem_dup(item);
	list->items[list->count] = NULL;
	return 0;
}

static int
set_list(struct config *config, const struct config_key *key, slice value, struct buf *ret_why)
{
	size_t at = 0;

	while (at < value.len) {
		size_t start = at;
		slice item;
		int rc;

		while (at < value.len && !isspace((unsigned char)value.ptr[at]))
			at++;
		item = slice_of(value.ptr + start, at - start);
		while (at < value.len && isspace((unsigned char)value.ptr[at]))
			at++;
		if (item.len == 0)
			continue;
		rc = key->type == CONFIG_LISTEN ? add_listener(config, item, ret_why)
						: add_item(config, key, item, ret_why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
config_key_set(
    struct config *config, const struct config_key *key, slice value, struct buf *ret_why)
{
	switch (key->type) {
	case CONFIG_TEXT:
		set_text(config, key, value);
		return 0;
	case CONFIG_NUMBER:
		return set_number(config, key, value, ret_why);
	case CONFIG_BOOL:
		return set_choice(config, key, value, "yes", "no", ret_why);
	case CONFIG_OPEN:
		return set_choice(config, key, value, "open", "closed", ret_why);
	case CONFIG_LEVEL:
		return set_level(config, key, value, ret_why);
	case CONFIG_NODE:
		return set_node(config, key, value, ret_why);
	case CONFIG_STORE:
		return set_wired(config, key, WIRING_STORE, value, ret_why);
	case CONFIG_BUS:
		return set_wired(config, key, WIRING_BUS, value, ret_why);
	case CONFIG_LISTEN:
	case CONFIG_ORIGINS:
	case CONFIG_BLOCKS:
		return set_list(config, key, value, ret_why);
	}
	panic("%s has a type without a reader", key->name);
}

void
config_key_clear(struct config *config, const struct config_key *key)
{
	struct config_list *list;

	if (key->type == CONFIG_LISTEN) {
		for (size_t i = 0; i < config->listen_count; i++)
			mem_free(config->listen[i].address);
		mem_free(config->listen);
		config->listen = NULL;
		config->listen_count = 0;
		return;
	}
	list = member(config, key);
	for (size_t i = 0; i < list->count; i++)
		mem_free(list->items[i]);
	mem_free(list->items);
	*list = (struct config_list){0};
}

static void
print_listeners(const struct config *config, struct buf *to)
{
	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listener *one = &config->listen[i];

		buf_printf(to, "%s%s%s%s", i > 0 ? " " : "", one->address,
		    one->proxy ? ",proxy" : "", one->tls ? ",tls" : "");
	}
}

void
config_key_print(const struct config *config, const struct config_key *key, struct buf *to)
{
	const char *at = (const char *)config + key->offset;

	if (config_key_is_text(key)) {
		buf_printf(to, "%s", *(char *const *)(const void *)at);
		return;
	}
	switch (key->type) {
	case CONFIG_NUMBER:
		buf_printf(to, "%" PRIu64, *(const uint64_t *)(const void *)at);
		return;
	case CONFIG_BOOL:
		buf_printf(to, "%s", *(const bool *)(const void *)at ? "yes" : "no");
		return;
	case CONFIG_OPEN:
		buf_printf(to, "%s", *(const bool *)(const void *)at ? "open" : "closed");
		return;
	case CONFIG_LEVEL:
		buf_printf(to, "%s", levels[*(const uint64_t *)(const void *)at]);
		return;
	case CONFIG_LISTEN:
		print_listeners(config, to);
		return;
	case CONFIG_ORIGINS:
	case CONFIG_BLOCKS: {
		const struct config_list *list = (const void *)at;

		for (size_t i = 0; i < list->count; i++)
			buf_printf(to, "%s%s", i > 0 ? " " : "", list->items[i]);
		return;
	}
	default:
		panic("%s has a type that cannot be printed", key->name);
	}
}
