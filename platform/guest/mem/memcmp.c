/* SPDX-License-Identifier: ISC */
#include "platform/guest/mem/words.h"

int memcmp(const void *a, const void *b, size_t len)
{
    const unsigned char *l = a, *r = b;
    /* Equal words are passed over; the first that differ are looked at byte by byte. */
    for (; len >= 8 && ((const struct word *)l)->v == ((const struct word *)r)->v; len -= 8) {
        l += 8;
        r += 8;
    }
    for (; len > 0; len--, l++, r++)
        if (*l != *r)
            return *l - *r;
    return 0;
}
