/* SPDX-License-Identifier: ISC */
/* Reading a trace that anybody may have written: nothing in it is believed. */
#include "xenstore/trace.h"

#include <string.h>
#include <xids/xswire.h>

const char *trace_read(struct trace_reader *t, const void *bytes, size_t len)
{
    const struct trace_header *h = bytes;
    *t = (struct trace_reader){.header = h};
    if (len < sizeof(h->magic) || memcmp(h->magic, TRACE_MAGIC, sizeof(h->magic)) != 0)
        return "this is no trace";
    if (len < TRACE_RING_AT)
        return "the trace is cut off in its header";
    if (h->version != TRACE_VERSION)
        return "the trace has a version that is not known here";
    if (h->ring_at != TRACE_RING_AT || h->ring_bytes < TRACE_RING_MIN || h->ring_bytes % 8 != 0 ||
        h->settings_len > sizeof(h->settings))
        return "the trace's header is damaged";
    if (h->ring_bytes > len - TRACE_RING_AT)
        return "the trace is cut off";
    if (h->tail > h->head || h->head - h->tail > h->ring_bytes || h->head % 8 != 0 || h->tail % 8 != 0)
        return "the trace's header is damaged";
    t->ring = (const uint8_t *)bytes + TRACE_RING_AT;
    t->bytes = h->ring_bytes;
    t->at = h->tail;
    t->end = h->head;
    return NULL;
}

static int damaged(struct trace_reader *t, const char *error)
{
    t->error = error;
    t->at = t->end;
    return -1;
}

int trace_next(struct trace_reader *t, struct trace_record *rec, const uint8_t **payload)
{
    while (t->at < t->end) {
        const uint8_t *from = t->ring + t->at % t->bytes;
        uint64_t left = t->bytes - t->at % t->bytes;
        if (left > t->end - t->at)
            left = t->end - t->at;
        *rec = (struct trace_record){0};
        memcpy(rec, from, 8);
        if (rec->size < 8 || rec->size % 8 != 0 || rec->size > left)
            return damaged(t, "a record has an impossible size");
        t->at += rec->size;
        if (rec->kind == TRACE_PAD)
            continue;
        if (rec->size < sizeof(*rec))
            return damaged(t, "a record has an impossible size");
        memcpy(rec, from, sizeof(*rec));
        if (rec->len > XIDS_XSWIRE_PAYLOAD_MAX || rec->size != ((sizeof(*rec) + rec->len + 7) & ~(size_t)7))
            return damaged(t, "a record's size and length contradict each other");
        *payload = from + sizeof(*rec);
        return 1;
    }
    return 0;
}
