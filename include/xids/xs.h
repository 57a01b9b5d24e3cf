/* SPDX-License-Identifier: ISC */
/*
 * xenstore for programs: blocking calls over a unix socket or Xen's device file, on the engine of <xids/xs_client.h>.
 *
 * One handle is one connection, for one thread; there is no helper thread. Programs with an event loop poll
 * xids_xs_fd, call xids_xs_pump when it is ready and use the engine's callbacks (xids_xs_client); blocking calls and
 * callbacks can be mixed on one handle, but a blocking call may not be made from inside a callback.
 *
 * Calls return 0 or a count, else a negative Xen errno: the store's own (-XEN_ENOENT, -XEN_EACCES, -XEN_EAGAIN: a
 * transaction conflict, ...), -XEN_ENOTCONN when the store closed the connection, -XEN_EBADMSG when it broke the
 * protocol, -XEN_ETIMEDOUT (xids_xs_set_timeout). The last three stay until xids_xs_reconnect, the time-out does not.
 *
 * tx is XIDS_XS_NO_TX or a transaction's id. Paths are as xenstore takes them: absolute, or relative to the domain's
 * own directory.
 */
#ifndef XIDS_XS_H
#define XIDS_XS_H

#include <xids/xs_client.h>

XIDS_BEGIN_DECLS

struct xids_xs;

#define XIDS_XS_NO_TX 0u

/*
 * Opens a connection. path: a socket or device file, or NULL to look where libxenstore does: $XENSTORED_PATH alone
 * if it is set; else the first that opens of $XENSTORED_RUNDIR/socket (/run/xenstored/socket when that is not set),
 * /dev/xen/xenbus, /proc/xen/xenbus. The handle is the caller's, to close. In a guest it opens also while no xenstored
 * answers: calls wait for ever then, unless xids_xs_set_timeout bounds them.
 * -XEN_ENOENT, -XEN_ECONNREFUSED, -XEN_EACCES and other errors of open(2) and connect(2); -XEN_ENOMEM.
 */
int xids_xs_open(struct xids_xs **xs, const char *path) XIDS_MUST_CHECK;

/* Makes a handle on a descriptor that is connected already; it becomes the handle's. Cannot be reconnected. */
int xids_xs_attach(struct xids_xs **xs, int fd) XIDS_MUST_CHECK;

/* Closes; outstanding callbacks come with -XEN_ENOTCONN. The store drops its watches and transactions. NULL is fine. */
void xids_xs_close(struct xids_xs *xs);

/*
 * Opens the same path anew after the connection was lost: outstanding requests complete with -XEN_ENOTCONN, watches
 * are registered again (each gives an event, so that nothing is missed). -XEN_ENOSYS: made by attach.
 */
int xids_xs_reconnect(struct xids_xs *xs) XIDS_MUST_CHECK;

/* A blocking call that gets no answer for so many milliseconds fails with -XEN_ETIMEDOUT. 0, the default: waits on. */
void xids_xs_set_timeout(struct xids_xs *xs, unsigned int ms);

/* In words why the connection is broken; "" when it is not. Valid until the next call. */
const char *xids_xs_reason(const struct xids_xs *xs);

/* ---- for event loops ---- */

/*
 * The descriptor, non-blocking, to poll for reading; and for writing while xids_xs_wants_write. Changes at reconnect.
 * Who uses xids_xs_next_event takes all that it has before he polls: a blocking call takes in the events that come
 * beside its answer.
 */
int xids_xs_fd(const struct xids_xs *xs);
bool xids_xs_wants_write(struct xids_xs *xs);

/* Reads what is there, calls back, writes what is queued; never blocks. 0, or why the connection is broken. */
int xids_xs_pump(struct xids_xs *xs) XIDS_MUST_CHECK;

/* The engine, to make requests and watches with callbacks. It stays the handle's. After using it, pump. */
struct xids_xs_client *xids_xs_client(struct xids_xs *xs);

/* ---- the tree ---- */

/*
 * Reads a value: *value is malloc'ed (free it), with a NUL added beyond its *len bytes. len may be NULL.
 */
int xids_xs_read(struct xids_xs *xs, char **value, size_t *len, uint32_t tx, const char *path) XIDS_MUST_CHECK;

/*
 * Reads a decimal number: digits only, no sign, no space, nothing after (one NUL at the end is let pass).
 * -XEN_EINVAL: it is not one; -XEN_ERANGE: it does not fit.
 */
int xids_xs_read_u32(struct xids_xs *xs, uint32_t *number, uint32_t tx, const char *path) XIDS_MUST_CHECK;
int xids_xs_read_u64(struct xids_xs *xs, uint64_t *number, uint32_t tx, const char *path) XIDS_MUST_CHECK;

int xids_xs_write(struct xids_xs *xs, uint32_t tx, const char *path, const void *value, size_t len) XIDS_MUST_CHECK;

/* Writes formatted text, without its NUL. -XEN_E2BIG: longer than a message. */
int xids_xs_printf(struct xids_xs *xs, uint32_t tx, const char *path, const char *format, ...) XIDS_MUST_CHECK
    __attribute__((format(printf, 4, 5)));

int xids_xs_mkdir(struct xids_xs *xs, uint32_t tx, const char *path) XIDS_MUST_CHECK;
int xids_xs_rm(struct xids_xs *xs, uint32_t tx, const char *path) XIDS_MUST_CHECK;

/*
 * Lists the children of a node, however many: *names is malloc'ed in one piece (one free), *count of them, NULL after
 * the last. -XEN_EAGAIN: the directory kept changing while a big one was read in parts.
 */
int xids_xs_directory(struct xids_xs *xs, char ***names, unsigned int *count, uint32_t tx, const char *path)
    XIDS_MUST_CHECK;

/* Permissions are struct xids_xs_perm of <xids/xswire.h>: the first is the owner's, with the access of everybody else.
 */

/* *perms is malloc'ed (free it), *count of them, at least one. */
int xids_xs_get_perms(struct xids_xs *xs, struct xids_xs_perm **perms, unsigned int *count, uint32_t tx,
                      const char *path) XIDS_MUST_CHECK;
int xids_xs_set_perms(struct xids_xs *xs, uint32_t tx, const char *path, const struct xids_xs_perm *perms,
                      unsigned int count) XIDS_MUST_CHECK;

/* ---- transactions ---- */

/* The work of a transaction: blocking calls with tx. 0: commit; else abort, and the value is the result of all. */
typedef int xids_xs_body_fn(struct xids_xs *xs, uint32_t tx, void *ctx);

/* How often a transaction is tried at most. */
#define XIDS_XS_TRIES 64u

/*
 * Runs body in a transaction, again when the store saw a conflict or body returned -XEN_EAGAIN, at most
 * XIDS_XS_TRIES times. 0: committed; a positive value of body is taken as abort and returned.
 */
int xids_xs_transaction(struct xids_xs *xs, xids_xs_body_fn *body, void *ctx) XIDS_MUST_CHECK;

/* ---- watches ---- */

struct xids_xs_event {
    const char *path;  /* what changed; valid until the next call with this handle */
    const void *token; /* the watch's */
};

/*
 * Watches a path; events carry token, a pointer that xids neither reads nor frees. Path and token together name the
 * watch: -XEN_EEXIST when there is the same already. The first event comes at once. Events repeated
 * while they wait unread are not all kept: where many wait, one at the watched path can stand for all of them.
 */
int xids_xs_watch(struct xids_xs *xs, const char *path, const void *token) XIDS_MUST_CHECK;

/* Ends a watch; its waiting events are dropped. -XEN_ENOENT: there is none. */
int xids_xs_unwatch(struct xids_xs *xs, const char *path, const void *token);

/* Waits up to timeout_ms (-1: for ever; 0: not at all) for an event. 1: *event is set; 0: none came; or an error. */
int xids_xs_next_event(struct xids_xs *xs, struct xids_xs_event *event, int timeout_ms) XIDS_MUST_CHECK;

/* ---- domains ---- */

/* Our own domain, from the store's relative "domid". On a daemon without that node: -XEN_ENOENT. */
int xids_xs_own_domid(struct xids_xs *xs, domid_t *domid) XIDS_MUST_CHECK;

/* *path ("/local/domain/N") is malloc'ed. The domain need not exist. */
int xids_xs_get_domain_path(struct xids_xs *xs, char **path, domid_t domid) XIDS_MUST_CHECK;

/* 1: the store serves this domain's ring; 0: it does not. */
int xids_xs_is_introduced(struct xids_xs *xs, domid_t domid) XIDS_MUST_CHECK;

/* Tells the store of a new domain's ring page (gfn, which newer stores ignore) and port; and that it is gone. */
int xids_xs_introduce(struct xids_xs *xs, domid_t domid, uint64_t gfn, evtchn_port_t port) XIDS_MUST_CHECK;
int xids_xs_release(struct xids_xs *xs, domid_t domid) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
