/* SPDX-License-Identifier: MIT */
#include "chat/op.h"

#include "base/mem.h"
#include "base/panic.h"

/* What an operation owns beside its entries, newest first. */
struct op_block {
	struct op_block *next;
	_Alignas(max_align_t) char bytes[];
};

bool
op_writes(enum op_kind kind)
{
#define OP_AS_WRITES(name, text, writes) [OP_##name] = (writes) != 0,
	static const bool does_write[] = {OPS(OP_AS_WRITES)};

	assert(kind < OP_MAX);
	return does_write[kind];
}

const char *
op_name(enum op_kind kind)
{
#define OP_AS_NAME(name, text, writes) [OP_##name] = text,
	static const char *const names[] = {OPS(OP_AS_NAME)};

	assert(kind < OP_MAX);
	return names[kind];
}

struct op *
op_create(enum op_kind kind)
{
	struct op *op = mem_zalloc(sizeof(*op));

	assert(kind < OP_MAX);
	op->kind = (uint8_t)kind;
	return op;
}

static void
unref_given(struct entry *entry)
{
	if (entry != NULL)
		entry_unref(entry);
}

static void
entries_fini(struct op *op)
{
	switch ((enum op_kind)op->kind) {
	case OP_APPEND:
		unref_given(op->append.entry);
		break;
	case OP_GROUP:
		unref_given(op->in.group.entry);
		break;
	case OP_CLOSE:
		for (size_t i = 0; i < op->close.count; i++)
			unref_given(op->close.entries[i]);
		break;
	case OP_PAGE:
		for (size_t i = 0; i < op->page.count; i++)
			unref_given(op->page.items[i]);
		break;
	case OP_SYNC:
		for (size_t i = 0; i < op->sync.count; i++)
			unref_given(op->sync.items[i].last);
		break;
	default:
		break;
	}
}

void
op_destroy(struct op **op)
{
	if (*op == NULL)
		return;
	entries_fini(*op);
	for (struct op_block *block = (*op)->blocks, *next; block != NULL; block = next) {
		next = block->next;
		mem_free(block);
	}
	mem_free(*op);
	*op = NULL;
}

void *
op_alloc(struct op *op, size_t size)
{
	struct op_block *block;

	assert(size <= SIZE_MAX - sizeof(*block));
	block = mem_zalloc(sizeof(*block) + size);
	block->next = op->blocks;
	op->blocks = block;
	return block->bytes;
}

slice
op_copy(struct op *op, slice s)
{
	char *copy;

	if (!slice_given(s))
		return SLICE_NONE;
	copy = op_alloc(op, s.len);
	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	return slice_of(copy, s.len);
}
