/* SPDX-License-Identifier: MIT */
/*
 * What the shell's subcommands do to a store, with no server running or beside one, which notices
 * within a few seconds (store_admin_revision).  "sqlite:PATH" or "mysql://…".  0, or -1 with a message for
 * people in ret_error.
 */
#ifndef STORE_ADMIN_H
#define STORE_ADMIN_H

#include "base/slice.h"

struct admin_error {
	char text[512];
};

/*
 * Creates the store if there is none.  name is folded and of the grammar; display.ptr NULL: the
 * name.
 */
int admin_user_add(const char *url, slice name, slice display, slice password_hash,
    struct admin_error *ret_error) __attribute__((warn_unused_result));
/* Sets another password; every session of the user ends. */
int admin_user_passwd(const char *url, slice name, slice password_hash,
    struct admin_error *ret_error) __attribute__((warn_unused_result));
/* No login any more, and every session ends. */
int admin_user_disable(const char *url, slice name, struct admin_error *ret_error)
    __attribute__((warn_unused_result));
/*
 * A consistent copy as one file, which must not exist yet and appears only when it is whole and on
 * the disk; "sqlite:PATH" only. Its epoch is NULL: when it is started it announces itself as another life of the store.
 */
int admin_backup(const char *url, const char *file, struct admin_error *ret_error)
    __attribute__((warn_unused_result));
/* Whether a server of this version could work with the store, which must exist; changes nothing. */
int admin_check_store(const char *url, struct admin_error *ret_error)
    __attribute__((warn_unused_result));

#endif
