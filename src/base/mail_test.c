/* SPDX-License-Identifier: MIT */
#include "base/mail.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SENDERS = 4, EACH = 20000 };

struct letter {
	struct mail mail;
	unsigned sender, number;
};

static unsigned wakes;

static void
count_wake(void *cookie)
{
	(*(unsigned *)cookie)++;
}

static void
oldest_first(void **state)
{
	struct mail letters[5] = {{NULL, 0}};
	struct mailbox box;
	struct mail *m;

	(void)state;
	mailbox_init(&box, count_wake, &wakes);
	assert_true(mailbox_empty(&box));
	assert_null(mail_take(&box));
	for (uint32_t i = 0; i < LEN(letters); i++) {
		letters[i].kind = i;
		mail_post(&box, &letters[i]);
	}
	assert_int_equal(wakes, 1);
	assert_false(mailbox_empty(&box));
	m = mail_take(&box);
	for (uint32_t i = 0; i < LEN(letters); i++, m = m->next) {
		assert_ptr_equal(m, &letters[i]);
		assert_int_equal(m->kind, i);
	}
	assert_null(m);
	assert_true(mailbox_empty(&box));
	mail_post(&box, &letters[0]);
	assert_int_equal(wakes, 2);
}

/* Several at once, behind what is there; whoever is asleep is woken once. */
static void
posted_together(void **state)
{
	struct mail letters[5] = {{NULL, 0}};
	struct mailbox box;
	struct mail *m;

	(void)state;
	wakes = 0;
	mailbox_init(&box, count_wake, &wakes);
	for (uint32_t i = 0; i < LEN(letters); i++)
		letters[i].kind = i;
	mail_post(&box, &letters[0]);
	for (size_t i = 2; i < LEN(letters); i++)
		letters[i].next = &letters[i - 1];
	mail_post_all(&box, &letters[LEN(letters) - 1], &letters[1]);
	assert_int_equal(wakes, 1);
	m = mail_take(&box);
	for (uint32_t i = 0; i < LEN(letters); i++, m = m->next)
		assert_int_equal(m->kind, i);
	assert_null(m);
	mail_post_all(&box, &letters[0], &letters[0]);
	assert_int_equal(wakes, 2);
}

static void
nobody_to_wake(void **state)
{
	struct mail letter = {NULL, 3};
	struct mailbox box;

	(void)state;
	mailbox_init(&box, NULL, NULL);
	mail_post(&box, &letter);
	assert_ptr_equal(mail_take(&box), &letter);
}

struct post {
	struct mailbox box;
	sem_t bell;
	_Atomic unsigned rings;
	struct letter letters[SENDERS][EACH];
};

static struct post post;

struct sender {
	pthread_t thread;
	unsigned index;
};

static void
ring(void *cookie)
{
	struct post *p = cookie;

	atomic_fetch_add(&p->rings, 1);
	(void)sem_post(&p->bell);
}

static void *
send_all(void *cookie)
{
	const struct sender *sender = cookie;

	for (unsigned i = 0; i < EACH; i++) {
		struct letter *letter = &post.letters[sender->index][i];

		letter->sender = sender->index;
		letter->number = i;
		mail_post(&post.box, &letter->mail);
	}
	return NULL;
}

/* Many send, one sleeps until he is woken: every letter comes once, each sender's in order. */
static void
threads(void **state)
{
	struct sender senders[SENDERS];
	unsigned next[SENDERS] = {0}, got = 0, turns = 0;

	(void)state;
	mailbox_init(&post.box, ring, &post);
	assert_int_equal(sem_init(&post.bell, 0, 0), 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].index = i;
		assert_int_equal(
		    pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
	}
	while (got < SENDERS * EACH) {
		while (sem_wait(&post.bell) != 0)
			;
		turns++;
		for (struct mail *m = mail_take(&post.box); m != NULL;) {
			struct letter *letter = container_of(m, struct letter, mail);

			m = m->next;
			assert_int_equal(letter->number, next[letter->sender]++);
			got++;
		}
	}
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
	assert_true(mailbox_empty(&post.box));
	/* One ring for each time that the box stopped being empty, and so none for nothing. */
	assert_int_equal(post.rings, turns);
	(void)sem_destroy(&post.bell);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(oldest_first),
	    cmocka_unit_test(posted_together),
	    cmocka_unit_test(nobody_to_wake),
	    cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
