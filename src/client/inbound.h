/* SPDX-License-Identifier: MIT */
/* What a server says, from bytes to structs.  Pure functions; slices live as long as line and
 * scratch. */
#ifndef CLIENT_INBOUND_H
#define CLIENT_INBOUND_H

#include "base/buf.h"
#include "wire/json.h"

struct client_error {
	int64_t code; /* 0: made by the client itself (name "connection_lost" or "timeout") */
	slice name, message;
	slice param; /* which parameter, or none */
	bool retry;  /* the same request can succeed later */
	uint64_t retry_after_ms;
};

/* One place of a conversation's log. */
struct client_entry {
	uint64_t cid, seq, ts_ms;
	slice from, to, kind;
	slice body; /* none: not given */
	slice cmid; /* none: not given */
	struct json data;
	uint64_t re, edited, deleted; /* 0: none */
	struct json raw;              /* all of it, as the server wrote it */
};

struct client_conversation {
	uint64_t cid, min_seq, next, head, ts_ms, read, delivered, unread;
	slice change; /* "added", "listed", "removed"; none in the answer to sync */
	slice kind, title, handle, peer, role;
	struct json raw;
};

enum inbound_kind { INBOUND_RESULT, INBOUND_ERROR, INBOUND_NOTICE };

struct inbound {
	enum inbound_kind kind;
	uint64_t id; /* of the request answered; 0: of none that could be told */
	struct json result;
	struct client_error error;
	slice method;
	struct json params;
};

/* False if no server of this protocol would say so.  Clears scratch. */
bool inbound_parse(slice line, struct buf *scratch, struct inbound *ret);
/* False if what every one has is missing.  scratch needs room for the text's length before. */
bool inbound_entry(struct json params, struct buf *scratch, struct client_entry *ret);
bool inbound_conversation(struct json object, struct buf *scratch, struct client_conversation *ret);

/* A member of that type; absent if there is none, or if `object` is something else. */
struct json inbound_member(struct json object, slice name, enum json_type type);
/* A member that is a whole number of at least 0, else `otherwise`. */
uint64_t inbound_uint(struct json object, slice name, uint64_t otherwise);
/* A member that is a string, decoded; none otherwise. */
slice inbound_text(struct json object, slice name, struct buf *scratch);
bool inbound_true(struct json object, slice name);

#endif
