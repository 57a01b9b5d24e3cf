/* SPDX-License-Identifier: ISC */
/*
 * Our libxenstore.so.4 against stores that die, lie or dawdle: errors and no hangs, whatever threads wait in it; and
 * what it sends, seen from the store.
 */
#include "tests/unit/lxs_world.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS 8
#define CROWD 300

static struct xs_handle *h;
static atomic_uint failed;

static void begin(world_act_fn *act)
{
    world_act(act);
    h = xs_open(0);
    ck_assert_ptr_nonnull(h);
}

static void end(void)
{
    xs_close(h);
    world_end();
}

static void *read_one(void *arg)
{
    char *value = xs_read(h, XBT_NULL, arg, NULL);
    if (value == NULL) {
        ck_assert_int_ne(errno, 0);
        ck_assert_int_ne(errno, EAGAIN);
        atomic_fetch_add(&failed, 1);
    } else {
        ck_assert_str_eq(value, arg);
        free(value);
    }
    return NULL;
}

static void *watch_one(void *arg)
{
    unsigned int num;
    (void)arg;
    char **event = xs_read_watch(h, &num);
    if (event == NULL) {
        ck_assert_int_eq(errno, EINVAL);
        atomic_fetch_add(&failed, 1);
    }
    free(event);
    return NULL;
}

/* ---- what is sent ---- */

/* Answers the last of them first. */
static void answer_backwards(int fd)
{
    static struct world_request requests[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert(world_take(fd, &requests[i]));
    for (int i = THREADS - 1; i >= 0; i--)
        world_say(fd, &requests[i], requests[i].payload);
}

START_TEST(requests_of_several_threads_are_under_way_at_once)
{
    static char paths[THREADS][8];
    pthread_t threads[THREADS];
    begin(answer_backwards);
    for (int i = 0; i < THREADS; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/%d", i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_one, paths[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&failed), 0);
    end();
}
END_TEST

static atomic_uint taken, phase;

/* Answers the first, who reads for all, and the others when they have nobody any more who does; then an event. */
static void answer_the_first_before_the_rest(int fd)
{
    static struct world_request requests[THREADS];
    for (int i = 0; i < THREADS; i++) {
        ck_assert(world_take(fd, &requests[i]));
        atomic_fetch_add(&taken, 1);
    }
    world_say(fd, &requests[0], requests[0].payload);
    while (atomic_load(&phase) < 1)
        sched_yield();
    for (int i = 1; i < THREADS; i++)
        world_say(fd, &requests[i], requests[i].payload);
    while (atomic_load(&phase) < 2)
        sched_yield();
    world_event(fd);
}

static void wait_for_watcher(void)
{
    while (atomic_load(&h->watchers) == 0)
        sched_yield();
}

START_TEST(who_is_done_hands_the_reading_on)
{
    static char path[] = "/a";
    pthread_t threads[THREADS], watcher = 0;
    begin(answer_the_first_before_the_rest);
    for (unsigned int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_one, path), 0);
        while (i < THREADS - 1 && atomic_load(&taken) < i + 1)
            sched_yield();
        if (i == 0) {
            ck_assert_int_eq(pthread_create(&watcher, NULL, watch_one, NULL), 0);
            wait_for_watcher();
        }
    }
    pthread_join(threads[0], NULL);
    atomic_store(&phase, 1);
    for (int i = 1; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&phase, 2);
    pthread_join(watcher, NULL);
    ck_assert_uint_eq(atomic_load(&failed), 0);
    end();
}
END_TEST

static atomic_uint entered;

/* Reads nothing until all are on their way, with more than socket and queue hold. */
static void dawdle(int fd)
{
    static struct world_request request;
    while (atomic_load(&entered) < CROWD)
        sched_yield();
    for (int i = 0; i < CROWD; i++) {
        ck_assert(world_take(fd, &request));
        world_ok(fd, &request);
    }
}

static void *write_much(void *arg)
{
    static const char big[4000];
    (void)arg;
    atomic_fetch_add(&entered, 1);
    ck_assert(xs_write(h, XBT_NULL, "/big", big, sizeof(big)));
    return NULL;
}

START_TEST(more_than_the_socket_holds_waits_for_the_store)
{
    pthread_t threads[CROWD];
    begin(dawdle);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_much, NULL), 0);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    end();
}
END_TEST

static void know_features(int fd)
{
    struct world_request request;
    ck_assert(world_take(fd, &request));
    ck_assert_uint_eq(request.type, XIDS_XS_GET_FEATURE);
    /* No argument, as C xenstored counts them. */
    ck_assert_uint_eq(xids_xswire_count(request.payload, request.len), 0);
    world_say(fd, &request, "14");
    ck_assert(world_take(fd, &request));
    ck_assert_uint_eq(request.type, XS_WATCH);
    ck_assert_uint_eq(request.len, 7);
    ck_assert_mem_eq(request.payload, "/w\0t\0002", 7);
    world_ok(fd, &request);
    ck_assert(!world_take(fd, &request));
}

START_TEST(features_are_asked_for_once_and_depth_is_sent)
{
    unsigned int features;
    begin(know_features);
    ck_assert(xs_get_features_supported(h, &features));
    ck_assert_uint_eq(features, 14);
    ck_assert(xs_get_features_supported(h, &features));
    ck_assert_uint_eq(features, 14);
    ck_assert(xs_watch_depth(h, "/w", "t", 2));
    end();
}
END_TEST

static void know_no_features(int fd)
{
    struct world_request request;
    while (world_take(fd, &request)) {
        if (request.type == XS_WATCH) {
            ck_assert_uint_eq(xids_xswire_count(request.payload, request.len), 2);
            world_ok(fd, &request);
        } else {
            world_send(fd, XS_ERROR, request.req_id, "ENOSYS", 7);
        }
    }
}

START_TEST(where_depth_is_unknown_it_fails_or_is_left_away)
{
    unsigned int features;
    begin(know_no_features);
    ck_assert(!xs_get_features_supported(h, &features));
    ck_assert_int_eq(errno, ENOSYS);
    ck_assert(!xs_watch_depth(h, "/w", "t", 2));
    ck_assert_int_eq(errno, ENOSYS);
    ck_assert(xs_watch_try_depth(h, "/w", "t", 2));
    end();
}
END_TEST

static const struct {
    uint32_t type;
    const char *payload;
    uint32_t len;
} domain_requests[] = {
    {XIDS_XS_GET_FEATURE, "5", 2},
    {XIDS_XS_SET_FEATURE,
     "5\0"
     "4",
     4},
    {XIDS_XS_GET_QUOTA, "nodes", 6},
    {XIDS_XS_SET_QUOTA,
     "nodes\0"
     "7",
     8},
    {XIDS_XS_GET_QUOTA, "5\0nodes", 8},
    {XIDS_XS_SET_QUOTA,
     "5\0nodes\0"
     "7",
     10},
    {XIDS_XS_GET_QUOTA, NULL, 1},
    {XS_INTRODUCE,
     "5\0"
     "6\0"
     "7",
     6},
    {XS_SET_TARGET,
     "5\0"
     "6",
     4},
    {XS_RESUME, "5", 2},
    {XS_RELEASE, "5", 2},
    {XS_CONTROL, "print\0hello", 12},
};

static void answer_domain_requests(int fd)
{
    struct world_request request;
    for (size_t i = 0; i < sizeof(domain_requests) / sizeof(domain_requests[0]); i++) {
        ck_assert(world_take(fd, &request));
        ck_assert_uint_eq(request.type, domain_requests[i].type);
        ck_assert_uint_eq(request.len, domain_requests[i].len);
        if (domain_requests[i].payload != NULL)
            ck_assert_mem_eq(request.payload, domain_requests[i].payload, request.len);
        world_say(fd, &request,
                  request.type == XIDS_XS_GET_QUOTA && request.len == 1 ? "nodes soft-memory watches" : "11");
    }
}

START_TEST(domains_features_and_quotas_are_sent_as_specified)
{
    unsigned int value = 0, num = 0;
    char hello[] = "hello";
    begin(answer_domain_requests);
    ck_assert(xs_get_features_domain(h, 5, &value));
    ck_assert_uint_eq(value, 11);
    ck_assert(xs_set_features_domain(h, 5, 4));
    ck_assert(xs_get_global_quota(h, "nodes", &value));
    ck_assert(xs_set_global_quota(h, "nodes", 7));
    ck_assert(xs_get_domain_quota(h, 5, "nodes", &value));
    ck_assert(xs_set_domain_quota(h, 5, "nodes", 7));
    const char **names = xs_get_quota_names(h, &num);
    ck_assert_uint_eq(num, 3);
    ck_assert_str_eq(names[0], "nodes");
    ck_assert_str_eq(names[1], "soft-memory");
    ck_assert_str_eq(names[2], "watches");
    free(names);
    ck_assert(xs_introduce_domain(h, 5, 6, 7));
    ck_assert(xs_set_target(h, 5, 6));
    ck_assert(xs_resume_domain(h, 5));
    ck_assert(xs_release_domain(h, 5));
    char *answer = xs_debug_command(h, "print", hello, sizeof(hello));
    ck_assert_str_eq(answer, "11");
    free(answer);
    end();
}
END_TEST

/* A directory that changes once while it is read in parts. */
static void change_the_directory(int fd)
{
    static const struct {
        const char *offset;
        const char *answer;
        uint32_t len;
    } parts[] = {{"0", "1\0aa\0bb", 9}, {"6", "2\0cc\0", 6}, {"0", "2\0aa\0bb", 9}, {"6", "2\0cc\0", 6}};
    struct world_request request;
    ck_assert(world_take(fd, &request));
    world_send(fd, XS_ERROR, request.req_id, "E2BIG", 6);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        ck_assert(world_take(fd, &request));
        ck_assert_uint_eq(request.type, XS_DIRECTORY_PART);
        ck_assert_str_eq(request.payload + 3, parts[i].offset);
        world_send(fd, XS_DIRECTORY_PART, request.req_id, parts[i].answer, parts[i].len - (i % 2 == 0 ? 1 : 0));
    }
}

START_TEST(a_directory_that_changes_meanwhile_is_read_again)
{
    unsigned int num;
    begin(change_the_directory);
    char **names = xs_directory(h, XBT_NULL, "/d", &num);
    ck_assert_ptr_nonnull(names);
    ck_assert_uint_eq(num, 3);
    ck_assert_str_eq(names[2], "cc");
    free(names);
    end();
}
END_TEST

/* ---- stores that die ---- */

static void take_one_and_die(int fd)
{
    struct world_request request;
    (void)world_take(fd, &request);
}

START_TEST(a_store_that_dies_gives_errors_and_no_hang)
{
    static char path[] = "/a";
    pthread_t threads[THREADS];
    begin(take_one_and_die);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, i < THREADS / 2 ? watch_one : read_one, path), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&failed), THREADS);
    ck_assert_ptr_null(xs_read(h, XBT_NULL, "/a", NULL));
    ck_assert_int_eq(errno, EBADF);
    ck_assert(!xs_watch(h, "/a", "t"));
    ck_assert_int_eq(errno, EBADF);
    end();
}
END_TEST

static void die(int fd)
{
    (void)fd;
}

START_TEST(the_descriptor_tells_of_the_end_once)
{
    begin(die);
    int fd = xs_fileno(h);
    ck_assert(world_readable(fd, 10000));
    errno = 0;
    ck_assert_ptr_null(xs_check_watch(h));
    ck_assert_int_eq(errno, EINVAL);
    /* A program that does not look at errors is not to spin. */
    ck_assert(!world_readable(fd, 0));
    ck_assert_ptr_null(xs_check_watch(h));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(xs_read_watch(h, &(unsigned int){0}));
    ck_assert_int_eq(errno, EINVAL);
    end();
}
END_TEST

static void event_and_die(int fd)
{
    struct world_request request;
    ck_assert(world_take(fd, &request));
    world_event(fd);
    world_ok(fd, &request);
    world_event(fd);
}

START_TEST(events_that_came_before_the_end_are_not_lost)
{
    unsigned int num;
    begin(event_and_die);
    ck_assert(xs_watch(h, "/w", "t"));
    for (int i = 0; i < 2; i++) {
        ck_assert(world_readable(xs_fileno(h), 10000));
        char **event = xs_read_watch(h, &num);
        ck_assert_ptr_nonnull(event);
        ck_assert_str_eq(event[XS_WATCH_PATH], "/w");
        free(event);
    }
    ck_assert_ptr_null(xs_read_watch(h, &num));
    end();
}
END_TEST

/* ---- stores that lie ---- */

static const struct {
    uint32_t type, req_id, len; /* req_id 0: the request's */
    const char *payload;
    uint32_t sent;
} lies[] = {
    {XS_READ, 0, 5000, "", 0},              /* longer than the protocol allows */
    {XS_READ, 0, UINT32_MAX, "", 0},        /* the same */
    {XS_READ, 12345, 3, "OK", 3},           /* to no request */
    {XS_WRITE, 0, 3, "OK", 3},              /* of another type */
    {XS_ERROR, 0, 6, "ENOENT", 6},          /* an error without its NUL */
    {XS_ERROR, 0, 0, "", 0},                /* an error without a name */
    {XS_WATCH_EVENT, 0, 2, "/w", 2},        /* no token */
    {XS_WATCH_EVENT, 0, 3, "/w", 3},        /* the same */
    {XS_WATCH_EVENT, 0, 4, "/w\0t", 4},     /* a token without its NUL */
    {XS_WATCH_EVENT, 0, 0, "", 0},          /* nothing */
    {XS_READ, 0, 100, "not so many", 11},   /* and then it dies */
    {0x6c6c6548, 0x6f77206f, 33, "rld", 4}, /* "Hello world!" */
};
#define LIES ((int)(sizeof(lies) / sizeof(lies[0])))

static int lie;

static void tell_it(int fd)
{
    struct world_request request;
    ck_assert(world_take(fd, &request));
    const uint32_t header[4] = {lies[lie].type, lies[lie].req_id != 0 ? lies[lie].req_id : request.req_id, 0,
                                lies[lie].len};
    (void)!send(fd, header, sizeof(header), MSG_NOSIGNAL);
    (void)!send(fd, lies[lie].payload, lies[lie].sent, MSG_NOSIGNAL);
}

START_TEST(a_store_that_lies_is_left)
{
    static char path[] = "/a";
    pthread_t watcher;
    lie = _i;
    begin(tell_it);
    int fd = xs_fileno(h);
    ck_assert_int_eq(pthread_create(&watcher, NULL, watch_one, NULL), 0);
    (void)read_one(path);
    pthread_join(watcher, NULL);
    ck_assert_uint_eq(atomic_load(&failed), 2);
    ck_assert(!world_readable(fd, 0));
    ck_assert(!xs_mkdir(h, XBT_NULL, "/a"));
    end();
}
END_TEST

static void babble(int fd)
{
    static struct world_request request;
    uint8_t bytes[256];
    unsigned int seed = (unsigned int)lie;
    while (world_take(fd, &request)) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (uint8_t)(seed >> 24);
        }
        /* Some of it in the shape of an answer. */
        if (seed & 0x10000u)
            world_send(fd, request.type, request.req_id, bytes, seed >> 24 & 0xff);
        else
            (void)!send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
    }
}

/* Each call with its outputs unlooked at: only that it returns, and that nothing is read that is not there. */
START_TEST(rubbish_harms_nobody)
{
    unsigned int num;
    lie = _i;
    begin(babble);
    free(xs_directory(h, XBT_NULL, "/a", &num));
    free(xs_get_permissions(h, XBT_NULL, "/a", &num));
    (void)xs_transaction_start(h);
    free(xs_get_domain_path(h, 1));
    (void)xs_is_domain_introduced(h, 1);
    (void)xs_get_features_supported(h, &num);
    free(xs_get_quota_names(h, &num));
    (void)xs_watch(h, "/w", "t");
    free(xs_check_watch(h));
    (void)xs_unwatch(h, "/w", "t");
    end();
}
END_TEST

START_TEST(where_no_store_is_none_is_opened)
{
    setenv("XENSTORED_PATH", "/nowhere/at/all", 1);
    ck_assert_ptr_null(xs_open(0));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(xs_daemon_socket(), "/nowhere/at/all");
    unsetenv("XENSTORED_PATH");
    setenv("XENSTORED_RUNDIR", "/some/where", 1);
    ck_assert_str_eq(xs_daemon_rundir(), "/some/where");
    ck_assert_str_eq(xs_daemon_socket(), "/some/where/socket");
    ck_assert_str_eq(xs_daemon_socket_ro(), "/some/where/socket");
    unsetenv("XENSTORED_RUNDIR");
    ck_assert_str_eq(xs_daemon_socket(), "/var/run/xenstored/socket");
    xs_close(NULL);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("libxenstore_hostile");
    TCase *sent = tcase_create("sent");
    tcase_add_test(sent, requests_of_several_threads_are_under_way_at_once);
    tcase_add_test(sent, who_is_done_hands_the_reading_on);
    tcase_add_test(sent, more_than_the_socket_holds_waits_for_the_store);
    tcase_add_test(sent, features_are_asked_for_once_and_depth_is_sent);
    tcase_add_test(sent, where_depth_is_unknown_it_fails_or_is_left_away);
    tcase_add_test(sent, domains_features_and_quotas_are_sent_as_specified);
    tcase_add_test(sent, a_directory_that_changes_meanwhile_is_read_again);
    suite_add_tcase(s, sent);
    TCase *dead = tcase_create("dead");
    tcase_add_test(dead, a_store_that_dies_gives_errors_and_no_hang);
    tcase_add_test(dead, the_descriptor_tells_of_the_end_once);
    tcase_add_test(dead, events_that_came_before_the_end_are_not_lost);
    tcase_add_test(dead, where_no_store_is_none_is_opened);
    suite_add_tcase(s, dead);
    TCase *liars = tcase_create("liars");
    tcase_add_loop_test(liars, a_store_that_lies_is_left, 0, LIES);
    tcase_add_loop_test(liars, rubbish_harms_nobody, 0, 64);
    suite_add_tcase(s, liars);
    return s;
}
