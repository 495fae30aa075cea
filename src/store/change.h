/* SPDX-License-Identifier: MIT */
/*
 * What the entries of changes of groups say: the JSON of their data, written to the end of a buffer
 * that is empty before.
 */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include "base/buf.h"
#include "chat/op.h"

/* The kind of the entry. */
slice change_kind(enum group_change what);
/* CREATE (with a title), JOIN and INVITE: those who are members from here on. */
void change_put_people(struct buf *to, const struct op_person *people, size_t count, slice title);
void change_put_remove(struct buf *to, slice user, bool ban);
void change_put_role(struct buf *to, slice user, enum role role);
void change_put_mute(struct buf *to, slice user, uint64_t until);
/* The settings that are given. */
void change_put_settings(struct buf *to, const struct group_settings *set);

#endif
