/* SPDX-License-Identifier: MIT */
#include "base/run.h"

#include "base/mem.h"
#include "base/panic.h"
#include "base/stat.h"

struct run *
run_create(size_t capacity)
{
	struct run *run;

	assert(capacity <= UINT32_MAX / 2);
	run = mem_alloc(sizeof(*run) + capacity);
	run->refs = 1;
	run->len = 0;
	run->capacity = (uint32_t)capacity;
	gauge_add(GAUGE_HELD_RUNS, (int64_t)capacity);
	return run;
}

struct run *
run_copy(slice bytes)
{
	struct run *run = run_create(bytes.len);

	if (bytes.len > 0)
		memcpy(run->bytes, bytes.ptr, bytes.len);
	run->len = (uint32_t)bytes.len;
	return run;
}

void
run_free(struct run *run)
{
	assert(run->refs == 0);
	gauge_add(GAUGE_HELD_RUNS, -(int64_t)run->capacity);
	mem_free(run);
}
