/* SPDX-License-Identifier: ISC */
/* What is held for a domain: counted exactly, bounded, shown; and what was denied is told. */
#include "tests/unit/xsd_world.h"

#include <stdio.h>
#include <string.h>

static struct world *w;
static struct xids_xs_conn *c;

static void setup(void)
{
    w = world_up();
    c = world_socket(w);
    EXPECT(c, XS_MKDIR, "/open|", "mkdir OK|");
    EXPECT(c, XS_SET_PERMS, "/open|b0|", "set-perms OK|");
    world_introduce(w, 1);
}

static void teardown(void)
{
    world_down(w);
}

#define SET(payload) EXPECT(c, XIDS_XS_SET_QUOTA, payload, "set-quota OK|")
#define USED(quota) world_used(w, 1, quota)

/* A payload of a path, a NUL and len bytes. */
static const char *value(const char *path, size_t len)
{
    static char text[5000];
    int n = sprintf(text, "%s|", path);
    memset(text + n, 'v', len);
    text[(size_t)n + len] = '\0';
    return text;
}

/* Bytes into a domain's ring and the server's look at it; nobody fetches what comes back. */
static void push(uint16_t domid, uint32_t type, uint32_t tx, const char *payload, size_t len)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(out, sizeof(out), type, 77, tx, &part, 1);
    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(xids_bytering_write(&w->rings[domid].out, out, (uint32_t)n), n);
    (void)xids_bytering_publish(&w->rings[domid].out);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, domid));
}

/* ---- counted ---- */

START_TEST(what_a_domain_has_done_and_holds_is_told)
{
    struct xids_xs_domain_stats st, none;
    struct xids_xs_server_stats all;
    SET("1|transactions|1|");
    DOM_EXPECT(1, XS_WRITE, "/open/a|v", "write OK|");
    DOM_EXPECT(1, XS_WATCH, "/open/a|t|", "watch OK|\nevent /open/a|t|");
    EXPECT(c, XS_WRITE, "/open/a|w", "write OK|");
    (void)dom_heard(w, 1);
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT(1, XS_TRANSACTION_START, "|", "error ENOSPC|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/open/a|", "read w");
    DOM_EXPECT_TX(1, tx, XS_WRITE, "/open/b|1", "write OK|");
    EXPECT(c, XS_WRITE, "/open/a|x", "write OK|");
    (void)dom_heard(w, 1);
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
    (void)dom_tx_start(w, 1);
    ck_assert_int_eq(xids_xs_server_domain_stats(w->server, &st, 1), 0);
    ck_assert_uint_eq(st.requests, 10);
    ck_assert_uint_eq(st.events, 3);
    ck_assert_uint_eq(st.conflicts, 1);
    ck_assert_uint_eq(st.commits, 1);
    ck_assert_uint_eq(st.denials, 1);
    ck_assert_uint_eq(st.nodes, 1);
    ck_assert_uint_eq(st.watches, 1);
    ck_assert_uint_eq(st.transactions, 1);
    ck_assert_uint_eq(st.memory, USED("memory"));
    ck_assert(!st.broken && !st.shutdown);
    xids_xs_server_stats(w->server, &all);
    ck_assert_uint_eq(all.denials, 1);
    xids_xs_server_shutdown(w->server, 1);
    ck_assert_int_eq(xids_xs_server_domain_stats(w->server, &st, 1), 0);
    ck_assert(st.shutdown);
    ck_assert_int_eq(xids_xs_server_domain_stats(w->server, &none, 2), -XEN_ENOENT);
}
END_TEST

START_TEST(a_domain_that_has_nothing_holds_nothing)
{
    DOM_EXPECT(1, XS_READ, "/open|", "read ");
    ck_assert_uint_eq(USED("memory"), 0);
    ck_assert_uint_eq(USED("nodes"), 0);
    ck_assert_uint_eq(USED("outstanding"), 0);
}
END_TEST

/* Each thing that takes memory, and what gives it back. */
static const struct {
    uint32_t take;
    const char *what;
    uint32_t give;
    const char *back;
    size_t least;
} things[] = {
    {XS_WRITE, "/open/a/b/c|value", XS_RM, "/open/a|", 3 * 100},
    {XS_MKDIR, "/open/a|", XS_RM, "/open/a|", 100},
    {XS_WATCH, "/open|token|", XS_UNWATCH, "/open|token|", 100},
    {XS_WATCH, "/a/very/deep/path|token|", XS_RESET_WATCHES, "|", 4 * 50},
    {XS_WATCH, "@releaseDomain|t|", XS_UNWATCH, "@releaseDomain|t|", 100},
    {XS_WATCH, "relative|t|", XS_UNWATCH, "relative|t|", 100},
    {XS_TRANSACTION_START, "|", XS_RESET_WATCHES, "|", 100},
};

START_TEST(what_takes_memory_gives_it_back)
{
    (void)dom_ask(w, 1, things[_i].take, things[_i].what);
    unsigned long held = USED("memory");
    ck_assert_uint_ge(held, things[_i].least);
    ck_assert_uint_lt(held, 2000);
    (void)dom_ask(w, 1, things[_i].give, things[_i].back);
    ck_assert_uint_eq(USED("memory"), 0);
    ck_assert_uint_ge(world_most(w, 1, "memory"), held);
}
END_TEST

START_TEST(a_value_counts_with_its_length)
{
    DOM_EXPECT(1, XS_WRITE, value("/open/a", 10), "write OK|");
    unsigned long small = USED("memory");
    DOM_EXPECT(1, XS_WRITE, value("/open/a", 1510), "write OK|");
    ck_assert_uint_ge(USED("memory"), small + 1484);
    ck_assert_uint_le(USED("memory"), small + 1516);
    DOM_EXPECT(1, XS_WRITE, value("/open/a", 10), "write OK|");
    ck_assert_uint_eq(USED("memory"), small);
    DOM_EXPECT(1, XS_SET_PERMS, "/open/a|n1|r2|r3|r4|", "set-perms OK|");
    ck_assert_uint_eq(USED("memory"), small + 3 * 4);
    DOM_EXPECT(1, XS_SET_PERMS, "/open/a|n1|", "set-perms OK|");
    ck_assert_uint_eq(USED("memory"), small);
}
END_TEST

START_TEST(a_node_counts_for_its_owner)
{
    EXPECT(c, XS_WRITE, value("/open/a", 1000), "write OK|");
    ck_assert_uint_eq(USED("memory"), 0);
    EXPECT(c, XS_SET_PERMS, "/open/a|n1|", "set-perms OK|");
    unsigned long held = USED("memory");
    ck_assert_uint_ge(held, 1000);
    ck_assert_uint_eq(USED("nodes"), 1);
    EXPECT(c, XS_WRITE, value("/open/a", 2000), "write OK|");
    ck_assert_uint_ge(USED("memory"), held + 984);
    EXPECT(c, XS_SET_PERMS, "/open/a|n2|", "set-perms OK|");
    ck_assert_uint_eq(USED("memory"), 0);
    ck_assert_uint_ge(world_used(w, 2, "memory"), 2000);
    EXPECT(c, XS_RM, "/open/a|", "rm OK|");
    ck_assert_uint_eq(world_used(w, 2, "memory"), 0);
}
END_TEST

/* 0: committed on the tree it began with; 1: on another; 2: aborted; 3: the domain forgets it; 4: refused. */
START_TEST(a_transaction_counts_until_it_ends)
{
    EXPECT(c, XS_WRITE, "/open/seen|1", "write OK|");
    DOM_EXPECT(1, XS_WRITE, value("/open/old", 500), "write OK|");
    unsigned long before = USED("memory");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_READ, "/open/seen|", "read 1");
    DOM_EXPECT_TX(1, tx, XS_WRITE, value("/open/new/node", 1000), "write OK|");
    ck_assert_uint_ge(USED("memory"), before + 2000);
    unsigned long one = USED("memory");
    DOM_EXPECT_TX(1, tx, XS_WRITE, value("/open/new/more", 1000), "write OK|");
    ck_assert_uint_ge(USED("memory"), one + 2000);
    DOM_EXPECT_TX(1, tx, XS_SET_PERMS, "/open/new|n1|r2|", "set-perms OK|");
    DOM_EXPECT_TX(1, tx, XS_RM, "/open/new/node|", "rm OK|");
    DOM_EXPECT_TX(1, tx, XS_RM, "/open/old|", "rm OK|");
    if (_i == 1)
        EXPECT(c, XS_WRITE, "/open/elsewhere|1", "write OK|");
    if (_i == 4)
        EXPECT(c, XS_WRITE, "/open/seen|2", "write OK|");
    if (_i == 3)
        DOM_EXPECT(1, XS_RESET_WATCHES, "|", "reset OK|");
    else
        DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, _i == 2 ? "F|" : "T|", _i == 4 ? "error EAGAIN|" : "end OK|");
    if (_i < 2) {
        ck_assert_uint_eq(USED("nodes"), 2);
        ck_assert_uint_gt(USED("memory"), 1000);
        DOM_EXPECT(1, XS_RM, "/open/new|", "rm OK|");
    } else {
        ck_assert_uint_eq(USED("memory"), before);
        DOM_EXPECT(1, XS_RM, "/open/old|", "rm OK|");
    }
    ck_assert_uint_eq(USED("memory"), 0);
    ck_assert_uint_eq(USED("nodes"), 0);
}
END_TEST

static unsigned long reported(const char *kind, int column)
{
    const char *text = ask(w, c, XS_CONTROL, "memreport|");
    char row[32];
    unsigned long count, bytes;
    (void)sprintf(row, "\n%s ", kind);
    const char *at = strstr(text, row);
    ck_assert_msg(at != NULL && sscanf(strchr(at, ':') + 1, "%lu %lu", &count, &bytes) == 2, "%s", text);
    return column == 0 ? count : bytes;
}

START_TEST(answers_events_and_requests_in_part_count)
{
    char payload[64];
    static const uint8_t part[20] = {XS_WRITE, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, '/', 'o', 'p', 'e'};
    DOM_EXPECT(1, XS_WATCH, "/open|a-token|", "watch OK|\nevent /open|a-token|");
    EXPECT(c, XS_WRITE, value("/open/big", 900), "write OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /open/big|a-token|");
    unsigned long watch = USED("memory");
    for (unsigned int i = 0; i < 4; i++)
        push(1, XS_READ, 0, "/open/big", 10);
    /* One is in the ring, a bit of the next as well. */
    ck_assert_uint_eq(USED("outstanding"), 2);
    ck_assert_uint_eq(USED("memory"), watch + 4 * (16 + 900) - 1024);
    ck_assert_int_eq(xids_bytering_write(&w->rings[1].out, part, sizeof(part)), sizeof(part));
    (void)xids_bytering_publish(&w->rings[1].out);
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 1));
    for (unsigned int i = 0; i < 2000; i++) {
        (void)sprintf(payload, "/open/%04u|", i);
        EXPECT(c, XS_MKDIR, payload, "mkdir OK|");
    }
    ck_assert_uint_eq(reported("events", 0), 32);
    ck_assert_uint_eq(reported("requests", 0), 1);
    ck_assert_uint_eq(reported("requests", 1), 116);
    /* The asking socket has nothing but the buffer of this answer. */
    ck_assert_uint_eq(reported("answers", 0), 2);
    unsigned long kinds = reported("watches", 1) + reported("events", 1) + reported("requests", 1);
    ck_assert_uint_ge(USED("memory"), kinds + 4 * (16 + 900) - 1024);
    ck_assert_uint_le(USED("memory"), kinds + reported("answers", 1));
    SET("1|node-size|0|");
    /* Fetched, all of it, the event for what did not fit too. */
    (void)dom_heard(w, 1);
    uint8_t rest[96];
    memset(rest, 'r', sizeof(rest));
    memcpy(rest, "n/x", 4);
    dom_send(w, 1, rest, sizeof(rest));
    ck_assert_str_eq(dom_heard(w, 1), "event /open/x|a-token|\nwrite OK|");
    ck_assert_uint_eq(USED("outstanding"), 0);
    DOM_EXPECT(1, XS_RM, "/open/x|", "event /open/x|a-token|\nrm OK|");
    ck_assert_uint_eq(USED("memory"), watch);
    DOM_EXPECT(1, XS_UNWATCH, "/open|a-token|", "unwatch OK|");
    ck_assert_uint_eq(USED("memory"), 0);
}
END_TEST

/* 0: released; 1: introduced again; 2: it breaks the protocol. */
START_TEST(an_end_gives_all_back)
{
    static const uint32_t garbage[4] = {0, 0, 0, 5000};
    EXPECT(c, XS_WRITE, value("/open/big", 900), "write OK|");
    DOM_EXPECT(1, XS_WATCH, "/open/a/b/c|a-token|", "watch OK|\nevent /open/a/b/c|a-token|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, value("/open/new/node", 1000), "write OK|");
    for (unsigned int i = 0; i < 4; i++)
        push(1, XS_READ, 0, "/open/big", 10);
    ck_assert_uint_gt(USED("memory"), 3000);
    if (_i == 0) {
        xids_xs_server_release(w->server, 1);
        world_introduce(w, 1);
        ck_assert_uint_eq(world_most(w, 1, "memory"), 0);
    } else if (_i == 1) {
        world_introduce(w, 1);
    } else {
        ck_assert_int_eq(xids_bytering_write(&w->rings[1].out, garbage, sizeof(garbage)), sizeof(garbage));
        (void)xids_bytering_publish(&w->rings[1].out);
        xids_xs_server_ring_event(xids_xs_server_domain(w->server, 1));
    }
    ck_assert_uint_eq(USED("memory"), 0);
    ck_assert_uint_eq(USED("transactions"), 0);
    ck_assert_uint_eq(USED("watches"), 0);
    ck_assert_uint_eq(USED("outstanding"), 0);
}
END_TEST

/* Random requests of one who is bound; then all is undone. */
START_TEST(whatever_is_done_and_undone_leaves_nothing)
{
    uint32_t seed = 12345u + (uint32_t)_i, txs[64], ntx = 0;
    char payload[200], path[64];
    SET("1|memory|40000|");
    SET("1|transactions|20|");
    for (unsigned int i = 0; i < 3000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t r = seed >> 8, tx = ntx > 0 && r % 3 != 0 ? txs[r % ntx] : 0;
        (void)sprintf(path, "/open/%u/%u/%u", r % 3, r / 3 % 5, r / 15 % 4);
        path[6 + 2 * (r / 60 % 3) + 1] = '\0';
        switch (r / 180 % 9) {
        case 0:
        case 1:
        case 2:
            (void)dom_ask_tx(w, 1, tx, XS_WRITE, value(path, r / 1620 % 900));
            break;
        case 3:
            (void)sprintf(payload, "%s|", path);
            (void)dom_ask_tx(w, 1, tx, XS_RM, payload);
            break;
        case 4:
            (void)sprintf(payload, "%s|%u|", path, r / 1620 % 8);
            (void)dom_ask(w, 1, r / 12960 % 2 == 0 ? XS_WATCH : XS_UNWATCH, payload);
            break;
        case 5:
            (void)sprintf(payload, "%s|n1|r%u|r3|", path, r / 1620 % 8);
            (void)dom_ask_tx(w, 1, tx, XS_SET_PERMS, payload);
            break;
        case 6:
            if (ntx < 12) {
                const char *text = dom_ask(w, 1, XS_TRANSACTION_START, "|");
                const char *at = strstr(text, "start ");
                if (at != NULL)
                    txs[ntx++] = (uint32_t)strtoul(at + 6, NULL, 10);
            }
            break;
        case 7:
            if (ntx > 0) {
                (void)dom_ask_tx(w, 1, txs[--ntx], XS_TRANSACTION_END, r % 2 == 0 ? "T|" : "F|");
            }
            break;
        default:
            (void)sprintf(payload, "%s|n%u|", path, r / 1620 % 3);
            (void)ask(w, c, XS_SET_PERMS, payload);
            break;
        }
        /* What domain 0 gives it, and what one request of a transaction copies, may lie above the limit. */
        ck_assert_msg(USED("memory") < 40000 + 20000, "seed %u: %lu bytes after request %u", seed, USED("memory"), i);
    }
    ck_assert_uint_gt(world_most(w, 1, "memory"), 30000);
    (void)dom_ask(w, 1, XS_RESET_WATCHES, "|");
    EXPECT(c, XS_RM, "/open|", "rm OK|");
    (void)dom_heard(w, 1);
    ck_assert_msg(USED("memory") == 0 && USED("nodes") == 0, "seed %d: %lu bytes are left", 12345 + _i, USED("memory"));
}
END_TEST

/* A request of a guest over a socket, in two pieces; what it answers is lost. One allocation may fail meanwhile. */
static void try(struct xids_xs_conn *guest, uint32_t tx, uint32_t type, const char *payload)
{
    uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    char bytes[1000];
    const void *answer;
    size_t len = strlen(payload), used;
    ck_assert_uint_lt(len, sizeof(bytes));
    for (size_t i = 0; i < len; i++)
        bytes[i] = payload[i] == '|' ? '\0' : payload[i];
    const struct xids_xswire_part part = {bytes, len};
    int n = xids_xswire_build(out, sizeof(out), type, 77, tx, &part, 1);
    for (size_t at = 0; at < (size_t)n || !xids_xs_server_hungry(guest); at += used) {
        size_t piece = at < 18 ? 18 - at : (size_t)n - at;
        int rc = xids_xs_server_input(guest, &used, out + at, piece < (size_t)n - at ? piece : (size_t)n - at);
        ck_assert(rc == 0 || rc == -XEN_ENOMEM);
        xids_xs_server_sent(guest, xids_xs_server_output(guest, &answer));
    }
    /* A request that is whole and found no memory for its answer is carried out with the next look. */
    ck_assert_int_eq(xids_xs_server_input(guest, &used, out, 0), 0);
    xids_xs_server_sent(guest, xids_xs_server_output(guest, &answer));
}

START_TEST(whichever_allocation_fails_all_is_given_back)
{
    for (unsigned long i = 1;; i++) {
        struct xids_xs_conn *guest;
        ck_assert_int_eq(xids_xs_server_connect_as(w->server, &guest, NULL, 5), 0);
        unsigned long start = w->alloc.calls;
        w->alloc.fail_at = start + i;
        try(guest, 0, XS_WATCH, "/open/a/path|token|");
        try(guest, 0, XS_WRITE, "/open/a/path|value");
        try(guest, 0, XS_WRITE, "/open/a/path|another value, which is a good deal longer");
        try(guest, 0, XS_SET_PERMS, "/open/a/path|n5|r1|r2|");
        try(guest, 0, XS_TRANSACTION_START, "|");
        try(guest, 1, XS_READ, "/open/a/path|");
        try(guest, 1, XS_WRITE, "/open/b/path|value");
        try(guest, 1, XS_RM, "/open/a|");
        try(guest, 1, XS_MKDIR, "/open/c|");
        bool reached = w->alloc.calls >= start + i;
        w->alloc.fail_at = 0;
        EXPECT(c, XS_WRITE, "/elsewhere|1", "write OK|");
        w->alloc.fail_at = reached ? 0 : w->alloc.calls + 1 + i % 7;
        if (i % 2 == 0)
            try(guest, 1, XS_TRANSACTION_END, "T|");
        w->alloc.fail_at = 0;
        try(guest, 0, XS_RESET_WATCHES, "|");
        EXPECT(c, XS_RM, "/open/a|", "rm OK|");
        EXPECT(c, XS_RM, "/open/b|", "rm OK|");
        EXPECT(c, XS_RM, "/open/c|", "rm OK|");
        while (xids_xs_server_idle(w->server, 1000)) {
        }
        unsigned long left = world_used(w, 5, "memory");
        ck_assert_msg(left == 0, "%lu bytes are left when allocation %lu fails", left, i);
        ck_assert_uint_eq(world_used(w, 5, "nodes"), 0);
        ck_assert_ptr_null(xids_store_check(xids_xs_server_store(w->server)));
        xids_xs_server_disconnect(guest);
        if (!reached && i % 14 == 0)
            break; /* and each of the first few of the commit has failed too */
        ck_assert_uint_lt(i, 500);
    }
}
END_TEST

/* ---- bounded ---- */

static const struct {
    uint32_t type;
    const char *payload, *path;
} takers[] = {
    {XS_WRITE, "/open/another|x", "/open/another"},
    {XS_WRITE, "/open/deep/deep/down|x", "/open/deep/deep/down"},
    {XS_MKDIR, "/open/another|", "/open/another"},
    {XS_WATCH, "/open|t|", "/open"},
    {XS_TRANSACTION_START, "|", "-"},
    {XS_SET_PERMS, "/open/a|n1|r2|r3|", "/open/a"},
};

START_TEST(what_would_take_more_is_enospc_and_what_gives_back_is_not)
{
    char want[100];
    DOM_EXPECT(1, XS_WRITE, value("/open/a", 1000), "write OK|");
    uint32_t tx = dom_tx_start(w, 1);
    SET("1|memory|1200|");
    unsigned long held = USED("memory");
    DOM_EXPECT(1, takers[_i].type, takers[_i].payload, "error ENOSPC|");
    (void)sprintf(want, "1 memory %s", takers[_i].path);
    ck_assert_str_eq(w->denied, want);
    ck_assert_uint_eq(w->denials, 1);
    DOM_EXPECT(1, XS_WRITE, value("/open/a", 1300), "error ENOSPC|");
    DOM_EXPECT_TX(1, tx, XS_WRITE, value("/open/b", 1300), "error ENOSPC|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/open/b|", "error ENOSPC|");
    ck_assert_uint_eq(USED("memory"), held);
    DOM_EXPECT(1, XS_READ, "/open|", "read ");
    DOM_EXPECT(1, XS_WRITE, value("/open/a", 10), "write OK|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "F|", "end OK|");
    ck_assert_int_eq(strncmp(dom_ask(w, 1, takers[_i].type, takers[_i].payload), "error", 5) == 0, 0);
    ck_assert_uint_eq(w->denials, 4);
}
END_TEST

START_TEST(a_commit_that_would_be_too_much_is_enospc)
{
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, value("/open/a", 1000), "write OK|");
    DOM_EXPECT_TX(1, tx, XS_WRITE, value("/open/b", 1000), "write OK|");
    SET("1|memory|2000|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error ENOSPC|");
    ck_assert_str_eq(w->denied, "1 memory -");
    ck_assert_uint_eq(USED("memory"), 0);
    SET("1|memory|0|");
    tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_WRITE, value("/open/a", 1000), "write OK|");
    /* What it holds until it ends is not held twice. */
    SET("1|memory|1300|");
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_uint_gt(USED("memory"), 1000);
}
END_TEST

START_TEST(events_become_fewer_when_there_is_no_room_for_them)
{
    char payload[64];
    DOM_EXPECT(1, XS_WATCH, "/open|t|", "watch OK|\nevent /open|t|");
    SET("1|memory|16000|");
    for (unsigned int i = 0; i < 2000; i++) {
        (void)sprintf(payload, "/open/%04u|", i);
        EXPECT(c, XS_MKDIR, payload, "mkdir OK|");
    }
    ck_assert_uint_eq(reported("events", 0), 0);
    const char *text = dom_heard(w, 1);
    ck_assert_ptr_nonnull(text = strrchr(text, '\n'));
    ck_assert_str_eq(text, "\nevent /open|t|");
}
END_TEST

START_TEST(a_guest_that_does_not_fetch_answers_is_not_read_from)
{
    EXPECT(c, XS_WRITE, value("/open/big", 900), "write OK|");
    SET("1|outstanding|3|");
    for (unsigned int i = 0; i < 10; i++)
        push(1, XS_READ, 0, "/open/big", 10);
    /* The first and some of the second are in the ring. */
    ck_assert_uint_eq(USED("outstanding"), 2);
    SET("1|outstanding|5|");
    xids_xs_server_ring_event(xids_xs_server_domain(w->server, 1));
    ck_assert_uint_eq(USED("outstanding"), 4);
    const char *text = dom_heard(w, 1);
    unsigned int answers = 0;
    for (; (text = strstr(text, "read ")) != NULL; text++)
        answers++;
    ck_assert_uint_eq(answers, 10);
    ck_assert_uint_eq(USED("outstanding"), 0);
    ck_assert_uint_ge(world_most(w, 1, "outstanding"), 4);
    ck_assert_uint_le(world_most(w, 1, "outstanding"), 5);
}
END_TEST

START_TEST(too_much_for_the_soft_limit_is_told_once_each_time)
{
    SET("1|soft-memory|1000|");
    DOM_EXPECT(1, XS_WRITE, value("/open/a", 500), "write OK|");
    ck_assert_uint_eq(w->denials, 0);
    DOM_EXPECT(1, XS_WRITE, value("/open/b", 500), "write OK|");
    DOM_EXPECT(1, XS_WRITE, value("/open/c", 500), "write OK|");
    ck_assert_str_eq(w->denied, "1 soft-memory -");
    ck_assert_uint_eq(w->denials, 1);
    DOM_EXPECT(1, XS_RM, "/open/b|", "rm OK|");
    DOM_EXPECT(1, XS_RM, "/open/c|", "rm OK|");
    DOM_EXPECT(1, XS_WRITE, value("/open/b", 500), "write OK|");
    ck_assert_uint_eq(w->denials, 2);
}
END_TEST

/* Guests who hold snapshots and change all that they have make the server keep the old of it, but not without end. */
START_TEST(snapshots_of_guests_keep_no_more_than_a_bound)
{
    struct xids_xs_conn *writer, *own = world_socket(w);
    world_introduce(w, 2);
    ck_assert_int_eq(xids_xs_server_connect_as(w->server, &writer, NULL, 1), 0);
    EXPECT(writer, XS_WRITE, "/open/a|1", "write OK|");
    EXPECT(writer, XS_SET_PERMS, "/open/a|b1|", "set-perms OK|");
    uint32_t mine = tx_start(w, own), first = dom_tx_start(w, 2);
    EXPECT_TX(own, mine, XS_READ, "/open/a|", "read 1");
    DOM_EXPECT_TX(2, first, XS_READ, "/open/a|", "read 1");
    EXPECT(writer, XS_WRITE, value("/open/a", 2000), "write OK|");
    size_t peak = w->alloc.peak;
    unsigned int i;
    for (i = 0; i < 60000; i++) {
        uint32_t tx = tx_start(w, writer);
        EXPECT(writer, XS_WRITE, value("/open/a", 2000), "write OK|");
        EXPECT_TX(writer, tx, XS_TRANSACTION_END, "F|", "end OK|");
        if (i % 1000 == 0 && strncmp(dom_ask_tx(w, 2, first, XS_READ, "/open/a|"), "read 1", 7) != 0)
            break;
    }
    ck_assert_msg(i > 10000 && i < 60000, "the snapshot was lost after %u changes", i);
    DOM_EXPECT_TX(2, first, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    DOM_EXPECT_TX(2, dom_tx_start(w, 2), XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT_TX(own, mine, XS_READ, "/open/a|", "read 1");
    EXPECT_TX(own, mine, XS_TRANSACTION_END, "T|", "end OK|");
    ck_assert_uint_lt(w->alloc.peak, peak + (100u << 20));
}
END_TEST

/* What another transaction writes again, and shorter, in the meantime is no reason to lose a snapshot. */
START_TEST(a_snapshot_is_not_lost_when_others_take_back_what_they_wrote)
{
    struct xids_xs_conn *own = world_socket(w);
    world_home(w, 2);
    uint32_t mine = tx_start(w, own);
    EXPECT_TX(own, mine, XS_WRITE, value("/big", 2000), "write OK|");
    uint32_t tx = dom_tx_start(w, 2);
    DOM_EXPECT_TX(2, tx, XS_WRITE, "a|1", "write OK|");
    EXPECT_TX(own, mine, XS_WRITE, "/big|1", "write OK|");
    EXPECT_TX(own, mine, XS_TRANSACTION_END, "F|", "end OK|");
    while (xids_xs_server_idle(w->server, 100)) {
    }
    DOM_EXPECT_TX(2, tx, XS_TRANSACTION_END, "T|", "end OK|");
}
END_TEST

/* ---- told ---- */

static const struct {
    const char *set;
    uint32_t type;
    const char *payload, *error, *denied;
} denials[] = {
    {"1|nodes|1|", XS_WRITE, "/open/x/y|1", "error ENOSPC|", "1 nodes /open/x/y"},
    {"1|watches|1|", XS_WATCH, "/open|u|", "error ENOSPC|", "1 watches /open"},
    {"1|transactions|1|", XS_TRANSACTION_START, "|", "error ENOSPC|", "1 transactions -"},
    {"1|node-size|25|", XS_WRITE, "/open/x|1", "error ENOSPC|", "1 node-size /open/x"},
    {"1|node-permissions|1|", XS_SET_PERMS, "/open|n1|r2|", "error ENOSPC|", "1 node-permissions -"},
    {"1|path-max|5|", XS_READ, "/open|", "error EINVAL|", "1 path-max /open"},
};

START_TEST(the_host_is_told_who_was_denied_what)
{
    DOM_EXPECT(1, XS_WATCH, "/open|t|", "watch OK|\nevent /open|t|");
    (void)dom_tx_start(w, 1);
    SET(denials[_i].set);
    DOM_EXPECT(1, denials[_i].type, denials[_i].payload, denials[_i].error);
    ck_assert_str_eq(w->denied, denials[_i].denied);
    ck_assert_uint_eq(w->denials, 1);
    /* An error of another kind is none, and the privileged are denied nothing. */
    DOM_EXPECT(1, XS_READ, "/no|", "error EACCES|");
    (void)ask(w, c, denials[_i].type, denials[_i].payload);
    ck_assert_uint_eq(w->denials, 1);
}
END_TEST

START_TEST(a_transaction_with_too_many_paths_is_told)
{
    SET("1|transaction-nodes|2|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_READ, "/open|", "read ");
    DOM_EXPECT_TX(1, tx, XS_READ, "/open/a|", "error ENOENT|");
    DOM_EXPECT_TX(1, tx, XS_READ, "/open/b|", "error ENOSPC|");
    ck_assert_str_eq(w->denied, "1 transaction-nodes /open/b");
    ck_assert_uint_eq(world_most(w, 1, "transaction-nodes"), 2);
}
END_TEST

/* ---- shown ---- */

START_TEST(the_tables_are_those_of_c_xenstored)
{
    EXPECT(c, XS_CONTROL, "quota|",
           "control Quota settings:\n"
           "nodes            :     1000 nodes that a domain owns\n"
           "watches          :      128 watches of a domain\n"
           "outstanding      :       20 answers that a domain has not fetched\n"
           "memory           :  2621440 bytes held for a domain\n"
           "transactions     :       10 transactions that a domain has open\n"
           "transaction-nodes:     1024 paths that a transaction names\n"
           "node-permissions :        5 permissions of a node\n"
           "path-max         :     2048 bytes of a path\n"
           "node-size        :     2048 bytes of a node\n|");
    EXPECT(c, XS_CONTROL, "quota-soft|",
           "control Quota settings:\n"
           "memory           :  2097152 bytes held for a domain\n|");
    (void)dom_ask(w, 1, XS_WATCH, "/open|t|");
    DOM_EXPECT(1, XS_WRITE, "/elsewhere|1", "error EACCES|");
    DOM_EXPECT(1, XS_UNWATCH, "/open|t|", "unwatch OK|");
    EXPECT(c, XS_CONTROL, "quota|max|-r|",
           "control Max. seen accounting values:\n"
           "nodes            :        0\n"
           "watches          :        0\n"
           "outstanding      :        0\n"
           "memory           :        0\n"
           "transactions     :        0\n"
           "transaction-nodes:        0\n"
           "node-permissions :        0\n"
           "path-max         :        0\n"
           "node-size        :        0\n|");
    (void)dom_ask(w, 1, XS_WATCH, "/open|t|");
    (void)dom_ask(w, 1, XS_RESET_WATCHES, "|");
    unsigned long held = world_most(w, 1, "memory");
    char want[1000];
    (void)sprintf(want,
                  "control Domain 1:\n"
                  "nodes            :        0 (max        0)\n"
                  "watches          :        0 (max        1)\n"
                  "outstanding      :        0 (max        1)\n"
                  "memory           :        0 (max %8lu)\n"
                  "transactions     :        0 (max        0)\n"
                  "transaction-nodes:        0 (max        0)\n"
                  "node-permissions :        0 (max        0)\n"
                  "path-max         :        0 (max        5)\n"
                  "node-size        :        0 (max        0)\n|",
                  held);
    EXPECT(c, XS_CONTROL, "quota|1|", want);
}
END_TEST

START_TEST(the_most_of_all_outlives_the_domain_that_used_it)
{
    (void)dom_tx_start(w, 1);
    (void)dom_tx_start(w, 1);
    DOM_EXPECT(1, XS_MKDIR, "/open/a|", "mkdir OK|");
    xids_xs_server_release(w->server, 1);
    EXPECT(c, XS_WATCH, "/|t|", "watch OK|\nevent /|t|"); /* of the privileged, which does not count */
    const char *text = ask(w, c, XS_CONTROL, "quota|max|");
    ck_assert_ptr_nonnull(strstr(text, "\ntransactions     :        2\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nnodes            :        1\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nwatches          :        0\n"));
    ck_assert_ptr_nonnull(strstr(text, "\npath-max         :        7\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nnode-size        :       26\n"));
    ck_assert_ptr_null(strstr(ask(w, c, XS_CONTROL, "quota|max|-r|"), "  2\n"));
}
END_TEST

START_TEST(control_sets_what_new_domains_get)
{
    EXPECT(c, XS_CONTROL, "quota|set|nodes|7|", "control OK|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "nodes|", "get-quota 7|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "1|nodes|", "get-quota 1000|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "2|nodes|", "get-quota 7|");
    EXPECT(c, XS_CONTROL, "quota-soft|set|memory|70|", "control OK|");
    EXPECT(c, XIDS_XS_GET_QUOTA, "soft-memory|", "get-quota 70|");
}
END_TEST

static const struct {
    const char *payload, *error;
} wrong[] = {
    {"quota|set|", "error EINVAL|"},
    {"quota|set|nodes|", "error EINVAL|"},
    {"quota|set|nodes|0|", "error EINVAL|"},
    {"quota|set|nodes|-3|", "error EINVAL|"},
    {"quota|set|nodes|many|", "error EINVAL|"},
    {"quota|set|nodes|1|2|", "error EINVAL|"},
    {"quota|set|soft-memory|1|", "error EINVAL|"},
    {"quota|set|nonsense|1|", "error EINVAL|"},
    {"quota|max|all|", "error EINVAL|"},
    {"quota|max|-r|-r|", "error EINVAL|"},
    {"quota|one|", "error EINVAL|"},
    {"quota|1|2|", "error EINVAL|"},
    {"quota|2|", "error ENOENT|"},
    {"quota-soft|set|nodes|1|", "error EINVAL|"},
    {"quota-soft|1|", "error EINVAL|"},
    {"memreport|/full|", "error ENOSPC|"},
    {"memreport|/a|/b|", "error EINVAL|"},
    {"help|me|", "error EINVAL|"},
    {"check|it|", "error EINVAL|"},
};

START_TEST(a_wrong_command_is_refused)
{
    EXPECT(c, XS_CONTROL, wrong[_i].payload, wrong[_i].error);
    ck_assert_uint_eq(w->denials, 0);
}
END_TEST

START_TEST(help_lists_the_commands_of_quotas)
{
    const char *text = ask(w, c, XS_CONTROL, "help|");
    ck_assert_ptr_nonnull(strstr(text, "\nquota           [set <name> <val>|<domid>|max [-r]]\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nquota-soft      [set <name> <val>]\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nmemreport       [<file>]\n"));
}
END_TEST

START_TEST(memreport_counts_what_there_is)
{
    ck_assert_uint_eq(reported("connections", 0), 2);
    unsigned long nodes = reported("nodes", 0), bytes = reported("nodes", 1);
    EXPECT(c, XS_MKDIR, "/open/a|", "mkdir OK|");
    ck_assert_uint_eq(reported("nodes", 0), nodes + 1);
    ck_assert_uint_gt(reported("nodes", 1), bytes);
    EXPECT(c, XS_WATCH, "/a|t|", "watch OK|\nevent /a|t|");
    ck_assert_uint_eq(reported("watches", 0), 1);
    (void)tx_start(w, c);
    ck_assert_uint_eq(reported("transactions", 0), 1);
    EXPECT(c, XS_CONTROL, "memreport|/var/log/file|", "control OK|");
    ck_assert_int_eq(strncmp(w->report, "/var/log/fileMemory:", 20), 0);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_account");
    TCase *t = tcase_create("counted");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_a_domain_has_done_and_holds_is_told);
    tcase_add_test(t, a_domain_that_has_nothing_holds_nothing);
    tcase_add_loop_test(t, what_takes_memory_gives_it_back, 0, sizeof(things) / sizeof(things[0]));
    tcase_add_test(t, a_value_counts_with_its_length);
    tcase_add_test(t, a_node_counts_for_its_owner);
    tcase_add_loop_test(t, a_transaction_counts_until_it_ends, 0, 5);
    tcase_add_test(t, answers_events_and_requests_in_part_count);
    tcase_add_loop_test(t, an_end_gives_all_back, 0, 3);
    tcase_add_loop_test(t, whatever_is_done_and_undone_leaves_nothing, 0, 4);
    tcase_add_test(t, whichever_allocation_fails_all_is_given_back);
    suite_add_tcase(suite, t);
    t = tcase_create("bounded");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, what_would_take_more_is_enospc_and_what_gives_back_is_not, 0,
                        sizeof(takers) / sizeof(takers[0]));
    tcase_add_test(t, a_commit_that_would_be_too_much_is_enospc);
    tcase_add_test(t, events_become_fewer_when_there_is_no_room_for_them);
    tcase_add_test(t, snapshots_of_guests_keep_no_more_than_a_bound);
    tcase_add_test(t, a_snapshot_is_not_lost_when_others_take_back_what_they_wrote);
    tcase_add_test(t, a_guest_that_does_not_fetch_answers_is_not_read_from);
    tcase_add_test(t, too_much_for_the_soft_limit_is_told_once_each_time);
    suite_add_tcase(suite, t);
    t = tcase_create("told");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, the_host_is_told_who_was_denied_what, 0, sizeof(denials) / sizeof(denials[0]));
    tcase_add_test(t, a_transaction_with_too_many_paths_is_told);
    tcase_add_test(t, the_tables_are_those_of_c_xenstored);
    tcase_add_test(t, the_most_of_all_outlives_the_domain_that_used_it);
    tcase_add_test(t, control_sets_what_new_domains_get);
    tcase_add_loop_test(t, a_wrong_command_is_refused, 0, sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(t, help_lists_the_commands_of_quotas);
    tcase_add_test(t, memreport_counts_what_there_is);
    suite_add_tcase(suite, t);
    return suite;
}
