/* SPDX-License-Identifier: MIT */
/*
 * Calls: requests that wait for an answer.  Operations and mail name them by number, so that an
 * answer that comes after its time, or after its connection, finds nothing and is skipped.
 */
#include "chat/mail.h"

struct call *
call_begin(struct peer *peer, const struct call_tag *tag, bool writes)
{
	struct shard *shard = peer->shard;
	struct call *call = mem_zalloc(sizeof(*call));

	call->id = shard->next_call++;
	call->peer = peer;
	call->tag = *tag;
	call->started_ms = shard->mono_ms;
	call->started_ns = shard->mono_ns;
	call->writes = writes;
	list_push_back(&shard->calls, &call->by_time);
	call->of_peer_at = &peer->calls;
	call->next_of_peer = peer->calls;
	if (peer->calls != NULL)
		peer->calls->of_peer_at = &call->next_of_peer;
	peer->calls = call;
	map_put(&shard->calls_by_id, call->id, call);
	gauge_add(GAUGE_CALLS, 1);
	return call;
}

struct call *
call_find(struct shard *shard, uint64_t id)
{
	return map_get(&shard->calls_by_id, id);
}

void
call_drop(struct call *call)
{
	struct shard *shard = call->peer->shard;

	(void)map_remove(&shard->calls_by_id, call->id);
	list_remove(&call->by_time);
	*call->of_peer_at = call->next_of_peer;
	if (call->next_of_peer != NULL)
		call->next_of_peer->of_peer_at = call->of_peer_at;
	if (call->context != NULL)
		call->context_free(call->context);
	mem_free(call);
	gauge_add(GAUGE_CALLS, -1);
}

void
call_answer(struct call *call, const struct answer *answer)
{
	struct peer *peer = call->peer;
	size_t used = 0;

	peer->shard->config.out.answer(peer->out, &call->tag, answer, &used);
	call_drop(call);
}

void
call_done(struct call *call)
{
	call_answer(call, &(struct answer){.kind = ANSWER_EMPTY});
}

void
call_fault(struct call *call, struct fault fault)
{
	assert(fault.err != ERR_OK);
	call_answer(call, &(struct answer){.kind = ANSWER_FAULT, .fault = fault});
}

void
call_fail(struct call *call, enum err err)
{
	call_fault(call, (struct fault){.err = err});
}

void
call_fail_param(struct call *call, enum err err, const char *param)
{
	call_fault(call, (struct fault){.err = err, .param = param});
}

struct fault
pressure_fault(const struct shard *shard, enum pressure from)
{
	if (shard->pressure < from)
		return (struct fault){0};
	stat_add(STAT_SHED, 1);
	return (struct fault){.err = ERR_BUSY, .retry_after_ms = 1000 + random_below(2000)};
}

bool
call_shed(struct call *call, enum pressure from)
{
	struct fault fault = pressure_fault(call->peer->shard, from);

	if (fault.err == ERR_OK)
		return false;
	call_fault(call, fault);
	return true;
}

void
calls_tick(struct shard *shard)
{
	while (!list_empty(&shard->calls)) {
		struct call *call = container_of(shard->calls.next, struct call, by_time);

		if (shard->mono_ms - call->started_ms < CALL_DEADLINE_MS)
			return;
		stat_add(STAT_CALL_TIMEOUTS, 1);
		if (call->id == peer_entering(call->peer))
			peer_retreat(call->peer);
		send_forget(call->peer, call->id);
		call_fault(call,
		    (struct fault){.err = call->writes ? ERR_UNKNOWN_OUTCOME : ERR_UNAVAILABLE,
			.retry_after_ms = 1000});
	}
}
