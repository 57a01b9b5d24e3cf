/* SPDX-License-Identifier: ISC */
/*
 * How long the same piece of work takes, each time a little differently: caches, other CPUs, interrupts and clocks that
 * are not in step. A sample is the low byte of the difference of two readings of the clock. Who has the same machine
 * can guess much of it, so little is claimed.
 */
#include "randomd/daemon.h"

#include <time.h>

#define PLACES 4096u /* of memory that the work reads and writes, 64 bytes apart: more than the first cache holds */
#define STEPS 64u

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t (*source_jitter_clock)(void) = clock_ns;

/* The places are a secret of no one: how long it takes to reach them is what counts. */
static uint64_t work(uint64_t from)
{
    static volatile uint8_t places[PLACES * 64];
    for (unsigned int i = 0; i < STEPS; i++) {
        from = from * 6364136223846793005ull + 1442695040888963407ull;
        size_t at = (size_t)(from >> 33) % PLACES * 64;
        places[at] = (uint8_t)(places[at] + 1);
    }
    return from;
}

static int jitter_open(struct source_io *io)
{
    io->sent = 0;
    return 0;
}

static int jitter_read(struct source_io *io, uint8_t *buf, size_t len)
{
    uint64_t last = source_jitter_clock(), state = last;
    for (size_t i = 0; i < len; i++) {
        state = work(state + io->sent++);
        uint64_t now = source_jitter_clock();
        if (now < last)
            return source_fail(io, -XEN_EIO, "the clock goes back");
        buf[i] = (uint8_t)(now - last);
        last = now;
    }
    return (int)len;
}

const struct source_type source_jitter = {
    .name = "jitter",
    .kind = XIDS_HEALTH_BYTES,
    .claim = XIDS_HEALTH_BIT / 2,
    .claim_max = 8 * XIDS_HEALTH_BIT,
    .batch = 256,
    .open = jitter_open,
    .read = jitter_read,
    .close = source_close,
};
