/* SPDX-License-Identifier: ISC */
/* ChaCha20 with AVX2 (eight blocks at once) and AVX-512 (sixteen), where the CPU has them. */
#include "randomd/chacha20_wide.h"

#include "randomd/burn.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define QUARTER(add, xor, rotate, x, a, b, c, d) \
    do {                                         \
        x[a] = add(x[a], x[b]);                  \
        x[d] = rotate(xor(x[d], x[a]), 16);      \
        x[c] = add(x[c], x[d]);                  \
        x[b] = rotate(xor(x[b], x[c]), 12);      \
        x[a] = add(x[a], x[b]);                  \
        x[d] = rotate(xor(x[d], x[a]), 8);       \
        x[c] = add(x[c], x[d]);                  \
        x[b] = rotate(xor(x[b], x[c]), 7);       \
    } while (0)
#define ROUNDS(add, xor, rotate, x)                 \
    for (int i = 0; i < 10; i++) {                  \
        QUARTER(add, xor, rotate, x, 0, 4, 8, 12);  \
        QUARTER(add, xor, rotate, x, 1, 5, 9, 13);  \
        QUARTER(add, xor, rotate, x, 2, 6, 10, 14); \
        QUARTER(add, xor, rotate, x, 3, 7, 11, 15); \
        QUARTER(add, xor, rotate, x, 0, 5, 10, 15); \
        QUARTER(add, xor, rotate, x, 1, 6, 11, 12); \
        QUARTER(add, xor, rotate, x, 2, 7, 8, 13);  \
        QUARTER(add, xor, rotate, x, 3, 4, 9, 14);  \
    }

/* ---- AVX2 ---- */

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

#define ROTATE_AVX2(v, n) _mm256_or_si256(_mm256_slli_epi32(v, n), _mm256_srli_epi32(v, 32 - (n)))

/* Words 4g to 4g+3 of all blocks: in y[j], those of block j in the lower half and of block j+4 in the upper one. */
#define TURN_AVX2(y, x, g)                                                          \
    do {                                                                            \
        __m256i low01 = _mm256_unpacklo_epi32((x)[4 * (g)], (x)[4 * (g) + 1]);      \
        __m256i high01 = _mm256_unpackhi_epi32((x)[4 * (g)], (x)[4 * (g) + 1]);     \
        __m256i low23 = _mm256_unpacklo_epi32((x)[4 * (g) + 2], (x)[4 * (g) + 3]);  \
        __m256i high23 = _mm256_unpackhi_epi32((x)[4 * (g) + 2], (x)[4 * (g) + 3]); \
        (y)[0] = _mm256_unpacklo_epi64(low01, low23);                               \
        (y)[1] = _mm256_unpackhi_epi64(low01, low23);                               \
        (y)[2] = _mm256_unpacklo_epi64(high01, high23);                             \
        (y)[3] = _mm256_unpackhi_epi64(high01, high23);                             \
    } while (0)

__attribute__((target("avx2"), noinline)) static void eight_blocks(uint8_t *out, const uint32_t state[16])
{
    const __m256i steps = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i x[16], y[4];
    for (unsigned int i = 0; i < 16; i++)
        x[i] = _mm256_set1_epi32((int)state[i]);
    x[12] = _mm256_add_epi32(x[12], steps);
    ROUNDS(_mm256_add_epi32, _mm256_xor_si256, ROTATE_AVX2, x)
    for (unsigned int i = 0; i < 16; i++)
        x[i] = _mm256_add_epi32(x[i], _mm256_set1_epi32((int)state[i]));
    x[12] = _mm256_add_epi32(x[12], steps);
    for (unsigned int g = 0; g < 4; g++) {
        TURN_AVX2(y, x, g);
        for (unsigned int j = 0; j < 4; j++) {
            uint8_t *at = out + (size_t)j * 64 + (size_t)g * 16;
            _mm_storeu_si128((__m128i *)(void *)at, _mm256_castsi256_si128(y[j]));
            _mm_storeu_si128((__m128i *)(void *)(at + 256), _mm256_extracti128_si256(y[j], 1));
        }
    }
    xids_wipe(x, sizeof(x));
    xids_wipe(y, sizeof(y));
}

/* ---- AVX-512 ---- */

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") != 0;
}

/* Not in loops: so that all stays in the registers, of which there are enough. */
#define EACH_WORD(do_word) \
    do_word(0);            \
    do_word(1);            \
    do_word(2);            \
    do_word(3);            \
    do_word(4);            \
    do_word(5);            \
    do_word(6);            \
    do_word(7);            \
    do_word(8);            \
    do_word(9);            \
    do_word(10);           \
    do_word(11);           \
    do_word(12);           \
    do_word(13);           \
    do_word(14);           \
    do_word(15)
#define SPREAD(i) x[i] = _mm512_set1_epi32((int)state[i])
#define ADD_STATE(i) x[i] = _mm512_add_epi32(x[i], _mm512_set1_epi32((int)state[i]))
#define STORE_PART(j, part, y) \
    _mm_storeu_si128((__m128i *)(void *)(at + (j)*64 + (part)*256), _mm512_extracti32x4_epi32(y, part))
#define STORE(j, y)              \
    do {                         \
        __m512i block = (y);     \
        STORE_PART(j, 0, block); \
        STORE_PART(j, 1, block); \
        STORE_PART(j, 2, block); \
        STORE_PART(j, 3, block); \
    } while (0)
/* Words a to d of all blocks, four in a row, to their places in the blocks j, j+4, j+8 and j+12. */
#define TURN_AVX512(a, b, c, d)                             \
    do {                                                    \
        uint8_t *at = out + (a)*4u;                         \
        __m512i low01 = _mm512_unpacklo_epi32(x[a], x[b]);  \
        __m512i high01 = _mm512_unpackhi_epi32(x[a], x[b]); \
        __m512i low23 = _mm512_unpacklo_epi32(x[c], x[d]);  \
        __m512i high23 = _mm512_unpackhi_epi32(x[c], x[d]); \
        STORE(0, _mm512_unpacklo_epi64(low01, low23));      \
        STORE(1, _mm512_unpackhi_epi64(low01, low23));      \
        STORE(2, _mm512_unpacklo_epi64(high01, high23));    \
        STORE(3, _mm512_unpackhi_epi64(high01, high23));    \
    } while (0)

__attribute__((target("avx512f"), noinline)) static void sixteen_blocks(uint8_t *out, const uint32_t state[16])
{
    const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i x[16];
    EACH_WORD(SPREAD);
    x[12] = _mm512_add_epi32(x[12], steps);
    ROUNDS(_mm512_add_epi32, _mm512_xor_si512, _mm512_rol_epi32, x)
    /* The state is read anew: what the compiler kept of it would lie on the stack, and the key with it. */
    __asm__ __volatile__("" : "+r"(state) : : "memory");
    EACH_WORD(ADD_STATE);
    x[12] = _mm512_add_epi32(x[12], steps);
    TURN_AVX512(0, 1, 2, 3);
    TURN_AVX512(4, 5, 6, 7);
    TURN_AVX512(8, 9, 10, 11);
    TURN_AVX512(12, 13, 14, 15);
}

const struct chacha20_way xids_chacha20_ways_[] = {
    {has_avx512, sixteen_blocks, 16},
    {has_avx2, eight_blocks, 8},
    {NULL, NULL, 0},
};
#else
const struct chacha20_way xids_chacha20_ways_[] = {{NULL, NULL, 0}};
#endif

/* More than any of the ways takes. */
DEFINE_BURN(burn, 2048)

/* How many of the ways, from the first, this CPU lacks; one more than that, for 0: not looked yet. */
static unsigned int looked;

static const struct chacha20_way *first_usable(void)
{
    /* Several threads may look at once: each finds the same. */
    unsigned int found = __atomic_load_n(&looked, __ATOMIC_RELAXED);
    if (found == 0) {
        while (xids_chacha20_ways_[found].blocks != NULL && !xids_chacha20_ways_[found].usable())
            found++;
        __atomic_store_n(&looked, ++found, __ATOMIC_RELAXED);
    }
    return &xids_chacha20_ways_[found - 1];
}

/* Who has sixteen has eight, too: the best first, then what is left for the next. */
size_t xids_chacha20_wide_(uint8_t *out, size_t len, uint32_t state[16])
{
    size_t done = 0;
    if (len < 512)
        return 0;
    for (const struct chacha20_way *way = first_usable(); way->blocks != NULL; way++) {
        while (len - done >= (size_t)way->count * 64) {
            way->blocks(out + done, state);
            state[12] += way->count;
            done += (size_t)way->count * 64;
        }
    }
    if (done > 0)
        burn();
    return done;
}
