/* SPDX-License-Identifier: ISC */
/*
 * The platform of a Linux program in a Xen domain: libxenevtchn, libxengnttab and libxenctrl. Under xids-sim the
 * same code runs on the simulator's libraries of the same names.
 *
 * What differs from the full contract of <xids/platform.h>:
 *   - grant of a page of one's own gives -XEN_ENOSYS: the kernel shares only pages that it allocates (share);
 *   - share and map with a notification take one page only, for want of a library call: -XEN_ENOSYS for more;
 *   - map gives -XEN_EACCES also when the domain does not exist: the kernel does not tell the two apart;
 *   - evtchn_status of a port needs the hypervisor's interface: where /dev/xen/privcmd may not be opened, or lets
 *     nothing through as in guests of a newer Linux, -XEN_EACCES; but XIDS_EVTCHN_UNBOUND when Xen does not know the
 *     other domain any more. It knows a dead one as long as we map pages of it;
 *   - unshare never says -XEN_EBUSY: the kernel itself keeps a page that is still mapped until it is let go.
 */
#ifndef XIDS_PLATFORM_XEN_H
#define XIDS_PLATFORM_XEN_H

#include <xids/platform.h>

XIDS_BEGIN_DECLS

enum xids_platform_xen_flags {
    XIDS_PLATFORM_XEN_NO_STATUS = 1u << 0, /* do not open the hypervisor's interface, as if it could not be opened */
    XIDS_PLATFORM_XEN_KEEP = 1u << 1, /* the event channels can be handed to a program that is executed in our place */
};

/*
 * Opens the devices and learns our domain's id from the store. *p is the caller's until close.
 * flags: enum xids_platform_xen_flags. Errors of open(2), or of xids_xs_open and xids_xs_own_domid.
 */
int xids_platform_xen_open(struct xids_platform **p, unsigned int flags) XIDS_MUST_CHECK;

/* The same for a program that knows its id: nothing is asked of the store. */
int xids_platform_xen_open_as(struct xids_platform **p, domid_t domid, unsigned int flags) XIDS_MUST_CHECK;

/*
 * The same with the event channels of a program that was executed in this process before, by the descriptor that
 * xids_platform_xen_evtchn_fd gave there. Its ports are bound; each is known here once it has been adopted.
 */
int xids_platform_xen_open_with(struct xids_platform **p, domid_t domid, unsigned int flags, int evtchn_fd)
    XIDS_MUST_CHECK;
int xids_platform_xen_adopt(struct xids_platform *p, evtchn_port_t port, domid_t remote) XIDS_MUST_CHECK;

/* The descriptor of the event channels. It is closed by execve, unless its FD_CLOEXEC is taken away. */
int xids_platform_xen_evtchn_fd(const struct xids_platform *p);

/* Closes all: ports, mappings and shares go, with their notifications. NULL does nothing. */
void xids_platform_xen_close(struct xids_platform *p);

/* Readable when a port is pending: poll it, then take with evtchn_pending until it gives 0. */
int xids_platform_xen_event_fd(const struct xids_platform *p);

XIDS_END_DECLS

#endif
