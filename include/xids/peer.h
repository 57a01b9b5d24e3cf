/* SPDX-License-Identifier: ISC */
/*
 * Access to memory that a peer can write at any moment.
 *
 * XIDS_PEER marks what a pointer points to as such memory. Under clang it makes a plain * or -> a compile error, so
 * that the functions here are the only way in. They load and store each word exactly once, and a copy taken with
 * xids_peer_get is the caller's own: the compiler may not go back to the original.
 *
 * An acquire load sees everything that was written before the release store whose value it reads.
 */
#ifndef XIDS_PEER_H
#define XIDS_PEER_H

#include <xids/base.h>

#if defined(__clang__)
#define XIDS_PEER __attribute__((noderef))
#else
#define XIDS_PEER
#endif

/* Dropping the mark is for these accessors and for platforms, which make the pointers. */
#define XIDS_PEER_RAW(type, p) ((type *)(uintptr_t)(p))

static inline uint32_t xids_peer_load(const uint32_t XIDS_PEER *p)
{
    return __atomic_load_n(XIDS_PEER_RAW(const uint32_t, p), __ATOMIC_RELAXED);
}

static inline uint32_t xids_peer_load_acquire(const uint32_t XIDS_PEER *p)
{
    return __atomic_load_n(XIDS_PEER_RAW(const uint32_t, p), __ATOMIC_ACQUIRE);
}

static inline void xids_peer_store(uint32_t XIDS_PEER *p, uint32_t v)
{
    __atomic_store_n(XIDS_PEER_RAW(uint32_t, p), v, __ATOMIC_RELAXED);
}

static inline void xids_peer_store_release(uint32_t XIDS_PEER *p, uint32_t v)
{
    __atomic_store_n(XIDS_PEER_RAW(uint32_t, p), v, __ATOMIC_RELEASE);
}

static inline uint16_t xids_peer_load16(const uint16_t XIDS_PEER *p)
{
    return __atomic_load_n(XIDS_PEER_RAW(const uint16_t, p), __ATOMIC_RELAXED);
}

static inline void xids_peer_store16(uint16_t XIDS_PEER *p, uint16_t v)
{
    __atomic_store_n(XIDS_PEER_RAW(uint16_t, p), v, __ATOMIC_RELAXED);
}

static inline uint8_t xids_peer_load8(const uint8_t XIDS_PEER *p)
{
    return __atomic_load_n(XIDS_PEER_RAW(const uint8_t, p), __ATOMIC_RELAXED);
}

static inline uint8_t xids_peer_load8_acquire(const uint8_t XIDS_PEER *p)
{
    return __atomic_load_n(XIDS_PEER_RAW(const uint8_t, p), __ATOMIC_ACQUIRE);
}

static inline void xids_peer_store8_release(uint8_t XIDS_PEER *p, uint8_t v)
{
    __atomic_store_n(XIDS_PEER_RAW(uint8_t, p), v, __ATOMIC_RELEASE);
}

/* Sets, and clears, the bits of mask; returns the byte's value before. Acquire and release. */
static inline uint8_t xids_peer_set_bits8(uint8_t XIDS_PEER *p, uint8_t mask)
{
    return __atomic_fetch_or(XIDS_PEER_RAW(uint8_t, p), mask, __ATOMIC_ACQ_REL);
}

static inline uint8_t xids_peer_clear_bits8(uint8_t XIDS_PEER *p, uint8_t mask)
{
    return __atomic_fetch_and(XIDS_PEER_RAW(uint8_t, p), (uint8_t)~mask, __ATOMIC_ACQ_REL);
}

/*
 * The full barrier between publishing something and looking whether the other side sleeps (and the reverse): without
 * it both sides can miss each other. gcc's thread sanitizer does not know fences and warns at each; those builds use
 * a locked operation, which is as strong.
 */
static inline void xids_peer_fence(void)
{
#if defined(__SANITIZE_THREAD__)
    unsigned int word = 0;
    (void)__atomic_exchange_n(&word, 1u, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Copies len bytes out of peer memory, once, and into it. */
static inline void xids_peer_get(void *to, const void XIDS_PEER *from, size_t len)
{
    __builtin_memcpy(to, XIDS_PEER_RAW(const void, from), len);
    __asm__ __volatile__("" : : : "memory");
}

static inline void xids_peer_put(void XIDS_PEER *to, const void *from, size_t len)
{
    __builtin_memcpy(XIDS_PEER_RAW(void, to), from, len);
    __asm__ __volatile__("" : : : "memory");
}

/* Fills peer memory with zeros: what lay there is gone for both sides. */
static inline void xids_peer_wipe(void XIDS_PEER *at, size_t len)
{
    xids_wipe(XIDS_PEER_RAW(void, at), len);
}

#endif
