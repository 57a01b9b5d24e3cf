/* SPDX-License-Identifier: ISC */
/*
 * pull32-rate and bulk: what the engines and the ring themselves take. Both ends run in turn on one CPU in one process,
 * over a hypervisor in its memory, so that a notification costs next to nothing: the guest's client asks for 32 bytes
 * at a time, or for 64 KiB, and has always more to ask; the server answers as it would in the daemon, and remembers
 * what it has given out. The figure counts the work of both ends, and the time that they had the CPU, as getrandom's
 * does.
 */
#include "config.h"

#include "bench/randomd_suite.h"
#include "randomd/canary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xids/model.h>
#include <xids/randomd_vchan.h>

#define SHORT 32u
#define LONG (1u << 16)
#define SHORT_PULLS 16u /* at once: never a lack of wishes */
#define LONG_PULLS 2u
#define MEASURE_NS 200000000u
#define MEASURE_QUICK_NS 10000000u

struct ring {
    struct xids_model *model;
    struct xids_vchan *server, *guest;
    struct xids_randomd_session *session;
    struct xids_randomd_client *client;
    void *session_memory, *client_memory;
    uint8_t *buffer;
    struct canary *canary;
    struct xids_randomd_pull pulls[SHORT_PULLS];
    uint64_t done; /* pulls */
};

struct load {
    struct suite *s;
    unsigned int pulls;
    size_t len;
    double per; /* bytes or pulls a nanosecond make so many units */
};

static int from_kernel(void *ctx, uint8_t *bytes, size_t len)
{
    (void)ctx;
    return getrandom(bytes, len, 0) == (ssize_t)len ? 0 : -XEN_EIO;
}

/* As the daemon does with each answer. */
static bool unseen(void *ctx, const uint8_t *bytes, size_t len, bool first)
{
    return canary_unseen(ctx, bytes, len, first);
}

/* The same wish again. */
static void again(void *ctx, struct xids_randomd_pull *pull)
{
    struct ring *r = ctx;
    if (pull->status == 0 && xids_randomd_client_pull(r->client, pull) == 0)
        r->done++;
}

static bool ring_open(struct ring *r, const struct load *l)
{
    struct xids_randomd_client_config of_client;
    uint8_t key[16];
    memset(&of_client, 0, sizeof(of_client));
    *r = (struct ring){.model = xids_model_new(1, 0), .canary = aligned_alloc(64, sizeof(*r->canary))};
    const struct xids_randomd_session_config of_session = {
        .source = from_kernel, .unseen = unseen, .unseen_ctx = r->canary};
    struct xids_platform *dom0 = r->model != NULL ? xids_model_domain_create(r->model, 0) : NULL;
    struct xids_platform *dom1 = dom0 != NULL ? xids_model_domain_create(r->model, 1) : NULL;
    r->server = malloc(xids_vchan_size());
    r->guest = malloc(xids_vchan_size());
    r->session_memory = malloc(xids_randomd_session_size());
    r->client_memory = malloc(xids_randomd_client_size());
    r->buffer = malloc(l->pulls * l->len);
    if (dom1 == NULL || r->server == NULL || r->guest == NULL || r->session_memory == NULL ||
        r->client_memory == NULL || r->buffer == NULL || r->canary == NULL || from_kernel(NULL, key, sizeof(key)) < 0)
        return false;
    memset(r->canary, 0, sizeof(*r->canary));
    canary_key(r->canary, key);
    uint64_t now = bench_now();
    if (xids_randomd_session_init(&r->session, r->session_memory, xids_randomd_session_size(), &of_session, now) < 0 ||
        xids_randomd_client_init(&r->client, r->client_memory, xids_randomd_client_size(), &of_client, now) < 0 ||
        xids_randomd_session_offer(r->session, r->server, dom0, 1, now) < 0 ||
        xids_vchan_client_init(r->guest, dom1, 0, xids_vchan_ring_ref(r->server), xids_vchan_port(r->server),
                               XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH) < 0)
        return false;
    xids_randomd_client_connected(r->client, now);
    for (unsigned int i = 0; i < l->pulls; i++) {
        r->pulls[i].to = r->buffer + i * l->len;
        r->pulls[i].len = l->len;
        r->pulls[i].done = again;
        r->pulls[i].ctx = r;
        if (xids_randomd_client_pull(r->client, &r->pulls[i]) < 0)
            return false;
    }
    return true;
}

/* Its process ends soon: what is only memory needs no care beyond that. */
static void ring_close(struct ring *r)
{
    for (unsigned int i = 0; i < SHORT_PULLS; i++)
        r->pulls[i].done = NULL;
    xids_randomd_client_fini(r->client);
    xids_randomd_session_fini(r->session);
    xids_model_free(r->model);
    free(r->server);
    free(r->guest);
    free(r->session_memory);
    free(r->client_memory);
    free(r->buffer);
    free(r->canary);
}

static bool turn(struct ring *r)
{
    uint64_t now = bench_now();
    return xids_randomd_client_serve(r->client, r->guest, now) >= 0 &&
           xids_randomd_session_serve(r->session, r->server, now) >= 0;
}

/* Of this thread, in ns: what others do on the CPU meanwhile does not count. */
static uint64_t cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t measured_for(const struct load *l)
{
    return bench_quick(l->s->b) ? MEASURE_QUICK_NS : MEASURE_NS;
}

static double run_ring(void *ctx)
{
    const struct load *l = ctx;
    struct ring r;
    bool good = ring_open(&r, l);
    while (good && r.done < l->pulls)
        good = turn(&r);
    uint64_t start = cpu_now(), before = r.done, end = bench_now() + measured_for(l);
    while (good && bench_now() < end)
        good = turn(&r);
    double figure = (double)(r.done - before) * l->per / (double)(cpu_now() - start);
    ring_close(&r);
    return good ? figure : -1;
}

static double run_getrandom(void *ctx)
{
    const struct load *l = ctx;
    uint8_t *bytes = malloc(l->len);
    uint64_t start = cpu_now(), done = 0, end = bench_now() + measured_for(l);
    bool good = bytes != NULL;
    while (good && bench_now() < end) {
        good = getrandom(bytes, l->len, 0) == (ssize_t)l->len;
        done++;
    }
    double figure = (double)done * l->per / (double)(cpu_now() - start);
    free(bytes);
    return good ? figure : -1;
}

static double run_virtio(void *ctx)
{
    const struct load *l = ctx;
    double mean = virtio_measure(l->s, (unsigned int)l->len, l->len == SHORT ? 2000 : 1).mean;
    return mean < 0 ? -1 : l->per / mean / 1000;
}

static void compare(struct suite *s, const char *name, const char *unit, struct load *l)
{
    const struct bench_side sides[] = {
        {"self", run_ring, l},
        {"virtio-rng", run_virtio, l},
        {"getrandom", run_getrandom, l},
    };
    bench_compare(s->b, name, unit, BENCH_HIGHER, bench_quick(s->b) ? 1 : ROUNDS, sides,
                  sizeof(sides) / sizeof(sides[0]));
}

void case_ring(struct suite *s)
{
    struct load rate = {s, SHORT_PULLS, SHORT, 1000};
    struct load bulk = {s, LONG_PULLS, LONG, LONG};
    compare(s, "pull32-rate", "M/s", &rate);
    compare(s, "bulk", "GB/s", &bulk);
}
