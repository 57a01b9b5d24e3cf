/* SPDX-License-Identifier: ISC */
/* The benchmark helper: what it writes is read by others, so its arithmetic and its file are checked like code. */
#include "bench/bench.h"
#include "tests/unit/suite.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/xids-bench-XXXXXX";
static char path[64];

static void begin(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(setenv("XIDS_BENCH_DIR", dir, 1), 0);
    (void)unsetenv("XIDS_BENCH_QUICK");
    (void)unsetenv("XIDS_BENCH_ONLY");
    (void)snprintf(path, sizeof(path), "%s/suite.json", dir);
}

static void end(void)
{
    (void)unlink(path);
    (void)rmdir(dir);
}

/* Returns each of the values in turn. */
struct script {
    const double *values;
    size_t next;
};

static double play(void *ctx)
{
    struct script *script = ctx;

    return script->values[script->next++];
}

static double number(struct json_object *rows, size_t i, const char *key)
{
    return json_object_get_double(json_object_object_get(json_object_array_get_idx(rows, i), key));
}

static const char *text(struct json_object *rows, size_t i, const char *key)
{
    return json_object_get_string(json_object_object_get(json_object_array_get_idx(rows, i), key));
}

START_TEST(median_of_an_odd_count_is_the_middle_value)
{
    double v[] = {9, 1, 5};

    ck_assert_double_eq(bench_median(v, 3), 5);
}
END_TEST

START_TEST(median_of_an_even_count_is_between_the_two_in_the_middle)
{
    double v[] = {8, 2, 4, 100};

    ck_assert_double_eq(bench_median(v, 4), 6);
}
END_TEST

START_TEST(ratio_above_one_means_ours_is_better_whichever_way_the_unit_counts)
{
    struct bench *bench = bench_open("suite");

    bench_row(bench, "rate", "1/s", BENCH_HIGHER, 30, 10, "C xenstored");
    bench_row(bench, "time", "us", BENCH_LOWER, 10, 30, "libxenvchan");
    ck_assert_int_eq(bench_close(bench), 0);

    struct json_object *rows = json_object_from_file(path);

    ck_assert_uint_eq(json_object_array_length(rows), 2);
    ck_assert_double_eq(number(rows, 0, "ratio"), 3);
    ck_assert_double_eq(number(rows, 1, "ratio"), 3);
    ck_assert_str_eq(text(rows, 0, "case"), "rate");
    ck_assert_str_eq(text(rows, 0, "unit"), "1/s");
    ck_assert_str_eq(text(rows, 1, "peer_name"), "libxenvchan");
    json_object_put(rows);
}
END_TEST

START_TEST(sides_take_turns_and_medians_are_compared)
{
    const double fast[] = {10, 1000, 20};
    const double slow[] = {5, 4, 100};
    struct script a = {fast, 0}, b = {slow, 0};
    const struct bench_side sides[] = {{"ours", play, &a}, {"peer", play, &b}};
    struct bench *bench = bench_open("suite");

    ck_assert_int_eq(bench_compare(bench, "c", "1/s", BENCH_HIGHER, 3, sides, 2), 0);
    ck_assert_int_eq(bench_close(bench), 0);

    struct json_object *rows = json_object_from_file(path);

    ck_assert_double_eq(number(rows, 0, "ours"), 20);
    ck_assert_double_eq(number(rows, 0, "peer"), 5);
    ck_assert_double_eq(number(rows, 0, "ratio"), 4);
    json_object_put(rows);
}
END_TEST

START_TEST(every_further_side_gets_a_row_against_the_same_figure_of_ours)
{
    const double one[] = {6}, two[] = {3}, three[] = {2};
    struct script a = {one, 0}, b = {two, 0}, c = {three, 0};
    const struct bench_side sides[] = {{"ours", play, &a}, {"b", play, &b}, {"c", play, &c}};
    struct bench *bench = bench_open("suite");

    ck_assert_int_eq(bench_compare(bench, "c", "1/s", BENCH_HIGHER, 1, sides, 3), 0);
    ck_assert_int_eq(bench_close(bench), 0);

    struct json_object *rows = json_object_from_file(path);

    ck_assert_uint_eq(json_object_array_length(rows), 2);
    ck_assert_double_eq(number(rows, 0, "ratio"), 2);
    ck_assert_double_eq(number(rows, 1, "ratio"), 3);
    json_object_put(rows);
}
END_TEST

START_TEST(without_a_peer_the_row_has_nulls)
{
    const double one[] = {6};
    struct script a = {one, 0};
    const struct bench_side sides[] = {{"ours", play, &a}};
    struct bench *bench = bench_open("suite");

    ck_assert_int_eq(bench_compare(bench, "c", "bytes", BENCH_LOWER, 1, sides, 1), 0);
    ck_assert_int_eq(bench_close(bench), 0);

    struct json_object *rows = json_object_from_file(path);

    ck_assert_ptr_null(json_object_object_get(json_object_array_get_idx(rows, 0), "peer"));
    ck_assert_ptr_null(json_object_object_get(json_object_array_get_idx(rows, 0), "ratio"));
    json_object_put(rows);
}
END_TEST

START_TEST(a_comparison_with_nothing_has_no_ratio)
{
    struct bench *bench = bench_open("suite");

    bench_row(bench, "refused", "commits", BENCH_LOWER, 0, 96, "C xenstored");
    ck_assert_int_eq(bench_close(bench), 0);

    struct json_object *rows = json_object_from_file(path);

    ck_assert_ptr_nonnull(rows);
    ck_assert_ptr_null(json_object_object_get(json_object_array_get_idx(rows, 0), "ratio"));
    json_object_put(rows);
}
END_TEST

START_TEST(a_side_that_fails_leaves_no_row_and_fails_the_suite)
{
    const double good[] = {6}, bad[] = {-1};
    struct script a = {good, 0}, b = {bad, 0};
    const struct bench_side sides[] = {{"ours", play, &a}, {"peer", play, &b}};
    struct bench *bench = bench_open("suite");

    ck_assert_int_eq(bench_compare(bench, "c", "1/s", BENCH_HIGHER, 1, sides, 2), -1);
    ck_assert_int_ne(bench_close(bench), 0);

    struct json_object *rows = json_object_from_file(path);

    ck_assert_uint_eq(json_object_array_length(rows), 0);
    json_object_put(rows);
}
END_TEST

START_TEST(a_quick_run_measures_one_round)
{
    const double one[] = {6, -1}, two[] = {3, -1};
    struct script a = {one, 0}, b = {two, 0};
    const struct bench_side sides[] = {{"ours", play, &a}, {"peer", play, &b}};

    ck_assert_int_eq(setenv("XIDS_BENCH_QUICK", "1", 1), 0);

    struct bench *bench = bench_open("suite");

    ck_assert(bench_quick(bench));
    ck_assert_int_eq(bench_compare(bench, "c", "1/s", BENCH_HIGHER, 9, sides, 2), 0);
    ck_assert_int_eq(bench_close(bench), 0);
}
END_TEST

START_TEST(only_the_cases_asked_for_are_measured)
{
    const double one[] = {6};
    struct script asked = {one, 0}, other = {one, 0};
    const struct bench_side side = {"ours", play, &asked}, unasked = {"ours", play, &other};

    ck_assert_int_eq(setenv("XIDS_BENCH_ONLY", "read-all,write", 1), 0);

    struct bench *bench = bench_open("suite");

    ck_assert(!bench_wanted(bench, "read"));
    ck_assert(!bench_wanted(bench, "all"));
    ck_assert_int_eq(bench_compare(bench, "read", "1/s", BENCH_HIGHER, 1, &unasked, 1), 0);
    ck_assert_int_eq(bench_compare(bench, "write", "1/s", BENCH_HIGHER, 1, &side, 1), 0);
    bench_row(bench, "read", "1/s", BENCH_HIGHER, 1, 0, NULL);
    bench_row(bench, "read-all", "1/s", BENCH_HIGHER, 1, 0, NULL);
    ck_assert_int_eq(bench_close(bench), 0);
    ck_assert_uint_eq(other.next, 0);

    struct json_object *rows = json_object_from_file(path);

    ck_assert_uint_eq(json_object_array_length(rows), 2);
    ck_assert_str_eq(text(rows, 0, "case"), "write");
    ck_assert_str_eq(text(rows, 1, "case"), "read-all");
    json_object_put(rows);
}
END_TEST

START_TEST(a_case_that_does_not_exist_fails_the_suite)
{
    ck_assert_int_eq(setenv("XIDS_BENCH_ONLY", "no-such-case", 1), 0);
    ck_assert_int_ne(bench_close(bench_open("suite")), 0);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_fails_the_suite)
{
    ck_assert_int_eq(setenv("XIDS_BENCH_DIR", "/nonexistent", 1), 0);
    ck_assert_int_ne(bench_close(bench_open("suite")), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("bench");
    TCase *tc = tcase_create("figures");

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, median_of_an_odd_count_is_the_middle_value);
    tcase_add_test(tc, median_of_an_even_count_is_between_the_two_in_the_middle);
    tcase_add_test(tc, ratio_above_one_means_ours_is_better_whichever_way_the_unit_counts);
    tcase_add_test(tc, sides_take_turns_and_medians_are_compared);
    tcase_add_test(tc, every_further_side_gets_a_row_against_the_same_figure_of_ours);
    tcase_add_test(tc, without_a_peer_the_row_has_nulls);
    tcase_add_test(tc, a_comparison_with_nothing_has_no_ratio);
    tcase_add_test(tc, a_side_that_fails_leaves_no_row_and_fails_the_suite);
    tcase_add_test(tc, a_quick_run_measures_one_round);
    tcase_add_test(tc, only_the_cases_asked_for_are_measured);
    tcase_add_test(tc, a_case_that_does_not_exist_fails_the_suite);
    tcase_add_test(tc, a_file_that_cannot_be_written_fails_the_suite);
    suite_add_tcase(suite, tc);
    return suite;
}
