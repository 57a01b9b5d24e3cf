/* SPDX-License-Identifier: ISC */
/* The check that nothing is given out twice: what it remembers, for how long, and what it does not keep. */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>

#include "randomd/bytes.h"
#include "randomd/canary.h"

static struct canary *c;

static void begin(void)
{
    uint8_t key[16];
    for (unsigned int i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    c = aligned_alloc(64, sizeof(*c));
    ck_assert_ptr_nonnull(c);
    memset(c, 0, sizeof(*c));
    canary_key(c, key);
}

static void end(void)
{
    free(c);
}

/* A different answer for each number. */
static bool unseen(uint64_t number, bool first)
{
    uint8_t bytes[48];
    memset(bytes, 0x33, sizeof(bytes));
    put64(bytes + 4, number);
    return canary_unseen(c, bytes, sizeof(bytes), first);
}

START_TEST(what_was_given_out_is_found)
{
    for (unsigned int first = 0; first < 2; first++)
        for (unsigned int then = 0; then < 2; then++) {
            uint64_t n = 1 + first * 2 + then;
            ck_assert(unseen(n, first != 0));
            ck_assert(!unseen(n, then != 0));
            ck_assert(!unseen(n, first != 0));
        }
    ck_assert_uint_eq(c->alarms, 8);
    ck_assert_uint_eq(c->checked, 12);
}
END_TEST

START_TEST(so_is_its_beginning_in_a_longer_or_shorter_answer)
{
    uint8_t bytes[64];
    memset(bytes, 7, sizeof(bytes));
    ck_assert(canary_unseen(c, bytes, 64, false));
    bytes[16] = 8;
    ck_assert(!canary_unseen(c, bytes, 64, false));
    ck_assert(!canary_unseen(c, bytes, 16, false));
    bytes[15] = 8;
    ck_assert(canary_unseen(c, bytes, 16, false));
}
END_TEST

START_TEST(short_answers_are_compared_from_eight_bytes_on)
{
    static const uint8_t bytes[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    for (size_t len = 1; len < CANARY_LEAST; len++) {
        ck_assert(canary_unseen(c, bytes, len, false));
        ck_assert(canary_unseen(c, bytes, len, false));
    }
    for (size_t len = CANARY_LEAST; len <= CANARY_BYTES; len++) {
        ck_assert(canary_unseen(c, bytes, len, false));
        ck_assert(!canary_unseen(c, bytes, len, false));
    }
}
END_TEST

/* Many more than there are places, none of which is another. */
START_TEST(different_answers_raise_no_alarm)
{
    const uint64_t many = 4u * CANARY_WAYS * (CANARY_FIRST_SETS + CANARY_OTHER_SETS);
    uint64_t new = 0;
    for (uint64_t n = 0; n < many; n++)
        new += unseen(n, n % 5 == 0) ? 1 : 0;
    ck_assert_uint_eq(new, many);
    ck_assert_uint_eq(c->alarms, 0);
}
END_TEST

START_TEST(a_flood_of_answers_does_not_push_out_the_first_ones)
{
    for (uint64_t n = 0; n < 1000; n++)
        ck_assert(unseen(n, true));
    for (uint64_t n = 0; n < 10u * CANARY_WAYS * CANARY_OTHER_SETS; n++)
        (void)unseen(1u << 20 | n << 32, false);
    ck_assert_uint_eq(c->alarms, 0);
    for (uint64_t n = 0; n < 1000; n++)
        ck_assert(!unseen(n, true));
}
END_TEST

/* As many as there are guests at most: nearly all of their first answers are still known afterwards. */
START_TEST(the_first_answers_of_all_guests_are_remembered)
{
    const uint64_t guests = 32000;
    uint64_t forgotten = 0;
    for (uint64_t n = 0; n < guests; n++)
        (void)unseen(n, true);
    ck_assert_uint_eq(c->alarms, 0);
    for (uint64_t n = 0; n < guests; n++)
        forgotten += unseen(n, true) ? 1 : 0;
    ck_assert_uint_lt(forgotten, guests / 20);
}
END_TEST

START_TEST(the_latest_answers_are_remembered)
{
    for (uint64_t n = 0; n < 100000; n++)
        (void)unseen(n, false);
    ck_assert_uint_eq(c->alarms, 0);
    for (uint64_t n = 100000 - 1000; n < 100000; n++)
        ck_assert(!unseen(n, false));
}
END_TEST

START_TEST(another_key_makes_other_hashes)
{
    uint8_t key[16] = {1};
    struct canary *other = aligned_alloc(64, sizeof(*other));
    ck_assert_ptr_nonnull(other);
    memset(other, 0, sizeof(*other));
    canary_key(other, key);
    static const uint8_t bytes[16] = {1, 2, 3};
    ck_assert(canary_unseen(c, bytes, 16, true));
    ck_assert(canary_unseen(other, bytes, 16, true));
    ck_assert_mem_ne(c->sets, other->sets, sizeof(c->sets));
    free(other);
}
END_TEST

/* The vectors of SipHash-2-4 with 128 bits of output: key and message are 00, 01, 02, ... */
START_TEST(what_is_kept_is_a_keyed_hash)
{
    static const struct {
        size_t len;
        uint64_t low, high;
    } vectors[] = {
        {8, 0x61f55862baa9623b, 0xb49714f364e2830f},
        {12, 0x58f35e9066b226d6, 0x25c13285f64d6382},
        {16, 0xbb54b067caa4e26e, 0x77052385bf1533fd},
    };
    uint8_t bytes[48];
    memset(bytes, 0xee, sizeof(bytes));
    for (unsigned int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)i;
    for (unsigned int i = 0; i < 3; i++) {
        ck_assert(canary_unseen(c, bytes, vectors[i].len, true));
        ck_assert_uint_eq(c->sets[vectors[i].high % CANARY_FIRST_SETS][0], vectors[i].low);
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd_canary");
    TCase *t = tcase_create("canary");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, what_was_given_out_is_found);
    tcase_add_test(t, so_is_its_beginning_in_a_longer_or_shorter_answer);
    tcase_add_test(t, short_answers_are_compared_from_eight_bytes_on);
    tcase_add_test(t, different_answers_raise_no_alarm);
    tcase_add_test(t, a_flood_of_answers_does_not_push_out_the_first_ones);
    tcase_add_test(t, the_first_answers_of_all_guests_are_remembered);
    tcase_add_test(t, the_latest_answers_are_remembered);
    tcase_add_test(t, another_key_makes_other_hashes);
    tcase_add_test(t, what_is_kept_is_a_keyed_hash);
    suite_add_tcase(suite, t);
    return suite;
}
