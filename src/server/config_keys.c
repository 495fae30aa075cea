/* SPDX-License-Identifier: MIT */
#include "server/config_keys.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/rate.h"
#include "server/nearest.h"
#include "server/wiring.h"

#define AT(member) offsetof(struct config, member)
#define KIB 1024
#define RATE(name, member, fallback, help)                                                         \
	{                                                                                          \
		name, CONFIG_NUMBER, AT(rates.member.rate), 0, LIMIT_RATE_AMOUNT, true, fallback,  \
		    "N", help "; 0: no limit"                                                      \
	}
#define BURST(name, member, fallback, help)                                                        \
	{                                                                                          \
		name, CONFIG_NUMBER, AT(rates.member.burst), 1, LIMIT_RATE_BURST, true, fallback,  \
		    "N", help                                                                      \
	}

/* What the protocol promises to be able to carry: no frame of a client is longer than 64 KiB. */
enum { LIMIT_MAX_BODY = 48 * KIB, LIMIT_MAX_THREADS = 64 };

const struct config_key config_keys[] = {
    {"listen", CONFIG_LISTEN, AT(listen), 0, 0, false, "127.0.0.1:7000", "ADDR:PORT[,proxy][,tls]",
	"where to listen, any number of times; port 0 is any free one, *:7000 is every address; "
	"`proxy`: a "
	"PROXY header comes first; `tls`: nothing is done in the clear"},
    {"allow_plain", CONFIG_BOOL, AT(allow_plain), 0, 0, false, "no", "yes|no",
	"listen without TLS beyond this machine: passwords travel in the clear"},
    {"tls_cert", CONFIG_TEXT, AT(tls_cert), 0, 0, false, "", "FILE", "certificate chain, PEM"},
    {"tls_key", CONFIG_TEXT, AT(tls_key), 0, 0, false, "", "FILE", "its private key, PEM"},
    {"data", CONFIG_TEXT, AT(data), 0, 0, false, NULL, "DIR",
	"the data directory; made if it is not there; one confabd at a time"},
    {"store", CONFIG_STORE, AT(store), 0, 0, false, NULL,
	"sqlite:PATH|memory:", "where messages live; memory: forgets them at the end"},
    {"bus", CONFIG_BUS, AT(bus), 0, 0, false, "local:", "local:", "how nodes hear of each other"},
    {"node", CONFIG_NODE, AT(node), 0, 0, false, "n1", "NAME", "this node's name"},
    {"workers", CONFIG_NUMBER, AT(workers), 0, LIMIT_MAX_THREADS, false, "0", "N",
	"event loops; 0: one for each core"},
    {"store_readers", CONFIG_NUMBER, AT(store_readers), 0, LIMIT_MAX_THREADS, false, "0", "N",
	"threads that read the store; 0: two"},
    {"hash_threads", CONFIG_NUMBER, AT(hash_threads), 0, LIMIT_MAX_THREADS, false, "0", "N",
	"threads that hash passwords; 0: one for every two cores"},
    {"hash_queue", CONFIG_NUMBER, AT(hash_queue), 1, 65536, false, "128", "N",
	"passwords that may wait for each of those threads; a login beyond is answered `busy`"},
    {"password_mem_kib", CONFIG_NUMBER, AT(password_mem_kib), 8, 4 * KIB *KIB, false, "19456",
	"KIB", "memory that hashing a password takes (argon2id)"},
    {"password_passes", CONFIG_NUMBER, AT(password_passes), 1, 100, false, "2", "N",
	"passes over that memory"},
    {"registration", CONFIG_OPEN, AT(registration_open), 0, 0, true, "open", "open|closed",
	"whether anyone may register; closed: `confabd user add`"},
    {"directory", CONFIG_OPEN, AT(directory_open), 0, 0, true, "open", "open|closed",
	"whether users can search for, and see, users they have nothing to do with"},
    {"token_days", CONFIG_NUMBER, AT(token_days), 1, 3650, true, "30", "DAYS",
	"how long after its last use a login token is good"},
    {"log_file", CONFIG_TEXT, AT(log_file), 0, 0, false, "", "FILE",
	"where to log; opened anew on SIGHUP; empty: standard error"},
    {"log_level", CONFIG_LEVEL, AT(log_level), 0, 0, true, "info", "error|warn|info|debug",
	"what is worth a line"},
    {"max_connections", CONFIG_NUMBER, AT(max_connections), 0, 1 << 20, true, "0", "N",
	"connections at a time; 0: as many as descriptors, less 64"},
    {"memory_budget_mib", CONFIG_NUMBER, AT(memory_budget_mib), 1, 1 << 20, true, "1024", "MIB",
	"memory for messages on their way; from 60 % on registrations are answered `busy`, then "
	"logins, signals, sends"},
    {"idle_ms", CONFIG_NUMBER, AT(idle_ms), 1000, 3600 * 1000, true, "75000", "MS",
	"a connection on which nothing arrives for so long is closed"},
    {"login_ms", CONFIG_NUMBER, AT(login_ms), 100, 3600 * 1000, true, "30000", "MS",
	"the same for one that did not ask for a login"},
    {"drain_ms", CONFIG_NUMBER, AT(drain_ms), 0, 600 * 1000, true, "8000", "MS",
	"on SIGTERM: how long to wait for clients to go"},
    {"limit_body", CONFIG_NUMBER, AT(limit_body), 1, LIMIT_MAX_BODY, true, "16384", "BYTES",
	"longest body of a message"},
    {"limit_data", CONFIG_NUMBER, AT(limit_data), 2, LIMIT_MAX_BODY, true, "16384", "BYTES",
	"longest data of a message"},
    {"limit_signal_data", CONFIG_NUMBER, AT(limit_signal_data), 2, LIMIT_MAX_BODY, true, "1024",
	"BYTES", "longest data of a signal"},
    {"limit_conversations", CONFIG_NUMBER, AT(limit_conversations), 1, 1000000, true, "2000", "N",
	"conversations of a user"},
    {"limit_groups", CONFIG_NUMBER, AT(limit_groups), 1, 1000000, true, "1000", "N",
	"groups that a user owns"},
    {"limit_members", CONFIG_NUMBER, AT(limit_members), 2, 1000000, true, "100000", "N",
	"members of a group"},
    {"limit_contacts", CONFIG_NUMBER, AT(limit_contacts), 1, 1000000, true, "1000", "N",
	"contacts of a user"},
    {"limit_sessions", CONFIG_NUMBER, AT(limit_sessions), 1, 1000, true, "20", "N",
	"sessions of a user"},
    {"limit_connections", CONFIG_NUMBER, AT(limit_connections), 1, 100000, true, "100", "N",
	"connections of a user"},
    {"connections_per_address", CONFIG_NUMBER, AT(connections_per_address), 0, 1 << 20, true,
	"1000", "N", "connections of one address, or of one /64 of IPv6, at a time; 0: any number"},
    RATE("rate_session", session, "50",
	"what one session may ask for in a second; a request costs its weight, 1 to 16"),
    BURST("rate_session_burst", session, "500", "how much of that it can save up"),
    RATE("rate_user", user, "100", "the same for all sessions of a user together"),
    BURST("rate_user_burst", user, "1000", "how much of that a user can save up"),
    RATE("rate_address", address, "500",
	"the same for all connections of an address, or of a /64 of IPv6"),
    BURST("rate_address_burst", address, "5000", "how much of that an address can save up"),
    RATE("login_rate", login, "6", "wrong passwords a minute from one address for one user"),
    BURST("login_burst", login, "10", "how many of them in one go"),
    RATE("login_address_rate", login_address, "60",
	"wrong passwords, or tokens, a minute from one address"),
    BURST("login_address_burst", login_address, "100", "how many of them in one go"),
    RATE("login_user_rate", login_user, "60",
	"wrong passwords a minute for one user, from addresses that are new to him"),
    BURST("login_user_burst", login_user, "100", "how many of them in one go"),
    RATE("register_rate", registration, "10", "registrations a minute from one address"),
    BURST("register_burst", registration, "50", "how many of them in one go"),
    {"rate_exempt", CONFIG_BLOCKS, AT(rate_exempt), 0, 0, true, "127.0.0.0/8 ::1", "ADDR|CIDR...",
	"whose clients are limited by none of these, nor by connections_per_address"},
    {"origins", CONFIG_ORIGINS, AT(origins), 0, 0, true, "", "URL...",
	"web pages beside our own that may open a WebSocket, like https://chat.example.org"},
    {"proxies", CONFIG_BLOCKS, AT(proxies), 0, 0, true, "127.0.0.1 ::1", "ADDR|CIDR...",
	"who may send PROXY headers on a `proxy` listener"},
    {"monitors", CONFIG_BLOCKS, AT(monitors), 0, 0, true, "", "ADDR|CIDR...",
	"who may read /metrics and the reasons of /readyz, beside this machine"},
};
const size_t config_key_count = LEN(config_keys);

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
