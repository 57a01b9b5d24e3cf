/* SPDX-License-Identifier: ISC */
/* The server's end of the entropy protocol, with honest, clumsy and hostile guests. */
#include "tests/unit/randomd_wire.h"

struct fixture {
    struct source source;
    struct xids_randomd_session *s;
    void *mem;
    uint8_t out[3200];
    size_t out_len, in_used, wait;
    size_t unread; /* what the guest has not consumed */
    uint64_t now;
};

static void begin_as(struct fixture *f, const char *who, struct source source)
{
    memset(f, 0, sizeof(*f));
    f->source = source;
    f->mem = malloc(xids_randomd_session_size());
    f->now = 5 * S;
    const struct xids_randomd_session_config config = {
        .source = source_get, .source_ctx = &f->source, .who = who, .who_len = strlen(who)};
    ck_assert_int_eq(xids_randomd_session_init(&f->s, f->mem, xids_randomd_session_size(), &config, f->now), 0);
}

static void begin(struct fixture *f)
{
    begin_as(f, "guest 1", (struct source){0});
}

static void end(struct fixture *f)
{
    xids_randomd_session_fini(f->s);
    free(f->mem);
}

static int step_room(struct fixture *f, const void *in, size_t len, size_t room)
{
    struct xids_randomd_io io = {.in = in, .in_len = len, .out = f->out, .out_room = room, .unread = f->unread};
    int rc = xids_randomd_session_step(f->s, &io, f->now);
    ck_assert_uint_le(io.in_used, len);
    ck_assert_uint_le(io.out_len, room);
    f->in_used = io.in_used;
    f->out_len = io.out_len;
    f->wait = io.wait;
    return rc;
}

/* One step for a guest that reads everything at once. */
static int step(struct fixture *f, const void *in, size_t len)
{
    return step_room(f, in, len, sizeof(f->out));
}

static void hello(struct fixture *f)
{
    uint8_t m[HELLO_LEN];
    ck_assert_int_eq(step(f, m, make_hello(m, 1, 0x40, 0xa0)), 0);
    ck_assert_uint_eq(f->out_len, WELCOME_LEN);
}

static int ask(struct fixture *f, uint32_t id, uint32_t len)
{
    uint8_t m[GET_LEN];
    return step(f, m, make_get(m, id, len));
}

static void assert_err(const uint8_t *m, uint32_t id, uint32_t code, uint32_t retry_ms)
{
    struct randomd_header h = get_header(m);
    ck_assert_uint_eq(h.type, XIDS_RANDOMD_ERR);
    ck_assert_uint_eq(h.len, ERR_LEN);
    ck_assert_uint_eq(h.id, id);
    ck_assert_uint_eq(get32(m + 16), code);
    ck_assert_uint_eq(get32(m + 20), retry_ms);
}

static void assert_data(const uint8_t *m, uint32_t id, uint64_t epoch, uint32_t len)
{
    struct randomd_header h = get_header(m);
    ck_assert_uint_eq(h.type, XIDS_RANDOMD_DATA);
    ck_assert_uint_eq(h.len, 16 + len);
    ck_assert_uint_eq(h.id, id);
    ck_assert_uint_eq(h.epoch, epoch);
}

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
    t = tcase_create("generator");
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
    tcase_add_test(t, renewal_without_a_source_leaves_no_key);
    tcase_add_test(t, a_second_hello_begins_a_new_epoch);
    tcase_add_test(t, an_ended_session_cannot_be_renewed);
    suite_add_tcase(s, t);
    return s;
}
