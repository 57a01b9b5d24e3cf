/* SPDX-License-Identifier: ISC */
#include "randomd/fair.h"

#define NANO 1000000000ull
#define TICK_BITS 20u

/* What a turn can take from later rounds: no costlier request is known, and no guest is passed over more often. */
#define DEBT_MAX (4u * XIDS_FAIR_QUANTUM)

/* ---- lists ---- */

static void put_last(struct xids_fair_list *l, struct xids_fair_guest *g, enum xids_fair_state state)
{
    g->next = NULL;
    g->link = l->end;
    *l->end = g;
    l->end = &g->next;
    g->state = (uint8_t)state;
}

static void put_first(struct xids_fair_guest **slot, struct xids_fair_guest *g)
{
    g->next = *slot;
    g->link = slot;
    if (g->next != NULL)
        g->next->link = &g->next;
    *slot = g;
}

/* Takes the guest out of where it is. */
static void take_out(struct xids_fair *f, struct xids_fair_guest *g)
{
    if (g->link == NULL)
        return;
    *g->link = g->next;
    if (g->next != NULL)
        g->next->link = g->link;
    else if (g->state == XIDS_FAIR_FRESH)
        f->fresh.end = g->link;
    else if (g->state == XIDS_FAIR_ROUND)
        f->rounds.end = g->link;
    if (g->state == XIDS_FAIR_HELD)
        f->held--;
    g->next = NULL;
    g->link = NULL;
    g->state = XIDS_FAIR_IDLE;
}

/* ---- the bucket ---- */

static void refill(const struct xids_fair *f, struct xids_fair_guest *g, uint64_t now)
{
    /* A clock that went back gives nothing, and takes nothing. */
    uint64_t passed = now > g->counted_at ? now - g->counted_at : 0;
    int64_t full = (int64_t)(f->burst * NANO);
    /* The burst may have been made smaller. */
    if (g->credit > full)
        g->credit = full;
    uint64_t lacking = (uint64_t)(full - g->credit);
    if (f->rate == 0)
        return;
    /* Compared before it is multiplied: the clock may have jumped by years. */
    if (passed > lacking / f->rate)
        g->credit = full;
    else
        g->credit += (int64_t)(passed * f->rate);
    g->counted_at += passed;
}

static bool has_share(const struct xids_fair *f, const struct xids_fair_guest *g)
{
    return f->rate == 0 || g->gift > 0 || g->credit > 0;
}

static void pay(const struct xids_fair *f, struct xids_fair_guest *g, uint32_t cost)
{
    uint32_t given = cost < g->gift ? cost : g->gift;
    g->gift -= given;
    if (f->rate != 0)
        g->credit -= (int64_t)((cost - given) * NANO);
}

/* ---- those that are held ---- */

static void put_on_wheel(struct xids_fair *f, struct xids_fair_guest *g)
{
    uint64_t tick = (g->due >> TICK_BITS) + 1;
    if (tick <= f->tick)
        tick = f->tick + 1;
    if (tick - f->tick >= XIDS_FAIR_SLOTS)
        tick = f->tick + XIDS_FAIR_SLOTS - 1;
    size_t slot = tick % XIDS_FAIR_SLOTS;
    put_first(&f->wheel[slot], g);
    g->state = XIDS_FAIR_HELD;
    f->used[slot / 64] |= 1ull << slot % 64;
    f->held++;
}

static void hold(struct xids_fair *f, struct xids_fair_guest *g, uint64_t now)
{
    uint64_t enough = (f->rate < f->burst ? f->rate : f->burst) / 16;
    uint64_t lacking = (uint64_t)((int64_t)(enough * NANO) - g->credit);
    take_out(f, g);
    /* Nobody is on the wheel: it need not be turned to where it belongs. */
    if (f->held == 0) {
        __builtin_memset(f->used, 0, sizeof(f->used));
        if (now >> TICK_BITS > f->tick)
            f->tick = now >> TICK_BITS;
    }
    g->due = now + lacking / f->rate + 1;
    put_on_wheel(f, g);
    f->holds++;
}

/* ---- the interface ---- */

void xids_fair_set(struct xids_fair *f, uint64_t rate, uint64_t burst)
{
    f->rate = rate < XIDS_FAIR_MAX ? rate : XIDS_FAIR_MAX;
    f->burst = burst < XIDS_FAIR_MAX ? burst : XIDS_FAIR_MAX;
}

void xids_fair_init(struct xids_fair *f, uint64_t rate, uint64_t burst, uint64_t now)
{
    __builtin_memset(f, 0, sizeof(*f));
    xids_fair_set(f, rate, burst);
    f->fresh.end = &f->fresh.first;
    f->rounds.end = &f->rounds.first;
    f->tick = now >> TICK_BITS;
    f->round = 1;
}

void xids_fair_join(struct xids_fair *f, struct xids_fair_guest *g, uint64_t now)
{
    g->credit = (int64_t)(f->burst * NANO);
    g->counted_at = now;
    g->round = f->round - 1;
}

void xids_fair_leave(struct xids_fair *f, struct xids_fair_guest *g)
{
    take_out(f, g);
}

void xids_fair_give(struct xids_fair *f, struct xids_fair_guest *g, uint32_t cost, uint64_t now)
{
    refill(f, g, now);
    if (g->state == XIDS_FAIR_HELD)
        take_out(f, g);
    g->gift = cost;
}

bool xids_fair_charge(struct xids_fair *f, struct xids_fair_guest *g, uint32_t cost, uint64_t now)
{
    if (g->state == XIDS_FAIR_HELD)
        return true;
    refill(f, g, now);
    pay(f, g, cost);
    if (has_share(f, g))
        return false;
    hold(f, g, now);
    return true;
}

void xids_fair_wake(struct xids_fair *f, struct xids_fair_guest *g)
{
    if (g->state != XIDS_FAIR_IDLE)
        return;
    /* One that sleeps between its requests, but asked for much of late, is as busy as any. */
    if (f->rate != 0 && g->credit < (int64_t)((f->burst - f->burst / 16) * NANO)) {
        put_last(&f->rounds, g, XIDS_FAIR_ROUND);
        return;
    }
    if (g->round != f->round) {
        g->round = f->round;
        /* What it did not use while it slept is nobody's; what it took too much is paid back. */
        g->deficit = (g->deficit < 0 ? g->deficit : 0) + XIDS_FAIR_QUANTUM;
    }
    if (g->deficit > 0)
        put_last(&f->fresh, g, XIDS_FAIR_FRESH);
    else
        put_last(&f->rounds, g, XIDS_FAIR_ROUND);
}

/* The first of the round; when it has had its quantum, all have, and the next round begins. */
static struct xids_fair_guest *next_of_round(struct xids_fair *f)
{
    struct xids_fair_guest *g = f->rounds.first;
    while (g != NULL) {
        if (g->round == f->round)
            f->round++;
        g->round = f->round;
        g->deficit = (g->deficit < XIDS_FAIR_QUANTUM ? g->deficit : XIDS_FAIR_QUANTUM) + XIDS_FAIR_QUANTUM;
        if (g->deficit > 0)
            return g;
        /* It took more than a quantum at once (a costly request): the round goes on without it. */
        take_out(f, g);
        put_last(&f->rounds, g, XIDS_FAIR_ROUND);
        g = f->rounds.first;
    }
    return NULL;
}

struct xids_fair_guest *xids_fair_next(struct xids_fair *f, uint32_t *allowed, uint64_t now)
{
    struct xids_fair_guest *g = f->fresh.first != NULL ? f->fresh.first : next_of_round(f);
    if (g == NULL)
        return NULL;
    refill(f, g, now);
    uint64_t left = (uint64_t)g->deficit;
    if (f->rate != 0) {
        uint64_t credit = g->credit > 0 ? ((uint64_t)g->credit + NANO - 1) / NANO : 0;
        if (credit + g->gift < left)
            left = credit + g->gift;
    }
    *allowed = left > 0 ? (uint32_t)left : 1;
    return g;
}

bool xids_fair_served(struct xids_fair *f, struct xids_fair_guest *g, uint32_t cost, bool more, uint64_t now)
{
    take_out(f, g);
    g->deficit -= (int32_t)(cost < DEBT_MAX ? cost : DEBT_MAX);
    if (g->deficit < -(int32_t)DEBT_MAX)
        g->deficit = -(int32_t)DEBT_MAX;
    refill(f, g, now);
    pay(f, g, cost);
    if (!has_share(f, g)) {
        hold(f, g, now);
        return true;
    }
    if (more)
        put_last(&f->rounds, g, XIDS_FAIR_ROUND);
    return false;
}

struct xids_fair_guest *xids_fair_release(struct xids_fair *f, uint64_t now)
{
    uint64_t until = now >> TICK_BITS;
    /* Once around is enough, however long the clock stood still. */
    if (until > f->tick && until - f->tick > XIDS_FAIR_SLOTS)
        f->tick = until - XIDS_FAIR_SLOTS;
    while (f->held > 0) {
        size_t slot = f->tick % XIDS_FAIR_SLOTS;
        struct xids_fair_guest *g = f->wheel[slot];
        if (g == NULL) {
            f->used[slot / 64] &= ~(1ull << slot % 64);
            if (f->tick >= until)
                return NULL;
            f->tick++;
            continue;
        }
        take_out(f, g);
        if (g->due > now) {
            put_on_wheel(f, g);
            continue;
        }
        /* Behind the others of the round: it has had more than they have. */
        put_last(&f->rounds, g, XIDS_FAIR_ROUND);
        return g;
    }
    return NULL;
}

uint64_t xids_fair_due(const struct xids_fair *f)
{
    if (f->held == 0)
        return UINT64_MAX;
    for (uint64_t tick = f->tick; tick < f->tick + XIDS_FAIR_SLOTS;) {
        size_t slot = tick % XIDS_FAIR_SLOTS;
        uint64_t rest = f->used[slot / 64] >> slot % 64;
        if (rest != 0)
            return (tick + (uint64_t)__builtin_ctzll(rest)) << TICK_BITS;
        tick += 64 - slot % 64;
    }
    /* The slot before the first is reached only by a whole turn. */
    return (f->tick + XIDS_FAIR_SLOTS - 1) << TICK_BITS;
}

uint64_t xids_fair_wait(const struct xids_fair_guest *g, uint64_t now)
{
    return g->state == XIDS_FAIR_HELD && g->due > now ? g->due - now : 0;
}
