/* SPDX-License-Identifier: ISC */
/* What the CPU that this runs on has to offer to randomd/local.c. */
#include <xids/local.h>

#include "randomd/bytes.h"

#if defined(__x86_64__) || defined(__i386__)

#define CPUID_1_ECX_RDRAND (UINT32_C(1) << 30)
#define CPUID_1_EDX_TSC (UINT32_C(1) << 4)
#define CPUID_7_EBX_RDSEED (UINT32_C(1) << 18)

/* Xen's leaves begin at one of these, and the third has the domain's incarnation in its EDX. */
#define XEN_FIRST UINT32_C(0x40000000)
#define XEN_LAST UINT32_C(0x40010000)
#define XEN_STEP UINT32_C(0x100)
#define XEN_TIME 3u

struct regs {
    uint32_t eax, ebx, ecx, edx;
};

static struct regs cpuid(uint32_t leaf)
{
    struct regs r;
    __asm__ __volatile__("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "0"(leaf), "2"(0));
    return r;
}

#ifdef __x86_64__
/* Only the form of 64 bits: some CPUs fail in the shorter ones and say that they did not. */
static bool seed(void *ctx, uint64_t *word)
{
    uint8_t ok;
    (void)ctx;
    __asm__ __volatile__("rdseed %0; setc %1; pause" : "=r"(*word), "=qm"(ok) : : "cc");
    return ok != 0;
}
#endif

static bool random_long(unsigned long *word)
{
    uint8_t ok;
    __asm__ __volatile__("rdrand %0; setc %1" : "=r"(*word), "=qm"(ok) : : "cc");
    return ok != 0;
}

static bool random(void *ctx, uint64_t *word)
{
    unsigned long low, high = 0;
    (void)ctx;
    if (!random_long(&low) || (sizeof(low) < 8 && !random_long(&high)))
        return false;
    *word = sizeof(low) < 8 ? (uint64_t)high << 32 | low : low;
    return true;
}

static uint64_t counter(void *ctx)
{
    uint32_t low, high;
    (void)ctx;
    __asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

void xids_local_cpu(struct xids_local_cpu *cpu)
{
    uint32_t last = cpuid(0).eax;
    struct regs one = cpuid(1);
    __builtin_memset(cpu, 0, sizeof(*cpu));
#ifdef __x86_64__
    /* A leaf beyond the last is not zeros but another leaf's content. */
    if (last >= 7 && (cpuid(7).ebx & CPUID_7_EBX_RDSEED) != 0)
        cpu->seed = seed;
#else
    (void)last;
#endif
    if ((one.ecx & CPUID_1_ECX_RDRAND) != 0)
        cpu->random = random;
    if ((one.edx & CPUID_1_EDX_TSC) != 0)
        cpu->counter = counter;
}

/* Which copy of an image this is, as far as Xen counts: see 8.1 of the specification for what it does not tell. */
static uint32_t incarnation(void)
{
    for (uint32_t base = XEN_FIRST; base < XEN_LAST; base += XEN_STEP) {
        struct regs r = cpuid(base);
        if (r.ebx == UINT32_C(0x566e6558) && r.ecx == UINT32_C(0x65584d4d) && r.edx == UINT32_C(0x4d4d566e))
            return r.eax >= base + XEN_TIME ? cpuid(base + XEN_TIME).edx : 0;
    }
    return 0;
}

void xids_local_cpu_salt(uint8_t out[32])
{
    struct regs one = cpuid(1);
    put64(out, (one.edx & CPUID_1_EDX_TSC) != 0 ? counter(NULL) : 0);
    put32(out + 8, incarnation());
    put32(out + 12, one.eax);
    put32(out + 16, one.ebx); /* with the number of the CPU */
    put32(out + 20, one.ecx);
    put64(out + 24, (uint64_t)(uintptr_t)out);
}

#elif defined(__aarch64__)

#define ISAR0_RNDR_SHIFT 60u

/* S3_3_C2_C4_1 is RNDRRS, which reseeds first; S3_3_C2_C4_0 is RNDR. When there is no number they set the zero flag. */
static bool seed(void *ctx, uint64_t *word)
{
    uint32_t ok;
    (void)ctx;
    __asm__ __volatile__("mrs %0, s3_3_c2_c4_1; cset %w1, ne" : "=r"(*word), "=r"(ok) : : "cc");
    return ok != 0;
}

static bool random(void *ctx, uint64_t *word)
{
    uint32_t ok;
    (void)ctx;
    __asm__ __volatile__("mrs %0, s3_3_c2_c4_0; cset %w1, ne" : "=r"(*word), "=r"(ok) : : "cc");
    return ok != 0;
}

static uint64_t counter(void *ctx)
{
    uint64_t value;
    (void)ctx;
    __asm__ __volatile__("isb; mrs %0, cntvct_el0" : "=r"(value) : : "memory");
    return value;
}

void xids_local_cpu(struct xids_local_cpu *cpu)
{
    uint64_t isar0;
    __builtin_memset(cpu, 0, sizeof(*cpu));
    cpu->counter = counter;
    __asm__("mrs %0, id_aa64isar0_el1" : "=r"(isar0));
    if ((isar0 >> ISAR0_RNDR_SHIFT & 15u) == 0)
        return;
    cpu->seed = seed;
    cpu->random = random;
}

void xids_local_cpu_salt(uint8_t out[32])
{
    uint64_t midr;
    __asm__("mrs %0, midr_el1" : "=r"(midr));
    put64(out, counter(NULL));
    put64(out + 8, midr);
    put64(out + 16, (uint64_t)(uintptr_t)out);
    put64(out + 24, 0);
}

#else

void xids_local_cpu(struct xids_local_cpu *cpu)
{
    __builtin_memset(cpu, 0, sizeof(*cpu));
}

void xids_local_cpu_salt(uint8_t out[32])
{
    __builtin_memset(out, 0, 32);
    put64(out, (uint64_t)(uintptr_t)out);
}

#endif
