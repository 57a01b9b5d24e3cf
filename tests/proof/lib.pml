/* SPDX-License-Identifier: ISC */
/* A side that runs libxenvchan 4.17 with blocking calls. Its loads and stores are plain ones between full barriers. */

/* Whether there is something to read (lib_ready) or room to write (lib_room), with a request when there is not. */
inline lib_ready()
{
    LOAD(PROD(you), v, RELAXED);
    FENCE();
    if
    :: v == in_own ->
        SET_BITS(ASK(me), WRITE, v);
        FENCE();
        LOAD(PROD(you), v, RELAXED);
        FENCE()
    :: else
    fi
}

inline lib_room()
{
    LOAD(CONS(you), v, RELAXED);
    FENCE();
    if
    :: WRAP(out_own - v) == RING ->
        SET_BITS(ASK(me), READ, v);
        FENCE();
        LOAD(CONS(you), v, RELAXED);
        FENCE()
    :: else
    fi
}

inline lib_kick(asked)
{
    FENCE();
    CLEAR_BITS(ASK(you), asked, v);
    FENCE();
    if
    :: v & (asked) -> NOTIFY()
    :: else
    fi
}

inline lib_wait()
{
    fall_asleep();
    atomic {
        if
        :: pending[me] -> TAKE_EVENT()
        MAY_BE_KILLED
        MAY_DIE
        fi;
        wake_up()
    }
    UNMASK()
}

/* libxenvchan_read of one byte */
inline lib_read()
{
    want_read = 1;
    do
    :: lib_ready();
        if
        :: v != in_own ->
            LOAD(DATA(you, in_own), v, RELAXED);
            assert(v == in_own);
            FENCE();
            in_own = WRAP(in_own + 1);
            STORE(CONS(me), in_own, RELAXED);
            lib_kick(READ);
            break
        :: else ->
            LOAD(LIVE(you), live, RELAXED);
            if
            :: live == 0 ->
                /* It may miss the last bytes of who does not wait for it. */
#ifdef DRAINS
                assert(in_own == newest[PROD(you)]);
#endif
                reads = false;
                break
            :: else -> lib_wait()
            fi
        fi
    od;
    want_read = 0
}

/* libxenvchan_write of one byte */
inline lib_write()
{
    LOAD(LIVE(you), live, RELAXED);
    if
    :: live == 0 -> left = 0
    :: else ->
        want_write = 1;
        do
        :: lib_room();
            if
            :: WRAP(out_own - v) < RING ->
                FENCE();
                STORE(DATA(me, out_own), out_own, RELAXED);
                FENCE();
                out_own = WRAP(out_own + 1);
                STORE(PROD(me), out_own, RELAXED);
                lib_kick(WRITE);
                left--;
                break
            :: else ->
                lib_wait();
                LOAD(LIVE(you), live, RELAXED);
                if
                :: live == 0 -> left = 0; break
                :: else
                fi
            fi
        od;
        want_write = 0
    fi
}

/* libxenvchan_close */
inline lib_close()
{
    STORE(LIVE(me), 0, RELAXED);
    NOTIFY();
    bound = false
}
