/* SPDX-License-Identifier: ISC */
/*
 * seed-p50: from the numbers of the channel (grant reference and port, as xenstore has them) to the host's 48 bytes in
 * the guest's generator: it maps the page, binds the port, reads the record that lies ready, mixes it in, and has sent
 * its HELLO. Each guest does so a few times, asking the store for the next channel in between; seed-cold-p50 has only
 * each process's first, which finds nothing in the caches. "virtio-rng" maps and binds likewise, and asks for one
 * buffer, time after time with nothing in between, which favours it; "getrandom" gives 48 bytes.
 */
#include "config.h"

#include "bench/randomd_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* Channels that a guest gets without having to wait. */
#define TIMES 4u
#define SEED 48u

struct samples {
    double *all, *cold;
    size_t n_all, n_cold;
};

static bool gather(struct samples *to, const struct suite *s,
                   bool (*run)(const struct suite *s, unsigned int guest, double *numbers))
{
    double numbers[TIMES];
    to->n_all = to->n_cold = 0;
    for (unsigned int g = 0; g < s->n_guests; g++) {
        if (!run(s, g, numbers))
            return false;
        to->cold[to->n_cold++] = numbers[0];
        for (unsigned int i = 0; i < TIMES; i++)
            to->all[to->n_all++] = numbers[i];
    }
    return true;
}

static bool run_ours(const struct suite *s, unsigned int guest, double *numbers)
{
    char times[16];
    (void)snprintf(times, sizeof(times), "%u", TIMES);
    const char *const arguments[] = {"guest", "seed", times, NULL};
    return actor_run(s, s->guests[guest], s->cpu[1], arguments, numbers, TIMES);
}

static bool run_virtio(const struct suite *s, unsigned int guest, double *numbers)
{
    char times[16];
    (void)snprintf(times, sizeof(times), "%u", TIMES);
    const char *const what[3] = {"seed", times, NULL};
    return virtio_run(s, s->guests[guest], what, numbers, TIMES);
}

static bool run_getrandom(const struct suite *s, unsigned int guest, double *numbers)
{
    unsigned char bytes[SEED];
    (void)s;
    (void)guest;
    for (unsigned int i = 0; i < TIMES; i++) {
        uint64_t start = bench_now();
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
            return false;
        numbers[i] = (double)(bench_now() - start) / 1000;
    }
    return true;
}

static bool compare(struct suite *s, struct samples samples[3])
{
    bool (*const runs[3])(const struct suite *s, unsigned int guest, double *numbers) = {run_ours, run_virtio,
                                                                                         run_getrandom};
    for (unsigned int i = 0; i < 3; i++)
        if (!gather(&samples[i], s, runs[i]))
            return false;
    const char *const names[3] = {"self", "virtio-rng", "getrandom"};
    double all[3], cold[3];
    for (unsigned int i = 0; i < 3; i++) {
        all[i] = bench_median(samples[i].all, samples[i].n_all);
        cold[i] = bench_median(samples[i].cold, samples[i].n_cold);
    }
    for (unsigned int i = 1; i < 3; i++)
        bench_row(s->b, "seed-p50", "us", BENCH_LOWER, all[0], all[i], names[i]);
    bench_row(s->b, "seed-cold-p50", "us", BENCH_LOWER, cold[0], cold[1], names[1]);
    return true;
}

bool case_seed(struct suite *s)
{
    struct samples samples[3];
    bool good = true;
    if (!bench_wanted(s->b, "seed-p50") && !bench_wanted(s->b, "seed-cold-p50"))
        return true;
    for (unsigned int i = 0; i < 3; i++) {
        samples[i].all = calloc((size_t)s->n_guests * TIMES, sizeof(double));
        samples[i].cold = calloc(s->n_guests, sizeof(double));
        good = good && samples[i].all != NULL && samples[i].cold != NULL;
    }
    good = good && compare(s, samples);
    for (unsigned int i = 0; i < 3; i++) {
        free(samples[i].all);
        free(samples[i].cold);
    }
    if (!good)
        (void)fputs("bench randomd: seed-p50 failed\n", stderr);
    return good;
}
