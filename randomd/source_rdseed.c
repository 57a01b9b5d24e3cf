/* SPDX-License-Identifier: ISC */
/* The RDSEED instruction, in its 64-bit form only: the shorter ones had faults of their own. */
#include "randomd/daemon.h"

#include <string.h>

#define TRIES 10000u /* for one word: it fails often, but not as often as that */

#if defined(__x86_64__)

#include <cpuid.h>

static bool there(void)
{
    unsigned int a, b = 0, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_RDSEED) != 0;
}

static bool next_word(uint64_t *word)
{
    bool ok;
    __asm__ __volatile__("rdseed %0; setc %1; pause" : "=r"(*word), "=qm"(ok) : : "cc");
    return ok;
}

#else

static bool there(void)
{
    return false;
}

static bool next_word(uint64_t *word)
{
    *word = 0;
    return false;
}

#endif

bool (*source_rdseed_word)(uint64_t *word) = next_word;

static int rdseed_open(struct source_io *io)
{
    if (source_rdseed_word == next_word && !there())
        return source_fail(io, -XEN_ENODEV, "this CPU has no RDSEED");
    return 0;
}

static int rdseed_read(struct source_io *io, uint8_t *buf, size_t len)
{
    uint64_t word = 0;
    for (size_t at = 0; at < len; at += sizeof(word)) {
        unsigned int tries = 0;
        while (!source_rdseed_word(&word))
            if (++tries == TRIES)
                return source_fail(io, -XEN_EIO, "no word in %u tries", TRIES);
        memcpy(buf + at, &word, sizeof(word));
    }
    xids_wipe(&word, sizeof(word));
    return (int)len;
}

const struct source_type source_rdseed = {
    .name = "rdseed",
    .kind = XIDS_HEALTH_RDSEED,
    .claim = 64 * XIDS_HEALTH_BIT,
    .batch = 512,
    .open = rdseed_open,
    .read = rdseed_read,
    .close = source_close,
};
