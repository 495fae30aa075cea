/* SPDX-License-Identifier: MIT */
/* What can be done with messages that are there. */
#include "deed.h"

#define MESSAGE                                                                                    \
	{.kind = ARG_TARGET, .name = "cid"},                                                       \
	{                                                                                          \
		.kind = ARG_SEQ, .name = "seq"                                                     \
	}

const struct deed deeds_messages[] = {
    {.words = "edit",
	.operands = "SEQ TEXT...",
	.help = "give a message of yours another text",
	.method = "edit",
	.args = {MESSAGE, {.kind = ARG_TEXT, .name = "body"}},
	.repeatable = true},
    {.words = "delete",
	.operands = "SEQ",
	.help = "erase a message of yours, or as an admin any",
	.method = "delete",
	.args = {MESSAGE},
	.repeatable = true},
    {.words = "receipts",
	.operands = "SEQ",
	.help = "how far others have come: who has read a message",
	.method = "receipts",
	.args = {MESSAGE},
	.list = "users",
	.after = "user",
	.page = 1000,
	.columns = "user read delivered",
	.whole = true,
	.head = "read by {read}, delivered to {delivered}, of {members}",
	.person = "@{user}  has read up to {read}, has got up to {delivered}",
	.repeatable = true},
    {.method = NULL},
};
