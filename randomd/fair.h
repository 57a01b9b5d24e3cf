/* SPDX-License-Identifier: ISC */
/*
 * How much of a server each guest may use, and in which order they are served. Freestanding, no allocation; every call
 * takes a bounded number of steps, however many guests there are.
 *
 * How much: a token bucket per guest. What a guest makes the server do is counted in bytes of output (its cost); `rate`
 * of them come back each second, up to `burst`. A guest that has used up its own is held: nothing of it is looked at,
 * and its event channel stays masked, until a sixteenth of a second's worth (or of the burst, if less) has come back.
 *
 * In which order: deficit round robin. In each round a guest gets one quantum; who comes from sleep, has not had this
 * round's and has most of its share left goes before those that are busy.
 */
#ifndef XIDS_RANDOMD_FAIR_H
#define XIDS_RANDOMD_FAIR_H

#include <xids/base.h>

/* A round's share of a guest: 32 times 64 bytes, so that any answer fits and each turn serves at least one request. */
#define XIDS_FAIR_QUANTUM 2048

/* rate and burst are at most this, so that no count overflows. */
#define XIDS_FAIR_MAX (1ull << 32)

/* The wheel of those that are held: slots of 2^20 ns. Who is held for longer than it turns is looked at once a turn. */
#define XIDS_FAIR_SLOTS 1024u

enum xids_fair_state {
    XIDS_FAIR_IDLE,  /* nothing to do */
    XIDS_FAIR_FRESH, /* came from sleep, and goes before the others */
    XIDS_FAIR_ROUND, /* waits for its turn in the round */
    XIDS_FAIR_HELD,  /* over its share */
};

/* Part of the caller's own structure; zeroed before join. All fields are fair.c's. */
struct xids_fair_guest {
    struct xids_fair_guest *next, **link; /* link: what points to it, NULL: nothing does */
    int64_t credit;                       /* 10^-9 bytes; can be below 0 by the cost of one request */
    uint64_t counted_at;                  /* when the credit was what it is, ns */
    uint64_t due;                         /* held: until then, ns */
    uint32_t round;                       /* the last in which it got a quantum */
    int32_t deficit;                      /* what is left of it, in bytes; below 0: it took more */
    uint32_t gift;                        /* cost that is not charged */
    uint8_t state;
};

struct xids_fair_list {
    struct xids_fair_guest *first, **end;
};

struct xids_fair {
    uint64_t rate, burst;
    struct xids_fair_list fresh, rounds;
    struct xids_fair_guest *wheel[XIDS_FAIR_SLOTS];
    uint64_t used[XIDS_FAIR_SLOTS / 64]; /* slots that may hold somebody */
    uint64_t tick;                       /* of the slot that was emptied last */
    uint64_t holds;                      /* how often a guest came to be held */
    uint32_t round;
    uint32_t held; /* guests that are */
};

/* rate in bytes a second, 0: no limit; burst in bytes, at least 1; both at most XIDS_FAIR_MAX. f must stay in place. */
void xids_fair_init(struct xids_fair *f, uint64_t rate, uint64_t burst, uint64_t now);

/* Other numbers from now on. Who is held stays so until the time it was to come back. */
void xids_fair_set(struct xids_fair *f, uint64_t rate, uint64_t burst);

/* A guest comes, with a full bucket; it goes. g must stay in place in between. */
void xids_fair_join(struct xids_fair *f, struct xids_fair_guest *g, uint64_t now);
void xids_fair_leave(struct xids_fair *f, struct xids_fair_guest *g);

/* Gives the guest cost that will not be charged, in place of what is left of an earlier gift; it is held no longer. */
void xids_fair_give(struct xids_fair *f, struct xids_fair_guest *g, uint32_t cost, uint64_t now);

/* Charges what the guest caused outside of its turns. True: it is held, now or already. */
bool xids_fair_charge(struct xids_fair *f, struct xids_fair_guest *g, uint32_t cost, uint64_t now);

/* The guest has something to do. Nothing happens when it is known already, or held. */
void xids_fair_wake(struct xids_fair *f, struct xids_fair_guest *g);

/*
 * Whose turn it is, and what its turn may cost (1 to twice the quantum); NULL: nobody's. To be followed by
 * xids_fair_served, or leave.
 */
struct xids_fair_guest *xids_fair_next(struct xids_fair *f, uint32_t *allowed, uint64_t now);

/* The turn is over and had this cost; more: there may be more to do. True: the guest is held from now on. */
bool xids_fair_served(struct xids_fair *f, struct xids_fair_guest *g, uint32_t cost, bool more, uint64_t now);

/* Takes one guest that is to be held no longer, and wakes it; NULL: there is none now. */
struct xids_fair_guest *xids_fair_release(struct xids_fair *f, uint64_t now);

/* When to call release again, UINT64_MAX: nobody is held. */
uint64_t xids_fair_due(const struct xids_fair *f);

/* For how long the guest will be held yet, in ns; 0: it is not. */
uint64_t xids_fair_wait(const struct xids_fair_guest *g, uint64_t now);

static inline bool xids_fair_waiting(const struct xids_fair *f)
{
    return f->fresh.first != NULL || f->rounds.first != NULL;
}

#endif
