/* SPDX-License-Identifier: MIT */
/*
 * What can go wrong with a request, in the words that clients get: one table for the enum, the
 * counters and the gates.  ERR_OK is 0.
 */
#ifndef CHAT_ERROR_H
#define CHAT_ERROR_H

#include <stdint.h>

/* name, code on the wire, stable name, can the same request succeed later, text for people */
#define ERRORS(X)                                                                                  \
	X(PARSE_ERROR, -32700, "parse_error", 0, "this is not JSON in UTF-8")                      \
	X(INVALID_REQUEST, -32600, "invalid_request", 0, "this is not a JSON-RPC 2.0 request")     \
	X(UNKNOWN_METHOD, -32601, "unknown_method", 0, "there is no such method")                  \
	X(INVALID_PARAMS, -32602, "invalid_params", 0, "a parameter is missing or malformed")      \
	X(INTERNAL, -32603, "internal", 0, "a fault of the server; its log has the details")       \
	X(NOT_LOGGED_IN, 1000, "not_logged_in", 0, "log in first: register, login or resume")      \
	X(BAD_CREDENTIALS, 1001, "bad_credentials", 0, "unknown user or wrong password")           \
	X(NAME_TAKEN, 1002, "name_taken", 0, "this name is taken or reserved; choose another")     \
	X(WEAK_PASSWORD, 1003, "weak_password", 0,                                                 \
	    "choose a password of at least 8 characters that is not a common one")                 \
	X(TOKEN_INVALID, 1004, "token_invalid", 0,                                                 \
	    "this token is unknown, expired or revoked; log in")                                   \
	X(ALREADY_LOGGED_IN, 1005, "already_logged_in", 0, "this connection has a user already")   \
	X(NOT_FOUND, 1010, "not_found", 0, "no such user, conversation or message")                \
	X(NOT_MEMBER, 1011, "not_member", 0, "you are not a member of this group")                 \
	X(FORBIDDEN, 1012, "forbidden", 0, "you are not allowed to do this")                       \
	X(BLOCKED, 1013, "blocked", 0, "one of the two blocks the other")                          \
	X(ALREADY, 1014, "already", 0, "this is so already")                                       \
	X(CONFLICT, 1015, "conflict", 0, "this cmid was used before with another content")         \
	X(TOO_LARGE, 1016, "too_large", 0, "this is too long; data.max says how much is allowed")  \
	X(LIMIT, 1017, "limit", 0, "a limit is reached; data.max says which number")               \
	X(RATE_LIMITED, 1020, "rate_limited", 1, "too fast; try again later")                      \
	X(BUSY, 1021, "busy", 1, "the server is busy; try again later")                            \
	X(UNAVAILABLE, 1022, "unavailable", 1,                                                     \
	    "nothing was stored: the store is not available; try again later")                     \
	X(UNKNOWN_OUTCOME, 1023, "unknown_outcome", 1,                                             \
	    "it may or may not have been stored; send again with the same cmid to settle it")      \
	X(SESSION_REVOKED, 1030, "session_revoked", 0, "this session was ended; log in")

#define ERR_AS_ENUM(name, code, text_name, retry, text) ERR_##name,
enum err { ERR_OK, ERRORS(ERR_AS_ENUM) ERR_MAX };

/* An error with what belongs to it; zero: none. */
struct fault {
	enum err err;
	const char *param;       /* a constant: which parameter is at fault */
	uint64_t max;            /* for TOO_LARGE and LIMIT */
	uint32_t retry_after_ms; /* 0: not told */
};

#endif
