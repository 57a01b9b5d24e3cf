/* SPDX-License-Identifier: ISC */
/*
 * fairness-1000: Jain's index of what a thousand guests get that all ask as much as they can: (sum x)^2 / (n sum x^2),
 * 1 when all get the same.
 *
 * victim-p99: what a guest waits for 32 bytes, in the worst of a hundred times, beside a hundred others that ask as
 * much as they can, against the same guest alone. victim-alone and victim-beside are the two times.
 *
 * Both with the daemon's own settings. The guests that ask without end are one process, on another processor than the
 * daemon. Where that is allowed, the daemon and the victim have a real-time priority: what other programs of this
 * machine, the hogs' too, take from the victim on its own processor is not what is measured.
 */
#include "config.h"

#include "bench/randomd_many.h"
#include "bench/randomd_suite.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOGS 100u
#define CROWD 1000u
#define CROWD_QUICK 50u
#define CROWD_MS 3000u
#define CROWD_QUICK_MS 300u
#define PULLS 1000u
#define PULLS_QUICK 100u
/* Between two pulls of the victim, in us: it stays within its share. */
#define PAUSE 2000u
/* The hogs' time before the victim comes, in ms: until they have used up what they may use at once. */
#define SETTLE_MS 5000u
#define SETTLE_QUICK_MS 100u
#define GREED 8064u /* bytes of a hog's pull */
#define PATIENCE 120u

static uint8_t thrown_away[GREED];

/* ---- those that ask without end ---- */

static void again(void *ctx, struct xids_randomd_pull *pull)
{
    struct many_guest *g = ctx;
    if (pull->status != 0)
        return;
    g->got += pull->len;
    many_must(xids_randomd_client_pull(g->client, pull) == 0, "a pull");
}

/* Guests that can go on without an event. */
static struct many_guest *ready[CROWD];
static unsigned int ready_count;

static void go_on(struct many_guest *g)
{
    int rc = xids_randomd_client_serve(g->client, g->ch, bench_now());
    many_must(rc >= 0, "xids_randomd_client_serve");
    if (rc == 1)
        ready[ready_count++] = g;
}

static void run_until(struct many *m, uint64_t end)
{
    while (bench_now() < end) {
        struct many_guest *woken[256];
        unsigned int before = ready_count;
        ready_count = 0;
        for (unsigned int i = 0; i < before; i++)
            go_on(ready[i]);
        /* One that is ready and has an event would be in the list twice. */
        unsigned int n = many_wait(m, woken, 256, ready_count > 0 ? 0 : 10);
        for (unsigned int i = 0; i < n; i++) {
            bool listed = false;
            for (unsigned int k = 0; k < ready_count && !listed; k++)
                listed = ready[k] == woken[i];
            if (!listed)
                go_on(woken[i]);
        }
    }
}

/* What each got in so many ms, after so many ms. */
static void greedy(struct many *m, struct many_guest *guests, unsigned int count, unsigned int ms)
{
    for (unsigned int i = 0; i < count; i++)
        guests[i].got = 0;
    run_until(m, bench_now() + ms * 1000000ull);
}

static struct many_guest *greedy_begin(struct many *m, unsigned int first, unsigned int count)
{
    struct many_guest *guests = calloc(count, sizeof(*guests));
    many_must(guests != NULL && count <= CROWD, "memory");
    many_open(m);
    for (unsigned int i = 0; i < count; i++) {
        struct many_guest *g = &guests[i];
        many_connect(m, g, (domid_t)(first + i));
        g->pull = (struct xids_randomd_pull){.to = thrown_away, .len = sizeof(thrown_away), .done = again, .ctx = g};
        many_must(xids_randomd_client_pull(g->client, &g->pull) == 0, "a pull");
        go_on(g);
    }
    return guests;
}

static void greedy_end(struct many *m, struct many_guest *guests, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        many_part(&guests[i]);
    many_close(m);
    free(guests);
}

/* crowd MS FIRST COUNT: prints Jain's index, and what all got together in MiB a second. */
static void crowd(unsigned int ms, unsigned int first, unsigned int count)
{
    static struct many m;
    double sum = 0, squares = 0;
    struct many_guest *guests = greedy_begin(&m, first, count);
    greedy(&m, guests, count, ms / 3);
    greedy(&m, guests, count, ms);
    for (unsigned int i = 0; i < count; i++) {
        sum += (double)guests[i].got;
        squares += (double)guests[i].got * (double)guests[i].got;
    }
    printf("%f %f\n", squares > 0 ? sum * sum / (count * squares) : 0, sum / ms * 1000 / 1048576);
    greedy_end(&m, guests, count);
}

/* hogs MS FIRST COUNT: prints a line after so many ms, and goes on until its input ends. */
static void hogs(unsigned int ms, unsigned int first, unsigned int count)
{
    static struct many m;
    struct many_guest *guests = greedy_begin(&m, first, count);
    greedy(&m, guests, count, ms);
    printf("1\n");
    (void)fflush(stdout);
    struct pollfd in = {.fd = 0, .events = POLLIN};
    while (poll(&in, 1, 0) == 0)
        greedy(&m, guests, count, 20);
    greedy_end(&m, guests, count);
}

/* ---- the victim ---- */

static void before_others(pid_t pid)
{
    const struct sched_param lowest = {.sched_priority = 1};
    (void)sched_setscheduler(pid, SCHED_FIFO, &lowest);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* victim COUNT DOMAIN 1: prints the 99th percentile and the median of so many pulls, in us. */
static void victim(unsigned int count, unsigned int domid)
{
    static struct many m;
    static struct many_guest g;
    before_others(0);
    double *times = malloc(count * sizeof(*times));
    many_must(times != NULL && count > 0, "memory");
    many_open(&m);
    many_connect(&m, &g, (domid_t)domid);
    for (unsigned int i = 0; i < count + 20; i++) {
        struct many_guest *woken[1];
        (void)usleep(PAUSE);
        uint64_t start = bench_now();
        g.pull = (struct xids_randomd_pull){.to = thrown_away, .len = 32};
        many_must(xids_randomd_client_pull(g.client, &g.pull) == 0, "a pull");
        for (;;) {
            int rc = xids_randomd_client_serve(g.client, g.ch, bench_now());
            many_must(rc >= 0, "xids_randomd_client_serve");
            if (g.pull.status == 0)
                break;
            if (rc == 0)
                (void)many_wait(&m, woken, 1, -1);
        }
        /* The first few are for warming up. */
        times[i < 20 ? 0 : i - 20] = (double)(bench_now() - start) / 1000;
    }
    qsort(times, count, sizeof(*times), by_size);
    printf("%f %f\n", times[count - 1 - count / 100], times[count / 2]);
    many_part(&g);
    many_close(&m);
    free(times);
}

int fair_main(int argc, char **argv)
{
    (void)alarm(PATIENCE);
    many_must(argc == 5, "arguments");
    unsigned int n = (unsigned int)strtoul(argv[2], NULL, 10);
    unsigned int first = (unsigned int)strtoul(argv[3], NULL, 10), count = (unsigned int)strtoul(argv[4], NULL, 10);
    if (strcmp(argv[1], "crowd") == 0)
        crowd(n, first, count);
    else if (strcmp(argv[1], "hogs") == 0)
        hogs(n, first, count);
    else if (strcmp(argv[1], "victim") == 0)
        victim(n, first);
    else
        many_must(false, argv[1]);
    return EXIT_SUCCESS;
}

/* ---- the cases ---- */

/* Plays a part, from the domain numbered first on, in the machine that bench/randomd_fair.sh made. */
static bool begin(const struct suite *s, struct actor *a, const char *part, unsigned int n, unsigned int first,
                  unsigned int count)
{
    char texts[3][16];
    (void)snprintf(texts[0], sizeof(texts[0]), "%u", n);
    (void)snprintf(texts[1], sizeof(texts[1]), "%u", first);
    (void)snprintf(texts[2], sizeof(texts[2]), "%u", count);
    const char *const arguments[] = {"fair", part, texts[0], texts[1], texts[2], NULL};
    return actor_start(s, a, "0", s->cpu[1], arguments);
}

static bool fairness(const struct suite *s, unsigned int first, double numbers[2])
{
    struct actor a;
    bool good = begin(s, &a, "crowd", bench_quick(s->b) ? CROWD_QUICK_MS : CROWD_MS, first, s->n_guests) &&
                actor_says(&a, numbers, 2);
    return actor_end(&a, good) && good;
}

static bool suffer(const struct suite *s, unsigned int first, double times[2])
{
    struct actor a;
    bool good = begin(s, &a, "victim", bench_quick(s->b) ? PULLS_QUICK : PULLS, first, 1) && actor_says(&a, times, 2);
    return actor_end(&a, good) && good;
}

static bool beside(const struct suite *s, unsigned int first, double numbers[2])
{
    double alone[2], together[2], settled;
    struct actor a;
    before_others(s->randomd);
    if (!suffer(s, first, alone))
        return false;
    bool good = begin(s, &a, "hogs", bench_quick(s->b) ? SETTLE_QUICK_MS : SETTLE_MS, first + 1, s->n_guests - 1) &&
                actor_says(&a, &settled, 1) && suffer(s, first, together);
    good = actor_end(&a, good) && good;
    numbers[0] = alone[0];
    numbers[1] = together[0];
    return good;
}

int fair_cases(struct suite *s, const char *what)
{
    double numbers[2] = {0, 0};
    /* The machine is new: its domains have consecutive numbers. */
    unsigned int first = (unsigned int)strtoul(s->guests[0], NULL, 10);
    if (strcmp(what, "fairness") == 0 ? !fairness(s, first, numbers) : !beside(s, first, numbers))
        return EXIT_FAILURE;
    printf("%f %f\n", numbers[0], numbers[1]);
    return EXIT_SUCCESS;
}

/* Runs the script and reads two numbers from it. */
static bool play(const char *what, unsigned int guests, double numbers[2])
{
    char command[SELF_MAX];
    const char *src = getenv("XIDS_SRCDIR");
    int len = snprintf(command, sizeof(command), "exec bash '%s/bench/randomd_fair.sh' %s %u", src != NULL ? src : ".",
                       what, guests);
    FILE *from = len > 0 && (size_t)len < sizeof(command) ? popen(command, "r") : NULL;
    if (from == NULL)
        return false;
    bool good = fscanf(from, "%lf %lf", &numbers[0], &numbers[1]) == 2;
    return pclose(from) == 0 && good;
}

bool case_fair(struct suite *s)
{
    double numbers[2], alone[ROUNDS], together[ROUNDS], ratios[ROUNDS];
    unsigned int rounds = bench_quick(s->b) ? 1 : 3;
    bool good = true;
    if (bench_wanted(s->b, "fairness-1000")) {
        good = play("fairness", bench_quick(s->b) ? CROWD_QUICK : CROWD, numbers);
        if (good)
            bench_row(s->b, "fairness-1000", "jain", BENCH_HIGHER, numbers[0], 0, NULL);
    }
    if (!bench_wanted(s->b, "victim-p99"))
        return good;
    for (unsigned int i = 0; i < rounds && good; i++) {
        good = play("victim", bench_quick(s->b) ? 10 : HOGS + 1, numbers);
        alone[i] = numbers[0];
        together[i] = numbers[1];
        ratios[i] = numbers[1] / numbers[0];
    }
    if (!good)
        return false;
    bench_row(s->b, "victim-p99", "times alone", BENCH_LOWER, bench_median(ratios, rounds), 0, NULL);
    bench_row(s->b, "victim-alone", "us", BENCH_LOWER, bench_median(alone, rounds), 0, NULL);
    bench_row(s->b, "victim-beside", "us", BENCH_LOWER, bench_median(together, rounds), 0, NULL);
    return true;
}
