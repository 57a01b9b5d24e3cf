/* SPDX-License-Identifier: ISC */
/* The bare guest's formatting, against the C library's, and the words of its command line. */
#include "platform/guest/guest.h"
#include "tests/unit/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char got[2048];
static size_t got_len;
static unsigned int pieces;

static void collect(const char *text, size_t len)
{
    ck_assert_uint_gt(len, 0);
    ck_assert_uint_lt(got_len + len, sizeof(got));
    memcpy(got + got_len, text, len);
    got_len += len;
    got[got_len] = '\0';
    pieces++;
}

void guest_console_write(const char *text, size_t len)
{
    collect(text, len);
}

void arch_early_write(const char *text, size_t len)
{
    collect(text, len);
}

static void reset(void)
{
    got_len = 0;
    got[0] = '\0';
    pieces = 0;
}

/* Both print the same. */
#define SAME(...)                                  \
    do {                                           \
        char want[2048];                           \
        reset();                                   \
        xids_guest_print(__VA_ARGS__);             \
        snprintf(want, sizeof(want), __VA_ARGS__); \
        ck_assert_str_eq(got, want);               \
    } while (0)

START_TEST(formats_are_the_c_librarys)
{
    SAME("plain");
    SAME("%d %d %d", 0, INT32_MAX, INT32_MIN);
    SAME("%5d|%-5d|%05d|%05d", 42, 42, 42, -42);
    SAME("%3d|%03d", 123456, -123456);
    SAME("%u %u", 0u, UINT32_MAX);
    SAME("%x %08x %8x", 0xabcdefu, 0xabcu, 0xabcu);
    SAME("%ld %lu %lx", INT64_MIN, UINT64_MAX, UINT64_MAX);
    SAME("%lld %llu %llx", (long long)INT64_MIN, (unsigned long long)UINT64_MAX, 0x123ull);
    SAME("%zu %zx", SIZE_MAX, (size_t)0);
    SAME("%s|%8s|%-8s|%2s", "text", "text", "text", "text");
    SAME("%c%c%c", 'a', '%', 'b');
    SAME("100%%");
    SAME("%p %p", (void *)0x1000, (void *)UINTPTR_MAX);
    SAME("%300s|", "far");
    SAME("%-300d|%0300d|", 7, -7);
}
END_TEST

START_TEST(random_numbers_are_the_c_librarys)
{
    srand((unsigned int)_i);
    for (int i = 0; i < 500; i++) {
        uint64_t n = (uint64_t)rand() << 40 ^ (uint64_t)rand() << 20 ^ (uint64_t)rand();
        n >>= rand() % 64;
        SAME("%" PRIu64 " %" PRIx64 " %" PRId64 " %20" PRIu64 " %020" PRId64, n, n, (int64_t)n, n, -(int64_t)n);
        SAME("%u %x %d %10d", (unsigned int)n, (unsigned int)n, (int)n, (int)n);
    }
}
END_TEST

START_TEST(null_is_no_string_but_harms_nobody)
{
    const char *volatile none = NULL;
    reset();
    xids_guest_print("[%s]", none);
    ck_assert_str_eq(got, "[(null)]");
    reset();
    xids_guest_print("%p", (void *)0);
    ck_assert_str_eq(got, "0x0");
}
END_TEST

START_TEST(what_is_not_known_ends_the_text)
{
    static const char *const formats[] = {"a%fb", "a%", "a%5", "a%q%s", "a%l"};
    reset();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    const char *volatile format = formats[_i];
    xids_guest_print(format);
#pragma GCC diagnostic pop
    ck_assert_str_eq(got, "a(unknown format)");
}
END_TEST

START_TEST(a_line_is_one_piece)
{
    reset();
    xids_guest_print("%s: %d of %u\n", "word", 3, 4u);
    ck_assert_uint_eq(pieces, 1);
    reset();
    guest_early_print("%1000s\n", "");
    ck_assert_uint_eq(got_len, 1001);
    reset();
    xids_guest_print("%s", "");
    ck_assert_uint_eq(pieces, 0);
}
END_TEST

/* ---- the command line ---- */

static const struct {
    const char *line, *name;
    size_t room;
    int result;
    const char *value;
} options[] = {
    {"a=1 b=2", "a", 8, 1, "1"},
    {"a=1 b=2", "b", 8, 1, "2"},
    {"a=1 b=2", "c", 8, -XEN_ENOENT, NULL},
    {"", "a", 8, -XEN_ENOENT, NULL},
    {"   a=1   ", "a", 8, 1, "1"},
    {"aa=1 a=2", "a", 8, 1, "2"},
    {"a=1 aa=2", "aa", 8, 1, "2"},
    {"a a=2", "a", 8, 1, "2"},
    {"a", "a", 8, -XEN_ENOENT, NULL},
    {"a=", "a", 1, 0, ""},
    {"a=", "a", 0, -XEN_ENAMETOOLONG, NULL},
    {"a=1=2", "a", 8, 3, "1=2"},
    {"a=1 a=2", "a", 8, 1, "1"},
    {"a=1234567", "a", 8, 7, "1234567"},
    {"a=12345678", "a", 8, -XEN_ENAMETOOLONG, NULL},
    {"=1", "a", 8, -XEN_ENOENT, NULL},
    {"ba=1", "a", 8, -XEN_ENOENT, NULL},
};

START_TEST(options_are_found)
{
    struct xids_guest g = {.command_line = options[_i].line};
    char value[16] = "untouched";
    ck_assert_int_eq(xids_guest_option(&g, value, options[_i].room, options[_i].name), options[_i].result);
    ck_assert_str_eq(value, options[_i].value != NULL ? options[_i].value : "untouched");
    ck_assert_str_eq(xids_guest_command_line(&g), options[_i].line);
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest print");
    TCase *print = tcase_create("print"), *words = tcase_create("command line");
    tcase_add_test(print, formats_are_the_c_librarys);
    tcase_add_loop_test(print, random_numbers_are_the_c_librarys, 0, 4);
    tcase_add_test(print, null_is_no_string_but_harms_nobody);
    tcase_add_loop_test(print, what_is_not_known_ends_the_text, 0, 5);
    tcase_add_test(print, a_line_is_one_piece);
    tcase_add_loop_test(words, options_are_found, 0, (int)(sizeof(options) / sizeof(options[0])));
    suite_add_tcase(s, print);
    suite_add_tcase(s, words);
    return s;
}
