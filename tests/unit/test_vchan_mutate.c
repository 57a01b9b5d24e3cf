/* SPDX-License-Identifier: ISC */
/*
 * vchan against a peer that changes any shared byte between any two of our accesses. A session is played once to see
 * what the subject reads, then again for every such place and value: nothing outside the shared pages and the caller's
 * buffers may be touched, no call may go on for ever, each returns what its comment allows, an error has a reason and
 * stays, all is given back, and another channel of the same process goes on.
 *
 * A change is seen only where the subject reads the byte: so each byte of each read is changed right before it, to all
 * values. Changes of all other bytes at all other times are tried by chance, with a seed that is printed when one
 * fails; XIDS_MUTATE_SEED sets it, and XIDS_MUTATE_ALL=1 tries all of them (minutes).
 */
#include "tests/unit/hook_world.h"
#include "tests/unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xids/vchan.h>

/* Who acts: the subject, or its peer, who is a channel of ours too. */
enum who { US, PEER };

enum what {
    END, /* of the session */
    WRITE,
    READ,
    SEND,
    RECV,
    RESERVE, /* and commit */
    PEEK,    /* and consume */
    READABLE,
    WRITABLE,
    FLUSH,
    ARM, /* for a bytes to read, b to write */
    EVENT,
    STATE,
    CHECK_PEER,
    PEER_DIED,
    REOFFER,
    COME, /* the peer, a client, connects (again) */
    LEAVE,
    KILLED,
};

struct step {
    enum who who;
    enum what what;
    uint32_t a, b;
};

struct session {
    const char *name;
    unsigned int left, right, flags;
    bool server_only; /* the subject can only be the server */
    const struct step *steps;
};

static const struct step stream[] = {
    {PEER, WRITE, 300, 0}, {US, READ, 100, 0},     {US, READABLE, 0, 0}, {US, READ, 500, 0},  {US, ARM, 1, 0},
    {PEER, WRITE, 50, 0},  {US, EVENT, 0, 0},      {US, READ, 50, 0},    {US, WRITE, 700, 0}, {PEER, READ, 700, 0},
    {US, WRITE, 4000, 0},  {US, WRITE, 1, 0},      {US, ARM, 0, 1},      {PEER, READ, 99, 0}, {US, EVENT, 0, 0},
    {US, WRITABLE, 0, 0},  {PEER, WRITE, 2000, 0}, {US, READ, 2000, 0},  {US, READ, 0, 0},    {US, WRITE, 0, 0},
    {US, STATE, 0, 0},     {PEER, LEAVE, 0, 0},    {US, EVENT, 0, 0},    {US, READ, 9999, 0}, {US, WRITE, 1, 0},
    {US, STATE, 0, 0},     {US, END, 0, 0}};

static const struct step packets[] = {
    {PEER, SEND, 64, 0}, {US, RECV, 64, 0},     {US, RECV, 64, 0},   {US, ARM, 64, 64},   {PEER, SEND, 900, 0},
    {US, EVENT, 0, 0},   {US, RECV, 900, 0},    {US, SEND, 1000, 0}, {US, SEND, 1000, 0}, {PEER, RECV, 1000, 0},
    {US, SEND, 777, 0},  {US, SEND, 100000, 0}, {US, FLUSH, 0, 0},   {PEER, SEND, 10, 0}, {US, CHECK_PEER, 0, 0},
    {PEER, LEAVE, 0, 0}, {US, RECV, 64, 0},     {US, READ, 64, 0},   {US, RECV, 64, 0},   {US, END, 0, 0}};

static const struct step spans[] = {
    {PEER, WRITE, 800, 0}, {US, PEEK, 1, 300},    {US, PEEK, 700, 500},   {US, PEEK, 1, 1},   {US, RESERVE, 1, 600},
    {PEER, READ, 600, 0},  {PEER, WRITE, 700, 0}, {US, PEEK, 700, 700},   {US, PEEK, 1, 700}, {US, RESERVE, 900, 900},
    {US, RESERVE, 1, 600}, {US, FLUSH, 0, 0},     {PEER, KILLED, 0, 0},   {US, EVENT, 0, 0},  {US, PEEK, 1, 1},
    {US, RESERVE, 1, 1},   {US, ARM, 1, 1},       {US, CHECK_PEER, 0, 0}, {US, END, 0, 0}};

static const struct step sleepers[] = {
    {US, ARM, 0, 0},       {US, ARM, 1, 1},     {US, ARM, 16, 0},       {PEER, ARM, 1, 0},   {US, WRITE, 16, 0},
    {PEER, READ, 16, 0},   {PEER, ARM, 1, 0},   {US, WRITE, 16, 0},     {US, WRITE, 600, 0}, {US, ARM, 0, 1024},
    {PEER, READ, 1000, 0}, {US, EVENT, 0, 0},   {PEER, WRITE, 1024, 0}, {PEER, ARM, 0, 512}, {US, READ, 100, 0},
    {US, READ, 600, 0},    {PEER, EVENT, 0, 0}, {US, READ, 600, 0},     {US, ARM, 1, 0},     {US, STATE, 0, 0},
    {US, PEER_DIED, 0, 0}, {US, READ, 1, 0},    {US, WRITE, 1, 0},      {US, END, 0, 0}};

static const struct step again[] = {{PEER, WRITE, 40, 0}, {US, REOFFER, 0, 0}, {PEER, LEAVE, 0, 0},  {US, EVENT, 0, 0},
                                    {US, READ, 40, 0},    {US, REOFFER, 0, 0}, {US, WRITE, 10, 0},   {US, ARM, 1, 0},
                                    {PEER, COME, 0, 0},   {US, EVENT, 0, 0},   {PEER, WRITE, 30, 0}, {US, READ, 30, 0},
                                    {US, WRITE, 30, 0},   {US, STATE, 0, 0},   {PEER, KILLED, 0, 0}, {US, EVENT, 0, 0},
                                    {US, REOFFER, 0, 0},  {US, REOFFER, 0, 0}, {PEER, COME, 0, 0},   {US, EVENT, 0, 0},
                                    {PEER, WRITE, 5, 0},  {US, READ, 5, 0},    {US, END, 0, 0}};

#define BATCH XIDS_VCHAN_BATCH
#define WIPE XIDS_VCHAN_WIPE

static const struct session sessions[] = {
    {"stream", 10, 11, 0, false, stream},
    {"stream, own pages", 12, 13, 0, false, stream},
    {"stream, batches, wiped", 11, 12, BATCH | WIPE, false, stream},
    {"packets", 12, 10, 0, false, packets},
    {"packets, wiped", 10, 11, WIPE, false, packets},
    {"spans", 10, 11, 0, false, spans},
    {"spans, batches", 13, 12, BATCH, false, spans},
    {"spans, wiped", 12, 12, WIPE, false, spans},
    {"sleepers", 10, 11, 0, false, sleepers},
    {"sleepers, batches", 12, 12, BATCH, false, sleepers},
    {"sleepers, batches, wiped", 11, 10, BATCH | WIPE, false, sleepers},
    {"again", 12, 12, 0, true, again},
    {"again, batches, wiped", 10, 11, BATCH | WIPE, true, again},
};
enum { N_SESSIONS = sizeof(sessions) / sizeof(sessions[0]) };

/* ---- one run ---- */

enum { BUFFER = 16384, GUARD = 64, ACCESSES_MAX = 1200, CALL_ACCESSES = 48, INIT_ACCESSES = 160 };

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
    struct xids_vchan *ch[2]; /* by domain */
    bool up[2];
    struct xids_vchan *bystander[2];
    uint8_t *page; /* of the channel under test, once it is known */
    grant_ref_t ref;
    evtchn_port_t port;
    struct change change;
    bool record;
    struct hook_access seen[ACCESSES_MAX];
    unsigned int count;
    uint8_t *buffer; /* the caller's memory */
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
    if (r.page != NULL && (access->nth == c->nth || (c->always && access->nth > c->nth)))
        memcpy(r.page + c->at, &c->value, c->len);
}

/* The page of the subject is known to the peer from the moment it is shared or mapped: look for it. */
static void find_page(void)
{
    for (int d = 0; d < 2 && r.page == NULL; d++)
        for (int i = 0; i < HW_AREAS; i++) {
            const struct hw_area *a = &r.w.domain[d].area[i];
            if (a->start != NULL && a->shared && hw_page(r.ref) == a->start)
                r.page = a->start;
        }
}

static uint8_t *canaries(void)
{
    uint8_t *mem = malloc(BUFFER + 2 * GUARD);
    ck_assert_ptr_nonnull(mem);
    memset(mem, 0xc5, BUFFER + 2 * GUARD);
    return mem + GUARD;
}

static bool intact(const uint8_t *buffer, uint32_t len)
{
    for (int i = 1; i <= GUARD; i++)
        if (buffer[-i] != 0xc5)
            return false;
    for (uint32_t i = len; i < len + GUARD; i++)
        if (buffer[i] != 0xc5)
            return false;
    return true;
}

static bool is_broken(struct xids_vchan *ch, int rc)
{
    return rc < 0 && rc == xids_vchan_error(ch);
}

/* What the comments of vchan.h allow for calls that move bytes. */
static void check_moved(struct xids_vchan *ch, const struct step *s, int rc, uint32_t ring, bool reads)
{
    bool packet = s->what == SEND || s->what == RECV;
    if (is_broken(ch, rc) || (rc == -XEN_EMSGSIZE && packet && s->a > ring))
        return;
    MUST(rc == -XEN_EAGAIN || (reads ? rc == -XEN_ENODATA && packet : rc == -XEN_ENOTCONN) || rc >= 0);
    if (rc < 0)
        return;
    MUST((uint32_t)rc <= ring);
    if (s->what == PEEK || s->what == RESERVE) {
        MUST(rc > 0 || reads);
        return;
    }
    MUST((uint32_t)rc <= s->a);
    MUST(rc != 0 || s->a == 0 || reads);
    MUST(!packet || rc == 0 || (uint32_t)rc == s->a);
}

static void use_span(struct xids_vchan *ch, const struct step *s, int n, uint8_t XIDS_PEER *span, bool reads)
{
    uint32_t len = (uint32_t)n < s->b ? (uint32_t)n : s->b;
    if (reads)
        xids_peer_get(r.buffer, span, len);
    else
        xids_peer_put(span, r.buffer, len);
    /* What was shown can be taken, unless the channel broke meanwhile; more cannot. */
    uint32_t ring = reads ? xids_vchan_read_size(ch) : xids_vchan_write_size(ch);
    MUST((reads ? xids_vchan_consume(ch, ring + 1) : xids_vchan_commit(ch, ring + 1)) < 0);
    int rc = reads ? xids_vchan_consume(ch, len) : xids_vchan_commit(ch, len);
    MUST(rc == 0 || is_broken(ch, rc));
}

static void move(struct xids_vchan *ch, const struct step *s)
{
    const uint8_t XIDS_PEER *in = NULL;
    uint8_t XIDS_PEER *out = NULL;
    int rc = 0;
    bool reads = s->what == READ || s->what == RECV || s->what == PEEK;
    uint32_t len = s->a < BUFFER ? s->a : BUFFER;
    if (reads)
        memset(r.buffer, 0xc5, BUFFER);
    if (s->what == READ)
        rc = xids_vchan_read(ch, r.buffer, len);
    else if (s->what == WRITE)
        rc = xids_vchan_write(ch, r.buffer, len);
    else if (s->what == RECV)
        rc = xids_vchan_recv(ch, r.buffer, s->a);
    else if (s->what == SEND)
        rc = xids_vchan_send(ch, r.buffer, s->a);
    else if (s->what == PEEK)
        rc = xids_vchan_peek(ch, &in, s->a);
    else
        rc = xids_vchan_reserve(ch, &out, s->a);
    check_moved(ch, s, rc, reads ? xids_vchan_read_size(ch) : xids_vchan_write_size(ch), reads);
    if (s->what == READ || s->what == RECV)
        MUST(intact(r.buffer, rc > 0 ? (uint32_t)rc : 0));
    if (rc > 0 && (s->what == PEEK || s->what == RESERVE))
        use_span(ch, s, rc, reads ? (uint8_t XIDS_PEER *)(uintptr_t)in : out, reads);
}

static void take_event(struct xids_vchan *ch, int d)
{
    (void)hw_take(&r.w, d, xids_vchan_port(ch));
    enum xids_vchan_state state = xids_vchan_event(ch);
    MUST(state >= XIDS_VCHAN_CONNECTING && state <= XIDS_VCHAN_BROKEN);
}

/* What neither moves bytes nor makes or ends a channel. */
static void ask(struct xids_vchan *ch, const struct step *s, int d)
{
    int rc = 0;
    enum xids_vchan_state state = XIDS_VCHAN_OPEN;
    switch ((int)s->what) {
    case READABLE:
        rc = xids_vchan_readable(ch);
        MUST(is_broken(ch, rc) || (rc >= 0 && (uint32_t)rc <= xids_vchan_read_size(ch)));
        break;
    case WRITABLE:
        rc = xids_vchan_writable(ch);
        MUST(is_broken(ch, rc) || rc == -XEN_ENOTCONN || (rc >= 0 && (uint32_t)rc <= xids_vchan_write_size(ch)));
        break;
    case FLUSH:
        rc = xids_vchan_flush(ch);
        MUST(is_broken(ch, rc) || rc == 0);
        break;
    case ARM:
        rc = xids_vchan_arm(ch, s->a, s->b);
        MUST(is_broken(ch, rc) || rc == 0 || rc == 1 ||
             (rc == -XEN_EMSGSIZE && (s->a > xids_vchan_read_size(ch) || s->b > xids_vchan_write_size(ch))));
        break;
    case REOFFER:
        rc = xids_vchan_reoffer(ch);
        MUST(is_broken(ch, rc) || rc == 0 || rc == -XEN_EBUSY);
        break;
    case EVENT:
        take_event(ch, d);
        break;
    case STATE:
        state = xids_vchan_state(ch);
        break;
    case CHECK_PEER:
        state = xids_vchan_check_peer(ch);
        break;
    default:
        state = xids_vchan_peer_died(ch);
        break;
    }
    MUST(state >= XIDS_VCHAN_CONNECTING && state <= XIDS_VCHAN_BROKEN);
}

static int connect_client(void)
{
    int rc = xids_vchan_client_init(r.ch[1], &r.w.domain[1].platform, HW_DOMID(0), r.ref, r.port, r.session->flags);
    r.up[1] = rc == 0;
    return rc;
}

static void leave(int d, enum what how)
{
    if (r.up[d] && how == LEAVE)
        xids_vchan_fini(r.ch[d]);
    r.up[d] = false;
}

/* Only the channel's part of the domain: the bystander stays. */
static void kill_client(void)
{
    for (int i = 0; i < HW_AREAS; i++) {
        struct hw_area *a = &r.w.domain[1].area[i];
        if (r.up[1] && a->start == r.page && a->notify.clear_byte)
            r.page[a->notify.offset] = 0;
    }
    leave(1, LEAVE);
}

static void peer_step(void *ctx)
{
    const struct step *s = ctx;
    int d = 1 - r.us, was = hw_run(&r.w, d);
    uint8_t *ours = r.buffer;
    static uint8_t theirs[BUFFER];
    r.buffer = theirs;
    if (s->what == COME && !r.up[d] && d == 1)
        (void)connect_client();
    else if (s->what == LEAVE || s->what == KILLED)
        d == 1 && s->what == KILLED ? kill_client() : leave(d, LEAVE);
    else if (r.up[d] && s->what == WRITE)
        (void)!xids_vchan_write(r.ch[d], theirs, s->a);
    else if (r.up[d] && s->what == READ)
        (void)!xids_vchan_read(r.ch[d], theirs, s->a);
    else if (r.up[d] && s->what == SEND)
        (void)!xids_vchan_send(r.ch[d], theirs, s->a);
    else if (r.up[d] && s->what == RECV)
        (void)!xids_vchan_recv(r.ch[d], theirs, s->a);
    else if (r.up[d] && s->what == ARM)
        (void)!xids_vchan_arm(r.ch[d], s->a, s->b);
    else if (r.up[d] && s->what == EVENT)
        (void)xids_vchan_event(r.ch[d]);
    r.buffer = ours;
    (void)hw_run(&r.w, was);
}

/* An error stays what it was, and has a reason. */
static void check_error(struct xids_vchan *ch, int *error)
{
    int now = xids_vchan_error(ch);
    /* A lost peer is no broken channel: the reason goes with the next offer. */
    if (*error != 0 && *error != -XEN_ENODEV)
        MUST(now == *error);
    MUST(now == 0 || xids_vchan_reason(ch)[0] != 0);
    MUST(now == 0 || now == -XEN_EBADMSG || now == -XEN_ENODEV);
    *error = now;
}

static void serve(void *ctx)
{
    const struct session *s = r.session;
    int was = hw_run(&r.w, 0);
    (void)ctx;
    int rc = xids_vchan_server_init(r.ch[0], &r.w.domain[0].platform, HW_DOMID(1), s->left, s->right, s->flags);
    /* The peer has nothing yet that could make this fail but the page, of which only the indices are read. */
    MUST(rc == 0 || rc == -XEN_EBADMSG);
    r.up[0] = rc == 0;
    r.ref = rc == 0 ? xids_vchan_ring_ref(r.ch[0]) : 0;
    r.port = rc == 0 ? xids_vchan_port(r.ch[0]) : 0;
    (void)hw_run(&r.w, was);
}

static void come(void *ctx)
{
    int was = hw_run(&r.w, 1);
    (void)ctx;
    int rc = connect_client();
    if (r.us == 1)
        MUST(rc == 0 || rc == -XEN_EBADMSG || rc == -XEN_ECONNREFUSED || rc == -XEN_EBUSY || rc == -XEN_EACCES);
    (void)hw_run(&r.w, was);
}

/* Both ends come up, with the subject's part under the hook. */
static void set_up(void)
{
    if (r.us == 0) {
        /* Its page will be where it was in every run before. */
        serve(NULL);
        hook_aside(come, NULL);
    } else {
        hook_aside(serve, NULL);
        find_page();
        come(NULL);
    }
    find_page();
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
    int error = 0;
    unsigned int left = hw_left(&r.w);
    r.change = *change;
    r.runs++;
    r.up[0] = r.up[1] = false;
    r.page = NULL;
    r.ref = 0;
    r.step = -1;
    hook_begin(HOOK_IN_ORDER, meddle, NULL);
    hook_limit(INIT_ACCESSES);
    set_up();
    for (r.step = 0; r.session->steps[r.step].what != END; r.step++) {
        const struct step *s = &r.session->steps[r.step];
        if (s->who == PEER) {
            hook_aside(peer_step, (void *)(uintptr_t)s);
            continue;
        }
        if (!r.up[r.us])
            break;
        hook_limit(CALL_ACCESSES);
        (void)hw_run(&r.w, r.us);
        if (s->what <= PEEK)
            move(r.ch[r.us], s);
        else
            ask(r.ch[r.us], s, r.us);
        check_error(r.ch[r.us], &error);
    }
    hook_limit(CALL_ACCESSES);
    (void)hw_run(&r.w, r.us);
    leave(r.us, LEAVE);
    r.count = hook_end();
    hook_begin(HOOK_IN_ORDER, NULL, NULL);
    (void)hw_run(&r.w, 1 - r.us);
    leave(1 - r.us, LEAVE);
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

/* Every byte and every word of each read, right before it, to every value, or to the telling ones. */
static void where_it_reads(const struct hook_access *access)
{
    if (access->at < r.page || access->at >= r.page + XIDS_PAGE_SIZE || access->len > 4 || access->len == 0)
        return;
    struct change c = {.nth = access->nth, .at = (uint32_t)(access->at - r.page), .len = 1};
    if (access->kind != HOOK_LOAD && access->kind != HOOK_BITS)
        return;
    uint32_t at = c.at;
    for (int always = 0; always < 2; always++) {
        c.always = always != 0;
        c.len = 1;
        for (c.at = at; c.at < at + access->len; c.at++)
            for (c.value = 0; c.value < 256; c.value++)
                run(&c);
        c.at = at;
        c.len = (uint32_t)access->len;
        for (size_t i = 0; access->len == 4 && i < sizeof(words) / sizeof(words[0]); i++) {
            c.value = words[i];
            run(&c);
        }
        /* Indices of others that are near: what passes for longest. */
        for (uint32_t i = 0; access->len == 4 && i < 64; i++) {
            static const uint32_t bases[] = {0, 300, 350, 1000, 1024, 1700, 2048, 2400};
            c.value = bases[i / 8] + i % 8 - 4;
            run(&c);
        }
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
        r.ch[d] = malloc(xids_vchan_size());
        r.bystander[d] = malloc(xids_vchan_size());
        ck_assert(r.ch[d] != NULL && r.bystander[d] != NULL);
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

static void play(int number, int us)
{
    static struct hook_access seen[ACCESSES_MAX];
    const char *seed = getenv("XIDS_MUTATE_SEED"), *all = getenv("XIDS_MUTATE_ALL");
    r.session = &sessions[number];
    r.us = us;
    r.seed = seed != NULL ? strtoull(seed, NULL, 0) : 20261122u + (unsigned int)number;
    r.buffer = canaries();
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
    for (unsigned int i = 0; i < count; i++)
        where_it_reads(&seen[i]);
    by_chance(10000, count);
    if (all != NULL && all[0] == '1')
        every_byte(count);
    if (getenv("XIDS_MUTATE_VERBOSE") != NULL)
        (void)fprintf(stderr, "%s, %s: %u accesses, %lu runs\n", r.session->name, us == 0 ? "server" : "client", count,
                      r.runs);
    for (int d = 1; d >= 0; d--) {
        xids_vchan_fini(r.bystander[d]);
        free(r.bystander[d]);
        free(r.ch[d]);
    }
    ck_assert_uint_eq(hw_left(&r.w), 0);
    free(r.buffer - GUARD);
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
