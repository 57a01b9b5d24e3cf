/* SPDX-License-Identifier: ISC */
/*
 * For how long the daemon looks for more events before it sleeps. A guest that asks for one thing after the other is
 * then answered without a wake-up, which takes longer than the answer; a look in vain costs what it lasts. So the last
 * looks tell whether another is worth it, as in a vchan's blocking calls (vchan/spin.c), and all of them together may
 * take only a part of the time: no guest makes a CPU busy by asking slowly.
 */
#ifndef XIDS_RANDOMD_PACE_H
#define XIDS_RANDOMD_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_LOOK_NS 20000u               /* one look at most: about what two wake-ups take */
#define PACE_PART 8u                      /* of the time: an eighth */
#define PACE_SAVED_NS 20000000u           /* what of it can be saved for later */
#define PACE_SHORT_NS (4u * PACE_LOOK_NS) /* a sleep up to this may have been one too many */
#define PACE_RESTS_MIN 8u /* such sleeps between a look in vain and the next trial; twice as many after each */
#define PACE_RESTS_MAX 1024u

struct pace {
    uint64_t saved, saved_at; /* ns that may be spent on looks, reckoned at that time */
    uint64_t asleep_at;       /* when the last sleep began; 0: never yet */
    uint32_t budget;          /* of the next look, ns; 0: none */
    uint16_t rest, rests;     /* sleeps till the next trial, and what it begins from */
};

void pace_init(struct pace *p, uint64_t now);

/* How long the next look may last, ns. 0: sleep. */
uint64_t pace_limit(struct pace *p, uint64_t now);
/* It lasted so long; met: it found an event. */
void pace_looked(struct pace *p, uint64_t ns, bool met);

/* The daemon goes to sleep; an event has ended its sleep. */
void pace_sleeps(struct pace *p, uint64_t now);
void pace_woken(struct pace *p, uint64_t now);

#endif
