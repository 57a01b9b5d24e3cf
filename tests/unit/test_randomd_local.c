/* SPDX-License-Identifier: ISC */
/* A guest's own sources, with a CPU that fails, sticks, is biased or lies as told. */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/local.h>

#define S 1000000000ull

/* How a word comes to be. */
enum way { SOUND, NEVER_READY, SELDOM_READY, ZEROS, ONES, STUCK, FEW_VALUES, STUCK_LATER };

/* How the counter goes on at each look. */
enum clock { JITTERS, STANDS, EVEN, SPEEDS_UP, NEARLY_EVEN };

struct fake {
    enum way seed, random;
    enum clock clock;
    uint64_t state, seeds, randoms, time, step;
    uint64_t later; /* STUCK_LATER: from this word on */
    uint64_t last_word;
};

static struct fake fake;
static struct xids_entropy entropy;
static struct xids_local local;

static uint64_t next_of(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool word(struct fake *f, enum way way, uint64_t asked, uint64_t *to)
{
    uint64_t w = next_of(&f->state);
    switch (way) {
    case NEVER_READY:
        return false;
    case SELDOM_READY:
        if (asked % 5 != 0)
            return false;
        break;
    case ZEROS:
        w = asked % 100 == 99 ? 0 : w;
        break;
    case ONES:
        w = asked % 100 == 99 ? UINT64_MAX : w;
        break;
    case STUCK:
        w = 0x1234567890abcdef;
        break;
    case FEW_VALUES:
        w = w % 16 + 1;
        break;
    case STUCK_LATER:
        w = asked >= f->later ? 0x1234567890abcdef : w;
        break;
    case SOUND:
        break;
    }
    *to = f->last_word = w;
    return true;
}

static bool fake_seed(void *ctx, uint64_t *to)
{
    struct fake *f = ctx;
    return word(f, f->seed, f->seeds++, to);
}

static bool fake_random(void *ctx, uint64_t *to)
{
    struct fake *f = ctx;
    return word(f, f->random, f->randoms++, to);
}

static uint64_t fake_counter(void *ctx)
{
    struct fake *f = ctx;
    uint64_t luck = next_of(&f->state);
    switch (f->clock) {
    case JITTERS:
        f->time += 300 + luck % 16;
        break;
    case EVEN:
        f->time += 300;
        break;
    case SPEEDS_UP:
        f->time += f->step += 3;
        break;
    case NEARLY_EVEN:
        f->time += luck % 1024 == 0 ? 300 + luck % 17 : 300;
        break;
    case STANDS:
        break;
    }
    return f->time;
}

static void begin(bool has_seed, bool has_random, bool has_counter)
{
    static const struct xids_entropy_config config = {.nonce = "n"};
    const struct xids_local_cpu cpu = {.seed = has_seed ? fake_seed : NULL,
                                       .random = has_random ? fake_random : NULL,
                                       .counter = has_counter ? fake_counter : NULL,
                                       .ctx = &fake};
    xids_entropy_init(&entropy, &config, S);
    xids_local_init(&local, &entropy, &cpu, S);
}

static void fresh_fake(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.state = 7;
}

static struct xids_local_status status(enum xids_local_source source)
{
    struct xids_local_status s;
    xids_local_status(&local, source, &s);
    return s;
}

static void assert_none(void)
{
    uint8_t byte;
    ck_assert_int_eq(xids_local_gather(&local, S), -XEN_EAGAIN);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(xids_entropy_random(&entropy, &byte, 1), -XEN_EAGAIN);
    ck_assert_uint_eq(xids_local_pauses(&local), 1);
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES; i++)
        ck_assert_uint_lt(status(i).bits, XIDS_ENTROPY_FULL_BITS);
}

static void assert_local(void)
{
    uint8_t a[32], b[32];
    ck_assert_int_eq(xids_local_gather(&local, S), 0);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_LOCAL);
    ck_assert_int_eq(xids_entropy_random(&entropy, a, 32), 0);
    ck_assert_int_eq(xids_entropy_random(&entropy, b, 32), 0);
    ck_assert_mem_ne(a, b, 32);
}

/* ---- words ---- */

START_TEST(a_sound_seed_makes_the_grade_local_after_its_test)
{
    fresh_fake();
    begin(true, true, false);
    ck_assert_int_eq(status(XIDS_LOCAL_SEED).state, XIDS_LOCAL_TESTING);
    assert_local();
    struct xids_local_status s = status(XIDS_LOCAL_SEED);
    ck_assert_int_eq(s.state, XIDS_LOCAL_GOOD);
    ck_assert_uint_ge(s.samples, XIDS_HEALTH_STARTUP);
    /* The words of the test count for nothing, and no other for more than half its length. */
    ck_assert_uint_le(s.bits, (s.samples - XIDS_HEALTH_STARTUP + 1) * 32);
    ck_assert_uint_eq(fake.randoms, 0);
    ck_assert_int_eq(status(XIDS_LOCAL_JITTER).state, XIDS_LOCAL_ABSENT);
}
END_TEST

START_TEST(a_machine_without_sources_stays_unseeded_and_says_so)
{
    fresh_fake();
    begin(false, false, false);
    assert_none();
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES; i++) {
        ck_assert_int_eq(status(i).state, XIDS_LOCAL_ABSENT);
        ck_assert_uint_eq(status(i).samples, 0);
    }
}
END_TEST

static const struct {
    enum way way;
    enum xids_local_state state;
} bad_words[] = {
    {NEVER_READY, XIDS_LOCAL_TESTING}, {ZEROS, XIDS_LOCAL_BROKEN},      {ONES, XIDS_LOCAL_BROKEN},
    {STUCK, XIDS_LOCAL_BROKEN},        {FEW_VALUES, XIDS_LOCAL_BROKEN},
};
#define BAD_WORDS (int)(sizeof(bad_words) / sizeof(bad_words[0]))

START_TEST(a_seed_that_is_not_sound_is_worth_nothing)
{
    fresh_fake();
    fake.seed = bad_words[_i].way;
    begin(true, false, false);
    assert_none();
    struct xids_local_status s = status(XIDS_LOCAL_SEED);
    ck_assert_int_eq(s.state, bad_words[_i].state);
    ck_assert_uint_eq(s.bits, 0);
    ck_assert_uint_gt(s.misses + s.failures, 0);
}
END_TEST

START_TEST(random_stands_in_for_a_seed_that_is_not_sound)
{
    fresh_fake();
    fake.seed = bad_words[_i].way;
    begin(true, true, false);
    assert_local();
    ck_assert_uint_eq(status(XIDS_LOCAL_SEED).bits, 0);
    ck_assert_uint_ge(status(XIDS_LOCAL_RANDOM).bits, XIDS_ENTROPY_FULL_BITS);
    /* A generator that is reseeded now and then: what it gives between is not new. */
    ck_assert_uint_ge(fake.randoms, 2 * 1024);
}
END_TEST

START_TEST(neither_of_both_words_being_sound_leaves_none)
{
    fresh_fake();
    fake.seed = STUCK;
    fake.random = bad_words[_i].way;
    begin(true, true, false);
    assert_none();
    ck_assert_int_eq(status(XIDS_LOCAL_RANDOM).state, bad_words[_i].state);
}
END_TEST

START_TEST(a_seed_that_is_seldom_ready_is_asked_again_within_bounds)
{
    fresh_fake();
    fake.seed = SELDOM_READY;
    begin(true, false, false);
    assert_local();
    ck_assert_uint_eq(status(XIDS_LOCAL_SEED).misses, 0);
    fresh_fake();
    fake.seed = NEVER_READY;
    begin(true, false, false);
    (void)xids_local_turn(&local, S);
    ck_assert_uint_eq(fake.seeds, XIDS_LOCAL_TRIES);
    ck_assert_uint_eq(status(XIDS_LOCAL_SEED).misses, 1);
}
END_TEST

START_TEST(what_breaks_later_takes_its_credit_back)
{
    fresh_fake();
    fake.seed = STUCK_LATER;
    fake.later = 1200;
    begin(true, false, false);
    assert_local();
    for (uint64_t now = S; xids_entropy_grade(&entropy) == XIDS_RANDOMD_GRADE_LOCAL && now < 10000 * S; now += 61 * S)
        (void)!xids_local_gather(&local, now);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(status(XIDS_LOCAL_SEED).state, XIDS_LOCAL_BROKEN);
    ck_assert_uint_eq(status(XIDS_LOCAL_SEED).bits, 0);
    ck_assert_uint_ge(status(XIDS_LOCAL_SEED).failures, 1);
}
END_TEST

START_TEST(what_breaks_later_leaves_what_others_gave)
{
    fresh_fake();
    fake.seed = STUCK_LATER;
    fake.later = UINT64_MAX;
    begin(true, true, false);
    assert_local();
    fake.seed = NEVER_READY;
    ck_assert_int_eq(xids_local_gather(&local, 100 * S), 0);
    ck_assert_uint_ge(status(XIDS_LOCAL_RANDOM).bits, XIDS_ENTROPY_FULL_BITS);
    fake.seed = STUCK;
    uint64_t asked = fake.seeds;
    ck_assert_int_eq(xids_local_gather(&local, 200 * S), 0);
    ck_assert_uint_gt(fake.seeds, asked);
    ck_assert_int_eq(status(XIDS_LOCAL_SEED).state, XIDS_LOCAL_BROKEN);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_LOCAL);
    /* And is not asked again. */
    asked = fake.seeds;
    ck_assert_int_eq(xids_local_gather(&local, 300 * S), 0);
    ck_assert_uint_eq(fake.seeds, asked);
}
END_TEST

START_TEST(a_server_is_not_concerned_by_a_broken_source)
{
    static const uint8_t seed[48] = {1};
    fresh_fake();
    fake.seed = STUCK;
    begin(true, false, false);
    xids_entropy_host(&entropy, 0, false, seed, S);
    (void)!xids_local_gather(&local, S);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_HOST);
}
END_TEST

/* ---- time ---- */

START_TEST(jitter_alone_does_where_there_is_nothing_else)
{
    fresh_fake();
    begin(false, false, true);
    assert_local();
    struct xids_local_status s = status(XIDS_LOCAL_JITTER);
    ck_assert_int_eq(s.state, XIDS_LOCAL_GOOD);
    ck_assert_uint_ge(s.samples, XIDS_HEALTH_STARTUP + (XIDS_ENTROPY_FULL_BITS - 10) * 32);
    ck_assert_uint_eq(xids_local_pauses(&local), 0);
}
END_TEST

START_TEST(a_counter_that_tells_nothing_is_worth_nothing)
{
    static const enum clock clocks[] = {STANDS, EVEN, SPEEDS_UP, NEARLY_EVEN};
    fresh_fake();
    fake.clock = clocks[_i];
    begin(false, false, true);
    assert_none();
    ck_assert_uint_eq(status(XIDS_LOCAL_JITTER).bits, 0);
    ck_assert_uint_eq(status(XIDS_LOCAL_EVENTS).bits, 0);
    ck_assert_uint_gt(status(XIDS_LOCAL_JITTER).misses + status(XIDS_LOCAL_JITTER).failures, 0);
}
END_TEST

START_TEST(events_count_where_work_takes_always_the_same_time)
{
    uint64_t turns = 0, now = S;
    fresh_fake();
    fake.clock = EVEN;
    begin(false, false, true);
    while (xids_entropy_grade(&entropy) == XIDS_RANDOMD_GRADE_NONE && turns < 100000) {
        (void)xids_local_turn(&local, now);
        fake.time += next_of(&fake.state) % 100000;
        now += S / 1000;
        turns++;
    }
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_LOCAL);
    ck_assert_uint_ge(turns, XIDS_HEALTH_STARTUP + XIDS_ENTROPY_FULL_BITS * 32);
    ck_assert_uint_eq(status(XIDS_LOCAL_JITTER).bits, 0);
    ck_assert_uint_ge(status(XIDS_LOCAL_EVENTS).bits, XIDS_ENTROPY_FULL_BITS);
}
END_TEST

START_TEST(every_sample_changes_the_key)
{
    uint8_t out[2][32];
    for (unsigned int i = 0; i < 2; i++) {
        fresh_fake();
        begin(true, false, true);
        fake.time = i; /* the first look at the counter, which is credited with nothing, differs by one */
        (void)!xids_local_gather(&local, S);
        ck_assert_int_eq(xids_entropy_random(&entropy, out[i], 32), 0);
    }
    ck_assert_mem_ne(out[0], out[1], 32);
}
END_TEST

/* ---- turns ---- */

START_TEST(deadlines_are_exact)
{
    fresh_fake();
    begin(true, false, true);
    uint64_t due = 0;
    unsigned int turns = 0;
    while ((due = xids_local_turn(&local, 5 * S)) == 0)
        turns++;
    ck_assert_uint_le(turns, XIDS_LOCAL_TURNS);
    ck_assert_uint_eq(due, 5 * S + XIDS_LOCAL_RESEED_NS);
    uint64_t asked = fake.seeds;
    ck_assert_uint_eq(xids_local_turn(&local, due - 1), due);
    ck_assert_uint_eq(fake.seeds, asked);
    ck_assert_uint_eq(xids_entropy_local_age(&entropy, due), XIDS_LOCAL_RESEED_NS);
    ck_assert_int_eq(xids_local_gather(&local, due), 0);
    ck_assert_uint_gt(fake.seeds, asked);
    ck_assert_uint_eq(xids_entropy_local_age(&entropy, due), 0);
    ck_assert_uint_eq(xids_local_turn(&local, due), due + XIDS_LOCAL_RESEED_NS);
    xids_local_every(&local, UINT64_MAX);
    ck_assert_int_eq(xids_local_gather(&local, due + XIDS_LOCAL_RESEED_NS), 0);
    ck_assert_uint_eq(xids_local_turn(&local, due + XIDS_LOCAL_RESEED_NS), UINT64_MAX);
}
END_TEST

START_TEST(sources_that_do_not_do_get_a_pause)
{
    fresh_fake();
    begin(false, false, false);
    uint64_t now = S, due;
    for (unsigned int round = 1; round < 10; round++) {
        unsigned int doublings = round - 1 < XIDS_LOCAL_PAUSE_DOUBLINGS ? round - 1 : XIDS_LOCAL_PAUSE_DOUBLINGS;
        unsigned int turns = 1;
        while ((due = xids_local_turn(&local, now)) == 0)
            turns++;
        ck_assert_uint_eq(turns, XIDS_LOCAL_TURNS);
        ck_assert_uint_eq(due, now + (XIDS_LOCAL_PAUSE_NS << doublings));
        ck_assert_uint_eq(xids_local_pauses(&local), round);
        now = due;
    }
}
END_TEST

START_TEST(one_turn_takes_a_bounded_number_of_samples)
{
    fresh_fake();
    fake.random = SELDOM_READY;
    begin(false, true, true);
    (void)xids_local_turn(&local, S);
    ck_assert_uint_eq(status(XIDS_LOCAL_RANDOM).samples, XIDS_LOCAL_PER_TURN);
    ck_assert_uint_eq(status(XIDS_LOCAL_JITTER).samples, XIDS_LOCAL_PER_TURN);
    ck_assert_uint_eq(status(XIDS_LOCAL_EVENTS).samples, 1);
}
END_TEST

START_TEST(a_forgotten_generator_is_fed_anew)
{
    fresh_fake();
    begin(true, false, true);
    assert_local();
    if (_i == 0)
        xids_entropy_forget(&entropy);
    else
        xids_entropy_doubt(&entropy, 0, S);
    ck_assert_int_eq(xids_entropy_grade(&entropy), XIDS_RANDOMD_GRADE_NONE);
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES && _i == 0; i++)
        ck_assert_uint_eq(status(i).failures, 0);
    assert_local();
    ck_assert_uint_le(status(XIDS_LOCAL_SEED).bits, 2 * XIDS_ENTROPY_FULL_BITS);
}
END_TEST

START_TEST(forgetting_leaves_no_sample_and_a_broken_source_broken)
{
    fresh_fake();
    begin(true, true, true);
    assert_local();
    uint64_t word_seen = fake.last_word, time_seen = fake.time;
    ck_assert_uint_eq(local.sources[XIDS_LOCAL_SEED].health.last, word_seen);
    xids_local_forget(&local);
    for (size_t i = 0; i + 8 <= sizeof(local); i++) {
        ck_assert_mem_ne((uint8_t *)&local + i, &word_seen, 8);
        ck_assert_mem_ne((uint8_t *)&local + i, &time_seen, 8);
    }
    ck_assert_int_eq(status(XIDS_LOCAL_SEED).state, XIDS_LOCAL_TESTING);
    fake.seed = STUCK;
    xids_entropy_forget(&entropy);
    assert_local();
    ck_assert_int_eq(status(XIDS_LOCAL_SEED).state, XIDS_LOCAL_BROKEN);
    xids_local_forget(&local);
    ck_assert_int_eq(status(XIDS_LOCAL_SEED).state, XIDS_LOCAL_BROKEN);
    xids_local_wipe(&local);
    static const struct xids_local zero;
    ck_assert_mem_eq(&local, &zero, sizeof(zero));
}
END_TEST

/* ---- this machine ---- */

START_TEST(this_machine_says_truly_what_it_has)
{
    static const struct xids_entropy_config config = {.nonce = "n"};
    struct xids_local_cpu cpu;
    uint64_t a, b;
    xids_local_cpu(&cpu);
    xids_entropy_init(&entropy, &config, S);
    xids_local_init(&local, &entropy, &cpu, S);
    int rc = xids_local_gather(&local, S);
    ck_assert_int_eq(rc == 0, xids_entropy_grade(&entropy) == XIDS_RANDOMD_GRADE_LOCAL);
    ck_assert_int_eq(status(XIDS_LOCAL_SEED).state == XIDS_LOCAL_ABSENT, cpu.seed == NULL);
    ck_assert_int_eq(status(XIDS_LOCAL_RANDOM).state == XIDS_LOCAL_ABSENT, cpu.random == NULL);
    if (cpu.random != NULL && cpu.random(cpu.ctx, &a) && cpu.random(cpu.ctx, &b))
        ck_assert_uint_ne(a, b);
    if (cpu.counter != NULL) {
        a = cpu.counter(cpu.ctx);
        for (volatile unsigned int i = 0; i < 1000000 && cpu.counter(cpu.ctx) == a; i++)
            ;
        ck_assert_uint_ne(cpu.counter(cpu.ctx), a);
    }
    uint8_t salt[2][32];
    xids_local_cpu_salt(salt[0]);
    xids_local_cpu_salt(salt[1]);
    if (cpu.seed != NULL) /* such a CPU has a counter that is fine enough for this */
        ck_assert_mem_ne(salt[0], salt[1], 32);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_local");
    TCase *t = tcase_create("local");
    tcase_add_test(t, a_sound_seed_makes_the_grade_local_after_its_test);
    tcase_add_test(t, a_machine_without_sources_stays_unseeded_and_says_so);
    tcase_add_loop_test(t, a_seed_that_is_not_sound_is_worth_nothing, 0, BAD_WORDS);
    tcase_add_loop_test(t, random_stands_in_for_a_seed_that_is_not_sound, 0, BAD_WORDS);
    tcase_add_loop_test(t, neither_of_both_words_being_sound_leaves_none, 0, BAD_WORDS);
    tcase_add_test(t, a_seed_that_is_seldom_ready_is_asked_again_within_bounds);
    tcase_add_test(t, what_breaks_later_takes_its_credit_back);
    tcase_add_test(t, what_breaks_later_leaves_what_others_gave);
    tcase_add_test(t, a_server_is_not_concerned_by_a_broken_source);
    tcase_add_test(t, jitter_alone_does_where_there_is_nothing_else);
    tcase_add_loop_test(t, a_counter_that_tells_nothing_is_worth_nothing, 0, 4);
    tcase_add_test(t, events_count_where_work_takes_always_the_same_time);
    tcase_add_test(t, every_sample_changes_the_key);
    tcase_add_test(t, deadlines_are_exact);
    tcase_add_test(t, sources_that_do_not_do_get_a_pause);
    tcase_add_test(t, one_turn_takes_a_bounded_number_of_samples);
    tcase_add_loop_test(t, a_forgotten_generator_is_fed_anew, 0, 2);
    tcase_add_test(t, forgetting_leaves_no_sample_and_a_broken_source_broken);
    tcase_add_test(t, this_machine_says_truly_what_it_has);
    suite_add_tcase(s, t);
    return s;
}
