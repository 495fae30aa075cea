/* SPDX-License-Identifier: MIT */
/* An intrusive doubly linked list with a sentinel.  An element that is in no list has next == NULL.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/slice.h"

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool
list_linked(const struct list *element)
{
	return element->next != NULL;
}

static inline void
list_push_back(struct list *head, struct list *element)
{
	element->prev = head->prev;
	element->next = head;
	head->prev->next = element;
	head->prev = element;
}

/* Takes it out of the list that it is in; does nothing if it is in none. */
static inline void
list_remove(struct list *element)
{
	if (element->next == NULL)
		return;
	element->prev->next = element->next;
	element->next->prev = element->prev;
	element->next = element->prev = NULL;
}

/* The first element taken out, or NULL. */
static inline struct list *
list_pop(struct list *head)
{
	struct list *element = head->next;

	if (element == head)
		return NULL;
	list_remove(element);
	return element;
}

#endif
