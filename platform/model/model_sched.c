/* SPDX-License-Identifier: ISC */
/* The model's clock and scheduler: the seed alone decides who runs next. */
#include <config.h>

#include "platform/model/model_internal.h"

#include <stdlib.h>
#include <time.h>

/* splitmix64: every seed, 0 too, gives a good sequence. */
static uint64_t next_number(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

uint64_t xids_model_random(struct xids_model *m)
{
    return next_number(&m->random);
}

uint64_t xids_model_now(struct xids_model *m)
{
    uint64_t now = __atomic_load_n(&m->now, __ATOMIC_RELAXED);
    if ((m->flags & XIDS_MODEL_THREADED) == 0)
        return now;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return now + (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void xids_model_advance(struct xids_model *m, uint64_t ns)
{
    __atomic_fetch_add(&m->now, ns, __ATOMIC_RELAXED);
}

uint64_t xids_model_trace(const struct xids_model *m)
{
    return m->trace;
}

int xids_model_task_add(struct xids_model *m, const struct xids_platform *platform, uint64_t (*step)(void *ctx),
                        void *ctx)
{
    struct model_domain *d = platform->ctx;
    if (d->gone)
        return -XEN_ENODEV;
    struct model_task *t = calloc(1, sizeof(*t));
    if (!t)
        return -XEN_ENOMEM;
    *t = (struct model_task){.domain = d, .step = step, .ctx = ctx, .deadline = XIDS_MODEL_AGAIN};
    t->number = ++m->tasks_made;
    /* At the end, so that the order is that of adding. */
    struct model_task **at = &m->tasks;
    while (*at)
        at = &(*at)->next;
    *at = t;
    return 0;
}

/* Frees tasks marked as gone, unless a step runs: then the list may be in use further up the stack. */
static void tasks_reap(struct xids_model *m)
{
    if (m->depth != 0)
        return;
    for (struct model_task **at = &m->tasks; *at;) {
        struct model_task *t = *at;
        if (!t->gone) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        free(t);
    }
}

void model_tasks_drop(struct xids_model *m, const struct model_domain *d)
{
    for (struct model_task *t = m->tasks; t; t = t->next)
        if (!d || t->domain == d)
            t->gone = true;
    tasks_reap(m);
}

static bool task_runnable(const struct xids_model *m, const struct model_task *t)
{
    if (t->gone || t->running || t->domain->paused || t->domain->gone)
        return false;
    return t->deadline <= m->now || model_pending(t->domain);
}

bool model_step(struct xids_model *m)
{
    uint64_t runnable = 0;
    for (const struct model_task *t = m->tasks; t; t = t->next)
        runnable += task_runnable(m, t);
    if (runnable == 0)
        return false;
    uint64_t choice = next_number(&m->choices) % runnable;
    struct model_task *t = m->tasks;
    for (; t; t = t->next)
        if (task_runnable(m, t) && choice-- == 0)
            break;
    if (!t)
        return false;
    uint64_t word = m->trace ^ ((uint64_t)t->number << 48 ^ m->now);
    m->trace = next_number(&word);
    t->running = true;
    m->depth++;
    t->deadline = t->step(t->ctx);
    m->depth--;
    t->running = false;
    if (t->deadline == XIDS_MODEL_DONE)
        t->gone = true;
    tasks_reap(m);
    return true;
}

void model_preempt(struct xids_model *m)
{
    const unsigned int wanted = XIDS_MODEL_PREEMPT;
    if (m->depth != 0 && (m->flags & (wanted | XIDS_MODEL_THREADED)) == wanted && next_number(&m->choices) % 4u == 0)
        (void)model_step(m);
}

uint64_t model_next_deadline(const struct xids_model *m)
{
    uint64_t next = UINT64_MAX;
    for (const struct model_task *t = m->tasks; t; t = t->next)
        if (!t->gone && !t->running && !t->domain->paused && !t->domain->gone && t->deadline < next)
            next = t->deadline;
    return next;
}

uint64_t xids_model_run(struct xids_model *m, uint64_t max_steps)
{
    uint64_t steps = 0;
    while (steps < max_steps) {
        if (model_step(m)) {
            steps++;
            continue;
        }
        uint64_t next = model_next_deadline(m);
        if (next >= XIDS_MODEL_DONE)
            break;
        m->now = next;
    }
    return steps;
}
