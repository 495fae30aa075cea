/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/pwpool.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/stat.h"

/* Collects what comes back; wait_for() blocks until there are so many. */
struct harvest {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct hash_job *jobs[64];
	size_t count;
	bool held; /* done() blocks while this is set */
};

static void
harvest_done(void *cookie, struct hash_job *job)
{
	struct harvest *h = cookie;

	(void)pthread_mutex_lock(&h->lock);
	h->jobs[h->count++] = job;
	(void)pthread_cond_broadcast(&h->more);
	while (h->held && !job->busy)
		(void)pthread_cond_wait(&h->more, &h->lock);
	(void)pthread_mutex_unlock(&h->lock);
}

static void
wait_for(struct harvest *h, size_t count)
{
	(void)pthread_mutex_lock(&h->lock);
	while (h->count < count)
		(void)pthread_cond_wait(&h->more, &h->lock);
	(void)pthread_mutex_unlock(&h->lock);
}

static void
let_go(struct harvest *h)
{
	(void)pthread_mutex_lock(&h->lock);
	h->held = false;
	(void)pthread_cond_broadcast(&h->more);
	(void)pthread_mutex_unlock(&h->lock);
}

static struct harvest
harvest_init(void)
{
	return (struct harvest){
	    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
}

static struct pwpool *
pool_of(struct harvest *h, unsigned threads, unsigned queue_max)
{
	return pwpool_create(&(struct pwpool_options){.threads = threads,
	    .queue_max = queue_max,
	    .mem_kib = 8,
	    .passes = 1,
	    .done = harvest_done,
	    .cookie = h});
}

static struct hash_job *
job_of(const char *password, const char *verify)
{
	struct hash_job *job = mem_zalloc(sizeof(*job));

	job->password = mem_dup(slice_str(password));
	job->password_len = strlen(password);
	(void)snprintf(job->verify, sizeof(job->verify), "%s", verify);
	job->want_hash = verify[0] == '\0';
	return job;
}

static void
job_free(struct hash_job *job)
{
	mem_free(job->password);
	mem_free(job->fresh);
	mem_free(job);
}

static void
test_hash_and_verify(void **state)
{
	struct harvest h = harvest_init();
	struct pwpool *pool = pool_of(&h, 2, 8);
	char hash[128];

	(void)state;
	pwpool_submit(pool, job_of("correct horse", ""));
	wait_for(&h, 1);
	assert_false(h.jobs[0]->busy || h.jobs[0]->verified);
	memcpy(hash, h.jobs[0]->hash, sizeof(hash));
	assert_int_equal(strncmp(hash, "$argon2id$v=19$m=8,t=1,p=1$", 27), 0);
	for (size_t i = 0; i < h.jobs[0]->password_len; i++)
		assert_int_equal(h.jobs[0]->password[i], 0);
	pwpool_submit(pool, job_of("correct horse", hash));
	wait_for(&h, 2);
	assert_true(h.jobs[1]->verified);
	assert_string_equal(h.jobs[1]->hash, "");
	pwpool_submit(pool, job_of("correct horses", hash));
	wait_for(&h, 3);
	assert_false(h.jobs[2]->verified || h.jobs[2]->busy);
	pwpool_submit(pool, job_of("correct horse", "no hash at all"));
	wait_for(&h, 4);
	assert_false(h.jobs[3]->verified || h.jobs[3]->busy);
	pwpool_destroy(&pool);
	assert_null(pool);
	for (size_t i = 0; i < h.count; i++)
		job_free(h.jobs[i]);
}

/* A change of password: the old one is checked, the new one hashed, in one job. */
static void
test_change(void **state)
{
	struct harvest h = harvest_init();
	struct pwpool *pool = pool_of(&h, 1, 8);
	char hash[128];

	(void)state;
	assert_int_equal(password_hash(S("old one"), 8, 1, hash), 0);
	for (int right = 0; right < 2; right++) {
		struct hash_job *job = job_of(right ? "old one" : "older one", hash);

		job->want_hash = true;
		job->fresh = mem_dup(S("new one"));
		job->fresh_len = 7;
		pwpool_submit(pool, job);
		wait_for(&h, (size_t)right + 1);
		assert_int_equal(job->verified, right);
		assert_int_equal(job->hash[0] != '\0', right);
		assert_int_equal(job->fresh[0], 0);
	}
	pwpool_submit(pool, job_of("new one", h.jobs[1]->hash));
	wait_for(&h, 3);
	assert_true(h.jobs[2]->verified);
	pwpool_destroy(&pool);
	for (size_t i = 0; i < h.count; i++)
		job_free(h.jobs[i]);
}

static void
test_bound(void **state)
{
	struct harvest h = harvest_init();
	struct pwpool *pool = pool_of(&h, 1, 2);
	struct stats before, after;

	(void)state;
	stats_sum(&before);
	h.held = true;
	/* The one thread is held in done(), so that the next two wait and the fourth finds the
	 * queue full. */
	pwpool_submit(pool, job_of("first password", ""));
	wait_for(&h, 1);
	pwpool_submit(pool, job_of("second password", ""));
	pwpool_submit(pool, job_of("third password", ""));
	assert_int_equal(h.count, 1);
	pwpool_submit(pool, job_of("fourth password", ""));
	assert_int_equal(h.count, 2);
	assert_true(h.jobs[1]->busy);
	assert_string_equal(h.jobs[1]->hash, "");
	assert_int_equal(h.jobs[1]->password[0], 0);
	stats_sum(&after);
	assert_int_equal(after.gauges[GAUGE_HASH_QUEUE] - before.gauges[GAUGE_HASH_QUEUE], 2);
	let_go(&h);
	wait_for(&h, 4);
	assert_false(h.jobs[2]->busy || h.jobs[3]->busy);
	pwpool_destroy(&pool);
	stats_sum(&after);
	assert_int_equal(after.gauges[GAUGE_HASH_QUEUE], before.gauges[GAUGE_HASH_QUEUE]);
	for (size_t i = 0; i < h.count; i++)
		job_free(h.jobs[i]);
}

/* Whatever waits when the pool ends comes back all the same. */
static void
test_ending(void **state)
{
	struct harvest h = harvest_init();
	struct pwpool *pool = pool_of(&h, 1, 32);
	size_t done = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		pwpool_submit(pool, job_of("some password", ""));
	pwpool_destroy(&pool);
	assert_int_equal(h.count, 20);
	for (size_t i = 0; i < h.count; i++) {
		done += !h.jobs[i]->busy;
		assert_int_equal(h.jobs[i]->busy, h.jobs[i]->hash[0] == '\0');
		job_free(h.jobs[i]);
	}
	assert_true(done <= 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hash_and_verify),
	    cmocka_unit_test(test_change),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_ending),
	};

	return cmocka_run_group_tests_name("pwpool", tests, NULL, NULL);
}
