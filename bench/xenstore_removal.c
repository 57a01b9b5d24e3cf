/* SPDX-License-Identifier: ISC */
/* What the death of a domain costs in a large store. */
#include "config.h"

#include "bench/xenstore_rings.h"
#include "bench/xenstore_suite.h"

#include <stdio.h>
#include <string.h>

#define OWNED 100u

static uint16_t owner;

/* What lies below a domain's own directory is the domain's. */
static size_t make_owned(uint8_t *out, unsigned int i)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "/local/domain/%u/data/%u%cvalue", owner, i, 0);
    must(n > 0);
    return request(out, XS_WRITE, 0, payload, (size_t)n);
}

static void own_directory(struct answers *a)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "/local/domain/%u/data", owner);
    must(n > 0 && ask_path(a, XS_MKDIR, payload) == XS_MKDIR);
    n = snprintf(payload, sizeof(payload), "/local/domain/%u/data%cn%u", owner, 0, owner);
    must(ask(a, XS_SET_PERMS, 0, payload, (size_t)n + 1, NULL) == XS_SET_PERMS);
}

/* The daemon's CPU time in milliseconds from RELEASE until it has nothing more to do. */
static double run_destroy(void *ctx)
{
    static struct answers a;
    const struct load *l = ctx;
    struct xids_sim_machine m;
    struct guest g;
    char text[32];
    machine_join(&m, l->peer);
    dial(&a, l->peer);
    guest_make(&m, &a, &g, false);
    owner = g.domid;
    own_directory(&a);
    pipeline(&a, OWNED - 1, make_owned);
    (void)snprintf(text, sizeof(text), "%u", owner);
    uint64_t cpu = peer_cpu_settled(l->peer);
    must(ask_path(&a, XS_RELEASE, text) == XS_RELEASE);
    cpu = peer_cpu_settled(l->peer) - cpu;
    (void)snprintf(text, sizeof(text), "/local/domain/%u/data", owner);
    must(ask_path(&a, XS_READ, text) == XS_ERROR);
    (void)snprintf(text, sizeof(text), "/local/domain/%u", owner);
    (void)ask_path(&a, XS_RM, text);
    hang_up(&a);
    guest_destroy(&m, &g);
    machine_leave(&m);
    return (double)cpu / 1e6;
}

void case_destroy(struct suite *s)
{
    static const char name[] = "domain-destroy-100k";
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    if (!bench_wanted(s->b, name))
        return;
    size_t n = all_sides(s, loads, sides, run_destroy, 1, 1);
    for (size_t i = 0; i < n; i++)
        others_make(s, loads[i].peer);
    (void)bench_compare(s->b, name, "ms of CPU", BENCH_LOWER, ROUNDS, sides, n);
    for (size_t i = 0; i < n; i++)
        others_remove(loads[i].peer);
}
