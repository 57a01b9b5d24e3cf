/* SPDX-License-Identifier: ISC */
/* vchan between two ends of xids: the extension of the wire format, docs/spec/vchan.md, section 10. */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_world.h"

#include <string.h>
#include <xen/io/libxenvchan.h>

#define MAGIC 0x53444958u

enum { PROD, CONS, PROD_EVENT, CONS_EVENT, EPOCH, FIN, PING, PONG };

/* Pairs of orders, and where the area lies then. */
static const unsigned int places[][3] = {
    {12, 12, 3072}, {20, 20, 3072}, {12, 20, 3072}, {10, 11, 768},  {11, 10, 768},
    {10, 19, 768},  {12, 10, 768},  {11, 12, 1536}, {20, 11, 1536},
};
#define N_PLACES ((int)(sizeof(places) / sizeof(places[0])))

static struct vchan_interface *header(const struct pair *p)
{
    return (struct vchan_interface *)(void *)p->page;
}

static uint32_t *area(const struct pair *p, size_t at)
{
    return (uint32_t *)(void *)(p->page + at);
}

/* A line of a pair with both rings outside: 0 the server's, 1 the client's. */
static uint32_t *line(const struct pair *p, int d)
{
    return area(p, 3072 + 64 + (size_t)d * 64);
}

static struct xids_vchan *side(const struct pair *p, int d)
{
    return d == 0 ? p->s : p->c;
}

static void say(struct xids_vchan *from, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);
    ck_assert_int_eq(xids_vchan_write(from, text, len), (int)len);
    ck_assert_int_eq(xids_vchan_flush(from), 0);
}

static void hear(struct xids_vchan *to, const char *text)
{
    char got[64] = "";
    ck_assert_int_eq(xids_vchan_read(to, got, sizeof(got) - 1), (int)strlen(text));
    ck_assert_str_eq(got, text);
}

static void talk(const struct pair *p)
{
    say(p->c, "from the client");
    hear(p->s, "from the client");
    say(p->s, "from the server");
    hear(p->c, "from the server");
}

/* ---- negotiation ---- */

START_TEST(the_area_lies_where_there_is_room)
{
    struct pair p;
    pair_open(&p, places[_i][0], places[_i][1], 0);
    const uint32_t *at = area(&p, places[_i][2]);
    ck_assert_uint_eq(at[0], MAGIC);
    ck_assert_uint_eq(at[1], 1);
    ck_assert_uint_eq(at[2], 1);
    talk(&p);
    ck_assert_uint_eq(at[16 + PROD], 15);
    ck_assert_uint_eq(at[32 + PROD], 15);
    ck_assert_uint_eq(at[16 + CONS], 15);
    ck_assert_uint_eq(at[32 + CONS], 15);
    ck_assert_uint_eq(at[32 + EPOCH], 1);
    /* Nobody could go on from the page's own indices, so the orders are not there. */
    ck_assert_uint_eq(header(&p)->left.prod, 0);
    ck_assert_uint_eq(header(&p)->right.prod, 0);
    ck_assert_uint_eq(header(&p)->left_order, 0);
    ck_assert_uint_eq(header(&p)->right_order, 0);
    pair_close(&p);
}
END_TEST

/* The server's flags, the client's. */
static const unsigned int mixtures[][2] = {{0, 0}, {XIDS_VCHAN_PLAIN, 0}, {0, XIDS_VCHAN_PLAIN}};

static void open_mixture(struct pair *p, int i)
{
    pair_serve(p, 12, 12, mixtures[i][0]);
    ck_assert_int_eq(pair_connect(p, mixtures[i][1]), 0);
    (void)world_events(p->w, 0, p->s);
    (void)world_events(p->w, 1, p->c);
}

START_TEST(an_end_without_it_never_notices)
{
    struct pair p;
    open_mixture(&p, _i);
    ck_assert(xids_vchan_extended(p.s) == (_i == 0));
    ck_assert(xids_vchan_extended(p.c) == (_i == 0));
    talk(&p);
    if (_i != 0) {
        ck_assert_uint_eq(header(&p)->left.prod, 15);
        ck_assert_uint_eq(header(&p)->right.cons, 15);
        ck_assert_uint_eq(header(&p)->left_order, 12);
    }
    pair_close(&p);
}
END_TEST

START_TEST(an_area_that_says_something_else_is_left_alone)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    area(&p, 3072)[_i] += 1;
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    (void)world_events(p.w, 0, p.s);
    ck_assert(!xids_vchan_extended(p.c) && !xids_vchan_extended(p.s));
    talk(&p);
    pair_close(&p);
}
END_TEST

START_TEST(what_a_server_wrote_before_is_there_at_once)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    say(p.s, "welcome");
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    hear(p.c, "welcome");
    /* And what it writes before it takes its event wakes the client. */
    (void)world_events(p.w, 1, p.c);
    ck_assert_int_eq(xids_vchan_arm(p.c, 1, 0), 0);
    say(p.s, "go on");
    ck_assert_int_eq(world_events(p.w, 1, p.c), 1);
    hear(p.c, "go on");
    pair_close(&p);
}
END_TEST

/* Room that was reserved before the client came is filled piece by piece, without a look at who is there. */
START_TEST(what_fills_reserved_room_wakes_who_came_since)
{
    struct pair p;
    uint8_t XIDS_PEER *span = NULL;
    pair_serve(&p, 12, 12, _i == 0 ? 0 : XIDS_VCHAN_BATCH);
    ck_assert_int_ge(xids_vchan_reserve(p.s, &span, 100), 100);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    (void)world_events(p.w, 1, p.c);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(xids_vchan_arm(p.c, 1, 0), 0);
        xids_peer_put(span + (size_t)i * 5, "piece", 5);
        ck_assert_int_eq(xids_vchan_commit(p.s, 5), 0);
        ck_assert_int_eq(xids_vchan_flush(p.s), 0);
        ck_assert_int_eq(world_events(p.w, 1, p.c), 1);
        hear(p.c, "piece");
    }
    pair_close(&p);
}
END_TEST

START_TEST(last_words_of_a_server_that_never_saw_its_client)
{
    struct pair p;
    pair_serve(&p, 12, 12, _i == 0 ? 0 : XIDS_VCHAN_BATCH);
    ck_assert_int_eq(xids_vchan_write(p.s, "take this", 9), 9);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert_int_eq(xids_vchan_write(p.s, " and that", 9), 9);
    xids_vchan_fini(p.s);
    hear(p.c, "take this and that");
    ck_assert_int_eq(xids_vchan_read(p.c, &(char){0}, 1), 0);
    ck_assert_int_eq(xids_vchan_state(p.c), XIDS_VCHAN_CLOSED);
    pair_close(&p);
}
END_TEST

START_TEST(a_client_that_came_spoke_and_left_is_heard)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    say(p.c, "I was here");
    xids_vchan_fini(p.c);
    hear(p.s, "I was here");
    ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), 0);
    /* The same at the next offer, where a live byte of 0 says nothing. */
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    say(p.c, "I was too");
    xids_vchan_fini(p.c);
    hear(p.s, "I was too");
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CLOSED);
    pair_close(&p);
}
END_TEST

/* ---- events ---- */

START_TEST(a_reader_is_woken_for_what_it_wants)
{
    struct pair p;
    uint8_t data[100] = {0};
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *reader = side(&p, _i), *writer = side(&p, 1 - _i);
    ck_assert_int_eq(xids_vchan_arm(reader, 100, 0), 0);
    unsigned int before = world_notifies(p.w, 1 - _i);
    ck_assert_int_eq(xids_vchan_write(writer, data, 60), 60);
    ck_assert_int_eq(xids_vchan_write(writer, data, 39), 39);
    ck_assert_uint_eq(world_notifies(p.w, 1 - _i), before);
    ck_assert_int_eq(xids_vchan_write(writer, data, 1), 1);
    ck_assert_uint_eq(world_notifies(p.w, 1 - _i), before + 1);
    ck_assert_int_eq(xids_vchan_write(writer, data, 100), 100);
    ck_assert_uint_eq(world_notifies(p.w, 1 - _i), before + 1);
    ck_assert_int_eq(xids_vchan_recv(reader, data, 100), 100);
    /* There is as much again, so that it does not sleep, and asks for nothing. */
    ck_assert_int_eq(xids_vchan_arm(reader, 100, 0), 1);
    ck_assert_int_eq(xids_vchan_write(writer, data, 100), 100);
    ck_assert_uint_eq(world_notifies(p.w, 1 - _i), before + 1);
    pair_close(&p);
}
END_TEST

START_TEST(a_writer_is_woken_for_the_room_it_wants)
{
    struct pair p;
    static uint8_t data[4096];
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *reader = side(&p, _i), *writer = side(&p, 1 - _i);
    ck_assert_int_eq(xids_vchan_write(writer, data, 4096), 4096);
    ck_assert_int_eq(xids_vchan_arm(writer, 0, 1000), 0);
    unsigned int before = world_notifies(p.w, _i);
    ck_assert_int_eq(xids_vchan_read(reader, data, 999), 999);
    ck_assert_uint_eq(world_notifies(p.w, _i), before);
    ck_assert_int_eq(xids_vchan_read(reader, data, 1), 1);
    ck_assert_uint_eq(world_notifies(p.w, _i), before + 1);
    ck_assert_int_eq(xids_vchan_arm(writer, 0, 1000), 1);
    ck_assert_int_eq(xids_vchan_read(reader, data, 4096), 3096);
    ck_assert_uint_eq(world_notifies(p.w, _i), before + 1);
    pair_close(&p);
}
END_TEST

START_TEST(events_pass_two_to_the_32)
{
    struct pair p;
    uint8_t data[200] = {0};
    pair_serve(&p, 12, 12, 0);
    /* As if the client before had left the indices so. */
    for (int d = 0; d < 2; d++) {
        line(&p, d)[PROD] = line(&p, d)[CONS] = 0u - 50u;
        line(&p, d)[PROD_EVENT] = 0u - 49u;
    }
    header(&p)->left.prod = header(&p)->right.cons = 0u - 50u;
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    unsigned int before = world_notifies(p.w, 1);
    line(&p, 0)[PROD_EVENT] = 50;
    ck_assert_int_eq(xids_vchan_write(p.c, data, 99), 99);
    ck_assert_uint_eq(world_notifies(p.w, 1), before);
    ck_assert_int_eq(xids_vchan_write(p.c, data, 1), 1);
    ck_assert_uint_eq(world_notifies(p.w, 1), before + 1);
    ck_assert_uint_eq(line(&p, 1)[PROD], 50);
    pair_close(&p);
}
END_TEST

/* ---- half-close ---- */

START_TEST(half_a_close_ends_one_direction)
{
    struct pair p;
    char got[8];
    pair_open(&p, 12, 12, _i < 2 ? 0 : XIDS_VCHAN_BATCH);
    struct xids_vchan *quiet = side(&p, _i % 2), *other = side(&p, 1 - _i % 2);
    ck_assert_int_eq(xids_vchan_write(quiet, "question", 8), 8);
    ck_assert_int_eq(xids_vchan_shutdown(quiet), 0);
    ck_assert_int_eq(xids_vchan_shutdown(quiet), 0);
    hear(other, "question");
    ck_assert_int_eq(xids_vchan_read(other, got, 8), 0);
    ck_assert_int_eq(xids_vchan_recv(other, got, 8), 0);
    ck_assert_int_eq(xids_vchan_state(other), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_write(quiet, "more", 4), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_send(quiet, "more", 4), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_commit(quiet, 1), -XEN_EINVAL);
    ck_assert_int_eq(xids_vchan_arm(other, 1, 0), 1);
    ck_assert_int_eq(xids_vchan_arm(other, 0, 1), 1);
    say(other, "answer");
    hear(quiet, "answer");
    ck_assert_int_eq(xids_vchan_shutdown(other), 0);
    ck_assert_int_eq(xids_vchan_read(quiet, got, 8), 0);
    ck_assert_int_eq(xids_vchan_state(quiet), XIDS_VCHAN_OPEN);
    pair_close(&p);
}
END_TEST

START_TEST(half_a_close_wakes_a_reader)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_arm(side(&p, _i), 100, 0), 0);
    ck_assert_int_eq(xids_vchan_shutdown(side(&p, 1 - _i)), 0);
    ck_assert_int_eq(world_events(p.w, _i, side(&p, _i)), 1);
    ck_assert_int_eq(xids_vchan_arm(side(&p, _i), 100, 0), 1);
    pair_close(&p);
}
END_TEST

START_TEST(half_a_close_inside_a_packet_is_named)
{
    struct pair p;
    char got[8];
    pair_open(&p, 12, 12, 0);
    say(p.c, "half");
    ck_assert_int_eq(xids_vchan_shutdown(p.c), 0);
    ck_assert_int_eq(xids_vchan_recv(p.s, got, 8), -XEN_ENODATA);
    hear(p.s, "half");
    ck_assert_int_eq(xids_vchan_recv(p.s, got, 8), 0);
    pair_close(&p);
}
END_TEST

START_TEST(half_a_close_holds_whatever_comes_after)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_shutdown(p.c), 0);
    ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), 0);
    line(&p, 1)[PROD] += 5;
    ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), 0);
    line(&p, 1)[FIN] = 0;
    ck_assert_int_eq(xids_vchan_readable(p.s), 0);
    ck_assert_int_eq(xids_vchan_error(p.s), 0);
    pair_close(&p);
}
END_TEST

START_TEST(half_a_close_needs_a_peer_that_knows_it)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_shutdown(p.s), -XEN_EAGAIN);
    ck_assert_int_eq(pair_connect(&p, XIDS_VCHAN_PLAIN), 0);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(xids_vchan_shutdown(p.s), -XEN_EOPNOTSUPP);
    ck_assert_int_eq(xids_vchan_shutdown(p.c), -XEN_EOPNOTSUPP);
    talk(&p);
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_shutdown(p.s), -XEN_ENOTCONN);
    pair_close(&p);
}
END_TEST

/* ---- heartbeat ---- */

START_TEST(a_peer_that_takes_its_events_is_alive)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    for (uint64_t now = 0; now < 100; now += 10) {
        ck_assert_int_eq(xids_vchan_heartbeat(side(&p, _i), now, 20), XIDS_VCHAN_OPEN);
        (void)world_events(p.w, 1 - _i, side(&p, 1 - _i));
    }
    ck_assert_int_eq(xids_vchan_error(side(&p, _i)), 0);
    pair_close(&p);
}
END_TEST

START_TEST(a_peer_that_moves_bytes_is_alive)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    for (uint64_t now = 0; now < 100; now += 10) {
        ck_assert_int_eq(xids_vchan_heartbeat(p.s, now, 10), XIDS_VCHAN_OPEN);
        if (_i == 0) {
            say(p.c, "busy");
        } else {
            say(p.s, "read");
            hear(p.c, "read");
        }
    }
    pair_close(&p);
}
END_TEST

START_TEST(a_peer_that_is_silent_is_lost)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *asker = side(&p, _i);
    say(side(&p, 1 - _i), "last words");
    ck_assert_int_eq(xids_vchan_heartbeat(asker, 1000, 50), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_heartbeat(asker, 1049, 50), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_heartbeat(asker, 1050, 50), XIDS_VCHAN_DRAINING);
    ck_assert_int_eq(xids_vchan_error(asker), -XEN_ENODEV);
    ck_assert_str_eq(xids_vchan_reason(asker), "the peer has not answered for too long");
    hear(asker, "last words");
    ck_assert_int_eq(xids_vchan_read(asker, &(char){0}, 1), -XEN_ENODEV);
    ck_assert_int_eq(xids_vchan_heartbeat(asker, 2000, 50), XIDS_VCHAN_CLOSED);
    pair_close(&p);
}
END_TEST

START_TEST(a_heartbeat_needs_a_peer_that_knows_it)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_heartbeat(p.s, 1, 1), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(pair_connect(&p, XIDS_VCHAN_PLAIN), 0);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(xids_vchan_heartbeat(p.s, 1, 1), -XEN_EOPNOTSUPP);
    ck_assert_int_eq(xids_vchan_heartbeat(p.c, 1, 1), -XEN_EOPNOTSUPP);
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_heartbeat(p.s, 1, 1), XIDS_VCHAN_CLOSED);
    pair_close(&p);
}
END_TEST

/* ---- one client after the other ---- */

START_TEST(clients_of_either_kind_follow_each_other)
{
    struct pair p;
    unsigned int before = _i & 1 ? XIDS_VCHAN_PLAIN : 0, after = _i & 2 ? XIDS_VCHAN_PLAIN : 0;
    pair_serve(&p, 12, 12, 0);
    for (int round = 0; round < 6; round++) {
        ck_assert_int_eq(pair_connect(&p, round % 2 ? after : before), 0);
        (void)world_events(p.w, 0, p.s);
        (void)world_events(p.w, 1, p.c);
        ck_assert(xids_vchan_extended(p.s) == ((round % 2 ? after : before) == 0));
        talk(&p);
        say(p.c, "and goodbye");
        xids_vchan_fini(p.c);
        hear(p.s, "and goodbye");
        ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), 0);
        ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
        ck_assert_uint_eq(header(&p)->left_order, 12);
    }
    pair_close(&p);
}
END_TEST

START_TEST(what_one_client_leaves_goes_to_the_next)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    talk(&p);
    say(p.s, "unread");
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), 0);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_eq(pair_connect(&p, _i == 0 ? 0 : XIDS_VCHAN_PLAIN), 0);
    (void)world_events(p.w, 0, p.s);
    hear(p.c, "unread");
    talk(&p);
    pair_close(&p);
}
END_TEST

START_TEST(nobody_goes_on_from_indices_that_stand_still)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    talk(&p);
    say(p.c, "old");
    xids_vchan_fini(p.c);
    ck_assert_int_eq(pair_connect(&p, 0), -XEN_EBUSY);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(pair_connect(&p, XIDS_VCHAN_PLAIN), -XEN_EBUSY);
    hear(p.s, "old");
    ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), 0);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    (void)world_events(p.w, 0, p.s);
    talk(&p);
    pair_close(&p);
}
END_TEST

/* One that the server never sees: with the extension, without. And the next one: refused, or goes on. */
START_TEST(who_comes_behind_an_unseen_client_loses_nothing)
{
    struct pair p;
    bool extended = _i < 2;
    unsigned int next = _i % 2 ? XIDS_VCHAN_PLAIN : 0;
    pair_serve(&p, 12, 12, 0);
    say(p.s, "greeting");
    ck_assert_int_eq(pair_connect(&p, extended ? 0 : XIDS_VCHAN_PLAIN), 0);
    hear(p.c, "greeting");
    say(p.c, "first, ");
    xids_vchan_fini(p.c);
    int rc = pair_connect(&p, next);
    ck_assert_int_eq(rc, extended ? -XEN_EBUSY : 0);
    if (rc == 0)
        say(p.c, "then the second");
    (void)world_events(p.w, 0, p.s);
    hear(p.s, rc == 0 ? "first, then the second" : "first, ");
    if (rc != 0) {
        ck_assert_int_eq(xids_vchan_read(p.s, &(char){0}, 1), 0);
        ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
        ck_assert_int_eq(pair_connect(&p, next), 0);
        (void)world_events(p.w, 0, p.s);
    }
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    talk(&p);
    pair_close(&p);
}
END_TEST

START_TEST(an_offer_is_nobodys_while_a_client_does_not_know_it)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    ck_assert_int_eq(pair_connect(&p, XIDS_VCHAN_PLAIN), 0);
    (void)world_events(p.w, 0, p.s);
    talk(&p);
    xids_vchan_fini(p.c);
    /* Behind it, and before the server has offered again: only the page's own indices are true. */
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    ck_assert(!xids_vchan_extended(p.c));
    (void)world_events(p.w, 0, p.s);
    talk(&p);
    pair_close(&p);
}
END_TEST

/* The server has seen that the first came and went, and not offered again. */
START_TEST(who_comes_before_the_next_offer_is_heard)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    ck_assert_int_eq(pair_connect(&p, XIDS_VCHAN_PLAIN), 0);
    xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    say(p.c, "I was here");
    if (_i == 0)
        xids_vchan_fini(p.c);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    hear(p.s, "I was here");
    if (_i != 0)
        talk(&p);
    pair_close(&p);
}
END_TEST

START_TEST(a_client_whose_domain_dies_on_its_way_is_followed)
{
    struct pair p;
    pair_serve(&p, 12, 12, 0);
    const struct xids_platform *client = world_platform(p.w, 1);
    ck_assert_int_gt(client->ops->evtchn_bind(client->ctx, WORLD_DOMID(0), xids_vchan_port(p.s)), 0);
    /* It took the offer, or one that the server had replaced meanwhile. */
    line(&p, 1)[EPOCH] = area(&p, 3072)[2] - (uint32_t)_i;
    header(&p)->left_order = header(&p)->right_order = 0;
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_uint_eq(header(&p)->left_order, 0);
    world_destroy(p.w, 1);
    ck_assert_int_eq(pair_connect(&p, 0), -XEN_EBUSY);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    (void)world_events(p.w, 0, p.s);
    ck_assert(xids_vchan_extended(p.s));
    talk(&p);
    pair_close(&p);
}
END_TEST

START_TEST(a_dead_domain_is_followed_by_a_client_of_either_kind)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    talk(&p);
    world_destroy(p.w, 1);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
    ck_assert_int_eq(pair_connect(&p, _i == 0 ? 0 : XIDS_VCHAN_PLAIN), 0);
    (void)world_events(p.w, 0, p.s);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_OPEN);
    ck_assert(xids_vchan_extended(p.s) == (_i == 0));
    talk(&p);
    pair_close(&p);
}
END_TEST

START_TEST(a_client_that_is_slow_to_say_is_not_mistaken_for_long)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    world_destroy(p.w, 1);
    ck_assert_int_eq(xids_vchan_check_peer(p.s), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    /* Somebody has bound the port, and has not said how it speaks; the dead one's live byte is still there. */
    const struct xids_platform *client = world_platform(p.w, 1);
    int port = client->ops->evtchn_bind(client->ctx, WORLD_DOMID(0), xids_vchan_port(p.s));
    ck_assert_int_gt(port, 0);
    ck_assert_int_eq(client->ops->evtchn_notify(client->ctx, (evtchn_port_t)port), 0);
    (void)world_events(p.w, 0, p.s);
    ck_assert(!xids_vchan_extended(p.s));
    ck_assert_int_eq(client->ops->evtchn_close(client->ctx, (evtchn_port_t)port), 0);
    ck_assert_int_eq(xids_vchan_write(p.s, "early", 5), 5);
    /* It has looked at the offer before the server took it for one that does not know it, or looks behind that. */
    if (_i == 0)
        area(&p, 3072)[0] = MAGIC;
    ck_assert_int_eq(pair_connect(&p, 0), 0);
    (void)world_events(p.w, 0, p.s);
    ck_assert(xids_vchan_extended(p.s) == (_i == 0));
    ck_assert(xids_vchan_extended(p.c) == (_i == 0));
    hear(p.c, "early");
    talk(&p);
    pair_close(&p);
}
END_TEST

START_TEST(a_client_that_was_given_up_learns_it)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    ck_assert_int_eq(xids_vchan_heartbeat(p.s, 0, 10), XIDS_VCHAN_OPEN);
    ck_assert_int_eq(xids_vchan_heartbeat(p.s, 10, 10), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_reoffer(p.s), 0);
    ck_assert_int_ge(world_events(p.w, 1, p.c), 1);
    ck_assert_int_eq(xids_vchan_state(p.c), XIDS_VCHAN_CLOSED);
    ck_assert_int_eq(xids_vchan_read(p.c, &(char){0}, 1), -XEN_ENODEV);
    /* What it writes nevertheless concerns nobody. */
    line(&p, 1)[PROD] += 10;
    ck_assert_int_eq(xids_vchan_readable(p.s), 0);
    ck_assert_int_eq(xids_vchan_state(p.s), XIDS_VCHAN_CONNECTING);
    pair_close(&p);
}
END_TEST

/* ---- a hostile peer ---- */

/* What a producer, and a consumer, cannot be: the ring is empty, and half full. */
START_TEST(impossible_indices_break_the_channel)
{
    static const uint32_t bad_prod[] = {4097, 0u - 1u, 1u << 31}, bad_cons[] = {2049, 0u - 1u, 1u << 31};
    static uint8_t data[2048];
    struct pair p;
    int d = _i % 2;
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *victim = side(&p, d);
    if (_i < 6) {
        line(&p, 1 - d)[PROD] = bad_prod[_i / 2];
        ck_assert_int_eq(xids_vchan_readable(victim), -XEN_EBADMSG);
    } else {
        ck_assert_int_eq(xids_vchan_write(victim, data, 2048), 2048);
        line(&p, 1 - d)[CONS] = bad_cons[(_i - 6) / 2];
        ck_assert_int_eq(xids_vchan_writable(victim), -XEN_EBADMSG);
    }
    ck_assert_str_ne(xids_vchan_reason(victim), "");
    ck_assert_int_eq(xids_vchan_shutdown(victim), -XEN_EBADMSG);
    ck_assert_int_eq(xids_vchan_heartbeat(victim, 1, 1), XIDS_VCHAN_BROKEN);
    ck_assert_int_eq(xids_vchan_arm(victim, 1, 0), -XEN_EBADMSG);
    pair_close(&p);
}
END_TEST

START_TEST(our_own_line_is_not_the_peers_to_move)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    for (int d = 0; d < 2; d++)
        for (int word = PROD; word <= PONG; word++)
            line(&p, d)[word] += d == _i % 2 ? 12345 : 0;
    struct xids_vchan *victim = side(&p, _i % 2), *other = side(&p, 1 - _i % 2);
    say(victim, "as before");
    hear(other, "as before");
    say(other, "and back");
    hear(victim, "and back");
    pair_close(&p);
}
END_TEST

START_TEST(events_of_a_liar_cost_one_call_a_message)
{
    struct pair p;
    pair_open(&p, 12, 12, 0);
    struct xids_vchan *victim = side(&p, _i);
    unsigned int before = world_notifies(p.w, _i);
    for (uint32_t i = 0; i < 10; i++) {
        line(&p, 1 - _i)[PROD_EVENT] = i + 1;
        line(&p, 1 - _i)[CONS_EVENT] = i + 1;
        ck_assert_int_eq(xids_vchan_write(victim, "x", 1), 1);
    }
    ck_assert_uint_eq(world_notifies(p.w, _i), before + 10);
    pair_close(&p);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan extension");
    TCase *offer = tcase_create("offer");
    tcase_add_checked_fixture(offer, world_extended, NULL);
    tcase_add_loop_test(offer, the_area_lies_where_there_is_room, 0, N_PLACES);
    tcase_add_loop_test(offer, an_end_without_it_never_notices, 0, 3);
    tcase_add_loop_test(offer, an_area_that_says_something_else_is_left_alone, 0, 2);
    tcase_add_test(offer, what_a_server_wrote_before_is_there_at_once);
    tcase_add_loop_test(offer, what_fills_reserved_room_wakes_who_came_since, 0, 2);
    tcase_add_loop_test(offer, last_words_of_a_server_that_never_saw_its_client, 0, 2);
    tcase_add_test(offer, a_client_that_came_spoke_and_left_is_heard);
    suite_add_tcase(suite, offer);
    TCase *event = tcase_create("event");
    tcase_add_checked_fixture(event, world_extended, NULL);
    tcase_add_loop_test(event, a_reader_is_woken_for_what_it_wants, 0, 2);
    tcase_add_loop_test(event, a_writer_is_woken_for_the_room_it_wants, 0, 2);
    tcase_add_test(event, events_pass_two_to_the_32);
    suite_add_tcase(suite, event);
    TCase *half = tcase_create("half-close");
    tcase_add_checked_fixture(half, world_extended, NULL);
    tcase_add_loop_test(half, half_a_close_ends_one_direction, 0, 4);
    tcase_add_loop_test(half, half_a_close_wakes_a_reader, 0, 2);
    tcase_add_test(half, half_a_close_inside_a_packet_is_named);
    tcase_add_test(half, half_a_close_holds_whatever_comes_after);
    tcase_add_test(half, half_a_close_needs_a_peer_that_knows_it);
    suite_add_tcase(suite, half);
    TCase *heart = tcase_create("heartbeat");
    tcase_add_checked_fixture(heart, world_extended, NULL);
    tcase_add_loop_test(heart, a_peer_that_takes_its_events_is_alive, 0, 2);
    tcase_add_loop_test(heart, a_peer_that_moves_bytes_is_alive, 0, 2);
    tcase_add_loop_test(heart, a_peer_that_is_silent_is_lost, 0, 2);
    tcase_add_test(heart, a_heartbeat_needs_a_peer_that_knows_it);
    suite_add_tcase(suite, heart);
    TCase *next = tcase_create("next");
    tcase_add_checked_fixture(next, world_extended, NULL);
    tcase_add_loop_test(next, clients_of_either_kind_follow_each_other, 0, 4);
    tcase_add_loop_test(next, what_one_client_leaves_goes_to_the_next, 0, 2);
    tcase_add_test(next, nobody_goes_on_from_indices_that_stand_still);
    tcase_add_loop_test(next, who_comes_behind_an_unseen_client_loses_nothing, 0, 4);
    tcase_add_test(next, an_offer_is_nobodys_while_a_client_does_not_know_it);
    tcase_add_loop_test(next, who_comes_before_the_next_offer_is_heard, 0, 2);
    tcase_add_loop_test(next, a_client_whose_domain_dies_on_its_way_is_followed, 0, 2);
    tcase_add_loop_test(next, a_dead_domain_is_followed_by_a_client_of_either_kind, 0, 2);
    tcase_add_loop_test(next, a_client_that_is_slow_to_say_is_not_mistaken_for_long, 0, 2);
    tcase_add_test(next, a_client_that_was_given_up_learns_it);
    suite_add_tcase(suite, next);
    TCase *hostile = tcase_create("hostile");
    tcase_add_checked_fixture(hostile, world_extended, NULL);
    tcase_add_loop_test(hostile, impossible_indices_break_the_channel, 0, 12);
    tcase_add_loop_test(hostile, our_own_line_is_not_the_peers_to_move, 0, 2);
    tcase_add_loop_test(hostile, events_of_a_liar_cost_one_call_a_message, 0, 2);
    suite_add_tcase(suite, hostile);
    return suite;
}
