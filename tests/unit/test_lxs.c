/* SPDX-License-Identifier: ISC */
/* Our libxenstore.so.4 against our own server's engine: threads on one handle, watches, what xs_fileno gives, forks. */
#include "tests/unit/lxs_world.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xentoolcore.h>

#define THREADS 4
#define ROUNDS 250u

static struct xs_handle *h, *other;

static void setup(void)
{
    world_serve();
    h = xs_open(0);
    other = xs_open(0);
    ck_assert_ptr_nonnull(h);
    ck_assert_ptr_nonnull(other);
}

static void teardown(void)
{
    xs_close(h);
    xs_close(other);
    world_end();
}

static void check_value(struct xs_handle *from, const char *path, const char *value)
{
    unsigned int len;
    char *got = xs_read(from, XBT_NULL, path, &len);
    ck_assert_ptr_nonnull(got);
    ck_assert_str_eq(got, value);
    ck_assert_uint_eq(len, strlen(value));
    free(got);
}

/* An event, which must be this one. */
static void expect_event(struct xs_handle *from, const char *path, const char *token)
{
    unsigned int num = 0;
    char **event = xs_read_watch(from, &num);
    ck_assert_ptr_nonnull(event);
    ck_assert_uint_eq(num, 2);
    ck_assert_str_eq(event[XS_WATCH_PATH], path);
    ck_assert_str_eq(event[XS_WATCH_TOKEN], token);
    free(event);
}

static void expect_none(struct xs_handle *from)
{
    errno = 0;
    ck_assert_ptr_null(xs_check_watch(from));
    ck_assert_int_eq(errno, EAGAIN);
}

/* ---- the tree ---- */

START_TEST(values_are_written_and_read)
{
    static const char value[] = "with\0a nul";
    unsigned int len;
    ck_assert(xs_write(h, XBT_NULL, "/a/b", value, sizeof(value)));
    char *got = xs_read(other, XBT_NULL, "/a/b", &len);
    ck_assert_uint_eq(len, sizeof(value));
    ck_assert_mem_eq(got, value, len);
    free(got);
    ck_assert(xs_write(h, XBT_NULL, "/empty", NULL, 0));
    check_value(other, "/empty", "");
    ck_assert(xs_rm(h, XBT_NULL, "/a"));
    ck_assert_ptr_null(xs_read(h, XBT_NULL, "/a/b", NULL));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(success_clears_errno)
{
    errno = EAGAIN;
    ck_assert(xs_mkdir(h, XBT_NULL, "/a"));
    ck_assert_int_eq(errno, 0);
}
END_TEST

START_TEST(more_than_a_message_holds_is_refused_here)
{
    static char big[XENSTORE_PAYLOAD_MAX];
    memset(big, 'x', sizeof(big));
    ck_assert(!xs_write(h, XBT_NULL, "/a", big, sizeof(big)));
    ck_assert_int_eq(errno, E2BIG);
    ck_assert(xs_write(h, XBT_NULL, "/a", big, sizeof(big) - 3));
    ck_assert(!xs_write(h, XBT_NULL, "/a", big, UINT32_MAX));
    ck_assert_int_eq(errno, E2BIG);
}
END_TEST

START_TEST(directories_of_any_size_are_listed)
{
    static const unsigned int sizes[] = {0, 3, 3000};
    unsigned int num = 9;
    char path[64];
    ck_assert(xs_mkdir(h, XBT_NULL, "/dir"));
    for (unsigned int i = 0; i < sizes[_i]; i++) {
        snprintf(path, sizeof(path), "/dir/child-%u", i);
        ck_assert(xs_mkdir(h, XBT_NULL, path));
    }
    char **names = xs_directory(h, XBT_NULL, "/dir", &num);
    ck_assert_ptr_nonnull(names);
    ck_assert_int_eq(errno, 0);
    ck_assert_uint_eq(num, sizes[_i]);
    for (unsigned int i = 0; i < num; i++) {
        snprintf(path, sizeof(path), "child-%u", i);
        ck_assert_str_eq(names[i], path);
    }
    free(names);
    ck_assert_ptr_null(xs_directory(h, XBT_NULL, "/nowhere", &num));
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(permissions_are_set_and_got)
{
    struct xs_permissions perms[] = {
        {0, XS_PERM_NONE}, {5, XS_PERM_READ}, {6, XS_PERM_WRITE | XS_PERM_READ}, {7, XS_PERM_WRITE}};
    unsigned int num;
    ck_assert(xs_mkdir(h, XBT_NULL, "/p"));
    ck_assert(xs_set_permissions(h, XBT_NULL, "/p", perms, 4));
    struct xs_permissions *got = xs_get_permissions(h, XBT_NULL, "/p", &num);
    ck_assert_ptr_nonnull(got);
    ck_assert_uint_eq(num, 4);
    for (unsigned int i = 0; i < num; i++) {
        ck_assert_uint_eq(got[i].id, perms[i].id);
        ck_assert_uint_eq(got[i].perms, perms[i].perms);
    }
    free(got);
    perms[1].perms = 64;
    ck_assert(!xs_set_permissions(h, XBT_NULL, "/p", perms, 4));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(permissions_are_read_from_strings)
{
    struct xs_permissions perms[2];
    ck_assert(xs_strings_to_perms(perms, 2, "n1\0b0x10"));
    ck_assert_uint_eq(perms[0].id, 1);
    ck_assert_uint_eq(perms[0].perms, XS_PERM_NONE);
    ck_assert_uint_eq(perms[1].id, 16);
    ck_assert_uint_eq(perms[1].perms, XS_PERM_READ | XS_PERM_WRITE);
    ck_assert(!xs_strings_to_perms(perms, 1, "x1"));
    ck_assert(!xs_strings_to_perms(perms, 1, "r"));
    ck_assert(!xs_strings_to_perms(perms, 1, ""));
    ck_assert(!xs_strings_to_perms(perms, 1, "r1x"));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(a_path_is_its_own_subpath_and_of_those_above)
{
    ck_assert(xs_path_is_subpath("/a", "/a"));
    ck_assert(xs_path_is_subpath("/a", "/a/b"));
    ck_assert(!xs_path_is_subpath("/a", "/ab"));
    ck_assert(!xs_path_is_subpath("/a/b", "/a"));
    ck_assert(!xs_path_is_subpath("/a", "a"));
}
END_TEST

START_TEST(a_conflict_is_EAGAIN)
{
    xs_transaction_t t = xs_transaction_start(h);
    ck_assert_uint_ne(t, XBT_NULL);
    free(xs_read(h, t, "/n", NULL));
    ck_assert(xs_write(other, XBT_NULL, "/n", "1", 1));
    ck_assert(xs_write(h, t, "/n", "2", 1));
    ck_assert(!xs_transaction_end(h, t, false));
    ck_assert_int_eq(errno, EAGAIN);
    t = xs_transaction_start(h);
    ck_assert(xs_write(h, t, "/n", "3", 1));
    check_value(h, "/n", "1");
    ck_assert(xs_transaction_end(h, t, false));
    check_value(other, "/n", "3");
    t = xs_transaction_start(h);
    ck_assert(xs_rm(h, t, "/n"));
    ck_assert(xs_transaction_end(h, t, true));
    check_value(other, "/n", "3");
}
END_TEST

START_TEST(domains_are_asked_after)
{
    char *path = xs_get_domain_path(h, 7);
    ck_assert_str_eq(path, "/local/domain/7");
    free(path);
    ck_assert(!xs_is_domain_introduced(h, 7));
    char *answer = xs_control_command(h, "check", NULL, 0);
    ck_assert_str_eq(answer, "OK");
    free(answer);
    ck_assert(xs_write(h, XBT_NULL, "/local/domain/7/device/suspend/event-channel", "12", 2));
    ck_assert_int_eq(xs_suspend_evtchn_port(7), 12);
    ck_assert_int_eq(xs_suspend_evtchn_port(8), -1);
}
END_TEST

START_TEST(features_and_quotas_are_asked_after)
{
    unsigned int value = 0, num = 0;
    ck_assert(xs_get_features_supported(h, &value));
    ck_assert_uint_ne(value & XIDS_XS_FEATURE_WATCHDEPTH, 0);
    const char **names = xs_get_quota_names(h, &num);
    ck_assert_ptr_nonnull(names);
    ck_assert_uint_ge(num, 1);
    for (unsigned int i = 0; i < num; i++)
        ck_assert(xs_get_global_quota(h, names[i], &value));
    ck_assert(xs_set_global_quota(h, names[0], 77));
    ck_assert(xs_get_global_quota(h, names[0], &value));
    ck_assert_uint_eq(value, 77);
    ck_assert(!xs_get_global_quota(h, "nonsense", &value));
    ck_assert_int_eq(errno, EINVAL);
    free(names);
}
END_TEST

/* ---- watches ---- */

START_TEST(a_watch_with_a_depth_sees_no_deeper)
{
    ck_assert(xs_watch_depth(h, "/w", "t", 1));
    ck_assert(xs_watch_try_depth(h, "/w", "u", 0));
    expect_event(h, "/w", "t");
    expect_event(h, "/w", "u");
    ck_assert(xs_write(other, XBT_NULL, "/w/x/y", "1", 1));
    ck_assert(xs_write(other, XBT_NULL, "/w/x", "1", 1));
    check_value(h, "/w/x", "1");
    expect_event(h, "/w/x", "t");
    expect_none(h);
}
END_TEST

START_TEST(events_carry_path_and_token)
{
    ck_assert(xs_watch(h, "/w", "token with spaces"));
    expect_event(h, "/w", "token with spaces");
    ck_assert(xs_write(other, XBT_NULL, "/w/x", "1", 1));
    expect_event(h, "/w/x", "token with spaces");
    ck_assert(!xs_watch(h, "/w", "token with spaces"));
    ck_assert_int_eq(errno, EEXIST);
    ck_assert(xs_unwatch(h, "/w", "token with spaces"));
    ck_assert(!xs_unwatch(h, "/w", "token with spaces"));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(xs_write(other, XBT_NULL, "/w/x", "2", 1));
    check_value(h, "/w/x", "2");
    expect_none(h);
}
END_TEST

START_TEST(the_descriptor_is_readable_while_an_event_waits)
{
    int fd = xs_fileno(h);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(xs_fileno(h), fd);
    ck_assert(!world_readable(fd, 0));
    ck_assert(xs_watch(h, "/w", "t"));
    ck_assert(world_readable(fd, 10000));
    expect_event(h, "/w", "t");
    expect_none(h);
    ck_assert(!world_readable(fd, 0));
    ck_assert(xs_write(other, XBT_NULL, "/w", "1", 1));
    ck_assert(world_readable(fd, 10000));
    expect_event(h, "/w", "t");
    expect_none(h);
    /* An event that comes with an answer is read with it, and waits none the less. */
    ck_assert(xs_write(h, XBT_NULL, "/w", "2", 1));
    check_value(h, "/w", "2");
    ck_assert(world_readable(fd, 0));
    expect_event(h, "/w", "t");
    expect_none(h);
    ck_assert(!world_readable(fd, 0));
}
END_TEST

START_TEST(events_that_came_before_the_descriptor_was_asked_for_show_on_it)
{
    ck_assert(xs_watch(h, "/w", "t"));
    check_value(h, "/tool", "");
    ck_assert(world_readable(xs_fileno(h), 10000));
    expect_event(h, "/w", "t");
    expect_none(h);
    ck_assert(!world_readable(xs_fileno(h), 0));
}
END_TEST

/* One more than are kept: each has a path of its own. The handle reads now and then, and fetches no event. */
static void make_too_many_events(void)
{
    char path[32];
    for (unsigned int i = 0; i < LXS_EVENTS_MAX + 100; i++) {
        snprintf(path, sizeof(path), "/w/%u", i);
        ck_assert(xs_mkdir(other, XBT_NULL, path));
        if (i % 50 == 0)
            check_value(h, "/tool", "");
    }
    check_value(h, "/tool", "");
}

START_TEST(too_many_events_become_one_for_each_watch)
{
    char path[32];
    ck_assert(xs_watch(h, "/w", "t"));
    ck_assert(xs_watch(h, "/", "all"));
    expect_event(h, "/w", "t");
    expect_event(h, "/", "all");
    make_too_many_events();
    for (unsigned int i = 0; i < LXS_EVENTS_MAX; i++) {
        char **event = xs_check_watch(h);
        ck_assert_ptr_nonnull(event);
        snprintf(path, sizeof(path), "/w/%u", i / 2);
        ck_assert_str_eq(event[XS_WATCH_PATH], path);
        free(event);
    }
    /* Which of the two comes first is the store's affair. */
    char **event = xs_check_watch(h);
    ck_assert_ptr_nonnull(event);
    bool all = strcmp(event[XS_WATCH_TOKEN], "all") == 0;
    ck_assert_str_eq(event[XS_WATCH_PATH], all ? "/" : "/w");
    free(event);
    expect_event(h, all ? "/w" : "/", all ? "t" : "all");
    expect_none(h);
    /* And then as before. */
    ck_assert(xs_unwatch(h, "/", "all"));
    ck_assert(xs_write(other, XBT_NULL, "/w/x", "1", 1));
    check_value(h, "/w/x", "1");
    expect_event(h, "/w/x", "t");
    expect_none(h);
}
END_TEST

START_TEST(a_watch_may_end_while_too_many_events_wait)
{
    ck_assert(xs_watch(h, "/w", "t"));
    make_too_many_events();
    ck_assert(xs_unwatch(h, "/w", "t"));
    unsigned int n = 0;
    for (char **event; (event = xs_check_watch(h)) != NULL; n++)
        free(event);
    ck_assert_uint_eq(n, LXS_EVENTS_MAX + 1);
}
END_TEST

START_TEST(unwatch_drops_waiting_events_if_so_opened)
{
    struct xs_handle *with = _i == 0 ? h : xs_open(XS_UNWATCH_FILTER);
    ck_assert(xs_watch(with, "/w", "t"));
    ck_assert(xs_watch(with, "/w/x", "u"));
    expect_event(with, "/w", "t");
    expect_event(with, "/w/x", "u");
    ck_assert(xs_write(other, XBT_NULL, "/w/x", "1", 1));
    check_value(with, "/w/x", "1");
    ck_assert(xs_unwatch(with, "/w", "t"));
    if (_i == 0)
        expect_event(with, "/w/x", "t");
    expect_event(with, "/w/x", "u");
    expect_none(with);
    ck_assert(!world_readable(xs_fileno(with), 0));
    if (_i != 0)
        xs_close(with);
}
END_TEST

/* ---- threads ---- */

static atomic_bool finished;
static atomic_uint seen;

static void *write_and_read(void *arg)
{
    char path[32], value[32];
    snprintf(path, sizeof(path), "/thread/%u", *(unsigned int *)arg);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        snprintf(value, sizeof(value), "%u", i);
        ck_assert(xs_write(h, XBT_NULL, path, value, (unsigned int)strlen(value)));
        check_value(h, path, value);
    }
    return NULL;
}

/* Until the event that says that all is done. */
static void *watch_all(void *arg)
{
    unsigned int num;
    (void)arg;
    for (bool last = false; !last; atomic_fetch_add(&seen, 1)) {
        char **event = xs_read_watch(h, &num);
        ck_assert_ptr_nonnull(event);
        last = strcmp(event[XS_WATCH_TOKEN], "end") == 0;
        free(event);
    }
    return NULL;
}

static void *poll_and_check(void *arg)
{
    (void)arg;
    while (!atomic_load(&finished)) {
        if (world_readable(xs_fileno(h), 1)) {
            char **event;
            while ((event = xs_check_watch(h)) != NULL) {
                atomic_fetch_add(&seen, 1);
                free(event);
            }
            ck_assert_int_eq(errno, EAGAIN);
        }
    }
    return NULL;
}

static void run_writers(void)
{
    pthread_t threads[THREADS];
    unsigned int ids[THREADS];
    for (unsigned int i = 0; i < THREADS; i++) {
        ids[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_and_read, &ids[i]), 0);
    }
    for (unsigned int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

START_TEST(threads_write_and_read_over_one_handle)
{
    run_writers();
}
END_TEST

START_TEST(threads_write_while_one_waits_for_events)
{
    pthread_t watcher;
    ck_assert(xs_watch(h, "/thread", "t"));
    ck_assert_int_eq(pthread_create(&watcher, NULL, watch_all, NULL), 0);
    run_writers();
    ck_assert(xs_watch(h, "/end", "end"));
    pthread_join(watcher, NULL);
    /* Of events that say the same the store may keep one; each path's last write is told. */
    ck_assert_uint_ge(atomic_load(&seen), THREADS + 2);
}
END_TEST

START_TEST(threads_write_while_one_polls_for_events)
{
    pthread_t watcher;
    ck_assert(xs_watch(h, "/thread", "t"));
    ck_assert_int_eq(pthread_create(&watcher, NULL, poll_and_check, NULL), 0);
    run_writers();
    atomic_store(&finished, true);
    pthread_join(watcher, NULL);
    /* What the store's last answers brought with them may still be there. */
    ck_assert_uint_ge(atomic_load(&seen), 1);
}
END_TEST

static void *read_much(void *arg)
{
    (void)arg;
    for (unsigned int i = 0; i < 4 * ROUNDS; i++)
        check_value(h, "/tool", "");
    atomic_store(&finished, true);
    return NULL;
}

START_TEST(an_answer_for_another_thread_is_no_event)
{
    pthread_t reader;
    int fd = xs_fileno(h);
    ck_assert_int_eq(pthread_create(&reader, NULL, read_much, NULL), 0);
    while (!atomic_load(&finished))
        ck_assert(!world_readable(fd, 0));
    pthread_join(reader, NULL);
}
END_TEST

static void *wait_for_one(void *arg)
{
    unsigned int num;
    (void)arg;
    char **event = xs_read_watch(h, &num);
    ck_assert_ptr_nonnull(event);
    free(event);
    atomic_fetch_add(&seen, 1);
    return NULL;
}

START_TEST(each_of_several_waiting_threads_gets_an_event)
{
    pthread_t threads[THREADS];
    char token[16];
    for (unsigned int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_one, NULL), 0);
    for (unsigned int i = 0; i < THREADS; i++) {
        snprintf(token, sizeof(token), "%u", i);
        ck_assert(xs_watch(h, "/w", token));
    }
    for (unsigned int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&seen), THREADS);
    expect_none(h);
}
END_TEST

START_TEST(a_waiting_thread_can_be_cancelled)
{
    pthread_t threads[2];
    void *result;
    ck_assert_int_eq(pthread_create(&threads[0], NULL, wait_for_one, NULL), 0);
    ck_assert_int_eq(pthread_create(&threads[1], NULL, wait_for_one, NULL), 0);
    /* One of them reads, in all likelihood, and answers this for us. */
    check_value(h, "/tool", "");
    pthread_cancel(threads[_i]);
    pthread_join(threads[_i], &result);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    check_value(h, "/tool", "");
    ck_assert(xs_watch(h, "/w", "t"));
    pthread_join(threads[1 - _i], NULL);
    ck_assert_uint_eq(atomic_load(&seen), 1);
    check_value(h, "/tool", "");
}
END_TEST

/* ---- giving up rights ---- */

START_TEST(a_program_that_restricts_itself_has_no_store_any_more)
{
    ck_assert(xs_watch(h, "/w", "t"));
    expect_event(h, "/w", "t");
    int fd = xs_fileno(h);
    ck_assert_int_eq(xentoolcore_restrict_all(7), 0);
    ck_assert_ptr_null(xs_read(h, XBT_NULL, "/tool", NULL));
    ck_assert_int_eq(errno, EBADF);
    ck_assert(!xs_write(other, XBT_NULL, "/w", "1", 1));
    ck_assert(world_readable(fd, 10000));
    ck_assert_ptr_null(xs_check_watch(h));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert(!world_readable(fd, 0));
    /* A closed handle is none to restrict. */
    xs_close(h);
    ck_assert_int_eq(xentoolcore_restrict_all(7), 0);
    h = NULL;
}
END_TEST

/* ---- forks ---- */

/* The child's exit status, which is 0 when it did all it should. */
static int child_status(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

START_TEST(a_child_throws_the_handle_away_and_the_parent_goes_on)
{
    pthread_t watcher;
    int fd = xs_fileno(h);
    ck_assert(xs_watch(h, "/w", "t"));
    expect_event(h, "/w", "t");
    /* Somebody waits in the library at the moment of the fork. */
    ck_assert_int_eq(pthread_create(&watcher, NULL, wait_for_one, NULL), 0);
    check_value(h, "/tool", "");
    pid_t pid = fork();
    if (pid == 0) {
        xs_daemon_destroy_postfork(h);
        struct xs_handle *own = xs_open(0);
        bool good = own != NULL && xs_write(own, XBT_NULL, "/w", "child", 5);
        xs_close(own);
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(child_status(pid), 0);
    pthread_join(watcher, NULL);
    check_value(h, "/w", "child");
    ck_assert(xs_write(other, XBT_NULL, "/w", "2", 1));
    ck_assert(world_readable(fd, 10000));
    expect_event(h, "/w", "t");
}
END_TEST

START_TEST(a_program_that_becomes_a_daemon_keeps_its_handle)
{
    ck_assert(xs_watch(h, "/w", "t"));
    expect_event(h, "/w", "t");
    int fd = xs_fileno(h);
    pid_t pid = fork();
    if (pid == 0) {
        unsigned int num;
        bool good = xs_write(h, XBT_NULL, "/w", "1", 1) && world_readable(fd, 10000);
        char **event = good ? xs_read_watch(h, &num) : NULL;
        good = event != NULL && strcmp(event[XS_WATCH_TOKEN], "t") == 0;
        free(event);
        xs_close(h);
        _exit(good ? 0 : 1);
    }
    ck_assert_int_eq(child_status(pid), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("libxenstore");
    TCase *tree = tcase_create("tree");
    tcase_add_checked_fixture(tree, setup, teardown);
    tcase_add_test(tree, values_are_written_and_read);
    tcase_add_test(tree, success_clears_errno);
    tcase_add_test(tree, more_than_a_message_holds_is_refused_here);
    tcase_add_loop_test(tree, directories_of_any_size_are_listed, 0, 3);
    tcase_add_test(tree, permissions_are_set_and_got);
    tcase_add_test(tree, permissions_are_read_from_strings);
    tcase_add_test(tree, a_path_is_its_own_subpath_and_of_those_above);
    tcase_add_test(tree, a_conflict_is_EAGAIN);
    tcase_add_test(tree, domains_are_asked_after);
    tcase_add_test(tree, features_and_quotas_are_asked_after);
    suite_add_tcase(s, tree);
    TCase *watches = tcase_create("watches");
    tcase_add_checked_fixture(watches, setup, teardown);
    tcase_add_test(watches, a_watch_with_a_depth_sees_no_deeper);
    tcase_add_test(watches, events_carry_path_and_token);
    tcase_add_test(watches, the_descriptor_is_readable_while_an_event_waits);
    tcase_add_test(watches, events_that_came_before_the_descriptor_was_asked_for_show_on_it);
    tcase_add_test(watches, too_many_events_become_one_for_each_watch);
    tcase_add_test(watches, a_watch_may_end_while_too_many_events_wait);
    tcase_add_loop_test(watches, unwatch_drops_waiting_events_if_so_opened, 0, 2);
    suite_add_tcase(s, watches);
    TCase *threads = tcase_create("threads");
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_add_test(threads, threads_write_and_read_over_one_handle);
    tcase_add_test(threads, threads_write_while_one_waits_for_events);
    tcase_add_test(threads, threads_write_while_one_polls_for_events);
    tcase_add_test(threads, an_answer_for_another_thread_is_no_event);
    tcase_add_test(threads, each_of_several_waiting_threads_gets_an_event);
    tcase_add_loop_test(threads, a_waiting_thread_can_be_cancelled, 0, 2);
    suite_add_tcase(s, threads);
    TCase *rights = tcase_create("rights");
    tcase_add_checked_fixture(rights, setup, teardown);
    tcase_add_test(rights, a_program_that_restricts_itself_has_no_store_any_more);
    suite_add_tcase(s, rights);
    TCase *forks = tcase_create("forks");
    tcase_add_checked_fixture(forks, setup, teardown);
    tcase_add_test(forks, a_child_throws_the_handle_away_and_the_parent_goes_on);
    tcase_add_test(forks, a_program_that_becomes_a_daemon_keeps_its_handle);
    suite_add_tcase(s, forks);
    return s;
}
