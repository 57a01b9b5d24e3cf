/* SPDX-License-Identifier: ISC */
/* The Linux platform's pages: shared, mapped, copied. */
#include "platform/xen/internal.h"

#include <stdlib.h>
#include <sys/mman.h>

#define COPY_BATCH 32u

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

/*
 * What we share is found by its address: a hash with open addressing, a word for each. Thousands of channels have three
 * each. The addresses are our own kernel's choice, no guest's.
 */
static unsigned int first_slot(const struct xenp *x, uint64_t page)
{
    return (unsigned int)((page * 0x9e3779b97f4a7c15u) >> 32) & (x->share_slots - 1u);
}

static uint64_t page_of(const void *pages)
{
    return (uintptr_t)pages / XIDS_PAGE_SIZE;
}

/* Where it is, or the free slot where it would be. There is one. */
static struct xenp_share *share_slot(const struct xenp *x, uint64_t page)
{
    unsigned int at = first_slot(x, page);
    while (x->shares[at].page != 0 && x->shares[at].page != page)
        at = (at + 1u) & (x->share_slots - 1u);
    return &x->shares[at];
}

/* Makes room for one more: a quarter of the slots stays free. */
static int shares_grow(struct xenp *x)
{
    if ((x->share_count + 1u) * 4u <= x->share_slots * 3u)
        return 0;
    struct xenp_share *old = x->shares;
    unsigned int slots = x->share_slots;
    struct xenp_share *shares = calloc(slots != 0 ? slots * 2u : 64u, sizeof(*shares));
    if (shares == NULL)
        return -XEN_ENOMEM;
    x->shares = shares;
    x->share_slots = slots != 0 ? slots * 2u : 64u;
    for (unsigned int i = 0; i < slots; i++)
        if (old[i].page != 0)
            *share_slot(x, old[i].page) = old[i];
    free(old);
    return 0;
}

/* Takes one out, and moves those up that stand behind it only because their own place was taken. */
static void share_remove(struct xenp *x, struct xenp_share *share)
{
    unsigned int mask = x->share_slots - 1u, gap = (unsigned int)(share - x->shares);
    for (unsigned int at = (gap + 1u) & mask; x->shares[at].page != 0; at = (at + 1u) & mask) {
        unsigned int wanted = first_slot(x, x->shares[at].page);
        if (((at - wanted) & mask) < ((at - gap) & mask))
            continue;
        x->shares[gap] = x->shares[at];
        gap = at;
    }
    x->shares[gap] = (struct xenp_share){0};
    x->share_count--;
}

/* Sets *shard to one with room for count pages, opened if need be. */
static int find_shard(struct xenp *x, unsigned int *shard, unsigned int count)
{
    for (unsigned int i = 0; i < x->shard_count; i++) {
        if (x->shards[i].pages == 0 || x->shards[i].pages + count <= XENP_SHARD_PAGES) {
            *shard = i;
            return 0;
        }
    }
    if (x->shard_count == XENP_SHARDS_MAX)
        return -XEN_ENOSPC;
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
    rc = shares_grow(x);
    if (rc < 0)
        return rc;
    xengntshr_handle *handle = x->shards[shard].handle;
    int writable = (flags & XIDS_GRANT_READONLY) == 0;
    void *at;
    if (notify == NULL)
        at = xengntshr_share_pages(handle, domid, (int)count, refs, writable);
    else
        at = xengntshr_share_page_notify(handle, domid, refs, writable, notify_offset(notify), notify_port(notify));
    if (at == NULL)
        return xenp_errno();
    if (page_of(at) > XENP_SHARE_PAGE_MAX) {
        xengntshr_unshare(handle, at, count);
        return -XEN_ENOMEM;
    }
    *share_slot(x, page_of(at)) = (struct xenp_share){
        .page = page_of(at) & XENP_SHARE_PAGE_MAX, .less_one = (count - 1u) & 0x3ffu, .shard = shard & 0x3ffffu};
    x->share_count++;
    x->shards[shard].pages += count;
    *pages = at;
    return 0;
}

int xenp_unshare(void *ctx, void *pages, unsigned int count)
{
    struct xenp *x = ctx;
    struct xenp_share *s = x->share_slots != 0 ? share_slot(x, page_of(pages)) : NULL;
    if (s == NULL || s->page == 0 || s->less_one + 1u != count || (uintptr_t)pages % XIDS_PAGE_SIZE != 0)
        return -XEN_EINVAL;
    struct xenp_shard *shard = &x->shards[s->shard];
    int rc = xengntshr_unshare(shard->handle, pages, count) < 0 ? xenp_errno() : 0;
    shard->pages -= count;
    share_remove(x, s);
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
    for (unsigned int i = 0; i < x->share_slots; i++) {
        const struct xenp_share *s = &x->shares[i];
        if (s->page != 0)
            xengntshr_unshare(x->shards[s->shard].handle, (void *)((uintptr_t)s->page * XIDS_PAGE_SIZE),
                              s->less_one + 1u);
    }
    free(x->shares);
    for (unsigned int i = 0; i < x->shard_count; i++)
        xengntshr_close(x->shards[i].handle);
    free(x->shards);
    if (x->gnttab != NULL)
        xengnttab_close(x->gnttab);
}
