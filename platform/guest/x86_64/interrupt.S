/* SPDX-License-Identifier: ISC */
/*
 * Where the processor enters: exceptions, which end in a dump, on stacks of their own, and the event interrupt, which
 * takes note. It comes in arch_idle alone, whose code uses no space below the stack pointer; what is called from here
 * leaves the vector registers alone.
 */
#include "platform/guest/x86_64/asm.h"

        # An entry for each exception, 16 bytes apart; those for which the processor pushes no error code push 0.
        .section .text.arch_interrupts, "ax", @progbits
        .globl  arch_exception_entries
        .type   arch_exception_entries, @function
        .balign 16
arch_exception_entries:
        vector = 0
        .rept   VECTORS_EXCEPTION
        .balign 16
        .if     (0x60227d00 >> vector) & 1
        .else
        pushq   $0
        .endif
        pushq   $vector
        jmp     exception
        vector = vector + 1
        .endr
        .size   arch_exception_entries, . - arch_exception_entries

        # struct exception_frame of exception.c, from its end.
        .type   exception, @function
exception:
        pushq   %r15
        pushq   %r14
        pushq   %r13
        pushq   %r12
        pushq   %r11
        pushq   %r10
        pushq   %r9
        pushq   %r8
        pushq   %rbp
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %rcx
        pushq   %rbx
        pushq   %rax
        cld
        movq    %rsp, %rdi
        andq    $-16, %rsp
        call    arch_exception
        ud2
        .size   exception, . - exception

        .globl  arch_event_entry
        .type   arch_event_entry, @function
        .balign 16
arch_event_entry:
        # Between sti and hlt no processor takes an interrupt; QEMU's emulation of SVM now and then does. The note would
        # be taken, and the guest sleep over it: so the halt is over too.
        cmpq    $.Lhalt, (%rsp)
        jne     .Lnote
        movq    $.Lhalted, (%rsp)
.Lnote:
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        cld
        call    guest_upcall
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rax
        iretq
        .size   arch_event_entry, . - arch_event_entry

        # Sleeps until an interrupt. The instruction after sti is not interrupted: what is pending already ends the halt.
        .globl  arch_idle
        .type   arch_idle, @function
        .balign 16
arch_idle:
        sti
.Lhalt:
        hlt
.Lhalted:
        cli
        ret
        .size   arch_idle, . - arch_idle

        # Nobody sends any other: what comes ends a sleep and is forgotten.
        .globl  arch_other_entry
        .type   arch_other_entry, @function
arch_other_entry:
        iretq
        .size   arch_other_entry, . - arch_other_entry

        .section .note.GNU-stack, "", @progbits
