/* SPDX-License-Identifier: ISC */
/* A test store's faults: each kind, which requests it meets, and what the program under test sees of it. */
#include "tests/unit/testing_fixture.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static struct xids_test_store *s;
static struct xids_xs *xs;

static void setup(void)
{
    s = store_up(XIDS_TEST_STORE_THREAD, NULL);
    xs = open_as(s, 0);
}

static void teardown(void)
{
    xids_xs_close(xs);
    xids_test_store_free(s);
}

/* ---- errors ---- */

static int runs;

static int body(struct xids_xs *me, uint32_t tx, void *ctx)
{
    (void)ctx;
    runs++;
    return xids_xs_write(me, tx, "/committed", "1", 1);
}

START_TEST(the_nth_commit_and_so_many_after_it_are_refused)
{
    runs = 0;
    int fault = xids_test_store_refuse_commits(s, 2, 3);
    ck_assert_int_eq(fault, 1);
    ck_assert_int_eq(xids_xs_transaction(xs, body, NULL), 0);
    ck_assert_int_eq(runs, 1);
    ck_assert_int_eq(xids_xs_rm(xs, 0, "/committed"), 0);
    ck_assert_int_eq(xids_xs_transaction(xs, body, NULL), 0);
    ck_assert_int_eq(runs, 5);
    ck_assert(has(xs, "/committed", "1"));
    ck_assert_int_eq(xids_test_store_fault_hits(s, fault), 3);
}
END_TEST

START_TEST(a_refused_commit_has_done_nothing_and_is_over)
{
    struct xids_test_store_counts counts;
    ck_assert_int_eq(xids_test_store_refuse_commits(s, 1, XIDS_TEST_STORE_ALWAYS), 1);
    runs = 0;
    ck_assert_int_eq(xids_xs_transaction(xs, body, NULL), -XEN_EAGAIN);
    ck_assert_uint_eq((unsigned int)runs, XIDS_XS_TRIES);
    ck_assert(has(xs, "/committed", NULL));
    ck_assert_int_eq(xids_test_store_counts(s, &counts), 0);
    ck_assert_uint_eq(counts.transactions, 0);
}
END_TEST

static int give_up(struct xids_xs *me, uint32_t tx, void *ctx)
{
    (void)me;
    (void)tx;
    (void)ctx;
    return -XEN_EPERM;
}

START_TEST(an_abort_is_no_commit)
{
    int fault = xids_test_store_refuse_commits(s, 1, 1);
    ck_assert_int_eq(xids_xs_transaction(xs, give_up, NULL), -XEN_EPERM);
    ck_assert_int_eq(xids_test_store_fault_hits(s, fault), 0);
}
END_TEST

START_TEST(the_nth_request_of_a_type_below_a_path_fails)
{
    int fault = xids_test_store_fail(s, XS_WRITE, "/a", 2, -XEN_ENOSPC);
    put(xs, "/a/1", "1");
    put(xs, "/ab", "1");
    put(xs, "/b/a", "1");
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/a/d"), 0);
    ck_assert_int_eq(xids_xs_write(xs, 0, "/a", "1", 1), -XEN_ENOSPC);
    put(xs, "/a", "2");
    ck_assert_int_eq(xids_test_store_fault_hits(s, fault), 1);
    ck_assert(has(xs, "/a", "2"));
}
END_TEST

START_TEST(a_relative_path_is_what_it_means)
{
    ck_assert_int_eq(xids_test_store_introduce(s, 3, true), 0);
    struct xids_xs *guest = open_as(s, 3);
    ck_assert_int_gt(xids_test_store_fail(s, 0, "/local/domain/3/data", 1, -XEN_EIO), 0);
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "data/x"), -XEN_EIO);
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "data/x"), 0);
    xids_xs_close(guest);
}
END_TEST

START_TEST(a_fault_can_be_one_domains)
{
    ck_assert_int_eq(xids_test_store_introduce(s, 3, true), 0);
    struct xids_xs *guest = open_as(s, 3);
    const struct xids_test_store_fault fault = {
        .of_domain = true, .domid = 3, .action = XIDS_TEST_STORE_ERROR, .error = -XEN_EBUSY};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    put(xs, "/x", "1");
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "data/x"), -XEN_EBUSY);
    xids_xs_close(guest);
}
END_TEST

START_TEST(control_can_fail_although_its_number_is_0)
{
    struct xids_xs *other = open_as(s, 0);
    ck_assert_int_gt(xids_test_store_fail(s, XIDS_TEST_STORE_CONTROL, NULL, 1, -XEN_EACCES), 0);
    put(xs, "/x", "1");
    const struct xids_xswire_part part = xids_xswire_string("check");
    ck_assert_int_eq(xids_xs_client_request(xids_xs_client(other), XS_CONTROL, 0, &part, 1, NULL, NULL), 0);
    ck_assert_int_eq(xids_xs_pump(other), 0);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    EXPECT_LOG(s, "dom0.1 WRITE /x \"1\" -> OK\ndom0.2 CONTROL check -> EACCES\n");
    xids_xs_close(other);
}
END_TEST

START_TEST(counting_changes_nothing)
{
    const struct xids_test_store_fault fault = {.type = XS_WRITE, .path = "/a"};
    int count = xids_test_store_fault(s, &fault);
    for (int i = 0; i < 5; i++)
        put(xs, "/a/x", "1");
    put(xs, "/b", "1");
    ck_assert_int_eq(xids_test_store_fault_hits(s, count), 5);
}
END_TEST

START_TEST(the_oldest_of_two_acts)
{
    int older = xids_test_store_fail(s, XS_MKDIR, "/a", 1, -XEN_ENOSPC);
    int newer = xids_test_store_fail(s, XS_MKDIR, NULL, 2, -XEN_EIO);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/a"), -XEN_ENOSPC);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/a"), -XEN_EIO);
    ck_assert_int_eq(xids_test_store_fault_hits(s, older), 1);
    ck_assert_int_eq(xids_test_store_fault_hits(s, newer), 1);
}
END_TEST

START_TEST(a_fault_is_taken_back)
{
    int older = xids_test_store_fail(s, XS_MKDIR, "/a", 1, -XEN_ENOSPC);
    int newer = xids_test_store_fail(s, XS_MKDIR, "/b", 1, -XEN_ENOSPC);
    ck_assert_int_eq(xids_test_store_fault_clear(s, older), 0);
    ck_assert_int_eq(xids_test_store_fault_clear(s, older), -XEN_ENOENT);
    ck_assert_int_eq(xids_test_store_fault_hits(s, older), -XEN_ENOENT);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/a"), 0);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/b"), -XEN_ENOSPC);
    ck_assert_int_eq(xids_test_store_fault_hits(s, newer), 1);
    ck_assert_int_gt(xids_test_store_fail(s, 0, NULL, 1, -XEN_ENOSPC), newer);
    ck_assert_int_eq(xids_test_store_fault_clear(s, 0), 0);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/c"), 0);
}
END_TEST

START_TEST(a_fault_that_makes_no_sense_is_refused)
{
    struct xids_test_store_fault fault = {.action = XIDS_TEST_STORE_ERROR};
    ck_assert_int_eq(xids_test_store_fault(s, &fault), -XEN_EINVAL);
    fault = (struct xids_test_store_fault){.action = (enum xids_test_store_action)99};
    ck_assert_int_eq(xids_test_store_fault(s, &fault), -XEN_EINVAL);
}
END_TEST

/* ---- delays ---- */

static void note(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    *(int *)ctx = rc;
}

static int first, second; /* answers; teardown's close may still write here */

/* Sends one mkdir; its answer goes to *rc, which is 1 until then. */
static void send_mkdir(struct xids_xs *from, const char *path, int *rc)
{
    *rc = 1;
    ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(from), 0, path, note, rc), 0);
    ck_assert_int_eq(xids_xs_pump(from), 0);
}

START_TEST(an_answer_is_held_until_it_is_let_go)
{
    struct xids_xs *other = open_as(s, 0);
    const struct xids_test_store_fault fault = {.type = XS_MKDIR, .action = XIDS_TEST_STORE_DELAY};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    send_mkdir(xs, "/a", &first);
    send_mkdir(xs, "/b", &second);
    ck_assert_int_eq(xids_test_store_settle(s), 1);
    /* Done, but not told; nor is what comes after. */
    ck_assert(has(other, "/a", ""));
    ck_assert(has(other, "/b", ""));
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(first, 1);
    ck_assert_int_eq(second, 1);
    ck_assert_int_eq(xids_test_store_let_go(s), 0);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(second, 0);
    xids_xs_close(other);
}
END_TEST

START_TEST(what_was_answered_before_a_delay_is_not_held)
{
    const struct xids_test_store_fault fault = {.type = XS_MKDIR, .nth = 2, .action = XIDS_TEST_STORE_DELAY};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    first = second = 1;
    ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(xs), 0, "/a", note, &first), 0);
    send_mkdir(xs, "/b", &second);
    ck_assert_int_eq(xids_test_store_settle(s), 1);
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(second, 1);
}
END_TEST

START_TEST(an_answer_waits_for_so_many_other_requests)
{
    struct xids_xs *other = open_as(s, 0);
    const struct xids_test_store_fault fault = {.path = "/a", .action = XIDS_TEST_STORE_DELAY, .requests = 3};
    static int rc;
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    send_mkdir(xs, "/a", &rc);
    ck_assert_int_eq(xids_test_store_settle(s), 1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(xids_xs_pump(xs), 0);
        ck_assert_int_eq(rc, 1);
        put(other, "/x", "1");
    }
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(rc, 0);
    xids_xs_close(other);
}
END_TEST

START_TEST(an_answer_comes_after_its_time)
{
    const struct xids_test_store_fault fault = {.path = "/a", .action = XIDS_TEST_STORE_DELAY, .ms = 30};
    struct xids_test_store *store = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *me = open_as(store, 0);
    int rc;
    ck_assert_int_gt(xids_test_store_fault(store, &fault), 0);
    send_mkdir(me, "/a", &rc);
    /* Nobody does anything that would wake the store. */
    struct pollfd p = {.fd = xids_xs_fd(me), .events = POLLIN};
    while (_i == XIDS_TEST_STORE_MANUAL && poll(&p, 1, 0) == 0)
        ck_assert_int_ge(xids_test_store_run(store, -1), 0);
    ck_assert_int_eq(poll(&p, 1, -1), 1);
    ck_assert_int_eq(xids_xs_pump(me), 0);
    ck_assert_int_eq(rc, 0);
    xids_xs_close(me);
    xids_test_store_free(store);
}
END_TEST

/* ---- broken connections ---- */

START_TEST(a_connection_ends_before_the_nth_request)
{
    struct xids_xs *other = open_as(s, 0);
    const struct xids_test_store_fault fault = {.nth = 3, .action = XIDS_TEST_STORE_DISCONNECT};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    put(xs, "/a", "1");
    put(xs, "/b", "1");
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/c"), -XEN_ENOTCONN);
    ck_assert(has(other, "/c", NULL));
    EXPECT_LOG(s, "dom0.1 WRITE /a \"1\" -> OK\ndom0.1 WRITE /b \"1\" -> OK\ndom0.1 MKDIR /c -> disconnected\n"
                  "dom0.2 READ /c -> ENOENT\n");
    ck_assert_int_eq(xids_xs_reconnect(xs), 0);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/c"), 0);
    xids_xs_close(other);
}
END_TEST

START_TEST(a_connection_ends_in_the_middle_of_an_answer)
{
    int fd;
    uint8_t request[64], got[256];
    size_t have = 0;
    put(xs, "/value", "0123456789");
    /* Of 16 bytes of header and 10 of value. */
    const struct xids_test_store_fault fault = {.path = "/value", .action = XIDS_TEST_STORE_CUT, .bytes = (uint32_t)_i};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    ck_assert_int_eq(xids_test_store_connect(s, &fd, 0), 0);
    const struct xids_xswire_part path = xids_xswire_string("/value");
    int len = xids_xswire_build(request, sizeof(request), XS_READ, 7, 0, &path, 1);
    ck_assert_int_eq((int)write(fd, request, (size_t)len), len);
    ssize_t n;
    while ((n = read(fd, got + have, sizeof(got) - have)) > 0)
        have += (size_t)n;
    ck_assert_uint_eq(have, _i < 26 ? (size_t)_i : 26u);
    ck_assert_int_eq(memcmp(got + 16, "0123456789", have > 16 ? have - 16 : 0), 0);
    (void)close(fd);
}
END_TEST

START_TEST(what_was_cut_off_has_been_done)
{
    struct xids_xs *other = open_as(s, 0);
    const struct xids_test_store_fault fault = {.type = XS_WRITE, .action = XIDS_TEST_STORE_CUT};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    ck_assert_int_eq(xids_xs_write(xs, 0, "/a", "1", 1), -XEN_ENOTCONN);
    ck_assert(has(other, "/a", "1"));
    xids_xs_close(other);
}
END_TEST

START_TEST(an_answer_that_is_delayed_can_be_cut_off_too)
{
    struct xids_test_store_fault fault = {.path = "/a", .action = XIDS_TEST_STORE_DELAY};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    fault = (struct xids_test_store_fault){.path = "/b", .action = XIDS_TEST_STORE_CUT};
    ck_assert_int_gt(xids_test_store_fault(s, &fault), 0);
    first = second = 1;
    ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(xs), 0, "/a", note, &first), 0);
    send_mkdir(xs, "/b", &second);
    ck_assert_int_eq(xids_test_store_settle(s), 1);
    ck_assert_int_eq(xids_test_store_let_go(s), 0);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    while (xids_xs_pump(xs) == 0)
        ;
    ck_assert_int_eq(first, 0);
    ck_assert_int_eq(second, -XEN_ENOTCONN);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("testing_faults");
    TCase *t = tcase_create("errors");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, the_nth_commit_and_so_many_after_it_are_refused);
    tcase_add_test(t, a_refused_commit_has_done_nothing_and_is_over);
    tcase_add_test(t, an_abort_is_no_commit);
    tcase_add_test(t, the_nth_request_of_a_type_below_a_path_fails);
    tcase_add_test(t, a_relative_path_is_what_it_means);
    tcase_add_test(t, a_fault_can_be_one_domains);
    tcase_add_test(t, control_can_fail_although_its_number_is_0);
    tcase_add_test(t, counting_changes_nothing);
    tcase_add_test(t, the_oldest_of_two_acts);
    tcase_add_test(t, a_fault_is_taken_back);
    tcase_add_test(t, a_fault_that_makes_no_sense_is_refused);
    suite_add_tcase(suite, t);
    t = tcase_create("delays");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, an_answer_is_held_until_it_is_let_go);
    tcase_add_test(t, what_was_answered_before_a_delay_is_not_held);
    tcase_add_test(t, an_answer_waits_for_so_many_other_requests);
    tcase_add_loop_test(t, an_answer_comes_after_its_time, 0, MODES);
    suite_add_tcase(suite, t);
    t = tcase_create("broken");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, a_connection_ends_before_the_nth_request);
    tcase_add_loop_test(t, a_connection_ends_in_the_middle_of_an_answer, 0, 28);
    tcase_add_test(t, what_was_cut_off_has_been_done);
    tcase_add_test(t, an_answer_that_is_delayed_can_be_cut_off_too);
    suite_add_tcase(suite, t);
    return suite;
}
