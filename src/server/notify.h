/* SPDX-License-Identifier: MIT */
/*
 * Talking with whoever started us: systemd's readiness protocol (sd_notify(3)) and the descriptors
 * it hands over (sd_listen_fds(3)), without its library.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Sends "READY=1" and the like to $NOTIFY_SOCKET; does nothing where there is none.  Errors don't
 * matter. */
void notify_send(const char *state);
/*
 * How many listening sockets were handed over, from descriptor 3 on; 0 where they are not meant for
 * this process.  Marks them close-on-exec and takes the variables out of the environment.  Before
 * any thread.
 */
unsigned notify_inherited(void);

#endif
