/* SPDX-License-Identifier: ISC */
/*
 * Ten thousand small worlds. In each a server and a client exchange data over vchan in two domains of the model; the
 * seed decides the sizes, the schedule, who is killed and when, and which platform call fails. However it goes, each
 * living side must come to an end: with all data delivered, or with an error that has a name; and nothing may be left.
 *
 * XIDS_SEED=n in the environment runs that world alone and tells its story.
 */
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/model.h>
#include <xids/vchan.h>

#define SLICES 20
#define WORLDS_PER_SLICE 500
#define MS 1000000ull
#define HEARTBEAT (1 * MS)
/* Both longer than any pause. */
#define CONNECT_TIMEOUT (2000 * MS)
/* A side that sleeps so long although both live missed a wake-up. */
#define STALL (5000 * MS)
#define STEPS_MAX 100000u
#define CHUNK_MAX 3000u

enum harm {
    NO_HARM,
    FAIL_CALL,
    PAUSE,
    KILL_PROCESS,
    DESTROY_DOMAIN,
    CRASH_DOMAIN, /* and its toolstack destroys it some time later */
    HARMS,
};

static const char *const harm_names[HARMS] = {
    "no harm", "a call fails", "a domain is paused", "a process is killed", "a domain is destroyed", "a domain crashes",
};

/* What ended a side. The other endings are negative errors. */
enum { RUNNING = 1, DELIVERED = 0, KILLED = 2, STALLED = 3, CORRUPTED = 4 };

struct world;

struct side {
    struct world *world;
    struct side *other;
    const struct xids_platform *platform;
    struct xids_vchan *ch;
    bool server, open, sleeping;
    int end;
    unsigned int flags;
    uint32_t chunk; /* the most that it moves at a time */
    uint32_t to_send, sent, to_receive, received;
    uint32_t want_read; /* for a packet; else 1 */
    uint64_t began, slept;
};

struct world {
    struct xids_model *m;
    uint64_t seed;
    struct side sides[2]; /* server, client */
    unsigned int left_order, right_order;
    /* What xenstore would hold. */
    bool published;
    grant_ref_t ring_ref;
    evtchn_port_t port;
    /* Not 0: a dialogue. Neither side may be ahead of the other by more than so many bytes, while the other talks. */
    uint32_t window;
    enum harm harm;
    unsigned int victim;
};

static uint32_t below(struct world *w, uint32_t bound)
{
    return (uint32_t)(xids_model_random(w->m) % bound);
}

/* The byte at a place of the stream that a side sends. */
static uint8_t byte_at(const struct side *from, uint32_t at)
{
    return (uint8_t)(at * 31u + (at >> 8) * 7u + (from->server ? 0x40u : 0) + from->world->seed);
}

static uint64_t end(struct side *s, int how)
{
    if (s->open)
        xids_vchan_fini(s->ch);
    s->open = false;
    s->end = how;
    return XIDS_MODEL_DONE;
}

static int open_server(struct side *s)
{
    struct world *w = s->world;
    int rc =
        xids_vchan_server_init(s->ch, s->platform, s->other->platform->domid, w->left_order, w->right_order, s->flags);
    if (rc < 0)
        return rc;
    w->ring_ref = xids_vchan_ring_ref(s->ch);
    w->port = xids_vchan_port(s->ch);
    w->published = true;
    return 0;
}

static int open_client(struct side *s)
{
    const struct world *w = s->world;
    if (!w->published)
        return -XEN_EAGAIN;
    return xids_vchan_client_init(s->ch, s->platform, s->other->platform->domid, w->ring_ref, w->port, s->flags);
}

/* One attempt to read. Returns what vchan says, or 0 as -XEN_ENOTCONN: the end came too early. */
static int receive(struct side *s)
{
    uint8_t data[CHUNK_MAX];
    uint32_t left = s->to_receive - s->received, half = xids_vchan_read_size(s->ch) / 2u;
    bool packet = s->world->window == 0 && below(s->world, 4) == 0;
    uint32_t len = 1u + below(s->world, s->chunk);
    if (len > left)
        len = left;
    if (packet && len > half)
        len = half;
    s->want_read = packet ? len : 1;
    int n = packet ? xids_vchan_recv(s->ch, data, len) : xids_vchan_read(s->ch, data, len);
    if (n == 0)
        return -XEN_ENOTCONN;
    /* The peer closed within what we took for a packet: the rest is there as a stream. */
    if (n == -XEN_ENODATA)
        n = xids_vchan_read(s->ch, data, len);
    for (int i = 0; i < n; i++)
        if (data[i] != byte_at(s->other, s->received + (uint32_t)i))
            return CORRUPTED;
    if (n > 0) {
        s->received += (uint32_t)n;
        s->want_read = 1;
    }
    return n < 0 ? n : 0;
}

/* How much it may send now. */
static uint32_t sendable(const struct side *s)
{
    uint32_t left = s->to_send - s->sent, window = s->world->window;
    if (window == 0 || s->received == s->to_receive)
        return left;
    uint32_t allowed = s->received + window - s->sent;
    return s->received + window < s->sent ? 0 : allowed < left ? allowed : left;
}

static int transmit(struct side *s)
{
    uint8_t data[CHUNK_MAX];
    uint32_t left = sendable(s), half = xids_vchan_write_size(s->ch) / 2u;
    bool packet = s->world->window == 0 && below(s->world, 4) == 0;
    uint32_t len = 1u + below(s->world, s->chunk);
    if (len > left)
        len = left;
    if (packet && len > half)
        len = half;
    for (uint32_t i = 0; i < len; i++)
        data[i] = byte_at(s, s->sent + i);
    int n = packet ? xids_vchan_send(s->ch, data, len) : xids_vchan_write(s->ch, data, len);
    if (n > 0)
        s->sent += (uint32_t)n;
    return n < 0 ? n : 0;
}

static uint64_t sleep_on(struct side *s, uint64_t now)
{
    s->sleeping = true;
    s->slept = now;
    return now + HEARTBEAT;
}

/* Moves some bytes; returns when to run again. */
static uint64_t exchange(struct side *s, uint64_t now)
{
    int in = 0, out = 0;
    for (uint32_t i = 1u + below(s->world, 4); i != 0; i--) {
        if (s->received < s->to_receive && in == 0)
            in = receive(s);
        if (sendable(s) != 0 && out == 0)
            out = transmit(s);
    }
    if (in == CORRUPTED)
        return end(s, CORRUPTED);
    /* A peer that has gone is no reason to stop before everything that it left was read. */
    if (out < 0 && out != -XEN_EAGAIN && (out != -XEN_ENOTCONN || s->received == s->to_receive))
        return end(s, out);
    if (in < 0 && in != -XEN_EAGAIN)
        return end(s, in);
    /* A server that has nothing to hear waits for its client all the same: nobody can connect to what is closed. */
    bool met = xids_vchan_state(s->ch) != XIDS_VCHAN_CONNECTING;
    if (met && s->received == s->to_receive && s->sent == s->to_send) {
        /* What is gathered must be on its way before we go. */
        int rc = xids_vchan_flush(s->ch);
        return end(s, rc < 0 ? rc : DELIVERED);
    }
    if (out == -XEN_ENOTCONN || below(s->world, 3) == 0)
        return XIDS_MODEL_AGAIN;
    int rc = xids_vchan_arm(s->ch, s->received < s->to_receive ? (s->want_read != 0 ? s->want_read : 1u) : 0,
                            sendable(s) != 0 ? 1u : 0);
    if (rc < 0)
        return end(s, rc);
    return rc == 1 ? XIDS_MODEL_AGAIN : sleep_on(s, now);
}

/* Nothing came. Only the peer's life is looked at, never the data: a missed wake-up must show. */
static uint64_t heartbeat(struct side *s, uint64_t now)
{
    enum xids_vchan_state state = xids_vchan_check_peer(s->ch);
    if (state == XIDS_VCHAN_CONNECTING && now - s->began > CONNECT_TIMEOUT)
        return end(s, -XEN_ETIMEDOUT);
    if (state != XIDS_VCHAN_CONNECTING && state != XIDS_VCHAN_OPEN) {
        s->sleeping = false;
        return exchange(s, now);
    }
    return now - s->slept > STALL ? end(s, STALLED) : now + HEARTBEAT;
}

static uint64_t step(void *ctx)
{
    struct side *s = ctx;
    const struct xids_platform *p = s->platform;
    uint64_t now = p->ops->now(p->ctx);
    if (!s->open) {
        int rc = s->server ? open_server(s) : open_client(s);
        if (rc == -XEN_EAGAIN && now < CONNECT_TIMEOUT)
            return now + HEARTBEAT;
        if (rc < 0)
            return end(s, rc == -XEN_EAGAIN ? -XEN_ETIMEDOUT : rc);
        s->open = true;
        s->began = now;
        return XIDS_MODEL_AGAIN;
    }
    bool event = false;
    while (p->ops->evtchn_pending(p->ctx) > 0) {
        event = true;
        if (xids_vchan_event(s->ch) == XIDS_VCHAN_BROKEN)
            return end(s, xids_vchan_error(s->ch));
    }
    if (s->sleeping && !event)
        return heartbeat(s, now);
    s->sleeping = false;
    return exchange(s, now);
}

/* The side's process is no more: nothing of it may be called again. */
static void lost(struct side *s)
{
    if (s->end == RUNNING) {
        s->open = false;
        s->end = KILLED;
    }
}

static void do_harm(struct world *w)
{
    struct side *s = &w->sides[w->victim];
    domid_t domid = s->platform->domid;
    int rc = 0;
    switch (w->harm) {
    case PAUSE:
        rc = xids_model_domain_pause(w->m, domid);
        (void)xids_model_run(w->m, 1u + below(w, 300));
        rc |= xids_model_domain_unpause(w->m, domid);
        break;
    case KILL_PROCESS:
        lost(s);
        rc = xids_model_process_kill(w->m, domid);
        break;
    case CRASH_DOMAIN:
        lost(s);
        rc = xids_model_domain_crash(w->m, domid);
        (void)xids_model_run(w->m, 1u + below(w, 300));
        rc |= xids_model_domain_destroy(w->m, domid);
        break;
    case DESTROY_DOMAIN:
        lost(s);
        rc = xids_model_domain_destroy(w->m, domid);
        break;
    case NO_HARM:
    case FAIL_CALL:
    case HARMS:
        break;
    }
    ck_assert_int_eq(rc, 0);
}

static void side_make(struct world *w, struct side *s, bool server)
{
    *s = (struct side){.world = w, .server = server, .end = RUNNING};
    s->other = &w->sides[server ? 1 : 0];
    s->platform = xids_model_domain_create(w->m, server ? 0 : 5);
    s->ch = malloc(xids_vchan_size());
    s->flags = below(w, 4);
    s->chunk = CHUNK_MAX >> below(w, 8);
    ck_assert_ptr_nonnull(s->platform);
    ck_assert_ptr_nonnull(s->ch);
}

static void orders_choose(struct world *w)
{
    do {
        w->left_order = 10u + below(w, 4);
        w->right_order = 10u + below(w, 4);
    } while (w->left_order == w->right_order && w->left_order < 12);
}

static void judge(struct world *w)
{
    char report[2000], story[400];
    const struct side *s = w->sides;
    unsigned int left = xids_model_check_clean(w->m, report, sizeof(report));
    snprintf(story, sizeof(story),
             "world %llu (%s, side %u, %s): orders %u %u; server ends %d, sent %u of %u, got %u of %u; "
             "client ends %d, sent %u of %u, got %u of %u",
             (unsigned long long)w->seed, harm_names[w->harm], w->victim,
             xids_model_failed(w->m) ? "failed" : "not failed", w->left_order, w->right_order, s[0].end, s[0].sent,
             s[0].to_send, s[0].received, s[0].to_receive, s[1].end, s[1].sent, s[1].to_send, s[1].received,
             s[1].to_receive);
    if (getenv("XIDS_SEED"))
        fprintf(stderr, "%s\n", story);
    bool harmed = w->harm > PAUSE || xids_model_failed(w->m);
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(s[i].end != RUNNING, "a side hangs. %s", story);
        ck_assert_msg(s[i].end != STALLED, "a wake-up was missed. %s", story);
        ck_assert_msg(s[i].end != CORRUPTED, "bytes are wrong. %s", story);
        ck_assert_msg(s[i].end != DELIVERED || s[i].received == s[i].to_receive, "not all came. %s", story);
        ck_assert_msg(harmed || s[i].end == DELIVERED, "an error out of nothing. %s", story);
        ck_assert_msg(s[i].received <= s[i].other->sent, "more came than was sent. %s", story);
    }
    ck_assert_msg(left == 0, "left behind:\n%s%s", report, story);
}

static void world_run(uint64_t seed)
{
    struct world w = {.seed = seed};
    unsigned int mode = (unsigned int)seed & 3u;
    w.m = xids_model_new(seed, ((mode & 1u) != 0 ? XIDS_MODEL_SEPARATE : 0) | (mode >= 2 ? XIDS_MODEL_PREEMPT : 0));
    ck_assert_ptr_nonnull(w.m);
    side_make(&w, &w.sides[0], true);
    side_make(&w, &w.sides[1], false);
    orders_choose(&w);
    for (int i = 0; i < 2; i++)
        w.sides[1 - i].to_receive = w.sides[i].to_send = below(&w, 1u << (4u + below(&w, 12)));
    uint32_t harm = below(&w, HARMS);
    w.harm = (enum harm)harm;
    w.window = below(&w, 3) == 0 ? 1u + below(&w, 300) : 0;
    w.victim = below(&w, 2);
    if (w.harm == FAIL_CALL)
        xids_model_fail(w.m, XIDS_MODEL_CALLS, 1u + below(&w, 25));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(xids_model_task_add(w.m, w.sides[i].platform, step, &w.sides[i]), 0);
    uint64_t before = below(&w, 1u << (1u + below(&w, 6)));
    (void)xids_model_run(w.m, before);
    do_harm(&w);
    (void)xids_model_run(w.m, STEPS_MAX);
    judge(&w);
    for (int i = 0; i < 2; i++)
        free(w.sides[i].ch);
    xids_model_free(w.m);
}

START_TEST(every_world_comes_to_a_good_end)
{
    const char *one = getenv("XIDS_SEED");
    if (one) {
        world_run(strtoull(one, NULL, 0));
        return;
    }
    /* A slow machine takes the first worlds of each slice. */
    const char *fewer = getenv("XIDS_WORLDS");
    uint64_t worlds = fewer ? strtoull(fewer, NULL, 0) : WORLDS_PER_SLICE;
    ck_assert_uint_gt(worlds, 0);
    for (uint64_t i = 0; i < worlds && i < WORLDS_PER_SLICE; i++)
        world_run((uint64_t)_i * WORLDS_PER_SLICE + i);
}
END_TEST

START_TEST(a_world_is_repeated_by_its_seed)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint64_t trace[2];
        for (int i = 0; i < 2; i++) {
            struct world w = {.seed = seed, .left_order = 12, .right_order = 11};
            w.m = xids_model_new(seed, 0);
            side_make(&w, &w.sides[0], true);
            side_make(&w, &w.sides[1], false);
            w.sides[0].to_send = w.sides[1].to_receive = 5000;
            for (int k = 0; k < 2; k++)
                ck_assert_int_eq(xids_model_task_add(w.m, w.sides[k].platform, step, &w.sides[k]), 0);
            ck_assert_uint_lt(xids_model_run(w.m, STEPS_MAX), STEPS_MAX);
            judge(&w);
            trace[i] = xids_model_trace(w.m);
            free(w.sides[0].ch);
            free(w.sides[1].ch);
            xids_model_free(w.m);
        }
        ck_assert_uint_eq(trace[0], trace[1]);
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("worlds");
    TCase *t = tcase_create("worlds");
    tcase_set_timeout(t, 300);
    tcase_add_loop_test(t, every_world_comes_to_a_good_end, 0, SLICES);
    tcase_add_test(t, a_world_is_repeated_by_its_seed);
    suite_add_tcase(s, t);
    return s;
}
