/* SPDX-License-Identifier: ISC */
#include "tests/unit/platform_remote.h"

enum call {
    CALL_SHARE,
    CALL_UNSHARE,
    CALL_MAP,
    CALL_UNMAP,
    CALL_ALLOC,
    CALL_BIND,
    CALL_NOTIFY,
    CALL_MASK,
    CALL_UNMASK,
    CALL_CLOSE,
    CALL_STATUS,
    CALL_PENDING,
    CALL_WAIT,
    CALL_NOW,
    CALL_PEEK,
    CALL_POKE,
};

void platform_serve(struct xids_platform *p, struct platform_message *m)
{
    void *address = (void *)(uintptr_t)m->address;
    void XIDS_PEER *area = (void XIDS_PEER *)address;
    const struct xids_unmap_notify *notify = m->has_notify ? &m->notify : NULL;
    switch (m->call) {
    case CALL_SHARE:
        m->rc = p->ops->share(p->ctx, &address, m->refs, m->domid, m->count, m->flags, notify);
        m->address = (uintptr_t)address;
        break;
    case CALL_UNSHARE:
        m->rc = p->ops->unshare(p->ctx, address, m->count);
        break;
    case CALL_MAP:
        m->rc = p->ops->map(p->ctx, &area, m->refs, m->domid, m->count, m->flags, notify);
        m->address = (uintptr_t)area;
        break;
    case CALL_UNMAP:
        m->rc = p->ops->unmap(p->ctx, area, m->count);
        break;
    case CALL_ALLOC:
        m->rc = p->ops->evtchn_alloc(p->ctx, m->domid);
        break;
    case CALL_BIND:
        m->rc = p->ops->evtchn_bind(p->ctx, m->domid, m->port);
        break;
    case CALL_NOTIFY:
        m->rc = p->ops->evtchn_notify(p->ctx, m->port);
        break;
    case CALL_MASK:
        m->rc = p->ops->evtchn_mask(p->ctx, m->port);
        break;
    case CALL_UNMASK:
        m->rc = p->ops->evtchn_unmask(p->ctx, m->port);
        break;
    case CALL_CLOSE:
        m->rc = p->ops->evtchn_close(p->ctx, m->port);
        break;
    case CALL_STATUS:
        m->rc = p->ops->evtchn_status(p->ctx, m->port);
        break;
    case CALL_PENDING:
        m->rc = p->ops->evtchn_pending(p->ctx);
        break;
    case CALL_WAIT:
        m->rc = p->ops->wait(p->ctx, m->number);
        break;
    case CALL_NOW:
        m->number = p->ops->now(p->ctx);
        break;
    case CALL_PEEK:
        m->rc = xids_peer_load8((const uint8_t XIDS_PEER *)area + m->number);
        break;
    case CALL_POKE:
        xids_peer_store8_release((uint8_t XIDS_PEER *)area + m->number, (uint8_t)m->count);
        break;
    default:
        m->rc = -XEN_ENOSYS;
    }
}

/* ---- the platform ---- */

static int ask(void *ctx, struct platform_message *m)
{
    const struct platform_remote *r = ctx;
    r->ask(r->ctx, m);
    return m->rc;
}

static void set_notify(struct platform_message *m, const struct xids_unmap_notify *notify)
{
    m->has_notify = notify != NULL;
    if (notify != NULL)
        m->notify = *notify;
}

static int remote_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count,
                        unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct platform_message m = {.call = CALL_SHARE, .domid = domid, .count = count, .flags = flags};
    set_notify(&m, notify);
    int rc = ask(ctx, &m);
    *pages = (void *)(uintptr_t)m.address;
    for (unsigned int i = 0; rc == 0 && i < count; i++)
        refs[i] = m.refs[i];
    return rc;
}

static int remote_unshare(void *ctx, void *pages, unsigned int count)
{
    return ask(ctx, &(struct platform_message){.call = CALL_UNSHARE, .address = (uintptr_t)pages, .count = count});
}

static int remote_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                      unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct platform_message m = {.call = CALL_MAP, .domid = domid, .count = count, .flags = flags};
    set_notify(&m, notify);
    for (unsigned int i = 0; i < count; i++)
        m.refs[i] = refs[i];
    int rc = ask(ctx, &m);
    *area = (void XIDS_PEER *)(void *)(uintptr_t)m.address;
    return rc;
}

static int remote_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    return ask(ctx, &(struct platform_message){.call = CALL_UNMAP, .address = (uintptr_t)area, .count = count});
}

static int remote_alloc(void *ctx, domid_t remote)
{
    return ask(ctx, &(struct platform_message){.call = CALL_ALLOC, .domid = remote});
}

static int remote_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    return ask(ctx, &(struct platform_message){.call = CALL_BIND, .domid = remote, .port = port});
}

#define REMOTE_PORT(name, which)                                                  \
    static int remote_##name(void *ctx, evtchn_port_t port)                       \
    {                                                                             \
        return ask(ctx, &(struct platform_message){.call = which, .port = port}); \
    }
REMOTE_PORT(notify, CALL_NOTIFY)
REMOTE_PORT(mask, CALL_MASK)
REMOTE_PORT(unmask, CALL_UNMASK)
REMOTE_PORT(close, CALL_CLOSE)
REMOTE_PORT(status, CALL_STATUS)

static int remote_pending(void *ctx)
{
    return ask(ctx, &(struct platform_message){.call = CALL_PENDING});
}

static int remote_wait(void *ctx, uint64_t deadline)
{
    return ask(ctx, &(struct platform_message){.call = CALL_WAIT, .number = deadline});
}

static uint64_t remote_now(void *ctx)
{
    struct platform_message m = {.call = CALL_NOW};
    (void)ask(ctx, &m);
    return m.number;
}

static const struct xids_platform_ops remote_ops = {
    .share = remote_share,
    .unshare = remote_unshare,
    .map = remote_map,
    .unmap = remote_unmap,
    .evtchn_alloc = remote_alloc,
    .evtchn_bind = remote_bind,
    .evtchn_notify = remote_notify,
    .evtchn_mask = remote_mask,
    .evtchn_unmask = remote_unmask,
    .evtchn_close = remote_close,
    .evtchn_status = remote_status,
    .evtchn_pending = remote_pending,
    .wait = remote_wait,
    .now = remote_now,
};

void platform_remote_init(struct platform_remote *r, domid_t domid,
                          void (*ask_fn)(void *ctx, struct platform_message *m), void *ctx)
{
    r->platform = (struct xids_platform){&remote_ops, r, domid};
    r->ask = ask_fn;
    r->ctx = ctx;
}

uint8_t platform_remote_peek(struct platform_pair *p, const void XIDS_PEER *area, uint32_t offset)
{
    struct platform_message m = {.call = CALL_PEEK, .address = (uintptr_t)area, .number = offset};
    return (uint8_t)ask(p->b->ctx, &m);
}

void platform_remote_poke(struct platform_pair *p, void XIDS_PEER *area, uint32_t offset, uint8_t value)
{
    struct platform_message m = {.call = CALL_POKE, .address = (uintptr_t)area, .number = offset, .count = value};
    (void)ask(p->b->ctx, &m);
}
