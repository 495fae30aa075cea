/* SPDX-License-Identifier: MIT */
/* Methods about messages. */
#include "gate/encode.h"
#include "gate/method.h"

enum { SEND_TO, SEND_BODY, SEND_KIND, SEND_DATA, SEND_CMID, SEND_RE };
const struct param send_params[] = {
    [SEND_TO] = {"to", PARAM_TARGET, .required = true},
    [SEND_BODY] = {"body", PARAM_BODY, .required = true},
    [SEND_KIND] = {.name = "kind", .type = PARAM_MESSAGE_KIND},
    [SEND_DATA] = {.name = "data", .type = PARAM_DATA},
    [SEND_CMID] = {"cmid", PARAM_BYTES, .min = 1, .max = CMID_MAX_BYTES},
    [SEND_RE] = {"re", SOME_SEQ},
    {0},
};

/*
 * Sends to one conversation are answered in their order, refused ones too: what is wrong with this
 * one goes to the chat with it, unless it does not even say where to.
 */
struct fault
run_send(struct call *c)
{
	const struct value *v = c->v;
	struct send_command cmd = {
	    .to = v[SEND_TO].target,
	    .kind = given_or(&v[SEND_KIND], S("text")),
	    .body = given_or(&v[SEND_BODY], S("")),
	    .data = v[SEND_DATA].text,
	    .cmid = v[SEND_CMID].text,
	    .re = v[SEND_RE].given ? v[SEND_RE].number : 0,
	    .refused = c->fault,
	};

	if (!v[SEND_TO].given)
		return c->fault;
	if (cmd.refused.err == ERR_OK && cmd.body.len == 0 && !slice_given(cmd.data))
		cmd.refused = (struct fault){.err = ERR_INVALID_PARAMS, .param = "body"};
	chat_send(c->session->peer, &c->tag, &cmd);
	return (struct fault){0};
}

enum { EDIT_CID, EDIT_SEQ, EDIT_BODY, EDIT_DATA, EDIT_CMID };
const struct param edit_params[] = {
    [EDIT_CID] = {"cid", PARAM_TARGET, .required = true},
    [EDIT_SEQ] = {"seq", SOME_SEQ, .required = true},
    [EDIT_BODY] = {"body", PARAM_BODY, .required = true},
    [EDIT_DATA] = {.name = "data", .type = PARAM_DATA},
    [EDIT_CMID] = {"cmid", PARAM_BYTES, .min = 1, .max = CMID_MAX_BYTES},
    {0},
};

/* Like a send in its order.  Whether the message has data, so that its body may be empty, the store
 * knows. */
struct fault
run_edit(struct call *c)
{
	const struct value *v = c->v;

	if (!v[EDIT_CID].given)
		return c->fault;
	chat_edit(c->session->peer, &c->tag,
	    &(struct edit_command){
		.conv = v[EDIT_CID].target,
		.seq = v[EDIT_SEQ].given ? v[EDIT_SEQ].number : 0,
		.body = given_or(&v[EDIT_BODY], S("")),
		.data = v[EDIT_DATA].text,
		.cmid = v[EDIT_CMID].text,
		.refused = c->fault,
	    });
	return (struct fault){0};
}

enum { DELETE_CID, DELETE_SEQ };
const struct param delete_params[] = {
    [DELETE_CID] = {"cid", PARAM_TARGET, .required = true},
    [DELETE_SEQ] = {"seq", SOME_SEQ, .required = true},
    {0},
};

struct fault
run_delete(struct call *c)
{
	const struct value *v = c->v;

	if (!v[DELETE_CID].given)
		return c->fault;
	chat_delete(c->session->peer, &c->tag,
	    &(struct delete_command){
		.conv = v[DELETE_CID].target,
		.seq = v[DELETE_SEQ].given ? v[DELETE_SEQ].number : 0,
		.refused = c->fault,
	    });
	return (struct fault){0};
}

enum { RECEIPTS_CID, RECEIPTS_SEQ, RECEIPTS_LIMIT, RECEIPTS_AFTER };
const struct param receipts_params[] = {
    [RECEIPTS_CID] = {"cid", PARAM_TARGET, .required = true},
    [RECEIPTS_SEQ] = {"seq", SOME_SEQ, .required = true},
    [RECEIPTS_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_PAGE, .preset = 100},
    [RECEIPTS_AFTER] = {.name = "after", .type = PARAM_USER},
    {0},
};

struct fault
run_receipts(struct call *c)
{
	const struct value *v = c->v;

	chat_receipts(c->session->peer, &c->tag,
	    &(struct receipts_command){
		.conv = v[RECEIPTS_CID].target,
		.seq = v[RECEIPTS_SEQ].number,
		.limit = (uint32_t)v[RECEIPTS_LIMIT].number,
		.after = v[RECEIPTS_AFTER].text,
	    });
	return (struct fault){0};
}

enum { HISTORY_CID, HISTORY_BEFORE, HISTORY_AFTER, HISTORY_LIMIT };
const struct param history_params[] = {
    [HISTORY_CID] = {"cid", PARAM_TARGET, .required = true},
    [HISTORY_BEFORE] = {"before", ANY_SEQ},
    [HISTORY_AFTER] = {"after", ANY_SEQ},
    [HISTORY_LIMIT] = {"limit", PARAM_LIMIT, .min = 1, .max = LIMIT_HISTORY, .preset = 50},
    {0},
};

struct fault
run_history(struct call *c)
{
	const struct value *v = c->v;

	if (v[HISTORY_AFTER].given)
		confab_tag_flags(&c->tag, ENCODE_OLDEST);
	chat_history(c->session->peer, &c->tag,
	    &(struct history_command){
		.conv = v[HISTORY_CID].target,
		.before = v[HISTORY_BEFORE].number,
		.after = v[HISTORY_AFTER].number,
		.has_before = v[HISTORY_BEFORE].given,
		.has_after = v[HISTORY_AFTER].given,
		.limit = (uint32_t)v[HISTORY_LIMIT].number,
	    });
	return (struct fault){0};
}

enum { MARK_CID, MARK_READ, MARK_DELIVERED };
const struct param mark_params[] = {
    [MARK_CID] = {"cid", PARAM_TARGET, .required = true},
    [MARK_READ] = {"read", ANY_SEQ},
    [MARK_DELIVERED] = {"delivered", ANY_SEQ},
    {0},
};

struct fault
run_mark(struct call *c)
{
	chat_mark(c->session->peer, &c->tag,
	    &(struct mark_command){
		.conv = c->v[MARK_CID].target,
		.read = c->v[MARK_READ].number,
		.delivered = c->v[MARK_DELIVERED].number,
	    });
	return (struct fault){0};
}

enum { SIGNAL_TO, SIGNAL_KIND, SIGNAL_DATA };
const struct param signal_params[] = {
    [SIGNAL_TO] = {"to", PARAM_TARGET, .required = true},
    [SIGNAL_KIND] = {"kind", PARAM_SIGNAL_KIND, .required = true},
    [SIGNAL_DATA] = {.name = "data", .type = PARAM_SIGNAL_DATA},
    {0},
};

struct fault
run_signal(struct call *c)
{
	chat_signal(c->session->peer, &c->tag,
	    &(struct signal_command){
		.to = c->v[SIGNAL_TO].target,
		.kind = c->v[SIGNAL_KIND].text,
		.data = c->v[SIGNAL_DATA].text,
	    });
	return (struct fault){0};
}
