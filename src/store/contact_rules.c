/* SPDX-License-Identifier: MIT */
#include "store/contact_rules.h"

#include "base/panic.h"

static enum err
decide_add(struct contact_pair now, struct contact_outcome *ret)
{
	if (now.mine == CONTACT_BLOCKED || now.theirs == CONTACT_BLOCKED)
		return ERR_BLOCKED;
	if (now.mine == CONTACT_BOTH || now.mine == CONTACT_REQUESTED)
		return ERR_ALREADY;
	*ret = now.mine == CONTACT_INCOMING
		   ? (struct contact_outcome){{CONTACT_BOTH, CONTACT_BOTH}, NEWS_CONTACT,
			 NEWS_CONTACT, false}
		   : (struct contact_outcome){{CONTACT_REQUESTED, CONTACT_INCOMING}, NEWS_REQUESTED,
			 NEWS_INCOMING, false};
	return ERR_OK;
}

static enum err
decide_accept(struct contact_pair now, struct contact_outcome *ret)
{
	if (now.mine == CONTACT_BOTH)
		return ERR_ALREADY;
	if (now.mine != CONTACT_INCOMING)
		return ERR_NOT_FOUND;
	*ret = (struct contact_outcome){
	    {CONTACT_BOTH, CONTACT_BOTH}, NEWS_CONTACT, NEWS_CONTACT, false};
	return ERR_OK;
}

/* Both rows go, whatever they were. */
static enum err
decide_end(bool may, enum contact_news news, struct contact_outcome *ret)
{
	if (!may)
		return ERR_NOT_FOUND;
	*ret = (struct contact_outcome){{CONTACT_NONE, CONTACT_NONE}, news, news, false};
	return ERR_OK;
}

static enum err
decide_block(struct contact_pair now, struct contact_outcome *ret)
{
	bool ends = now.theirs != CONTACT_NONE && now.theirs != CONTACT_BLOCKED;

	if (now.mine == CONTACT_BLOCKED)
		return ERR_ALREADY;
	*ret = (struct contact_outcome){{CONTACT_BLOCKED, ends ? CONTACT_NONE : now.theirs},
	    NEWS_BLOCKED, ends ? NEWS_REMOVED : NEWS_NONE, true};
	return ERR_OK;
}

static enum err
decide_unblock(struct contact_pair now, struct contact_outcome *ret)
{
	if (now.mine != CONTACT_BLOCKED)
		return ERR_NOT_FOUND;
	*ret =
	    (struct contact_outcome){{CONTACT_NONE, now.theirs}, NEWS_UNBLOCKED, NEWS_NONE, true};
	return ERR_OK;
}

enum err
contact_decide(
    enum contact_change what, struct contact_pair now, struct contact_outcome *ret_outcome)
{
	switch (what) {
	case CONTACT_ADD:
		return decide_add(now, ret_outcome);
	case CONTACT_ACCEPT:
		return decide_accept(now, ret_outcome);
	case CONTACT_REJECT:
		return decide_end(now.mine == CONTACT_INCOMING, NEWS_REJECTED, ret_outcome);
	case CONTACT_REMOVE:
		return decide_end(now.mine == CONTACT_BOTH || now.mine == CONTACT_REQUESTED,
		    NEWS_REMOVED, ret_outcome);
	case CONTACT_BLOCK:
		return decide_block(now, ret_outcome);
	case CONTACT_UNBLOCK:
		return decide_unblock(now, ret_outcome);
	}
	panic("store: no such change of contacts: %d", (int)what);
}

bool
contact_adds(enum contact_state was, enum contact_state state)
{
	if (state == CONTACT_BLOCKED)
		return was != CONTACT_BLOCKED;
	return state != CONTACT_NONE && (was == CONTACT_NONE || was == CONTACT_BLOCKED);
}

void
contact_reset(struct op *op)
{
	op->contact.peer = 0;
	op->contact.state = CONTACT_NONE;
	op->contact.mine = op->contact.theirs = NEWS_NONE;
	op->contact.shown_note = SLICE_NONE;
}
