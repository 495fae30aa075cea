/* SPDX-License-Identifier: MIT */
/*
 * What one user's client at one server keeps on disk, in a directory that only he can enter:
 *
 *	ROOT/SERVER/default         the user who logged in last
 *	ROOT/SERVER/USER/token      mode 0600
 *	ROOT/SERVER/USER/cursors    epoch and cursors, JSON
 *	ROOT/SERVER/USER/lock       held by the one process that moves the cursors
 *	ROOT/SERVER/USER/outbox/    one file per message without an answer, named by its cmid
 *	ROOT/SERVER/USER/sent/      those with an answer, of the last day
 *
 * Every file is written beside, synced and renamed, so that a kill leaves the old or the new one.
 *Processes of one user may use the outbox at the same time: sending a message twice under its cmid
 *is harmless. Functions that return int give 0 or a negative errno.
 */
#ifndef CLIENT_VAULT_H
#define CLIENT_VAULT_H

#include "base/buf.h"
#include "client/address.h"

enum {
	VAULT_NAME_MAX = 32,
	VAULT_FILE_MAX = 1024 * 1024, /* a longer file is not read: -EFBIG */
	VAULT_OUTBOX_MAX = 1000,      /* more messages without an answer are not taken: -ENOSPC */
	VAULT_SENT_MAX = 5000,        /* the oldest beyond are forgotten */
	VAULT_SENT_MS = 24 * 60 * 60 * 1000,
};

struct vault;

/* The place for all servers: $XDG_STATE_HOME/confab or ~/.local/state/confab; false if neither is
 * known. */
bool vault_root(struct buf *ret_path);
/* Whether this may be a user's name (and thereby a directory's). */
bool vault_name_valid(slice user);

/* Opens, and makes what isn't there.  user must be valid.  The caller ends it with vault_close().
 */
int vault_open(slice root, const struct address *server, slice user, struct vault **ret_vault);
/* NULL is allowed; leaves NULL. */
void vault_close(struct vault **vault);
slice vault_user(const struct vault *vault);
/* Becomes the one process that moves the cursors until it closes or ends; -EAGAIN if another is. */
int vault_lock(struct vault *vault);
void vault_unlock(struct vault *vault);
bool vault_locked(const struct vault *vault);

/* The user who logged in last at that server; -ENOENT if none. */
int vault_default_load(slice root, const struct address *server, struct buf *ret_user);
int vault_default_store(const struct vault *vault);

/* Appends to what the caller gives; -ENOENT if there is none. */
int vault_token_load(const struct vault *vault, struct buf *ret_token);
int vault_token_store(const struct vault *vault, slice token);
/* Forgets that token; one that another process has put there since stays. */
int vault_token_drop(const struct vault *vault, slice token);

int vault_cursors_load(const struct vault *vault, struct buf *ret_json);
/* Only with the lock: -EPERM otherwise. */
int vault_cursors_store(const struct vault *vault, slice json);

/* cmid must be one that cmid_plain() takes, in all of these. */
int vault_outbox_put(const struct vault *vault, slice cmid, slice json);
/* It was answered: kept for a day among the sent ones, or forgotten if it was refused. */
void vault_outbox_sent(const struct vault *vault, slice cmid);
void vault_outbox_drop(const struct vault *vault, slice cmid);
/* Calls for every message without an answer, in no order. */
int vault_outbox_load(
    const struct vault *vault, void (*each)(slice cmid, slice json, void *cookie), void *cookie);
/* Puts what was sent within the last day back among those without an answer; returns how many. */
int vault_outbox_revive(const struct vault *vault, uint64_t real_ms);
/* Forgets sent ones that are too old or too many. */
void vault_outbox_tidy(const struct vault *vault, uint64_t real_ms);

#endif
