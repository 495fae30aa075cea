/* SPDX-License-Identifier: MIT */
/*
 * What fixed scenarios cost in instructions, and how large the hot structures are.  The program does
 * the same each time: random numbers come from a seed, time stands where it is put, there is one
 * thread and no socket.  Under callgrind each call of cost_measured() leaves one profile;
 * test_cost.py runs it and compares.
 *
 *   cost.c         what is printed, and the random numbers
 *   cost_world.c   a gate, a shard and the memory store around connections that only count
 *   cost_chat.c    what is asked of them
 *   cost_store.c   the same of SQLite's store alone
 *   cost_size_*.c  sizes, by room: some structures of different rooms have the same name
 */
#ifndef COST_H
#define COST_H

#include "base/buf.h"
#include "base/slice.h"
#include "store/driver.h"

/*
 * Runs it twice, the second time measured, and prints the line of it: so many units were done.
 * prepare, which may be NULL, comes before each and is not measured.
 */
void cost_of(const char *name, uint64_t units, void (*prepare)(void *cookie),
    void (*run)(void *cookie), void *cookie);
void cost_size(const char *name, size_t bytes);

void cost_sizes_base(void);
void cost_sizes_chat(void);
void cost_sizes_gate(void);
void cost_sizes_net(void);
void cost_chat(void);
void cost_store(void);

/* --- The world (cost_world.c) --- */

struct cost_conn;
struct cost_world;

struct cost_world *cost_world_create(void);
void cost_world_destroy(struct cost_world **world);
struct driver *cost_world_store(struct cost_world *world);
/* limited: its address is not exempt from rate limits. */
struct cost_conn *cost_dial(struct cost_world *world, bool limited);
void cost_hang_up(struct cost_conn **conn);
/* Bytes arrive; nothing is answered before cost_settle(). */
void cost_feed(struct cost_conn *conn, slice bytes);
/* Until nothing moves any more. */
void cost_settle(struct cost_world *world);
void cost_pass_ms(struct cost_world *world, uint64_t ms);
/* What was written to it alone since the last time, terminated; valid until more is. */
const char *cost_answer(struct cost_conn *conn);
/* Bytes that were handed to it in all, its own and shared ones. */
uint64_t cost_bytes(const struct cost_conn *conn);

#endif
