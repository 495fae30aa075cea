/* SPDX-License-Identifier: MIT */
/* Methods about groups. */
#include "gate/method.h"

/* In every table the group comes first. */
enum { GROUP_CID };

static const char *const who_words[] = {"all", "admins", NULL};
static const char *const role_words[] = {"member", "admin", "owner", "banned", NULL};
static const char *const member_role_words[] = {"member", "admin", "owner", NULL};
static const enum role roles[] = {ROLE_MEMBER, ROLE_ADMIN, ROLE_OWNER, ROLE_NONE};
enum { ROLE_BANNED_WORD = 3 };

static struct fault
group_run(struct call *c, struct group_command *cmd)
{
	if (cmd->what != GROUP_CREATE)
		cmd->group = c->v[GROUP_CID].target;
	chat_group(c->session->peer, &c->tag, cmd);
	return (struct fault){0};
}

enum { CREATE_TITLE, CREATE_HANDLE, CREATE_OPEN, CREATE_MEMBERS, CREATE_HISTORY };
const struct param group_create_params[] = {
    [CREATE_TITLE] = {"title", PARAM_TEXT, .required = true, .min = 1, .max = TITLE_MAX_CHARS},
    [CREATE_HANDLE] = {"handle", PARAM_HANDLE, .min = 1},
    [CREATE_OPEN] = {.name = "open", .type = PARAM_BOOL},
    [CREATE_MEMBERS] = {"members", PARAM_USERS, .max = LIMIT_USERS},
    [CREATE_HISTORY] = {.name = "history", .type = PARAM_BOOL},
    {0},
};

struct fault
run_group_create(struct call *c)
{
	const struct decoder *d = &c->session->gate->decoder;
	struct group_command cmd = {
	    .what = GROUP_CREATE,
	    .set =
		{
		    .title = c->v[CREATE_TITLE].text,
		    .handle = c->v[CREATE_HANDLE].text,
		    .open = c->v[CREATE_OPEN].flag,
		    .admins_post = -1,
		    .admins_invite = -1,
		    .history = c->v[CREATE_HISTORY].flag,
		},
	    .users = d->users,
	    .user_count = d->user_count,
	};

	return group_run(c, &cmd);
}

const struct param group_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    {0},
};

struct fault
run_group_join(struct call *c)
{
	return group_run(c, &(struct group_command){.what = GROUP_JOIN});
}

struct fault
run_group_leave(struct call *c)
{
	return group_run(c, &(struct group_command){.what = GROUP_LEAVE});
}

struct fault
run_group_dismiss(struct call *c)
{
	return group_run(c, &(struct group_command){.what = GROUP_DISMISS});
}

struct fault
run_group_info(struct call *c)
{
	chat_group_info(c->session->peer, &c->tag, &c->v[GROUP_CID].target);
	return (struct fault){0};
}

enum { INVITE_USERS = GROUP_CID + 1 };
const struct param group_invite_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    [INVITE_USERS] = {"users", PARAM_USERS, .required = true, .max = LIMIT_USERS},
    {0},
};

struct fault
run_group_invite(struct call *c)
{
	const struct decoder *d = &c->session->gate->decoder;

	return group_run(
	    c, &(struct group_command){
		   .what = GROUP_INVITE, .users = d->users, .user_count = d->user_count});
}

/* What is done to one user. */
enum { ONE_USER = GROUP_CID + 1, ONE_MORE };

static struct fault
group_run_one(struct call *c, struct group_command *cmd)
{
	cmd->users = &c->v[ONE_USER].text;
	cmd->user_count = 1;
	return group_run(c, cmd);
}

const struct param group_remove_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    [ONE_USER] = {.name = "user", .type = PARAM_USER, .required = true},
    [ONE_MORE] = {.name = "ban", .type = PARAM_BOOL},
    {0},
};

struct fault
run_group_remove(struct call *c)
{
	return group_run_one(
	    c, &(struct group_command){.what = GROUP_REMOVE, .ban = c->v[ONE_MORE].flag});
}

const struct param group_unban_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    [ONE_USER] = {.name = "user", .type = PARAM_USER, .required = true},
    {0},
};

struct fault
run_group_unban(struct call *c)
{
	return group_run_one(c, &(struct group_command){.what = GROUP_UNBAN});
}

const struct param group_role_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    [ONE_USER] = {.name = "user", .type = PARAM_USER, .required = true},
    [ONE_MORE] = {"role", PARAM_CHOICE, .required = true, .words = member_role_words},
    {0},
};

struct fault
run_group_role(struct call *c)
{
	return group_run_one(
	    c, &(struct group_command){.what = GROUP_ROLE, .role = roles[c->v[ONE_MORE].number]});
}

const struct param group_mute_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    [ONE_USER] = {.name = "user", .type = PARAM_USER, .required = true},
    [ONE_MORE] = {.name = "seconds", .type = PARAM_INTEGER, .required = true},
    {0},
};

struct fault
run_group_mute(struct call *c)
{
	return group_run_one(
	    c, &(struct group_command){.what = GROUP_MUTE, .seconds = c->v[ONE_MORE].number});
}

enum { SET_TITLE = GROUP_CID + 1, SET_TOPIC, SET_HANDLE, SET_OPEN, SET_POST, SET_INVITE };
const struct param group_set_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    [SET_TITLE] = {"title", PARAM_TEXT, .min = 1, .max = TITLE_MAX_CHARS},
    [SET_TOPIC] = {"topic", PARAM_TEXT, .max = TOPIC_MAX_CHARS},
    [SET_HANDLE] = {.name = "handle", .type = PARAM_HANDLE},
    [SET_OPEN] = {.name = "open", .type = PARAM_BOOL},
    [SET_POST] = {"post", PARAM_CHOICE, .words = who_words},
    [SET_INVITE] = {"invite", PARAM_CHOICE, .words = who_words},
    {0},
};

/* -1: left out. */
static int
choice(const struct value *v)
{
	return v->given ? (int)v->number : -1;
}

struct fault
run_group_set(struct call *c)
{
	struct group_command cmd = {
	    .what = GROUP_SET,
	    .set =
		{
		    .title = c->v[SET_TITLE].text,
		    .topic = c->v[SET_TOPIC].text,
		    .handle = c->v[SET_HANDLE].text,
		    .open = c->v[SET_OPEN].given ? c->v[SET_OPEN].flag : -1,
		    .admins_post = choice(&c->v[SET_POST]),
		    .admins_invite = choice(&c->v[SET_INVITE]),
		},
	};

	return group_run(c, &cmd);
}

enum { MEMBERS_ROLE = GROUP_CID + 1, MEMBERS_AFTER, MEMBERS_LIMIT };
const struct param group_members_params[] = {
    [GROUP_CID] = {"cid", PARAM_TARGET, .required = true},
    [MEMBERS_ROLE] = {"role", PARAM_CHOICE, .words = role_words},
    [MEMBERS_AFTER] = {.name = "after", .type = PARAM_USER},
    [MEMBERS_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_PAGE, .preset = 100},
    {0},
};

struct fault
run_group_members(struct call *c)
{
	const struct value *role = &c->v[MEMBERS_ROLE];

	chat_group_members(c->session->peer, &c->tag,
	    &(struct members_command){
		.group = c->v[GROUP_CID].target,
		.role = role->given ? roles[role->number] : ROLE_NONE,
		.banned = role->given && role->number == ROLE_BANNED_WORD,
		.after = c->v[MEMBERS_AFTER].text,
		.limit = (uint32_t)c->v[MEMBERS_LIMIT].number,
	    });
	return (struct fault){0};
}

enum { LIST_QUERY, LIST_AFTER, LIST_LIMIT };
const struct param group_list_params[] = {
    [LIST_QUERY] = {"query", PARAM_TEXT, .min = 1, .max = TITLE_MAX_CHARS},
    [LIST_AFTER] = {"after", ANY_SEQ},
    [LIST_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_PAGE, .preset = 100},
    {0},
};

struct fault
run_group_list(struct call *c)
{
	chat_group_list(c->session->peer, &c->tag,
	    &(struct groups_command){
		.query = c->v[LIST_QUERY].text,
		.after = c->v[LIST_AFTER].number,
		.limit = (uint32_t)c->v[LIST_LIMIT].number,
	    });
	return (struct fault){0};
}
