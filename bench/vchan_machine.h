/* SPDX-License-Identifier: ISC */
/*
 * The least machine on which two processes can hold a vchan: shared memory for grants, an eventfd per side for event
 * channels, two numbers for xenstore. Both contenders run on it: xids through struct xids_platform, the real
 * libxenvchan through the functions of libxenevtchn, libxengnttab and libxenstore, which this file defines and which
 * therefore win over the libraries'. What is measured is the channel code, not a simulator.
 */
#ifndef XIDS_BENCH_VCHAN_MACHINE_H
#define XIDS_BENCH_VCHAN_MACHINE_H

#include <xids/platform.h>

/* Starts over; call before each run, in the parent. 0 or -1. */
int machine_start(void);
void machine_stop(void);

/* Which side this process is: 0, the server, in the parent; 1 in the child. */
void machine_be(int side);

const struct xids_platform *machine_platform(void);

/* Sleeps until our event channel fires. */
void machine_nap(void);

/* System calls for event channels so far, of both sides. */
uint64_t machine_calls(void);

#endif
