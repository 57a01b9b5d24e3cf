/* SPDX-License-Identifier: ISC */
/* The blocking xenstore client against our own server's engine, which a thread serves to two sockets. */
#include "tests/unit/suite.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xids/xs.h>
#include <xids/xs_server.h>

#define CLIENTS 2

static struct xids_xs *xs[CLIENTS];
static int fds[CLIENTS];
static pthread_t thread;

static void *get(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void put(void *ctx, void *mem, size_t size)
{
    (void)ctx;
    (void)size;
    free(mem);
}

/* Sends what a connection has to say. */
static void send_output(struct xids_xs_conn *conn, int fd)
{
    const void *bytes;
    size_t len;
    while ((len = xids_xs_server_output(conn, &bytes)) > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        xids_xs_server_sent(conn, (size_t)n);
    }
}

/* Gives the server what came. False: the client is gone. */
static bool take_input(struct xids_xs_server *server, struct xids_xs_conn *conn, int fd)
{
    uint8_t bytes[4096];
    ssize_t n = read(fd, bytes, sizeof(bytes));
    if (n <= 0)
        return false;
    for (size_t at = 0; at < (size_t)n;) {
        size_t used;
        if (xids_xs_server_input(conn, &used, bytes + at, (size_t)n - at) < 0)
            return false;
        at += used;
        send_output(conn, fd);
        if (xids_xs_server_spent(conn))
            (void)xids_xs_server_idle(server, 1000);
    }
    return true;
}

static void *serve(void *arg)
{
    const struct xids_xs_server_config config = {.alloc = {get, put, NULL}};
    struct xids_xs_server *server;
    struct xids_xs_conn *conns[CLIENTS], *conn;
    struct pollfd polled[CLIENTS];
    unsigned int alive = CLIENTS;
    (void)arg;
    ck_assert_int_eq(xids_xs_server_new(&server, &config), 0);
    for (int i = 0; i < CLIENTS; i++) {
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        ck_assert_int_eq(xids_xs_server_connect(server, &conns[i], &fds[i]), 0);
    }
    while (alive > 0 && poll(polled, CLIENTS, -1) > 0) {
        for (int i = 0; i < CLIENTS; i++) {
            if (polled[i].fd < 0 || polled[i].revents == 0 || take_input(server, conns[i], polled[i].fd))
                continue;
            xids_xs_server_disconnect(conns[i]);
            polled[i].fd = -1;
            alive--;
        }
        while ((conn = xids_xs_server_ready(server)) != NULL)
            send_output(conn, *(int *)xids_xs_conn_data(conn));
        while (xids_xs_server_idle(server, 1000))
            ;
    }
    xids_xs_server_free(server);
    return NULL;
}

static void setup(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        int pair[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        fds[i] = pair[0];
        ck_assert_int_eq(xids_xs_attach(&xs[i], pair[1]), 0);
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void teardown(void)
{
    for (int i = 0; i < CLIENTS; i++)
        xids_xs_close(xs[i]);
    pthread_join(thread, NULL);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
}

START_TEST(what_is_written_is_read)
{
    static const char value[] = "with\0a nul";
    char *got;
    size_t len;
    uint32_t n;
    ck_assert_int_eq(xids_xs_write(xs[0], 0, "/a/b/c", value, sizeof(value)), 0);
    ck_assert_int_eq(xids_xs_read(xs[1], &got, &len, 0, "/a/b/c"), 0);
    ck_assert_uint_eq(len, sizeof(value));
    ck_assert_mem_eq(got, value, len);
    free(got);
    ck_assert_int_eq(xids_xs_printf(xs[0], 0, "/n", "%u", 4294967295u), 0);
    ck_assert_int_eq(xids_xs_read_u32(xs[1], &n, 0, "/n"), 0);
    ck_assert_uint_eq(n, 4294967295u);
}
END_TEST

START_TEST(what_is_removed_is_gone)
{
    char *got;
    ck_assert_int_eq(xids_xs_mkdir(xs[0], 0, "/gone"), 0);
    ck_assert_int_eq(xids_xs_rm(xs[0], 0, "/gone"), 0);
    ck_assert_int_eq(xids_xs_read(xs[1], &got, NULL, 0, "/gone"), -XEN_ENOENT);
}
END_TEST

START_TEST(a_directory_of_thousands_is_listed_whole)
{
    char **names;
    char path[64];
    unsigned int count, sum = 0;
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "/big/child-%d", i);
        ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(xs[0]), 0, path, NULL, NULL), 0);
        if (i % 500 == 499)
            ck_assert_int_eq(xids_xs_mkdir(xs[0], 0, "/big"), 0);
    }
    ck_assert_int_eq(xids_xs_directory(xs[1], &names, &count, 0, "/big"), 0);
    ck_assert_uint_eq(count, 3000);
    for (unsigned int i = 0; i < count; i++)
        sum += (unsigned int)atoi(names[i] + 6);
    ck_assert_uint_eq(sum, 2999 * 3000 / 2);
    free(names);
}
END_TEST

START_TEST(permissions_come_back)
{
    static const struct xids_xs_perm perms[2] = {{0, XIDS_XS_NONE}, {7, XIDS_XS_BOTH}};
    struct xids_xs_perm *got;
    unsigned int count;
    ck_assert_int_eq(xids_xs_mkdir(xs[0], 0, "/p"), 0);
    ck_assert_int_eq(xids_xs_set_perms(xs[0], 0, "/p", perms, 2), 0);
    ck_assert_int_eq(xids_xs_get_perms(xs[1], &got, &count, 0, "/p"), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(got[1].domid, 7);
    ck_assert_uint_eq(got[1].access, XIDS_XS_BOTH);
    free(got);
}
END_TEST

START_TEST(one_clients_write_is_the_others_event)
{
    static const char token[] = "t";
    struct xids_xs_event e;
    ck_assert_int_eq(xids_xs_watch(xs[0], "/w", token), 0);
    ck_assert_int_eq(xids_xs_next_event(xs[0], &e, -1), 1);
    ck_assert_str_eq(e.path, "/w");
    ck_assert_int_eq(xids_xs_write(xs[1], 0, "/w/x", "1", 1), 0);
    ck_assert_int_eq(xids_xs_next_event(xs[0], &e, -1), 1);
    ck_assert_str_eq(e.path, "/w/x");
    ck_assert_ptr_eq(e.token, token);
    ck_assert_int_eq(xids_xs_unwatch(xs[0], "/w", token), 0);
    ck_assert_int_eq(xids_xs_write(xs[1], 0, "/w/y", "1", 1), 0);
    ck_assert_int_eq(xids_xs_mkdir(xs[0], 0, "/sync"), 0);
    ck_assert_int_eq(xids_xs_next_event(xs[0], &e, 0), 0);
}
END_TEST

static int increments;

/* Adds one to a counter; the first times, the other client does so in between. */
static int increment(struct xids_xs *me, uint32_t tx, void *ctx)
{
    int *disturb = ctx;
    uint32_t n;
    int rc = xids_xs_read_u32(me, &n, tx, "/counter");
    if (rc < 0)
        return rc;
    increments++;
    if (*disturb > 0) {
        --*disturb;
        ck_assert_int_eq(xids_xs_printf(xs[1], 0, "/counter", "%u", n + 1), 0);
    }
    return xids_xs_printf(me, tx, "/counter", "%u", n + 1);
}

START_TEST(a_transaction_that_conflicts_is_run_again)
{
    int disturb = 3;
    uint32_t n;
    increments = 0;
    ck_assert_int_eq(xids_xs_write(xs[0], 0, "/counter", "0", 1), 0);
    ck_assert_int_eq(xids_xs_transaction(xs[0], increment, &disturb), 0);
    ck_assert_int_eq(increments, 4);
    ck_assert_int_eq(xids_xs_read_u32(xs[1], &n, 0, "/counter"), 0);
    ck_assert_uint_eq(n, 4);
}
END_TEST

static int write_and_fail(struct xids_xs *me, uint32_t tx, void *ctx)
{
    (void)ctx;
    ck_assert_int_eq(xids_xs_write(me, tx, "/aborted", "1", 1), 0);
    return -XEN_EPERM;
}

START_TEST(an_aborted_transaction_leaves_nothing)
{
    char *got;
    ck_assert_int_eq(xids_xs_transaction(xs[0], write_and_fail, NULL), -XEN_EPERM);
    ck_assert_int_eq(xids_xs_read(xs[1], &got, NULL, 0, "/aborted"), -XEN_ENOENT);
}
END_TEST

START_TEST(the_path_of_a_domain_is_told)
{
    char *path;
    ck_assert_int_eq(xids_xs_get_domain_path(xs[0], &path, 12), 0);
    ck_assert_str_eq(path, "/local/domain/12");
    free(path);
    ck_assert_int_eq(xids_xs_is_introduced(xs[0], 12), 0);
}
END_TEST

START_TEST(our_own_domain_is_told_by_the_relative_node)
{
    domid_t domid;
    ck_assert_int_eq(xids_xs_own_domid(xs[0], &domid), -XEN_ENOENT);
    ck_assert_int_eq(xids_xs_write(xs[1], 0, "/local/domain/0/domid", "0", 1), 0);
    ck_assert_int_eq(xids_xs_own_domid(xs[0], &domid), 0);
    ck_assert_uint_eq(domid, 0);
}
END_TEST

static void count_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    (void)payload;
    (void)len;
    ck_assert_int_eq(rc, 0);
    ++*(int *)ctx;
}

START_TEST(a_thousand_requests_can_be_under_way)
{
    int replies = 0;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(xids_xs_client_mkdir(xids_xs_client(xs[0]), 0, "/many", count_reply, &replies), 0);
    ck_assert_int_eq(xids_xs_mkdir(xs[0], 0, "/last"), 0);
    ck_assert_int_eq(replies, 1000);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xs_live");
    TCase *t = tcase_create("live");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_written_is_read);
    tcase_add_test(t, what_is_removed_is_gone);
    tcase_add_test(t, a_directory_of_thousands_is_listed_whole);
    tcase_add_test(t, permissions_come_back);
    tcase_add_test(t, one_clients_write_is_the_others_event);
    tcase_add_test(t, a_transaction_that_conflicts_is_run_again);
    tcase_add_test(t, an_aborted_transaction_leaves_nothing);
    tcase_add_test(t, the_path_of_a_domain_is_told);
    tcase_add_test(t, our_own_domain_is_told_by_the_relative_node);
    tcase_add_test(t, a_thousand_requests_can_be_under_way);
    suite_add_tcase(s, t);
    return s;
}
