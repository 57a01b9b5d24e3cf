/* SPDX-License-Identifier: ISC */
/*
 * The rules of a Xen hypervisor: domains, grants, event channels, pages and their owners, kept in one block of memory
 * that holds no pointers. platform/model keeps the block in one process; sim/ keeps it in memory shared by many, each
 * with a struct xids_hv of its own that says where the block lies there and how to lock it and wake others.
 *
 * Identities. A domain is named by its domid, which can come again after its destruction; its incarnation never does.
 * An owner is one opened device file (gntdev, gntalloc, evtchn) or a set of them: what it made goes with it. Owners
 * and maps are named by ids in which a generation makes stale ones detectable. A frame is a page of the machine,
 * named by its number, from 1; frame numbers serve as pfn, gfn and mfn alike. A page's address differs between
 * processes: only env.frame knows it.
 *
 * Locking. Every call takes and gives back the lock through env, except those marked "No lock", which use atomic
 * operations on one port and may run at any time, beside locked calls too. Callbacks other than lock and unlock are
 * called with the lock held or not; they must not block for long nor call back into this module.
 *
 * Death inside a locked call. The truth about each object is in its own record, which a last single store makes valid
 * or invalid; lists, counts and free lists are derived from that. So whoever finds that the lock's holder died
 * (EOWNERDEAD of a robust mutex) calls xids_hv_recover, which rebuilds what is derived, and goes on: the interrupted
 * call then did all its work, or a part of it (an object may stay until its
 * owner is closed, frames until their domain ends). The dead process's owners are then closed by xids_hv_owner_close,
 * which can itself be interrupted and repeated; so can xids_hv_domain_destroy.
 *
 * Calls return 0 or a count, port or the like, else a negative Xen errno, as Xen or Linux would answer. Common ones:
 *   -XEN_EBADF   no such owner (closed, or its domain was destroyed)
 *   -XEN_ESRCH   no such domain
 *   -XEN_EPERM   it concerns another domain, and the caller's is not privileged
 *   -XEN_EINVAL  an argument breaks a bound stated here
 *   -XEN_ENOMEM  a limit of the whole machine is reached
 */
#ifndef XIDS_PLATFORM_MODEL_HV_H
#define XIDS_PLATFORM_MODEL_HV_H

#include <xids/platform.h>

XIDS_BEGIN_DECLS

/* Changes with every change of the block's layout. */
#define XIDS_HV_VERSION 2u

/* The first grant reference that is given out to whoever does not ask for a certain one: those below are Xen's. */
#define XIDS_HV_GRANT_FIRST 8u
#define XIDS_HV_GRANT_ANY UINT32_MAX
#define XIDS_HV_DOMID_ANY DOMID_INVALID

/* HVM parameters kept per domain; the indices are those of xen/hvm/params.h. */
#define XIDS_HV_PARAMS 40u
/* Words of the caller's per domain, 0 at first. */
#define XIDS_HV_USER_WORDS 4u

/*
 * How much there can be at once. The block has room for all of it, but only what was once in use is ever touched: a
 * sparse file of a large machine stays small. In brackets: what a limit may be.
 */
struct xids_hv_limits {
    uint32_t domains;           /* [1, 32752] */
    uint32_t owners;            /* [1, 2^20 - 1] */
    uint32_t ports;             /* event channels of all domains together [64, 2^24], a multiple of 64 */
    uint32_t ports_per_domain;  /* [64, 2^17], a multiple of 64; one less is usable, port 0 being none */
    uint32_t grants;            /* of all domains together [64, 2^24], a multiple of 64 */
    uint32_t grants_per_domain; /* [64, 2^20], a multiple of 64 */
    uint32_t frames;            /* pages of the machine [1, 2^28]; numbered 1 to frames */
    uint32_t maps;              /* map and share objects [1, 2^20 - 1] */
    uint32_t mapped;            /* pages in all map objects together [1, 2^24] */
};

/* What the caller of this process supplies. ctx is handed to all of them; a NULL function is not called. */
struct xids_hv_env {
    void (*lock)(void *ctx);
    void (*unlock)(void *ctx);
    /*
     * Appends port to the queue of events of owner. A port is queued once until xids_hv_evtchn_take takes it; but the
     * queue may come to hold stale numbers, of a port closed, masked or queued again meanwhile, which take refuses.
     */
    void (*wake)(void *ctx, uint32_t owner, evtchn_port_t port);
    /*
     * Where frame lies in this process. Required. Must stay valid until the call that asked returns. Frames never used
     * before must read as zeros: these calls fill with zeros only those that come again.
     */
    void *(*frame)(void *ctx, uint32_t frame);
    /* frame has just become free: nobody maps it any more. For poisoning it or giving back its memory. */
    void (*freed)(void *ctx, uint32_t frame);
    void *ctx;
};

struct xids_hv_block;

/* One process's view of a block. The fields are this module's; the struct may be moved and copied. */
struct xids_hv {
    struct xids_hv_block *block;
    struct xids_hv_env env;
};

/* ---- the block ---- */

/* Bytes that a block of these limits needs, a multiple of the page size; 0: a limit is out of its bounds. */
size_t xids_hv_size(const struct xids_hv_limits *limits);

/*
 * Makes an empty machine (no domain at all) in size bytes at mem, which must be zero and aligned to a page. Touches
 * a page only. -XEN_EINVAL: bad limits, or size is below xids_hv_size.
 */
XIDS_MUST_CHECK int xids_hv_init(struct xids_hv *hv, void *mem, size_t size, const struct xids_hv_limits *limits,
                                 const struct xids_hv_env *env);

/* Joins a machine that another process made. -XEN_EINVAL: not a block of this version, not whole, or limits lie. */
XIDS_MUST_CHECK int xids_hv_attach(struct xids_hv *hv, void *mem, size_t size, const struct xids_hv_env *env);

/*
 * After the lock's holder died: rebuilds everything derived. Called with the lock held (from env.lock, typically); does
 * not lock. Takes time in proportion to what was ever in use.
 */
void xids_hv_recover(struct xids_hv *hv);

/*
 * Verifies that what is derived agrees with the records. Returns NULL, or what does not in a static string. For tests.
 */
const char *xids_hv_check(struct xids_hv *hv);

/* ---- domains ---- */

enum xids_hv_domain_flags {
    XIDS_HV_PRIVILEGED = 1u << 0, /* may act for others, as dom0 */
    XIDS_HV_LOOPBACK = 1u << 1,   /* may map its own grants: crashes real kernels, so refused to others */
    XIDS_HV_PAUSED = 1u << 2,     /* a mark only: the caller stops what runs in it */
    XIDS_HV_SHUTDOWN = 1u << 3,   /* with a reason, see reason below; it crashed when that is SHUTDOWN_crash */
    XIDS_HV_DYING = 1u << 4,      /* its destruction was interrupted */
};

struct xids_hv_domain {
    domid_t domid;
    uint8_t handle[16];   /* its uuid */
    uint32_t flags;       /* enum xids_hv_domain_flags */
    uint32_t reason;      /* SHUTDOWN_* of xen/sched.h */
    uint64_t incarnation; /* never repeats in a machine; from 1 */
    uint32_t frames;      /* pages it owns */
    uint32_t ports;       /* event channels it has, and grants */
    uint32_t grants;
    uint32_t owners; /* opened */
};

/*
 * Makes a domain: with that domid, or with the next one not yet used (starting over at 1 when all were) for
 * XIDS_HV_DOMID_ANY. flags: PRIVILEGED, LOOPBACK, PAUSED. handle may be NULL: zeros. Returns the domid.
 * -XEN_EEXIST: that domid lives. -XEN_EINVAL: domid is above 32751.
 */
XIDS_MUST_CHECK int xids_hv_domain_create(struct xids_hv *hv, domid_t domid, uint32_t flags, const uint8_t handle[16]);

/*
 * Pauses are counted: who unpauses takes back one. -XEN_EOVERFLOW: the 256th; -XEN_EINVAL: it is not paused;
 * -XEN_ESRCH.
 */
int xids_hv_domain_pause(struct xids_hv *hv, domid_t domid);
int xids_hv_domain_unpause(struct xids_hv *hv, domid_t domid);

/*
 * The domain has ended with reason (0 to 255, SHUTDOWN_* of xen/sched.h): VIRQ_DOM_EXC is raised. What it has stays
 * until it is destroyed. The first reason stays. resume takes it back.
 */
int xids_hv_domain_shutdown(struct xids_hv *hv, domid_t domid, uint32_t reason);
int xids_hv_domain_resume(struct xids_hv *hv, domid_t domid);

/*
 * The domain and all it has vanish as they do in Xen: its owners are closed without carrying out any notification
 * (its kernel is gone), its ports closed (peers fall back to unbound, no event), its grants ended and its pages freed,
 * except that pages which others map live on, owned by nobody, until the last of these maps goes. VIRQ_DOM_EXC is
 * raised.
 */
int xids_hv_domain_destroy(struct xids_hv *hv, domid_t domid);

/* Fills info about domid. */
XIDS_MUST_CHECK int xids_hv_domain_info(struct xids_hv *hv, struct xids_hv_domain *info, domid_t domid);
/* The same for the domain with the lowest domid that is not below from. -XEN_ENOENT: there is none. */
XIDS_MUST_CHECK int xids_hv_domain_next(struct xids_hv *hv, struct xids_hv_domain *info, uint32_t from);

int xids_hv_domain_set_handle(struct xids_hv *hv, domid_t domid, const uint8_t handle[16]);
/* -XEN_EINVAL: index is not below XIDS_HV_PARAMS, or XIDS_HV_USER_WORDS. */
XIDS_MUST_CHECK int xids_hv_param_get(struct xids_hv *hv, uint64_t *value, domid_t domid, uint32_t index);
XIDS_MUST_CHECK int xids_hv_param_set(struct xids_hv *hv, domid_t domid, uint32_t index, uint64_t value);
XIDS_MUST_CHECK int xids_hv_user_get(struct xids_hv *hv, uint64_t *value, domid_t domid, uint32_t index);
XIDS_MUST_CHECK int xids_hv_user_set(struct xids_hv *hv, domid_t domid, uint32_t index, uint64_t value);

/* ---- owners ---- */

struct xids_hv_owner {
    uint32_t owner; /* its id */
    domid_t domid;
    uint32_t cookie; /* the caller's, as given to open: a process id, say */
};

/* Opens an owner in a domain; sets *owner (never 0). -XEN_ENOMEM: the limit. */
XIDS_MUST_CHECK int xids_hv_owner_open(struct xids_hv *hv, uint32_t *owner, domid_t domid, uint32_t cookie);

/*
 * What the kernel does when a file is closed or its process dies: unmaps its maps and unshares its shares, carrying
 * out their notifications (first the byte, then the event), then closes its ports.
 */
int xids_hv_owner_close(struct xids_hv *hv, uint32_t owner);

/*
 * For an owner whose process was killed, before closing it: queues the events of its ports' peers again, in case it
 * died between marking one of them and calling env.wake. The peers' queues may then hold numbers twice, which take
 * refuses.
 */
int xids_hv_owner_rouse(struct xids_hv *hv, uint32_t owner);

/* The first owner after the given id in an unchanging order (0: the first of all). -XEN_ENOENT: no more. */
XIDS_MUST_CHECK int xids_hv_owner_next(struct xids_hv *hv, struct xids_hv_owner *info, uint32_t after);

/* A small number that no two open owners share, from 1 to limits.owners: an index for the caller's own tables. */
static inline uint32_t xids_hv_owner_slot(uint32_t owner)
{
    return owner & 0xfffffu;
}

/* No lock. Whether the id names an open owner. */
bool xids_hv_owner_alive(struct xids_hv *hv, uint32_t owner);

/* ---- pages ---- */

/*
 * Gives a domain count zeroed frames with consecutive numbers; sets *first. -XEN_ENOMEM: there is no such run.
 * free takes them back: of this domain, all of them, and none granted (-XEN_EBUSY; -XEN_EINVAL: not all its own).
 * Frames that a privileged domain still maps leave the domain but become free only when they are unmapped.
 */
XIDS_MUST_CHECK int xids_hv_frame_alloc(struct xids_hv *hv, uint32_t *first, domid_t domid, uint32_t count);
XIDS_MUST_CHECK int xids_hv_frame_free(struct xids_hv *hv, domid_t domid, uint32_t first, uint32_t count);

/* ---- grants ---- */

/*
 * Grants one frame of domid to remote, which need not exist. flags: XIDS_GRANT_READONLY. wanted: the reference to use
 * (0 and 1 are what the console and xenstore are found at), or XIDS_HV_GRANT_ANY. Sets *ref.
 * -XEN_EEXIST: wanted is in use. -XEN_ENOSPC: the domain's table is full. -XEN_EINVAL: not its frame, or
 * one of a share.
 */
XIDS_MUST_CHECK int xids_hv_grant(struct xids_hv *hv, grant_ref_t *ref, domid_t domid, domid_t remote, uint32_t frame,
                                  unsigned int flags, grant_ref_t wanted);

/* -XEN_EBUSY: still mapped; the grant stays. -XEN_ENOENT: no such grant, or one made by share. */
XIDS_MUST_CHECK int xids_hv_grant_end(struct xids_hv *hv, domid_t domid, grant_ref_t ref);

/*
 * gntdev: maps count (1 to XIDS_PLATFORM_PAGES_MAX) pages that domid granted to the owner's domain, as one object with
 * one notification. flags: XIDS_MAP_READONLY. notify may be NULL; its port must be in the owner's domain and is held
 * open until the notification was carried out. Sets *map, and frames[0..count) to where the pages are. All or nothing.
 * -XEN_EACCES: a reference is not granted to us, or not for writing, or being given up. -XEN_ENOENT: no such port.
 * -XEN_EINVAL: the domain's own grants, without XIDS_HV_LOOPBACK; or the byte lies outside.
 */
XIDS_MUST_CHECK int xids_hv_map(struct xids_hv *hv, uint32_t *map, uint32_t *frames, uint32_t owner, domid_t domid,
                                const grant_ref_t *refs, uint32_t count, unsigned int flags,
                                const struct xids_unmap_notify *notify);

/*
 * Maps frames of a domain by their numbers, for a privileged owner (or one of the same domain). errors may be NULL:
 * then all or nothing; else errors[i] is 0 or -XEN_EINVAL (not its frame) for each, and the good ones are mapped.
 */
XIDS_MUST_CHECK int xids_hv_map_foreign(struct xids_hv *hv, uint32_t *map, int *errors, uint32_t owner, domid_t domid,
                                        const uint32_t *frames, uint32_t count);

/* Undoes map and map_foreign: the byte is cleared, the event sent, the pages let go. -XEN_ENOENT: not its map. */
XIDS_MUST_CHECK int xids_hv_unmap(struct xids_hv *hv, uint32_t owner, uint32_t map);

/*
 * gntalloc: allocates count (1 to XIDS_PLATFORM_PAGES_MAX) zeroed frames with consecutive numbers from *first and
 * grants them to remote; sets *share and refs[0..count). notify as for map. -XEN_ENOSPC: no references left.
 */
XIDS_MUST_CHECK int xids_hv_share(struct xids_hv *hv, uint32_t *share, uint32_t *first, grant_ref_t *refs,
                                  uint32_t owner, domid_t remote, uint32_t count, unsigned int flags,
                                  const struct xids_unmap_notify *notify);

/*
 * Undoes share, after its notification. Pages still mapped keep their reference, which nobody can map any more, and are
 * freed at the last unmap; then it returns -XEN_EBUSY, and the share is gone all the same. -XEN_ENOENT: not its share.
 */
XIDS_MUST_CHECK int xids_hv_unshare(struct xids_hv *hv, uint32_t owner, uint32_t share);

/* Sets, replaces or (NULL) takes away the notification of a map or share, as the kernel's ioctl does. */
XIDS_MUST_CHECK int xids_hv_set_notify(struct xids_hv *hv, uint32_t owner, uint32_t map,
                                       const struct xids_unmap_notify *notify);

/* Grant copies, see struct xids_grant_copy; memory is in this process. 0: each was tried and has its status. */
XIDS_MUST_CHECK int xids_hv_copy(struct xids_hv *hv, uint32_t owner, struct xids_grant_copy *copies, uint32_t count);

/*
 * ---- event channels ----
 *
 * A port belongs to the owner that made it, or to nobody (the domain's kernel) until an owner adopts it. A new port is
 * enabled. An event to an enabled port queues it (env.wake) and disables it; more events are latched, many as one. take
 * is what the reader of the queue calls for each number it read; unmask enables again, and queues again if latched.
 */

/* Returns a port, for remote to bind to. remote need not exist. -XEN_ENOSPC: the domain's table is full. */
XIDS_MUST_CHECK int xids_hv_evtchn_alloc(struct xids_hv *hv, uint32_t owner, domid_t remote);

/* The same in any domain, on behalf of caller's (privileged unless equal); the port belongs to nobody. DOMID_SELF works
 * for both. */
XIDS_MUST_CHECK int xids_hv_evtchn_alloc_for(struct xids_hv *hv, domid_t caller, domid_t domid, domid_t remote);

/* Makes a port of the owner's domain that belongs to nobody the owner's. -XEN_EINVAL: no such port. -XEN_EBUSY: taken.
 */
XIDS_MUST_CHECK int xids_hv_evtchn_adopt(struct xids_hv *hv, uint32_t owner, evtchn_port_t port);

/*
 * Returns a new port connected to remote's port, which must be unbound and meant for the owner's domain (-XEN_EINVAL).
 * The new port gets an event at once, in case one was sent before there was anybody to send to.
 */
XIDS_MUST_CHECK int xids_hv_evtchn_bind(struct xids_hv *hv, uint32_t owner, domid_t remote, evtchn_port_t remote_port);

/* -XEN_EEXIST: bound already. -XEN_EPERM: a virq of the whole machine, and not privileged. -XEN_EINVAL: none such. */
XIDS_MUST_CHECK int xids_hv_evtchn_bind_virq(struct xids_hv *hv, uint32_t owner, unsigned int virq);

/*
 * Closes a port of this owner. Its peer falls back to unbound, to be bound again by the closer's domain, without an
 * event. A port held by a notification goes away for the owner, but for its peer only after that.
 * -XEN_ENOTCONN: not a port of this owner.
 */
XIDS_MUST_CHECK int xids_hv_evtchn_close(struct xids_hv *hv, uint32_t owner, evtchn_port_t port);

/*
 * No lock, all four. -XEN_ENOTCONN: not a port of this owner. notify: an unbound port swallows the event and succeeds;
 * -XEN_EINVAL: a virq's port. take: 1, and the port is masked now; 0: a stale number.
 */
XIDS_MUST_CHECK int xids_hv_evtchn_notify(struct xids_hv *hv, uint32_t owner, evtchn_port_t port);
XIDS_MUST_CHECK int xids_hv_evtchn_take(struct xids_hv *hv, uint32_t owner, evtchn_port_t port);
XIDS_MUST_CHECK int xids_hv_evtchn_mask(struct xids_hv *hv, uint32_t owner, evtchn_port_t port);
XIDS_MUST_CHECK int xids_hv_evtchn_unmask(struct xids_hv *hv, uint32_t owner, evtchn_port_t port);

struct xids_hv_port {
    enum xids_evtchn_state state;
    uint32_t owner;            /* 0: nobody */
    domid_t remote;            /* unbound: who may bind; interdomain: the peer */
    evtchn_port_t remote_port; /* interdomain */
    unsigned int virq;
    bool queued, masked, latched;
};

/* About a port of domid, for anybody of that domain or privileged. A port not in use is XIDS_EVTCHN_CLOSED. */
XIDS_MUST_CHECK int xids_hv_evtchn_status(struct xids_hv *hv, struct xids_hv_port *status, domid_t caller,
                                          domid_t domid, evtchn_port_t port);

/* Closes all ports of a domain, whoever they belong to, as EVTCHNOP_reset. */
int xids_hv_evtchn_reset(struct xids_hv *hv, domid_t domid);

/* Raises a virq: of the whole machine (domid ignored), or of one domain. Not bound: nothing. */
int xids_hv_virq_raise(struct xids_hv *hv, domid_t domid, unsigned int virq);

/* ---- looking at all there is ---- */

enum xids_hv_kind {
    XIDS_HV_OWNER = 1u << 0,   /* id: of the owner */
    XIDS_HV_PORT = 1u << 1,    /* id: the port; remote */
    XIDS_HV_GRANT = 1u << 2,   /* id: the reference; remote; frame */
    XIDS_HV_MAP = 1u << 3,     /* id: of the map; remote: who granted; count of pages */
    XIDS_HV_FOREIGN = 1u << 4, /* the same for map_foreign */
    XIDS_HV_SHARE = 1u << 5,   /* id: of the share; remote; count */
    XIDS_HV_FRAME = 1u << 6,   /* id: the frame; count: how often it is mapped */
};

struct xids_hv_item {
    enum xids_hv_kind kind;
    domid_t domid; /* whose; XIDS_HV_DOMID_ANY: of a frame that outlived its domain or was given up */
    domid_t remote;
    uint32_t owner; /* 0: nobody */
    uint32_t id;
    uint32_t frame;
    uint32_t count;
};

/* Calls each for every item of the kinds (a mask) that there is, with the lock held. */
void xids_hv_each(struct xids_hv *hv, unsigned int kinds, void (*each)(void *ctx, const struct xids_hv_item *item),
                  void *ctx);

XIDS_END_DECLS

#endif
