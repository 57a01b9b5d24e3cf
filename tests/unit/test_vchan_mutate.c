/* SPDX-License-Identifier: ISC */
/*
 * vchan against a peer that changes any shared byte between any two of our accesses. A session is played once to see
 * what the subject reads, then again for every such place and value: nothing outside the shared pages and the caller's
 * buffers may be touched, no call may go on for ever, each returns what its comment allows, an error has a reason and
 * stays, all is given back, and another channel of the same process goes on.
 *
 * A change is seen only where the subject reads the byte: so each byte of each read is changed right before it, and for
 * good. Changes of all other bytes at all other times are tried by chance, with a seed that is printed when one fails;
 * XIDS_MUTATE_SEED sets it. XIDS_MUTATE_ALL=1 tries all bytes of the page at all times, for long; XIDS_MUTATE_VERBOSE=1
 * says how many runs there were.
 */
#include "tests/unit/suite.h"
#include "tests/unit/vchan_subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who acts: the subject, or its peer, who is a channel of ours too. */
enum who { US, PEER };

/* Besides what a channel does. */
enum { END = VS_WHATS, COME, LEAVE, KILLED };

struct step {
    enum who who;
    int what;
    uint32_t a, b;
};

struct session {
    const char *name;
    unsigned int left, right, flags;
    bool server_only; /* the subject can only be the server */
    const struct step *steps;
};

static const struct step stream[] = {
    {PEER, VS_WRITE, 300, 0},  {US, VS_READ, 100, 0},   {US, VS_READABLE, 0, 0}, {US, VS_READ, 500, 0},
    {US, VS_ARM, 1, 0},        {PEER, VS_WRITE, 50, 0}, {US, VS_EVENT, 0, 0},    {US, VS_READ, 50, 0},
    {US, VS_WRITE, 700, 0},    {PEER, VS_READ, 700, 0}, {US, VS_WRITE, 4000, 0}, {US, VS_WRITE, 1, 0},
    {US, VS_ARM, 0, 1},        {PEER, VS_READ, 99, 0},  {US, VS_EVENT, 0, 0},    {US, VS_WRITABLE, 0, 0},
    {PEER, VS_WRITE, 2000, 0}, {US, VS_READ, 2000, 0},  {US, VS_READ, 0, 0},     {US, VS_WRITE, 0, 0},
    {US, VS_STATE, 0, 0},      {PEER, LEAVE, 0, 0},     {US, VS_EVENT, 0, 0},    {US, VS_READ, 9999, 0},
    {US, VS_WRITE, 1, 0},      {US, VS_STATE, 0, 0},    {US, END, 0, 0}};

static const struct step packets[] = {
    {PEER, VS_SEND, 64, 0},  {US, VS_RECV, 64, 0},     {US, VS_RECV, 64, 0},      {US, VS_ARM, 64, 64},
    {PEER, VS_SEND, 900, 0}, {US, VS_EVENT, 0, 0},     {US, VS_RECV, 900, 0},     {US, VS_SEND, 1000, 0},
    {US, VS_SEND, 1000, 0},  {PEER, VS_RECV, 1000, 0}, {US, VS_SEND, 777, 0},     {US, VS_SEND, 100000, 0},
    {US, VS_FLUSH, 0, 0},    {PEER, VS_SEND, 10, 0},   {US, VS_CHECK_PEER, 0, 0}, {PEER, LEAVE, 0, 0},
    {US, VS_RECV, 64, 0},    {US, VS_READ, 64, 0},     {US, VS_RECV, 64, 0},      {US, END, 0, 0}};

static const struct step spans[] = {
    {PEER, VS_WRITE, 800, 0}, {US, VS_PEEK, 1, 300},      {US, VS_PEEK, 700, 500},  {US, VS_PEEK, 1, 1},
    {US, VS_RESERVE, 1, 600}, {PEER, VS_READ, 600, 0},    {PEER, VS_WRITE, 700, 0}, {US, VS_PEEK, 700, 700},
    {US, VS_PEEK, 1, 700},    {US, VS_RESERVE, 900, 900}, {US, VS_RESERVE, 1, 600}, {US, VS_FLUSH, 0, 0},
    {PEER, KILLED, 0, 0},     {US, VS_EVENT, 0, 0},       {US, VS_PEEK, 1, 1},      {US, VS_RESERVE, 1, 1},
    {US, VS_ARM, 1, 1},       {US, VS_CHECK_PEER, 0, 0},  {US, END, 0, 0}};

static const struct step sleepers[] = {
    {US, VS_ARM, 0, 0},        {US, VS_ARM, 1, 1},     {US, VS_ARM, 16, 0},      {PEER, VS_ARM, 1, 0},
    {US, VS_WRITE, 16, 0},     {PEER, VS_READ, 16, 0}, {PEER, VS_ARM, 1, 0},     {US, VS_WRITE, 16, 0},
    {US, VS_WRITE, 600, 0},    {US, VS_ARM, 0, 1024},  {PEER, VS_READ, 1000, 0}, {US, VS_EVENT, 0, 0},
    {PEER, VS_WRITE, 1024, 0}, {PEER, VS_ARM, 0, 512}, {US, VS_READ, 100, 0},    {US, VS_READ, 600, 0},
    {PEER, VS_EVENT, 0, 0},    {US, VS_READ, 600, 0},  {US, VS_ARM, 1, 0},       {US, VS_STATE, 0, 0},
    {US, VS_PEER_DIED, 0, 0},  {US, VS_READ, 1, 0},    {US, VS_WRITE, 1, 0},     {US, END, 0, 0}};

static const struct step again[] = {
    {PEER, VS_WRITE, 40, 0}, {US, VS_REOFFER, 0, 0}, {PEER, LEAVE, 0, 0},    {US, VS_EVENT, 0, 0}, {US, VS_READ, 40, 0},
    {US, VS_REOFFER, 0, 0},  {US, VS_WRITE, 10, 0},  {US, VS_ARM, 1, 0},     {PEER, COME, 0, 0},   {US, VS_EVENT, 0, 0},
    {PEER, VS_WRITE, 30, 0}, {US, VS_READ, 30, 0},   {US, VS_WRITE, 30, 0},  {US, VS_STATE, 0, 0}, {PEER, KILLED, 0, 0},
    {US, VS_EVENT, 0, 0},    {US, VS_REOFFER, 0, 0}, {US, VS_REOFFER, 0, 0}, {PEER, COME, 0, 0},   {US, VS_EVENT, 0, 0},
    {PEER, VS_WRITE, 5, 0},  {US, VS_READ, 5, 0},    {US, END, 0, 0}};

static const struct step extras[] = {{US, VS_SHUTDOWN, 0, 0},
                                     {PEER, VS_EVENT, 0, 0},
                                     {US, VS_EVENT, 0, 0},
                                     {PEER, VS_WRITEV, 900, 0},
                                     {US, VS_READV, 300, 0},
                                     {US, VS_WRITEV, 900, 0},
                                     {PEER, VS_READV, 700, 0},
                                     {US, VS_RECVV, 300, 0},
                                     {US, VS_RECVV, 800, 0},
                                     {PEER, VS_WRITE, 800, 0},
                                     {US, VS_PEEKV, 800, 600},
                                     {US, VS_RESERVEV, 900, 700},
                                     {PEER, VS_READ, 900, 0},
                                     {US, VS_RESERVEV, 900, 700},
                                     {US, VS_SENDV, 100, 0},
                                     {US, VS_SENDV, 3000, 0},
                                     {US, VS_HEARTBEAT, 10, 100},
                                     {PEER, VS_EVENT, 0, 0},
                                     {US, VS_HEARTBEAT, 60, 100},
                                     {PEER, VS_HEARTBEAT, 70, 100},
                                     {US, VS_EVENT, 0, 0},
                                     {US, VS_ARM, 1, 1},
                                     {PEER, VS_READ, 2000, 0},
                                     {PEER, VS_SHUTDOWN, 0, 0},
                                     {US, VS_EVENT, 0, 0},
                                     {US, VS_READ, 2000, 0},
                                     {US, VS_READ, 1, 0},
                                     {US, VS_WRITE, 10, 0},
                                     {US, VS_SHUTDOWN, 0, 0},
                                     {US, VS_WRITE, 10, 0},
                                     {US, VS_RESERVE, 1, 1},
                                     {US, VS_WRITABLE, 0, 0},
                                     {US, VS_HEARTBEAT, 80, 100},
                                     {US, VS_HEARTBEAT, 200, 100},
                                     {US, VS_STATE, 0, 0},
                                     {US, VS_READ, 1, 0},
                                     {US, END, 0, 0}};

#define BATCH XIDS_VCHAN_BATCH
#define WIPE XIDS_VCHAN_WIPE
#define PLAIN XIDS_VCHAN_PLAIN

static const struct session sessions[] = {
    {"stream", 10, 11, 0, false, stream},
    {"stream, own pages", 12, 13, 0, false, stream},
    {"stream, own pages, plain", 12, 13, PLAIN, false, stream},
    {"stream, batches, wiped", 11, 12, BATCH | WIPE, false, stream},
    {"packets, plain", 12, 10, PLAIN, false, packets},
    {"packets, wiped", 10, 11, WIPE, false, packets},
    {"spans", 10, 11, 0, false, spans},
    {"spans, batches, plain", 13, 12, BATCH | PLAIN, false, spans},
    {"spans, wiped", 12, 12, WIPE, false, spans},
    {"sleepers", 10, 11, 0, false, sleepers},
    {"sleepers, plain", 11, 10, PLAIN, false, sleepers},
    {"sleepers, batches", 12, 12, BATCH, false, sleepers},
    {"sleepers, batches, wiped, plain", 11, 10, BATCH | WIPE | PLAIN, false, sleepers},
    {"extras", 10, 11, 0, false, extras},
    {"extras, batches, wiped", 12, 12, BATCH | WIPE, false, extras},
    {"extras, plain", 12, 12, PLAIN, false, extras},
    {"again", 12, 12, 0, true, again},
    {"again, plain", 12, 12, PLAIN, true, again},
    {"again, batches, wiped", 10, 11, BATCH | WIPE, true, again},
};
enum { N_SESSIONS = sizeof(sessions) / sizeof(sessions[0]) };

/* ---- one run ---- */

enum { ACCESSES_MAX = 1200 };

/* What the peer does besides its part: from access nth on (once, or before each), a store of len bytes. */
struct change {
    unsigned int nth;
    bool always;
    uint32_t at; /* in the control page, or behind it, where the rings' pages are */
    uint32_t len;
    uint32_t value;
};

static struct {
    const struct session *session;
    int us;
    struct hw w;
    struct vs end[2];
    struct xids_vchan *bystander[2];
    uint8_t *page; /* of the channel under test, once the peer knows it */
    grant_ref_t ref;
    evtchn_port_t port;
    struct change change;
    bool record;
    struct hook_access seen[ACCESSES_MAX];
    unsigned int count;
    int step;
    unsigned long runs;
    uint64_t seed;
} r;

static void failed(const char *what)
{
    const struct change *c = &r.change;
    ck_abort_msg("%s\n  session \"%s\", as %s, at step %d, access %u: %s access %u %u bytes at %u become %#x "
                 "(seed %llu)",
                 what, r.session->name, r.us == 0 ? "server" : "client", r.step, hook_count(),
                 c->always ? "from" : "before", c->nth, c->len, c->at, c->value, (unsigned long long)r.seed);
}

#define MUST(condition)         \
    do {                        \
        if (!(condition))       \
            failed(#condition); \
    } while (0)

static void meddle(void *ctx, const struct hook_access *access)
{
    const struct change *c = &r.change;
    (void)ctx;
    if (r.record && access->nth < ACCESSES_MAX)
        r.seen[access->nth] = *access;
    if (r.page == NULL && access->at != NULL)
        r.page = hw_page_at(access->at);
    if (r.page != NULL && (access->nth == c->nth || (c->always && access->nth > c->nth)))
        memcpy(r.page + c->at, &c->value, c->len);
}

static void serve(void *ctx)
{
    const struct session *s = r.session;
    (void)ctx;
    if (!vs_serve(&r.end[0], s->left, s->right, s->flags))
        return;
    r.ref = xids_vchan_ring_ref(r.end[0].ch);
    r.port = xids_vchan_port(r.end[0].ch);
}

static void come(void *ctx)
{
    (void)ctx;
    if (!r.end[1].up)
        (void)vs_connect(&r.end[1], r.ref, r.port, r.session->flags);
}

/* The client's process dies; not so the bystander's. */
static void kill_client(void)
{
    for (int i = 0; i < HW_AREAS && r.end[1].up; i++) {
        struct hw_area *a = &r.w.domain[1].area[i];
        if (a->start == r.page && a->notify.clear_byte)
            r.page[a->notify.offset] = 0;
    }
    vs_leave(&r.end[1]);
}

static void peer_step(void *ctx)
{
    const struct step *s = ctx;
    struct vs *peer = &r.end[1 - r.us];
    if (s->what == COME)
        come(NULL);
    else if (s->what == KILLED && peer->d == 1)
        kill_client();
    else if (s->what == LEAVE || s->what == KILLED)
        vs_leave(peer);
    else if (peer->up)
        vs_do(peer, (enum vs_what)s->what, s->a, s->b);
}

static void bystanders_talk(void)
{
    char got[5] = "";
    r.w.runs = -1;
    for (int d = 0; d < 2; d++) {
        int rc = xids_vchan_write(r.bystander[d], "still", 5);
        int rc2 = xids_vchan_read(r.bystander[1 - d], got, 5);
        MUST(rc == 5 && rc2 == 5 && memcmp(got, "still", 5) == 0);
    }
    MUST(xids_vchan_state(r.bystander[0]) == XIDS_VCHAN_OPEN && xids_vchan_state(r.bystander[1]) == XIDS_VCHAN_OPEN);
}

static void run(const struct change *change)
{
    unsigned int left = hw_left(&r.w);
    r.change = *change;
    r.runs++;
    r.page = NULL;
    r.step = -1;
    hook_begin(HOOK_IN_ORDER, meddle, NULL);
    if (r.us == 0) {
        serve(NULL);
        hook_aside(come, NULL);
    } else {
        hook_aside(serve, NULL);
        come(NULL);
    }
    for (r.step = 0; r.session->steps[r.step].what != END && r.end[r.us].up; r.step++) {
        const struct step *s = &r.session->steps[r.step];
        if (s->who == PEER)
            hook_aside(peer_step, (void *)(uintptr_t)s);
        else
            vs_do(&r.end[r.us], (enum vs_what)s->what, s->a, s->b);
    }
    vs_leave(&r.end[r.us]);
    r.count = hook_end();
    hook_begin(HOOK_IN_ORDER, NULL, NULL);
    vs_leave(&r.end[1 - r.us]);
    bystanders_talk();
    MUST(hw_left(&r.w) == left);
}

/* ---- all runs ---- */

static const uint8_t bytes[] = {0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff};

/* The byte as it is, with something done to it. */
static uint32_t other_byte(uint32_t old, unsigned int i)
{
    if (i < sizeof(bytes))
        return bytes[i];
    i -= (unsigned int)sizeof(bytes);
    return (i < 8 ? old ^ 1u << i : i == 8 ? old + 1u : old - 1u) & 0xffu;
}
enum { OTHER_BYTES = sizeof(bytes) + 10 };

static const uint32_t words[] = {0,          1,          2,          1024,       2048,       4096,    4097,
                                 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0xfffff000, 0x10000, 0xdeadbeef};

static void one_byte(struct change c, bool every_value)
{
    for (unsigned int i = 0; i < (every_value ? 256 : OTHER_BYTES); i++) {
        c.value = every_value ? i : other_byte(0, i);
        run(&c);
    }
}

static void one_word(struct change c)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        c.value = words[i];
        run(&c);
    }
    /* Near what an index can be: what passes for longest. */
    static const uint32_t bases[] = {0, 300, 350, 1000, 1024, 1700, 2048, 2400};
    for (uint32_t i = 0; i < 64; i++) {
        c.value = bases[i / 8] + i % 8 - 4;
        run(&c);
    }
}

/* Each byte and word of what is read, right before it, or from then on: to every value, or the telling ones. */
static void where_it_reads(const struct hook_access *access, bool all)
{
    if (access->kind != HOOK_LOAD && access->kind != HOOK_BITS)
        return;
    if (access->at < r.page || access->at >= r.page + XIDS_PAGE_SIZE)
        return;
    uint32_t at = (uint32_t)(access->at - r.page);
    for (int always = 0; always < 2; always++) {
        struct change c = {.nth = access->nth, .always = always != 0, .len = 1};
        for (c.at = at; c.at < at + access->len; c.at++)
            one_byte(c, all || (access->len == 1 && !c.always));
        c.at = at;
        c.len = 4;
        if (access->len == 4)
            one_word(c);
    }
}

static uint32_t chance(uint32_t below)
{
    r.seed ^= r.seed << 13;
    r.seed ^= r.seed >> 7;
    r.seed ^= r.seed << 17;
    return (uint32_t)(r.seed >> 20) % below;
}

static void by_chance(unsigned int times, unsigned int accesses)
{
    for (unsigned int i = 0; i < times; i++) {
        uint64_t seed = r.seed;
        struct change c = {.nth = chance(accesses), .always = chance(4) == 0, .len = 1};
        c.at = chance(8) != 0 ? chance(XIDS_PAGE_SIZE) : chance(4 * XIDS_PAGE_SIZE);
        c.value = other_byte(chance(256), chance(OTHER_BYTES));
        if (chance(8) == 0) {
            c.len = 4;
            c.at = chance(2) ? c.at & 0xffcu : chance(16) * 4;
            c.value = chance(2) ? words[chance(sizeof(words) / sizeof(words[0]))] : chance(5000);
        }
        uint64_t next = r.seed;
        r.seed = seed;
        run(&c);
        r.seed = next;
    }
}

static void every_byte(unsigned int accesses)
{
    for (struct change c = {.len = 1}; c.nth < accesses; c.nth++)
        for (c.at = 0; c.at < XIDS_PAGE_SIZE; c.at++)
            for (unsigned int i = 0; i < OTHER_BYTES * 2; i++) {
                c.always = i >= OTHER_BYTES;
                c.value = other_byte(r.page != NULL ? r.page[c.at] : 0, i % OTHER_BYTES);
                run(&c);
            }
}

static void make_bystander(void)
{
    for (int d = 0; d < 2; d++) {
        vs_new(&r.end[d], &r.w, d);
        r.bystander[d] = malloc(xids_vchan_size());
        ck_assert_ptr_nonnull(r.bystander[d]);
    }
    hook_begin(HOOK_IN_ORDER, NULL, NULL);
    int rc = xids_vchan_server_init(r.bystander[0], &r.w.domain[0].platform, HW_DOMID(1), 10, 11, 0);
    ck_assert_int_eq(rc, 0);
    rc = xids_vchan_client_init(r.bystander[1], &r.w.domain[1].platform, HW_DOMID(0),
                                xids_vchan_ring_ref(r.bystander[0]), xids_vchan_port(r.bystander[0]), 0);
    ck_assert_int_eq(rc, 0);
    /* No part of the channel under test: a hostile server that lists them hurts itself. */
    hw_hide(&r.w);
}

/* XIDS_MUTATE_EVERY: only so many-th reads, where a machine is emulated. */
static unsigned int every(void)
{
    const char *text = getenv("XIDS_MUTATE_EVERY");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : 1;
    return n > 0 && n < 1000 ? (unsigned int)n : 1;
}

static void play(int number, int us)
{
    static struct hook_access seen[ACCESSES_MAX];
    const char *seed = getenv("XIDS_MUTATE_SEED");
    bool all = getenv("XIDS_MUTATE_ALL") != NULL;
    r.session = &sessions[number];
    r.us = us;
    r.seed = seed != NULL ? strtoull(seed, NULL, 0) : 20261122u + (unsigned int)number;
    hook_failed = failed;
    hw_init(&r.w);
    make_bystander();
    /* Undisturbed, to see what there is to disturb. */
    r.record = true;
    run(&(struct change){.nth = UINT32_MAX});
    r.record = false;
    unsigned int count = r.count;
    ck_assert_uint_gt(count, 20);
    ck_assert_uint_lt(count, ACCESSES_MAX);
    memcpy(seen, r.seen, sizeof(seen));
    for (unsigned int i = 0; i < count; i += every())
        where_it_reads(&seen[i], all);
    by_chance(5000 / every(), count);
    if (all)
        every_byte(count);
    if (getenv("XIDS_MUTATE_VERBOSE") != NULL)
        (void)fprintf(stderr, "%s, %s: %u accesses, %lu runs\n", r.session->name, us == 0 ? "server" : "client", count,
                      r.runs);
    for (int d = 1; d >= 0; d--) {
        xids_vchan_fini(r.bystander[d]);
        free(r.bystander[d]);
        vs_free(&r.end[d]);
    }
    ck_assert_uint_eq(hw_left(&r.w), 0);
}

START_TEST(a_server_survives_every_change_of_every_byte)
{
    play(_i, 0);
}
END_TEST

START_TEST(a_client_survives_every_change_of_every_byte)
{
    if (!sessions[_i].server_only)
        play(_i, 1);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan mutate");
    TCase *mutate = tcase_create("mutate");
    tcase_set_timeout(mutate, getenv("XIDS_MUTATE_ALL") != NULL ? 3600 : 60);
    tcase_add_loop_test(mutate, a_server_survives_every_change_of_every_byte, 0, N_SESSIONS);
    tcase_add_loop_test(mutate, a_client_survives_every_change_of_every_byte, 0, N_SESSIONS);
    suite_add_tcase(suite, mutate);
    return suite;
}
