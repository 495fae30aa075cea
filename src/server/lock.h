/* SPDX-License-Identifier: MIT */
/*
 * The data directory and the lock on it: one confabd at a time.  The kernel lets the lock go when
 * the process ends, however it ends, so that there is never a stale one.
 */
#ifndef SERVER_LOCK_H
#define SERVER_LOCK_H

#include <stddef.h>

/* Makes the directory and its parents, mode 0700.  0, or -1 with a message for people. */
int data_dir_make(const char *dir, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));
/*
 * Locks the file `path` (made if it is not there) until the descriptor is closed, and writes the
 * pid into it. `what` names in messages what it stands for.  Returns the descriptor, or -1 with a
 * message for people.
 */
int lock_take(const char *path, const char *what, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));
/*
 * The same, where fd may be a lock of this file that this process holds already (or of another file:
 * that is let go; -1: none).  It is the callee's.
 */
int lock_keep(int fd, const char *path, const char *what, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));
/* Whether a path can be written to by this process: makes and removes a file in the directory. */
int data_dir_check(const char *dir, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
