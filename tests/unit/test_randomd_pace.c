/* SPDX-License-Identifier: ISC */
/* How long xids-randomd looks for events before it sleeps, on a clock of the test's. */
#include "randomd/pace.h"
#include "tests/unit/suite.h"

#define START 1000000000000ull

static struct pace pace;
static uint64_t now;

static void begin(void)
{
    now = START;
    pace_init(&pace, now);
}

/* Looks in vain until it would not look any more. How often. */
static unsigned int give_up(void)
{
    unsigned int looks = 0;
    for (uint64_t limit; (limit = pace_limit(&pace, now)) > 0; looks++) {
        now += limit;
        pace_looked(&pace, limit, false);
        ck_assert_uint_lt(looks, 1000);
    }
    return looks;
}

/* So many sleeps of ns each that an event ends; stops when it would look again. How many there were. */
static unsigned int sleeps(unsigned int most, uint64_t ns)
{
    unsigned int n = 0;
    while (n < most && pace_limit(&pace, now) == 0) {
        pace_sleeps(&pace, now);
        now += ns;
        pace_woken(&pace, now);
        n++;
    }
    return n;
}

START_TEST(looks_that_meet_an_event_go_on)
{
    for (unsigned int i = 0; i < 100; i++) {
        ck_assert_uint_eq(pace_limit(&pace, now), PACE_LOOK_NS);
        now += 1000;
        pace_looked(&pace, 1000, true);
        now += 10 * 1000;
    }
}
END_TEST

START_TEST(looks_in_vain_end_soon)
{
    uint64_t before = now;
    ck_assert_uint_eq(pace_limit(&pace, now), PACE_LOOK_NS);
    ck_assert_uint_le(give_up(), 8);
    ck_assert_uint_le(now - before, 2ull * PACE_LOOK_NS);
    ck_assert_uint_eq(pace_limit(&pace, now + 1000000000u), 0);
}
END_TEST

START_TEST(trials_in_vain_become_rare)
{
    (void)give_up();
    unsigned int last = sleeps(10000, 5000);
    ck_assert_uint_ge(last, PACE_RESTS_MIN);
    ck_assert_uint_le(last, PACE_RESTS_MIN + 1);
    for (unsigned int i = 0; i < 20; i++) {
        ck_assert_uint_eq(give_up(), 1);
        now += 1000000000u;
        unsigned int next = sleeps(10000, 5000);
        ck_assert_uint_gt(next, last < PACE_RESTS_MAX ? last : PACE_RESTS_MAX - 1);
        last = next;
    }
    ck_assert_uint_le(last, PACE_RESTS_MAX + 1);
}
END_TEST

START_TEST(a_trial_that_meets_brings_all_back)
{
    (void)give_up();
    (void)sleeps(10000, 5000);
    ck_assert_uint_eq(pace_limit(&pace, now), PACE_LOOK_NS);
    pace_looked(&pace, 3000, true);
    unsigned int looks = give_up();
    ck_assert_uint_gt(looks, 1);
    ck_assert_uint_le(sleeps(10000, 5000), PACE_RESTS_MIN + 1);
}
END_TEST

START_TEST(long_sleeps_bring_no_trial)
{
    (void)give_up();
    ck_assert_uint_eq(sleeps(5000, PACE_SHORT_NS + 1), 5000);
}
END_TEST

/* A guest that asks right before each look would end. */
START_TEST(looks_take_a_part_of_the_time_only)
{
    uint64_t looked = 0;
    while (now < START + 10000000000u) {
        uint64_t limit = pace_limit(&pace, now);
        if (limit > 0) {
            now += limit - 1;
            looked += limit - 1;
            pace_looked(&pace, limit - 1, true);
        } else {
            pace_sleeps(&pace, now);
            now += PACE_LOOK_NS - 1;
            pace_woken(&pace, now);
        }
        now += 500;
    }
    ck_assert_uint_le(looked, (now - START) / PACE_PART + PACE_SAVED_NS + PACE_LOOK_NS);
    ck_assert_uint_ge(looked, (now - START) / PACE_PART - PACE_LOOK_NS);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_pace");
    TCase *t = tcase_create("pace");
    tcase_add_checked_fixture(t, begin, NULL);
    tcase_add_test(t, looks_that_meet_an_event_go_on);
    tcase_add_test(t, looks_in_vain_end_soon);
    tcase_add_test(t, trials_in_vain_become_rare);
    tcase_add_test(t, a_trial_that_meets_brings_all_back);
    tcase_add_test(t, long_sleeps_bring_no_trial);
    tcase_add_test(t, looks_take_a_part_of_the_time_only);
    suite_add_tcase(s, t);
    return s;
}
