/* SPDX-License-Identifier: ISC */
/*
 * What no store can beat: a server that waits with epoll, reads once, and answers each request with bytes made
 * beforehand, of the length that a store's answer has.
 */
#ifndef XIDS_BENCH_XENSTORE_ECHO_H
#define XIDS_BENCH_XENSTORE_ECHO_H

#include "bench/xenstore_peer.h"

/* Starts it as a process of its own, which ends with ours; READ is answered with value. */
void echo_start(struct peer *p, const char *dir, const char *value);
void echo_stop(struct peer *p);

#endif
