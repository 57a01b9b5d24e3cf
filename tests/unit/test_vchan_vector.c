/* SPDX-License-Identifier: ISC */
/* vchan: pieces of memory, and both spans of a ring at once. */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_world.h"

#include <string.h>

#define SIZE 4096u

/* Opens a channel whose left ring stands at offset at. */
static void open_at(struct pair *p, uint32_t at, unsigned int flags)
{
    static uint8_t data[SIZE];
    pair_open(p, 12, 12, flags);
    ck_assert_int_eq(xids_vchan_send(p->c, data, at), (int)at);
    ck_assert_int_eq(xids_vchan_flush(p->c), 0);
    ck_assert_int_eq(xids_vchan_recv(p->s, data, at), (int)at);
    ck_assert_int_eq(xids_vchan_flush(p->s), 0);
}

static void fill(uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
}

START_TEST(pieces_arrive_in_order)
{
    static uint8_t from[3000], to[3000];
    struct pair p;
    fill(from, sizeof(from));
    open_at(&p, SIZE - 1000, 0);
    const struct xids_vchan_iov out[] = {{from, 10}, {from + 10, 0}, {from + 10, 1990}, {from + 2000, 1000}};
    const struct xids_vchan_iov in[] = {{to, 1500}, {to + 1500, 1}, {NULL, 0}, {to + 1501, 1499}};
    unsigned int before = world_notifies(p.w, 1);
    ck_assert_int_eq(xids_vchan_arm(p.s, 1, 0), 0);
    ck_assert_int_eq(_i == 0 ? xids_vchan_writev(p.c, out, 4) : xids_vchan_sendv(p.c, out, 4), 3000);
    ck_assert_uint_eq(world_notifies(p.w, 1), before + 1);
    ck_assert_int_eq(_i == 0 ? xids_vchan_readv(p.s, in, 4) : xids_vchan_recvv(p.s, in, 4), 3000);
    ck_assert_mem_eq(from, to, sizeof(from));
    pair_close(&p);
}
END_TEST

START_TEST(a_stream_of_pieces_takes_what_fits)
{
    static uint8_t from[5000], to[5000];
    struct pair p;
    fill(from, sizeof(from));
    open_at(&p, 123, 0);
    const struct xids_vchan_iov out[] = {{from, 4000}, {from + 4000, 1000}};
    const struct xids_vchan_iov in[] = {{to, 2000}, {to + 2000, 3000}};
    ck_assert_int_eq(xids_vchan_writev(p.c, out, 2), 4096);
    ck_assert_int_eq(xids_vchan_writev(p.c, out, 2), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_readv(p.s, in, 2), 4096);
    ck_assert_mem_eq(from, to, 4096);
    ck_assert_int_eq(xids_vchan_readv(p.s, in, 2), -XEN_EAGAIN);
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_readv(p.s, in, 2), 0);
    ck_assert_int_eq(xids_vchan_writev(p.s, out, 2), -XEN_ENOTCONN);
    pair_close(&p);
}
END_TEST

START_TEST(a_packet_of_pieces_moves_whole_or_not_at_all)
{
    static uint8_t data[4000];
    struct pair p;
    open_at(&p, 0, 0);
    const struct xids_vchan_iov two[] = {{data, 2000}, {data + 2000, 2000}};
    const struct xids_vchan_iov large[] = {{data, 4000}, {data, 97}};
    ck_assert_int_eq(xids_vchan_sendv(p.c, large, 2), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_recvv(p.c, large, 2), -XEN_EMSGSIZE);
    ck_assert_int_eq(xids_vchan_sendv(p.c, two, 2), 4000);
    ck_assert_int_eq(xids_vchan_sendv(p.c, two, 1), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_read(p.s, data, 1), 1);
    ck_assert_int_eq(xids_vchan_recvv(p.s, two, 2), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_readable(p.s), 3999);
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_recvv(p.s, two, 2), -XEN_ENODATA);
    pair_close(&p);
}
END_TEST

START_TEST(lengths_that_cannot_be_summed_are_refused)
{
    struct pair p;
    open_at(&p, 0, 0);
    const struct xids_vchan_iov iov[] = {{NULL, 1u << 30}, {NULL, 1u << 30}};
    const struct xids_vchan_iov none[] = {{NULL, 0}, {NULL, 0}};
    ck_assert_int_eq(xids_vchan_readv(p.s, iov, 2), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_writev(p.s, iov, 2), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_recvv(p.s, iov, 2), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_sendv(p.s, iov, 2), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_readv(p.s, none, 2), 0);
    ck_assert_int_eq(xids_vchan_writev(p.s, none, 2), 0);
    ck_assert_int_eq(xids_vchan_writev(p.s, NULL, 0), 0);
    pair_close(&p);
}
END_TEST

START_TEST(both_spans_are_all_there_is)
{
    static uint8_t from[SIZE], to[SIZE];
    struct xids_vchan_span span[2];
    struct pair p;
    uint32_t at = (uint32_t)_i * 1365;
    fill(from, sizeof(from));
    open_at(&p, at, 0);
    ck_assert_int_eq(xids_vchan_peekv(p.s, span, 1), -XEN_EAGAIN);
    ck_assert(span[0].len == 0 && span[1].len == 0 && span[0].data == NULL);
    ck_assert_int_eq(xids_vchan_reservev(p.c, span, SIZE), (int)SIZE);
    ck_assert_uint_eq(span[0].len, SIZE - at);
    ck_assert_uint_eq(span[1].len, at);
    xids_peer_put(span[0].data, from, span[0].len);
    if (at != 0)
        xids_peer_put(span[1].data, from + span[0].len, at);
    ck_assert_int_eq(xids_vchan_commit(p.c, SIZE), 0);
    ck_assert_int_eq(xids_vchan_reservev(p.c, span, 1), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_peekv(p.s, span, SIZE), (int)SIZE);
    ck_assert_uint_eq(span[0].len, SIZE - at);
    xids_peer_get(to, span[0].data, span[0].len);
    if (at != 0)
        xids_peer_get(to + span[0].len, span[1].data, span[1].len);
    ck_assert_mem_eq(from, to, SIZE);
    ck_assert_int_eq(xids_vchan_consume(p.s, SIZE), 0);
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_peekv(p.s, span, 1), 0);
    ck_assert_int_eq(xids_vchan_reservev(p.s, span, 1), -XEN_ENOTCONN);
    pair_close(&p);
}
END_TEST

START_TEST(secrets_in_pieces_are_wiped)
{
    static const uint8_t zeros[SIZE];
    struct xids_vchan_span span[2];
    char secret[] = "secret", got[7] = "";
    struct pair p;
    open_at(&p, SIZE - 3, XIDS_VCHAN_WIPE);
    const struct xids_vchan_iov out[] = {{secret, 2}, {secret + 2, 4}}, in[] = {{got, 5}, {got + 5, 1}};
    ck_assert_int_eq(xids_vchan_reservev(p.c, span, SIZE), (int)SIZE);
    ck_assert_int_eq(xids_vchan_writev(p.c, out, 2), 6);
    ck_assert_int_eq(xids_vchan_readv(p.s, in, 2), 6);
    ck_assert_str_eq(got, "secret");
    ck_assert_mem_eq(XIDS_PEER_RAW(uint8_t, span[0].data), zeros, span[0].len);
    ck_assert_mem_eq(XIDS_PEER_RAW(uint8_t, span[1].data), zeros, span[1].len);
    pair_close(&p);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan vector");
    TCase *pieces = tcase_create("pieces");
    tcase_add_loop_test(pieces, pieces_arrive_in_order, 0, 2);
    tcase_add_test(pieces, a_stream_of_pieces_takes_what_fits);
    tcase_add_test(pieces, a_packet_of_pieces_moves_whole_or_not_at_all);
    tcase_add_test(pieces, lengths_that_cannot_be_summed_are_refused);
    tcase_add_loop_test(pieces, both_spans_are_all_there_is, 0, 4);
    tcase_add_test(pieces, secrets_in_pieces_are_wiped);
    suite_add_tcase(suite, pieces);
    return suite;
}
