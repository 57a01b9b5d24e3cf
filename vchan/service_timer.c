/* SPDX-License-Identifier: ISC */
/* A vchan service's deadlines: a binary heap over memory of the owner's. */
#include "vchan/service_internal.h"

static void put(struct xids_vchan_service *s, unsigned int i, struct svc_timer *t)
{
    s->heap[i] = t;
    t->place = i + 1u;
}

/* Moves a timer from place i to where it belongs, upwards or downwards. */
static void sift(struct xids_vchan_service *s, unsigned int i, struct svc_timer *t)
{
    while (i > 0 && s->heap[(i - 1u) / 2u]->at > t->at) {
        put(s, i, s->heap[(i - 1u) / 2u]);
        i = (i - 1u) / 2u;
    }
    for (;;) {
        unsigned int child = 2u * i + 1u;
        if (child + 1u < s->heap_len && s->heap[child + 1u]->at < s->heap[child]->at)
            child++;
        if (child >= s->heap_len || s->heap[child]->at >= t->at)
            break;
        put(s, i, s->heap[child]);
        i = child;
    }
    put(s, i, t);
}

static void take_out(struct xids_vchan_service *s, struct svc_timer *t)
{
    unsigned int i = t->place - 1u;
    struct svc_timer *last = s->heap[--s->heap_len];
    t->place = 0;
    if (last != t)
        sift(s, i, last);
}

void xids_svc_timer_set_(struct xids_vchan_service *s, struct svc_timer *t, uint64_t at)
{
    if (at == SVC_NEVER) {
        if (t->place != 0)
            take_out(s, t);
        t->at = at;
        return;
    }
    t->at = at;
    sift(s, t->place != 0 ? t->place - 1u : s->heap_len++, t);
}

struct svc_timer *xids_svc_timer_due_(struct xids_vchan_service *s, uint64_t now)
{
    struct svc_timer *t = s->heap_len > 0 ? s->heap[0] : NULL;
    if (t == NULL || t->at > now)
        return NULL;
    take_out(s, t);
    return t;
}

uint64_t xids_svc_timer_next_(const struct xids_vchan_service *s)
{
    return s->heap_len > 0 ? s->heap[0]->at : SVC_NEVER;
}
