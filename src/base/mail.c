/* SPDX-License-Identifier: MIT */
#include "base/mail.h"

void
mailbox_init(struct mailbox *box, void (*wake)(void *cookie), void *cookie)
{
	atomic_init(&box->head, NULL);
	box->wake = wake;
	box->cookie = cookie;
}

void
mail_post_all(struct mailbox *box, struct mail *newest, struct mail *oldest)
{
	struct mail *head = atomic_load_explicit(&box->head, memory_order_relaxed);

	do
		oldest->next = head;
	while (!atomic_compare_exchange_weak_explicit(
	    &box->head, &head, newest, memory_order_release, memory_order_relaxed));
	if (head == NULL && box->wake != NULL)
		box->wake(box->cookie);
}

void
mail_post(struct mailbox *box, struct mail *mail)
{
	mail_post_all(box, mail, mail);
}

struct mail *
mail_take(struct mailbox *box)
{
	struct mail *newest = atomic_exchange_explicit(&box->head, NULL, memory_order_acquire);
	struct mail *oldest = NULL;

	while (newest != NULL) {
		struct mail *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}

bool
mailbox_empty(struct mailbox *box)
{
	return atomic_load_explicit(&box->head, memory_order_acquire) == NULL;
}
