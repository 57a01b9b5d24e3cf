/* SPDX-License-Identifier: ISC */
/* What one request costs at once, and what is left for later: counted in nodes looked at, not in time. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_store *store;
static struct xids_xs_conn *c, *o;

static void setup(void)
{
    w = world_up();
    store = xids_xs_server_store(w->server);
    c = world_socket(w);
    o = world_socket(w);
}

static void teardown(void)
{
    world_down(w);
}

/* Works off all that was put off; no slice looks at much more than it was asked to and a request needs. */
static void idle(void)
{
    for (bool more = true; more;) {
        uint64_t before = xids_store_work(store);
        more = xids_xs_server_idle(w->server, 100);
        ck_assert_uint_le(xids_store_work(store) - before, 1000);
    }
}

static void children(const char *dir, unsigned int count)
{
    char payload[100];
    for (unsigned int i = 0; i < count; i++) {
        (void)sprintf(payload, "%s/%u|x", dir, i);
        EXPECT(c, XS_WRITE, payload, "write OK|");
    }
}

START_TEST(a_removal_costs_no_more_for_what_is_below)
{
    children("/big", 20000);
    uint32_t nodes = xids_store_nodes(store);
    EXPECT(o, XS_WATCH, "/big/77|token|", "watch OK|\nevent /big/77|token|");
    EXPECT(o, XS_WATCH, "/|root|", "watch OK|\nevent /|root|");
    uint64_t before = xids_store_work(store);
    EXPECT(c, XS_RM, "/big|", "rm OK|");
    ck_assert_uint_le(xids_store_work(store) - before, 200);
    /* It is gone all the same, and who watches has been told. */
    ck_assert_str_eq(heard(w, o), "event /big/77|token|\nevent /big|root|");
    EXPECT(c, XS_READ, "/big/77|", "error ENOENT|");
    EXPECT(c, XS_DIRECTORY, "/|", "directory tool|");
    idle();
    ck_assert_uint_eq(xids_store_nodes(store), nodes - 20001);
}
END_TEST

START_TEST(a_removal_in_a_transaction_costs_no_more_either)
{
    children("/big", 20000);
    uint32_t nodes = xids_store_nodes(store), tx = tx_start(w, c);
    uint64_t before = xids_store_work(store);
    EXPECT_TX(c, tx, XS_RM, "/big|", "rm OK|");
    EXPECT(o, XS_WRITE, "/other|x", "write OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_uint_le(xids_store_work(store) - before, 800);
    idle();
    ck_assert_uint_eq(xids_store_nodes(store), nodes - 20001 + 1);
    tx = tx_start(w, c);
    EXPECT_TX(c, tx, XS_RM, "/other|", "rm OK|");
    EXPECT_TX(c, tx, XS_RM, "/tool|", "rm OK|");
    EXPECT_TX(c, tx, XS_TRANSACTION_END, "F|", "end OK|");
    idle();
    ck_assert_uint_eq(xids_store_nodes(store), nodes - 20001 + 1);
}
END_TEST

/* What a snapshot shares with a removed subtree stays whole for it. */
START_TEST(a_snapshot_keeps_what_was_removed)
{
    children("/big", 3000);
    uint32_t tx = tx_start(w, o), nodes = xids_store_nodes(store);
    EXPECT_TX(o, tx, XS_WRITE, "/big/5|mine", "write OK|");
    EXPECT(c, XS_WRITE, "/big/6|new", "write OK|");
    EXPECT(c, XS_RM, "/big|", "rm OK|");
    (void)xids_xs_server_idle(w->server, 100);
    EXPECT_TX(o, tx, XS_WRITE, "/big/7|mine", "write OK|");
    idle();
    EXPECT_TX(o, tx, XS_READ, "/big/2999|", "read x");
    EXPECT_TX(o, tx, XS_READ, "/big/6|", "read x");
    EXPECT_TX(o, tx, XS_TRANSACTION_END, "F|", "end OK|");
    idle();
    ck_assert_uint_eq(xids_store_nodes(store), nodes - 3001);
}
END_TEST

/* Rights in many places, among those of another domain that a search takes for the same: each is looked at few times.
 */
START_TEST(a_death_costs_no_more_for_rights_of_others_nearby)
{
    enum { DEAD = 2, ALIKE = 67, COUNT = 3000 };
    char payload[60];
    world_introduce(w, DEAD);
    world_introduce(w, ALIKE);
    children("/big", COUNT);
    for (unsigned int i = 0; i < COUNT; i++) {
        (void)sprintf(payload, "/big/%u|n0|r%d|", i, i % 2 == 0 ? DEAD : ALIKE);
        EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
    }
    uint64_t before = xids_store_work(store);
    EXPECT(c, XS_RELEASE, "2|", "release OK|");
    while (xids_xs_server_idle(w->server, 500)) {
    }
    ck_assert_uint_le(xids_store_work(store) - before, 20 * COUNT);
    EXPECT(c, XS_GET_PERMS, "/big/2998|", "get-perms n0|");
    EXPECT(c, XS_GET_PERMS, "/big/2999|", "get-perms n0|r67|");
}
END_TEST

/* The same while snapshots keep the nodes. */
START_TEST(a_death_strikes_rights_in_spite_of_snapshots)
{
    char payload[60];
    world_introduce(w, 2);
    children("/big", 1000);
    for (unsigned int i = 0; i < 1000; i++) {
        (void)sprintf(payload, "/big/%u|n%d|r2|b3|", i, i % 5 == 0 ? 2 : 0);
        EXPECT(c, XS_SET_PERMS, payload, "set-perms OK|");
    }
    uint32_t tx = tx_start(w, o);
    EXPECT(c, XS_RELEASE, "2|", "release OK|");
    for (bool more = true; more;) {
        uint32_t another = tx_start(w, o);
        more = xids_xs_server_idle(w->server, 20);
        EXPECT_TX(o, another, XS_TRANSACTION_END, "F|", "end OK|");
    }
    for (unsigned int i = 0; i < 1000; i++) {
        (void)sprintf(payload, "/big/%u|", i);
        EXPECT(c, XS_GET_PERMS, payload, i % 5 == 0 ? "error ENOENT|" : "get-perms n0|b3|");
        EXPECT_TX(o, tx, XS_GET_PERMS, payload, i % 5 == 0 ? "get-perms n2|r2|b3|" : "get-perms n0|r2|b3|");
    }
}
END_TEST

/* ---- room for what a guest makes after a removal ---- */

static void guest(void)
{
    world_introduce(w, 1);
    EXPECT(c, XS_MKDIR, "/local/domain/1|", "mkdir OK|");
    EXPECT(c, XS_SET_PERMS, "/local/domain/1|n1|", "set-perms OK|");
}

/* So many nodes, and eleven folders that they are in. */
static void fill(unsigned int count)
{
    char payload[40];
    for (unsigned int i = 0; i < count; i++) {
        (void)sprintf(payload, "d/%u/%u|x", i % 10, i);
        DOM_EXPECT(1, XS_WRITE, payload, "write OK|");
    }
}

/* A path of so many new nodes. */
static const char *deep(unsigned int count)
{
    static char path[1000];
    strcpy(path, "deep");
    for (unsigned int i = 1; i < count; i++)
        strcat(path, "/x");
    strcat(path, "|");
    return path;
}

START_TEST(what_a_guest_has_removed_makes_room_for_what_it_creates)
{
    guest();
    fill(988);
    DOM_EXPECT(1, XS_WRITE, "more|x", "error ENOSPC|");
    DOM_EXPECT(1, XS_RM, "d|", "rm OK|");
    for (unsigned int i = 0; i < 2; i++) {
        /* More at once than is counted with one request: the answer comes later, and what was asked next after it. */
        ck_assert_str_eq(dom_ask(w, 1, XS_MKDIR, deep(400)), "");
        ck_assert_str_eq(dom_ask(w, 1, XS_READ, "deep/x|"), "");
        idle();
        ck_assert_str_eq(dom_heard(w, 1), "mkdir OK|\nread ");
        DOM_EXPECT(1, XS_RM, "deep|", "rm OK|");
        idle();
        ck_assert_uint_eq(xids_store_owned(store, 1), 1);
        fill(988);
        DOM_EXPECT(1, XS_RM, "d|", "rm OK|");
    }
}
END_TEST

START_TEST(what_does_not_fit_is_refused_when_all_is_counted)
{
    guest();
    fill(500);
    DOM_EXPECT(1, XS_MKDIR, deep(400), "mkdir OK|");
    DOM_EXPECT(1, XS_RM, "d|", "rm OK|");
    char payload[40];
    for (unsigned int i = 0; i < 410; i++) {
        (void)sprintf(payload, "e/%u|x", i);
        DOM_EXPECT(1, XS_WRITE, payload, "write OK|");
    }
    EXPECT(c, XS_WRITE, "/some/where|x", "write OK|");
    children("/big", 2000);
    EXPECT(c, XS_RM, "/big|", "rm OK|");
    /* Somebody else's removal: it is looked whether anything of the guest's is in it. */
    const char *one =
        "e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/"
        "1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/"
        "1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/"
        "1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8/1/2/3/4/5/6/7/8|";
    ck_assert_str_eq(dom_ask(w, 1, XS_MKDIR, one), "");
    EXPECT(c, XS_READ, "/some/where|", "read x");
    idle();
    ck_assert_str_eq(dom_heard(w, 1), "error ENOSPC|");
    DOM_EXPECT(1, XS_READ, "e/1|", "read x");
}
END_TEST

/* Others who remove more all the time: what is removed after the request is none of its business. */
START_TEST(who_waits_for_what_was_removed_does_not_wait_for_what_is_removed_later)
{
    char payload[40];
    guest();
    fill(988);
    for (unsigned int i = 0; i < 50; i++) {
        (void)sprintf(payload, "/big/%u", i);
        children(payload, 300);
    }
    EXPECT(c, XS_RM, "/big/0|", "rm OK|");
    ck_assert_str_eq(dom_ask(w, 1, XS_WRITE, "more|x"), "");
    unsigned int i = 1;
    for (; i < 50 && strcmp(dom_heard(w, 1), "error ENOSPC|") != 0; i++) {
        (void)sprintf(payload, "/big/%u|", i);
        EXPECT(o, XS_RM, payload, "rm OK|");
        (void)xids_xs_server_idle(w->server, 50);
    }
    ck_assert_uint_lt(i, 20);
    ck_assert(xids_xs_server_busy(w->server));
}
END_TEST

/* A request that is put off stays in the ring: the host must hear of what is carried out in the end. */
START_TEST(a_request_that_is_changed_while_it_waits_is_a_new_one)
{
    struct xids_xs_server_stats before, after;
    guest();
    fill(988);
    for (unsigned int changed = 0; changed < 2; changed++) {
        children("/big", 2000);
        EXPECT(c, XS_RM, "/big|", "rm OK|");
        xids_xs_server_stats(w->server, &before);
        ck_assert_str_eq(dom_ask(w, 1, XS_WRITE, "more|x"), "");
        uint8_t *in = w->rings[1].page;
        for (unsigned int i = 0; changed != 0 && i + 4 < XENSTORE_RING_SIZE; i++) {
            if (memcmp(in + i, "more", 4) == 0)
                in[i] = 'l';
        }
        idle();
        ck_assert_str_eq(dom_heard(w, 1), "error ENOSPC|");
        xids_xs_server_stats(w->server, &after);
        ck_assert_uint_eq(after.requests - before.requests, 1 + changed);
    }
}
END_TEST

START_TEST(a_commit_waits_until_it_is_known_to_fit)
{
    guest();
    fill(900);
    uint32_t tx = dom_tx_start(w, 1);
    char payload[40];
    for (unsigned int i = 0; i < 70; i++) {
        (void)sprintf(payload, "e/%u|x", i);
        DOM_EXPECT_TX(1, tx, XS_WRITE, payload, "write OK|");
    }
    DOM_EXPECT(1, XS_MKDIR, deep(88), "mkdir OK|");
    DOM_EXPECT(1, XS_RM, "d|", "rm OK|");
    ck_assert_str_eq(dom_ask_tx(w, 1, tx, XS_TRANSACTION_END, "T|"), "");
    idle();
    ck_assert_str_eq(dom_heard(w, 1), "end OK|");
    ck_assert_uint_eq(xids_store_owned(store, 1), 1 + 71 + 88);
}
END_TEST

START_TEST(a_guests_transaction_may_use_the_room_that_it_makes)
{
    guest();
    fill(988);
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_RM, "d|", "rm OK|");
    DOM_EXPECT_TX(1, tx, XS_MKDIR, deep(400), "mkdir OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_uint_eq(xids_store_owned(store, 1), 401);
}
END_TEST

/* ---- what connections leave ---- */

/* Calls of the allocator, which frees, are what is counted here. */
static unsigned long puts_of(void (*what)(void))
{
    unsigned long before = w->alloc.puts;
    what();
    return w->alloc.puts - before;
}

static void close_c(void)
{
    xids_xs_server_disconnect(c);
}

static void reset_c(void)
{
    EXPECT(c, XS_RESET_WATCHES, "|", "reset OK|");
}

static void watch_all(unsigned int count)
{
    char payload[60];
    for (unsigned int i = 0; i < count; i++) {
        (void)sprintf(payload, "/watched/%u|t|", i);
        (void)ask(w, c, XS_WATCH, payload);
    }
}

static void idle_frees_little(void)
{
    for (bool more = true; more;) {
        unsigned long before = w->alloc.puts;
        more = xids_xs_server_idle(w->server, 100);
        ck_assert_uint_le(w->alloc.puts - before, 500);
    }
}

START_TEST(closing_a_connection_with_many_watches_costs_little_at_once)
{
    watch_all(10000);
    ck_assert_uint_le(puts_of(close_c), 1000);
    EXPECT(o, XS_WRITE, "/watched/9999|x", "write OK|");
    idle_frees_little();
    struct xids_xs_server_stats stats;
    xids_xs_server_stats(w->server, &stats);
    ck_assert_uint_eq(stats.watches, 0);
    ck_assert_uint_eq(stats.sockets, 1);
}
END_TEST

START_TEST(reset_watches_with_many_costs_little_at_once)
{
    EXPECT(o, XS_WATCH, "/watched|o|", "watch OK|\nevent /watched|o|");
    watch_all(10000);
    ck_assert_uint_le(puts_of(reset_c), 1000);
    /* What is removed is removed, even if it is still to be freed; and may be set again. */
    EXPECT(c, XS_UNWATCH, "/watched/9999|t|", "error ENOENT|");
    EXPECT(o, XS_WRITE, "/watched/9998|x", "event /watched/9998|o|\nwrite OK|");
    ck_assert_str_eq(heard(w, c), "");
    EXPECT(c, XS_WATCH, "/watched/7|t|", "watch OK|\nevent /watched/7|t|");
    ck_assert_uint_le(puts_of(reset_c), 1000);
    EXPECT(c, XS_WATCH, "/watched/8|t|", "watch OK|\nevent /watched/8|t|");
    idle_frees_little();
    EXPECT(o, XS_WRITE, "/watched/7|x", "event /watched/7|o|\nwrite OK|");
    EXPECT(o, XS_WRITE, "/watched/8|x", "event /watched/8|o|\nwrite OK|");
    ck_assert_str_eq(heard(w, c), "event /watched/8|t|");
    struct xids_xs_server_stats stats;
    xids_xs_server_stats(w->server, &stats);
    ck_assert_uint_eq(stats.watches, 2);
}
END_TEST

/* Events that wait for somebody who does not fetch them go with the watches. */
START_TEST(what_waits_for_watches_goes_with_them)
{
    char payload[1000];
    watch_all(100);
    EXPECT(c, XS_WATCH, "/watched|all|", "watch OK|\nevent /watched|all|");
    memset(payload, 'p', sizeof(payload));
    for (unsigned int i = 0; i < 3000; i++) {
        int n = sprintf(payload, "/watched/%u/%u", i % 100, i);
        payload[n] = 'p';
        strcpy(payload + 900, "|x");
        EXPECT(o, XS_WRITE, payload, "write OK|");
    }
    EXPECT(o, XS_RM, "/watched|", "rm OK|");
    ck_assert_uint_le(puts_of(close_c), 1000);
    idle_frees_little();
}
END_TEST

START_TEST(closing_a_connection_with_a_big_transaction_costs_little_at_once)
{
    char payload[60];
    uint32_t tx = tx_start(w, c);
    for (unsigned int i = 0; i < 20000; i++) {
        (void)sprintf(payload, "/tx/%u|x", i);
        EXPECT_TX(c, tx, XS_WRITE, payload, "write OK|");
    }
    ck_assert_uint_le(puts_of(close_c), 1500);
    idle_frees_little();
    EXPECT(o, XS_READ, "/tx/1|", "error ENOENT|");
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_slices");
    TCase *t = tcase_create("removals");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_removal_costs_no_more_for_what_is_below);
    tcase_add_test(t, a_removal_in_a_transaction_costs_no_more_either);
    tcase_add_test(t, a_snapshot_keeps_what_was_removed);
    tcase_add_test(t, a_death_costs_no_more_for_rights_of_others_nearby);
    tcase_add_test(t, a_death_strikes_rights_in_spite_of_snapshots);
    suite_add_tcase(suite, t);
    t = tcase_create("room");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_a_guest_has_removed_makes_room_for_what_it_creates);
    tcase_add_test(t, what_does_not_fit_is_refused_when_all_is_counted);
    tcase_add_test(t, who_waits_for_what_was_removed_does_not_wait_for_what_is_removed_later);
    tcase_add_test(t, a_request_that_is_changed_while_it_waits_is_a_new_one);
    tcase_add_test(t, a_commit_waits_until_it_is_known_to_fit);
    tcase_add_test(t, a_guests_transaction_may_use_the_room_that_it_makes);
    suite_add_tcase(suite, t);
    t = tcase_create("connections");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, closing_a_connection_with_many_watches_costs_little_at_once);
    tcase_add_test(t, reset_watches_with_many_costs_little_at_once);
    tcase_add_test(t, what_waits_for_watches_goes_with_them);
    tcase_add_test(t, closing_a_connection_with_a_big_transaction_costs_little_at_once);
    suite_add_tcase(suite, t);
    return suite;
}
