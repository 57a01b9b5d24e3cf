/* SPDX-License-Identifier: ISC */
/*
 * The domains' side: rings mapped by grant, their event channels, domain 0's own ring, and who has died. Over the
 * platform and libxenctrl: on Xen or on the simulator, as the libraries decide.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenctrl.h>

#include <xids/platform_xen.h>

#include "xenstore/xenstored.h"

#define INFO_BATCH 256

/* The page's word for the port of a domain that Xen itself has built: newer than the headers of Xen 4.17. */
#define PAGE_PORT(page) ((uint32_t XIDS_PEER *)(void XIDS_PEER *)((uint8_t XIDS_PEER *)(page) + 2076))

struct domain {
    void XIDS_PEER *page;
    evtchn_port_t port, remote; /* ours, and its own if it is known */
    bool mapped;                /* by grant; our own domain's ring is not */
    bool described;
    xen_domain_handle_t handle; /* if described: when it was last introduced */
};

struct domains {
    struct daemon *daemon;
    struct xids_platform *platform;
    xc_interface *xc;
    uv_poll_t poll;
    evtchn_port_t virq;
    /* Which connection a port belongs to. */
    struct xids_xs_conn **by_port;
    size_t ports;
    void *own_ring; /* our own domain's */
};

static int remember_port(struct domains *m, evtchn_port_t port, struct xids_xs_conn *conn)
{
    if (port >= m->ports) {
        size_t n = ((size_t)port + 1024) & ~(size_t)1023;
        struct xids_xs_conn **v = realloc(m->by_port, n * sizeof(struct xids_xs_conn *));
        if (v == NULL)
            return -XEN_ENOMEM;
        memset(v + m->ports, 0, (n - m->ports) * sizeof(struct xids_xs_conn *));
        m->by_port = v;
        m->ports = n;
    }
    m->by_port[port] = conn;
    return 0;
}

static void close_port(struct domains *m, struct domain *dom)
{
    const struct xids_platform *p = m->platform;
    if (dom->port == 0)
        return;
    if (dom->port < m->ports)
        m->by_port[dom->port] = NULL;
    (void)p->ops->evtchn_close(p->ctx, dom->port);
    dom->port = 0;
}

static int bind_port(struct domains *m, struct domain *dom, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    const struct xids_platform *p = m->platform;
    int local = p->ops->evtchn_bind(p->ctx, domid, port);
    if (local < 0)
        return local;
    dom->port = (evtchn_port_t)local;
    dom->remote = port;
    int rc = remember_port(m, dom->port, conn);
    if (rc < 0)
        close_port(m, dom);
    return rc;
}

/* ---- what the server asks ---- */

static struct domains *domains_of(void *ctx)
{
    return ((struct daemon *)ctx)->domains;
}

static void let_go(struct domains *m, struct xids_xs_conn *conn, uint16_t domid)
{
    const struct xids_platform *p = m->platform;
    struct domain *dom = xids_xs_conn_data(conn);
    if (dom == NULL)
        return;
    close_port(m, dom);
    if (dom->mapped && p->ops->unmap(p->ctx, dom->page, 1) < 0)
        log_msg(LOG_LEVEL_WARNING, "domain %u: its ring cannot be unmapped", domid);
    free(dom);
    xids_xs_conn_set_data(conn, NULL);
    log_msg(LOG_LEVEL_DEBUG, "domain %u released", domid);
}

static void host_release(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    tracing_note(ctx, TRACE_RELEASE, domid, domid, 0);
    live_forget(ctx, conn);
    let_go(domains_of(ctx), conn, domid);
}

static bool describe(const struct domains *m, xc_domaininfo_t *info, uint16_t domid)
{
    return xc_domain_getinfolist(m->xc, domid, 1, info) == 1 && info->domain == domid;
}

static void note_handle(const struct domains *m, struct domain *dom, uint16_t domid)
{
    xc_domaininfo_t info;
    dom->described = describe(m, &info, domid);
    if (dom->described)
        memcpy(dom->handle, info.handle, sizeof(dom->handle));
}

/*
 * Whether a living domain with that number is another one than was introduced. A toolstack may give a domain another
 * handle: so the event channel must have lost its other end as well, as it does when that domain dies.
 */
static bool is_another(const struct domains *m, const struct domain *dom, const xc_domaininfo_t *info)
{
    if (dom == NULL || !dom->described || (info->flags & XEN_DOMINF_dying) != 0 ||
        memcmp(dom->handle, info->handle, sizeof(dom->handle)) == 0)
        return false;
    xc_evtchn_status_t status = {.dom = DOMID_SELF, .port = dom->port};
    return dom->port == 0 || (xc_evtchn_status(m->xc, &status) == 0 && status.status != EVTCHNSTAT_interdomain);
}

static bool host_replaced(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    const struct domains *m = domains_of(ctx);
    xc_domaininfo_t info;
    bool replaced = describe(m, &info, domid) && is_another(m, xids_xs_conn_data(conn), &info);
    tracing_note(ctx, TRACE_REPLACED, domid, domid, replaced);
    return replaced;
}

static int host_introduce(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct domains *m = domains_of(ctx);
    const struct xids_platform *p = m->platform;
    const grant_ref_t ref = GNTTAB_RESERVED_XENSTORE;
    let_go(m, conn, domid); /* what a journal knew of it */
    struct domain *dom = calloc(1, sizeof(*dom));
    if (dom == NULL)
        return -XEN_ENOMEM;
    note_handle(m, dom, domid);
    int rc = p->ops->map(p->ctx, &dom->page, &ref, domid, 1, 0, NULL);
    if (rc == 0) {
        uint32_t own = xids_peer_load(PAGE_PORT(dom->page));
        dom->mapped = true;
        rc = bind_port(m, dom, conn, domid, own != 0 ? own : port);
    }
    tracing_note(ctx, TRACE_INTRODUCE, domid, domid, rc);
    xids_xs_conn_set_data(conn, dom);
    if (rc < 0) {
        log_limited(LOG_LEVEL_WARNING, "domain %u cannot be introduced: %s", domid, strerror(-rc));
        let_go(m, conn, domid);
        return rc;
    }
    *page = dom->page;
    log_msg(LOG_LEVEL_DEBUG, "domain %u introduced", domid);
    return 0;
}

static int host_rebind(void *ctx, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    struct domains *m = domains_of(ctx);
    struct domain *dom = xids_xs_conn_data(conn);
    if (dom == NULL)
        return -XEN_EINVAL;
    note_handle(m, dom, domid);
    close_port(m, dom);
    int rc = bind_port(m, dom, conn, domid, port);
    tracing_note(ctx, TRACE_REBIND, domid, domid, rc);
    return rc;
}

static void host_notify(void *ctx, struct xids_xs_conn *conn, uint16_t domid)
{
    struct domains *m = domains_of(ctx);
    const struct domain *dom = xids_xs_conn_data(conn);
    (void)domid;
    if (dom != NULL && dom->port != 0)
        (void)m->platform->ops->evtchn_notify(m->platform->ctx, dom->port);
}

static bool host_exists(void *ctx, uint16_t domid)
{
    struct domains *m = domains_of(ctx);
    xc_dominfo_t info;
    bool exists = xc_domain_getinfo(m->xc, domid, 1, &info) == 1 && info.domid == domid && !info.dying;
    tracing_note(ctx, TRACE_EXISTS, domid, domid, exists);
    return exists;
}

/* ---- what happens ---- */

struct living {
    struct daemon *daemon;
    uint8_t bits[0x8000 / 8];
};

static void pronounce_dead(struct daemon *d, uint16_t domid)
{
    tracing_note(d, TRACE_DEATH, domid, domid, 0);
    xids_xs_server_release(d->server, domid);
}

static void pronounce_shut_down(struct daemon *d, uint16_t domid)
{
    tracing_note(d, TRACE_SHUTDOWN, domid, domid, 0);
    xids_xs_server_shutdown(d->server, domid);
}

static void release_if_dead(void *ctx, uint16_t domid)
{
    const struct living *l = ctx;
    if (domid < 0x8000 && (l->bits[domid / 8] & (1u << (domid % 8))) == 0)
        pronounce_dead(l->daemon, domid);
}

/* Some domain has shut down or died. Xen does not say which: all are looked at, in one pass over both lists. */
static void look_for_the_dead(struct domains *m)
{
    struct xids_xs_server *server = m->daemon->server;
    xc_domaininfo_t *info = calloc(INFO_BATCH, sizeof(*info));
    struct living living = {.daemon = m->daemon};
    uint32_t first = 0;
    int n = -1;
    while (info != NULL && (n = xc_domain_getinfolist(m->xc, first, INFO_BATCH, info)) > 0) {
        for (int i = 0; i < n; i++) {
            uint32_t flags = info[i].flags;
            uint16_t domid = info[i].domain;
            struct xids_xs_conn *conn = xids_xs_server_domain(server, domid);
            if (conn != NULL && is_another(m, xids_xs_conn_data(conn), &info[i]))
                pronounce_dead(m->daemon, domid);
            if ((flags & XEN_DOMINF_dying) == 0 && domid < 0x8000)
                living.bits[domid / 8] |= (uint8_t)(1u << (domid % 8));
            if ((flags & XEN_DOMINF_shutdown) != 0)
                pronounce_shut_down(m->daemon, domid);
            first = domid + 1u;
        }
    }
    if (n == 0)
        xids_xs_server_each_domain(server, release_if_dead, &living);
    else
        log_msg(LOG_LEVEL_ERROR, "the list of domains cannot be read");
    free(info);
}

static void on_ports(uv_poll_t *poll, int status, int events)
{
    struct domains *m = poll->data;
    const struct xids_platform *p = m->platform;
    int port;
    (void)events;
    if (status < 0)
        return;
    tell_time(m->daemon);
    /* A bounded number, so that busy guests leave the sockets their turn. */
    for (int i = 0; i < 64 && (port = p->ops->evtchn_pending(p->ctx)) > 0; i++) {
        (void)p->ops->evtchn_unmask(p->ctx, (evtchn_port_t)port);
        if ((evtchn_port_t)port == m->virq)
            look_for_the_dead(m);
        else if ((size_t)port < m->ports && m->by_port[port] != NULL)
            xids_xs_server_ring_event(m->by_port[port]);
    }
    flush_output(m->daemon);
}

/* ---- the domains that nobody introduces ---- */

static int read_port(const char *path, uint32_t *port)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -errno;
    int n = fscanf(f, "%u", port);
    (void)fclose(f);
    return n == 1 ? 0 : -XEN_EINVAL;
}

/* The ring that our own kernel has set aside for the store that runs above it. */
static int map_own_ring(struct domains *m)
{
    int fd = open("/proc/xen/xsd_kva", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    void *ring = mmap(NULL, XIDS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (ring == MAP_FAILED)
        return -errno;
    m->own_ring = ring;
    return 0;
}

static int own_ring_open(struct domains *m)
{
    const struct xids_platform *p = m->platform;
    struct xids_xs_conn *conn;
    uint32_t port = 0;
    int rc = read_port("/proc/xen/xsd_port", &port);
    if (rc == -ENOENT || xids_xs_server_domain(m->daemon->server, (uint16_t)p->domid) != NULL)
        return 0;
    if (rc < 0)
        return rc;
    rc = map_own_ring(m);
    if (rc < 0)
        return rc;
    struct domain *dom = calloc(1, sizeof(*dom));
    if (dom == NULL)
        return -XEN_ENOMEM;
    rc = xids_xs_server_introduce(m->daemon->server, &conn, dom, (uint16_t)p->domid,
                                  (void XIDS_PEER *)(uintptr_t)m->own_ring, false);
    if (rc < 0) {
        free(dom);
        return rc;
    }
    tracing_note(m->daemon, TRACE_PRESENT, p->domid, p->domid, 0);
    return bind_port(m, dom, conn, (uint16_t)p->domid, port);
}

/* The privileged domain, when it is another: whoever has made us has told both of us the port. */
static int privileged_open(struct domains *m)
{
    const struct options *o = m->daemon->options;
    const struct xids_platform *p = m->platform;
    const grant_ref_t ref = GNTTAB_RESERVED_XENSTORE;
    const uint16_t domid = (uint16_t)o->privileged_domid;
    struct xids_xs_conn *conn;
    if (o->privileged_domid == o->own_domid || o->event_port == 0 ||
        xids_xs_server_domain(m->daemon->server, domid) != NULL)
        return 0;
    struct domain *dom = calloc(1, sizeof(*dom));
    if (dom == NULL)
        return -XEN_ENOMEM;
    int rc = p->ops->map(p->ctx, &dom->page, &ref, domid, 1, 0, NULL);
    if (rc < 0) {
        free(dom);
        return rc;
    }
    dom->mapped = true;
    rc = xids_xs_server_introduce(m->daemon->server, &conn, dom, domid, dom->page, false);
    if (rc < 0) {
        (void)p->ops->unmap(p->ctx, dom->page, 1);
        free(dom);
        return rc;
    }
    tracing_note(m->daemon, TRACE_PRESENT, domid, domid, 0);
    return bind_port(m, dom, conn, domid, o->event_port);
}

static int bind_virq(struct domains *m)
{
    int rc = m->platform->ops->evtchn_bind_virq(m->platform->ctx, VIRQ_DOM_EXC);
    if (rc < 0) {
        log_msg(LOG_LEVEL_ERROR, "VIRQ_DOM_EXC cannot be bound: %s", strerror(-rc));
        return rc;
    }
    m->virq = (evtchn_port_t)rc;
    return 0;
}

/* ---- over a live update ---- */

/* What is kept of a domain besides its port. */
struct domain_note {
    uint8_t described;
    xen_domain_handle_t handle;
};

evtchn_port_t domains_state(const struct xids_xs_conn *conn, void *note, size_t *len)
{
    const struct domain *dom = xids_xs_conn_data(conn);
    struct domain_note n = {.described = 0};
    *len = 0;
    if (dom == NULL)
        return 0;
    n.described = dom->described;
    memcpy(n.handle, dom->handle, sizeof(n.handle));
    memcpy(note, &n, sizeof(n));
    *len = sizeof(n);
    return dom->port;
}

/* The domain's own number of a port; 0: it is not known. */
static evtchn_port_t other_end(const struct domains *m, evtchn_port_t port)
{
    xc_evtchn_status_t status = {.dom = DOMID_SELF, .port = port};
    bool known = xc_evtchn_status(m->xc, &status) == 0 && status.status == EVTCHNSTAT_interdomain;
    return known ? status.u.interdomain.port : 0;
}

int domains_adopt(struct daemon *d, void XIDS_PEER **page, struct xids_xs_conn *conn, evtchn_port_t port,
                  const void *note, size_t note_len)
{
    struct domains *m = d->domains;
    const uint16_t domid = (uint16_t)xids_xs_conn_domid(conn);
    const grant_ref_t ref = GNTTAB_RESERVED_XENSTORE;
    struct domain *dom = m != NULL && port != 0 ? calloc(1, sizeof(*dom)) : NULL;
    if (dom == NULL)
        return -XEN_ENOMEM;
    int rc;
    if (domid == m->platform->domid) {
        rc = map_own_ring(m);
        dom->page = (void XIDS_PEER *)(uintptr_t)m->own_ring;
    } else {
        rc = m->platform->ops->map(m->platform->ctx, &dom->page, &ref, domid, 1, 0, NULL);
        dom->mapped = rc == 0;
    }
    if (rc == 0)
        rc = xids_platform_xen_adopt(m->platform, port, domid);
    dom->port = rc == 0 ? port : 0;
    dom->remote = rc == 0 ? other_end(m, port) : 0;
    if (rc == 0)
        rc = remember_port(m, port, conn);
    xids_xs_conn_set_data(conn, dom);
    struct domain_note n;
    if (note_len == sizeof(n)) {
        memcpy(&n, note, sizeof(n));
        dom->described = n.described != 0;
        memcpy(dom->handle, n.handle, sizeof(n.handle));
    } else {
        note_handle(m, dom, domid);
    }
    if (rc < 0) {
        log_msg(LOG_LEVEL_WARNING, "the ring of domain %u is gone: %s", domid, strerror(-rc));
        let_go(m, conn, domid);
        return rc;
    }
    *page = dom->page;
    return 0;
}

int domains_fd(const struct daemon *d)
{
    return d->domains != NULL ? xids_platform_xen_evtchn_fd(d->domains->platform) : -1;
}

/* ---- over a crash ---- */

evtchn_port_t domains_lasting(const struct xids_xs_conn *conn, void *note, size_t *len)
{
    const struct domain *dom = xids_xs_conn_data(conn);
    (void)domains_state(conn, note, len);
    return dom != NULL ? dom->remote : 0;
}

/* Whether the number is another domain's by now: a handle is only noted of one that was there. */
static bool has_changed(const struct domains *m, const struct domain *dom, uint16_t domid)
{
    xc_domaininfo_t info;
    return dom->described && describe(m, &info, domid) && memcmp(dom->handle, info.handle, sizeof(dom->handle)) != 0;
}

/* Its page and its port, which is free again since the process before us has died. */
static int take_ring(struct domains *m, struct domain *dom, struct xids_xs_conn *conn, uint16_t domid, uint32_t port)
{
    const struct options *o = m->daemon->options;
    const grant_ref_t ref = GNTTAB_RESERVED_XENSTORE;
    int rc;
    if (domid == m->platform->domid) {
        rc = read_port("/proc/xen/xsd_port", &port);
        if (rc == 0)
            rc = map_own_ring(m);
        dom->page = (void XIDS_PEER *)(uintptr_t)m->own_ring;
    } else {
        rc = m->platform->ops->map(m->platform->ctx, &dom->page, &ref, domid, 1, 0, NULL);
        dom->mapped = rc == 0;
        if (domid == o->privileged_domid && o->event_port != 0)
            port = o->event_port;
    }
    return rc == 0 ? bind_port(m, dom, conn, domid, port) : rc;
}

int domains_take(struct daemon *d, void XIDS_PEER **page, struct xids_xs_conn *conn, evtchn_port_t port,
                 const void *note, size_t note_len)
{
    struct domains *m = d->domains;
    const uint16_t domid = (uint16_t)xids_xs_conn_domid(conn);
    struct domain *dom = m != NULL ? calloc(1, sizeof(*dom)) : NULL;
    struct domain_note n = {.described = 0};
    if (dom == NULL)
        return -XEN_ENOMEM;
    if (note_len == sizeof(n))
        memcpy(&n, note, sizeof(n));
    dom->described = n.described != 0;
    memcpy(dom->handle, n.handle, sizeof(dom->handle));
    xids_xs_conn_set_data(conn, dom);
    /* Without a port it will be found dead, and the one that has its number now can be introduced. */
    if (has_changed(m, dom, domid))
        return -XEN_ENOENT;
    int rc = take_ring(m, dom, conn, domid, port);
    if (rc < 0) {
        log_msg(LOG_LEVEL_WARNING, "the ring of domain %u is gone: %s", domid, strerror(-rc));
        let_go(m, conn, domid);
        return rc;
    }
    *page = dom->page;
    return 0;
}

int domains_keep(struct daemon *d, bool keep)
{
    struct domains *m = d->domains;
    if (m == NULL)
        return -1;
    int fd = domains_fd(d);
    (void)fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
    if (keep) {
        (void)m->platform->ops->evtchn_close(m->platform->ctx, m->virq);
        m->virq = 0;
    } else if (bind_virq(m) == 0) {
        look_for_the_dead(m);
    }
    return fd;
}

/* ---- life ---- */

int domains_attach(struct daemon *d, int evtchn_fd)
{
    struct domains *m = d->domains;
    unsigned int keep = d->options->no_live_update ? 0 : XIDS_PLATFORM_XEN_KEEP;
    /* The store cannot ask itself which domain it is in. */
    int rc = xids_platform_xen_open_with(&m->platform, (domid_t)d->options->own_domid,
                                         XIDS_PLATFORM_XEN_NO_STATUS | keep, evtchn_fd);
    if (rc < 0) {
        log_msg(LOG_LEVEL_ERROR, "no hypervisor (--no-domain-init serves the socket alone): %s", strerror(-rc));
        return rc;
    }
    m->xc = xc_interface_open(NULL, NULL, 0);
    if (m->xc == NULL)
        return errno != 0 ? -errno : -XEN_EIO;
    return 0;
}

int domains_open(struct daemon *d, struct xids_xs_host *host)
{
    struct domains *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return -XEN_ENOMEM;
    d->domains = m;
    m->daemon = d;
    host->introduce = host_introduce;
    host->rebind = host_rebind;
    host->release = host_release;
    host->notify = host_notify;
    host->exists = host_exists;
    host->replaced = host_replaced;
    return d->options->live_update ? 0 : domains_attach(d, -1);
}

/* The rings that need no INTRODUCE. */
static int first_rings(struct domains *m)
{
    int rc = own_ring_open(m);
    if (rc < 0) {
        log_msg(LOG_LEVEL_ERROR, "our own domain's ring cannot be served: %s", strerror(-rc));
        return rc;
    }
    rc = privileged_open(m);
    if (rc < 0)
        log_msg(LOG_LEVEL_ERROR, "the ring of domain %u cannot be served: %s", m->daemon->options->privileged_domid,
                strerror(-rc));
    return rc;
}

int domains_start(struct daemon *d)
{
    struct domains *m = d->domains;
    int rc = bind_virq(m);
    if (rc == 0 && !d->options->live_update)
        rc = first_rings(m);
    if (rc < 0)
        return rc;
    rc = uv_poll_init(&d->loop, &m->poll, xids_platform_xen_event_fd(m->platform));
    if (rc < 0)
        return rc;
    m->poll.data = m;
    /* Who has died while one program became the other, or while there was none. */
    if (d->options->live_update || d->restored)
        look_for_the_dead(m);
    return uv_poll_start(&m->poll, UV_READABLE, on_ports);
}

static void host_forget(void *ctx, uint16_t domid)
{
    struct domains *m = ctx;
    struct xids_xs_conn *conn = xids_xs_server_domain(m->daemon->server, domid);
    if (conn != NULL)
        let_go(m, conn, domid);
}

void domains_close(struct daemon *d)
{
    struct domains *m = d->domains;
    if (m == NULL)
        return;
    d->domains = NULL;
    if (d->server != NULL)
        xids_xs_server_each_domain(d->server, host_forget, m);
    if (m->own_ring != NULL)
        (void)munmap(m->own_ring, XIDS_PAGE_SIZE);
    if (m->xc != NULL)
        (void)xc_interface_close(m->xc);
    if (m->platform != NULL)
        xids_platform_xen_close(m->platform);
    free(m->by_port);
    free(m);
}
