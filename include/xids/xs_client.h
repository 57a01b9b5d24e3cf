/* SPDX-License-Identifier: ISC */
/*
 * The xenstore client's engine: requests, watches and transactions over one connection, without I/O.
 *
 * The owner moves bytes: what comes from the store goes into xids_xs_client_input in chunks of any size, what
 * xids_xs_client_output shows is to be sent. struct xids_xs_ring (below) does that over a domain's xenstore page;
 * <xids/xs.h> does it over sockets and device files, with blocking calls on top.
 *
 * Requests are pipelined: many can be outstanding, each with its own callback, called exactly once, from inside
 * input, tick, reset, fail or fini, never from inside the call that made the request. Callbacks may call everything
 * here except input, reset and fini.
 *
 * What a callback is told (rc), besides the store's own errors (-XEN_ENOENT, -XEN_EACCES, ...):
 *   -XEN_ENOTCONN   the connection was reset, or the client ended, before the reply came: the store may or may not
 *                   have carried the request out
 *   -XEN_ETIMEDOUT  the request's deadline passed; the same uncertainty
 *   -XEN_EBADMSG    the store broke the protocol; xids_xs_client_reason says how
 *
 * A protocol error is sticky: everything outstanding completes with it, and calls return it until reset.
 *
 * No malloc: memory is the caller's, sized by xids_xs_client_size. One thread. Wire format: io/xs_wire.h and
 * Xen's docs/misc/xenstore.txt.
 */
#ifndef XIDS_XS_CLIENT_H
#define XIDS_XS_CLIENT_H

#include <xids/bytering.h>
#include <xids/platform.h>
#include <xids/xswire.h>

XIDS_BEGIN_DECLS

struct xids_xs_client;

/* The bounds of a client. A field of 0 takes the default. */
struct xids_xs_client_limits {
    uint16_t requests;     /* outstanding at once, 1 to 32768; default 32 */
    uint16_t watches;      /* default 32 */
    uint16_t transactions; /* run by xids_xs_client_transaction at once; default 4 */
    uint16_t watch_path;   /* the longest watched path in bytes without its NUL, at most 3071; default 255 */
    uint32_t out_bytes;    /* bytes that wait to be sent, at least 4112 (one message); default 8192 */
};

/* Bytes of memory for a client of these limits (NULL: all defaults), or 0 when a limit is out of bounds. */
size_t xids_xs_client_size(const struct xids_xs_client_limits *limits);

/*
 * Makes a client in mem, of size bytes, aligned for any type. The memory is the client's until fini.
 * -XEN_EINVAL: a limit out of bounds; -XEN_ENOMEM: size is too small.
 */
int xids_xs_client_init(struct xids_xs_client **client, void *mem, size_t size,
                        const struct xids_xs_client_limits *limits) XIDS_MUST_CHECK;

/* Ends the client: everything outstanding completes with -XEN_ENOTCONN. Nothing is sent. NULL does nothing. */
void xids_xs_client_fini(struct xids_xs_client *c);

/* ---- bytes in and out ---- */

/* Takes len bytes that came from the store, all of them, and calls back. 0, or the sticky -XEN_EBADMSG. */
int xids_xs_client_input(struct xids_xs_client *c, const void *data, size_t len) XIDS_MUST_CHECK;

/*
 * Shows the next contiguous bytes to send: sets *span, returns its length, 0 when there is nothing. Valid until the
 * next call. After the owner has sent n of them it says so with _sent; n beyond the span is taken as the span.
 */
size_t xids_xs_client_output(struct xids_xs_client *c, const uint8_t **span);
void xids_xs_client_sent(struct xids_xs_client *c, size_t n);

/*
 * A new connection stands in place of the old one (the daemon was restarted, the domain was resumed): half messages
 * and unsent bytes are forgotten, the sticky error is cleared, outstanding requests complete with -XEN_ENOTCONN,
 * and every watch is registered again.
 */
void xids_xs_client_reset(struct xids_xs_client *c);

/*
 * Breaks the client with an error of the owner's: the transport failed (rc: a negative errno; reason: a string that
 * stays). Everything outstanding completes with rc. A client that is broken already keeps its first error.
 */
void xids_xs_client_fail(struct xids_xs_client *c, int rc, const char *reason);

/* The sticky error, or 0; and in words ("" when there is none): a constant string. */
int xids_xs_client_error(const struct xids_xs_client *c);
const char *xids_xs_client_reason(const struct xids_xs_client *c);

/*
 * Time is optional. A request made after _timeout(ns > 0) must be answered within ns of the last tick's now; tick
 * completes with -XEN_ETIMEDOUT those that were not. _deadline is when tick has work next (UINT64_MAX: never).
 */
void xids_xs_client_timeout(struct xids_xs_client *c, uint64_t ns);
void xids_xs_client_tick(struct xids_xs_client *c, uint64_t now);
uint64_t xids_xs_client_deadline(const struct xids_xs_client *c);

/* ---- requests ----
 * Each returns 0 when the request was queued: the callback will come. Otherwise the callback will not come:
 *   -XEN_EBUSY  too many requests outstanding, or too many bytes unsent: try again after input or sent
 *   -XEN_E2BIG  the payload would exceed XENSTORE_PAYLOAD_MAX
 *   or the sticky error
 * tx is 0 or the id of a transaction; -XEN_ENOTCONN: that transaction went with its connection. Arguments are copied.
 * fn may be NULL when the reply is of no interest.
 */

/* The reply. rc: 0 and the payload, which is valid only during the call; else a negative errno and no payload. */
typedef void xids_xs_reply_fn(void *ctx, int rc, const void *payload, uint32_t len);

/* Any request: type is an enum xsd_sockmsg_type; the payload is the parts, one after the other (none: one NUL). */
int xids_xs_client_request(struct xids_xs_client *c, uint32_t type, uint32_t tx, const struct xids_xswire_part *parts,
                           unsigned int count, xids_xs_reply_fn *fn, void *ctx) XIDS_MUST_CHECK;

/* payload: the value, without a NUL added. */
int xids_xs_client_read(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
    XIDS_MUST_CHECK;

/* payload: names, each with its NUL. A directory too big for one message gives -XEN_E2BIG: then directory_part. */
int xids_xs_client_directory(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
    XIDS_MUST_CHECK;

/* payload: a generation number with its NUL, then names from byte offset of the whole list; an extra NUL ends the last.
 */
int xids_xs_client_directory_part(struct xids_xs_client *c, uint32_t tx, const char *path, uint32_t offset,
                                  xids_xs_reply_fn *fn, void *ctx) XIDS_MUST_CHECK;

/* payload of these: nothing of interest. len bytes of value, which may be none; a NUL in the value is just a byte. */
int xids_xs_client_write(struct xids_xs_client *c, uint32_t tx, const char *path, const void *value, uint32_t len,
                         xids_xs_reply_fn *fn, void *ctx) XIDS_MUST_CHECK;
int xids_xs_client_mkdir(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
    XIDS_MUST_CHECK;
int xids_xs_client_rm(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
    XIDS_MUST_CHECK;

/* Permissions on the wire: "n3\0r5\0", the owner first. len bytes of perms, its last NUL included. */
int xids_xs_client_get_perms(struct xids_xs_client *c, uint32_t tx, const char *path, xids_xs_reply_fn *fn, void *ctx)
    XIDS_MUST_CHECK;
int xids_xs_client_set_perms(struct xids_xs_client *c, uint32_t tx, const char *path, const char *perms, uint32_t len,
                             xids_xs_reply_fn *fn, void *ctx) XIDS_MUST_CHECK;

/* payload: "/local/domain/N", with its NUL or (old daemons) without. */
int xids_xs_client_get_domain_path(struct xids_xs_client *c, domid_t domid, xids_xs_reply_fn *fn, void *ctx)
    XIDS_MUST_CHECK;

/*
 * Gives up on the requests whose callback is fn with ctx: the callbacks will not come. The requests stay counted
 * as outstanding until the store answers. Returns how many there were.
 */
unsigned int xids_xs_client_cancel(struct xids_xs_client *c, xids_xs_reply_fn *fn, void *ctx);

/* Requests that the store has not answered yet, cancelled and timed out ones included. */
unsigned int xids_xs_client_outstanding(const struct xids_xs_client *c);

/* ---- watches ---- */

enum xids_xs_watch_what {
    XIDS_XS_WATCH_FIRED = 0, /* something at or below the path changed, or the watch is new */
    XIDS_XS_WATCH_READY = 1, /* the store has taken the watch; again after each reset; a FIRED follows */
};

/*
 * what: an enum xids_xs_watch_what, or the negative error with which the store refused the watch, which is then gone
 * (-XEN_EEXIST is no refusal: the store still has it from before the connection was reset).
 * path: what changed, valid during the call; for all but FIRED the watched path. ctx is the user's token.
 */
typedef void xids_xs_watch_fn(void *ctx, int what, const char *path);

/*
 * Watches a path, which is copied; *id names the watch until unwatch or its refusal, across resets. Works at any
 * time, broken or not: the watch is registered when there is room and a connection. A FIRED can be one too many,
 * never one too few. -XEN_ENOSPC: no watch free; -XEN_ENAMETOOLONG: the path is longer than limits.watch_path.
 */
int xids_xs_client_watch(struct xids_xs_client *c, uint32_t *id, const char *path, xids_xs_watch_fn *fn, void *ctx)
    XIDS_MUST_CHECK;

/* Ends a watch: its callback comes no more, from now on. Allowed in any callback. -XEN_ENOENT: no such watch. */
int xids_xs_client_unwatch(struct xids_xs_client *c, uint32_t id);

/*
 * An event as it came: payload is a path and a token, each with its NUL, and perhaps more strings; valid during the
 * call. A callback that cannot keep it breaks the client with xids_xs_client_fail.
 */
typedef void xids_xs_event_fn(void *ctx, const char *payload, uint32_t len);

/*
 * For owners that register watches themselves, with requests and tokens of their own: fn gets every event from now on,
 * and xids_xs_client_watch must not be used. An event of fewer than two strings breaks the client before that.
 */
void xids_xs_client_own_events(struct xids_xs_client *c, xids_xs_event_fn *fn, void *ctx);

/* ---- transactions ---- */

struct xids_xs_tx;

/*
 * The work of one transaction: called with a transaction that has begun, makes requests with xids_xs_tx_id(tx), and
 * sooner or later, from here or from a reply's callback, calls _commit or _abort exactly once. It is run again from
 * the start when the store saw a conflict (-XEN_EAGAIN), so it must not change anything outside the store.
 */
typedef void xids_xs_tx_body_fn(void *ctx, struct xids_xs_tx *tx);

/* rc: 0 committed; -XEN_EAGAIN: conflicts in each of the tries; what _abort was given; or why it could not be done. */
typedef void xids_xs_tx_done_fn(void *ctx, int rc);

/*
 * Runs body in a transaction, at most tries times (1 or more), then calls done, once. If the connection is reset
 * before the commit was sent the body is run again; a commit that was sent and lost gives done -XEN_ENOTCONN.
 * done comes from where replies' callbacks come from, and, when the connection is broken, from inside _commit or
 * _abort. tx is no more after done, and after fini.
 * -XEN_EBUSY: as many transactions run as the limits allow.
 */
int xids_xs_client_transaction(struct xids_xs_client *c, unsigned int tries, xids_xs_tx_body_fn *body,
                               xids_xs_tx_done_fn *done, void *ctx) XIDS_MUST_CHECK;

uint32_t xids_xs_tx_id(const struct xids_xs_tx *tx);
void xids_xs_tx_commit(struct xids_xs_tx *tx);

/* rc: a negative errno for done; with -XEN_EAGAIN or -XEN_ENOTCONN the body is run again while tries are left. */
void xids_xs_tx_abort(struct xids_xs_tx *tx, int rc);

/* ---- over a domain's xenstore page ---- */

/* The guest's side of a xenstore page. Read its fields at will; only the functions below write them. */
struct xids_xs_ring {
    struct xids_xs_client *client;
    struct xids_platform *platform;
    void XIDS_PEER *page;
    struct xids_bytering requests, replies;
    evtchn_port_t port;
    bool attached, reconnecting;
};

/* Joins a client and a page (io/xs_wire.h), with the port on which the store is notified. -XEN_EBADMSG: bad indices. */
int xids_xs_ring_init(struct xids_xs_ring *r, struct xids_xs_client *c, struct xids_platform *p, void XIDS_PEER *page,
                      evtchn_port_t port) XIDS_MUST_CHECK;

/*
 * Moves what can be moved both ways, calling back, and notifies the store if anything moved. To be called when the
 * port fired (after unmasking it) and after making requests. 0, or the client's sticky error: -XEN_EBADMSG too for
 * impossible indices, -XEN_EIO when the store wrote an error into the page.
 */
int xids_xs_ring_pump(struct xids_xs_ring *r) XIDS_MUST_CHECK;

/*
 * Asks the store to start the ring afresh (a kexec'd kernel, a broken ring); the client is reset when the store has
 * done it, which pump notices. -XEN_ENOSYS: this store does not offer that.
 */
int xids_xs_ring_reconnect(struct xids_xs_ring *r) XIDS_MUST_CHECK;

/* After the domain was resumed: the page is a new one, or new inside. Resets the client. Errors as init. */
int xids_xs_ring_resume(struct xids_xs_ring *r, void XIDS_PEER *page, evtchn_port_t port) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
