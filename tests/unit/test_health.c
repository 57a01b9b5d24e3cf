/* SPDX-License-Identifier: ISC */
/* The health tests: their cut-offs, computed again from the standard's definition, and what they say of samples. */
#include "tests/unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <xids/health.h>

static struct xids_health h;

static void begin(enum xids_health_kind kind, unsigned int claim)
{
    ck_assert_int_eq(xids_health_init(&h, kind, claim), 0);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_UNTESTED);
}

/* ---- cut-offs ---- */

/*
 * 1 + the smallest k for which the probability of more than k successes of n, each of probability 2^-bits, is at most
 * 2^-log2; at least 2, for the first sample of a window is no repetition.
 */
static unsigned int proportion_limit(unsigned int n, double bits, double log2)
{
    double p = exp2(-bits), above = 0;
    for (unsigned int k = n;; k--) {
        double ways = (lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0)) / M_LN2;
        above += exp2(ways - k * bits + (n - k) * log1p(-p) / M_LN2);
        if (above > exp2(-log2))
            return k + 1 > 2 ? k + 1 : 2;
    }
}

static unsigned int repetition_limit(double bits, double log2)
{
    double repeats = ceil(log2 / bits);
    return 1 + (unsigned int)repeats;
}

static void check_limits(enum xids_health_kind kind, unsigned int claim, double bits, unsigned int window)
{
    begin(kind, claim);
    ck_assert_uint_eq(h.window, window);
    ck_assert_uint_eq(h.repeats_fail, repetition_limit(claim / 8.0, 30));
    ck_assert_uint_eq(h.repeats_condemn, repetition_limit(claim / 8.0, 60));
    ck_assert_msg(h.seen_fail == proportion_limit(window, bits, 30), "claim %u: %u", claim, h.seen_fail);
    ck_assert_msg(h.seen_condemn == proportion_limit(window, bits, 60), "claim %u: %u", claim, h.seen_condemn);
}

START_TEST(cut_offs_are_those_of_the_standard)
{
    for (unsigned int claim = 1; claim <= 8; claim++)
        check_limits(XIDS_HEALTH_BITS, claim, claim / 8.0, 1024);
    for (unsigned int claim = 1; claim <= 64; claim++) {
        check_limits(XIDS_HEALTH_BYTES, claim, claim / 8.0, 512);
        check_limits(XIDS_HEALTH_WORDS, claim, claim / 8.0, 512);
    }
    for (unsigned int claim = 65; claim <= 512; claim++)
        check_limits(XIDS_HEALTH_WORDS, claim, claim / 8u, 512);
    check_limits(XIDS_HEALTH_RDSEED, 512, 64, 512);
}
END_TEST

/* As others have computed and published them. */
START_TEST(cut_offs_agree_with_published_ones)
{
    static const struct {
        unsigned int claim, repeats, seen;
    } known[] = {{4, 61, 422}, {8, 31, 325}, {16, 16, 190}, {32, 9, 71}};
    for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        begin(XIDS_HEALTH_BYTES, known[i].claim);
        ck_assert_uint_eq(h.repeats_fail, known[i].repeats);
        ck_assert_uint_eq(h.seen_fail, known[i].seen);
    }
    begin(XIDS_HEALTH_BITS, 8);
    ck_assert_uint_eq(h.window, 1024);
}
END_TEST

START_TEST(impossible_claims_are_refused)
{
    static const struct {
        enum xids_health_kind kind;
        unsigned int claim;
    } bad[] = {{XIDS_HEALTH_BITS, 0},     {XIDS_HEALTH_BITS, 9},   {XIDS_HEALTH_BYTES, 0},
               {XIDS_HEALTH_BYTES, 65},   {XIDS_HEALTH_WORDS, 0},  {XIDS_HEALTH_WORDS, 513},
               {XIDS_HEALTH_RDSEED, 511}, {XIDS_HEALTH_RDSEED, 0}, {XIDS_HEALTH_RDSEED, 513}};
    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(xids_health_init(&h, bad[i].kind, bad[i].claim), -XEN_EINVAL);
}
END_TEST

/* ---- samples ---- */

/* All different for as long as a window. */
static uint64_t fine(unsigned int i)
{
    return (uint64_t)i * 0x9e3779b97f4a7c15ull + 1;
}

static void pass(unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        (void)xids_health_add(&h, fine(i));
}

START_TEST(start_up_takes_1024_samples)
{
    begin(XIDS_HEALTH_WORDS, 64);
    pass(1023);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_UNTESTED);
    ck_assert_int_eq(xids_health_add(&h, 7), XIDS_HEALTH_GOOD);
    ck_assert_uint_eq(h.samples, 1024);
    ck_assert_uint_eq(h.failures, 0);
}
END_TEST

/* The cut-off itself fails, one below does not: at the start, and later. */
START_TEST(stuck_source_fails_at_the_cut_off)
{
    begin(XIDS_HEALTH_BYTES, 8);
    if (_i == 1)
        pass(2000);
    enum xids_health_state before = xids_health_state(&h);
    for (unsigned int i = 1; i <= 61; i++) {
        enum xids_health_state state = xids_health_add(&h, 0xe5);
        ck_assert_int_eq(state, i < 31 ? before : i < 61 ? XIDS_HEALTH_FAILED : XIDS_HEALTH_CONDEMNED);
    }
    ck_assert_uint_eq(h.failures, 2);
}
END_TEST

START_TEST(a_run_below_the_cut_off_is_forgiven_when_it_ends)
{
    begin(XIDS_HEALTH_BYTES, 8);
    for (unsigned int round = 0; round < 100; round++)
        for (unsigned int i = 0; i < 30; i++)
            (void)xids_health_add(&h, round);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_GOOD);
}
END_TEST

/* 0, 1, 0, 2, 0, 3 ...: never a repetition. */
START_TEST(biased_source_fails_at_the_proportion)
{
    begin(XIDS_HEALTH_BYTES, 16);
    unsigned int zeros = 0;
    for (unsigned int i = 0; i < 512; i++) {
        bool zero = i % 2 == 0;
        zeros += zero;
        enum xids_health_state state = xids_health_add(&h, zero ? 0 : 1 + (i / 2) % 255);
        ck_assert_int_eq(state, zeros < 190   ? XIDS_HEALTH_UNTESTED
                                : zeros < 220 ? XIDS_HEALTH_FAILED
                                              : XIDS_HEALTH_CONDEMNED);
    }
    ck_assert_uint_eq(zeros, 256);
}
END_TEST

/* The count begins anew with each window: 100 of each 512 are below 190. */
START_TEST(windows_are_counted_apart)
{
    begin(XIDS_HEALTH_BYTES, 16);
    for (unsigned int i = 0; i < 10 * 512; i++)
        (void)xids_health_add(&h, i % 5 == 0 ? 0 : 1 + i % 255);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_GOOD);
}
END_TEST

START_TEST(bits_are_tested_as_bits)
{
    unsigned int i = 0;
    begin(XIDS_HEALTH_BITS, 8);
    /* Three ones to a zero: at most 3 repetitions, and about 768 of 1024. */
    while (xids_health_add(&h, i % 4 != 3 ? 0xff : 0xfe) == XIDS_HEALTH_UNTESTED && i < 1024)
        i++;
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_FAILED);
    ck_assert_uint_lt(i, 1023);
}
END_TEST

START_TEST(only_the_samples_own_bits_count)
{
    begin(XIDS_HEALTH_BYTES, 64);
    for (unsigned int i = 0; i < 20; i++)
        (void)xids_health_add(&h, (uint64_t)i << 8 | 5);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_CONDEMNED);
    begin(XIDS_HEALTH_WORDS, 64);
    for (unsigned int i = 0; i < 20; i++)
        (void)xids_health_add(&h, (uint64_t)i << 8 | 5);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_UNTESTED);
}
END_TEST

START_TEST(rdseed_is_condemned_by_zeros_ones_and_repetition)
{
    static const uint64_t words[] = {0, UINT64_MAX};
    for (unsigned int i = 0; i < 2; i++) {
        begin(XIDS_HEALTH_RDSEED, 512);
        pass(1024);
        ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_GOOD);
        ck_assert_int_eq(xids_health_add(&h, words[i]), XIDS_HEALTH_CONDEMNED);
        ck_assert_uint_eq(h.failures, 1);
    }
    begin(XIDS_HEALTH_RDSEED, 512);
    ck_assert_int_eq(xids_health_add(&h, 77), XIDS_HEALTH_UNTESTED);
    ck_assert_int_eq(xids_health_add(&h, 77), XIDS_HEALTH_CONDEMNED);
    /* For other words they are values as all others. */
    begin(XIDS_HEALTH_WORDS, 512);
    ck_assert_int_eq(xids_health_add(&h, 0), XIDS_HEALTH_UNTESTED);
    ck_assert_int_eq(xids_health_add(&h, UINT64_MAX), XIDS_HEALTH_UNTESTED);
}
END_TEST

/* ---- after a failure ---- */

START_TEST(a_failure_stays_until_reset_and_needs_a_start_up_test_then)
{
    begin(XIDS_HEALTH_BYTES, 8);
    for (unsigned int i = 0; i < 31; i++)
        (void)xids_health_add(&h, 1);
    pass(5000);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_FAILED);
    xids_health_reset(&h);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_UNTESTED);
    pass(1023);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_UNTESTED);
    pass(1);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_GOOD);
    ck_assert_uint_eq(h.failures, 1);
    ck_assert_uint_eq(h.samples, 31 + 5000 + 1024);
}
END_TEST

/* What was before it counts no more, and the samples are not kept. */
START_TEST(reset_forgets_what_was_counted)
{
    begin(XIDS_HEALTH_BYTES, 8);
    for (unsigned int i = 0; i < 30; i++)
        (void)xids_health_add(&h, 0x5a);
    xids_health_reset(&h);
    ck_assert_uint_eq(h.last, 0);
    ck_assert_uint_eq(h.reference, 0);
    for (unsigned int i = 0; i < 30; i++)
        (void)xids_health_add(&h, 0x5a);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_UNTESTED);
}
END_TEST

START_TEST(the_condemned_stay_so)
{
    begin(XIDS_HEALTH_BYTES, 8);
    for (unsigned int i = 0; i < 61; i++)
        (void)xids_health_add(&h, 1);
    xids_health_reset(&h);
    pass(5000);
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_CONDEMNED);
    begin(XIDS_HEALTH_BYTES, 8);
}
END_TEST

/* Full claims on what is uniform: a false alarm comes once in 2^30. The seed makes the run the same each time. */
START_TEST(uniform_bytes_pass_the_strictest_claim)
{
    uint64_t x = 0x123456789abcdefull;
    begin(XIDS_HEALTH_BYTES, 64);
    for (unsigned int i = 0; i < 100000; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        (void)xids_health_add(&h, x >> 33);
    }
    ck_assert_int_eq(xids_health_state(&h), XIDS_HEALTH_GOOD);
    ck_assert_uint_eq(h.failures, 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("health");
    TCase *tc = tcase_create("health");
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, cut_offs_are_those_of_the_standard);
    tcase_add_test(tc, cut_offs_agree_with_published_ones);
    tcase_add_test(tc, impossible_claims_are_refused);
    tcase_add_test(tc, start_up_takes_1024_samples);
    tcase_add_loop_test(tc, stuck_source_fails_at_the_cut_off, 0, 2);
    tcase_add_test(tc, a_run_below_the_cut_off_is_forgiven_when_it_ends);
    tcase_add_test(tc, biased_source_fails_at_the_proportion);
    tcase_add_test(tc, windows_are_counted_apart);
    tcase_add_test(tc, bits_are_tested_as_bits);
    tcase_add_test(tc, only_the_samples_own_bits_count);
    tcase_add_test(tc, rdseed_is_condemned_by_zeros_ones_and_repetition);
    tcase_add_test(tc, a_failure_stays_until_reset_and_needs_a_start_up_test_then);
    tcase_add_test(tc, reset_forgets_what_was_counted);
    tcase_add_test(tc, the_condemned_stay_so);
    tcase_add_test(tc, uniform_bytes_pass_the_strictest_claim);
    return suite;
}
