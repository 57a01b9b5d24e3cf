/* SPDX-License-Identifier: ISC */
/* Local sources: takes samples, has them tested, mixes them in, and says what they are worth. */
#include <xids/local.h>

/* Credits are counted in parts of a bit. */
#define PARTS 32u

/* What is claimed to the health tests, in eighths of a bit; see the credits, which stay far below. */
#define WORD_CLAIM 512u
#define TIME_CLAIM 4u

/* How much of the work area one sample of jitter touches. */
#define STEPS 48u

struct kind {
    const char *name;
    enum xids_health_kind test;
    uint16_t claim;  /* eighths of a bit for each sample */
    uint16_t credit; /* PARTS */
};

static const struct kind kinds[XIDS_LOCAL_SOURCES] = {
    [XIDS_LOCAL_SEED] = {"hardware seed", XIDS_HEALTH_RDSEED, WORD_CLAIM, 32 * PARTS},
    [XIDS_LOCAL_RANDOM] = {"hardware random", XIDS_HEALTH_RDSEED, WORD_CLAIM, PARTS / 8},
    [XIDS_LOCAL_JITTER] = {"jitter", XIDS_HEALTH_WORDS, TIME_CLAIM, 1},
    [XIDS_LOCAL_EVENTS] = {"events", XIDS_HEALTH_WORDS, TIME_CLAIM, 1},
};

static bool broken(const struct xids_local_one *s)
{
    return xids_health_state(&s->health) == XIDS_HEALTH_CONDEMNED;
}

/* ---- credit ---- */

static uint64_t bits_of_others(const struct xids_local *l, const struct xids_local_one *but)
{
    uint64_t parts = 0;
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES; i++)
        if (&l->sources[i] != but)
            parts += l->sources[i].credited;
    return parts / PARTS;
}

/* What this source was credited with is not believed any more; LOCAL stands when the others are enough for it. */
static void distrust(struct xids_local *l, struct xids_local_one *s)
{
    if (s->credited > 0)
        xids_entropy_discredit(l->entropy, bits_of_others(l, s) >= XIDS_ENTROPY_FULL_BITS);
    s->credited = 0;
    s->owed = 0;
    l->next = 0;
    if (!broken(s))
        xids_health_reset(&s->health);
}

/* Tests one sample. Returns what it is worth, in PARTS: nothing, unless the source is known to be good. */
static unsigned int judge(struct xids_local *l, enum xids_local_source source, uint64_t sample)
{
    struct xids_local_one *s = &l->sources[source];
    enum xids_health_state state = xids_health_add(&s->health, sample);
    s->samples++;
    if (state == XIDS_HEALTH_FAILED || state == XIDS_HEALTH_CONDEMNED)
        distrust(l, s);
    return state == XIDS_HEALTH_GOOD ? kinds[source].credit : 0;
}

static void mix(struct xids_local *l, enum xids_local_source source, const void *data, size_t len, unsigned int parts,
                uint64_t now)
{
    struct xids_local_one *s = &l->sources[source];
    parts += s->owed;
    s->owed = (uint8_t)(parts % PARTS);
    s->credited += parts - s->owed;
    xids_entropy_local(l->entropy, data, len, parts / PARTS, now);
}

/* ---- the CPU's words ---- */

typedef bool ask_fn(void *ctx, uint64_t *word);

static bool word_of(struct xids_local *l, ask_fn *ask, uint64_t *word)
{
    for (unsigned int i = 0; i < XIDS_LOCAL_TRIES; i++)
        if (ask(l->cpu.ctx, word))
            return true;
    return false;
}

/* One turn's words. False: there was none, or none that can be trusted. */
static bool take_words(struct xids_local *l, enum xids_local_source source, uint64_t now)
{
    struct xids_local_one *s = &l->sources[source];
    ask_fn *ask = source == XIDS_LOCAL_SEED ? l->cpu.seed : l->cpu.random;
    uint64_t words[XIDS_LOCAL_PER_TURN] = {0};
    unsigned int count = 0, parts = 0;
    if (ask == NULL || broken(s))
        return false;
    while (count < XIDS_LOCAL_PER_TURN && !broken(s) && parts < XIDS_ENTROPY_FULL_BITS * PARTS) {
        if (!word_of(l, ask, &words[count])) {
            s->misses++;
            break;
        }
        parts += judge(l, source, words[count]);
        count++;
    }
    /* Nothing of a turn in which it broke is credited. */
    if (count > 0)
        mix(l, source, words, count * sizeof(words[0]), broken(s) ? 0 : parts, now);
    xids_wipe(words, sizeof(words));
    return count > 0 && !broken(s);
}

/* ---- time ---- */

#define DIFFERENCES 3u

/*
 * A time tells something new when it differs from the one before, and so do the differences, and theirs: a clock that
 * runs evenly, or speeds up evenly, tells nothing. Returns what it is worth, in PARTS.
 */
static unsigned int judge_time(struct xids_local *l, enum xids_local_source source, uint64_t time)
{
    struct xids_local_one *s = &l->sources[source];
    uint64_t difference = time - s->difference, second = difference - s->second;
    bool tells = time != 0 && difference != 0 && second != 0;
    unsigned int parts = judge(l, source, time);
    s->difference = time;
    s->second = difference;
    if (!tells)
        s->misses++;
    return tells ? parts : 0;
}

/* Work of a fixed size, so that its time differs by what the machine does and not by what we ask of it. */
static void do_work(struct xids_local *l, uint64_t where)
{
    size_t at = (size_t)(where % sizeof(l->work));
    for (unsigned int i = 0; i < STEPS; i++) {
        uint8_t step = ++*(volatile uint8_t *)&l->work[at];
        at = (at + 61u + step % 2u * 128u) % sizeof(l->work);
    }
}

static void take_jitter(struct xids_local *l, uint64_t now)
{
    struct xids_local_one *s = &l->sources[XIDS_LOCAL_JITTER];
    uint64_t times[XIDS_LOCAL_PER_TURN];
    unsigned int parts = 0;
    if (!s->present || broken(s))
        return;
    uint64_t last = l->cpu.counter(l->cpu.ctx);
    for (unsigned int i = 0; i < XIDS_LOCAL_PER_TURN; i++) {
        do_work(l, last);
        uint64_t time = l->cpu.counter(l->cpu.ctx);
        times[i] = time;
        unsigned int worth = judge_time(l, XIDS_LOCAL_JITTER, time - last);
        /* The first ones are compared with the last of another turn, which is long ago. */
        parts += i < DIFFERENCES ? 0 : worth;
        last = time;
    }
    mix(l, XIDS_LOCAL_JITTER, times, sizeof(times), broken(s) ? 0 : parts, now);
    xids_wipe(times, sizeof(times));
}

#define EVENTS (sizeof(((struct xids_local *)0)->events) / sizeof(uint64_t))

static void take_event(struct xids_local *l, uint64_t now)
{
    struct xids_local_one *s = &l->sources[XIDS_LOCAL_EVENTS];
    if (!s->present || broken(s))
        return;
    uint64_t time = l->cpu.counter(l->cpu.ctx);
    l->event_credit = (uint8_t)(l->event_credit + judge_time(l, XIDS_LOCAL_EVENTS, time - s->last));
    s->last = time;
    l->events[l->event_count++] = time;
    if (l->event_count < EVENTS)
        return;
    /* The credit of those before a failure is not taken. */
    bool good = xids_health_state(&s->health) == XIDS_HEALTH_GOOD;
    mix(l, XIDS_LOCAL_EVENTS, l->events, sizeof(l->events), good ? l->event_credit : 0, now);
    xids_wipe(l->events, sizeof(l->events));
    l->event_count = l->event_credit = 0;
}

/* ---- turns ---- */

static void begin(struct xids_local *l, uint64_t now)
{
    l->copies = xids_entropy_copies(l->entropy);
    l->doubts = xids_entropy_doubts(l->entropy);
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES; i++)
        l->sources[i].credited = l->sources[i].owed = 0;
    l->event_credit = 0;
    l->next = l->since = now;
    l->turns = 0;
    l->vain = 0;
}

static uint64_t later(uint64_t now, uint64_t by)
{
    return by < UINT64_MAX - now ? now + by : UINT64_MAX;
}

/* 256 bits have come together since they began to be wanted. */
static bool enough(const struct xids_local *l, uint64_t now)
{
    uint64_t age = xids_entropy_local_age(l->entropy, now);
    return age != UINT64_MAX && now >= l->since && age <= now - l->since;
}

uint64_t xids_local_turn(struct xids_local *l, uint64_t now)
{
    if (l->copies != xids_entropy_copies(l->entropy) || l->doubts != xids_entropy_doubts(l->entropy))
        begin(l, now);
    take_event(l, now);
    if (now < l->next)
        return l->next;
    if (l->turns == 0)
        l->since = now;
    if (!take_words(l, XIDS_LOCAL_SEED, now))
        (void)take_words(l, XIDS_LOCAL_RANDOM, now);
    take_jitter(l, now);
    l->turns++;
    if (enough(l, now)) {
        l->next = later(now, l->reseed_ns);
        l->vain = 0;
    } else if (l->turns >= XIDS_LOCAL_TURNS) {
        l->next = later(now, XIDS_LOCAL_PAUSE_NS << l->vain);
        if (l->vain < XIDS_LOCAL_PAUSE_DOUBLINGS)
            l->vain++;
        l->pauses++;
    } else {
        return 0;
    }
    l->turns = 0;
    return l->next;
}

int xids_local_gather(struct xids_local *l, uint64_t now)
{
    while (xids_local_turn(l, now) == 0)
        ;
    return xids_entropy_local_age(l->entropy, now) != UINT64_MAX ? 0 : -XEN_EAGAIN;
}

/* ---- life ---- */

void xids_local_init(struct xids_local *l, struct xids_entropy *entropy, const struct xids_local_cpu *cpu, uint64_t now)
{
    __builtin_memset(l, 0, sizeof(*l));
    l->entropy = entropy;
    l->cpu = *cpu;
    l->reseed_ns = XIDS_LOCAL_RESEED_NS;
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES; i++)
        (void)!xids_health_init(&l->sources[i].health, kinds[i].test, kinds[i].claim); /* constants within the bounds */
    l->sources[XIDS_LOCAL_SEED].present = cpu->seed != NULL;
    l->sources[XIDS_LOCAL_RANDOM].present = cpu->random != NULL;
    l->sources[XIDS_LOCAL_JITTER].present = cpu->counter != NULL;
    l->sources[XIDS_LOCAL_EVENTS].present = cpu->counter != NULL;
    begin(l, now);
}

void xids_local_every(struct xids_local *l, uint64_t reseed_ns)
{
    l->reseed_ns = reseed_ns;
}

void xids_local_wipe(struct xids_local *l)
{
    xids_wipe(l, sizeof(*l));
}

void xids_local_forget(struct xids_local *l)
{
    for (unsigned int i = 0; i < XIDS_LOCAL_SOURCES; i++) {
        struct xids_local_one *s = &l->sources[i];
        xids_health_reset(&s->health);
        s->last = s->difference = s->second = 0;
    }
    xids_wipe(l->events, sizeof(l->events));
    xids_wipe(l->work, sizeof(l->work));
    l->event_count = 0;
    begin(l, 0);
}

void xids_local_status(const struct xids_local *l, enum xids_local_source source, struct xids_local_status *status)
{
    const struct xids_local_one *s = &l->sources[source];
    *status = (struct xids_local_status){.name = kinds[source].name,
                                         .state = XIDS_LOCAL_TESTING,
                                         .samples = s->samples,
                                         .misses = s->misses,
                                         .failures = s->health.failures,
                                         .bits = s->credited / PARTS};
    if (!s->present)
        status->state = XIDS_LOCAL_ABSENT;
    else if (broken(s))
        status->state = XIDS_LOCAL_BROKEN;
    else if (xids_health_state(&s->health) == XIDS_HEALTH_GOOD)
        status->state = XIDS_LOCAL_GOOD;
}

uint64_t xids_local_pauses(const struct xids_local *l)
{
    return l->pauses;
}
