/* SPDX-License-Identifier: MIT */
/* --import for people: what goes on, on stderr; what was done, on stdout. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "server/admin.h"
#include "store/import.h"
#include "store/store.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, SAY_EVERY_MS = 1000 };

static void
say_progress(void *cookie, const struct import_progress *progress)
{
	uint64_t *next_ms = cookie, now = clock_mono_ms();

	if (now < *next_ms)
		return;
	*next_ms = now + SAY_EVERY_MS;
	(void)fprintf(stderr, "confabd: %s: %" PRIu64 " of %" PRIu64 " rows %s\n", progress->table,
	    progress->rows, progress->total, progress->comparing ? "compared" : "written");
}

static void
say_result(const struct config *config, const struct import_result *result)
{
	const char *path = config->import + strlen("sqlite:");
	char store[512];

	store_url_text(config->store, store, sizeof(store));
	if (result->anew)
		printf("what an interrupted import had left was thrown away\n");
	printf("%s is in %s now, each row read back and compared:\n", path, store);
	for (size_t i = 0; i < import_table_count; i++)
		printf("    %-8s %12" PRIu64 " rows\n", import_tables[i].name, result->rows[i]);
	if (result->other_life)
		printf("It is a backup, or was never served: it begins another life, and clients "
		       "forget "
		       "what it does not have.\n");
	else
		printf("Clients go on where they were, with their tokens and cursors.\n"
		       "%s is a copy from now on: a server that is started on it announces another "
		       "life of the store.\n",
		    path);
	if (result->warning[0] != '\0')
		(void)fprintf(stderr, "confabd: warning: %s\n", result->warning);
}

int
admin_import(const struct config *config)
{
	struct import_options options = {
	    .from = config->import, .to = config->store, .progress = say_progress};
	uint64_t next_ms = clock_mono_ms() + SAY_EVERY_MS;
	struct import_result result;
	struct admin_error error = {0};

	if (config->word_count > 0) {
		(void)fprintf(stderr,
		    "confabd: --import is a command of its own; `confabd --help` lists them\n");
		return EXIT_USAGE;
	}
	options.cookie = &next_ms;
	if (import_store(&options, &result, &error) == 0) {
		say_result(config, &result);
		return 0;
	}
	(void)fprintf(stderr, "confabd: %s\n", error.text);
	return EXIT_FAILED;
}
