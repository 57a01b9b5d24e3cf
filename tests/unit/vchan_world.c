/* SPDX-License-Identifier: ISC */
#include "tests/unit/vchan_world.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <xids/model.h>

/* A domain as vchan sees it: the model's, with calls counted and the one that is to fail kept from it. */
struct side {
    struct world *w;
    int d;
    struct xids_platform platform;
    const struct xids_platform *model;
    unsigned int notifies, countdown, readonly_pages, maps;
    bool no_copy;
    int error;
    unsigned int shares_until;
    void (*before_share)(void *ctx);
    void *before_share_ctx;
};

struct world {
    struct xids_model *model;
    struct side side[2];
    bool failed;
};

static bool fails(struct side *s)
{
    if (s->countdown == 0 || --s->countdown != 0)
        return false;
    s->w->failed = true;
    return true;
}

static int op_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                    const struct xids_unmap_notify *notify)
{
    struct side *s = ctx;
    if (s->before_share != NULL && --s->shares_until == 0)
        s->before_share(s->before_share_ctx);
    return fails(s) ? s->error : s->model->ops->share(s->model->ctx, pages, refs, domid, count, flags, notify);
}

static int op_unshare(void *ctx, void *pages, unsigned int count)
{
    struct side *s = ctx;
    return s->model->ops->unshare(s->model->ctx, pages, count);
}

static int op_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                  unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct side *s = ctx;
    s->maps++;
    if (fails(s))
        return s->error;
    if ((flags & XIDS_MAP_READONLY) != 0)
        s->readonly_pages += count;
    return s->model->ops->map(s->model->ctx, area, refs, domid, count, flags, notify);
}

/* Without a failure of its own: who cannot copy maps. */
static int op_copy(void *ctx, struct xids_grant_copy *copies, unsigned int count)
{
    struct side *s = ctx;
    if (s->no_copy)
        return -XEN_ENOSYS;
    return s->model->ops->copy(s->model->ctx, copies, count);
}

static int op_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct side *s = ctx;
    return s->model->ops->unmap(s->model->ctx, area, count);
}

static int op_alloc(void *ctx, domid_t remote)
{
    struct side *s = ctx;
    return fails(s) ? s->error : s->model->ops->evtchn_alloc(s->model->ctx, remote);
}

static int op_bind(void *ctx, domid_t remote, evtchn_port_t remote_port)
{
    struct side *s = ctx;
    return fails(s) ? s->error : s->model->ops->evtchn_bind(s->model->ctx, remote, remote_port);
}

static int op_notify(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    s->notifies++;
    return fails(s) ? s->error : s->model->ops->evtchn_notify(s->model->ctx, port);
}

static int op_unmask(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    return fails(s) ? s->error : s->model->ops->evtchn_unmask(s->model->ctx, port);
}

static int op_close(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    return s->model->ops->evtchn_close(s->model->ctx, port);
}

static int op_status(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    return fails(s) ? s->error : s->model->ops->evtchn_status(s->model->ctx, port);
}

static const struct xids_platform_ops ops = {
    .share = op_share,
    .unshare = op_unshare,
    .map = op_map,
    .unmap = op_unmap,
    .copy = op_copy,
    .evtchn_alloc = op_alloc,
    .evtchn_bind = op_bind,
    .evtchn_notify = op_notify,
    .evtchn_unmask = op_unmask,
    .evtchn_close = op_close,
    .evtchn_status = op_status,
};

static void create(struct world *w, int d)
{
    struct side *s = &w->side[d];
    s->w = w;
    s->d = d;
    s->model = xids_model_domain_create(w->model, WORLD_DOMID(d));
    ck_assert_ptr_nonnull(s->model);
    s->platform = (struct xids_platform){&ops, s, WORLD_DOMID(d)};
}

struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    ck_assert_ptr_nonnull(w);
    w->model = xids_model_new(1, 0);
    ck_assert_ptr_nonnull(w->model);
    create(w, 0);
    create(w, 1);
    return w;
}

void world_free(struct world *w)
{
    char left[1000];
    unsigned int n = xids_model_check_clean(w->model, left, sizeof(left));
    if (n != 0)
        ck_abort_msg("%u things are left:\n%s", n, left);
    xids_model_free(w->model);
    free(w);
}

const struct xids_platform *world_platform(struct world *w, int d)
{
    return &w->side[d].platform;
}

int world_events(struct world *w, int d, struct xids_vchan *ch)
{
    const struct xids_platform *model = w->side[d].model;
    int events = 0;
    for (int port; (port = model->ops->evtchn_pending(model->ctx)) > 0; events++) {
        if (ch != NULL && xids_vchan_port(ch) == (evtchn_port_t)port)
            (void)xids_vchan_event(ch);
        else
            ck_assert_int_eq(model->ops->evtchn_unmask(model->ctx, (evtchn_port_t)port), 0);
    }
    return events;
}

unsigned int world_notifies(const struct world *w, int d)
{
    return w->side[d].notifies;
}

void world_fail(struct world *w, int d, unsigned int nth, int error)
{
    w->side[d].countdown = nth;
    w->side[d].error = error;
    w->failed = false;
}

bool world_failed(const struct world *w)
{
    return w->failed;
}

void world_before_share(struct world *w, int d, unsigned int nth, void (*what)(void *ctx), void *ctx)
{
    struct side *s = &w->side[d];
    s->shares_until = nth;
    s->before_share = what;
    s->before_share_ctx = ctx;
}

void world_kill(struct world *w, int d)
{
    ck_assert_int_eq(xids_model_process_kill(w->model, WORLD_DOMID(d)), 0);
}

void world_destroy(struct world *w, int d)
{
    ck_assert_int_eq(xids_model_domain_destroy(w->model, WORLD_DOMID(d)), 0);
    create(w, d);
}

uint8_t *world_page(struct world *w, int d, grant_ref_t ref)
{
    const struct xids_platform *other = w->side[1 - d].model;
    void XIDS_PEER *area = NULL;
    /* The model maps a page at its owner's address, where it stays when this mapping is gone. */
    ck_assert_int_eq(other->ops->map(other->ctx, &area, &ref, WORLD_DOMID(d), 1, 0, NULL), 0);
    ck_assert_int_eq(other->ops->unmap(other->ctx, area, 1), 0);
    return XIDS_PEER_RAW(uint8_t, area);
}

unsigned int world_maps(const struct world *w, int d)
{
    return w->side[d].maps;
}

void world_cannot_copy(struct world *w, int d)
{
    w->side[d].no_copy = true;
}

unsigned int world_readonly_pages(const struct world *w, int d)
{
    return w->side[d].readonly_pages;
}

static unsigned int protocol = XIDS_VCHAN_PLAIN;

void world_extended(void)
{
    protocol = 0;
}

void pair_serve(struct pair *p, unsigned int left_order, unsigned int right_order, unsigned int flags)
{
    *p = (struct pair){.w = world_new()};
    p->s = malloc(xids_vchan_size());
    p->c = malloc(xids_vchan_size());
    ck_assert(p->s != NULL && p->c != NULL);
    int rc = xids_vchan_server_init(p->s, world_platform(p->w, 0), WORLD_DOMID(1), left_order, right_order,
                                    flags | protocol);
    ck_assert_int_eq(rc, 0);
    p->ref = xids_vchan_ring_ref(p->s);
    p->page = world_page(p->w, 0, p->ref);
}

int pair_connect(struct pair *p, unsigned int flags)
{
    return xids_vchan_client_init(p->c, world_platform(p->w, 1), WORLD_DOMID(0), p->ref, xids_vchan_port(p->s),
                                  flags | protocol);
}

void pair_open(struct pair *p, unsigned int left_order, unsigned int right_order, unsigned int flags)
{
    pair_serve(p, left_order, right_order, flags);
    ck_assert_int_eq(pair_connect(p, flags), 0);
    ck_assert_int_eq(world_events(p->w, 0, p->s), 1);
    ck_assert_int_eq(world_events(p->w, 1, p->c), 1);
    ck_assert_int_eq(xids_vchan_state(p->s), XIDS_VCHAN_OPEN);
    ck_assert(xids_vchan_extended(p->s) == (protocol == 0) && xids_vchan_extended(p->c) == (protocol == 0));
}

void pair_close(struct pair *p)
{
    if (p->c != NULL)
        xids_vchan_fini(p->c);
    if (p->s != NULL)
        xids_vchan_fini(p->s);
    free(p->c);
    free(p->s);
    world_free(p->w);
}
