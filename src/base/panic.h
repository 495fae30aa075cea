/* SPDX-License-Identifier: MIT */
/*
 * The end of the process when going on would be worse: says why on stderr and aborts.  Asserts stay
 * on in release builds.  OBJ_CHECK guards the cast of a callback's cookie.
 */
#ifndef BASE_PANIC_H
#define BASE_PANIC_H

#include <assert.h>

#ifdef NDEBUG
#error "asserts are part of the program: do not define NDEBUG"
#endif

#define OBJ_CHECK(obj, want) assert((obj) != NULL && (obj)->magic == (want))

/* printf-like; one line on stderr, then abort().  Any thread. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
