/* SPDX-License-Identifier: ISC */
/*
 * The xenstore data model: a tree of nodes with values, permissions and owners; transactions over snapshots of it.
 * It knows nothing of connections and messages; xids/xs_server.h does. Freestanding; memory comes from the
 * struct xids_alloc given. An operation that fails for want of memory leaves the tree as it was.
 *
 * The tree is persistent: a snapshot is a reference to its root, and a change copies only what a snapshot still
 * needs. Without an open transaction nothing is copied. Children are found by a keyed hash of their name (guests choose
 * the names) and listed in the order in which they were created.
 *
 * Transactions see a snapshot and conflict only where truth conflicts. What a transaction has read is noted per path
 * and kind (existence, access, value, permissions, list of children); at the end its changes are done again on the
 * tree of the day, unless something it has read is different there. So transactions that create siblings both
 * commit, and one that only reads, or writes without looking, is never refused.
 *
 * One thread per store.
 */
#ifndef XIDS_STORE_H
#define XIDS_STORE_H

#include <xids/base.h>
#include <xids/xswire.h>

XIDS_BEGIN_DECLS

struct xids_store;
struct xids_store_tx;
struct xids_store_path;

/* The limits for one domain that is not privileged, 0: none; C xenstored's defaults in xids_store_limits_default. */
struct xids_store_limits {
    uint32_t nodes;     /* that the domain owns */
    uint32_t node_size; /* 16 + 8 for each permission + value + names of the children with their NULs; bytes */
    uint32_t perms;     /* entries for one node */
    uint32_t tx_nodes;  /* paths that one transaction touches */
    uint32_t memory;    /* bytes of its nodes, and of what else is held for it */
};

extern const struct xids_store_limits xids_store_limits_default;

enum xids_store_limit {
    XIDS_STORE_LIMIT_NODES,
    XIDS_STORE_LIMIT_NODE_SIZE,
    XIDS_STORE_LIMIT_PERMS,
    XIDS_STORE_LIMIT_TX_NODES,
    XIDS_STORE_LIMIT_MEMORY,
};

/* What a domain uses of its limits besides the nodes it owns. */
struct xids_store_usage {
    uint64_t held;                       /* bytes held for it, but for its nodes: its caller's to count */
    uint32_t node_size, perms, tx_nodes; /* the most it has had of them */
    uint64_t waits_for;                  /* the store's, while a request is put off; 0 before each new one */
};

/* On whose behalf an operation is done. */
struct xids_store_who {
    uint16_t domid;
    int32_t target;                         /* the domid whose rights it has as well, or -1 */
    bool privileged;                        /* may do everything, and is bound by no limit */
    const struct xids_store_limits *limits; /* needed unless privileged */
    struct xids_store_usage *usage;         /* the same */
};

/* A list of permissions: the first entry names the owner. Entries marked XIDS_STORE_IGNORED have no effect. */
#define XIDS_STORE_IGNORED 0x80u

/* What a change to the tree means to who watches it. Opaque; valid during the call alone. */
struct xids_store_event;

struct xids_store_config {
    struct xids_alloc alloc;
    uint8_t seed[16]; /* of the keyed hash: random, secret */
    uint16_t owner;   /* the domain that owns the initial nodes */
    /* Called for each change of the tree in force, in order; may be NULL. */
    void (*changed)(void *ctx, const struct xids_store_event *event);
    void *ctx;
};

/*
 * Makes a store with "/", /tool/xenstored, @introduceDomain and @releaseDomain. -XEN_ENOMEM.
 * xids_store_free takes it all back; transactions must be over.
 */
int xids_store_new(struct xids_store **store, const struct xids_store_config *config) XIDS_MUST_CHECK;
void xids_store_free(struct xids_store *s);

/*
 * Counts and frees what removals and finished transactions have left, at most max nodes; true when there is more.
 * Changes do some of it themselves; call it when idle.
 */
bool xids_store_reap(struct xids_store *s, unsigned int max);

/* Whether xids_store_reap has anything to do. */
bool xids_store_busy(const struct xids_store *s);

/* ---- paths ---- */

/* The longest path in bytes: a payload and the prefix of a relative path. */
#define XIDS_STORE_PATH_MAX (XIDS_XSWIRE_PAYLOAD_MAX + 32u)

/* Memory for one parsed path, made once and used again. NULL: no memory. */
struct xids_store_path *xids_store_path_new(struct xids_store *s);
void xids_store_path_free(struct xids_store *s, struct xids_store_path *p);

/*
 * Takes apart an absolute or special path: the bytes are copied. -XEN_EINVAL: not a path (xids_xswire_path_check),
 * relative, or too long.
 */
int xids_store_path_set(struct xids_store *s, struct xids_store_path *p, const char *path, size_t len) XIDS_MUST_CHECK;

/* The same for path relative to prefix, an absolute path. */
int xids_store_path_join(struct xids_store *s, struct xids_store_path *p, const char *prefix, size_t prefix_len,
                         const char *path, size_t len) XIDS_MUST_CHECK;

/* The bytes of the path, with a NUL behind them. */
const char *xids_store_path_bytes(const struct xids_store_path *p, size_t *len);

/*
 * What changes and xids_store_tx_commit return instead of -XEN_ENOSPC while removed nodes still count for their owners:
 * nothing was done. Call xids_store_reap and try again.
 */
#define XIDS_STORE_LATER 1

/* ---- operations ----
 * tx NULL: on the tree in force, at once. Common errors, with the hiding rule of xenstore.txt: whoever may not read
 * (write) the nearest existing ancestor gets -XEN_EACCES instead of what would tell him something.
 *   -XEN_ENOENT  no such node
 *   -XEN_EACCES  no right to
 *   -XEN_ENOSPC  a limit
 *   -XEN_ENOMEM
 */

/* Sets *value and *len; valid until the next operation. */
int xids_store_read(struct xids_store *s, struct xids_store_tx *tx, const char **value, size_t *len,
                    const struct xids_store_who *who, const struct xids_store_path *p) XIDS_MUST_CHECK;

/*
 * Sets *names and *len to the names of the children, each with its NUL, in the order of creation; valid until the
 * next operation. *generation, which may be NULL, changes whenever the list does.
 */
int xids_store_list(struct xids_store *s, struct xids_store_tx *tx, const char **names, size_t *len,
                    uint64_t *generation, const struct xids_store_who *who, const struct xids_store_path *p)
    XIDS_MUST_CHECK;

/* Sets *perms to the list, valid until the next operation. Returns the number of entries. */
int xids_store_get_perms(struct xids_store *s, struct xids_store_tx *tx, const struct xids_xs_perm **perms,
                         const struct xids_store_who *who, const struct xids_store_path *p) XIDS_MUST_CHECK;

/* Writes a value, creating the node and missing parents. len at most 4096. */
int xids_store_write(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                     const struct xids_store_path *p, const void *value, size_t len) XIDS_MUST_CHECK;

/* Creates the node, and missing parents, unless it exists. */
int xids_store_mkdir(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                     const struct xids_store_path *p) XIDS_MUST_CHECK;

/* Removes a node and what is below. A missing node below an existing parent is fine. -XEN_EINVAL: "/". */
int xids_store_rm(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                  const struct xids_store_path *p) XIDS_MUST_CHECK;

/* -XEN_EPERM: only the privileged may change the owner. -XEN_ENOENT: the new owner is marked ignored (no such domain).
 */
int xids_store_set_perms(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                         const struct xids_store_path *p, const struct xids_xs_perm *perms, unsigned int count)
    XIDS_MUST_CHECK;

/* ---- transactions ---- */

int xids_store_tx_start(struct xids_store *s, struct xids_store_tx **tx) XIDS_MUST_CHECK;

/*
 * Bounds what a new transaction's snapshot keeps, as is done for guests: when the nodes that were made, copied and
 * removed since it began come to 64 MiB, the transactions so bound that began first lose their snapshots. They go on
 * with the tree in force, and end with -XEN_EAGAIN.
 */
void xids_store_tx_bind(struct xids_store *s, struct xids_store_tx *tx);

/* Ends a transaction without effect. */
void xids_store_tx_abort(struct xids_store *s, struct xids_store_tx *tx);

/*
 * Ends a transaction and puts it into force: one event per changed path, in the order in which the transaction first
 * touched them. The transaction is gone whatever it returns, but for XIDS_STORE_LATER and -XEN_EAGAIN: something it
 * read has changed, and it is to be aborted. What it holds is among what who->usage says to be held.
 */
int xids_store_tx_commit(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who)
    XIDS_MUST_CHECK;

/*
 * Ends a transaction that was refused, but for what it has read, which the next two calls ask for: until
 * xids_store_tx_abort.
 */
void xids_store_tx_keep_reads(struct xids_store *s, struct xids_store_tx *tx);

/*
 * Whether the transaction could end well now and another one, the reader, would then end with -XEN_EAGAIN, which it
 * would not as things are; or could if it read what one before, NULL or refused, had read.
 */
bool xids_store_tx_disturbs(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                            const struct xids_store_tx *reader, const struct xids_store_who *reader_who,
                            const struct xids_store_tx *before);

/*
 * Whether a change of the node of a path, or with below of that and all that is below, could make the reader end with
 * -XEN_EAGAIN. A value that stays what it was is taken for a change.
 */
bool xids_store_tx_minds(struct xids_store *s, const struct xids_store_tx *reader, const struct xids_store_path *p,
                         bool below);

/*
 * A domain has died: if the transaction gives it anything, it will end with -XEN_EAGAIN. Otherwise the next domain with
 * that number would have it.
 */
void xids_store_tx_forget_domain(struct xids_store_tx *tx, uint16_t domid);

/*
 * By how many bytes a transaction holds more, or less, than when this was asked last; before, it held nothing. That is
 * what it remembers, and the nodes that it has made or copied. Nodes that its snapshot keeps, but which have been
 * changed since, are not counted: xids_store_tx_bind bounds them.
 */
int64_t xids_store_tx_grown(struct xids_store_tx *tx);

/* ---- domains ---- */

/*
 * The number of nodes in force that a domain owns, and their bytes, each with a list of permissions of its own; and
 * those of removed ones that xids_store_reap has not come to.
 */
uint32_t xids_store_owned(const struct xids_store *s, uint16_t domid);
uint64_t xids_store_owned_bytes(const struct xids_store *s, uint16_t domid);

/* The number of nodes in force, and the bytes of all, counted in the same way. */
uint32_t xids_store_nodes(const struct xids_store *s);
uint64_t xids_store_bytes(const struct xids_store *s);

/* Which limit the last -XEN_ENOSPC was for. */
enum xids_store_limit xids_store_refused(const struct xids_store *s);

/*
 * A domain has died: removes the nodes it owns with all below, with events, and strikes its entries from the
 * permissions of others, at most max nodes of either kind. Goes only where the domain has something.
 * Returns 0 when it is done, 1 when there is more to do; -XEN_ENOMEM: call again later.
 */
int xids_store_forget_domain(struct xids_store *s, uint16_t domid, unsigned int max) XIDS_MUST_CHECK;

/* A measure of the work done so far, in nodes looked at beyond those on the way to a path: for shares and for tests. */
uint64_t xids_store_work(const struct xids_store *s);

/* Checks every rule that the tree must keep; NULL, or what is broken. For tests and the "check" command. Slow. */
const char *xids_store_check(struct xids_store *s);

XIDS_END_DECLS

#endif
