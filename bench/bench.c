/* SPDX-License-Identifier: ISC */
#include "bench/bench.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROUNDS 99u

struct bench {
    char *name;
    struct json_object *rows;
    const char *only; /* or NULL: all cases */
    bool quick;
    bool failed;
};

struct bench *bench_open(const char *name)
{
    struct bench *bench = calloc(1, sizeof(*bench));

    if (!bench) {
        return NULL;
    }
    bench->name = strdup(name);
    bench->rows = json_object_new_array();
    bench->quick = getenv("XIDS_BENCH_QUICK") != NULL;
    bench->only = getenv("XIDS_BENCH_ONLY");
    if (!bench->name || !bench->rows) {
        free(bench->name);
        free(bench);
        return NULL;
    }
    return bench;
}

bool bench_quick(const struct bench *bench)
{
    return bench->quick;
}

bool bench_wanted(const struct bench *bench, const char *case_name)
{
    size_t len = strlen(case_name);
    const char *at = bench->only;

    while (at && (strncmp(at, case_name, len) != 0 || (at[len] != ',' && at[len] != '\0'))) {
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return !bench->only || at;
}

uint64_t bench_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double *left = a;
    const double *right = b;

    return (*left > *right) - (*left < *right);
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_value);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double ratio_of(enum bench_better better, double ours, double peer)
{
    return better == BENCH_HIGHER ? ours / peer : peer / ours;
}

void bench_row(struct bench *bench, const char *case_name, const char *unit, enum bench_better better, double ours,
               double peer, const char *peer_name)
{
    double ratio = peer_name ? ratio_of(better, ours, peer) : (double)NAN;

    if (!bench_wanted(bench, case_name)) {
        return;
    }
    struct json_object *row = json_object_new_object();

    /* JSON has no infinity: a comparison with nothing has no ratio. */
    json_object_object_add(row, "case", json_object_new_string(case_name));
    json_object_object_add(row, "unit", json_object_new_string(unit));
    json_object_object_add(row, "ours", json_object_new_double(ours));
    json_object_object_add(row, "peer", peer_name ? json_object_new_double(peer) : NULL);
    json_object_object_add(row, "peer_name", peer_name ? json_object_new_string(peer_name) : NULL);
    json_object_object_add(row, "ratio", isfinite(ratio) ? json_object_new_double(ratio) : NULL);
    json_object_array_add(bench->rows, row);
}

int bench_compare(struct bench *bench, const char *case_name, const char *unit, enum bench_better better,
                  unsigned int rounds, const struct bench_side *sides, size_t n_sides)
{
    double *values = NULL;
    double ours;
    int rc = -1;

    if (!bench_wanted(bench, case_name)) {
        return 0;
    }
    if (bench->quick) {
        rounds = 1;
    }
    if (n_sides == 0 || rounds == 0 || rounds > MAX_ROUNDS) {
        goto out;
    }
    values = calloc(n_sides * rounds, sizeof(*values));
    if (!values) {
        goto out;
    }
    for (unsigned int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < n_sides; i++) {
            double value = sides[i].run(sides[i].ctx);

            if (!(value >= 0)) {
                (void)fprintf(stderr, "bench %s: %s: %s failed\n", bench->name, case_name,
                              i == 0 ? "ours" : sides[i].name);
                goto out;
            }
            values[i * rounds + round] = value;
        }
    }
    ours = bench_median(values, rounds);
    if (n_sides == 1) {
        bench_row(bench, case_name, unit, better, ours, 0, NULL);
    }
    for (size_t i = 1; i < n_sides; i++) {
        bench_row(bench, case_name, unit, better, ours, bench_median(values + i * rounds, rounds), sides[i].name);
    }
    rc = 0;
out:
    free(values);
    if (rc != 0) {
        bench->failed = true;
    }
    return rc;
}

static const char *text_of(struct json_object *row, const char *key)
{
    struct json_object *value = json_object_object_get(row, key);

    return value ? json_object_get_string(value) : "-";
}

static void print_number(struct json_object *row, const char *key, int width, const char *suffix)
{
    struct json_object *value = json_object_object_get(row, key);

    if (value) {
        double number = json_object_get_double(value);
        (void)printf(" %*.*f%s", width, suffix[0] ? 2 : number < 10 ? 3 : 1, number, suffix);
    } else {
        (void)printf(" %*s%s", width, "-", suffix[0] ? " " : "");
    }
}

static void print_table(const struct bench *bench)
{
    (void)printf("%s%s\n", bench->name, bench->quick ? " (quick run: the figures mean nothing)" : "");
    (void)printf("  %-28s %-10s %14s %14s %9s  %s\n", "case", "unit", "ours", "peer", "ratio", "peer's name");
    for (size_t i = 0; i < json_object_array_length(bench->rows); i++) {
        struct json_object *row = json_object_array_get_idx(bench->rows, i);

        (void)printf("  %-28s %-10s", text_of(row, "case"), text_of(row, "unit"));
        print_number(row, "ours", 14, "");
        print_number(row, "peer", 14, "");
        print_number(row, "ratio", 8, "x");
        (void)printf("  %s\n", text_of(row, "peer_name"));
    }
}

static int write_file(const struct bench *bench)
{
    const char *dir = getenv("XIDS_BENCH_DIR");
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/%s.json", dir ? dir : "bench", bench->name);

    if (len < 0 || (size_t)len >= sizeof(path) ||
        json_object_to_file_ext(path, bench->rows, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED) != 0) {
        (void)fprintf(stderr, "bench %s: cannot write %s\n", bench->name, path);
        return -1;
    }
    (void)printf("  written: %s\n", path);
    return 0;
}

int bench_close(struct bench *bench)
{
    print_table(bench);

    bool failed = write_file(bench) != 0 || bench->failed;
    if (bench->only && json_object_array_length(bench->rows) == 0) {
        (void)fprintf(stderr, "bench %s: nothing is called %s\n", bench->name, bench->only);
        failed = true;
    }

    json_object_put(bench->rows);
    free(bench->name);
    free(bench);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
