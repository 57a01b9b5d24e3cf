/* SPDX-License-Identifier: ISC */
/* What the files of the blocking xenstore client share: see xids/xs.h for what it is. */
#ifndef XENSTORE_XS_INTERNAL_H
#define XENSTORE_XS_INTERNAL_H

#include <sys/queue.h>
#include <xids/xs.h>

struct xsb_watch;

struct xsb_event {
    TAILQ_ENTRY(xsb_event) entry;
    struct xsb_watch *watch;
    char path[];
};

struct xsb_watch {
    TAILQ_ENTRY(xsb_watch) entry;
    struct xids_xs *xs;
    const void *token;
    uint32_t id;
    unsigned int waiting; /* events of this watch in the queue */
    bool summed;          /* they are replaced by one, summary, for all that happened */
    bool pending;         /* not answered for the first time */
    int refused;          /* the store's error; the engine has no such watch any more */
    struct xsb_event *summary;
    char path[];
};

struct xids_xs {
    struct xids_xs_client *client;
    char *path; /* what to open at reconnect, or NULL */
    int fd;
    bool device;    /* Xen's device file: one write, one message */
    bool blocked;   /* the descriptor took no more at the last attempt */
    uint32_t whole; /* bytes left of the message whose first part the device has taken */
    unsigned int timeout_ms;
    int watch_lost; /* a watch was refused after a reconnect, and the user does not know yet */
    TAILQ_HEAD(, xsb_watch) watches;
    TAILQ_HEAD(xsb_events, xsb_event) events;
    struct xsb_event *shown; /* what next_event gave last */
    struct xsb_watch *shown_watch;
};

/* A request's answer, with a copy of the payload and a NUL after it when it is wanted. */
struct xsb_reply {
    bool done, keep;
    int rc;
    char *data; /* malloc'ed; the caller frees it */
    uint32_t len;
};

/* Makes a request and waits for its answer, which is rep->rc, returned too. */
int xsb_call(struct xids_xs *xs, struct xsb_reply *rep, uint32_t type, uint32_t tx,
             const struct xids_xswire_part *parts, unsigned int count);

/* Moves bytes; waits for more until the deadline (ns, UINT64_MAX: never) when nothing is there. 0, or the error. */
int xsb_wait(struct xids_xs *xs, uint64_t deadline);

/* Writes what is queued, as far as the descriptor takes it. */
void xsb_flush(struct xids_xs *xs);

/* ns of CLOCK_MONOTONIC; and when a call that begins now runs out of time. */
uint64_t xsb_now(void);
uint64_t xsb_deadline(const struct xids_xs *xs);

/* Forgets all watches and events. */
void xsb_watches_free(struct xids_xs *xs);

#endif
