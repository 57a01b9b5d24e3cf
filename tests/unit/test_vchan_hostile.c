/* SPDX-License-Identifier: ISC */
/* vchan against a peer that writes any byte of the shared pages at any time. */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_world.h"

#include <stdlib.h>
#include <string.h>
#include <xen/io/libxenvchan.h>

static struct vchan_interface *header(const struct pair *p)
{
    return (struct vchan_interface *)(void *)p->page;
}

static void assert_broken(struct xids_vchan *ch)
{
    uint8_t data[16] = {0};
    uint8_t XIDS_PEER *out = NULL;
    const uint8_t XIDS_PEER *in = NULL;
    ck_assert_int_eq(xids_vchan_state(ch), XIDS_VCHAN_BROKEN);
    ck_assert_int_eq(xids_vchan_error(ch), -XEN_EBADMSG);
    ck_assert_str_ne(xids_vchan_reason(ch), "");
    ck_assert_int_eq(xids_vchan_read(ch, data, 1), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_read(ch, data, 0), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_recv(ch, data, 16), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_write(ch, data, 1), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_send(ch, data, 16), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_peek(ch, &in, 1), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_reserve(ch, &out, 1), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_consume(ch, 0), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_commit(ch, 0), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_readable(ch), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_writable(ch), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_flush(ch), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_arm(ch, 1, 1), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_event(ch), XIDS_VCHAN_BROKEN);
    ck_assert_int_eq(xids_vchan_check_peer(ch), XIDS_VCHAN_BROKEN);
}

static const uint32_t impossible[] = {4097, 8192, 0x7fffffff, 0x80000000, 0xffffffff};
enum { N_IMPOSSIBLE = sizeof(impossible) / sizeof(impossible[0]) };

START_TEST(an_impossible_producer_breaks_the_server)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    header(&p)->left.prod = impossible[_i];
    ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), -XEN_EBADMSG);
    /* It stays broken when the index becomes possible again. */
    header(&p)->left.prod = 0;
    assert_broken(p.s);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), -XEN_EBADMSG);
    pair_close(&p);
}
END_TEST

START_TEST(an_impossible_producer_breaks_the_client)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    header(&p)->right.prod = impossible[_i];
    ck_assert_int_eq(xids_vchan_arm(p.c, 1, 0), -XEN_EBADMSG);
    assert_broken(p.c);
    pair_close(&p);
}
END_TEST

START_TEST(an_impossible_consumer_breaks_the_writer)
{
    struct pair p;
    uint8_t data[4096] = {0};
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 4096), 4096);
    header(&p)->left.cons = impossible[_i];
    ck_assert_int_eq(xids_vchan_write(p.c, data, 1), -XEN_EBADMSG);
    assert_broken(p.c);
    pair_close(&p);
}
END_TEST

START_TEST(an_index_that_goes_back_is_impossible)
{
    struct pair p;
    uint8_t data[100] = {0};
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 100), 100);
    ck_assert_int_eq(xids_vchan_readable(p.s), 100);
    header(&p)->left.prod = 50;
    ck_assert_int_eq(xids_vchan_readable(p.s), -XEN_EBADMSG);
    assert_broken(p.s);
    pair_close(&p);
}
END_TEST

START_TEST(our_own_indices_are_not_the_peers_to_move)
{
    struct pair p;
    char got[8];
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.s, "abcd", 4), 4);
    header(&p)->right.prod = 77;
    header(&p)->left.cons = 88;
    ck_assert_int_eq(xids_vchan_write(p.s, "efgh", 4), 4);
    ck_assert_uint_eq(header(&p)->right.prod, 8);
    header(&p)->left.cons = 0;
    ck_assert_int_eq(xids_vchan_write(p.c, "xyz", 3), 3);
    header(&p)->left.cons = 88;
    ck_assert_int_eq(xids_vchan_read(p.s, got, 8), 3);
    ck_assert_mem_eq(got, "xyz", 3);
    ck_assert_uint_eq(header(&p)->left.cons, 3);
    pair_close(&p);
}
END_TEST

START_TEST(orders_and_grants_are_not_read_again)
{
    struct pair p;
    uint8_t data[64] = {0};
    pair_open(&p, 12, 12, 0);
    memset(p.page + 16, 0xff, 4);
    memset(p.page + 24, 0xff, 4096 - 24);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 64), 64);
    ck_assert_int_eq(xids_vchan_read(p.s, data, 64), 64);
    ck_assert_int_eq(xids_vchan_write(p.s, data, 64), 64);
    ck_assert_int_eq(xids_vchan_read(p.c, data, 64), 64);
    ck_assert_uint_eq(xids_vchan_read_size(p.c), 4096);
    pair_close(&p);
}
END_TEST

START_TEST(a_client_refuses_a_page_that_makes_no_sense)
{
    static const struct {
        uint16_t left, right;
        uint32_t prod;
    } pages[] = {
        {9, 12, 0},
        {12, 9, 0},
        {21, 12, 0},
        {12, 21, 0},
        {10, 10, 0},
        {11, 11, 0},
        {0, 0, 0},
        {0xffff, 12, 0},
        {12, 0xffff, 0},
        {12, 12, 5000},
        {10, 11, 2049},
        /* More grants than there are: the list goes on with zeros. */
        {13, 12, 0},
        {12, 13, 0},
        {20, 20, 0},
    };
    if ((size_t)_i >= sizeof(pages) / sizeof(pages[0]))
        return;
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    header(&p)->left_order = pages[_i].left;
    header(&p)->right_order = pages[_i].right;
    header(&p)->right.prod = pages[_i].prod;
    /* Orders that are not there at all are those of a server that has another client. */
    bool none = pages[_i].left == 0 && pages[_i].right == 0;
    ck_assert_int_eq(pair_connect(&p, 0), none ? -XEN_EBUSY : -XEN_EBADMSG);
    /* Refused before it is told. */
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
    free(p.c);
    p.c = NULL;
    pair_close(&p);
}
END_TEST

/* One byte of the header takes every value between two rounds of everything. */
START_TEST(no_value_of_a_header_byte_leads_astray)
{
    struct pair p;
    static uint8_t data[8192];
    for (unsigned int value = 0; value < 256; value += value < 16 || value > 250 ? 1 : 5) {
        for (int d = 0; d < 2; d++) {
            pair_open(&p, 12, 11, value % 2 ? XIDS_VCHAN_BATCH : 0);
            struct xids_vchan *ch = d == 0 ? p.s : p.c, *peer = d == 0 ? p.c : p.s;
            ck_assert_int_eq(xids_vchan_write(peer, data, 300), 300);
            ck_assert_int_eq(xids_vchan_flush(peer), 0);
            ck_assert_int_eq(xids_vchan_write(ch, data, 300), 300);
            p.page[_i] = (uint8_t)value;
            uint64_t moved = 0;
            for (int round = 0; round < 8; round++) {
                int rc = xids_vchan_read(ch, data, sizeof(data));
                ck_assert_int_le(rc, 4096);
                moved += rc > 0 ? (uint64_t)rc : 0;
                rc = xids_vchan_write(ch, data, sizeof(data));
                ck_assert_int_le(rc, 4096);
                rc = xids_vchan_arm(ch, 1, 1);
                /* Sleeping is right only if nothing is there to do. */
                if (rc == 0)
                    ck_assert(xids_vchan_readable(ch) == 0 && xids_vchan_writable(ch) == 0);
                ck_assert(rc >= 0 || rc == -XEN_EBADMSG);
                (void)world_events(p.w, d, ch);
            }
            /* At most what a full ring and the honest bytes hold: nothing is read for ever. */
            ck_assert_uint_le(moved, 4096);
            if (xids_vchan_error(ch) != 0)
                ck_assert_str_ne(xids_vchan_reason(ch), "");
            pair_close(&p);
        }
    }
}
END_TEST

/* A peer that writes random words of the pages between any two calls; whatever comes back obeys its contract. */
START_TEST(a_scribbling_peer_gets_errors_at_most)
{
    static uint8_t data[8192];
    static const unsigned int orders[][2] = {{10, 11}, {11, 10}, {12, 12}, {11, 13}, {13, 10}};
    unsigned int rng = 17u + (unsigned int)_i;
    for (int world = 0; world < 30; world++) {
        struct pair p;
        const unsigned int *order = orders[world % 5];
        static const unsigned int flags[] = {0, XIDS_VCHAN_BATCH, XIDS_VCHAN_WIPE, XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH};
        pair_open(&p, order[0], order[1], flags[world % 4]);
        struct xids_vchan *ch = world % 2 ? p.s : p.c;
        for (int step = 0; step < 200; step++) {
            rng = rng * 1103515245u + 12345u;
            unsigned int r = rng >> 8;
            uint32_t at = r % 8 ? (r >> 4) % 24 : (r >> 4) % 4096;
            /* Mostly small steps of indices, which pass for longer. */
            if (r % 3 == 0 && at < 16)
                p.page[at & ~3u] = (uint8_t)(p.page[at & ~3u] + (r >> 16) % 5);
            else if (r % 64 == 1)
                p.page[at] = (uint8_t)(r >> 16);
            const uint8_t XIDS_PEER *in = NULL;
            uint8_t XIDS_PEER *out = NULL;
            uint32_t len = (r >> 12) % sizeof(data);
            int rc = 0;
            switch ((r >> 3) % 9) {
            case 0:
                rc = xids_vchan_read(ch, data, len);
                break;
            case 1:
                rc = xids_vchan_write(ch, data, len);
                break;
            case 2:
                rc = xids_vchan_recv(ch, data, len % 100);
                break;
            case 3:
                rc = xids_vchan_send(ch, data, len % 100);
                break;
            case 4:
                rc = xids_vchan_peek(ch, &in, len);
                for (int i = 0; i < rc; i++)
                    xids_peer_get(data, in + i, 1);
                if (rc > 0)
                    ck_assert(xids_vchan_consume(ch, (uint32_t)rc) <= 0);
                break;
            case 5:
                rc = xids_vchan_reserve(ch, &out, len);
                if (rc > 0)
                    xids_peer_put(out, data, (size_t)rc);
                if (rc > 0)
                    ck_assert(xids_vchan_commit(ch, (uint32_t)rc) <= 0);
                break;
            case 6:
                rc = xids_vchan_arm(ch, 1, 1);
                break;
            case 7:
                rc = xids_vchan_flush(ch);
                break;
            default:
                (void)world_events(p.w, world % 2 ? 0 : 1, ch);
                ck_assert_uint_le(xids_vchan_check_peer(ch), XIDS_VCHAN_BROKEN);
                break;
            }
            ck_assert_int_le(rc, 8192);
            ck_assert(rc >= 0 || rc == -XEN_EAGAIN || rc == -XEN_EBADMSG || rc == -XEN_ENOTCONN || rc == -XEN_ENODATA ||
                      rc == -XEN_EMSGSIZE);
            ck_assert((rc == -XEN_EBADMSG) <= (xids_vchan_error(ch) == -XEN_EBADMSG));
        }
        pair_close(&p);
    }
}
END_TEST

START_TEST(request_bits_that_never_clear_cost_one_call_a_message)
{
    struct pair p;
    uint8_t data[16] = {0};
    pair_open(&p, 12, 12, 0);
    unsigned int before = world_notifies(p.w, 0);
    for (int i = 0; i < 10; i++) {
        header(&p)->srv_notify = 0xff;
        ck_assert_int_eq(xids_vchan_write(p.s, data, 16), 16);
    }
    ck_assert_uint_eq(world_notifies(p.w, 0) - before, 10);
    /* Bits that mean nothing are left alone. */
    ck_assert_uint_eq(header(&p)->srv_notify, 0xfe);
    pair_close(&p);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan hostile");
    TCase *hostile = tcase_create("hostile");
    tcase_set_timeout(hostile, 60);
    tcase_add_loop_test(hostile, an_impossible_producer_breaks_the_server, 0, N_IMPOSSIBLE);
    tcase_add_loop_test(hostile, an_impossible_producer_breaks_the_client, 0, N_IMPOSSIBLE);
    tcase_add_loop_test(hostile, an_impossible_consumer_breaks_the_writer, 0, N_IMPOSSIBLE);
    tcase_add_test(hostile, an_index_that_goes_back_is_impossible);
    tcase_add_test(hostile, our_own_indices_are_not_the_peers_to_move);
    tcase_add_test(hostile, orders_and_grants_are_not_read_again);
    tcase_add_loop_test(hostile, a_client_refuses_a_page_that_makes_no_sense, 0, 14);
    tcase_add_loop_test(hostile, no_value_of_a_header_byte_leads_astray, 0, 24);
    tcase_add_loop_test(hostile, a_scribbling_peer_gets_errors_at_most, 0, 16);
    tcase_add_test(hostile, request_bits_that_never_clear_cost_one_call_a_message);
    suite_add_tcase(suite, hostile);
    return suite;
}
