/* SPDX-License-Identifier: ISC */
/* BLAKE2s against RFC 7693 and the authors' keyed vectors. */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/rng.h>

static void hash(uint8_t *out, size_t out_len, const void *data, size_t len, const uint8_t *key, size_t key_len)
{
    struct xids_blake2s b;
    ck_assert_int_eq(xids_blake2s_init(&b, out_len, key, key_len), 0);
    xids_blake2s_update(&b, data, len);
    xids_blake2s_final(&b, out);
}

static void assert_hex(const uint8_t *got, size_t len, const char *hex)
{
    char text[65] = "";
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = "0123456789abcdef"[got[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[got[i] & 15];
    }
    ck_assert_str_eq(text, hex);
}

START_TEST(abc_of_appendix_b_holds)
{
    uint8_t out[32];
    hash(out, 32, "abc", 3, NULL, 0);
    assert_hex(out, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}
END_TEST

/* The deterministic sequence of RFC 7693, appendix E. */
static void sequence(uint8_t *out, size_t len, uint32_t seed)
{
    uint32_t a = 0xdead4badu * seed, b = 1;
    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;
        a = b;
        b = t;
        out[i] = (uint8_t)(t >> 24);
    }
}

START_TEST(self_test_of_appendix_e_holds)
{
    static const size_t out_lens[] = {16, 20, 28, 32}, in_lens[] = {0, 3, 64, 65, 255, 1024};
    uint8_t in[1024], key[32], out[32];
    struct xids_blake2s grand;
    ck_assert_int_eq(xids_blake2s_init(&grand, 32, NULL, 0), 0);
    for (unsigned int i = 0; i < 4; i++)
        for (unsigned int j = 0; j < 6; j++) {
            sequence(in, in_lens[j], (uint32_t)in_lens[j]);
            hash(out, out_lens[i], in, in_lens[j], NULL, 0);
            xids_blake2s_update(&grand, out, out_lens[i]);
            sequence(key, out_lens[i], (uint32_t)out_lens[i]);
            hash(out, out_lens[i], in, in_lens[j], key, out_lens[i]);
            xids_blake2s_update(&grand, out, out_lens[i]);
        }
    xids_blake2s_final(&grand, out);
    assert_hex(out, 32, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}
END_TEST

static const struct {
    size_t len;
    const char *hash;
} keyed[] = {
    {0, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49"},
    {1, "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1"},
    {255, "3fb735061abc519dfe979e54c1ee5bfad0a9d858b3315bad34bde999efd724dd"},
};

START_TEST(keyed_vector_holds)
{
    uint8_t key[32], in[255], out[32];
    for (unsigned int i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (unsigned int i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    hash(out, 32, in, keyed[_i].len, key, 32);
    assert_hex(out, 32, keyed[_i].hash);
}
END_TEST

/* The hash of the hashes of the authors' 256 keyed vectors, in their order; made with Python's hashlib. */
START_TEST(all_keyed_vectors_hold)
{
    struct xids_blake2s all;
    uint8_t key[32], in[255], out[32];
    for (unsigned int i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    for (unsigned int i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    ck_assert_int_eq(xids_blake2s_init(&all, 32, NULL, 0), 0);
    for (size_t len = 0; len < 256; len++) {
        hash(out, 32, in, len, key, 32);
        xids_blake2s_update(&all, out, 32);
    }
    xids_blake2s_final(&all, out);
    assert_hex(out, 32, "2582f7b18a91f66ef22aa9455384ada69b2590306a6470ee8588df75ee982f02");
}
END_TEST

/* Of 100 bytes; likewise. */
START_TEST(every_length_of_key_and_hash_holds)
{
    struct xids_blake2s all;
    uint8_t in[100], out[32];
    for (unsigned int i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    ck_assert_int_eq(xids_blake2s_init(&all, 32, NULL, 0), 0);
    for (size_t key_len = 1; key_len <= 32; key_len++)
        for (size_t out_len = 1; out_len <= 32; out_len++) {
            hash(out, out_len, in, sizeof(in), in, key_len);
            xids_blake2s_update(&all, out, out_len);
        }
    xids_blake2s_final(&all, out);
    assert_hex(out, 32, "41f18d9b149f7c8d269910ddd89d070bd71e7276ed03b2e9686684d0c49e5a09");
}
END_TEST

static const struct {
    size_t len;
    const char *hash, *keyed;
} long_ones[] = {
    {4096, "15af42c7b05dcee9e02c3f58d0e496ce01b7a42e5433b285f8b0e858c28f7aba",
     "a55cafc27dae54fe65a8832e2bca05737bdf46316c224227ef8dfb59347f3e0e"},
    {65537, "c4aedf2f547f4782d887c453c4acef94256503540275f325b223f49272710140",
     "111a88fb9dfbe77703290687956f23195db0b847f888fe8c7c44857c0cbd957d"},
    {1048576, "d7f0c8432a63b00369e8b6ab34e8456716ae404797edd202bf8680d20f585db9",
     "05c9fd32c5213a104146f2baecf411e40c905a444a7f60904841e25dcc89225a"},
};

/* Of the sequence of appendix E; likewise. */
START_TEST(a_long_message_holds)
{
    size_t len = long_ones[_i].len;
    uint8_t key[32], out[32], *in = malloc(len);
    for (unsigned int i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)i;
    sequence(in, len, (uint32_t)len);
    hash(out, 32, in, len, NULL, 0);
    assert_hex(out, 32, long_ones[_i].hash);
    hash(out, 32, in, len, key, 32);
    assert_hex(out, 32, long_ones[_i].keyed);
    free(in);
}
END_TEST

/*
 * BLAKE2s's compression once more, written from section 3.2 of the RFC and in no way clever, for counts that no test
 * can reach by hashing: low and high are the two words of the counter.
 */
static void plain_compress(uint32_t h[8], const uint8_t block[64], uint32_t low, uint32_t high, bool last)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    static const uint8_t order[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
    static const uint8_t lanes[8][4] = {{0, 4, 8, 12},  {1, 5, 9, 13},  {2, 6, 10, 14}, {3, 7, 11, 15},
                                        {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13},  {3, 4, 9, 14}};
    static const unsigned int turns[4] = {16, 12, 8, 7};
    uint32_t v[16], m[16];
    for (unsigned int i = 0; i < 16; i++) {
        v[i] = i < 8 ? h[i] : start[i - 8];
        m[i] = 0;
        for (unsigned int k = 0; k < 4; k++)
            m[i] |= (uint32_t)block[4 * i + k] << 8 * k;
    }
    v[12] ^= low;
    v[13] ^= high;
    v[14] = last ? ~v[14] : v[14];
    for (unsigned int step = 0; step < 10 * 8 * 4; step++) {
        unsigned int lane = step / 4 % 8, part = step % 4;
        const uint8_t *at = lanes[lane];
        uint32_t *a = &v[at[part % 2 == 0 ? 0 : 2]], *b = &v[at[part % 2 == 0 ? 1 : 3]];
        uint32_t *turned = &v[at[part % 2 == 0 ? 3 : 1]];
        *a += part % 2 == 0 ? *b + m[order[step / 32][2 * lane + part / 2]] : *b;
        *turned ^= *a;
        *turned = *turned >> turns[part] | *turned << (32 - turns[part]);
    }
    for (unsigned int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

/* From a count near where its low word, or all of it, has no room any more. */
START_TEST(the_count_of_bytes_has_two_words)
{
    static const uint64_t counts[] = {0, 0xffffff80u, 0xffffffc0u, 0x100000000u, 0xffffffffffu - 63u};
    uint8_t in[150], got[32], want[32], block[64] = {0};
    struct xids_blake2s b;
    uint64_t count = counts[_i];
    sequence(in, sizeof(in), 9);
    ck_assert_int_eq(xids_blake2s_init(&b, 32, NULL, 0), 0);
    uint32_t h[8];
    memcpy(h, b.h, sizeof(h));
    b.count = count;
    xids_blake2s_update(&b, in, sizeof(in));
    xids_blake2s_final(&b, got);
    for (unsigned int i = 0; i < 3; i++) {
        size_t len = i < 2 ? 64 : sizeof(in) - 128;
        count += len;
        memset(block, 0, sizeof(block));
        memcpy(block, in + (size_t)i * 64, len);
        plain_compress(h, block, (uint32_t)count, (uint32_t)(count >> 32), i == 2);
    }
    for (unsigned int i = 0; i < 32; i++)
        want[i] = (uint8_t)(h[i / 4] >> 8 * (i % 4));
    ck_assert_mem_eq(got, want, 32);
}
END_TEST

START_TEST(any_split_of_the_data_gives_the_same_hash)
{
    uint8_t in[200], want[32], got[32];
    sequence(in, sizeof(in), 1);
    hash(want, 32, in, sizeof(in), NULL, 0);
    for (size_t cut = 0; cut <= sizeof(in); cut++)
        for (size_t more = 0; cut + more <= sizeof(in); more += 63) {
            struct xids_blake2s b;
            ck_assert_int_eq(xids_blake2s_init(&b, 32, NULL, 0), 0);
            xids_blake2s_update(&b, in, cut);
            xids_blake2s_update(&b, in + cut, more);
            xids_blake2s_update(&b, in + cut + more, sizeof(in) - cut - more);
            xids_blake2s_final(&b, got);
            ck_assert_mem_eq(got, want, 32);
        }
}
END_TEST

START_TEST(lengths_out_of_bounds_are_refused)
{
    struct xids_blake2s b;
    uint8_t key[33] = {0};
    ck_assert_int_eq(xids_blake2s_init(&b, 0, NULL, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_blake2s_init(&b, 33, NULL, 0), -XEN_EINVAL);
    ck_assert_int_eq(xids_blake2s_init(&b, 32, key, 33), -XEN_EINVAL);
}
END_TEST

START_TEST(a_short_hash_is_not_the_beginning_of_a_long_one)
{
    uint8_t whole[32], half[16];
    hash(whole, 32, "abc", 3, NULL, 0);
    hash(half, 16, "abc", 3, NULL, 0);
    ck_assert_mem_ne(whole, half, 16);
}
END_TEST

START_TEST(final_leaves_nothing_behind)
{
    struct xids_blake2s b;
    static const struct xids_blake2s zero;
    uint8_t out[32], key[32] = {1, 2, 3};
    ck_assert_int_eq(xids_blake2s_init(&b, 32, key, 32), 0);
    xids_blake2s_update(&b, "secret", 6);
    xids_blake2s_final(&b, out);
    ck_assert_mem_eq(&b, &zero, sizeof(b));
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("blake2s");
    TCase *t = tcase_create("hash");
    tcase_add_test(t, abc_of_appendix_b_holds);
    tcase_add_test(t, self_test_of_appendix_e_holds);
    tcase_add_loop_test(t, keyed_vector_holds, 0, (int)(sizeof(keyed) / sizeof(keyed[0])));
    tcase_add_test(t, all_keyed_vectors_hold);
    tcase_add_test(t, every_length_of_key_and_hash_holds);
    tcase_add_loop_test(t, a_long_message_holds, 0, (int)(sizeof(long_ones) / sizeof(long_ones[0])));
    tcase_add_loop_test(t, the_count_of_bytes_has_two_words, 0, 5);
    tcase_add_test(t, any_split_of_the_data_gives_the_same_hash);
    tcase_add_test(t, lengths_out_of_bounds_are_refused);
    tcase_add_test(t, a_short_hash_is_not_the_beginning_of_a_long_one);
    tcase_add_test(t, final_leaves_nothing_behind);
    suite_add_tcase(s, t);
    return s;
}
