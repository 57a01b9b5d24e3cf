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

/*
 * The extension's area in the control page (docs/spec/vchan.md, section 10): a header, and a line for each side, which
 * only that side writes, in cache lines of their own. Offsets in bytes.
 */
enum {
    VCHAN_AT_EXTENSION_OUTSIDE = 3072, /* both rings have pages of their own */
    VCHAN_AT_EXTENSION_SMALL = 768,    /* a ring of order 10 is in the page */
    VCHAN_AT_EXTENSION_LARGE = 1536,   /* a ring of order 11, and none of order 10 */
    VCHAN_AT_SERVER_LINE = 64,         /* from the area's start */
    VCHAN_AT_CLIENT_LINE = 128,
};

/* Words of the header. */
enum {
    VCHAN_HEADER_MAGIC,
    VCHAN_HEADER_VERSION,
    VCHAN_HEADER_EPOCH,
};

/* Words of a line. */
enum {
    VCHAN_LINE_PROD,
    VCHAN_LINE_CONS,
    VCHAN_LINE_PROD_EVENT, /* the peer notifies when its producer index reaches this */
    VCHAN_LINE_CONS_EVENT, /* and its consumer index this */
    VCHAN_LINE_EPOCH,      /* the client's: which of the server's offers it took */
    VCHAN_LINE_FIN,        /* not 0: this side writes no more */
    VCHAN_LINE_PING,       /* questions asked */
    VCHAN_LINE_PONG,       /* the last of the peer's questions that was seen */
};

#define VCHAN_MAGIC 0x53444958u /* "XIDS" */
#define VCHAN_VERSION 1u

struct xids_vchan {
    struct xids_bytering in, out;
    uint32_t XIDS_PEER *header; /* of the extension; NULL: a client whose server has none, or one that was not to */
    const struct xids_platform *platform;
    /* Who knows more of the peer's domain than the platform does: asked by the blocking calls from time to time. */
    enum xids_vchan_state (*look_after)(void *ctx);
    void *look_after_ctx;
    const char *reason;
    uint8_t XIDS_PEER *page;
    uint8_t XIDS_PEER *in_area, *out_area; /* the rings' own pages, or NULL */
    uint32_t in_batch, out_batch;          /* publish when so many bytes have gathered */
    uint32_t wiped;                        /* wipe: the index up to which what the peer has read is zeroed */
    uint32_t epoch;                        /* the offer that is open, or taken */
    uint32_t prod_event, cons_event;       /* as in our line */
    uint32_t ping, pong;                   /* as in our line */
    uint32_t beat_in, beat_out;            /* the peer's indices at the last question */
    uint64_t asked_at;                     /* when it was asked, in ns */
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
    bool woken;    /* the event that ended a blocking call's sleep is not taken yet */
    bool returns;  /* the owner looks at the live byte: a peer that left can be followed by another without a reoffer */
    bool extended; /* both sides use the lines */
    bool mirror;   /* server: no client has been seen yet; our indices go to both places */
    bool ended;    /* the peer writes no more: bytes known at that moment are the last */
    bool shut;     /* we write no more */
    bool pending;  /* a question is unanswered */
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

/* Places in the page are worked out when needed: a pointer to each counts where there are thousands of channels. */
static inline const uint8_t XIDS_PEER *xids_vchan_peer_live_(const struct xids_vchan *ch)
{
    return ch->page + (ch->server ? VCHAN_AT_CLI_LIVE : VCHAN_AT_SRV_LIVE);
}

/* Where the peer asks us for notifications. */
static inline uint8_t XIDS_PEER *xids_vchan_asked_(const struct xids_vchan *ch)
{
    return ch->page + (ch->server ? VCHAN_AT_SRV_NOTIFY : VCHAN_AT_CLI_NOTIFY);
}

static inline uint8_t XIDS_PEER *xids_vchan_own_live_(const struct xids_vchan *ch)
{
    return ch->page + (ch->server ? VCHAN_AT_SRV_LIVE : VCHAN_AT_CLI_LIVE);
}

/* Where we ask the peer for notifications. */
static inline uint8_t XIDS_PEER *xids_vchan_ask_(const struct xids_vchan *ch)
{
    return ch->page + (ch->server ? VCHAN_AT_CLI_NOTIFY : VCHAN_AT_SRV_NOTIFY);
}

/* Only where there is a header. */
static inline uint32_t XIDS_PEER *xids_vchan_own_line_(const struct xids_vchan *ch)
{
    return ch->header + (ch->server ? VCHAN_AT_SERVER_LINE : VCHAN_AT_CLIENT_LINE) / sizeof(uint32_t);
}

static inline uint32_t XIDS_PEER *xids_vchan_peer_line_(const struct xids_vchan *ch)
{
    return ch->header + (ch->server ? VCHAN_AT_CLIENT_LINE : VCHAN_AT_SERVER_LINE) / sizeof(uint32_t);
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

/* Publishes one direction's index. True: it moved. */
bool xids_vchan_publish_(struct xids_vchan *ch, struct xids_bytering *r);
/* After publishing: notifies the peer if it asked to be for one of the indices, which were old_out and old_in before.
 */
int xids_vchan_kick_(struct xids_vchan *ch, uint32_t old_out, uint32_t old_in);
/* Notifies the peer. 0, or the error that breaks the channel. */
int xids_vchan_notify_(struct xids_vchan *ch);

/* ---- extension.c ---- */

/* Where a pair of orders leaves room for the area, in bytes from the page's start; 0: nowhere. */
size_t xids_vchan_extension_at_(unsigned int left_order, unsigned int right_order);
/* Points the rings' indices at the lines. */
void xids_vchan_use_lines_(const struct xids_vchan *ch, struct xids_bytering_layout *in,
                           struct xids_bytering_layout *out);
/* Server: offers the lines, with the indices as they stand, before a client can come; and for the next client. */
void xids_vchan_offer_(struct xids_vchan *ch);
void xids_vchan_offer_again_(struct xids_vchan *ch);
/* Server: until the next offer the lines are nobody's: its client does not know them. */
void xids_vchan_withdraw_offer_(struct xids_vchan *ch);
/* Server, no client seen: whether one has taken the orders away and died before it was there. */
bool xids_vchan_stillborn_(const struct xids_vchan *ch);
/* Server: uses the lines from now on if the client has taken the offer. Whether it has. */
bool xids_vchan_adopt_(struct xids_vchan *ch);
/* Client: whether there is an offer; takes it. */
bool xids_vchan_find_offer_(struct xids_vchan *ch);
void xids_vchan_take_offer_(struct xids_vchan *ch);
/* Client: gives the orders back that it took away with an offer that was no longer the server's. */
void xids_vchan_leave_offer_(struct xids_vchan *ch);
/* Client: whether the offer that it took is still the server's. */
bool xids_vchan_offered_(const struct xids_vchan *ch);
/* Sets what the peer is to wake us for. */
void xids_vchan_ask_events_(struct xids_vchan *ch, uint32_t prod_event, uint32_t cons_event);
/* Answers the peer's question, if there is one, and sees whether a server has given us up. */
void xids_vchan_answer_(struct xids_vchan *ch);

/* As xids_vchan_check_peer, but for a server that waits for its client. */
enum xids_vchan_state xids_vchan_look_at_port_(struct xids_vchan *ch);

/* Looks at the peer's live byte and producer, in this order. The bytes to read or an error. */
int xids_vchan_look_in_(struct xids_vchan *ch);
/* The bytes to read, looking only when fewer than want are known. */
int xids_vchan_incoming_(struct xids_vchan *ch, uint32_t want);
/* The room to write, or why there is no sense in writing. */
int xids_vchan_outgoing_(struct xids_vchan *ch, uint32_t want);
/* What a reader is told who has read everything: 0, nothing now, or the end. */
int xids_vchan_drained_(const struct xids_vchan *ch);
/* And who waits for more than the n bytes that there are. */
int xids_vchan_short_(const struct xids_vchan *ch, int n);
/* After bytes went into the ring. They are there whatever the notification says: an error shows at the next call. */
void xids_vchan_wrote_(struct xids_vchan *ch);
/*
 * After n bytes were taken out of the ring. A peer that asked for room is not served before a batch is there: it would
 * be woken for a few bytes.
 */
void xids_vchan_took_(struct xids_vchan *ch, uint32_t n);

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
