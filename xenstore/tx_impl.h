/* SPDX-License-Identifier: ISC */
/* Inside a transaction: for the file that runs them and for the one that takes them over a live update. */
#ifndef XIDS_XENSTORE_TX_IMPL_H
#define XIDS_XENSTORE_TX_IMPL_H

#include "xenstore/store_impl.h"

struct entry {
    struct entry *chain;       /* same bucket */
    struct entry *next, *prev; /* those that requests have named are in the order in which they did */
    uint32_t hash;
    uint8_t reads; /* enum read_kind: to be found the same at the end */
    uint8_t own;   /* enum read_kind: now known from the transaction's own changes */
    bool event;    /* changed */
    bool removed;  /* whatever there is: also when nothing was */
    bool took;     /* by a removal that found something, all that was below has gone with it */
    bool named;    /* by a request, not only looked at on behalf of one */
    uint16_t len;
    uint16_t depth; /* parts of the path */
    char path[];
};

struct op {
    struct op *next;
    struct entry *entry;
    struct perms *perms;
    enum write_kind kind;
    uint32_t len;
    char value[];
};

struct xids_store_tx {
    struct xids_store_tx *next; /* of those that are over: to be freed */
    struct xids_store_node *base, *top;
    uint64_t version;                    /* of the tree in force that top was made from */
    uint64_t began;                      /* the same of base */
    struct xids_store_tx *older, *newer; /* of those whose snapshots are bound */
    bool bound;
    uint64_t churn; /* of the store when it began */
    struct counts counts;
    struct entry **buckets;
    uint32_t nbuckets, nentries, nops, nremoved;
    uint64_t levels; /* of the paths of all entries, and again of those of all operations */
    struct entry *first, *last;
    struct op *ops, **ops_last;
    uint64_t named; /* mask_of the domains that its changes of permissions name */
    struct op *pending;
    uint64_t bytes; /* of entries and operations */
    uint64_t made;  /* of nodes */
    uint64_t told;  /* what the owner knows that it holds */
    bool stale;     /* names a domain that has died meanwhile: it has to be done again */
    bool failed;    /* something could not be noted: it must not be put into force */
    bool lost;      /* its snapshot is gone, or what it did is not known to the server that took it over */
};

/* The entry of the first depth parts of a path, made when there is none. */
int xids_store_tx_touch(struct xids_store *s, struct xids_store_tx *tx, struct entry **entry,
                        const struct xids_store_who *who, const struct xids_store_path *p, uint32_t depth);

/* One more change, which the transaction's tree has seen already. */
int xids_store_tx_add_op(struct xids_store *s, struct xids_store_tx *tx, struct entry *entry, enum write_kind kind,
                         const void *value, size_t len, struct perms *perms);

#endif
