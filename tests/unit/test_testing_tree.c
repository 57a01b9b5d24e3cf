/* SPDX-License-Identifier: ISC */
/* A test store's tree as text, its log, and what is found left at the end. */
#include "tests/unit/testing_fixture.h"

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

#define SMALL                 \
    "/t = \"\" (n0)\n"        \
    "/t/b = \"2\" (n0,r5)\n"  \
    "/t/b/x = \"\" (n0,r5)\n" \
    "/t/b-c = \"\" (n0)\n"    \
    "/t/c = \"3\" (b7,n0,w9)\n"

static void load(const char *text)
{
    ck_assert_int_eq(xids_test_store_load(s, NULL, text), 0);
}

#define EXPECT_DIFFERENCE(path, flags, expected, want)                                 \
    do {                                                                               \
        char *got_ = NULL;                                                             \
        ck_assert_int_eq(xids_test_store_compare(s, &got_, path, flags, expected), 1); \
        ck_assert_str_eq(got_, want);                                                  \
        free(got_);                                                                    \
    } while (0)

#define EXPECT_EQUAL(path, flags, expected)                                 \
    do {                                                                    \
        char *got_ = NULL;                                                  \
        int rc_ = xids_test_store_compare(s, &got_, path, flags, expected); \
        ck_assert_msg(rc_ == 0, "%d: %s", rc_, got_ != NULL ? got_ : "");   \
        ck_assert_ptr_null(got_);                                           \
    } while (0)

/* ---- out and in ---- */

START_TEST(a_tree_is_sorted_whatever_its_history)
{
    load("/t/c = \"3\" (b7,n0,w9)\n/t/b-c = \"\" (n0)\n/t/b = \"2\" (n0,r5)\n/t/b/x = \"\"\n/t = \"\" (n0)\n");
    EXPECT_DUMP(s, "/t", 0, SMALL);
}
END_TEST

START_TEST(a_tree_can_be_in_the_order_of_creation)
{
    load("/t/c = \"3\"\n/t/a = \"1\"\n/t/b = \"2\"\n/t/a/z = \"\"\n/t/a/y = \"\"\n");
    EXPECT_DUMP(s, "/t", XIDS_TEST_STORE_BY_AGE | XIDS_TEST_STORE_NO_PERMS,
                "/t = \"\"\n/t/c = \"3\"\n/t/a = \"1\"\n/t/a/z = \"\"\n/t/a/y = \"\"\n/t/b = \"2\"\n");
}
END_TEST

START_TEST(what_is_dumped_is_what_is_loaded)
{
    struct xids_test_store *other = store_up(XIDS_TEST_STORE_FORKED, NULL);
    char *text = NULL;
    load(SMALL);
    ck_assert_int_eq(xids_test_store_dump(s, &text, NULL, 0), 0);
    ck_assert_ptr_nonnull(strstr(text, "/tool/xenstored"));
    ck_assert_int_eq(xids_test_store_load(other, NULL, text), 0);
    EXPECT_DUMP(other, NULL, 0, text);
    free(text);
    xids_test_store_free(other);
}
END_TEST

START_TEST(any_value_survives)
{
    char value[256], *got = NULL;
    size_t len = 0;
    for (int i = 0; i < 256; i++)
        value[i] = (char)i;
    ck_assert_int_eq(xids_xs_write(xs, 0, "/v", value, sizeof(value)), 0);
    char *text = NULL;
    ck_assert_int_eq(xids_test_store_dump(s, &text, "/v", 0), 0);
    ck_assert_ptr_nonnull(strstr(text, "\\x00\\x01"));
    ck_assert_ptr_nonnull(strstr(text, "\\t\\n"));
    ck_assert_ptr_nonnull(strstr(text, "\\\"#"));
    ck_assert_ptr_nonnull(strstr(text, "[\\\\]"));
    ck_assert_int_eq(xids_xs_rm(xs, 0, "/v"), 0);
    load(text);
    free(text);
    ck_assert_int_eq(xids_xs_read(xs, &got, &len, 0, "/v"), 0);
    ck_assert_uint_eq(len, sizeof(value));
    ck_assert_mem_eq(got, value, len);
    free(got);
}
END_TEST

START_TEST(a_directory_of_thousands_and_a_deep_path_are_shown)
{
    char path[3000];
    unsigned int lines = 0;
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(path, sizeof(path), "/big/child-with-a-name-%d", i);
        ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(xs), 0, path, NULL, NULL), 0);
        if (i % 500 == 499)
            ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/big"), 0);
    }
    (void)snprintf(path, sizeof(path), "/big");
    for (size_t n = 4; n + 2 < sizeof(path); n += 2)
        memcpy(path + n, "/d", 3);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, path), 0);
    char *text = NULL;
    ck_assert_int_eq(xids_test_store_dump(s, &text, "/big", 0), 0);
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    ck_assert_uint_eq(lines, 1 + 2000 + (unsigned int)(strlen(path) - 4) / 2);
    free(text);
}
END_TEST

START_TEST(loading_fires_watches)
{
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_watch(xs, "/t", NULL), 0);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 20000), 1);
    load("/t/x = \"1\"\n");
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 20000), 1);
    ck_assert_str_eq(e.path, "/t/x");
}
END_TEST

START_TEST(comments_and_blank_lines_mean_nothing)
{
    load("# what the toolstack makes\n\n   /t = \"x\"  \r\n\t/t/a = \"\" (n1)\n#/t/b = \"\"\n/t/c = \"#\"");
    EXPECT_DUMP(s, "/t", 0, "/t = \"x\" (n0)\n/t/a = \"\" (n1)\n/t/c = \"#\" (n0)\n");
}
END_TEST

static const char *const wrong_lines[] = {
    "/t",
    "/t =",
    "/t = ",
    "/t = x",
    "/t = \"x",
    "/t = \"x\\\"",
    "/t = \"\\x1\"",
    "/t = \"\\xgg\"",
    "/t = \"\\q\"",
    "/t = \"x\" n0",
    "/t = \"x\" ()",
    "/t = \"x\" (n0",
    "/t = \"x\" (n0,)",
    "/t = \"x\" (q0)",
    "/t = \"x\" (n0) more",
    "/t= \"x\"",
    "t = \"x\"",
    "/t//u = \"x\"",
    "/t u = \"x\"",
    " = \"x\"",
};

START_TEST(a_wrong_line_is_named)
{
    char text[100];
    unsigned int line = 0;
    char *difference = NULL;
    (void)snprintf(text, sizeof(text), "/good = \"\"\n\n%s\n/good/2 = \"\"\n", wrong_lines[_i]);
    ck_assert_int_eq(xids_test_store_load(s, &line, text), -XEN_EINVAL);
    ck_assert_uint_eq(line, 3);
    ck_assert(has(xs, "/good", NULL));
    ck_assert_int_eq(xids_test_store_compare(s, &difference, "/t", 0, text), -XEN_EINVAL);
    ck_assert_ptr_null(difference);
}
END_TEST

START_TEST(what_the_store_refuses_is_named_too)
{
    unsigned int line = 0;
    char text[6000] = "/good = \"\"\n/big = \"";
    memset(text + strlen(text), 'x', 5000);
    memcpy(text + strlen(text), "\"\n", 2);
    ck_assert_int_eq(xids_test_store_load(s, &line, text), -XEN_E2BIG);
    ck_assert_uint_eq(line, 2);
    ck_assert(has(xs, "/good", ""));
    ck_assert_int_eq(xids_test_store_load(s, &line, "/one = \"\"\n/any = *\n"), -XEN_EINVAL);
    ck_assert_uint_eq(line, 2);
    ck_assert(has(xs, "/one", NULL));
}
END_TEST

START_TEST(special_nodes_are_given_permissions)
{
    struct xids_xs_perm *perms = NULL;
    unsigned int count = 0;
    load("@releaseDomain = \"\" (n0,r5)\n");
    ck_assert_int_eq(xids_xs_get_perms(xs, &perms, &count, 0, "@releaseDomain"), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(perms[1].domid, 5);
    free(perms);
}
END_TEST

START_TEST(the_harness_itself_is_not_in_the_log_and_meets_no_fault)
{
    ck_assert_int_gt(xids_test_store_fail(s, 0, NULL, 1, -XEN_EIO), 0);
    load(SMALL);
    EXPECT_DUMP(s, "/t", 0, SMALL);
    ck_assert_int_eq(xids_test_store_introduce(s, 3, true), 0);
    EXPECT_LOG(s, "");
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/x"), -XEN_EIO);
}
END_TEST

/* ---- comparing ---- */

START_TEST(equal_trees_are_equal)
{
    load(SMALL);
    EXPECT_EQUAL("/t", 0, SMALL);
    EXPECT_EQUAL("/t", XIDS_TEST_STORE_NO_PERMS, SMALL);
    /* In any order, and without what does not matter. */
    EXPECT_EQUAL("/t", 0,
                 "# a comment\n/t/c = *\n/t = \"\"\n/t/b-c = \"\" (n0)\n/t/b = \"2\"\n\n/t/b/x = \"\" (n0,r5)");
}
END_TEST

START_TEST(a_difference_is_told_line_by_line)
{
    load(SMALL);
    EXPECT_DIFFERENCE("/t", 0,
                      "/t = \"\"\n/t/a = \"1\" (n0)\n/t/b = \"two\" (n0,r5)\n/t/b/x = \"\"\n/t/b-c = \"\" (n5)\n",
                      "- /t/a = \"1\" (n0)\n"
                      "- /t/b = \"two\" (n0,r5)\n"
                      "+ /t/b = \"2\" (n0,r5)\n"
                      "- /t/b-c = \"\" (n5)\n"
                      "+ /t/b-c = \"\" (n0)\n"
                      "+ /t/c = \"3\" (b7,n0,w9)\n");
    EXPECT_DIFFERENCE("/t/b", XIDS_TEST_STORE_NO_PERMS, "/t/b = \"2\" (n1)\n", "+ /t/b/x = \"\"\n");
    EXPECT_DIFFERENCE("/none", 0, "/none = *\n", "- /none = *\n");
    EXPECT_EQUAL("/none", 0, "");
}
END_TEST

START_TEST(the_order_matters_when_asked_for)
{
    load("/t/b = \"\"\n/t/a = \"\"\n");
    static const char sorted[] = "/t = \"\"\n/t/a = \"\"\n/t/b = \"\"\n";
    EXPECT_EQUAL("/t", 0, sorted);
    EXPECT_EQUAL("/t", XIDS_TEST_STORE_BY_AGE, "/t = \"\"\n/t/b = \"\"\n/t/a = \"\"\n");
    EXPECT_DIFFERENCE("/t", XIDS_TEST_STORE_BY_AGE, sorted,
                      "the order is another, first here:\n- /t/a = \"\"\n+ /t/b = \"\" (n0)\n");
}
END_TEST

START_TEST(a_file_is_compared_with_and_brought_up_to_date)
{
    char name[] = "/tmp/xids-golden-XXXXXX", *difference = NULL;
    int fd = mkstemp(name);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, "/t = \"old\"\n", 11), 11);
    (void)close(fd);
    load("/t = \"new\"\n");
    ck_assert_int_eq(xids_test_store_compare_file(s, &difference, "/t", 0, name), 1);
    ck_assert_str_eq(difference, "- /t = \"old\"\n+ /t = \"new\" (n0)\n");
    free(difference);
    ck_assert_int_eq(setenv("XIDS_TEST_STORE_UPDATE", "1", 1), 0);
    ck_assert_int_eq(xids_test_store_compare_file(s, &difference, "/t", 0, name), 0);
    ck_assert_int_eq(unsetenv("XIDS_TEST_STORE_UPDATE"), 0);
    ck_assert_int_eq(xids_test_store_compare_file(s, &difference, "/t", 0, name), 0);
    ck_assert_ptr_null(difference);
    ck_assert_int_eq(unlink(name), 0);
    ck_assert_int_eq(xids_test_store_compare_file(s, &difference, "/t", 0, name), -XEN_ENOENT);
}
END_TEST

/* ---- the log ---- */

static int body(struct xids_xs *me, uint32_t tx, void *ctx)
{
    (void)ctx;
    return xids_xs_write(me, tx, "/a b", "x", 1) == -XEN_EINVAL ? xids_xs_write(me, tx, "/a", "1\n", 2) : -XEN_EIO;
}

START_TEST(the_log_says_what_was_asked_and_answered)
{
    static const struct xids_xs_perm perms[] = {{0, XIDS_XS_NONE}, {5, XIDS_XS_READ}};
    ck_assert_int_eq(xids_xs_transaction(xs, body, NULL), 0);
    ck_assert_int_eq(xids_xs_set_perms(xs, 0, "/a", perms, 2), 0);
    ck_assert_int_eq(xids_xs_write(xs, 0, "/e", "", 0), 0);
    ck_assert_int_eq(xids_xs_introduce(xs, 8, 1, 2), 0);
    EXPECT_LOG(s, "dom0.1 TRANSACTION_START -> OK\n"
                  "dom0.1 tx1 WRITE \"/a b\" \"x\" -> EINVAL\n"
                  "dom0.1 tx1 WRITE /a \"1\\n\" -> OK\n"
                  "dom0.1 tx1 TRANSACTION_END T -> OK\n"
                  "dom0.1 SET_PERMS /a n0 r5 -> OK\n"
                  "dom0.1 WRITE /e \"\" -> OK\n"
                  "dom0.1 INTRODUCE 8 1 2 -> OK\n");
    ck_assert_int_eq(xids_test_store_log_clear(s), 0);
    EXPECT_LOG(s, "");
}
END_TEST

START_TEST(the_log_has_an_end)
{
    char *text = NULL, value[2000];
    struct xids_test_store_counts counts;
    memset(value, 'v', sizeof(value));
    for (int i = 0; i < 2200; i++) {
        ck_assert_int_eq(xids_xs_client_write(xids_xs_client(xs), 0, "/a", value, sizeof(value), NULL, NULL), 0);
        if (i % 20 == 19)
            ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/a"), 0);
    }
    ck_assert_int_eq(xids_test_store_log(s, &text), 0);
    ck_assert_uint_lt(strlen(text), (4u << 20) + 100);
    ck_assert_uint_gt(strlen(text), 4000000);
    ck_assert_ptr_nonnull(strstr(text, " more)\n"));
    free(text);
    ck_assert_int_eq(xids_test_store_counts(s, &counts), 0);
    ck_assert_uint_eq(counts.requests, 2310);
}
END_TEST

/* ---- what is left ---- */

START_TEST(nothing_left_is_no_leak)
{
    char *before = NULL, *report = NULL;
    put(xs, "/config", "1");
    ck_assert_int_eq(xids_test_store_dump(s, &before, NULL, 0), 0);
    put(xs, "/config", "2"); /* which is no leak */
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/gone"), 0);
    ck_assert_int_eq(xids_xs_rm(xs, 0, "/gone"), 0);
    ck_assert_int_eq(xids_test_store_leaks(s, &report, before), 0);
    ck_assert_str_eq(report, "");
    free(report);
    free(before);
}
END_TEST

static int leaking_body(struct xids_xs *me, uint32_t tx, void *ctx)
{
    char **report = ctx;
    (void)me;
    (void)tx;
    return xids_test_store_leaks(s, report, NULL) == 1 ? -XEN_EIO : -XEN_EPERM;
}

START_TEST(an_open_transaction_is_a_leak)
{
    char *report = NULL;
    ck_assert_int_eq(xids_xs_transaction(xs, leaking_body, &report), -XEN_EIO);
    ck_assert_str_eq(report, "transaction of dom0.1\n");
    free(report);
    EXPECT_TEXT(xids_test_store_leaks(s, &text, NULL), text, "");
}
END_TEST

START_TEST(watches_and_nodes_that_are_left_are_told)
{
    char *before = NULL, *report = NULL;
    int fd;
    uint8_t request[64];
    ck_assert_int_eq(xids_test_store_introduce(s, 4, true), 0);
    ck_assert_int_eq(xids_test_store_dump(s, &before, NULL, 0), 0);
    ck_assert_int_eq(xids_test_store_connect(s, &fd, 4), 0);
    const struct xids_xswire_part parts[] = {xids_xswire_string("data"), xids_xswire_string("my token"),
                                             xids_xswire_string("2")};
    int len = xids_xswire_build(request, sizeof(request), XS_WATCH, 1, 0, parts, 3);
    ck_assert_int_eq((int)write(fd, request, (size_t)len), len);
    put(xs, "/left/x", "1");
    ck_assert_int_eq(xids_test_store_leaks(s, &report, before), 3);
    ck_assert_str_eq(report, "watch of dom4.2 /local/domain/4/data \"my token\" depth 2\n"
                             "node /left = \"\" (n0)\n"
                             "node /left/x = \"1\" (n0)\n");
    free(report);
    /* With the connection the watch goes. */
    (void)close(fd);
    ck_assert_int_eq(xids_xs_rm(xs, 0, "/left"), 0);
    ck_assert_int_eq(xids_test_store_leaks(s, &report, before), 0);
    free(report);
    free(before);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("testing_tree");
    TCase *t = tcase_create("text");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, a_tree_is_sorted_whatever_its_history);
    tcase_add_test(t, a_tree_can_be_in_the_order_of_creation);
    tcase_add_test(t, what_is_dumped_is_what_is_loaded);
    tcase_add_test(t, any_value_survives);
    tcase_add_test(t, a_directory_of_thousands_and_a_deep_path_are_shown);
    tcase_add_test(t, loading_fires_watches);
    tcase_add_test(t, comments_and_blank_lines_mean_nothing);
    tcase_add_loop_test(t, a_wrong_line_is_named, 0, (int)(sizeof(wrong_lines) / sizeof(wrong_lines[0])));
    tcase_add_test(t, what_the_store_refuses_is_named_too);
    tcase_add_test(t, special_nodes_are_given_permissions);
    tcase_add_test(t, the_harness_itself_is_not_in_the_log_and_meets_no_fault);
    suite_add_tcase(suite, t);
    t = tcase_create("compare");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, equal_trees_are_equal);
    tcase_add_test(t, a_difference_is_told_line_by_line);
    tcase_add_test(t, the_order_matters_when_asked_for);
    tcase_add_test(t, a_file_is_compared_with_and_brought_up_to_date);
    suite_add_tcase(suite, t);
    t = tcase_create("log");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, the_log_says_what_was_asked_and_answered);
    tcase_add_test(t, the_log_has_an_end);
    suite_add_tcase(suite, t);
    t = tcase_create("leaks");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, nothing_left_is_no_leak);
    tcase_add_test(t, an_open_transaction_is_a_leak);
    tcase_add_test(t, watches_and_nodes_that_are_left_are_told);
    suite_add_tcase(suite, t);
    return suite;
}
