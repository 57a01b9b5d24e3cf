/* SPDX-License-Identifier: ISC */
/*
 * vchan between two threads that really sleep: a missed wake-up hangs (Check's time limit finds it), a missing barrier
 * shows under the thread sanitizer. Pages are plain memory that both use.
 */
#include "tests/unit/suite.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xids/vchan.h>

struct machine;

struct domain {
    struct machine *m;
    int index;
    struct xids_platform platform;
    bool pending;
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

/* Sleeps until the event channel fires, takes the event. */
static void nap(struct domain *d)
{
    struct machine *m = d->m;
    (void)pthread_mutex_lock(&m->lock);
    while (!d->pending) {
        d->sleeps++;
        (void)pthread_cond_wait(&m->wake[d->index], &m->lock);
    }
    d->pending = false;
    (void)pthread_mutex_unlock(&m->lock);
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

struct job {
    struct domain *d;
    struct xids_vchan *ch;
    uint32_t total, piece;
    bool packets, server;
};

static uint8_t pattern(uint32_t i)
{
    return (uint8_t)(i * 7u + (i >> 8));
}

static bool again(struct job *job, int rc, uint32_t want_read, uint32_t want_write)
{
    if (rc != -XEN_EAGAIN) {
        ck_assert_int_gt(rc, 0);
        return false;
    }
    rc = xids_vchan_arm(job->ch, want_read, want_write);
    ck_assert_int_ge(rc, 0);
    if (rc == 0) {
        nap(job->d);
        ck_assert_int_ne(xids_vchan_event(job->ch), XIDS_VCHAN_BROKEN);
    }
    return true;
}

static void send_all(struct job *job)
{
    uint8_t data[4096];
    for (uint32_t sent = 0; sent < job->total;) {
        uint32_t n = job->total - sent < job->piece ? job->total - sent : job->piece;
        for (uint32_t i = 0; i < n; i++)
            data[i] = pattern(sent + i);
        int rc = job->packets ? xids_vchan_send(job->ch, data, n) : xids_vchan_write(job->ch, data, n);
        if (!again(job, rc, 0, job->packets ? n : 1))
            sent += (uint32_t)rc;
    }
    ck_assert_int_eq(xids_vchan_flush(job->ch), 0);
}

static void recv_all(struct job *job)
{
    uint8_t data[4096];
    for (uint32_t got = 0; got < job->total;) {
        uint32_t n = job->total - got < job->piece ? job->total - got : job->piece;
        int rc = job->packets ? xids_vchan_recv(job->ch, data, n) : xids_vchan_read(job->ch, data, n);
        if (again(job, rc, job->packets ? n : 1, 0))
            continue;
        for (int i = 0; i < rc; i++)
            if (data[i] != pattern(got + (uint32_t)i))
                ck_abort_msg("byte %u is wrong", got + (uint32_t)i);
        got += (uint32_t)rc;
    }
}

static void *run(void *ctx)
{
    struct job *job = ctx;
    if (job->server) {
        recv_all(job);
        send_all(job);
    } else {
        send_all(job);
        recv_all(job);
    }
    xids_vchan_fini(job->ch);
    return NULL;
}

START_TEST(threads_that_sleep_lose_no_byte_and_no_wake_up)
{
    static const unsigned int flags[] = {0, XIDS_VCHAN_BATCH, XIDS_VCHAN_WIPE, XIDS_VCHAN_BATCH | XIDS_VCHAN_WIPE};
    static const uint32_t pieces[] = {16, 100, 1024, 700};
    struct machine m = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct job jobs[2];
    for (int d = 0; d < 2; d++) {
        (void)pthread_cond_init(&m.wake[d], NULL);
        m.domain[d] = (struct domain){.m = &m, .index = d};
        m.domain[d].platform = (struct xids_platform){&ops, &m.domain[d], (domid_t)d};
        jobs[d] = (struct job){
            .d = &m.domain[d],
            .ch = malloc(xids_vchan_size()),
            .total = 60000,
            .piece = pieces[(_i / 4) % 4],
            .packets = _i % 32 >= 16,
            .server = d == 0,
        };
    }
    unsigned int use = flags[_i % 4] | (_i >= 32 ? XIDS_VCHAN_PLAIN : 0u);
    int rc = xids_vchan_server_init(jobs[0].ch, &m.domain[0].platform, 1, _i % 2 ? 12 : 10, 11, use);
    ck_assert_int_eq(rc, 0);
    rc = xids_vchan_client_init(jobs[1].ch, &m.domain[1].platform, 0, xids_vchan_ring_ref(jobs[0].ch), PORT, use);
    ck_assert_int_eq(rc, 0);
    pthread_t threads[2];
    for (int d = 0; d < 2; d++)
        ck_assert_int_eq(pthread_create(&threads[d], NULL, run, &jobs[d]), 0);
    for (int d = 0; d < 2; d++)
        (void)pthread_join(threads[d], NULL);
    for (unsigned int i = 0; i < m.count; i++)
        free(m.areas[i]);
    for (int d = 0; d < 2; d++) {
        free(jobs[d].ch);
        (void)pthread_cond_destroy(&m.wake[d]);
    }
}
END_TEST

Suite *xids_suite(void)
{
    Suite *suite = suite_create("vchan threads");
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 60);
    tcase_add_loop_test(threads, threads_that_sleep_lose_no_byte_and_no_wake_up, 0, 64);
    suite_add_tcase(suite, threads);
    return suite;
}
