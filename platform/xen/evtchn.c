/* SPDX-License-Identifier: ISC */
/*
 * The Linux platform's event channels, all on one handle.
 *
 * The kernel masks a port when it reports it, and unmasks it on request; it cannot be asked to mask. A port that the
 * user masks without having taken it is masked here: its event is taken from the kernel, held, and put into a queue
 * of our own at unmask.
 */
#define _GNU_SOURCE /* ppoll */
#include "platform/xen/internal.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* More ports than this no hypervisor of today has (FIFO event channels). */
#define PORTS_MAX (1u << 17)

static int watch_fd(int epoll, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

int xenp_evtchn_open(struct xenp *x, int given)
{
    unsigned int keep = (x->flags & XIDS_PLATFORM_XEN_KEEP) != 0 ? XENEVTCHN_NO_CLOEXEC : 0;
    x->evtchn = given >= 0 ? xenevtchn_fdopen(NULL, given, 0) : xenevtchn_open(NULL, keep);
    if (x->evtchn == NULL)
        return xenp_errno();
    int fd = xenevtchn_fd(x->evtchn);
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return xenp_errno();
    x->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    x->event_fd = epoll_create1(EPOLL_CLOEXEC);
    if (x->ready_fd < 0 || x->event_fd < 0 || watch_fd(x->event_fd, fd) < 0 || watch_fd(x->event_fd, x->ready_fd) < 0)
        return xenp_errno();
    return 0;
}

void xenp_evtchn_close(struct xenp *x)
{
    if (x->event_fd >= 0)
        close(x->event_fd);
    if (x->ready_fd >= 0)
        close(x->ready_fd);
    if (x->evtchn != NULL)
        xenevtchn_close(x->evtchn);
    free(x->ports);
}

/* ---- our view of the ports ---- */

/* The port when it is one of ours, or NULL. */
static struct xenp_port *find(struct xenp *x, evtchn_port_t port)
{
    return port < x->port_count && (x->ports[port].flags & XENP_PORT_OURS) != 0 ? &x->ports[port] : NULL;
}

static bool masked_here(const struct xenp_port *p)
{
    return (p->flags & XENP_PORT_MASKED) != 0 && (p->flags & XENP_PORT_TAKEN) == 0;
}

static void set_flags(struct xenp *x, struct xenp_port *p, unsigned int set, unsigned int clear)
{
    x->masked -= masked_here(p);
    p->flags = (uint16_t)((p->flags & ~clear) | set);
    x->masked += masked_here(p);
}

/* Takes in a port that a library call gave, or its error. */
static int adopt(struct xenp *x, xenevtchn_port_or_error_t port, domid_t remote)
{
    if (port < 0)
        return xenp_errno();
    evtchn_port_t at = (evtchn_port_t)port;
    if (at >= x->port_count) {
        unsigned int count = x->port_count == 0 ? 64 : x->port_count;
        while (count <= at && count < PORTS_MAX)
            count *= 2;
        struct xenp_port *ports = at < count ? realloc(x->ports, count * sizeof(*ports)) : NULL;
        if (ports == NULL) {
            xenevtchn_unbind(x->evtchn, at);
            return -XEN_ENOMEM;
        }
        for (unsigned int i = x->port_count; i < count; i++)
            ports[i] = (struct xenp_port){0};
        x->ports = ports;
        x->port_count = count;
    }
    x->ports[at] = (struct xenp_port){.flags = XENP_PORT_OURS, .remote = remote};
    return port;
}

static void ready_put(struct xenp *x, evtchn_port_t port)
{
    static const uint64_t one = 1;
    x->ports[port].next = 0;
    if (x->ready_head == 0) {
        x->ready_head = port;
        /* It cannot fail: the counter was 0. */
        if (write(x->ready_fd, &one, sizeof(one)) < 0)
            abort();
    } else {
        x->ports[x->ready_tail].next = port;
    }
    x->ready_tail = port;
    set_flags(x, &x->ports[port], XENP_PORT_READY, 0);
}

static void ready_remove(struct xenp *x, evtchn_port_t port)
{
    evtchn_port_t before = 0;
    for (evtchn_port_t at = x->ready_head; at != port; at = x->ports[at].next)
        before = at;
    evtchn_port_t after = x->ports[port].next;
    if (before == 0)
        x->ready_head = after;
    else
        x->ports[before].next = after;
    if (x->ready_tail == port)
        x->ready_tail = before;
    set_flags(x, &x->ports[port], 0, XENP_PORT_READY);
    uint64_t count;
    if (x->ready_head == 0 && read(x->ready_fd, &count, sizeof(count)) < 0)
        abort();
}

int xids_platform_xen_adopt(struct xids_platform *p, evtchn_port_t port, domid_t remote)
{
    int rc = port > INT_MAX ? -XEN_EINVAL : adopt(p->ctx, (xenevtchn_port_or_error_t)port, remote);
    return rc < 0 ? rc : 0;
}

int xids_platform_xen_evtchn_fd(const struct xids_platform *p)
{
    const struct xenp *x = p->ctx;
    return xenevtchn_fd(x->evtchn);
}

/* ---- operations ---- */

int xenp_evtchn_alloc(void *ctx, domid_t remote)
{
    struct xenp *x = ctx;
    return adopt(x, xenevtchn_bind_unbound_port(x->evtchn, remote), remote);
}

int xenp_evtchn_bind(void *ctx, domid_t remote, evtchn_port_t remote_port)
{
    struct xenp *x = ctx;
    return adopt(x, xenevtchn_bind_interdomain(x->evtchn, remote, remote_port), remote);
}

int xenp_evtchn_bind_virq(void *ctx, unsigned int virq)
{
    struct xenp *x = ctx;
    return adopt(x, xenevtchn_bind_virq(x->evtchn, virq), DOMID_INVALID);
}

int xenp_evtchn_notify(void *ctx, evtchn_port_t port)
{
    struct xenp *x = ctx;
    if (find(x, port) == NULL)
        return -XEN_EINVAL;
    return xenevtchn_notify(x->evtchn, port) < 0 ? xenp_errno() : 0;
}

int xenp_evtchn_mask(void *ctx, evtchn_port_t port)
{
    struct xenp *x = ctx;
    struct xenp_port *p = find(x, port);
    if (p == NULL)
        return -XEN_EINVAL;
    bool ready = (p->flags & XENP_PORT_READY) != 0;
    if (ready)
        ready_remove(x, port);
    set_flags(x, p, XENP_PORT_MASKED | (ready ? XENP_PORT_HELD : 0u), 0);
    return 0;
}

int xenp_evtchn_unmask(void *ctx, evtchn_port_t port)
{
    struct xenp *x = ctx;
    struct xenp_port *p = find(x, port);
    if (p == NULL)
        return -XEN_EINVAL;
    if ((p->flags & XENP_PORT_MASKED) == 0)
        return 0;
    if ((p->flags & XENP_PORT_HELD) != 0) {
        set_flags(x, p, 0, XENP_PORT_MASKED | XENP_PORT_HELD);
        ready_put(x, port);
        return 0;
    }
    bool taken = (p->flags & XENP_PORT_TAKEN) != 0;
    set_flags(x, p, 0, XENP_PORT_MASKED | XENP_PORT_TAKEN);
    return taken && xenevtchn_unmask(x->evtchn, port) < 0 ? xenp_errno() : 0;
}

int xenp_evtchn_unbind(void *ctx, evtchn_port_t port)
{
    struct xenp *x = ctx;
    struct xenp_port *p = find(x, port);
    if (p == NULL)
        return -XEN_EINVAL;
    if ((p->flags & XENP_PORT_READY) != 0)
        ready_remove(x, port);
    set_flags(x, p, 0, ~0u);
    return xenevtchn_unbind(x->evtchn, port) < 0 ? xenp_errno() : 0;
}

/*
 * The state of a port where the hypervisor may not be asked: one thing can still be seen, that the domain at its other
 * end is no more, for then Xen does not get as far as to refuse port 0.
 */
static int status_unasked(struct xenp *x, evtchn_port_t port)
{
    const struct xenp_port *p = find(x, port);
    if (p == NULL || p->remote == DOMID_INVALID)
        return -XEN_EACCES;
    int bound = xenevtchn_bind_interdomain(x->evtchn, p->remote, 0);
    if (bound >= 0)
        xenevtchn_unbind(x->evtchn, (evtchn_port_t)bound);
    return bound < 0 && errno == ESRCH ? XIDS_EVTCHN_UNBOUND : -XEN_EACCES;
}

int xenp_evtchn_status(void *ctx, evtchn_port_t port)
{
    struct xenp *x = ctx;
    if (x->control == NULL && (x->flags & XIDS_PLATFORM_XEN_NO_STATUS) == 0)
        x->control = xc_interface_open(NULL, NULL, 0);
    if (x->control == NULL)
        return status_unasked(x, port);
    xc_evtchn_status_t status = {.dom = DOMID_SELF, .port = port};
    if (xc_evtchn_status(x->control, &status) < 0) {
        /* A newer Linux opens the interface in every domain, but lets nothing through in a guest. */
        if (errno == EPERM || errno == EACCES)
            return status_unasked(x, port);
        return errno == EINVAL ? XIDS_EVTCHN_CLOSED : xenp_errno();
    }
    switch (status.status) {
    case EVTCHNSTAT_closed:
        return XIDS_EVTCHN_CLOSED;
    case EVTCHNSTAT_unbound:
        return XIDS_EVTCHN_UNBOUND;
    case EVTCHNSTAT_interdomain:
        return XIDS_EVTCHN_INTERDOMAIN;
    case EVTCHNSTAT_virq:
        return XIDS_EVTCHN_VIRQ;
    default:
        return XIDS_EVTCHN_OTHER;
    }
}

/* Takes one event from the kernel: its port, 0 when there is none, or an error. */
static int take(struct xenp *x)
{
    int port = xenevtchn_pending(x->evtchn);
    if (port < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : xenp_errno();
    return port;
}

int xenp_evtchn_pending(void *ctx)
{
    struct xenp *x = ctx;
    if (x->ready_head != 0) {
        evtchn_port_t port = x->ready_head;
        ready_remove(x, port);
        set_flags(x, &x->ports[port], XENP_PORT_MASKED, 0);
        return (int)port;
    }
    for (;;) {
        int port = take(x);
        struct xenp_port *p = port > 0 ? find(x, (evtchn_port_t)port) : NULL;
        if (port <= 0)
            return port;
        if (p == NULL)
            continue; /* closed while its event was under way */
        if ((p->flags & XENP_PORT_MASKED) == 0) {
            set_flags(x, p, XENP_PORT_MASKED | XENP_PORT_TAKEN, 0);
            return port;
        }
        set_flags(x, p, XENP_PORT_TAKEN | XENP_PORT_HELD, 0);
    }
}

/* ---- waiting ---- */

uint64_t xenp_now(void *ctx)
{
    struct timespec ts;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Waits for the kernel to have an event: 1, or 0 at the deadline. */
static int wait_kernel(struct xenp *x, uint64_t deadline)
{
    for (;;) {
        uint64_t now = deadline == UINT64_MAX ? 0 : xenp_now(x);
        uint64_t left = now < deadline ? deadline - now : 0;
        struct timespec ts = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        struct pollfd p = {.fd = xenevtchn_fd(x->evtchn), .events = POLLIN};
        int n = ppoll(&p, 1, deadline == UINT64_MAX ? NULL : &ts, NULL);
        if (n < 0)
            return xenp_errno();
        if (n > 0)
            return (p.revents & POLLIN) != 0 ? 1 : -XEN_EIO;
        if (xenp_now(x) >= deadline)
            return 0;
    }
}

int xenp_wait(void *ctx, uint64_t deadline)
{
    struct xenp *x = ctx;
    while (x->ready_head == 0) {
        int rc = wait_kernel(x, deadline);
        /* The usual case: whatever it is, the user wants it. */
        if (rc <= 0 || x->masked == 0)
            return rc;
        int port = xenp_evtchn_pending(x);
        if (port < 0)
            return port;
        if (port > 0) {
            set_flags(x, &x->ports[port], 0, XENP_PORT_MASKED);
            ready_put(x, (evtchn_port_t)port);
        }
    }
    return 1;
}
