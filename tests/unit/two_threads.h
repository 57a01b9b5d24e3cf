/* SPDX-License-Identifier: ISC */
/*
 * A vchan between two threads that really sleep, on pages that are plain memory to both. A lost wake-up is found when
 * it happens: nobody is left to wake the sleeper.
 */
#ifndef XIDS_TESTS_UNIT_TWO_THREADS_H
#define XIDS_TESTS_UNIT_TWO_THREADS_H

#include "vchan/internal.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct machine;

struct domain {
    struct machine *m;
    int index;
    struct xids_vchan *ch;
    struct xids_platform platform;
    bool pending, sleeping, finished;
    unsigned int sleeps, notifies;
};

struct machine {
    pthread_mutex_t lock;
    pthread_cond_t wake[2];
    struct domain domain[2];
    void *areas[4];
    unsigned int count;
};

enum { PORT = 1, REF_STEP = 1024 };

static int op_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                    const struct xids_unmap_notify *notify)
{
    struct domain *d = ctx;
    (void)domid;
    (void)flags;
    (void)notify;
    ck_assert_uint_lt(d->m->count, 4);
    *pages = aligned_alloc(4096, (size_t)count * 4096);
    ck_assert_ptr_nonnull(*pages);
    memset(*pages, 0, (size_t)count * 4096);
    d->m->areas[d->m->count++] = *pages;
    for (unsigned int i = 0; i < count; i++)
        refs[i] = d->m->count * REF_STEP + i;
    return 0;
}

static int op_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                  unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct domain *d = ctx;
    (void)domid;
    (void)count;
    (void)flags;
    (void)notify;
    *area = d->m->areas[refs[0] / REF_STEP - 1];
    return 0;
}

static int op_release(void *ctx, void *pages, unsigned int count)
{
    (void)ctx;
    (void)pages;
    (void)count;
    return 0;
}

static int op_unmap(void *ctx, void XIDS_PEER *pages, unsigned int count)
{
    (void)ctx;
    (void)pages;
    (void)count;
    return 0;
}

static int op_port(void *ctx, domid_t remote)
{
    (void)ctx;
    (void)remote;
    return PORT;
}

static int op_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    (void)ctx;
    (void)remote;
    return (int)port;
}

static int op_notify(void *ctx, evtchn_port_t port)
{
    struct domain *d = ctx;
    struct machine *m = d->m;
    (void)port;
    (void)pthread_mutex_lock(&m->lock);
    d->notifies++;
    m->domain[1 - d->index].pending = true;
    (void)pthread_cond_signal(&m->wake[1 - d->index]);
    (void)pthread_mutex_unlock(&m->lock);
    return 0;
}

/* Nobody dies here. */
static int op_status(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return XIDS_EVTCHN_INTERDOMAIN;
}

static int op_nothing(void *ctx, evtchn_port_t port)
{
    (void)ctx;
    (void)port;
    return 0;
}

/* What the two do, for who looks into it. */
static char what_talk[80];

/* Who sleeps beside one who sleeps or is done waits for ever: then this says how both ends stand. */
static void lost_wake_up(struct machine *m)
{
    for (int d = 0; d < 2; d++) {
        const struct xids_vchan *ch = m->domain[d].ch;
        (void)fprintf(stderr,
                      "%s%s%s: %u sleeps, %u events sent; extended %d; in own %u published %u peer %u, out own %u "
                      "published %u peer %u; asked for %u %u\n",
                      d == 0 ? "server" : "client", m->domain[d].sleeping ? ", sleeping" : "",
                      m->domain[d].finished ? ", done" : "", m->domain[d].sleeps, m->domain[d].notifies, ch->extended,
                      ch->in.own, ch->in.published, ch->in.peer, ch->out.own, ch->out.published, ch->out.peer,
                      ch->prod_event, ch->cons_event);
    }
    ck_abort_msg("both sleep: a wake-up was lost; %s", what_talk);
}

/* Sleeps until the event channel fires, takes the event. */
static void nap(struct domain *d)
{
    struct machine *m = d->m;
    struct domain *other = &m->domain[1 - d->index];
    (void)pthread_mutex_lock(&m->lock);
    d->sleeping = true;
    while (!d->pending) {
        if (other->finished || (other->sleeping && !other->pending))
            lost_wake_up(m);
        d->sleeps++;
        (void)pthread_cond_wait(&m->wake[d->index], &m->lock);
    }
    d->sleeping = d->pending = false;
    (void)pthread_mutex_unlock(&m->lock);
}

/* To be said by a thread after its channel's end. */
static void finish(struct domain *d)
{
    (void)pthread_mutex_lock(&d->m->lock);
    d->finished = true;
    if (d->m->domain[1 - d->index].sleeping && !d->m->domain[1 - d->index].pending)
        lost_wake_up(d->m);
    (void)pthread_mutex_unlock(&d->m->lock);
}

static const struct xids_platform_ops ops = {
    .share = op_share,
    .unshare = op_release,
    .map = op_map,
    .unmap = op_unmap,
    .evtchn_alloc = op_port,
    .evtchn_bind = op_bind,
    .evtchn_notify = op_notify,
    .evtchn_unmask = op_nothing,
    .evtchn_status = op_status,
    .evtchn_close = op_nothing,
};

/* Both ends, connected. */
static void machine_up(struct machine *m, const unsigned int orders[2], const unsigned int flags[2])
{
    *m = (struct machine){.lock = PTHREAD_MUTEX_INITIALIZER};
    for (int d = 0; d < 2; d++) {
        (void)pthread_cond_init(&m->wake[d], NULL);
        m->domain[d] = (struct domain){.m = m, .index = d, .ch = malloc(xids_vchan_size())};
        ck_assert_ptr_nonnull(m->domain[d].ch);
        m->domain[d].platform = (struct xids_platform){&ops, &m->domain[d], (domid_t)d};
    }
    struct xids_vchan *server = m->domain[0].ch, *client = m->domain[1].ch;
    int rc = xids_vchan_server_init(server, &m->domain[0].platform, 1, orders[0], orders[1], flags[0]);
    ck_assert_int_eq(rc, 0);
    rc = xids_vchan_client_init(client, &m->domain[1].platform, 0, xids_vchan_ring_ref(server), PORT, flags[1]);
    ck_assert_int_eq(rc, 0);
}

static void machine_down(struct machine *m)
{
    for (unsigned int i = 0; i < m->count; i++)
        free(m->areas[i]);
    for (int d = 0; d < 2; d++) {
        free(m->domain[d].ch);
        (void)pthread_cond_destroy(&m->wake[d]);
    }
}

#endif
