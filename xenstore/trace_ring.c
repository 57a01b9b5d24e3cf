/* SPDX-License-Identifier: ISC */
/* Writing a trace: copies into memory, whose header is right after each store. */
#include "xenstore/trace.h"

#include <string.h>

_Static_assert(sizeof(struct trace_header) == TRACE_RING_AT, "the header is a page");
_Static_assert(sizeof(struct trace_record) == 40, "as specified");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little-endian, and so are we");

static uint64_t rounded(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

void trace_ring_init(struct trace_ring *r, void *memory, uint64_t bytes, uint64_t began, uint32_t flags,
                     const char *settings, size_t settings_len)
{
    struct trace_header *h = memory;
    if (settings_len > sizeof(h->settings))
        settings_len = sizeof(h->settings);
    *r = (struct trace_ring){.header = h, .ring = (uint8_t *)memory + TRACE_RING_AT, .bytes = bytes};
    h->version = TRACE_VERSION;
    h->ring_at = TRACE_RING_AT;
    h->ring_bytes = bytes;
    h->began = began;
    h->flags = flags;
    h->settings_len = (uint32_t)settings_len;
    memcpy(h->settings, settings, settings_len);
    memcpy(h->magic, TRACE_MAGIC, sizeof(TRACE_MAGIC));
}

static void *place(const struct trace_ring *r, uint64_t at)
{
    return r->ring + at % r->bytes;
}

/* Gives up as many of the oldest records as it takes; the reader must not find them any more once they are gone. */
static void make_room(struct trace_ring *r, uint64_t need)
{
    if (r->head + need - r->tail <= r->bytes)
        return;
    while (r->head + need - r->tail > r->bytes) {
        uint32_t size;
        memcpy(&size, place(r, r->tail), sizeof(size));
        /* The file is not ours alone: whoever may write to it must not be able to stop us. */
        if (size < 8 || size % 8 != 0 || size > r->head - r->tail)
            r->tail = r->head;
        else
            r->tail += size;
    }
    __atomic_store_n(&r->header->tail, r->tail, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void publish(struct trace_ring *r, uint64_t count)
{
    r->head += count;
    __atomic_store_n(&r->header->head, r->head, __ATOMIC_RELEASE);
}

void trace_put(struct trace_ring *r, const struct trace_record *rec, const void *payload)
{
    uint64_t need = rounded(sizeof(*rec) + rec->len), left = r->bytes - r->head % r->bytes;
    if (need > left) {
        struct trace_record pad = {.size = (uint32_t)left, .kind = TRACE_PAD};
        make_room(r, left);
        memcpy(place(r, r->head), &pad, 8);
        publish(r, left);
    }
    struct trace_record copy = *rec;
    copy.size = (uint32_t)need;
    make_room(r, need);
    uint8_t *to = place(r, r->head);
    memcpy(to, &copy, sizeof(copy));
    if (rec->len > 0)
        memcpy(to + sizeof(copy), payload, rec->len);
    publish(r, need);
}
