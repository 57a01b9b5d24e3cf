/* SPDX-License-Identifier: ISC */
/* The shares of an entropy server's guests, and their order, on a clock that the tests turn. */
#include "tests/unit/suite.h"

#include "randomd/fair.h"

#include <stdlib.h>
#include <string.h>

#define S 1000000000ull
#define MS 1000000ull
#define Q ((uint32_t)XIDS_FAIR_QUANTUM)

static struct xids_fair f;

static struct xids_fair_guest *guests(unsigned int n, uint64_t now)
{
    struct xids_fair_guest *g = calloc(n, sizeof(*g));
    for (unsigned int i = 0; i < n; i++)
        xids_fair_join(&f, &g[i], now);
    return g;
}

/* Whose turn it is; every call must allow something, and not more than two quanta. */
static struct xids_fair_guest *next(uint32_t *allowed, uint64_t now)
{
    struct xids_fair_guest *g = xids_fair_next(&f, allowed, now);
    ck_assert(g == NULL || (*allowed >= 1 && *allowed <= 2 * Q));
    return g;
}

/* ---- the bucket ---- */

START_TEST(a_full_bucket_is_used_up_to_the_byte)
{
    xids_fair_init(&f, 1000, 5000, 0);
    struct xids_fair_guest *g = guests(1, 0);
    ck_assert(!xids_fair_charge(&f, g, 4999, 0));
    ck_assert(xids_fair_charge(&f, g, 1, 0));
    free(g);
}
END_TEST

START_TEST(refill_is_exact_however_it_is_looked_at)
{
    /* A rate that divides nothing, looked at every 7 us and a bit, for a second: not a byte is lost. */
    const uint64_t rate = 999983;
    xids_fair_init(&f, rate, 1u << 20, 0);
    struct xids_fair_guest *g = guests(1, 0);
    ck_assert(!xids_fair_charge(&f, g, (1u << 20) - 1, 0));
    uint64_t now = 0;
    while (now < S) {
        uint64_t step = 7001 + now % 5;
        now = now + step < S ? now + step : S;
        if (xids_fair_charge(&f, g, 0, now))
            ck_abort_msg("held at %llu", (unsigned long long)now);
    }
    ck_assert(!xids_fair_charge(&f, g, (uint32_t)rate, now));
    ck_assert(xids_fair_charge(&f, g, 1, now));
    free(g);
}
END_TEST

START_TEST(a_bucket_holds_no_more_than_the_burst)
{
    static const uint64_t jumps[] = {S, 3600 * S, 1ull << 62, UINT64_MAX};
    for (unsigned int i = 0; i < 4; i++) {
        xids_fair_init(&f, 1000, 5000, 0);
        struct xids_fair_guest *g = guests(1, 0);
        ck_assert(!xids_fair_charge(&f, g, 4500, 0));
        ck_assert(!xids_fair_charge(&f, g, i == 0 ? 1499 : 4999, jumps[i]));
        ck_assert(xids_fair_charge(&f, g, 1, jumps[i]));
        free(g);
    }
}
END_TEST

START_TEST(largest_rate_and_burst_do_not_overflow)
{
    xids_fair_init(&f, UINT64_MAX, UINT64_MAX, 0);
    struct xids_fair_guest *g = guests(1, 0);
    uint64_t now = 0, taken = 0;
    while (!xids_fair_charge(&f, g, 1u << 31, now))
        taken += 1u << 31;
    ck_assert_uint_eq(taken, XIDS_FAIR_MAX - (1u << 31));
    now += xids_fair_wait(g, now);
    ck_assert_uint_le(now, S);
    ck_assert_ptr_eq(xids_fair_release(&f, UINT64_MAX), g);
    free(g);
}
END_TEST

START_TEST(a_clock_that_goes_back_gives_and_takes_nothing)
{
    xids_fair_init(&f, 1000, 5000, 10 * S);
    struct xids_fair_guest *g = guests(1, 10 * S);
    ck_assert(!xids_fair_charge(&f, g, 4000, 10 * S));
    ck_assert(!xids_fair_charge(&f, g, 999, 5 * S));
    ck_assert(!xids_fair_charge(&f, g, 0, 10 * S));
    ck_assert(xids_fair_charge(&f, g, 1, 10 * S));
    ck_assert_ptr_null(xids_fair_release(&f, 0));
    free(g);
}
END_TEST

START_TEST(a_smaller_burst_holds_for_those_who_have_more)
{
    xids_fair_init(&f, 1000, 50000, 0);
    struct xids_fair_guest *g = guests(1, 0);
    xids_fair_set(&f, 2000, 5000);
    ck_assert(!xids_fair_charge(&f, g, 4999, 0));
    ck_assert(!xids_fair_charge(&f, g, 2000, S));
    ck_assert(xids_fair_charge(&f, g, 1, S));
    free(g);
}
END_TEST

START_TEST(without_a_rate_nobody_is_held)
{
    uint32_t allowed;
    xids_fair_init(&f, 0, 1, 0);
    struct xids_fair_guest *g = guests(1, 0);
    for (unsigned int i = 0; i < 1000; i++)
        ck_assert(!xids_fair_charge(&f, g, UINT32_MAX, i));
    xids_fair_wake(&f, g);
    ck_assert_ptr_eq(next(&allowed, 0), g);
    ck_assert(!xids_fair_served(&f, g, UINT32_MAX, true, 0));
    ck_assert_ptr_eq(next(&allowed, 0), g);
    free(g);
}
END_TEST

/* ---- those that are held ---- */

START_TEST(who_is_held_comes_back_when_its_bucket_has_refilled)
{
    xids_fair_init(&f, 1600, 16000, 0);
    struct xids_fair_guest *g = guests(1, 0);
    /* 100 bytes back to nothing, and a sixteenth of a second's worth on top. */
    ck_assert(xids_fair_charge(&f, g, 16100, 0));
    uint64_t wait = xids_fair_wait(g, 0);
    ck_assert_uint_ge(wait, 125 * MS);
    ck_assert_uint_le(wait, 125 * MS + 1);
    ck_assert_uint_ge(xids_fair_due(&f), wait);
    ck_assert_uint_le(xids_fair_due(&f), wait + 2 * MS);
    ck_assert_ptr_null(xids_fair_release(&f, wait - 1));
    ck_assert_ptr_eq(xids_fair_release(&f, xids_fair_due(&f)), g);
    ck_assert_uint_eq(xids_fair_due(&f), UINT64_MAX);
    ck_assert_ptr_null(xids_fair_release(&f, S));
    ck_assert(xids_fair_waiting(&f));
    free(g);
}
END_TEST

START_TEST(who_is_held_is_neither_served_nor_charged)
{
    uint32_t allowed;
    xids_fair_init(&f, 1600, 16000, 0);
    struct xids_fair_guest *g = guests(1, 0);
    xids_fair_wake(&f, g);
    ck_assert(xids_fair_charge(&f, g, 16000, 0));
    uint64_t due = xids_fair_due(&f);
    for (unsigned int i = 0; i < 1000; i++) {
        ck_assert(xids_fair_charge(&f, g, 1000, i));
        xids_fair_wake(&f, g);
        ck_assert_ptr_null(next(&allowed, i));
    }
    ck_assert_uint_eq(xids_fair_due(&f), due);
    ck_assert_uint_eq(f.holds, 1);
    free(g);
}
END_TEST

START_TEST(a_gift_frees_and_is_spent_before_the_bucket)
{
    uint32_t allowed;
    xids_fair_init(&f, 1600, 16000, 0);
    struct xids_fair_guest *g = guests(1, 0);
    ck_assert(xids_fair_charge(&f, g, 32000, 0));
    xids_fair_give(&f, g, 100, 0);
    ck_assert_uint_eq(f.held, 0);
    ck_assert(!xids_fair_charge(&f, g, 60, 0));
    xids_fair_wake(&f, g);
    ck_assert_ptr_eq(next(&allowed, 0), g);
    ck_assert_uint_eq(allowed, 40);
    ck_assert(xids_fair_served(&f, g, 40, false, 0));
    /* The debt is what it was: 16000 bytes, and the 100 of a sixteenth of a second. */
    ck_assert_uint_ge(xids_fair_wait(g, 0), 16100 * S / 1600);
    ck_assert_uint_le(xids_fair_wait(g, 0), 16100 * S / 1600 + 1);
    free(g);
}
END_TEST

START_TEST(many_are_held_and_each_comes_back_in_time_and_once)
{
    enum { N = 5000 };
    static uint8_t back[N];
    xids_fair_init(&f, 1000, 100000, 0);
    struct xids_fair_guest *g = guests(N, 0), *r;
    memset(back, 0, sizeof(back));
    /* From 0.1 to 10 s, so that some are held for several turns of the wheel. */
    for (unsigned int i = 0; i < N; i++)
        ck_assert(xids_fair_charge(&f, &g[i], 100000 + i * 2, 0));
    unsigned int wakes = 0, count = 0;
    for (uint64_t now; (now = xids_fair_due(&f)) != UINT64_MAX; wakes++) {
        while ((r = xids_fair_release(&f, now)) != NULL) {
            size_t i = (size_t)(r - g);
            uint64_t due = (62 + i * 2) * MS;
            ck_assert_uint_eq(back[i], 0);
            ck_assert_uint_ge(now, due);
            ck_assert_uint_le(now, due + 3 * MS);
            back[i] = 1;
            count++;
        }
        ck_assert_uint_lt(wakes, 20000);
    }
    ck_assert_uint_eq(count, N);
    free(g);
}
END_TEST

START_TEST(a_clock_that_jumps_frees_all_that_were_held)
{
    static const uint64_t jumps[] = {11 * S, 1ull << 40, 1ull << 62, UINT64_MAX};
    for (unsigned int k = 0; k < 4; k++) {
        xids_fair_init(&f, 1000, 100000, 0);
        struct xids_fair_guest *g = guests(1000, 0);
        unsigned int count = 0;
        for (unsigned int i = 0; i < 1000; i++)
            ck_assert(xids_fair_charge(&f, &g[i], 100000 + i * 10, 0));
        while (xids_fair_release(&f, jumps[k]) != NULL)
            count++;
        ck_assert_uint_eq(count, 1000);
        ck_assert_uint_eq(f.held, 0);
        free(g);
    }
}
END_TEST

START_TEST(who_leaves_is_nowhere)
{
    uint32_t allowed;
    xids_fair_init(&f, 1600, 16000, 0);
    struct xids_fair_guest *g = guests(4, 0);
    for (unsigned int i = 0; i < 4; i++)
        xids_fair_wake(&f, &g[i]);
    /* One in each list, and one between two others. */
    ck_assert_ptr_eq(next(&allowed, 0), &g[0]);
    ck_assert(!xids_fair_served(&f, &g[0], Q, true, 0));
    ck_assert(xids_fair_charge(&f, &g[1], 20000, 0));
    xids_fair_leave(&f, &g[0]);
    xids_fair_leave(&f, &g[1]);
    xids_fair_leave(&f, &g[2]);
    xids_fair_leave(&f, &g[2]);
    ck_assert_ptr_eq(next(&allowed, 0), &g[3]);
    ck_assert(!xids_fair_served(&f, &g[3], 1, false, 0));
    ck_assert_ptr_null(next(&allowed, 0));
    ck_assert_ptr_null(xids_fair_release(&f, UINT64_MAX));
    xids_fair_wake(&f, &g[3]);
    ck_assert_ptr_eq(next(&allowed, 0), &g[3]);
    free(g);
}
END_TEST

/* ---- the order ---- */

/* Jain's index: 1 when all are equal, 1/n when one has everything. */
static double jain(const uint64_t *got, unsigned int n)
{
    double sum = 0, squares = 0;
    for (unsigned int i = 0; i < n; i++) {
        sum += (double)got[i];
        squares += (double)got[i] * (double)got[i];
    }
    return sum * sum / ((double)n * squares);
}

/*
 * Guests that always have more to do, each in requests of its own size: one turn takes requests as long as it is
 * allowed to, as a session does. Returns Jain's index of what they got.
 */
static double busy_guests(unsigned int n, uint32_t (*size)(unsigned int i), unsigned int turns)
{
    uint64_t *got = calloc(n, sizeof(*got));
    uint32_t allowed;
    xids_fair_init(&f, 0, 1, 0);
    struct xids_fair_guest *g = guests(n, 0), *at;
    for (unsigned int i = 0; i < n; i++)
        xids_fair_wake(&f, &g[i]);
    for (unsigned int t = 0; t < turns; t++) {
        uint32_t cost = 0;
        at = next(&allowed, 0);
        ck_assert_ptr_nonnull(at);
        size_t i = (size_t)(at - g);
        while (cost < allowed)
            cost += size((unsigned int)i);
        got[i] += cost;
        ck_assert(!xids_fair_served(&f, at, cost, true, 0));
    }
    double index = jain(got, n);
    free(got);
    free(g);
    return index;
}

static uint32_t same_size(unsigned int i)
{
    (void)i;
    return 1088;
}

static uint32_t any_size(unsigned int i)
{
    static const uint32_t sizes[] = {65, 96, 112, 1072, 1088, 8256};
    return sizes[i % 6];
}

START_TEST(a_thousand_equal_guests_get_the_same)
{
    ck_assert_double_ge(busy_guests(1000, same_size, 100000), 0.999);
}
END_TEST

START_TEST(sizes_of_requests_change_no_share)
{
    ck_assert_double_ge(busy_guests(1000, any_size, 100000), 0.99);
}
END_TEST

START_TEST(who_wakes_up_goes_before_a_hundred_hogs)
{
    uint32_t allowed;
    xids_fair_init(&f, 0, 1, 0);
    struct xids_fair_guest *g = guests(101, 0), *victim = &g[100], *at;
    for (unsigned int i = 0; i < 100; i++)
        xids_fair_wake(&f, &g[i]);
    for (unsigned int t = 0; t < 10000; t++) {
        if (t % 100 == 57) {
            /* At any point of the round: the turn that is under way ends, and the next is the victim's. */
            xids_fair_wake(&f, victim);
            at = next(&allowed, 0);
            if (t > 100)
                ck_assert_ptr_eq(at, victim);
        } else {
            at = next(&allowed, 0);
        }
        ck_assert(!xids_fair_served(&f, at, at == victim ? 96 : Q, at != victim, 0));
    }
    free(g);
}
END_TEST

START_TEST(who_falls_asleep_and_wakes_all_the_time_gains_nothing)
{
    uint64_t got[2] = {0, 0};
    uint32_t allowed;
    xids_fair_init(&f, 0, 1, 0);
    struct xids_fair_guest *g = guests(2, 0), *at;
    xids_fair_wake(&f, &g[0]);
    for (unsigned int t = 0; t < 10000; t++) {
        xids_fair_wake(&f, &g[1]);
        at = next(&allowed, 0);
        got[at - g] += allowed;
        ck_assert(!xids_fair_served(&f, at, allowed, at == &g[0], 0));
    }
    ck_assert_uint_ge(got[0] * 100, got[1] * 98);
    free(g);
}
END_TEST

START_TEST(who_asked_for_much_of_late_is_not_fresh_because_it_slept)
{
    uint32_t allowed;
    xids_fair_init(&f, 1000, 1600000, 0);
    struct xids_fair_guest *g = guests(3, 0);
    ck_assert(!xids_fair_charge(&f, &g[0], 100001, 0));
    ck_assert(!xids_fair_charge(&f, &g[1], 99999, 0));
    for (unsigned int i = 0; i < 3; i++)
        xids_fair_wake(&f, &g[i]);
    for (unsigned int i = 0; i < 3; i++) {
        struct xids_fair_guest *at = next(&allowed, 0);
        ck_assert_ptr_eq(at, &g[(i + 1) % 3]);
        ck_assert(!xids_fair_served(&f, at, 100, false, 0));
    }
    free(g);
}
END_TEST

START_TEST(a_costly_request_is_paid_back_in_the_rounds_that_follow)
{
    uint64_t got[2] = {0, 0};
    uint32_t allowed;
    xids_fair_init(&f, 0, 1, 0);
    struct xids_fair_guest *g = guests(2, 0), *at;
    xids_fair_wake(&f, &g[0]);
    xids_fair_wake(&f, &g[1]);
    for (unsigned int t = 0; t < 5000; t++) {
        at = next(&allowed, 0);
        uint32_t cost = at == g ? 8192 : 96;
        got[at - g] += cost;
        ck_assert(!xids_fair_served(&f, at, cost, true, 0));
    }
    /* The second never uses its quantum up; but it has had a turn for each quantum of the first's. */
    ck_assert_uint_ge(got[1] / 96, got[0] / Q - 8);
    free(g);
}
END_TEST

START_TEST(over_a_long_time_each_gets_its_rate_and_no_more)
{
    enum { N = 50 };
    uint64_t got[N] = {0}, now = 0;
    uint32_t allowed;
    const uint64_t rate = 100000, burst = 50000;
    xids_fair_init(&f, rate, burst, 0);
    struct xids_fair_guest *g = guests(N, 0), *at;
    for (unsigned int i = 0; i < N; i++)
        xids_fair_wake(&f, &g[i]);
    /* The server is fast enough for all: 1 ns a byte. */
    while (now < 20 * S) {
        while (xids_fair_release(&f, now) != NULL)
            continue;
        at = next(&allowed, now);
        if (at == NULL) {
            now = xids_fair_due(&f);
            continue;
        }
        got[at - g] += allowed;
        now += allowed;
        (void)xids_fair_served(&f, at, allowed, true, now);
    }
    for (unsigned int i = 0; i < N; i++) {
        ck_assert_uint_le(got[i], burst + 21 * rate);
        ck_assert_uint_ge(got[i], burst + 19 * rate);
    }
    ck_assert_double_ge(jain(got, N), 0.9999);
    free(g);
}
END_TEST

/* ---- everything at random, against a plain count of what is where ---- */

START_TEST(nobody_is_lost_whatever_happens)
{
    enum { N = 64 };
    const unsigned int seed = 20261122u + (unsigned int)_i;
    uint64_t now = (uint64_t)seed * S, x = seed;
    uint32_t allowed;
    bool joined[N] = {0};
    xids_fair_init(&f, 20000, 20000, now);
    struct xids_fair_guest *g = calloc(N, sizeof(*g)), *at;
    for (unsigned int step = 0; step < 20000; step++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        unsigned int i = (unsigned int)(x >> 33) % N, what = (unsigned int)(x >> 40) % 8;
        uint32_t cost = (uint32_t)(x >> 44) % 9000;
        now += (x >> 20) % (4 * MS);
        if (what == 0 && joined[i]) {
            xids_fair_leave(&f, &g[i]);
            memset(&g[i], 0, sizeof(g[i]));
            joined[i] = false;
        } else if (!joined[i]) {
            xids_fair_join(&f, &g[i], now);
            joined[i] = true;
        } else if (what == 1) {
            (void)xids_fair_charge(&f, &g[i], cost, now);
        } else if (what == 2) {
            xids_fair_give(&f, &g[i], cost, now);
        } else if (what == 3) {
            (void)xids_fair_release(&f, now);
        } else if (what < 6) {
            xids_fair_wake(&f, &g[i]);
        } else if ((at = next(&allowed, now)) != NULL) {
            ck_assert(joined[at - g]);
            (void)xids_fair_served(&f, at, cost, what == 6, now);
        }
        unsigned int held = 0, waiting = 0;
        bool fine = true;
        for (unsigned int k = 0; k < N; k++) {
            held += g[k].state == XIDS_FAIR_HELD;
            waiting += g[k].state == XIDS_FAIR_FRESH || g[k].state == XIDS_FAIR_ROUND;
            fine = fine && (g[k].state == XIDS_FAIR_IDLE) == (g[k].link == NULL);
        }
        fine = fine && f.held == held && xids_fair_waiting(&f) == (waiting > 0) &&
               (xids_fair_due(&f) == UINT64_MAX) == (held == 0);
        if (!fine)
            ck_abort_msg("seed %u step %u", seed, step);
    }
    /* In the end all come back, and are served. */
    now += 3600 * S;
    while (xids_fair_release(&f, now) != NULL)
        continue;
    ck_assert_uint_eq(f.held, 0);
    unsigned int turns = 0;
    while ((at = next(&allowed, now)) != NULL && turns++ < 10 * N)
        (void)xids_fair_served(&f, at, 1, false, now);
    ck_assert_msg(at == NULL && !xids_fair_waiting(&f), "seed %u", seed);
    free(g);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_fair");
    TCase *bucket = tcase_create("bucket"), *held = tcase_create("held"), *order = tcase_create("order");
    /* Against hanging only: many steps, and machines differ. */
    tcase_set_timeout(bucket, 60);
    tcase_set_timeout(held, 60);
    tcase_set_timeout(order, 60);
    tcase_add_test(bucket, a_full_bucket_is_used_up_to_the_byte);
    tcase_add_test(bucket, refill_is_exact_however_it_is_looked_at);
    tcase_add_test(bucket, a_bucket_holds_no_more_than_the_burst);
    tcase_add_test(bucket, largest_rate_and_burst_do_not_overflow);
    tcase_add_test(bucket, a_clock_that_goes_back_gives_and_takes_nothing);
    tcase_add_test(bucket, a_smaller_burst_holds_for_those_who_have_more);
    tcase_add_test(bucket, without_a_rate_nobody_is_held);
    tcase_add_test(held, who_is_held_comes_back_when_its_bucket_has_refilled);
    tcase_add_test(held, who_is_held_is_neither_served_nor_charged);
    tcase_add_test(held, a_gift_frees_and_is_spent_before_the_bucket);
    tcase_add_test(held, many_are_held_and_each_comes_back_in_time_and_once);
    tcase_add_test(held, a_clock_that_jumps_frees_all_that_were_held);
    tcase_add_test(held, who_leaves_is_nowhere);
    tcase_add_test(order, a_thousand_equal_guests_get_the_same);
    tcase_add_test(order, sizes_of_requests_change_no_share);
    tcase_add_test(order, who_wakes_up_goes_before_a_hundred_hogs);
    tcase_add_test(order, who_falls_asleep_and_wakes_all_the_time_gains_nothing);
    tcase_add_test(order, who_asked_for_much_of_late_is_not_fresh_because_it_slept);
    tcase_add_test(order, a_costly_request_is_paid_back_in_the_rounds_that_follow);
    tcase_add_test(order, over_a_long_time_each_gets_its_rate_and_no_more);
    tcase_add_loop_test(order, nobody_is_lost_whatever_happens, 0, 8);
    suite_add_tcase(s, bucket);
    suite_add_tcase(s, held);
    suite_add_tcase(s, order);
    return s;
}
