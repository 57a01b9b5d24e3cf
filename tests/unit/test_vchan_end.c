/* SPDX-License-Identifier: ISC */
/* vchan: closing, deaths, offering again, failures of the platform, wiping. */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/libxenvchan.h>

static struct vchan_interface *header(const struct pair *p)
{
    return (struct vchan_interface *)(void *)p->page;
}

/* The channel of one side (0: server) and of the other. */
static struct xids_vchan *side(const struct pair *p, int d)
{
    return d == 0 ? p->s : p->c;
}

static void forget(struct pair *p, int d)
{
    free(side(p, d));
    if (d == 0)
        p->s = NULL;
    else
        p->c = NULL;
}

enum how { CLOSE, KILL };

/* One side leaves. */
static void leave(struct pair *p, int d, enum how how)
{
    if (how == CLOSE)
        xids_vchan_fini(side(p, d));
    else
        world_kill(p->w, d);
    forget(p, d);
}

/* Loop cases: both sides, both ways to leave. */
#define LOOP_SIDE (_i & 1)
#define LOOP_HOW ((_i & 2) != 0 ? KILL : CLOSE)

START_TEST(queued_bytes_come_before_the_end)
{
    struct pair p;
    char got[16];
    int d = LOOP_SIDE;
    pair_open(&p, 12, 11, 0);
    struct xids_vchan *stays = side(&p, 1 - d);
    ck_assert_int_eq(xids_vchan_write(side(&p, d), "last words", 10), 10);
    leave(&p, d, LOOP_HOW);
    ck_assert_int_ge(world_events(p.w, 1 - d, stays), 1);
    ck_assert_int_eq(xids_vchan_state(stays), XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(xids_vchan_read(stays, got, 4), 4);
    ck_assert_int_eq(xids_vchan_state(stays), XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(xids_vchan_read(stays, got + 4, 12), 6);
    ck_assert_mem_eq(got, "last words", 10);
    ck_assert_int_eq(xids_vchan_state(stays), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_read(stays, got, 1), 0);
    ck_assert_int_eq(xids_vchan_recv(stays, got, 1), 0);
    const uint8_t XIDS_PEER *span = NULL;
    ck_assert_int_eq(xids_vchan_peek(stays, &span, 1), 0);
    ck_assert_int_eq(xids_vchan_error(stays), 0);
    pair_close(&p);
}
END_TEST

START_TEST(writing_to_a_peer_that_left_is_refused)
{
    struct pair p;
    uint8_t XIDS_PEER *span = NULL;
    int d = LOOP_SIDE;
    pair_open(&p, 11, 12, 0);
    struct xids_vchan *stays = side(&p, 1 - d);
    leave(&p, d, LOOP_HOW);
    ck_assert_int_eq(xids_vchan_write(stays, "x", 1), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_vchan_send(stays, "x", 1), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_vchan_reserve(stays, &span, 1), -XEN_ENOTCONN);
    ck_assert_int_eq(xids_vchan_writable(stays), -XEN_ENOTCONN);
    pair_close(&p);
}
END_TEST

START_TEST(a_leaving_peer_wakes_a_sleeper)
{
    struct pair p;
    int d = LOOP_SIDE;
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *stays = side(&p, 1 - d);
    ck_assert_int_eq(xids_vchan_arm(stays, 0, 0), 0);
    leave(&p, d, LOOP_HOW);
    ck_assert_int_ge(world_events(p.w, 1 - d, stays), 1);
    ck_assert_int_eq(xids_vchan_arm(stays, 1, 0), 1);
    ck_assert_int_eq(xids_vchan_arm(stays, 0, 1), 1);
    ck_assert_int_eq(xids_vchan_arm(stays, 0, 0), 1);
    pair_close(&p);
}
END_TEST

START_TEST(an_end_inside_a_packet_is_named)
{
    struct pair p;
    char got[16];
    int d = LOOP_SIDE;
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *stays = side(&p, 1 - d);
    ck_assert_int_eq(xids_vchan_write(side(&p, d), "half", 4), 4);
    leave(&p, d, LOOP_HOW);
    ck_assert_int_eq(xids_vchan_recv(stays, got, 8), -XEN_ENODATA);
    ck_assert_int_eq(xids_vchan_read(stays, got, 8), 4);
    ck_assert_int_eq(xids_vchan_recv(stays, got, 8), 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_domain_that_dies_is_found_by_asking)
{
    struct pair p;
    char got[16];
    int d = LOOP_SIDE;
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *stays = side(&p, 1 - d);
    ck_assert_int_eq(xids_vchan_check_peer(stays), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_write(side(&p, d), "will", 4), 4);
    (void)world_events(p.w, 1 - d, stays);
    world_destroy(p.w, d);
    forget(&p, d);
    /* Nothing tells of it: no event, and the live byte still says 1. */
    ck_assert_int_eq(world_events(p.w, 1 - d, stays), 0);
    ck_assert_int_eq(xids_vchan_state(stays), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_check_peer(stays), XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(xids_vchan_read(stays, got, 16), 4);
    ck_assert_int_eq(xids_vchan_read(stays, got, 16), -XEN_ENODEV);
    ck_assert_int_eq(xids_vchan_write(stays, got, 1), -XEN_ENODEV);
    ck_assert_int_eq(xids_vchan_state(stays), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_error(stays), -XEN_ENODEV);
    ck_assert_str_ne(xids_vchan_reason(stays), "");
    pair_close(&p);
}
END_TEST

START_TEST(a_waiting_server_does_not_take_its_own_port_for_a_loss)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_OPEN);
    pair_close(&p);
}
END_TEST

START_TEST(a_platform_that_may_not_look_finds_nothing)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    world_fail(p.w, 0, 1, -XEN_EACCES);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_OPEN);
    ck_assert(world_failed(p.w));
    ck_assert_int_eq(xids_vchan_write(p.s, "x", 1), 1);
    pair_close(&p);
}
END_TEST

START_TEST(a_server_can_write_before_the_client_comes)
{
    struct pair p;
    char got[8];
    pair_serve(&p, 11, 12, 0);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(xids_vchan_write(p.s, "early", 5), 5);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 1), -XEN_EAGAIN);
    ck_assert_int_eq(xids_vchan_arm(p.s, 1, 0), 0);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_int_eq(world_events(p.w, 0, p.s), 1);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 8), 5);
    pair_close(&p);
}
END_TEST

START_TEST(a_client_that_came_and_went_is_not_missed)
{
    struct pair p;
    char got[8];
    pair_serve(&p, 11, 12, 0);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "hi", 2), 2);
    leave(&p, 1, CLOSE);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 8), 2);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 8), 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_client_finds_a_server_that_has_gone)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    header(&p)->srv_live = 0;
    ck_assert_int_eq(pair_connect(&p, 0), -XEN_ECONNREFUSED);
    forget(&p, 1);
    pair_close(&p);
}
END_TEST

START_TEST(a_second_client_finds_the_port_taken)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *second = malloc(xids_vchan_size());
    int rc = xids_vchan_client_init(second, world_platform(p.w, 1), WORLD_DOMID(0), p.ref, xids_vchan_port(p.s), 0);
    ck_assert_int_eq(rc, -XEN_EINVAL);
    free(second);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    pair_close(&p);
}
END_TEST

START_TEST(a_second_fini_does_nothing)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    xids_vchan_fini(p.c);
    pair_close(&p);
}
END_TEST

/* ---- again ---- */

START_TEST(a_server_serves_the_next_client_where_the_last_left)
{
    struct pair p;
    char got[16];
    pair_open(&p, 10, 11, 0);
    for (int round = 0; round < 300; round++) {
        char text[16];
        int len = snprintf(text, sizeof(text), "client %d", round);
        ck_assert_int_eq(xids_vchan_reoffer(p.s), -XEN_EBUSY);
        ck_assert_int_eq(xids_vchan_send(p.c, text, (uint32_t)len), len);
        if (round % 2 == 0) {
            xids_vchan_fini(p.c);
        } else {
            world_kill(p.w, 1);
        }
        (void)world_events(p.w, 0, p.s);
        ck_assert_int_eq(xids_vchan_reoffer(p.s), -XEN_EBUSY);
        ck_assert_int_eq(xids_vchan_read(p.s, got, 16), len);
        ck_assert_mem_eq(got, text, (size_t)len);
        ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
        ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
        ck_assert_int_eq(xids_vchan_read(p.s, got, 16), -XEN_EAGAIN);
        ck_assert_int_eq(xids_vchan_arm(p.s, 1, 0), 0);
        ck_assert_int_eq(pair_connect(&p, 0), 0);
        ck_assert_int_ge(world_events(p.w, 0, p.s), 1);
        ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    }
    ck_assert_uint_gt(header(&p)->left.prod, 1024);
    pair_close(&p);
}
END_TEST

START_TEST(an_end_holds_until_it_is_offered_again)
{
    struct pair p;
    char got[16];
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "old", 3), 3);
    xids_vchan_fini(p.c);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "new", 3), 3);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 16), 3);
    ck_assert_mem_eq(got, "old", 3);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 16), 0);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 16), 3);
    ck_assert_mem_eq(got, "new", 3);
    pair_close(&p);
}
END_TEST

/* The next client's event was taken while the server still read what the dead one had sent. No other one comes. */
START_TEST(a_client_that_came_behind_a_dead_domain_is_not_missed)
{
    struct pair p;
    char got[16];
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_write(p.c, "old", 3), 3);
    world_destroy(p.w, 1);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_int_ge(world_events(p.w, 0, p.s), 1);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 16), 3);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    xids_vchan_fini(p.c);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CLOSED);
    pair_close(&p);
}
END_TEST

START_TEST(a_server_serves_again_after_a_domain_died)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    world_destroy(p.w, 1);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_eq(xids_vchan_error(p.s), 0);
    /* The live byte of the dead is still 1: that is no client. */
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_int_ge(world_events(p.w, 0, p.s), 1);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    pair_close(&p);
}
END_TEST

/* What the first client leaves unread is nothing for the second, and nothing that lies about. */
START_TEST(what_is_discarded_reaches_no_other_client)
{
    for (int extended = 0; extended < 2; extended++) {
        struct pair p;
        uint8_t *secret = NULL;
        char got[16];
        if (extended)
            world_extended();
        pair_open(&p, 10, 11, XIDS_VCHAN_WIPE);
        secret = p.page + 2048;
        ck_assert_int_eq(xids_vchan_discard(p.c), -XEN_EINVAL);
        ck_assert_int_eq(xids_vchan_discard(p.s), -XEN_EBUSY);
        ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
        ck_assert_mem_eq(secret, "secret", 6);
        xids_vchan_fini(p.c);
        (void)world_events(p.w, 0, p.s);
        ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CLOSED);
        ck_assert_int_eq(xids_vchan_discard(p.s), 0);
        for (unsigned int i = 0; i < 2048; i++)
            ck_assert_uint_eq(secret[i], 0);
        ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
        ck_assert_int_eq(xids_vchan_write(p.s, "other", 5), 5);
        ck_assert_int_eq(pair_connect(&p, XIDS_VCHAN_WIPE), 0);
        ck_assert_int_eq(xids_vchan_read(p.c, got, 16), 5);
        ck_assert_mem_eq(got, "other", 5);
        (void)world_events(p.w, 0, p.s);
        ck_assert_int_eq(xids_vchan_unread(p.s), 0);
        pair_close(&p);
    }
}
END_TEST

START_TEST(only_servers_offer_again)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    leave(&p, 0, CLOSE);
    ck_assert_int_eq(xids_vchan_reoffer(p.c), -XEN_EINVAL);
    pair_close(&p);
}
END_TEST

/* ---- failures of the platform ---- */

START_TEST(every_failing_call_of_a_server_leaves_nothing)
{
    for (unsigned int nth = 1;; nth++) {
        struct world *w = world_new();
        struct xids_vchan *ch = malloc(xids_vchan_size());
        world_fail(w, 0, nth, -XEN_ENOSPC);
        int rc = xids_vchan_server_init(ch, world_platform(w, 0), WORLD_DOMID(1), 13, 12, 0);
        bool failed = world_failed(w);
        if (!failed)
            xids_vchan_fini(ch);
        ck_assert_int_eq(rc, failed ? -XEN_ENOSPC : 0);
        free(ch);
        world_free(w);
        if (!failed) {
            ck_assert_uint_eq(nth, 5);
            break;
        }
    }
}
END_TEST

START_TEST(every_failing_call_of_a_client_leaves_nothing)
{
    for (unsigned int nth = 1;; nth++) {
        struct pair p;
        pair_serve(&p, 12, 12, 0);
        world_fail(p.w, 1, nth, -XEN_ENOMEM);
        int rc = pair_connect(&p, 0);
        bool failed = world_failed(p.w);
        ck_assert_int_eq(rc, failed ? -XEN_ENOMEM : 0);
        if (failed) {
            free(p.c);
            p.c = NULL;
        }
        pair_close(&p);
        if (!failed) {
            ck_assert_uint_eq(nth, 7);
            break;
        }
    }
}
END_TEST

START_TEST(bytes_are_taken_once_though_the_notification_fails)
{
    struct pair p;
    char got[4];
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_arm(p.s, 1, 0), 0);
    world_fail(p.w, 1, 1, -XEN_EIO);
    ck_assert_int_eq(xids_vchan_write(p.c, "once", 4), 4);
    ck_assert(world_failed(p.w));
    ck_assert_int_eq(xids_vchan_write(p.c, "once", 4), -XEN_EIO);
    ck_assert_int_eq(xids_vchan_state(p.c), XIDS_VCHAN_BROKEN);
    ck_assert_str_ne(xids_vchan_reason(p.c), "");
    ck_assert_int_eq(xids_vchan_read(p.s, got, 4), 4);
    ck_assert_int_eq(xids_vchan_read(p.s, got, 4), -XEN_EAGAIN);
    pair_close(&p);
}
END_TEST

START_TEST(a_failing_unmask_breaks_the_channel)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    world_fail(p.w, 0, 1, -XEN_EIO);
    ck_assert_int_eq(xids_vchan_event(p.s), XIDS_VCHAN_BROKEN);
    ck_assert_int_eq(xids_vchan_error(p.s), -XEN_EIO);
    ck_assert_int_eq(xids_vchan_event(p.s), XIDS_VCHAN_BROKEN);
    pair_close(&p);
}
END_TEST

/* ---- secrets ---- */

static bool holds(const uint8_t *mem, size_t len, const char *secret)
{
    size_t n = strlen(secret);
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(mem + i, secret, n) == 0)
            return true;
    return false;
}

START_TEST(a_reader_wipes_what_it_has_read)
{
    struct pair p;
    char got[32];
    pair_open(&p, 12, 12, XIDS_VCHAN_WIPE);
    const uint8_t *left = world_page(p.w, 0, header(&p)->grants[0]);
    const uint8_t *right = world_page(p.w, 0, header(&p)->grants[1]);
    ck_assert_int_eq(xids_vchan_write(p.c, "secret of client", 16), 16);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret of server", 16), 16);
    ck_assert(holds(left, 4096, "secret") && holds(right, 4096, "secret"));
    ck_assert_int_eq(xids_vchan_read(p.s, got, 32), 16);
    ck_assert_mem_eq(got, "secret of client", 16);
    ck_assert(!holds(left, 4096, "secret"));
    ck_assert_int_eq(xids_vchan_read(p.c, got, 32), 16);
    ck_assert_mem_eq(got, "secret of server", 16);
    ck_assert(!holds(right, 4096, "secret"));
    pair_close(&p);
}
END_TEST

START_TEST(a_reader_wipes_across_the_end_of_the_ring)
{
    struct pair p;
    static uint8_t data[1024];
    static const uint8_t zero[1024];
    memset(data, 0xaa, sizeof(data));
    pair_open(&p, 10, 11, XIDS_VCHAN_WIPE);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(xids_vchan_send(p.c, data, 700), 700);
        ck_assert_int_eq(xids_vchan_recv(p.s, data, 700), 700);
        ck_assert_mem_eq(p.page + 1024, zero, 1024);
        ck_assert_uint_eq(data[699], 0xaa);
    }
    pair_close(&p);
}
END_TEST

START_TEST(consuming_a_span_wipes_it)
{
    struct pair p;
    const uint8_t XIDS_PEER *span = NULL;
    pair_open(&p, 10, 11, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(xids_vchan_write(p.c, "secret", 6), 6);
    ck_assert_int_eq(xids_vchan_peek(p.s, &span, 1), 6);
    ck_assert_int_eq(xids_vchan_consume(p.s, 6), 0);
    ck_assert(!holds(p.page, 4096, "secret"));
    pair_close(&p);
}
END_TEST

START_TEST(a_writer_wipes_behind_a_reader_that_does_not)
{
    struct pair p;
    char got[16];
    pair_serve(&p, 12, 12, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    const uint8_t *right = world_page(p.w, 0, header(&p)->grants[1]);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 6), 6);
    ck_assert(holds(right, 4096, "secret"));
    ck_assert_int_ge(xids_vchan_writable(p.s), 0);
    ck_assert(!holds(right, 4096, "secret"));
    pair_close(&p);
}
END_TEST

START_TEST(a_closing_writer_leaves_unread_secrets_to_their_reader)
{
    struct pair p;
    char got[16];
    pair_open(&p, 12, 12, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(xids_vchan_write(p.s, "read, secret", 12), 12);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 6), 6);
    leave(&p, 0, CLOSE);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 16), 6);
    ck_assert_mem_eq(got, "secret", 6);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 16), 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_broken_server_spares_a_client_that_it_has_not_noticed)
{
    struct pair p;
    char got[16];
    pair_serve(&p, 12, 12, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
    ck_assert_int_eq(pair_connect(&p, XIDS_VCHAN_WIPE), 0);
    world_fail(p.w, 0, 1, -XEN_EIO);
    ck_assert_int_eq(xids_vchan_event(p.s), XIDS_VCHAN_BROKEN);
    leave(&p, 0, CLOSE);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 16), 6);
    ck_assert_mem_eq(got, "secret", 6);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 16), 0);
    pair_close(&p);
}
END_TEST

START_TEST(secrets_that_nobody_can_read_any_more_are_wiped_at_the_end)
{
    struct pair p;
    pair_open(&p, 10, 12, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
    ck_assert_int_eq(xids_vchan_write(p.c, "secret", 6), 6);
    /* The client is unreachable but its mappings stay: what the server's fini leaves behind is seen through them. */
    const uint8_t *right = world_page(p.w, 0, header(&p)->grants[0]);
    const uint8_t *page = p.page;
    header(&p)->cli_live = 0;
    xids_vchan_fini(p.s);
    ck_assert(!holds(right, 4096, "secret"));
    ck_assert(!holds(page, 4096, "secret"));
    pair_close(&p);
}
END_TEST

/* Looks at the control page when it is given up, for nobody sees it any more after that. */
static const struct xids_platform_ops *plain_ops;
static bool gave_up_a_secret;

static int look_and_unshare(void *ctx, void *pages, unsigned int count)
{
    gave_up_a_secret = gave_up_a_secret || holds(pages, count * 4096u, "secret");
    return plain_ops->unshare(ctx, pages, count);
}

static void look_at_what_is_given_up(struct pair *p)
{
    static struct xids_platform_ops ops;
    const struct xids_platform *shown = world_platform(p->w, 0);
    struct xids_platform *platform = (struct xids_platform *)(uintptr_t)shown;
    plain_ops = platform->ops;
    ops = *plain_ops;
    ops.unshare = look_and_unshare;
    platform->ops = &ops;
    gave_up_a_secret = false;
}

START_TEST(secrets_for_a_domain_that_died_are_wiped_at_the_end)
{
    struct pair p;
    pair_open(&p, 10, 11, XIDS_VCHAN_WIPE);
    look_at_what_is_given_up(&p);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
    world_destroy(p.w, 1);
    forget(&p, 1);
    ck_assert(holds(p.page, 4096, "secret"));
    xids_vchan_fini(p.s);
    ck_assert(!gave_up_a_secret);
    pair_close(&p);
}
END_TEST

/* Nor do they outlive a server that waited for another client in vain. */
START_TEST(secrets_for_a_domain_that_died_are_wiped_after_another_offer)
{
    struct pair p;
    pair_open(&p, 10, 11, XIDS_VCHAN_WIPE);
    look_at_what_is_given_up(&p);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
    world_destroy(p.w, 1);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    /* The next client takes over what is unread. */
    if (_i == 0)
        forget(&p, 1);
    else
        ck_assert_int_eq(pair_connect(&p, 0), 0);
    xids_vchan_fini(p.s);
    ck_assert(gave_up_a_secret == (_i != 0));
    pair_close(&p);
}
END_TEST

START_TEST(secrets_for_a_domain_that_is_said_to_be_dead_are_wiped_at_the_end)
{
    struct pair p;
    char byte;
    pair_open(&p, 10, 11, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
    /* The client lives, so that asking would not find it. */
    ck_assert_int_eq(xids_vchan_peer_died(p.s), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_read(p.s, &byte, 1), -XEN_ENODEV);
    xids_vchan_fini(p.s);
    ck_assert(!holds(p.page, 4096, "secret"));
    pair_close(&p);
}
END_TEST

START_TEST(a_client_that_never_came_cannot_have_died)
{
    struct pair p;
    pair_serve(&p, 10, 11, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(xids_vchan_peer_died(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(xids_vchan_error(p.s), 0);
    forget(&p, 1);
    pair_close(&p);
}
END_TEST

START_TEST(secrets_for_a_peer_that_broke_the_protocol_are_wiped_at_the_end)
{
    struct pair p;
    pair_open(&p, 10, 11, XIDS_VCHAN_WIPE);
    ck_assert_int_eq(xids_vchan_write(p.s, "secret", 6), 6);
    if (_i == 0)
        header(&p)->left.prod += 5000;
    else
        header(&p)->right.cons += 5000;
    /* Noticed before, or only at the end. */
    if (_i == 0)
        ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_BROKEN);
    xids_vchan_fini(p.s);
    ck_assert(!holds(p.page, 4096, "secret"));
    pair_close(&p);
}
END_TEST

static TCase *end_cases(const char *name)
{
    TCase *end = tcase_create(name);
    tcase_add_loop_test(end, queued_bytes_come_before_the_end, 0, 4);
    tcase_add_loop_test(end, writing_to_a_peer_that_left_is_refused, 0, 4);
    tcase_add_loop_test(end, a_leaving_peer_wakes_a_sleeper, 0, 4);
    tcase_add_loop_test(end, an_end_inside_a_packet_is_named, 0, 4);
    tcase_add_loop_test(end, a_domain_that_dies_is_found_by_asking, 0, 2);
    tcase_add_test(end, a_waiting_server_does_not_take_its_own_port_for_a_loss);
    tcase_add_test(end, a_platform_that_may_not_look_finds_nothing);
    tcase_add_test(end, a_server_can_write_before_the_client_comes);
    tcase_add_test(end, a_client_that_came_and_went_is_not_missed);
    tcase_add_test(end, a_client_finds_a_server_that_has_gone);
    tcase_add_test(end, a_second_client_finds_the_port_taken);
    tcase_add_test(end, a_second_fini_does_nothing);
    return end;
}

static TCase *again_cases(const char *name)
{
    TCase *again = tcase_create(name);
    tcase_add_test(again, a_server_serves_the_next_client_where_the_last_left);
    tcase_add_test(again, a_server_serves_again_after_a_domain_died);
    tcase_add_test(again, what_is_discarded_reaches_no_other_client);
    tcase_add_test(again, only_servers_offer_again);
    return again;
}

static TCase *failures_cases(const char *name)
{
    TCase *failures = tcase_create(name);
    tcase_add_test(failures, every_failing_call_of_a_server_leaves_nothing);
    tcase_add_test(failures, every_failing_call_of_a_client_leaves_nothing);
    tcase_add_test(failures, bytes_are_taken_once_though_the_notification_fails);
    tcase_add_test(failures, a_failing_unmask_breaks_the_channel);
    return failures;
}

static TCase *wipe_cases(const char *name)
{
    TCase *wipe = tcase_create(name);
    tcase_add_test(wipe, a_reader_wipes_what_it_has_read);
    tcase_add_test(wipe, a_reader_wipes_across_the_end_of_the_ring);
    tcase_add_test(wipe, consuming_a_span_wipes_it);
    tcase_add_test(wipe, a_writer_wipes_behind_a_reader_that_does_not);
    tcase_add_test(wipe, a_closing_writer_leaves_unread_secrets_to_their_reader);
    tcase_add_test(wipe, a_broken_server_spares_a_client_that_it_has_not_noticed);
    tcase_add_test(wipe, secrets_that_nobody_can_read_any_more_are_wiped_at_the_end);
    tcase_add_test(wipe, secrets_for_a_domain_that_died_are_wiped_at_the_end);
    tcase_add_loop_test(wipe, secrets_for_a_domain_that_died_are_wiped_after_another_offer, 0, 2);
    tcase_add_test(wipe, secrets_for_a_domain_that_is_said_to_be_dead_are_wiped_at_the_end);
    tcase_add_test(wipe, a_client_that_never_came_cannot_have_died);
    return wipe;
}

static TCase *extended(TCase *cases)
{
    tcase_add_checked_fixture(cases, world_extended, NULL);
    return cases;
}

/* The writer learns what has been lost, whether the reader closed or was killed. */
START_TEST(what_the_peer_has_not_read_is_known_after_its_end)
{
    struct pair p;
    char got[10];
    pair_open(&p, 12, 12, _i / 2 == 0 ? 0 : XIDS_VCHAN_PLAIN);
    ck_assert_int_eq(xids_vchan_unread(p.s), 0);
    ck_assert_int_eq(xids_vchan_write(p.s, "0123456789", 10), 10);
    ck_assert_int_eq(xids_vchan_unread(p.s), 10);
    ck_assert_int_eq(xids_vchan_read(p.c, got, 4), 4);
    ck_assert_int_eq(xids_vchan_unread(p.s), 6);
    if (_i % 2 == 0)
        xids_vchan_fini(p.c);
    else
        world_kill(p.w, 1);
    free(p.c);
    p.c = NULL;
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_unread(p.s), 6);
    pair_close(&p);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan end");
    TCase *plain = tcase_create("plain");
    tcase_add_test(plain, an_end_holds_until_it_is_offered_again);
    tcase_add_test(plain, a_client_that_came_behind_a_dead_domain_is_not_missed);
    tcase_add_loop_test(plain, secrets_for_a_peer_that_broke_the_protocol_are_wiped_at_the_end, 0, 2);
    tcase_add_loop_test(plain, what_the_peer_has_not_read_is_known_after_its_end, 0, 4);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, end_cases("end"));
    suite_add_tcase(suite, extended(end_cases("end extended")));
    suite_add_tcase(suite, again_cases("again"));
    suite_add_tcase(suite, extended(again_cases("again extended")));
    suite_add_tcase(suite, failures_cases("failures"));
    suite_add_tcase(suite, extended(failures_cases("failures extended")));
    suite_add_tcase(suite, wipe_cases("wipe"));
    suite_add_tcase(suite, extended(wipe_cases("wipe extended")));
    return suite;
}
