/* SPDX-License-Identifier: ISC */
/* What all models of a vchan share: the page's places, the ends that a side can come to, and the judge. */
#ifndef PACKET
#define PACKET 1
#endif

/* The choice of being killed, or of losing one's domain, before each step and while asleep. */
#ifdef KILLED
#define MAY_BE_KILLED :: me == KILLED -> goto killed
#else
#define MAY_BE_KILLED
#endif
#ifdef DIES
#define MAY_DIE :: me == DIES -> goto died
#else
#define MAY_DIE
#endif
#if defined(KILLED) || defined(DIES)
#define STEP if MAY_BE_KILLED MAY_DIE :: true fi;
#endif

#define PROD(side) (side)     /* written by side */
#define CONS(side) (2 + side) /* written by side, which reads this ring */
#define LIVE(side) (4 + side) /* of side */
#define ASK(side) (6 + side)  /* what side asks the other for */
#ifndef OWN_PLACES
#define OWN_PLACES 0 /* of a model's own, after these */
#endif
#define FIRST_DATA (8 + OWN_PLACES)
#if SEND0 > 0 && SEND1 > 0
#define DATA(side, index) (FIRST_DATA + (side) * RING + (index) % RING)
#define PLACES (FIRST_DATA + 2 * RING)
#else
#define DATA(side, index) (FIRST_DATA + (index) % RING)
#define PLACES (FIRST_DATA + RING)
#endif
#include "memory.pml"

/* Indices run modulo 8 and begin where they wrap soon; the byte of index i is i. */
#define WRAP(index) ((index) & 7)
#define BEGIN 6
#define NEVER 99

#define WRITE 1
#define READ 2

/* What the judge needs to know of a side: whether it is over or asleep, for which bytes it waits, and for which room. */
bool over[2], asleep[2], met[2];
byte waits_read[2], waits_after[2], waits_write[2], waits_full[2];
bool dead; /* a domain has died, and its port is not bound again */
bool here; /* a client has come, if it is one that comes */

inline fall_asleep()
{
    d_step {
        asleep[me] = true;
        met[me] = connected;
        waits_read[me] = want_read;
        waits_after[me] = in_own;
        waits_write[me] = want_write;
        waits_full[me] = out_own
    }
}

inline wake_up()
{
    d_step {
        asleep[me] = false;
        waits_read[me] = 0;
        waits_after[me] = 0;
        waits_write[me] = 0;
        waits_full[me] = 0
    }
}

/* The two ends that a side does not choose: its process is killed, or its whole domain goes. */
inline be_killed()
{
    skip;
    wake_up();
    STORE_FOR_DEAD(LIVE(me), 0);
    SEND_EVENT();
    here = false;
    bound = false
}

inline die()
{
    skip;
    wake_up();
    d_step {
        told[you] = told[you] | view[me];
        here = false;
        bound = false;
        dead = true
    }
}

/* When nobody can take another step: whoever sleeps has nothing to wake up for. */
proctype Judge()
{
    byte me, you;
    timeout;
    for (me : 0 .. 1) {
        you = 1 - me;
        assert(asleep[me] || over[me]);
        if
        :: asleep[me] ->
            assert(waits_read[me] == 0 || WRAP(newest[PROD(you)] - waits_after[me]) < waits_read[me]);
            assert(waits_write[me] == 0 ||
                   RING - WRAP(waits_full[me] - newest[CONS(you)]) < waits_write[me]);
            assert(!met[me] || (newest[LIVE(you)] != 0 && bound));
            assert(met[me] || !here)
        :: else
        fi
    }
}

/* The page when it was just shared. */
inline share_page()
{
    d_step {
        for (i : 0 .. 1) {
            newest[PROD(i)] = BEGIN; newest[CONS(i)] = BEGIN
        }
        for (i : FIRST_DATA .. PLACES - 1) {
            newest[i] = NEVER
        }
        newest[LIVE(0)] = 1; newest[LIVE(1)] = 2; newest[ASK(0)] = WRITE;
        for (i : 0 .. PLACES - 1) {
            before[i] = newest[i]; carried[i] = 1 << i
        }
        view[0] = (1 << PLACES) - 1;
        view[1] = view[0]
    }
}
