/* SPDX-License-Identifier: ISC */
/*
 * The reseed page: a page of a guest's own by which its host tells it that its memory has been copied (restored from
 * an image, forked), with fresh bytes, although the guest was not asked before. docs/spec/randomd.md, 8.2.
 *
 * The host writes while the guest is paused: seed and whose it is, fence, generation. The guest compares the generation
 * with the one it remembers before it gives anything out, and once more after it has made it; so no output is made by
 * two copies.
 *
 * The page lies in memory that somebody else writes: only the functions here touch it. Nothing is allocated.
 */
#ifndef XIDS_RESEED_H
#define XIDS_RESEED_H

#include <xids/base.h>
#include <xids/peer.h>

XIDS_BEGIN_DECLS

#define XIDS_RESEED_MAGIC "xidsgen1" /* its 8 letters */
#define XIDS_RESEED_GENERATION 16u   /* bytes, */
#define XIDS_RESEED_GENERATION_AT 8u /* at this offset */
#define XIDS_RESEED_SEED 48u         /* bytes at offset 24; behind them the generation to which they belong */

/* Where the guest says which page it is: in its home, the guest frame number in decimal. */
#define XIDS_RESEED_NODE "data/randomd/reseed"

/* No frame number is above this: addresses have 52 bits at most. */
#define XIDS_RESEED_FRAME_MAX ((UINT64_C(1) << 40) - 1u)

/* ---- the guest's side ---- */

struct xids_reseed {
    void XIDS_PEER *page; /* NULL: there is none, and nothing ever changes */
    uint32_t generation[XIDS_RESEED_GENERATION / 4u];
};

/*
 * Takes page, XIDS_PAGE_SIZE bytes at a multiple of it, which nothing else may use as long as it is advertised, and
 * prepares it. It stays the caller's.
 */
void xids_reseed_init(struct xids_reseed *r, void *page);

/* Whether the host has said that this memory is a copy. To be asked before and after each output. */
bool xids_reseed_due(const struct xids_reseed *r);

/* What take found. */
struct xids_reseed_fresh {
    uint8_t generation[XIDS_RESEED_GENERATION]; /* differs in every copy, but is no secret */
    uint8_t seed[XIDS_RESEED_SEED];             /* a secret of this copy's own, unless spoiled */
};

/*
 * Takes what the host left, wipes it in the page, and remembers the generation. The caller forgets its generator
 * first, mixes fresh in, and wipes it. Returns 1; or 0: there is no seed that can be relied on (the page was written
 * again while it was read, its seed had been taken before, or it belongs to another generation): fresh->seed is zeros,
 * and others must seed the caller.
 */
int xids_reseed_take(struct xids_reseed *r, struct xids_reseed_fresh *fresh) XIDS_MUST_CHECK;

/* ---- the host's side ---- */

/*
 * Writes a seed and a new generation, which must not have been used before, into a guest's page while the guest is
 * paused. -XEN_EBADMSG: this is no such page, and it is left as it was.
 */
int xids_reseed_write(void XIDS_PEER *page, const uint8_t seed[XIDS_RESEED_SEED],
                      const uint8_t generation[XIDS_RESEED_GENERATION]) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
