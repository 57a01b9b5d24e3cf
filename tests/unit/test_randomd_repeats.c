/* SPDX-License-Identifier: ISC */
/* A session that is told that what it would give out was given out before: it never leaves, and the next is another. */
#include "tests/unit/randomd_session.h"

#define RETRY_MS 1000u

/* Remembers the last output it was shown, and calls some of them seen before. */
struct judge {
    unsigned int calls, firsts;
    unsigned int seen_from, seen_to; /* the calls, counted from 1, that it finds repeated */
    size_t len;
    uint8_t last[XIDS_RANDOMD_GET_MAX];
};

static bool judged(void *ctx, const uint8_t *bytes, size_t len, bool first)
{
    struct judge *j = ctx;
    j->calls++;
    j->firsts += first ? 1 : 0;
    j->len = len;
    memcpy(j->last, bytes, len);
    return j->calls < j->seen_from || j->calls > j->seen_to;
}

static void begin_judged(struct fixture *f, struct judge *j)
{
    memset(f, 0, sizeof(*f));
    f->mem = malloc(xids_randomd_session_size());
    f->now = 5 * S;
    const struct xids_randomd_session_config config = {
        .source = source_get, .source_ctx = &f->source, .unseen = judged, .unseen_ctx = j};
    ck_assert_int_eq(xids_randomd_session_init(&f->s, f->mem, xids_randomd_session_size(), &config, f->now), 0);
}

static bool has(const void *where, size_t size, const uint8_t *what, size_t len)
{
    const uint8_t *at = where;
    for (size_t i = 0; i + len <= size; i++)
        if (memcmp(at + i, what, len) == 0)
            return true;
    return false;
}

START_TEST(every_answer_is_shown)
{
    struct judge j = {0};
    struct fixture f;
    begin_judged(&f, &j);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), SEED_LEN);
    ck_assert_uint_eq(j.calls, 1);
    ck_assert_uint_eq(j.len, XIDS_RANDOMD_SEED_BYTES);
    ck_assert_mem_eq(j.last, f.out + 32, XIDS_RANDOMD_SEED_BYTES);
    hello(&f);
    ck_assert_int_eq(ask(&f, 1, 100), 0);
    ck_assert_mem_eq(j.last, f.out + 16, 100);
    ck_assert_int_eq(ask(&f, 2, 1024), 0);
    ck_assert_uint_eq(j.calls, 3);
    ck_assert_mem_eq(j.last, f.out + 16, 1024);
    /* After HELLO there are fresh bytes. */
    ck_assert_uint_eq(j.firsts, 2);
    end(&f);
}
END_TEST

START_TEST(a_repeated_answer_does_not_leave_and_the_next_epoch_begins)
{
    struct judge j = {.seen_from = 2, .seen_to = 2};
    struct fixture f;
    struct xids_randomd_session_stats stats;
    begin_judged(&f, &j);
    hello(&f);
    ck_assert_int_eq(ask(&f, 1, 32), 0);
    uint64_t old = xids_randomd_session_epoch(f.s);
    unsigned int draws = f.source.calls;
    ck_assert_int_eq(ask(&f, 2, 32), 0);
    assert_err(f.out, 2, XIDS_RANDOMD_CODE_INTERNAL, RETRY_MS);
    ck_assert_uint_eq(get_header(f.out).epoch, old);
    /* The new epoch follows, before any answer in it. */
    uint64_t new = xids_randomd_session_epoch(f.s);
    ck_assert_uint_ne(new, old);
    ck_assert_uint_eq(f.source.calls, draws + 1);
    const uint8_t *m = f.out + ERR_LEN;
    ck_assert_uint_eq(f.out_len, ERR_LEN + EPOCH_LEN);
    ck_assert_uint_eq(get_header(m).type, XIDS_RANDOMD_EPOCH);
    ck_assert_uint_eq(get_header(m).epoch, new);
    ck_assert_uint_eq(m[17], XIDS_RANDOMD_REASON_RESEED);
    /* Nothing of it lies anywhere. */
    ck_assert(!has(f.out, sizeof(f.out), j.last, 8));
    ck_assert(!has(f.mem, xids_randomd_session_size(), j.last, 8));
    ck_assert_int_eq(ask(&f, 3, 32), 0);
    assert_data(f.out, 3, new, 32);
    xids_randomd_session_stats(f.s, &stats);
    ck_assert_uint_eq(stats.bytes, 64);
    ck_assert_uint_eq(stats.errors, 1);
    end(&f);
}
END_TEST

START_TEST(a_repeated_answer_without_a_source_leaves_the_session_not_ready)
{
    struct judge j = {.seen_from = 1, .seen_to = 1};
    struct fixture f;
    begin_judged(&f, &j);
    hello(&f);
    f.source.rc = -XEN_EAGAIN;
    ck_assert_int_eq(ask(&f, 1, 32), 0);
    assert_err(f.out, 1, XIDS_RANDOMD_CODE_INTERNAL, RETRY_MS);
    ck_assert(!xids_randomd_session_ready(f.s));
    ck_assert_int_eq(ask(&f, 2, 32), 0);
    assert_err(f.out, 2, XIDS_RANDOMD_CODE_NOT_READY, 100);
    end(&f);
}
END_TEST

START_TEST(a_repeated_seed_is_made_anew)
{
    struct judge j = {.seen_from = 1, .seen_to = 1};
    struct fixture f;
    begin_judged(&f, &j);
    uint64_t old = xids_randomd_session_epoch(f.s);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), SEED_LEN);
    ck_assert_uint_eq(j.calls, 2);
    ck_assert_uint_ne(xids_randomd_session_epoch(f.s), old);
    ck_assert_uint_eq(get_header(f.out).epoch, xids_randomd_session_epoch(f.s));
    ck_assert_mem_eq(j.last, f.out + 32, XIDS_RANDOMD_SEED_BYTES);
    end(&f);
}
END_TEST

START_TEST(a_seed_that_repeats_again_is_none)
{
    struct judge j = {.seen_from = 1, .seen_to = 2};
    struct fixture f;
    begin_judged(&f, &j);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), 0);
    ck_assert(!has(f.out, sizeof(f.out), j.last, 8));
    ck_assert(!has(f.mem, xids_randomd_session_size(), j.last, 8));
    /* The guest that asks begins with a generator of its own. */
    hello(&f);
    ck_assert(xids_randomd_session_ready(f.s));
    ck_assert_int_eq(ask(&f, 1, 32), 0);
    assert_data(f.out, 1, xids_randomd_session_epoch(f.s), 32);
    end(&f);
}
END_TEST

START_TEST(a_session_that_only_repeats_itself_gives_nothing)
{
    struct judge j = {.seen_from = 1, .seen_to = 1000};
    struct fixture f;
    struct xids_randomd_session_stats stats;
    begin_judged(&f, &j);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), 0);
    hello(&f);
    for (uint32_t id = 1; id <= 100; id++) {
        ck_assert_int_eq(ask(&f, id, 1024), 0);
        assert_err(f.out, id, XIDS_RANDOMD_CODE_INTERNAL, RETRY_MS);
        ck_assert_uint_eq(f.out_len, ERR_LEN + EPOCH_LEN);
    }
    xids_randomd_session_stats(f.s, &stats);
    ck_assert_uint_eq(stats.bytes, 0);
    end(&f);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_repeats");
    TCase *t = tcase_create("session");
    tcase_add_test(t, every_answer_is_shown);
    tcase_add_test(t, a_repeated_answer_does_not_leave_and_the_next_epoch_begins);
    tcase_add_test(t, a_repeated_answer_without_a_source_leaves_the_session_not_ready);
    tcase_add_test(t, a_repeated_seed_is_made_anew);
    tcase_add_test(t, a_seed_that_repeats_again_is_none);
    tcase_add_test(t, a_session_that_only_repeats_itself_gives_nothing);
    suite_add_tcase(s, t);
    return s;
}
