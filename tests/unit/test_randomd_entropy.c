/* SPDX-License-Identifier: ISC */
/* A guest's generator: what its inputs are worth, together and when some of them lie. */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/entropy.h>

#define S 1000000000ull
#define MS 1000000ull
#define SEED 48u

static const struct xids_entropy_config config = {.nonce = "a nonce", .identity = "a guest"};

static void seed_of(uint8_t seed[SEED], unsigned int what)
{
    for (unsigned int i = 0; i < SEED; i++)
        seed[i] = (uint8_t)(what * 48u + i * 5u);
}

static void give(struct xids_entropy *e, unsigned int server, unsigned int what, uint64_t now)
{
    uint8_t seed[SEED];
    seed_of(seed, what);
    xids_entropy_host(e, server, true, seed, now);
}

static void draw(struct xids_entropy *e, uint8_t out[32])
{
    ck_assert_int_eq(xids_entropy_random(e, out, 32), 0);
}

static void assert_same_output(struct xids_entropy *a, struct xids_entropy *b, bool same)
{
    uint8_t x[32], y[32];
    draw(a, x);
    draw(b, y);
    ck_assert_int_eq(memcmp(x, y, 32) == 0, same);
}

static bool holds(const void *mem, size_t size, const void *bytes, size_t len)
{
    for (size_t i = 0; i + len <= size; i++)
        if (memcmp((const uint8_t *)mem + i, bytes, len) == 0)
            return true;
    return false;
}

/* ---- what it says of itself ---- */

START_TEST(nothing_is_given_out_before_anything_came_in)
{
    static const uint8_t zeros[32];
    uint8_t out[32];
    struct xids_entropy e;
    memset(out, 0xee, sizeof(out));
    xids_entropy_init(&e, &config, 5 * S);
    ck_assert_int_eq(xids_entropy_random(&e, out, sizeof(out)), -XEN_EAGAIN);
    ck_assert_mem_eq(out, zeros, sizeof(out));
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_eq(xids_entropy_age(&e, 9 * S), UINT64_MAX);
    ck_assert_uint_eq(xids_entropy_local_age(&e, 9 * S), UINT64_MAX);
    for (unsigned int i = 0; i < XIDS_ENTROPY_SERVERS; i++)
        ck_assert_uint_eq(xids_entropy_server_age(&e, i, 9 * S), UINT64_MAX);
    ck_assert_uint_eq(xids_entropy_deadline(&e), UINT64_MAX);
}
END_TEST

START_TEST(each_input_has_its_age_and_the_youngest_of_the_grade_counts)
{
    struct xids_entropy e;
    xids_entropy_init(&e, &config, 0);
    xids_entropy_local(&e, "local", 5, 256, 1 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_LOCAL);
    ck_assert_uint_eq(xids_entropy_age(&e, 10 * S), 9 * S);
    give(&e, 2, 1, 3 * S);
    give(&e, 0, 1, 4 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_entropy_age(&e, 10 * S), 6 * S);
    ck_assert_uint_eq(xids_entropy_server_age(&e, 0, 10 * S), 6 * S);
    ck_assert_uint_eq(xids_entropy_server_age(&e, 1, 10 * S), UINT64_MAX);
    ck_assert_uint_eq(xids_entropy_server_age(&e, 2, 10 * S), 7 * S);
    ck_assert_uint_eq(xids_entropy_local_age(&e, 10 * S), 9 * S);
    xids_entropy_local(&e, "more", 4, 256, 9 * S);
    ck_assert_uint_eq(xids_entropy_age(&e, 10 * S), 6 * S);
    ck_assert_uint_eq(xids_entropy_local_age(&e, 10 * S), 1 * S);
}
END_TEST

START_TEST(a_server_that_cannot_be_is_nobody)
{
    struct xids_entropy e, f;
    xids_entropy_init(&e, &config, 0);
    give(&e, XIDS_ENTROPY_SERVERS, 1, S);
    give(&e, UINT32_MAX, 1, S);
    xids_entropy_expect(&e, XIDS_ENTROPY_SERVERS, UINT64_MAX);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    xids_entropy_init(&f, &config, 0);
    give(&e, 0, 1, S);
    give(&f, 0, 1, S);
    xids_entropy_doubt(&e, XIDS_ENTROPY_SERVERS, S);
    xids_entropy_session(&e, XIDS_ENTROPY_SERVERS, 1);
    xids_entropy_lost(&e, XIDS_ENTROPY_SERVERS);
    assert_same_output(&e, &f, true);
}
END_TEST

/* ---- several servers ---- */

/* How a server lies that sees all that the honest one gave, and when. */
enum lie { CONSTANT, COPY, COMPLEMENT, AGAIN_AND_AGAIN, LIES };

static void lie(struct xids_entropy *e, enum lie how, const uint8_t honest[SEED])
{
    uint8_t seed[SEED] = {0};
    for (unsigned int i = 0; how != CONSTANT && i < SEED; i++)
        seed[i] = (uint8_t)(how == COMPLEMENT ? ~honest[i] : honest[i]);
    for (unsigned int i = 0; i < (how == AGAIN_AND_AGAIN ? 9u : 1u); i++)
        xids_entropy_host(e, 1, i != 0, seed, S);
}

/* The lie comes before (0), after (1), or on both sides of (2) the honest bytes. */
static void with_a_liar(uint8_t out[32], enum lie how, int order, unsigned int flipped)
{
    struct xids_entropy e;
    uint8_t honest[SEED];
    seed_of(honest, 3);
    if (flipped < SEED * 8)
        honest[flipped / 8] ^= (uint8_t)(1u << flipped % 8);
    xids_entropy_init(&e, &config, 0);
    if (order != 1)
        lie(&e, how, honest);
    xids_entropy_host(&e, 0, true, honest, S);
    if (order != 0)
        lie(&e, how, honest);
    draw(&e, out);
}

START_TEST(one_honest_server_is_enough_whatever_the_other_says)
{
    uint8_t first[32], other[32];
    for (int order = 0; order < 3; order++) {
        with_a_liar(first, (enum lie)_i, order, UINT32_MAX);
        for (unsigned int bit = 0; bit < SEED * 8; bit++) {
            with_a_liar(other, (enum lie)_i, order, bit);
            ck_assert_mem_ne(first, other, 32);
        }
    }
}
END_TEST

START_TEST(an_honest_server_is_enough_for_any_number_of_liars_and_in_any_place)
{
    for (unsigned int honest = 0; honest < XIDS_ENTROPY_SERVERS; honest++) {
        struct xids_entropy e[2];
        for (unsigned int k = 0; k < 2; k++) {
            xids_entropy_init(&e[k], &config, 0);
            for (unsigned int i = 0; i < XIDS_ENTROPY_SERVERS; i++)
                give(&e[k], i, i == honest ? 7 + k : 0, S);
        }
        assert_same_output(&e[0], &e[1], false);
    }
}
END_TEST

START_TEST(local_sources_are_enough_when_all_servers_lie)
{
    struct xids_entropy e[2];
    for (unsigned int k = 0; k < 2; k++) {
        xids_entropy_init(&e[k], &config, 0);
        give(&e[k], 0, 0, S);
        xids_entropy_local(&e[k], k == 0 ? "mine" : "yours", 4, 256, S);
        give(&e[k], 1, 0, S);
    }
    assert_same_output(&e[0], &e[1], false);
}
END_TEST

START_TEST(local_sources_that_lie_harm_no_server)
{
    struct xids_entropy e[2];
    for (unsigned int k = 0; k < 2; k++) {
        xids_entropy_init(&e[k], &config, 0);
        xids_entropy_local(&e[k], "constant", 8, 256, S);
        give(&e[k], 0, 7 + k, S);
        xids_entropy_local(&e[k], "constant", 8, 256, S);
    }
    assert_same_output(&e[0], &e[1], false);
}
END_TEST

START_TEST(the_same_bytes_from_another_server_are_other_bytes)
{
    struct xids_entropy e, f;
    xids_entropy_init(&e, &config, 0);
    xids_entropy_init(&f, &config, 0);
    give(&e, 0, 1, S);
    give(&f, 1, 1, S);
    assert_same_output(&e, &f, false);
}
END_TEST

START_TEST(losing_a_server_takes_nothing_away)
{
    struct xids_entropy e, f;
    xids_entropy_init(&e, &config, 0);
    xids_entropy_init(&f, &config, 0);
    give(&e, 0, 1, S);
    give(&f, 0, 1, S);
    xids_entropy_lost(&e, 0);
    xids_entropy_tick(&e, 1000 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_entropy_age(&e, 1000 * S), 999 * S);
    assert_same_output(&e, &f, true);
}
END_TEST

START_TEST(the_first_server_waits_for_the_expected_ones_but_not_for_long)
{
    struct xids_entropy e;
    uint8_t out[32];
    xids_entropy_init(&e, &config, S);
    xids_entropy_expect(&e, 0, S + 10 * MS);
    xids_entropy_expect(&e, 1, S + 30 * MS);
    ck_assert_uint_eq(xids_entropy_deadline(&e), UINT64_MAX); /* there is nothing to call HOST yet */
    give(&e, 0, 1, S + 5 * MS);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(xids_entropy_random(&e, out, 32), -XEN_EAGAIN);
    ck_assert_uint_eq(xids_entropy_deadline(&e), S + 30 * MS);
    xids_entropy_tick(&e, S + 30 * MS - 1);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    xids_entropy_tick(&e, S + 30 * MS);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_entropy_deadline(&e), UINT64_MAX);
}
END_TEST

START_TEST(waiting_ends_when_all_have_come_or_gone)
{
    struct xids_entropy e;
    xids_entropy_init(&e, &config, S);
    for (unsigned int i = 0; i < 3; i++)
        xids_entropy_expect(&e, i, UINT64_MAX);
    give(&e, 0, 1, S);
    give(&e, 2, 1, S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    if (_i == 0)
        give(&e, 1, 1, S);
    else
        xids_entropy_lost(&e, 1);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
    /* One that appears later does not take it back. */
    xids_entropy_expect(&e, 3, UINT64_MAX);
    xids_entropy_tick(&e, 2 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
}
END_TEST

START_TEST(the_grade_is_local_while_host_waits)
{
    struct xids_entropy e;
    xids_entropy_init(&e, &config, S);
    xids_entropy_local(&e, "local", 5, 256, S);
    xids_entropy_expect(&e, 1, 2 * S);
    give(&e, 0, 1, S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_LOCAL);
    ck_assert_uint_eq(xids_entropy_age(&e, S + 1), 1);
}
END_TEST

/* ---- doubt ---- */

START_TEST(a_doubted_key_is_worth_nothing_until_fresh_bytes_come)
{
    struct xids_entropy e;
    uint8_t out[32];
    xids_entropy_init(&e, &config, S);
    xids_entropy_local(&e, "local", 5, 256, S);
    give(&e, 0, 1, S);
    xids_entropy_local(&e, "nearly enough", 13, 255, S);
    xids_entropy_doubt(&e, 0, 2 * S);
    ck_assert_uint_eq(xids_entropy_doubts(&e), 1);
    ck_assert_int_eq(xids_entropy_random(&e, out, 32), -XEN_EAGAIN);
    ck_assert_uint_eq(xids_entropy_server_age(&e, 0, 2 * S), UINT64_MAX);
    /* What the pool had is as old. */
    xids_entropy_local(&e, "one", 3, 1, 2 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    give(&e, 0, 2, 3 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_entropy_age(&e, 3 * S), 0);
}
END_TEST

START_TEST(a_server_cannot_make_itself_the_only_input_by_doubt)
{
    struct xids_entropy e[2];
    for (unsigned int k = 0; k < 2; k++) {
        xids_entropy_init(&e[k], &config, S);
        give(&e[k], 0, 10 + k, S);
        xids_entropy_doubt(&e[k], 1, S);
        give(&e[k], 1, 0, S);
        xids_entropy_tick(&e[k], 2 * S);
    }
    assert_same_output(&e[0], &e[1], false);
}
END_TEST

START_TEST(after_a_doubt_the_others_are_waited_for_but_not_each_time)
{
    struct xids_entropy e;
    xids_entropy_init(&e, &config, S);
    give(&e, 0, 1, S);
    xids_entropy_doubt(&e, 1, 2 * S);
    give(&e, 1, 1, 2 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_gt(xids_entropy_deadline(&e), 2 * S);
    ck_assert_uint_le(xids_entropy_deadline(&e), 3 * S);
    give(&e, 0, 1, 2 * S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
    /* Saying it all the time, and nothing else, takes from the other's bytes the moment until the next come. */
    for (uint64_t t = 2 * S + 200 * MS; t < 3 * S; t += 10 * MS) {
        xids_entropy_doubt(&e, 1, t);
        ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
        give(&e, 0, 1, t);
        ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
    }
}
END_TEST

/* ---- the guest's own ---- */

START_TEST(local_bytes_gather_until_they_are_worth_a_new_key)
{
    struct xids_entropy e, f;
    xids_entropy_init(&e, &config, 0);
    xids_entropy_init(&f, &config, 0);
    give(&e, 0, 1, S);
    give(&f, 0, 1, S);
    for (unsigned int i = 0; i < 255; i++) {
        xids_entropy_local(&e, &i, sizeof(i), 1, S);
        if (i % 50 == 0)
            assert_same_output(&e, &f, true);
    }
    ck_assert_uint_eq(xids_entropy_local_age(&e, S), UINT64_MAX);
    xids_entropy_local(&e, "the last", 8, 1, S);
    ck_assert_uint_eq(xids_entropy_local_age(&e, S), 0);
    assert_same_output(&e, &f, false);
}
END_TEST

START_TEST(what_has_gathered_goes_in_with_the_first_seed)
{
    struct xids_entropy e, f;
    xids_entropy_init(&e, &config, 0);
    xids_entropy_init(&f, &config, 0);
    xids_entropy_local(&e, "little", 6, 10, S);
    give(&e, 0, 1, S);
    give(&f, 0, 1, S);
    assert_same_output(&e, &f, false);
    /* It is spent: it takes 256 more. */
    xids_entropy_local(&e, "more", 4, 255, S);
    ck_assert_uint_eq(xids_entropy_local_age(&e, S), UINT64_MAX);
    xids_entropy_local(&e, "more", 4, 1, S);
    ck_assert_uint_eq(xids_entropy_local_age(&e, S), 0);
}
END_TEST

START_TEST(all_bytes_that_gathered_count)
{
    struct xids_entropy e, f;
    xids_entropy_init(&e, &config, 0);
    xids_entropy_init(&f, &config, 0);
    for (unsigned int i = 0; i < 64; i++) {
        unsigned int mine = i, yours = i == (unsigned int)_i ? 1000 : i;
        xids_entropy_local(&e, &mine, sizeof(mine), 4, S);
        xids_entropy_local(&f, &yours, sizeof(yours), 4, S);
    }
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_LOCAL);
    assert_same_output(&e, &f, false);
}
END_TEST

START_TEST(the_pool_is_as_specified)
{
    struct xids_entropy e;
    struct xids_rng key, pool;
    uint8_t drawn[32], want[32], got[32], seed[SEED];
    const uint8_t epoch[8] = {8, 7, 6, 5, 4, 3, 2, 1};
    xids_entropy_init(&e, &config, 0);
    xids_entropy_salt(&e, "vm", 2);
    xids_entropy_local(&e, "one", 3, 100, S);
    xids_entropy_local(&e, "other", 5, 156, S);
    give(&e, 3, 1, S);
    xids_entropy_session(&e, 2, 0x0102030405060708);
    draw(&e, got);

    xids_rng_init(&key);
    xids_rng_init(&pool);
    xids_rng_mix(&key, 1, config.nonce, 32);
    xids_rng_mix(&key, 2, config.identity, 16);
    xids_rng_mix(&key, 9, "vm", 2);
    xids_rng_mix(&pool, 5, "one", 3);
    xids_rng_mix(&pool, 5, "other", 5);
    xids_rng_fill(&pool, drawn, 32);
    xids_rng_mix(&key, 7, drawn, 32);
    seed_of(seed, 1);
    xids_rng_mix(&key, 4 + 3 * 32, seed, SEED);
    xids_rng_mix(&key, 6 + 2 * 32, epoch, 8);
    xids_rng_fill(&key, want, 32);
    ck_assert_mem_eq(got, want, 32);
}
END_TEST

START_TEST(a_source_found_broken_takes_its_credit_with_it)
{
    struct xids_entropy e;
    uint8_t out[32];
    xids_entropy_init(&e, &config, 0);
    xids_entropy_local(&e, "stuck", 5, 256, S);
    xids_entropy_local(&e, "stuck", 5, 200, S);
    xids_entropy_discredit(&e, true);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_LOCAL);
    xids_entropy_local(&e, "stuck", 5, 255, S);
    xids_entropy_discredit(&e, false);
    ck_assert_int_eq(xids_entropy_random(&e, out, 32), -XEN_EAGAIN);
    xids_entropy_local(&e, "sound", 5, 255, S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    xids_entropy_local(&e, "sound", 5, 1, S);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_LOCAL);
    give(&e, 0, 1, S);
    xids_entropy_discredit(&e, false);
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_HOST);
}
END_TEST

START_TEST(salt_makes_a_difference_and_no_grade)
{
    struct xids_entropy e, f;
    xids_entropy_init(&e, &config, 0);
    xids_entropy_init(&f, &config, 0);
    for (unsigned int i = 0; i < 300; i++)
        xids_entropy_salt(&e, &i, sizeof(i));
    ck_assert_int_eq(xids_entropy_grade(&e), XIDS_RANDOMD_GRADE_NONE);
    give(&e, 0, 1, S);
    give(&f, 0, 1, S);
    assert_same_output(&e, &f, false);
}
END_TEST

/* ---- copies of memory ---- */

START_TEST(forgetting_leaves_neither_key_nor_pool)
{
    struct xids_entropy e, fresh;
    uint8_t key[32], pool[32], out[32];
    xids_entropy_init(&e, &config, 0);
    give(&e, 0, 1, S);
    xids_entropy_local(&e, "some", 4, 200, S);
    memcpy(key, e.rng.key, 32);
    memcpy(pool, e.pool.key, 32);
    ck_assert(holds(&e, sizeof(e), key, 32) && holds(&e, sizeof(e), pool, 32));
    xids_entropy_forget(&e);
    for (unsigned int i = 0; i + 8 <= 32; i++)
        ck_assert(!holds(&e, sizeof(e), key + i, 8) && !holds(&e, sizeof(e), pool + i, 8));
    ck_assert_uint_eq(xids_entropy_copies(&e), 1);
    ck_assert_int_eq(xids_entropy_random(&e, out, 32), -XEN_EAGAIN);
    /* It is as one that begins. */
    xids_entropy_init(&fresh, &config, 0);
    give(&e, 1, 2, S);
    give(&fresh, 1, 2, S);
    assert_same_output(&e, &fresh, true);
}
END_TEST

START_TEST(wiping_leaves_zeros)
{
    static const struct xids_entropy zero;
    struct xids_entropy e;
    xids_entropy_init(&e, &config, 0);
    give(&e, 0, 1, S);
    xids_entropy_wipe(&e);
    ck_assert_mem_eq(&e, &zero, sizeof(e));
}
END_TEST

START_TEST(a_clock_that_stumbles_makes_nothing_young_or_stuck)
{
    struct xids_entropy e;
    xids_entropy_init(&e, &config, 10 * S);
    give(&e, 0, 1, 10 * S);
    ck_assert_uint_eq(xids_entropy_age(&e, 9 * S), 0);
    give(&e, 0, 2, 8 * S);
    ck_assert_uint_eq(xids_entropy_age(&e, 12 * S), 2 * S);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_entropy");
    TCase *t = tcase_create("entropy");
    tcase_add_test(t, nothing_is_given_out_before_anything_came_in);
    tcase_add_test(t, each_input_has_its_age_and_the_youngest_of_the_grade_counts);
    tcase_add_test(t, a_server_that_cannot_be_is_nobody);
    tcase_add_loop_test(t, one_honest_server_is_enough_whatever_the_other_says, 0, LIES);
    tcase_add_test(t, an_honest_server_is_enough_for_any_number_of_liars_and_in_any_place);
    tcase_add_test(t, local_sources_are_enough_when_all_servers_lie);
    tcase_add_test(t, local_sources_that_lie_harm_no_server);
    tcase_add_test(t, the_same_bytes_from_another_server_are_other_bytes);
    tcase_add_test(t, losing_a_server_takes_nothing_away);
    tcase_add_test(t, the_first_server_waits_for_the_expected_ones_but_not_for_long);
    tcase_add_loop_test(t, waiting_ends_when_all_have_come_or_gone, 0, 2);
    tcase_add_test(t, the_grade_is_local_while_host_waits);
    tcase_add_test(t, a_doubted_key_is_worth_nothing_until_fresh_bytes_come);
    tcase_add_test(t, a_server_cannot_make_itself_the_only_input_by_doubt);
    tcase_add_test(t, after_a_doubt_the_others_are_waited_for_but_not_each_time);
    tcase_add_test(t, local_bytes_gather_until_they_are_worth_a_new_key);
    tcase_add_test(t, what_has_gathered_goes_in_with_the_first_seed);
    tcase_add_loop_test(t, all_bytes_that_gathered_count, 0, 64);
    tcase_add_test(t, the_pool_is_as_specified);
    tcase_add_test(t, a_source_found_broken_takes_its_credit_with_it);
    tcase_add_test(t, salt_makes_a_difference_and_no_grade);
    tcase_add_test(t, forgetting_leaves_neither_key_nor_pool);
    tcase_add_test(t, wiping_leaves_zeros);
    tcase_add_test(t, a_clock_that_stumbles_makes_nothing_young_or_stuck);
    suite_add_tcase(s, t);
    return s;
}
