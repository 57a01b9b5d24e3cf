/* SPDX-License-Identifier: ISC */
/*
 * pull32-p50: from the guest's asking for 32 bytes to its having them, with nothing else under way. bulk-daemon: pulls
 * of 1 MiB. Both through the daemon, which has a CPU of its own where there are two.
 */
#include "config.h"

#include "bench/randomd_suite.h"

#include <stdio.h>
#include <sys/random.h>

#define PULLS 5000u
#define PULLS_QUICK 100u
#define BULKS 16u
#define BULKS_QUICK 1u

static unsigned int pulls(const struct suite *s)
{
    return bench_quick(s->b) ? PULLS_QUICK : PULLS;
}

static double run_guest(const struct suite *s, const char *what, unsigned int times)
{
    char count[16];
    (void)snprintf(count, sizeof(count), "%u", times);
    const char *const arguments[] = {"guest", what, count, NULL};
    double figure;
    return actor_run(s, s->guests[0], s->cpu[1], arguments, &figure, 1) ? figure : -1;
}

static double run_ours(void *ctx)
{
    const struct suite *s = ctx;
    return run_guest(s, "pull", pulls(s));
}

static double run_bulk(void *ctx)
{
    const struct suite *s = ctx;
    return run_guest(s, "bulk", bench_quick(s->b) ? BULKS_QUICK : BULKS);
}

static double run_virtio_bulk(void *ctx)
{
    const struct suite *s = ctx;
    double us = virtio_measure(s, 1u << 16, 1).mean;
    return us < 0 ? -1 : (double)(1u << 16) / us / 1000;
}

static double run_virtio(void *ctx)
{
    const struct suite *s = ctx;
    return virtio_measure(s, 32, pulls(s)).median;
}

/* Too short for the clock: the mean. */
static double run_getrandom(void *ctx)
{
    unsigned char bytes[32];
    (void)ctx;
    uint64_t start = bench_now();
    for (unsigned int i = 0; i < PULLS; i++)
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
            return -1;
    return (double)(bench_now() - start) / 1000 / PULLS;
}

void case_pull(struct suite *s)
{
    const struct bench_side sides[] = {
        {"self", run_ours, s},
        {"virtio-rng", run_virtio, s},
        {"getrandom", run_getrandom, s},
    };
    bench_compare(s->b, "pull32-p50", "us", BENCH_LOWER, bench_quick(s->b) ? 1 : ROUNDS, sides,
                  sizeof(sides) / sizeof(sides[0]));
    const struct bench_side bulk[] = {
        {"self", run_bulk, s},
        {"virtio-rng", run_virtio_bulk, s},
    };
    bench_compare(s->b, "bulk-daemon", "GB/s", BENCH_HIGHER, bench_quick(s->b) ? 1 : ROUNDS, bulk,
                  sizeof(bulk) / sizeof(bulk[0]));
}
