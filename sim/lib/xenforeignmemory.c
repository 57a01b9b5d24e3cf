/* SPDX-License-Identifier: ISC */
/* libxenforeignmemory.so.1 over the simulated machine. Frame numbers serve as pfn, gfn and mfn alike. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <xenforeignmemory.h>

#include "sim/lib/process.h"

struct xenforeignmemory_handle {
    struct xids_sim_machine *machine;
    uint32_t owner;
    pid_t opener;
};

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    (void)open_flags;
    xenforeignmemory_handle *fmem = malloc(sizeof(*fmem));
    if (fmem == NULL)
        return NULL;
    fmem->machine = xids_sim_process();
    fmem->opener = getpid();
    if (fmem->machine == NULL || xids_sim_owner_open(&fmem->owner) < 0) {
        free(fmem);
        return NULL;
    }
    return fmem;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    int rc = fmem != NULL ? xids_sim_area_owner_close(fmem->owner, fmem->opener) : 0;
    free(fmem);
    return rc;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
    (void)fmem;
    (void)domid;
    errno = EOPNOTSUPP;
    return -1;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr, int prot, int flags, size_t pages,
                            const xen_pfn_t arr[/*pages*/], int err[/*pages*/])
{
    (void)flags; /* of mmap: sharing is what it is here */
    uint32_t frames[XIDS_PLATFORM_PAGES_MAX], id = 0;
    int rc = -XEN_EINVAL;
    if (pages > 0 && pages <= XIDS_PLATFORM_PAGES_MAX) {
        for (size_t i = 0; i < pages; i++)
            frames[i] = arr[i] <= UINT32_MAX ? (uint32_t)arr[i] : 0;
        rc = xids_hv_map_foreign(&fmem->machine->hv, &id, err, fmem->owner, xids_sim_domid_of(dom), frames,
                                 (uint32_t)pages);
    }
    if (xids_sim_result(rc) < 0)
        return NULL;
    for (size_t i = 0; err != NULL && i < pages; i++)
        if (err[i] != 0)
            frames[i] = 0;
    return xids_sim_area_map(XIDS_SIM_AREA_MAP, fmem->owner, id, frames, (uint32_t)pages, prot, addr);
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[/*pages*/], int err[/*pages*/])
{
    return xenforeignmemory_map2(fmem, dom, NULL, prot, 0, pages, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    return xids_sim_area_unmap(addr, pages, fmem->owner);
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, domid_t domid,
                                                                unsigned int type, unsigned int id, unsigned long frame,
                                                                unsigned long nr_frames, void **paddr, int prot,
                                                                int flags)
{
    (void)fmem, (void)domid, (void)type, (void)id, (void)frame, (void)nr_frames, (void)paddr, (void)prot, (void)flags;
    errno = EOPNOTSUPP; /* as where the hypercall is missing: callers have another way then */
    return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem, xenforeignmemory_resource_handle *fres)
{
    (void)fmem;
    if (fres == NULL)
        return 0;
    errno = EINVAL;
    return -1;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
                                   size_t *size)
{
    (void)fmem, (void)domid, (void)type, (void)id, (void)size;
    errno = EOPNOTSUPP;
    return -1;
}
