/* SPDX-License-Identifier: MIT */
#include "cost.h"
#include "net/net_internal.h"

void
cost_sizes_net(void)
{
	cost_size("net.conn", sizeof(struct conn));
	cost_size("net.outq", sizeof(struct outq));
	cost_size("net.out_slice", sizeof(struct out_slice));
	cost_size("net.timer", sizeof(struct timer));
}
