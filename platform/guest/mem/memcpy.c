/* SPDX-License-Identifier: ISC */
#include "platform/guest/mem/words.h"

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    for (; len >= 32; len -= 32, t += 32, f += 32) {
        const struct word *w = (const struct word *)f;
        uint64_t a = w[0].v, b = w[1].v, c = w[2].v, d = w[3].v;
        struct word *o = (struct word *)t;
        o[0].v = a;
        o[1].v = b;
        o[2].v = c;
        o[3].v = d;
    }
    for (; len >= 8; len -= 8, t += 8, f += 8)
        ((struct word *)t)->v = ((const struct word *)f)->v;
    for (; len > 0; len--)
        *t++ = *f++;
    return to;
}
