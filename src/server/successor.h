/* SPDX-License-Identifier: MIT */
/*
 * Before a restart: the program that will follow is asked, as a process of its own, whether it could
 * serve with the same options (--check).  It gets the listening sockets too, so that it can say
 * whether those that it would have to open itself can be had.
 */
#ifndef SERVER_SUCCESSOR_H
#define SERVER_SUCCESSOR_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "server/handover.h"

enum { SUCCESSOR_CHECK_MS = 30 * 1000 }; /* then it is killed, and does not follow */

enum successor_verdict { SUCCESSOR_CHECKING, SUCCESSOR_GOOD, SUCCESSOR_BAD };

/* Starts zeroed. */
struct successor {
	pid_t pid; /* 0: nothing is being checked */
	int fd;    /* what it says */
	uint64_t until_ms;
	struct buf said; /* owned: lines for people, bounded */
};

/* 0, or -1 with a reason in said.  argv is this program's own. */
int successor_check(struct successor *successor, const char *program, int argc, char *const *argv,
    const struct handover *handover) __attribute__((warn_unused_result));
/* Does not block; ask again after some milliseconds.  said has the reasons if it is not good. */
enum successor_verdict successor_poll(struct successor *successor);
/* Ends a check that is under way. */
void successor_fini(struct successor *successor);

#endif
