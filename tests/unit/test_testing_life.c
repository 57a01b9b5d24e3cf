/* SPDX-License-Identifier: ISC */
/* Test stores come and go: who serves, what they leave behind, and processes forked from the test. */
#define _GNU_SOURCE
#include "tests/unit/testing_fixture.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVED XIDS_TEST_STORE_MANUAL /* the modes below it serve by themselves */

static char folder[] = "/tmp/xids-life-XXXXXX";

static unsigned int files_in(const char *path)
{
    unsigned int n = 0;
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

/* Where the sockets' files are for a moment, of this test alone. */
static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(setenv("TMPDIR", folder, 1), 0);
}

static void teardown(void)
{
    ck_assert_uint_eq(files_in(folder), 2);
    ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(a_store_serves_what_opens_xenstore)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *xs = NULL;
    ck_assert_int_eq(xids_test_store_use(s, 0), 0);
    ck_assert_int_eq(xids_xs_open(&xs, NULL), 0);
    put(xs, "/a/b", "value");
    ck_assert(has(xs, "/a/b", "value"));
    xids_xs_close(xs);
    xids_test_store_free(s);
    ck_assert_ptr_null(getenv("XENSTORED_PATH"));
}
END_TEST

START_TEST(a_path_that_somebody_else_set_stays)
{
    struct xids_test_store *s = store_up(XIDS_TEST_STORE_THREAD, NULL);
    ck_assert_int_eq(xids_test_store_use(s, 0), 0);
    ck_assert_int_eq(setenv("XENSTORED_PATH", "/elsewhere", 1), 0);
    xids_test_store_free(s);
    ck_assert_str_eq(getenv("XENSTORED_PATH"), "/elsewhere");
}
END_TEST

START_TEST(a_descriptor_is_a_connection)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *xs = NULL;
    int fd = -1;
    ck_assert_int_eq(xids_test_store_connect(s, &fd, 0), 0);
    ck_assert_int_eq(xids_xs_attach(&xs, fd), 0);
    put(xs, "/a", "1");
    xids_xs_close(xs);
    xids_test_store_free(s);
}
END_TEST

START_TEST(stores_know_nothing_of_each_other)
{
    struct xids_test_store *s[6];
    struct xids_xs *xs[6];
    for (int i = 0; i < 6; i++) {
        s[i] = store_up(i % 2 == 0 ? XIDS_TEST_STORE_THREAD : XIDS_TEST_STORE_FORKED, NULL);
        xs[i] = open_as(s[i], 0);
    }
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(xids_xs_printf(xs[i], 0, "/me", "%d", i), 0);
    for (int i = 0; i < 6; i++) {
        uint32_t n = 99;
        ck_assert_int_eq(xids_xs_read_u32(xs[i], &n, 0, "/me"), 0);
        ck_assert_int_eq((int)n, i);
        xids_xs_close(xs[i]);
        xids_test_store_free(s[i]);
    }
}
END_TEST

START_TEST(a_store_that_ends_closes_its_connections)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *xs = open_as(s, 0);
    put(xs, "/a", "1");
    xids_test_store_free(s);
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/b"), -XEN_ENOTCONN);
    xids_xs_close(xs);
}
END_TEST

START_TEST(descriptors_are_given_back)
{
    unsigned int before = files_in("/proc/self/fd");
    for (int i = 0; i < 5; i++) {
        struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
        ck_assert_int_eq(xids_test_store_introduce(s, 4, true), 0);
        xids_test_store_free(s);
    }
    ck_assert_uint_eq(files_in("/proc/self/fd"), before);
}
END_TEST

START_TEST(no_file_is_there_even_while_it_serves)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    ck_assert_int_eq(xids_test_store_introduce(s, 3, false), 0);
    ck_assert_uint_eq(files_in(folder), 2);
    xids_test_store_free(s);
}
END_TEST

/* A case that fails in Check ends like this, without a teardown. */
START_TEST(a_killed_test_leaves_no_file_and_no_process)
{
    int told[2];
    char path[XIDS_TEST_STORE_PATH_MAX], byte;
    ck_assert_int_eq(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
        if (xids_test_store_path(s, path, 0) == 0 && write(told[1], path, sizeof(path)) == (ssize_t)sizeof(path))
            pause();
        _exit(1);
    }
    (void)close(told[1]);
    ck_assert_int_eq((int)read(told[0], path, sizeof(path)), (int)sizeof(path));
    /* The serving process holds no descriptor of its maker's. */
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq((int)read(told[0], &byte, 1), 0);
    (void)close(told[0]);
    for (int i = 0; i < 6000 && stat(path, &st) == 0; i++)
        (void)poll(NULL, 0, 10);
    ck_assert_int_lt(stat(path, &st), 0);
}
END_TEST

/* In a process forked from the maker's: true when all of it works. */
static bool works_in_child(struct xids_test_store *s)
{
    struct xids_test_store_counts counts;
    struct xids_xs *xs = NULL;
    char *text = NULL;
    bool ok = xids_test_store_introduce(s, 7, true) == 0 && xids_test_store_open(s, &xs, 7) == 0 &&
              xids_xs_write(xs, 0, "data/x", "1", 1) == 0 && xids_test_store_settle(s) == 0 &&
              xids_test_store_counts(s, &counts) == 0 && counts.domains == 1 && counts.requests == 1 &&
              xids_test_store_dump(s, &text, "/local/domain/7/data", 0) == 0 &&
              strcmp(text, "/local/domain/7/data = \"\" (n7)\n/local/domain/7/data/x = \"1\" (n7)\n") == 0 &&
              xids_test_store_load(s, NULL, "/from/child = \"2\"\n") == 0 &&
              xids_test_store_fail(s, XS_MKDIR, "/no", 1, -XEN_ENOSPC) == 1;
    free(text);
    xids_xs_close(xs);
    xids_test_store_free(s);
    return ok;
}

START_TEST(a_forked_process_uses_and_steers_the_store)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *xs = open_as(s, 0);
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(works_in_child(s) ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert(has(xs, "/from/child", "2"));
    ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/no"), -XEN_ENOSPC);
    ck_assert_int_eq(xids_test_store_fault_hits(s, 1), 1);
    xids_xs_close(xs);
    xids_test_store_free(s);
}
END_TEST

/* It has the descriptors that the thread serves, unknowingly, and keeps them open. */
START_TEST(a_forked_process_keeps_no_connection_alive)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *xs = open_as(s, 0), *guest;
    struct xids_test_store_counts counts;
    int go[2], status;
    char byte;
    ck_assert_int_eq(xids_test_store_introduce(s, 1, true), 0);
    guest = open_as(s, 1);
    ck_assert_int_eq(xids_xs_mkdir(guest, 0, "data/a"), 0);
    ck_assert_int_eq(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(go[1]);
        (void)!read(go[0], &byte, 1);
        _exit(0);
    }
    (void)close(go[0]);
    ck_assert_int_eq(xids_test_store_destroy(s, 1), 0);
    ck_assert_int_lt(xids_xs_mkdir(guest, 0, "data/b"), 0);
    xids_xs_close(guest);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(xids_xs_mkdir(xs, 0, "/a"), 0);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    ck_assert_int_eq(xids_test_store_counts(s, &counts), 0);
    ck_assert_uint_eq(counts.connections, 1);
    (void)close(go[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    xids_xs_close(xs);
    xids_test_store_free(s);
}
END_TEST

START_TEST(a_forked_process_outlives_the_store_and_is_told)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    int go[2], status;
    char byte;
    ck_assert_int_eq(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(go[1]);
        (void)!read(go[0], &byte, 1);
        _exit(xids_test_store_settle(s) == -XEN_ENOTCONN ? 0 : 1);
    }
    xids_test_store_free(s);
    (void)close(go[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    (void)close(go[0]);
}
END_TEST

START_TEST(a_serving_process_is_no_child_of_the_tests)
{
    struct xids_test_store *s = store_up(XIDS_TEST_STORE_FORKED, NULL);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    xids_test_store_free(s);
}
END_TEST

START_TEST(the_serving_process_ends_with_the_store)
{
    struct xids_test_store *s = store_up(XIDS_TEST_STORE_FORKED, NULL);
    char path[XIDS_TEST_STORE_PATH_MAX];
    ck_assert_int_eq(xids_test_store_path(s, path, 0), 0);
    ck_assert_int_eq(strncmp(path, "/proc/", 6), 0);
    pid_t pid = (pid_t)strtol(path + 6, NULL, 10);
    ck_assert_int_ne(pid, getpid());
    ck_assert_int_eq(kill(pid, 0), 0);
    xids_test_store_free(s);
    for (int i = 0; i < 6000 && access(path, F_OK) == 0; i++)
        (void)poll(NULL, 0, 10);
    ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(signals_do_not_reach_the_serving_thread)
{
    sigset_t mine, none;
    struct xids_test_store *s = store_up(XIDS_TEST_STORE_THREAD, NULL);
    struct xids_xs *xs = open_as(s, 0);
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR1);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &mine, &none), 0);
    ck_assert_int_eq(kill(getpid(), SIGUSR1), 0); /* would end the process, had the thread not blocked it */
    put(xs, "/a", "1");
    ck_assert_int_eq(sigwaitinfo(&mine, NULL), SIGUSR1);
    xids_xs_close(xs);
    xids_test_store_free(s);
}
END_TEST

START_TEST(sockets_have_names_in_a_directory_that_is_given)
{
    char directory[64], path[XIDS_TEST_STORE_PATH_MAX], want[80];
    struct xids_test_store *s = NULL, *second = NULL;
    struct stat st;
    (void)snprintf(directory, sizeof(directory), "%s/named", folder);
    const struct xids_test_store_config config = {.mode = (enum xids_test_store_mode)_i, .directory = directory};
    ck_assert_int_eq(xids_test_store_new(&s, &config), 0);
    ck_assert_int_eq(xids_test_store_path(s, path, 0), 0);
    (void)snprintf(want, sizeof(want), "%s/socket", directory);
    ck_assert_str_eq(path, want);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777u, 0600);
    ck_assert_int_eq(xids_test_store_introduce(s, 12, false), 0);
    ck_assert_int_eq(xids_test_store_path(s, path, 12), 0);
    ck_assert_str_eq(path + strlen(directory), "/dom12");
    ck_assert_int_eq(xids_test_store_new(&second, &config), -XEN_EADDRINUSE);
    xids_test_store_free(s);
}
END_TEST

START_TEST(a_socket_left_from_before_is_replaced)
{
    char directory[64];
    struct xids_test_store *s = NULL;
    (void)snprintf(directory, sizeof(directory), "%s/left", folder);
    const struct xids_test_store_config config = {.directory = directory};
    pid_t pid = fork();
    if (pid == 0)
        _exit(xids_test_store_new(&s, &config) == 0 ? 0 : 1);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_gt(files_in(directory), 2);
    ck_assert_int_eq(xids_test_store_new(&s, &config), 0);
    xids_test_store_free(s);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(what_cannot_be_made_is_an_error)
{
    struct xids_test_store *s = NULL;
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "/tmp/../", 8);
    longest[sizeof(longest) - 1] = '\0';
    struct xids_test_store_config config = {.mode = (enum xids_test_store_mode)_i, .tree = "nonsense\n"};
    ck_assert_int_eq(xids_test_store_new(&s, &config), -XEN_EINVAL);
    config = (struct xids_test_store_config){.mode = (enum xids_test_store_mode)_i, .directory = "/nowhere/at/all"};
    ck_assert_int_eq(xids_test_store_new(&s, &config), -XEN_ENOENT);
    config = (struct xids_test_store_config){.mode = (enum xids_test_store_mode)77};
    ck_assert_int_eq(xids_test_store_new(&s, &config), -XEN_EINVAL);
    ck_assert_int_eq(setenv("TMPDIR", "/nowhere", 1), 0);
    ck_assert_int_eq(xids_test_store_new(&s, NULL), -XEN_ENOENT);
    xids_test_store_free(NULL);
}
END_TEST

/* A folder's name longer than a socket's may be: the sockets are found by another. */
START_TEST(a_long_tmpdir_is_no_trouble)
{
    char deep[300];
    (void)snprintf(deep, sizeof(deep), "%s/%0200d", folder, 0);
    ck_assert_int_eq(mkdir(deep, 0700), 0);
    ck_assert_int_eq(setenv("TMPDIR", deep, 1), 0);
    struct xids_test_store *s = store_up(XIDS_TEST_STORE_THREAD, NULL);
    struct xids_xs *xs = open_as(s, 0);
    put(xs, "/a", "1");
    xids_xs_close(xs);
    xids_test_store_free(s);
    ck_assert_int_eq(rmdir(deep), 0);
}
END_TEST

static void note(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    *(int *)ctx = rc;
}

START_TEST(by_hand_nothing_happens_between_turns)
{
    struct xids_test_store *s = store_up(XIDS_TEST_STORE_MANUAL, NULL);
    struct xids_xs *xs = open_as(s, 0);
    struct pollfd p = {.fd = xids_test_store_fd(s), .events = POLLIN};
    int answer = 1;
    ck_assert_int_eq(xids_test_store_run(s, 0), 0);
    ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(xs), 0, "/a", note, &answer), 0);
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(poll(&p, 1, 0), 1);
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(answer, 1);
    ck_assert_int_eq(xids_test_store_run(s, -1), 1);
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(answer, 0);
    EXPECT_LOG(s, "dom0.1 MKDIR /a -> OK\n");
    xids_xs_close(xs);
    xids_test_store_free(s);
}
END_TEST

START_TEST(only_a_store_turned_by_hand_is_turned_by_hand)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    ck_assert_int_eq(xids_test_store_run(s, 0), -XEN_EPERM);
    ck_assert_int_eq(xids_test_store_fd(s), -XEN_EPERM);
    xids_test_store_free(s);
}
END_TEST

START_TEST(settled_means_that_all_that_was_sent_is_done)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *xs = open_as(s, 0);
    struct xids_test_store_counts counts;
    int answers[100];
    for (int i = 0; i < 100; i++) {
        answers[i] = 1;
        ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(xs), 0, "/a", note, &answers[i]), 0);
    }
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    ck_assert_int_eq(xids_test_store_counts(s, &counts), 0);
    ck_assert_uint_eq(counts.requests, 100);
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(answers[i], 0);
    xids_xs_close(xs);
    xids_test_store_free(s);
}
END_TEST

START_TEST(who_does_not_read_is_told_of_and_does_no_harm)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    struct xids_xs *deaf = open_as(s, 0), *xs = open_as(s, 0);
    char big[2000];
    memset(big, 'v', sizeof(big));
    ck_assert_int_eq(xids_xs_write(xs, 0, "/big", big, sizeof(big)), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(xids_xs_client_read(xids_xs_client(deaf), 0, "/big", NULL, NULL), 0);
    while (xids_xs_wants_write(deaf)) {
        const uint8_t *span;
        size_t len = xids_xs_client_output(xids_xs_client(deaf), &span);
        ssize_t n = write(xids_xs_fd(deaf), span, len);
        ck_assert_int_gt((int)n, 0);
        xids_xs_client_sent(xids_xs_client(deaf), (size_t)n);
    }
    ck_assert_int_eq(xids_test_store_settle(s), 1);
    ck_assert(has(xs, "/tool", ""));
    xids_xs_close(deaf);
    ck_assert_int_eq(xids_test_store_settle(s), 0);
    xids_xs_close(xs);
    xids_test_store_free(s);
}
END_TEST

START_TEST(a_program_that_never_stops_asking_keeps_nobody_waiting)
{
    struct xids_test_store *s = store_up((enum xids_test_store_mode)_i, NULL);
    char path[XIDS_TEST_STORE_PATH_MAX], byte;
    int started[2];
    ck_assert_int_eq(xids_test_store_path(s, path, 0), 0);
    ck_assert_int_eq(pipe(started), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct xids_xs *xs = NULL;
        int rc = xids_xs_open(&xs, path);
        for (int i = 0; rc == 0; i++) {
            rc = xids_xs_mkdir(xs, 0, "/busy");
            if (i == 10 && write(started[1], "x", 1) != 1)
                rc = -1;
        }
        _exit(0);
    }
    ck_assert_int_eq((int)read(started[0], &byte, 1), 1);
    for (int i = 0; i < 20; i++)
        ck_assert_int_ge(xids_test_store_settle(s), 0);
    ck_assert_int_eq(xids_test_store_load(s, NULL, "/x = \"1\"\n"), 0);
    xids_test_store_free(s);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    (void)close(started[0]);
    (void)close(started[1]);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("testing_life");
    TCase *t = tcase_create("life");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_loop_test(t, a_store_serves_what_opens_xenstore, 0, SERVED);
    tcase_add_test(t, a_path_that_somebody_else_set_stays);
    tcase_add_loop_test(t, a_descriptor_is_a_connection, 0, SERVED);
    tcase_add_test(t, stores_know_nothing_of_each_other);
    tcase_add_loop_test(t, a_store_that_ends_closes_its_connections, 0, SERVED);
    tcase_add_loop_test(t, descriptors_are_given_back, 0, MODES);
    tcase_add_loop_test(t, no_file_is_there_even_while_it_serves, 0, MODES);
    tcase_add_loop_test(t, a_killed_test_leaves_no_file_and_no_process, 0, MODES);
    tcase_add_loop_test(t, sockets_have_names_in_a_directory_that_is_given, 0, MODES);
    tcase_add_test(t, a_socket_left_from_before_is_replaced);
    tcase_add_loop_test(t, what_cannot_be_made_is_an_error, 0, MODES);
    tcase_add_test(t, a_long_tmpdir_is_no_trouble);
    suite_add_tcase(suite, t);
    t = tcase_create("processes");
    tcase_set_timeout(t, 20);
    tcase_add_loop_test(t, a_forked_process_uses_and_steers_the_store, 0, SERVED);
    tcase_add_loop_test(t, a_forked_process_keeps_no_connection_alive, 0, SERVED);
    tcase_add_loop_test(t, a_forked_process_outlives_the_store_and_is_told, 0, SERVED);
    tcase_add_test(t, a_serving_process_is_no_child_of_the_tests);
    tcase_add_test(t, the_serving_process_ends_with_the_store);
    tcase_add_test(t, signals_do_not_reach_the_serving_thread);
    suite_add_tcase(suite, t);
    t = tcase_create("turns");
    tcase_set_timeout(t, 20);
    tcase_add_test(t, by_hand_nothing_happens_between_turns);
    tcase_add_loop_test(t, only_a_store_turned_by_hand_is_turned_by_hand, 0, SERVED);
    tcase_add_loop_test(t, settled_means_that_all_that_was_sent_is_done, 0, SERVED);
    tcase_add_loop_test(t, a_program_that_never_stops_asking_keeps_nobody_waiting, 0, SERVED);
    tcase_add_loop_test(t, who_does_not_read_is_told_of_and_does_no_harm, 0, SERVED);
    suite_add_tcase(suite, t);
    return suite;
}
