/* SPDX-License-Identifier: ISC */
/*
 * vchans that meet through xenstore, without blocking: one object keeps one channel up. It is for programs that are
 * nothing but engines (unikernels); vchan_open.h has the same meeting for programs that block.
 *
 * The server makes the channel and writes two nodes under a path, ring-ref and then event-channel, readable by the
 * client alone; when a client leaves it waits for the next, on the same pages if nothing lies unread in them. The
 * client watches event-channel, reads both numbers, passes over those of a dead server, and connects; when the channel
 * ends it begins again. Compatible with libxenvchan on either side; no transaction is used. docs/spec/vchan.md,
 * section 5.
 *
 * Everything happens in the steps of the object's struct xids_part, which the owner adds to his loop. The part that
 * serves the xenstore connection may stand before or behind it, but must want another turn at once when it has called
 * anybody back. The owner's functions are called from the steps and from suspend, and must neither end the object
 * nor suspend the loop: they are in the middle of a channel.
 *
 * What is in the store and in the channel is not trusted: what makes no sense is a refusal with a reason, tried again
 * with growing pauses. Memory is the caller's; nothing is allocated. One thread.
 */
#ifndef XIDS_VCHAN_MEET_H
#define XIDS_VCHAN_MEET_H

#include <xids/loop.h>
#include <xids/vchan.h>
#include <xids/xs_client.h>

XIDS_BEGIN_DECLS

/* The longest path, in bytes without its NUL. */
#define XIDS_VCHAN_MEET_PATH 224u

/* The pauses between attempts, in ns: never less than MIN, and doubled up to MAX while attempts fail by themselves. */
#define XIDS_VCHAN_MEET_RETRY_MIN 10000000ull
#define XIDS_VCHAN_MEET_RETRY_MAX 10000000000ull

/*
 * How often, in ns, an open channel's event channel is asked for: the death of a domain leaves no other trace. And how
 * soon a server gives its permissions again while no client has come (then twice as long, up to RETRY_MAX): those for
 * a domain that did not exist yet are void.
 */
#define XIDS_VCHAN_MEET_LOOK 2000000000ull

/* Server: how long, in ns, a client that goes has time to unmap the pages before they are given up. */
#define XIDS_VCHAN_MEET_LINGER 1000000000ull

/*
 * Server: of how many channels a client may keep the pages mapped although they were given up (the platform keeps such
 * pages aside). One more, and there is no other channel until the domain is suspended and resumed. The death of the
 * client's domain, when it is noticed, frees all.
 */
#define XIDS_VCHAN_MEET_HELD 8u

/* Server: so many clients may stay for a short time only, and the next one's turn is at once; then it has to wait. */
#define XIDS_VCHAN_MEET_QUICK 8u

struct xids_vchan_meet;

/* What the owner is told. Each may be NULL. */
struct xids_vchan_meet_user {
    /* The channel is open. serve follows. */
    void (*opened)(void *ctx, struct xids_vchan *ch);
    /*
     * Look at the channel: an event came, or the time that serve returned last, or poke was called. To be left with
     * xids_vchan_arm, so that the next news bring an event. When the peer has gone the channel is closed once
     * everything was read. Returns by when it wants to be called again (ns; 0: at once, after the others; UINT64_MAX).
     */
    uint64_t (*serve)(void *ctx, struct xids_vchan *ch, uint64_t now);
    /*
     * The channel is about to go, and with it what was not read. rc: 0 the peer closed it; -XEN_ENODEV its domain died;
     * -XEN_EINTR the domain will be suspended; what drop was given; or the error that broke it. reason: a sentence in
     * static memory.
     */
    void (*closed)(void *ctx, struct xids_vchan *ch, int rc, const char *reason);
    /*
     * There is no channel yet, and why; told once until rc changes. It goes on trying, except after -XEN_EBUSY of a
     * server (XIDS_VCHAN_MEET_HELD).
     */
    void (*refused)(void *ctx, int rc, const char *reason);
    void *ctx;
};

struct xids_vchan_meet_config {
    struct xids_platform *platform;
    struct xids_xs_client *xs;               /* must allow watched paths of path and 14 bytes more */
    const struct xids_vchan_meet_user *user; /* the two above and this must outlive the object */
    bool server;
    domid_t
        remote; /* the other end's domain; DOMID_INVALID, for a client with a name: the one that our own tree names */
    /*
     * Where to meet: path, absolute or relative to our own folder of the store; or, when it is NULL, the customary
     * place of name, /local/domain/SERVER/data/vchan/CLIENT/NAME, which follows us when our domid changes. Copied.
     */
    const char *path;
    const char *name;
    unsigned int left_order, right_order; /* server: as xids_vchan_server_init */
    unsigned int flags;                   /* enum xids_vchan_flags */
};

/* The bytes of memory that one object needs, aligned for any type. */
size_t xids_vchan_meet_size(void);

/*
 * Makes the object in mem, which stays its own until fini. It begins with the first step of its part.
 * -XEN_EINVAL: no path and no name, a path that xenstore does not take, or mem is too small or not aligned;
 * -XEN_ENAMETOOLONG.
 */
int xids_vchan_meet_init(struct xids_vchan_meet **meet, void *mem, size_t size,
                         const struct xids_vchan_meet_config *config) XIDS_MUST_CHECK;

/*
 * Closes the channel, gives everything back and, a server, asks the store to remove the nodes, with the folder at path
 * if it made that. The owner is not called. Its part must be out of the loop. NULL does nothing.
 */
void xids_vchan_meet_fini(struct xids_vchan_meet *m);

/* The part for the loop. Suspending closes the channel; resuming begins anew. */
struct xids_part *xids_vchan_meet_part(struct xids_vchan_meet *m);

/* The channel while it is open, from opened until closed has returned; else NULL. */
struct xids_vchan *xids_vchan_meet_channel(struct xids_vchan_meet *m);

/* Has serve called in the next step, when the channel is open. */
void xids_vchan_meet_poke(struct xids_vchan_meet *m);

/*
 * Has the channel closed in the next step, with rc and reason (in static memory) for closed, and no new one made for
 * delay ns. Does nothing when there is none. Meant for serve.
 */
void xids_vchan_meet_drop(struct xids_vchan_meet *m, int rc, const char *reason, uint64_t delay);

XIDS_END_DECLS

#endif
