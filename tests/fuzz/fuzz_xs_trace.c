/* SPDX-License-Identifier: ISC */
/*
 * The reader, the lines and the replay of a trace that anybody may have written. The input is laid into the ring of a
 * sound header; its first four bytes say where head and tail are, which a header alone could hardly get right.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenstore/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(8) uint8_t memory[TRACE_RING_AT + TRACE_RING_MIN];
    static const char settings[] = "own-domid=0\nprivileged-domid=0\n";
    static FILE *nowhere;
    struct trace_ring ring;
    struct trace_reader t;
    struct trace_record rec;
    struct replay_result result;
    const uint8_t *payload;
    uint16_t where[2];
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    if (nowhere == NULL || size < sizeof(where))
        return 0;
    memcpy(where, data, sizeof(where));
    data += sizeof(where);
    size -= sizeof(where);
    if (size > TRACE_RING_MIN)
        size = TRACE_RING_MIN;
    memset(memory, 0, sizeof(memory));
    trace_ring_init(&ring, memory, TRACE_RING_MIN, 0, 0, settings, sizeof(settings) - 1);
    ring.header->head = where[0] == 0 ? size / 8 * 8 : where[0] * 8u;
    ring.header->tail = where[1] * 8u;
    memcpy(memory + TRACE_RING_AT, data, size);
    if (trace_read(&t, memory, sizeof(memory)) == NULL)
        while (trace_next(&t, &rec, &payload) > 0)
            trace_print(nowhere, &rec, payload);
    if (!replay_trace(&result, nowhere, memory, sizeof(memory)) && result.error == NULL)
        abort(); /* without a reason */
    return 0;
}
