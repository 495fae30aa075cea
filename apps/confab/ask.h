/* SPDX-License-Identifier: MIT */
/* Questions to the person at the terminal. */
#ifndef CONFAB_ASK_H
#define CONFAB_ASK_H

#include "base/buf.h"

/* stdin and stdout are terminals. */
bool ask_possible(void);
/* One line, without its end; false at the end of the input, or when a signal came. */
bool ask_line(const char *question, struct buf *ret_answer);
/* The same, from the controlling terminal and not shown. */
bool ask_secret(const char *question, struct buf *ret_answer);
/* Wipes and frees. */
void ask_forget(struct buf *secret);

#endif
