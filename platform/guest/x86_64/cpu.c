/* SPDX-License-Identifier: ISC */
/*
 * What the processor needs to know: segments, a task state for the stacks of interrupts, the interrupt table, floating
 * point. And what it tells: its maker, its time stamps and whether Xen is below.
 */
#include "platform/guest/x86_64/arch.h"

#include <xen/arch-x86/cpuid.h>

#define EXCEPTION_STACK 16384u

struct gate {
    uint16_t offset_low, segment;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct task_state {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, stacks[7], reserved2;
    uint16_t reserved3, io_map;
} __attribute__((packed));

static uint8_t exception_stack[EXCEPTION_STACK] __attribute__((aligned(16)));
static uint8_t severe_stack[EXCEPTION_STACK] __attribute__((aligned(16)));
static struct task_state task;
static uint64_t gdt[4] = {0, DESCRIPTOR_CODE, 0, 0};
static struct gate idt[VECTORS] __attribute__((aligned(16)));
static uint32_t xen_leaf;

bool arch_hypercall_amd;

uint64_t arch_cycles(void)
{
    uint32_t low, high;
    __asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

struct cpuid arch_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r = {0, 0, 0, 0};
    uint32_t most = 0, unused;
    /* Of an unknown leaf Intel's processors tell the highest one they know. */
    if ((leaf & 0x7fffffffu) != 0 && (leaf & 0xf0000000u) != XEN_CPUID_FIRST_LEAF)
        __asm__ __volatile__("cpuid"
                             : "=a"(most), "=b"(unused), "=c"(unused), "=d"(unused)
                             : "a"(leaf & 0x80000000u), "c"(0));
    else
        most = leaf;
    if (leaf <= most)
        __asm__ __volatile__("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

static void gate_set(unsigned int vector, uintptr_t entry, unsigned int stack)
{
    struct gate *gate = &idt[vector];
    gate->offset_low = (uint16_t)entry;
    gate->offset_middle = (uint16_t)(entry >> 16);
    gate->offset_high = (uint32_t)(entry >> 32);
    gate->segment = SEGMENT_CODE;
    gate->stack = (uint8_t)stack;
    gate->type = 0x8e; /* present, interrupt gate: entered with interrupts off */
}

static void segments_init(void)
{
    uint64_t base = (uintptr_t)&task, limit = sizeof(task) - 1;
    gdt[SEGMENT_TASK / 8] =
        (limit & 0xffff) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 | (base >> 24 & 0xff) << 56;
    gdt[SEGMENT_TASK / 8 + 1] = base >> 32;
    task.stacks[STACK_OF_EXCEPTION - 1] = (uintptr_t)exception_stack + sizeof(exception_stack);
    task.stacks[STACK_OF_SEVERE - 1] = (uintptr_t)severe_stack + sizeof(severe_stack);
    task.io_map = sizeof(task);

    /* The code segment's register stays as the boot's table filled it: the same place, the same descriptor. */
    struct table_register gdtr = {sizeof(gdt) - 1, (uintptr_t)gdt};
    uint16_t selector = SEGMENT_TASK;
    __asm__ __volatile__("lgdt %0; ltr %1" : : "m"(gdtr), "r"(selector) : "memory");
}

static void interrupts_init(void)
{
    for (unsigned int v = 0; v < VECTORS_EXCEPTION; v++)
        gate_set(v, (uintptr_t)arch_exception_entries + v * 16,
                 v == VECTOR_NMI || v == VECTOR_DOUBLE_FAULT || v == VECTOR_MACHINE_CHECK ? STACK_OF_SEVERE
                                                                                          : STACK_OF_EXCEPTION);
    /*
     * Events stay on the stack of whom they interrupt. Under QEMU's emulation of SVM one interrupt is now and then
     * delivered twice, the second before the first instruction of the handler: on a stack of its own the second frame
     * would lie on the first, and the handler would return to itself for ever.
     */
    for (unsigned int v = VECTORS_EXCEPTION; v < VECTORS; v++)
        gate_set(v, (uintptr_t)arch_other_entry, 0);
    gate_set(VECTOR_EVENT, (uintptr_t)arch_event_entry, 0);
    struct table_register idtr = {sizeof(idt) - 1, (uintptr_t)idt};
    __asm__ __volatile__("lidt %0" : : "m"(idtr));
}

static void floating_point_init(void)
{
    uint64_t cr0, cr4;
    uint32_t mxcsr = 0x1f80; /* no floating point exceptions, round to nearest */
    __asm__ __volatile__("mov %%cr0, %0" : "=r"(cr0));
    cr0 = (cr0 & ~(uint64_t)(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE;
    __asm__ __volatile__("mov %0, %%cr0" : : "r"(cr0));
    __asm__ __volatile__("mov %%cr4, %0" : "=r"(cr4));
    cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    __asm__ __volatile__("mov %0, %%cr4; fninit; ldmxcsr %1" : : "r"(cr4), "m"(mxcsr));
}

static void xen_find(void)
{
    struct cpuid maker = arch_cpuid(0, 0);
    /* "AuthenticAMD", "HygonGenuine": the others of this world take Intel's instruction. */
    arch_hypercall_amd = maker.ebx == 0x68747541u || maker.ebx == 0x6f677948u;
    if ((arch_cpuid(1, 0).ecx >> 31) == 0)
        return;
    for (uint32_t leaf = XEN_CPUID_FIRST_LEAF; leaf < XEN_CPUID_FIRST_LEAF + 0x10000u; leaf += 0x100u) {
        struct cpuid r = arch_cpuid(leaf, 0);
        if (r.ebx == XEN_CPUID_SIGNATURE_EBX && r.ecx == XEN_CPUID_SIGNATURE_ECX && r.edx == XEN_CPUID_SIGNATURE_EDX &&
            r.eax >= leaf + 2) {
            xen_leaf = leaf;
            return;
        }
    }
}

bool arch_on_xen(void)
{
    return xen_leaf != 0;
}

void arch_cpu_init(void)
{
    segments_init();
    interrupts_init();
    floating_point_init();
    xen_find();
}
