/* SPDX-License-Identifier: ISC */
/* What the files of the xenstore client's engine share: see xids/xs_client.h for what it is. */
#ifndef XENSTORE_CLIENT_INTERNAL_H
#define XENSTORE_CLIENT_INTERNAL_H

#include <xids/xs_client.h>

#define XSC_NONE 0xffffu

enum xsc_request_state {
    XSC_REQ_FREE,
    XSC_REQ_LIVE,
    XSC_REQ_DEAD,   /* timed out or cancelled: the reply is still to come, nobody waits for it */
    XSC_REQ_ORPHAN, /* its connection is gone: about to be completed with c->ending */
};

struct xsc_request {
    xids_xs_reply_fn *fn;
    void *ctx;
    uint64_t deadline;
    uint32_t type;
    uint16_t serial; /* upper half of the req_id, so that a late reply does not meet the slot's next user */
    uint16_t next;   /* in the list of free slots */
    enum xsc_request_state state;
};

enum xsc_watch_state {
    XSC_WATCH_FREE,
    XSC_WATCH_WANTED,   /* to be registered */
    XSC_WATCH_SENT,     /* WATCH is outstanding */
    XSC_WATCH_READY,    /* registered */
    XSC_WATCH_UNWANTED, /* to be unregistered */
    XSC_WATCH_LEAVING,  /* UNWATCH is outstanding */
};

struct xsc_watch {
    xids_xs_watch_fn *fn;
    void *ctx;
    char *path;
    uint16_t serial; /* upper half of the watch's id, which in decimal is its token */
    enum xsc_watch_state state;
};

enum xsc_tx_state {
    XSC_TX_FREE,
    XSC_TX_WANTED,     /* START is to be sent */
    XSC_TX_STARTING,   /* START is outstanding */
    XSC_TX_OPEN,       /* the body is at work */
    XSC_TX_LOST,       /* the body is at work, the connection of its transaction is gone */
    XSC_TX_COMMIT,     /* END(T) is to be sent */
    XSC_TX_COMMITTING, /* END(T) is outstanding */
    XSC_TX_ABORT,      /* the same with END(F) */
    XSC_TX_ABORTING,
};

struct xids_xs_tx {
    struct xids_xs_client *client;
    xids_xs_tx_body_fn *body;
    xids_xs_tx_done_fn *done;
    void *ctx;
    uint32_t id;      /* what the user sees: ours, so that an id of a lost connection is never taken for a new one */
    uint32_t wire_id; /* the store's */
    unsigned int tries;
    int rc; /* what the body aborted with */
    enum xsc_tx_state state;
};

struct xids_xs_client {
    struct xids_xs_client_limits limits;
    struct xsc_request *requests;
    struct xsc_watch *watches;
    struct xids_xs_tx *txs;
    struct xids_xswire_parser parser;
    uint8_t *parse_buffer;
    uint8_t *out; /* bytes out_head to out_tail wait to be sent */
    uint32_t out_head, out_tail;
    uint64_t now, timeout, next_deadline;
    const char *reason;
    xids_xs_event_fn *event_fn; /* takes all events, or NULL */
    void *event_ctx;
    int error;
    int ending;            /* what orphans complete with */
    unsigned int busy;     /* request slots not free */
    unsigned int wants;    /* watches and transactions that wait for a request slot */
    uint16_t free_request; /* list of free slots */
    uint16_t tx_serial;
};

/* Queues one request. As xids_xs_client_request, but tx is the store's own id, and no timeout when patient. */
int xids_xsc_send(struct xids_xs_client *c, uint32_t type, uint32_t tx, const struct xids_xswire_part *parts,
                  unsigned int count, xids_xs_reply_fn *fn, void *ctx, bool patient);

/* Sends what watches and transactions want, as far as there is room. */
void xids_xsc_flush(struct xids_xs_client *c);

/* Watches: queue what is wanted (false: no room); a new connection comes, or none for now; an event came. */
bool xids_xsc_watch_flush(struct xids_xs_client *c);
void xids_xsc_watch_disconnected(struct xids_xs_client *c);
void xids_xsc_watch_event(struct xids_xs_client *c, const char *payload, uint32_t len);

/* The callbacks of the watches' own requests, which carry no promise to anybody. */
void xids_xsc_watch_reply(void *ctx, int rc, const void *payload, uint32_t len);
void xids_xsc_unwatch_reply(void *ctx, int rc, const void *payload, uint32_t len);

/*
 * Transactions: the same; before the orphans are completed each open one is marked lost, after it what never got on
 * the wire ends with rc; all: also those whose body is at work.
 */
bool xids_xsc_tx_flush(struct xids_xs_client *c);
void xids_xsc_tx_disconnected(struct xids_xs_client *c);
void xids_xsc_tx_end_all(struct xids_xs_client *c, int rc, bool all);

/* Sets *wire to what the store calls a transaction; -XEN_ENOTCONN: it is lost. */
int xids_xsc_tx_translate(const struct xids_xs_client *c, uint32_t *wire, uint32_t id);

#endif
