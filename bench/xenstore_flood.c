/* SPDX-License-Identifier: ISC */
/* Guests that read in turns over their rings, with and without one among them that asks as much as its ring holds. */
#include "config.h"

#include "bench/xenstore_rings.h"
#include "bench/xenstore_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define GUESTS 100u
#define FLOODER (GUESTS - 1)

static struct guest guests[GUESTS];
static struct xids_sim_machine machine;
static uint64_t asked[GUESTS];

struct samples {
    double *us;
    unsigned int count, cap;
};

static void ask_guest(unsigned int i, const uint8_t *out, size_t len)
{
    asked[i] = bench_now();
    must(guest_put(&guests[i], out, len));
    guest_notify(&machine, &guests[i]);
}

/* The ring is filled whenever there is room, as by a guest with a processor of its own. */
static void flood(const uint8_t *out, size_t len)
{
    struct guest *g = &guests[FLOODER];
    bool any = false;
    (void)guest_take(g);
    while (guest_put(g, out, len))
        any = true;
    if (any)
        guest_notify(&machine, g);
}

/* Answers to guest i: its time is noted and it asks again. */
static void heard(unsigned int i, struct samples *s, const uint8_t *out, size_t len)
{
    guest_hear(&machine, &guests[i]);
    if (i == FLOODER || guest_take(&guests[i]) == 0)
        return;
    if (s->count < s->cap)
        s->us[s->count++] = (double)(bench_now() - asked[i]) / 1e3;
    ask_guest(i, out, len);
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* So many requests of the 99; the 99th percentile of how long they took, in microseconds. */
static double measure(const struct load *l, bool flooded)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX], more[XIDS_XSWIRE_MESSAGE_MAX];
    static const char own[] = "data/flood\0" BENCH_VALUE;
    static struct answers a;
    struct samples s = {.cap = l->count};
    struct epoll_event events[GUESTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    size_t len = request(out, XS_READ, 0, "data", 5), more_len = request(more, XS_WRITE, 0, own, sizeof(own) - 1);
    s.us = calloc(s.cap, sizeof(*s.us));
    must(epoll >= 0 && s.us != NULL);
    machine_join(&machine, l->peer);
    dial(&a, l->peer);
    for (unsigned int i = 0; i < GUESTS; i++) {
        char payload[64];
        guest_make(&machine, &a, &guests[i], true);
        int n = snprintf(payload, sizeof(payload), "/local/domain/%u/data", guests[i].domid);
        must(n > 0 && ask_path(&a, XS_MKDIR, payload) == XS_MKDIR);
        n = snprintf(payload, sizeof(payload), "/local/domain/%u/data%cn%u", guests[i].domid, 0, guests[i].domid);
        must(ask(&a, XS_SET_PERMS, 0, payload, (size_t)n + 1, NULL) == XS_SET_PERMS);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        must(epoll_ctl(epoll, EPOLL_CTL_ADD, guests[i].queue, &e) == 0);
    }
    for (unsigned int i = 0; i < FLOODER; i++)
        ask_guest(i, out, len);
    while (s.count < s.cap) {
        if (flooded)
            flood(more, more_len);
        int n = epoll_wait(epoll, events, GUESTS, -1);
        for (int i = 0; i < n; i++)
            heard(events[i].data.u32, &s, out, len);
    }
    for (unsigned int i = 0; i < GUESTS; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/local/domain/%u", guests[i].domid);
        guest_end(&machine, &a, &guests[i]);
        (void)ask_path(&a, XS_RM, path);
    }
    (void)close(epoll);
    hang_up(&a);
    machine_leave(&machine);
    qsort(s.us, s.count, sizeof(*s.us), by_size);
    double p99 = s.us[s.count - 1 - s.count / 100];
    free(s.us);
    return p99;
}

static double run_flooded(void *ctx)
{
    return measure(ctx, true);
}

static double run_calm(void *ctx)
{
    return measure(ctx, false);
}

void case_flood(struct suite *s)
{
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = 0;
    unsigned int count = few(s, 20000, 2000);
    add_side(s, loads, sides, &n, &s->ours, "ours", run_flooded, count);
    add_side(s, loads, sides, &n, &s->ours, "self", run_calm, count);
    (void)bench_compare(s->b, "flood-p99", "us", BENCH_LOWER, ROUNDS, sides, n);
}
