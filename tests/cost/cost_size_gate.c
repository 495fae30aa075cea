/* SPDX-License-Identifier: MIT */
#include "cost.h"
#include "gate/session.h"

void
cost_sizes_gate(void)
{
	cost_size("gate.session", sizeof(struct session));
	cost_size("gate.call", sizeof(struct call));
}
