/* SPDX-License-Identifier: ISC */
/*
 * Other domains' pages: mapped at addresses of space.c, and copied.
 *
 * Xen changes what is behind an address (guest-physical to machine), and takes care of what the CPU remembers of that;
 * our own page tables stay as they are.
 */
#include "platform/guest/area.h"

/* So many pages are asked for in one call; the requests lie on the stack. */
#define BATCH 32u
/* A granter's page that Xen has to fetch first (GNTST_eagain) is asked for so often. */
#define TRIES 64

static struct guest_areas maps;

/* Xen's answer as an errno: what is wrong with a grant is -XEN_EACCES, whatever it is. */
static int answer(int16_t status)
{
    switch (status) {
    case GNTST_okay:
        return 0;
    case GNTST_bad_domain:
        return -XEN_ENODEV;
    case GNTST_no_space:
    case GNTST_no_device_space:
        return -XEN_ENOMEM;
    case GNTST_eagain:
        return -XEN_EAGAIN;
    case GNTST_bad_handle:
    case GNTST_bad_virt_addr:
    case GNTST_bad_copy_arg:
        return -XEN_EINVAL;
    default:
        return -XEN_EACCES;
    }
}

/* ---- mapping ---- */

/* The handle of a page that is not mapped; Xen gives no such. */
#define NO_HANDLE UINT32_MAX

static uintptr_t page_at(const struct guest_area *a, unsigned int page)
{
    return a->at + (uintptr_t)page * XIDS_PAGE_SIZE;
}

/* Unmaps n pages. Returns the first error. */
static int unmap_batch(struct gnttab_unmap_grant_ref *ops, unsigned int n)
{
    int rc = n == 0 ? 0 : hypercall_grant_table_op(GNTTABOP_unmap_grant_ref, ops, n);
    for (unsigned int i = 0; i < n && rc >= 0; i++)
        rc = answer(ops[i].status);
    return rc < 0 ? rc : 0;
}

/*
 * Unmaps what is mapped of an area and gives its record back. What Xen does not take out (it has no reason not to)
 * stays where it is for good: then the addresses do not come back into use. Returns the first error.
 */
static int unmap_all(struct guest_area *a)
{
    struct gnttab_unmap_grant_ref ops[BATCH];
    unsigned int n = 0;
    int ret = 0;
    for (unsigned int i = 0; i < a->live; i++) {
        if (a->numbers[i] != NO_HANDLE)
            ops[n++] = (struct gnttab_unmap_grant_ref){
                .host_addr = page_at(a, i), .handle = a->numbers[i], .status = GNTST_general_error};
        if (n < BATCH && i + 1 < a->live)
            continue;
        int rc = unmap_batch(ops, n);
        ret = ret < 0 ? ret : rc;
        n = 0;
    }
    if (ret == 0)
        guest_space_put(a->at, a->count);
    guest_area_put(a);
    return ret;
}

/* Asks for a single page again, until the answer is another than "later". */
static void map_later(struct gnttab_map_grant_ref *op)
{
    for (int i = 0; i < TRIES && op->status == GNTST_eagain; i++)
        if (hypercall_grant_table_op(GNTTABOP_map_grant_ref, op, 1) < 0)
            op->status = GNTST_general_error;
}

/* Maps the next n pages of an area; afterwards each has a handle or NO_HANDLE. Returns the first error. */
static int map_batch(struct guest_area *a, const grant_ref_t *refs, unsigned int n, domid_t domid, uint32_t flags)
{
    struct gnttab_map_grant_ref ops[BATCH];
    for (unsigned int i = 0; i < n; i++)
        ops[i] = (struct gnttab_map_grant_ref){
            .host_addr = page_at(a, a->live + i),
            .flags = flags,
            .ref = refs[i],
            .dom = domid,
            .status = GNTST_general_error,
        };
    int ret = hypercall_grant_table_op(GNTTABOP_map_grant_ref, ops, n);
    for (unsigned int i = 0; i < n; i++) {
        map_later(&ops[i]);
        int rc = answer(ops[i].status);
        a->numbers[a->live++] = rc == 0 ? ops[i].handle : NO_HANDLE;
        ret = ret < 0 ? ret : rc;
    }
    return ret;
}

int guest_map(void *ctx, void XIDS_PEER **area, const grant_ref_t *refs, domid_t domid, unsigned int count,
              unsigned int flags, const struct xids_unmap_notify *notify)
{
    (void)ctx;
    bool readonly = (flags & XIDS_MAP_READONLY) != 0;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX || (flags & ~(unsigned int)XIDS_MAP_READONLY) != 0)
        return -XEN_EINVAL;
    /* Xen would move a page of our own to its new address, away from the old one. */
    if (domid == DOMID_SELF || domid == guest_the.platform.domid)
        return -XEN_EINVAL;
    /* The byte is cleared by ourselves, who then could not. */
    if (readonly && notify != NULL && notify->clear_byte)
        return -XEN_EINVAL;
    struct guest_area *a = guest_area_get(count);
    if (a == NULL)
        return -XEN_ENOMEM;
    int rc = guest_area_notify(a, notify);
    a->at = rc < 0 ? 0 : guest_space_get(count);
    if (a->at == 0) {
        guest_area_forget(a);
        guest_area_put(a);
        return rc < 0 ? rc : -XEN_ENOMEM;
    }
    while (rc == 0 && a->live < count) {
        unsigned int n = count - a->live < BATCH ? count - a->live : BATCH;
        rc = map_batch(a, refs + a->live, n, domid, GNTMAP_host_map | (readonly ? GNTMAP_readonly : 0u));
    }
    if (rc < 0) {
        guest_area_forget(a);
        (void)unmap_all(a);
        return rc;
    }
    guest_area_add(&maps, a);
    *area = (void XIDS_PEER *)a->at;
    return 0;
}

int guest_unmap(void *ctx, void XIDS_PEER *area, unsigned int count)
{
    (void)ctx;
    struct guest_area *a = guest_area_take(&maps, (uintptr_t)area, count);
    if (a == NULL)
        return -XEN_EINVAL;
    if (a->live == 0) {
        /* It was lost with the domain's former place. */
        guest_space_put(a->at, a->count);
        guest_area_put(a);
        return 0;
    }
    /* The event last: the peer that it wakes can then end its grant at once. */
    struct xids_unmap_notify notify = a->notify;
    guest_area_clear_byte(a);
    int rc = unmap_all(a);
    if (notify.port != 0) {
        guest_port_send(notify.port);
        guest_port_unpin(notify.port);
    }
    return rc;
}

void guest_maps_lose(void)
{
    guest_areas_lose(&maps);
}

/* ---- copying ---- */

/* One piece at most for each page of ours that a copy touches: it is no longer than a page, so it touches two. */
struct pieces {
    struct gnttab_copy ops[BATCH];
    struct xids_grant_copy *of[BATCH];
    unsigned int count;
};

static int copy_flush(struct pieces *p)
{
    int rc = p->count == 0 ? 0 : hypercall_grant_table_op(GNTTABOP_copy, p->ops, p->count);
    for (unsigned int i = 0; i < p->count && rc >= 0; i++)
        if (p->of[i]->status == 0)
            p->of[i]->status = answer(p->ops[i].status);
    p->count = 0;
    return rc;
}

static void copy_piece(struct pieces *p, struct xids_grant_copy *c, unsigned int done, unsigned int len)
{
    uintptr_t at = (uintptr_t)c->memory + done;
    struct gnttab_copy op = {.len = (uint16_t)len, .status = GNTST_general_error};
    struct gnttab_copy_ptr memory = {
        .u.gmfn = at / XIDS_PAGE_SIZE, .domid = DOMID_SELF, .offset = (uint16_t)(at % XIDS_PAGE_SIZE)};
    struct gnttab_copy_ptr grant = {.u.ref = c->ref, .domid = c->domid, .offset = (uint16_t)(c->offset + done)};
    op.source = c->to_grant ? memory : grant;
    op.dest = c->to_grant ? grant : memory;
    op.flags = c->to_grant ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
    p->of[p->count] = c;
    p->ops[p->count++] = op;
}

int guest_copy(void *ctx, struct xids_grant_copy *copies, unsigned int count)
{
    (void)ctx;
    struct pieces p;
    p.count = 0;
    for (unsigned int i = 0; i < count; i++) {
        struct xids_grant_copy *c = &copies[i];
        c->status = -XEN_EINVAL;
        if (c->len == 0 || c->offset >= XIDS_PAGE_SIZE || c->len > XIDS_PAGE_SIZE - c->offset)
            continue;
        c->status = 0;
        unsigned int first = XIDS_PAGE_SIZE - (unsigned int)((uintptr_t)c->memory % XIDS_PAGE_SIZE);
        if (first > c->len)
            first = c->len;
        int rc = p.count + 2 > BATCH ? copy_flush(&p) : 0;
        if (rc < 0)
            return rc;
        copy_piece(&p, c, 0, first);
        if (first < c->len)
            copy_piece(&p, c, first, c->len - first);
    }
    int rc = copy_flush(&p);
    return rc < 0 ? rc : 0;
}
