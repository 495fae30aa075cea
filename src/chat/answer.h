/* SPDX-License-Identifier: MIT */
/* What the chat core answers and tells; part of chat/api.h. */
#ifndef CHAT_ANSWER_H
#define CHAT_ANSWER_H

#include "chat/op.h"

/* --- Answers --- */

enum answer_kind {
	ANSWER_FAULT,
	ANSWER_EMPTY,
	ANSWER_SESSION, /* of register, login, resume; with sync if that was asked for */
	ANSWER_SYNC,
	ANSWER_SESSIONS,
	ANSWER_SEND,
	ANSWER_HISTORY,
	ANSWER_MARK,
	ANSWER_PROFILES,
	ANSWER_FOUND,
	ANSWER_WHO,
	ANSWER_PRESENCE,
	ANSWER_RECEIPTS,
	ANSWER_GROUP,
	ANSWER_GROUP_INFO,
	ANSWER_MEMBERS,
	ANSWER_GROUPS,
	ANSWER_CONTACT,
	ANSWER_CONTACTS,
};

/* A conversation as a client sees it, in sync's list and in `conversation` events. */
struct conv_view {
	const struct op_conv *conv;
	uint64_t next, unread;
};

struct sync_answer {
	slice epoch;
	bool reset;
	size_t total;
	const uint64_t *gone;
	size_t gone_count;
	const struct conv_view *items;
	size_t count; /* at most 200; a gate may give fewer if they do not fit, and says so by
			 *ret_used */
};

struct online_user {
	slice name, display, text; /* text: ptr NULL: none */
	uint64_t seen;             /* 0: not told */
	enum presence state;
};

struct answer {
	enum answer_kind kind;
	struct fault fault;
	union {
		struct {
			uint64_t uid;
			slice user, display, token, session, epoch;
			const struct sync_answer *sync; /* NULL: not asked for */
		} session;
		struct sync_answer sync;
		struct {
			const struct op_session *items;
			size_t count;
			uint64_t current;       /* session of the asking connection */
			const uint64_t *online; /* sessions that have a connection */
			size_t online_count;
		} sessions;
		struct {
			uint64_t cid, seq, ts;
			slice cmid; /* ptr NULL: none */
			bool dup;
		} send;
		struct {
			uint64_t cid, head, min_seq;
			const struct conv_facts *facts;
			struct entry *const *items;
			size_t count;
			bool more;
		} history;
		struct {
			uint64_t read, delivered;
		} mark;
		struct {
			const struct op_user *items;
			size_t count;
		} profiles; /* and FOUND */
		struct {
			size_t online;
			const struct online_user *items;
			size_t count;
			bool more;
		} who;
		struct {
			const struct online_user *items;
			size_t count;
		} presence;
		struct {
			const struct op_receipts *of;
		} receipts;
		struct {
			enum group_change what;
			uint64_t cid, seq; /* seq 0: nothing changed */
			const struct op_group *of;
		} group;
		struct {
			uint64_t cid;
			slice handle;
			size_t online;
			const struct op_group_info *of;
		} group_info;
		struct {
			const struct op_members *of;
			const bool *online; /* for each item */
		} members;
		const struct op_groups *groups;
		struct {
			enum contact_state state; /* for ADD */
		} contact;
		struct {
			const struct op_contacts_page *of;
			const struct online_user *presence; /* for each item */
		} contacts;
	};
};

/* --- Events --- */

enum event_kind {
	EVENT_CONVERSATION,
	EVENT_GAP,
	EVENT_MARK,
	EVENT_SIGNAL,
	EVENT_PRESENCE,
	EVENT_CONTACT
};
enum conv_change { CONV_ADDED, CONV_LISTED, CONV_REMOVED };

struct event {
	enum event_kind kind;
	union {
		struct {
			enum conv_change change;
			struct conv_view view; /* REMOVED: only view.conv->cid */
		} conversation;
		struct {
			uint64_t cid, from, to;
		} gap;
		struct {
			uint64_t cid, read, delivered;
			slice user;
		} mark;
		struct {
			uint64_t cid; /* 0: none */
			slice from, kind, body, data;
		} signal;
		struct online_user presence;
		struct {
			slice user, note; /* note: ptr NULL: none */
			enum contact_news news;
		} contact;
	};
};

#endif
