/* SPDX-License-Identifier: ISC */
#include "tests/unit/randomd_world.h"

#define SLICE 20u

/* One world at a time, so that the spy finds it. */
static struct world *here;

static int spy_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                     const struct xids_unmap_notify *notify)
{
    int rc = here->dom0->ops->share(ctx, pages, refs, domid, count, flags, notify);
    if (rc == 0)
        here->last_page = *pages;
    return rc;
}

static int spy_unshare(void *ctx, void *pages, unsigned int count)
{
    const uint8_t *rings = (const uint8_t *)pages + 1024;
    if (!all_zero(rings, 3072))
        here->dirty_pages++;
    return here->dom0->ops->unshare(ctx, pages, count);
}

void world_begin(struct world *w, uint64_t seed, unsigned int guests)
{
    memset(w, 0, sizeof(*w));
    here = w;
    w->m = xids_model_new(seed, 0);
    w->dom0 = xids_model_domain_create(w->m, 0);
    w->spy_ops = *w->dom0->ops;
    w->spy_ops.share = spy_share;
    w->spy_ops.unshare = spy_unshare;
    w->spy = *w->dom0;
    w->spy.ops = &w->spy_ops;
    w->guest_count = guests;
    w->reoffers_left = 1000;
    for (unsigned int i = 0; i < guests; i++) {
        struct world_guest *g = &w->guests[i];
        g->w = w;
        g->domid = (domid_t)(i + 1);
        g->platform = xids_model_domain_create(w->m, g->domid);
        ck_assert_ptr_nonnull(g->platform);
    }
}

/* ---- the server's process ---- */

static void drop_channel(struct world_guest *g, bool closed)
{
    if (g->offered && closed)
        xids_vchan_fini(g->sch);
    g->offered = false;
    xids_randomd_session_fini(g->session);
    free(g->session);
    free(g->sch);
    g->session = NULL;
    g->sch = NULL;
}

static void offer(struct world_guest *g)
{
    struct world *w = g->w;
    const struct xids_randomd_session_config config = {
        .source = source_get, .source_ctx = &w->source, .who = &g->domid, .who_len = sizeof(g->domid)};
    void *mem = malloc(xids_randomd_session_size());
    g->sch = malloc(xids_vchan_size());
    ck_assert_int_eq(xids_randomd_session_init(&g->session, mem, xids_randomd_session_size(), &config, 0), 0);
    int rc = xids_randomd_session_offer(g->session, g->sch, &w->spy, g->domid, xids_model_now(w->m));
    if (rc < 0) {
        g->server_error = rc;
        drop_channel(g, false);
        return;
    }
    g->page = w->last_page;
    g->offered = true;
    g->offers++;
}

static uint64_t serve_one(struct world_guest *g)
{
    int rc = xids_randomd_session_serve(g->session, g->sch, xids_model_now(g->w->m));
    if (rc >= 0)
        return rc == 1 ? XIDS_MODEL_AGAIN : XIDS_MODEL_EVENT;
    g->server_error = rc;
    drop_channel(g, true);
    if (g->w->reoffers_left > 0) {
        g->w->reoffers_left--;
        offer(g);
    }
    return XIDS_MODEL_EVENT;
}

static uint64_t server_step(void *ctx)
{
    struct world *w = ctx;
    uint64_t next = XIDS_MODEL_EVENT;
    int port;
    while ((port = w->dom0->ops->evtchn_pending(w->dom0->ctx)) > 0)
        for (unsigned int i = 0; i < w->guest_count; i++)
            if (w->guests[i].offered && xids_vchan_port(w->guests[i].sch) == (evtchn_port_t)port)
                (void)xids_vchan_event(w->guests[i].sch);
    for (unsigned int i = 0; i < w->guest_count; i++)
        if (w->guests[i].offered && serve_one(&w->guests[i]) == XIDS_MODEL_AGAIN)
            next = XIDS_MODEL_AGAIN;
    /* Offers that failed are tried again. */
    for (unsigned int i = 0; i < w->guest_count; i++)
        if (!w->guests[i].offered && w->guests[i].platform != NULL && w->reoffers_left > 0) {
            w->reoffers_left--;
            offer(&w->guests[i]);
            next = XIDS_MODEL_AGAIN;
        }
    return next;
}

void world_server(struct world *w)
{
    for (unsigned int i = 0; i < w->guest_count; i++)
        if (w->guests[i].platform != NULL)
            offer(&w->guests[i]);
    ck_assert_int_eq(xids_model_task_add(w->m, w->dom0, server_step, w), 0);
}

void world_kill_server(struct world *w)
{
    ck_assert_int_eq(xids_model_process_kill(w->m, 0), 0);
    for (unsigned int i = 0; i < w->guest_count; i++)
        if (w->guests[i].offered)
            drop_channel(&w->guests[i], false);
}

/* ---- a guest's process ---- */

static int connect_guest(struct world_guest *g)
{
    unsigned int flags = g->plain ? 0 : XIDS_VCHAN_WIPE | XIDS_VCHAN_BATCH;
    g->tried = g->offers;
    int rc =
        xids_vchan_client_init(g->cch, g->platform, 0, xids_vchan_ring_ref(g->sch), xids_vchan_port(g->sch), flags);
    if (rc < 0) {
        g->client_error = rc;
        return rc;
    }
    g->connected = true;
    xids_randomd_client_connected(g->client, xids_model_now(g->w->m));
    return 0;
}

static uint64_t guest_step(void *ctx)
{
    struct world_guest *g = ctx;
    uint64_t now = xids_model_now(g->w->m);
    while (g->platform->ops->evtchn_pending(g->platform->ctx) > 0)
        if (g->connected)
            (void)xids_vchan_event(g->cch);
    if (!g->connected) {
        bool fresh = g->offered && g->tried != g->offers;
        if (!fresh || connect_guest(g) < 0)
            return now + MS;
    }
    int rc = xids_randomd_client_serve(g->client, g->cch, now);
    if (rc < 0) {
        g->client_error = rc;
        g->connected = false;
        xids_randomd_client_disconnected(g->client);
        xids_vchan_fini(g->cch);
        return XIDS_MODEL_AGAIN;
    }
    if (rc == 1)
        return XIDS_MODEL_AGAIN;
    uint64_t deadline = xids_randomd_client_deadline(g->client);
    return deadline == UINT64_MAX ? XIDS_MODEL_EVENT : deadline;
}

void world_guest_start(struct world_guest *g, size_t len)
{
    struct xids_randomd_client_config config = {.reseed_ns = UINT64_MAX};
    memcpy(config.nonce, &g->domid, sizeof(g->domid));
    void *mem = malloc(xids_randomd_client_size());
    g->cch = malloc(xids_vchan_size());
    ck_assert_int_eq(xids_randomd_client_init(&g->client, mem, xids_randomd_client_size(), &config, 0), 0);
    g->buf = calloc(1, len);
    g->pull = (struct xids_randomd_pull){.to = g->buf, .len = len};
    ck_assert_int_eq(xids_randomd_client_pull(g->client, &g->pull), 0);
    g->tried = 0;
    ck_assert_int_eq(xids_model_task_add(g->w->m, g->platform, guest_step, g), 0);
}

static void drop_guest(struct world_guest *g)
{
    if (g->client == NULL)
        return;
    xids_randomd_client_fini(g->client);
    free(g->client);
    free(g->cch);
    free(g->buf);
    g->client = NULL;
    g->connected = false;
}

void world_kill_guest(struct world_guest *g)
{
    ck_assert_int_eq(xids_model_process_kill(g->w->m, g->domid), 0);
    drop_guest(g);
}

/* ---- all ---- */

bool world_done(const struct world_guest *g)
{
    return g->client == NULL ||
           (g->pull.status == 0 && xids_randomd_client_grade(g->client) == XIDS_RANDOMD_GRADE_HOST);
}

bool world_run(struct world *w, uint64_t steps)
{
    for (uint64_t done = 0; done < steps;) {
        bool all = true;
        for (unsigned int i = 0; i < w->guest_count; i++)
            all = all && world_done(&w->guests[i]);
        if (all)
            return true;
        uint64_t n = xids_model_run(w->m, SLICE);
        done += n;
        if (n < SLICE)
            break;
    }
    bool all = true;
    for (unsigned int i = 0; i < w->guest_count; i++)
        all = all && world_done(&w->guests[i]);
    return all;
}

void world_end(struct world *w)
{
    char left[512];
    for (unsigned int i = 0; i < w->guest_count; i++) {
        struct world_guest *g = &w->guests[i];
        if (g->connected)
            xids_vchan_fini(g->cch);
        drop_guest(g);
    }
    for (unsigned int i = 0; i < w->guest_count; i++)
        if (w->guests[i].offered)
            drop_channel(&w->guests[i], true);
    unsigned int n = xids_model_check_clean(w->m, left, sizeof(left));
    ck_assert_msg(n == 0, "seed %llu left: %s", (unsigned long long)xids_model_seed(w->m), left);
    xids_model_free(w->m);
}
