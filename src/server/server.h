/* SPDX-License-Identifier: MIT */
/*
 * The server put together: reactors with a shard and a gate each, the store, the password pool,
 * listeners, and the control loop of the main thread.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config.h"

/*
 * Serves until SIGTERM or SIGINT and drains; returns the exit code.  The configuration is taken
 * over; the sources are read again on SIGHUP.  What keeps it from starting is said on stderr.
 */
int server_serve(struct config *config, const struct config_sources *sources);

#endif
