/* SPDX-License-Identifier: ISC */
/*
 * A weak memory and an event channel for models of two sides, 0 and 1, that share pages. README.md says what it covers.
 *
 * Each place keeps its newest value and the one before. A side that does not know of the newest yet may load either.
 * What a side knows is a set of places whose newest value it must see: its view. A release store carries the storing
 * side's view, an acquire load takes it over; a full barrier exchanges it with all other full barriers. So stores seem
 * delayed (as in a store buffer) and loads seem early, each as far as the barriers allow.
 *
 * Who includes this defines PLACES, the count of places (at most 31), and calls MEMORY_INIT of each.
 */
#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 1

byte newest[PLACES], before[PLACES];         /* the values */
int carried[PLACES], carried_before[PLACES]; /* the views that came with them */
int view[2];                                 /* what a side knows */
int loaded[2];                               /* and would know after a barrier, from relaxed loads */
int fenced[2];                               /* what it knew at its last barrier: relaxed stores carry this */
int barriers;                                /* what has been known at any full barrier */

/* The event channel, as Linux's device has it: an event queues the port and masks it; another one is kept until unmask. */
bool pending[2], masked[2], kept[2];
bool bound = true; /* both ends are there */
int told[2];       /* the view that came with the events */

/* Arguments and results of the C functions; they live within one step. */
hidden byte m_side, m_place, m_value, m_order, m_old;

c_code {
/* A new value in a place: nobody but the storing side knows of it. */
static void memory_put(int side, int place, int value, int with)
{
    int bit = 1 << place, i;
    for (i = 0; i < PLACES; i++) {
        now.carried[i] &= ~bit;
        now.carried_before[i] &= ~bit;
    }
    for (i = 0; i < 2; i++) {
        now.view[i] &= ~bit;
        now.loaded[i] &= ~bit;
        now.fenced[i] &= ~bit;
        now.told[i] &= ~bit;
    }
    now.barriers &= ~bit;
    now.before[place] = now.newest[place];
    now.carried_before[place] = now.carried[place];
    now.newest[place] = value;
    now.view[side] |= bit;
    now.carried[place] = (with & ~bit) | bit;
}

static void memory_store(void)
{
    memory_put(m_side, m_place, m_value, m_order ? now.view[m_side] : now.fenced[m_side]);
}

static void memory_load(void)
{
    int with = m_old ? now.carried_before[m_place] : now.carried[m_place] | 1 << m_place;
    now.view[m_side] |= m_order ? with : m_old ? 0 : 1 << m_place;
    now.loaded[m_side] = (now.loaded[m_side] | with) & ~now.view[m_side];
    m_value = m_old ? now.before[m_place] : now.newest[m_place];
}

/* Read-modify-write, acquire and release, but no full barrier. The result is the value before. */
static void memory_modify(int set, int clear)
{
    int value = now.newest[m_place], with = now.carried[m_place];
    now.view[m_side] |= with;
    now.loaded[m_side] &= ~with;
    memory_put(m_side, m_place, (value | set) & ~clear, with | now.view[m_side]);
    m_value = value;
}

static void memory_fence(void)
{
    now.view[m_side] |= now.loaded[m_side] | now.barriers;
    now.loaded[m_side] = 0;
    now.barriers = now.fenced[m_side] = now.view[m_side];
}
}

#define BIT(set, place) ((set) >> (place) & 1)
/* Whether loading the value before would be another thing than loading the newest. */
#define CAN_LAG(side, place)                                                                                       \
    (!BIT(view[side], place) && (before[place] != newest[place] ||                                                 \
                                 carried_before[place] != (carried[place] & ~(1 << (place)))))

/*
 * The operations, of the side "me". STEP comes first in each: a model that kills a side at any point defines it as a
 * choice of going to its death.
 */
#ifndef STEP
#define STEP
#endif

inline STORE(place, value, order)
{
    atomic {
        STEP
        d_step {
            m_side = me; m_place = place; m_value = value; m_order = order;
            c_code { memory_store(); }
        }
    }
}

/* What the kernel stores for a side that was killed: it has done all that the side did before. */
inline STORE_FOR_DEAD(place, value)
{
    d_step {
        m_side = me; m_place = place; m_value = value; m_order = RELEASE;
        c_code { memory_fence(); memory_store(); }
    }
}

inline LOAD(place, to, order)
{
    atomic {
        STEP
        if
        :: m_old = 0
        :: CAN_LAG(me, place) -> m_old = 1
        fi;
        m_side = me; m_place = place; m_order = order;
        c_code { memory_load(); }
        to = m_value
    }
}

inline SET_BITS(place, bits, was)
{
    atomic {
        STEP
        d_step {
            m_side = me; m_place = place; m_value = bits;
            c_code { memory_modify(m_value, 0); }
            was = m_value
        }
    }
}

inline CLEAR_BITS(place, bits, was)
{
    atomic {
        STEP
        d_step {
            m_side = me; m_place = place; m_value = bits;
            c_code { memory_modify(0, m_value); }
            was = m_value
        }
    }
}

inline FENCE()
{
    d_step {
        m_side = me;
        c_code { memory_fence(); }
    }
}

inline SEND_EVENT()
{
    d_step {
        if
        :: bound ->
            told[1 - me] = told[1 - me] | view[me];
            if
            :: masked[1 - me] -> kept[1 - me] = true
            :: else -> pending[1 - me] = true; masked[1 - me] = true
            fi
        :: else
        fi
    }
}

inline NOTIFY()
{
    atomic {
        STEP
        SEND_EVENT()
    }
}

/* Only when pending[me]. */
inline TAKE_EVENT()
{
    d_step {
        pending[me] = false;
        view[me] = view[me] | told[me];
        told[me] = 0
    }
}

inline UNMASK()
{
    atomic {
        STEP
        d_step {
            pending[me] = pending[me] | kept[me];
            masked[me] = pending[me];
            kept[me] = false
        }
    }
}
