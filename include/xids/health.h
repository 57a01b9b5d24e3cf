/* SPDX-License-Identifier: ISC */
/*
 * Health tests for sources of entropy: the repetition count test and the adaptive proportion test of NIST SP 800-90B
 * (4.4.1 and 4.4.2), with a start-up test (4.3). They look at raw samples, before any hash: what comes out of a hash
 * always looks healthy. They find a source that is stuck or far from what is claimed of it; that a source passes does
 * not say that it is unpredictable.
 *
 * Freestanding, without allocation. A test belongs to the caller and to one thread. It holds raw samples (last and
 * reference): wipe it (xids_wipe) when these are secret.
 */
#ifndef XIDS_HEALTH_H
#define XIDS_HEALTH_H

#include <xids/base.h>

XIDS_BEGIN_DECLS

/* Samples that must pass one after the other before a source is good. */
#define XIDS_HEALTH_STARTUP 1024u

/* The unit of a claim of min-entropy: an eighth of a bit for each sample. */
#define XIDS_HEALTH_BIT 8u

enum xids_health_kind {
    XIDS_HEALTH_BITS,  /* 0 or 1: other bits of the sample are ignored */
    XIDS_HEALTH_BYTES, /* its low 8 bits */
    XIDS_HEALTH_WORDS, /* 64 bits */
    /*
     * The 64-bit words of the RDSEED or RDRAND instruction, of which each one is claimed to be full entropy: 0, ~0 and
     * any repetition are failures for good. CPUs that had a fault there answered so, with the carry flag set.
     */
    XIDS_HEALTH_RDSEED,
};

enum xids_health_state {
    XIDS_HEALTH_UNTESTED,  /* the start-up test is not over: use no sample */
    XIDS_HEALTH_GOOD,      /* no failure since the start-up test began */
    XIDS_HEALTH_FAILED,    /* what a good source does once in 2^30 samples or tests; reset begins anew */
    XIDS_HEALTH_CONDEMNED, /* what it does once in 2^60: do not use the source any more; reset does not help */
};

/* Read its fields at will; only the functions below write them. */
struct xids_health {
    uint64_t samples;  /* all that were looked at since init */
    uint64_t failures; /* how often the state became FAILED or CONDEMNED */
    uint64_t last;
    uint64_t reference; /* the first sample of the window */
    uint32_t repeats;   /* of last, one after the other; 0: there is none yet */
    uint32_t tested;    /* samples of the start-up test so far */
    /* The lowest counts that are failures, and that condemn. */
    uint16_t repeats_fail, repeats_condemn;
    uint16_t seen_fail, seen_condemn;
    uint16_t window;   /* 512 samples, 1024 of bits */
    uint16_t position; /* samples of this window so far */
    uint16_t seen;     /* of reference in this window */
    uint8_t kind, state;
};

/*
 * Makes a test, untested. claim is the min-entropy claimed for each sample, in eighths of a bit: 1 to 8 for BITS, to 64
 * for BYTES, to 512 for WORDS (above 64, 8 bits, it is rounded down to whole bits); 512 for RDSEED. The cut-offs follow
 * from it, with one false alarm in 2^30 and in 2^60. A higher claim is a stricter test.
 * -XEN_EINVAL: there is no such kind or claim.
 */
int xids_health_init(struct xids_health *h, enum xids_health_kind kind, unsigned int claim) XIDS_MUST_CHECK;

/* Looks at one raw sample. Returns the state after it; a failed test goes on counting, and can still condemn. */
enum xids_health_state xids_health_add(struct xids_health *h, uint64_t sample);

/* Begins again with the start-up test: after a failure, or when the source was away. A condemned source stays so. */
void xids_health_reset(struct xids_health *h);

static inline enum xids_health_state xids_health_state(const struct xids_health *h)
{
    return (enum xids_health_state)h->state;
}

XIDS_END_DECLS

#endif
