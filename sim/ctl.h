/* SPDX-License-Identifier: ISC */
/*
 * Talking to the daemon of a simulated machine over its socket. A request is one line of words, as is its answer:
 * "ok ..." or "error ERRNO". Requests (sim/daemon_ctl.c carries them out):
 *
 *     life DOMID ID PID        this connection stands for a process; when it closes, the owners with cookie ID are
 *                              closed. The answer comes when a process of a paused domain is stopped
 *     create DOMID FLAGS NAME  a domain (DOMID -1: the next free); answers "ok DOMID"
 *     destroy DOMID, pause DOMID, unpause DOMID, shutdown DOMID REASON, resume DOMID
 *     connect DOMID            it has been introduced to xenstored
 *     name DOMID               answers "ok NAME"
 *     status                   answers "ok" and counters as WORD=NUMBER
 *     stop                     answers, then the daemon ends
 */
#ifndef XIDS_SIM_CTL_H
#define XIDS_SIM_CTL_H

#include <xids/base.h>

#define XIDS_SIM_LINE_MAX 512u

/* Connects to the daemon of the machine in dir. A fd (close-on-exec), or a negative errno. */
int xids_sim_connect(const char *dir) XIDS_MUST_CHECK;

/* One request and its answer, without the "ok ". Returns 0, or the negative errno that came back or befell us. */
__attribute__((format(printf, 3, 4))) int xids_sim_ask(char answer[XIDS_SIM_LINE_MAX], const char *dir, const char *fmt,
                                                       ...);

#endif
