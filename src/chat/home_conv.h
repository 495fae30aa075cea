/* SPDX-License-Identifier: MIT */
/*
 * The home of a conversation: what its files share.  home_conv.c orders what is appended and hears
 * what was committed, home_publish.c hands it on.
 */
#ifndef CHAT_HOME_CONV_H
#define CHAT_HOME_CONV_H

#include "chat/cluster.h"

struct author {
	uint64_t user, acl_ver, min_seq;
};

struct joining {
	uint64_t user, seq;
};

struct home_conv {
	uint64_t cid;
	uint64_t head;      /* highest seq heard of; 0: none since this was made */
	uint64_t listeners; /* a bit for each shard */
	uint64_t used_ms;
	uint32_t in_flight;
	bool announced;          /* a direct conversation's two users were told of it */
	bool look, looking;      /* the store is to be asked for the head, is being asked */
	bool tell_facts;         /* to those who listen: they may have others */
	bool tell_head;          /* to other nodes: perhaps nobody did */
	bool wanted;             /* rings of it are */
	struct conv_facts facts; /* kind 0: not known yet */
	uint64_t facts_seq;      /* how far the log was when they were so */
	char *text;              /* owned */
	struct author *authors;  /* owned; who was last found to be allowed to send */
	uint32_t author_count;
	struct list dirty_link; /* in shard->dirty_convs */
	struct entry **entries; /* owned references: committed, to be published */
	size_t count, capacity;
	struct joining *joined; /* owned: to be told when that is done */
	size_t joined_count;
};

static_assert(SHARDS_MAX <= 64, "listeners is a bit set");

/* Found or made; it counts as used now. */
struct home_conv *home_conv(struct shard *shard, uint64_t cid);

#endif
