/* SPDX-License-Identifier: ISC */
/*
 * A server's state saved and restored. Two worlds hear the same random requests, and the server of one is replaced
 * again and again: every byte that anybody hears must be the same in both.
 *
 * XIDS_SEED repeats a run; each failure says its seed.
 */
#include "tests/unit/xsd_update.h"

#include <stdio.h>
#include <string.h>

/* What 4.17's header has no name for. */
#define XS_GET_QUOTA XIDS_XS_GET_QUOTA
#define XS_SET_QUOTA XIDS_XS_SET_QUOTA

#define SOCKETS 3u
#define GUESTS 3u /* domains 1 to 3 */
#define ACTORS (SOCKETS + GUESTS)
#define HEARD_MAX (1u << 20)

static uint64_t rng;

static unsigned int pick(unsigned int n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned int)((rng >> 20) % n);
}

/* ---- one world and all that it said ---- */

struct side {
    struct world *w;
    struct sockets socks;
    uint8_t *heard[SOCKETS];
    size_t nheard[SOCKETS];
    uint8_t *waiting[SOCKETS]; /* sent to a server that does not want it yet */
    size_t nwaiting[SOCKETS];
};

static void side_up(struct side *s)
{
    memset(s, 0, sizeof(*s));
    s->w = world_up();
    s->socks.n = SOCKETS;
    for (unsigned int i = 0; i < SOCKETS; i++) {
        s->socks.conn[i] = world_socket(s->w);
        s->heard[i] = malloc(HEARD_MAX);
        s->waiting[i] = malloc(HEARD_MAX);
    }
    for (uint16_t d = 1; d <= GUESTS; d++)
        world_introduce(s->w, d);
}

static void side_down(struct side *s)
{
    world_down(s->w);
    for (unsigned int i = 0; i < SOCKETS; i++) {
        free(s->heard[i]);
        free(s->waiting[i]);
    }
}

static void feed(struct side *s, unsigned int i)
{
    size_t used = 0;
    if (s->nwaiting[i] == 0 || !xids_xs_server_hungry(s->socks.conn[i]))
        return;
    ck_assert_int_eq(xids_xs_server_input(s->socks.conn[i], &used, s->waiting[i], s->nwaiting[i]), 0);
    memmove(s->waiting[i], s->waiting[i] + used, s->nwaiting[i] - used);
    s->nwaiting[i] -= used;
}

static void side_send(struct side *s, unsigned int actor, const uint8_t *bytes, size_t len)
{
    if (actor >= SOCKETS) {
        struct world_ring *r = &s->w->rings[actor - SOCKETS + 1];
        /* As much as there is room for: who does not read does not get to write either. */
        if (xids_bytering_look(&r->out) < (int)len)
            return;
        ck_assert_int_eq(xids_bytering_write(&r->out, bytes, (uint32_t)len), (int)len);
        (void)xids_bytering_publish(&r->out);
        xids_xs_server_ring_event(xids_xs_server_domain(s->w->server, (uint16_t)(actor - SOCKETS + 1)));
        return;
    }
    ck_assert_uint_lt(s->nwaiting[actor] + len, HEARD_MAX);
    memcpy(s->waiting[actor] + s->nwaiting[actor], bytes, len);
    s->nwaiting[actor] += len;
    feed(s, actor);
}

/* Takes up to max bytes of what is to be heard. */
static void side_hear(struct side *s, unsigned int actor, size_t max)
{
    (void)xids_xs_server_ready(s->w->server);
    if (actor >= SOCKETS) {
        struct world_ring *r = &s->w->rings[actor - SOCKETS + 1];
        int n = xids_bytering_read(&r->in, r->heard + r->nheard, (uint32_t)(max < 1024 ? max : 1024));
        ck_assert_int_ge(n, 0);
        r->nheard += (size_t)n;
        ck_assert_uint_lt(r->nheard + 1024, sizeof(r->heard));
        (void)xids_bytering_publish(&r->in);
        xids_xs_server_ring_event(xids_xs_server_domain(s->w->server, (uint16_t)(actor - SOCKETS + 1)));
        return;
    }
    const void *bytes;
    size_t n = xids_xs_server_output(s->socks.conn[actor], &bytes);
    n = n < max ? n : max;
    ck_assert_uint_lt(s->nheard[actor] + n, HEARD_MAX);
    if (n > 0)
        memcpy(s->heard[actor] + s->nheard[actor], bytes, n);
    s->nheard[actor] += n;
    xids_xs_server_sent(s->socks.conn[actor], n);
    feed(s, actor);
}

static void side_idle(struct side *s)
{
    while (xids_xs_server_idle(s->w->server, 1000)) {
    }
    for (unsigned int i = 0; i < SOCKETS; i++)
        feed(s, i);
}

static void side_update(struct side *s)
{
    for (unsigned int i = 0; i < SOCKETS; i++) {
        s->socks.rest[i] = s->waiting[i];
        s->socks.rest_len[i] = s->nwaiting[i];
    }
    struct stream first = {0}, second = {0};
    struct xids_xs_state_error error;
    ck_assert_int_eq(world_save(s->w, &s->socks, &first), 0);
    xids_xs_server_free(s->w->server);
    ck_assert_uint_eq(s->w->alloc.blocks, 0);
    int rc = world_restore(s->w, &s->socks, &error, first.bytes, first.len);
    ck_assert_msg(rc == 0, "record %u: %s", error.record, error.reason != NULL ? error.reason : "?");
    for (unsigned int i = 0; i < SOCKETS; i++) {
        /* All input is the host's business again, with the beginning of a request that the old server had taken. */
        memcpy(s->waiting[i], s->socks.rest[i], s->socks.rest_len[i]);
        s->nwaiting[i] = s->socks.rest_len[i];
    }
    const char *broken = xids_store_check(xids_xs_server_store(s->w->server));
    ck_assert_msg(broken == NULL, "the tree has %s", broken);
    /* What is restored would be saved the same: every record has a fixed point. */
    ck_assert_int_eq(world_save(s->w, &s->socks, &second), 0);
    ck_assert_uint_eq(first.len, second.len);
    size_t at = 0;
    while (at < first.len && first.bytes[at] == second.bytes[at])
        at++;
    ck_assert_msg(at == first.len, "the streams differ at %lu", (unsigned long)at);
    for (unsigned int i = 0; i < SOCKETS; i++)
        feed(s, i);
    free(first.bytes);
    free(second.bytes);
}

/* ---- random requests ---- */

static const char *random_path(void)
{
    static char path[96];
    static const char *const names[] = {"a", "b", "c", "long-name-of-a-node"};
    size_t at = 0;
    unsigned int depth = 1 + pick(3);
    /* Some in a guest's home, some relative. */
    if (pick(3) == 0)
        at = (size_t)sprintf(path, "/local/domain/%u/", 1 + pick(GUESTS));
    else if (pick(3) != 0)
        path[at++] = '/';
    for (unsigned int i = 0; i < depth; i++)
        at += (size_t)sprintf(path + at, "%s%s", i > 0 ? "/" : "", names[pick(4)]);
    return path;
}

static size_t random_request(uint8_t *out, const uint32_t *tx, bool socket)
{
    static const uint32_t types[] = {XS_WRITE,
                                     XS_WRITE,
                                     XS_READ,
                                     XS_MKDIR,
                                     XS_RM,
                                     XS_DIRECTORY,
                                     XS_GET_PERMS,
                                     XS_SET_PERMS,
                                     XS_WATCH,
                                     XS_UNWATCH,
                                     XS_TRANSACTION_START,
                                     XS_TRANSACTION_END,
                                     XS_DIRECTORY_PART,
                                     XS_WRITE,
                                     XS_WATCH,
                                     XS_IS_DOMAIN_INTRODUCED,
                                     XS_SET_TARGET};
    char payload[256];
    size_t len = 0;
    uint32_t type = types[pick(sizeof(types) / sizeof(types[0]))], in = pick(2) == 0 ? tx[pick(2)] : 0;
    const char *path = random_path();
    if (type == XS_WRITE) {
        len = (size_t)sprintf(payload, "%s|%.*s", path, (int)pick(60),
                              "the value of a node, which may be rather long or not there at all");
    } else if (type == XS_SET_PERMS) {
        len = (size_t)sprintf(payload, "%s|%c%u|%c%u|", path, "nrwb"[pick(4)], pick(GUESTS + 1), "nrwb"[pick(4)],
                              1 + pick(GUESTS));
    } else if (type == XS_WATCH || type == XS_UNWATCH) {
        static const char *const watched[] = {"/", "@releaseDomain", "/a", "a"};
        len = (size_t)sprintf(payload, "%s|t%u|", pick(2) == 0 ? watched[pick(4)] : path, pick(3));
        if (type == XS_WATCH && pick(3) == 0)
            len += (size_t)sprintf(payload + len, "%u|", pick(3));
    } else if (type == XS_TRANSACTION_START) {
        in = 0;
        len = (size_t)sprintf(payload, "|");
    } else if (type == XS_TRANSACTION_END) {
        in = tx[pick(2)];
        len = (size_t)sprintf(payload, "%c|", pick(6) == 0 ? 'F' : 'T');
    } else if (type == XS_DIRECTORY_PART) {
        len = (size_t)sprintf(payload, "%s|%u|", pick(3) == 0 ? "/" : path, pick(20));
    } else if (type == XS_IS_DOMAIN_INTRODUCED) {
        len = (size_t)sprintf(payload, "%u|", pick(6));
    } else if (type == XS_SET_TARGET) {
        len = (size_t)sprintf(payload, "%u|%u|", 1 + pick(GUESTS), 1 + pick(GUESTS));
        if (!socket || pick(5) != 0)
            type = XS_READ;
    } else {
        len = (size_t)sprintf(payload, "%s|", path);
    }
    for (size_t i = 0; i < len; i++)
        payload[i] = payload[i] == '|' ? '\0' : payload[i];
    const struct xids_xswire_part part = {payload, len};
    int n = xids_xswire_build(out, XIDS_XSWIRE_MESSAGE_MAX, type, 77, in, &part, 1);
    ck_assert_int_gt(n, 0);
    return (size_t)n;
}

static uint64_t seed_of(int loop)
{
    const char *env = getenv("XIDS_SEED");
    return env != NULL ? strtoull(env, NULL, 0) : UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(loop + 1);
}

static void same(const struct side *a, const struct side *b, uint64_t seed)
{
    for (unsigned int i = 0; i < SOCKETS; i++) {
        ck_assert_msg(a->nheard[i] == b->nheard[i] && memcmp(a->heard[i], b->heard[i], a->nheard[i]) == 0,
                      "seed %#llx: socket %u heard something else", (unsigned long long)seed, i);
    }
    for (unsigned int d = 1; d <= GUESTS; d++) {
        const struct world_ring *x = &a->w->rings[d], *y = &b->w->rings[d];
        ck_assert_msg(x->nheard == y->nheard && memcmp(x->heard, y->heard, x->nheard) == 0,
                      "seed %#llx: domain %u heard something else", (unsigned long long)seed, d);
    }
}

START_TEST(an_updated_server_says_what_one_that_was_never_updated_says)
{
    uint64_t seed = seed_of(_i);
    static struct side plain, updated;
    static uint8_t request[XIDS_XSWIRE_MESSAGE_MAX], requests[ACTORS][512];
    size_t len = 0, sent[ACTORS] = {0}, lens[ACTORS] = {0};
    rng = seed;
    side_up(&plain);
    side_up(&updated);
    for (unsigned int i = 0; i < 3000; i++) {
        unsigned int actor = pick(ACTORS);
        /* Transactions 1, 2, ... of each connection: about as many as it has begun. */
        const uint32_t tx[2] = {1 + pick(2 + i / 150), 1 + pick(2 + i / 150)};
        if (sent[actor] == lens[actor]) {
            len = random_request(request, tx, actor < SOCKETS);
            ck_assert_uint_le(len, sizeof(requests[0]));
            memcpy(requests[actor], request, len);
            lens[actor] = len;
            sent[actor] = 0;
        }
        /* Often only a part of it; the rest another time. */
        size_t n = pick(4) == 0 ? 1 + pick((unsigned int)(lens[actor] - sent[actor])) : lens[actor] - sent[actor];
        bool room = actor < SOCKETS || xids_bytering_look(&plain.w->rings[actor - SOCKETS + 1].out) >= (int)n;
        side_send(&plain, actor, requests[actor] + sent[actor], n);
        side_send(&updated, actor, requests[actor] + sent[actor], n);
        sent[actor] += room ? n : 0;
        if (pick(3) == 0) {
            size_t max = pick(3) == 0 ? 1 + pick(200) : 100000;
            actor = pick(ACTORS);
            side_hear(&plain, actor, max);
            side_hear(&updated, actor, max);
        }
        if (pick(40) == 0)
            side_update(&updated);
        if (pick(50) == 0) {
            side_idle(&plain);
            side_idle(&updated);
        }
    }
    for (unsigned int round = 0; round < 300; round++) {
        for (unsigned int actor = 0; actor < ACTORS; actor++) {
            side_hear(&plain, actor, 1 << 20);
            side_hear(&updated, actor, 1 << 20);
        }
        side_idle(&plain);
        side_idle(&updated);
    }
    same(&plain, &updated, seed);
    struct xids_xs_server_stats a, b;
    xids_xs_server_stats(plain.w->server, &a);
    xids_xs_server_stats(updated.w->server, &b);
    ck_assert_uint_eq(a.requests, b.requests);
    ck_assert_uint_eq(a.events, b.events);
    ck_assert_uint_eq(a.commits, b.commits);
    ck_assert_uint_eq(a.conflicts, b.conflicts);
    ck_assert_uint_gt(a.commits, 0);
    side_down(&plain);
    side_down(&updated);
}
END_TEST

/* ---- one thing at a time ---- */

static struct world *w;
static struct sockets socks;

static void setup(void)
{
    w = world_up();
    memset(&socks, 0, sizeof(socks));
    socks.n = 2;
    for (unsigned int i = 0; i < socks.n; i++)
        socks.conn[i] = world_socket(w);
}

static void teardown(void)
{
    world_down(w);
}

/* A world with something of every kind. */
static void furnish(void)
{
    struct xids_xs_conn *c = socks.conn[0];
    char payload[64];
    world_introduce(w, 1);
    world_introduce(w, 2);
    EXPECT(c, XS_WRITE, "/a/b|1", "write OK|");
    EXPECT(c, XS_SET_PERMS, "/a|n0|b1|r2|", "set-perms OK|");
    EXPECT(c, XS_SET_PERMS, "/a/b|n1|r200|", "set-perms OK|"); /* awaited */
    EXPECT(c, XS_SET_TARGET, "1|2|", "target OK|");
    (void)ask(w, c, XS_WATCH, "/a|token|");
    (void)ask(w, c, XS_WATCH, "@releaseDomain|r|1|");
    (void)dom_ask(w, 1, XS_WATCH, "/a|guest|");
    uint32_t tx = tx_start(w, c), guest = dom_tx_start(w, 1);
    EXPECT_TX(c, tx, XS_READ, "/a/b|", "read 1");
    EXPECT_TX(c, tx, XS_WRITE, "/a/c|2", "write OK|");
    EXPECT_TX(c, tx, XS_RM, "/a/b|", "rm OK|");
    DOM_EXPECT_TX(1, guest, XS_WRITE, "/a/g|3", "write OK|");
    DOM_EXPECT_TX(1, guest, XS_SET_PERMS, "/a/g|n1|r0|", "set-perms OK|");
    (void)ask(w, socks.conn[1], XS_WRITE, "/z|after the snapshots");
    (void)ask(w, socks.conn[1], XS_RM, "/tool|");
    /* Events that the guest does not fetch. */
    for (unsigned int i = 0; i < 900; i++) {
        (void)snprintf(payload, sizeof(payload), "/a/many-%u|", i);
        EXPECT(socks.conn[1], XS_WRITE, payload, "write OK|");
        EXPECT(socks.conn[1], XS_RM, payload, "rm OK|");
    }
    (void)ask(w, c, XS_SET_QUOTA, "1|nodes|77|");
    (void)ask(w, c, XS_CONTROL, "later|");
}

START_TEST(a_transaction_that_would_conflict_does_so_after_an_update_too)
{
    EXPECT(socks.conn[0], XS_WRITE, "/a|1", "write OK|");
    uint32_t tx = tx_start(w, socks.conn[0]), blind = tx_start(w, socks.conn[0]);
    EXPECT_TX(socks.conn[0], tx, XS_READ, "/a|", "read 1");
    EXPECT_TX(socks.conn[0], tx, XS_WRITE, "/b|mine", "write OK|");
    EXPECT_TX(socks.conn[0], blind, XS_WRITE, "/c|mine", "write OK|");
    EXPECT(socks.conn[1], XS_WRITE, "/a|2", "write OK|");
    world_update(w, &socks);
    EXPECT_TX(socks.conn[0], tx, XS_READ, "/a|", "read 1");
    EXPECT_TX(socks.conn[0], tx, XS_READ, "/b|", "read mine");
    EXPECT(socks.conn[0], XS_READ, "/b|", "error ENOENT|");
    EXPECT_TX(socks.conn[0], tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    EXPECT_TX(socks.conn[0], blind, XS_TRANSACTION_END, "T|", "end OK|");
    EXPECT(socks.conn[1], XS_READ, "/c|", "read mine");
}
END_TEST

/* However often the server is updated: guests cannot keep old nodes without end by their snapshots. */
START_TEST(a_guests_snapshot_is_bound_after_an_update_too)
{
    static char payload[2100] = "/a|";
    memset(payload + 3, 'v', 2000);
    world_introduce(w, 1);
    EXPECT(socks.conn[1], XS_WRITE, "/a|1", "write OK|");
    EXPECT(socks.conn[1], XS_SET_PERMS, "/a|r0|", "set-perms OK|");
    uint32_t tx = dom_tx_start(w, 1);
    DOM_EXPECT_TX(1, tx, XS_READ, "/a|", "read 1");
    world_update(w, &socks);
    unsigned int i;
    for (i = 0; i < 60000; i++) {
        uint32_t other = tx_start(w, socks.conn[0]);
        EXPECT(socks.conn[1], XS_WRITE, payload, "write OK|");
        EXPECT_TX(socks.conn[0], other, XS_TRANSACTION_END, "F|", "end OK|");
        if (i % 1000 == 0 && strcmp(dom_ask_tx(w, 1, tx, XS_READ, "/a|"), "read 1") != 0)
            break;
    }
    ck_assert_msg(i > 10000 && i < 60000, "the snapshot was lost after %u changes", i);
    DOM_EXPECT_TX(1, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
}
END_TEST

/* The end of a transaction is answered by the new server; a plain request that waited is read by it. */
START_TEST(what_waits_for_anothers_turn_is_gone_on_with)
{
    struct xids_xs_conn *a = socks.conn[0], *b = socks.conn[1];
    world_introduce(w, 1);
    xids_xs_server_time(w->server, 1000);
    EXPECT(b, XS_MKDIR, "/g|", "mkdir OK|");
    EXPECT(b, XS_SET_PERMS, "/g|n0|b1|", "set-perms OK|");
    for (unsigned int i = 0; i < 2; i++) {
        uint32_t tx = tx_start(w, a);
        EXPECT_TX(a, tx, XS_DIRECTORY, "/g|", i == 0 ? "directory " : "directory b|");
        EXPECT_TX(a, tx, XS_MKDIR, "/g/a|", "mkdir OK|");
        if (i == 1)
            break;
        EXPECT(b, XS_MKDIR, "/g/b|", "mkdir OK|");
        EXPECT_TX(a, tx, XS_TRANSACTION_END, "T|", "error EAGAIN|");
    }
    uint32_t other = tx_start(w, b);
    EXPECT_TX(b, other, XS_MKDIR, "/g/c|", "mkdir OK|");
    EXPECT_TX(b, other, XS_TRANSACTION_END, "T|", "");
    DOM_EXPECT(1, XS_MKDIR, "/g/d|", "");
    world_update(w, &socks);
    while (xids_xs_server_idle(w->server, 100)) {
    }
    ck_assert_str_eq(heard(w, socks.conn[1]), "end OK|");
    ck_assert_str_eq(dom_heard(w, 1), "mkdir OK|");
    EXPECT(socks.conn[1], XS_DIRECTORY, "/g|", "directory b|d|c|");
}
END_TEST

START_TEST(an_answer_half_sent_and_a_request_half_heard_are_gone_on_with)
{
    static const uint8_t request[] = {XS_READ, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, '/', 'a', 0};
    const void *bytes;
    size_t used;
    uint8_t told[64];
    EXPECT(socks.conn[0], XS_WRITE, "/a|the value", "write OK|");
    ck_assert_int_eq(xids_xs_server_input(socks.conn[0], &used, request, sizeof(request)), 0);
    size_t len = xids_xs_server_output(socks.conn[0], &bytes);
    ck_assert_uint_eq(len, 16 + 9);
    memcpy(told, bytes, 7);
    xids_xs_server_sent(socks.conn[0], 7);
    ck_assert_int_eq(xids_xs_server_input(socks.conn[1], &used, request, 17), 0);
    ck_assert_uint_eq(used, 17);
    struct stream stream = {0};
    struct xids_xs_state_error error;
    ck_assert_int_eq(world_save(w, &socks, &stream), 0);
    xids_xs_server_free(w->server);
    ck_assert_int_eq(world_restore(w, &socks, &error, stream.bytes, stream.len), 0);
    len = xids_xs_server_output(socks.conn[0], &bytes);
    ck_assert_uint_eq(len, 16 + 9 - 7);
    memcpy(told + 7, bytes, len);
    ck_assert_mem_eq(told + 16, "the value", 9);
    xids_xs_server_sent(socks.conn[0], len);
    ck_assert_uint_eq(socks.rest_len[1], 17);
    ck_assert_mem_eq(socks.rest[1], request, 17);
    ck_assert_int_eq(xids_xs_server_input(socks.conn[1], &used, socks.rest[1], 17), 0);
    ck_assert_int_eq(xids_xs_server_input(socks.conn[1], &used, request + 17, 2), 0);
    ck_assert_str_eq(heard(w, socks.conn[1]), "read the value");
    free(stream.bytes);
}
END_TEST

START_TEST(all_that_a_world_has_is_there_after_an_update)
{
    furnish();
    world_update(w, &socks);
    struct xids_xs_conn *c = socks.conn[0];
    /* The command that was under way has its answer, after the events. */
    const char *text = heard(w, c);
    ck_assert_str_eq(text + strlen(text) - 11, "control OK|");
    EXPECT(c, XS_DIRECTORY, "/|", "directory a|z|");
    EXPECT(c, XS_GET_QUOTA, "1|nodes|", "get-quota 77|");
    EXPECT(c, XS_GET_PERMS, "/a|", "get-perms n0|b1|r2|");
    EXPECT_TX(c, 1, XS_DIRECTORY, "/|", "directory tool|a|");
    EXPECT_TX(c, 1, XS_DIRECTORY, "/a|", "directory c|");
    EXPECT(c, XS_IS_DOMAIN_INTRODUCED, "2|", "introduced T|");
    /* The guest has all its events, and after them what it asks for now. */
    for (unsigned int i = 0; i < 200; i++)
        text = dom_heard(w, 1);
    DOM_EXPECT_TX(1, 1, XS_READ, "/a/g|", "read 3");
    text = ask(w, c, XS_WRITE, "/a/new|");
    ck_assert_str_eq(text, "event /a/new|token|\nwrite OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /a/new|guest|");
    w->gone[200] = true;
    xids_xs_server_release(w->server, 200);
    EXPECT(c, XS_GET_PERMS, "/a/b|", "get-perms n1|");
    EXPECT(socks.conn[1], XS_RELEASE, "2|", "release OK|");
    ck_assert_str_eq(heard(w, c), "event @releaseDomain/2|r|");
}
END_TEST

START_TEST(a_domain_whose_ring_is_gone_stays_known_until_its_release)
{
    world_introduce(w, 1);
    (void)ask(w, socks.conn[0], XS_WATCH, "@releaseDomain|r|");
    w->gone[1] = true;
    world_update(w, &socks);
    EXPECT(socks.conn[0], XS_IS_DOMAIN_INTRODUCED, "1|", "introduced T|");
    EXPECT(socks.conn[0], XS_INTRODUCE, "1|0|8|", "error EINVAL|");
    w->gone[1] = false;
    EXPECT(socks.conn[0], XS_INTRODUCE, "1|0|8|", "introduce OK|");
    EXPECT(socks.conn[0], XS_RELEASE, "1|", "event @releaseDomain|r|\nrelease OK|");
}
END_TEST

START_TEST(saving_without_memory_or_room_changes_nothing)
{
    struct stream whole = {0}, again = {0};
    furnish();
    ck_assert_int_eq(world_save(w, &socks, &whole), 0);
    unsigned long before = w->alloc.calls;
    ck_assert_int_eq(world_save(w, &socks, &again), 0);
    unsigned long needed = w->alloc.calls - before;
    for (unsigned long i = 1; i <= needed; i++) {
        again.len = 0;
        w->alloc.fail_at = w->alloc.calls + i;
        ck_assert_int_eq(world_save(w, &socks, &again), -XEN_ENOMEM);
    }
    w->alloc.fail_at = 0;
    again = (struct stream){.bytes = again.bytes, .cap = again.cap, .fail_at = 100};
    ck_assert_int_eq(world_save(w, &socks, &again), -XEN_ENOSPC);
    again.len = again.fail_at = 0;
    ck_assert_int_eq(world_save(w, &socks, &again), 0);
    ck_assert_uint_eq(whole.len, again.len);
    ck_assert_mem_eq(whole.bytes, again.bytes, whole.len);
    free(whole.bytes);
    free(again.bytes);
}
END_TEST

START_TEST(restoring_without_memory_leaves_nothing)
{
    struct stream stream = {0};
    struct xids_xs_state_error error;
    furnish();
    ck_assert_int_eq(world_save(w, &socks, &stream), 0);
    int rc = -XEN_ENOMEM;
    for (unsigned long i = 1; rc == -XEN_ENOMEM; i++) {
        xids_xs_server_free(w->server);
        ck_assert_uint_eq(w->alloc.blocks, 0);
        w->alloc.fail_at = w->alloc.calls + i;
        rc = world_restore(w, &socks, &error, stream.bytes, stream.len);
        if (w->alloc.calls < w->alloc.fail_at)
            ck_assert_int_eq(rc, 0);
        w->alloc.fail_at = 0;
        if (rc == -XEN_ENOMEM && w->alloc.blocks == 0)
            w->server = NULL;
    }
    ck_assert_int_eq(rc, 0);
    free(stream.bytes);
}
END_TEST

/* A stream that is cut off or has one byte changed is refused with a reason, or means something that can be. */
START_TEST(a_broken_stream_is_refused_with_its_place)
{
    struct stream stream = {0};
    struct xids_xs_state_error error;
    unsigned int refused = 0;
    furnish();
    ck_assert_int_eq(world_save(w, &socks, &stream), 0);
    rng = 4711;
    for (unsigned int i = 0; i < 3000; i++) {
        size_t len = i % 2 == 0 ? pick((unsigned int)stream.len) : stream.len;
        size_t at = pick((unsigned int)stream.len);
        uint8_t *copy = malloc(len + 1);
        memcpy(copy, stream.bytes, len);
        if (i % 2 != 0)
            copy[at] = (uint8_t)(copy[at] ^ (1u << pick(8)));
        xids_xs_server_free(w->server);
        ck_assert_uint_eq(w->alloc.blocks, 0);
        ck_assert_int_eq(world_server(w), 0);
        int rc = xids_xs_server_restore(w->server, &error, NULL, copy, len);
        ck_assert(rc == 0 || rc == -XEN_EBADMSG);
        if (rc < 0) {
            refused++;
            ck_assert_ptr_nonnull(error.reason);
            ck_assert_uint_le(error.offset, len);
        } else {
            ck_assert_uint_eq(len, stream.len);
            const char *broken = xids_store_check(xids_xs_server_store(w->server));
            ck_assert_msg(broken == NULL, "changed at %lu: the tree has %s", (unsigned long)at, broken);
        }
        free(copy);
    }
    ck_assert_uint_gt(refused, 1500);
    free(stream.bytes);
}
END_TEST

/* ---- C xenstored's streams, put together from its specification ---- */

struct built {
    uint8_t bytes[4096];
    size_t len;
};

static void add(struct built *b, const void *bytes, size_t len)
{
    ck_assert_uint_le(b->len + len, sizeof(b->bytes));
    if (len > 0)
        memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
}

static void add32(struct built *b, uint32_t v)
{
    add(b, &v, 4);
}

static void add16(struct built *b, unsigned int v)
{
    uint16_t s = (uint16_t)v;
    add(b, &s, 2);
}

static void pad(struct built *b)
{
    while (b->len % 8 != 0)
        add(b, "", 1);
}

static void c_node(struct built *b, const char *path, const char *value, const char *perm)
{
    size_t path_len = strlen(path) + 1, value_len = strlen(value);
    add32(b, 5);
    add32(b, (uint32_t)((16 + 4 + path_len + value_len + 7) / 8 * 8));
    add32(b, 0);
    add32(b, 0);
    add16(b, (unsigned int)path_len);
    add16(b, (unsigned int)value_len);
    add16(b, 0);
    add16(b, 1);
    add(b, perm, 1);
    add(b, "", 1);
    add16(b, (unsigned int)strtoul(perm + 1, NULL, 10));
    add(b, path, path_len);
    add(b, value, value_len);
    pad(b);
}

static void c_begin(struct built *b, const char *version)
{
    add(b, "xenstore\0\0\0", 11);
    add(b, version, 1);
    add32(b, 0);
    add32(b, 1);
    add32(b, 8);
    add32(b, 3);
    add32(b, 4);
}

/* A connection: a socket of descriptor low, or the ring of domain low. */
static void c_conn(struct built *b, uint32_t id, bool socket, uint32_t low, const void *in, size_t in_len)
{
    add32(b, 2);
    add32(b, (uint32_t)((24 + in_len + 7) / 8 * 8 + (socket ? 0 : 8)));
    add32(b, id);
    add16(b, socket);
    add16(b, !socket);
    add32(b, socket ? low : low | 0x7ff4u << 16);
    add32(b, socket ? 0 : 7);
    add16(b, (unsigned int)in_len);
    add16(b, 0);
    add32(b, 0);
    add(b, in, in_len);
    pad(b);
    if (!socket)
        add(b, "uniqueid", 8);
}

static void c_end(struct built *b)
{
    c_node(b, "/", "", "n0");
    c_node(b, "/tool", "", "n0");
    c_node(b, "/tool/xenstored", "", "n0");
    c_node(b, "/b", "second", "r1");
    c_node(b, "/a", "first", "b2");
    c_node(b, "@releaseDomain", "", "n0");
    c_node(b, "@introduceDomain", "", "n0");
    add32(b, 0);
    add32(b, 0);
}

static int take(struct built *b, struct xids_xs_state_error *error)
{
    xids_xs_server_free(w->server);
    ck_assert_int_eq(world_server(w), 0);
    return xids_xs_server_restore(w->server, error, NULL, b->bytes, b->len);
}

static struct xids_xs_conn *restored_socket;

static int keep_socket(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn,
                       const struct xids_xs_state_conn *state)
{
    (void)ctx;
    if (state->domid < 0)
        restored_socket = conn;
    else
        *page = (void XIDS_PEER *)w->rings[state->domid].page;
    return 0;
}

START_TEST(the_stream_of_c_xenstored_is_read)
{
    static const uint8_t asked[] = {XS_READ, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, '/', 'a', 0};
    const struct xids_xs_restore restore = {.conn = keep_socket};
    struct xids_xs_state_error error;
    struct built b = {.len = 0};
    world_introduce(w, 1);
    c_begin(&b, _i == 0 ? "\1" : "\2");
    if (_i == 1) { /* the limits of all domains */
        add(&b, "\6\0\0\0\20\0\0\0\1\0\0\0\65\0\0\0nodes\0\0", 24);
    }
    c_conn(&b, 1, true, 9, NULL, 0);
    add(&b, "\3\0\0\0\20\0\0\0\1\0\0\0\2\0\2\0b\0t\0\0\0\0\0", 24); /* a relative watch */
    c_conn(&b, 2, false, 1, asked, sizeof(asked));
    add(&b, "\3\0\0\0\20\0\0\0\2\0\0\0\3\0\2\0/a\0t\0\0\0\0", 24);
    if (_i == 1)
        add(&b, "\7\0\0\0\30\0\0\0\1\0\1\0\4\0\0\0\66\0\0\0watches\0\0\0\0\0", 32);
    c_end(&b);
    xids_xs_server_free(w->server);
    ck_assert_int_eq(world_server(w), 0);
    int rc = xids_xs_server_restore(w->server, &error, &restore, b.bytes, b.len);
    ck_assert_msg(rc == 0, "record %u at %lu: %s", error.record, (unsigned long)error.offset,
                  error.reason != NULL ? error.reason : "?");
    struct xids_xs_conn *c = restored_socket;
    EXPECT(c, XS_DIRECTORY, "/|", "directory tool|b|a|");
    EXPECT(c, XS_READ, "/b|", "read second");
    EXPECT(c, XS_GET_PERMS, "/a|", "get-perms b2|");
    EXPECT(c, XS_WRITE, "b|x", "event b|t|\nwrite OK|");
    /* The request that C had taken out of the ring is carried out. */
    while (xids_xs_server_idle(w->server, 100)) {
    }
    ck_assert_str_eq(dom_heard(w, 1), "read first");
    EXPECT(c, XS_WRITE, "/a|y", "write OK|");
    ck_assert_str_eq(dom_heard(w, 1), "event /a|t|");
    if (_i == 1) {
        EXPECT(c, XS_GET_QUOTA, "nodes|", "get-quota 53|");
        EXPECT(c, XS_GET_QUOTA, "1|watches|", "get-quota 54|");
    }
}
END_TEST

/* As specified; as C reads it; and as C writes it, without the depth and too short by 4 bytes or seeming to be. */
static const struct {
    const char *what;
    uint8_t bytes[40];
    size_t len;
    bool deep;
} ext[] = {
    {"specified", "\10\0\0\0\30\0\0\0\1\0\0\0\3\0\3\0\1\0\0\0/a\0to\0\0\0\0\0\0\0", 32, true},
    {"as C reads", "\10\0\0\0\30\0\0\0\1\0\0\0\3\0\3\0\1\0/a\0to\0\0\0\0\0\0\0\0\0", 32, true},
    {"as C writes", "\10\0\0\0\30\0\0\0\1\0\0\0\3\0\7\0/a\0token2\0\0\0\0\0\0\0", 32, false},
    {"as C writes, its length too long", "\10\0\0\0\30\0\0\0\1\0\0\0\3\0\5\0/a\0toke\0", 24, false},
};

START_TEST(a_watch_with_a_depth_is_read_in_all_the_ways_that_it_is_written)
{
    const struct xids_xs_restore restore = {.conn = keep_socket};
    struct xids_xs_state_error error;
    struct built b = {.len = 0};
    c_begin(&b, "\2");
    c_conn(&b, 1, true, 9, NULL, 0);
    add(&b, ext[_i].bytes, ext[_i].len);
    c_end(&b);
    xids_xs_server_free(w->server);
    ck_assert_int_eq(world_server(w), 0);
    int rc = xids_xs_server_restore(w->server, &error, &restore, b.bytes, b.len);
    ck_assert_msg(rc == 0, "%s: record %u at %lu: %s", ext[_i].what, error.record, (unsigned long)error.offset,
                  error.reason != NULL ? error.reason : "?");
    const char *text = ask(w, restored_socket, XS_WRITE, "/a/b|");
    ck_assert_int_eq(strncmp(text, "event /a/b|to", 13), 0);
    text = ask(w, restored_socket, XS_WRITE, "/a/b/c|");
    ck_assert_int_eq(strncmp(text, "event /a/b/c|to", 15) == 0, !ext[_i].deep);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    static const char *const reasons[] = {"of an unknown version",
                                          "a record of an unknown kind",
                                          "a node before its directory",
                                          "a node twice",
                                          "no root node",
                                          "the stream ends within a record",
                                          "a watch without its connection",
                                          "not a stream of xenstore's state",
                                          "a node whose path is none"};
    struct xids_xs_state_error error;
    struct built b = {.len = 0};
    c_begin(&b, _i == 0 ? "\3" : "\2");
    if (_i == 1)
        add(&b, "\11\0\0\0\0\0\0\0", 8);
    if (_i != 4)
        c_node(&b, "/", "", "n0");
    if (_i == 2)
        c_node(&b, "/x/y", "", "n0");
    if (_i == 3)
        c_node(&b, "/", "", "n0");
    if (_i == 6)
        add(&b, "\3\0\0\0\20\0\0\0\1\0\0\0\2\0\2\0b\0t\0\0\0\0\0", 24);
    if (_i == 8) {
        c_node(&b, "/x", "", "n0");
        c_node(&b, "/x/", "", "n0");
    }
    add32(&b, 0);
    if (_i != 5)
        add32(&b, 0);
    if (_i == 7)
        b.bytes[0] = 'X';
    ck_assert_int_eq(take(&b, &error), -XEN_EBADMSG);
    ck_assert_str_eq(error.reason, reasons[_i]);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("xsd_state");
    TCase *t = tcase_create("random");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, an_updated_server_says_what_one_that_was_never_updated_says, 0, 20);
    suite_add_tcase(suite, t);
    t = tcase_create("one thing");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_transaction_that_would_conflict_does_so_after_an_update_too);
    tcase_add_test(t, a_guests_snapshot_is_bound_after_an_update_too);
    tcase_add_test(t, what_waits_for_anothers_turn_is_gone_on_with);
    tcase_add_test(t, an_answer_half_sent_and_a_request_half_heard_are_gone_on_with);
    tcase_add_test(t, all_that_a_world_has_is_there_after_an_update);
    tcase_add_test(t, a_domain_whose_ring_is_gone_stays_known_until_its_release);
    tcase_add_test(t, saving_without_memory_or_room_changes_nothing);
    tcase_add_test(t, restoring_without_memory_leaves_nothing);
    tcase_add_test(t, a_broken_stream_is_refused_with_its_place);
    suite_add_tcase(suite, t);
    t = tcase_create("streams of C xenstored");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, the_stream_of_c_xenstored_is_read, 0, 2);
    tcase_add_loop_test(t, a_watch_with_a_depth_is_read_in_all_the_ways_that_it_is_written, 0, 4);
    tcase_add_loop_test(t, what_cannot_be_is_refused, 0, 9);
    suite_add_tcase(suite, t);
    return suite;
}
