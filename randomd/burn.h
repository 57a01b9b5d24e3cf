/* SPDX-License-Identifier: ISC */
/*
 * Wiping what the compiler keeps of secrets besides our variables: vectors and words for which there was no register
 * lie on the stack of the function that worked with them, and a whole key can be among them. So that work is done in
 * functions that are never inlined, and who calls them wipes the stack below itself when they are done.
 */
#ifndef XIDS_RANDOMD_BURN_H
#define XIDS_RANDOMD_BURN_H

#include <xids/base.h>

#define NEVER_INLINE __attribute__((noinline))

/* Makes name a function that wipes so many bytes of the stack below its caller. */
#define DEFINE_BURN(name, bytes)         \
    NEVER_INLINE static void name(void)  \
    {                                    \
        uint8_t below[bytes];            \
        xids_wipe(below, sizeof(below)); \
    }

#endif
