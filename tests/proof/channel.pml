/* SPDX-License-Identifier: ISC */
/*
 * A connected vchan: two sides move bytes, sleep, wake each other, and end by closing, by kill -9 or with their domain.
 * README.md says which function of vchan/ each inline stands for. run gives these macros:
 *
 *   SIDE0, SIDE1     Ours or Lib: whose code a side runs   SEND0, SEND1    how many bytes it has to send
 *   RING      bytes in each ring (a power of two)          BATCH     publish when so many have gathered (ours)
 *   PACKET    bytes that are moved together (ours)         DRAINS    a writer waits until all is read before it closes
 *   QUITS     the side that may close at any turn          KILLED    the side that may be killed at any step
 *   DIES      the side whose domain may die at any step
 *   BROKEN_*  one step left out or moved: an error must be found
 */
#include "world.pml"
#define AT_END assert(in_peer == newest[PROD(you)])
#define WRITER_LEARNS left = 0; moved = true
#include "ours.pml"
#include "lib.pml"

/* A loop around a channel, as in vchan.h. */
proctype Ours(byte me; byte left)
{
    byte you = 1 - me, in_own = BEGIN, in_published = BEGIN, in_peer = BEGIN;
    byte out_own = BEGIN, out_published = BEGIN, out_peer = BEGIN, v, live, bits, want_read, want_write;
    bool gone, lost, moved, armed, woken, connected = true, reoffered, after_lost;
    bool reads = (me == 0 -> SEND1 : SEND0) > 0;

    do
    :: true ->
        moved = false;
        if
        :: left > 0 -> send_one()
        :: else
        fi;
        if
        :: reads -> recv_one()
        :: else
        fi;
        /* A side that was told not to sleep has something to do. */
        assert(moved || !armed);
        armed = false;
        if
        :: moved
        :: else ->
            if
            :: left == 0 && !reads -> break
            :: else ->
                want_read = (reads -> PACKET : 0);
                want_write = (left > 0 -> PACKET : 0);
                arm();
                if
                :: !armed -> nap()
                :: else
                fi
            fi
        fi
#ifdef QUITS
    :: me == QUITS -> goto leaves
#endif
    od;
    want_read = 0; want_write = 0;
#ifdef DRAINS
    /* xids_vchan_drain */
    do
    :: gone || out_peer == out_own -> break
    :: else ->
        want_write = RING;
        arm();
        if
        :: !armed -> nap()
        :: else
        fi
    od;
    want_write = 0;
#endif
    if
    :: goto leaves
    :: flush(); goto done /* turns to something else for ever */
    :: !gone -> /* waits for nothing but the end */
        do
        :: gone -> break
        :: else ->
            arm();
            if
            :: !armed -> nap()
            :: else
            fi
        od
    fi;
leaves:
    leave();
#ifdef KILLED
    goto done;
killed:
    be_killed();
#endif
#ifdef DIES
    goto done;
died:
    die();
#endif
done:
    over[me] = true
}

/* Writes and reads in turn: a request and its answer at a time. */
proctype Lib(byte me; byte left)
{
    byte you = 1 - me, in_own = BEGIN, out_own = BEGIN, v, live, want_read, want_write;
    bool connected = true, reads = (me == 0 -> SEND1 : SEND0) > 0;

    do
    :: left > 0 || reads ->
        if
        :: left > 0 -> lib_write()
        :: else
        fi;
        if
        :: reads -> lib_read()
        :: else
        fi
    :: left == 0 && !reads -> break
#ifdef QUITS
    :: me == QUITS -> break
#endif
    od;
    if
    :: lib_close()
    :: true
    fi;
#ifdef KILLED
    goto done;
killed:
    be_killed();
#endif
#ifdef DIES
    goto done;
died:
    die();
#endif
done:
    over[me] = true
}

init {
    byte i;
    share_page();
    atomic {
        newest[LIVE(1)] = 1; before[LIVE(1)] = 1; newest[ASK(1)] = WRITE; before[ASK(1)] = WRITE;
        run SIDE0(0, SEND0);
        run SIDE1(1, SEND1);
        run Judge()
    }
}
