/* SPDX-License-Identifier: MIT */
/* The grammar of names, kinds and texts.  Pure functions; texts are well-formed UTF-8 already. */
#ifndef CHAT_NAMES_H
#define CHAT_NAMES_H

#include "base/slice.h"

enum {
	NAME_MAX_BYTES = 32,
	DISPLAY_MAX_CHARS = 64,
	DEVICE_MAX_CHARS = 64,
	STATUS_MAX_CHARS = 256,
	NOTE_MAX_CHARS = 256,
	PRESENCE_MAX_CHARS = 128,
	TITLE_MAX_CHARS = 128,
	TOPIC_MAX_CHARS = 512,
	CMID_MAX_BYTES = 64,
	KIND_MAX_BYTES = 32,
	PASSWORD_MIN_CHARS = 8,
	PASSWORD_MAX_BYTES = 1024
};

/*
 * Folds ASCII letters to lower case into ret_name and checks the grammar: 2 to 32 of a-z 0-9 _ . -,
 * beginning with a letter or digit.  *ret_folded points into ret_name.
 */
bool name_fold(slice name, char ret_name[NAME_MAX_BYTES], slice *ret_folded);
/* all, deleted, everyone, here, server. */
bool name_reserved(slice folded);
/* "text", or "x-" and up to 30 of a-z 0-9 -. */
bool kind_valid_message(slice kind);
/* "typing", or "x-…" as above. */
bool kind_valid_signal(slice kind);
/* min to max code points, no control characters. */
bool text_valid(slice text, size_t min_chars, size_t max_chars);
/* Long enough and not on the list of common ones. */
bool password_strong(slice password);

#endif
