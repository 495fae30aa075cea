/* SPDX-License-Identifier: MIT */
/*
 * The server's side of WebSocket framing (RFC 6455), no extensions.  Strict: frames must be masked, RSV
 * bits zero, opcodes known, lengths in their shortest form, control frames whole and at most 125 bytes,
 * close payloads empty or a legal code with UTF-8.
 */
#ifndef WIRE_WS_H
#define WIRE_WS_H

#include "base/buf.h"
#include "base/slice.h"
#include "wire/utf8.h"

enum ws_unit_kind {
	WS_MESSAGE, /* a whole text message; payload is UTF-8 */
	WS_PING,    /* answer with ws_put_frame(WS_OP_PONG, payload) */
	WS_PONG,
	WS_CLOSE, /* the peer closes; close_code as sent, 1005 if none; payload is its reason */
	WS_FAIL,  /* close the connection with close_code: 1002, 1003, 1007, 1009 */
};

enum {
	WS_OP_CONTINUATION = 0,
	WS_OP_TEXT = 1,
	WS_OP_BINARY = 2,
	WS_OP_CLOSE = 8,
	WS_OP_PING = 9,
	WS_OP_PONG = 10
};

struct ws_unit {
	enum ws_unit_kind kind;
	uint16_t close_code;
	slice
	    payload; /* unmasked, within the decoder's buffer or the input; valid until the next call */
};

/* A connection's decoder; zero at the start.  Owns memory only inside a fragmented message. */
struct ws_decoder {
	struct buf message; /* what fragments have brought */
	struct utf8_state utf8;
	bool in_message;
};

/*
 * Takes one frame off the front of `in`, unmasking in place (so `in` is written to); returns the bytes used,
 * 0 if the frame is not whole yet.  *ret_has_unit says whether *ret_unit was set: a fragment that ends no
 * message gives none.  A frame or message over max bytes is WS_FAIL 1009 as soon as its header tells, and a
 * binary message 1003; invalid UTF-8 fails as soon as a whole frame shows it.  All of `in` counts as used by a
 * WS_FAIL; after it or WS_CLOSE nothing more may be decoded.  A call always lets go of the memory that the
 * message before was in, also one that returns 0 or has no bytes: so call until it returns 0.
 */
size_t ws_next(struct ws_decoder *d, char *in, size_t len, size_t max, bool *ret_has_unit,
    struct ws_unit *ret_unit);
void ws_decoder_fini(struct ws_decoder *d);

enum { WS_HEADER_MAX = 10 };
/* Writes the header of an unmasked, final frame; returns its length. */
size_t ws_header(char ret_header[WS_HEADER_MAX], unsigned opcode, size_t payload_len);
/* Appends a whole unmasked frame. */
void ws_put_frame(struct buf *to, unsigned opcode, slice payload);
/* Appends a close frame; code 0: without one. */
void ws_put_close(struct buf *to, uint16_t code, slice reason);

enum { WS_ACCEPT_BYTES = 28 };
/* The value of Sec-WebSocket-Accept for a client's Sec-WebSocket-Key (RFC 6455 §4.2.2). */
void ws_accept_key(slice key, char ret_accept[WS_ACCEPT_BYTES]);
/* Whether a key is the base64 of 16 bytes. */
bool ws_key_valid(slice key);

/* --- The client's side, for the native client library and the tests. --- */
/* Appends a masked frame. */
void ws_put_masked(struct buf *to, unsigned opcode, slice payload, const unsigned char mask[4]);

#endif
