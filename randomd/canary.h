/* SPDX-License-Identifier: ISC */
/*
 * The live check that no answer is given out twice: a memory of what was given out lately, as hashes that say nothing
 * about it.
 */
#ifndef XIDS_RANDOMD_CANARY_H
#define XIDS_RANDOMD_CANARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below this many bytes equal answers are no wonder: they are not looked at. */
#define CANARY_LEAST 8u
/* Of a longer answer, what is remembered. */
#define CANARY_BYTES 16u

/*
 * Two tables of sets of CANARY_WAYS places, in each of which the oldest makes room for the newest: one for answers that
 * are the first after fresh bytes, one for all others, so that a guest that asks without end cannot make us forget how
 * the others' generators began.
 *
 * A set is chosen by 64 bits of a keyed hash of 128, and the other 64 are compared: an answer is compared with at most
 * 2 * CANARY_WAYS hashes, and wrongly found to be a repetition with a probability of at most 16 / 2^64 = 2^-60. At a
 * million answers a second that is once in 36000 years.
 */
#define CANARY_WAYS 8u
#define CANARY_FIRST_SETS 8192u
#define CANARY_OTHER_SETS 2048u

struct canary {
    uint64_t key[2];
    uint64_t checked, alarms;
    bool keyed;
    uint8_t oldest[CANARY_FIRST_SETS + CANARY_OTHER_SETS];
    _Alignas(64) uint64_t sets[CANARY_FIRST_SETS + CANARY_OTHER_SETS][CANARY_WAYS]; /* 0: nothing */
};

/* mem is zeros, to be kept in locked memory. The key is secret and random. */
void canary_key(struct canary *c, const uint8_t key[16]);

/*
 * Whether these bytes have not been seen lately, which remembers them; when they have, it counts an alarm. first: they
 * are the first of a generator after fresh bytes. One thread.
 */
bool canary_unseen(struct canary *c, const uint8_t *bytes, size_t len, bool first);

#endif
