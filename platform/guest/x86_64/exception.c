/* SPDX-License-Identifier: ISC */
/*
 * An exception ends the domain, and says all that helps to find out why.
 */
#include "platform/guest/x86_64/arch.h"

#include <xen/sched.h>

#define BACKTRACE_DEPTH 32u
#define STACK_WORDS 8u

#define FAULT_PRESENT 0x1u
#define FAULT_WRITE 0x2u
#define FAULT_EXECUTE 0x10u

static const char *const names[VECTORS_EXCEPTION] = {
    "division error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "no floating point unit",
    "double fault",
    NULL,
    "invalid task state",
    "segment not present",
    "stack segment fault",
    "general protection fault",
    "page fault",
    NULL,
    "floating point error",
    "alignment check",
    "machine check",
    "vector floating point error",
    "virtualization exception",
    "control protection",
};

static bool in_text(uint64_t at)
{
    return at >= (uintptr_t)xids_guest_text && at < (uintptr_t)xids_guest_rodata;
}

static bool in_guard(uint64_t at)
{
    return at >= (uintptr_t)arch_stack && at < (uintptr_t)arch_stack + 4096;
}

/*
 * Follows the chain of frame pointers: each frame is a pair of the caller's frame pointer and the address to return to.
 * A pair is read only where it lies in the stack, above the last one: the chain may be what was destroyed.
 */
static void backtrace(uint64_t rbp)
{
    const uint64_t low = (uintptr_t)arch_stack + 4096, high = low + ARCH_STACK_SIZE;
    uint64_t last = low;
    xids_guest_print("  called from");
    for (unsigned int i = 0; i < BACKTRACE_DEPTH; i++) {
        if (rbp < last || rbp > high - 16 || rbp % 8 != 0)
            break;
        const uint64_t *pair = (const uint64_t *)(uintptr_t)rbp;
        if (!in_text(pair[1]))
            break;
        xids_guest_print(" %llx", (unsigned long long)pair[1]);
        last = rbp + 16;
        rbp = pair[0];
    }
    xids_guest_print("\n");
}

/* What lies on top of the stack: a function that fails in its first instructions is not in the chain yet. */
static void stack_words(uint64_t rsp)
{
    const uint64_t low = (uintptr_t)arch_stack + 4096, high = low + ARCH_STACK_SIZE;
    if (rsp < low || rsp % 8 != 0)
        return;
    xids_guest_print("  stack");
    for (unsigned int i = 0; i < STACK_WORDS && rsp < high; i++, rsp += 8)
        xids_guest_print(" %llx", (unsigned long long)*(const uint64_t *)(uintptr_t)rsp);
    xids_guest_print("\n");
}

void arch_backtrace(void)
{
    const void *frame = __builtin_frame_address(0);
    backtrace((uintptr_t)frame);
}

static void page_fault(uint64_t error, uint64_t address)
{
    const char *what = (error & FAULT_EXECUTE) ? "execution" : (error & FAULT_WRITE) ? "write" : "read";
    xids_guest_print("  %s at %llx, %s%s\n", what, (unsigned long long)address,
                     (error & FAULT_PRESENT) ? "which is not allowed there" : "where there is no memory",
                     in_guard(address)                      ? ": stack overflow"
                     : address < 4096                       ? ": NULL pointer"
                     : (error & FAULT_PRESENT) == 0         ? ""
                     : address < (uintptr_t)xids_guest_text ? ""
                     : in_text(address)                     ? ": the program's text"
                     : address < (uintptr_t)xids_guest_data ? ": constant data"
                                                            : "");
}

void arch_exception(const struct exception_frame *frame)
{
    static bool again;
    uint64_t cr2 = read_cr2();
    const char *name = frame->vector < VECTORS_EXCEPTION ? names[frame->vector] : NULL;

    if (again) {
        /* In the dump of another one: say it the shortest way. */
        guest_early_print("xids: exception %u at %llx while saying so\n", (unsigned int)frame->vector,
                          (unsigned long long)frame->rip);
        arch_shutdown(SHUTDOWN_crash);
    }
    again = true;
    xids_guest_print("\nxids: exception %u (%s), error code %llx, at %llx\n", (unsigned int)frame->vector,
                     name ? name : "unknown", (unsigned long long)frame->error, (unsigned long long)frame->rip);
    if (frame->vector == VECTOR_PAGE_FAULT)
        page_fault(frame->error, cr2);
    else if (frame->vector == VECTOR_DOUBLE_FAULT && in_guard(cr2))
        xids_guest_print("  stack overflow\n");
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", frame->rax}, {"rbx", frame->rbx}, {"rcx", frame->rcx}, {"rdx", frame->rdx},      {"rsi", frame->rsi},
        {"rdi", frame->rdi}, {"rbp", frame->rbp}, {"rsp", frame->rsp}, {"r8 ", frame->r8},       {"r9 ", frame->r9},
        {"r10", frame->r10}, {"r11", frame->r11}, {"r12", frame->r12}, {"r13", frame->r13},      {"r14", frame->r14},
        {"r15", frame->r15}, {"rip", frame->rip}, {"cr2", cr2},        {"flags", frame->rflags},
    };
    for (unsigned int i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
        xids_guest_print("  %s %016llx%s", registers[i].name, (unsigned long long)registers[i].value,
                         i % 4 == 3 ? "\n" : "");
    xids_guest_print("\n");
    stack_words(frame->rsp);
    backtrace(frame->rbp);
    guest_console_flush();
    arch_shutdown(SHUTDOWN_crash);
}
