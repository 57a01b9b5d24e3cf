/* SPDX-License-Identifier: ISC */
#include "tests/unit/hook_world.h"

#include <string.h>

enum { FIRST_REF = 100 };

static _Alignas(XIDS_PAGE_SIZE) uint8_t pool[HW_PAGES][XIDS_PAGE_SIZE];
/* Whose accesses are checked: there is one machine at a time. */
static struct hw *current;

static unsigned int page_of(const void *at)
{
    return (unsigned int)((size_t)((const uint8_t *)at - pool[0]) / XIDS_PAGE_SIZE);
}

uint8_t *hw_page(grant_ref_t ref)
{
    return pool[ref - FIRST_REF];
}

uint8_t *hw_page_at(const void *at)
{
    return pool[page_of(at)];
}

static bool allowed(const void *at, size_t len, bool write)
{
    const uint8_t *start = at;
    if (current == NULL || current->runs < 0)
        return true;
    for (int i = 0; i < HW_AREAS; i++) {
        const struct hw_area *a = &current->domain[current->runs].area[i];
        size_t size = (size_t)a->count * XIDS_PAGE_SIZE;
        if (a->start != NULL && start >= a->start && len <= size && (size_t)(start - a->start) <= size - len &&
            !(write && a->readonly))
            return true;
    }
    return false;
}

static struct hw_area *new_area(struct hw_domain *dom, uint8_t *start, unsigned int count,
                                const struct xids_unmap_notify *notify)
{
    for (int i = 0; i < HW_AREAS; i++)
        if (dom->area[i].start == NULL) {
            dom->area[i] = (struct hw_area){.start = start, .count = count};
            if (notify != NULL)
                dom->area[i].notify = *notify;
            return &dom->area[i];
        }
    hook_failed("too many areas");
    return NULL;
}

static void send(struct hw_domain *dom, evtchn_port_t port)
{
    if (port > 0 && port < HW_PORTS && dom->port[port].used && dom->port[port].bound)
        dom->w->domain[1 - dom->d].port[dom->port[port].peer].pending = true;
}

/* An area goes: first what was promised for its end. */
static void end_area(struct hw_domain *dom, struct hw_area *a)
{
    if (a->notify.clear_byte)
        a->start[a->notify.offset] = 0;
    if (a->notify.port != 0)
        send(dom, a->notify.port);
    for (unsigned int i = page_of(a->start); i < page_of(a->start) + a->count; i++) {
        if (a->shared)
            dom->w->owner[i] = dom->w->maps[i] != 0 ? (uint8_t)(3 + dom->d) : 0;
        else if (--dom->w->maps[i] == 0 && dom->w->owner[i] >= 3)
            dom->w->owner[i] = 0;
    }
    *a = (struct hw_area){0};
}

static int op_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                    const struct xids_unmap_notify *notify)
{
    struct hw_domain *dom = ctx;
    (void)domid;
    (void)flags;
    hook_hypercall();
    for (unsigned int first = 0, n = 0; first + n < HW_PAGES;) {
        if (dom->w->owner[first + n] != 0) {
            first += n + 1;
            n = 0;
            continue;
        }
        if (++n < count)
            continue;
        memset(pool[first], 0, (size_t)count * XIDS_PAGE_SIZE);
        for (unsigned int i = 0; i < count; i++) {
            dom->w->owner[first + i] = (uint8_t)(1 + dom->d);
            refs[i] = FIRST_REF + first + i;
        }
        new_area(dom, pool[first], count, notify)->shared = true;
        *pages = pool[first];
        return 0;
    }
    return -XEN_ENOSPC;
}

static struct hw_area *area_at(struct hw_domain *dom, const void *start, unsigned int count, bool shared)
{
    for (int i = 0; i < HW_AREAS; i++)
        if (dom->area[i].start == start && dom->area[i].count == count && dom->area[i].shared == shared)
            return &dom->area[i];
    hook_failed("an area is given back that is not there");
    return NULL;
}

static int op_unshare(void *ctx, void *pages, unsigned int count)
{
    struct hw_domain *dom = ctx;
    hook_hypercall();
    end_area(dom, area_at(dom, pages, count, true));
    for (unsigned int i = 0; i < count; i++)
        if (dom->w->owner[page_of(pages) + i] != 0)
            return -XEN_EBUSY;
    return 0;
}

static int op_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                  unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct hw_domain *dom = ctx;
    hook_hypercall();
    if (domid != HW_DOMID(1 - dom->d))
        return -XEN_EACCES;
    for (unsigned int i = 0; i < count; i++)
        /* In another order they could be mapped as well, but not at one place of this process. */
        if (refs[i] != refs[0] + i || refs[i] < FIRST_REF || refs[i] >= FIRST_REF + HW_PAGES ||
            dom->w->hidden[refs[i] - FIRST_REF] || dom->w->owner[refs[i] - FIRST_REF] != 2 - dom->d)
            return -XEN_EACCES;
    uint8_t *start = hw_page(refs[0]);
    struct hw_area *a = new_area(dom, start, count, notify);
    a->readonly = (flags & XIDS_MAP_READONLY) != 0;
    for (unsigned int i = 0; i < count; i++)
        dom->w->maps[page_of(start) + i]++;
    dom->maps++;
    *area = start;
    return 0;
}

static int op_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct hw_domain *dom = ctx;
    hook_hypercall();
    /* The oldest of those at one address. */
    end_area(dom, area_at(dom, XIDS_PEER_RAW(void, area), count, false));
    return 0;
}

static int new_port(struct hw_domain *dom)
{
    for (int i = 1; i < HW_PORTS; i++)
        if (!dom->port[i].used) {
            dom->port[i] = (struct hw_port){.used = true};
            return i;
        }
    return -XEN_ENOSPC;
}

static int op_alloc(void *ctx, domid_t remote)
{
    (void)remote;
    hook_hypercall();
    return new_port(ctx);
}

static int op_bind(void *ctx, domid_t remote, evtchn_port_t port)
{
    struct hw_domain *dom = ctx, *other = &dom->w->domain[1 - dom->d];
    hook_hypercall();
    if (remote != HW_DOMID(1 - dom->d) || port == 0 || port >= HW_PORTS || !other->port[port].used ||
        other->port[port].bound)
        return -XEN_EINVAL;
    int own = new_port(dom);
    if (own < 0)
        return own;
    dom->port[own].bound = other->port[port].bound = dom->port[own].pending = true;
    dom->port[own].peer = (uint8_t)port;
    other->port[port].peer = (uint8_t)own;
    return own;
}

static struct hw_port *port_of(struct hw_domain *dom, evtchn_port_t port)
{
    if (port == 0 || port >= HW_PORTS || !dom->port[port].used)
        hook_failed("a port is used that is not there");
    return &dom->port[port];
}

static int op_notify(void *ctx, evtchn_port_t port)
{
    struct hw_domain *dom = ctx;
    hook_hypercall();
    (void)port_of(dom, port);
    dom->notifies++;
    send(dom, port);
    return 0;
}

static int op_unmask(void *ctx, evtchn_port_t port)
{
    hook_hypercall();
    port_of(ctx, port)->masked = false;
    return 0;
}

static int op_close(void *ctx, evtchn_port_t port)
{
    struct hw_domain *dom = ctx;
    struct hw_port *p = port_of(dom, port);
    hook_hypercall();
    if (p->bound)
        dom->w->domain[1 - dom->d].port[p->peer].bound = false;
    *p = (struct hw_port){0};
    return 0;
}

static int op_status(void *ctx, evtchn_port_t port)
{
    hook_hypercall();
    return port_of(ctx, port)->bound ? XIDS_EVTCHN_INTERDOMAIN : XIDS_EVTCHN_UNBOUND;
}

static const struct xids_platform_ops ops = {
    .share = op_share,
    .unshare = op_unshare,
    .map = op_map,
    .unmap = op_unmap,
    .evtchn_alloc = op_alloc,
    .evtchn_bind = op_bind,
    .evtchn_notify = op_notify,
    .evtchn_unmask = op_unmask,
    .evtchn_close = op_close,
    .evtchn_status = op_status,
};

void hw_init(struct hw *w)
{
    *w = (struct hw){.runs = -1};
    for (int d = 0; d < 2; d++) {
        w->domain[d].w = w;
        w->domain[d].d = d;
        w->domain[d].platform = (struct xids_platform){&ops, &w->domain[d], HW_DOMID(d)};
    }
    current = w;
    hook_allowed = allowed;
}

int hw_run(struct hw *w, int d)
{
    int before = w->runs;
    w->runs = d;
    return before;
}

bool hw_take(struct hw *w, int d, evtchn_port_t port)
{
    struct hw_port *p = &w->domain[d].port[port];
    if (!p->pending || p->masked)
        return false;
    p->pending = false;
    p->masked = true;
    return true;
}

bool hw_has_event(const struct hw *w, int d, evtchn_port_t port)
{
    return w->domain[d].port[port].pending;
}

void hw_kill(struct hw *w, int d)
{
    for (int i = 0; i < HW_AREAS; i++)
        if (w->domain[d].area[i].start != NULL)
            end_area(&w->domain[d], &w->domain[d].area[i]);
    for (evtchn_port_t i = 1; i < HW_PORTS; i++)
        if (w->domain[d].port[i].used)
            (void)op_close(&w->domain[d], i);
}

void hw_destroy(struct hw *w, int d)
{
    for (int i = 0; i < HW_AREAS; i++)
        w->domain[d].area[i].notify = (struct xids_unmap_notify){0};
    hw_kill(w, d);
}

void hw_hide(struct hw *w)
{
    for (int i = 0; i < HW_PAGES; i++)
        w->hidden[i] = w->owner[i] != 0;
}

unsigned int hw_left(const struct hw *w)
{
    unsigned int n = 0;
    for (int i = 0; i < HW_PAGES; i++)
        n += (w->owner[i] != 0 ? 1u : 0u) + w->maps[i];
    for (int d = 0; d < 2; d++) {
        for (int i = 0; i < HW_AREAS; i++)
            n += w->domain[d].area[i].start != NULL;
        for (int i = 1; i < HW_PORTS; i++)
            n += w->domain[d].port[i].used;
    }
    return n;
}
