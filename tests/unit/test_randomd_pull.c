/* SPDX-License-Identifier: ISC */
/* The guest's end of the entropy protocol over time: refusals, epochs, good-byes, and pulls of any size. */
#include "tests/unit/randomd_client.h"

/* ---- refusals, epochs, good-byes ---- */

START_TEST(a_refused_seed_is_asked_for_again_in_time)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    be_welcomed(&f);
    ck_assert_int_eq(step(&f, m, make_err(m, 1, EPOCH, XIDS_RANDOMD_CODE_BUSY, 250)), 0);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), f.now + 250 * MS);
    f.now += 250 * MS - 1;
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, 0);
    f.now += 1;
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, GET_LEN);
    assert_get(f.out, 2, 48);
    end(&f);
}
END_TEST

static const struct {
    uint32_t said, meant;
} retries[] = {{1, 1}, {60000, 60000}, {60001, 60000}, {0xffffffffu, 60000}, {0, 1000}};

START_TEST(how_long_to_wait_is_bounded)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    be_welcomed(&f);
    ck_assert_int_eq(step(&f, m, make_err(m, 1, EPOCH, XIDS_RANDOMD_CODE_NOT_READY, retries[_i].said)), 0);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), f.now + retries[_i].meant * MS);
    end(&f);
}
END_TEST

START_TEST(a_host_that_is_not_ready_leaves_the_grade_none_until_it_is)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    greet(&f);
    ck_assert_int_eq(step(&f, m, make_welcome(m, 0, 0)), 0);
    ck_assert_int_eq(step(&f, m, make_err(m, 1, 0, XIDS_RANDOMD_CODE_NOT_READY, 60000)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(step(&f, m, make_epoch(m, EPOCH, XIDS_RANDOMD_REASON_READY)), 0);
    assert_get(f.out, 2, 48); /* at once, whatever was said of 60 seconds */
    ck_assert_int_eq(step(&f, m, make_data(m, 2, EPOCH, 48, 1)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_HOST);
    end(&f);
}
END_TEST

START_TEST(a_new_epoch_makes_the_client_ask_for_fresh_bytes)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(step(&f, m, make_epoch(m, EPOCH + 1, XIDS_RANDOMD_REASON_RESEED)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_uint_eq(xids_randomd_client_epoch(f.c), EPOCH + 1);
    assert_get(f.out, 2, 48);
    ck_assert_int_eq(step(&f, m, make_data(m, 2, EPOCH, 48, 1)), -XEN_EBADMSG); /* of the old epoch */
    end(&f);
}
END_TEST

START_TEST(a_restored_guest_is_unseeded_until_fresh_bytes_come)
{
    struct fixture f;
    uint8_t m[64], out[8];
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(step(&f, m, make_epoch(m, EPOCH + 1, XIDS_RANDOMD_REASON_RESTORED)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_NONE);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), -XEN_EAGAIN);
    ck_assert_int_eq(step(&f, m, make_data(m, 2, EPOCH + 1, 48, 1)), 0);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), 0);
    end(&f);
}
END_TEST

START_TEST(forgetting_leaves_no_key_and_greets_anew)
{
    struct fixture f;
    uint8_t m[64], out[8];
    begin(&f);
    open_up(&f);
    xids_randomd_client_forget(f.c);
    ck_assert_int_eq(xids_randomd_client_random(f.c, out, sizeof(out)), -XEN_EAGAIN);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, HELLO_LEN + GET_LEN);
    ck_assert_int_eq(step(&f, m, make_welcome(m, 2, EPOCH + 1)), 0);
    ck_assert_int_eq(step(&f, m, make_data(m, 3, EPOCH + 1, 48, 1)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_HOST);
    end(&f);
}
END_TEST

START_TEST(seed_bytes_asked_for_before_forgetting_do_not_count)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    be_welcomed(&f);
    xids_randomd_client_forget(f.c);
    ck_assert_int_eq(step(&f, m, make_data(m, 1, EPOCH, 48, 1)), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_NONE);
    end(&f);
}
END_TEST

START_TEST(a_second_welcome_in_the_old_epoch_is_refused)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    open_up(&f);
    xids_randomd_client_forget(f.c);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_int_eq(step(&f, m, make_welcome(m, 2, EPOCH)), -XEN_EBADMSG);
    end(&f);
}
END_TEST

START_TEST(fresh_bytes_are_asked_for_as_the_server_advises)
{
    struct fixture f;
    begin(&f);
    open_up(&f);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), f.now + 60 * S);
    f.now += 60 * S;
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    assert_get(f.out, 2, 48);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), UINT64_MAX);
    end(&f);
}
END_TEST

START_TEST(bye_ends_the_session_and_says_when_to_come_back)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(step(&f, m, make_bye(m, EPOCH, XIDS_RANDOMD_CODE_STOPPING, 1500)), 1);
    ck_assert_uint_eq(xids_randomd_client_retry_ms(f.c), 1500);
    ck_assert_uint_eq(xids_randomd_client_epoch(f.c), 0);
    ck_assert_int_eq(xids_randomd_client_grade(f.c), XIDS_RANDOMD_GRADE_HOST);
    ck_assert_int_eq(step(&f, NULL, 0), 1);
    end(&f);
}
END_TEST

/* ---- pulls ---- */

/* Answers every GET that is in out, with bytes that count up. Returns how many bytes were asked for. */
static size_t answer_gets(struct fixture *f, uint8_t *counter)
{
    static uint8_t m[16 * XIDS_RANDOMD_MESSAGE_MAX];
    size_t len = 0, bytes = 0;
    for (size_t at = 0; at < f->out_len; at += GET_LEN) {
        struct randomd_header h = get_header(f->out + at);
        ck_assert_uint_eq(h.type, XIDS_RANDOMD_GET);
        uint32_t n = get32(f->out + at + 16);
        ck_assert_uint_le(n, XIDS_RANDOMD_CHUNK);
        make_data(m + len, h.id, EPOCH, n, 0);
        for (uint32_t i = 0; i < n; i++)
            m[len + 16 + i] = (*counter)++;
        len += 16 + n;
        bytes += n;
    }
    ck_assert_int_eq(step(f, m, len), 0);
    return bytes;
}

static void assert_counts(const uint8_t *buf, size_t len, uint8_t from)
{
    for (size_t i = 0; i < len; i++)
        ck_assert_uint_eq(buf[i], (uint8_t)(from + i));
}

static const size_t pull_lens[] = {
    1, 48, XIDS_RANDOMD_CHUNK - 1, XIDS_RANDOMD_CHUNK, XIDS_RANDOMD_CHUNK + 1, 1024, 5000, 100000};

START_TEST(a_pull_of_any_size_arrives_whole_and_in_order)
{
    struct fixture f;
    size_t len = pull_lens[_i], asked = 0;
    uint8_t *buf = malloc(len), counter = 0;
    struct xids_randomd_pull pull = {.to = buf, .len = len};
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    while (f.out_len > 0) {
        ck_assert_uint_le(f.out_len, 8 * GET_LEN);
        asked += answer_gets(&f, &counter);
    }
    ck_assert_uint_eq(asked, len);
    ck_assert_int_eq(pull.status, 0);
    ck_assert_uint_eq(pull.got, len);
    assert_counts(buf, len, 0);
    free(buf);
    end(&f);
}
END_TEST

START_TEST(an_empty_pull_is_refused)
{
    struct fixture f;
    uint8_t byte;
    struct xids_randomd_pull none = {.to = NULL, .len = 1}, empty = {.to = &byte, .len = 0};
    begin(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &none), -XEN_EINVAL);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &empty), -XEN_EINVAL);
    end(&f);
}
END_TEST

START_TEST(a_smaller_limit_of_the_server_is_kept)
{
    struct fixture f;
    uint8_t m[64], buf[250], counter = 0;
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    begin(&f);
    greet(&f);
    make_welcome(m, 0, EPOCH);
    put32(m + 20, 100);
    ck_assert_int_eq(step(&f, m, WELCOME_LEN), 0);
    ck_assert_int_eq(step(&f, m, make_data(m, 1, EPOCH, 48, 1)), 0);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, 3 * GET_LEN);
    assert_get(f.out, 2, 100);
    assert_get(f.out + 2 * GET_LEN, 4, 50);
    answer_gets(&f, &counter);
    ck_assert_int_eq(pull.status, 0);
    end(&f);
}
END_TEST

static void count_done(void *ctx, struct xids_randomd_pull *pull)
{
    unsigned int *order = ctx;
    ck_assert_int_eq(pull->status, 0);
    *order = *order * 10 + (unsigned int)pull->len;
}

START_TEST(pulls_end_in_their_order_and_call_back_once)
{
    struct fixture f;
    uint8_t a[1], b[2], c[3], counter = 0;
    unsigned int order = 0;
    struct xids_randomd_pull pulls[] = {{.to = a, .len = 1, .done = count_done, .ctx = &order},
                                        {.to = b, .len = 2, .done = count_done, .ctx = &order},
                                        {.to = c, .len = 3, .done = count_done, .ctx = &order}};
    begin(&f);
    open_up(&f);
    for (unsigned int i = 0; i < 3; i++)
        ck_assert_int_eq(xids_randomd_client_pull(f.c, &pulls[i]), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    answer_gets(&f, &counter);
    ck_assert_uint_eq(order, 123);
    assert_counts(c, 3, 3);
    end(&f);
}
END_TEST

START_TEST(data_one_byte_at_a_time_fills_the_buffer)
{
    struct fixture f;
    uint8_t m[64], buf[20];
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    make_data(m, 2, EPOCH, 20, 0x44);
    for (size_t i = 0; i < 36; i++) {
        ck_assert_int_eq(pull.status, -XEN_EBUSY);
        ck_assert_int_eq(step(&f, m + i, 1), 0);
    }
    ck_assert_int_eq(pull.status, 0);
    ck_assert_mem_eq(buf, m + 16, 20);
    end(&f);
}
END_TEST

START_TEST(a_cancelled_pull_is_wiped_and_its_answers_are_dropped)
{
    struct fixture f;
    uint8_t m[64], first[20], second[5], zeros[20] = {0};
    struct xids_randomd_pull a = {.to = first, .len = 20}, b = {.to = second, .len = 5};
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &a), 0);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &b), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    make_data(m, 2, EPOCH, 20, 0x44);
    ck_assert_int_eq(step(&f, m, 30), 0); /* part of it has come */
    xids_randomd_client_cancel(f.c, &a);
    ck_assert_int_eq(a.status, -XEN_EINTR);
    ck_assert_mem_eq(first, zeros, 20);
    ck_assert_int_eq(step(&f, m + 30, 6), 0);
    ck_assert_mem_eq(first, zeros, 20);
    ck_assert_int_eq(step(&f, m, make_data(m, 3, EPOCH, 5, 0x55)), 0);
    ck_assert_int_eq(b.status, 0);
    ck_assert_mem_eq(second, m + 16, 5);
    xids_randomd_client_cancel(f.c, &a); /* no longer there: nothing happens */
    end(&f);
}
END_TEST

START_TEST(a_refusal_in_the_middle_of_a_pull_leaves_no_hole)
{
    struct fixture f;
    static uint8_t buf[3 * XIDS_RANDOMD_CHUNK], m[3000];
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    uint8_t counter = 0;
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(f.out_len, 3 * GET_LEN);
    /* The first is answered, the second is refused, the third is answered. */
    size_t len = make_data(m, 2, EPOCH, XIDS_RANDOMD_CHUNK, 0);
    for (unsigned int i = 0; i < XIDS_RANDOMD_CHUNK; i++)
        m[16 + i] = counter++;
    len += make_err(m + len, 3, EPOCH, XIDS_RANDOMD_CODE_BUSY, 10);
    len += make_data(m + len, 4, EPOCH, XIDS_RANDOMD_CHUNK, 0xff);
    ck_assert_int_eq(step(&f, m, len), 0);
    ck_assert_uint_eq(pull.got, XIDS_RANDOMD_CHUNK);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), f.now + 10 * MS);
    f.now += 10 * MS;
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(answer_gets(&f, &counter), 2 * XIDS_RANDOMD_CHUNK);
    ck_assert_int_eq(pull.status, 0);
    assert_counts(buf, sizeof(buf), 0);
    end(&f);
}
END_TEST

START_TEST(a_pull_survives_its_channel)
{
    struct fixture f;
    static uint8_t buf[4 * XIDS_RANDOMD_CHUNK], m[2000];
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    uint8_t counter = 0;
    begin(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0); /* before there is any */
    open_up(&f);
    ck_assert_uint_eq(f.out_len, 0);
    /* Its GETs went out with the WELCOME; the ids 2 to 5. */
    make_data(m, 2, EPOCH, XIDS_RANDOMD_CHUNK, 0);
    for (unsigned int i = 0; i < XIDS_RANDOMD_CHUNK; i++)
        m[16 + i] = counter++;
    ck_assert_int_eq(step(&f, m, 16 + XIDS_RANDOMD_CHUNK), 0);
    make_data(m, 3, EPOCH, XIDS_RANDOMD_CHUNK, 0xff);
    ck_assert_int_eq(step(&f, m, 500), 0); /* the channel breaks in the middle of the second */
    xids_randomd_client_disconnected(f.c);
    ck_assert_uint_eq(pull.got, XIDS_RANDOMD_CHUNK);
    ck_assert_int_eq(pull.status, -XEN_EBUSY);
    xids_randomd_client_connected(f.c, f.now);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    uint32_t hello_id = get_header(f.out).id;
    ck_assert_int_eq(step(&f, m, make_welcome(m, hello_id, EPOCH)), 0);
    struct fixture copy = f;
    ck_assert_int_eq(step(&f, m, make_data(m, hello_id + 1, EPOCH, 48, 1)), 0);
    memcpy(f.out, copy.out, copy.out_len);
    f.out_len = copy.out_len;
    ck_assert_uint_eq(answer_gets(&f, &counter), 3 * XIDS_RANDOMD_CHUNK);
    ck_assert_int_eq(pull.status, 0);
    assert_counts(buf, sizeof(buf), 0);
    end(&f);
}
END_TEST

/* Before a suspension: two guests restored from one image would share what the pull has by now. */
START_TEST(forgetting_wipes_a_pull_and_begins_it_again)
{
    struct fixture f;
    static uint8_t buf[3 * XIDS_RANDOMD_CHUNK], zeros[3 * XIDS_RANDOMD_CHUNK], m[2000];
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    uint8_t counter = 0;
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_int_eq(step(&f, m, make_data(m, 2, EPOCH, XIDS_RANDOMD_CHUNK, 0xaa)), 0);
    make_data(m, 3, EPOCH, XIDS_RANDOMD_CHUNK, 0xbb);
    ck_assert_int_eq(step(&f, m, 500), 0); /* and half of the second */
    ck_assert_uint_eq(pull.got, XIDS_RANDOMD_CHUNK);
    if (_i == 0)
        xids_randomd_client_disconnected(f.c);
    xids_randomd_client_forget(f.c);
    ck_assert_mem_eq(buf, zeros, sizeof(buf));
    ck_assert_int_eq(pull.status, -XEN_EBUSY);
    if (_i == 0) {
        xids_randomd_client_connected(f.c, f.now);
    } else {
        /* What was asked for before is still answered, to nobody. */
        ck_assert_int_eq(step(&f, m + 500, 16 + XIDS_RANDOMD_CHUNK - 500), 0);
        ck_assert_mem_eq(buf, zeros, sizeof(buf));
        xids_randomd_client_disconnected(f.c);
        xids_randomd_client_connected(f.c, f.now);
    }
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    uint32_t hello_id = get_header(f.out).id;
    ck_assert_int_eq(step(&f, m, make_welcome(m, hello_id, EPOCH)), 0);
    struct fixture copy = f;
    ck_assert_int_eq(step(&f, m, make_data(m, hello_id + 1, EPOCH, 48, 1)), 0);
    memcpy(f.out, copy.out, copy.out_len);
    f.out_len = copy.out_len;
    ck_assert_uint_eq(answer_gets(&f, &counter), sizeof(buf));
    ck_assert_int_eq(pull.status, 0);
    assert_counts(buf, sizeof(buf), 0);
    end(&f);
}
END_TEST

START_TEST(a_pull_of_a_restored_guest_begins_again)
{
    struct fixture f;
    static uint8_t buf[2 * XIDS_RANDOMD_CHUNK], zeros[2 * XIDS_RANDOMD_CHUNK], m[2000];
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_int_eq(step(&f, m, make_data(m, 2, EPOCH, XIDS_RANDOMD_CHUNK, 0xaa)), 0);
    ck_assert_int_eq(step(&f, m, make_epoch(m, EPOCH + 1, XIDS_RANDOMD_REASON_RESTORED)), 0);
    ck_assert_mem_eq(buf, zeros, sizeof(buf));
    ck_assert_uint_eq(pull.got, 0);
    ck_assert_int_eq(pull.status, -XEN_EBUSY);
    end(&f);
}
END_TEST

START_TEST(a_long_pull_under_way_is_no_reason_to_wake_up)
{
    struct fixture f;
    static uint8_t buf[100000];
    struct xids_randomd_pull pull = {.to = buf, .len = sizeof(buf)};
    begin(&f);
    open_up(&f);
    ck_assert_int_eq(xids_randomd_client_pull(f.c, &pull), 0);
    ck_assert_int_eq(step(&f, NULL, 0), 0);
    ck_assert_uint_eq(xids_randomd_client_deadline(f.c), f.now + 60 * S); /* the next reseed, not the pull */
    end(&f);
}
END_TEST

START_TEST(requests_wait_for_room_and_are_never_cut)
{
    struct fixture f;
    uint8_t m[64];
    begin(&f);
    xids_randomd_client_connected(f.c, f.now);
    ck_assert_int_eq(step_room(&f, NULL, 0, HELLO_LEN - 1), 0);
    ck_assert_uint_eq(f.out_len, 0);
    ck_assert_int_eq(step_room(&f, NULL, 0, HELLO_LEN + GET_LEN - 1), 0);
    ck_assert_uint_eq(f.out_len, HELLO_LEN);
    ck_assert_int_eq(step_room(&f, m, make_welcome(m, 0, EPOCH), GET_LEN), 0);
    assert_get(f.out, 1, 48);
    end(&f);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

Suite *xids_suite(void)
{
    Suite *s = suite_create("randomd_pull");
    TCase *t = tcase_create("life");
    tcase_add_test(t, a_refused_seed_is_asked_for_again_in_time);
    tcase_add_loop_test(t, how_long_to_wait_is_bounded, 0, COUNT(retries));
    tcase_add_test(t, a_host_that_is_not_ready_leaves_the_grade_none_until_it_is);
    tcase_add_test(t, a_new_epoch_makes_the_client_ask_for_fresh_bytes);
    tcase_add_test(t, a_restored_guest_is_unseeded_until_fresh_bytes_come);
    tcase_add_test(t, forgetting_leaves_no_key_and_greets_anew);
    tcase_add_test(t, seed_bytes_asked_for_before_forgetting_do_not_count);
    tcase_add_test(t, a_second_welcome_in_the_old_epoch_is_refused);
    tcase_add_test(t, fresh_bytes_are_asked_for_as_the_server_advises);
    tcase_add_test(t, bye_ends_the_session_and_says_when_to_come_back);
    suite_add_tcase(s, t);
    t = tcase_create("pulls");
    tcase_add_loop_test(t, a_pull_of_any_size_arrives_whole_and_in_order, 0, COUNT(pull_lens));
    tcase_add_test(t, an_empty_pull_is_refused);
    tcase_add_test(t, a_smaller_limit_of_the_server_is_kept);
    tcase_add_test(t, pulls_end_in_their_order_and_call_back_once);
    tcase_add_test(t, data_one_byte_at_a_time_fills_the_buffer);
    tcase_add_test(t, a_cancelled_pull_is_wiped_and_its_answers_are_dropped);
    tcase_add_test(t, a_refusal_in_the_middle_of_a_pull_leaves_no_hole);
    tcase_add_test(t, a_pull_survives_its_channel);
    tcase_add_loop_test(t, forgetting_wipes_a_pull_and_begins_it_again, 0, 2);
    tcase_add_test(t, a_pull_of_a_restored_guest_begins_again);
    tcase_add_test(t, a_long_pull_under_way_is_no_reason_to_wake_up);
    tcase_add_test(t, requests_wait_for_room_and_are_never_cut);
    suite_add_tcase(s, t);
    return s;
}
