/* SPDX-License-Identifier: ISC */
/*
 * vchan, spinning: waiting for the peer without an event, and for how long that is worth it.
 *
 * A spin that meets the peer saves both sides a system call and a wake-up; one in vain costs its budget. With a budget
 * of what a sleep costs, nobody loses more than half by it. Which of the two it will be, the last spins tell: one that
 * meets the peer restores the whole budget, each in vain halves it, down to none. From then on a trial is made after a
 * number of sleeps, which doubles with each trial in vain. Sleeps much longer than any spin do not count: such a peer
 * is not worth a trial.
 */
#include "vchan/internal.h"

/* A look at the clock costs as much as a few at the channel; with so many between, the budget is overrun by 1 us or so.
 */
#define LOOKS_AT_ONCE 16u

/* No look takes less (ns): the bound where the clock stands still, as the model's does while nobody sleeps. */
#define LOOK_MIN 8u

/* Four spins in vain end it: enough to outlast the peer's losing its CPU once, too few to cost a slow peer's friend. */
#define BUDGETS 8u

/* Sleeps between trials: a peer that comes to life is met soon; one on our CPU costs one trial in a thousand sleeps. */
#define RESTS_MIN 8u
#define RESTS_MAX 1024u

/* A sleep up to so many limits may hide an answer within one: to be woken takes its time, on some hosts 50 us. */
#define SHORT_SLEEP 4u

/* Tells the CPU that we only wait: it leaves more to its other thread, and does not run ahead on a guess. */
static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" : : : "memory");
#endif
}

/* What a spin came to. */
enum met { AT_ONCE, IN_TIME, TOO_LATE };

/* 1 or an error; 0: the budget is used up. */
static int look_for(struct xids_vchan *ch, enum met *met, uint32_t want_read, uint32_t want_write, uint64_t budget)
{
    const struct xids_platform *platform = ch->platform;
    uint64_t start = 0;
    *met = AT_ONCE;
    for (uint32_t looks = 0;; looks++) {
        int rc = xids_vchan_ready_(ch, want_read, want_write);
        if (rc != 0 && looks > 0)
            /* Later than the budget: we lost the CPU meanwhile, perhaps to the peer, which could do nothing before. */
            *met = platform->ops->now(platform->ctx) - start <= budget ? IN_TIME : TOO_LATE;
        if (rc != 0 || looks >= budget / LOOK_MIN)
            return rc;
        if (looks % LOOKS_AT_ONCE == 0) {
            uint64_t now = platform->ops->now(platform->ctx);
            if (looks == 0)
                start = now;
            else if (now - start >= budget)
                return 0;
        }
        relax();
    }
}

static int begin(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write)
{
    if (want_read > ch->in.at.size || want_write > ch->out.at.size)
        return -XEN_EMSGSIZE;
    return xids_vchan_flush(ch);
}

int xids_vchan_spin(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write, uint32_t budget)
{
    enum met met;
    int rc = begin(ch, want_read, want_write);
    return rc < 0 ? rc : look_for(ch, &met, want_read, want_write, budget);
}

void xids_vchan_set_spin(struct xids_vchan *ch, uint32_t limit)
{
    ch->pace = (struct vchan_pace){.limit = limit, .budget = limit, .rests = RESTS_MIN};
}

/* A spin was in vain. */
static void missed(struct vchan_pace *p)
{
    bool trial = p->rests != RESTS_MIN;
    p->budget /= 2u;
    if (!trial && p->budget > p->limit / (2u * BUDGETS))
        return;
    p->budget = 0;
    p->rest = p->rests;
    p->rests = p->rests < RESTS_MAX ? (uint16_t)(p->rests * 2u) : RESTS_MAX;
}

int xids_vchan_pace_(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write, uint64_t most)
{
    struct vchan_pace *p = &ch->pace;
    if (p->budget == 0)
        return 0;
    bool whole = most >= p->budget;
    enum met met = AT_ONCE;
    int rc = begin(ch, want_read, want_write);
    if (rc == 0)
        rc = look_for(ch, &met, want_read, want_write, whole ? p->budget : most);
    if (rc == 1 && met == IN_TIME) {
        p->budget = p->limit;
        p->rests = RESTS_MIN;
    } else if ((rc == 0 && whole) || (rc == 1 && met == TOO_LATE)) {
        missed(p);
    }
    return rc;
}

void xids_vchan_slept_(struct xids_vchan *ch, uint64_t ns)
{
    struct vchan_pace *p = &ch->pace;
    if (p->budget != 0 || ns / SHORT_SLEEP > p->limit)
        return;
    if (p->rest > 0)
        p->rest--;
    else
        p->budget = p->limit;
}
