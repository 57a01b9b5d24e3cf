/* SPDX-License-Identifier: ISC */
/* The bare guest's memory: lists of ranges, and the page allocator over memory of the test's own. */
#include "platform/guest/guest.h"
#include "tests/unit/suite.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ((uint64_t)XIDS_PAGE_SIZE)

static jmp_buf panicked;
static const char *panic_reason;

__attribute__((noreturn)) void xids_guest_panic(const char *what)
{
    panic_reason = what;
    longjmp(panicked, 1);
}

/* Runs a statement that must panic. */
#define ASSERT_PANICS(statement)      \
    do {                              \
        if (setjmp(panicked) == 0) {  \
            statement;                \
            ck_abort_msg("no panic"); \
        }                             \
    } while (0)

/* ---- ranges ---- */

static struct guest_ranges r;

static void assert_sound(void)
{
    for (unsigned int i = 0; i < r.count; i++) {
        ck_assert_uint_lt(r.range[i].start, r.range[i].end);
        ck_assert_uint_eq(r.range[i].start % PAGE, 0);
        ck_assert_uint_eq(r.range[i].end % PAGE, 0);
        if (i > 0)
            ck_assert_uint_lt(r.range[i - 1].end, r.range[i].start);
    }
}

START_TEST(ranges_are_whole_pages)
{
    r.count = 0;
    guest_ranges_add(&r, 1, 2 * PAGE - 1);
    ck_assert_uint_eq(r.count, 0);
    guest_ranges_add(&r, 1, 3 * PAGE + 5);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_uint_eq(r.range[0].start, PAGE);
    ck_assert_uint_eq(r.range[0].end, 3 * PAGE);
    /* What is taken out of a page takes the page. */
    guest_ranges_remove(&r, 2 * PAGE + 7, 2 * PAGE + 8);
    ck_assert_uint_eq(r.range[0].end, 2 * PAGE);
    guest_ranges_remove(&r, PAGE, PAGE);
    ck_assert_uint_eq(r.count, 1);
}
END_TEST

START_TEST(ranges_at_the_end_of_all_addresses_do_not_wrap)
{
    r.count = 0;
    guest_ranges_add(&r, UINT64_MAX - 3 * PAGE, UINT64_MAX);
    assert_sound();
    guest_ranges_add(&r, UINT64_MAX - 5, UINT64_MAX);
    guest_ranges_remove(&r, UINT64_MAX - 5, UINT64_MAX);
    assert_sound();
}
END_TEST

/* Against a bitmap of 256 pages, with few enough ranges that none is given up. */
START_TEST(ranges_follow_a_bitmap)
{
    uint8_t map[256] = {0};
    srand((unsigned int)_i);
    r.count = 0;
    for (int n = 0; n < 200; n++) {
        uint64_t start = (uint64_t)rand() % 256, len = (uint64_t)rand() % 40,
                 end = start + len > 256 ? 256 : start + len;
        bool add = rand() % 2 == 0;
        unsigned int runs = 0;
        uint8_t next[256];
        memcpy(next, map, sizeof(map));
        memset(next + start, add, end - start);
        for (unsigned int i = 0; i < 256; i++)
            runs += next[i] && (i == 0 || !next[i - 1]);
        if (runs > GUEST_RANGES)
            continue;
        memcpy(map, next, sizeof(map));
        if (add)
            guest_ranges_add(&r, start * PAGE, end * PAGE);
        else
            guest_ranges_remove(&r, start * PAGE, end * PAGE);
        assert_sound();
        ck_assert_uint_eq(r.count, runs);
        for (unsigned int i = 0; i < r.count; i++) {
            for (uint64_t p = r.range[i].start / PAGE; p < r.range[i].end / PAGE; p++)
                map[p] |= 2;
        }
        for (unsigned int i = 0; i < 256; i++) {
            ck_assert_msg(map[i] == 0 || map[i] == 3, "seed %d, step %d, page %u", _i, n, i);
            map[i] &= 1;
        }
    }
}
END_TEST

START_TEST(a_full_list_gives_up_the_smallest)
{
    r.count = 0;
    for (uint64_t i = 0; i < GUEST_RANGES; i++)
        guest_ranges_add(&r, i * 100 * PAGE, (i * 100 + (i == 7 ? 2 : 10)) * PAGE);
    guest_ranges_add(&r, 100000 * PAGE, 100001 * PAGE);
    ck_assert_uint_eq(r.range[GUEST_RANGES - 1].start, (uint64_t)(GUEST_RANGES - 1) * 100 * PAGE);
    guest_ranges_add(&r, 100000 * PAGE, 100003 * PAGE);
    ck_assert_uint_eq(r.count, GUEST_RANGES);
    ck_assert_uint_eq(r.range[7].start, 800 * PAGE);
    ck_assert_uint_eq(r.range[GUEST_RANGES - 1].start, 100000 * PAGE);
    assert_sound();
    /* A split with no room keeps the larger part when it is the new one. */
    guest_ranges_remove(&r, 1 * PAGE, 2 * PAGE);
    assert_sound();
    ck_assert_uint_eq(r.count, GUEST_RANGES);
    for (unsigned int i = 0; i < r.count; i++)
        ck_assert(r.range[i].start >= 2 * PAGE || r.range[i].end <= PAGE);
}
END_TEST

START_TEST(pages_are_taken_below_a_limit)
{
    r.count = 0;
    guest_ranges_add(&r, 4 * PAGE, 6 * PAGE);
    guest_ranges_add(&r, 8 * PAGE, 12 * PAGE);
    ck_assert_uint_eq(guest_ranges_take(&r, 10 * PAGE), 5 * PAGE);
    ck_assert_uint_eq(guest_ranges_take(&r, 12 * PAGE), 11 * PAGE);
    ck_assert_uint_eq(guest_ranges_take(&r, 10 * PAGE), 4 * PAGE);
    ck_assert_uint_eq(r.count, 1);
    ck_assert_uint_eq(guest_ranges_take(&r, 10 * PAGE), 0);
}
END_TEST

/* ---- pages ---- */

#define MEMORY_PAGES 4000u

static uint8_t *memory;
static struct guest_boot boot;

/* Three zones: a large one, one of a page, which is of no use, and a small one. */
static void setup(void)
{
    memory = aligned_alloc(PAGE, MEMORY_PAGES * PAGE);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xee, MEMORY_PAGES * PAGE);
    uint64_t at = (uintptr_t)memory;
    boot.ranges.count = 0;
    guest_ranges_add(&boot.ranges, at, at + 3000 * PAGE);
    guest_ranges_add(&boot.ranges, at + 3100 * PAGE, at + 3101 * PAGE);
    guest_ranges_add(&boot.ranges, at + 3200 * PAGE, at + 3300 * PAGE);
    ck_assert_int_eq(guest_memory_init(&boot), 0);
}

static void teardown(void)
{
    uint64_t total, unused;
    xids_guest_memory(NULL, &total, &unused);
    ck_assert_uint_eq(total, unused);
    free(memory);
}

static bool inside(const uint8_t *at, unsigned int count)
{
    size_t page = (size_t)(at - memory) / PAGE;
    return at >= memory && (size_t)(at - memory) % PAGE == 0 &&
           (page + count <= 3000 || (page >= 3200 && page + count <= 3300));
}

static bool all(const uint8_t *at, size_t len, uint8_t value)
{
    return at[0] == value && memcmp(at, at + 1, len - 1) == 0;
}

START_TEST(every_page_can_be_had_once)
{
    static uint8_t *had[MEMORY_PAGES];
    static bool seen[MEMORY_PAGES];
    uint64_t total, unused;
    unsigned int n = 0;
    xids_guest_memory(NULL, &total, &unused);
    ck_assert_uint_ge(total / PAGE, 3000 + 100 - 2);
    while ((had[n] = guest_pages_get(1)) != NULL) {
        ck_assert(inside(had[n], 1));
        size_t page = (size_t)(had[n] - memory) / PAGE;
        ck_assert(!seen[page]);
        seen[page] = true;
        memset(had[n++], 0x55, PAGE);
    }
    ck_assert_uint_eq(n, total / PAGE);
    xids_guest_memory(NULL, &total, &unused);
    ck_assert_uint_eq(unused, 0);
    while (n > 0)
        guest_pages_put(had[--n], 1);
}
END_TEST

START_TEST(runs_are_contiguous_and_zeroed)
{
    uint8_t *large = guest_pages_get(1024), *small = guest_pages_get(3);
    ck_assert(inside(large, 1024) && inside(small, 3));
    ck_assert(all(large, 1024 * PAGE, 0));
    memset(large, 0x55, 1024 * PAGE);
    ck_assert(all(small, 3 * PAGE, 0));
    guest_pages_put(large, 1024);
    guest_pages_put(small, 3);
    /* What was written is not seen by the next. */
    for (int i = 0; i < 10; i++) {
        large = guest_pages_get(1024);
        ck_assert(all(large, 1024 * PAGE, 0));
        memset(large, 0x55, 1024 * PAGE);
        guest_pages_put(large, 1024);
    }
}
END_TEST

START_TEST(counts_out_of_bounds_are_refused)
{
    ck_assert_ptr_null(guest_pages_get(0));
    ck_assert_ptr_null(guest_pages_get(1025));
    ck_assert_ptr_null(guest_pages_get(UINT32_MAX));
}
END_TEST

START_TEST(a_run_needs_free_neighbours)
{
    /* All taken, then every other page given back: many are free, no two in a row. */
    static uint8_t *had[MEMORY_PAGES];
    unsigned int n = 0;
    while ((had[n] = guest_pages_get(1)) != NULL)
        n++;
    for (unsigned int i = 0; i < n; i++)
        if ((had[i] - memory) / (ptrdiff_t)PAGE % 2 == 0)
            guest_pages_put(had[i], 1);
    ck_assert_ptr_null(guest_pages_get(2));
    uint8_t *one = guest_pages_get(1);
    ck_assert_ptr_nonnull(one);
    guest_pages_put(one, 1);
    for (unsigned int i = 0; i < n; i++)
        if ((had[i] - memory) / (ptrdiff_t)PAGE % 2 != 0)
            guest_pages_put(had[i], 1);
}
END_TEST

START_TEST(random_use_keeps_what_was_written)
{
    struct {
        uint8_t *at;
        unsigned int count;
        uint8_t value;
    } held[64] = {{0}};
    srand((unsigned int)_i);
    for (int n = 0; n < 2000; n++) {
        unsigned int i = (unsigned int)rand() % 64;
        if (held[i].at != NULL) {
            ck_assert_msg(all(held[i].at, held[i].count * PAGE, held[i].value), "seed %d, step %d", _i, n);
            guest_pages_put(held[i].at, held[i].count);
            held[i].at = NULL;
            continue;
        }
        held[i].count = rand() % 4 == 0 ? 1u + (unsigned int)rand() % 300 : 1u + (unsigned int)rand() % 5;
        held[i].value = (uint8_t)(1 + rand() % 255);
        held[i].at = guest_pages_get(held[i].count);
        if (held[i].at == NULL)
            continue;
        ck_assert(inside(held[i].at, held[i].count));
        ck_assert_msg(all(held[i].at, held[i].count * PAGE, 0), "seed %d, step %d", _i, n);
        memset(held[i].at, held[i].value, held[i].count * PAGE);
    }
    for (unsigned int i = 0; i < 64; i++)
        if (held[i].at != NULL)
            guest_pages_put(held[i].at, held[i].count);
}
END_TEST

START_TEST(giving_back_what_nobody_has_panics)
{
    uint8_t *pages = guest_pages_get(4);
    ASSERT_PANICS(guest_pages_put(pages + 1, 1));
    ASSERT_PANICS(guest_pages_put(pages, 5));
    ASSERT_PANICS(guest_pages_put(memory, 1)); /* the bitmap itself */
    ASSERT_PANICS(guest_pages_put(memory + 3100 * PAGE, 1));
    ASSERT_PANICS(guest_pages_put(memory + 3299 * PAGE, 2));
    ASSERT_PANICS(guest_pages_put(NULL, 1));
    ck_assert_str_eq(panic_reason, "pages given back that nobody had");
    guest_pages_put(pages, 4);
    ASSERT_PANICS(guest_pages_put(pages, 4));
}
END_TEST

START_TEST(no_memory_is_an_error)
{
    struct guest_boot none = {0};
    ck_assert_int_eq(guest_memory_init(&none), -XEN_ENOMEM);
    ck_assert_ptr_null(guest_pages_get(1));
}
END_TEST

Suite *xids_suite(void)
{
    Suite *s = suite_create("guest pages");
    TCase *ranges = tcase_create("ranges"), *pages = tcase_create("pages");
    tcase_add_test(ranges, ranges_are_whole_pages);
    tcase_add_test(ranges, ranges_at_the_end_of_all_addresses_do_not_wrap);
    tcase_add_loop_test(ranges, ranges_follow_a_bitmap, 0, 20);
    tcase_add_test(ranges, a_full_list_gives_up_the_smallest);
    tcase_add_test(ranges, pages_are_taken_below_a_limit);
    tcase_add_test(ranges, no_memory_is_an_error);
    tcase_add_checked_fixture(pages, setup, teardown);
    tcase_add_test(pages, every_page_can_be_had_once);
    tcase_add_test(pages, runs_are_contiguous_and_zeroed);
    tcase_add_test(pages, counts_out_of_bounds_are_refused);
    tcase_add_test(pages, a_run_needs_free_neighbours);
    tcase_add_loop_test(pages, random_use_keeps_what_was_written, 0, 10);
    tcase_add_test(pages, giving_back_what_nobody_has_panics);
    suite_add_tcase(s, ranges);
    suite_add_tcase(s, pages);
    return s;
}
