/* SPDX-License-Identifier: ISC */
/* pull32-p50: from the guest's asking for 32 bytes to its having them, with nothing else under way. */
#include "config.h"

#include "bench/randomd_suite.h"

#include <stdio.h>
#include <sys/random.h>

#define PULLS 5000u
#define PULLS_QUICK 100u

static unsigned int pulls(const struct suite *s)
{
    return bench_quick(s->b) ? PULLS_QUICK : PULLS;
}

static double run_ours(void *ctx)
{
    const struct suite *s = ctx;
    char count[16];
    (void)snprintf(count, sizeof(count), "%u", pulls(s));
    const char *const arguments[] = {"guest", "pull", count, NULL};
    double us;
    return actor_run(s, s->guests[0], s->cpu[1], arguments, &us, 1) ? us : -1;
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
}
