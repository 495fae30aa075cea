/* SPDX-License-Identifier: MIT */
/* confabd: reads the configuration and does what it is asked to. */
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/buf.h"
#include "server/admin.h"
#include "server/config.h"
#include "server/server.h"
#include "server/wiring.h"

extern char **environ;

enum { EXIT_USAGE = 2 };

static void
put_rows(const char *title, enum wiring_kind kind)
{
	printf("%s:", title);
	for (const struct wiring *row = NULL; (row = wiring_next(kind, row)) != NULL;)
		if (row->missing == NULL)
			printf(" %s", row->scheme);
	printf("\n");
}

static int
put_version(void)
{
	printf("confabd %s\n", CONFAB_VERSION);
	put_rows("stores", WIRING_STORE);
	put_rows("buses", WIRING_BUS);
	put_rows("protocols", WIRING_PROTOCOL);
	return 0;
}

static int
put_help(void)
{
	struct buf options = {0};

	config_describe(&options);
	printf("confabd: a chat and push server\n\n"
	       "    confabd [options]                 serve until SIGTERM; prints `ready listen=…` "
	       "on stdout\n"
	       "    confabd --check [options]         say whether it could, and stop\n"
	       "    confabd user add NAME             make an account; asks for the password\n"
	       "    confabd user passwd NAME          another password; the user's sessions end\n"
	       "    confabd user disable NAME         no login any more\n"
	       "    confabd backup FILE               a consistent copy of the store, also while a "
	       "server runs\n"
	       "    confabd --import sqlite:PATH --store mysql://...\n"
	       "                                      take a whole store into an empty database\n\n"
	       "    -c, --config FILE                 configuration file; every option below is a "
	       "key there, and\n"
	       "                                      an environment variable: --log-level, "
	       "log_level,\n"
	       "                                      CONFAB_LOG_LEVEL\n"
	       "    --password-stdin                  read the password from stdin, one line\n"
	       "    -V, --version    -h, --help\n\n%.*s",
	    SLICE_ARG(buf_slice(&options)));
	buf_fini(&options);
	return 0;
}

/* Each line with the program's name before it. */
static void
put_lines(const struct buf *text)
{
	slice rest = buf_slice(text);

	while (rest.len > 0) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len;

		(void)fprintf(stderr, "confabd: %.*s\n", (int)len, rest.ptr);
		len += end != NULL;
		rest = slice_of(rest.ptr + len, rest.len - len);
	}
}

/* /etc for root, the XDG place for a person; read only if it exists. */
static const char *
default_file(char *ret_path, size_t size)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (geteuid() == 0)
		(void)snprintf(ret_path, size, "/etc/confab/confabd.conf");
	else if (xdg != NULL && xdg[0] == '/')
		(void)snprintf(ret_path, size, "%s/confab/confabd.conf", xdg);
	else if (home != NULL && home[0] == '/')
		(void)snprintf(ret_path, size, "%s/.config/confab/confabd.conf", home);
	else
		return NULL;
	return ret_path;
}

/* What was closed would become the number of the next socket or database, and be written to as stdout. */
static void
hold_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

int
main(int argc, char **argv)
{
	char path[PATH_MAX];
	struct config_sources sources = {.argc = argc,
	    .argv = argv,
	    .environment = environ,
	    .default_file = default_file(path, sizeof(path))};
	struct buf errors = {0}, warnings = {0};
	struct config *config = NULL;
	int rc;

	hold_standard_fds();
	rc = config_load(&sources, &config, &errors, &warnings);
	put_lines(&warnings);
	put_lines(&errors);
	buf_fini(&warnings);
	buf_fini(&errors);
	if (rc < 0)
		return EXIT_USAGE;
	if (config->want_help)
		rc = put_help();
	else if (config->want_version)
		rc = put_version();
	else if (config->import != NULL)
		rc = admin_import(config);
	else if (config->word_count > 0)
		rc = admin_command(config);
	else if (config->want_check)
		rc = admin_check(config);
	else
		return server_serve(config, &sources);
	config_destroy(&config);
	return rc;
}
