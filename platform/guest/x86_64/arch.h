/* SPDX-License-Identifier: ISC */
/*
 * What the files of x86_64/ share.
 */
#ifndef XIDS_PLATFORM_GUEST_X86_64_ARCH_H
#define XIDS_PLATFORM_GUEST_X86_64_ARCH_H

#include "platform/guest/guest.h"
#include "platform/guest/x86_64/asm.h"

/* ---- pvh.S and the linker script ---- */

/* The stack: a guard page, then XIDS_GUEST_STACK bytes. */
extern uint8_t arch_stack[4096 + ARCH_STACK_SIZE];

/* The image: text up to xids_guest_rodata, read-only data up to xids_guest_data, data and more up to its end. */
extern const uint8_t xids_guest_text[], xids_guest_rodata[], xids_guest_data[], xids_guest_end[];
/* Where the memory of the start's own page tables ends, which begins at the image's end. */
extern const uint8_t xids_guest_boot_end[];

/* ---- hypercall.S ---- */

extern bool arch_hypercall_amd;

/* ---- interrupt.S ---- */

extern const uint8_t arch_exception_entries[], arch_event_entry[], arch_other_entry[];

/* What interrupt.S has saved. */
struct exception_frame {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

/* ---- start.c ---- */

__attribute__((noreturn)) void arch_start(uint64_t start_info, uint64_t first_tsc);

/* ---- cpu.c ---- */

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/* All zero when the processor does not have the leaf. */
struct cpuid arch_cpuid(uint32_t leaf, uint32_t subleaf);
/* Segments, interrupts, floating point, whether Xen is there. */
void arch_cpu_init(void);

/* ---- paging.c ---- */

/*
 * Makes the final page tables and takes them: RAM, the image with its rights, the space; nothing else, page 0 and the
 * stack's guard least of all. Tables come out of boot's ranges. *space is set.
 */
void arch_paging_init(struct guest_boot *boot, const struct guest_ranges *ram);

/* ---- exception.c ---- */

__attribute__((noreturn)) void arch_exception(const struct exception_frame *frame);

/* ---- instructions ---- */

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ __volatile__("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ __volatile__("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t read_cr2(void)
{
    uint64_t value;
    __asm__ __volatile__("mov %%cr2, %0" : "=r"(value));
    return value;
}

static inline uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ __volatile__("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ __volatile__("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

#endif
