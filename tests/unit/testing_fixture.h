/* SPDX-License-Identifier: ISC */
/* A test store and what its suites ask of it. */
#ifndef XIDS_TESTS_UNIT_TESTING_FIXTURE_H
#define XIDS_TESTS_UNIT_TESTING_FIXTURE_H

#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/store-testing.h>

/* The stores of the three kinds, for loop tests over them. */
#define MODES 3

static inline struct xids_test_store *store_up(enum xids_test_store_mode mode, const char *tree)
{
    const struct xids_test_store_config config = {.mode = mode, .tree = tree};
    struct xids_test_store *s = NULL;
    ck_assert_int_eq(xids_test_store_new(&s, &config), 0);
    return s;
}

static inline struct xids_xs *open_as(struct xids_test_store *s, domid_t domid)
{
    struct xids_xs *xs = NULL;
    ck_assert_int_eq(xids_test_store_open(s, &xs, domid), 0);
    return xs;
}

static inline void put(struct xids_xs *xs, const char *path, const char *value)
{
    ck_assert_int_eq(xids_xs_write(xs, 0, path, value, strlen(value)), 0);
}

/* Whether a node has this value; NULL: whether it is missing. */
static inline bool has(struct xids_xs *xs, const char *path, const char *value)
{
    char *got = NULL;
    int rc = xids_xs_read(xs, &got, NULL, 0, path);
    bool yes = value == NULL ? rc == -XEN_ENOENT : rc == 0 && strcmp(got, value) == 0;
    free(got);
    return yes;
}

/* Frees what a call gave, after comparing it. */
#define EXPECT_TEXT(call, text, want) \
    do {                              \
        char *text = NULL;            \
        ck_assert_int_ge(call, 0);    \
        ck_assert_str_eq(text, want); \
        free(text);                   \
    } while (0)

#define EXPECT_LOG(s, want) EXPECT_TEXT(xids_test_store_log(s, &got_), got_, want)
#define EXPECT_DUMP(s, path, flags, want) EXPECT_TEXT(xids_test_store_dump(s, &got_, path, flags), got_, want)

#endif
