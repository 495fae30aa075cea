/* SPDX-License-Identifier: MIT */
#include "server/admin.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/panic.h"
#include "bus/bus.h"
#include "chat/names.h"
#include "net/net.h"
#include "server/listen.h"
#include "server/lock.h"
#include "server/nearest.h"
#include "server/prompt.h"
#include "server/pwpool.h"
#include "server/shown.h"
#include "server/wiring.h"
#include "store/admin.h"
#include "store/store.h"
#include "wire/utf8.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, MESSAGE_BYTES = 1024 };

static int say(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int
say(int code, const char *format, ...)
{
	va_list ap;

	(void)fputs("confabd: ", stderr);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return code;
}

/* --- Users --- */

/* The stored form of a password that is asked for; 0 or an exit code. */
static int
ask_password(const struct config *config, char ret_hash[128])
{
	char first[PROMPT_MAX_BYTES + 1], second[PROMPT_MAX_BYTES + 1], why[256];
	int code = 0;

	if (config->password_stdin) {
		if (prompt_stdin(first, why, sizeof(why)) < 0)
			return say(EXIT_FAILED, "%s", why);
	} else if (prompt_password("Password: ", first, why, sizeof(why)) < 0 ||
		   prompt_password("Once more: ", second, why, sizeof(why)) < 0) {
		return say(EXIT_FAILED, "%s", why);
	} else if (strcmp(first, second) != 0) {
		code = say(EXIT_FAILED, "these were two different passwords");
	}
	if (code == 0 && !utf8_valid(slice_str(first)))
		code = say(EXIT_FAILED, "the password is not UTF-8");
	else if (code == 0 && !password_strong(slice_str(first)))
		code = say(EXIT_FAILED,
		    "choose a password of at least %d characters that is not a common one",
		    PASSWORD_MIN_CHARS);
	else if (code == 0 && password_hash(slice_str(first), config->password_mem_kib,
				  config->password_passes, ret_hash) < 0)
		code = say(EXIT_FAILED,
		    "there are not the %llu KiB of memory that hashing a password takes",
		    (unsigned long long)config->password_mem_kib);
	sodium_memzero(first, sizeof(first));
	sodium_memzero(second, sizeof(second));
	return code;
}

enum user_verb { USER_ADD, USER_PASSWD, USER_DISABLE, USER_VERBS };
static const char *const user_verbs[] = {"add", "passwd", "disable"};
static const char *const user_done[] = {"was added", "has a new password; his sessions have ended",
    "is disabled; his sessions have ended"};

static int
run_user(const struct config *config, enum user_verb verb, slice name)
{
	struct admin_error error = {0};
	char hash[128];
	int rc = -1, code;

	if (verb != USER_DISABLE && (code = ask_password(config, hash)) != 0)
		return code;
	switch (verb) {
	case USER_ADD:
		rc = admin_user_add(config->store, name, SLICE_NONE, slice_str(hash), &error);
		break;
	case USER_PASSWD:
		rc = admin_user_passwd(config->store, name, slice_str(hash), &error);
		break;
	case USER_DISABLE:
		rc = admin_user_disable(config->store, name, &error);
		break;
	case USER_VERBS:
		panic("no verb");
	}
	if (rc < 0)
		return say(EXIT_FAILED, "%s", error.text);
	printf("%.*s %s\n", SLICE_ARG(name), user_done[verb]);
	return 0;
}

static int
command_user(const struct config *config, const struct wiring *row)
{
	char folded[NAME_MAX_BYTES], why[MESSAGE_BYTES], quoted[SHOWN_BYTES];
	struct nearest best = {0};
	enum user_verb verb = 0;
	slice name;

	if (config->word_count != 3)
		return say(
		    EXIT_USAGE, "usage: confabd user add|passwd|disable NAME [--password-stdin]");
	while (verb < USER_VERBS && strcmp(config->words[1], user_verbs[verb]) != 0)
		nearest_offer(&best, slice_str(config->words[1]), user_verbs[verb++]);
	if (verb == USER_VERBS && best.word != NULL)
		return say(EXIT_USAGE, "unknown command \"user\" %s; did you mean \"user %s\"?",
		    shown(slice_str(config->words[1]), false, quoted), best.word);
	if (verb == USER_VERBS)
		return say(EXIT_USAGE,
		    "unknown command \"user\" %s; there is add, passwd and disable",
		    shown(slice_str(config->words[1]), false, quoted));
	if (!name_fold(slice_str(config->words[2]), folded, &name))
		return say(EXIT_USAGE,
		    "%s is no user's name: 2 to 32 of a-z 0-9 _ . -, beginning with a "
		    "letter or digit",
		    shown(slice_str(config->words[2]), false, quoted));
	if (name_reserved(name))
		return say(EXIT_USAGE, "the name \"%.*s\" is reserved", SLICE_ARG(name));
	if (verb == USER_ADD && row->on_disk && data_dir_make(config->data, why, sizeof(why)) < 0)
		return say(EXIT_FAILED, "%s", why);
	return run_user(config, verb, name);
}

/* --- Backup --- */

static int
command_backup(const struct config *config)
{
	struct admin_error error = {0};

	if (config->word_count != 2)
		return say(EXIT_USAGE, "usage: confabd backup FILE");
	if (admin_backup(config->store, config->words[1], &error) < 0)
		return say(EXIT_FAILED, "%s", error.text);
	printf("%s has a copy of %s; to restore it, put it in that place while no server runs\n",
	    config->words[1], config->store);
	return 0;
}

int
admin_command(const struct config *config)
{
	static const char *const commands[] = {"user", "backup"};
	const struct wiring *row = wiring_find(WIRING_STORE, slice_str(config->store));
	const char *word = config->words[0];
	char quoted[SHOWN_BYTES];
	struct nearest best = {0};

	(void)umask(077);
	for (size_t i = 0; i < LEN(commands); i++)
		nearest_offer(&best, slice_str(word), commands[i]);
	if (best.word == NULL)
		return say(EXIT_USAGE, "unknown command %s; `confabd --help` lists them",
		    shown(slice_str(word), false, quoted));
	if (strcmp(best.word, word) != 0)
		return say(EXIT_USAGE, "unknown command %s; did you mean \"%s\"?",
		    shown(slice_str(word), false, quoted), best.word);
	assert(row != NULL);
	if (!row->needs_path)
		return say(EXIT_FAILED,
		    "%s is a store in a server's memory: there is nothing to work on",
		    config->store);
	return strcmp(word, "user") == 0 ? command_user(config, row) : command_backup(config);
}

/* --- Check --- */

static int
check_tls(const struct config *config)
{
	char why[MESSAGE_BYTES];
	struct tls_context *tls;

	if (config->tls_cert[0] == '\0')
		return 0;
	tls = tls_context_create(config->tls_cert, config->tls_key, why, sizeof(why));
	if (tls == NULL)
		return say(EXIT_FAILED, "%s", why);
	tls_context_destroy(&tls);
	printf("certificate: %s is good\n", config->tls_cert);
	return 0;
}

static int
check_database(const struct config *config)
{
	struct admin_error error = {0};
	char text[512];

	if (admin_check_store(config->store, &error) < 0)
		return say(EXIT_FAILED, "%s", error.text);
	store_url_text(config->store, text, sizeof(text));
	printf("store: %s is good\n", text);
	return 0;
}

static int
check_store(const struct config *config)
{
	const struct wiring *row = wiring_find(WIRING_STORE, slice_str(config->store));
	const char *path = config->store + strlen(row->scheme);
	struct admin_error error = {0};
	char why[MESSAGE_BYTES];
	struct stat st;

	if (!row->on_disk && row->needs_path)
		return check_database(config);
	if (!row->on_disk) {
		printf("store: %s forgets everything at the end\n", config->store);
		return 0;
	}
	printf("data: %s\n", config->data);
	if (stat(config->data, &st) < 0 && errno == ENOENT) {
		printf("store: %s and the directory %s will be made\n", path, config->data);
		return 0;
	}
	if (data_dir_check(config->data, why, sizeof(why)) < 0)
		return say(EXIT_FAILED, "%s", why);
	if (stat(path, &st) < 0 && errno == ENOENT) {
		printf("store: %s will be made\n", path);
		return 0;
	}
	if (admin_check_store(config->store, &error) < 0)
		return say(EXIT_FAILED, "%s", error.text);
	printf("store: %s is good\n", path);
	return 0;
}

static int
check_bus(const struct config *config)
{
	char why[MESSAGE_BYTES];

	if (bus_check(config->bus, why, sizeof(why)) < 0)
		return say(EXIT_FAILED, "%s", why);
	return 0;
}

int
admin_check(const struct config *config)
{
	char why[MESSAGE_BYTES];
	int code = listen_check(config, why, sizeof(why)) < 0 ? say(EXIT_FAILED, "%s", why) : 0;

	if (code == 0)
		code = check_tls(config);
	if (code == 0)
		code = check_bus(config);
	if (code == 0)
		code = check_store(config);
	if (code == 0 && config->log_file[0] != '\0')
		printf("log: %s\n", config->log_file);
	if (code == 0)
		printf("configuration: %s is good\n",
		    config->file != NULL ? config->file : "what was given");
	return code;
}
