/* SPDX-License-Identifier: ISC */
/* What a request costs when there is much else: children, watches, idle domains. */
#include "config.h"

#include "bench/xenstore_rings.h"
#include "bench/xenstore_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct answers conn;

/* ---- children ---- */

#define CHILDREN 20000u
#define SOME 1000u

/*
 * Creating children of one directory, one after the other: the daemon's CPU time in microseconds for one of the last
 * SOME, and, in also, of the first SOME.
 */
static double run_children(void *ctx)
{
    struct load *l = ctx;
    unsigned int some = l->count < SOME * 2 ? l->count / 2 : SOME;
    client_joins();
    dial(&conn, l->peer);
    uint64_t start = peer_cpu(l->peer), first = 0;
    for (unsigned int i = 0; i < l->count; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/bench/children/%u", i);
        if (i == some)
            first = peer_cpu(l->peer) - start;
        if (i == l->count - some)
            start = peer_cpu(l->peer);
        must(ask_path(&conn, XS_MKDIR, path) == XS_MKDIR);
    }
    uint64_t last = peer_cpu(l->peer) - start;
    client_leaves();
    (void)ask_path(&conn, XS_RM, "/bench/children");
    hang_up(&conn);
    if (l->rounds < ROUNDS)
        l->also[l->rounds++] = (double)first / 1e3 / some;
    return (double)last / 1e3 / some;
}

/* The first children that ours created in the same round. */
static double run_first_children(void *ctx)
{
    const struct load *l = ctx;
    const struct load *ours = l - 1;
    return ours->also[ours->rounds - 1];
}

void case_children(struct suite *s)
{
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = 0;
    unsigned int count = few(s, CHILDREN, 500);
    add_side(s, loads, sides, &n, &s->ours, "ours", run_children, count);
    add_side(s, loads, sides, &n, &s->ours, "self", run_first_children, count);
    add_side(s, loads, sides, &n, &s->c, s->c.name, run_children, count);
    add_side(s, loads, sides, &n, &s->oxenstored, s->oxenstored.name, run_children, count);
    (void)bench_compare(s->b, "child-20000", "us of CPU", BENCH_LOWER, ROUNDS, sides, n);
}

/* ---- the daemon's time for a WRITE ---- */

#define WRITES 20000u
#define PATIENCE_NS 1000000000u

static size_t make_write(uint8_t *out, unsigned int i)
{
    static const char payload[] = "/bench/value\0" BENCH_VALUE;
    (void)i;
    return request(out, XS_WRITE, 0, payload, sizeof(payload) - 1);
}

/* CPU time in microseconds for one: of so many, or of as many as fit into a second. */
static double write_cost(const struct peer *p, unsigned int count)
{
    unsigned int done = 0;
    dial(&conn, p);
    uint64_t cpu = peer_cpu_settled(p), start = bench_now();
    for (; done < count && bench_now() - start < PATIENCE_NS; done += WINDOW)
        pipeline(&conn, WINDOW, make_write);
    cpu = peer_cpu_settled(p) - cpu;
    hang_up(&conn);
    return (double)cpu / 1e3 / done;
}

static double run_write_cost(void *ctx)
{
    const struct load *l = ctx;
    return write_cost(l->peer, l->count);
}

/* ---- watches ---- */

#define WATCHES 10000u

static size_t make_watch(uint8_t *out, unsigned int i)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "/bench/unrelated/%u%ct%u", i, 0, i);
    must(n > 0);
    return request(out, XS_WATCH, 0, payload, (size_t)n + 1);
}

static double run_write_cost_watched(void *ctx)
{
    const struct load *l = ctx;
    static struct answers watcher;
    dial(&watcher, l->peer);
    pipeline(&watcher, few(l->suite, WATCHES, 200), make_watch);
    double cost = write_cost(l->peer, l->count);
    hang_up(&watcher);
    return cost;
}

void case_watches(struct suite *s)
{
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = 0;
    unsigned int count = few(s, WRITES, WINDOW);
    add_side(s, loads, sides, &n, &s->ours, "ours", run_write_cost_watched, count);
    add_side(s, loads, sides, &n, &s->ours, "self", run_write_cost, count);
    add_side(s, loads, sides, &n, &s->c, s->c.name, run_write_cost_watched, count);
    add_side(s, loads, sides, &n, &s->oxenstored, s->oxenstored.name, run_write_cost_watched, count);
    (void)bench_compare(s->b, "write-watches-10000", "us of CPU", BENCH_LOWER, ROUNDS, sides, n);
}

/* ---- idle domains ---- */

static void fill(const struct suite *s, const struct peer *p, unsigned int count)
{
    struct xids_sim_machine m;
    if (p->name == NULL)
        return;
    machine_join(&m, p);
    dial(&conn, p);
    must(ask(&conn, XS_WRITE, 0, bench_path, strlen(bench_path) + 1, NULL) == XS_WRITE);
    for (unsigned int i = 0; i < few(s, count, 20); i++) {
        struct guest g;
        guest_make(&m, &conn, &g, false);
    }
    hang_up(&conn);
    machine_leave(&m);
}

void case_idle_domains(struct suite *s)
{
    static const char name[] = "write-idle-domains-4000";
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = 0;
    if (!bench_wanted(s->b, name) || s->ours_full.name == NULL)
        return;
    fill(s, &s->ours_full, 4000);
    fill(s, &s->c_full, 1000); /* more would take it minutes */
    add_side(s, loads, sides, &n, &s->ours_full, "ours", run_write_cost, few(s, WRITES, WINDOW));
    add_side(s, loads, sides, &n, &s->ours, "self", run_write_cost, few(s, WRITES, WINDOW));
    add_side(s, loads, sides, &n, &s->c_full, s->c_full.name, run_write_cost, few(s, WRITES, WINDOW));
    (void)bench_compare(s->b, name, "us of CPU", BENCH_LOWER, ROUNDS, sides, n);
}
