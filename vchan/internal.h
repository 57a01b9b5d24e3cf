/* SPDX-License-Identifier: ISC */
/* What the files of the vchan core share: the channel's struct and the layout of the control page. */
#ifndef XIDS_VCHAN_INTERNAL_H
#define XIDS_VCHAN_INTERNAL_H

#include <xids/bytering.h>
#include <xids/vchan.h>

/* Offsets in the control page, in bytes. docs/spec/vchan.md explains each. */
enum {
    VCHAN_AT_LEFT = 0,  /* cons, prod */
    VCHAN_AT_RIGHT = 8, /* cons, prod */
    VCHAN_AT_LEFT_ORDER = 16,
    VCHAN_AT_RIGHT_ORDER = 18,
    VCHAN_AT_CLI_LIVE = 20,
    VCHAN_AT_SRV_LIVE = 21,
    VCHAN_AT_CLI_NOTIFY = 22, /* the server asks here, the client looks */
    VCHAN_AT_SRV_NOTIFY = 23, /* the client asks here, the server looks */
    VCHAN_AT_GRANTS = 24,
    VCHAN_AT_SMALL_RING = 1024,
    VCHAN_AT_LARGE_RING = 2048,
};

enum {
    VCHAN_ORDER_SMALL = 10,
    VCHAN_ORDER_LARGE = 11,
    VCHAN_ORDER_PAGE = 12,
};

/* The request bits. */
enum {
    VCHAN_NOTIFY_WRITE = 1, /* tell me when you have written */
    VCHAN_NOTIFY_READ = 2,  /* tell me when you have read */
};

/* The live bytes. */
enum {
    VCHAN_GONE = 0,
    VCHAN_LIVE = 1,
    VCHAN_NOT_YET = 2, /* cli_live only */
};

/* How long the blocking calls spin: see spin.c. */
struct vchan_pace {
    uint32_t limit;  /* ns; 0: never */
    uint32_t budget; /* of the next spin, ns; 0: none before rest is over */
    uint16_t rest;   /* sleeps until the next trial */
    uint16_t rests;  /* what rest begins with when a trial fails */
};

struct xids_vchan {
    struct xids_bytering in, out;
    const uint8_t XIDS_PEER *peer_live;
    uint8_t XIDS_PEER *own_live;
    uint8_t XIDS_PEER *ask;   /* where we ask the peer for notifications */
    uint8_t XIDS_PEER *asked; /* where the peer asks us */
    const struct xids_platform *platform;
    /* Who knows more of the peer's domain than the platform does: asked by the blocking calls from time to time. */
    enum xids_vchan_state (*look_after)(void *ctx);
    void *look_after_ctx;
    const char *reason;
    uint8_t XIDS_PEER *page;
    uint8_t XIDS_PEER *in_area, *out_area; /* the rings' own pages, or NULL */
    uint32_t in_batch, out_batch;          /* publish when so many bytes have gathered */
    uint32_t wiped;                        /* wipe: the index up to which what the peer has read is zeroed */
    int error;
    evtchn_port_t port;
    grant_ref_t ring_ref;
    struct vchan_pace pace;
    uint16_t in_pages, out_pages; /* of their own; 0 for a ring in the control page */
    domid_t remote;
    bool server;
    bool connected;  /* the peer has been seen alive */
    bool gone;       /* the peer has left: bytes known at that moment are the last */
    bool lost;       /* it left without closing */
    bool reoffered;  /* server: a live byte of 0 is from the client before */
    bool after_lost; /* and one of 1 too, until an event channel is bound again */
    bool wipe_in, wipe_out;
    bool woken;   /* the event that ended a blocking call's sleep is not taken yet */
    bool returns; /* the owner looks at the live byte: a peer that left can be followed by another without a reoffer */
};

/*
 * The bytes of a batch. A quarter of the ring: the peer works on one part while we fill the next, and what is measured
 * falls off with fewer parts (large messages) and with more (small rings, where publishing costs more than the copy).
 * Of a large ring less: publishing costs nothing beside copying 32 KiB, and the peer finds them in the cache.
 */
static inline uint32_t xids_vchan_batch_(const struct xids_bytering *r)
{
    return r->at.size / 4u < 32768u ? r->at.size / 4u : 32768u;
}

/* Breaks the channel; the first reason stays. Returns error. */
int xids_vchan_fail_(struct xids_vchan *ch, int error, const char *reason);

/* Zeroes len bytes of a ring from a free-running index on. */
void xids_vchan_wipe_(const struct xids_bytering_layout *at, uint32_t index, uint32_t len);

/* The two halves of fini. Says goodbye: from here on the peer sees the end, and nobody can connect. */
void xids_vchan_leave_(struct xids_vchan *ch);
/* Gives back what the channel holds so far. True: the peer still maps some of it, which the platform keeps aside. */
bool xids_vchan_give_back_(struct xids_vchan *ch);

/* Whether the event channel lost its other end. A platform that may not say (an unprivileged process) is no proof. */
bool xids_vchan_unbound_(const struct xids_vchan *ch);

/* Looks at the peer's live byte and producer, in this order. The bytes to read or an error. */
int xids_vchan_look_in_(struct xids_vchan *ch);
/* Looks at the peer's consumer. The room or an error. */
int xids_vchan_look_out_(struct xids_vchan *ch);

/* Whether there is a reason not to sleep: 1, 0 or an error. Looks at everything anew. */
int xids_vchan_ready_(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write);

/*
 * For callers that sleep if this returns 0: as xids_vchan_spin, for as long as it has been worth it of late, but no
 * longer than most (ns).
 */
int xids_vchan_pace_(struct xids_vchan *ch, uint32_t want_read, uint32_t want_write, uint64_t most);
/* And says how long the sleep was (ns) that an event ended. */
void xids_vchan_slept_(struct xids_vchan *ch, uint64_t ns);

#endif
