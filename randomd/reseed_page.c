/* SPDX-License-Identifier: ISC */
/* The reseed page, from both sides. */
#include <xids/reseed.h>

#include "randomd/bytes.h"

#define WORDS (XIDS_RESEED_GENERATION / 4u)
#define AT_SEED 24u
#define AT_WHOSE (AT_SEED + XIDS_RESEED_SEED)

/* How often the guest reads again what the host was changing: it is paused meanwhile, so once is already rare. */
#define TRIES 4u

static uint8_t XIDS_PEER *at(void XIDS_PEER *page, unsigned int offset)
{
    return (uint8_t XIDS_PEER *)page + offset;
}

static uint32_t XIDS_PEER *word_at(void XIDS_PEER *page, unsigned int word)
{
    return (uint32_t XIDS_PEER *)(void XIDS_PEER *)at(page, XIDS_RESEED_GENERATION_AT + 4u * word);
}

/* ---- the guest's side ---- */

/*
 * Acquires: who sees a word of a new generation sees the seed that was written before it. Pairs with the stores of
 * xids_reseed_write.
 */
static bool differs(const struct xids_reseed *r, const uint32_t from[WORDS])
{
    uint32_t any = 0;
    for (unsigned int i = 0; i < WORDS; i++)
        any |= xids_peer_load_acquire(word_at(r->page, i)) ^ from[i];
    return any != 0;
}

void xids_reseed_init(struct xids_reseed *r, void *page)
{
    r->page = (void XIDS_PEER *)page;
    __builtin_memset(r->generation, 0, sizeof(r->generation));
    if (page == NULL)
        return;
    xids_peer_wipe(r->page, XIDS_PAGE_SIZE);
    /* The magic last: it invites the host to write. */
    xids_peer_fence();
    xids_peer_put(r->page, XIDS_RESEED_MAGIC, 8);
}

bool xids_reseed_due(const struct xids_reseed *r)
{
    if (r->page == NULL)
        return false;
    /* What was made before this look is made: neither compiler nor CPU asks first and makes the output later. */
    xids_peer_fence();
    return differs(r, r->generation);
}

/*
 * One reading of the generation and of the seed, and whether it goes with it: a seed that nobody took is in the image,
 * where others than a host of ours may write a generation of their own. False: it was being written.
 */
static bool read_once(struct xids_reseed *r, struct xids_reseed_fresh *fresh, bool *ours)
{
    uint8_t whose[XIDS_RESEED_GENERATION];
    for (unsigned int i = 0; i < WORDS; i++) {
        r->generation[i] = xids_peer_load_acquire(word_at(r->page, i));
        put32(fresh->generation + 4u * (size_t)i, r->generation[i]);
    }
    xids_peer_get(fresh->seed, at(r->page, AT_SEED), sizeof(fresh->seed));
    xids_peer_get(whose, at(r->page, AT_WHOSE), sizeof(whose));
    *ours = __builtin_memcmp(whose, fresh->generation, sizeof(whose)) == 0;
    xids_peer_fence();
    return !differs(r, r->generation);
}

static bool all_zero(const uint8_t *p, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

int xids_reseed_take(struct xids_reseed *r, struct xids_reseed_fresh *fresh)
{
    bool whole = false, spoiled = false, settled = false, ours = false;
    __builtin_memset(fresh, 0, sizeof(*fresh));
    for (unsigned int i = 0; r->page != NULL && i < TRIES && !settled; i++) {
        whole = read_once(r, fresh, &ours);
        if (!whole)
            continue;
        for (unsigned int word = 0; word < (XIDS_RESEED_SEED + XIDS_RESEED_GENERATION) / 4u; word++)
            xids_peer_store((uint32_t XIDS_PEER *)(void XIDS_PEER *)at(r->page, AT_SEED + 4u * word), 0);
        xids_peer_fence();
        /* Another copy began while we wiped, and the wiping may have hit its seed. */
        settled = !differs(r, r->generation);
        spoiled = spoiled || !settled;
    }
    for (unsigned int i = 0; i < WORDS; i++)
        put32(fresh->generation + 4u * (size_t)i, r->generation[i]);
    if (settled && !spoiled && ours && !all_zero(fresh->seed, sizeof(fresh->seed)))
        return 1;
    xids_wipe(fresh->seed, sizeof(fresh->seed));
    return 0;
}

/* ---- the host's side ---- */

int xids_reseed_write(void XIDS_PEER *page, const uint8_t seed[XIDS_RESEED_SEED],
                      const uint8_t generation[XIDS_RESEED_GENERATION])
{
    uint8_t magic[8];
    xids_peer_get(magic, page, sizeof(magic));
    if (__builtin_memcmp(magic, XIDS_RESEED_MAGIC, sizeof(magic)) != 0)
        return -XEN_EBADMSG;
    xids_peer_put(at(page, AT_SEED), seed, XIDS_RESEED_SEED);
    xids_peer_put(at(page, AT_WHOSE), generation, XIDS_RESEED_GENERATION);
    /* Whoever sees any word of the generation sees the whole seed: the guest's loads in differs. */
    xids_peer_fence();
    for (unsigned int i = 0; i < WORDS; i++)
        xids_peer_store_release(word_at(page, i), get32(generation + 4u * (size_t)i));
    return 0;
}
