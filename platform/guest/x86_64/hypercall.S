/* SPDX-License-Identifier: ISC */
/*
 * The call to Xen. Number in %rax, arguments in %rdi, %rsi, %rdx, %r10, %r8, result in %rax; Xen may destroy the
 * arguments' registers, all of which C's calling convention gives away anyway. Intel's and AMD's instructions differ, and
 * each faults on the other's CPUs: arch_hypercall_init has looked which it is.
 */
        .text
        .section .text.arch_hypercall, "ax", @progbits
        .globl  arch_hypercall
        .type   arch_hypercall, @function
arch_hypercall:
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        cmpb    $0, arch_hypercall_amd(%rip)
        jne     1f
        vmcall
        ret
1:      vmmcall
        ret
        .size   arch_hypercall, . - arch_hypercall

        .section .note.GNU-stack, "", @progbits
