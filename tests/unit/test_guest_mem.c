/* SPDX-License-Identifier: ISC */
/* The four memory functions of kernels, under other names, at every alignment. */
#include "tests/unit/suite.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The build calls them so. */
void *own_memcpy(void *to, const void *from, size_t len);
void *own_memmove(void *to, const void *from, size_t len);
void *own_memset(void *at, int value, size_t len);
int own_memcmp(const void *a, const void *b, size_t len);

#define SIZE 256u

static uint8_t from[SIZE], to[SIZE], want[SIZE];

static void fill(unsigned int seed)
{
    srand(seed);
    for (unsigned int i = 0; i < SIZE; i++) {
        from[i] = (uint8_t)rand();
        to[i] = want[i] = (uint8_t)rand();
    }
}

START_TEST(memcpy_copies_so_much)
{
    for (unsigned int a = 0; a < 16; a++)
        for (unsigned int len = 0; len < 150; len++) {
            fill(len);
            unsigned int b = (a * 7 + len) % 16;
            for (unsigned int i = 0; i < len; i++)
                want[a + i] = from[b + i];
            ck_assert_ptr_eq(own_memcpy(to + a, from + b, len), to + a);
            ck_assert_mem_eq(to, want, SIZE);
        }
}
END_TEST

START_TEST(memmove_bears_any_overlap)
{
    for (unsigned int a = 0; a < 40; a++)
        for (unsigned int b = 0; b < 40; b++)
            for (unsigned int len = 0; len < 60; len += 1 + len / 9) {
                fill(a * 40 + b);
                for (unsigned int i = 0; i < len; i++)
                    want[a + i] = to[b + i];
                ck_assert_ptr_eq(own_memmove(to + a, to + b, len), to + a);
                ck_assert_mem_eq(to, want, SIZE);
            }
}
END_TEST

START_TEST(memset_fills_so_much)
{
    for (unsigned int a = 0; a < 16; a++)
        for (unsigned int len = 0; len < 150; len++) {
            fill(len);
            for (unsigned int i = 0; i < len; i++)
                want[a + i] = 0x9b;
            ck_assert_ptr_eq(own_memset(to + a, 0x79b, len), to + a);
            ck_assert_mem_eq(to, want, SIZE);
        }
}
END_TEST

START_TEST(memcmp_finds_the_first_difference)
{
    for (unsigned int a = 0; a < 9; a++)
        for (unsigned int len = 0; len < 70; len++) {
            fill(len);
            for (unsigned int i = 0; i < len; i++)
                to[a + i] = from[i];
            ck_assert_int_eq(own_memcmp(from, to + a, len), 0);
            for (unsigned int i = 0; i < len; i++) {
                /* A later difference of the other direction must not matter. */
                to[a + i] = (uint8_t)(from[i] ^ 0x80);
                if (i + 1 < len)
                    to[a + i + 1] = (uint8_t)(from[i + 1] + (from[i] < to[a + i] ? -1 : 1));
                int got = own_memcmp(from, to + a, len);
                ck_assert(from[i] < to[a + i] ? got < 0 : got > 0);
                to[a + i] = from[i];
                if (i + 1 < len)
                    to[a + i + 1] = from[i + 1];
            }
        }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest mem");
    TCase *c = tcase_create("mem");
    tcase_add_test(c, memcpy_copies_so_much);
    tcase_add_test(c, memmove_bears_any_overlap);
    tcase_add_test(c, memset_fills_so_much);
    tcase_add_test(c, memcmp_finds_the_first_difference);
    suite_add_tcase(s, c);
    return s;
}
