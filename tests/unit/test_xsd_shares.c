/* SPDX-License-Identifier: ISC */
/* Who asks much waits for its turns, and nobody waits for who asks much: counted in what things cost, not in time. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

/* More than a share, the last request that goes into it and the bookkeeping of a slice. */
#define TURN_MOST 1400

static struct world *w;
static struct xids_xs_conn *c, *o;

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
    o = world_socket(w);
}

static void teardown(void)
{
    world_down(w);
}

static uint64_t cost(void)
{
    struct xids_xs_server_stats stats;
    xids_xs_server_stats(w->server, &stats);
    return stats.cost;
}

/* So many times the same request. */
static uint8_t *many(size_t *len, unsigned int count, uint32_t type, const char *path)
{
    const struct xids_xswire_part part = {path, strlen(path) + 1};
    uint8_t one[200];
    int n = xids_xswire_build(one, sizeof(one), type, 77, 0, &part, 1);
    ck_assert_int_gt(n, 0);
    *len = (size_t)n * count;
    uint8_t *all = malloc(*len);
    ck_assert_ptr_nonnull(all);
    for (unsigned int i = 0; i < count; i++)
        memcpy(all + i * (size_t)n, one, (size_t)n);
    return all;
}

/* How many messages there are in what a socket has to say; they are fetched. */
static unsigned int fetched(struct xids_xs_conn *conn)
{
    const void *bytes;
    size_t len = xids_xs_server_output(conn, &bytes), used = 0;
    unsigned int count = 0;
    struct xids_xswire_msg msg;
    for (int n; (n = xids_xswire_peek(&msg, (const uint8_t *)bytes + used, len - used)) > 0; used += (size_t)n)
        count++;
    xids_xs_server_sent(conn, used);
    return count;
}

START_TEST(a_socket_that_asks_much_has_its_turns)
{
    size_t len, at = 0, used;
    unsigned int turns = 0, answers = 0;
    uint8_t *all = many(&len, 2000, XS_READ, "/");
    EXPECT(o, XS_WRITE, "/a|x", "write OK|");
    while (at < len) {
        uint64_t before = cost();
        ck_assert(xids_xs_server_hungry(c));
        ck_assert_int_eq(xids_xs_server_input(c, &used, all + at, len - at), 0);
        ck_assert_uint_gt(used, 0);
        ck_assert_uint_le(cost() - before, TURN_MOST);
        at += used;
        answers += fetched(c);
        ck_assert_uint_lt(++turns, 50);
        if (at == len)
            break;
        ck_assert(xids_xs_server_spent(c));
        ck_assert(!xids_xs_server_hungry(c));
        ck_assert_int_eq(xids_xs_server_input(c, &used, all + at, len - at), 0);
        ck_assert_uint_eq(used, 0);
        /* Another one is served at once. */
        EXPECT(o, XS_READ, "/a|", "read x");
        while (xids_xs_server_ready(w->server) != NULL) {
        }
        ck_assert(xids_xs_server_busy(w->server));
        (void)xids_xs_server_idle(w->server, 100);
        ck_assert_ptr_eq(xids_xs_server_ready(w->server), c);
    }
    ck_assert_uint_eq(answers, 2000);
    ck_assert_uint_gt(turns, 10);
    ck_assert(!xids_xs_server_idle(w->server, 100));
    free(all);
}
END_TEST

/* Fills the guest's ring with requests, the last one perhaps in part, and tells the server. */
static void flood(uint16_t domid)
{
    static const struct xids_xswire_part part = {"/", 2};
    static size_t at[WORLD_DOMAINS];
    struct world_ring *r = &w->rings[domid];
    uint8_t one[40];
    int size = xids_xswire_build(one, sizeof(one), XS_READ, 77, 0, &part, 1);
    ck_assert_int_gt(size, 0);
    for (int n; (n = xids_bytering_write(&r->out, one + at[domid], (uint32_t)size - (uint32_t)at[domid])) > 0;)
        at[domid] = (at[domid] + (size_t)n) % (size_t)size;
    (void)xids_bytering_publish(&r->out);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, domid));
}

/* The bytes that the guest has been told since; it fetches them. */
static size_t told(uint16_t domid)
{
    struct world_ring *r = &w->rings[domid];
    uint8_t bytes[XENSTORE_RING_SIZE];
    size_t sum = 0;
    for (int n; (n = xids_bytering_read(&r->in, bytes, sizeof(bytes))) > 0; sum += (size_t)n) {
    }
    (void)xids_bytering_publish(&r->in);
    return sum;
}

START_TEST(rings_that_are_always_full_share_what_is_left)
{
    enum { FLOODERS = 5, QUIET = 9, TURNS = 400 };
    size_t got[FLOODERS + 1] = {0}, least = SIZE_MAX, most = 0;
    for (uint16_t i = 1; i <= FLOODERS; i++)
        world_introduce(w, i);
    world_introduce(w, QUIET);
    for (unsigned int turn = 0; turn < TURNS; turn++) {
        uint64_t before = cost();
        for (uint16_t i = 1; i <= FLOODERS; i++) {
            flood(i);
            got[i] += told(i);
        }
        /* Whatever the others do, it is served with its event. */
        DOM_EXPECT(QUIET, XS_READ, "data|", "error EACCES|");
        (void)xids_xs_server_idle(w->server, 100);
        while (xids_xs_server_ready(w->server) != NULL) {
        }
        ck_assert_uint_le(cost() - before, (FLOODERS + 1) * TURN_MOST);
    }
    for (unsigned int i = 1; i <= FLOODERS; i++) {
        least = got[i] < least ? got[i] : least;
        most = got[i] > most ? got[i] : most;
    }
    ck_assert_uint_gt(least, 0);
    ck_assert_uint_le(most - least, most / 10);
}
END_TEST

/* Reads of 4 KiB are dearer than reads of nothing. */
START_TEST(who_asks_for_much_gets_fewer_answers_in_a_turn)
{
    static char payload[4100] = "/big|";
    size_t big_len, small_len, used;
    memset(payload + 5, 'x', 4000);
    EXPECT(o, XS_WRITE, payload, "write OK|");
    uint8_t *big = many(&big_len, 1000, XS_READ, "/big"), *small = many(&small_len, 1000, XS_READ, "/");
    ck_assert_int_eq(xids_xs_server_input(c, &used, big, big_len), 0);
    unsigned int dear = fetched(c);
    ck_assert_int_eq(xids_xs_server_input(o, &used, small, small_len), 0);
    unsigned int cheap = fetched(o);
    ck_assert_uint_gt(dear, 5);
    ck_assert_uint_gt(cheap, 4 * dear);
    free(big);
    free(small);
}
END_TEST

/* One request that costs many shares: paid back while somebody else waits, and for a bounded time. */
START_TEST(what_one_request_costs_beyond_the_share_is_paid_back)
{
    char payload[40];
    size_t len, used;
    for (unsigned int i = 0; i < 10000; i++) {
        (void)sprintf(payload, "/big/%u|", i);
        EXPECT(o, XS_MKDIR, payload, "mkdir OK|");
    }
    uint8_t *all = many(&len, 1000, XS_READ, "/");
    uint64_t before = cost();
    EXPECT(c, XS_DIRECTORY, "/big|", "error E2BIG|");
    ck_assert_uint_gt(cost() - before, 10000);
    ck_assert_int_eq(xids_xs_server_input(o, &used, all, len), 0);
    ck_assert(xids_xs_server_spent(o));
    ck_assert_int_eq(xids_xs_server_input(c, &used, all, len), 0);
    ck_assert_uint_eq(used, 0);
    unsigned int turns = 0;
    for (; xids_xs_server_spent(c); turns++) {
        ck_assert_uint_lt(turns, 100);
        (void)xids_xs_server_idle(w->server, 1);
        struct xids_xs_conn *next = xids_xs_server_ready(w->server);
        if (next == o) {
            (void)fetched(o);
            ck_assert_int_eq(xids_xs_server_input(o, &used, all, len), 0);
        }
    }
    ck_assert_uint_gt(turns, 5);
    ck_assert_int_eq(xids_xs_server_input(c, &used, all, len), 0);
    ck_assert_uint_gt(used, 0);
    free(all);
}
END_TEST

/* A commit that was held back is carried out later, and paid for all the same. */
START_TEST(a_commit_that_was_held_back_is_paid_for)
{
    char payload[40];
    size_t len, used;
    struct xids_xs_conn *holder = world_socket(w);
    xids_xs_server_time(w->server, 1000);
    for (unsigned int i = 0; i < 2; i++) {
        uint32_t tx = tx_start(w, holder);
        (void)ask_tx(w, holder, tx, XS_DIRECTORY, "/|");
        EXPECT_TX(holder, tx, XS_WRITE, "/x|", "write OK|");
        if (i == 0) {
            EXPECT(o, XS_MKDIR, "/y|", "mkdir OK|");
            EXPECT_TX(holder, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
            continue;
        }
        uint32_t other = tx_start(w, c);
        for (unsigned int j = 0; j < 2000; j++) {
            (void)sprintf(payload, "/new/%u|", j);
            EXPECT_TX(c, other, XS_MKDIR, payload, "mkdir OK|");
        }
        EXPECT_TX(c, other, XS_TRANSACTION_END, "T|", "");
        EXPECT(o, XS_MKDIR, "/elsewhere|", "mkdir OK|");
        EXPECT_TX(holder, tx, XS_TRANSACTION_END, "F|", "end OK|");
    }
    while (xids_xs_server_idle(w->server, 100)) {
    }
    ck_assert_str_eq(heard(w, c), "end OK|");
    uint8_t *all = many(&len, 1000, XS_READ, "/");
    ck_assert_int_eq(xids_xs_server_input(o, &used, all, len), 0);
    ck_assert(xids_xs_server_spent(o));
    ck_assert_int_eq(xids_xs_server_input(c, &used, all, len), 0);
    ck_assert_uint_eq(used, 0);
    free(all);
}
END_TEST

/* ---- what does not cost anything ---- */

static uint64_t cost_of_a_write(void)
{
    EXPECT(c, XS_WRITE, "/dir/mine|0", "write OK|");
    uint64_t before = cost();
    EXPECT(c, XS_WRITE, "/dir/mine|1", "write OK|");
    return cost() - before;
}

START_TEST(a_write_costs_no_more_for_watches_elsewhere)
{
    char payload[40];
    uint64_t alone = cost_of_a_write();
    for (unsigned int i = 0; i < 10000; i++) {
        (void)sprintf(payload, "/dir/%u|t|", i);
        (void)ask(w, o, XS_WATCH, payload);
    }
    ck_assert_uint_eq(cost_of_a_write(), alone);
}
END_TEST

START_TEST(a_write_costs_no_more_for_idle_domains)
{
    uint64_t alone = cost_of_a_write();
    for (uint16_t i = 1; i < WORLD_DOMAINS; i++)
        world_introduce(w, i);
    while (xids_xs_server_idle(w->server, 100)) {
    }
    ck_assert_uint_eq(cost_of_a_write(), alone);
    ck_assert(!xids_xs_server_busy(w->server));
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_shares");
    TCase *t = tcase_create("shares");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_socket_that_asks_much_has_its_turns);
    tcase_add_test(t, rings_that_are_always_full_share_what_is_left);
    tcase_add_test(t, who_asks_for_much_gets_fewer_answers_in_a_turn);
    tcase_add_test(t, what_one_request_costs_beyond_the_share_is_paid_back);
    tcase_add_test(t, a_commit_that_was_held_back_is_paid_for);
    tcase_add_test(t, a_write_costs_no_more_for_watches_elsewhere);
    tcase_add_test(t, a_write_costs_no_more_for_idle_domains);
    suite_add_tcase(suite, t);
    return suite;
}
