/* SPDX-License-Identifier: ISC */
/* Of the library for kernels alone: nothing is faster there than the general code. */
#include "randomd/chacha20_wide.h"

size_t xids_chacha20_wide_(uint8_t *out, size_t len, uint32_t state[16])
{
    (void)out;
    (void)len;
    (void)state;
    return 0;
}
