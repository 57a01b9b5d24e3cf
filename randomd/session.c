/* SPDX-License-Identifier: ISC */
/* The server's end of the entropy protocol: one guest's requests in, answers out of its own generator. */
#include "randomd/wire.h"

#define RESEED_NS 60000000000ull
#define RESEED_BYTES (1u << 20)
#define FRESH_BYTES 64u
#define NOT_READY_RETRY_MS 100u
#define INTERNAL_RETRY_MS 1000u

/* One for each guest, of which there may be thousands: sizes are chosen. */
struct xids_randomd_session {
    struct xids_rng rng;
    uint8_t who[XIDS_BLAKE2S_OUT];
    int (*source)(void *ctx, uint8_t *buf, size_t len);
    void *source_ctx;
    bool (*unseen)(void *ctx, const uint8_t *bytes, size_t len, bool first);
    void *unseen_ctx;
    uint64_t reseed_ns;
    uint64_t reseeded_at;
    uint64_t epoch;       /* 0: not ready, the generator has no secret */
    uint64_t sent;        /* bytes given to the channel */
    uint64_t gets, bytes; /* of the statistics */
    uint32_t reseed_bytes;
    uint32_t made;                           /* bytes of output since then */
    uint32_t ends[XIDS_RANDOMD_OUTSTANDING]; /* where in the count of sent the last answers end, modulo 2^32 */
    uint32_t hellos, errors, reseeds, busy;
    uint16_t bye_retry_ms;
    int16_t error;           /* 0, 1 when over, or -XEN_EBADMSG */
    uint8_t part[HELLO_LEN]; /* the message that is coming in, or waits for room to be answered */
    uint8_t have;
    uint8_t bye_code;
    uint8_t announce; /* an EPOCH is due, for this reason; 0: none */
    bool open;        /* there was a HELLO */
    bool started;     /* too late for a boot seed */
    bool bye;
};

size_t xids_randomd_session_size(void)
{
    return sizeof(struct xids_randomd_session);
}

/* Mixes fresh bytes of the source in. On failure the generator is as before. */
static int freshen(struct xids_randomd_session *s, uint64_t now)
{
    uint8_t fresh[FRESH_BYTES];
    int rc = s->source(s->source_ctx, fresh, sizeof(fresh));
    if (rc == 0) {
        xids_rng_mix(&s->rng, TAG_FRESH, fresh, sizeof(fresh));
        s->reseeded_at = now;
        s->made = 0;
        s->reseeds++;
    }
    xids_wipe(fresh, sizeof(fresh));
    return rc > 0 ? -XEN_EIO : rc;
}

static void blank(struct xids_randomd_session *s)
{
    xids_rng_init(&s->rng);
    xids_rng_mix(&s->rng, TAG_WHO, s->who, sizeof(s->who));
    s->epoch = 0;
}

/* Fresh bytes and a new epoch, on top of what has been mixed. On failure: not ready, and no output until it succeeds.
 */
static int begin_epoch(struct xids_randomd_session *s, uint64_t now)
{
    uint8_t name[8];
    s->epoch = 0;
    int rc = freshen(s, now);
    if (rc < 0)
        return rc;
    xids_rng_fill(&s->rng, name, sizeof(name));
    s->epoch = get64(name);
    if (s->epoch == 0)
        s->epoch = 1;
    return 0;
}

static int renew(struct xids_randomd_session *s, enum xids_randomd_reason reason, uint64_t now)
{
    blank(s);
    int rc = begin_epoch(s, now);
    /* A guest that was restored must hear so, whatever else happened before it was told. */
    if (s->announce != XIDS_RANDOMD_REASON_RESTORED)
        s->announce = (uint8_t)reason;
    return rc;
}

/* who becomes the hash of itself and data: it names the guest and all that its HELLOs said. */
static void rename_guest(struct xids_randomd_session *s, const void *data, size_t len)
{
    struct xids_blake2s b;
    if (xids_blake2s_init(&b, sizeof(s->who), s->who, sizeof(s->who)) != 0)
        return; /* the lengths are constants within the bounds */
    if (len > 0)
        xids_blake2s_update(&b, data, len);
    xids_blake2s_final(&b, s->who);
}

int xids_randomd_session_init(struct xids_randomd_session **session, void *mem, size_t size,
                              const struct xids_randomd_session_config *config, uint64_t now)
{
    struct xids_randomd_session *s = mem;
    if (mem == NULL || size < sizeof(*s) || (uintptr_t)mem % _Alignof(struct xids_randomd_session) != 0 ||
        config->source == NULL)
        return -XEN_EINVAL;
    __builtin_memset(s, 0, sizeof(*s));
    s->source = config->source;
    s->source_ctx = config->source_ctx;
    s->unseen = config->unseen;
    s->unseen_ctx = config->unseen_ctx;
    s->reseed_ns = config->reseed_ns != 0 ? config->reseed_ns : RESEED_NS;
    uint64_t reseed_bytes = config->reseed_bytes != 0 ? config->reseed_bytes : RESEED_BYTES;
    s->reseed_bytes = reseed_bytes < UINT32_MAX / 2 ? (uint32_t)reseed_bytes : UINT32_MAX / 2;
    rename_guest(s, config->who, config->who_len);
    blank(s);
    (void)begin_epoch(s, now); /* not ready is a state, not an error */
    *session = s;
    return 0;
}

void xids_randomd_session_fini(struct xids_randomd_session *s)
{
    if (s != NULL)
        xids_wipe(s, sizeof(*s));
}

/* Output, of which nobody has had the same. False: it was wiped. */
static bool fill_unseen(struct xids_randomd_session *s, uint8_t *out, size_t len)
{
    xids_rng_fill(&s->rng, out, len);
    if (s->unseen != NULL && !s->unseen(s->unseen_ctx, out, len, s->made == 0)) {
        xids_wipe(out, len);
        return false;
    }
    s->made += (uint32_t)len;
    s->bytes += len;
    return true;
}

int xids_randomd_session_prefill(struct xids_randomd_session *s, uint8_t *out, size_t room, uint64_t now)
{
    if (s->started || room < SEED_LEN)
        return -XEN_EINVAL;
    if (s->epoch == 0 && begin_epoch(s, now) < 0)
        return 0;
    /* A seed that was given out before: one more attempt with a new generator, then the guest has to ask. */
    if (!fill_unseen(s, out + 32, XIDS_RANDOMD_SEED_BYTES)) {
        blank(s);
        if (begin_epoch(s, now) < 0)
            return 0;
        if (!fill_unseen(s, out + 32, XIDS_RANDOMD_SEED_BYTES)) {
            blank(s);
            return 0;
        }
    }
    put_header(out, XIDS_RANDOMD_SEED, SEED_LEN, 0, s->epoch);
    __builtin_memcpy(out + 16, SEED_MAGIC, 8);
    put16(out + 24, XIDS_RANDOMD_VERSION);
    out[26] = XIDS_RANDOMD_GRADE_HOST;
    __builtin_memset(out + 27, 0, 5);
    s->started = true;
    s->sent += SEED_LEN;
    return (int)SEED_LEN;
}

/* ---- out ---- */

static uint8_t *emit(struct xids_randomd_session *s, struct xids_randomd_io *io, unsigned int type, size_t len,
                     uint32_t id)
{
    uint8_t *at = io->out + io->out_len;
    put_header(at, type, len, id, s->epoch);
    __builtin_memset(at + 16, 0, len - 16);
    io->out_len += len;
    s->sent += len;
    return at;
}

static void answered(struct xids_randomd_session *s)
{
    for (unsigned int i = 0; i + 1 < XIDS_RANDOMD_OUTSTANDING; i++)
        s->ends[i] = s->ends[i + 1];
    s->ends[XIDS_RANDOMD_OUTSTANDING - 1] = (uint32_t)s->sent;
}

static bool has_room(const struct xids_randomd_io *io, size_t len)
{
    return io->out_room - io->out_len >= len;
}

static void err(struct xids_randomd_session *s, struct xids_randomd_io *io, uint32_t id, uint32_t code,
                uint32_t retry_ms)
{
    uint8_t *at = emit(s, io, XIDS_RANDOMD_ERR, ERR_LEN, id);
    put32(at + 16, code);
    put32(at + 20, retry_ms);
    s->errors++;
    answered(s);
}

static void err_for(struct xids_randomd_session *s, struct xids_randomd_io *io, uint32_t id, int rc)
{
    if (rc == -XEN_EAGAIN)
        err(s, io, id, XIDS_RANDOMD_CODE_NOT_READY, NOT_READY_RETRY_MS);
    else
        err(s, io, id, XIDS_RANDOMD_CODE_INTERNAL, INTERNAL_RETRY_MS);
}

static void say_epoch(struct xids_randomd_session *s, struct xids_randomd_io *io)
{
    uint8_t *at = emit(s, io, XIDS_RANDOMD_EPOCH, EPOCH_LEN, 0);
    at[16] = s->epoch != 0 ? XIDS_RANDOMD_GRADE_HOST : XIDS_RANDOMD_GRADE_NONE;
    at[17] = s->announce;
    s->announce = 0;
}

/* The session is at its end: nothing of it is needed any more. */
static void finish(struct xids_randomd_session *s, int how)
{
    s->error = (int16_t)how;
    xids_rng_wipe(&s->rng);
    xids_wipe(s->part, sizeof(s->part));
    s->epoch = 0;
}

static void violation(struct xids_randomd_session *s, struct xids_randomd_io *io)
{
    if (has_room(io, ERR_LEN))
        err(s, io, 0, XIDS_RANDOMD_CODE_PROTOCOL, 0);
    finish(s, -XEN_EBADMSG);
}

/* ---- in ---- */

static void hello(struct xids_randomd_session *s, struct xids_randomd_io *io, const struct randomd_header *h,
                  uint64_t now)
{
    const uint8_t *body = s->part + 16;
    unsigned int lowest = get16(body), highest = get16(body + 2);
    if (lowest > highest || !all_zero(body + 4, 4)) {
        violation(s, io);
        return;
    }
    s->hellos++;
    if (XIDS_RANDOMD_VERSION < lowest || XIDS_RANDOMD_VERSION > highest) {
        err(s, io, h->id, XIDS_RANDOMD_CODE_VERSION, 0);
        finish(s, 1);
        return;
    }
    /* The first HELLO goes on in the epoch of the boot seed; a later one means that the old generator is not to be
     * used. */
    uint64_t keep = s->open ? 0 : s->epoch;
    io->cost += XIDS_RANDOMD_COST_HELLO;
    rename_guest(s, body + 8, 48);
    if (s->open)
        blank(s);
    else
        xids_rng_mix(&s->rng, TAG_WHO, s->who, sizeof(s->who));
    if (begin_epoch(s, now) == 0 && keep != 0)
        s->epoch = keep;
    s->open = true;
    bool restored = s->announce == XIDS_RANDOMD_REASON_RESTORED;
    s->announce = 0;
    uint8_t *at = emit(s, io, XIDS_RANDOMD_WELCOME, WELCOME_LEN, h->id);
    put16(at + 16, XIDS_RANDOMD_VERSION);
    at[18] = s->epoch != 0 ? XIDS_RANDOMD_GRADE_HOST : XIDS_RANDOMD_GRADE_NONE;
    put32(at + 20, XIDS_RANDOMD_GET_MAX);
    put32(at + 24, XIDS_RANDOMD_OUTSTANDING);
    put32(at + 28, (uint32_t)(RESEED_NS / 1000000u));
    answered(s);
    /* Before it was open it could not be told, and may live by its boot seed: so there is one more epoch to tell of. */
    if (restored)
        (void)renew(s, XIDS_RANDOMD_REASON_RESTORED, now); /* not ready is a state */
}

static void get(struct xids_randomd_session *s, struct xids_randomd_io *io, const struct randomd_header *h,
                uint64_t now)
{
    uint32_t len = get32(s->part + 16);
    int rc = 0;
    if (!all_zero(s->part + 20, 4)) {
        violation(s, io);
        return;
    }
    s->gets++;
    if (!s->open) {
        err(s, io, h->id, XIDS_RANDOMD_CODE_STATE, 0);
        return;
    }
    if (len == 0 || len > XIDS_RANDOMD_GET_MAX) {
        err(s, io, h->id, XIDS_RANDOMD_CODE_LENGTH, 0);
        return;
    }
    if (io->busy_ms != 0) {
        err(s, io, h->id, XIDS_RANDOMD_CODE_BUSY, io->busy_ms);
        s->busy++;
        return;
    }
    if (s->epoch == 0) {
        rc = begin_epoch(s, now);
        if (rc == 0) {
            s->announce = XIDS_RANDOMD_REASON_READY;
            say_epoch(s, io);
        }
    } else if (s->made >= s->reseed_bytes || now - s->reseeded_at >= s->reseed_ns) {
        rc = freshen(s, now);
    }
    if (rc < 0) {
        err_for(s, io, h->id, rc);
        return;
    }
    /* Not through emit: the body is written once, by the generator. */
    uint8_t *at = io->out + io->out_len;
    if (!fill_unseen(s, at + XIDS_RANDOMD_HEADER, len)) {
        /* In the old epoch: the client hears of the new one after it. */
        err(s, io, h->id, XIDS_RANDOMD_CODE_INTERNAL, INTERNAL_RETRY_MS);
        (void)renew(s, XIDS_RANDOMD_REASON_RESEED, now); /* not ready is a state */
        return;
    }
    put_header(at, XIDS_RANDOMD_DATA, XIDS_RANDOMD_HEADER + len, h->id, s->epoch);
    io->out_len += XIDS_RANDOMD_HEADER + len;
    s->sent += XIDS_RANDOMD_HEADER + len;
    io->cost += len;
    answered(s);
}

/* The length that a client's message of this type has, 0: there is no such type. */
static size_t length_of(unsigned int type)
{
    switch (type) {
    case XIDS_RANDOMD_HELLO:
        return HELLO_LEN;
    case XIDS_RANDOMD_GET:
        return GET_LEN;
    case XIDS_RANDOMD_CLIENT_BYE:
        return CLIENT_BYE_LEN;
    default:
        return 0;
    }
}

/* Takes bytes up to the end of one message. True when it is complete; a wrong header breaks the session at once. */
static bool take(struct xids_randomd_session *s, struct xids_randomd_io *io)
{
    for (;;) {
        size_t want = s->have < XIDS_RANDOMD_HEADER ? XIDS_RANDOMD_HEADER : get16(s->part + 2);
        if (s->have >= XIDS_RANDOMD_HEADER && s->have == want)
            return true;
        size_t there = io->in_len - io->in_used, n = want - s->have;
        if (there == 0)
            return false;
        if (n > there)
            n = there;
        __builtin_memcpy(s->part + s->have, io->in + io->in_used, n);
        io->in_used += n;
        s->have = (uint8_t)(s->have + n);
        if (s->have == XIDS_RANDOMD_HEADER) {
            struct randomd_header h = get_header(s->part);
            if (length_of(h.type) == 0 || h.len != length_of(h.type) || h.epoch != 0 ||
                (h.type == XIDS_RANDOMD_CLIENT_BYE && h.id != 0)) {
                violation(s, io);
                return false;
            }
        }
    }
}

/* The most that answering the message at hand can put out. */
static size_t answer_room(const struct xids_randomd_session *s, const struct randomd_header *h)
{
    if (h->type == XIDS_RANDOMD_HELLO)
        return WELCOME_LEN;
    if (h->type != XIDS_RANDOMD_GET)
        return 0;
    uint32_t len = get32(s->part + 16);
    size_t data = len <= XIDS_RANDOMD_GET_MAX ? XIDS_RANDOMD_HEADER + len : 0;
    if (data < ERR_LEN)
        data = ERR_LEN;
    return data + (s->epoch == 0 ? EPOCH_LEN : 0);
}

/* Whether room bytes can go out now, as an answer. Else says for how much consumption to wait. */
static bool may_answer(const struct xids_randomd_session *s, struct xids_randomd_io *io, size_t room)
{
    /* What this call has put out is unread too. */
    uint64_t unread = (uint64_t)io->unread + io->out_len;
    uint64_t consumed = unread < s->sent ? s->sent - unread : 0;
    size_t left = io->out_room - io->out_len;
    if (room > left)
        io->wait = room - left;
    /* ends[0] is the oldest of the last answers: while it is unread, all of them are. */
    uint32_t ahead = s->ends[0] - (uint32_t)consumed;
    if (ahead < UINT32_MAX / 2 && ahead > io->wait)
        io->wait = ahead;
    return io->wait == 0;
}

int xids_randomd_session_step(struct xids_randomd_session *s, struct xids_randomd_io *io, uint64_t now)
{
    io->in_used = io->out_len = io->wait = 0;
    io->cost = 0;
    s->started = true;
    while (s->error == 0) {
        if (s->bye) {
            if (has_room(io, BYE_LEN)) {
                uint8_t *at = emit(s, io, XIDS_RANDOMD_BYE, BYE_LEN, 0);
                put32(at + 16, s->bye_code);
                put32(at + 20, s->bye_retry_ms);
            }
            finish(s, 1);
            break;
        }
        /* Answers carry the epoch: the guest must hear of a new one first. */
        if (s->announce != 0 && s->open) {
            if (!has_room(io, EPOCH_LEN)) {
                io->wait = EPOCH_LEN - (io->out_room - io->out_len);
                break;
            }
            say_epoch(s, io);
        }
        /* The rest waits where it is. */
        if (io->limit != 0 && io->cost >= io->limit)
            break;
        if (!take(s, io))
            break;
        struct randomd_header h = get_header(s->part);
        if (io->busy_ms != 0 && h.type == XIDS_RANDOMD_HELLO)
            break;
        if (!may_answer(s, io, answer_room(s, &h)))
            break;
        io->cost += XIDS_RANDOMD_COST_REQUEST;
        if (h.type == XIDS_RANDOMD_HELLO)
            hello(s, io, &h, now);
        else if (h.type == XIDS_RANDOMD_GET)
            get(s, io, &h, now);
        else
            finish(s, 1);
        s->have = 0;
        xids_wipe(s->part, sizeof(s->part));
    }
    return s->error;
}

int xids_randomd_session_renew(struct xids_randomd_session *s, enum xids_randomd_reason reason, uint64_t now)
{
    if (s->error != 0)
        return s->error < 0 ? s->error : -XEN_EINVAL;
    return renew(s, reason, now);
}

void xids_randomd_session_bye(struct xids_randomd_session *s, uint32_t code, uint32_t retry_ms)
{
    s->bye = true;
    s->bye_code = (uint8_t)code;
    s->bye_retry_ms = (uint16_t)(retry_ms < XIDS_RANDOMD_RETRY_MAX_MS ? retry_ms : XIDS_RANDOMD_RETRY_MAX_MS);
}

bool xids_randomd_session_ready(const struct xids_randomd_session *s)
{
    return s->epoch != 0;
}

uint64_t xids_randomd_session_epoch(const struct xids_randomd_session *s)
{
    return s->epoch;
}

void xids_randomd_session_stats(const struct xids_randomd_session *s, struct xids_randomd_session_stats *stats)
{
    *stats = (struct xids_randomd_session_stats){.hellos = s->hellos,
                                                 .gets = s->gets,
                                                 .bytes = s->bytes,
                                                 .errors = s->errors,
                                                 .reseeds = s->reseeds,
                                                 .busy = s->busy};
}
