/* SPDX-License-Identifier: ISC */
/*
 * Counts the system calls that a channel costs a process on Xen: every xenevtchn_notify, xenevtchn_pending and
 * xenevtchn_unmask (an ioctl, a read and a write of /dev/xen/evtchn) and every poll and ppoll of whoever waits for
 * events. Moving bytes makes no others, in either library. These functions stand in the program and so win over the
 * libraries' of the same names, for both contenders alike; each counts and then calls the library's. What the
 * simulator's stand-ins do within is not counted.
 */
#ifndef XIDS_BENCH_VCHAN_CALLS_H
#define XIDS_BENCH_VCHAN_CALLS_H

#include <stdint.h>

/* So far in this process. */
uint64_t calls_made(void);

#endif
