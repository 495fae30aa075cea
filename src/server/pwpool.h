/* SPDX-License-Identifier: MIT */
/*
 * Threads that hash and check passwords (argon2id), so that no event loop does.  The queue is
 * bounded: a job that finds it full comes back at once with job->busy.  They run a little less
 * important than the rest, so that a storm of logins does not hold up those who are logged in.
 *
 * One mutex guards the queue; it is held for a few instructions and never together with another.
 */
#ifndef SERVER_PWPOOL_H
#define SERVER_PWPOOL_H

#include "chat/shard.h"

struct pwpool;

struct pwpool_options {
	unsigned threads, queue_max; /* both at least 1 */
	uint64_t mem_kib, passes;
	/* The job is done, with its passwords wiped; any thread, also the submitting one where it
	 * was busy. */
	void (*done)(void *cookie, struct hash_job *job);
	void *cookie;
};

struct pwpool *pwpool_create(const struct pwpool_options *options);
/* Any thread.  The pool owns the job until done(). */
void pwpool_submit(struct pwpool *pool, struct hash_job *job);
/* Jobs that wait come back as busy; those being worked on are finished.  NULL is allowed. */
void pwpool_destroy(struct pwpool **pool);

/* Hashes on the calling thread; 0, or -1 if there is not the memory for it. */
int password_hash(slice password, uint64_t mem_kib, uint64_t passes, char ret_hash[128])
    __attribute__((warn_unused_result));

#endif
