/* SPDX-License-Identifier: ISC */
/*
 * From the boot protocol's data to what start.c of the guest takes: the command line, and the memory that is free.
 */
#include "platform/guest/x86_64/arch.h"

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/memory.h>
#include <xen/sched.h>

#define COMMAND_LINE 4096u
#define MAP_ENTRIES 128u

_Static_assert(ARCH_STACK_SIZE == XIDS_GUEST_STACK, "the assembler's stack is the one that guest.h promises");
_Static_assert(sizeof(struct hvm_start_info) == 56, "the boot protocol's, version 1");

/* An entry of Xen's own memory map, as firmware has it. */
struct map_entry {
    uint64_t start, size;
    uint32_t type;
} __attribute__((packed));

static struct guest_boot boot;
static char command_line[COMMAND_LINE];

/* What the boot protocol's addresses point at: the loader's, below 4 GiB, which is all mapped by now. */
static const void *at(uint64_t address)
{
    return (const void *)(uintptr_t)address;
}

static size_t length(const char *text, size_t most)
{
    size_t len = 0;
    while (len < most && text[len] != '\0')
        len++;
    return len;
}

static void add(struct guest_ranges *ram, uint64_t start, uint64_t size, uint32_t type)
{
    if (type == XEN_HVM_MEMMAP_TYPE_RAM && start + size > start)
        guest_ranges_add(ram, start, start + size);
}

static void ram_of_start_info(struct guest_ranges *ram, const struct hvm_start_info *info)
{
    const struct hvm_memmap_table_entry *map = at(info->memmap_paddr);
    for (uint32_t i = 0; i < info->memmap_entries && i < MAP_ENTRIES; i++)
        add(ram, map[i].addr, map[i].size, map[i].type);
}

static void ram_of_xen(struct guest_ranges *ram)
{
    static struct map_entry entries[MAP_ENTRIES];
    struct xen_memory_map map = {.nr_entries = MAP_ENTRIES};
    set_xen_guest_handle(map.buffer, entries);
    if (!arch_on_xen() || hypercall_memory_op(XENMEM_memory_map, &map) < 0)
        return;
    for (unsigned int i = 0; i < map.nr_entries && i < MAP_ENTRIES; i++)
        add(ram, entries[i].start, entries[i].size, entries[i].type);
}

/* Takes out of the free memory what the loader has put there. */
static void keep(uint64_t start, uint64_t size)
{
    if (start != 0)
        guest_ranges_remove(&boot.ranges, start, start + size);
}

static void keep_loaders(uint64_t info_at, const struct hvm_start_info *info)
{
    keep(info_at, sizeof(*info));
    if (info->version >= 1)
        keep(info->memmap_paddr, (uint64_t)info->memmap_entries * sizeof(struct hvm_memmap_table_entry));
    if (info->cmdline_paddr != 0)
        keep(info->cmdline_paddr, length(at(info->cmdline_paddr), COMMAND_LINE) + 1);
    if (info->modlist_paddr == 0)
        return;
    const struct hvm_modlist_entry *modules = at(info->modlist_paddr);
    keep(info->modlist_paddr, (uint64_t)info->nr_modules * sizeof(*modules));
    for (uint32_t i = 0; i < info->nr_modules; i++) {
        keep(modules[i].paddr, modules[i].size);
        if (modules[i].cmdline_paddr != 0)
            keep(modules[i].cmdline_paddr, length(at(modules[i].cmdline_paddr), COMMAND_LINE) + 1);
    }
}

static __attribute__((noreturn)) void refuse(const char *why)
{
    guest_early_print("xids: %s\n", why);
    arch_shutdown(SHUTDOWN_crash);
}

void arch_start(uint64_t info_at, uint64_t first_tsc)
{
    static struct guest_ranges ram;
    const struct hvm_start_info *info = at(info_at);

    arch_cpu_init();
    boot.first_tsc = first_tsc;
    boot.command_line = command_line;
    if (info_at == 0 || info->magic != XEN_HVM_START_MAGIC_VALUE)
        refuse("not started by the PVH boot protocol");

    if (info->cmdline_paddr != 0) {
        const char *given = at(info->cmdline_paddr);
        size_t len = length(given, sizeof(command_line));
        if (len == sizeof(command_line))
            refuse("the command line is too long");
        __builtin_memcpy(command_line, given, len);
    }

    if (info->version >= 1 && info->memmap_entries != 0)
        ram_of_start_info(&ram, info);
    if (ram.count == 0)
        ram_of_xen(&ram);
    if (ram.count == 0)
        refuse("nobody tells what memory there is");
    boot.ranges = ram;
    guest_ranges_remove(&boot.ranges, 0, XIDS_PAGE_SIZE);
    guest_ranges_remove(&boot.ranges, (uintptr_t)xids_guest_text, (uintptr_t)xids_guest_boot_end);
    keep_loaders(info_at, info);

    /* The tables of the start are in use until the new ones are: their pages come back only then. */
    arch_paging_init(&boot, &ram);
    guest_ranges_add(&boot.ranges, (uintptr_t)xids_guest_end, (uintptr_t)xids_guest_boot_end);
    guest_start(&boot);
}
