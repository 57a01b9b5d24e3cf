/* SPDX-License-Identifier: ISC */
/*
 * Numbers of the processor that assembly and C share.
 */
#ifndef XIDS_PLATFORM_GUEST_X86_64_ASM_H
#define XIDS_PLATFORM_GUEST_X86_64_ASM_H

/* XIDS_GUEST_STACK as the assembler wants it. */
#define ARCH_STACK_SIZE 65536

/* Segments. The task state follows the code; its descriptor takes two places. */
#define SEGMENT_CODE 0x08
#define SEGMENT_TASK 0x10

/* 64-bit code: present, ring 0, may be executed and read, accessed. */
#define DESCRIPTOR_CODE 0x00209b0000000000

/* Stacks of the task state for interrupts: exceptions; those that can come inside an exception. */
#define STACK_OF_EXCEPTION 1
#define STACK_OF_SEVERE 2

#define VECTOR_NMI 2
#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_PAGE_FAULT 14
#define VECTOR_MACHINE_CHECK 18
#define VECTORS_EXCEPTION 32
#define VECTOR_EVENT 0x30
#define VECTORS 256

#define PTE_PRESENT 0x1
#define PTE_WRITE 0x2
#define PTE_LARGE 0x80

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR0_NE 0x20
#define CR0_WP 0x10000
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define CR4_OSFXSR 0x200
#define CR4_OSXMMEXCPT 0x400

#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define EFER_NXE 0x800

#endif
