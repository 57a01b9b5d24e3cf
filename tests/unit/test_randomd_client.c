/* SPDX-License-Identifier: ISC */
/* The guest's end of the entropy protocol, with honest, late and hostile servers. */
#include "tests/unit/randomd_client.h"

/* ---- unseeded ---- */

START_TEST(memory_that_does_not_do_is_refused)
{
    struct xids_randomd_client *c;
    struct xids_randomd_client_config config = {.reseed_ns = 0};
    size_t size = xids_randomd_client_size();
    uint8_t *mem = malloc(size + 8);
    ck_assert_int_eq(xids_randomd_client_init(&c, mem, size - 1, &config, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_client_init(&c, mem + 4, size, &config, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_client_init(&c, NULL, size, &config, 0), -XEN_EINVAL);
    free(mem);
}
END_TEST

START_TEST(an_unseeded_client_gives_zeros_and_an_error)
{
    struct fixture f;
    uint8_t out[16], zeros[16] = {0};
    begin(&f);
    memset(out, 1, sizeof(out));
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_eq(xids_randomd_client_age(f.c, f.now), UINT64_MAX);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), -XEN_EAGAIN);
    ck_assert_mem_eq(out, zeros, sizeof(out));
    end(&f);
}
END_TEST

START_TEST(nothing_is_said_without_a_channel)
{
    struct fixture f;
    begin(&f);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), UINT64_MAX);
    end(&f);
}
END_TEST

START_TEST(local_sources_count_from_256_credited_bits)
{
    struct fixture f;
    uint8_t out[16];
    begin(&f);
    xids_randomd_client_mix(f.c, "jitter", 6, 255, f.now);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), -XEN_EAGAIN);
    xids_randomd_client_mix(f.c, "jitter", 6, 1, f.now);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_LOCAL);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), 0);
    f.now += 5 * S;
    ck_assert_uint_eq(xids_randomd_client_age(f.c, f.now), 5 * S);
    xids_randomd_client_mix(f.c, "more", 4, 1000000, f.now);
    ck_assert_uint_eq(xids_randomd_client_age(f.c, f.now), 0);
    end(&f);
}
END_TEST

START_TEST(uncredited_bytes_change_the_output_but_not_the_grade)
{
    struct fixture f, g;
    uint8_t a[16], b[16];
    begin(&f);
    begin(&g);
    xids_randomd_client_mix(g.c, "uncredited", 10, 0, g.now);
    ck_assert_int_eq(xids_randomd_client_grade(g.c), XIDS_RANDOMD_GRADE_NONE);
    xids_randomd_client_mix(f.c, "seed", 4, 256, f.now);
    xids_randomd_client_mix(g.c, "seed", 4, 256, g.now);
    ck_assert_int_eq(xids_randomd_client_random(f.c, a, sizeof(a)), 0);
    ck_assert_int_eq(xids_randomd_client_random(g.c, b, sizeof(b)), 0);
    ck_assert_mem_ne(a, b, sizeof(a));
    end(&f);
    end(&g);
}
END_TEST

/* ---- greeting ---- */

START_TEST(hello_and_the_first_get_have_the_specified_layout)
{
    struct fixture f;
    uint8_t want[HELLO_LEN];
    begin(&f);
    greet(&f);
    make_hello(want, 0, 0, 0xa0);
    ck_assert_mem_eq(f.out, want, 24);
    ck_assert_mem_eq(f.out + 56, want + 56, 16);
    assert_get(f.out + HELLO_LEN, 1, 48);
    end(&f);
}
END_TEST

START_TEST(each_hello_has_another_nonce)
{
    struct fixture f;
    uint8_t first[32];
    begin(&f);
    greet(&f);
    memcpy(first, f.out + 24, 32);
    xids_randomd_client_disconnected(f.c);
    greet(&f);
    ck_assert_mem_ne(first, f.out + 24, 32);
    end(&f);
}
END_TEST

START_TEST(the_boot_seed_alone_gives_grade_host_and_the_specified_output)
{
    static const uint8_t want[40] = {0xd7, 0x79, 0x93, 0xb4, 0x08, 0x42, 0x63, 0xf3, 0xe3, 0x3d, 0x72, 0x1d, 0xe2, 0x4c,
                                     0x37, 0x0b, 0xc9, 0x01, 0xb4, 0x3b, 0x26, 0xa7, 0x63, 0x67, 0x26, 0x4a, 0x34, 0x7c,
                                     0x2e, 0xe5, 0x0b, 0x43, 0x85, 0xe8, 0xc3, 0x9d, 0x9d, 0x6f, 0x1a, 0x23};
    struct fixture f;
    uint8_t m[SEED_LEN], out[40];
    begin(&f);
    xids_randomd_client_connected(f.c, f.now);
    ck_assert_int_eq(step(&f, m, make_seed(m, EPOCH, 0x80)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_randomd_client_epoch(f.c), EPOCH);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), 0);
    ck_assert_mem_eq(out, want, sizeof(out));
    end(&f);
}
END_TEST

START_TEST(host_bytes_are_combined_with_local_ones)
{
    struct fixture f, g;
    uint8_t m[SEED_LEN], a[16], b[16];
    begin(&f);
    begin(&g);
    xids_randomd_client_mix(g.c, "local", 5, 256, g.now);
    xids_randomd_client_connected(f.c, f.now);
    xids_randomd_client_connected(g.c, g.now);
    make_seed(m, EPOCH, 0x80);
    ck_assert_int_eq(step(&f, m, SEED_LEN), 0);
    ck_assert_int_eq(step(&g, m, SEED_LEN), 0);
    ck_assert_int_eq(xids_randomd_client_grade(g.c), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_int_eq(xids_randomd_client_random(f.c, a, sizeof(a)), 0);
    ck_assert_int_eq(xids_randomd_client_random(g.c, b, sizeof(b)), 0);
    ck_assert_mem_ne(a, b, sizeof(a));
    end(&f);
    end(&g);
}
END_TEST

START_TEST(seed_bytes_of_data_change_the_output_and_the_age)
{
    struct fixture f, g;
    uint8_t m[64], a[16], b[16];
    begin(&f);
    begin(&g);
    be_welcomed(&f);
    be_welcomed(&g);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(step(&f, m, make_data(m, 1, EPOCH, 48, 1)), 0);
    ck_assert_int_eq(step(&g, m, make_data(m, 1, EPOCH, 48, 2)), 0);
    ck_assert_uint_eq(xids_randomd_client_age(f.c, f.now + 3), 3);
    ck_assert_int_eq(xids_randomd_client_random(f.c, a, sizeof(a)), 0);
    ck_assert_int_eq(xids_randomd_client_random(g.c, b, sizeof(b)), 0);
    ck_assert_mem_ne(a, b, sizeof(a));
    end(&f);
    end(&g);
}
END_TEST

START_TEST(seed_bytes_are_not_kept)
{
    struct fixture f;
    uint8_t m[SEED_LEN];
    begin(&f);
    xids_randomd_client_connected(f.c, f.now);
    make_seed(m, EPOCH, 0xc0);
    ck_assert_int_eq(step(&f, m, SEED_LEN), 0);
    for (unsigned int at = 0; at + 8 <= 48; at += 8)
        ck_assert(!found_in(f.mem, xids_randomd_client_size(), m + 32 + at, 8));
    ck_assert_int_eq(step(&f, m, make_welcome(m, 0, EPOCH)), 0);
    ck_assert_int_eq(step(&f, m, make_data(m, 1, EPOCH, 48, 0x77)), 0);
    ck_assert(!found_in(f.mem, xids_randomd_client_size(), m + 16, 8));
    end(&f);
}
END_TEST

START_TEST(fini_wipes_all_and_gives_pulls_back)
{
    struct fixture f;
    uint8_t buf[8] = {1, 2, 3, 4, 5, 6, 7, 8}, zeros[8] = {0};
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(pull.status, -XEN_EBUSY);
    xids_randomd_client_fini(f.c);
    const uint8_t *mem = f.mem;
    for (size_t i = 0; i < xids_randomd_client_size(); i++)
        ck_assert_uint_eq(mem[i], 0);
    ck_assert_int_eq(pull.status, -XEN_EINTR);
    ck_assert_mem_eq(buf, zeros, sizeof(buf));
    free(f.mem);
    xids_randomd_client_fini(NULL);
}
END_TEST

/* ---- hostile servers ---- */

/* Feeds a message with one changed byte in all 255 ways to a client in the state that setup makes. */
static void mutate_all(void (*setup)(struct fixture *f), size_t (*make)(uint8_t *m),
                       int (*verdict)(const uint8_t *m, size_t at))
{
    struct fixture f;
    uint8_t m[128];
    size_t len = make(m);
    for (size_t at = 0; at < len; at++)
        for (unsigned int change = 1; change < 256; change++) {
            begin(&f);
            setup(&f);
            m[at] ^= (uint8_t)change;
            int want = verdict(m, at), rc = step(&f, m, len);
            ck_assert_msg(rc == want, "byte %zu ^ %02x: %d, not %d", at, change, rc, want);
            if (rc < 0) {
                ck_assert_int_eq(step(&f, NULL, 0), rc);
                ck_assert_uint_eq(f.out_len, 0);
                ck_assert_uint_eq(xids_randomd_client_deadline(f.c), UINT64_MAX);
            }
            m[at] ^= (uint8_t)change;
            end(&f);
        }
}

static size_t a_seed(uint8_t *m)
{
    return make_seed(m, EPOCH, 0x80);
}

static int judge_seed(const uint8_t *m, size_t at)
{
    (void)m;
    if (at >= 8 && at < 16)
        return 0; /* another epoch */
    if (at == 24 || at == 25)
        return -XEN_EPERM;
    return at >= 32 ? 0 : -XEN_EBADMSG;
}

static size_t a_welcome(uint8_t *m)
{
    return make_welcome(m, 0, EPOCH);
}

static int judge_welcome(const uint8_t *m, size_t at)
{
    if ((at >= 8 && at < 16) || (at >= 24 && at < 32)) /* epoch, what the server bears, its advice */
        return get32(m + 24) != 0 ? 0 : -XEN_EBADMSG;
    if (at >= 20 && at < 24)
        return get32(m + 20) >= 1 && get32(m + 20) <= 1024 ? 0 : -XEN_EBADMSG;
    return -XEN_EBADMSG;
}

static size_t a_data(uint8_t *m)
{
    return make_data(m, 1, EPOCH, 48, 3);
}

static int judge_body(const uint8_t *m, size_t at)
{
    (void)m;
    return at >= 16 ? 0 : -XEN_EBADMSG;
}

static size_t an_err(uint8_t *m)
{
    return make_err(m, 1, EPOCH, XIDS_RANDOMD_CODE_NOT_READY, 100);
}

static int judge_err(const uint8_t *m, size_t at)
{
    uint32_t code = get32(m + 16);
    if (at < 16 || (code >= XIDS_RANDOMD_CODE_LENGTH && code <= XIDS_RANDOMD_CODE_PROTOCOL))
        return -XEN_EBADMSG;
    return 0;
}

static size_t an_epoch(uint8_t *m)
{
    return make_epoch(m, EPOCH + 1, XIDS_RANDOMD_REASON_RESEED);
}

static int judge_epoch(const uint8_t *m, size_t at)
{
    if (at >= 8 && at < 16)
        return get64(m + 8) != EPOCH ? 0 : -XEN_EBADMSG;
    if (at == 17)
        return m[17] >= 1 && m[17] <= 3 ? 0 : -XEN_EBADMSG;
    return -XEN_EBADMSG;
}

static size_t a_bye(uint8_t *m)
{
    return make_bye(m, EPOCH, XIDS_RANDOMD_CODE_STOPPING, 1000);
}

static int judge_bye(const uint8_t *m, size_t at)
{
    (void)m;
    return at >= 16 ? 1 : -XEN_EBADMSG;
}

START_TEST(each_changed_byte_of_a_seed_is_judged)
{
    mutate_all(greet, a_seed, judge_seed);
}
END_TEST

START_TEST(each_changed_byte_of_a_welcome_is_judged)
{
    mutate_all(greet, a_welcome, judge_welcome);
}
END_TEST

START_TEST(each_changed_byte_of_a_data_is_judged)
{
    mutate_all(be_welcomed, a_data, judge_body);
}
END_TEST

START_TEST(each_changed_byte_of_an_error_is_judged)
{
    mutate_all(be_welcomed, an_err, judge_err);
}
END_TEST

START_TEST(each_changed_byte_of_an_epoch_is_judged)
{
    mutate_all(open_up, an_epoch, judge_epoch);
}
END_TEST

START_TEST(each_changed_byte_of_a_bye_is_judged)
{
    mutate_all(open_up, a_bye, judge_bye);
}
END_TEST

START_TEST(a_seed_comes_first_or_not_at_all)
{
    struct fixture f;
    uint8_t m[SEED_LEN];
    begin(&f);
    xids_randomd_client_connected(f.c, f.now);
    ck_assert_int_eq(step(&f, m, make_seed(m, EPOCH, 1)), 0);
    ck_assert_int_eq(step(&f, m, make_seed(m, EPOCH, 1)), -XEN_EBADMSG);
    end(&f);
    begin(&f);
    be_welcomed(&f);
    ck_assert_int_eq(step(&f, m, make_seed(m, EPOCH, 1)), -XEN_EBADMSG);
    end(&f);
}
END_TEST

START_TEST(what_nobody_asked_for_is_refused)
{
    struct fixture f;
    uint8_t m[64];
    for (int which = 0; which < 4; which++) {
        begin(&f);
        open_up(&f);
        size_t len = which == 0   ? make_data(m, 2, EPOCH, 48, 1)
                     : which == 1 ? make_welcome(m, 2, EPOCH + 1)
                     : which == 2 ? make_err(m, 2, EPOCH, XIDS_RANDOMD_CODE_BUSY, 1)
                                  : make_epoch(m, EPOCH, XIDS_RANDOMD_REASON_RESEED);
        ck_assert_int_eq(step(&f, m, len), -XEN_EBADMSG);
        end(&f);
    }
}
END_TEST

START_TEST(nothing_but_a_seed_comes_before_the_welcome)
{
    struct fixture f;
    uint8_t m[64];
    for (int which = 0; which < 2; which++) {
        begin(&f);
        greet(&f);
        size_t len = which == 0 ? make_data(m, 1, EPOCH, 48, 1) : make_epoch(m, EPOCH, XIDS_RANDOMD_REASON_READY);
        ck_assert_int_eq(step(&f, m, len), -XEN_EBADMSG);
        end(&f);
    }
}
END_TEST

START_TEST(an_unknown_type_of_no_length_is_refused)
{
    struct fixture f;
    uint8_t m[16] = {0x55};
    begin(&f);
    greet(&f);
    ck_assert_int_eq(step(&f, m, sizeof(m)), -XEN_EBADMSG);
    end(&f);
}
END_TEST

START_TEST(a_wrong_header_is_refused_before_the_rest_comes)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    be_welcomed(&f);
    make_data(m, 1, EPOCH, 48, 1);
    put16(m + 2, 0xffff);
    ck_assert_int_eq(step(&f, m, 15), 0);
    ck_assert_int_eq(step(&f, m + 15, 1), -XEN_EBADMSG);
    end(&f);
}
END_TEST

START_TEST(a_refused_version_is_told_as_such)
{
    struct fixture f;
    uint8_t m[ERR_LEN];
    begin(&f);
    greet(&f);
    ck_assert_int_eq(step(&f, m, make_err(m, 0, 0, XIDS_RANDOMD_CODE_VERSION, 0)), -XEN_EPERM);
    end(&f);
    begin(&f);
    greet(&f); /* of a server that is ready, but put no seed into the channel */
    ck_assert_int_eq(step(&f, m, make_err(m, 0, EPOCH, XIDS_RANDOMD_CODE_VERSION, 0)), -XEN_EPERM);
    end(&f);
}
END_TEST

START_TEST(a_greeting_refused_for_now_ends_the_channel_with_a_time_to_come_back)
{
    struct fixture f;
    uint8_t m[ERR_LEN];
    begin(&f);
    greet(&f);
    ck_assert_int_eq(step(&f, m, make_err(m, 0, 0, XIDS_RANDOMD_CODE_BUSY, 300)), 1);
    ck_assert_uint_eq(xids_randomd_client_retry_ms(f.c), 300);
    end(&f);
}
END_TEST

START_TEST(a_seeded_client_stays_seeded_when_its_server_goes_mad)
{
    struct fixture f;
    uint8_t m[16], out[16];
    begin(&f);
    open_up(&f);
    memset(m, 0xff, sizeof(m));
    ck_assert_int_eq(step(&f, m, sizeof(m)), -XEN_EBADMSG);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), 0);
    xids_randomd_client_disconnected(f.c);
    greet(&f);
    end(&f);
}
END_TEST

static int begin_anew(struct fixture *f, uint64_t epoch)
{
    uint8_t m[EPOCH_LEN];
    return step(f, m, make_epoch(m, epoch, XIDS_RANDOMD_REASON_RESTORED));
}

START_TEST(a_server_that_begins_anew_without_end_is_left)
{
    struct fixture f;
    uint8_t m[WELCOME_LEN];
    unsigned int i = 0;
    int rc = 0;
    begin(&f);
    open_up(&f);
    for (; i < 1000 && rc == 0; i++)
        rc = begin_anew(&f, EPOCH + 1 + i);
    ck_assert_int_eq(rc, -XEN_EBADMSG);
    ck_assert_uint_gt(i, 16);
    ck_assert_uint_lt(i, 100);
    /* It may have been true. */
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_uint_eq(xids_entropy_doubts(xids_randomd_client_entropy(f.c)), i);
    /* Another channel at once does not give it as much again. */
    xids_randomd_client_disconnected(f.c);
    xids_randomd_client_connected(f.c, f.now);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_int_eq(step(&f, m, make_welcome(m, get32(f.out + 4), EPOCH)), 0);
    ck_assert_int_eq(begin_anew(&f, EPOCH + 1), -XEN_EBADMSG);
    end(&f);
}
END_TEST

START_TEST(a_server_may_begin_anew_ten_times_a_second)
{
    struct fixture f;
    begin(&f);
    open_up(&f);
    for (unsigned int i = 0; i < 1000; i++) {
        ck_assert_int_eq(begin_anew(&f, EPOCH + 1 + i), 0);
        f.now += 100 * MS;
    }
    end(&f);
}
END_TEST

START_TEST(advice_to_ask_all_the_time_is_not_taken)
{
    struct fixture f;
    uint8_t m[WELCOME_LEN + 64];
    begin(&f);
    greet(&f);
    size_t len = make_welcome(m, 0, EPOCH);
    put32(m + 28, 1);
    len += make_data(m + len, 1, EPOCH, 48, 0x33);
    ck_assert_int_eq(step(&f, m, len), 0);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), f.now + S);
    end(&f);
}
END_TEST

START_TEST(random_bytes_stay_within_the_buffers)
{
    srand(2);
    for (int round = 0; round < 3000; round++) {
        struct fixture f;
        uint8_t m[200], buf[3000];
        struct xids_randomd_pull pull = {.to = buf + 16, .len = sizeof(buf) - 32};
        memset(buf, 0xee, sizeof(buf));
        begin(&f);
        open_up(&f);
        ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
        ck_assert_int_eq(step(&f, NULL, 0), 0);
        for (int part = 0; part < 20; part++) {
            make_data(m, 2 + (uint32_t)part, EPOCH, sizeof(m) - 16, (uint8_t)part);
            put16(m + 2, rand() % 4 == 0 ? (uint16_t)rand() : 16 + XIDS_RANDOMD_CHUNK);
            if (rand() % 3 == 0)
                m[rand() % 16] = (uint8_t)rand();
            if (step(&f, m, sizeof(m)) < 0)
                break;
        }
        for (unsigned int i = 0; i < 16; i++) {
            ck_assert_uint_eq(buf[i], 0xee);
            ck_assert_uint_eq(buf[sizeof(buf) - 1 - i], 0xee);
        }
        end(&f);
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_client");
    TCase *t = tcase_create("seeding");
    tcase_add_test(t, memory_that_does_not_do_is_refused);
    tcase_add_test(t, an_unseeded_client_gives_zeros_and_an_error);
    tcase_add_test(t, nothing_is_said_without_a_channel);
    tcase_add_test(t, local_sources_count_from_256_credited_bits);
    tcase_add_test(t, uncredited_bytes_change_the_output_but_not_the_grade);
    tcase_add_test(t, hello_and_the_first_get_have_the_specified_layout);
    tcase_add_test(t, each_hello_has_another_nonce);
    tcase_add_test(t, the_boot_seed_alone_gives_grade_host_and_the_specified_output);
    tcase_add_test(t, host_bytes_are_combined_with_local_ones);
    tcase_add_test(t, seed_bytes_of_data_change_the_output_and_the_age);
    tcase_add_test(t, seed_bytes_are_not_kept);
    tcase_add_test(t, fini_wipes_all_and_gives_pulls_back);
    suite_add_tcase(s, t);
    t = tcase_create("hostile");
    tcase_add_test(t, each_changed_byte_of_a_seed_is_judged);
    tcase_add_test(t, each_changed_byte_of_a_welcome_is_judged);
    tcase_add_test(t, each_changed_byte_of_a_data_is_judged);
    tcase_add_test(t, each_changed_byte_of_an_error_is_judged);
    tcase_add_test(t, each_changed_byte_of_an_epoch_is_judged);
    tcase_add_test(t, each_changed_byte_of_a_bye_is_judged);
    tcase_add_test(t, a_seed_comes_first_or_not_at_all);
    tcase_add_test(t, what_nobody_asked_for_is_refused);
    tcase_add_test(t, nothing_but_a_seed_comes_before_the_welcome);
    tcase_add_test(t, an_unknown_type_of_no_length_is_refused);
    tcase_add_test(t, a_wrong_header_is_refused_before_the_rest_comes);
    tcase_add_test(t, a_refused_version_is_told_as_such);
    tcase_add_test(t, a_greeting_refused_for_now_ends_the_channel_with_a_time_to_come_back);
    tcase_add_test(t, a_seeded_client_stays_seeded_when_its_server_goes_mad);
    tcase_add_test(t, a_server_that_begins_anew_without_end_is_left);
    tcase_add_test(t, a_server_may_begin_anew_ten_times_a_second);
    tcase_add_test(t, advice_to_ask_all_the_time_is_not_taken);
    tcase_add_test(t, random_bytes_stay_within_the_buffers);
    suite_add_tcase(s, t);
    return s;
}
