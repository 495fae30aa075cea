/* SPDX-License-Identifier: MIT */
/* The table of configuration keys, and how one value of each type is read. */
#ifndef SERVER_CONFIG_KEYS_H
#define SERVER_CONFIG_KEYS_H

#include "server/config.h"

enum config_type {
	CONFIG_TEXT,
	CONFIG_NUMBER,
	CONFIG_BOOL, /* yes or no; as an option it needs no value */
	CONFIG_OPEN, /* open or closed, into a bool */
	CONFIG_LEVEL,
	CONFIG_NODE, /* a name of a node */
	CONFIG_STORE, /* what the wiring table knows */
	CONFIG_BUS,
	CONFIG_LISTEN, /* a list of ADDR:PORT[,proxy][,tls] */
	CONFIG_ORIGINS, /* lists of what the names say */
	CONFIG_BLOCKS,
};

struct config_key {
	const char *name;
	enum config_type type;
	size_t offset; /* in struct config */
	uint64_t min, max; /* of numbers */
	bool live; /* SIGHUP takes a change over */
	const char *fallback; /* the default, as it would be written; NULL: found out at start */
	const char *argument, *help;
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* NULL if there is none.  Dashes count as underscores. */
const struct config_key *config_key_find(slice name);
bool config_key_is_list(const struct config_key *key);
/* Whether its member is an owned char *. */
bool config_key_is_text(const struct config_key *key);
/*
 * Sets a key; lists are appended to.  0, or -1 with what is wrong with the value in *ret_why (a
 * sentence's end, like `is not a number`).
 */
int config_key_set(struct config *config, const struct config_key *key, slice value,
    struct buf *ret_why) __attribute__((warn_unused_result));
/* Empties a list, so that a stronger source replaces it. */
void config_key_clear(struct config *config, const struct config_key *key);
/* The value as it would be written, appended. */
void config_key_print(const struct config *config, const struct config_key *key, struct buf *to);

#endif
