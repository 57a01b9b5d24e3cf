/* SPDX-License-Identifier: ISC */
/* What the daemons' memory grows by. It comes first in the suite, when none of them has anything left from before. */
#include "config.h"

#include "bench/xenstore_suite.h"

#include <stdio.h>
#include <string.h>

#define NODES 100000u
/* As many below a directory as a device has, at places that are as deep as those. */
#define PER_DEVICE 20u
#define PER_DOMAIN (20u * PER_DEVICE)

static char value[128];

static size_t make_node(uint8_t *out, unsigned int i)
{
    char payload[256];
    int n = snprintf(payload, sizeof(payload), "/memory/%zu/%u/device/vbd/%u/node-%u%c%s", strlen(value),
                     i / PER_DOMAIN, i / PER_DEVICE, i % PER_DEVICE, 0, value);
    must(n > 0);
    return request(out, XS_WRITE, 0, payload, (size_t)n);
}

/* Bytes for each node with a value of so many bytes. The nodes stay. */
static double growth(const struct suite *s, const struct peer *p, unsigned int bytes)
{
    static struct answers a;
    unsigned int count = few(s, NODES, 2000);
    must(bytes < sizeof(value));
    memset(value, 'x', bytes);
    value[bytes] = '\0';
    (void)peer_cpu_settled(p);
    uint64_t before = peer_rss(p);
    dial(&a, p);
    pipeline(&a, count, make_node);
    hang_up(&a);
    (void)peer_cpu_settled(p);
    uint64_t after = peer_rss(p);
    return after > before ? (double)(after - before) / count : 0;
}

static void clear(const struct peer *p)
{
    static struct answers a;
    dial(&a, p);
    must(ask_path(&a, XS_RM, "/memory") == XS_RM);
    hang_up(&a);
}

void case_memory(struct suite *s)
{
    static const struct {
        unsigned int bytes;
        const char *unit;
    } sizes[] = {{12, "B (12 B)"}, {100, "B (100 B)"}};
    static const char name[] = "bytes-per-node";
    const struct peer *const peers[] = {&s->ours, &s->c, &s->oxenstored};
    double grown[2][3];
    if (!bench_wanted(s->b, name))
        return;
    for (size_t k = 0; k < 3; k++) {
        if (peers[k]->name == NULL)
            continue;
        for (size_t i = 0; i < 2; i++)
            grown[i][k] = growth(s, peers[k], sizes[i].bytes);
        clear(peers[k]);
    }
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 1; k < 3; k++) {
            if (peers[k]->name != NULL)
                bench_row(s->b, name, sizes[i].unit, BENCH_LOWER, grown[i][0], grown[i][k], peers[k]->name);
        }
    }
}
