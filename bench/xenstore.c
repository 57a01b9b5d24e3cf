/* SPDX-License-Identifier: ISC */
/*
 * The xenstore suite: xids-xenstored, C xenstored and oxenstored, each in a simulated machine of its own, with the same
 * clients for all, in turns. Started by bench/xenstore.sh with ROLE=FOLDER for each machine.
 */
#include "config.h"

#include "bench/xenstore_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned int few(const struct suite *s, unsigned int count, unsigned int quick)
{
    return bench_quick(s->b) && quick < count ? quick : count;
}

void add_side(struct suite *s, struct load loads[SIDES], struct bench_side sides[SIDES], size_t *n,
              const struct peer *peer, const char *name, double (*run)(void *ctx), unsigned int count)
{
    if (peer->name == NULL)
        return;
    must(*n < SIDES);
    loads[*n] = (struct load){.suite = s, .peer = peer, .count = count};
    sides[*n] = (struct bench_side){.name = name, .run = run, .ctx = &loads[*n]};
    ++*n;
}

size_t all_sides(struct suite *s, struct load loads[SIDES], struct bench_side sides[SIDES], double (*run)(void *ctx),
                 unsigned int count, unsigned int quick)
{
    size_t n = 0;
    const struct peer *const peers[] = {&s->ours, &s->c, &s->oxenstored};
    for (size_t i = 0; i < 3; i++)
        add_side(s, loads, sides, &n, peers[i], peers[i]->name, run, few(s, count, quick));
    return n;
}

double replay(void *ctx)
{
    struct load *l = ctx;
    return l->also[l->replayed++];
}

int main(int argc, char **argv)
{
    static struct suite s;
    const struct {
        const char *role;
        const char *name;
        struct peer *peer;
    } roles[] = {{"ours=", "self", &s.ours},
                 {"c=", "C xenstored", &s.c},
                 {"oxenstored=", "oxenstored", &s.oxenstored},
                 {"ours-journal=", "self", &s.ours_journal},
                 {"ours-full=", "self", &s.ours_full},
                 {"c-full=", "C xenstored", &s.c_full}};
    client_settle();
    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < sizeof(roles) / sizeof(roles[0]); k++) {
            size_t len = strlen(roles[k].role);
            if (strncmp(argv[i], roles[k].role, len) != 0)
                continue;
            peer_open(roles[k].peer, roles[k].name, argv[i] + len);
            peer_settle(roles[k].peer);
        }
    }
    s.b = bench_open("xenstore");
    if (s.b == NULL || s.ours.name == NULL) {
        (void)fputs("usage: bench/xenstore.sh\n", stderr);
        return EXIT_FAILURE;
    }
    case_memory(&s); /* first, as it says */
    case_requests(&s);
    case_parallel_starts(&s);
    case_children(&s);
    case_watches(&s);
    case_stall(&s);
    case_destroy(&s);
    case_xl_starts(&s);
    case_flood(&s);
    case_idle_domains(&s);
    case_live_update(&s); /* last: the daemon is another one then */
    return bench_close(s.b);
}
