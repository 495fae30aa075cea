/* SPDX-License-Identifier: MIT */
/* To which writer of a pool an operation goes. */
#ifndef STORE_DEAL_H
#define STORE_DEAL_H

#include "chat/op.h"

/*
 * Operations with one key go to one writer and keep their order: those of a conversation that is
 * known by its number, those to one name of one user, and otherwise those of a user.
 */
uint64_t deal_key(const struct op *op);

#endif
