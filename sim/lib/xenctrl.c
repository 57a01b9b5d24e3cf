/* SPDX-License-Identifier: ISC */
/*
 * The part of libxenctrl.so.4.17 that works on the simulated machine. What else programs import is in xenctrl.list and
 * fails with ENOSYS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenctrl.h>

#include "sim/ctl.h"
#include "sim/lib/process.h"

struct xc_interface_core {
    struct xids_sim_machine *machine;
    uint32_t owner; /* of foreign mappings; 0: none made yet */
    pid_t opener;
};

static struct xids_hv *hv_of(const xc_interface *xch)
{
    return &xch->machine->hv;
}

/* Life and death are the daemon's. */
static int ask(const xc_interface *xch, const char *verb, uint32_t domid, int argument)
{
    char answer[XIDS_SIM_LINE_MAX];
    return xids_sim_result(
        xids_sim_ask(answer, xch->machine->dir, "%s %u %d", verb, xids_sim_domid_of(domid), argument));
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger, unsigned open_flags)
{
    (void)logger;
    (void)dombuild_logger;
    xc_interface *xch = calloc(1, sizeof(*xch));
    if (xch == NULL)
        return NULL;
    xch->opener = getpid();
    xch->machine = xids_sim_process();
    if (xch->machine == NULL && (open_flags & XC_OPENFLAG_DUMMY) == 0) {
        free(xch);
        xch = NULL;
    }
    return xch;
}

int xc_interface_close(xc_interface *xch)
{
    if (xch == NULL)
        return 0;
    int rc = xch->owner != 0 ? xids_sim_area_owner_close(xch->owner, xch->opener) : 0;
    free(xch);
    return rc;
}

/* ---- domains ---- */

static void describe(xc_domaininfo_t *out, const struct xids_hv_domain *d)
{
    memset(out, 0, sizeof(*out));
    out->domain = d->domid;
    out->flags = ((d->flags & XIDS_HV_DYING) != 0 ? XEN_DOMINF_dying : 0) |
                 ((d->flags & XIDS_HV_PAUSED) != 0 ? XEN_DOMINF_paused : 0) |
                 ((d->flags & XIDS_HV_SHUTDOWN) != 0
                      ? XEN_DOMINF_shutdown | ((d->reason & XEN_DOMINF_shutdownmask) << XEN_DOMINF_shutdownshift)
                      : 0);
    if ((out->flags & (XEN_DOMINF_dying | XEN_DOMINF_paused | XEN_DOMINF_shutdown)) == 0)
        out->flags |= XEN_DOMINF_running;
    out->tot_pages = out->max_pages = d->frames;
    out->shared_info_frame = ~UINT64_C(0);
    out->nr_online_vcpus = 1;
    memcpy(out->handle, d->handle, sizeof(out->handle));
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains, xc_domaininfo_t *info)
{
    struct xids_hv_domain d;
    unsigned int n = 0;
    for (uint32_t from = first_domain; n < max_domains; from = d.domid + 1u) {
        int rc = xids_hv_domain_next(hv_of(xch), &d, from);
        if (rc == -XEN_ENOENT)
            break;
        if (rc < 0)
            return xids_sim_result(rc);
        describe(&info[n++], &d);
    }
    return (int)n;
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid, unsigned int max_doms, xc_dominfo_t *info)
{
    unsigned int n = 0;
    for (uint32_t from = first_domid; n < max_doms; from = info[n++].domid + 1) {
        xc_domaininfo_t one;
        int got = xc_domain_getinfolist(xch, from, 1, &one);
        if (got < 0 && n == 0)
            return got;
        if (got <= 0)
            break;
        memset(&info[n], 0, sizeof(info[n]));
        info[n].domid = one.domain;
        info[n].dying = (one.flags & XEN_DOMINF_dying) != 0;
        info[n].shutdown = (one.flags & XEN_DOMINF_shutdown) != 0;
        info[n].paused = (one.flags & XEN_DOMINF_paused) != 0;
        info[n].running = (one.flags & XEN_DOMINF_running) != 0;
        info[n].shutdown_reason = (one.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
        info[n].crashed = info[n].shutdown && info[n].shutdown_reason == SHUTDOWN_crash;
        info[n].nr_pages = one.tot_pages;
        info[n].max_memkb = one.max_pages * (XIDS_PAGE_SIZE / 1024);
        info[n].nr_online_vcpus = one.nr_online_vcpus;
        memcpy(info[n].handle, one.handle, sizeof(info[n].handle));
    }
    if (n == 0)
        errno = ESRCH;
    return (int)n;
}

int xc_domain_create(xc_interface *xch, uint32_t *pdomid, struct xen_domctl_createdomain *config)
{
    char answer[XIDS_SIM_LINE_MAX];
    int domid = *pdomid == 0 || *pdomid == DOMID_INVALID ? -1 : (int)*pdomid;
    int rc = xids_sim_ask(answer, xch->machine->dir, "create %d %d -", domid, (int)XIDS_HV_PAUSED);
    if (rc == 0) {
        *pdomid = (uint32_t)strtoul(answer, NULL, 10);
        rc = xids_hv_domain_set_handle(hv_of(xch), (domid_t)*pdomid, config->handle);
    }
    return xids_sim_result(rc);
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
    return ask(xch, "destroy", domid, 0);
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    return ask(xch, "pause", domid, 0);
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    return ask(xch, "unpause", domid, 0);
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
    return ask(xch, "shutdown", domid, reason);
}

int xc_domain_sethandle(xc_interface *xch, uint32_t domid, xen_domain_handle_t handle)
{
    return xids_sim_result(xids_hv_domain_set_handle(hv_of(xch), xids_sim_domid_of(domid), handle));
}

/* Limits that the simulator does not have: granted. */
int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
    (void)xch, (void)domid, (void)max_memkb;
    return 0;
}

int xc_domain_max_vcpus(xc_interface *xch, uint32_t domid, unsigned int max)
{
    (void)xch, (void)domid, (void)max;
    return 0;
}

int xc_hvm_param_get(xc_interface *handle, uint32_t dom, uint32_t param, uint64_t *value)
{
    return xids_sim_result(xids_hv_param_get(hv_of(handle), value, xids_sim_domid_of(dom), param));
}

int xc_hvm_param_set(xc_interface *handle, uint32_t dom, uint32_t param, uint64_t value)
{
    return xids_sim_result(xids_hv_param_set(hv_of(handle), xids_sim_domid_of(dom), param, value));
}

int xc_get_hvm_param(xc_interface *handle, uint32_t dom, int param, unsigned long *value)
{
    uint64_t wide = 0;
    int rc = xc_hvm_param_get(handle, dom, (uint32_t)param, &wide);
    *value = (unsigned long)wide;
    return rc;
}

int xc_set_hvm_param(xc_interface *handle, uint32_t dom, int param, unsigned long value)
{
    return xc_hvm_param_set(handle, dom, (uint32_t)param, value);
}

/* ---- event channels ---- */

xc_evtchn_port_or_error_t xc_evtchn_alloc_unbound(xc_interface *xch, uint32_t dom, uint32_t remote_dom)
{
    return xids_sim_result(
        xids_hv_evtchn_alloc_for(hv_of(xch), xids_sim_domid(), xids_sim_domid_of(dom), xids_sim_domid_of(remote_dom)));
}

int xc_evtchn_reset(xc_interface *xch, uint32_t dom)
{
    return xids_sim_result(xids_hv_evtchn_reset(hv_of(xch), xids_sim_domid_of(dom)));
}

int xc_evtchn_status(xc_interface *xch, xc_evtchn_status_t *status)
{
    struct xids_hv_port port;
    int rc = xids_hv_evtchn_status(hv_of(xch), &port, xids_sim_domid(), xids_sim_domid_of(status->dom), status->port);
    if (rc < 0)
        return xids_sim_result(rc);
    status->vcpu = 0;
    switch (port.state) {
    case XIDS_EVTCHN_UNBOUND:
        status->status = EVTCHNSTAT_unbound;
        status->u.unbound.dom = port.remote;
        break;
    case XIDS_EVTCHN_INTERDOMAIN:
        status->status = EVTCHNSTAT_interdomain;
        status->u.interdomain.dom = port.remote;
        status->u.interdomain.port = port.remote_port;
        break;
    case XIDS_EVTCHN_VIRQ:
        status->status = EVTCHNSTAT_virq;
        status->u.virq = port.virq;
        break;
    case XIDS_EVTCHN_CLOSED:
    case XIDS_EVTCHN_OTHER:
    default:
        status->status = EVTCHNSTAT_closed;
        break;
    }
    return 0;
}

/* ---- memory ---- */

/*
 * The header declares it only to users of the old interface. Callers give such areas up with munmap, which the preload
 * library watches.
 */
void *xc_map_foreign_range(xc_interface *xch, uint32_t dom, int size, int prot, unsigned long mfn);
void *xc_map_foreign_range(xc_interface *xch, uint32_t dom, int size, int prot, unsigned long mfn)
{
    uint32_t frames[XIDS_PLATFORM_PAGES_MAX], id;
    size_t count = size > 0 ? ((size_t)size + XIDS_PAGE_SIZE - 1) / XIDS_PAGE_SIZE : 0;
    if (count == 0 || count > XIDS_PLATFORM_PAGES_MAX || mfn > UINT32_MAX - count) {
        errno = EINVAL;
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        frames[i] = (uint32_t)(mfn + i);
    if (xch->owner == 0 && xids_sim_owner_open(&xch->owner) < 0)
        return NULL;
    if (xids_sim_result(xids_hv_map_foreign(hv_of(xch), &id, NULL, xch->owner, xids_sim_domid_of(dom), frames,
                                            (uint32_t)count)) < 0)
        return NULL;
    return xids_sim_area_map(XIDS_SIM_AREA_MAP, xch->owner, id, frames, (uint32_t)count, prot, NULL);
}

/* ---- the hypervisor itself ---- */

/* Its console has nothing to say. */
int xc_readconsolering(xc_interface *xch, char *buffer, unsigned int *pnr_chars, int clear, int incremental,
                       uint32_t *pindex)
{
    (void)xch, (void)buffer, (void)clear, (void)incremental, (void)pindex;
    *pnr_chars = 0;
    return 0;
}

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    (void)xch;
    if (cmd == XENVER_version)
        return (4 << 16) | 17;
    if (cmd == XENVER_pagesize)
        return (int)XIDS_PAGE_SIZE;
    if (cmd == XENVER_extraversion) {
        (void)snprintf(arg, sizeof(xen_extraversion_t), "-xids-sim");
        return 0;
    }
    errno = ENOSYS;
    return -1;
}

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    memset(info, 0, sizeof(*info));
    info->threads_per_core = info->cores_per_socket = info->nr_cpus = info->nr_nodes = 1;
    info->total_pages = xch->machine->shared->ram_size / XIDS_PAGE_SIZE;
    return 0;
}

int xc_get_max_cpus(xc_interface *xch)
{
    (void)xch;
    return 1;
}

/* ---- errors ---- */

static const xc_error no_error = {.code = XC_ERROR_NONE};

const xc_error *xc_get_last_error(xc_interface *handle)
{
    (void)handle;
    return &no_error;
}

void xc_clear_last_error(xc_interface *xch)
{
    (void)xch;
}

const char *xc_error_code_to_desc(int code)
{
    return code == XC_ERROR_NONE ? "No error details" : "Unknown error code";
}

const char *xc_strerror(xc_interface *xch, int errcode)
{
    (void)xch;
    return strerror(errcode);
}
