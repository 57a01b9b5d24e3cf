/* SPDX-License-Identifier: ISC */
/* BLAKE2s, RFC 7693: sequential, with or without a key, no salt. */
#include <xids/rng.h>

#include "randomd/burn.h"
#include "randomd/bytes.h"

#define BLOCK 64u

static const uint32_t iv[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                               0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};

static const uint8_t sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint32_t rotate_right(uint32_t v, unsigned int n)
{
    return v >> n | v << (32 - n);
}

static inline void mix(uint32_t v[16], unsigned int a, unsigned int b, unsigned int c, unsigned int d, uint32_t x,
                       uint32_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate_right(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate_right(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = rotate_right(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotate_right(v[b] ^ v[c], 7);
}

NEVER_INLINE static void compress(struct xids_blake2s *b, const uint8_t block[BLOCK], bool last)
{
    uint32_t m[16], v[16];
    for (unsigned int i = 0; i < 16; i++)
        m[i] = get32(block + 4 * i);
    for (unsigned int i = 0; i < 8; i++) {
        v[i] = b->h[i];
        v[8 + i] = iv[i];
    }
    v[12] ^= (uint32_t)b->count;
    v[13] ^= (uint32_t)(b->count >> 32);
    if (last)
        v[14] = ~v[14];
    for (unsigned int round = 0; round < 10; round++) {
        const uint8_t *s = sigma[round];
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (unsigned int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[8 + i];
    xids_wipe(m, sizeof(m));
    xids_wipe(v, sizeof(v));
}

/* More than it takes, below the calls of it. */
DEFINE_BURN(burn, 768)

int xids_blake2s_init(struct xids_blake2s *b, size_t out_len, const uint8_t *key, size_t key_len)
{
    if (out_len == 0 || out_len > XIDS_BLAKE2S_OUT || key_len > XIDS_BLAKE2S_KEY)
        return -XEN_EINVAL;
    __builtin_memset(b, 0, sizeof(*b));
    __builtin_memcpy(b->h, iv, sizeof(b->h));
    b->h[0] ^= 0x01010000u ^ (uint32_t)key_len << 8 ^ (uint32_t)out_len;
    b->out_len = (uint8_t)out_len;
    if (key_len > 0) {
        __builtin_memcpy(b->buf, key, key_len);
        b->fill = BLOCK;
    }
    return 0;
}

void xids_blake2s_update(struct xids_blake2s *b, const void *data, size_t len)
{
    const uint8_t *from = data;
    while (len > 0) {
        /* A full buffer waits here, because the last block of all is compressed in another way. */
        if (b->fill == BLOCK) {
            b->count += BLOCK;
            compress(b, b->buf, false);
            b->fill = 0;
        }
        size_t take = BLOCK - b->fill < len ? BLOCK - (size_t)b->fill : len;
        __builtin_memcpy(b->buf + b->fill, from, take);
        b->fill = (uint8_t)(b->fill + take);
        from += take;
        len -= take;
    }
}

void xids_blake2s_final(struct xids_blake2s *b, uint8_t *out)
{
    uint8_t hash[XIDS_BLAKE2S_OUT];
    b->count += b->fill;
    __builtin_memset(b->buf + b->fill, 0, BLOCK - (size_t)b->fill);
    compress(b, b->buf, true);
    for (unsigned int i = 0; i < 8; i++)
        put32(hash + 4 * i, b->h[i]);
    __builtin_memcpy(out, hash, b->out_len);
    xids_wipe(hash, sizeof(hash));
    xids_wipe(b, sizeof(*b));
    burn();
}
