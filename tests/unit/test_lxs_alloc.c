/* SPDX-License-Identifier: ISC */
/* Our libxenstore.so.4 when memory runs out: each allocation of a thread that uses all of it fails in turn. */
#include "tests/unit/lxs_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Allocations of this thread until the one that fails; the store's thread has its own. */
static _Thread_local int left = -1;

static bool fails_now(void)
{
    if (left < 0 || left-- > 0)
        return false;
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *mem, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *mem, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *mem, size_t size)
{
    return fails_now() ? NULL : __real_realloc(mem, size);
}

#define CHILDREN 400

static void setup(void)
{
    char path[64];
    world_serve();
    struct xs_handle *h = xs_open(0);
    for (int i = 0; i < CHILDREN; i++) {
        snprintf(path, sizeof(path), "/dir/a-child-with-a-name-%d", i);
        ck_assert(xs_mkdir(h, XBT_NULL, path));
    }
    xs_close(h);
}

/* Check's own macros allocate. */
static void must(bool good)
{
    if (!good)
        abort();
}

/* Whether the call worked; if it did not, for want of memory, or because an event was lost for that before. */
static bool worked(bool good)
{
    if (!good)
        must(errno == ENOMEM || errno == EBADF || errno == EINVAL);
    return good;
}

static void use_watches(struct xs_handle *h)
{
    unsigned int num = 0;
    (void)xs_fileno(h);
    if (worked(xs_watch(h, "/w", "t"))) {
        char **event = xs_read_watch(h, &num);
        if (worked(event != NULL)) {
            must(num == 2);
            must(strcmp(event[XS_WATCH_PATH], "/w") == 0);
        }
        free(event);
        /* An event that nobody fetches. */
        (void)worked(xs_write(h, XBT_NULL, "/w", "1", 1));
    }
}

static void use_all(void)
{
    struct xs_permissions perm = {0, XS_PERM_READ};
    unsigned int num = 0;
    struct xs_handle *h = xs_open(XS_UNWATCH_FILTER);
    if (h == NULL) {
        must(errno == ENOMEM);
        return;
    }
    use_watches(h);
    bool written = worked(xs_write(h, XBT_NULL, "/a", "1", 1));
    char *value = xs_read(h, XBT_NULL, "/a", &num);
    if (worked(value != NULL || (!written && errno == ENOENT)) && value != NULL)
        must(strcmp(value, "1") == 0);
    free(value);
    char **names = xs_directory(h, XBT_NULL, "/dir", &num);
    if (worked(names != NULL))
        must(num == CHILDREN);
    free(names);
    names = xs_directory(h, XBT_NULL, "/tool", &num);
    (void)worked(names != NULL);
    free(names);
    (void)worked(xs_set_permissions(h, XBT_NULL, "/dir", &perm, 1));
    struct xs_permissions *perms = xs_get_permissions(h, XBT_NULL, "/dir", &num);
    if (worked(perms != NULL))
        must(num == 1);
    free(perms);
    const char **quotas = xs_get_quota_names(h, &num);
    (void)worked(quotas != NULL);
    free(quotas);
    (void)worked(xs_get_features_supported(h, &num));
    (void)worked(xs_unwatch(h, "/w", "t") || errno == ENOENT);
    xs_close(h);
}

START_TEST(whatever_allocation_fails_nothing_else_breaks)
{
    int i = 0;
    do {
        left = i++;
        use_all();
    } while (left < 0);
    left = -1;
    /* There were some to fail. */
    ck_assert_int_gt(i, 20);
    use_all();
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("libxenstore_alloc");
    TCase *memory = tcase_create("memory");
    tcase_add_checked_fixture(memory, setup, world_end);
    tcase_add_test(memory, whatever_allocation_fails_nothing_else_breaks);
    suite_add_tcase(s, memory);
    return s;
}
