/* SPDX-License-Identifier: ISC */
/* The journal inside: what has been noted and is not written, and the frames. */
#ifndef XIDS_XENSTORE_JOURNAL_H
#define XIDS_XENSTORE_JOURNAL_H

#include <xids/xs_journal.h>

#include "xenstore/state.h"

#define FRAME_MAGIC 0x4a786978u /* "xixJ" */
#define FRAME_HEADER 24u        /* u32 magic, kind; u64 length of the body, sum */

enum frame_kind {
    FRAME_FIRST, /* of a whole state */
    FRAME_MORE,
    FRAME_LAST,
    FRAME_CHANGES,
};

#define DOMID_WORDS (65536u / 64u)

struct journalling {
    struct xids_xs_journal host;
    struct xids_store_node *base; /* the tree as the journal has it */
    bool any;                     /* of the next three */
    bool globals;
    uint64_t domains[DOMID_WORDS]; /* a bit for each that has changed */
    uint64_t rings[DOMID_WORDS];   /* the same, of where their rings stand */
    uint8_t *frame;
    size_t len, cap;
    struct state_out *out;
    struct xids_xs_save save;
    struct state_out *whole; /* a whole state being written; NULL: none */
    struct xids_store_node *whole_top;
};

/* Any byte that is changed changes it. */
static inline uint64_t frame_sum(const uint8_t *bytes, size_t len, uint32_t kind)
{
    uint64_t sum = UINT64_C(0x9e3779b97f4a7c15) ^ len ^ (uint64_t)kind << 56;
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint64_t word;
        __builtin_memcpy(&word, bytes + i, sizeof(word));
        sum = (sum ^ word) * UINT64_C(0xff51afd7ed558ccd);
        sum ^= sum >> 32;
    }
    return sum;
}

#endif
