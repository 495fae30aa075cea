/* SPDX-License-Identifier: MIT */
/*
 * Topics: conversations as one shard's peers follow them, and the feeding of those who are behind.
 * A stream is a peer's place in a topic with one number, the cursor: live, it gets each run that
 * follows its cursor as it is published; behind, for whatever reason, it is fed in order from the
 * log until it is at the head again.  Streams that are live are nearly always at the same place, which
 * the topic keeps; only one that is apart has a cursor of its own.
 */
#ifndef CHAT_TOPIC_H
#define CHAT_TOPIC_H

#include "chat/internal.h"

#define STREAM_APART ((uint32_t)1 << 31)
#define APART_BEHIND ((uint64_t)1 << 63)
/*
 * In apart->fresh: every end of his membership counts from where the stream began; otherwise he was a
 * member when the log was there, and what ended before that is past.
 */
#define FRESH_ENDS ((uint64_t)1 << 63)

/* A stream that is not where the others are. */
struct apart {
	uint64_t cursor; /* highest seq handed on; with APART_BEHIND: being fed */
	uint64_t
	    fresh; /* pages read before the log was here are too old for it; perhaps with FRESH_ENDS */
};

struct page {
	struct list of_topic, by_use; /* in topic->pages, shard->pages */
	struct topic *topic;          /* borrowed */
	uint64_t asked, first, last;  /* asked: nothing lies between this and first */
	uint64_t as_of;               /* the log's head when it was read */
	uint64_t until;               /* it shows the edits up to there: as_of, or less */
	uint64_t edited;              /* the last edit that shows; 0: none */
	uint64_t used_ms;
	size_t bytes;
	size_t count;
	bool leavings;              /* has entries with which somebody's membership ends */
	struct entry **entries;     /* owned references */
	struct run *runs[FORM_MAX]; /* encoded at first use */
	uint32_t *ends[FORM_MAX];
};

struct topic {
	uint32_t magic;
	uint32_t slot; /* in shard->topics */
	uint64_t cid;
	uint64_t head;           /* the highest seq known to be committed */
	uint64_t live;           /* the cursor of all streams that are not apart */
	struct conv_facts facts; /* slices into text */
	uint64_t facts_seq;      /* how far the log was when they were so */
	char *text;              /* owned */
	uint32_t *streams;       /* owned: slots of peers, with STREAM_APART or without */
	uint32_t stream_count, stream_capacity, behind_count, apart_count;
	uint32_t forms[FORM_MAX]; /* listeners by wire form */
	struct list pages;
	bool ended;        /* a past that one peer reads: no home, not in the map */
	bool publishing;   /* the topic stays until that is over */
	bool reading;      /* a page is on its way; the topic stays until it is here */
	uint64_t retry_ms; /* not 0: a reading failed, the next is due then */
};

/* So many are about to be followed: room for just them, since most peers follow no more for long.
 */
void topic_expect(struct peer *peer, uint32_t count);
/*
 * Follows a conversation from behind `cursor` on; the topic is made or shared.  ends: a membership
 * begins there, and ends with the first entry that says so.
 */
void topic_follow(struct peer *peer, const struct op_conv *conv, uint64_t cursor, bool ends);
/* Follows it, or reads what there was up to its user's leaving; ret_cursor: NULL, or how far. */
bool topic_followed(const struct peer *peer, uint64_t cid, uint64_t *ret_cursor);
/* The peer of one of its streams. */
static inline struct peer *
topic_peer(const struct shard *shard, const struct topic *topic, uint32_t stream)
{
	return peer_at(shard, topic->streams[stream] & ~STREAM_APART);
}
/* The index in the subs of a peer that follows it. */
uint32_t topic_sub(const struct topic *topic, const struct peer *peer);
/* A stream that was behind is at the head: it goes on with the others, or apart. */
void topic_caught_up(struct topic *topic, struct peer *peer, uint32_t sub);
void topic_leave(struct peer *peer, uint32_t sub);
void topic_publish(
    struct shard *shard, uint64_t cid, struct entry *const *entries, size_t count, uint64_t head);
/* What its entries say of the conversation, from now on: the handle may be another one. */
void topic_learn(struct topic *topic, const struct conv_facts *facts, uint64_t facts_seq);
void topic_signal(struct shard *shard, uint64_t cid, uint64_t author, const struct event *event);
/* Lets a topic go that nobody follows any more. */
void topic_release(struct shard *shard, struct topic *topic);
/* At the shard's end: those that still wait for a page. */
void topics_destroy(struct shard *shard);
struct topic *topic_find(struct shard *shard, uint64_t cid);
/* It will be published to soon: what that touches comes into the caches, step by step. */
void topic_ahead(const struct shard *shard, uint64_t cid, unsigned step);
/* Whether a membership of that user ends with the entry. */
static inline bool
entry_ends(const struct entry *entry, uint64_t user)
{
	return entry->ends == user || entry->ends == ENTRY_ENDS_ALL;
}
/* Copies facts (their texts into one block, *ret_text). */
struct conv_facts facts_copy(const struct conv_facts *facts, char **ret_text);

/* Feeds peers whose streams are behind; true if there is more to do at once. */
bool feed_turn(struct shard *shard);
void feed_peer_soon(struct peer *peer);
void feed_page_done(struct shard *shard, struct op *op);
void feed_tick(struct shard *shard);
/* The log is another one: what was known of the old one is void. */
void feed_forget(struct shard *shard);
void page_destroy(struct shard *shard, struct page *page);
/* What it was encoded to is void. */
void page_forget_runs(struct page *page);

#endif
