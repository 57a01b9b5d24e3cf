/* SPDX-License-Identifier: ISC */
/* The generator: ChaCha20 with fast key erasure, BLAKE2s to take fresh bytes in. */
#include <xids/rng.h>

#include "randomd/bytes.h"

static const uint8_t label[10] = {'x', 'i', 'd', 's', '-', 'r', 'n', 'g', '-', '1'};
static const uint8_t no_nonce[XIDS_CHACHA20_NONCE];

void xids_rng_init(struct xids_rng *rng)
{
    __builtin_memset(rng->key, 0, sizeof(rng->key));
}

void xids_rng_mix(struct xids_rng *rng, uint8_t tag, const void *data, size_t len)
{
    struct xids_blake2s b;
    uint8_t head[sizeof(label) + 9];
    __builtin_memcpy(head, label, sizeof(label));
    head[sizeof(label)] = tag;
    put64(head + sizeof(label) + 1, len);
    if (xids_blake2s_init(&b, sizeof(rng->key), rng->key, sizeof(rng->key)) != 0)
        return; /* the lengths are constants within the bounds */
    xids_blake2s_update(&b, head, sizeof(head));
    xids_blake2s_update(&b, data, len);
    xids_blake2s_final(&b, rng->key);
}

/* A span up to this long is made in one piece beside its next key: the most blocks that a CPU does at once. */
#define SHORT (16u * 64u - XIDS_RNG_KEY)

static void fill_span(struct xids_rng *rng, uint8_t *out, size_t len)
{
    uint8_t block[XIDS_RNG_KEY + SHORT];
    size_t head = len < SHORT ? len : SHORT;
    /* The key's own part of the stream ends within a block, so the first blocks go through a buffer of ours. */
    xids_chacha20_stream(block, XIDS_RNG_KEY + head, rng->key, no_nonce, 0);
    if (len > head)
        xids_chacha20_stream(out + head, len - head, rng->key, no_nonce, (XIDS_RNG_KEY + SHORT) / 64u);
    __builtin_memcpy(rng->key, block, XIDS_RNG_KEY);
    __builtin_memcpy(out, block + XIDS_RNG_KEY, head);
    xids_wipe(block, XIDS_RNG_KEY + head);
}

void xids_rng_fill(struct xids_rng *rng, void *out, size_t len)
{
    uint8_t *to = out;
    while (len > 0) {
        size_t span = len < XIDS_RNG_SPAN ? len : XIDS_RNG_SPAN;
        fill_span(rng, to, span);
        to += span;
        len -= span;
    }
}

void xids_rng_wipe(struct xids_rng *rng)
{
    xids_wipe(rng, sizeof(*rng));
}
