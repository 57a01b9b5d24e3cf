/* SPDX-License-Identifier: ISC */
/* The state stream inside: its records, and what the files that write and read it share. */
#ifndef XIDS_XENSTORE_STATE_H
#define XIDS_XENSTORE_STATE_H

#include <xids/xs_state.h>

#include "xenstore/server_impl.h"
#include "xenstore/tx_impl.h"

#define STATE_VERSION 2u
#define STATE_PREAMBLE 16u
#define STATE_HEADER 8u
/* Xen's number for "no domain", where a target is named. */
#define STATE_NO_DOMAIN 0x7ff4u
/* A depth in the stream: more than any path has names, so that it stands for all that is more. */
#define STATE_DEPTH_MAX 0xfffeu
#define STATE_DEPTH_ANY 0xffffu

enum state_type {
    STATE_END = 0,
    STATE_GLOBAL = 1,
    STATE_CONN = 2,
    STATE_WATCH = 3,
    STATE_TX = 4,
    STATE_NODE = 5,
    STATE_QUOTA = 6,
    STATE_DOMAIN = 7,
    STATE_WATCH_EXT = 8,
    /* Ours: "xi" and a number. */
    STATE_OUR_SERVER = 0x78690001,
    STATE_OUR_NOTE = 0x78690002,
    STATE_OUR_CONN = 0x78690003,
    STATE_OUR_INPUT = 0x78690004,
    STATE_OUR_PENDING = 0x78690005,
    STATE_OUR_OVERFLOW = 0x78690006,
    STATE_OUR_AGE = 0x78690007,
    STATE_OUR_AWAITED = 0x78690008,
    STATE_OUR_FORGOTTEN = 0x78690009,
    STATE_OUR_TX = 0x7869000a,
    STATE_OUR_TX_PUT = 0x7869000b,
    STATE_OUR_TX_GONE = 0x7869000c,
    STATE_OUR_TX_PATH = 0x7869000d,
    STATE_OUR_TX_OP = 0x7869000e,
    STATE_OUR_DOMAIN = 0x7869000f,
    STATE_OUR_HELD = 0x78690010,
    /* Of a journal alone. */
    STATE_OUR_GLOBALS = 0x78690011,
    STATE_OUR_SECTION = 0x78690012,
    STATE_OUR_RING = 0x78690013,
};

enum {
    STATE_CONN_RING = 0,
    STATE_CONN_SOCKET = 1,
    STATE_CONN_UNIQUE_ID = 1, /* in the fields: 8 bytes follow the data */
    STATE_PERM_IGNORED = 1,
};

/* In OUR_CONN. */
enum {
    STATE_CONN_BROKEN = 1,
    STATE_CONN_SHUTDOWN = 2,
    STATE_CONN_INDICES = 4,
};

/* In OUR_RING: what was on its way was more than can be kept. */
#define STATE_RING_LOST 1u

/* In OUR_TX. */
enum {
    STATE_TX_STALE = 1,
    STATE_TX_FAILED = 2,
    STATE_TX_LOST = 4,
};

/* In OUR_TX_PATH. */
enum {
    STATE_PATH_EVENT = 1,
    STATE_PATH_REMOVED = 2,
    STATE_PATH_TOOK = 4,
    STATE_PATH_NAMED = 8,
};

/* Which of a transaction's trees a record changes. */
enum state_tree {
    STATE_TREE_BASE = 0,
    STATE_TREE_TOP = 1,
    STATE_TREE_FORCE = 2, /* of a journal: the tree in force */
};

/* ---- writing: migrate_out.c ---- */

#define STATE_BUFFER (64u * 1024u)

struct state_out {
    struct xids_xs_server *s;
    const struct xids_xs_save *save;
    uint8_t *buffer;
    size_t used;
    int error; /* the first one */
    /* Where a walk of a tree stands: nodes still to be visited, and the path down to the one that is. */
    struct state_item {
        uint64_t order;
        const struct xids_store_node *was; /* in a comparison: the same node in the other tree */
        const struct xids_store_node *n;
        uint32_t base; /* bytes of the path above it */
        bool gone;     /* in a comparison: it is not in the tree to be made */
    } * items, *spare;
    uint32_t nitems, cap_items, cap_spare;
    char path[XIDS_STORE_PATH_MAX + 1];
};

/* Room for n contiguous bytes of the stream, at most STATE_BUFFER, to be filled at once; NULL after an error. */
uint8_t *xids_xs_state_room(struct state_out *o, size_t n);
void xids_xs_state_bytes(struct state_out *o, const void *bytes, size_t n);
/* A record's header and room for its body, with the padding in zeros; of what is longer only the header is written. */
uint8_t *xids_xs_state_record(struct state_out *o, uint32_t type, size_t body);
void xids_xs_state_pad(struct state_out *o, size_t body);
void xids_xs_state_flush(struct state_out *o);

static inline size_t state_padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static inline uint8_t *put16(uint8_t *at, uint32_t v)
{
    uint16_t w = (uint16_t)v;
    __builtin_memcpy(at, &w, sizeof(w));
    return at + sizeof(w);
}

static inline uint8_t *put32(uint8_t *at, uint32_t v)
{
    __builtin_memcpy(at, &v, sizeof(v));
    return at + sizeof(v);
}

static inline uint8_t *put64(uint8_t *at, uint64_t v)
{
    __builtin_memcpy(at, &v, sizeof(v));
    return at + sizeof(v);
}

static inline uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t n)
{
    if (n > 0)
        __builtin_memcpy(at, bytes, n);
    return at + n;
}

uint8_t *xids_xs_state_put_perms(uint8_t *at, const struct perms *perms);

/* migrate_save.c: parts of the whole, for a journal. */
void xids_xs_state_save_counters(struct state_out *o);
void xids_xs_state_save_globals(struct state_out *o);
/* A ring's connection without what is on its way, and its watches. */
void xids_xs_state_save_section(struct state_out *o, struct xids_xs_conn *c, uint32_t id,
                                const struct xids_xs_state_conn *st);

/* migrate_tree.c: the nodes in force, all or some at a time (true: there are more), and what makes one tree out of
 * another. */
void xids_xs_state_save_nodes(struct state_out *o);
void xids_xs_state_nodes_start(struct state_out *o, const struct xids_store_node *top);
bool xids_xs_state_nodes_some(struct state_out *o, unsigned int max);
void xids_xs_state_save_changes(struct state_out *o, enum state_tree tree, const struct xids_store_node *from,
                                const struct xids_store_node *to);

/* migrate_tx.c: all transactions. */
void xids_xs_state_save_transactions(struct state_out *o);

/* ---- reading ---- */

/* The part of a record that has not been read yet. */
struct state_body {
    const uint8_t *at;
    size_t left;
    bool broken; /* something was to be read that is not there */
};

struct state_conn {
    uint32_t id;
    struct xids_xs_conn *conn;
    struct xids_xs_state_conn state;
    bool indices;
    uint32_t req_cons, rsp_prod;
};

struct state_in {
    struct xids_xs_server *s;
    const struct xids_xs_restore *restore;
    struct xids_xs_state_error *error;
    uint32_t version;
    struct xids_xs_state_global global;
    struct state_conn *conns; /* by id */
    uint32_t nconns, cap_conns;
    struct watch **watches; /* in the order of the stream */
    uint32_t nwatches, cap_watches;
    /* The nodes from the root down to the one that was read last. */
    struct state_level {
        struct xids_store_node *n;
        uint32_t len;    /* bytes of the path down to it */
        uint32_t visits; /* steps of a walk down to it */
    } * levels;
    uint32_t nlevels;
    char last[XIDS_STORE_PATH_MAX + 1]; /* its path */
    uint32_t last_len;
    struct perms *perms; /* the list that was read last, and its bytes */
    const uint8_t *perms_bytes;
    size_t perms_len;
    struct forgotten **last_forgotten;               /* where the next one goes; NULL: there was none */
    uint64_t seen_forgotten[1024], seen_early[1024]; /* a bit for each domain */
    uint64_t seq, generation;                        /* of the next node; 0: not told */
    uint64_t newest;                                 /* the highest number seen */
    bool seen_server;
    bool journal; /* what is read changes the tree in force, which is counted at the end */
    /* The transaction that is being read. */
    struct xids_store_tx *tx;
    struct transaction *tx_of; /* until it is counted for tx_conn */
    struct xids_xs_conn *tx_conn;
    struct xids_store_node *reference; /* the snapshot of the one before */
    bool tx_counted;                   /* its own tree is told by what makes it out of the tree in force */
    struct entry **entries;
    uint32_t nentries, cap_entries;
};

static inline const uint8_t *take_bytes(struct state_body *b, size_t n)
{
    const uint8_t *at = b->at;
    if (b->broken || n > b->left) {
        b->broken = true;
        return NULL;
    }
    b->at += n;
    b->left -= n;
    return at;
}

static inline uint32_t take16(struct state_body *b)
{
    uint16_t v = 0;
    const uint8_t *at = take_bytes(b, sizeof(v));
    if (at != NULL)
        __builtin_memcpy(&v, at, sizeof(v));
    return v;
}

static inline uint32_t take32(struct state_body *b)
{
    uint32_t v = 0;
    const uint8_t *at = take_bytes(b, sizeof(v));
    if (at != NULL)
        __builtin_memcpy(&v, at, sizeof(v));
    return v;
}

static inline uint64_t take64(struct state_body *b)
{
    uint64_t v = 0;
    const uint8_t *at = take_bytes(b, sizeof(v));
    if (at != NULL)
        __builtin_memcpy(&v, at, sizeof(v));
    return v;
}

/* migrate_in.c */
int xids_xs_state_load_record(struct state_in *in, uint32_t type, struct state_body *b);
/* Begins to read, into a server just made; takes back all but what has been restored. */
int xids_xs_state_in_new(struct state_in **in, struct xids_xs_server *s, struct xids_xs_state_error *error,
                         const struct xids_xs_restore *restore);
void xids_xs_state_in_free(struct state_in *in);
/* -XEN_EBADMSG, with the reason. */
int xids_xs_state_bad(struct state_in *in, const char *reason);
/* Room for one more item of an array; -XEN_ENOMEM. */
int xids_xs_state_grow(struct xids_xs_server *s, void **v, uint32_t *cap, uint32_t n, size_t item);
/* The list of count permissions that comes next, with a reference for the caller. */
int xids_xs_state_take_perms(struct state_in *in, struct perms **perms, struct state_body *b, uint32_t count);

/* migrate_load.c: the records of the connections. */
struct state_conn *xids_xs_state_conn(struct state_in *in, uint32_t id);

/* migrate_node.c */
int xids_xs_state_nodes_begin(struct state_in *in);
int xids_xs_state_load_node(struct state_in *in, struct state_body *b);
int xids_xs_state_load_age(struct state_in *in, struct state_body *b);
int xids_xs_state_nodes_end(struct state_in *in);
int xids_xs_state_count_all(struct state_in *in);
int xids_xs_state_load_put(struct state_in *in, struct state_body *b);
int xids_xs_state_load_gone(struct state_in *in, struct state_body *b);

/* migrate_tx.c */
int xids_xs_state_tx_end(struct state_in *in);
void xids_xs_state_tx_charge(struct state_in *in);
int xids_xs_state_load_tx(struct state_in *in, struct state_body *b);
int xids_xs_state_load_our_tx(struct state_in *in, struct state_body *b);
int xids_xs_state_load_tx_path(struct state_in *in, struct state_body *b);
int xids_xs_state_load_tx_op(struct state_in *in, struct state_body *b);

/* migrate_load.c */
int xids_xs_state_load_conn(struct state_in *in, struct state_body *b);
int xids_xs_state_load_our_conn(struct state_in *in, struct state_body *b);
int xids_xs_state_load_input(struct state_in *in, struct state_body *b);
int xids_xs_state_load_watch(struct state_in *in, struct state_body *b);
int xids_xs_state_load_watch_ext(struct state_in *in, struct state_body *b);
int xids_xs_state_load_pending(struct state_in *in, struct state_body *b);
int xids_xs_state_load_overflow(struct state_in *in, struct state_body *b);
int xids_xs_state_load_quota(struct state_in *in, struct state_body *b);
int xids_xs_state_load_domain(struct state_in *in, struct state_body *b, bool known);
int xids_xs_state_load_held(struct state_in *in, struct state_body *b);
int xids_xs_state_load_awaited(struct state_in *in, struct state_body *b);
int xids_xs_state_load_forgotten(struct state_in *in, struct state_body *b);
int xids_xs_state_bring_up(struct state_in *in);
/* Bytes that wait for a connection, rest of them the end of a message. -XEN_EBADMSG without a reason; -XEN_ENOMEM. */
int xids_xs_state_set_output(struct xids_xs_conn *c, const uint8_t *bytes, size_t len, size_t rest);
int xids_xs_state_set_early(struct xids_xs_conn *c, const uint8_t *bytes, size_t len);

#endif
