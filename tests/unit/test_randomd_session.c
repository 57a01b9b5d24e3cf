/* SPDX-License-Identifier: ISC */
/* The server's end of the entropy protocol, with honest, clumsy and hostile guests. */
#include "tests/unit/randomd_session.h"

/* ---- making ---- */

START_TEST(memory_that_does_not_do_is_refused)
{
    struct xids_randomd_session *s;
    struct source source = {0};
    size_t size = xids_randomd_session_size();
    uint8_t *mem = malloc(size + 8);
    struct xids_randomd_session_config config = {.source = source_get, .source_ctx = &source};
    ck_assert_int_eq(xids_randomd_session_init(&s, mem, size - 1, &config, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_session_init(&s, mem + 1, size, &config, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_session_init(&s, NULL, size, &config, 0), -XEN_EINVAL);
    config.source = NULL;
    ck_assert_int_eq(xids_randomd_session_init(&s, mem, size, &config, 0), -XEN_EINVAL);
    free(mem);
}
END_TEST

START_TEST(a_session_is_small_enough_for_ten_thousand)
{
    ck_assert_uint_le(xids_randomd_session_size(), 448);
}
END_TEST

START_TEST(fini_leaves_only_zeros)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    xids_randomd_session_fini(f.s);
    uint8_t *mem = f.mem;
    for (size_t i = 0; i < xids_randomd_session_size(); i++)
        ck_assert_uint_eq(mem[i], 0);
    free(f.mem);
    xids_randomd_session_fini(NULL);
}
END_TEST

/* ---- the boot seed ---- */

START_TEST(boot_seed_has_the_specified_layout)
{
    static const uint8_t zeros[48];
    struct fixture f;
    uint8_t want[SEED_LEN];
    begin(&f);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), SEED_LEN);
    make_seed(want, xids_randomd_session_epoch(f.s), 0);
    ck_assert_mem_eq(f.out, want, 32);
    ck_assert_mem_ne(f.out + 32, zeros, 48);
    ck_assert(xids_randomd_session_ready(f.s));
    end(&f);
}
END_TEST

START_TEST(boot_seed_comes_once_and_not_late)
{
    struct fixture f;
    begin(&f);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, SEED_LEN - 1, f.now), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, SEED_LEN, f.now), SEED_LEN);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, SEED_LEN, f.now), -XEN_EINVAL);
    end(&f);
    begin(&f);
    hello(&f);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, SEED_LEN, f.now), -XEN_EINVAL);
    end(&f);
}
END_TEST

START_TEST(boot_seed_is_not_kept)
{
    struct fixture f;
    begin(&f);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), SEED_LEN);
    for (unsigned int at = 0; at + 8 <= 48; at += 8)
        ck_assert(!found_in(f.mem, xids_randomd_session_size(), f.out + 32 + at, 8));
    end(&f);
}
END_TEST

START_TEST(without_a_ready_source_there_is_no_boot_seed)
{
    struct fixture f;
    begin_as(&f, "g", (struct source){.rc = -XEN_EAGAIN});
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), 0);
    ck_assert(!xids_randomd_session_ready(f.s));
    ck_assert_uint_eq(xids_randomd_session_epoch(f.s), 0);
    f.source.rc = 0;
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), SEED_LEN);
    end(&f);
}
END_TEST

/* ---- conversation ---- */

START_TEST(hello_is_welcomed_in_the_epoch_of_the_seed)
{
    struct fixture f;
    uint8_t want[WELCOME_LEN];
    begin(&f);
    ck_assert_int_eq(xids_randomd_session_prefill(f.s, f.out, sizeof(f.out), f.now), SEED_LEN);
    uint64_t epoch = get_header(f.out).epoch;
    hello(&f);
    make_welcome(want, 1, epoch);
    ck_assert_mem_eq(f.out, want, WELCOME_LEN);
    end(&f);
}
END_TEST

START_TEST(every_length_asked_for_is_given)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    for (uint32_t len = 1; len <= 1024; len++) {
        ck_assert_int_eq(ask(&f, len, len), 0);
        ck_assert_uint_eq(f.out_len, 16 + len);
        assert_data(f.out, len, xids_randomd_session_epoch(f.s), len);
    }
    end(&f);
}
END_TEST

START_TEST(hello_and_get_may_come_together)
{
    struct fixture f;
    uint8_t m[HELLO_LEN + GET_LEN];
    begin(&f);
    make_get(m + make_hello(m, 9, 1, 2), 10, 48);
    ck_assert_int_eq(step(&f, m, sizeof(m)), 0);
    ck_assert_uint_eq(f.out_len, WELCOME_LEN + 64);
    assert_data(f.out + WELCOME_LEN, 10, xids_randomd_session_epoch(f.s), 48);
    end(&f);
}
END_TEST

START_TEST(bytes_one_at_a_time_give_the_same_answers)
{
    struct fixture f, g;
    uint8_t m[HELLO_LEN + GET_LEN], got[256];
    size_t have = 0;
    begin(&f);
    begin(&g);
    make_get(m + make_hello(m, 9, 1, 2), 10, 48);
    ck_assert_int_eq(step(&f, m, sizeof(m)), 0);
    for (size_t i = 0; i < sizeof(m); i++) {
        ck_assert_int_eq(step(&g, m + i, 1), 0);
        ck_assert_uint_eq(g.in_used, 1);
        memcpy(got + have, g.out, g.out_len);
        have += g.out_len;
    }
    ck_assert_uint_eq(have, f.out_len);
    ck_assert_mem_eq(got, f.out, have);
    end(&f);
    end(&g);
}
END_TEST

START_TEST(get_before_hello_is_an_error_of_state)
{
    struct fixture f;
    begin(&f);
    ck_assert_int_eq(ask(&f, 4, 16), 0);
    assert_err(f.out, 4, XIDS_RANDOMD_CODE_STATE, 0);
    hello(&f);
    ck_assert_int_eq(ask(&f, 5, 16), 0);
    assert_data(f.out, 5, xids_randomd_session_epoch(f.s), 16);
    end(&f);
}
END_TEST

static const uint32_t bad_lens[] = {0, 1025, 4096, 0x80000000u, 0xffffffffu};

START_TEST(a_length_out_of_bounds_is_refused_and_the_session_goes_on)
{
    struct fixture f;
    begin(&f);
    hello(&f);
    ck_assert_int_eq(ask(&f, 6, bad_lens[_i]), 0);
    ck_assert_uint_eq(f.out_len, ERR_LEN);
    assert_err(f.out, 6, XIDS_RANDOMD_CODE_LENGTH, 0);
    ck_assert_int_eq(ask(&f, 7, 1), 0);
    assert_data(f.out, 7, xids_randomd_session_epoch(f.s), 1);
    end(&f);
}
END_TEST

static const struct {
    uint16_t low, high;
} versions[] = {{0, 1}, {3, 3}, {3, 0xffff}, {0, 0}};

START_TEST(no_version_in_common_ends_the_session)
{
    struct fixture f;
    uint8_t m[HELLO_LEN];
    begin(&f);
    make_hello(m, 3, 0, 0);
    put16(m + 16, versions[_i].low);
    put16(m + 18, versions[_i].high);
    ck_assert_int_eq(step(&f, m, sizeof(m)), 1);
    assert_err(f.out, 3, XIDS_RANDOMD_CODE_VERSION, 0);
    ck_assert_int_eq(ask(&f, 1, 1), 1);
    ck_assert_uint_eq(f.out_len, 0);
    end(&f);
}
END_TEST

START_TEST(a_range_of_versions_with_ours_in_it_will_do)
{
    struct fixture f;
    uint8_t m[HELLO_LEN];
    begin(&f);
    make_hello(m, 3, 0, 0);
    put16(m + 16, 0);
    put16(m + 18, 0xffff);
    ck_assert_int_eq(step(&f, m, sizeof(m)), 0);
    ck_assert_uint_eq(get_header(f.out).type, XIDS_RANDOMD_WELCOME);
    ck_assert_uint_eq(get16(f.out + 16), 2);
    end(&f);
}
END_TEST

START_TEST(bye_of_the_guest_ends_and_erases)
{
    struct fixture f;
    uint8_t m[CLIENT_BYE_LEN];
    begin(&f);
    hello(&f);
    ck_assert_int_eq(step(&f, m, make_client_bye(m)), 1);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert(!xids_randomd_session_ready(f.s));
    ck_assert_int_eq(ask(&f, 1, 16), 1);
    ck_assert_uint_eq(f.out_len, 0);
    end(&f);
}
END_TEST

START_TEST(bye_of_the_server_is_its_last_word)
{
    struct fixture f;
    uint8_t want[BYE_LEN];
    begin(&f);
    hello(&f);
    make_bye(want, xids_randomd_session_epoch(f.s), XIDS_RANDOMD_CODE_STOPPING, 60000);
    xids_randomd_session_bye(f.s, XIDS_RANDOMD_CODE_STOPPING, 1000000);
    ck_assert_int_eq(ask(&f, 1, 16), 1);
    ck_assert_uint_eq(f.out_len, BYE_LEN);
    ck_assert_mem_eq(f.out, want, BYE_LEN);
    ck_assert_int_eq(ask(&f, 1, 16), 1);
    ck_assert_uint_eq(f.out_len, 0);
    end(&f);
}
END_TEST

START_TEST(what_was_done_is_counted)
{
    struct fixture f;
    struct xids_randomd_session_stats stats;
    begin(&f);
    hello(&f);
    ck_assert_int_eq(ask(&f, 1, 100), 0);
    ck_assert_int_eq(ask(&f, 2, 0), 0);
    xids_randomd_session_stats(f.s, &stats);
    ck_assert_uint_eq(stats.hellos, 1);
    ck_assert_uint_eq(stats.gets, 2);
    ck_assert_uint_eq(stats.bytes, 100);
    ck_assert_uint_eq(stats.errors, 1);
    end(&f);
}
END_TEST

/* ---- hostile guests ---- */

/* What one changed byte of a valid message must lead to. */
static int verdict(const uint8_t *m, size_t len)
{
    struct randomd_header h = get_header(m);
    size_t want = h.type == XIDS_RANDOMD_HELLO        ? HELLO_LEN
                  : h.type == XIDS_RANDOMD_GET        ? GET_LEN
                  : h.type == XIDS_RANDOMD_CLIENT_BYE ? CLIENT_BYE_LEN
                                                      : 0;
    if (h.len != want || h.epoch != 0 || len < want)
        return -XEN_EBADMSG;
    if (h.type == XIDS_RANDOMD_CLIENT_BYE)
        return h.id == 0 ? 1 : -XEN_EBADMSG;
    if (h.type == XIDS_RANDOMD_GET)
        return get32(m + 20) == 0 ? 0 : -XEN_EBADMSG;
    if (get16(m + 16) > get16(m + 18) || get32(m + 20) != 0)
        return -XEN_EBADMSG;
    return get16(m + 16) <= 2 && get16(m + 18) >= 2 ? 0 : 1;
}

static void mutate_all(size_t (*make)(uint8_t *m))
{
    struct fixture f;
    uint8_t m[128];
    size_t len = make(m);
    for (size_t at = 0; at < len; at++)
        for (unsigned int change = 1; change < 256; change++) {
            begin(&f);
            hello(&f);
            m[at] ^= (uint8_t)change;
            /* What is too short for its header's type waits for more; give it more. */
            uint8_t padded[128] = {0};
            memcpy(padded, m, len);
            int want = verdict(padded, sizeof(padded));
            size_t give = want == -XEN_EBADMSG ? len : get16(m + 2);
            ck_assert_int_eq(step(&f, padded, give), want);
            if (want == -XEN_EBADMSG) {
                assert_err(f.out, 0, XIDS_RANDOMD_CODE_PROTOCOL, 0);
                ck_assert(!xids_randomd_session_ready(f.s));
                ck_assert_int_eq(ask(&f, 1, 16), -XEN_EBADMSG);
                ck_assert_uint_eq(f.out_len, 0);
            }
            m[at] ^= (uint8_t)change;
            end(&f);
        }
}

static size_t a_hello(uint8_t *m)
{
    return make_hello(m, 7, 0x11, 0x22);
}

static size_t a_get(uint8_t *m)
{
    return make_get(m, 7, 64);
}

START_TEST(each_changed_byte_of_a_hello_is_judged)
{
    mutate_all(a_hello);
}
END_TEST

START_TEST(each_changed_byte_of_a_get_is_judged)
{
    mutate_all(a_get);
}
END_TEST

START_TEST(each_changed_byte_of_a_bye_is_judged)
{
    mutate_all(make_client_bye);
}
END_TEST

START_TEST(the_servers_own_messages_are_refused)
{
    struct fixture f;
    uint8_t m[SEED_LEN];
    for (unsigned int type = XIDS_RANDOMD_SEED; type <= XIDS_RANDOMD_BYE; type++) {
        begin(&f);
        make_seed(m, 0, 0);
        put16(m, (uint16_t)type);
        ck_assert_int_eq(step(&f, m, sizeof(m)), -XEN_EBADMSG);
        end(&f);
    }
}
END_TEST

START_TEST(a_wrong_header_is_refused_before_the_rest_comes)
{
    struct fixture f;
    uint8_t m[HELLO_LEN];
    begin(&f);
    make_hello(m, 1, 0, 0);
    put16(m + 2, 0xffff);
    ck_assert_int_eq(step(&f, m, 15), 0);
    ck_assert_int_eq(step(&f, m + 15, 1), -XEN_EBADMSG);
    end(&f);
}
END_TEST

START_TEST(a_violation_without_room_ends_silently)
{
    struct fixture f;
    uint8_t m[HELLO_LEN] = {0xff};
    begin(&f);
    ck_assert_int_eq(step_room(&f, m, sizeof(m), ERR_LEN - 1), -XEN_EBADMSG);
    ck_assert_uint_eq(f.out_len, 0);
    end(&f);
}
END_TEST

START_TEST(random_bytes_never_get_more_than_the_bound)
{
    struct fixture f;
    srand(1);
    for (int round = 0; round < 3000; round++) {
        uint8_t m[300];
        begin(&f);
        for (size_t i = 0; i < sizeof(m); i++)
            m[i] = (uint8_t)(rand() >> 8);
        if (round % 2 == 0)
            make_hello(m, 1, 1, 1);
        if (round % 3 == 0) {
            put16(m + 72, XIDS_RANDOMD_GET);
            put16(m + 74, GET_LEN);
            memset(m + 80, 0, 8);
        }
        int rc = step(&f, m, sizeof(m));
        ck_assert(rc == 0 || rc == 1 || rc == -XEN_EBADMSG);
        ck_assert_uint_le(f.out_len, WELCOME_LEN + 3 * XIDS_RANDOMD_MESSAGE_MAX);
        end(&f);
    }
}
END_TEST

/* ---- bounds ---- */

static size_t many_gets(uint8_t *m, unsigned int count, uint32_t len)
{
    size_t at = 0;
    for (unsigned int i = 0; i < count; i++)
        at += make_get(m + at, i, len);
    return at;
}

START_TEST(no_more_than_two_answers_lie_unread)
{
    struct fixture f;
    uint8_t m[10 * GET_LEN];
    size_t len = many_gets(m, 10, 8), done;
    begin(&f);
    hello(&f);
    f.unread = 0;
    ck_assert_int_eq(step(&f, m, len), 0);
    ck_assert_uint_eq(f.out_len, 2 * 24);
    ck_assert_uint_eq(f.wait, 24);
    done = f.in_used;
    ck_assert_uint_eq(done, 3 * GET_LEN);
    /* The guest reads nothing, then part of the oldest, then all of it. */
    f.unread = 48;
    ck_assert_int_eq(step(&f, m + done, len - done), 0);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert_uint_eq(f.in_used, 0);
    f.unread = 25;
    ck_assert_int_eq(step(&f, m + done, len - done), 0);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert_uint_eq(f.wait, 1);
    f.unread = 24;
    ck_assert_int_eq(step(&f, m + done, len - done), 0);
    ck_assert_uint_eq(f.out_len, 24);
    ck_assert_uint_eq(get_header(f.out).id, 2);
    end(&f);
}
END_TEST

START_TEST(an_answer_waits_for_room_and_is_never_cut)
{
    struct fixture f;
    uint8_t m[GET_LEN];
    begin(&f);
    hello(&f);
    make_get(m, 5, 100);
    ck_assert_int_eq(step_room(&f, m, sizeof(m), 115), 0);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert_uint_eq(f.in_used, GET_LEN);
    ck_assert_uint_eq(f.wait, 1);
    ck_assert_int_eq(step_room(&f, NULL, 0, 116), 0);
    ck_assert_uint_eq(f.out_len, 116);
    assert_data(f.out, 5, xids_randomd_session_epoch(f.s), 100);
    ck_assert_uint_eq(f.wait, 0);
    end(&f);
}
END_TEST

START_TEST(nothing_is_read_while_an_answer_waits)
{
    struct fixture f;
    uint8_t m[5 * GET_LEN];
    begin(&f);
    hello(&f);
    ck_assert_int_eq(step_room(&f, m, many_gets(m, 5, 64), 0), 0);
    ck_assert_uint_eq(f.in_used, GET_LEN);
    ck_assert_int_eq(step_room(&f, m + GET_LEN, 4 * GET_LEN, 0), 0);
    ck_assert_uint_eq(f.in_used, 0);
    end(&f);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- shares ---- */

static struct xids_randomd_io io_of(struct fixture *f, const void *in, size_t len)
{
    return (struct xids_randomd_io){.in = in, .in_len = len, .out = f->out, .out_room = sizeof(f->out)};
}

START_TEST(what_is_done_has_its_cost)
{
    struct fixture f;
    uint8_t m[HELLO_LEN];
    begin(&f);
    struct xids_randomd_io io = io_of(&f, m, make_hello(m, 1, 0x40, 0xa0));
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    ck_assert_uint_eq(io.cost, XIDS_RANDOMD_COST_REQUEST + XIDS_RANDOMD_COST_HELLO);
    io = io_of(&f, m, make_get(m, 2, 1000));
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    ck_assert_uint_eq(io.cost, XIDS_RANDOMD_COST_REQUEST + 1000);
    io = io_of(&f, m, make_get(m, 3, 1025));
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    ck_assert_uint_eq(io.cost, XIDS_RANDOMD_COST_REQUEST);
    io = io_of(&f, m, 0);
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    ck_assert_uint_eq(io.cost, 0);
    end(&f);
}
END_TEST

START_TEST(requests_beyond_the_limit_wait_where_they_are)
{
    struct fixture f;
    uint8_t m[2 * GET_LEN];
    begin(&f);
    hello(&f);
    make_get(m + make_get(m, 2, 100), 3, 100);
    struct xids_randomd_io io = io_of(&f, m, sizeof(m));
    io.limit = 100 + XIDS_RANDOMD_COST_REQUEST;
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    ck_assert_uint_eq(io.in_used, GET_LEN);
    ck_assert_uint_eq(io.out_len, 116);
    ck_assert_uint_eq(io.cost, io.limit);
    ck_assert_uint_eq(io.wait, 0);
    io = io_of(&f, m + GET_LEN, GET_LEN);
    io.limit = 1;
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    assert_data(f.out, 3, xids_randomd_session_epoch(f.s), 100);
    end(&f);
}
END_TEST

START_TEST(over_its_share_a_guest_hears_when_to_come_again)
{
    struct fixture f;
    uint8_t m[GET_LEN];
    struct xids_randomd_session_stats stats;
    begin(&f);
    hello(&f);
    struct xids_randomd_io io = io_of(&f, m, make_get(m, 2, 100));
    io.busy_ms = 1234;
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    ck_assert_uint_eq(io.out_len, ERR_LEN);
    assert_err(f.out, 2, XIDS_RANDOMD_CODE_BUSY, 1234);
    xids_randomd_session_stats(f.s, &stats);
    ck_assert_uint_eq(stats.busy, 1);
    ck_assert_uint_eq(stats.bytes, 0);
    ck_assert_int_eq(ask(&f, 3, 100), 0);
    assert_data(f.out, 3, xids_randomd_session_epoch(f.s), 100);
    end(&f);
}
END_TEST

START_TEST(over_its_share_a_guests_hello_waits)
{
    struct fixture f;
    uint8_t m[HELLO_LEN];
    begin(&f);
    struct xids_randomd_io io = io_of(&f, m, make_hello(m, 1, 0x40, 0xa0));
    io.busy_ms = 1234;
    ck_assert_int_eq(xids_randomd_session_step(f.s, &io, f.now), 0);
    ck_assert_uint_eq(io.out_len, 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, WELCOME_LEN);
    end(&f);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_session");
    TCase *t = tcase_create("session");
    tcase_add_test(t, memory_that_does_not_do_is_refused);
    tcase_add_test(t, a_session_is_small_enough_for_ten_thousand);
    tcase_add_test(t, fini_leaves_only_zeros);
    tcase_add_test(t, boot_seed_has_the_specified_layout);
    tcase_add_test(t, boot_seed_comes_once_and_not_late);
    tcase_add_test(t, boot_seed_is_not_kept);
    tcase_add_test(t, without_a_ready_source_there_is_no_boot_seed);
    tcase_add_test(t, hello_is_welcomed_in_the_epoch_of_the_seed);
    tcase_add_test(t, every_length_asked_for_is_given);
    tcase_add_test(t, hello_and_get_may_come_together);
    tcase_add_test(t, bytes_one_at_a_time_give_the_same_answers);
    tcase_add_test(t, get_before_hello_is_an_error_of_state);
    tcase_add_loop_test(t, a_length_out_of_bounds_is_refused_and_the_session_goes_on, 0, COUNT(bad_lens));
    tcase_add_loop_test(t, no_version_in_common_ends_the_session, 0, COUNT(versions));
    tcase_add_test(t, a_range_of_versions_with_ours_in_it_will_do);
    tcase_add_test(t, bye_of_the_guest_ends_and_erases);
    tcase_add_test(t, bye_of_the_server_is_its_last_word);
    tcase_add_test(t, what_was_done_is_counted);
    suite_add_tcase(s, t);
    t = tcase_create("hostile");
    tcase_add_test(t, each_changed_byte_of_a_hello_is_judged);
    tcase_add_test(t, each_changed_byte_of_a_get_is_judged);
    tcase_add_test(t, each_changed_byte_of_a_bye_is_judged);
    tcase_add_test(t, the_servers_own_messages_are_refused);
    tcase_add_test(t, a_wrong_header_is_refused_before_the_rest_comes);
    tcase_add_test(t, a_violation_without_room_ends_silently);
    tcase_add_test(t, random_bytes_never_get_more_than_the_bound);
    tcase_add_test(t, no_more_than_two_answers_lie_unread);
    tcase_add_test(t, an_answer_waits_for_room_and_is_never_cut);
    tcase_add_test(t, nothing_is_read_while_an_answer_waits);
    suite_add_tcase(s, t);
    t = tcase_create("shares");
    tcase_add_test(t, what_is_done_has_its_cost);
    tcase_add_test(t, requests_beyond_the_limit_wait_where_they_are);
    tcase_add_test(t, over_its_share_a_guest_hears_when_to_come_again);
    tcase_add_test(t, over_its_share_a_guests_hello_waits);
    suite_add_tcase(s, t);
    return s;
}
