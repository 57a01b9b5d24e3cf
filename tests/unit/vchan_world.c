/* SPDX-License-Identifier: ISC */
#include "tests/unit/vchan_world.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { AREAS = 32, PORTS = 16, MAPS = 32, REF_STEP = 1024 };

struct area {
    uint8_t *mem;
    unsigned int count;
    int owner;
    unsigned int mapped;
    bool shared;
    struct xids_unmap_notify notify;
};

struct map {
    uint8_t *at;
    unsigned int count, flags;
    struct area *area;
    struct xids_unmap_notify notify;
};

struct port {
    enum xids_evtchn_state state;
    unsigned int remote_port;
    bool pending, masked;
};

struct side {
    struct world *w;
    int d;
    bool dead;
    struct xids_platform platform;
    struct port ports[PORTS];
    struct map maps[MAPS];
    unsigned int notifies, countdown;
    int error;
};

struct world {
    struct side side[2];
    struct area areas[AREAS];
    bool failed;
};

static bool fails(struct side *s)
{
    if (s->countdown == 0 || --s->countdown != 0)
        return false;
    s->w->failed = true;
    return true;
}

static struct side *other(struct side *s)
{
    return &s->w->side[1 - s->d];
}

static void raise_event(struct side *s, unsigned int port)
{
    if (s->ports[port].state != XIDS_EVTCHN_INTERDOMAIN)
        return;
    struct port *peer = &other(s)->ports[s->ports[port].remote_port];
    peer->pending = true;
}

static void carry_out(struct side *s, uint8_t *at, const struct xids_unmap_notify *notify)
{
    if (notify->clear_byte)
        __atomic_store_n(at + notify->offset, 0, __ATOMIC_RELEASE);
    if (notify->port != 0)
        raise_event(s, notify->port);
}

static int op_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                    const struct xids_unmap_notify *notify)
{
    struct side *s = ctx;
    ck_assert_uint_eq(flags, 0);
    if (fails(s))
        return s->error;
    if (domid != WORLD_DOMID(1 - s->d))
        return -XEN_ENODEV;
    for (unsigned int i = 0; i < AREAS; i++) {
        struct area *a = &s->w->areas[i];
        if (a->mem != NULL)
            continue;
        *a = (struct area){.count = count, .owner = s->d, .shared = true};
        a->mem = aligned_alloc(4096, (size_t)count * 4096);
        ck_assert_ptr_nonnull(a->mem);
        memset(a->mem, 0, (size_t)count * 4096);
        if (notify != NULL)
            a->notify = *notify;
        for (unsigned int k = 0; k < count; k++)
            refs[k] = (i + 1) * REF_STEP + k;
        *pages = a->mem;
        return 0;
    }
    return -XEN_ENOSPC;
}

static void drop_area(struct area *a)
{
    if (a->shared || a->mapped != 0)
        return;
    free(a->mem);
    memset(a, 0, sizeof(*a));
}

static int op_unshare(void *ctx, void *pages, unsigned int count)
{
    struct side *s = ctx;
    struct area *a = s->w->areas;
    while (a < s->w->areas + AREAS && a->mem != pages)
        a++;
    ck_assert_msg(a < s->w->areas + AREAS, "unshare of what was not shared");
    ck_assert(a->shared && a->count == count && a->owner == s->d);
    a->shared = false;
    carry_out(s, a->mem, &a->notify);
    int rc = a->mapped != 0 ? -XEN_EBUSY : 0;
    drop_area(a);
    return rc;
}

static int op_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
                  unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct side *s = ctx;
    if (fails(s))
        return s->error;
    if (domid != WORLD_DOMID(1 - s->d))
        return -XEN_ENODEV;
    for (unsigned int k = 0; k < count; k++)
        if (refs[k] != refs[0] + k)
            return -XEN_EACCES;
    unsigned int index = refs[0] / REF_STEP - 1, first = refs[0] % REF_STEP;
    if (index >= AREAS || !s->w->areas[index].shared || s->w->areas[index].owner == s->d ||
        first + count > s->w->areas[index].count)
        return -XEN_EACCES;
    for (unsigned int i = 0; i < MAPS; i++) {
        struct map *m = &s->maps[i];
        if (m->area != NULL)
            continue;
        *m = (struct map){s->w->areas[index].mem + (size_t)first * 4096, count, flags, &s->w->areas[index], {0}};
        if (notify != NULL)
            m->notify = *notify;
        m->area->mapped++;
        *area = (void XIDS_PEER *)m->at;
        return 0;
    }
    return -XEN_ENOMEM;
}

static void drop_map(struct side *s, struct map *m)
{
    carry_out(s, m->at, &m->notify);
    m->area->mapped--;
    drop_area(m->area);
    memset(m, 0, sizeof(*m));
}

static int op_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct side *s = ctx;
    struct map *m = s->maps;
    while (m < s->maps + MAPS && (m->area == NULL || m->at != XIDS_PEER_RAW(uint8_t, area)))
        m++;
    ck_assert_msg(m < s->maps + MAPS, "unmap of what was not mapped");
    ck_assert_uint_eq(m->count, count);
    drop_map(s, m);
    return 0;
}

static int new_port(struct side *s, enum xids_evtchn_state state)
{
    for (int i = 1; i < PORTS; i++) {
        if (s->ports[i].state == XIDS_EVTCHN_CLOSED) {
            s->ports[i] = (struct port){.state = state};
            return i;
        }
    }
    return -XEN_ENOSPC;
}

static int op_alloc(void *ctx, domid_t remote)
{
    struct side *s = ctx;
    if (fails(s))
        return s->error;
    return remote == WORLD_DOMID(1 - s->d) ? new_port(s, XIDS_EVTCHN_UNBOUND) : -XEN_ENODEV;
}

static int op_bind(void *ctx, domid_t remote, evtchn_port_t remote_port)
{
    struct side *s = ctx, *o = other(s);
    if (fails(s))
        return s->error;
    if (remote != WORLD_DOMID(o->d) || o->dead)
        return -XEN_ENODEV;
    if (remote_port >= PORTS || o->ports[remote_port].state != XIDS_EVTCHN_UNBOUND)
        return -XEN_EINVAL;
    int port = new_port(s, XIDS_EVTCHN_INTERDOMAIN);
    if (port < 0)
        return port;
    s->ports[port].remote_port = remote_port;
    s->ports[port].pending = true;
    o->ports[remote_port].state = XIDS_EVTCHN_INTERDOMAIN;
    o->ports[remote_port].remote_port = (unsigned int)port;
    return port;
}

static int op_notify(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    s->notifies++;
    if (fails(s))
        return s->error;
    raise_event(s, port);
    return 0;
}

static int op_unmask(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    if (fails(s))
        return s->error;
    s->ports[port].masked = false;
    return 0;
}

static int op_close(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    if (s->ports[port].state == XIDS_EVTCHN_INTERDOMAIN)
        other(s)->ports[s->ports[port].remote_port].state = XIDS_EVTCHN_UNBOUND;
    ck_assert_int_ne(s->ports[port].state, XIDS_EVTCHN_CLOSED);
    s->ports[port] = (struct port){0};
    return 0;
}

static int op_status(void *ctx, evtchn_port_t port)
{
    struct side *s = ctx;
    if (fails(s))
        return s->error;
    return (int)s->ports[port].state;
}

static int op_pending(void *ctx)
{
    struct side *s = ctx;
    for (int i = 1; i < PORTS; i++) {
        struct port *p = &s->ports[i];
        if (p->state == XIDS_EVTCHN_CLOSED || !p->pending || p->masked)
            continue;
        p->pending = false;
        p->masked = true;
        return i;
    }
    return 0;
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
    .evtchn_pending = op_pending,
};

struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    ck_assert_ptr_nonnull(w);
    for (int d = 0; d < 2; d++) {
        w->side[d].w = w;
        w->side[d].d = d;
        w->side[d].platform = (struct xids_platform){&ops, &w->side[d], WORLD_DOMID(d)};
    }
    return w;
}

void world_free(struct world *w)
{
    for (unsigned int i = 0; i < AREAS; i++)
        ck_assert_msg(w->areas[i].mem == NULL, "area %u is left", i);
    for (int d = 0; d < 2; d++) {
        for (unsigned int i = 0; i < MAPS; i++)
            ck_assert_msg(w->side[d].maps[i].area == NULL, "mapping %u is left", i);
        for (unsigned int i = 0; i < PORTS; i++)
            ck_assert_msg(w->side[d].ports[i].state == XIDS_EVTCHN_CLOSED, "port %u is left", i);
    }
    free(w);
}

const struct xids_platform *world_platform(struct world *w, int d)
{
    return &w->side[d].platform;
}

int world_events(struct world *w, int d, struct xids_vchan *ch)
{
    int events = 0;
    for (int port; (port = op_pending(&w->side[d])) > 0; events++) {
        if (ch != NULL && xids_vchan_port(ch) == (evtchn_port_t)port)
            (void)xids_vchan_event(ch);
        else
            w->side[d].ports[port].masked = false;
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

static void gone(struct world *w, int d, bool quiet)
{
    struct side *s = &w->side[d];
    for (unsigned int i = 0; i < MAPS; i++) {
        if (s->maps[i].area == NULL)
            continue;
        if (quiet)
            s->maps[i].notify = (struct xids_unmap_notify){0};
        drop_map(s, &s->maps[i]);
    }
    for (unsigned int i = 0; i < AREAS; i++) {
        struct area *a = &w->areas[i];
        if (a->mem == NULL || !a->shared || a->owner != d)
            continue;
        a->shared = false;
        if (!quiet)
            carry_out(s, a->mem, &a->notify);
        drop_area(a);
    }
    for (evtchn_port_t i = 1; i < PORTS; i++)
        if (s->ports[i].state != XIDS_EVTCHN_CLOSED)
            (void)op_close(s, i);
    s->dead = quiet;
}

void world_kill(struct world *w, int d)
{
    gone(w, d, false);
}

void world_destroy(struct world *w, int d)
{
    gone(w, d, true);
}

uint8_t *world_page(struct world *w, int d, grant_ref_t ref)
{
    unsigned int index = ref / REF_STEP - 1;
    ck_assert(index < AREAS && w->areas[index].owner == d && w->areas[index].mem != NULL);
    return w->areas[index].mem + (size_t)(ref % REF_STEP) * 4096;
}

unsigned int world_readonly_pages(const struct world *w, int d)
{
    unsigned int n = 0;
    for (unsigned int i = 0; i < MAPS; i++)
        if (w->side[d].maps[i].area != NULL && (w->side[d].maps[i].flags & XIDS_MAP_READONLY) != 0)
            n += w->side[d].maps[i].count;
    return n;
}

void pair_serve(struct pair *p, unsigned int left_order, unsigned int right_order, unsigned int flags)
{
    *p = (struct pair){.w = world_new()};
    p->s = malloc(xids_vchan_size());
    p->c = malloc(xids_vchan_size());
    ck_assert(p->s != NULL && p->c != NULL);
    int rc = xids_vchan_server_init(p->s, world_platform(p->w, 0), WORLD_DOMID(1), left_order, right_order, flags);
    ck_assert_int_eq(rc, 0);
    p->ref = xids_vchan_ring_ref(p->s);
    p->page = world_page(p->w, 0, p->ref);
}

int pair_connect(struct pair *p, unsigned int flags)
{
    return xids_vchan_client_init(p->c, world_platform(p->w, 1), WORLD_DOMID(0), p->ref, xids_vchan_port(p->s), flags);
}

void pair_open(struct pair *p, unsigned int left_order, unsigned int right_order, unsigned int flags)
{
    pair_serve(p, left_order, right_order, flags);
    ck_assert_int_eq(pair_connect(p, flags), 0);
    ck_assert_int_eq(world_events(p->w, 0, p->s), 1);
    ck_assert_int_eq(world_events(p->w, 1, p->c), 1);
    ck_assert_int_eq(xids_vchan_state(p->s), XIDS_VCHAN_OPEN);
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
