/* SPDX-License-Identifier: ISC */
/*
 * The main loop of a program that is nothing but engines on one platform: a unikernel, a test. Each engine (a
 * xenstore connection, a vchan, an entropy client, a device) gives the loop a struct xids_part; the loop takes pending
 * ports, hands each to the part that owns it, lets all parts do what is due, and sleeps until the next deadline.
 *
 * Suspending is the loop's second duty. A suspended domain may wake up on another host: its event channels, grants and
 * mappings are gone. So each part gives back all of these before, and makes them anew after.
 *
 * One thread. Nothing is allocated: a part is the engine's own memory.
 */
#ifndef XIDS_LOOP_H
#define XIDS_LOOP_H

#include <xids/platform.h>

XIDS_BEGIN_DECLS

/* What an engine shows to the loop. Functions may be NULL when there is nothing to do, except step. */
struct xids_part {
    /* A port was taken, and is masked. True: it is this part's, which has unmasked (or closed) it. */
    bool (*event)(void *ctx, evtchn_port_t port);
    /*
     * Does what can be done now. Called in every turn, after events were handed out. Returns the time (ns, the
     * platform's clock) by which it wants to be called even if nothing happens: UINT64_MAX never, 0 at once (the other
     * parts get their turn first).
     */
    uint64_t (*step)(void *ctx, uint64_t now);
    /* The domain will be suspended: give back every port, grant and mapping. No call to step until resume. */
    void (*suspend)(void *ctx);
    /* It runs again, perhaps elsewhere and under another domid (the platform's, already set): begin anew. */
    void (*resume)(void *ctx);
    void *ctx;
    struct xids_part *next, *prev; /* the loop's own, as all below */
    bool in;
};

struct xids_loop_walk;

/* Read its fields at will; only the functions below write them. */
struct xids_loop {
    struct xids_platform *platform;
    struct xids_part *parts, *last;
    struct xids_loop_walk *walks; /* that are under way over the parts, the innermost first */
    bool suspended;
    uint64_t strays; /* events of ports that no part owns; such a port stays masked */
};

/* How many events one turn hands out at most, so that a flood of one peer's does not keep the steps from their turn. */
#define XIDS_LOOP_EVENTS 64u

void xids_loop_init(struct xids_loop *loop, struct xids_platform *platform);

/*
 * Adds a part (zeroed but for what its engine set) behind the others; it stays the caller's and must stay in place
 * until removed. Does nothing when it is in. Allowed inside a turn; while the parts are suspended it must be as if it
 * had been suspended too.
 */
void xids_loop_add(struct xids_loop *loop, struct xids_part *part);

/* Takes a part out; does nothing when it is not in. Allowed inside a turn, also for the part that is being called. */
void xids_loop_remove(struct xids_loop *loop, struct xids_part *part);

/*
 * One turn: hands out what is pending, steps every part, and, when nothing was pending and no part wants to go on at
 * once, sleeps until an event or the earliest deadline, the caller's included (ns; UINT64_MAX: none). Not to be called
 * from inside a part.
 * Returns 0 when the caller's deadline has come, whatever else happened, so that peers cannot keep him from it; else 1:
 * there were events, or work was or is due; -XEN_EINTR and others as the platform's wait, -XEN_ENODEV.
 */
int xids_loop_turn(struct xids_loop *loop, uint64_t deadline) XIDS_MUST_CHECK;

/*
 * Suspends all parts, the last added first; resumes them, the first added first. Each does nothing when it is so
 * already. Allowed inside a turn, which then calls no part until it is resumed.
 */
void xids_loop_suspend(struct xids_loop *loop);
void xids_loop_resume(struct xids_loop *loop);

XIDS_END_DECLS

#endif
