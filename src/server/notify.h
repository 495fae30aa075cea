/* SPDX-License-Identifier: MIT */
/*
 * Telling whoever started us how we are: systemd's readiness protocol (sd_notify(3)), without its
 * library.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Sends "READY=1" and the like to $NOTIFY_SOCKET; does nothing where there is none.  Errors don't
 * matter. */
void notify_send(const char *state);

#endif
