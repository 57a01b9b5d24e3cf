/* SPDX-License-Identifier: ISC */
/* What xids-randomd writes into xenstore (docs/spec/randomd.md, 2.1), in which order, and that it takes it all back. */
#include "tests/unit/randomd_daemon.h"

#define BACKEND "/local/domain/0/backend/randomd/5/0"

static struct daemon d;
static struct machine m;

static void setup(void)
{
    memset(&d, 0, sizeof(d));
    machine_begin(&m);
    guest_make(&m, 5, "/vm/five");
    free(m.before);
    ck_assert_int_eq(xids_test_store_dump(m.s, &m.before, NULL, 0), 0);
    daemon_begin(&d, &m, 0);
}

static void expect(const char *path, const char *tree)
{
    char *difference = NULL;
    int rc = xids_test_store_compare(m.s, &difference, path, 0, tree);
    ck_assert_msg(rc == 0, "%d: %s", rc, difference != NULL ? difference : "");
}

/* With everything as it was. */
static void finish(void)
{
    daemon_end(&d);
    expect(NULL, m.before);
    machine_end(&m);
}

static void expect_channel(void)
{
    expect("/local/domain/0/backend/randomd/5",
           "/local/domain/0/backend/randomd/5 = \"\" (n0,r5)\n" BACKEND " = \"\" (n0,r5)\n" BACKEND
           "/event-channel = * (n0,r5)\n" BACKEND "/ring-ref = * (n0,r5)\n" BACKEND "/version = \"2\" (n0,r5)\n");
    expect("/local/domain/5/device", "/local/domain/5/device = \"\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd = \"\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd/0 = \"\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd/0/backend = \"" BACKEND "\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd/0/backend-id = \"0\" (n0,r5)\n");
    struct xids_xs *xs = open_as(m.s, 5);
    uint32_t number = 0;
    ck_assert_int_eq(xids_xs_read_u32(xs, &number, 0, BACKEND "/event-channel"), 0);
    ck_assert_uint_eq(number, xids_vchan_port(d.by_domid[5]->ch));
    ck_assert_int_eq(xids_xs_read_u32(xs, &number, 0, BACKEND "/ring-ref"), 0);
    ck_assert_uint_eq(number, xids_vchan_ring_ref(d.by_domid[5]->ch));
    xids_xs_close(xs);
}

START_TEST(a_channel_is_published_as_specified)
{
    ck_assert(daemon_settle(&d, &m));
    expect_channel();
    finish();
}
END_TEST

/* Where in the log a node was last written, or removed. */
static size_t when(const char *log, const char *request)
{
    const char *at = strstr(log, request);
    ck_assert_msg(at != NULL, "no %s in\n%s", request, log);
    return (size_t)(at - log);
}

START_TEST(the_guest_never_sees_half_a_channel)
{
    char *log = NULL;
    ck_assert(daemon_settle(&d, &m));
    ck_assert_int_eq(xids_test_store_log(m.s, &log), 0);
    size_t readable = when(log, "SET_PERMS /local/domain/0/backend/randomd/5 n0 r5");
    size_t port = when(log, "WRITE " BACKEND "/event-channel");
    ck_assert_uint_lt(readable, when(log, "WRITE " BACKEND "/ring-ref"));
    ck_assert_uint_lt(when(log, "WRITE " BACKEND "/ring-ref"), port);
    ck_assert_uint_lt(when(log, "WRITE " BACKEND "/version"), port);
    ck_assert_uint_lt(port, when(log, "WRITE /local/domain/5/device/randomd/0/backend "));
    ck_assert_ptr_null(strstr(log, "TRANSACTION"));
    free(log);
    finish();
}
END_TEST

START_TEST(a_replaced_channel_takes_the_port_back_first)
{
    char *log = NULL;
    ck_assert(daemon_settle(&d, &m));
    ck_assert_int_eq(xids_test_store_log_clear(m.s), 0);
    guest_end(&d, d.by_domid[5], -XEN_EBADMSG);
    ck_assert(daemon_settle(&d, &m));
    expect_channel();
    ck_assert_int_eq(xids_test_store_log(m.s, &log), 0);
    size_t removed = when(log, "RM " BACKEND "/event-channel");
    ck_assert_uint_lt(removed, when(log, "WRITE " BACKEND "/ring-ref"));
    ck_assert_uint_lt(when(log, "WRITE " BACKEND "/ring-ref"), when(log, "WRITE " BACKEND "/event-channel"));
    free(log);
    finish();
}
END_TEST

START_TEST(the_guest_follows_its_pointer_and_cannot_change_it)
{
    ck_assert(daemon_settle(&d, &m));
    struct xids_xs *xs = open_as(m.s, 5);
    ck_assert(has(xs, "device/randomd/0/backend", BACKEND));
    ck_assert_int_eq(xids_xs_write(xs, 0, "device/randomd/0/backend", "/x", 2), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_rm(xs, 0, "device/randomd"), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "device/vbd"), -XEN_EACCES);
    xids_xs_close(xs);
    finish();
}
END_TEST

/* Where a toolstack leaves a guest its home, it can be there first. */
START_TEST(a_pointer_that_the_guest_made_is_ours_afterwards)
{
    static const char *const homes[] = {"/local/domain/5/device = \"\" (n5)\n",
                                        "/local/domain/5/device = \"\" (n5)\n"
                                        "/local/domain/5/device/randomd = \"\" (n5)\n"
                                        "/local/domain/5/device/randomd/0 = \"\" (n5)\n"
                                        "/local/domain/5/device/randomd/0/backend = \"" BACKEND "\" (n5)\n"
                                        "/local/domain/5/device/randomd/0/backend-id = \"0\" (n5)\n"};
    ck_assert_int_eq(xids_test_store_load(m.s, NULL, homes[_i]), 0);
    ck_assert(daemon_settle(&d, &m));
    struct xids_xs *xs = open_as(m.s, 5);
    ck_assert(has(xs, "device/randomd/0/backend", BACKEND));
    ck_assert_int_eq(xids_xs_write(xs, 0, "device/randomd/0/backend", "/x", 2), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_write(xs, 0, "device/randomd/0/backend-id", "1", 1), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_rm(xs, 0, "device/randomd/0"), -XEN_EACCES);
    xids_xs_close(xs);
    daemon_end(&d);
    machine_end(&m);
}
END_TEST

/* The number of requests until the channel is there, and until it is gone again. */
static uint32_t requests_of_publishing(bool to_the_end)
{
    uint64_t before = requests_of(&m);
    ck_assert(daemon_settle(&d, &m));
    if (to_the_end)
        daemon_end(&d);
    uint64_t after = requests_of(&m);
    if (!to_the_end)
        daemon_end(&d);
    daemon_begin(&d, &m, 0);
    return (uint32_t)(after - before);
}

/* Until all that had to wait has had its turn. */
static void settle_later(void)
{
    for (int i = 0; i < 3; i++) {
        ck_assert(daemon_settle(&d, &m));
        daemon_later(REOFFER_MAX_MS + 1);
    }
    ck_assert(daemon_settle(&d, &m));
}

START_TEST(whichever_request_is_refused_it_is_made_again)
{
    uint32_t n = requests_of_publishing(false);
    ck_assert_uint_gt(n, 10);
    for (uint32_t nth = 1; nth <= n; nth++) {
        int fault = xids_test_store_fail(m.s, 0, NULL, nth, -XEN_ENOSPC);
        settle_later();
        ck_assert_int_eq(xids_test_store_fault_hits(m.s, fault), 1);
        expect_channel();
        daemon_end(&d);
        expect(NULL, m.before);
        daemon_begin(&d, &m, 0);
    }
    finish();
}
END_TEST

START_TEST(what_the_store_refuses_for_good_leaves_nothing)
{
    const struct xids_test_store_fault fault = {.type = XS_WRITE,
                                                .path = BACKEND "/ring-ref",
                                                .times = XIDS_TEST_STORE_ALWAYS,
                                                .action = XIDS_TEST_STORE_ERROR,
                                                .error = -XEN_ENOSPC};
    int number = xids_test_store_fault(m.s, &fault);
    settle_later();
    struct xids_xs *xs = open_as(m.s, 5);
    ck_assert_int_gt(xids_test_store_fault_hits(m.s, number), 2);
    ck_assert(has(xs, BACKEND "/event-channel", NULL));
    ck_assert(has(xs, "device/randomd/0/backend", NULL));
    xids_xs_close(xs);
    ck_assert_uint_eq(d.count.offers, 1); /* the page waits for the store */
    finish();
}
END_TEST

static void reconnect(void)
{
    ck_assert_int_eq(xids_xs_reconnect(d.xs), 0);
    /* As the loop does, when the descriptor is readable. */
    while (d.store_lost) {
        ck_assert_int_ge(xids_test_store_settle(m.s), 0);
        ck_assert_int_eq(xids_xs_pump(d.xs), 0);
        (void)store_turn(&d);
    }
}

START_TEST(a_store_that_goes_away_at_any_request_is_told_again)
{
    uint32_t n = requests_of_publishing(false);
    for (uint32_t nth = 1; nth <= n; nth++) {
        const struct xids_test_store_fault fault = {.nth = nth, .action = XIDS_TEST_STORE_CUT, .bytes = nth};
        int number = xids_test_store_fault(m.s, &fault);
        if (daemon_settle(&d, &m)) /* the last ones can be those of the watches */
            ck_assert_int_eq(xids_test_store_fault_hits(m.s, number), 1);
        else
            reconnect();
        ck_assert(daemon_settle(&d, &m));
        expect_channel();
        daemon_end(&d);
        struct xids_xs *xs = open_as(m.s, 0);
        ck_assert(has(xs, "/local/domain/0/backend/randomd", NULL));
        ck_assert(has(xs, "/local/domain/5/device/randomd", NULL));
        /* What it had made, and not heard so, it cannot know. */
        int rc = xids_xs_rm(xs, 0, "/local/domain/5/device");
        ck_assert(rc == 0 || rc == -XEN_ENOENT);
        xids_xs_close(xs);
        daemon_begin(&d, &m, 0);
    }
    daemon_end(&d);
    machine_end(&m);
}
END_TEST

START_TEST(a_store_that_hangs_is_left_and_found_again)
{
    const struct xids_test_store_fault fault = {.type = XS_MKDIR, .action = XIDS_TEST_STORE_DELAY};
    int number = xids_test_store_fault(m.s, &fault);
    for (int i = 0; i < 100 && xids_test_store_fault_hits(m.s, number) == 0; i++) {
        ck_assert_int_ge(xids_test_store_settle(m.s), 0);
        (void)store_turn(&d);
    }
    ck_assert_int_eq(xids_test_store_fault_hits(m.s, number), 1);
    ck_assert(!d.store_lost);
    daemon_later(STORE_TIMEOUT_MS + 1);
    (void)store_turn(&d);
    ck_assert(d.store_lost);
    reconnect();
    ck_assert(daemon_settle(&d, &m));
    expect_channel();
    ck_assert_uint_eq(d.count.store_reconnects, 1);
    ck_assert_uint_eq(d.count.offers, 1);
    daemon_end(&d);
    machine_end(&m);
}
END_TEST

/* What a run that was killed had made above its own folder, the next one takes for somebody else's. */
static void finish_after_kill(void)
{
    daemon_end(&d);
    struct xids_xs *xs = open_as(m.s, 0);
    ck_assert(has(xs, "/local/domain/0/backend/randomd", NULL));
    ck_assert_int_eq(xids_xs_rm(xs, 0, "/local/domain/0"), 0);
    xids_xs_close(xs);
    machine_end(&m);
}

START_TEST(after_a_kill_what_is_there_is_taken_over)
{
    ck_assert(daemon_settle(&d, &m));
    daemon_kill(&d, &m);
    daemon_begin(&d, &m, 0);
    char *log = NULL;
    ck_assert_int_eq(xids_test_store_log_clear(m.s), 0);
    ck_assert(daemon_settle(&d, &m));
    expect_channel();
    ck_assert_int_eq(xids_test_store_log(m.s, &log), 0);
    ck_assert_ptr_null(strstr(log, "MKDIR"));
    ck_assert_uint_lt(when(log, "RM " BACKEND "/event-channel"), when(log, "WRITE " BACKEND "/ring-ref"));
    ck_assert_uint_lt(when(log, "WRITE " BACKEND "/ring-ref"), when(log, "WRITE " BACKEND "/event-channel"));
    free(log);
    finish_after_kill();
}
END_TEST

START_TEST(after_a_kill_what_is_left_of_the_dead_goes)
{
    guest_make(&m, 6, NULL);
    ck_assert(daemon_settle(&d, &m));
    daemon_kill(&d, &m);
    guest_destroy(&m, 5);
    guest_destroy(&m, 6);
    guest_make(&m, 6, "/vm/another"); /* its folder is there, but not readable by it, and it has no pointer */
    daemon_begin(&d, &m, 0);
    ck_assert(daemon_settle(&d, &m));
    struct xids_xs *xs = open_as(m.s, 6);
    ck_assert(has(xs, "/local/domain/0/backend/randomd/6/0/version", "2"));
    xids_xs_close(xs);
    xs = open_as(m.s, 0);
    ck_assert(has(xs, "/local/domain/0/backend/randomd/5", NULL));
    xids_xs_close(xs);
    finish_after_kill();
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd_publish");
    TCase *t = tcase_create("publish");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, a_channel_is_published_as_specified);
    tcase_add_test(t, the_guest_never_sees_half_a_channel);
    tcase_add_test(t, a_replaced_channel_takes_the_port_back_first);
    tcase_add_test(t, the_guest_follows_its_pointer_and_cannot_change_it);
    tcase_add_loop_test(t, a_pointer_that_the_guest_made_is_ours_afterwards, 0, 2);
    tcase_add_test(t, whichever_request_is_refused_it_is_made_again);
    tcase_add_test(t, what_the_store_refuses_for_good_leaves_nothing);
    tcase_add_test(t, a_store_that_goes_away_at_any_request_is_told_again);
    tcase_add_test(t, a_store_that_hangs_is_left_and_found_again);
    tcase_add_test(t, after_a_kill_what_is_there_is_taken_over);
    tcase_add_test(t, after_a_kill_what_is_left_of_the_dead_goes);
    suite_add_tcase(suite, t);
    return suite;
}
