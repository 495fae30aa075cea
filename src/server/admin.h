/* SPDX-License-Identifier: MIT */
/* The subcommands for the shell: `user add|passwd|disable NAME`, `backup FILE`, --check, --import. */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include "server/config.h"

/* Runs config->words; the exit code: 0, 1 where it failed, 2 where it was not understood. */
int admin_command(const struct config *config);
/* Says what the configuration leads to, and whether a server could start with it. */
int admin_check(const struct config *config);
/* Takes the store config->import into config->store. */
int admin_import(const struct config *config);

#endif
