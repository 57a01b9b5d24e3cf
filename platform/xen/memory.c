/* SPDX-License-Identifier: ISC */
/* The Linux platform's pages: shared, mapped, copied. */
#include "platform/xen/internal.h"

#include <stdlib.h>
#include <sys/mman.h>

/* The keys are our own addresses of pages: no guest chooses them, and uthash's own function is for strings. */
static inline unsigned int hash_page(const void *key)
{
    uintptr_t page;
    __builtin_memcpy(&page, key, sizeof(page));
    return (unsigned int)(page / XIDS_PAGE_SIZE * 2654435761u >> 8);
}
#define HASH_FUNCTION(key, len, hash) (hash) = hash_page(key)
#include <uthash.h>

#define COPY_BATCH 32u

struct xenp_share {
    UT_hash_handle hh;
    void *pages;
    unsigned int count, shard;
};

static bool bad_count(unsigned int count)
{
    return count == 0 || count > XIDS_PLATFORM_PAGES_MAX;
}

/* What the libraries take for no byte and for no port is all ones. */
static uint32_t notify_offset(const struct xids_unmap_notify *n)
{
    return n->clear_byte ? n->offset : UINT32_MAX;
}

static evtchn_port_t notify_port(const struct xids_unmap_notify *n)
{
    return n->port != 0 ? n->port : UINT32_MAX;
}

/* 0 when a notification can be had for so many pages, and is needed at all: *notify may become NULL. */
static int check_notify(const struct xids_unmap_notify **notify, unsigned int count)
{
    const struct xids_unmap_notify *n = *notify;
    if (n == NULL)
        return 0;
    if (!n->clear_byte && n->port == 0) {
        *notify = NULL;
        return 0;
    }
    if (n->clear_byte && n->offset >= count * XIDS_PAGE_SIZE)
        return -XEN_EINVAL;
    return count == 1 ? 0 : -XEN_ENOSYS;
}

/* ---- pages of our own ---- */

int xenp_page_alloc(void *ctx, void **pages, unsigned int count)
{
    (void)ctx;
    if (bad_count(count))
        return -XEN_EINVAL;
    void *at = mmap(NULL, (size_t)count * XIDS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return -XEN_ENOMEM;
    *pages = at;
    return 0;
}

void xenp_page_free(void *ctx, void *pages, unsigned int count)
{
    (void)ctx;
    munmap(pages, (size_t)count * XIDS_PAGE_SIZE);
}

int xenp_grant(void *ctx, grant_ref_t *ref, domid_t domid, void *page, unsigned int flags)
{
    (void)ctx;
    (void)ref;
    (void)domid;
    (void)page;
    (void)flags;
    return -XEN_ENOSYS;
}

int xenp_grant_end(void *ctx, grant_ref_t ref)
{
    (void)ctx;
    (void)ref;
    return -XEN_ENOSYS;
}

/* ---- shared pages ---- */

/* Sets *shard to one with room for count pages, opened if need be. */
static int find_shard(struct xenp *x, unsigned int *shard, unsigned int count)
{
    for (unsigned int i = 0; i < x->shard_count; i++) {
        if (x->shards[i].pages == 0 || x->shards[i].pages + count <= XENP_SHARD_PAGES) {
            *shard = i;
            return 0;
        }
    }
    struct xenp_shard *shards = realloc(x->shards, (x->shard_count + 1) * sizeof(*shards));
    if (shards == NULL)
        return -XEN_ENOMEM;
    x->shards = shards;
    xengntshr_handle *handle = xengntshr_open(NULL, 0);
    if (handle == NULL)
        return xenp_errno();
    *shard = x->shard_count++;
    shards[*shard] = (struct xenp_shard){handle, 0};
    return 0;
}

int xenp_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
               const struct xids_unmap_notify *notify)
{
    struct xenp *x = ctx;
    unsigned int shard = 0;
    if (bad_count(count))
        return -XEN_EINVAL;
    int rc = check_notify(&notify, count);
    if (rc == 0)
        rc = find_shard(x, &shard, count);
    if (rc < 0)
        return rc;
    struct xenp_share *s = malloc(sizeof(*s));
    if (s == NULL)
        return -XEN_ENOMEM;
    xengntshr_handle *handle = x->shards[shard].handle;
    int writable = (flags & XIDS_GRANT_READONLY) == 0;
    if (notify == NULL)
        s->pages = xengntshr_share_pages(handle, domid, (int)count, refs, writable);
    else
        s->pages =
            xengntshr_share_page_notify(handle, domid, refs, writable, notify_offset(notify), notify_port(notify));
    if (s->pages == NULL) {
        rc = xenp_errno();
        free(s);
        return rc;
    }
    s->count = count;
    s->shard = shard;
    x->shards[shard].pages += count;
    HASH_ADD_PTR(x->shares, pages, s);
    *pages = s->pages;
    return 0;
}

int xenp_unshare(void *ctx, void *pages, unsigned int count)
{
    struct xenp *x = ctx;
    struct xenp_share *s = NULL;
    HASH_FIND_PTR(x->shares, &pages, s);
    if (s == NULL || s->count != count)
        return -XEN_EINVAL;
    struct xenp_shard *shard = &x->shards[s->shard];
    int rc = xengntshr_unshare(shard->handle, pages, count) < 0 ? xenp_errno() : 0;
    shard->pages -= count;
    HASH_DEL(x->shares, s);
    free(s);
    return rc;
}

/* ---- other domains' pages ---- */

int xenp_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
             unsigned int flags, const struct xids_unmap_notify *notify)
{
    struct xenp *x = ctx;
    uint32_t copy[XIDS_PLATFORM_PAGES_MAX]; /* the library's parameter is not const */
    if (bad_count(count))
        return -XEN_EINVAL;
    int rc = check_notify(&notify, count);
    if (rc < 0)
        return rc;
    for (unsigned int i = 0; i < count; i++)
        copy[i] = refs[i];
    int prot = (flags & XIDS_MAP_READONLY) != 0 ? PROT_READ : PROT_READ | PROT_WRITE;
    void *at;
    if (notify == NULL)
        at = xengnttab_map_domain_grant_refs(x->gnttab, count, domid, copy, prot);
    else
        at =
            xengnttab_map_grant_ref_notify(x->gnttab, domid, refs[0], prot, notify_offset(notify), notify_port(notify));
    if (at == NULL)
        /* Our arguments are in order: the kernel says so of references that the hypervisor refused. */
        return errno == EINVAL ? -XEN_EACCES : xenp_errno();
    *area = (void XIDS_PEER *)at;
    return 0;
}

int xenp_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    struct xenp *x = ctx;
    return xengnttab_unmap(x->gnttab, XIDS_PEER_RAW(void, area), count) < 0 ? xenp_errno() : 0;
}

static int copy_status(int16_t status)
{
    switch (status) {
    case GNTST_okay:
        return 0;
    case GNTST_eagain:
        return -XEN_EAGAIN;
    case GNTST_bad_copy_arg:
        return -XEN_EINVAL;
    default:
        return -XEN_EACCES;
    }
}

static void fill_segment(xengnttab_grant_copy_segment_t *seg, const struct xids_grant_copy *c)
{
    union xengnttab_copy_ptr grant = {.foreign = {c->ref, c->offset, c->domid}};
    union xengnttab_copy_ptr memory = {.virt = c->memory};
    *seg = (xengnttab_grant_copy_segment_t){
        .source = c->to_grant ? memory : grant,
        .dest = c->to_grant ? grant : memory,
        .len = c->len,
        .flags = c->to_grant ? GNTCOPY_dest_gref : GNTCOPY_source_gref,
    };
}

static int copy_batch(struct xenp *x, struct xids_grant_copy *const *batch, unsigned int count)
{
    xengnttab_grant_copy_segment_t segs[COPY_BATCH];
    if (count == 0)
        return 0;
    for (unsigned int i = 0; i < count; i++)
        fill_segment(&segs[i], batch[i]);
    if (xengnttab_grant_copy(x->gnttab, count, segs) < 0)
        return xenp_errno();
    for (unsigned int i = 0; i < count; i++)
        batch[i]->status = copy_status(segs[i].status);
    return 0;
}

int xenp_copy(void *ctx, struct xids_grant_copy *copies, unsigned int count)
{
    struct xenp *x = ctx;
    struct xids_grant_copy *batch[COPY_BATCH];
    unsigned int n = 0;
    for (unsigned int i = 0; i < count; i++) {
        struct xids_grant_copy *c = &copies[i];
        /* The kernel would refuse the whole call for one of these. */
        c->status = -XEN_EINVAL;
        if (c->len > 0 && c->offset < XIDS_PAGE_SIZE && c->len <= XIDS_PAGE_SIZE - c->offset)
            batch[n++] = c;
        if (n == COPY_BATCH || i + 1 == count) {
            int rc = copy_batch(x, batch, n);
            if (rc < 0)
                return rc;
            n = 0;
        }
    }
    return 0;
}

void xenp_memory_close(struct xenp *x)
{
    struct xenp_share *s, *next;
    HASH_ITER(hh, x->shares, s, next)
    {
        HASH_DEL(x->shares, s);
        xengntshr_unshare(x->shards[s->shard].handle, s->pages, s->count);
        free(s);
    }
    for (unsigned int i = 0; i < x->shard_count; i++)
        xengntshr_close(x->shards[i].handle);
    free(x->shards);
    if (x->gnttab != NULL)
        xengnttab_close(x->gnttab);
}
