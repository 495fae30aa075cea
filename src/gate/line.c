/* SPDX-License-Identifier: MIT */
/*
 * The line before the logins.  When a crowd comes back at once, what it has to read is handed to the store a few at
 * a time, so that the answers to those who are here needn't wait for all of it.  Who waits is connected, what he
 * sent first lies in his input, and he isn't read.
 */
#include "gate/session.h"

#include "base/mem.h"
#include "base/stat.h"

enum {
	LINE_FIRST = 64, /* room for so many at first */
	LIMIT_LATE = 16, /* who waited too long is read, so many a turn */
};

static uint64_t *
line_place(const struct line *line, uint32_t i)
{
	return &line->ids[(line->at + i) & (line->capacity - 1)];
}

/* NULL if it is gone. */
static struct session *
waiting_session(const struct gate *gate, uint64_t id)
{
	struct conn *conn = conn_find(gate->reactor, id);

	return conn != NULL ? conn_cookie(conn) : NULL;
}

static void
line_grow(struct gate *gate)
{
	struct line *old = &gate->line, fresh = {0};

	fresh.capacity = old->capacity > 0 ? 2 * old->capacity : LINE_FIRST;
	fresh.ids = mem_alloc(fresh.capacity * sizeof(*fresh.ids));
	for (uint32_t i = 0; i < old->count; i++)
		if (waiting_session(gate, *line_place(old, i)) != NULL)
			fresh.ids[fresh.count++] = *line_place(old, i);
	mem_free(old->ids);
	*old = fresh;
}

static void
line_pop(struct line *line)
{
	line->at++;
	if (--line->count > 0)
		return;
	mem_free(line->ids); /* what a crowd needed is given back */
	*line = (struct line){0};
}

bool
session_may_enter(struct session *s)
{
	struct gate *gate = s->gate;
	struct line *line = &gate->line;

	if (s->called || peer_logged_in(s->peer) ||
	    (line->count == 0 && chat_room(gate->shard) > 0)) {
		s->called = false;
		return true;
	}
	if (line->count == line->capacity)
		line_grow(gate);
	*line_place(line, line->count++) = conn_id(s->conn);
	s->waiting = true;
	stat_add(STAT_LOGINS_WAITED, 1);
	gauge_add(GAUGE_LOGINS_WAITING, 1);
	return false;
}

void
session_leave_line(struct session *s)
{
	if (!s->waiting)
		return;
	s->waiting = false;
	gauge_add(GAUGE_LOGINS_WAITING, -1);
}

/* How long: nothing was read from it since it came into the line. */
static uint64_t
waited_ms(const struct session *s)
{
	return reactor_now_ms(s->gate->reactor) - conn_last_input_ms(s->conn);
}

static void
call(struct session *s)
{
	session_leave_line(s);
	s->called = true;
	/* The time to log in does not run while we don't read. */
	s->since_ms += waited_ms(s);
	conn_set_deadline(s->conn, s->since_ms + s->gate->config.login_ms);
	session_settle(s);
}

bool
gate_turn(struct gate *gate)
{
	struct line *line = &gate->line;
	unsigned room = line->count > 0 ? chat_room(gate->shard) : 0, late = LIMIT_LATE;

	while (line->count > 0) {
		struct session *s = waiting_session(gate, *line_place(line, 0));

		if (s != NULL && room > 0)
			room--;
		else if (s != NULL && (waited_ms(s) < LIMIT_LINE_MS || late-- == 0))
			return waited_ms(s) >= LIMIT_LINE_MS;
		line_pop(line);
		if (s != NULL)
			call(s);
	}
	return false;
}
