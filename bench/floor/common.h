/* SPDX-License-Identifier: MIT */
/* What the floors share: a listening socket, a non-blocking connection, an epoll set, a database. */
#ifndef FLOOR_COMMON_H
#define FLOOR_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

/* Listens on any port of 127.0.0.1 and says so on stdout, as confabd does. */
int floor_listen(void);
/* The next connection, non-blocking and without Nagle's delay; -1 if none waits. */
int floor_accept(int listener);
void floor_watch(int epoll_fd, int fd, uint64_t tag);
/* All of it; waits while the socket is full. */
void floor_send(int fd, const char *bytes, size_t len);
/* As many descriptors as the system lets us have. */
void floor_descriptors(void);

/* WAL and synchronous FULL, as confabd's store. */
sqlite3 *floor_db(const char *path);
void floor_sql(sqlite3 *db, const char *sql);
sqlite3_stmt *floor_prepare(sqlite3 *db, const char *sql);

#endif
