/* SPDX-License-Identifier: MIT */
#include "server/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/panic.h"
#include "server/config_keys.h"
#include "server/nearest.h"
#include "server/shown.h"
#include "server/wiring.h"

enum { KEYS_MAX = 128, ORIGIN_BYTES = 600 };

/* One value of the command line, applied after the weaker sources. */
struct assignment {
	const struct config_key *key;
	slice value;
	const char *option; /* as typed, for errors */
};

struct loader {
	const struct config_sources *sources;
	struct config *config;
	struct buf *errors, *warnings;
	size_t error_count;
	const char *file;               /* named by -c or CONFAB_CONFIG */
	struct assignment *assignments; /* owned */
	size_t assignment_count;
	unsigned line_of[KEYS_MAX]; /* where the file gave a key; 0: not yet */
	bool replaced[KEYS_MAX];    /* in this source: a list was emptied of weaker values */
};

/* --- Errors --- */

static void complain(struct loader *l, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
complain(struct loader *l, const char *format, ...)
{
	char text[ORIGIN_BYTES + 800];
	va_list ap;

	if (++l->error_count > LIMIT_CONFIG_ERRORS)
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	buf_printf(l->errors, "%s\n", text);
}

/* --- One value --- */

/* Files and memory have no passwords. */
static bool
is_address(const struct config_key *key, slice value)
{
	const struct wiring *row;

	if (key->type != CONFIG_STORE && key->type != CONFIG_BUS)
		return false;
	row = wiring_find(key->type == CONFIG_STORE ? WIRING_STORE : WIRING_BUS, value);
	return row == NULL || (row->needs_path && !row->on_disk);
}

static void
assign(struct loader *l, const char *origin, const struct config_key *key, slice value)
{
	char quoted[SHOWN_BYTES];
	struct buf why = {0};

	if (config_key_is_list(key) && !l->replaced[key - config_keys]) {
		config_key_clear(l->config, key);
		l->replaced[key - config_keys] = true;
	}
	if (memchr(value.ptr, '\0', value.len) != NULL)
		complain(l, "%s: %s: the value has a zero byte", origin, key->name);
	else if (config_key_set(l->config, key, value, &why) < 0)
		complain(l, "%s: %s: %s %.*s", origin, key->name,
		    shown(value, is_address(key, value), quoted), SLICE_ARG(buf_slice(&why)));
	buf_fini(&why);
}

static void
next_source(struct loader *l)
{
	memset(l->replaced, 0, sizeof(l->replaced));
}

/* --- The file --- */

static slice
trimmed(slice s)
{
	while (s.len > 0 && isspace((unsigned char)s.ptr[0]))
		s = slice_of(s.ptr + 1, s.len - 1);
	while (s.len > 0 && isspace((unsigned char)s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static void
unknown_key(struct loader *l, const char *origin, slice name)
{
	char quoted[SHOWN_BYTES];
	struct nearest best = {0};

	for (size_t k = 0; k < config_key_count; k++)
		nearest_offer(&best, name, config_keys[k].name);
	if (best.word != NULL)
		complain(l, "%s: unknown key %s; did you mean \"%s\"?", origin,
		    shown(name, false, quoted), best.word);
	else
		complain(l, "%s: unknown key %s; `confabd --help` lists them", origin,
		    shown(name, false, quoted));
}

static bool
has_comment_behind(slice value)
{
	for (size_t i = 1; i < value.len; i++)
		if ((value.ptr[i] == '#' || value.ptr[i] == ';') &&
		    isspace((unsigned char)value.ptr[i - 1]))
			return true;
	return false;
}

static void
file_pair(struct loader *l, const char *origin, unsigned line, slice name, slice value)
{
	const struct config_key *key = config_key_find(name);
	unsigned *line_of;

	if (key == NULL) {
		unknown_key(l, origin, name);
		return;
	}
	line_of = &l->line_of[key - config_keys];
	if (*line_of != 0 && !config_key_is_list(key)) {
		complain(l, "%s: %s was given in line %u already", origin, key->name, *line_of);
		return;
	}
	*line_of = line;
	if (has_comment_behind(value))
		complain(l, "%s: %s: a comment needs a line of its own", origin, key->name);
	else if (value.len > 0 && (value.ptr[0] == '"' || value.ptr[0] == '\''))
		complain(l, "%s: %s: write the value without quotes", origin, key->name);
	else
		assign(l, origin, key, value);
}

static void
file_line(struct loader *l, unsigned line, slice text)
{
	char origin[ORIGIN_BYTES], quoted[SHOWN_BYTES];
	const char *equals;

	(void)snprintf(origin, sizeof(origin), "%s:%u", l->config->file, line);
	if (text.len > LIMIT_CONFIG_LINE_BYTES) {
		complain(
		    l, "%s: this line is longer than %d bytes", origin, LIMIT_CONFIG_LINE_BYTES);
		return;
	}
	text = trimmed(text);
	if (text.len == 0 || text.ptr[0] == '#' || text.ptr[0] == ';')
		return;
	if (text.ptr[0] == '[') {
		if (!slice_eq(text, S("[confabd]")))
			complain(l,
			    "%s: unknown section %s; there is only [confabd], and it can be left "
			    "out",
			    origin, shown(text, false, quoted));
		return;
	}
	equals = memchr(text.ptr, '=', text.len);
	if (equals == NULL) {
		complain(l, "%s: %s is not `key = value`", origin, shown(text, false, quoted));
		return;
	}
	file_pair(l, origin, line, trimmed(slice_of(text.ptr, (size_t)(equals - text.ptr))),
	    trimmed(slice_of(equals + 1, text.len - (size_t)(equals - text.ptr) - 1)));
}

/* 0, or -1 with errno; EFBIG where it is over the limit. */
static int
read_file(const char *path, struct buf *to)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), saved;
	ssize_t n;

	if (fd < 0)
		return -1;
	do {
		n = read(fd, buf_reserve(to, 8192), 8192);
		if (n > 0)
			buf_grew(to, (size_t)n);
		if (buf_len(to) > LIMIT_CONFIG_FILE_BYTES) {
			errno = EFBIG;
			n = -1;
		}
	} while (n > 0);
	saved = errno;
	(void)close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

static void
load_file(struct loader *l)
{
	const char *path = l->file != NULL ? l->file : l->sources->default_file;
	struct buf text = {0};
	slice rest;

	if (path == NULL)
		return;
	/* The default one may be missing, or be in a place that is none of our business. */
	if (l->file == NULL && access(path, F_OK) < 0)
		return;
	if (read_file(path, &text) < 0) {
		complain(l, "%s: cannot read this configuration file: %s", path, strerror(errno));
		buf_fini(&text);
		return;
	}
	l->config->file = mem_dup(slice_str(path));
	rest = buf_slice(&text);
	if (slice_starts(rest, S("\xef\xbb\xbf")))
		rest = slice_of(rest.ptr + 3, rest.len - 3);
	for (unsigned line = 1; rest.len > 0; line++) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len;

		file_line(l, line, slice_of(rest.ptr, len));
		len += end != NULL;
		rest = slice_of(rest.ptr + len, rest.len - len);
	}
	buf_fini(&text);
}

/* --- The environment --- */

static const char *
environment_get(const struct config_sources *sources, const char *name)
{
	size_t len = strlen(name);

	for (char *const *at = sources->environment; at != NULL && *at != NULL; at++)
		if (strncmp(*at, name, len) == 0 && (*at)[len] == '=' && (*at)[len + 1] != '\0')
			return *at + len + 1;
	return NULL;
}

/* CONFAB_LOG_LEVEL -> log_level; false if it is too long to be a key. */
static bool
environment_key(slice name, char ret_key[64], slice *ret_name)
{
	if (name.len >= 64)
		return false;
	for (size_t i = 0; i < name.len; i++)
		ret_key[i] = (char)tolower((unsigned char)name.ptr[i]);
	*ret_name = slice_of(ret_key, name.len);
	return true;
}

static void
environment_unknown(struct loader *l, slice variable, slice name)
{
	struct nearest best = {0};

	for (size_t k = 0; k < config_key_count; k++)
		nearest_offer(&best, name, config_keys[k].name);
	if (best.word != NULL && best.distance <= 2) {
		buf_printf(l->warnings, "%.*s in the environment is no key; did you mean CONFAB_",
		    SLICE_ARG(variable));
		for (const char *c = best.word; *c != '\0'; c++)
			buf_printf(l->warnings, "%c", toupper((unsigned char)*c));
		buf_printf(l->warnings, "?\n");
	}
}

static void
load_environment(struct loader *l)
{
	for (char *const *at = l->sources->environment; at != NULL && *at != NULL; at++) {
		slice variable = slice_str(*at), name;
		const char *equals = strchr(*at, '=');
		const struct config_key *key;
		char lower[64], origin[80];

		/* Empty is as good as not set. */
		if (equals == NULL || equals[1] == '\0' || !slice_starts(variable, S("CONFAB_")))
			continue;
		variable.len = (size_t)(equals - *at);
		if (!environment_key(slice_of(variable.ptr + 7, variable.len - 7), lower, &name) ||
		    slice_eq(name, S("config")))
			continue;
		key = config_key_find(name);
		(void)snprintf(origin, sizeof(origin), "%.*s", SLICE_ARG(variable));
		if (key != NULL)
			assign(l, origin, key, trimmed(slice_str(equals + 1)));
		else
			environment_unknown(l, variable, name);
	}
}

/* --- The command line --- */

static const char *const flags[] = {
    "check", "help", "version", "password-stdin", "config", "import"};

static void
unknown_option(struct loader *l, const char *option, slice name)
{
	char quoted[SHOWN_BYTES], suggestion[64];
	struct nearest best = {0};

	for (size_t k = 0; k < config_key_count; k++)
		nearest_offer(&best, name, config_keys[k].name);
	for (size_t f = 0; f < LEN(flags); f++)
		nearest_offer(&best, name, flags[f]);
	if (best.word == NULL) {
		complain(l, "unknown option %s; `confabd --help` lists them",
		    shown(slice_str(option), false, quoted));
		return;
	}
	(void)snprintf(suggestion, sizeof(suggestion), "--%s", best.word);
	for (char *c = suggestion; *c != '\0'; c++)
		if (*c == '_')
			*c = '-';
	complain(l, "unknown option %s; did you mean \"%s\"?",
	    shown(slice_str(option), false, quoted), suggestion);
}

/* The flags that are no keys; true if it was one of them. */
static bool
take_flag(struct loader *l, slice name)
{
	if (slice_eq(name, S("check")))
		l->config->want_check = true;
	else if (slice_eq(name, S("help")))
		l->config->want_help = true;
	else if (slice_eq(name, S("version")))
		l->config->want_version = true;
	else if (slice_eq(name, S("password-stdin")))
		l->config->password_stdin = true;
	else
		return false;
	return true;
}

/* What --config and --import need, keys say themselves. */
static const char *
argument_of(slice name, const struct config_key *key)
{
	if (key != NULL)
		return key->argument;
	return slice_eq(name, S("config")) ? "FILE" : "sqlite:PATH";
}

/* One option; returns how many arguments it took. */
static int
take_option(struct loader *l, const char *option, const char *next)
{
	slice name = slice_of(option + 2, strcspn(option + 2, "="));
	const char *value = option[2 + name.len] == '=' ? option + 3 + name.len : NULL;
	const struct config_key *key = config_key_find(name);
	bool is_file = slice_eq(name, S("config")), is_import = slice_eq(name, S("import"));
	int taken = 1;

	if (value == NULL && key != NULL && key->type == CONFIG_BOOL)
		value = "yes";
	if (key == NULL && !is_file && !is_import) {
		if (value != NULL || !take_flag(l, name))
			unknown_option(l, option, name);
		return 1;
	}
	if (value == NULL) {
		if (next == NULL) {
			complain(
			    l, "--%.*s needs a value: %s", SLICE_ARG(name), argument_of(name, key));
			return 1;
		}
		value = next;
		taken = 2;
	}
	if (is_file)
		l->file = value;
	else if (is_import)
		l->config->import = value;
	else
		l->assignments[l->assignment_count++] =
		    (struct assignment){key, slice_str(value), option};
	return taken;
}

static void
take_word(struct loader *l, const char *word)
{
	char quoted[SHOWN_BYTES];

	if (l->config->word_count == CONFIG_WORDS_MAX)
		complain(l, "%s is one word too many", shown(slice_str(word), false, quoted));
	else
		l->config->words[l->config->word_count++] = word;
}

static void
parse_command_line(struct loader *l)
{
	const struct config_sources *from = l->sources;
	bool only_words = false;

	l->assignments = mem_zalloc((size_t)from->argc * sizeof(*l->assignments) + 1);
	for (int i = 1; i < from->argc;) {
		const char *arg = from->argv[i],
			   *next = i + 1 < from->argc ? from->argv[i + 1] : NULL;

		if (!only_words && strcmp(arg, "--") == 0) {
			only_words = true;
			i++;
		} else if (only_words || arg[0] != '-' || arg[1] == '\0') {
			take_word(l, arg);
			i++;
		} else if (strcmp(arg, "-c") == 0) {
			i += take_option(l, "--config", next);
		} else if (strcmp(arg, "-h") == 0) {
			i += take_option(l, "--help", next);
		} else if (strcmp(arg, "-V") == 0) {
			i += take_option(l, "--version", next);
		} else if (arg[1] == '-') {
			i += take_option(l, arg, next);
		} else {
			unknown_option(l, arg, slice_str(arg + 1));
			i++;
		}
	}
}

static void
load_command_line(struct loader *l)
{
	for (size_t i = 0; i < l->assignment_count; i++) {
		const struct assignment *a = &l->assignments[i];
		char origin[64];

		(void)snprintf(
		    origin, sizeof(origin), "%.*s", (int)strcspn(a->option, "="), a->option);
		assign(l, origin, a->key, trimmed(a->value));
	}
}

/* --- Defaults and the whole --- */

static void
set_defaults(struct loader *l)
{
	assert(config_key_count <= KEYS_MAX);
	for (size_t k = 0; k < config_key_count; k++) {
		const char *fallback = config_keys[k].fallback;
		struct buf why = {0};

		if (fallback != NULL &&
		    config_key_set(l->config, &config_keys[k], slice_str(fallback), &why) < 0)
			panic("the default of %s is no value for it", config_keys[k].name);
		buf_fini(&why);
	}
}

/* systemd's StateDirectory=, the place for root, or the one for a person. */
static void
default_data(struct loader *l, struct buf *to)
{
	const char *state = environment_get(l->sources, "STATE_DIRECTORY");
	const char *xdg = environment_get(l->sources, "XDG_DATA_HOME");
	const char *home = environment_get(l->sources, "HOME");

	if (state != NULL)
		buf_printf(to, "%.*s", (int)strcspn(state, ":"), state);
	else if (geteuid() == 0)
		buf_printf(to, "/var/lib/confab");
	else if (xdg != NULL && xdg[0] == '/')
		buf_printf(to, "%s/confab", xdg);
	else if (home != NULL)
		buf_printf(to, "%s/.local/share/confab", home);
	else
		complain(l, "data: there is no $HOME to put the data directory in; name one with "
			    "--data DIR");
}

/* A name that every node has by itself is none as soon as there are several. */
static void
fill_node(struct loader *l)
{
	if (l->config->node != NULL)
		return;
	l->config->node = mem_dup(S("n1"));
	if (!slice_eq(slice_str(l->config->bus), S("local:")))
		complain(l, "node: nodes that hear of each other need each a name of its own; give "
			    "it with --node NAME");
}

static void
fill_places(struct loader *l)
{
	struct config *config = l->config;
	struct buf text = {0};

	fill_node(l);
	if (config->data == NULL || config->data[0] == '\0') {
		default_data(l, &text);
		mem_free(config->data);
		config->data = mem_dup(buf_slice(&text));
	}
	buf_clear(&text);
	if (config->store == NULL || config->store[0] == '\0') {
		buf_printf(&text, "sqlite:%s/confab.db", config->data);
		mem_free(config->store);
		config->store = mem_dup(buf_slice(&text));
	}
	buf_fini(&text);
}

bool
address_is_loopback(const char *address)
{
	struct in_addr ip;
	char host[INET_ADDRSTRLEN];
	size_t len;

	if (slice_starts(slice_str(address), S("[::1]:")))
		return true;
	len = strcspn(address, ":");
	if (len >= sizeof(host))
		return false;
	memcpy(host, address, len);
	host[len] = '\0';
	return inet_pton(AF_INET, host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127;
}

static void
check_listeners(struct loader *l)
{
	const struct config *config = l->config;

	if (config->listen_count == 0)
		complain(
		    l, "listen: there is no address to listen on; the usual one is 127.0.0.1:7000");
	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listener *one = &config->listen[i];

		if (one->tls && config->tls_cert[0] == '\0')
			complain(l,
			    "listen: \"%s,tls\" needs a certificate: set tls_cert and tls_key",
			    one->address);
		if (!one->tls && !config->allow_plain &&
		    !slice_starts(slice_str(one->address), S("fd:")) &&
		    !address_is_loopback(one->address))
			complain(l,
			    "listen: \"%s\" can be reached from other machines without TLS, and "
			    "passwords would "
			    "travel in the clear; add \",tls\" (with tls_cert and tls_key), or "
			    "allow it with "
			    "allow_plain = yes (--allow-plain)",
			    one->address);
	}
}

static void
check_whole(struct loader *l)
{
	const struct config *config = l->config;

	if ((config->tls_cert[0] == '\0') != (config->tls_key[0] == '\0'))
		complain(l, "tls_cert and tls_key belong together; only %s is given",
		    config->tls_key[0] == '\0' ? "tls_cert" : "tls_key");
	check_listeners(l);
}

int
config_load(const struct config_sources *sources, struct config **ret_config, struct buf *errors,
    struct buf *warnings)
{
	struct config *config = mem_zalloc(sizeof(*config));
	struct loader l = {
	    .sources = sources, .config = config, .errors = errors, .warnings = warnings};

	set_defaults(&l);
	parse_command_line(&l);
	if (!config->want_help && !config->want_version) {
		if (l.file == NULL)
			l.file = environment_get(sources, "CONFAB_CONFIG");
		next_source(&l);
		load_file(&l);
		next_source(&l);
		load_environment(&l);
		next_source(&l);
		load_command_line(&l);
		fill_places(&l);
		if (l.error_count == 0)
			check_whole(&l);
	}
	mem_free(l.assignments);
	if (config->want_help || config->want_version) {
		buf_clear(errors);
		l.error_count = 0;
	}
	if (l.error_count > LIMIT_CONFIG_ERRORS)
		buf_printf(errors, "and %zu more\n", l.error_count - LIMIT_CONFIG_ERRORS);
	if (l.error_count > 0) {
		config_destroy(&config);
		return -1;
	}
	*ret_config = config;
	return 0;
}

void
config_destroy(struct config **config)
{
	struct config *c = *config;

	if (c == NULL)
		return;
	*config = NULL;
	for (size_t k = 0; k < config_key_count; k++) {
		const struct config_key *key = &config_keys[k];

		if (config_key_is_list(key)) {
			config_key_clear(c, key);
		} else if (config_key_is_text(key)) {
			char **text = (void *)((char *)c + key->offset);

			mem_free(*text);
		}
	}
	mem_free(c->file);
	mem_free(c);
}

void
config_restart_needed(const struct config *running, const struct config *wanted, struct buf *to)
{
	for (size_t k = 0; k < config_key_count; k++) {
		struct buf a = {0}, b = {0};

		config_key_print(running, &config_keys[k], &a);
		config_key_print(wanted, &config_keys[k], &b);
		if (!config_keys[k].live && !slice_eq(buf_slice(&a), buf_slice(&b)))
			buf_printf(to, "%s%s", buf_len(to) > 0 ? ", " : "", config_keys[k].name);
		buf_fini(&a);
		buf_fini(&b);
	}
}

/* Breaks the text into lines of at most 72 characters, indented. */
static void
describe_text(struct buf *to, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > 72) {
			buf_printf(to, "\n");
			column = 0;
		}
		buf_printf(to, "%s%.*s", column == 0 ? "        " : " ", (int)len, text);
		column += len + 1;
		text += len;
		text += strspn(text, " ");
	}
	buf_printf(to, "\n");
}

void
config_describe(struct buf *to)
{
	for (size_t k = 0; k < config_key_count; k++) {
		const struct config_key *key = &config_keys[k];
		struct buf help = {0};

		buf_printf(to, "    --");
		for (const char *c = key->name; *c != '\0'; c++)
			buf_printf(to, "%c", *c == '_' ? '-' : *c);
		buf_printf(to, " %s\n", key->argument);
		buf_printf(&help, "%s", key->help);
		if (key->fallback != NULL && key->fallback[0] != '\0')
			buf_printf(&help, " (%s)", key->fallback);
		buf_append(&help, "", 1);
		describe_text(to, buf_head(&help));
		buf_fini(&help);
	}
}
