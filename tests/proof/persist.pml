/* SPDX-License-Identifier: ISC */
/*
 * A server of ours that offers the same pages to one client after another. A client comes whenever the port is free, also
 * before the server has noticed that the last one went, and goes when it likes, or stays.
 *
 *   CLIENT    OurClient or LibClient                       RING, BATCH    as in channel.pml
 *   SEND0     bytes that the server has for all of them    SEND1     bytes that they have in all
 *   CLIENTS   how many come                                KILLS, DEATHS  how a client may end, beside closing
 *
 * Ends come between two calls; channel.pml has them at any step.
 */
#include "world.pml"
#define AT_END skip
#define WRITER_LEARNS skip
#include "ours.pml"
#include "lib.pml"

byte went; /* how many clients have gone */

proctype Server(byte me; byte left)
{
    byte you = 1 - me, in_own = BEGIN, in_published = BEGIN, in_peer = BEGIN;
    byte out_own = BEGIN, out_published = BEGIN, out_peer = BEGIN, v, live, bits, want_read, want_write, ends;
    bool gone, lost, moved, armed, woken, connected, reoffered, after_lost, reads = true;

    do
    :: true ->
        moved = false;
        /* An event can be taken at any time, also while the last bytes of one that has gone are read. */
        if
        :: gone && pending[me] -> TAKE_EVENT(); event()
        :: true
        fi;
        if
        :: left > 0 && !gone -> send_one()
        :: else
        fi;
        recv_one();
        if
        :: !reads ->
            /* Of each end it learns at most once; it may miss one that was followed by a client at once. */
            ends++;
            assert(ends <= went);
            reoffer();
            reads = true;
            moved = true
        :: else
        fi;
        assert(moved || !armed);
        armed = false;
        if
        :: moved
        :: else ->
            want_read = 1;
            want_write = (left > 0 -> 1 : 0);
            arm();
            if
            :: !armed -> nap()
            :: else
            fi
        fi
    od
}

/* Binding the event channel: the new port is pending once for no reason. */
inline bind()
{
    atomic {
        !bound ->
        d_step {
            bound = true; dead = false;
            pending[me] = true; masked[me] = true; kept[me] = false; told[me] = 0
        }
    }
}

#ifdef KILLS
#define OR_IS_KILLED :: true -> be_killed()
#else
#define OR_IS_KILLED
#endif
#ifdef DEATHS
#define OR_DIES :: true -> die()
#else
#define OR_DIES
#endif

/* xids_vchan_client_init, then a loop as the server's. */
proctype OurClient(byte me; byte left)
{
    byte you = 1 - me, clients = CLIENTS, in_own, in_published, in_peer, out_own, out_published, out_peer;
    byte v, live, bits, want_read, want_write;
    bool gone, lost, moved, armed, woken, connected, reoffered, after_lost, reads;

again:
    bind();
    LOAD(PROD(me), out_own, ACQUIRE);
    LOAD(CONS(you), out_peer, ACQUIRE);
    LOAD(PROD(you), in_peer, ACQUIRE);
    LOAD(CONS(me), in_own, ACQUIRE);
    out_published = out_own; in_published = in_own;
    connected = true; reads = SEND0 > 0;
    STORE(LIVE(me), 1, RELEASE);
    SET_BITS(ASK(me), WRITE, v);
    FENCE();
    LOAD(LIVE(you), live, ACQUIRE);
    NOTIFY();
    here = true;
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
        assert(moved || !armed);
        armed = false;
        if
        :: moved
        :: left == 0 && clients > 1 && !moved -> break
        :: else ->
            want_read = (reads -> 1 : 0);
            want_write = (left > 0 -> 1 : 0);
            arm();
            if
            :: !armed -> nap()
            :: else
            fi
        fi
    :: clients > 1 -> break
    od;
    went++;
    if
    :: true -> leave()
    OR_IS_KILLED
    OR_DIES
    fi;
    here = false;
    clients--;
    d_step {
        gone = false; armed = false; loaded[me] = 0;
        in_own = 0; in_peer = 0; in_published = 0; out_own = 0; out_peer = 0; out_published = 0
    };
    if
    :: clients > 0 -> goto again
    :: else
    fi;
    over[me] = true
}

/* libxenvchan_client_init, then blocking reads or writes. */
proctype LibClient(byte me; byte left)
{
    byte you = 1 - me, clients = CLIENTS, in_own, out_own, v, live, want_read, want_write;
    bool connected, reads;

again:
    bind();
    UNMASK();
    connected = true; reads = SEND0 > 0;
    STORE(LIVE(me), 1, RELAXED);
    STORE(ASK(me), WRITE, RELAXED);
    NOTIFY();
    here = true;
    LOAD(PROD(me), out_own, RELAXED);
    LOAD(CONS(me), in_own, RELAXED);
    do
    :: left > 0 -> lib_write()
    :: reads -> lib_read()
    :: clients > 1 -> break
    :: clients == 1 && left == 0 && !reads -> goto stays
    od;
    went++;
    if
    :: true -> lib_close()
    OR_IS_KILLED
    OR_DIES
    fi;
    here = false;
    clients--;
    loaded[me] = 0;
    if
    :: clients > 0 -> goto again
    :: else
    fi;
stays:
    over[me] = true
}

init {
    byte i;
    share_page();
    atomic {
        bound = false;
        run Server(0, SEND0);
        run CLIENT(1, SEND1);
        run Judge()
    }
}
