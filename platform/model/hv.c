/* SPDX-License-Identifier: ISC */
/* The block: its layout, and the numbers of the records in it. */
#include "platform/model/hv_block.h"

static bool limits_good(const struct xids_hv_limits *l)
{
    return l->domains >= 1 && l->domains <= HV_DOMIDS && l->owners >= 1 && l->owners < 1u << 20 &&
           l->ports >= HV_CHUNK && l->ports <= 1u << 24 && l->ports % HV_CHUNK == 0 &&
           l->ports_per_domain >= HV_CHUNK && l->ports_per_domain <= 1u << 17 && l->ports_per_domain % HV_CHUNK == 0 &&
           l->grants >= HV_CHUNK && l->grants <= 1u << 24 && l->grants % HV_CHUNK == 0 &&
           l->grants_per_domain >= HV_CHUNK && l->grants_per_domain <= 1u << 20 &&
           l->grants_per_domain % HV_CHUNK == 0 && l->frames >= 1 && l->frames <= 1u << 28 && l->maps >= 1 &&
           l->maps < 1u << 20 && l->mapped >= 1 && l->mapped <= 1u << 24;
}

/* Places the areas one behind the other; returns the size of all. Records numbered from 1 waste one. */
static uint64_t lay_out(uint64_t area[HV_AREAS], const struct xids_hv_limits *l)
{
    const struct {
        uint64_t count, size;
    } areas[HV_AREAS] = {
        [HV_AREA_DOMID_BITS] = {(HV_DOMIDS + 63u) / 64u, sizeof(uint64_t)},
        [HV_AREA_DOMIDS] = {HV_DOMIDS, sizeof(uint32_t)},
        [HV_AREA_DOMAINS] = {l->domains + 1ull, sizeof(struct hv_domain)},
        [HV_AREA_PORT_TABLE] = {(l->domains + 1ull) * (l->ports_per_domain / HV_CHUNK), sizeof(uint32_t)},
        [HV_AREA_GRANT_TABLE] = {(l->domains + 1ull) * (l->grants_per_domain / HV_CHUNK), sizeof(uint32_t)},
        [HV_AREA_PORT_CHUNKS] = {l->ports / HV_CHUNK + 1u, sizeof(struct hv_chunk)},
        [HV_AREA_GRANT_CHUNKS] = {l->grants / HV_CHUNK + 1u, sizeof(struct hv_chunk)},
        [HV_AREA_PORTS] = {l->ports, sizeof(struct hv_port)},
        [HV_AREA_GRANTS] = {l->grants, sizeof(struct hv_grant)},
        [HV_AREA_OWNERS] = {l->owners + 1ull, sizeof(struct hv_owner)},
        [HV_AREA_MAPS] = {l->maps + 1ull, sizeof(struct hv_map)},
        [HV_AREA_MAPPED] = {l->mapped + 1ull, sizeof(struct hv_mapped)},
        [HV_AREA_FRAME_BITS] = {l->frames / 64u + 1u, sizeof(uint64_t)},
        [HV_AREA_FRAMES] = {l->frames + 1ull, sizeof(struct hv_frame)},
    };
    uint64_t at = (sizeof(struct xids_hv_block) + 63u) & ~63ull;
    for (unsigned int i = 0; i < HV_AREAS; i++) {
        area[i] = at;
        at = (at + areas[i].count * areas[i].size + 63u) & ~63ull;
    }
    return (at + XIDS_PAGE_SIZE - 1u) & ~(uint64_t)(XIDS_PAGE_SIZE - 1u);
}

size_t xids_hv_size(const struct xids_hv_limits *limits)
{
    uint64_t area[HV_AREAS];
    return limits_good(limits) ? (size_t)lay_out(area, limits) : 0;
}

int xids_hv_init(struct xids_hv *hv, void *mem, size_t size, const struct xids_hv_limits *limits,
                 const struct xids_hv_env *env)
{
    struct xids_hv_block *b = mem;
    size_t need = xids_hv_size(limits);
    if (!mem || !env->frame || need == 0 || size < need)
        return -XEN_EINVAL;
    hv->block = b;
    hv->env = *env;
    b->limits = *limits;
    b->size = lay_out(b->area, limits);
    b->frame_cursor = 1;
    b->version = XIDS_HV_VERSION;
    HV_STORE(b->magic, HV_MAGIC);
    return 0;
}

int xids_hv_attach(struct xids_hv *hv, void *mem, size_t size, const struct xids_hv_env *env)
{
    struct xids_hv_block *b = mem;
    uint64_t area[HV_AREAS];
    if (!mem || !env->frame || size < sizeof(*b) || HV_LOAD(b->magic) != HV_MAGIC || b->version != XIDS_HV_VERSION)
        return -XEN_EINVAL;
    struct xids_hv_limits limits = b->limits;
    if (!limits_good(&limits) || b->size > size || lay_out(area, &limits) != b->size ||
        __builtin_memcmp(area, b->area, sizeof(area)) != 0)
        return -XEN_EINVAL;
    hv->block = b;
    hv->env = *env;
    return 0;
}

uint32_t hv_pool_take(struct hv_pool *pool, uint32_t limit, struct xids_hv_block *b,
                      uint32_t *(*next_free)(struct xids_hv_block *b, uint32_t number))
{
    uint32_t number = pool->free;
    if (number != 0)
        pool->free = *next_free(b, number);
    else if (pool->high < limit)
        number = ++pool->high;
    return number;
}

void hv_pool_put(struct hv_pool *pool, uint32_t number, struct xids_hv_block *b,
                 uint32_t *(*next_free)(struct xids_hv_block *b, uint32_t number))
{
    *next_free(b, number) = pool->free;
    pool->free = number;
}

uint32_t *hv_domain_next_free(struct xids_hv_block *b, uint32_t number)
{
    return &hv_domain_at(b, number)->next_free;
}

uint32_t *hv_owner_next_free(struct xids_hv_block *b, uint32_t number)
{
    return &hv_owner_at(b, number)->next_free;
}

uint32_t *hv_map_next_free(struct xids_hv_block *b, uint32_t number)
{
    return &hv_map_at(b, number)->next_free;
}

uint32_t *hv_mapped_next_free(struct xids_hv_block *b, uint32_t number)
{
    return &hv_mapped_at(b, number)->next;
}

uint32_t *hv_port_chunk_next_free(struct xids_hv_block *b, uint32_t number)
{
    return &hv_port_chunk_at(b, number)->next_free;
}

uint32_t *hv_grant_chunk_next_free(struct xids_hv_block *b, uint32_t number)
{
    return &hv_grant_chunk_at(b, number)->next_free;
}

/* What is the same of ports and grants: numbers of a domain, in chunks taken from a common pool as they are needed. */
struct numbers {
    uint32_t *table;             /* the domain's chunks */
    uint32_t table_len;          /* room in table */
    uint32_t *table_used, *hint; /* of the domain */
    struct hv_pool *pool;
    uint32_t pool_limit;
    struct hv_chunk *chunks;
    uint32_t *(*next_free)(struct xids_hv_block *b, uint32_t number);
    uint64_t reserved; /* numbers of the first chunk that are only given out when wanted, or never */
};

static struct numbers port_numbers(struct xids_hv_block *b, uint32_t slot)
{
    struct hv_domain *d = hv_domain_at(b, slot);
    return (struct numbers){
        .table = hv_port_table(b, slot),
        .table_len = b->limits.ports_per_domain / HV_CHUNK,
        .table_used = &d->port_chunks,
        .hint = &d->port_hint,
        .pool = &b->port_chunks,
        .pool_limit = b->limits.ports / HV_CHUNK,
        .chunks = hv_port_chunk_at(b, 0),
        .next_free = hv_port_chunk_next_free,
        .reserved = 1,
    };
}

static struct numbers grant_numbers(struct xids_hv_block *b, uint32_t slot)
{
    struct hv_domain *d = hv_domain_at(b, slot);
    return (struct numbers){
        .table = hv_grant_table(b, slot),
        .table_len = b->limits.grants_per_domain / HV_CHUNK,
        .table_used = &d->grant_chunks,
        .hint = &d->grant_hint,
        .pool = &b->grant_chunks,
        .pool_limit = b->limits.grants / HV_CHUNK,
        .chunks = hv_grant_chunk_at(b, 0),
        .next_free = hv_grant_chunk_next_free,
        .reserved = (1ull << XIDS_HV_GRANT_FIRST) - 1u,
    };
}

/* The chunk at a place of the table, made if it is not there; 0: none left. */
static uint32_t chunk_need(struct numbers *n, struct xids_hv_block *b, uint32_t at)
{
    uint32_t chunk = n->table[at];
    if (chunk == 0) {
        chunk = hv_pool_take(n->pool, n->pool_limit, b, n->next_free);
        if (chunk == 0)
            return 0;
        n->chunks[chunk].used = 0;
        if (*n->table_used <= at)
            HV_STORE(*n->table_used, at + 1u);
        HV_STORE(n->table[at], chunk);
    }
    return chunk;
}

static int number_take(struct numbers *n, struct xids_hv_block *b, uint32_t *index, uint32_t wanted)
{
    uint32_t at = wanted == UINT32_MAX ? *n->hint : wanted / HV_CHUNK;
    for (; at < n->table_len; at++) {
        uint32_t chunk = chunk_need(n, b, at);
        if (chunk == 0)
            return -XEN_ENOMEM;
        uint64_t free = ~n->chunks[chunk].used;
        if (wanted != UINT32_MAX) {
            free &= 1ull << wanted % HV_CHUNK;
            if (free == 0)
                return -XEN_EEXIST;
        } else if (at == 0) {
            free &= ~n->reserved;
        }
        if (free != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(free);
            n->chunks[chunk].used |= 1ull << bit;
            *index = (chunk - 1u) * HV_CHUNK + bit;
            return (int)(at * HV_CHUNK + bit);
        }
        *n->hint = at + 1u;
    }
    return wanted == UINT32_MAX ? -XEN_ENOSPC : -XEN_EINVAL;
}

static void number_put(struct numbers *n, uint32_t number)
{
    uint32_t at = number / HV_CHUNK;
    n->chunks[n->table[at]].used &= ~(1ull << number % HV_CHUNK);
    if (*n->hint > at)
        *n->hint = at;
}

int hv_port_number_take(struct xids_hv_block *b, uint32_t *index, uint32_t slot, uint32_t wanted)
{
    struct numbers n = port_numbers(b, slot);
    return number_take(&n, b, index, wanted);
}

int hv_grant_number_take(struct xids_hv_block *b, uint32_t *index, uint32_t slot, uint32_t wanted)
{
    struct numbers n = grant_numbers(b, slot);
    return number_take(&n, b, index, wanted);
}

void hv_port_number_put(struct xids_hv_block *b, uint32_t slot, uint32_t number)
{
    struct numbers n = port_numbers(b, slot);
    number_put(&n, number);
}

void hv_grant_number_put(struct xids_hv_block *b, uint32_t slot, uint32_t number)
{
    struct numbers n = grant_numbers(b, slot);
    number_put(&n, number);
}

static void chunks_put(struct numbers *n, struct xids_hv_block *b)
{
    for (uint32_t at = 0; at < *n->table_used; at++) {
        uint32_t chunk = n->table[at];
        HV_STORE(n->table[at], 0);
        if (chunk != 0)
            hv_pool_put(n->pool, chunk, b, n->next_free);
    }
    HV_STORE(*n->table_used, 0);
    *n->hint = 0;
}

void hv_chunks_put(struct xids_hv_block *b, uint32_t slot)
{
    struct numbers ports = port_numbers(b, slot), grants = grant_numbers(b, slot);
    chunks_put(&ports, b);
    chunks_put(&grants, b);
}

struct hv_port *hv_port_find(struct xids_hv_block *b, uint32_t slot, uint32_t number)
{
    uint32_t at = number / HV_CHUNK;
    if (number == 0 || at >= HV_LOAD(hv_domain_at(b, slot)->port_chunks))
        return NULL;
    uint32_t chunk = HV_LOAD(hv_port_table(b, slot)[at]);
    return chunk == 0 ? NULL : hv_port_at(b, (chunk - 1u) * HV_CHUNK + number % HV_CHUNK);
}

struct hv_grant *hv_grant_find(struct xids_hv_block *b, uint32_t slot, uint32_t number)
{
    uint32_t at = number / HV_CHUNK;
    if (at >= hv_domain_at(b, slot)->grant_chunks)
        return NULL;
    uint32_t chunk = hv_grant_table(b, slot)[at];
    return chunk == 0 ? NULL : hv_grant_at(b, (chunk - 1u) * HV_CHUNK + number % HV_CHUNK);
}
