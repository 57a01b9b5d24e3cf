/* SPDX-License-Identifier: ISC */
/*
 * ChaCha20 key stream, RFC 8439. Four blocks go side by side in vectors of four words, which the compiler maps to
 * whatever the target has: SSE2 or NEON, or plain registers where the build forbids vectors.
 */
#include <xids/rng.h>

#include "randomd/burn.h"
#include "randomd/bytes.h"
#include "randomd/chacha20_wide.h"

typedef uint32_t lanes __attribute__((vector_size(16)));

#define LANES 4u
#define BLOCK 64u

#define ROTATE(v, n) (((v) << (n)) | ((v) >> (32 - (n))))
#define QUARTER(x, a, b, c, d)          \
    do {                                \
        x[a] += x[b];                   \
        x[d] = ROTATE(x[d] ^ x[a], 16); \
        x[c] += x[d];                   \
        x[b] = ROTATE(x[b] ^ x[c], 12); \
        x[a] += x[b];                   \
        x[d] = ROTATE(x[d] ^ x[a], 8);  \
        x[c] += x[d];                   \
        x[b] = ROTATE(x[b] ^ x[c], 7);  \
    } while (0)
#define ROUNDS(x)                  \
    for (int i = 0; i < 10; i++) { \
        QUARTER(x, 0, 4, 8, 12);   \
        QUARTER(x, 1, 5, 9, 13);   \
        QUARTER(x, 2, 6, 10, 14);  \
        QUARTER(x, 3, 7, 11, 15);  \
        QUARTER(x, 0, 5, 10, 15);  \
        QUARTER(x, 1, 6, 11, 12);  \
        QUARTER(x, 2, 7, 8, 13);   \
        QUARTER(x, 3, 4, 9, 14);   \
    }

NEVER_INLINE static void one_block(uint8_t *out, const uint32_t state[16])
{
    uint32_t x[16];
    __builtin_memcpy(x, state, sizeof(x));
    ROUNDS(x)
    for (unsigned int i = 0; i < 16; i++)
        put32(out + 4 * i, x[i] + state[i]);
    xids_wipe(x, sizeof(x));
}

NEVER_INLINE static void four_blocks(uint8_t *out, const uint32_t state[16])
{
    const lanes steps = {0, 1, 2, 3};
    lanes x[16], start[16];
    for (unsigned int i = 0; i < 16; i++)
        start[i] = (lanes){state[i], state[i], state[i], state[i]};
    start[12] += steps;
    __builtin_memcpy(x, start, sizeof(x));
    ROUNDS(x)
    for (unsigned int i = 0; i < 16; i++)
        x[i] += start[i];
    for (unsigned int lane = 0; lane < LANES; lane++)
        for (unsigned int i = 0; i < 16; i++)
            put32(out + lane * BLOCK + 4 * i, x[i][lane]);
    xids_wipe(x, sizeof(x));
    xids_wipe(start, sizeof(start));
}

/* More than either of these takes. */
DEFINE_BURN(burn, 1280)

void xids_chacha20_stream(uint8_t *out, size_t len, const uint8_t key[XIDS_CHACHA20_KEY],
                          const uint8_t nonce[XIDS_CHACHA20_NONCE], uint32_t counter)
{
    uint32_t state[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u}; /* "expand 32-byte k" */
    for (unsigned int i = 0; i < 8; i++)
        state[4 + i] = get32(key + 4 * i);
    state[12] = counter;
    for (unsigned int i = 0; i < 3; i++)
        state[13 + i] = get32(nonce + 4 * i);
    size_t done = xids_chacha20_wide_(out, len, state);
    out += done;
    len -= done;
    while (len >= LANES * BLOCK) {
        four_blocks(out, state);
        state[12] += LANES;
        out += LANES * BLOCK;
        len -= LANES * BLOCK;
    }
    while (len >= BLOCK) {
        one_block(out, state);
        state[12]++;
        out += BLOCK;
        len -= BLOCK;
    }
    if (len > 0) {
        uint8_t last[BLOCK];
        one_block(last, state);
        __builtin_memcpy(out, last, len);
        xids_wipe(last, sizeof(last));
    }
    xids_wipe(state, sizeof(state));
    burn();
}
