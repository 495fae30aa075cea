/* SPDX-License-Identifier: MIT */
/*
 * Open descriptors that one program hands to the next one of the same process, or systemd to a
 * service (sd_listen_fds(3)): they are numbered from 3 on, and LISTEN_PID, LISTEN_FDS and
 * LISTEN_FDNAMES say whom they are for, how many there are, and what each is.
 */
#ifndef SERVER_HANDOVER_H
#define SERVER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>

enum {
	LIMIT_HANDOVER = 72, /* more are left closed-on-exec and alone */
	HANDOVER_NAME_BYTES = 128,
};

/* Names of what confabd hands to itself; a socket that it opened is named after its listen key. */
#define HANDOVER_LOCK_DATA "confab-lock-data"
#define HANDOVER_LOCK_STORE "confab-lock-store"

struct handover_item {
	int fd;                         /* -1 once it was claimed */
	char name[HANDOVER_NAME_BYTES]; /* "" if it has none */
};

/* Starts zeroed. */
struct handover {
	size_t count;
	struct handover_item items[LIMIT_HANDOVER];
};

/* What the next program is started with; strings are owned. */
struct handover_env {
	char **vars;
	size_t first_own;
	char *pid; /* where its pid is to be written; inside vars */
};

/* --- Taking over --- */

/*
 * What was handed over to this process; nothing where the variables are not there or mean another.
 * Marks all close-on-exec and takes the variables out of the environment.  Before any thread.
 */
void handover_take(struct handover *ret_handover);
/* The first of this name that nobody has claimed; it is the caller's from now on.  -1: none. */
int handover_claim(struct handover *handover, const char *name);
/* Whether confabd itself handed sockets over: then they are found by name, otherwise by order. */
bool handover_is_own(const struct handover *handover);
/* Closes what nobody claimed. */
void handover_close(struct handover *handover);
/* The name of a socket that was opened for this address. */
void handover_listen_name(const char *address, char ret_name[HANDOVER_NAME_BYTES]);

/* --- Handing over --- */

/* Keeps a duplicate of the descriptor: the original can be closed.  0, or -1 with errno. */
int handover_add(struct handover *handover, int fd, const char *name)
    __attribute__((warn_unused_result));
/* This process's environment with the variables that describe the handover. */
void handover_env_init(struct handover_env *env, const struct handover *handover);
void handover_env_fini(struct handover_env *env);
/*
 * Becomes that program; returns only if it can't, with errno, and with descriptors from 3 on
 * replaced.  Allocates nothing: also for a child of a process with threads.
 */
void handover_exec(const struct handover *handover, const struct handover_env *env,
    const char *program, char *const *argv);

/*
 * The path that this program was started with, absolute: what is there now may be a newer one.
 * Empty where it is unknown.  Before any chdir().
 */
void handover_program(char *ret_path, size_t size);

#endif
