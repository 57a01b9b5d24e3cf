/* SPDX-License-Identifier: ISC */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
#include <xids/bytering.h>

/* A ring with its two sides, in ordinary memory; start is where both indices begin. */
struct pipe {
    uint32_t prod, cons;
    uint8_t buffer[64];
    struct xids_bytering w, r;
};

static void pipe_init(struct pipe *p, uint32_t start)
{
    memset(p, 0, sizeof(*p));
    p->prod = p->cons = start;
    struct xids_bytering_layout at = {p->buffer, sizeof(p->buffer), &p->prod, &p->cons};
    ck_assert_int_eq(xids_bytering_attach(&p->w, &at, true), 0);
    ck_assert_int_eq(xids_bytering_attach(&p->r, &at, false), 0);
}

static const uint32_t starts[] = {0, 1, 63, 0x7fffffffu, 0xffffffffu, 0xffffffe0u};

START_TEST(bytes_arrive_in_order_whatever_the_start)
{
    struct pipe p;
    pipe_init(&p, starts[_i]);
    uint8_t sent = 0, got = 0;
    unsigned int rng = 1;
    for (int round = 0; round < 5000; round++) {
        uint8_t out[100], in[100];
        rng = rng * 1103515245u + 12345u;
        uint32_t len = (rng >> 16) % sizeof(out);
        for (uint32_t i = 0; i < len; i++)
            out[i] = (uint8_t)(sent + i);
        int n = xids_bytering_write(&p.w, out, len);
        ck_assert_int_ge(n, 0);
        sent = (uint8_t)(sent + n);
        xids_bytering_publish(&p.w);
        rng = rng * 1103515245u + 12345u;
        n = xids_bytering_read(&p.r, in, (rng >> 16) % sizeof(in));
        ck_assert_int_ge(n, 0);
        for (int i = 0; i < n; i++)
            ck_assert_uint_eq(in[i], got++);
        xids_bytering_publish(&p.r);
    }
}
END_TEST

START_TEST(unpublished_bytes_are_invisible)
{
    struct pipe p;
    uint8_t byte;
    pipe_init(&p, 0);
    ck_assert_int_eq(xids_bytering_write(&p.w, "x", 1), 1);
    ck_assert_int_eq(xids_bytering_read(&p.r, &byte, 1), 0);
    ck_assert(xids_bytering_publish(&p.w));
    ck_assert(!xids_bytering_publish(&p.w));
    ck_assert_int_eq(xids_bytering_read(&p.r, &byte, 1), 1);
    ck_assert_uint_eq(byte, 'x');
}
END_TEST

START_TEST(a_full_ring_takes_nothing_until_room_is_published)
{
    struct pipe p;
    uint8_t data[64] = {0};
    pipe_init(&p, 7);
    ck_assert_int_eq(xids_bytering_write(&p.w, data, 64), 64);
    xids_bytering_publish(&p.w);
    ck_assert_int_eq(xids_bytering_write(&p.w, data, 1), 0);
    ck_assert_int_eq(xids_bytering_read(&p.r, data, 10), 10);
    ck_assert_int_eq(xids_bytering_write(&p.w, data, 1), 0);
    ck_assert(xids_bytering_publish(&p.r));
    ck_assert_int_eq(xids_bytering_write(&p.w, data, 64), 10);
}
END_TEST

START_TEST(producer_beyond_the_buffer_breaks_the_reader)
{
    struct pipe p;
    uint8_t data[64];
    pipe_init(&p, 100);
    p.prod = 100 + 65;
    ck_assert_int_eq(xids_bytering_read(&p.r, data, 64), -XEN_EBADMSG);
    p.prod = 100 + 1;
    ck_assert_int_eq(xids_bytering_read(&p.r, data, 64), -XEN_EBADMSG);
}
END_TEST

START_TEST(producer_going_back_breaks_the_reader)
{
    struct pipe p;
    uint8_t data[64];
    pipe_init(&p, 100);
    p.prod = 110;
    ck_assert_int_eq(xids_bytering_read(&p.r, data, 5), 5);
    p.prod = 109;
    ck_assert_int_eq(xids_bytering_look(&p.r), -XEN_EBADMSG);
}
END_TEST

START_TEST(consumer_beyond_the_producer_breaks_the_writer)
{
    struct pipe p;
    pipe_init(&p, 0);
    ck_assert_int_eq(xids_bytering_write(&p.w, "abc", 3), 3);
    p.cons = 1; /* not yet published: nobody can have read it */
    ck_assert_int_eq(xids_bytering_look(&p.w), -XEN_EBADMSG);
}
END_TEST

START_TEST(consumer_going_back_breaks_the_writer)
{
    struct pipe p;
    pipe_init(&p, 0);
    ck_assert_int_eq(xids_bytering_write(&p.w, "abc", 3), 3);
    xids_bytering_publish(&p.w);
    p.cons = 2;
    ck_assert_int_eq(xids_bytering_look(&p.w), 63);
    p.cons = 1;
    ck_assert_int_eq(xids_bytering_look(&p.w), -XEN_EBADMSG);
}
END_TEST

START_TEST(rewriting_our_own_index_changes_nothing)
{
    struct pipe p;
    uint8_t data[64];
    pipe_init(&p, 0);
    ck_assert_int_eq(xids_bytering_write(&p.w, "abcdef", 6), 6);
    xids_bytering_publish(&p.w);
    ck_assert_int_eq(xids_bytering_read(&p.r, data, 3), 3);
    p.cons = 0; /* the peer rewinds the reader's index */
    ck_assert_int_eq(xids_bytering_read(&p.r, data, 3), 3);
    ck_assert_mem_eq(data, "def", 3);
}
END_TEST

START_TEST(reserve_and_peek_wrap_in_two_spans)
{
    struct pipe p;
    uint8_t XIDS_PEER *room;
    const uint8_t XIDS_PEER *seen;
    pipe_init(&p, 60);
    ck_assert_int_eq(xids_bytering_reserve(&p.w, &room, 10), 4);
    xids_peer_put(room, "abcd", 4);
    ck_assert_int_eq(xids_bytering_commit(&p.w, 4), 0);
    ck_assert_int_eq(xids_bytering_reserve(&p.w, &room, 10), 60);
    xids_peer_put(room, "efghij", 6);
    ck_assert_int_eq(xids_bytering_commit(&p.w, 6), 0);
    xids_bytering_publish(&p.w);
    char got[11] = {0};
    ck_assert_int_eq(xids_bytering_peek(&p.r, &seen, 10), 4);
    xids_peer_get(got, seen, 4);
    ck_assert_int_eq(xids_bytering_consume(&p.r, 4), 0);
    ck_assert_int_eq(xids_bytering_peek(&p.r, &seen, 6), 6);
    xids_peer_get(got + 4, seen, 6);
    ck_assert_str_eq(got, "abcdefghij");
}
END_TEST

START_TEST(commit_beyond_the_room_is_refused)
{
    struct pipe p;
    pipe_init(&p, 0);
    ck_assert_int_eq(xids_bytering_commit(&p.w, 65), -XEN_EINVAL);
    ck_assert_int_eq(xids_bytering_consume(&p.r, 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_bytering_commit(&p.w, 64), 0);
}
END_TEST

START_TEST(attach_refuses_sizes_that_are_no_power_of_two)
{
    uint32_t prod = 0, cons = 0;
    uint8_t buffer[64];
    struct xids_bytering r;
    static const uint32_t bad[] = {0, 3, 48, 0xc0000000u, 0x80000000u};
    struct xids_bytering_layout at = {buffer, bad[_i], &prod, &cons};
    ck_assert_int_eq(xids_bytering_attach(&r, &at, true), -XEN_EINVAL);
}
END_TEST

START_TEST(attach_refuses_impossible_indices)
{
    uint32_t prod = 65, cons = 0;
    uint8_t buffer[64];
    struct xids_bytering r;
    struct xids_bytering_layout at = {buffer, 64, &prod, &cons};
    ck_assert_int_eq(xids_bytering_attach(&r, &at, false), -XEN_EBADMSG);
}
END_TEST

START_TEST(attach_goes_on_where_the_page_stands)
{
    struct pipe p;
    uint8_t data[8];
    pipe_init(&p, 0xfffffffeu);
    ck_assert_int_eq(xids_bytering_write(&p.w, "hello", 5), 5);
    xids_bytering_publish(&p.w);
    ck_assert_int_eq(xids_bytering_read(&p.r, data, 2), 2);
    xids_bytering_publish(&p.r);
    struct xids_bytering again;
    ck_assert_int_eq(xids_bytering_attach(&again, &p.r.at, false), 0);
    ck_assert_int_eq(xids_bytering_read(&again, data, 8), 3);
    ck_assert_mem_eq(data, "llo", 3);
}
END_TEST

START_TEST(xenstore_layout_is_the_one_of_xs_wire_h)
{
    struct xenstore_domain_interface page;
    memset(&page, 0, sizeof(page));
    struct xids_bytering_layout q = xids_bytering_xenstore_requests(&page);
    struct xids_bytering_layout a = xids_bytering_xenstore_replies(&page);
    ck_assert(q.buffer == (uint8_t *)page.req && q.prod == &page.req_prod && q.cons == &page.req_cons);
    ck_assert(a.buffer == (uint8_t *)page.rsp && a.prod == &page.rsp_prod && a.cons == &page.rsp_cons);
    ck_assert_uint_eq(q.size, 1024);
    ck_assert_uint_eq(a.size, 1024);
}
END_TEST

START_TEST(console_layout_is_the_one_of_console_h)
{
    struct xencons_interface page;
    memset(&page, 0, sizeof(page));
    struct xids_bytering_layout o = xids_bytering_console_output(&page);
    struct xids_bytering_layout i = xids_bytering_console_input(&page);
    ck_assert(o.buffer == (uint8_t *)page.out && o.prod == &page.out_prod && o.cons == &page.out_cons);
    ck_assert(i.buffer == (uint8_t *)page.in && i.prod == &page.in_prod && i.cons == &page.in_cons);
    ck_assert_uint_eq(o.size, 2048);
    ck_assert_uint_eq(i.size, 1024);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("bytering");
    TCase *t = tcase_create("stream");
    tcase_add_loop_test(t, bytes_arrive_in_order_whatever_the_start, 0, (int)(sizeof(starts) / sizeof(starts[0])));
    tcase_add_test(t, unpublished_bytes_are_invisible);
    tcase_add_test(t, a_full_ring_takes_nothing_until_room_is_published);
    tcase_add_test(t, reserve_and_peek_wrap_in_two_spans);
    tcase_add_test(t, commit_beyond_the_room_is_refused);
    suite_add_tcase(s, t);
    t = tcase_create("hostile-peer");
    tcase_add_test(t, producer_beyond_the_buffer_breaks_the_reader);
    tcase_add_test(t, producer_going_back_breaks_the_reader);
    tcase_add_test(t, consumer_beyond_the_producer_breaks_the_writer);
    tcase_add_test(t, consumer_going_back_breaks_the_writer);
    tcase_add_test(t, rewriting_our_own_index_changes_nothing);
    suite_add_tcase(s, t);
    t = tcase_create("attach");
    tcase_add_loop_test(t, attach_refuses_sizes_that_are_no_power_of_two, 0, 5);
    tcase_add_test(t, attach_refuses_impossible_indices);
    tcase_add_test(t, attach_goes_on_where_the_page_stands);
    tcase_add_test(t, xenstore_layout_is_the_one_of_xs_wire_h);
    tcase_add_test(t, console_layout_is_the_one_of_console_h);
    suite_add_tcase(s, t);
    return s;
}
