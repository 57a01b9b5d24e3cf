/* SPDX-License-Identifier: ISC */
/*
 * A service: vchans for many clients in many domains, who find it by its name. An engine without I/O, for daemons and
 * unikernels alike; vchan_open.h has the client for programs that block, vchan_meet.h the one for engines.
 *
 * For each domain that may come the service keeps one open offer at the customary place,
 * /local/domain/SERVER/data/vchan/CLIENT/NAME, readable by that domain alone. When a client has connected a fresh
 * offer, with other pages and another port, takes its place for the next client of that domain, up to a bound. Clients
 * of libxenvchan and of xids need nothing new; no transaction is used. docs/spec/vchan.md, section 5.
 *
 * With the rights of domain 0 the service follows the domains that come and go; without them it offers to those that it
 * was told of, and publishes again from time to time while nobody has come. Everything comes back by itself when the
 * store was restarted. What a service that was killed has left is replaced; of two that have one name one is refused,
 * and takes over when the other has ended.
 *
 * Everything happens in the steps of the struct xids_part, which the owner adds to his loop, beside the one that serves
 * the xenstore connection and that must want another turn at once when it has called anybody back. The owner's
 * functions are called from the steps and from suspend, fini and forbid; they may call poke and drop, and nothing else
 * here.
 *
 * Memory is the caller's; nothing is allocated. One thread.
 */
#ifndef XIDS_VCHAN_SERVICE_H
#define XIDS_VCHAN_SERVICE_H

#include <xids/loop.h>
#include <xids/vchan.h>
#include <xids/xs_client.h>

XIDS_BEGIN_DECLS

/* The longest name, in bytes without its NUL: what xenstore's longest relative path leaves. */
#define XIDS_VCHAN_SERVICE_NAME 2012u

/* The pauses between attempts in ns: never less than MIN, doubled up to MAX while they fail. */
#define XIDS_VCHAN_SERVICE_RETRY_MIN 10000000ull
#define XIDS_VCHAN_SERVICE_RETRY_MAX 10000000000ull

/* How often, in ns, an open channel's event channel is asked for: the death of a domain may leave no other trace. */
#define XIDS_VCHAN_SERVICE_LOOK 2000000000ull

/* How long, in ns, a client that goes has time to unmap the pages before they are given up. */
#define XIDS_VCHAN_SERVICE_LINGER 1000000000ull

/* How long, in ns, a service has time to answer another that claims its name. */
#define XIDS_VCHAN_SERVICE_CLAIM 1000000000ull

struct xids_vchan_service;

/* The bounds of a service. A field of 0 takes the default. */
struct xids_vchan_service_limits {
    uint16_t domains;  /* default 64 */
    uint16_t channels; /* in all, the open offers among them; default two for each domain */
    uint16_t
        per_domain;    /* of one domain at once, its open offer and those that it keeps mapped among them; default 8 */
    uint16_t name;     /* the longest name, at most XIDS_VCHAN_SERVICE_NAME; default 64 */
    uint16_t requests; /* of the store at once, at least 5; default 16 */
};

/* What the owner is told. Each may be NULL. xids_vchan_remote(ch) says whose channel it is. */
struct xids_vchan_service_user {
    /*
     * A channel was made, and will be published: the place to write what its client shall find. An error (negative)
     * takes it back; it is tried again later.
     */
    int (*offered)(void *ctx, struct xids_vchan *ch);
    /* A client has come. serve follows. */
    void (*opened)(void *ctx, struct xids_vchan *ch);
    /* As in struct xids_vchan_meet_user. */
    uint64_t (*serve)(void *ctx, struct xids_vchan *ch, uint64_t now);
    /*
     * The channel is about to go; told of each that offered has taken (or, without it, that was opened). rc: 0 the
     * client closed it, or none had come; -XEN_ENODEV its domain died; -XEN_EPERM it may not come any more; -XEN_EINTR
     * our domain will be suspended; what drop was given; or the error that broke it. reason: a sentence in static
     * memory.
     */
    void (*closed)(void *ctx, struct xids_vchan *ch, int rc, const char *reason);
    /*
     * There is no offer for a domain (DOMID_INVALID: for none), and why; told once until rc changes. It goes on trying.
     * -XEN_EADDRINUSE: another service in this domain has the name; -XEN_EBUSY: the domain has as many channels as one
     * may have; -XEN_ENOSPC: the store's quota, or too many domains or channels in all; -XEN_EACCES: this domain may
     * not do it.
     */
    void (*refused)(void *ctx, domid_t domid, int rc, const char *reason);
    void *ctx;
};

struct xids_vchan_service_config {
    struct xids_platform *platform;
    struct xids_xs_client *xs;                  /* must allow watched paths of name and 20 bytes more */
    const struct xids_vchan_service_user *user; /* the two above and this must outlive the object */
    struct xids_vchan_service_limits limits;
    const char *name;                     /* copied */
    bool everybody;                       /* every domain may come; else those of allow. Needs the rights of domain 0 */
    bool announce;                        /* write into each client's own tree where the service is. Needs the same */
    unsigned int left_order, right_order; /* as xids_vchan_server_init */
    unsigned int flags;                   /* enum xids_vchan_flags */
    uint64_t salt; /* anything that no other service has that may be started the same moment: a process id, for one */
};

/* The bytes of memory that a service of these limits needs, aligned for any type; 0: out of bounds. */
size_t xids_vchan_service_size(const struct xids_vchan_service_limits *limits);

/*
 * Makes the service in mem, which stays its own until fini. It begins with the first step of its part.
 * -XEN_EINVAL: limits, orders or flags, a name that xenstore does not take, or mem is too small or not aligned;
 * -XEN_ENAMETOOLONG.
 */
int xids_vchan_service_init(struct xids_vchan_service **service, void *mem, size_t size,
                            const struct xids_vchan_service_config *config) XIDS_MUST_CHECK;

/* The part for the loop. Suspending closes all channels; resuming begins anew. */
struct xids_part *xids_vchan_service_part(struct xids_vchan_service *s);

/*
 * Lets a domain come, which may not be there yet. 0, also when it was allowed; -XEN_ENOSPC: limits.domains;
 * -XEN_EINVAL: our own domain, or no domain's number.
 */
int xids_vchan_service_allow(struct xids_vchan_service *s, domid_t domid) XIDS_MUST_CHECK;

/* Closes the domain's channels, takes its offer back. Does nothing with a domain that was not allowed. */
void xids_vchan_service_forbid(struct xids_vchan_service *s, domid_t domid);

/* Begins the end: no more offers, channels are closed, and the store cleaned in the next steps. */
void xids_vchan_service_stop(struct xids_vchan_service *s);
/* After stop: nothing is left, here or in the store, or the store's connection is lost. Without it: false. */
bool xids_vchan_service_stopped(const struct xids_vchan_service *s);

/*
 * Gives everything back. Before stop has done its work the store is only asked for what fits into its connection at
 * once; the next service of this name removes the rest. The part must be out of the loop. NULL does nothing.
 */
void xids_vchan_service_fini(struct xids_vchan_service *s);

/* A pointer of the owner's that goes with the channel; NULL when offered, or opened, is called. */
void **xids_vchan_service_data(struct xids_vchan *ch);

/* Has serve called in the next step, when the channel is open. */
void xids_vchan_service_poke(struct xids_vchan *ch);

/* Has the channel closed in the next step, with rc and reason (in static memory) for closed. */
void xids_vchan_service_drop(struct xids_vchan *ch, int rc, const char *reason);

/* How many domains have an offer in the store, and how many channels are open. */
unsigned int xids_vchan_service_offers(const struct xids_vchan_service *s);
unsigned int xids_vchan_service_open(const struct xids_vchan_service *s);

XIDS_END_DECLS

#endif
