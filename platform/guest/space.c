/* SPDX-License-Identifier: ISC */
/*
 * Addresses without memory: mapped one to one by our page tables, and nothing behind them until Xen is asked to put
 * something there (its shared info, the grant table, other domains' pages).
 */
#include "platform/guest/guest.h"

/* So many are managed at most: 256 MiB. */
#define PAGES 65536u
#define BITS 64u

static uint64_t used[PAGES / BITS];
static uintptr_t start;
static unsigned int pages; /* that there are */
static unsigned int next;  /* where the search begins: addresses come back into use late */

static bool is_used(unsigned int page)
{
    return (used[page / BITS] >> (page % BITS) & 1u) != 0;
}

static void mark(unsigned int page, unsigned int count, bool taken)
{
    for (; count > 0; page++, count--) {
        uint64_t bit = (uint64_t)1 << (page % BITS);
        used[page / BITS] = taken ? used[page / BITS] | bit : used[page / BITS] & ~bit;
    }
}

int guest_space_init(const struct guest_boot *boot)
{
    uint64_t from = (boot->space_start + XIDS_PAGE_SIZE - 1) & ~(uint64_t)(XIDS_PAGE_SIZE - 1);
    if (boot->space_end < from)
        return -XEN_ENOMEM;
    uint64_t count = (boot->space_end - from) / XIDS_PAGE_SIZE;
    start = (uintptr_t)from;
    pages = count < PAGES ? (unsigned int)count : PAGES;
    next = 0;
    mark(0, PAGES, false);
    return pages > 0 ? 0 : -XEN_ENOMEM;
}

/* The first of count free pages in a row within [from, to); to when there are none. */
static unsigned int find(unsigned int from, unsigned int to, unsigned int count)
{
    unsigned int run = 0;
    for (unsigned int page = from; page < to;) {
        if (page % BITS == 0 && used[page / BITS] == ~(uint64_t)0) {
            page += BITS;
            run = 0;
            continue;
        }
        run = is_used(page) ? 0 : run + 1;
        page++;
        if (run == count)
            return page - count;
    }
    return to;
}

uintptr_t guest_space_get(unsigned int count)
{
    if (count == 0 || count > pages)
        return 0;
    unsigned int at = find(next, pages, count);
    if (at == pages)
        at = find(0, pages, count);
    if (at == pages)
        return 0;
    mark(at, count, true);
    next = at + count == pages ? 0 : at + count;
    return start + (uintptr_t)at * XIDS_PAGE_SIZE;
}

void guest_space_put(uintptr_t at, unsigned int count)
{
    mark((unsigned int)((at - start) / XIDS_PAGE_SIZE), count, false);
}
