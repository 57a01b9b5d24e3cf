/* SPDX-License-Identifier: ISC */
/*
 * What every xids header stands on: fixed-width types, Xen's error numbers and identifiers, and the attributes
 * of the API.
 */
#ifndef XIDS_BASE_H
#define XIDS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below 0x00040000 Xen's io/ring.h quietly replaces the barriers of whoever includes it. */
#ifndef __XEN_INTERFACE_VERSION__
#error "define __XEN_INTERFACE_VERSION__ (0x00040e00) before including a xids header; pkg-config --cflags xids does"
#endif

#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/xen.h>

/* Xen's header keeps this number to the hypervisor; a platform whose wait a signal interrupts needs it too. */
#ifndef XEN_EINTR
#define XEN_EINTR 4
#endif

#ifdef __cplusplus
#define XIDS_BEGIN_DECLS extern "C" {
#define XIDS_END_DECLS }
#else
#define XIDS_BEGIN_DECLS
#define XIDS_END_DECLS
#endif

/* The result tells whether the call failed: ignoring it is a bug. */
#define XIDS_MUST_CHECK __attribute__((warn_unused_result))

/* The granularity of sharing between domains, in bytes, whatever the CPU's own page size. */
#define XIDS_PAGE_SIZE 4096u

/*
 * Where the memory of a core engine comes from. Core code has no malloc: whoever makes an engine of unbounded shape
 * (the xenstore server) passes one of these. get returns memory of at least size bytes aligned for any type, or NULL;
 * put takes back what get gave, with the same size.
 */
struct xids_alloc {
    void *(*get)(void *ctx, size_t size);
    void (*put)(void *ctx, void *mem, size_t size);
    void *ctx;
};

/*
 * Fills len bytes at mem with zeros in a way the compiler does not optimise away: for secrets, on every path.
 */
static inline void xids_wipe(void *mem, size_t len)
{
    __builtin_memset(mem, 0, len);
    __asm__ __volatile__("" : : "r"(mem) : "memory");
}

#endif
