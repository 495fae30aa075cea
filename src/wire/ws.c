/* SPDX-License-Identifier: MIT */
/*
 * A frame's header is looked at first, as far as it is there, so that what is wrong fails before
 * its payload is waited for; then the whole frame is unmasked where it stands.
 */
#include "wire/ws.h"

#include <openssl/evp.h>

#include "base/panic.h"

enum {
	WS_CLOSE_NO_CODE = 1005,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_TYPE = 1003,
	WS_CLOSE_UTF8 = 1007,
	WS_CLOSE_SIZE = 1009,

	WS_CONTROL_MAX = 125,
	WS_FIN = 0x80,
	WS_RSV = 0x70,
	WS_MASKED = 0x80,
	WS_MASK_BYTES = 4,
	WS_KEY_BYTES = 24,
};

struct frame {
	unsigned opcode;
	bool fin;
	size_t header_len;
	uint64_t payload_len;
	unsigned char mask[WS_MASK_BYTES];
};

static bool
is_control(unsigned opcode)
{
	return opcode >= WS_OP_CLOSE;
}

/* The first byte; 0 or the close code. */
static uint16_t
read_opcode(const struct ws_decoder *d, unsigned char byte, struct frame *f)
{
	f->fin = (byte & WS_FIN) != 0;
	f->opcode = byte & 15;
	if ((byte & WS_RSV) != 0)
		return WS_CLOSE_PROTOCOL;
	switch (f->opcode) {
	case WS_OP_CONTINUATION:
		return d->in_message ? 0 : WS_CLOSE_PROTOCOL;
	case WS_OP_TEXT:
		return d->in_message ? WS_CLOSE_PROTOCOL : 0;
	case WS_OP_BINARY:
		return d->in_message ? WS_CLOSE_PROTOCOL : WS_CLOSE_TYPE;
	case WS_OP_CLOSE:
	case WS_OP_PING:
	case WS_OP_PONG:
		return f->fin ? 0 : WS_CLOSE_PROTOCOL;
	default:
		return WS_CLOSE_PROTOCOL;
	}
}

static uint64_t
big_endian(const unsigned char *at, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++)
		value = value << 8 | at[i];
	return value;
}

/* Mask bit and length: 0 or the close code.  header_len stays 0 while bytes of them are missing. */
static uint16_t
read_length(const unsigned char *in, size_t len, struct frame *f)
{
	unsigned short_len = in[1] & 0x7F;
	size_t extended = short_len < 126 ? 0 : short_len == 126 ? 2 : 8;

	if ((in[1] & WS_MASKED) == 0 || (is_control(f->opcode) && extended > 0))
		return WS_CLOSE_PROTOCOL;
	if (len < 2 + extended)
		return 0;
	f->payload_len = extended == 0 ? short_len : big_endian(in + 2, extended);
	if ((extended == 2 && f->payload_len < 126) ||
	    (extended == 8 && f->payload_len <= UINT16_MAX) || f->payload_len > INT64_MAX)
		return WS_CLOSE_PROTOCOL;
	f->header_len = 2 + extended + WS_MASK_BYTES;
	return 0;
}

static uint16_t
read_header(
    const struct ws_decoder *d, const unsigned char *in, size_t len, size_t max, struct frame *f)
{
	uint16_t code = read_opcode(d, in[0], f);

	if (code == 0 && len > 1)
		code = read_length(in, len, f);
	if (code != 0 || f->header_len == 0 || is_control(f->opcode))
		return code;
	/* max may have become less since the last fragment. */
	if (buf_len(&d->message) > max || f->payload_len > max - buf_len(&d->message))
		return WS_CLOSE_SIZE;
	return 0;
}

static void
mask_bytes(char *at, size_t len, const unsigned char mask[WS_MASK_BYTES])
{
	unsigned char eight[8];
	uint64_t pattern, word;
	size_t i = 0;

	memcpy(eight, mask, WS_MASK_BYTES);
	memcpy(eight + WS_MASK_BYTES, mask, WS_MASK_BYTES);
	memcpy(&pattern, eight, sizeof(pattern));
	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		word ^= pattern;
		memcpy(at + i, &word, sizeof(word));
	}
	for (; i < len; i++)
		at[i] = (char)((unsigned char)at[i] ^ eight[i % sizeof(eight)]);
}

/* Those of RFC 6455 §7.4 and IANA's registry that may stand in a frame, and private ones. */
static bool
close_code_legal(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

static struct ws_unit
fail_unit(uint16_t code)
{
	return (struct ws_unit){.kind = WS_FAIL, .close_code = code, .payload = S("")};
}

static struct ws_unit
close_unit(slice payload)
{
	struct ws_unit unit = {
	    .kind = WS_CLOSE, .close_code = WS_CLOSE_NO_CODE, .payload = payload};

	if (payload.len == 0)
		return unit;
	if (payload.len == 1)
		return fail_unit(WS_CLOSE_PROTOCOL);
	unit.close_code = (uint16_t)big_endian((const unsigned char *)payload.ptr, 2);
	unit.payload = slice_of(payload.ptr + 2, payload.len - 2);
	if (!close_code_legal(unit.close_code))
		return fail_unit(WS_CLOSE_PROTOCOL);
	if (!utf8_valid(unit.payload))
		return fail_unit(WS_CLOSE_UTF8);
	return unit;
}

/* A part of a message, or the whole of one; true if it ends in a unit. */
static bool
data_unit(struct ws_decoder *d, const struct frame *f, slice payload, struct ws_unit *ret_unit)
{
	if (f->opcode == WS_OP_TEXT)
		d->utf8 = (struct utf8_state){0};
	if (!utf8_feed(&d->utf8, payload) || (f->fin && !utf8_done(&d->utf8))) {
		*ret_unit = fail_unit(WS_CLOSE_UTF8);
		return true;
	}
	if (f->fin && f->opcode == WS_OP_TEXT) {
		*ret_unit = (struct ws_unit){.kind = WS_MESSAGE, .payload = payload};
		return true;
	}
	buf_put(&d->message, payload);
	d->in_message = !f->fin;
	if (f->fin)
		*ret_unit = (struct ws_unit){.kind = WS_MESSAGE, .payload = buf_slice(&d->message)};
	return f->fin;
}

static bool
frame_unit(struct ws_decoder *d, const struct frame *f, slice payload, struct ws_unit *ret_unit)
{
	switch (f->opcode) {
	case WS_OP_CLOSE:
		*ret_unit = close_unit(payload);
		return true;
	case WS_OP_PING:
		*ret_unit = (struct ws_unit){.kind = WS_PING, .payload = payload};
		return true;
	case WS_OP_PONG:
		*ret_unit = (struct ws_unit){.kind = WS_PONG, .payload = payload};
		return true;
	default:
		return data_unit(d, f, payload, ret_unit);
	}
}

size_t
ws_next(struct ws_decoder *d, char *in, size_t len, size_t max, bool *ret_has_unit,
    struct ws_unit *ret_unit)
{
	struct frame f = {0};
	uint16_t code;

	*ret_has_unit = false;
	if (!d->in_message)
		buf_fini(&d->message);
	if (len == 0)
		return 0;
	code = read_header(d, (const unsigned char *)in, len, max, &f);
	if (code == 0 &&
	    (f.header_len == 0 || len < f.header_len || len - f.header_len < f.payload_len))
		return 0;
	*ret_has_unit = true;
	if (code != 0) {
		*ret_unit = fail_unit(code);
		return len;
	}
	memcpy(f.mask, in + f.header_len - WS_MASK_BYTES, WS_MASK_BYTES);
	mask_bytes(in + f.header_len, (size_t)f.payload_len, f.mask);
	*ret_has_unit =
	    frame_unit(d, &f, slice_of(in + f.header_len, (size_t)f.payload_len), ret_unit);
	if (*ret_has_unit && ret_unit->kind == WS_FAIL)
		return len;
	return f.header_len + (size_t)f.payload_len;
}

void
ws_decoder_fini(struct ws_decoder *d)
{
	buf_fini(&d->message);
	*d = (struct ws_decoder){0};
}

/* --- Writing --- */

size_t
ws_header(char ret_header[WS_HEADER_MAX], unsigned opcode, size_t payload_len)
{
	size_t extended = payload_len < 126 ? 0 : payload_len <= UINT16_MAX ? 2 : 8;
	uint64_t rest = payload_len;

	assert(opcode <= 15 && (!is_control(opcode) || payload_len <= WS_CONTROL_MAX));
	ret_header[0] = (char)(WS_FIN | opcode);
	ret_header[1] = (char)(extended == 0 ? payload_len : extended == 2 ? 126 : 127);
	for (size_t i = extended; i > 0; i--, rest >>= 8)
		ret_header[1 + i] = (char)(rest & 0xFF);
	return 2 + extended;
}

void
ws_put_frame(struct buf *to, unsigned opcode, slice payload)
{
	char header[WS_HEADER_MAX];

	buf_append(to, header, ws_header(header, opcode, payload.len));
	buf_put(to, payload);
}

void
ws_put_close(struct buf *to, uint16_t code, slice reason)
{
	char payload[WS_CONTROL_MAX];

	if (code == 0) {
		ws_put_frame(to, WS_OP_CLOSE, S(""));
		return;
	}
	reason = utf8_cut(reason, WS_CONTROL_MAX - 2);
	payload[0] = (char)(code >> 8);
	payload[1] = (char)(code & 0xFF);
	if (reason.len > 0)
		memcpy(payload + 2, reason.ptr, reason.len);
	ws_put_frame(to, WS_OP_CLOSE, slice_of(payload, 2 + reason.len));
}

void
ws_put_masked(struct buf *to, unsigned opcode, slice payload, const unsigned char mask[4])
{
	char header[WS_HEADER_MAX];
	size_t header_len = ws_header(header, opcode, payload.len);
	char *at;

	header[1] = (char)((unsigned char)header[1] | WS_MASKED);
	at = buf_reserve(to, header_len + WS_MASK_BYTES + payload.len);
	memcpy(at, header, header_len);
	memcpy(at + header_len, mask, WS_MASK_BYTES);
	at += header_len + WS_MASK_BYTES;
	if (payload.len > 0)
		memcpy(at, payload.ptr, payload.len);
	mask_bytes(at, payload.len, mask);
	buf_grew(to, header_len + WS_MASK_BYTES + payload.len);
}

/* --- The handshake --- */

void
ws_accept_key(slice key, char ret_accept[WS_ACCEPT_BYTES])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char joined[WS_KEY_BYTES + sizeof(guid)];
	unsigned char sha1[20], text[WS_ACCEPT_BYTES + 1];
	int done, len;

	assert(key.len == WS_KEY_BYTES);
	memcpy(joined, key.ptr, WS_KEY_BYTES);
	memcpy(joined + WS_KEY_BYTES, guid, sizeof(guid));
	done = EVP_Digest(joined, sizeof(joined) - 1, sha1, NULL, EVP_sha1(), NULL);
	if (done != 1)
		panic("OpenSSL has no SHA-1, which WebSocket needs");
	len = EVP_EncodeBlock(text, sha1, sizeof(sha1));
	assert(len == WS_ACCEPT_BYTES);
	memcpy(ret_accept, text, WS_ACCEPT_BYTES);
}

static bool
is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

bool
ws_key_valid(slice key)
{
	if (key.len != WS_KEY_BYTES || key.ptr[22] != '=' || key.ptr[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (!is_base64(key.ptr[i]))
			return false;
	return true;
}
