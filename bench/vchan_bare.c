/* SPDX-License-Identifier: ISC */
#define _GNU_SOURCE /* memfd_create */
#include "bench/vchan_bare.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE 128u /* bytes: CPUs fetch cache lines in pairs */
#define PAGE 4096u

struct index {
    _Alignas(LINE) uint32_t value;
};

struct shared {
    struct index prod[2], cons[2];
};

/* One end of one ring. */
struct side {
    uint8_t *ring;
    uint32_t *own_at, *peer_at;
    uint32_t size, own, published, peer;
};

struct bare {
    struct side in, out;
};

_Static_assert(sizeof(struct shared) <= PAGE, "the indices fit into the page before the rings");

static size_t length(uint32_t ring_order)
{
    return PAGE + ((size_t)2 << ring_order);
}

int bare_make(uint32_t ring_order)
{
    int fd = memfd_create("bare-ring", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)length(ring_order)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

struct bare *bare_open(int fd, uint32_t ring_order, bool server)
{
    struct bare *b = calloc(1, sizeof(*b));
    uint8_t *area = mmap(NULL, length(ring_order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (b == NULL || area == MAP_FAILED) {
        free(b);
        return NULL;
    }
    struct shared *s = (void *)area;
    uint32_t size = 1u << ring_order;
    int in = server ? 0 : 1, out = 1 - in;
    b->in = (struct side){area + PAGE + (size_t)in * size, &s->cons[in].value, &s->prod[in].value, size, 0, 0, 0};
    b->out = (struct side){area + PAGE + (size_t)out * size, &s->prod[out].value, &s->cons[out].value, size, 0, 0, 0};
    return b;
}

static void publish(struct side *s)
{
    if (s->own != s->published)
        __atomic_store_n(s->own_at, s->own, __ATOMIC_RELEASE);
    s->published = s->own;
}

static void advance(struct side *s, uint32_t n)
{
    uint32_t batch = s->size / 4 < 32768 ? s->size / 4 : 32768;
    s->own += n;
    if (s->own - s->published >= batch)
        publish(s);
}

static void look(struct side *s)
{
    uint32_t before = s->peer;
    publish(s);
    while ((s->peer = __atomic_load_n(s->peer_at, __ATOMIC_ACQUIRE)) == before) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void bare_put(struct bare *b, const uint8_t *data, uint32_t len)
{
    struct side *s = &b->out;
    for (uint32_t done = 0, n; done < len; done += n) {
        while (s->own - s->peer == s->size)
            look(s);
        uint32_t at = s->own & (s->size - 1);
        n = least(least(len - done, s->size - (s->own - s->peer)), least(s->size - at, s->size / 4));
        memcpy(s->ring + at, data + done, n);
        advance(s, n);
    }
}

uint32_t bare_get(struct bare *b, uint8_t *data, uint32_t len)
{
    struct side *s = &b->in;
    uint32_t done = 0;
    while (s->peer == s->own)
        look(s);
    for (uint32_t n; done < len && s->peer != s->own; done += n) {
        uint32_t at = s->own & (s->size - 1);
        n = least(least(len - done, s->peer - s->own), least(s->size - at, s->size / 4));
        memcpy(data + done, s->ring + at, n);
        advance(s, n);
    }
    return done;
}

void bare_flush(struct bare *b)
{
    publish(&b->out);
    publish(&b->in);
}
