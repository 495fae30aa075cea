/* SPDX-License-Identifier: MIT */
/* What can be done with groups. */
#include "deed.h"

#define GROUP                                                                                      \
	{                                                                                          \
		.kind = ARG_GROUP, .name = "cid"                                                   \
	}
#define THIS_GROUP                                                                                 \
	{                                                                                          \
		.kind = ARG_THIS, .name = "cid"                                                    \
	}
#define USER                                                                                       \
	{                                                                                          \
		.kind = ARG_USER, .name = "user"                                                   \
	}

#define LISTING                                                                                    \
	.list = "groups", .after = "cid", .page = 1000,                                            \
	.columns = "cid handle members title topic",                                               \
	.person = "{cid}[  #{handle}]  {title}  ({members|member})[: {topic}]",                    \
	.none = "there is no open group of that name", .repeatable = true

const struct deed deeds_groups[] = {
    {.words = "groups",
	.operands = "[QUERY]",
	.help = "open groups, by the beginning of title or handle",
	.method = "group.list",
	.args = {{.kind = ARG_QUERY, .name = "query", .optional = true}},
	LISTING},
    {.words = "group create",
	.operands = "TITLE ['#HANDLE'] [@USER...] [--open] [--history]",
	.help = "make a group; its number is printed",
	.method = "group.create",
	.args = {{.kind = ARG_FOUNDING, .name = "title"}},
	.columns = "cid",
	.then = THEN_ENTER},
    {.words = "group join",
	.typed = "/join",
	.help = "become a member of an open group",
	.method = "group.join",
	.args = {THIS_GROUP},
	.then = THEN_ENTER},
    {.words = "group leave",
	.typed = "/leave",
	.help = "be a member no more",
	.method = "group.leave",
	.args = {GROUP},
	.then = THEN_LEAVE},
    {.words = "group info",
	.typed = "/info",
	.help = "what a group is, and how it is set",
	.method = "group.info",
	.args = {GROUP},
	.columns = "cid title handle topic open history post invite members online created owners "
		   "role",
	.pairs = true,
	.person =
	    "{title}[  #{handle}]  (number {cid})[: {topic}]\n"
	    "-- {members|member}, {online} online; owned by {owners}[; you are: {role}]\n"
	    "-- [{open}, ][{history} from the start, ]written by {post}, invited by {invite}[, "
	    "since {created}]",
	.repeatable = true},
    {.words = "group members",
	.typed = "/members",
	.operands = "[owner|admin|member|banned]",
	.help = "who is in a group",
	.method = "group.members",
	.args = {GROUP, {.kind = ARG_WORD,
			    .name = "role",
			    .choices = "owner|admin|member|banned",
			    .optional = true}},
	.list = "members",
	.after = "user",
	.page = 1000,
	.columns = "user role online display",
	.person = "@{user}  {role}[, {online}][  ({display})]",
	.none = "there is nobody",
	.repeatable = true},
    {.words = "group invite",
	.typed = "/invite",
	.operands = "@USER...",
	.help = "bring users into a group",
	.method = "group.invite",
	.args = {GROUP, {.kind = ARG_USERS, .name = "users"}}},
    {.words = "group kick",
	.typed = "/kick",
	.operands = "@USER",
	.help = "remove a member",
	.method = "group.remove",
	.args = {GROUP, USER}},
    {.words = "group ban",
	.typed = "/ban",
	.operands = "@USER",
	.help = "remove a user, who can't come back",
	.method = "group.remove",
	.fixed = "\"ban\":true",
	.args = {GROUP, USER}},
    {.words = "group unban",
	.typed = "/unban",
	.operands = "@USER",
	.help = "let him come back",
	.method = "group.unban",
	.args = {GROUP, USER},
	.person = "done: he can be invited again, or join if the group is open"},
    {.words = "group role",
	.typed = "/role",
	.operands = "@USER owner|admin|member",
	.help = "make a member something else",
	.method = "group.role",
	.args = {GROUP, USER, {.kind = ARG_WORD, .name = "role", .choices = "owner|admin|member"}}},
    {.words = "group mute",
	.typed = "/mute",
	.operands = "@USER 30s|10m|2h|7d",
	.help = "a member may not write for so long",
	.method = "group.mute",
	.args = {GROUP, USER, {.kind = ARG_TIME, .name = "seconds"}}},
    {.words = "group unmute",
	.typed = "/unmute",
	.operands = "@USER",
	.help = "he may write again",
	.method = "group.mute",
	.fixed = "\"seconds\":0",
	.args = {GROUP, USER}},
    {.words = "group topic",
	.typed = "/topic",
	.operands = "TEXT",
	.help = "what a group is about; - takes it away",
	.method = "group.set",
	.args = {GROUP, {.kind = ARG_CLEAR, .name = "topic"}}},
    {.words = "group set",
	.typed = "/set",
	.operands =
	    "title TEXT | topic TEXT | handle NAME | open yes|no | post all|admins | invite "
	    "all|admins",
	.help = "change a group; - takes topic or handle away",
	.method = "group.set",
	.args = {GROUP, {.kind = ARG_SETTING, .choices = "title|topic|handle|open|post|invite"}}},
    {.words = "group dismiss",
	.typed = "/dismiss",
	.help = "end a group for all; its owners only",
	.method = "group.dismiss",
	.args = {THIS_GROUP},
	.then = THEN_LEAVE},
    {.words = "group list",
	.operands = "[QUERY]",
	.help = "the same as groups",
	.method = "group.list",
	.args = {{.kind = ARG_QUERY, .name = "query", .optional = true}},
	LISTING},
    {.method = NULL},
};
