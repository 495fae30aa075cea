/* SPDX-License-Identifier: MIT */
/*
 * The configuration: a file of `key = value` lines, the environment (CONFAB_KEY) and the command
 * line
 * (--key VALUE), each stronger than the one before.  Every key can be given in all three; the table
 * of keys is in config_table.c.  Errors are collected as text for people, one line each, with the
 * place where the mistake is and the nearest key that exists.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/buf.h"
#include "base/slice.h"

enum {
	LIMIT_CONFIG_FILE_BYTES = 256 * 1024,
	LIMIT_CONFIG_LINE_BYTES = 4096,
	LIMIT_CONFIG_LIST = 64,   /* items of a list key */
	LIMIT_CONFIG_ERRORS = 20, /* reported; the rest is counted */
	CONFIG_WORDS_MAX = 4,     /* of a subcommand */
};

struct config_listener {
	char *address; /* owned: "127.0.0.1:7000", "[::1]:0", "*:7000", "fd:3" */
	bool proxy, tls;
};

struct config_list {
	char **items; /* owned, with its texts; NULL-terminated; NULL while empty */
	size_t count;
};

struct config_rate {
	uint64_t rate, burst;
};

/* Numbers are all uint64_t, so that one table can set them. */
struct config {
	char *file; /* owned; what was read, NULL if none */

	struct config_listener *listen; /* owned */
	size_t listen_count;
	bool allow_plain;
	char *tls_cert, *tls_key; /* owned, "" if not given; so are all texts below */
	char *data, *store, *bus, *node;
	uint64_t workers, store_readers, hash_threads, hash_queue;
	uint64_t password_mem_kib, password_passes;
	bool registration_open, directory_open;
	uint64_t token_days;
	char *log_file;
	uint64_t log_level; /* enum log_level */
	uint64_t max_connections, memory_budget_mib, idle_ms, login_ms, drain_ms;
	uint64_t presence_leave_ms;
	uint64_t limit_body, limit_data, limit_signal_data, limit_conversations, limit_groups,
	    limit_members, limit_contacts, limit_sessions, limit_connections;
	uint64_t connections_per_address;
	struct {
		struct config_rate session, user, address;                         /* a second */
		struct config_rate login, login_address, login_user, registration; /* a minute */
	} rates;
	struct config_list origins, proxies, monitors, rate_exempt;

	/* From the command line only. */
	bool want_check, want_help, want_version, password_stdin;
	const char *import; /* where from; borrowed from argv; NULL: no import */
	const char *words[CONFIG_WORDS_MAX]; /* the subcommand; borrowed from argv */
	size_t word_count;
};

/* Where it is read from; everything borrowed for the call. */
struct config_sources {
	int argc;
	char *const *argv;
	char *const *environment;
	const char *default_file; /* read if it exists and no other was named; NULL: none */
};

/*
 * Reads all sources and checks the whole.  Returns 0 and a configuration that the caller destroys,
 * or -1 with the reasons in errors.  Warnings (an unknown CONFAB_ variable that resembles a key) go
 * to warnings.  --help and --version win over errors: then the configuration has only those set.
 */
int config_load(const struct config_sources *sources, struct config **ret_config,
    struct buf *errors, struct buf *warnings) __attribute__((warn_unused_result));
/* NULL is allowed. */
void config_destroy(struct config **config);

/* Keys that differ and are only looked at when the server starts, ", " between them. */
void config_restart_needed(
    const struct config *running, const struct config *wanted, struct buf *to);
/* The options, one paragraph each, for --help. */
void config_describe(struct buf *to);

/* Whether the address part of ADDR:PORT is of this machine alone. */
bool address_is_loopback(const char *address);

#endif
