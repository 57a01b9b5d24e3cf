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
    tcase_add_test(t, any_split_of_the_data_gives_the_same_hash);
    tcase_add_test(t, lengths_out_of_bounds_are_refused);
    tcase_add_test(t, a_short_hash_is_not_the_beginning_of_a_long_one);
    tcase_add_test(t, final_leaves_nothing_behind);
    suite_add_tcase(s, t);
    return s;
}
