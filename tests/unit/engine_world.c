/* SPDX-License-Identifier: ISC */
#include "tests/unit/engine_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the store's host ---- */

static int host_introduce(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct world *w = ctx;
    struct dom *d = &w->doms[domid];
    (void)conn;
    int rc = w->dom0->ops->evtchn_bind(w->dom0->ctx, domid, port);
    if (rc < 0)
        return rc;
    d->store_port = (evtchn_port_t)rc;
    *page = (void XIDS_PEER *)d->page;
    return 0;
}

static int host_rebind(void *ctx, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct world *w = ctx;
    void XIDS_PEER *page;
    (void)w->dom0->ops->evtchn_close(w->dom0->ctx, w->doms[domid].store_port);
    return host_introduce(ctx, &page, conn, domid, port);
}

static void host_release(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct world *w = ctx;
    (void)conn;
    ck_assert_int_eq(w->dom0->ops->evtchn_close(w->dom0->ctx, w->doms[domid].store_port), 0);
    w->doms[domid].store_port = 0;
}

static void host_notify(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct world *w = ctx;
    (void)conn;
    w->kick[domid] = true;
}

/* Permissions for a domain that is not there are void. */
static bool host_exists(void *ctx, uint16_t domid)
{
    const struct world *w = ctx;
    for (unsigned int i = 0; i < WORLD_DOMAINS; i++)
        if (w->doms[i].raw != NULL && w->doms[i].raw->domid == domid)
            return true;
    return domid == 0;
}

static void kick_all(struct world *w)
{
    /* This is when the server fills the rings with what others' requests have brought. */
    (void)xids_xs_server_ready(w->store);
    for (unsigned int i = 0; i < WORLD_DOMAINS; i++) {
        if (w->kick[i] && w->doms[i].store_port != 0)
            (void)w->dom0->ops->evtchn_notify(w->dom0->ctx, w->doms[i].store_port);
        w->kick[i] = false;
    }
}

static uint64_t store_step(void *ctx)
{
    struct world *w = ctx;
    int port;
    while ((port = w->dom0->ops->evtchn_pending(w->dom0->ctx)) > 0) {
        bool ours = false;
        for (uint16_t i = 1; i < WORLD_DOMAINS; i++) {
            struct xids_xs_conn *conn = xids_xs_server_domain(w->store, i);
            if (conn == NULL || w->doms[i].store_port != (evtchn_port_t)port)
                continue;
            (void)w->dom0->ops->evtchn_unmask(w->dom0->ctx, (evtchn_port_t)port);
            xids_xs_server_ring_event(conn);
            ours = true;
        }
        if (!ours && w->stray != NULL)
            w->stray(w->lodger_ctx, (evtchn_port_t)port);
    }
    uint64_t at = w->lodger != NULL ? w->lodger(w->lodger_ctx) : XIDS_MODEL_EVENT;
    kick_all(w);
    return xids_xs_server_idle(w->store, 100) ? XIDS_MODEL_AGAIN : at;
}

/* ---- a domain's platform ---- */

static struct dom *dom_of(struct world *w, const void *ctx)
{
    for (unsigned int i = 0; i < WORLD_DOMAINS; i++)
        if (w->doms[i].raw != NULL && w->doms[i].raw->ctx == ctx)
            return &w->doms[i];
    ck_abort_msg("a call from no domain");
    return NULL;
}

/* One world at a time, so that a call finds its domain. */
static struct world *here;

/* Whether this call of an engine is the one to fail. */
static bool fails(const void *ctx)
{
    struct dom *d = dom_of(here, ctx);
    return ++d->calls == d->fail_call;
}

static int op_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                    const struct xids_unmap_notify *notify)
{
    if (fails(ctx))
        return -XEN_ENOSPC;
    return here->dom0->ops->share(ctx, pages, refs, domid, count, flags, notify);
}

static int op_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                  unsigned int flags, const struct xids_unmap_notify *notify)
{
    if (fails(ctx))
        return -XEN_ENOMEM;
    return here->dom0->ops->map(ctx, area, refs, domid, count, flags, notify);
}

static int op_alloc(void *ctx, domid_t remote)
{
    return fails(ctx) ? -XEN_ENOSPC : here->dom0->ops->evtchn_alloc(ctx, remote);
}

static int op_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    return fails(ctx) ? -XEN_ENOSPC : here->dom0->ops->evtchn_bind(ctx, remote, port);
}

static int op_notify(void *ctx, evtchn_port_t port)
{
    return fails(ctx) ? -XEN_EIO : here->dom0->ops->evtchn_notify(ctx, port);
}

static int op_unmask(void *ctx, evtchn_port_t port)
{
    return fails(ctx) ? -XEN_EIO : here->dom0->ops->evtchn_unmask(ctx, port);
}

static int op_status(void *ctx, evtchn_port_t port)
{
    return fails(ctx) ? -XEN_EACCES : here->dom0->ops->evtchn_status(ctx, port);
}

/* The model runs one task at a time, so that a loop does not wait but says until when it would. */
static int op_wait(void *ctx, uint64_t deadline)
{
    dom_of(here, ctx)->sleep = deadline;
    return -XEN_EINTR;
}

static struct xids_platform_ops dom_ops;

static uint64_t dom_step(void *ctx)
{
    struct dom *d = ctx;
    d->turns++;
    int rc = xids_loop_turn(&d->loop, UINT64_MAX);
    ck_assert(rc == 1 || rc == -XEN_EINTR);
    return rc == 1 ? XIDS_MODEL_AGAIN : d->sleep;
}

/* ---- a domain's xenstore connection ---- */

static bool xs_event(void *ctx, evtchn_port_t port)
{
    struct dom *d = ctx;
    if (port != d->port)
        return false;
    (void)d->raw->ops->evtchn_unmask(d->raw->ctx, port);
    return true;
}

/* Sends what fits of the message that is under way; a short one goes as a whole. False: nothing fits. */
static bool send_piece(struct dom *d, const uint8_t *span, uint32_t len)
{
    int room = xids_bytering_look(&d->out);
    if (room <= 0 || ((uint32_t)room < len && len <= XENSTORE_RING_SIZE))
        return false;
    len = (uint32_t)room < len ? (uint32_t)room : len;
    ck_assert_int_eq(xids_bytering_write(&d->out, span, len), (int)len);
    (void)xids_bytering_publish(&d->out);
    (void)d->raw->ops->evtchn_notify(d->raw->ctx, d->port);
    xids_xs_client_sent(d->xs, len);
    d->rest -= len;
    return true;
}

/* Sends one message, or refuses it here. False: there is none, or no room. */
static bool send_one(struct dom *d)
{
    const uint8_t *span;
    struct xids_xswire_msg msg;
    size_t len = xids_xs_client_output(d->xs, &span);
    if (len == 0)
        return false;
    if (d->rest > 0)
        return send_piece(d, span, d->rest < len ? d->rest : (uint32_t)len) && d->rest == 0;
    int n = xids_xswire_peek(&msg, span, len);
    ck_assert_int_gt(n, 0);
    if (d->requests + 1 == d->fail_request) {
        int built = xids_xswire_build_error(d->reply, sizeof(d->reply), msg.req_id, msg.tx_id, d->fail_with);
        ck_assert_int_gt(built, 0);
        d->reply_len = (size_t)built;
    } else {
        d->rest = (uint32_t)n;
        if (!send_piece(d, span, d->rest)) {
            d->rest = 0;
            return false;
        }
        d->requests++;
        return d->rest == 0;
    }
    d->requests++;
    xids_xs_client_sent(d->xs, (size_t)n);
    return true;
}

static uint64_t xs_step(void *ctx, uint64_t now)
{
    struct dom *d = ctx;
    uint8_t bytes[XENSTORE_RING_SIZE];
    bool moved = false;
    xids_xs_client_tick(d->xs, now);
    int n;
    while ((n = xids_bytering_read(&d->in, bytes, sizeof(bytes))) > 0) {
        (void)xids_bytering_publish(&d->in);
        (void)d->raw->ops->evtchn_notify(d->raw->ctx, d->port);
        ck_assert_int_eq(xids_xs_client_input(d->xs, bytes, (size_t)n), 0);
        moved = true;
    }
    ck_assert_int_eq(n, 0);
    while (send_one(d)) {
        moved = true;
        if (d->reply_len > 0) {
            size_t len = d->reply_len;
            d->reply_len = 0;
            ck_assert_int_eq(xids_xs_client_input(d->xs, d->reply, len), 0);
        }
    }
    return moved ? 0 : xids_xs_client_deadline(d->xs);
}

/* What was under way between the store and a process that is no more. */
static void drain(struct dom *d)
{
    struct xids_xs_conn *conn = xids_xs_server_domain(d->w->store, d->raw->domid);
    for (int n = 1; n > 0;) {
        uint8_t bytes[XENSTORE_RING_SIZE];
        xids_xs_server_ring_event(conn);
        n = xids_bytering_read(&d->in, bytes, sizeof(bytes));
        (void)xids_bytering_publish(&d->in);
    }
}

/* The requests reach the store; nobody hears the answers. Its watches stay, as they do when it goes on in place. */
static void xs_suspend(void *ctx)
{
    drain(ctx);
}

static void xs_resume(void *ctx)
{
    struct dom *d = ctx;
    /* Events of the time between. */
    if (xids_xs_server_domain(d->w->store, d->raw->domid) != NULL)
        drain(d);
    d->rest = 0;
    xids_xs_client_reset(d->xs);
}

/* ---- domains ---- */

static const char *ask(struct world *w, uint32_t type, const char *payload, size_t len)
{
    static uint8_t out[XIDS_XSWIRE_MESSAGE_MAX];
    const struct xids_xswire_part part = {payload, len};
    struct xids_xswire_msg msg;
    const void *bytes;
    size_t used;
    int n = xids_xswire_build(out, sizeof(out), type, 7, 0, &part, 1);
    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(xids_xs_server_input(w->tools, &used, out, (size_t)n), 0);
    size_t there = xids_xs_server_output(w->tools, &bytes);
    ck_assert_int_eq(xids_xswire_peek(&msg, bytes, there), (int)there);
    bool error = msg.type == XS_ERROR;
    for (uint32_t i = 0; i < msg.len; i++)
        w->text[i] = msg.payload[i] == '\0' && i + 1 < msg.len ? ' ' : msg.payload[i];
    w->text[msg.len] = '\0';
    xids_xs_server_sent(w->tools, there);
    kick_all(w);
    return error ? NULL : w->text;
}

static void attach(struct dom *d)
{
    const struct xids_bytering_layout out = xids_bytering_xenstore_requests((void XIDS_PEER *)d->page);
    const struct xids_bytering_layout in = xids_bytering_xenstore_replies((void XIDS_PEER *)d->page);
    ck_assert_int_eq(xids_bytering_attach(&d->out, &out, true), 0);
    ck_assert_int_eq(xids_bytering_attach(&d->in, &in, false), 0);
}

/* What a process needs: a port that the store knows, a connection, a loop. */
static void process_start(struct dom *d, bool task)
{
    char text[40];
    int port = d->raw->ops->evtchn_alloc(d->raw->ctx, 0);
    ck_assert_int_gt(port, 0);
    d->port = (evtchn_port_t)port;
    int len = snprintf(text, sizeof(text), "%u%c1%c%u", d->raw->domid, 0, 0, d->port);
    ck_assert_ptr_nonnull(ask(d->w, XS_INTRODUCE, text, (size_t)len + 1));
    attach(d);
    d->rest = 0;
    if (task)
        ck_assert_int_eq(xids_model_task_add(d->w->m, d->raw, dom_step, d), 0);
}

static void home(struct world *w, domid_t domid)
{
    char path[64], perms[16];
    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    snprintf(perms, sizeof(perms), "n0 r%u", domid);
    world_set(w, path, "", perms);
    snprintf(path, sizeof(path), "/local/domain/%u/data", domid);
    snprintf(perms, sizeof(perms), "n%u", domid);
    world_set(w, path, "", perms);
}

static void raw_make(struct dom *d, struct world *w, domid_t domid)
{
    d->w = w;
    d->raw = xids_model_domain_create(w->m, domid);
    ck_assert_ptr_nonnull(d->raw);
    d->platform = *d->raw;
    d->platform.ops = &dom_ops;
    d->page = calloc(1, XIDS_PAGE_SIZE);
}

static void loop_make(struct dom *d)
{
    const struct xids_xs_client_limits limits = {.watch_path = d->w->watch_path};
    size_t size = xids_xs_client_size(&limits);
    d->xs_mem = malloc(size);
    ck_assert_int_eq(xids_xs_client_init(&d->xs, d->xs_mem, size, &limits), 0);
    d->xs_part =
        (struct xids_part){.event = xs_event, .step = xs_step, .suspend = xs_suspend, .resume = xs_resume, .ctx = d};
    xids_loop_init(&d->loop, &d->platform);
    xids_loop_add(&d->loop, &d->xs_part);
}

struct dom *world_domain(struct world *w, domid_t domid)
{
    struct dom *d = &w->doms[domid];
    raw_make(d, w, domid);
    loop_make(d);
    process_start(d, true);
    home(w, domid);
    return d;
}

void world_wake(struct dom *d)
{
    struct world *w = d->w;
    ck_assert_int_eq(w->dom0->ops->evtchn_notify(w->dom0->ctx, w->doms[d->raw->domid].store_port), 0);
}

static void process_forget(struct dom *d)
{
    xids_xs_client_fini(d->xs);
    free(d->xs_mem);
    d->xs = NULL;
}

void world_destroy(struct dom *d)
{
    domid_t domid = d->raw->domid;
    process_forget(d);
    ck_assert_int_eq(xids_model_domain_destroy(d->w->m, domid), 0);
    xids_xs_server_release(d->w->store, domid);
    kick_all(d->w);
    free(d->page);
    d->page = NULL;
    d->raw = NULL;
}

void world_kill(struct dom *d)
{
    /* What was under way in the ring must not be the new process's. */
    process_forget(d);
    ck_assert_int_eq(xids_model_process_kill(d->w->m, d->raw->domid), 0);
    drain(d);
    loop_make(d);
    process_start(d, true);
}

void world_move(struct dom *d, domid_t to)
{
    struct world *w = d->w;
    struct dom *next = &w->doms[to];
    domid_t domid = d->raw->domid;
    xids_xs_server_release(w->store, domid);
    ck_assert_int_eq(xids_model_domain_destroy(w->m, domid), 0);
    kick_all(w);
    free(d->page);
    raw_make(d, w, to);
    /* The store's host finds the ring by domid. */
    next->page = d->page;
    process_start(d, true);
    home(w, to);
}

/* ---- others in domain 0 ---- */

struct xids_xs_conn *world_connect(struct world *w)
{
    struct xids_xs_conn *conn;
    ck_assert_int_eq(xids_xs_server_connect(w->store, &conn, NULL), 0);
    return conn;
}

bool world_talk(struct world *w, struct xids_xs_conn *conn, struct xids_xs_client *xs)
{
    bool moved = false;
    const uint8_t *span;
    const void *bytes;
    size_t n, used;
    while ((n = xids_xs_client_output(xs, &span)) > 0) {
        ck_assert_int_eq(xids_xs_server_input(conn, &used, span, n), 0);
        xids_xs_client_sent(xs, used);
        moved |= used > 0;
        if (used < n)
            break;
    }
    while ((n = xids_xs_server_output(conn, &bytes)) > 0) {
        ck_assert_int_eq(xids_xs_client_input(xs, bytes, n), 0);
        xids_xs_server_sent(conn, n);
        moved = true;
    }
    kick_all(w);
    return moved;
}

/* ---- running ---- */

bool world_until(struct world *w, bool (*done)(void *ctx), void *ctx, uint64_t ns)
{
    uint64_t limit = xids_model_now(w->m) + ns;
    while (!done(ctx) && xids_model_now(w->m) < limit)
        if (xids_model_run(w->m, 1) == 0)
            break;
    return done(ctx);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

void world_run(struct world *w, uint64_t ns)
{
    (void)world_until(w, never, NULL, ns);
}

void world_steps(struct world *w, unsigned int steps)
{
    (void)xids_model_run(w->m, steps);
}

/* ---- the toolstack ---- */

const char *world_read(struct world *w, const char *path)
{
    return ask(w, XS_READ, path, strlen(path) + 1);
}

const char *world_perms(struct world *w, const char *path)
{
    return ask(w, XS_GET_PERMS, path, strlen(path) + 1);
}

void world_write(struct world *w, const char *path, const char *value, size_t len)
{
    char payload[XIDS_XSWIRE_PAYLOAD_MAX];
    size_t n = strlen(path) + 1;
    ck_assert_uint_le(n + len, sizeof(payload));
    memcpy(payload, path, n);
    memcpy(payload + n, value, len);
    ck_assert_ptr_nonnull(ask(w, XS_WRITE, payload, n + len));
}

void world_set(struct world *w, const char *path, const char *value, const char *perms)
{
    char payload[512];
    world_write(w, path, value, strlen(value));
    int n = snprintf(payload, sizeof(payload), "%s%c%s", path, 0, perms);
    for (size_t i = strlen(path) + 1; i < (size_t)n; i++)
        if (payload[i] == ' ')
            payload[i] = '\0';
    ck_assert_ptr_nonnull(ask(w, XS_SET_PERMS, payload, (size_t)n + 1));
}

void world_rm(struct world *w, const char *path)
{
    (void)ask(w, XS_RM, path, strlen(path) + 1);
}

unsigned int world_holds(struct dom *d)
{
    static char report[65536];
    char own[32];
    unsigned int lines = 0;
    (void)xids_model_check_clean(d->w->m, report, sizeof(report));
    snprintf(own, sizeof(own), "domain %u: ", d->raw->domid);
    for (char *line = report; *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line, own, strlen(own)) == 0)
            lines++;
    return lines - 1; /* the store's port */
}

/* ---- the world ---- */

void world_up(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    here = w;
    w->m = xids_model_new(seed, 0);
    w->dom0 = xids_model_domain_create(w->m, 0);
    ck_assert_ptr_nonnull(w->dom0);
    dom_ops = *w->dom0->ops;
    dom_ops.share = op_share;
    dom_ops.map = op_map;
    dom_ops.evtchn_alloc = op_alloc;
    dom_ops.evtchn_bind = op_bind;
    dom_ops.evtchn_notify = op_notify;
    dom_ops.evtchn_unmask = op_unmask;
    dom_ops.evtchn_status = op_status;
    dom_ops.wait = op_wait;
    const struct xids_xs_host host = {.introduce = host_introduce,
                                      .rebind = host_rebind,
                                      .release = host_release,
                                      .notify = host_notify,
                                      .exists = host_exists,
                                      .ctx = w};
    const struct xids_xs_server_config config = {
        .alloc = *xids_model_alloc(w->m), .seed = "the same always", .host = &host};
    ck_assert_int_eq(xids_xs_server_new(&w->store, &config), 0);
    ck_assert_int_eq(xids_xs_server_connect(w->store, &w->tools, NULL), 0);
    ck_assert_int_eq(xids_model_task_add(w->m, w->dom0, store_step, w), 0);
}

void world_down(struct world *w)
{
    char report[2000];
    for (unsigned int i = 0; i < WORLD_DOMAINS; i++) {
        struct dom *d = &w->doms[i];
        if (d->raw == NULL)
            continue;
        ck_assert_int_eq(d->raw->ops->evtchn_close(d->raw->ctx, d->port), 0);
        process_forget(d);
        domid_t domid = d->raw->domid;
        xids_xs_server_release(w->store, domid);
        free(d->page);
        d->raw = NULL;
    }
    while (xids_xs_server_idle(w->store, 10000)) {
    }
    const char *broken = xids_store_check(xids_xs_server_store(w->store));
    ck_assert_msg(broken == NULL, "the tree has %s", broken);
    xids_xs_server_free(w->store);
    unsigned int n = xids_model_check_clean(w->m, report, sizeof(report));
    ck_assert_msg(n == 0, "seed %llu: %u left:\n%s", (unsigned long long)xids_model_seed(w->m), n, report);
    xids_model_free(w->m);
}
