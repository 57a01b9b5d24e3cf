/* SPDX-License-Identifier: ISC */
/*
 * The cases of the randomd suite, and where they play. The suite's program runs outside of the machine that
 * bench/randomd.sh made; it starts itself again as a program of a domain, which prints what it measured.
 */
#ifndef XIDS_BENCH_RANDOMD_SUITE_H
#define XIDS_BENCH_RANDOMD_SUITE_H

#include "bench/bench.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SELF_MAX 4096u
#define ROUNDS 5u

struct suite {
    struct bench *b;
    const char *sim;       /* the program xids-sim; XIDS_SIM_DIR says which machine */
    char self[SELF_MAX];   /* this program */
    const char **guests;   /* their domain ids */
    unsigned int n_guests; /* at least 1 */
    pid_t randomd;         /* the daemon */
    int cpu[2];            /* the servers', the guest's; the same where there is but one */
};

/* A program of ours in a domain. */
struct actor {
    pid_t pid;
    int in, out; /* its standard input and output */
};

/* Starts this program in a domain with arguments, NULL behind the last, on a processor. */
bool actor_start(const struct suite *s, struct actor *a, const char *domain, int cpu, const char *const *arguments);
/* Starts a command outside of any domain; the first of it is looked for. */
bool actor_spawn(struct actor *a, const char *const *command);
/* Reads a line of n numbers from it. */
bool actor_says(struct actor *a, double *numbers, size_t n);
/* Closes its standard input and waits for it. Whether it ended well; one that did not begin well is killed. */
bool actor_end(struct actor *a, bool good);

/* start, says and end in one. */
bool actor_run(const struct suite *s, const char *domain, int cpu, const char *const *arguments, double *numbers,
               size_t n);

/* Runs the peer's two ends, the guest's with the rest of its arguments, and reads n numbers from it. */
bool virtio_run(const struct suite *s, const char *guest, const char *const what[3], double *numbers, size_t n);

/* The peer "virtio-rng", measured with pulls of len bytes: what a pull took, in us. Negative: it failed. */
struct virtio_times {
    double median, mean;
};
struct virtio_times virtio_measure(const struct suite *s, unsigned int len, unsigned int count);

/* Each measures the cases it is named for, those that were asked for. */
bool case_seed(struct suite *s); /* false: it failed; seed-p50, seed-cold-p50 */
void case_pull(struct suite *s); /* pull32-p50, bulk-daemon */
void case_ring(struct suite *s); /* pull32-rate, bulk */

bool case_crowd(struct suite *s); /* false: it failed; guests-10000-bytes, guests-10000-fds, guests-10000-reseed */
bool case_fair(struct suite *s);  /* false: it failed; fairness-1000, victim-p99 */

/* The part of case_fair's that is played in a machine of its own: prints its figures. The exit status. */
int fair_cases(struct suite *s, const char *what);

/* What actors do; argv[0] is their part. The exit status. */
int guest_main(int argc, char **argv);     /* randomd_guest.c: a guest of the daemon */
int fair_main(int argc, char **argv);      /* randomd_fair.c: many guests */
int virtio_backend(int argc, char **argv); /* randomd_virtio.c: the peer, both ends */
int virtio_guest(int argc, char **argv);
int crowd_main(int argc, char **argv); /* randomd_crowd.c: many guests of one daemon, and that daemon's starter */

#endif
