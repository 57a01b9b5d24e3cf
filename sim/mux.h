/* SPDX-License-Identifier: ISC */
/*
 * The xenbus multiplexer: many local clients on a domain's one xenstore connection, as Linux's /dev/xen/xenbus does
 * for the processes of a guest. It is an engine without I/O: it takes the bytes that clients and the store send, and
 * gives back the bytes to send to each.
 *
 * To the store all clients are one: so request ids are replaced on the way out and restored on the way back, watch
 * tokens are made unique, and a transaction can be used only by the client that began it. When a client goes away its
 * transactions are aborted and its watches removed. XS_RESET_WATCHES touches the caller's own watches alone.
 *
 * Bounds: a client has at most XIDS_MUX_REQUESTS_MAX requests in flight (its further input waits); a client that
 * leaves more than XIDS_MUX_QUEUE_MAX bytes of replies and events unread is cut off, because the ring is shared and
 * cannot wait for it.
 */
#ifndef XIDS_SIM_MUX_H
#define XIDS_SIM_MUX_H

#include <xids/base.h>

#define XIDS_MUX_REQUESTS_MAX 16u
#define XIDS_MUX_QUEUE_MAX (1u << 20)

struct xids_mux;
struct xids_mux_client;

/* Makes a multiplexer without clients; alloc outlives it. NULL: no memory. free drops its clients too. */
struct xids_mux *xids_mux_new(const struct xids_alloc *alloc);
void xids_mux_free(struct xids_mux *m);

/* Adds a client; owner is handed back by xids_mux_client_owner. NULL: no memory. */
struct xids_mux_client *xids_mux_client_new(struct xids_mux *m, void *owner);
void *xids_mux_client_owner(const struct xids_mux_client *c);

/* The client is gone. What it leaves at the store is cleaned up by requests of the multiplexer's own. */
void xids_mux_client_gone(struct xids_mux_client *c);

/*
 * Takes bytes from a client. Returns how many it took: fewer than len when the client has too much in flight, the rest
 * is to be offered again after the store's next reply. -XEN_EBADMSG: not the xenstore protocol, cut the client off;
 * -XEN_ENOMEM: no memory, likewise.
 */
int xids_mux_client_input(struct xids_mux_client *c, const void *data, size_t len) XIDS_MUST_CHECK;

/* The bytes waiting for a client: *data is valid until the next call on the multiplexer. sent drops the first n. */
size_t xids_mux_client_output(const struct xids_mux_client *c, const uint8_t **data);
void xids_mux_client_sent(struct xids_mux_client *c, size_t n);

/* True when the client left too much unread, or memory ran out on its behalf: it is to be cut off. */
bool xids_mux_client_failed(const struct xids_mux_client *c);

/*
 * The same for the store's side of the ring. -XEN_EBADMSG: the store broke the protocol; -XEN_ENOMEM: a clean-up that
 * is owed to the store could not be queued. Nothing more will work after either.
 */
int xids_mux_store_input(struct xids_mux *m, const void *data, size_t len) XIDS_MUST_CHECK;
size_t xids_mux_store_output(const struct xids_mux *m, const uint8_t **data);
void xids_mux_store_sent(struct xids_mux *m, size_t n);

/* Calls each for every client, which it may remove. */
void xids_mux_each(struct xids_mux *m, void (*each)(void *ctx, struct xids_mux_client *c), void *ctx);

/* What is held now, over all clients: for tests of leaks and for `status`. */
struct xids_mux_counts {
    unsigned int clients, requests, transactions, watches;
};
void xids_mux_counts(const struct xids_mux *m, struct xids_mux_counts *counts);

#endif
