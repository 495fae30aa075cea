/* SPDX-License-Identifier: MIT */
/* Methods about contacts, and the end of one's account. */
#include "gate/method.h"

enum { CONTACT_USER, CONTACT_NOTE };
const struct param contact_add_params[] = {
    [CONTACT_USER] = {.name = "user", .type = PARAM_USER, .required = true},
    [CONTACT_NOTE] = {"note", PARAM_TEXT, .max = NOTE_MAX_CHARS},
    {0},
};
const struct param contact_params[] = {
    [CONTACT_USER] = {.name = "user", .type = PARAM_USER, .required = true},
    {0},
};

static struct fault
contact(struct call *c, enum contact_change what, slice note)
{
	chat_contact(c->session->peer, &c->tag,
	    &(struct contact_command){
		.what = what,
		.user = c->v[CONTACT_USER].text,
		.note = note,
	    });
	return (struct fault){0};
}

struct fault
run_contact_add(struct call *c)
{
	return contact(c, CONTACT_ADD, c->v[CONTACT_NOTE].text);
}

struct fault
run_contact_accept(struct call *c)
{
	return contact(c, CONTACT_ACCEPT, SLICE_NONE);
}

struct fault
run_contact_reject(struct call *c)
{
	return contact(c, CONTACT_REJECT, SLICE_NONE);
}

struct fault
run_contact_remove(struct call *c)
{
	return contact(c, CONTACT_REMOVE, SLICE_NONE);
}

struct fault
run_contact_block(struct call *c)
{
	return contact(c, CONTACT_BLOCK, SLICE_NONE);
}

struct fault
run_contact_unblock(struct call *c)
{
	return contact(c, CONTACT_UNBLOCK, SLICE_NONE);
}

enum { LIST_AFTER, LIST_LIMIT };
const struct param contact_list_params[] = {
    [LIST_AFTER] = {.name = "after", .type = PARAM_USER},
    [LIST_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_PAGE, .preset = LIMIT_PAGE},
    {0},
};

struct fault
run_contact_list(struct call *c)
{
	chat_contact_list(
	    c->session->peer, &c->tag, c->v[LIST_AFTER].text, (uint32_t)c->v[LIST_LIMIT].number);
	return (struct fault){0};
}

enum { DELETE_PASSWORD };
const struct param account_delete_params[] = {
    [DELETE_PASSWORD] = {"password", PASSWORD, .required = true},
    {0},
};

struct fault
run_account_delete(struct call *c)
{
	chat_account_delete(c->session->peer, &c->tag, c->v[DELETE_PASSWORD].text);
	return (struct fault){0};
}
