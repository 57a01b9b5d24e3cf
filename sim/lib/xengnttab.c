/* SPDX-License-Identifier: ISC */
/* libxengnttab.so.1 over the simulated machine: a handle is an owner; mappings are areas of the file of frames. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xengnttab.h>

#include "sim/lib/process.h"

/* gntdev and gntalloc differ in name alone: libxengnttab's public headers have a type for each. */
struct handle {
    struct xids_sim_machine *machine;
    uint32_t owner;
    int fd; /* for xengnttab_fd and xengntshr_fd: a file of no use, but as with Linux each handle has one */
    pid_t opener;
};

struct xengntdev_handle {
    struct handle h;
};

struct xengntshr_handle {
    struct handle h;
};

static int handle_init(struct handle *h)
{
    h->machine = xids_sim_process();
    h->opener = getpid();
    h->fd = h->machine != NULL ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    if (h->fd < 0)
        return -1;
    if (xids_sim_owner_open(&h->owner) == 0)
        return 0;
    (void)close(h->fd);
    return -1;
}

static int handle_fini(struct handle *h)
{
    (void)close(h->fd);
    return xids_sim_area_owner_close(h->owner, h->opener);
}

static struct xids_unmap_notify notification(uint32_t offset, evtchn_port_t port)
{
    return (struct xids_unmap_notify){
        .clear_byte = offset < XIDS_PAGE_SIZE, .offset = offset, .port = port == (evtchn_port_t)-1 ? 0 : port};
}

/* ---- gntdev ---- */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    (void)open_flags;
    xengnttab_handle *xgt = malloc(sizeof(*xgt));
    if (xgt != NULL && handle_init(&xgt->h) < 0) {
        free(xgt);
        xgt = NULL;
    }
    return xgt;
}

int xengnttab_close(xengnttab_handle *xgt)
{
    int rc = xgt != NULL ? handle_fini(&xgt->h) : 0;
    free(xgt);
    return rc;
}

int xengnttab_fd(xengnttab_handle *xgt)
{
    return xgt->h.fd;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
    (void)xgt;
    (void)nr_grants;
    return 0;
}

static void *map(struct handle *h, uint32_t count, uint32_t domid, const uint32_t *refs, int prot,
                 const struct xids_unmap_notify *notify)
{
    uint32_t frames[XIDS_PLATFORM_PAGES_MAX], id = 0;
    int rc = -XEN_EINVAL;
    if (count > 0 && count <= XIDS_PLATFORM_PAGES_MAX)
        rc = xids_hv_map(&h->machine->hv, &id, frames, h->owner, xids_sim_domid_of(domid), refs, count,
                         (prot & PROT_WRITE) != 0 ? 0 : XIDS_MAP_READONLY, notify);
    if (xids_sim_result(rc) < 0)
        return NULL;
    return xids_sim_area_map(XIDS_SIM_AREA_MAP, h->owner, id, frames, count, prot, NULL);
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
    return map(&xgt->h, 1, domid, &ref, prot, NULL);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid, uint32_t *refs, int prot)
{
    return map(&xgt->h, count, domid, refs, prot, NULL);
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids, uint32_t *refs, int prot)
{
    /* One area of several domains' pages: nobody is known to use it. */
    for (uint32_t i = 1; i < count; i++)
        if (domids[i] != domids[0]) {
            errno = ENOSYS;
            return NULL;
        }
    return map(&xgt->h, count, count > 0 ? domids[0] : 0, refs, prot, NULL);
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot,
                                     uint32_t notify_offset, evtchn_port_t notify_port)
{
    struct xids_unmap_notify notify = notification(notify_offset, notify_port);
    return map(&xgt->h, 1, domid, &ref, prot, &notify);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
    return xids_sim_area_unmap(start_address, count, xgt->h.owner);
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
    for (uint32_t i = 0; i < count; i++) {
        xengnttab_grant_copy_segment_t *s = &segs[i];
        bool to = s->flags == GNTCOPY_dest_gref;
        if (!to && s->flags != GNTCOPY_source_gref) {
            s->status = GNTST_general_error; /* from grant to grant, or no grant at all */
            continue;
        }
        struct xids_grant_copy copy = {.to_grant = to, .len = s->len};
        copy.domid = to ? s->dest.foreign.domid : s->source.foreign.domid;
        copy.ref = to ? s->dest.foreign.ref : s->source.foreign.ref;
        copy.offset = to ? s->dest.foreign.offset : s->source.foreign.offset;
        copy.memory = to ? s->source.virt : s->dest.virt;
        if (xids_sim_result(xids_hv_copy(&xgt->h.machine->hv, xgt->h.owner, &copy, 1)) < 0)
            return -1;
        s->status = copy.status == 0             ? GNTST_okay
                    : copy.status == -XEN_EAGAIN ? GNTST_eagain
                    : copy.status == -XEN_EACCES ? GNTST_bad_gntref
                                                 : GNTST_general_error;
    }
    return 0;
}

static int no_dmabuf(void)
{
    errno = ENOSYS;
    return -1;
}

int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t flags, uint32_t count,
                                   const uint32_t *refs, uint32_t *fd)
{
    (void)xgt, (void)domid, (void)flags, (void)count, (void)refs, (void)fd;
    return no_dmabuf();
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *xgt, uint32_t fd, uint32_t wait_to_ms)
{
    (void)xgt, (void)fd, (void)wait_to_ms;
    return no_dmabuf();
}

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t fd, uint32_t count, uint32_t *refs)
{
    (void)xgt, (void)domid, (void)fd, (void)count, (void)refs;
    return no_dmabuf();
}

int xengnttab_dmabuf_imp_release(xengnttab_handle *xgt, uint32_t fd)
{
    (void)xgt, (void)fd;
    return no_dmabuf();
}

/* ---- gntalloc ---- */

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    (void)open_flags;
    xengntshr_handle *xgs = malloc(sizeof(*xgs));
    if (xgs != NULL && handle_init(&xgs->h) < 0) {
        free(xgs);
        xgs = NULL;
    }
    return xgs;
}

int xengntshr_close(xengntshr_handle *xgs)
{
    int rc = xgs != NULL ? handle_fini(&xgs->h) : 0;
    free(xgs);
    return rc;
}

int xengntshr_fd(xengntshr_handle *xgs)
{
    return xgs->h.fd;
}

static void *share(struct handle *h, uint32_t domid, uint32_t count, uint32_t *refs, int writable,
                   const struct xids_unmap_notify *notify)
{
    uint32_t frames[XIDS_PLATFORM_PAGES_MAX], id = 0, first = 0;
    int rc = -XEN_EINVAL;
    if (count > 0 && count <= XIDS_PLATFORM_PAGES_MAX)
        rc = xids_hv_share(&h->machine->hv, &id, &first, refs, h->owner, xids_sim_domid_of(domid), count,
                           writable != 0 ? 0 : XIDS_GRANT_READONLY, notify);
    if (xids_sim_result(rc) < 0)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        frames[i] = first + i;
    return xids_sim_area_map(XIDS_SIM_AREA_SHARE, h->owner, id, frames, count, PROT_READ | PROT_WRITE, NULL);
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable)
{
    return share(&xgs->h, domid, count > 0 ? (uint32_t)count : 0, refs, writable, NULL);
}

void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref, int writable,
                                  uint32_t notify_offset, evtchn_port_t notify_port)
{
    struct xids_unmap_notify notify = notification(notify_offset, notify_port);
    return share(&xgs->h, domid, 1, ref, writable, &notify);
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
    return xids_sim_area_unmap(start_address, count, xgs->h.owner);
}
