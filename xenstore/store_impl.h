/* SPDX-License-Identifier: ISC */
/* Inside the store: shared by the files that make it up and by the watches, which look at removed subtrees. */
#ifndef XIDS_XENSTORE_STORE_IMPL_H
#define XIDS_XENSTORE_STORE_IMPL_H

#include <xids/store.h>

/* The bytes of a struct that ends in an array of len bytes: never less than what assigning the struct writes. */
#define FLEXIBLE(type, array, len) \
    (offsetof(type, array) + (len) > sizeof(type) ? offsetof(type, array) + (len) : sizeof(type))

#define PATH_DEPTH_MAX (XIDS_STORE_PATH_MAX / 2u + 2u)

/*
 * One name of a path. An absolute path begins with an empty one, a special path is one name with an @: so both kinds
 * hang below one hidden top and need no case of their own.
 */
struct part {
    uint16_t at;
    uint16_t len;
    uint32_t hash;
};

struct xids_store_node;

struct xids_store_path {
    uint32_t depth; /* number of parts, at least 1 */
    uint32_t len;
    struct part parts[PATH_DEPTH_MAX];
    char bytes[XIDS_STORE_PATH_MAX + 1];
};

/* Equal lists are one object, so that comparing is comparing pointers. */
struct perms {
    struct perms *next; /* in the table's chain */
    uint32_t refs;
    uint32_t hash;
    uint64_t mask; /* mask_of of each domain named */
    uint32_t count;
    struct xids_xs_perm e[];
};

/*
 * A node. The children of a directory form a digital search tree: at depth d the bit d of the name's hash says left or
 * right. As the hash is keyed, it is balanced without any turning. A node with more than one reference belongs to a
 * snapshot too and is not changed, but for mask.
 */
struct xids_store_node {
    uint32_t refs;
    uint32_t hash;
    struct xids_store_node *kid[2];
    struct xids_store_node *children;
    struct perms *perms;
    uint64_t seq; /* order of creation; of a node waiting to be freed: the next one */
    uint64_t generation;
    uint64_t mask; /* at least the domains named in this node, below it, and in and below its kids */
    uint32_t nchildren;
    uint32_t childbytes; /* their names, with a NUL each */
    uint16_t name_len;
    uint16_t value_len;
    char bytes[]; /* the name, the value */
};

/* What a domain owns. */
struct owned {
    uint32_t nodes;
    uint64_t bytes;
};

/* Changes in what domains own, made by a transaction and not in force yet. */
struct count {
    uint16_t domid;
    int32_t delta;
    int64_t bytes;
};

struct counts {
    struct count *v;
    uint32_t n, cap;
    struct gone *gone; /* removed subtrees that are not counted yet */
};

/* A tree to work on: the one in force or a transaction's. */
struct view {
    struct xids_store_node **top;
    struct counts *counts; /* NULL: the tree in force, counted at once */
};

/* One step of a walk: a node still to be visited, or one whose subtree has been. */
struct step {
    struct xids_store_node *n;
    uint32_t depth;
    bool leaving;
};

struct xids_store {
    struct xids_alloc alloc;
    void (*changed)(void *ctx, const struct xids_store_event *event);
    void *ctx;
    uint64_t key[2];
    uint32_t nameless; /* the hash of no name, with which each absolute path begins */
    uint16_t owner;
    struct xids_store_node *top;
    uint64_t generation;          /* counts changes; also the order of creation */
    uint64_t version;             /* counts changes to the tree in force */
    struct xids_store_node *dead; /* to be freed */
    struct perms **perms;
    uint32_t perms_buckets, perms_count;
    struct owned *owned[256]; /* per domid >> 8, allocated when first needed */
    uint32_t nodes;
    uint64_t bytes;
    uint64_t made;                         /* bytes of nodes made since the start, the freed ones too */
    uint64_t removed;                      /* the same of removed ones, and of values that became shorter */
    struct xids_store_tx *oldest, *newest; /* transactions whose snapshots are bound */
    enum xids_store_limit refused;
    struct step *stack; /* room for a walk of the deepest tree there has been */
    uint32_t stack_cap;
    struct xids_store_tx *over;        /* transactions to be freed */
    struct gone *gone, *gone_last;     /* removed subtrees whose nodes still count */
    uint64_t removals;                 /* how many such there have been */
    struct xids_store_node **settling; /* the way through the first of them; room for stack_cap */
    uint32_t nsettling;
    uint64_t work; /* nodes looked at, beyond those on the way to a path: a measure of cost */
    struct xids_store_path *scratch;
    const struct xids_store_node
        *chain[PATH_DEPTH_MAX + 1]; /* the directories above the node that a walk has reached */
    /* The names of the children of the directory that was listed last, for those who list it in parts. */
    struct listing {
        uint64_t generation;
        char *bytes;
        size_t len, cap;
        struct xids_store_node **sort; /* twice cap_sort */
        uint32_t cap_sort;
    } listing;
};

/* The answer to what a limit does not allow. */
static inline int refuse(struct xids_store *s, enum xids_store_limit limit)
{
    s->refused = limit;
    return -XEN_ENOSPC;
}

/* Whether a value is more than a limit allows; 0 allows all. */
static inline bool beyond(uint64_t limit, uint64_t value)
{
    return limit != 0 && value > limit;
}

static inline uint64_t mask_of(uint16_t domid)
{
    return UINT64_C(1) << ((domid * 0x9e37u >> 4) & 63u);
}

static inline unsigned int way(uint32_t hash, unsigned int depth)
{
    return depth < 32 ? (hash >> depth) & 1u : 0;
}

/* What malloc would give anyway: a value that grows a little stays where it is. */
static inline size_t node_bytes_for(size_t name_len, size_t value_len)
{
    return ((offsetof(struct xids_store_node, bytes) + name_len + value_len + 7) & ~(size_t)15) + 8;
}

static inline const char *node_name(const struct xids_store_node *n)
{
    return n->bytes;
}

static inline const char *node_value(const struct xids_store_node *n)
{
    return n->bytes + n->name_len;
}

static inline const char *part_name(const struct xids_store_path *p, uint32_t i)
{
    return p->bytes + p->parts[i].at;
}

static inline bool node_is(const struct xids_store_node *n, uint32_t hash, const char *name, uint32_t len)
{
    return n->hash == hash && n->name_len == len && __builtin_memcmp(n->bytes, name, len) == 0;
}

/* ---- store.c ---- */
/* What the store has besides its nodes. */
size_t xids_store_tables_bytes(const struct xids_store *s);

/* ---- path.c ---- */
uint32_t xids_store_hash(const uint64_t key[2], const char *s, size_t len);

/* ---- node.c ---- */
void *xids_store_get(struct xids_store *s, size_t size);
void xids_store_put(struct xids_store *s, void *mem, size_t size);
struct xids_store_node *xids_store_node_new(struct xids_store *s, const struct part *part, const char *name,
                                            struct perms *perms, const void *value, size_t len);
void xids_store_node_unref(struct xids_store *s, struct xids_store_node *n);
/* What a node costs its owner, whether it shares its permissions with others or not. */
size_t xids_store_node_cost(const struct xids_store_node *n);
size_t xids_store_cost(size_t name_len, size_t value_len, const struct perms *perms);
int xids_store_node_own(struct xids_store *s, struct xids_store_node **slot);
int xids_store_node_set_value(struct xids_store *s, struct xids_store_node **slot, const void *value, size_t len);
struct xids_store_node *xids_store_child(const struct xids_store_node *dir, uint32_t hash, const char *name,
                                         uint32_t len);

/* The node of the first depth parts of a path, or NULL. */
struct xids_store_node *xids_store_find(const struct xids_store_node *top, const struct xids_store_path *p,
                                        uint32_t depth);

/*
 * Walks down to the first depth parts, making everything on the way the caller's own. Sets *slot to where the last
 * part is or would be (then **slot is NULL), *dir to its directory, *missing to the number of parts that are not there
 * (0: found; slot is then for the first of them). Adds mask on the way.
 */
struct descent {
    struct xids_store_node **slot;
    struct xids_store_node *dir;
    uint32_t missing;
    uint32_t visits;
};
int xids_store_descend(struct xids_store *s, struct xids_store_node **top, struct descent *d,
                       const struct xids_store_path *p, uint32_t depth, uint64_t mask);

/* Takes a node out of its directory's tree. It keeps what is below it. May fail before anything was changed. */
int xids_store_unlink(struct xids_store *s, struct xids_store_node **removed, struct xids_store_node **slot,
                      struct xids_store_node *dir);

/* Walks: the stack has room for any tree there is, so a walk cannot fail. */
int xids_store_stack_reserve(struct xids_store *s, uint32_t visits);

/* A name and what belongs in front of it, as a path: from the chain of a walk. */
void xids_store_path_from_chain(struct xids_store *s, struct xids_store_path *p, uint32_t depth);

/* ---- perms.c ---- */
struct perms *xids_store_perms_get(struct xids_store *s, const struct xids_xs_perm *e, uint32_t count);
void xids_store_perms_unref(struct xids_store *s, struct perms *p);
size_t xids_store_perms_bytes(const struct perms *p);
unsigned int xids_store_access(const struct perms *p, const struct xids_store_who *who);
bool xids_store_is_owner(const struct perms *p, const struct xids_store_who *who);
void xids_store_perms_free_all(struct xids_store *s);

/* ---- gone.c ---- */
struct gone *xids_store_gone_new(struct xids_store *s);
void xids_store_gone_free(struct xids_store *s, struct gone *list);
void xids_store_gone_add(struct gone **list, struct gone *g, struct xids_store_node *root);
/* Moves a transaction's list to the tree in force. */
void xids_store_gone_move(struct xids_store *s, struct gone **list);
/* Whether some of what was removed before who's request was first put off still counts; for who->usage->waits_for. */
bool xids_store_uncounted(const struct xids_store *s, const struct xids_store_who *who);
/* Takes at most max removed nodes out of the counts; true when there are more. */
bool xids_store_settle(struct xids_store *s, unsigned int max);

/* ---- count.c ---- */
int xids_store_count_reserve(struct xids_store *s, struct counts *c, uint16_t domid);
void xids_store_count_add(struct xids_store *s, struct counts *c, uint16_t domid, int32_t nodes, int64_t bytes);
struct count xids_store_count_delta(const struct counts *c, uint16_t domid);
/*
 * Whether so many more bytes may be held for who, when others of his are freed: 0; -XEN_ENOSPC; XIDS_STORE_LATER: it
 * depends on removed nodes that still count.
 */
int xids_store_room(struct xids_store *s, const struct xids_store_who *who, int64_t more, uint64_t freed);
void xids_store_count_free(struct xids_store *s, struct counts *c);

/* ---- change.c: changes to a view, without any notes for transactions, and without events ---- */
struct change {
    struct xids_store_node *removed; /* the subtree taken out; the caller drops the reference */
    /* Of a write: what was written, and its directory, or NULL. */
    const struct xids_store_node *node, *dir;
    bool created;
    bool done; /* something was changed */
};
int xids_store_do_write(struct xids_store *s, const struct view *v, struct change *c, const struct xids_store_who *who,
                        const struct xids_store_path *p, const void *value, size_t len, bool mkdir);
int xids_store_do_rm(struct xids_store *s, const struct view *v, struct change *c, const struct xids_store_who *who,
                     const struct xids_store_path *p);
int xids_store_do_set_perms(struct xids_store *s, const struct view *v, const struct xids_store_who *who,
                            const struct xids_store_path *p, struct perms *perms);

/* What who may do with the node of a path or, when it is missing, with its nearest existing ancestor. */
unsigned int xids_store_access_at(const struct xids_store_node *top, const struct xids_store_who *who,
                                  const struct xids_store_path *p, const struct xids_store_node **found);

/* ---- events ---- */
struct xids_store_event {
    const struct xids_store_path *path;
    const struct perms *before;            /* what counted before, or NULL */
    const struct xids_store_node *node;    /* as it is now; of a removed one: as it was */
    const struct xids_store_node *parent;  /* as it is now, or NULL */
    const struct xids_store_node *removed; /* the subtree taken away, or NULL */
    const struct xids_store_node *now;     /* what stands in its place */
    const struct xids_store_tx *tx;        /* the transaction that is committing, or NULL */
};
/* Who may read the node, as it was or is, or its parent, may know of the change. */
bool xids_store_event_visible(const struct perms *before, const struct xids_store_node *n,
                              const struct xids_store_node *parent, const struct xids_store_who *who);
void xids_store_fire(struct xids_store *s, const struct xids_store_event *event);

/* ---- tx.c ---- */
enum read_kind {
    READ_ACCESS = 1, /* existence, and what we may do with it or with what is above it */
    READ_VALUE = 2,
    READ_PERMS = 4,
    READ_CHILDREN = 8,
    READ_RIGHT = 16, /* what we may do with what we have written: it may stand where others have given rights */
};
/* Frees some of what transactions have left. */
void xids_store_tx_reap(struct xids_store *s, unsigned int max);
struct view xids_store_view(struct xids_store *s, struct xids_store_tx *tx);
int xids_store_tx_note_read(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                            const struct xids_store_path *p, unsigned int kinds);
enum write_kind {
    WROTE_VALUE,
    WROTE_DIR,
    WROTE_REMOVAL,
    WROTE_PERMS,
};
/* Two steps, so that nothing fails after the change: make room, then, with the change done, record it. */
int xids_store_tx_prepare_write(struct xids_store *s, struct xids_store_tx *tx, const struct xids_store_who *who,
                                const struct xids_store_path *p, enum write_kind kind, const void *value, size_t len,
                                struct perms *perms);
void xids_store_tx_record_write(struct xids_store *s, struct xids_store_tx *tx, bool done);

/* Takes the snapshot of a bound transaction away when it may keep too much; for each change. */
void xids_store_tx_lose(struct xids_store *s);

/* Nodes made or copied for the transaction are its own. */
void xids_store_tx_add_made(struct xids_store_tx *tx, uint64_t bytes);

/*
 * Whether the transaction that is committing tells of a node otherwise than with the removal of the path's first depth
 * parts: by an event of its own, or with the removal of something in between.
 */
bool xids_store_tx_tells(const struct xids_store_tx *tx, const struct xids_store_path *p, uint32_t depth);

#endif
