/* SPDX-License-Identifier: MIT */
/*
 * What became of a batch whose COMMIT failed: the database is opened anew and asked, until it
 * answers or it has taken too long.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/stat.h"
#include "store/sql_db.h"

enum { BACKOFF_FIRST_MS = 20, BACKOFF_MAX_MS = 1000 };

/* --- Lives --- */

int
meta_load(struct sql_conn *conn, struct meta *ret)
{
	int rc = stmt_start(conn, STMT_META, "");
	slice epoch;

	*ret = (struct meta){0};
	if (rc == SQL_ROW) {
		epoch = column_slice(conn, STMT_META, 0);
		if (epoch.len < sizeof(ret->epoch) && epoch.len > 0)
			memcpy(ret->epoch, epoch.ptr, epoch.len);
		ret->admin_revision = column_u64(conn, STMT_META, 1);
		ret->schema_version = column_u64(conn, STMT_META, 2);
	}
	stmt_end(conn, STMT_META);
	return rc == SQL_ROW ? SQL_OK : rc;
}

void
meta_adopt(struct sql_store *s, const struct meta *meta)
{
	bool other_life;

	(void)pthread_mutex_lock(&s->state_lock);
	other_life = s->epoch[0] != '\0' && strcmp(s->epoch, meta->epoch) != 0;
	memcpy(s->epoch, meta->epoch, sizeof(s->epoch));
	s->admin_revision = meta->admin_revision;
	(void)pthread_mutex_unlock(&s->state_lock);
	if (other_life && s->options.epoch_changed != NULL)
		s->options.epoch_changed(s->options.cookie, slice_str(meta->epoch));
}

/* --- What became of a batch --- */

/* An operation whose effect nothing else can have made, and whether something can have undone it. */
enum witness { WITNESS_NONE, WITNESS_WEAK, WITNESS_STRONG };

static enum witness
witness_of(const struct op *op)
{
	if (op->fault.err != ERR_OK)
		return WITNESS_NONE;
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		return op->append.dup ? WITNESS_NONE : WITNESS_STRONG;
	case OP_GROUP:
		return op->in.group.entry != NULL ? WITNESS_STRONG : WITNESS_NONE;
	case OP_CLOSE:
		return WITNESS_STRONG;
	case OP_REGISTER:
	case OP_LOGIN:
	case OP_PASSWORD:
		return WITNESS_WEAK;
	default:
		return WITNESS_NONE;
	}
}

/* The strongest one; of those the last, which nothing after it undid.  NULL: there is none. */
static const struct op *
witness_find(struct op *const *ops, size_t count)
{
	const struct op *best = NULL;

	for (size_t i = 0; i < count; i++)
		if (witness_of(ops[i]) != WITNESS_NONE &&
		    (best == NULL || witness_of(ops[i]) >= witness_of(best)))
			best = ops[i];
	return best;
}

static int
effect_there(struct sql_store *s, const struct op *op, bool *ret_there)
{
	if (op->kind == OP_APPEND)
		return sql_append_there(s, op, ret_there);
	if (op->kind == OP_GROUP)
		return sql_group_there(s, op, ret_there);
	return sql_account_there(s, op, ret_there);
}

int
outcome_ask(struct sql_store *s, struct op *const *ops, size_t count, enum outcome *ret)
{
	const struct op *witness = witness_find(ops, count);
	bool there = false;
	int rc;

	*ret = OUTCOME_NONE;
	if (witness == NULL)
		return SQL_OK;
	rc = effect_there(s, witness, &there);
	*ret = there ? OUTCOME_STORED : OUTCOME_LOST;
	return rc;
}

static void
all_lost(struct op **ops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		op_unavailable(ops[i]);
}

/* Do both change what is between the same two? */
static bool
same_pair(const struct op *a, const struct op *b)
{
	uint64_t peer_a = a->contact.peer, peer_b = b->contact.peer;

	return (a->user == b->user && peer_a == peer_b) || (a->user == peer_b && peer_a == b->user);
}

/* The one of these whose effect stands for the first's: its own, or what came over it. */
static const struct op *
last_word(struct op *const *ops, size_t count)
{
	const struct op *last = ops[0];

	for (size_t i = 1; i < count && ops[0]->kind == OP_CONTACT; i++)
		if (ops[i]->kind == OP_CONTACT && ops[i]->fault.err == ERR_OK &&
		    same_pair(ops[0], ops[i]))
			last = ops[i];
	return last;
}

static void
take_text(slice *mine, slice later)
{
	if (slice_given(*mine) && slice_given(later))
		*mine = later;
}

static void
take_number(int *mine, int later)
{
	if (*mine >= 0 && later >= 0)
		*mine = later;
}

/* Of what op sets, what later set anew. */
static void
take_over(struct op *op, const struct op *later)
{
	if (op->kind == OP_PRESENCE_SET) {
		take_number(&op->presence.state, later->presence.state);
		take_text(&op->presence.text, later->presence.text);
	} else if (op->kind == OP_PROFILE_SET) {
		take_number(&op->profile_set.accept, later->profile_set.accept);
		take_text(&op->profile_set.display, later->profile_set.display);
		take_text(&op->profile_set.status, later->profile_set.status);
	}
}

/* Is the effect of the first there, or what the others made of it? */
static int
effect_left(struct sql_store *s, struct op *const *ops, size_t count, bool *ret_there)
{
	struct op op = *last_word(ops, count);

	for (size_t i = 1; i < count; i++)
		if (ops[i]->kind == op.kind && ops[i]->user == op.user &&
		    ops[i]->fault.err == ERR_OK)
			take_over(&op, ops[i]);
	return effect_there(s, &op, ret_there);
}

/*
 * Without a witness each is asked for itself; what was refused was so in any case, or can be asked
 * again.
 */
static int
each_for_itself(struct sql_store *s, struct op **ops, size_t count)
{
	int rc = SQL_OK;

	for (size_t i = 0; rc == SQL_OK && i < count; i++) {
		bool there = false;

		if (ops[i]->fault.err != ERR_OK || ops[i]->kind == OP_APPEND)
			continue; /* an append that is no witness repeats a stored one */
		rc = effect_left(s, ops + i, count - i, &there);
		if (rc == SQL_OK && !there)
			op_unavailable(ops[i]);
	}
	return rc;
}

int
outcome_apply(struct sql_store *s, struct op **ops, size_t count, enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_STORED:
		return SQL_OK; /* what the transaction found stands */
	case OUTCOME_LOST:
		all_lost(ops, count);
		return SQL_OK;
	default:
		return each_for_itself(s, ops, count);
	}
}

static void
pause_ms(uint64_t ms)
{
	struct timespec left = {
	    .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

void
sql_settle(struct sql_store *s, struct op **ops, size_t count, int code)
{
	uint64_t deadline = clock_mono_ms() + s->settle_ms, backoff_ms = BACKOFF_FIRST_MS;

	stat_add(STAT_STORE_UNKNOWN, 1);
	sql_set_why(s, "the last commit failed");
	while (s->engine->settle(s, ops, count, code) != SQL_OK) {
		s->engine->close(s);
		if (clock_mono_ms() + backoff_ms > deadline) {
			for (size_t i = 0; i < count; i++)
				op_fail(ops[i], ERR_UNKNOWN_OUTCOME, NULL);
			log_error("store", "outcome_unknown", "operations=%zu", count);
			return;
		}
		pause_ms(backoff_ms);
		backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
	}
	log_info("store", "outcome_settled", "operations=%zu", count);
}
