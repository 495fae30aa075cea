/* SPDX-License-Identifier: MIT */
/*
 * The turn: wait, events, mail, timers, hooks, flush, reap.  Nothing below asks whether a connection is
 * still there: between two reaps all are.
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/stat.h"
#include "net/net_internal.h"

/* The top byte of an event's data; the rest is a slot, for connections with its generation. */
enum { TAG_CONN = 0, TAG_WAKE = 1, TAG_WATCH = 2, TAG_SHIFT = 56 };

_Thread_local const struct reactor *reactor_current;

/* --- Watches --- */

static int
watch_tell(struct reactor *r, int fd, uint64_t data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = data };

	return epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int
watch_add(struct reactor *r, struct watch *watch)
{
	uint32_t slot = 0;

	reactor_assert(r);
	while (slot < r->watch_count && r->watches[slot] != NULL)
		slot++;
	if (watch_tell(r, watch->fd, (uint64_t)TAG_WATCH << TAG_SHIFT | slot) < 0)
		return -1;
	if (slot == r->watch_count)
		r->watches = mem_resize(r->watches, ++r->watch_count, sizeof(struct watch *));
	r->watches[slot] = watch;
	watch->slot = slot;
	return 0;
}

void
watch_remove(struct reactor *r, struct watch *watch)
{
	reactor_assert(r);
	assert(watch->slot < r->watch_count && r->watches[watch->slot] == watch);
	r->watches[watch->slot] = NULL;
	(void)epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
}

/* --- Waking --- */

void
reactor_wake(void *cookie)
{
	struct reactor *r = cookie;
	uint64_t one = 1;
	int saved = errno;

	/* A full counter wakes just as well. */
	(void)!write(r->wake_fd, &one, sizeof(one));
	errno = saved;
}

/* Mail from one's own thread needs no system call; this is not for signal handlers. */
static void
mail_wake(void *cookie)
{
	struct reactor *r = cookie;

	if (reactor_current == r)
		r->again = true;
	else
		reactor_wake(r);
}

void
reactor_add_mailbox(struct reactor *r, struct reactor_mailbox *mailbox,
    void (*deliver)(void *cookie, struct mail *first), void *cookie)
{
	struct reactor_mailbox **end = &r->mailboxes;

	reactor_assert(r);
	mailbox_init(&mailbox->box, mail_wake, r);
	mailbox->deliver = deliver;
	mailbox->cookie = cookie;
	mailbox->next = NULL;
	while (*end != NULL)
		end = &(*end)->next;
	*end = mailbox;
}

void
reactor_on_wake(struct reactor *r, void (*hook)(void *cookie), void *cookie)
{
	assert(!r->running);
	assert(r->wake_count < LIMIT_HOOKS);
	r->wakes[r->wake_count++] = (struct wake_hook) { hook, cookie };
}

void
reactor_on_turn(struct reactor *r, bool (*hook)(void *cookie), void *cookie)
{
	reactor_assert(r);
	assert(r->hook_count < LIMIT_HOOKS);
	r->hooks[r->hook_count++] = (struct turn_hook) { hook, cookie };
}

/* --- The turn's phases --- */

static int
turn_wait_ms(const struct reactor *r, int max_wait_ms)
{
	int wait_ms;

	if (r->again || !list_empty(&r->dirty) || !list_empty(&r->closing) || r->offer_count > 0)
		return 0;
	wait_ms = wheel_wait_ms(&r->wheel, r->now_ms);
	if (wait_ms < 0 || (max_wait_ms >= 0 && max_wait_ms < wait_ms))
		wait_ms = max_wait_ms;
	return wait_ms;
}

static void
turn_event(struct reactor *r, const struct epoll_event *event)
{
	uint64_t data = event->data.u64, name = data << 8 >> 8;
	struct conn *conn;
	uint64_t count;

	switch (data >> TAG_SHIFT) {
	case TAG_CONN:
		conn = slots_find(r, (uint64_t)r->index << 56 | name);
		if (conn != NULL && !conn_is(conn, CONN_CLOSING))
			conn_event(conn, event->events);
		break;
	case TAG_WAKE:
		(void)!read(r->wake_fd, &count, sizeof(count));
		break;
	case TAG_WATCH:
		if (name < r->watch_count && r->watches[name] != NULL)
			r->watches[name]->ready(r->watches[name]);
		break;
	default:
		panic("an epoll event of nobody");
	}
}

/* Moves all to an empty list, so that what is added meanwhile waits for the next turn. */
static void
list_move(struct list *from, struct list *to)
{
	list_init(to);
	if (list_empty(from))
		return;
	*to = *from;
	to->next->prev = to->prev->next = to;
	list_init(from);
}

static void
turn_offers(struct reactor *r)
{
	uint32_t count = r->offer_count;

	for (uint32_t i = 0; i < count; i++) {
		struct conn *conn = slots_find(r, r->offers[i]);

		if (conn == NULL || !conn_is(conn, CONN_OFFERED))
			continue;
		conn_unflag(conn, CONN_OFFERED);
		conn_offer_again(conn);
	}
	/* What came meanwhile is for the next turn. */
	r->offer_count -= count;
	if (r->offer_count > 0)
		memmove(r->offers, r->offers + count, r->offer_count * sizeof(*r->offers));
}

static void
turn_mail(struct reactor *r)
{
	for (struct reactor_mailbox *m = r->mailboxes; m != NULL; m = m->next) {
		struct mail *first = mail_take(&m->box);

		if (first != NULL)
			m->deliver(m->cookie, first);
	}
}

static void
turn_hooks(struct reactor *r)
{
	for (unsigned i = 0; i < r->hook_count; i++)
		if (r->hooks[i].hook(r->hooks[i].cookie))
			r->again = true;
}

/* With many connections a turn, each is out of the caches by its time: they come in during the write before. */
static void
flush_soon(struct list *link)
{
	struct conn *conn = container_of(link, struct conn, work);
	struct conn *next = container_of(link->next, struct conn, work);

	if (conn->out != NULL)
		__builtin_prefetch(conn->out);
	__builtin_prefetch(next);
	__builtin_prefetch(&next->timer);
	__builtin_prefetch(&next->work);
}

static void
turn_flush(struct reactor *r)
{
	struct list dirty, *link;

	list_move(&r->dirty, &dirty);
	while ((link = list_pop(&dirty)) != NULL) {
		if (!list_empty(&dirty))
			flush_soon(dirty.next);
		conn_flush(container_of(link, struct conn, work));
	}
	outq_trim(r);
}

/*
 * A handler's last word may close others: they go in the same turn, if they are few.  Of a crowd that goes at once
 * the rest is left for the next turns, and epoll is not to tell of it again and again.
 */
static void
turn_reap(struct reactor *r, unsigned most)
{
	if (!list_empty(&r->closing))
		r->again = true;
	for (; most > 0 && !list_empty(&r->closing); most--)
		conn_reap(container_of(r->closing.next, struct conn, work));
	/* Those that were left before are at the front. */
	for (struct list *link = r->closing.prev; link != &r->closing; link = link->prev)
		if (!conn_detach(container_of(link, struct conn, work)))
			return;
}

static void
turn_tell(struct reactor *r)
{
	stat_add(STAT_TURNS, 1);
	if (r->bytes_in > 0)
		stat_add(STAT_BYTES_IN, r->bytes_in);
	if (r->bytes_out > 0)
		stat_add(STAT_BYTES_OUT, r->bytes_out);
	if (r->writes > 0)
		stat_add(STAT_WRITES, r->writes);
	if (r->out_bytes != 0)
		gauge_add(GAUGE_OUT_BYTES, r->out_bytes);
	r->bytes_in = r->bytes_out = r->writes = 0;
	r->out_bytes = 0;
}

void
reactor_turn(struct reactor *r, int max_wait_ms)
{
	int n = epoll_wait(r->epoll_fd, r->fired, LIMIT_EVENTS, turn_wait_ms(r, max_wait_ms));

	if (n < 0 && errno != EINTR)
		panic("epoll_wait: error %d", errno);
	r->now_ms = r->clock_ms();
	for (unsigned i = 0; i < r->wake_count; i++)
		r->wakes[i].hook(r->wakes[i].cookie);
	r->again = false;
	for (int i = 0; i < n; i++)
		turn_event(r, &r->fired[i]);
	turn_offers(r);
	turn_mail(r);
	wheel_run(&r->wheel, r->now_ms);
	turn_hooks(r);
	turn_flush(r);
	turn_reap(r, LIMIT_REAPS);
	turn_tell(r);
}

/* --- The reactor's life --- */

struct reactor *
reactor_create(unsigned index)
{
	struct reactor *r = mem_zalloc(sizeof(*r));

	assert(index <= 255);
	r->index = index;
	r->clock_ms = clock_mono_ms;
	r->now_ms = r->clock_ms();
	wheel_init(&r->wheel, r->now_ms);
	list_init(&r->dirty);
	list_init(&r->closing);
	list_init(&r->free_slots);
	if ((r->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		goto err0;
	if ((r->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
		goto err1;
	if (watch_tell(r, r->wake_fd, (uint64_t)TAG_WAKE << TAG_SHIFT) < 0)
		goto err2;
	r->scratch = mem_alloc(LIMIT_READ_BYTES);
	r->record = mem_alloc(LIMIT_RECORD_BYTES);
	reactor_add_mailbox(r, &r->deals, listener_deliver, r);
	return r;

err2:
	(void)close(r->wake_fd);
err1:
	(void)close(r->epoll_fd);
err0:
	mem_free(r);
	return NULL;
}

static void
close_for_shutdown(struct conn *conn, void *cookie)
{
	(void)cookie;
	conn_close(conn, CLOSE_SHUTDOWN);
}

static void
reactor_end(struct reactor *r)
{
	listener_discard(mail_take(&r->deals.box));
	reactor_each_conn(r, close_for_shutdown, NULL);
	turn_reap(r, UINT_MAX);
	turn_tell(r);
}

void
reactor_destroy(struct reactor **reactor)
{
	struct reactor *r = *reactor;

	if (r == NULL)
		return;
	assert(!r->running);
	reactor_end(r);
	wheel_fini(&r->wheel);
	slots_fini(r);
	mem_free(r->offers);
	outq_free_kept(r);
	(void)close(r->wake_fd);
	(void)close(r->epoll_fd);
	mem_free(r->watches);
	mem_free(r->scratch);
	mem_free(r->record);
	mem_free(r);
	*reactor = NULL;
}

void
reactor_run(struct reactor *r)
{
	assert(!r->running && reactor_current == NULL);
	reactor_current = r;
	r->running = true;
	r->now_ms = r->clock_ms();
	r->again = true; /* hooks may have work that nobody will wake us for */
	while (__atomic_load_n(&r->stopping, __ATOMIC_ACQUIRE) == 0)
		reactor_turn(r, -1);
	reactor_end(r);
	__atomic_store_n(&r->stopping, 0, __ATOMIC_RELAXED);
	r->running = false;
	reactor_current = NULL;
}

void
reactor_stop(struct reactor *r)
{
	__atomic_store_n(&r->stopping, 1, __ATOMIC_RELEASE);
	reactor_wake(r);
}

unsigned
reactor_index(const struct reactor *r)
{
	return r->index;
}

uint64_t
reactor_now_ms(const struct reactor *r)
{
	return r->now_ms;
}

unsigned
reactor_conn_count(const struct reactor *r)
{
	return __atomic_load_n(&r->conns, __ATOMIC_RELAXED);
}

void
timer_set(struct reactor *r, struct timer *timer, uint64_t due_ms, void (*fire)(struct timer *))
{
	reactor_assert(r);
	wheel_set(&r->wheel, timer, due_ms, fire);
}
