/* SPDX-License-Identifier: MIT */
#include "store/deal.h"

#include "base/map.h"

/* A direct conversation's name depends on who says it, a handle does not. */
static uint64_t
target_key(const struct op *op, const struct op_target *target)
{
	if (target->cid != 0)
		return hash_u64(target->cid);
	if (slice_given(target->handle))
		return hash_bytes(target->handle);
	if (slice_given(target->user))
		return hash_bytes(target->user) ^ hash_u64(op->user);
	return hash_u64(op->user);
}

uint64_t
deal_key(const struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		return target_key(op, &op->append.target);
	case OP_MARK:
		return target_key(op, &op->mark.target);
	case OP_GROUP:
	case OP_RECEIPTS:
		return target_key(op, &op->in.target);
	case OP_TOUCH:
		return hash_u64(op->touch.user);
	case OP_REGISTER:
		return hash_bytes(op->session.name);
	case OP_LOGIN:
		return hash_u64(op->session.uid);
	default:
		return hash_u64(op->user);
	}
}
