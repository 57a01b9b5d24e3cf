/* SPDX-License-Identifier: ISC */
/*
 * The first instructions of a PVH domain (Xen's docs/misc/pvh.pandoc, xen/arch-x86/hvm/start_info.h): 32 bits, flat
 * segments, no paging, interrupts off, the address of struct hvm_start_info in %ebx. From here to C in long mode, on
 * the final stack, with the first 4 GiB mapped by tables that C soon replaces.
 */
#include <xen/elfnote.h>
#include "platform/guest/x86_64/asm.h"

        .section .note.Xen, "a", @note
        .balign 4
        .long   2f - 1f
        .long   4f - 3f
        .long   XEN_ELFNOTE_PHYS32_ENTRY
1:      .asciz  "Xen"
2:      .balign 4
3:      .quad   xids_guest_entry
4:      .balign 4

        .section .text.xids_guest_entry, "ax", @progbits
        .code32
        .globl  xids_guest_entry
        .type   xids_guest_entry, @function
xids_guest_entry:
        rdtsc
        movl    %eax, %esi
        movl    %edx, %edi
        cld

        # One table of each upper level, four of 2 MiB pages, all in memory that the loader has filled with zeros.
        leal    boot_directories + PTE_PRESENT + PTE_WRITE, %eax
        movl    $boot_pointers, %edx
        xorl    %ecx, %ecx
1:      movl    %eax, (%edx, %ecx, 8)
        addl    $4096, %eax
        incl    %ecx
        cmpl    $4, %ecx
        jne     1b
        movl    $boot_pointers + PTE_PRESENT + PTE_WRITE, boot_top

        movl    $PTE_PRESENT + PTE_WRITE + PTE_LARGE, %eax
        movl    $boot_directories, %edx
        xorl    %ecx, %ecx
2:      movl    %eax, (%edx, %ecx, 8)
        addl    $0x200000, %eax
        incl    %ecx
        cmpl    $4 * 512, %ecx
        jne     2b

        movl    %cr4, %eax
        orl     $CR4_PAE, %eax
        movl    %eax, %cr4
        movl    $boot_top, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_LME, %eax
        wrmsr
        movl    %cr0, %eax
        orl     $CR0_PG + CR0_WP + CR0_PE, %eax
        movl    %eax, %cr0
        lgdt    boot_gdt_register
        ljmp    $SEGMENT_CODE, $3f

        .code64
3:      xorl    %eax, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        movl    %esi, %esi
        shlq    $32, %rdi
        orq     %rdi, %rsi
        movl    %ebx, %edi
        leaq    arch_stack + 4096 + ARCH_STACK_SIZE(%rip), %rsp
        xorl    %ebp, %ebp
        call    arch_start
        ud2
        .size   xids_guest_entry, . - xids_guest_entry

        .section .rodata.boot_gdt, "a", @progbits
        .balign 8
boot_gdt:
        .quad   0
        .quad   DESCRIPTOR_CODE
boot_gdt_register:
        .word   . - boot_gdt - 1
        .long   boot_gdt

        # Behind the end of the image as the memory allocator sees it: it is free once C has mapped memory anew.
        .section .xids_boot, "aw", @nobits
        .balign 4096
boot_top:
        .skip   4096
boot_pointers:
        .skip   4096
boot_directories:
        .skip   4 * 4096

        # The lowest page is the guard.
        .section .bss.arch_stack, "aw", @nobits
        .balign 4096
        .globl  arch_stack
        .type   arch_stack, @object
arch_stack:
        .skip   4096 + ARCH_STACK_SIZE
        .size   arch_stack, . - arch_stack

        .section .note.GNU-stack, "", @progbits
