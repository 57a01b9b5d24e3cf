/* SPDX-License-Identifier: ISC */
/* The server's end of the console protocol: the greeting in, the response and a guest's own stream of bytes out. */
#include <xids/bytering.h>
#include <xids/randomd_legacy.h>

#include "randomd/wire.h"

#define RESEED_NS 60000000000ull
#define RESEED_BYTES (1ull << 20)
#define FRESH_BYTES 64u
#define GREETING_LEN (sizeof(XIDS_RANDOMD_LEGACY_GREETING) - 1)
#define RESPONSE_LEN (sizeof(XIDS_RANDOMD_LEGACY_RESPONSE) - 1)

_Static_assert(RESPONSE_LEN <= XIDS_RANDOMD_LEGACY_AHEAD, "the response is part of what may lie unread");

struct xids_randomd_legacy {
    struct xids_rng rng;
    int (*source)(void *ctx, uint8_t *buf, size_t len);
    void *source_ctx;
    uint64_t reseed_ns, reseed_bytes;
    uint64_t reseeded_at;
    uint64_t made;                   /* bytes of output since then */
    struct xids_bytering hear, tell; /* the guest's output, of which we are the reader; its input */
    uint32_t wiped;                  /* what the guest took before this index of tell's is zeroed */
    struct xids_randomd_legacy_stats stats;
    uint8_t matched; /* bytes of the greeting, so far */
    bool seeded, greeted, attached;
};

size_t xids_randomd_legacy_size(void)
{
    return sizeof(struct xids_randomd_legacy);
}

int xids_randomd_legacy_init(struct xids_randomd_legacy **legacy, void *mem, size_t size,
                             const struct xids_randomd_session_config *config)
{
    struct xids_randomd_legacy *l = mem;
    if (mem == NULL || size < sizeof(*l) || (uintptr_t)mem % _Alignof(struct xids_randomd_legacy) != 0 ||
        config->source == NULL)
        return -XEN_EINVAL;
    __builtin_memset(l, 0, sizeof(*l));
    l->source = config->source;
    l->source_ctx = config->source_ctx;
    l->reseed_ns = config->reseed_ns != 0 ? config->reseed_ns : RESEED_NS;
    l->reseed_bytes = config->reseed_bytes != 0 ? config->reseed_bytes : RESEED_BYTES;
    xids_rng_init(&l->rng);
    if (config->who_len > 0)
        xids_rng_mix(&l->rng, TAG_WHO, config->who, config->who_len);
    *legacy = l;
    return 0;
}

void xids_randomd_legacy_fini(struct xids_randomd_legacy *l)
{
    if (l == NULL)
        return;
    xids_randomd_legacy_detach(l, false);
    xids_wipe(l, sizeof(*l));
}

/* ---- the page ---- */

/* Zeroes len bytes from an index on, at most all of the buffer. */
static void wipe_from(const struct xids_bytering *r, uint32_t index, uint32_t len)
{
    uint32_t at = index & (r->at.size - 1u);
    uint32_t first = len < r->at.size - at ? len : r->at.size - at;
    xids_peer_wipe(r->at.buffer + at, first);
    xids_peer_wipe(r->at.buffer, len - first);
}

static void match(struct xids_randomd_legacy *l, uint8_t byte)
{
    static const char greeting[] = XIDS_RANDOMD_LEGACY_GREETING;
    /* The first letter is in it once only: after a byte that does not fit, no more than this one can be a beginning. */
    if (byte != (uint8_t)greeting[l->matched])
        l->matched = 0;
    if (byte == (uint8_t)greeting[l->matched])
        l->matched++;
}

/* A server before us can have taken a part of the greeting: it is still there, before our index. */
static void match_earlier(struct xids_randomd_legacy *l)
{
    uint8_t earlier[GREETING_LEN - 1];
    uint32_t from = l->hear.own - (uint32_t)sizeof(earlier);
    l->matched = 0;
    for (uint32_t i = 0; i < sizeof(earlier); i++)
        earlier[i] = xids_peer_load8(l->hear.at.buffer + ((from + i) & (l->hear.at.size - 1u)));
    for (uint32_t i = 0; i < sizeof(earlier); i++)
        match(l, earlier[i]);
    xids_wipe(earlier, sizeof(earlier));
}

int xids_randomd_legacy_attach(struct xids_randomd_legacy *l, void XIDS_PEER *page)
{
    const struct xids_bytering_layout out = xids_bytering_console_output(page), in = xids_bytering_console_input(page);
    xids_randomd_legacy_detach(l, false);
    int rc = xids_bytering_attach(&l->hear, &out, false);
    if (rc == 0)
        rc = xids_bytering_attach(&l->tell, &in, true);
    if (rc < 0)
        return rc;
    l->attached = true;
    l->greeted = l->tell.own != 0;
    match_earlier(l);
    l->wiped = l->tell.peer;
    wipe_from(&l->tell, l->tell.own, xids_bytering_known(&l->tell));
    return 0;
}

void xids_randomd_legacy_detach(struct xids_randomd_legacy *l, bool gone)
{
    if (!l->attached)
        return;
    l->attached = false;
    /* A guest that reads on can have taken more; and what it says is not to be heeded beyond what we gave. */
    if (gone)
        wipe_from(&l->tell, 0, l->tell.at.size);
    else if (xids_bytering_look(&l->tell) >= 0)
        wipe_from(&l->tell, l->wiped, l->tell.peer - l->wiped);
}

/* ---- what the guest says ---- */

/* An honest guest's ring is empty at that time, so that the response is whole. */
static int respond(struct xids_randomd_legacy *l)
{
    int rc = xids_bytering_write(&l->tell, XIDS_RANDOMD_LEGACY_RESPONSE, RESPONSE_LEN);
    if (rc < 0)
        return rc;
    l->greeted = true;
    l->stats.greetings++;
    return 0;
}

/* Takes all that the guest has written, and sees whether the greeting is in it. */
static int hear(struct xids_randomd_legacy *l)
{
    const uint8_t XIDS_PEER *span = NULL;
    int n = xids_bytering_look(&l->hear);
    if (n < 0)
        return n;
    l->stats.discarded += (uint32_t)n;
    /* At most the buffer's size in two spans, however fast the guest goes on to write: there is no second look. */
    for (int part = 0; part < 2; part++) {
        n = xids_bytering_peek(&l->hear, &span, 0);
        for (int i = 0; i < n && !l->greeted; i++) {
            match(l, xids_peer_load8(span + i));
            if (l->matched < GREETING_LEN)
                continue;
            l->stats.discarded -= GREETING_LEN;
            int rc = respond(l);
            if (rc < 0)
                return rc;
        }
        if (n > 0)
            n = xids_bytering_consume(&l->hear, (uint32_t)n);
        if (n < 0)
            return n;
    }
    return 0;
}

/* ---- what it is told ---- */

static int freshen(struct xids_randomd_legacy *l, uint64_t now)
{
    uint8_t fresh[FRESH_BYTES];
    if (l->seeded && now - l->reseeded_at < l->reseed_ns && l->made < l->reseed_bytes)
        return 0;
    int rc = l->source(l->source_ctx, fresh, sizeof(fresh));
    if (rc == 0) {
        xids_rng_mix(&l->rng, TAG_FRESH, fresh, sizeof(fresh));
        l->seeded = true;
        l->reseeded_at = now;
        l->made = 0;
        l->stats.reseeds++;
    }
    xids_wipe(fresh, sizeof(fresh));
    return rc == 0 ? 0 : -XEN_EAGAIN;
}

/* How many bytes are missing to what may lie unread. 0 is the index that says that there was no response yet. */
static uint32_t missing(const struct xids_randomd_legacy *l)
{
    uint32_t unread = l->tell.own - l->tell.peer;
    if (!l->greeted || unread >= XIDS_RANDOMD_LEGACY_AHEAD)
        return 0;
    uint32_t n = XIDS_RANDOMD_LEGACY_AHEAD - unread;
    return l->tell.own + n != 0 ? n : n - 1u;
}

static int tell(struct xids_randomd_legacy *l, uint64_t now)
{
    uint8_t bytes[XIDS_RANDOMD_LEGACY_AHEAD];
    uint32_t n = missing(l);
    if (n == 0)
        return 0;
    int rc = freshen(l, now);
    if (rc < 0)
        return rc;
    xids_rng_fill(&l->rng, bytes, n);
    rc = xids_bytering_write(&l->tell, bytes, n);
    xids_wipe(bytes, sizeof(bytes));
    if (rc < 0)
        return rc;
    l->made += n;
    l->stats.bytes += n;
    return 0;
}

int xids_randomd_legacy_serve(struct xids_randomd_legacy *l, uint64_t now)
{
    if (!l->attached)
        return -XEN_ENOTCONN;
    int rc = xids_bytering_look(&l->tell);
    if (rc < 0)
        return rc;
    wipe_from(&l->tell, l->wiped, l->tell.peer - l->wiped);
    l->wiped = l->tell.peer;
    rc = hear(l);
    if (rc < 0)
        return rc;
    int told = tell(l, now);
    if (told < 0 && told != -XEN_EAGAIN)
        return told;
    /* The answer first: who finds the greeting taken must find the response, too. */
    bool changed = xids_bytering_publish(&l->tell);
    changed = xids_bytering_publish(&l->hear) || changed;
    return told < 0 ? told : changed ? 1 : 0;
}

bool xids_randomd_legacy_greeted(const struct xids_randomd_legacy *l)
{
    return l->attached && l->greeted;
}

void xids_randomd_legacy_stats(const struct xids_randomd_legacy *l, struct xids_randomd_legacy_stats *stats)
{
    *stats = l->stats;
}
