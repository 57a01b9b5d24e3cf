/* SPDX-License-Identifier: ISC */
/* A service that echoes, in a domain of its own or in domain 0. */
#ifndef XIDS_TESTS_UNIT_SERVICE_ENDS_H
#define XIDS_TESTS_UNIT_SERVICE_ENDS_H

#include "tests/unit/meet_ends.h"

#include <xids/vchan_service.h>

struct host {
    struct world *w;
    struct dom *d; /* NULL: in domain 0, with the rest */
    struct xids_xs_client *xs;
    void *xs_mem;
    struct xids_xs_conn *conn; /* NULL: none at the moment */
    struct xids_vchan_service *service;
    void *mem;
    struct xids_vchan_service_config config;
    struct xids_vchan_service_user user;
    unsigned int offered, opened, closed, refused;
    int closed_rc, refused_rc;
    domid_t refused_domid;
    const char *reason;
    int refuse_offers; /* so many */
};

static inline int host_offered(void *ctx, struct xids_vchan *ch)
{
    struct host *h = ctx;
    ck_assert_ptr_null(*xids_vchan_service_data(ch));
    if (h->refuse_offers > 0) {
        h->refuse_offers--;
        return -XEN_ENOMEM;
    }
    *xids_vchan_service_data(ch) = h;
    h->offered++;
    return 0;
}

static inline void host_opened(void *ctx, struct xids_vchan *ch)
{
    struct host *h = ctx;
    ck_assert_ptr_eq(*xids_vchan_service_data(ch), h);
    h->opened++;
}

static inline uint64_t host_serve(void *ctx, struct xids_vchan *ch, uint64_t now)
{
    char bytes[32];
    int n = 0;
    (void)now;
    ck_assert_ptr_eq(*xids_vchan_service_data(ch), ctx);
    while ((n = xids_vchan_read(ch, bytes, sizeof(bytes))) > 0)
        (void)!xids_vchan_write(ch, bytes, (uint32_t)n);
    return xids_vchan_arm(ch, 1, 0) == 1 && n != 0 ? 0 : UINT64_MAX;
}

static inline void host_closed(void *ctx, struct xids_vchan *ch, int rc, const char *reason)
{
    struct host *h = ctx;
    ck_assert_ptr_eq(*xids_vchan_service_data(ch), h);
    ck_assert_uint_gt(strlen(reason), 0);
    h->closed++;
    h->closed_rc = rc;
    h->reason = reason;
}

static inline void host_refused(void *ctx, domid_t domid, int rc, const char *reason)
{
    struct host *h = ctx;
    ck_assert_int_lt(rc, 0);
    ck_assert_uint_gt(strlen(reason), 0);
    h->refused++;
    h->refused_rc = rc;
    h->refused_domid = domid;
    h->reason = reason;
}

static inline struct host *host_new(struct world *w, struct dom *d, const char *name)
{
    struct host *h = calloc(1, sizeof(*h));
    h->w = w;
    h->d = d;
    h->user = (struct xids_vchan_service_user){.offered = host_offered,
                                               .opened = host_opened,
                                               .serve = host_serve,
                                               .closed = host_closed,
                                               .refused = host_refused,
                                               .ctx = h};
    h->config = (struct xids_vchan_service_config){.platform = d != NULL ? &d->platform : w->dom0,
                                                   .user = &h->user,
                                                   .name = name,
                                                   .left_order = 12,
                                                   .right_order = 11};
    return h;
}

/* ---- in domain 0 ---- */

static inline void host_stray(void *ctx, evtchn_port_t port)
{
    struct host *h = ctx;
    struct xids_part *part = xids_vchan_service_part(h->service);
    if (!part->event(part->ctx, port))
        (void)h->w->dom0->ops->evtchn_unmask(h->w->dom0->ctx, port);
}

static inline uint64_t host_step(void *ctx)
{
    struct host *h = ctx;
    struct xids_part *part = xids_vchan_service_part(h->service);
    uint64_t at = 0;
    bool moved = true;
    for (unsigned int i = 0; i < 50 && (at == 0 || moved); i++) {
        moved = h->conn != NULL && world_talk(h->w, h->conn, h->xs);
        at = part->step(part->ctx, xids_model_now(h->w->m));
        moved |= h->conn != NULL && world_talk(h->w, h->conn, h->xs);
    }
    return moved ? 0 : at;
}

static inline void host_connect(struct host *h)
{
    const struct xids_xs_client_limits limits = {.watch_path = h->w->watch_path};
    size_t size = xids_xs_client_size(&limits);
    h->xs_mem = malloc(size);
    ck_assert_int_eq(xids_xs_client_init(&h->xs, h->xs_mem, size, &limits), 0);
    h->conn = world_connect(h->w);
    h->w->stray = host_stray;
    h->w->lodger_ctx = h;
}

/* ---- both ---- */

static inline void host_begin(struct host *h)
{
    if (h->d == NULL)
        host_connect(h);
    h->config.xs = h->d != NULL ? h->d->xs : h->xs;
    size_t size = xids_vchan_service_size(&h->config.limits);
    free(h->mem);
    h->mem = malloc(size);
    ck_assert_int_eq(xids_vchan_service_init(&h->service, h->mem, size, &h->config), 0);
    if (h->d != NULL) {
        xids_loop_add(&h->d->loop, xids_vchan_service_part(h->service));
        world_wake(h->d);
    } else {
        h->w->lodger = host_step;
    }
}

static inline void host_allow(struct host *h, domid_t domid)
{
    ck_assert_int_eq(xids_vchan_service_allow(h->service, domid), 0);
    if (h->d != NULL)
        world_wake(h->d);
}

static inline bool host_is_stopped(void *ctx)
{
    const struct host *h = ctx;
    return xids_vchan_service_stopped(h->service);
}

/* In order, or (not) at once. */
static inline void host_end(struct host *h, bool orderly)
{
    if (orderly) {
        xids_vchan_service_stop(h->service);
        if (h->d != NULL)
            world_wake(h->d);
        ck_assert_msg(world_until(h->w, host_is_stopped, h, 30 * SECOND), "it does not end: %s",
                      h->reason != NULL ? h->reason : "never refused");
    }
    if (h->d != NULL)
        xids_loop_remove(&h->d->loop, xids_vchan_service_part(h->service));
    h->w->lodger = h->d != NULL ? h->w->lodger : NULL;
    xids_vchan_service_fini(h->service);
    h->service = NULL;
    if (h->d != NULL) {
        world_wake(h->d);
        return;
    }
    (void)world_talk(h->w, h->conn, h->xs);
    h->w->stray = NULL;
    xids_xs_client_fini(h->xs);
    free(h->xs_mem);
    xids_xs_server_disconnect(h->conn);
}

static inline void host_free(struct host *h)
{
    if (h->service != NULL)
        host_end(h, true);
    free(h->mem);
    free(h);
}

#endif
