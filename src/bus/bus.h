/* SPDX-License-Identifier: MIT */
/*
 * Between nodes: short news that may be lost, repeated or late; the store alone has the truth.  A bus
 * carries rings (bytes that the chat core made) on channels, one for each conversation and user that
 * somebody on the node cares for, and one for all nodes.  Whatever it can't promise it says: lost()
 * tells that rings may be missing, opened() that from now on a channel is heard.
 *
 * A bus owns its thread.  bus_ring() and bus_interest() are called by any thread and never wait for
 * a network; a ring that does not fit a bounded queue is dropped, counted, and made good by the
 * others' lost().  The functions of struct bus_options are called by the bus's thread, and may call
 * bus_ring() and bus_interest().
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "base/slice.h"
#include "chat/shard.h"

struct bus;

/* How well the node hears the others, for /readyz and the metrics. */
struct bus_health {
	bool connected;  /* to what carries the rings */
	bool looped;     /* the own beacon came back lately */
	unsigned peers;  /* other nodes heard of lately */
	const char *why; /* a constant; NULL: all is well */
};

struct bus_options {
	const char *url;       /* local:, redis://[user:password@]host:port[?…] (bus/url.h) */
	const char *node;      /* this node's name; unique in the cluster */
	uint64_t boot;         /* random, new at every start */
	char epoch[40];        /* rings of another epoch are not heard */
	unsigned char key[32]; /* rings that are not signed with it are not heard; from the store */
	void *cookie;
	/* A ring of another node; bytes are borrowed until it returns. */
	void (*heard)(void *cookie, enum ring_scope scope, uint64_t id, slice node, slice bytes);
	/*
	 * The channel is heard from now on: what was rung before may have been missed.  Follows
	 * every bus_interest(wanted); one may stand for several.
	 */
	void (*opened)(void *cookie, enum ring_scope scope, uint64_t id);
	/* Rings of any channel may have been missed. */
	void (*lost)(void *cookie);
	/* Another node is there (again, with another boot), or took its leave, or is silent for longer
	 * than its lease. */
	void (*node_up)(void *cookie, slice node, uint64_t boot);
	void (*node_down)(void *cookie, slice node);
};

/* NULL with a message for people in ret_error; a server that is not there yet is no error. */
struct bus *bus_open(const struct bus_options *options, char *ret_error, size_t error_size);
/* Whether the address can be one.  0, or -1 with a message for people. */
int bus_check(const char *url, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));
/* Says good-bye to the others, and waits for its threads. */
void bus_close(struct bus **bus);
/* To the other nodes that have interest in the channel; RING_ALL: to all. */
void bus_ring(struct bus *bus, enum ring_scope scope, uint64_t id, slice bytes);
/* Counted: as often wanted as not wanted is no interest.  It is heard for a while longer all the same.
 * RING_ALL is always heard. */
void bus_interest(struct bus *bus, enum ring_scope scope, uint64_t id, bool wanted);
void bus_set_epoch(struct bus *bus, slice epoch);
struct bus_health bus_health(struct bus *bus);

#endif
