/* SPDX-License-Identifier: ISC */
/* vchan: the page byte by byte, the rings of all orders, stream, packets, spans, and who is notified when. */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_world.h"

#include <stdlib.h>
#include <string.h>
#include <xen/io/libxenvchan.h>

static struct vchan_interface *header(const struct pair *p)
{
    return (struct vchan_interface *)(void *)p->page;
}

static const unsigned int orders[][2] = {
    {10, 11}, {11, 10}, {10, 12}, {12, 10}, {11, 12}, {12, 11}, {12, 12},
    {13, 15}, {16, 12}, {18, 18}, {20, 20}, {20, 11}, {19, 10},
};
enum { N_ORDERS = sizeof(orders) / sizeof(orders[0]) };

START_TEST(server_lays_out_the_page_as_libxenvchan_does)
{
    struct pair p;
    pair_serve(&p, orders[_i][0], orders[_i][1], 0);
    struct vchan_interface *h = header(&p);
    ck_assert_uint_eq(h->left_order, orders[_i][0]);
    ck_assert_uint_eq(h->right_order, orders[_i][1]);
    ck_assert_uint_eq(h->cli_live, 2);
    ck_assert_uint_eq(h->srv_live, 1);
    ck_assert_uint_eq(h->cli_notify, VCHAN_NOTIFY_WRITE);
    ck_assert_uint_eq(h->srv_notify, 0);
    ck_assert_uint_eq(h->left.prod | h->left.cons | h->right.prod | h->right.cons, 0);
    unsigned int pages = 0;
    for (int side = 0; side < 2; side++)
        if (orders[_i][side] >= 12)
            pages += 1u << (orders[_i][side] - 12);
    for (unsigned int i = 0; i < pages; i++)
        ck_assert_ptr_nonnull(world_page(p.w, 0, h->grants[i]));
    free(p.c);
    p.c = NULL;
    pair_close(&p);
}
END_TEST

START_TEST(client_announces_itself_as_libxenvchan_does)
{
    struct pair p;
    pair_serve(&p, orders[_i][0], orders[_i][1], 0);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_uint_eq(header(&p)->cli_live, 1);
    ck_assert_uint_eq(header(&p)->srv_notify, VCHAN_NOTIFY_WRITE);
    ck_assert_uint_eq(world_notifies(p.w, 1), 1);
    ck_assert_uint_eq(xids_vchan_write_size(p.c), 1u << orders[_i][0]);
    ck_assert_uint_eq(xids_vchan_read_size(p.c), 1u << orders[_i][1]);
    ck_assert_uint_eq(xids_vchan_read_size(p.s), 1u << orders[_i][0]);
    pair_close(&p);
}
END_TEST

START_TEST(client_maps_the_right_ring_for_reading_only)
{
    struct pair p;
    pair_open(&p, 12, 14, 0);
    ck_assert_uint_eq(world_readonly_pages(p.w, 1), 4);
    pair_close(&p);
}
END_TEST

/* Check's own assertions write to a pipe each time they pass: too slow for what is checked a million times. */
#define MUST(condition)                             \
    do {                                            \
        if (!(condition))                           \
            ck_abort_msg("failed: %s", #condition); \
    } while (0)

/* Sends len bytes of a counting pattern each way in pieces of all sizes, wrapping many times. */
static void exchange(struct xids_vchan *from, struct xids_vchan *to, unsigned int seed, bool packets)
{
    static uint8_t out[5000], in[5000];
    uint32_t total = 3 * xids_vchan_write_size(from) + 777, sent = 0, got = 0;
    uint32_t packet = 0;
    while (got < total) {
        seed = seed * 1103515245u + 12345u;
        uint32_t n = 1 + (seed >> 16) % (packets ? 1000 : 5000);
        if (packet != 0)
            n = packet;
        n = n < total - sent ? n : total - sent;
        for (uint32_t i = 0; i < n; i++)
            out[i] = (uint8_t)((sent + i) * 31u);
        int rc = n == 0 ? 0 : packets ? xids_vchan_send(from, out, n) : xids_vchan_write(from, out, n);
        packet = rc > 0 ? 0 : n;
        MUST(rc >= 0 || rc == -XEN_EAGAIN);
        sent += rc > 0 ? (uint32_t)rc : 0;
        MUST(xids_vchan_flush(from) == 0);
        seed = seed * 1103515245u + 12345u;
        n = 1 + (seed >> 16) % (packets ? 1000 : 5000);
        n = packets && n > total - got ? total - got : n;
        rc = packets ? xids_vchan_recv(to, in, n) : xids_vchan_read(to, in, n);
        MUST(rc > 0 || rc == -XEN_EAGAIN);
        for (int i = 0; i < rc; i++, got++)
            MUST(in[i] == (uint8_t)(got * 31u));
        if (rc < 0) {
            rc = xids_vchan_read(to, in, 1);
            if (rc == 1) {
                MUST(in[0] == (uint8_t)(got * 31u));
                got++;
            }
        }
        MUST(xids_vchan_flush(to) == 0);
    }
    ck_assert_int_eq(xids_vchan_read(to, in, 1), -XEN_EAGAIN);
}

/* A client looks before it promises anything: at a copy where it can, else at a mapping of its own. */
START_TEST(client_looks_at_a_copy_of_a_page_that_has_all)
{
    struct pair p;
    bool copies = _i == 0;
    pair_serve(&p, 10, 11, 0);
    if (!copies)
        world_cannot_copy(p.w, 1);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_uint_eq(world_maps(p.w, 1), copies ? 1 : 2);
    exchange(p.c, p.s, 1, false);
    exchange(p.s, p.c, 2, true);
    pair_close(&p);
}
END_TEST

/* Nor does it map what the copy shows to be no control page of a living server, but to find out why. */
START_TEST(client_promises_nothing_to_a_page_that_makes_no_sense)
{
    static const struct {
        size_t offset;
        uint8_t byte;
        int error;
    } spoilt[] = {
        {21, 0, -XEN_ECONNREFUSED}, /* srv_live */
        {16, 0xff, -XEN_EBADMSG},   /* left_order */
        {3, 0xff, -XEN_EBADMSG},    /* the left ring's consumer */
        {15, 0xff, -XEN_EBADMSG},   /* the right ring's producer */
    };
    struct pair p;
    pair_serve(&p, 10, 11, 0);
    uint8_t before = p.page[spoilt[_i].offset];
    p.page[spoilt[_i].offset] = spoilt[_i].byte;
    ck_assert_int_eq(pair_connect(&p, 0), spoilt[_i].error);
    /* cli_live is as the server left it: the platform clears it for whoever promised. */
    ck_assert_uint_eq(p.page[20], 2);
    p.page[spoilt[_i].offset] = before;
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    pair_close(&p);
}
END_TEST

START_TEST(stream_arrives_whole_both_ways)
{
    struct pair p;
    pair_open(&p, orders[_i][0], orders[_i][1], 0);
    exchange(p.c, p.s, 1, false);
    exchange(p.s, p.c, 2, false);
    pair_close(&p);
}
END_TEST

START_TEST(stream_arrives_whole_in_batches)
{
    struct pair p;
    pair_open(&p, orders[_i][0], orders[_i][1], XIDS_VCHAN_BATCH);
    exchange(p.c, p.s, 3, false);
    exchange(p.s, p.c, 4, false);
    pair_close(&p);
}
END_TEST

START_TEST(stream_arrives_whole_while_wiping)
{
    struct pair p;
    pair_open(&p, orders[_i][0], orders[_i][1], XIDS_VCHAN_WIPE | (_i % 2 ? XIDS_VCHAN_BATCH : 0));
    exchange(p.c, p.s, 5, false);
    exchange(p.s, p.c, 6, false);
    pair_close(&p);
}
END_TEST

START_TEST(packets_arrive_whole_both_ways)
{
    struct pair p;
    pair_open(&p, orders[_i][0], orders[_i][1], 0);
    exchange(p.c, p.s, 7, true);
    exchange(p.s, p.c, 8, true);
    pair_close(&p);
}
END_TEST

static const unsigned int bad_orders[][2] = {{10, 10}, {11, 11}, {9, 12},  {12, 9}, {21, 12},
                                             {12, 21}, {10, 20}, {20, 10}, {0, 0}};
enum { N_BAD_ORDERS = sizeof(bad_orders) / sizeof(bad_orders[0]) };

START_TEST(server_refuses_orders_that_do_not_fit)
{
    struct world *w = world_new();
    struct xids_vchan *ch = malloc(xids_vchan_size());
    int rc = xids_vchan_server_init(ch, world_platform(w, 0), WORLD_DOMID(1), bad_orders[_i][0], bad_orders[_i][1], 0);
    ck_assert_int_eq(rc, -XEN_EINVAL);
    free(ch);
    world_free(w);
}
END_TEST

START_TEST(unknown_flags_are_refused)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    ck_assert_int_eq(pair_connect(&p, 1u << 7), -XEN_EINVAL);
    int rc = xids_vchan_server_init(p.c, world_platform(p.w, 0), WORLD_DOMID(1), 12, 12, 1u << 7);
    ck_assert_int_eq(rc, -XEN_EINVAL);
    free(p.c);
    p.c = NULL;
    pair_close(&p);
}
END_TEST

START_TEST(bytes_lie_where_the_order_says)
{
    static const struct {
        unsigned int left, right, at;
    } places[] = {{10, 11, 1024}, {11, 10, 2048}, {11, 14, 2048}, {10, 12, 1024}, {12, 11, 0}, {14, 10, 0}};
    struct pair p;
    pair_open(&p, places[_i].left, places[_i].right, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "vchan", 5), 5);
    uint8_t *at = places[_i].at != 0 ? p.page + places[_i].at : world_page(p.w, 0, header(&p)->grants[0]);
    ck_assert_mem_eq(at, "vchan", 5);
    ck_assert_uint_eq(header(&p)->left.prod, 5);
    ck_assert_uint_eq(header(&p)->left.cons, 0);
    char got[5];
    ck_assert_int_eq(xids_vchan_read(p.s, got, 5), 5);
    ck_assert_uint_eq(header(&p)->left.cons, 5);
    ck_assert_int_eq(xids_vchan_write(p.s, "nahcv!", 6), 6);
    ck_assert_uint_eq(header(&p)->right.prod, 6);
    pair_close(&p);
}
END_TEST

START_TEST(right_grants_follow_the_left)
{
    struct pair p;
    pair_open(&p, 13, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.s, "right", 5), 5);
    ck_assert_mem_eq(world_page(p.w, 0, header(&p)->grants[2]), "right", 5);
    pair_close(&p);
}
END_TEST

START_TEST(indices_pass_two_to_the_32)
{
    struct pair p;
    /* A server that offers again after long traffic looks like this to its client. */
    pair_serve(&p, 10, 11, 0);
    struct vchan_interface *h = header(&p);
    h->right.prod = h->right.cons = h->left.prod = h->left.cons = 0xfffffff0u;
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    uint8_t data[100] = {7};
    ck_assert_int_eq(xids_vchan_write(p.c, data, 100), 100);
    ck_assert_uint_eq(h->left.prod, 84);
    h->right.prod = 40;
    ck_assert_int_eq(xids_vchan_read(p.c, data, 100), 56);
    ck_assert_uint_eq(h->right.cons, 40);
    pair_close(&p);
}
END_TEST

START_TEST(a_full_ring_says_again_and_an_empty_one_too)
{
    struct pair p;
    uint8_t data[2048] = {0};
    pair_open(&p, 10, 11, 0);
    ck_assert_int_eq(xids_vchan_read(p.s, data, 1), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 2048), 1024);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 1), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_writable(p.c), 0);
    ck_assert_int_eq(xids_vchan_readable(p.s), 1024);
    ck_assert_int_eq(xids_vchan_read(p.s, data, 24), 24);
    ck_assert_int_eq(xids_vchan_writable(p.c), 24);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 100), 24);
    pair_close(&p);
}
END_TEST

START_TEST(nothing_is_done_for_no_bytes)
{
    struct pair p;
    pair_open(&p, 10, 11, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "", 0), 0);
    ck_assert_int_eq(xids_vchan_read(p.c, NULL, 0), 0);
    ck_assert_int_eq(xids_vchan_send(p.c, "", 0), 0);
    ck_assert_int_eq(xids_vchan_recv(p.c, NULL, 0), 0);
    ck_assert_uint_eq(header(&p)->left.prod, 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_packet_larger_than_the_ring_is_refused_for_good)
{
    struct pair p;
    static uint8_t data[4097];
    pair_open(&p, 10, 11, 0);
    ck_assert_int_eq(xids_vchan_send(p.c, data, 1025), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_recv(p.c, data, 2049), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_arm(p.c, 2049, 0), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_arm(p.c, 0, 1025), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_send(p.c, data, 1024), 1024);
    ck_assert_int_eq(xids_vchan_recv(p.s, data, 1024), 1024);
    pair_close(&p);
}
END_TEST

START_TEST(a_packet_moves_whole_or_not_at_all)
{
    struct pair p;
    uint8_t data[1024] = {0};
    pair_open(&p, 10, 11, 0);
    ck_assert_int_eq(xids_vchan_send(p.c, data, 1000), 1000);
    ck_assert_int_eq(xids_vchan_send(p.c, data, 25), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_readable(p.s), 1000);
    ck_assert_int_eq(xids_vchan_recv(p.s, data, 1001), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_readable(p.s), 1000);
    ck_assert_int_eq(xids_vchan_recv(p.s, data, 1000), 1000);
    pair_close(&p);
}
END_TEST

START_TEST(spans_move_bytes_without_a_copy)
{
    struct pair p;
    uint8_t XIDS_PEER *out = NULL;
    const uint8_t XIDS_PEER *in = NULL;
    pair_open(&p, 12, 12, 0);
    int n = xids_vchan_reserve(p.s, &out, 1);
    ck_assert_int_eq(n, 4096);
    xids_peer_put(out, "span", 4);
    ck_assert_int_eq(xids_vchan_commit(p.s, 4), 0);
    ck_assert_int_eq(xids_vchan_peek(p.c, &in, 1), 4);
    char got[4];
    xids_peer_get(got, in, 4);
    ck_assert_mem_eq(got, "span", 4);
    ck_assert_int_eq(xids_vchan_readable(p.c), 4);
    ck_assert_int_eq(xids_vchan_consume(p.c, 4), 0);
    ck_assert_int_eq(xids_vchan_peek(p.c, &in, 1), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_writable(p.s), 4096);
    pair_close(&p);
}
END_TEST

START_TEST(spans_end_at_the_end_of_the_ring)
{
    struct pair p;
    uint8_t data[1024] = {0};
    const uint8_t XIDS_PEER *in = NULL;
    uint8_t XIDS_PEER *out = NULL;
    pair_open(&p, 10, 11, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 1000), 1000);
    ck_assert_int_eq(xids_vchan_read(p.s, data, 1000), 1000);
    ck_assert_int_eq(xids_vchan_reserve(p.c, &out, 1024), 24);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 100), 100);
    ck_assert_int_eq(xids_vchan_peek(p.s, &in, 100), 24);
    ck_assert_int_eq(xids_vchan_consume(p.s, 24), 0);
    ck_assert_int_eq(xids_vchan_peek(p.s, &in, 100), 76);
    pair_close(&p);
}
END_TEST

START_TEST(taking_more_than_is_known_is_refused)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_consume(p.s, 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_commit(p.s, 4097), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_error(p.s), 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_peer_that_did_not_ask_is_not_notified)
{
    struct pair p;
    uint8_t data[64] = {0};
    pair_open(&p, 12, 12, 0);
    unsigned int before = world_notifies(p.w, 1);
    /* The one request that both sides make at setup is used up by the first write. */
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(xids_vchan_write(p.c, data, 16), 16);
    ck_assert_uint_eq(world_notifies(p.w, 1) - before, 1);
    before = world_notifies(p.w, 0);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(xids_vchan_read(p.s, data, 16), 16);
    ck_assert_uint_eq(world_notifies(p.w, 0) - before, 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_sleeping_reader_is_notified_once)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "x", 1), 1);
    (void)world_events(p.w, 0, p.s);
    char byte;
    ck_assert_int_eq(xids_vchan_read(p.s, &byte, 1), 1);
    ck_assert_int_eq(xids_vchan_arm(p.s, 1, 0), 0);
    unsigned int before = world_notifies(p.w, 1);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(xids_vchan_write(p.c, "y", 1), 1);
    ck_assert_uint_eq(world_notifies(p.w, 1) - before, 1);
    ck_assert_int_eq(world_events(p.w, 0, p.s), 1);
    pair_close(&p);
}
END_TEST

START_TEST(a_sleeping_writer_is_notified_of_room)
{
    struct pair p;
    uint8_t data[1024] = {0};
    pair_open(&p, 10, 11, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 1024), 1024);
    ck_assert_int_eq(xids_vchan_arm(p.c, 0, 1), 0);
    unsigned int before = world_notifies(p.w, 0);
    ck_assert_int_eq(xids_vchan_read(p.s, data, 100), 100);
    ck_assert_uint_eq(world_notifies(p.w, 0) - before, 1);
    ck_assert_int_eq(world_events(p.w, 1, p.c), 1);
    ck_assert_int_eq(xids_vchan_arm(p.c, 0, 1), 1);
    pair_close(&p);
}
END_TEST

START_TEST(arm_does_not_sleep_over_what_is_there)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "abc", 3), 3);
    ck_assert_int_eq(xids_vchan_arm(p.s, 3, 0), 1);
    /* And takes its request back. */
    ck_assert_uint_eq(header(&p)->cli_notify & VCHAN_NOTIFY_WRITE, 0);
    ck_assert_int_eq(xids_vchan_arm(p.s, 4, 0), 0);
    ck_assert_uint_eq(header(&p)->cli_notify & VCHAN_NOTIFY_WRITE, VCHAN_NOTIFY_WRITE);
    ck_assert_int_eq(xids_vchan_arm(p.s, 0, 1), 1);
    pair_close(&p);
}
END_TEST

START_TEST(counting_asks_for_no_event)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    header(&p)->cli_notify = 0;
    ck_assert_int_eq(xids_vchan_readable(p.s), 0);
    ck_assert_int_eq(xids_vchan_writable(p.s), 4096);
    ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), -XEN_EAGAIN);
    ck_assert_uint_eq(header(&p)->cli_notify, 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_batch_is_published_by_a_quarter_of_the_ring)
{
    struct pair p;
    uint8_t data[4096] = {0};
    pair_open(&p, 12, 12, XIDS_VCHAN_BATCH);
    header(&p)->cli_notify = header(&p)->srv_notify = 0;
    for (int i = 0; i < 63; i++)
        ck_assert_int_eq(xids_vchan_write(p.c, data, 16), 16);
    ck_assert_uint_eq(header(&p)->left.prod, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 16), 16);
    ck_assert_uint_eq(header(&p)->left.prod, 1024);
    /* One more, or the reader would publish for having read all. */
    ck_assert_int_eq(xids_vchan_write(p.c, data, 1), 1);
    ck_assert_int_eq(xids_vchan_flush(p.c), 0);
    for (int i = 0; i < 63; i++)
        ck_assert_int_eq(xids_vchan_recv(p.s, data, 16), 16);
    ck_assert_uint_eq(header(&p)->left.cons, 0);
    ck_assert_int_eq(xids_vchan_recv(p.s, data, 16), 16);
    ck_assert_uint_eq(header(&p)->left.cons, 1024);
    pair_close(&p);
}
END_TEST

/* Who answers each message has its room given back with the answer's flush: one look at the peer's requests for both.
 */
START_TEST(a_reader_of_batches_who_has_read_all_still_waits_for_his_flush)
{
    struct pair p;
    uint8_t data[16] = {0};
    pair_open(&p, 12, 12, XIDS_VCHAN_BATCH | XIDS_VCHAN_PLAIN);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 16), 16);
    ck_assert_int_eq(xids_vchan_flush(p.c), 0);
    ck_assert_int_eq(xids_vchan_recv(p.s, data, 16), 16);
    ck_assert_uint_eq(header(&p)->left.cons, 0);
    ck_assert_int_eq(xids_vchan_flush(p.s), 0);
    ck_assert_uint_eq(header(&p)->left.cons, 16);
    pair_close(&p);
}
END_TEST

START_TEST(a_batch_of_a_large_ring_is_32_kib)
{
    struct pair p;
    uint8_t data[4096] = {0};
    pair_open(&p, 20, 12, XIDS_VCHAN_BATCH);
    header(&p)->cli_notify = header(&p)->srv_notify = 0;
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(xids_vchan_write(p.c, data, 4096), 4096);
    ck_assert_uint_eq(header(&p)->left.prod, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 4096), 4096);
    ck_assert_uint_eq(header(&p)->left.prod, 32768);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 1), 1);
    ck_assert_int_eq(xids_vchan_flush(p.c), 0);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(xids_vchan_recv(p.s, data, 4096), 4096);
    ck_assert_uint_eq(header(&p)->left.cons, 0);
    ck_assert_int_eq(xids_vchan_recv(p.s, data, 4096), 4096);
    ck_assert_uint_eq(header(&p)->left.cons, 32768);
    pair_close(&p);
}
END_TEST

START_TEST(a_batch_is_published_for_a_sleeping_reader)
{
    struct pair p;
    pair_open(&p, 12, 12, XIDS_VCHAN_BATCH);
    ck_assert_int_eq(xids_vchan_arm(p.s, 1, 0), 0);
    unsigned int before = world_notifies(p.w, 1);
    ck_assert_int_eq(xids_vchan_write(p.c, "x", 1), 1);
    ck_assert_uint_eq(header(&p)->left.prod, 1);
    ck_assert_uint_eq(world_notifies(p.w, 1) - before, 1);
    pair_close(&p);
}
END_TEST

START_TEST(a_batch_is_published_by_flush_arm_and_the_end)
{
    struct pair p;
    char got[8];
    pair_open(&p, 12, 12, XIDS_VCHAN_BATCH);
    header(&p)->cli_notify = header(&p)->srv_notify = 0;
    ck_assert_int_eq(xids_vchan_write(p.c, "a", 1), 1);
    ck_assert_int_eq(xids_vchan_readable(p.s), 0);
    ck_assert_int_eq(xids_vchan_flush(p.c), 0);
    ck_assert_int_eq(xids_vchan_readable(p.s), 1);
    ck_assert_int_eq(xids_vchan_write(p.c, "b", 1), 1);
    ck_assert_int_eq(xids_vchan_arm(p.c, 1, 0), 0);
    ck_assert_int_eq(xids_vchan_readable(p.s), 2);
    ck_assert_int_eq(xids_vchan_write(p.c, "c", 1), 1);
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 8), 3);
    ck_assert_mem_eq(got, "abc", 3);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 8), 0);
    free(p.c);
    p.c = NULL;
    pair_close(&p);
}
END_TEST

START_TEST(one_notification_serves_both_directions)
{
    struct pair p;
    uint8_t data[4096] = {0};
    pair_open(&p, 12, 12, XIDS_VCHAN_BATCH);
    header(&p)->cli_notify = header(&p)->srv_notify = 0;
    ck_assert_int_eq(xids_vchan_write(p.c, data, 4096), 4096);
    ck_assert_int_eq(xids_vchan_read(p.s, data, 100), 100);
    ck_assert_int_eq(xids_vchan_write(p.s, data, 100), 100);
    ck_assert_int_eq(xids_vchan_arm(p.c, 1, 1), 0);
    unsigned int before = world_notifies(p.w, 0);
    ck_assert_int_eq(xids_vchan_flush(p.s), 0);
    ck_assert_uint_eq(world_notifies(p.w, 0) - before, 1);
    pair_close(&p);
}
END_TEST

static TCase *bytes_cases(const char *name)
{
    TCase *bytes = tcase_create(name);
    tcase_set_timeout(bytes, 60);
    tcase_add_loop_test(bytes, stream_arrives_whole_both_ways, 0, N_ORDERS);
    tcase_add_loop_test(bytes, stream_arrives_whole_in_batches, 0, N_ORDERS);
    tcase_add_loop_test(bytes, stream_arrives_whole_while_wiping, 0, N_ORDERS);
    tcase_add_loop_test(bytes, packets_arrive_whole_both_ways, 0, N_ORDERS);
    tcase_add_test(bytes, a_full_ring_says_again_and_an_empty_one_too);
    tcase_add_test(bytes, nothing_is_done_for_no_bytes);
    tcase_add_test(bytes, a_packet_larger_than_the_ring_is_refused_for_good);
    tcase_add_test(bytes, a_packet_moves_whole_or_not_at_all);
    tcase_add_test(bytes, spans_move_bytes_without_a_copy);
    tcase_add_test(bytes, spans_end_at_the_end_of_the_ring);
    tcase_add_test(bytes, taking_more_than_is_known_is_refused);
    return bytes;
}

static TCase *extended(TCase *cases)
{
    tcase_add_checked_fixture(cases, world_extended, NULL);
    return cases;
}

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan");
    TCase *wire = tcase_create("wire");
    tcase_add_loop_test(wire, server_lays_out_the_page_as_libxenvchan_does, 0, N_ORDERS);
    tcase_add_loop_test(wire, client_announces_itself_as_libxenvchan_does, 0, N_ORDERS);
    tcase_add_test(wire, client_maps_the_right_ring_for_reading_only);
    tcase_add_loop_test(wire, client_looks_at_a_copy_of_a_page_that_has_all, 0, 2);
    tcase_add_loop_test(wire, client_promises_nothing_to_a_page_that_makes_no_sense, 0, 4);
    tcase_add_loop_test(wire, server_refuses_orders_that_do_not_fit, 0, N_BAD_ORDERS);
    tcase_add_test(wire, unknown_flags_are_refused);
    tcase_add_loop_test(wire, bytes_lie_where_the_order_says, 0, 6);
    tcase_add_test(wire, right_grants_follow_the_left);
    tcase_add_test(wire, indices_pass_two_to_the_32);
    suite_add_tcase(suite, wire);
    suite_add_tcase(suite, bytes_cases("bytes"));
    suite_add_tcase(suite, extended(bytes_cases("bytes extended")));
    TCase *notify = tcase_create("notify");
    tcase_add_test(notify, a_peer_that_did_not_ask_is_not_notified);
    tcase_add_test(notify, a_sleeping_reader_is_notified_once);
    tcase_add_test(notify, a_sleeping_writer_is_notified_of_room);
    tcase_add_test(notify, arm_does_not_sleep_over_what_is_there);
    tcase_add_test(notify, counting_asks_for_no_event);
    tcase_add_test(notify, a_batch_is_published_by_a_quarter_of_the_ring);
    tcase_add_test(notify, a_reader_of_batches_who_has_read_all_still_waits_for_his_flush);
    tcase_add_test(notify, a_batch_of_a_large_ring_is_32_kib);
    tcase_add_test(notify, a_batch_is_published_for_a_sleeping_reader);
    tcase_add_test(notify, a_batch_is_published_by_flush_arm_and_the_end);
    tcase_add_test(notify, one_notification_serves_both_directions);
    suite_add_tcase(suite, notify);
    return suite;
}
