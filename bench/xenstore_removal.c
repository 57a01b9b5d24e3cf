/* SPDX-License-Identifier: ISC */
/* Removals: what the death of a domain costs in a large store, and how long others wait for a large removal. */
#include "config.h"

#include "bench/xenstore_rings.h"
#include "bench/xenstore_suite.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* ---- the death of a domain ---- */

#define STORE 100000u
#define PER_DIRECTORY 1000u
#define OWNED 100u

static uint16_t owner;

static size_t make_other(uint8_t *out, unsigned int i)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "/bench/others/%u/%u%cvalue", i / PER_DIRECTORY, i % PER_DIRECTORY, 0);
    must(n > 0);
    return request(out, XS_WRITE, 0, payload, (size_t)n);
}

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
    static struct answers a;
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    if (!bench_wanted(s->b, name))
        return;
    size_t n = all_sides(s, loads, sides, run_destroy, 1, 1);
    for (size_t i = 0; i < n; i++) {
        dial(&a, loads[i].peer);
        pipeline(&a, few(s, STORE, 2000), make_other);
        hang_up(&a);
    }
    (void)bench_compare(s->b, name, "ms of CPU", BENCH_LOWER, ROUNDS, sides, n);
    for (size_t i = 0; i < n; i++) {
        dial(&a, loads[i].peer);
        must(ask_path(&a, XS_RM, "/bench/others") == XS_RM);
        hang_up(&a);
    }
}

/* ---- a removal in the way of others ---- */

#define CHILDREN 20000u
/* Whatever a daemon puts off is over by then. */
#define AFTER_NS 50000000u

static size_t make_child(uint8_t *out, unsigned int i)
{
    char payload[64];
    int n = snprintf(payload, sizeof(payload), "/bench/stall/%u", i);
    must(n > 0);
    return request(out, XS_MKDIR, 0, payload, (size_t)n + 1);
}

/* The longest wait of a client that reads in turns, in milliseconds, while another's RM is carried out, and after. */
static double run_stall(void *ctx)
{
    static struct answers remover, reader;
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    static const char path[] = "/bench/stall";
    const struct load *l = ctx;
    struct xids_xswire_msg msg;
    uint64_t worst = 0, answered = 0, now;
    dial(&remover, l->peer);
    dial(&reader, l->peer);
    must(ask(&reader, XS_WRITE, 0, bench_path, strlen(bench_path) + 1, NULL) == XS_WRITE);
    pipeline(&remover, l->count, make_child);
    (void)peer_cpu_settled(l->peer);
    send_all(remover.fd, out, request(out, XS_RM, 0, path, sizeof(path)));
    do {
        struct pollfd removed = {.fd = remover.fd, .events = POLLIN};
        uint64_t asked = bench_now();
        must(ask_path(&reader, XS_READ, bench_path) == XS_READ);
        now = bench_now();
        if (now - asked > worst)
            worst = now - asked;
        if (answered == 0 && poll(&removed, 1, 0) > 0)
            answered = now;
    } while (answered == 0 || now - answered < AFTER_NS);
    must(take(&remover, &msg) == 1 && msg.type == XS_RM);
    hang_up(&remover);
    hang_up(&reader);
    return (double)worst / 1e6;
}

void case_stall(struct suite *s)
{
    struct load loads[SIDES];
    struct bench_side sides[SIDES];
    size_t n = all_sides(s, loads, sides, run_stall, CHILDREN, 200);
    (void)bench_compare(s->b, "rm-20k-stall", "ms", BENCH_LOWER, ROUNDS, sides, n);
}
