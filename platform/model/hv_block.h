/* SPDX-License-Identifier: ISC */
/*
 * The layout of the block of hv.h, and what the hv*.c files share. In the records, fields marked "derived" can be
 * rebuilt from the others; the field that makes a record valid is named and is stored last.
 */
#ifndef XIDS_PLATFORM_MODEL_HV_BLOCK_H
#define XIDS_PLATFORM_MODEL_HV_BLOCK_H

#include <platform/model/hv.h>

#define HV_MAGIC 0x7668736469780a01ull
#define HV_CHUNK 64u
#define HV_DOMIDS ((uint32_t)DOMID_FIRST_RESERVED)
#define HV_VIRQS 24u

/* Fields that calls without the lock read or write are accessed with these everywhere. */
#define HV_LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define HV_STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

enum hv_area {
    HV_AREA_DOMID_BITS, /* a bit for each domid in use, derived */
    HV_AREA_DOMIDS,     /* the domain's slot for each domid, derived; trusted only when the slot agrees */
    HV_AREA_DOMAINS,
    HV_AREA_PORT_TABLE, /* for each domain the chunks of its ports: chunk numbers from 1, 0 for none yet */
    HV_AREA_GRANT_TABLE,
    HV_AREA_PORT_CHUNKS,
    HV_AREA_GRANT_CHUNKS,
    HV_AREA_PORTS,
    HV_AREA_GRANTS,
    HV_AREA_OWNERS,
    HV_AREA_MAPS,
    HV_AREA_MAPPED,
    HV_AREA_FRAME_BITS, /* a bit for each frame in use, derived */
    HV_AREA_FRAMES,
    HV_AREAS,
};

/* Records numbered from 1: those above high were never used; the others not in use are listed from free, derived. */
struct hv_pool {
    uint32_t high;
    uint32_t free;
};

struct xids_hv_block {
    uint64_t magic;
    uint32_t version;
    uint32_t domid_next;
    uint64_t size;
    uint64_t incarnation;
    struct xids_hv_limits limits;
    uint32_t frame_high;
    uint32_t frame_cursor;
    uint32_t frames_used; /* derived */
    uint32_t pad;
    struct hv_pool domains, owners, port_chunks, grant_chunks, maps, mapped;
    uint64_t area[HV_AREAS];        /* offsets in bytes */
    uint64_t global_virq[HV_VIRQS]; /* the port, see hv_ref; derived */
};

/* Valid when live is 1. */
struct hv_domain {
    uint32_t live;
    uint32_t next_free; /* derived */
    uint32_t domid;
    uint32_t flags;
    uint32_t reason;
    uint32_t pauses;                    /* not yet taken back */
    uint32_t port_chunks, grant_chunks; /* how many entries of its tables may be set */
    uint64_t incarnation;
    uint8_t handle[16];
    uint64_t param[XIDS_HV_PARAMS];
    uint64_t user[XIDS_HV_USER_WORDS];
    /* derived */
    uint32_t owner_list, frame_list;
    uint32_t owners, frames, ports, grants;
    uint32_t port_hint, grant_hint; /* no chunk below has a free number */
    uint32_t virq[HV_VIRQS];        /* the port */
};

/* Valid when the lowest bit of word is set; the generation is above it. */
struct hv_owner {
    uint32_t word;
    uint32_t domain; /* slot */
    uint32_t cookie;
    uint32_t next_free;           /* derived, as is the rest */
    uint32_t next, prev;          /* in the domain's list */
    uint32_t port_list, map_list; /* port_list: index + 1 */
};

/* Which numbers of 64 consecutive ones of a domain are in use: derived. */
struct hv_chunk {
    uint64_t used;
    uint32_t next_free;
    uint32_t pad;
};

/* The low half of a port's word; the high half is its generation, so that a stale reference is noticed. */
#define HV_PORT_TYPE 0x7u
#define HV_PORT_FREE 0u
#define HV_PORT_UNBOUND 1u
#define HV_PORT_INTERDOMAIN 2u
#define HV_PORT_VIRQ 3u
#define HV_PORT_QUEUED 0x8u
#define HV_PORT_MASKED 0x10u
#define HV_PORT_LATCHED 0x20u
#define HV_PORT_CLOSING 0x40u /* closed by its owner, held open by a notification */

/* Valid when the type in word is not FREE. One cache line, for events are sent from all sides. */
struct hv_port {
    uint64_t word;
    uint64_t link; /* interdomain: the peer, see hv_ref */
    uint32_t owner;
    uint32_t number;
    uint32_t domain; /* slot */
    uint16_t remote;
    uint16_t virq;
    uint32_t next, prev; /* in the owner's list, as index + 1; derived */
    uint32_t pins;       /* notifications that name it; derived */
    uint32_t pad[3];
};

#define HV_GRANT_USED 1u
#define HV_GRANT_READONLY 2u
#define HV_GRANT_ENDING 4u /* given up by unshare while mapped: ends with the last map */

/* Valid when USED is in word. */
struct hv_grant {
    uint32_t word;
    uint32_t generation;
    uint32_t frame;
    uint32_t number;
    uint32_t domain; /* slot */
    uint16_t remote;
    uint16_t pad;
    uint32_t share; /* the share it belongs to, or 0 */
    uint32_t next;  /* in the share, as index + 1 */
    uint32_t maps;  /* derived */
};

#define HV_MAP_FREE 0u

/* Valid when kind (an enum xids_hv_kind) is not 0. */
struct hv_map {
    uint32_t kind;
    uint32_t generation;
    uint32_t owner;
    uint32_t flags; /* enum xids_map_flags */
    uint32_t count;
    uint32_t first;       /* of a map: the first entry; of a share: the first grant's index + 1 */
    uint64_t notify_port; /* see hv_ref; 0: none */
    uint32_t notify_offset;
    uint16_t notify_clear;
    uint16_t remote;
    uint32_t frame;      /* of a share: the first */
    uint32_t next_free;  /* derived, as is the rest */
    uint32_t next, prev; /* in the owner's list */
};

/* One page of a map. Valid when reached from a valid map. */
struct hv_mapped {
    uint64_t grant; /* see hv_ref; 0: a foreign page */
    uint32_t frame;
    uint32_t next; /* in the map, or in the free list */
};

#define HV_FRAME_FREE 0u
#define HV_FRAME_OWNED 1u
#define HV_FRAME_ORPHAN 2u /* owned by nobody, still mapped */

/* Valid when state is not FREE. */
struct hv_frame {
    uint32_t state;
    uint32_t domain;       /* slot */
    uint32_t shared;       /* it came with a share, and goes with it */
    uint32_t maps, grants; /* derived, as is the rest */
    uint32_t next, prev;   /* in the domain's list */
};

/* A port or grant by index and generation: nonzero, and stale once the record was used again. */
static inline uint64_t hv_ref(uint32_t index, uint32_t generation)
{
    return (uint64_t)generation << 32 | index;
}

static inline uint32_t hv_ref_index(uint64_t ref)
{
    return (uint32_t)ref;
}

static inline uint32_t hv_ref_generation(uint64_t ref)
{
    return (uint32_t)(ref >> 32);
}

static inline void *hv_area(struct xids_hv_block *b, enum hv_area area)
{
    return (char *)b + b->area[area];
}

static inline struct hv_domain *hv_domain_at(struct xids_hv_block *b, uint32_t slot)
{
    return (struct hv_domain *)hv_area(b, HV_AREA_DOMAINS) + slot;
}

static inline struct hv_owner *hv_owner_at(struct xids_hv_block *b, uint32_t slot)
{
    return (struct hv_owner *)hv_area(b, HV_AREA_OWNERS) + slot;
}

static inline struct hv_port *hv_port_at(struct xids_hv_block *b, uint32_t index)
{
    return (struct hv_port *)hv_area(b, HV_AREA_PORTS) + index;
}

static inline struct hv_grant *hv_grant_at(struct xids_hv_block *b, uint32_t index)
{
    return (struct hv_grant *)hv_area(b, HV_AREA_GRANTS) + index;
}

static inline struct hv_chunk *hv_port_chunk_at(struct xids_hv_block *b, uint32_t chunk)
{
    return (struct hv_chunk *)hv_area(b, HV_AREA_PORT_CHUNKS) + chunk;
}

static inline struct hv_chunk *hv_grant_chunk_at(struct xids_hv_block *b, uint32_t chunk)
{
    return (struct hv_chunk *)hv_area(b, HV_AREA_GRANT_CHUNKS) + chunk;
}

static inline struct hv_map *hv_map_at(struct xids_hv_block *b, uint32_t slot)
{
    return (struct hv_map *)hv_area(b, HV_AREA_MAPS) + slot;
}

static inline struct hv_mapped *hv_mapped_at(struct xids_hv_block *b, uint32_t entry)
{
    return (struct hv_mapped *)hv_area(b, HV_AREA_MAPPED) + entry;
}

static inline struct hv_frame *hv_frame_at(struct xids_hv_block *b, uint32_t frame)
{
    return (struct hv_frame *)hv_area(b, HV_AREA_FRAMES) + frame;
}

static inline uint64_t *hv_frame_bits(struct xids_hv_block *b)
{
    return hv_area(b, HV_AREA_FRAME_BITS);
}

static inline uint64_t *hv_domid_bits(struct xids_hv_block *b)
{
    return hv_area(b, HV_AREA_DOMID_BITS);
}

static inline uint32_t *hv_domids(struct xids_hv_block *b)
{
    return hv_area(b, HV_AREA_DOMIDS);
}

/* A domain's tables of chunks. */
static inline uint32_t *hv_port_table(struct xids_hv_block *b, uint32_t slot)
{
    return (uint32_t *)hv_area(b, HV_AREA_PORT_TABLE) + (size_t)slot * (b->limits.ports_per_domain / HV_CHUNK);
}

static inline uint32_t *hv_grant_table(struct xids_hv_block *b, uint32_t slot)
{
    return (uint32_t *)hv_area(b, HV_AREA_GRANT_TABLE) + (size_t)slot * (b->limits.grants_per_domain / HV_CHUNK);
}

static inline void hv_lock(struct xids_hv *hv)
{
    if (hv->env.lock)
        hv->env.lock(hv->env.ctx);
}

/* Returns ret, so that a call can end in one line. */
static inline int hv_unlock(struct xids_hv *hv, int ret)
{
    if (hv->env.unlock)
        hv->env.unlock(hv->env.ctx);
    return ret;
}

/* ---- hv.c: numbers of records and of a domain's things ---- */

/* A record number of a pool whose records link through *next_free(b, number); 0: none left. */
uint32_t hv_pool_take(struct hv_pool *pool, uint32_t limit, struct xids_hv_block *b,
                      uint32_t *(*next_free)(struct xids_hv_block *b, uint32_t number));
void hv_pool_put(struct hv_pool *pool, uint32_t number, struct xids_hv_block *b,
                 uint32_t *(*next_free)(struct xids_hv_block *b, uint32_t number));
uint32_t *hv_domain_next_free(struct xids_hv_block *b, uint32_t number);
uint32_t *hv_owner_next_free(struct xids_hv_block *b, uint32_t number);
uint32_t *hv_map_next_free(struct xids_hv_block *b, uint32_t number);
uint32_t *hv_mapped_next_free(struct xids_hv_block *b, uint32_t number);
uint32_t *hv_port_chunk_next_free(struct xids_hv_block *b, uint32_t number);
uint32_t *hv_grant_chunk_next_free(struct xids_hv_block *b, uint32_t number);

/*
 * Takes a free port number (grant reference) of a domain: wanted, or any for UINT32_MAX. Sets *index to that of its
 * record and returns the number, -XEN_ENOSPC, -XEN_ENOMEM, -XEN_EEXIST (wanted is in use) or -XEN_EINVAL.
 */
int hv_port_number_take(struct xids_hv_block *b, uint32_t *index, uint32_t slot, uint32_t wanted);
int hv_grant_number_take(struct xids_hv_block *b, uint32_t *index, uint32_t slot, uint32_t wanted);
void hv_port_number_put(struct xids_hv_block *b, uint32_t slot, uint32_t number);
void hv_grant_number_put(struct xids_hv_block *b, uint32_t slot, uint32_t number);
/* Gives back all chunks of a domain without a port or grant. */
void hv_chunks_put(struct xids_hv_block *b, uint32_t slot);

/* The record of a port number (grant reference) of a domain, in use or not; NULL: there is none. */
struct hv_port *hv_port_find(struct xids_hv_block *b, uint32_t slot, uint32_t number);
struct hv_grant *hv_grant_find(struct xids_hv_block *b, uint32_t slot, uint32_t number);

static inline uint32_t hv_port_index(struct xids_hv_block *b, const struct hv_port *p)
{
    return (uint32_t)(p - hv_port_at(b, 0));
}

static inline uint32_t hv_grant_index(struct xids_hv_block *b, const struct hv_grant *g)
{
    return (uint32_t)(g - hv_grant_at(b, 0));
}

/* ---- hv_domain.c ---- */

/* The slot of a living domain, or 0. */
uint32_t hv_domain_slot(struct xids_hv_block *b, uint32_t domid);
/* The record of an open owner, or NULL. */
struct hv_owner *hv_owner_find(struct xids_hv_block *b, uint32_t owner);
uint32_t hv_owner_id(struct xids_hv_block *b, const struct hv_owner *o);
/* Closes an owner, with or without carrying out notifications. */
void hv_owner_shut(struct xids_hv *hv, struct hv_owner *o, bool notify);
/* Puts an owner into its domain's list. */
void hv_owner_link(struct xids_hv_block *b, struct hv_owner *o);
/* Enters a living domain into the tables by domid. */
void hv_domain_enter(struct xids_hv_block *b, uint32_t slot);

/* ---- hv_frame.c ---- */

int hv_frames_take(struct xids_hv *hv, uint32_t *first, uint32_t slot, uint32_t count, bool shared);
/* The domain gives up a frame, which becomes free, or an orphan while it is mapped. */
void hv_frame_give_up(struct xids_hv *hv, uint32_t frame);
/* One map of the frame less. */
void hv_frame_unmapped(struct xids_hv *hv, uint32_t frame);
bool hv_frame_owned(struct xids_hv_block *b, uint32_t frame, uint32_t slot);
void hv_frame_link(struct xids_hv_block *b, uint32_t frame);
void hv_frame_free_now(struct xids_hv *hv, uint32_t frame);

/* ---- hv_grant.c, hv_map.c ---- */

/* Ends a grant that nobody maps. */
void hv_grant_drop(struct xids_hv_block *b, struct hv_grant *g);
/* Ends a grant that lost its share: now, or with its last map (then false). */
bool hv_grant_abandon(struct xids_hv *hv, struct hv_grant *g);
/* The grant as the domain with domid may use it, or NULL. */
struct hv_grant *hv_grant_usable(struct xids_hv_block *b, uint32_t slot, grant_ref_t ref, domid_t user, bool write);
/* Undoes a map or share; -XEN_EBUSY: pages of a share are still mapped. */
int hv_map_undo(struct xids_hv *hv, struct hv_map *m, bool notify);
void hv_map_link(struct xids_hv_block *b, struct hv_map *m);
uint32_t hv_map_id(struct xids_hv_block *b, const struct hv_map *m);

/* ---- hv_evtchn.c ---- */

/* Sends an event to the port that ref names, if it is still that one. */
void hv_port_raise(struct xids_hv *hv, uint64_t ref);
/* Sends an event through a port: to its peer, if it has one. */
void hv_port_send(struct xids_hv *hv, struct hv_port *p);
/* Closes a port whatever holds it. */
void hv_port_shut(struct xids_hv *hv, struct hv_port *p);
/* Closes a port for its owner; for its peer too, unless a notification holds it. */
void hv_port_close(struct xids_hv *hv, struct hv_port *p);
/* A notification that holds the port goes away. */
void hv_port_unpin(struct xids_hv *hv, uint64_t ref);
void hv_port_link(struct xids_hv_block *b, struct hv_port *p);
/* Changes bits of a port's word, which calls without the lock may be changing too. */
void hv_port_change(struct hv_port *p, uint32_t clear, uint32_t set);
void hv_virq_raise_global(struct xids_hv *hv, uint32_t virq);
bool hv_virq_is_global(uint32_t virq);

#endif
