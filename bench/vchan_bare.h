/* SPDX-License-Identifier: ISC */
/*
 * The least that two CPUs can do to pass bytes through shared memory: two rings, an index of each side in a cache line
 * of its own, published as often as vchan publishes, and nothing else: no check, no event, no sleep. What a channel
 * takes beyond it is the protocol; what this takes is the machine's moving of cache lines.
 */
#ifndef XIDS_BENCH_VCHAN_BARE_H
#define XIDS_BENCH_VCHAN_BARE_H

#include <stdbool.h>
#include <stdint.h>

struct bare;

/* A descriptor of memory for both rings, or -1. */
int bare_make(uint32_t ring_order);
/* One end of it, or NULL. Lives as long as the process. */
struct bare *bare_open(int fd, uint32_t ring_order, bool server);
/* All of it. */
void bare_put(struct bare *b, const uint8_t *data, uint32_t len);
/* At least one byte, at most len. */
uint32_t bare_get(struct bare *b, uint8_t *data, uint32_t len);
/* Publishes what is gathered. */
void bare_flush(struct bare *b);

#endif
