/* SPDX-License-Identifier: ISC */
/*
 * The xenstore server without its I/O: connections give it bytes and take bytes from it. The host (xids-xenstored, a
 * test, a unikernel) moves the bytes, maps the rings and tells it of dead domains. Freestanding; memory comes from the
 * struct xids_alloc given, and is bounded per connection.
 *
 * A connection is a socket, which acts as the server's own domain, or a domain's ring. One domain is privileged: domain
 * 0 is both, unless the configuration says otherwise. Requests are answered
 * in order, as many as the input holds; the answers gather in one buffer, so that a host reads once, writes once. A
 * connection whose answers are not fetched is not read from: xids_xs_server_input stops taking bytes. Watch events
 * that find the buffer full wait in a bounded set per watch; what exceeds the set becomes one event for the path of
 * the watch itself: no watcher can hold up a writer or use memory without end.
 *
 * The host fetches output from the connections that have some: xids_xs_server_ready gives the next of them, so that
 * nothing is ever scanned.
 *
 * One thread per server. The host's functions may not call back into the server, but for what they say.
 * Wire behaviour: docs/spec/xenstore.md.
 */
#ifndef XIDS_XS_SERVER_H
#define XIDS_XS_SERVER_H

#include <xids/bytering.h>
#include <xids/store.h>

XIDS_BEGIN_DECLS

struct xids_xs_server;
struct xids_xs_conn;

/* The limits for one unprivileged domain, 0: none; C xenstored's names and defaults. */
struct xids_xs_limits {
    struct xids_store_limits store; /* nodes, node-size, node-permissions, transaction-nodes, memory */
    uint32_t watches;
    uint32_t transactions; /* open at a time */
    uint32_t outstanding;  /* answers not fetched */
    uint32_t path_max;     /* bytes, not counting /local/domain/N/ */
    uint32_t soft_memory;  /* as memory, but nothing is refused */
};

extern const struct xids_xs_limits xids_xs_limits_default;

/*
 * The limit that C xenstored calls by a name of len bytes, "soft-" before it for one that is only warned of. NULL:
 * there is none of that name.
 */
uint32_t *xids_xs_limit(struct xids_xs_limits *limits, const char *name, size_t len);

#define XIDS_XS_LATER 0x10000

/* What the server asks of its host. Each may be NULL where it says so. */
struct xids_xs_host {
    /*
     * INTRODUCE of a domain not yet known: map its ring, bind a channel to its port. Sets *page, XIDS_PAGE_SIZE
     * bytes that stay mapped until release. NULL: no domain can be introduced. Its error is the answer.
     */
    int (*introduce)(void *ctx, void XIDS_PEER **page, struct xids_xs_conn *conn, uint16_t domid, uint32_t port);
    /* INTRODUCE of a known domain: bind its (new) port instead of the old one. */
    int (*rebind)(void *ctx, struct xids_xs_conn *conn, uint16_t domid, uint32_t port);
    /* The domain is gone for the server: unmap its ring, close the port. conn is about to be freed. */
    void (*release)(void *ctx, struct xids_xs_conn *conn, uint16_t domid);
    /* Send an event to the domain: bytes or room for it are in the ring. */
    void (*notify)(void *ctx, struct xids_xs_conn *conn, uint16_t domid);
    /* Whether a domain exists: permissions for one that does not are void. NULL: all do. */
    bool (*exists)(void *ctx, uint16_t domid);
    /*
     * Whether the number of a known domain, not 0, is another domain's by now, the first one's death not being told
     * yet. Asked before the number is introduced again and before rights are given to it. NULL: never.
     */
    bool (*replaced)(void *ctx, struct xids_xs_conn *conn, uint16_t domid);
    /*
     * A domain was denied something for the sake of a quota, by C xenstored's names; path is what its request was
     * about, a string, or NULL. "soft-memory": it was not denied anything, but should be looked at. A guest may cause
     * as many calls as it likes. NULL: nobody wants to know.
     */
    void (*denied)(void *ctx, uint16_t domid, const char *quota, const char *path);
    /* A CONTROL print. NULL: ignored. */
    void (*print)(void *ctx, const char *text, size_t len);
    /*
     * CONTROL memreport with the name of a file: adds the text to that file. Its error is the answer. NULL:
     * -XEN_EINVAL.
     */
    int (*report)(void *ctx, const char *file, const char *text, size_t len);
    /*
     * A CONTROL command that the server does not know: argv[0] is its name, argc at most 16. Writes the answer, at most
     * room bytes, and returns its length; a negative errno is the answer. XIDS_XS_LATER: it will be given with
     * xids_xs_server_answer, and until then nothing more is read from the connection. NULL: all are -XEN_EINVAL.
     */
    int (*control)(void *ctx, struct xids_xs_conn *conn, char *answer, size_t room, const struct xids_xswire_str *argv,
                   unsigned int argc);
    const char *control_help; /* what "help" says of those commands, lines; may be NULL */
    /*
     * Sees each request before it is carried out. A negative errno is the answer instead, and a transaction that the
     * request would have ended ends without effect. NULL: all are carried out.
     */
    int (*request)(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg);
    /* Sees what a request is answered: rc is 0 or the error. Of msg only the header may be read. May be NULL. */
    void (*answered)(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg, int rc);
    void *ctx;
};

struct xids_xs_server_config {
    struct xids_alloc alloc;
    uint8_t seed[16];                    /* random, secret */
    const struct xids_xs_limits *limits; /* of new domains; NULL: the defaults */
    const struct xids_xs_host *host;     /* copied */
    uint16_t own_domid;                  /* the domain that the server runs in: sockets act as it */
    uint16_t privileged_domid;           /* the domain that may do everything, and owns the first nodes */
};

/* -XEN_ENOMEM. xids_xs_server_free closes all connections, without the host's release. */
int xids_xs_server_new(struct xids_xs_server **server, const struct xids_xs_server_config *config) XIDS_MUST_CHECK;
void xids_xs_server_free(struct xids_xs_server *s);

/* The store behind it: for status and tests. */
struct xids_store *xids_xs_server_store(struct xids_xs_server *s);

struct xids_xs_server_stats {
    uint32_t sockets, domains, watches, transactions;
    uint64_t requests, events, commits, conflicts;
    uint64_t cost;    /* of all work so far: about one for each node looked at */
    uint64_t denials; /* for the sake of a quota */
};

void xids_xs_server_stats(const struct xids_xs_server *s, struct xids_xs_server_stats *stats);

/*
 * Some of the work put off: a share for the connection that has waited longest for one, and at most about max nodes
 * counted or freed. True when there is more. Call it when idle, after looking for new input: once for each time that
 * the host has asked all connections that have some.
 */
bool xids_xs_server_idle(struct xids_xs_server *s, unsigned int max);

/* Whether there is work put off. */
bool xids_xs_server_busy(const struct xids_xs_server *s);

/*
 * The time in milliseconds by any clock that never goes back: before input, after waiting. A host that never says it
 * has no precedence for refused transactions (docs/spec/xenstore.md). xids_xs_server_deadline is when it should be
 * said next, if nothing happens before; UINT64_MAX: no need. Then call xids_xs_server_idle.
 */
void xids_xs_server_time(struct xids_xs_server *s, uint64_t ms);
uint64_t xids_xs_server_deadline(const struct xids_xs_server *s);

/* ---- sockets ---- */

/* A connection of the server's own domain; data is the host's. -XEN_ENOMEM. */
int xids_xs_server_connect(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data) XIDS_MUST_CHECK;

/*
 * The same with the rights (its target's too), limits and home of another domain, which need not be introduced. When
 * that domain dies, the host disconnects it.
 */
int xids_xs_server_connect_as(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data, uint16_t domid)
    XIDS_MUST_CHECK;

/* Ends a socket connection: its watches and transactions are gone. */
void xids_xs_server_disconnect(struct xids_xs_conn *conn);

void *xids_xs_conn_data(const struct xids_xs_conn *conn);
void xids_xs_conn_set_data(struct xids_xs_conn *conn, void *data);

/* The domain of a ring connection, or -1 of a socket. */
int xids_xs_conn_domid(const struct xids_xs_conn *conn);

/*
 * Takes bytes and carries out the requests that are whole. Always sets *used; less than len when the answers must be
 * fetched first, or the connection has had its share: give the rest again when xids_xs_server_hungry says so.
 * -XEN_EBADMSG: an over-long message, close it; -XEN_ENOMEM: no memory to keep a partial message.
 */
int xids_xs_server_input(struct xids_xs_conn *conn, size_t *used, const void *bytes, size_t len) XIDS_MUST_CHECK;

/* Whether xids_xs_server_input would take bytes. */
bool xids_xs_server_hungry(const struct xids_xs_conn *conn);

/*
 * Gives the answer that the host's control has put off, at most 4096 bytes; a socket is hungry again after it.
 * -XEN_EINVAL: none is due; -XEN_ENOMEM.
 */
int xids_xs_server_answer(struct xids_xs_conn *conn, const char *text, size_t len) XIDS_MUST_CHECK;

/* Whether the connection has had its share: it comes up in xids_xs_server_ready when it has another. */
bool xids_xs_server_spent(const struct xids_xs_conn *conn);

/* The bytes to send: sets *bytes, returns their number. Then say how many have been sent. */
size_t xids_xs_server_output(struct xids_xs_conn *conn, const void **bytes);
void xids_xs_server_sent(struct xids_xs_conn *conn, size_t count);

/*
 * Takes the next connection that has got output, or another share, since it was last taken; NULL: none. Rings are
 * served by the server itself and do not come up here.
 */
struct xids_xs_conn *xids_xs_server_ready(struct xids_xs_server *s);

/* ---- domains ---- */

/*
 * Makes a domain known as INTRODUCE does, without asking the host: for the server's own, whose ring exists already.
 * events: whether to fire @introduceDomain.
 */
int xids_xs_server_introduce(struct xids_xs_server *s, struct xids_xs_conn **conn, void *data, uint16_t domid,
                             void XIDS_PEER *page, bool events) XIDS_MUST_CHECK;

/* The connection of a known domain, or NULL. */
struct xids_xs_conn *xids_xs_server_domain(const struct xids_xs_server *s, uint16_t domid);

/* The domain's port has fired: takes requests out of its ring, puts answers in. */
void xids_xs_server_ring_event(struct xids_xs_conn *conn);

/* The domain has shut down (it may be resumed): fires @releaseDomain. */
void xids_xs_server_shutdown(struct xids_xs_server *s, uint16_t domid);

/*
 * The domain is gone: its nodes are removed with events, its rights struck, @releaseDomain fired, the host's
 * release called. What cannot be done at once is done by xids_xs_server_idle. A domain that was given rights and died
 * before it was introduced loses them, without an event; for any other the call does nothing.
 */
void xids_xs_server_release(struct xids_xs_server *s, uint16_t domid);

/*
 * Calls each for every known domain, and for those that have been given rights but are not introduced yet; it may
 * release the one that it is called for.
 */
void xids_xs_server_each_domain(struct xids_xs_server *s, void (*each)(void *ctx, uint16_t domid), void *ctx);

/* ---- what there is ---- */

/* A watch. Path and token are not terminated, and valid during the call alone. */
struct xids_xs_watch {
    struct xids_xs_conn *conn;
    const char *path; /* absolute or special, also when it was registered relative */
    const char *token;
    size_t path_len, token_len;
    int32_t depth; /* -1: registered without */
};

/* Calls each for every watch, a connection's in the order in which they were set. Nothing may change meanwhile. */
void xids_xs_server_each_watch(const struct xids_xs_server *s, void (*each)(void *ctx, const struct xids_xs_watch *w),
                               void *ctx);

/* Sees all that is said, of sockets and rings alike. Its functions may not call back into the server. */
struct xids_xs_tracer {
    /* A request, whole, before anything is made of it. */
    void (*request)(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg);
    /* An answer or an event, when it takes its place among what the connection will get. */
    void (*message)(void *ctx, struct xids_xs_conn *conn, const struct xids_xswire_msg *msg);
    void *ctx;
};

/* From now on; NULL: nobody looks, which costs next to nothing. The tracer is the caller's and must stay. */
void xids_xs_server_trace(struct xids_xs_server *s, const struct xids_xs_tracer *tracer);

/* What a known domain has done over its ring since it was introduced, and what it holds. */
struct xids_xs_domain_stats {
    uint64_t requests, events, commits, conflicts, denials;
    uint64_t memory; /* bytes */
    uint32_t nodes, watches, transactions, outstanding;
    bool broken;   /* has broken the protocol and is not served */
    bool shutdown; /* has shut down */
};

/* -XEN_ENOENT: the domain is not known. */
int xids_xs_server_domain_stats(const struct xids_xs_server *s, struct xids_xs_domain_stats *stats, uint16_t domid)
    XIDS_MUST_CHECK;

/* The number of a connection's open transactions. */
uint32_t xids_xs_conn_transactions(const struct xids_xs_conn *conn);

XIDS_END_DECLS

#endif
