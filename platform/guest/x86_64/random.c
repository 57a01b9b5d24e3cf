/* SPDX-License-Identifier: ISC */
/*
 * The processor's own random numbers and its time stamps.
 */
#include "platform/guest/x86_64/arch.h"

#define CPUID_1_ECX_RDRAND (UINT32_C(1) << 30)
#define CPUID_7_EBX_RDSEED (UINT32_C(1) << 18)

/* How often an instruction that has no number ready is asked again. */
#define RDRAND_TRIES 10u
#define RDSEED_TRIES 1000u

static bool rdseed(uint64_t *value)
{
    uint8_t ok = 0;
    for (unsigned int i = 0; i < RDSEED_TRIES && !ok; i++)
        __asm__ __volatile__("rdseed %0; setc %1; pause" : "=r"(*value), "=qm"(ok) : : "cc");
    return ok;
}

static bool rdrand(uint64_t *value)
{
    uint8_t ok = 0;
    for (unsigned int i = 0; i < RDRAND_TRIES && !ok; i++)
        __asm__ __volatile__("rdrand %0; setc %1" : "=r"(*value), "=qm"(ok) : : "cc");
    return ok;
}

size_t arch_random(void *out, size_t len, unsigned int *bits)
{
    bool seed = (arch_cpuid(7, 0).ebx & CPUID_7_EBX_RDSEED) != 0;
    bool rand = (arch_cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND) != 0;
    bool all_seed = seed;
    uint64_t value = 0, last = 0;
    size_t done = 0;
    *bits = 0;
    while (done < len && (seed || rand)) {
        size_t part = len - done < sizeof(value) ? len - done : sizeof(value);
        if (!seed || !rdseed(&value)) {
            all_seed = false;
            if (!rand || !rdrand(&value))
                break;
        }
        /* There were processors that, once woken from a sleep, said the same for ever. */
        if (value == last || value == UINT64_MAX) {
            done = 0;
            break;
        }
        last = value;
        __builtin_memcpy((uint8_t *)out + done, &value, part);
        done += part;
    }
    xids_wipe(&value, sizeof(value));
    xids_wipe(&last, sizeof(last));
    /* RDRAND is a generator of 128 bits that is seeded now and then; RDSEED is the source itself. */
    size_t all = done > 4096 ? 4096 * 8 : done * 8;
    *bits = (unsigned int)(all_seed || all < 128 ? all : 128);
    return done;
}

uint64_t arch_cycles(void)
{
    uint32_t low, high;
    __asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
