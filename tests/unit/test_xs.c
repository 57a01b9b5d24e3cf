/* SPDX-License-Identifier: ISC */
/* The blocking xenstore client against a store that follows a script. */
#include "tests/unit/xs_script.h"

/* ---- values ---- */

START_TEST(read_gives_the_value_with_a_nul_after_it)
{
    SCRIPT({XS_READ, TEXT("/a"), BYTES("va\0lue"), 0, NULL});
    char *value;
    size_t len;
    ck_assert_int_eq(xids_xs_read(xs, &value, &len, XIDS_XS_NO_TX, "/a"), 0);
    ck_assert_uint_eq(len, 6);
    ck_assert_mem_eq(value, "va\0lue", 7);
    free(value);
    script_end(&script, xs);
}
END_TEST

START_TEST(an_empty_value_reads_as_an_empty_string)
{
    SCRIPT({XS_READ, TEXT("/a"), "", 0, 0, NULL});
    char *value;
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/a"), 0);
    ck_assert_str_eq(value, "");
    free(value);
    script_end(&script, xs);
}
END_TEST

START_TEST(the_stores_error_is_the_result)
{
    SCRIPT({XS_READ, NULL, 0, TEXT("ENOENT"), XS_ERROR, NULL}, {XS_WRITE, NULL, 0, TEXT("EACCES"), XS_ERROR, NULL},
           {XS_MKDIR, NULL, 0, TEXT("ENOSPC"), XS_ERROR, NULL}, {XS_RM, NULL, 0, TEXT("EINVAL"), XS_ERROR, NULL});
    char *value;
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/a"), -XEN_ENOENT);
    ck_assert_int_eq(xids_xs_write(xs, XIDS_XS_NO_TX, "/a", "v", 1), -XEN_EACCES);
    ck_assert_int_eq(xids_xs_mkdir(xs, XIDS_XS_NO_TX, "/a"), -XEN_ENOSPC);
    ck_assert_int_eq(xids_xs_rm(xs, XIDS_XS_NO_TX, "/a"), -XEN_EINVAL);
    script_end(&script, xs);
}
END_TEST

static const struct {
    const char *text;
    size_t len;
    int rc;
    uint32_t value;
} numbers[] = {
    {BYTES("0"), 0, 0},
    {BYTES("42"), 0, 42},
    {TEXT("42"), 0, 42},
    {BYTES("0017"), 0, 17},
    {BYTES("4294967295"), 0, 4294967295u},
    {BYTES("4294967296"), -XEN_ERANGE, 0},
    {BYTES("18446744073709551616"), -XEN_ERANGE, 0},
    {BYTES("99999999999999999999999999"), -XEN_ERANGE, 0},
    {BYTES(""), -XEN_EINVAL, 0},
    {BYTES("\0"), -XEN_EINVAL, 0},
    {BYTES("-1"), -XEN_EINVAL, 0},
    {BYTES("+1"), -XEN_EINVAL, 0},
    {BYTES(" 1"), -XEN_EINVAL, 0},
    {BYTES("1 "), -XEN_EINVAL, 0},
    {BYTES("1\n"), -XEN_EINVAL, 0},
    {BYTES("0x10"), -XEN_EINVAL, 0},
    {BYTES("1\0"
           "2"),
     -XEN_EINVAL, 0},
    {BYTES("99999999999999999999999999x"), -XEN_EINVAL, 0},
};

START_TEST(numbers_are_read_strictly)
{
    struct step steps[] = {{XS_READ, NULL, 0, numbers[_i].text, numbers[_i].len, 0, NULL}};
    struct script script;
    struct xids_xs *xs;
    uint32_t n = 7;
    script_start(&script, &xs, steps, 1);
    ck_assert_int_eq(xids_xs_read_u32(xs, &n, XIDS_XS_NO_TX, "/n"), numbers[_i].rc);
    ck_assert_uint_eq(n, numbers[_i].rc == 0 ? numbers[_i].value : 7);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_64_bit_number_is_read_whole)
{
    SCRIPT({XS_READ, NULL, 0, BYTES("18446744073709551615"), 0, NULL});
    uint64_t n;
    ck_assert_int_eq(xids_xs_read_u64(xs, &n, XIDS_XS_NO_TX, "/n"), 0);
    ck_assert_uint_eq(n, UINT64_MAX);
    script_end(&script, xs);
}
END_TEST

START_TEST(values_are_written_as_they_are_and_formatted)
{
    SCRIPT({XS_WRITE, BYTES("/a\0v\0w"), OK, 0, NULL}, {XS_WRITE, BYTES("/a\0port 7"), OK, 0, NULL},
           {XS_WRITE, TEXT("/a"), OK, 0, NULL});
    ck_assert_int_eq(xids_xs_write(xs, XIDS_XS_NO_TX, "/a", "v\0w", 3), 0);
    ck_assert_int_eq(xids_xs_printf(xs, XIDS_XS_NO_TX, "/a", "port %u", 7u), 0);
    ck_assert_int_eq(xids_xs_printf(xs, XIDS_XS_NO_TX, "/a", "%5000d", 1), -XEN_E2BIG);
    ck_assert_int_eq(xids_xs_printf(xs, XIDS_XS_NO_TX, "/a", "%4095d", 1), -XEN_E2BIG);
    ck_assert_int_eq(xids_xs_printf(xs, XIDS_XS_NO_TX, "/a", "%s", ""), 0);
    script_end(&script, xs);
}
END_TEST

/* ---- directories ---- */

START_TEST(a_directory_is_a_list_of_names)
{
    SCRIPT({XS_DIRECTORY, TEXT("/d"), TEXT("one\0two\0three"), 0, NULL}, {XS_DIRECTORY, NULL, 0, "", 0, 0, NULL});
    char **names;
    unsigned int count;
    ck_assert_int_eq(xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, "/d"), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(names[0], "one");
    ck_assert_str_eq(names[2], "three");
    ck_assert_ptr_null(names[3]);
    free(names);
    ck_assert_int_eq(xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, "/d"), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert_ptr_null(names[0]);
    free(names);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_list_that_does_not_end_is_malformed)
{
    SCRIPT({XS_DIRECTORY, NULL, 0, BYTES("one\0two"), 0, NULL});
    char **names;
    unsigned int count;
    ck_assert_int_eq(xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, "/d"), -XEN_EBADMSG);
    script_end(&script, xs);
}
END_TEST

#define TOO_BIG                                              \
    {                                                        \
        XS_DIRECTORY, NULL, 0, TEXT("E2BIG"), XS_ERROR, NULL \
    }

START_TEST(a_big_directory_is_read_in_parts)
{
    SCRIPT(TOO_BIG,
           {XS_DIRECTORY_PART,
            TEXT("/d\0"
                 "0"),
            TEXT("12\0one\0two"), 0, NULL},
           {XS_DIRECTORY_PART,
            TEXT("/d\0"
                 "8"),
            TEXT("12\0three\0"), 0, NULL});
    char **names;
    unsigned int count;
    ck_assert_int_eq(xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, "/d"), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_str_eq(names[1], "two");
    ck_assert_str_eq(names[2], "three");
    free(names);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_big_directory_can_end_after_its_last_name)
{
    SCRIPT(TOO_BIG,
           {XS_DIRECTORY_PART,
            TEXT("/d\0"
                 "0"),
            TEXT("12\0one"), 0, NULL},
           {XS_DIRECTORY_PART,
            TEXT("/d\0"
                 "4"),
            TEXT("12\0"), 0, NULL});
    char **names;
    unsigned int count;
    ck_assert_int_eq(xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, "/d"), 0);
    ck_assert_uint_eq(count, 1);
    free(names);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_big_directory_that_changes_is_read_afresh)
{
    SCRIPT(TOO_BIG,
           {XS_DIRECTORY_PART,
            TEXT("/d\0"
                 "0"),
            TEXT("1\0one\0two"), 0, NULL},
           {XS_DIRECTORY_PART,
            TEXT("/d\0"
                 "8"),
            TEXT("2\0x\0"), 0, NULL},
           {XS_DIRECTORY_PART,
            TEXT("/d\0"
                 "0"),
            TEXT("2\0uno\0"), 0, NULL});
    char **names;
    unsigned int count;
    ck_assert_int_eq(xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, "/d"), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(names[0], "uno");
    free(names);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_malformed_part_is_refused)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0}, {BYTES("12")}, {TEXT("12")}, {BYTES("12\0one")}, {TEXT("1234567890123456789012345\0one\0")}};
    struct step steps[] = {TOO_BIG, {XS_DIRECTORY_PART, NULL, 0, bad[_i].text, bad[_i].len, 0, NULL}};
    struct script script;
    struct xids_xs *xs;
    char **names;
    unsigned int count;
    script_start(&script, &xs, steps, 2);
    ck_assert_int_eq(xids_xs_directory(xs, &names, &count, XIDS_XS_NO_TX, "/d"), -XEN_EBADMSG);
    script_end(&script, xs);
}
END_TEST

/* ---- permissions ---- */

START_TEST(permissions_are_read_and_written)
{
    SCRIPT({XS_GET_PERMS, TEXT("/p"), TEXT("n0\0r5\0b7"), 0, NULL},
           {XS_SET_PERMS, TEXT("/p\0n0\0r5\0b7"), OK, 0, NULL});
    struct xids_xs_perm *perms;
    unsigned int count;
    ck_assert_int_eq(xids_xs_get_perms(xs, &perms, &count, XIDS_XS_NO_TX, "/p"), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(perms[1].domid, 5);
    ck_assert_uint_eq(perms[1].access, XIDS_XS_READ);
    ck_assert_uint_eq(perms[2].access, XIDS_XS_BOTH);
    ck_assert_int_eq(xids_xs_set_perms(xs, XIDS_XS_NO_TX, "/p", perms, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_xs_set_perms(xs, XIDS_XS_NO_TX, "/p", perms, count), 0);
    free(perms);
    script_end(&script, xs);
}
END_TEST

START_TEST(too_many_permissions_are_refused)
{
    SCRIPT({XS_RM, NULL, 0, OK, 0, NULL});
    struct xids_xs_perm *many = calloc(5000, sizeof(*many));
    ck_assert_int_eq(xids_xs_set_perms(xs, XIDS_XS_NO_TX, "/p", many, 5000), -XEN_E2BIG);
    ck_assert_int_eq(xids_xs_set_perms(xs, XIDS_XS_NO_TX, "/p", many, 1365), -XEN_E2BIG);
    ck_assert_int_eq(xids_xs_rm(xs, XIDS_XS_NO_TX, "/p"), 0);
    free(many);
    script_end(&script, xs);
}
END_TEST

START_TEST(malformed_permissions_are_refused)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0}, {BYTES("n0")}, {TEXT("x0")}, {TEXT("n0\0")}, {TEXT("n70000")}, {TEXT("n")}};
    struct step steps[] = {{XS_GET_PERMS, NULL, 0, bad[_i].text, bad[_i].len, 0, NULL}};
    struct script script;
    struct xids_xs *xs;
    struct xids_xs_perm *perms;
    unsigned int count;
    script_start(&script, &xs, steps, 1);
    ck_assert_int_eq(xids_xs_get_perms(xs, &perms, &count, XIDS_XS_NO_TX, "/p"), -XEN_EBADMSG);
    script_end(&script, xs);
}
END_TEST

/* ---- transactions ---- */

struct body {
    int runs;
    int results[4];
    uint32_t tx;
};

static int run_body(struct xids_xs *xs, uint32_t tx, void *ctx)
{
    struct body *b = ctx;
    b->tx = tx;
    int rc = b->results[b->runs++ % 4];
    return rc != 0 ? rc : xids_xs_write(xs, tx, "/t", "v", 1);
}

#define START(id)                                         \
    {                                                     \
        XS_TRANSACTION_START, TEXT(""), TEXT(id), 0, NULL \
    }
#define BODY                           \
    {                                  \
        XS_WRITE, NULL, 0, OK, 0, NULL \
    }
#define COMMIT                                     \
    {                                              \
        XS_TRANSACTION_END, TEXT("T"), OK, 0, NULL \
    }
#define CONFLICT                                                      \
    {                                                                 \
        XS_TRANSACTION_END, TEXT("T"), TEXT("EAGAIN"), XS_ERROR, NULL \
    }
#define ABORT                                      \
    {                                              \
        XS_TRANSACTION_END, TEXT("F"), OK, 0, NULL \
    }

START_TEST(a_transaction_commits)
{
    SCRIPT(START("5"), BODY, COMMIT);
    struct body b = {0};
    ck_assert_int_eq(xids_xs_transaction(xs, run_body, &b), 0);
    ck_assert_int_eq(b.runs, 1);
    ck_assert_uint_eq(b.tx, 5);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_conflict_runs_the_body_again)
{
    SCRIPT(START("5"), BODY, CONFLICT, START("6"), BODY, CONFLICT, START("7"), BODY, COMMIT);
    struct body b = {0};
    ck_assert_int_eq(xids_xs_transaction(xs, run_body, &b), 0);
    ck_assert_int_eq(b.runs, 3);
    ck_assert_uint_eq(b.tx, 7);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_body_that_fails_aborts)
{
    SCRIPT(START("5"), ABORT, START("6"), ABORT);
    struct body b = {.results = {-XEN_EEXIST, 17}};
    ck_assert_int_eq(xids_xs_transaction(xs, run_body, &b), -XEN_EEXIST);
    ck_assert_int_eq(xids_xs_transaction(xs, run_body, &b), 17);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_body_can_ask_for_another_try)
{
    SCRIPT(START("5"), ABORT, START("6"), BODY, COMMIT);
    struct body b = {.results = {-XEN_EAGAIN}};
    ck_assert_int_eq(xids_xs_transaction(xs, run_body, &b), 0);
    ck_assert_int_eq(b.runs, 2);
    script_end(&script, xs);
}
END_TEST

START_TEST(conflicts_without_end_are_given_up)
{
    static struct step steps[3 * XIDS_XS_TRIES];
    static const struct step round[3] = {START("5"), BODY, CONFLICT};
    for (unsigned int i = 0; i < 3 * XIDS_XS_TRIES; i++)
        steps[i] = round[i % 3];
    struct script script;
    struct xids_xs *xs;
    struct body b = {0};
    script_start(&script, &xs, steps, 3 * XIDS_XS_TRIES);
    ck_assert_int_eq(xids_xs_transaction(xs, run_body, &b), -XEN_EAGAIN);
    ck_assert_int_eq(b.runs, (int)XIDS_XS_TRIES);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_malformed_transaction_id_is_refused)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0}, {TEXT("")}, {TEXT("0")}, {BYTES("5")}, {TEXT("five")}};
    struct step steps[] = {{XS_TRANSACTION_START, NULL, 0, bad[_i].text, bad[_i].len, 0, NULL}};
    struct script script;
    struct xids_xs *xs;
    struct body b = {0};
    script_start(&script, &xs, steps, 1);
    ck_assert_int_eq(xids_xs_transaction(xs, run_body, &b), -XEN_EBADMSG);
    ck_assert_int_eq(b.runs, 0);
    script_end(&script, xs);
}
END_TEST

/* ---- domains ---- */

START_TEST(domains_are_named_in_decimal)
{
    SCRIPT({XS_INTRODUCE,
            TEXT("3\0"
                 "18446744073709551615\0"
                 "9"),
            OK, 0, NULL},
           {XS_GET_DOMAIN_PATH, TEXT("3"), BYTES("/local/domain/3"), 0, NULL},
           {XS_IS_DOMAIN_INTRODUCED, TEXT("3"), TEXT("T"), 0, NULL},
           {XS_IS_DOMAIN_INTRODUCED, TEXT("4"), TEXT("F"), 0, NULL},
           {XS_IS_DOMAIN_INTRODUCED, TEXT("5"), "", 0, 0, NULL}, {XS_RELEASE, TEXT("3"), OK, 0, NULL},
           {XS_READ, TEXT("domid"), BYTES("3"), 0, NULL}, {XS_READ, TEXT("domid"), BYTES("32752"), 0, NULL});
    char *path;
    domid_t domid;
    ck_assert_int_eq(xids_xs_introduce(xs, 3, UINT64_MAX, 9), 0);
    ck_assert_int_eq(xids_xs_get_domain_path(xs, &path, 3), 0);
    ck_assert_str_eq(path, "/local/domain/3");
    free(path);
    ck_assert_int_eq(xids_xs_is_introduced(xs, 3), 1);
    ck_assert_int_eq(xids_xs_is_introduced(xs, 4), 0);
    ck_assert_int_eq(xids_xs_is_introduced(xs, 5), -XEN_EBADMSG);
    ck_assert_int_eq(xids_xs_release(xs, 3), 0);
    ck_assert_int_eq(xids_xs_own_domid(xs, &domid), 0);
    ck_assert_uint_eq(domid, 3);
    ck_assert_int_eq(xids_xs_own_domid(xs, &domid), -XEN_ERANGE);
    script_end(&script, xs);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xs");
    TCase *t = tcase_create("tree");
    tcase_add_test(t, read_gives_the_value_with_a_nul_after_it);
    tcase_add_test(t, an_empty_value_reads_as_an_empty_string);
    tcase_add_test(t, the_stores_error_is_the_result);
    tcase_add_loop_test(t, numbers_are_read_strictly, 0, sizeof(numbers) / sizeof(numbers[0]));
    tcase_add_test(t, a_64_bit_number_is_read_whole);
    tcase_add_test(t, values_are_written_as_they_are_and_formatted);
    tcase_add_test(t, a_directory_is_a_list_of_names);
    tcase_add_test(t, a_list_that_does_not_end_is_malformed);
    tcase_add_test(t, a_big_directory_is_read_in_parts);
    tcase_add_test(t, a_big_directory_can_end_after_its_last_name);
    tcase_add_test(t, a_big_directory_that_changes_is_read_afresh);
    tcase_add_loop_test(t, a_malformed_part_is_refused, 0, 5);
    tcase_add_test(t, permissions_are_read_and_written);
    tcase_add_test(t, too_many_permissions_are_refused);
    tcase_add_loop_test(t, malformed_permissions_are_refused, 0, 6);
    suite_add_tcase(s, t);

    t = tcase_create("transactions");
    tcase_add_test(t, a_transaction_commits);
    tcase_add_test(t, a_conflict_runs_the_body_again);
    tcase_add_test(t, a_body_that_fails_aborts);
    tcase_add_test(t, a_body_can_ask_for_another_try);
    tcase_add_test(t, conflicts_without_end_are_given_up);
    tcase_add_loop_test(t, a_malformed_transaction_id_is_refused, 0, 5);
    tcase_add_test(t, domains_are_named_in_decimal);
    suite_add_tcase(s, t);
    return s;
}
