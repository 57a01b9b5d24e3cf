/* SPDX-License-Identifier: ISC */
/*
 * The whole state of a xenstore server as a stream of bytes, so that another program can go on in its place: the tree,
 * connections with what they have half said and half heard, watches, and transactions with their snapshots and all that
 * they have read. It is Xen's migration stream, version 2 (docs/designs/xenstore-migration.md there), with records of
 * our own for what that cannot say (docs/spec/xenstore-state.md). What C xenstored writes can be read too.
 *
 * Freestanding, as the server itself. One thread.
 */
#ifndef XIDS_XS_STATE_H
#define XIDS_XS_STATE_H

#include <xids/xs_server.h>

XIDS_BEGIN_DECLS

/* The longest note that a host can add, to a connection or for itself. */
#define XIDS_XS_STATE_NOTE_MAX 4096u

/* What a host knows of the whole. */
struct xids_xs_state_global {
    int32_t socket_fd; /* the listening socket, -1: none */
    int32_t evtchn_fd; /* the event channel device, -1: none */
    const void *note;  /* the host's own */
    size_t note_len;
};

/* What a host knows of a connection. */
struct xids_xs_state_conn {
    int domid;        /* -1: a socket */
    int32_t handle;   /* of a socket: its descriptor; of a ring: the local port, 0: none */
    const void *rest; /* of a socket: bytes read that the server has not taken yet */
    size_t rest_len;
    const void *note; /* the host's own */
    size_t note_len;
};

struct xids_xs_save {
    struct xids_xs_state_global global;
    /* Takes the next bytes of the stream. A negative errno ends the saving. */
    int (*write)(void *ctx, const void *bytes, size_t len);
    /* Fills in all but domid, which is given; the rest is 0. NULL: nothing is known. What it points to stays until the
     * next call. */
    void (*conn)(void *ctx, struct xids_xs_conn *conn, struct xids_xs_state_conn *state);
    void *ctx;
};

/*
 * Writes the server's state. The server goes on as before, whatever is returned. Where a CONTROL command waits for its
 * answer (XIDS_XS_LATER), "OK" stands in the stream as given.
 * -XEN_ENOMEM, or write's error.
 */
int xids_xs_server_save(struct xids_xs_server *s, const struct xids_xs_save *save) XIDS_MUST_CHECK;

struct xids_xs_restore {
    /* Called once before the other two, when the stream has been found good. An error ends the restoring. May be NULL.
     */
    int (*global)(void *ctx, const struct xids_xs_state_global *global);
    /*
     * Takes up a connection: watches its socket and feeds it what has been read already (rest, which it copies; not
     * before the restoring is over), or maps its ring and sets *page. A socket's error ends the restoring; a domain
     * whose ring cannot be mapped stays known, unserved, until its release. NULL: nothing is taken up.
     */
    int (*conn)(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, const struct xids_xs_state_conn *state);
    void *ctx;
};

/* Why a stream is refused. */
struct xids_xs_state_error {
    uint32_t record; /* its number, the first is 1; 0: the header */
    uint64_t offset; /* of the record in the stream, in bytes */
    const char *reason;
};

/*
 * Restores into a server that has just been made and has no connection. Nothing in the bytes is believed. After an
 * error the server can only be freed; the host's functions have then not been called, unless the error was theirs.
 * -XEN_EBADMSG: *error says what is wrong and where; -XEN_ENOMEM; or the host's error.
 */
int xids_xs_server_restore(struct xids_xs_server *s, struct xids_xs_state_error *error,
                           const struct xids_xs_restore *restore, const void *bytes, size_t len) XIDS_MUST_CHECK;

XIDS_END_DECLS

#endif
