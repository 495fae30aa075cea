/* SPDX-License-Identifier: MIT */
/*
 * Logging: one line an event in logfmt, `time level module event key=value …`, to stderr or a file.
 * A line goes into a bounded ring and a thread of its own writes it, so that no caller waits for a
 * disk; when the ring is full the line is dropped and counted.  Repeats of one event are limited to
 * 10 a second for each module and event; what was left out is told by the next one as
 * `suppressed=N`. Text from a peer is quoted, escaped and cut by log_text().  No secrets, no
 * message bodies.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Starts the thread.  path NULL: stderr.  0, or -1 with errno where the file can't be opened. */
int log_start(const char *path, enum log_level level) __attribute__((warn_unused_result));
/* Opens the file anew (after logrotate) and takes the level over; any thread. */
void log_reopen(enum log_level level);
/* Writes out what is queued and ends the thread. */
void log_stop(void);
/* Lines dropped because the ring was full. */
uint64_t log_dropped(void);

/* format gives the key=value part, may be "".  Before log_start() lines go to stderr at once. */
void log_event(enum log_level level, const char *module, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(module, event, ...) log_event(LOG_ERROR, module, event, __VA_ARGS__)
#define log_warn(module, event, ...) log_event(LOG_WARN, module, event, __VA_ARGS__)
#define log_info(module, event, ...) log_event(LOG_INFO, module, event, __VA_ARGS__)
#define log_debug(module, event, ...) log_event(LOG_DEBUG, module, event, __VA_ARGS__)

/* Peer's text made fit for a log line: in quotes, escaped, at most size - 1 bytes; returns
 * ret_text. */
const char *log_text(slice text, char *ret_text, size_t size);

#endif
