/* SPDX-License-Identifier: ISC */
/* The xenstore client over a domain's xenstore page, with the test as the store at the other side of it. */
#include "tests/unit/xs_harness.h"

static struct rig rig;
static _Alignas(4096) struct xenstore_domain_interface page;
static struct xids_xs_ring ring;
static struct xids_bytering requests, replies; /* the store's sides */
static struct answer ans;
static int notified, notify_rc;

static int notify(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    ck_assert_uint_eq(port, 5);
    notified++;
    return notify_rc;
}

static const struct xids_platform_ops ops = {.evtchn_notify = notify};
static struct xids_platform platform = {.ops = &ops};

static void attach_store(void)
{
    struct xids_bytering_layout in = xids_bytering_xenstore_requests((void XIDS_PEER *)&page);
    struct xids_bytering_layout out = xids_bytering_xenstore_replies((void XIDS_PEER *)&page);
    ck_assert_int_eq(xids_bytering_attach(&requests, &in, false), 0);
    ck_assert_int_eq(xids_bytering_attach(&replies, &out, true), 0);
}

static void setup(void)
{
    memset(&page, 0, sizeof(page));
    memset(&ans, 0, sizeof(ans));
    notified = notify_rc = 0;
    rig_init(&rig, NULL);
    ck_assert_int_eq(xids_xs_ring_init(&ring, rig.c, &platform, (void XIDS_PEER *)&page, 5), 0);
    attach_store();
}

static void teardown(void)
{
    rig_fini(&rig);
}

/* What the store has received and not yet used. */
static uint8_t inbox[8192];
static size_t inbox_len;

static bool store_take(struct xids_xswire_msg *msg)
{
    int n = xids_bytering_read(&requests, inbox + inbox_len, (uint32_t)(sizeof(inbox) - inbox_len));
    ck_assert_int_ge(n, 0);
    inbox_len += (size_t)n;
    xids_bytering_publish(&requests);
    return xids_xswire_peek(msg, inbox, inbox_len) > 0;
}

static void store_answer(const struct xids_xswire_msg *msg, const void *data, size_t len)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    struct xids_xswire_part part = {data, len};
    int n = xids_xswire_build(out, sizeof(out), msg->type, msg->req_id, 0, &part, 1);
    for (int done = 0; done < n;) {
        int put = xids_bytering_write(&replies, out + done, (uint32_t)(n - done));
        ck_assert_int_ge(put, 0);
        xids_bytering_publish(&replies);
        done += put;
        ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    }
    inbox_len = 0;
}

START_TEST(a_request_and_its_reply_cross_the_page)
{
    struct xids_xswire_msg msg;
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/a", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(notified, 1);
    ck_assert(store_take(&msg));
    ck_assert_uint_eq(msg.type, XS_READ);
    store_answer(&msg, "value", 5);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_str_eq(ans.payload, "value");
    ck_assert_int_eq(notified, 2); /* room was given back */
}
END_TEST

START_TEST(an_idle_pump_notifies_nobody)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(notified, 0);
}
END_TEST

START_TEST(messages_larger_than_the_ring_go_through)
{
    static char value[4000], big[4096];
    struct xids_xswire_msg msg;
    memset(big, 'b', sizeof(big));
    for (int round = 0; round < 20; round++) {
        inbox_len = 0;
        ck_assert_int_eq(xids_xs_client_write(rig.c, 0, "/a", value, sizeof(value), on_reply, &ans), 0);
        do
            ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
        while (!store_take(&msg));
        ck_assert_uint_eq(msg.len, 4003);
        store_answer(&msg, big, sizeof(big));
        ck_assert_int_eq(ans.calls, round + 1);
        ck_assert_uint_eq(ans.len, sizeof(big));
    }
}
END_TEST

START_TEST(impossible_indices_break_the_connection)
{
    static const struct {
        uint32_t rsp_prod, req_cons;
    } bad[] = {{1025, 0}, {0xffffffffu, 0}, {0x80000000u, 0}, {0, 1}, {0, 0xffffffffu}, {0, 2000}};
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/a", on_reply, &ans), 0);
    page.rsp_prod = bad[_i].rsp_prod;
    page.req_cons = bad[_i].req_cons;
    /* The second pump looks at how far its request was taken. */
    int rc = xids_xs_ring_pump(&ring);
    for (int i = 0; i < 60 && rc == 0; i++) {
        (void)!xids_xs_client_read(rig.c, 0, "/fill-the-ring-until-it-looks-for-room", NULL, NULL);
        page.req_cons = bad[_i].req_cons != 0 ? page.req_prod + 5 : 0;
        rc = xids_xs_ring_pump(&ring);
    }
    ck_assert_int_eq(rc, -XEN_EBADMSG);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_int_eq(ans.rc, -XEN_EBADMSG);
}
END_TEST

START_TEST(impossible_indices_at_the_start_are_refused)
{
    page.rsp_prod = 5000;
    ck_assert_int_eq(xids_xs_ring_init(&ring, rig.c, &platform, (void XIDS_PEER *)&page, 5), -XEN_EBADMSG);
}
END_TEST

START_TEST(the_stores_error_field_ends_the_connection)
{
    page.server_features = XIDS_XS_FEATURE_ERROR;
    page.error = (uint32_t)_i + 1u;
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/a", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), -XEN_EIO);
    ck_assert_int_eq(ans.rc, -XEN_EIO);
    ck_assert_str_ne(xids_xs_client_reason(rig.c), "");
}
END_TEST

START_TEST(the_error_field_of_a_store_without_it_means_nothing)
{
    page.error = 77;
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
}
END_TEST

START_TEST(a_page_that_is_not_served_yet_is_waited_for)
{
    struct xids_xswire_msg msg;
    page.connection = XENSTORE_RECONNECT;
    page.rsp_prod = 9000;
    ck_assert_int_eq(xids_xs_ring_init(&ring, rig.c, &platform, (void XIDS_PEER *)&page, 5), 0);
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/a", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(notified, 0);
    page.rsp_prod = 0;
    page.connection = XENSTORE_CONNECTED;
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert(store_take(&msg));
    store_answer(&msg, "v", 1);
    ck_assert_int_eq(ans.rc, 0);
    ck_assert_int_eq(ans.calls, 1);
}
END_TEST

START_TEST(a_store_without_reconnection_says_so)
{
    ck_assert_int_eq(xids_xs_ring_reconnect(&ring), -XEN_ENOSYS);
    ck_assert_uint_eq(page.connection, XENSTORE_CONNECTED);
}
END_TEST

START_TEST(a_ring_is_started_afresh)
{
    struct xids_xswire_msg msg;
    page.server_features = XIDS_XS_FEATURE_RECONNECTION;
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/old", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(xids_xs_ring_reconnect(&ring), 0);
    ck_assert_uint_eq(page.connection, XENSTORE_RECONNECT);
    ck_assert_int_eq(notified, 2);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(ans.calls, 0);
    page.req_prod = page.req_cons = page.rsp_prod = page.rsp_cons = 0;
    page.connection = XENSTORE_CONNECTED;
    attach_store();
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(ans.calls, 1);
    ck_assert_int_eq(ans.rc, -XEN_ENOTCONN);
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/new", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert(store_take(&msg));
    ck_assert_str_eq(msg.payload, "/new");
    store_answer(&msg, "v", 1);
    ck_assert_int_eq(ans.rc, 0);
}
END_TEST

START_TEST(a_resumed_domain_goes_on_with_a_new_page)
{
    static _Alignas(4096) struct xenstore_domain_interface fresh;
    memset(&fresh, 0, sizeof(fresh));
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/old", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(xids_xs_ring_resume(&ring, (void XIDS_PEER *)&fresh, 5), 0);
    ck_assert_int_eq(ans.rc, -XEN_ENOTCONN);
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/new", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_uint_eq(fresh.req_prod, 16 + 5);
}
END_TEST

START_TEST(a_dead_event_channel_ends_the_connection)
{
    notify_rc = -XEN_EINVAL;
    ck_assert_int_eq(xids_xs_client_read(rig.c, 0, "/a", on_reply, &ans), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), -XEN_EINVAL);
    ck_assert_int_eq(ans.calls, 1);
}
END_TEST

START_TEST(a_protocol_error_on_the_ring_is_sticky)
{
    static const uint32_t header[4] = {XS_READ, 99, 0, 5000};
    ck_assert_int_eq(xids_bytering_write(&replies, header, sizeof(header)), 16);
    xids_bytering_publish(&replies);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), -XEN_EBADMSG);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), -XEN_EBADMSG);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xs_ring");
    TCase *t = tcase_create("ring");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_request_and_its_reply_cross_the_page);
    tcase_add_test(t, an_idle_pump_notifies_nobody);
    tcase_add_test(t, messages_larger_than_the_ring_go_through);
    tcase_add_loop_test(t, impossible_indices_break_the_connection, 0, 6);
    tcase_add_test(t, impossible_indices_at_the_start_are_refused);
    tcase_add_loop_test(t, the_stores_error_field_ends_the_connection, 0, 4);
    tcase_add_test(t, the_error_field_of_a_store_without_it_means_nothing);
    tcase_add_test(t, a_page_that_is_not_served_yet_is_waited_for);
    tcase_add_test(t, a_store_without_reconnection_says_so);
    tcase_add_test(t, a_ring_is_started_afresh);
    tcase_add_test(t, a_resumed_domain_goes_on_with_a_new_page);
    tcase_add_test(t, a_dead_event_channel_ends_the_connection);
    tcase_add_test(t, a_protocol_error_on_the_ring_is_sticky);
    suite_add_tcase(s, t);
    return s;
}
