/* SPDX-License-Identifier: ISC */
/* ChaCha20 against RFC 8439, and against itself at every length and place. */
#include "randomd/chacha20_wide.h"
#include "tests/unit/suite.h"

#include <stdlib.h>
#include <string.h>
#include <xids/rng.h>

static void from_hex(uint8_t *to, size_t len, const char *hex)
{
    ck_assert_uint_eq(strlen(hex), 2 * len);
    for (size_t i = 0; i < len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        to[i] = (uint8_t)strtoul(two, NULL, 16);
    }
}

struct vector {
    uint8_t key_at, key_byte; /* a key of zeros but for one byte */
    uint8_t nonce_last;
    uint32_t counter;
    const char *stream;
};

/* RFC 8439, appendix A.1, in its order. */
static const struct vector vectors[] = {
    {0, 0, 0, 0,
     "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
     "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
    {0, 0, 0, 1,
     "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
     "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"},
    {31, 1, 0, 1,
     "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
     "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"},
    {1, 0xff, 0, 2,
     "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
     "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"},
    {0, 0, 2, 0,
     "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
     "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d"},
};

START_TEST(appendix_a1_of_the_rfc_holds)
{
    const struct vector *v = &vectors[_i];
    uint8_t key[32] = {0}, nonce[12] = {0}, want[64], got[64];
    key[v->key_at] = v->key_byte;
    nonce[11] = v->nonce_last;
    from_hex(want, sizeof(want), v->stream);
    xids_chacha20_stream(got, sizeof(got), key, nonce, v->counter);
    ck_assert_mem_eq(got, want, sizeof(want));
}
END_TEST

START_TEST(block_of_section_2_3_2_holds)
{
    uint8_t key[32], nonce[12], want[64], got[64];
    for (unsigned int i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    from_hex(nonce, sizeof(nonce), "000000090000004a00000000");
    from_hex(want, sizeof(want),
             "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
             "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
    xids_chacha20_stream(got, sizeof(got), key, nonce, 1);
    ck_assert_mem_eq(got, want, sizeof(want));
}
END_TEST

START_TEST(text_of_section_2_4_2_encrypts)
{
    static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
                               "the future, sunscreen would be it.";
    uint8_t key[32], nonce[12], want[114], got[114];
    for (unsigned int i = 0; i < 32; i++)
        key[i] = (uint8_t)i;
    from_hex(nonce, sizeof(nonce), "000000000000004a00000000");
    from_hex(want, sizeof(want),
             "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b357"
             "1639d624e65152ab8f530c359f0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
             "5af90bbf74a35be6b40b8eedf2785e42874d");
    ck_assert_uint_eq(sizeof(text) - 1, sizeof(got));
    xids_chacha20_stream(got, sizeof(got), key, nonce, 1);
    for (size_t i = 0; i < sizeof(got); i++)
        got[i] ^= (uint8_t)text[i];
    ck_assert_mem_eq(got, want, sizeof(want));
}
END_TEST

START_TEST(every_length_gives_the_same_stream_and_not_a_byte_more)
{
    uint8_t key[32], nonce[12], whole[2000], part[2000];
    memset(key, 7, sizeof(key));
    memset(nonce, 9, sizeof(nonce));
    for (size_t at = 0; at < sizeof(whole); at += 64)
        xids_chacha20_stream(whole + at, sizeof(whole) - at < 64 ? sizeof(whole) - at : 64, key, nonce,
                             (uint32_t)(at / 64));
    for (size_t len = 0; len < sizeof(part); len++) {
        memset(part, 0xee, sizeof(part));
        xids_chacha20_stream(part, len, key, nonce, 0);
        ck_assert_mem_eq(part, whole, len);
        ck_assert_uint_eq(part[len], 0xee);
    }
}
END_TEST

START_TEST(output_needs_no_alignment)
{
    uint8_t key[32] = {1}, nonce[12] = {2}, want[600], got[616];
    xids_chacha20_stream(want, sizeof(want), key, nonce, 3);
    for (unsigned int shift = 0; shift < 16; shift++) {
        xids_chacha20_stream(got + shift, sizeof(want), key, nonce, 3);
        ck_assert_mem_eq(got + shift, want, sizeof(want));
    }
}
END_TEST

START_TEST(any_counter_can_be_the_first)
{
    uint8_t key[32] = {5}, nonce[12] = {6}, whole[64 * 20], tail[64 * 20];
    xids_chacha20_stream(whole, sizeof(whole), key, nonce, 0xffffffffu - 19u);
    for (uint32_t skip = 0; skip < 20; skip++) {
        size_t len = sizeof(whole) - skip * 64u;
        xids_chacha20_stream(tail, len, key, nonce, 0xffffffffu - 19u + skip);
        ck_assert_mem_eq(tail, whole + skip * 64u, len);
    }
}
END_TEST

START_TEST(every_bit_of_key_and_nonce_matters)
{
    uint8_t in[44] = {0}, first[64], other[64];
    xids_chacha20_stream(first, 64, in, in + 32, 0);
    for (unsigned int bit = 0; bit < 8 * sizeof(in); bit++) {
        in[bit / 8] ^= (uint8_t)(1u << bit % 8);
        xids_chacha20_stream(other, 64, in, in + 32, 0);
        ck_assert_mem_ne(other, first, 64);
        in[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

/* Not only the best of this CPU: each that it has. */
START_TEST(blocks_side_by_side_are_those_one_by_one)
{
    /* "expand 32-byte k", a key and a nonce of all different bytes, and a counter that ends on the way. */
    uint32_t state[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
    uint8_t key[32], nonce[12], want[64], got[64 * 16 + 1];
    for (unsigned int i = 0; i < sizeof(key) + sizeof(nonce); i++) {
        uint8_t byte = (uint8_t)(i * 37u + 11u);
        *(i < sizeof(key) ? &key[i] : &nonce[i - sizeof(key)]) = byte;
        state[i < sizeof(key) ? 4 + i / 4 : 5 + i / 4] |= (uint32_t)byte << i % 4 * 8;
    }
    state[12] = 0xffffffffu - 2u;
    for (const struct chacha20_way *way = xids_chacha20_ways_; way->blocks != NULL; way++) {
        if (!way->usable())
            continue;
        ck_assert_uint_le(way->count, 16);
        memset(got, 0xee, sizeof(got));
        way->blocks(got, state);
        for (uint32_t i = 0; i < way->count; i++) {
            xids_chacha20_stream(want, sizeof(want), key, nonce, state[12] + i);
            ck_assert_mem_eq(got + (size_t)i * 64, want, sizeof(want));
        }
        ck_assert_uint_eq(got[(size_t)way->count * 64], 0xee);
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("chacha20");
    TCase *t = tcase_create("stream");
    tcase_add_loop_test(t, appendix_a1_of_the_rfc_holds, 0, (int)(sizeof(vectors) / sizeof(vectors[0])));
    tcase_add_test(t, block_of_section_2_3_2_holds);
    tcase_add_test(t, text_of_section_2_4_2_encrypts);
    tcase_add_test(t, every_length_gives_the_same_stream_and_not_a_byte_more);
    tcase_add_test(t, output_needs_no_alignment);
    tcase_add_test(t, any_counter_can_be_the_first);
    tcase_add_test(t, every_bit_of_key_and_nonce_matters);
    tcase_add_test(t, blocks_side_by_side_are_those_one_by_one);
    suite_add_tcase(s, t);
    return s;
}
