/* SPDX-License-Identifier: ISC */
/*
 * The guest's end of the entropy protocol. Answers come in the order of the requests, so what is expected next is
 * always at the head of a short queue; the bytes of a DATA go straight to where they are wanted.
 */
#include "randomd/wire.h"

#define FLIGHTS 8u /* requests under way: enough to keep a ring of two answers full, few enough for the left ring */
#define RETRY_MS 1000u
#define MS 1000000ull
#define SEED_AT 32u /* in a SEED message */

/* How often a server may begin anew: so many times at once, and then one in each such time (ns). */
#define EPOCHS_AT_ONCE 32u
#define EPOCH_EVERY (50u * MS)

/* No advice makes us ask for seed bytes more often. */
#define RESEED_MIN_MS 1000u

enum kind {
    FOR_HELLO,
    FOR_SEED,
    FOR_PULL,
};

struct flight {
    struct xids_randomd_pull *pull; /* NULL for a pull: its bytes are not wanted any more */
    size_t offset;
    uint32_t id;
    uint16_t len;
    uint8_t kind;
    bool discard; /* a seed that was asked for before the generator was forgotten */
};

struct xids_randomd_client {
    struct xids_entropy *entropy; /* own, or what the owner gave */
    struct xids_entropy own;
    struct xids_randomd_client_config config;
    struct xids_randomd_pull *first;
    struct flight flights[FLIGHTS];
    uint64_t epoch;
    uint64_t seed_at;  /* when to ask for fresh seed bytes, UINT64_MAX: not by time */
    uint64_t retry_at; /* no GET before this */
    uint64_t epochs;   /* when the server's EPOCHs until now would have come, had they come evenly */
    uint64_t hellos;
    uint32_t next_id;
    uint32_t get_max;
    uint32_t reseed_ms;
    uint32_t retry_ms;
    uint32_t copies, doubts; /* of the generator's, those that this client knows of */
    int error;               /* 0, 1 over, or why the session ended */
    uint8_t part[SEED_LEN];  /* a message that is coming in, but for the bytes of a DATA */
    uint8_t seed[XIDS_RANDOMD_SEED_BYTES];
    uint16_t have; /* bytes of the message at hand, all of them counted */
    uint8_t flying, head;
    bool connected;
    bool stale; /* the SEED at hand is not to be used */
    bool fresh; /* nothing has come through this channel yet */
    bool welcomed;
    bool want_hello;
    bool want_seed;
    bool held; /* there is something to ask for, but not before retry_at */
};

size_t xids_randomd_client_size(void)
{
    return sizeof(struct xids_randomd_client);
}

/* ---- the generator and its grade ---- */

struct xids_entropy *xids_randomd_client_entropy(struct xids_randomd_client *c)
{
    return c->entropy;
}

void xids_randomd_client_mix(struct xids_randomd_client *c, const void *data, size_t len, unsigned int bits,
                             uint64_t now)
{
    xids_entropy_local(c->entropy, data, len, bits, now);
}

int xids_randomd_client_random(struct xids_randomd_client *c, void *out, size_t len)
{
    return xids_entropy_random(c->entropy, out, len);
}

enum xids_randomd_grade xids_randomd_client_grade(const struct xids_randomd_client *c)
{
    return xids_entropy_grade(c->entropy);
}

uint64_t xids_randomd_client_age(const struct xids_randomd_client *c, uint64_t now)
{
    return xids_entropy_age(c->entropy, now);
}

uint64_t xids_randomd_client_epoch(const struct xids_randomd_client *c)
{
    return c->epoch;
}

/* Seed bytes that were asked for earlier are as old as the state that was given up. */
static void discard_seeds(struct xids_randomd_client *c)
{
    for (unsigned int i = 0; i < c->flying; i++) {
        struct flight *f = &c->flights[((unsigned int)c->head + i) % FLIGHTS];
        if (f->kind == FOR_SEED)
            f->discard = true;
    }
    c->want_seed = true;
}

/* Nor does a pull keep what it has: a clone would have the same. Answers that are under way are nobody's. */
static void restart_pulls(struct xids_randomd_client *c)
{
    for (unsigned int i = 0; i < FLIGHTS; i++)
        c->flights[i].pull = NULL;
    for (struct xids_randomd_pull *p = c->first; p != NULL; p = p->next) {
        /* All of it: half a message can lie behind what was got. */
        xids_wipe(p->to, p->len);
        p->asked = p->got = 0;
    }
}

/* The generator was forgotten: so is all that the client holds for it, and the session that the bytes came from. */
static void follow_copy(struct xids_randomd_client *c)
{
    c->copies = xids_entropy_copies(c->entropy);
    xids_wipe(c->seed, sizeof(c->seed));
    /* Of a SEED that has come in part, all copies have that part. */
    if (c->have > SEED_AT && get_header(c->part).type == XIDS_RANDOMD_SEED) {
        xids_wipe(c->part + SEED_AT, sizeof(c->part) - SEED_AT);
        c->stale = true;
    }
    discard_seeds(c);
    restart_pulls(c);
    c->want_hello = c->connected && c->error == 0;
}

/* What another client, or the owner, did to the generator. */
static void follow(struct xids_randomd_client *c)
{
    (void)xids_entropy_look(c->entropy);
    if (c->copies != xids_entropy_copies(c->entropy))
        follow_copy(c);
    if (c->doubts != xids_entropy_doubts(c->entropy))
        discard_seeds(c);
    c->doubts = xids_entropy_doubts(c->entropy);
}

void xids_randomd_client_forget(struct xids_randomd_client *c)
{
    xids_entropy_forget(c->entropy);
    follow_copy(c);
}

/* ---- life ---- */

int xids_randomd_client_init(struct xids_randomd_client **client, void *mem, size_t size,
                             const struct xids_randomd_client_config *config, uint64_t now)
{
    struct xids_randomd_client *c = mem;
    struct xids_entropy_config own;
    if (mem == NULL || size < sizeof(*c) || (uintptr_t)mem % _Alignof(struct xids_randomd_client) != 0 ||
        (config->entropy != NULL && config->server >= XIDS_ENTROPY_SERVERS))
        return -XEN_EINVAL;
    __builtin_memset(c, 0, sizeof(*c));
    c->config = *config;
    c->entropy = config->entropy;
    c->seed_at = UINT64_MAX;
    c->retry_ms = RETRY_MS;
    if (c->entropy == NULL) {
        __builtin_memcpy(own.nonce, config->nonce, sizeof(own.nonce));
        __builtin_memcpy(own.identity, config->identity, sizeof(own.identity));
        c->entropy = &c->own;
        c->config.server = 0;
        xids_entropy_init(&c->own, &own, now);
    }
    c->copies = xids_entropy_copies(c->entropy);
    c->doubts = xids_entropy_doubts(c->entropy);
    *client = c;
    return 0;
}

/* True when it was queued. Usually it is the first: only a refusal lets a later one end before. */
static bool unlink_pull(struct xids_randomd_client *c, const struct xids_randomd_pull *pull)
{
    struct xids_randomd_pull **at = &c->first;
    while (*at != NULL && *at != pull)
        at = &(*at)->next;
    if (*at == NULL)
        return false;
    *at = pull->next;
    return true;
}

static void complete(struct xids_randomd_pull *pull, int status)
{
    pull->next = NULL;
    pull->status = status;
    if (pull->done != NULL)
        pull->done(pull->ctx, pull);
}

void xids_randomd_client_fini(struct xids_randomd_client *c)
{
    if (c == NULL)
        return;
    while (c->first != NULL)
        xids_randomd_client_cancel(c, c->first);
    xids_wipe(c, sizeof(*c));
}

static void drop_session(struct xids_randomd_client *c)
{
    c->flying = c->head = 0;
    c->have = 0;
    c->epoch = 0;
    c->welcomed = c->want_hello = c->held = c->stale = false;
    xids_wipe(c->part, sizeof(c->part));
    xids_wipe(c->seed, sizeof(c->seed));
    for (struct xids_randomd_pull *p = c->first; p != NULL; p = p->next)
        p->asked = p->got;
}

void xids_randomd_client_connected(struct xids_randomd_client *c, uint64_t now)
{
    drop_session(c);
    c->error = 0;
    c->connected = c->fresh = c->want_hello = c->want_seed = true;
    c->get_max = XIDS_RANDOMD_SEED_BYTES;
    c->retry_at = now;
    c->seed_at = UINT64_MAX;
    c->retry_ms = RETRY_MS;
}

void xids_randomd_client_disconnected(struct xids_randomd_client *c)
{
    drop_session(c);
    xids_entropy_lost(c->entropy, c->config.server);
    c->connected = false;
}

int xids_randomd_client_pull(struct xids_randomd_client *c, struct xids_randomd_pull *pull)
{
    if (pull->to == NULL || pull->len == 0)
        return -XEN_EINVAL;
    pull->status = -XEN_EBUSY;
    pull->asked = pull->got = 0;
    pull->next = NULL;
    struct xids_randomd_pull **at = &c->first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = pull;
    return 0;
}

void xids_randomd_client_cancel(struct xids_randomd_client *c, struct xids_randomd_pull *pull)
{
    if (!unlink_pull(c, pull))
        return;
    for (unsigned int i = 0; i < FLIGHTS; i++)
        if (c->flights[i].pull == pull)
            c->flights[i].pull = NULL;
    xids_wipe(pull->to, pull->len);
    complete(pull, -XEN_EINTR);
}

/* ---- in ---- */

static struct flight *head_flight(struct xids_randomd_client *c)
{
    return c->flying > 0 ? &c->flights[c->head] : NULL;
}

static void land_flight(struct xids_randomd_client *c)
{
    c->flights[c->head].pull = NULL;
    c->head = (uint8_t)((c->head + 1u) % FLIGHTS);
    c->flying--;
}

static uint32_t bounded_retry(uint32_t ms)
{
    if (ms == 0)
        return RETRY_MS;
    return ms < XIDS_RANDOMD_RETRY_MAX_MS ? ms : XIDS_RANDOMD_RETRY_MAX_MS;
}

static int seed(struct xids_randomd_client *c, const struct randomd_header *h, uint64_t now)
{
    const uint8_t *p = c->part;
    if (!c->fresh || h->id != 0 || h->epoch == 0 || __builtin_memcmp(p + 16, SEED_MAGIC, 8) != 0 ||
        p[26] != XIDS_RANDOMD_GRADE_HOST || !all_zero(p + 27, 5))
        return -XEN_EBADMSG;
    if (get16(p + 24) != XIDS_RANDOMD_VERSION)
        return -XEN_EPERM;
    c->epoch = h->epoch;
    if (!c->stale)
        xids_entropy_host(c->entropy, c->config.server, false, p + SEED_AT, now);
    return 0;
}

/* A server's epoch and grade go together: no grade, no epoch. */
static bool fits_grade(uint64_t epoch, uint8_t grade)
{
    return grade == XIDS_RANDOMD_GRADE_HOST ? epoch != 0 : grade == XIDS_RANDOMD_GRADE_NONE && epoch == 0;
}

static int welcome(struct xids_randomd_client *c, const struct randomd_header *h, uint64_t now)
{
    const uint8_t *p = c->part;
    const struct flight *f = head_flight(c);
    uint32_t get_max = get32(p + 20);
    if (f == NULL || f->kind != FOR_HELLO || f->id != h->id || get16(p + 16) != XIDS_RANDOMD_VERSION ||
        !fits_grade(h->epoch, p[18]) || p[19] != 0 || get_max == 0 || get_max > XIDS_RANDOMD_GET_MAX ||
        get32(p + 24) == 0 || !all_zero(p + 32, 16))
        return -XEN_EBADMSG;
    /* A second WELCOME in the epoch of the first would mean that the old generator goes on. */
    if (c->welcomed && c->epoch != 0 && h->epoch == c->epoch)
        return -XEN_EBADMSG;
    land_flight(c);
    xids_entropy_session(c->entropy, c->config.server, h->epoch);
    c->epoch = h->epoch;
    c->get_max = get_max < XIDS_RANDOMD_CHUNK ? get_max : XIDS_RANDOMD_CHUNK;
    c->reseed_ms = get32(p + 28);
    if (c->reseed_ms != 0 && c->reseed_ms < RESEED_MIN_MS)
        c->reseed_ms = RESEED_MIN_MS;
    c->welcomed = true;
    c->retry_at = now;
    return 0;
}

/* The answer to the request at the head will not come now: ask again, from there on. */
static void ask_again(struct xids_randomd_client *c)
{
    const struct flight *f = &c->flights[c->head];
    struct xids_randomd_pull *pull = f->pull;
    if (f->kind == FOR_SEED) {
        c->want_seed = true;
    } else if (pull != NULL) {
        pull->asked = f->offset;
        /* What was asked for behind it would arrive out of order: it is asked for again too. */
        for (unsigned int i = 0; i < FLIGHTS; i++)
            if (c->flights[i].pull == pull)
                c->flights[i].pull = NULL;
    }
    land_flight(c);
}

static int refused(struct xids_randomd_client *c, const struct randomd_header *h, uint64_t now)
{
    uint32_t code = get32(c->part + 16);
    uint32_t retry_ms = bounded_retry(get32(c->part + 20));
    const struct flight *f = head_flight(c);
    if (code == XIDS_RANDOMD_CODE_PROTOCOL || f == NULL || f->id != h->id)
        return -XEN_EBADMSG;
    /* Before its WELCOME the server's epoch is not yet ours to judge. */
    if (h->epoch != c->epoch && (f->kind != FOR_HELLO || c->welcomed))
        return -XEN_EBADMSG;
    if (f->kind == FOR_HELLO) {
        if (code == XIDS_RANDOMD_CODE_VERSION)
            return -XEN_EPERM;
        c->retry_ms = retry_ms;
        return 1;
    }
    /* We never ask for too much, nor before HELLO. */
    if (code == XIDS_RANDOMD_CODE_LENGTH || code == XIDS_RANDOMD_CODE_STATE || code == XIDS_RANDOMD_CODE_VERSION)
        return -XEN_EBADMSG;
    ask_again(c);
    c->retry_at = now + retry_ms * MS;
    return 0;
}

/*
 * Whoever says again and again that all is new keeps the grade at NONE, has the other servers asked until they refuse,
 * and leaves no time for anything else. It holds over channels: to come again is cheap, too.
 */
static bool too_many_epochs(struct xids_randomd_client *c, uint64_t now)
{
    if (c->epochs < now)
        c->epochs = now;
    c->epochs += EPOCH_EVERY;
    return c->epochs - now > EPOCHS_AT_ONCE * EPOCH_EVERY;
}

static int new_epoch(struct xids_randomd_client *c, const struct randomd_header *h, uint64_t now)
{
    uint8_t grade = c->part[16], reason = c->part[17];
    if (!c->welcomed || h->id != 0 || !fits_grade(h->epoch, grade) || (h->epoch != 0 && h->epoch == c->epoch) ||
        reason < XIDS_RANDOMD_REASON_READY || reason > XIDS_RANDOMD_REASON_RESTORED || !all_zero(c->part + 18, 6))
        return -XEN_EBADMSG;
    c->epoch = h->epoch;
    if (reason == XIDS_RANDOMD_REASON_RESTORED) {
        xids_entropy_doubt(c->entropy, c->config.server, now);
        c->doubts = xids_entropy_doubts(c->entropy);
        restart_pulls(c);
    }
    discard_seeds(c);
    c->retry_at = now;
    /* That it may be true counts all the same. */
    return too_many_epochs(c, now) ? -XEN_EBADMSG : 0;
}

static int farewell(struct xids_randomd_client *c, const struct randomd_header *h)
{
    if (h->id != 0 || h->epoch != c->epoch)
        return -XEN_EBADMSG;
    c->retry_ms = bounded_retry(get32(c->part + 20));
    return 1;
}

/* Checks a header as soon as it is there. */
static int check_header(struct xids_randomd_client *c)
{
    struct randomd_header h = get_header(c->part);
    const struct flight *f = head_flight(c);
    size_t want = 0;
    switch (h.type) {
    case XIDS_RANDOMD_SEED:
        want = SEED_LEN;
        break;
    case XIDS_RANDOMD_WELCOME:
        want = WELCOME_LEN;
        break;
    case XIDS_RANDOMD_ERR:
        want = ERR_LEN;
        break;
    case XIDS_RANDOMD_EPOCH:
        want = EPOCH_LEN;
        break;
    case XIDS_RANDOMD_BYE:
        want = BYE_LEN;
        break;
    case XIDS_RANDOMD_DATA:
        if (f == NULL || f->kind == FOR_HELLO || h.id != f->id || h.epoch != c->epoch || h.epoch == 0 || !c->welcomed)
            return -XEN_EBADMSG;
        want = XIDS_RANDOMD_HEADER + (size_t)f->len;
        break;
    default:
        break;
    }
    return want != 0 && h.len == want ? 0 : -XEN_EBADMSG;
}

/* A DATA is complete, its bytes are in their place. */
static void data_done(struct xids_randomd_client *c, uint64_t now)
{
    follow(c); /* what came before a copy is not given out */
    const struct flight *f = &c->flights[c->head];
    struct xids_randomd_pull *pull = f->pull;
    size_t end = f->offset + f->len;
    bool is_seed = f->kind == FOR_SEED && !f->discard;
    land_flight(c);
    if (is_seed) {
        xids_entropy_host(c->entropy, c->config.server, true, c->seed, now);
        uint64_t period = c->config.reseed_ns != 0 ? c->config.reseed_ns : c->reseed_ms * MS;
        c->seed_at = period != 0 && period < UINT64_MAX - now ? now + period : UINT64_MAX;
    }
    xids_wipe(c->seed, sizeof(c->seed));
    if (pull == NULL)
        return;
    pull->got = end;
    if (pull->got == pull->len) {
        unlink_pull(c, pull);
        complete(pull, 0);
    }
}

static int message_done(struct xids_randomd_client *c, uint64_t now)
{
    struct randomd_header h = get_header(c->part);
    int rc = 0;
    switch (h.type) {
    case XIDS_RANDOMD_SEED:
        rc = seed(c, &h, now);
        break;
    case XIDS_RANDOMD_WELCOME:
        rc = welcome(c, &h, now);
        break;
    case XIDS_RANDOMD_ERR:
        rc = refused(c, &h, now);
        break;
    case XIDS_RANDOMD_EPOCH:
        rc = new_epoch(c, &h, now);
        break;
    case XIDS_RANDOMD_BYE:
        rc = farewell(c, &h);
        break;
    default:
        data_done(c, now);
        break;
    }
    c->fresh = c->stale = false;
    c->have = 0;
    xids_wipe(c->part, sizeof(c->part));
    return rc;
}

/* Where the next bytes of the message at hand go; NULL: nowhere. Sets how many it takes. */
static uint8_t *place(struct xids_randomd_client *c, size_t *room)
{
    if (c->have < XIDS_RANDOMD_HEADER) {
        *room = XIDS_RANDOMD_HEADER - (size_t)c->have;
        return c->part + c->have;
    }
    struct randomd_header h = get_header(c->part);
    *room = (size_t)h.len - c->have;
    if (h.type != XIDS_RANDOMD_DATA)
        return c->part + c->have;
    const struct flight *f = &c->flights[c->head]; /* the header was checked to answer it */
    size_t at = (size_t)c->have - XIDS_RANDOMD_HEADER;
    if (f->kind == FOR_SEED)
        return c->seed + at;
    return f->pull != NULL ? f->pull->to + f->offset + at : NULL;
}

static int take(struct xids_randomd_client *c, struct xids_randomd_io *io, uint64_t now)
{
    while (io->in_used < io->in_len) {
        size_t room, n = io->in_len - io->in_used;
        uint8_t *to = place(c, &room);
        if (n > room)
            n = room;
        if (to != NULL)
            __builtin_memcpy(to, io->in + io->in_used, n);
        io->in_used += n;
        c->have = (uint16_t)(c->have + n);
        int rc = 0;
        if (c->have == XIDS_RANDOMD_HEADER)
            rc = check_header(c);
        if (rc == 0 && c->have >= XIDS_RANDOMD_HEADER && c->have == get16(c->part + 2))
            rc = message_done(c, now);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- out ---- */

static uint8_t *ask(struct xids_randomd_client *c, struct xids_randomd_io *io, unsigned int type, size_t len,
                    const struct flight *flight)
{
    struct flight *f = &c->flights[((unsigned int)c->head + c->flying) % FLIGHTS];
    uint8_t *at = io->out + io->out_len;
    *f = *flight;
    f->id = c->next_id++;
    c->flying++;
    put_header(at, type, len, f->id, 0);
    __builtin_memset(at + 16, 0, len - 16);
    io->out_len += len;
    return at;
}

static void say_hello(struct xids_randomd_client *c, struct xids_randomd_io *io, uint64_t now)
{
    struct xids_blake2s b;
    uint8_t own[16];
    uint8_t *at = ask(c, io, XIDS_RANDOMD_HELLO, HELLO_LEN, &(struct flight){.kind = FOR_HELLO});
    put16(at + 16, XIDS_RANDOMD_VERSION);
    put16(at + 18, XIDS_RANDOMD_VERSION);
    /* Each HELLO has a nonce of its own. It is public, so nothing of the generator goes into it. */
    put64(own, c->hellos++);
    put64(own + 8, now);
    if (xids_blake2s_init(&b, 32, c->config.nonce, sizeof(c->config.nonce)) == 0) {
        xids_blake2s_update(&b, own, sizeof(own));
        xids_blake2s_final(&b, at + 24);
    }
    __builtin_memcpy(at + 56, c->config.identity, sizeof(c->config.identity));
    c->want_hello = false;
}

static void say_get(struct xids_randomd_client *c, struct xids_randomd_io *io, const struct flight *f)
{
    uint8_t *at = ask(c, io, XIDS_RANDOMD_GET, GET_LEN, f);
    put32(at + 16, f->len);
}

static bool has_room(const struct xids_randomd_client *c, struct xids_randomd_io *io, size_t len)
{
    size_t left = io->out_room - io->out_len;
    if (c->flying == FLIGHTS)
        return false;
    if (left < len)
        io->wait = len - left;
    return left >= len;
}

static struct xids_randomd_pull *next_pull(const struct xids_randomd_client *c)
{
    struct xids_randomd_pull *p = c->first;
    while (p != NULL && p->asked == p->len)
        p = p->next;
    return p;
}

static void give(struct xids_randomd_client *c, struct xids_randomd_io *io, uint64_t now)
{
    if (c->want_hello && has_room(c, io, HELLO_LEN))
        say_hello(c, io, now);
    if (now >= c->seed_at) {
        c->want_seed = true;
        c->seed_at = UINT64_MAX;
    }
    c->held = now < c->retry_at && (c->want_seed || next_pull(c) != NULL);
    if (c->want_hello || now < c->retry_at)
        return;
    if (c->want_seed && has_room(c, io, GET_LEN)) {
        say_get(c, io, &(struct flight){.kind = FOR_SEED, .len = (uint16_t)XIDS_RANDOMD_SEED_BYTES});
        c->want_seed = false;
    }
    struct xids_randomd_pull *p;
    while (c->welcomed && (p = next_pull(c)) != NULL && has_room(c, io, GET_LEN)) {
        size_t len = p->len - p->asked < c->get_max ? p->len - p->asked : c->get_max;
        say_get(c, io, &(struct flight){.kind = FOR_PULL, .pull = p, .offset = p->asked, .len = (uint16_t)len});
        p->asked += len;
    }
}

int xids_randomd_client_step(struct xids_randomd_client *c, struct xids_randomd_io *io, uint64_t now)
{
    io->in_used = io->out_len = io->wait = 0;
    if (!c->connected)
        return c->error;
    follow(c);
    if (c->error == 0)
        c->error = take(c, io, now);
    if (c->error == 0)
        give(c, io, now);
    else
        drop_session(c);
    return c->error;
}

uint64_t xids_randomd_client_deadline(const struct xids_randomd_client *c)
{
    if (!c->connected || c->error != 0)
        return UINT64_MAX;
    return c->held && c->retry_at < c->seed_at ? c->retry_at : c->seed_at;
}

uint32_t xids_randomd_client_retry_ms(const struct xids_randomd_client *c)
{
    return c->retry_ms;
}
