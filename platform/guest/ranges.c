/* SPDX-License-Identifier: ISC */
#include "platform/guest/ranges.h"

#define PAGE_MASK ((uint64_t)XIDS_PAGE_SIZE - 1)

static uint64_t page_down(uint64_t at)
{
    return at & ~PAGE_MASK;
}

/* The last page of all is never asked for, so that nothing overflows. */
static uint64_t page_up(uint64_t at)
{
    return at > UINT64_MAX - PAGE_MASK ? page_down(UINT64_MAX) : page_down(at + PAGE_MASK);
}

static uint64_t size(const struct guest_range *range)
{
    return range->end - range->start;
}

static void drop(struct guest_ranges *ranges, unsigned int i)
{
    ranges->count--;
    for (; i < ranges->count; i++)
        ranges->range[i] = ranges->range[i + 1];
}

/* Puts a range before the one at i. */
static void insert(struct guest_ranges *ranges, unsigned int i, struct guest_range new)
{
    if (ranges->count == GUEST_RANGES) {
        unsigned int smallest = 0;
        for (unsigned int k = 1; k < ranges->count; k++)
            if (size(&ranges->range[k]) < size(&ranges->range[smallest]))
                smallest = k;
        if (size(&new) <= size(&ranges->range[smallest]))
            return;
        drop(ranges, smallest);
        if (smallest < i)
            i--;
    }
    for (unsigned int k = ranges->count; k > i; k--)
        ranges->range[k] = ranges->range[k - 1];
    ranges->range[i] = new;
    ranges->count++;
}

void guest_ranges_add(struct guest_ranges *ranges, uint64_t start, uint64_t end)
{
    struct guest_range new = {page_up(start), page_down(end)};
    unsigned int i = 0;
    if (new.start >= new.end)
        return;
    while (i < ranges->count && ranges->range[i].end < new.start)
        i++;
    while (i < ranges->count && ranges->range[i].start <= new.end) {
        const struct guest_range *old = &ranges->range[i];
        new.start = old->start < new.start ? old->start : new.start;
        new.end = old->end > new.end ? old->end : new.end;
        drop(ranges, i);
    }
    insert(ranges, i, new);
}

void guest_ranges_remove(struct guest_ranges *ranges, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    start = page_down(start);
    end = page_up(end);
    for (unsigned int i = 0; i < ranges->count;) {
        struct guest_range *old = &ranges->range[i];
        if (end <= old->start || start >= old->end) {
            i++;
        } else if (start <= old->start && end >= old->end) {
            drop(ranges, i);
        } else if (start <= old->start) {
            old->start = end;
            i++;
        } else if (end >= old->end) {
            old->end = start;
            i++;
        } else {
            struct guest_range above = {end, old->end};
            old->end = start;
            insert(ranges, i + 1, above);
            return;
        }
    }
}

uint64_t guest_ranges_take(struct guest_ranges *ranges, uint64_t limit)
{
    for (unsigned int i = ranges->count; i-- > 0;) {
        struct guest_range *range = &ranges->range[i];
        if (range->end > limit)
            continue;
        range->end -= XIDS_PAGE_SIZE;
        uint64_t page = range->end;
        if (size(range) == 0)
            drop(ranges, i);
        return page;
    }
    return 0;
}
