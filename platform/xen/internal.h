/* SPDX-License-Identifier: ISC */
/* What the files of the Linux platform share: see xids/platform_xen.h. */
#ifndef PLATFORM_XEN_INTERNAL_H
#define PLATFORM_XEN_INTERNAL_H

#include <errno.h>
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xids/platform_xen.h>

/*
 * The kernel looks for a shared page through a list of all that its file holds: several files keep the lists short.
 */
#define XENP_SHARD_PAGES 256u

struct xenp_shard {
    xengntshr_handle *handle;
    unsigned int pages;
};

#define XENP_SHARDS_MAX (1u << 18)

/* Pages that we share: where they are, how many and in which shard. A word, for there are many. */
#define XENP_SHARE_PAGE_MAX 0xfffffffffu
struct xenp_share {
    uint64_t page : 36;     /* the address in pages: user space ends at 2^47, or 2^48 on arm64. 0: none */
    uint64_t less_one : 10; /* count - 1 */
    uint64_t shard : 18;
};

/* A port is masked either by the user or by being taken; the kernel knows only the latter. */
enum xenp_port_flags {
    XENP_PORT_OURS = 1u << 0,
    XENP_PORT_MASKED = 1u << 1, /* the user does not want it now */
    XENP_PORT_TAKEN = 1u << 2,  /* the kernel has reported it and waits for unmask */
    XENP_PORT_HELD = 1u << 3,   /* it fired while masked, and was taken from the kernel */
    XENP_PORT_READY = 1u << 4,  /* taken from the kernel, in the queue for evtchn_pending */
};

struct xenp_port {
    evtchn_port_t next; /* in the queue */
    uint16_t flags;
    domid_t remote; /* DOMID_INVALID: none, a virq */
};

struct xenp {
    struct xids_platform base;
    xenevtchn_handle *evtchn;
    xengnttab_handle *gnttab;
    xc_interface *control; /* opened when first wanted */
    unsigned int flags;
    struct xenp_shard *shards;
    unsigned int shard_count;
    struct xenp_share *shares;
    unsigned int share_slots, share_count; /* slots: a power of two, or 0 */
    struct xenp_port *ports;
    unsigned int port_count;              /* of the array */
    evtchn_port_t ready_head, ready_tail; /* 0: none */
    unsigned int masked;                  /* ports that the user has masked without the kernel's knowing */
    int ready_fd;                         /* an eventfd, readable while the queue is not empty */
    int event_fd;                         /* an epoll of it and of the event channel device */
};

/* The negative errno of a failed library call; Linux's numbers are Xen's. */
static inline int xenp_errno(void)
{
    return errno > 0 ? -errno : -XEN_EIO;
}

/* Event channels. */
int xenp_evtchn_open(struct xenp *x, int given); /* given: its descriptor is there already, or -1 */
void xenp_evtchn_close(struct xenp *x);
int xenp_evtchn_alloc(void *ctx, domid_t remote);
int xenp_evtchn_bind(void *ctx, domid_t remote, evtchn_port_t remote_port);
int xenp_evtchn_bind_virq(void *ctx, unsigned int virq);
int xenp_evtchn_notify(void *ctx, evtchn_port_t port);
int xenp_evtchn_mask(void *ctx, evtchn_port_t port);
int xenp_evtchn_unmask(void *ctx, evtchn_port_t port);
int xenp_evtchn_unbind(void *ctx, evtchn_port_t port);
int xenp_evtchn_status(void *ctx, evtchn_port_t port);
int xenp_evtchn_pending(void *ctx);
int xenp_wait(void *ctx, uint64_t deadline);
uint64_t xenp_now(void *ctx);

/* Memory. */
int xenp_page_alloc(void *ctx, void **pages, unsigned int count);
void xenp_page_free(void *ctx, void *pages, unsigned int count);
int xenp_grant(void *ctx, grant_ref_t *ref, domid_t domid, void *page, unsigned int flags);
int xenp_grant_end(void *ctx, grant_ref_t ref);
int xenp_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
               const struct xids_unmap_notify *notify);
int xenp_unshare(void *ctx, void *pages, unsigned int count);
int xenp_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
             unsigned int flags, const struct xids_unmap_notify *notify);
int xenp_unmap(void *ctx, void XIDS_PEER *area, unsigned int count);
int xenp_copy(void *ctx, struct xids_grant_copy *copies, unsigned int count);
void xenp_memory_close(struct xenp *x);

#endif
