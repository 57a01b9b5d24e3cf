/* SPDX-License-Identifier: ISC */
/* A test store when memory runs out: each allocation fails in turn, and nothing breaks or is left. */
#include "tests/unit/testing_fixture.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The library is built with these in place of the C library's. */
void *failing_malloc(size_t size);
void *failing_calloc(size_t n, size_t size);
void *failing_realloc(void *mem, size_t size);
char *failing_strdup(const char *s);
void *failing_aligned_alloc(size_t align, size_t size);
void failing_free(void *mem);

static unsigned long calls, fail_at;
static long blocks;

static bool fails(void)
{
    return ++calls == fail_at;
}

static void *counted(void *mem)
{
    if (mem == NULL)
        abort();
    blocks++;
    return mem;
}

void *failing_malloc(size_t size)
{
    return fails() ? NULL : counted(malloc(size));
}

void *failing_calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(calloc(n, size));
}

void *failing_realloc(void *mem, size_t size)
{
    if (fails())
        return NULL;
    if (mem != NULL)
        blocks--;
    return counted(realloc(mem, size));
}

char *failing_strdup(const char *s)
{
    return fails() ? NULL : counted(strdup(s));
}

void *failing_aligned_alloc(size_t align, size_t size)
{
    return fails() ? NULL : counted(aligned_alloc(align, size));
}

void failing_free(void *mem)
{
    if (mem != NULL)
        blocks--;
    free(mem);
}

/* A request of a client that does not mind losing its connection. */
static void say(int fd, uint32_t type, const char *payload, size_t len)
{
    uint8_t out[256];
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(out, sizeof(out), type, 1, 0, &part, 1);
    ck_assert_int_gt(n, 0);
    (void)!send(fd, out, (size_t)n, MSG_NOSIGNAL);
}

#define TRY(call)       \
    do {                \
        int rc_ = call; \
        if (rc_ < 0)    \
            return rc_; \
    } while (0)

#define TRY_TEXT(call, text) \
    do {                     \
        char *text = NULL;   \
        int rc_ = call;      \
        failing_free(text);  \
        if (rc_ < 0)         \
            return rc_;      \
    } while (0)

static int use(struct xids_test_store *s)
{
    int fd = -1;
    TRY(xids_test_store_introduce(s, 5, true));
    TRY(xids_test_store_connect(s, &fd, 5));
    const struct xids_test_store_fault delay = {.type = XS_MKDIR, .path = "/none", .action = XIDS_TEST_STORE_DELAY};
    int rc = xids_test_store_fault(s, &delay);
    say(fd, XS_WATCH, "data\0t", 7);
    say(fd, XS_WRITE, "data/x\0001", 8);
    say(fd, XS_MKDIR, "/none", 6);
    if (rc >= 0)
        rc = xids_test_store_run(s, 0);
    (void)close(fd);
    if (rc < 0)
        return rc;
    TRY(xids_test_store_settle(s));
    TRY(xids_test_store_load(s, NULL, "/t/a = \"1\" (n0,r5)\n/t/b = \"\"\n"));
    TRY_TEXT(xids_test_store_dump(s, &text, NULL, 0), text);
    TRY_TEXT(xids_test_store_compare(s, &text, "/t", XIDS_TEST_STORE_BY_AGE, "/t = \"\"\n/t/b = \"\"\n"), text);
    TRY_TEXT(xids_test_store_log(s, &text), text);
    TRY_TEXT(xids_test_store_watches(s, &text), text);
    TRY_TEXT(xids_test_store_leaks(s, &text, "/t = *\n"), text);
    TRY(xids_test_store_destroy(s, 5));
    return 0;
}

static int scenario(const char *directory)
{
    const struct xids_test_store_config config = {
        .mode = XIDS_TEST_STORE_MANUAL, .tree = "/from/the = \"start\"\n", .directory = directory};
    struct xids_test_store *s = NULL;
    TRY(xids_test_store_new(&s, &config));
    int rc = use(s);
    xids_test_store_free(s);
    return rc;
}

START_TEST(whichever_allocation_fails_is_an_error_and_nothing_more)
{
    char folder[] = "/tmp/xids-memory-XXXXXX", named[64];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(setenv("TMPDIR", folder, 1), 0);
    (void)snprintf(named, sizeof(named), "%s/named", folder);
    const char *directory = _i == 0 ? NULL : named;
    unsigned int errors = 0;
    int rc = -1;
    fail_at = 0;
    do {
        calls = 0;
        fail_at++;
        rc = scenario(directory);
        ck_assert_msg(blocks == 0, "allocation %lu failed: %ld blocks left", fail_at, blocks);
        ck_assert_msg(rc == 0 || rc == -XEN_ENOMEM, "allocation %lu failed: %d", fail_at, rc);
        errors += rc < 0;
    } while (calls >= fail_at);
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(errors, 100);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("testing_memory");
    TCase *t = tcase_create("memory");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, whichever_allocation_fails_is_an_error_and_nothing_more, 0, 2);
    suite_add_tcase(suite, t);
    return suite;
}
