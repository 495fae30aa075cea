/* SPDX-License-Identifier: MIT */
/*
 * Mail between threads: any thread posts, one thread takes all that is there at once.  What one
 * sender posts arrives in the order posted.  The owner is woken only when the box was empty.
 */
#ifndef BASE_MAIL_H
#define BASE_MAIL_H

#include <stdatomic.h>

#include "base/slice.h"

struct mail {
	struct mail *next; /* the mailbox's while posted */
	uint32_t kind;     /* the meaning belongs to whoever owns the mailbox */
};

struct mailbox {
	_Atomic(struct mail *) head;
	void (*wake)(void *cookie); /* called by the posting thread; must be safe from any */
	void *cookie;
};

void mailbox_init(struct mailbox *box, void (*wake)(void *cookie), void *cookie);
/* Gives the mail to the box; it is the receiver's from now on.  Any thread. */
void mail_post(struct mailbox *box, struct mail *mail);
/* Several at once, so that they are taken at once: linked by next from the newest to the oldest. */
void mail_post_all(struct mailbox *box, struct mail *newest, struct mail *oldest);
/* All that was posted, oldest first, linked by next; NULL if nothing.  The owner's thread only. */
struct mail *mail_take(struct mailbox *box);
bool mailbox_empty(struct mailbox *box);

#endif
