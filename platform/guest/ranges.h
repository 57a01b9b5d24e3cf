/* SPDX-License-Identifier: ISC */
/*
 * Lists of address ranges: what memory there is, without what is taken. Pure functions.
 */
#ifndef XIDS_PLATFORM_GUEST_RANGES_H
#define XIDS_PLATFORM_GUEST_RANGES_H

#include <xids/base.h>

#define GUEST_RANGES 32u

/* Bytes, end not included. */
struct guest_range {
    uint64_t start, end;
};

/* Sorted by start, none touching another, each of whole pages. */
struct guest_ranges {
    struct guest_range range[GUEST_RANGES];
    unsigned int count;
};

/*
 * Adds the whole pages of a range; what overlaps or touches becomes one. When the list is full the smallest of its
 * ranges is given up: memory that is not used, not memory that is not there.
 */
void guest_ranges_add(struct guest_ranges *ranges, uint64_t start, uint64_t end);

/*
 * Takes out every page that the range touches. When that splits one and the list is full, the smaller part is given
 * up too.
 */
void guest_ranges_remove(struct guest_ranges *ranges, uint64_t start, uint64_t end);

/* Takes a page from the end of the last range that lies wholly below limit: its address, 0 when there is none. */
uint64_t guest_ranges_take(struct guest_ranges *ranges, uint64_t limit);

#endif
