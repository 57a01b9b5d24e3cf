/* SPDX-License-Identifier: ISC */
/*
 * What an ordinary program's CPU can do beyond the general code of chacha20.c: more blocks side by side, where it says
 * at run time that it has the vectors. A kernel's library has none of it (chacha20_narrow.c): its vector registers are
 * not ours to use.
 */
#ifndef XIDS_RANDOMD_CHACHA20_WIDE_H
#define XIDS_RANDOMD_CHACHA20_WIDE_H

#include <xids/base.h>

/*
 * Writes the key stream's blocks from state on as far as whole ones are wanted and this is the faster way, and moves
 * the state's counter on. Returns the bytes written, 0 included.
 */
size_t xids_chacha20_wide_(uint8_t *out, size_t len, uint32_t state[16]);

/* One way to do so: at least one call of blocks, for each count times 64 bytes wanted. Hosted only; for the tests too.
 */
struct chacha20_way {
    bool (*usable)(void);
    void (*blocks)(uint8_t *out, const uint32_t state[16]);
    uint32_t count;
};

/* The best first; ends with one that has no blocks. */
extern const struct chacha20_way xids_chacha20_ways_[];

#endif
