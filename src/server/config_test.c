/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/config.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "server/config_keys.h"
#include "server/nearest.h"
#include "server/wiring.h"

/* Loads from an argv and an environment that end in NULL. */
static int
load(const char *const *argv, const char *const *environment, struct config **ret_config,
    struct buf *errors, struct buf *warnings)
{
	struct config_sources from = {0};
	char *args[32] = {0}, *variables[32] = {0};

	args[from.argc++] = mem_dup(S("confabd"));
	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
		args[from.argc++] = mem_dup(slice_str(argv[i]));
	for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
		variables[i] = mem_dup(slice_str(environment[i]));
	from.argv = args;
	from.environment = variables;
	int rc = config_load(&from, ret_config, errors, warnings);
	/* Words are borrowed from argv: the tests that look at them have literals of the same text.
	 */
	if (rc == 0)
		for (size_t w = 0; w < (*ret_config)->word_count; w++)
			for (size_t i = 0; argv[i] != NULL; i++)
				if (strcmp(argv[i], (*ret_config)->words[w]) == 0)
					(*ret_config)->words[w] = argv[i];
	for (size_t i = 0; i < LEN(args); i++)
		mem_free(args[i]);
	for (size_t i = 0; i < LEN(variables); i++)
		mem_free(variables[i]);
	return rc;
}

static struct config *
loaded(const char *const *argv, const char *const *environment)
{
	struct buf errors = {0}, warnings = {0};
	struct config *config = NULL;

	if (load(argv, environment, &config, &errors, &warnings) < 0)
		fail_msg("%.*s", SLICE_ARG(buf_slice(&errors)));
	assert_int_equal(buf_len(&errors), 0);
	buf_fini(&errors);
	buf_fini(&warnings);
	return config;
}

static void
refused(const char *const *argv, const char *const *environment, const char *want)
{
	struct buf errors = {0}, warnings = {0};
	struct config *config = NULL;

	assert_int_equal(load(argv, environment, &config, &errors, &warnings), -1);
	buf_append(&errors, "", 1);
	assert_string_equal(buf_head(&errors), want);
	buf_fini(&errors);
	buf_fini(&warnings);
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A file in the working directory, removed by unlink(). */
static void
write_file(const char *path, slice text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text.ptr, 1, text.len, file), text.len);
	assert_int_equal(fclose(file), 0);
}

static const char *
temporary(void)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "config_test-%ld.conf", (long)getpid());
	return path;
}

static void
refused_file(slice text, const char *want_behind_path)
{
	char want[2048];

	write_file(temporary(), text);
	(void)snprintf(want, sizeof(want), "%s:%s\n", temporary(), want_behind_path);
	refused(ARGV("-c", temporary()), NULL, want);
	assert_int_equal(unlink(temporary()), 0);
}

static void
test_defaults(void **state)
{
	struct config *c =
	    loaded(NULL, ARGV("HOME=/home/ann", "STATE_DIRECTORY=/state/confab:/other"));

	(void)state;
	assert_int_equal(c->listen_count, 1);
	assert_string_equal(c->listen[0].address, "127.0.0.1:7000");
	assert_string_equal(c->data, "/state/confab");
	assert_string_equal(c->store, "sqlite:/state/confab/confab.db");
	assert_string_equal(c->bus, "local:");
	assert_string_equal(c->node, "n1");
	assert_int_equal(c->limit_body, 16384);
	assert_int_equal(c->idle_ms, 75000);
	assert_int_equal(c->login_ms, 30000);
	assert_int_equal(c->log_level, LOG_INFO);
	assert_true(c->registration_open && c->directory_open);
	assert_false(c->allow_plain);
	assert_int_equal(c->proxies.count, 2);
	assert_null(c->origins.items);
	assert_null(c->file);
	config_destroy(&c);
	assert_null(c);
}

/* The cost of a password may only be lowered on purpose. */
static void
test_password_cost(void **state)
{
	struct config *c = loaded(NULL, ARGV("STATE_DIRECTORY=/s"));

	(void)state;
	assert_int_equal(c->password_mem_kib, 19 * 1024);
	assert_int_equal(c->password_passes, 2);
	config_destroy(&c);
}

static void
test_precedence(void **state)
{
	struct config *c;

	(void)state;
	write_file(temporary(),
	    S("# a comment\n[confabd]\nnode = file\nworkers=2\r\n\tidle_ms =  5000\n"
	      "listen = 127.0.0.1:1 127.0.0.1:2\nlisten = [::1]:3,proxy\nregistration = closed"));
	c = loaded(ARGV("-c", temporary()), ARGV("STATE_DIRECTORY=/s"));
	assert_string_equal(c->file, temporary());
	assert_string_equal(c->node, "file");
	assert_int_equal(c->workers, 2);
	assert_int_equal(c->idle_ms, 5000);
	assert_int_equal(c->listen_count, 3);
	assert_true(c->listen[2].proxy && !c->listen[2].tls);
	assert_false(c->registration_open);
	config_destroy(&c);

	char variable[96];
	(void)snprintf(variable, sizeof(variable), "CONFAB_CONFIG=%s", temporary());
	c = loaded(ARGV("--node=line", "--allow-plain", "--listen", "*:9"),
	    ARGV(variable, "CONFAB_NODE=environment", "CONFAB_WORKERS=3",
		"CONFAB_LISTEN=127.0.0.1:8", "CONFAB_IDLE_MS=", "STATE_DIRECTORY=/s"));
	assert_string_equal(c->node, "line");
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->idle_ms, 5000);
	assert_int_equal(c->listen_count, 1);
	assert_string_equal(c->listen[0].address, "*:9");
	assert_true(c->allow_plain);
	config_destroy(&c);
	assert_int_equal(unlink(temporary()), 0);
}

static void
test_file_errors(void **state)
{
	(void)state;
	refused_file(S("\n\nlisen = 127.0.0.1:7000\n"),
	    "3: unknown key \"lisen\"; did you mean \"listen\"?");
	refused_file(S("favourite_colour = blue"),
	    "1: unknown key \"favourite_colour\"; `confabd --help` lists them");
	refused_file(S("workers = many"), "1: workers: \"many\" is not a whole number");
	refused_file(S("workers = -1"), "1: workers: \"-1\" is not a whole number");
	refused_file(S("workers = 99999999999999999999999"),
	    "1: workers: \"99999999999999999999999\" is not a whole number");
	refused_file(S("workers = 65"), "1: workers: \"65\" is not between 0 and 64");
	refused_file(S("workers ="), "1: workers: \"\" is not a whole number");
	refused_file(S("workers"), "1: \"workers\" is not `key = value`");
	refused_file(S("workers = 1\nworkers = 2"), "2: workers was given in line 1 already");
	refused_file(S("workers = 1 # one"), "1: workers: a comment needs a line of its own");
	refused_file(S("node = \"n1\""), "1: node: write the value without quotes");
	refused_file(S("[redis]"),
	    "1: unknown section \"[redis]\"; there is only [confabd], and it can be left out");
	refused_file(
	    S("registration = yes"), "1: registration: \"yes\" is neither \"open\" nor \"closed\"");
	refused_file(
	    S("allow_plain = true"), "1: allow_plain: \"true\" is neither \"yes\" nor \"no\"");
	refused_file(S("log_level = wran"), "1: log_level: \"wran\" is not a level: error, warn, "
					    "info or debug; did you mean \"warn\"?");
	refused_file(S("node = a b"),
	    "1: node: \"a b\" is not a node's name: 1 to 32 letters, digits, '.', '_' and '-'");
	refused_file(S("data = a\0b"), "1: data: the value has a zero byte");
	refused_file(S("store = sqlite:"), "1: store: \"sqlite:\" has nothing behind \"sqlite:\"");
	refused_file(
	    S("store = memory:x"), "1: store: \"memory:x\" has something behind \"memory:\"");
	refused_file(S("store = oracle"),
	    "1: store: \"oracle\" begins with none of sqlite:, memory:, mysql://");
	refused_file(
	    S("store = mysql://"), "1: store: \"mysql://\" has nothing behind \"mysql://\"");
	refused_file(S("bus = redis://"), "1: bus: \"redis://\" has nothing behind \"redis://\"");
	refused_file(
	    S("bus = rediss://h"), "1: bus: \"rediss://...\" begins with none of local:, redis://");
	refused_file(S("listen = 7000"),
	    "1: listen: \"7000\" is not ADDR:PORT, like 127.0.0.1:7000, [::1]:7000 or *:7000");
	refused_file(S("listen = localhost:7000"),
	    "1: listen: \"localhost:7000\" names no address: write 127.0.0.1 for this machine");
	refused_file(S("listen = 127.0.0.1:7000,ssl"),
	    "1: listen: \"127.0.0.1:7000,ssl\" has \"ssl\" "
	    "behind the address; there is `proxy` and `tls`");
	refused_file(S("monitors = 10.0.0.0/33"),
	    "1: monitors: \"10.0.0.0/33\" is no address or block, like 10.0.0.7 or 10.0.0.0/8");
	refused_file(S("origins = example.org"),
	    "1: origins: \"example.org\" is no origin: write scheme://host[:port], without a path");
}

static void
test_file_unreadable(void **state)
{
	(void)state;
	refused(ARGV("--config", "/nowhere/confabd.conf"), NULL,
	    "/nowhere/confabd.conf: cannot read this configuration file: No such file or "
	    "directory\n");
	refused(ARGV("-c", "/"), NULL, "/: cannot read this configuration file: Is a directory\n");
}

static void
test_bounds(void **state)
{
	struct buf text = {0};
	char want[128];

	(void)state;
	buf_printf(&text, "node = ");
	for (int i = 0; i < LIMIT_CONFIG_LINE_BYTES; i++)
		buf_append(&text, "x", 1);
	(void)snprintf(
	    want, sizeof(want), "1: this line is longer than %d bytes", LIMIT_CONFIG_LINE_BYTES);
	refused_file(buf_slice(&text), want);
	while (buf_len(&text) <= LIMIT_CONFIG_FILE_BYTES)
		buf_append(&text, "# and so on\n", 12);
	write_file(temporary(), buf_slice(&text));
	(void)snprintf(want, sizeof(want),
	    "%s: cannot read this configuration file: File too large\n", temporary());
	refused(ARGV("-c", temporary()), NULL, want);

	buf_clear(&text);
	for (int i = 0; i < LIMIT_CONFIG_ERRORS + 5; i++)
		buf_printf(&text, "xyzzyxyzzy = 1\n");
	write_file(temporary(), buf_slice(&text));
	struct buf errors = {0}, warnings = {0};
	struct config *config = NULL;
	unsigned lines = 0;
	assert_int_equal(load(ARGV("-c", temporary()), NULL, &config, &errors, &warnings), -1);
	for (size_t i = 0; i < buf_len(&errors); i++)
		lines += buf_head(&errors)[i] == '\n';
	assert_int_equal(lines, LIMIT_CONFIG_ERRORS + 1);
	buf_append(&errors, "", 1);
	assert_non_null(strstr(buf_head(&errors), "and 5 more\n"));
	buf_fini(&errors);
	buf_fini(&warnings);

	buf_clear(&text);
	for (int i = 0; i < LIMIT_CONFIG_LIST + 1; i++)
		buf_printf(&text, "monitors = 10.0.0.1\n");
	(void)snprintf(want, sizeof(want), "%d: monitors: \"10.0.0.1\" is one too many: at most %d",
	    LIMIT_CONFIG_LIST + 1, LIMIT_CONFIG_LIST);
	refused_file(buf_slice(&text), want);
	buf_fini(&text);
}

static void
test_option_errors(void **state)
{
	(void)state;
	refused(
	    ARGV("--lisen", "x"), NULL, "unknown option \"--lisen\"; did you mean \"--listen\"?\n");
	refused(ARGV("--alow-plain"), NULL,
	    "unknown option \"--alow-plain\"; did you mean \"--allow-plain\"?\n");
	refused(ARGV("--frobnicate"), NULL,
	    "unknown option \"--frobnicate\"; `confabd --help` lists them\n");
	refused(ARGV("-x"), NULL, "unknown option \"-x\"; `confabd --help` lists them\n");
	refused(ARGV("--workers"), NULL, "--workers needs a value: N\n");
	refused(ARGV("--workers=x"), NULL, "--workers: workers: \"x\" is not a whole number\n");
	refused(ARGV("a", "b", "c", "d", "e"), NULL, "\"e\" is one word too many\n");
	refused(NULL, ARGV("CONFAB_WORKERS=x"),
	    "CONFAB_WORKERS: workers: \"x\" is not a whole number\n");
}

static void
test_whole_errors(void **state)
{
	(void)state;
	refused(ARGV("--listen", "*:7000"), NULL,
	    "listen: \"*:7000\" can be reached from other machines without TLS, and passwords "
	    "would travel in the "
	    "clear; add \",tls\" (with tls_cert and tls_key), or allow it with allow_plain = yes "
	    "(--allow-plain)\n");
	refused(ARGV("--listen", "127.0.0.1:7000,tls"), NULL,
	    "listen: \"127.0.0.1:7000,tls\" needs a certificate: set tls_cert and tls_key\n");
	refused(ARGV("--tls-cert", "x.pem"), NULL,
	    "tls_cert and tls_key belong together; only tls_cert is given\n");
	refused(ARGV("--bus", "redis://h"), NULL,
	    "node: nodes that hear of each other need each a name of its own; give it with --node "
	    "NAME\n");
	refused(ARGV("--listen="), NULL,
	    "listen: there is no address to listen on; the usual one is 127.0.0.1:7000\n");

	struct config *c =
	    loaded(ARGV("--listen", "0.0.0.0:1,tls", "--listen", "[::1]:0", "--listen",
		       "127.3.2.1:5", "--tls-cert", "a", "--tls-key", "b", "--data", "d"),
		NULL);
	assert_int_equal(c->listen_count, 3);
	assert_true(c->listen[0].tls);
	assert_string_equal(c->store, "sqlite:d/confab.db");
	config_destroy(&c);
}

static void
test_words_and_flags(void **state)
{
	struct config *c =
	    loaded(ARGV("user", "--data", "d", "add", "--password-stdin", "--", "--bob"), NULL);

	(void)state;
	assert_int_equal(c->word_count, 3);
	assert_string_equal(c->words[0], "user");
	assert_string_equal(c->words[2], "--bob");
	assert_true(c->password_stdin);
	assert_false(c->want_check);
	config_destroy(&c);
	c = loaded(ARGV("--check", "--data=d"), NULL);
	assert_true(c->want_check);
	config_destroy(&c);
	c = loaded(ARGV("--help", "--nonsense"), NULL);
	assert_true(c->want_help);
	config_destroy(&c);
	c = loaded(ARGV("-V"), NULL);
	assert_true(c->want_version);
	config_destroy(&c);
}

static void
test_environment_warning(void **state)
{
	struct buf errors = {0}, warnings = {0};
	struct config *config = NULL;

	(void)state;
	assert_int_equal(load(ARGV("--data=d"), ARGV("CONFAB_WORKES=2", "CONFAB_TOKEN_FILE=x"),
			     &config, &errors, &warnings),
	    0);
	buf_append(&warnings, "", 1);
	assert_string_equal(buf_head(&warnings),
	    "CONFAB_WORKES in the environment is no key; did you mean CONFAB_WORKERS?\n");
	config_destroy(&config);
	buf_fini(&errors);
	buf_fini(&warnings);
}

static void
test_restart_needed(void **state)
{
	struct config *a = loaded(ARGV("--data=d"), NULL);
	struct config *b = loaded(
	    ARGV("--data=e", "--idle-ms=9000", "--workers=2", "--origins=https://a.b:1"), NULL);
	struct buf keys = {0};

	(void)state;
	config_restart_needed(a, b, &keys);
	buf_append(&keys, "", 1);
	assert_string_equal(buf_head(&keys), "data, store, workers");
	buf_fini(&keys);
	config_destroy(&a);
	config_destroy(&b);
}

static void
test_loopback(void **state)
{
	(void)state;
	assert_true(address_is_loopback("127.0.0.1:7000"));
	assert_true(address_is_loopback("127.9.9.9:0"));
	assert_true(address_is_loopback("[::1]:7000"));
	assert_false(address_is_loopback("[::]:7000"));
	assert_false(address_is_loopback("*:7000"));
	assert_false(address_is_loopback("0.0.0.0:7000"));
	assert_false(address_is_loopback("192.168.0.1:7000"));
}

static void
test_nearest(void **state)
{
	struct nearest best = {0};

	(void)state;
	assert_int_equal(edit_distance(S(""), S("abc")), 3);
	assert_int_equal(edit_distance(S("kitten"), S("sitting")), 3);
	assert_int_equal(edit_distance(S("lisetn"), S("listen")), 1);
	assert_int_equal(edit_distance(S("Log-Level"), S("log_level")), 0);
	nearest_offer(&best, S("quux"), "listen");
	assert_null(best.word);
	nearest_offer(&best, S("lsten"), "lost");
	nearest_offer(&best, S("lsten"), "listen");
	assert_string_equal(best.word, "listen");
	nearest_offer(&best, S("x"), "ab");
	assert_string_equal(best.word, "listen");
}

static slice
whole_file(const char *path, struct buf *text)
{
	FILE *file = fopen(path, "r");
	size_t n;

	if (file == NULL)
		fail_msg("%s cannot be read", path);
	while ((n = fread(buf_reserve(text, 8192), 1, 8192, file)) > 0)
		buf_grew(text, n);
	(void)fclose(file);
	buf_append(text, "", 1);
	return buf_slice(text);
}

/* The shipped file names every key with its default, commented out, and can be read as it is. */
static void
test_shipped_file(void **state)
{
	const char *path = CONFAB_SOURCE_DIR "/config/confabd.conf";
	struct buf text = {0}, man = {0}, line = {0};
	struct config *c = loaded(ARGV("-c", path), ARGV("STATE_DIRECTORY=/s"));

	(void)state;
	config_destroy(&c);
	(void)whole_file(path, &text);
	(void)whole_file(CONFAB_SOURCE_DIR "/docs/man/confabd.conf.5", &man);
	for (size_t k = 0; k < config_key_count; k++) {
		const struct config_key *key = &config_keys[k];

		buf_clear(&line);
		buf_printf(&line, "\n#%s =", key->name);
		if (key->fallback != NULL && key->fallback[0] != '\0')
			buf_printf(&line, " %s\n", key->fallback);
		buf_append(&line, "", 1);
		if (strstr(buf_head(&text), buf_head(&line)) == NULL)
			fail_msg("%s has no line%s", path, buf_head(&line));
		buf_clear(&line);
		buf_printf(&line, ".B %s\n", key->name);
		buf_append(&line, "", 1);
		if (strstr(buf_head(&man), buf_head(&line)) == NULL)
			fail_msg("confabd.conf.5 does not describe %s", key->name);
	}
	buf_fini(&text);
	buf_fini(&man);
	buf_fini(&line);
}

static void
test_describe(void **state)
{
	struct buf text = {0};

	(void)state;
	config_describe(&text);
	buf_append(&text, "", 1);
	assert_non_null(strstr(buf_head(&text), "    --password-mem-kib KIB\n"));
	for (const char *at = buf_head(&text); *at != '\0';) {
		size_t len = strcspn(at, "\n");

		assert_true(len <= 80);
		at += len + 1;
	}
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_password_cost),
	    cmocka_unit_test(test_precedence),
	    cmocka_unit_test(test_file_errors),
	    cmocka_unit_test(test_file_unreadable),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_option_errors),
	    cmocka_unit_test(test_whole_errors),
	    cmocka_unit_test(test_words_and_flags),
	    cmocka_unit_test(test_environment_warning),
	    cmocka_unit_test(test_restart_needed),
	    cmocka_unit_test(test_loopback),
	    cmocka_unit_test(test_nearest),
	    cmocka_unit_test(test_shipped_file),
	    cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
