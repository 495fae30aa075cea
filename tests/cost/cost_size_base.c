/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/map.h"
#include "base/run.h"
#include "cost.h"

void
cost_sizes_base(void)
{
	cost_size("base.run", sizeof(struct run));
	cost_size("base.buf", sizeof(struct buf));
	cost_size("base.map_slot", sizeof(struct map_slot));
	cost_size("base.smap_slot", sizeof(struct smap_slot));
}
