/* SPDX-License-Identifier: ISC */
/* The generator behind the server's end of the entropy protocol: distinct, renewed, never weak in silence. */
#include "tests/unit/randomd_session.h"

/* ---- the generator behind it ---- */

static void data_of(struct fixture *f, uint8_t out[32])
{
    ck_assert_int_eq(ask(f, 1, 32), 0);
    assert_data(f->out, 1, xids_randomd_session_epoch(f->s), 32);
    memcpy(out, f->out + 16, 32);
}

START_TEST(guests_get_different_bytes_from_a_source_that_repeats_itself)
{
    struct fixture f, g;
    uint8_t a[32], b[32];
    begin_as(&f, "guest 1", (struct source){.fixed = true});
    begin_as(&g, "guest 2", (struct source){.fixed = true});
    hello(&f);
    hello(&g);
    data_of(&f, a);
    data_of(&g, b);
    ck_assert_mem_ne(a, b, 32);
    end(&f);
    end(&g);
}
END_TEST

START_TEST(nonce_and_identity_make_a_difference)
{
    uint8_t out[3][32], m[HELLO_LEN];
    for (unsigned int i = 0; i < 3; i++) {
        struct fixture f;
        begin_as(&f, "guest 1", (struct source){.fixed = true});
        make_hello(m, 1, i == 1 ? 9 : 8, i == 2 ? 9 : 8);
        ck_assert_int_eq(step(&f, m, sizeof(m)), 0);
        data_of(&f, out[i]);
        end(&f);
    }
    ck_assert_mem_ne(out[0], out[1], 32);
    ck_assert_mem_ne(out[0], out[2], 32);
}
END_TEST

START_TEST(requests_get_different_bytes)
{
    enum { N = 300 };
    static uint8_t out[N][32];
    struct fixture f;
    begin_as(&f, "g", (struct source){.fixed = true});
    hello(&f);
    for (unsigned int i = 0; i < N; i++) {
        data_of(&f, out[i]);
        for (unsigned int j = 0; j < i; j++)
            ck_assert_mem_ne(out[i], out[j], 32);
    }
    end(&f);
}
END_TEST

START_TEST(two_hundred_sessions_have_different_seeds_and_epochs)
{
    enum { N = 200 };
    static uint8_t seeds[N][48];
    static uint64_t epochs[N];
    for (unsigned int i = 0; i < N; i++) {
        struct fixture f;
        char who[8] = {(char)('a' + i % 26), (char)('a' + i / 26)};
        begin_as(&f, who, (struct source){.fixed = true});
        ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), SEED_LEN);
        memcpy(seeds[i], f.out + 32, 48);
        epochs[i] = xids_randomd_session_epoch(f.s);
        for (unsigned int j = 0; j < i; j++) {
            ck_assert_mem_ne(seeds[i], seeds[j], 48);
            ck_assert_uint_ne(epochs[i], epochs[j]);
        }
        end(&f);
    }
}
END_TEST

START_TEST(answers_are_not_kept_and_the_key_moves_on)
{
    struct fixture f;
    uint8_t out[32];
    size_t size = xids_randomd_session_size();
    begin(&f);
    hello(&f);
    uint8_t *before = malloc(size), *after = malloc(size);
    memcpy(before, f.mem, size);
    data_of(&f, out);
    memcpy(after, f.mem, size);
    for (unsigned int at = 0; at + 8 <= 32; at += 8)
        ck_assert(!found_in(after, size, out + at, 8));
    /* From the state before, the answer can be computed again; from the one after, it cannot. */
    memcpy(f.mem, before, size);
    ck_assert_int_eq(ask(&f, 1, 32), 0);
    ck_assert_mem_eq(f.out + 16, out, 32);
    memcpy(f.mem, after, size);
    ck_assert_int_eq(ask(&f, 1, 32), 0);
    ck_assert_mem_ne(f.out + 16, out, 32);
    free(before);
    free(after);
    end(&f);
}
END_TEST

START_TEST(what_a_guest_said_is_not_kept)
{
    static const char planted[] = "a nonce that can be recognised!";
    struct fixture f;
    uint8_t m[HELLO_LEN];
    begin(&f);
    make_hello(m, 1, 0, 0);
    memcpy(m + 24, planted, 32);
    ck_assert_int_eq(step(&f, m, sizeof(m)), 0);
    ck_assert(!found_in(f.mem, xids_randomd_session_size(), planted, 8));
    end(&f);
}
END_TEST

START_TEST(fresh_bytes_come_after_a_mebibyte)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    unsigned int calls = f.source.calls;
    for (unsigned int i = 0; i < 1024; i++)
        ck_assert_int_eq(ask(&f, i, 1024), 0);
    ck_assert_uint_eq(f.source.calls, calls);
    ck_assert_int_eq(ask(&f, 1, 1), 0);
    ck_assert_uint_eq(f.source.calls, calls + 1);
    end(&f);
}
END_TEST

START_TEST(fresh_bytes_come_after_a_minute)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    unsigned int calls = f.source.calls;
    f.now += 60 * S - 1;
    ck_assert_int_eq(ask(&f, 1, 1), 0);
    ck_assert_uint_eq(f.source.calls, calls);
    f.now += 1;
    ck_assert_int_eq(ask(&f, 1, 1), 0);
    ck_assert_uint_eq(f.source.calls, calls + 1);
    end(&f);
}
END_TEST

static const int source_errors[] = {-XEN_EAGAIN, -XEN_EIO, 1};

START_TEST(no_answer_goes_out_when_fresh_bytes_are_due_and_do_not_come)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    f.now += 61 * S;
    f.source.rc = source_errors[_i];
    ck_assert_int_eq(ask(&f, 1, 16), 0);
    if (f.source.rc == -XEN_EAGAIN)
        assert_err(f.out, 1, XIDS_RANDOMD_CODE_NOT_READY, 100);
    else
        assert_err(f.out, 1, XIDS_RANDOMD_CODE_INTERNAL, 1000);
    f.source.rc = 0;
    ck_assert_int_eq(ask(&f, 2, 16), 0);
    assert_data(f.out, 2, xids_randomd_session_epoch(f.s), 16);
    end(&f);
}
END_TEST

START_TEST(the_source_failing_at_any_call_never_gives_output_without_seed)
{
    for (unsigned int fail_at = 1; fail_at < 6; fail_at++) {
        struct fixture f;
        begin_as(&f, "g", (struct source){.fail_at = fail_at});
        int rc = xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now);
        ck_assert(rc == SEED_LEN);
        uint8_t m[HELLO_LEN];
        ck_assert_int_eq(step(&f, m, make_hello(m, 1, 0, 0)), 0);
        ck_assert_uint_eq(f.out[18], xids_randomd_session_ready(f.s) ? 2 : 0);
        for (uint32_t i = 0; i < 5; i++) {
            bool ready = xids_randomd_session_ready(f.s);
            f.now += 61 * S;
            ck_assert_int_eq(ask(&f, i, 16), 0);
            unsigned int type = get_header(f.out).type;
            ck_assert(type == XIDS_RANDOMD_ERR || type == (ready ? XIDS_RANDOMD_DATA : XIDS_RANDOMD_EPOCH));
        }
        end(&f);
    }
}
END_TEST

/* ---- not ready, epochs ---- */

START_TEST(a_guest_is_told_that_the_host_is_not_ready)
{
    struct fixture f;
    begin_as(&f, "g", (struct source){.rc = -XEN_EAGAIN});
    hello(&f);
    ck_assert_uint_eq(get_header(f.out).epoch, 0);
    ck_assert_uint_eq(f.out[18], XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(ask(&f, 2, 48), 0);
    assert_err(f.out, 2, XIDS_RANDOMD_CODE_NOT_READY, 100);
    f.source.rc = 0;
    ck_assert_int_eq(ask(&f, 3, 48), 0);
    uint64_t epoch = xids_randomd_session_epoch(f.s);
    uint8_t want[EPOCH_LEN];
    make_epoch(want, epoch, XIDS_RANDOMD_REASON_READY);
    ck_assert_uint_eq(f.out_len, EPOCH_LEN + 64);
    ck_assert_mem_eq(f.out, want, EPOCH_LEN);
    assert_data(f.out + EPOCH_LEN, 3, epoch, 48);
    end(&f);
}
END_TEST

START_TEST(readiness_is_announced_without_being_asked)
{
    struct fixture f;
    begin_as(&f, "g", (struct source){.rc = -XEN_EAGAIN});
    hello(&f);
    f.source.rc = 0;
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_READY, f.now), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    uint8_t want[EPOCH_LEN];
    make_epoch(want, xids_randomd_session_epoch(f.s), XIDS_RANDOMD_REASON_READY);
    ck_assert_uint_eq(f.out_len, EPOCH_LEN);
    ck_assert_mem_eq(f.out, want, EPOCH_LEN);
    end(&f);
}
END_TEST

START_TEST(a_new_epoch_is_announced_before_any_answer_in_it)
{
    struct fixture f;
    uint8_t m[GET_LEN];
    begin(&f);
    hello(&f);
    uint64_t old = xids_randomd_session_epoch(f.s);
    make_get(m, 1, 32);
    ck_assert_int_eq(step_room(&f, m, sizeof(m), 0), 0); /* asked in the old epoch, answered in the new */
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_RESEED, f.now), 0);
    ck_assert_uint_ne(xids_randomd_session_epoch(f.s), old);
    ck_assert_int_eq(step_room(&f, NULL, 0, EPOCH_LEN - 1), 0);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert_uint_eq(f.wait, 1);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(get_header(f.out).type, XIDS_RANDOMD_EPOCH);
    assert_data(f.out + EPOCH_LEN, 1, xids_randomd_session_epoch(f.s), 32);
    end(&f);
}
END_TEST

START_TEST(renewal_changes_the_bytes_to_come)
{
    struct fixture f, g;
    uint8_t a[32], b[32];
    begin(&f);
    begin(&g);
    hello(&f);
    hello(&g);
    ck_assert_int_eq(xids_randomd_session_renew(g.s, XIDS_RANDOMD_REASON_RESEED, g.now), 0);
    ck_assert_int_eq(step(&g, NULL, 0), 0);
    data_of(&f, a);
    data_of(&g, b);
    ck_assert_mem_ne(a, b, 32);
    end(&f);
    end(&g);
}
END_TEST

START_TEST(a_restored_guest_hears_so_whatever_follows)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_RESTORED, f.now), 0);
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_RESEED, f.now), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, EPOCH_LEN);
    ck_assert_uint_eq(f.out[17], XIDS_RANDOMD_REASON_RESTORED);
    end(&f);
}
END_TEST

START_TEST(a_guest_restored_between_its_seed_and_its_hello_hears_so)
{
    struct fixture f;
    uint8_t m[HELLO_LEN], seed[SEED_LEN];
    begin(&f);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, seed, sizeof(seed), f.now), SEED_LEN);
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_RESTORED, f.now), 0);
    ck_assert_int_eq(step(&f, m, make_hello(m, 1, 0x40, 0xa0)), 0);
    ck_assert_uint_eq(f.out_len, WELCOME_LEN + EPOCH_LEN);
    ck_assert_uint_eq(get_header(f.out).type, XIDS_RANDOMD_WELCOME);
    ck_assert_uint_eq(get_header(f.out + WELCOME_LEN).type, XIDS_RANDOMD_EPOCH);
    ck_assert_uint_eq(f.out[WELCOME_LEN + 17], XIDS_RANDOMD_REASON_RESTORED);
    ck_assert_uint_ne(get_header(f.out).epoch, get_header(f.out + WELCOME_LEN).epoch);
    ck_assert_uint_ne(get_header(f.out).epoch, get_header(seed).epoch);
    /* Once is enough. */
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, 0);
    end(&f);
}
END_TEST

START_TEST(renewal_without_a_source_leaves_no_key)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    f.source.rc = -XEN_EAGAIN;
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_RESEED, f.now), -XEN_EAGAIN);
    ck_assert(!xids_randomd_session_ready(f.s));
    ck_assert_int_eq(ask(&f, 1, 16), 0);
    ck_assert_uint_eq(get_header(f.out).type, XIDS_RANDOMD_EPOCH);
    ck_assert_uint_eq(f.out[16], XIDS_RANDOMD_GRADE_NONE);
    assert_err(f.out + EPOCH_LEN, 1, XIDS_RANDOMD_CODE_NOT_READY, 100);
    end(&f);
}
END_TEST

START_TEST(a_second_hello_begins_a_new_epoch)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    uint64_t first = xids_randomd_session_epoch(f.s);
    hello(&f);
    ck_assert_uint_ne(xids_randomd_session_epoch(f.s), first);
    ck_assert_uint_eq(get_header(f.out).epoch, xids_randomd_session_epoch(f.s));
    end(&f);
}
END_TEST

START_TEST(an_ended_session_cannot_be_renewed)
{
    struct fixture f;
    uint8_t m[16] = {0xff};
    begin(&f);
    ck_assert_int_eq(step(&f, m, 16), -XEN_EBADMSG);
    ck_assert_int_eq(xids_randomd_session_renew(f.s, XIDS_RANDOMD_REASON_RESEED, f.now), -XEN_EBADMSG);
    ck_assert(!xids_randomd_session_ready(f.s));
    end(&f);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_renewal");
    TCase *t = tcase_create("generator");
    tcase_add_test(t, guests_get_different_bytes_from_a_source_that_repeats_itself);
    tcase_add_test(t, nonce_and_identity_make_a_difference);
    tcase_add_test(t, requests_get_different_bytes);
    tcase_add_test(t, two_hundred_sessions_have_different_seeds_and_epochs);
    tcase_add_test(t, answers_are_not_kept_and_the_key_moves_on);
    tcase_add_test(t, what_a_guest_said_is_not_kept);
    tcase_add_test(t, fresh_bytes_come_after_a_mebibyte);
    tcase_add_test(t, fresh_bytes_come_after_a_minute);
    tcase_add_loop_test(t, no_answer_goes_out_when_fresh_bytes_are_due_and_do_not_come, 0, COUNT(source_errors));
    tcase_add_test(t, the_source_failing_at_any_call_never_gives_output_without_seed);
    tcase_add_test(t, a_guest_is_told_that_the_host_is_not_ready);
    tcase_add_test(t, readiness_is_announced_without_being_asked);
    tcase_add_test(t, a_new_epoch_is_announced_before_any_answer_in_it);
    tcase_add_test(t, renewal_changes_the_bytes_to_come);
    tcase_add_test(t, a_restored_guest_hears_so_whatever_follows);
    tcase_add_test(t, a_guest_restored_between_its_seed_and_its_hello_hears_so);
    tcase_add_test(t, renewal_without_a_source_leaves_no_key);
    tcase_add_test(t, a_second_hello_begins_a_new_epoch);
    tcase_add_test(t, an_ended_session_cannot_be_renewed);
    suite_add_tcase(s, t);
    return s;
}
