/* SPDX-License-Identifier: MIT */
/* A driver that wraps another one and fails on purpose, for tests of whoever uses a store. */
#ifndef STORE_FLAKY_H
#define STORE_FLAKY_H

#include "store/driver.h"

struct flaky_options {
	unsigned fail_every; /* every so many transactions; 0: never */
	/*
	 * false: the transaction fails before COMMIT, its operations are UNAVAILABLE and nothing is
	 * stored. true: it is committed, but they are UNKNOWN_OUTCOME.
	 */
	bool after_commit;
};

/* Takes over the inner driver, which is closed with it. */
struct driver *flaky_wrap(struct driver *inner, const struct flaky_options *options);
/* From now on; the thread that writes. */
void flaky_set(struct driver *driver, const struct flaky_options *options);

#endif
