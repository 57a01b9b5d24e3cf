/* SPDX-License-Identifier: ISC */
#include "platform/guest/mem/words.h"

void *memset(void *at, int value, size_t len)
{
    unsigned char *t = at;
    uint64_t v = (uint64_t)(unsigned char)value * UINT64_C(0x0101010101010101);
    for (; len >= 32; len -= 32, t += 32) {
        struct word *o = (struct word *)t;
        o[0].v = v;
        o[1].v = v;
        o[2].v = v;
        o[3].v = v;
    }
    for (; len > 0; len--)
        *t++ = (unsigned char)value;
    return at;
}
