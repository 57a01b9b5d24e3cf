/* SPDX-License-Identifier: ISC */
#include "platform/guest/mem/words.h"

void *memmove(void *to, const void *from, size_t len)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= len) {
        /* Upwards: what is read was not yet written. */
        for (; len >= 8; len -= 8, t += 8, f += 8)
            ((struct word *)t)->v = ((const struct word *)f)->v;
        for (; len > 0; len--)
            *t++ = *f++;
        return to;
    }
    t += len;
    f += len;
    for (; len >= 8; len -= 8) {
        t -= 8;
        f -= 8;
        ((struct word *)t)->v = ((const struct word *)f)->v;
    }
    for (; len > 0; len--)
        *--t = *--f;
    return to;
}
