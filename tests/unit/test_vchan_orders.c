/* SPDX-License-Identifier: ISC */
/*
 * vchan between two honest ends, one of which acts whenever and wherever the other accesses shared memory, on memory
 * that is as weak as the accessors allow (tests/unit/hook.h). Whatever was done, at rest nobody sleeps over what he
 * waits for, and each byte arrived once, in order, unharmed, before the end.
 *
 * A case is played with the other side's part before the first access, before the second and so on, then after the
 * last one but before its stores are seen. Cases are drawn by chance; a failure prints the seed that makes it the first
 * (XIDS_ORDERS_SEED). XIDS_ORDERS_CASES says how many are drawn.
 */
#include "tests/unit/hook_world.h"
#include "tests/unit/suite.h"
#include "vchan/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 10, BYTES_MAX = 65536 };

enum what {
    NOTHING,
    WRITE,
    SEND,
    RESERVE,
    WRITEV,
    READ,
    RECV,
    PEEK,
    READV,
    FLUSH,
    SLEEP_TO_READ,
    SLEEP_TO_WRITE,
    SLEEP_TO_BOTH,
    STATE,
    CHECK_PEER,
    LEAVE,
    COME,
    REOFFER,
    SHUTDOWN,
    HEARTBEAT,
    N_OPS,
};

struct op {
    enum what what;
    uint32_t n;
};

struct end {
    struct xids_vchan *ch;
    bool up, leaving, asleep;
    bool closed;      /* it read the end: the other has left */
    bool ended, shut; /* or writes no more; we write no more */
    uint32_t want_read, want_write;
    uint32_t sent, got;
    uint8_t in[BYTES_MAX];
};

struct plan {
    uint64_t seed;
    unsigned int left, right, flags[2], later; /* later: of the clients after the first */
    enum hook_memory memory;
    int us; /* the side that is interrupted */
    unsigned int n_before, n_ours, n_theirs;
    int before_side[OPS_MAX];
    struct op before[OPS_MAX], ours[OPS_MAX], theirs[OPS_MAX];
    unsigned int at[2]; /* the first of theirs happens before this access, the others before that one */
};

static struct {
    struct plan plan;
    struct hw w;
    struct end end[2];
    uint8_t *page;
    grant_ref_t ref;
    evtchn_port_t port;
    unsigned int done; /* of theirs */
    bool again;        /* a second client came */
    bool given_up;     /* and was taken for one that had left: it is told so, and that is all */
    int rc;            /* what a call said last */
    unsigned long runs;
} r;

static const char *const names[N_OPS] = {
    "nothing",    "write", "send",  "reserve",       "writev",         "read",          "recv",
    "peek",       "readv", "flush", "sleep to read", "sleep to write", "sleep to both", "state",
    "check peer", "leave", "come",  "reoffer",       "shutdown",       "heartbeat",
};

static size_t show(char *to, size_t len, const char *title, const struct op *ops, unsigned int n, const int *side)
{
    size_t used = (size_t)snprintf(to, len, "\n  %s:", title);
    for (unsigned int i = 0; i < n; i++)
        used += (size_t)snprintf(to + used, len - used, " %s%s %u;",
                                 side == NULL ? ""
                                 : side[i]    ? "c."
                                              : "s.",
                                 names[ops[i].what], ops[i].n);
    return used;
}

static void failed(const char *what)
{
    static char text[2000];
    const struct plan *p = &r.plan;
    size_t used = (size_t)snprintf(text, sizeof(text), "%s (%d)\n  seed %llu, memory %d, flags %u %u %u, orders %u %u",
                                   what, r.rc, (unsigned long long)p->seed, (int)p->memory, p->flags[0], p->flags[1],
                                   p->later, p->left, p->right);
    used += show(text + used, sizeof(text) - used, "before", p->before, p->n_before, p->before_side);
    used += show(text + used, sizeof(text) - used, p->us ? "client" : "server", p->ours, p->n_ours, NULL);
    (void)show(text + used, sizeof(text) - used, "the other", p->theirs, p->n_theirs, NULL);
    ck_abort_msg("%s before accesses %u and %u", text, p->at[0], p->at[1]);
}

#define MUST(condition)         \
    do {                        \
        if (!(condition))       \
            failed(#condition); \
    } while (0)

/* Never 0, which is what a wiped byte is. */
static uint8_t pattern(int d, uint32_t i)
{
    return (uint8_t)(1u + (i * 7u + i / 251u + (uint32_t)d * 101u) % 255u);
}

/* ---- what an end does ---- */

/*
 * Where the one before left a live byte of 0, a client that the server sees with its epoch said, and the byte not set
 * yet, is taken for one that came and went. Only then may it hear that it was given up.
 */
static bool given_up(int d)
{
    r.given_up |= r.rc == -XEN_ENODEV && d == 1 && r.again && r.plan.us == 1;
    return r.given_up;
}

static void put(int d, const struct op *op)
{
    struct end *e = &r.end[d];
    static uint8_t of[2][4096];
    uint8_t *bytes = of[d];
    uint8_t XIDS_PEER *span = NULL;
    uint32_t n = op->n;
    if (e->sent + n > BYTES_MAX)
        return;
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = pattern(d, e->sent + i);
    struct xids_vchan_iov iov[] = {{bytes, n / 2}, {bytes + n / 2, n - n / 2}};
    int rc = op->what == WRITE    ? xids_vchan_write(e->ch, bytes, n)
             : op->what == SEND   ? xids_vchan_send(e->ch, bytes, n)
             : op->what == WRITEV ? xids_vchan_writev(e->ch, iov, 2)
                                  : xids_vchan_reserve(e->ch, &span, n);
    if (rc > 0 && op->what == RESERVE) {
        rc = (uint32_t)rc < n ? rc : (int)n;
        xids_peer_put(span, bytes, (size_t)rc);
        int committed = xids_vchan_commit(e->ch, (uint32_t)rc);
        MUST(committed == 0);
    }
    r.rc = rc;
    if (given_up(d))
        return;
    MUST(rc >= 0 || rc == -XEN_EAGAIN || rc == -XEN_ENOTCONN || (rc == -XEN_EMSGSIZE && op->what == SEND) ||
         (rc == -XEN_EINVAL && e->shut));
    e->sent += rc > 0 ? (uint32_t)rc : 0;
}

/* Nothing more is to be read: for good, or because the other shut down its side. */
static void note_end(int d)
{
    struct end *e = &r.end[d];
    e->ended = true;
    e->closed = xids_vchan_state(e->ch) == XIDS_VCHAN_CLOSED;
    MUST(e->closed || r.end[1 - d].shut || r.end[1 - d].leaving);
}

static void get(int d, const struct op *op)
{
    struct end *e = &r.end[d];
    const uint8_t XIDS_PEER *span = NULL;
    uint32_t n = op->n;
    if (e->got + n > BYTES_MAX)
        return;
    struct xids_vchan_iov iov[] = {{e->in + e->got, n / 2}, {e->in + e->got + n / 2, n - n / 2}};
    int rc = op->what == READ    ? xids_vchan_read(e->ch, e->in + e->got, n)
             : op->what == RECV  ? xids_vchan_recv(e->ch, e->in + e->got, n)
             : op->what == READV ? xids_vchan_readv(e->ch, iov, 2)
                                 : xids_vchan_peek(e->ch, &span, n);
    if (rc > 0 && op->what == PEEK) {
        rc = (uint32_t)rc < n ? rc : (int)n;
        xids_peer_get(e->in + e->got, span, (size_t)rc);
        int consumed = xids_vchan_consume(e->ch, (uint32_t)rc);
        MUST(consumed == 0);
    }
    r.rc = rc;
    if (given_up(d)) {
        e->ended = true;
        return;
    }
    MUST(rc >= 0 || rc == -XEN_EAGAIN ||
         (op->what == RECV &&
          (rc == -XEN_EMSGSIZE || (rc == -XEN_ENODATA && (r.end[1 - d].leaving || r.end[1 - d].shut)))));
    if (rc == 0)
        note_end(d);
    e->got += rc > 0 ? (uint32_t)rc : 0;
}

static void go_to_sleep(int d, uint32_t want_read, uint32_t want_write)
{
    struct end *e = &r.end[d];
    int rc = xids_vchan_arm(e->ch, want_read, want_write);
    r.rc = rc;
    MUST(rc == 0 || rc == 1);
    if (rc == 0) {
        e->asleep = true;
        e->want_read = want_read;
        e->want_write = want_write;
    }
}

static void serve(void)
{
    struct end *e = &r.end[0];
    const struct plan *p = &r.plan;
    int rc = xids_vchan_server_init(e->ch, &r.w.domain[0].platform, HW_DOMID(1), p->left, p->right, p->flags[0]);
    r.rc = rc;
    MUST(rc == 0);
    e->up = true;
    r.ref = xids_vchan_ring_ref(e->ch);
    r.port = xids_vchan_port(e->ch);
    r.page = hw_page(r.ref);
}

/* What one client leaves unread in a channel of secrets is zeroed, so that the next would get zeros. */
static bool may_come(void)
{
    return !r.end[1].leaving || (r.plan.flags[0] & XIDS_VCHAN_WIPE) == 0;
}

static void come(void)
{
    struct end *e = &r.end[1];
    bool again = e->leaving;
    r.again |= again;
    e->leaving = e->asleep = e->closed = e->ended = e->shut = false;
    int rc = xids_vchan_client_init(e->ch, &r.w.domain[1].platform, HW_DOMID(0), r.ref, r.port,
                                    again ? r.plan.later : r.plan.flags[1]);
    e->up = rc == 0;
    e->leaving = !e->up && again;
    r.rc = rc;
    MUST(rc == 0 || (rc == -XEN_EBUSY && again) || rc == -XEN_ECONNREFUSED || rc == -XEN_EINVAL ||
         (rc == -XEN_EACCES && r.end[0].leaving));
}

static void reoffer(void)
{
    int rc = xids_vchan_reoffer(r.end[0].ch);
    r.rc = rc;
    MUST(rc == 0 || (rc == -XEN_EBUSY && !r.end[0].closed));
    if (rc == 0)
        r.end[0].closed = r.end[0].ended = r.end[0].shut = false;
}

static void shut(int d)
{
    struct end *e = &r.end[d];
    bool was = e->shut;
    e->shut = true;
    int rc = xids_vchan_shutdown(e->ch);
    r.rc = rc;
    MUST(rc == 0 || rc == -XEN_EAGAIN || rc == -XEN_ENOTCONN || rc == -XEN_EOPNOTSUPP || given_up(d));
    e->shut = was || rc == 0;
}

static void leave(int d)
{
    struct end *e = &r.end[d];
    e->leaving = true;
    xids_vchan_fini(e->ch);
    e->up = false;
}

/* Wakes up, if it sleeps and something calls. False: sleeps on. */
static bool awake(int d)
{
    struct end *e = &r.end[d];
    if (!hw_take(&r.w, d, xids_vchan_port(e->ch)))
        return !e->asleep;
    enum xids_vchan_state state = xids_vchan_event(e->ch);
    MUST(state != XIDS_VCHAN_BROKEN);
    e->asleep = false;
    return true;
}

static void do_op(int d, const struct op *op)
{
    int was = hw_run(&r.w, d);
    struct end *e = &r.end[d];
    if (!e->up && op->what == COME && d == 1 && may_come())
        come();
    else if (!e->up || !awake(d))
        ;
    else if (op->what == WRITE || op->what == SEND || op->what == RESERVE || op->what == WRITEV)
        put(d, op);
    else if (op->what == READ || op->what == RECV || op->what == PEEK || op->what == READV)
        get(d, op);
    else if (op->what == FLUSH)
        MUST(xids_vchan_flush(e->ch) == 0);
    else if (op->what == SLEEP_TO_READ || op->what == SLEEP_TO_WRITE || op->what == SLEEP_TO_BOTH)
        go_to_sleep(d, op->what != SLEEP_TO_WRITE ? op->n : 0, op->what != SLEEP_TO_READ ? op->n : 0);
    else if (op->what == STATE)
        MUST(xids_vchan_state(e->ch) != XIDS_VCHAN_BROKEN);
    else if (op->what == CHECK_PEER)
        MUST(xids_vchan_check_peer(e->ch) != XIDS_VCHAN_BROKEN);
    else if (op->what == LEAVE)
        leave(d);
    else if (op->what == REOFFER && d == 0)
        reoffer();
    else if (op->what == SHUTDOWN)
        shut(d);
    else if (op->what == HEARTBEAT)
        /* Nobody is given up on: who is asked answers in his time. */
        MUST(xids_vchan_heartbeat(e->ch, r.runs, UINT64_MAX) != XIDS_VCHAN_BROKEN);
    (void)hw_run(&r.w, was);
}

/* ---- a case ---- */

static void theirs(void *ctx)
{
    unsigned int until = *(unsigned int *)ctx;
    for (; r.done < until; r.done++)
        do_op(1 - r.plan.us, &r.plan.theirs[r.done]);
}

static void interrupt(void *ctx, const struct hook_access *access)
{
    const struct plan *p = &r.plan;
    unsigned int until = access->nth >= p->at[1] ? p->n_theirs : access->nth >= p->at[0] ? 1 : 0;
    (void)ctx;
    theirs(&until);
}

/* A server that has seen the end of one client, and behind it another came, who may have left as well. */
static bool has_another(int d)
{
    const struct end *e = &r.end[d];
    return d == 0 && e->up && e->closed && (r.end[1].up || e->got != r.end[1].sent);
}

/* An end that has nothing to do but to read, and as a server to serve the next client. */
static bool rest_once(int d)
{
    struct end *e = &r.end[d];
    if (has_another(d))
        do_op(0, &(struct op){REOFFER, 0});
    if (!e->up || (e->asleep && !hw_has_event(&r.w, d, xids_vchan_port(e->ch))))
        return false;
    for (uint32_t got = e->got + 1; got != e->got && !e->ended;) {
        got = e->got;
        do_op(d, &(struct op){READ, 700});
    }
    do_op(d, &(struct op){SLEEP_TO_READ, e->ended ? 0 : 1});
    e->closed |= e->ended && e->ch->gone;
    return !e->closed || has_another(d);
}

/* What a sleeper can miss. */
static void check_sleeper(int d)
{
    struct end *e = &r.end[d], *other = &r.end[1 - d];
    if (!e->up || !e->asleep)
        return;
    uint32_t waiting = other->sent - e->got;
    if (e->want_read != 0 && !e->ended && other->up && other->shut)
        failed("a reader sleeps over the end");
    if (e->want_read != 0 && waiting >= e->want_read)
        failed("a reader sleeps over bytes");
    uint32_t room = xids_vchan_write_size(e->ch) - (e->sent - other->got);
    if (e->want_write != 0 && other->up && room >= e->want_write)
        failed("a writer sleeps over room");
    if (!other->up && e->ch->connected && !e->ch->gone)
        failed("an end sleeps over the other's leaving");
    if (d == 0 && other->up && !e->ch->connected)
        failed("a server sleeps over its client's coming");
}

static void check_bytes(int d)
{
    struct end *e = &r.end[d];
    MUST(e->got <= r.end[1 - d].sent);
    for (uint32_t i = 0; i < e->got; i++)
        if (e->in[i] != pattern(1 - d, i))
            failed("a byte is wrong");
    /* The end comes after the last byte. */
    if (e->up && e->ended && e->got != r.end[1 - d].sent)
        failed("the end came before the last byte");
}

static void set_up(void)
{
    for (int d = 0; d < 2; d++) {
        struct xids_vchan *ch = r.end[d].ch;
        r.end[d].up = r.end[d].leaving = r.end[d].asleep = false;
        r.end[d].closed = r.end[d].ended = r.end[d].shut = false;
        r.end[d].sent = r.end[d].got = 0;
        memset(ch, 0, xids_vchan_size());
    }
    r.again = r.given_up = false;
    hw_init(&r.w);
    hook_begin(HOOK_IN_ORDER, NULL, NULL);
    (void)hw_run(&r.w, 0);
    serve();
    (void)hw_run(&r.w, -1);
    for (unsigned int i = 0; i < r.plan.n_before; i++)
        do_op(r.plan.before_side[i], &r.plan.before[i]);
    (void)hook_end();
}

/* The number of accesses that the interrupted side made. */
static unsigned int play(void)
{
    const struct plan *p = &r.plan;
    r.runs++;
    set_up();
    r.done = 0;
    hook_watch(r.page, XIDS_PAGE_SIZE);
    hook_begin(p->memory, interrupt, NULL);
    hook_limit(400);
    for (unsigned int i = 0; i < p->n_ours; i++)
        do_op(p->us, &p->ours[i]);
    unsigned int all = p->n_theirs;
    hook_aside(theirs, &all);
    unsigned int count = hook_end();
    hook_begin(HOOK_IN_ORDER, NULL, NULL);
    for (int i = 0; i < 100 && rest_once(0) + rest_once(1) > 0; i++)
        MUST(i < 99);
    for (int d = 0; d < 2 && !r.given_up; d++) {
        check_sleeper(d);
        check_bytes(d);
    }
    for (int d = 1; d >= 0; d--)
        if (r.end[d].up) {
            (void)hw_run(&r.w, d);
            leave(d);
        }
    MUST(hw_left(&r.w) == 0);
    return count;
}

/* ---- drawing ---- */

static uint64_t rng;

static uint32_t chance(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 20) % below;
}

static struct op draw(void)
{
    static const uint32_t sizes[] = {1, 1, 16, 100, 128, 500, 1000, 1024, 2048};
    static const enum what often[] = {WRITE, READ, SLEEP_TO_READ, SLEEP_TO_WRITE, LEAVE, COME};
    struct op op = {(enum what)(1 + chance(N_OPS - 1)), sizes[chance(sizeof(sizes) / sizeof(sizes[0]))]};
    if (chance(2) == 0)
        op.what = often[chance(sizeof(often) / sizeof(often[0]))];
    if (op.what == SLEEP_TO_BOTH || op.what == SLEEP_TO_READ || op.what == SLEEP_TO_WRITE)
        op.n = chance(3) != 0 ? 1 : op.n < 1024 ? op.n : 1024;
    return op;
}

static void draw_plan(uint64_t seed)
{
    struct plan *p = &r.plan;
    *p = (struct plan){.seed = seed};
    /* Far apart: the first numbers that neighbouring seeds give would be much the same. */
    rng = seed * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < 4; i++)
        (void)chance(2);
    bool swapped = chance(2);
    p->left = swapped ? 11 : 10;
    p->right = swapped ? 10 : 11;
    static const unsigned int plain[][2] = {{0, 0}, {0, XIDS_VCHAN_PLAIN}, {XIDS_VCHAN_PLAIN, 0}};
    unsigned int flags = chance(4), which = chance(2) ? 0 : chance(3);
    for (int d = 0; d < 2; d++)
        p->flags[d] = flags | plain[which][d];
    p->later = flags | plain[chance(3)][1];
    p->us = (int)chance(2);
    p->n_before = chance(OPS_MAX);
    for (unsigned int i = 0; i < p->n_before; i++) {
        p->before[i] = draw();
        p->before_side[i] = (int)chance(2);
    }
    /* A client is there, mostly. */
    bool there = chance(5) != 0;
    if (there) {
        p->before[0] = (struct op){COME, 0};
        p->before_side[0] = 1;
        p->n_before += p->n_before == 0;
    }
    p->n_ours = 1 + chance(2);
    p->n_theirs = 1 + chance(3);
    for (unsigned int i = 0; i < p->n_ours; i++)
        p->ours[i] = draw();
    for (unsigned int i = 0; i < p->n_theirs; i++)
        p->theirs[i] = draw();
    /* Where none is there, it comes at the moment that counts, or its server leaves then. */
    if (!there && chance(2) == 0) {
        *(p->us == 1 ? &p->ours[0] : &p->theirs[0]) = (struct op){COME, 0};
        if (chance(2) == 0)
            *(p->us == 1 ? &p->theirs[0] : &p->ours[p->n_ours - 1]) = (struct op){LEAVE, 0};
    }
}

static void play_all(uint64_t seed)
{
    draw_plan(seed);
    struct plan *p = &r.plan;
    for (int memory = 0; memory < HOOK_MEMORIES; memory++) {
        p->memory = (enum hook_memory)memory;
        for (unsigned int at = 0, count = 0; at <= count; at++) {
            p->at[0] = p->at[1] = at;
            count = play();
            /* Their first act here, the rest at the end. */
            if (p->n_theirs == 1)
                continue;
            p->at[1] = at + 1 + (unsigned int)seed % 5;
            (void)play();
        }
    }
}

START_TEST(no_order_of_accesses_loses_a_byte_or_a_wake_up)
{
    const char *seed = getenv("XIDS_ORDERS_SEED"), *cases = getenv("XIDS_ORDERS_CASES");
    unsigned long n = cases != NULL ? strtoul(cases, NULL, 0) : 800;
    uint64_t first = seed != NULL ? strtoull(seed, NULL, 0) : 1 + (uint64_t)_i * 1000000000u;
    hook_failed = failed;
    for (int d = 0; d < 2; d++) {
        r.end[d].ch = calloc(1, xids_vchan_size());
        ck_assert_ptr_nonnull(r.end[d].ch);
    }
    for (unsigned long i = 0; i < n; i++)
        play_all(first + i);
    if (getenv("XIDS_MUTATE_VERBOSE") != NULL)
        (void)fprintf(stderr, "%lu cases, %lu runs\n", n, r.runs);
    for (int d = 0; d < 2; d++)
        free(r.end[d].ch);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan orders");
    TCase *orders = tcase_create("orders");
    tcase_set_timeout(orders, getenv("XIDS_ORDERS_CASES") != NULL ? 3600 : 60);
    tcase_add_loop_test(orders, no_order_of_accesses_loses_a_byte_or_a_wake_up, 0, 8);
    suite_add_tcase(suite, orders);
    return suite;
}
