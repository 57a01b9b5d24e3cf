/* SPDX-License-Identifier: ISC */
/*
 * Entropy of a guest's own, for struct xids_entropy: what the CPU offers, and time. It makes the grade LOCAL where no
 * server answers, keeps the key fresh, and is what a guest stays safe by when its servers lie.
 *
 *     struct xids_local_cpu cpu;
 *     xids_local_cpu(&cpu);
 *     xids_local_init(&local, &entropy, &cpu, now);
 *     rc = xids_local_gather(&local, now);            at boot, when there is no loop to wait in; or
 *     due = xids_local_turn(&local, now);             in each turn of a loop, and again at due
 *
 * The sources, and what one sample of each is credited with (docs/spec/randomd.md, 7.5, says why). A sample is a word
 * of 64 bits, or the time that a piece of work took:
 *
 *     SEED     RDSEED, RNDRRS        32 bits
 *     RANDOM   RDRAND, RNDR          1/8 bit; asked only when SEED gives nothing
 *     JITTER   work of a fixed size  1/32 bit, when it differs from the samples before in all three differences
 *     EVENTS   turns of the loop     1/32 bit, likewise
 *
 * Every raw sample goes through a health test (health.h) and counts for nothing until the start-up test is over. A
 * source that fails loses its credit and is tested anew; one that gives what no sound one gives (the CPU's own words
 * that are 0, ~0 or repeat themselves) is not asked again. All samples are mixed in, credited or not.
 *
 * Freestanding, nothing is allocated, one thread. Time in one call is bounded: one turn takes at most
 * XIDS_LOCAL_PER_TURN samples of each source; after XIDS_LOCAL_TURNS turns without enough there is a pause.
 */
#ifndef XIDS_LOCAL_H
#define XIDS_LOCAL_H

#include <xids/entropy.h>
#include <xids/health.h>

XIDS_BEGIN_DECLS

#define XIDS_LOCAL_PER_TURN 16u             /* so few that a server which answers meanwhile is not kept waiting */
#define XIDS_LOCAL_TURNS 2048u              /* jitter alone, if it is sound, needs about 750 */
#define XIDS_LOCAL_TRIES 128u               /* how often one word is asked for when the CPU has none ready */
#define XIDS_LOCAL_PAUSE_NS 1000000000ull   /* after turns that did not do; then twice as long, and so on */
#define XIDS_LOCAL_PAUSE_DOUBLINGS 6u       /* up to 64 s */
#define XIDS_LOCAL_RESEED_NS 60000000000ull /* between the times when 256 fresh bits are gathered */

enum xids_local_source {
    XIDS_LOCAL_SEED,
    XIDS_LOCAL_RANDOM,
    XIDS_LOCAL_JITTER,
    XIDS_LOCAL_EVENTS,
    XIDS_LOCAL_SOURCES,
};

enum xids_local_state {
    XIDS_LOCAL_ABSENT,  /* this CPU has no such thing */
    XIDS_LOCAL_TESTING, /* it has not passed the start-up test (yet) */
    XIDS_LOCAL_GOOD,
    XIDS_LOCAL_BROKEN, /* for good */
};

/* What the sources ask. Functions may be NULL when there is no such thing. None of them may block. */
struct xids_local_cpu {
    bool (*seed)(void *ctx, uint64_t *word);   /* false: none ready */
    bool (*random)(void *ctx, uint64_t *word); /* likewise */
    uint64_t (*counter)(void *ctx);            /* of cycles, or the finest that there is */
    void *ctx;
};

/* Fills in what the CPU has that this runs on. On architectures that xids knows nothing of, nothing. */
void xids_local_cpu(struct xids_local_cpu *cpu);

/* Bytes that tell this machine and this moment from others, no secret: salt, or part of a nonce. Fills out. */
void xids_local_cpu_salt(uint8_t out[32]);

struct xids_local_status {
    const char *name;
    enum xids_local_state state;
    uint64_t samples;
    uint64_t misses;   /* words that were not ready in XIDS_LOCAL_TRIES tries; times that told nothing new */
    uint64_t failures; /* of the health test */
    uint64_t bits;     /* credited since the generator was last forgotten */
};

/* The implementation's. It holds raw samples: xids_local_wipe it. */
struct xids_local_one {
    struct xids_health health;
    uint64_t samples, misses, credited; /* credited in 1/32 bits */
    uint64_t last, difference, second;  /* of times */
    uint8_t owed;                       /* 1/32 bits that are not told to the generator yet */
    bool present;
};

struct xids_local {
    struct xids_entropy *entropy;
    struct xids_local_cpu cpu;
    struct xids_local_one sources[XIDS_LOCAL_SOURCES];
    uint64_t reseed_ns;
    uint64_t next;  /* when more is wanted */
    uint64_t since; /* when it began to be wanted */
    uint64_t pauses;
    uint64_t events[16]; /* times that are not mixed in yet */
    uint32_t copies, doubts;
    uint16_t turns;
    uint8_t event_count, event_credit;
    uint8_t vain; /* pauses one after the other */
    uint8_t work[512];
};

/* Begins to want 256 bits at now. The entropy and what cpu refers to must outlive it; cpu itself is copied. */
void xids_local_init(struct xids_local *l, struct xids_entropy *entropy, const struct xids_local_cpu *cpu,
                     uint64_t now);

/* Changes how often 256 fresh bits are gathered: XIDS_LOCAL_RESEED_NS at first; UINT64_MAX: only once. */
void xids_local_every(struct xids_local *l, uint64_t reseed_ns);

/* Wipes it. */
void xids_local_wipe(struct xids_local *l);

/*
 * One turn. Takes the time of this event, and gathers a piece of what is wanted. When the generator was forgotten or
 * doubted it begins anew by itself. Returns when it wants to be called again: 0, at once; else a time.
 */
uint64_t xids_local_turn(struct xids_local *l, uint64_t now);

/*
 * Gathers 256 bits now, in XIDS_LOCAL_TURNS turns at most (milliseconds; a second where each word is slow). Returns 0;
 * or -XEN_EAGAIN: the sources do not do. The turns go on from where it stopped.
 */
int xids_local_gather(struct xids_local *l, uint64_t now) XIDS_MUST_CHECK;

/* Drops all samples and tests the sources anew: for suspend, with xids_entropy_forget. What is broken stays so. */
void xids_local_forget(struct xids_local *l);

/* Of one source, below XIDS_LOCAL_SOURCES. */
void xids_local_status(const struct xids_local *l, enum xids_local_source source, struct xids_local_status *status);

/* How often XIDS_LOCAL_TURNS turns did not do. */
uint64_t xids_local_pauses(const struct xids_local *l);

XIDS_END_DECLS

#endif
