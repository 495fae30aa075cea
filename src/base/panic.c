/* SPDX-License-Identifier: MIT */
#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
panic(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("panic: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}
