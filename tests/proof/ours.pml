/* SPDX-License-Identifier: ISC */
/* Our side: vchan/vchan.c and the end of vchan/setup.c. */

/* xids_vchan_look_in_ */
inline look_in()
{
    if
    :: gone
    :: else ->
#ifdef BROKEN_LIVE_AFTER_PROD
        LOAD(PROD(you), v, ACQUIRE);
        LOAD(LIVE(you), live, ACQUIRE);
#else
#ifdef BROKEN_LIVE_RELAXED
        LOAD(LIVE(you), live, RELAXED);
#else
        LOAD(LIVE(you), live, ACQUIRE);
#endif
#ifdef BROKEN_PROD_RELAXED
        LOAD(PROD(you), v, RELAXED);
#else
        LOAD(PROD(you), v, ACQUIRE);
#endif
#endif
        /* xids_bytering_look: an honest peer is never taken for a broken one. */
        assert(WRAP(v - in_peer) <= RING - WRAP(in_peer - in_published));
        in_peer = v;
        /* note_live */
        if
        :: live == 0 && (connected || !reoffered) -> gone = true
        :: live == 1 && !after_lost -> connected = true
        :: else
        fi
    fi
}

/* xids_vchan_look_out_ */
inline look_out()
{
    LOAD(CONS(you), v, ACQUIRE);
    assert(WRAP(v - out_peer) <= WRAP(out_published - out_peer));
    out_peer = v
}

/* kick */
inline kick(bits)
{
#ifndef BROKEN_KICK_FENCE
    FENCE();
#endif
    LOAD(ASK(you), v, RELAXED);
    if
    :: v & (bits) ->
#ifdef BROKEN_CLEAR_NOT_ATOMIC
        LOAD(ASK(you), v, RELAXED);
        STORE(ASK(you), v & ~(bits), RELEASE);
#endif
#ifdef BROKEN_CLEAR_AFTER_NOTIFY
        NOTIFY();
#endif
#ifndef BROKEN_CLEAR_NOT_ATOMIC
        CLEAR_BITS(ASK(you), bits, v);
#endif
#ifndef BROKEN_CLEAR_AFTER_NOTIFY
        if
        :: v & (bits) -> NOTIFY()
        :: else
        fi
#endif
    :: else
    fi
}

/* xids_bytering_publish and kick, for bytes written and for room given back */
inline publish_out()
{
#ifdef BROKEN_KICK_BEFORE_PUBLISH
    kick(WRITE);
#endif
#ifdef BROKEN_PROD_STORE_RELAXED
    STORE(PROD(me), out_own, RELAXED);
#else
    STORE(PROD(me), out_own, RELEASE);
#endif
    out_published = out_own
#ifndef BROKEN_KICK_BEFORE_PUBLISH
    ; kick(WRITE)
#endif
}

inline publish_in()
{
    STORE(CONS(me), in_own, RELEASE);
    in_published = in_own;
    kick(READ)
}

/* xids_vchan_send of one packet, with PACKET 1 also xids_vchan_write of a byte */
inline send_one()
{
    if
    :: gone
    :: else ->
        LOAD(LIVE(you), live, RELAXED);
        if
        :: live == 0 -> look_in()
        :: else
        fi
    fi;
    if
    :: gone -> WRITER_LEARNS
    :: else ->
        if
        :: RING - WRAP(out_own - out_peer) < PACKET -> look_out()
        :: else
        fi;
        if
        :: RING - WRAP(out_own - out_peer) >= PACKET ->
            STORE(DATA(me, out_own), out_own, RELAXED);
#if PACKET > 1
            STORE(DATA(me, out_own + 1), WRAP(out_own + 1), RELAXED);
#endif
            out_own = WRAP(out_own + PACKET);
            left = left - PACKET;
            moved = true;
            /* wrote */
            if
            :: WRAP(out_own - out_published) < BATCH -> LOAD(ASK(you), v, RELAXED)
            :: else -> v = WRITE
            fi;
            if
            :: v & WRITE -> publish_out()
            :: else
            fi
        :: else
        fi
    fi
}

/* xids_vchan_recv, or xids_vchan_read of a byte */
inline recv_one()
{
    if
    :: WRAP(in_peer - in_own) < PACKET -> look_in()
    :: else
    fi;
    if
    :: WRAP(in_peer - in_own) >= PACKET ->
#ifdef BROKEN_CONS_BEFORE_COPY
        STORE(CONS(me), WRAP(in_own + PACKET), RELEASE);
#endif
        LOAD(DATA(you, in_own), v, RELAXED);
        assert(v == in_own);
#if PACKET > 1
        LOAD(DATA(you, in_own + 1), v, RELAXED);
        assert(v == WRAP(in_own + 1));
#endif
        in_own = WRAP(in_own + PACKET);
        moved = true;
        /* took */
        if
        :: WRAP(in_own - in_published) >= BATCH || in_peer == in_own -> publish_in()
        :: else
        fi
    :: gone && WRAP(in_peer - in_own) < PACKET ->
        /* The end: nothing that was published is missing. */
        AT_END;
        reads = false;
        moved = true
    :: else
    fi
}

/* xids_vchan_flush */
inline flush()
{
    bits = 0;
    if
    :: out_published != out_own ->
        STORE(PROD(me), out_own, RELEASE);
        out_published = out_own;
        bits = bits | WRITE
    :: else
    fi;
    if
    :: in_published != in_own ->
        STORE(CONS(me), in_own, RELEASE);
        in_published = in_own;
        bits = bits | READ
    :: else
    fi;
    if
    :: bits -> kick(bits)
    :: else
    fi
}

/* xids_vchan_arm */
inline arm()
{
#ifndef BROKEN_ARM_NO_FLUSH
    flush();
#endif
    bits = (want_read -> WRITE : 0) | (want_write -> READ : 0);
#ifndef BROKEN_ARM_ASK_LAST
    ask();
#endif
    /* ready */
    armed = false;
#ifndef BROKEN_ARM_NO_LOOK
    look_in();
    if
    :: gone || (want_read && WRAP(in_peer - in_own) >= want_read) -> armed = true
    :: else ->
        if
        :: want_write ->
            look_out();
            armed = RING - WRAP(out_own - out_peer) >= want_write
        :: else
        fi
    fi;
#endif
#ifdef BROKEN_ARM_ASK_LAST
    ask();
#endif
    if
    :: armed && bits -> CLEAR_BITS(ASK(me), bits, v)
    :: else
    fi
}

inline ask()
{
    LOAD(ASK(me), v, RELAXED);
    if
    :: (v & bits) != bits ->
#ifdef BROKEN_ASK_NOT_ATOMIC
        STORE(ASK(me), v | bits, RELEASE)
#else
        SET_BITS(ASK(me), bits, v)
#endif
    :: else
    fi;
#ifndef BROKEN_ARM_FENCE
    FENCE()
#endif
}

/* xids_vchan_event */
inline event()
{
#ifdef BROKEN_LOOK_BEFORE_UNMASK
    look_in();
#endif
#ifndef BROKEN_NO_UNMASK
    UNMASK();
#endif
    if
    :: after_lost && bound -> after_lost = false
    :: else
    fi;
#ifndef BROKEN_LOOK_BEFORE_UNMASK
    look_in()
#endif
}

/* Sleeping on the port; a domain's death is found by a look from time to time. */
inline nap()
{
    /* Nobody sleeps on what he has not told the other. */
    assert(out_published == out_own && in_published == in_own);
    fall_asleep();
    atomic {
        if
        :: pending[me] -> TAKE_EVENT(); woken = true
#ifndef BROKEN_NO_LOOK_AT_PORT
        :: dead && !pending[me] -> woken = false
#endif
        MAY_BE_KILLED
        MAY_DIE
        fi;
        wake_up()
    }
    if
    :: woken -> event()
    :: else -> check_peer()
    fi
}

/* xids_vchan_check_peer and xids_vchan_peer_died */
inline check_peer()
{
    look_in();
    if
    :: connected && !gone && !bound ->
        /* The question went through the hypervisor, after the last store of the domain that died. */
        d_step {
            view[me] = view[me] | told[me]
        }
        look_in();
        if
        :: !gone -> gone = true; lost = true
        :: else
        fi
    :: else
    fi
}

/* xids_vchan_leave_ and the closing of the port */
inline leave()
{
#ifdef BROKEN_LEAVE_PUBLISHES_LATE
    STORE(LIVE(me), 0, RELEASE);
#endif
#ifdef BROKEN_LEAVE_NOTIFIES_EARLY
    NOTIFY();
#endif
#ifndef BROKEN_LEAVE_PUBLISHES_NOT
    if
    :: out_published != out_own -> STORE(PROD(me), out_own, RELEASE)
    :: else
    fi;
    if
    :: in_published != in_own -> STORE(CONS(me), in_own, RELEASE)
    :: else
    fi;
#endif
#ifndef BROKEN_LEAVE_PUBLISHES_LATE
#ifdef BROKEN_LEAVE_RELAXED
    STORE(LIVE(me), 0, RELAXED);
#else
    STORE(LIVE(me), 0, RELEASE);
#endif
#endif
    assert(newest[PROD(me)] == out_own);
#if !defined(BROKEN_LEAVE_NOTIFIES_NOT) && !defined(BROKEN_LEAVE_NOTIFIES_EARLY)
    NOTIFY();
#endif
    bound = false
}

/* xids_vchan_reoffer, of a server whose client has gone and left nothing */
inline reoffer()
{
    flush();
#ifdef BROKEN_REOFFER_DISTRUSTS
    after_lost = lost;
#else
    after_lost = lost && !bound;
#endif
#ifdef BROKEN_REOFFER_TRUSTS
    after_lost = false;
#endif
    connected = false; gone = false; lost = false;
    reoffered = true;
    SET_BITS(ASK(me), WRITE, v)
}
