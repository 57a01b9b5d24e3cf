/* SPDX-License-Identifier: ISC */
/* The blocking xenstore client: watches and their events, time, lost connections, opening. */
#include "tests/unit/xs_script.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

static const char token_a[] = "a";
static const char token_b[] = "b";

#define WATCH(path, at)              \
    {                                \
        XS_WATCH, NULL, 0, OK, 0, at \
    }
#define EVENT(at)                  \
    {                              \
        0, NULL, 0, NULL, 0, 0, at \
    }
#define ANY_READ                              \
    {                                         \
        XS_READ, NULL, 0, BYTES("v"), 0, NULL \
    }

/* A round trip: what the store sent before has come. */
static void round_trip(struct xids_xs *xs)
{
    char *value;
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/sync"), 0);
    free(value);
}

/* ---- watches ---- */

START_TEST(an_event_comes_with_path_and_token)
{
    SCRIPT(WATCH("/a", "/a"), EVENT("/a/child"));
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), 1);
    ck_assert_str_eq(e.path, "/a");
    ck_assert_ptr_eq(e.token, token_a);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), 1);
    ck_assert_str_eq(e.path, "/a/child");
    script_end(&script, xs);
}
END_TEST

START_TEST(no_event_is_no_error)
{
    SCRIPT(WATCH("/a", NULL), ANY_READ);
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 0);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 1), 0);
    round_trip(xs);
    script_end(&script, xs);
}
END_TEST

START_TEST(path_and_token_name_a_watch)
{
    SCRIPT(WATCH("/a", NULL), WATCH("/a", NULL), {XS_UNWATCH, NULL, 0, OK, 0, NULL}, ANY_READ);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), -XEN_EEXIST);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_b), 0);
    ck_assert_int_eq(xids_xs_unwatch(xs, "/b", token_a), -XEN_ENOENT);
    ck_assert_int_eq(xids_xs_unwatch(xs, "/a", token_a), 0);
    ck_assert_int_eq(xids_xs_unwatch(xs, "/a", token_a), -XEN_ENOENT);
    round_trip(xs);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_refused_watch_is_no_watch)
{
    SCRIPT({XS_WATCH, NULL, 0, TEXT("ENOSPC"), XS_ERROR, NULL}, ANY_READ);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), -XEN_ENOSPC);
    ck_assert_int_eq(xids_xs_unwatch(xs, "/a", token_a), -XEN_ENOENT);
    round_trip(xs);
    script_end(&script, xs);
}
END_TEST

START_TEST(too_long_a_path_is_not_watched)
{
    SCRIPT(ANY_READ);
    char path[XENSTORE_ABS_PATH_MAX + 1];
    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(xids_xs_watch(xs, path, token_a), -XEN_ENAMETOOLONG);
    round_trip(xs);
    script_end(&script, xs);
}
END_TEST

START_TEST(unwatch_drops_the_events_that_wait)
{
    SCRIPT(WATCH("/a", "/a/1"), EVENT("/a/2"), ANY_READ, {XS_UNWATCH, NULL, 0, OK, 0, NULL}, ANY_READ);
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    round_trip(xs);
    ck_assert_int_eq(xids_xs_unwatch(xs, "/a", token_a), 0);
    round_trip(xs);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 0);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_repeated_event_is_kept_once)
{
    SCRIPT(WATCH("/a", "/a"), EVENT("/a"), EVENT("/a/x"), EVENT("/a"), ANY_READ, {XS_READ, NULL, 0, SILENT, 0, NULL},
           EVENT("/a"), {0, NULL, 0, BYTES("v"), XS_READ, NULL});
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    round_trip(xs);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 1);
    ck_assert_str_eq(e.path, "/a");
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 1);
    ck_assert_str_eq(e.path, "/a/x");
    round_trip(xs);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 1);
    ck_assert_str_eq(e.path, "/a");
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 0);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_flood_of_events_becomes_one)
{
    enum { FLOOD = 1500 };
    static struct step steps[FLOOD + 3];
    static char paths[FLOOD][16];
    steps[0] = (struct step)WATCH("/a", NULL);
    for (int i = 0; i < FLOOD; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/a/%d", i);
        steps[i + 1] = (struct step)EVENT(paths[i]);
    }
    steps[FLOOD + 1] = steps[FLOOD + 2] = (struct step)ANY_READ;
    struct script script;
    struct xids_xs *xs;
    struct xids_xs_event e;
    script_start(&script, &xs, steps, FLOOD + 3);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    round_trip(xs);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 1);
    ck_assert_str_eq(e.path, "/a");
    ck_assert_ptr_eq(e.token, token_a);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 0);
    round_trip(xs);
    script_end(&script, xs);
}
END_TEST

/* ---- time and lost connections ---- */

START_TEST(a_call_without_answer_times_out)
{
    int pair[2];
    struct xids_xs *xs;
    char *value;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(xids_xs_attach(&xs, pair[1]), 0);
    xids_xs_set_timeout(xs, 1);
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/slow"), -XEN_ETIMEDOUT);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), -XEN_ETIMEDOUT);
    ck_assert_int_eq(xids_xs_unwatch(xs, "/a", token_a), -XEN_ENOENT);
    xids_xs_close(xs);
    close(pair[0]);
}
END_TEST

START_TEST(a_late_answer_is_not_taken_for_another)
{
    int pair[2];
    struct xids_xs *xs;
    char *value;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(xids_xs_attach(&xs, pair[1]), 0);
    xids_xs_set_timeout(xs, 1);
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/slow"), -XEN_ETIMEDOUT);
    xids_xs_set_timeout(xs, 0);
    static const struct step late[] = {{XS_READ, TEXT("/slow"), BYTES("late"), 0, NULL},
                                       {XS_READ, TEXT("/now"), BYTES("now"), 0, NULL}};
    struct script s = {.steps = late, .count = 2, .fd = pair[0]};
    ck_assert_int_eq(pthread_create(&s.thread, NULL, script_main, &s), 0);
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/now"), 0);
    ck_assert_str_eq(value, "now");
    free(value);
    script_end(&s, xs);
}
END_TEST

START_TEST(a_closed_connection_is_an_error_that_stays)
{
    SCRIPT({XS_READ, NULL, 0, SILENT, 0, NULL}, HANG_UP);
    char *value;
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/a"), -XEN_ENOTCONN);
    ck_assert_str_ne(xids_xs_reason(xs), "");
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/a"), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_xs_pump(xs), -XEN_ENOTCONN);
    ck_assert(!xids_xs_wants_write(xs));
    ck_assert_int_eq(xids_xs_reconnect(xs), -XEN_ENOSYS);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_store_that_breaks_the_protocol_is_an_error_that_stays)
{
    SCRIPT({XS_READ, NULL, 0, BYTES("v"), XS_RM, NULL});
    char *value;
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/a"), -XEN_EBADMSG);
    ck_assert_int_eq(xids_xs_rm(xs, XIDS_XS_NO_TX, "/a"), -XEN_EBADMSG);
    ck_assert_str_ne(xids_xs_reason(xs), "");
    script_end(&script, xs);
}
END_TEST

START_TEST(events_that_came_are_given_before_the_error)
{
    SCRIPT(WATCH("/a", "/a"), HANG_UP);
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), 1);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), -XEN_ENOTCONN);
    script_end(&script, xs);
}
END_TEST

/* ---- opening ---- */

static char dir[64], path[96];

/* A socket that listens, at path in a new directory. */
static int listen_at(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_xs.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/socket", dir);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    return fd;
}

static void stop_listening(int fd)
{
    close(fd);
    unlink(path);
    rmdir(dir);
}

START_TEST(the_store_is_found_where_it_is_said_to_be)
{
    struct xids_xs *xs;
    int fd = listen_at();
    unsetenv("XENSTORED_PATH");
    unsetenv("XENSTORED_RUNDIR");
    if (_i == 1)
        setenv("XENSTORED_PATH", path, 1);
    else if (_i == 2)
        setenv("XENSTORED_RUNDIR", dir, 1);
    ck_assert_int_eq(xids_xs_open(&xs, _i == 0 ? path : NULL), 0);
    ck_assert_int_ne(fcntl(xids_xs_fd(xs), F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(xids_xs_fd(xs), F_GETFD) & FD_CLOEXEC, 0);
    xids_xs_close(xs);
    stop_listening(fd);
}
END_TEST

START_TEST(no_store_is_an_error)
{
    struct xids_xs *xs;
    int fd = listen_at();
    char far[200];
    close(fd);
    ck_assert_int_eq(xids_xs_open(&xs, path), -XEN_ECONNREFUSED);
    unlink(path);
    ck_assert_int_eq(xids_xs_open(&xs, path), -XEN_ENOENT);
    setenv("XENSTORED_PATH", path, 1);
    ck_assert_int_eq(xids_xs_open(&xs, NULL), -XEN_ENOENT);
    unsetenv("XENSTORED_PATH");
    memset(far, 'x', sizeof(far) - 1);
    far[sizeof(far) - 1] = '\0';
    setenv("XENSTORED_RUNDIR", far, 1);
    ck_assert_int_eq(xids_xs_open(&xs, NULL), -XEN_ENAMETOOLONG);
    rmdir(dir);
    xids_xs_close(NULL);
}
END_TEST

START_TEST(after_reconnect_watches_and_calls_work)
{
    static const struct step before[] = {WATCH("/a", "/a"), ANY_READ, HANG_UP};
    static const struct step after[] = {WATCH("/a", "/a/new"), {XS_READ, TEXT("/b"), BYTES("v2"), 0, NULL}};
    struct xids_xs *xs;
    struct xids_xs_event e;
    char *value;
    int fd = listen_at();
    ck_assert_int_eq(xids_xs_open(&xs, path), 0);
    struct script s = {.steps = before, .count = 3, .fd = accept(fd, NULL, NULL)};
    ck_assert_int_eq(pthread_create(&s.thread, NULL, script_main, &s), 0);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), 1);
    round_trip(xs);
    ck_assert_int_eq(pthread_join(s.thread, NULL), 0);
    close(s.fd);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), -XEN_ENOTCONN);

    ck_assert_int_eq(xids_xs_reconnect(xs), 0);
    s = (struct script){.steps = after, .count = 2, .fd = accept(fd, NULL, NULL)};
    ck_assert_int_eq(pthread_create(&s.thread, NULL, script_main, &s), 0);
    ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/b"), 0);
    ck_assert_str_eq(value, "v2");
    free(value);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), 1);
    ck_assert_str_eq(e.path, "/a/new");
    ck_assert_ptr_eq(e.token, token_a);
    script_end(&s, xs);
    stop_listening(fd);
}
END_TEST

START_TEST(a_watch_refused_after_reconnect_is_told_once)
{
    static const struct step before[] = {WATCH("/a", NULL), HANG_UP};
    static const struct step after[] = {{XS_WATCH, NULL, 0, TEXT("ENOSPC"), XS_ERROR, NULL}, ANY_READ};
    struct xids_xs *xs;
    struct xids_xs_event e;
    int fd = listen_at();
    ck_assert_int_eq(xids_xs_open(&xs, path), 0);
    struct script s = {.steps = before, .count = 2, .fd = accept(fd, NULL, NULL)};
    ck_assert_int_eq(pthread_create(&s.thread, NULL, script_main, &s), 0);
    ck_assert_int_eq(xids_xs_watch(xs, "/a", token_a), 0);
    ck_assert_int_eq(pthread_join(s.thread, NULL), 0);
    close(s.fd);
    ck_assert_int_eq(xids_xs_reconnect(xs), 0);
    s = (struct script){.steps = after, .count = 2, .fd = accept(fd, NULL, NULL)};
    ck_assert_int_eq(pthread_create(&s.thread, NULL, script_main, &s), 0);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, -1), -XEN_ENOSPC);
    ck_assert_int_eq(xids_xs_next_event(xs, &e, 0), 0);
    round_trip(xs);
    script_end(&s, xs);
    stop_listening(fd);
}
END_TEST

/* ---- event loops ---- */

static void count_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    ck_assert_int_eq(rc, 0);
    ++*(int *)ctx;
}

START_TEST(an_event_loop_can_pipeline_on_the_same_handle)
{
    static struct step steps[100];
    struct script script;
    struct xids_xs *xs;
    int replies = 0;
    for (int i = 0; i < 100; i++)
        steps[i] = (struct step)ANY_READ;
    script_start(&script, &xs, steps, 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(xids_xs_client_read(xids_xs_client(xs), 0, "/a", count_reply, &replies), 0);
    ck_assert(xids_xs_wants_write(xs));
    while (replies < 100) {
        struct pollfd p = {.fd = xids_xs_fd(xs), .events = xids_xs_wants_write(xs) ? POLLIN | POLLOUT : POLLIN};
        ck_assert_int_eq(poll(&p, 1, -1), 1);
        int rc = xids_xs_pump(xs);
        ck_assert(rc == 0 || replies == 100);
    }
    script_end(&script, xs);
}
END_TEST

START_TEST(more_requests_than_the_engine_holds_wait_for_room)
{
    enum { N = 1024 };
    static struct step steps[N + 1];
    struct script script;
    struct xids_xs *xs;
    int replies = 0;
    for (int i = 0; i <= N; i++)
        steps[i] = (struct step)ANY_READ;
    script_start(&script, &xs, steps, N + 1);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(xids_xs_client_read(xids_xs_client(xs), 0, "/a", count_reply, &replies), 0);
    ck_assert_int_eq(xids_xs_client_read(xids_xs_client(xs), 0, "/a", count_reply, &replies), -XEN_EBUSY);
    round_trip(xs);
    ck_assert_int_eq(replies, N);
    script_end(&script, xs);
}
END_TEST

START_TEST(a_device_file_is_written_message_by_message)
{
    /* A fifo opened both ways echoes: each request comes back as its own reply. */
    struct xids_xs *xs;
    char *value;
    snprintf(dir, sizeof(dir), "/tmp/test_xs.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/xenbus", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(xids_xs_open(&xs, path), 0);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(xids_xs_read(xs, &value, NULL, XIDS_XS_NO_TX, "/echo"), 0);
        ck_assert_str_eq(value, "/echo");
        free(value);
    }
    int replies = 0;
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(xids_xs_client_read(xids_xs_client(xs), 0, "/a", count_reply, &replies), 0);
    while (replies < 50)
        ck_assert_int_eq(xids_xs_pump(xs), 0);
    xids_xs_close(xs);
    unlink(path);
    rmdir(dir);
}
END_TEST

/* The types of the messages that a device has been given, each a digit or two; "" when there are none. */
static void given(int master, char text[64])
{
    uint8_t bytes[256];
    struct xids_xswire_msg msg;
    struct pollfd p = {.fd = master, .events = POLLIN};
    text[0] = '\0';
    if (poll(&p, 1, 0) < 1)
        return;
    ssize_t len = read(master, bytes, sizeof(bytes));
    for (int n = 0; len > 0; len -= n) {
        n = xids_xswire_peek(&msg, bytes, (size_t)len);
        ck_assert_int_gt(n, 0);
        snprintf(text + strlen(text), 64 - strlen(text), "%u/%u ", msg.type, msg.req_id);
        memmove(bytes, bytes + n, (size_t)(len - n));
    }
}

static void give(int master, uint32_t type, uint32_t id)
{
    uint8_t out[64];
    const struct xids_xswire_part part = {"OK", 3};
    int n = xids_xswire_build(out, sizeof(out), type, id, 0, &part, 1);
    ck_assert_int_eq(write(master, out, (size_t)n), n);
}

static void hear(void *ctx, int what, const char *where)
{
    int *heard = ctx;
    (void)where;
    *heard = what;
}

/* A pseudo-terminal is a device of which we have the other end. */
START_TEST(a_device_file_is_given_nothing_while_an_answer_is_under_way)
{
    struct xids_xs *xs;
    struct termios raw;
    char text[64], expected[64];
    int replies = 0, heard = 1;
    uint32_t watch;
    int master, slave;
    ck_assert_int_eq(openpty(&master, &slave, path, NULL, NULL), 0);
    ck_assert_int_eq(tcgetattr(master, &raw), 0);
    cfmakeraw(&raw);
    ck_assert_int_eq(tcsetattr(master, TCSANOW, &raw), 0);
    ck_assert_int_eq(xids_xs_open(&xs, path), 0);
    struct xids_xs_client *c = xids_xs_client(xs);
    ck_assert_int_eq(xids_xs_client_read(c, 0, "/a", count_reply, &replies), 0);
    ck_assert_int_eq(xids_xs_client_watch(c, &watch, "/b", hear, &heard), 0);
    ck_assert_int_eq(xids_xs_client_read(c, 0, "/c", count_reply, &replies), 0);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t type = i == 1 ? XS_WATCH : XS_READ, id;
        ck_assert_int_eq(xids_xs_pump(xs), 0);
        given(master, text);
        ck_assert_ptr_nonnull(strchr(text, '/'));
        id = (uint32_t)strtoul(strchr(text, '/') + 1, NULL, 10);
        snprintf(expected, sizeof(expected), "%u/%u ", type, id);
        ck_assert_str_eq(text, expected);
        ck_assert(!xids_xs_wants_write(xs));
        ck_assert_int_eq(xids_xs_pump(xs), 0);
        given(master, text);
        ck_assert_str_eq(text, "");
        give(master, type, id);
    }
    ck_assert_int_eq(xids_xs_pump(xs), 0);
    ck_assert_int_eq(replies, 2);
    xids_xs_close(xs);
    close(slave);
    close(master);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xs_events");
    TCase *t = tcase_create("watches");
    tcase_add_test(t, an_event_comes_with_path_and_token);
    tcase_add_test(t, no_event_is_no_error);
    tcase_add_test(t, path_and_token_name_a_watch);
    tcase_add_test(t, a_refused_watch_is_no_watch);
    tcase_add_test(t, too_long_a_path_is_not_watched);
    tcase_add_test(t, unwatch_drops_the_events_that_wait);
    tcase_add_test(t, a_repeated_event_is_kept_once);
    tcase_add_test(t, a_flood_of_events_becomes_one);
    suite_add_tcase(s, t);

    t = tcase_create("connections");
    tcase_add_test(t, a_call_without_answer_times_out);
    tcase_add_test(t, a_late_answer_is_not_taken_for_another);
    tcase_add_test(t, a_closed_connection_is_an_error_that_stays);
    tcase_add_test(t, a_store_that_breaks_the_protocol_is_an_error_that_stays);
    tcase_add_test(t, events_that_came_are_given_before_the_error);
    tcase_add_loop_test(t, the_store_is_found_where_it_is_said_to_be, 0, 3);
    tcase_add_test(t, no_store_is_an_error);
    tcase_add_test(t, after_reconnect_watches_and_calls_work);
    tcase_add_test(t, a_watch_refused_after_reconnect_is_told_once);
    suite_add_tcase(s, t);

    t = tcase_create("loops");
    tcase_add_test(t, an_event_loop_can_pipeline_on_the_same_handle);
    tcase_add_test(t, more_requests_than_the_engine_holds_wait_for_room);
    tcase_add_test(t, a_device_file_is_written_message_by_message);
    tcase_add_test(t, a_device_file_is_given_nothing_while_an_answer_is_under_way);
    suite_add_tcase(s, t);
    return s;
}
