/* SPDX-License-Identifier: ISC */
/*
 * Grants of our own pages: the version 1 table, which Xen shows us at addresses of space.c and which grows by the page.
 *
 * A page whose grant cannot be ended because the peer has it mapped is put into quarantine, and asked about again now
 * and then; a peer that never lets go costs us that memory and nothing else.
 */
#include "platform/guest/area.h"

#include <xen/memory.h>

#define REFS_PER_FRAME ((unsigned int)(XIDS_PAGE_SIZE / sizeof(struct grant_entry_v1)))
#define FRAMES_MAX 64u /* Xen's usual limit; more would not be used */
#define REFS_MAX (FRAMES_MAX * 512u)
#define BITS 64u

/* Ending one grant takes a new look for each change that Xen makes meanwhile; so many at most. */
#define END_TRIES 16
/* So many grants in quarantine are looked at in each call that comes by. */
#define RETRIES 64u

_Static_assert(XIDS_PAGE_SIZE / sizeof(struct grant_entry_v1) == 512, "a frame of the table holds 512 grants");

static struct grant_entry_v1 *table;
static unsigned int frames, frames_max; /* mapped; that may be had */
static uint64_t used[REFS_MAX / BITS];
static unsigned int next_ref; /* where the search begins: references come back into use late */
static struct guest_areas shares;
static struct guest_area *quarantine, **quarantine_end = &quarantine;

/* ---- the table ---- */

static int map_frame(unsigned int frame)
{
    struct xen_add_to_physmap op = {
        .domid = DOMID_SELF,
        .space = XENMAPSPACE_grant_table,
        .idx = frame,
        .gpfn = (uintptr_t)table / XIDS_PAGE_SIZE + frame,
    };
    return hypercall_memory_op(XENMEM_add_to_physmap, &op);
}

/* Maps one more frame. -XEN_ENOSPC: there is none. */
static int grow(void)
{
    if (frames == frames_max || map_frame(frames) < 0)
        return -XEN_ENOSPC;
    frames++;
    return 0;
}

int guest_grants_init(bool again)
{
    struct gnttab_query_size size = {.dom = DOMID_SELF};
    int rc = hypercall_grant_table_op(GNTTABOP_query_size, &size, 1);
    if (rc < 0 || size.status != GNTST_okay)
        return rc < 0 ? rc : -XEN_ENODEV;
    if (!again) {
        uintptr_t at = guest_space_get(FRAMES_MAX);
        if (at == 0)
            return -XEN_ENOMEM;
        table = (struct grant_entry_v1 *)at;
    }
    frames_max = size.max_nr_frames < FRAMES_MAX ? size.max_nr_frames : FRAMES_MAX;
    frames = 0;
    for (unsigned int i = 0; i < REFS_MAX / BITS; i++)
        used[i] = 0;
    /* The first are the toolstack's: of the console, of xenstore. */
    used[0] = ((uint64_t)1 << GNTTAB_NR_RESERVED_ENTRIES) - 1;
    next_ref = GNTTAB_NR_RESERVED_ENTRIES;
    guest_areas_lose(&shares);
    for (struct guest_area *a = quarantine; a != NULL; a = a->next)
        a->live = 0;
    return grow();
}

/* ---- references ---- */

static bool ref_used(grant_ref_t ref)
{
    return ref < frames * REFS_PER_FRAME && (used[ref / BITS] >> (ref % BITS) & 1u) != 0;
}

/* A free one within [from, to); to when there is none. */
static grant_ref_t ref_find(grant_ref_t from, grant_ref_t to)
{
    for (grant_ref_t ref = from; ref < to;) {
        uint64_t unused = ~used[ref / BITS] >> (ref % BITS);
        if (unused != 0) {
            ref += (grant_ref_t)__builtin_ctzll(unused);
            return ref < to ? ref : to;
        }
        ref = (ref / BITS + 1) * BITS;
    }
    return to;
}

static int ref_take(grant_ref_t *ref)
{
    grant_ref_t end = frames * REFS_PER_FRAME;
    grant_ref_t found = ref_find(next_ref, end);
    if (found == end)
        found = ref_find(0, end);
    if (found == end && grow() < 0)
        return -XEN_ENOSPC;
    used[found / BITS] |= (uint64_t)1 << (found % BITS);
    next_ref = found + 1;
    *ref = found;
    return 0;
}

static void ref_put(grant_ref_t ref)
{
    used[ref / BITS] &= ~((uint64_t)1 << (ref % BITS));
}

/* ---- grants ---- */

static int entry_set(grant_ref_t *ref, domid_t domid, uintptr_t page, unsigned int flags)
{
    int rc = ref_take(ref);
    if (rc < 0)
        return rc;
    struct grant_entry_v1 *e = &table[*ref];
    e->domid = domid;
    e->frame = (uint32_t)(page / XIDS_PAGE_SIZE);
    uint16_t kind = GTF_permit_access | ((flags & XIDS_GRANT_READONLY) != 0 ? GTF_readonly : 0);
    /* Xen looks at the flags first: whoever sees them sees the rest. */
    __atomic_store_n(&e->flags, kind, __ATOMIC_RELEASE);
    return 0;
}

/* Ends a grant. -XEN_EBUSY: the peer has the page mapped. */
static int entry_end(grant_ref_t ref)
{
    uint16_t flags = __atomic_load_n(&table[ref].flags, __ATOMIC_RELAXED);
    for (int i = 0; i < END_TRIES && (flags & (GTF_reading | GTF_writing)) == 0; i++) {
        /* Sequentially consistent: what we do with the page afterwards comes after. */
        if (__atomic_compare_exchange_n(&table[ref].flags, &flags, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            ref_put(ref);
            return 0;
        }
    }
    return -XEN_EBUSY;
}

static bool bad_target(domid_t domid, unsigned int flags)
{
    return domid >= DOMID_FIRST_RESERVED || (flags & ~(unsigned int)XIDS_GRANT_READONLY) != 0;
}

int guest_grant(void *ctx, grant_ref_t *ref, domid_t domid, void *page, unsigned int flags)
{
    (void)ctx;
    if (bad_target(domid, flags) || page == NULL || (uintptr_t)page % XIDS_PAGE_SIZE != 0)
        return -XEN_EINVAL;
    return entry_set(ref, domid, (uintptr_t)page, flags);
}

int guest_grant_end(void *ctx, grant_ref_t ref)
{
    (void)ctx;
    return ref >= GNTTAB_NR_RESERVED_ENTRIES && ref_used(ref) ? entry_end(ref) : -XEN_EINVAL;
}

/* ---- quarantine ---- */

/* Looks at the grants of a share once, at most *limit of them, and ends what can be ended. True: none is left. */
static bool share_end(struct guest_area *a, unsigned int *limit)
{
    for (unsigned int n = a->live; n > 0 && *limit > 0; n--, (*limit)--) {
        /* Where the last look ended, so that each gets its turn. */
        if (a->look == 0 || a->look > a->live)
            a->look = a->live;
        a->look--;
        if (entry_end(a->numbers[a->look]) == 0)
            a->numbers[a->look] = a->numbers[--a->live];
    }
    return a->live == 0;
}

static void share_free(struct guest_area *a)
{
    guest_pages_put((void *)a->at, a->count);
    guest_area_put(a);
}

static void quarantine_add(struct guest_area *a)
{
    a->next = NULL;
    *quarantine_end = a;
    quarantine_end = &a->next;
}

/* Takes the first out. */
static struct guest_area *quarantine_take(void)
{
    struct guest_area *a = quarantine;
    quarantine = a->next;
    if (quarantine == NULL)
        quarantine_end = &quarantine;
    return a;
}

void guest_grants_retry(void)
{
    unsigned int limit = RETRIES;
    const struct guest_area *again = NULL; /* the first that went back: then all were looked at */
    while (quarantine != NULL && quarantine != again && limit > 0) {
        struct guest_area *a = quarantine_take();
        if (share_end(a, &limit)) {
            share_free(a);
            continue;
        }
        quarantine_add(a);
        if (again == NULL)
            again = a;
    }
}

/* Ends a share that is in no list. -XEN_EBUSY: it went into quarantine. */
static int share_give_up(struct guest_area *a)
{
    unsigned int limit = UINT32_MAX;
    if (share_end(a, &limit)) {
        share_free(a);
        return 0;
    }
    quarantine_add(a);
    return -XEN_EBUSY;
}

/* ---- shares ---- */

int guest_share(void *ctx, void **pages, grant_ref_t *refs, domid_t domid, unsigned int count, unsigned int flags,
                const struct xids_unmap_notify *notify)
{
    (void)ctx;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX || bad_target(domid, flags))
        return -XEN_EINVAL;
    guest_grants_retry();
    struct guest_area *a = guest_area_get(count);
    if (a == NULL)
        return -XEN_ENOMEM;
    int rc = guest_area_notify(a, notify);
    void *memory = rc < 0 ? NULL : guest_pages_get(count);
    if (memory == NULL) {
        guest_area_forget(a);
        guest_area_put(a);
        return rc < 0 ? rc : -XEN_ENOMEM;
    }
    a->at = (uintptr_t)memory;
    while (rc == 0 && a->live < count) {
        rc = entry_set(&a->numbers[a->live], domid, a->at + (uintptr_t)a->live * XIDS_PAGE_SIZE, flags);
        a->live += rc == 0;
    }
    if (rc < 0) {
        guest_area_forget(a);
        /* A peer that guesses references may have mapped some already. */
        (void)share_give_up(a);
        return rc;
    }
    __builtin_memcpy(refs, a->numbers, count * sizeof(*refs));
    guest_area_add(&shares, a);
    *pages = memory;
    return 0;
}

int guest_unshare(void *ctx, void *pages, unsigned int count)
{
    (void)ctx;
    struct guest_area *a = guest_area_take(&shares, (uintptr_t)pages, count);
    if (a == NULL)
        return -XEN_EINVAL;
    guest_grants_retry();
    guest_area_clear_byte(a);
    guest_area_send(a);
    return share_give_up(a);
}
