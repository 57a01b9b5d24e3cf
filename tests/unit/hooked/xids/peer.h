/* SPDX-License-Identifier: ISC */
/*
 * Stands in for <xids/peer.h> where a test wants to act between any two accesses to shared memory: each accessor calls
 * tests/unit/hook.c, which says what happens there. An accessor that <xids/peer.h> has and this file lacks does not
 * compile, so that none goes unwatched.
 */
#ifndef XIDS_PEER_H
#define XIDS_PEER_H

#include <xids/base.h>

#if defined(__clang__)
#define XIDS_PEER __attribute__((noderef))
#else
#define XIDS_PEER
#endif

#define XIDS_PEER_RAW(type, p) ((type *)(uintptr_t)(p))

/* What an access promises about its order: nothing, or what its name says. */
enum hook_order { HOOK_RELAXED, HOOK_ACQUIRE, HOOK_RELEASE };

uint32_t hook_load(const void *at, size_t size, enum hook_order order);
void hook_store(void *at, size_t size, uint32_t value, enum hook_order order);
uint8_t hook_set_bits(uint8_t *at, uint8_t mask);
uint8_t hook_clear_bits(uint8_t *at, uint8_t mask);
void hook_fence(void);
void hook_get(void *to, const void *from, size_t len);
void hook_put(void *to, const void *from, size_t len);
void hook_wipe(void *at, size_t len);

static inline uint32_t xids_peer_load(const uint32_t XIDS_PEER *p)
{
    return hook_load(XIDS_PEER_RAW(const void, p), sizeof(uint32_t), HOOK_RELAXED);
}

static inline uint32_t xids_peer_load_acquire(const uint32_t XIDS_PEER *p)
{
    return hook_load(XIDS_PEER_RAW(const void, p), sizeof(uint32_t), HOOK_ACQUIRE);
}

static inline void xids_peer_store(uint32_t XIDS_PEER *p, uint32_t v)
{
    hook_store(XIDS_PEER_RAW(void, p), sizeof(uint32_t), v, HOOK_RELAXED);
}

static inline void xids_peer_store_release(uint32_t XIDS_PEER *p, uint32_t v)
{
    hook_store(XIDS_PEER_RAW(void, p), sizeof(uint32_t), v, HOOK_RELEASE);
}

static inline uint16_t xids_peer_load16(const uint16_t XIDS_PEER *p)
{
    return (uint16_t)hook_load(XIDS_PEER_RAW(const void, p), sizeof(uint16_t), HOOK_RELAXED);
}

static inline void xids_peer_store16(uint16_t XIDS_PEER *p, uint16_t v)
{
    hook_store(XIDS_PEER_RAW(void, p), sizeof(uint16_t), v, HOOK_RELAXED);
}

static inline uint8_t xids_peer_load8(const uint8_t XIDS_PEER *p)
{
    return (uint8_t)hook_load(XIDS_PEER_RAW(const void, p), sizeof(uint8_t), HOOK_RELAXED);
}

static inline uint8_t xids_peer_load8_acquire(const uint8_t XIDS_PEER *p)
{
    return (uint8_t)hook_load(XIDS_PEER_RAW(const void, p), sizeof(uint8_t), HOOK_ACQUIRE);
}

static inline void xids_peer_store8_release(uint8_t XIDS_PEER *p, uint8_t v)
{
    hook_store(XIDS_PEER_RAW(void, p), sizeof(uint8_t), v, HOOK_RELEASE);
}

static inline uint8_t xids_peer_set_bits8(uint8_t XIDS_PEER *p, uint8_t mask)
{
    return hook_set_bits(XIDS_PEER_RAW(uint8_t, p), mask);
}

static inline uint8_t xids_peer_clear_bits8(uint8_t XIDS_PEER *p, uint8_t mask)
{
    return hook_clear_bits(XIDS_PEER_RAW(uint8_t, p), mask);
}

static inline void xids_peer_fence(void)
{
    hook_fence();
}

static inline void xids_peer_get(void *to, const void XIDS_PEER *from, size_t len)
{
    hook_get(to, XIDS_PEER_RAW(const void, from), len);
}

static inline void xids_peer_put(void XIDS_PEER *to, const void *from, size_t len)
{
    hook_put(XIDS_PEER_RAW(void, to), from, len);
}

static inline void xids_peer_wipe(void XIDS_PEER *at, size_t len)
{
    hook_wipe(XIDS_PEER_RAW(void, at), len);
}

#endif
