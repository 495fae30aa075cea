/* SPDX-License-Identifier: MIT */
#include "chat/home_user.h"
#include "chat/topic.h"
#include "cost.h"

void
cost_sizes_chat(void)
{
	cost_size("chat.peer", sizeof(struct peer));
	cost_size("chat.busy", sizeof(struct busy));
	cost_size("chat.sub", sizeof(struct sub));
	cost_size("chat.apart", sizeof(struct apart));
	cost_size("chat.topic", sizeof(struct topic));
	cost_size("chat.page", sizeof(struct page));
	cost_size("chat.call", sizeof(struct call));
	cost_size("chat.entry", sizeof(struct entry));
	cost_size("chat.op", sizeof(struct op));
	cost_size("chat.op_conv", sizeof(struct op_conv));
	cost_size("chat.home_user", sizeof(struct home_user));
	cost_size("chat.attached", sizeof(struct attached));
}
