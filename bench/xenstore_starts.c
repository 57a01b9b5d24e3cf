/* SPDX-License-Identifier: ISC */
/* Clients that start VMs at the same time, each again and again: a transaction of 33 requests below one parent. */
#include "config.h"

#include "bench/xenstore_script.h"
#include "bench/xenstore_suite.h"

#define STARTS 32u
#define REQUESTS 33u

static void write_start(struct script *s, unsigned int number, bool lists)
{
    script_begin(s);
    if (lists)
        script_add(s, XS_DIRECTORY, NULL, 0, "/bench/vm");
    script_add(s, XS_RM, NULL, 0, "/bench/vm/%u", number);
    for (unsigned int i = 0; s->count < REQUESTS - 1; i++)
        script_add(s, XS_WRITE, BENCH_VALUE, sizeof(BENCH_VALUE) - 1, "/bench/vm/%u/device/%u", number, i);
    script_end(s);
}

static double run(struct load *l, bool lists, double seconds)
{
    static struct answers a;
    struct script scripts[STARTS] = {{0}};
    struct outcome o;
    dial(&a, l->peer);
    must(ask_path(&a, XS_MKDIR, "/bench/vm") == XS_MKDIR);
    for (unsigned int i = 0; i < STARTS; i++)
        write_start(&scripts[i], i, lists);
    scripts_run(l->peer, scripts, STARTS, true, bench_quick(l->suite->b) ? 0.05 : seconds, &o);
    must(ask_path(&a, XS_RM, "/bench/vm") == XS_RM);
    hang_up(&a);
    for (unsigned int i = 0; i < STARTS; i++)
        script_free(&scripts[i]);
    l->also[l->rounds++] = o.worst_ms;
    return o.commits / o.seconds;
}

static double run_plain(void *ctx)
{
    return run(ctx, false, 0.5);
}

static double run_listing(void *ctx)
{
    return run(ctx, true, 1);
}

void case_parallel_starts(struct suite *s)
{
    static const char listing[] = "vm-starts-32-listing", worst[] = "vm-starts-32-listing-worst";
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = all_sides(s, loads, sides, run_plain, 1, 1);
    (void)bench_compare(s->b, "vm-starts-32-parallel", "commits/s", BENCH_HIGHER, ROUNDS, sides, n);
    if (!bench_wanted(s->b, listing) && !bench_wanted(s->b, worst))
        return;
    n = all_sides(s, loads, sides, run_listing, 1, 1);
    bool measured = bench_compare(s->b, listing, "commits/s", BENCH_HIGHER, ROUNDS, sides, n) == 0;
    for (size_t i = 0; i < n; i++) {
        /* Asked for alone, the worst start is measured here. */
        if (measured && loads[i].rounds == 0)
            (void)run_listing(&loads[i]);
        sides[i].run = replay;
    }
    if (measured)
        (void)bench_compare(s->b, worst, "ms", BENCH_LOWER, loads[0].rounds, sides, n);
}
