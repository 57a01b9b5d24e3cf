/* SPDX-License-Identifier: ISC */
/* The cases of the xenstore suite, and who takes part in them. */
#ifndef XIDS_BENCH_XENSTORE_SUITE_H
#define XIDS_BENCH_XENSTORE_SUITE_H

#include "bench/bench.h"
#include "bench/xenstore_peer.h"

struct suite {
    struct bench *b;
    struct peer ours, c, oxenstored;
    struct peer ours_journal;      /* with a journal */
    struct peer ours_full, c_full; /* of their own machines, for what leaves them full of domains */
};

#define ROUNDS 5u
#define SIDES 4u

/* The node that the simple loads read and write. */
extern const char bench_path[];
#define BENCH_VALUE "sixteen bytes..."

/* A side's context: which daemon, and the case's own numbers. */
struct load {
    struct suite *suite;
    const struct peer *peer;
    unsigned int count;
    bool write;
    /* Figures that run found besides the one it returned, a round each; replay returns them as a case of their own. */
    double also[ROUNDS];
    unsigned int rounds, replayed;
};

/* As many as asked for, or a few in a quick run. */
unsigned int few(const struct suite *s, unsigned int count, unsigned int quick);

/* Fills in loads and sides for ours and the two others, as far as they are there. Returns their number. */
size_t all_sides(struct suite *s, struct load loads[SIDES], struct bench_side sides[SIDES], double (*run)(void *ctx),
                 unsigned int count, unsigned int quick);

/* Adds a side with another function or daemon, called name in the row. */
void add_side(struct suite *s, struct load loads[SIDES], struct bench_side sides[SIDES], size_t *n,
              const struct peer *peer, const char *name, double (*run)(void *ctx), unsigned int count);

/* For bench_compare: what run put into also, round by round. */
double replay(void *ctx);

/* Fills a store with 100 000 nodes that have nothing to do with what is measured; removes them. */
void others_make(const struct suite *s, const struct peer *p);
void others_remove(const struct peer *p);

/* Each measures the cases it is named for, those that were asked for. */
void case_requests(struct suite *s); /* read-*, write-sync, write-pipelined, journal-write */
void case_parallel_starts(struct suite *s);
void case_xl_starts(struct suite *s);
void case_children(struct suite *s);
void case_watches(struct suite *s);
void case_idle_domains(struct suite *s);
void case_destroy(struct suite *s);
void case_stall(struct suite *s);
void case_live_update(struct suite *s);
void case_memory(struct suite *s);
void case_flood(struct suite *s);

#endif
