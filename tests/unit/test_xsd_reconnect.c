/* SPDX-License-Identifier: ISC */
/* Ring reconnection together with the error field (docs/misc/xenstore-ring.txt of Xen), as the server does them. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>
#include <xids/xs_client.h>

static struct world *w;
static struct xids_xs_conn *c;

#define WORD(field) offsetof(struct xenstore_domain_interface, field)

static uint32_t page_word(uint16_t domid, size_t offset)
{
    uint32_t v;
    memcpy(&v, w->rings[domid].page + offset, sizeof(v));
    return v;
}

static void set_page_word(uint16_t domid, size_t offset, uint32_t v)
{
    memcpy(w->rings[domid].page + offset, &v, sizeof(v));
}

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
    world_home(w, 3);
}

static void teardown(void)
{
    world_down(w);
}

static void attach(uint16_t domid)
{
    struct world_ring *r = &w->rings[domid];
    const struct xids_bytering_layout out = xids_bytering_xenstore_requests((void XIDS_PEER *)r->page);
    const struct xids_bytering_layout in = xids_bytering_xenstore_replies((void XIDS_PEER *)r->page);
    ck_assert_int_eq(xids_bytering_attach(&r->out, &out, true), 0);
    ck_assert_int_eq(xids_bytering_attach(&r->in, &in, false), 0);
    r->nheard = 0;
}

/* The guest asks, and its event arrives. */
static void ask_anew(uint16_t domid)
{
    set_page_word(domid, WORD(connection), XENSTORE_RECONNECT);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, domid));
}

static void reconnect(uint16_t domid)
{
    uint32_t before = w->rings[domid].notified;
    ask_anew(domid);
    ck_assert_uint_eq(page_word(domid, WORD(connection)), XENSTORE_CONNECTED);
    ck_assert_uint_gt(w->rings[domid].notified, before);
    attach(domid);
}

static void break_ring(uint16_t domid)
{
    static const uint32_t too_long[4] = {XS_READ, 1, 0, 4097};
    struct world_ring *r = &w->rings[domid];
    ck_assert_int_eq(xids_bytering_write(&r->out, too_long, sizeof(too_long)), sizeof(too_long));
    (void)xids_bytering_publish(&r->out);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, domid));
    ck_assert_uint_eq(page_word(domid, WORD(error)), XENSTORE_ERROR_PROTO);
}

START_TEST(it_is_offered_with_the_error_field)
{
    const uint32_t both = XIDS_XS_FEATURE_RECONNECTION | XIDS_XS_FEATURE_ERROR;
    ck_assert_uint_eq(page_word(3, WORD(server_features)) & both, both);
}
END_TEST

START_TEST(it_ends_watches_and_transactions_and_leaves_nodes)
{
    DOM_EXPECT(3, XS_WRITE, "a|v", "write OK|");
    DOM_EXPECT(3, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
    uint32_t tx = dom_tx_start(w, 3);
    DOM_EXPECT_TX(3, tx, XS_WRITE, "a|w", "write OK|");
    EXPECT(c, XS_WATCH, "@releaseDomain|r|", "watch OK|\nevent @releaseDomain|r|");
    reconnect(3);
    EXPECT(c, XS_WRITE, "/local/domain/3/a|x", "write OK|");
    ck_assert_str_eq(dom_heard(w, 3), "");
    DOM_EXPECT_TX(3, tx, XS_TRANSACTION_END, "T|", "error ENOENT|");
    DOM_EXPECT(3, XS_READ, "a|", "read x");
    DOM_EXPECT(3, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "3|", "introduced T|");
}
END_TEST

START_TEST(it_leaves_the_middle_of_a_message)
{
    static const uint32_t half[4] = {XS_WRITE, 9, 0, 100};
    dom_send(w, 3, half, sizeof(half));
    dom_send(w, 3, "a", 1);
    reconnect(3);
    DOM_EXPECT(3, XS_GET_DOMAIN_PATH, "3|", "path /local/domain/3|");
}
END_TEST

START_TEST(what_lies_in_the_ring_is_not_carried_out)
{
    static const uint32_t header[4] = {XS_WRITE, 9, 0, 4};
    struct world_ring *r = &w->rings[3];
    ck_assert_int_eq(xids_bytering_write(&r->out, header, sizeof(header)), sizeof(header));
    ck_assert_int_eq(xids_bytering_write(&r->out, "a\0v", 4), 4);
    (void)xids_bytering_publish(&r->out);
    reconnect(3);
    EXPECT(c, XS_READ, "/local/domain/3/a|", "error ENOENT|");
    ck_assert_uint_eq(page_word(3, WORD(req_cons)), page_word(3, WORD(req_prod)));
    ck_assert_uint_eq(page_word(3, WORD(rsp_cons)), page_word(3, WORD(rsp_prod)));
}
END_TEST

/* Answers and events beyond the ring's size, which the guest has not fetched. */
START_TEST(what_waits_for_the_guest_is_forgotten)
{
    DOM_EXPECT(3, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
    for (unsigned int i = 0; i < 1000; i++) {
        char payload[64];
        (void)sprintf(payload, "/local/domain/3/a/%u|v", i);
        EXPECT(c, XS_WRITE, payload, "write OK|");
    }
    (void)xids_xs_server_ready(w->server);
    reconnect(3);
    ck_assert_str_eq(dom_heard(w, 3), "");
    DOM_EXPECT(3, XS_GET_DOMAIN_PATH, "3|", "path /local/domain/3|");
}
END_TEST

START_TEST(it_ends_a_protocol_error)
{
    DOM_EXPECT(3, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
    break_ring(3);
    reconnect(3);
    ck_assert_uint_eq(page_word(3, WORD(error)), XENSTORE_ERROR_NONE);
    EXPECT(c, XS_WRITE, "/local/domain/3/a|v", "write OK|");
    ck_assert_str_eq(dom_heard(w, 3), "");
    DOM_EXPECT(3, XS_READ, "a|", "read v");
}
END_TEST

START_TEST(it_ends_an_error_of_the_indices)
{
    set_page_word(3, WORD(req_prod), 5000);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 3));
    ck_assert_uint_eq(page_word(3, WORD(error)), XENSTORE_ERROR_RINGIDX);
    reconnect(3);
    ck_assert_uint_eq(page_word(3, WORD(error)), XENSTORE_ERROR_NONE);
    DOM_EXPECT(3, XS_GET_DOMAIN_PATH, "3|", "path /local/domain/3|");
}
END_TEST

START_TEST(a_guest_is_told_of_an_error_by_an_event)
{
    uint32_t before = w->rings[3].notified;
    break_ring(3);
    ck_assert_uint_gt(w->rings[3].notified, before);
}
END_TEST

START_TEST(other_values_ask_for_nothing)
{
    DOM_EXPECT(3, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
    set_page_word(3, WORD(connection), 2);
    DOM_EXPECT(3, XS_WRITE, "a|v", "event a|t|\nwrite OK|");
    ck_assert_uint_eq(page_word(3, WORD(connection)), 2);
}
END_TEST

START_TEST(a_domain_without_the_feature_asks_in_vain)
{
    EXPECT(c, XIDS_XS_SET_FEATURE, "4|2|", "set-feature OK|");
    world_home(w, 4);
    DOM_EXPECT(4, XS_WATCH, "a|t|", "watch OK|\nevent a|t|");
    ask_anew(4);
    ck_assert_uint_eq(page_word(4, WORD(connection)), XENSTORE_RECONNECT);
    DOM_EXPECT(4, XS_WRITE, "a|v", "event a|t|\nwrite OK|");
}
END_TEST

START_TEST(introduction_connects_a_page_that_waits)
{
    w->rings[5].page = calloc(1, XIDS_PAGE_SIZE);
    set_page_word(5, WORD(connection), XENSTORE_RECONNECT);
    set_page_word(5, WORD(req_prod), 77777); /* means nothing yet */
    world_introduce(w, 5);
    ck_assert_uint_eq(page_word(5, WORD(connection)), XENSTORE_CONNECTED);
    ck_assert_uint_gt(w->rings[5].notified, 0);
    DOM_EXPECT(5, XS_GET_DOMAIN_PATH, "5|", "path /local/domain/5|");
    set_page_word(5, WORD(connection), XENSTORE_RECONNECT);
    world_introduce(w, 5);
    ck_assert_uint_eq(page_word(5, WORD(connection)), XENSTORE_CONNECTED);
    DOM_EXPECT(5, XS_GET_DOMAIN_PATH, "5|", "path /local/domain/5|");
}
END_TEST

/* A guest that asks all the time, sets up what it can in between, and writes where it may not. */
START_TEST(asking_all_the_time_costs_what_was_set_up)
{
    size_t bytes = 0;
    world_home(w, 4);
    for (unsigned int i = 0; i < 300; i++) {
        char payload[64];
        for (unsigned int k = 0; k < 10; k++) {
            (void)sprintf(payload, "a/%u|t|", k);
            (void)dom_ask(w, 3, XS_WATCH, payload);
            (void)dom_tx_start(w, 3);
        }
        if (i % 3 == 0)
            break_ring(3);
        if (i % 5 == 0)
            set_page_word(3, WORD(rsp_cons), i * 7777);
        unsigned long calls = w->alloc.calls;
        uint32_t notified = w->rings[3].notified;
        ask_anew(3);
        ck_assert_uint_eq(w->alloc.calls, calls);
        ck_assert_uint_le(w->rings[3].notified, notified + 2);
        /* An event with nothing to it. */
        xids_xs_server_ring_event(xids_xs_server_domain(w->server, 3));
        ck_assert_uint_le(w->rings[3].notified, notified + 2);
        attach(3);
        DOM_EXPECT(4, XS_GET_DOMAIN_PATH, "4|", "path /local/domain/4|");
        if (i == 10)
            bytes = w->alloc.bytes;
        if (i > 10)
            ck_assert_uint_le(w->alloc.bytes, bytes);
    }
    struct xids_xs_server_stats stats;
    xids_xs_server_stats(w->server, &stats);
    ck_assert_uint_eq(stats.watches, 0);
    ck_assert_uint_eq(stats.transactions, 0);
}
END_TEST

/* ---- our own client ---- */

static struct xids_xs_ring ring;

static int notify_store(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 3));
    return 0;
}

struct answer {
    int rc, calls;
};

static void on_reply(void *ctx, int rc, const void *payload, uint32_t len)
{
    struct answer *a = ctx;
    (void)payload;
    (void)len;
    a->rc = rc;
    a->calls++;
}

START_TEST(our_client_comes_back_out_of_an_error)
{
    static const struct xids_platform_ops ops = {.evtchn_notify = notify_store};
    struct xids_platform platform = {.ops = &ops};
    struct answer a = {0}, b = {0};
    struct xids_xs_client *client;
    size_t size = xids_xs_client_size(NULL);
    void *mem = malloc(size);
    ck_assert_int_eq(xids_xs_client_init(&client, mem, size, NULL), 0);
    ck_assert_int_eq(xids_xs_ring_init(&ring, client, &platform, (void XIDS_PEER *)w->rings[3].page, 7), 0);
    ck_assert_int_eq(xids_xs_client_write(client, 0, "a", "v", 1, on_reply, &a), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(a.calls, 1);
    ck_assert_int_eq(a.rc, 0);
    attach(3);
    break_ring(3);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), -XEN_EIO);
    ck_assert_int_eq(xids_xs_ring_reconnect(&ring), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(xids_xs_client_read(client, 0, "a", on_reply, &b), 0);
    ck_assert_int_eq(xids_xs_ring_pump(&ring), 0);
    ck_assert_int_eq(b.calls, 1);
    ck_assert_int_eq(b.rc, 0);
    xids_xs_client_fini(client);
    free(mem);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("xsd_reconnect");
    TCase *t = tcase_create("reconnect");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, it_is_offered_with_the_error_field);
    tcase_add_test(t, it_ends_watches_and_transactions_and_leaves_nodes);
    tcase_add_test(t, it_leaves_the_middle_of_a_message);
    tcase_add_test(t, what_lies_in_the_ring_is_not_carried_out);
    tcase_add_test(t, what_waits_for_the_guest_is_forgotten);
    tcase_add_test(t, it_ends_a_protocol_error);
    tcase_add_test(t, it_ends_an_error_of_the_indices);
    tcase_add_test(t, a_guest_is_told_of_an_error_by_an_event);
    tcase_add_test(t, other_values_ask_for_nothing);
    tcase_add_test(t, a_domain_without_the_feature_asks_in_vain);
    tcase_add_test(t, introduction_connects_a_page_that_waits);
    tcase_add_test(t, asking_all_the_time_costs_what_was_set_up);
    tcase_add_test(t, our_client_comes_back_out_of_an_error);
    suite_add_tcase(s, t);
    return s;
}
