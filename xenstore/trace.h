/* SPDX-License-Identifier: ISC */
/* The trace's format, docs/spec/xenstore-trace.md: writing it into memory and reading it back. */
#ifndef XIDS_XENSTORE_TRACE_H
#define XIDS_XENSTORE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC "XIDSXST"
#define TRACE_VERSION 1u
#define TRACE_RING_AT 4096u
#define TRACE_RING_MIN 65536u
#define TRACE_FROM_START 1u
#define TRACE_SOCKET 65536u /* the first number of a socket's connection */

struct trace_header {
    char magic[8];
    uint32_t version, ring_at;
    uint64_t ring_bytes, head, tail, began;
    uint32_t flags, settings_len;
    char settings[TRACE_RING_AT - 56];
};

enum trace_kind {
    TRACE_PAD,
    TRACE_CONNECT,
    TRACE_DISCONNECT,
    TRACE_REQUEST,
    TRACE_ANSWER,
    TRACE_EVENT,
    TRACE_INTRODUCE,
    TRACE_REBIND,
    TRACE_RELEASE,
    TRACE_PRESENT,
    TRACE_EXISTS,
    TRACE_REPLACED,
    TRACE_DEATH,
    TRACE_SHUTDOWN,
    TRACE_KINDS,
};

struct trace_record {
    uint32_t size; /* set by trace_put */
    uint16_t kind, domid;
    uint64_t time;
    uint32_t conn;
    int32_t result;
    uint32_t type, req_id, tx_id, len;
};

/* ---- writing ---- */

struct trace_ring {
    struct trace_header *header;
    uint8_t *ring;
    uint64_t bytes, head, tail;
};

/* Lays out a trace in memory of TRACE_RING_AT + bytes, all 0; bytes is a multiple of 8, at least TRACE_RING_MIN. The
 * settings are cut off when they are too long. */
void trace_ring_init(struct trace_ring *r, void *memory, uint64_t bytes, uint64_t began, uint32_t flags,
                     const char *settings, size_t settings_len);

/* Adds a record with its rec->len bytes of payload, at most XIDS_XSWIRE_PAYLOAD_MAX, over the oldest ones. */
void trace_put(struct trace_ring *r, const struct trace_record *rec, const void *payload);

/* ---- reading ---- */

struct trace_reader {
    const struct trace_header *header;
    const uint8_t *ring;
    uint64_t bytes, at, end;
    const char *error; /* why trace_next has returned -1 */
};

/* NULL, or what is wrong with it. The bytes, which begin at a multiple of 8, must stay and not change. */
const char *trace_read(struct trace_reader *t, const void *bytes, size_t len);

/* 1: the next record, pads left out; 0: there are no more; -1: what follows makes no sense, t->error says how. */
int trace_next(struct trace_reader *t, struct trace_record *rec, const uint8_t **payload);

#endif
