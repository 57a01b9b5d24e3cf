/* SPDX-License-Identifier: ISC */
/* What xids-randomd writes into xenstore (docs/spec/randomd.md, 2.1), in which order, and that it takes it all back. */
#include "tests/unit/testing_fixture.h"

#include "randomd/daemon.h"

#include <xids/model.h>

#define BACKEND "/local/domain/0/backend/randomd/5/0"

static struct daemon d;
static struct guest guest;
static struct xids_test_store *s;
static struct xids_model *m;
static char *before;

/* The daemon's own looks for another connection. */
void store_check(struct daemon *daemon, int rc)
{
    daemon->store_lost = daemon->store_lost || rc == -XEN_ENOTCONN;
}

static void setup(void)
{
    memset(&d, 0, sizeof(d));
    memset(&guest, 0, sizeof(guest));
    s = store_up(XIDS_TEST_STORE_THREAD, NULL);
    ck_assert_int_eq(xids_test_store_introduce(s, 5, true), 0);
    ck_assert_int_eq(xids_test_store_dump(s, &before, NULL, 0), 0);
    m = xids_model_new(1, 0);
    struct xids_platform *platform = xids_model_domain_create(m, 0);
    ck_assert(platform != NULL && xids_model_domain_create(m, 5) != NULL);
    d.xs = open_as(s, 0);
    guest.domid = 5;
    guest.ch = malloc(xids_vchan_size());
    ck_assert_int_eq(xids_vchan_server_init(guest.ch, platform, 5, 10, 11, 0), 0);
}

static void teardown(void)
{
    char *report = NULL;
    xids_vchan_fini(guest.ch);
    free(guest.ch);
    xids_model_free(m);
    xids_xs_close(d.xs);
    int leaks = xids_test_store_leaks(s, &report, before);
    ck_assert_msg(leaks == 0, "%s", report);
    free(report);
    free(before);
    xids_test_store_free(s);
}

static void expect(const char *path, const char *tree)
{
    char *difference = NULL;
    int rc = xids_test_store_compare(s, &difference, path, 0, tree);
    ck_assert_msg(rc == 0, "%d: %s", rc, difference != NULL ? difference : "");
}

static void take_back(void)
{
    publish_forget(&d, &guest);
    publish_end(&d);
}

START_TEST(a_channel_is_published_as_specified)
{
    ck_assert_int_eq(publish_begin(&d), 0);
    ck_assert_int_eq(publish_channel(&d, &guest), 0);
    expect("/local/domain/0/backend/randomd/5",
           "/local/domain/0/backend/randomd/5 = \"\" (n0,r5)\n" BACKEND " = \"\" (n0,r5)\n" BACKEND
           "/event-channel = * (n0,r5)\n" BACKEND "/ring-ref = * (n0,r5)\n" BACKEND "/version = \"2\" (n0,r5)\n");
    expect("/local/domain/5/device", "/local/domain/5/device = \"\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd = \"\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd/0 = \"\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd/0/backend = \"" BACKEND "\" (n0,r5)\n"
                                     "/local/domain/5/device/randomd/0/backend-id = \"0\" (n0,r5)\n");
    take_back();
    expect(NULL, before);
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
    ck_assert_int_eq(publish_begin(&d), 0);
    ck_assert_int_eq(publish_channel(&d, &guest), 0);
    ck_assert_int_eq(xids_test_store_log(s, &log), 0);
    size_t readable = when(log, "SET_PERMS /local/domain/0/backend/randomd/5 n0 r5");
    size_t port = when(log, "WRITE " BACKEND "/event-channel");
    ck_assert_uint_lt(readable, when(log, "WRITE " BACKEND "/ring-ref"));
    ck_assert_uint_lt(when(log, "WRITE " BACKEND "/ring-ref"), port);
    ck_assert_uint_lt(when(log, "WRITE " BACKEND "/version"), port);
    ck_assert_uint_lt(port, when(log, "WRITE /local/domain/5/device/randomd/0/backend "));
    ck_assert_ptr_null(strstr(log, "TRANSACTION"));
    free(log);
    ck_assert_int_eq(publish_withdraw(&d, &guest), 0);
    struct xids_xs *xs = open_as(s, 5);
    ck_assert(has(xs, BACKEND "/version", "2"));
    ck_assert(has(xs, BACKEND "/event-channel", NULL));
    xids_xs_close(xs);
    take_back();
}
END_TEST

START_TEST(the_guest_follows_its_pointer_and_cannot_change_it)
{
    ck_assert_int_eq(publish_begin(&d), 0);
    ck_assert_int_eq(publish_channel(&d, &guest), 0);
    struct xids_xs *xs = open_as(s, 5);
    ck_assert(has(xs, "device/randomd/0/backend", BACKEND));
    uint32_t port = 0;
    ck_assert_int_eq(xids_xs_read_u32(xs, &port, 0, BACKEND "/event-channel"), 0);
    ck_assert_uint_eq(port, xids_vchan_port(guest.ch));
    ck_assert_int_eq(xids_xs_write(xs, 0, "device/randomd/0/backend", "/x", 2), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_rm(xs, 0, "device/randomd"), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "device/vbd"), -XEN_EACCES);
    xids_xs_close(xs);
    take_back();
}
END_TEST

/* The number of requests that publishing makes. */
static uint32_t requests_of_publishing(void)
{
    struct xids_test_store_counts counts;
    ck_assert_int_eq(publish_begin(&d), 0);
    ck_assert_int_eq(publish_channel(&d, &guest), 0);
    ck_assert_int_eq(xids_test_store_counts(s, &counts), 0);
    take_back();
    d.made_backend = d.made_home = guest.made_device = false;
    return (uint32_t)counts.requests;
}

START_TEST(whichever_request_is_refused_all_is_taken_back)
{
    uint32_t n = requests_of_publishing();
    ck_assert_uint_gt(n, 10);
    for (uint32_t nth = 1; nth <= n; nth++) {
        int fault = xids_test_store_fail(s, 0, NULL, nth, -XEN_ENOSPC);
        int rc = publish_begin(&d);
        if (rc == 0)
            rc = publish_channel(&d, &guest);
        ck_assert_msg(rc == -XEN_ENOSPC, "request %u of %u: %d", nth, n, rc);
        ck_assert_int_eq(xids_test_store_fault_hits(s, fault), 1);
        take_back();
        expect(NULL, before);
        d.made_backend = d.made_home = guest.made_device = false;
    }
}
END_TEST

START_TEST(a_store_that_goes_away_is_noticed_at_any_request)
{
    uint32_t n = requests_of_publishing();
    for (uint32_t nth = 1; nth <= n; nth++) {
        const struct xids_test_store_fault fault = {.nth = nth, .action = XIDS_TEST_STORE_CUT, .bytes = nth};
        int number = xids_test_store_fault(s, &fault);
        int rc = publish_begin(&d);
        if (rc == 0)
            rc = publish_channel(&d, &guest);
        ck_assert_int_eq(rc, -XEN_ENOTCONN);
        ck_assert_int_eq(xids_test_store_fault_hits(s, number), 1);
        ck_assert_int_eq(xids_xs_reconnect(d.xs), 0);
        take_back();
        d.made_backend = d.made_home = true; /* what it was that it had made, it did not hear */
        guest.made_device = true;
        take_back();
        expect("/local/domain/0", "");
        expect("/local/domain/5/device", "");
        d.made_backend = d.made_home = guest.made_device = d.store_lost = false;
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("randomd_publish");
    TCase *t = tcase_create("publish");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, a_channel_is_published_as_specified);
    tcase_add_test(t, the_guest_never_sees_half_a_channel);
    tcase_add_test(t, the_guest_follows_its_pointer_and_cannot_change_it);
    tcase_add_test(t, whichever_request_is_refused_all_is_taken_back);
    tcase_add_test(t, a_store_that_goes_away_is_noticed_at_any_request);
    suite_add_tcase(suite, t);
    return suite;
}
