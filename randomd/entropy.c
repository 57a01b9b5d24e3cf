/* SPDX-License-Identifier: ISC */
/*
 * The guest's generator and its grade. All input goes through a hash keyed with what was there, so the order does not
 * matter and no input can undo another; what each is worth is kept beside the key.
 */
#include <xids/entropy.h>

#include "randomd/wire.h"

#define MS 1000000ull

/* How long HOST waits after a doubt for the servers that were in it before, and how often it does so. */
#define DOUBT_PATIENCE (100u * MS)
#define DOUBT_AGAIN (1000u * MS)

/* How often one output is made anew because memory was copied meanwhile: once is rare. */
#define COPIES_AT_ONCE 8u

static uint8_t tag_of(enum randomd_tag tag, unsigned int server)
{
    return (uint8_t)((unsigned int)tag + TAG_SERVER * server);
}

static uint8_t bit_of(unsigned int server)
{
    return (uint8_t)(1u << server);
}

#define PAGE_BIT ((uint8_t)(1u << XIDS_ENTROPY_SERVERS))

static void at(struct xids_entropy *e, uint64_t now)
{
    if (now > e->now)
        e->now = now;
}

/* ---- the grade ---- */

/* HOST is not taken back by a server that is expected later; only forgetting and doubt do that. */
static void settle(struct xids_entropy *e)
{
    bool waits = (e->expected & (uint8_t)~e->given) != 0 && e->now < e->patience;
    if (e->given != 0 && (e->grade == XIDS_RANDOMD_GRADE_HOST || !waits))
        e->grade = XIDS_RANDOMD_GRADE_HOST;
    else
        e->grade = e->local ? XIDS_RANDOMD_GRADE_LOCAL : XIDS_RANDOMD_GRADE_NONE;
}

static void nothing_counts(struct xids_entropy *e)
{
    e->given = 0;
    e->local = false;
    e->pool_bits = 0;
    e->grade = XIDS_RANDOMD_GRADE_NONE;
}

static void blank(struct xids_entropy *e)
{
    xids_rng_init(&e->rng);
    xids_rng_init(&e->pool);
    xids_rng_mix(&e->rng, TAG_NONCE, e->config.nonce, sizeof(e->config.nonce));
    xids_rng_mix(&e->rng, TAG_IDENTITY, e->config.identity, sizeof(e->config.identity));
    nothing_counts(e);
    e->gathered = false;
    e->expected = 0;
    e->patience = 0;
}

/* ---- life ---- */

void xids_entropy_init(struct xids_entropy *e, const struct xids_entropy_config *config, uint64_t now)
{
    __builtin_memset(e, 0, sizeof(*e));
    e->config = *config;
    e->now = now;
    e->doubted_at = UINT64_MAX;
    blank(e);
}

void xids_entropy_wipe(struct xids_entropy *e)
{
    xids_wipe(e, sizeof(*e));
}

void xids_entropy_forget(struct xids_entropy *e)
{
    struct xids_reseed_fresh fresh;
    blank(e);
    e->copies++;
    /* An image that is being made must not hold what lies in the page, nor may both live by it. */
    (void)!xids_reseed_take(&e->reseed, &fresh);
    xids_wipe(&fresh, sizeof(fresh));
}

/* ---- copies of memory ---- */

void xids_entropy_reseed_page(struct xids_entropy *e, void *page)
{
    xids_reseed_init(&e->reseed, page);
}

bool xids_entropy_look(struct xids_entropy *e)
{
    struct xids_reseed_fresh fresh;
    if (!xids_reseed_due(&e->reseed))
        return false;
    int rc = xids_reseed_take(&e->reseed, &fresh);
    blank(e);
    e->copies++;
    /* Even without a seed the generation makes copies differ. */
    xids_rng_mix(&e->rng, TAG_PAGE, &fresh, sizeof(fresh));
    xids_wipe(&fresh, sizeof(fresh));
    if (rc == 1) {
        e->given = PAGE_BIT;
        e->page_at = e->now;
        settle(e);
    }
    return true;
}

uint32_t xids_entropy_copies(const struct xids_entropy *e)
{
    return e->copies;
}

uint32_t xids_entropy_doubts(const struct xids_entropy *e)
{
    return e->doubts;
}

/* ---- input ---- */

/* What the pool gives away is a hash of it, and what it was credited with is spent. */
static void pour(struct xids_entropy *e)
{
    uint8_t drawn[XIDS_RNG_KEY];
    xids_rng_fill(&e->pool, drawn, sizeof(drawn));
    xids_rng_mix(&e->rng, TAG_POOL, drawn, sizeof(drawn));
    xids_wipe(drawn, sizeof(drawn));
    e->pool_bits = 0;
    e->gathered = false;
}

void xids_entropy_local(struct xids_entropy *e, const void *data, size_t len, unsigned int bits, uint64_t now)
{
    at(e, now);
    /* What was gathered before the copy, every copy has. */
    if (xids_entropy_look(e))
        bits = 0;
    xids_rng_mix(&e->pool, TAG_LOCAL, data, len);
    e->gathered = true;
    e->pool_bits = (uint16_t)(e->pool_bits + (bits < XIDS_ENTROPY_FULL_BITS ? bits : XIDS_ENTROPY_FULL_BITS));
    if (e->pool_bits < XIDS_ENTROPY_FULL_BITS)
        return;
    pour(e);
    e->local = true;
    e->local_at = e->now;
    settle(e);
}

void xids_entropy_discredit(struct xids_entropy *e, bool enough)
{
    e->pool_bits = 0;
    e->local = e->local && enough;
    settle(e);
}

void xids_entropy_salt(struct xids_entropy *e, const void *data, size_t len)
{
    (void)xids_entropy_look(e);
    xids_rng_mix(&e->rng, TAG_SALT, data, len);
}

void xids_entropy_host(struct xids_entropy *e, unsigned int server, bool asked, const uint8_t bytes[48], uint64_t now)
{
    if (server >= XIDS_ENTROPY_SERVERS)
        return;
    at(e, now);
    /* What came before the copy, every copy has. */
    if (xids_entropy_look(e))
        return;
    /* Nothing has been given out of it yet: what little there is of local bytes is worth the most now. */
    if (e->grade == XIDS_RANDOMD_GRADE_NONE && e->gathered)
        pour(e);
    xids_rng_mix(&e->rng, tag_of(asked ? TAG_DATA : TAG_SEED, server), bytes, XIDS_RANDOMD_SEED_BYTES);
    e->given |= bit_of(server);
    e->host_at[server] = e->now;
    settle(e);
}

void xids_entropy_session(struct xids_entropy *e, unsigned int server, uint64_t epoch)
{
    uint8_t name[8];
    if (server >= XIDS_ENTROPY_SERVERS)
        return;
    (void)xids_entropy_look(e);
    put64(name, epoch);
    xids_rng_mix(&e->rng, tag_of(TAG_EPOCH, server), name, sizeof(name));
}

void xids_entropy_expect(struct xids_entropy *e, unsigned int server, uint64_t until)
{
    if (server >= XIDS_ENTROPY_SERVERS)
        return;
    e->expected |= bit_of(server);
    if (until > e->patience)
        e->patience = until;
}

void xids_entropy_lost(struct xids_entropy *e, unsigned int server)
{
    if (server >= XIDS_ENTROPY_SERVERS)
        return;
    e->expected &= (uint8_t)~bit_of(server);
    settle(e);
}

void xids_entropy_doubt(struct xids_entropy *e, unsigned int server, uint64_t now)
{
    if (server >= XIDS_ENTROPY_SERVERS)
        return;
    at(e, now);
    /* Who says so again and again must not keep the others' bytes from counting. */
    if (e->doubted_at == UINT64_MAX || e->now - e->doubted_at >= DOUBT_AGAIN) {
        e->expected |= (uint8_t)((e->given & (uint8_t)~PAGE_BIT) | bit_of(server));
        e->patience = e->now + DOUBT_PATIENCE;
        e->doubted_at = e->now;
    }
    nothing_counts(e);
    e->doubts++;
}

/* ---- time ---- */

void xids_entropy_tick(struct xids_entropy *e, uint64_t now)
{
    at(e, now);
    (void)xids_entropy_look(e);
    settle(e);
}

uint64_t xids_entropy_deadline(const struct xids_entropy *e)
{
    bool waits = e->given != 0 && e->grade != XIDS_RANDOMD_GRADE_HOST;
    return waits ? e->patience : UINT64_MAX;
}

/* ---- output ---- */

/*
 * All output goes through here. A copy that is made before the second look, all copies find there, and what they had
 * made is not given out.
 */
int xids_entropy_random(struct xids_entropy *e, void *out, size_t len)
{
    for (unsigned int i = 0; i < COPIES_AT_ONCE; i++) {
        (void)xids_entropy_look(e);
        if (e->grade == XIDS_RANDOMD_GRADE_NONE)
            break;
        xids_rng_fill(&e->rng, out, len);
        if (!xids_reseed_due(&e->reseed))
            return 0;
    }
    xids_wipe(out, len);
    return -XEN_EAGAIN;
}

enum xids_randomd_grade xids_entropy_grade(const struct xids_entropy *e)
{
    return xids_reseed_due(&e->reseed) ? XIDS_RANDOMD_GRADE_NONE : e->grade;
}

static uint64_t since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

uint64_t xids_entropy_server_age(const struct xids_entropy *e, unsigned int server, uint64_t now)
{
    if (server >= XIDS_ENTROPY_SERVERS || (e->given & bit_of(server)) == 0)
        return UINT64_MAX;
    return since(e->host_at[server], now);
}

uint64_t xids_entropy_local_age(const struct xids_entropy *e, uint64_t now)
{
    return e->local ? since(e->local_at, now) : UINT64_MAX;
}

uint64_t xids_entropy_age(const struct xids_entropy *e, uint64_t now)
{
    uint64_t age = UINT64_MAX;
    enum xids_randomd_grade grade = xids_entropy_grade(e);
    if (grade == XIDS_RANDOMD_GRADE_LOCAL)
        return xids_entropy_local_age(e, now);
    if (grade == XIDS_RANDOMD_GRADE_HOST && (e->given & PAGE_BIT) != 0)
        age = since(e->page_at, now);
    for (unsigned int i = 0; grade == XIDS_RANDOMD_GRADE_HOST && i < XIDS_ENTROPY_SERVERS; i++) {
        uint64_t one = xids_entropy_server_age(e, i, now);
        age = one < age ? one : age;
    }
    return age;
}
