/* SPDX-License-Identifier: ISC */
/* The generator: its definition, and what it promises about keys. */
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/rng.h>

static void seeded(struct xids_rng *rng, uint8_t what)
{
    uint8_t seed[48];
    memset(seed, what, sizeof(seed));
    xids_rng_init(rng);
    xids_rng_mix(rng, 3, seed, sizeof(seed));
}

START_TEST(vector_of_the_specification_holds)
{
    static const uint8_t key_before[32] = {0x5f, 0x03, 0x43, 0x40, 0xe1, 0xc3, 0x68, 0x7e, 0x4e, 0x93, 0xf8,
                                           0xf4, 0x47, 0x11, 0x0b, 0x31, 0x9f, 0xd6, 0xff, 0x34, 0xeb, 0xd4,
                                           0x34, 0xcd, 0x8e, 0xe5, 0xdd, 0x6c, 0xcb, 0x83, 0x2b, 0xaa};
    static const uint8_t key_after[32] = {0xf2, 0x0e, 0xe9, 0x2c, 0x82, 0xd5, 0xb6, 0xcc, 0x77, 0xe5, 0x2f,
                                          0xa7, 0x39, 0xa2, 0x3b, 0x1b, 0x17, 0xad, 0xca, 0xec, 0xfd, 0x2c,
                                          0x78, 0xe2, 0xac, 0xe2, 0x46, 0x62, 0xeb, 0xba, 0x0f, 0x71};
    static const uint8_t output[40] = {0xd7, 0x79, 0x93, 0xb4, 0x08, 0x42, 0x63, 0xf3, 0xe3, 0x3d,
                                       0x72, 0x1d, 0xe2, 0x4c, 0x37, 0x0b, 0xc9, 0x01, 0xb4, 0x3b,
                                       0x26, 0xa7, 0x63, 0x67, 0x26, 0x4a, 0x34, 0x7c, 0x2e, 0xe5,
                                       0x0b, 0x43, 0x85, 0xe8, 0xc3, 0x9d, 0x9d, 0x6f, 0x1a, 0x23};
    struct xids_rng rng;
    uint8_t nonce[32], identity[16], seed[48], out[40];
    for (unsigned int i = 0; i < 48; i++) {
        nonce[i % 32] = (uint8_t)(0x40 + i % 32);
        identity[i % 16] = (uint8_t)(0xa0 + i % 16);
        seed[i] = (uint8_t)(0x80 + i);
    }
    xids_rng_init(&rng);
    xids_rng_mix(&rng, 1, nonce, sizeof(nonce));
    xids_rng_mix(&rng, 2, identity, sizeof(identity));
    xids_rng_mix(&rng, 3, seed, sizeof(seed));
    ck_assert_mem_eq(rng.key, key_before, 32);
    xids_rng_fill(&rng, out, sizeof(out));
    ck_assert_mem_eq(out, output, sizeof(out));
    ck_assert_mem_eq(rng.key, key_after, 32);
}
END_TEST

START_TEST(output_longer_than_a_span_changes_the_key_on_the_way)
{
    static const uint8_t key_after[32] = {0x45, 0x70, 0x9b, 0xed, 0x51, 0x6c, 0xd4, 0x79, 0xe7, 0xa6, 0xac,
                                          0x82, 0x63, 0x98, 0x43, 0x4c, 0x34, 0x68, 0x65, 0xe8, 0x3d, 0x86,
                                          0x14, 0x48, 0x5d, 0x31, 0x39, 0xd7, 0x47, 0xd4, 0xa4, 0x9b};
    static const uint8_t digest[32] = {0xdf, 0xd2, 0x50, 0x5f, 0xe9, 0xf0, 0xd8, 0xd3, 0x69, 0xe8, 0x1f,
                                       0x1a, 0xc3, 0xad, 0x8b, 0x0e, 0x6d, 0x9d, 0x30, 0xde, 0x17, 0x93,
                                       0x61, 0x0a, 0x7f, 0x2a, 0x17, 0x34, 0xc2, 0xfe, 0xef, 0xa2};
    static uint8_t out[XIDS_RNG_SPAN + 100];
    struct xids_rng rng;
    struct xids_blake2s b;
    uint8_t got[32];
    xids_rng_init(&rng);
    xids_rng_mix(&rng, 0, NULL, 0);
    xids_rng_fill(&rng, out, sizeof(out));
    ck_assert_mem_eq(rng.key, key_after, 32);
    ck_assert_int_eq(xids_blake2s_init(&b, 32, NULL, 0), 0);
    xids_blake2s_update(&b, out, sizeof(out));
    xids_blake2s_final(&b, got);
    ck_assert_mem_eq(got, digest, 32);
}
END_TEST

START_TEST(the_key_after_output_is_neither_the_old_one_nor_given_out)
{
    static const size_t lens[] = {1, 31, 32, 33, 64, 223, 224, 225, 1024, XIDS_RNG_SPAN, XIDS_RNG_SPAN + 1};
    static uint8_t out[XIDS_RNG_SPAN + 64];
    struct xids_rng rng;
    uint8_t before[32];
    seeded(&rng, 1);
    memcpy(before, rng.key, 32);
    xids_rng_fill(&rng, out, lens[_i]);
    ck_assert_mem_ne(rng.key, before, 32);
    for (size_t at = 0; at + 32 <= lens[_i]; at++) {
        ck_assert_mem_ne(out + at, rng.key, 32);
        ck_assert_mem_ne(out + at, before, 32);
    }
}
END_TEST

START_TEST(a_fill_of_nothing_changes_nothing)
{
    struct xids_rng rng, copy;
    seeded(&rng, 1);
    copy = rng;
    xids_rng_fill(&rng, NULL, 0);
    ck_assert_mem_eq(&rng, &copy, sizeof(rng));
}
END_TEST

START_TEST(every_request_gives_other_bytes)
{
    enum { N = 500 };
    static uint8_t out[N][16];
    struct xids_rng rng;
    seeded(&rng, 1);
    for (unsigned int i = 0; i < N; i++) {
        xids_rng_fill(&rng, out[i], 16);
        for (unsigned int j = 0; j < i; j++)
            ck_assert_mem_ne(out[i], out[j], 16);
    }
}
END_TEST

START_TEST(mixing_changes_what_comes_next)
{
    struct xids_rng a, b;
    uint8_t x[32], y[32];
    seeded(&a, 1);
    b = a;
    xids_rng_mix(&b, 4, "fresh", 5);
    xids_rng_fill(&a, x, 32);
    xids_rng_fill(&b, y, 32);
    ck_assert_mem_ne(x, y, 32);
}
END_TEST

START_TEST(mixing_keeps_what_was_there)
{
    struct xids_rng a, b;
    seeded(&a, 1);
    seeded(&b, 2);
    xids_rng_mix(&a, 4, "same", 4);
    xids_rng_mix(&b, 4, "same", 4);
    ck_assert_mem_ne(a.key, b.key, 32);
}
END_TEST

START_TEST(tag_and_length_tell_equal_bytes_apart)
{
    struct xids_rng a, b, c;
    seeded(&a, 1);
    b = c = a;
    xids_rng_mix(&a, 4, "xx", 2);
    xids_rng_mix(&b, 5, "xx", 2);
    xids_rng_mix(&c, 4, "x", 1);
    xids_rng_mix(&c, 4, "x", 1);
    ck_assert_mem_ne(a.key, b.key, 32);
    ck_assert_mem_ne(a.key, c.key, 32);
}
END_TEST

START_TEST(a_wiped_generator_holds_only_zeros)
{
    static const struct xids_rng zero;
    struct xids_rng rng;
    seeded(&rng, 1);
    xids_rng_wipe(&rng);
    ck_assert_mem_eq(&rng, &zero, sizeof(rng));
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("rng");
    TCase *t = tcase_create("generator");
    tcase_add_test(t, vector_of_the_specification_holds);
    tcase_add_test(t, output_longer_than_a_span_changes_the_key_on_the_way);
    tcase_add_loop_test(t, the_key_after_output_is_neither_the_old_one_nor_given_out, 0, 11);
    tcase_add_test(t, a_fill_of_nothing_changes_nothing);
    tcase_add_test(t, every_request_gives_other_bytes);
    tcase_add_test(t, mixing_changes_what_comes_next);
    tcase_add_test(t, mixing_keeps_what_was_there);
    tcase_add_test(t, tag_and_length_tell_equal_bytes_apart);
    tcase_add_test(t, a_wiped_generator_holds_only_zeros);
    suite_add_tcase(s, t);
    return s;
}
