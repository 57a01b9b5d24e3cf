/* SPDX-License-Identifier: ISC */
/* vchan, meeting through xenstore: what a server leaves there, also when the store refuses or somebody interferes. */
#include "tests/unit/testing_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <xids/model.h>
#include <xids/vchan_open.h>

#define PATH "/local/domain/0/data/vchan/2/x"

static struct xids_test_store *s;
static struct xids_xs *xs;
static struct xids_model *m;
static struct xids_platform *server, *client, *stranger;
static char *before;

static void setup(void)
{
    s = store_up(XIDS_TEST_STORE_THREAD, "/local/domain/0/data = \"\"\n");
    xs = open_as(s, 0);
    ck_assert_int_eq(xids_test_store_introduce(s, 2, true), 0);
    ck_assert_int_eq(xids_test_store_introduce(s, 3, true), 0);
    ck_assert_int_eq(xids_test_store_dump(s, &before, NULL, 0), 0);
    m = xids_model_new(1, 0);
    server = xids_model_domain_create(m, 0);
    client = xids_model_domain_create(m, 2);
    stranger = xids_model_domain_create(m, 3);
    ck_assert(server != NULL && client != NULL && stranger != NULL);
}

static void teardown(void)
{
    char left[300], *report = NULL;
    unsigned int n = xids_model_check_clean(m, left, sizeof(left));
    ck_assert_msg(n == 0, "%s", left);
    xids_model_free(m);
    xids_xs_close(xs);
    int leaks = xids_test_store_leaks(s, &report, NULL);
    ck_assert_msg(leaks == 0, "%s", report);
    free(report);
    free(before);
    xids_test_store_free(s);
}

static struct xids_vchan_link *listens(void)
{
    struct xids_vchan_link *link = NULL;
    ck_assert_int_eq(xids_vchan_listen(&link, server, xs, 2, PATH, 12, 12, 0), 0);
    return link;
}

static void expect(const char *path, const char *tree)
{
    char *difference = NULL;
    int rc = xids_test_store_compare(s, &difference, path, 0, tree);
    ck_assert_msg(rc == 0, "%d: %s", rc, difference != NULL ? difference : "");
}

START_TEST(the_numbers_are_for_the_client_alone)
{
    struct xids_vchan_link *link = listens();
    expect("/local/domain/0/data/vchan", "/local/domain/0/data/vchan = \"\"\n"
                                         "/local/domain/0/data/vchan/2 = \"\"\n"
                                         "/local/domain/0/data/vchan/2/x = \"\"\n"
                                         "/local/domain/0/data/vchan/2/x/event-channel = * (n0,r2)\n"
                                         "/local/domain/0/data/vchan/2/x/ring-ref = * (n0,r2)\n");
    struct xids_vchan_link *found = NULL;
    struct xids_xs *right = open_as(s, 2), *wrong = open_as(s, 3);
    ck_assert_int_eq(xids_vchan_connect(&found, stranger, wrong, 0, PATH, 0, 0), -XEN_ETIMEDOUT);
    ck_assert_int_eq(xids_vchan_connect(&found, client, right, 0, PATH, 0, 0), 0);
    xids_vchan_unlink(found);
    xids_vchan_unlink(link);
    expect(NULL, before);
    xids_xs_close(right);
    xids_xs_close(wrong);
}
END_TEST

/* Of which a domain may have few at a time: many servers that start at once would be refused. */
START_TEST(a_server_needs_no_transaction)
{
    int fault = xids_test_store_fail(s, XS_TRANSACTION_START, NULL, 1, -XEN_ENOSPC);
    struct xids_vchan_link *link = listens();
    ck_assert_int_eq(xids_test_store_fault_hits(s, fault), 0);
    xids_vchan_unlink(link);
}
END_TEST

/* A quota, for one. */
START_TEST(a_server_that_is_refused_a_node_leaves_none)
{
    struct xids_vchan_link *link = NULL;
    int fault = xids_test_store_fail(s, _i < 2 ? XS_WRITE : XS_SET_PERMS, PATH, (uint32_t)_i % 2 + 1, -XEN_ENOSPC);
    ck_assert_int_eq(xids_vchan_listen(&link, server, xs, 2, PATH, 12, 12, 0), -XEN_ENOSPC);
    ck_assert_int_eq(xids_test_store_fault_hits(s, fault), 1);
    ck_assert_ptr_null(link);
    expect(NULL, before);
}
END_TEST

START_TEST(a_server_that_loses_the_store_keeps_nothing)
{
    struct xids_vchan_link *link = NULL;
    const struct xids_test_store_fault fault = {.nth = (uint32_t)_i, .action = XIDS_TEST_STORE_DISCONNECT};
    int number = xids_test_store_fault(s, &fault);
    int rc = xids_vchan_listen(&link, server, xs, 2, PATH, 12, 12, 0);
    ck_assert_int_eq(rc, -XEN_ENOTCONN);
    ck_assert_int_eq(xids_test_store_fault_hits(s, number), 1);
}
END_TEST

START_TEST(folders_are_removed_in_spite_of_conflicts)
{
    struct xids_vchan_link *link = listens();
    int fault = xids_test_store_refuse_commits(s, 2, 5);
    xids_vchan_unlink(link);
    ck_assert_int_eq(xids_test_store_fault_hits(s, fault), 5);
    expect(NULL, before);
}
END_TEST

START_TEST(conflicts_without_end_are_given_up_on)
{
    struct xids_vchan_link *link = listens();
    int fault = xids_test_store_refuse_commits(s, 1, XIDS_TEST_STORE_ALWAYS);
    xids_vchan_unlink(link);
    ck_assert_int_eq(xids_test_store_fault_hits(s, fault), (int)XIDS_XS_TRIES);
    expect(PATH, PATH " = \"\"\n");
}
END_TEST

static void *unlink_it(void *link)
{
    xids_vchan_unlink(link);
    return NULL;
}

/* It has seen an empty folder, and is about to remove it, when another server puts its numbers there. */
START_TEST(what_comes_into_a_folder_while_it_is_removed_stays)
{
    struct xids_vchan_link *link = listens();
    struct xids_xs *other = open_as(s, 0);
    const struct xids_test_store_fault fault = {
        .type = XS_DIRECTORY, .path = PATH, .nth = 1, .action = XIDS_TEST_STORE_DELAY};
    int number = xids_test_store_fault(s, &fault);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, unlink_it, link), 0);
    while (xids_test_store_fault_hits(s, number) == 0)
        (void)sched_yield();
    put(other, PATH "/ring-ref", "77");
    ck_assert_int_eq(xids_test_store_let_go(s), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    expect(PATH, PATH " = \"\"\n" PATH "/ring-ref = \"77\"\n");
    xids_xs_close(other);
}
END_TEST

/* Two clients at one path: the second gets an offer of its own, which outlives the first server's end. */
START_TEST(an_offer_that_was_handed_over_outlives_the_one_before)
{
    struct xids_vchan_link *used = listens(), *one = NULL, *two = NULL;
    struct xids_xs *right = open_as(s, 2);
    ck_assert_int_eq(xids_vchan_connect(&one, client, right, 0, PATH, 0, 0), 0);
    ck_assert_int_eq(xids_vchan_connect(&two, client, right, 0, PATH, 0, 0), -XEN_ETIMEDOUT);
    struct xids_vchan_link *fresh = listens();
    xids_vchan_hand_over(fresh, used);
    xids_vchan_unlink(used);
    ck_assert_int_eq(xids_vchan_connect(&two, client, right, 0, PATH, 0, 0), 0);
    xids_vchan_unlink(one);
    xids_vchan_unlink(two);
    xids_vchan_unlink(fresh);
    expect(NULL, before);
    xids_xs_close(right);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan_publish");
    TCase *t = tcase_create("publish");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, the_numbers_are_for_the_client_alone);
    tcase_add_test(t, a_server_needs_no_transaction);
    tcase_add_loop_test(t, a_server_that_is_refused_a_node_leaves_none, 0, 4);
    tcase_add_loop_test(t, a_server_that_loses_the_store_keeps_nothing, 1, 10);
    tcase_add_test(t, folders_are_removed_in_spite_of_conflicts);
    tcase_add_test(t, conflicts_without_end_are_given_up_on);
    tcase_add_test(t, what_comes_into_a_folder_while_it_is_removed_stays);
    tcase_add_test(t, an_offer_that_was_handed_over_outlives_the_one_before);
    suite_add_tcase(suite, t);
    return suite;
}
