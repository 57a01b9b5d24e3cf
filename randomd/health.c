/* SPDX-License-Identifier: ISC */
/* Health tests of SP 800-90B on raw samples. */
#include <xids/health.h>

#define WINDOW 512u
#define WINDOW_BITS 1024u
#define FAIL_LOG2 30u    /* of one over the false alarms: a failure, */
#define CONDEMN_LOG2 60u /* and one for good */
#define BYTES_MAX (8u * XIDS_HEALTH_BIT)
#define WORDS_MAX (64u * XIDS_HEALTH_BIT)

/*
 * Cut-offs of the adaptive proportion test: one more than the critical value of the binomial distribution with
 * p = 2^-H (SP 800-90B, 4.4.2). tests/unit/test_health.c computes them all again.
 */

/* Windows of 512, H from 1/8 of a bit to 8 bits by eighths. */
static const uint16_t seen_fail[BYTES_MAX] = {
    502, 477, 449, 422, 396, 371, 347, 325, 304, 284, 266, 248, 232, 217, 203, 190, 178, 167, 157, 147, 138, 129,
    121, 114, 107, 101, 95,  89,  84,  79,  75,  71,  67,  63,  60,  56,  53,  51,  48,  46,  43,  41,  39,  37,
    35,  34,  32,  31,  29,  28,  27,  26,  25,  24,  23,  22,  21,  20,  19,  19,  18,  17,  17,  16,
};
static const uint16_t seen_condemn[BYTES_MAX] = {
    512, 494, 471, 447, 423, 399, 377, 355, 334, 315, 297, 279, 263, 248, 234, 220, 207, 196, 185, 174, 164, 155,
    147, 139, 131, 124, 118, 112, 106, 100, 95,  91,  86,  82,  78,  74,  71,  68,  65,  62,  59,  56,  54,  52,
    50,  47,  46,  44,  42,  40,  39,  37,  36,  35,  34,  32,  31,  30,  29,  28,  27,  27,  26,  25,
};

/* The same from 9 bits on by whole bits; above the last they are 2: any second one. */
#define WHOLE_FIRST 9u
static const uint8_t whole_fail[] = {12, 10, 8, 7, 6, 5, 5, 4, 4, 4, 3, 3, 3, 3, 3};
static const uint8_t whole_condemn[] = {20, 16, 14, 12, 10, 9, 8, 7, 7, 6, 6, 5, 5, 5, 4,
                                        4,  4,  4,  4,  4,  3, 3, 3, 3, 3, 3, 3, 3, 3, 3};

/* Windows of 1024 bits, H from 1/8 of a bit to 1. */
static const uint16_t bits_fail[XIDS_HEALTH_BIT] = {988, 928, 868, 810, 755, 703, 654, 609};
static const uint16_t bits_condemn[XIDS_HEALTH_BIT] = {1005, 955, 901, 847, 794, 744, 697, 652};

/* 1 + ceil(log2 / H), SP 800-90B, 4.4.1. */
static uint16_t repeats_limit(unsigned int log2, unsigned int claim)
{
    return (uint16_t)(1u + (log2 * XIDS_HEALTH_BIT + claim - 1u) / claim);
}

/* Of a word, for which more than 8 bits are claimed; at_8 is the limit for these 8. */
static uint16_t word_limit(const uint8_t *table, unsigned int rows, uint16_t at_8, unsigned int claim)
{
    unsigned int bits = claim / XIDS_HEALTH_BIT;
    if (bits < WHOLE_FIRST)
        return at_8;
    return bits - WHOLE_FIRST < rows ? table[bits - WHOLE_FIRST] : 2;
}

static unsigned int claim_max(enum xids_health_kind kind)
{
    switch (kind) {
    case XIDS_HEALTH_BITS:
        return XIDS_HEALTH_BIT;
    case XIDS_HEALTH_BYTES:
        return BYTES_MAX;
    case XIDS_HEALTH_WORDS:
    case XIDS_HEALTH_RDSEED:
        return WORDS_MAX;
    default:
        return 0;
    }
}

int xids_health_init(struct xids_health *h, enum xids_health_kind kind, unsigned int claim)
{
    if (claim == 0 || claim > claim_max(kind) || (kind == XIDS_HEALTH_RDSEED && claim != WORDS_MAX))
        return -XEN_EINVAL;
    __builtin_memset(h, 0, sizeof(*h));
    h->kind = (uint8_t)kind;
    h->state = XIDS_HEALTH_UNTESTED;
    h->repeats_fail = repeats_limit(FAIL_LOG2, claim);
    h->repeats_condemn = repeats_limit(CONDEMN_LOG2, claim);
    h->window = kind == XIDS_HEALTH_BITS ? WINDOW_BITS : WINDOW;
    if (kind == XIDS_HEALTH_BITS) {
        h->seen_fail = bits_fail[claim - 1];
        h->seen_condemn = bits_condemn[claim - 1];
    } else if (claim <= BYTES_MAX) {
        h->seen_fail = seen_fail[claim - 1];
        h->seen_condemn = seen_condemn[claim - 1];
    } else {
        h->seen_fail = word_limit(whole_fail, sizeof(whole_fail), seen_fail[BYTES_MAX - 1], claim);
        h->seen_condemn = word_limit(whole_condemn, sizeof(whole_condemn), seen_condemn[BYTES_MAX - 1], claim);
    }
    return 0;
}

void xids_health_reset(struct xids_health *h)
{
    h->repeats = h->tested = 0;
    h->position = h->seen = 0;
    xids_wipe(&h->last, sizeof(h->last));
    xids_wipe(&h->reference, sizeof(h->reference));
    if (h->state != XIDS_HEALTH_CONDEMNED)
        h->state = XIDS_HEALTH_UNTESTED;
}

static uint64_t sample_of(const struct xids_health *h, uint64_t sample)
{
    if (h->kind == XIDS_HEALTH_BITS)
        return sample & 1;
    return h->kind == XIDS_HEALTH_BYTES ? sample & 0xff : sample;
}

static void fail(struct xids_health *h, enum xids_health_state state)
{
    if (h->state >= state)
        return;
    h->state = (uint8_t)state;
    h->failures++;
}

/* Only for counts that have just grown. */
static void judge(struct xids_health *h, uint32_t count, uint32_t fails, uint32_t condemns)
{
    if (count >= condemns)
        fail(h, XIDS_HEALTH_CONDEMNED);
    else if (count >= fails)
        fail(h, XIDS_HEALTH_FAILED);
}

static void count_repeats(struct xids_health *h, uint64_t sample)
{
    if (h->repeats == 0 || sample != h->last) {
        h->last = sample;
        h->repeats = 1;
        return;
    }
    if (h->repeats < UINT32_MAX)
        h->repeats++;
    judge(h, h->repeats, h->repeats_fail, h->repeats_condemn);
}

static void count_proportion(struct xids_health *h, uint64_t sample)
{
    if (h->position == 0) {
        h->reference = sample;
        h->seen = 1;
    } else if (sample == h->reference) {
        h->seen++;
        judge(h, h->seen, h->seen_fail, h->seen_condemn);
    }
    if (++h->position == h->window)
        h->position = 0;
}

enum xids_health_state xids_health_add(struct xids_health *h, uint64_t sample)
{
    sample = sample_of(h, sample);
    h->samples++;
    count_repeats(h, sample);
    count_proportion(h, sample);
    if (h->kind == XIDS_HEALTH_RDSEED && (sample == 0 || sample == UINT64_MAX))
        fail(h, XIDS_HEALTH_CONDEMNED);
    if (h->state == XIDS_HEALTH_UNTESTED && ++h->tested == XIDS_HEALTH_STARTUP)
        h->state = XIDS_HEALTH_GOOD;
    return xids_health_state(h);
}
