/* SPDX-License-Identifier: ISC */
/*
 * Page tables. Every mapped byte has its physical address. Mapped are RAM, with the image's parts in it by their
 * rights, the space for what Xen maps, and pages that Xen names; all else faults: page 0, the stack's guard, the holes.
 */
#include "platform/guest/x86_64/arch.h"

#define ENTRIES 512u
#define ADDRESS UINT64_C(0x000ffffffffff000)
#define NO_EXECUTE (UINT64_C(1) << 63)
#define LIMIT_4G (UINT64_C(1) << 32)

#define SIZE_4K UINT64_C(0x1000)
#define SIZE_2M UINT64_C(0x200000)
#define SIZE_1G UINT64_C(0x40000000)

/* The space: as large as this where there is room, at least as large as guest.h promises. */
#define SPACE_MOST SIZE_1G
#define SPACE_LEAST (UINT64_C(64) << 20)

#define CPUID_1_EDX_1G (UINT32_C(1) << 26)
#define CPUID_1_EDX_NX (UINT32_C(1) << 20)

static uint64_t *top;
static struct guest_ranges *source; /* of pages for tables, until the allocator is there */
static uint64_t data_rights;        /* of what may be read and written only */
static uint64_t address_end;        /* of what this processor can address */
static bool has_1g;

static uint64_t *table_new(void)
{
    uint64_t *table;
    if (source != NULL) {
        table = (uint64_t *)(uintptr_t)guest_ranges_take(source, LIMIT_4G);
        if (table != NULL)
            __builtin_memset(table, 0, SIZE_4K);
    } else {
        table = guest_pages_get(1);
    }
    if (table == NULL)
        xids_guest_panic("no memory for page tables");
    return table;
}

/*
 * The entry that maps at, in a table whose entries map size bytes each. Missing tables on the way are made, and larger
 * pages on the way become tables of smaller ones.
 */
static uint64_t *entry_of(uint64_t at, uint64_t size)
{
    uint64_t *table = top;
    for (uint64_t span = ENTRIES * SIZE_1G;; span /= ENTRIES) {
        uint64_t *entry = &table[at / span % ENTRIES];
        if (span == size)
            return entry;
        if ((*entry & PTE_PRESENT) == 0) {
            const uint64_t *made = table_new();
            *entry = (uintptr_t)made | PTE_PRESENT | PTE_WRITE;
        } else if ((*entry & PTE_LARGE) != 0) {
            uint64_t *split = table_new();
            uint64_t large = span / ENTRIES > SIZE_4K ? PTE_LARGE : 0;
            for (unsigned int i = 0; i < ENTRIES; i++)
                split[i] = ((*entry & ~(uint64_t)PTE_LARGE) + i * (span / ENTRIES)) | large;
            *entry = (uintptr_t)split | PTE_PRESENT | PTE_WRITE;
        }
        table = (uint64_t *)(uintptr_t)(*entry & ADDRESS);
    }
}

/* Maps whole pages at their own addresses, in pages as large as can be. rights 0: takes the mapping away. */
static void map(uint64_t start, uint64_t end, uint64_t rights)
{
    while (start < end) {
        uint64_t size = SIZE_4K;
        if (has_1g && start % SIZE_1G == 0 && end - start >= SIZE_1G)
            size = SIZE_1G;
        else if (start % SIZE_2M == 0 && end - start >= SIZE_2M)
            size = SIZE_2M;
        *entry_of(start, size) = rights == 0 ? 0 : start | rights | (size > SIZE_4K ? PTE_LARGE : 0);
        __asm__ __volatile__("invlpg (%0)" : : "r"(start) : "memory");
        start += size;
    }
}

/*
 * Addresses behind which there is nothing: above all RAM and above 4 GiB, where no device is, if the processor's
 * addresses reach so far; else the gap below 4 GiB that follows the RAM there.
 */
static struct guest_range space_find(const struct guest_ranges *ram)
{
    uint64_t last = ram->range[ram->count - 1].end;
    uint64_t start = ((last > LIMIT_4G ? last : LIMIT_4G) + SIZE_1G - 1) & ~(SIZE_1G - 1);
    if (start + SPACE_LEAST <= address_end) {
        uint64_t room = address_end - start;
        return (struct guest_range){start, start + (room < SPACE_MOST ? room : SPACE_MOST)};
    }
    uint64_t low = 0;
    for (unsigned int i = 0; i < ram->count; i++)
        if (ram->range[i].end <= LIMIT_4G)
            low = (ram->range[i].end + SIZE_2M - 1) & ~(SIZE_2M - 1);
    /* The upper 64 MiB below 4 GiB hold the interrupt controllers and Xen's own pages. */
    if (low == 0 || low + SPACE_LEAST > LIMIT_4G - SPACE_LEAST)
        xids_guest_panic("no addresses left for what Xen maps");
    uint64_t room = LIMIT_4G - SPACE_LEAST - low;
    return (struct guest_range){low, low + (room < SPACE_MOST ? room : SPACE_MOST)};
}

void arch_paging_init(struct guest_boot *boot, const struct guest_ranges *ram)
{
    struct cpuid features = arch_cpuid(0x80000001u, 0);
    uint32_t bits = arch_cpuid(0x80000008u, 0).eax & 0xff;

    source = &boot->ranges;
    address_end = UINT64_C(1) << (bits >= 32 && bits <= 47 ? bits : bits > 47 ? 47 : 36);
    has_1g = (features.edx & CPUID_1_EDX_1G) != 0;
    data_rights = PTE_PRESENT | PTE_WRITE;
    if ((features.edx & CPUID_1_EDX_NX) != 0) {
        write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_NXE);
        data_rights |= NO_EXECUTE;
    }

    top = table_new();
    for (unsigned int i = 0; i < ram->count; i++)
        map(ram->range[i].start, ram->range[i].end, data_rights);
    map(0, SIZE_4K, 0);
    uint64_t text = (uintptr_t)xids_guest_text, rodata = (uintptr_t)xids_guest_rodata;
    uint64_t data = (uintptr_t)xids_guest_data, guard = (uintptr_t)arch_stack;
    map(text, rodata, PTE_PRESENT);
    map(rodata, data, PTE_PRESENT | (data_rights & NO_EXECUTE));
    map(guard, guard + SIZE_4K, 0);
    struct guest_range space = space_find(ram);
    map(space.start, space.end, data_rights);
    boot->space_start = space.start;
    boot->space_end = space.end;
    source = NULL;
    __asm__ __volatile__("mov %0, %%cr3" : : "r"(top) : "memory");
}

void XIDS_PEER *arch_xen_page(uint64_t number)
{
    if (number == 0 || number >= address_end / SIZE_4K)
        return NULL;
    uint64_t at = number * SIZE_4K;
    map(at, at + SIZE_4K, data_rights);
    return (void XIDS_PEER *)(uintptr_t)at;
}
