/* SPDX-License-Identifier: MIT */
/*
 * Text from outside as errors show it: in quotes, escaped, cut, and without what may be a password.
 * An address that was mistyped can't be taken apart, so only its scheme is shown.
 */
#ifndef SERVER_SHOWN_H
#define SERVER_SHOWN_H

#include "base/slice.h"

enum { SHOWN_BYTES = 80 };

/* address: it was meant to be one; other text is taken for one if it looks like it. */
const char *shown(slice text, bool address, char ret_shown[SHOWN_BYTES]);

#endif
