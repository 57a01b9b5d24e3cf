/* SPDX-License-Identifier: ISC */
/* What a host can have from the server besides its service: a say in each request, connections of other domains, lists.
 */
#include "tests/unit/counting_alloc.h"
#include "tests/unit/suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <xids/xs_server.h>

static struct counting_alloc memory;
static struct xids_xs_server *server;
static int refusal; /* what the next request is refused with */
static char seen[512];
static char text[512];

__attribute__((format(printf, 2, 3))) static void add(char *to, const char *format, ...)
{
    size_t at = strlen(to);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(to + at, 512 - at, format, args);
    va_end(args);
    ck_assert_int_lt(n, 512 - (int)at);
}

static int request(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    int rc = refusal;
    (void)ctx;
    (void)conn;
    add(seen, "?%u ", msg->type);
    refusal = 0;
    return rc;
}

static void answered(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg, int rc)
{
    (void)ctx;
    (void)conn;
    add(seen, "=%u:%d ", msg->type, rc);
}

static void setup(void)
{
    const struct xids_xs_host host = {.request = request, .answered = answered};
    const struct xids_xs_server_config config = {.alloc = counting_alloc(&memory), .host = &host};
    ck_assert_int_eq(xids_xs_server_new(&server, &config), 0);
    seen[0] = '\0';
}

static void teardown(void)
{
    xids_xs_server_free(server);
    ck_assert_uint_eq(memory.blocks, 0);
}

/* Sends a request and returns the last answer's payload, a | for each NUL. */
static const char *ask(struct xids_xs_conn *conn, uint32_t type, uint32_t tx, const char *payload)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    char bytes[256];
    size_t len = strlen(payload), used;
    for (size_t i = 0; i < len; i++)
        bytes[i] = payload[i] == '|' ? '\0' : payload[i];
    const struct xids_xswire_part part = {bytes, len};
    int n = xids_xswire_build(out, sizeof(out), type, 1, tx, &part, 1);
    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(xids_xs_server_input(conn, &used, out, (size_t)n), 0);
    const void *heard;
    size_t nheard = xids_xs_server_output(conn, &heard);
    struct xids_xswire_msg msg = {0};
    for (size_t at = 0; at < nheard; at += (size_t)n) {
        n = xids_xswire_peek(&msg, (const uint8_t *)heard + at, nheard - at);
        ck_assert_int_gt(n, 0);
        if (msg.type == XS_WATCH_EVENT)
            continue;
        for (uint32_t i = 0; i < msg.len; i++)
            text[i] = msg.payload[i] == '\0' ? '|' : msg.payload[i];
        text[msg.len] = '\0';
    }
    xids_xs_server_sent(conn, nheard);
    return text;
}

static struct xids_xs_conn *connect_as(uint16_t domid)
{
    struct xids_xs_conn *conn;
    ck_assert_int_eq(xids_xs_server_connect_as(server, &conn, NULL, domid), 0);
    return conn;
}

START_TEST(the_host_sees_each_request_and_its_answer)
{
    struct xids_xs_conn *c = connect_as(0);
    ck_assert_str_eq(ask(c, XS_MKDIR, 0, "/a|"), "OK|");
    ck_assert_str_eq(ask(c, XS_READ, 0, "/b|"), "ENOENT|");
    char want[64];
    (void)snprintf(want, sizeof(want), "?%d =%d:0 ?%d =%d:%d ", XS_MKDIR, XS_MKDIR, XS_READ, XS_READ, -XEN_ENOENT);
    ck_assert_str_eq(seen, want);
}
END_TEST

static void saw_request(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    ck_assert_ptr_eq(ctx, seen);
    ck_assert_int_eq(xids_xs_conn_domid(conn), -1);
    add(seen, ">%u:%u:%u:%.*s ", msg->type, msg->req_id, msg->tx_id, (int)msg->len, msg->payload);
}

static void saw_message(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg)
{
    ck_assert_ptr_eq(ctx, seen);
    ck_assert_int_eq(xids_xs_conn_domid(conn), -1);
    add(seen, "<%u:%u:%u:%.*s ", msg->type, msg->req_id, msg->tx_id, (int)msg->len, msg->payload);
}

START_TEST(a_tracer_sees_all_that_is_said_while_it_looks)
{
    const struct xids_xs_tracer tracer = {.request = saw_request, .message = saw_message, .ctx = seen};
    struct xids_xs_conn *c;
    ck_assert_int_eq(xids_xs_server_connect(server, &c, NULL), 0);
    (void)ask(c, XS_WATCH, 0, "/a|t|");
    xids_xs_server_trace(server, &tracer);
    seen[0] = '\0';
    (void)ask(c, XS_WRITE, 0, "/a|v");
    xids_xs_server_trace(server, NULL);
    (void)ask(c, XS_READ, 0, "/a|");
    /* A payload is shown up to its first NUL; ? and = are the host's, which looks always. */
    char want[128];
    (void)snprintf(want, sizeof(want), ">%d:1:0:/a ?%d <%d:0:0:/a <%d:1:0:OK =%d:0 ?%d =%d:0 ", XS_WRITE, XS_WRITE,
                   XS_WATCH_EVENT, XS_WRITE, XS_WRITE, XS_READ, XS_READ);
    ck_assert_str_eq(seen, want);
    xids_xs_server_disconnect(c);
}
END_TEST

START_TEST(what_the_host_refuses_is_not_done)
{
    struct xids_xs_conn *c = connect_as(0);
    refusal = -XEN_ENOSPC;
    ck_assert_str_eq(ask(c, XS_MKDIR, 0, "/a|"), "ENOSPC|");
    ck_assert_str_eq(ask(c, XS_READ, 0, "/a|"), "ENOENT|");
}
END_TEST

START_TEST(a_commit_that_the_host_refuses_ends_the_transaction)
{
    struct xids_xs_conn *c = connect_as(0);
    struct xids_xs_server_stats stats;
    ck_assert_str_eq(ask(c, XS_TRANSACTION_START, 0, "|"), "1|");
    ck_assert_uint_eq(xids_xs_conn_transactions(c), 1);
    ck_assert_str_eq(ask(c, XS_MKDIR, 1, "/a|"), "OK|");
    refusal = -XEN_EAGAIN;
    ck_assert_str_eq(ask(c, XS_TRANSACTION_END, 1, "T|"), "EAGAIN|");
    ck_assert_uint_eq(xids_xs_conn_transactions(c), 0);
    xids_xs_server_stats(server, &stats);
    ck_assert_uint_eq(stats.transactions, 0);
    ck_assert_str_eq(ask(c, XS_READ, 0, "/a|"), "ENOENT|");
    ck_assert_str_eq(ask(c, XS_TRANSACTION_END, 1, "T|"), "ENOENT|");
}
END_TEST

START_TEST(a_connection_as_another_domain_has_that_ones_rights_home_and_limits)
{
    struct xids_xs_conn *tools = connect_as(0), *c = connect_as(5);
    ck_assert_str_eq(ask(c, XS_WRITE, 0, "/x|1"), "EACCES|");
    ck_assert_str_eq(ask(tools, XS_MKDIR, 0, "/local/domain/5|"), "OK|");
    ck_assert_str_eq(ask(tools, XS_SET_PERMS, 0, "/local/domain/5|n5|"), "OK|");
    ck_assert_str_eq(ask(c, XS_WRITE, 0, "x|1"), "OK|");
    ck_assert_str_eq(ask(tools, XS_GET_PERMS, 0, "/local/domain/5/x|"), "n5|");
    ck_assert_str_eq(ask(c, XS_RELEASE, 0, "5|"), "EACCES|");
    for (unsigned int i = 0; i < xids_xs_limits_default.transactions; i++)
        (void)ask(c, XS_TRANSACTION_START, 0, "|");
    ck_assert_str_eq(ask(c, XS_TRANSACTION_START, 0, "|"), "ENOSPC|");
    ck_assert_int_eq(xids_xs_conn_domid(c), -1);
}
END_TEST

static void list(void *ctx, const struct xids_xs_watch *w)
{
    (void)ctx;
    add(text, "%.*s %.*s %d\n", (int)w->path_len, w->path, (int)w->token_len, w->token, w->depth);
}

START_TEST(watches_are_listed_in_the_order_in_which_they_were_set)
{
    struct xids_xs_conn *c = connect_as(0);
    ck_assert_str_eq(ask(c, XS_WATCH, 0, "/a/b|t1|"), "OK|");
    ck_assert_str_eq(ask(c, XS_WATCH, 0, "/|t2|"), "OK|");
    ck_assert_str_eq(ask(c, XS_WATCH, 0, "@releaseDomain||"), "OK|");
    ck_assert_str_eq(ask(c, XS_WATCH, 0, "home|t4|3|"), "OK|");
    text[0] = '\0';
    xids_xs_server_each_watch(server, list, NULL);
    ck_assert_str_eq(text, "/a/b t1 -1\n/ t2 -1\n@releaseDomain  -1\n/local/domain/0/home t4 3\n");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_host");
    TCase *t = tcase_create("host");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_host_sees_each_request_and_its_answer);
    tcase_add_test(t, a_tracer_sees_all_that_is_said_while_it_looks);
    tcase_add_test(t, what_the_host_refuses_is_not_done);
    tcase_add_test(t, a_commit_that_the_host_refuses_ends_the_transaction);
    tcase_add_test(t, a_connection_as_another_domain_has_that_ones_rights_home_and_limits);
    tcase_add_test(t, watches_are_listed_in_the_order_in_which_they_were_set);
    suite_add_tcase(suite, t);
    return suite;
}
