/* SPDX-License-Identifier: ISC */
/*
 * The platform: everything xids asks of the machine under it. One struct xids_platform is one domain's view of its
 * hypervisor: Linux over libxen* (platform/xen), a bare guest (platform/guest), or the model (platform/model).
 * A program or a test picks one and passes it in; nothing else in xids knows which it got.
 *
 * Calls return 0 or a count, else a negative Xen errno (xen/errno.h). Common to all calls:
 *   -XEN_EINVAL  an argument breaks a bound stated here
 *   -XEN_ENOMEM  no memory for the bookkeeping
 *   -XEN_ENODEV  the peer domain does not exist, or this domain is being torn down
 * A platform belongs to one thread, except where an implementation says more.
 */
#ifndef XIDS_PLATFORM_H
#define XIDS_PLATFORM_H

#include <xids/base.h>
#include <xids/peer.h>

XIDS_BEGIN_DECLS

/* The largest number of pages one share or map call takes: a 4 MiB vchan ring's worth. */
#define XIDS_PLATFORM_PAGES_MAX 1024u

enum xids_share_flags {
    XIDS_GRANT_READONLY = 1u << 0, /* the peer may only read */
};

enum xids_map_flags {
    XIDS_MAP_READONLY = 1u << 0, /* we will only read: works on grants of either kind */
};

/*
 * What the platform does when a mapping or a shared page goes away, by its owner's call or by its owner's death:
 * first the byte at offset of the area is set to 0, then the event channel is notified. Either part can be left out.
 * It is how a vchan peer learns that the process behind the channel died.
 */
struct xids_unmap_notify {
    bool clear_byte;
    uint32_t offset;    /* of the byte, in bytes from the start of the area, below its length */
    evtchn_port_t port; /* a port of this platform's domain; 0: notify nobody */
};

/* One piece of a grant copy. Exactly one side is a grant; the other is our own memory. It may not leave its page. */
struct xids_grant_copy {
    bool to_grant; /* true: from memory to the grant; false: from the grant to memory */
    domid_t domid; /* the domain that granted */
    grant_ref_t ref;
    uint16_t offset; /* in bytes within the granted page */
    uint16_t len;    /* in bytes, 1 to 4096 - offset */
    void *memory;
    int status; /* set by copy: 0, -XEN_EACCES (bad grant), -XEN_EINVAL, -XEN_EAGAIN (paged out: try again) */
};

enum xids_evtchn_state {
    XIDS_EVTCHN_CLOSED,      /* no such port */
    XIDS_EVTCHN_UNBOUND,     /* waiting for its peer to bind, or the peer has closed its end or died */
    XIDS_EVTCHN_INTERDOMAIN, /* connected */
    XIDS_EVTCHN_VIRQ,
    XIDS_EVTCHN_OTHER,
};

struct xids_platform_ops {
    /* ---- memory ---- */

    /*
     * Allocates count (1 to XIDS_PLATFORM_PAGES_MAX) zeroed pages, contiguous in our address space, and releases them.
     * Released pages hold nothing granted. -XEN_ENOMEM: none left.
     */
    int (*page_alloc)(void *ctx, void **pages, unsigned int count);
    void (*page_free)(void *ctx, void *pages, unsigned int count);

    /*
     * Grants one page of our own (from page_alloc) to a domain; flags from enum xids_share_flags. Sets *ref.
     * -XEN_ENOSPC: the grant table is full; -XEN_ENOSYS: this platform can only share (Linux user space).
     */
    int (*grant)(void *ctx, grant_ref_t *ref, domid_t domid, void *page, unsigned int flags);

    /*
     * Ends a grant. -XEN_EBUSY: the peer still has it mapped; the reference stays valid, and the page must not be
     * freed or reused until a later grant_end succeeds.
     */
    int (*grant_end)(void *ctx, grant_ref_t ref);

    /*
     * Allocates count zeroed pages, contiguous in our address space, already granted to domid: refs[0..count) name
     * them in order. notify may be NULL; else it is carried out when the pages are unshared or our process dies.
     * -XEN_ENOSPC: no grant references (or the kernel's page limit) left.
     */
    int (*share)(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                 const struct xids_unmap_notify *notify);

    /*
     * Gives up pages from share, with the same start and count. They are gone for the caller whatever it returns:
     * -XEN_EBUSY says that the peer still maps some of them, and that the platform keeps these aside, never to be
     * reused, until the peer lets go.
     */
    int (*unshare)(void *ctx, void *pages, unsigned int count);

    /*
     * Maps count pages granted by domid, refs in order, contiguous in our address space; flags from enum
     * xids_map_flags. notify may be NULL. -XEN_EACCES: a reference is not granted to us, or not for writing.
     * What is mapped can be mapped again; should both maps have one address, unmap ends the older one.
     */
    int (*map)(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
               unsigned int flags, const struct xids_unmap_notify *notify);

    /* Unmaps a whole area from map, with the same start and count. */
    int (*unmap)(void *ctx, void XIDS_PEER *area, unsigned int count);

    /*
     * Carries out count copies without mapping; each one's result is in its status, so that one bad grant does not
     * spoil the others. Returns 0 when all were tried.
     */
    int (*copy)(void *ctx, struct xids_grant_copy *copies, unsigned int count);

    /* ---- event channels ----
     * A port is unmasked when made. An event makes it pending; evtchn_pending takes it and masks it; events that come
     * while it is masked are remembered, many as one, and delivered at unmask. So: take, unmask, then look at the
     * shared state, and nothing can be missed.
     */

    /* Each returns a port (> 0) or an error. bind leaves the new port pending once, in case events came before it. */
    int (*evtchn_alloc)(void *ctx, domid_t remote);
    int (*evtchn_bind)(void *ctx, domid_t remote, evtchn_port_t remote_port);
    int (*evtchn_bind_virq)(void *ctx, unsigned int virq);

    /* Sends an event. To a port whose peer has gone it does nothing and succeeds, as Xen does. */
    int (*evtchn_notify)(void *ctx, evtchn_port_t port);
    int (*evtchn_mask)(void *ctx, evtchn_port_t port);
    int (*evtchn_unmask)(void *ctx, evtchn_port_t port);
    int (*evtchn_close)(void *ctx, evtchn_port_t port);

    /* An enum xids_evtchn_state. An interdomain port falls back to unbound when its peer closes or its domain dies. */
    int (*evtchn_status)(void *ctx, evtchn_port_t port);

    /* Takes one pending port and masks it: the port, or 0 when none is pending. Never blocks. */
    int (*evtchn_pending)(void *ctx);

    /*
     * Blocks until a port is pending or the clock reaches deadline (ns; UINT64_MAX: never). Returns 1 when a port is
     * pending, 0 at the deadline, -XEN_EINTR when a signal came first.
     */
    int (*wait)(void *ctx, uint64_t deadline);

    /* ---- time ---- */

    /* Nanoseconds of a clock that never goes back; it may jump when the domain is resumed. */
    uint64_t (*now)(void *ctx);
};

struct xids_platform {
    const struct xids_platform_ops *ops;
    void *ctx;
    domid_t domid; /* our own */
};

XIDS_END_DECLS

#endif
