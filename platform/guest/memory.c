/* SPDX-License-Identifier: ISC */
/*
 * Pages. Each range of free memory is a zone; a bitmap at its start has a bit for each of its pages, set while the page
 * is taken. The search goes on where the last one ended.
 */
#include "platform/guest/guest.h"

#define BITS 64u
#define BITS_PER_PAGE ((size_t)XIDS_PAGE_SIZE * 8)

struct zone {
    uint8_t *base;  /* the first page that can be had */
    uint64_t *used; /* a bit a page; those behind the last page are set */
    size_t pages;
    size_t unused;
    size_t next; /* the word of the bitmap where the next search begins */
};

static struct zone zones[GUEST_RANGES];
static unsigned int zone_count;

static size_t words_of(const struct zone *zone)
{
    return (zone->pages + BITS - 1) / BITS;
}

static void zone_init(struct zone *zone, uint64_t start, uint64_t end)
{
    size_t all = (size_t)((end - start) / XIDS_PAGE_SIZE);
    /* One page of bitmap serves itself and the next 32768 pages. */
    size_t bitmap = (all + BITS_PER_PAGE) / (BITS_PER_PAGE + 1);
    zone->used = (uint64_t *)(uintptr_t)start;
    zone->base = (uint8_t *)(uintptr_t)start + bitmap * XIDS_PAGE_SIZE;
    zone->pages = zone->unused = all - bitmap;
    zone->next = 0;
    __builtin_memset(zone->used, 0, bitmap * XIDS_PAGE_SIZE);
    if (zone->pages % BITS != 0)
        zone->used[zone->pages / BITS] = ~UINT64_C(0) << zone->pages % BITS;
}

int guest_memory_init(const struct guest_boot *boot)
{
    zone_count = 0;
    for (unsigned int i = 0; i < boot->ranges.count; i++) {
        const struct guest_range *range = &boot->ranges.range[i];
        if (range->end - range->start >= 2 * XIDS_PAGE_SIZE)
            zone_init(&zones[zone_count++], range->start, range->end);
    }
    return zone_count > 0 ? 0 : -XEN_ENOMEM;
}

/* Marks a run of pages; false, and nothing is changed, when one of them is not as it should be. */
static bool mark(struct zone *zone, size_t page, unsigned int count, bool used)
{
    for (unsigned int i = 0; i < count; i++)
        if ((zone->used[(page + i) / BITS] >> (page + i) % BITS & 1) == used)
            return false;
    for (unsigned int i = 0; i < count; i++)
        zone->used[(page + i) / BITS] ^= UINT64_C(1) << (page + i) % BITS;
    zone->unused = used ? zone->unused - count : zone->unused + count;
    return true;
}

/* The first of count free pages in a row, looked for in the bitmap's words from..to; SIZE_MAX: there are none. */
static size_t find(const struct zone *zone, size_t from, size_t to, unsigned int count)
{
    size_t run = 0;
    for (size_t w = from; w < to; w++) {
        uint64_t word = zone->used[w];
        if (word == ~UINT64_C(0)) {
            run = 0;
        } else if (word == 0) {
            run += BITS;
            if (run >= count)
                return (w + 1) * BITS - run;
        } else {
            for (unsigned int b = 0; b < BITS; b++) {
                run = (word >> b & 1) != 0 ? 0 : run + 1;
                if (run == count)
                    return w * BITS + b + 1 - count;
            }
        }
    }
    return SIZE_MAX;
}

void *guest_pages_get(unsigned int count)
{
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX)
        return NULL;
    for (unsigned int z = 0; z < zone_count; z++) {
        struct zone *zone = &zones[z];
        if (zone->unused < count)
            continue;
        /* A run that crosses the place where the search begins is found the second time. */
        size_t page = find(zone, zone->next, words_of(zone), count);
        if (page == SIZE_MAX)
            page = find(zone, 0, words_of(zone), count);
        if (page == SIZE_MAX)
            continue;
        if (!mark(zone, page, count, true))
            xids_guest_panic("the memory allocator's bitmap is damaged");
        zone->next = (page + count) / BITS % words_of(zone);
        void *pages = zone->base + page * XIDS_PAGE_SIZE;
        __builtin_memset(pages, 0, (size_t)count * XIDS_PAGE_SIZE);
        return pages;
    }
    return NULL;
}

void guest_pages_put(void *pages, unsigned int count)
{
    uintptr_t at = (uintptr_t)pages;
    for (unsigned int z = 0; z < zone_count; z++) {
        struct zone *zone = &zones[z];
        uintptr_t base = (uintptr_t)zone->base;
        if (at < base || at - base >= zone->pages * XIDS_PAGE_SIZE)
            continue;
        size_t page = (at - base) / XIDS_PAGE_SIZE;
        if (at % XIDS_PAGE_SIZE != 0 || count > zone->pages - page || !mark(zone, page, count, false))
            break;
        return;
    }
    xids_guest_panic("pages given back that nobody had");
}

void xids_guest_memory(const struct xids_guest *g, uint64_t *total, uint64_t *unused)
{
    (void)g;
    *total = *unused = 0;
    for (unsigned int z = 0; z < zone_count; z++) {
        *total += zones[z].pages * XIDS_PAGE_SIZE;
        *unused += zones[z].unused * XIDS_PAGE_SIZE;
    }
}
