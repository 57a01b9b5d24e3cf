/* SPDX-License-Identifier: ISC */
/*
 * Randomness of this machine's own.
 */
#include "platform/guest/guest.h"

void xids_guest_local_entropy(struct xids_guest *g, void *out, size_t len, unsigned int *bits)
{
    (void)g;
    uint8_t *bytes = out;
    uint64_t state = 0;

    __builtin_memset(out, 0, len);
    (void)arch_random(out, len, bits);
    /*
     * How long a chain of dependent work takes differs a little each time. Nothing is credited for it; it is for
     * machines that have nothing else, and it takes nothing away from what is there.
     */
    for (size_t i = 0; i < len; i++) {
        for (unsigned int k = 0; k < 16; k++) {
            state = (state ^ arch_cycles()) * UINT64_C(0x9e3779b97f4a7c15);
            for (uint64_t work = state >> 59; work > 0; work--)
                __asm__ __volatile__("" : "+r"(state));
            state ^= state >> 29;
        }
        bytes[i] ^= (uint8_t)(state >> 56);
    }
    xids_wipe(&state, sizeof(state));
}
