/* SPDX-License-Identifier: ISC */
/*
 * Many vchans in one event loop: thousands of channels on one platform, so on one event-channel handle and one file
 * descriptor. The set takes pending ports, finds the channel of each, asks the peers for events before it says "sleep",
 * looks after peers that may have died, and gives its owner one channel after the other that can go on.
 *
 *     for (;;) {
 *         while ((rc = xids_vchan_set_next(&set, &m, now)) > 0)
 *             read, write, ... on m->ch, as much or as little as you like
 *         sleep until an event is pending or the clock reaches xids_vchan_set_deadline(&set)
 *     }
 *
 * "Sleep" is the platform's wait, or poll on xids_platform_xen_event_fd with the time that is left, which may be none.
 *
 * It is level-triggered: a channel is returned in every turn in which at least want_read bytes can be read or
 * want_write written, or that has ended or broken and is still in the set. So nothing is lost by stopping halfway; and
 * who wants to hear no more of a channel says so (want with 0, 0) or takes it out. A server's channel is also
 * returned once when its client comes. Being returned is a hint: a call may still say -XEN_EAGAIN.
 *
 * A turn returns each channel at most once, in the order in which they became ready, and takes a bounded number of
 * events, at most one of each channel: a peer that floods us gets its turn and no more.
 *
 * This is core: nothing is allocated, a member is the owner's memory. One thread for a set and all its channels.
 *
 * The set knows nothing of xenstore: for channels of vchan_open.h that have no client yet, call xids_vchan_link_check
 * from time to time all the same.
 *
 * A suspended domain loses all its channels: before it, take all out (xids_vchan_set_any) and end them; after it, make
 * them anew.
 */
#ifndef XIDS_VCHAN_SET_H
#define XIDS_VCHAN_SET_H

#include <xids/vchan.h>

XIDS_BEGIN_DECLS

/* How many events a turn takes at most. */
#define XIDS_VCHAN_SET_EVENTS 64u
/* How many peers it asks the platform about at a time, and how often in a second at most: 128 hypercalls a second. */
#define XIDS_VCHAN_SET_SLICE 32u
#define XIDS_VCHAN_SET_SLICES 4u

enum xids_vchan_set_flags {
    /*
     * Pending ports are taken by the owner, whose platform has other ports too, and given by xids_vchan_set_event:
     * as in a part of <xids/loop.h>, whose step is one turn and returns the deadline.
     */
    XIDS_VCHAN_SET_GIVEN = 1u << 0,
};

/* A channel's place in a set. Read ch, user and state at will; only the functions below write them. */
struct xids_vchan_member {
    struct xids_vchan *ch;
    void *user;
    struct xids_vchan_member *chain;       /* the set's own, as all below: of the same bucket */
    struct xids_vchan_member *next, *prev; /* in the queue */
    uint32_t want_read, want_write;
    evtchn_port_t port;
    uint8_t state; /* an enum xids_vchan_state, as it was when the set last looked */
    uint8_t told;  /* the state that the owner knows of */
    uint8_t queue; /* 1, 2: in queue 0, 1; 0: in none */
    bool fired;    /* its port was taken, and is masked */
};

struct xids_vchan_queue {
    struct xids_vchan_member *first, *last;
};

/* Read its fields at will; only the functions below write them. */
struct xids_vchan_set {
    const struct xids_platform *platform;
    struct xids_vchan_member **buckets;
    unsigned int mask; /* the number of buckets less one */
    unsigned int flags;
    unsigned int members;
    /* Members to be looked at: queue[now] in this turn, the other in the next. Who is in neither is asleep. */
    struct xids_vchan_queue queue[2];
    unsigned int now;
    bool in_turn;
    bool more; /* the turn ended at its bound of events */
    struct xids_vchan_member *sweep_at;
    uint64_t sweep_due; /* 0: not known yet */
    uint64_t patience;  /* 0: no heartbeat */
    uint64_t strays;    /* events of ports that no member has; such a port stays masked */
};

/*
 * Makes an empty set of channels on platform. buckets: count pointers, the set's until it is no longer used; count is
 * a power of two. A port is found in one step when there are at least as many buckets as members; fewer make it slower
 * and nothing else. flags: enum xids_vchan_set_flags.
 * Returns 0; -XEN_EINVAL: count, flags.
 */
int xids_vchan_set_init(struct xids_vchan_set *set, const struct xids_platform *platform,
                        struct xids_vchan_member **buckets, unsigned int count, unsigned int flags) XIDS_MUST_CHECK;

/*
 * Adds a channel, open or waiting for its client. member stays the caller's, need not be initialised, and stays in
 * place until removed; the channel too, which must be removed before xids_vchan_fini. user is for the caller.
 * want_read, want_write: for how many bytes to be woken, up to the size of the ring; 0: not for these.
 * Allowed while a turn is under way: it is looked at in the next.
 * Returns 0; -XEN_EEXIST: it is in the set; -XEN_EMSGSIZE: more than the ring holds; -XEN_EINVAL: of another platform.
 */
int xids_vchan_set_add(struct xids_vchan_set *set, struct xids_vchan_member *member, struct xids_vchan *ch, void *user,
                       uint32_t want_read, uint32_t want_write) XIDS_MUST_CHECK;

/*
 * Changes what a member waits for. Between two turns too, and then a turn must come before the next sleep, as the
 * deadline, then 0, says. Returns 0; -XEN_EMSGSIZE, and nothing is changed.
 */
int xids_vchan_set_want(struct xids_vchan_set *set, struct xids_vchan_member *member, uint32_t want_read,
                        uint32_t want_write) XIDS_MUST_CHECK;

/* Takes a member out. Allowed while a turn is under way, also for the one just returned and for any other. */
void xids_vchan_set_remove(struct xids_vchan_set *set, struct xids_vchan_member *member);

/* Some member, or NULL: for taking them out one after the other. */
struct xids_vchan_member *xids_vchan_set_any(const struct xids_vchan_set *set);

/*
 * The next channel of this turn that can go on, or that has news. now: the platform's clock (ns).
 * Returns 1 and sets *member; 0: the turn is over, the peers of all channels that wait are asked to wake us, look at
 * the deadline and sleep; or the platform's error from taking events.
 */
int xids_vchan_set_next(struct xids_vchan_set *set, struct xids_vchan_member **member, uint64_t now) XIDS_MUST_CHECK;

/*
 * When the next turn is wanted if no event comes before (ns, the platform's clock). UINT64_MAX: never. 0: at once, for
 * there are channels that can go on, or the turn is not over.
 */
uint64_t xids_vchan_set_deadline(const struct xids_vchan_set *set);

/*
 * With XIDS_VCHAN_SET_GIVEN: a port was taken, and is masked. True: it is a member's; the set will unmask it.
 * False: not ours, and nothing was done.
 */
bool xids_vchan_set_event(struct xids_vchan_set *set, evtchn_port_t port);

/*
 * From now on asks the peers that it looks after for a sign of life too, by xids_vchan_heartbeat: one that gives none
 * for patience (ns, some seconds) ends as if its domain had died. A peer is asked once a second; of more than 128
 * channels, by 128 a second in turn. Peers that do not speak the extension are not asked. 0: no more.
 */
void xids_vchan_set_heartbeat(struct xids_vchan_set *set, uint64_t patience);

/*
 * Says that a domain is gone, which the owner knows from xenstore: all open channels to it end as by
 * xids_vchan_peer_died, and are returned. A server's channel that still waits for a client is left as it is.
 * Looks at every member. Returns how many it ended.
 */
unsigned int xids_vchan_set_domain_gone(struct xids_vchan_set *set, domid_t domid);

XIDS_END_DECLS

#endif
