/* SPDX-License-Identifier: MIT */
#include "server/pwpool.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"

enum { HASHER_NICE = 5 };

static_assert(
    sizeof(((struct hash_job *)0)->hash) >= crypto_pwhash_argon2id_STRBYTES, "a hash fits its job");

struct pwpool {
	struct pwpool_options options;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct mail *first, **last; /* under lock: jobs that wait, oldest first */
	unsigned waiting;
	bool ending;
	pthread_t *threads; /* owned */
};

int
password_hash(slice password, uint64_t mem_kib, uint64_t passes, char ret_hash[128])
{
	if (sodium_init() < 0)
		panic("libsodium does not start");
	memset(ret_hash, 0, 128);
	return crypto_pwhash_argon2id_str(
	    ret_hash, password.ptr, password.len, passes, mem_kib * 1024);
}

static void
wipe(struct hash_job *job)
{
	if (job->password != NULL)
		sodium_memzero(job->password, job->password_len);
	if (job->fresh != NULL)
		sodium_memzero(job->fresh, job->fresh_len);
}

static void
work(const struct pwpool_options *o, struct hash_job *job)
{
	uint64_t start_ns = clock_mono_ns();
	slice wanted = slice_of(job->password, job->password_len);

	if (job->fresh != NULL)
		wanted = slice_of(job->fresh, job->fresh_len);
	errno = 0;
	if (job->verify[0] != '\0')
		job->verified = crypto_pwhash_argon2id_str_verify(
				    job->verify, job->password, job->password_len) == 0;
	/* A password that could not be checked is not a wrong one. */
	job->busy = !job->verified && errno == ENOMEM;
	if (job->want_hash && (job->verify[0] == '\0' || job->verified) &&
	    password_hash(wanted, o->mem_kib, o->passes, job->hash) < 0)
		job->busy = true;
	if (job->busy)
		log_error("password", "no_memory", "wanted_kib=%" PRIu64, o->mem_kib);
	histogram_add(HISTOGRAM_HASHING, clock_mono_ns() - start_ns);
}

static void
finish(struct pwpool *pool, struct hash_job *job)
{
	wipe(job);
	pool->options.done(pool->options.cookie, job);
}

/* The oldest job, or NULL when the pool ends. */
static struct hash_job *
next_job(struct pwpool *pool)
{
	struct mail *mail = NULL;

	(void)pthread_mutex_lock(&pool->lock);
	while (pool->first == NULL && !pool->ending)
		(void)pthread_cond_wait(&pool->work, &pool->lock);
	if (!pool->ending) {
		mail = pool->first;
		pool->first = mail->next;
		if (pool->first == NULL)
			pool->last = &pool->first;
		pool->waiting--;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return mail != NULL ? container_of(mail, struct hash_job, mail) : NULL;
}

static void *
hasher(void *arg)
{
	struct pwpool *pool = arg;
	struct hash_job *job;

	(void)pthread_setname_np(pthread_self(), "hash");
	/* On Linux a thread's own; where it is refused they are as important as the rest. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), HASHER_NICE);
	while ((job = next_job(pool)) != NULL) {
		gauge_add(GAUGE_HASH_QUEUE, -1);
		work(&pool->options, job);
		finish(pool, job);
	}
	return NULL;
}

struct pwpool *
pwpool_create(const struct pwpool_options *options)
{
	struct pwpool *pool = mem_zalloc(sizeof(*pool));

	assert(options->threads >= 1 && options->queue_max >= 1);
	if (sodium_init() < 0)
		panic("libsodium does not start");
	pool->options = *options;
	pool->last = &pool->first;
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_cond_init(&pool->work, NULL);
	pool->threads = mem_zalloc(options->threads * sizeof(*pool->threads));
	for (unsigned i = 0; i < options->threads; i++)
		if (pthread_create(&pool->threads[i], NULL, hasher, pool) != 0)
			panic("no thread for hashing passwords can be had");
	return pool;
}

void
pwpool_submit(struct pwpool *pool, struct hash_job *job)
{
	bool taken;

	job->busy = job->verified = false;
	(void)pthread_mutex_lock(&pool->lock);
	taken = pool->waiting < pool->options.queue_max && !pool->ending;
	if (taken) {
		job->mail.next = NULL;
		*pool->last = &job->mail;
		pool->last = &job->mail.next;
		pool->waiting++;
		gauge_add(GAUGE_HASH_QUEUE, 1);
		(void)pthread_cond_signal(&pool->work);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	if (!taken) {
		job->busy = true;
		finish(pool, job);
	}
}

void
pwpool_destroy(struct pwpool **pool)
{
	struct pwpool *p = *pool;

	if (p == NULL)
		return;
	*pool = NULL;
	(void)pthread_mutex_lock(&p->lock);
	p->ending = true;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->options.threads; i++)
		(void)pthread_join(p->threads[i], NULL);
	while (p->first != NULL) {
		struct hash_job *job = container_of(p->first, struct hash_job, mail);

		p->first = p->first->next;
		gauge_add(GAUGE_HASH_QUEUE, -1);
		job->busy = true;
		finish(p, job);
	}
	mem_free(p->threads);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->lock);
	mem_free(p);
}
