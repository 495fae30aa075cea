/* SPDX-License-Identifier: MIT */
/*
 * Where Redis is: redis://[user:password@]host:port[,host:port…][?sentinel=NAME&cluster=NAME…].
 * A user or password may have %XX.  With sentinel=NAME the hosts are Sentinels, which are asked for
 * the master of that name.
 */
#ifndef BUS_URL_H
#define BUS_URL_H

#include "base/slice.h"

enum { LIMIT_URL_PLACES = 8, URL_TEXT_BYTES = 256 };

struct place {
	char host[URL_TEXT_BYTES];
	char port[8];
};

struct redis_url {
	struct place places[LIMIT_URL_PLACES];
	size_t place_count;
	/* "": not given. */
	char user[URL_TEXT_BYTES], password[URL_TEXT_BYTES];
	char sentinel[64];
	char sentinel_user[URL_TEXT_BYTES], sentinel_password[URL_TEXT_BYTES];
	char cluster[64]; /* whose channels; "main" */
};

/* 0, or -1 with a reason for people, without the password. */
int url_parse(const char *text, struct redis_url *ret_url, char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
