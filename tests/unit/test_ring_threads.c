/* SPDX-License-Identifier: ISC */
/*
 * Rings between two threads that sleep. Each message is answered by the other side's going to sleep at the very moment
 * at which the next one comes: who drops a full barrier on either side loses a wake-up here before long.
 */
#include "tests/unit/suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <xids/ring.h>

struct question {
    uint64_t n;
};

struct answer {
    uint64_t n;
};

XIDS_RING_DEFINE(pair, struct question, struct answer)

#define ROUNDS 200000u
#define PATIENCE (1u << 27)

static _Alignas(4096) uint8_t page[4096];
/* Each on a cache line of its own, so that the two sides meet in the ring only. */
static _Alignas(128) atomic_uint front_event;
static _Alignas(128) atomic_uint back_event;
static _Alignas(128) atomic_bool given_up;

/* A moment of another length each time, so that going to sleep and the message meet in every way. */
static void dawdle(uint64_t n)
{
    for (uint64_t i = n * 7 % 311; i > 0; i--)
        (void)atomic_load_explicit(&given_up, memory_order_relaxed);
}

/* Sleeps until there is an event. False: it never came. */
static bool sleep_till(atomic_uint *event)
{
    for (unsigned int i = 0; i < PATIENCE; i++) {
        if (atomic_exchange_explicit(event, 0, memory_order_acq_rel) != 0)
            return true;
        if (atomic_load_explicit(&given_up, memory_order_relaxed))
            return false;
        if (i % 1024 == 1023)
            (void)sched_yield();
    }
    atomic_store_explicit(&given_up, true, memory_order_relaxed);
    return false;
}

static void *answer_all(void *arg)
{
    struct pair_back *b = arg;
    for (uint64_t n = 0; n < ROUNDS;) {
        struct question q = {0};
        int rc = pair_back_take(b, &q);
        if (rc < 0 || (rc == 1 && q.n != n))
            return NULL;
        if (rc == 0) {
            rc = pair_back_arm(b, 1);
            if (rc < 0 || (rc == 0 && !sleep_till(&back_event)))
                return NULL;
            continue;
        }
        const struct answer a = {n++};
        if (pair_back_put(b, &a) != 1 || (rc = pair_back_push(b)) < 0)
            return NULL;
        if (rc == 1)
            atomic_store_explicit(&front_event, 1, memory_order_release);
    }
    return b;
}

/* Asks, and waits for the answer. */
static bool ask(struct pair_front *f, uint64_t n)
{
    const struct question q = {n};
    int rc = pair_front_put(f, &q) == 1 ? pair_front_push(f) : -1;
    if (rc < 0)
        return false;
    if (rc == 1)
        atomic_store_explicit(&back_event, 1, memory_order_release);
    dawdle(n);
    for (;;) {
        struct answer a = {0};
        rc = pair_front_take(f, &a);
        if (rc != 0)
            return rc == 1 && a.n == n;
        rc = pair_front_arm(f, 1);
        if (rc < 0 || (rc == 0 && !sleep_till(&front_event)))
            return false;
    }
}

START_TEST(sides_that_sleep_miss_no_wake_up)
{
    struct pair_front f;
    struct pair_back b;
    pthread_t thread;
    void *done = NULL;
    uint64_t n = 0;
    ck_assert_int_eq(pair_front_init(&f, page, sizeof(page)), 0);
    ck_assert_int_eq(pair_back_init(&b, page, sizeof(page)), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_all, &b), 0);
    while (n < ROUNDS && ask(&f, n))
        n++;
    atomic_store(&given_up, true);
    ck_assert_int_eq(pthread_join(thread, &done), 0);
    ck_assert_uint_eq(n, ROUNDS);
    ck_assert_ptr_eq(done, &b);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("ring threads");
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 60);
    tcase_add_test(threads, sides_that_sleep_miss_no_wake_up);
    suite_add_tcase(suite, threads);
    return suite;
}
