/* SPDX-License-Identifier: MIT */
/* Asking a person for a password, without showing it. */
#ifndef SERVER_PROMPT_H
#define SERVER_PROMPT_H

#include <stddef.h>

enum { PROMPT_MAX_BYTES = 1024 };

/*
 * Asks on the terminal, whatever stdin and stdout are.  0 with the text, ended by a zero, or -1
 * with a message for people; an interrupt ends the program with the terminal as it was.
 */
int prompt_password(const char *question, char ret_text[PROMPT_MAX_BYTES + 1], char *ret_error,
    size_t error_size) __attribute__((warn_unused_result));
/* One line of stdin. */
int prompt_stdin(char ret_text[PROMPT_MAX_BYTES + 1], char *ret_error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
