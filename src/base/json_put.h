/* SPDX-License-Identifier: MIT */
/*
 * Writing JSON (RFC 8259) to the end of a buffer.  Brackets are the writer's business, and so are commas
 * where json_key() and json_comma() do not put them.
 */
#ifndef BASE_JSON_PUT_H
#define BASE_JSON_PUT_H

#include "base/buf.h"

/* A string in quotes; escapes what RFC 8259 demands, and U+2028/2029; text must be UTF-8. */
void json_put_string(struct buf *to, slice text);
void json_put_int(struct buf *to, int64_t value);
void json_put_uint(struct buf *to, uint64_t value);
/* `"key":` with a comma in front unless what stands before is an opening bracket or nothing. */
void json_key(struct buf *to, const char *key);
void json_str(struct buf *to, const char *key, slice value);
void json_uint(struct buf *to, const char *key, uint64_t value);
void json_bool(struct buf *to, const char *key, bool value);
/* A member whose value is JSON already. */
void json_raw(struct buf *to, const char *key, slice json);
/* A comma unless what stands before is an opening bracket or nothing: before an array's element. */
void json_comma(struct buf *to);

#endif
