/* SPDX-License-Identifier: ISC */
/* A struct xids_alloc that counts what is out and fails the call it is told to. */
#ifndef XIDS_TESTS_UNIT_COUNTING_ALLOC_H
#define XIDS_TESTS_UNIT_COUNTING_ALLOC_H

#include <stdlib.h>
#include <xids/base.h>

struct counting_alloc {
    size_t blocks, bytes, peak;
    unsigned long calls, puts;
    unsigned long fail_at; /* the call that fails, from 1; 0: none */
    bool fail_after;       /* and all after it */
};

static inline void *counting_get(void *ctx, size_t size)
{
    struct counting_alloc *a = ctx;
    a->calls++;
    if (a->fail_at != 0 && (a->calls == a->fail_at || (a->fail_after && a->calls > a->fail_at)))
        return NULL;
    /* The size is kept in front, to be compared with what put says. */
    size_t *mem = malloc(size + 16);
    if (mem == NULL)
        abort();
    mem[0] = size;
    a->blocks++;
    a->bytes += size;
    if (a->bytes > a->peak)
        a->peak = a->bytes;
    return (char *)mem + 16;
}

static inline void counting_put(void *ctx, void *mem, size_t size)
{
    struct counting_alloc *a = ctx;
    size_t *real = (size_t *)(void *)((char *)mem - 16);
    if (real[0] != size)
        abort();
    a->puts++;
    a->blocks--;
    a->bytes -= size;
    free(real);
}

static inline struct xids_alloc counting_alloc(struct counting_alloc *a)
{
    return (struct xids_alloc){.get = counting_get, .put = counting_put, .ctx = a};
}

#endif
