/* SPDX-License-Identifier: ISC */
/* A small machine for the tests of the hypervisor's rules: its memory, and a log of its wake-ups and freed frames. */
#ifndef XIDS_TESTS_UNIT_HV_MACHINE_H
#define XIDS_TESTS_UNIT_HV_MACHINE_H

#include <platform/model/hv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FRAMES 64u

struct machine {
    struct xids_hv hv;
    void *block;
    size_t size;
    uint8_t *ram;
    unsigned int locks, depth;
    unsigned int wakes, freed;
    uint32_t woken_owner;
    evtchn_port_t woken_port;
    uint32_t freed_frame;
};

static inline void machine_lock(void *ctx)
{
    struct machine *m = ctx;
    m->locks++;
    m->depth++;
}

static inline void machine_unlock(void *ctx)
{
    struct machine *m = ctx;
    m->depth--;
}

static inline void machine_wake(void *ctx, uint32_t owner, evtchn_port_t port)
{
    struct machine *m = ctx;
    m->wakes++;
    m->woken_owner = owner;
    m->woken_port = port;
}

static inline void *machine_frame(void *ctx, uint32_t frame)
{
    struct machine *m = ctx;
    return m->ram + (size_t)frame * XIDS_PAGE_SIZE;
}

static inline void machine_freed(void *ctx, uint32_t frame)
{
    struct machine *m = ctx;
    m->freed++;
    m->freed_frame = frame;
}

static inline struct xids_hv_limits machine_limits(void)
{
    struct xids_hv_limits limits = {
        .domains = 4,
        .owners = 6,
        .ports = 192,
        .ports_per_domain = 128,
        .grants = 192,
        .grants_per_domain = 128,
        .frames = FRAMES,
        .maps = 8,
        .mapped = 24,
    };
    return limits;
}

static inline struct xids_hv_env machine_env(struct machine *m)
{
    struct xids_hv_env env = {
        .lock = machine_lock,
        .unlock = machine_unlock,
        .wake = machine_wake,
        .frame = machine_frame,
        .freed = machine_freed,
        .ctx = m,
    };
    return env;
}

/* In memory that a forked child shares. Returns what xids_hv_init says. */
static inline int machine_make(struct machine *m, struct xids_hv_limits limits)
{
    memset(m, 0, sizeof(*m));
    struct xids_hv_env env = machine_env(m);
    m->size = xids_hv_size(&limits);
    m->block = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    m->ram =
        mmap(NULL, (limits.frames + 1ull) * XIDS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m->block == MAP_FAILED || m->ram == MAP_FAILED)
        abort();
    return xids_hv_init(&m->hv, m->block, m->size, &limits, &env);
}

static inline void machine_end(struct machine *m)
{
    struct xids_hv_limits limits = machine_limits();
    munmap(m->block, m->size);
    munmap(m->ram, (limits.frames + 1ull) * XIDS_PAGE_SIZE);
}

#endif
