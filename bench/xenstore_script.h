/* SPDX-License-Identifier: ISC */
/* Many clients at once, each working through a script of requests, one after the other. */
#ifndef XIDS_BENCH_XENSTORE_SCRIPT_H
#define XIDS_BENCH_XENSTORE_SCRIPT_H

#include "bench/xenstore_peer.h"

struct step {
    uint32_t type;
    bool may_fail; /* it is no failure of the benchmark when the answer is an error */
    char *payload;
    size_t len;
};

/* Zeroed at first. */
struct script {
    struct step *steps;
    unsigned int count, cap;
};

/* Adds a request of one or two parts: a path and, unless NULL, bytes that follow its NUL. fmt is printf's, the path. */
__attribute__((format(printf, 5, 6))) void script_add(struct script *s, uint32_t type, const char *more,
                                                      size_t more_len, const char *fmt, ...);

/* A transaction's begin and end. One that is refused begins again. What lies between them is done in it. */
void script_begin(struct script *s);
void script_end(struct script *s);

/* From here on: the last one may be answered with an error. */
void script_may_fail(struct script *s);

void script_free(struct script *s);

/* What came of it. */
struct outcome {
    unsigned int commits, refused;
    bool whole;      /* every script was finished */
    double worst_ms; /* the longest from a transaction's first begin to its commit; at the end: till now */
    double seconds;
};

/*
 * Runs count scripts, each on a connection of its own and all at the same time. repeat: over and over until the time is
 * up; else until all are through, or the time is up.
 */
void scripts_run(const struct peer *p, const struct script *scripts, unsigned int count, bool repeat, double seconds,
                 struct outcome *outcome);

#endif
