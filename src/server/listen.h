/* SPDX-License-Identifier: MIT */
/* The server's listening sockets: by its configuration, or taken over from the program before it. */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stddef.h>

struct config;
struct handover;
struct server;

/*
 * Opens a listener for each listen key; sockets in server->handed stand for theirs, those that
 * nothing stands for any more are closed.  0, or -1 with a message for people.
 */
int listen_open(struct server *server, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));
/* Adds all that are open.  0, or -1 with errno. */
int listen_hand_over(const struct server *server, struct handover *handover)
    __attribute__((warn_unused_result));
/*
 * For --check: where a running confabd hands its sockets over, whether the addresses that it does
 * not have can be listened on.  0, or -1 with a message for people.
 */
int listen_check(const struct config *config, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
