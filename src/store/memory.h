/* SPDX-License-Identifier: MIT */
/*
 * What a test puts into the memory store directly, because no method makes it (yet): groups,
 * members, contacts, states of accounts and entries.  The memory driver itself is used through
 * store/driver.h.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/driver.h"
#include "store/rows.h"

/*
 * Adds or replaces; row->cid 0: a new one.  head and ts are the log's own and not taken.  Returns
 * the cid.
 */
uint64_t memory_put_conv(struct driver *driver, const struct conv_row *row, slice title);
void memory_put_member(
    struct driver *driver, uint64_t cid, uint64_t user, const struct member_row *row);
/* One direction. */
void memory_put_contact(
    struct driver *driver, uint64_t user, uint64_t peer, enum contact_state state);
void memory_put_account(struct driver *driver, uint64_t user, enum account account);
/* Marks a stored message as edited or deleted by a later entry. */
void memory_put_change(
    struct driver *driver, uint64_t cid, uint64_t seq, uint64_t edited, uint64_t deleted);

#endif
