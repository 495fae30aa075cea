/* SPDX-License-Identifier: MIT */
/*
 * A hashed wheel: a timer lies in the slot of the tick in which it is due.  Timers of a later round share
 * the slot and are passed over, so that arming and clearing cost a list operation each.
 */
#include "net/net_internal.h"

void
wheel_init(struct wheel *wheel, uint64_t now_ms)
{
	wheel->tick = now_ms / TICK_MS;
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&wheel->slots[i]);
}

/* Whoever clears a timer later finds it in no list. */
void
wheel_fini(struct wheel *wheel)
{
	struct list *link;

	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		while ((link = list_pop(&wheel->slots[i])) != NULL)
			container_of(link, struct timer, link)->due_ms = 0;
}

void
wheel_set(struct wheel *wheel, struct timer *timer, uint64_t due_ms, void (*fire)(struct timer *))
{
	uint64_t tick = (due_ms + TICK_MS - 1) / TICK_MS;
	size_t slot;

	if (tick <= wheel->tick)
		tick = wheel->tick + 1;
	slot = tick % WHEEL_SLOTS;
	timer_clear(timer);
	timer->due_ms = due_ms > 0 ? due_ms : 1;
	timer->fire = fire;
	list_push_back(&wheel->slots[slot], &timer->link);
	wheel->used[slot / 64] |= (uint64_t)1 << slot % 64;
}

void
timer_clear(struct timer *timer)
{
	list_remove(&timer->link);
	timer->due_ms = 0;
}

static void
slot_expire(struct wheel *wheel, size_t slot, uint64_t now_ms, struct list *expired)
{
	struct list *head = &wheel->slots[slot], *at, *next;

	for (at = head->next; at != head; at = next) {
		struct timer *timer = container_of(at, struct timer, link);

		next = at->next;
		if (timer->due_ms <= now_ms) {
			list_remove(at);
			list_push_back(expired, at);
		}
	}
	if (list_empty(head))
		wheel->used[slot / 64] &= ~((uint64_t)1 << slot % 64);
}

void
wheel_run(struct wheel *wheel, uint64_t now_ms)
{
	uint64_t target = now_ms / TICK_MS;
	struct list expired, *link;

	if (target <= wheel->tick)
		return;
	if (target - wheel->tick > WHEEL_SLOTS)
		wheel->tick = target - WHEEL_SLOTS;
	list_init(&expired);
	while (wheel->tick < target) {
		size_t slot = ++wheel->tick % WHEEL_SLOTS;

		if ((wheel->used[slot / 64] >> slot % 64 & 1) != 0)
			slot_expire(wheel, slot, now_ms, &expired);
	}
	/* A timer may clear or set any other, also one that waits here. */
	while ((link = list_pop(&expired)) != NULL) {
		struct timer *timer = container_of(link, struct timer, link);

		timer->due_ms = 0;
		timer->fire(timer);
	}
}

int
wheel_wait_ms(const struct wheel *wheel, uint64_t now_ms)
{
	size_t first = (wheel->tick + 1) % WHEEL_SLOTS;

	for (size_t i = 0; i <= WHEEL_SLOTS / 64; i++) {
		size_t word = (first / 64 + i) % (WHEEL_SLOTS / 64);
		uint64_t bits = wheel->used[word];
		uint64_t due_ms;
		size_t slot;

		if (i == 0)
			bits &= ~(uint64_t)0 << first % 64;
		if (bits == 0)
			continue;
		slot = word * 64 + (size_t)__builtin_ctzll(bits);
		due_ms = (wheel->tick + 1 + (slot - first) % WHEEL_SLOTS) * TICK_MS;
		return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
	}
	return -1;
}
