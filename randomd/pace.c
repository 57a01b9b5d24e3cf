/* SPDX-License-Identifier: ISC */
#include "randomd/pace.h"

/* Looks in vain that end them, each with half of the time of the one before: enough to outlast a guest's losing its CPU
 * once. */
#define BUDGET_LAST (PACE_LOOK_NS / 16u)

void pace_init(struct pace *p, uint64_t now)
{
    *p = (struct pace){.saved = PACE_SAVED_NS, .saved_at = now, .budget = PACE_LOOK_NS, .rests = PACE_RESTS_MIN};
}

uint64_t pace_limit(struct pace *p, uint64_t now)
{
    uint64_t more = (now - p->saved_at) / PACE_PART;
    /* What is less than the unit goes on counting. */
    p->saved_at += more * PACE_PART;
    p->saved = more < PACE_SAVED_NS - p->saved ? p->saved + more : PACE_SAVED_NS;
    return p->saved >= p->budget ? p->budget : 0;
}

void pace_looked(struct pace *p, uint64_t ns, bool met)
{
    p->saved -= ns < p->saved ? ns : p->saved;
    if (met) {
        p->budget = PACE_LOOK_NS;
        p->rests = PACE_RESTS_MIN;
        return;
    }
    bool trial = p->rests != PACE_RESTS_MIN;
    p->budget /= 2u;
    if (!trial && p->budget > BUDGET_LAST)
        return;
    p->budget = 0;
    p->rest = p->rests;
    p->rests = p->rests < PACE_RESTS_MAX ? (uint16_t)(p->rests * 2u) : PACE_RESTS_MAX;
}

void pace_sleeps(struct pace *p, uint64_t now)
{
    p->asleep_at = now;
}

void pace_woken(struct pace *p, uint64_t now)
{
    /* A longer sleep says that nobody is in a hurry. */
    if (p->budget != 0 || now - p->asleep_at > PACE_SHORT_NS)
        return;
    if (p->rest > 0)
        p->rest--;
    else
        p->budget = PACE_LOOK_NS;
}
