/* SPDX-License-Identifier: ISC */
/* The trace: a ring written and read back, whatever its bytes are, and the replay of what it holds. */
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/xs_server.h>

#include "xenstore/replay.h"

#define RING TRACE_RING_MIN
#define FILE_BYTES (TRACE_RING_AT + RING)

static _Alignas(8) uint8_t memory[FILE_BYTES];
static struct trace_ring ring;
static char *text; /* what a replay or print has written */
static size_t text_len;
static FILE *out;

static void begin(const char *settings)
{
    memset(memory, 0, sizeof(memory));
    trace_ring_init(&ring, memory, RING, 5, TRACE_FROM_START, settings, strlen(settings));
}

static void setup(void)
{
    begin("own-domid=0\nprivileged-domid=0\n");
    out = open_memstream(&text, &text_len);
    ck_assert_ptr_nonnull(out);
}

static void teardown(void)
{
    (void)fclose(out);
    free(text);
}

static void put(uint16_t kind, uint32_t conn, uint32_t type, const void *payload, uint32_t len)
{
    const struct trace_record rec = {
        .kind = kind, .domid = (uint16_t)conn, .time = 1000000007, .conn = conn, .type = type, .req_id = 9, .len = len};
    trace_put(&ring, &rec, payload);
}

/* ---- the ring ---- */

START_TEST(a_record_comes_back_as_it_was)
{
    const struct trace_record rec = {.kind = TRACE_ANSWER,
                                     .domid = 3,
                                     .time = UINT64_C(0x123456789abcdef),
                                     .conn = 70000,
                                     .result = -5,
                                     .type = XS_READ,
                                     .req_id = 7,
                                     .tx_id = 8,
                                     .len = 5};
    struct trace_record got;
    struct trace_reader t;
    const uint8_t *payload;
    trace_put(&ring, &rec, "v\0alu");
    ck_assert_ptr_null(trace_read(&t, memory, sizeof(memory)));
    ck_assert_int_eq(trace_next(&t, &got, &payload), 1);
    ck_assert_uint_eq(got.size, 48);
    got.size = 0;
    ck_assert_mem_eq(&got, &rec, sizeof(rec));
    ck_assert_mem_eq(payload, "v\0alu", 5);
    ck_assert_int_eq(trace_next(&t, &got, &payload), 0);
}
END_TEST

/* The n-th record of the test has this length, and its number at its start. */
static uint32_t length_of(uint32_t n)
{
    return 4 + n * 2654435761u % (XIDS_XSWIRE_PAYLOAD_MAX - 3);
}

START_TEST(a_ring_that_has_wrapped_holds_the_newest_records_whole)
{
    static uint8_t bytes[XIDS_XSWIRE_PAYLOAD_MAX];
    for (uint32_t n = 0; n < 3000; n++) {
        struct trace_record got;
        struct trace_reader t;
        const uint8_t *payload;
        uint64_t held = 0;
        uint32_t next = UINT32_MAX;
        int rc;
        memset(bytes, (int)(n & 0xff), sizeof(bytes));
        memcpy(bytes, &n, sizeof(n));
        put(TRACE_REQUEST, 70000, XS_WRITE, bytes, length_of(n));
        if (n % 13 != 0)
            continue;
        ck_assert_ptr_null(trace_read(&t, memory, sizeof(memory)));
        while ((rc = trace_next(&t, &got, &payload)) > 0) {
            uint32_t number;
            memcpy(&number, payload, sizeof(number));
            ck_assert(next == UINT32_MAX || number == next);
            ck_assert_uint_eq(got.len, length_of(number));
            ck_assert_uint_eq(payload[got.len - 1], got.len > 4 ? number & 0xff : number >> 24);
            next = number + 1;
            held += got.size;
        }
        ck_assert_int_eq(rc, 0);
        ck_assert_uint_eq(next, n + 1);
        /* Only what had to go has gone: a pad and a record of room at most. */
        ck_assert(n < 100 || held > RING - 2 * (XIDS_XSWIRE_PAYLOAD_MAX + 48));
    }
}
END_TEST

START_TEST(a_writer_is_not_stopped_by_what_others_write_into_its_file)
{
    for (unsigned int i = 0; i < 2000; i++) {
        put(TRACE_CONNECT, 70000, 0, NULL, 0);
        memset(memory + TRACE_RING_AT, (int)(i & 0xff), RING);
    }
    begin("");
    put(TRACE_CONNECT, 70000, 0, NULL, 0);
    ck_assert_uint_eq(ring.head, 40);
}
END_TEST

/* ---- what is no trace ---- */

START_TEST(a_file_that_is_cut_off_is_refused_at_any_length)
{
    struct trace_reader t;
    put(TRACE_CONNECT, 70000, 0, NULL, 0);
    for (size_t len = 0; len < sizeof(memory); len++)
        ck_assert_ptr_nonnull(trace_read(&t, memory, len));
    ck_assert_ptr_null(trace_read(&t, memory, sizeof(memory)));
}
END_TEST

static const struct {
    size_t at;
    uint64_t value; /* instead of the 8 bytes there */
    const char *error;
} damages[] = {
    {0, 0, "this is no trace"},
    {8, UINT64_C(2) | UINT64_C(4096) << 32, "the trace has a version that is not known here"},
    {8, UINT64_C(1) | UINT64_C(64) << 32, "the trace's header is damaged"},
    {16, RING + 4, "the trace's header is damaged"},
    {16, 4096, "the trace's header is damaged"},
    {16, UINT64_MAX - 7, "the trace is cut off"},
    {24, 41, "the trace's header is damaged"},
    {24, RING + 8, "the trace's header is damaged"},
    {32, 80, "the trace's header is damaged"},
    {48, UINT64_C(5000) << 32, "the trace's header is damaged"},
};

START_TEST(a_header_that_makes_no_sense_is_refused_with_the_reason)
{
    struct trace_reader t;
    put(TRACE_CONNECT, 70000, 0, NULL, 0);
    memcpy(memory + damages[_i].at, &damages[_i].value, 8);
    const char *error = trace_read(&t, memory, sizeof(memory));
    ck_assert_ptr_nonnull(error);
    ck_assert_str_eq(error, damages[_i].error);
}
END_TEST

START_TEST(a_record_that_makes_no_sense_ends_the_reading_with_the_reason)
{
    static const uint32_t sizes[] = {0, 4, 8, 44, 56, 65536, UINT32_MAX - 7};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct trace_reader t;
        struct trace_record got;
        const uint8_t *payload;
        begin("");
        put(TRACE_CONNECT, 70000, 0, NULL, 0);
        put(TRACE_CONNECT, 70001, 0, NULL, 0);
        memcpy(memory + TRACE_RING_AT + 40, &sizes[i], sizeof(sizes[i]));
        ck_assert_ptr_null(trace_read(&t, memory, sizeof(memory)));
        ck_assert_int_eq(trace_next(&t, &got, &payload), 1);
        ck_assert_int_eq(trace_next(&t, &got, &payload), -1);
        ck_assert_ptr_nonnull(t.error);
        ck_assert_int_eq(trace_next(&t, &got, &payload), 0);
    }
}
END_TEST

/* ---- lines ---- */

START_TEST(a_record_is_shown_as_a_line)
{
    struct trace_reader t;
    struct trace_record got;
    const uint8_t *payload;
    put(TRACE_REQUEST, 65538, XS_WRITE, "/a\0\"\x01", 5);
    put(TRACE_DEATH, 12, 0, NULL, 0);
    put(77, 12, 0, NULL, 0);
    ck_assert_ptr_null(trace_read(&t, memory, sizeof(memory)));
    while (trace_next(&t, &got, &payload) > 0)
        trace_print(out, &got, payload);
    (void)fflush(out);
    ck_assert_str_eq(text, "1970-01-01T00:00:01.000000007Z socket 2 request 9 WRITE \"/a\\0\\\"\\x01\"\n"
                           "1970-01-01T00:00:01.000000007Z domain 12 death 0\n"
                           "1970-01-01T00:00:01.000000007Z domain 12 kind 77 0\n");
}
END_TEST

/* ---- replay ---- */

static struct replay_result replay(void)
{
    struct replay_result r;
    ck_assert_msg(replay_trace(&r, out, memory, sizeof(memory)), "%s", r.error);
    (void)fflush(out);
    return r;
}

static void said(uint32_t conn, uint32_t type, const char *question, size_t question_len, uint32_t answer_type,
                 const char *answer, size_t answer_len)
{
    put(TRACE_REQUEST, conn, type, question, (uint32_t)question_len);
    put(TRACE_ANSWER, conn, answer_type, answer, (uint32_t)answer_len);
}

#define SAID(conn, type, question, answer_type, answer) \
    said(conn, type, question, sizeof(question) - 1, answer_type, answer, sizeof(answer) - 1)

START_TEST(what_a_server_like_this_one_has_said_is_said_again)
{
    put(TRACE_CONNECT, 65536, 0, NULL, 0);
    SAID(65536, XS_WRITE, "/a\0001", XS_WRITE, "OK\0");
    SAID(65536, XS_WATCH, "/a\0t\0", XS_WATCH, "OK\0");
    put(TRACE_EVENT, 65536, XS_WATCH_EVENT, "/a\0t\0", 5);
    SAID(65536, XS_READ, "/a\0", XS_READ, "1");
    SAID(65537, XS_READ, "/b\0", XS_ERROR, "ENOENT\0"); /* a client that came before the trace did */
    put(TRACE_DISCONNECT, 65536, 0, NULL, 0);
    put(TRACE_ANSWER, 65536, XS_READ, "nobody asked", 12);
    put(TRACE_REQUEST, 65537, XS_READ, "/never answered", 16);
    struct replay_result r = replay();
    ck_assert_uint_eq(r.requests, 5);
    ck_assert_uint_eq(r.answers, 4);
    ck_assert_uint_eq(r.differ, 0);
    ck_assert(r.whole);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(an_answer_that_differs_is_shown_with_both)
{
    SAID(65536, XS_WRITE, "/a\0001", XS_WRITE, "OK\0");
    SAID(65536, XS_READ, "/a\0", XS_READ, "2");
    SAID(65536, XS_READ, "/a\0", XS_READ, "1");
    struct replay_result r = replay();
    ck_assert_uint_eq(r.answers, 3);
    ck_assert_uint_eq(r.differ, 1);
    ck_assert_str_eq(text, "1970-01-01T00:00:01.000000007Z socket 0 asked READ \"/a\\0\"\n"
                           "  traced:   READ \"2\"\n  replayed: READ \"1\"\n");
}
END_TEST

static void host(uint16_t kind, uint16_t domid, int32_t result)
{
    const struct trace_record rec = {.kind = kind, .domid = domid, .conn = domid, .result = result};
    trace_put(&ring, &rec, NULL);
}

START_TEST(what_the_host_said_of_domains_is_said_again)
{
    put(TRACE_REQUEST, 65536, XS_INTRODUCE, "3\0001\0007", 5);
    put(TRACE_REQUEST, 65536, XS_INTRODUCE, "3\0001\0007", 6);
    host(TRACE_INTRODUCE, 3, -XEN_ENODEV);
    put(TRACE_ANSWER, 65536, XS_ERROR, "EINVAL\0", 7);
    put(TRACE_ANSWER, 65536, XS_ERROR, "EINVAL\0", 7);
    put(TRACE_REQUEST, 65536, XS_INTRODUCE, "3\0001\0007", 6);
    host(TRACE_INTRODUCE, 3, 0);
    put(TRACE_ANSWER, 65536, XS_INTRODUCE, "OK\0", 3);
    SAID(3, XS_READ, "/a\0", XS_ERROR, "EACCES\0");
    SAID(65536, XS_WRITE, "/local/domain/3/x\0y", XS_WRITE, "OK\0");
    SAID(65536, XS_SET_PERMS, "/local/domain/3\0n3\0", XS_SET_PERMS, "OK\0");
    put(TRACE_REQUEST, 65536, XS_SET_PERMS, "/local\0n4\0", 10);
    host(TRACE_EXISTS, 4, 0);
    put(TRACE_ANSWER, 65536, XS_ERROR, "ENOENT\0", 7);
    SAID(3, XS_WRITE, "z\0v", XS_WRITE, "OK\0");
    host(TRACE_DEATH, 3, 0);
    host(TRACE_RELEASE, 3, 0);
    SAID(65536, XS_READ, "/local/domain/3/z\0", XS_ERROR, "ENOENT\0");
    SAID(65536, XS_CONTROL, "live-update\0-s\0", XS_CONTROL, "as it was said\0");
    SAID(65536, XS_CONTROL, "logfile\0/x\0", XS_ERROR, "EACCES\0");
    struct replay_result r = replay();
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(r.answers, 11);
    ck_assert_uint_eq(r.differ, 0);
}
END_TEST

START_TEST(the_settings_of_the_header_are_the_replays)
{
    begin("own-domid=7\nprivileged-domid=5\nquota=path-max=10\nunheard-of=some\n");
    SAID(65536, XS_READ, "/a\0", XS_ERROR, "EACCES\0");
    put(TRACE_PRESENT, 5, 0, NULL, 0);
    SAID(5, XS_WRITE, "/a\0v", XS_WRITE, "OK\0");
    SAID(65536, XS_READ, "/0123456789\0", XS_ERROR, "EINVAL\0");
    struct replay_result r = replay();
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(r.answers, 3);
    begin("own-domid=a\n");
    ck_assert(!replay_trace(&r, out, memory, sizeof(memory)));
    ck_assert_str_eq(r.error, "the trace's settings are damaged");
}
END_TEST

START_TEST(a_trace_that_has_lost_its_beginning_says_so)
{
    SAID(65536, XS_WRITE, "/a\0001", XS_WRITE, "OK\0");
    for (unsigned int i = 0; i < RING / 40; i++)
        SAID(65536, XS_READ, "/a\0", XS_READ, "1");
    struct replay_result r = replay();
    ck_assert(!r.whole);
    ck_assert_uint_gt(r.answers, 0);
    ck_assert_uint_eq(r.differ, r.answers);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_trace");
    TCase *t = tcase_create("ring");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_record_comes_back_as_it_was);
    tcase_add_test(t, a_ring_that_has_wrapped_holds_the_newest_records_whole);
    tcase_add_test(t, a_writer_is_not_stopped_by_what_others_write_into_its_file);
    tcase_add_test(t, a_file_that_is_cut_off_is_refused_at_any_length);
    tcase_add_loop_test(t, a_header_that_makes_no_sense_is_refused_with_the_reason, 0,
                        (int)(sizeof(damages) / sizeof(damages[0])));
    tcase_add_test(t, a_record_that_makes_no_sense_ends_the_reading_with_the_reason);
    tcase_add_test(t, a_record_is_shown_as_a_line);
    suite_add_tcase(suite, t);
    t = tcase_create("replay");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_a_server_like_this_one_has_said_is_said_again);
    tcase_add_test(t, an_answer_that_differs_is_shown_with_both);
    tcase_add_test(t, what_the_host_said_of_domains_is_said_again);
    tcase_add_test(t, the_settings_of_the_header_are_the_replays);
    tcase_add_test(t, a_trace_that_has_lost_its_beginning_says_so);
    suite_add_tcase(suite, t);
    return suite;
}
