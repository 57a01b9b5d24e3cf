/* SPDX-License-Identifier: ISC */
/*
 * libxenevtchn.so.1 over the simulated machine. A handle is an owner and its queue, a FIFO of port numbers: its fd is
 * what xenevtchn_fd gives, to be polled like Linux's /dev/xen/evtchn.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include <xenevtchn.h>

#include "sim/lib/process.h"

struct xenevtchn_handle {
    struct xids_sim_machine *machine;
    uint32_t owner;
    int fd;
    pid_t opener;
};

static xenevtchn_handle *handle_new(struct xids_sim_machine *m, uint32_t owner, int fd)
{
    xenevtchn_handle *xce = malloc(sizeof(*xce));
    if (xce == NULL)
        return NULL;
    *xce = (struct xenevtchn_handle){.machine = m, .owner = owner, .fd = fd, .opener = getpid()};
    return xce;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    uint32_t owner = 0;
    if ((flags & ~(unsigned int)XENEVTCHN_NO_CLOEXEC) != 0) {
        errno = EINVAL;
        return NULL;
    }
    struct xids_sim_machine *m = xids_sim_process();
    int fd = m != NULL ? xids_sim_events_open(&owner, (flags & XENEVTCHN_NO_CLOEXEC) != 0) : -1;
    if (fd < 0)
        return NULL;
    xenevtchn_handle *xce = handle_new(m, owner, fd);
    if (xce == NULL) {
        (void)xids_sim_owner_close(owner, getpid());
        (void)close(fd);
    }
    return xce;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned open_flags)
{
    (void)logger;
    struct xids_sim_machine *m = xids_sim_process();
    if (m == NULL)
        return NULL;
    uint32_t owner = open_flags == 0 ? xids_sim_queue_owner(m, fd) : 0;
    if (owner == 0) {
        errno = EINVAL;
        return NULL;
    }
    return handle_new(m, owner, fd);
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    if (xce == NULL)
        return 0;
    int rc = xids_sim_owner_close(xce->owner, xce->opener);
    (void)close(xce->fd);
    free(xce);
    return rc;
}

int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
    (void)xce;
    (void)domid;
    errno = EOPNOTSUPP;
    return -1;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    return xce->fd;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    return xids_sim_result(xids_hv_evtchn_notify(&xce->machine->hv, xce->owner, port));
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
    return xids_sim_result(xids_hv_evtchn_alloc(&xce->machine->hv, xce->owner, xids_sim_domid_of(domid)));
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid, evtchn_port_t remote_port)
{
    return xids_sim_result(xids_hv_evtchn_bind(&xce->machine->hv, xce->owner, xids_sim_domid_of(domid), remote_port));
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    return xids_sim_result(xids_hv_evtchn_bind_virq(&xce->machine->hv, xce->owner, virq));
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    return xids_sim_result(xids_hv_evtchn_close(&xce->machine->hv, xce->owner, port));
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    for (;;) {
        evtchn_port_t port;
        ssize_t n = read(xce->fd, &port, sizeof(port));
        if (n != (ssize_t)sizeof(port)) {
            if (n >= 0)
                errno = EIO;
            return -1;
        }
        int rc = xids_hv_evtchn_take(&xce->machine->hv, xce->owner, port);
        struct pollfd more = {.fd = xce->fd, .events = POLLIN};
        /*
         * A number whose event is gone (its port was closed) is handed out when there is nothing else: whoever was
         * told by poll that there is something to read must not be left waiting. Linux hands out such numbers too.
         */
        if (rc == 1 || poll(&more, 1, 0) <= 0)
            return (xenevtchn_port_or_error_t)port;
    }
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    int rc = xids_hv_evtchn_unmask(&xce->machine->hv, xce->owner, port);
    return rc == -XEN_ENOTCONN ? 0 : xids_sim_result(rc); /* Linux does not look whose the port is */
}
