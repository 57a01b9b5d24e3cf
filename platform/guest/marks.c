/* SPDX-License-Identifier: ISC */
/*
 * Where the time went, from the first instruction on.
 */
#include "platform/guest/guest.h"

static struct xids_guest_mark marks[XIDS_GUEST_MARKS];
static uint64_t cycles[XIDS_GUEST_MARKS]; /* of those that were noted before the clock stood */
static unsigned int count;
static bool clock_stands;
static uint64_t start; /* the first instruction's time */

void guest_marks_init(const struct guest_boot *boot)
{
    start = guest_now() - guest_cycles_to_ns(arch_cycles() - boot->first_tsc);
    for (unsigned int i = 0; i < count; i++)
        marks[i].ns = guest_cycles_to_ns(cycles[i] - boot->first_tsc);
    clock_stands = true;
}

void xids_guest_mark(struct xids_guest *g, const char *name)
{
    (void)g;
    if (count == XIDS_GUEST_MARKS)
        return;
    if (clock_stands)
        marks[count].ns = guest_now() - start;
    else
        cycles[count] = arch_cycles();
    marks[count++].name = name;
}

unsigned int xids_guest_marks(const struct xids_guest *g, const struct xids_guest_mark **all)
{
    (void)g;
    *all = marks;
    return count;
}
