/* SPDX-License-Identifier: ISC */
/* Turns: whose retry of a refused transaction has precedence, who waits for it, and for how long at most. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_xs_conn *a, *b, *c, *plain;

static void setup(void)
{
    w = world_up();
    a = world_socket(w);
    b = world_socket(w);
    c = world_socket(w);
    plain = world_socket(w);
    EXPECT(plain, XS_MKDIR, "/d|", "mkdir OK|");
    xids_xs_server_time(w->server, 1000);
}

static void teardown(void)
{
    world_down(w);
}

static void idle(void)
{
    for (unsigned int i = 0; xids_xs_server_idle(w->server, 1000); i++)
        ck_assert_uint_lt(i, 1000);
}

static void time_passes_to(uint64_t ms)
{
    xids_xs_server_time(w->server, ms);
    idle();
}

/* A transaction that has listed /d and adds a child of its own. */
static uint32_t adding(struct xids_xs_conn *conn, const char *child)
{
    uint32_t tx = tx_start(w, conn);
    (void)ask_tx(w, conn, tx, XS_DIRECTORY, "/d|");
    EXPECT_TX(conn, tx, XS_MKDIR, child, "mkdir OK|");
    return tx;
}

/* Has a transaction of the connection refused, at once: it is its turn then. */
static void refuse(struct xids_xs_conn *conn)
{
    uint32_t tx = adding(conn, "/d/x|");
    EXPECT(plain, XS_MKDIR, "/d/between|", "mkdir OK|");
    EXPECT_TX(conn, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT(plain, XS_RM, "/d/between|", "rm OK|");
}

START_TEST(what_a_retry_has_read_stays_true_until_it_ends)
{
    refuse(a);
    uint32_t tx = adding(a, "/d/a|"), other = adding(b, "/d/b|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "");
    ck_assert(!xids_xs_server_hungry(b));
    EXPECT_TX(a, tx, XS_DIRECTORY, "/d|", "directory a|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, b), "");
    idle();
    ck_assert_str_eq(heard(w, b), "error EAGAIN|");
    ck_assert(xids_xs_server_hungry(b));
    EXPECT(a, XS_DIRECTORY, "/d|", "directory a|");
}
END_TEST

/* Also before it is read again: a snapshot is taken at the start. */
START_TEST(what_was_read_before_stays_as_it_is_from_the_start)
{
    refuse(a);
    uint32_t tx = tx_start(w, a), other = adding(b, "/d/b|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "");
    other = tx_start(w, c);
    EXPECT_TX(c, other, XS_MKDIR, "/d/c/deep|", "mkdir OK|");
    EXPECT_TX(c, other, XS_TRANSACTION_END, "T|", "");
    EXPECT_TX(a, tx, XS_DIRECTORY, "/d|", "directory ");
    EXPECT_TX(a, tx, XS_MKDIR, "/d/a|", "mkdir OK|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "end OK|");
    idle();
    ck_assert_str_eq(heard(w, b), "error EAGAIN|");
    ck_assert_str_eq(heard(w, c), "end OK|");
}
END_TEST

START_TEST(who_waited_without_having_read_it_commits_afterwards)
{
    refuse(a);
    uint32_t tx = adding(a, "/d/a|"), other = tx_start(w, b);
    EXPECT_TX(b, other, XS_MKDIR, "/d/b|", "mkdir OK|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "");
    EXPECT(plain, XS_DIRECTORY, "/d|", "directory ");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "end OK|");
    idle();
    ck_assert_str_eq(heard(w, b), "end OK|");
    EXPECT(a, XS_DIRECTORY, "/d|", "directory a|b|");
}
END_TEST

START_TEST(who_changes_nothing_that_was_read_does_not_wait)
{
    refuse(a);
    uint32_t tx = adding(a, "/d/a|"), other = tx_start(w, b);
    EXPECT_TX(b, other, XS_WRITE, "/elsewhere|1", "write OK|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "end OK|");
    other = tx_start(w, b);
    EXPECT_TX(b, other, XS_DIRECTORY, "/d|", "directory ");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(a_plain_request_never_waits)
{
    refuse(a);
    uint32_t tx = adding(a, "/d/a|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    /* It is still its turn. */
    tx = adding(a, "/d/a|");
    uint32_t other = adding(b, "/d/b|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "end OK|");
    idle();
    ck_assert_str_eq(heard(w, b), "error EAGAIN|");
}
END_TEST

START_TEST(nobody_is_held_back_for_a_retry_that_is_lost_already)
{
    refuse(a);
    uint32_t tx = adding(a, "/d/a|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    uint32_t other = adding(b, "/d/b|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}
END_TEST

START_TEST(who_is_refused_meanwhile_is_told_when_it_is_its_turn)
{
    uint32_t ta = adding(a, "/d/x|"), tb = adding(b, "/d/x|"), tc = adding(c, "/d/x|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT_TX(c, tc, XS_TRANSACTION_END, "T|", "");
    xids_xs_server_time(w->server, 1001);
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    ta = adding(a, "/d/a|");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "end OK|");
    idle();
    ck_assert_str_eq(heard(w, b), "");
    ck_assert_str_eq(heard(w, c), "error EAGAIN|");
    tc = adding(c, "/d/c|");
    ck_assert_str_eq(heard(w, b), "");
    EXPECT_TX(c, tc, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_str_eq(heard(w, b), "error EAGAIN|");
}
END_TEST

START_TEST(a_turn_that_is_not_taken_passes)
{
    uint32_t ta = adding(a, "/d/x|"), tb = adding(b, "/d/x|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    uint64_t at = xids_xs_server_deadline(w->server);
    ck_assert_uint_gt(at, 1000);
    ck_assert_uint_lt(at, 1050);
    time_passes_to(at - 1);
    ck_assert_str_eq(heard(w, b), "");
    time_passes_to(at);
    ck_assert_str_eq(heard(w, b), "error EAGAIN|");
    tb = adding(b, "/d/b|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_uint_eq(xids_xs_server_deadline(w->server), UINT64_MAX);
}
END_TEST

START_TEST(a_turn_that_does_not_end_is_ended)
{
    refuse(a);
    uint32_t tx = adding(a, "/d/a|"), other = tx_start(w, b);
    EXPECT_TX(b, other, XS_MKDIR, "/d/b|", "mkdir OK|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "");
    uint64_t at = xids_xs_server_deadline(w->server);
    ck_assert_uint_le(at, 1100);
    time_passes_to(at - 1);
    ck_assert_str_eq(heard(w, b), "");
    time_passes_to(at);
    ck_assert_str_eq(heard(w, b), "end OK|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}
END_TEST

/* Turn after turn disturbs b: it is held back for so long and no longer. */
START_TEST(no_end_is_held_back_for_ever)
{
    refuse(a);
    uint32_t ta = adding(a, "/d/a|"), tb = tx_start(w, b);
    EXPECT_TX(b, tb, XS_MKDIR, "/d/b|", "mkdir OK|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    for (uint64_t ms = 1001; ms < 1150; ms++) {
        xids_xs_server_time(w->server, ms);
        EXPECT(plain, XS_MKDIR, ms % 2 == 0 ? "/d/p|" : "/d/q|", "mkdir OK|");
        EXPECT(plain, XS_RM, ms % 2 == 0 ? "/d/q|" : "/d/p|", "rm OK|");
        EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "error EAGAIN|");
        ta = adding(a, "/d/a|");
        idle();
        if (strcmp(heard(w, b), "") != 0)
            return;
    }
    time_passes_to(1150);
    ck_assert_str_eq(heard(w, b), "end OK|");
}
END_TEST

START_TEST(who_is_refused_is_told_in_the_end_without_a_turn)
{
    uint32_t ta = adding(a, "/d/x|"), tb = adding(b, "/d/x|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    xids_xs_server_time(w->server, 1009);
    ta = adding(a, "/d/a|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "F|", "end OK|");
    ck_assert_str_eq(heard(w, b), "error EAGAIN|");
}
END_TEST

START_TEST(the_one_whose_turn_it_is_does_not_wait_for_itself)
{
    refuse(a);
    uint32_t tx = adding(a, "/d/a|"), second = adding(a, "/d/b|");
    EXPECT_TX(a, second, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}
END_TEST

START_TEST(a_turn_ends_with_its_connection)
{
    uint32_t ta = adding(a, "/d/x|"), tb = adding(b, "/d/x|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    (void)adding(a, "/d/a|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    uint32_t tc = tx_start(w, c);
    EXPECT_TX(c, tc, XS_MKDIR, "/d/c|", "mkdir OK|");
    EXPECT_TX(c, tc, XS_TRANSACTION_END, "T|", "");
    xids_xs_server_disconnect(a);
    idle();
    ck_assert_str_eq(heard(w, b), "error EAGAIN|");
    ck_assert_str_eq(heard(w, c), "end OK|");
    xids_xs_server_disconnect(b);
    ck_assert_uint_eq(xids_xs_server_deadline(w->server), UINT64_MAX);
}
END_TEST

START_TEST(who_waits_may_go)
{
    uint32_t ta = adding(a, "/d/x|"), tb = adding(b, "/d/x|"), tc = tx_start(w, c);
    EXPECT_TX(c, tc, XS_MKDIR, "/d/c|", "mkdir OK|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    ta = adding(a, "/d/a|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    EXPECT_TX(c, tc, XS_TRANSACTION_END, "T|", "");
    xids_xs_server_disconnect(c);
    xids_xs_server_disconnect(b);
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "end OK|");
    idle();
    EXPECT(a, XS_DIRECTORY, "/d|", "directory p|a|");
}
END_TEST

START_TEST(reset_watches_gives_the_turn_up)
{
    refuse(a);
    (void)adding(a, "/d/a|");
    uint32_t tb = adding(b, "/d/b|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    EXPECT(a, XS_RESET_WATCHES, "|", "reset OK|");
    idle();
    ck_assert_str_eq(heard(w, b), "end OK|");
}
END_TEST

START_TEST(without_a_clock_nobody_waits)
{
    struct world *other = world_up(), *kept = w;
    w = other;
    struct xids_xs_conn *x = world_socket(w), *y = world_socket(w), *z = world_socket(w);
    EXPECT(z, XS_MKDIR, "/d|", "mkdir OK|");
    uint32_t tx = adding(x, "/d/x|"), ty = adding(y, "/d/y|");
    EXPECT(z, XS_MKDIR, "/d/z|", "mkdir OK|");
    EXPECT_TX(x, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT_TX(y, ty, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    tx = adding(x, "/d/x|");
    ty = adding(y, "/d/y|");
    EXPECT_TX(y, ty, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT_TX(x, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    world_down(w);
    w = kept;
}
END_TEST

/* ---- guests ---- */

static uint32_t dom_adding(uint16_t domid, const char *child)
{
    uint32_t tx = dom_tx_start(w, domid);
    (void)dom_ask_tx(w, domid, tx, XS_DIRECTORY, "/g|");
    DOM_EXPECT_TX(domid, tx, XS_MKDIR, child, "mkdir OK|");
    return tx;
}

/* Domains 1 and 2 may both write in /g. */
static void two_guests(void)
{
    world_introduce(w, 1);
    world_introduce(w, 2);
    EXPECT(plain, XS_MKDIR, "/g|", "mkdir OK|");
    EXPECT(plain, XS_SET_PERMS, "/g|n0|b1|b2|", "set-perms OK|");
}

static void dom_refuse(uint16_t domid)
{
    uint32_t tx = dom_adding(domid, "/g/x|");
    EXPECT(plain, XS_MKDIR, "/g/p|", "mkdir OK|");
    DOM_EXPECT_TX(domid, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT(plain, XS_RM, "/g/p|", "rm OK|");
}

START_TEST(a_guest_waits_for_a_guest)
{
    two_guests();
    dom_refuse(1);
    uint32_t t1 = dom_adding(1, "/g/1|"), t2 = dom_tx_start(w, 2);
    DOM_EXPECT_TX(2, t2, XS_MKDIR, "/g/2|", "mkdir OK|");
    DOM_EXPECT_TX(2, t2, XS_TRANSACTION_END, "T|", "");
    /* What it says meanwhile is kept in the ring. */
    DOM_EXPECT(2, XS_READ, "/g|", "");
    DOM_EXPECT_TX(1, t1, XS_TRANSACTION_END, "T|", "end OK|");
    idle();
    ck_assert_str_eq(dom_heard(w, 2), "end OK|\nread ");
}
END_TEST

START_TEST(dom0_does_not_wait_for_a_guest)
{
    two_guests();
    dom_refuse(1);
    uint32_t t1 = dom_adding(1, "/g/1|"), tb = tx_start(w, b);
    EXPECT_TX(b, tb, XS_MKDIR, "/g/b|", "mkdir OK|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "end OK|");
    DOM_EXPECT_TX(1, t1, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}
END_TEST

START_TEST(dom0_takes_the_turn_of_a_guest)
{
    two_guests();
    uint32_t ta = adding(a, "/d/x|");
    EXPECT(plain, XS_MKDIR, "/d/p|", "mkdir OK|");
    dom_refuse(1);
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    ta = tx_start(w, a);
    EXPECT_TX(a, ta, XS_DIRECTORY, "/g|", "directory ");
    EXPECT_TX(a, ta, XS_MKDIR, "/g/a|", "mkdir OK|");
    uint32_t t1 = dom_adding(1, "/g/1|");
    DOM_EXPECT_TX(1, t1, XS_TRANSACTION_END, "T|", "");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "end OK|");
    idle();
    ck_assert_str_eq(dom_heard(w, 1), "error EAGAIN|");
}
END_TEST

/* A guest's plain change waits for dom0's transaction if it would refuse it, and not for any other. */
START_TEST(a_guests_change_waits_for_dom0_if_it_would_refuse_it)
{
    const struct {
        uint32_t type;
        const char *payload, *answer; /* NULL: it waits */
    } rows[] = {
        {XS_WRITE, "/g/n|x", NULL},
        {XS_WRITE, "/g/other|x", "write OK|"},
        {XS_WRITE, "/g/other/new|x", "write OK|"},
        {XS_MKDIR, "/g/n/below|", "mkdir OK|"},
        {XS_MKDIR, "/g/new|", NULL},
        {XS_MKDIR, "/g/missing|", NULL},
        {XS_MKDIR, "/g/new/below|", NULL},
        {XS_RM, "/g/other|", NULL},
        {XS_RM, "/g/n|", NULL},
        {XS_RM, "/g/other/child|", "rm OK|"},
        {XS_RM, "/g/n/nothing|", "rm OK|"},
        {XS_SET_PERMS, "/g/n|n1|", NULL},
        {XS_SET_PERMS, "/g/other|n1|", NULL},
        {XS_SET_PERMS, "/g/other/child|n1|", "set-perms OK|"},
        {XS_READ, "/g/n|", "read 1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        xids_xs_server_time(w->server, 10000 * (i + 1));
        EXPECT(plain, XS_RM, "/g|", "rm OK|");
        if (i == 0)
            two_guests();
        else
            EXPECT(plain, XS_WRITE, "/g|", "write OK|");
        EXPECT(plain, XS_SET_PERMS, "/g|n1|b2|", "set-perms OK|");
        DOM_EXPECT(1, XS_WRITE, "/g/n|1", "write OK|");
        DOM_EXPECT(1, XS_WRITE, "/g/other/child|1", "write OK|");
        refuse(a);
        uint32_t tx = tx_start(w, a);
        EXPECT_TX(a, tx, XS_DIRECTORY, "/g|", "directory n|other|");
        EXPECT_TX(a, tx, XS_READ, "/g/n|", "read 1");
        EXPECT_TX(a, tx, XS_READ, "/g/missing|", "error ENOENT|");
        EXPECT_TX(a, tx, XS_MKDIR, "/d/mine|", "mkdir OK|");
        ck_assert_str_eq(dom_ask(w, 1, rows[i].type, rows[i].payload), rows[i].answer != NULL ? rows[i].answer : "");
        EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "end OK|");
        idle();
        ck_assert_int_eq(strcmp(dom_heard(w, 1), "") == 0, rows[i].answer != NULL);
        EXPECT(plain, XS_RM, "/d/mine|", "rm OK|");
    }
}
END_TEST

/* By how long it waits a guest must not learn what there is, or is read, where it has no rights. */
START_TEST(a_guests_change_that_is_refused_does_not_wait)
{
    const struct {
        uint32_t type;
        const char *payload;
    } rows[] = {
        {XS_WRITE, "/g/n|x"}, {XS_WRITE, "/g/missing|x"}, {XS_MKDIR, "/g/new|"},
        {XS_RM, "/g/n|"},     {XS_SET_PERMS, "/g/n|n1|"},
    };
    two_guests();
    EXPECT(plain, XS_SET_PERMS, "/g|r0|", "set-perms OK|");
    EXPECT(plain, XS_WRITE, "/g/n|1", "write OK|");
    refuse(a);
    uint32_t tx = adding(a, "/d/a|");
    EXPECT_TX(a, tx, XS_READ, "/g/n|", "read 1");
    EXPECT_TX(a, tx, XS_READ, "/g/missing|", "error ENOENT|");
    EXPECT_TX(a, tx, XS_DIRECTORY, "/g|", "directory n|");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        DOM_EXPECT(1, rows[i].type, rows[i].payload, "error EACCES|");
    EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

START_TEST(nobody_waits_behind_a_guest_whose_room_is_still_counted)
{
    char child[20];
    two_guests();
    for (unsigned int i = 0; i < 2000; i++) {
        (void)sprintf(child, "/big/%u|", i);
        EXPECT(plain, XS_MKDIR, child, "mkdir OK|");
    }
    refuse(a);
    uint32_t ta = adding(a, "/d/a|"), tb = tx_start(w, b), t1 = dom_tx_start(w, 1);
    EXPECT_TX(a, ta, XS_DIRECTORY, "/g|", "directory ");
    DOM_EXPECT_TX(1, t1, XS_MKDIR, "/g/1/2/3|", "mkdir OK|");
    DOM_EXPECT_TX(1, t1, XS_TRANSACTION_END, "T|", "");
    xids_xs_server_time(w->server, 1001);
    EXPECT_TX(b, tb, XS_MKDIR, "/d/b|", "mkdir OK|");
    EXPECT_TX(b, tb, XS_TRANSACTION_END, "T|", "");
    EXPECT(plain, XIDS_XS_SET_QUOTA, "1|nodes|2|", "set-quota OK|");
    EXPECT(plain, XS_RM, "/big|", "rm OK|");
    EXPECT_TX(a, ta, XS_TRANSACTION_END, "T|", "end OK|");
    for (unsigned int i = 0; i < 5; i++)
        (void)xids_xs_server_idle(w->server, 1);
    ck_assert_str_eq(heard(w, b), "end OK|");
    ck_assert_str_eq(dom_heard(w, 1), "");
    idle();
    ck_assert_str_eq(dom_heard(w, 1), "error ENOSPC|");
}
END_TEST

/* It has at most a tenth of the time. */
START_TEST(a_guest_that_had_its_turn_rests)
{
    two_guests();
    dom_refuse(1);
    uint32_t t1 = dom_adding(1, "/g/1|");
    xids_xs_server_time(w->server, 1020);
    DOM_EXPECT_TX(1, t1, XS_TRANSACTION_END, "F|", "end OK|");
    xids_xs_server_time(w->server, 1100);
    dom_refuse(1);
    t1 = dom_adding(1, "/g/1|");
    uint32_t t2 = dom_adding(2, "/g/2|");
    DOM_EXPECT_TX(2, t2, XS_TRANSACTION_END, "T|", "end OK|");
    DOM_EXPECT_TX(1, t1, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT(plain, XS_RM, "/g/2|", "rm OK|");
    time_passes_to(1300);
    dom_refuse(1);
    t1 = dom_adding(1, "/g/1|");
    t2 = dom_adding(2, "/g/2|");
    DOM_EXPECT_TX(2, t2, XS_TRANSACTION_END, "T|", "");
}
END_TEST

START_TEST(a_domain_dies_whose_end_is_held_back)
{
    two_guests();
    dom_refuse(1);
    (void)dom_adding(1, "/g/1|");
    uint32_t t2 = dom_adding(2, "/g/2|");
    DOM_EXPECT_TX(2, t2, XS_TRANSACTION_END, "T|", "");
    EXPECT(plain, XS_RELEASE, "2|", "release OK|");
    EXPECT(plain, XS_RELEASE, "1|", "release OK|");
    idle();
    ck_assert_uint_eq(xids_xs_server_deadline(w->server), UINT64_MAX);
    EXPECT(plain, XS_DIRECTORY, "/g|", "directory ");
}
END_TEST

/* Many connections that all list and add: each gets through after at most one refusal. */
START_TEST(everybody_gets_through)
{
    enum { N = 40 };
    struct xids_xs_conn *conn[N];
    uint32_t tx[N];
    unsigned int refused[N] = {0}, left = N;
    bool waits[N] = {false}, over[N] = {false};
    char child[20];
    for (unsigned int i = 0; i < N; i++) {
        conn[i] = world_socket(w);
        (void)sprintf(child, "/d/%u|", i);
        tx[i] = adding(conn[i], child);
    }
    for (unsigned int turn = 0; left > 0; turn++) {
        ck_assert_uint_lt(turn, 4 * N);
        for (unsigned int i = 0; i < N; i++) {
            if (over[i])
                continue;
            const char *answer = waits[i] ? heard(w, conn[i]) : ask_tx(w, conn[i], tx[i], XS_TRANSACTION_END, "T|");
            waits[i] = strcmp(answer, "") == 0;
            over[i] = strcmp(answer, "end OK|") == 0;
            left -= over[i];
            if (waits[i] || over[i])
                continue;
            ck_assert_str_eq(answer, "error EAGAIN|");
            ck_assert_uint_lt(++refused[i], 2);
            (void)sprintf(child, "/d/%u|", i);
            tx[i] = adding(conn[i], child);
        }
        idle();
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_turn");
    TCase *t = tcase_create("turns");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_a_retry_has_read_stays_true_until_it_ends);
    tcase_add_test(t, what_was_read_before_stays_as_it_is_from_the_start);
    tcase_add_test(t, who_waited_without_having_read_it_commits_afterwards);
    tcase_add_test(t, who_changes_nothing_that_was_read_does_not_wait);
    tcase_add_test(t, a_plain_request_never_waits);
    tcase_add_test(t, nobody_is_held_back_for_a_retry_that_is_lost_already);
    tcase_add_test(t, who_is_refused_meanwhile_is_told_when_it_is_its_turn);
    tcase_add_test(t, a_turn_that_is_not_taken_passes);
    tcase_add_test(t, a_turn_that_does_not_end_is_ended);
    tcase_add_test(t, no_end_is_held_back_for_ever);
    tcase_add_test(t, who_is_refused_is_told_in_the_end_without_a_turn);
    tcase_add_test(t, the_one_whose_turn_it_is_does_not_wait_for_itself);
    tcase_add_test(t, a_turn_ends_with_its_connection);
    tcase_add_test(t, who_waits_may_go);
    tcase_add_test(t, reset_watches_gives_the_turn_up);
    tcase_add_test(t, without_a_clock_nobody_waits);
    suite_add_tcase(suite, t);
    t = tcase_create("guests");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_guest_waits_for_a_guest);
    tcase_add_test(t, dom0_does_not_wait_for_a_guest);
    tcase_add_test(t, dom0_takes_the_turn_of_a_guest);
    tcase_add_test(t, a_guests_change_waits_for_dom0_if_it_would_refuse_it);
    tcase_add_test(t, a_guests_change_that_is_refused_does_not_wait);
    tcase_add_test(t, nobody_waits_behind_a_guest_whose_room_is_still_counted);
    tcase_add_test(t, a_guest_that_had_its_turn_rests);
    tcase_add_test(t, a_domain_dies_whose_end_is_held_back);
    tcase_add_test(t, everybody_gets_through);
    suite_add_tcase(suite, t);
    return suite;
}
